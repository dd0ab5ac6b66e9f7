"""03 Channel ROI: break-even, acquisition cost, channels that lose behind a good ROAS,
moving budget.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
from ibis import _

from playbook.chapters.channel_roi.channels import channel_months, channel_pnl
from playbook.measures.ad_spend import read_extract
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

STEP = 0.2  # how far one channel may move, share of its spend


@functools.cache
def _months(shop: Any) -> pd.DataFrame:
    spend = read_extract(shop.ad_spend, as_of=shop.as_of)
    return channel_months(
        shop.sales_orders, spend=spend, refunds=shop.booked_refunds, as_of=shop.as_of
    )


@functools.cache
def accounts(shop: Any) -> pd.DataFrame:
    """The chapter's channel accounts, channels with spend only."""
    pnl = channel_pnl(_months(shop))
    return pnl[pnl.spend > 0].reset_index(drop=True)


@functools.cache
def channel_account(shop: Any) -> pd.DataFrame:
    """The account of the channel with the largest spend: item, amount. Costs and
    refunds are positive; `refunds` are the margin they took back.
    """
    pnl = accounts(shop).sort_values("spend", ascending=False)
    orders = shop.sales_orders.mutate(month=_.ordered_on.strftime("%Y-%m"))
    for row in pnl.dropna(subset="be_roas").itertuples():
        mine = orders.filter(
            (_.channel == row.channel) & _.month.between(row.first_month, row.last_month)
        )
        parts = {
            name: mine[name].sum().cast("float64")
            for name in ("revenue", "cost", "fees", "fulfilment")
        }
        sums = shop.con.execute(mine.aggregate(**parts)).iloc[0]
        if (
            abs(sums.revenue - row.sales) < 0.01
        ):  # an outage inside the window would leave a month out
            before = sums.revenue - sums.cost - sums.fees - sums.fulfilment
            items = {
                "spend": row.spend,
                "sales before returns": row.sales,
                "cost of goods": sums.cost,
                "fees": sums.fees,
                "fulfilment": sums.fulfilment,
                "refunds": before - row.margin,
            }
            return pd.DataFrame(
                {"channel": row.channel, "item": items.keys(), "amount": items.values()}
            )
    raise NotApplicable("No channel has three months in a row with known spend and margin.")


def _account(shop: Any) -> pd.Series:
    return channel_account(shop).set_index("item").amount


def _margin(shop: Any) -> float:
    account = _account(shop)
    return (
        account["sales before returns"]
        - account[["cost of goods", "fees", "fulfilment", "refunds"]].sum()
    )


def break_even_roas(shop: Any) -> float:
    account = channel_account(shop).set_index("item").amount
    sales, costs = (
        account["sales before returns"],
        account[["cost of goods", "fees", "fulfilment", "refunds"]].sum(),
    )
    return sales / (sales - costs)


@functools.cache
def month_by_channel(shop: Any) -> pd.DataFrame:
    """The report month by channel: channel, spend (0 where nothing is paid), orders,
    buyers, new_customers.
    """
    mine = shop.sales_orders.filter(_.ordered_on.strftime("%Y-%m") == shop.month)
    mine = mine.group_by(channel=_.channel.fill_null("unknown")).aggregate(
        buyers=_.customer_id.nunique()
    )
    months = _months(shop)
    months = months[months.month == shop.month][["channel", "spend", "orders", "new_customers"]]
    table = months.merge(shop.con.execute(mine), on="channel", how="left").fillna(
        {"spend": 0.0, "buyers": 0}
    )
    return table[["channel", "spend", "orders", "buyers", "new_customers"]].sort_values(
        "channel", ignore_index=True
    )


def _per(shop: Any, column: str) -> dict[str, float]:
    table = month_by_channel(shop)
    paid = table[table.spend > 0]
    return {
        "blended": table.spend.sum() / table[column].sum(),
        "paid": paid.spend.sum() / paid[column].sum(),
    }


