"""Season, calendar and slope of one regular series, on the scale of the money itself.

The season is a ratio to the centred moving average, recomputed from sums (X-11's first
pass; Ladiray & Quenneville 2001, ch. 4), so a day without sales is a valid zero and no
logarithm is taken. Holidays and promotions are effects on the period's level, estimated
together by ridge-weighted least squares. `growth_path` and `trend_path` are the plain
mean of four corners, memory of a quarter or three quarters of a year, slope kept or
damped (Gardner & McKenzie 1985); level and slope come from discounted least squares
(Brown 1963). Equal weights, because on short histories estimated weights lose to them
(Claeskens, Magnus, Vasnev & Wang 2016).

Arrays are ordered by time, oldest first; a missing period is NaN and is filled only to
keep the arithmetic going.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.errors import PlaybookError

__all__ = [
    "CORNERS",
    "Cleaned",
    "clean_series",
    "season_index",
    "growth_path",
    "trend_path",
    "level_path",
    "model_paths",
]

CORNERS = tuple((memory, damping) for memory in (0.25, 0.75) for damping in (0.9, 1.0))
#: an effect seen in one full period keeps a third of its size, in six three quarters
RIDGE = 2.0
#: seasons back that the season's index rests on
KEPT_SEASONS = 5
#: a season's index under which a period counts as closed
CLOSED = 0.02


@dataclass(frozen=True)
class Cleaned:
    """A series with its calendar effects divided out (`amounts`), its season (`index`
    per period) and the effects.
    """

    amounts: ndarray
    index: ndarray
    future_index: ndarray
    future_effect: ndarray
    effects: ndarray


def _moving_mean(amounts: ndarray, width: int, *, full: bool) -> ndarray:
    """Centred mean over `width` periods, half weights at the ends of an even width; NaN
    where it is not `full`.
    """
    kernel = np.ones(width) if width % 2 else np.r_[0.5, np.ones(width - 1), 0.5]
    n, half = len(amounts), len(kernel) // 2
    known = np.isfinite(amounts)
    weight, total = (
        np.convolve(part, kernel, "full")[half : half + n]
        for part in (known, np.where(known, amounts, 0.0))
    )
    is_enough = weight > (0.75 * width if full else 0)
    mean = np.divide(
        total,
        weight,
        out=np.full(n, np.nan),
        where=is_enough,
    )
    if full:
        mean[:half], mean[n - half :] = np.nan, np.nan
    return mean


def season_index(amounts: ndarray, period: int) -> ndarray:
    """Index by position in the season (mean 1): sums of the last five seasons over the
    sums of their moving means.

    All ones where fewer than two seasons are there: one season cannot be told from the
    trend.
    """
    n = len(amounts)
    flat = np.ones(period)
    if period < 2 or n < 2 * period:
        return flat
    base = _moving_mean(amounts, period, full=True)
    is_used = np.isfinite(base + amounts) & (np.arange(n) >= n - KEPT_SEASONS * period)
    position = np.arange(n)[is_used] % period
    top, bottom = (np.bincount(position, part[is_used], period) for part in (amounts, base))
    index = np.divide(
        top,
        bottom,
        out=flat.copy(),
        where=bottom > 0,
    )
    return np.maximum(index, 0.0) / index.mean() if index.mean() > 0 else flat


def _full_index(amounts: ndarray, week: int, year: int, ahead: int) -> ndarray:
    """Season of every period and of the `ahead` next ones: the week for days, then the
    year in blocks of a week.
    """
    n = len(amounts)
    position = np.arange(n + ahead)
    if week >= year:
        return season_index(amounts, year)[position % year]
    weekly = season_index(amounts, week)[position % week]
    if n < 2 * year:
        return weekly
    # blocks end with the last day, so the newest week is whole
    skip = n % week
    weeks = np.nansum(amounts[skip:].reshape(-1, week), axis=1)
    yearly = season_index(weeks, year // week)
    return weekly * yearly[(position - skip) // week % (year // week)]


def clean_series(
    amounts: ndarray, calendar: ndarray, future: ndarray, *, week: int, year: int
) -> Cleaned:
    """Season and calendar effects, found in turn until they settle, gaps filled at
    level times season times effect.

    `calendar` (n, k) and `future` (ahead, k) hold the share of each period under a
    holiday or promotion.
    """
    n, ahead = len(amounts), len(future)
    effect, effects = np.ones(n), np.zeros(calendar.shape[1])
    # a wide window for days, so that a promotion of some days does not pass for the
    # level it is measured against
    window = 4 * week + 1 if week < year else 2 * (week // 2) + 1
    for _ in range(8 if calendar.shape[1] else 1):
        bare = amounts / effect
        index = _full_index(bare, week, year, ahead)
        adjusted, is_open = _adjusted(bare, index[:n])
        level = _moving_mean(np.where(is_open, adjusted, np.nan), window, full=False)
        if not calendar.shape[1]:
            break
        base = level * index[:n]
        is_used = np.isfinite(amounts) & (base > 0)
        if is_used.sum() > calendar.shape[1] + 2:
            effects = _ridge(calendar[is_used], amounts[is_used], base[is_used])
            effect = _factor(calendar, effects)
    bare = amounts / effect
    if np.isnan(bare).any():
        known = np.isfinite(level)
        filled = np.interp(np.arange(n), np.flatnonzero(known), level[known]) * index[:n]
        bare = np.where(np.isfinite(bare), bare, filled)
    return Cleaned(
        bare,
        index[:n],
        index[n:],
        _factor(future, effects),
        effects,
    )


def _ridge(shares: ndarray, amounts: ndarray, base: ndarray) -> ndarray:
    """Effects of full periods on the level `base`, weighted by it."""
    weight = base / base.mean()
    gram = (shares * weight[:, None]).T @ shares + RIDGE * np.eye(shares.shape[1])
    return np.linalg.solve(gram, shares.T @ (weight * (amounts / base - 1)))


def _factor(shares: ndarray, effects: ndarray) -> ndarray:
    """What the calendar multiplies each period's level by."""
    return np.maximum(1 + shares @ effects, 0.05)


