"""What the shop publishes, when it goes live, and which orders carry a piece's code.

Nothing else of the shop depends on it; its draws have streams of their own. Orders that come
anyway carry the codes, so reach says nothing of what a piece sells: the format seen most is
planted to cost more than it brings, and so is one live hour.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.streams import below, key, normal, uniform
from playbook.demo.world import World
from playbook.demo.writing import Clock, ids, order_ids, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("content.yaml")))
#: days over which a piece still brings anything
LASTS = 90


def _of_shop(seed: int, rows: list[dict], purpose: str) -> DataFrame:
    table = DataFrame(rows)
    k = key(seed, purpose, np.arange(len(table)))
    for name in ("new", "known"):
        table[name] *= np.exp(STATED.shops * normal(k, name))
    return table


def formats(seed: int) -> DataFrame:
    """One row per format of a shop: name, kind, law (pays, loses, anyway), and as stated."""
    return _of_shop(seed, STATED.formats, "content format")


def hours(seed: int) -> DataFrame:
    """One row per clock hour the shop is live in, by hour: law, new, known."""
    return _of_shop(seed, STATED.hours, "live hour").set_index("hour")


def _often(seed: int, rows: list[dict], weeks: ndarray, purpose: str) -> tuple[ndarray, ...]:
    """Of everything made in these weeks: its key, place in `rows` and day."""
    weekly = np.array([row["weekly"] for row in rows])
    most = int(np.ceil(weekly.max()))
    week, of, n = (part.ravel() for part in np.indices((len(weeks), len(rows), most)))
    k = key(seed, purpose, of * 100 + n, weeks[week])
    # those of one make lie apart in their week
    first = below(key(seed, purpose, "first of a week", of, weeks[week]), "day", 7)
    day = 7 * weeks[week] + (first + n * (7 // most)) % 7
    is_made = uniform(k, "made") < weekly[of] - n
    return k[is_made], of[is_made], day[is_made]


def pieces(seed: int, n_days: int, until: int) -> DataFrame:
    """One row per piece and live session up to a day, in order of its moment: key, of (place
    among formats, then sessions), is_live, day, minute, minutes (0 of a piece), effect.
    """
    weeks = np.arange(max(0, n_days // 7 - STATED.weeks), until // 7 + 1)
    made = _often(seed, STATED.formats, weeks, "content piece")
    live = _often(seed, STATED.sessions, weeks, "live session")
    k, of, day = (np.concatenate(both) for both in zip(made, live, strict=True))
    is_live = np.arange(len(k)) >= len(made[0])
    begins = np.array([s["begins"] for s in STATED.sessions])
    lasts = np.array([s["minutes"] for s in STATED.sessions])
    session = np.where(is_live, of, 0)
    spread = np.where(is_live, STATED.live_spread, STATED.spread)
    table = DataFrame(
        {
            "key": k,
            "of": of,
            "is_live": is_live,
            "day": day,
            "minute": np.where(is_live, begins[session], STATED.up),
            "minutes": np.where(is_live, lasts[session], 0),
            "effect": np.exp(spread * normal(k, "effect") - spread**2 / 2),
        }
    )
    table = table[(table.day <= until) & (table.day >= 0)]
    return table.sort_values(["day", "minute", "key"], ignore_index=True)


def claimed(seed: int, plan: DataFrame, orders: DataFrame) -> ndarray:
    """Which piece of `plan` each order carries the code of, by its place; -1 for none. `orders`:
    key, day, minute, is_new. An order of a live session's hours is no piece's.
    """
    which = np.full(len(orders), -1)
    by = np.argsort(orders.day.to_numpy(), kind="stable")
    o = Record({name: orders[name].to_numpy()[by] for name in orders})
    chance = uniform(key(seed, "content order", o.key), "carries")
    is_free = np.ones(len(by), bool)
    for at, live, hour in _live_hours(plan):
        first, end = np.searchsorted(o.day, [live.day, live.day + 1])
        part = np.arange(first, end)
        part = part[o.minute[part] // 60 == hour]
        law = hours(seed).loc[hour]
        share = np.where(o.is_new[part], law.new, law.known) * live.effect
        which[by[part[chance[part] < share]]], is_free[part] = at, False
    mine, law = plan[~plan.is_live], formats(seed)
    for today in range(int(plan.day.min()), int(plan.day.max()) + LASTS):
        first, end = np.searchsorted(o.day, [today, today + 1])
        part = np.arange(first, end)[is_free[first:end]]
        out = mine[(mine.day <= today) & (mine.day > today - LASTS)]
        if not len(part) or out.empty:
            continue
        left = out.effect * 0.5 ** ((today - out.day) / law.half_life.to_numpy()[out.of])
        for is_new, name in ((True, "new"), (False, "known")):
            some = part[o.is_new[part] == is_new]
            upto = (law[name].to_numpy()[out.of] * left).cumsum().to_numpy()
            place = np.searchsorted(upto, chance[some], side="right")
            has = place < len(upto)
            which[by[some[has]]] = out.index.to_numpy()[place[has]]
    return which


def _live_hours(plan: DataFrame) -> list[tuple[int, object, int]]:
    """Every clock hour of every session: place in the plan, its row, the hour."""
    rows = plan[plan.is_live].itertuples()
    return [
        (row.Index, row, hour)
        for row in rows
        for hour in range(row.minute // 60, (row.minute + row.minutes) // 60)
    ]


def content_tables(sim: Simulator, a: Record, clock: Clock) -> dict[str, pa.Table]:
    """`content_items` and `content_orders` of a shop up to the clock's evening."""
    world = sim.world
    plan = pieces(world.seed, world.n_days, clock.until)
    if plan.empty:
        return {}
    at = np.flatnonzero((a.o_fate != 1) & (a.o_day <= clock.until))
    orders = DataFrame({"key": a.o_key[at], "day": a.o_day[at], "minute": a.o_minute[at]})
    is_new = sim.people.key[a.o_who[at]] == a.o_key[at]
    which = claimed(world.seed, plan, orders.assign(is_new=is_new))
    at, which = at[which >= 0], which[which >= 0]
    names = ids(plan.key.to_numpy(), 8, "P")
    named = clock.table(
        "content_orders",
        order_id=order_ids(a.o_key[at], a.o_day[at], world.day0),
        piece_id=names.take(pa.array(which)),
    )
    return {"content_items": _content(world, plan, names, clock), "content_orders": named}


