"""The day loop: who comes, what they find, what they buy, what is shipped, what is
ordered again.

Everything a day needs from chance is looked up by what it is for (see streams.py).
Purchase occasions are thinned from clocks that run at the highest possible speed, so a
quieter day, a fault or a dropped budget removes exactly the occasions it costs and
moves no other.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy import ndarray

from playbook.demo.attribution import trace
from playbook.demo.booking import book, fake_orders
from playbook.demo.habits import Plan, habit_budgets, habit_orders, habit_treatments, remember
from playbook.demo.records import Record
from playbook.demo.state import LEAK_SHARE, LEAKED, TREATED, State
from playbook.demo.streams import below, exponential, key, normal, poisson, uniform
from playbook.demo.supply import dispatch, hasten, order_goods, receive, shelf
from playbook.demo.world import (
    DIP_DAYS,
    LAWS,
    N_CAUSES,
    PAID,
    PEAK,
    PRICE_CAP,
    PULL_FORWARD,
    REGION_SHARE,
    REGIONS,
    SIZE_POWER,
)

CHECKOUT = np.array(LAWS.checkout)  # share of filled baskets paid for, by device
_R = len(REGIONS)
_EMAIL, _REFERRAL = 6, 7
_OF_PERSON = ("region", "persona", "device", "basket", "is_business")


class Simulator(State):
    """The shop's state on one evening; `month(plan)` plays one more month and returns
    what happened in it.
    """

    # --- one month ------------------------------------------------------------

    def month(self, plan: Plan | None = None) -> Record:
        """Plays to the end of the calendar month; returns the month's records (arrays,
        and tables of days).
        """
        first, day0, plan = self.day, self.world.day0, plan or Plan()
        close = ((day0 + first).astype("datetime64[M]") + 1).astype("datetime64[D]")
        last = int((close - day0).astype(int))
        self.prices += [(first, sku, cents) for sku, cents in sorted(plan.prices.items())]
        self.extra_promotions += plan.promotions
        self.shipped |= set(plan.shipped)
        self.withheld |= set(plan.withheld)
        self.cancelled |= set(plan.cancelled)
        for number, how in sorted(plan.hastened.items()):
            hasten(self, number, how)
        env = self._environment(first, last)
        budgets = habit_budgets(self, env) | (plan.budgets or {})
        for channel, share in plan.budget_shares.items():
            budgets[channel] = round(budgets[channel] * share, 2)
        env.spend = plan.spend
        if plan.spend is None:
            env.spend = self._daily_spend(env, budgets, set(plan.budgets or {}))
        treatments = plan.treatments
        for treatment in habit_treatments(self, first) if treatments is None else treatments:
            self._treat(first, treatment)
        log: dict[str, list] = defaultdict(list)
        for day in range(first, last):
            self._play(day, env, log, plan)
        self.day = last
        chunk = Record({name: np.concatenate(parts) for name, parts in log.items()})
        chunk.update(first=first, last=last, env=env, budgets=budgets)
        trace(self.people, chunk)
        remember(self, chunk)
        return chunk

    def _environment(self, first: int, last: int) -> Record:
        """What the days of a month are like before anybody comes."""
        world, days, middle = self.world, np.arange(first, last), (first + last) // 2
        env = self._sales(days)
        env.update(days=days, first=first, last=last, shock=self._shocks(days))
        env.update(season=world.season(days), weekday=world.weekday(days))
        env.calendar = env.season * env.weekday
        env.demand = np.minimum(env.calendar * env.promo_lift * np.exp(env.shock), PEAK)
        env.price = np.stack([self.price(day) for day in days])
        env.cost = world.unit_cost(first)
        attraction = world.appeal * world.life(middle) * world.category_season(middle)
        base = world.taste[:, world.category] * attraction
        env.base = base / base.sum(axis=1, keepdims=True)
        paid = env.price * (1 - env.depth) / world.list_price
        keen = np.minimum(paid**-world.elasticity, PRICE_CAP)
        env.keen = keen * (days[:, None] >= world.launched)
        env.crowd = np.einsum("ks,ds->dk", env.base, env.keen) ** (SIZE_POWER - 1.0)
        env.cdf = np.cumsum(env.base, axis=1) + np.arange(len(base))[:, None]
        return env

    def _sales(self, days: ndarray) -> Record:
        """Promotions of a month: extra visits by day, depth and number by day and sku."""
        shape = len(days), self.world.preset.skus
        promotions = self.calendar(int(days[-1]) + 2)
        lift, dip = np.zeros(len(days)), np.zeros(len(days))
        depth, promo = np.zeros(shape), np.full(shape, -1, np.int32)
        for number, p in enumerate(promotions):
            on = (days >= p.first) & (days <= p.last)
            lift += p.lift * on
            after = (days > p.last) & (days <= p.last + DIP_DAYS)
            dip += PULL_FORWARD * p.lift * (p.last - p.first + 1) / DIP_DAYS * after
            for i in np.flatnonzero(on):
                better = p.skus[depth[i, p.skus] < p.depth]
                depth[i, better], promo[i, better] = p.depth, number
        promo_lift = (1 + lift) * (1 - np.minimum(dip, 0.5))
        return Record(promotions=promotions, promo_lift=promo_lift, depth=depth, promo=promo)

    def _shocks(self, days: ndarray) -> ndarray:
        """Demand's own drift, in logarithms."""
        shocks = []
        for step in normal(key(self.salt, "shock", days), "shock"):
            self.shock = 0.96 * self.shock + 0.03 * step
            shocks.append(self.shock)
        return np.array(shocks)

    def _daily_spend(self, env: Record, budgets: dict[int, float], is_exact: set[int]) -> ndarray:
        """EUR by channel, region and day (as planned, before geo tests): noise and
        flights, chasing demand as far as the shop does. A decided budget is spent to
        the cent; a habit's budget drifts with the day's demand.
        """
        seed, chase, days = self.world.seed, self.world.chase, env.days
        spend = np.zeros((N_CAUSES, _R, len(days)))
        for c in PAID:
            waves = normal(key(seed, "flight", c, days // 7), "size")
            flight = np.exp((0.30 if chase else 0.6) * waves)
            noise = np.exp(0.15 * normal(key(seed, "spend", c, days), "noise"))
            profile = flight * noise * env.calendar**chase * env.promo_lift**chase
            profile = profile / profile.mean()
            if c not in is_exact:
                profile = profile * np.exp(1.5 * chase * env.shock)
            daily = budgets[c] / len(days) * profile
            if c in is_exact:
                daily *= budgets[c] / max(daily.sum(), 1e-9)
            spend[c] = np.round(daily * REGION_SHARE[:, None], 2)
        return spend

    def _goods_to_order(self, day: int, plan: Plan) -> list[tuple[int, int]]:
        """Skus and units ordered of suppliers on a day: as decided, or on Mondays."""
        if plan.supplier_orders is not None:
            return [(s, n) for on, s, n in plan.supplier_orders if max(on, self.day) == day]
        is_monday = (self.world.day0.astype(int) + day + 3) % 7 == 0
        goods = habit_orders(self, day, plan.order_levels) if is_monday else []
        return goods + [(s, n) for on, s, n in plan.extra_orders if on == day]

    # --- one day ------------------------------------------------------------

    def _play(self, day: int, env: Record, log: dict, plan: Plan) -> None:
        i, p = day - env.first, self.people
        receive(self, day)
        order_goods(self, day, self._goods_to_order(day, plan), env.cost)
        log["planned"].append(env.spend[None, :, :, i])
        spend = self._advertise(day, env.spend[:, :, i].copy())
        log["spend"].append(spend[None])
        log["reach"].append(self.reach[None])
        self._shop(day, i, env, self._occasions(day, i, env), log)
        if self.world.hits("fake_orders", day):
            _add(log, fake_orders(self, day, env))
        p.alive[self.leaving], p.dropped[self.leaving] = False, day
        log["stock"].append(dispatch(self, day))

    def _advertise(self, day: int, spend: ndarray) -> ndarray:
        """The day's spend with geo tests applied; moves the carried-over spend on."""
        world, keep = self.world, self.world.carry[:, None]
        for test in self.geo_tests:
            if test.first <= day <= test.last:
                place = test.channel, test.regions
                spend[place] = np.round(spend[place] * test.factor, 2)
        self.adstock = keep * self.adstock + (1 - keep) * spend
        per_head, self.reach = self.adstock / REGION_SHARE, np.zeros((N_CAUSES, _R))
        for c in PAID:
            self.reach[c] = world.response(c, per_head[c])
        return spend

    def _arrivals(self, day: int, i: int, env: Record) -> ndarray:
        """Expected newcomers by cause and region on a day: the organic ones follow
        demand, paid ones their channel.
        """
        world, mean = self.world, np.zeros((N_CAUSES, _R))
        growth = 0.75 + 0.5 * min(day / world.n_days, 1.3)
        mean[0] = world.organic * growth * env.demand[i] * REGION_SHARE
        for c in PAID:
            busy = world.tops(c) * self.reach[c] * np.sqrt(env.season[i]) * env.weekday[i]
            mean[c] = busy * REGION_SHARE
        return mean

    def _occasions(self, day: int, i: int, env: Record) -> Record:
        """Everybody who turns up today ready to buy: newcomers first, then known
        people.
        """
        new, known = self._newcomers(day, i, env), self._known(day, env.demand[i])
        return Record({name: np.concatenate([new[name], known[name]]) for name in new})

    def _newcomers(self, day: int, i: int, env: Record) -> Record:
        """People who come for the first time: by their cause, or sent by a friend."""
        mean = self._arrivals(day, i, env).ravel()
        cell = key(self.salt, "arrival", day, np.arange(mean.size))
        count = poisson(cell, "count", mean)
        where, number = places(count)
        keys = key(cell[where], number)
        cause, region = where // _R, where % _R
        root = np.where(cause > 0, 1 << cause, 0)  # a bit for each channel it hangs on
        friends = self.friends.pop(day, [])
        if friends:
            sent = zip(*friends, strict=True)
            keys, region, root = (
                np.concatenate([own, *more])
                for own, more in zip((keys, region, root), sent, strict=True)
            )
            cause = np.concatenate([cause, np.full(len(root) - len(cause), _REFERRAL)])
        self.newcomers = person = self.world.person(keys, cause)
        is_welcome = (uniform(keys, "welcome") < 0.3) & np.isin(cause, (2, 4, _REFERRAL))
        nobody = np.full(len(keys), -1)
        new = Record(who=nobody, key=keys, cause=cause, root=root, region=region)
        new.update({name: person[name] for name in _OF_PERSON[1:]})
        return Record(new, coupon=np.where(is_welcome, 0.1, 0.0), treatment=nobody)

    def _known(self, day: int, demand: float) -> Record:
        """Known people: by themselves, nudged by a channel, moved by a treatment."""
        p = self.people
        due, occasion = self._due(day, demand)
        near, nudge, channel = self._nudged(day)
        sent = np.array(self.extra.pop(day, []), int).reshape(-1, 2)
        extra, why = sent[:, 0], sent[:, 1]
        treated = key(p.key[extra], why, "treated", self.salt)
        who = np.concatenate([due, near, extra])
        cause = np.concatenate([np.zeros(len(due), int), channel, TREATED + why])
        is_nudged = (cause > 0) & (cause < TREATED)
        has_coupon = p.coupon_until[who] >= day
        return Record(
            {name: p[name][who] for name in _OF_PERSON},
            who=who,
            key=np.concatenate([occasion, nudge, treated]),
            cause=cause,
            root=p.root[who] | np.where(is_nudged, 1 << np.minimum(cause, 8), 0),
            coupon=np.where(has_coupon, p.coupon[who], 0.0),
            treatment=np.where(has_coupon, p.treatment[who], -1),
        )

    def _due(self, day: int, demand: float) -> tuple[ndarray, ...]:
        """People whose own clock is up and whose occasion the day's demand keeps."""
        p, n = self.people, self.n
        due = np.flatnonzero((p.next[:n] < day + 1) & p.alive[:n])
        occasion = key(p.key[due], p.n_next[due], self.salt)
        p.n_next[due] += 1
        p.next[due] += exponential(occasion, "gap") / (p.rate[due] * PEAK)
        goes = uniform(occasion, "goes") * PEAK < demand
        due, occasion = due[goes], occasion[goes]
        self.leaving = due[uniform(occasion, "leaves") < p.drop[due]]
        return due, occasion

    def _nudged(self, day: int) -> tuple[ndarray, ...]:
        """People a channel moves to one more occasion, and the channel."""
        p, n, world = self.people, self.n, self.world
        near = np.flatnonzero((p.next_nudge[:n] < day + 1) & p.alive[:n])
        nudge = key(p.key[near], p.n_nudge[near], self.salt, "nudge")
        p.n_nudge[near] += 1
        p.next_nudge[near] += exponential(nudge, "gap") / self.nudge_speed(p.rate[near])
        shares = np.cumsum(world.nudge_top) / world.nudge_total
        by = np.searchsorted(shares, uniform(nudge, "channel"))
        reach = self.reach[by, p.region[near]]
        strength = np.where(by == _EMAIL, 0.6 * p.is_contactable[near], reach)
        goes = uniform(nudge, "goes") < strength
        return near[goes], nudge[goes], by[goes]

    def _shop(self, day: int, i: int, env: Record, at: Record, log: dict) -> None:
        """Occasions become baskets, baskets become orders as far as checkout and shelf
        allow.
        """
        n, skus = len(at.who), self.world.preset.skus
        lines = self._wishes(day, i, env, at)
        filled = np.bincount(lines.at, minlength=n) > 0
        passes = uniform(at.key, "checkout") < self._checkout(day, at)
        basket = [np.full(n, day), at.region, at.device, at.cause, filled, filled & passes]
        log["baskets"].append(np.stack(basket, 1))
        lines = only(lines, passes[lines.at])
        free = np.maximum(self.on_hand - self.committed, 0)
        free[sorted(self.withheld)] = 0
        log["free"].append((free > 0)[None])
        wanted = np.bincount(lines.sku, lines.quantity, skus)
        log["demand"].append(wanted.astype(np.int32)[None])
        at.minute = 360 + np.minimum((1079 * _hour(uniform(at.key, "minute"))).astype(int), 1078)
        if self.world.hits("coupon_leaked", day):
            is_told = (at.coupon == 0) & (uniform(at.key, "leak") < LEAK_SHARE)
            at.coupon = np.where(is_told, self.world.size["coupon_leaked"], at.coupon)
            at.treatment = np.where(is_told, LEAKED, at.treatment)
        lines.sku, is_there = shelf(self, lines, at.minute[lines.at], free)
        _add(log, book(self, day, env, at, _merged(only(lines, is_there))))

    def _wishes(self, day: int, i: int, env: Record, at: Record) -> Record:
        """The lines people put into their baskets: occasion, sku, quantity, its draw."""
        world, skus = self.world, self.world.preset.skus
        line_at, number = places(poisson(at.key, "wants", at.basket * PRICE_CAP))
        wish = key(at.key[line_at], number)
        persona = at.persona[line_at].astype(int)
        draw = persona + uniform(wish, "sku") * 0.999999999
        sku = np.minimum(np.searchsorted(env.cdf.ravel(), draw) - persona * skus, skus - 1)
        chance = env.keen[i, sku] * env.crowd[i, persona] / PRICE_CAP
        lines = only(Record(at=line_at, sku=sku, wish=wish), uniform(wish, "buys") < chance)
        size = np.where(at.is_business[lines.at], 4.0, 0.5)
        more = np.floor(exponential(lines.wish, "more") * size).astype(int)
        lines.quantity = 1 + np.minimum(more, 40)
        if world.hits("price_error", day):
            lines.quantity *= np.where(lines.sku == world.best_seller, 4, 1)
        return _merged(lines)

    def _checkout(self, day: int, at: Record) -> ndarray:
        """Chance that a filled basket is paid for."""
        chance = CHECKOUT[at.device].copy()
        if self.world.hits("checkout_fault", day):
            failed = chance * self.world.size["checkout_fault"]
            chance = np.where(at.device == 0, failed, chance)
        for test in self.experiments(day):
            known = self.people.key[np.maximum(at.who, 0)]
            person = np.where(at.who >= 0, known, at.key)
            is_b = uniform(key(person, "test", test.number), "arm") < test.share_b
            is_b = is_b & (test.number not in self.shipped)
            chance = np.where(is_b, np.minimum(chance * (1 + test.lift), 1.0), chance)
        for test in self.experiments():
            if test.number in self.shipped:
                chance = np.minimum(chance * (1 + test.lift), 1.0)
        return chance

    def _treat(self, day: int, treatment: Record) -> None:
        """Sends a treatment: some are moved to one more order within three weeks, all
        may use the coupon for a month.

        The chance depends on who is asked: most for people who still buy but have been
        quiet, little for those who would come anyway or have left for good.
        """
        p, number, depth = self.people, len(self.treatments), treatment.depth
        who, is_treated = treatment.who, treatment.is_treated
        quiet = (day - p.last[who]) > 60
        state = np.where(p.alive[who], np.where(quiet, 1.3, 0.3), 0.15)
        strength = 0.05 + 0.45 * depth if depth else 0.035
        chance = np.clip(strength * state * 2 * p.persuadable[who], 0, 0.9)
        k = key(p.key[who], "treatment", number, self.salt)
        moved = (uniform(k, "moved") < chance) & is_treated
        when = day + 1 + below(k[moved], "when", 20)
        for person, on in zip(who[moved].tolist(), when.tolist(), strict=True):
            self.extra[on].append((person, number))
        if depth > 0:
            t = who[is_treated]
            p.coupon_until[t], p.coupon[t], p.treatment[t] = day + 30, depth, number
        self.treatments.append(Record(treatment, day=day, chance=chance))


def only(lines: Record, keep: ndarray) -> Record:
    """Some of the rows."""
    return Record({name: values[keep] for name, values in lines.items()})


def places(counts: ndarray) -> tuple[ndarray, ...]:
    """Each place as often as it counts, and a number within the place, from 0."""
    where = np.repeat(np.arange(len(counts)), counts)
    return where, np.arange(len(where)) - np.repeat(np.cumsum(counts) - counts, counts)


def _add(log: dict, columns: Record) -> None:
    for name, values in columns.items():
        log[name].append(values)


def _merged(lines: Record) -> Record:
    """One line per occasion and sku, in the order of the first wish, quantities added."""
    if not len(lines.sku):
        return lines
    place = lines.at * (int(lines.sku.max()) + 1) + lines.sku
    _, first, of = np.unique(place, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    total = np.bincount(of, lines.quantity).astype(int)[order]
    return Record(only(lines, first[order]), quantity=total)


def _hour(u: ndarray) -> ndarray:
    """Time of day as a share of six to midnight: busiest around noon and in the
    evening.
    """
    return np.interp(u, LAWS.hours["orders"], LAWS.hours["time"])
