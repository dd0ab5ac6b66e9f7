"""Cumulative margin per newly won customer by month of age, and the month in which it
covers what they cost.

Paper: Lawless & Nadeau (1995), "Some Simple Robust Methods for the Analysis of
Recurrent Events", Technometrics 37(2): the mean cumulative function. Each month of age
is averaged over the customers who have lived it to its end, so that young cohorts never
pull the curve down. Its spread is that of the customers' own cumulative margins.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Timestamp

from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.measures.acquisition import spend_by_month
from playbook.measures.ad_spend import SpendLog
from playbook.measures.customer_windows import MONEY, Table
from playbook.store import expression

__all__ = [
    "MONTH_DAYS",
    "margin_by_age",
    "margin_curve",
    "monthly_spend",
    "normal_width",
    "pay_row",
]

MONTH_DAYS = 365.25 / 12
CURVE = ["channel", "month", "n_customers", "margin_per_customer", "low", "high"]


@dated
def margin_curve(
    customer_days: Table, acquisitions: Table, *, as_of: dt.date, max_months: int
) -> DataFrame:
    """One row per channel, cohort and month of age k: n (customers), cumulative margin
    and its sum of squares, is_complete (every customer of the cohort has lived month k
    to its end by as-of).
    """
    day = Timestamp(as_of)
    born = (
        expression(acquisitions)
        .filter(~_.is_left_truncated.fill_null(False))
        .select(
            "customer_id",
            acquired_on=_.acquired_on.cast("date"),
            channel=_.channel.fill_null("unknown"),
            cohort=_.acquired_on.cast("date").strftime("%Y-%m"),
        )
        .filter(_.acquired_on <= ibis.literal(day.date()))
    )
    steps = _margin_steps(
        customer_days,
        born,
        day,
        max_months,
    )
    if len(steps) and steps.n_unknown.sum() == steps.n_rows.sum():
        raise PlaybookError("ltv_modelling.no_margin", table="customer_days", column="margin")
    keys = ["channel", "cohort"]
    sizes = born.group_by(keys).aggregate(n=_.count()).order_by(keys).to_pandas()
    ends = pd.PeriodIndex(sizes.cohort, freq="M").to_timestamp(how="end").normalize()
    lived = np.floor(((day - ends).days.to_numpy() + 1) / MONTH_DAYS).clip(0, max_months)
    k = np.tile(np.arange(max_months), len(sizes))
    grid = sizes.loc[sizes.index.repeat(max_months)]
    grid = grid.assign(k=k, is_complete=k < np.repeat(lived, max_months))
    out = grid.merge(steps, on=[*keys, "k"], how="left")
    out = out.fillna({"add": 0.0, "square": 0.0})
    out[["margin", "square"]] = out.groupby(keys)[["add", "square"]].cumsum()
    return out


def _margin_steps(
    customer_days: Table, born: ibis.Table, day: Timestamp, max_months: int
) -> DataFrame:
    """What each month of age adds to the cumulative margin of a channel and cohort, and
    to its sum of squares over customers; rows, and those of unknown margin.
    """
    days = expression(customer_days)
    days = days.select(
        "customer_id",
        day_on=_.day_on.cast("date"),
        margin=_.margin.cast(MONEY),
    )
    days = days.filter(_.day_on <= ibis.literal(day.date()))
    aged = days.inner_join(born, "customer_id").filter(_.day_on >= _.acquired_on)
    age = aged.day_on.delta(aged.acquired_on, unit="day") / MONTH_DAYS
    per = (
        aged.mutate(k=age.floor().cast("int64"))
        .filter(_.k < max_months)
        .group_by("customer_id", "channel", "cohort", "k")
        .aggregate(
            add=_.margin.sum().fill_null(0), n_unknown=_.margin.isnull().sum(), n_rows=_.count()
        )
    )
    until_k = ibis.window(
        group_by=per.customer_id,
        order_by=per.k,
        preceding=None,
        following=0,
    )
    per = per.mutate(now=per.add.sum().over(until_k).cast("float64"))
    before = per.now - per.add.cast("float64")
    per = per.mutate(square=(per.now * per.now - before * before).cast("decimal(38, 6)"))
    cells = per.group_by("channel", "cohort", "k").aggregate(
        add=_.add.sum().cast("float64"),
        square=_.square.sum().cast("float64"),
        n_unknown=_.n_unknown.sum(),
        n_rows=_.n_rows.sum(),
    )
    return cells.order_by("channel", "cohort", "k").to_pandas()


@dated
def margin_by_age(
    customer_days: Table, acquisitions: Table, *, as_of: dt.date, level: float = 0.8
) -> DataFrame:
    """Cumulative margin per newly won customer by channel and month of age: channel,
    month (1 = the first), n_customers (who have lived it), margin_per_customer, low,
    high. Months nobody has lived to the end are not there.
    """
    curve = margin_curve(
        customer_days,
        acquisitions,
        as_of=as_of,
        max_months=24,
    )
    parts = [
        _mean_curve(part, level).assign(channel=channel)
        for channel, part in curve[curve.is_complete].groupby("channel", sort=True)
    ]
    return pd.concat(parts, ignore_index=True)[CURVE] if parts else DataFrame(columns=CURVE)


def _mean_curve(part: DataFrame, level: float) -> DataFrame:
    """Each month of age from the cohorts that have lived it; the spread from those that
    got as far.
    """
    k, at = np.unique(part.k.to_numpy(), return_inverse=True)
    n, add, margin, square = (
        np.bincount(at, part[name].to_numpy(float), len(k))
        for name in ("n", "add", "margin", "square")
    )
    mean, own = (add / n).cumsum(), margin / n
    error = np.sqrt(np.maximum(square / n - own**2, 0) / n) * normal_width(level)
    return DataFrame(
        {
            "month": k + 1,
            "n_customers": n.astype(int),
            "margin_per_customer": mean,
            "low": mean - error,
            "high": mean + error,
        }
    )


def normal_width(level: float) -> float:
    """Standard errors either side that hold `level` of a normal."""
    from scipy.stats import norm

    return float(norm.ppf(0.5 + level / 2))


@dated
def monthly_spend(spend: Table | SpendLog, as_of: dt.date) -> DataFrame:
    """channel, cohort (month), spend; negative bookings (credits) lower it. Of a cleaned
    log the spend of a month that is not known day by day is missing.
    """
    if isinstance(spend, SpendLog):
        months = spend_by_month(spend).rename(columns={"month": "cohort"})
        return months[["channel", "cohort", "spend"]]
    t = expression(spend).filter(_.day_on.cast("date") <= ibis.literal(Timestamp(as_of).date()))
    t = t.group_by("channel", cohort=_.day_on.cast("date").strftime("%Y-%m"))
    t = t.aggregate(spend=_.spend.cast(MONEY).sum().cast("float64"))
    return t.order_by("channel", "cohort").to_pandas()


def pay_row(
    part: DataFrame, spent: float, is_covered: bool, level: float, cost: float | None = None
) -> dict:
    """What is known for one row of `ltv.payback`, from the curve cells of one channel
    and one cohort (or all cohorts with known spend). `cost`: of a new customer, where it
    is not `spent` over the customers of these cells.
    """
    n = int(part.loc[part.k == 0, "n"].sum())
    row = {"n_customers": n, "months_observed": 0, "status": "no spend"}
    curve = _mean_curve(part[part.is_complete], level)
    if len(curve):
        last = curve.iloc[-1]
        row["months_observed"] = int(last["month"])
        row |= last[["margin_per_customer", "low", "high"]].to_dict()
    if not is_covered:
        return row | {"status": "spend not covered"}
    if not spent > 0:
        return row
    row["spend"] = spent
    if n == 0:
        return row | {"status": "no new customers"}
    row["ncac"] = cost = spent / n if cost is None else cost
    if len(curve) == 0:
        return row | {"status": "unobserved"}

    def first(column: str) -> float:
        return float(curve.loc[curve[column] >= cost, "month"].min())

    month = first("margin_per_customer")
    return row | {
        "payback_months": month,
        "payback_low": first("high"),
        "payback_high": first("low"),
        "status": "not yet" if np.isnan(month) else "paid back",
    }
