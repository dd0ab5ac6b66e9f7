"""From logs to steps: how many sessions of a day reached each step of the way to an
order.

A session is one visit. It reached a step when it has an event of that step or of a
later one: whatever order events arrived in, and however often, the furthest step
decides. Counts that cannot be are left out and named, never mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import ibis
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.store import expression

__all__ = ["SPLITS", "STEPS", "Steps", "event_steps", "traffic_steps"]

STEPS = ("session", "view", "cart", "checkout", "purchase")
SPLITS = ("device", "channel", "visitor")
TRAFFIC = dict(
    zip(STEPS, ("sessions", "product_views", "add_to_carts", "checkouts", "buyers"), strict=True)
)
EVENTS = {
    "session_start": "session",
    "view_item": "view",
    "add_to_cart": "cart",
    "begin_checkout": "checkout",
    "purchase": "purchase",
}


@dataclass(frozen=True)
class Steps:
    """`daily`: one row per day_on, device, channel and visitor, with the sessions that
    reached each step; a step the source lacks is no column. `faults`: what was wrong
    with the source, one row per rule: rule, rows, effect.
    """

    daily: pd.DataFrame
    faults: pd.DataFrame


def traffic_steps(traffic: Any, *, as_of: Any) -> Steps:
    """The steps of a traffic export, one row per day, device and channel; regions are
    added up.

    Rows that cannot be (more checkouts or buyers than sessions, more buyers than
    checkouts) are left out and named. A step that in all counts more than the step
    before it does not count sessions; it is dropped and named.

    Raises:
        PlaybookError: no row is left, or those left out hold more than a fifth of all sessions.
    """
    t = expression(traffic).filter(_.day_on <= ibis.literal(pd.Timestamp(as_of).date()))
    t = t.mutate(
        **{c: t[c] if c in t.columns else ibis.null("int64") for c in TRAFFIC.values()},
        **{
            c: t[c].fill_null("unknown") if c in t.columns else ibis.literal("all")
            for c in SPLITS[:2]
        },
    )
    rules = {
        "checkouts above sessions": t.checkouts > t.sessions,
        "buyers above sessions": t.buyers > t.sessions,
        "buyers above checkouts": t.buyers > t.checkouts,
        "sessions missing": t.sessions.isnull(),
    }
    wrong = ibis.literal(False)
    for broken in rules.values():
        wrong = wrong | broken.fill_null(False)
    t = t.mutate(is_wrong=wrong)
    counts = (
        t.aggregate(
            **{name: rule.fill_null(False).sum() for name, rule in rules.items()},
            total=t.sessions.sum(),
            out=t.sessions.sum(where=t.is_wrong),
        )
        .to_pandas()
        .iloc[0]
    )
    total, out = float(counts["total"] or 0), float(counts["out"] if pd.notna(counts["out"]) else 0)
    if not total > 0 or out > 0.2 * total:
        raise PlaybookError(
            "the traffic table cannot carry a funnel",
            table="traffic",
            rule=", ".join(name for name in rules if counts[name] > 0) or "sessions above 0",
            rows=int(sum(counts[name] for name in rules)),
            do="export it again",
        )
    found = [(name, int(counts[name]), "rows left out") for name in rules if counts[name] > 0]
    t = t.filter(~t.is_wrong)
    daily = t.group_by("day_on", "device", "channel").aggregate(
        **{
            step: (t[c].count() == t.count()).ifelse(t[c].sum(), ibis.null("int64"))
            for step, c in TRAFFIC.items()
        }
    )
    daily = daily.order_by("day_on", "device", "channel").to_pandas()
    return _steps(daily.assign(visitor="all"), found)


def event_steps(
    events: Any, *, as_of: Any, gap_minutes: int = 30, lookback_days: int = 28
) -> Steps:
    """The steps of an event log, one row per day (of the session's first event),
    device, channel and visitor.

    An event id counts once. Without session_id a visit ends after `gap_minutes` of
    silence. A visitor is `returning` when an earlier visit began at most
    `lookback_days` before, else `new`; visits of the log's first `lookback_days` cannot
    be told and are `unknown`. Events out of order are counted, and change nothing: the
    furthest step decides.

    Raises:
        PlaybookError: no event carries a name of the funnel.
    """
    e = expression(events).filter(_.occurred_at.date() <= ibis.literal(pd.Timestamp(as_of).date()))
    for column in ("session_id", *SPLITS[:2]):
        if column not in e.columns:
            e = e.mutate(**{column: ibis.null("string")})
    place = ibis.cases(
        *((e.name == name, STEPS.index(step)) for name, step in EVENTS.items()), else_=0
    )
    once = (
        e.mutate(place=place)
        .group_by("event_id")
        .aggregate(
            visitor_id=_.visitor_id.min(),
            at=_.occurred_at.min(),
            session_id=_.session_id.min(),
            place=_.place.max(),
            device=_.device.min(),
            channel=_.channel.min(),
            n=_.count(),
        )
    )
    by_time = ibis.window(group_by="visitor_id", order_by=["at", "event_id"])
    silence = once.at.delta(once.at.lag().over(by_time), unit="second") > gap_minutes * 60
    once = once.mutate(is_start=(once.session_id.isnull() & silence.fill_null(True)).cast("int64"))
    cut = once.is_start.sum().over(
        ibis.cumulative_window(group_by="visitor_id", order_by=["at", "event_id"])
    )
    once = once.mutate(
        session_id=once.session_id.fill_null(ibis.literal("gap:") + cut.cast("string"))
    )
    first = {f"at_{k}": once.at.min(where=once.place == k) for k in range(1, len(STEPS))}
    visits = once.group_by("visitor_id", "session_id").aggregate(
        at=_.at.min(),
        place=_.place.max(),
        device=_.device.min(),
        channel=_.channel.min(),
        n_twice=(_.n - 1).sum(),
        **first,
    )
    late = [
        (visits[f"at_{b}"] < visits[f"at_{a}"]).fill_null(False)
        for a, b in combinations(range(1, len(STEPS)), 2)
    ]
    before = visits.at.lag().over(ibis.window(group_by="visitor_id", order_by=["at", "session_id"]))
    begin = visits.at.min().over(ibis.window())
    gone = visits.at.delta(before, unit="second") / 86_400
    visits = visits.mutate(
        is_mixed=ibis.or_(*late),
        day_on=visits.at.date(),
        device=visits.device.fill_null("all"),
        channel=visits.channel.fill_null("all"),
        visitor=ibis.cases(  # early on only quick returns could be seen: those would bend the usual of `returning`
            (visits.at.delta(begin, unit="second") < lookback_days * 86_400, "unknown"),
            (gone <= lookback_days, "returning"),
            else_="new",
        ),
    )
    daily = visits.group_by("day_on", "device", "channel", "visitor").aggregate(
        **{step: (_.place >= k).sum() for k, step in enumerate(STEPS)},
        n_twice=_.n_twice.sum(),
        n_mixed=_.is_mixed.sum(),
    )
    daily = daily.order_by("day_on", "device", "channel", "visitor").to_pandas()
    if not len(daily) or not daily["view"].sum():
        raise PlaybookError(
            "no event carries a step of the funnel",
            table="events",
            column="name",
            do=f"name events {', '.join(EVENTS)}",
        )
    found = [
        (rule, int(daily[c].sum()), effect)
        for rule, c, effect in (
            ("event id repeated", "n_twice", "counted once"),
            ("steps out of order", "n_mixed", "furthest step decides"),
        )
        if daily[c].sum() > 0
    ]
    return _steps(daily.drop(columns=["n_twice", "n_mixed"]), found)


def _steps(daily: pd.DataFrame, faults: list[tuple[str, int, str]]) -> Steps:
    """The steps that were observed and count sessions; what had to be left out is
    named.
    """
    daily = daily.assign(day_on=pd.to_datetime(daily["day_on"])).astype(dict.fromkeys(STEPS, float))
    before = "session"
    for step in STEPS[1:]:
        both = daily.dropna(subset=[before, step])
        if 2 * len(both) < len(daily) or both[step].sum() > both[before].sum():
            if len(both):
                why = (
                    "is missing on most days"
                    if 2 * len(both) < len(daily)
                    else "does not count sessions"
                )
                faults.append((f"{step} beside {before}", len(both), f"step left out: it {why}"))
            daily = daily.drop(columns=step)
        else:
            before = step
    whole = daily.dropna(subset=[step for step in STEPS if step in daily])
    if len(whole) < len(daily):
        faults.append(("a step is missing", len(daily) - len(whole), "days left out"))
    return Steps(
        whole.reset_index(drop=True), pd.DataFrame(faults, columns=["rule", "rows", "effect"])
    )
