"""Count models on tiny, huge and degenerate customers: nothing that is not a number, nothing that
fails without saying so.

`python tests/proof/proof_fits.py [tiny|huge|degenerate] [how many]` adds to proof/fits.jsonl what is
not there yet and prints the summary. Seeds are 801 and up. Every set is fitted by all four models;
each fit that gives parameters is asked for P(alive) and for purchases a week, a year and ten years
ahead. A fault is an answer that is not a finite number from 0 up, a P outside 0..1, an exception
that is not a PlaybookError, a fit called identified without parameters, or one that is not and does
not say why.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).resolve().parents[2] / "proof" / "fits.jsonl"
KINDS, FIRST_SEED = ("tiny", "huge", "degenerate"), 801


def main() -> None:
    """Run what was asked for, or all, then print what the file holds."""
    part, many = (sys.argv[1:] + ["", "100"][len(sys.argv) - 1 :])[:2]
    known = {(row["kind"], row["seed"]) for row in rows()}
    for kind in KINDS:
        for seed in range(FIRST_SEED, FIRST_SEED + int(many)):
            if part in ("", kind) and (kind, seed) not in known:
                FILE.parent.mkdir(exist_ok=True)
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(tried(kind, seed)) + "\n")
    found = pd.DataFrame(rows())
    told = found.groupby("kind").agg(
        sets=("seed", "size"),
        fits=("fits", "sum"),
        identified=("identified", "sum"),
        answers=("answers", "sum"),
        faults=("n_faults", "sum"),
        slowest_seconds=("seconds", "max"),
    )
    print(told.to_string())
    for row in found[found.n_faults > 0].itertuples():
        print(row.kind, row.seed, row.faults)


def rows() -> list[dict]:
    """What is already proven."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    return [json.loads(line) for line in lines]


def customers(kind: str, seed: int) -> pd.DataFrame:
    """A random set: x, t_x, T in days."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    if kind == "tiny":
        return histories(rng, int(rng.integers(1, 12)), rng.uniform(0.001, 0.2), 400)
    if kind == "huge":
        n = int(rng.choice([100, 400, 1_500]))
        return histories(rng, n, float(np.exp(rng.uniform(-7, 2))), int(rng.choice([60, 1e3, 1e4])))
    n, shape = int(rng.integers(2, 400)), int(rng.integers(8))
    table = histories(rng, n, 0.05, 500)
    age = int(rng.integers(1, 700))
    if shape == 0:  # everybody the same
        x = int(rng.integers(1, 30))
        return pd.DataFrame({"x": [x] * n, "t_x": [min(x, age)] * n, "T": [age] * n})
    if shape == 1:  # nobody came back but one
        table = table.assign(x=0, t_x=0)
        table.loc[0, ["x", "t_x"]] = 1, int(table["T"][0])
    if shape == 2:  # all of no age
        table = table.assign(x=0, t_x=0, T=0)
    if shape == 3:  # all bought to the last day
        table = table.assign(x=table.x + 1, t_x=table["T"])
    if shape == 4:  # all stopped at once
        table = table.assign(x=1, t_x=1, T=table["T"].clip(lower=1))
    if shape == 5:  # every day a purchase
        table = table.assign(x=table["T"], t_x=table["T"])
    if shape == 6:  # one whale among one-time buyers
        table = table.assign(x=0, t_x=0)
        table.loc[0, ["x", "t_x", "T"]] = 3_000, 3_000, 3_001
    if shape == 7:  # like clockwork: no spread of the rate, drop-out the same for all
        table["T"] = 364
        table["x"] = np.minimum(rng.geometric(0.1, n), 52)
        table["t_x"] = 7 * table.x
        table.loc[table.t_x > 364, "t_x"] = 364
    return table


def histories(rng: np.random.Generator, n: int, rate: float, longest: int) -> pd.DataFrame:
    """Purchases at gamma rates until a random end."""
    age = rng.integers(1, longest + 1, n)
    lived = np.minimum(age, rng.exponential(longest * rng.uniform(0.05, 3), n)).astype(int)
    x = np.minimum(rng.poisson(rng.gamma(0.5, 2 * rate, n) * lived), lived)
    last = np.where(x > 0, np.ceil(lived * rng.beta(np.maximum(x, 1), 1)), 0).astype(int)
    return pd.DataFrame({"x": x, "t_x": np.maximum(last, x), "T": np.maximum(age, x)})


def tried(kind: str, seed: int) -> dict:
    """All models on one set."""
    from playbook.methods.btyd_models import MODELS

    table, started = customers(kind, seed), time.process_time()
    told = {"fits": 0, "identified": 0, "answers": 0}
    faults = []
    for model in MODELS:
        try:
            faults += asked(table, model, told)
        except Exception as error:  # every kind of failure is what is looked for
            if type(error).__name__ != "PlaybookError":
                faults.append(f"{model}: {type(error).__name__}: {error}")
    seconds = time.process_time() - started
    counts = {"faults": faults, "n_faults": len(faults), "seconds": seconds}
    return {"kind": kind, "seed": seed, "n": len(table), **told, **counts}


def asked(table: pd.DataFrame, model: str, told: dict) -> list[str]:
    """Faults of one fit and of what it answers."""
    from playbook.methods.btyd import expected_purchases, fit_counts, p_alive

    fit = fit_counts(table, model=model, engine="own")
    told["fits"] += 1
    told["identified"] += fit.is_identified
    faults = []
    if not fit.is_identified and not fit.reason:
        faults.append(f"{model}: not identified, and no reason")
    if fit.params is None:
        return faults + [f"{model}: identified without parameters"] * fit.is_identified
    if not np.isfinite(list(fit.params.values())).all() or not np.isfinite(fit.log_likelihood):
        faults.append(f"{model}: {fit.params} {fit.log_likelihood}")
    alive = p_alive(fit, table)
    told["answers"] += len(alive)
    if not ((alive >= 0) & (alive <= 1)).all():
        faults.append(f"{model}: P(alive) {alive.min()} to {alive.max()}")
    for days in (7, 365, 3_650):
        ahead = expected_purchases(fit, table, days=days)
        told["answers"] += len(ahead)
        if not (np.isfinite(ahead) & (ahead >= 0)).all():
            faults.append(
                f"{model}: {days} days ahead: {np.sum(~np.isfinite(ahead))} of {len(ahead)}"
            )
    return faults


if __name__ == "__main__":
    main()
