"""The truth of a simulated shop: what was drawn, what each channel caused, what its
tests and incidents did. What customers are still worth stands in futures.py.

Causes are labels carried by every order, so a channel's true incremental orders are the
orders that would vanish with its spend.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
from numpy import ndarray
from pandas import Categorical, DataFrame

from playbook.demo.futures import root_names
from playbook.demo.habits import Plan
from playbook.demo.money import (
    PAYMENT_SHARE,
    PLATFORM,
    TAX_SHARE,
    month_margin,
    order_of_lines,
)
from playbook.demo.presets import INCIDENTS, PLANTED, UNREACHED
from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.state import FAKE, TREATED
from playbook.demo.world import (
    CATEGORIES,
    CHANNELS,
    N_CAUSES,
    PAID,
    PRICE_CAP,
    REGION_SHARE,
    World,
)
from playbook.demo.writing import order_ids

GOODS = ("skus", "sku_demand", "season", "category_season")  # the frames of `sku_truth`
_SPEND_GRID = np.array([0, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4])

# --- months and channels ------------------------------------------------------------


def month_truth(sim: Simulator, a: Record) -> Record:
    """The sums of a month that the truth needs once its orders are forgotten."""
    env, margin = a.env, month_margin(a) / 100
    counts = np.isin(a.o_fate, (0, 3))
    cause, size = np.minimum(a.o_cause[counts], TREATED), TREATED + 1
    treated = a.o_cause[a.o_cause >= TREATED] - TREATED
    paid = np.isin(a.o_fate, (0, 2, 3))
    return Record(
        channels=[_caused(sim.world, a, c, margin, counts) for c in PAID],
        tried=np.bincount(np.minimum(a.baskets[:, 3], TREATED), minlength=size),
        won=np.bincount(cause, minlength=size),
        margin=np.bincount(cause, margin[counts], size),
        treated=np.bincount(treated, minlength=len(sim.treatments) + 1),
        season=float((np.sqrt(env.season) * env.weekday).mean()),
        spend=a.spend.sum(axis=(0, 2)) / (a.last - a.first),
        dashboard={
            "orders": float(paid.sum()),
            "gmv": float((a.l_price * a.l_quantity).sum()) / 100,
            "paid_amount": float((a.o_revenue + a.o_shipping)[paid].sum()) / 100,
        },
        refunds=_refunds(sim.world, a),
    )


def _caused(world: World, a: Record, c: int, margin: ndarray, counts: ndarray) -> dict:
    """What a channel caused in a month."""
    mine = counts & (a.o_root >> c & 1 == 1)
    direct = mine & (a.o_cause == c)
    spend = float(a.spend[:, c].sum())
    near, whole = float(margin[direct].sum()), float(margin[mine].sum())
    return {
        "month": world.month_of(a.first),
        "channel": CHANNELS[c],
        "spend": spend,
        "first_orders": int((direct & a.o_new).sum()),
        "nudged_orders": int((direct & ~a.o_new).sum()),
        "later_orders": int((mine & ~direct).sum()),
        "incremental_orders": int(mine.sum()),
        "incremental_revenue": float(a.o_revenue[mine].sum()) / 100,
        "direct_margin": near,
        "incremental_margin": whole,
        "direct_roi": (near - spend) / spend if spend else np.nan,
        "roi": (whole - spend) / spend if spend else np.nan,
    }


def _refunds(world: World, a: Record) -> dict[str, int]:
    """Cents that go back, by the month they do: of returns, and of paid orders that were
    cancelled.
    """
    of, booked = order_of_lines(a), a.l_back > 0
    gone = (a.o_fate == 2)[of]
    paid = a.l_price * a.l_quantity - a.l_off
    amount = np.concatenate([a.l_back_amount[booked], paid[gone]])
    day = np.concatenate([a.l_back_day[booked], a.o_free[of][gone]])
    month = (world.day0 + day).astype("datetime64[M]")
    return {str(m): int(amount[month == m].sum()) for m in np.unique(month)}


def channel_truth(chunks: list[Record]) -> DataFrame:
    """One row per month and paid channel: spend, the orders that would not be there
    without it (first orders of people it brought, orders it nudged, later orders of
    people it brought, friends of theirs included), their contribution margin with all
    refunds to come, and ROI = (margin - spend) / spend. Counted orders only. EUR.
    """
    rows = [row for chunk in chunks for row in chunk.truth.channels]
    return DataFrame(rows).sort_values(["month", "channel"], ignore_index=True)


def summed(months: list[Record]) -> tuple[ndarray, ...]:
    """Occasions tried, orders won and their margin by cause, over months' truths."""
    tried, won, margin = (
        sum(month[name] for month in months) for name in ("tried", "won", "margin")
    )
    return tried, won, margin


