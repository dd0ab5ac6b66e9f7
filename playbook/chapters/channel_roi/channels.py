"""What each channel earns after all costs, by the orders it touched last.

*Sales* are revenue of the counted orders whose last touch was the channel, before
refunds; *revenue* is after the refunds of these orders; *margin* is contribution margin
after them and before ads. So ROAS (sales / spend) pays from *break-even ROAS* (sales /
margin) on, which is where POAS (margin / spend) passes one. What a channel *caused* is
another question: the response (`media_model`) and the geo tests answer it, with wider
intervals and more honest ones.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from ibis import Value, _
from pandas import DataFrame, Series

from playbook.chapters.channel_roi.media_days import (
    COSTS_KNOWN,
    MATURE_DAYS,
)
from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.measures.acquisition import (
    RECENT_MONTHS,
    cost_of_new,
    judged_months,
    spend_by_month,
    with_shares,
)
from playbook.measures.ad_spend import SpendLog, Table, exact_sum
from playbook.messages import say
from playbook.methods.attribution import (
    RULES,
    markov_removal,
    rule_credits,
    transition_counts,
)
from playbook.methods.proportions import Z90, wilson
from playbook.store import expression
from playbook.tables import empty, returns, schema

if TYPE_CHECKING:
    from playbook.runs.results import Results

__all__ = [
    "optional_table",
    "with_refunds",
    "known_channel_share",
    "tempting_roas",
    "channel_months",
    "channel_pnl",
    "claims",
    "owned",
    "credit_models",
    "budget_channels",
    "margin_steps",
    "channel_headline",
]

# channels one does not simply buy; content and live count even where they are paid
OWNED = ("content", "live")
UNPAID = (
    *OWNED,
    "social",
    "search",
    "app_store",
    "partner",
    "referral",
    "email",
)
OWNED_MONTHS = 12
# their cost follows orders or lists: no budget to move
PER_ORDER = ("referral", "partner", "email", "direct")
HEADLINE_MONTHS = 25
HEADLINE = ["metric", "month", "amount", "low", "high", "n", "status"]
SUMS = (
    "orders",
    "new_customers",
    "sales",
    "refunds",
    "revenue",
    "margin",
    "margin_variance",
    "sales_variance",
)


def optional_table(
    results: Results,
    has_source: bool,
    name: str,
    make: Callable[[], DataFrame],
) -> DataFrame | None:
    """Make a result table and keep it; None where its source is not there."""
    return results.table(name, make()) if has_source else None


@returns("channel_roi.known_share")
def known_channel_share(sales_orders: Table) -> DataFrame:
    """Of how many orders the channel is known: the gate of every figure by channel."""
    orders = expression(sales_orders)
    counts = orders.aggregate(n_orders=orders.count(), n_known=orders.channel.notnull().sum())
    row = counts.to_pandas().fillna(0).astype("int64")
    return row.assign(**_share(row.n_known, row.n_orders, ("known_share", "low", "high")))


def tempting_roas(spend: DataFrame) -> DataFrame:
    """The lesson: channels ranked by what their platforms claim (`SpendLog.daily`):
    channel, spend, platform_value, platform_roas, rank. Channels without a claim have
    none.
    """
    sums = spend.groupby("channel")[["spend", "platform_value"]].sum(min_count=1).reset_index()
    roas = _over(sums.platform_value, sums.spend)
    ranked = sums.assign(platform_roas=roas, rank=roas.rank(ascending=False))
    return ranked.sort_values(["rank", "channel"], ignore_index=True)


@dated
def channel_months(
    sales_orders: Table,
    *,
    spend: SpendLog | None,
    refunds: Table | None = None,
    as_of: dt.date,
) -> DataFrame:
    """One row per month of order and channel of last touch (missing channel:
    "unknown"), months with anything in them.

    Columns: channel, month, spend, clicks (missing where the extract does not know
    every day of the month, or has no such channel), orders, new_customers, sales,
    refunds, revenue, margin; margin_variance and sales_variance (sums of squares over
    orders, the variance of a compound Poisson sum), margin_known_share, is_spend_known,
    status. margin is scaled up from orders whose costs are known where these are 95 %
    of sales, else missing. status: complete when 60 days have passed since the month's
    end.
    """
    orders = expression(sales_orders).filter(_.ordered_on.cast("date") <= ibis.literal(as_of))
    months = _monthly_orders(with_refunds(orders, refunds))
    share = _over(months.known_sales.fillna(0.0), months.sales)
    scale = (1 / share).where(share >= COSTS_KNOWN)
    months = months.assign(
        revenue=months.sales - months.refunds,
        margin=months.known_margin * scale,
        margin_known_share=share,
        margin_variance=months.margin_variance * scale**2,
    )
    months = _with_spend(months, spend)
    months.loc[months.orders.isna(), list(SUMS)] = 0.0
    months[["orders", "new_customers"]] = months[["orders", "new_customers"]].astype("int64")
    due = _month_ends(months.month) + pd.Timedelta(days=MATURE_DAYS)
    months["status"] = np.where(due <= pd.Timestamp(as_of), "complete", "partial")
    columns = ["channel", "month", "spend", "clicks", *SUMS]
    columns += ["margin_known_share", "is_spend_known", "status"]
    return months[columns].sort_values(["channel", "month"], ignore_index=True)


@returns("channel_roi.channel_pnl")
def channel_pnl(
    months: DataFrame,
    *,
    n_months: int = RECENT_MONTHS,
    payback: DataFrame | None = None,
    shares: DataFrame | None = None,
) -> DataFrame:
    """The account of each channel over its last `n_months` complete months with known
    spend (`channel_months`); where no month is complete, over the last ones there are.

    Intervals are of 90 %, of ratios from the spread of order values and their number,
    of ncac from Poisson counts and from `shares` (measures.acquisition.caused_shares).
    roi = (revenue - all costs) / all costs, costs being revenue - margin + spend.
    `payback` is `ltv.payback`, of which cohort `all` is read. Ratios are missing without
    spend, orders or margin, never 0.
    """
    if months.empty:
        return empty("channel_roi.channel_pnl")
    accounts = [_account(name, part, n_months) for name, part in months.groupby("channel")]
    pnl = DataFrame(accounts)
    pnl[["orders", "new_customers"]] = pnl[["orders", "new_customers"]].astype("int64")
    pnl = with_shares(pnl, shares)
    paid = pnl.spend.where(pnl.spend > 0)
    costs = pnl.revenue - pnl.margin + paid
    swing = Z90 * np.sqrt(pnl.margin_variance)
    sway = Z90 * np.sqrt(pnl.sales_variance)
    pnl = pnl.assign(
        roas=pnl.sales / paid,
        roas_low=(pnl.sales - sway).clip(lower=0) / paid,
        roas_high=(pnl.sales + sway) / paid,
        be_roas=(pnl.sales / pnl.margin).where((pnl.orders > 0) & (pnl.margin > 0)),
        poas=pnl.margin / paid,
        poas_low=(pnl.margin - swing) / paid,
        poas_high=(pnl.margin + swing) / paid,
        roi=(pnl.margin - paid) / costs,
        low=(pnl.margin - swing - paid) / costs,
        high=(pnl.margin + swing - paid) / costs,
        ncac_recorded=cost_of_new(pnl.spend, pnl.new_customers).ncac,
        **cost_of_new(pnl.spend, pnl.new_customers, pnl.caused_over_recorded, pnl.share_spread),
    )
    times = ["payback_months", "payback_low", "payback_high"]
    pnl[times] = np.nan
    if payback is not None and len(payback):
        whole = payback[payback.cohort == "all"].set_index("channel")[times]
        pnl[times] = whole.reindex(pnl.channel).to_numpy(float)
    return pnl[schema("channel_roi.channel_pnl").names]


@returns("channel_roi.claims")
def claims(months: DataFrame, *, spend: SpendLog, n_months: int = 3) -> DataFrame:
    """Platform claims beside the shop's own count, last `n_months` months. The row `all`
    sets every claim against every order of the shop. Channels whose platform reports
    nothing have no row.
    """
    window = sorted(set(months.month))[-n_months:]
    daily = spend.daily[_month(spend.daily.day_on).isin(window)]
    sums = daily.groupby("channel")[["platform_orders", "platform_value"]].sum(min_count=1)
    claimed = sums.dropna(how="all")
    store = months[months.month.isin(window)].rename(
        columns={"orders": "store_orders", "sales": "store_sales"}
    )
    table = claimed.join(store.groupby("channel")[["store_orders", "store_sales"]].sum())
    if len(table):
        own = [store.store_orders.sum(), store.store_sales.sum()]
        table.loc["all"] = [*claimed.sum(min_count=1), *own]
    table["claim_ratio"] = _over(table.platform_orders, table.store_orders)
    return table.rename_axis("channel").reset_index()


@returns("channel_roi.owned")
def owned(
    sales_orders: Table,
    channels: Table,
    *,
    months: DataFrame,
    traffic: Table | None = None,
    as_of: dt.date,
) -> DataFrame:
    """Channels one does not simply buy, over the last twelve months (kind content,
    live, social, search, app_store, partner, referral, email and not paid, or content
    and live in any case), those with an order, a visit or a cost. Intervals are Wilson's of 90 %.
    """
    window = sorted(set(months.month))[-OWNED_MONTHS:]
    first = pd.Timestamp(window[0]).date() if window else as_of
    sums = months[months.month.isin(window)].groupby("channel")
    table = _owned_kinds(channels).join(sums[["orders", "new_customers", "margin"]].sum())
    table["cost"] = sums.spend.sum(min_count=len(window))
    table["sessions"] = np.nan
    if traffic is not None:
        visits = expression(traffic).filter(_.day_on.cast("date") >= ibis.literal(first))
        by_channel = visits.group_by("channel").aggregate(sessions=_.sessions.sum()).to_pandas()
        sessions = by_channel.set_index("channel").sessions
        table["sessions"] = sessions.reindex(table.index).astype(float)
    # a rule that names a channel nobody came by is no channel
    traces = table[["orders", "new_customers", "cost", "sessions"]].astype(float)
    table = table[(traces.fillna(0.0) != 0).any(axis=1)]
    back = _second_orders(sales_orders, first, as_of).reindex(table.index).fillna(0)
    early = ("activated_30d_share", "activated_low", "activated_high")
    table = table.assign(
        margin_after_cost=table.margin - table.cost,
        n_activation_base=back.old_30.astype("int64"),
        n_repeat_base=back.old_90.astype("int64"),
        **_share(back.back_30, back.old_30, early),
        **_share(
            back.back_90,
            back.old_90,
            ("repeat_90d_share", "low", "high"),
        ),
    )
    return table.reset_index()[schema("channel_roi.owned").names]


@returns("channel_roi.models")
def credit_models(touchpoints: Table, *, draws: int = 200, seed: int = 0) -> DataFrame:
    """Conversions by channel under first, last, linear, position and Markov; each
    column adds up to all conversions. None of them says what a channel caused.
    PlaybookError without touches.
    """
    steps = transition_counts(expression(touchpoints)).to_pandas()
    if steps.empty:
        raise PlaybookError("channel_roi.no_touch", table="touchpoints")
    table = rule_credits(steps).join(markov_removal(steps, draws=draws, seed=seed))
    table = table.rename(columns={"low": "markov_low", "high": "markov_high"})
    rules = table[list(RULES)]
    table["spread"] = _over(rules.max(axis=1) - rules.min(axis=1), rules.mean(axis=1))
    table = table.sort_values("markov", ascending=False, kind="stable").reset_index()
    return table.drop(columns="removal_share")


def budget_channels(spend: SpendLog, channels: Table | None = None) -> list[str]:
    """Channels with a budget to move: those with spend, but for kinds whose cost
    follows orders or lists (referral, partner, email, direct): there spend is an effect
    of sales, and a response to it means nothing.
    """
    spent = spend.daily.groupby("channel").spend.sum()
    names = set(spent[spent > 0].index)
    if channels is not None:
        kinds = expression(channels).select("channel", "kind").to_pandas()
        names -= set(kinds.channel[kinds.kind.isin(PER_ORDER)])
    return sorted(names)


def margin_steps(pnl: DataFrame) -> DataFrame:
    """From sales to what is left after ads, over the channels with spend and margin:
    step, amount, is_total.
    """
    paid = pnl[(pnl.spend > 0) & pnl.margin.notna()].sum(numeric_only=True)
    amounts = {
        "sales": paid.sales,
        "refunds": -paid.refunds,
        "costs": paid.margin - paid.revenue,
        "margin": paid.margin,
        "spend": -paid.spend,
        "left": paid.margin - paid.spend,
    }
    return DataFrame(
        {
            "step": [say(f"channel_roi.step_{name}") for name in amounts],
            "amount": amounts.values(),
            "is_total": [name in ("sales", "margin", "left") for name in amounts],
        }
    )


def channel_headline(months: DataFrame) -> DataFrame:
    """Monthly series for the scorecard: mer (all sales before returns over all spend),
    roas, poas and ncac of channels with spend.

    metric, month, amount, low, high (90 %, from the spread of orders), n (orders or new
    customers), status (unobserved where a channel that had spent is not known for the
    month).
    """
    has_spent = months.channel.isin(months.channel[months.spend > 0])
    is_gone = has_spent & ~months.is_spend_known
    rows = []
    for month, part in list(months.groupby("month"))[-HEADLINE_MONTHS:]:
        paid = part[part.spend > 0]
        is_known = len(paid) > 0 and not is_gone[part.index].any()
        spend = paid.spend.sum() if is_known else np.nan
        state = "complete" if is_known else "unobserved"
        ripe = part.status.iloc[0] if is_known else state
        sway, swing = Z90 * np.sqrt(paid[["sales_variance", "margin_variance"]].sum())
        margin = paid.margin.sum(min_count=len(paid))
        n_orders = paid.orders.sum()
        won = paid.new_customers.sum()
        for metric, top, bottom, reach, n, status in (
            (
                "mer",
                part.sales.sum(),
                spend,
                np.nan,
                part.orders.sum(),
                state,
            ),
            ("poas", margin, spend, swing, n_orders, ripe),
            ("roas", paid.sales.sum(), spend, sway, n_orders, state),
            ("ncac", spend, won or np.nan, np.nan, won, state),
        ):
            ends = (top - reach) / bottom, (top + reach) / bottom
            rows.append((metric, month, top / bottom, *ends, n, status))
    return DataFrame(rows, columns=HEADLINE)


def with_refunds(orders: ibis.Table, refunds: Table | None) -> ibis.Table:
    """Orders with what was paid back of each, as exact money."""
    if refunds is None:
        back = orders.mutate(refund=0, refund_margin=0)
    else:
        sums = (
            expression(refunds)
            .filter(_.order_id.notnull())
            .group_by("order_id")
            .aggregate(
                refund=_exact(_.amount).sum(),
                refund_margin=_exact(_.margin).sum(),
            )
        )
        back = orders.left_join(sums, "order_id")
    return back.mutate(
        refund=_exact(_.refund.fill_null(0)),
        sale=_exact(_.revenue),
        net=_exact(_.margin + _.refund_margin.fill_null(0)),
    )


def _monthly_orders(orders: ibis.Table) -> DataFrame:
    """Sums per channel and month of what the orders brought."""
    return (
        orders.mutate(
            month=_.ordered_on.strftime("%Y-%m"),
            channel=_.channel.fill_null("unknown"),
        )
        .group_by("channel", "month")
        .aggregate(
            orders=_.count(),
            new_customers=_.is_first.sum(),
            sales=exact_sum(_.sale),
            refunds=exact_sum(_.refund),
            known_sales=exact_sum(_.sale, where=_.margin.notnull()),
            known_margin=exact_sum(_.net),
            margin_variance=_square_sum(_.net),
            sales_variance=_square_sum(_.sale),
        )
        .order_by("channel", "month")
        .to_pandas()
    )


def _exact(money: Value) -> Value:
    return money.cast("decimal(18, 6)")


def _square_sum(money: Value) -> Value:
    """Exact as well: squares of whole cents do not depend on the order of the rows."""
    cents = money.cast("decimal(19, 2)")
    return (cents * cents).sum().cast("float64")


def _with_spend(months: DataFrame, spend: SpendLog | None) -> DataFrame:
    """The months, and spend, clicks and is_spend_known: true where the extract knows the
    month day by day, or knows it to be unspent.
    """
    if spend is None:
        return months.assign(spend=np.nan, clicks=np.nan, is_spend_known=False)
    sums = spend_by_month(spend)
    months = months.merge(sums, on=["channel", "month"], how="outer")
    return months.assign(is_spend_known=months.is_spend_known.fillna(False).astype(bool))


def _account(channel: str, part: DataFrame, n_months: int) -> dict:
    """One channel's sums over the months it is judged on."""
    months = judged_months(part, n_months)
    total = months[["spend", "clicks", *SUMS]].sum(min_count=len(months))
    return {
        "channel": channel,
        "first_month": months.month.min(),
        "last_month": months.month.max(),
        **total,
        "status": "complete" if (months.status == "complete").all() else "partial",
    }


