"""What the month looks like before any chapter interprets it: broken down, day by day,
and as signs of risk. The monthly review opens no raw table; it reads these facts.
"""

from __future__ import annotations

import datetime as dt

import ibis
import pandas as pd
from ibis import Table, Value, _
from pandas import DataFrame, Series, Timestamp

from playbook.chapters.customer_journey import parcels
from playbook.measures.ad_spend import read_extract
from playbook.measures.metrics import months_back
from playbook.measures.odd_buyers import BURST_ORDERS, LIMITS, YEAR
from playbook.measures.revenue_days import (
    promotion_calendar,
    sums_by_day,
)
from playbook.measures.sums import in_months, sums_by, total
from playbook.messages import say
from playbook.store import Store
from playbook.store.trading import hole_days, shop_closures
from playbook.tables import frame_of, returns, schema

__all__ = ["breakdown", "daily", "odd_buyers_table", "risk_indicators"]

#: months over which a sku's pace of sale is taken
PACE_MONTHS = 6
RISK_MONTHS = 13


@returns("start_here.breakdown")
def breakdown(shop: Store) -> DataFrame:
    """This month, last month and the same month last year by channel, region, kind of
    customer and category.
    """
    months = [months_back(shop.month, n)[0] for n in (1, 2, 13)]
    orders = in_months(shop.sales_orders, "ordered_on", months)
    is_guest, is_first = orders.customer_id.isnull(), orders.is_first
    customer_type = ibis.cases(
        (is_guest, "guest"),
        (is_first, "new"),
        else_="returning",
    )
    orders = orders.mutate(customer_type=customer_type)
    dimensions = [name for name in ("channel", "region") if shop.has(f"orders.{name}")]
    frames = [_by_segment(orders, name) for name in (*dimensions, "customer_type")]
    if shop.has("products.category"):
        lines = in_months(shop.sales_lines, "ordered_on", months).filter(_.is_product)
        lines = lines.left_join(shop.products.select("sku", "category"), "sku")
        n_orders, margin = (
            _.order_id.nunique(),
            (_.revenue.sum() - _.cost.sum()).cast("float64"),
        )
        sums = {
            "orders": n_orders,
            "units": total("quantity"),
            "margin": margin,
        }
        frames.append(_by_segment(lines, "category", **sums))
    return pd.concat(frames, ignore_index=True)


def _by_segment(rows: Table, dimension: str, **sums: Value) -> DataFrame:
    """Sums of the rows by month and segment; a segment not given is `unknown`."""
    own = {
        "orders": _.count(),
        "units": total("units"),
        "margin": total("margin"),
    } | sums
    rows = rows.mutate(segment=_[dimension].fill_null("unknown"))
    by_segment = sums_by(
        rows,
        "month",
        "segment",
        revenue=total("revenue"),
        n_customers=_.customer_id.nunique(),
        **own,
    )
    by_segment["dimension"] = dimension
    return by_segment[schema("start_here.breakdown").names]


@returns("start_here.daily")
def daily(shop: Store, *, months: int = 37) -> DataFrame:
    """What the drivers of net revenue are made of, over the last `months`, and what was
    known of each day. A day without orders counts as 0; where it should hold some
    (`hole_days`) what it sold is missing.
    """
    start = max(
        Timestamp(months_back(shop.month, months)[0]),
        Timestamp(shop.observed_from),
    )
    days = pd.date_range(
        start,
        shop.as_of,
        freq="D",
        name="day_on",
    )
    sums = {
        "orders": _.count(),
        "units": total("units"),
        "revenue": total("revenue"),
        "gross": total("gross"),
        "discount": total("discount"),
        "paid": total("total"),
        "known_paid": _.total.sum(where=_.customer_id.notnull()).cast("float64"),
        "known_orders": _.customer_id.notnull().sum(),
        "new_customers": (_.is_first & ~_.is_left_truncated).sum(),
        "margin": total("margin"),
        "n_unknown": _.margin.isnull().sum(),
    }
    table = sums_by_day(
        shop.sales_orders,
        "ordered_on",
        days,
        **sums,
    )
    refunds = sums_by_day(
        shop.booked_refunds,
        "refunded_on",
        days,
        amount=total("amount"),
        margin=total("margin"),
    )
    table["net_revenue"] = table.revenue - refunds.amount
    table["refunds"] = refunds.amount if shop.has("refunds") else float("nan")
    is_known = table.pop("n_unknown") == 0
    table["margin"] = (table.margin + refunds.margin.fillna(0.0)).where(is_known)
    table = table.where(Series(~days.isin(hole_days(shop)), days), axis=0)
    table["is_closed"] = shop_closures(shop).known(days) & table.orders.eq(0)
    visits, spend = _visits(shop, days), _spend(shop, days)
    table["sessions"] = visits.sum(axis=1, min_count=1)
    table = table.join(_promotions(shop, days))
    if shop.has("traffic"):
        unpaid = visits.drop(columns=spend.columns, errors="ignore")
        table["unpaid_share"] = unpaid.sum(axis=1) / table.sessions
    if shop.has("stock"):
        table["in_stock_share"] = _in_stock(shop).reindex(days.strftime("%Y-%m")).to_numpy()
    return table.join(spend.add_prefix("spend ")).reset_index()


