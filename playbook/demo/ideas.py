"""Ideas of products on their way to the launch: those that became the shop's products, those
that were dropped, those still on their way.

Nothing else of the shop depends on them; their draws have a stream of their own. One idea is
planted: it lies in its stage, and nobody moves it on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.records import Record
from playbook.demo.streams import below, key, normal, uniform
from playbook.demo.world import World
from playbook.demo.writing import Clock, ids, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("ideas.yaml")))
STAGES = tuple(STATED.stages)
ENDS = ("launched", "dropped")
_DAYS, _DROPPED = np.array(list(STATED.stages.values())).T


def paths(keys: ndarray) -> Record:
    """By idea: `days` in each stage, `goes` (stages it goes through), `is_launched`."""
    days = np.stack(
        [_DAYS[i] * np.exp(STATED.spread * normal(keys, name)) for i, name in enumerate(STAGES)],
        axis=1,
    )
    falls = np.stack(
        [uniform(keys, f"dropped {name}") < _DROPPED[i] for i, name in enumerate(STAGES)], axis=1
    )
    is_launched = ~falls.any(axis=1)
    goes = np.where(is_launched, len(STAGES), falls.argmax(axis=1) + 1)
    return Record(
        days=np.maximum(np.round(days), 1).astype(int), goes=goes, is_launched=is_launched
    )


def stuck_stage(seed: int) -> int:
    """The place of the stage in which the planted idea lies: one with work before it."""
    return int(below(key(seed, "stuck idea", np.arange(1)), "stage", 3)[0])


def entered(way: Record, start: ndarray, until: int) -> DataFrame:
    """Rows of ideas that begin on a day: row, stage, day, up to an evening."""
    days = start[:, None] + np.concatenate(
        [np.zeros((len(start), 1), int), way.days.cumsum(axis=1)], axis=1
    )
    row, place = np.nonzero(np.arange(len(STAGES) + 1) <= way.goes[:, None])
    is_end = place == way.goes[row]
    stage = np.where(is_end, np.where(way.is_launched[row], *ENDS), np.array([*STAGES, ""])[place])
    table = DataFrame({"row": row, "stage": stage, "day": days[row, place]})
    return table[table.day <= until].reset_index(drop=True)


def idea_rows(world: World, until: int) -> DataFrame:
    """Every idea of a shop up to an evening: row, stage, day, sku (place; -1 for none), number of
    the idea. Whatever the evening, what lies before it is the same.
    """
    skus, end, ever = np.flatnonzero(world.launched > 0), world.n_days - 1, 10**6
    k = key(world.seed, "idea of sku", skus)
    way = paths(k)
    way.goes, way.is_launched = np.full(len(skus), len(STAGES)), np.full(len(skus), True)
    one = entered(way, world.launched[skus] - way.days.sum(axis=1), ever)
    one = one.assign(sku=skus[one.row], number=one.row)
    # as many others as the launched ones leave room for; of these none came to a launch in the log
    n = int(len(skus) / np.prod(1 - _DROPPED))
    k = key(world.seed, "idea", np.arange(n))
    two = entered(paths(k), below(k, "begins", end + 1), ever).assign(sku=-1)
    launched = two.row.isin(two.row[(two.stage == ENDS[0]) & (two.day <= end)])
    two = two[~launched].assign(number=lambda t: t.row + len(skus))
    stage, lies = stuck_stage(world.seed), STATED.stuck
    days = np.r_[0, _DAYS[:stage].cumsum(), _DAYS[:stage].sum() + lies * _DAYS[stage]].astype(int)
    three = DataFrame({"row": -1, "stage": STAGES[: stage + 1]})
    three = three.assign(day=end - days[-1] + days[: stage + 1], sku=-1, number=len(skus) + n)
    rows = DataFrame({c: np.concatenate([t[c] for t in (one, two, three)]) for c in one})
    return rows[(rows.day >= 0) & (rows.day <= until)].reset_index(drop=True)


def ideas(world: World, clock: Clock) -> pa.Table:
    """Every stage an idea entered within the log."""
    rows = idea_rows(world, clock.until)
    k = key(world.seed, "idea number", rows.number.to_numpy())
    sku, stage = rows.sku.to_numpy(), rows.stage.to_numpy()
    is_sold = (sku >= 0) & (stage == ENDS[0])
    names = np.array(world.sku_ids, dtype=object)[np.maximum(sku, 0)]
    return clock.table(
        "ideas",
        idea_id=ids(k, 8, "N"),
        entered_on=rows.day.to_numpy(),
        stage=texts(stage),
        owner=texts(np.array(STATED.owners)[below(k, "owner", len(STATED.owners))]),
        sku=texts(np.where(is_sold, names, None)),
    )


def idea_truth(world: World, until: int) -> DataFrame:
    """One row, the planted idea: idea_id, stage, days it has lain there."""
    rows = idea_rows(world, until)
    last = rows.iloc[-1]
    k = key(world.seed, "idea number", np.array([last.number]))
    told = {"idea_id": ids(k, 8, "N").to_pylist(), "stage": [last.stage]}
    return DataFrame(told | {"days": [int(until - last.day)]})
