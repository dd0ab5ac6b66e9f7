"""The decision rows in which chapter 02 ends. A number nobody knows stays missing."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.goal_setting.goals import MANY_ERRORS
from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.metrics import metric_called
from playbook.messages import say

__all__ = ["goal_decisions", "peak_decisions", "people_decisions"]

#: days before its first promotion day by which a peak has to be planned
LEAD_DAYS = 7
#: chance of a target under which it is given up; half of today's where that is less
LEAST_CHANCE = 0.2
#: people a role lacks from which somebody has to be found
LEAST_PEOPLE = 0.5


def goal_decisions(
    verdicts: DataFrame | None,
    *,
    tree: DataFrame | None = None,
    models: DataFrame | None = None,
    paced: DataFrame | None = None,
    raci: DataFrame | None = None,
    tolerance: float = 0.1,
    currency: str,
    due_on: dt.date,
) -> DataFrame:
    """Targets of the next month and quarter, who owns each driver, go or no-go of each
    model, a new plan where the pacing of a month with days to come has left the
    tolerance, duties without exactly one accountable role. All are looked at again after
    a month.
    """
    owners = {} if raci is None else raci.set_index("kpi")["accountable"].to_dict()
    rows = _targets(verdicts) if verdicts is not None else []
    rows += _drivers(tree, owners, currency) if tree is not None else []
    rows += _models(models, currency) if models is not None else []
    rows += _pacing(paced, tolerance) if paced is not None else []
    rows += _duties(raci) if raci is not None else []
    out = decision_rows(rows)
    out["due_on"] = out["due_on"].astype(object).fillna(pd.Timestamp(due_on))
    return out


def _targets(verdicts: DataFrame) -> list[dict]:
    """A target under the least chance is over before it begins: none is proposed."""
    asked = verdicts[~(verdicts["p_reach"].astype(float) < LEAST_CHANCE)]
    return [
        propose(
            "goal_setting.target",
            say(f"goal_setting.next_{goal.horizon}", name=metric_called(goal.metric)),
            action=f"{goal.action} target",
            size=goal.target,
            unit=goal.metric,
            effect=(goal.forecast, goal.low, goal.high),
            evidence_value=goal.p_reach,
            reason=goal.reason,
            threshold=LEAST_CHANCE,
            owner_role=goal.owner_role or "general manager",
            confidence="high" if goal.n_errors >= MANY_ERRORS else "low",
            due_on=goal.due_on,
        )
        for goal in asked[asked["horizon"].isin(["month", "quarter"])].itertuples()
    ]


def _drivers(tree: DataFrame, owners: dict[str, str], currency: str) -> list[dict]:
    return [
        propose(
            f"goal_setting.driver{_against_past(row.is_beyond_past)}",
            metric_called(row.driver),
            size=row.needed,
            unit=row.driver,
            effect=(row.effect,),
            evidence_metric=row.driver,
            evidence_value=row.forecast,
            threshold=row.best_so_far,
            owner_role=owners.get(row.driver) or "general manager",
            currency=currency,
        )
        for row in tree[tree["horizon"] == "quarter"].itertuples()
    ]


def _against_past(is_beyond: object) -> str:
    """The ending of the kind of decision: what is not known is not within the past."""
    if pd.isna(is_beyond):
        return "_past_unknown"
    return "_beyond_past" if is_beyond else ""


def _models(models: DataFrame, currency: str) -> list[dict]:
    per_order = models["cm_per_order"]
    is_best = models.index == 0
    go = np.where(models["is_cac_measured"].eq(True), "go", "go_assumed")
    kinds = np.select(
        [per_order.isna(), per_order <= 0, is_best],
        ["unknown", "no_go", go],
        "second",
    )
    return [
        propose(
            f"goal_setting.model_{kind}",
            f"model {row.model}",
            size=row.orders_needed,
            effect=(row.cm_per_order,),
            evidence_value=row.cm_first_order,
            basket_needed=row.basket_needed,
            missing=row.status,
            currency=currency,
        )
        for kind, row in zip(kinds, models.itertuples(), strict=True)
    ]


def _pacing(paced: DataFrame, tolerance: float) -> list[dict]:
    is_past = paced["actual"].notna()
    # a month that is over cannot be planned again
    newest = paced[is_past].tail(0 if is_past.all() else 1)
    return [
        propose(
            "goal_setting.plan_again",
            f"pacing {day.day_on:%Y-%m}",
            size=day.actual - day.expected,
            evidence_value=day.pacing,
            threshold=1 + tolerance * np.sign(day.pacing - 1),
        )
        for day in newest[(newest["pacing"] - 1).abs() > tolerance].itertuples()
    ]


def _duties(raci: DataFrame) -> list[dict]:
    asked = raci[raci["verdict"] != "ok"]
    asked = asked.assign(kpi=asked["kpi"].map(metric_called))
    duties = asked.groupby("verdict", sort=True)["kpi"].agg(", ".join)
    return [
        propose(
            "goal_setting.duties",
            kpis,
            verdict=verdict,
        )
        for verdict, kpis in duties.items()
    ]


@dated
def peak_decisions(
    peak: DataFrame, weeks: DataFrame, *, as_of: dt.date, due_on: dt.date
) -> DataFrame:
    """What the weeks ahead (`outlook.calendar_ahead`) lack: promotion days of the same
    weeks a year before that nobody has planned, beside the coming peak
    (`outlook.coming_peak`). Due at `due_on` or `LEAD_DAYS` before the first week that lacks
    one, never before the day after as-of.
    """
    lacking = weeks.loc[weeks["promotion_days_missing"] > 0, "week_on"]
    first = lacking.min() - pd.Timedelta(days=LEAD_DAYS)
    due = max(min(pd.Timestamp(due_on), first), pd.Timestamp(as_of) + pd.Timedelta(days=1))
    sums = weeks[[f"promotion_days_{part}" for part in ("before", "planned", "missing")]].sum()
    rows = [
        propose(
            "goal_setting.plan_peak",
            f"peak {row.month}",
            size=sums.promotion_days_missing,
            before=sums.promotion_days_before,
            planned=sums.promotion_days_planned,
            peak_missing=row.promotion_days_missing,
            goods=_goods(row.order_by, pd.Timestamp(as_of)),
        )
        for row in peak.itertuples()
        if sums.promotion_days_missing > 0
    ]
    return decision_rows(rows).assign(due_on=str(due.date()))


def _goods(order_by: dt.date | None, as_of: pd.Timestamp) -> str:
    """By when goods have to be ordered for the peak, or that it is too late for its begin."""
    if pd.isna(order_by):
        return say("goal_setting.goods_not_known")
    ending = "by" if pd.Timestamp(order_by) > as_of else "late"
    return say(f"goal_setting.goods_{ending}", day=f"{pd.Timestamp(order_by):%Y-%m-%d}")


def people_decisions(needed: DataFrame, *, due_on: dt.date) -> DataFrame:
    """Who is short of people in the busiest stretch ahead (`capacity`): one row per role
    that lacks `LEAST_PEOPLE` or more; none where staff or work is not known.
    """
    short = needed[needed["gap_people"] >= LEAST_PEOPLE]
    rows = [
        propose(
            "goal_setting.people_short",
            role.work,
            size=round(role.gap_people, 1),
            evidence_value=role.people_needed,
            threshold=role.n_people,
            owner_role=role.role,
            now=role.now,
            at_goal=role.at_goal,
        )
        for role in short.itertuples()
    ]
    return decision_rows(rows).assign(due_on=due_on)
