"""Baskets that were paid for become orders: their money, their way through the house,
what will come back, and whom the buyer sends.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from playbook.demo.money import payment_draw
from playbook.demo.records import Record
from playbook.demo.state import RING, State
from playbook.demo.streams import below, exponential, key, uniform
from playbook.demo.world import FREIGHT, LAWS, TRANSIT, World

_DRAWN = LAWS.drawn


def book(state: State, day: int, env: Record, at: Record, lines: Record) -> Record:
    """A day's orders and lines, as columns `o_...` and `l_...`.

    `at` are the occasions, with the minute of each; `lines` what was taken from the
    shelf: the place of its occasion, sku, quantity and the draw it hangs on.
    """
    bought = np.flatnonzero(np.bincount(lines.at, minlength=len(at.who)) > 0)
    place = np.full(len(at.who), -1)
    place[bought] = np.arange(len(bought))
    is_new = at.who[bought] < 0
    newcomers = {name: x[bought[is_new]] for name, x in state.newcomers.items()}
    o = Record({name: values[bought] for name, values in at.items()})
    o.new, o.who = is_new, welcome(state, day, o, newcomers)
    o.day = np.full(len(bought), day)
    line = place[lines.at]
    o.lines = np.bincount(line, minlength=len(bought))
    goods = _priced(env, day, lines, o.coupon[line])
    o.update(_postage(state.world, day, o, goods, line))
    o.update(_way(state, env.season[day - env.first], o))
    goods.update(_come_back(state.world, goods, Record({n: o[n][line] for n in _OF_ORDER})))
    _move_goods(state, day, o, goods, line)
    _send_friends(state, day, o)
    p = state.people
    p.last[o.who], p.n_orders[o.who] = day, p.n_orders[o.who] + 1
    p.spent[o.who] += o.revenue
    return as_columns(o, goods, np.argsort(line, kind="stable"))


_OF_ORDER = ("fate", "delivered", "late")
_ORDER, _LINE = LAWS.order_columns, LAWS.line_columns


def as_columns(orders: Record, lines: Record, order: ndarray | slice) -> Record:
    """The columns a month's log grows by; lines in the given order."""
    columns = Record({f"o_{name}": orders[name] for name in _ORDER})
    columns.update({f"l_{name}": lines[name][order] for name in _LINE})
    return columns


def _priced(env: Record, day: int, lines: Record, coupon: ndarray) -> Record:
    """The lines with their prices, what is taken off, and what they cost the shop."""
    i, sku, quantity = day - env.first, lines.sku, lines.quantity
    price = env.price[i, sku]
    off = np.round(price * env.depth[i, sku]).astype(int) * quantity
    off += np.round((price * quantity - off) * coupon).astype(int)
    return Record(
        sku=sku,
        quantity=quantity,
        key=lines.wish,
        price=price,
        off=off,
        paid=price * quantity - off,
        promo=env.promo[i, sku],
        cost=env.cost[sku],
    )


def _postage(world: World, day: int, o: Record, goods: Record, line: ndarray) -> Record:
    """Revenue, postage charged and postage paid, in cents."""
    n = len(o.key)
    revenue = np.bincount(line, goods.paid, n).astype(int)
    is_far = np.isin(o.region, (9, 10, 11))
    is_free = revenue >= np.where(is_far, 15000, 6000)
    weight = np.bincount(line, world.weight[goods.sku] * goods.quantity, n)
    freight = np.round((FREIGHT[o.region] + 45 * weight) * 1.02 ** (day / 365))
    return Record(
        revenue=revenue,
        shipping=np.where(is_free, 0, np.where(is_far, 1290, 490)),
        freight=freight.astype(int),
    )


def _way(state: State, season: float, o: Record) -> Record:
    """Payment, fate (0 goes its way, 1 never paid, 2 cancelled) and the parcel's days."""
    world, k, day, on = state.world, o.key, o.day, state.world.on
    u, pay = uniform(k, "payment"), uniform(k, "pay")
    fate = np.where(u < 0.022, 1, np.where(u > 1 - 0.013, 2, 0)) * on.cancellations
    is_barred = payment_draw(k) < world.size.get("payment_method_down", 0.0)
    fate = np.where(is_barred & world.hits("payment_method_down", day), 1, fate)
    minutes = np.where(uniform(k, "slow-pay") < 0.9, 1 + 8 * pay, 60 + 1500 * pay).astype(int)
    pay_day = day + (o.minute + minutes) // 1440
    ship = _workday(world, pay_day + 1 + (uniform(k, "packing") < 0.25))
    late = (uniform(k, "late") < 0.07 + 0.10 * (season > 1.25)) & on.late_deliveries
    travel = TRANSIT[o.region] + (uniform(k, "travel") < 0.3)
    travel += np.where(late, 2 + below(k, "how-late", 7), 0)
    carrier = np.where(o.region >= 9, 2, o.region % 2)
    is_held = world.hits("carrier_late", ship) & (carrier == world.of_incident("carrier_late", 2))
    travel += np.where(is_held, round(world.size.get("carrier_late", 0)), 0)
    late = late | is_held
    return Record(
        fate=fate.astype(np.int8),
        pay=minutes,
        ship=ship,
        late=late,
        delivered=_workday(world, ship + travel),
        promised=day + 5 + TRANSIT[o.region],
        free=np.where(fate == 1, day + 4, np.maximum(pay_day + 1, day + 1)),
    )


