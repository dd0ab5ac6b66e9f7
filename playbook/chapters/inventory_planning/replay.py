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
import pandas as pd
from numpy import ndarray

from playbook.chapters.inventory_planning.ordering import (
    Aim,
    Shelf,
    Terms,
    plan_orders,
    rounded_to_lots,
)
from playbook.chapters.inventory_planning.supply import Supply, lead_draws
from playbook.measures.demand_panel import (
    DemandPanel,
    demand_law,
    hidden_demand,
    money_weight,
    unit_margin,
)
from playbook.methods.demand import DemandLaw
from playbook.methods.replenishment import accepted_chance
from playbook.tables import empty, frame_of

__all__ = ["Played", "play_policy", "policy_replay"]

FIRST_WEEKS = 26  # of the panel that no policy is judged on
REFIT_WEEKS = 4  # the demand law is fitted again so often
TEXTBOOK_WEEKS = 13  # of sales behind the textbook's mean and spread
CHANCES = (1e-3, 0.5)  # limits of the accepted chance of running short
SEED = 7

Rule = Callable[[int, ndarray, ndarray], ndarray]


@dataclass(frozen=True)
class Played:
    """(sku, week): units `asked`, `served`, `held` (closing stock)."""

    asked: ndarray
    served: ndarray
    held: ndarray

    def fill(self, since: int = 0) -> float:
        """Share of units asked for that were served from week `since` on; missing where
        nothing was asked.
        """
        asked = self.asked[:, since:].sum()
        return float(self.served[:, since:].sum() / asked) if asked > 0 else float("nan")

    def cycle(self, since: int = 0) -> float:
        """Share of sku weeks with demand in which all of it was served."""
        wanted = self.asked[:, since:] > 0
        whole = (self.served[:, since:] >= self.asked[:, since:]) & wanted
        return float(whole.sum() / wanted.sum()) if wanted.any() else float("nan")


def play_policy(demand: ndarray, start: ndarray, lead_weeks: ndarray, decide: Rule) -> Played:
    """Play one policy. `demand` is (sku, week), `start` opening stock, `lead_weeks`
    (sku, week) the lead time an order of that week will turn out to have (0: it is
    there for the same week's sales).

    `decide(week, stock, incoming)` returns units to order; `incoming` is what is on
    order. A shop does not know the day on which it will arrive, and no policy is told.
    """
    n, weeks = demand.shape
    arrivals = np.zeros((n, weeks + int(lead_weeks.max(initial=0)) + 1))
    stock = start.astype(float).copy()
    served, held = np.zeros((n, weeks)), np.zeros((n, weeks))
    row = np.arange(n)
    for week in range(weeks):
        units = decide(week, stock, arrivals[:, week:].sum(axis=1))
        np.add.at(arrivals, (row, week + lead_weeks[:, week]), units)
        stock = stock + arrivals[:, week]
        served[:, week] = np.minimum(stock, demand[:, week])
        stock = stock - served[:, week]
        held[:, week] = stock
    return Played(demand, served, held)


def policy_replay(
    panel: DemandPanel,
    supply: Supply,
    *,
    classes: pd.DataFrame,
    n_weeks: int = 26,
    warm_up: int = 10,
    holding_share: float | None = None,
) -> pd.DataFrame:
    """The last `n_weeks` weeks again, `warm_up` weeks before them to fill the pipeline:
    one row per policy (playbook by cost and by fill, textbook, as before).

    Demand is sales plus what stock-outs hid, so a policy may be punished for what
    nobody saw; each decision sees only the weeks before it. `as before` is what really
    happened. Money is missing where costs or `holding_share` are.
    """
    first = max(panel.units.shape[1] - n_weeks - warm_up, FIRST_WEEKS)
    goods, classes = supply.of(panel.sku), classes.set_index("sku").reindex(panel.sku)
    is_live = (panel.exposure[:, :first] > 0).any(axis=1)
    # decided by hand, no policy
    by_hand = goods["min_order_units"] > np.maximum(52 * classes["mean_week"], 1)
    ok = (goods["lead_days"].notna() & goods["on_hand"].notna() & ~by_hand).to_numpy() & is_live
    if not ok.any() or panel.units.shape[1] - first <= warm_up:
        return empty("inventory_planning.policy_replay")
    game = _game(panel, supply, goods, ok, classes["aim_share"], first)
    held = np.nan if holding_share is None else holding_share
    rules: dict[str, Rule] = {"playbook, by fill": game.by_fill, "textbook": game.textbook}
    chance = game.accepted_chance(held, warm_up)
    if np.isfinite(chance).mean() > 0.5:
        chance = np.where(np.isfinite(chance), chance, np.nanmedian(chance))
        by_cost = partial(game.playbook, aim=Aim(cost=game.weight, chance=chance))
        rules = {"playbook, by cost": by_cost, **rules}
    results = {
        name: play_policy(game.demand, game.start, game.lead_weeks, rule)
        for name, rule in rules.items()
    }
    results["as before"] = Played(game.demand, game.sold, game.on_hand)
    rows = [game.scored(name, played, warm_up, held) for name, played in results.items()]
    return frame_of("inventory_planning.policy_replay", rows)


