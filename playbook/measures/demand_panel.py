"""The weeks of every sku: sales, the share of the week it could be sold, promotion,
money, stock; and its demand law.

One query over `sku_days`; what comes back is one number per sku and week. Rows that
cannot be demand are named in `issues` (sku, problem, n, consequence).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import ibis
import numpy as np
import pandas as pd

from playbook.errors import PlaybookError
from playbook.measures.price_moves import posted_prices, promotion_pull
from playbook.methods.demand import DemandLaw, fit_demand
from playbook.methods.elasticity import regular_prices
from playbook.methods.uncensored import level_around, sold_out_exposure
from playbook.store import expression

__all__ = [
    "ISSUES",
    "DemandPanel",
    "demand_panel",
    "demand_law",
    "stockouts",
    "unit_margin",
    "money_weight",
]

ISSUES = ["sku", "problem", "n", "consequence"]
BULK = 8  # times the next best week


@dataclass(frozen=True)
class DemandPanel:
    """Weeks ending at as-of, oldest first; arrays are (sku, week). `exposure`: share of
    the week on sale; `promo`: share on promotion; `on_hand`: mean closing stock. `week`
    is the week of the year, `starts` its first day, `counts` the units and days behind
    `units` and `exposure`. `price`: regular price asked, missing where no price list
    says; `pull`: promotion by depth, with the weeks ahead as far as planned.
    `is_stock_known` false: exposure is 1 from the first day on, and every demand figure
    is a lower bound.
    """

    sku: np.ndarray
    category: np.ndarray
    units: np.ndarray
    exposure: np.ndarray
    promo: np.ndarray
    revenue: np.ndarray
    margin: np.ndarray
    on_hand: np.ndarray
    week: np.ndarray
    starts: pd.DatetimeIndex
    is_stock_known: bool
    issues: pd.DataFrame
    counts: tuple[np.ndarray, ...]
    price: np.ndarray
    pull: np.ndarray

    def until(self, n_weeks: int) -> DemandPanel:
        """The panel as it stood after its first `n_weeks` weeks: nothing in it was
        estimated from a later one.
        """
        cut = {
            name: getattr(self, name)[:, :n_weeks]
            for name in ("promo", "revenue", "margin", "on_hand", "price")
        }
        cut["pull"] = self.pull[:, : self.pull.shape[1] - len(self.starts) + n_weeks]
        counts = tuple(part[:, :n_weeks] for part in self.counts)
        units, exposure, _ = _weeks(*counts)
        return replace(
            self,
            units=units,
            exposure=exposure,
            counts=counts,
            week=self.week[:n_weeks],
            starts=self.starts[:n_weeks],
            **cut,
        )


def demand_panel(
    sku_days: Any,
    *,
    as_of: dt.date,
    products: Any = None,
    prices: Any = None,
    promotions: Any = None,
    n_weeks: int = 156,
) -> DemandPanel:
    """Weekly demand of every sku from `sku_days` (one row per sku and day), with the
    shop's own `prices` and `promotions` where it keeps them (promotions to come are
    planned, not foreseen).

    One week above eight times the sku's next best week (and above 50 units) is one
    customer's bulk order, not demand: it is cut to that and named. PlaybookError when
    there is no sku with a day up to `as_of`.
    """
    t = expression(sku_days)
    t = t.mutate(day_on=t.day_on.cast("date"))
    t = t.filter((t.day_on <= ibis.literal(as_of)) & t.sku.notnull())
    span = t.aggregate(first=t.day_on.min(), n=t.sku.nunique()).to_pandas().iloc[0]
    if not span["n"]:
        raise PlaybookError(
            "There is no sku with a day on sale", table="sku_days", do="check order_lines.sku"
        )
    weeks = min(n_weeks, ((pd.Timestamp(as_of) - pd.Timestamp(span["first"])).days + 7) // 7)
    start = pd.Timestamp(as_of) - pd.Timedelta(days=7 * weeks - 1)
    t = t.filter(t.day_on >= ibis.literal(start.date()))
    number = (
        ((t.day_on.epoch_days() - (start - pd.Timestamp("1970-01-01")).days) / 7)
        .floor()
        .cast("int64")
    )
    seen, known = t.units.notnull(), t.is_stocked.fill_null(True)
    out = seen & ~known & (t.units > 0)
    one = lambda flag: flag.ifelse(1, 0).sum()
    long = (
        t.group_by("sku", week=number)
        .aggregate(
            units=t.units.sum().cast("float64"),
            whole=one(seen & known),
            out=one(out),
            out_units=t.units.sum(where=out),
            promo=one(t.is_on_promo),
            days=t.count(),
            revenue=t.revenue.sum().cast("float64"),
            margin=t.margin.sum().cast("float64"),
            unknown_margin=one((t.units > 0) & t.margin.isnull()),
            on_hand=t.on_hand.cast("float64").mean(),
        )
        .order_by("sku", "week")
        .to_pandas()
    )
    row, sku = pd.factorize(long["sku"])
    at = (row, long["week"].to_numpy(int))

    def grid(column: str, empty: float = 0.0) -> np.ndarray:
        filled = np.full((len(sku), weeks), empty)
        filled[at] = long[column].fillna(empty).to_numpy(float)
        return filled

    counts = tuple(grid(name) for name in ("units", "whole", "out", "out_units"))
    units, exposure, bulk = _weeks(*counts)
    issues = [
        (s, "one week far above every other", 1, "counted as the largest ordinary week")
        for s in sku[bulk]
    ]
    margin = np.where(grid("unknown_margin") > 0, np.nan, grid("margin"))
    once = (units > 0).sum(axis=1) == 1
    issues += [
        (s, "sold in one week only", 1, "its level is borrowed from like items") for s in sku[once]
    ]
    category = np.full(len(sku), "all", dtype=object)
    if products is not None:
        p = (
            expression(products)
            .select("sku", "category")
            .to_pandas()
            .drop_duplicates("sku")
            .set_index("sku")
        )
        category = p["category"].reindex(sku).fillna("none").to_numpy(object)
    starts = pd.date_range(start, periods=weeks, freq="7D")
    stocked = bool(t.filter(t.is_stocked.notnull()).count().to_pandas())
    promo = grid("promo") / np.maximum(grid("days"), 1)
    found = DemandPanel(
        np.asarray(sku, object),
        category,
        units,
        exposure,
        promo,
        grid("revenue"),
        margin,
        grid("on_hand", np.nan),
        np.minimum((starts.day_of_year.to_numpy() - 1) // 7, 51),
        starts,
        stocked,
        pd.DataFrame(issues, columns=ISSUES),
        counts,
        np.full(units.shape, np.nan),
        promo,
    )
    if prices is not None:
        found = replace(found, price=regular_prices(posted_prices(found, prices), promo))
    return found if promotions is None else replace(found, pull=promotion_pull(found, promotions))


def _weeks(
    units: np.ndarray, whole: np.ndarray, out: np.ndarray, out_units: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units without one customer's bulk order, exposure, and which skus had such an
    order.
    """
    if units.shape[1] < 2:
        return (
            units,
            sold_out_exposure(units, whole, out, out_units),
            np.zeros(len(units), dtype=bool),
        )
    second = np.maximum(np.partition(units, -2, axis=1)[:, -2], 1)
    bulk = units.max(axis=1) > np.maximum(BULK * second, 50)
    units = np.minimum(units, np.where(bulk, second, np.inf)[:, None])
    return units, sold_out_exposure(units, whole, out, np.minimum(out_units, units)), bulk


