"""00 Start here: grain, the walk to net revenue, buyers, double counts, missing days."""

from __future__ import annotations

from functools import cache

import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.measures.odd_buyers import odd_buyers, ordinary
from playbook.measures.sums import in_months
from playbook.store.reconcile import inflation, ledger
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound, either


@cache
def walk_parts(shop: Store) -> DataFrame:
    """The walk from the source's total to net revenue without its sums: reason, amount
    (positive).
    """
    walk = ledger(shop)
    steps = walk.iloc[: walk.index[walk.reason == "shop net revenue"][0]]
    steps = steps[steps.step.isin(["total", "less"])]
    return DataFrame(
        {"reason": steps.reason, "amount": steps.amount.astype(float).abs()}
    ).reset_index(drop=True)


def net_revenue(shop: Store) -> float:
    """Net revenue, as the walk ends."""
    walk = ledger(shop).set_index("reason")
    return float(walk.loc["shop net revenue", "amount"])


def _walk_amount(shop: Store, reason: str) -> float:
    return float(ledger(shop).drop_duplicates("reason").set_index("reason").amount[reason])


@cache
def month_orders(shop: Store) -> DataFrame:
    """The counted orders of the month by guests and by persons (no software, no
    business buyers): order_id, customer_id (missing for guests), paid.
    """
    orders = in_months(shop.sales_orders, "ordered_on", [shop.month])
    orders = ordinary(orders, odd_buyers(shop))
    orders = orders.select("order_id", "customer_id", paid=_.total.cast("float64"))
    table = shop.con.execute(orders.order_by("order_id"))
    if table.customer_id.isna().all():
        raise NotApplicable("training.no_known_buyer")
    return table


def spend_per_buyer(shop: Store) -> float:
    """What known buyers paid, for each of them."""
    known = month_orders(shop).dropna(subset="customer_id")
    return known.paid.sum() / known.customer_id.nunique()


def _with_guests(shop: Store, *, known_only: bool = False) -> float:
    orders = month_orders(shop)
    return orders.paid.sum() / orders.customer_id.nunique(dropna=known_only)


def join_factor(shop: Store) -> float:
    """How many times too high order totals are once joined to their lines."""
    measures = inflation(shop).set_index("measure")
    factor = float(measures.loc["order totals joined to lines", "factor"])
    if factor == 1:
        raise NotApplicable("training.one_line_each")
    return factor


def _rows_per_order(shop: Store) -> float:
    lines, orders = (float(shop.con.execute(t.count())) for t in (shop.order_lines, shop.orders))
    return lines / orders


@cache
def export_days(shop: Store) -> DataFrame:
    """An export as it might arrive: the last eight weeks, one row per day that has
    orders (day_on, weekday, orders, last_order_at). One weekday is closed in it, three
    days were lost, and it was drawn during its last day.
    """
    last = pd.Timestamp(shop.as_of)
    weeks = pd.date_range(end=last, periods=56)
    days = shop.orders.select("ordered_on", "ordered_at")
    days = days.filter(_.ordered_on >= weeks[0].date()).order_by("ordered_at")
    orders = shop.con.execute(days)
    orders["day_on"] = pd.to_datetime(orders.ordered_on)
    closed, lost = weeks[-4].day_of_week, weeks[[-10, -21, -34]]
    orders = orders[(orders.day_on.dt.day_of_week != closed) & ~orders.day_on.isin(lost)]
    if orders.day_on.nunique() < 30 or orders.day_on.max() != last:
        raise NotApplicable("training.few_days")
    ends = orders[orders.day_on == last]
    orders = orders.drop(ends.index[max(1, len(ends) // 4) :])
    days = orders.groupby("day_on").ordered_at.agg(["size", "max"]).reset_index()
    day = days.day_on.dt
    return DataFrame(
        {
            "day_on": day.date,
            "weekday": day.day_name(),
            "orders": days["size"],
            "last_order_at": days["max"].dt.strftime("%H:%M"),
        }
    )


def _empty_days(shop: Store) -> tuple[set, set]:
    """Days of the export without a row: those of a weekday that never has one
    (closed), and the others (missing).
    """
    table = export_days(shop)
    seen = pd.to_datetime(table.day_on)
    every = pd.date_range(seen.min(), seen.max(), freq="D")
    closed = set(range(7)) - set(seen.dt.day_of_week)
    empty = [day for day in every if day not in set(seen)]
    by_rule = {day.date() for day in empty if day.day_of_week in closed}
    return by_rule, {day.date() for day in empty} - by_rule


def days_to_repair(shop: Store) -> set:
    """Days without a row on weekdays that have rows, and the last day."""
    _closed, missing = _empty_days(shop)
    # the last day stops long before the others do
    return missing | {export_days(shop).day_on.max()}


EXERCISES = bound(
    "start_here",
    {
        "00.2": Answers(
            net_revenue,
            slips={
                "GMV": lambda shop: _walk_amount(shop, "source total as delivered"),
                "refunds left in": lambda shop: _walk_amount(shop, "shop sales before returns"),
                "shipping added": lambda shop: (
                    net_revenue(shop) + abs(_walk_amount(shop, "shipping"))
                ),
            },
            given=walk_parts,
        ),
        "00.3": Answers(
            spend_per_buyer,
            slips={
                "divides by orders": lambda shop: (
                    month_orders(shop).dropna(subset="customer_id").paid.mean()
                ),
                "guests counted as one buyer": either(
                    _with_guests, lambda shop: _with_guests(shop, known_only=True)
                ),
                "average of all orders": lambda shop: month_orders(shop).paid.mean(),
            },
            given=month_orders,
            figures={"spend_per_buyer": spend_per_buyer},
        ),
        "00.4": Answers(
            join_factor,
            slips={
                "orders counted for rows": _rows_per_order,
                "ratio upside down": lambda shop: 1 / join_factor(shop),
                "excess only": lambda shop: join_factor(shop) - 1,
            },
        ),
        "00.5": Answers(
            days_to_repair,
            slips={
                "closed weekdays listed": lambda shop: days_to_repair(shop) | _empty_days(shop)[0],
                "partial last day forgotten": lambda shop: _empty_days(shop)[1],
                "both": lambda shop: set().union(*_empty_days(shop)),
            },
            given=export_days,
        ),
    },
)
