"""Where a budget earns most: an exact search on a grid of steps, and the odds that the
answer is worth moving for.

The mean response of many posterior draws is not concave in general, so marginal rules
may stop on the wrong hill. With separable returns the best split of every total is a
max-plus product of the channels' curves (the allocation process of Bellman & Dreyfus
1962, ch. 1): exact up to the grid, whatever their shape. The gain is then read on every
draw, so that its interval carries what is not known about the curves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["allocate", "gain_draws"]


def allocate(
    mean_return: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    total: float,
    *,
    spend_all: bool = False,
    steps: int = 400,
) -> np.ndarray:
    """The spend per channel with the most expected return less spend, within low..high
    each and `total` in all.

    `mean_return(spend)` takes levels x channels and gives the expected return of each
    channel at each level (levels x channels). Returns are judged net of spend, so money
    is left over where it earns less than itself, unless `spend_all`. Bounds that cannot
    be met (sum of `low` above `total`, or below it with `spend_all`) raise ValueError.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    if (low > high + 1e-9).any():
        raise ValueError("a lower bound lies above its upper bound")
    if low.sum() > total * (1 + 1e-9) + 1e-9:
        raise ValueError("the lower bounds together exceed the total")
    if spend_all and high.sum() < total * (1 - 1e-9) - 1e-9:
        raise ValueError("the upper bounds together fall short of the total")
    free = max(total - low.sum(), 0.0)
    if free <= 1e-12 * max(total, 1.0):
        return low.copy()
    unit = free / steps
    room = np.minimum(np.floor((high - low) / unit + 1e-9).astype(int), steps)
    levels = low + unit * np.arange(steps + 1)[:, None]
    worth = mean_return(np.minimum(levels, np.maximum(high, low))) - (0.0 if spend_all else levels)
    best, choice = np.full(steps + 1, -np.inf), []
    best[0] = 0.0
    for c in range(len(low)):
        # many[i, j]: i steps in all, j of them in channel c
        i, j = np.arange(steps + 1)[:, None], np.arange(room[c] + 1)[None, :]
        many = np.where(i >= j, best[np.maximum(i - j, 0)] + worth[j[0], c], -np.inf)
        choice.append(many.argmax(1))
        best = many.max(1)
    # floors of room may leave a few steps nobody can take: the remainder is dealt out below
    left = int(np.flatnonzero(np.isfinite(best))[-1]) if spend_all else int(best.argmax())
    plan = low.copy()
    for c in reversed(range(len(low))):
        take = choice[c][left]
        plan[c] += take * unit
        left -= take
    if spend_all:
        for c in np.argsort(-(high - plan), kind="stable"):
            plan[c] += min(high[c] - plan[c], max(total - plan.sum(), 0.0))
    return plan


def gain_draws(
    draw_return: Callable[[np.ndarray], np.ndarray], now: np.ndarray, plan: np.ndarray
) -> np.ndarray:
    """What each channel's step earns over today's split, net of the difference in
    spend, on every posterior draw.

    `draw_return(spend)` gives draws x channels at one spend per channel; so is the
    answer.
    """
    return draw_return(plan) - draw_return(now) - (plan - now)
