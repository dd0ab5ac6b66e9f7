"""The lost-sales game: weekly orders, two weeks' lead time, a lost sale costs 1, a unit held a week costs .2.

Five players meet the same eight weeks of the same shop and see only their own sales. `oracle` knows the demand law and
orders like `playbook`; `average` orders like `playbook` with the moving average of the weeks in stock; `textbook` is
average sales × time + z·σ·√time; `before` keeps what the shop's buyer did (six weeks of average sales on order and
hand). Run: python tests/proof/proof_inventory.py [--seeds 10] [--skus 600]; figures go to proof/inventory.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from known_demand import KnownShop, exposed, known_shop

from playbook.methods.demand import fit_demand
from playbook.methods.newsvendor import level_for_ratio, projected_stock

LEAD, WEEKS, LOST, HELD, DRAWS = 2, 8, 1.0, 0.2, 400
RATIO = LOST / (LOST + HELD)
PLAYERS = ("playbook", "oracle", "average", "textbook", "before")


def play(shop: KnownShop, start: int, player: str, seed: int) -> tuple[float, float]:
    """Cost of the eight weeks, and of those among them which an order of the game could still reach."""
    week = shop.week_of_year()
    units, exposure = exposed(shop, start)
    units, exposure = np.pad(units, ((0, 0), (0, WEEKS))), np.pad(exposure, ((0, 0), (0, WEEKS)))
    demand = shop.demand[:, start: start + WEEKS].sum(axis=2)
    on_hand = shop.closing[:, start - 1, -1].astype(float)
    arrivals = np.zeros((len(on_hand), WEEKS + LEAD))
    costs = []
    for k in range(WEEKS):
        now = start + k
        arrivals[:, k + LEAD] = order(shop, player, units[:, :now], exposure[:, :now], week, on_hand,
                                      arrivals[:, k: k + LEAD], seed + k)
        on_hand = on_hand + arrivals[:, k]
        sold = np.minimum(on_hand, demand[:, k])
        costs.append(LOST * (demand[:, k] - sold).sum() + HELD * (on_hand - sold).sum())
        served = np.where(demand[:, k] > on_hand, np.maximum(on_hand / np.maximum(demand[:, k], 1), 0.0), 1.0)
        on_hand = on_hand - sold
        units[:, now], exposure[:, now] = sold, np.where((sold > 0) | (on_hand > 0), served, 0.0)
    return float(sum(costs)), float(sum(costs[LEAD:]))


def order(shop: KnownShop, player: str, units, exposure, week, on_hand, arrivals, seed) -> np.ndarray:
    now = units.shape[1]
    position = on_hand + arrivals.sum(axis=1)
    if player in ("textbook", "before"):
        recent = units[:, -13:]
        mean = recent.mean(axis=1)
        if player == "before":
            return np.maximum(np.ceil(mean * 6) - position, 0)
        safety = 0.967 * recent.std(axis=1, ddof=1) * np.sqrt(LEAD + 1)
        return np.maximum(np.ceil(mean * (LEAD + 1) + safety) - position, 0)
    promo = shop.promo[:, now: now + LEAD + 1]
    if player == "oracle":
        rng = np.random.default_rng(seed)
        mean = shop.mean[:, now: now + LEAD + 1][:, None, :]
        noise = shop.noise[:, None, None]
        draws = rng.poisson(mean * rng.standard_gamma(np.broadcast_to(1 / noise, (len(mean), DRAWS, LEAD + 1))) * noise)
    else:
        law = fit_demand(units, exposure, week[:now], group=shop.category, promo=shop.promo[:, :now])
        if player == "average":
            seen = exposure[:, -13:].sum(axis=1)
            level = np.where(seen > 0, units[:, -13:].sum(axis=1) / np.maximum(seen, 1e-9), law.level())
            flat = np.ones_like(law.season)
            none = np.ones(len(level))
            law = replace(law, shape=level * seen + 0.1, pace=seen + 0.1 / np.maximum(level, 0.01), season=flat,
                          memory=none, drift=none, ramp=np.ones(1), age=np.zeros(len(level), int))
        draws = law.draw(LEAD + 1, n_draws=DRAWS, seed=seed, promo=promo)
    left = projected_stock(on_hand, arrivals, draws[:, :, :LEAD])
    return np.maximum(level_for_ratio(np.sort(draws[:, :, LEAD] - left, axis=1), RATIO), 0)


def main() -> None:
    """Plays the seeds not played yet and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--skus", type=int, default=600)
    asked = parser.parse_args()
    log = Path("proof/inventory.jsonl")
    log.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for seed in range(1, asked.seeds + 1):
        if any(row["seed"] == seed and row["skus"] == asked.skus for row in rows):
            continue
        shop = known_shop(seed, n_sku=asked.skus, more_weeks=WEEKS + LEAD + 1)
        row = {"seed": seed, "skus": asked.skus}
        for player in PLAYERS:
            began, cpu = time.perf_counter(), time.process_time()
            row[player], row[player + "_reached"] = play(shop, 156, player, 1000 * seed)
            row[player + "_seconds"], row[player + "_cpu"] = time.perf_counter() - began, time.process_time() - cpu
        rows.append(row)
        with log.open("a") as out:
            out.write(json.dumps(row) + "\n")
    print("player     cost   /oracle  reachable weeks /oracle  seconds a seed (cpu)")
    rows = [row for row in rows if row["skus"] == asked.skus]
    for player in PLAYERS:
        mean = {part: np.mean([row[player + part] / row["oracle" + part] for row in rows]) for part in ("", "_reached")}
        clock = [np.mean([row[player + part] for row in rows]) for part in ("_seconds", "_cpu")]
        print(f"{player:9s} {np.mean([row[player] for row in rows]):7.0f} {mean['']:8.3f} {mean['_reached']:12.3f}"
              f" {clock[0]:18.2f} ({clock[1]:.2f})")


if __name__ == "__main__":
    main()
