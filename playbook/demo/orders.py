"""Orders, lines, refunds, reviews and tickets as the shop sees them on one evening.

Everything later than that evening is cut: a parcel on its way has no delivery, an order
of yesterday may not be paid.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy import ndarray

from playbook.demo.attribution import campaign_of
from playbook.demo.money import (
    line_taxes,
    order_of_lines,
    order_tax,
    payment_fee,
    payment_methods,
    total_of,
)
from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.state import LEAKED
from playbook.demo.streams import below, exponential, key, uniform
from playbook.demo.world import (
    CAMPAIGN_START,
    CAMPAIGNS,
    CHANNELS,
    COUNTRIES,
    DEVICES,
    PAID,
    REGIONS,
    channel_law,
)
from playbook.demo.writing import WORDS, Clock, customer_ids, ids, order_ids, pick

_REVIEWS = [WORDS.reviews[mood] for mood in ("good", "fair", "poor")]
_TEXTS = [text for texts in _REVIEWS for text in texts]
_N_REVIEWS = np.array([len(texts) for texts in _REVIEWS])


def buying_tables(sim: Simulator, a: Record, clock: Clock) -> dict[str, pa.Table]:
    """orders, order_lines, refunds, reviews and tickets of one month's orders (as known
    on the clock's evening).
    """
    seen = _as_seen(sim, a, clock)
    return {
        "orders": _orders(sim, a, clock, seen),
        "order_lines": _lines(a, clock, seen),
        "refunds": _refunds(sim, a, clock, seen),
        "reviews": _reviews(a, clock, seen),
        "tickets": _tickets(a, clock, seen),
    }


def _as_seen(sim: Simulator, a: Record, clock: Clock) -> Record:
    """What several tables need of a month's orders: which line belongs to which order,
    what has not happened by the evening, who is a guest.
    """
    world, until, k, fate = clock.world, clock.until, a.o_key, a.o_fate
    n, of = len(k), order_of_lines(a)
    as_guest = (uniform(k, "as-guest") < 0.03) & ~a.o_new & world.on.guests
    late_days = np.maximum(a.o_delivered - a.o_promised, 0)
    return Record(
        of=of,
        number=np.arange(len(of)) - np.repeat(np.cumsum(a.o_lines) - a.o_lines, a.o_lines) + 1,
        paid=a.l_price * a.l_quantity - a.l_off,
        ids=order_ids(k, a.o_day, clock.day0),
        is_guest=sim.people.is_guest[a.o_who] | as_guest,
        booked=(a.l_back > 0) & (a.l_back_day <= until),
        no_pay=(fate == 1) | (a.o_day + (a.o_minute + a.o_pay) // 1440 > until),
        no_cancel=~np.isin(fate, (1, 2)) | (a.o_free > until),
        no_ship=(fate != 0) | (a.o_ship > until),
        no_arrival=(fate != 0) | (a.o_delivered > until),
        late_days=late_days,
        trouble=np.bincount(of, a.l_back > 0, n) > 0,
    )


def _status(a: Record, seen: Record) -> ndarray:
    """Places in the list of statuses."""
    n = len(a.o_key)
    goods_back = np.bincount(seen.of, seen.booked & np.isin(a.l_back, (1, 3)), n) == a.o_lines
    money_back = np.bincount(seen.of, seen.booked, n) == a.o_lines
    is_refunded = goods_back | ((a.o_fate == 3) & money_back)
    happened = [~seen.no_cancel, is_refunded, ~seen.no_arrival, ~seen.no_ship, ~seen.no_pay]
    return np.select(happened, [4, 5, 3, 2, 1], 0)


def _orders(sim: Simulator, a: Record, clock: Clock, seen: Record) -> pa.Table:
    k, day, who, region, channel = a.o_key, a.o_day, a.o_who, a.o_region, a.o_channel
    n, is_unpaid = len(k), a.o_fate == 1
    gross = total_of(seen.of, a.l_price * a.l_quantity, n)
    off = total_of(seen.of, a.l_off, n)
    tax = order_tax(a)
    total = gross - off + a.o_shipping + tax
    ordered = clock.at(day, a.o_minute, below(k, "second", 60))
    lost = clock.world.hits("tracking_outage", day)
    campaign = _campaigns(a)
    in_app = (a.o_device == 0) & (uniform(sim.people.key[who], "app") < 0.4)
    door = 540 + below(k, "door-minute", 600)
    return clock.table(
        "orders",
        order_id=seen.ids,
        ordered_at=ordered,
        ordered_on=day,
        status=pick(WORDS.statuses, _status(a, seen)),
        customer_id=customer_ids(sim.people.key[who], seen.is_guest),
        paid_at=(ordered + a.o_pay * 60, seen.no_pay),
        cancelled_at=(clock.at(a.o_free, 545 + below(k, "cancel-minute", 20)), seen.no_cancel),
        channel=pick(CHANNELS, channel, lost),
        source=pick(channel_law("source"), channel, lost),
        medium=pick(channel_law("medium"), channel, lost),
        campaign=pick(CAMPAIGNS, campaign, lost | (campaign < 0)),
        device=pick(DEVICES, a.o_device),
        platform=pick(WORDS.platforms, in_app),
        region=pick(REGIONS, region),
        country=pick(COUNTRIES, region),
        currency="EUR",
        gross=gross,
        discount=off,
        shipping=a.o_shipping,
        tax=tax,
        total=total,
        coupon=_coupons(sim, a),
        payment_method=pick(WORDS.payment_methods, payment_methods(k)),
        n_payments=(1 + (uniform(k, "split-payment") < 0.03), seen.no_pay),
        payment_fee=(payment_fee(total), seen.no_pay),
        shipped_at=(clock.at(a.o_ship, 840 + below(k, "ship-minute", 240)), seen.no_ship),
        promised_at=(clock.at(a.o_promised, 1080), is_unpaid),
        delivered_at=(clock.at(a.o_delivered, door), seen.no_arrival),
        shipping_cost=(a.o_freight, is_unpaid),
        carrier=pick(WORDS.carriers, np.where(region >= 9, 2, region % 2), a.o_fate != 0),
        is_test=np.zeros(n),
    )


def _campaigns(a: Record) -> ndarray:
    """Places in the list of campaigns; -1 for orders of no paid channel."""
    campaign = np.full(len(a.o_key), -1)
    for c in PAID:
        rows = np.flatnonzero(a.o_channel == c)
        campaign[rows] = CAMPAIGN_START[c] + campaign_of(c, a.o_campaign[rows])
    return campaign


def _coupons(sim: Simulator, a: Record) -> pa.Array:
    """The code an order was placed with: the welcome coupon, or that of a treatment."""
    codes = [f"{t.kind.upper().replace('-', '')}{round(t.depth * 100)}" for t in sim.treatments]
    codes.append(f"STAFF{round(100 * sim.world.size.get('coupon_leaked', 0))}")
    which = np.where(a.o_treatment >= 0, a.o_treatment + 1, 0)
    which = np.where(a.o_treatment == LEAKED, len(codes), which)
    return pick(["WELCOME10", *codes], which, ~(a.o_coupon > 0))


def _lines(a: Record, clock: Clock, seen: Record) -> pa.Table:
    world = clock.world
    return clock.table(
        "order_lines",
        order_id=seen.ids.take(pa.array(seen.of)),
        line_no=seen.number,
        sku=pick(world.sku_ids, a.l_sku),
        quantity=a.l_quantity,
        price=a.l_price,
        discount=a.l_off,
        tax=line_taxes(a, seen.of),
        list_price=world.list_price[a.l_sku],
        unit_cost=a.l_cost,
        title=pick(world.titles, a.l_sku),
        promo_id=pick(a.promo_names or ["-"], a.l_promo, a.l_promo < 0),
        is_product=np.ones(len(seen.of)),
    )


def _refunds(sim: Simulator, a: Record, clock: Clock, seen: Record) -> pa.Table:
    """Returns and part refunds by line, and the money of cancelled orders that had been
    paid.
    """
    of, rows = seen.of, np.flatnonzero(seen.booked)
    is_over = (a.o_fate[of] == 2) & (a.o_free[of] <= clock.until) & (seen.paid > 0)
    line = np.concatenate([rows, np.flatnonzero(is_over)])
    order = of[line]
    is_cancel = np.arange(len(line)) >= len(rows)
    day = np.where(is_cancel, a.o_free[order], a.l_back_day[line])
    kind = np.where(is_cancel, 2, np.array([0, 1, 0, 3])[a.l_back[line]])
    reason = np.where(kind == 3, 7, np.where(is_cancel, 6, a.l_back_why[line]))
    k = key(a.l_key[line], "refund")
    minute = np.where(is_cancel, 575, 600) + below(k, "minute", 360)
    return clock.table(
        "refunds",
        refund_id=ids(k, 11, "R"),
        order_id=seen.ids.take(pa.array(order)),
        line_no=seen.number[line],
        refunded_at=clock.at(day, minute),
        refunded_on=day,
        amount=np.where(is_cancel, seen.paid[line], a.l_back_amount[line]),
        customer_id=customer_ids(sim.people.key[a.o_who[order]], seen.is_guest[order]),
        sku=pick(clock.world.sku_ids, a.l_sku[line]),
        quantity=np.where(kind == 1, a.l_quantity[line], 0),
        kind=pick(WORDS.refund_kinds, kind),
        reason=pick(WORDS.refund_reasons, reason),
    )


def _reviews(a: Record, clock: Clock, seen: Record) -> pa.Table:
    """Reviews written after delivery; fake orders praise at once."""
    k, fake, trouble, late = a.o_key, a.o_fate == 3, seen.trouble, seen.late_days
    wrote = np.where(fake, a.o_day + 1, a.o_delivered + 2 + below(k, "review-day", 12))
    chance = np.where(fake, 0.9, 0.11 + 0.07 * trouble + 0.05 * (late > 0))
    does_write = (uniform(k, "review") < chance) & (fake | ~seen.no_arrival)
    rows = np.flatnonzero(does_write & (wrote <= clock.until))
    draw = uniform(k, "mood") + uniform(k, "mood2") + uniform(k, "mood3") - 1.5
    mood = 4.75 - 0.24 * np.minimum(late, 8) - 1.6 * trouble + 0.75 * draw * 1.6
    stars = np.where(fake, 5, np.clip(np.round(mood), 1, 5)).astype(int)[rows]
    group = np.select([stars >= 4, stars == 3], [0, 1], 2)
    start = np.cumsum(_N_REVIEWS) - _N_REVIEWS
    r, wrote = k[rows], wrote[rows]
    text = start[group] + below(r, "words", _N_REVIEWS[group])
    answered = wrote + 1 + below(r, "answer", 3)
    is_silent = uniform(r, "answered") > np.where(stars <= 3, 0.8, 0.25)
    first = np.cumsum(a.o_lines) - a.o_lines
    return clock.table(
        "reviews",
        review_id=ids(r, 11, "V"),
        created_at=clock.at(wrote, 480 + below(r, "rm", 800)),
        stars=stars,
        order_id=seen.ids.take(pa.array(rows)),
        sku=pick(clock.world.sku_ids, a.l_sku[first[rows]]),
        text=pick(_TEXTS, text, uniform(r, "wordless") < 0.3),
        answered_at=(clock.at(answered, 700), is_silent | (answered > clock.until)),
    )


def _tickets(a: Record, clock: Clock, seen: Record) -> pa.Table:
    """Cases opened with the shop: where an order stays, returns, and what else people ask."""
    k, trouble, is_unpaid = a.o_key, seen.trouble, a.o_fate == 1
    is_late = (seen.late_days > 0) & (a.o_fate == 0)
    chance = np.select([is_late, trouble, is_unpaid], [0.30, 0.45, 0.15], 0.035)
    known = [a.o_promised + 1, a.o_delivered + 3]
    opened = np.select([is_late, trouble], known, a.o_day + below(k, "ask-day", 4))
    does_ask = (uniform(k, "ticket") < chance) & (opened <= clock.until) & (a.o_fate != 3)
    rows = np.flatnonzero(does_ask)
    wants_return = trouble & (uniform(k, "tk") < 0.7)
    other = np.array([2, 5, 0, 2])[below(k, "tk", 4)]
    topic = np.select([is_late, wants_return, trouble, is_unpaid], [0, 1, 3, 4], other)[rows]
    r = k[rows]
    start = clock.at(opened[rows], 480 + below(r, "tm", 700))
    reply = start + (3600 * (0.3 + 5.5 * exponential(r, "reply"))).astype(int)
    close = reply + (3600 * (0.5 + 30 * exponential(r, "close"))).astype(int)
    end = clock.at(np.array([clock.until + 1]), 0)[0]
    mood = 4.8 - (reply - start) / 36000 - (topic == 0) * 0.8 - 1.5 * uniform(r, "csat")
    is_silent = (uniform(r, "answers") > 0.4) | (close >= end)
    return clock.table(
        "tickets",
        ticket_id=ids(r, 11, "T"),
        opened_at=start,
        first_reply_at=(reply, reply >= end),
        closed_at=(close, close >= end),
        topic=pick(WORDS.topics, topic),
        order_id=seen.ids.take(pa.array(rows)),
        is_reopened=(uniform(r, "again") < 0.08) & (close < end),
        csat=(np.clip(np.round(mood), 1, 5), is_silent),
    )
