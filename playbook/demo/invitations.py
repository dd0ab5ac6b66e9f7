"""Whom buyers invited and who came: the friends that `booking` sends, with the invitations
nobody took up, and the reward of the month for each first order.

Nothing else of the shop depends on them; their draws have a stream of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.booking import friends_of
from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.streams import below, key, poisson, uniform
from playbook.demo.world import World
from playbook.demo.writing import Clock, customer_ids, ids, order_ids
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("invitations.yaml")))


def reward_levels(seed: int) -> DataFrame:
    """What was given for a friend's first order beside the usual: kind, first_back and last_back
    (months before the last one), cents.
    """
    rows = []
    for level in STATED.levels:
        low, high = level["cents"]
        draw = float(uniform(key(seed, "reward level", level["kind"]), "cents"))
        rows.append((level["kind"], *level["back"], round((low + (high - low) * draw) / 100) * 100))
    return DataFrame(rows, columns=["kind", "first_back", "last_back", "cents"])


def rewards(seed: int, back: ndarray) -> ndarray:
    """Cents for the first order of somebody invited so many months before the last one."""
    given = np.full(len(back), STATED.usual)
    for level in reward_levels(seed).itertuples():
        given[(back <= level.first_back) & (back >= level.last_back)] = level.cents
    return given


def _months_back(world: World, day: ndarray) -> ndarray:
    last = np.datetime64(world.last_month, "M").astype(int)
    return last - (world.day0 + day).astype("datetime64[M]").astype(int)


def _invited(world: World, a: Record) -> Record:
    """One row per invitation: its key, place of the inviter's order, day, the day somebody
    came of it and the place of their first order (both -1 for none).
    """
    orders = Record(key=a.o_key, fate=a.o_fate, day=a.o_day)
    sends, friend, comes = friends_of(world, orders)
    inviting = sends | (uniform(a.o_key, "invites") < STATED.invites)
    by = np.argsort(a.o_key)
    at = np.minimum(np.searchsorted(a.o_key, friend, sorter=by), len(by) - 1)
    first = np.where(a.o_key[by[at]] == friend, by[at], -1)
    has_come = (first >= 0) | (uniform(friend, "came only") < STATED.came_only)
    answered = Record(of=np.flatnonzero(sends), first=first, comes=np.where(has_come, comes, -1))
    n = poisson(a.o_key[inviting], "unanswered", STATED.unanswered)
    of = np.repeat(np.flatnonzero(inviting), n)
    number = np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
    nobody = np.full(len(of), -1)
    k = np.concatenate([friend, key(a.o_key[of], "unanswered invitation", number)])
    of = np.concatenate([answered.of, of])
    return Record(
        key=k,
        of=of,
        day=a.o_day[of] + 1 + below(k, "invited", 2),
        comes=np.concatenate([answered.comes, nobody]),
        first=np.concatenate([answered.first, nobody]),
    )


def invitations(sim: Simulator, a: Record, clock: Clock) -> pa.Table:
    """Every invitation up to the clock's evening; what came of it later is missing."""
    world, p, i = sim.world, sim.people, _invited(sim.world, a)
    i = Record({name: values[i.day <= clock.until] for name, values in i.items()})
    no_order, nobody = i.first < 0, (i.comes < 0) | (i.comes > clock.until)
    inviter, who = a.o_who[i.of], a.o_who[i.first]
    day, minute = a.o_day[i.first], a.o_minute[i.first]
    came = np.where(no_order, i.comes, day), np.where(no_order, 720, minute)
    is_paid = ~no_order & (a.o_fate[i.first] == 0)
    return clock.table(
        "invitations",
        invitation_id=ids(i.key, 10, "I"),
        invited_at=clock.at(i.day, 600 + below(i.key, "minute", 600)),
        inviter_id=customer_ids(p.key[inviter], p.is_guest[inviter]),
        accepted_at=(clock.at(*came), nobody),
        customer_id=customer_ids(p.key[who], no_order | p.is_guest[who]),
        ordered_at=(clock.at(day, minute, below(a.o_key[i.first], "second", 60)), no_order),
        order_id=order_ids(a.o_key[i.first], day, world.day0).take(
            pa.array(np.arange(len(day)), mask=no_order)
        ),
        reward=(rewards(world.seed, _months_back(world, i.day)), ~is_paid),
    )


def invitation_truth(world: World) -> DataFrame:
    """One row per level of the reward beside the usual: kind (dear: it was planted to cost more
    than those invited bring), first_month, last_month, reward (EUR).
    """
    levels = reward_levels(world.seed)
    last = np.datetime64(world.last_month, "M")
    return DataFrame(
        {
            "kind": levels.kind,
            "first_month": [str(last - n) for n in levels.first_back],
            "last_month": [str(last - n) for n in levels.last_back],
            "reward": levels.cents / 100,
        }
    )
