"""The decision rows in which chapter 01 ends. A number nobody knows stays missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["market_decisions"]


def market_decisions(
    verdicts: pd.DataFrame,
    *,
    growth: pd.DataFrame | None = None,
    bands: pd.DataFrame | None = None,
    people: pd.DataFrame | None = None,
    due_on: Any,
    revisit_on: Any,
    least_gap: float = 0.1,
) -> pd.DataFrame:
    """Decision rows of chapter 01: categories to enter, hold or leave, the band most
    left to others, whom to serve first, and what still has to be found out. An effect
    is what last year's growth would bring again, not a promise.
    """
    rows: list[dict] = []
    money = None if growth is None else growth.set_index("category")["revenue"]
    for r in verdicts[verdicts["action"] != "research"].itertuples():
        base = money.get(r.category, np.nan) if money is not None else np.nan
        rows.append(
            {
                "subject_type": "category",
                "subject": r.category,
                "action": r.action,
                "size": base,
                "unit": "own revenue a year",
                "expected_effect": base * r.growth,
                "effect_low": base * r.low,
                "effect_high": base * r.high,
                "effect_unit": "revenue a year, if growth repeats",
                "confidence": "high" if r.action != "hold" else "medium",
                "evidence_metric": "hhi",
                "evidence_value": r.hhi,
                "reason": r.reason,
                "owner_role": "category head",
                "stop_rule": "the growth interval crosses zero",
            }
        )
    open_ = verdicts[verdicts["action"] == "research"]
    if len(open_):
        rows.append(
            {
                "subject_type": "category",
                "subject": ", ".join(open_["category"]),
                "action": "research",
                "size": float(len(open_)),
                "unit": "categories",
                "reason": open_["reason"].iloc[0],
                "owner_role": "category head",
                "stop_rule": "the missing facts are in",
            }
        )
    if bands is not None and (bands["gap_share"] < -least_gap).any():
        b = bands.loc[bands["gap_share"].idxmin()]
        top = "and up" if pd.isna(b["high_price"]) else f"to {b['high_price']:.2f}"
        rows.append(
            {
                "subject_type": "category",
                "subject": f"{b['category']}, {b['low_price']:.2f} {top}",
                "action": "fill band",
                "size": -b["gap_share"],
                "unit": "share of units left to others",
                "confidence": "low",
                "evidence_metric": "units_share",
                "evidence_value": b["units_share"],
                "threshold": b["offers_share"],
                "reason": "the market offers there what the shop hardly sells",
                "owner_role": "category head",
                "stop_rule": "new offers there sell no better in a quarter",
            }
        )
    if people is not None and len(people) > 1:
        worth = "cm_share" if people["cm_share"].notna().all() else "revenue_share"
        p = (
            people.assign(lead=people[worth] - people["customers_share"])
            .nlargest(1, "lead")
            .iloc[0]
        )
        rows.append(
            {
                "subject_type": "segment",
                "subject": f"{p['persona']} {p['label']}",
                "action": "serve first",
                "size": p["customers"],
                "unit": "customers",
                "evidence_metric": worth,
                "evidence_value": p[worth],
                "threshold": p["customers_share"],
                "owner_role": "CRM manager",
                "confidence": "high" if p["stability"] > 0.75 else "low",
                "reason": "brings more than its share of customers",
                "stop_rule": "its stability falls under three quarters",
            }
        )
    return pd.DataFrame(rows).assign(due_on=due_on, revisit_on=revisit_on)
