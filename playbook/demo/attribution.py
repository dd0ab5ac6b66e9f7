"""What tracking sees of an order: which channels it touched, which was last, what each
platform claims.

The cause of an order (who would not have come without which channel) is known here and
nowhere else; tracking sees touches, and every platform claims the orders it touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from playbook.demo.streams import uniform
from playbook.demo.world import CAMPAIGN_SHARE, CHANNELS, N_CAUSES, PAID

if TYPE_CHECKING:
    from playbook.demo.simulate import Simulator

__all__ = ["trace"]

SEEN = np.array(
    [0.30, 0.50, 0.28, 0.70, 0.16, 0.25, 0.25, 0.01]
)  # chance to be touched without being the cause
LAST = np.array(
    [0.30, 0.30, 0.10, 0.20, 0.30, 0.12, 0.35, 0.80]
)  # pull towards being the last touch
CLAIMED = np.array(
    [0.0, 0.92, 0.85, 0.95, 0.9, 0.0, 0.0, 0.0]
)  # part of a touched order a platform claims
ENTRY = ((0, 0.62), (5, 0.82), (1, 1.0))  # how people come whom nothing sent


def trace(sim: Simulator, chunk: dict) -> None:
    """Adds to a month's chunk: o_touch (order x channel), o_channel (last touch),
    o_campaign, and claims by day, channel, campaign and region (orders and cents).
    """
    k, cause = chunk["o_key"], chunk["o_cause"]
    p = sim.people
    n = len(k)
    day, region = chunk["o_day"] - chunk["first"], chunk["o_region"]
    touch = np.zeros((n, N_CAUSES), bool)
    consent = p["is_contactable"][chunk["o_who"]] & ~chunk["o_new"]
    for c in range(N_CAUSES):
        chance = SEEN[c] * (
            chunk["reach"][day, c, region] if c in PAID else consent if c == 6 else np.ones(n)
        )
        touch[:, c] = uniform(k, f"touch/{CHANNELS[c]}") < chance
    entry, u = np.full(n, 1), uniform(k, "entry")
    for c, below in reversed(ENTRY):
        entry[u < below] = c
    nothing_sent = (cause == 0) | (cause == 99)
    touch[np.flatnonzero(nothing_sent), entry[nothing_sent]] = True
    touch[np.flatnonzero(cause >= 100), 6] = True
    sent = (cause > 0) & (cause < N_CAUSES)
    touch[np.flatnonzero(sent), cause[sent]] = True
    pull = np.stack(
        [
            np.log(LAST[c]) - np.log(-np.log(uniform(k, f"last/{CHANNELS[c]}")))
            for c in range(N_CAUSES)
        ],
        axis=1,
    )
    chunk["o_touch"], chunk["o_pull"] = touch, pull.astype(np.float32)
    chunk["o_channel"] = (
        np.where(touch, pull, -np.inf).argmax(axis=1) if n else np.zeros(0, np.int64)
    )
    p["channel"][chunk["o_who"][chunk["o_new"]]] = chunk["o_channel"][chunk["o_new"]]
    chunk["o_campaign"] = (uniform(k, "campaign") * 1000).astype(np.int64)
    days, regions = chunk["last"] - chunk["first"], chunk["reach"].shape[2]
    chunk["claims"] = {}
    for c in PAID:
        if not CLAIMED[c]:
            continue
        rows = np.flatnonzero(touch[:, c])
        which = campaign_of(c, chunk["o_campaign"][rows])
        shape = (days, len(CAMPAIGN_SHARE[c]), regions)
        flat = np.ravel_multi_index((day[rows], which, region[rows]), shape)
        size = int(np.prod(shape))
        chunk["claims"][c] = (
            np.round(np.bincount(flat, minlength=size) * CLAIMED[c], 2).reshape(shape),
            np.round(np.bincount(flat, chunk["o_revenue"][rows], size) * CLAIMED[c])
            .astype(np.int64)
            .reshape(shape),
        )


def campaign_of(c: int, draw: np.ndarray) -> np.ndarray:
    """The campaign of channel c a draw in 0..999 falls to."""
    return np.searchsorted(np.cumsum(CAMPAIGN_SHARE[c])[:-1] * 1000, draw, side="right")
