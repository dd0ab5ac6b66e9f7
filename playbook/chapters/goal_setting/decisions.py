"""The decision rows in which chapter 02 ends. A number nobody knows stays missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["goal_decisions"]


def goal_decisions(
    verdicts: pd.DataFrame,
    *,
    tree: pd.DataFrame | None = None,
    models: pd.DataFrame | None = None,
    paced: pd.DataFrame | None = None,
    raci: pd.DataFrame | None = None,
    tolerance: float = 0.1,
    owners: dict[str, str] | None = None,
    due_on: Any,
    revisit_on: Any,
) -> pd.DataFrame:
    """Decision rows of chapter 02: targets of the next month and quarter, who owns each
    driver, go or no-go of each model, a new plan where pacing has left the tolerance,
    duties without exactly one accountable role.
    """
    rows: list[dict] = []
    for r in verdicts[verdicts["horizon"].isin(["month", "quarter"])].itertuples():
        rows.append(
            {
                "subject_type": "kpi",
                "subject": f"{r.metric} next {r.horizon}",
                "action": f"{r.action} target",
                "size": r.target,
                "unit": r.metric,
                "expected_effect": r.forecast,
                "effect_low": r.low,
                "effect_high": r.high,
                "effect_unit": "forecast",
                "evidence_metric": "p_reach",
                "evidence_value": r.p_reach,
                "reason": r.reason,
                "owner_role": r.owner_role or "general manager",
                "confidence": "high" if r.n_errors >= 12 else "low",
                "due_on": r.due_on,
                "stop_rule": "the chance of reaching it falls under one in five",
            }
        )
    for r in [] if tree is None else tree.itertuples():
        rows.append(
            {
                "subject_type": "kpi",
                "subject": f"driver {r.driver}",
                "action": "own driver",
                "size": r.needed,
                "unit": r.driver,
                "expected_effect": r.effect,
                "effect_unit": "share of the revenue gap, money",
                "evidence_metric": r.driver,
                "evidence_value": r.base,
                "threshold": r.best_so_far,
                "confidence": "low" if r.is_beyond_past is True else "medium",
                "reason": "needs more than any past month"
                if r.is_beyond_past is True
                else "within past months",
                "owner_role": (owners or {}).get(r.driver) or "general manager",
                "stop_rule": "another driver is cheaper to move",
            }
        )
    for k, r in enumerate([] if models is None else models.itertuples()):
        is_known = np.isfinite(r.cm_per_order)
        action = (
            "research"
            if not is_known
            else "no-go"
            if r.cm_per_order <= 0
            else "second choice"
            if k
            else "go"
        )
        why = (
            f"an order earns from a basket of {r.basket_needed:.2f} on"
            if r.cm_per_order <= 0
            else r.status
        )
        rows.append(
            {
                "subject_type": "kpi",
                "subject": f"model {r.model}",
                "action": action,
                "size": r.orders_needed,
                "unit": "orders a month to break even",
                "expected_effect": r.cm_per_order,
                "effect_unit": "margin per order after acquisition",
                "evidence_metric": "cm",
                "evidence_value": r.cm_first_order,
                "threshold": 0.0,
                "confidence": "low",
                "reason": why,
                "owner_role": "general manager",
                "stop_rule": "take share, cac or margin moves by a fifth",
            }
        )
    now = None if paced is None else paced[paced["actual"].notna()].tail(1)
    if now is not None and len(now) and abs(now["pacing"].iloc[0] - 1) > tolerance:
        p = now.iloc[0]
        rows.append(
            {
                "subject_type": "kpi",
                "subject": f"pacing {p['day_on']:%Y-%m}",
                "action": "plan again",
                "size": p["actual"] - p["expected"],
                "unit": "money against plan to date",
                "confidence": "high",
                "evidence_metric": "pacing",
                "evidence_value": p["pacing"],
                "threshold": 1 + tolerance * np.sign(p["pacing"] - 1),
                "owner_role": "general manager",
                "reason": "outside the tolerance by the shop's own days",
                "stop_rule": "back inside the tolerance for a week",
            }
        )
    wrong = (
        []
        if raci is None
        else raci[raci["verdict"] != "ok"].groupby("verdict", sort=True)["kpi"].agg(", ".join)
    )
    for verdict, duties in dict(wrong).items():
        rows.append(
            {
                "subject_type": "risk",
                "subject": f"duties: {duties}",
                "action": "name one accountable role",
                "reason": verdict,
                "owner_role": "general manager",
                "confidence": "high",
                "stop_rule": "exactly one accountable role",
            }
        )
    out = pd.DataFrame(rows)
    out["due_on"] = out["due_on"].fillna(pd.Timestamp(due_on)) if "due_on" in out else due_on
    return out.assign(revisit_on=revisit_on)
