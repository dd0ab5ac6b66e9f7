"""The weeks of every sku: sales, the share of the week it could be sold, promotion,
money, stock; and its demand law.

One query over `sku_days`; what comes back is one number per sku and week. Rows that
cannot be demand are named in `issues` (sku, problem, n, consequence).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from numpy import ndarray
from pandas import DataFrame, Timestamp

from playbook.errors import PlaybookError
from playbook.given import dated, reads
from playbook.messages import say
from playbook.methods.demand import DemandLaw, SalesWeeks, fit_demand
from playbook.methods.uncensored import level_around, sold_out_exposure
from playbook.store import distinct_rows, expression

__all__ = [
    "ISSUES",
    "DemandPanel",
    "demand_panel",
    "demand_law",
    "hidden_demand",
    "stockouts",
    "unit_margin",
    "money_weight",
    "issue_rows",
    "usual_days",
    "week_number",
]

ISSUES = ["sku", "problem", "n", "consequence"]
MOST_WEEKS = 156  # of the past that the panel holds
BULK, BULK_UNITS = 8, 50  # a bulk order: times the next best week, and units at least
NEAR_WEEKS = 8  # half the window of the level behind a week that was sold out
MAX_GAP_WEEKS = 8  # a gap counts up to that: nobody waits for ever, and it may be delisted
USUAL_WEEKS = 13  # to either side, behind the days a week that the shop usually trades
LEAST_OUT_DAYS = 0.25  # out of stock for less is not worth a row
INTERVAL = 0.8  # level of the interval of what was lost
WEIGHTS = (0.05, 20.0)  # limits of the money a unit ties up per money it earns


@dataclass(frozen=True)
class DemandPanel:
    """Weeks ending at as-of, oldest first; arrays are (sku, week). `exposure`: share of
    the week on sale; `promo`: share on promotion; `on_hand`: mean closing stock. `week`
    is the week of the year, `starts` its first day, `counts` the units and days behind
    `units` and `exposure` and, last, the days the shop traded in each week: a week is
    whole when the sku could be sold on as many days as the shop usually trades, so a
    closed weekday is no stock-out. `price`: regular price asked, missing where no price list
    says; `pull`: promotion by depth, with the weeks ahead as far as planned.
    `is_stock_known` false: exposure is 1 from the first day on, and every demand figure
    is a lower bound.
    """

    sku: ndarray
    category: ndarray
    units: ndarray
    exposure: ndarray
    promo: ndarray
    revenue: ndarray
    margin: ndarray
    on_hand: ndarray
    week: ndarray
    starts: pd.DatetimeIndex
    is_stock_known: bool
    issues: DataFrame
    counts: tuple[ndarray, ...]
    price: ndarray
    pull: ndarray

    def until(self, n_weeks: int) -> DemandPanel:
        """The panel as it stood after its first `n_weeks` weeks: nothing in it was
        estimated from a later one.
        """
        names = ("promo", "revenue", "margin", "on_hand", "price")
        cut = {name: getattr(self, name)[:, :n_weeks] for name in names}
        counts = tuple(part[:, :n_weeks] for part in self.counts)
        units, exposure, _ = _weeks(*counts)
        return replace(
            self,
            units=units,
            exposure=exposure,
            counts=counts,
            week=self.week[:n_weeks],
            starts=self.starts[:n_weeks],
            pull=self.pull[:, : self.pull.shape[1] - len(self.starts) + n_weeks],
            **cut,
        )


@reads(sku_days="sku day_on units revenue margin on_hand is_stocked is_on_promo")
@dated
def demand_panel(
    sku_days: Table,
    *,
    as_of: dt.date,
    products: Table | None = None,
) -> DemandPanel:
    """Weekly demand of every sku from `sku_days` (one row per sku and day). The shop's
    own prices and promotions are added by `price_moves.with_prices`.

    One week above eight times the sku's next best week (and above 50 units) is one
    customer's bulk order, not demand: it is cut to that and named. PlaybookError when
    there is no sku with a day up to `as_of`.
    """
    long, starts, is_stock_known, traded = _weekly_sums(sku_days, as_of)
    row, sku = pd.factorize(long["sku"])
    at = (row, long["week"].to_numpy(int))

    def grid(column: str, empty: float = 0.0) -> ndarray:
        filled = np.full((len(sku), len(starts)), empty)
        filled[at] = long[column].fillna(empty).to_numpy(float)
        return filled

    counts = tuple(grid(name) for name in ("units", "whole", "out", "out_units"))
    counts = (*counts, traded[None, :])
    units, exposure, bulk = _weeks(*counts)
    once = (units > 0).sum(axis=1) == 1
    issues = issue_rows(sku[bulk], say("measures.bulk_week"), say("measures.bulk_week_cut"))
    issues += issue_rows(sku[once], say("measures.sold_once"), say("measures.level_borrowed"))
    promo = grid("promo") / np.maximum(grid("days"), 1)
    return DemandPanel(
        sku=np.asarray(sku, object),
        category=_categories(products, sku),
        units=units,
        exposure=exposure,
        promo=promo,
        revenue=grid("revenue"),
        margin=np.where(grid("unknown_margin") > 0, np.nan, grid("margin")),
        on_hand=grid("on_hand", np.nan),
        week=np.minimum((starts.day_of_year.to_numpy() - 1) // 7, 51),
        starts=starts,
        is_stock_known=is_stock_known,
        issues=DataFrame(issues, columns=ISSUES),
        counts=counts,
        price=np.full(units.shape, np.nan),
        pull=promo,
    )


def issue_rows(
    sku: Iterable[str],
    problem: str,
    consequence: str,
) -> list[tuple]:
    """What cannot be true of some skus, and what follows: rows of `ISSUES`."""
    return [(name, problem, n, consequence) for name, n in sorted(Counter(sku).items())]


def week_number(day: ibis.Value, start: Timestamp) -> ibis.Value:
    """How many weeks a day lies after the first day of the panel."""
    first = (start - Timestamp("1970-01-01")).days
    return ((day.epoch_days() - first) / 7).floor().cast("int64")


def _weekly_sums(
    sku_days: Table, as_of: dt.date
) -> tuple[DataFrame, pd.DatetimeIndex, bool, ndarray]:
    """Sums by sku and week, the first days of the weeks, whether stock is known, and
    the days the shop traded in each week.
    """
    days = expression(sku_days)
    days = days.mutate(day_on=days.day_on.cast("date"))
    days = days.filter((days.day_on <= ibis.literal(as_of)) & days.sku.notnull())
    span = days.aggregate(first=days.day_on.min(), n=days.sku.nunique()).to_pandas().iloc[0]
    if not span["n"]:
        raise PlaybookError("measures.no_sku", table="sku_days")
    n_days = (Timestamp(as_of) - Timestamp(span["first"])).days
    n_weeks = min(MOST_WEEKS, (n_days + 7) // 7)
    start = Timestamp(as_of) - pd.Timedelta(days=7 * n_weeks - 1)
    days = days.filter(days.day_on >= ibis.literal(start.date()))
    is_known, is_stocked = days.units.notnull(), days.is_stocked.fill_null(True)
    is_out = is_known & ~is_stocked & (days.units > 0)
    flags = {
        "whole": is_known & is_stocked,
        "out": is_out,
        "promo": days.is_on_promo,
        "unknown_margin": (days.units > 0) & days.margin.isnull(),
    }
    sums = days.group_by("sku", week=week_number(days.day_on, start)).aggregate(
        units=days.units.sum().cast("float64"),
        out_units=days.units.sum(where=is_out),
        days=days.count(),
        revenue=days.revenue.sum().cast("float64"),
        margin=days.margin.sum().cast("float64"),
        on_hand=days.on_hand.cast("float64").mean(),
        **{name: flag.ifelse(1, 0).sum() for name, flag in flags.items()},
    )
    starts = pd.date_range(start, periods=n_weeks, freq="7D")
    is_stock_known = bool(days.filter(days.is_stocked.notnull()).count().to_pandas())
    is_open = days.is_trading if "is_trading" in days.columns else days.units.notnull()
    opened = distinct_rows(days.filter(is_open.fill_null(False)), "day_on")
    opened = opened.group_by(week=week_number(opened.day_on, start)).aggregate(n=_.count())
    traded = opened.to_pandas().set_index("week")["n"].reindex(range(n_weeks), fill_value=0)
    long = sums.order_by("sku", "week").to_pandas()
    return long, starts, is_stock_known, traded.to_numpy(float)


def _categories(products: Table | None, sku: pd.Index) -> ndarray:
    """The category of each sku; one for all where no product list is there."""
    if products is None:
        return np.full(len(sku), "all", dtype=object)
    listed = expression(products).select("sku", "category").to_pandas().drop_duplicates("sku")
    return listed.set_index("sku")["category"].reindex(sku).fillna("none").to_numpy(object)


def _weeks(
    units: ndarray,
    whole: ndarray,
    out: ndarray,
    out_units: ndarray,
    traded: ndarray,
) -> tuple[ndarray, ndarray, ndarray]:
    """Units without one customer's bulk order, exposure, and which skus had such an
    order.
    """
    open_days = usual_days(traded[0])
    if units.shape[1] < 2:
        exposure = sold_out_exposure(
            units,
            whole,
            out,
            out_units,
            open_days,
        )
        return units, exposure, np.zeros(len(units), dtype=bool)
    second = np.maximum(np.partition(units, -2, axis=1)[:, -2], 1)
    bulk = units.max(axis=1) > np.maximum(BULK * second, BULK_UNITS)
    units = np.minimum(units, np.where(bulk, second, np.inf)[:, None])
    out_units = np.minimum(out_units, units)
    return (
        units,
        sold_out_exposure(
            units,
            whole,
            out,
            out_units,
            open_days,
        ),
        bulk,
    )


def usual_days(traded: ndarray) -> ndarray:
    """Days a week that the shop usually trades, by week: the middle of the weeks around
    in which it traded at all, 1 at least.
    """
    days = pd.Series(np.where(traded > 0, traded, np.nan))
    around = days.rolling(2 * USUAL_WEEKS + 1, center=True, min_periods=1).median()
    return np.maximum(around.fillna(days.median()).fillna(7.0).to_numpy(), 1.0)


def demand_law(panel: DemandPanel) -> DemandLaw:
    """Every sku's demand law; like items are those of its category and half of its
    price range.
    """
    price = panel.revenue.sum(axis=1) / np.maximum(panel.units.sum(axis=1), 1)
    group = pd.factorize(panel.category, sort=True)[0]
    dear = price > pd.Series(price).groupby(group).transform("median").to_numpy()
    n = panel.units.shape[1]
    weeks = SalesWeeks(
        panel.units,
        panel.exposure,
        panel.week,
        group,
        like=2 * group + dear,
        promo=panel.pull[:, :n],
        price=panel.price,
    )
    return fit_demand(weeks, plan=panel.pull[:, n:] if panel.pull.shape[1] > n else None)


def hidden_demand(panel: DemandPanel) -> ndarray:
    """Units a week that stock-outs hid, (sku, week), by the level of the weeks around."""
    level = level_around(panel.units, panel.exposure, half_width=NEAR_WEEKS)
    return level * _out_share(panel)


def _out_share(panel: DemandPanel) -> ndarray:
    """The share of each week in which the shop was open and the sku not to be had."""
    traded = panel.counts[-1]
    closed = np.maximum(1 - traded / usual_days(traded[0]), 0)
    return np.maximum(1 - panel.exposure - closed, 0)


def stockouts(panel: DemandPanel, *, n_weeks: int = 52) -> DataFrame:
    """One row per sku that could not be sold for some of the last `n_weeks` weeks: sku,
    out_days, lost_units, low, high, lost_margin. A gap longer than `MAX_GAP_WEEKS`
    counts up to that.
    """
    from scipy.stats import norm

    missing = _out_share(panel)
    started = np.cumsum(panel.exposure > 0, axis=1) > 0
    run, counted = np.zeros(len(missing)), np.zeros_like(missing)
    for week in range(missing.shape[1]):
        run = np.where(panel.exposure[:, week] > 0, 0, run + 1)
        is_counted = started[:, week] & (run <= MAX_GAP_WEEKS)
        counted[:, week] = np.where(is_counted, missing[:, week], 0)
    around = level_around(panel.units, panel.exposure, half_width=NEAR_WEEKS)
    gap = counted[:, -n_weeks:]
    gap_weeks, lost = gap.sum(axis=1), (around[:, -n_weeks:] * gap).sum(axis=1)
    # what was lost is a count, known through a level that was itself counted
    weeks = np.minimum(panel.exposure.sum(axis=1), 2 * NEAR_WEEKS + 1) + 1
    variance = lost + lost * gap_weeks / weeks + (0.3 * lost) ** 2 / weeks
    wide = norm.ppf((1 + INTERVAL) / 2) * np.sqrt(variance)
    table = DataFrame(
        {
            "sku": panel.sku,
            "out_days": 7 * gap_weeks,
            "lost_units": lost,
            "low": np.maximum(lost - wide, 0),
            "high": lost + wide,
            "lost_margin": lost * unit_margin(panel),
        }
    )
    table = table[(table["out_days"] > LEAST_OUT_DAYS) & panel.is_stock_known]
    return table.sort_values(
        ["lost_units", "sku"],
        ascending=[False, True],
        ignore_index=True,
    )


def unit_margin(panel: DemandPanel) -> ndarray:
    """Goods margin per unit over the last year on sale; missing where a cost was."""
    margin, units = panel.margin[:, -52:], panel.units[:, -52:]
    known = np.isfinite(margin) & (units > 0)
    sold, earned = (np.where(known, part, 0).sum(axis=1) for part in (units, margin))
    return np.where(sold > 0, earned / np.maximum(sold, 1), np.nan)


def money_weight(cost: ndarray, margin: ndarray) -> ndarray:
    """Money a unit of stock ties up per money its sale earns; 1 where either is not
    known or the sale loses money.
    """
    known = (cost > 0) & (margin > 0)
    ratio = np.where(known, cost, 1.0) / np.where(known, margin, 1.0)
    return np.clip(ratio, *WEIGHTS)
