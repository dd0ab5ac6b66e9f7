"""03 Channel ROI: break-even, acquisition cost, channels that lose behind a good ROAS,
moving budget.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.chapters.channel_roi.channels import (
    budget_channels,
    channel_months,
    channel_pnl,
    with_refunds,
)
from playbook.chapters.channel_roi.content import judged_pieces
from playbook.chapters.channel_roi.partners import claimed_orders
from playbook.chapters.channel_roi.referral import invited_customers
from playbook.chapters.channel_roi.search_results import place_power, told_results
from playbook.chapters.channel_roi.search_words import SURE, claim_worth, has_name, search_words
from playbook.measures.ad_spend import read_extract
from playbook.measures.sums import in_months, sums_by, total
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound

# how far one channel may move, share of its spend
STEP = 0.2
# amounts are asked for without decimals
ROUNDING = 0.5 + 1e-9
ITEMS = ("spend", "sales before returns", "cost of goods", "fees", "fulfilment", "refunds")


@cache
def _months(shop: Store) -> DataFrame:
    spend = read_extract(shop.ad_spend, as_of=shop.as_of)
    return channel_months(
        shop.sales_orders, spend=spend, refunds=shop.booked_refunds, as_of=shop.as_of
    )


@cache
def accounts(shop: Store) -> DataFrame:
    """The chapter's channel accounts, channels with spend only."""
    pnl = channel_pnl(_months(shop))
    return pnl[pnl.spend > 0].reset_index(drop=True)


@cache
def channel_account(shop: Store) -> DataFrame:
    """The account of the channel with the largest spend: item, amount. Costs and
    refunds are positive; `refunds` are the margin they took back.
    """
    pnl = accounts(shop).sort_values("spend", ascending=False)
    orders = shop.sales_orders.mutate(month=_.ordered_on.strftime("%Y-%m"))
    for row in pnl.dropna(subset="be_roas").itertuples():
        mine = orders.filter(
            (_.channel == row.channel) & _.month.between(row.first_month, row.last_month)
        )
        parts = {name: total(name) for name in ("revenue", "cost", "fees", "fulfilment")}
        sales, *costs = mine.aggregate(**parts).to_pandas().iloc[0]
        # an outage inside the window would leave a month out
        if abs(sales - row.sales) < 0.01:
            refunds = sales - sum(costs) - row.margin
            amounts = [row.spend, row.sales, *costs, refunds]
            return DataFrame({"channel": row.channel, "item": ITEMS, "amount": amounts})
    raise NotApplicable("training.no_channel_account")


def break_even_roas(shop: Store) -> float:
    """Sales over what is left of them once their costs are paid."""
    account = channel_account(shop).set_index("item").amount
    sales = account["sales before returns"]
    costs = account[["cost of goods", "fees", "fulfilment", "refunds"]].sum()
    return sales / (sales - costs)


def _sales_over_rest(shop: Store, *costs: str) -> float:
    """Sales over what is left of them once only these costs are paid."""
    account = channel_account(shop).set_index("item").amount
    sales = account["sales before returns"]
    return sales / (sales - account[list(costs)].sum())


def _present_roas(shop: Store) -> float:
    account = channel_account(shop).set_index("item").amount
    return account["sales before returns"] / account["spend"]


@cache
def month_by_channel(shop: Store) -> DataFrame:
    """The report month by channel: channel, spend (0 where nothing is paid), orders,
    buyers (each once, where the month's first order came from), new_customers.
    """
    mine = in_months(shop.sales_orders, "ordered_on", [shop.month])
    mine = mine.filter(_.customer_id.notnull())
    mine = mine.mutate(channel=_.channel.fill_null("unknown"))
    first = _.channel.first(order_by=[_.ordered_at, _.order_id])
    people = mine.group_by("customer_id").aggregate(channel=first)
    buyers = sums_by(people, "channel", buyers=_.count())
    months = _months(shop)
    table = months[months.month == shop.month].merge(buyers, "left", "channel")
    table = table.fillna({"spend": 0.0, "buyers": 0}).sort_values("channel", ignore_index=True)
    return table[["channel", "spend", "orders", "buyers", "new_customers"]]


def acquisition_costs(shop: Store) -> dict[str, float]:
    """Spend over the new customers of paid channels, and over all buyers."""
    table = month_by_channel(shop)
    paid = table[table.spend > 0]
    if not paid.new_customers.sum():
        raise NotApplicable("training.nobody_won")
    return {
        "ncac": paid.spend.sum() / paid.new_customers.sum(),
        "cac_blended": table.spend.sum() / table.buyers.sum(),
    }