def acquisition_costs(shop: Any) -> dict[str, float]:
    table = month_by_channel(shop)
    paid = table[table.spend > 0]
    if not paid.new_customers.sum():
        raise NotApplicable("No customer was won through a paid channel this month.")
    return {
        "blended": table.spend.sum() / table.new_customers.sum(),
        "paid": paid.spend.sum() / paid.new_customers.sum(),
    }


def losing_channels(shop: Any) -> set[str]:
    table = accounts(shop)
    losing = set(table[(table.roas > 1) & (table.roi < 0)].channel)
    if not losing:
        raise NotApplicable("Every channel with a ROAS above one also earns its costs back.")
    return losing


def _losing_by_blended_cost(shop: Any) -> set[str]:
    table = accounts(shop)
    spend = table.spend.sum() * table.orders / table.orders.sum()
    return set(table[(table.roas > 1) & (table.margin < spend)].channel)


@functools.cache
def budget_table(shop: Any) -> pd.DataFrame:
    """Spend of the report month's accounts per month, the average return and a marginal
    return: channel, now, average_return, marginal_return (margin per unit of spend).
    The marginal returns are made up for the exercise from the shop's own averages: of
    the two largest channels the one with the better average is full.
    """
    table = (
        accounts(shop).dropna(subset="poas").sort_values("poas", ascending=False, ignore_index=True)
    )
    if len(table) < 3:
        raise NotApplicable("Fewer than three channels have spend and margin.")
    marginal = 0.6 * table.poas
    better, worse = table.spend.nlargest(
        2
    ).index.sort_values()  # the table is sorted by average return
    marginal[better], marginal[worse] = 0.3 * table.poas[worse], 1.1 * table.poas[better]
    return pd.DataFrame(
        {
            "channel": table.channel,
            "now": (table.spend / 3).round(0).clip(lower=1),
            "average_return": table.poas.round(2),
            "marginal_return": marginal.round(2),
        }
    )


def best_plan(shop: Any, by: str = "marginal_return", step: float = STEP) -> dict[str, float]:
    """Everybody at the lower bound, then the rest of the money to the best return
    first.
    """
    table = budget_table(shop).sort_values([by, "channel"], ascending=[False, True])
    plan, left = (
        dict(zip(table.channel, (1 - step) * table.now, strict=True)),
        step * table.now.sum(),
    )
    for channel, now in zip(table.channel, table.now, strict=True):
        more = min(left, 2 * step * now)
        plan[channel], left = plan[channel] + more, left - more
    return plan


def _plan(shop: Any, answer: Any) -> pd.DataFrame:
    table = budget_table(shop).assign(plan=lambda t: [float(answer[c]) for c in t.channel])
    return table.assign(gain=lambda t: (t.plan - t.now) * t.marginal_return)


def _sum_is_off(shop: Any, answer: Any) -> bool:
    plan = _plan(shop, answer)
    return abs(plan.plan.sum() / plan.now.sum() - 1) > 0.005


def _cap_is_broken(shop: Any, answer: Any) -> bool:
    plan = _plan(shop, answer)
    return bool(((plan.plan / plan.now - 1).abs() > STEP + 0.005).any())


def _is_best(shop: Any, answer: Any) -> bool:
    """Inside both bounds, and within two percent of the best gain (rounding to whole
    money is fine).
    """
    if _sum_is_off(shop, answer) or _cap_is_broken(shop, answer):
        return False
    best = _plan(shop, best_plan(shop)).gain.sum()
    return _plan(shop, answer).gain.sum() >= 0.98 * best - 1e-9


