"""Does following chapter 03 pay? Preset `tiny`, three closed-loop months, every seed
against twins that do otherwise.

Four players take the same shop on from the same evening: `hold` keeps what was spent in
the last four weeks, `roas` moves money by last-touch ROAS within the same largest step
and total, `plan` follows the plan of every month, and `advice` follows it only where
its verdict is `move` and holds else. Net margin (true contribution margin, all refunds
to come taken off, less marketing) is counted over the three months, and again with six
more months in which all twins spend alike, because customers won or lost now buy later.

    python tests/proof/proof_channels.py loop [--seeds 10]
    python tests/proof/proof_channels.py presets [--seeds 8]

`presets` makes small `clean` and `confounded` shops: confounding flags, and fitted
returns against the truth with and without the shop's own geo tests. Figures go to
proof/channels.jsonl; seeds that are there are skipped.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from playbook.chapters.channel_roi import (
    channels,
    geo_tests,
    media_days,
    media_model,
    media_plan,
)
from playbook.demo.make import make_demo
from playbook.demo.shop import Shop
from playbook.measures.ad_spend import read_extract
from playbook.store import open_store

LOG = ROOT / "proof" / "channels.jsonl"
LIMIT = 25 * 60
STEP, MONTHS, AFTER = 0.2, 3, 6


def known() -> list[dict]:
    return [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []


def keep(row: dict) -> None:
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")


def fitted(folder: Path, *, with_tests: bool = True):
    shop = open_store(folder)
    spend = read_extract(shop.ad_spend, as_of=shop.as_of)
    log = {"refunds": shop.booked_refunds, "as_of": shop.as_of}
    tests = (
        geo_tests.geo_readings(
            shop.sales_orders, geo_tests=shop.geo_tests, ad_spend=shop.ad_spend, **log
        )
        if with_tests
        else None
    )
    weeks, _basis = media_days.media_frame(
        shop.sales_orders,
        spend=spend,
        channels=channels.budget_channels(spend, shop.channels),
        promotions=shop.promotions,
        **log,
    )
    model = media_model.fit_media(weeks, tests=geo_tests.geo_evidence(tests, weeks))
    return shop, spend, model


def budgets(player: str, folder: Path, start: dict[str, float]) -> dict[str, float]:
    if player == "hold":
        return start
    shop, spend, model = fitted(folder)
    if player == "roas":
        months = channels.channel_months(
            shop.sales_orders, spend=spend, refunds=shop.booked_refunds, as_of=shop.as_of
        )
        roas = channels.channel_pnl(months).set_index("channel").roas
        now = media_plan.response_table(model).set_index("channel").spend_now * 365.25 / 84
        plan, left = now * (1 - STEP), STEP * now.sum()
        for channel in roas.reindex(now.index).sort_values(ascending=False).index:
            take = min(left, 2 * STEP * now[channel])
            plan[channel], left = plan[channel] + take, left - take
        return plan.to_dict()
    plan = media_plan.plan_budget(model, largest_step=STEP)
    rows = plan.table[plan.table.channel != "(not spent)"].set_index("channel")
    return (rows.now if player == "advice" and plan.verdict != "move" else rows.plan).to_dict()


def loop(seeds: int) -> None:
    began, players = time.time(), ("hold", "roas", "plan", "advice")
    done = {r["seed"] for r in known() if r["kind"] == "loop"}
    for seed in range(1, seeds + 1):
        if seed in done or time.time() - began > LIMIT:
            continue
        start, row = Shop(seed=seed, preset="tiny"), {"kind": "loop", "seed": seed}
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["PLAYBOOK_CACHE"] = f"{scratch}/cache"
            folder = start.store(Path(scratch) / "shop")
            _shop, _spend, model = fitted(folder)
            now = (
                media_plan.response_table(model).set_index("channel").spend_now * 365.25 / 84
            ).to_dict()
            first = None
            for player in players:
                twin = start.copy()
                for month in range(MONTHS):
                    if player != "hold":
                        folder = twin.store(Path(scratch) / f"{player}{month}")
                    twin.advance({"budgets": budgets(player, folder, now)})
                    first = first or twin.month
                last = twin.month
                for _ in range(AFTER):
                    twin.advance({"budgets": now})
                book = twin.profit(first)
                net = book.margin - book.marketing
                row[player] = {
                    "three": net[book.month <= last].sum(),
                    "nine": net.sum(),
                    "margin": book.margin[book.month <= last].sum(),
                    "spend": book.marketing[:MONTHS].sum(),
                }
        keep(row)
        print(
            seed,
            {p: round(row[p]["nine"] - row["hold"]["nine"]) for p in players},
            f"{time.time() - began:.0f} s",
            flush=True,
        )
    rows = [r for r in known() if r["kind"] == "loop"]
    for span in ("three", "nine"):
        for player in ("plan", "advice"):
            for other in ("hold", "roas"):
                gain = np.array([r[player][span] - r[other][span] for r in rows])
                drawn = np.random.default_rng(0).choice(gain, (4000, len(gain))).mean(1)
                low, high = np.quantile(drawn, [0.05, 0.95])
                share = gain.sum() / sum(abs(r[other][span]) for r in rows)
                print(
                    f"{span} months, {player} against {other}: better on {(gain > 0).sum()}, equal on "
                    f"{(gain == 0).sum()} of {len(gain)}; mean {gain.mean():,.0f} EUR (90 % {low:,.0f} to "
                    f"{high:,.0f}), {share:.1%} of the other's net margin"
                )


def presets(seeds: int, customers: int = 8000) -> None:
    began, done = time.time(), {(r["preset"], r["seed"]) for r in known() if r["kind"] == "presets"}
    for seed in range(1, seeds + 1):
        for preset in ("clean", "confounded"):
            if (preset, seed) in done or time.time() - began > LIMIT:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                os.environ["PLAYBOOK_CACHE"] = f"{scratch}/cache"
                folder = make_demo(
                    Path(scratch) / "shop", preset=preset, seed=seed, customers=customers
                )
                truth = (
                    pd.read_parquet(folder / "truth" / "channels.parquet")
                    .groupby("channel")
                    .sum(numeric_only=True)
                )
                row = {"kind": "presets", "preset": preset, "seed": seed}
                for label, with_tests in (("plain", False), ("tested", True)):
                    _shop, _spend, model = fitted(folder, with_tests=with_tests)
                    table = media_plan.response_table(model).set_index("channel")
                    table["truth"] = truth.incremental_margin / truth.spend
                    row[label] = table[
                        ["truth", "average_return", "average_low", "average_high"]
                    ].T.to_dict("list")
                    row["flagged"] = bool(media_model.demand_chase(model).is_flagged.any())
            keep(row)
            print(preset, seed, row["flagged"], f"{time.time() - began:.0f} s", flush=True)
    for preset in ("clean", "confounded"):
        rows = [r for r in known() if r["kind"] == "presets" and r["preset"] == preset]
        if not rows:
            continue
        print(f"{preset}: flagged {sum(r['flagged'] for r in rows)} of {len(rows)}")
        for label in ("plain", "tested"):
            truth, mean, low, high = np.array([v for r in rows for v in r[label].values()]).T
            inside = (low <= truth) & (truth <= high)
            print(
                f"  {label}: true return inside {inside.mean():.0%} of {len(truth)} intervals of 90 %, mean absolute "
                f"error {np.abs(mean / truth - 1).mean():.0%}, wrong order of pairs that do not overlap: "
                f"{sum(_misordered(r[label]) for r in rows)} of {sum(_apart(r[label]) for r in rows)}"
            )


def _pairs(table: dict) -> list[tuple]:
    rows = list(table.values())
    return [(a, b) for a in rows for b in rows if a[2] > b[3]]


def _apart(table: dict) -> int:
    return len(_pairs(table))


def _misordered(table: dict) -> int:
    return sum(a[0] < b[0] for a, b in _pairs(table))


def main() -> None:
    arguments = sys.argv[1:]
    seeds = int(arguments[arguments.index("--seeds") + 1]) if "--seeds" in arguments else None
    if "presets" in arguments:
        presets(seeds or 8)
    if "loop" in arguments or "presets" not in arguments:
        loop(seeds or 10)


if __name__ == "__main__":
    main()
