"""Who owns what: duties and their one accountable role, what each role is measured on,
how many people it takes.

*RACI*: each duty has somebody responsible (does it), exactly one accountable role (answers for it), others consulted or
informed. Two accountable roles are nobody's duty. Roles, never persons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from ibis import _

from playbook.store import expression

__all__ = ["CADENCE", "capacity", "raci_verdicts", "role_scorecards"]

#: how often who looks at what; the roles are those of `team`
CADENCE = pd.DataFrame(
    [
        (
            "day",
            "running month, stock-outs, checkout, open tickets",
            "00, 02 and 11 with --until",
            "general manager",
        ),
        (
            "week",
            "pacing, campaigns, replenishment, late parcels",
            "02, 03, 07, 08",
            "marketing head",
        ),
        (
            "month",
            "scorecard, decisions of last month, targets of next",
            "the whole pack, 11 first",
            "general manager",
        ),
        ("quarter", "goals, range, prices, suppliers, roles", "01, 02, 05, 10", "general manager"),
        ("year", "market, business model, team", "01, 02", "general manager"),
    ],
    columns=["cadence", "looked_at", "notebooks", "owner_role"],
)


def raci_verdicts(team: Any) -> pd.DataFrame:
    """One row per duty: kpi, accountable, responsible, consulted, informed (roles),
    verdict (`ok`, or what is wrong).

    A duty needs exactly one accountable role; that role may also do the work. No
    responsible role is fine where the accountable one does it.
    """
    t = (
        expression(team)
        .select("role", "kpi", "raci")
        .distinct()
        .order_by("kpi", "role")
        .to_pandas()
    )
    rows = []
    for kpi, part in t.groupby("kpi", sort=True):
        by = {letter: sorted(part.loc[part["raci"] == letter, "role"]) for letter in "RACI"}
        n = len(by["A"])
        verdict = (
            "ok"
            if n == 1
            else "nobody is accountable"
            if n == 0
            else f"{n} accountable: {', '.join(by['A'])}"
        )
        rows.append(
            {
                "kpi": kpi,
                "accountable": ", ".join(by["A"]),
                "responsible": ", ".join(by["R"]),
                "consulted": ", ".join(by["C"]),
                "informed": ", ".join(by["I"]),
                "verdict": verdict,
            }
        )
    return pd.DataFrame(
        rows, columns=["kpi", "accountable", "responsible", "consulted", "informed", "verdict"]
    )


def role_scorecards(team: Any, *, sheet: pd.DataFrame | None = None) -> pd.DataFrame:
    """What each role is measured on: role, kpi, weight_share, raci, target, p_reach,
    due_on, verdict.

    `sheet` (SMART) adds next month's target and its chance. verdict names roles whose
    weights do not sum to 1 and KPIs a role answers for without a target.
    """
    t = expression(team).order_by("role", "kpi").to_pandas()
    t["weight_share"] = t["weight_share"].astype(float)
    sums = t.groupby("role")["weight_share"].transform("sum")
    goals = (
        sheet[sheet["horizon"] == "month"].set_index("metric")
        if sheet is not None and len(sheet)
        else None
    )
    for column in ("target", "p_reach", "due_on"):
        t[column] = t["kpi"].map(goals[column]) if goals is not None else np.nan
    t["verdict"] = np.select(
        [(sums - 1).abs() > 1e-6, (t["raci"] == "A") & t["target"].isna()],
        ["weights sum to " + sums.round(2).astype(str), "no target"],
        "ok",
    )
    return t[["role", "kpi", "weight_share", "raci", "target", "p_reach", "due_on", "verdict"]]


def capacity(team: Any, *, workload: dict[str, tuple[str, float, float]]) -> pd.DataFrame:
    """Output per person now and at the goal: role, work, n_people, now, per_person,
    at_goal, people_needed, gap_people.

    `workload`: role -> (what is counted, a month's count now, the count at the goal).
    people_needed keeps today's output per person; roles without staff on record are
    missing, not zero.
    """
    t = (
        expression(team)
        .group_by("role")
        .aggregate(n_people=_.n_people.max())
        .order_by("role")
        .to_pandas()
    )
    rows = []
    for role, (work, now, goal) in sorted(workload.items()):
        people = t.loc[t["role"] == role, "n_people"]
        n = float(people.iloc[0]) if len(people) and people.iloc[0] > 0 else np.nan
        per = now / n
        need = goal / per if per > 0 else np.nan
        rows.append(
            {
                "role": role,
                "work": work,
                "n_people": n,
                "now": now,
                "per_person": per,
                "at_goal": goal,
                "people_needed": need,
                "gap_people": need - n,
            }
        )
    return pd.DataFrame(
        rows,
        columns=[
            "role",
            "work",
            "n_people",
            "now",
            "per_person",
            "at_goal",
            "people_needed",
            "gap_people",
        ],
    )
