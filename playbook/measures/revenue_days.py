"""Net revenue by day and by whole month, and the promotions of each day: what the
forecaster is fed.

Net revenue is after discounts and less refunds on the day they are booked, so the days
add up to the ledger's last row.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from playbook.store import expression

__all__ = ["by_month", "daily_revenue", "promotion_calendar"]


def daily_revenue(
    sales_orders: Any, *, as_of: dt.date | str, observed_from: dt.date | str, refunds: Any = None
) -> pd.DataFrame:
    """One row per day from `observed_from` to `as_of`: period_on, amount (net revenue),
    orders.

    A day inside the log without an order is a zero: the shop was there and sold
    nothing. `refunds` lower the day they were booked on.
    """
    t = expression(sales_orders)
    sold = t.group_by(day=t.ordered_on).aggregate(
        sold=t.revenue.sum().cast("float64"), orders=t.count()
    )
    sold = sold.order_by("day").to_pandas().set_index("day")
    back = pd.Series(dtype=float)
    if refunds is not None:
        r = expression(refunds)
        booked = (
            r.group_by(day=r.refunded_on)
            .aggregate(back=r.amount.sum().cast("float64"))
            .order_by("day")
        )
        back = booked.to_pandas().set_index("day")["back"].astype(float)
    days = pd.date_range(observed_from, as_of)
    for part in (sold, back):
        part.index = pd.to_datetime(part.index)
    sold = sold.reindex(days, fill_value=0)
    amount = sold["sold"].to_numpy(float) - back.reindex(days, fill_value=0.0).to_numpy(float)
    return pd.DataFrame(
        {"period_on": days, "amount": amount, "orders": sold["orders"].to_numpy("int64")}
    )


def by_month(daily: pd.DataFrame, *, columns: tuple[str, ...] = ("amount",)) -> pd.DataFrame:
    """Whole months only: month (YYYY-MM), period_on (its first day) and the sums of
    `columns`. A first month counts as whole when the log starts within its first three
    days.
    """
    period = pd.PeriodIndex(daily["period_on"], freq="M")
    sums = daily.groupby(period)[list(columns)].sum()
    first, last = daily["period_on"].min(), daily["period_on"].max()
    whole = (sums.index.end_time.normalize() <= last) & (
        sums.index.start_time >= first - pd.Timedelta(days=3)
    )
    out = sums[whole]
    return pd.DataFrame(
        {
            "month": out.index.astype(str),
            "period_on": out.index.start_time,
            **{c: out[c].to_numpy() for c in columns},
        }
    )


def promotion_calendar(
    promotions: Any, *, first: dt.date | str, last: dt.date | str
) -> pd.DataFrame:
    """One row per day: period_on, promotion (deepest discount running, as a share of
    the deepest ever) and after_promotion (the fortnight after one, when demand that was
    pulled forward is missing).
    """
    days = pd.date_range(first, last)
    out = pd.DataFrame({"period_on": days, "promotion": 0.0, "after_promotion": 0.0})
    t = (
        expression(promotions)
        .select("promo_id", "starts_on", "ends_on", "depth_share")
        .order_by("promo_id")
    )
    t = t.to_pandas()
    depth = (
        t["depth_share"].astype(float).fillna(t["depth_share"].astype(float).median()).fillna(1.0)
    )
    for start, end, deep in zip(
        pd.to_datetime(t["starts_on"]), pd.to_datetime(t["ends_on"]), depth, strict=True
    ):
        during, after = (
            (days >= start) & (days <= end),
            (days > end) & (days <= end + pd.Timedelta(days=14)),
        )
        out.loc[during, "promotion"] = np.maximum(out.loc[during, "promotion"], deep)
        out.loc[after, "after_promotion"] = np.maximum(out.loc[after, "after_promotion"], deep)
    top = max(depth.max(), 1e-9) if len(depth) else 1.0
    return out.assign(
        promotion=out["promotion"] / top, after_promotion=out["after_promotion"] / top
    )
