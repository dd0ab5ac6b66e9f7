"""Which price moves say something: those a sku made apart from its category, from promotions and
from stock-outs.

A move of the whole category is seen only against what its weeks would have been, and nothing in
these tables says what that is; a move at the edge of a promotion or of a stock-out cannot be told
from it. Arrays are (sku, week).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

__all__ = [
    "SAME_PRICE",
    "PriceMoves",
    "moving_together",
    "price_moves",
]

#: logs of prices that differ by less are one price
SAME_PRICE = 0.01
#: a change of a week's promotion, and of its stocked share, that counts as one
PROMO_EDGE, STOCK_EDGE = 0.05, 0.3
#: a move is common where more than this share of the others in the category move the same way
COMMON = 0.5
#: fewer others do not make a category: then the rest of the shop is asked
FEWEST_OTHERS = 5
#: moves of a sku that coincide with promotions or stock-outs by more than this share are theirs
TIED = 0.5
#: two skus whose moves agree by more than this move together
TOGETHER = 0.5
#: skus compared at a time
ROWS = 512


@dataclass(frozen=True)
class PriceMoves:
    """Moves of log prices and what they coincide with.

    `size` (sku, week): change of the log price, 0 where none. `is_common`, (sku, week): did the
    category move along. `with_promotions`, `with_stock` (sku,): does more than half of a sku's
    own moves coincide with edges of promotions, of stock. `n_own` (sku,): moves apart from all
    three. `own`, `shared` (sku, week): the log price as made of own and of common moves.
    """

    size: ndarray
    is_common: ndarray
    with_promotions: ndarray
    with_stock: ndarray
    n_own: ndarray
    own: ndarray
    shared: ndarray


def price_moves(
    log_price: ndarray, known: ndarray, *, group: ndarray, promo: ndarray, exposure: ndarray
) -> PriceMoves:
    """The moves of every sku. `known`: is the price of the week known."""
    carried = _carried(log_price, known)
    size = np.diff(carried, axis=1, prepend=carried[:, :1])
    size = np.where(np.abs(size) > SAME_PRICE, size, 0.0)
    is_move = size != 0
    is_common = is_move & _is_common(size, group)
    own = is_move & ~is_common
    by_promo = own & _near_edge(promo, PROMO_EDGE)
    by_stock = own & _near_edge(exposure, STOCK_EDGE)
    n = np.maximum(own.sum(axis=1), 1)
    return PriceMoves(
        size=size,
        is_common=is_common,
        with_promotions=by_promo.sum(axis=1) / n > TIED,
        with_stock=by_stock.sum(axis=1) / n > TIED,
        n_own=(own & ~by_promo & ~by_stock).sum(axis=1),
        own=np.cumsum(np.where(own, size, 0.0), axis=1),
        shared=np.cumsum(np.where(is_common, size, 0.0), axis=1),
    )


def moving_together(size: ndarray, group: ndarray, sums: list[ndarray]) -> list[ndarray]:
    """Of each array (sku, ...): its sum over a sku and those of its group that move with it.

    Two skus move together where the cosine of their moves is above `TOGETHER`; a sku that never
    moves is alone.
    """
    from scipy.sparse import csr_array

    length = np.sqrt((size**2).sum(axis=1, keepdims=True))
    unit = np.divide(
        size,
        length,
        out=np.zeros_like(size),
        where=length > 0,
    )
    totals = [part.astype(float).copy() for part in sums]
    for name in np.unique(group):
        members = np.flatnonzero(group == name)
        sparse = csr_array(unit[members])
        for first in range(0, len(members), ROWS):
            rows = members[first : first + ROWS]
            alike = (sparse[first : first + ROWS] @ sparse.T).toarray() > TOGETHER
            alike[np.arange(len(rows)), np.arange(first, first + len(rows))] = True
            for total, part in zip(totals, sums, strict=True):
                total[rows] = alike @ part[members]
    return totals


def _carried(log_price: ndarray, known: ndarray) -> ndarray:
    """The log price with unknown weeks filled from the week before, the first ones from after."""
    at = np.where(known, np.arange(log_price.shape[1]), -1)
    at = np.maximum.accumulate(at, axis=1)
    first = np.where(known.any(axis=1), known.argmax(axis=1), 0)[:, None]
    return np.take_along_axis(
        log_price,
        np.where(at < 0, first, at),
        axis=1,
    )


def _is_common(size: ndarray, group: ndarray) -> ndarray:
    """Did most others of the category move the same way, those that moved the other way taken
    off, in the week or within a week of it?

    Both counts are asked for: repricing is often spread over days, and where every price moves
    every week the weeks beside say nothing.
    """
    ups, downs = size > 0, size < 0
    nets = [ups.astype(float) - downs, _beside(ups).astype(float) - _beside(downs)]
    names, member = np.unique(group, return_inverse=True)
    n = np.bincount(member)[member][:, None] - 1
    is_small = n < FEWEST_OTHERS
    others = np.where(is_small, max(len(size) - 1, 1), np.maximum(n, 1))
    found = np.zeros(size.shape, bool)
    for net in nets:
        sums = np.zeros((len(names), size.shape[1]))
        np.add.at(sums, member, net)
        total = np.where(is_small, net.sum(axis=0)[None], sums[member]) - net
        found |= np.sign(size) * total / others > COMMON
    return found


def _near_edge(state: ndarray, least: float) -> ndarray:
    """Does a state change in the week or beside it?"""
    return _beside(np.abs(np.diff(state, axis=1, prepend=state[:, :1])) > least)


def _beside(flags: ndarray) -> ndarray:
    """True in the week, the week before and the week after."""
    wide = np.pad(flags, ((0, 0), (1, 1)))
    return wide[:, :-2] | wide[:, 1:-1] | wide[:, 2:]
