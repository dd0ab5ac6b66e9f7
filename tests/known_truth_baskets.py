"""Orders of a shop whose buyers answer to postage by a known law: the generator behind the
tests of the free-shipping threshold. Nothing is shared with the method.

Every visitor has a basket in mind. Under the threshold it would cost postage: some then leave
(the smaller the basket the sooner), some of those close to the threshold add to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

TRIED = (39.0, 59.0, 89.0)
FEE, FREIGHT, MARGIN_SHARE = 4.9, 6.2, 0.38


@dataclass(frozen=True)
class Law:
    """`leave`: chance to leave of a tiny basket that would be charged, falling to nothing at
    the threshold; `add`: chance to add of one within `near` of the threshold.
    """

    leave: float
    add: float
    near: float = 0.35


def bought(rng, wished, threshold, law):
    """Baskets bought of those wished, and the postage charged on each."""
    gap = 1 - wished / threshold
    u = rng.random(len(wished))
    adds = (gap > 0) & (gap < law.near) & (u < law.add)
    leaves = (gap > 0) & ~adds & (rng.random(len(wished)) < law.leave * gap)
    added = threshold * (1 + 0.15 * rng.random(len(wished)))
    basket = np.where(adds, added, wished)[~leaves].round(2)
    return basket, np.where(basket >= threshold, 0.0, FEE)


def margin_of(basket, shipping):
    return MARGIN_SHARE * basket + shipping - FREIGHT


def wishes(rng, n):
    return np.exp(rng.normal(3.75, 0.6, n))


def expected_margin(law, threshold, *, n=400_000):
    """Margin a visitor brings at a threshold, by simulation apart from the shop's."""
    rng = np.random.default_rng(990)
    basket, shipping = bought(rng, wishes(rng, n), threshold, law)
    return margin_of(basket, shipping).sum() / n


def draw_baskets(seed, law, *, order=TRIED, weeks=26, visitors=2500):
    """Weeks under each threshold of `order` in turn, the last one in force: the frame of
    `baskets`, and the mean number of visitors a week of the newest 26.
    """
    rng = np.random.default_rng(seed)
    frames, level, n_weeks = [], 0.0, []
    for k in range(weeks * len(order)):
        level = 0.8 * level + rng.normal(0, 0.08)
        season = 0.15 * np.sin(2 * np.pi * k / 52)
        n = rng.poisson(visitors * np.exp(level + season))
        n_weeks.append(n)
        basket, shipping = bought(rng, wishes(rng, n), order[k // weeks], law)
        frames.append(
            pd.DataFrame(
                {
                    "zone": "DE",
                    "week_on": pd.Timestamp("2025-01-06") + pd.Timedelta(weeks=k),
                    "basket": basket,
                    "shipping": shipping,
                    "margin": margin_of(basket, shipping) + rng.normal(0, 4, len(basket)),
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    frame.insert(0, "order_id", [f"o{k:06d}" for k in range(len(frame))])
    return frame, float(np.mean(n_weeks[-26:]))
