"""One plan: does coherence cost accuracy, do the intervals hold, do the chapters agree,
what does a new customer cost against what the channel caused.

    python tests/proof/proof_one_plan.py seed SEED
    python tests/proof/proof_one_plan.py accuracy [first seed, 201] [last seed, 220]
    python tests/proof/proof_one_plan.py cost [first seed, 201] [last seed, 220]
    python tests/proof/proof_one_plan.py chapters SEED
    python tests/proof/proof_one_plan.py rules [MONTH_FOLDER ...]

Settings were chosen on seeds 101 to 110, of the default size, and 111 to 116. What a seed
gave is kept in proof/one_plan/ and not made again: `seed` makes one; `accuracy`, `cost` and
`rules` print those that are there. At each of the last
twelve origins of a three-year demo shop (so from two years of log on) two forecasts of
the next month, quarter and year are made from the same months: `today`, one series
alone, raced as chapter 02 did, returning customers as chapter 04 did, and `outlook`, the
coherent one. Printed by metric: mean absolute error of both over the mean outcome,
their ratio, and the share of the outlook's 80 % intervals that held.

`cost`: the cost of a new customer over the recent window, as recorded by the last touch and
as chapters 02, 03 and 05 state it, against spend over the first orders the channel caused.

`chapters` runs 01 to 05 on a small shop of the seed and keeps which rules of
tests/plan_rules.py hold.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from plan_rules import broken

from playbook.chapters.channel_roi.channels import channel_months
from playbook.chapters.cohort_retention.cohorts import cohort_retention, return_backtest
from playbook.demo.make import play, tables_of, write_folder
from playbook.demo.simulate import Simulator
from playbook.demo.truth import channel_truth
from playbook.demo.world import drawn
from playbook.forecasting.series import forecast_series
from playbook.measures import ad_spend
from playbook.outlook.forecast import outlook_of
from playbook.outlook.history import KEY, monthly_history
from playbook.store import open_store

KEPT = Path(__file__).resolve().parents[2] / "proof" / "one_plan"
LAST, N_ORIGINS, HORIZONS = "2026-10", 12, {"month": 1, "quarter": 3, "year": 12}
RATIOS = ("aov", "cvr_sessions", "cm_share", "orders_per_buyer")
#: the last seed settings were chosen on; later shops are a fifth as large, to save time,
#: and their parts are not forecast one by one
LAST_TUNED, SMALL = 110, 10_000
PEAK = ("11", "12")


def made_seed(seed: int) -> None:
    """Keep a seed's monthly history, chapter 04's forecasts of returning customers, and by
    channel and month: recorded and caused new customers, spend.
    """
    names = ("months", "returning", "channels")
    paths = [KEPT / f"{seed}-{name}.parquet" for name in names]
    if all(path.exists() for path in paths):
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    sim = Simulator(drawn(seed=seed, **({"customers": SMALL} if seed > LAST_TUNED else {})))
    chunks = [play(sim) for _ in range(sim.world.preset.months)]
    with tempfile.TemporaryDirectory() as scratch:
        write_folder(Path(scratch), sim.world, sim.day - 1, tables_of(sim, chunks))
        shop = open_store(Path(scratch), until=LAST)
        cohorts = cohort_retention(shop.customer_days, as_of=shop.as_of)
        log = ad_spend.read_extract(shop.ad_spend, as_of=shop.as_of)
        months = channel_months(
            shop.sales_orders, spend=log, refunds=shop.booked_refunds, as_of=shop.as_of
        )
        kinds = shop.channels.select("channel", "kind").to_pandas()
        caused = channel_truth(chunks)[["month", "channel", "first_orders"]]
        channels = months.merge(caused, on=["month", "channel"], how="inner")
        channels = channels.merge(kinds, on="channel", how="left")
        backtest = return_backtest(cohorts)
        found = monthly_history(shop), backtest, channels
        for path, frame in zip(paths, found, strict=True):
            frame.to_parquet(path)


def months_of(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A seed's monthly history, and chapter 04's forecasts of returning customers."""
    made_seed(seed)
    return tuple(
        pd.read_parquet(KEPT / f"{seed}-{name}.parquet") for name in ("months", "returning")
    )


def today(amounts: pd.Series, n_ahead: int) -> float:
    """What one series alone is forecast to be over the months ahead: the sum."""
    history = pd.DataFrame({"period_on": amounts.index.start_time, "amount": amounts.array})
    ahead = forecast_series(history, frequency="month", horizon=n_ahead)
    return float(ahead.total["mid"].iloc[0])


def returning_today(backtest: pd.DataFrame, month: str) -> float:
    """Chapter 04's forecast of a month: the model with the smallest errors before it."""
    due = pd.to_datetime(backtest.due_on).dt.strftime("%Y-%m")
    past = backtest[due < month]
    errors = (past.point - past.actual).abs().groupby(past.model).mean()
    now = backtest[due == month].set_index("model")["point"]
    return float(now[errors.idxmin()])