def _owned_kinds(channels: Table) -> DataFrame:
    """Channel (the index) -> kind, of channels one does not simply buy."""
    by_channel = expression(channels).group_by("channel")
    kinds = by_channel.aggregate(kind=_.kind.min(), is_paid=_.is_paid.any()).to_pandas()
    is_own = kinds.kind.isin(OWNED) | ~kinds.is_paid.fillna(False).astype(bool)
    own = kinds[kinds.kind.isin(UNPAID) & is_own].sort_values("channel")
    return own.set_index("channel")[["kind"]]


def _second_orders(sales_orders: Table, first: dt.date, as_of: dt.date) -> DataFrame:
    """By channel of the first order: customers old enough (old_30, old_90), of these
    back in time (back_30, back_90).
    """
    day = ibis.literal(as_of)
    orders = expression(sales_orders).mutate(on=_.ordered_on.cast("date"))
    orders = orders.filter(_.customer_id.notnull(), _.on <= day)
    visits = ibis.window(group_by="customer_id", order_by=["ordered_at", "order_id"])
    orders = orders.mutate(back_on=orders.on.lead(1).over(visits))
    orders = orders.filter(
        _.is_first,
        ~_.is_left_truncated,
        _.channel.notnull(),
        _.on >= ibis.literal(first),
    )
    age = day.delta(orders.on, unit="day")
    gap = orders.back_on.delta(orders.on, unit="day")
    counts = {}
    for days in (30, 90):
        counts[f"old_{days}"] = (age >= days).sum()
        counts[f"back_{days}"] = ((age >= days) & (gap <= days)).fill_null(False).sum()
    return orders.group_by("channel").aggregate(**counts).to_pandas().set_index("channel")


def _month(days: Series) -> Series:
    return days.dt.strftime("%Y-%m")


def _month_ends(months: Series) -> pd.DatetimeIndex:
    return pd.PeriodIndex(months, freq="M").end_time.normalize()


def _share(k: Series, n: Series, names: tuple[str, str, str]) -> dict:
    """The share k / n and its interval, under three names."""
    ends = wilson(k.to_numpy(float), n.to_numpy(float), 0.9)
    return dict(zip(names, (_over(k, n), *ends), strict=True))


def _over(top: Series, bottom: Series) -> Series:
    return (top / bottom.where(bottom > 0)).astype(float)
