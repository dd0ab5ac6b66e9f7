"""What a new customer costs: one cleaned log of spend, one stated recent window, read by
every chapter that names such a cost.

The window of a channel is its newest three complete months with spend known day by day:
complete means that refunds have had time to come in. A month with a hole in the extract
is left out, not counted as cheap.
"""

from __future__ import annotations

import pandas as pd
from pandas import DataFrame, Series

from playbook.measures.ad_spend import SpendLog

__all__ = [
    "LEAST_NEW",
    "RECENT_MONTHS",
    "cost_of_new",
    "judged_months",
    "recent_cost",
    "spend_by_month",
]

#: newest complete months a channel is judged on
RECENT_MONTHS = 3
#: new customers of the window below which no cost of one is judged
LEAST_NEW = 30


def spend_by_month(log: SpendLog) -> DataFrame:
    """One row per channel and month of its span: channel, month, spend and clicks (spend
    missing where the extract does not know the month day by day), is_spend_known.
    """
    month = log.daily.day_on.dt.strftime("%Y-%m").rename("month")
    days = log.daily.groupby(["channel", month])
    sums = days[["spend", "clicks"]].sum(min_count=1).reset_index()
    ends = pd.PeriodIndex(sums.month, freq="M").end_time.normalize()
    is_whole = days.day_on.max().to_numpy() == ends
    is_known = days.is_known.all().to_numpy() & is_whole
    return sums.assign(spend=sums.spend.where(is_known), is_spend_known=is_known)


def judged_months(part: DataFrame, n_months: int = RECENT_MONTHS) -> DataFrame:
    """The months one channel is judged on: its newest `n_months` complete ones with known
    spend; where none is complete the newest there are. `part`: is_spend_known, spend,
    status of one channel, in order.
    """
    usable = part[part.is_spend_known | part.spend.isna().all()]
    ripe = usable[usable.status == "complete"]
    return next((some for some in (ripe, usable) if len(some)), part).tail(n_months)


def cost_of_new(spend: Series, new_customers: Series) -> DataFrame:
    """ncac, ncac_low, ncac_high: spend over new customers and its 90 % interval (of the
    Poisson count of customers); missing without spend or customers.
    """
    from scipy.special import gammaincinv

    paid = spend.where(spend > 0)
    won = new_customers.where(new_customers > 0).astype(float)
    return DataFrame(
        {
            "ncac": paid / won,
            "ncac_low": paid / gammaincinv(new_customers + 1, 0.95),
            "ncac_high": paid / gammaincinv(won, 0.05),
        }
    )


def recent_cost(months: DataFrame, *, n_months: int = RECENT_MONTHS) -> DataFrame:
    """One row per channel: channel, first_month, last_month, spend, new_customers, ncac,
    ncac_low, ncac_high over its window. `months`: channel_roi.channels.channel_months.
    """
    rows = []
    for channel, part in months.groupby("channel", sort=True):
        window = judged_months(part, n_months)
        spend = window.spend.sum(min_count=len(window))
        span = window.month.min(), window.month.max()
        rows.append((channel, *span, spend, window.new_customers.sum()))
    columns = ["channel", "first_month", "last_month", "spend", "new_customers"]
    table = DataFrame(rows, columns=columns).astype({"spend": float, "new_customers": float})
    return table.join(cost_of_new(table.spend, table.new_customers))
