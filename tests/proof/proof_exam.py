"""The playbook sits its own exam: preset `tiny`, six closed-loop months a seed, true profit in the shop's own money.

Arms, all from the same evening and under the same chance: `as-before` (nobody decides anything new), `playbook` (the
decisions of chapters 03, 06, 07 and 10 on what the shop sees), `oracle` (knows the laws), and the playbook with one
area alone (`budgets` 03, `treatments` 06, `order_levels` 07, `prices` 10). The share is (playbook - as before) /
(oracle - as before), sums over seeds; its interval draws whole seeds anew. A month in which an arm decides nothing is
played as before.

    python tests/proof/proof_exam.py [--seeds 20] [--first 1] [--months 6]

Figures go to proof/exam.jsonl; seeds that are there are skipped, so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from playbook.demo import Shop  # noqa: E402
from playbook.training.decisions import AREAS, playbook_decisions  # noqa: E402
from playbook.training.play import play_on  # noqa: E402

LOG = ROOT / "proof" / "exam.jsonl"
LIMIT = 50 * 60
PARTS = ("margin", "marketing", "treatments", "holding", "ordering", "profit")
CHAPTER = {"budgets": "03", "treatments": "06", "order_levels": "07", "prices": "10"}


def known() -> list[dict]:
    return [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []


def account(shop: Shop, months: int) -> dict[str, float]:
    return {name: round(float(shop.profit().tail(months)[name].sum()), 2) for name in PARTS}


def sit(seed: int, months: int) -> dict:
    """All arms of one seed. Months in which arms are still the same shop are decided on once."""
    start = Shop(seed=seed, preset="tiny")
    row = {"seed": seed, "months": months}
    for player in ("as-before", "oracle"):
        row[player] = account(play_on(start, player, months), months)
    arms = {"playbook": start.copy(), **{area: start.copy() for area in AREAS}}
    same, decided = set(AREAS), dict.fromkeys(arms, 0)      # arms that have not left the road of as-before yet
    road = start.copy()
    for month in range(months):
        shared = playbook_decisions(road, areas=[a for a in AREAS if a in same]) if same else {}
        for name, twin in arms.items():
            if name == "playbook":
                decisions = shared if month == 0 else playbook_decisions(twin)
            elif name in same:
                decisions = {name: shared[name]} if name in shared else {}
            else:
                decisions = playbook_decisions(twin, areas=[name])
            decided[name] += bool(decisions)
            same.discard(name if decisions else "")
            twin.advance(decisions or None)
        road.advance(None)
    return {**row, **{name: account(twin, months) for name, twin in arms.items()}, "months_decided": decided}


def report(rows: list[dict]) -> None:
    before, oracle = (np.array([r[a]["profit"] for r in rows]) for a in ("as-before", "oracle"))
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(rows), (4000, len(rows)))
    print(f"{len(rows)} seeds, {rows[0]['months']} months; as before earns {before.mean():,.0f} EUR on average, the "
          f"oracle {oracle.mean():,.0f}")
    for name in ("playbook", *AREAS):
        gain = np.array([r[name]["profit"] for r in rows]) - before
        low, high = np.quantile(gain[drawn].mean(1), [0.05, 0.95])
        share = gain.sum() / (oracle - before).sum()
        shares = np.quantile(gain[drawn].sum(1) / (oracle - before)[drawn].sum(1), [0.05, 0.95])
        lost = [r["seed"] for r, g in zip(rows, gain, strict=True) if g < 0]
        decided = np.mean([r["months_decided"][name] for r in rows])
        label = f"{name} ({CHAPTER[name]})" if name in CHAPTER else name
        print(f"{label:18s} better on {(gain > 0).sum()}, equal on "
              f"{(gain == 0).sum()} of {len(gain)}; gain {gain.mean():,.0f} EUR (90 % {low:,.0f} to {high:,.0f}), "
              f"share {share:.0%} (90 % {shares[0]:.0%} to {shares[1]:.0%}); decided in {decided:.1f} months"
              + (f"; lost on seeds {lost}" if lost else ""))
    for r in rows:
        gain = r["playbook"]["profit"] - r["as-before"]["profit"]
        if gain < 0:
            worst = min(AREAS, key=lambda a: r[a]["profit"])
            print(f"  seed {r['seed']} lost {-gain:,.0f} EUR; the worst area alone is {worst} ({CHAPTER[worst]}): "
                  f"{r[worst]['profit'] - r['as-before']['profit']:,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--months", type=int, default=6)
    asked = parser.parse_args()
    began, wanted = time.time(), range(asked.first, asked.first + asked.seeds)
    done = {(r["seed"], r["months"]) for r in known()}
    for seed in wanted:
        if (seed, asked.months) in done or time.time() - began > LIMIT:
            continue
        row = sit(seed, asked.months)
        LOG.parent.mkdir(exist_ok=True)
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        gains = {a: round(row[a]["profit"] - row["as-before"]["profit"]) for a in ("playbook", *AREAS, "oracle")}
        print(seed, gains, f"{time.time() - began:.0f} s", flush=True)
    rows = [r for r in known() if r["seed"] in wanted and r["months"] == asked.months]
    if rows:
        report(rows)


if __name__ == "__main__":
    main()
