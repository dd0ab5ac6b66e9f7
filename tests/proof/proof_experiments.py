"""Tests of no difference and of true lifts, read by the playbook's own path, and the
demo shop's planted fault.

`python tests/proof/proof_experiments.py [aa|coverage|demo] [how many]` adds to
proof/experiments.jsonl what is not there yet and prints the summary of all that is.
`aa` and `coverage` go in blocks of 1,000 tests, `demo` in seeds.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).resolve().parents[2] / "proof" / "experiments.jsonl"
BLOCK = 1_000
MONTH, WHERE = "2026-08", ("purchase", "mobile")


def main() -> None:
    """Run what was asked for, or aa and coverage in full, then print every figure the
    file holds.
    """
    part, many = (sys.argv[1:] + ["", ""])[:2]
    for name, run, default in (("aa", aa, 20), ("coverage", coverage, 5), ("demo", demo, 0)):
        for number in range(int(many or default)) if part in ("", name) else ():
            if (name, number) not in {(row["part"], row["number"]) for row in rows()}:
                FILE.parent.mkdir(exist_ok=True)
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"part": name, "number": number, **run(number)}) + "\n")
    summary(pd.DataFrame(rows()))


def rows() -> list[dict]:
    """What is already proven."""
    return (
        [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
        if FILE.exists()
        else []
    )


def arms(rng: np.random.Generator, lift: float) -> tuple[list[dict], list[dict], float]:
    """Two arms of one test: sums of conversion and of spend with its past, and the true
    lift of spend.
    """
    n, share = int(rng.integers(1_000, 8_000)), rng.uniform(0.02, 0.12)
    conversion, spend = [], []
    for chance in (share, share * (1 + lift)):
        before = np.where(rng.random(n) < 0.4, rng.lognormal(3, 1, n), 0.0)
        bought = rng.random(n) < chance
        paid = np.where(bought, rng.lognormal(3.2, 0.7, n) + 0.4 * before, 0.0)
        k = int(bought.sum())
        conversion.append({"n": n, "mean": k / n, "var": k * (n - k) / n / (n - 1)})
        cov = np.cov(paid, before)
        spend.append(
            {
                "n": n,
                "mean": paid.mean(),
                "var": cov[0, 0],
                "mean_y": before.mean(),
                "var_y": cov[1, 1],
                "cov_xy": cov[0, 1],
            }
        )
    return (
        conversion,
        spend,
        lift,
    )  # spend per buyer does not depend on the arm, so its lift is that of conversion


def aa(number: int) -> dict:
    """A thousand tests of nothing: how many are called."""
    from playbook.methods.experiment import compare_means

    rng, called = np.random.default_rng([1, number]), {"conversion": 0, "spend": 0}
    for _ in range(BLOCK):
        conversion, spend, _lift = arms(rng, 0.0)
        called["conversion"] += compare_means(*conversion)["p"] < 0.05
        called["spend"] += compare_means(*spend)["p"] < 0.05
    return {"n": BLOCK, **{k: int(v) for k, v in called.items()}}


def coverage(number: int) -> dict:
    """A thousand true lifts between -20 % and +20 %: how many lie inside their 95 %
    interval.
    """
    from playbook.methods.experiment import compare_means

    rng, inside = np.random.default_rng([2, number]), {"conversion": 0, "spend": 0}
    for _ in range(BLOCK):
        conversion, spend, lift = arms(rng, float(rng.uniform(-0.2, 0.2)))
        for name, sides in (("conversion", conversion), ("spend", spend)):
            found = compare_means(*sides)
            inside[name] += found["low"] <= lift <= found["high"]
    return {"n": BLOCK, **{k: int(v) for k, v in inside.items()}}


def demo(number: int) -> dict:
    """One demo shop with the checkout fault and its twin without: is the fault the top
    leak, and its margin right?

    The truth is the twin's margin less the shop's, of phones in the days of the fault.
    The tests' lifts are those the simulator states (relative lift of orders).
    """
    from playbook.chapters.customer_journey.journey import leaks
    from playbook.chapters.customer_journey.verdicts import read_tests
    from playbook.chapters.customer_journey.visits import traffic_steps
    from playbook.demo.make import make_demo
    from playbook.store import open_store

    with tempfile.TemporaryDirectory() as folder:
        margin = {}
        for name, switches in (("broken", None), ("whole", {"checkout_fault": False})):
            place = make_demo(Path(folder) / name, seed=1_000 + number, switches=switches)
            shop = open_store(place, until=MONTH)
            truth = pd.read_parquet(place / "truth" / "incidents.parquet").set_index("incident")
            if name == "broken":
                first, last = truth.loc["checkout_fault", ["starts_on", "ends_on"]]
                found = leaks(
                    traffic_steps(shop.traffic, as_of=shop.as_of).daily,
                    as_of=shop.as_of,
                    orders=shop.sales_orders,
                ).iloc[0]
                later = open_store(place, until="2026-10")
                tests = read_tests(later.experiments, as_of=later.as_of).set_index("test_id")
                effects = pd.read_parquet(place / "truth" / "effects.parquet")
                effects = effects[effects["kind"] == "experiment"].set_index("test")["effect"]
            orders = shop.sales_orders
            orders = orders.filter(
                (orders.device == "mobile") & orders.ordered_on.between(first, last)
            )
            margin[name] = float(orders.margin.cast("float64").sum().to_pandas())
    lost = margin["whole"] - margin["broken"]
    inside = [bool(tests.loc[t, "low"] <= effects[t] <= tests.loc[t, "high"]) for t in tests.index]
    return {
        "is_top": (found["step"], found["device"]) == WHERE and found["kind"] == "fault",
        "true_margin": lost,
        "found_margin": float(found["lost_margin"]),
        "off": float(found["lost_margin"] / lost - 1),
        "in_range": bool(found["low"] <= lost <= found["high"]),
        "n": len(inside),
        "lifts_inside": sum(inside),
        "verdicts": ", ".join(f"{t}: {v}" for t, v in tests["verdict"].items()),
    }


def summary(found: pd.DataFrame) -> None:
    """The figures so far."""
    if found.empty:
        print("nothing yet")
        return
    for name, label in (
        ("aa", "false positives at 5 %"),
        ("coverage", "true lifts inside their 95 % interval"),
    ):
        part = found[found["part"] == name]
        if len(part):
            n = part["n"].sum()
            conversion, spend = part["conversion"].sum() / n, part["spend"].sum() / n
            print(f"{label}, {n:,} tests: conversion {conversion:.2%}, spend (CUPED) {spend:.2%}")
    part = found[found["part"] == "demo"]
    if len(part):
        print(
            f"demo shops: {len(part)}; fault is the top leak in {part['is_top'].sum():.0f}; margin off by "
            f"{part['off'].abs().median():.1%} in the middle, {part['off'].abs().max():.1%} at most; truth in range "
            f"{part['in_range'].sum():.0f}; lifts inside {part['lifts_inside'].sum():.0f} of {part['n'].sum():.0f}"
        )
        print(
            part[["number", "true_margin", "found_margin", "off", "verdicts"]]
            .round(3)
            .to_string(index=False)
        )


if __name__ == "__main__":
    main()
