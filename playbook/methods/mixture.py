"""What mixtures over a fixed grid of parts have in common: their likeliest weights, and the
quantiles of what is known of each unit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

__all__ = ["halved", "part_chances"]

_STEPS = 200


def part_chances(log_density: ndarray, *, before: float) -> ndarray:
    """The chance of each part (rows) for each unit (columns), by the weights likeliest for all
    units together (Laird 1978, JASA 73, 805-811), found by expectation and maximisation.
    `before` is what every part weighs before anything is seen, in units.
    """
    n_parts, n_units = log_density.shape
    likely = np.exp(log_density - log_density.max(axis=0))
    law = np.full((n_parts, 1), 1 / n_parts)
    for _ in range(_STEPS):
        share = law * likely
        share /= share.sum(axis=0)
        law = (share.sum(axis=1, keepdims=True) + before) / (n_units + before * n_parts)
    share = law * likely
    return share / share.sum(axis=0)


def halved(
    below: Callable[[ndarray], ndarray],
    chance: float,
    ends: tuple[ndarray, ndarray],
    *,
    n_halvings: int,
) -> ndarray:
    """What each unit stays under with a chance: `below` gives the chance of lying under a
    limit, `ends` hold the answer between them.
    """
    low, high = ends
    for _ in range(n_halvings):
        middle = (low + high) / 2
        is_low = below(middle) < chance
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return (low + high) / 2
