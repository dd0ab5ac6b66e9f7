"""04 Cohort retention: ages and denominators, cells not lived, the second order, keys
that change, mix.
"""

from __future__ import annotations

import datetime as dt
import functools

import pandas as pd
from ibis import _

from playbook.chapters.cohort_retention.cohorts import cohort_retention, second_order, trigger_day
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound

AGES = 12
WITHIN = 180


@functools.cache
def _cells(shop: Store, days_earlier: int = 0) -> pd.DataFrame:
    return cohort_retention(
        shop.customer_days,
        as_of=shop.as_of - dt.timedelta(days=days_earlier),
        truncated_before=shop.truncated_before,
    )


@functools.cache
def cohort_asked(shop: Store) -> str:
    """The latest cohort of twenty or more that has lived six months and was active at
    age three.
    """
    cells = _cells(shop)
    old_enough = set(cells[(cells.k == 6) & (cells.status == "complete")].cohort)
    ripe = cells[
        (cells.k == 3) & cells.cohort.isin(old_enough) & (cells.n >= 20) & ~cells.is_left_truncated
    ]
    ripe = ripe[ripe.active > 0]
    if ripe.empty:
        raise NotApplicable("training.no_ripe_cohort")
    return ripe.cohort.max()


@functools.cache
def customer_months(shop: Store) -> pd.DataFrame:
    """Every known customer and month with an order: customer_id, cohort (month of the
    first order), month, orders.
    """
    days = shop.customer_days.filter(_.orders > 0).mutate(month=_.day_on.strftime("%Y-%m"))
    table = shop.con.execute(
        days.group_by("customer_id", "month")
        .aggregate(orders=_.orders.sum())
        .order_by("customer_id", "month")
    )
    table.insert(1, "cohort", table.groupby("customer_id").month.transform("min"))
    return table.assign(is_asked=table.cohort == cohort_asked(shop))


def share_at_three(shop: Store) -> float:
    """The share of the cohort that ordered at age three."""
    cells = cohort_retention(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    cell = cells[(cells.cohort == cohort_asked(shop)) & (cells.k == 3)]
    return float(cell.share.iloc[0])


def _cohort_months(shop: Store, k: int) -> tuple[pd.DataFrame, int]:
    mine = customer_months(shop)[lambda t: t.is_asked]
    month = str(pd.Period(cohort_asked(shop), freq="M") + k)
    return mine[mine.month == month], mine.customer_id.nunique()


def cells_not_over(shop: Store) -> int:
    """Cells of ages 0 to 12 that are not complete ten days earlier."""
    cells = cohort_retention(
        shop.customer_days,
        as_of=shop.as_of - dt.timedelta(days=10),
        truncated_before=shop.truncated_before,
    )
    shown = cells[cells.k <= AGES]
    return int((shown.status != "complete").sum())


def _late_cells(shop: Store) -> pd.DataFrame:
    cells = _cells(shop, 10)
    return cells[(cells.k <= AGES) & (cells.status != "complete")]


@functools.cache
def _curve(shop: Store) -> pd.DataFrame:
    return second_order(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )


def half_way_day(shop: Store) -> float:
    """The day by which half of those who come back have come back."""
    curve = second_order(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    return trigger_day(curve, within_days=WITHIN)["day"]


def _gaps(shop: Store) -> pd.Series:
    """One row per customer who has come back: days between first and second order."""
    curve = _curve(shop)
    return curve.day.repeat(curve.events)


def broken_keys(shop: Store) -> pd.DataFrame:
    """Retention at age one by cohort in an export that gives every order a new customer
    key: cohort, customers, orders, orders_per_customer, share_at_one.
    """
    orders = shop.sales_orders.group_by(cohort=_.ordered_on.strftime("%Y-%m")).aggregate(
        orders=_.count()
    )
    table = shop.con.execute(orders.order_by("cohort")).tail(6)
    return table.assign(customers=table.orders, orders_per_customer=1.0, share_at_one=0.0)[
        ["cohort", "customers", "orders", "orders_per_customer", "share_at_one"]
    ]


def blend(shop: Store) -> pd.DataFrame:
    """Made up for the exercise: period, age_group, customers, returned, share; and the
    blend of each period.
    """
    rows = [
        ("before", "first month", 800, 120),
        ("before", "older", 200, 70),
        ("after", "first month", 300, 39),
        ("after", "older", 700, 224),
    ]
    table = pd.DataFrame(rows, columns=["period", "age_group", "customers", "returned"])
    both = table.groupby("period", sort=False)[["customers", "returned"]].sum().reset_index()
    return pd.concat([table, both.assign(age_group="blend")], ignore_index=True).assign(
        share=lambda t: t.returned / t.customers
    )


EXERCISES = bound(
    "cohort_retention",
    {
        "04.2": Answers(
            share_at_three,
            slips={
                "orders not customers": lambda shop: (
                    _cohort_months(shop, 3)[0].orders.sum() / _cohort_months(shop, 3)[1]
                ),
                "all customers as base": lambda shop: (
                    len(_cohort_months(shop, 3)[0]) / customer_months(shop).customer_id.nunique()
                ),
                "calendar month for age": lambda shop: (
                    len(_cohort_months(shop, 2)[0]) / _cohort_months(shop, 2)[1]
                ),
                "in or after": lambda shop: (
                    customer_months(shop)[
                        lambda t: (
                            t.is_asked
                            & (t.month >= str(pd.Period(cohort_asked(shop), freq="M") + 3))
                        )
                    ].customer_id.nunique()
                    / _cohort_months(shop, 3)[1]
                ),
            },
            given=customer_months,
        ),
        "04.3": Answers(
            cells_not_over,
            slips={
                "partial month missed": lambda shop: int(
                    (_late_cells(shop).status == "unobserved").sum()
                ),
                "last column only": lambda shop: int((_late_cells(shop).k == AGES).sum()),
            },
        ),
        "04.4": Answers(
            half_way_day,
            slips={
                "mean gap": lambda shop: _gaps(shop).mean(),
                "waiting ones dropped": lambda shop: _gaps(shop)[lambda g: g <= WITHIN].median(),
                "median of all gaps": lambda shop: _gaps(shop).median(),
            },
        ),
        "04.5": Answers(given=broken_keys),
        "04.6": Answers(given=blend),
    },
)
