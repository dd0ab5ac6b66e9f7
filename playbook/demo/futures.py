"""What each customer is still worth: the mean over at least 200 futures under "carry on
as before".

In each future demand takes its own course and the customer drops out at a drawn moment;
what is bought until then enters with its expectation. Shelf and advertising of those
futures come from full runs of the shop, which also scale the result.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.money import (
    PAYMENT_FIXED,
    PAYMENT_SHARE,
    PLATFORM,
    RETURN_UNIT,
    TAX_SHARE,
    month_margin,
)
from playbook.demo.records import Record
from playbook.demo.simulate import CHECKOUT, Simulator
from playbook.demo.streams import key, normal, uniform
from playbook.demo.world import CHANNELS, FREIGHT, IS_TAXED, N_CAUSES, PEAK
from playbook.demo.writing import customer_ids

ENVIRONMENTS = 2
# Units a line, of people and of firms.
UNITS, BUSINESS_UNITS = 1 + 1 / np.expm1(1 / 0.5), 1 + 1 / np.expm1(1 / 4.0)
MONTHS = (12, 24)


def customer_truth(
    sim: Simulator, history: Record, *, environments: Iterable[Record] | None = None
) -> DataFrame:
    """One row per person who ever ordered: customer_id, is_guest, cause, acquired_by
    (the channel without which they would never have come, through friends too),
    persona, rate_per_day, drop_share and basket_lines as drawn, is_alive, n_orders, and
    the expected contribution margin in EUR of the next 12 and 24 months, refunds
    included, with standard errors over n_futures futures; shared_se_share is the
    relative standard error all customers share through the scale. 0 for people who have
    dropped out: they buy no more.
    """
    n, futures = sim.n, sim.world.preset.futures
    p = Record({name: values[:n] for name, values in sim.people.items()})
    alive = np.flatnonzero(p.alive)
    # A small shop is for tests: one run, and the error says so.
    count = ENVIRONMENTS if n > 3_000 else 1
    runs = environments or [environment(sim, number) for number in range(count)]
    people = _people(sim, history, alive)
    mean, spread, shared = _futures(sim, people, list(runs), futures)
    names = np.array(["none", *CHANNELS[1:], "fake"])
    frame = DataFrame(
        {
            "customer_id": customer_ids(p.key).to_pandas(),
            "is_guest": p.is_guest,
            "cause": names[np.minimum(p.cause, N_CAUSES)],
            "acquired_by": root_names(p.root),
            "persona": p.persona,
            "rate_per_day": p.rate,
            "drop_share": p.drop,
            "basket_lines": p.basket,
            "is_alive": p.alive,
            "n_orders": p.n_orders,
        }
    )
    for i, months in enumerate(MONTHS):
        name = f"margin_{months}m"
        frame[[name, f"{name}_se"]] = 0.0
        frame.loc[alive, name] = mean[:, i]
        frame.loc[alive, f"{name}_se"] = spread[:, i]
        frame[f"shared_se_share_{months}m"] = shared[i]
    return frame.assign(n_futures=futures).sort_values("customer_id", ignore_index=True)


def root_names(masks: ndarray) -> ndarray:
    """The channels without which people would not have come, joined by a plus; `none`
    for those nothing brought.
    """
    names = [
        "+".join(c for i, c in enumerate(CHANNELS) if mask >> i & 1) or "none"
        for mask in range(1 << N_CAUSES)
    ]
    return np.array(names, dtype=object)[masks]


def environment(sim: Simulator, number: int, months: int = 24) -> Record:
    """A full run of the shop under "as before": its days (see days_of) and what today's
    people bought in them.
    """
    twin = sim.copy()
    twin.reseed(1_000 + number)
    days, bought, squares = [], np.zeros(2), np.zeros(2)
    for month in range(months):
        chunk = twin.month()
        days.append(days_of(twin, chunk))
        margin = month_margin(chunk)[chunk.o_who < sim.n]
        within = np.array([month < 12, True])
        bought += margin.sum() / 100 * within
        squares += (margin**2).sum() / 1e4 * within
    run = Record({name: np.concatenate([d[name] for d in days]) for name in days[0]})
    return Record(run, bought=bought, squares=squares)


def days_of(sim: Simulator, chunk: Record) -> Record:
    """Per day and persona: lines a unit of basket becomes and their contribution; per
    day and region: nudges.
    """
    world, env, free = sim.world, chunk.env, chunk.free
    # Day, persona, sku.
    chance = env.base[None] * (env.keen[:, None, :] * env.crowd[:, :, None])
    if len(free) > 1:  # a shelf that empties during the day serves about half of it
        free = np.concatenate([(free[:-1] * 1.0 + free[1:]) / 2, free[-1:] * 1.0])
    served = chance * free[:, None, :]
    instead = chance * (1 - free[:, None, :]) * 0.35
    for other in world.instead.T:
        take = instead / 3 * free[:, None, other]
        np.add.at(served, (slice(None), slice(None), other), take)
    top = np.where(np.arange(N_CAUSES) == 6, 0, world.nudge_top)
    return Record(
        worth=np.einsum("dks,ds->dk", served, _unit_worth(sim, env)) / 100,
        lines=served.sum(axis=2),
        nudge=np.einsum("c,dcr->dr", top, np.clip(chunk.reach, 0, 1)),
        demand=env.demand,
        free_of_noise=env.calendar * env.promo_lift,
    )


def _unit_worth(sim: Simulator, env: Record) -> ndarray:
    """Cents of margin a line brings by day and sku, what comes back taken off."""
    world, cost, on = sim.world, env.cost, sim.world.on
    price = env.price * (1 - env.depth)
    # Those that come late come back more often.
    late = (0.07 + 0.10 * (env.season > 1.25)) * on.late_deliveries
    back = (world.return_share * on.returns)[None, :] * (1 + 0.6 * late)[:, None]
    gone = back * ((price - cost) + RETURN_UNIT) + 0.25 * back * 0.4 * price
    gone += 0.0012 * on.returns * price
    fees = PAYMENT_SHARE * price * (1 + TAX_SHARE * 0.87)
    return UNITS * (price * (1 - PLATFORM[0]) - fees - cost - 45 * world.weight - gone)


def _people(sim: Simulator, history: Record, alive: ndarray) -> Record:
    """The living and what an occasion of theirs is worth beside its lines: postage and
    the fixed fee.
    """
    world, n = sim.world, sim.n
    p = Record({name: values[alive] for name, values in sim.people.items()})
    is_business = sim.people.is_business[:n]
    worthy = sim.people.basket[:n] * np.where(is_business, BUSINESS_UNITS / UNITS, 1.0)
    cell, size = _cells(sim, worthy)
    real = history.o_fate == 0
    at = cell[history.o_who[real]]
    orders = np.bincount(at, minlength=size)
    charged = np.bincount(at, history.o_shipping[real], size) / np.maximum(orders, 1)
    region = p.region.astype(int)
    kept = 1 - PAYMENT_SHARE * (1 + TAX_SHARE * IS_TAXED[region])
    freight = FREIGHT[region] * 1.02 ** (sim.day / 365 + 0.75)
    return Record(
        key=p.key,
        rate=p.rate,
        drop=p.drop,
        basket=p.basket,
        persona=p.persona.astype(int),
        region=region,
        email=world.nudge_top[6] * 0.6 * p.is_contactable,
        kept=(1 - world.on.cancellations * 0.035) * CHECKOUT[p.device],
        per_order=(charged[cell[alive]] * kept - PAYMENT_FIXED - freight) / 100,
        worthy=worthy[alive],
    )


def _cells(sim: Simulator, basket: ndarray) -> tuple[ndarray, int]:
    """Groups of people by basket and by whether their parcels go far, and how many."""
    edge = np.array([basket.mean()])
    if sim.n > 50:
        edge = np.quantile(basket, np.linspace(0, 1, 25)[1:-1])
    is_far = np.isin(sim.people.region[: sim.n], (9, 10, 11)).astype(int)
    return np.searchsorted(edge, basket) * 2 + is_far, (len(edge) + 1) * 2


def _futures(
    sim: Simulator, people: Record, runs: list[Record], futures: int
) -> tuple[ndarray, ...]:
    """Mean and standard error per living person for 12 and 24 months, and the scale's
    relative standard error.
    """
    shape, days = (len(people.key), 2), len(runs[0].demand)
    total, square = np.zeros(shape), np.zeros(shape)
    if not len(people.key):
        return total, square, np.zeros(2)
    horizon = [min(h, days) for h in _horizon(sim)]
    scale, shared = _scale(people, runs, horizon)
    k = key(people.key, "future")
    for f in range(futures):
        run = runs[f % len(runs)]
        demand = np.minimum(run.free_of_noise * np.exp(_path(sim, f, days)), PEAK)
        moment = -np.log(uniform(k, f"leaves-{f}")) / (people.rate * people.drop)
        value = _drawn(run, demand, people, horizon, moment)
        total += value
        square += value**2
    mean = total / futures
    spread = np.sqrt(np.maximum(square / futures - mean**2, 0) / max(futures - 1, 1))
    return mean * scale, spread * scale, shared


def _horizon(sim: Simulator) -> list[int]:
    """Days of the next 12 and 24 months."""
    today = sim.world.day0 + sim.day
    ends = [(np.datetime64(today, "M") + m).astype("datetime64[D]") for m in MONTHS]
    return [int((end - today).astype(int)) for end in ends]


def _scale(people: Record, runs: list[Record], horizon: list[int]) -> tuple[ndarray, ...]:
    """What today's people bought in the runs over what the law says of those runs, and
    its relative standard error; 1 and missing where no run was played.
    """
    if runs[0].bought is None:
        return np.ones(2), np.full(2, np.nan)
    stated = sum(_expected(run, people, horizon).sum(axis=0) for run in runs)
    bought = sum(run.bought for run in runs)
    scale = np.where(stated > 0, bought / np.maximum(stated, 1e-9), 1.0)
    spread = np.sqrt(sum(run.squares for run in runs))
    return scale, spread / np.maximum(np.abs(bought), 1e-9)


def _path(sim: Simulator, future: int, days: int) -> ndarray:
    """Demand's drift in one future."""
    shock, path = sim.shock, np.empty(days)
    steps = normal(key(sim.world.seed, "future-shock", future, np.arange(days)), "shock")
    for d in range(days):
        path[d] = shock = 0.96 * shock + 0.03 * steps[d]
    return path


