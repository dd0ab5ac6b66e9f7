"""The decision rows in which chapter 09 ends. What a list adds to sales stays missing:
an offline score cannot know it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.recommendations.pairs import MIN_LIFT
from playbook.chapters.recommendations.recommend import Leaderboard
from playbook.decisions import decision_rows, propose
from playbook.messages import say

__all__ = ["recommend_decisions"]

#: bundles tested at a time
MOST_BUNDLES = 3


def recommend_decisions(
    board: Leaderboard | None,
    offers: DataFrame,
    unsafe: DataFrame,
    plan: DataFrame,
    *,
    currency: str = "",
    due_on: str = "",
    revisit_on: str = "",
) -> DataFrame:
    """The chapter's decision rows, in the fields of `playbook.decisions.Decision`.

    A model that beats the plain baseline on new items is put to a test of the planned
    size (`plan`: sample_size of sessions) and looked at again when it has run; else the
    best sellers stay. The surest bundles of safe items are tested, and what is unsafe
    comes off every list.
    """
    days: dict[str, Any] = {
        "due_on": due_on,
        "revisit_on": revisit_on,
    }
    rows = [] if board is None else _list_rows(board.winner, plan, days)
    is_offered = offers.extra_needed.notna() & ~offers.is_unsafe.astype(bool)
    for offer in offers[is_offered].head(MOST_BUNDLES).itertuples():
        rows.append(
            propose(
                "recommendations.bundle",
                f"{offer.a} + {offer.b}",
                size=offer.discount,
                evidence_value=offer.lift_low,
                threshold=MIN_LIFT,
                currency=currency,
                n=offer.n,
                extra=offer.extra_needed,
                **days,
            )
        )
    if len(unsafe):
        counts = sorted(unsafe.reason.value_counts().items())
        reasons = [say(f"recommendations.off_{why.replace(' ', '_')}", n=n) for why, n in counts]
        size = float(unsafe.sku.nunique())
        reason = ", ".join(reasons)
        rows.append(
            propose(
                "recommendations.take_off",
                "lists",
                size=size,
                reason=reason,
                **days,
            )
        )
    return decision_rows(rows)


def _list_rows(winner: DataFrame, plan: DataFrame, days: dict[str, Any]) -> list[dict[str, Any]]:
    """What becomes of the lists of new items; no row where nobody bought a new item."""
    rows = []
    for best in winner[winner["items"] == "new"].itertuples():
        if best.is_better and len(plan):
            ends = pd.Timestamp(days["due_on"]) + pd.Timedelta(days=plan.days.iloc[0])
            days = days | {"revisit_on": str(ends.date())}
        kind = "recommendations.list_test" if best.is_better else "recommendations.keep_popularity"
        size = float(plan.n_total.iloc[0]) if len(plan) else None
        rows.append(
            propose(
                kind,
                "",
                rival=best.rival,
                size=size,
                evidence_value=best.gain,
                **days,
            )
        )
    return rows
