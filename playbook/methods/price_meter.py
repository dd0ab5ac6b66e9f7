"""From which price on people find a product too cheap, cheap, expensive and too expensive, and
where the four curves cross.

Van Westendorp (1976), "NSS Price Sensitivity Meter", ESOMAR Congress, 139-167. A crossing is
the first price at which the rising curve is no lower than the falling one, on the straight
line between the two prices named beside it.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

__all__ = ["POINTS", "consistent", "price_points"]

#: point -> the rising and the falling curve that cross there
POINTS = {
    "lower": ("not cheap", "too cheap"),
    "optimal": ("too expensive", "too cheap"),
    "indifference": ("expensive", "cheap"),
    "upper": ("too expensive", "not expensive"),
}


def consistent(answers: ndarray) -> ndarray:
    """Which rows of `answers` (too cheap, cheap, expensive, too expensive) rise from price to
    price; a missing answer is not consistent.
    """
    return np.isfinite(answers).all(axis=1) & (np.diff(answers, axis=1) > 0).all(axis=1)


def price_points(answers: ndarray, weight: ndarray | None = None) -> dict[str, float]:
    """The price at each of `POINTS`, over consistent rows of four prices; `weight` is what a
    row counts. A pair of curves that never cross has no price (missing).
    """
    weight = np.ones(len(answers)) if weight is None else weight
    prices = np.unique(answers)
    below = [_share_below(column, weight, prices) for column in answers.T]
    curves = {
        "too cheap": 1 - below[0],
        "cheap": 1 - below[1],
        "not cheap": below[1],
        "expensive": below[2],
        "not expensive": 1 - below[2],
        "too expensive": below[3],
    }
    return {
        name: _crossing(prices, curves[rising], curves[falling])
        for name, (rising, falling) in POINTS.items()
    }


def _share_below(values: ndarray, weight: ndarray, prices: ndarray) -> ndarray:
    """The weighted share of values at or below each price."""
    order = np.argsort(values, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(weight[order])])
    return sums[np.searchsorted(values[order], prices, side="right")] / sums[-1]


def _crossing(prices: ndarray, rising: ndarray, falling: ndarray) -> float:
    gap = rising - falling
    reached = np.flatnonzero(gap >= -1e-12)
    if not len(reached):
        return float("nan")
    at = reached[0]
    if at == 0:
        return float(prices[0])
    before, after = -gap[at - 1], max(gap[at], 0.0)
    return float(prices[at - 1] + (prices[at] - prices[at - 1]) * before / (before + after))
