"""Which carrier for which region: cost, days and damage of the parcels each carried there,
and what orders sent in several parcels cost.

Carriers are held against each other within a region only, parcels of one weight with
parcels of the same: a carrier that serves the far regions, or the heavy parcels, looks dear
whoever it is. A damaged parcel costs its goods again. Days are told beside the money and
not turned into it; nobody is changed for a carrier that is surely slower.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.methods.proportions import Z90, quantile_of_normal, wilson
from playbook.store import expression, one_if
from playbook.tables import empty, frame_of, returns, schema

__all__ = ["SHOWN", "carrier_decisions", "carrier_moves", "carrier_regions", "split_parcels"]

MONTHS = 12
#: parcels of a carrier in a region from which something is said of it
LEAST_PARCELS = 30
#: upper ends of the bands of weight, kg, and parcels in a band from which it is compared
BANDS, LEAST_IN_BAND = (0.5, 1.0, 2.0, 5.0), 5
LEVEL = 0.9
#: share of a parcel's cost that a change must save to be worth its trouble
WORTH_SHARE = 0.05
#: share of the present carrier's parcels that the bands compared must hold
LEAST_SHARE = 0.5
#: changes and tests proposed in a month
MOST_ROWS = 3
#: share of a region's parcels a test sends elsewhere
TRIED = 0.2
DUE_DAYS, REVISIT_DAYS = 14, 90
#: columns to read first
SHOWN = [
    "region",
    "carrier",
    "other",
    "n",
    "n_other",
    "cost_more",
    "damaged_more",
    "more_each",
    "low",
    "high",
    "days_more",
    "a_month",
    "verdict",
]
SUMS = [
    "n",
    "cost",
    "cost2",
    "days",
    "days2",
    "damaged",
]


@returns("inventory_planning.carrier_regions")
def carrier_regions(
    parcels: Table,
    *,
    as_of: dt.date,
    damage_cost: float | None = None,
) -> DataFrame:
    """One carrier in one region over the last twelve months, parcels that came: cost, days
    and damage with their intervals of 90 %, the region's most used carrier first. Under
    thirty parcels nothing is said.
    """
    cells = _cells(parcels, as_of).groupby(["region", "carrier"], as_index=False)[SUMS].sum()
    cells = cells[cells["n"] >= LEAST_PARCELS]
    if cells.empty:
        return empty("inventory_planning.carrier_regions")
    n = cells["n"]
    cost, days = _mean(cells, "cost"), _mean(cells, "days")
    low, high = wilson(cells.damaged, n, LEVEL)
    share = cells.damaged / n
    table = cells[["region", "carrier", "n"]].assign(
        region_share=n / n.groupby(cells.region).transform("sum"),
        cost=cost.mean_,
        cost_low=cost.mean_ - Z90 * cost.error,
        cost_high=cost.mean_ + Z90 * cost.error,
        days=days.mean_,
        days_low=days.mean_ - Z90 * days.error,
        days_high=days.mean_ + Z90 * days.error,
        damaged_share=share,
        damaged_low=low,
        damaged_high=high,
        per_parcel=cost.mean_ + share * (np.nan if damage_cost is None else damage_cost),
    )
    table = table.sort_values(
        ["region", "n", "carrier"],
        ascending=[True, False, True],
        ignore_index=True,
    )
    return table[schema("inventory_planning.carrier_regions").names]


@returns("inventory_planning.carrier_moves")
def carrier_moves(parcels: Table, *, as_of: dt.date, damage_cost: float | None = None) -> DataFrame:
    """Each region's most used carrier beside the others that serve it, by bands of weight in
    the shares of that carrier: what its parcels cost more, and how much longer they take.
    What costs most a month stands first.

    Intervals are of 90 %; a verdict asks more, as several carriers are looked at at once
    (Bonferroni). `change`: surely dearer by what is worth the trouble, and the other is not
    surely slower. `test`: dearer, but not surely or with fewer than half of its parcels
    comparable. Without `damage_cost` money is what carriers invoice.
    """
    table = _beside(_cells(parcels, as_of), damage_cost or 0.0)
    if table.empty:
        return empty("inventory_planning.carrier_moves")
    a_month = table["n"] / MONTHS
    strict = quantile_of_normal(1 - (1 - LEVEL) / len(table))
    table = table.assign(
        low=table.more_each - Z90 * table.error,
        high=table.more_each + Z90 * table.error,
        days_low=table.days_more - Z90 * table.days_error,
        days_high=table.days_more + Z90 * table.days_error,
        a_month=table.more_each * a_month,
    )
    table["month_low"], table["month_high"] = table.low * a_month, table.high * a_month
    is_sure = (table.more_each - strict * table.error > 0) & (table.same_share >= LEAST_SHARE)
    is_worth = table.more_each >= WORTH_SHARE * table.usual_cost
    is_slower = table.days_more + strict * table.days_error < 0
    table["verdict"] = np.select(
        [is_worth & is_sure & ~is_slower, is_worth & (table.low > 0)],
        ["change", "test"],
        "keep",
    )
    table = table.sort_values(
        ["a_month", "region", "other"],
        ascending=[False, True, True],
        ignore_index=True,
    )
    return table[schema("inventory_planning.carrier_moves").names]


@returns("inventory_planning.split_parcels")
def split_parcels(parcels: Table, lines: Table, *, as_of: dt.date) -> DataFrame:
    """Orders sent in one parcel beside those sent in several, by number of product lines
    (four stand for four and more): how many are split, and what that costs more an order,
    regions in the shares of the split ones. `lines`: one row per line sold, with is_product.
    """
    first = _first_day(as_of)
    whole = expression(parcels).filter((_.handed_on >= first) & (_.handed_on <= as_of))
    whole = whole.group_by("order_id").aggregate(
        n_parcels=_.count(),
        region=_.region.min(),
        cost=_.cost.cast("float64").sum(),
        n_costs=_.cost.count(),
    )
    whole = whole.filter(_.n_costs == _.n_parcels)
    sizes = expression(lines).filter(_.is_product).group_by("order_id")
    sizes = sizes.aggregate(n_lines=ibis.least(_.count(), 4))
    cells = whole.inner_join(sizes, "order_id").group_by(
        "n_lines", "region", is_split=_.n_parcels > 1
    )
    cells = cells.aggregate(
        n=_.count(),
        cost=_.cost.sum(),
        cost2=(_.cost * _.cost).sum(),
    )
    cells = cells.order_by("n_lines", "region", "is_split").to_pandas()
    rows = [
        _split_row(n_lines, mine)
        for n_lines, mine in cells.groupby("n_lines")
        if mine["n"][mine.is_split].sum() > 1
    ]
    return frame_of("inventory_planning.split_parcels", rows)


@dated
def carrier_decisions(
    moves: DataFrame, split: DataFrame, *, as_of: dt.date, currency: str
) -> DataFrame:
    """Carriers to change in a region where the dearer one is surely so, to test where it is
    only likely, and orders to be sent whole where that surely costs less.
    """
    days: dict[str, Any] = {
        "due_on": as_of + dt.timedelta(days=DUE_DAYS),
        "revisit_on": as_of + dt.timedelta(days=REVISIT_DAYS),
        "currency": currency,
    }
    rows = []
    first = moves.drop_duplicates("region")
    for verdict in ("change", "test"):
        for move in first[first.verdict == verdict].head(MOST_ROWS).itertuples():
            gain = (move.a_month, move.month_low, move.month_high)
            rows.append(
                propose(
                    f"inventory_planning.carrier_{verdict}",
                    f"{move.region}: {move.carrier}",
                    size=move.n / MONTHS * (1.0 if verdict == "change" else TRIED),
                    evidence_value=move.more_each,
                    region=move.region,
                    other=move.other,
                    n=move.n,
                    n_other=move.n_other,
                    more_each=move.more_each,
                    slower=-move.days_more,
                    **({"effect": gain} if verdict == "change" else {}),
                    **days,
                )
            )
    dear = split[split.low > 0]
    if len(dear):
        n, extra = dear.n_split.sum(), (dear.n_split * dear.more_each).sum()
        half = np.sqrt(((dear.n_split * (dear.high - dear.more_each)) ** 2).sum())
        ends = np.array([extra, extra - half, extra + half]) / MONTHS
        rows.append(
            propose(
                "inventory_planning.ship_whole",
                "",
                size=n / MONTHS,
                effect=tuple(ends),
                evidence_value=extra / n,
                n=n,
                **days,
            )
        )
    return decision_rows(rows)


def _first_day(as_of: dt.date) -> dt.date:
    return (pd.Timestamp(as_of) - pd.DateOffset(months=MONTHS)).date() + dt.timedelta(days=1)


def _cells(parcels: Table, as_of: dt.date) -> DataFrame:
    """Sums by region, carrier and band of weight of the parcels that came, with a cost."""
    came = expression(parcels).filter(
        (_.handed_on >= _first_day(as_of))
        & (_.delivered_on <= as_of)
        & _.cost.notnull()
        & _.region.notnull()
    )
    weight = came.weight_kg.fill_null(-1.0)
    band = ibis.cases(*((weight <= end, i) for i, end in enumerate(BANDS)), else_=len(BANDS))
    came = came.mutate(
        band=(weight < 0).ifelse(-1, band),
        money=came.cost.cast("float64"),
        took=came.delivered_on.delta(came.handed_on, unit="day").cast("float64"),
    )
    sums = came.group_by("region", "carrier", "band").aggregate(
        n=_.count(),
        cost=_.money.sum(),
        cost2=(_.money * _.money).sum(),
        days=_.took.sum(),
        days2=(_.took * _.took).sum(),
        damaged=one_if(_.is_damaged.fill_null(False)).sum(),
    )
    return sums.order_by("region", "carrier", "band").to_pandas()


def _mean(cells: DataFrame, name: str) -> DataFrame:
    """Mean and standard error of a sum with its squares."""
    n = cells["n"].astype(float)
    mean = cells[name] / n
    variance = (cells[f"{name}2"] / n - mean**2).clip(lower=0) * n / (n - 1).clip(lower=1)
    return DataFrame({"mean_": mean, "error": np.sqrt(variance / n), "variance": variance})


def _beside(cells: DataFrame, damage_cost: float) -> DataFrame:
    """One row per region and carrier beside its most used one: n, n_other, same_share,
    usual_cost, cost_more, damaged_more, more_each and days_more with their error, band by
    band of weight in the shares of the most used.
    """
    sizes = cells.groupby(["region", "carrier"], as_index=False)["n"].sum()
    sizes = sizes[sizes["n"] >= LEAST_PARCELS].sort_values(
        ["region", "n", "carrier"],
        ascending=[True, False, True],
    )
    usual = sizes.drop_duplicates("region")
    others = sizes.drop(usual.index)
    keys = ["region", "carrier"]
    pairs = cells.merge(usual[keys]).merge(
        cells.merge(others[keys]),
        on=["region", "band"],
        suffixes=("", "_o"),
    )
    pairs = pairs[pairs[["n", "n_o"]].min(axis=1) >= LEAST_IN_BAND]
    by = ["region", "carrier", "carrier_o"]
    weight = pairs["n"] / pairs.groupby(by)["n"].transform("sum")
    cost, days = _mean(pairs, "cost"), _mean(pairs, "days")
    cost_o, days_o = _other_mean(pairs, "cost"), _other_mean(pairs, "days")
    parts = pairs[[*by, "n", "n_o", "damaged", "damaged_o"]].assign(
        usual_cost=weight * cost.mean_,
        cost_more=weight * (cost.mean_ - cost_o.mean_),
        cost_variance=weight**2 * (cost.error**2 + cost_o.error**2),
        days_more=weight * (days.mean_ - days_o.mean_),
        days_variance=weight**2 * (days.error**2 + days_o.error**2),
    )
    return _pairs(parts.groupby(by, as_index=False).sum(), sizes, damage_cost)


def _other_mean(pairs: DataFrame, name: str) -> DataFrame:
    """`_mean` of the other carrier's cells."""
    columns = {"n_o": "n", f"{name}_o": name, f"{name}2_o": f"{name}2"}
    return _mean(pairs[list(columns)].rename(columns=columns), name)


