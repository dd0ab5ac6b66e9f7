"""How each role did on several figures, and how much of that was its to influence.

The tempting appraisal divides a figure by its target. A month with a promotion, a dearer
calendar or an empty shelf reaches a target, or misses it, whoever is in charge. So what was
reached is told in two parts that multiply to it: *given* is what the card expected of the
month (its own past, the season, the days' promotions, spend and shelf) over the target, and
*own* is what came over what was expected. Only the second can have been the role's doing,
and only where it lies beyond the figure's usual range: within it, four months of five lie
without anybody's doing.

Weights are those of the table `team`. The errors of a role's figures are taken to go
together, the widest they can be: figures of one month share their buyers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.monthly_review.review import better_sign
from playbook.decisions import decision_rows, propose
from playbook.tables import empty, frame_of, returns, schema

__all__ = ["appraisal", "appraisal_decisions", "appraisal_roles"]

#: letters of those who answer for a figure or do the work
HELD = ["A", "R"]
#: share of a role's weights that must be judged before it is
LEAST_JUDGED = 0.5
PARTS = ["attained", "given", "own_part", "own_low", "own_high"]


@returns("monthly_review.appraisal")
def appraisal(card: DataFrame, team: DataFrame | None) -> DataFrame:
    """One figure of one role. Shares are over 1 where that is better, of a figure of which
    less is better too. A figure that is not complete, not expected, or not above nought is
    not judged, and says so.
    """
    if team is None or team.empty:
        return empty("monthly_review.appraisal")
    held = team[team.raci.isin(HELD) & (team.weight_share.astype(float) > 0)]
    held = held.merge(card, left_on="kpi", right_on="metric")
    if held.empty:
        return empty("monthly_review.appraisal")
    sign = np.array([better_sign(metric) for metric in held.metric])
    amounts = held[["actual", "target", "expected", "usual_low", "usual_high"]].astype(float)
    logs = np.log(amounts.where(amounts > 0))
    ends = logs[["usual_low", "usual_high"]].sub(logs.expected, axis=0).mul(sign, axis=0)
    parts = {
        "attained": (logs.actual - logs.target) * sign,
        "given": (logs.expected - logs.target) * sign,
        "own_part": (logs.actual - logs.expected) * sign,
        "own_low": ends.min(axis=1, skipna=False),
        "own_high": ends.max(axis=1, skipna=False),
    }
    table = held[["role", "kpi", "name", "raci", "weight_share", "actual", "target", "expected"]]
    table = table.assign(**{name: np.exp(part) for name, part in parts.items()})
    is_ripe = (held.status == "complete") & (sign != 0)
    is_known = table[["own_part", "own_low", "own_high"]].notna().all(axis=1)
    table["verdict"] = np.select(
        [~is_ripe, ~is_known, table.own_part > table.own_high, table.own_part < table.own_low],
        ["not complete", "not expected", "better", "worse"],
        "as usual",
    )
    table = table.sort_values(
        ["role", "weight_share", "kpi"],
        ascending=[True, False, True],
        ignore_index=True,
    )
    return table[schema("monthly_review.appraisal").names]


@returns("monthly_review.appraisal_roles")
def appraisal_roles(figures: DataFrame) -> DataFrame:
    """Each role over its figures, weighed. `own` beyond its range is told where at least half
    of its weights can be judged; what one figure alone could do shows in `figures`.
    """
    rows = []
    for role, mine in figures.groupby("role", sort=True):
        judged = mine[~mine.verdict.isin(["not complete", "not expected"])]
        weight = judged.weight_share.astype(float)
        share = float(weight.sum() / mine.weight_share.astype(float).sum())
        means = dict.fromkeys(PARTS, np.nan)
        if len(judged):
            logs = np.log(judged[PARTS].astype(float))
            for name in PARTS:
                known = logs[name].notna()
                of_known = weight[known].sum()
                if of_known > 0:
                    mean = (logs[name] * weight)[known].sum() / of_known
                    means[name] = float(np.exp(mean))
        rows.append(
            {
                "role": role,
                "n_kpis": len(judged),
                "n_immature": len(mine) - len(judged),
                "weight_judged": share,
                **means,
                "verdict": _verdict(share, means),
            }
        )
    return frame_of("monthly_review.appraisal_roles", rows)


def appraisal_decisions(roles: DataFrame, figures: DataFrame, **days: Any) -> DataFrame:
    """A row per role whose figures together left what chance does: the cause is looked for
    with the role before anything is scored. `days`: due_on, revisit_on.
    """
    rows = []
    for role in roles[roles.verdict.isin(["better", "worse"])].itertuples():
        mine = figures[(figures.role == role.role) & (figures.verdict == role.verdict)]
        named = mine if len(mine) else figures[figures.role == role.role]
        rows.append(
            propose(
                f"monthly_review.appraise_{role.verdict}",
                role.role,
                size=float(role.n_kpis),
                evidence_value=role.own_part,
                own=role.own_part - 1,
                given=role.given - 1 if pd.notna(role.given) else 0.0,
                low=role.own_low - 1,
                high=role.own_high - 1,
                kpis=", ".join(named.name),
                **days,
            )
        )
    return decision_rows(rows)


def _verdict(share: float, means: dict[str, float]) -> str:
    if share < LEAST_JUDGED or np.isnan(means["own_low"]):
        return "cannot be told"
    if means["own_part"] > means["own_high"]:
        return "better"
    return "worse" if means["own_part"] < means["own_low"] else "as usual"
