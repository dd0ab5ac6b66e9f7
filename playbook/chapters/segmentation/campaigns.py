"""What the shop's own campaigns brought: treated against held out, cost taken off, per
customer asked.

Only customers drawn into the hold-out say what the others would have done anyway. The
interval of the difference of means is Student's, with one variance for both arms: few
customers buy in a month, and a small hold-out in which by chance nobody did would have no
spread of its own (Welch's interval then called one in three campaigns that changed nothing
won, where one in ten is meant). Sums by arm are exact decimals, so that the order of rows
changes nothing.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Timestamp

from playbook.chapters.segmentation.segments import rfm
from playbook.given import dated
from playbook.measures.customer_windows import MONEY
from playbook.store import expression
from playbook.tables import frame_of, returns

__all__ = ["beside", "campaign_readings", "campaign_returns"]

ARMS = ["treated", "holdout"]
#: days from assignment on in which money counts, and level of the interval
DAYS, LEVEL = 30, 0.8


@dated
def campaign_returns(treatments: Table, customer_days: Table, *, as_of: date) -> DataFrame:
    """One row per campaign, by day and name: treatment_id, assigned_on, n_treated,
    n_holdout, treated and holdout (margin per customer in the 30 days from assignment
    on), cost (per treated customer), net (difference less cost) with low and
    high (80 %), p_gain (chance that net is above 0), status.

    Status is `complete`, `partial` while the days are not over, or `no hold-out` (under
    two customers in an arm): then net and what follows is missing. Customers who bought
    nothing count with 0.
    """
    day = Timestamp(as_of)
    sums = _sums_by_arm(treatments, customer_days, day)
    rows = []
    for name, arms in sums.groupby("treatment_id"):
        assigned_on = Timestamp(arms.assigned_on.min())
        row = _gain(arms.set_index("arm").reindex(ARMS))
        if not row["status"]:
            is_over = assigned_on + pd.Timedelta(days=DAYS) <= day + pd.Timedelta(days=1)
            row["status"] = "complete" if is_over else "partial"
        rows.append({"treatment_id": name, "assigned_on": assigned_on} | row)
    columns = [
        "treatment_id",
        "assigned_on",
        "n_treated",
        "n_holdout",
        "treated",
        "holdout",
    ]
    columns += ["cost", "net", "low", "high", "p_gain", "status"]
    table = DataFrame(rows, columns=columns)
    return table.sort_values(["assigned_on", "treatment_id"], ignore_index=True)


@returns("segmentation.campaigns")
def campaign_readings(
    treatments: Table, customer_days: Table, *, as_of: date, basis: str = "margin"
) -> DataFrame:
    """`campaign_returns` of the last year with what follows: segment (the value segment
    most of its customers were in on the day it was sent) and verdict: `won` where the
    interval of net lies above 0, `lost` where it lies below, `not shown` where it holds
    0, else the status.
    """
    table = campaign_returns(treatments, customer_days, as_of=as_of)
    table = table[table.assigned_on > Timestamp(as_of) - pd.DateOffset(years=1)]
    asked = expression(treatments).select("treatment_id", "customer_id").to_pandas()
    verdict = np.select(
        [table.status != "complete", table.low > 0, table.high < 0],
        [table.status, "won", "lost"],
        "not shown",
    )
    by_day: dict[Timestamp, pd.Series] = {}
    segment = []
    for row in table.itertuples():
        if row.assigned_on not in by_day:
            people = rfm(customer_days, as_of=row.assigned_on, basis=basis).customers
            by_day[row.assigned_on] = people.set_index("customer_id").segment
        mine = asked.customer_id[asked.treatment_id == row.treatment_id]
        known = by_day[row.assigned_on]
        most = known[known.index.isin(mine)].mode()
        segment.append(str(most.iloc[0]) if len(most) else "")
    return frame_of("segmentation.campaigns", table.assign(segment=segment, verdict=verdict))


def beside(actions: DataFrame, read: DataFrame | None) -> DataFrame:
    """The segments' actions with their last campaign: treatment_id, verdict, net, net_low,
    net_high and held_share; missing where a segment got none.
    """
    if read is None:
        return actions
    last = read[read.segment != ""].drop_duplicates("segment", keep="last")
    last = last.assign(held_share=last.n_holdout / (last.n_holdout + last.n_treated).clip(lower=1))
    last = last.rename(columns={"low": "net_low", "high": "net_high"})
    columns = ["segment", "treatment_id", "verdict", "net", "net_low", "net_high", "held_share"]
    return actions.merge(last[columns], on="segment", how="left")


def _sums_by_arm(treatments: Table, customer_days: Table, day: Timestamp) -> DataFrame:
    """treatment_id, arm, assigned_on, n, total and squares of the money per customer,
    paid.
    """
    last = ibis.literal(day.date())
    asked = expression(treatments).mutate(assigned_on=_.assigned_at.cast("date"))
    bought = expression(customer_days).select(
        "customer_id", day_on=_.day_on.cast("date"), money=_.margin
    )
    both = asked.filter(_.assigned_on <= last).left_join(bought, "customer_id")
    age = both.day_on.delta(both.assigned_on, unit="day")
    is_in = (age >= 0) & (age < DAYS) & (both.day_on <= last)
    person = both.group_by("treatment_id", "customer_id", "arm").aggregate(
        assigned_on=both.assigned_on.min(),
        paid=both.cost.cast(MONEY).max(),
        money=both.money.cast(MONEY).sum(where=is_in).fill_null(0),
    )
    wide = person.money.cast("decimal(19, 2)")
    sums = person.group_by("treatment_id", "arm").aggregate(
        assigned_on=_.assigned_on.min(),
        n=_.count(),
        total=_.money.sum().cast("float64"),
        squares=(wide * wide).sum().cast("float64"),
        paid=_.paid.sum().cast("float64"),
    )
    return sums.to_pandas()


def _gain(arms: DataFrame) -> dict[str, Any]:
    """The difference of the arms less the cost, by Student's t with the arms' common variance;
    the status is empty where both arms have customers enough.
    """
    from scipy.stats import t as student

    n = arms.n.fillna(0).astype(int)
    cost = float(arms.paid["treated"]) / max(n["treated"], 1)
    mean, error, freedom, status = arms.total * np.nan, np.nan, np.nan, "no hold-out"
    if n.min() > 1:
        mean, status = arms.total / n, ""
        freedom = int(n.sum()) - 2
        variance = (arms.squares - n * mean * mean).clip(lower=0).sum() / freedom
        error = np.sqrt(variance * (1 / n).sum())
    net = mean["treated"] - mean["holdout"] - (cost if np.isfinite(cost) else 0.0)
    reach = student.ppf(0.5 + LEVEL / 2, freedom) * error if error > 0 else np.nan
    return {
        "n_treated": n["treated"],
        "n_holdout": n["holdout"],
        "treated": mean["treated"],
        "holdout": mean["holdout"],
        "cost": cost,
        "net": net,
        "low": net - reach,
        "high": net + reach,
        "p_gain": student.cdf(net / error, freedom) if error > 0 else np.nan,
        "status": status,
    }