def _content(world: World, plan: DataFrame, names: pa.Array, clock: Clock) -> pa.Table:
    law, k = formats(world.seed), plan.key.to_numpy()
    of = np.where(plan.is_live, 0, plan.of)
    reach, clicks, cost, half = (
        law[n].to_numpy()[of] for n in ("reach", "clicks", "cost", "half_life")
    )
    so_far = 1 - 0.5 ** ((clock.until + 1 - plan.day) / half)
    long = plan.minutes / 60
    around = np.exp(STATED.around * normal(k, "reach"))
    reach = (
        np.where(plan.is_live, STATED.hourly_reach * long, reach * so_far) * around * world.scale
    )
    visits = reach * np.where(plan.is_live, STATED.hourly_clicks, clicks)
    cost = np.where(plan.is_live, STATED.hourly_cost * long, cost) * world.scale
    what = [*law.name, *(s["name"] for s in STATED.sessions)]
    kinds = [*law.kind, *["live"] * len(STATED.sessions)]
    place = np.where(plan.is_live, len(law) + plan.of, plan.of)
    return clock.table(
        "content_items",
        piece_id=names,
        kind=texts(kinds).take(pa.array(place)),
        published_at=clock.at(plan.day.to_numpy(), plan.minute.to_numpy()),
        minutes=(plan.minutes.to_numpy(), ~plan.is_live.to_numpy()),
        format=texts(what).take(pa.array(place)),
        reach=np.floor(reach).astype(int),
        visits=np.floor(visits).astype(int),
        cost=np.round(cost * np.exp(STATED.around * normal(k, "cost") - STATED.around**2 / 2)),
    )


def content_truth(seed: int) -> DataFrame:
    """One row per format and live hour: what, law (pays; loses: planted to cost more than it
    brings; anyway: pays only by customers the shop had), new and known (share of the first day's
    or the hour's orders), half_life_days (missing of an hour).
    """
    law, hour = formats(seed), hours(seed)
    return DataFrame(
        {
            "what": [*law.name, *(f"{h}:00" for h in hour.index)],
            "law": [*law.law, *hour.law],
            "new": [*law.new, *hour.new],
            "known": [*law.known, *hour.known],
            "half_life_days": [*law.half_life.astype(float), *[np.nan] * len(hour)],
        }
    )
