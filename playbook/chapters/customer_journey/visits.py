"""From logs to steps: how many sessions of a day reached each step of the way to an
order.

A session is one visit. It reached a step when it has an event of that step or of a
later one: whatever order events arrived in, and however often, the furthest step
decides. Counts that cannot be are left out and named, never mended.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import ibis
import pandas as pd
from ibis import Table, _
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.messages import say
from playbook.store import expression, one_if, seconds_between

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["SPLITS", "STEPS", "Steps", "counted_steps", "event_steps", "filled", "traffic_steps"]

STEPS = ("session", "view", "cart", "checkout", "purchase")
SPLITS = ("device", "channel", "visitor")
#: columns of a traffic export and names of events, in the order of STEPS
TRAFFIC = ("sessions", "product_views", "add_to_carts", "checkouts", "buyers")
EVENTS = ("session_start", "view_item", "add_to_cart", "begin_checkout", "purchase")
MOST_LEFT_OUT = 0.2  # share of sessions in impossible rows from which an export is refused
LOOKBACK_DAYS = 28  # how long a visitor is remembered


@dataclass(frozen=True)
class Steps:
    """`daily`: one row per day_on, device, channel and visitor, with the sessions that
    reached each step; a step the source lacks is no column. `faults`: what was wrong
    with the source, one row per rule: rule, rows, effect.
    """

    daily: DataFrame
    faults: DataFrame


@dated
def traffic_steps(traffic: Table, *, as_of: dt.date) -> Steps:
    """The steps of a traffic export, one row per day, device and channel; regions are
    added up.

    Rows that cannot be (more checkouts or buyers than sessions, more buyers than
    checkouts) are left out and named. A step that in all counts more than the step
    before it does not count sessions; it is dropped and named.

    Raises:
        PlaybookError: no row is left, or those left out hold more than a fifth of all sessions.
    """
    rows = expression(traffic).filter(_.day_on <= as_of)
    absent = {c: ibis.null("int64") for c in TRAFFIC if c not in rows.columns}
    rows = filled(rows.mutate(**absent), *SPLITS[:2], absent="all")
    rules = {
        "checkouts_above_sessions": rows.checkouts > rows.sessions,
        "buyers_above_sessions": rows.buyers > rows.sessions,
        "buyers_above_checkouts": rows.buyers > rows.checkouts,
        "sessions_missing": rows.sessions.isnull(),
    }
    broken = {name: rule.fill_null(False) for name, rule in rules.items()}
    rows = rows.mutate(is_wrong=ibis.or_(*broken.values()), **broken)
    faults = _impossible(rows, list(broken))
    good = rows.filter(~_.is_wrong)
    keys = ["day_on", *SPLITS[:2]]
    counts = {
        step: (good[c].count() == good.count()).ifelse(good[c].sum(), ibis.null("int64"))
        for step, c in zip(STEPS, TRAFFIC, strict=True)
    }
    daily = good.group_by(keys).aggregate(**counts).order_by(keys).to_pandas()
    return _steps(daily.assign(visitor="all"), faults)


@dated
def event_steps(events: Table, *, as_of: dt.date, gap_minutes: int = 30) -> Steps:
    """The steps of an event log, one row per day (of the session's first event),
    device, channel and visitor.

    An event id counts once. Without session_id a visit ends after `gap_minutes` of
    silence. A visitor is `returning` when an earlier visit began at most 28 days
    before, else `new`; visits of the log's first 28 days cannot be told and are
    `unknown`. Events out of order are counted, and change nothing: the furthest step
    decides.

    Raises:
        PlaybookError: no event carries a name of the funnel.
    """
    visits = _visits(_single_events(events, as_of), gap_minutes)
    keys = ["day_on", *SPLITS]
    daily = visits.group_by(keys).aggregate(
        **{step: (_.place >= place).sum() for place, step in enumerate(STEPS)},
        n_repeated=_.n_repeated.sum(),
        n_mixed=_.is_mixed.sum(),
    )
    daily = daily.order_by(keys).to_pandas()
    if not daily["view"].sum() > 0:
        known = ", ".join(EVENTS)
        raise PlaybookError(
            "customer_journey.no_step",
            table="events",
            column="name",
            known=known,
        )
    faults = [
        _fault("repeated", daily.pop("n_repeated").sum(), "counted_once"),
        _fault("mixed", daily.pop("n_mixed").sum(), "furthest_step"),
    ]
    return _steps(daily, [fault for fault in faults if fault[1] > 0])


def counted_steps(shop: Store) -> tuple[dict[str, Steps], list[PlaybookError]]:
    """The steps of each source of visits the shop has, by its table, and the refusals
    of those that cannot be counted.
    """
    counted, refusals = {}, []
    for name, read in (("traffic", traffic_steps), ("events", event_steps)):
        if shop.has(name):
            try:
                counted[name] = read(shop.table(name), as_of=shop.as_of)
            except PlaybookError as refusal:
                refusals.append(refusal)
    return counted, refusals


def filled(table: Table, *names: str, absent: str = "unknown") -> Table:
    """The columns named, `unknown` where a row lacks one and `absent` where the source
    does.
    """
    return table.mutate(
        **{
            name: table[name].fill_null("unknown")
            if name in table.columns
            else ibis.literal(absent)
            for name in names
        }
    )


def _impossible(rows: Table, rules: list[str]) -> list[tuple[str, int, str]]:
    """How many rows broke each rule; refused where they hold too many sessions."""
    counts = rows.aggregate(
        **{name: rows[name].sum() for name in rules},
        total=_.sessions.sum(),
        left_out=_.sessions.sum(where=_.is_wrong),
    )
    n = counts.to_pandas().iloc[0].astype(float).fillna(0.0)
    faults = [_fault(name, n[name], "rows_left_out") for name in rules if n[name] > 0]
    if not n["total"] > 0 or n["left_out"] > MOST_LEFT_OUT * n["total"]:
        rule = ", ".join(fault[0] for fault in faults) or say("customer_journey.rule_no_sessions")
        raise PlaybookError(
            "customer_journey.no_funnel", table="traffic", rule=rule, rows=int(n[rules].sum())
        )
    return faults


def _single_events(events: Table, as_of: dt.date) -> Table:
    """One row per event id: visitor, time, session, how far along the way it lies."""
    log = expression(events).filter(_.occurred_at.date() <= as_of)
    optional = ("session_id", *SPLITS[:2])
    log = log.mutate(**{c: ibis.null("string") for c in optional if c not in log.columns})
    place = ibis.cases(*((log.name == name, k) for k, name in enumerate(EVENTS)), else_=0)
    grouped = log.mutate(place=place).group_by("event_id")
    return grouped.aggregate(
        at=_.occurred_at.min(),
        place=_.place.max(),
        n=_.count(),
        **{c: _[c].min() for c in ("visitor_id", *optional)},
    )


def _visits(events: Table, gap_minutes: int) -> Table:
    """One row per visit: day, splits, furthest step, what was wrong with its events."""
    by_time = {"group_by": "visitor_id", "order_by": ["at", "event_id"]}
    silence = seconds_between(events.at.lag().over(ibis.window(**by_time)), events.at)
    is_start = events.session_id.isnull() & (silence > gap_minutes * 60).fill_null(True)
    events = events.mutate(is_start=one_if(is_start))
    number = events.is_start.sum().over(ibis.cumulative_window(**by_time)).cast("string")
    events = events.mutate(session_id=events.session_id.fill_null(ibis.literal("gap:") + number))
    places = range(1, len(STEPS))
    visits = events.group_by("visitor_id", "session_id").aggregate(
        at=_.at.min(),
        place=_.place.max(),
        device=_.device.min().fill_null("all"),
        channel=_.channel.min().fill_null("all"),
        n_repeated=(_.n - 1).sum(),
        **{f"at_{k}": events.at.min(where=events.place == k) for k in places},
    )
    mixed = [(visits[f"at_{b}"] < visits[f"at_{a}"]) for a, b in combinations(places, 2)]
    return visits.mutate(
        is_mixed=ibis.or_(*(pair.fill_null(False) for pair in mixed)),
        day_on=visits.at.date(),
        visitor=_visitor(visits),
    )


def _visitor(visits: Table) -> ibis.Value:
    """New or returning; unknown early in the log, where only quick returns could be
    seen: those would bend the usual share of `returning`.
    """
    before = visits.at.lag().over(ibis.window(group_by="visitor_id", order_by=["at", "session_id"]))
    log_start = visits.at.min().over(ibis.window())
    memory = LOOKBACK_DAYS * 86_400
    return ibis.cases(
        (seconds_between(log_start, visits.at) < memory, "unknown"),
        (seconds_between(before, visits.at) <= memory, "returning"),
        else_="new",
    )


def _fault(rule: str, rows: float, effect: str, **values: str) -> tuple[str, int, str]:
    """What was wrong with a source, in words."""
    return (
        say(f"customer_journey.rule_{rule}", **values),
        int(rows),
        say(f"customer_journey.effect_{effect}"),
    )


def _steps(daily: DataFrame, faults: list[tuple[str, int, str]]) -> Steps:
    """The steps that were observed and count sessions; what had to be left out is
    named.
    """
    daily = daily.assign(day_on=pd.to_datetime(daily["day_on"])).astype(dict.fromkeys(STEPS, float))
    before = "session"
    for step in STEPS[1:]:
        both = daily.dropna(subset=[before, step])
        is_rare = 2 * len(both) < len(daily)
        if not is_rare and both[step].sum() <= both[before].sum():
            before = step
            continue
        if len(both):
            effect = "mostly_missing" if is_rare else "no_sessions"
            faults.append(
                _fault(
                    "steps",
                    len(both),
                    effect,
                    step=step,
                    before=before,
                )
            )
        daily = daily.drop(columns=step)
    whole = daily.dropna(subset=[step for step in STEPS if step in daily])
    if len(whole) < len(daily):
        faults.append(
            _fault(
                "a_step_missing",
                len(daily) - len(whole),
                "days_left_out",
            )
        )
    table = DataFrame(faults, columns=["rule", "rows", "effect"])
    return Steps(whole.reset_index(drop=True), table)
