"""How buyers pay, which way to pay fails, and what another after-sales policy could be worth.

A way to pay is held against the others on the same device: what stays unpaid beyond theirs is
lost to it. One that is paid later by its nature (an invoice) cannot fail at the till and is not
judged. A policy on returns is bounded, not forecast: buyers answer to it, and nobody who has not
tried it knows how.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Timestamp

from playbook import tables
from playbook.chapters.customer_journey.visits import filled
from playbook.given import dated
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import expression, seconds_between

__all__ = ["payment_methods", "return_policy", "return_unit_cost"]

#: months looked at, and months before them that the mix is compared with
MONTHS, BEFORE = 3, 3
#: days in which an order may still be paid, and hours after which paying is paying later
GRACE_DAYS, LATER_HOURS = 1, 24
#: orders of a cell below which it is not judged
LEAST_ORDERS = 50
#: return windows looked at, days after delivery, and the months of returns behind them
WINDOWS, RETURN_MONTHS = (14, 30, 60), 12


@dated
@tables.returns("customer_journey.payment_methods")
def payment_methods(
    orders: Table, *, as_of: dt.date | str, margin_per_order: float = np.nan, level: float = 0.8
) -> DataFrame:
    """Orders placed in the last three months by way to pay and device, the dearest failure
    first; `lost` is what stayed unpaid beyond the other ways on that device, at
    `margin_per_order`. Orders younger than a day may still be paid and are left out.
    """
    rows = filled(expression(orders), "device")
    first = Timestamp(as_of) + pd.Timedelta(days=1) - pd.DateOffset(months=MONTHS + BEFORE)
    last = as_of - dt.timedelta(days=GRACE_DAYS)
    rows = rows.filter(_.ordered_on.between(first.date(), last))
    since = (first + pd.DateOffset(months=BEFORE)).date()
    hours = seconds_between(rows.ordered_at, rows.paid_at) / 3_600
    again = rows.n_payments.cast("int64") if "n_payments" in rows.columns else None
    rows = rows.mutate(
        method=_.payment_method.fill_null("not stated"),
        is_now=_.ordered_on >= since,
        hours=hours,
        again=ibis.null("int64") if again is None else again,
    )
    cells = rows.group_by("method", "device", "is_now").aggregate(
        orders=_.count(),
        unpaid=_.paid_at.isnull().sum(),
        paid=_.paid_at.count(),
        later=(_.hours > LATER_HOURS).sum(),
        told=_.again.count(where=_.paid_at.notnull()),
        again=(_.again > 1).sum(where=_.paid_at.notnull()),
    )
    frame = cells.order_by("method", "device").to_pandas().fillna({"later": 0, "again": 0})
    counts = [frame[frame.is_now == is_now].set_index(["method", "device"]) for is_now in (1, 0)]
    table, before = (part.drop(columns="is_now") for part in counts)
    table = table.reset_index().assign(mix_share=lambda t: t.orders / max(t.orders.sum(), 1))
    keys = pd.MultiIndex.from_frame(table[["method", "device"]])
    past = before.orders / max(before.orders.sum(), 1)
    is_known = before.orders.sum() > 0
    table["mix_before"] = past.reindex(keys).fillna(0.0).to_numpy() if is_known else np.nan
    table["again_share"] = table.again / table.told.where(table.told > 0)
    table["share"] = table.unpaid / table.orders
    table["low"], table["high"] = wilson(table.unpaid, table.orders, 0.95)
    table = _against_others(table, margin_per_order, level)
    table = table.sort_values(["lost", "orders"], ascending=False, na_position="last")
    names = tables.schema("customer_journey.payment_methods").names
    return table[names].reset_index(drop=True)


def _against_others(table: DataFrame, margin: float, level: float) -> DataFrame:
    """What stayed unpaid beyond the other ways on the same device, and its margin."""
    is_later = table.later > table.paid / 2
    judged = table.assign(n=table.orders.where(~is_later, 0), x=table.unpaid.where(~is_later, 0))
    whole = judged.groupby("device")[["n", "x"]].transform("sum")
    rest, failed = whole.n - judged.n, whole.x - judged.x
    others = failed / rest.where(rest >= LEAST_ORDERS)
    share = table.share.where(~is_later & (table.orders >= LEAST_ORDERS))
    excess = table.orders * (share - others)
    variance = share * (1 - share) / table.orders + others * (1 - others) / rest.where(rest > 0)
    reach = quantile_of_normal(level) * table.orders * np.sqrt(variance)
    ends = {"lost": excess, "lost_low": excess - reach, "lost_high": excess + reach}
    told = {"others_share": others.where(share.notna()), "lost_orders": excess}
    return table.assign(**told, **{name: end * margin for name, end in ends.items()})


@dated
@tables.returns("customer_journey.return_policy")
def return_policy(
    refunds: Table, orders: Table, *, as_of: dt.date | str, per_unit: float = np.nan
) -> DataFrame:
    """What a year's returns cost beyond each return window, what their postage and handling
    came to (`per_unit` for a unit sent back), and what exchanges would have kept: each the
    most another policy could be worth, the least being nothing.

    `refunds`: booked_refunds. Days are counted from the delivery, else from the order.
    """
    first = Timestamp(as_of) + pd.Timedelta(days=1) - pd.DateOffset(months=RETURN_MONTHS)
    back = expression(refunds).filter((_.kind == "return") & _.is_date_known)
    back = back.filter(_.refunded_on.between(first.date(), as_of))
    came = expression(orders).select("order_id", came_on=_.delivered_at.cast("date"))
    back = back.left_join(came, "order_id")
    back = back.mutate(
        age=back.refunded_on.delta(back.came_on.fill_null(back.ordered_on), unit="day")
    )
    frame = back.select(
        "refund_id",
        "age",
        units=_.quantity.fill_null(0).cast("int64"),
        amount=_.amount.cast("float64"),
        margin=-_.margin.cast("float64"),
    ).to_pandas()
    frame = frame.sort_values("refund_id")
    rows = []
    for days in WINDOWS:
        late = frame[frame.age > days]
        money = late.margin.sum(skipna=False) if len(late) else 0.0
        rows.append((f"window_{days}", len(late), late.amount.sum(), money))
    postage = per_unit * frame.units.sum()
    rows.append(("buyer_pays", len(frame), frame.amount.sum(), postage))
    kept = frame.margin.sum(skipna=False) - (0.0 if np.isnan(per_unit) else postage)
    rows.append(("exchange", len(frame), frame.amount.sum(), max(kept, 0.0)))
    table = DataFrame(rows, columns=["policy", "n_returns", "refunded", "most"])
    table.insert(3, "least", np.where(table.most.notna(), 0.0, np.nan))
    return table[tables.schema("customer_journey.return_policy").names]


def return_unit_cost(rates: Table | None) -> float:
    """The newest stated cost of a unit sent back, for the whole shop; missing where none is."""
    if rates is None:
        return np.nan
    own = expression(rates).filter((_.kind == "return_per_unit") & (_.scope == "all"))
    newest = own.order_by("from_on").select(value=_.value.cast("float64")).to_pandas()
    return float(newest.value.iloc[-1]) if len(newest) else np.nan