def _by_then(values: ndarray) -> ndarray:
    """Running sums over days, from 0."""
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])


def _drawn(
    run: Record, demand: ndarray, people: Record, horizon: list[int], moment: ndarray
) -> ndarray:
    """EUR by person and horizon when each drops out at a moment of operational time."""
    persona, region, rate, email = people.persona, people.region, people.rate, people.email
    clock, organic = _by_then(demand), _by_then(demand[:, None] * run.worth)
    plain, nudges = _by_then(run.worth), _by_then(run.nudge)
    nudged = _by_then(run.nudge[:, :, None] * run.worth[:, None, :])
    # Days lived through; the last of them is the day of the last purchase.
    left = np.searchsorted(clock, moment)
    last = np.clip(left - 1, 0, len(demand) - 1)
    filled, stays = _filled(run, people), 1 - people.drop
    values = np.empty((len(rate), 2))
    for i, h in enumerate(horizon):
        d, gone = np.minimum(left, h), left <= h
        own = stays * organic[d, persona] + nudged[d, region, persona] + email * plain[d, persona]
        time = stays * np.minimum(clock[d], np.where(gone, moment, np.inf))
        count = rate * (time + nudges[d, region] + email * d) + gone
        worth = people.worthy * (rate * own) + gone * people.worthy * run.worth[last, persona]
        values[:, i] = people.kept * (worth + count * filled * people.per_order)
    return values