def errors_of(seed: int) -> pd.DataFrame:
    """One row per origin, horizon and series: point of both, actual, is_covered."""
    path = KEPT / f"{seed}-errors.parquet"
    if path.exists():
        return pd.read_parquet(path)
    history, returning = months_of(seed)
    wide = history.pivot(index="month", columns=KEY, values="amount").sort_index()
    wide.index = pd.PeriodIndex(wide.index, freq="M")
    past = outlook_of(history).origins
    parts = past["metric"].isin(["net_revenue", "orders"]) & (seed <= LAST_TUNED)
    past = past[past["level"].eq("shop") | parts]
    newest = sorted(past["known_to"].unique())[-N_ORIGINS:]
    past = past[past["known_to"].isin(newest)]
    rows = past[past["actual"].notna() & past["horizon"].isin(HORIZONS) & (past["step"] <= 1)]
    rows = with_mean_ratios(rows, past)
    out = []
    for row in rows.itertuples():
        n = HORIZONS[row.horizon]
        amounts = wide[(row.metric, row.level, row.member)].dropna()
        amounts = amounts[: pd.Period(row.known_to, "M")]
        point = today(amounts, n) / (n if row.metric in RATIOS else 1)
        if row.metric == "returning_customers":
            first = str(pd.Period(row.known_to, "M") + 1)
            point = returning_today(returning, first) if n == 1 else np.nan
        out.append((*row[1:], point))
    frame = pd.DataFrame(out, columns=[*rows.columns, "today"]).assign(seed=seed)
    frame.to_parquet(path)
    return frame


def with_mean_ratios(rows: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    """Ratios of a quarter or year as means of their months, as chapter 02 took them."""
    for at, row in rows[rows["metric"].isin(RATIOS) & (rows["horizon"] != "month")].iterrows():
        months = past[
            (past["known_to"] == row["known_to"])
            & (past["metric"] == row["metric"])
            & (past["horizon"] == "month")
            & (past["step"] <= HORIZONS[row["horizon"]])
        ]
        rows.loc[at, ["point", "actual"]] = months[["point", "actual"]].mean()
    return rows


def table(errors: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Errors of both over the mean outcome, their ratio, coverage."""
    off = errors.assign(
        now=(errors["point"] - errors["actual"]).abs(),
        then=(errors["today"] - errors["actual"]).abs(),
    )
    groups = off.groupby(by)
    sums = groups[["now", "then", "actual"]].sum()
    return pd.DataFrame(
        {
            "n": groups.size(),
            "today": sums.then / sums.actual,
            "outlook": sums.now / sums.actual,
            "ratio": sums.now / sums.then,
            "held": groups["is_covered"].mean(),
            "n_held": groups["is_covered"].count(),
        }
    )


def accuracy(first: int, last: int) -> None:
    """Print the errors by metric, and of the peak's returning customers."""
    parts = []
    for seed in range(first, last + 1):
        began = time.process_time()
        parts.append(errors_of(seed))
        print(seed, round(time.process_time() - began, 1), "s", flush=True)
    errors = pd.concat(parts, ignore_index=True)
    errors["is_covered"] = errors["is_covered"].astype("Float64")
    shop = errors[errors["level"] == "shop"]
    print(table(shop, ["metric", "horizon"]).round(3).to_string())
    print(table(errors, ["level", "metric"]).round(3).to_string())
    back = shop[(shop["metric"] == "returning_customers") & (shop["horizon"] == "month")]
    months = (pd.PeriodIndex(back["known_to"], freq="M") + 1).strftime("%m")
    print(table(back.assign(is_peak=months.isin(PEAK)), ["is_peak"]).round(3).to_string())
    print(table(shop, ["horizon"]).round(3).to_string())


def rules(months: list[str]) -> int:
    """Print rules x months: the largest relative gap of each rule, `-` where it could
    not be asked; returns how many are broken.
    """
    found = [broken(Path(month)).assign(month=Path(month).name) for month in months]
    table = pd.concat(found, ignore_index=True)
    table["told"] = np.where(table["is_broken"], "BROKEN", "holds")
    wide = table.pivot(index="rule", columns="month", values="told").fillna("-")
    gaps = table.pivot(index="rule", columns="month", values="gap").max(axis=1)
    print(wide.assign(largest_gap=gaps).to_string())
    return int(table["is_broken"].sum())


def main(what: str = "accuracy", *words: str) -> int:
    """Run one part of the proof; returns the exit status."""
    if what == "rules":
        return int(rules(list(words)) > 0)
    first, last = [*words, "201", "220"][:2] if len(words) != 1 else [words[0]] * 2
    accuracy(int(first), int(last))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
