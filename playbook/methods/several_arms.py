"""Several treated arms against one control: the family error is held for all of them together.

Dunnett (1955), JASA 50:1096-1121, eq. 5: the statistics share the control, so any two correlate
by λi·λj with λi² = v0 / (v0 + vi), where v is the variance of an arm's mean. Given the control
they are independent, which leaves one integral. Arms here are large: a Welch t is carried to the
normal deviate of the same p first.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["adjusted_p", "single_alpha"]

#: where the integral over the control's deviate is evaluated
DEVIATES = np.linspace(
    -8.5,
    8.5,
    1_701,
)


def adjusted_p(p: ArrayLike, control: float, arms: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p of each treated arm, for having looked at all of them.

    `p` are the p of single comparisons; `control` and `arms` the variances of the means.
    A missing p stays missing and counts as an arm that was looked at.
    """
    single = np.asarray(p, dtype=float)
    loads = _loads(control, arms)
    inside = [_inside(_deviate(one), loads) if np.isfinite(one) else np.nan for one in single]
    return np.clip(
        1 - np.array(inside, dtype=float),
        single,
        1,
    )


def single_alpha(control: float, arms: ArrayLike, *, alpha: float = 0.05) -> float:
    """The alpha of one comparison with which the family's chance of a false one is `alpha`.

    `control` and `arms` are variances of the means; with one arm it is alpha itself.
    """
    loads = _loads(control, arms)
    if len(loads) < 2:
        return alpha
    from scipy.optimize import brentq

    def excess(bound: float) -> float:
        return 1 - _inside(bound, loads) - alpha

    bound = brentq(
        excess,
        _deviate(alpha),
        _deviate(alpha / len(loads)) + 1e-6,
        xtol=1e-8,
    )
    return 2 * NormalDist().cdf(-bound)


def _loads(control: float, arms: ArrayLike) -> NDArray[np.float64]:
    """What each comparison shares with the control, as a correlation."""
    arms = np.asarray(arms, dtype=float)
    whole = control + arms
    share = np.divide(
        control,
        whole,
        out=np.full(len(arms), 0.5),
        where=whole > 0,
    )
    # an arm without spread would make the comparisons one and the same
    return np.sqrt(
        np.clip(
            share,
            0,
            1 - 1e-9,
        )
    )


def _deviate(p: float) -> float:
    """The normal deviate of a two-sided p."""
    return -NormalDist().inv_cdf(min(max(p / 2, 1e-300), 0.5))


def _inside(bound: float, loads: NDArray[np.float64]) -> float:
    """P of every comparison within the bound."""
    from scipy.special import ndtr

    rest = np.sqrt(1 - loads**2)
    shared = DEVIATES[:, None] * loads
    each = ndtr((bound - shared) / rest) - ndtr((-bound - shared) / rest)
    density = np.exp(-(DEVIATES**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.trapezoid(density * each.prod(axis=1), DEVIATES))
