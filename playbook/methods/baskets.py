"""Which two items are bought together more often than chance, in one sparse product.

Agrawal, Imielinski & Swami (1993), "Mining association rules between sets of items",
SIGMOD, for support and confidence; Brin, Motwani, Ullman & Tsur (1997), "Dynamic
itemset counting", SIGMOD, for lift (there: interest).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.methods.proportions import wilson

Array = np.ndarray

__all__ = ["pair_rules"]


def pair_rules(
    lines: DataFrame,
    *,
    min_support: float = 0.005,
    min_n: int = 1,
    level: float = 0.95,
    most: int | None = None,
) -> DataFrame:
    """One row per ordered pair (a, b): baskets with a that also hold b.

    Every basket counts an item once, however many lines hold it. All baskets are the
    base, those of one item too. The cost is the sum over baskets of the square of their
    *frequent* items, so a basket of a thousand lines is one block of a million cells at
    most, and rare items cost nothing.

    Args:
        lines: basket (any id) and item (any id), a row per line, in any order; rows
            without either are left out.
        min_support: least share of all baskets that hold both.
        min_n: least number of baskets that hold both, whatever the share.
        level: of the interval of confidence.
        most: rows kept, those of the highest lift, ties in the order of a, then b; all
            where left out. Without a least support there are as many pairs as baskets
            have cells, and no table of them is read.

    Returns:
        a, b (items), n (baskets with both), n_a, n_b, n_baskets, support = n / baskets,
        confidence = n / n_a, confidence_low, confidence_high (Wilson), pair_lift =
        confidence / share of b, lift_low = confidence_low / share of b, sorted by a,
        then b. Empty where no pair is frequent.

    Raises:
        PlaybookError: min_support outside (0, 1].
    """
    if not 0 < min_support <= 1:
        raise PlaybookError("methods.no_share_of_baskets", min_support=min_support)
    known = lines[["basket", "item"]].dropna()
    basket, baskets = pd.factorize(known["basket"])
    # in the order of the items, so that an order of places is one of items
    item, items = pd.factorize(known["item"], sort=True)
    total = len(baskets)
    least = max(math.ceil(round(min_support * total, 9)), min_n, 1)
    one, other, n_both, n_item = _count_pairs(basket, item, (total, len(items)), least)
    a, b, n = np.r_[one, other], np.r_[other, one], np.r_[n_both, n_both]
    place = a.astype(np.int64) * len(items) + b
    rows = _strongest((n / n_item[a]) / (n_item[b] / max(total, 1)), place, most)
    a, b, n = a[rows], b[rows], n[rows]
    pairs = DataFrame({"a": items.take(a), "b": items.take(b)})
    return _rules(pairs, n, n_item[a], n_item[b], total, level)


def _rules(
    pairs: DataFrame, n: Array, n_a: Array, n_b: Array, total: int, level: float
) -> DataFrame:
    """The pairs with their counts of baskets among `total`, and what follows from these."""
    low, high = wilson(n, n_a, level)
    # without a basket there are no rows to divide
    share_b = n_b / max(total, 1)
    confidence = n / n_a
    return pairs.assign(
        n=n.astype("int64"),
        n_a=n_a.astype("int64"),
        n_b=n_b.astype("int64"),
        n_baskets=np.int64(total),
        support=n / max(total, 1),
        confidence=confidence,
        confidence_low=low,
        confidence_high=high,
        pair_lift=confidence / share_b,
        lift_low=low / share_b,
    )


def _strongest(lift: Array, place: Array, most: int | None) -> Array:
    """Rows of the highest lift, ties and the result in the order of `place`."""
    rows = np.arange(len(lift))
    if most is not None and most < len(lift):
        rows = rows[lift >= np.partition(lift, -most)[-most]]
        rows = rows[np.lexsort((place[rows], -lift[rows]))[:most]]
    return rows[np.argsort(place[rows])]


def _count_pairs(
    basket: Array, item: Array, shape: tuple[int, int], least: int
) -> tuple[Array, Array, Array, Array]:
    """Frequent unordered pairs (i, j, baskets of both), and the baskets per item."""
    from scipy import sparse

    cells = np.ones(len(basket), dtype=np.int32)
    held = sparse.csr_matrix((cells, (basket, item)), shape=shape)
    held.sum_duplicates()
    held.data[:] = 1
    n_item = np.bincount(held.indices, minlength=shape[1])
    frequent = np.flatnonzero(n_item >= least)
    held = held[:, frequent]
    both = sparse.triu(held.T @ held, k=1).tocoo()
    enough = both.data >= least
    return (
        frequent[both.row[enough]],
        frequent[both.col[enough]],
        both.data[enough],
        n_item,
    )
