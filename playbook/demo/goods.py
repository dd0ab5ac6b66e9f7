"""Goods, people, prices and stock as the shop sees them on one evening."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy import ndarray

from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.streams import below, key, uniform
from playbook.demo.world import CATEGORIES, CHANNELS, COUNTRIES, LAWS, REGIONS, World
from playbook.demo.writing import WORDS, Clock, customer_ids, pick, texts


def people_tables(sim: Simulator, clock: Clock) -> dict[str, pa.Table]:
    """customers, treatments and the geo tests that have begun."""
    p = sim.people
    known = np.flatnonzero(~p.is_guest[: sim.n])
    born, region = p.born[known], p.region[known]
    lost = clock.world.hits("tracking_outage", born)
    tables = {
        "customers": clock.table(
            "customers",
            customer_id=customer_ids(p.key[known]),
            first_seen_on=born,
            region=pick(REGIONS, region),
            country=pick(COUNTRIES, region),
            is_contactable=p.is_contactable[known],
            acquired_channel=pick(CHANNELS, p.channel[known], lost),
            is_business=p.is_business[known],
        )
    }
    if sim.treatments:
        parts = [_treatment(sim, clock, treatment) for treatment in sim.treatments]
        tables["treatments"] = pa.concat_tables(parts)
    tests = [test for test in sim.geo_tests if test.first <= clock.until]
    if tests:
        rows = [_geo_arm(test, r) for test in tests for r in range(len(REGIONS))]
        tables["geo_tests"] = clock.rows("geo_tests", rows)
    return tables


def _treatment(sim: Simulator, clock: Clock, t: Record) -> pa.Table:
    share = np.where(t.is_treated, t.planned_share, 1 - t.planned_share)
    return clock.table(
        "treatments",
        treatment_id=t.treatment_id,
        customer_id=customer_ids(sim.people.key[t.who]),
        arm=pick(("holdout", "treated"), t.is_treated),
        assigned_at=clock.at(np.full(len(t.who), t.day), 480),
        planned_share=share,
        cost=np.where(t.is_treated, round(t.cost * 100), 0),
    )


def _geo_arm(test: Record, region: int) -> dict:
    return {
        "test_id": test.test_id,
        "region": REGIONS[region],
        "arm": "treated" if region in test.regions else "control",
        "starts_on": test.first,
        "ends_on": test.last,
        "channel": CHANNELS[test.channel],
    }


def goods_tables(sim: Simulator, chunks: list[Record], clock: Clock) -> dict[str, pa.Table]:
    """products, purchase_orders, prices and promotions."""
    world = sim.world
    price = np.concatenate([chunk.env.price for chunk in chunks])
    tables = {"products": _products(clock)}
    if sim.purchase_orders:
        tables["purchase_orders"] = _purchase_orders(sim, clock)
    tables["prices"] = price_table(clock, price)
    every = sim.calendar(clock.until + 1)
    promos = [promo for promo in every if promo.first <= clock.until and len(promo.skus)]
    if promos:
        tables["promotions"] = clock.table(
            "promotions",
            promo_id=[promo.promo_id for promo in promos],
            starts_on=[promo.first for promo in promos],
            ends_on=[promo.last for promo in promos],
            kind=[promo.kind for promo in promos],
            depth_share=[promo.depth for promo in promos],
            skus=[" ".join(world.sku_ids[promo.skus]) for promo in promos],
            cost=[promo.cost for promo in promos],
        )
    return tables


def _products(clock: Clock) -> pa.Table:
    world = clock.world
    rows = np.flatnonzero(world.launched <= clock.until)
    supplier = world.supplier[rows]
    return clock.table(
        "products",
        sku=texts(world.sku_ids[rows]),
        product_id=[f"P-{i // 2:04d}" for i in rows],
        title=pick(world.titles, rows),
        category=pick(CATEGORIES, world.category[rows]),
        brand=pick(LAWS.brands, below(world.sku_key, "brand", 4)[rows]),
        supplier_id=pick(world.supplier_ids, supplier),
        list_price=world.list_price[rows],
        unit_cost=world.unit_cost(clock.until)[rows],
        launched_on=world.launched[rows],
        lead_time_days=world.lead_stated[supplier],
        min_order_units=world.min_order[rows],
        pack_units=world.pack[rows],
        weight_kg=world.weight[rows],
        is_active=world.life(clock.until)[rows] > 0.12,
    )


def _purchase_orders(sim: Simulator, clock: Clock) -> pa.Table:
    names = sim.purchase_orders[0]
    line = Record({c: np.array([line[c] for line in sim.purchase_orders]) for c in names})
    is_open = line.received > clock.until
    return clock.table(
        "purchase_orders",
        po_id=texts(line.po_id),
        sku=pick(clock.world.sku_ids, line.sku),
        supplier_id=pick(clock.world.supplier_ids, line.supplier),
        ordered_on=line.ordered,
        promised_on=line.promised,
        received_on=(line.received, is_open),
        n_ordered=line.n_ordered,
        n_received=(line.n_received, is_open),
        n_defective=(line.n_defective, is_open),
        unit_cost=line.cost,
    )


def stock_table(chunk: Record, clock: Clock) -> pa.Table:
    """The closing position of every launched sku on every day of a month."""
    world, days = clock.world, np.arange(chunk.first, chunk.last)
    d, s = np.nonzero(days[:, None] >= world.launched)
    on_hand, committed, incoming, unsellable = chunk.stock[d, :, s].astype(int).T
    return clock.table(
        "stock",
        day_on=days[d],
        sku=pick(world.sku_ids, s),
        location="main",
        on_hand=on_hand,
        available=np.maximum(on_hand - committed, 0),
        committed=np.minimum(committed, on_hand),
        incoming=incoming,
        unsellable=unsellable,
        unit_cost=chunk.env.cost[s],
    )


def price_table(clock: Clock, price: ndarray) -> pa.Table:
    """Own price changes as they stood (cents by day and sku), and a few competitors'
    prices of every quarter.
    """
    parts = [_own_prices(clock.world, price)]
    parts += [_competitor_prices(clock.world, seller, len(price)) for seller in (1, 2, 3)]
    day, sku, seller, cents, until, is_current = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    return clock.table(
        "prices",
        from_on=day,
        sku=pick(clock.world.sku_ids, sku),
        seller=pick(WORDS.price_sellers, seller),
        price=cents,
        until_on=(until, is_current),
        currency="EUR",
    )


def _own_prices(world: World, price: ndarray) -> tuple[ndarray, ...]:
    """Day, sku, seller, cents, last day and whether it stands, for each change."""
    change = np.zeros(price.shape, bool)
    change[0] = world.launched == 0
    is_sold = np.arange(1, len(price))[:, None] >= world.launched
    change[1:] = (price[1:] != price[:-1]) & is_sold
    starts = (world.launched > 0) & (world.launched < len(price))
    change[world.launched[starts], np.flatnonzero(starts)] = True
    s, d = np.nonzero(change.T)
    last = np.r_[s[1:] != s[:-1], True] if len(s) else np.zeros(0, bool)
    until = np.where(last, 0, np.r_[d[1:] - 1, 0])
    return d, s, np.zeros(len(s), int), price[d, s], until, last


def _competitor_prices(world: World, seller: int, n_days: int) -> tuple[ndarray, ...]:
    """The same for what one competitor asks for the skus it has, once a quarter."""
    quarters, skus = np.arange(0, n_days, 91), np.arange(world.preset.skus)
    q, s = (x.ravel() for x in np.meshgrid(quarters, skus, indexing="ij"))
    k = world.sku_key[s]
    level = uniform(key(k, "level", seller), "u") * 2 - 1
    now = uniform(key(k, "competitor", seller, q), "now") * 2 - 1
    cents = np.round(world.list_price[s] * np.exp(0.12 * level + 0.04 * now) / 10) * 10
    is_watched = uniform(key(k, "watched", seller), "u") < 0.35
    keep = is_watched & (world.launched[s] <= q)
    columns = q, s, np.full(len(q), seller), cents.astype(int), q + 90, q + 91 >= n_days
    return tuple(column[keep] for column in columns)
