"""What each channel earns after all costs, what moving its budget would change, and how
far either is known.

*Sales* are revenue of the counted orders whose last touch was the channel, before refunds; *revenue* is after the
refunds of these orders; *margin* is contribution margin after them and before ads. So ROAS (sales / spend) pays from
*break-even ROAS* (sales / margin) on, which is where POAS (margin / spend) passes one. All of it counts orders the
channel touched last. What it *caused* is another question: the response (spend against the whole shop's weeks) and the
geo tests answer it, with wider intervals and more honest ones.
"""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.channel_roi.geo_tests import geo_evidence, geo_plan, geo_readings
from playbook.chapters.channel_roi.media_days import media_frame, weekly_media
from playbook.chapters.channel_roi.media_plan import (
    BudgetPlan,
    budget_bounds,
    channel_decisions,
    plan_budget,
    response_curves,
    response_table,
)
from playbook.errors import PlaybookError
from playbook.measures.ad_spend import SpendLog, read_extract
from playbook.methods.attribution import RULES, markov_removal, rule_credits, transition_counts
from playbook.methods.media_model import MediaModel, fit_media, held_out_weeks
from playbook.methods.proportions import wilson
from playbook.store import expression

__all__ = [
    "BudgetPlan",
    "MediaModel",
    "spend_log",
    "known_channel_share",
    "tempting_roas",
    "channel_months",
    "channel_pnl",
    "claims",
    "owned",
    "credit_models",
    "budget_channels",
    "media_frame",
    "weekly_media",
    "geo_readings",
    "channel_response",
    "response_table",
    "response_curves",
    "demand_chase",
    "held_out_weeks",
    "geo_plan",
    "budget_bounds",
    "plan_budget",
    "channel_decisions",
    "margin_steps",
    "channel_headline",
]

Z90 = 1.6448536269514722
MATURE_DAYS = 60  # refunds of a month are in after so many days (metrics.md, roi)
UNPAID = ("content", "live", "social", "search", "app_store", "partner", "referral", "email")
PER_ORDER = (
    "referral",
    "partner",
    "email",
    "direct",
)  # their cost follows orders or lists: no budget to move
MONEY = "decimal(18, 6)"
WIDE = "decimal(19, 2)"  # squares of money stay exact, so that a sum does not depend on the order of rows


def spend_log(ad_spend: Any, *, as_of: Any) -> SpendLog:
    """Daily spend by channel with everything odd about the extract by name (see
    `methods/ad_extract.py`).

    PlaybookError where the extract holds no spend up to `as_of`.
    """
    return read_extract(expression(ad_spend), as_of=pd.Timestamp(as_of).date())


def known_channel_share(sales_orders: Any) -> pd.DataFrame:
    """One row: n_orders, n_known, known_share with low and high (Wilson, 90 %): the
    gate of every figure by channel.
    """
    t = expression(sales_orders)
    row = (
        t.aggregate(n_orders=t.count(), n_known=t.channel.notnull().sum())
        .to_pandas()
        .fillna(0)
        .astype("int64")
    )
    return row.assign(**_share("known_share", row.n_known, row.n_orders))


def tempting_roas(spend: pd.DataFrame) -> pd.DataFrame:
    """The lesson: channels ranked by what their platforms claim (`SpendLog.daily`):
    channel, spend, platform_value, platform_roas, rank. Channels without a claim have
    none.
    """
    sums = spend.groupby("channel")[["spend", "platform_value"]].sum(min_count=1).reset_index()
    roas = _over(sums.platform_value, sums.spend)
    return sums.assign(platform_roas=roas, rank=roas.rank(ascending=False)).sort_values(
        ["rank", "channel"], ignore_index=True
    )


