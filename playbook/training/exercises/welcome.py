"""Welcome: run a cell, read an error, filter, sum, group, plot. The first two need no
code.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
from ibis import _

from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]


@functools.cache
def month_table(shop: Any) -> pd.DataFrame:
    """The month's counted orders, one row each: order_id, day (text), weekday,
    customer_id, units, revenue.
    """
    kept = shop.sales_orders.filter(_.ordered_on.strftime("%Y-%m") == shop.month)
    kept = kept.select(
        "order_id", "ordered_on", "customer_id", "units", revenue=_.revenue.cast("float64")
    )
    orders = shop.con.execute(kept.order_by("ordered_on", "order_id"))
    if len(orders) < 20:
        raise NotApplicable("The month has fewer than twenty orders.")
    day = pd.to_datetime(orders.ordered_on)
    orders = orders.assign(day=day.dt.strftime("%Y-%m-%d"), weekday=day.dt.day_name())
    return orders[["order_id", "day", "weekday", "customer_id", "units", "revenue"]]


def number_of_orders(shop: Any) -> int:
    orders = month_table(shop)
    return len(orders)


def orders_above_average(shop: Any) -> int:
    orders = month_table(shop)
    above = orders[orders.revenue > orders.revenue.mean()]
    return len(above)


def month_revenue(shop: Any) -> float:
    orders = month_table(shop)
    return orders.revenue.sum()


def best_weekday(shop: Any) -> str:
    orders = month_table(shop)
    return orders.groupby("weekday").revenue.sum().idxmax()


def best_day(shop: Any) -> str:
    orders = month_table(shop)
    return orders.groupby("day").revenue.sum().idxmax()


EXERCISES = (
    Exercise(
        "welcome.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Run a cell", "运行单元格"),
        prompt=Said(
            "Run the cell above. How many orders does it print?",
            "运行上面的单元格。它打印出多少笔订单？",
        ),
        solve=number_of_orders,
        given=month_table,
        slips=(
            Slip(
                "columns counted",
                lambda shop: month_table(shop).shape[1],
                Said(
                    "That is the second number, the columns. The first one counts the rows, and a row is an order.",
                    "那是第二个数，列数。第一个数是行数，一行是一笔订单。",
                ),
            ),
            Slip(
                "rows shown",
                lambda shop: 5,
                Said(
                    "Five rows are shown, to save room. The line under them says how many there are.",
                    "为节省篇幅只显示五行。下面那行写着一共有多少。",
                ),
            ),
        ),
        hints=(
            Said(
                "Click into the cell above and press Shift and Enter together.",
                "点击上面的单元格，同时按 Shift 和 Enter。",
            ),
            Said(
                "Type the number in place of the three dots, without a comma, and press Shift and Enter again.",
                "把三个点换成这个数字（不要逗号），再按 Shift 和 Enter。",
            ),
        ),
        reveal=Said(
            "You have run a cell and answered your first question.",
            "你已运行单元格并答对了第一题。",
        ),
        terms=("grain",),
    ),
    Exercise(
        "welcome.2",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Read an error", "读懂报错"),
        prompt=Said(
            "The cell above ends in an error, which it prints. What went wrong?",
            "上面的单元格以报错结束并打印了它。出了什么问题？",
        ),
        solve=lambda shop: "b",
        choices={
            "a": Said("the table is empty", "表是空的"),
            "b": Said("there is no column of that name", "没有这个名称的列"),
            "c": Said("an order is missing", "缺少一笔订单"),
            "d": Said("Python is not installed properly", "Python 没有装好"),
        },
        slips=(
            Slip(
                "empty",
                lambda shop: "a",
                Said(
                    "An empty table would still have its columns. Read the last line: it names what was not found.",
                    "空表也有列。看最后一行：它写着没找到什么。",
                ),
            ),
            Slip(
                "order",
                lambda shop: "c",
                Said(
                    "The quoted word is what was looked for. Is it an order, or the name of a column?",
                    "引号里的词就是要找的东西。它是订单，还是列名？",
                ),
            ),
            Slip(
                "installation",
                lambda shop: "d",
                Said(
                    "Then nothing would have run. Errors are messages to the reader, not damage.",
                    "那样的话什么都运行不了。报错是给读者的提示，不是损坏。",
                ),
            ),
        ),
        hints=(
            Said("Read an error from its last line upwards.", "从最后一行往上读。"),
            Said(
                "`KeyError` means: no such name. Compare the quoted name with the columns above, letter by letter.",
                "`KeyError` 表示没有这个名称。逐个字母对比引号里的名称与上面的列名。",
            ),
        ),
        reveal=Said(
            "The last line names the kind of error and what it concerns; that is usually enough.",
            "最后一行写着报错的种类和对象，通常这就够了。",
        ),
        terms=("anomaly",),
    ),
    Exercise(
        "welcome.3",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("Filter", "筛选"),
        prompt=Said(
            "How many orders of the month are worth more than the month's average order?",
            "本月有多少笔订单高于本月平均每单金额？",
        ),
        solve=orders_above_average,
        slips=(
            Slip(
                "the other side",
                lambda shop: number_of_orders(shop) - orders_above_average(shop),
                Said(
                    "Those are the orders below the average. Turn the sign round.",
                    "这是低于平均的订单数。把不等号反过来。",
                ),
            ),
            Slip(
                "half of them",
                lambda shop: len(month_table(shop)) // 2,
                Said(
                    "That is half of the orders. Half lie above the median; a few large orders pull the average up, "
                    "so fewer lie above it.",
                    "这是一半的订单。高于中位数的才是一半；少数大单会抬高平均值，所以高于平均的更少。",
                ),
            ),
            Slip(
                "all rows",
                lambda shop: len(month_table(shop)),
                Said(
                    "That is every order. The condition has to stand inside the square brackets.",
                    "这是全部订单。条件要写在方括号里。",
                ),
            ),
        ),
        hints=(
            Said(
                "`orders[orders.revenue > 50]` keeps the orders above 50. What stands in for 50?",
                "`orders[orders.revenue > 50]` 保留大于50的订单。应把50换成什么？",
            ),
            Said(
                "`orders.revenue.mean()` is the average; `len(...)` counts rows.",
                "`orders.revenue.mean()` 是平均值；`len(...)` 数行数。",
            ),
        ),
        terms=("average order value (AOV)",),
    ),
    Exercise(
        "welcome.4",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("Sum", "求和"),
        prompt=Said("What is the revenue of the whole month?", "全月收入是多少？"),
        solve=month_revenue,
        slips=(
            Slip(
                "mean",
                lambda shop: month_table(shop).revenue.mean(),
                Said(
                    "That is one average order. `sum()` adds them up.",
                    "这是平均每单。`sum()` 才是求和。",
                ),
            ),
            Slip(
                "count",
                lambda shop: len(month_table(shop)),
                Said(
                    "That is the number of orders. Name the column before the sum.",
                    "这是订单数。先写列名，再求和。",
                ),
            ),
            Slip(
                "largest",
                lambda shop: month_table(shop).revenue.max(),
                Said("That is the largest order of the month.", "这是本月最大的一笔订单。"),
            ),
        ),
        hints=(
            Said(
                "A column is reached with a dot: `orders.revenue`.", "用点取列：`orders.revenue`。"
            ),
            Said("`orders.revenue.sum()`", "`orders.revenue.sum()`"),
        ),
        terms=("net revenue",),
    ),
    Exercise(
        "welcome.5",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("Group", "分组"),
        prompt=Said(
            "The cell above counts orders by weekday. Change it so that it adds up revenue. Which weekday "
            "brings the most revenue?",
            "上面的单元格按星期统计订单数。改成累加收入。星期几的收入最高？（用英文星期名回答）",
        ),
        solve=best_weekday,
        slips=(
            Slip(
                "most orders",
                lambda shop: month_table(shop).groupby("weekday").size().idxmax(),
                Said(
                    "That weekday has the most orders, not the most revenue: replace `.size()`.",
                    "那天订单最多，不是收入最高：替换 `.size()`。",
                ),
            ),
            Slip(
                "the lowest",
                lambda shop: month_table(shop).groupby("weekday").revenue.sum().idxmin(),
                Said("That is the weakest weekday.", "这是收入最低的星期几。"),
            ),
            Slip(
                "largest average",
                lambda shop: month_table(shop).groupby("weekday").revenue.mean().idxmax(),
                Said(
                    "That weekday has the largest average order. Add up, do not average.",
                    "那天平均每单最高。要求和，不是求平均。",
                ),
            ),
        ),
        hints=(
            Said(
                '`orders.groupby("weekday").revenue` takes one column of each group.',
                '`orders.groupby("weekday").revenue` 取出每组的一列。',
            ),
            Said(
                "Add `.sum()`, and `.sort_values()` puts the largest last.",
                "加上 `.sum()`；`.sort_values()` 会把最大的排到最后。",
            ),
        ),
        terms=("multi-dimensional analysis",),
    ),
    Exercise(
        "welcome.6",
        level="L2",
        kind="hunt",
        part="computation",
        title=Said("Plot", "作图"),
        prompt=Said(
            'Draw the revenue of each day. On which day is the peak? Answer as `"YYYY-MM-DD"`.',
            '画出每天的收入。最高的是哪一天？写作 `"YYYY-MM-DD"`。',
        ),
        solve=best_day,
        slips=(
            Slip(
                "lowest",
                lambda shop: month_table(shop).groupby("day").revenue.sum().idxmin(),
                Said("That is the lowest point of the line.", "这是曲线的最低点。"),
            ),
            Slip(
                "largest order",
                lambda shop: month_table(shop).set_index("day").revenue.idxmax(),
                Said(
                    "That is the day of the largest single order. Add up the orders of a day first.",
                    "这是单笔最大订单的日子。先把每天的订单加起来。",
                ),
            ),
            Slip(
                "most orders",
                lambda shop: month_table(shop).groupby("day").size().idxmax(),
                Said(
                    "That day has the most orders. The line is about revenue.",
                    "那天订单最多。曲线画的是收入。",
                ),
            ),
        ),
        hints=(
            Said(
                '`by_day = orders.groupby("day").revenue.sum()` and then `by_day.plot()`.',
                '先 `by_day = orders.groupby("day").revenue.sum()`，再 `by_day.plot()`。',
            ),
            Said(
                "Where two peaks look alike, ask: `by_day.idxmax()`.",
                "两个峰难分高低时，用 `by_day.idxmax()`。",
            ),
        ),
        reveal=Said(
            "A picture shows where to look; the number says what is there.",
            "图告诉你看哪里，数字告诉你是多少。",
        ),
        terms=("monitoring",),
    ),
)
