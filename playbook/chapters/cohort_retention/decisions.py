"""The decisions of chapter 04: test a nudge, find the cause of a worse cohort, test a
first-basket offer.
"""

from __future__ import annotations

import math

from pandas import DataFrame

from playbook.decisions import decision_rows, propose

__all__ = ["activation_decisions", "retention_decisions"]

#: cohorts looked at for an alarm
NEWEST = 3
#: groups slow to order again that become decisions, the most customers short first
MOST_SLOW = 2


def retention_decisions(
    same: DataFrame,
    trigger: dict[str, float],
    baskets: DataFrame,
    *,
    n_due: int,
    due_on: str,
    revisit_on: str,
) -> DataFrame:
    """The chapter's decision rows.

    The nudge's effect is left missing: without a hold-out nobody knows it, so the row
    asks for one; where nobody is due there is nothing to test. A cohort alarm is sized in
    customers who would be active at the cohorts' usual share, with the interval of the
    difference.
    """
    rows = []
    if n_due > 0 and not math.isnan(trigger["day"]):
        rows.append(
            propose(
                "cohort_retention.nudge",
                "",
                size=float(n_due),
                evidence_value=trigger["share_by_then"],
                threshold=trigger["day"],
            )
        )
    rows += _cohort_rows(same)
    for group in baskets[baskets.verdict == "returns more"].head(1).itertuples():
        rows.append(
            propose(
                "cohort_retention.first_basket",
                "",
                label=group.label,
                size=float(group.customers),
                evidence_value=group.share,
                threshold=group.share - group.difference,
            )
        )
    return decision_rows(rows).assign(due_on=due_on, revisit_on=revisit_on)


def _cohort_rows(same: DataFrame) -> list[dict]:
    """An alarm for each worse cohort among the newest, or that there is none."""
    judged = same[same.verdict.isin(["worse", "better", "no difference shown"])].tail(NEWEST)
    worse = judged[judged.verdict == "worse"]
    rows = []
    for cohort in (worse if len(worse) else judged.tail(1)).itertuples():
        n = cohort.n
        lost = (
            -cohort.difference * n,
            -cohort.difference_high * n,
            -cohort.difference_low * n,
        )
        rows.append(
            propose(
                "cohort_retention.worse_cohort" if len(worse) else "cohort_retention.no_alarm",
                "",
                cohort=cohort.cohort,
                size=float(n),
                effect=lost if len(worse) else (),
                evidence_value=cohort.share,
                threshold=cohort.reference_share,
            )
        )
    return rows


def activation_decisions(table: DataFrame, *, due_on: str, revisit_on: str) -> DataFrame:
    """The groups of which fewest order again in the longest window, each sized in customers
    short of the others' share. `table`: what `cohorts.activation` gives.
    """
    slow = table[(table.verdict == "returns less") & (table.window_days == table.window_days.max())]
    rows = []
    for group in slow.sort_values(["short", "label"], ascending=[False, True]).itertuples():
        effect = (group.short, group.short_low, group.short_high)
        known = {"label": group.label, "days": group.window_days, "effect": effect}
        known |= {"size": float(group.customers), "evidence_value": group.share}
        known["threshold"] = group.share - group.difference
        rows.append(propose("cohort_retention.activation", "", **known))
    return decision_rows(rows[:MOST_SLOW]).assign(due_on=due_on, revisit_on=revisit_on)
