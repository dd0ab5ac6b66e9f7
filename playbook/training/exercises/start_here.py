"""00 Start here: grain, the walk to net revenue, buyers, double counts, missing days."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
from ibis import _

from playbook.store.reconcile import inflation, ledger
from playbook.training.compare import same
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]


@functools.cache
def walk_parts(shop: Any) -> pd.DataFrame:
    """The walk from the source's total to net revenue without its sums: reason, amount
    (positive).
    """
    walk = ledger(shop)
    steps = walk.iloc[: walk.index[walk.reason == "shop net revenue"][0]]
    steps = steps[steps.step.isin(["total", "less"])]
    return pd.DataFrame(
        {"reason": steps.reason, "amount": steps.amount.astype(float).abs()}
    ).reset_index(drop=True)


def net_revenue(shop: Any) -> float:
    walk = ledger(shop).set_index("reason")
    return float(walk.loc["shop net revenue", "amount"])


def _walk_amount(shop: Any, reason: str) -> float:
    return float(ledger(shop).drop_duplicates("reason").set_index("reason").amount[reason])


@functools.cache
def month_orders(shop: Any) -> pd.DataFrame:
    """The counted orders of the month: order_id, customer_id (missing for guests),
    revenue.
    """
    orders = shop.sales_orders.filter(_.ordered_on.strftime("%Y-%m") == shop.month)
    kept = orders.select("order_id", "customer_id", revenue=_.revenue.cast("float64")).order_by(
        "order_id"
    )
    return shop.con.execute(kept)


def revenue_per_buyer(shop: Any) -> float:
    known = month_orders(shop).dropna(subset="customer_id")
    return known.revenue.sum() / known.customer_id.nunique()


def _with_guests(shop: Any, *, one_more: bool) -> float:
    orders = month_orders(shop)
    return orders.revenue.sum() / orders.customer_id.nunique(dropna=not one_more)


def join_factor(shop: Any) -> float:
    measures = inflation(shop).set_index("measure")
    return float(measures.loc["order totals joined to lines", "factor"])


def _rows_per_order(shop: Any) -> float:
    lines, orders = (float(shop.con.execute(t.count())) for t in (shop.order_lines, shop.orders))
    return lines / orders


@functools.cache
def export_days(shop: Any) -> pd.DataFrame:
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
        raise NotApplicable("Fewer than thirty days of the last eight weeks have orders.")
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


def days_to_repair(shop: Any) -> set:
    table = export_days(shop)
    missing = _empty_days(table)[1]
    return missing | {table.day_on.max()}  # the last day stops long before the others do


EXERCISES = (
    Exercise(
        "00.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("What is one row?", "一行是什么？"),
        prompt=Said(
            "Before you look: what is one row of `order_lines`?",
            "先猜再看：`order_lines` 的一行代表什么？",
        ),
        solve=lambda shop: "c",
        choices={
            "a": Said("one order", "一笔订单"),
            "b": Said("one sku", "一个SKU"),
            "c": Said("one line of one order", "一笔订单中的一个商品行"),
            "d": Said("one payment", "一次付款"),
        },
        slips=(
            Slip(
                "one row per order",
                lambda shop: "a",
                Said(
                    "An order with three products has three rows here. One row per order is the table `orders`; "
                    "adding up an order's total over these rows counts it three times.",
                    "含三种商品的订单在这里有三行。一行一单的是 `orders` 表；在此表上累加订单总额会重复计算三次。",
                ),
            ),
            Slip(
                "one row per sku",
                lambda shop: "b",
                Said(
                    "A sku comes back in every order that holds it. One row per sku is the table `products`.",
                    "同一SKU会出现在每一笔包含它的订单中。一行一个SKU的是 `products` 表。",
                ),
            ),
        ),
        hints=(
            Said(
                "Look at the first five rows: which two columns together never repeat?",
                "看前五行：哪两列合起来从不重复？",
            ),
            Said(
                "`order_id` repeats. `order_id` with `line_no` does not.",
                "`order_id` 会重复；`order_id` 加 `line_no` 不会。",
            ),
        ),
        reveal=Said(
            "The grain is order and line. Say the grain of a table before you add anything up.",
            "粒度是“订单 × 行”。累加之前，先说清表的粒度。",
        ),
        terms=("grain",),
    ),
    Exercise(
        "00.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("Net revenue from the walk", "从对账桥算净收入"),
        prompt=Said(
            '`given("00.2")` lists the steps between the source\'s total and net revenue, all as positive '
            "amounts. What is net revenue?",
            '`given("00.2")` 列出从来源总额到净收入的各步（均为正数）。净收入是多少？',
        ),
        solve=net_revenue,
        given=walk_parts,
        slips=(
            Slip(
                "GMV",
                lambda shop: _walk_amount(shop, "source total as delivered"),
                Said(
                    "That is everything ever ordered, paid or not. Cancelled and unpaid orders, tax and postage are "
                    "still in it.",
                    "这是全部下单金额，含未付款与已取消的订单、税和运费。",
                ),
            ),
            Slip(
                "refunds left in",
                lambda shop: _walk_amount(shop, "shop sales before returns"),
                Said(
                    "Those are sales before returns. Money that went back to buyers is not revenue: take the refunds "
                    "out as well.",
                    "这是退款前销售额。已退给买家的钱不是收入：还要减去退款。",
                ),
            ),
            Slip(
                "shipping added",
                lambda shop: net_revenue(shop) + abs(_walk_amount(shop, "shipping")),
                Said(
                    "The postage buyers paid is still inside. It pays the carrier; revenue here is for goods only.",
                    "还包含买家支付的运费。运费付给承运商；这里的收入只算商品。",
                ),
            ),
        ),
        hints=(
            Said(
                "Start at the first row and take one reason at a time away.",
                "从第一行开始，逐项减去。",
            ),
            Said(
                "The first row is the total; every other row is taken away, refunds too.",
                "第一行是总额；其余各行都要减去，包括退款。",
            ),
        ),
        reveal=Said(
            "Every step of the walk has one reason, and nothing is left over.",
            "对账桥的每一步都有唯一原因，没有剩余。",
        ),
        terms=("net revenue", "return / refund"),
    ),
    Exercise(
        "00.3",
        level="L2",
        kind="fill",
        part="definitions",
        title=Said("Average per buyer", "人均消费"),
        prompt=Said(
            '`given("00.3")` holds the month\'s counted orders. A guest has no `customer_id`. How much did a '
            "known buyer spend on average this month?",
            '`given("00.3")` 是本月计入的订单，游客没有 `customer_id`。已知买家本月人均消费多少？',
        ),
        solve=revenue_per_buyer,
        given=month_orders,
        slips=(
            Slip(
                "divides by orders",
                lambda shop: month_orders(shop).dropna(subset="customer_id").revenue.mean(),
                Said(
                    "That is the average order. A buyer with two orders is one buyer: divide by distinct customers.",
                    "这是客单价（每单）。下两单的买家只算一人：应除以不重复的客户数。",
                ),
            ),
            Slip(
                "guests counted as one buyer",
                lambda shop: _with_guests(shop, one_more=True),
                Said(
                    "The guests' money is above the line, and below it they are one buyer or none. Numerator and "
                    "denominator must be about the same people: leave rows without `customer_id` out of both.",
                    "分子含游客的钱，分母里他们只算一人或零人。分子分母必须是同一群人：都去掉没有 `customer_id` 的行"
                    "。",
                ),
                matches=lambda shop, answer: any(
                    same(_with_guests(shop, one_more=one), answer) for one in (True, False)
                ),
            ),
            Slip(
                "average of all orders",
                lambda shop: month_orders(shop).revenue.mean(),
                Said(
                    "That is the average order of everybody. The question is about known buyers, each counted once.",
                    "这是所有人的每单平均。题目问的是已知买家，每人只算一次。",
                ),
            ),
        ),
        hints=(
            Said(
                'First keep the rows that have a `customer_id`: `orders.dropna(subset="customer_id")`.',
                '先保留有 `customer_id` 的行：`orders.dropna(subset="customer_id")`。',
            ),
            Said(
                "Then `revenue.sum()` over `customer_id.nunique()`.",
                "再用 `revenue.sum()` 除以 `customer_id.nunique()`。",
            ),
        ),
        reveal=Said(
            "Say the denominator whenever you say an average.", "说平均值时，一定说明分母。"
        ),
        terms=("spend per buyer",),
    ),
    Exercise(
        "00.4",
        level="L3",
        kind="hunt",
        part="computation",
        title=Said("The double count", "重复计算"),
        prompt=Said(
            "The cell above joins orders to their lines and adds up `total`. By what factor is its sum too "
            "high?",
            "上面的代码把订单与商品行相连再累加 `total`。合计被放大了多少倍？",
        ),
        solve=join_factor,
        slips=(
            Slip(
                "orders counted for rows",
                _rows_per_order,
                Said(
                    "That is rows per order. The sum grows faster than the rows, because long baskets are also dear "
                    "ones: compare amounts, not counts.",
                    "这是每单行数。金额放大得更多，因为行数多的订单往往也更贵：应比较金额而非行数。",
                ),
            ),
            Slip(
                "ratio upside down",
                lambda shop: 1 / join_factor(shop),
                Said(
                    "Below one means too low. The wrong sum goes above the line, the right one below.",
                    "小于一表示偏低。分子应是错误合计，分母是正确合计。",
                ),
            ),
            Slip(
                "excess only",
                lambda shop: join_factor(shop) - 1,
                Said(
                    "That is what came on top. The factor itself is the wrong sum over the right one.",
                    "这是多出来的部分。倍数本身是错误合计除以正确合计。",
                ),
            ),
        ),
        hints=(
            Said(
                "Order money may be added up once per order: sum `total` over `orders` alone.",
                "订单金额每单只能加一次：只在 `orders` 上累加 `total`。",
            ),
            Said(
                "Factor = sum after the join / sum before the join.",
                "倍数 = 连接后的合计 ÷ 连接前的合计。",
            ),
        ),
        reveal=Said(
            "Chapter 00 prints this factor every month, so that nobody has to find it in a report.",
            "第00章每月都会打印这个倍数，以免在报表里才发现。",
        ),
        terms=("grain",),
    ),
    Exercise(
        "00.5",
        level="L4",
        kind="decide",
        part="interpretation",
        title=Said("Which days go back for repair?", "哪些日期需要补数据？"),
        prompt=Said(
            '`given("00.5")` is an export as it arrived: one row per day that has orders. Name the set of '
            'days whose data are missing or not whole, as `"YYYY-MM-DD"`.',
            '`given("00.5")` 是收到的导出：有订单的日子各一行。请列出数据缺失或不完整的日期集合，'
            '写作 `"YYYY-MM-DD"`。',
        ),
        solve=days_to_repair,
        given=export_days,
        slips=(
            Slip(
                "closed weekdays listed",
                lambda shop: days_to_repair(shop) | _empty_days(export_days(shop))[0],
                Said(
                    "One weekday never has a row: the shop is closed then. A closed day is not missing data, and "
                    "asking for it costs you the data owner's patience.",
                    "有一个星期几从来没有记录：那天店铺休息。休息日不是缺数据，不必要求补。",
                ),
            ),
            Slip(
                "partial last day forgotten",
                lambda shop: _empty_days(export_days(shop))[1],
                Said(
                    "Look at the last row: its last order is hours earlier than on other days. The export was drawn "
                    "while the day still ran, so that day is too low.",
                    "看最后一行：最后一单比平时早几个小时。导出时当天还没结束，所以那天偏低。",
                ),
            ),
            Slip(
                "both",
                lambda shop: set().union(*_empty_days(export_days(shop))),
                Said(
                    "Two things: the closed weekday is no gap, and the last day stops early and is one.",
                    "两点：休息日不是缺口；最后一天提前截止，是缺口。",
                ),
            ),
        ),
        hints=(
            Said(
                "Make a full calendar with `pd.date_range` and see which days have no row.",
                "用 `pd.date_range` 生成完整日历，找出没有记录的日子。",
            ),
            Said(
                "Which weekday is never there? That is a closed day, not a gap.",
                "哪个星期几从不出现？那是休息日，不是缺口。",
            ),
            Said(
                "`last_order_at` says when each day's orders stop. Compare the last day's with the others'.",
                "`last_order_at` 是每天最后一单的时间，把最后一天与其他天比较。",
            ),
        ),
        reveal=Said(
            "A day without rows is closed or missing; a day with too few rows is the one nobody sees.",
            "没有记录的日子要么休息要么缺失；记录偏少的日子最容易被忽略。",
        ),
        terms=("monitoring",),
    ),
)
