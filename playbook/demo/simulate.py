"""The day loop: who comes, what they find, what they buy, what is shipped, what is
ordered again.

Everything a day needs from chance is looked up by what it is for (see streams.py).
Purchase occasions are thinned from clocks that run at the highest possible speed, so a
quieter day, a fault or a dropped budget removes exactly the occasions it costs and
moves no other.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from itertools import chain

import numpy as np

from playbook.demo.attribution import trace
from playbook.demo.habits import Plan, habit_budgets, habit_orders, habit_treatments, remember
from playbook.demo.streams import exponential, key, normal, poisson, uniform
from playbook.demo.world import (
    DIP_DAYS,
    FREIGHT,
    N_CAUSES,
    PAID,
    PEAK,
    PRICE_CAP,
    PULL_FORWARD,
    REGION_SHARE,
    REGIONS,
    SIZE_POWER,
    TRANSIT,
    Promotion,
    World,
)

__all__ = ["Simulator", "TREATED"]

TREATED = 100  # causes from here on: a treatment brought the order
FAKE = 99
CHECKOUT = np.array([0.80, 0.88, 0.84])  # share of filled baskets paid for, by device
RING = 256  # days a parcel, a return or a friend can lie ahead
_R = len(REGIONS)
_PERSON = {
    "key": np.uint64,
    "persona": np.int8,
    "region": np.int8,
    "device": np.int8,
    "is_guest": bool,
    "is_business": bool,
    "is_contactable": bool,
    "rate": np.float64,
    "drop": np.float64,
    "basket": np.float64,
    "persuadable": np.float32,
    "cause": np.int16,
    "root": np.int16,
    "born": np.int32,
    "next": np.float64,
    "next_nudge": np.float64,
    "n_next": np.int32,
    "n_nudge": np.int32,
    "alive": bool,
    "last": np.int32,
    "n_orders": np.int32,
    "spent": np.int64,
    "dropped": np.int32,
    "coupon_until": np.int32,
    "coupon": np.float32,
    "treatment": np.int16,
    "n_reached": np.int32,
    "channel": np.int8,
}


class Simulator:
    """The shop's state on one evening; `month(plan)` plays one more month and returns
    what happened in it.
    """

    def __init__(self, world: World) -> None:
        self.world, self.day, self.n = world, 0, 0
        self.salt = np.uint64(key(world.seed, "play"))
        self.people = {name: np.zeros(1024, kind) for name, kind in _PERSON.items()}
        n, c = world.preset.skus, N_CAUSES
        self.on_hand, self.committed = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.unsellable, self.incoming = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.ship, self.release, self.restock = (np.zeros((RING, n), np.int64) for _ in range(3))
        self.sold_recent = np.zeros((28, n), np.float64)
        self.adstock = np.zeros((c, _R))
        self.adstock_untested = np.zeros((c, _R))
        self.shock = 0.0
        self.friends: dict[int, list] = defaultdict(
            list
        )  # day -> keys, regions, roots of people a buyer sends
        self.extra: dict[int, list] = defaultdict(
            list
        )  # day -> people and treatments that bring one more order
        self.purchase_orders: list[dict] = []
        self.arriving: dict[int, list[int]] = defaultdict(list)
        self.prices: list[tuple[int, int, int]] = []  # decided prices: day, sku, cents
        self.extra_promotions: list[Promotion] = []
        self.treatments: list[dict] = []
        self.budget_memory = {"revenue": [], "share": world.base_spend / world.base_spend.sum()}
        self.geo_tests = _geo_tests(world)
        self._first_stock()

    def copy(self) -> Simulator:
        """An independent copy: laws shared, state its own."""
        twin = object.__new__(Simulator)
        for name, value in self.__dict__.items():
            if name == "world":
                twin.__dict__[name] = value
            elif isinstance(value, np.ndarray):
                twin.__dict__[name] = value.copy()
            elif name == "people":
                twin.__dict__[name] = {column: values.copy() for column, values in value.items()}
            else:
                twin.__dict__[name] = deepcopy(value)
        return twin

    def reseed(self, future: int) -> None:
        """From tomorrow chance takes another course; laws, people and stock stay.
        Clocks without memory restart.
        """
        self.salt = np.uint64(key(self.world.seed, "play", "future", future))
        p, n = self.people, self.n
        again = key(p["key"][:n], self.salt)
        p["next"][:n] = self.day + exponential(again, "restart") / (p["rate"][:n] * PEAK)
        p["next_nudge"][:n] = self.day + exponential(again, "restart-nudge") / self._nudge_speed(
            p["rate"][:n]
        )

    # --- one month --------------------------------------------------------------------------------------------------

    def month(self, plan: Plan | None = None) -> dict:
        """Plays to the end of the calendar month; returns the month's records (arrays,
        and tables of days).
        """
        world = self.world
        first = self.day
        start = world.day0 + first
        last = int(
            ((start.astype("datetime64[M]") + 1).astype("datetime64[D]") - world.day0).astype(int)
        )
        plan = plan or Plan()
        for sku, cents in sorted(plan.prices.items()):
            self.prices.append((first, sku, cents))
        self.extra_promotions += plan.promotions
        self.levels = plan.order_levels
        env = self._environment(first, last)
        budgets = (
            habit_budgets(self, env)
            if plan.budgets is None
            else {**habit_budgets(self, env), **plan.budgets}
        )
        env["spend"] = (
            self._daily_spend(env, budgets, is_exact=set(plan.budgets or {}))
            if plan.spend is None
            else plan.spend
        )
        for treatment in (
            habit_treatments(self, first) if plan.treatments is None else plan.treatments
        ):
            self._treat(first, treatment)
        orders_of_plan: dict[int, list] = defaultdict(list)
        for day, sku, units in plan.supplier_orders or []:
            orders_of_plan[max(day, first)].append((sku, units))
        log: dict[str, list] = defaultdict(list)
        for day in range(first, last):
            self._play(
                day,
                day - first,
                env,
                log,
                orders_of_plan[day] if plan.supplier_orders is not None else None,
            )
        self.day = last
        chunk = {
            name: np.concatenate(parts) if isinstance(parts[0], np.ndarray) else parts
            for name, parts in log.items()
        }
        chunk.update(first=first, last=last, env=env, budgets=budgets)
        trace(self, chunk)
        remember(self, chunk)
        return chunk

    def _environment(self, first: int, last: int) -> dict:
        """What the days of a month are like before anybody comes."""
        world = self.world
        days = np.arange(first, last)
        promotions = world.promotions(last + 1) + self.extra_promotions
        lift, dip = np.zeros(len(days)), np.zeros(len(days))
        depth = np.zeros((len(days), world.preset.skus))
        promo = np.full((len(days), world.preset.skus), -1, np.int32)
        for number, p in enumerate(promotions):
            on = (days >= p.first) & (days <= p.last)
            lift += p.lift * on
            after = (days > p.last) & (days <= p.last + DIP_DAYS)
            dip += PULL_FORWARD * p.lift * (p.last - p.first + 1) / DIP_DAYS * after
            for i in np.flatnonzero(on):
                better = p.skus[depth[i, p.skus] < p.depth]
                depth[i, better], promo[i, better] = p.depth, number
        shock = np.empty(len(days))
        innovation = normal(key(self.salt, "shock", days), "shock")
        for i in range(len(days)):
            self.shock = 0.96 * self.shock + 0.03 * innovation[i]
            shock[i] = self.shock
        calendar = world.season(days) * world.weekday(days)
        promo_lift = (1 + lift) * (1 - np.minimum(dip, 0.5))
        price = np.stack([self._price(day) for day in days])
        middle = (first + last) // 2
        attraction = world.appeal * world.life(middle) * world.category_season(middle)
        base = np.exp(0.0) * world.taste[:, world.category] * attraction[None, :]
        base /= base.sum(axis=1, keepdims=True)
        paid = price * (1 - depth) / world.list_price
        keen = np.minimum(paid**-world.elasticity, PRICE_CAP)
        keen *= days[:, None] >= world.launched
        crowd = np.einsum("ks,ds->dk", base, keen) ** (SIZE_POWER - 1.0)
        return {
            "days": days,
            "first": first,
            "last": last,
            "calendar": calendar,
            "promo_lift": promo_lift,
            "shock": shock,
            "demand": np.minimum(calendar * promo_lift * np.exp(shock), PEAK),
            "price": price,
            "depth": depth,
            "promo": promo,
            "promotions": promotions,
            "base": base,
            "keen": keen,
            "crowd": crowd,
            "cdf": np.cumsum(base, axis=1) + np.arange(len(base))[:, None],
            "cost": world.unit_cost(first),
            "season": world.season(days),
            "weekday": world.weekday(days),
        }

    def _price(self, day: int) -> np.ndarray:
        cents = self.world.planned_price(day)
        for since, sku, decided in self.prices:
            if since <= day:
                cents[sku] = decided
        error = self.world.incidents.get("price_error")
        if error and error[0] <= day <= error[1]:
            cents[self.world.best_seller] = max(round(cents[self.world.best_seller] / 10), 1)
        return cents

    def _daily_spend(self, env: dict, budgets: dict[int, float], is_exact: set[int]) -> np.ndarray:
        """EUR by channel, region and day (as planned, before geo tests): noise and
        flights, chasing demand as far as the shop does. A decided budget is spent to
        the cent; a habit's budget drifts with the day's demand.
        """
        world, days = self.world, env["days"]
        chase = world.preset.confounding * world.on["confounding"]
        spend = np.zeros((N_CAUSES, _R, len(days)))
        for c in PAID:
            flight = np.exp(
                (0.30 if chase else 0.6) * normal(key(world.seed, "flight", c, days // 7), "size")
            )
            noise = np.exp(0.15 * normal(key(world.seed, "spend", c, days), "noise"))
            profile = flight * noise * env["calendar"] ** chase * env["promo_lift"] ** chase
            profile = profile / profile.mean()
            if c not in is_exact:
                profile = profile * np.exp(1.5 * chase * env["shock"])
            daily = budgets[c] / len(days) * profile
            if c in is_exact:
                daily *= budgets[c] / max(daily.sum(), 1e-9)
            spend[c] = np.round(daily[None, :] * REGION_SHARE[:, None], 2)
        return spend

    # --- one day ----------------------------------------------------------------------------------------------------

    def _play(self, day: int, i: int, env: dict, log: dict, decided: list | None) -> None:
        self._morning(day, log)
        if decided is not None:
            self._order_goods(day, decided, env)
        elif (self.world.day0.astype(int) + day + 3) % 7 == 0:
            self._order_goods(day, habit_orders(self, day, self.levels), env)
        spend = env["spend"][:, :, i].copy()
        log["planned"].append(env["spend"][None, :, :, i])
        self._advertise(day, spend)
        log["spend"].append(spend[None])
        log["reach"].append(self.reach[None])
        occasions = self._occasions(day, i, env)
        self._shop(day, i, env, occasions, log)
        self._evening(day, log)

    def _morning(self, day: int, log: dict) -> None:
        """Goods come in: deliveries, returned units; some vanish."""
        slot = day % RING
        self.on_hand += self.restock[slot]
        self.restock[slot] = 0
        self.committed -= self.release[slot]
        self.release[slot] = 0
        for number in self.arriving.pop(day, []):
            line = self.purchase_orders[number]
            good = line["n_received"] - line["n_defective"]
            self.on_hand[line["sku"]] += good
            self.incoming[line["sku"]] -= line["n_ordered"]
            line["is_received"] = True
        if self.world.on["shrinkage"] and day % 30 == 17:
            gone = poisson(
                key(self.salt, self.world.sku_key, day),
                "shrink",
                0.004 * np.maximum(self.on_hand, 0),
            )
            self.on_hand -= np.minimum(gone, np.maximum(self.on_hand - self.committed, 0))
        lost = self.world.incidents.get("best_seller_stockout")
        if lost and day == lost[0]:
            s = self.world.best_seller
            gone = max(self.on_hand[s] - self.committed[s], 0)
            self.unsellable[s] += gone
            self.on_hand[s] -= gone
            for number in sorted(chain.from_iterable(self.arriving.values())):
                if self.purchase_orders[number]["sku"] == s:
                    self._delay(number, lost[1] + 1)

    def _delay(self, number: int, until: int) -> None:
        line = self.purchase_orders[number]
        if line["received"] < until:
            self.arriving[line["received"]].remove(number)
            line["received"] = until
            self.arriving[until].append(number)

    def _advertise(self, day: int, spend: np.ndarray) -> None:
        """Applies geo tests to the day's spend and moves the carried-over spend on."""
        keep = self.world.carry[:, None]
        self.adstock_untested = keep * self.adstock_untested + (1 - keep) * spend
        for test in self.geo_tests:
            if test["first"] <= day <= test["last"]:
                c = test["channel"]
                spend[c, test["regions"]] = np.round(spend[c, test["regions"]] * test["factor"], 2)
        self.adstock = keep * self.adstock + (1 - keep) * spend
        per_head = self.adstock / REGION_SHARE[None, :]
        self.reach = np.stack(
            [
                self.world.response(c, per_head[c]) if c in PAID else np.zeros(_R)
                for c in range(N_CAUSES)
            ]
        )

    def arrivals_mean(
        self, reach: np.ndarray, day: int, demand: float, season: float, weekday: float
    ) -> np.ndarray:
        """Expected newcomers by cause and region on a day: the organic ones follow
        demand, paid ones their channel.
        """
        world = self.world
        growth = 0.75 + 0.5 * min(day / world.n_days, 1.3)
        mean = np.zeros((N_CAUSES, _R))
        mean[0] = world.organic * growth * demand * REGION_SHARE
        for c in PAID:
            mean[c] = world.tops(c) * reach[c] * np.sqrt(season) * weekday * REGION_SHARE
        return mean

    def _nudge_speed(self, rate: np.ndarray) -> np.ndarray:
        return np.maximum(rate * self.world.nudge_total * 1.0, 1e-12)

    def _occasions(self, day: int, i: int, env: dict) -> dict:
        """Everybody who turns up today ready to buy: newcomers first, then known
        people.
        """
        world, p, n = self.world, self.people, self.n
        mean = self.arrivals_mean(
            self.reach, day, env["demand"][i], env["season"][i], env["weekday"][i]
        ).ravel()
        cell = key(self.salt, "arrival", day, np.arange(mean.size))
        count = poisson(cell, "count", mean)
        where = np.repeat(np.arange(mean.size), count)
        number = np.arange(len(where)) - np.repeat(np.cumsum(count) - count, count)
        keys = key(cell[where], number)
        cause, region = where // _R, where % _R
        root = np.where(
            cause > 0, 1 << cause, 0
        )  # a bit for every channel without which it would not be
        friends = self.friends.pop(day, [])
        if friends:
            keys = np.concatenate([keys] + [f[0] for f in friends])
            region = np.concatenate([region] + [f[1] for f in friends])
            root = np.concatenate([root] + [f[2] for f in friends])
            cause = np.concatenate([cause, np.full(len(root) - len(cause), 7)])
        person = world.person(keys, cause)
        new = {
            "who": np.full(len(keys), -1),
            "key": keys,
            "cause": cause,
            "root": root,
            "region": region,
            "persona": person["persona"],
            "device": person["device"],
            "basket": person["basket"],
            "is_business": person["is_business"],
            "coupon": np.where(
                (uniform(keys, "welcome") < 0.3) & np.isin(cause, (2, 4, 7)), 0.1, 0.0
            ),
            "treatment": np.full(len(keys), -1),
        }
        self.newcomers = person
        due = np.flatnonzero((p["next"][:n] < day + 1) & p["alive"][:n])
        occasion = key(p["key"][due], p["n_next"][due], self.salt)
        p["n_next"][due] += 1
        p["next"][due] += exponential(occasion, "gap") / (p["rate"][due] * PEAK)
        goes = uniform(occasion, "goes") * PEAK < env["demand"][i]
        due, occasion = due[goes], occasion[goes]
        leaves = uniform(occasion, "leaves") < p["drop"][due]
        self.leaving = due[leaves]
        near = np.flatnonzero((p["next_nudge"][:n] < day + 1) & p["alive"][:n])
        nudge = key(p["key"][near], p["n_nudge"][near], self.salt, "nudge")
        p["n_nudge"][near] += 1
        p["next_nudge"][near] += exponential(nudge, "gap") / self._nudge_speed(p["rate"][near])
        by = np.searchsorted(
            np.cumsum(world.nudge_top) / world.nudge_total, uniform(nudge, "channel")
        )
        strength = np.where(
            by == 6, 0.6 * p["is_contactable"][near], self.reach[by, p["region"][near]]
        )
        goes = uniform(nudge, "goes") < strength
        near, nudge, by = near[goes], nudge[goes], by[goes]
        sent = self.extra.pop(day, [])
        extra = np.array([who for who, _ in sent], dtype=np.int64)
        why = np.array([t for _, t in sent], dtype=np.int64)
        who = np.concatenate([due, near, extra])
        cause = np.concatenate([np.zeros(len(due), np.int64), by, TREATED + why])
        known = {
            "who": who,
            "key": np.concatenate(
                [occasion, nudge, key(p["key"][extra], why, "treated", self.salt)]
            ),
            "cause": cause,
            "root": p["root"][who]
            | np.where((cause > 0) & (cause < TREATED), 1 << np.minimum(cause, 8), 0),
            "region": p["region"][who],
            "persona": p["persona"][who],
            "device": p["device"][who],
            "basket": p["basket"][who],
            "is_business": p["is_business"][who],
            "coupon": np.where(p["coupon_until"][who] >= day, p["coupon"][who], 0.0),
            "treatment": np.where(p["coupon_until"][who] >= day, p["treatment"][who], -1),
        }
        return {name: np.concatenate([new[name], known[name]]) for name in new}

    def _shop(self, day: int, i: int, env: dict, at: dict, log: dict) -> None:
        """Occasions become baskets, baskets become orders as far as checkout and shelf
        allow.
        """
        world = self.world
        n_at = len(at["who"])
        count = poisson(at["key"], "wants", at["basket"] * PRICE_CAP)
        line_at = np.repeat(np.arange(n_at), count)
        number = np.arange(len(line_at)) - np.repeat(np.cumsum(count) - count, count)
        wish = key(at["key"][line_at], number)
        persona = at["persona"][line_at].astype(np.int64)
        flat = np.searchsorted(env["cdf"].ravel(), persona + uniform(wish, "sku") * 0.999999999)
        sku = np.minimum(flat - persona * world.preset.skus, world.preset.skus - 1)
        chance = env["keen"][i, sku] * env["crowd"][i, persona] / PRICE_CAP
        line_at, sku, wish = (x[uniform(wish, "buys") < chance] for x in (line_at, sku, wish))
        more = np.floor(
            exponential(wish, "more") * np.where(at["is_business"][line_at], 4.0, 0.5)
        ).astype(np.int64)
        quantity = 1 + np.minimum(more, 40)
        error = world.incidents.get("price_error")
        if error and error[0] <= day <= error[1]:
            quantity = np.where(sku == world.best_seller, quantity * 4, quantity)
        line_at, sku, wish, quantity = _merge(line_at, sku, wish, quantity)
        filled = np.bincount(line_at, minlength=n_at) > 0
        passes = uniform(at["key"], "checkout") < self._checkout(day, at)
        log["baskets"].append(
            np.stack(
                [
                    np.full(n_at, day),
                    at["region"],
                    at["device"],
                    at["cause"],
                    filled,
                    filled & passes,
                ],
                1,
            )
        )
        keep = passes[line_at]
        line_at, sku, wish, quantity = line_at[keep], sku[keep], wish[keep], quantity[keep]
        self.free = np.maximum(self.on_hand - self.committed, 0)
        log["free"].append((self.free > 0)[None])
        log["demand"].append(np.bincount(sku, quantity, world.preset.skus).astype(np.int32)[None])
        minute = 360 + np.minimum(
            np.floor(1079 * _hour(uniform(at["key"], "minute"))), 1078
        ).astype(np.int64)
        sku, is_there = self._shelf(line_at, sku, wish, quantity, minute)
        line_at, sku, wish, quantity = _merge(
            line_at[is_there], sku[is_there], wish[is_there], quantity[is_there]
        )
        bought = np.flatnonzero(np.bincount(line_at, minlength=n_at) > 0)
        self._book(day, i, env, at, bought, line_at, sku, wish, quantity, minute, log)

    def _checkout(self, day: int, at: dict) -> np.ndarray:
        """Chance that a filled basket is paid for."""
        chance = CHECKOUT[at["device"]].copy()
        fault = self.world.incidents.get("checkout_fault")
        if fault and fault[0] <= day <= fault[1]:
            chance = np.where(at["device"] == 0, chance * 0.3, chance)
        for test in self.experiments(day):
            known = at["who"] >= 0
            person = np.where(known, self.people["key"][np.maximum(at["who"], 0)], at["key"])
            is_b = uniform(key(person, "test", test["number"]), "arm") < test["share_b"]
            chance = np.where(is_b, np.minimum(chance * (1 + test["lift"]), 1.0), chance)
        return chance

    def experiments(self, day: int | None = None) -> list[dict]:
        """Checkout tests of the last three months: one that works, one that does
        nothing.
        """
        world = self.world
        if world.preset.months < 4:
            return []
        month2, month1 = world.first_of_month(2), world.first_of_month(1)
        tests = [
            {
                "test_id": "express-pay",
                "number": 1,
                "first": month1 + 2,
                "last": month1 + 29,
                "lift": 0.09,
                "share_b": 0.5,
            },
            {
                "test_id": "trust-badge",
                "number": 2,
                "first": month2 + 16,
                "last": month2 + 29,
                "lift": 0.0,
                "share_b": 0.5,
            },
        ]
        return [t for t in tests if day is None or t["first"] <= day <= t["last"]]

    def _shelf(
        self,
        line_at: np.ndarray,
        sku: np.ndarray,
        wish: np.ndarray,
        quantity: np.ndarray,
        minute: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Serves lines in the order of the clock from what is free; a third of the
        unserved take a neighbour.
        """
        if not self.world.on["stockouts"]:
            return sku, np.ones(len(sku), bool)
        free = self.free
        served = _serve(sku, quantity, minute[line_at], free)
        left = free - np.bincount(sku[served], quantity[served], len(free)).astype(np.int64)
        tries = np.flatnonzero(~served & (uniform(wish, "instead") < 0.35))
        if tries.size:
            other = self.world.instead[sku[tries], (uniform(wish[tries], "which") * 3).astype(int)]
            ok = _serve(other, quantity[tries], minute[line_at[tries]], left)
            sku = sku.copy()
            sku[tries[ok]] = other[ok]
            served[tries[ok]] = True
        return sku, served

    def _book(
        self,
        day: int,
        i: int,
        env: dict,
        at: dict,
        bought: np.ndarray,
        line_at: np.ndarray,
        sku: np.ndarray,
        wish: np.ndarray,
        quantity: np.ndarray,
        minute: np.ndarray,
        log: dict,
    ) -> None:
        """Orders and lines with their money, their way through the house and what will
        come back.
        """
        world, p, on = self.world, self.people, self.world.on
        place = np.full(len(at["who"]), -1)
        place[bought] = np.arange(len(bought))
        o = {name: values[bought] for name, values in at.items()}
        who = self._welcome(day, o, bought)
        line = place[line_at]
        price = env["price"][i, sku]
        depth = env["depth"][i, sku]
        off = np.round(price * depth).astype(np.int64) * quantity
        off += np.round((price * quantity - off) * o["coupon"][line]).astype(np.int64)
        paid = price * quantity - off
        revenue = np.bincount(line, paid, len(bought)).astype(np.int64)
        k, region = o["key"], o["region"]
        is_far = np.isin(region, (9, 10, 11))
        shipping = np.where(
            revenue >= np.where(is_far, 15000, 6000), 0, np.where(is_far, 1290, 490)
        )
        weight = np.bincount(line, world.weight[sku] * quantity, len(bought))
        freight = np.round((FREIGHT[region] + 45 * weight) * 1.02 ** (day / 365)).astype(np.int64)
        u = uniform(k, "payment")
        unpaid = (u < 0.022) & on["cancellations"]
        regrets = (u > 1 - 0.013) & on["cancellations"]
        pay_minutes = np.where(
            uniform(k, "slow-pay") < 0.9, 1 + 8 * uniform(k, "pay"), 60 + 1500 * uniform(k, "pay")
        ).astype(np.int64)
        pay_day = day + (minute[bought] + pay_minutes) // 1440
        packing = 1 + (uniform(k, "packing") < 0.25)
        ship = _workday(world, pay_day + packing)
        late = (uniform(k, "late") < 0.07 + 0.10 * (env["season"][i] > 1.25)) & on[
            "late_deliveries"
        ]
        travel = (
            TRANSIT[region]
            + (uniform(k, "travel") < 0.3)
            + np.where(late, 2 + np.floor(7 * uniform(k, "how-late")), 0).astype(np.int64)
        )
        delivered = _workday(world, ship + travel)
        promised = day + 3 + TRANSIT[region] + 2
        fate = np.where(unpaid, 1, np.where(regrets, 2, 0)).astype(
            np.int8
        )  # 0 goes its way, 1 never paid, 2 cancelled
        back = self._come_back(world, wish, sku, quantity, paid, line, fate, delivered, late)
        goes = fate[line] == 0
        np.add.at(self.ship, (ship[line[goes]] % RING, sku[goes]), quantity[goes])
        stops = ~goes
        self.committed += np.bincount(sku, quantity, len(self.on_hand)).astype(np.int64)
        free_on = np.where(fate == 1, day + 4, np.maximum(pay_day + 1, day + 1))
        np.add.at(self.release, (free_on[line[stops]] % RING, sku[stops]), quantity[stops])
        home = back["kind"] == 1
        np.add.at(self.restock, (back["day"][home] % RING, sku[home]), quantity[home])
        fine = fate != 1
        friend = fine & (uniform(k, "friend") < world.referral_chance)
        if friend.any():
            for day_on in np.unique(
                day + 3 + np.floor(18 * uniform(k[friend], "friend-day")).astype(int)
            ):
                f = np.flatnonzero(friend)[
                    day + 3 + np.floor(18 * uniform(k[friend], "friend-day")).astype(int) == day_on
                ]
                self.friends[int(day_on)].append(
                    (key(k[f], "friend"), region[f].astype(np.int64), o["root"][f].astype(np.int64))
                )
        p["last"][who], p["n_orders"][who] = day, p["n_orders"][who] + 1
        p["spent"][who] += revenue
        self.sold_recent[day % 28] = np.bincount(sku, quantity, len(self.on_hand))
        columns = {
            "o_key": k,
            "o_who": who,
            "o_day": np.full(len(bought), day),
            "o_minute": minute[bought],
            "o_region": region,
            "o_device": o["device"],
            "o_cause": o["cause"],
            "o_root": o["root"],
            "o_new": o["who"] < 0,
            "o_treatment": o["treatment"],
            "o_coupon": o["coupon"],
            "o_fate": fate,
            "o_pay": pay_minutes,
            "o_ship": ship,
            "o_delivered": delivered,
            "o_promised": promised,
            "o_late": late,
            "o_shipping": shipping,
            "o_freight": freight,
            "o_free": free_on,
            "o_revenue": revenue,
            "o_lines": np.bincount(line, minlength=len(bought)),
        }
        order = np.argsort(line, kind="stable")
        lines = {
            "l_sku": sku,
            "l_quantity": quantity,
            "l_price": price,
            "l_off": off,
            "l_promo": env["promo"][i, sku],
            "l_cost": env["cost"][sku],
            "l_back": back["kind"],
            "l_back_day": back["day"],
            "l_back_amount": back["amount"],
            "l_back_why": back["why"],
            "l_key": wish,
            "l_day": np.full(len(sku), day),
        }
        for name, values in columns.items():
            log[name].append(values)
        for name, values in lines.items():
            log[name].append(values[order])
        self._fakes(day, i, env, log)
        self._leave(day)

    def _come_back(
        self,
        world: World,
        wish: np.ndarray,
        sku: np.ndarray,
        quantity: np.ndarray,
        paid: np.ndarray,
        line: np.ndarray,
        fate: np.ndarray,
        delivered: np.ndarray,
        late: np.ndarray,
    ) -> dict:
        """What returns weeks later: 0 nothing, 1 goods back, 2 money for a fault, 3 a
        chargeback.
        """
        chance = world.return_share[sku] * np.where(late[line], 1.6, 1.0) * world.on["returns"]
        u = uniform(wish, "back")
        fine = (fate[line] == 0) & (paid > 0)
        kind = np.select(
            [
                fine & (u < chance),
                fine & (u < chance * 1.25),
                fine & (u > 1 - 0.0012 * world.on["returns"]),
            ],
            [1, 2, 3],
            0,
        )
        weeks = 4 + np.floor(
            np.minimum(9 * (exponential(wish, "back-gap") + exponential(wish, "back-gap-2")), 75)
        )
        day = _workday(world, delivered[line] + weeks.astype(np.int64) + np.where(kind == 3, 15, 0))
        share = np.where(kind == 2, 0.2 + 0.4 * uniform(wish, "back-share"), 1.0)
        amount = np.maximum(np.round(paid * share), 1).astype(np.int64)
        why = np.where(
            late[line] & (uniform(wish, "why-late") < 0.5),
            4,
            (uniform(wish, "why") * 4).astype(np.int64),
        )
        return {
            "kind": kind.astype(np.int8),
            "day": day,
            "amount": amount,
            "why": why.astype(np.int8),
        }

    def _welcome(self, day: int, o: dict, bought: np.ndarray) -> np.ndarray:
        """Newcomers who ordered become people of the shop; returns the person of every
        order.
        """
        p, is_new = self.people, o["who"] < 0
        m = int(is_new.sum())
        while self.n + m > len(p["key"]):
            for name in p:
                p[name] = np.concatenate([p[name], np.zeros_like(p[name])])
        rows = slice(self.n, self.n + m)
        person = {name: values[bought[is_new]] for name, values in self.newcomers.items()}
        for name in (
            "persona",
            "device",
            "rate",
            "drop",
            "basket",
            "is_guest",
            "is_business",
            "is_contactable",
            "persuadable",
        ):
            p[name][rows] = person[name]
        keys = o["key"][is_new]
        p["key"][rows], p["region"][rows] = keys, o["region"][is_new]
        p["cause"][rows], p["root"][rows], p["born"][rows] = (
            o["cause"][is_new],
            o["root"][is_new],
            day,
        )
        p["next"][rows] = (
            day + 1 + exponential(key(keys, self.salt), "first-gap") / (person["rate"] * PEAK)
        )
        p["next_nudge"][rows] = (
            day
            + 1
            + exponential(key(keys, self.salt), "first-nudge") / self._nudge_speed(person["rate"])
        )
        p["alive"][rows] = uniform(keys, "leaves") >= person["drop"]
        p["dropped"][rows] = np.where(p["alive"][rows], -1, day)
        p["coupon_until"][rows], p["treatment"][rows] = -1, -1
        who = o["who"].copy()
        who[is_new] = np.arange(self.n, self.n + m)
        self.n += m
        return who

    def _leave(self, day: int) -> None:
        p = self.people
        p["alive"][self.leaving] = False
        p["dropped"][self.leaving] = day

    def _fakes(self, day: int, i: int, env: dict, log: dict) -> None:
        """The burst of orders nobody means to keep: one sku, one region, refunded in
        full and never shipped.
        """
        burst = self.world.incidents.get("fake_orders")
        if not burst or not burst[0] <= day <= burst[1]:
            return
        m = max(6, int(self.world.preset.customers * 0.0006))
        keys = key(self.world.seed, "fake", day, np.arange(m))
        person = self.world.person(keys, np.zeros(m, np.int64))
        o = {
            "who": np.full(m, -1),
            "key": keys,
            "region": np.full(m, 10),
            "cause": np.full(m, FAKE),
            "root": np.zeros(m, np.int64),
        }
        self.newcomers = person
        who = self._welcome(day, o, np.arange(m))
        self.people["alive"][who], self.people["dropped"][who], self.people["is_guest"][who] = (
            False,
            day,
            False,
        )
        self.people["n_orders"][who], self.people["last"][who] = 1, day
        sku = np.full(
            m,
            int(np.argsort(-self.world.appeal, kind="stable")[min(40, self.world.preset.skus - 1)]),
        )
        price = env["price"][i, sku]
        full = np.full(m, day)
        zero = np.zeros(m, np.int64)
        minute = 840 + np.floor(90 * uniform(keys, "minute")).astype(np.int64)
        order = {
            "o_key": keys,
            "o_who": who,
            "o_day": full,
            "o_minute": minute,
            "o_region": o["region"],
            "o_device": zero,
            "o_cause": o["cause"],
            "o_root": o["root"],
            "o_new": np.ones(m, bool),
            "o_treatment": zero - 1,
            "o_coupon": np.zeros(m),
            "o_fate": np.full(m, 3, np.int8),
            "o_pay": zero + 2,
            "o_ship": full + 400,
            "o_delivered": full + 400,
            "o_promised": full + 13,
            "o_late": np.zeros(m, bool),
            "o_shipping": zero,
            "o_freight": zero,
            "o_free": full + 400,
            "o_revenue": price,
            "o_lines": zero + 1,
        }
        line = {
            "l_sku": sku,
            "l_quantity": zero + 1,
            "l_price": price,
            "l_off": zero,
            "l_promo": zero.astype(np.int32) - 1,
            "l_cost": env["cost"][sku],
            "l_back": np.full(m, 2, np.int8),
            "l_back_day": full + 3,
            "l_back_amount": price,
            "l_back_why": np.full(m, 5, np.int8),
            "l_key": keys,
            "l_day": full,
        }
        for name, values in {**order, **line}.items():
            log[name].append(values)

    def _evening(self, day: int, log: dict) -> None:
        """Parcels leave; the shelf is counted."""
        slot = day % RING
        if not self.world.on[
            "stockouts"
        ]:  # whatever is sold turns up; goods are ordered again as ever
            self.on_hand = np.maximum(self.on_hand, self.committed + 1)
        gone = self.ship[slot].copy()
        self.ship[slot] = 0
        self.on_hand -= gone
        self.committed -= gone
        log["stock"].append(
            np.stack([self.on_hand, self.committed, self.incoming, self.unsellable])[None].astype(
                np.int32
            )
        )

    # --- goods, people, tests ---------------------------------------------------------------------------------------

    def _first_stock(self) -> None:
        """Opening stock: about seven weeks of what the shop expects to sell, guessed
        with an error.
        """
        world = self.world
        guess = self.expected_units(0) * np.exp(0.35 * normal(world.sku_key, "guess"))
        need = guess * (50 + world.lead_stated[world.supplier])
        self.on_hand = np.where(
            world.launched == 0,
            np.maximum(np.ceil(need / world.pack) * world.pack, world.min_order),
            0,
        ).astype(np.int64)

    def expected_units(self, day: int) -> np.ndarray:
        """Units a day the shop would plan for: range shares times the arrivals of an
        ordinary day, and repeats.
        """
        world = self.world
        base = world.taste[:, world.category] * (
            world.appeal * np.maximum(world.life(max(day, 0)), (world.launched <= day + 60) * 0.3)
        )
        share = (world.persona_share[:, None] * base / base.sum(axis=1, keepdims=True)).sum(axis=0)
        busy = 0.9 + 1.3 * min(day / world.n_days, 1.0)
        return share * world.scale * busy * world.basket_mean * 1.25

    def _order_goods(self, day: int, wanted: list[tuple[int, int]], env: dict) -> None:
        """Purchase-order lines: the supplier's law says when they arrive and how many
        are good.
        """
        if not wanted:
            return
        world = self.world
        lost = world.incidents.get("best_seller_stockout")
        sku, units = np.array(wanted, dtype=np.int64).T
        v = world.supplier[sku]
        k = key(self.salt, "po", day, v)  # lines of one supplier and day travel together
        sigma = np.sqrt(np.log1p(world.lead_cv[v] ** 2))
        lead = world.lead_mean[v] * np.exp(sigma * normal(k, "lead") - sigma**2 / 2)
        item = key(self.salt, "po-line", day, sku)
        part = np.where(
            uniform(item, "short") < world.short_share[v],
            0.5 + 0.4 * uniform(item, "how-short"),
            1.0,
        )
        n_received = np.floor(units * part).astype(np.int64)
        n_defective = np.minimum(
            poisson(item, "defects", world.defect_share[v] * n_received), n_received
        )
        received = day + np.maximum(np.round(lead).astype(np.int64), 2)
        if lost and lost[0] - 30 <= day <= lost[1]:
            received = np.where(
                sku == world.best_seller, np.maximum(received, lost[1] + 1), received
            )
        stem = f"PO-{(world.day0 + day).astype(object):%Y%m%d}-"
        for j in range(len(sku)):
            self.arriving[int(received[j])].append(len(self.purchase_orders))
            self.purchase_orders.append(
                {
                    "po_id": stem + "ABCD"[v[j]],
                    "sku": int(sku[j]),
                    "supplier": int(v[j]),
                    "ordered": day,
                    "promised": day + int(world.lead_stated[v[j]]),
                    "received": int(received[j]),
                    "n_ordered": int(units[j]),
                    "n_received": int(n_received[j]),
                    "n_defective": int(n_defective[j]),
                    "cost": int(env["cost"][sku[j]]),
                    "is_received": False,
                }
            )
        np.add.at(self.incoming, sku, units)

    def _treat(self, day: int, treatment: dict) -> None:
        """Sends a treatment: some are moved to one more order within three weeks, all
        may use the coupon for a month.

        The chance depends on who is asked: most for people who still buy but have been
        quiet, little for those who would come anyway or have left for good.
        """
        p, number = self.people, len(self.treatments)
        who, is_treated = treatment["who"], treatment["is_treated"]
        quiet = (day - p["last"][who]) > 60
        state = np.where(p["alive"][who], np.where(quiet, 1.3, 0.3), 0.15)
        strength = {0.0: 0.035}.get(treatment["depth"], 0.05 + 0.45 * treatment["depth"])
        chance = np.clip(strength * state * 2 * p["persuadable"][who], 0, 0.9)
        k = key(p["key"][who], "treatment", number, self.salt)
        moved = (uniform(k, "moved") < chance) & is_treated
        when = day + 1 + np.floor(20 * uniform(k, "when")).astype(int)
        for person, at in zip(who[moved].tolist(), when[moved].tolist(), strict=True):
            self.extra[at].append((person, number))
        if treatment["depth"] > 0:
            t = who[is_treated]
            p["coupon_until"][t], p["coupon"][t], p["treatment"][t] = (
                day + 30,
                treatment["depth"],
                number,
            )
        p["n_reached"][who[is_treated]] += 1
        self.treatments.append({**treatment, "day": day, "chance": chance})


def _geo_tests(world: World) -> list[dict]:
    """Two tests of the history: social raised in three regions, display switched off in
    three.
    """
    tests = []
    for test_id, back, channel, factor, pick in (
        ("geo-social-up", 3, 2, 2.0, 0),
        ("geo-display-off", 5, 3, 0.0, 1),
    ):
        first = world.first_of_month(back) + 1
        if first > 60:
            regions = np.sort(
                np.argsort(
                    uniform(key(world.seed, "geo", pick, np.arange(9)), "pick"), kind="stable"
                )[:3]
            )
            tests.append(
                {
                    "test_id": test_id,
                    "channel": channel,
                    "factor": factor,
                    "regions": regions,
                    "first": first,
                    "last": first + 27,
                }
            )
    return tests


def _serve(
    sku: np.ndarray, quantity: np.ndarray, minute: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Which lines get their units when each sku's are handed out in the order of the
    clock.
    """
    order = np.lexsort((np.arange(len(sku)), minute, sku))
    s, q = sku[order], quantity[order]
    running = np.cumsum(q)
    head = np.r_[True, s[1:] != s[:-1]] if len(s) else np.zeros(0, bool)
    before = np.maximum.accumulate(np.where(head, running - q, 0)) if len(s) else running
    ok = np.empty(len(sku), bool)
    ok[order] = running - before <= free[s]
    return ok


def _merge(
    line_at: np.ndarray, sku: np.ndarray, wish: np.ndarray, quantity: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One line per occasion and sku, in the order of the first wish, quantities added."""
    if not len(sku):
        return line_at, sku, wish, quantity
    _, first, of = np.unique(
        line_at * (int(sku.max()) + 1) + sku, return_index=True, return_inverse=True
    )
    total = np.bincount(of, quantity).astype(np.int64)
    order = np.argsort(first, kind="stable")
    first = first[order]
    return line_at[first], sku[first], wish[first], total[order]


def _hour(u: np.ndarray) -> np.ndarray:
    """Time of day as a share of six to midnight: busiest around noon and in the
    evening.
    """
    grid = np.array([0, 0.05, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.92, 1.0])
    mass = np.array([0, 0.01, 0.07, 0.24, 0.42, 0.58, 0.69, 0.83, 0.975, 1.0])
    return np.interp(u, mass, grid)


def _workday(world: World, day: np.ndarray) -> np.ndarray:
    """The day, or Monday where it is a Sunday."""
    return day + ((world.day0.astype(int) + day + 3) % 7 == 6)