def later_orders(sim: Simulator, c: int, days: float) -> float:
    """Orders a person of channel c tries on average in the days after the first one."""
    people = np.flatnonzero(sim.people.cause[: sim.n] == c)
    if not len(people):
        return 0.0
    rate, drop = sim.people.rate[people], sim.people.drop[people]
    return float(((1 - drop) * (1 - np.exp(-rate * drop * days)) / drop).mean())


def purchase_rate(sim: Simulator) -> float:
    """Purchases a day that all living people together attempt."""
    return float((sim.people.rate[: sim.n] * sim.people.alive[: sim.n]).sum())


def response_truth(sim: Simulator, chunks: list[Record]) -> DataFrame:
    """Each paid channel's law: carry-over per day, half saturation (EUR a day, whole
    country), slope, highest arrivals and nudges a day, and along a grid of steady daily
    spend the orders a day it brings (last year's conversion and base of buyers) with
    their direct margin; `margin_24m` adds what the people it brings buy in two years.
    """
    world, base = sim.world, purchase_rate(sim)
    recent = [chunk.truth for chunk in chunks if chunk.first >= sim.day - 370]
    year = recent or [chunk.truth for chunk in chunks]
    tried, won, margin = summed(year)
    season = float(np.mean([month.season for month in year]))
    now = np.mean([month.spend for month in year[-3:]], axis=0)
    rows = []
    for c in PAID:
        share = won[c] / max(tried[c], 1)
        each = float(margin[c] / won[c]) if won[c] else 0.0
        later = later_orders(sim, c, 730) * share * each
        for level in _SPEND_GRID * max(now[c], world.base_spend[c]):
            reach = float(world.response(c, np.array(level)))
            newcomers = world.tops(c) * reach * season * share
            nudged = base * world.nudge_top[c] * min(reach, 1.0) * share
            orders = newcomers + nudged
            rows.append(
                {
                    "channel": CHANNELS[c],
                    "carry_over_per_day": world.carry[c],
                    "half_saturation": world.half[c],
                    "slope": world.slope[c],
                    "top_arrivals": world.tops(c),
                    "spend_per_day": float(level),
                    "spend_now": float(now[c]),
                    "new_customers_per_day": newcomers,
                    "nudged_orders_per_day": nudged,
                    "orders_per_day": orders,
                    "direct_margin_per_day": orders * each,
                    "margin_24m_per_day": orders * each + newcomers * later,
                }
            )
    return DataFrame(rows)


def replay(
    world: World,
    chunks: list[Record],
    *,
    without: str = "",
    future: int | None = None,
    geo_tests: bool = True,
) -> Iterator[Record]:
    """The history again, month by month, with advertising spent as it was, but nothing
    on one channel, or without the geo tests; with `future`, under another course of
    chance. What a stated effect is checked against.
    """
    sim = Simulator(world)
    if future is not None:
        sim.reseed(future)
    if not geo_tests:
        sim.geo_tests = []
    for chunk in chunks:
        spend = np.moveaxis(chunk.planned, 0, -1).copy()
        if without:
            spend[CHANNELS.index(without)] = 0.0
        yield sim.month(Plan(spend=spend))


# --- goods, tests, incidents ------------------------------------------------------------


