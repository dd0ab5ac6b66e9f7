"""Orders nobody would have expected: bursts for one sku from one place or hour, and a
code that got out.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from pandas import DataFrame, Series

from playbook.detect.finding import found, ratio_findings
from playbook.detect.panels import Panels
from playbook.detect.tracking import runs

__all__ = ["bursts", "codes_out"]

Finding = dict[str, Any]

#: orders of one sku and trait on one day below which there is no burst
LEAST_BURST = 6
#: times what the eight weeks before lead one to expect
BURST = 4.0
#: share of first orders among those of one hour
MOSTLY = 0.5
#: chance of so many of one trait among the sku's orders of the day, and of so many of it: each
#: alone, and both together
CHANCE, CHANCE_OF_BOTH = 1e-6, 1e-16
#: times as many orders with a code as before
OUT = 2.0


def bursts(panels: Panels) -> list[Finding]:
    """Days on which a sku is ordered far more than before, and from one region, or in one
    hour mostly by new customers: orders that nobody may mean to keep. (In one hour by
    known ones it is a clerk who enters the post.)
    """
    shop = panels.shop
    traits = {"hour": lambda orders: shop.local(orders.ordered_at).hour().cast("string")}
    if shop.has("orders.region"):
        traits["region"] = lambda orders: orders.region
    frames = [_odd_cells(panels, panels.cells(name, value)) for name, value in traits.items()]
    odd = pd.concat(frames, ignore_index=True)
    odd = odd[(odd.dimension == "region") | (odd.n_first >= MOSTLY * odd.n)]
    rows = []
    for sku, part in odd.groupby("sku"):
        regions = part[part.dimension == "region"]
        told = regions if len(regions) else part
        for trait, cell in told.groupby("trait"):
            for start, end in runs(Series(panels.days.isin(cell.day_on), panels.days)):
                inside = cell[cell.day_on.between(start, end)]
                facts = {"amount": inside.revenue.sum(), "n": inside.n.sum()}
                facts |= {"usual": inside.expected.sum(), "now": inside.n.sum()}
                rows.append(
                    found(
                        panels,
                        "fake_orders",
                        f"{sku}, {trait}",
                        (start, end),
                        **facts,
                    )
                )
    return rows


def _odd_cells(panels: Panels, cells: DataFrame) -> DataFrame:
    """The cells that are too many for the sku's past and too many for its day."""
    from scipy.stats import binom, poisson

    days = cells.groupby(["sku", "day_on"], as_index=False).n.sum()
    cells = cells.merge(days, on=["sku", "day_on"], suffixes=("", "_day"))
    totals = cells.groupby("trait").n.sum()
    share = cells.trait.map(totals / totals.sum()).astype(float)
    candidate = cells[(cells.n >= LEAST_BURST) & (cells.day_on >= panels.first)].copy()
    candidate["share"] = share.reindex(candidate.index)
    by_place = binom.sf(
        candidate.n - 1,
        candidate.n_day,
        candidate.share.clip(upper=0.999),
    )
    candidate = candidate.assign(by_place=by_place)[by_place < CHANCE]
    past = [_past(days[days.sku == row.sku], row.day_on) for row in candidate.itertuples()]
    candidate["expected"] = Series(past, candidate.index, dtype=float) * candidate.share
    by_past = poisson.sf(candidate.n - 1, candidate.expected.clip(lower=0.05))
    is_many = candidate.n >= BURST * candidate.expected.clip(lower=0.05)
    is_odd = (by_past < CHANCE) & (by_past * candidate.by_place < CHANCE_OF_BOTH)
    return candidate[is_odd & is_many]


def _past(days: DataFrame, day: pd.Timestamp) -> float:
    """Orders of a sku on a usual day of the eight weeks before; a burst that began some
    days ago is no usual day.
    """
    since, until = day - pd.Timedelta(days=63), day - pd.Timedelta(days=8)
    return float(days.n[days.day_on.between(since, until)].sum() / 56)


def codes_out(panels: Panels) -> list[Finding]:
    """A code used far more than before by buyers whom no campaign sent it."""
    used = panels.coupons
    if used is None or used.empty:
        return []
    gross = panels.orders.gross.to_numpy(float)
    orders, off = (panels.wide(used, "coupon", c) for c in ("orders", "discount"))
    rows = []
    for code in off:
        if orders[code].sum() < LEAST_BURST:
            continue
        found_ones = ratio_findings(
            panels,
            "code_out",
            str(code),
            off[code].to_numpy(),
            gross,
            side=1,
            worth=1.0,
            least_change=OUT - 1,
            noise="none",
        )
        rows += [row for row in found_ones if _n_used(orders[code], row) >= LEAST_BURST]
    return rows


def _n_used(orders: Series, row: Finding) -> float:
    """Orders with the code within a finding, which are its count."""
    row["n"] = float(orders[str(row["starts_on"]) : str(row["ends_on"])].sum())
    return row["n"]
