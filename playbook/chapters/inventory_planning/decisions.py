"""The decision rows in which chapter 07 ends. A number nobody knows stays missing."""

from __future__ import annotations

import datetime as dt

import numpy as np
from pandas import DataFrame

from playbook.chapters.inventory_planning.inventory import Reorder
from playbook.decisions import decision_rows, propose
from playbook.tables import empty

__all__ = ["stock_decisions"]

MOST_CLEARED = 10  # clearances proposed in a month
MIN_JUDGED = 10  # order lines from which a supplier is judged


def stock_decisions(
    plan: Reorder | None,
    excess: DataFrame | None,
    suppliers: DataFrame,
    *,
    as_of: dt.date,
    currency: str,
    holding_share: float | None = None,
    review_days: int = 7,
    otif_floor: float = 0.95,
) -> DataFrame:
    """Rows in the decision schema: one order per supplier, clearances by money tied up,
    a second source where even the high end of on time in full is under `otif_floor`. An
    order's evidence is the share of the demand on its lines that would be served
    without it.
    """
    next_review = as_of + dt.timedelta(days=review_days)
    rows = [] if plan is None else _orders(plan, as_of, next_review, currency)
    holding_share = np.nan if holding_share is None else holding_share
    excess = empty("inventory_planning.overstock") if excess is None else excess
    for line in excess[excess["action"] == "clear"].head(MOST_CLEARED).itertuples():
        rows.append(
            propose(
                "inventory_planning.clear",
                line.sku,
                size=line.excess_units,
                effect=(line.excess_value * holding_share,),
                evidence_value=line.days,
                due_on=next_review,
                revisit_on=as_of + dt.timedelta(days=60),
                currency=currency,
            )
        )
    is_late = (suppliers["high"] < otif_floor) & (suppliers["n_judged"] >= MIN_JUDGED)
    for line in suppliers[is_late].itertuples():
        rows.append(
            propose(
                "inventory_planning.second_source",
                line.supplier_id,
                evidence_value=line.otif_share,
                threshold=otif_floor,
                due_on=as_of + dt.timedelta(days=30),
                revisit_on=as_of + dt.timedelta(days=90),
                n_judged=line.n_judged,
                high=line.high,
            )
        )
    return decision_rows(rows)


def _orders(
    plan: Reorder,
    as_of: dt.date,
    next_review: dt.date,
    currency: str,
) -> list[dict[str, object]]:
    """One order per supplier and day."""
    bought = plan.orders[plan.orders["order_units"] > 0]
    served = {
        str(name): np.average(lines["fill_without"], weights=lines["mean_day"])
        for name, lines in bought.groupby("supplier_id", dropna=False)
    }
    return [
        propose(
            "inventory_planning.order",
            order.supplier_id,
            size=order.cash,
            effect=(order.expected_margin, order.margin_low, order.margin_high),
            evidence_value=served[str(order.supplier_id)],
            due_on=as_of + dt.timedelta(days=1),
            revisit_on=next_review,
            currency=currency,
            n_lines=order.n_lines,
        )
        for order in plan.by_supplier.itertuples()
    ]
