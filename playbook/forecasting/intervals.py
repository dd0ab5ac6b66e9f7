"""Evidence: what a forecast was worth on the shop's own past, and how wide its interval
has to be.

*Calibrated*: an interval's centre and width come from errors realised before the day it
is made (never from how well parameters are known), and its coverage so far is printed
beside it. Errors are taken on the scale asinh(amount / unit), which is a log ratio for
large amounts and an ordinary difference near and below zero, so refunds larger than
purchases do no harm.

Sources: the delta method for the noise of a count on a transformed scale; Student's t
while windows are few, the errors' own quantiles (as in conformal prediction; Lei et
al., 2018, JASA 113) as they add up; the level asked for follows the intervals' own hits
and misses (adaptive conformal inference; Gibbs & Candès 2021, NeurIPS 34). Errors of
one origin share a shock, errors of overlapping windows share days: both count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame, Timestamp

from playbook.given import dated
from playbook.methods.backtest import KEY, MIN_ORIGINS, Day
from playbook.methods.proportions import wilson

__all__ = ["NOT_YET", "accuracy", "coverage", "predictive_intervals", "score_intervals"]

NOT_YET = "not yet calibrated"
#: windows of the past that a model's own claim outweighs: its errors repeat less often
#: than they look
CLAIM = 4
#: how far an origin's share of misses moves the level asked for: many subjects' at
#: once, surer than one
STEP_SIZE = 0.1
#: origins after which an error counts half
HALF_LIFE = 13.0
#: errors from which on their own quantile is believed at all
MANY_ERRORS = 60

Offsets = dict[str, float]


def accuracy(
    backtest: DataFrame, *, by: Sequence[str] = ("model", "measure", "horizon_days")
) -> DataFrame:
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


@dated
def predictive_intervals(
    forecast: DataFrame,
    backtest: DataFrame,
    *,
    as_of: Day,
    levels: Sequence[float] = (0.8, 0.95),
) -> DataFrame:
    """Intervals for `forecast` from the errors of `backtest` that had been realised by
    `as_of`.

    `forecast`: model, measure, horizon_days, kind, subject, point, unit. Result: the
    same rows once per level with level, low, mid, high, n_errors (origins behind them)
    and status (`complete`, or `not yet calibrated` with missing limits under eight
    origins). Errors are pooled within model, measure, horizon and kind; recent ones
    weigh more. What a channel differs by for good is told from its errors at every
    horizon in `backtest`.
    """
    now = Timestamp(as_of)
    pools = _pools(backtest[pd.to_datetime(backtest["due_on"]) <= now])
    lasting, parts = _lasting(pools), []
    for key, rows in forecast.groupby(KEY, sort=True):
        n, spread, record = 0, None, []
        if key in pools:
            n, spread = _known(pools[key], lasting(key, now))
        if spread is not None:
            record = _scored(
                pools[key],
                levels,
                lasting,
                wanted=(),
            )[1]
        parts += [
            rows.assign(**_limits(rows, spread, level, n, _asked(record, now, level)))
            for level in levels
        ]
    nothing = [forecast.assign(**_limits(forecast, None, np.nan, 0, np.nan))]
    return pd.concat(parts or nothing, ignore_index=True)


def score_intervals(
    backtest: DataFrame,
    *,
    levels: Sequence[float] = (0.8, 0.95),
    only: dict[Timestamp, str] | None = None,
) -> DataFrame:
    """Every past forecast with the interval it would have carried that day, and whether
    the outcome lay in it.

    Adds level, low, mid, high, n_errors, status, is_covered (missing where not yet
    calibrated) to the rows of `backtest`. `only`: the one model to score at each origin
    (all errors of a model still count).
    """
    pools = _pools(backtest)
    lasting, parts = _lasting(pools), []
    for key, pool in pools.items():
        origins = set(pool["origin_on"])
        wanted = origins if only is None else {day for day, name in only.items() if name == key[0]}
        # a pool may begin after the last day its model was asked
        pool = pool[pool["origin_on"] <= max(wanted)] if wanted else pool[:0]
        if len(pool):
            scored, _record = _scored(pool, levels, lasting, wanted=wanted)
            parts.append(scored)
    nothing = [backtest.assign(**_limits(backtest, None, np.nan, 0, np.nan))]
    out = pd.concat(parts or nothing, ignore_index=True)
    is_inside = (out["actual"] >= out["low"]) & (out["actual"] <= out["high"])
    is_covered = is_inside.astype("boolean").where(out["status"] == "complete")
    return out.assign(is_covered=is_covered)


def coverage(scored: DataFrame, *, by: Sequence[str] = ("level",)) -> DataFrame:
    """One row per `by`: n_intervals scored, n_not_yet, covered_share (missing where
    none), covered_low and covered_high (95 %, Wilson's for as many windows as lie side by
    side: windows of one horizon share days, and horizons share windows),
    median_width_share (width over the forecast).
    """
    scored = scored.assign(
        width=(scored["high"] - scored["low"]) / scored["point"].where(scored["point"] > 0),
        not_yet=scored["status"] != "complete",
    )
    groups = scored.groupby(list(by), sort=True)
    out = groups.agg(
        n_intervals=("is_covered", "count"),
        n_not_yet=("not_yet", "sum"),
        covered_share=("is_covered", "mean"),
        median_width_share=("width", "median"),
    )
    out = out.astype({"covered_share": float})
    alone = np.array([_side_by_side(rows) for _key, rows in groups], float)
    low, high = wilson(out["covered_share"].fillna(0.0) * alone, alone)
    at = out.columns.get_loc("covered_share") + 1
    out.insert(at, "covered_low", low)
    out.insert(at + 1, "covered_high", high)
    return out.reset_index()


def _side_by_side(scored: DataFrame) -> float:
    """Windows worth, side by side, of the horizon that has most of them; missing where no
    interval is scored.
    """
    judged = scored[scored["is_covered"].notna()]
    worth = [np.nan]
    for days, rows in judged.groupby("horizon_days"):
        origins = np.sort(rows["origin_on"].unique())
        apart = np.diff(origins) / np.timedelta64(1, "D")
        gap = float(np.median(apart)) if len(apart) else float(days)
        worth.append(1 + (len(origins) - 1) * min(1.0, gap / float(days)))
    return float(np.fmax.reduce(worth))


def _pools(backtest: DataFrame) -> dict[tuple, DataFrame]:
    """Errors that are pooled, by the values of `KEY`."""
    return dict(tuple(backtest[backtest["point"].notna()].groupby(KEY, sort=True)))


def _scaled(frame: DataFrame, column: str) -> ndarray:
    return np.arcsinh(frame[column].to_numpy(float) / frame["unit"].to_numpy(float))


def _noise(frame: DataFrame) -> ndarray:
    """Variance of a Poisson count of size point / unit on the asinh scale."""
    size = np.maximum(frame["point"].to_numpy(float) / frame["unit"].to_numpy(float), 0.05)
    return size / (1 + size**2)


@dataclass(frozen=True)
class _Past:
    """Errors of one pool, row by row (`at`: the place of a row's origin), and by origin
    their weight by `age` and what all subjects have in `common`; `alone`: windows
    worth, side by side. What they do not share has the variance tau + phi * noise.
    """

    n: int
    at: ndarray
    age: ndarray
    alone: float
    error: ndarray
    noise: ndarray
    trust: ndarray
    common: ndarray
    tau: float
    phi: float


def _past(pool: DataFrame) -> _Past:
    """Errors of neighbouring origins share days: n windows of h days, g apart, are
    worth about 1 + (n - 1) g / h.
    """
    origins = np.sort(pool["origin_on"].unique())
    n, at = len(origins), np.searchsorted(origins, pool["origin_on"].to_numpy())
    age = 0.5 ** ((n - 1 - np.arange(n)) / HALF_LIFE)
    days_apart = float(np.median(np.diff(origins) / np.timedelta64(1, "D")))
    apart = days_apart / float(pool["horizon_days"].iloc[0])
    alone = max(1 + (age.sum() ** 2 / (age**2).sum() - 1) * min(1.0, apart), 1.5)
    error, noise = _scaled(pool, "actual") - _scaled(pool, "point"), _noise(pool)
    trust = 1 / (noise + noise.mean())
    common = np.bincount(at, error * trust, n) / np.bincount(at, trust, n)
    tau, phi, each = 0.0, 1.0, len(pool) / n
    if each > 1.5:
        square = (error - common[at]) ** 2 * each / (each - 1)
        tau, phi = _two_parts(square, noise, age[at])
    return _Past(
        n,
        at,
        age,
        alone,
        error,
        noise,
        trust,
        common,
        tau,
        phi,
    )


@dataclass(frozen=True)
class _Spread:
    """What past errors say of the next: their centre, the lasting `offsets` of
    subjects, the variance all subjects of an origin share (widened for few independent
    windows), and the errors' `sizes` in standard deviations.
    """

    past: _Past
    offsets: Offsets
    centre: float
    shared: float
    sizes: ndarray

    def reach(self, level: float) -> float:
        """Student's t for few windows, giving way to the past errors' own quantile as
        independent windows add up.
        """
        from scipy.stats import t

        wide = float(t.ppf(0.5 + level / 2, max(self.past.alone, 2.0)))
        if len(self.sizes) < MANY_ERRORS:
            return wide
        trust = min(1.0, (self.past.alone - 1) / 6)
        order = np.argsort(self.sizes, kind="stable")
        so_far = self.past.age[self.past.at][order].cumsum()
        place = min(np.searchsorted(so_far, level * so_far[-1]), len(order) - 1)
        return trust * float(self.sizes[order][place]) + (1 - trust) * wide


def _spread(pool: DataFrame, offsets: Offsets) -> _Spread:
    past = _past(pool)
    weight = np.bincount(past.at, past.trust, past.n)
    common_noise = np.bincount(past.at, past.trust**2 * past.noise, past.n) / weight**2
    believed = past.alone / (past.alone + CLAIM)
    centre = float(np.average(past.common, weights=past.age)) * believed
    squares = (past.common - centre) ** 2 - common_noise
    shared = max(float(np.average(squares, weights=past.age)), 0.0)
    own = shared + past.tau + past.phi * past.noise
    sizes = np.abs(past.error - _own(pool, offsets) - centre) / np.sqrt(own)
    # wider as far as the centre is a guess
    wider = (1 + believed**2 / past.alone) / (1 - believed * (2 - believed) / past.alone)
    return _Spread(
        past,
        offsets,
        centre,
        shared * wider,
        sizes,
    )


def _known(pool: DataFrame, offsets: Offsets) -> tuple[int, _Spread | None]:
    """Origins of a pool, and the spread of its errors where they are enough."""
    n = pool["origin_on"].nunique()
    return n, _spread(pool, offsets) if n >= MIN_ORIGINS else None


def _own(rows: DataFrame, offsets: Offsets) -> ndarray | float:
    return rows["subject"].map(offsets).fillna(0.0).to_numpy(float) if offsets else 0.0


def _lasting(pools: dict[tuple, DataFrame]) -> Callable[[tuple, Timestamp], Offsets]:
    """What each channel differs by from the rest for good, as known on a day (nothing
    for other kinds: tenths hold new people each time). Every horizon tells it; each
    weighs by its windows worth, so that short ones say most.
    """

    @cache
    def known(model: str, measure: str, day: Timestamp) -> Offsets:
        family = [
            pool[pool["due_on"] <= day]
            for (of_model, of_measure, _, kind), pool in pools.items()
            if (of_model, of_measure, kind) == (model, measure, "channel")
        ]
        family = [pool for pool in family if pool["origin_on"].nunique() >= MIN_ORIGINS]
        if not family:
            return {}
        pasts = [_past(pool) for pool in family]
        rows = [_offsets(pool["subject"], past) for pool, past in zip(family, pasts, strict=True)]
        table = DataFrame(rows).fillna(0.0)
        means = np.average(table, axis=0, weights=[past.alone for past in pasts])
        return dict(zip(table.columns, means, strict=True))

    def lasting(key: tuple, day: Timestamp) -> Offsets:
        model, measure, _, kind = key
        return known(model, measure, day) if kind == "channel" else {}

    return lasting


def _offsets(subject: pd.Series, past: _Past) -> Offsets:
    """Lasting difference of each subject from the rest, shrunk as far as its noise asks
    (empirical Bayes).
    """
    weight = past.trust * past.age[past.at]
    gap = (past.error - past.common[past.at]) * weight
    noise = past.phi * past.noise / past.alone
    rows = DataFrame({"gap": gap, "weight": weight, "noise": noise})
    rows = rows.groupby(subject.to_numpy())
    own, unsure = rows["gap"].sum() / rows["weight"].sum(), rows["noise"].mean()
    real = max(float(np.average(own**2 - unsure, weights=1 / unsure)), 0.0)
    return (own * real / (real + unsure)).to_dict()


def _two_parts(square: ndarray, noise: ndarray, weight: ndarray) -> tuple[float, float]:
    """Squared errors as tau + phi * noise, weighted: tau >= 0, and phi >= 1: noise
    cannot be less than Poisson's.
    """
    from scipy.optimize import nnls

    trust = np.sqrt(weight) / (noise + np.average(noise, weights=weight) + 1e-12)
    sides = np.column_stack([np.ones_like(noise), noise]) * trust[:, None]
    rest, _ = nnls(sides, np.maximum(square - noise, 0) * trust)
    return float(rest[0]), 1 + float(rest[1])


def _scored(
    pool: DataFrame,
    levels: Sequence[float],
    lasting: Callable[[tuple, Timestamp], Offsets],
    *,
    wanted: Sequence[Timestamp] | set[Timestamp],
) -> tuple[DataFrame, list[tuple]]:
    """The origins of one pool with the limits they would have carried (`wanted` ones),
    and what became of all of them: day due, level, share of subjects outside.
    """
    places, limits, record, due = [], [], [], pool["due_on"].to_numpy()
    key = tuple(pool[KEY].iloc[0])
    for origin, at in pool.groupby("origin_on", sort=True).indices.items():
        rows = pool.iloc[at]
        n, spread = _known(pool[due <= origin], lasting(key, origin))
        for level in levels:
            asked, actual = _asked(record, origin, level), rows["actual"].to_numpy(float)
            if origin in wanted:
                places.append(at)
                limits.append(_limits(rows, spread, level, n, asked))
            if spread is not None:
                low, _, high = _band(rows, spread, asked)
                share_outside = float(((actual < low) | (actual > high)).mean())
                record.append((rows["due_on"].iloc[0], level, share_outside))
    if not places:
        return pool[:0].assign(**_limits(pool[:0], None, np.nan, 0, np.nan)), record
    told = {name: np.concatenate([part[name] for part in limits]) for name in limits[0]}
    return pool.iloc[np.concatenate(places)].assign(**told), record


def _asked(record: list[tuple], day: Timestamp, level: float) -> float:
    """The level to ask for so that `level` holds: each realised origin with too many
    subjects outside raises it, each with too few lowers it.
    """
    outside = [share for due, own, share in record if own == level and due <= day]
    asked = level + STEP_SIZE * sum(share - (1 - level) for share in outside)
    return float(np.clip(asked, level - (1 - level), level + 0.9 * (1 - level)))


def _band(rows: DataFrame, spread: _Spread, asked: float) -> tuple[ndarray, ndarray, ndarray]:
    past, unit = spread.past, rows["unit"].to_numpy(float)
    wide = spread.reach(asked) * np.sqrt(spread.shared + past.tau + past.phi * _noise(rows))
    middle = _scaled(rows, "point") + spread.centre + _own(rows, spread.offsets)
    low, high = unit * np.sinh(middle - wide), unit * np.sinh(middle + wide)
    # a count is whole, each standing for half a purchase either side
    if rows["measure"].iloc[0] == "purchases":
        low, high = np.round(np.maximum(low, 0)), np.round(high)
    return low, unit * np.sinh(middle), high


def _limits(
    rows: DataFrame, spread: _Spread | None, level: float, n: int, asked: float
) -> dict[str, ndarray]:
    """The columns that an interval adds to rows."""
    low = mid = high = np.full(len(rows), np.nan)
    if spread is not None:
        low, mid, high = _band(rows, spread, asked)
    status = NOT_YET if spread is None else "complete"
    return {
        "level": np.full(len(rows), level),
        "low": low,
        "mid": mid,
        "high": high,
        "n_errors": np.full(len(rows), n),
        "status": np.full(len(rows), status, object),
    }
