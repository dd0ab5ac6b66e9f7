"""What the shop does when nobody decides otherwise: "carry on as before".

Budgets are a share of last month's sales, moved towards whichever platform claims the
best return, and spent when demand is high. Goods are ordered on Mondays from a
four-week average of sales, as if an empty shelf meant no demand. Both are what shops
do; both can be beaten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from playbook.demo.streams import key, normal, uniform
from playbook.demo.world import PAID

if TYPE_CHECKING:
    from playbook.demo.simulate import Simulator

__all__ = ["Plan", "habit_budgets", "habit_orders", "habit_treatments", "remember"]

SALES_SHARE = 0.13  # of last month's sales goes into advertising
FLOOR = 0.04  # no channel gets less of it


@dataclass
class Plan:
    """A month's decisions in the simulator's terms; None means as before.

    budgets: channel number -> EUR for the month; prices: sku number -> cents;
    supplier_orders: (day, sku, units); order_levels: sku number -> reorder at, order up
    to, looked at on Mondays; treatments: dicts with who, is_treated, depth, kind, cost;
    spend: EUR by channel, region and day, in place of any budget (for replays).
    """

    budgets: dict[int, float] | None = None
    prices: dict[int, int] = field(default_factory=dict)
    promotions: list[Any] = field(default_factory=list)
    supplier_orders: list[tuple[int, int, int]] | None = None
    order_levels: dict[int, tuple[int, int]] = field(default_factory=dict)
    treatments: list[dict] | None = None
    spend: np.ndarray | None = None


def habit_budgets(sim: Simulator, env: dict) -> dict[int, float]:
    """EUR of the month by channel."""
    world, memory = sim.world, sim.budget_memory
    chase = world.preset.confounding * world.on["confounding"]
    share = memory["share"]
    base = float(world.base_spend.sum()) * 30
    if memory["revenue"]:
        recent = memory["revenue"][-1:] if chase else memory["revenue"][-3:]
        total = SALES_SHARE * float(np.mean(recent)) / 100
        if chase:
            before = memory["calendar"]
            total *= (float(env["calendar"].mean()) / before) ** chase
        total = max(total, 0.3 * base)
    else:
        total = base
    month = (env["first"] + 15) // 30
    wobble = np.exp(
        (0.18 if chase else 0.40)
        * normal(key(world.seed, "budget", np.arange(len(share)), month), "wobble")
    )
    return {c: round(total * float(share[c]) * float(wobble[c]), 2) for c in PAID}


def remember(sim: Simulator, chunk: dict) -> None:
    """What the shop takes from a month into the next: its sales, and what the platforms
    claim to have returned.
    """
    memory, world = sim.budget_memory, sim.world
    memory["revenue"] = [
        *memory["revenue"][-11:],
        int(chunk["o_revenue"][chunk["o_fate"] == 0].sum()),
    ]
    memory["calendar"] = float(chunk["env"]["calendar"].mean())
    if not world.preset.confounding * world.on["confounding"]:
        return
    spend = chunk["spend"].sum(axis=(0, 2))
    claimed = np.array(
        [
            chunk["claims"][c][1].sum() / 100 if c in chunk["claims"] else np.nan
            for c in range(len(spend))
        ]
    )
    roas = np.where(spend > 0, claimed / np.maximum(spend, 1e-9), np.nan)
    average = np.nansum(claimed) / max(spend[~np.isnan(claimed)].sum(), 1e-9)
    if not average > 0:
        return
    share = memory["share"] * np.where(
        np.isnan(roas), 1.0, np.clip(roas / average, 0.5, 2.0) ** 0.12
    )
    listed = np.array(PAID)
    share[listed] = np.maximum(share[listed] / share[listed].sum(), FLOOR)
    memory["share"] = share / share[listed].sum()


def habit_orders(
    sim: Simulator, day: int, levels: dict[int, tuple[int, int]]
) -> list[tuple[int, int]]:
    """Monday's purchase orders: sku and units; `levels` replaces the four-week average
    for the skus it names.
    """
    world = sim.world
    age = np.clip(day - world.launched, 1, 28)
    average = sim.sold_recent.sum(axis=0) / age
    lead = world.lead_stated[world.supplier]
    position = sim.on_hand - sim.committed + sim.incoming
    up_to = average * (lead + 7 + 21)
    wanted = np.where(
        (position < average * (lead + 14)) & (world.launched <= day), up_to - position, 0.0
    )
    fresh = (world.launched > day) & (world.launched - day <= lead + 10) & (position <= 0)
    for sku, (reorder_at, level) in levels.items():
        wanted[sku] = level - position[sku] if position[sku] <= reorder_at else 0.0
        fresh[sku] = False
    if fresh.any():
        guess = sim.expected_units(day) * np.exp(0.35 * normal(world.sku_key, "guess"))
        wanted = np.where(fresh, guess * 45, wanted)
    rows = np.flatnonzero(wanted > 0)
    units = np.maximum(
        np.ceil(wanted[rows] / world.pack[rows]) * world.pack[rows], world.min_order[rows]
    )
    return list(zip(rows.tolist(), units.astype(int).tolist(), strict=True))


def habit_treatments(sim: Simulator, day: int) -> list[dict]:
    """The three campaigns of the history, each with a fifth held out at random; none in
    the future.
    """
    world, p, n = sim.world, sim.people, sim.n
    month = (world.day0 + day).astype("datetime64[M]")
    back = int(np.datetime64(world.last_month, "M").astype(int) - month.astype(int))
    open_to = np.flatnonzero(p["is_contactable"][:n] & ~p["is_guest"][:n] & (p["cause"][:n] != 99))
    quiet = day - p["last"][open_to]
    if back == 7:
        who, depth, kind, cost = open_to[(quiet > 120) & (quiet < 400)], 0.15, "winback", 0.35
    elif back == 4:
        who, depth, kind, cost = (
            open_to[(quiet > 25) & (quiet < 80) & (p["n_orders"][open_to] == 1)],
            0.10,
            "second-order",
            0.35,
        )
    elif back == 1:
        spent = p["spent"][open_to]
        top = spent >= np.quantile(spent, 0.9) if len(spent) else np.zeros(0, bool)
        who, depth, kind, cost = open_to[top], 0.0, "thank-you", 1.9
    else:
        return []
    if not len(who):
        return []
    is_treated = uniform(key(p["key"][who], "holdout", kind), "arm") >= 0.2
    return [
        {
            "treatment_id": f"{kind}-{month}",
            "who": who,
            "is_treated": is_treated,
            "depth": depth,
            "kind": kind,
            "cost": cost,
            "planned_share": 0.8,
        }
    ]
