"""What somebody who knew the laws of the shop would do: the yardstick for decisions
made from its tables alone.

A stated search, not the optimum. Budgets: each channel up to the point where the next
euro brings back a euro within the horizon, by its true response curve. Order levels:
true demand and lead-time laws, at the critical ratio of margin lost against capital
held. Prices: part of the way to each sku's best price. Scales of the three are then
chosen on futures of other chance than the one that will come. The oracle knows the
laws; it does not know tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from playbook.demo.background import RATES
from playbook.demo.shop import Shop
from playbook.demo.truth import best_price, later_orders, purchase_rate, summed
from playbook.demo.world import CHANNELS, LAWS, PAID

_CAPITAL = RATES["capital_share_per_year"]
_START = {"budgets": 1.0, "prices": 0.4, "order_levels": 1.0}
_DAYS_A_MONTH = 30.4
# share of the orders somebody tries that end as orders
COMES_TRUE = 0.7
# price moves looked at one by one, and how far each goes towards the best price
# and from which extra visits on a promotion is one whose absence shows
_LARGE_LIFT = 0.25
_MOST_PRICES, _PRICE_STEP = 6, 0.8
SCALES: dict[str, tuple[float, ...]] = {
    "budgets": (0.7, 1.0, 1.4),
    "prices": (0.0, 0.4, 0.8),
    "order_levels": (0.0, 1.0),
}


def oracle(
    shop: Shop, *, horizon: int = 12, scales: dict[str, float] | None = None
) -> dict[str, Any]:
    """Decisions for the next month from the true laws: budgets, order_levels, and
    prices where `scales` asks for them.

    `horizon` is the number of months still to be earned from; `scales` comes from
    `search`.
    """
    chosen = {**_START, **(scales or {})}
    out: dict[str, Any] = {
        "budgets": {c: b * chosen["budgets"] for c, b in _budgets(shop, horizon).items()}
    }
    if chosen["order_levels"]:
        out["order_levels"] = _levels(shop)
    if chosen["prices"]:
        out["prices"] = _prices(shop, chosen["prices"])
    return out


def search(shop: Shop, *, months: int = 3, futures: int = 2, horizon: int = 12) -> dict[str, float]:
    """The scale of each lever that earns most over some months of other chance, one
    lever after the other.
    """
    chosen = dict(_START)
    for lever, steps in SCALES.items():
        worth = {
            step: _worth(shop, {**chosen, lever: step}, months, futures, horizon) for step in steps
        }
        chosen[lever] = max(steps, key=lambda step: (worth[step], -step))
    return chosen


def _worth(shop: Shop, scales: dict[str, float], months: int, futures: int, horizon: int) -> float:
    total = 0.0
    for future in range(futures):
        twin = shop.copy().reseed(7_000 + future)
        for ahead in range(months):
            twin.advance(oracle(twin, horizon=max(horizon - ahead, 1), scales=scales))
        ahead = twin.profit().tail(months)
        each = float(ahead.margin.sum() / max(ahead.orders.sum(), 1))
        left = max(horizon - months, 0) * _DAYS_A_MONTH
        later = still_to_come(twin, shop._sim.day, left) * each * COMES_TRUE
        total += float(ahead.profit.sum()) + float(later)
    return total / futures


def still_to_come(shop: Shop, since: int, days: float) -> float:
    """Orders that people won since a day will still try within so many days."""
    sim, p = shop._sim, shop._sim.people
    new = np.flatnonzero(p.born[: sim.n] >= since)
    rate, drop = p.rate[new], p.drop[new]
    return (p.alive[new] * (1 - np.exp(-rate * drop * days)) / drop).sum()


def _budgets(shop: Shop, horizon: int) -> dict[str, float]:
    """EUR of a month by channel: the last step of a fine grid whose euro still brings
    back one.
    """
    sim, world, paid = shop._sim, shop._sim.world, list(PAID)
    tried, won, margin = summed([chunk.truth for chunk in shop._chunks[-12:]])
    base, ahead = purchase_rate(sim), np.arange(sim.day, sim.day + 30)
    season = float((np.sqrt(world.season(ahead)) * world.weekday(ahead)).mean())
    share = won[paid].sum() / max(tried[paid].sum(), 1)
    each = margin[paid].sum() / max(won[paid].sum(), 1)
    budgets = {}
    for c in PAID:
        later = later_orders(sim, c, _DAYS_A_MONTH * horizon) * share
        grid = world.base_spend[c] * np.linspace(0, 8, 401)
        reach = world.response(c, grid)
        newcomers = world.tops(c) * reach * season * share
        nudged = base * world.nudge_top[c] * np.minimum(reach, 1) * share
        value = each * (newcomers * (1 + later) + nudged)
        budgets[CHANNELS[c]] = float(grid[np.argmax(value - grid)]) * _DAYS_A_MONTH
    return budgets


def _levels(shop: Shop) -> dict[str, tuple[int, int]]:
    """Reorder and order-up-to levels from true demand of the last eight weeks, season
    and the suppliers' laws.
    """
    from scipy.special import ndtri

    sim, world = shop._sim, shop._sim.world
    rows = np.flatnonzero(world.launched < sim.day - 28)
    wanted = np.concatenate([chunk.demand for chunk in shop._chunks[-3:]])[-56:][:, rows]
    v = world.supplier[rows]
    lead, spread = world.lead_mean[v], world.lead_mean[v] * world.lead_cv[v]
    growth = _growth(shop, rows, sim.day + lead + 15)
    daily = np.maximum(wanted.mean(axis=0) * growth, 0.005)
    day_var = np.maximum(wanted.var(axis=0), daily)
    cost, price = world.unit_cost(sim.day)[rows] / 100, sim.price(sim.day)[rows] / 100
    gain, held = (price - cost) * 0.7, cost * _CAPITAL * 14 / 365
    critical = np.clip(gain / (gain + held), 0.5, 0.99)
    window = lead + 7
    safety = ndtri(critical) * np.sqrt(window * day_var + daily**2 * spread**2)
    # 25 EUR a purchase order, shared by a dozen lines.
    batch = np.sqrt(2 * daily * 365 * 2.0 / np.maximum(cost * _CAPITAL, 1e-6))
    reorder = np.ceil(daily * window + safety)
    level = np.ceil(reorder + np.maximum(np.maximum(batch, daily * 7), world.pack[rows]))
    pairs = zip(reorder.astype(int).tolist(), level.astype(int).tolist(), strict=True)
    return dict(zip(world.sku_ids[rows].tolist(), pairs, strict=True))


def _growth(shop: Shop, rows: ndarray, then: ndarray) -> ndarray:
    """Demand of skus on a day each, as a multiple of the last eight weeks'."""
    world, now = shop._sim.world, shop._sim.day - 28
    season = world.season(then.astype(int)) / world.season(np.array([now]))[0]
    local, life = (
        np.array([law(t)[r] / max(law(now)[r], 1e-9) for t, r in zip(then, rows, strict=True)])
        for law in (world.category_season, world.life)
    )
    return np.clip(season * local * life, 0.3, 3.0)


