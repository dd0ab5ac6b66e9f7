"""The playbook sits its own exam: preset `tiny`, six closed-loop months a seed, true
profit in the shop's own money.

Arms, all from the same evening and under the same chance: `as-before` (nobody decides
anything new), `playbook` (the decisions of chapters 03, 06, 07 and 10 on what the shop
sees), `oracle` (knows the laws), and the playbook with one area alone (`budgets` 03,
`treatments` 06, `order_levels` 07, `prices` 10). The share is (playbook - as before) /
(oracle - as before), sums over seeds; its interval draws whole seeds anew. A month in
which an arm decides nothing is played as before.

    python tests/proof/proof_exam.py [--seeds 20] [--first 1] [--months 6]

The players come first, the areas after them. Figures go to proof/exam.jsonl; what is
there is skipped, so that a stopped run goes on.
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

from playbook.demo.shop import Shop
from playbook.training.decisions import AREAS, playbook_decisions
from playbook.training.play import PLAYERS, play_on

LOG = ROOT / "proof" / "exam.jsonl"
LIMIT = 50 * 60
PARTS = ("margin", "marketing", "treatments", "holding", "ordering", "profit")
CHAPTER = {"budgets": " (03)", "treatments": " (06)", "order_levels": " (07)", "prices": " (10)"}


def known() -> list[dict]:
    return [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []


def account(shop: Shop, months: int) -> dict[str, float]:
    return {name: round(float(shop.profit().tail(months)[name].sum()), 2) for name in PARTS}


def sit(start: Shop, months: int) -> dict:
    """The three players."""
    return {player: account(play_on(start, player, months), months) for player in PLAYERS}


def sit_by_area(start: Shop, months: int) -> dict:
    """The playbook with one area alone. Months in which arms are still the shop of
    as-before are decided on once.
    """
    arms, decided = {area: start.copy() for area in AREAS}, dict.fromkeys(AREAS, 0)
    road, same = start.copy(), set(AREAS)
    for _ in range(months):
        shared = playbook_decisions(road, areas=[a for a in AREAS if a in same]) if same else {}
        for name, twin in arms.items():
            decisions = {k: v for k, v in shared.items() if k == name}
            if name not in same:
                decisions = playbook_decisions(twin, areas=[name])
            elif decisions:
                same.discard(name)
            decided[name] += bool(decisions)
            twin.advance(decisions or None)
        road.advance(None)
    return {
        **{name: account(twin, months) for name, twin in arms.items()},
        "months_decided": decided,
    }


def report(rows: list[dict], areas: dict[int, dict]) -> None:
    """The share and its interval, how often the playbook was better, and where it lost
    which area alone lost most.
    """
    before = np.array([r["as-before"]["profit"] for r in rows])
    oracle = np.array([r["oracle"]["profit"] for r in rows])
    print(
        f"{len(rows)} seeds, {rows[0]['months']} months; as before earns {before.mean():,.0f} EUR on average, the "
        f"oracle {oracle.mean():,.0f}"
    )
    for name in ("playbook", *AREAS):
        of = [(r, r if name == "playbook" else areas.get(r["seed"])) for r in rows]
        of = [(r, one[name]["profit"]) for r, one in of if one]
        if not of:
            continue
        base = np.array([r["as-before"]["profit"] for r, _ in of])
        room = np.array([r["oracle"]["profit"] for r, _ in of]) - base
        gain = np.array([profit for _, profit in of]) - base
        drawn = np.random.default_rng(0).integers(0, len(gain), (4000, len(gain)))
        low, high = np.quantile(gain[drawn].mean(1), [0.05, 0.95])
        least, most = np.quantile(gain[drawn].sum(1) / room[drawn].sum(1), [0.05, 0.95])
        lost = [r["seed"] for (r, _), g in zip(of, gain, strict=True) if g < 0]
        print(
            f"{name + CHAPTER.get(name, ''):17s} better on {(gain > 0).sum()}, equal on {(gain == 0).sum()} of "
            f"{len(gain)}; gain {gain.mean():,.0f} EUR (90 % {low:,.0f} to {high:,.0f}), share "
            f"{gain.sum() / room.sum():.0%} (90 % {least:.0%} to {most:.0%})"
            + (f"; lost on {lost}" if lost else "")
        )
    for r in rows:
        gain, alone = r["playbook"]["profit"] - r["as-before"]["profit"], areas.get(r["seed"])
        if gain < 0 and alone:
            worst = min(AREAS, key=lambda a: alone[a]["profit"])
            print(
                f"  seed {r['seed']} lost {-gain:,.0f} EUR; the worst area alone is {worst}{CHAPTER[worst]}: "
                f"{alone[worst]['profit'] - r['as-before']['profit']:,.0f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--months", type=int, default=6)
    asked = parser.parse_args()
    began, wanted = time.time(), range(asked.first, asked.first + asked.seeds)
    for kind, arms in (("players", sit), ("areas", sit_by_area)):
        done = {(r["kind"], r["seed"], r["months"]) for r in known()}
        for seed in wanted:
            if (kind, seed, asked.months) in done or time.time() - began > LIMIT:
                continue
            row = arms(Shop(seed=seed, preset="tiny"), asked.months)
            LOG.parent.mkdir(exist_ok=True)
            with LOG.open("a", encoding="utf-8") as log:
                log.write(
                    json.dumps({"kind": kind, "seed": seed, "months": asked.months, **row}) + "\n"
                )
            print(
                seed,
                {a: round(row[a]["profit"]) for a in (*PLAYERS, *AREAS) if a in row},
                f"{time.time() - began:.0f} s",
                flush=True,
            )
    mine = [r for r in known() if r["seed"] in wanted and r["months"] == asked.months]
    rows = [r for r in mine if r["kind"] == "players"]
    if rows:
        report(rows, {r["seed"]: r for r in mine if r["kind"] == "areas"})


if __name__ == "__main__":
    main()
