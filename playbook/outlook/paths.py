"""Every series' own forecast at every month of the past, and the coherent ones made from
them: at each origin from what was known by then, errors included.
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
#: the candidates whose plain mean a series' own forecast is: level kept, slope damped,
#: growth on the year before. Equal weights, because few errors cannot tell better ones
MIXED = ("level", "trend", "growth")
#: steps whose errors tell how series err together
NEAR_STEPS = 3
#: share of a series' usual month below which no forecast falls; nor does one rise above
#: the usual month over it
FLOOR = 0.01


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


def paths_of(amounts: ndarray, identities: Sequence[Identity]) -> Paths:
    """The paths of `amounts` (months, series; NaN where not known), from the third
    month on.
    """
    n_months, n_series = amounts.shape
    ends = np.arange(MIN_MONTHS, n_months + 1)
    shape = len(ends), n_series, AHEAD
    base, naive, point, actual = (np.full(shape, np.nan) for _ in range(4))
    for k, end in enumerate(ends):
        for s in range(n_series):
            base[k, s], naive[k, s] = _alone(amounts[:end, s])
        came = amounts[end : end + AHEAD]
        actual[k, :, : len(came)] = came.T
    for k in range(len(ends)):
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
    """One series' forecast and its naive one; NaN with fewer than three months, and no
    forecast of what was not known for a year.
    """
    known = np.flatnonzero(np.isfinite(history))
    nothing = np.full(AHEAD, np.nan)
    if len(known) < MIN_MONTHS:
        return nothing, nothing
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
    # growth needs five quarters
    known = [path for path in mixed if np.isfinite(path).all()]
    year = history[-YEAR:]
    year = year[np.isfinite(year)]
    is_told = bool(known) and len(year) > 0
    path = np.mean(known, axis=0) if is_told else nothing
    if is_told:
        path = np.clip(path, FLOOR * year.mean(), year.mean() / FLOOR)
    return path, np.where(np.isfinite(season), season, last)


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