def demand_law(panel: DemandPanel) -> DemandLaw:
    """Every sku's demand law; like items are those of its category and half of its
    price range.
    """
    price = panel.revenue.sum(axis=1) / np.maximum(panel.units.sum(axis=1), 1)
    group = pd.factorize(panel.category, sort=True)[0]
    dear = price > pd.Series(price).groupby(group).transform("median").to_numpy()
    n = panel.units.shape[1]
    plan = panel.pull[:, n:] if panel.pull.shape[1] > n else None
    return fit_demand(
        panel.units,
        panel.exposure,
        panel.week,
        group=group,
        like=2 * group + dear,
        promo=panel.pull[:, :n],
        price=panel.price,
        plan=plan,
    )


def stockouts(
    panel: DemandPanel, *, n_weeks: int = 52, max_gap_weeks: int = 8, level: float = 0.8
) -> pd.DataFrame:
    """One row per sku that could not be sold for some of the last `n_weeks` weeks:
    out_days, lost_units, low, high, lost_margin. A gap longer than `max_gap_weeks`
    counts up to that: nobody waits for ever, and it may be delisted.
    """
    from scipy.stats import norm

    missing = 1 - panel.exposure
    started = np.cumsum(panel.exposure > 0, axis=1) > 0
    run = np.zeros(len(missing))
    counted = np.zeros_like(missing)
    for t in range(missing.shape[1]):
        run = np.where(panel.exposure[:, t] > 0, 0, run + 1)
        counted[:, t] = np.where(started[:, t] & (run <= max_gap_weeks), missing[:, t], 0)
    around = level_around(panel.units, panel.exposure, half_width=8)
    gap = counted[:, -n_weeks:]
    lost = (around[:, -n_weeks:] * gap).sum(axis=1)
    # what was lost is a count, known through a level that was itself counted
    weeks = np.minimum(panel.exposure.sum(axis=1), 17) + 1
    variance = lost + lost * gap.sum(axis=1) / weeks + (0.3 * lost) ** 2 / weeks
    wide = norm.ppf((1 + level) / 2) * np.sqrt(variance)
    found = pd.DataFrame(
        {
            "sku": panel.sku,
            "out_days": 7 * gap.sum(axis=1),
            "lost_units": lost,
            "low": np.maximum(lost - wide, 0),
            "high": lost + wide,
        }
    )
    found["lost_margin"] = lost * unit_margin(panel)
    if not panel.is_stock_known:
        return found.iloc[:0]
    found = found[found["out_days"] > 0.25]
    return found.sort_values(["lost_units", "sku"], ascending=[False, True], ignore_index=True)


def unit_margin(panel: DemandPanel) -> np.ndarray:
    """Goods margin per unit over the last year on sale; missing where a cost was."""
    margin, units = panel.margin[:, -52:], panel.units[:, -52:]
    known = np.isfinite(margin) & (units > 0)
    sold = np.where(known, units, 0).sum(axis=1)
    return np.where(sold > 0, np.where(known, margin, 0).sum(axis=1) / np.maximum(sold, 1), np.nan)


def money_weight(cost: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Money a unit of stock ties up per money its sale earns; 1 where either is not
    known or the sale loses money.
    """
    known = (cost > 0) & (margin > 0)
    ratio = np.where(known, cost, 1.0) / np.where(known, margin, 1.0)
    return np.clip(ratio, 0.05, 20.0)
