"""The monthly review on two hundred demo months: is a shock found, and do quiet months stay quiet.

    python tests/proof/proof_review.py [seeds, default 10]

The last twenty months of each seed of the default demo shop, made without its planted incidents: those are shocks of
their own. A seed's series are kept in proof/review/ and not made again, its verdicts in proof/review.jsonl. Printed:

twin      one driver of the tree moved by 10 %, against the same month without the shock: how often it ranks first
news      the same against what the shop's own past leads one to expect, by surprise: what a manager sees. The months'
          own noise is in it (the root mean square miss of sessions is some 7 %), so this cannot reach the twin's share
flags     figures of the unshocked months outside their limits, nominal 0.27 %
days      unshocked months with a day out of line that no promotion explains, nominal 5 %
revenue   monthly revenue forecast: share of 80 % intervals that held, mean absolute error to the seasonal naive's
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.demo import make_demo
from playbook.demo.presets import INCIDENTS
from playbook.goals import daily_revenue, revenue_forecast
from playbook.methods.decomposition import product_drivers
from playbook.metrics import monthly_sales, months_back
from playbook.review import TREE, anomalies, drivers, scorecard
from playbook.start import daily
from playbook.store import open_store

OUT = Path(__file__).resolve().parents[2] / "proof" / "review.jsonl"
KEPT = OUT.with_suffix("")
LAST, N_MONTHS = "2026-10", 20


def series(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A seed's monthly figures, its days, and its net revenue by day."""
    paths = [KEPT / f"{seed}-{name}.parquet" for name in ("months", "days", "revenue")]
    if not all(path.exists() for path in paths):
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            off = dict.fromkeys(INCIDENTS, False)
            shop = open_store(make_demo(Path(scratch) / "s", seed=seed, with_truth=False, switches=off), until=LAST)
            net = daily_revenue(shop.sales_orders, as_of=shop.as_of, observed_from=shop.observed_from,
                                refunds=shop.booked_refunds)
            found = (monthly_sales(shop, months=60).assign(notebook="00"), daily(shop, days=2000), net)
            for path, frame in zip(paths, found, strict=True):
                frame.to_parquet(path)
    return tuple(pd.read_parquet(path) for path in paths)


def nodes(headline: pd.DataFrame, month: str) -> dict[str, float]:
    at = headline[headline.month == month].set_index("metric").amount
    return dict(zip(TREE, (at.sessions, at.orders / at.sessions, at.units_per_order,
                           at.net_revenue / (at.orders * at.units_per_order)), strict=True))


def shocked(headline: pd.DataFrame, month: str, moved: dict[str, float]) -> pd.DataFrame:
    """The figures with the month's drivers as given, everything that depends on them recomputed."""
    orders = moved["sessions"] * moved["cvr_sessions"]
    net = orders * moved["units_per_order"] * moved["revenue_per_unit"]
    new = moved | {"orders": orders, "net_revenue": net}
    here = headline.month == month
    amounts = headline.amount.where(~here, headline.metric.map(new).fillna(headline.amount))
    return headline.assign(amount=amounts)


def judged(seed: int) -> dict:
    months, days, net = series(seed)
    rng = np.random.default_rng(seed)
    row = {"seed": seed, "n": N_MONTHS, "twin": 0, "news": 0, "news_by_node": {}, "flags": 0, "figures": 0, "days": 0}
    began = time.process_time()
    for month in months_back(LAST, N_MONTHS):
        seen = months[months.month <= month]
        seen = seen[seen.month >= months_back(month, 37)[0]]
        card = scorecard(seen, month=month)
        judged_ones = ~card.flag.isin(["no history", "too early"])
        row["figures"] += int(judged_ones.sum())
        row["flags"] += int((judged_ones & (card.flag != "within limits")).sum())
        before = days[pd.to_datetime(days.day_on) <= pd.Period(month).end_time].tail(400)
        row["days"] += int((anomalies(before, month=month).explained == "not explained").any())
        node, by = str(rng.choice(TREE)), float(rng.choice([0.9, 1.1]))
        twin = nodes(months, month)
        moved = twin | {node: twin[node] * by}
        row["twin"] += int(product_drivers(twin, moved).set_index("driver").contribution.abs().idxmax() == node)
        why = drivers(shocked(seen, month, moved), month=month).set_index("driver")
        hit = int(why.surprise.idxmax() == node)
        row["news"] += hit
        hits, n = row["news_by_node"].get(node, (0, 0))
        row["news_by_node"][node] = (hits + hit, n + 1)
    forecast, _ = revenue_forecast(net, as_of=f"{pd.Period(LAST).end_time:%Y-%m-%d}", level=0.8)
    held = forecast.origins.is_covered.dropna()
    ratio = forecast.backtest.set_index("model").at["chosen", "mae_ratio"]
    return row | {"held": int(held.sum()), "origins": len(held), "mae_ratio": float(ratio),
                  "cpu_seconds": round(time.process_time() - began, 1)}


def main(n_seeds: int) -> int:
    """Judge the seeds that are missing, then print the sums; returns the exit status."""
    OUT.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in OUT.read_text().splitlines()] if OUT.exists() else []
    for seed in range(1, n_seeds + 1):
        if seed not in {row["seed"] for row in rows}:
            rows.append(judged(seed))
            with OUT.open("a") as log:
                log.write(json.dumps(rows[-1]) + "\n")
    table = pd.DataFrame(rows).head(n_seeds)
    print(table.drop(columns="news_by_node").round(3).to_string(index=False))
    total = table.sum(numeric_only=True).to_dict()
    by_node = {node: [sum(r["news_by_node"].get(node, [0, 0])[k] for r in rows[:n_seeds]) for k in (0, 1)]
               for node in TREE}
    print(f"\nmonths {total['n']:.0f}: twin first {total['twin'] / total['n']:.1%}, "
          f"news first {total['news'] / total['n']:.1%} ("
          + ", ".join(f"{node} {a}/{b}" for node, (a, b) in by_node.items()) + ")")
    print(f"flags {total['flags'] / total['figures']:.2%} of {total['figures']:.0f} figures; "
          f"months with an unexplained day {total['days'] / total['n']:.1%}")
    print(f"revenue interval held {total['held'] / total['origins']:.1%} of {total['origins']:.0f} (nominal 80 %), "
          f"error {table.mae_ratio.mean():.2f} of the seasonal naive's, worst seed {table.mae_ratio.max():.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
