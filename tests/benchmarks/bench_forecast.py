"""Seconds of the processor for one forecast with its whole backtest, by frequency and
length of history.

python tests/benchmarks/bench_forecast.py
"""

import time

import numpy as np
import pandas as pd

from playbook.forecasting.series import FREQUENCIES, forecast_series

CASES = (
    ("quarter", 82, 4),
    ("month", 36, 1),
    ("month", 120, 12),
    ("week", 156, 13),
    ("day", 365, 31),
    ("day", 1096, 31),
    ("day", 1096, 92),
)


def main() -> None:
    """Print one row per case, with and without a promotion calendar."""
    rows = []
    for frequency, n, horizon in CASES:
        rng = np.random.default_rng(7)
        at = pd.period_range(
            "2020-01-01", periods=n + horizon, freq=FREQUENCIES[frequency].code
        ).start_time
        season = 1 + 0.3 * np.sin(2 * np.pi * np.arange(n) / FREQUENCIES[frequency].year)
        history = pd.DataFrame(
            {"period_on": at[:n], "amount": 1000 * season * np.exp(rng.normal(0, 0.2, n))}
        )
        calendar = pd.DataFrame(
            {"period_on": at, "promotion": (rng.random(n + horizon) < 0.1).astype(float)}
        )
        for name, plan in (("none", None), ("promotions", calendar)):
            began, wall = time.process_time(), time.perf_counter()
            forecast = forecast_series(history, frequency=frequency, horizon=horizon, calendar=plan)
            rows.append(
                {
                    "frequency": frequency,
                    "periods": n,
                    "horizon": horizon,
                    "calendar": name,
                    "origins": len(forecast.origins),
                    "cpu_seconds": time.process_time() - began,
                    "wall_seconds": time.perf_counter() - wall,
                }
            )
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