@dataclass(frozen=True)
class _Game:
    """The weeks that are played again, for the skus `ok` of a panel; `leads` are the
    drawn lead times in weeks, `lead_weeks` those the orders will turn out to have.
    """

    panel: DemandPanel
    ok: ndarray
    first: int
    aim: ndarray
    cost: ndarray
    margin: ndarray
    pack: ndarray
    least: ndarray
    demand: ndarray
    leads: ndarray
    lead_weeks: ndarray
    laws: dict[int, DemandLaw] = field(default_factory=dict)

    @property
    def sold(self) -> ndarray:
        """What was sold, (sku, week)."""
        return self.panel.units[self.ok, self.first :]

    @property
    def on_hand(self) -> ndarray:
        """What was in stock, (sku, week); unknown is nothing."""
        return np.nan_to_num(self.panel.on_hand[self.ok, self.first :])

    @property
    def start(self) -> ndarray:
        """Opening stock."""
        return self.on_hand[:, 0]

    @property
    def weight(self) -> ndarray:
        """Money in stock per money earned."""
        return money_weight(self.cost, self.margin)

    def accepted_chance(self, holding_share: float, warm_up: int) -> ndarray:
        """The chance of running short that costs accept."""
        weekly = np.maximum(self.demand[:, :warm_up].mean(axis=1), 1e-9)
        lasts = 7 * np.maximum(np.maximum(self.pack, self.least) / weekly, 1)
        holding = self.cost * holding_share / 365
        return np.clip(accepted_chance(holding, np.nan_to_num(self.margin), lasts), *CHANCES)

    def by_fill(self, week: int, stock: ndarray, incoming: ndarray) -> ndarray:
        """The playbook's order, by the fill aims of the classes."""
        aims, group = np.unique(self.aim, return_inverse=True)
        return self.playbook(week, stock, incoming, Aim(aims, group, self.weight))

    def playbook(self, week: int, stock: ndarray, incoming: ndarray, aim: Aim) -> ndarray:
        """The playbook's order."""
        fitted = week - week % REFIT_WEEKS
        if fitted not in self.laws:
            self.laws[fitted] = demand_law(self.panel.until(self.first + fitted)).of(self.ok)
        return plan_orders(
            self.laws[fitted].later(week - fitted),
            Shelf(stock, incoming, 3.5 * self.leads.mean(axis=1)),
            Terms(7.0 * self.leads[:, :200], self.pack, self.least),
            aim,
            seed=SEED + week,
        ).units

    def textbook(self, week: int, stock: ndarray, incoming: ndarray) -> ndarray:
        """What a formula on averages would order."""
        from scipy.stats import norm

        now, lead = self.first + week, self.leads.mean(axis=1) + 1
        recent = self.panel.units[self.ok, now - TEXTBOOK_WEEKS : now]
        mean, sd = recent.mean(axis=1), recent.std(axis=1, ddof=1)
        spread = np.sqrt(lead * sd**2 + mean**2 * self.leads.var(axis=1))
        want = mean * lead + norm.ppf(self.aim) * spread - stock - incoming
        return rounded_to_lots(np.maximum(np.ceil(want), 0), self.pack, self.least)

    def scored(self, name: str, played: Played, warm_up: int, holding_share: float) -> dict:
        """What a policy served, held and lost after the warm-up."""
        lost = (played.asked - played.served)[:, warm_up:].sum(axis=1)
        value = float((played.held[:, warm_up:].mean(axis=1) * self.cost).sum())
        holding = value * holding_share * (self.demand.shape[1] - warm_up) / 52
        lost_margin = float(np.where(lost > 0, lost * self.margin, 0.0).sum())
        return {
            "policy": name,
            "aim_share": float((self.aim * self.demand.sum(axis=1)).sum() / self.demand.sum()),
            "fill_share": played.fill(warm_up),
            "cycle_share": played.cycle(warm_up),
            "stock_value": value,
            "holding_cost": holding,
            "lost_margin": lost_margin,
            "total_cost": holding + lost_margin,
        }


def _game(
    panel: DemandPanel,
    supply: Supply,
    goods: pd.DataFrame,
    ok: ndarray,
    aim: pd.Series,
    first: int,
) -> _Game:
    """The game of these skus: demand with what stock-outs hid, and drawn lead times."""
    goods, rng = goods[ok], np.random.default_rng(SEED)
    demand = panel.units[ok, first:] + rng.poisson(hidden_demand(panel)[ok, first:])
    leads = np.maximum(np.round(lead_draws(goods, supply.leads, 400, SEED) / 7).astype(int), 1)
    return _Game(
        panel=panel,
        ok=ok,
        first=first,
        aim=aim.to_numpy(float)[ok],
        cost=goods["unit_cost"].to_numpy(float),
        margin=unit_margin(panel)[ok],
        pack=np.maximum(goods["pack_units"].to_numpy(float), 1),
        least=goods["min_order_units"].to_numpy(float),
        demand=demand,
        leads=leads,
        lead_weeks=leads[:, rng.integers(0, leads.shape[1], demand.shape[1])],
    )
