"""Timings of the value models: a million customers, and bootstrap refits. Prints CPU
and wall seconds per step.

python tests/benchmarks/bench_ltv.py [customers]
"""

import sys
import time

import duckdb
import ibis
import numpy as np
import pandas as pd

from playbook.measures.customer_windows import purchase_history
from playbook.methods.btyd import CountFit, expected_purchases, fit_counts


def drawn(n: int, seed: int = 1) -> pd.DataFrame:
    """Customer days of n customers drawn by the story BG/NBD tells."""
    rng = np.random.default_rng(seed)
    age, rate, drop = (
        rng.integers(1, 1000, n),
        rng.gamma(0.25, 1 / 4.5, n) / 7,
        rng.beta(0.8, 2.5, n),
    )
    who, day, now, alive = [np.arange(n)], [1000 - age], np.zeros(n), np.arange(n)
    while len(alive):
        now[alive] += rng.exponential(1 / np.maximum(rate[alive], 1e-12))
        alive = alive[now[alive] < age[alive]]
        who.append(alive)
        day.append((1000 - age[alive] + np.ceil(now[alive])).astype(int))
        alive = alive[rng.random(len(alive)) >= drop[alive]]
    frame = pd.DataFrame(
        {
            "customer_id": np.char.add("c", np.concatenate(who).astype(str)),
            "day": np.concatenate(day),
        }
    )
    frame = frame.drop_duplicates().assign(
        day_on=lambda t: pd.Timestamp("2024-01-01") + pd.to_timedelta(t.day, "D")
    )
    return frame.assign(orders=1, units=1, revenue=10.0, margin=4.0).drop(columns="day")


def refit_resampled(fit: CountFit, history: pd.DataFrame, *, n: int, seed: int = 0) -> pd.DataFrame:
    """`n` bootstrap refits (customers resampled, started at the fit): one row per refit:
    parameters, is_converged. Their spread tells how well the parameters are known; it is
    not an interval for purchases to come.
    """
    rng, rows = np.random.default_rng(seed), []
    for k in range(n):
        drawn = rng.multinomial(len(history), np.full(len(history), 1 / len(history)))
        sample = history.assign(n=drawn)[drawn > 0]
        again = fit_counts(sample, model=fit.model, engine="own", start=fit)
        rows.append({"refit": k, "is_converged": again.is_converged} | (again.params or {}))
    return pd.DataFrame(rows)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    con = ibis.duckdb.connect()
    table = con.create_table("customer_days", drawn(n))
    print(
        f"{n:,} customers, duckdb {duckdb.__version__}\n{'step':32s} {'wall s':>8s} {'cpu s':>8s}"
    )
    kept = {}
    steps = {
        "purchase history": lambda: purchase_history(table, as_of="2026-09-27"),
        "fit BG/NBD (own)": lambda: fit_counts(kept["purchase history"], engine="own"),
        "score everybody": lambda: expected_purchases(
            kept["fit BG/NBD (own)"], kept["purchase history"], days=91
        ),
        "60 bootstrap refits (23,570)": lambda: refit_resampled(
            kept["fit BG/NBD (own)"], kept["purchase history"].head(23_570), n=60
        ),
    }
    for name, step in steps.items():
        wall, cpu = time.perf_counter(), time.process_time()
        kept[name] = step()
        print(f"{name:32s} {time.perf_counter() - wall:8.2f} {time.process_time() - cpu:8.2f}")


if __name__ == "__main__":
    main()
