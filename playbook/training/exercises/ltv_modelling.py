"""05 Lifetime value: margin not revenue, caps, payback that is not there yet, a model
that has to beat the baseline.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from playbook.chapters.ltv_modelling.ltv import first_orders, payback
from playbook.chapters.ltv_modelling.margin_curve import margin_curve
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

AGES = 6  # months of age every customer of the exercise has lived
RATIO = 3.0
NOT_YET = "not yet"


@functools.cache
def value_by_age(shop: Any) -> pd.DataFrame:
    """Customers won at least six months ago: age (30-day months since the first order,
    0 to 5), revenue and margin per customer *in* that month of age.
    """
    if shop.margin_basis == "revenue":
        raise NotApplicable("This shop knows no cost, so it has no margin.")
    days = shop.customer_days.select(
        "customer_id", "day_on", "orders", "revenue", "margin"
    ).to_pandas()
    days["day_on"] = pd.to_datetime(days.day_on)
    born = days[days.orders > 0].groupby("customer_id").day_on.min()
    old = born[born <= pd.Timestamp(shop.as_of) - pd.Timedelta(days=30 * AGES)]
    if shop.truncated_before is not None:
        old = old[old >= pd.Timestamp(shop.truncated_before)]
    if len(old) < 50:
        raise NotApplicable("Fewer than fifty customers are six months old.")
    mine = days[days.customer_id.isin(old.index)].astype({"revenue": float, "margin": float})
    age = (mine.day_on - mine.customer_id.map(old)).dt.days // 30
    mine = mine[age.between(0, AGES - 1)].assign(age=age)
    sums = mine.groupby("age")[["revenue", "margin"]].sum().reindex(
        range(AGES), fill_value=0.0
    ) / len(old)
    return sums.rename(
        columns={"revenue": "revenue_per_customer", "margin": "margin_per_customer"}
    ).reset_index()


def _sums(shop: Any) -> pd.Series:
    return value_by_age(shop)[["revenue_per_customer", "margin_per_customer"]].sum()


def revenue_over_margin(shop: Any) -> float:
    table = value_by_age(shop)
    return table.revenue_per_customer.sum() / table.margin_per_customer.sum()


def _discounted(shop: Any) -> float:
    table = value_by_age(shop)
    return (
        _sums(shop).revenue_per_customer
        / (table.margin_per_customer / 1.1 ** (table.age / 12)).sum()
    )


def cap_at_three(shop: Any) -> float:
    table = value_by_age(shop)
    return table.margin_per_customer.sum() / 3


@functools.cache
def _payback(shop: Any) -> pd.DataFrame:
    return payback(
        shop.customer_days, first_orders(shop.sales_orders), shop.ad_spend, as_of=shop.as_of
    )


@functools.cache
def payback_curves(shop: Any) -> pd.DataFrame:
    """Customers won four months before the report month, by channel with spend:
    channel, ncac, and the cumulative margin per customer at each month of age so far
    (`1`, `2`, ...), refunds off.
    """
    rows = _cohort(shop)
    curve = margin_curve(
        shop.customer_days, first_orders(shop.sales_orders), as_of=shop.as_of, max_months=24
    )
    curve = curve[(curve.cohort == rows.cohort.iloc[0]) & curve.is_complete]
    curve = curve.assign(month=curve.k + 1, margin_per_customer=curve.margin / curve.n)
    wide = curve.pivot(index="channel", columns="month", values="margin_per_customer")
    return rows[["channel", "ncac"]].merge(wide.reset_index(), on="channel")


@functools.cache
def _cohort(shop: Any) -> pd.DataFrame:
    cohort = str(pd.Period(shop.month, freq="M") - 4)
    rows = _payback(shop)
    rows = rows[(rows.cohort == cohort) & rows.status.isin(["paid back", "not yet"])]
    if set(rows.status) != {"paid back", "not yet"}:
        raise NotApplicable(
            f"No mixture of paid back and not yet among the customers won in {cohort}."
        )
    return rows.reset_index(drop=True)


def payback_months(shop: Any) -> dict[str, Any]:
    rows = _cohort(shop)
    return {
        r.channel: int(r.payback_months) if r.status == "paid back" else "not yet"
        for r in rows.itertuples()
    }


def _average_payback(shop: Any) -> dict[str, Any]:
    """Every channel's mean over all its cohorts that have paid back."""
    mean = _payback(shop).query("cohort != 'all'").groupby("channel").payback_months.mean()
    return {channel: float(mean.get(channel, float("nan"))) for channel in payback_months(shop)}


def _given_a_number(shop: Any) -> dict[str, Any]:
    return {
        r.channel: int(r.payback_months if r.status == "paid back" else r.months_observed)
        for r in _cohort(shop).itertuples()
    }