def channel_months(
    sales_orders: Any, *, spend: SpendLog | None, refunds: Any = None, as_of: Any
) -> pd.DataFrame:
    """One row per month of order and channel of last touch (missing channel:
    "unknown"), months with anything in them.

    Sums: spend, clicks (missing where the extract does not know every day of the month,
    or has no such channel), orders, new_customers, sales, refunds, revenue, margin;
    margin_variance and sales_variance (sums of squares over orders, the variance of a
    compound Poisson sum), margin_known_share. margin is scaled up from orders whose
    costs are known where these are 95 % of sales, else missing. status: complete when
    60 days have passed since the month's end.
    """
    day = pd.Timestamp(as_of)
    t = expression(sales_orders).filter(_.ordered_on.cast("date") <= ibis.literal(day.date()))
    if refunds is not None:
        back = (
            expression(refunds)
            .filter(_.order_id.notnull())
            .group_by("order_id")
            .aggregate(refund=_.amount.cast(MONEY).sum(), refund_margin=_.margin.cast(MONEY).sum())
        )
        t = t.left_join(back, "order_id").drop("order_id_right")
    else:
        t = t.mutate(refund=ibis.null(MONEY), refund_margin=ibis.null(MONEY))
    t = t.mutate(
        month=_.ordered_on.strftime("%Y-%m"),
        channel=_.channel.fill_null("unknown"),
        sale=_.revenue.cast(MONEY),
        refund=_.refund.fill_null(0),
        net=(_.margin + _.refund_margin.fill_null(0)).cast(MONEY),
        known=_.margin.notnull(),
    )
    found = (
        t.group_by("channel", "month")
        .aggregate(
            orders=_.count(),
            new_customers=_.is_first.sum(),
            sales=_.sale.sum().cast("float64"),
            refunds=_.refund.sum().cast("float64"),
            known_sales=_.sale.sum(where=_.known).cast("float64"),
            known_margin=_.net.sum().cast("float64"),
            margin_variance=(_.net.cast(WIDE) * _.net.cast(WIDE)).sum().cast("float64"),
            sales_variance=(_.sale.cast(WIDE) * _.sale.cast(WIDE)).sum().cast("float64"),
        )
        .order_by("channel", "month")
        .to_pandas()
    )
    share = _over(found.known_sales.fillna(0.0), found.sales).astype(float)
    scale = (1 / share).where(share >= 0.95)
    found = found.assign(
        revenue=found.sales - found.refunds,
        margin=found.known_margin * scale,
        margin_known_share=share,
        margin_variance=found.margin_variance * scale**2,
    )
    found = found.merge(_monthly_spend(spend), on=["channel", "month"], how="outer")
    found["is_spend_known"] = found.is_spend_known.fillna(False).astype(bool)
    counts = [
        "orders",
        "new_customers",
        "sales",
        "refunds",
        "revenue",
        "margin",
        "margin_variance",
        "sales_variance",
    ]
    nothing = found.orders.isna()
    found.loc[nothing, counts] = 0.0
    ends = pd.PeriodIndex(found.month, freq="M").end_time.normalize()
    found["status"] = np.where(ends + pd.Timedelta(days=MATURE_DAYS) <= day, "complete", "partial")
    columns = [
        "channel",
        "month",
        "spend",
        "clicks",
        *counts,
        "margin_known_share",
        "is_spend_known",
        "status",
    ]
    found[["orders", "new_customers"]] = found[["orders", "new_customers"]].astype("int64")
    return found[columns].sort_values(["channel", "month"], ignore_index=True)


