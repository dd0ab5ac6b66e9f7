"""02 Goal setting: a target's chance, drivers solved backwards, break-even, duties,
business models.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
from ibis import _

from playbook.chapters.goal_setting import business, goals
from playbook.chapters.goal_setting.team import raci_verdicts
from playbook.measures.revenue_days import daily_revenue
from playbook.methods.driver_tree import driver_tree
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

ABOVE = 1.1  # the target, as a multiple of the forecast
GOAL = 1.15  # of the present revenue


@functools.cache
def past_errors(shop: Any) -> pd.DataFrame:
    """A naive forecast of weekly revenue on the shop's own past: week_ends_on, forecast
    (mean of the four weeks before), actual, ratio (actual over forecast).
    """
    orders = shop.sales_orders
    daily = daily_revenue(
        orders, as_of=shop.as_of, observed_from=shop.observed_from, refunds=shop.booked_refunds
    )
    weeks = daily.set_index("period_on").amount.iloc[-7 * (len(daily) // 7) :]
    weeks = weeks.groupby(pd.RangeIndex(len(weeks)) // 7).sum().set_axis(weeks.index[6::7])
    table = pd.DataFrame({"forecast": weeks.rolling(4).mean().shift(1), "actual": weeks}).dropna()
    table = table[table.forecast > 0].tail(52)
    if len(table) < 20:
        raise NotApplicable("Fewer than twenty past weeks can be forecast.")
    return (
        table.assign(ratio=table.actual / table.forecast).rename_axis("week_ends_on").reset_index()
    )


def chance_of_target(shop: Any) -> float:
    return float((past_errors(shop).ratio >= ABOVE).mean())


@functools.cache
def visits(shop: Any) -> pd.Series:
    """The report month: sessions, checkouts, buyers (of the traffic table), revenue
    (their orders).
    """
    traffic = shop.traffic.filter(_.day_on.strftime("%Y-%m") == shop.month)
    sums = shop.con.execute(
        traffic.aggregate(
            **{c: _[c].sum().cast("float64") for c in ("sessions", "checkouts", "buyers")}
        )
    ).iloc[0]
    sold = (
        shop.sales_orders.filter(_.ordered_on.strftime("%Y-%m") == shop.month)
        .revenue.sum()
        .cast("float64")
    )
    found = pd.concat([sums, pd.Series({"revenue": float(shop.con.execute(sold) or 0)})])
    if not (found > 0).all():
        raise NotApplicable("The month has no traffic, buyers or revenue.")
    return found


def needed_conversion(shop: Any) -> float:
    month = visits(shop)
    base = {
        "sessions": month.sessions,
        "conversion": month.buyers / month.sessions,
        "spend_per_buyer": month.revenue / month.buyers,
    }
    tree = driver_tree(base, 1.15 * month.revenue).set_index("driver")
    return float(tree.needed_alone["conversion"])


@functools.cache
def month_costs(shop: Any) -> pd.Series:
    """The newest three months, a month: overhead, orders, revenue, goods, fees,
    fulfilment; and cm_per_order.
    """
    start = pd.Period(shop.month, freq="M") - 2
    orders = shop.sales_orders.filter(_.ordered_on >= start.start_time.date())
    sums = shop.con.execute(
        orders.aggregate(
            orders=_.count(),
            **{
                name: _[column].sum().cast("float64") / 3
                for name, column in (
                    ("revenue", "revenue"),
                    ("goods", "cost"),
                    ("fees", "fees"),
                    ("fulfilment", "fulfilment"),
                )
            },
        )
    ).iloc[0]
    fixed = business.monthly_fixed_cost(shop.cost_rates, as_of=shop.as_of)
    even = goals.break_even(shop.sales_orders, fixed=fixed["overhead"], as_of=shop.as_of).iloc[0]
    if even.status != "complete":
        raise NotApplicable(f"Break-even is {even.status} here.")
    return pd.Series(
        {
            "overhead": even.fixed,
            "orders": sums.orders / 3,
            **sums.drop("orders"),
            "cm_per_order": even.cm_per_order,
        }
    )


def orders_needed(shop: Any) -> float:
    fixed = business.monthly_fixed_cost(shop.cost_rates, as_of=shop.as_of)
    even = goals.break_even(shop.sales_orders, fixed=1.2 * fixed["overhead"], as_of=shop.as_of)
    return float(even.orders_needed.iloc[0])


@functools.cache
def duties(shop: Any) -> pd.DataFrame:
    """The shop's team table with three rows changed: one duty got a second accountable
    role, one lost its accountable role, one got a second responsible role (which is
    fine).
    """
    team = shop.team.select("role", "kpi", "raci").to_pandas().drop_duplicates(["role", "kpi"])
    owned = sorted(team[team.raci == "A"].kpi.unique())
    roles = sorted(team.role.unique())
    if len(owned) < 3 or len(roles) < 3:
        raise NotApplicable("The team table has fewer than three owned duties or roles.")
    twice, nobody, helped = owned[0], owned[1], owned[2]

    def others(kpi: str) -> list[str]:
        return [role for role in roles if role not in set(team[team.kpi == kpi].role)]

    team.loc[(team.kpi == nobody) & (team.raci == "A"), "raci"] = "R"
    more = [(others(twice)[0], twice, "A"), *((role, helped, "R") for role in others(helped)[:2])]
    table = pd.concat([team, pd.DataFrame(more, columns=["role", "kpi", "raci"])])
    return table[~table.kpi.isin(_broken(shop))].sort_values(["kpi", "role"], ignore_index=True)


def _broken(shop: Any) -> set[str]:
    """Duties whose verdict is not ok before anything is changed; left out of the
    exercise.
    """
    found = raci_verdicts(shop.team)
    return set(found[found.verdict != "ok"].kpi)


def duties_to_settle(shop: Any) -> set[str]:
    found = raci_verdicts(duties(shop))
    return set(found[found.verdict != "ok"].kpi)


def _counts(shop: Any) -> pd.DataFrame:
    counts = duties(shop).groupby(["kpi", "raci"]).size().unstack(fill_value=0)
    return counts.reindex(columns=list("RACI"), fill_value=0)


@functools.cache
def models(shop: Any) -> pd.DataFrame:
    """The same basket through each business model, an order: model, gross_margin,
    platform_take, payment, fulfilment, acquisition.
    """
    own = business.own_basket(shop.sales_orders, as_of=shop.as_of)
    rates = business.order_rates(shop.get("cost_rates"), as_of=shop.as_of)
    found = business.business_models(
        shop.business_models,
        basket=own["basket"],
        orders_per_customer=own["orders_per_customer"],
        **rates,
    )
    found = found[found.status == "complete"].sort_values("model", ignore_index=True)
    if len(found) < 3:
        raise NotApplicable("Fewer than three models have every assumption.")
    other = found.gross_margin - found.platform_take - found.cm_before_cac
    return found.assign(other=other, acquisition=found.cm_before_cac - found.cm_per_order)


def model_table(shop: Any) -> pd.DataFrame:
    """What the learner sees of `models`: parts of an order's margin, no sum."""
    shown = models(shop)[["model", "gross_margin", "platform_take", "other", "acquisition"]]
    return shown.rename(columns={"other": "payment_and_fulfilment"})