def race(shop: Any) -> pd.DataFrame:
    """Made up for the exercise: model, deviance on the data it was fitted to, then out
    of sample over three cut-offs: deviance, mean absolute error, bias (forecast over
    actual, less one).
    """
    rows = [
        ("Pareto/NBD", 1.02, 1.31, 0.62, -0.21),
        ("BG/NBD", 1.06, 1.24, 0.61, -0.14),
        ("last cohort's curve", 1.15, 1.12, 0.60, -0.03),
        ("zero for everybody", 2.40, 2.38, 0.55, -1.0),
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "model",
            "deviance_in_sample",
            "deviance_out_of_sample",
            "mae_out_of_sample",
            "bias_out_of_sample",
        ],
    )


def model_to_use(shop: Any) -> str:
    table = race(shop).set_index("model")
    return table.deviance_out_of_sample.idxmin()


EXERCISES = (
    Exercise(
        "05.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("P(alive) of those who bought once", "只买过一次的P(alive)"),
        prompt=Said(
            "Nearly all customers of a shop have bought once. A model gives them a mean P(alive) of 0.9. What "
            "does that say?",
            "某店几乎所有客户只买过一次。模型给出的平均P(alive)为0.9。这说明什么？",
        ),
        solve=lambda shop: "b",
        choices={
            "a": Said("nine in ten are loyal", "十人中九人忠诚"),
            "b": Said(
                "next to nothing: with one purchase there is nothing to learn drop-out from",
                "几乎什么也说明不了：只有一次购买，无从得知流失",
            ),
            "c": Said("nine in ten will buy again within a year", "十人中九人一年内会再买"),
        },
        slips=(
            Slip(
                "loyalty",
                lambda shop: "a",
                Said(
                    "In BG/NBD nobody drops out before a second purchase. Somebody with one "
                    "purchase has had no chance to drop out, so the figure is the assumption, not their loyalty.",
                    "BG/NBD 里复购之前不会流失。只买一次的人没机会“流失”，这个数是假设，不是忠诚。",
                ),
            ),
            Slip(
                "buys again",
                lambda shop: "c",
                Said(
                    "Alive only means *able* to buy. At a rate of one order in three years nobody need come this "
                    "year.",
                    "“活着”只表示*可能*购买。若三年才买一次，今年不来也正常。",
                ),
            ),
        ),
        hints=(
            Said(
                "What does the model see of somebody with one purchase?",
                "模型从只买一次的人身上看到什么？",
            ),
            Said("One day, and how long ago it was.", "只有一天，以及它过去了多久。"),
        ),
        terms=("lifetime value (LTV)",),
    ),
    Exercise(
        "05.2",
        level="L2",
        kind="fill",
        part="definitions",
        title=Said("Revenue value over margin value", "收入价值与毛利价值之比"),
        prompt=Said(
            '`given("05.2")` shows what a customer brought in each of the first six months of age. How many '
            "times the margin value is the revenue value?",
            '`given("05.2")` 是客户前六个月龄每月带来的收入和毛利。收入价值是毛利价值的多少倍？',
        ),
        solve=revenue_over_margin,
        given=value_by_age,
        slips=(
            Slip(
                "discounting confused with margin",
                lambda shop: (
                    _sums(shop).revenue_per_customer
                    / (
                        value_by_age(shop).revenue_per_customer
                        / 1.1 ** (value_by_age(shop).age / 12)
                    ).sum()
                ),
                Said(
                    "You discounted the revenue. Discounting moves money in time; it does not pay for the goods.",
                    "你对收入做了折现。折现只是换算时间，并没有支付货款。",
                ),
            ),
            Slip(
                "both at once",
                _discounted,
                Said(
                    "Margin, and discounted as well. Over six months at that rate the discount is small, and the "
                    "question is about margin alone.",
                    "既取毛利又折现。六个月里折现很小，而题目只问毛利。",
                ),
            ),
            Slip(
                "upside down",
                lambda shop: 1 / revenue_over_margin(shop),
                Said(
                    "That is the margin share. The question asks how many times.",
                    "那是毛利率。题目问的是倍数。",
                ),
            ),
            Slip(
                "first month only",
                lambda shop: (
                    lambda t: t.revenue_per_customer.iloc[0] / t.margin_per_customer.iloc[0]
                )(value_by_age(shop)),
                Said(
                    "That is the first month of age alone. Value runs over the whole horizon.",
                    "那只是第一个月龄。价值要覆盖整个期限。",
                ),
            ),
        ),
        hints=(
            Said("Add up both columns.", "两列分别求和。"),
            Said("Revenue over margin.", "收入 ÷ 毛利。"),
        ),
        reveal=Said(
            "A cap computed on revenue is too high by exactly this factor.",
            "按收入算的上限正好高出这个倍数。",
        ),
        terms=("lifetime value (LTV)", "discounting"),
    ),
    Exercise(
        "05.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("The cap at three to one", "3:1 的上限"),
        prompt=Said(
            "The cell above asks for a value of once the cost. Change it to three to one on the *margin* "
            "value of the six months: what may a new customer cost at most?",
            "上面的单元格要求价值与成本 1:1。改为按六个月*毛利*价值 3:1：一个新客最多可花多少？",
        ),
        solve=cap_at_three,
        slips=(
            Slip(
                "revenue value",
                lambda shop: _sums(shop).revenue_per_customer / RATIO,
                Said(
                    "A third of the revenue. The goods are paid from that revenue first; a cap stands on margin.",
                    "这是收入的三分之一。货款要先从收入里付；上限应按毛利算。",
                ),
            ),
            Slip(
                "times three",
                lambda shop: _sums(shop).margin_per_customer * RATIO,
                Said(
                    "Three to one means the customer brings three times what they cost, not the other way round.",
                    "3:1 指客户带来的是成本的三倍，不是反过来。",
                ),
            ),
            Slip(
                "one to one",
                lambda shop: _sums(shop).margin_per_customer,
                Said(
                    "That is one to one: the margin is gone, and overhead is still to be paid.",
                    "那是 1:1：毛利全花掉了，固定费用还没付。",
                ),
            ),
        ),
        hints=(
            Said("Margin value of six months, divided by the ratio.", "六个月毛利价值除以比例。"),
            Said(
                'Set `ratio = 3` and `column = "margin_per_customer"` above.',
                '在上面设 `ratio = 3`、`column = "margin_per_customer"`。',
            ),
        ),
        terms=("customer acquisition cost (CAC)",),
    ),
    Exercise(
        "05.4",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("Has the money come back?", "钱回来了吗？"),
        prompt=Said(
            '`given("05.4")` follows the customers won in one month, by channel: what one cost, and the '
            "cumulative margin per customer at each month of age so far. Give each channel's payback month, "
            'and `"not yet"` where it has none. Answer as a dict.',
            '`given("05.4")` 按渠道跟踪某月获得的客户：获客成本和至今各月龄的累计人均毛利。给出各渠道的回本'
            '月份，没有的写 `"not yet"`。用字典作答。',
        ),
        solve=payback_months,
        given=payback_curves,
        slips=(
            Slip(
                "immature channel given a number",
                _given_a_number,
                Said(
                    "A channel that has not reached its cost got the last month there is. That month is where the "
                    "data end, not where the money came back.",
                    "还没回本的渠道被写成了最后一个月。那是数据的终点，不是回本的时点。",
                ),
            ),
            Slip(
                "average month",
                _average_payback,
                Said(
                    "That averages the cohorts that have paid back, and leaves out exactly those that have not.",
                    "那是已回本同期群的平均，恰好漏掉了没回本的。",
                ),
            ),
            Slip(
                "missing left out",
                lambda shop: {c: m for c, m in payback_months(shop).items() if m != NOT_YET},
                Said(
                    "The channels without payback are gone from the answer. They are the ones to talk about.",
                    "没回本的渠道从答案里消失了。该讨论的正是它们。",
                ),
            ),
        ),
        hints=(
            Said(
                "For each row: the first month whose margin reaches `ncac`.",
                "每行：累计毛利首次达到 `ncac` 的月份。",
            ),
            Said(
                'Where even the last one is lower, the answer is `"not yet"`.',
                '若最后一个月仍低于它，答案是 `"not yet"`。',
            ),
        ),
        terms=("payback month", "immature cell"),
    ),
    Exercise(
        "05.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("Which forecast sets the cap?", "用哪个预测定上限？"),
        prompt=Said(
            '`given("05.5")` is made up. Which model\'s forecast do you let set the cap per new customer? '
            "Answer with its name.",
            '`given("05.5")` 是编造的。你用哪个模型的预测来定每个新客的上限？写出名称。',
        ),
        solve=model_to_use,
        given=race,
        slips=(
            Slip(
                "in-sample",
                lambda shop: race(shop).set_index("model").deviance_in_sample.idxmin(),
                Said(
                    "It fits the past best. The model that learns the past by heart always does; look at what it had "
                    "not seen.",
                    "它对过去拟合最好。死记过去的模型总是如此；要看它没见过的数据。",
                ),
            ),
            Slip(
                "MAE only",
                lambda shop: race(shop).set_index("model").mae_out_of_sample.idxmin(),
                Said(
                    "Most customers buy nothing, so a forecast of nothing has the least absolute error, and would "
                    "set the cap at nothing. Look at its bias.",
                    "多数客户不再购买，所以预测为零的绝对误差最小，却会把上限定为零。看看它的偏差。",
                ),
            ),
        ),
        hints=(
            Said(
                "Which columns are about data the model had not seen?", "哪些列是模型没见过的数据？"
            ),
            Said(
                "Deviance scores the whole forecast; the bias says whether the cap would be too low or too high.",
                "deviance 评价整个预测；偏差说明上限会偏低还是偏高。",
            ),
        ),
        reveal=Said(
            "The baseline wins here, and saying so is a result: use the baseline.",
            "这里基准胜出；说出“用基准”本身就是结论。",
        ),
        terms=("out of sample", "backtest"),
    ),
)
