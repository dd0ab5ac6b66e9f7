"""How long 50,000 skus take from weekly numbers to an order list, and how close
simulated fill comes to an aim.

Run: python tests/benchmarks/bench_inventory.py [--skus 50000] [--weeks 104]. Wall and
CPU seconds, one process.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playbook.chapters.inventory_planning.ordering import (
    plan_orders,
    spend_budget,
)
from playbook.methods.demand import DemandLaw, SalesWeeks, fit_demand


def shop(n: int, weeks: int, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Weekly sales, exposure, category of a shop with steady skus of every size, a
    tenth of the weeks cut short.
    """
    rng = np.random.default_rng(seed)
    level = rng.lognormal(0.3, 1.4, n)
    season = 1 + 0.4 * np.cos(2 * np.pi * np.arange(weeks) / 52)
    exposure = np.where(rng.random((n, weeks)) < 0.1, rng.random((n, weeks)), 1.0)
    units = rng.poisson(
        level[:, None] * season * exposure * rng.gamma(6, 1 / 6, (n, weeks))
    ).astype(float)
    return units, exposure, rng.integers(0, 20, n), level


def shelf(available, incoming, incoming_days, pack, cost, aim) -> pd.DataFrame:
    """What `plan_orders` asks of each sku."""
    columns = {
        "available": available,
        "incoming": incoming,
        "incoming_days": incoming_days,
        "pack_units": pack,
        "unit_cost": cost,
        "aim_share": aim,
    }
    return pd.DataFrame(columns).assign(min_order_units=0.0, yield_share=1.0, margin=1.0)


def timed(name: str, rows: list, action):
    wall, cpu = time.perf_counter(), time.process_time()
    found = action()
    rows.append((name, time.perf_counter() - wall, time.process_time() - cpu))
    return found


def fill_reached(aim: float, seed: int = 5, n: int = 400, weeks: int = 60) -> float:
    """Share of units served in a closed loop with known demand, lots of 1 to 12, lead
    times of one to three weeks.
    """
    rng = np.random.default_rng(seed)
    level, one, pack = rng.lognormal(0.8, 1.0, n), np.ones(n), rng.choice([1, 1, 6, 12], n)
    law = DemandLaw(
        level * 50,
        50 * one,
        0.98 * one,
        np.ones((n, 52)),
        0.1 * one,
        one,
        one,
        np.ones(26),
        np.full(n, 25),
        0,
    )
    leads = rng.integers(1, 4, (n, 400))
    stock, pipe, served, asked = np.ceil(level * 5), np.zeros((n, 5)), 0.0, 0.0
    for week in range(weeks):
        found = plan_orders(
            law,
            shelf(stock, pipe.sum(axis=1), 5.0, pack, one, aim),
            7.0 * leads[:, :200],
            seed=week,
        )
        pipe[np.arange(n), leads[np.arange(n), 200 + week]] += found.units
        stock = stock + pipe[:, 0]
        pipe = np.concatenate([pipe[:, 1:], np.zeros((n, 1))], axis=1)
        demand = rng.poisson(level * rng.gamma(10, 0.1, n))
        sold = np.minimum(stock, demand)
        stock = stock - sold
        if week >= 12:
            served, asked = served + sold.sum(), asked + demand.sum()
    return float(served / asked)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--skus", type=int, default=50_000)
    parser.add_argument("--weeks", type=int, default=104)
    asked = parser.parse_args()
    n, rows = asked.skus, []
    units, exposure, group, level = shop(n, asked.weeks)
    rng = np.random.default_rng(2)
    cost, pack = rng.uniform(2, 40, n), rng.choice([1, 6, 12], n)
    week = np.arange(asked.weeks) % 52
    price = np.repeat(rng.uniform(0.9, 1.1, (n, -(-asked.weeks // 13))), 13, axis=1)[
        :, : asked.weeks
    ]
    law = timed(
        "demand laws",
        rows,
        lambda: fit_demand(SalesWeeks(units, exposure, week, group, price=price)),
    )
    plan = timed(
        "orders",
        rows,
        lambda: plan_orders(
            law,
            shelf(np.ceil(level * 2), 0.0, 0.0, pack, cost, rng.choice([0.9, 0.95, 0.97], n)),
            rng.gamma(9, 1.6, (n, 200)),
        ),
    )
    timed(
        "budget",
        rows,
        lambda: spend_budget(plan, cost, cost, 0.5 * (plan.units * cost).sum()),
    )
    print(f"{n} skus, {asked.weeks} weeks      wall s   cpu s")
    for name, wall, cpu in [*rows, ("all", *np.sum([row[1:] for row in rows], axis=0))]:
        print(f"{name:24s} {wall:8.2f} {cpu:8.2f}")
    for aim in (0.9, 0.95, 0.98):
        print(f"fill aim {aim:.2f}  reached {fill_reached(aim):.4f}")


if __name__ == "__main__":
    main()
