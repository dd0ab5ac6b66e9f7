"""A shop's promotions, one by one: which days and skus, what would have been, what it
cost, and whether it paid.

The effect itself is estimated in `methods.promotion`; here its inputs are gathered from
`sku_days` and the calendar, and its parts turned into money: promo_roi = (incremental
margin − cost of the promotion) / cost. The discount is inside the margin earned and in
no cost, so it is counted once. What a promotion does to other skus and to the days
after it drowns in the noise of the whole shop; these side effects, per unit of what was
promoted, are therefore shrunk towards those of all the shop's promotions (random
effects, DerSimonian & Laird, Controlled Clinical Trials 1986).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Timestamp

from playbook.chapters.assortment_pricing.assortment import (
    category_of,
)
from playbook.given import dated
from playbook.methods.promotion import (
    PromotionEffect,
    placebo_reach,
    promotion_effect,
)
from playbook.store import expression
from playbook.tables import frame_of

Array = np.ndarray
Table = ibis.Table | DataFrame

__all__ = ["promotion_review"]

#: promotions of so many months are shown, and of so many their side effects pooled
MONTHS, POOL_MONTHS = 13, 18
#: promotions whose side effects must be known before they are pooled
MIN_POOLED = 5
CONFIDENCE = 0.9
#: a set's day counts as ordinary when less than this of its sales was on promotion
QUIET_SHARE = 0.05
#: days before the promotion from which normal margin is read, and ordinary ones it needs
MARGIN_DAYS, MIN_QUIET_DAYS = 56, 14


@dataclass(frozen=True)
class _Promotion:
    """One promotion of the calendar with the days of its three sets (promoted, same
    categories, rest) and the effect estimated from them.

    `facts` is its row of the calendar; `units` is (set, day); `first` and `last` are its
    places in `day`; `size` (part,) is the share of its skus in what the shop usually
    sells, times its days and the usual margin of each part.
    """

    facts: dict[str, Any]
    day: pd.DatetimeIndex
    units: Array
    first: int
    last: int
    n_skus: int
    effect: PromotionEffect
    size: Array


@dated
def promotion_review(
    sku_days: Table,
    promotions: Table,
    *,
    as_of: dt.date,
    products: Table | None = None,
    variable_share: float = 0.0,
    after_days: int = 14,
) -> tuple[DataFrame, dict[str, DataFrame]]:
    """The result table `promo`, one row per promotion that ended in the last 13 months,
    newest last, and the daily counterfactual of each (day_on, actual, baseline of the
    promoted skus, is_promo).

    Incremental margin is direct less cannibalised plus halo less margin pulled forward,
    before the promotion's cost; side effects are pooled over 18 months; low, high from
    placebo windows. status is `partial` while after-days are still to come. naive_units
    is tempting: promoted units less those of as many days just before. verdict:
    undecided while the interval holds the cost; repeat above it; below it stop, or
    change where it surely earned something (a cheaper one could pay). Margins are
    missing where a cost is.
    """
    t = expression(sku_days)
    t = t.mutate(day_on=_.day_on.cast("date")).filter(_.day_on <= as_of)
    usual = _usual_sales(t, products)
    calendar = _calendar(promotions, as_of)
    sets = {str(row["promo_id"]): _sets(row, usual) for row in calendar}
    sets = {name: table for name, table in sets.items() if (table.part == 0).any()}
    if not sets:
        return frame_of("assortment_pricing.promo", []), {}
    sums = _daily_sums(t, sets)
    day = pd.date_range(sums.day_on.min(), Timestamp(as_of))
    parts = dict(tuple(sums.groupby("promo_id")))
    found = [
        _estimated(
            facts,
            sets[name],
            parts[name],
            day,
            variable_share,
            after_days,
        )
        for facts in calendar
        if (name := str(facts["promo_id"])) in sets
    ]
    moved, errors = _shrunk(found)
    since = Timestamp(as_of) - pd.DateOffset(months=MONTHS)
    rows, course = [], {}
    for promo, margin, error in zip(found, moved, errors, strict=True):
        if promo.facts["ends_on"] > since:
            seen_on = promo.facts["ends_on"] + pd.Timedelta(days=after_days)
            is_over = Timestamp(as_of) >= seen_on
            rows.append(_row(promo, margin, error, is_over))
            course[promo.facts["promo_id"]] = _course(promo, after_days)
    return frame_of("assortment_pricing.promo", rows), course


def _calendar(promotions: Table, as_of: dt.date) -> list[dict[str, Any]]:
    """The promotions that ended by as-of and are not too old to be pooled, in order."""
    calendar = expression(promotions).to_pandas()
    for column in ("starts_on", "ends_on"):
        calendar[column] = pd.to_datetime(calendar[column])
    starts, ends, today = (
        calendar.starts_on,
        calendar.ends_on,
        Timestamp(as_of),
    )
    oldest = today - pd.DateOffset(months=max(MONTHS, POOL_MONTHS))
    calendar = calendar[(ends >= starts) & (ends <= today) & (ends > oldest)]
    return calendar.sort_values(["starts_on", "promo_id"]).to_dict("records")


def _usual_sales(t: ibis.Table, products: Table | None) -> DataFrame:
    """One row per sku: units a day outside promotions, and its category."""
    n_days = t.units.count(where=~t.is_on_promo).nullif(0)
    units = t.units.sum(where=~t.is_on_promo).fill_null(0).cast("float64")
    usual = t.group_by("sku").aggregate(usual=units / n_days).order_by("sku").to_pandas()
    category = category_of(usual.sku, products).fillna("none")
    return usual.fillna({"usual": 0.0}).assign(category=category)


def _sets(facts: dict[str, Any], usual: DataFrame) -> DataFrame:
    """Every sku with its part: 0 promoted, 1 of the same categories, 2 the rest. A
    promotion that names no sku is on all of them.
    """
    named = facts.get("skus")
    listed = "" if pd.isna(named) else str(named).replace(",", " ")
    chosen = usual.sku.isin(listed.split()) | (not listed.strip())
    near = usual.category.isin(usual.loc[chosen, "category"])
    part = np.select([chosen, near], [0, 1], 2)
    return usual.assign(promo_id=str(facts["promo_id"]), part=part)


def _daily_sums(t: ibis.Table, sets: dict[str, DataFrame]) -> DataFrame:
    """Sums of each promotion's three sets by day, from one query."""
    members = pd.concat(sets.values())[["promo_id", "sku", "part", "usual"]]
    j = t.inner_join(ibis.memtable(members), "sku")
    sums = j.group_by("promo_id", "part", "day_on").aggregate(
        units=j.units.sum().cast("float64"),
        goods=j.margin.sum().cast("float64"),
        revenue=j.revenue.sum().cast("float64"),
        unknown=((j.units > 0) & j.margin.isnull()).ifelse(1, 0).sum(),
        on=_exact_sum(j.is_on_promo.ifelse(j.usual, 0.0)),
        all=_exact_sum(j.usual),
    )
    sums = sums.order_by("promo_id", "part", "day_on").to_pandas()
    return sums.assign(day_on=pd.to_datetime(sums.day_on))


