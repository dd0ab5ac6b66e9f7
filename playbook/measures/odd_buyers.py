"""Buyers who are no ordinary persons: software that orders, and business buyers.

Told from their orders of the last year by a rule that is stated beside them. They stay in
every total; averages per person are taken without them, or one wholesaler would be the
usual customer of a small shop.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
from ibis import Table, _
from pandas import DataFrame, Series

from playbook.store import Store

__all__ = ["LIMITS", "odd_buyers", "ordinary"]

#: software: so many orders on a day, on so many days of the year, or so many orders in it
BURST_ORDERS, BURST_DAYS, MANY_ORDERS = 5, 3, 100
#: a business buyer: so many units an order
BULK_UNITS = 50
#: many orders and large ones are also so many times the middle customer's
TIMES = 20
YEAR = 365
LIMITS = {
    "burst": BURST_ORDERS,
    "days": BURST_DAYS,
    "orders": MANY_ORDERS,
    "units": BULK_UNITS,
    "times": TIMES,
}


def odd_buyers(shop: Store) -> DataFrame:
    """One row per customer who is no ordinary person: customer_id, kind (machine or
    business), orders, revenue of the last year. Sorted by customer.
    """
    since = ibis.literal(shop.as_of - dt.timedelta(days=YEAR))
    orders = shop.sales_orders.filter(_.customer_id.notnull() & (_.ordered_on > since))
    by_day = orders.group_by("customer_id", "ordered_on").aggregate(
        n=_.count(), units=_.units.sum(), revenue=_.revenue.sum().cast("float64")
    )
    people = by_day.group_by("customer_id").aggregate(
        orders=_.n.sum(),
        units=_.units.sum().cast("float64"),
        revenue=_.revenue.sum(),
        bursts=(_.n >= BURST_ORDERS).sum(),
    )
    buyers = shop.con.execute(people.order_by("customer_id"))
    each = buyers.units / buyers.orders
    is_bulk = each >= max(TIMES * each.median(), BULK_UNITS)
    is_business = is_bulk | buyers.customer_id.isin(_stated(shop))
    is_many = buyers.orders >= max(TIMES * buyers.orders.median(), MANY_ORDERS)
    is_machine = (buyers.bursts >= BURST_DAYS) | is_many
    kind = np.select([is_machine, is_business], ["machine", "business"], "")
    odd = buyers.assign(kind=kind)[kind != ""]
    return odd[["customer_id", "kind", "orders", "revenue"]].reset_index(drop=True)


def ordinary(rows: Table, odd: DataFrame) -> Table:
    """The rows of ordinary persons, and those of nobody known."""
    if odd.empty:
        return rows
    return rows.filter(rows.customer_id.isnull() | rows.customer_id.notin(list(odd.customer_id)))


def _stated(shop: Store) -> Series:
    """Customers the shop itself calls business buyers."""
    if not shop.has("customers.is_business"):
        return Series(dtype=object)
    stated = shop.customers.filter(_.is_business.fill_null(False)).select("customer_id")
    return shop.con.execute(stated).customer_id
