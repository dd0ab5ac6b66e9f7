"""What to do: the chapters' decisions ranked, what they ask for, which of them cannot
both be carried out, and the review's own rows.

Fields decide, never labels: the kind and period of an effect, `verb`, `spends` and
`is_idle` of `playbook.decisions`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.registry import chapter, room_facts
from playbook.decisions import decision_rows, effects, monthly_share, propose
from playbook.messages import say
from playbook.tables import frame_of, returns, schema

__all__ = [
    "WEIGHT",
    "asks",
    "conflicts",
    "leaving",
    "no_results",
    "ranked_decisions",
    "review_decisions",
    "wanted",
]

#: confidence -> what an expected effect counts for in the ranking
WEIGHT: dict[str, float] = room_facts("monthly_review")["confidence_weight"]
CLOSED = ("blocked", "done", "declined")
#: verbs that cannot both be carried out on one subject
OPPOSED = (
    ("order", "delist"),
    ("order", "clear"),
    ("raise", "lower"),
    ("raise", "pause"),
    ("raise", "clear"),
    ("launch", "delist"),
    ("repeat", "stop"),
)


@returns("monthly_review.ranked")
def ranked_decisions(decisions: DataFrame, *, most: int = 10, has_costs: bool = True) -> DataFrame:
    """The chapters' proposals, best first, at most `most`: those expected to bring
    contribution margin by its amount weighed by confidence (column `worth`): a month of
    what lasts, the whole of what comes once (an order's margin in the period it covers,
    a promotion's); then those whose effect is something else or not known yet, and last
    those expected to cost margin. A loss avoided is stated as a gain by the chapter
    that proposes it.

    Without costs (`has_costs` false) no margin is known: revenue takes its place.
    Money of different kinds is not compared: a year's revenue of a category is no
    larger than a month's margin of a fix. Blocked rows and rows that change nothing are
    left out.
    """
    is_open = ~decisions.is_idle.eq(True) & ~decisions.status.isin(CLOSED)
    rows = decisions[is_open]
    ranking = (True,) if has_costs else (True, "without_costs")
    margins = [kind for kind, facts in effects()["effects"].items() if facts["ranks"] in ranking]
    effect = pd.to_numeric(rows.expected_effect, errors="coerce").astype(float)
    monthly = effect * rows.effect_period.astype(object).fillna("").map(monthly_share).astype(float)
    weight = rows.confidence.map(WEIGHT).astype(float)
    worth = (monthly * weight.fillna(WEIGHT["low"])).where(rows.effect_kind.isin(margins))
    order = rows.assign(
        worth=worth, _costs=worth < 0, _gain=worth.where(worth > 0), _weight=weight.fillna(0.0)
    )
    by = {
        "_costs": True,
        "_gain": False,
        "_weight": False,
        "due_on": True,
        "decision_id": True,
    }
    ranked = order.sort_values(
        list(by), ascending=list(by.values()), na_position="last", kind="stable"
    )
    return ranked[schema("monthly_review.ranked").names].head(most).reset_index(drop=True)


@returns("monthly_review.asks")
def asks(decisions: DataFrame) -> DataFrame:
    """What the month asks for in money, per owner: rows that pay out their size."""
    spent = decisions[decisions.spends.eq(True) & decisions["size"].notna()]
    by_owner = spent.assign(due_on=spent.due_on.replace("", np.nan)).groupby("owner_role")
    table = by_owner.agg(
        money=("size", "sum"),
        due_on=("due_on", "min"),
        effect_low=("effect_low", _whole_sum),
        effect_high=("effect_high", _whole_sum),
        n_decisions=("size", "count"),
    )
    by = ["money", "owner_role"]
    return table.reset_index().sort_values(by, ascending=[False, True], ignore_index=True)


def _whole_sum(amounts: pd.Series) -> float:
    """The sum; missing where one of them is."""
    return amounts.sum(min_count=len(amounts))


def wanted(reorder: DataFrame, bundles: DataFrame, decisions: DataFrame) -> DataFrame:
    """The skus that chapters mean to sell: sku, action, notebook. Those of the order
    list (sku, order_units), and those of proposed bundles (a, b).
    """
    pairs = bundles.assign(subject=bundles.a + " + " + bundles.b)
    pairs = pairs.merge(decisions[decisions.verb == "bundle"], on="subject")
    parts = [pairs.assign(sku=pairs[side]) for side in "ab"]
    ordered = _listed(reorder.sku[reorder.order_units > 0], "order", "inventory_planning")
    return pd.concat([ordered, *(part[list(ordered)] for part in parts)], ignore_index=True)


def leaving(delist: DataFrame, quality: DataFrame, new_items: DataFrame) -> DataFrame:
    """The skus that the assortment takes off the shelf: sku, action, notebook."""
    room = "assortment_pricing"
    parts = [
        _listed(delist.sku[delist.effect > 0], "delist", room),
        _listed(new_items.sku[new_items.action == "leave"], "leave", room),
        _listed(quality.sku[quality.is_hold.astype(bool)], "quality hold", room),
    ]
    return pd.concat(parts, ignore_index=True)


def _listed(skus: pd.Series, action: str, room: str) -> DataFrame:
    facts = chapter(room)
    return DataFrame({"sku": skus, "action": action, "notebook": facts.notebook if facts else ""})


@returns("monthly_review.conflicts")
def conflicts(
    decisions: DataFrame,
    *,
    cash_limit: float = float("inf"),
    currency: str = "",
    wanted: DataFrame | None = None,
    leaving: DataFrame | None = None,
) -> DataFrame:
    """Decisions that cannot both be carried out: a subject both raised and lowered,
    skus `wanted` that are `leaving` the shelf (one row per pair of actions), plans that
    together ask for more than the cash.
    """
    rows = []
    is_open = decisions.status != "blocked"
    for (kind, subject), group in decisions[is_open].groupby(["subject_type", "subject"]):
        for verbs in OPPOSED:
            pair = [group[group.verb == verb].head(1) for verb in verbs]
            both = pd.concat(pair)
            if len(both) == 2:
                rows.append((kind, subject, *both.action, ", ".join(both.notebook)))
    if wanted is not None and leaving is not None:
        for (second, shelf), out in leaving.groupby(["action", "notebook"]):
            for (first, room), kept in wanted.groupby(["action", "notebook"], sort=False):
                if both := sorted(set(kept.sku) & set(out.sku)):
                    rows.append(("sku", ", ".join(both), first, second, f"{room}, {shelf}"))
    asked = asks(decisions).money.sum()
    if currency and asked > cash_limit:
        words = {
            "subject": say("monthly_review.asked", money=asked, currency=currency),
            "first": say("monthly_review.all_plans"),
            "second": say("monthly_review.cash_limit", money=cash_limit),
        }
        rows.append(("cash", *words.values(), "all"))
    return frame_of("monthly_review.conflicts", rows)


def review_decisions(
    clashes: DataFrame, register: DataFrame, *, settle_on: str, act_on: str
) -> DataFrame:
    """The review's own rows: conflicts to settle, and risks over their limit to act
    on.
    """
    rows = [
        propose(
            "monthly_review.conflict",
            f"{clash.kind} {clash.subject}",
            due_on=settle_on,
            first=clash.first,
            second=clash.second,
            notebooks=clash.notebooks,
        )
        for clash in clashes.itertuples()
    ]
    rows += [
        propose(
            "monthly_review.risk",
            risk.risk,
            due_on=act_on,
            evidence_metric=risk.risk,
            evidence_value=risk.amount,
            threshold=risk.limit,
            reason=risk.mitigation,
            owner_role=risk.owner_role,
        )
        for risk in register[register.is_over & register.amount.notna()].itertuples()
    ]
    return decision_rows(rows)


def no_results() -> DataFrame:
    """The row of a month in which no other chapter left anything."""
    return decision_rows([propose("monthly_review.no_results", "chapters")])
