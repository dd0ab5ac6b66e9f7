"""The parcels behind the orders, as carriers invoice them: who carried each, what it cost with
surcharges, whether it came in one piece.

A parcel leaves and arrives on its order's days, whoever carries it: carriers differ in price
and damage, not in days. Nothing of the shop depends on it; its draws have streams of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.money import order_of_lines
from playbook.demo.records import Record
from playbook.demo.streams import below, key, normal, uniform
from playbook.demo.world import FREIGHT, REGIONS, World
from playbook.demo.writing import WORDS, Clock, ids, order_ids, pick
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("parcels.yaml")))
_N = len(WORDS.carriers)


def usual_carrier(region: ndarray) -> ndarray:
    """The place of each region's usual carrier, whom the shop books."""
    return np.where(region >= 9, 2, region % 2)


def carrier_law(seed: int) -> DataFrame:
    """One row per region and carrier: region, carrier, price (times the usual), damaged (share
    of parcels), is_usual, is_worst (planted).
    """
    region, carrier = (part.ravel() for part in np.indices((len(REGIONS), _N)))
    k = key(seed, "carrier in region", region * _N + carrier)
    is_usual = carrier == usual_carrier(region)
    worst = int(below(key(seed, "worst carrier", np.arange(1)), "region", len(REGIONS))[0])
    is_worst = is_usual & (region == worst)
    price = np.exp(STATED.price_spread * normal(k, "price"))
    damaged = STATED.damaged * np.exp(STATED.damaged_spread * normal(k, "damaged"))
    return DataFrame(
        {
            "region": np.array(REGIONS)[region],
            "carrier": np.array(WORDS.carriers)[carrier],
            "price": price * np.where(is_worst, STATED.worst_price, 1.0),
            "damaged": damaged * np.where(is_worst, STATED.worst_damage, 1.0),
            "is_usual": is_usual,
            "is_worst": is_worst,
        }
    )


def carried(seed: int, keys: ndarray, region: ndarray, cents: ndarray) -> DataFrame:
    """Who carries parcels to these regions, at which of their prices: carrier (place), cents
    (invoiced), is_damaged. `keys` name the parcels, `cents` is what one usually costs.
    """
    law = carrier_law(seed)
    other = (usual_carrier(region) + 1 + below(keys, "which", _N - 1)) % _N
    is_elsewhere = uniform(keys, "elsewhere") < STATED.elsewhere
    carrier = np.where(is_elsewhere, other, usual_carrier(region))
    place = region * _N + carrier
    noise = np.exp(STATED.invoice_spread * normal(keys, "invoice"))
    return DataFrame(
        {
            "carrier": carrier,
            "cents": np.round(cents * law.price.to_numpy()[place] * noise).astype(int),
            "is_damaged": uniform(keys, "damaged") < law.damaged.to_numpy()[place],
        }
    )


def parcel_table(world: World, a: Record, clock: Clock) -> pa.Table:
    """A month's parcels that were handed over; orders of several lines may go in two."""
    of = order_of_lines(a)
    weight = np.bincount(of, world.weight[a.l_sku] * a.l_quantity, len(a.o_key))
    sent = np.flatnonzero((a.o_fate == 0) & (a.o_ship <= clock.until))
    k = key(world.seed, "parcels of order", a.o_key[sent])
    n = 1 + ((a.o_lines[sent] > 1) & (uniform(k, "split") < STATED.split))
    row, number = np.repeat(sent, n), np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    pieces, region = np.repeat(n, n), a.o_region[row]
    keys = key(world.seed, "parcel", a.o_key[row], number)
    cents = (a.o_freight[row] + (pieces - 1) * FREIGHT[region]) / pieces
    rows = carried(world.seed, keys, region, cents)
    is_under_way = a.o_delivered[row] > clock.until
    return clock.table(
        "parcels",
        parcel_id=ids(keys, 12, "P"),
        order_id=order_ids(a.o_key[row], a.o_day[row], clock.day0),
        handed_on=a.o_ship[row],
        carrier=pick(WORDS.carriers, rows.carrier),
        region=pick(REGIONS, region),
        weight_kg=np.round(weight[row] / pieces, 2),
        cost=rows.cents.to_numpy(),
        delivered_on=(a.o_delivered[row], is_under_way),
        is_damaged=(rows.is_damaged.to_numpy(), is_under_way),
    )
