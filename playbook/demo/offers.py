"""What suppliers offer the shop by quantity: breaks of the price, days to pay, least orders,
and the same goods from another supplier.

Nothing of the shop depends on the offers; their draws have a stream of their own. Quantities
hang on what the shop bought in the year before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame, concat

from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.streams import key, uniform
from playbook.demo.writing import Clock, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("offers.yaml")))
#: days before the last evening on which the offers begin
BEGAN = 200


def offers(seed: int, goods: DataFrame) -> DataFrame:
    """One row per offer: sku, supplier_id, from_quantity, cents, min_order, payment_days, lead,
    kind (base: today's terms; plain, planted: a break; other, other planted: another supplier).

    `goods`: one row per sku with sku, supplier_id, cents (cost per unit), year_units (bought a
    year), min_order, lead (stated days), other_id and other_lead (another supplier). Planted
    ones are drawn among the quarter most money is spent on.
    """
    goods = goods[goods.year_units >= STATED.least_units].reset_index(drop=True)
    draw = key(seed, "offer", np.arange(len(goods)))
    spent = (goods.cents * goods.year_units).rank(pct=True) > 0.75
    order = np.argsort(uniform(draw, "which") + ~spent)
    is_planted = np.isin(goods.index, order[: STATED.n_planted])
    others = order[STATED.n_planted :][: STATED.n_other_planted + STATED.n_other]
    rows = [goods.assign(from_quantity=1, kind="base")]
    for number, months in enumerate(STATED.break_months):
        k = key(seed, "break", np.arange(len(goods)), number)
        off = np.where(is_planted, _between(k, STATED.planted), _between(k, STATED.plain))
        rows.append(
            goods.assign(
                from_quantity=np.maximum(months * goods.year_units / 12, 2).round(),
                cents=(goods.cents * (1 - off * (0.7 + 0.3 * number))).round(),
                kind=np.where(is_planted, "planted", "plain"),
            )
        )
    table = concat(rows).assign(payment_days=STATED.payment_days)
    return concat([table, _elsewhere(seed, goods, others)], ignore_index=True)[
        [
            "sku",
            "supplier_id",
            "from_quantity",
            "cents",
            "min_order",
            "payment_days",
            "lead",
            "kind",
        ]
    ]


def _between(keys: ndarray, ends: list[float]) -> ndarray:
    return ends[0] + (ends[1] - ends[0]) * uniform(keys, "off")


def _elsewhere(seed: int, goods: DataFrame, rows: ndarray) -> DataFrame:
    """The same goods from another supplier, the planted ones first in `rows`."""
    k = key(seed, "offered elsewhere", rows)
    is_planted = np.arange(len(rows)) < STATED.n_other_planted
    off = np.where(is_planted, _between(k, STATED.other_planted), _between(k, STATED.other))
    mine = goods.iloc[rows]
    return mine.assign(
        supplier_id=mine.other_id,
        from_quantity=1,
        cents=(mine.cents * (1 - off)).round(),
        min_order=np.maximum(STATED.other_minimum * mine.year_units / 12, 1).round(),
        payment_days=STATED.other_payment_days,
        lead=mine.other_lead,
        kind=np.where(is_planted, "other planted", "other"),
    )


def _of_shop(sim: Simulator, until: int) -> DataFrame:
    world = sim.world
    bought = np.zeros(len(world.sku_ids))
    for line in sim.purchase_orders:
        if until - 365 < line.ordered <= until:
            bought[line.sku] += line.n_ordered
    other = (world.supplier + 1) % len(world.supplier_ids)
    goods = DataFrame(
        {
            "sku": world.sku_ids,
            "supplier_id": world.supplier_ids[world.supplier],
            "cents": world.unit_cost(max(until - BEGAN, 0)),
            "year_units": bought,
            "min_order": world.min_order,
            "lead": world.lead_stated[world.supplier],
            "other_id": world.supplier_ids[other],
            "other_lead": world.lead_stated[other],
        }
    )
    return goods[world.launched <= until]


def offer_table(sim: Simulator, clock: Clock) -> pa.Table | None:
    """The offers as a table of the contract; None where too little was bought for any."""
    rows = offers(sim.world.seed, _of_shop(sim, clock.until))
    if rows.empty:
        return None
    return clock.table(
        "supplier_offers",
        offered_on=np.full(len(rows), max(clock.until - BEGAN, 0)),
        supplier_id=texts(rows.supplier_id),
        sku=texts(rows.sku),
        from_quantity=rows.from_quantity.to_numpy(int),
        unit_price=rows.cents.to_numpy(int),
        min_order_units=rows.min_order.to_numpy(int),
        payment_days=rows.payment_days.to_numpy(int),
        lead_time_days=rows.lead.to_numpy(float),
    )


def offer_truth(sim: Simulator, until: int) -> DataFrame:
    """One row per offer: sku, supplier_id, from_quantity, unit_price (EUR), kind (base, plain,
    planted, other, other planted).
    """
    rows = offers(sim.world.seed, _of_shop(sim, until))
    rows = rows.assign(unit_price=rows.cents / 100)
    return rows[["sku", "supplier_id", "from_quantity", "unit_price", "kind"]]
