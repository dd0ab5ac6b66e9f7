"""The lost-sales game: weekly orders, two weeks' lead time, a lost sale costs 1, a unit
held a week costs .2.

Five players meet the same eight weeks of the same shop and see only their own sales.
`oracle` knows the demand law and orders like `playbook`; `average` orders like
`playbook` with the moving average of the weeks in stock; `textbook` is average sales ×
time + z·σ·√time; `before` keeps what the shop's buyer did (six weeks of average sales
on order and hand); `today` is the playbook without the shop's own price plan: prices
stay as on the day (only where prices move). Nothing on the shelf's way at the start:
what is ordered in week k is there in week k + 2.

Run: python tests/proof/proof_inventory.py [--seeds 10] [--skus 600]; figures go to
proof/inventory.jsonl. The shop is the tests' own, whose law is written down;
`proof_goods.py` plays the same game on the demo shop.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from known_demand import exposed, known_shop

from playbook.methods.demand import SalesWeeks, fit_demand
from playbook.methods.newsvendor import level_for_ratio

LEAD, WEEKS, LOST, HELD, DRAWS, START = 2, 8, 1.0, 0.2, 400, 156
RATIO = LOST / (LOST + HELD)
PLAYERS = ("playbook", "oracle", "average", "textbook", "before", "today")


@dataclass(frozen=True)
class Game:
    """What a shop knows when the game begins (sales, exposure: sku × past week; week of
    the year, promotion and price: past weeks and those ahead, its own plan; category;
    shelf), and what only the referee knows: demand ahead, and draws of its law for
    three weeks from the k-th on: `law(k, seed)` is (sku, draw, week).
    """

    units: np.ndarray
    exposure: np.ndarray
    week: np.ndarray
    promo: np.ndarray
    group: np.ndarray
    on_hand: np.ndarray
    demand: np.ndarray
    law: Callable[[int, int], np.ndarray]
    price: np.ndarray | None = None


def projected_stock(on_hand: np.ndarray, arrivals: np.ndarray, demand: np.ndarray) -> np.ndarray:
    """Stock left in each simulated future when the next order would arrive, sales lost
    where there is none.

    `arrivals` is (sku, period) and is received before that period's demand; `demand` is
    (sku, draw, period).
    """
    stock = np.repeat(np.asarray(on_hand, dtype=float)[:, None], demand.shape[1], axis=1)
    for period in range(demand.shape[2]):
        stock = np.maximum(stock + arrivals[:, [period]] - demand[:, :, period], 0)
    return stock


def known_game(seed: int, skus: int) -> Game:
    """The game on the tests' shop."""
    shop = known_shop(seed, n_sku=skus, more_weeks=WEEKS + LEAD + 1)
    units, exposure = exposed(shop, START)
    noise = shop.noise[:, None, None]

    def law(k: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        mean = shop.mean[:, None, START + k : START + k + LEAD + 1]
        return rng.poisson(
            mean * rng.standard_gamma(np.broadcast_to(1 / noise, (skus, DRAWS, LEAD + 1))) * noise
        )

    return Game(
        units,
        exposure,
        shop.week_of_year(),
        shop.promo,
        shop.category,
        shop.closing[:, START - 1, -1].astype(float),
        shop.demand[:, START : START + WEEKS].sum(axis=2),
        law,
    )


def play(game: Game, player: str, seed: int) -> tuple[float, float]:
    """Cost of the eight weeks, and of those among them which an order of the game could
    still reach.
    """
    start = game.units.shape[1]
    units, exposure = (np.pad(part, ((0, 0), (0, WEEKS))) for part in (game.units, game.exposure))
    on_hand, arrivals, costs = game.on_hand.copy(), np.zeros((len(units), WEEKS + LEAD)), []
    for k in range(WEEKS):
        now, demand = start + k, game.demand[:, k]
        arrivals[:, k + LEAD] = order(
            game,
            player,
            units[:, :now],
            exposure[:, :now],
            on_hand,
            arrivals[:, k : k + LEAD],
            seed + k,
        )
        on_hand = on_hand + arrivals[:, k]
        sold = np.minimum(on_hand, demand)
        costs.append(LOST * (demand - sold).sum() + HELD * (on_hand - sold).sum())
        served = np.where(demand > on_hand, np.maximum(on_hand / np.maximum(demand, 1), 0.0), 1.0)
        on_hand = on_hand - sold
        units[:, now], exposure[:, now] = sold, np.where((sold > 0) | (on_hand > 0), served, 0.0)
    return float(sum(costs)), float(sum(costs[LEAD:]))


def order(game: Game, player: str, units, exposure, on_hand, arrivals, seed) -> np.ndarray:
    now = units.shape[1]
    position = on_hand + arrivals.sum(axis=1)
    if player in ("textbook", "before"):
        recent = units[:, -13:]
        mean = recent.mean(axis=1)
        if player == "before":
            return np.maximum(np.ceil(mean * 6) - position, 0)
        safety = 0.967 * recent.std(axis=1, ddof=1) * np.sqrt(LEAD + 1)
        return np.maximum(np.ceil(mean * (LEAD + 1) + safety) - position, 0)
    if player == "oracle":
        draws = game.law(now - game.units.shape[1], seed)
    else:
        promo, price, plan = game.promo[:, now : now + LEAD + 1], None, None
        if game.price is not None:
            price, plan = (
                game.price[:, :now],
                game.price[:, now : now + LEAD + 1] / game.price[:, [now - 1]],
            )
        law = fit_demand(
            SalesWeeks(
                units,
                exposure,
                game.week[:now],
                game.group,
                promo=game.promo[:, :now],
                price=price,
            ),
            plan=promo,
            is_price_planned=player == "playbook",
        )
        if player == "average":
            seen = exposure[:, -13:].sum(axis=1)
            level = np.where(
                seen > 0, units[:, -13:].sum(axis=1) / np.maximum(seen, 1e-9), law.level()
            )
            flat = np.ones_like(law.season)
            none = np.ones(len(level))
            law = replace(
                law,
                shape=level * seen + 0.1,
                pace=seen + 0.1 / np.maximum(level, 0.01),
                season=flat,
                memory=none,
                drift=none,
                ramp=np.ones(1),
                age=np.zeros(len(level), int),
                response=0.0,
            )
        draws = law.draw(
            LEAD + 1,
            n_draws=DRAWS,
            seed=seed,
            promo=promo,
            price=plan if player == "playbook" else None,
        )
    left = projected_stock(on_hand, arrivals, draws[:, :, :LEAD])
    return np.maximum(level_for_ratio(np.sort(draws[:, :, LEAD] - left, axis=1), RATIO), 0)


def played(game: Game, seed: int) -> dict[str, float]:
    """Costs and seconds of every player."""
    row = {}
    for player in PLAYERS if game.price is not None else PLAYERS[:-1]:
        began, cpu = time.perf_counter(), time.process_time()
        row[player], row[player + "_reached"] = play(game, player, 1000 * seed)
        row[player + "_seconds"], row[player + "_cpu"] = (
            time.perf_counter() - began,
            time.process_time() - cpu,
        )
    return row


def table(rows: list[dict]) -> None:
    """Mean cost and time of every player, and cost over the oracle's, seed by seed."""
    print(f"{len(rows)} seeds     cost   /oracle  reachable weeks /oracle  seconds a seed (cpu)")
    for player in [player for player in PLAYERS if player in rows[0]]:
        mean = {
            part: np.mean([row[player + part] / row["oracle" + part] for row in rows])
            for part in ("", "_reached")
        }
        clock = [np.mean([row[player + part] for row in rows]) for part in ("_seconds", "_cpu")]
        print(
            f"{player:9s} {np.mean([row[player] for row in rows]):9.0f} {mean['']:8.3f} {mean['_reached']:12.3f}"
            f" {clock[0]:18.2f} ({clock[1]:.2f})"
        )
    for rival in ("textbook", "average"):
        print(
            f"cheaper than {rival} on {sum(row['playbook'] < row[rival] for row in rows)} of {len(rows)} seeds"
        )


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
        rows.append(
            {"seed": seed, "skus": asked.skus, **played(known_game(seed, asked.skus), seed)}
        )
        with log.open("a") as out:
            out.write(json.dumps(rows[-1]) + "\n")
    table([row for row in rows if row["skus"] == asked.skus])


if __name__ == "__main__":
    main()
