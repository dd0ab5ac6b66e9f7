"""Cumulative margin per newly won customer by month of age, and the month in which it
covers what they cost.

Paper: Lawless & Nadeau (1995), "Some Simple Robust Methods for the Analysis of
Recurrent Events", Technometrics 37(2): the mean cumulative function. Each month of age
is averaged over the customers who have lived it to its end, so that young cohorts never
pull the curve down; its spread is that of the customers' own cumulative margins.
"""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.store import expression

__all__ = ["MONTH_DAYS", "margin_by_age", "margin_curve", "monthly_spend", "pay_row"]

MONTH_DAYS = 365.25 / 12
MONEY = "decimal(18, 6)"  # exact sums: the same whatever the order of the rows


def margin_curve(
    customer_days: Any, acquisitions: Any, *, as_of: Any, max_months: int
) -> pd.DataFrame:
    """channel, cohort, k: n (customers), cumulative margin and its sum of squares by
    age month, is_complete (every customer of the cohort has lived month k to its end by
    as-of).
    """
    day = pd.Timestamp(as_of)
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
    days = expression(customer_days)
    days = days.select("customer_id", day_on=_.day_on.cast("date"), margin=_.margin.cast(MONEY))
    days = days.filter(_.day_on <= ibis.literal(day.date()))
    aged = days.inner_join(born, "customer_id")
    aged = aged.filter(aged.day_on >= aged.acquired_on)
    aged = aged.mutate(
        k=(aged.day_on.delta(aged.acquired_on, unit="day") / MONTH_DAYS).floor().cast("int64")
    )
    per = (
        aged.filter(_.k < max_months)
        .group_by("customer_id", "channel", "cohort", "k")
        .aggregate(
            add=_.margin.sum().fill_null(0), n_unknown=_.margin.isnull().sum(), n_rows=_.count()
        )
    )
    until_k = ibis.window(group_by=per.customer_id, order_by=per.k, preceding=None, following=0)
    per = per.mutate(now=per.add.sum().over(until_k).cast("float64"))
    before = per.now - per.add.cast("float64")
    per = per.mutate(square=(per.now * per.now - before * before).cast("decimal(38, 6)"))
    steps = (
        per.group_by("channel", "cohort", "k")
        .aggregate(
            add=_.add.sum().cast("float64"),
            square=_.square.sum().cast("float64"),
            n_unknown=_.n_unknown.sum(),
            n_rows=_.n_rows.sum(),
        )
        .order_by("channel", "cohort", "k")
        .to_pandas()
    )
    if len(steps) and steps["n_unknown"].sum() == steps["n_rows"].sum():
        raise PlaybookError(
            "payback needs margins, and no line of this shop has a cost",
            table="customer_days",
            column="margin",
            do="add unit_cost to products or order_lines",
        )
    sizes = (
        born.group_by("channel", "cohort")
        .aggregate(n=_.count())
        .order_by("channel", "cohort")
        .to_pandas()
    )
    ends = pd.PeriodIndex(sizes["cohort"], freq="M").to_timestamp(how="end").normalize()
    lived = (
        np.floor(((day - ends).days.to_numpy() + 1) / MONTH_DAYS).clip(0, max_months).astype(int)
    )
    grid = sizes.loc[sizes.index.repeat(max_months)].assign(
        k=np.tile(np.arange(max_months), len(sizes))
    )
    grid = grid.assign(is_complete=grid["k"].to_numpy() < np.repeat(lived, max_months))
    out = grid.merge(steps, on=["channel", "cohort", "k"], how="left").fillna(
        {"add": 0.0, "square": 0.0}
    )
    out[["margin", "square"]] = out.groupby(["channel", "cohort"])[["add", "square"]].cumsum()
    return out


def margin_by_age(
    customer_days: Any, acquisitions: Any, *, as_of: Any, max_months: int = 24, level: float = 0.8
) -> pd.DataFrame:
    """Cumulative margin per newly won customer by channel and month of age: channel,
    month (1 = the first), n_customers (who have lived it), margin_per_customer, low,
    high. Months nobody has lived to the end are not there.
    """
    curve = margin_curve(customer_days, acquisitions, as_of=as_of, max_months=max_months)
    frames = []
    for channel, part in curve[curve["is_complete"]].groupby("channel", sort=True):
        frames.append(_mean_curve(part, level).assign(channel=channel))
    columns = ["channel", "month", "n_customers", "margin_per_customer", "low", "high"]
    return (
        pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    )


def _mean_curve(part: pd.DataFrame, level: float) -> pd.DataFrame:
    """Each month of age from the cohorts that have lived it; the spread from those that
    got as far.
    """
    from scipy.stats import norm

    done = part.groupby("k")[["n", "add", "margin", "square"]].sum()
    mean, own = (done["add"] / done["n"]).cumsum(), done["margin"] / done["n"]
    error = np.sqrt(np.maximum(done["square"] / done["n"] - own**2, 0) / done["n"]) * norm.ppf(
        0.5 + level / 2
    )
    return pd.DataFrame(
        {
            "month": done.index + 1,
            "n_customers": done["n"],
            "margin_per_customer": mean,
            "low": mean - error,
            "high": mean + error,
        }
    ).reset_index(drop=True)


def monthly_spend(spend: Any, as_of: Any) -> pd.DataFrame:
    """channel, cohort (month), spend; negative bookings (credits) lower it."""
    t = expression(spend).filter(_.day_on.cast("date") <= ibis.literal(pd.Timestamp(as_of).date()))
    t = t.group_by("channel", cohort=_.day_on.cast("date").strftime("%Y-%m"))
    t = t.aggregate(spend=_.spend.cast(MONEY).sum().cast("float64"))
    return t.order_by("channel", "cohort").to_pandas()


def pay_row(part: pd.DataFrame, spent: float, is_covered: bool, level: float) -> dict:
    """One row of `ltv.payback` from the curve cells of one channel and one cohort (or
    all cohorts with known spend).
    """
    n = int(part.loc[part["k"] == 0, "n"].sum())
    row = dict.fromkeys(
        (
            "spend",
            "ncac",
            "margin_per_customer",
            "low",
            "high",
            "payback_months",
            "payback_low",
            "payback_high",
        ),
        np.nan,
    ) | {"n_customers": n, "months_observed": 0, "status": "no spend"}
    curve = _mean_curve(part[part["is_complete"]], level)
    if len(curve):
        last = curve.iloc[-1]
        row |= {"months_observed": int(last["month"])} | {
            c: last[c] for c in ("margin_per_customer", "low", "high")
        }
    if not is_covered:
        return row | {"status": "spend not covered"}
    if spent > 0:
        row |= {
            "spend": spent,
            "ncac": spent / n if n else np.nan,
            "status": "unobserved" if n else "no new customers",
        }
    if not spent > 0 or n == 0 or not len(curve):
        return row

    def first(column: str) -> float:
        reached = curve.loc[curve[column] >= spent / n, "month"]
        return float(reached.iloc[0]) if len(reached) else np.nan

    mid = first("margin_per_customer")
    return row | {
        "payback_months": mid,
        "payback_low": first("high"),
        "payback_high": first("low"),
        "status": "paid back" if mid == mid else "not yet",
    }