def _promotions(shop: Store, days: pd.DatetimeIndex) -> DataFrame:
    """Is a promotion running, and how deep it and the one before it are, by day."""
    plan = DataFrame(
        {
            "is_promotion": False,
            "promotion": 0.0,
            "after_promotion": 0.0,
        },
        index=days,
    )
    promotions = shop.get("promotions")
    if promotions is None:
        return plan
    calendar = promotion_calendar(promotions, first=days[0], last=days[-1])
    plan[["promotion", "after_promotion"]] = calendar.set_index("period_on")
    spans = shop.con.execute(promotions.select("starts_on", "ends_on"))
    for starts, ends in spans.itertuples(index=False):
        plan.loc[Timestamp(starts) : Timestamp(ends), "is_promotion"] = True
    return plan


def _spend(shop: Store, days: pd.DatetimeIndex) -> DataFrame:
    """Spend by day, one column per channel that is paid for. A channel not yet begun
    spends nothing; a hole in the extract is not known.
    """
    extract = shop.get("ad_spend")
    if extract is None or not shop.con.execute(extract.spend.count()):
        return DataFrame(index=days)
    log = read_extract(extract, as_of=shop.as_of).daily
    spend = log.pivot(index="day_on", columns="channel", values="spend").reindex(days)
    return spend.where(spend.ffill().notna(), 0.0)


def _visits(shop: Store, days: pd.DatetimeIndex) -> DataFrame:
    """Sessions by day, one column per channel; missing where the extract has none."""
    if not shop.has("traffic"):
        return DataFrame(index=days)
    visits = shop.traffic.mutate(channel=_.channel.fill_null("unknown"))
    visits = sums_by(
        visits,
        "day_on",
        "channel",
        sessions=total("sessions"),
    )
    visits["day_on"] = pd.to_datetime(visits.day_on)
    return visits.pivot(
        index="day_on",
        columns="channel",
        values="sessions",
    ).reindex(days)


def _in_stock(shop: Store) -> Series:
    """Share of the range that was in stock, by month: each sku counts as it sold on its
    stocked days of late. Empty where nothing was ever sold.
    """
    by_sku = sums_by(
        shop.sku_days.mutate(month=_.day_on.strftime("%Y-%m")),
        "month",
        "sku",
        sold=_.units.sum(where=_.is_stocked).cast("float64"),
        stocked=total("is_stocked"),
        days=_.count().cast("float64"),
    )
    if by_sku.empty:
        return Series(dtype=float)
    wide = by_sku.pivot(index="month", columns="sku").fillna(0.0)
    late = wide[["sold", "stocked"]].rolling(PACE_MONTHS, min_periods=1).sum()
    pace = (late.sold / late.stocked.where(late.stocked > 0)).fillna(0.0)
    return (pace * wide.stocked).sum(axis=1) / (pace * wide.days).sum(axis=1)


@returns("start_here.odd_buyers")
def odd_buyers_table(shop: Store, odd: DataFrame) -> DataFrame:
    """Software and business buyers among the customers, and the rule they are told by.
    `odd`: those of `odd_buyers`.
    """
    since = ibis.literal(shop.as_of - dt.timedelta(days=YEAR))
    known = shop.sales_orders.filter(_.customer_id.notnull() & (_.ordered_on > since))
    whole = float(shop.con.execute(known.revenue.sum().cast("float64")) or 0.0)
    rows = []
    for kind in ("machine", "business"):
        part = odd[odd.kind == kind]
        revenue, rule = float(part.revenue.sum()), say(f"start_here.rule_{kind}", **LIMITS)
        share = revenue / whole if whole > 0 else None
        rows.append((kind, len(part), int(part.orders.sum()), revenue, share, rule))
    return frame_of("start_here.odd_buyers", rows)


