"""The goods of a simulated day: what comes in, what is ordered, what is served, what
leaves.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
from numpy import ndarray

from playbook.demo.records import Record
from playbook.demo.state import RING, State
from playbook.demo.streams import key, normal, poisson, uniform
from playbook.demo.world import LAWS


def receive(state: State, day: int) -> None:
    """The morning: deliveries and returned units come in; some units vanish."""
    world, slot = state.world, day % RING
    state.on_hand += state.restock[slot]
    state.committed -= state.release[slot]
    state.restock[slot] = state.release[slot] = 0
    for number in state.arriving.pop(day, []):
        line = state.purchase_orders[number]
        state.on_hand[line.sku] += line.n_received - line.n_defective
        state.incoming[line.sku] -= line.n_ordered
    if world.on.shrinkage and day % 30 == 17:
        mean = 0.004 * np.maximum(state.on_hand, 0)
        gone = poisson(key(state.salt, world.sku_key, day), "shrink", mean)
        state.on_hand -= np.minimum(gone, np.maximum(state.on_hand - state.committed, 0))
    lost = world.incidents.get("best_seller_stockout")
    if lost and day == lost[0]:
        _lose_best_seller(state, lost[1] + 1)


def _lose_best_seller(state: State, until: int) -> None:
    """Its free stock cannot be sold any more, and its deliveries wait."""
    sku = state.world.best_seller
    gone = max(state.on_hand[sku] - state.committed[sku], 0)
    state.unsellable[sku] += gone
    state.on_hand[sku] -= gone
    for number in sorted(chain.from_iterable(state.arriving.values())):
        line = state.purchase_orders[number]
        if line.sku == sku and line.received < until:
            state.arriving[line.received].remove(number)
            line.received = until
            state.arriving[until].append(number)


def order_goods(state: State, day: int, wanted: list[tuple[int, int]], cost: ndarray) -> None:
    """Purchase-order lines: the supplier's law says when they arrive and how many are
    good.
    """
    if not wanted:
        return
    world = state.world
    sku, units = np.array(wanted, dtype=int).T
    v = world.supplier[sku]
    received = day + _lead_times(state, day, v)
    lost = world.incidents.get("best_seller_stockout")
    if lost and lost[0] - 30 <= day <= lost[1]:
        late = np.maximum(received, lost[1] + 1)
        received = np.where(sku == world.best_seller, late, received)
    item = key(state.salt, "po-line", day, sku)
    is_short = uniform(item, "short") < world.short_share[v]
    part = np.where(is_short, 0.5 + 0.4 * uniform(item, "how-short"), 1.0)
    n_received = np.floor(units * part).astype(int)
    defects = poisson(item, "defects", world.defect_share[v] * n_received)
    columns = {
        "sku": sku,
        "supplier": v,
        "promised": day + world.lead_stated[v],
        "received": received,
        "n_ordered": units,
        "n_received": n_received,
        "n_defective": np.minimum(defects, n_received),
        "cost": cost[sku],
    }
    stem = f"PO-{(world.day0 + day).astype(object):%Y%m%d}-"
    for values in zip(*(column.tolist() for column in columns.values()), strict=True):
        line = Record(zip(columns, values, strict=True), ordered=day)
        line.po_id = stem + "ABCD"[line.supplier]
        state.arriving[line.received].append(len(state.purchase_orders))
        state.purchase_orders.append(line)
    np.add.at(state.incoming, sku, units)


def hasten(state: State, number: int, how: str) -> None:
    """Hurries a purchase-order line that is under way: part of the days still to go
    fall away, for a share of what its goods cost (`world.yaml`, `hastened`). Asking
    after a line that is not due yet changes nothing.
    """
    law, line = LAWS.hastened[how], state.purchase_orders[number]
    is_early = law["is_when_due"] and line.promised >= state.day
    if is_early or number not in state.arriving.get(line.received, []):
        return
    left = max(line.received - state.day, 0)
    sooner = state.day + min(left, max(round(law["left"] * left), law["least_days"]))
    state.arriving[line.received].remove(number)
    line.received = sooner
    state.arriving[sooner].append(number)
    state.hastening.append((state.day, law["cost_share"] * line.n_ordered * line.cost))


def _lead_times(state: State, day: int, supplier: ndarray) -> ndarray:
    """Whole days; lines of one supplier and day travel together."""
    world, k = state.world, key(state.salt, "po", day, supplier)
    sigma = np.sqrt(np.log1p(world.lead_cv[supplier] ** 2))
    lead = world.lead_mean[supplier] * np.exp(sigma * normal(k, "lead") - sigma**2 / 2)
    return np.maximum(np.round(lead).astype(int), 2)


def shelf(state: State, lines: Record, minute: ndarray, free: ndarray) -> tuple[ndarray, ...]:
    """Serves lines in the order of the clock from what is free; a third of the unserved
    take a neighbour. Gives the skus taken, and which lines got theirs.
    """
    sku, quantity = lines.sku, lines.quantity
    if not state.world.on.stockouts:
        return sku, np.ones(len(sku), bool)
    served = _serve(sku, quantity, minute, free)
    left = free - np.bincount(sku[served], quantity[served], len(free)).astype(int)
    tries = np.flatnonzero(~served & (uniform(lines.wish, "instead") < 0.35))
    if tries.size:
        which = (uniform(lines.wish[tries], "which") * 3).astype(int)
        other = state.world.instead[sku[tries], which]
        ok = _serve(other, quantity[tries], minute[tries], left)
        sku = sku.copy()
        sku[tries[ok]] = other[ok]
        served[tries[ok]] = True
    return sku, served


def _serve(sku: ndarray, quantity: ndarray, minute: ndarray, free: ndarray) -> ndarray:
    """Which lines get their units when each sku's are handed out in the order of the
    clock.
    """
    order = np.lexsort((np.arange(len(sku)), minute, sku))
    s, q = sku[order], quantity[order]
    running = np.cumsum(q)
    head = np.r_[True, s[1:] != s[:-1]] if len(s) else np.zeros(0, bool)
    before = np.maximum.accumulate(np.where(head, running - q, 0)) if len(s) else running
    ok = np.empty(len(sku), bool)
    ok[order] = running - before <= free[s]
    return ok


def dispatch(state: State, day: int) -> ndarray:
    """The evening: parcels leave; the shelf is counted."""
    slot = day % RING
    if not state.world.on.stockouts:
        # Whatever is sold turns up; goods are ordered again as ever.
        state.on_hand = np.maximum(state.on_hand, state.committed + 1)
    state.on_hand -= state.ship[slot]
    state.committed -= state.ship[slot]
    state.ship[slot] = 0
    shelf = [state.on_hand, state.committed, state.incoming, state.unsellable]
    return np.stack(shelf)[None].astype(np.int32)
