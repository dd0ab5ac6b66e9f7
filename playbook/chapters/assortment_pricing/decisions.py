"""The decision rows in which chapter 10 ends. A number nobody knows stays missing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd

__all__ = ["range_decisions"]


def range_decisions(
    moves: pd.DataFrame,
    review: pd.DataFrame,
    tail: pd.DataFrame,
    quality: pd.DataFrame,
    fresh: pd.DataFrame,
    *,
    as_of: dt.date,
    currency: str,
    most: int = 10,
) -> pd.DataFrame:
    """Rows in the decision schema: price moves by gain, promotions whose interval
    leaves their cost (the largest first, due before their day comes round), sure
    delistings, holds by units returned, new items by views.
    """
    ahead = lambda days: str(as_of + dt.timedelta(days=days))
    rows: list[dict[str, Any]] = []

    def top(t: pd.DataFrame, by: str) -> pd.DataFrame:
        return (t.sort_values([by, "sku"], ascending=[False, True]) if len(t) else t).head(most)

    for _, r in top(moves[moves["action"] != "keep"], "gain").iterrows():
        rows.append(
            {
                "subject_type": "sku",
                "subject": r["sku"],
                "action": f"{r['action']} price",
                "size": r["plan"],
                "unit": currency,
                "expected_effect": r["gain"],
                "effect_low": r["gain_low"],
                "effect_high": r["gain_high"],
                "effect_unit": f"{currency} margin/year",
                "confidence": "high" if r["chance"] > 0.95 else "medium",
                "evidence_metric": "elasticity",
                "evidence_value": r["elasticity"],
                "reason": r["reason"],
                "owner_role": "pricing",
                "due_on": ahead(7),
                "revisit_on": ahead(63),
                "stop_rule": "margin a week under its interval for four weeks",
            }
        )
    judged: list[dict[str, Any]] = []
    for _, r in review[review["verdict"] != "undecided"].iterrows():
        is_again = (
            r["verdict"] == "repeat"
        )  # what another one like it would bring, or the loss that is avoided
        cost = r["cost"] if r["cost"] == r["cost"] else 0.0
        low, middle, high = sorted(
            (x - cost) * (1 if is_again else -1)
            for x in (r["low"], r["incremental_margin"], r["high"])
        )
        left = (pd.Timestamp(r["starts_on"]) + pd.DateOffset(years=1) - pd.Timestamp(as_of)).days
        judged.append(
            {
                "subject_type": "category",
                "subject": r["promo_id"],
                "action": f"{r['verdict']} promotion",
                "size": r["cost"],
                "unit": currency,
                "expected_effect": middle,
                "effect_low": low,
                "effect_high": high,
                "effect_unit": f"{currency} margin" + ("" if is_again else " not lost"),
                "confidence": "high",
                "evidence_metric": "promo_roi",
                "evidence_value": r["promo_roi"],
                "threshold": 0.0,
                "reason": "against placebo windows",
                "owner_role": "category head",
                "due_on": ahead(max(min(left - 7, 30), 1) if left > 0 else 30),
                "revisit_on": ahead(120),
                "stop_rule": "a repeat with a hold-out says otherwise",
            }
        )
    rows += sorted(judged, key=lambda row: -row["expected_effect"])[:most]
    for _, r in tail[tail["confidence"] == "high"].head(most).iterrows():
        rows.append(
            {
                "subject_type": "sku",
                "subject": r["sku"],
                "action": "delist",
                "expected_effect": r["effect"],
                "effect_low": r["effect_low"],
                "effect_high": r["effect_high"],
                "effect_unit": f"{currency} margin/year",
                "confidence": r["confidence"],
                "evidence_metric": "cm",
                "evidence_value": r["margin"],
                "reason": "tail of the range",
                "owner_role": "category head",
                "due_on": ahead(30),
                "revisit_on": ahead(90),
                "stop_rule": "buyers ask for it",
            }
        )
    for _, r in top(quality[quality["is_hold"].astype(bool)], "n_returned").iterrows():
        rows.append(
            {
                "subject_type": "sku",
                "subject": r["sku"],
                "action": "quality hold",
                "size": r["n_returned"],
                "unit": "units",
                "confidence": "high",
                "evidence_metric": "return_share",
                "evidence_value": r["return_share"],
                "threshold": 2 * r["category_share"],
                "reason": "returns above twice the category's",
                "owner_role": "quality head",
                "due_on": ahead(7),
                "revisit_on": ahead(60),
                "stop_rule": "the cause is found and the next batch returns less",
            }
        )
    for _, r in top(fresh[fresh["action"] != "leave"], "views").iterrows():
        rows.append(
            {
                "subject_type": "sku",
                "subject": r["sku"],
                "action": r["action"],
                "confidence": "low",
                "unit": "views",
                "size": r["views"],
                "evidence_metric": "cvr_visitors",
                "evidence_value": r["conversion"],
                "reason": "new item, traffic × conversion",
                "owner_role": "category head",
                "due_on": ahead(14),
                "revisit_on": ahead(45),
                "stop_rule": "conversion under the median after sixty days",
            }
        )
    return pd.DataFrame(rows)
