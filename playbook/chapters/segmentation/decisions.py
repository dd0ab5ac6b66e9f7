"""The decisions of chapter 06: campaigns with their hold-out, tier thresholds, benefits
that do not pay, downgrades, points to set aside.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.segmentation.membership import proposed_tiers
from playbook.decisions import decision_rows, propose
from playbook.messages import say

__all__ = ["segment_decisions"]

Row = dict[str, Any]


def segment_decisions(
    actions: DataFrame,
    tiers: DataFrame,
    owed: DataFrame | None,
    *,
    currency: str,
    basis: str,
    due_on: str,
    revisit_on: str,
    downgrades: DataFrame | None = None,
) -> DataFrame:
    """Decision rows: what today's benefits cost, to be held against a hold-out; campaigns
    of the last year that won against theirs, widened to the rest of their segment, and
    those that lost; one campaign per other segment with its hold-out; the thresholds of
    `proposed_tiers` where they are new (a bound: the whole set's net beyond today's at an
    uplift nobody has shown), else the benefits that do not pay at the assumed uplift, who
    is downgraded, and the points to set aside. `actions` may carry what campaigns brought
    (`campaigns.beside`).
    """
    money = {"currency": currency, "basis": basis}
    rows = _benefits(tiers, money)
    for row in actions.itertuples(index=False):
        is_read = getattr(row, "verdict", "") in ("won", "lost") and basis == "margin"
        rows.append((_read_campaign if is_read else _campaign)(row, money))
    rows += _tier_rows(tiers, money)
    if downgrades is not None:
        known = downgrades[downgrades.rule.notna()]
        rows += [_downgrade(row, money) for row in known.itertuples(index=False)]
    if owed is not None and len(owed):
        rows.append(_points(owed.iloc[0], currency))
    return decision_rows(rows).assign(due_on=due_on, revisit_on=revisit_on)


def _campaign(row: Any, money: Row) -> Row:
    is_left_alone = row.holdout_share == 1
    treated = row.n_customers * (1 - row.holdout_share)
    visible_share = row.buyer_share * (1 + row.detectable_lift)
    found = {
        "size": row.n_customers if is_left_alone else round(treated),
        "effect": (row.expected, row.low, row.high),
        "confidence": "low" if math.isnan(row.holdout_n) else "medium",
        "evidence_value": row.buyer_share,
        "threshold": visible_share if row.measure == "buyers" and visible_share <= 1 else None,
        "read_by": say(f"segmentation.read_by_{row.measure}"),
    }
    kind = "segmentation.leave_alone" if is_left_alone else "segmentation.campaign"
    if row.holdout_share == 0:
        kind = "segmentation.campaign_untested"
    return propose(
        kind,
        row.segment,
        **row._asdict(),
        **found,
        **money,
    )


def _benefits(tiers: DataFrame, money: Row) -> list[Row]:
    """What today's benefits cost a year; no row where none costs anything."""
    today = tiers[(tiers.scheme == "today") & (tiers.benefit_cost > 0)]
    cost = float(today.benefit_cost.sum())
    if not cost > 0:
        return []
    found = {
        "size": cost,
        "effect_high": cost,
        "n_members": today.n_judged.sum(),
    }
    return [
        propose(
            "segmentation.benefit_holdout",
            "",
            **found,
            **money,
        )
    ]


def _read_campaign(row: Any, money: Row) -> Row:
    """The last campaign to a segment, read against its own hold-out."""
    treated = round(row.n_customers * (1 - row.held_share))
    won = row.verdict == "won"
    ends = (row.net, row.net_low, row.net_high)
    return propose(
        "segmentation.campaign_widen" if won else "segmentation.campaign_lost",
        row.segment,
        size=treated if won else float(row.n_customers),
        effect=tuple(end * treated for end in ends) if won else (),
        evidence_value=row.net,
        holdout_share=row.held_share,
        treatment_id=row.treatment_id,
        net=row.net,
        low=row.net_low,
        high=row.net_high,
        **money,
    )


def _tier_rows(tiers: DataFrame, money: Row) -> list[Row]:
    """New thresholds stand or fall together: the first row carries what the move brings
    beyond today's.
    """
    proposed = proposed_tiers(tiers)
    is_new = (proposed.scheme == "searched").any()
    gain = None
    if is_new:
        today = tiers.tier_net.where(tiers.scheme == "today").sum()
        gain = proposed.net_checked.sum() - today
    rows = []
    for row in proposed[proposed.threshold > 0].itertuples(index=False):
        if is_new:
            found = {
                "size": row.threshold,
                "expected_effect": None if rows else gain,
            }
            rows.append(
                _of_tier(
                    "threshold",
                    row,
                    row.tier_net,
                    **found,
                    **money,
                )
            )
        elif row.tier_net < 0:
            found = {
                "size": row.benefit_cost,
                "expected_effect": -row.tier_net,
            }
            rows.append(
                _of_tier(
                    "benefit",
                    row,
                    row.tier_net,
                    **found,
                    **money,
                )
            )
    return rows


def _downgrade(row: Any, money: Row) -> Row:
    size = row.keep_from if row.rule == "keep a year" else row.threshold
    effect = abs(row.keep_net)
    return _of_tier(
        "downgrade",
        row,
        row.keep_net,
        size=size,
        expected_effect=effect,
        **money,
    )


def _of_tier(kind: str, row: Any, net: float, **found: Any) -> Row:
    """A decision about a tier; its sentences name the row's columns, and its threshold
    as `line`.
    """
    columns = row._asdict()
    line = columns.pop("threshold")
    return propose(
        f"segmentation.{kind}",
        row.tier,
        evidence_value=net,
        line=line,
        **columns,
        **found,
    )


def _points(owed: pd.Series, currency: str) -> Row:
    return propose(
        "segmentation.points",
        "",
        size=owed.liability,
        effect_high=owed.liability_no_breakage,
        evidence_value=owed.liability,
        source=say(f"segmentation.breakage_{owed.breakage_from}"),
        breakage_share=owed.breakage_share,
        currency=currency,
    )
