"""Stock policies played over the same weeks of demand: what each would have served,
held and lost.

The rules of the game are those of a shop with weekly orders: what arrives is received
before the week's sales, sales without stock are lost, a decision sees stock, what is on
order and the past, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.chapters.inventory_planning.ordering import plan_orders, rounded_to_lots
from playbook.chapters.inventory_planning.supply import Supply, lead_draws
from playbook.measures.demand_panel import DemandPanel, demand_law, money_weight, unit_margin
from playbook.methods.demand import DemandLaw
from playbook.methods.replenishment import accepted_chance
from playbook.methods.uncensored import level_around

__all__ = ["Played", "play_policy", "policy_replay"]


@dataclass(frozen=True)
class Played:
    """(sku, week): units `asked`, `served`, `held` (closing stock)."""

    asked: np.ndarray
    served: np.ndarray
    held: np.ndarray

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


def play_policy(
    demand: np.ndarray,
    start: np.ndarray,
    lead_weeks: np.ndarray,
    decide: Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Played:
    """Play one policy. `demand` is (sku, week), `start` opening stock, `lead_weeks`
    (sku, week) the lead time an order of that week will turn out to have (0: it is
    there for the same week's sales).

    `decide(week, stock, arrivals, served_so_far)` returns units to order; `arrivals` is what is on order by the week it
    *will* arrive, of which a policy should use sums only, since a shop does not know the day.
    """
    n, weeks = demand.shape
    arrivals = np.zeros((n, weeks + int(lead_weeks.max(initial=0)) + 1))
    stock = start.astype(float).copy()
    served, held = np.zeros((n, weeks)), np.zeros((n, weeks))
    row = np.arange(n)
    for week in range(weeks):
        units = decide(week, stock, arrivals[:, week:], served[:, :week])
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
    refit_weeks: int = 4,
    n_draws: int = 200,
    seed: int = 7,
) -> pd.DataFrame:
    """The last `n_weeks` weeks again, `warm_up` weeks before them to fill the pipeline:
    one row per policy (playbook, textbook, as before) with aim_share, fill_share,
    cycle_share, stock_value, holding_cost, lost_margin, total_cost.

    Demand is sales plus what stock-outs hid, so a policy may be punished for what
    nobody saw; each decision sees only the weeks before it. `as before` is what really
    happened. Money is missing where costs or `holding_share` are.
    """
    from scipy.stats import norm

    goods = supply.goods.set_index("sku").reindex(panel.sku)
    first = max(panel.units.shape[1] - n_weeks - warm_up, 26)
    live = (panel.exposure[:, :first] > 0).any(axis=1)
    usual = classes.set_index("sku")["mean_week"].reindex(panel.sku).to_numpy(float)
    huge = goods["min_order_units"].fillna(0).to_numpy(float) > np.maximum(
        52 * usual, 1
    )  # decided by hand, no policy
    ok = (goods["lead_days"].notna() & goods["on_hand"].notna()).to_numpy() & live & ~huge
    if not ok.any() or panel.units.shape[1] - first <= warm_up:
        return pd.DataFrame(
            columns=[
                "policy",
                "aim_share",
                "fill_share",
                "cycle_share",
                "stock_value",
                "holding_cost",
                "lost_margin",
                "total_cost",
            ]
        )
    g, rng = goods[ok], np.random.default_rng(seed)
    cost, margin = g["unit_cost"].to_numpy(float), unit_margin(panel)[ok]
    pack = np.maximum(g["pack_units"].fillna(1).to_numpy(float), 1)
    least, aim = (
        g["min_order_units"].fillna(0).to_numpy(float),
        classes.set_index("sku")["aim_share"].reindex(panel.sku).to_numpy(float)[ok],
    )
    sold = panel.units[ok, first:]
    hidden = level_around(panel.units, panel.exposure, half_width=8)[ok, first:] * (
        1 - panel.exposure[ok, first:]
    )
    demand = sold + rng.poisson(hidden)
    weeks = np.maximum(np.round(lead_draws(g, supply.leads, 400, seed) / 7).astype(int), 1)
    turn = weeks[:, rng.integers(0, weeks.shape[1], demand.shape[1])]
    start = np.nan_to_num(panel.on_hand[ok, first])
    aims, group = np.unique(aim, return_inverse=True)
    laws: dict[int, DemandLaw] = {}

    lasts = 7 * np.maximum(
        np.maximum(pack, least) / np.maximum(demand[:, :warm_up].mean(axis=1), 1e-9), 1
    )
    newsvendor = np.clip(
        accepted_chance(
            cost * (np.nan if holding_share is None else holding_share) / 365,
            np.nan_to_num(margin),
            lasts,
        ),
        1e-3,
        0.5,
    )

    def ours(
        week: int, stock: np.ndarray, arrivals: np.ndarray, stop: np.ndarray | None
    ) -> np.ndarray:
        at = week - week % refit_weeks
        if at not in laws:
            laws[at] = demand_law(panel.until(first + at)).of(ok)
        law = laws[at].later(week - at)
        return plan_orders(
            law,
            available=stock,
            incoming=arrivals.sum(axis=1),
            incoming_days=3.5 * weeks.mean(axis=1),
            stop=stop,
            lead_days=7.0 * weeks[:, :n_draws],
            review_days=7,
            cost=money_weight(cost, margin),
            aim=aims,
            group=group,
            pack=pack,
            least=least,
            n_draws=n_draws,
            seed=seed + week,
        ).units

    def textbook(week: int, stock: np.ndarray, arrivals: np.ndarray, _: np.ndarray) -> np.ndarray:
        recent, lead = panel.units[ok, first + week - 13 : first + week], weeks.mean(axis=1) + 1
        mean, sd = recent.mean(axis=1), recent.std(axis=1, ddof=1)
        spread = np.sqrt(lead * sd**2 + mean**2 * weeks.var(axis=1))
        want = mean * lead + norm.ppf(aim) * spread - stock - arrivals.sum(axis=1)
        return rounded_to_lots(np.maximum(np.ceil(want), 0), pack, least)

    rows = []
    rules = {"playbook, by fill": lambda *now: ours(*now[:3], None), "textbook": textbook}
    if np.isfinite(newsvendor).mean() > 0.5:
        priced = np.where(np.isfinite(newsvendor), newsvendor, np.nanmedian(newsvendor))
        rules = {"playbook, by cost": lambda *now: ours(*now[:3], priced)} | rules
    for name, rule in rules.items():
        played = play_policy(demand, start, turn, rule)
        rows.append(
            (
                name,
                played.fill(warm_up),
                played.cycle(warm_up),
                played.held[:, warm_up:].mean(axis=1),
                (played.asked - played.served)[:, warm_up:].sum(axis=1),
            )
        )
    wanted = demand[:, warm_up:] > 0
    rows.append(
        (
            "as before",
            float(sold[:, warm_up:].sum() / demand[:, warm_up:].sum()),
            float((sold >= demand)[:, warm_up:][wanted].mean()),
            np.nan_to_num(panel.on_hand[ok, first + warm_up :]).mean(axis=1),
            (demand - sold)[:, warm_up:].sum(axis=1),
        )
    )
    found = pd.DataFrame(
        [
            {
                "policy": name,
                "aim_share": float((aim * demand.sum(axis=1)).sum() / demand.sum()),
                "fill_share": fill,
                "cycle_share": cycle,
                "stock_value": float((held * cost).sum()),
                "holding_cost": float((held * cost).sum())
                * (holding_share if holding_share is not None else np.nan)
                * (demand.shape[1] - warm_up)
                / 52,
                "lost_margin": float(np.where(lost > 0, lost * margin, 0.0).sum()),
            }
            for name, fill, cycle, held, lost in rows
        ]
    )
    found["total_cost"] = found["holding_cost"] + found["lost_margin"]
    return found
