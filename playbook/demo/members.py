"""Points and tiers of members: a point per euro, spent by the hundred, gone after a
year. Joining changes nothing in what people buy (the truth of this shop): members only
were better customers before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from playbook.demo.records import Record
from playbook.demo.simulate import Simulator, places
from playbook.demo.state import FAKE
from playbook.demo.streams import uniform
from playbook.demo.world import LAWS
from playbook.demo.writing import WORDS, Clock, customer_ids, pick

TIERS = [tier["name"] for tier in LAWS.tiers]
_LEAST = np.array([tier["threshold"] for tier in LAWS.tiers])  # cents spent in twelve months
_DAYS = LAWS.points["days"]  # points last
_EARN, _SPEND, _EXPIRE, _TIER = range(4)


class Change(NamedTuple):
    """One change of a member's points or tier; `at` in minutes from the log's first day."""

    who: int
    at: int
    tier: int
    points: int
    why: int
    until: int = -1


class Member:
    """One member's points and tier, purchase by purchase."""

    def __init__(self, who: int) -> None:
        self.who, self.tier = who, 0
        self.lots: deque[list[int]] = deque()  # day they expire, points left
        self.bought: deque[tuple[int, int]] = deque()  # day and cents of the last year

    def expire(self, until: int) -> Iterator[Change]:
        """Points that are gone by a day."""
        while self.lots and self.lots[0][0] <= until:
            day, left = self.lots.popleft()
            if left:
                yield Change(self.who, day * 1440 + 5, self.tier, -left, _EXPIRE)

    def buy(self, minute: int, cents: int, spends: float, how_many: float) -> Iterator[Change]:
        """What a purchase at a minute of the log changes; `spends` and `how_many` are
        the draws for paying with points.
        """
        day, who, points = minute // 1440, self.who, cents // 100
        yield from self.expire(day)
        self.bought.append((day, cents))
        while self.bought[0][0] < day - 365:
            self.bought.popleft()
        if points:
            self.lots.append([day + _DAYS, points])
            yield Change(who, minute + 30, self.tier, points, _EARN, day + _DAYS)
        tier = int(np.flatnonzero(sum(c for _, c in self.bought) >= _LEAST)[-1])
        if tier != self.tier:
            self.tier = tier
            yield Change(who, minute + 31, tier, 0, _TIER)
        balance = sum(left for _, left in self.lots)
        if balance >= 200 and spends < 0.3:
            paid = 100 * max(1, int(balance / 100 * how_many))
            yield Change(who, minute + 32, tier, -paid, _SPEND)
            self._take(paid)

    def _take(self, points: int) -> None:
        for lot in self.lots:
            take = min(lot[1], points)
            lot[1] -= take
            points -= take


def memberships(sim: Simulator, a: Record, clock: Clock) -> pa.Table | None:
    """Every change of a member's points and tier up to the clock's evening; None
    without members.
    """
    changes = list(_changes(sim, a, clock.until))
    if not changes:
        return None
    who, at, tier, points, why, until = np.array(changes).T
    by = np.lexsort((np.arange(len(who)), at, who))
    moment = np.r_[True, (who[by][1:] != who[by][:-1]) | (at[by][1:] != at[by][:-1])]
    number = np.empty(len(by), int)
    number[by] = places(np.diff(np.r_[np.flatnonzero(moment), len(by)]))[1] + 1
    return clock.table(
        "memberships",
        customer_id=customer_ids(sim.people.key[who]),
        changed_at=clock.at(at // 1440, at % 1440),
        change_no=number,
        tier=pick(TIERS, tier),
        points_delta=points,
        reason=pick(WORDS.point_reasons, why),
        expires_on=(np.maximum(until, 0), until < 0),
    ).filter(pa.array(at // 1440 <= clock.until))


def member_orders(sim: Simulator, a: Record) -> np.ndarray:
    """Places of members' paid orders, by member and time."""
    p, n = sim.people, sim.n
    joins = (uniform(p.key[:n], "joins") < 0.55) & (p.cause[:n] != FAKE)
    is_member = p.is_contactable[:n] & ~p.is_guest[:n] & joins
    rows = np.flatnonzero(is_member[a.o_who] & (a.o_fate == 0))
    return rows[np.lexsort((a.o_minute[rows], a.o_day[rows], a.o_who[rows]))]


def _changes(sim: Simulator, a: Record, until: int) -> Iterator[Change]:
    rows = member_orders(sim, a)
    k, minute = a.o_key[rows], a.o_day[rows] * 1440 + a.o_minute[rows]
    draws = uniform(k, "spends-points"), uniform(k, "how-many-points")
    member = Member(-1)
    columns = a.o_who[rows], minute, a.o_revenue[rows], *draws
    for who, *purchase in zip(*(column.tolist() for column in columns), strict=True):
        if who != member.who:
            yield from member.expire(until)
            member = Member(who)
        yield from member.buy(*purchase)
    yield from member.expire(until)
