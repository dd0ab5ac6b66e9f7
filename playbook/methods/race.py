"""Forecasts at every past origin: which model each origin could have chosen, and how
wide its interval had to be.

At origin t only errors realised by t are known, and everything here is computed from
those alone: the choice (the default, until another model's error is smaller by more
than one standard error; Breiman et al. 1984), the interval (split conformal; Vovk et
al. 2005, Lei et al. 2018) and its correction by its own record (adaptive conformal
inference; Gibbs & Candes 2021). Exchangeability holds only roughly in time: totals that
overlap count as the number that would fit side by side, and the share covered is always
to be printed beside the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "MIN_ORIGINS",
    "STEP_SIZE",
    "Race",
    "amount_at",
    "chosen_model",
    "half_widths",
    "link_errors",
    "run_race",
]

MIN_ORIGINS = 8  # realised errors below which a spread counts as not calibrated
STEP_SIZE = 0.05  # how much one miss of an interval raises the share the next one asks for


@dataclass(frozen=True)
class Race:
    """One entry per origin and a last one for now; arrays with `now` are one longer
    than those of what came.

    `ends` periods known at each origin, `n_known` errors realised by then, `chosen`
    model, `point` and `half` of the total over the horizon, `points` the totals of
    every model, `scale` the usual total, `actual` and `error`.
    """

    models: tuple[str, ...]
    ends: np.ndarray
    n_known: np.ndarray
    chosen: tuple[str, ...]
    paths: np.ndarray
    points: np.ndarray
    point: np.ndarray
    half: np.ndarray
    scale: np.ndarray
    actual: np.ndarray
    error: np.ndarray
    is_log: bool
    path_half: np.ndarray
    path_is_log: bool


def link_errors(
    actual: np.ndarray, point: np.ndarray, scale: np.ndarray, is_log: bool
) -> np.ndarray:
    """Log ratio of actual to forecast, or their difference as a share of the usual
    amount.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.maximum(actual, 0) / point) if is_log else (actual - point) / scale


def amount_at(point: np.ndarray, error: np.ndarray, scale: np.ndarray, is_log: bool) -> np.ndarray:
    """The amount that lies `error` away from the forecast: the inverse of
    `link_errors`.
    """
    return point * np.exp(error) if is_log else point + error * scale


def chosen_model(
    misses: np.ndarray, usable: np.ndarray, models: tuple[str, ...], overlap: float
) -> str | None:
    """The default (mix, else level), unless another has missed by less, by more than
    one standard error.

    `misses` (origins, models): absolute errors realised so far as shares of the usual
    total. None: nothing is usable.
    """
    names = [name for name, is_usable in zip(models, usable, strict=True) if is_usable]
    default = next((name for name in ("mix", "level", *models) if name in names), None)
    best, best_gain = default, 0.0
    for name in names:
        gain = misses[:, models.index(default)] - misses[:, models.index(name)]
        gain = gain[np.isfinite(gain)]
        if len(gain) >= MIN_ORIGINS and gain.mean() > best_gain:
            standard_error = gain.std(ddof=1) / np.sqrt(max(len(gain) / overlap, 1.0))
            if gain.mean() > standard_error:
                best, best_gain = name, gain.mean()
    return best


def half_widths(
    errors: np.ndarray, n_known: np.ndarray, *, level: float, overlap: float
) -> np.ndarray:
    """Half width at each origin from the first `n_known` errors; missing with fewer
    than eight of them.

    The share asked for starts at `level`; each realised miss of an earlier interval
    raises it, each hit lowers it. Once the widest error so far is not enough, the width
    grows beyond it in the same proportion.
    """
    halves = np.full(len(n_known), np.nan)
    for i, known in enumerate(n_known):
        seen = errors[:known]
        spread = np.sort(np.abs(seen[np.isfinite(seen)]))
        if len(spread) < MIN_ORIGINS:
            continue
        judged = np.isfinite(halves[:known]) & np.isfinite(seen)
        missed = np.abs(seen[judged]) > halves[:known][judged]
        asked = level + STEP_SIZE / overlap * (missed - (1 - level)).sum()
        share = np.clip(asked * (1 + overlap / len(spread)), 0.0, 1.0)
        halves[i] = np.quantile(spread, share, method="higher") * max(1.0, asked)
    return halves


def run_race(
    amounts: np.ndarray,
    starts: np.ndarray,
    paths: np.ndarray,
    *,
    models: tuple[str, ...],
    year: int,
    step: int,
    level: float,
) -> Race:
    """Score `paths` (origins and now, models, horizon) made at `starts` (periods known)
    against what came.
    """
    horizon = paths.shape[2]
    ends = np.append(starts, len(amounts))
    overlap = max(1.0, horizon / step)
    actuals = (
        amounts[starts[:, None] + np.arange(horizon)] if len(starts) else np.empty((0, horizon))
    )
    actual, points = actuals.sum(axis=1), paths.sum(axis=2)
    usual = np.array([np.nanmean(np.abs(amounts[max(0, t - year) : t])) for t in ends]) * horizon
    scale = np.where(
        usual > 0, usual, 1.0
    )  # nothing but zeros so far: errors are then in the unit itself
    misses = np.abs(actual[:, None] - points[:-1]) / scale[:-1, None]
    n_known = np.array([(starts + horizon <= t).sum() for t in ends])
    chosen = tuple(
        chosen_model(misses[:known], np.isfinite(points[i]), models, overlap)
        for i, known in enumerate(n_known)
    )
    pick = np.array([models.index(name) if name else 0 for name in chosen])
    rows = np.arange(len(ends))
    point, path = points[rows, pick], paths[rows, pick]
    is_log = _positive(actual, point)
    error = link_errors(actual, point[:-1], scale[:-1], is_log)
    path_is_log = _positive(actuals, path)
    errors = link_errors(actuals, path[:-1], scale[:-1, None] / horizon, path_is_log)
    by_distance = [
        half_widths(
            errors[:, h],
            np.array([(starts + h + 1 <= t).sum() for t in ends]),
            level=level,
            overlap=max(1.0, (h + 1) / step),
        )[-1]
        for h in range(horizon)
    ]
    half = half_widths(error, n_known, level=level, overlap=overlap)
    return Race(
        models,
        ends,
        n_known,
        chosen,
        paths,
        points,
        point,
        half,
        scale,
        actual,
        error,
        is_log,
        np.array(by_distance),
        path_is_log,
    )


def _positive(*parts: np.ndarray) -> bool:
    """Whether every known amount is above zero, so that ratios make sense."""
    return all(bool((part[np.isfinite(part)] > 0).all()) for part in parts)
