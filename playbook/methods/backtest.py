"""The backtest: forecasts at every past origin, the rule that names a champion, and how
wide an interval had to be.

*Rolling origin*: stand at an earlier point in time, know only what came before it,
forecast, compare with what came (Tashman 2000, Int. J. of Forecasting 16(4)). Rows with
days go through `rolling_origin`, one series of periods through `run_race`.

*Champion*: one rule for money, customers and goods, `champion`. A default stays in use
until another model has lost less on the same windows, by more than a margin: one
standard error for money (Breiman et al. 1984), a tenth of the naive loss for goods,
nothing for customers. Only windows that had ended by then count.

*Width*: split conformal (Vovk et al. 2005, Lei et al. 2018), corrected by its own
record (adaptive conformal inference; Gibbs & Candes 2021). Exchangeability holds only
roughly in time: totals that overlap count as the number that would fit side by side,
and the share covered is always to be printed beside the interval.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame, Timestamp

from playbook.given import dated

__all__ = [
    "CUSTOMERS",
    "GOODS",
    "KEY",
    "MIN_ORIGINS",
    "MONEY",
    "STEP_SIZE",
    "Race",
    "Rule",
    "amount_at",
    "champion",
    "champion_table",
    "champions",
    "half_widths",
    "link_errors",
    "origin_days",
    "rolling_origin",
    "run_race",
]

Day = Timestamp | dt.date | str
#: realised errors below which a spread counts as not calibrated
MIN_ORIGINS = 8
#: how much one miss of an interval raises the share the next one asks for
STEP_SIZE = 0.05
#: errors of dated windows are pooled within these
KEY = ["model", "measure", "horizon_days", "kind"]
#: a model that could not forecast at more than this share of the windows is out
MOST_MISSING = 0.2


@dataclass(frozen=True)
class Rule:
    """When a challenger replaces the default: over `min_windows` shared windows its
    mean loss must be smaller by more than `standard_errors` of the difference plus
    `lead_share` of the default's loss. `defaults` are tried in order, then all models.
    """

    defaults: tuple[str, ...] = ()
    standard_errors: float = 0.0
    lead_share: float = 0.0
    min_windows: int = 1


MONEY = Rule(
    ("mix", "level"),
    standard_errors=1.0,
    min_windows=MIN_ORIGINS,
)
CUSTOMERS = Rule()
GOODS = Rule(("naive",), lead_share=0.1)


def champion(
    losses: ndarray,
    models: Sequence[str],
    rule: Rule,
    *,
    usable: ndarray | None = None,
    overlap: float = 1.0,
) -> str | None:
    """The model to use after these losses; None where no model is usable.

    `losses` (windows, models): a missing loss leaves its window out of that pair.
    `usable`: the models that can forecast now (all unless given). `overlap`: windows
    that share most of what they forecast, which lowers their number to the standard
    error. Ties go to the model that comes first.
    """
    can = np.ones(len(models), bool) if usable is None else usable
    places = {name: k for k, name in enumerate(models) if can[k]}
    default = next((name for name in (*rule.defaults, *models) if name in places), None)
    best, best_gain = default, 0.0
    for name, place in places.items():
        gain = losses[:, places[default]] - losses[:, place]
        shared = np.isfinite(gain)
        if shared.sum() < rule.min_windows or gain[shared].mean() <= best_gain:
            continue
        margin = rule.lead_share * losses[shared, places[default]].mean()
        if rule.standard_errors:
            n_side_by_side = max(shared.sum() / overlap, 1.0)
            margin += rule.standard_errors * gain[shared].std(ddof=1) / np.sqrt(n_side_by_side)
        if gain[shared].mean() > margin:
            best, best_gain = name, gain[shared].mean()
    return best


def champions(
    losses: ndarray,
    n_known: ndarray,
    models: Sequence[str],
    rule: Rule,
    *,
    usable: ndarray | None = None,
    overlap: float = 1.0,
) -> list[str | None]:
    """The champion at each origin from the first `n_known` windows, in time's order:
    the losses that had been realised by then. `usable` (origins, models).
    """
    return [
        champion(
            losses[:known],
            models,
            rule,
            usable=None if usable is None else usable[i],
            overlap=overlap,
        )
        for i, known in enumerate(n_known)
    ]


def champion_table(losses: DataFrame, *, naive: Sequence[str], loss: str = "loss") -> DataFrame:
    """Who wins the backtest: one row per model, champion first, then by loss: model,
    n_windows, loss, is_naive, over_naive_share (loss over the best naive one's - 1),
    status, is_champion.

    `losses`: one row per model and window (columns model, origin_on, horizon_days,
    `loss`). Models are compared on the windows all eligible models have; a model that
    could not forecast at more than a fifth of the windows, or at the last origin, is
    not eligible. No rows where no window has ended yet.
    """
    wide = losses.pivot_table(
        index=["origin_on", "horizon_days"],
        columns="model",
        values=loss,
    )
    last = wide.index.get_level_values(0).max()
    is_gone = wide[wide.index.get_level_values(0) == last].isna().any()
    eligible = wide.columns[(wide.isna().mean() <= MOST_MISSING) & ~is_gone]
    common = wide[eligible].dropna()
    winner = champion(common.to_numpy(float), list(eligible), CUSTOMERS)
    models = wide.columns if winner else wide.columns[:0]
    table = DataFrame({"model": models, "n_windows": wide[models].notna().sum().to_numpy()})
    table["loss"] = table["model"].map(common.mean())
    table["is_naive"] = table["model"].isin(naive)
    floor = table.loc[table["is_naive"], "loss"].min()
    table["over_naive_share"] = table["loss"] / floor - 1 if floor > 0 else np.nan
    is_compared = table["loss"].notna()
    table["status"] = np.where(
        is_compared,
        "complete",
        "could not forecast at every origin",
    )
    table["is_champion"] = table["model"] == winner
    return table.sort_values(
        ["is_champion", "loss", "model"], ascending=[False, True, True], ignore_index=True
    )


def origin_days(first: Day, last: Day, *, every_days: int = 14) -> list[Timestamp]:
    """Days to stand on, `every_days` apart, counted back from `last`, none before
    `first`; in order.
    """
    first, last = Timestamp(first), Timestamp(last)
    n = max((last - first).days // every_days + 1, 0)
    return [last - pd.Timedelta(days=every_days * k) for k in reversed(range(n))]


@dated
def rolling_origin(
    log: DataFrame,
    predict: Callable[[DataFrame, Timestamp], Any],
    compare: Callable[[Any, DataFrame, int], DataFrame],
    *,
    origins: Sequence[Day],
    horizons_days: Sequence[int],
    as_of: Day,
    day: str = "day_on",
) -> DataFrame:
    """Forecast from every origin with the rows up to it only, and compare with the rows
    after it.

    `predict(past, origin)` never sees a later row; `compare(forecast, future,
    horizon_days)` gets the rows of the next `horizon_days` and returns one row per
    model, measure, kind and subject: point, actual, unit. The result adds origin_on,
    horizon_days, due_on. A window that ends after `as_of` is left out, never counted as
    zero.
    """
    as_of, days = Timestamp(as_of), pd.to_datetime(log[day])
    log = log.loc[days <= as_of].assign(**{day: days})
    front = ["origin_on", "due_on", *KEY, "subject", "point", "actual", "unit"]
    frames = [DataFrame(columns=front)]
    for origin in map(Timestamp, sorted(origins)):
        due = {int(h): origin + pd.Timedelta(days=int(h)) for h in horizons_days}
        ended = {horizon: end for horizon, end in due.items() if end <= as_of}
        forecast = predict(log[log[day] <= origin], origin) if ended else None
        for horizon, end in ended.items():
            frame = compare(
                forecast,
                log[(log[day] > origin) & (log[day] <= end)],
                horizon,
            )
            frames.append(frame.assign(origin_on=origin, horizon_days=horizon, due_on=end))
    out = pd.concat(frames[1:] or frames, ignore_index=True)
    out = out[front + [column for column in out.columns if column not in front]]
    return out.sort_values(
        ["origin_on", *KEY, "subject"],
        kind="stable",
        ignore_index=True,
    )


@dataclass(frozen=True)
class Race:
    """One entry per origin and a last one for now; arrays with `now` are one longer
    than those of what came.

    `ends` periods known at each origin, `n_known` errors realised by then, `chosen`
    model, `paths` of all models, `point` and `half` of the total over the horizon,
    `points` the totals of every model, `scale` the usual total, `actual` and `error`.
    """

    models: tuple[str, ...]
    ends: ndarray
    n_known: ndarray
    chosen: tuple[str, ...]
    paths: ndarray
    points: ndarray
    point: ndarray
    half: ndarray
    scale: ndarray
    actual: ndarray
    error: ndarray
    is_log: bool
    path_half: ndarray
    path_is_log: bool


def link_errors(actual: ndarray, point: ndarray, scale: ndarray, is_log: bool) -> ndarray:
    """Log ratio of actual to forecast, or their difference as a share of the usual
    amount.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.maximum(actual, 0) / point) if is_log else (actual - point) / scale


