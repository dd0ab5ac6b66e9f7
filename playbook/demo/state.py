"""The shop's state on one evening: people, shelf, orders on their way, what it remembers."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from typing import Self

import numpy as np
from numpy import ndarray

from playbook.demo.records import Record
from playbook.demo.streams import exponential, key, normal, uniform
from playbook.demo.world import LAWS, N_CAUSES, PEAK, REGIONS, Promotion, World

TREATED = 100  # causes from here on: a treatment brought the order
FAKE = 99
LEAKED = -2  # in the place of a treatment: the order carries a code that got out
LEAK_SHARE = 0.5
RING = 256  # days a parcel, a return or a friend can lie ahead


class State:
    """What the days change. Laws stand in `world`, chance hangs on `salt`."""

    def __init__(self, world: World) -> None:
        self.world, self.day, self.n = world, 0, 0
        self.salt = np.uint64(key(world.seed, "play"))
        kinds = [(name, kind) for kind, names in LAWS.person.items() for name in names]
        self.people = Record({name: np.zeros(1024, kind) for name, kind in kinds})
        n, shape = world.preset.skus, (N_CAUSES, len(REGIONS))
        self.on_hand, self.committed = np.zeros(n, int), np.zeros(n, int)
        self.unsellable, self.incoming = np.zeros(n, int), np.zeros(n, int)
        self.ship, self.release, self.restock = np.zeros((3, RING, n), int)
        self.sold_recent = np.zeros((28, n), np.float64)
        self.adstock, self.reach = np.zeros(shape), np.zeros(shape)
        self.shock = 0.0
        # Day -> keys, regions, roots of people a buyer sends.
        self.friends: dict[int, list] = defaultdict(list)
        # Day -> people and treatments that bring one more order.
        self.extra: dict[int, list] = defaultdict(list)
        self.purchase_orders: list[Record] = []
        self.arriving: dict[int, list[int]] = defaultdict(list)
        self.prices: list[tuple[int, int, int]] = []  # decided prices: day, sku, cents
        self.extra_promotions: list[Promotion] = []
        self.treatments: list[Record] = []
        self.shipped: set[int] = set()  # checkout tests everybody gets
        self.withheld: set[int] = set()  # skus not sold any more
        self.cancelled: set[str] = set()  # promotions of the calendar not held
        self.hastening: list[tuple[int, float]] = []  # day and cents paid for haste
        share = world.base_spend / world.base_spend.sum()
        self.budget_memory = Record(revenue=[], share=share, calendar=1.0)
        self.geo_tests = _geo_tests(world)
        self.on_hand = self._first_stock()

    def copy(self) -> Self:
        """An independent copy: laws shared, state its own."""
        twin = object.__new__(type(self))
        twin.__dict__ = deepcopy(self.__dict__, {id(self.world): self.world})
        return twin

    def reseed(self, future: int) -> None:
        """From tomorrow chance takes another course; laws, people and stock stay.
        Clocks without memory restart.
        """
        self.salt = np.uint64(key(self.world.seed, "play", "future", future))
        again = key(self.people.key[: self.n], self.salt)
        self.start_clocks(slice(0, self.n), again, self.day, ("restart", "restart-nudge"))

    def start_clocks(self, rows: slice, keys: ndarray, day: int, purposes: tuple[str, str]) -> None:
        """Draws when people will next come by themselves, and when a nudge reaches them."""
        p, (own, nudge) = self.people, purposes
        rate = p.rate[rows]
        p.next[rows] = day + exponential(keys, own) / (rate * PEAK)
        p.next_nudge[rows] = day + exponential(keys, nudge) / self.nudge_speed(rate)

    def nudge_speed(self, rate: ndarray) -> ndarray:
        """The highest rate at which nudges reach people of these purchase rates."""
        return np.maximum(rate * self.world.nudge_total, 1e-12)

    def price(self, day: int) -> ndarray:
        """Cents asked for each sku on a day: as planned, as decided, and by mistake."""
        world = self.world
        cents = world.planned_price(day)
        for since, sku, decided in self.prices:
            if since <= day:
                cents[sku] = decided
        if world.hits("price_error", day):
            wrong = cents[world.best_seller] * world.size["price_error"]
            cents[world.best_seller] = max(round(wrong), 1)
        if world.hits("category_mispriced", day):
            wrong = np.round(cents * world.size["category_mispriced"]).astype(int)
            is_struck = world.category == world.category[world.best_seller]
            cents = np.where(is_struck, np.maximum(wrong, 1), cents)
        return cents

    def experiments(self, day: int | None = None) -> list[Record]:
        """Checkout tests of the last three months: one that works, one that does
        nothing.
        """
        world = self.world
        if world.preset.months < 4:
            return []
        tests = [Record(law) for law in LAWS.experiments]
        for test in tests:
            start = world.first_of_month(test.back)
            test.update(first=start + test.first, last=start + test.last)
        return [test for test in tests if day is None or test.first <= day <= test.last]

    def calendar(self, before: int) -> list[Promotion]:
        """Promotions that start before a day: the calendar's but for those cancelled,
        and the decided ones.
        """
        planned = self.world.promotions(before)
        held = [promo for promo in planned if promo.promo_id not in self.cancelled]
        return held + self.extra_promotions

    def expected_units(self, day: int) -> ndarray:
        """Units a day the shop would plan for: range shares times the arrivals of an
        ordinary day, and repeats.
        """
        world = self.world
        life = np.maximum(world.life(max(day, 0)), (world.launched <= day + 60) * 0.3)
        base = world.taste[:, world.category] * (world.appeal * life)
        share = world.persona_share[:, None] * base / base.sum(axis=1, keepdims=True)
        busy = 0.9 + 1.3 * min(day / world.n_days, 1.0)
        return share.sum(axis=0) * world.scale * busy * world.basket_mean * 1.25

    def _first_stock(self) -> ndarray:
        """Opening stock: about seven weeks of what the shop expects to sell, guessed
        with an error.
        """
        world = self.world
        guess = self.expected_units(0) * np.exp(0.35 * normal(world.sku_key, "guess"))
        need = guess * (50 + world.lead_stated[world.supplier])
        units = np.maximum(np.ceil(need / world.pack) * world.pack, world.min_order)
        return np.where(world.launched == 0, units, 0).astype(int)


def _geo_tests(world: World) -> list[Record]:
    """Two tests of the history: social raised in three regions, display switched off in
    three.
    """
    tests = []
    for number, law in enumerate(LAWS.geo_tests):
        first = world.first_of_month(law["back"]) + 1
        if first > 60:
            draw = uniform(key(world.seed, "geo", number, np.arange(9)), "pick")
            regions = np.sort(np.argsort(draw, kind="stable")[:3])
            tests.append(Record(law, regions=regions, first=first, last=first + 27))
    return tests