def _prices(shop: Shop, part: float) -> dict[str, float]:
    """Part of the way from the price as planned to the best price of the law, at most
    15 % in one go.
    """
    sim, world = shop._sim, shop._sim.world
    rows = np.flatnonzero(world.launched < sim.day)
    now = world.planned_price(sim.day)[rows].astype(float)
    best = best_price(world, sim.day)[rows]
    aim = np.clip(now * (best / now) ** part, 0.7 * now, 1.4 * now)
    current = sim.price(sim.day)[rows]
    aim = np.clip(aim, 0.85 * current, 1.15 * current)
    return {
        str(world.sku_ids[r]): round(float(a) / 100, 1)
        for r, a in zip(rows, aim, strict=True)
        if a >= 10
    }


def single_decisions(shop: Shop, *, months: int = 3) -> dict[str, Any]:
    """What could be decided under known laws, one lever at a time: name -> decisions for
    `Shop.advance`, or a function of (shop, months gone by) that gives those of each month.

    One per paid channel, one per supplier's order levels, one per sku for the price moves
    that promise most, one per test that won, one per large promotion of the period left out, one
    for all overdue lines chased and one for the lines worth their haste.
    """
    sim, world = shop._sim, shop._sim.world
    options: dict[str, Any] = {f"budget {CHANNELS[c]}": _budget_of(c, months) for c in PAID}
    for v, name in enumerate(world.supplier_ids):
        options[f"levels {name}"] = _levels_of(v)
    for test in sim.experiments():
        if test.first <= sim.day and test.lift > 0 and test.number not in sim.shipped:
            options[f"ship {test.test_id}"] = {"shipped": [test.test_id]}
    gains = _price_gains(shop)
    for sku, (price, _) in sorted(gains.items(), key=lambda item: -item[1][1])[:_MOST_PRICES]:
        options[f"price {sku}"] = {"prices": {sku: price}}
    ahead = world.promotions(sim.day + round(months * _DAYS_A_MONTH))
    for promo in ahead:
        if promo.first >= sim.day and len(promo.skus) and promo.lift >= _LARGE_LIFT:
            options[f"without {promo.promo_id}"] = {"cancelled": [promo.promo_id]}
    for how, rows in _worth_haste(shop).items():
        if rows:
            options[f"lines {how}"] = {"hastened": {how: rows}}
    return options


