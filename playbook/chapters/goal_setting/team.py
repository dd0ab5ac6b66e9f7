"""Who owns what: duties and their one accountable role, what each role is measured on,
how many people it takes.

*RACI*: each duty has somebody responsible (does it), exactly one accountable role
(answers for it), others consulted or informed. Two accountable roles are nobody's duty.
Roles, never persons.
"""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from playbook.chapters.goal_setting.sections import Table
from playbook.chapters.registry import room_facts
from playbook.messages import say
from playbook.store import distinct_rows, expression
from playbook.tables import frame_of, returns

__all__ = ["cadence", "capacity", "raci_verdicts", "role_scorecards", "tickets_per_person"]


@returns("goal_setting.cadence")
def cadence(team: Table) -> DataFrame:
    """How often who looks at what; the roles are those of `team`."""
    rows = [
        (
            name,
            say(f"goal_setting.cadence_{name}"),
            say(f"goal_setting.cadence_{name}_notebooks"),
            role,
        )
        for name, role in room_facts("goal_setting")["cadence"].items()
    ]
    return frame_of("goal_setting.cadence", rows)


@returns("goal_setting.raci")
def raci_verdicts(team: Table) -> DataFrame:
    """Who is in on each duty, and whether that is `ok`.

    A duty needs exactly one accountable role; that role may also do the work. No
    responsible role is fine where the accountable one does it.
    """
    duties = distinct_rows(expression(team), "role", "kpi", "raci").order_by("kpi", "role")
    rows = []
    for kpi, part in duties.to_pandas().groupby("kpi", sort=True):
        roles = {letter: list(part.loc[part["raci"] == letter, "role"]) for letter in "ARCI"}
        rows.append((kpi, *map(", ".join, roles.values()), _verdict(roles["A"])))
    return frame_of("goal_setting.raci", rows)


def _verdict(accountable: list[str]) -> str:
    n, roles = len(accountable), ", ".join(accountable)
    if n == 0:
        return say("goal_setting.nobody_accountable")
    return "ok" if n == 1 else say("goal_setting.many_accountable", n=n, roles=roles)


@returns("goal_setting.kpi_weights")
def role_scorecards(team: Table, *, sheet: DataFrame | None = None) -> DataFrame:
    """What each role is measured on.

    `sheet` (SMART) adds next month's target and its chance. verdict names roles whose
    weights do not sum to 1 and KPIs a role answers for without a target.
    """
    duties = expression(team).order_by("role", "kpi").to_pandas()
    duties = duties.astype({"weight_share": float})
    goals = DataFrame(columns=["metric", "target", "p_reach", "due_on"])
    if sheet is not None:
        goals = sheet[sheet["horizon"] == "month"]
    goals = goals.set_index("metric")
    for column in ("target", "p_reach", "due_on"):
        duties[column] = duties["kpi"].map(goals[column])
    sums = duties.groupby("role")["weight_share"].transform("sum")
    duties["verdict"] = np.select(
        [(sums - 1).abs() > 1e-6, (duties["raci"] == "A") & duties["target"].isna()],
        [
            sums.map(lambda total: say("goal_setting.weights_sum", total=round(total, 2))),
            say("goal_setting.no_target"),
        ],
        "ok",
    )
    return frame_of("goal_setting.kpi_weights", duties)


@returns("goal_setting.capacity")
def capacity(team: Table, *, workload: dict[str, tuple[str, float, float]]) -> DataFrame:
    """Output per person now and at the goal.

    `workload`: role -> (what is counted, a month's count now, the count at the goal).
    people_needed keeps today's output per person; roles without staff on record are
    missing, not zero.
    """
    staff = expression(team).to_pandas().groupby("role")["n_people"].max()
    work = DataFrame(workload, index=["work", "now", "at_goal"]).T.sort_index()
    work = work.astype({"now": float, "at_goal": float}).rename_axis("role").reset_index()
    n_people = work["role"].map(staff[staff > 0]).astype(float)
    per_person = work["now"] / n_people
    needed = work["at_goal"] / per_person.where(per_person > 0)
    plan = work.assign(
        n_people=n_people,
        per_person=per_person,
        people_needed=needed,
        gap_people=needed - n_people,
    )
    return frame_of("goal_setting.capacity", plan)


def tickets_per_person(capacity: DataFrame) -> float:
    """Tickets that one answers in a month today; missing without staff on record."""
    is_service = capacity["role"] == "customer-service lead"
    return float(capacity.loc[is_service, "per_person"].sum(min_count=1))
