"""00 Start here: grain, the walk to net revenue, buyers, double counts, missing days."""

from __future__ import annotations

import functools

import pandas as pd
from ibis import _

from playbook.store.reconcile import inflation, ledger
from playbook.store.shop import Store
from playbook.training.compare import same
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound


@functools.cache
def walk_parts(shop: Store) -> pd.DataFrame:
    """The walk from the source's total to net revenue without its sums: reason, amount
    (positive).
    """
    walk = ledger(shop)
    steps = walk.iloc[: walk.index[walk.reason == "shop net revenue"][0]]
    steps = steps[steps.step.isin(["total", "less"])]
    return pd.DataFrame(
        {"reason": steps.reason, "amount": steps.amount.astype(float).abs()}
    ).reset_index(drop=True)


def net_revenue(shop: Store) -> float:
    """Net revenue, as the walk ends."""
    walk = ledger(shop).set_index("reason")
    return float(walk.loc["shop net revenue", "amount"])


def _walk_amount(shop: Store, reason: str) -> float:
    return float(ledger(shop).drop_duplicates("reason").set_index("reason").amount[reason])


@functools.cache
def month_orders(shop: Store) -> pd.DataFrame:
    """The counted orders of the month: order_id, customer_id (missing for guests),
    revenue.
    """
    orders = shop.sales_orders.filter(_.ordered_on.strftime("%Y-%m") == shop.month)
    kept = orders.select("order_id", "customer_id", revenue=_.revenue.cast("float64")).order_by(
        "order_id"
    )
    return shop.con.execute(kept)


def revenue_per_buyer(shop: Store) -> float:
    """The revenue of known customers, for each of them."""
    known = month_orders(shop).dropna(subset="customer_id")
    return known.revenue.sum() / known.customer_id.nunique()


def _with_guests(shop: Store, *, one_more: bool) -> float:
    orders = month_orders(shop)
    return orders.revenue.sum() / orders.customer_id.nunique(dropna=not one_more)


def join_factor(shop: Store) -> float:
    """How many times too high order totals are once joined to their lines."""
    measures = inflation(shop).set_index("measure")
    return float(measures.loc["order totals joined to lines", "factor"])


def _rows_per_order(shop: Store) -> float:
    lines, orders = (float(shop.con.execute(t.count())) for t in (shop.order_lines, shop.orders))
    return lines / orders


@functools.cache
def export_days(shop: Store) -> pd.DataFrame:
    """An export as it might arrive: the last eight weeks, one row per day that has
    orders (day_on, weekday, orders, last_order_at). One weekday is closed in it, three
    days were lost, and it was drawn during its last day.
    """
    last = pd.Timestamp(shop.as_of)
    days = shop.orders.select("ordered_on", "ordered_at").filter(
        _.ordered_on > (last - pd.Timedelta(days=56)).date()
    )
    orders = shop.con.execute(days.order_by("ordered_at"))
    orders["day_on"] = pd.to_datetime(orders.ordered_on)
    closed = (last - pd.Timedelta(days=3)).day_of_week
    lost = [last - pd.Timedelta(days=back) for back in (9, 20, 33)]
    orders = orders[(orders.day_on.dt.day_of_week != closed) & ~orders.day_on.isin(lost)]
    if orders.day_on.nunique() < 30 or orders.day_on.max() != last:
        raise NotApplicable("training.few_days")
    ends = orders[orders.day_on == last]
    orders = orders.drop(ends.index[max(1, len(ends) // 4) :])
    table = orders.groupby("day_on").agg(
        orders=("ordered_at", "size"), last_order_at=("ordered_at", "max")
    )
    table = table.reset_index().assign(
        day_on=lambda f: f.day_on.dt.date,
        last_order_at=lambda f: f.last_order_at.dt.strftime("%H:%M"),
    )
    table.insert(1, "weekday", pd.to_datetime(table.day_on).dt.day_name())
    return table


def _empty_days(table: pd.DataFrame) -> tuple[set, set]:
    """Days without a row: those of a weekday that never has one (closed), and the
    others (missing).
    """
    seen = pd.to_datetime(table.day_on)
    every = pd.date_range(seen.min(), seen.max(), freq="D")
    closed = set(range(7)) - set(seen.dt.day_of_week)
    empty = [day for day in every if day not in set(seen)]
    return (
        {d.date() for d in empty if d.day_of_week in closed},
        {d.date() for d in empty if d.day_of_week not in closed},
    )


def days_to_repair(shop: Store) -> set:
    """Days without a row on weekdays that have rows, and the last day."""
    table = export_days(shop)
    missing = _empty_days(table)[1]
    return missing | {table.day_on.max()}  # the last day stops long before the others do


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
            revenue_per_buyer,
            slips={
                "divides by orders": lambda shop: (
                    month_orders(shop).dropna(subset="customer_id").revenue.mean()
                ),
                "guests counted as one buyer": Pattern(
                    lambda shop: _with_guests(shop, one_more=True),
                    lambda shop, answer: any(
                        same(_with_guests(shop, one_more=one), answer) for one in (True, False)
                    ),
                ),
                "average of all orders": lambda shop: month_orders(shop).revenue.mean(),
            },
            given=month_orders,
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
                "closed weekdays listed": lambda shop: (
                    days_to_repair(shop) | _empty_days(export_days(shop))[0]
                ),
                "partial last day forgotten": lambda shop: _empty_days(export_days(shop))[1],
                "both": lambda shop: set().union(*_empty_days(export_days(shop))),
            },
            given=export_days,
        ),
    },
)