def models_ranked(shop: Any) -> list[str]:
    return list(models(shop).sort_values("cm_per_order", ascending=False).model)


def _ranked_by(shop: Any, column: str) -> list[str]:
    return list(models(shop).sort_values(column, ascending=False).model)


EXERCISES = (
    Exercise(
        "02.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("A target in the middle", "正好在中间的目标"),
        prompt=Said(
            "A forecast with an 80 % interval is honest. The target equals its middle value. What is the "
            "chance to reach it?",
            "预测的80%区间是可信的。目标正好等于中值。达到它的机会有多大？",
        ),
        solve=lambda shop: "b",
        choices={
            "a": Said("nearly certain: that is what is forecast", "几乎肯定：预测就是这样"),
            "b": Said("about one in two", "约一半"),
            "c": Said("80 %, the level of the interval", "80%，即区间的水平"),
        },
        slips=(
            Slip(
                "certain",
                lambda shop: "a",
                Said(
                    "The middle is what is as often missed as passed. A plan that needs it is a coin.",
                    "中值有一半时候达不到。依赖中值的计划等于抛硬币。",
                ),
            ),
            Slip(
                "level",
                lambda shop: "c",
                Said(
                    "The level says how often the *range* holds the outcome, both ends counted. A target has one "
                    "side.",
                    "水平说的是*区间*包含结果的频率，两端都算。目标只有一侧。",
                ),
            ),
        ),
        hints=(
            Said("How often does the outcome lie above the middle?", "结果高于中值的次数占多少？"),
            Said("As often as below.", "与低于的次数一样多。"),
        ),
        terms=("confidence interval", "SMART principle"),
    ),
    Exercise(
        "02.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("The chance of a target", "目标的机会"),
        prompt=Said(
            '`given("02.2")` holds past weekly forecasts and what came. Next week\'s target lies a tenth '
            "above its forecast. In what share of the past weeks would such a target have been reached?",
            '`given("02.2")` 是过去的周预测和实际值。下周目标比预测高十分之一。过去有多大比例的周能达到这样'
            "的目标？",
        ),
        solve=chance_of_target,
        given=past_errors,
        slips=(
            Slip(
                "midpoint over target",
                lambda shop: 1 / ABOVE,
                Said(
                    "That is the forecast over the target. A ratio of amounts is no probability: count how often.",
                    "那是预测除以目标。金额之比不是概率：要数次数。",
                ),
            ),
            Slip(
                "one-sided taken as two",
                lambda shop: float((past_errors(shop).ratio.sub(1).abs() >= 0.1).mean()),
                Said(
                    "You counted weeks a tenth off on either side. Those far below the forecast do not reach "
                    "anything.",
                    "你把高低两侧偏离十分之一的周都算了。远低于预测的周并没有达标。",
                ),
            ),
            Slip(
                "missed instead of reached",
                lambda shop: 1 - chance_of_target(shop),
                Said("That is the share of weeks that would have missed it.", "那是达不到的比例。"),
            ),
            Slip(
                "any above forecast",
                lambda shop: float((past_errors(shop).ratio >= 1).mean()),
                Said(
                    "Those weeks passed the forecast. The target asks for a tenth more.",
                    "那些周超过了预测，而目标还要再高十分之一。",
                ),
            ),
        ),
        hints=(
            Said(
                "`ratio` is what came over what was forecast. Which ratio does the target ask for?",
                "`ratio` 是实际除以预测。目标要求的比值是多少？",
            ),
            Said(
                "The mean of a condition is a share: `(table.ratio >= 1.1).mean()`.",
                "条件的平均就是比例：`(table.ratio >= 1.1).mean()`。",
            ),
        ),
        reveal=Said(
            "Past errors of the same forecast are the fairest source of a chance.",
            "同一预测的历史误差，是估计机会最公道的依据。",
        ),
        terms=("backtest",),
    ),
    Exercise(
        "02.3",
        level="L2",
        kind="fill",
        part="definitions",
        title=Said("The conversion a goal needs", "目标需要的转化率"),
        prompt=Said(
            'Revenue is sessions × conversion × spend per buyer. `given("02.3")` is this month. Which '
            "conversion does a goal of 1.15 times the revenue need, with sessions and spend per buyer held?",
            '收入 = 会话数 × 转化率 × 人均消费。`given("02.3")` 是本月。若收入目标为1.15倍，会话数与人均消费'
            "不变，需要多高的转化率？",
        ),
        solve=needed_conversion,
        given=visits,
        slips=(
            Slip(
                "additive gap",
                lambda shop: visits(shop).buyers / visits(shop).sessions + GOAL - 1,
                Said(
                    "You added the growth to the rate. Drivers multiply: the rate has to grow by the same factor.",
                    "你把增幅加到了转化率上。驱动因素是相乘的：转化率应乘以同样的倍数。",
                ),
            ),
            Slip(
                "wrong base",
                lambda shop: GOAL * visits(shop).buyers / visits(shop).checkouts,
                Said(
                    "Your conversion starts at the checkout. The tree multiplies it with sessions, so sessions are "
                    "its base.",
                    "你的转化率以结账为基数。公式里它与会话数相乘，所以基数应是会话数。",
                ),
            ),
            Slip(
                "present",
                lambda shop: visits(shop).buyers / visits(shop).sessions,
                Said("That is the conversion it has.", "那是现在的转化率。"),
            ),
        ),
        hints=(
            Said("Conversion now = buyers / sessions.", "现在的转化率 = 买家 ÷ 会话数。"),
            Said(
                "If the other two stay, conversion carries the whole factor.",
                "另外两个不变时，转化率承担全部倍数。",
            ),
        ),
        reveal=Said(
            "Hold the answer against the best month so far before anybody promises it.",
            "承诺之前，先与历史最好的月份比较。",
        ),
        terms=("conversion", "denominator"),
    ),
    Exercise(
        "02.4",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("Break-even, rent up a fifth", "盈亏平衡：租金涨五分之一"),
        prompt=Said(
            "The cell above shows the shop's month. Overhead rises by a fifth. How many orders a month are "
            "needed then to break even?",
            "上面的单元格是店铺的月度数据。固定费用上涨五分之一后，每月需要多少订单才能盈亏平衡？",
        ),
        solve=orders_needed,
        given=month_costs,
        slips=(
            Slip(
                "revenue for margin per order",
                lambda shop: (
                    1.2
                    * month_costs(shop).overhead
                    / (month_costs(shop).revenue / month_costs(shop).orders)
                ),
                Said(
                    "You divided by revenue per order. The goods, fees and parcels of an order are paid before it "
                    "can carry any rent.",
                    "你除以了每单收入。每单先要付货款、费用和快递，剩下的才能付租金。",
                ),
            ),
            Slip(
                "variable cost counted as fixed",
                lambda shop: (
                    (
                        1.2 * month_costs(shop).overhead
                        + month_costs(shop)[["fees", "fulfilment"]].sum()
                    )
                    / month_costs(shop).cm_per_order
                ),
                Said(
                    "Fees and fulfilment grow with every order, and the margin per order has them already. Counted "
                    "as fixed they are paid twice.",
                    "费用和履约随订单增长，每单边际贡献里已扣。再算作固定就付了两次。",
                ),
            ),
            Slip(
                "old overhead",
                lambda shop: month_costs(shop).overhead / month_costs(shop).cm_per_order,
                Said("That is break-even before the rise.", "那是上涨之前的盈亏平衡。"),
            ),
        ),
        hints=(
            Said(
                "Orders needed = fixed cost / margin per order.",
                "所需订单 = 固定成本 ÷ 每单边际贡献。",
            ),
            Said(
                "`1.2 * month.overhead / month.cm_per_order`",
                "`1.2 * month.overhead / month.cm_per_order`",
            ),
        ),
        terms=("break-even", "contribution margin"),
    ),
    Exercise(
        "02.5",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("Who owns it?", "谁负责？"),
        prompt=Said(
            '`given("02.5")` is a draft of duties. Which duties (`kpi`) cannot be agreed on as they stand? '
            "Answer as a set.",
            '`given("02.5")` 是职责草案。哪些职责（`kpi`）不能就这样定下？用集合作答。',
        ),
        solve=duties_to_settle,
        given=duties,
        slips=(
            Slip(
                "two responsibles flagged",
                lambda shop: duties_to_settle(shop) | set(_counts(shop)[lambda t: t.R > 1].index),
                Said(
                    "Two who do the work is fine. One who answers for it is what each duty needs.",
                    "两个人执行没问题。每项职责需要的是唯一的负责人。",
                ),
            ),
            Slip(
                "row with none missed",
                lambda shop: set(_counts(shop)[lambda t: t.A > 1].index),
                Said(
                    "You found the one with two owners. There is also one that nobody answers for, which no count of "
                    "two will find.",
                    "你找到了有两个负责人的。还有一项没人负责，只数“两个”是找不到的。",
                ),
            ),
            Slip(
                "row with two missed",
                lambda shop: set(_counts(shop)[lambda t: t.A == 0].index),
                Said(
                    "You found the one without an owner. Two owners are as bad: each waits for the other.",
                    "你找到了没人负责的。两个负责人同样糟：互相等待。",
                ),
            ),
        ),
        hints=(
            Said("Count the letter A per duty.", "按职责数字母 A。"),
            Said(
                '`table[table.raci == "A"].groupby("kpi").size()` leaves out those with none: compare with '
                "`set(table.kpi)`.",
                '`table[table.raci == "A"].groupby("kpi").size()` 不含一个都没有的：再与 `set(table.kpi)` 比较'
                "。",
            ),
        ),
        terms=("roles and duties (RACI)",),
    ),
    Exercise(
        "02.6",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("Which business model?", "哪种商业模式？"),
        prompt=Said(
            '`given("02.6")` takes the same basket through each model, in money per order. List the models, '
            "best first, by what an order leaves after everything, acquisition included.",
            '`given("02.6")` 让同一篮商品走每种模式（每单金额）。按扣除一切（含获客）后每单剩下的多少，'
            "从好到差列出模式。",
        ),
        solve=models_ranked,
        given=model_table,
        slips=(
            Slip(
                "gross margin",
                lambda shop: _ranked_by(shop, "gross_margin"),
                Said(
                    "That is the order by gross margin. What the platform takes and what a customer costs differ far "
                    "more between models than the goods do.",
                    "这是按毛利排序。各模式之间平台抽成和获客成本的差别，比货款大得多。",
                ),
            ),
            Slip(
                "omits acquisition",
                lambda shop: _ranked_by(shop, "cm_before_cac"),
                Said(
                    "Acquisition is not in it. A model without a take has to find its own customers, and pays for "
                    "them.",
                    "没有扣获客成本。不抽成的模式要自己找客户，并为此付钱。",
                ),
            ),
            Slip(
                "worst first",
                lambda shop: models_ranked(shop)[::-1],
                Said("The right order, from the wrong end.", "顺序对，但方向反了。"),
            ),
        ),
        hints=(
            Said(
                "Margin per order = gross margin less the other three columns.",
                "每单边际贡献 = 毛利减去其余三列。",
            ),
            Said(
                "`sort_values(..., ascending=False)`, then `list(table.model)`.",
                "`sort_values(..., ascending=False)`，再 `list(table.model)`。",
            ),
        ),
        reveal=Said(
            "Cash days and the stock one has to hold may still turn the order round.",
            "资金占用天数和备货要求仍可能改变排序。",
        ),
        terms=("business model", "customer acquisition cost (CAC)"),
    ),
)
