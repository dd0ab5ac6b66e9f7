"""Welcome: run a cell, read an error, filter, sum, group, plot, divide. The first two need no
code.
"""

from __future__ import annotations

from functools import cache

import pandas as pd
from ibis import _
from pandas.api.typing import SeriesGroupBy

from playbook.measures.metrics import months_back
from playbook.measures.sums import in_months, sums_by, total
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound

FEW_ORDERS, FEW_MONTHS = 20, 3


@cache
def any_orders(shop: Store) -> pd.DataFrame:
    """The month's counted orders, one row each, however few: order_id, day (text),
    weekday, customer_id, units, revenue.
    """
    kept = in_months(shop.sales_orders, "ordered_on", [shop.month])
    kept = kept.select(
        "order_id", "ordered_on", "customer_id", "units", revenue=_.revenue.cast("float64")
    )
    orders = shop.con.execute(kept.order_by("ordered_on", "order_id"))
    day = pd.to_datetime(orders.ordered_on)
    orders = orders.assign(day=day.dt.strftime("%Y-%m-%d"), weekday=day.dt.day_name())
    return orders[["order_id", "day", "weekday", "customer_id", "units", "revenue"]]


def month_table(shop: Store) -> pd.DataFrame:
    """The same, where there are enough of them to ask about."""
    orders = any_orders(shop)
    if len(orders) < FEW_ORDERS:
        raise NotApplicable("training.few_orders")
    return orders


def number_of_orders(shop: Store) -> int:
    """The month's counted orders."""
    orders = month_table(shop)
    return len(orders)


def _revenue_by(shop: Store, column: str) -> SeriesGroupBy:
    return month_table(shop).groupby(column).revenue


def orders_above_average(shop: Store) -> int:
    """Orders worth more than the month's average order."""
    orders = month_table(shop)
    above = orders[orders.revenue > orders.revenue.mean()]
    return len(above)


def month_revenue(shop: Store) -> float:
    """The revenue of the month."""
    orders = month_table(shop)
    return orders.revenue.sum()


def best_weekday(shop: Store) -> str:
    """The weekday with the most revenue."""
    orders = month_table(shop)
    return orders.groupby("weekday").revenue.sum().idxmax()


def best_day(shop: Store) -> str:
    """The day with the most revenue."""
    orders = month_table(shop)
    return orders.groupby("day").revenue.sum().idxmax()


@cache
def year_table(shop: Store) -> pd.DataFrame:
    """The last twelve months of the log up to the report month: month, orders, revenue."""
    months = months_back(shop.month, 12)
    kept = in_months(shop.sales_orders, "ordered_on", months)
    kept = kept.mutate(month=_.ordered_on.strftime("%Y-%m"))
    table = sums_by(kept, "month", orders=_.count(), revenue=total("revenue"))
    return table.sort_values("month", ignore_index=True)


def best_month(shop: Store) -> str:
    """The month with the highest average order."""
    table = year_table(shop).set_index("month")
    if len(table) < FEW_MONTHS:
        raise NotApplicable("training.few_months")
    return (table.revenue / table.orders).idxmax()


EXERCISES = bound(
    "welcome",
    {
        "welcome.1": Answers(
            number_of_orders,
            slips={"columns counted": lambda shop: month_table(shop).shape[1]},
            given=any_orders,
        ),
        "welcome.3": Answers(
            orders_above_average,
            slips={
                "the other side": lambda shop: number_of_orders(shop) - orders_above_average(shop),
                "half of them": lambda shop: number_of_orders(shop) // 2,
                "all rows": number_of_orders,
            },
        ),
        "welcome.4": Answers(
            month_revenue,
            slips={
                "mean": lambda shop: month_table(shop).revenue.mean(),
                "count": number_of_orders,
                "largest": lambda shop: month_table(shop).revenue.max(),
            },
        ),
        "welcome.5": Answers(
            best_weekday,
            slips={
                "most orders": lambda shop: _revenue_by(shop, "weekday").size().idxmax(),
                "the lowest": lambda shop: _revenue_by(shop, "weekday").sum().idxmin(),
                "largest average": lambda shop: _revenue_by(shop, "weekday").mean().idxmax(),
            },
        ),
        "welcome.6": Answers(
            best_day,
            slips={
                "lowest": lambda shop: _revenue_by(shop, "day").sum().idxmin(),
                "largest order": lambda shop: month_table(shop).set_index("day").revenue.idxmax(),
                "most orders": lambda shop: _revenue_by(shop, "day").size().idxmax(),
            },
        ),
        "welcome.7": Answers(
            best_month,
            slips={
                "most revenue": lambda shop: year_table(shop).set_index("month").revenue.idxmax(),
                "most orders": lambda shop: year_table(shop).set_index("month").orders.idxmax(),
            },
            given=year_table,
        ),
    },
)