def growth_path(amounts: ndarray, year: int, ahead: int) -> ndarray | None:
    """The same period a year before, times recent growth over a year; None with less
    than five quarters of history.
    """
    n = len(amounts)
    if n < year + max(year // 4, 1):
        return None
    age = np.arange(n - year)[::-1]
    years_out = np.arange(ahead) // year + 1
    paths = []
    for memory, damping in CORNERS:
        keep = 1 - 2 / (max(memory * year, 1) + 1)
        weight = np.power(keep, age) if keep > 0 else (age == 0).astype(float)
        now, then = (weight * amounts[year:]).sum(), (weight * amounts[:-year]).sum()
        if not (now > 0 and then > 0):
            return None
        steps = np.cumsum(np.power(damping, np.arange(1, years_out.max() + 1)))
        paths.append(
            amounts[n - year + np.arange(ahead) % year]
            * np.exp(np.log(now / then) * steps[years_out - 1])
        )
    return np.mean(paths, axis=0)


def _level_and_slope(adjusted: ndarray, weight: ndarray) -> tuple[float, float]:
    """Level at the newest period and slope per period, weighted by age."""
    age = np.arange(len(adjusted))[::-1].astype(float)
    total = weight.sum()
    mean_age, mean = (weight * age).sum() / total, (weight * adjusted).sum() / total
    spread = (weight * (age - mean_age) ** 2).sum()
    slope = -(weight * (age - mean_age) * (adjusted - mean)).sum() / spread if spread > 0 else 0.0
    return mean + slope * mean_age, slope


def _adjusted(amounts: ndarray, index: ndarray) -> tuple[ndarray, ndarray]:
    """Season divided out (0 where closed), and whether each period is open: a closed
    weekday says nothing about the level.
    """
    is_open = index > CLOSED
    return np.where(is_open, amounts / np.where(is_open, index, 1.0), 0.0), is_open


def _age(is_open: ndarray) -> ndarray:
    """Periods from each period to the newest open one: after a long pause a weight by the
    age alone would be nothing everywhere.
    """
    return np.maximum(np.flatnonzero(is_open)[-1] - np.arange(len(is_open)), 0)


def trend_path(cleaned: Cleaned, year: int) -> ndarray:
    """Level and damped slope of the season-adjusted series, on its season; NaN with
    fewer than three periods.
    """
    adjusted, is_open = _adjusted(cleaned.amounts, cleaned.index)
    steps = np.arange(1, len(cleaned.future_index) + 1)
    if is_open.sum() < 3:
        return np.full(len(steps), np.nan)
    age = _age(is_open)
    paths = []
    for memory, damping in CORNERS:
        weight = np.power(1 - 2 / (max(memory * year, 2) + 1), age) * is_open
        level, slope = _level_and_slope(adjusted, weight)
        paths.append(level + slope * np.cumsum(np.power(damping ** (1 / year), steps)))
    return np.mean(paths, axis=0) * cleaned.future_index


def level_path(cleaned: Cleaned, year: int) -> ndarray:
    """The season-adjusted level of the last weeks (memory of a quarter of a year)
    without any slope.
    """
    adjusted, is_open = _adjusted(cleaned.amounts, cleaned.index)
    if not is_open.any():
        return np.full(len(cleaned.future_index), np.nan)
    weight = np.power(1 - 2 / (max(year / 4, 2) + 1), _age(is_open)) * is_open
    return (weight * adjusted).sum() / weight.sum() * cleaned.future_index


def model_paths(
    amounts: ndarray, effects: ndarray, week: int, year: int, models: tuple[str, ...]
) -> ndarray:
    """Every model's forecast (models, ahead) after `amounts`; the rows of `effects`
    beyond them are the calendar ahead.

    Raises PlaybookError for a model that does not exist.
    """
    n, ahead = len(amounts), len(effects) - len(amounts)
    nothing = np.full(ahead, np.nan)
    cleaned = clean_series(
        amounts,
        effects[:n],
        effects[n:],
        week=week,
        year=year,
    )
    lift = cleaned.future_effect
    grown = growth_path(cleaned.amounts, year, ahead)
    trend, level = trend_path(cleaned, year) * lift, level_path(cleaned, year) * lift
    known = {
        "naive": np.full(ahead, amounts[np.isfinite(amounts)][-1]),
        "seasonal_naive": amounts[n - week + np.arange(ahead) % week] if n >= week else nothing,
        "level": level,
        "trend": trend,
        "growth": nothing if grown is None else grown * lift,
        "mix": (trend + (level if grown is None else grown * lift)) / 2,
    }
    if "ets" in models:
        known["ets"] = _ets(cleaned.amounts, year, ahead) * lift
    unknown = set(models) - set(known)
    if unknown:
        raise PlaybookError(
            "methods.unknown_model", named=", ".join(sorted(unknown)), known=", ".join(known)
        )
    return np.stack([known[name] for name in models])


def _ets(amounts: ndarray, year: int, ahead: int) -> ndarray:
    """Holt-Winters by statsmodels with damped additive trend and multiplicative season
    where two years are there.
    """
    import warnings

    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    season = "mul" if len(amounts) >= 2 * year and amounts.min() > 0 else None
    with warnings.catch_warnings():
        # its convergence notes come once per origin; the backtest judges the result
        warnings.simplefilter("ignore")
        fit = ExponentialSmoothing(
            amounts,
            trend="add",
            damped_trend=True,
            seasonal=season,
            seasonal_periods=year if season else None,
            initialization_method="estimated",
        ).fit()
    return fit.forecast(ahead)
