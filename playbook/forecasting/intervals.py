"""Evidence: what a forecast was worth on the shop's own past, and how wide its interval
has to be.

*Rolling origin*: stand at an earlier day, see only the rows up to it, forecast, compare with what came. *Calibrated*:
an interval's centre and width come from errors realised before the day it is made (never from how well parameters are
known), and its coverage so far is printed beside it. Errors are taken on the scale asinh(amount / unit), which is a
log ratio for large amounts and an ordinary difference near and below zero, so refunds larger than purchases do no
harm.

Sources: Tashman (2000), Int. J. of Forecasting 16(4) (rolling origins); the delta
method for the noise of a count on a transformed scale; Student's t while windows are
few, the errors' own quantiles (as in conformal prediction; Lei et al., 2018, JASA 113)
as they add up; the level asked for follows the intervals' own hits and misses (adaptive
conformal inference). Errors of one origin share a shock, errors of overlapping windows
share days: both count.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from playbook.measures.customer_windows import band_coverage, count_bands
from playbook.methods.race import MIN_ORIGINS

__all__ = [
    "MIN_ORIGINS",
    "NOT_YET",
    "origin_days",
    "rolling_origin",
    "accuracy",
    "champion",
    "predictive_intervals",
    "score_intervals",
    "coverage",
    "count_bands",
    "band_coverage",
]

NOT_YET = "not yet calibrated"
CLAIM = 4  # windows of the past that a model's own claim outweighs: its errors repeat less often than they look
STEP_SIZE = 0.1  # how far an origin's share of misses moves the level asked for: many subjects' at once, surer than one
KEY = ["model", "measure", "horizon_days", "kind"]  # errors are pooled within these


def origin_days(first: Any, last: Any, *, every_days: int = 14) -> list[pd.Timestamp]:
    """Days to stand on, `every_days` apart, counted back from `last`, none before
    `first`; in order.
    """
    first, last = pd.Timestamp(first), pd.Timestamp(last)
    n = max((last - first).days // every_days + 1, 0)
    return [last - pd.Timedelta(days=every_days * k) for k in range(n)][::-1]


def rolling_origin(
    log: pd.DataFrame,
    predict: Callable[[pd.DataFrame, pd.Timestamp], Any],
    compare: Callable[[Any, pd.DataFrame, int], pd.DataFrame],
    *,
    origins: Sequence[Any],
    horizons_days: Sequence[int],
    as_of: Any,
    day: str = "day_on",
) -> pd.DataFrame:
    """Forecast from every origin with the rows up to it only, and compare with the rows
    after it.

    `predict(past, origin)` never sees a later row; `compare(forecast, future,
    horizon_days)` gets the rows of the next `horizon_days` and returns one row per
    model, measure, kind and subject: point, actual, unit. The result adds origin_on,
    horizon_days, due_on. A window that ends after `as_of` is left out, never counted as
    zero.
    """
    as_of, days = pd.Timestamp(as_of), pd.to_datetime(log[day])
    log = log.loc[days <= as_of].assign(**{day: days})
    frames = []
    for origin in map(pd.Timestamp, sorted(origins)):
        horizons = [h for h in horizons_days if origin + dt.timedelta(days=int(h)) <= as_of]
        if not horizons:
            continue
        forecast = predict(log[log[day] <= origin], origin)
        for horizon in horizons:
            due = origin + pd.Timedelta(days=int(horizon))
            frame = compare(forecast, log[(log[day] > origin) & (log[day] <= due)], int(horizon))
            frames.append(frame.assign(origin_on=origin, horizon_days=int(horizon), due_on=due))
    if not frames:
        return pd.DataFrame(
            columns=["origin_on", "due_on", *KEY, "subject", "point", "actual", "unit"]
        )
    front = ["origin_on", "due_on", *KEY, "subject", "point", "actual", "unit"]
    out = pd.concat(frames, ignore_index=True)
    out = out[front + [column for column in out.columns if column not in front]]
    return out.sort_values(["origin_on", *KEY, "subject"], kind="stable", ignore_index=True)


def accuracy(
    backtest: pd.DataFrame, *, by: Sequence[str] = ("model", "measure", "horizon_days")
) -> pd.DataFrame:
    """One row per `by`: n_origins, predicted, actual, bias_share (sum of predicted over
    sum of actual - 1), mae_share (sum of absolute errors over sum of actual) of the
    totals. Rows without a point are not counted.
    """
    known = backtest[(backtest["kind"] == "total") & backtest["point"].notna()]
    known = known.assign(off=(known["point"] - known["actual"]).abs())
    out = known.groupby(list(by), sort=True).agg(
        n_origins=("origin_on", "nunique"),
        predicted=("point", "sum"),
        actual=("actual", "sum"),
        off=("off", "sum"),
    )
    base = out["actual"].where(out["actual"] > 0)
    out["bias_share"], out["mae_share"] = out["predicted"] / base - 1, out.pop("off") / base
    return out.reset_index()


def champion(losses: pd.DataFrame, *, naive: Sequence[str], loss: str = "loss") -> pd.DataFrame:
    """Who wins the backtest: one row per model, best first: loss, difference to the
    best naive model, is_champion.

    `losses`: one row per model and origin (columns model, origin_on, horizon_days,
    `loss`). Models are compared on the origins all eligible models have; a model that
    could not forecast at more than a fifth of the origins, or at the last one, is not
    eligible. Ties go to the name that comes first. No rows where no window has ended
    yet.
    """
    if losses.empty or losses[loss].isna().all():
        columns = [
            "model",
            "n_windows",
            "loss",
            "is_naive",
            "over_naive_share",
            "status",
            "is_champion",
        ]
        return pd.DataFrame(columns=columns)
    wide = losses.pivot_table(
        index=["origin_on", "horizon_days"], columns="model", values=loss
    ).dropna(how="all")
    missing = wide.isna().mean()
    last = wide.index.get_level_values(0).max()
    gone = wide[wide.index.get_level_values(0) == last].isna().any()
    eligible = [m for m in wide.columns if missing[m] <= 0.2 and not gone[m]]
    if not eligible:
        return champion(losses[:0], naive=naive, loss=loss)
    common = wide[eligible].dropna()
    table = pd.DataFrame({"model": wide.columns, "n_windows": wide.notna().sum().to_numpy()})
    table["loss"] = table["model"].map(common.mean())
    table["is_naive"] = table["model"].isin(naive)
    floor = table.loc[table["is_naive"], "loss"].min()
    table["over_naive_share"] = table["loss"] / floor - 1 if floor > 0 else np.nan
    table["status"] = np.where(
        table["loss"].notna(), "complete", "could not forecast at every origin"
    )
    table = table.sort_values(["loss", "model"], ignore_index=True)
    return table.assign(is_champion=table.index == 0)


def predictive_intervals(
    forecast: pd.DataFrame,
    backtest: pd.DataFrame,
    *,
    as_of: Any,
    levels: Sequence[float] = (0.8, 0.95),
    half_life_origins: float = 13.0,
) -> pd.DataFrame:
    """Intervals for `forecast` from the errors of `backtest` that had been realised by
    `as_of`.

    `forecast`: model, measure, horizon_days, kind, subject, point, unit. Result: the
    same rows once per level with level, low, mid, high, n_errors (origins behind them)
    and status (`complete`, or `not yet calibrated` with missing limits under eight
    origins). Errors are pooled within model, measure, horizon and kind; recent ones
    weigh more. What a channel differs by for good is told from its errors at every
    horizon in `backtest`.
    """
    seen = backtest[
        (pd.to_datetime(backtest["due_on"]) <= pd.Timestamp(as_of)) & backtest["point"].notna()
    ]
    pools = dict(tuple(seen.groupby(KEY, sort=True))) if len(seen) else {}
    parts = []
    for key, rows in forecast.groupby(KEY, sort=True):
        n, spread, record = pools[key]["origin_on"].nunique() if key in pools else 0, None, []
        if n >= MIN_ORIGINS:
            lasting = _lasting(pools, key, half_life_origins)
            spread = _spread(pools[key], half_life_origins, lasting(as_of))
            record = _scored(pools[key], levels, half_life_origins, lasting, wanted=())[1]
        parts.extend(
            _limits(rows, spread, level, n, _asked(record, as_of, level)) for level in levels
        )
    columns = [*forecast.columns, "level", "low", "mid", "high", "n_errors", "status"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def score_intervals(
    backtest: pd.DataFrame,
    *,
    levels: Sequence[float] = (0.8, 0.95),
    half_life_origins: float = 13.0,
    only: dict[Any, str] | None = None,
) -> pd.DataFrame:
    """Every past forecast with the interval it would have carried that day, and whether
    the outcome lay in it.

    Adds level, low, mid, high, n_errors, status, is_covered (missing where not yet
    calibrated) to the rows of `backtest`. `only`: the one model to score at each origin
    (all errors of a model still count).
    """
    known, parts = backtest[backtest["point"].notna()], []
    pools, told = dict(tuple(known.groupby(KEY, sort=True))), {}
    for key, pool in pools.items():
        wanted = (
            None if only is None else [origin for origin, name in only.items() if name == key[0]]
        )
        if wanted is None or wanted:
            needed = pool if wanted is None else pool[pool["origin_on"] <= max(wanted)]
            lasting = told.setdefault(
                (key[0], key[1], key[3]), _lasting(pools, key, half_life_origins)
            )
            parts += _scored(needed, levels, half_life_origins, lasting, wanted=wanted)[0]
    if not parts:
        empty = dict.fromkeys(("level", "low", "mid", "high", "n_errors"), np.nan)
        return backtest.assign(
            **empty, status=NOT_YET, is_covered=pd.array([pd.NA] * len(backtest), "boolean")
        )
    out = pd.concat(parts, ignore_index=True)
    inside = (out["actual"] >= out["low"]) & (out["actual"] <= out["high"])
    return out.assign(is_covered=inside.astype("boolean").where(out["status"] == "complete"))


def coverage(scored: pd.DataFrame, *, by: Sequence[str] = ("level",)) -> pd.DataFrame:
    """One row per `by`: n_intervals scored, n_not_yet, covered_share (missing where
    none), mean_width_share.
    """
    scored = scored.assign(
        width=(scored["high"] - scored["low"]) / scored["point"].where(scored["point"] > 0),
        not_yet=scored["status"] != "complete",
    )
    out = scored.groupby(list(by), sort=True).agg(
        n_intervals=("is_covered", "count"),
        n_not_yet=("not_yet", "sum"),
        covered_share=("is_covered", "mean"),
        median_width_share=("width", "median"),
    )
    return out.astype({"covered_share": float}).reset_index()


def _scaled(frame: pd.DataFrame, column: str) -> np.ndarray:
    return np.arcsinh(frame[column].to_numpy(float) / frame["unit"].to_numpy(float))


def _noise(frame: pd.DataFrame) -> np.ndarray:
    """Variance of a Poisson count of size point / unit on the asinh scale."""
    size = np.maximum(frame["point"].to_numpy(float) / frame["unit"].to_numpy(float), 0.05)
    return size / (1 + size**2)


@dataclass(frozen=True)
class _Spread:
    """Past errors of one pool: their centre, the variance of what all subjects of an
    origin share (widened for few independent windows), of what they do not (tau + phi *
    noise), and how many standard errors hold a level.
    """

    centre: float
    offsets: dict[str, float]
    shared: float
    tau: float
    phi: float
    free: float
    trust: float
    sizes: np.ndarray
    weight: np.ndarray
    n: int

    def reach(self, level: float) -> float:
        """Student's t for few windows, giving way to the past errors' own quantile as
        independent windows add up.
        """
        from scipy.stats import t

        wide = float(t.ppf(0.5 + level / 2, self.free))
        if self.trust == 0:
            return wide
        order = np.argsort(self.sizes, kind="stable")
        so_far = self.weight[order].cumsum()
        own = self.sizes[order][min(np.searchsorted(so_far, level * so_far[-1]), len(order) - 1)]
        return self.trust * float(own) + (1 - self.trust) * wide


@dataclass(frozen=True)
class _Past:
    """Errors of one pool, row by row, and by origin what all subjects share; `alone`:
    windows worth, side by side.
    """

    n: int
    at: np.ndarray
    age: np.ndarray
    alone: float
    error: np.ndarray
    noise: np.ndarray
    trust: np.ndarray
    common: np.ndarray
    tau: float
    phi: float


def _past(pool: pd.DataFrame, half_life: float) -> _Past:
    """Errors of neighbouring origins share days: n windows of h days, g apart, are
    worth about 1 + (n - 1) g / h.
    """
    origins = np.sort(pool["origin_on"].unique())
    n = len(origins)
    at = np.searchsorted(origins, pool["origin_on"].to_numpy())
    age = 0.5 ** ((n - 1 - np.arange(n)) / half_life)
    apart = float(np.median(np.diff(origins) / np.timedelta64(1, "D"))) / float(
        pool["horizon_days"].iloc[0]
    )
    alone = max(1 + (age.sum() ** 2 / (age**2).sum() - 1) * min(1.0, apart), 1.5)
    error, noise = _scaled(pool, "actual") - _scaled(pool, "point"), _noise(pool)
    trust = 1 / (noise + noise.mean())
    common = np.bincount(at, error * trust, n) / np.bincount(at, trust, n)
    tau, phi, each = 0.0, 1.0, len(pool) / n
    if each > 1.5:
        tau, phi = _two_parts((error - common[at]) ** 2 * each / (each - 1), noise, age[at])
    return _Past(n, at, age, alone, error, noise, trust, common, tau, phi)


def _spread(pool: pd.DataFrame, half_life: float, offsets: dict[str, float]) -> _Spread:
    p = _past(pool, half_life)
    common_noise = (
        np.bincount(p.at, p.trust**2 * p.noise, p.n) / np.bincount(p.at, p.trust, p.n) ** 2
    )
    believed = p.alone / (p.alone + CLAIM)
    centre = float(np.average(p.common, weights=p.age)) * believed
    shared = max(float(np.average((p.common - centre) ** 2 - common_noise, weights=p.age)), 0.0)
    error = (
        p.error - pool["subject"].map(offsets).fillna(0.0).to_numpy(float) if offsets else p.error
    )
    sizes = np.abs(error - centre) / np.sqrt(shared + p.tau + p.phi * p.noise)
    wider = (1 + believed**2 / p.alone) / (
        1 - believed * (2 - believed) / p.alone
    )  # as far as the centre is a guess
    believe = min(1.0, (p.alone - 1) / 6) if len(pool) >= 60 else 0.0
    return _Spread(
        centre,
        offsets,
        shared * wider,
        p.tau,
        p.phi,
        max(p.alone, 2.0),
        believe,
        sizes,
        p.age[p.at],
        p.n,
    )


def _lasting(
    pools: dict[tuple, pd.DataFrame], key: tuple, half_life: float
) -> Callable[[Any], dict[str, float]]:
    """What each channel differs by from the rest for good, as known on a day (nothing
    for other kinds: tenths hold new people each time). Every horizon tells it; each
    weighs by its windows worth, so that short ones say most.
    """
    model, measure, _, kind = key
    family = [
        pool
        for (m, what, _, k), pool in pools.items()
        if (m, what, k) == (model, measure, "channel")
    ]

    @cache
    def known(day: Any) -> dict[str, float]:
        seen = [pool[pool["due_on"] <= pd.Timestamp(day)] for pool in family if kind == "channel"]
        seen = [
            (pool, _past(pool, half_life))
            for pool in seen
            if pool["origin_on"].nunique() >= MIN_ORIGINS
        ]
        if not seen:
            return {}
        own = pd.DataFrame(
            [
                _offsets(
                    pool["subject"],
                    p.error - p.common[p.at],
                    p.trust * p.age[p.at],
                    p.phi * p.noise / p.alone,
                )
                for pool, p in seen
            ]
        ).fillna(0.0)
        return dict(
            zip(
                own.columns,
                np.average(own, axis=0, weights=[p.alone for _, p in seen]),
                strict=True,
            )
        )

    return known


def _offsets(
    subject: pd.Series, gap: np.ndarray, weight: np.ndarray, noise: np.ndarray
) -> dict[str, float]:
    """Lasting difference of each subject from the rest, shrunk as far as its noise asks
    (empirical Bayes).
    """
    rows = pd.DataFrame({"gap": gap * weight, "weight": weight, "noise": noise}).groupby(
        subject.to_numpy()
    )
    own, unsure = rows["gap"].sum() / rows["weight"].sum(), rows["noise"].mean()
    real = max(float(np.average(own**2 - unsure, weights=1 / unsure)), 0.0)
    return (own * real / (real + unsure)).to_dict()


def _two_parts(square: np.ndarray, noise: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Squared errors as tau + phi * noise, weighted: + tau >= 0, and phi >= 1: noise
    cannot be less than Poisson's.
    """
    from scipy.optimize import nnls

    trust = np.sqrt(weight) / (noise + np.average(noise, weights=weight) + 1e-12)
    sides = np.column_stack([np.ones_like(noise), noise]) * trust[:, None]
    rest, _ = nnls(sides, np.maximum(square - noise, 0) * trust)
    return float(rest[0]), 1 + float(rest[1])


