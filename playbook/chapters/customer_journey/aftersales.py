"""After the order: what came back, who had to ask, who could not pay.

Every share waits until it could have happened: an order younger than the return window
says nothing about returns, a case still open has waited, an order of the last hours may
still be paid.
"""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.methods.proportions import wilson
from playbook.store import expression

__all__ = ["payments", "returns", "service"]


def returns(
    lines: Any,
    refunds: Any,
    *,
    as_of: Any,
    ripe_days: int = 60,
    months: int = 12,
    level: float = 0.95,
) -> pd.DataFrame:
    """Money given back on goods, by month of the order, by reason and by sku: `view,
    key, basis, n_lines, n_returned, sold, returned, share, low, high, status`.

    share = refunded amount of orders placed in the period / their revenue, `returned`
    whenever it was booked up to as-of. low and high are Wilson's of lines returned over
    lines sold, carried to money by share / line share. Months whose last day is younger
    than `ripe_days` are `partial`: their share will rise. Reasons and skus count only
    orders old enough, of the last `months` and three more; the base of a reason is all
    sold. Cancellations are no returns.

    Where the source does not say which order more than a twentieth of the money belongs
    to, `basis` is `booking` instead of `order`: refunds count in the period they were
    booked in, against that period's sales, which is another figure
    (refund_share_booked) and not comparable; a share of returns by order is then not
    observed. `lines`: sales_lines; `refunds`: booked_refunds (order_id, line_no, sku,
    ordered_on, refunded_on, amount, kind, reason).
    """
    day = pd.Timestamp(as_of)
    first = (day + pd.Timedelta(days=1) - pd.DateOffset(months=months + 3)).replace(day=1).date()
    back = expression(refunds).filter(_.kind != "cancellation")
    money = (
        back.aggregate(
            every=_.amount.cast("float64").sum(),
            linked=_.amount.cast("float64").sum(where=_.ordered_on.notnull()),
        )
        .to_pandas()
        .iloc[0]
        .fillna(0.0)
    )
    is_linked = money["linked"] >= 0.95 * money["every"]
    back = back.mutate(on=back.ordered_on if is_linked else back.refunded_on)
    ripe = (day - pd.Timedelta(days=ripe_days if is_linked else 0)).date()
    sold = expression(lines).mutate(on=_.ordered_on)
    sold, back = (
        t.filter((t.on >= ibis.literal(first)) & (t.on <= ibis.literal(day.date())))
        for t in (sold, back)
    )
    line_id = back.order_id + ":" + back.line_no.cast("string").fill_null("")
    back = back.mutate(
        line_id=ibis.coalesce(line_id, back.refund_id) if "refund_id" in back.columns else line_id
    )
    frames = []
    for view in ("month", "reason", "sku"):
        s, b = (
            t if view == "month" else t.filter(t.on <= ibis.literal(ripe)) for t in (sold, back)
        )
        keys = [
            t.on.strftime("%Y-%m")
            if view == "month"
            else (ibis.literal("all") if view == "reason" and t is s else t[view])
            for t in (s, b)
        ]
        base = s.group_by(key=keys[0]).aggregate(n_lines=_.count(), sold=_.revenue.sum())
        given = b.group_by(key=keys[1].fill_null("not stated")).aggregate(
            n_returned=_.line_id.nunique(), returned=_.amount.sum()
        )
        base, given = (t.order_by("key").to_pandas() for t in (base, given))
        if view == "reason":
            whole = base.iloc[0] if len(base) else {"n_lines": 0, "sold": 0}
            both = given.assign(n_lines=whole["n_lines"], sold=whole["sold"])
        else:
            both = base.merge(given, how="left", on="key")
        frames.append(both.assign(view=view))
    table = pd.concat(frames, ignore_index=True).assign(basis="order" if is_linked else "booking")
    counts, sums = ["n_lines", "n_returned"], ["sold", "returned"]
    table[counts] = table[counts].astype(float).fillna(0).astype("int64")
    table[sums] = table[sums].astype(float).fillna(0.0)
    table["share"] = table["returned"] / table["sold"].where(table["sold"] > 0)
    n_back = np.minimum(table["n_returned"], table["n_lines"])
    low, high = wilson(n_back, table["n_lines"], level)
    scale = table["share"] / (n_back / table["n_lines"]).where(n_back > 0)
    table["low"], table["high"] = (
        (low * scale).fillna(0.0).where(table["share"].notna()),
        high * scale.fillna(1.0),
    )
    end = pd.to_datetime(
        table["key"].where(table["view"] == "month"), format="%Y-%m"
    ) + pd.offsets.MonthEnd(0)
    table["status"] = np.where(
        (table["view"] == "month") & (end > pd.Timestamp(ripe)), "partial", "complete"
    )
    order = table["view"].map({"month": 0, "reason": 1, "sku": 2})
    by_money = table["returned"].where(table["view"] != "month", 0.0)
    table = table.assign(order=order, by_money=-by_money).sort_values(
        ["order", "by_money", "key"], ignore_index=True
    )
    return table[["view", "key", "basis", *counts, *sums, "share", "low", "high", "status"]]


