"""Stock policies played over the same weeks of demand: what each would have served,
held and lost.

The rules of the game are those of a shop with weekly orders: what arrives is received
before the week's sales, sales without stock are lost, a decision sees stock, what is on
order and the past, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy import ndarray
from pandas import DataFrame

from playbook.chapters.inventory_planning.ordering import DRAWS, plan_orders, rounded_to_lots
from playbook.chapters.inventory_planning.supply import Supply
from playbook.measures.demand_panel import DemandPanel, demand_law, hidden_demand
from playbook.methods.demand import DemandLaw
from playbook.methods.replenishment import accepted_chance, safety_stock
from playbook.tables import empty, frame_of

__all__ = ["play_policy", "policy_replay"]

FIRST_WEEKS = 26  # of the panel that no policy is judged on
REFIT_WEEKS = 4  # the demand law is fitted again so often
TEXTBOOK_WEEKS = 13  # of sales behind the textbook's mean and spread
CHANCES = (1e-3, 0.5)  # limits of the accepted chance of running short
SEED = 7

Rule = Callable[[int, ndarray, ndarray], ndarray]


def play_policy(
    demand: ndarray,
    start: ndarray,
    lead_weeks: ndarray,
    decide: Rule,
) -> tuple[ndarray, ndarray]:
    """Play one policy: units served and closing stock, (sku, week). `start` is the
    opening stock, `lead_weeks` (sku, week) the lead time an order of that week will turn
    out to have (0: it is there for the same week's sales).

    `decide(week, stock, incoming)` returns units to order; `incoming` is what is on
    order. A shop does not know the day on which it will arrive, and no policy is told.
    """
    arrivals = np.zeros((len(demand), demand.shape[1] + int(lead_weeks.max(initial=0)) + 1))
    served, held, stock = np.zeros(demand.shape), np.zeros(demand.shape), start
    for week in range(demand.shape[1]):
        units = decide(week, stock, arrivals[:, week:].sum(axis=1))
        np.add.at(
            arrivals,
            (np.arange(len(demand)), week + lead_weeks[:, week]),
            units,
        )
        stock = stock + arrivals[:, week]
        served[:, week] = np.minimum(stock, demand[:, week])
        stock = stock - served[:, week]
        held[:, week] = stock
    return served, held


def policy_replay(
    panel: DemandPanel,
    supply: Supply,
    *,
    classes: DataFrame,
    n_weeks: int = 26,
    warm_up: int = 10,
    holding_share: float | None = None,
) -> DataFrame:
    """The last `n_weeks` weeks again, `warm_up` weeks before them to fill the pipeline:
    one row per policy (playbook by cost and by fill, textbook, as before).

    Demand is sales plus what stock-outs hid, so a policy may be punished for what
    nobody saw; each decision sees only the weeks before it. `as before` is what really
    happened. Money is missing where costs or `holding_share` are.
    """
    first = max(panel.units.shape[1] - n_weeks - warm_up, FIRST_WEEKS)
    goods = supply.of(panel).join(classes.set_index("sku")[["aim_share", "mean_week"]])
    is_live = (panel.exposure[:, :first] > 0).any(axis=1)
    # decided by hand, no policy
    by_hand = goods.min_order_units > np.maximum(52 * goods.mean_week, 1)
    ok = (goods.lead_days.notna() & goods.on_hand.notna() & ~by_hand).to_numpy() & is_live
    if not ok.any() or panel.units.shape[1] - first <= warm_up:
        return empty("inventory_planning.policy_replay")
    rng, goods = np.random.default_rng(SEED), goods[ok]
    demand = panel.units[ok, first:] + rng.poisson(hidden_demand(panel)[ok, first:])
    leads = np.maximum(np.round(supply.lead_draws(goods, 400, SEED) / 7).astype(int), 1)
    game = _Game(panel, ok, first, goods, demand, leads)
    holding_share = np.nan if holding_share is None else holding_share
    rules: dict[str, Rule] = {"playbook, by fill": game.playbook, "textbook": game.textbook}
    chance = game.accepted_chance(holding_share, warm_up)
    if np.isfinite(chance).mean() > 0.5:
        chance = np.where(np.isfinite(chance), chance, np.nanmedian(chance))
        rules = {"playbook, by cost": partial(game.playbook, chance=chance), **rules}
    lead_weeks = leads[:, rng.integers(0, leads.shape[1], demand.shape[1])]
    on_hand = np.nan_to_num(panel.on_hand[ok, first:])
    results = {
        name: play_policy(demand, on_hand[:, 0], lead_weeks, rule) for name, rule in rules.items()
    }
    results["as before"] = (panel.units[ok, first:], on_hand)
    rows = [
        {"policy": name} | game.scored(*played, warm_up, holding_share)
        for name, played in results.items()
    ]
    return frame_of("inventory_planning.policy_replay", rows)


@dataclass(frozen=True)
class _Game:
    """The weeks that are played again, from week `first` of a panel on, for its skus
    `ok`; `goods` are their terms, `leads` their drawn lead times in weeks.
    """

    panel: DemandPanel
    ok: ndarray
    first: int
    goods: DataFrame
    demand: ndarray
    leads: ndarray
    laws: dict[int, DemandLaw] = field(default_factory=dict)

    def accepted_chance(
        self,
        holding_share: float,
        warm_up: int,
    ) -> ndarray:
        """The chance of running short that costs accept."""
        weekly = np.maximum(self.demand[:, :warm_up].mean(axis=1), 1e-9)
        lot = self.goods[["pack_units", "min_order_units"]].max(axis=1)
        holding = self.goods.unit_cost * holding_share / 365
        margin = self.goods.margin.fillna(0)
        chance = accepted_chance(holding, margin, 7 * np.maximum(lot / weekly, 1))
        return np.clip(chance, *CHANCES)

    def playbook(
        self,
        week: int,
        stock: ndarray,
        incoming: ndarray,
        chance: ndarray | None = None,
    ) -> ndarray:
        """The playbook's order, by the fill aims of the classes or by cost."""
        fitted = week - week % REFIT_WEEKS
        if fitted not in self.laws:
            self.laws[fitted] = demand_law(self.panel.until(self.first + fitted)).of(self.ok)
        now = self.goods.assign(
            available=stock,
            incoming=incoming,
            incoming_days=3.5 * self.leads.mean(axis=1),
            yield_share=1.0,
        )
        law, leads = self.laws[fitted].later(week - fitted), 7.0 * self.leads[:, :DRAWS]
        return plan_orders(
            law,
            now,
            leads,
            chance=chance,
            seed=SEED + week,
        ).units

    def textbook(
        self,
        week: int,
        stock: ndarray,
        incoming: ndarray,
    ) -> ndarray:
        """What a formula on averages would order."""
        now, lead = self.first + week, self.leads.mean(axis=1) + 1
        recent = self.panel.units[self.ok, now - TEXTBOOK_WEEKS : now]
        mean, sd = recent.mean(axis=1), recent.std(axis=1, ddof=1)
        safety = safety_stock(
            self.goods.aim_share,
            mean,
            sd,
            lead,
            self.leads.std(axis=1),
        )
        want = np.maximum(np.ceil(mean * lead + safety - stock - incoming), 0)
        return rounded_to_lots(
            want,
            self.goods.pack_units,
            self.goods.min_order_units,
        )

    def scored(
        self,
        served: ndarray,
        held: ndarray,
        warm_up: int,
        holding_share: float,
    ) -> dict[str, float]:
        """What a policy served, held and lost after the warm-up; `cycle_share` is that of
        the sku weeks with demand in which all of it was served.
        """
        all_asked = self.demand.sum(axis=1)
        asked, served = self.demand[:, warm_up:], served[:, warm_up:]
        is_whole = (served >= asked)[asked > 0]
        held = held[:, warm_up:].mean(axis=1)
        value = float((held * self.goods.unit_cost.to_numpy()).sum())
        holding = value * holding_share * asked.shape[1] / 52
        lost = (asked - served).sum(axis=1)
        lost_margin = float(np.where(lost > 0, lost * self.goods.margin, 0.0).sum())
        aim = self.goods.aim_share.to_numpy()
        return {
            "aim_share": float((aim * all_asked).sum() / all_asked.sum()),
            "fill_share": float(served.sum() / asked.sum()) if asked.any() else np.nan,
            "cycle_share": float(is_whole.mean()) if asked.any() else np.nan,
            "stock_value": value,
            "holding_cost": holding,
            "lost_margin": lost_margin,
            "total_cost": holding + lost_margin,
        }
