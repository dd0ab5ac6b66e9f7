"""Why a figure moved, in parts that add up to the whole move.

A product of factors: the logarithmic mean (Ang 2005, "The LMDI approach to
decomposition analysis", Energy Policy 33, 867-871, additive LMDI-I), and where a factor
is zero or negative the Shapley value (Shapley 1953; Shorrocks 2013), as it needs no
logarithm. A weighted mean: mix and rate by the average of the two orders in which they
can be changed.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
from numpy import ndarray
from pandas import DataFrame

from playbook.errors import PlaybookError

__all__ = ["mix_and_rate", "product_drivers"]


def product_drivers(before: dict[str, float], after: dict[str, float]) -> DataFrame:
    """One row per factor: driver, before, after, contribution; contributions sum to the
    change of the product.

    Missing factors are refused: a change cannot be shared out among figures that were
    not observed.
    """
    names = list(before)
    a, b = (np.array([float(d[n]) for n in names]) for d in (before, after))
    if list(after) != names or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise PlaybookError("methods.different_factors", table="drivers")
    change = b.prod() - a.prod()
    if (a > 0).all() and (b > 0).all():
        growth = np.log(b / a)
        total = growth.sum()
        mean = change / total if abs(total) > 1e-12 else a.prod()
        parts = mean * growth
    else:
        parts = _shapley(a, b)
    largest = int(np.argmax(np.abs(parts)))
    # what floating point left over, at most a few units in the last place
    parts[largest] += change - parts.sum()
    return DataFrame(
        {
            "driver": names,
            "before": a,
            "after": b,
            "contribution": parts,
        }
    )


def _shapley(a: ndarray, b: ndarray) -> ndarray:
    n, parts = len(a), np.zeros(len(a))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for changed in combinations(others, size):
                rest = np.prod([b[j] if j in changed else a[j] for j in others]) if others else 1.0
                parts[i] += weight * rest * (b[i] - a[i])
    return parts


def mix_and_rate(before: DataFrame, after: DataFrame, *, weight: str, amount: str) -> DataFrame:
    """One row per segment: segment, mix, rate, contribution to the change of
    sum(amount) / sum(weight).

    Frames are indexed by segment. `mix` is what the segments' shares of `weight`
    changed, measured against the overall mean; `rate` what changed within the segment.
    A segment absent from one month has no rate of its own there: its whole contribution
    is mix. Missing (all rows) where either month has no weight at all.
    """
    segments = before.index.union(after.index)
    a, b = before.reindex(segments).fillna(0.0), after.reindex(segments).fillna(0.0)
    total_a, total_b = a[weight].sum(), b[weight].sum()
    if total_a <= 0 or total_b <= 0:
        return DataFrame(
            {
                "segment": segments,
                "mix": np.nan,
                "rate": np.nan,
                "contribution": np.nan,
            }
        )
    share_a, share_b = a[weight] / total_a, b[weight] / total_b
    rate_a = a[amount] / a[weight].where(a[weight] > 0)
    rate_b = b[amount] / b[weight].where(b[weight] > 0)
    rate_a, rate_b = rate_a.fillna(rate_b), rate_b.fillna(rate_a)
    overall = (a[amount].sum() / total_a + b[amount].sum() / total_b) / 2
    mix = (share_b - share_a) * ((rate_a + rate_b) / 2 - overall)
    rate = (rate_b - rate_a) * (share_a + share_b) / 2
    parts = DataFrame({"mix": mix, "rate": rate, "contribution": mix + rate})
    return parts.rename_axis("segment").reset_index()
