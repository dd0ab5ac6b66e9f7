"""Net revenue by day and by whole month, and the promotions of each day: what the
forecaster is fed.

Net revenue is after discounts and less refunds on the day they are booked, so the days
add up to the ledger's last row.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame

from playbook.given import dated
from playbook.measures.sums import sums_by, total
from playbook.store import expression

__all__ = [
    "by_month",
    "daily_revenue",
    "promotion_calendar",
    "sums_by_day",
]

#: a first month that lacks no more days than this counts as whole
LATE_START = pd.Timedelta(days=3)
#: how long demand pulled forward by a promotion is missing after it
AFTER_PROMOTION = pd.Timedelta(days=14)


@dated
def daily_revenue(
    sales_orders: Table | DataFrame,
    *,
    as_of: dt.date | str,
    observed_from: dt.date | str,
    refunds: Table | None = None,
) -> DataFrame:
    """One row per day from `observed_from` to `as_of`:

    - period_on: the day
    - amount: net revenue
    - orders: number of orders

    A day inside the log without an order is a zero: the shop was there and sold
    nothing. `refunds` lower the day they were booked on.
    """
    days = pd.date_range(observed_from, as_of, name="period_on")
    sold = sums_by_day(
        sales_orders,
        "ordered_on",
        days,
        amount=total("revenue"),
        orders=_.count(),
    )
    if refunds is not None:
        back = sums_by_day(
            refunds,
            "refunded_on",
            days,
            amount=total("amount"),
        )
        sold["amount"] -= back.amount
    return sold.reset_index().astype({"orders": "int64"})


def sums_by_day(
    table: Table,
    day: str,
    days: pd.DatetimeIndex,
    **sums: ibis.Value,
) -> DataFrame:
    """The sums of a table by its column `day`, one row for each of `days`; 0 on a day
    without rows.
    """
    frame = sums_by(expression(table), day, **sums).set_index(day)
    return frame.set_index(pd.to_datetime(frame.index)).reindex(days).fillna(0.0)


def by_month(daily: DataFrame, *, columns: tuple[str, ...] = ("amount",)) -> DataFrame:
    """Whole months only: month (YYYY-MM), period_on (its first day) and the sums of
    `columns`. A first month counts as whole when the log starts within its first days.
    """
    days = daily.period_on
    sums = daily.groupby(pd.PeriodIndex(days, freq="M"))[list(columns)].sum()
    starts, ends = (
        sums.index.start_time,
        sums.index.end_time.normalize(),
    )
    sums.insert(0, "month", sums.index.astype(str))
    sums.insert(1, "period_on", starts)
    is_whole = (ends <= days.max()) & (starts >= days.min() - LATE_START)
    return sums[is_whole].reset_index(drop=True)


def promotion_calendar(
    promotions: Table, *, first: dt.date | str, last: dt.date | str
) -> DataFrame:
    """One row per day from `first` to `last`:

    - period_on: the day
    - promotion: deepest discount running, as a share of the deepest ever
    - after_promotion: the same for the fortnight after a promotion, when demand that
      was pulled forward is missing
    """
    days = pd.date_range(first, last)
    plan = (
        expression(promotions)
        .select(
            "starts_on",
            "ends_on",
            "depth_share",
        )
        .to_pandas()
    )
    depth = plan.depth_share.astype(float)
    depth = depth.fillna(depth.median()).fillna(1.0)
    during, after = np.zeros(len(days)), np.zeros(len(days))
    starts, ends = (
        pd.to_datetime(plan.starts_on),
        pd.to_datetime(plan.ends_on),
    )
    for start, end, deep in zip(starts, ends, depth, strict=True):
        runs = (days >= start) & (days <= end)
        is_after = (days > end) & (days <= end + AFTER_PROMOTION)
        during = np.maximum(during, deep * runs)
        after = np.maximum(after, deep * is_after)
    top = max(depth.max(), 1e-9) if len(depth) else 1.0
    return DataFrame(
        {
            "period_on": days,
            "promotion": during / top,
            "after_promotion": after / top,
        }
    )
