"""Attempts to pay by card and wallet: which failed with what message, and which were won back.

Orders that were paid had an attempt that worked, some of them one that failed before; purchases
lost for good are checkouts that never became an order. Nothing else of the shop depends on them;
their draws have a stream of their own. An invoice is paid later and attempts nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.money import METHOD_SHARES, order_tax, payment_draw, payment_methods
from playbook.demo.records import Record
from playbook.demo.streams import below, key, normal, poisson, uniform
from playbook.demo.world import DEVICES, World
from playbook.demo.writing import Clock, ids, order_ids, pick
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("attempts.yaml")))
METHODS = tuple(STATED.messages)
#: message by message: place of its way to pay, its text
WAY_OF = np.array([m for m, name in enumerate(METHODS) for _ in STATED.messages[name]])
TEXTS = [text for name in METHODS for text in STATED.messages[name]]
_LAST = "gateway_timeout"


def attempt_law(seed: int) -> DataFrame:
    """One row per device, way to pay and message: failed (share of first attempts), won_back
    (share of these paid in the end), is_planted (the one that fails beyond all others).
    """
    base = np.array([law for name in METHODS for law in STATED.messages[name].values()])
    device, which = (part.ravel() for part in np.indices((len(DEVICES), len(base))))
    failed, won = base[which].T
    k = key(seed, "payment message", device * len(base) + which)
    # the planted one is of a device on which many pay: one of the first two
    worst = key(seed, "worst message", np.arange(1))
    is_planted = (which == below(worst, "message", len(base))) & (device == below(worst, "on", 2))
    more, less = STATED.planted
    failed = failed * np.exp(STATED.spread * normal(k, "failed")) * np.where(is_planted, more, 1.0)
    return DataFrame(
        {
            "device": np.array(DEVICES)[device],
            "method": np.array(METHODS)[WAY_OF[which]],
            "message": np.array(TEXTS)[which],
            "failed": failed,
            "won_back": won * np.where(is_planted, less, 1.0),
            "is_planted": is_planted,
        }
    )


def shares(seed: int) -> Record:
    """For one order paid by card or wallet, by device: `tried` (first attempts by way), `lost`
    (purchases lost by message), and of the orders paid by each way `failed` (share whose first
    attempt failed with each message, which may be one of the other way).
    """
    law, n = attempt_law(seed), len(WAY_OF)
    failed, won = (law[c].to_numpy().reshape(-1, n) for c in ("failed", "won_back"))
    is_of = np.arange(len(METHODS))[:, None] == WAY_OF
    paid = np.array(METHOD_SHARES[: len(METHODS)]) / sum(METHOD_SHARES[: len(METHODS)])
    tried, first_failed = [], []
    for f, w in zip(failed, won, strict=True):
        over = is_of @ (f * w * STATED.other)
        stay = 1 - is_of @ (f * (1 - w)) - over
        turns = np.diag(stay) + np.diag(over)[::-1]
        first = np.linalg.solve(turns, paid)
        tried.append(first)
        kept = np.where(is_of, 1 - STATED.other, STATED.other)
        first_failed.append(kept * first[WAY_OF] * f * w / paid[:, None])
    tried = np.array(tried)
    lost = tried[:, WAY_OF] * failed * (1 - won)
    return Record(tried=tried, lost=lost, failed=np.array(first_failed))


def first_failures(law: Record, keys: ndarray, device: ndarray, method: ndarray) -> ndarray:
    """With which message the first attempt of an order that was paid failed; -1 for none."""
    ends = law.failed.cumsum(axis=2)[device, method]
    which = (uniform(keys, "first") >= ends.T).sum(axis=0)
    return np.where(which < ends.shape[1], which, -1)


def lost_purchases(law: Record, keys: ndarray, paid: ndarray) -> ndarray:
    """How many purchases were lost with each message, beside so many orders `paid` by card or
    wallet on each device, end to end; `keys` name the cells, device and message last.
    """
    return poisson(keys.ravel(), "lost", (paid[..., None] * law.lost).ravel())


def payment_attempts(world: World, a: Record, clock: Clock) -> pa.Table:
    """The attempts of a month, up to the clock's evening."""
    law, first = shares(world.seed), int(a.o_day.min()) if len(a.o_day) else 0
    paid_day = a.o_day + (a.o_minute + a.o_pay) // 1440
    way = payment_methods(a.o_key)
    is_tried = (way < len(METHODS)) & (paid_day <= clock.until)
    paid = np.flatnonzero(is_tried & (a.o_fate != 1))
    k, device = key(world.seed, "attempt", a.o_key[paid]), a.o_device[paid].astype(int)
    message = first_failures(law, k, device, way[paid])
    at = clock.at(a.o_day[paid], a.o_minute[paid], below(a.o_key[paid], "second", 60))
    at = at + a.o_pay[paid] * 60
    none = np.full(len(k), -1)
    worked = Record(k=k, row=paid, at=at, way=way[paid], device=device, message=none)
    lost = _lost(world, a, law, first, clock)
    parts = [worked, _before(worked, message), _barred(world, a, is_tried, clock), *lost]
    rows = Record({name: np.concatenate([p[name] for p in parts]) for name in worked})
    number = np.repeat(np.arange(len(parts)), [len(p.k) for p in parts])
    total = a.o_revenue + a.o_shipping + order_tax(a)
    order = order_ids(a.o_key, a.o_day, world.day0)
    return clock.table(
        "payment_attempts",
        attempt_id=ids(key(rows.k, number), 12, "A"),
        attempted_at=rows.at,
        checkout_id=ids(rows.k, 12, "K"),
        order_id=order.take(pa.array(rows.row, mask=number >= len(parts) - len(lost))),
        payment_method=pick(METHODS, rows.way),
        device=pick(DEVICES, rows.device),
        status=pick(("paid", "failed"), rows.message >= 0),
        message=pick(TEXTS, rows.message, rows.message < 0),
        amount=total[rows.row],
        currency="EUR",
    )