def _come_back(world: World, goods: Record, order: Record) -> Record:
    """What returns weeks later: 0 nothing, 1 goods back, 2 money for a fault, 3 a
    chargeback. `order` holds fate, delivery and lateness of every line's order.
    """
    k, paid, on = goods.key, goods.paid, world.on.returns
    chance = world.return_share[goods.sku] * np.where(order.late, 1.6, 1.0) * on
    u, fine = uniform(k, "back"), (order.fate == 0) & (paid > 0)
    cases = [fine & (u < chance), fine & (u < chance * 1.25), fine & (u > 1 - 0.0012 * on)]
    kind = np.select(cases, [1, 2, 3], 0)
    gap = 9 * (exponential(k, "back-gap") + exponential(k, "back-gap-2"))
    weeks = 4 + np.floor(np.minimum(gap, 75)).astype(int)
    share = np.where(kind == 2, 0.2 + 0.4 * uniform(k, "back-share"), 1.0)
    is_late = order.late & (uniform(k, "why-late") < 0.5)
    return Record(
        back=kind.astype(np.int8),
        back_day=_workday(world, order.delivered + weeks + np.where(kind == 3, 15, 0)),
        back_amount=np.maximum(np.round(paid * share), 1).astype(int),
        back_why=np.where(is_late, 4, below(k, "why", 4)).astype(np.int8),
    )


def _move_goods(state: State, day: int, o: Record, goods: Record, line: ndarray) -> None:
    """Units are committed now; they ship, are released or come home on their days."""
    sku, quantity = goods.sku, goods.quantity
    units = np.bincount(sku, quantity, len(state.on_hand))
    state.committed += units.astype(int)
    state.sold_recent[day % 28] = units
    goes = o.fate[line] == 0
    for calendar, on, which in (
        (state.ship, o.ship[line], goes),
        (state.release, o.free[line], ~goes),
        (state.restock, goods.back_day, goods.back == 1),
    ):
        np.add.at(calendar, (on[which] % RING, sku[which]), quantity[which])


def _send_friends(state: State, day: int, o: Record) -> None:
    """Some buyers send a friend within three weeks, who inherits what they came from."""
    sends, friend, comes = friends_of(state.world, Record(key=o.key, fate=o.fate, day=day))
    region, root = o.region[sends].astype(int), o.root[sends].astype(int)
    for on in np.unique(comes):
        f = comes == on
        state.friends[int(on)].append((friend[f], region[f], root[f]))


def friends_of(world: World, o: Record) -> tuple[ndarray, ndarray, ndarray]:
    """Which orders (key, fate, day) send a friend, and of those the friend's key, which is
    that of the friend's first order, and the day the friend comes.
    """
    sends = (o.fate != 1) & (uniform(o.key, "friend") < world.referral_chance)
    k = o.key[sends]
    day = np.broadcast_to(o.day, sends.shape)[sends]
    return sends, key(k, "friend"), day + 3 + below(k, "friend-day", 18)


def welcome(state: State, day: int, o: Record, drawn: dict[str, ndarray]) -> ndarray:
    """Newcomers who ordered become people of the shop, as drawn; returns the person of
    every order.
    """
    p, is_new, n = state.people, o.who < 0, state.n
    m = int(is_new.sum())
    while n + m > len(p.key):
        p.update({name: np.concatenate([x, np.zeros_like(x)]) for name, x in p.items()})
    rows, keys = slice(n, n + m), o.key[is_new]
    new = {name: drawn[name] for name in _DRAWN}
    new |= {name: o[name][is_new] for name in ("key", "region", "cause", "root")}
    alive = uniform(keys, "leaves") >= drawn["drop"]
    new |= {"born": day, "alive": alive, "dropped": np.where(alive, -1, day)}
    new |= {"coupon_until": -1, "treatment": -1}
    for name, values in new.items():
        p[name][rows] = values
    state.start_clocks(rows, key(keys, state.salt), day + 1, ("first-gap", "first-nudge"))
    who = o.who.copy()
    who[is_new] = np.arange(n, n + m)
    state.n += m
    return who


def fake_orders(state: State, day: int, env: Record) -> Record:
    """The burst of orders nobody means to keep: one sku, one region, refunded in full
    and never shipped. Columns as of `book`.
    """
    world, p = state.world, state.people
    m = max(6, int(world.preset.customers * 0.0006 * world.size["fake_orders"]))
    law = Record(LAWS.fake_orders)
    keys = key(world.seed, "fake", day, np.arange(m))
    popular = np.argsort(-world.appeal, kind="stable")
    o = Record(key=keys, day=np.full(m, day), minute=840 + below(keys, "minute", 90))
    o.update({name: np.full(m, value) for name, value in law.order.items()})
    o.update({name: np.full(m, day + value) for name, value in law.days.items()})
    o.who = who = welcome(state, day, o, world.person(keys, o.root))
    p.alive[who], p.dropped[who], p.is_guest[who] = False, day, False
    p.n_orders[who], p.last[who] = 1, day
    goods = Record({name: np.full(m, value) for name, value in law.line.items()}, key=keys)
    goods.sku = np.full(m, int(popular[min(40, world.preset.skus - 1)]))
    goods.price = goods.back_amount = o.revenue = env.price[day - env.first, goods.sku]
    goods.cost, goods.back_day = env.cost[goods.sku], o.day + law.refunded_after
    return as_columns(o, goods, slice(None))


def _workday(world: World, day: ndarray) -> ndarray:
    """The day, or Monday where it is a Sunday."""
    return day + ((world.day0.astype(int) + day + 3) % 7 == 6)
