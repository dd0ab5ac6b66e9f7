"""04 Cohort retention: ages and denominators, cells not lived, the second order, keys
that change, mix.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

import pandas as pd
from ibis import _

from playbook.chapters.cohort_retention.cohorts import cohort_retention, second_order, trigger_day
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

AGES = 12
WITHIN = 180


@functools.cache
def _cells(shop: Any, days_earlier: int = 0) -> pd.DataFrame:
    return cohort_retention(
        shop.customer_days,
        as_of=shop.as_of - dt.timedelta(days=days_earlier),
        truncated_before=shop.truncated_before,
    )


@functools.cache
def cohort_asked(shop: Any) -> str:
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
        raise NotApplicable("No cohort of twenty customers has lived six months.")
    return ripe.cohort.max()


@functools.cache
def customer_months(shop: Any) -> pd.DataFrame:
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


def share_at_three(shop: Any) -> float:
    cells = cohort_retention(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    cell = cells[(cells.cohort == cohort_asked(shop)) & (cells.k == 3)]
    return float(cell.share.iloc[0])


def _cohort_months(shop: Any, k: int) -> tuple[pd.DataFrame, int]:
    mine = customer_months(shop)[lambda t: t.is_asked]
    month = str(pd.Period(cohort_asked(shop), freq="M") + k)
    return mine[mine.month == month], mine.customer_id.nunique()


def cells_not_over(shop: Any) -> int:
    cells = cohort_retention(
        shop.customer_days,
        as_of=shop.as_of - dt.timedelta(days=10),
        truncated_before=shop.truncated_before,
    )
    shown = cells[cells.k <= AGES]
    return int((shown.status != "complete").sum())


def _late_cells(shop: Any) -> pd.DataFrame:
    cells = _cells(shop, 10)
    return cells[(cells.k <= AGES) & (cells.status != "complete")]


@functools.cache
def _curve(shop: Any) -> pd.DataFrame:
    return second_order(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )


def half_way_day(shop: Any) -> float:
    curve = second_order(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    return trigger_day(curve, within_days=WITHIN)["day"]


def _gaps(shop: Any) -> pd.Series:
    """One row per customer who has come back: days between first and second order."""
    curve = _curve(shop)
    return curve.day.repeat(curve.events)


def broken_keys(shop: Any) -> pd.DataFrame:
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


def blend(shop: Any) -> pd.DataFrame:
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


EXERCISES = (
    Exercise(
        "04.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("A cell nobody has lived", "还没过完的格子"),
        prompt=Said(
            "The cohort of the report month at age one: what stands in its cell?",
            "报告月的同期群在月龄一的格子里应写什么？",
        ),
        solve=lambda shop: "b",
        choices={
            "a": Said("zero: nobody has come back", "零：没有人回来"),
            "b": Said("nothing: that month has not been lived", "空白：那个月还没到"),
            "c": Said("the share of the cohort before it", "上一个同期群的比例"),
        },
        slips=(
            Slip(
                "zero",
                lambda shop: "a",
                Said(
                    "A zero was measured. This month lies after as-of: nobody could have come back in it. Fill it "
                    "with zeros and every curve sinks.",
                    "零表示测量过。那个月在统计日之后，谁也不可能回来。填零会让所有曲线下沉。",
                ),
            ),
            Slip(
                "previous",
                lambda shop: "c",
                Said(
                    "That is a forecast, and it belongs in a forecast, marked as one.",
                    "那是预测，应放在预测里并注明。",
                ),
            ),
        ),
        hints=(
            Said(
                "On which day does age one of this cohort begin?", "这个同期群的月龄一从哪天开始？"
            ),
            Said("After the last day of the data.", "在数据最后一天之后。"),
        ),
        reveal=Said(
            "Complete, partial, unobserved: three words, and none of them is zero.",
            "完整、部分、未观测：三种状态，没有一种等于零。",
        ),
        terms=("immature cell", "cohort"),
    ),
    Exercise(
        "04.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("A share at age three", "月龄三的留存"),
        prompt=Said(
            '`given("04.2")` has one row per customer and month with an order; `is_asked` marks one cohort. '
            "What share of that cohort ordered in its month of age three?",
            '`given("04.2")` 中每个客户每个有订单的月份一行；`is_asked` 标出一个同期群。该同期群在月龄三的'
            "那个月有多大比例下单？",
        ),
        solve=share_at_three,
        given=customer_months,
        slips=(
            Slip(
                "orders not customers",
                lambda shop: _cohort_months(shop, 3)[0].orders.sum() / _cohort_months(shop, 3)[1],
                Said(
                    "Orders are above the line. Retention is about people: somebody with two orders is one customer.",
                    "分子用了订单数。留存看的是人：下两单也只算一人。",
                ),
            ),
            Slip(
                "all customers as base",
                lambda shop: (
                    len(_cohort_months(shop, 3)[0]) / customer_months(shop).customer_id.nunique()
                ),
                Said(
                    "All customers of the shop are below the line. The base is this cohort's size.",
                    "分母用了全店客户。应是该同期群的人数。",
                ),
            ),
            Slip(
                "calendar month for age",
                lambda shop: len(_cohort_months(shop, 2)[0]) / _cohort_months(shop, 2)[1],
                Said(
                    "That is the third calendar month, age two: the month of the first order is age zero.",
                    "那是第三个自然月，即月龄二：首单当月是月龄零。",
                ),
            ),
            Slip(
                "in or after",
                lambda shop: (
                    customer_months(shop)[
                        lambda t: (
                            t.is_asked
                            & (t.month >= str(pd.Period(cohort_asked(shop), freq="M") + 3))
                        )
                    ].customer_id.nunique()
                    / _cohort_months(shop, 3)[1]
                ),
                Said(
                    "Those ordered in month three or later. Here the question is that month alone; both definitions "
                    "exist, so always say which.",
                    "这是在月龄三或之后下单的人。这里只问那一个月；两种口径都有人用，务必注明。",
                ),
            ),
        ),
        hints=(
            Said(
                "`mine = table[table.is_asked]` and `base = mine.customer_id.nunique()`.",
                "先 `mine = table[table.is_asked]`，再 `base = mine.customer_id.nunique()`。",
            ),
            Said(
                "Age three is three months after `mine.cohort.iloc[0]`: January, then April.",
                "月龄三是 `mine.cohort.iloc[0]` 之后三个月：一月之后是四月。",
            ),
            Said(
                "Rows of that month are customers already: count them and divide.",
                "该月的行数就是客户数：计数再相除。",
            ),
        ),
        terms=("retention", "denominator"),
    ),
    Exercise(
        "04.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("Ten days earlier", "提前十天"),
        prompt=Said(
            "Change `days_earlier` above to 10, as if you opened the triangle on that day. How many of its "
            "cells, ages 0 to 12, are not complete then?",
            "把上面的 `days_earlier` 改为10，就像在那天打开三角表。月龄0到12中有多少格子还不完整？",
        ),
        solve=cells_not_over,
        slips=(
            Slip(
                "partial month missed",
                lambda shop: int((_late_cells(shop).status == "unobserved").sum()),
                Said(
                    "Those are the cells nobody has reached. The cells of the running month are lived in part: they "
                    "only look like low shares.",
                    "这些是还没到的格子。进行中的月份只过了一部分：它们看上去只是比例偏低。",
                ),
            ),
            Slip(
                "last column only",
                lambda shop: int((_late_cells(shop).k == AGES).sum()),
                Said(
                    "That is one column. The edge runs along the diagonal, one cell or more in every recent cohort.",
                    "这只是一列。边界沿对角线走，每个近期同期群都有。",
                ),
            ),
        ),
        hints=(
            Said(
                "Count by status: `cells.status.value_counts()`.",
                "按状态计数：`cells.status.value_counts()`。",
            ),
            Said(
                "Everything that is not `complete` counts, `partial` too.",
                "凡不是 `complete` 的都算，包括 `partial`。",
            ),
        ),
        reveal=Said(
            "Opened inside a month, a whole diagonal looks worse than it will be.",
            "月中打开时，整条对角线看起来都比最终差。",
        ),
        terms=("immature cell",),
    ),
    Exercise(
        "04.4",
        level="L3",
        kind="hunt",
        part="computation",
        title=Said("When to remind", "何时提醒"),
        prompt=Said(
            "The cell above averages the gaps of those who came back. By which day have half of those who come "
            "back within 180 days done so, with everybody still waiting counted as waiting?",
            "上面的单元格只对已回来的人求平均间隔。把仍在等待的人也算作等待，180天内会回来的人到第几天已有一半"
            "回来？",
        ),
        solve=half_way_day,
        slips=(
            Slip(
                "mean gap",
                lambda shop: _gaps(shop).mean(),
                Said(
                    "The mean of the gaps seen so far. A few long gaps pull it up, and those still waiting are not "
                    "in it at all.",
                    "这是已观察到的间隔平均值。少数长间隔会抬高它，而仍在等待的人完全不在里面。",
                ),
            ),
            Slip(
                "waiting ones dropped",
                lambda shop: _gaps(shop)[lambda g: g <= WITHIN].median(),
                Said(
                    "The median of those who came back. Dropping who waits favours early returns, because recent "
                    "customers could only show early ones.",
                    "这是已回来者的中位数。去掉等待者会偏向早回来的人，因为新客只来得及早回来。",
                ),
            ),
            Slip(
                "median of all gaps",
                lambda shop: _gaps(shop).median(),
                Said(
                    "The median over all gaps, also those beyond 180 days, and without those still waiting.",
                    "这是全部间隔（含超过180天）的中位数，且没有仍在等待的人。",
                ),
            ),
        ),
        hints=(
            Said(
                "Kaplan–Meier keeps the waiting at risk: `second_order(...)` gives that curve.",
                "Kaplan–Meier 把等待者留在风险集中：`second_order(...)` 给出这条曲线。",
            ),
            Said(
                '`from playbook.chapters.cohort_retention.cohorts import trigger_day`, and `trigger_day(curve, within_days=180)["day"]` '
                "reads the day off it.",
                '`from playbook.chapters.cohort_retention.cohorts import trigger_day`，`trigger_day(curve, within_days=180)["day"]` 读出这'
                "一天。",
            ),
        ),
        reveal=Said(
            "Before that day a discount pays for orders that were coming anyway.",
            "在那天之前打折，只是为本来就会来的订单付钱。",
        ),
        terms=("censoring", "survivor curve"),
    ),
    Exercise(
        "04.5",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("Retention of nothing", "留存几乎为零"),
        prompt=Said(
            '`given("04.5")` comes from another platform\'s export. What do you report?',
            '`given("04.5")` 来自另一平台的导出。你报告什么？',
        ),
        solve=lambda shop: "c",
        given=broken_keys,
        choices={
            "a": Said("customers hardly ever come back: an alarm", "客户几乎不回来：报警"),
            "b": Said("retention is low but stable: no action", "留存低但稳定：不处理"),
            "c": Said(
                "nothing: the key does not identify people, retention is blocked until it does",
                "不报告：客户键不能识别人，修复前留存不可用",
            ),
        },
        slips=(
            Slip(
                "reported as fact",
                lambda shop: "a",
                Said(
                    "Look at orders per customer: exactly one, in every cohort. Each order got a new key, so nobody "
                    "*can* come back in these data.",
                    "看每客订单数：每个同期群都正好是一。每笔订单都是新键，数据里没有人*能*回来。",
                ),
            ),
            Slip(
                "reported as low",
                lambda shop: "b",
                Said(
                    "Stable at exactly zero, over months? No shop does that. Ask first whether the key is a person.",
                    "连续几个月正好为零？没有店铺会这样。先问客户键是不是人。",
                ),
            ),
        ),
        hints=(
            Said("Which column is the same in every row?", "哪一列在每行都相同？"),
            Said(
                "What would make `orders_per_customer` exactly one?",
                "什么会让 `orders_per_customer` 正好等于一？",
            ),
        ),
        reveal=Said(
            "Some platforms give a new key per order or per guest. The gate of chapter 00 shows it as the "
            "share of loyal customers.",
            "有些平台按订单或按游客发新键。第00章的门槛会显示忠诚客户占比。",
        ),
        terms=("denominator",),
    ),
    Exercise(
        "04.6",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("The blend rises, every part falls", "总体上升，各部分下降"),
        prompt=Said(
            '`given("04.6")` is made up: the blended share of returning customers rises. What do you decide?',
            '`given("04.6")` 是编造的：总体回头率上升。你怎么决定？',
        ),
        solve=lambda shop: "b",
        given=blend,
        choices={
            "a": Said(
                "retention improves: keep the programme and enlarge it",
                "留存改善：继续并扩大现有做法",
            ),
            "b": Said(
                "both age groups fell: look for a cause among the new customers, with an owner and a date",
                "两个年龄组都下降：在新客中找原因，定负责人和日期",
            ),
            "c": Said(
                "the numbers contradict each other: wait another month", "数字互相矛盾：再等一个月"
            ),
        },
        slips=(
            Slip(
                "believes the blend",
                lambda shop: "a",
                Said(
                    "Compare at the same age: the first month fell and the older ones fell. The blend rose because "
                    "fewer new customers came, and old ones always return more.",
                    "在同一月龄比较：首月下降，老客也下降。总体上升只是因为新客变少，而老客本来回得多。",
                ),
            ),
            Slip(
                "waits",
                lambda shop: "c",
                Said(
                    "They do not contradict: the weights changed. Another month only costs another cohort.",
                    "并不矛盾：是权重变了。再等一个月只会再损失一个同期群。",
                ),
            ),
        ),
        hints=(
            Said(
                "Compare the rows of one `age_group` before and after.",
                "比较同一 `age_group` 的前后两行。",
            ),
            Said(
                "How many customers of the first month are in each period?",
                "两个时期各有多少首月客户？",
            ),
        ),
        reveal=Said(
            "Fewer new customers made the blend look better. Two alarms, not one success.",
            "新客减少让总体看起来更好。这是两个警报，不是一个成功。",
        ),
        terms=("Simpson's paradox", "mix effect"),
    ),
)
