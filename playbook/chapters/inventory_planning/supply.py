"""What a shop holds, has on order and can buy, and how its suppliers have kept their
word.

Lead times are the shop's own receipts: mean, spread and every single one, to draw from.
On time in full counts an order line that came by the promised day (the stated lead time
where none was promised) with all its units; defects are a figure of their own. The
interval is Wilson's (1927).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import Table
from numpy import ndarray
from pandas import DataFrame, Series, Timestamp

from playbook.given import dated, reads
from playbook.measures.demand_panel import ISSUES, DemandPanel, issue_rows, unit_margin
from playbook.messages import say
from playbook.methods.demand import DemandLaw
from playbook.methods.proportions import wilson
from playbook.store import expression
from playbook.tables import returns

__all__ = ["COVER_DAYS", "MOST_DAYS", "Supply", "days_of_stock", "named", "supply", "told_days"]

#: days ahead whose mean demand days of stock are told at; the most days that are told
COVER_DAYS, MOST_DAYS = 120, 9999.0

RECENT_MONTHS = 24  # receipts older than this say little about a supplier now
STALE_DAYS = 35  # a stock figure older than five weeks is not the stock of today
OVERDUE_AFTER = 2.0  # times the supplier's 90th percentile: beyond it nobody believes an order
OVERDUE_LEAST, OVERDUE_UNKNOWN = 30, 365  # days: at least; and where no receipt says
MIN_RECEIPTS = 8  # a supplier's own receipts are drawn from that many on
LEAST_YIELD = 0.3  # share of the units ordered that arrive usable, at least
SOON_DAYS = 2.0  # what is overdue is taken to come within days
NUMBERS = ["unit_cost", "list_price", "lead_time_days", "min_order_units", "pack_units"]
PRODUCT_TERMS = ["supplier_id", *NUMBERS, "is_active", "launched_on"]
RECEIPT_DAYS = ["ordered_on", "promised_on", "received_on"]
RECEIPT_NUMBERS = ["n_ordered", "n_received", "n_defective", "unit_cost"]
RECEIPTS = ["po_id", "sku", "supplier_id", *RECEIPT_DAYS, *RECEIPT_NUMBERS]


@dataclass(frozen=True)
class Supply:
    """What the shop holds, has on order and can buy.

    `goods`: one row per sku with a stock or product record: supplier_id, unit_cost,
    list_price, lead_time_days (stated), min_order_units, pack_units, is_active,
    launched_on, counted_on, on_hand, available, lead_days (mean of the receipts, else
    stated), lead_sd, yield_share, last_received_on, incoming, incoming_days.
    `suppliers`: the scorecard, one row per supplier with a receipt. `leads`:
    supplier_id, lead_days of every receipt used. `issues`: sku, problem, n,
    consequence.
    """

    goods: DataFrame
    suppliers: DataFrame
    leads: DataFrame
    issues: DataFrame

    def of(self, panel: DemandPanel) -> DataFrame:
        """`goods` in the order of a panel's skus, with their `margin` per unit; packs of
        one and no minimum order where none is stated.
        """
        goods = self.goods.set_index("sku").reindex(panel.sku)
        goods = goods.fillna({"pack_units": 1, "min_order_units": 0})
        return goods.assign(margin=unit_margin(panel))

    def lead_draws(
        self,
        goods: DataFrame,
        n_draws: int,
        seed: int,
    ) -> ndarray:
        """Lead times in days, (sku, draw): the supplier's own receipts resampled; a gamma
        law where it has under eight.
        """
        rng = np.random.default_rng(seed)
        mean, sd = goods.lead_days.to_numpy(float), goods.lead_sd.to_numpy(float)
        shape = np.clip((mean / np.maximum(sd, 1e-3)) ** 2, 0.3, 1e6)[:, None]
        drawn = rng.standard_gamma(shape, (len(goods), n_draws)) * (mean[:, None] / shape)
        leads = self.leads.sort_values(["supplier_id", "lead_days"])
        for name, own in leads.groupby("supplier_id").lead_days:
            rows = np.flatnonzero((goods.supplier_id == name).to_numpy(bool))
            if len(own) >= MIN_RECEIPTS and len(rows):
                drawn[rows] = rng.choice(own.to_numpy(), (len(rows), n_draws))
        return drawn


def days_of_stock(goods: DataFrame, law: DemandLaw, *, days: int = COVER_DAYS) -> ndarray:
    """Days that what is on hand and on order lasts at the mean demand of the next `days`,
    at most `MOST_DAYS`; missing where the stock is not known. `goods`: Supply.of(panel),
    in the order of the law's skus.
    """
    daily = law.mean(int(np.ceil(days / 7))).mean(axis=1) / 7
    held = (goods["on_hand"] + goods["incoming"]).to_numpy(float)
    return np.minimum(held / np.maximum(daily, 1e-6), MOST_DAYS)


def told_days(days: ndarray) -> ndarray:
    """`days_of_stock` as people read them: missing where the stock would outlast
    `MOST_DAYS`, for then next to nothing is sold of it and no number of days is known.
    """
    return np.where(np.asarray(days, float) < MOST_DAYS, days, np.nan)


@reads(stock="sku day_on on_hand")
@dated
def supply(
    stock: Table | None,
    *,
    as_of: dt.date,
    products: Table | None = None,
    purchase_orders: Table | None = None,
) -> Supply:
    """Stock, pipeline and suppliers as of a day; `stock`, `products`, `purchase_orders`
    are contract tables or None.

    Named and set aside: negative stock (the sku is not planned), receipts before their
    order (the row is left out), lead times of 0 days without a receipt that shows it,
    orders open for more than `OVERDUE_AFTER` times the supplier's 90th percentile (not
    counted as incoming).
    """
    today = Timestamp(as_of)
    shelf, negative, issues = _counted(stock, as_of)
    orders = _purchase_rows(purchase_orders, as_of)
    early = orders.received_on < orders.ordered_on
    issues += named("received_too_early", orders.sku[early])
    orders = orders[~early].reset_index(drop=True)
    orders["lead_days"] = (orders.received_on - orders.ordered_on).dt.days.astype(float)
    goods = _product_terms(products).merge(shelf, on="sku", how="outer")
    goods = goods[~goods.sku.isin(negative)].set_index("sku")
    suppliers = _scorecard(orders, today, goods.lead_time_days)
    recent = orders.received_on >= today - pd.DateOffset(months=RECENT_MONTHS)
    leads = orders.loc[recent, ["supplier_id", "lead_days"]].reset_index(drop=True)
    known = set(goods.index) | (set(orders.sku) - negative)
    goods = _with_lead_times(_with_last_order(goods.reindex(sorted(known)), orders), suppliers)
    zero = goods.lead_days.isna() & (goods.lead_time_days <= 0)
    issues += named("no_lead_time", goods.index[zero])
    issues += named("overdue_beyond_belief", orders.sku[orders.is_overdue])
    goods = _with_incoming(
        goods,
        orders,
        suppliers,
        today,
    )
    issue_frame = DataFrame(issues, columns=ISSUES)
    return Supply(
        goods.rename_axis("sku").reset_index(),
        suppliers,
        leads,
        issue_frame,
    )


def named(code: str, sku: Iterable[str]) -> list[tuple]:
    """The skus with a problem of this code, as rows of `issues`."""
    problem = say(f"inventory_planning.problem_{code}")
    return issue_rows(sku, problem, say(f"inventory_planning.then_{code}"))


def _counted(stock: Table | None, as_of: dt.date) -> tuple[DataFrame, set[str], list[tuple]]:
    """Stock that can be believed, the skus whose stock is negative, and the issues."""
    if stock is None:
        held = DataFrame(columns=["sku", "counted_on", "on_hand", "available"])
        return held, set(), []
    held = _latest_stock(stock, as_of)
    negative = held.on_hand.fillna(0) < 0
    stale = held.counted_on < Timestamp(as_of) - pd.Timedelta(days=STALE_DAYS)
    issues = named("negative_stock", held.sku[negative])
    issues += named("not_counted_for_weeks", held.sku[stale])
    held.loc[stale, ["on_hand", "available"]] = np.nan
    return held[~negative], set(held.sku[negative]), issues


def _latest_stock(stock: Table, as_of: dt.date) -> DataFrame:
    """Closing position of each sku, over the last count of every location that still
    counts it; free units where the export has them.
    """
    days = expression(stock)
    days = days.mutate(day_on=days.day_on.cast("date"))
    days = days.filter(days.day_on <= as_of)
    counts = ("on_hand", "available", "committed", "unsellable")
    counts = [column for column in counts if column in days.columns]
    place = days.location.fill_null("main") if "location" in days.columns else ibis.literal("main")
    days = days.select("sku", "day_on", *counts, place=place)
    last = days.group_by("sku", "place").aggregate(last_on=days.day_on.max())
    newest = last.group_by("sku").aggregate(newest_on=last.last_on.max())
    last = last.inner_join(newest, "sku")
    last = last.filter(last.last_on >= last.newest_on - ibis.interval(days=STALE_DAYS))
    same = [days.sku == last.sku, days.place == last.place, days.day_on == last.last_on]
    days = days.semi_join(last, same)
    sums = {column: days[column].sum().cast("float64") for column in counts}
    by_sku = days.group_by("sku").aggregate(counted_on=days.day_on.max(), **sums)
    held = by_sku.order_by("sku").to_pandas()
    bound = sum(held[column].fillna(0) for column in ("committed", "unsellable") if column in held)
    free = held.on_hand - bound
    free = held.available.fillna(free) if "available" in held else free
    held["available"] = free.clip(lower=0)
    return held[["sku", "counted_on", "on_hand", "available"]]


def _rows_of(table: Table | None, columns: list[str]) -> DataFrame:
    """These columns of a contract table; missing where it, or one of them, is not there."""
    if table is None:
        return DataFrame(columns=columns, dtype=object)
    table = expression(table)
    known = [column for column in columns if column in table.columns]
    return table.select(*known).to_pandas().reindex(columns=columns)


def _product_terms(products: Table | None) -> DataFrame:
    """What is stated of each product."""
    terms = _rows_of(products, ["sku", *PRODUCT_TERMS]).sort_values("sku", kind="stable")
    terms = terms.drop_duplicates("sku")
    for column in NUMBERS:
        terms[column] = pd.to_numeric(terms[column], errors="coerce").astype(float)
    return terms


def _purchase_rows(purchase_orders: Table | None, as_of: dt.date) -> DataFrame:
    """Order lines placed up to the day, with what had been received by then."""
    orders = _rows_of(purchase_orders, RECEIPTS)
    for column in RECEIPT_DAYS:
        orders[column] = pd.to_datetime(orders[column])
    for column in RECEIPT_NUMBERS:
        orders[column] = pd.to_numeric(orders[column], errors="coerce").astype(float)
    orders = orders[orders.ordered_on.dt.normalize() <= Timestamp(as_of)]
    orders = orders.sort_values(["po_id", "sku"], ignore_index=True)
    later = orders.received_on > Timestamp(as_of)
    orders.loc[later, ["received_on", "n_received", "n_defective"]] = None
    orders["supplier_id"] = orders.supplier_id.astype(object).fillna("unknown")
    return orders


@returns("inventory_planning.suppliers")
def _scorecard(
    orders: DataFrame,
    today: Timestamp,
    stated: Series,
) -> DataFrame:
    """How suppliers kept their word; also marks in `orders` the lines that are overdue
    beyond belief, and fills in a promise where none was given.
    """
    usual = pd.to_timedelta(orders.sku.map(stated), unit="D")
    orders["promised_on"] = orders.promised_on.fillna(orders.ordered_on + usual)
    since = today - pd.DateOffset(months=RECENT_MONTHS)
    done = orders[orders.lead_days.notna() & (orders.received_on >= since)]
    arrived, bad = done.n_received.fillna(done.n_ordered), done.n_defective.fillna(0)
    is_good = (arrived >= done.n_ordered) & (done.received_on <= done.promised_on)
    done = done.assign(
        good=is_good.where(done.promised_on.notna()).astype(float),
        late=(done.received_on - done.promised_on).dt.days.clip(lower=0),
        arrived=arrived,
        bad=bad,
        usable=arrived - bad,
    )
    by_supplier = done.groupby("supplier_id")
    lead, good = by_supplier.lead_days, by_supplier.good
    lead_p90 = lead.agg(lambda days: days.quantile(0.9))
    n_open, n_overdue = _open_lines(orders, lead_p90, today)
    units = by_supplier[["n_ordered", "arrived", "usable", "bad"]].sum()
    low, high = wilson(good.sum(), good.count())
    n_orders, n_lines = by_supplier.po_id.nunique(), by_supplier.size()
    return DataFrame(
        {
            "n_orders": n_orders,
            "n_lines": n_lines,
            "lead_mean": lead.mean(),
            "lead_sd": lead.std(),
            "lead_p90": lead_p90,
            "otif_share": good.mean(),
            "n_judged": good.count(),
            "late_days": by_supplier.late.mean(),
            "low": low,
            "high": high,
            "lines_per_order": n_lines / n_orders,
            "lead_cv": lead.std() / lead.mean().where(lambda mean: mean > 0),
            "short_share": 1 - (units.arrived / units.n_ordered).clip(upper=1),
            "defect_share": units.bad / units.arrived.where(units.arrived > 0),
            "yield_share": (units.usable / units.n_ordered).clip(LEAST_YIELD, 1),
            "n_open": n_open.reindex(n_lines.index).fillna(0).astype(int),
            "n_overdue": n_overdue.reindex(n_lines.index).fillna(0).astype(int),
        }
    ).reset_index()


def _open_lines(
    orders: DataFrame,
    lead_p90: Series,
    today: Timestamp,
) -> tuple[Series, Series]:
    """Lines not received, and those of them past their promise, by supplier; lines open
    beyond belief are marked in `orders`.
    """
    is_open = orders.received_on.isna()
    limit = orders.supplier_id.map(lead_p90 * OVERDUE_AFTER).fillna(OVERDUE_UNKNOWN)
    waited = (today - orders.ordered_on).dt.days
    orders["is_overdue"] = is_open & (waited > np.maximum(limit, OVERDUE_LEAST))
    late = orders[is_open & (orders.promised_on < today)]
    return orders[is_open].groupby("supplier_id").size(), late.groupby("supplier_id").size()


def _with_last_order(goods: DataFrame, orders: DataFrame) -> DataFrame:
    """Goods with supplier and cost as of the last order, where there was one."""
    by_sku = orders.sort_values(["sku", "ordered_on", "po_id"]).groupby("sku")
    last = by_sku.last().reindex(goods.index)
    return goods.assign(
        supplier_id=goods.supplier_id.astype(object).fillna(last.supplier_id),
        unit_cost=last.unit_cost.astype(float).fillna(goods.unit_cost),
        last_received_on=by_sku.received_on.max(),
    )


def _with_lead_times(goods: DataFrame, suppliers: DataFrame) -> DataFrame:
    """Goods with their supplier's lead time and yield; a stated lead time where no
    receipt shows one, with the usual spread of the others.
    """
    by_name = suppliers.set_index("supplier_id")
    columns = ["lead_mean", "lead_sd", "yield_share"]
    own = by_name[columns].astype(float).reindex(goods.supplier_id).set_axis(goods.index)
    stated = goods.lead_time_days.where(goods.lead_time_days > 0)
    lead_days = own.lead_mean.fillna(stated)
    spread = lead_days * (by_name.lead_sd / by_name.lead_mean).median()
    return goods.assign(
        lead_days=lead_days,
        lead_sd=own.lead_sd.fillna(spread).fillna(0.0),
        yield_share=own.yield_share.fillna(1.0),
    )


def _with_incoming(
    goods: DataFrame,
    orders: DataFrame,
    suppliers: DataFrame,
    today: Timestamp,
) -> DataFrame:
    """Goods with units on order, and in how many days they come in on average."""
    waiting = orders[orders.lead_days.isna() & ~orders.is_overdue]
    usual = suppliers.set_index("supplier_id").lead_mean.reindex(waiting.supplier_id)
    due = (waiting.ordered_on - today).dt.days + usual.to_numpy(float)
    waiting = waiting.assign(due=np.fmax(due, SOON_DAYS) * waiting.n_ordered)
    sums = waiting.groupby("sku")[["n_ordered", "due"]].sum().reindex(goods.index).fillna(0.0)
    days = (sums.due / sums.n_ordered).fillna(0.0)
    return goods.assign(incoming=sums.n_ordered, incoming_days=days)
