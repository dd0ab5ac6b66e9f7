"""What the shop does when nobody decides otherwise: "carry on as before".

Budgets are a share of last month's sales, moved towards whichever platform claims the
best return, and spent when demand is high. Goods are ordered on Mondays from a
four-week average of sales, as if an empty shelf meant no demand. Both are what shops
do; both can be beaten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy import ndarray

from playbook.demo.records import Record
from playbook.demo.state import FAKE, State
from playbook.demo.streams import key, normal, uniform
from playbook.demo.world import LAWS, N_CAUSES, PAID, Promotion

SALES_SHARE = 0.13  # of last month's sales goes into advertising
FLOOR = 0.04  # no channel gets less of it


@dataclass
class Plan:
    """A month's decisions in the simulator's terms; None means as before.

    budgets: channel number -> EUR for the month; prices: sku number -> cents;
    supplier_orders: (day, sku, units); order_levels: sku number -> reorder at, order up
    to, looked at on Mondays; treatments: records with who, is_treated, depth, kind,
    cost; spend: EUR by channel, region and day, in place of any budget (for replays).

    Beside what the shop does anyhow: budget_shares: channel number -> share of what habit
    would spend there; extra_orders: (day, sku, units); hastened: numbers
    of purchase-order lines and how they are hurried (`world.yaml`, `hastened`); shipped:
    numbers of checkout tests everybody gets from now on; withheld: skus not sold any
    more; cancelled: promotions of the calendar that are not held.
    """

    budgets: dict[int, float] | None = None
    prices: dict[int, int] = field(default_factory=dict)
    promotions: list[Promotion] = field(default_factory=list)
    supplier_orders: list[tuple[int, int, int]] | None = None
    order_levels: dict[int, tuple[int, int]] = field(default_factory=dict)
    treatments: list[Record] | None = None
    spend: ndarray | None = None
    budget_shares: dict[int, float] = field(default_factory=dict)
    extra_orders: list[tuple[int, int, int]] = field(default_factory=list)
    hastened: dict[int, str] = field(default_factory=dict)
    shipped: list[int] = field(default_factory=list)
    withheld: list[int] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)


def habit_budgets(state: State, env: Record) -> dict[int, float]:
    """EUR of the month by channel."""
    world, memory, chase = state.world, state.budget_memory, state.world.chase
    total = base = float(world.base_spend.sum()) * 30
    if memory.revenue:
        recent = memory.revenue[-1:] if chase else memory.revenue[-3:]
        total = SALES_SHARE * float(np.mean(recent)) / 100
        if chase:
            total *= (float(env.calendar.mean()) / memory.calendar) ** chase
        total = max(total, 0.3 * base)
    month = (env.first + 15) // 30
    draw = normal(key(world.seed, "budget", np.arange(N_CAUSES), month), "wobble")
    wobble = np.exp((0.18 if chase else 0.40) * draw)
    return {c: round(total * float(memory.share[c]) * float(wobble[c]), 2) for c in PAID}


def remember(state: State, chunk: Record) -> None:
    """What the shop takes from a month into the next: its sales, and what the platforms
    claim to have returned.
    """
    memory = state.budget_memory
    revenue = int(chunk.o_revenue[chunk.o_fate == 0].sum())
    memory.revenue = [*memory.revenue[-11:], revenue]
    memory.calendar = float(chunk.env.calendar.mean())
    if not state.world.chase:
        return
    spend, claimed = chunk.spend.sum(axis=(0, 2)), np.full(N_CAUSES, np.nan)
    for c, (_, cents) in chunk.claims.items():
        claimed[c] = cents.sum() / 100
    roas = np.where(spend > 0, claimed / np.maximum(spend, 1e-9), np.nan)
    average = np.nansum(claimed) / max(spend[~np.isnan(claimed)].sum(), 1e-9)
    if not average > 0:
        return
    pull = np.clip(roas / average, 0.5, 2.0) ** 0.12
    share, listed = memory.share * np.where(np.isnan(roas), 1.0, pull), list(PAID)
    share[listed] = np.maximum(share[listed] / share[listed].sum(), FLOOR)
    memory.share = share / share[listed].sum()


def habit_orders(
    state: State, day: int, levels: dict[int, tuple[int, int]]
) -> list[tuple[int, int]]:
    """Monday's purchase orders: sku and units; `levels` replaces the four-week average
    for the skus it names.
    """
    world = state.world
    average = state.sold_recent.sum(axis=0) / np.clip(day - world.launched, 1, 28)
    lead = world.lead_stated[world.supplier]
    position = state.on_hand - state.committed + state.incoming
    up_to = average * (lead + 7 + 21)
    is_low = (position < average * (lead + 14)) & (world.launched <= day)
    wanted = np.where(is_low, up_to - position, 0.0)
    is_near = (world.launched > day) & (world.launched - day <= lead + 10)
    fresh = is_near & (position <= 0)
    for sku, (reorder_at, level) in levels.items():
        wanted[sku] = level - position[sku] if position[sku] <= reorder_at else 0.0
        fresh[sku] = False
    if fresh.any():
        guess = state.expected_units(day) * np.exp(0.35 * normal(world.sku_key, "guess"))
        wanted = np.where(fresh, guess * 45, wanted)
    rows = np.flatnonzero(wanted > 0)
    pack = world.pack[rows]
    units = np.maximum(np.ceil(wanted[rows] / pack) * pack, world.min_order[rows])
    return list(zip(rows.tolist(), units.astype(int).tolist(), strict=True))


def habit_treatments(state: State, day: int) -> list[Record]:
    """The three campaigns of the history, each with a fifth held out at random; none in
    the future.
    """
    world, p, n = state.world, state.people, state.n
    month = (world.day0 + day).astype("datetime64[M]")
    back = int(np.datetime64(world.last_month, "M").astype(int) - month.astype(int))
    if back not in LAWS.treatments:
        return []
    law = Record(LAWS.treatments[back])
    is_open = p.is_contactable[:n] & ~p.is_guest[:n] & (p.cause[:n] != FAKE)
    who = _addressed(p, np.flatnonzero(is_open), law.kind, day)
    if not len(who):
        return []
    is_treated = uniform(key(p.key[who], "holdout", law.kind), "arm") >= 0.2
    name = f"{law.kind}-{month}"
    return [Record(law, treatment_id=name, who=who, is_treated=is_treated, planned_share=0.8)]


def _addressed(p: Record, who: ndarray, kind: str, day: int) -> ndarray:
    """Whom a campaign is for: the lost, those with one order, the best tenth."""
    quiet, spent = day - p.last[who], p.spent[who]
    if kind == "winback":
        return who[(quiet > 120) & (quiet < 400)]
    if kind == "second-order":
        return who[(quiet > 25) & (quiet < 80) & (p.n_orders[who] == 1)]
    return who[spent >= np.quantile(spent, 0.9)] if len(who) else who