def service(
    tickets: Any, *, as_of: Any, baseline_months: int = 3, level: float = 0.95
) -> pd.DataFrame:
    """One row per topic of the report month, and `all`: tickets, usual_tickets (a
    month, over the months before), first_reply_hours and resolve_hours (medians),
    n_waiting (no reply yet), reopened_share, low, high, csat, n_csat.

    A case still open has waited at least until as-of: it counts as longer than every
    answered one, so that a backlog cannot make the medians look quick; where half of
    all cases are open the median is missing.
    """
    day = pd.Timestamp(as_of)
    start = day.replace(day=1)
    t = expression(tickets).filter(
        (_.opened_at.date() <= ibis.literal(day.date()))
        & (
            _.opened_at.date()
            >= ibis.literal((start - pd.DateOffset(months=baseline_months)).date())
        )
    )
    hours = {
        c: t[f"{c}_at"].delta(t.opened_at, unit="second") / 3600 for c in ("first_reply", "closed")
    }
    is_now = t.opened_at.date() >= ibis.literal(start.date())
    t = t.mutate(is_now=is_now, topic=t.topic.fill_null("not stated"), **hours)
    frame = (
        t.select(
            "topic",
            "is_now",
            "first_reply",
            "closed",
            reopened=t.is_reopened.cast("float64"),
            csat=t.csat.cast("float64"),
        )
        .order_by("topic", "first_reply", "closed")
        .to_pandas()
    )
    rows = []
    for topic, part in [("all", frame), *frame.groupby("topic", sort=True)]:
        now = part[part["is_now"]]
        known = now["reopened"].dropna()
        low, high = wilson(known.sum(), len(known), level)
        rows.append(
            {
                "topic": topic,
                "tickets": len(now),
                "usual_tickets": (~part["is_now"]).sum() / baseline_months,
                "first_reply_hours": _median(now["first_reply"]),
                "resolve_hours": _median(now["closed"]),
                "n_waiting": int(now["first_reply"].isna().sum()),
                "reopened_share": known.mean() if len(known) else np.nan,
                "low": float(low),
                "high": float(high),
                "csat": now["csat"].mean(),
                "n_csat": int(now["csat"].notna().sum()),
            }
        )
    return pd.DataFrame(rows).sort_values(
        ["tickets", "topic"], ascending=[False, True], ignore_index=True
    )


def payments(
    orders: Any, *, as_of: Any, months: int = 13, grace_days: int = 1, level: float = 0.95
) -> pd.DataFrame:
    """One row per month and device (`all` too): orders placed, unpaid (no payment),
    share, low, high, lost (their total), status `partial` in the month of as-of until
    `grace_days` have passed for all its orders.

    Orders younger than `grace_days` may still be paid and are left out. Orders
    cancelled before they were paid count.

    Raises:
        PlaybookError: no order carries a payment time, so an unpaid one cannot be told from an unrecorded one.
    """
    day = pd.Timestamp(as_of)
    first = (day.replace(day=1) - pd.DateOffset(months=months - 1)).date()
    o = expression(orders).filter(
        (_.ordered_on >= ibis.literal(first))
        & (_.ordered_on <= ibis.literal((day - pd.Timedelta(days=grace_days)).date()))
    )
    o = o.mutate(
        device=o.device.fill_null("unknown") if "device" in o.columns else ibis.literal("unknown")
    )
    cells = o.group_by("device", month=o.ordered_on.strftime("%Y-%m")).aggregate(
        orders=_.count(),
        unpaid=_.paid_at.isnull().sum(),
        lost=_.total.sum(where=_.paid_at.isnull()).cast("float64"),
    )
    cells = cells.order_by("month", "device").to_pandas()
    if not len(cells) or (cells["unpaid"] == cells["orders"]).all():
        raise PlaybookError(
            "no order carries the time it was paid",
            table="orders",
            column="paid_at",
            do="import paid_at, or leave this section out",
        )
    whole = (
        cells.groupby("month", as_index=False)[["orders", "unpaid", "lost"]]
        .sum()
        .assign(device="all")
    )
    table = (
        pd.concat([cells, whole])
        .sort_values(["month", "device"], ignore_index=True)
        .fillna({"lost": 0.0})
    )
    table["share"] = table["unpaid"] / table["orders"]
    table["low"], table["high"] = wilson(table["unpaid"], table["orders"], level)
    table["status"] = np.where(table["month"] == f"{day:%Y-%m}", "partial", "complete")
    return table[["month", "device", "orders", "unpaid", "share", "low", "high", "lost", "status"]]


def _median(hours: pd.Series) -> float:
    """Median with what is missing counted as longer than all; missing itself where that
    is half or more.
    """
    found = float(np.median(hours.fillna(np.inf))) if len(hours) else np.nan
    return found if np.isfinite(found) else np.nan