def sku_truth(sim: Simulator, chunks: list[Record], until: int) -> dict[str, DataFrame]:
    """`skus`: elasticity (own price, all else equal), return share, fading;
    `sku_demand`: units wanted and free to sell by sku and day, whether the shelf had
    them or not; `season`: the shop's demand by day and what it is made of;
    `category_season`: each category's season in the middle of each month, 1 on average.
    """
    world, days = sim.world, np.arange(until + 1)
    rows = np.flatnonzero(world.launched <= until)
    skus = DataFrame(
        {
            "sku": world.sku_ids[rows],
            "elasticity": -world.elasticity[rows],
            "appeal": world.appeal[rows] / world.appeal.sum(),
            "is_fading": world.fades[rows],
            "half_life_days": np.where(world.fades, world.half_life, np.nan)[rows],
            "return_share": world.return_share[rows],
            "unit_cost": world.unit_cost(until)[rows] / 100,
            "best_price": best_price(world, until)[rows] / 100,
        }
    )
    drift = {
        name: np.concatenate([chunk.env[name] for chunk in chunks])
        for name in ("promo_lift", "shock", "demand")
    }
    season = DataFrame(
        {
            "day_on": (world.day0 + days).astype("datetime64[s]"),
            "season": world.season(days),
            "weekday": world.weekday(days),
            **drift,
        }
    ).rename(columns={"promo_lift": "promotion"})
    middles = [(chunk.first + chunk.last) // 2 for chunk in chunks]
    waves = [
        {"month": world.month_of(day), "category": name, "season": float(wave)}
        for day in middles
        for name, wave in zip(CATEGORIES, world.category_wave(day), strict=True)
    ]
    demand = _sku_demand(world, chunks)
    return {
        "skus": skus,
        "sku_demand": demand,
        "season": season,
        "category_season": DataFrame(waves),
    }


def _sku_demand(world: World, chunks: list[Record]) -> DataFrame:
    wanted = np.concatenate([chunk.demand for chunk in chunks])
    free = np.concatenate([chunk.free for chunk in chunks])
    d, s = np.nonzero(np.arange(len(wanted))[:, None] >= world.launched)
    demand = DataFrame(
        {
            "sku": Categorical.from_codes(s, world.sku_ids),
            "day_on": (world.day0 + d).astype("datetime64[s]"),
            "units_wanted": wanted[d, s].astype(int),
            "is_free": free[d, s],
        }
    )
    return demand.assign(sku=demand.sku.astype(str))


def order_truth(chunks: list[Record], world: World) -> DataFrame:
    """One row per order: order_id, cause (the channel that brought it, `none`,
    `treatment`, `fake`) and depends_on, the channels without any of which it would not
    have been (joined by a plus), as through the person it came from.
    """
    cause, roots, day, keys = (
        np.concatenate([chunk[f"o_{name}"] for chunk in chunks])
        for name in ("cause", "root", "day", "key")
    )
    names = np.array(["none", *CHANNELS[1:], "treatment", "fake"], dtype=object)
    place = np.select([cause >= TREATED, cause == FAKE], [N_CAUSES, N_CAUSES + 1], cause)
    frame = DataFrame(
        {
            "order_id": order_ids(keys, day, world.day0).to_pandas(),
            "cause": names[place],
            "depends_on": root_names(roots),
        }
    )
    return frame.sort_values("order_id", ignore_index=True)


def best_price(world: World, day: int) -> ndarray:
    """Cents: the price with the highest margin for a constant elasticity, unit variable
    cost and fees given, kept within what the law of demand covers (a price can at most
    quadruple demand).
    """
    cost = world.unit_cost(day) * 1.0 + 45 * world.weight
    share = 1 - PLATFORM[0] - PAYMENT_SHARE * (1 + TAX_SHARE * 0.87) - world.return_share * 1.1
    ideal = cost / share * world.elasticity / (world.elasticity - 1)
    least = world.list_price * PRICE_CAP ** (-1 / world.elasticity)
    return np.clip(ideal, least, 3.0 * world.list_price)


def supplier_truth(sim: Simulator) -> DataFrame:
    """One row per supplier: the law of its lead time (lognormal, mean and sd in days),
    short and faulty deliveries.
    """
    world = sim.world
    return DataFrame(
        {
            "supplier_id": world.supplier_ids,
            "lead_mean_days": world.lead_mean,
            "lead_sd_days": world.lead_mean * world.lead_cv,
            "stated_lead_days": world.lead_stated,
            "short_share": world.short_share,
            "defect_share": world.defect_share,
        }
    )


def effect_truth(sim: Simulator, chunks: list[Record], until: int) -> DataFrame:
    """True effects of the tests at the checkout, the treatments, the geo tests and of
    membership: test, kind, unit, effect (what the law says, expected), n (treated).
    """
    tests = [test for test in sim.experiments() if test.first <= until]
    geo_tests = [test for test in sim.geo_tests if test.first <= until]
    rows = [
        (test.test_id, "experiment", "relative lift of orders", test.lift, np.nan) for test in tests
    ]
    for number in range(len(sim.treatments)):
        rows += _treatment_effects(sim, chunks, number)
    for test in geo_tests:
        rows += _geo_effects(sim, chunks, test)
    rows.append(("membership", "membership", "extra orders of a member", 0.0, np.nan))
    return DataFrame(rows, columns=["test", "kind", "unit", "effect", "n"])


def _treatment_effects(sim: Simulator, chunks: list[Record], number: int) -> list[tuple]:
    t = sim.treatments[number]
    n, name = int(t.is_treated.sum()), t.treatment_id
    counts = [chunk.truth.treated for chunk in chunks]
    came = sum(int(count[number]) for count in counts if number < len(count))
    moved = float(t.chance[t.is_treated].mean()) if n else np.nan
    unit = "extra purchase occasions per treated customer"
    return [
        (name, "treatment", unit, moved, n),
        (name, "treatment", "extra orders placed", float(came), n),
    ]


def _geo_effects(sim: Simulator, chunks: list[Record], test: Record) -> list[tuple]:
    tried, won, _ = summed([chunk.truth for chunk in chunks])
    arrivals, c, n = _geo_effect(sim, test, chunks), test.channel, len(test.regions)
    orders = arrivals * won[c] / max(tried[c], 1)
    place = "in the treated regions, test days"
    return [
        (test.test_id, "geo test", f"purchase occasions {place}", arrivals, n),
        (test.test_id, "geo test", f"orders {place}", orders, n),
    ]


def _geo_effect(sim: Simulator, test: Record, chunks: list[Record]) -> float:
    """Expected newcomers and nudges with the test less without it, over its days in its
    regions: the carried-over spend is replayed both ways from the spend as it was.
    """
    world, c, r, start = sim.world, test.channel, test.regions, chunks[0].first
    base = _base(sim, test)
    spend, planned = (
        np.concatenate([chunk[name][:, c] for chunk in chunks])[:, r]
        for name in ("spend", "planned")
    )
    seasons = [np.sqrt(chunk.env.season) * chunk.env.weekday for chunk in chunks]
    season, keep, share = np.concatenate(seasons), world.carry[c], REGION_SHARE[r]
    gap, with_test, without = 0.0, np.zeros(len(r)), np.zeros(len(r))
    for d in range(len(spend)):
        with_test = keep * with_test + (1 - keep) * spend[d]
        without = keep * without + (1 - keep) * planned[d]
        if test.first <= d + start <= test.last:
            difference = world.response(c, with_test / share) - world.response(c, without / share)
            gap += float((difference * (world.tops(c) * share * season[d])).sum())
            gap += float((difference * share / share.sum()).sum() * base * world.nudge_top[c])
    return gap


def _base(sim: Simulator, test: Record) -> float:
    """Purchase rates of the people the test could nudge, over its regions."""
    p = Record({name: values[: sim.n] for name, values in sim.people.items()})
    is_there = (p.born < test.first) & ((p.dropped < 0) | (p.dropped > test.last))
    return sum((p.rate * (p.region == region) * is_there).sum() for region in test.regions)


def incident_truth(sim: Simulator) -> DataFrame:
    """One row per planted incident: first and last day, what happens, and the tables it
    cannot reach.
    """
    start = dt.date.fromisoformat(str(sim.world.day0))
    rows = [
        (
            name,
            start + dt.timedelta(days=first),
            start + dt.timedelta(days=last),
            (INCIDENTS | PLANTED)[name]["what"],
            " ".join(UNREACHED[name]),
        )
        for name, (first, last) in sorted(sim.world.incidents.items())
    ]
    return DataFrame(rows, columns=["incident", "starts_on", "ends_on", "what", "unreached"])
