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

from playbook.methods.demand import DemandLaw
from playbook.methods.newsvendor import level_for_ratio, levels_for_fill, mean_short

__all__ = ["OrderPlan", "plan_orders", "spend_budget", "rounded_to_lots"]


@dataclass(frozen=True)
class OrderPlan:
    """Per sku, in units: `units` to order, `point` (reorder point against available +
    incoming), `up_to`.

    `stop` is the accepted chance of running short in the period covered; `fill`,
    `fill_without`, `cycle` the expected share of that period's demand served with and
    without the order, and the chance of serving all of it; `need` the draws of demand
    less stock at arrival (sku, draw); `window` the mean demand of the period.
    """

    units: np.ndarray
    point: np.ndarray
    up_to: np.ndarray
    stop: np.ndarray
    fill: np.ndarray
    fill_without: np.ndarray
    cycle: np.ndarray
    need: np.ndarray
    window: np.ndarray


def plan_orders(
    law: DemandLaw,
    *,
    available: np.ndarray,
    incoming: np.ndarray,
    incoming_days: np.ndarray,
    lead_days: np.ndarray,
    review_days: float,
    cost: np.ndarray,
    aim: np.ndarray | float | None = None,
    group: np.ndarray | None = None,
    stop: np.ndarray | None = None,
    pack: np.ndarray | float = 1,
    least: np.ndarray | float = 0,
    batch: np.ndarray | float = 0,
    yields: np.ndarray | float = 1,
    is_lost: bool = True,
    n_draws: int = 200,
    seed: int = 7,
) -> OrderPlan:
    """Order quantities for all skus at once.

    `lead_days` is (sku,) or (sku, draw). Give either `aim` (fill rate, one or one per
    `group` in sorted order) or `stop` (accepted chance of running short, e.g. from
    costs). `incoming_days`: when what is on order comes in, on average. `pack`,
    `least`: pack size and minimum order in units; `batch`: order at least so much
    (economic quantity); `yields`: share of what is ordered that arrives usable.
    """
    before, window = law.windows(lead_days, review_days, n_draws=n_draws, seed=seed)
    pack = np.maximum(np.broadcast_to(np.asarray(pack, float), len(available)), 1)
    lot = np.maximum(
        np.maximum(np.broadcast_to(least, len(pack)), np.broadcast_to(batch, len(pack))), 1
    )
    until = before + window
    if stop is None:
        group = np.zeros(len(pack)) if group is None else group
        level, stop = levels_for_fill(
            before, window, aim, cost=cost, group=group, lot=np.maximum(lot, pack), is_lost=is_lost
        )
    else:
        level = level_for_ratio(np.sort(until, axis=1), 1 - stop)
    mean_lead = np.asarray(lead_days, float).reshape(len(pack), -1).mean(axis=1)
    early = np.clip(incoming_days / np.maximum(mean_lead, 1e-9), 0, 1).astype(np.float32)[:, None]
    stock = available.astype(np.float32)[:, None] - early * before
    if is_lost:
        stock = np.maximum(stock, 0)
    stock = stock + incoming.astype(np.float32)[:, None] - (1 - early) * before
    need = window - (np.maximum(stock, 0) if is_lost else stock)
    short = np.ceil(level_for_ratio(np.sort(need, axis=1), 1 - stop) - 1e-6)
    at, below = ((need > (short - less)[:, None]).mean(axis=1) for less in (0, 1))
    short = np.maximum(
        np.where(below - stop < stop - at, short - 1, short), 0
    )  # whole units: the nearer chance
    units = rounded_to_lots(np.where(window.mean(axis=1) > 0, short / yields, 0), pack, lot)
    mean = np.maximum(window.mean(axis=1), 1e-9)
    return OrderPlan(
        units,
        level,
        np.maximum(level, level + lot - 1),
        stop,
        1 - mean_short(need, units) / mean,
        1 - mean_short(need, np.zeros(len(pack))) / mean,
        (need <= units[:, None]).mean(axis=1),
        need,
        window.mean(axis=1),
    )


def rounded_to_lots(units: np.ndarray, pack: np.ndarray, least: np.ndarray | float) -> np.ndarray:
    """Whole packs, at least the least quantity, nothing where nothing is needed."""
    return np.where(units > 0, np.ceil(np.maximum(units, least) / pack - 1e-9) * pack, 0.0)


def spend_budget(
    plan: OrderPlan,
    cost: np.ndarray,
    margin: np.ndarray,
    budget: float,
    *,
    pack: np.ndarray | float = 1,
    least: np.ndarray | float = 0,
    most_steps: int = 30,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a plan to a budget: units to order, and expected margin of each sku's order
    in the period it covers.

    Steps of one pack (the first one the minimum order) are taken by expected margin per
    unit of money until the money is gone; ties go to the earlier sku. Within a sku a
    later step never earns more than an earlier one, so this is the best use of the
    money up to one step. Skus without a cost, or without a margin above 0, get nothing
    and 0.
    """
    buy = np.flatnonzero((plan.units > 0) & np.isfinite(cost) & (margin > 0) & (cost > 0))
    pack = np.maximum(np.broadcast_to(np.asarray(pack, float), len(cost)), 1)[buy]
    first = rounded_to_lots(
        np.ones(len(buy)), pack, np.broadcast_to(np.asarray(least, float), len(cost))[buy]
    )
    first = np.minimum(first, plan.units[buy])
    step = np.maximum(np.ceil((plan.units[buy] - first) / pack / max(most_steps - 1, 1)), 1) * pack
    levels = np.minimum(
        first[:, None] + step[:, None] * np.arange(most_steps), plan.units[buy][:, None]
    )
    need, earned = plan.need[buy], np.zeros((len(buy), most_steps + 1))
    start = mean_short(need, np.zeros(len(buy)))
    for k in range(most_steps):
        earned[:, k + 1] = (start - mean_short(need, levels[:, k])) * margin[buy]
    size = np.diff(np.concatenate([np.zeros((len(buy), 1)), levels], axis=1), axis=1)
    cash = size * cost[buy][:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        worth = np.minimum.accumulate(
            np.where(cash > 0, np.diff(earned, axis=1) / cash, -np.inf), axis=1
        )
    row, k = np.nonzero(size > 0)
    turn = np.lexsort((k, row, -worth[row, k]))
    row, k = row[turn], k[turn]
    fits = np.cumsum(cash[row, k]) <= budget
    cut = int(fits.argmin()) if not fits.all() else len(fits)
    units = np.zeros(len(cost))
    np.add.at(units, buy[row[:cut]], size[row[:cut], k[:cut]])
    left, closed = budget - cash[row[:cut], k[:cut]].sum(), set()
    for i, j in zip(
        row[cut : cut + 5000], k[cut : cut + 5000], strict=True
    ):  # small change for what still fits
        if cash[i, j] > left:
            closed.add(i)
        elif i not in closed:
            units[buy[i]] += size[i, j]
            left -= cash[i, j]
    gain = np.zeros(len(cost))
    gain[buy] = (start - mean_short(need, units[buy])) * margin[buy]
    return units, gain
