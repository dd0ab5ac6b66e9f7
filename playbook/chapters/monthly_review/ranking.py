"""What the month's proposals win, and which of them are worth a place on the list.

What a decision wins is the difference it makes over the next quarter against doing what
was done, after its cost: a month of what lasts counts three times, a year a quarter, what
comes once counts once. What is a mean of months behind is brought to the orders of the
quarter ahead (`claims`): a saving on every parcel is worth more before Christmas than after
it. A claim is discounted by what claims of its kind came to: in shops whose truth is known
(`came_true.yaml`), or by its stated confidence where nobody measured the kind, blended with
the shop's own results of the kind (`discount`). What does not rank (margin at stake, a
bound, an effect nobody knows) stands after what does.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.registry import room_facts
from playbook.decisions import effects, is_settled, quarters_of, stated_of
from playbook.messages import read_yaml, say
from playbook.tables import frame_of, returns, schema

__all__ = [
    "CLOSED",
    "FLOOR_SHARE",
    "WEIGHT",
    "came_true",
    "claims",
    "discount",
    "floor_of",
    "floor_table",
    "in_order",
    "left_out",
    "left_out_line",
    "owned",
    "margin_is_told",
    "ranked_decisions",
    "calendar_of_tests",
    "worths",
]

#: confidence -> what a claim counts for where its kind was never measured
WEIGHT: dict[str, float] = room_facts("monthly_review")["confidence_weight"]
CLOSED = ("blocked", "done", "declined")
#: kind of decision that is a test -> what it is dealt from
TRAFFIC: dict[str, str] = room_facts("monthly_review")["test_traffic"]
#: share of a month's contribution margin under which a proposal is not worth an hour
FLOOR_SHARE = 0.001
#: the most that a claim counts for, of itself: what claims came to was seen in simulated shops
MOST_SHARE = 1.5
#: spread of a row's share where its kind was never measured
SPREAD = 0.6
#: standard deviations to each end of an interval that holds four in five
Z80 = 1.2816


def came_true() -> dict[str, dict[str, float]]:
    """Kind of decision -> `share` of its claims that came true, `spread` (standard
    deviation of a row's share) and `n` rows it was learned on.
    """
    return _learned()["kinds"]


@functools.cache
def _learned() -> dict[str, Any]:
    return read_yaml(Path(__file__).with_name("came_true.yaml"))


def discount(share: float, spread: float, own: DataFrame) -> tuple[float, float]:
    """What a claim of a kind counts for, and the spread of that, where the table (or the
    stated confidence) says `share` and `spread` and `own` are the shop's results of the
    kind (claim, brought).

    Shares of shops lie around the table's with the standard deviation t (`apart` of
    `came_true.yaml`), a row's around its shop's with the spread s: the posterior mean of
    the shop's share is (k x share + n x own) / (k + n) with k = s² / t² (Efron and Morris,
    1973), own = sum of brought / sum of claims. The spread is blended alike, in squares.
    """
    own = own[own.claim.astype(float) > 0]
    n, worth = len(own), (spread / _learned()["apart"]) ** 2
    if not n:
        return share, spread
    claims, brought = own.claim.astype(float), own.brought.astype(float)
    blend = (worth * share + n * brought.sum() / claims.sum()) / (worth + n)
    off = np.average((brought / claims - blend) ** 2, weights=claims)
    return blend, float(np.sqrt((worth * spread**2 + n * off) / (worth + n)))


def floor_of(margin_of_month: float | None) -> float:
    """Money of a quarter under which a proposal is not worth an hour; 0 where no margin
    is known.
    """
    known = margin_of_month is not None and np.isfinite(margin_of_month)
    return FLOOR_SHARE * max(float(margin_of_month), 0.0) if known else 0.0


@returns("monthly_review.list_floor")
def floor_table(floor: float) -> DataFrame:
    """What a proposal has to win to be listed, as a table the pack can show."""
    return frame_of("monthly_review.list_floor", [(floor,)])


def owned(decisions: DataFrame, team: DataFrame | None) -> DataFrame:
    """The decisions with owners that are in the team: where a role is not, the first of
    those that stand in for it (`stand_ins` of `playbook/decisions.yaml`); empty where
    none is there. Without a team the roles stay.
    """
    if team is None or team.empty:
        return decisions
    there, stand_ins = set(team.role.dropna().astype(str)), effects()["stand_ins"]

    def owner(role: Any) -> str:
        asked = [str(role), *stand_ins.get(str(role), []), *stand_ins["anybody"]]
        return next((name for name in asked if name in there), "")

    return decisions.assign(owner_role=decisions.owner_role.map(owner))


@returns("monthly_review.ranked")
def ranked_decisions(
    decisions: DataFrame,
    *,
    most: int = 10,
    has_costs: bool = True,
    without: DataFrame | None = None,
    own: DataFrame | None = None,
    volume: DataFrame | None = None,
) -> DataFrame:
    """The proposals worth doing, best first, at most `most`: by `worth`, what they win in
    the next quarter after discount, with `worth_low` and `worth_high` (four in five).
    Where nothing is known to win, the others in the order of `in_order`: tests have their
    own calendar (`calendar_of_tests`).

    Without costs (`has_costs` false) no margin is known: revenue takes its place. Money
    of different kinds is not compared. `without` is `left_out`'s table, made here where
    it is not given; `own` are the shop's results so far (`runs.own_results`), `volume` its
    orders ahead (`goal_setting.volume_ahead`).
    """
    known = {"has_costs": has_costs, "own": own, "volume": volume}
    out = left_out(decisions, **known) if without is None else without
    is_open = ~decisions.status.isin(CLOSED) & ~decisions.decision_id.isin(out.decision_id)
    rows = worths(decisions[is_open], **known)
    rows = in_order(rows[rows.worth.notna()] if rows.worth.notna().any() else rows)
    return rows[schema("monthly_review.ranked").names].head(most).reset_index(drop=True)


def in_order(rows: DataFrame) -> DataFrame:
    """Rows of `worths`, best first: what wins, by `worth`; money at stake; effects of any
    other kind; no effect known (a target and its forecast are none); what wins nothing; what
    changes nothing; blocked rows. Effects of two kinds are never compared: within a step
    they stand by kind, in the order of `decisions.yaml`, then by their amount of a quarter
    weighed by confidence.
    """
    known = effects()["effects"]
    kinds = rows.effect_kind.astype(object).fillna("")
    amount = pd.to_numeric(rows.expected_effect, errors="coerce").astype(float)
    is_bound, is_none = (
        kinds.map(lambda kind, fact=fact: bool(known.get(kind, {}).get(fact))).astype(bool)
        for fact in ("is_bound", "is_none")
    )
    steps = {
        6: rows.action.eq("blocked") | rows.status.isin(CLOSED),
        5: rows.is_idle.eq(True),
        4: rows.worth <= 0,
        0: rows.worth > 0,
        3: is_none | amount.isna(),
        1: is_bound,
    }
    step = np.select(list(steps.values()), list(steps), 2)
    quarters = rows.effect_period.astype(object).fillna("").map(quarters_of).astype(float)
    weight = rows.confidence.map(WEIGHT).astype(float).fillna(0.0)
    size = rows.worth.fillna(amount * quarters * weight)
    places = {kind: place for place, kind in enumerate(known)}
    columns = {
        "_step": step,
        # what has a worth is of one kind, what has no effect of none
        "_kind": kinds.map(places)
        .astype(float)
        .where(~np.isin(step, [0, 3, 4]), 0)
        .fillna(len(places)),
        "_size": -size.where(step != 3),
        "_weight": -weight,
    }
    ordered = rows.assign(**columns).sort_values(
        [*columns, "due_on", "decision_id"], na_position="last", kind="stable"
    )
    return ordered.drop(columns=list(columns))


@returns("monthly_review.left_out")
def left_out(
    decisions: DataFrame,
    *,
    floor: float = 0.0,
    has_costs: bool = True,
    clashes: DataFrame | None = None,
    own: DataFrame | None = None,
    volume: DataFrame | None = None,
) -> DataFrame:
    """Proposals that are not worth a reader's time, and why, first reason first: `set
    aside` (a better row of `clashes` stands against it), `changes nothing` (a row that
    says to go on), `already true` (its stop rule holds), `no size`, `no owner`, `wins
    nothing` (its claim, or what such claims come to, is not above 0), `too small` (what
    it wins, or the most that is at stake in it, is under `floor` a quarter). Closed rows
    are not proposals.
    """
    aside = "" if clashes is None else " ".join(clashes.set_aside)
    known = {"has_costs": has_costs, "own": own, "volume": volume}
    rows = worths(decisions[~decisions.status.isin(CLOSED)], **known)
    is_known = rows.worth.notna()
    most = rows.worth.where(is_known, _most_at_stake(rows))
    reasons = {
        "set aside": rows.decision_id.isin(aside.split()),
        "changes nothing": rows.is_idle.eq(True),
        "already true": is_settled(rows),
        "no size": pd.to_numeric(rows["size"], errors="coerce").isna(),
        "no owner": rows.owner_role.fillna("").astype(str).eq(""),
        "wins nothing": is_known & (rows.worth <= 0),
        "too small": most < floor,
    }
    why = np.select(list(reasons.values()), list(reasons), "")
    named = rows.assign(reason=why)[why != ""]
    return frame_of("monthly_review.left_out", named[schema("monthly_review.left_out").names])


def _most_at_stake(rows: DataFrame) -> Series:
    """The most a row can be about in a quarter, where its effect is money that does not
    rank: the higher end of its bound, else the bound; missing where there is none.
    """
    money = [kind for kind, facts in effects()["effects"].items() if facts.get("is_bound")]
    ends = rows[["expected_effect", "effect_high"]].apply(pd.to_numeric, errors="coerce")
    quarters = rows.effect_period.astype(object).fillna("").map(quarters_of).astype(float)
    return (ends.max(axis=1) * quarters).where(rows.effect_kind.isin(money))


@returns("monthly_review.test_calendar")
def calendar_of_tests(decisions: DataFrame, *, without: DataFrame) -> DataFrame:
    """The month's tests, no two at a time on one traffic: the kinds of `TRAFFIC` that are
    not left out, by traffic in the order they are due. A test starts when it is due or
    the day after the one before it on its traffic ends; it runs as long as from its due
    day to the day it is read.
    """
    is_open = ~decisions.status.isin(CLOSED) & ~decisions.decision_id.isin(without.decision_id)
    rows = decisions[is_open & decisions.kind.isin(list(TRAFFIC))]
    segment = rows.subject.where(rows.subject_type == "segment", "")
    rows = rows.assign(traffic=rows.kind.map(TRAFFIC) + segment.map(_with_colon))
    days = {
        name: pd.to_datetime(rows[f"{name}_on"], errors="coerce") for name in ("due", "revisit")
    }
    rows = rows.assign(**days).sort_values(["traffic", "due", "decision_id"], kind="stable")
    free: dict[str, pd.Timestamp] = {}
    told = []
    for row in rows[rows.due.notna() & (rows.revisit > rows.due)].itertuples():
        starts = max(row.due, free.get(row.traffic, row.due))
        ends = starts + (row.revisit - row.due)
        free[row.traffic] = ends + pd.Timedelta(days=1)
        weeks = (ends - starts).days / 7
        told.append(
            {
                "traffic": row.traffic,
                "decision_id": row.decision_id,
                "subject": row.subject,
                "action": row.action,
                "size": row.size,
                "unit": row.unit,
                "starts_on": starts,
                "ends_on": ends,
                "weeks": round(weeks, 1),
                "owner_role": row.owner_role,
            }
        )
    return frame_of("monthly_review.test_calendar", told)


def _with_colon(name: str) -> str:
    return f": {name}" if name else ""


def left_out_line(left: DataFrame, *, floor: float, currency: str) -> str:
    """How many proposals are not listed and why, in one sentence."""
    counted = left.reason.value_counts()
    told = [
        say(f"monthly_review.left_out_{str(reason).replace(' ', '_')}", n=n)
        for reason, n in sorted(counted.items())
    ]
    return say(
        "monthly_review.left_out",
        n=len(left),
        reasons=", ".join(told),
        floor=floor,
        currency=currency,
    )


def claims(
    decisions: DataFrame, *, has_costs: bool = True, volume: DataFrame | None = None
) -> DataFrame:
    """Columns claim, low and high, on the rows' index: what each row says it wins in the quarter
    ahead, with its ends, before any discount; missing where the effect does not rank.

    An effect that is a mean of months behind (`months_behind` of its kind) is taken times what
    `volume` (`goal_setting.volume_ahead`) expects of the quarter's orders beside those months',
    and its ends times the ends of that; as it stands where nothing is expected.
    """
    ranking = (True,) if has_costs else (True, "without_costs")
    margins = [kind for kind, facts in effects()["effects"].items() if facts["ranks"] in ranking]
    quarters = decisions.effect_period.astype(object).fillna("").map(quarters_of).astype(float)
    names = {"claim": "expected_effect", "low": "effect_low", "high": "effect_high"}
    told = DataFrame(
        {
            end: pd.to_numeric(decisions[name], errors="coerce").astype(float) * quarters
            for end, name in names.items()
        },
        index=decisions.index,
    ).where(decisions.effect_kind.isin(margins))
    if volume is None or volume.empty:
        return told
    behind = decisions.get("kind", Series("", decisions.index)).map(
        functools.partial(stated_of, fact="months_behind", default=0)
    )
    table = volume.set_index("months_behind")
    times, least, most = (
        behind.map(table[name].astype(float)).astype(float)
        for name in ("times", "times_low", "times_high")
    )
    least, most = least.fillna(times).fillna(1.0), most.fillna(times).fillna(1.0)
    times = times.fillna(1.0)
    # what may be lost is more with more orders
    return DataFrame(
        {
            "claim": told.claim * times,
            "low": told.low * least.where(told.low > 0, most),
            "high": told.high * most.where(told.high > 0, least),
        }
    )


def worths(
    decisions: DataFrame,
    *,
    has_costs: bool = True,
    own: DataFrame | None = None,
    volume: DataFrame | None = None,
) -> DataFrame:
    """The rows with `worth`, `worth_low` and `worth_high`, money of a quarter after
    discount; missing where the effect does not rank. A kind whose claims came to more counts
    for more, up to `MOST_SHARE` of the claim; both ends reach at least as far as the claim's
    own, and as the spread of what such claims came to.
    """
    said = claims(decisions, has_costs=has_costs, volume=volume)
    claim, low, high = said.claim, said.low, said.high
    share, spread = _discounts(decisions, own)
    share = share.clip(upper=MOST_SHARE)
    worth, reach = share * claim, Z80 * spread * claim.abs()
    most = np.fmax(worth + reach, share * high)
    return decisions.assign(
        worth=worth,
        worth_low=np.fmin(worth - reach, share * low),
        worth_high=most,
    )


def margin_is_told(decisions: DataFrame) -> bool:
    """Whether any row states an effect in margin: where none does, no cost is known."""
    margins = [kind for kind, facts in effects()["effects"].items() if facts["ranks"] is True]
    told = pd.to_numeric(decisions.expected_effect, errors="coerce").notna()
    return bool((told & decisions.effect_kind.isin(margins)).any())


def _discounts(decisions: DataFrame, own: DataFrame | None) -> tuple[Series, Series]:
    """What each claim counts for, and the spread of that; the spread is missing where the
    kind was never measured.
    """
    kinds = decisions.get("kind", Series("", decisions.index)).astype(object).fillna("")
    stated = decisions.confidence.map(WEIGHT).astype(float).fillna(WEIGHT["low"])
    results = {} if own is None else dict(list(own.groupby("kind")))
    pairs = []
    for kind, weight in zip(kinds, stated, strict=True):
        known = came_true().get(kind, {"share": weight, "spread": np.nan})
        pair = known["share"], known["spread"]
        if kind in results:
            spread = SPREAD if np.isnan(pair[1]) else pair[1]
            pair = discount(pair[0], spread, results[kind])
        pairs.append(pair)
    table = DataFrame(
        pairs,
        columns=["share", "spread"],
        index=decisions.index,
        dtype=float,
    )
    return table["share"], table["spread"]
