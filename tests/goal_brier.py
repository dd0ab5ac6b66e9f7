"""Were the stated chances of meeting a goal any good? The score of Brier (1950, Monthly
Weather Review 78) for them.
"""

import numpy as np
import pandas as pd

from playbook.forecasting.series import Forecast, chances
from playbook.methods.backtest import MIN_ORIGINS, link_errors


def goal_brier(
    forecast: Forecast,
    growth: tuple[float, ...] = (0.05, 0.10, 0.15, 0.20, 0.25),
    *,
    since: object = None,
) -> pd.DataFrame:
    """How good the stated chances were: at each past origin, P(total >= (1 + growth) x
    the same stretch a year before).

    One row per growth goal and one for all (growth missing): n, met_share, p_mean,
    brier (mean squared difference of chance and outcome), brier_climate (the same for
    always stating the share met so far). Each origin uses the errors realised before
    it; origins without enough of them, or before `since`, are left out.
    """
    past = forecast.origins
    judged = (past["n_errors"] >= MIN_ORIGINS) & past[
        ["actual", "year_before", "point"]
    ].notna().all(axis=1)
    if since is not None:
        judged &= past["origin_on"] >= pd.Timestamp(since)
    rows = []
    for row in past[judged].itertuples():
        earlier = past.iloc[: row.n_errors]
        bars = row.year_before * (1 + np.asarray(growth))
        need = link_errors(bars, row.point, row.scale, forecast.is_log)
        for goal, bar, chance in zip(growth, bars, chances(earlier["error"], need), strict=True):
            climate = (earlier["actual"] >= earlier["year_before"] * (1 + goal)).mean()
            rows.append((goal, chance, row.actual >= bar, climate))
    frame = pd.DataFrame(rows, columns=["growth", "p_mean", "met_share", "climate"]).astype(float)
    for name, stated in (("brier", "p_mean"), ("brier_climate", "climate")):
        frame[name] = (frame[stated] - frame["met_share"]) ** 2
    frame = frame.drop(columns="climate").assign(n=1)
    parts = [part.assign(growth=goal) for goal, part in frame.groupby("growth")] + [
        frame.assign(growth=np.nan)
    ]
    summary = pd.DataFrame([{**part.mean(), "n": len(part)} for part in parts])
    return summary[["growth", "n", "met_share", "p_mean", "brier", "brier_climate"]]
