"""How much to order now: draws of demand over lead time and review, lots, and a budget
spent where it earns most.

The order placed today has to cover the review period after it arrives. Each simulated
future gives the stock left when it arrives (sales lost or owed) and the demand of that
period; the quantity is read off the draws of demand less stock (van Jaarsveld & Arts
2024, see newsvendor.py). Where to stop comes from a fill-rate aim for a group of skus
at the least money in stock, or from costs: the newsvendor ratio holding / (holding +
lost margin).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray

from playbook.measures.demand_panel import money_weight
from playbook.methods.demand import DemandLaw
from playbook.methods.newsvendor import level_for_ratio, levels_for_fill, mean_short

__all__ = ["DRAWS", "OrderPlan", "plan_orders", "spend_budget", "rounded_to_lots"]

DRAWS = 200  # futures behind every order
SMALL_CHANGE = 5000  # steps beyond the budget's end that are tried for what still fits


@dataclass(frozen=True)
class OrderPlan:
    """Per sku, in units: `units` to order, `point` (reorder point against available +
    incoming), `up_to`.

    `fill`, `fill_without`, `cycle` are the expected share of that period's demand served with and
    without the order, and the chance of serving all of it; `need` the draws of demand
    less stock at arrival (sku, draw); `pack` and `lot` what an order comes in: whole
    packs, at least a lot.
    """

    units: ndarray
    point: ndarray
    up_to: ndarray
    fill: ndarray
    fill_without: ndarray
    cycle: ndarray
    need: ndarray
    pack: ndarray
    lot: ndarray


def plan_orders(
    law: DemandLaw,
    stock: pd.DataFrame,
    lead_days: ndarray,
    *,
    chance: ndarray | None = None,
    review_days: float = 7,
    is_lost: bool = True,
    seed: int = 7,
) -> OrderPlan:
    """Order quantities for all skus at once; sales that find no stock are lost
    (`is_lost`) or owed.

    `stock` has one row per sku: available, incoming and incoming_days (until that comes
    in, on average), pack_units, min_order_units, yield_share (of what is ordered arrives
    usable), unit_cost, margin, aim_share. `lead_days` is (sku,) or (sku, draw). Where to
    stop comes from `chance`, the accepted chance of running short by sku; without it
    each aim_share is reached at the least money in stock over the skus that have it.
    """
    before, window = law.windows(lead_days, review_days, n_draws=DRAWS, seed=seed)
    pack = np.maximum(stock.pack_units.to_numpy(float), 1)
    lot = np.maximum(stock.min_order_units.to_numpy(float), 1)
    if chance is None:
        aims, group = np.unique(stock.aim_share, return_inverse=True)
        level, chance = levels_for_fill(
            before,
            window,
            aims,
            cost=money_weight(stock.unit_cost.to_numpy(float), stock.margin.to_numpy(float)),
            group=group,
            lot=np.maximum(lot, pack),
            is_lost=is_lost,
        )
    else:
        level = level_for_ratio(np.sort(before + window, axis=1), 1 - chance)
    mean_lead = lead_days.reshape(len(stock), -1).mean(axis=1)
    at_arrival = _stock_at_arrival(stock, before, mean_lead, is_lost)
    need = window - (np.maximum(at_arrival, 0) if is_lost else at_arrival)
    short = np.ceil(level_for_ratio(np.sort(need, axis=1), 1 - chance) - 1e-6)
    # whole units: the nearer chance
    at, below = ((need > (short - less)[:, None]).mean(axis=1) for less in (0, 1))
    short = np.maximum(np.where(below - chance < chance - at, short - 1, short), 0)
    covered = window.mean(axis=1)
    short = np.where(covered > 0, short / stock.yield_share.to_numpy(float), 0)
    units = rounded_to_lots(short, pack, lot)
    fill, fill_without = (
        1 - mean_short(need, order) / np.maximum(covered, 1e-9) for order in (units, 0 * units)
    )
    return OrderPlan(
        units=units,
        point=level,
        up_to=np.maximum(level, level + lot - 1),
        fill=fill,
        fill_without=fill_without,
        cycle=(need <= units[:, None]).mean(axis=1),
        need=need,
        pack=pack,
        lot=lot,
    )


def rounded_to_lots(
    units: ndarray,
    pack: ndarray,
    least: ndarray | float,
) -> ndarray:
    """Whole packs, at least the least quantity, nothing where nothing is needed."""
    return np.where(
        units > 0,
        np.ceil(np.maximum(units, least) / pack - 1e-9) * pack,
        0.0,
    )


def spend_budget(
    plan: OrderPlan,
    cost: ndarray,
    margin: ndarray,
    budget: float,
    *,
    most_steps: int = 30,
) -> tuple[ndarray, ndarray]:
    """Cut a plan to a budget: units to order, and expected margin of each sku's order
    in the period it covers.

    Steps of one pack (the first one the minimum order) are taken by expected margin per
    unit of money until the money is gone; ties go to the earlier sku. Within a sku a
    later step never earns more than an earlier one, so this is the best use of the
    money up to one step. Skus without a cost, or without a margin above 0, get nothing
    and 0.
    """
    buy = np.flatnonzero((plan.units > 0) & np.isfinite(cost) & (margin > 0) & (cost > 0))
    levels = _order_steps(plan, buy, most_steps)
    need, none = plan.need[buy], np.zeros((len(buy), 1))
    unserved = mean_short(need, none[:, 0])
    earned = [(unserved - mean_short(need, level)) * margin[buy] for level in levels.T]
    earned = np.column_stack([none, *earned])
    size = np.diff(np.concatenate([none, levels], axis=1), axis=1)
    cash = size * cost[buy][:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        worth = np.where(cash > 0, np.diff(earned, axis=1) / cash, -np.inf)
    worth = np.minimum.accumulate(worth, axis=1)
    row, step = np.nonzero(size > 0)
    turn = np.lexsort((step, row, -worth[row, step]))
    taken = _affordable(row[turn], cash[row[turn], step[turn]], budget)
    units, gain = np.zeros(len(cost)), np.zeros(len(cost))
    np.add.at(
        units,
        buy[row[turn][taken]],
        size[row[turn], step[turn]][taken],
    )
    gain[buy] = (unserved - mean_short(need, units[buy])) * margin[buy]
    return units, gain


def _stock_at_arrival(
    stock: pd.DataFrame,
    before: ndarray,
    mean_lead: ndarray,
    is_lost: bool,
) -> ndarray:
    """Stock when an order placed now comes in, (sku, draw): what is on order already
    comes on its own day, and what is sold out before it is lost or owed.
    """
    early = np.clip(stock.incoming_days / np.maximum(mean_lead, 1e-9), 0, 1)
    available, incoming, early = (
        part.to_numpy(np.float32)[:, None] for part in (stock.available, stock.incoming, early)
    )
    left = available - early * before
    if is_lost:
        left = np.maximum(left, 0)
    return left + incoming - (1 - early) * before


def _order_steps(
    plan: OrderPlan,
    buy: ndarray,
    most_steps: int,
) -> ndarray:
    """Units of an order after each step, (sku, step): the least one, then packs."""
    pack, most = plan.pack[buy], plan.units[buy]
    first = np.minimum(rounded_to_lots(np.ones(len(buy)), pack, plan.lot[buy]), most)
    step = np.maximum(np.ceil((most - first) / pack / max(most_steps - 1, 1)), 1) * pack
    return np.minimum(first[:, None] + step[:, None] * np.arange(most_steps), most[:, None])


def _affordable(
    row: ndarray,
    cash: ndarray,
    budget: float,
) -> ndarray:
    """Which steps, best first, the budget pays; after the first that does not fit small
    change goes to what still does, but to no later step of a sku that was left out.
    """
    taken = np.cumsum(cash) <= budget
    cut = len(taken) if taken.all() else int(taken.argmin())
    taken[cut:] = False
    left, closed = budget - cash[:cut].sum(), set()
    for i in range(cut, min(cut + SMALL_CHANGE, len(row))):
        if cash[i] > left:
            closed.add(row[i])
        elif row[i] not in closed:
            taken[i] = True
            left -= cash[i]
    return taken
