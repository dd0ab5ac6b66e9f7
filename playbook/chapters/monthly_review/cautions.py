"""What must not be overlooked: the risk register and what the month could not say."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.registry import opening, room_facts
from playbook.measures.metrics import metric_called
from playbook.messages import say
from playbook.tables import frame_of, returns

__all__ = ["caveats", "risks"]

# 3 / 1.128, Montgomery, Introduction to Statistical Quality Control, individuals chart
MOVING_RANGE = 2.66
PAST_MONTHS = 6  # months before that a trend is held against
LEAST_PAST = 3  # of them below which there is no trend


@returns("monthly_review.risks")
def risks(indicators: DataFrame, gates: DataFrame, *, month: str) -> DataFrame:
    """The register. Its limits and owners stand in `chapter.yaml`; data freshness and
    the privacy scan come from chapter 00's gates; compliance is a person's duty, with a
    review date, because no indicator sees it.
    """
    facts = room_facts("monthly_review")
    rows = []
    for risk in facts["risks"]:
        series = indicators[indicators.indicator == risk["risk"]].set_index("month").amount
        if month in series.index:
            now = float(series[month])
            words = {"mitigation": say(f"monthly_review.mitigation_{risk['mitigation']}")}
            past = series[series.index < month].tail(PAST_MONTHS)
            found = {
                "amount": now,
                "trend": _trend(past, now),
                "is_over": now > risk["limit"],
            }
            rows.append(risk | found | words)
    is_open = (gates.verdict != "go") & ~gates.gate.isin(facts["gates_that_are_no_risk"])
    for gate in gates.gate[is_open]:
        rows.append(
            _duty(
                say("monthly_review.risk_gate", gate=gate),
                say("monthly_review.mitigation_gate", number=opening().number),
                owner_role="data owner",
                is_over=True,
            )
        )
    rows.append(
        _duty(
            say("monthly_review.risk_compliance"),
            say("monthly_review.mitigation_compliance"),
            owner_role="general manager",
            is_over=False,
        )
    )
    return frame_of("monthly_review.risks", rows)


def _trend(past: pd.Series, now: float) -> str:
    """Where an indicator goes, beside its usual step from month to month."""
    moved, usual = now - past.mean(), past.diff().abs().mean() * MOVING_RANGE
    if len(past) < LEAST_PAST or np.isnan(moved):
        return "no history"
    if abs(moved) > usual:
        return "rising" if moved > 0 else "falling"
    return "steady"


def _duty(risk: str, mitigation: str, *, owner_role: str, is_over: bool) -> dict[str, object]:
    """A row of the register that no indicator measures."""
    return {
        "risk": risk,
        "amount": np.nan,
        "limit": np.nan,
        "trend": "no history",
        "is_over": is_over,
        "owner_role": owner_role,
        "mitigation": mitigation,
    }


@returns("monthly_review.caveats")
def caveats(
    notes: DataFrame, card: DataFrame, *, expected: list[str], has_costs: bool = True
) -> DataFrame:
    """What the reader must not overlook. Chapters that left no results are listed, not
    skipped; without costs decisions rank by revenue.
    """
    missing = say("monthly_review.no_results_left")
    gone = [name for name in expected if name not in set(notes.notebook)]
    rows = [("missing chapter", name, missing) for name in gone]
    for note in notes.dropna(subset=["needs"]).itertuples():
        text = say("monthly_review.needs", name=note.needs)
        rows.append(("blocked", f"{note.notebook}: {note.section}", text))
    young = card[~card.status.isin(["complete", "unobserved"])]
    if len(young):
        names = say("monthly_review.listed").join(map(metric_called, young.metric))
        rows.append(("immature", names, say("monthly_review.still_filling")))
    if not has_costs:
        rows.append(("basis", "decisions", say("monthly_review.ranked_by_revenue")))
    return frame_of("monthly_review.caveats", rows)