EXERCISES = (
    Exercise(
        "03.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Is 投入产出比 the ROI?", "投入产出比就是ROI吗？"),
        prompt=Said(
            "A platform's monthly report shows 投入产出比 3 : 1 for a campaign. Is its ROI 3?",
            "平台月报显示某活动投入产出比为 3 : 1。它的ROI是3吗？",
        ),
        solve=lambda shop: "b",
        choices={
            "a": Said("yes, three comes back for each one spent", "是，投一得三"),
            "b": Said(
                "no, it is revenue over spend; ROI takes all costs off first",
                "不是，它是收入÷花费；ROI要先减去所有成本",
            ),
            "c": Said("no, it is margin over spend", "不是，它是毛利÷花费"),
        },
        slips=(
            Slip(
                "yes",
                lambda shop: "a",
                Said(
                    "投入产出比 in such a report is revenue over spend: a ROAS. Goods, fees and refunds are still "
                    "to be paid from it, and a ROAS of three can lose money.",
                    "报表里的投入产出比是收入÷花费，即ROAS。货款、费用和退款还没扣，ROAS为3也可能亏钱。",
                ),
            ),
            Slip(
                "margin",
                lambda shop: "c",
                Said(
                    "That would be POAS. A platform does not know your margin, so it cannot report it.",
                    "那是POAS。平台不知道你的毛利，无法报告它。",
                ),
            ),
        ),
        hints=(
            Said(
                "What does an advertising platform know of your costs?",
                "广告平台知道你的哪些成本？",
            ),
            Said(
                'It knows its own invoice and the order values. Look both terms up: `glossary("return")`.',
                '它只知道自己的账单和订单金额。查一下：`glossary("return")`。',
            ),
        ),
        reveal=Said(
            "投入产出比 is a ROAS. ROI here is (margin − spend) over all costs.",
            "投入产出比是ROAS。这里的ROI =（毛利 − 花费）÷ 全部成本。",
        ),
        terms=("return (ROAS form)", "return on investment"),
    ),
    Exercise(
        "03.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("Break-even ROAS", "盈亏平衡ROAS"),
        prompt=Said(
            '`given("03.2")` is the account of the channel with the largest spend. From which ROAS on does '
            "it earn its spend back, with refunds taken into account?",
            '`given("03.2")` 是花费最大的渠道的账目。计入退款后，ROAS 达到多少才能收回花费？',
        ),
        solve=break_even_roas,
        given=channel_account,
        slips=(
            Slip(
                "one over gross margin",
                lambda shop: (
                    _account(shop)["sales before returns"]
                    / (_account(shop)["sales before returns"] - _account(shop)["cost of goods"])
                ),
                Said(
                    "Only the goods are off. Fees, fulfilment and refunds leave too before the spend is earned back.",
                    "只减了货款。费用、履约和退款也要先扣除，才谈得上收回花费。",
                ),
            ),
            Slip(
                "refunds ignored",
                lambda shop: (
                    _account(shop)["sales before returns"]
                    / (_margin(shop) + _account(shop)["refunds"])
                ),
                Said(
                    "That holds until the parcels come back. Take the margin that refunds took away off as well.",
                    "在退货发生之前才成立。还要减去退款带走的毛利。",
                ),
            ),
            Slip(
                "present ROAS",
                lambda shop: _account(shop)["sales before returns"] / _account(shop)["spend"],
                Said(
                    "That is the ROAS it has. Break-even does not depend on the spend: what share of a sale is left "
                    "to pay for advertising?",
                    "这是它现在的ROAS。盈亏平衡点与花费无关：每笔销售中有多大比例可用来付广告费？",
                ),
            ),
            Slip(
                "upside down",
                lambda shop: 1 / break_even_roas(shop),
                Said(
                    "That is the margin share of a sale. Its inverse is the ROAS at which margin equals spend.",
                    "这是毛利占销售的比例。它的倒数才是毛利等于花费时的ROAS。",
                ),
            ),
        ),
        hints=(
            Said("At break-even the margin equals the spend.", "盈亏平衡时，毛利等于花费。"),
            Said(
                "Margin = sales before returns − goods − fees − fulfilment − refunds.",
                "毛利 = 退款前销售 − 货款 − 费用 − 履约 − 退款。",
            ),
            Said(
                "Break-even ROAS = sales before returns / margin.",
                "盈亏平衡ROAS = 退款前销售 ÷ 毛利。",
            ),
        ),
        reveal=Said(
            "The account's spend is not in the formula. That is why break-even can be known before the month "
            "begins.",
            "公式里没有花费，所以月初就能知道盈亏平衡点。",
        ),
        terms=("break-even ROAS", "contribution margin"),
    ),
    Exercise(
        "03.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("Two acquisition costs", "两种获客成本"),
        prompt=Said(
            "The cell above divides spend by orders. Change it to the cost of a *new customer*: once over the "
            "new customers of all channels (`blended`), once paid spend over the new customers of channels "
            'with spend (`paid`). Answer as `{"blended": ..., "paid": ...}`.',
            "上面的单元格用花费除以订单。改成*新客*成本：一次除以所有渠道的新客（`blended`），一次用付费渠道的"
            '花费除以这些渠道的新客（`paid`）。写作 `{"blended": ..., "paid": ...}`。',
        ),
        solve=acquisition_costs,
        given=month_by_channel,
        slips=(
            Slip(
                "orders",
                lambda shop: _per(shop, "orders"),
                Said(
                    "That is a cost per order. Old customers order too, and nobody had to win them this month.",
                    "这是每单成本。老客也下单，而本月并没有花钱去获得他们。",
                ),
            ),
            Slip(
                "all buyers",
                lambda shop: _per(shop, "buyers"),
                Said(
                    "Buyers include those who bought before. Acquisition cost is about those who bought for the "
                    "first time.",
                    "买家里包含老客。获客成本只看首次购买的人。",
                ),
            ),
            Slip(
                "swapped",
                lambda shop: {
                    "blended": acquisition_costs(shop)["paid"],
                    "paid": acquisition_costs(shop)["blended"],
                },
                Said(
                    "The two are exchanged. Blended spreads the spend over everybody who came, also unpaid, so it is "
                    "the smaller one.",
                    "两个值写反了。综合口径把花费分摊给所有新客（含免费渠道），所以更小。",
                ),
            ),
        ),
        hints=(
            Said(
                "`table.new_customers.sum()` is the denominator of the first.",
                "第一个的分母是 `table.new_customers.sum()`。",
            ),
            Said(
                "`paid = table[table.spend > 0]` keeps the channels of the second.",
                "`paid = table[table.spend > 0]` 保留第二个口径的渠道。",
            ),
        ),
        reveal=Said(
            "Blended looks better whenever people come unpaid; it cannot say what the next customer costs.",
            "有免费流量时综合口径总是更好看；它说明不了下一个客户要花多少钱。",
        ),
        terms=("customer acquisition cost (CAC)",),
    ),
    Exercise(
        "03.4",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("A good ROAS that loses", "ROAS好看却亏钱"),
        prompt=Said(
            "Which channels of the accounts have a ROAS above one and yet a ROI below zero? Answer as a set of "
            "channel names.",
            "账目中哪些渠道的 ROAS 大于一、ROI 却小于零？用渠道名的集合作答。",
        ),
        solve=losing_channels,
        given=accounts,
        slips=(
            Slip(
                "lowest ROAS",
                lambda shop: set(accounts(shop).sort_values("roas").channel.head(2)),
                Said(
                    "You took those with the lowest ROAS. Whether a channel loses depends on its own margin: hold "
                    "each ROAS against its own break-even.",
                    "你选了ROAS最低的。是否亏钱取决于渠道自己的毛利：把ROAS与各自的盈亏平衡点比较。",
                ),
            ),
            Slip(
                "blended cost",
                _losing_by_blended_cost,
                Said(
                    "That shares the spend out by orders. Each channel has an invoice of its own; a dear one hides "
                    "behind the average.",
                    "这是按订单分摊花费。每个渠道有自己的账单；昂贵的渠道会藏在平均数后面。",
                ),
            ),
            Slip(
                "all above one",
                lambda shop: set(accounts(shop)[accounts(shop).roas > 1].channel),
                Said(
                    "Those are all with a ROAS above one. Now keep the ones whose margin does not cover their spend.",
                    "这是所有ROAS大于一的渠道。再只留下毛利不够付花费的。",
                ),
            ),
        ),
        hints=(
            Said(
                "Two conditions on one table: `table[(table.roas > 1) & (table.roi < 0)]`.",
                "一张表两个条件：`table[(table.roas > 1) & (table.roi < 0)]`。",
            ),
            Said("`set(...)` makes a set of a column.", "`set(...)` 把一列变成集合。"),
        ),
        reveal=Said(
            "ROAS compares revenue with spend and forgets what the goods cost.",
            "ROAS 只比较收入与花费，忘了货款。",
        ),
        terms=("ROAS", "return on investment"),
    ),
    Exercise(
        "03.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("Move the budget", "调整预算"),
        prompt=Said(
            '`given("03.5")` holds each channel\'s spend a month and two returns in margin. Plan next month: '
            "the same total, no channel more than a fifth up or down, the most expected margin. Answer as a "
            "dict, channel to amount.",
            '`given("03.5")` 是各渠道的月花费和两种回报（毛利）。规划下月：总额不变，每个渠道增减不超过五分'
            "之一，预期毛利最大。用字典作答：渠道 → 金额。",
        ),
        solve=best_plan,
        given=budget_table,
        accepts=_is_best,
        slips=(
            Slip(
                "sum off",
                lambda shop: {c: 1.1 * v for c, v in best_plan(shop).items()},
                Said(
                    "The plan does not add up to what is spent now. Every raise has to be paid by a cut.",
                    "计划总额与现在不符。每一笔增加都要由削减来支付。",
                ),
                matches=_sum_is_off,
            ),
            Slip(
                "cap broken",
                lambda shop: best_plan(shop, "marginal_return", step=0.5),
                Said(
                    "A channel moves by more than a fifth. Nobody has seen what it returns that far out, so the plan "
                    "may not go there in one month.",
                    "有渠道变动超过五分之一。没人见过那么远的回报，一个月内不能走那么远。",
                ),
                matches=_cap_is_broken,
            ),
            Slip(
                "average return used",
                lambda shop: best_plan(shop, "average_return"),
                Said(
                    "The money went where the average return is high. The next unit earns the marginal return, and "
                    "the best channel on average is nearly full.",
                    "你按平均回报分钱。下一块钱得到的是边际回报，而平均最好的渠道几乎已饱和。",
                ),
            ),
            Slip(
                "left as it is",
                lambda shop: dict(
                    zip(budget_table(shop).channel, budget_table(shop).now, strict=True)
                ),
                Said(
                    "That is today's budget. The marginal returns differ, so moving money from the lowest to the "
                    "highest earns more at the same total.",
                    "这是现在的预算。边际回报各不相同，把钱从最低的移到最高的，总额不变却赚得更多。",
                ),
            ),
        ),
        hints=(
            Said(
                "Sort by `marginal_return`. Who gives, who takes?",
                "按 `marginal_return` 排序。谁减谁增？",
            ),
            Said(
                "Start with every channel at four fifths of its spend, then hand out what is left over.",
                "先让每个渠道降到现在的五分之四，再分配剩下的钱。",
            ),
            Said(
                "Best marginal return first, up to six fifths of its spend, until the money is gone.",
                "边际回报最高的先加，加到现在的五分之六为止，直到钱用完。",
            ),
        ),
        reveal=Said(
            "The cap is not caution for its own sake: outside the range of spend that was seen, no return is "
            "known.",
            "上限不是为了谨慎而谨慎：超出见过的花费范围，回报是未知的。",
        ),
        terms=("budget allocation", "marginal return"),
    ),
)
