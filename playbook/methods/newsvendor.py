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

__all__ = ["level_for_ratio", "mean_short", "levels_for_fill"]


def level_for_ratio(ordered: np.ndarray, ratio: np.ndarray | float) -> np.ndarray:
    """The smallest drawn level whose share of futures at or below it reaches `ratio`,
    one per row.

    `ordered` holds each row's draws in rising order. A ratio of 1 gives the largest
    draw, never more.
    """
    n = ordered.shape[1]
    place = np.clip(np.ceil(np.asarray(ratio) * n - 1e-9).astype(int) - 1, 0, n - 1)
    return ordered[np.arange(len(ordered)), np.broadcast_to(place, len(ordered))]


def mean_short(draws: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Mean units short of `level`, one per row."""
    return np.maximum(draws - np.asarray(level, dtype=draws.dtype)[:, None], 0).mean(axis=1)


def levels_for_fill(
    before: np.ndarray,
    window: np.ndarray,
    aim: np.ndarray | float,
    *,
    cost: np.ndarray,
    group: np.ndarray,
    lot: np.ndarray | float = 1.0,
    is_lost: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Order-up-to levels that reach a fill-rate aim over each group of skus with the
    least money in stock.

    `before` and `window` are draws of demand during the lead time and during the review
    period an order has to cover, from the same futures. One more unit of a sku ties up
    `cost` and helps with the probability of running short; one shadow price for all
    skus of a `group` gives the aim at the least cost (Sherbrooke's system approach),
    where an aim sku by sku would overshoot on everything that sells in ones. Orders in
    lots leave the position anywhere between the level and a lot above it; that is
    counted. Lost sales (`is_lost`) do not come back, so less is short than when they
    are owed: what is on order is taken to arrive halfway. `aim` is one share, or one
    per group in sorted order. Returns the levels and each sku's chance of running short
    in the window; skus without drawn demand: 0 and 1.
    """
    names, member = np.unique(group, return_inverse=True)
    aims = np.broadcast_to(np.asarray(aim, dtype=float), len(names))
    need = window.mean(axis=1)
    spare = np.floor(
        np.broadcast_to(lot, len(need))[:, None] * ((np.arange(window.shape[1]) * 0.618034) % 1)
    )
    spare = spare.astype(window.dtype)
    ordered = np.sort(before + window - spare, axis=1)
    on_order = (
        np.maximum(before.mean(axis=1) - need, 0)[:, None].astype(window.dtype) if is_lost else 0
    )

    def short_of(
        level: np.ndarray, over: np.ndarray | float, first: np.ndarray, then: np.ndarray
    ) -> np.ndarray:
        position = level.astype(window.dtype)[:, None] + over
        coming = np.minimum(on_order, position)  # no more is on order than the level asks for
        stock = position - coming
        stock = np.maximum(stock - first / 2, 0) - first / 2 if is_lost else stock - first
        return np.maximum(then - np.maximum(stock + coming, 0), 0)

    # a group's sum needs few draws per sku; a small group keeps them all
    few = slice(None, max(40, min(window.shape[1], 400_000 // max(len(need), 1))))
    some, before_some, window_some = (
        np.ascontiguousarray(part[:, few]) for part in (spare, before, window)
    )
    short_all = (1 - aims) * np.bincount(
        member, weights=window_some.mean(axis=1), minlength=len(names)
    )

    low, high = np.full(len(names), -16.0), np.full(len(names), 3.0)
    for _ in range(15):
        log_price = (low + high) / 2
        level = np.maximum(
            level_for_ratio(ordered, 1 - np.clip(np.exp(log_price)[member] * cost, 1e-9, 1.0)), 0
        )
        short = short_of(level, some, before_some, window_some).mean(axis=1)
        too_short = np.bincount(member, weights=short, minlength=len(names)) > short_all
        high, low = np.where(too_short, log_price, high), np.where(too_short, low, log_price)
    chance = np.minimum(
        (short_of(level, 0.0, before, window) > 0).mean(axis=1), 0.5 * (window > 0).mean(axis=1)
    )
    return np.where(need > 0, level, 0.0), np.where(need > 0, chance, 1.0)