@returns("start_here.indicators")
def risk_indicators(shop: Store) -> DataFrame:
    """Signs of risk over the last months; an indicator whose table is missing, and one of
    what the log has never seen (no order was ever cancelled or charged back in it), is left
    out, as is the share of one sku or customer that is the only one.

    Shares of revenue held by the top channel, sku, supplier, customer; cancelled,
    refunded, late and charged-back shares of the month's orders; customers with five
    orders or more on one day (a sign of fake orders).
    """
    months = months_back(shop.month, RISK_MONTHS)
    orders = in_months(shop.orders, "ordered_on", months)
    lines = in_months(shop.sales_lines, "ordered_on", months)
    parts = {}
    if _was_seen(shop, shop.orders, _.status == "cancelled"):
        parts["cancelled share"] = _by_month(orders, (_.status == "cancelled").mean())
    if shop.has("orders.promised_at") and shop.has("orders.delivered_at"):
        parts["late share"] = _late_share(shop, months)
    for name, key in (
        ("sku", "sku"),
        ("channel", "channel"),
        ("customer", "customer_id"),
    ):
        parts[f"top {name} share"] = _top_share(lines, key)
    if shop.has("products.supplier_id"):
        supplied = lines.inner_join(shop.products.select("sku", "supplier_id"), "sku")
        parts["top supplier share"] = _top_share(supplied, "supplier_id")
    if shop.has("refunds"):
        parts |= _refund_shares(shop, months)
    parts["customer-days with five orders or more"] = _bursts(orders)
    frames = [
        (part if isinstance(part, DataFrame) else part.to_pandas()).assign(indicator=name)
        for name, part in parts.items()
    ]
    table = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    table = table[table.amount.notna()].sort_values(["indicator", "month"], ignore_index=True)
    return table[["indicator", "month", "amount", "n"]]


def _by_month(rows: Table, amount: Value, n: Value | None = None) -> Table:
    n = _.count() if n is None else n
    by_month = rows.group_by("month").aggregate(amount=amount.cast("float64"), n=n)
    return by_month.order_by("month")


def _late_share(shop: Store, months: list[str]) -> DataFrame:
    """Share of the parcels promised in each month that came on a later day, or not at all
    by now: chapter 08's own figure.
    """
    table = parcels.late_months(parcels.on_shop_days(shop), as_of=shop.as_of)
    table = table.rename(columns={"share": "amount", "due": "n"})
    return table.loc[table.month.isin(months), ["month", "amount", "n"]]


def _top_share(lines: Table, key: str) -> Table:
    """Share of revenue of the largest one; sums are exact, so their order is no matter."""
    held = lines.filter(_[key].notnull()).group_by("month", key).aggregate(revenue=_.revenue.sum())
    share = _.revenue.max().cast("float64") / total("revenue").nullif(0)
    if key in ("sku", "customer_id"):
        share = (_.count() > 1).ifelse(share, ibis.null("float64"))
    return _by_month(held, share)


def _was_seen(shop: Store, rows: Table, what: Value) -> bool:
    """Whether the log holds any such row. An export that leaves them out is not a shop
    without them.
    """
    return bool(shop.con.execute(rows.filter(what).limit(1).count()))


def _bursts(orders: Table) -> Table:
    """Customers with many orders on one day, counted by day."""
    known = orders.filter(_.customer_id.notnull())
    days = known.group_by("month", "customer_id", "ordered_on").aggregate(orders=_.count())
    return _by_month(days, (_.orders >= BURST_ORDERS).sum(), _.orders.sum())


def _refund_shares(shop: Store, months: list[str]) -> dict[str, Table]:
    """Refunds booked over sales, and charge-backs over orders, by month."""
    charged = (_.kind == "chargeback").sum()
    refunds = in_months(shop.booked_refunds, "refunded_on", months).group_by("month")
    refunds = refunds.aggregate(
        n=_.count(),
        refunded=total("amount"),
        charged=charged,
    )
    sales = in_months(shop.sales_orders, "ordered_on", months).group_by("month")
    sales = sales.aggregate(sales=total("revenue"), orders=_.count())
    both = refunds.inner_join(sales, "month").order_by("month")
    shares = {
        "refunds booked share": both.refunded / both.sales,
        "chargeback share": both.charged / both.orders,
    }
    if not _was_seen(shop, shop.booked_refunds, _.kind == "chargeback"):
        del shares["chargeback share"]
    return {name: both.select("month", "n", amount=share) for name, share in shares.items()}
