"""The monthly review on two hundred demo months: is a shock found, and do quiet months
stay quiet.

    python tests/proof/proof_review.py [first seed, default 7] [last seed, default 16]

The last twenty months of each seed of the default demo shop, made without its planted
incidents: those are shocks of their own. (Its campaigns and its checkout test stay, in
three of the twenty months.) The method's settings were chosen on seeds 1 to 6. A seed's
series are kept in proof/review/ and not made again, its verdicts in proof/review.jsonl.
Each driver of each month is moved by 10 %, up or down. Printed:

twin      against the same month without the shock: how often the moved driver ranks
first news      against what was to be expected of the month: what a manager sees, the
month's own noise being in it surprise  the same ordered by sigmas alone, without the
money monthly   the same from the twelve figures a year alone, without the days flags
figures of the unshocked months outside their limits, nominal 0.27 %; `alarms` the same
of the drivers days      unshocked months with a day out of line that no promotion
explains, nominal 5 % revenue   monthly revenue forecast: share of 80 % intervals that
held, mean absolute error to the seasonal naive's
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.chapters.monthly_review.review import TREE, anomalies, drivers, scorecard
from playbook.chapters.start_here.facts import daily
from playbook.demo.make import make_demo
from playbook.demo.presets import INCIDENTS
from playbook.forecasting.series import forecast_series
from playbook.measures.metrics import monthly_sales, months_back
from playbook.measures.revenue_days import by_month, daily_revenue
from playbook.methods.decomposition import product_drivers
from playbook.store import open_store

OUT = Path(__file__).resolve().parents[2] / "proof" / "review.jsonl"
KEPT = OUT.with_suffix("")
LAST, N_MONTHS = "2026-10", 20


def series(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A seed's monthly figures, its days, and its net revenue by day."""
    paths = [KEPT / f"{seed}-{name}.parquet" for name in ("months", "daily", "revenue")]
    if not all(path.exists() for path in paths):
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            off = dict.fromkeys(INCIDENTS, False)
            shop = open_store(
                make_demo(Path(scratch) / "s", seed=seed, with_truth=False, switches=off),
                until=LAST,
            )
            net = daily_revenue(
                shop.sales_orders,
                as_of=shop.as_of,
                observed_from=shop.observed_from,
                refunds=shop.booked_refunds,
            )
            found = (
                monthly_sales(shop, months=60).assign(notebook="00"),
                daily(shop, months=60),
                net,
            )
            for path, frame in zip(paths, found, strict=True):
                frame.to_parquet(path)
    return tuple(pd.read_parquet(path) for path in paths)


def nodes(headline: pd.DataFrame, month: str) -> dict[str, float]:
    at = headline[headline.month == month].set_index("metric").amount
    return dict(
        zip(
            TREE,
            (
                at.sessions,
                at.orders / at.sessions,
                at.units_per_order,
                at.net_revenue / (at.orders * at.units_per_order),
            ),
            strict=True,
        )
    )


def shocked(headline: pd.DataFrame, month: str, moved: dict[str, float]) -> pd.DataFrame:
    """The figures with the month's drivers as given, everything that depends on them
    recomputed.
    """
    orders = moved["sessions"] * moved["cvr_sessions"]
    net = orders * moved["units_per_order"] * moved["revenue_per_unit"]
    new = moved | {"orders": orders, "net_revenue": net}
    here = headline.month == month
    amounts = headline.amount.where(~here, headline.metric.map(new).fillna(headline.amount))
    return headline.assign(amount=amounts)


def judged(seed: int) -> dict:
    months, days, net = series(seed)
    rng = np.random.default_rng(seed)
    row = {
        "seed": seed,
        "n": N_MONTHS,
        "shocks": 0,
        "twin": 0,
        "news": 0,
        "surprise": 0,
        "monthly": 0,
        "news_by_node": {},
        "flags": 0,
        "figures": 0,
        "alarms": 0,
        "days": 0,
    }
    began = time.process_time()
    for month in months_back(LAST, N_MONTHS):
        seen = months[months.month <= month]
        seen = seen[seen.month >= months_back(month, 37)[0]]
        card = scorecard(seen, month=month)
        judged_ones = ~card.flag.isin(["no history", "too early"])
        row["figures"] += int(judged_ones.sum())
        row["flags"] += int(
            (judged_ones & card.flag.isin(["better", "worse", "outside limits"])).sum()
        )
        told = days[
            (days.day_on >= months_back(month, 37)[0]) & (days.day_on <= pd.Period(month).end_time)
        ]
        row["days"] += int((anomalies(told, month=month).explained == "not explained").any())
        row["alarms"] += int(drivers(seen, month=month, days=told).is_news.any())
        twin = nodes(months, month)
        for node in TREE:
            moved = twin | {node: twin[node] * float(rng.choice([0.9, 1.1]))}
            row["shocks"] += 1
            row["twin"] += int(
                product_drivers(twin, moved).set_index("driver").contribution.abs().idxmax() == node
            )
            headline = shocked(seen, month, moved)
            why, alone = (
                drivers(headline, month=month, days=d).set_index("driver") for d in (told, None)
            )
            row["news"] += int(why["rank"].idxmin() == node)
            row["surprise"] += int(why.surprise.idxmax() == node)
            row["monthly"] += int(alone["rank"].idxmin() == node)
            row["news_by_node"][node] = row["news_by_node"].get(node, 0) + int(
                why["rank"].idxmin() == node
            )
    forecast = forecast_series(by_month(net), frequency="month", horizon=1, level=0.8)
    held = forecast.origins.is_covered.dropna()
    ratio = forecast.backtest.set_index("model").at["chosen", "mae_ratio"]
    return row | {
        "held": int(held.sum()),
        "origins": len(held),
        "mae_ratio": float(ratio),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def main(first: int, last: int) -> int:
    """Judge the seeds that are missing, then print the sums; returns the exit status."""
    OUT.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in OUT.read_text().splitlines()] if OUT.exists() else []
    for seed in range(first, last + 1):
        if seed not in {row["seed"] for row in rows}:
            rows.append(judged(seed))
            with OUT.open("a") as log:
                log.write(json.dumps(rows[-1]) + "\n")
    rows = [row for row in rows if first <= row["seed"] <= last]
    table = pd.DataFrame(rows).sort_values("seed")
    print(table.drop(columns="news_by_node").round(3).to_string(index=False))
    total = table.sum(numeric_only=True)
    by_node = {node: sum(r["news_by_node"][node] for r in rows) / total.n for node in TREE}
    print(
        f"\n{total.n:.0f} months, {total.shocks:.0f} shocks: first against the twin {total.twin / total.shocks:.1%}, "
        f"against what was expected {total.news / total.shocks:.1%} ("
        + ", ".join(f"{node} {share:.1%}" for node, share in by_node.items())
        + f"), by sigmas alone {total.surprise / total.shocks:.1%}, from monthly figures alone "
        f"{total.monthly / total.shocks:.1%}"
    )
    print(
        f"flags {total['flags'] / total.figures:.2%} of {total.figures:.0f} figures; months with a driver out of "
        f"its limits {total.alarms / total.n:.1%}; with an unexplained day {total.days / total.n:.1%}"
    )
    print(
        f"revenue interval held {total.held / total.origins:.1%} of {total.origins:.0f} (nominal 80 %), "
        f"error {table.mae_ratio.mean():.2f} of the seasonal naive's, worst seed {table.mae_ratio.max():.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in [*sys.argv[1:], *("7", "16")[len(sys.argv) - 1 :]][:2])))
