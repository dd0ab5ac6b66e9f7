"""04 Cohort retention: ages and denominators, cells not lived, the second order, keys
that change, mix.
"""

from __future__ import annotations

import datetime as dt
from functools import cache

import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.chapters.cohort_retention.cohorts import cohort_retention, second_order, trigger_day
from playbook.measures.sums import sums_by
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound

AGES = 12
WITHIN = 180


@cache
def _cells(shop: Store, days_earlier: int = 0) -> DataFrame:
    return cohort_retention(
        shop.customer_days,
        as_of=shop.as_of - dt.timedelta(days=days_earlier),
        truncated_before=shop.truncated_before,
    )


@cache
def cohort_asked(shop: Store) -> str:
    """The latest cohort of twenty or more that has lived six months and was active at
    age three.
    """
    cells = _cells(shop)
    old_enough = set(cells[(cells.k == 6) & (cells.status == "complete")].cohort)
    ripe = cells.query("k == 3 and n >= 20 and active > 0 and not is_left_truncated")
    ripe = ripe[ripe.cohort.isin(old_enough)]
    if ripe.empty:
        raise NotApplicable("training.no_ripe_cohort")
    return ripe.cohort.max()


@cache
def customer_months(shop: Store) -> DataFrame:
    """Every known customer and month with an order: customer_id, cohort (month of the
    first order), month, orders.
    """
    days = shop.customer_days.filter(_.orders > 0)
    days = days.mutate(month=_.day_on.strftime("%Y-%m"))
    table = sums_by(days, "customer_id", "month", orders=_.orders.sum())
    table.insert(1, "cohort", table.groupby("customer_id").month.transform("min"))
    return table.assign(is_asked=table.cohort == cohort_asked(shop))


def share_at_three(shop: Store) -> float:
    """The share of the cohort that ordered at age three."""
    cells = cohort_retention(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    cell = cells[(cells.cohort == cohort_asked(shop)) & (cells.k == 3)]
    return float(cell.share.iloc[0])


def _asked(shop: Store) -> DataFrame:
    table = customer_months(shop)
    return table[table.is_asked]


def _at_age(shop: Store, k: int) -> DataFrame:
    """The rows of the cohort asked for in its month of age k."""
    rows = _asked(shop)
    return rows[rows.month == str(pd.Period(cohort_asked(shop), freq="M") + k)]


def _share(shop: Store, count: float) -> float:
    return count / _asked(shop).customer_id.nunique()


def _share_in_or_after(shop: Store) -> float:
    rows = _asked(shop)
    rows = rows[rows.month >= _at_age(shop, 3).month.min()]
    return _share(shop, rows.customer_id.nunique())


def cells_not_over(shop: Store) -> int:
    """Cells of ages 0 to 12 that are not complete ten days earlier."""
    cells = cohort_retention(
        shop.customer_days,
        as_of=shop.as_of - dt.timedelta(days=10),
        truncated_before=shop.truncated_before,
    )
    shown = cells[cells.k <= AGES]
    return int((shown.status != "complete").sum())


def _late_cells(shop: Store, which: str) -> int:
    cells = _cells(shop, 10).query("k <= @AGES and status != 'complete'")
    return len(cells.query(which))


def half_way_day(shop: Store) -> float:
    """The day by which half of those who come back have come back."""
    curve = second_order(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    return trigger_day(curve, within_days=WITHIN)["day"]


@cache
def _gaps(shop: Store) -> pd.Series:
    """One row per customer who has come back: days between first and second order."""
    curve = second_order(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    return curve.day.repeat(curve.events)


def broken_keys(shop: Store) -> DataFrame:
    """Retention at age one by cohort in an export that gives every order a new customer
    key: cohort, customers, orders, orders_per_customer, share_at_one.
    """
    orders = shop.sales_orders.mutate(cohort=_.ordered_on.strftime("%Y-%m"))
    table = sums_by(orders, "cohort", customers=_.count(), orders=_.count()).tail(6)
    return table.assign(orders_per_customer=1.0, share_at_one=0.0)


def blend(shop: Store) -> DataFrame:
    """Made up for the exercise: period, age_group, customers, returned, share; and the
    blend of each period.
    """
    rows = [
        ("before", "first month", 8_000, 1_200),
        ("before", "older", 2_000, 700),
        ("after", "first month", 3_000, 390),
        ("after", "older", 7_000, 2_240),
    ]
    table = DataFrame(rows, columns=["period", "age_group", "customers", "returned"])
    both = table.groupby("period", sort=False, as_index=False)[["customers", "returned"]].sum()
    table = pd.concat([table, both.assign(age_group="blend")], ignore_index=True)
    return table.assign(share=table.returned / table.customers)


EXERCISES = bound(
    "cohort_retention",
    {
        "04.2": Answers(
            share_at_three,
            slips={
                "orders not customers": lambda shop: _share(shop, _at_age(shop, 3).orders.sum()),
                "all customers as base": lambda shop: (
                    len(_at_age(shop, 3)) / customer_months(shop).customer_id.nunique()
                ),
                "calendar month for age": lambda shop: _share(shop, len(_at_age(shop, 2))),
                "in or after": _share_in_or_after,
            },
            given=customer_months,
        ),
        "04.3": Answers(
            cells_not_over,
            slips={
                "partial month missed": lambda shop: _late_cells(shop, "status == 'unobserved'"),
                "last column only": lambda shop: _late_cells(shop, "k == @AGES"),
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
