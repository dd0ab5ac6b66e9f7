"""After the order: what came back, who had to ask, who could not pay.

Every share waits until it could have happened: an order younger than the return window
says nothing about returns, a case still open has waited, an order of the last hours may
still be paid.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Timestamp

from playbook import tables
from playbook.chapters.customer_journey.visits import filled
from playbook.errors import PlaybookError
from playbook.methods.proportions import wilson
from playbook.store import distinct_rows, expression, one_if, seconds_between

__all__ = ["above_the_others", "payments", "returns", "service"]

VIEWS = ("month", "reason", "sku", "carrier")
#: a carrier's returns stand out above so many times those of the others
STANDS_OUT = 1.2
#: carriers told, the dearest first: of hundreds some stand out by chance
MOST = 3
LEAST_LINKED = 0.95  # share of refunded money that must name its order
RIPE_DAYS = 60  # age at which an order's returns have come in
BASELINE_MONTHS = 3  # months whose tickets make the usual number
PAYMENT_MONTHS = 13  # months of payments shown
GRACE_DAYS = 1  # days in which an order may still be paid


@tables.returns("customer_journey.returns")
def returns(
    lines: Table,
    refunds: Table,
    *,
    as_of: dt.date,
    ripe_days: int = RIPE_DAYS,
    months: int = 12,
    level: float = 0.95,
    carriers: Table | None = None,
) -> DataFrame:
    """Money given back on goods, by month of the order, by reason, by sku and, where
    `carriers` (order_id, carrier) is given and refunds name their orders, by carrier.

    share = refunded amount of orders placed in the period / their revenue, `returned`
    whenever it was booked up to as-of. low and high are Wilson's of lines returned over
    lines sold, carried to money by share / line share, and at most 1. Months whose last
    day is younger than `ripe_days` are `partial`: their share will rise. Reasons and skus
    count only orders old enough, of the last `months` and three more; the base of a reason
    is all sold. Cancellations are no returns, and money back on postage, fees and the like
    is no return of goods. Where more was given back than was sold in the same period (it
    was sold before), there is no share.

    Where the source does not say which order more than a twentieth of the money belongs
    to, `basis` is `booking` instead of `order`: refunds count in the period they were
    booked in, against that period's sales, which is another figure
    (refund_share_booked) and not comparable; a share of returns by order is then not
    observed. `lines`: sales_lines; `refunds`: booked_refunds (order_id, line_no, sku,
    ordered_on, refunded_on, amount, kind, reason).
    """
    lines = expression(lines)
    back = expression(refunds).filter(_.kind != "cancellation")
    lines, back = _of_goods(lines, back) if "is_product" in lines.columns else (lines, back)
    is_linked = _is_linked(back)
    ripe_on = as_of - dt.timedelta(days=ripe_days if is_linked else 0)
    first = Timestamp(as_of) + pd.Timedelta(days=1) - pd.DateOffset(months=months + 3)
    sold = lines.mutate(on=_.ordered_on)
    back = _with_line_id(back.mutate(on=back.ordered_on if is_linked else back.refunded_on))
    sold, back = (t.filter(t.on.between(first.replace(day=1).date(), as_of)) for t in (sold, back))
    views = []
    has_carrier = carriers is not None and is_linked
    if has_carrier:
        carriers = expression(carriers).filter(_.carrier.notnull()).select("order_id", "carrier")
    for view in VIEWS if has_carrier else VIEWS[:-1]:
        if view == "carrier":
            sold, back = (t.inner_join(carriers, "order_id") for t in (sold, back))
        until = as_of if view == "month" else ripe_on
        views.append(_view(sold.filter(_.on <= until), back.filter(_.on <= until), view))
    table = pd.concat(views, ignore_index=True).assign(basis="order" if is_linked else "booking")
    table = _with_shares(table, level)
    is_month = table.view == "month"
    ends = pd.to_datetime(table.key.where(is_month), format="%Y-%m") + pd.offsets.MonthEnd(0)
    is_young = is_month & (ends > Timestamp(ripe_on))
    table["status"] = np.where(is_young, "partial", "complete")
    table["place"] = table.view.map(VIEWS.index)
    table["dear"] = -table.returned.where(~is_month, 0.0)
    table = table.sort_values(["place", "dear", "key"], ignore_index=True)
    return table[tables.schema("customer_journey.returns").names]


def above_the_others(back: DataFrame) -> DataFrame:
    """The carriers of `returns` whose share given back lies, even at its low end, above
    `STANDS_OUT` times that of the others: key, n_returned, share, `others_share`, and
    `above`, the money beyond it a month of the orders counted.
    """
    rows = back[back["view"] == "carrier"]
    rest = rows[["sold", "returned"]].sum() - rows[["sold", "returned"]]
    others = rest.returned / rest.sold.where(rest.sold > 0)
    n_months = max(int(((back["view"] == "month") & (back.status == "complete")).sum()), 1)
    above = (rows.returned - others * rows.sold) / n_months
    rows = rows.assign(others_share=others, above=above)
    rows = rows[rows.low > STANDS_OUT * others]
    names = ["key", "n_returned", "share", "others_share", "above"]
    return rows[names].sort_values("above", ascending=False).head(MOST).reset_index(drop=True)


@tables.returns("customer_journey.service")
def service(tickets: Table, *, as_of: dt.date, level: float = 0.95) -> DataFrame:
    """The tickets of the report month by topic, beside a usual month's.

    A case still open has waited at least until as-of: it counts as longer than every
    answered one, so that a backlog cannot make the medians look quick; where half of
    all cases are open the median is missing.
    """
    start = Timestamp(as_of).replace(day=1)
    first = start - pd.DateOffset(months=BASELINE_MONTHS)
    cases = expression(tickets).filter(_.opened_at.date().between(first.date(), as_of))
    hours = {
        name: seconds_between(cases.opened_at, cases[f"{name}_at"]) / 3_600
        for name in ("first_reply", "closed")
    }
    cases = cases.select(
        **hours,
        topic=_.topic.fill_null("not stated"),
        is_now=_.opened_at.date() >= start.date(),
        reopened=one_if(cases.is_reopened).cast("float64"),
        csat=_.csat.cast("float64"),
    )
    frame = cases.order_by("topic", "first_reply", "closed").to_pandas()
    topics = [("all", frame), *frame.groupby("topic", sort=True)]
    rows = [{"topic": topic, **_topic(part, level)} for topic, part in topics]
    table = tables.frame_of("customer_journey.service", rows)
    return table.sort_values(
        ["tickets", "topic"],
        ascending=[False, True],
        ignore_index=True,
    )


@tables.returns("customer_journey.payments")
def payments(orders: Table, *, as_of: dt.date, level: float = 0.95) -> DataFrame:
    """Orders placed and not paid, by month and device.

    Orders younger than a day may still be paid and are left out. Orders cancelled
    before they were paid count.

    Raises:
        PlaybookError: no order carries a payment time, so an unpaid one cannot be told
            from an unrecorded one.
    """
    first = Timestamp(as_of).replace(day=1) - pd.DateOffset(months=PAYMENT_MONTHS - 1)
    last = as_of - dt.timedelta(days=GRACE_DAYS)
    placed = filled(expression(orders), "device")
    placed = placed.filter(_.ordered_on.between(first.date(), last))
    cells = placed.group_by("device", month=_.ordered_on.strftime("%Y-%m")).aggregate(
        orders=_.count(),
        unpaid=_.paid_at.isnull().sum(),
        lost=_.total.sum(where=_.paid_at.isnull()).cast("float64"),
    )
    by_device = cells.order_by("month", "device").to_pandas()
    if (by_device.unpaid == by_device.orders).all():
        raise PlaybookError(
            "customer_journey.no_payment",
            table="orders",
            column="paid_at",
        )
    whole = by_device.groupby("month", as_index=False)[["orders", "unpaid", "lost"]].sum()
    table = pd.concat([by_device, whole.assign(device="all")])
    table = table.sort_values(["month", "device"], ignore_index=True).fillna({"lost": 0.0})
    table["share"] = table.unpaid / table.orders
    table["low"], table["high"] = wilson(table.unpaid, table.orders, level)
    table["status"] = np.where(table.month == f"{as_of:%Y-%m}", "partial", "complete")
    return table[tables.schema("customer_journey.payments").names]


def _of_goods(lines: Table, back: Table) -> tuple[Table, Table]:
    """The lines of products, and the refunds that are not of something else: by their
    line where they name one, else by a sku under which no product is sold.
    """
    others = lines.filter(~_.is_product)
    goods = lines.filter(_.is_product)
    no_goods = distinct_rows(others.filter(_.sku.notnull()), "sku")
    no_goods = no_goods.anti_join(goods.filter(_.sku.notnull()), "sku")
    back = back.anti_join(others.select("order_id", "line_no"), ["order_id", "line_no"])
    return goods, back.anti_join(no_goods, "sku")


def _is_linked(back: Table) -> bool:
    """Does the source say which order (nearly) all refunded money belongs to?"""
    amount = back.amount.cast("float64")
    sums = back.aggregate(every=amount.sum(), linked=amount.sum(where=back.ordered_on.notnull()))
    money = sums.to_pandas().iloc[0].fillna(0.0)
    return bool(money["linked"] >= LEAST_LINKED * money["every"])


def _with_line_id(back: Table) -> Table:
    """Refunds with a name for the line they are of, or of their own where none is."""
    line_id = back.order_id + ":" + back.line_no.cast("string").fill_null("")
    own = back.refund_id if "refund_id" in back.columns else ibis.null("string")
    return back.mutate(line_id=ibis.coalesce(line_id, own))


def _view(sold: Table, back: Table, view: str) -> DataFrame:
    """Lines and money sold and given back, by month, reason or sku."""
    if view == "month":
        sold, back = (t.mutate(key=t.on.strftime("%Y-%m")) for t in (sold, back))
    else:
        # a line that was sold has no reason: every reason has all of them below it
        every = ibis.literal("all")
        sold = sold.mutate(key=every if view == "reason" else sold[view])
        back = back.mutate(key=back[view])
    base = sold.group_by("key").aggregate(n_lines=_.count(), sold=_.revenue.sum())
    given = back.group_by(key=back.key.fill_null("not stated")).aggregate(
        n_returned=_.line_id.nunique(), returned=_.amount.sum()
    )
    lines, money = (t.order_by("key").to_pandas() for t in (base, given))
    if view == "reason":
        both = money.merge(lines.drop(columns="key").reindex([0]), how="cross")
    else:
        both = lines.merge(money, how="left", on="key")
    return both.assign(view=view)


def _with_shares(table: DataFrame, level: float) -> DataFrame:
    """The share of money given back, with the interval of the lines' share."""
    counts, sums = ["n_lines", "n_returned"], ["sold", "returned"]
    table[counts] = table[counts].astype(float).fillna(0).astype("int64")
    table[sums] = table[sums].astype(float).fillna(0.0)
    share = table.returned / table.sold.where(table.sold > 0)
    n_back = np.minimum(table.n_returned, table.n_lines)
    low, high = wilson(n_back, table.n_lines, level)
    scale = share / (n_back / table.n_lines).where(n_back > 0)
    low = (low * scale).fillna(0.0).where(share.notna())
    is_share = table.returned <= table.sold
    # what comes back of a few dear lines may be most of the money, never more than all of it
    high = (high * scale.fillna(1.0)).clip(upper=1.0)
    shares = {"share": share, "low": low, "high": high}
    return table.assign(**{name: ends.where(is_share) for name, ends in shares.items()})


def _topic(cases: DataFrame, level: float) -> dict[str, float]:
    """One topic's month."""
    now = cases[cases.is_now]
    reopened = now.reopened.dropna()
    low, high = wilson(reopened.sum(), len(reopened), level)
    return {
        "tickets": len(now),
        "usual_tickets": (~cases.is_now).sum() / BASELINE_MONTHS,
        "first_reply_hours": _median(now.first_reply),
        "resolve_hours": _median(now.closed),
        "n_waiting": int(now.first_reply.isna().sum()),
        "reopened_share": reopened.mean(),
        "low": float(low),
        "high": float(high),
        "csat": now.csat.mean(),
        "n_csat": int(now.csat.notna().sum()),
    }


def _median(hours: pd.Series) -> float:
    """Median with what is missing counted as longer than all; missing itself where that
    is half or more.
    """
    middle = float(np.median(hours.fillna(np.inf))) if len(hours) else np.nan
    return middle if np.isfinite(middle) else np.nan
