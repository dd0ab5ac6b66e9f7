"""Intervals that hold on every day at once, for those who look before the end.

Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49:1055-1080, eq. 14: the
two-sided normal-mixture boundary sqrt((V + r) log((V + r) / (r α²))) on a sum of variance V; with
variances estimated, Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Annals of Statistics 52,
theorem 2.2. Only what the tuning r is chosen for depends on the size of the test.
"""

from __future__ import annotations

import math

__all__ = ["always_valid_lift", "always_valid_widening"]

#: visitors per arm at which the interval is tightest: fixed beforehand, or looking would choose it
TIGHTEST_AT = 10_000


def always_valid_widening(n: float, *, alpha: float = 0.05) -> float:
    """Half the always-valid interval in standard errors, after n visitors per arm; infinite
    below one.
    """
    if not n >= 1:
        return math.inf
    # Howard et al., eq. 20: the r that is best at a given V
    best = TIGHTEST_AT / (2 * math.log(1 / alpha) + math.log(1 + 2 * math.log(1 / alpha)))
    spare = best / n
    return math.sqrt((1 + spare) * math.log((1 + spare) / (spare * alpha**2)))


def always_valid_lift(
    control: dict[str, float], treatment: dict[str, float], *, alpha: float = 0.05
) -> tuple[float, float]:
    """Low and high of the relative lift of a mean, true on all days together with chance
    1 - alpha.

    Each arm: n, mean, var. The interval is made on the logarithm of the ratio (delta method);
    missing where a mean is not above 0 or there is no spread. n is the harmonic mean of the arms.
    """
    arms = (control, treatment)
    if min(arm["n"] for arm in arms) < 2 or not all(arm["mean"] > 0 for arm in arms):
        return math.nan, math.nan
    variance = sum(arm["var"] / arm["n"] / arm["mean"] ** 2 for arm in arms)
    if not variance > 0:
        return math.nan, math.nan
    n = 2 / sum(1 / arm["n"] for arm in arms)
    half = always_valid_widening(n, alpha=alpha) * math.sqrt(variance)
    ratio = math.log(treatment["mean"] / control["mean"])
    return math.expm1(ratio - half), math.expm1(min(ratio + half, 700))