def _exact_sum(amounts: ibis.Value) -> ibis.Value:
    """A sum that no order of rows can change."""
    return amounts.round(9).cast("decimal(38, 9)").sum().cast("float64")


def _estimated(
    facts: dict[str, Any],
    sets: DataFrame,
    sums: DataFrame,
    day: pd.DatetimeIndex,
    variable_share: float,
    after_days: int,
) -> _Promotion:
    """The effect of one promotion, estimated from the daily sums of its sets."""
    cells = pd.MultiIndex.from_product([range(3), day])
    grid = sums.drop(columns="promo_id").set_index(["part", "day_on"]).reindex(cells).fillna(0.0)
    names = (
        "units",
        "goods",
        "revenue",
        "unknown",
        "on",
        "all",
    )
    units, goods, revenue, unknown, on, everything = (
        grid[name].to_numpy(float).reshape(3, -1) for name in names
    )
    margin = np.where(unknown > 0, np.nan, goods - variable_share * revenue)
    covered = np.clip(on / np.maximum(everything, 1e-9), 0, 1)
    first = int(day.get_indexer([max(facts["starts_on"], day[0])])[0])
    last = int(day.get_indexer([facts["ends_on"]])[0])
    covered[0, first : last + 1] = 0.0
    normal = _normal_margin(units, margin, covered, first)
    effect = promotion_effect(
        units,
        margin,
        normal,
        covered,
        day.to_numpy(),
        first=first,
        last=last,
        after_days=after_days,
    )
    promoted = sets.part == 0
    weight = sets.loc[promoted, "usual"].sum() / max(sets.usual.sum(), 1e-9)
    n_days = (facts["ends_on"] - facts["starts_on"]).days + 1
    size = weight * n_days * effect.usual
    return _Promotion(
        facts,
        day,
        units,
        first,
        last,
        int(promoted.sum()),
        effect,
        size,
    )


