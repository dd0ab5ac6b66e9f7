"""Which orders the shop's partners claim, and the commission on each.

Nothing else of the shop depends on them; their draws have a stream of their own. Most partners
claim first orders; one steps in at the till of people who were buying anyway.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.streams import key, normal, uniform
from playbook.demo.writing import Clock, order_ids, pick, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("partners.yaml")))


def partners(seed: int) -> DataFrame:
    """One row per partner of a shop: code, kind (brings, or grabs: planted to cost more than it
    brings), new and known (share of such orders it claims), commission (share of revenue).
    """
    table = DataFrame(STATED.partners)
    k = key(seed, "partner", np.arange(len(table)))
    for name in ("new", "known"):
        table[name] *= np.exp(STATED.spread * normal(k, name))
    return table


def claimed(law: DataFrame, keys: ndarray, is_new: ndarray) -> ndarray:
    """Which partner claims each order, by its place in `law`; -1 for none."""
    chance = np.where(is_new, law.new.to_numpy()[:, None], law.known.to_numpy()[:, None])
    return np.where(
        uniform(keys, "claimed") < chance.sum(axis=0),
        (uniform(keys, "claimed") >= chance.cumsum(axis=0)).sum(axis=0),
        -1,
    )


def partner_orders(sim: Simulator, a: Record, clock: Clock) -> pa.Table:
    """Every claim on an order that was paid, a day after the order."""
    law, people = partners(sim.world.seed), sim.people.key[a.o_who]
    keys = key(sim.world.seed, "partner order", a.o_key)
    at = np.flatnonzero((a.o_fate != 1) & (a.o_day < clock.until))
    which = claimed(law, keys[at], people[at] == a.o_key[at])
    at, which = at[which >= 0], which[which >= 0]
    is_out = uniform(keys[at], "rejected") < STATED.rejected
    cents = np.round(a.o_revenue[at] * law.commission.to_numpy()[which])
    return clock.table(
        "partner_orders",
        booked_on=a.o_day[at] + 1,
        partner=texts(law.code).take(pa.array(which)),
        order_id=order_ids(a.o_key[at], a.o_day[at], sim.world.day0),
        commission=cents,
        status=pick(("approved", "rejected"), is_out),
        currency="EUR",
    )


def partner_truth(seed: int) -> DataFrame:
    """One row per partner: code, kind, commission (share of revenue)."""
    return partners(seed)[["code", "kind", "commission"]]
