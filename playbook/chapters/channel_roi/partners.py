"""What partners bring for their commission: new customers that no paid channel brought.

A partner (affiliate, influencer, cashback site) claims orders and is paid for each. Of these only
a new customer's counts as *brought*, and only where the last touch was no channel the shop pays
already: a known customer was coming anyway, and an order that a paid click brought is paid twice.
What a partner brings is the contribution margin of such orders after refunds; what those customers
buy later comes on top and is not counted. Ten claims prove nothing: a partner's share of orders
brought and the margin of one are drawn towards those of all partners, the further the fewer it has.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.channel_roi.channels import with_refunds
from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.ad_spend import Table
from playbook.messages import say
from playbook.methods.proportions import Z90
from playbook.store import expression
from playbook.tables import empty, frame_of, returns

__all__ = ["claimed_orders", "partner_accounts", "partner_decisions"]

DAYS_READ, DAYS_A_MONTH = 365, 365.25 / 12
#: chance from which a partner is said to cost too much, or to pay
SURE = 0.95
#: claims of all partners that a partner's own share is weighed against (few: a blog and a cashback
#: site have little in common), and orders brought that the margin of one is
LIKE_CLAIMS, LIKE_ORDERS = 2, 20
MOST_DECIDED, CONFIDENT = 3, 100
DUE_DAYS, REVISIT_DAYS = 14, 70


@dated
def claimed_orders(
    partner_orders: Table, orders: Table, *, paid: list[str], currency: str, as_of: dt.date
) -> ibis.Table:
    """One row per claim of a year: partner, order_id, commission, is_counted (the shop has such an
    order and counts it), is_new (of a new customer), is_paid (a paid channel touched it last) and
    margin (after refunds, missing where a cost is). `orders`: `channels.with_refunds`.
    """
    first = as_of - dt.timedelta(days=DAYS_READ)
    rows = expression(partner_orders).filter(
        (_.booked_on > ibis.literal(first)) & (_.booked_on <= ibis.literal(as_of)),
        _.status.isnull() | (_.status != "rejected"),
        _.currency.isnull() | (_.currency.upper() == currency.upper()),
    )
    rows = rows.select("partner", "order_id", commission=rows.commission.cast("float64"))
    orders = expression(orders)
    is_paid = orders.channel.isin(paid) if paid else ibis.literal(False)
    orders = orders.select(
        "order_id",
        is_counted=ibis.literal(True),
        is_new=orders.is_first & ~orders.is_left_truncated & orders.customer_id.notnull(),
        is_paid=is_paid,
        margin=orders.net.cast("float64"),
    )
    both = rows.left_join(orders, "order_id").drop("order_id_right")
    facts = ("is_counted", "is_new", "is_paid")
    return both.mutate(**{name: both[name].fill_null(False) for name in facts})


@returns("channel_roi.partner_accounts")
def partner_accounts(
    partner_orders: Table,
    sales_orders: Table,
    *,
    refunds: Table | None,
    paid: list[str],
    currency: str,
    as_of: dt.date,
) -> DataFrame:
    """Each partner's claims of a year, what loses most on top. `paid` are the channels the shop
    pays by spend (`channels.budget_channels`). Claims turned down and those in another currency
    are left out; one of no counted order is paid and brings nothing. Intervals are of 90 %.
    """
    orders = with_refunds(expression(sales_orders), refunds)
    sums = _sums(
        claimed_orders(
            partner_orders,
            orders,
            paid=paid,
            currency=currency,
            as_of=as_of,
        )
    )
    if sums.empty:
        return empty("channel_roi.partner_accounts")
    n, brought = sums.n_claims, sums.brought
    share, share_var = _share(brought, n)
    each, each_var = _each(sums)
    a_month = DAYS_A_MONTH / DAYS_READ
    margin = n * share * each * a_month
    error = n * np.sqrt(each**2 * share_var + share**2 * each_var) * a_month
    commission = sums.commission * a_month
    net = margin - commission
    table = DataFrame(
        {
            "partner": sums.partner,
            "n_claims": n,
            "new_share": sums.new / n,
            "overlap_share": sums.overlap / n,
            "unmatched": sums.unmatched,
            "orders_brought": brought,
            "brought_share": share,
            "commission": commission,
            "not_brought": commission * (1 - share),
            "margin": margin,
            "net": net,
            "low": net - Z90 * error,
            "high": net + Z90 * error,
            "p_loses": _below_nought(net, error),
        }
    )
    sure = [table.p_loses >= SURE, table.p_loses <= 1 - SURE]
    table["verdict"] = np.select(sure, ["costs too much", "pays"], "not known")
    return frame_of(
        "channel_roi.partner_accounts",
        table.sort_values(["net", "partner"], ignore_index=True),
    )


@dated
def partner_decisions(accounts: DataFrame | None, *, as_of: dt.date, currency: str) -> DataFrame:
    """A row per partner that almost surely costs too much, the three dearest: pay it for new
    customers only. The effect is what it costs today beyond what it brings. None without
    accounts.
    """
    rows = []
    dear = [] if accounts is None else accounts[accounts.verdict == "costs too much"]
    for row in dear[:MOST_DECIDED].itertuples() if len(dear) else ():
        rows.append(
            propose(
                "channel_roi.partner_lower",
                say("channel_roi.partner_lower", partner=row.partner),
                size=-row.not_brought,
                effect=(-row.net, -row.high, -row.low),
                evidence_value=row.margin / row.commission if row.commission else np.nan,
                threshold=1.0,
                confidence="high" if row.n_claims >= CONFIDENT else "medium",
                due_on=str(as_of + dt.timedelta(days=DUE_DAYS)),
                revisit_on=str(as_of + dt.timedelta(days=REVISIT_DAYS)),
                n=int(row.n_claims),
                new=row.new_share,
                overlap=row.overlap_share,
                currency=currency,
            )
        )
    return decision_rows(rows)


def _sums(claims: ibis.Table) -> DataFrame:
    """Sums by partner of its claims (`claimed_orders`)."""
    is_brought = claims.is_new & ~claims.is_paid
    sums = (
        claims.mutate(is_brought=is_brought)
        .group_by("partner")
        .aggregate(
            n_claims=_.count(),
            commission=_.commission.sum(),
            unmatched=(~_.is_counted).sum(),
            new=_.is_new.sum(),
            overlap=_.is_paid.sum(),
            brought=_.is_brought.sum(),
            known=(_.is_brought & _.margin.notnull()).sum(),
            total=_.margin.sum(where=_.is_brought),
            squares=(_.margin * _.margin).sum(where=_.is_brought),
        )
        .order_by("partner")
        .to_pandas()
    )
    return sums.fillna({"total": 0.0, "squares": 0.0})


def _share(brought: Series, n: Series) -> tuple[Series, Series]:
    """Share of orders brought and its variance: beta, drawn towards that of all partners (half a
    claim more on either side of all, so that it is never nought or one).
    """
    whole = (brought.sum() + 0.5) / (n.sum() + 1)
    yes = brought + LIKE_CLAIMS * whole
    both = n + LIKE_CLAIMS
    mean = yes / both
    return mean, mean * (1 - mean) / (both + 1)


def _each(sums: DataFrame) -> tuple[Series, Series]:
    """Margin of an order brought and its variance, drawn towards that of all partners; missing
    where no cost is known.
    """
    n = sums.known.sum()
    whole = sums.total.sum() / n if n else np.nan
    variance = max(sums.squares.sum() / n - whole**2, 0.0) if n else np.nan
    mean = (sums.total + LIKE_ORDERS * whole) / (sums.known + LIKE_ORDERS)
    return mean, variance / (sums.known + LIKE_ORDERS)


def _below_nought(mean: Series, error: Series) -> np.ndarray:
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        return ndtr(-mean / error)