def _budget_of(c: int, months: int) -> Callable[[Shop, int], dict[str, Any]]:
    """One channel's budget up to its best, looked at anew every month."""

    def decide(twin: Shop, ahead: int) -> dict[str, Any]:
        name = CHANNELS[c]
        return {"budgets": {name: _budgets(twin, max(months - ahead, 1))[name]}}

    return decide


def _levels_of(supplier: int) -> Callable[[Shop, int], dict[str, Any]]:
    """Order levels of one supplier's skus, looked at anew every month."""

    def decide(twin: Shop, ahead: int) -> dict[str, Any]:
        world = twin._sim.world
        mine = set(world.sku_ids[world.supplier == supplier].tolist())
        return {"order_levels": {s: pair for s, pair in _levels(twin).items() if s in mine}}

    return decide


def _price_gains(shop: Shop) -> dict[str, tuple[float, float]]:
    """Sku -> (EUR after the step, cents of margin a day it brings at the demand of the
    last eight weeks), by the law of a constant elasticity.
    """
    sim, world = shop._sim, shop._sim.world
    wanted = np.concatenate([chunk.demand for chunk in shop._chunks[-3:]])[-56:].mean(axis=0)
    now, cost = sim.price(sim.day).astype(float), world.unit_cost(sim.day) + 45 * world.weight
    kept = 0.9 - world.return_share
    gains = {}
    for sku, price in _prices(shop, _PRICE_STEP).items():
        s = int(np.flatnonzero(world.sku_ids == sku)[0])
        factor = (price * 100 / now[s]) ** -world.elasticity[s]
        new, old = price * 100 * kept[s] - cost[s], now[s] * kept[s] - cost[s]
        gains[sku] = price, float(wanted[s] * (factor * new - old))
    return gains


def _worth_haste(shop: Shop) -> dict[str, list[dict[str, str]]]:
    """Lines to chase (all that are overdue), and lines of empty shelves whose margin in
    the days won is more than the haste costs.
    """
    sim, world = shop._sim, shop._sim.world
    wanted = np.concatenate([chunk.demand for chunk in shop._chunks[-3:]])[-56:].mean(axis=0)
    margin = np.maximum(sim.price(sim.day) * 0.9 - world.unit_cost(sim.day), 0)
    law, found = LAWS.hastened["expedited"], {"chased": [], "expedited": []}
    for line in sim.purchase_orders:
        if line.received < sim.day:
            continue
        row = {"po_id": line.po_id, "sku": str(world.sku_ids[line.sku])}
        if line.promised < sim.day:
            found["chased"].append(row)
        is_empty = sim.on_hand[line.sku] - sim.committed[line.sku] <= 0
        days = (1 - law["left"]) * (line.received - sim.day)
        won = days * wanted[line.sku] * margin[line.sku] * is_empty
        if won > law["cost_share"] * line.n_ordered * line.cost:
            found["expedited"].append(row)
    return found


def rule_of_thumb(shop: Shop) -> dict[str, Any]:
    """What a dashboard suggests: last month's total, divided in proportion to the
    return each platform claims.
    """
    last = shop._chunks[-1]
    spend = last.spend.sum(axis=(0, 2))
    claimed = {c: cents.sum() / 100 / max(spend[c], 1.0) for c, (_, cents) in last.claims.items()}
    total = sum(float(spend[c]) for c in claimed)
    weight = sum(claimed.values()) or 1.0
    return {"budgets": {CHANNELS[c]: total * value / weight for c, value in claimed.items()}}


def compare(shop: Shop, *, months: int = 12) -> dict[str, Any]:
    """True profit in EUR over the next months under the same chance: as before, the
    rule of thumb, the oracle.
    """
    scales = search(shop, horizon=months)
    worth: dict[str, Any] = {}
    for name in ("as_before", "rule_of_thumb", "oracle"):
        twin = shop.copy()
        for ahead in range(months):
            if name == "as_before":
                decisions = None
            elif name == "rule_of_thumb":
                decisions = rule_of_thumb(twin)
            else:
                decisions = oracle(twin, horizon=months - ahead, scales=scales)
            twin.advance(decisions)
        worth[name] = round(float(twin.profit().tail(months).profit.sum()))
    return {**worth, "scales": scales}