def amount_at(point: ndarray, error: ndarray, scale: ndarray, is_log: bool) -> ndarray:
    """The amount that lies `error` away from the forecast: the inverse of
    `link_errors`.
    """
    return point * np.exp(error) if is_log else point + error * scale


def half_widths(errors: ndarray, n_known: ndarray, *, level: float, overlap: float) -> ndarray:
    """Half width at each origin from the first `n_known` errors; missing with fewer
    than eight of them.

    The share asked for starts at `level`; each realised miss of an earlier interval
    raises it, each hit lowers it. Once the widest error so far is not enough, the width
    grows beyond it in the same proportion.
    """
    halves = np.full(len(n_known), np.nan)
    for i, known in enumerate(n_known):
        past, past_halves = np.abs(errors[:known]), halves[:known]
        spread = np.sort(past[np.isfinite(past)])
        if len(spread) < MIN_ORIGINS:
            continue
        judged = np.isfinite(past_halves) & np.isfinite(past)
        missed = past[judged] > past_halves[judged]
        asked = level + STEP_SIZE / overlap * (missed - (1 - level)).sum()
        share = np.clip(asked * (1 + overlap / len(spread)), 0.0, 1.0)
        halves[i] = np.quantile(spread, share, method="higher") * max(1.0, asked)
    return halves