def _scored(
    pool: pd.DataFrame,
    levels: Sequence[float],
    half_life: float,
    lasting: Callable[[Any], dict[str, float]],
    *,
    wanted: Sequence[Any] | None,
) -> tuple[list[pd.DataFrame], list[tuple]]:
    """The origins of one pool with the limits they would have carried (`wanted` ones;
    None: all), and what became of all of them: day due, level, share of subjects
    outside.
    """
    parts, record, due = [], [], pool["due_on"].to_numpy()
    for origin, rows in pool.groupby("origin_on", sort=True):
        seen = pool[due <= origin]
        n = seen["origin_on"].nunique()
        spread = _spread(seen, half_life, lasting(origin)) if n >= MIN_ORIGINS else None
        for level in levels:
            asked, actual = _asked(record, origin, level), rows["actual"].to_numpy(float)
            if wanted is None or origin in wanted:
                parts.append(_limits(rows, spread, level, n, asked))
            if spread is not None:
                low, _, high = _band(rows, spread, asked)
                record.append(
                    (
                        rows["due_on"].iloc[0],
                        level,
                        float(((actual < low) | (actual > high)).mean()),
                    )
                )
    return parts, record


def _asked(record: list[tuple], day: Any, level: float) -> float:
    """The level to ask for so that `level` holds (adaptive conformal inference; Gibbs &
    Candès 2021, NeurIPS 34): each realised origin with too many subjects outside raises
    it, each with too few lowers it.
    """
    outside = [share for due, own, share in record if own == level and due <= pd.Timestamp(day)]
    asked = level + STEP_SIZE * sum(share - (1 - level) for share in outside)
    return float(np.clip(asked, level - (1 - level), level + 0.9 * (1 - level)))


def _band(
    rows: pd.DataFrame, spread: _Spread, asked: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    wide = spread.reach(asked) * np.sqrt(spread.shared + spread.tau + spread.phi * _noise(rows))
    own = rows["subject"].map(spread.offsets).fillna(0.0).to_numpy(float) if spread.offsets else 0.0
    middle, unit = _scaled(rows, "point") + spread.centre + own, rows["unit"].to_numpy(float)
    low, high = unit * np.sinh(middle - wide), unit * np.sinh(middle + wide)
    if (
        rows["measure"].iloc[0] == "purchases"
    ):  # a count is whole, each standing for half a purchase either side
        low, high = np.round(np.maximum(low, 0)), np.round(high)
    return low, unit * np.sinh(middle), high


def _limits(
    rows: pd.DataFrame, spread: _Spread | None, level: float, n: int, asked: float
) -> pd.DataFrame:
    if spread is None:
        return rows.assign(
            level=level, low=np.nan, mid=np.nan, high=np.nan, n_errors=n, status=NOT_YET
        )
    low, mid, high = _band(rows, spread, asked)
    return rows.assign(level=level, low=low, mid=mid, high=high, n_errors=n, status="complete")
