"""The decisions of chapter 06: campaigns with their hold-out, tier thresholds, benefits
that do not pay, downgrades, points to set aside.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from playbook.chapters.segmentation.membership import proposed_tiers
from playbook.decisions import decision_rows, propose
from playbook.messages import say

__all__ = ["segment_decisions"]


def segment_decisions(
    actions: pd.DataFrame,
    tiers: pd.DataFrame,
    owed: pd.DataFrame | None,
    *,
    currency: str,
    basis: str,
    due_on: str,
    revisit_on: str,
    downgrades: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Decision rows: one campaign per segment with its hold-out, the thresholds of
    `proposed_tiers` where they are new (what they bring is the whole set's net beyond
    today's), else the benefits that do not pay at the assumed uplift, who is
    downgraded, and the points to set aside.
    """
    money = {"currency": currency, "basis": basis}
    rows = [_campaign(row, money) for row in actions.itertuples(index=False)]
    rows += _tier_rows(tiers, money)
    if downgrades is not None:
        known = downgrades[downgrades["rule"].notna()]
        rows += [_downgrade(row, money) for row in known.itertuples(index=False)]
    if owed is not None and len(owed):
        rows.append(_points(owed.iloc[0], currency))
    return decision_rows(rows).assign(due_on=due_on, revisit_on=revisit_on)


def _campaign(row: Any, money: dict[str, str]) -> dict[str, Any]:
    is_left_alone = row.holdout_share == 1
    treated = row.n_customers * (1 - row.holdout_share)
    visible_share = row.buyer_share * (1 + row.detectable_lift)
    return propose(
        "segmentation.leave_alone" if is_left_alone else "segmentation.campaign",
        row.segment,
        action=row.action,
        size=row.n_customers if is_left_alone else round(treated),
        effect=(row.expected, row.low, row.high),
        confidence="low" if math.isnan(row.holdout_n) else "medium",
        evidence_value=row.buyer_share,
        threshold=visible_share if visible_share <= 1 else None,
        n_customers=row.n_customers,
        holdout_share=row.holdout_share,
        **money,
    )


def _tier_rows(tiers: pd.DataFrame, money: dict[str, str]) -> list[dict[str, Any]]:
    """New thresholds stand or fall together: the first row carries what the move brings
    beyond today's.
    """
    proposed = proposed_tiers(tiers)
    is_new = (proposed["scheme"] == "searched").any()
    gain = None
    if is_new:
        today = tiers["tier_net"].where(tiers["scheme"] == "today").sum()
        gain = proposed["net_checked"].sum() - today
    rows = []
    for row in proposed[proposed["threshold"] > 0].itertuples(index=False):
        uplifts = {"needed": row.break_even_uplift, "assumed": row.assumed_uplift}
        about = {"evidence_value": row.tier_net, **uplifts, **money}
        if is_new:
            rows.append(
                propose(
                    "segmentation.threshold",
                    row.tier,
                    size=row.threshold,
                    expected_effect=None if rows else gain,
                    n_customers=row.n_customers,
                    lowest=row.threshold_low,
                    highest=row.threshold_high,
                    **about,
                )
            )
        elif row.tier_net < 0:
            rows.append(
                propose(
                    "segmentation.benefit",
                    row.tier,
                    size=row.benefit_cost,
                    expected_effect=-row.tier_net,
                    **about,
                )
            )
    return rows


def _downgrade(row: Any, money: dict[str, str]) -> dict[str, Any]:
    return propose(
        "segmentation.downgrade",
        row.tier,
        size=row.keep_from if row.rule == "keep a year" else row.threshold,
        expected_effect=abs(row.keep_net),
        evidence_value=row.keep_net,
        n_down=row.n_down,
        n_near=row.n_near,
        line=row.threshold,
        needed=row.keep_break_even,
        assumed=row.assumed_uplift,
        **money,
    )


def _points(owed: pd.Series, currency: str) -> dict[str, Any]:
    return propose(
        "segmentation.points",
        "",
        size=owed["liability"],
        effect_high=owed["liability_no_breakage"],
        evidence_value=owed["liability"],
        breakage_share=owed["breakage_share"],
        source=say(f"segmentation.breakage_{owed['breakage_from']}"),
        currency=currency,
    )
