"""Our figure beside the shop's own dashboard, and the steps that explain the difference."""

from __future__ import annotations

from itertools import combinations

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.measures.metrics import METRICS
from playbook.measures.sums import in_months
from playbook.messages import say
from playbook.store import Store
from playbook.tables import empty, frame_of, returns

__all__ = ["dashboard_walk", "month_steps"]

#: amounts that differ by less are equal to the cent
CENT = 0.005
#: a difference is explained by at most so many steps
MOST_STEPS = 3
#: how many steps may come near, and what share of the gap they may leave
NEAR_STEPS, MOST_LEFT = (1, 2), 0.25


def month_steps(shop: Store) -> DataFrame:
    """The steps between the kinds of sales within the report month:

    - step: code of the step
    - amount, orders: what it moves, both positive
    """
    orders = in_months(shop.orders, "ordered_on", [shop.month])
    is_counted = _.status.isin(shop.counted_statuses)
    is_cancelled = _.status == "cancelled"
    is_paid_back = is_cancelled & _.paid_at.notnull()
    left_out = {
        "cancelled": is_cancelled,
        "unpaid": _.status == "placed",
        "cancelled_after_payment": is_paid_back,
    }
    sums = {name: _.total.sum(where=is_out) for name, is_out in left_out.items()}
    counts = {name: is_out.sum() for name, is_out in left_out.items()}
    sums["tax_of_cancelled_after_payment"] = _.tax.sum(where=is_paid_back)
    for name in ("shipping", "tax", "discount"):
        sums[name] = _[name].sum()
        sums[f"{name}_of_counted"] = _[name].sum(where=is_counted)
    walk = DataFrame({"amount": shop.con.execute(orders.aggregate(**sums)).iloc[0]})
    walk["orders"] = shop.con.execute(orders.aggregate(**counts)).iloc[0]
    walk.loc["days", ["amount", "orders"]] = _edge_days(shop)
    booked = _refunded(shop, shop.booked_refunds)
    walk.loc["refunds_booked", "amount"] = booked
    walk.loc["refunds_of_no_sale", "amount"] = _refunded(shop, shop.get("refunds")) - booked
    return walk.astype(float).fillna(0.0).rename_axis("step").reset_index()


def _edge_days(shop: Store) -> tuple[float, int]:
    """What a dashboard that counts days by UTC has more than the shop's own days."""
    orders = shop.orders.filter(_.ordered_at.notnull())
    by_clock = orders.ordered_at.strftime("%Y-%m") == shop.month
    by_day = orders.ordered_on.strftime("%Y-%m") == shop.month
    sums = {"amount": _.total.sum().cast("float64"), "orders": _.count()}
    only = [
        shop.con.execute(orders.filter(rows).aggregate(**sums)).iloc[0].fillna(0.0)
        for rows in (by_clock & ~by_day, by_day & ~by_clock)
    ]
    return float(only[0].amount - only[1].amount), int(only[0].orders - only[1].orders)


def _refunded(shop: Store, refunds: ibis.Table | None) -> float:
    if refunds is None:
        return 0.0
    return float(
        shop.con.execute(in_months(refunds, "refunded_on", [shop.month]).amount.sum()) or 0
    )


@returns("start_here.control_walk")
def dashboard_walk(shop: Store, ours: DataFrame, walk: DataFrame) -> DataFrame:
    """The shop's own dashboard beside our figure for the month. A difference is
    explained when steps of the month add up to it to the cent; otherwise it says so.

    `ours`: the monthly series (metric, month, amount). `walk`: what `month_steps`
    gives.
    """
    totals = shop.get("control_totals")
    if totals is None:
        return empty("start_here.control_walk")
    totals = totals.filter(_.month == shop.month).order_by("metric").select("metric", "value")
    steps = walk.set_index("step")
    known = ours[ours.month == shop.month].set_index("metric").amount.to_dict()
    known["refunds"] = steps.amount["refunds_booked"]
    rows = []
    for metric, shown in shop.con.execute(totals).itertuples(index=False):
        own = known.get(metric, np.nan)
        is_count = metric in METRICS and METRICS[metric].unit == "count"
        moves = steps["orders" if is_count else "amount"]
        gap = shown - own
        rows.append(
            (
                metric,
                shown,
                own,
                gap,
                *_explained(gap, moves[moves.abs() >= CENT]),
            )
        )
    return frame_of("start_here.control_walk", rows)


def _explained(gap: float, steps: pd.Series) -> tuple[str, float]:
    """The smallest set of steps, added or taken off, that makes the gap, and what it
    leaves over. Where none makes it to the cent, the step or pair that comes nearest is
    named if it takes most of the gap; what is left stays unexplained.
    """
    if np.isnan(gap):
        return say("start_here.unknown_metric"), np.nan
    if abs(gap) < CENT:
        return say("start_here.equal"), 0.0
    names = {code: say(f"start_here.step_{code}") for code in steps.index}
    signed = [
        (f"{sign} {names[code]}", float(f"{sign}1") * amount)
        for code, amount in steps.items()
        for sign in "+-"
    ]
    for n_steps in range(1, MOST_STEPS + 1):
        for chosen in combinations(signed, n_steps):
            if abs(gap - sum(amount for _name, amount in chosen)) < CENT:
                return ", ".join(name for name, _amount in chosen), 0.0
    pairs = [chosen for n in NEAR_STEPS for chosen in combinations(signed, n)]
    rest = {chosen: gap - sum(amount for _name, amount in chosen) for chosen in pairs}
    near = min(
        pairs,
        key=lambda chosen: (abs(rest[chosen]), len(chosen)),
        default=(),
    )
    if near and abs(rest[near]) <= MOST_LEFT * abs(gap):
        return ", ".join(name for name, _amount in near), rest[near]
    return say("start_here.not_explained"), gap