def _filled(run: Record, people: Record) -> ndarray:
    """Chance that an occasion fills a basket."""
    return 1 - np.exp(-people.basket * run.lines.mean(axis=0)[people.persona])


def _expected(run: Record, people: Record, horizon: list[int]) -> ndarray:
    """The same in the run's own course of demand, with the moment of dropping out
    integrated over, in steps of a week.
    """
    filled, hazard = _filled(run, people), people.rate * people.drop
    done, values = 0.0, np.zeros((len(hazard), 2))
    for first in range(0, len(run.demand), 7):
        for i, h in enumerate(horizon):
            if first < h:
                week = slice(first, min(first + 7, h))
                step = run.demand[week].sum()
                leaves = -np.expm1(-hazard * step)
                stay = np.exp(-hazard * done) * leaves / (hazard * max(step, 1e-12))
                worth, count = _bought(run, people, week)
                whole = worth + count * filled * people.per_order
                values[:, i] += stay * people.kept * whole
        done += run.demand[first : first + 7].sum()
    return values


def _bought(run: Record, people: Record, week: slice) -> tuple[ndarray, ...]:
    """EUR of lines and occasions of people who stay through some days."""
    persona, region, email = people.persona, people.region, people.email
    demand, worth, nudge = run.demand[week], run.worth[week], run.nudge[week]
    own = (demand[:, None] * worth).sum(0)[persona]
    nudged = np.einsum("dr,dk->rk", nudge, worth)[region, persona]
    each = own + nudged + email * worth.sum(0)[persona]
    count = people.rate * (demand.sum() + nudge.sum(0)[region] + email * len(demand))
    return people.worthy * people.rate * each, count
