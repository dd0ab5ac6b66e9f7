"""Shares and what may be said about them: the interval of one, the difference of two,
and many compared at once.

Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical
inference", JASA 22, 209-212. Newcombe, R. G. (1998), "Interval estimation for the
difference between independent proportions", Statistics in Medicine 17, 873-890, method
10. Benjamini & Hochberg (1995), JRSS B 57, 289-300. Holm (1979), Scand. J. Stat. 6,
65-70.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from playbook.errors import PlaybookError

__all__ = [
    "adjusted_p",
    "quantile_of_normal",
    "share_difference",
    "two_sided_p",
    "wilson",
]


#: the two-sided standard normal quantile of 90 %
Z90 = 1.6448536269514722


def quantile_of_normal(level: float) -> float:
    """The two-sided standard normal quantile of a confidence level: 1.96 for .95.

    Raises:
        PlaybookError: the level is not strictly between 0 and 1.
    """
    if not 0 < level < 1:
        raise PlaybookError("methods.no_level", level=level)
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[ndarray, ndarray]:
    """Lower and upper end of Wilson's score interval of successes / n (Wilson 1927),
    element by element.

    It stays within 0 and 1, and is not empty at 0 or n successes, where the textbook
    (Wald) interval is. Where n is 0 or missing, both ends are missing: nothing was
    observed.

    Raises:
        PlaybookError: more successes than trials, or fewer than none.
    """
    x, m = _counts(successes, n)
    z2 = quantile_of_normal(level) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = x / m
        middle = (share + z2 / (2 * m)) / (1 + z2 / m)
        half = np.sqrt(z2) * np.sqrt(share * (1 - share) / m + z2 / (4 * m * m)) / (1 + z2 / m)
    low, high = (
        np.where(x == 0, 0.0, middle - half),
        np.where(x == m, 1.0, middle + half),
    )
    # of two numbers the ends are numbers, which a table can hold
    return np.where(m > 0, low, np.nan)[()], np.where(m > 0, high, np.nan)[()]


def share_difference(
    successes: ArrayLike,
    n: ArrayLike,
    other_successes: ArrayLike,
    other_n: ArrayLike,
    *,
    level: float = 0.95,
) -> dict[str, ndarray]:
    """Difference of two independent shares: `difference` (first less second), `low`,
    `high`, `z`, `p`.

    The interval joins two Wilson intervals (Newcombe 1998, method 10); z pools the two
    shares, as a test of no difference must. Missing where either side has no trial; p
    is 1 and z is 0 where both shares are 0 or both are 1.
    """
    x1, n1 = _counts(successes, n)
    x2, n2 = _counts(other_successes, other_n)
    low1, high1 = wilson(x1, n1, level)
    low2, high2 = wilson(x2, n2, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        p1, p2, pooled = x1 / n1, x2 / n2, (x1 + x2) / (n1 + n2)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
        z = np.where(
            spread > 0,
            (p1 - p2) / spread,
            np.where(np.isnan(p1 - p2), np.nan, 0.0),
        )
        low = p1 - p2 - np.sqrt((p1 - low1) ** 2 + (high2 - p2) ** 2)
        high = p1 - p2 + np.sqrt((high1 - p1) ** 2 + (p2 - low2) ** 2)
    known = (n1 > 0) & (n2 > 0)
    parts = {
        "difference": p1 - p2,
        "low": low,
        "high": high,
        "z": z,
        "p": two_sided_p(z),
    }
    return {name: np.where(known, part, np.nan) for name, part in parts.items()}


def two_sided_p(z: ArrayLike) -> ndarray:
    """The two-sided p of a standard normal statistic; missing stays missing."""
    from scipy.special import ndtr

    return 2 * ndtr(-np.abs(np.asarray(z, dtype=float)))


def adjusted_p(p: ArrayLike, *, method: str = "fdr") -> ndarray:
    """P-values adjusted for how many were looked at, in the order given; a missing p is
    no test and stays missing.

    `fdr`: Benjamini & Hochberg's step-up, the expected share of false alarms among the
    alarms. `holm`: Holm's step-down, the chance of any false alarm at all. Ties get one
    value whatever their order.

    Raises:
        PlaybookError: unknown method, or a p outside [0, 1].
    """
    if method not in ("fdr", "holm"):
        raise PlaybookError("methods.no_adjustment", method=method)
    given = np.asarray(p, dtype=float).ravel()
    tested = given[~np.isnan(given)]
    n_outside = int(((tested < 0) | (tested > 1)).sum())
    if n_outside:
        raise PlaybookError("methods.no_p_value", rows=n_outside)
    order = np.argsort(tested, kind="stable")
    sorted_p, m = tested[order], len(tested)
    if method == "fdr":
        scaled = np.minimum.accumulate((sorted_p * m / np.arange(1, m + 1))[::-1])[::-1]
    else:
        scaled = np.maximum.accumulate(sorted_p * (m - np.arange(m)))
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(scaled, 1.0)
    out = np.full(len(given), np.nan)
    out[~np.isnan(given)] = adjusted
    return out.reshape(np.shape(p))


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[ndarray, ndarray]:
    """Successes and trials as floats of one shape; refused where a share would leave
    [0, 1].
    """
    x, m = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    is_wrong = (x < 0) | (x > m)
    if is_wrong.any():
        raise PlaybookError("methods.no_share", rows=int(is_wrong.sum()))
    return x, m
