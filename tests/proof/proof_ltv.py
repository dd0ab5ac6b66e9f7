"""Long proofs of chapter 05: no silent failure over random shops; coverage over demo seeds. Resumable.

    python tests/proof/proof_ltv.py fits [seeds]     python tests/proof/proof_ltv.py demo [seeds]

Writes one line per seed to proof/ltv_<what>.jsonl and skips the seeds already there; stops after 25 minutes.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.methods.btyd import MODELS, fit_counts

OUT = Path(__file__).resolve().parents[2] / "proof"


def one_fit(seed: int) -> dict:
    """A random shop, every model, two ways: unidentified or unconverged fits must say why."""
    rng = np.random.default_rng(seed)
    n, age = int(rng.integers(20, 3000)), rng.integers(1, int(rng.integers(60, 1200)), 3000)
    rate, drop = (rng.gamma(rng.gamma(1, 0.5) + 0.05, 1 / 6, 3000) / 7,
                  rng.beta(rng.gamma(1, 1) + 0.01, rng.gamma(2, 2) + 0.1, 3000))
    x, last, now, alive = np.zeros(3000), np.zeros(3000), np.zeros(3000), np.arange(3000)
    while len(alive):
        now[alive] += rng.exponential(1 / np.maximum(rate[alive], 1e-9))
        alive = alive[now[alive] < age[alive]]
        day = np.ceil(now[alive])
        x[alive] += day > last[alive]
        last[alive] = day
        alive = alive[rng.random(len(alive)) >= drop[alive]]
    history = pd.DataFrame({"x": x, "t_x": last, "T": age}).head(n)
    row = {"seed": seed, "n": n}
    for model in MODELS:
        fit = fit_counts(history, model=model)
        silent = (not fit.is_identified and not fit.reason) or (fit.is_identified and not fit.is_converged)
        row |= {model: fit.engine, f"{model}_identified": fit.is_identified, f"{model}_silent": silent}
    return row


def one_demo(seed: int) -> dict:
    """A demo shop: coverage pooled over totals and deciles, champion against naive, remaining value against the
    truth."""
    from playbook.demo import make_demo
    from playbook.ltv import backtest_ltv, customer_forecast, first_orders, interval_coverage, remaining_value
    from playbook.store import open_store

    with tempfile.TemporaryDirectory() as folder:
        shop = open_store(make_demo(Path(folder) / "shop", seed=seed), until="2026-10")
        traits = first_orders(shop.sales_orders, sales_lines=shop.sales_lines, products=shop.products).to_pandas()
        race = backtest_ltv(shop.customer_days, as_of=shop.as_of, basis="margin", traits=traits)
        share = interval_coverage(race).query("kind == 'pooled'")
        ahead = customer_forecast(shop.customer_days, race, as_of=shop.as_of, traits=traits)
        value = remaining_value(ahead, race, as_of=shop.as_of).set_index("channel")
        truth = pd.read_parquet(Path(shop.where) / "truth" / "customers.parquet", columns=["customer_id", "margin_12m"])
        true = ahead.customers.merge(truth, on="customer_id").groupby("channel").margin_12m.sum()
        true["all"] = true.sum()
        off = value.remaining / true - 1
        inside = (value.low <= true) & (true <= value.high)
    row = {"seed": seed, "model": race.model, "over_naive": float(race.verdict.over_naive_share.iloc[0])}
    row |= {f"{r.measure}_{r.level}": [int(r.n_intervals), float(r.covered_share)] for r in share.itertuples()}
    return row | {"off": off.round(4).to_dict(), "inside": inside.astype(bool).to_dict()}


def main() -> None:
    what, seeds = sys.argv[1] if len(sys.argv) > 1 else "fits", int(sys.argv[2]) if len(sys.argv) > 2 else 0
    one, many = (one_fit, seeds or 100) if what == "fits" else (one_demo, seeds or 20)
    OUT.mkdir(exist_ok=True)
    path, started = OUT / f"ltv_{what}.jsonl", time.monotonic()
    done = {json.loads(line)["seed"] for line in path.read_text().splitlines()} if path.exists() else set()
    for seed in range(1, many + 1):
        if seed in done or time.monotonic() - started > 1500:
            continue
        with path.open("a") as file:
            file.write(json.dumps(one(seed)) + "\n")
    rows = pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
    print(f"{what}: {len(rows)} seeds of {many}")
    if what == "fits":
        print(rows.filter(like="_silent").sum().to_string(), rows.filter(like="_identified").mean().to_string(),
              sep="\n")
    else:
        for column in [c for c in rows if c.startswith(("money_", "purchases_"))]:
            n, share = rows[column].map(lambda v: v[0]), rows[column].map(lambda v: v[1])
            print(column, f"{(n * share).sum() / n.sum():.3f}", f"{n.sum()} intervals")
        print(pd.DataFrame(list(rows.off)).describe().round(3).to_string())


if __name__ == "__main__":
    main()