def _before(paid: Record, message: ndarray) -> Record:
    """The attempts that failed some minutes before one that worked."""
    part = Record({name: values[message >= 0] for name, values in paid.items()})
    part.message = message[message >= 0]
    part.way = WAY_OF[part.message]
    part.at = part.at - 60 - below(part.k, "before", 400)
    return part


def _lost(world: World, a: Record, law: Record, first: int, clock: Clock) -> list[Record]:
    """The attempts of purchases that were never paid: one, or two with the same message."""
    is_paid = (payment_methods(a.o_key) < len(METHODS)) & (a.o_fate != 1)
    n_days, n = int(a.o_day.max()) - first + 1 if len(a.o_day) else 0, len(WAY_OF)
    cell = (a.o_day - first) * len(DEVICES) + a.o_device
    paid = np.bincount(cell[is_paid], minlength=n_days * len(DEVICES)).reshape(n_days, -1)
    day, device, message = np.indices((n_days, len(DEVICES), n))
    cells = key(world.seed, "lost payments", first + day, device * n + message)
    counts = lost_purchases(law, cells, paid)
    of = np.repeat(np.arange(len(counts)), counts)
    k = key(cells.ravel()[of], np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts))
    day, device, message = (part.ravel()[of] for part in (day, device, message))
    # one like an order of its day, on which there was one
    by_day = np.argsort(a.o_day, kind="stable")
    begins, n_orders = np.searchsorted(a.o_day[by_day], first + np.array([day, day + 1]))
    row = by_day[begins + (uniform(k, "like") * (n_orders - begins)).astype(int)]
    at = clock.at(first + day, a.o_minute[row], below(k, "second", 60))
    one = Record(k=k, row=row, at=at, way=WAY_OF[message], device=device, message=message)
    one = Record({name: values[first + day <= clock.until] for name, values in one.items()})
    is_again = uniform(one.k, "again") < STATED.again
    two = Record({name: values[is_again] for name, values in one.items()})
    two.at = two.at + 60 + below(two.k, "after", 400)
    return [one, two]


def _barred(world: World, a: Record, is_tried: ndarray, clock: Clock) -> Record:
    """One attempt of each order that a way to pay did not let through (a planted incident)."""
    is_barred = payment_draw(a.o_key) < world.size.get("payment_method_down", 0.0)
    is_barred &= is_tried & (a.o_fate == 1) & world.hits("payment_method_down", a.o_day)
    row = np.flatnonzero(is_barred)
    return Record(
        k=key(world.seed, "attempt", a.o_key[row]),
        row=row,
        at=clock.at(a.o_day[row], a.o_minute[row]),
        way=payment_methods(a.o_key[row]),
        device=a.o_device[row].astype(int),
        message=np.full(len(row), TEXTS.index(_LAST)),
    )
