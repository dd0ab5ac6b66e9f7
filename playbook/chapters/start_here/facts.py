"""What the month looks like before any chapter interprets it: broken down, day by day,
as risks, beside the dashboard.

The monthly review never opens a raw table; these are the facts it reads from chapter
00.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.measures.ad_spend import read_extract
from playbook.measures.metrics import METRICS, months_back
from playbook.measures.revenue_days import promotion_calendar

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["FACTS", "breakdown", "daily", "dashboard_walk", "month_steps", "risk_indicators"]

# what the review reads of this chapter, with the columns a shop without it still has
FACTS = {
    "breakdown": (
        "dimension",
        "segment",
        "month",
        "orders",
        "units",
        "revenue",
        "margin",
        "n_customers",
    ),
    "daily": ("day_on", "orders", "revenue", "sessions", "is_promotion"),
    "indicators": ("indicator", "month", "amount", "n"),
    "gates": ("gate", "amount", "threshold", "verdict"),
}


def breakdown(shop: Store) -> pd.DataFrame:
    """This month, last month and the same month last year by channel, category, region,
    customer type: dimension, segment, month, orders, units, revenue (sales before
    returns), margin, n_customers. Unknown segments are `unknown`.
    """
    months = [shop.month, months_back(shop.month, 2)[0], months_back(shop.month, 13)[0]]
    orders = shop.sales_orders.mutate(month=_.ordered_on.strftime("%Y-%m")).filter(
        _.month.isin(months)
    )
    kind = ibis.cases(
        (orders.customer_id.isnull(), "guest"), (orders.is_first, "new"), else_="returning"
    )
    orders = orders.mutate(customer_type=kind)
    frames = []
    for dimension in ("channel", "region", "customer_type"):
        if dimension != "customer_type" and not shop.has(f"orders.{dimension}"):
            continue
        sums = orders.group_by("month", segment=orders[dimension].fill_null("unknown")).aggregate(
            orders=_.count(),
            units=_.units.sum().cast("float64"),
            revenue=_.revenue.sum().cast("float64"),
            margin=_.margin.sum().cast("float64"),
            n_customers=_.customer_id.nunique(),
        )
        frames.append(
            shop.con.execute(sums.order_by("month", "segment")).assign(dimension=dimension)
        )
    if shop.has("products.category"):
        lines = shop.sales_lines.mutate(month=_.ordered_on.strftime("%Y-%m")).filter(
            _.month.isin(months) & _.is_product
        )
        lines = lines.left_join(shop.products.select("sku", "category"), "sku").drop("sku_right")
        sums = lines.group_by("month", segment=lines.category.fill_null("unknown")).aggregate(
            orders=_.order_id.nunique(),
            units=_.quantity.sum().cast("float64"),
            revenue=_.revenue.sum().cast("float64"),
            margin=(_.revenue.sum() - _.cost.sum()).cast("float64"),
            n_customers=_.customer_id.nunique(),
        )
        frames.append(
            shop.con.execute(sums.order_by("month", "segment")).assign(dimension="category")
        )
    return pd.concat(frames, ignore_index=True)[list(FACTS["breakdown"])]


def daily(shop: Store, *, months: int = 37) -> pd.DataFrame:
    """One row per day of the last `months`: what the drivers of net revenue are made
    of, and what was known of the day.

    day_on, orders, units, revenue, net_revenue (less refunds booked that day), sessions
    (missing where not covered), is_promotion; promotion and after_promotion (see
    revenue_days.py), `spend <channel>` (missing in a hole of the extract), unpaid_share
    (of sessions: channels no money is spent on), in_stock_share (of the range as it
    sells, by month; these three left out where their table is). A day without orders
    counts as 0: chapter 00 shows which of them are gaps.
    """
    start = max(pd.Timestamp(months_back(shop.month, months)[0]), pd.Timestamp(shop.observed_from))
    every = pd.date_range(start, shop.as_of, freq="D", name="day_on")

    def by_day(sums: ibis.Table, *keys: str) -> pd.DataFrame:
        found = shop.con.execute(sums.order_by("day_on", *keys))
        return found.assign(day_on=pd.to_datetime(found.day_on)).set_index("day_on")

    table = by_day(
        shop.sales_orders.group_by(day_on=_.ordered_on).aggregate(
            orders=_.count(),
            units=_.units.sum().cast("float64"),
            revenue=_.revenue.sum().cast("float64"),
        )
    )
    table = table.reindex(every).fillna(0.0)
    back = by_day(
        shop.booked_refunds.group_by(day_on=_.refunded_on).aggregate(
            back=_.amount.sum().cast("float64")
        )
    )
    table["net_revenue"] = table.revenue - back.back.reindex(every).fillna(0.0)
    table["sessions"], table["is_promotion"], table["promotion"], table["after_promotion"] = (
        np.nan,
        False,
        0.0,
        0.0,
    )
    promotions, extract, paid = (
        shop.get("promotions"),
        shop.get("ad_spend"),
        pd.DataFrame(index=every),
    )
    if promotions is not None:
        plan = promotion_calendar(promotions, first=start, last=shop.as_of).set_index("period_on")
        table[["promotion", "after_promotion"]] = plan
        for starts, ends in shop.con.execute(promotions.select("starts_on", "ends_on")).itertuples(
            index=False
        ):
            table.loc[pd.Timestamp(starts) : pd.Timestamp(ends), "is_promotion"] = True
    if extract is not None and shop.con.execute(extract.spend.count()):
        spend = read_extract(extract, as_of=shop.as_of).daily
        paid = spend.pivot(index="day_on", columns="channel", values="spend").reindex(every)
        paid = paid.where(
            paid.ffill().notna(), 0.0
        )  # a channel not yet begun spends nothing; a hole is not known
    if shop.has("traffic"):
        visits = by_day(
            shop.traffic.group_by("day_on", channel=_.channel.fill_null("unknown")).aggregate(
                sessions=_.sessions.sum().cast("float64")
            ),
            "channel",
        )
        visits = visits.pivot(columns="channel", values="sessions").reindex(every)
        table["sessions"] = visits.sum(axis=1, min_count=1)
        table["unpaid_share"] = (
            visits.drop(columns=[c for c in visits if c in paid]).sum(axis=1) / table.sessions
        )
    if shop.has("stock"):
        table["in_stock_share"] = _in_stock(shop).reindex(every.strftime("%Y-%m")).to_numpy()
    return table.join(paid.add_prefix("spend ")).reset_index()


def _in_stock(shop: Store, *, months: int = 6) -> pd.Series:
    """Share of the range that was in stock, by month: each sku counts as it sold on its
    stocked days of late.
    """
    seen = (
        shop.sku_days.mutate(month=_.day_on.strftime("%Y-%m"))
        .group_by("month", "sku")
        .aggregate(
            sold=_.units.sum(where=_.is_stocked).fill_null(0).cast("float64"),
            stocked=_.is_stocked.sum().cast("float64"),
            days=_.count().cast("float64"),
        )
    )
    wide = (
        shop.con.execute(seen.order_by("month", "sku"))
        .pivot(index="month", columns="sku")
        .fillna(0.0)
    )
    late = wide[["sold", "stocked"]].rolling(months, min_periods=1).sum()
    pace = (late.sold / late.stocked.where(late.stocked > 0)).fillna(0.0)
    return (pace * wide.stocked).sum(axis=1) / (pace * wide.days).sum(axis=1)


def dashboard_walk(shop: Store, ours: pd.DataFrame, walk: pd.DataFrame) -> pd.DataFrame:
    """The shop's own dashboard beside our figure for the month: metric, dashboard,
    ours, difference, explained_by, unexplained. A difference is explained when ledger
    steps of the month add up to it to the cent; otherwise it says so.

    `ours`: the monthly series (metric, month, amount). `walk`: what `month_steps`
    gives.
    """
    totals = shop.get("control_totals")
    if totals is None:
        return pd.DataFrame(
            columns=["metric", "dashboard", "ours", "difference", "explained_by", "unexplained"]
        )
    theirs = shop.con.execute(
        totals.filter(totals.month == shop.month).select("metric", dashboard=totals["value"])
    )
    mine = ours[ours.month == shop.month].set_index("metric").amount
    mine = pd.concat(
        [
            mine,
            walk[walk.reason == "refunds booked"]
            .set_index("reason")
            .amount.rename({"refunds booked": "refunds"}),
        ]
    )
    rows = []
    for metric, shown in theirs.sort_values("metric").itertuples(index=False):
        known = mine.get(metric, np.nan)
        gap = shown - known
        column = "orders" if METRICS.get(metric) and METRICS[metric].unit == "count" else "amount"
        steps = {r: a for r, a in zip(walk.reason, walk[column], strict=True) if abs(a) >= 0.005}
        names, rest = (
            _explain(gap, steps) if gap == gap else ("this metric is not in our dictionary", np.nan)
        )
        rows.append((metric, shown, known, gap, names, rest))
    return pd.DataFrame(
        rows, columns=["metric", "dashboard", "ours", "difference", "explained_by", "unexplained"]
    )


def _explain(gap: float, steps: dict[str, float]) -> tuple[str, float]:
    """The smallest set of up to three steps, added or taken off, that makes the gap,
    and what it leaves over.
    """
    if abs(gap) < 0.005:
        return "equal", 0.0
    signed = [
        (f"{'+' if sign > 0 else '-'} {name}", sign * amount)
        for name, amount in steps.items()
        for sign in (1, -1)
    ]
    for size in (1, 2, 3):
        for chosen in combinations(signed, size):
            if abs(gap - sum(amount for _, amount in chosen)) < 0.005:
                return ", ".join(name for name, _ in chosen), 0.0
    return "not explained by any step of the walk", gap


def month_steps(shop: Store) -> pd.DataFrame:
    """The steps between the kinds of sales within the report month: reason, amount,
    orders (both positive).
    """
    o = shop.orders.filter(_.ordered_on.strftime("%Y-%m") == shop.month)
    zero, counted = (
        ibis.literal(0).cast("decimal(18, 6)"),
        o.status.isin(list(shop.counted_statuses)),
    )
    parts = {}
    paid_back = (o.status == "cancelled") & o.paid_at.notnull()
    for name, kept in (
        ("cancelled", o.status == "cancelled"),
        ("unpaid", o.status == "placed"),
        ("cancelled after payment", paid_back),
    ):
        parts[name] = (o.total.sum(where=kept), kept.sum())
    parts["tax of orders cancelled after payment"] = (
        o.tax.fill_null(zero).sum(where=paid_back),
        ibis.literal(0),
    )
    for name in ("shipping", "tax", "discount"):
        parts[name] = (o[name].fill_null(zero).sum(), ibis.literal(0))
        parts[f"{name} of counted orders"] = (
            o[name].fill_null(zero).sum(where=counted),
            ibis.literal(0),
        )
    row = shop.con.execute(
        o.aggregate(
            **{
                f"{kind}{i}": value
                for i, pair in enumerate(parts.values())
                for kind, value in zip("an", pair, strict=True)
            }
        )
    ).iloc[0]
    every = shop.get("refunds")
    booked = shop.con.execute(
        shop.booked_refunds.filter(_.refunded_on.strftime("%Y-%m") == shop.month).amount.sum()
    )
    paid_out = (
        0
        if every is None
        else shop.con.execute(
            every.filter(_.refunded_on.strftime("%Y-%m") == shop.month).amount.sum()
        )
    )
    rows = [
        (name, float(row[f"a{i}"] or 0), float(row[f"n{i}"] or 0)) for i, name in enumerate(parts)
    ]
    rows.append(("refunds booked", float(booked or 0), 0.0))
    rows.append(
        ("refunds of orders that are not sales", float(paid_out or 0) - float(booked or 0), 0.0)
    )
    return pd.DataFrame(rows, columns=["reason", "amount", "orders"])


def risk_indicators(shop: Store, *, months: int = 13) -> pd.DataFrame:
    """One row per indicator and month: indicator, month, amount, n. Indicators whose
    table is missing are left out.

    Shares of revenue held by the top channel, sku, supplier, customer; cancelled,
    refunded, late, charged-back shares of the month's orders; customers with five
    orders or more on one day (a sign of fake orders); top skus without stock.
    """
    wanted = months_back(shop.month, months)
    placed = shop.orders.mutate(month=_.ordered_on.strftime("%Y-%m")).filter(_.month.isin(wanted))
    counts = {"cancelled share": (_.status == "cancelled").mean()}
    if shop.has("orders.promised_at") and shop.has("orders.delivered_at"):
        due = placed.promised_at < ibis.literal(shop.as_of_end)
        late = (placed.delivered_at > placed.promised_at) | placed.delivered_at.isnull()
        sent = placed.status.isin(["paid", "shipped", "done"])
        counts["late share"] = (due & late & sent).sum() / (due & sent).sum().nullif(0)
    table = shop.con.execute(
        placed.group_by("month").aggregate(n=_.count(), **counts).order_by("month")
    )
    frames = [
        table[["month", "n"]].assign(indicator=name, amount=table[name].astype(float))
        for name in counts
    ]
    lines = shop.sales_lines.mutate(month=_.ordered_on.strftime("%Y-%m")).filter(
        _.month.isin(wanted)
    )
    held: dict[str, Any] = {
        "top sku share": lines.sku,
        "top channel share": lines.channel,
        "top customer share": lines.customer_id,
    }
    for name, key in held.items():
        frames.append(_top_share(shop, lines.mutate(key=key), name))
    if shop.has("products.supplier_id"):
        made = lines.inner_join(shop.products.select("sku", "supplier_id"), "sku")
        frames.append(_top_share(shop, made.mutate(key=made.supplier_id), "top supplier share"))
    if shop.has("refunds"):
        frames.append(_refund_shares(shop, wanted))
    burst = (
        placed.filter(_.customer_id.notnull())
        .group_by("month", "customer_id", "ordered_on")
        .aggregate(n=_.count())
    )
    signs = (
        burst.group_by("month")
        .aggregate(amount=(_.n >= 5).sum().cast("float64"), n=_.n.sum())
        .order_by("month")
    )
    frames.append(
        shop.con.execute(signs).assign(indicator="customer-days with five orders or more")
    )
    out = pd.concat([f for f in frames if len(f)], ignore_index=True)
    out = out[out.amount.notna()].sort_values(["indicator", "month"], ignore_index=True)
    return out[["indicator", "month", "amount", "n"]]


def _top_share(shop: Store, lines: ibis.Table, name: str) -> pd.DataFrame:
    sums = lines.filter(_.key.notnull()).group_by("month", "key").aggregate(revenue=_.revenue.sum())
    shares = sums.group_by("month").aggregate(  # exact sums: floats would depend on their order
        amount=_.revenue.max().cast("float64") / _.revenue.sum().cast("float64").nullif(0),
        n=_.count(),
    )
    return shop.con.execute(shares.order_by("month")).assign(indicator=name)


def _refund_shares(shop: Store, wanted: list[str]) -> pd.DataFrame:
    back = shop.booked_refunds.mutate(month=_.refunded_on.strftime("%Y-%m")).filter(
        _.month.isin(wanted)
    )
    sums = back.group_by("month").aggregate(
        n=_.count(), refunded=_.amount.sum().cast("float64"), charged=(_.kind == "chargeback").sum()
    )
    sold = (
        shop.sales_orders.mutate(month=_.ordered_on.strftime("%Y-%m"))
        .group_by("month")
        .aggregate(sales=_.revenue.sum().cast("float64"), orders=_.count())
    )
    both = shop.con.execute(sums.inner_join(sold, "month").order_by("month"))
    return pd.concat(
        [
            both[["month", "n"]].assign(
                indicator="refunds booked share", amount=both.refunded / both.sales
            ),
            both[["month", "n"]].assign(
                indicator="chargeback share", amount=both.charged / both.orders
            ),
        ]
    )
