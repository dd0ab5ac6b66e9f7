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
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound

STEP = 0.2  # how far one channel may move, share of its spend


@functools.cache
def _months(shop: Store) -> pd.DataFrame:
    spend = read_extract(shop.ad_spend, as_of=shop.as_of)
    return channel_months(
        shop.sales_orders, spend=spend, refunds=shop.booked_refunds, as_of=shop.as_of
    )


@functools.cache
def accounts(shop: Store) -> pd.DataFrame:
    """The chapter's channel accounts, channels with spend only."""
    pnl = channel_pnl(_months(shop))
    return pnl[pnl.spend > 0].reset_index(drop=True)


@functools.cache
def channel_account(shop: Store) -> pd.DataFrame:
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
    raise NotApplicable("training.no_channel_account")


def _account(shop: Store) -> pd.Series:
    return channel_account(shop).set_index("item").amount


def _margin(shop: Store) -> float:
    account = _account(shop)
    return (
        account["sales before returns"]
        - account[["cost of goods", "fees", "fulfilment", "refunds"]].sum()
    )


def break_even_roas(shop: Store) -> float:
    """Sales over what is left of them once their costs are paid."""
    account = channel_account(shop).set_index("item").amount
    sales, costs = (
        account["sales before returns"],
        account[["cost of goods", "fees", "fulfilment", "refunds"]].sum(),
    )
    return sales / (sales - costs)


@functools.cache
def month_by_channel(shop: Store) -> pd.DataFrame:
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


def _per(shop: Store, column: str) -> dict[str, float]:
    table = month_by_channel(shop)
    paid = table[table.spend > 0]
    return {
        "blended": table.spend.sum() / table[column].sum(),
        "paid": paid.spend.sum() / paid[column].sum(),
    }


def acquisition_costs(shop: Store) -> dict[str, float]:
    """Spend per new customer: over all of them, and over those of paid channels."""
    table = month_by_channel(shop)
    paid = table[table.spend > 0]
    if not paid.new_customers.sum():
        raise NotApplicable("training.nobody_won")
    return {
        "blended": table.spend.sum() / table.new_customers.sum(),
        "paid": paid.spend.sum() / paid.new_customers.sum(),
    }


def losing_channels(shop: Store) -> set[str]:
    """Channels with a ROAS above one and a loss."""
    table = accounts(shop)
    losing = set(table[(table.roas > 1) & (table.roi < 0)].channel)
    if not losing:
        raise NotApplicable("training.no_losing_channel")
    return losing


def _losing_by_blended_cost(shop: Store) -> set[str]:
    table = accounts(shop)
    spend = table.spend.sum() * table.orders / table.orders.sum()
    return set(table[(table.roas > 1) & (table.margin < spend)].channel)


@functools.cache
def budget_table(shop: Store) -> pd.DataFrame:
    """Spend of the report month's accounts per month, the average return and a marginal
    return: channel, now, average_return, marginal_return (margin per unit of spend).
    The marginal returns are made up for the exercise from the shop's own averages: of
    the two largest channels the one with the better average is full.
    """
    table = (
        accounts(shop).dropna(subset="poas").sort_values("poas", ascending=False, ignore_index=True)
    )
    if len(table) < 3:
        raise NotApplicable("training.few_channels")
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


def best_plan(shop: Store, by: str = "marginal_return", step: float = STEP) -> dict[str, float]:
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


def _plan(shop: Store, answer: Any) -> pd.DataFrame:
    table = budget_table(shop).assign(plan=lambda t: [float(answer[c]) for c in t.channel])
    return table.assign(gain=lambda t: (t.plan - t.now) * t.marginal_return)


def _sum_is_off(shop: Store, answer: Any) -> bool:
    plan = _plan(shop, answer)
    return abs(plan.plan.sum() / plan.now.sum() - 1) > 0.005


def _cap_is_broken(shop: Store, answer: Any) -> bool:
    plan = _plan(shop, answer)
    return bool(((plan.plan / plan.now - 1).abs() > STEP + 0.005).any())


def _is_best(shop: Store, answer: Any) -> bool:
    """Inside both bounds, and within two percent of the best gain (rounding to whole
    money is fine).
    """
    if _sum_is_off(shop, answer) or _cap_is_broken(shop, answer):
        return False
    best = _plan(shop, best_plan(shop)).gain.sum()
    return _plan(shop, answer).gain.sum() >= 0.98 * best - 1e-9


EXERCISES = bound(
    "channel_roi",
    {
        "03.2": Answers(
            break_even_roas,
            slips={
                "one over gross margin": lambda shop: (
                    _account(shop)["sales before returns"]
                    / (_account(shop)["sales before returns"] - _account(shop)["cost of goods"])
                ),
                "refunds ignored": lambda shop: (
                    _account(shop)["sales before returns"]
                    / (_margin(shop) + _account(shop)["refunds"])
                ),
                "present ROAS": lambda shop: (
                    _account(shop)["sales before returns"] / _account(shop)["spend"]
                ),
                "upside down": lambda shop: 1 / break_even_roas(shop),
            },
            given=channel_account,
        ),
        "03.3": Answers(
            acquisition_costs,
            slips={
                "orders": lambda shop: _per(shop, "orders"),
                "all buyers": lambda shop: _per(shop, "buyers"),
                "swapped": lambda shop: {
                    "blended": acquisition_costs(shop)["paid"],
                    "paid": acquisition_costs(shop)["blended"],
                },
            },
            given=month_by_channel,
        ),
        "03.4": Answers(
            losing_channels,
            slips={
                "lowest ROAS": lambda shop: set(accounts(shop).sort_values("roas").channel.head(2)),
                "blended cost": _losing_by_blended_cost,
                "all above one": lambda shop: set(accounts(shop)[accounts(shop).roas > 1].channel),
            },
            given=accounts,
        ),
        "03.5": Answers(
            best_plan,
            slips={
                "sum off": Pattern(
                    lambda shop: {c: 1.1 * v for c, v in best_plan(shop).items()}, _sum_is_off
                ),
                "cap broken": Pattern(
                    lambda shop: best_plan(shop, "marginal_return", step=0.5), _cap_is_broken
                ),
                "average return used": lambda shop: best_plan(shop, "average_return"),
                "left as it is": lambda shop: dict(
                    zip(budget_table(shop).channel, budget_table(shop).now, strict=True)
                ),
            },
            given=budget_table,
            accepts=_is_best,
        ),
    },
)
