"""The forecaster on public series: year-ahead error, coverage, chance of goals met, and
what each candidate is worth.

    PLAYBOOK_SHARED=/path/to/data python tests/proof/proof_forecast.py

Writes one line per series and set of candidates to proof/forecast.jsonl (skipped when
it is already there) and prints the table. The series that decides is ECOMNSA on the 55
origins 2005Q3 to 2019Q1; the others say whether the settings travel.
"""

import json
import os
import sys
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from goal_brier import goal_brier

from playbook.forecasting.series import MODELS, covered_share, forecast_series

PROOF = Path(__file__).resolve().parents[2] / "proof" / "forecast.jsonl"
CASES = (  # series, file, frequency, horizon, first judged origin
    ("ECOMNSA", "ECOMNSA.csv", "quarter", 4, "2005-07-01"),
    ("ECOMSA", "ECOMSA_vintage_2024Q4.csv", "quarter", 4, "2005-07-01"),
    ("ECOMPCTSA", "ECOMPCTSA.csv", "quarter", 4, "2005-07-01"),
    ("MRTSSM44000USS", "MRTSSM44000USS.csv", "month", 12, "1996-01-01"),
    ("MRTSSM44000USS", "MRTSSM44000USS.csv", "month", 1, "1996-01-01"),
)
SETS = {
    "default": MODELS,
    "only mix": ("seasonal_naive", "mix"),
    "only growth": ("seasonal_naive", "growth"),
    "only trend": ("seasonal_naive", "trend"),
    "only level": ("seasonal_naive", "level"),
    "only seasonal naive": ("seasonal_naive",),
    "only ets": ("seasonal_naive", "ets"),
    "default and ets": (*MODELS, "ets"),
}


def measured(folder: Path, case: tuple, models: tuple[str, ...]) -> dict:
    """One line: errors, coverage with its block-bootstrap interval, Brier, seconds of
    the processor.
    """
    _, file, frequency, horizon, since = case
    history = pd.read_csv(folder / file).set_axis(["period_on", "amount"], axis=1)
    history["period_on"] = pd.to_datetime(history["period_on"], format="mixed")
    if frequency != "quarter" and "ets" in models:
        return {}  # four hundred fits of a monthly Holt-Winters take minutes and decide nothing here
    began = time.process_time()
    forecast = forecast_series(
        history, frequency=frequency, horizon=horizon, models=_forced(models)
    )
    seconds = time.process_time() - began
    past = forecast.origins[forecast.origins["origin_on"] >= since]
    held = covered_share(forecast, since=since).iloc[0]
    width = (past["high"] - past["low"]) / past["point"]
    brier = goal_brier(forecast, since=since).iloc[-1]
    return {
        "n_origins": len(past),
        "mape": (past["point"] / past["actual"] - 1).abs().mean(),
        "covered": held["covered_share"],
        "covered_low": held["low"],
        "covered_high": held["high"],
        "median_width": width.median(),
        "brier": brier["brier"],
        "brier_climate": brier["brier_climate"],
        "seconds": seconds,
        "chosen": past["model"].value_counts().to_dict(),
    }


def _forced(models: tuple[str, ...]) -> tuple[str, ...]:
    """`only x` races x against itself: the seasonal naive must not replace it, so it is
    left out.
    """
    return models if len(models) != 2 else models[1:]


def main() -> int:
    """Measure what is missing, then print everything; returns the exit status."""
    folder = Path(os.environ.get("PLAYBOOK_SHARED", "")) / "market-series"
    if not folder.is_dir():
        print("PLAYBOOK_SHARED does not name the public data: nothing measured")
        return 1
    PROOF.parent.mkdir(exist_ok=True)
    done = [json.loads(line) for line in PROOF.read_text().splitlines()] if PROOF.exists() else []
    have = {(row["series"], row["horizon"], row["set"]) for row in done}
    for case in CASES:
        for name, models in SETS.items():
            if (case[0], case[3], name) in have:
                continue
            row = measured(folder, case, models)
            if row:
                done.append({"series": case[0], "horizon": case[3], "set": name, **row})
                with PROOF.open("a") as log:
                    log.write(json.dumps(done[-1]) + "\n")
    print(pd.DataFrame(done).round(4).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
