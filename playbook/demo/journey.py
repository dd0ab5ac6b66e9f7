"""Visits and what hangs on them: traffic by day, events, touchpoints, tests at the
checkout.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy import ndarray

from playbook.demo.page_loads import page_loads
from playbook.demo.records import Record
from playbook.demo.simulate import Simulator, places
from playbook.demo.state import FAKE, TREATED
from playbook.demo.streams import below, key, poisson, uniform
from playbook.demo.world import (
    CHANNELS,
    DEVICES,
    N_CAUSES,
    PAID,
    REGION_SHARE,
    REGIONS,
    channel_law,
)
from playbook.demo.writing import WORDS, Clock, customer_ids, ids, order_ids, pick, sort

_D, _R = len(DEVICES), len(REGIONS)
_EMAIL = 6
SESSIONS_PER_HEAD = 53.0  # visits without intent to buy, beside each arrival of an ordinary day
# How strongly a paid channel's reach shows in visits.
_REACH_WEIGHT = {1: 0.42, 2: 0.5, 3: 0.34, 4: 0.3, 5: 0.34}
_STEPS = ("product_views", "add_to_carts", "checkouts", "buyers")
_NEVER = 10**6


def _cells(day: ndarray, channel: ndarray, device: ndarray, region: ndarray) -> ndarray:
    return ((day * N_CAUSES + channel) * _D + device) * _R + region


def _order_cells(chunk: Record) -> ndarray:
    day, device = chunk.o_day - chunk.first, chunk.o_device.astype(int)
    return _cells(day, chunk.o_channel, device, chunk.o_region)


def traffic_counts(sim: Simulator, chunk: Record) -> Record:
    """Counts by day, channel, device and region of a month: sessions, product views,
    carts, checkouts, buyers.
    """
    mean = _visits(sim, chunk)
    first, cells = chunk.first, np.arange(mean[0].size)
    days, channel = np.arange(first, chunk.last), np.indices(mean.shape)[1].ravel()
    buyers = np.bincount(_order_cells(chunk), minlength=mean.size)
    checkouts = buyers + _left(chunk, mean.size)
    k = key(sim.salt, "browse", days[:, None] * len(cells) + cells).ravel()
    browse = poisson(k, "sessions", mean.ravel())
    views = browse * channel_law("views")[channel] + uniform(k, "views")
    looked = np.floor(views).astype(int)
    carted = np.minimum(poisson(k, "carts", 0.055 * browse), looked)
    sessions = browse + checkouts
    return Record(
        sessions=sessions,
        visitors=np.maximum(np.floor(0.93 * sessions).astype(int), buyers),
        product_views=looked + checkouts,
        add_to_carts=carted + checkouts,
        checkouts=checkouts,
        buyers=buyers,
    )


def _left(chunk: Record, size: int) -> ndarray:
    """Filled baskets that were not paid for, by cell."""
    day, region, device, cause, is_filled, is_paid = chunk.baskets.T
    cause = np.select([cause >= TREATED, cause == FAKE], [_EMAIL, 0], cause)
    failed = (is_filled == 1) & (is_paid == 0)
    return np.bincount(_cells(day - chunk.first, cause, device, region)[failed], minlength=size)


def _visits(sim: Simulator, chunk: Record) -> ndarray:
    """Expected visits without intent to buy by day, channel, device and region."""
    world, env = sim.world, chunk.env
    weight = np.zeros((len(env.days), N_CAUSES, _R))
    weight[:, 0] = 0.26
    weight[:, _EMAIL] = 0.04 + 0.08 * (env.days // 7 % 2 == 0)[:, None]
    weight[:, 7] = 0.02
    growth = 0.75 + 0.5 * np.minimum(env.days / world.n_days, 1.5)
    weight *= (env.demand * growth)[:, None, None]
    for c, top in _REACH_WEIGHT.items():
        weight[:, c] = top * chunk.reach[:, c]
    per_day = world.scale * SESSIONS_PER_HEAD
    device = channel_law("devices")[None, :, :, None]
    return per_day * weight[:, :, None, :] * REGION_SHARE * device


def traffic(chunk: Record, clock: Clock) -> pa.Table:
    """The traffic table of a month; days of a tracking outage are not there."""
    shape = (chunk.last - chunk.first, N_CAUSES, _D, _R)
    d, c, v, r = (x.ravel() for x in np.indices(shape))
    day = d + chunk.first
    keep = ~clock.world.hits("tracking_outage", day)
    return clock.table(
        "traffic",
        day_on=day[keep],
        channel=pick(CHANNELS, c[keep]),
        device=pick(DEVICES, v[keep]),
        region=pick(REGIONS, r[keep]),
        **{name: counts[keep] for name, counts in chunk.traffic.items()},
    )


def event_tables(sim: Simulator, chunk: Record, clock: Clock) -> dict[str, pa.Table]:
    """Events, page loads and touchpoints of a month, tied to its traffic and orders."""
    s = _sessions(sim, chunk)
    loads = page_loads(sim.world, s, s.of // _R % _D, _starts(chunk, clock, s), clock)
    return {
        "events": _events(sim, chunk, clock, s),
        "touchpoints": _touchpoints(sim, chunk, clock),
        "page_loads": sort(loads, "page_loads"),
    }


def _sessions(sim: Simulator, chunk: Record) -> Record:
    """Each session's cell and rank in it, how many steps it took, and its order; -1
    where it bought nothing.
    """
    counts = chunk.traffic
    of, rank = places(counts.sessions)
    depth = sum((rank < counts[name][of]).astype(int) for name in _STEPS)
    # Cells ascend on both sides, and each holds as many buyers as orders.
    order = np.full(len(of), -1)
    order[depth == 4] = np.argsort(_order_cells(chunk), kind="stable")
    cell = of + chunk.first * 300
    at_order = np.maximum(order, 0)
    who = np.where(order >= 0, chunk.o_who[at_order], 0)
    browser = key(sim.people.key[who], "browser")
    stranger = key(sim.salt, "visitor", cell, (rank * 9) // 10)
    return Record(
        of=of,
        key=key(sim.salt, "session", cell, rank),
        depth=depth,
        bought=order >= 0,
        order=at_order,
        who=who,
        visitor=np.where(order >= 0, browser, stranger),
    )


def _events(sim: Simulator, chunk: Record, clock: Clock, s: Record) -> pa.Table:
    world, p = sim.world, sim.people
    popular = np.cumsum(world.appeal * np.maximum(world.life(chunk.first + 15), 0))
    looked_at = np.searchsorted(popular / popular[-1], uniform(s.key, "looks-at") * 0.999999)
    first_line = np.cumsum(chunk.o_lines) - chunk.o_lines
    sku = np.where(s.bought, chunk.l_sku[first_line[s.order]], looked_at)
    row, step = places(s.depth + 1)
    order, is_sale = s.order[row], s.bought[row] & (step == 4)
    sale_ids = order_ids(chunk.o_key, chunk.o_day, clock.day0)
    guests = customer_ids(p.key[s.who], ~(s.bought & ~p.is_guest[s.who]))
    k, rows = key(s.key[row], step), pa.array(row)
    return clock.table(
        "events",
        event_id=ids(k, 12, "E"),
        occurred_at=_event_times(chunk, clock, s, row, step),
        visitor_id=ids(s.visitor, 12, "B").take(rows),
        session_id=ids(s.key, 12, "S").take(rows),
        customer_id=guests.take(rows),
        name=pick(WORDS.events, step),
        sku=pick(world.sku_ids, sku[row], (step == 0) | (step >= 3)),
        order_id=sale_ids.take(pa.array(order, mask=~is_sale)),
        amount=(chunk.o_revenue[order], ~is_sale),
        source=pick(channel_law("source"), _channel(s.of)[row]),
        medium=pick(channel_law("medium"), _channel(s.of)[row]),
        device=pick(DEVICES, (s.of // _R % _D)[row]),
        region=pick(REGIONS, (s.of % _R)[row]),
    )


def _channel(cell: ndarray) -> ndarray:
    return cell // (_R * _D) % N_CAUSES


def _starts(chunk: Record, clock: Clock, s: Record) -> ndarray:
    """When each session began: one that buys some minutes before its order."""
    day = s.of // (_R * _D * N_CAUSES) + chunk.first
    free = 360 + below(s.key, "minute", 1060)
    minute = np.where(s.bought, chunk.o_minute[s.order] - 6, free)
    return clock.at(day, minute, below(s.key, "second", 60))


def _event_times(chunk: Record, clock: Clock, s: Record, row: ndarray, step: ndarray) -> ndarray:
    """Half a minute or more between steps; a purchase at the second of its order."""
    start = _starts(chunk, clock, s)
    at = start[row] + step * (30 + below(key(s.key[row], step), "pause", 50))
    ordered = clock.at(chunk.o_day, chunk.o_minute, below(chunk.o_key, "second", 60))
    return np.where(s.bought[row] & (step == 4), ordered[s.order[row]], at)


def _touchpoints(sim: Simulator, chunk: Record, clock: Clock) -> pa.Table:
    """Journeys of the month's orders, touches in order of time, and four times as many
    that end in nothing.
    """
    order, channel, number = _in_order(chunk.o_touch, chunk.o_pull)
    to_go = chunk.o_touch.sum(axis=1)[order] - number
    pace = (0.2 + 2.4 * uniform(chunk.o_key, "pace"))[order]
    back = 120 + (to_go * 86_400 * pace).astype(int)
    at = clock.at(chunk.o_day, chunk.o_minute)[order] - back
    j, seen, begin = _lost_journeys(sim, chunk, clock)
    draw = np.stack([uniform(j, f"when/{c}") for c in range(N_CAUSES)], axis=1)
    lost, lost_channel, lost_number = _in_order(seen, draw)
    pause = (1 + 20 * uniform(j, "pace"))[lost]
    lost_at = begin[lost] + ((lost_number - 1) * 3600 * pause).astype(int)
    zero = np.zeros(len(lost), int)
    is_last = np.r_[to_go == 0, zero > 0]
    journeys = [ids(chunk.o_key[order], 12, "J"), ids(j[lost], 12, "J")]
    return clock.table(
        "touchpoints",
        journey_id=pa.concat_arrays(journeys),
        touch_no=np.r_[number, lost_number],
        channel=pick(CHANNELS, np.r_[channel, lost_channel]),
        touched_at=np.r_[at, lost_at],
        is_conversion=is_last,
        amount=(np.r_[chunk.o_revenue[order], zero], ~is_last),
        n_journeys=np.ones(len(is_last)),
    )


def _in_order(touch: ndarray, rank: ndarray) -> tuple[ndarray, ...]:
    """Touches (row, channel) sorted within their row by a rank, and numbered from 1."""
    row, channel = np.nonzero(touch)
    by = np.lexsort((rank[row, channel], row))
    return row[by], channel[by], places(touch.sum(axis=1))[1] + 1


def _lost_journeys(sim: Simulator, chunk: Record, clock: Clock) -> tuple[ndarray, ...]:
    """Draws, touched channels and beginnings of the journeys that end in nothing."""
    j = key(sim.salt, "journey", chunk.first, np.arange(4 * len(chunk.o_touch)))
    day = below(j, "day", chunk.last - chunk.first)
    chance = np.tile([0.22, 0, 0, 0, 0, 0, 0.06, 0.01], (len(j), 1))
    chance[:, PAID] = 0.30 * chunk.reach[day[:, None], PAID, below(j, "region", _R)[:, None]]
    seen = np.stack([uniform(j, f"saw/{c}") < chance[:, c] for c in range(N_CAUSES)], axis=1)
    seen[:, 0] |= ~seen.any(axis=1)
    return j, seen, clock.at(day + chunk.first, 360 + below(j, "minute", 1000))


def experiments(sim: Simulator, a: Record, chunks: list[Record], clock: Clock) -> pa.Table | None:
    """One row per visitor of the tests: who came, in which arm, whether and what they
    bought, and bought before.
    """
    tests = [test for test in sim.experiments() if test.first <= clock.until]
    parts = [_visitors(sim, a, chunks, clock, test) for test in tests]
    return pa.concat_tables(parts) if parts else None


def _visitors(
    sim: Simulator, a: Record, chunks: list[Record], clock: Clock, test: Record
) -> pa.Table:
    p, n, number, first = sim.people, sim.n, test.number, test.first
    last = min(test.last, clock.until)
    length = last - first + 1
    inside = (a.o_day >= first) & (a.o_day <= last) & (a.o_fate != 3)
    came = np.full(n, _NEVER)
    np.minimum.at(came, a.o_who[inside], a.o_day[inside])
    converted = came < _NEVER
    before = (a.o_day >= first - 90) & (a.o_day < first) & (a.o_fate == 0)
    visit = uniform(key(p.key[:n], "test-visit", number), "u")
    looks = (p.born[:n] < first) & (visit < np.where(p.alive[:n], 0.5, 0.1))
    rows = np.flatnonzero(converted | looks)
    visits = sum(c.n_visits for c in chunks if c.first <= last and c.last > first)
    m = max(int(0.8 * visits * min(length / 30.0, 1.0)) - len(rows), 0)
    stranger = key(sim.salt, "test-visitor", number, np.arange(m))
    k = np.concatenate([p.key[rows], stranger])
    is_b = uniform(key(k, "test", number), "arm") < test.share_b
    none = np.zeros(m, int)
    day = np.r_[np.where(converted[rows], came[rows], 0), none]
    day = np.where(day > 0, day, first + below(k, "visit-day", length))
    return clock.table(
        "experiments",
        test_id=test.test_id,
        visitor_id=ids(key(k, "browser"), 12, "B"),
        arm=pick(("A", "B"), is_b),
        assigned_at=clock.at(day, 355),
        is_converted=np.r_[converted[rows], none > 0],
        amount=np.r_[_spent(a, inside, n)[rows], none],
        is_control=~is_b,
        outcome_days=np.zeros(len(is_b)),
        planned_share=np.where(is_b, test.share_b, 1 - test.share_b),
        amount_before=np.r_[_spent(a, before, n)[rows], none],
    )


def _spent(a: Record, which: ndarray, n: int) -> ndarray:
    """Cents by person, over some of the orders."""
    return np.bincount(a.o_who[which], a.o_revenue[which], n).astype(int)
