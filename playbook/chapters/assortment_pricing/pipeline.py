"""From idea to launch: how long each stage takes, how many ideas come through, what is stuck.

An idea stands in a stage until it enters the next. Those that still stand there have not had
their time: they count as waiting (Kaplan and Meier), not as quick. An idea is stuck when it has
stood in its stage longer than nine of ten did. What a month of waiting costs is the chance that
an idea of that stage is launched, times what a launched product left a month in its first half
year: it is worth that only if the idea is as good as those.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Timestamp

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.messages import say
from playbook.methods.kaplan_meier import kaplan_meier
from playbook.methods.proportions import Z90, wilson
from playbook.store import expression
from playbook.tables import frame_of, returns

__all__ = ["STAGES", "launch_worth", "open_ideas", "pipeline_decisions", "stages"]

#: stages in their order, and what ends an idea
STAGES = (
    "idea",
    "checked",
    "sampled",
    "ordered",
    "ready",
)
LAUNCHED, DROPPED = "launched", "dropped"
#: share of ideas that have left their stage by the day from which one is stuck
LATE = 0.9
#: share of launches that came within the days an idea must be old to count for the share launched
RIPE = 0.95
#: ideas that must have left a stage before it says anything, launched products before money does
LEAST_LEFT, LEAST_LAUNCHED = 20, 5
#: days of a launched product's first half year
HALF_YEAR, DAYS_A_MONTH = 182, 365.25 / 12
MOST, DUE_DAYS, REVISIT_DAYS = 3, 14, 45


@dated
def _stays(ideas: Table, as_of: dt.date) -> DataFrame:
    """One row per idea and stage it stood in: days there (to as-of where it stands there still),
    is_open, and what became of the idea (launched, dropped, or missing).
    """
    rows = expression(ideas).filter(_.entered_on <= as_of)
    owner = rows.owner if "owner" in rows.columns else ibis.null("string")
    rows = rows.select("idea_id", "entered_on", "stage", owner=owner).to_pandas()
    place = rows.stage.map({name: i for i, name in enumerate([*STAGES, LAUNCHED, DROPPED])})
    rows = rows.assign(place=place, entered_on=pd.to_datetime(rows.entered_on))
    rows = rows.sort_values(
        ["idea_id", "entered_on", "place"],
        ignore_index=True,
    )
    following = rows.groupby("idea_id").entered_on.shift(-1)
    ends = rows[rows.stage.isin([LAUNCHED, DROPPED])].groupby("idea_id").last()
    until = following.fillna(Timestamp(as_of))
    rows = rows.assign(
        days=(until - rows.entered_on).dt.days,
        is_open=following.isna(),
        became=ends.stage.reindex(rows.idea_id).to_numpy(),
        ended_on=pd.to_datetime(ends.entered_on.reindex(rows.idea_id).to_numpy()),
    )
    return rows[rows.stage.isin(STAGES)]


@returns("assortment_pricing.pipeline_stages")
def stages(ideas: Table, *, as_of: dt.date | str) -> DataFrame:
    """The stages in their order. Days are missing where too few ideas have left one; intervals
    are of 90 %.
    """
    every = _stays(ideas, as_of)
    rows = []
    for stage in STAGES:
        part = every[every.stage == stage]
        ripe = part[part.entered_on <= _ripe_on(part, as_of)]
        ended = ripe.became.notna().sum()
        went = (ripe.became == LAUNCHED).sum()
        low, high = wilson(went, ended, 0.9)
        left = int((~part.is_open).sum())
        row = {
            "stage": stage,
            "n_entered": len(part),
            "n_open": len(part) - left,
            "n_left": left,
        }
        row |= dict(
            zip(
                (
                    "days",
                    "days_low",
                    "days_high",
                    "late_after",
                ),
                _days(part),
                strict=True,
            )
        )
        share = went / ended if ended else np.nan
        rows.append(
            row
            | {
                "launch_share": share,
                "launch_low": low,
                "launch_high": high,
            }
        )
    return frame_of("assortment_pricing.pipeline_stages", rows)


def _ripe_on(part: DataFrame, as_of: dt.date | str) -> Timestamp:
    """The day up to which an idea must have entered a stage to be through: drops come sooner than
    launches, so younger ones would show too many.
    """
    took = (part.ended_on - part.entered_on).dt.days[part.became == LAUNCHED]
    return Timestamp(as_of) - pd.Timedelta(days=took.quantile(RIPE) if len(took) else 0)


def _days(part: DataFrame) -> tuple[float, float, float, float]:
    """Days after which half had left a stage, with the ends of its interval, and nine of ten."""
    if (~part.is_open).sum() < LEAST_LEFT:
        return (np.nan,) * 4
    counts = part.groupby("days").is_open.agg(censored="sum", n="size").reset_index()
    counts = counts.assign(day=counts.days, events=counts.n - counts.censored)
    curve = kaplan_meier(counts[["day", "events", "censored"]], level=0.9)
    asked = (
        ("share", 0.5),
        ("high", 0.5),
        ("low", 0.5),
        ("share", LATE),
    )
    return tuple(_first(curve.day, curve[name] >= share) for name, share in asked)


def _first(day: pd.Series, is_reached: pd.Series) -> float:
    return float(day[is_reached].iloc[0]) if is_reached.any() else np.nan


@dated
def launch_worth(ideas: Table, sku_days: Table, *, as_of: dt.date) -> tuple[float, float]:
    """What a launched product left a month in its first half year, and the error of that mean;
    missing where fewer than five are that old, or a cost is not known.
    """
    rows = expression(ideas)
    if "sku" not in rows.columns:
        return np.nan, np.nan
    oldest = as_of - dt.timedelta(days=HALF_YEAR)
    rows = rows.filter((_.stage == LAUNCHED) & _.sku.notnull() & (_.entered_on <= oldest))
    rows = rows.group_by("sku").aggregate(begins=_.entered_on.min())
    days = expression(sku_days).filter(_.units > 0)
    days = days.select("sku", "day_on", margin=days.margin.cast("float64"))
    both = rows.left_join(days, "sku")
    age = both.day_on.cast("date").delta(both.begins, unit="day")
    both = both.mutate(first=age.between(0, HALF_YEAR - 1).fill_null(False))
    sums = both.group_by("sku").aggregate(
        margin=_.margin.sum(where=_.first), lacks=(_.first & _.margin.isnull()).sum()
    )
    frame = sums.order_by("sku").to_pandas()
    if len(frame) < LEAST_LAUNCHED or frame.lacks.sum() > 0:
        return np.nan, np.nan
    each = frame.margin.fillna(0.0) / (HALF_YEAR / DAYS_A_MONTH)
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


@returns("assortment_pricing.pipeline_ideas")
def open_ideas(
    ideas: Table, *, as_of: dt.date | str, worth: tuple[float, float] = (np.nan, np.nan)
) -> DataFrame:
    """Ideas that stand in a stage today, the one furthest beyond nine of ten on top. `worth`:
    launch_worth. Intervals are of 90 %.
    """
    every, known = _stays(ideas, as_of), stages(ideas, as_of=as_of).set_index("stage")
    table = every[every.is_open & every.became.isna()]
    of = known.reindex(table.stage)
    late, share = of.late_after.to_numpy(), of.launch_share.to_numpy()
    error = (of.launch_high - of.launch_low).to_numpy() / 2 / Z90
    money = share * worth[0]
    reach = Z90 * np.sqrt((share * worth[1]) ** 2 + (error * worth[0]) ** 2)
    table = table.assign(
        usual_days=of.days.to_numpy(),
        late_after=late,
        over_days=table.days - late,
        n_left=of.n_left.to_numpy(),
        launch_share=share,
        a_month=money,
        low=money - reach,
        high=money + reach,
    )
    sure = [table.late_after.isna(), table.days > table.late_after]
    table["verdict"] = np.select(sure, ["not known", "stuck"], "on its way")
    table = table.sort_values(
        ["over_days", "idea_id"],
        ascending=[False, True],
    )
    return frame_of("assortment_pricing.pipeline_ideas", table.reset_index(drop=True))


@dated
def pipeline_decisions(waiting: DataFrame | None, *, as_of: dt.date, currency: str) -> DataFrame:
    """The three ideas that are stuck longest: move them on or drop them. None without ideas."""
    stuck = waiting[waiting.verdict == "stuck"] if waiting is not None else []
    rows = []
    for row in stuck[:MOST].itertuples() if len(stuck) else ():
        effect = {"effect": (row.a_month, row.low, row.high)} if pd.notna(row.a_month) else {}
        owner = {"owner_role": row.owner} if isinstance(row.owner, str) else {}
        rows.append(
            propose(
                "assortment_pricing.idea_stuck",
                say("assortment_pricing.idea_stuck", idea=row.idea_id, stage=row.stage),
                size=float(row.over_days),
                evidence_value=float(row.days),
                threshold=float(row.late_after),
                days=int(row.days),
                usual=int(row.usual_days),
                n=int(row.n_left),
                share=row.launch_share,
                due_on=str(as_of + dt.timedelta(days=DUE_DAYS)),
                revisit_on=str(as_of + dt.timedelta(days=REVISIT_DAYS)),
                currency=currency,
                **effect,
                **owner,
            )
        )
    return decision_rows(rows)
