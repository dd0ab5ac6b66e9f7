"""What members have beside their points, who drew lots to go without, and each use with its cost.

Nothing else of the shop depends on it, and it changes nothing in what people buy; its draws have
streams of their own. Members have it from the day after their purchases of a year reach the
tier it begins with, and keep it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.members import member_orders
from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.streams import below, key, uniform
from playbook.demo.world import LAWS
from playbook.demo.writing import Clock, customer_ids, ids, order_ids, pick, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("benefits.yaml")))
_YEAR = 365


def reached(who: ndarray, day: ndarray, cents: ndarray, least: int) -> tuple[ndarray, ndarray]:
    """Whose purchases of a year came to `least` cents, and on which day first; rows are sorted by
    who and day.
    """
    paid = np.append(0, np.cumsum(cents))
    place = who.astype(np.int64) * 1_000_000 + day
    first = np.searchsorted(place, place - _YEAR)
    starts = np.searchsorted(who, who)
    has = paid[1:] - paid[np.maximum(first, starts)] >= least
    people, at = np.unique(who[has], return_index=True)
    return people, day[has][at]


def is_held_out(keys: ndarray, law: dict[str, Any]) -> ndarray:
    """Who of these people goes without the benefit."""
    return uniform(keys, "held out " + law["benefit"]) < law.get("held", 0.0)


def _began(sim: Simulator, law: dict[str, Any]) -> int:
    """The first day of the log on which a benefit is given."""
    month = np.datetime64(sim.world.last_month, "M") - law["back"]
    return max(int((month.astype("datetime64[D]") - sim.world.day0).astype(int)), 0)


def _yearly(keys: ndarray, start: ndarray, until: int, law: dict[str, Any]) -> tuple:
    """Uses once a year on a day of each person's own: who (place), day."""
    own = below(keys, "day of the year", _YEAR)
    who, day = [], []
    for year in range(until // _YEAR + 1):
        on = own + _YEAR * year
        takes = uniform(key(keys, law["benefit"], year), "takes it") < law["share"]
        at = np.flatnonzero((on >= start) & (on <= until) & takes)
        who.append(at), day.append(on[at])
    return np.concatenate(who), np.concatenate(day)


def benefit_tables(sim: Simulator, a: Record, clock: Clock) -> dict[str, pa.Table]:
    """`benefits` and `benefit_uses` up to the clock's evening; nothing where nobody has one."""
    rows = member_orders(sim, a)
    rows = rows[a.o_day[rows] <= clock.until]
    who, bought = a.o_who[rows], a.o_day[rows]
    least = next(tier["threshold"] for tier in LAWS.tiers if tier["name"] == STATED.from_tier)
    people, day = reached(who, bought, a.o_revenue[rows], least)
    keep = day < clock.until
    people, day = people[keep], day[keep]
    if not len(people):
        return {}
    keys = key(sim.world.seed, "benefits of", sim.people.key[people])
    place = np.minimum(np.searchsorted(people, who), len(people) - 1)
    have, uses = [], []
    for law in STATED.benefits:
        start = np.maximum(day + 1, _began(sim, law))
        held = is_held_out(keys, law)
        has_begun = start <= clock.until
        arm = pick(
            ("treated", "holdout"), held[has_begun], np.full(has_begun.sum(), "held" not in law)
        )
        have.append(_have(sim, clock, law, people[has_begun], start[has_begun], arm))
        start = np.where(held | ~has_begun, clock.until + 1, start)
        if law["by"] == "year":
            at, on = _yearly(keys, start, clock.until, law)
            used = key(keys[at], law["benefit"], on)
            uses.append(_uses(sim, clock, law, used, people[at], on))
            continue
        is_member = (people[place] == who) & (bought >= start[place])
        free = a.o_shipping[rows] if law["by"] == "postage" else np.full(len(rows), law["cents"])
        used = key(sim.world.seed, law["benefit"], a.o_key[rows])
        at = np.flatnonzero(is_member & (free > 0) & (uniform(used, "takes it") < law["share"]))
        orders = order_ids(a.o_key[rows[at]], bought[at], sim.world.day0)
        uses.append(_uses(sim, clock, law, used[at], who[at], bought[at], free[at], orders))
    return {"benefits": pa.concat_tables(have), "benefit_uses": pa.concat_tables(uses)}


def _have(
    sim: Simulator, clock: Clock, law: dict[str, Any], who: ndarray, start: ndarray, arm: pa.Array
) -> pa.Table:
    return clock.table(
        "benefits",
        benefit=texts([law["benefit"]] * len(who)),
        customer_id=customer_ids(sim.people.key[who]),
        from_on=start,
        arm=arm,
    )


def _uses(
    sim: Simulator,
    clock: Clock,
    law: dict[str, Any],
    keys: ndarray,
    who: ndarray,
    on: ndarray,
    cents: ndarray | None = None,
    orders: pa.Array | None = None,
) -> pa.Table:
    order = {} if orders is None else {"order_id": orders}
    return clock.table(
        "benefit_uses",
        use_id=ids(keys, 12, "U"),
        benefit=texts([law["benefit"]] * len(who)),
        customer_id=customer_ids(sim.people.key[who]),
        used_on=on,
        cost=np.full(len(who), law["cents"]) if cents is None else cents,
        is_in_margin=np.zeros(len(who), bool),
        **order,
    )


def benefit_truth() -> DataFrame:
    """One row per benefit: benefit, kind (costly is planted), added (margin a member leaves more
    a year because of it: nothing in this shop).
    """
    table = DataFrame(STATED.benefits)[["benefit", "kind"]]
    return table.assign(added=0.0)
