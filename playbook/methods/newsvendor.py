"""One decision against one uncertain demand: what to have ready before it is known.

The first-order condition of Snyder & Shen, *Fundamentals of Supply Chain Theory*, 2nd
ed., chapter 4, read off draws of demand, so that any demand law will do. The level of
stock projected to the moment an order arrives follows van Jaarsveld and Arts,
*Projected Inventory-Level Policies for Lost Sales Inventory Systems*, Operations
Research 2024.

Draws are matrices: one row per sku, one column per simulated future, units of demand.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

__all__ = ["level_for_ratio", "mean_short", "spread_over_lot", "levels_for_fill"]

GOLDEN = 0.618034  # steps of this part of a circle fill it evenly
PRICES = (-16.0, 3.0)  # logarithms between which the shadow price is sought
MANY_DRAWS, FEW_DRAWS = 400_000, 40  # a group's sum needs few draws per sku


def level_for_ratio(ordered: ndarray, ratio: ndarray | float) -> ndarray:
    """The smallest drawn level whose share of futures at or below it reaches `ratio`,
    one per row.

    `ordered` holds each row's draws in rising order. A ratio of 1 gives the largest
    draw, never more.
    """
    n = ordered.shape[1]
    place = np.clip(
        np.ceil(np.asarray(ratio) * n - 1e-9).astype(int) - 1,
        0,
        n - 1,
    )
    return ordered[np.arange(len(ordered)), np.broadcast_to(place, len(ordered))]


def mean_short(draws: ndarray, level: ndarray) -> ndarray:
    """Mean units short of `level`, one per row."""
    return np.maximum(draws - np.asarray(level, dtype=draws.dtype)[:, None], 0).mean(axis=1)


def spread_over_lot(lot: ndarray, n_draws: int) -> ndarray:
    """How far above its level orders in lots leave the position: (sku, draw), anywhere
    from nothing to a lot.
    """
    return np.floor(lot[:, None] * ((np.arange(n_draws) * GOLDEN) % 1))


def _short_of(
    level: ndarray,
    spare: ndarray | float,
    before: ndarray,
    window: ndarray,
    on_order: ndarray,
    most_lost: ndarray | None,
) -> ndarray:
    """Units short in the window at an order-up-to level, by draw; `most_lost` is the
    share of demand that may be lost, None where it is owed.
    """
    position = level.astype(window.dtype)[:, None] + spare
    # no more is on order than the level asks for
    coming = np.minimum(on_order, position)
    stock = position - coming - before
    if most_lost is not None:
        lost = np.maximum(before / 2 - (position - coming), 0)
        stock = stock + np.minimum(lost, most_lost * before / 2)
    return np.maximum(window - np.maximum(stock + coming, 0), 0)


def levels_for_fill(
    before: ndarray,
    window: ndarray,
    aim: ndarray | float,
    *,
    cost: ndarray,
    group: ndarray,
    lot: ndarray | float = 1.0,
    is_lost: bool = True,
) -> tuple[ndarray, ndarray]:
    """Order-up-to levels that reach a fill-rate aim over each group of skus with the
    least money in stock.

    `before` and `window` are draws of demand during the lead time and during the review
    period an order has to cover, from the same futures. One more unit of a sku ties up
    `cost` and helps with the probability of running short; one shadow price for all
    skus of a `group` gives the aim at the least cost (Sherbrooke's system approach),
    where an aim sku by sku would overshoot on everything that sells in ones. Orders in
    lots leave the position anywhere between the level and a lot above it; that is
    counted. Lost sales (`is_lost`) do not come back, so less is short than when they
    are owed, by what the aim lets be lost: what is on order is taken to arrive halfway.
    `aim` is one share, or one per group in sorted order. Returns the levels and each
    sku's chance of running short in the window; skus without drawn demand: 0 and 1.
    """
    names, member = np.unique(group, return_inverse=True)
    aims = np.broadcast_to(np.asarray(aim, dtype=float), len(names))
    need = window.mean(axis=1)
    spare = spread_over_lot(np.broadcast_to(lot, len(need)), window.shape[1]).astype(window.dtype)
    ordered = np.sort(before + window - spare, axis=1)
    on_order = np.maximum(before.mean(axis=1) - need, 0)[:, None].astype(window.dtype) * is_lost

    # who serves an aim loses no more than the rest of it, week after week: without that
    # limit a long wait would look covered by sales lost in it
    most_lost = (1 - aims)[member][:, None].astype(window.dtype)

    lost = most_lost if is_lost else None

    def by_group(units: ndarray) -> ndarray:
        return np.bincount(member, weights=units, minlength=len(names))

    few = max(FEW_DRAWS, min(window.shape[1], MANY_DRAWS // max(len(need), 1)))
    some = [np.ascontiguousarray(part[:, :few]) for part in (spare, before, window)]
    short_at_aim = (1 - aims) * by_group(some[2].mean(axis=1))
    low, high = (np.full(len(names), price) for price in PRICES)
    for _ in range(15):
        price = (low + high) / 2
        chance = np.clip(np.exp(price)[member] * cost, 1e-9, 1.0)
        level = np.maximum(level_for_ratio(ordered, 1 - chance), 0)
        too_short = by_group(_short_of(level, *some, on_order, lost).mean(axis=1)) > short_at_aim
        high, low = np.where(too_short, price, high), np.where(too_short, low, price)
    short = (_short_of(level, 0.0, before, window, on_order, lost) > 0).mean(axis=1)
    chance = np.minimum(short, 0.5 * (window > 0).mean(axis=1))
    return np.where(need > 0, level, 0.0), np.where(need > 0, chance, 1.0)
