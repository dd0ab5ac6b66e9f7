"""Which items go with which, learnt from who bought what, and how good a list of k
items was.

EASE: Steck, H. (2019), "Embarrassingly shallow autoencoders for sparse data", The Web
Conference, eq. 8: a linear item-to-item model with a zero diagonal has the closed form
B = I - P diag(1/P), P = (X'X + ridge I)^-1. Cosine neighbours: Sarwar et al. (2001),
"Item-based collaborative filtering", WWW 10, section 3.1.1.

Memory is that of dense items x items matrices of 4-byte numbers, so callers cut the
catalogue first (4,000 items: 0.06 GB each). Counts of buyers are exact in them up to 16
million, and the ridge keeps the inverse well-conditioned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from playbook.errors import PlaybookError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = np.ndarray

__all__ = [
    "RIDGE",
    "ListQuality",
    "cosine_weights",
    "ease_weights",
    "list_hits",
    "list_quality",
    "top_items",
]

#: three dense matrices of this side are 2.7 GB: past it a dense model is the wrong tool
MOST_ITEMS = 15_000
#: strength of the L2 penalty, in buyers
RIDGE = 300.0


def ease_weights(bought: csr_matrix, *, ridge: float = RIDGE) -> Array:
    """Item-to-item weights of EASE: entry (i, j) is how far having bought i speaks for
    j; the diagonal is 0.

    Args:
        bought: customers x items, 1 where bought at least once.
        ridge: strength of the L2 penalty, in buyers; an item with far fewer buyers
            hardly speaks.

    Raises:
        PlaybookError: ridge not above 0, or more items than a dense matrix can hold.
    """
    from scipy.linalg import lapack

    if not ridge > 0:
        raise PlaybookError("methods.no_ridge", ridge=ridge, usual=RIDGE)
    gram = _gram(bought)
    gram[np.diag_indices_from(gram)] += ridge
    # symmetric: its transpose lies as LAPACK reads
    factor, failed = lapack.spotrf(gram.T, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise PlaybookError("methods.no_inverse", ridge=ridge)
    weights = np.tril(inverse, -1)
    weights += weights.T
    weights /= -np.diag(inverse)
    return weights


def cosine_weights(bought: csr_matrix) -> Array:
    """Item-to-item cosine of the sets of buyers, 0 on the diagonal and for items
    without a buyer.
    """
    gram = _gram(bought)
    norm = np.sqrt(np.diag(gram))
    norm[norm == 0] = 1.0
    gram /= norm[:, None]
    gram /= norm[None, :]
    np.fill_diagonal(gram, 0.0)
    return gram


def top_items(scores: Array, k: int, *, blocked: Array | None = None) -> Array:
    """Column numbers of the k highest scores of each row, best first; -1 where fewer
    than k are allowed.

    Ties go to the lower column, so columns sorted by popularity break ties by
    popularity, never by chance. `blocked` (same shape, bool) marks what may not be
    listed. `scores` is left as it was.
    """
    k = min(k, scores.shape[1])
    ranked = np.asarray(scores, dtype=float) - np.linspace(0, 1e-9, scores.shape[1])
    if blocked is not None:
        ranked[blocked] = -np.inf
    rest = ranked.shape[1] - k
    top = np.argpartition(ranked, rest, axis=1)[:, rest:] if rest else np.argsort(-ranked, axis=1)
    order = np.lexsort((top, -np.take_along_axis(ranked, top, axis=1)), axis=1)
    top = np.take_along_axis(top, order, axis=1)
    return np.where(
        np.isneginf(np.take_along_axis(ranked, top, axis=1)),
        -1,
        top,
    )


class ListQuality(NamedTuple):
    """Per customer: recall, whether any item hit, and average precision, each of the
    first k places.
    """

    recall: Array
    hit: Array
    average_precision: Array


def list_hits(lists: Array, wanted: csr_matrix) -> Array:
    """Customers x places, True where the item listed there was wanted; empty places
    (-1) never hit.
    """
    rows, places = np.nonzero(lists >= 0)
    hits = np.zeros(lists.shape, dtype=bool)
    if len(rows):
        hits[rows, places] = np.asarray(wanted[rows, lists[rows, places]]).ravel() > 0
    return hits


def list_quality(hits: Array, n_wanted: Array, k: int) -> ListQuality:
    """How much of what each customer went on to buy stood in the first k places of the
    list.

    recall = hits / min(k, items wanted): a customer who wanted three items can reach 1
    at any k >= 3. Average precision = sum over hit places j of (hits up to j) / j, over
    the same bottom. `n_wanted` may exceed what could be hit, where items outside the
    catalogue were bought. Customers who wanted nothing have missing values.
    """
    first = hits[:, :k]
    bottom = np.where(n_wanted > 0, np.minimum(k, n_wanted), np.nan)
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    any_hit = np.where(n_wanted > 0, first.any(axis=1), np.nan)
    return ListQuality(
        first.sum(axis=1) / bottom,
        any_hit,
        (precision * first).sum(axis=1) / bottom,
    )


def _gram(bought: csr_matrix) -> Array:
    """Buyers in common of every two items, dense; refused where it would not fit."""
    if bought.shape[1] > MOST_ITEMS:
        raise PlaybookError(
            "methods.too_many_items",
            n=bought.shape[1],
            most=MOST_ITEMS,
        )
    return (bought.T @ bought).astype(np.float32).toarray()
