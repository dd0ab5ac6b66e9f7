"""The words behind the clicks of search advertising, month by month, as a platform tells them:
clicks, cost and claimed orders of the channel shared out over words of known worth.

Nothing else of the shop depends on them; their draws have a stream of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame, concat

from playbook.demo.records import Record
from playbook.demo.streams import key, normal, poisson, uniform
from playbook.demo.world import CAMPAIGNS, CHANNELS, World, channel_law
from playbook.demo.writing import Clock, pick, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("search_words.yaml")))
_SEARCH = CHANNELS.index("search")
_MATCHES = ("exact", "phrase", "broad")


def words(seed: int, name: str) -> DataFrame:
    """One row per word of a shop: term, kind, often (share of the clicks told), and beside the
    mean keen (a click's chance of an order), dear (a click's cost), worth (an order's).
    """
    rows = [(text.format(name=name), "brand") for text in STATED.brand]
    heads = STATED.heads
    rows += [
        (f"{head} {w}".strip(), kind)
        for kind in ("strong", "plain")
        for head in heads
        for w in STATED[kind]
    ]
    losing = [
        f"{w} {heads[(i + j) % len(heads)]}" for j in range(2) for i, w in enumerate(STATED.losing)
    ]
    k = key(seed, "losing word", np.arange(len(losing)))
    rows += [
        (losing[i], "losing") for i in np.sort(np.argsort(uniform(k, "which"))[: STATED.planted])
    ]
    table = DataFrame(rows, columns=["term", "kind"])
    k = key(seed, "search word", np.arange(len(table)))
    for name, spread in STATED.spreads.items():
        mean = table.kind.map({kind: law.get(name, 1.0) for kind, law in STATED.kinds.items()})
        table[name] = mean.to_numpy() * np.exp(spread * normal(k, name))
    table["often"] /= table.often.sum()
    for name in ("keen", "dear"):
        table[name] /= (table.often * table[name]).sum()
    return table


def told(law: DataFrame, month: Record, keys: ndarray) -> DataFrame:
    """What a platform tells of each word in a month: clicks, cents, orders, value (cents), and
    of the truth expected_orders and expected_value given the clicks. `month` holds the
    channel's clicks, cents, orders and value (cents).
    """
    clicks = poisson(keys, "clicks", STATED.told * month.clicks * law.often.to_numpy())
    cents = np.round(clicks * law.dear.to_numpy() * month.cents / max(month.clicks, 1))
    chance = law.keen.to_numpy() * month.orders / max(month.clicks, 1)
    orders = poisson(keys, "orders", clicks * chance)
    worth = law.worth.to_numpy() * month.value / max(month.orders, 1e-9)
    noise = STATED.one_order / np.sqrt(np.maximum(orders, 1)) * normal(keys, "value")
    value = np.round(orders * worth * np.maximum(1 + noise, 0.1))
    return DataFrame(
        {
            "clicks": clicks,
            "cents": cents.astype(int),
            "orders": orders.astype(float),
            "value": value.astype(int),
            "expected_orders": clicks * chance,
            "expected_value": clicks * chance * worth,
        }
    )


def _month(chunk: Record) -> Record:
    orders, value = chunk.claims[_SEARCH]
    cents = float(chunk.spend[:, _SEARCH].sum()) * 100
    clicks = cents / 100 / float(channel_law("cost_per_click")[_SEARCH])
    return Record(clicks=clicks, cents=cents, orders=float(orders.sum()), value=float(value.sum()))


def _of_chunk(world: World, chunk: Record) -> tuple[DataFrame, DataFrame, ndarray]:
    law = words(world.seed, world.preset.name)
    keys = key(world.seed, "search word month", np.arange(len(law)), chunk.first)
    return law, told(law, _month(chunk), keys), keys


def ad_terms(chunk: Record, clock: Clock) -> pa.Table:
    """A month's words that were clicked, one row each."""
    law, rows, keys = _of_chunk(clock.world, chunk)
    is_there = rows.clicks.to_numpy() > 0
    law, rows, keys = law[is_there], rows[is_there], keys[is_there]
    is_brand = law.kind.to_numpy() == "brand"
    views = poisson(keys, "views", rows.clicks * channel_law("views_per_click")[_SEARCH])
    campaigns = [name for name in CAMPAIGNS if name in ("brand", "generic")]
    return clock.table(
        "ad_terms",
        until_on=np.full(len(law), chunk.last - 1),
        n_days=np.full(len(law), chunk.last - chunk.first),
        channel="search",
        campaign=pick(campaigns, np.where(is_brand, 0, 1)),
        ad_group=pick(("brand", "goods"), np.where(is_brand, 0, 1)),
        keyword=texts(law.term.str.split().str[:2].str.join(" ")),
        match_type=pick(_MATCHES, np.where(is_brand, 0, 1 + (law.kind == "losing"))),
        term=texts(law.term),
        impressions=np.maximum(views, rows.clicks),
        clicks=rows.clicks.to_numpy(),
        spend=rows.cents.to_numpy(),
        platform_orders=rows.orders.to_numpy(),
        platform_value=rows.value.to_numpy(),
        currency="EUR",
    )


def word_truth(world: World, chunks: list[Record]) -> DataFrame:
    """One row per month and word of the search advertisements: month, term, kind (losing: it
    was planted to cost more than it brings), clicks, spend, expected_orders and
    expected_value, what its clicks were to bring in claimed orders and their value. EUR.
    """
    parts = []
    for chunk in chunks:
        law, rows, _ = _of_chunk(world, chunk)
        money = rows[["cents", "expected_value"]] / 100
        part = law[["term", "kind"]].join(rows[["clicks", "expected_orders"]])
        part = part.assign(spend=money.cents, expected_value=money.expected_value)
        parts.append(part.assign(month=world.month_of(chunk.first)))
    columns = ["month", "term", "kind", "clicks", "spend", "expected_orders", "expected_value"]
    return concat(parts, ignore_index=True)[columns]
