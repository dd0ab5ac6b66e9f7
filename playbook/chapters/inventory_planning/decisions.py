"""The decision rows in which chapter 07 ends. A number nobody knows stays missing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["stock_decisions"]


def stock_decisions(
    found: Any,
    excess: pd.DataFrame,
    suppliers: pd.DataFrame,
    *,
    as_of: dt.date,
    currency: str,
    holding_share: float | None = None,
    review_days: int = 7,
    otif_floor: float = 0.95,
    most: int = 10,
) -> pd.DataFrame:
    """Rows in the decision schema: one order per supplier, clearances by money tied up,
    a second source where even the high end of on time in full is under `otif_floor`. An
    order's evidence is the share of the demand on its lines that would be served
    without it.
    """
    soon, later = as_of + dt.timedelta(days=1), as_of + dt.timedelta(days=review_days)
    rows = []
    lines = (
        []
        if found is None
        else found.orders.query("order_units > 0").groupby("supplier_id", dropna=False)
    )
    served = {str(name): np.average(t["fill_without"], weights=t["mean_day"]) for name, t in lines}
    for _, r in (found.by_supplier if found is not None else pd.DataFrame()).iterrows():
        rows.append(
            {
                "subject_type": "supplier",
                "subject": str(r["supplier_id"]),
                "action": "order",
                "size": r["cash"],
                "unit": currency,
                "expected_effect": r["expected_margin"],
                "effect_low": r["margin_low"],
                "effect_high": r["margin_high"],
                "effect_unit": f"{currency} margin in the period covered",
                "confidence": "high",
                "evidence_metric": "fill_rate",
                "evidence_value": served[str(r["supplier_id"])],
                "due_on": str(soon),
                "reason": f"{r['n_lines']:.0f} lines below their reorder point",
                "owner_role": "supply-chain head",
                "revisit_on": str(later),
                "stop_rule": "an order arrives or demand falls before it is sent: plan again",
            }
        )
    for _, r in excess[excess["action"] == "clear"].head(most).iterrows():
        rows.append(
            {
                "subject_type": "sku",
                "subject": r["sku"],
                "action": "clear",
                "size": r["excess_units"],
                "unit": "units",
                "expected_effect": r["excess_value"] * holding_share
                if holding_share is not None
                else np.nan,
                "effect_unit": f"{currency} holding cost a year",
                "confidence": "medium",
                "evidence_metric": "doi_days",
                "evidence_value": r["days"],
                "due_on": str(later),
                "reason": "more on hand and on order than nine futures in ten would sell",
                "owner_role": "category head",
                "revisit_on": str(as_of + dt.timedelta(days=60)),
                "stop_rule": "days of stock fall under the cover",
            }
        )
    for _, r in suppliers[
        (suppliers["high"] < otif_floor) & (suppliers["n_judged"] >= 10)
    ].iterrows():
        rows.append(
            {
                "subject_type": "supplier",
                "subject": str(r["supplier_id"]),
                "action": "second source",
                "confidence": "medium",
                "evidence_metric": "otif",
                "evidence_value": r["otif_share"],
                "threshold": otif_floor,
                "reason": f"on time in full: {r['otif_share']:.0%} of {r['n_judged']:.0f} lines, at most {r['high']:.0%}, "
                f"floor {otif_floor:.0%}",
                "owner_role": "supply-chain head",
                "due_on": str(as_of + dt.timedelta(days=30)),
                "revisit_on": str(as_of + dt.timedelta(days=90)),
                "stop_rule": "on time in full above the floor for a quarter",
            }
        )
    return pd.DataFrame(rows)
