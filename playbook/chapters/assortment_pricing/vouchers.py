"""What a voucher brought, and who would have bought anyway.

Everybody who redeems a voucher buys, so redemptions say nothing of what it caused. Only
customers drawn into a hold-out do: what they bought without it is what the others would have
bought anyway. A code is read by the campaigns of `treatments` whose treated customers redeem
it; one that nobody was held out from is not judged, and what it gave away is stated.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Timestamp

from playbook.given import dated
from playbook.store import expression
from playbook.tables import returns, schema

__all__ = ["voucher_review"]

Table = ibis.Table | DataFrame

#: months looked at, and days from assignment in which what a customer buys counts
MONTHS, DAYS = 13, 30
#: share of a code's redemptions by treated customers from which it is these campaigns' own
OWN_SHARE = 0.5
#: redemptions below which a code is left out, and customers an arm needs
LEAST_USED, LEAST_ARM = 20, 30
#: reach of a four-in-five interval, in standard errors
REACH = 1.28


@dated
@returns("assortment_pricing.vouchers")
def voucher_review(
    sales_orders: Table, treatments: Table | None, *, as_of: dt.date | str, days: int = DAYS
) -> DataFrame:
    """Every code used in the last 13 months, the one that lost most first; those without a
    hold-out come last, the dearest first.

    `won` is the margin of the treated beyond what the held-out earned, per customer, times the
    treated, less what treating them cost: the discount is inside the margin, so it is counted
    once. `anyway_share` is the share of held-out customers who bought over that of the treated.
    Campaigns whose days are not over are left out. Interval: normal, from the variances of both
    arms, sums over a code's campaigns.
    """
    orders = _orders(sales_orders, as_of)
    used = orders[orders.coupon.notna()]
    used = used[used.groupby("coupon").order_id.transform("size") >= LEAST_USED]
    people = _people(
        treatments,
        orders,
        as_of,
        days,
    )
    by_code = _campaigns(used, people, days)
    rows = []
    for code, part in used.groupby("coupon"):
        asked = people[people.treatment_id.isin(by_code.get(code, ()))]
        row = {"coupon": code, "n_orders": len(part), "discount": part.discount.sum()}
        row["new_share"] = part.is_first.mean()
        rows.append(row | _gain(asked))
    table = DataFrame(rows, columns=schema("assortment_pricing.vouchers").names)
    order = table.assign(given=-table.discount).sort_values(["won", "given"], na_position="last")
    return table.loc[order.index].reset_index(drop=True)


def _orders(sales_orders: Table, as_of: dt.date | str) -> DataFrame:
    since = (Timestamp(as_of) - pd.DateOffset(months=MONTHS)).date()
    rows = expression(sales_orders).filter((_.ordered_on > since) & (_.ordered_on <= as_of))
    frame = rows.select(
        "order_id",
        "customer_id",
        "coupon",
        "is_first",
        "ordered_on",
        discount=_.discount.cast("float64"),
        margin=_.margin.cast("float64"),
    ).to_pandas()
    frame["ordered_on"] = pd.to_datetime(frame.ordered_on)
    return frame.sort_values("order_id", ignore_index=True)


def _people(
    treatments: Table | None, orders: DataFrame, as_of: dt.date | str, days: int
) -> DataFrame:
    """One row per campaign and customer asked whose days are over: arm, assigned_on, cost,
    margin and whether there was an order within the days. Who bought nothing has 0.
    """
    columns = ["treatment_id", "customer_id", "arm", "assigned_on", "cost", "margin", "bought"]
    if treatments is None:
        kinds = {"assigned_on": "datetime64[us]", "cost": float, "margin": float, "bought": bool}
        return DataFrame(columns=columns).astype(kinds)
    asked = expression(treatments).select(
        "treatment_id",
        "customer_id",
        "arm",
        assigned_on=_.assigned_at.cast("date"),
        cost=_.cost.cast("float64").fill_null(0.0),
    )
    asked = asked.order_by("treatment_id", "customer_id").to_pandas()
    asked["assigned_on"] = pd.to_datetime(asked.assigned_on)
    first = Timestamp(as_of) - pd.DateOffset(months=MONTHS)
    last = Timestamp(as_of) - pd.Timedelta(days=days - 1)
    asked = asked[asked.assigned_on.between(first, last)]
    bought = asked.merge(orders[["customer_id", "ordered_on", "margin"]], on="customer_id")
    age = (bought.ordered_on - bought.assigned_on).dt.days
    inside = bought[age.between(0, days - 1)]
    sums = inside.groupby(["treatment_id", "customer_id"]).margin
    sums = sums.agg(margin=lambda m: m.sum(skipna=False), n="size").reset_index()
    people = asked.merge(sums, on=["treatment_id", "customer_id"], how="left")
    people["bought"] = people.pop("n").notna()
    people["margin"] = people.margin.where(people.bought, 0.0)
    return people[columns]


def _campaigns(used: DataFrame, people: DataFrame, days: int) -> dict[Any, list[str]]:
    """Code -> the campaigns it was sent with: where treated customers of the days before make
    up most of its redemptions.
    """
    sent = people.loc[people.arm == "treated", ["treatment_id", "customer_id", "assigned_on"]]
    both = used[["order_id", "coupon", "customer_id", "ordered_on"]].merge(sent, on="customer_id")
    age = (both.ordered_on - both.assigned_on).dt.days
    both = both[age.between(0, days)]
    found = {}
    for code, part in both.groupby("coupon"):
        counts = part.groupby("treatment_id").order_id.nunique()
        if part.order_id.nunique() >= OWN_SHARE * (used.coupon == code).sum():
            # a campaign of whom some hold the code by another one is not its own
            sizes = people[people.arm == "treated"].groupby("treatment_id").bought.sum()
            own = counts[counts >= OWN_SHARE * sizes.reindex(counts.index)]
            found[code] = sorted(own.index)
    return found


def _gain(people: DataFrame) -> dict[str, Any]:
    names = ["n_treated", "n_holdout", "anyway_share", "won", "won_low", "won_high"]
    nothing = dict.fromkeys(names, np.nan) | {"n_treated": 0, "n_holdout": 0}
    won, variance, rates, n = 0.0, 0.0, np.zeros(2), np.zeros(2, int)
    for _name, campaign in people.groupby("treatment_id"):
        arms = [campaign[campaign.arm == arm] for arm in ("treated", "holdout")]
        sizes = np.array([len(arm) for arm in arms])
        if sizes.min() < LEAST_ARM:
            continue
        treated, held = (arm.margin.to_numpy(float) for arm in arms)
        won += sizes[0] * (treated.mean() - held.mean()) - arms[0].cost.sum()
        each = treated.var(ddof=1) / sizes[0] + held.var(ddof=1) / sizes[1]
        variance += sizes[0] ** 2 * each
        rates += sizes[0] * np.array([arm.bought.mean() for arm in arms])
        n += sizes
    if not n.any():
        return nothing | {"verdict": "no hold-out"}
    reach = REACH * np.sqrt(variance)
    low, high = won - reach, won + reach
    verdict = "keep" if low > 0 else "stop" if high < 0 else "not shown"
    anyway = min(rates[1] / rates[0], 1.0) if rates[0] > 0 else np.nan
    verdict = "no margin known" if np.isnan(won) else verdict
    return dict(zip(names, (*n, anyway, won, low, high), strict=True)) | {"verdict": verdict}