def _pairs(sums: DataFrame, sizes: DataFrame, damage_cost: float) -> DataFrame:
    """Money of the pairs: what carriers invoice and what damage costs. Damage is rare and
    taken over all bands; its error counts half a parcel more on either side, so that none
    of few does not look certain.
    """
    near, near_o = ((sums[f"damaged{end}"] + 0.5) / (sums[f"n{end}"] + 1) for end in ("", "_o"))
    variance = near * (1 - near) / sums["n"] + near_o * (1 - near_o) / sums.n_o
    gone = sums.damaged / sums["n"] - sums.damaged_o / sums.n_o
    whole = sizes.set_index(["region", "carrier"])["n"]
    n, n_other = (
        whole.reindex(pd.MultiIndex.from_frame(sums[["region", name]])).to_numpy()
        for name in ("carrier", "carrier_o")
    )
    return sums[["region", "carrier", "usual_cost", "cost_more", "days_more"]].assign(
        other=sums.carrier_o,
        n=n,
        n_other=n_other,
        same_share=sums["n"] / n,
        damaged_more=gone,
        more_each=sums.cost_more + damage_cost * gone,
        error=np.sqrt(sums.cost_variance + damage_cost**2 * variance),
        days_error=np.sqrt(sums.days_variance),
    )


def _split_row(n_lines: int, cells: DataFrame) -> tuple[float, ...]:
    """One number of lines: orders, those split, and what a split one costs more."""
    one, two = (cells[cells.is_split == side].set_index("region") for side in (False, True))
    n, n_split = int(cells["n"].sum()), int(two["n"].sum())
    low, high = wilson(n_split, n, LEVEL)
    both = one.index.intersection(two.index)
    weight = two["n"].loc[both] / max(two["n"].loc[both].sum(), 1)
    a, b = _mean(two.loc[both], "cost"), _mean(one.loc[both], "cost")
    # a single split order of a region tells its spread by the others'
    spread = np.sqrt(np.nanmax(a.variance) if len(a) else np.nan)
    error = a.error.where(two["n"].loc[both] > 1, spread)
    more = float((weight * (a.mean_ - b.mean_)).sum()) if len(both) else np.nan
    half = Z90 * float(np.sqrt((weight**2 * (error**2 + b.error**2)).sum()))
    return (
        n_lines,
        n,
        n_split,
        n_split / n,
        low,
        high,
        more,
        more - half,
        more + half,
    )
