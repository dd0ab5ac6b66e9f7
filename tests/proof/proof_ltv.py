"""Long proofs of chapter 05: no silent failure over random shops; real shops held out;
coverage over demo seeds.

    python tests/proof/proof_ltv.py [fits | real | demo] [seeds]     (without a name: all three)

Writes one line per seed or shop to proof/ltv_<what>.jsonl and skips those already
there; stops after 25 minutes. `real` needs the folder of public data that
PLAYBOOK_SHARED names.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}  # as in a month's run; read when numpy is imported

import numpy as np
import pandas as pd
from scipy.stats import norm

from playbook.chapters.ltv_modelling.ltv import first_orders
from playbook.chapters.ltv_modelling.ltv_race import (
    backtest_ltv,
    customer_forecast,
    interval_coverage,
    remaining_value,
)
from playbook.measures.customer_windows import history_of, window_losses
from playbook.methods.btyd import PRIOR_SD, CountFit, fit_counts
from playbook.methods.btyd_models import MODELS, Histories, log_likelihood
from playbook.methods.customer_models import Candidates
from playbook.store import open_store

OUT = Path(__file__).resolve().parents[2] / "proof"


def missed(fit: CountFit, history: pd.DataFrame, rng: np.random.Generator) -> float:
    """Log-likelihood (posterior, where the fit says a weak prior decided) that six
    searches from random starts gain over the fit: an optimum missed in silence would
    show.
    """
    from scipy.optimize import minimize

    cells = history.assign(t_x=np.floor(history.t_x / 7 + 0.5), T=np.floor(history["T"] / 7 + 0.5))
    x, t_x, age, n = cells.groupby(["x", "t_x", "T"], as_index=False).size().to_numpy(float).T

    prior = PRIOR_SD**-2 if fit.engine == "own + prior" else 0.0

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = log_likelihood(fit.model, np.exp(point), Histories(x, t_x, age))
        return 0.5 * prior * point @ point - value @ n, prior * point - slope @ n

    own, k = np.log(list(fit.params.values())), len(fit.params)
    ends = [
        minimize(loss, s, jac=True, method="L-BFGS-B", bounds=[(-6, 9)] * k)
        for s in rng.normal(0.5, 1.5, (6, k))
    ]
    return loss(own)[0] - min(end.fun for end in ends)


def one_fit(seed: int) -> dict:
    """A random shop, every model: a fit shown as an answer is one no other search
    betters; any other says why.
    """
    rng = np.random.default_rng(seed)
    n, age = int(rng.integers(20, 3000)), rng.integers(1, int(rng.integers(60, 1200)), 3000)
    rate, drop = (
        rng.gamma(rng.gamma(1, 0.5) + 0.05, 1 / 6, 3000) / 7,
        rng.beta(rng.gamma(1, 1) + 0.01, rng.gamma(2, 2) + 0.1, 3000),
    )
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
        short = missed(fit, history, rng) if fit.is_identified else 0.0
        silent = not fit.reason if not fit.is_identified else not fit.is_converged or short > 0.05
        row |= {
            model: fit.engine,
            f"{model}_identified": fit.is_identified,
            f"{model}_silent": bool(silent),
        }
    return row


def cdnow_days() -> pd.DataFrame:
    """CDNOW in full, one row per customer and day."""
    frame = pd.read_parquet(Path(os.environ["PLAYBOOK_SHARED"]) / "cdnow" / "cdnow_master.parquet")
    frame = frame.rename(columns={"date": "day_on", "amount": "revenue"})
    frame = frame.groupby(["customer_id", "day_on"], as_index=False).revenue.sum()
    return frame.assign(orders=1, units=1, margin=np.nan)


def shares(race: object, *, max_horizon_days: int = 91) -> dict:
    """Number and share covered, by measure and level: intervals pooled over totals and
    deciles, then those of channels and of single customers.
    """
    table = interval_coverage(race, max_horizon_days=max_horizon_days)
    table = table[table.kind.isin(["pooled", "channel", "customer"]) & (table.n_intervals > 0)]
    return {
        f"{'' if r.kind == 'pooled' else r.kind + '_'}{r.measure}_{r.level}": [
            int(r.n_intervals),
            float(r.covered_share),
        ]
        for r in table.itertuples()
    }


def floors(customers: pd.DataFrame, worth: pd.Series) -> pd.Series:
    """Noise floor by channel, as a share of its true value: what customers who look
    alike so far are worth differs, and no forecast from the past can tell them apart.
    Alike: one leaf, of 50 customers or more, of a tree grown on the truth itself, so
    the floor is rather too low.
    """
    from sklearn.tree import DecisionTreeRegressor

    seen = customers[["x", "t_x", "T", "amount", "each", "worth"]]
    tree = DecisionTreeRegressor(min_samples_leaf=50, random_state=0).fit(seen, worth)
    rest = (worth - tree.predict(seen)) ** 2
    return np.sqrt(rest.groupby(customers.channel).sum()) / worth.groupby(customers.channel).sum()


def cdnow_held_out() -> dict:
    """Champion chosen on the first 39 weeks alone, then judged on the next 39 against
    plain BG/NBD.
    """
    cut, days = pd.Timestamp("1997-09-30"), cdnow_days().sort_values(["customer_id", "day_on"])
    race = backtest_ltv(days, as_of=cut)
    log = days.assign(
        customer_id=np.unique(days.customer_id, return_inverse=True)[1], money=days.revenue
    )
    models = tuple(dict.fromkeys((race.model, "bg_nbd")))
    table, said, _ = Candidates(history_of, models=models).predict(
        log[log.day_on <= cut], cut, (273,)
    )
    actual = np.bincount(log[log.day_on > cut].customer_id, minlength=len(table))[
        table.customer_id
    ].astype(float)
    row = {"seed": "cdnow, 39 weeks held out", "model": race.model, "actual": float(actual.sum())}
    for name, model in (("champion", race.model), ("bg_nbd", "bg_nbd")):
        expected = said[273][model].to_numpy()
        loss = window_losses(actual, expected)
        row[name] = {
            "bias": float(expected.sum() / actual.sum() - 1),
            "least": float(expected.min()),
        }
        row[name] |= {k: round(float(loss[k]), 4) for k in ("deviance", "top_share", "mae")}
    return row


def cdnow_coverage() -> dict:
    """CDNOW: 4, 8, 13 and 26 weeks ahead."""
    days = cdnow_days()
    race = backtest_ltv(days, as_of=days.day_on.max(), horizons_days=(28, 56, 91, 182))
    return {"seed": "cdnow, coverage", "model": race.model} | shares(race, max_horizon_days=182)


def retail_coverage() -> dict:
    """Online Retail, imported as a user would."""
    from playbook.sources.importing import import_files

    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "store"
        source = Path(os.environ["PLAYBOOK_SHARED"]) / "online-retail" / "online_retail.parquet"
        import_files("online-retail", [source], into)
        shop = open_store(into, until="2011-12-09")
        race = backtest_ltv(shop.customer_days, as_of=shop.as_of)
    return {"seed": "online retail, coverage", "model": race.model} | shares(race)


def one_demo(seed: int) -> dict:
    """A demo shop: coverage pooled over totals and deciles, champion against naive,
    remaining value against the truth.
    """
    from playbook.demo.make import make_demo

    with tempfile.TemporaryDirectory() as folder:
        shop = open_store(make_demo(Path(folder) / "shop", seed=seed), until="2026-10")
        traits = first_orders(
            shop.sales_orders, sales_lines=shop.sales_lines, products=shop.products
        ).to_pandas()
        race = backtest_ltv(shop.customer_days, as_of=shop.as_of, basis="margin", traits=traits)
        ahead = customer_forecast(shop.customer_days, race, traits=traits)
        value = remaining_value(ahead).set_index("channel")
        truth = pd.read_parquet(
            Path(shop.where) / "truth" / "customers.parquet", columns=["customer_id", "margin_12m"]
        )
        known = ahead.customers.merge(truth, on="customer_id")
        floor = floors(known, known.margin_12m)
        true = known.groupby("channel").margin_12m.sum()
        true["all"] = true.sum()
        off = value.remaining / true - 1
        inside = (value.low <= true) & (true <= value.high)
    row = {
        "seed": seed,
        "model": race.model,
        "over_naive": float(race.verdict.over_naive_share.iloc[0]),
    }
    row |= {
        "floor": floor.round(4).to_dict(),
        "n": value.n_customers.to_dict(),
        "off": off.round(4).to_dict(),
    }
    return row | shares(race) | {"inside": inside.astype(bool).to_dict()}


def done(what: str) -> pd.DataFrame:
    """The rows written so far."""
    path = OUT / f"ltv_{what}.jsonl"
    return pd.DataFrame(
        [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    )


def resume(what: str, keys: list, one: object, until: float) -> pd.DataFrame:
    """Write the rows still missing, while there is time, and return all."""
    OUT.mkdir(exist_ok=True)
    there = done(what)
    for key in keys:
        if (len(there) and (there.seed == key).any()) or time.monotonic() > until:
            continue
        row = one(key)
        with (OUT / f"ltv_{what}.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    rows = done(what)
    print(f"{what}: {len(rows)} of {len(keys)}")
    return rows


def main() -> None:
    words = sys.argv[1:]
    until, asked = time.monotonic() + 1500, int(words[1]) if len(words) > 1 else 0
    real = {
        "cdnow, 39 weeks held out": cdnow_held_out,
        "cdnow, coverage": cdnow_coverage,
        "online retail, coverage": retail_coverage,
    }
    if not words or words[0] == "fits":
        rows = resume("fits", list(range(1, (asked or 100) + 1)), one_fit, until)
        print(
            rows.filter(like="_silent").sum().to_string(),
            rows.filter(like="_identified").mean().to_string(),
            sep="\n",
        )
    if (not words or words[0] == "real") and os.environ.get("PLAYBOOK_SHARED"):
        for row in resume("real", list(real), lambda name: real[name](), until).to_dict("records"):
            print({k: v for k, v in row.items() if v == v})
    if not words or words[0] == "demo":
        rows = resume("demo", list(range(1, (asked or 20) + 1)), one_demo, until)
        for column in [c for c in rows if c.endswith(("_0.8", "_0.95"))]:
            n, share = rows[column].map(lambda v: v[0]), rows[column].map(lambda v: v[1])
            print(
                column,
                f"{(n * share).sum() / n.sum():.3f}, {n.sum()} intervals, a shop {share.min():.3f} to "
                f"{share.max():.3f}, at least {n.min()}",
            )
        off, inside, floor, n = (
            pd.DataFrame(list(rows[c])) for c in ("off", "inside", "floor", "n")
        )
        best = floor.apply(lambda share: 2 * norm.cdf(0.1 / share) - 1)
        print(
            "Remaining value by channel against the truth. floor: the error left to a forecast that knew all equal\n"
            "pasts can tell; best_within: in how many shops that one would be within a tenth. A channel is judged\n"
            "where it would be in nine of ten."
        )
        print(
            pd.DataFrame(
                {
                    "n_customers": n.median(),
                    "off_mean": off.mean(),
                    "off_sd": off.std(),
                    "floor": floor.median(),
                    "within_a_tenth": (off.abs() <= 0.1).sum(),
                    "of": off.notna().sum(),
                    "best_within": best.mean() * len(rows),
                    "intervals_hold": inside.mean(),
                    "is_judged": best.mean() >= 0.9,
                }
            )
            .round(3)
            .to_string()
        )
        judged = off.loc[:, [c for c in best if best[c].mean() >= 0.9]]
        print(
            f"judged channels within a tenth: {int((judged.abs() <= 0.1).sum().sum())} of {judged.size}; champion"
            f" over the best naive model, at most: {rows.over_naive.max():+.3f}"
        )


if __name__ == "__main__":
    main()
