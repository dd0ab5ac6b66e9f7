"""Where a budget earns most: an exact search on a grid of steps.

The mean response of many posterior draws is not concave in general, so marginal rules
may stop on the wrong hill. With separable returns the best split of every total is a
max-plus product of the channels' curves (the allocation process of Bellman & Dreyfus
1962, ch. 1): exact up to the grid, whatever their shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from playbook.messages import say

__all__ = ["allocate"]

ROUNDING = 1e-9


def allocate(
    mean_return: Callable[[ndarray], ndarray],
    low: ndarray,
    high: ndarray,
    total: float,
    *,
    spend_all: bool = False,
    steps: int = 400,
) -> ndarray:
    """The spend per channel with the most expected return less spend, within low..high
    each and `total` in all.

    `mean_return(spend)` takes levels x channels and gives the expected return of each
    channel at each level (levels x channels). Returns are judged net of spend, so money
    is left over where it earns less than itself, unless `spend_all`. Bounds that cannot
    be met (sum of `low` above `total`, or of `high` below it with `spend_all`) raise
    ValueError.
    """
    if (low > high + ROUNDING).any():
        raise ValueError(say("channel_roi.floor_above_cap"))
    if low.sum() > total * (1 + ROUNDING) + ROUNDING:
        raise ValueError(say("channel_roi.floors_exceed_total"))
    if spend_all and high.sum() < total * (1 - ROUNDING) - ROUNDING:
        raise ValueError(say("channel_roi.caps_below_total"))
    free = max(total - low.sum(), 0.0)
    if free <= 1e-12 * max(total, 1.0):
        return low.copy()
    unit = free / steps
    room = np.minimum(np.floor((high - low) / unit + ROUNDING).astype(int), steps)
    levels = low + unit * np.arange(steps + 1)[:, None]
    worth = mean_return(np.minimum(levels, np.maximum(high, low)))
    plan = low + unit * _steps_taken(
        worth if spend_all else worth - levels,
        room,
        spend_all,
    )
    if spend_all:
        # whole steps may leave a remainder nobody took: it is dealt out here
        for c in np.argsort(-(high - plan), kind="stable"):
            plan[c] += min(high[c] - plan[c], max(total - plan.sum(), 0.0))
    return plan


def _steps_taken(worth: ndarray, room: ndarray, spend_all: bool) -> ndarray:
    """How many steps each channel takes in the best split, by channel; `worth` is steps
    x channels, `room` the most steps each may take.
    """
    n_steps = len(worth)
    best, choices = np.full(n_steps, -np.inf), []
    best[0] = 0.0
    for c, most in enumerate(room):
        # split[i, j]: i steps in all, j of them in channel c
        i, j = np.arange(n_steps)[:, None], np.arange(most + 1)[None, :]
        split = np.where(
            i >= j,
            best[np.maximum(i - j, 0)] + worth[j[0], c],
            -np.inf,
        )
        choices.append(split.argmax(1))
        best = split.max(1)
    left = np.flatnonzero(np.isfinite(best))[-1] if spend_all else best.argmax()
    taken = np.zeros(len(room))
    for c in reversed(range(len(room))):
        taken[c] = choices[c][left]
        left -= choices[c][left]
    return taken