def _cost_per(shop: Store, column: str) -> dict[str, float]:
    """Both costs over this column instead."""
    table = month_by_channel(shop)
    paid = table[table.spend > 0]
    return {
        "ncac": paid.spend.sum() / paid[column].sum(),
        "cac_blended": table.spend.sum() / table[column].sum(),
    }


def _unpaid_too(shop: Store) -> dict[str, float]:
    table = month_by_channel(shop)
    return acquisition_costs(shop) | {"ncac": table.spend.sum() / table.new_customers.sum()}


def _swapped(shop: Store) -> dict[str, float]:
    right = acquisition_costs(shop)
    return {"ncac": right["cac_blended"], "cac_blended": right["ncac"]}


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


@cache
def budget_table(shop: Store) -> DataFrame:
    """Spend of the report month's accounts per month, the average return and a marginal
    return: channel, now, average_return, marginal_return (margin per unit of spend).
    The marginal returns are made up for the exercise from the shop's own averages: of
    the two largest channels the one with the better average is full.
    """
    table = accounts(shop).dropna(subset="poas")
    table = table.sort_values("poas", ascending=False, ignore_index=True)
    if len(table) < 3:
        raise NotApplicable("training.few_channels")
    marginal = 0.6 * table.poas
    # the table is sorted by average return
    better, worse = table.spend.nlargest(2).index.sort_values()
    marginal[better], marginal[worse] = 0.3 * table.poas[worse], 1.1 * table.poas[better]
    return DataFrame(
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
    plan, left = {}, step * table.now.sum()
    for channel, now in zip(table.channel, table.now, strict=True):
        more = min(left, 2 * step * now)
        plan[channel], left = (1 - step) * now + more, left - more
    return plan


def _a_tenth_more(shop: Store) -> dict[str, float]:
    return {channel: 1.1 * amount for channel, amount in best_plan(shop).items()}


def _plan(shop: Store, answer: Any) -> DataFrame:
    table = budget_table(shop)
    # names are read without case
    plan = pd.Series([float(answer[channel.casefold()]) for channel in table.channel])
    return table.assign(plan=plan, gain=(plan - table.now) * table.marginal_return)


def _sum_is_off(shop: Store, answer: Any) -> bool:
    """By more than rounding each amount may make it."""
    plan = _plan(shop, answer)
    return abs(plan.plan.sum() - plan.now.sum()) > ROUNDING * len(plan)


def _cap_is_broken(shop: Store, answer: Any) -> bool:
    plan = _plan(shop, answer)
    return bool(((plan.plan - plan.now).abs() > STEP * plan.now + ROUNDING).any())


def _is_best(shop: Store, answer: Any) -> bool:
    """Inside both bounds, and within two percent of the best gain (rounding to whole
    money is fine).
    """
    if _sum_is_off(shop, answer) or _cap_is_broken(shop, answer):
        return False
    best = _plan(shop, best_plan(shop)).gain.sum()
    rounded = ROUNDING * budget_table(shop).marginal_return.abs().sum()
    return _plan(shop, answer).gain.sum() >= 0.98 * best - rounded


@cache
def poor_words(shop: Store) -> DataFrame:
    """Search words that brought little: term, clicks, spend and platform_orders a month, net,
    p_loses; the most clicked ones without an order or with an expected loss.
    """
    if not shop.has("ad_terms"):
        raise NotApplicable("training.no_search_words")
    worth = claim_worth(_months(shop), read_extract(shop.ad_spend, as_of=shop.as_of))
    words = search_words(shop.ad_terms, worth, brands=[shop.name], as_of=shop.as_of)
    words = words[(words.verdict != "brand") & ((words.platform_orders == 0) | (words.net < 0))]
    if not (words.p_loses >= SURE).any():
        raise NotApplicable("training.no_search_words")
    sure, others = words[words.p_loses >= SURE], words[words.p_loses < SURE]
    table = pd.concat([sure.head(8), others.head(8)])
    columns = ["term", "clicks", "spend", "platform_orders", "net", "p_loses"]
    return table.sort_values(["clicks", "term"], ignore_index=True)[columns]


def words_to_exclude(shop: Store) -> set[str]:
    """Words that lose almost surely."""
    table = poor_words(shop)
    return set(table[table.p_loses >= SURE].term)


def _without_order(shop: Store) -> set[str]:
    table = poor_words(shop)
    return set(table[table.platform_orders == 0].term)


def _any_loss(shop: Store) -> set[str]:
    table = poor_words(shop)
    return set(table[table.net < 0].term)


@cache
def words_below(shop: Store) -> DataFrame:
    """Words that do not stand first, of the newest twelve weeks: term, place, impressions,
    clicks, and power, that of the place which clicks follow here. Those shown most, clicked
    most, lowest, and with most to gain.
    """
    if not shop.has("search_terms.position"):
        raise NotApplicable("training.no_search_results")
    told, brands = told_results(shop.search_terms, as_of=shop.as_of), [shop.name]
    power, _error = place_power(told, brands=brands)
    if pd.isna(power):
        raise NotApplicable("training.no_search_results")
    rows = told.words[told.words.block < 3].assign(weight=lambda t: t.position * t.impressions)
    sums = rows.groupby("term", as_index=False)[["impressions", "clicks", "weight"]].sum()
    table = sums.assign(place=(sums.weight / sums.impressions).round(1), power=round(power, 2))
    is_other = ~table.term.map(lambda term: has_name(term, brands))
    table = table[is_other & (table.place >= 2) & (table.clicks > 0)]
    table = table.assign(more=_clicks_more(table)).sort_values("term")
    by = [table.nlargest(4, name) for name in ("more", "impressions", "clicks", "place")]
    table = pd.concat(by).drop_duplicates("term").sort_values("term", ignore_index=True)
    return table[["term", "place", "impressions", "clicks", "power"]]


def _clicks_more(table: DataFrame) -> Any:
    """Clicks more, one place higher: those there are, times what the place alone does."""
    return table.clicks * (((table.place - 1) / table.place) ** table.power - 1)


def most_to_gain(shop: Store) -> set[str]:
    """The three words with most clicks more, one place higher."""
    table = words_below(shop)
    more = table.clicks * (((table.place - 1) / table.place) ** table.power - 1)
    return set(table.term[more.nlargest(3).index])


def _three_by(shop: Store, column: str) -> set[str]:
    return set(words_below(shop).nlargest(3, column).term)


@cache
def invited_by_month(shop: Store) -> DataFrame:
    """New customers by month of their first order, invited and others: month, invited, others
    (numbers), invited_margin, others_margin (per customer, of the first ninety days).
    """
    if not shop.has("invitations") or shop.margin_basis == "revenue":
        raise NotApplicable("training.no_invited")
    tables = shop.invitations, shop.sales_orders, shop.customer_days
    cells = invited_customers(*tables, as_of=shop.as_of, days=90)
    sums = cells.groupby(["month", "is_invited"])[["n", "total"]].sum().unstack()
    sums = sums.dropna()
    if sums.empty or cells.is_invited.nunique() < 2:
        raise NotApplicable("training.no_invited")
    table = DataFrame({"month": sums.index})
    for name, is_invited in (("invited", True), ("others", False)):
        n, total = (sums[part][is_invited].to_numpy() for part in ("n", "total"))
        table[name] = n.astype(int)
        table[f"{name}_margin"] = (total / n).round(2)
    return table


def left_beyond_others(shop: Store) -> float:
    """What an invited customer leaves beyond others of the same months, each month weighed by
    how many were invited.
    """
    table = invited_by_month(shop)
    beyond = table.invited_margin - table.others_margin
    return (table.invited * beyond).sum() / table.invited.sum()


def _beyond_by(shop: Store, weight: str) -> float:
    """The same with months weighed by another column; empty: all alike."""
    table = invited_by_month(shop)
    by = table[weight] if weight else 1.0 + 0 * table.invited
    return (by * (table.invited_margin - table.others_margin)).sum() / by.sum()


def _all_months_together(shop: Store) -> float:
    table = invited_by_month(shop)
    means = [
        (table[name] * table[f"{name}_margin"]).sum() / table[name].sum()
        for name in ("invited", "others")
    ]
    return means[0] - means[1]


@cache
def dearest_partner(shop: Store) -> DataFrame:
    """A year's claims of the partner with the largest commission, one row each: order_id, is_new
    (a new customer's), is_paid (a paid channel touched it last), margin (after refunds; 0 for an
    order that is not counted), commission.
    """
    if not shop.has("partner_orders") or shop.margin_basis == "revenue":
        raise NotApplicable("training.no_partner")
    orders = with_refunds(shop.sales_orders, shop.booked_refunds)
    spend = read_extract(shop.ad_spend, as_of=shop.as_of)
    paid = budget_channels(spend, shop.get("channels"))
    knows = {"paid": paid, "currency": shop.currency, "as_of": shop.as_of}
    claims = claimed_orders(shop.partner_orders, orders, **knows).to_pandas()
    if claims.empty:
        raise NotApplicable("training.no_partner")
    mine = claims[claims.partner == claims.groupby("partner").commission.sum().idxmax()]
    mine = mine.fillna({"margin": 0.0}).round({"margin": 2, "commission": 2})
    columns = ["order_id", "is_new", "is_paid", "margin", "commission"]
    return mine.sort_values("order_id", ignore_index=True)[columns]


def left_by_partner(shop: Store) -> float:
    """Margin of the orders a partner brought (new customers that no paid channel brought) less the
    commission on all it claims.
    """
    table = dearest_partner(shop)
    is_brought = table.is_new & ~table.is_paid
    return table.margin[is_brought].sum() - table.commission.sum()


def _all_claims(shop: Store) -> float:
    table = dearest_partner(shop)
    return table.margin.sum() - table.commission.sum()


def _new_ones(shop: Store) -> float:
    table = dearest_partner(shop)
    return table.margin[table.is_new].sum() - table.commission.sum()


def _their_commission(shop: Store) -> float:
    table = dearest_partner(shop)
    mine = table[table.is_new & ~table.is_paid]
    return mine.margin.sum() - mine.commission.sum()


@cache
def bought_from_most(shop: Store) -> DataFrame:
    """Pieces of the format with most orders, one row each: piece_id, published_on, orders,
    new_orders, margin (after refunds) and new_margin of those of new customers, cost.
    """
    if not shop.has("content_items.cost") or shop.margin_basis == "revenue":
        raise NotApplicable("training.no_content")
    pieces, _orders = judged_pieces(shop)
    pieces = pieces[(pieces.kind != "live") & (pieces.basis == "code") & pieces.net.notna()]
    if not pieces.orders.sum():
        raise NotApplicable("training.no_content")
    mine = pieces[pieces.format == pieces.groupby("format").orders.sum().idxmax()]
    columns = ["piece_id", "published_on", "orders", "new_orders", "margin", "new_margin", "cost"]
    return mine.sort_values("piece_id", ignore_index=True)[columns].round(2)


def left_by_piece(shop: Store) -> float:
    """What one piece leaves by orders of new customers alone, after its cost."""
    table = bought_from_most(shop)
    return (table.new_margin.sum() - table.cost.sum()) / len(table)


def _everybody(shop: Store) -> float:
    table = bought_from_most(shop)
    return (table.margin.sum() - table.cost.sum()) / len(table)


def _free_of_cost(shop: Store) -> float:
    return bought_from_most(shop).new_margin.mean()


def _all_pieces(shop: Store) -> float:
    table = bought_from_most(shop)
    return table.new_margin.sum() - table.cost.sum()


EXERCISES = bound(
    "channel_roi",
    {
        "03.2": Answers(
            break_even_roas,
            slips={
                "one over gross margin": lambda shop: _sales_over_rest(shop, "cost of goods"),
                "refunds ignored": lambda shop: _sales_over_rest(
                    shop, "cost of goods", "fees", "fulfilment"
                ),
                "present ROAS": _present_roas,
                "upside down": lambda shop: 1 / break_even_roas(shop),
            },
            given=channel_account,
        ),
        "03.3": Answers(
            acquisition_costs,
            slips={
                "orders": lambda shop: _cost_per(shop, "orders"),
                "new customers twice": lambda shop: _cost_per(shop, "new_customers"),
                "unpaid ones counted": _unpaid_too,
                "swapped": _swapped,
            },
            given=month_by_channel,
            figures={
                "ncac": lambda shop: acquisition_costs(shop)["ncac"],
                "cac_blended": lambda shop: acquisition_costs(shop)["cac_blended"],
            },
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
                "sum off": Pattern(_a_tenth_more, _sum_is_off),
                "cap broken": Pattern(lambda shop: best_plan(shop, step=0.5), _cap_is_broken),
                "average return used": lambda shop: best_plan(shop, "average_return"),
                "left as it is": lambda shop: best_plan(shop, step=0.0),
            },
            given=budget_table,
            accepts=_is_best,
        ),
        "03.6": Answers(
            words_to_exclude,
            slips={
                "no order": _without_order,
                "any loss": _any_loss,
                "most clicks": lambda shop: set(poor_words(shop).nlargest(3, "spend").term),
            },
            given=poor_words,
        ),
        "03.7": Answers(
            most_to_gain,
            slips={
                "shown most": lambda shop: _three_by(shop, "impressions"),
                "lowest": lambda shop: _three_by(shop, "place"),
            },
            given=words_below,
        ),
        "03.8": Answers(
            left_beyond_others,
            slips={
                "all together": _all_months_together,
                "months alike": lambda shop: _beyond_by(shop, ""),
                "by the others": lambda shop: _beyond_by(shop, "others"),
            },
            given=invited_by_month,
        ),
        "03.9": Answers(
            left_by_partner,
            slips={
                "all claims": _all_claims,
                "paid twice": _new_ones,
                "part of the commission": _their_commission,
            },
            given=dearest_partner,
        ),
        "03.10": Answers(
            left_by_piece,
            slips={
                "everybody": _everybody,
                "free of cost": _free_of_cost,
                "all pieces": _all_pieces,
            },
            given=bought_from_most,
        ),
    },
)
