"""How a count answers to something, each unit held against itself alone.

Poisson regression with a level of each unit's own, the level conditioned away (Hausman, Hall &
Griliches 1984, Econometrica 52(4), 909-938, section 2): count ~ Poisson(level of the unit times
exposure times x to the power). What differs between units and lasts, seen or unseen, cannot
pass for the answer; only units whose x moved say anything. The error is the one that holds
whatever else moves a unit's counts (Wooldridge 1999, Journal of Econometrics 90, 77-97).
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

__all__ = ["power_within"]

_STEPS = 50


def power_within(
    count: ndarray, exposure: ndarray, x: ndarray, unit: ndarray
) -> tuple[float, float, int]:
    """The power of x, its standard error, and the number of units whose x moved. Rows of one
    unit share its whole number in `unit`; exposure and x are above nought. Missing where
    fewer than two units moved and were counted.
    """
    unit = np.unique(unit, return_inverse=True)[1]
    log = np.log(x)
    mean = np.bincount(unit, log) / np.bincount(unit)
    log = log - mean[unit]
    counted = np.bincount(unit, count)
    moved = (np.bincount(unit, np.abs(log)) > 1e-9) & (counted > 0)
    if moved.sum() < 2:
        return np.nan, np.nan, int(moved.sum())
    power = 0.0
    for _ in range(_STEPS):
        rate = exposure * np.exp(power * log)
        share = rate / np.bincount(unit, rate)[unit]
        middle = np.bincount(unit, share * log)
        score = np.bincount(unit, count * log) - counted * middle
        known = (counted * (np.bincount(unit, share * log**2) - middle**2)).sum()
        if not known > 0:
            return np.nan, np.nan, int(moved.sum())
        step = float(
            np.clip(
                score.sum() / known,
                -1.0,
                1.0,
            )
        )
        power += step
        if abs(step) < 1e-10:
            break
    n = moved.sum()
    return power, float(np.sqrt((score**2).sum() * n / (n - 1)) / known), int(n)