def run_race(
    amounts: ndarray,
    starts: ndarray,
    predict: Callable[[int], ndarray],
    *,
    models: tuple[str, ...],
    year: int,
    step: int,
    level: float,
) -> Race:
    """One series forecast at `starts` (periods known) and now, scored against what came.

    `predict(n)` knows the first n amounts only and gives (models, horizon).
    """
    ends = np.append(starts, len(amounts))
    paths = np.stack([predict(n) for n in ends])
    horizon = paths.shape[2]
    overlap = max(1.0, horizon / step)
    actuals = amounts[starts[:, None] + np.arange(horizon)]
    actual, points = actuals.sum(axis=1), paths.sum(axis=2)
    usual = np.array([np.nanmean(np.abs(amounts[max(0, n - year) : n])) for n in ends]) * horizon
    # with nothing but zeros so far errors are in the unit itself
    scale = np.where(usual > 0, usual, 1.0)
    misses = np.abs(actual[:, None] - points[:-1]) / scale[:-1, None]
    n_known = _n_ended(starts + horizon, ends)
    chosen = champions(misses, n_known, models, MONEY, usable=np.isfinite(points), overlap=overlap)
    picked = (np.arange(len(ends)), [models.index(name or models[0]) for name in chosen])
    point, path = points[picked], paths[picked]
    is_log, path_is_log = _positive(actual, point), _positive(actuals, path)
    error = link_errors(actual, point[:-1], scale[:-1], is_log)
    half = half_widths(error, n_known, level=level, overlap=overlap)
    path_errors = link_errors(actuals, path[:-1], scale[:-1, None] / horizon, path_is_log)
    path_half = [
        half_widths(
            path_errors[:, ahead - 1],
            _n_ended(starts + ahead, ends),
            level=level,
            overlap=max(1.0, ahead / step),
        )[-1]
        for ahead in range(1, horizon + 1)
    ]
    scored = (points, point, half, scale, actual, error, is_log, np.array(path_half), path_is_log)
    return Race(models, ends, n_known, tuple(chosen), paths, *scored)


def _n_ended(due: ndarray, ends: ndarray) -> ndarray:
    """Windows that had ended at each origin."""
    return (due[:, None] <= ends).sum(axis=0)


def _positive(*parts: ndarray) -> bool:
    """Whether every known amount is above zero, so that ratios make sense."""
    return all(bool((part[np.isfinite(part)] > 0).all()) for part in parts)
