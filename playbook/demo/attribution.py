"""What tracking sees of an order: which channels it touched, which was last, what each
platform claims.

The cause of an order (who would not have come without which channel) is known here and
nowhere else; tracking sees touches, and every platform claims the orders it touched.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from playbook.demo.records import Record
from playbook.demo.state import FAKE, TREATED
from playbook.demo.streams import below, uniform
from playbook.demo.world import CAMPAIGN_SHARE, CHANNELS, N_CAUSES, PAID, channel_law

TOUCH, LAST, CLAIMED = (channel_law(name) for name in ("touch", "last_pull", "claimed"))
ENTRY = ((0, 0.62), (5, 0.82), (1, 1.0))  # how people come whom nothing sent


def trace(people: Record, chunk: Record) -> None:
    """Adds to a month's chunk: o_touch (order x channel), o_channel (last touch),
    o_campaign, and claims by day, channel, campaign and region (orders and cents).
    """
    k = chunk.o_key
    chunk.o_touch = touch = _touches(people, chunk)
    pull = np.stack([_pull(k, c) for c in range(N_CAUSES)], axis=1)
    chunk.o_pull = pull.astype(np.float32)
    chunk.o_channel = np.where(touch, pull, -np.inf).argmax(axis=1)
    people.channel[chunk.o_who[chunk.o_new]] = chunk.o_channel[chunk.o_new]
    chunk.o_campaign = below(k, "campaign", 1000)
    chunk.claims = {c: _claims(chunk, c) for c in PAID if CLAIMED[c]}


def _touches(people: Record, chunk: Record) -> ndarray:
    """Order x channel: by chance, by what sent the order, or by how people come alone."""
    k, cause = chunk.o_key, chunk.o_cause
    day, region = chunk.o_day - chunk.first, chunk.o_region
    touch = np.zeros((len(k), N_CAUSES), bool)
    is_asked = people.is_contactable[chunk.o_who] & ~chunk.o_new
    for c in range(N_CAUSES):
        reach = np.ones(len(k))
        if c in PAID:
            reach = chunk.reach[day, c, region]
        elif c == 6:
            reach = is_asked
        touch[:, c] = uniform(k, f"touch/{CHANNELS[c]}") < TOUCH[c] * reach
    entry, u = np.full(len(k), 1), uniform(k, "entry")
    for c, most in reversed(ENTRY):
        entry[u < most] = c
    nothing_sent = (cause == 0) | (cause == FAKE)
    touch[np.flatnonzero(nothing_sent), entry[nothing_sent]] = True
    touch[cause >= TREATED, 6] = True
    sent = (cause > 0) & (cause < N_CAUSES)
    touch[np.flatnonzero(sent), cause[sent]] = True
    return touch


def _pull(k: ndarray, c: int) -> ndarray:
    return np.log(LAST[c]) - np.log(-np.log(uniform(k, f"last/{CHANNELS[c]}")))


def _claims(chunk: Record, c: int) -> tuple[ndarray, ...]:
    """Orders and cents a platform claims by day, campaign and region."""
    rows = np.flatnonzero(chunk.o_touch[:, c])
    day = chunk.o_day[rows] - chunk.first
    which = campaign_of(c, chunk.o_campaign[rows])
    shape = (chunk.last - chunk.first, len(CAMPAIGN_SHARE[c]), chunk.reach.shape[2])
    flat = np.ravel_multi_index((day, which, chunk.o_region[rows]), shape)
    size = int(np.prod(shape))
    orders = np.round(np.bincount(flat, minlength=size) * CLAIMED[c], 2)
    cents = np.round(np.bincount(flat, chunk.o_revenue[rows], size) * CLAIMED[c])
    return orders.reshape(shape), cents.astype(int).reshape(shape)


def campaign_of(c: int, draw: ndarray) -> ndarray:
    """The campaign of channel c a draw in 0..999 falls to."""
    return np.searchsorted(np.cumsum(CAMPAIGN_SHARE[c])[:-1] * 1000, draw, side="right")
