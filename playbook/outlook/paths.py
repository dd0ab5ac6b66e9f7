"""Every series' own forecast at every month of the past, and the coherent ones made from
them: at each origin from what was known by then, errors included.

A flow's own forecast is the plain mean of its candidates. A ratio may well have neither
season nor growth, and then two years' estimate of them is noise: its mean of the last year
is a candidate too, and all are weighed by the inverse of their squared errors so far (Bates
& Granger 1969, "The combination of forecasts", OR 20(4), their first scheme), drawn towards
equal weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.methods.backtest import MIN_ORIGINS
from playbook.methods.coherence import Identity, coherent, shrunk_covariance
from playbook.methods.season import model_paths

__all__ = ["AHEAD", "MIN_MONTHS", "Paths", "first_origin", "paths_of"]

#: months ahead, months a series needs
AHEAD, MIN_MONTHS = 12, 3
YEAR = 12
#: the candidates whose plain mean a flow's own forecast is: level kept, slope damped,
#: growth on the year before. Equal weights, because few errors cannot tell better ones
MIXED = ("level", "trend", "growth")
#: errors that a candidate of a ratio is taken to have made before its first one, of the
#: size of the others', and how much larger (squared) those of the mean of a year
PRIOR_ERRORS, PRIOR_EXCESS = 10, 4.0
#: steps whose errors tell how series err together
NEAR_STEPS = 3
#: share of a series' usual month below which no forecast falls; nor does one rise above
#: the usual month over it
FLOOR = 0.01
#: keeps a series that never erred from dividing by nothing
TINY = 1e-12


@dataclass(frozen=True)
class Paths:
    """Arrays (origins, series, months ahead): `base` (each series alone), `naive` (the
    year before, else the month before), `point` (coherent) and `actual`, NaN where not
    there. Origin k knows the first `ends[k]` months; the last one is now.
    """

    ends: ndarray
    base: ndarray
    naive: ndarray
    point: ndarray
    actual: ndarray


def first_origin(n_months: int, n_ahead: int) -> int:
    """Months known at the first origin judged: five quarters where that leaves eight
    realised errors, else what a short history allows.
    """
    first = YEAR + YEAR // 4
    if n_months - first - n_ahead < MIN_ORIGINS:
        first = max(MIN_MONTHS, min(8, n_months // 3))
    return first


def paths_of(amounts: ndarray, identities: Sequence[Identity], ratios: Sequence[int] = ()) -> Paths:
    """The paths of `amounts` (months, series; NaN where not known), from the third
    month on; `ratios` are the places of the series that are ratios.
    """
    n_months, n_series = amounts.shape
    ends = np.arange(MIN_MONTHS, n_months + 1)
    shape = len(ends), n_series, AHEAD
    naive, point, actual = (np.full(shape, np.nan) for _ in range(3))
    tried = np.full((len(ends), n_series, len(MIXED) + 1, AHEAD), np.nan)
    for k, end in enumerate(ends):
        for s in range(n_series):
            tried[k, s], naive[k, s] = _alone(amounts[:end, s])
        came = amounts[end : end + AHEAD]
        actual[k, :, : len(came)] = came.T
    base = _mean_of_known(tried[:, :, :-1])
    for k in range(len(ends)):
        for s in ratios:
            base[k, s] = _weighed(tried[:, s], actual[:, s], ends, k)
        spread = _spread(
            base,
            actual,
            ends,
            k,
        )
        for step in range(AHEAD):
            point[k, :, step] = _together(base[k, :, step], spread, identities)
    return Paths(
        ends,
        base,
        naive,
        point,
        actual,
    )


def _alone(history: ndarray) -> tuple[ndarray, ndarray]:
    """One series' candidates, the mean of its last year as the last of them, and its naive
    forecast; NaN with fewer than three months, where a candidate needs more, and of what
    was not known for a year.
    """
    known = np.flatnonzero(np.isfinite(history))
    nothing = np.full(AHEAD, np.nan)
    if len(known) < MIN_MONTHS:
        return np.full((len(MIXED) + 1, AHEAD), np.nan), nothing
    history = history[known[0] :]
    calendar = np.zeros((len(history) + AHEAD, 0))
    names = (*MIXED, "seasonal_naive", "naive")
    *mixed, season, last = model_paths(
        history,
        calendar,
        YEAR,
        YEAR,
        names,
    )
    year = history[-YEAR:]
    year = year[np.isfinite(year)]
    usual = year.mean() if len(year) else np.nan
    tried = np.clip([*mixed, np.full(AHEAD, usual)], FLOOR * usual, usual / FLOOR)
    # growth needs five quarters
    tried[~np.isfinite(tried).all(axis=1)] = np.nan
    return tried, np.where(np.isfinite(season), season, last)


def _mean_of_known(tried: ndarray) -> ndarray:
    """The mean over the candidates (axis 2) that can forecast; NaN where none can."""
    known = np.isfinite(tried)
    total, n = np.where(known, tried, 0.0).sum(axis=2), known.sum(axis=2)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _weighed(tried: ndarray, actual: ndarray, ends: ndarray, now: int) -> ndarray:
    """One ratio's forecast at origin `now`: its candidates (origins, candidates, steps) by
    the inverse of their mean squared log errors realised by then.
    """
    known = np.isfinite(tried[now]).all(axis=1)
    if not known.any():
        return np.full(AHEAD, np.nan)
    first = first_origin(int(ends[now]), 1)
    squares = []
    for step in range(NEAR_STEPS):
        done = (ends >= first) & (ends + step + 1 <= ends[now])
        came = np.repeat(actual[done, None, step], tried.shape[1], axis=1)
        squares.append(_log_errors(came, tried[done, :, step]) ** 2)
    squares = np.concatenate(squares)[:, known]
    n, total = np.isfinite(squares).sum(axis=0), np.nansum(squares, axis=0)
    means = total[n > 0] / n[n > 0]
    usual = np.median(means) if len(means) else 1.0
    before = np.r_[np.full(len(MIXED), usual), PRIOR_EXCESS * usual][known]
    trust = (n + PRIOR_ERRORS) / (total + PRIOR_ERRORS * before + TINY)
    return trust @ tried[now][known] / trust.sum()


def _spread(base: ndarray, actual: ndarray, ends: ndarray, now: int) -> ndarray:
    """Covariance of the log errors that had been realised at origin `now`."""
    rows = []
    first = first_origin(int(ends[now]), 1)
    for step in range(NEAR_STEPS):
        done = (ends >= first) & (ends + step + 1 <= ends[now])
        rows.append(_log_errors(actual[done, :, step], base[done, :, step]))
    return shrunk_covariance(np.concatenate(rows))


def _log_errors(actual: ndarray, point: ndarray) -> ndarray:
    """Log of actual to forecast; NaN where either is not above zero, or has no end."""
    is_positive = (actual > 0) & (point > 0) & np.isfinite(actual) & np.isfinite(point)
    return np.log(np.where(is_positive, actual, np.nan) / np.where(is_positive, point, 1.0))


def _together(base: ndarray, spread: ndarray, identities: Sequence[Identity]) -> ndarray:
    """The coherent forecasts of one month; a series without one stays out, and so does
    any identity it belongs to.
    """
    known = np.isfinite(base) & (base > 0)
    place = np.cumsum(known) - 1
    held = [
        Identity(
            int(place[i.whole]),
            tuple(int(place[p]) for p in i.parts),
            i.is_sum,
        )
        for i in identities
        if known[[i.whole, *i.parts]].all()
    ]
    out = np.full(len(base), np.nan)
    logs = np.log(base[known])
    out[known] = np.exp(coherent(logs, spread[np.ix_(known, known)], held))
    return out