def channel_pnl(
    months: pd.DataFrame, *, n_months: int = 3, payback: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per channel over its last `n_months` complete months with known spend
    (`channel_months`); where no month is complete, over the last ones there are, status
    partial.

    channel, first_month, last_month, spend, clicks, orders, new_customers, sales,
    refunds, revenue, margin (money); roas, roas_low, roas_high, be_roas, poas,
    poas_low, poas_high, roi with low and high (90 %, from the spread of order values
    and their number), ncac with low and high (Poisson), payback_months with low and
    high (`ltv.payback`, cohort `all`), status. roi = (revenue - all costs) / all costs,
    costs being revenue - margin + spend. Ratios are missing without spend, orders or
    margin, never 0.
    """
    from scipy.special import gammaincinv

    rows = []
    for channel, part in months.groupby("channel"):
        usable = part[part.is_spend_known | bool(part.spend.isna().all())]
        ripe = usable[usable.status == "complete"]
        chosen = (ripe if len(ripe) else usable).sort_values("month").tail(n_months)
        if chosen.empty:
            chosen = part.sort_values("month").tail(n_months)
        total = chosen.drop(columns=["channel", "month", "status", "is_spend_known"]).sum(
            min_count=len(chosen)
        )
        rows.append(
            {
                "channel": channel,
                "first_month": chosen.month.min(),
                "last_month": chosen.month.max(),
                **total,
                "status": "complete" if (chosen.status == "complete").all() else "partial",
            }
        )
    pnl = pd.DataFrame(rows)
    pnl[["orders", "new_customers"]] = pnl[["orders", "new_customers"]].astype("int64")
    paid = pnl.spend.where(pnl.spend > 0)
    swing, sway = Z90 * np.sqrt(pnl.margin_variance), Z90 * np.sqrt(pnl.sales_variance)
    costs = pnl.revenue - pnl.margin + paid
    sold = pnl.orders > 0
    pnl = pnl.assign(
        roas=pnl.sales / paid,
        roas_low=(pnl.sales - sway).clip(lower=0) / paid,
        roas_high=(pnl.sales + sway) / paid,
        be_roas=(pnl.sales / pnl.margin).where(sold & (pnl.margin > 0)),
        poas=pnl.margin / paid,
        poas_low=(pnl.margin - swing) / paid,
        poas_high=(pnl.margin + swing) / paid,
        roi=(pnl.margin - paid) / costs,
        low=(pnl.margin - swing - paid) / costs,
        high=(pnl.margin + swing - paid) / costs,
        ncac=_over(paid, pnl.new_customers),
        ncac_low=paid / gammaincinv(pnl.new_customers + 1, 0.95),
        ncac_high=paid
        / gammaincinv(pnl.new_customers.where(pnl.new_customers > 0).astype(float), 0.05),
    )
    names = ["payback_months", "payback_low", "payback_high"]
    pnl[names] = np.nan
    if payback is not None and len(payback):
        whole = payback[payback.cohort == "all"].set_index("channel")[names]
        pnl[names] = whole.reindex(pnl.channel).to_numpy(float)
    return pnl.drop(columns=["margin_variance", "sales_variance", "margin_known_share"])[
        [
            "channel",
            "first_month",
            "last_month",
            "spend",
            "clicks",
            "orders",
            "new_customers",
            "sales",
            "refunds",
            "revenue",
            "margin",
            "roas",
            "roas_low",
            "roas_high",
            "be_roas",
            "poas",
            "poas_low",
            "poas_high",
            "roi",
            "low",
            "high",
            "ncac",
            "ncac_low",
            "ncac_high",
            *names,
            "status",
        ]
    ]


def claims(months: pd.DataFrame, *, spend: SpendLog, n_months: int = 3) -> pd.DataFrame:
    """Platform claims beside the shop's own count, last `n_months` months: channel,
    platform_orders, platform_value, store_orders, store_sales, claim_ratio; the row
    `all` sets every claim against every order of the shop. Channels whose platform
    reports nothing have no row.
    """
    window = sorted(set(months.month))[-n_months:]
    daily = spend.daily.assign(month=spend.daily.day_on.dt.strftime("%Y-%m"))
    said = (
        daily[daily.month.isin(window)]
        .groupby("channel")[["platform_orders", "platform_value"]]
        .sum(min_count=1)
    )
    said = said.dropna(how="all")
    inside = months[months.month.isin(window)]
    own = inside.groupby("channel")[["orders", "sales"]].sum()
    table = said.join(own, how="left").rename(
        columns={"orders": "store_orders", "sales": "store_sales"}
    )
    if len(table):
        table.loc["all"] = [
            said.platform_orders.sum(min_count=1),
            said.platform_value.sum(min_count=1),
            inside.orders.sum(),
            inside.sales.sum(),
        ]
    return (
        table.rename_axis("channel")
        .reset_index()
        .assign(claim_ratio=lambda t: _over(t.platform_orders, t.store_orders))
    )


def owned(
    sales_orders: Any,
    channels: Any,
    *,
    months: pd.DataFrame,
    traffic: Any = None,
    as_of: Any,
    n_months: int = 12,
) -> pd.DataFrame:
    """Channels one does not simply buy, over the last `n_months` months (kind content,
    live, social, search, app_store, partner, referral, email and not paid, or content
    and live in any case).

    channel, kind, cost (missing where no extract carries it), sessions (missing without
    traffic), new_customers, activated_30d_share (second order within 30 days, of the
    n_activation_base new customers that old) with activated_low and activated_high,
    orders, margin, margin_after_cost (missing with cost or margin), repeat_90d_share
    with low and high, n_repeat_base; intervals are Wilson's of 90 %.
    """
    kinds = (
        expression(channels)
        .group_by("channel")
        .aggregate(kind=_.kind.min(), is_paid=_.is_paid.any())
        .to_pandas()
    )
    own = kinds.kind.isin(["content", "live"]) | ~kinds.is_paid.fillna(False).astype(bool)
    kinds = kinds[kinds.kind.isin(UNPAID) & own].sort_values("channel")
    window = sorted(set(months.month))[-n_months:]
    sums = months[months.month.isin(window)].groupby("channel")
    table = (
        kinds[["channel", "kind"]]
        .set_index("channel")
        .join(sums[["orders", "new_customers", "margin"]].sum())
    )
    table["cost"] = sums.spend.sum(min_count=len(window))
    table["sessions"] = np.nan
    first = pd.Timestamp(window[0]) if window else pd.Timestamp(as_of)
    if traffic is not None:
        seen = expression(traffic).filter(_.day_on.cast("date") >= ibis.literal(first.date()))
        seen = (
            seen.group_by("channel")
            .aggregate(sessions=_.sessions.sum())
            .to_pandas()
            .set_index("channel")
            .sessions
        )
        table["sessions"] = seen.reindex(table.index).astype(float)
    again = _second_orders(sales_orders, first, pd.Timestamp(as_of)).reindex(table.index).fillna(0)
    early = _share("activated_30d_share", again.back_30, again.old_30)
    table = table.assign(
        activated_low=early.pop("low"),
        activated_high=early.pop("high"),
        **early,
        margin_after_cost=table.margin - table.cost,
        n_activation_base=again.old_30.astype("int64"),
        n_repeat_base=again.old_90.astype("int64"),
        **_share("repeat_90d_share", again.back_90, again.old_90),
    )
    return table.reset_index()[
        [
            "channel",
            "kind",
            "cost",
            "sessions",
            "new_customers",
            "activated_30d_share",
            "activated_low",
            "activated_high",
            "n_activation_base",
            "orders",
            "margin",
            "margin_after_cost",
            "repeat_90d_share",
            "low",
            "high",
            "n_repeat_base",
        ]
    ]


def credit_models(touchpoints: Any, *, draws: int = 200, seed: int = 0) -> pd.DataFrame:
    """Conversions by channel under first, last, linear, position and Markov; each
    column adds up to all conversions.

    markov_low, markov_high: 90 % of what the same journeys drawn anew would give.
    spread: highest less lowest of the five over their mean. None of them says what a
    channel caused. PlaybookError without touches.
    """
    steps = transition_counts(expression(touchpoints)).to_pandas()
    if steps.empty:
        raise PlaybookError(
            "There is no touch to credit", table="touchpoints", do="import journeys of this month"
        )
    table = (
        rule_credits(steps)
        .join(markov_removal(steps, draws=draws, seed=seed))
        .rename(columns={"low": "markov_low", "high": "markov_high"})
    )
    five = table[list(RULES)]
    table["spread"] = (five.max(axis=1) - five.min(axis=1)) / five.mean(axis=1).where(
        five.mean(axis=1) > 0
    )
    return (
        table.drop(columns="removal_share")
        .sort_values("markov", ascending=False, kind="stable")
        .reset_index()
    )


def budget_channels(spend: SpendLog, channels: Any = None) -> list[str]:
    """Channels with a budget to move: those with spend, but for kinds whose cost
    follows orders or lists (referral, partner, email, direct): there spend is an effect
    of sales, and a response to it means nothing.
    """
    spent = spend.daily.groupby("channel").spend.sum()
    names = sorted(spent[spent > 0].index)
    if channels is None:
        return names
    kinds = (
        expression(channels)
        .filter(_.kind.isin(PER_ORDER))
        .select("channel")
        .distinct()
        .to_pandas()
        .channel
    )
    return [name for name in names if name not in set(kinds)]


def channel_response(
    sales_orders: Any,
    *,
    spend: SpendLog,
    channels: list[str],
    refunds: Any = None,
    promotions: Any = None,
    readings: pd.DataFrame | None = None,
    as_of: Any,
    seed: int = 0,
    steps: int = 1000,
) -> tuple[MediaModel, str]:
    """The fitted response of weekly contribution margin to spend, and its basis
    (margin, or revenue without costs).

    `readings` (`geo_readings`) enter as evidence. `response_table` says what came out,
    `demand_chase` what to trust. `steps` of the sampler: fewer are faster and leave
    intervals rougher.
    """
    weeks, basis = media_frame(
        sales_orders,
        spend=spend,
        channels=channels,
        refunds=refunds,
        promotions=promotions,
        as_of=as_of,
    )
    tests = geo_evidence(readings, weeks) if readings is not None else []
    return fit_media(weeks, tests=tests, steps=steps, seed=seed), basis


def demand_chase(model: MediaModel) -> pd.DataFrame:
    """Does spend follow demand? Two rows: look, p_value (missing: could not be asked),
    is_flagged, meaning.
    """
    chase = model.chase
    p = (chase.p_unexplained, chase.p_predictable) if chase else (np.nan, np.nan)
    flagged = (chase.is_running_after, chase.is_following_season) if chase else (False, False)
    return pd.DataFrame(
        {
            "look": [
                "next week's spend tells of this week's sales",
                "spend rises with season and promotions",
            ],
            "p_value": p,
            "is_flagged": flagged,
            "meaning": [
                "if so, hidden demand drives both: what moves in step with spend is then credited to nobody",
                "if so, season and promotions are taken out; what else drives both is not: test before moving",
            ],
        }
    )


def margin_steps(pnl: pd.DataFrame) -> pd.DataFrame:
    """From sales to what is left after ads, over the channels with spend and margin:
    step, amount, is_total.
    """
    paid = pnl[(pnl.spend > 0) & pnl.margin.notna()]
    costs = paid.revenue.sum() - paid.margin.sum()
    rows = [
        ("sales by last touch", paid.sales.sum(), True),
        ("refunds", -paid.refunds.sum(), False),
        ("goods, fees, fulfilment", -costs, False),
        ("margin before ads", paid.margin.sum(), True),
        ("ad spend", -paid.spend.sum(), False),
        ("left after ads", paid.margin.sum() - paid.spend.sum(), True),
    ]
    return pd.DataFrame(rows, columns=["step", "amount", "is_total"])


def channel_headline(months: pd.DataFrame, *, n_months: int = 25) -> pd.DataFrame:
    """Monthly series for the scorecard: mer (all sales before returns over all spend),
    roas, poas and ncac of channels with spend.

    metric, month, amount, low, high (90 %, from the spread of orders), n (orders or new
    customers), status (unobserved where a channel that had spent is not known for the
    month).
    """
    rows = []
    for month, part in list(months.groupby("month"))[-n_months:]:
        paid = part[part.spend > 0]
        gone = part[~part.is_spend_known & part.channel.isin(months.channel[months.spend > 0])]
        known = bool(len(paid)) and gone.empty
        spend = paid.spend.sum() if known else np.nan
        state = str(part.status.iloc[0]) if known else "unobserved"
        sway, swing = (Z90 * np.sqrt(paid[f"{x}_variance"].sum()) for x in ("sales", "margin"))
        margin = paid.margin.sum(min_count=len(paid))
        for metric, top, reach, n, ripe in (
            ("mer", part.sales.sum(), np.nan, part.orders.sum(), "complete" if known else state),
            ("poas", margin, swing, paid.orders.sum(), state),
            ("roas", paid.sales.sum(), sway, paid.orders.sum(), "complete" if known else state),
        ):
            rows.append(
                {
                    "metric": metric,
                    "month": month,
                    "amount": top / spend,
                    "low": (top - reach) / spend,
                    "high": (top + reach) / spend,
                    "n": int(n),
                    "status": ripe,
                }
            )
        won = int(paid.new_customers.sum())
        rows.append(
            {
                "metric": "ncac",
                "month": month,
                "amount": spend / won if won else np.nan,
                "low": np.nan,
                "high": np.nan,
                "n": won,
                "status": "complete" if known else state,
            }
        )
    return pd.DataFrame(rows, columns=["metric", "month", "amount", "low", "high", "n", "status"])


def _monthly_spend(spend: SpendLog | None) -> pd.DataFrame:
    """channel, month, spend, clicks, is_spend_known: months the extract knows day by
    day, or knows to be unspent.
    """
    columns = ["channel", "month", "spend", "clicks", "is_spend_known"]
    if spend is None:
        kinds = ["str", "str", float, float, bool]
        return pd.DataFrame({c: pd.Series(dtype=k) for c, k in zip(columns, kinds, strict=True)})
    daily = spend.daily.assign(month=spend.daily.day_on.dt.strftime("%Y-%m"))
    sums = daily.groupby(["channel", "month"], as_index=False).agg(
        spend=("spend", "sum"),
        clicks=("clicks", lambda c: c.sum(min_count=1)),
        is_spend_known=("is_known", "all"),
        last=("day_on", "max"),
    )
    whole = sums["last"] == pd.PeriodIndex(sums.month, freq="M").end_time.normalize()
    sums["is_spend_known"] &= whole
    return sums.assign(spend=sums.spend.where(sums.is_spend_known))[columns]


def _second_orders(sales_orders: Any, first: pd.Timestamp, day: pd.Timestamp) -> pd.DataFrame:
    """By channel of the first order: customers old enough (old_30, old_90), of these
    back in time (back_30, ...).
    """
    t = expression(sales_orders).filter(
        _.customer_id.notnull(), _.ordered_on.cast("date") <= ibis.literal(day.date())
    )
    t = t.mutate(on=_.ordered_on.cast("date"))
    walk = ibis.window(group_by="customer_id", order_by=["ordered_at", "order_id"])
    t = t.mutate(back_on=t.on.lead(1).over(walk)).filter(
        _.is_first, ~_.is_left_truncated, _.channel.notnull()
    )
    t = t.filter(_.on >= ibis.literal(first.date()))
    age, gap = ibis.literal(day.date()).delta(t.on, unit="day"), t.back_on.delta(t.on, unit="day")
    return (
        t.group_by("channel")
        .aggregate(
            old_30=(age >= 30).sum(),
            old_90=(age >= 90).sum(),
            back_30=((age >= 30) & (gap <= 30)).fill_null(False).sum(),
            back_90=((age >= 90) & (gap <= 90)).fill_null(False).sum(),
        )
        .to_pandas()
        .set_index("channel")
    )


def _share(name: str, k: pd.Series, n: pd.Series) -> dict[str, Any]:
    low, high = wilson(k.to_numpy(float), n.to_numpy(float), 0.9)
    return {name: _over(k, n), "low": low, "high": high}


def _over(top: pd.Series, bottom: pd.Series) -> pd.Series:
    return (top / bottom.where(bottom > 0)).astype(float)