def _normal_margin(units: Array, margin: Array, covered: Array, first: int) -> Array:
    """Margin a unit of each set in its last ordinary days before the promotion."""
    normal = np.zeros(3)
    for part in range(3):
        use = np.flatnonzero(covered[part, :first] < QUIET_SHARE)[-MARGIN_DAYS:]
        if len(use) < MIN_QUIET_DAYS:
            use = np.arange(max(first - MARGIN_DAYS, 0), first)
        sold = units[part, use].sum()
        normal[part] = margin[part, use].sum() / sold if sold > 0 else 0.0
    return normal


def _shrunk(found: list[_Promotion]) -> tuple[Array, Array]:
    """Margin by promotion and part with its error, the side effects (parts 1 to 3)
    shrunk to the shop's usual ones.
    """
    margin = np.array([promo.effect.margin for promo in found])
    error = np.array([promo.effect.margin_error for promo in found])
    size = np.array([promo.size for promo in found])
    for part in range(1, 4):
        with np.errstate(invalid="ignore", divide="ignore"):
            own, noise = (
                margin[:, part] / size[:, part],
                (error[:, part] / size[:, part]) ** 2,
            )
        use = np.isfinite(own) & np.isfinite(noise) & (noise > 0) & (size[:, part] > 0)
        if use.sum() >= MIN_POOLED:
            middle, variance = _random_effects(own[use], noise[use])
            margin[use, part] = middle * size[use, part]
            error[use, part] = np.sqrt(variance) * size[use, part]
    return margin, error


def _random_effects(own: Array, noise: Array) -> tuple[Array, Array]:
    """Each effect drawn towards the mean of all, and its variance (DerSimonian & Laird
    1986).
    """
    w = 1 / noise
    centre = (w * own).sum() / w.sum()
    excess = (w * (own - centre) ** 2).sum() - (len(own) - 1)
    between = max(excess / (w.sum() - (w**2).sum() / w.sum()), 0.0)
    w = 1 / (noise + between)
    centre, unsure = (
        (w * own).sum() / w.sum(),
        between + 1 / w.sum(),
    )
    trust = unsure / (unsure + noise)
    return centre + trust * (own - centre), trust * noise


def _course(promo: _Promotion, after_days: int) -> DataFrame:
    """The promoted skus by day, from four weeks before to the end of the after-days."""
    shown = slice(max(promo.first - 28, 0), promo.last + after_days + 1)
    day = promo.day[shown]
    return DataFrame(
        {
            "day_on": day,
            "actual": promo.units[0, shown],
            "baseline": promo.effect.base[0, shown],
            "is_promo": (day >= promo.facts["starts_on"]) & (day <= promo.facts["ends_on"]),
        }
    )


def _row(
    promo: _Promotion,
    margin: Array,
    error: Array,
    is_over: bool,
) -> dict[str, Any]:
    effect, first, length = (
        promo.effect,
        promo.first,
        promo.last - promo.first + 1,
    )
    before = promo.units[0, max(first - length, 0) : first].sum()
    total = float(margin.sum())
    half = placebo_reach(effect.n_placebo, CONFIDENCE) * np.sqrt((error**2).sum())
    low, high = float(total - half), float(total + half)
    numbers = {name: promo.facts.get(name) for name in ("cost", "depth_share")}
    cost, depth = (np.nan if pd.isna(v) else float(v) for v in numbers.values())
    roi = [(part - cost) / cost if cost > 0 else np.nan for part in (total, low, high)]
    return {
        **{name: promo.facts[name] for name in ("promo_id", "starts_on", "ends_on")},
        "n_skus": promo.n_skus,
        "depth_share": depth,
        "actual_units": effect.actual[0],
        "baseline_units": effect.expected[0],
        "incremental_units": effect.units[0],
        "direct_margin": margin[0],
        "cannibalised_margin": -margin[1],
        "halo_margin": margin[2],
        "pulled_margin": -margin[3],
        "incremental_margin": total,
        "low": low,
        "high": high,
        "cost": cost,
        **dict(
            zip(
                ("promo_roi", "roi_low", "roi_high"),
                roi,
                strict=True,
            )
        ),
        "naive_units": float(effect.actual[0] - before),
        "placebo_bias": effect.placebo_bias,
        "n_placebo": effect.n_placebo,
        "status": "complete" if is_over else "partial",
        "verdict": _verdict(low, high, cost) if is_over else "undecided",
    }


def _verdict(low: float, high: float, cost: float) -> str:
    """What becomes of a promotion: an interval that holds its cost decides nothing."""
    spent = np.nan_to_num(cost)
    if np.isnan(low) or low <= spent <= high:
        return "undecided"
    if low > spent:
        return "repeat"
    return "change" if low > 0 else "stop"
