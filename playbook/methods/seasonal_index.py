"""The season of a year of months, with the number of years that stand behind it.

Ratio to the centred twelve-month mean (X-11's first pass; Ladiray & Quenneville 2001,
ch. 4), from sums, so that a weak year weighs less than a strong one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["seasonal_index"]


def seasonal_index(monthly: pd.DataFrame, *, level: float = 0.9) -> pd.DataFrame:
    """One row per month of the year: month_no, index (1 is an average month, trend
    taken out), low, high, n_years, status.

    `monthly`: month (YYYY-MM), amount; whole months only. The index is the sum of the
    month's amounts over the sum of their centred twelve-month means; the interval is
    Student's t, the spread between years pooled over the months. With one year of
    months there is no centred mean for all of them: `not identifiable` and missing.
    Seen once: `partial`.
    """
    from scipy.stats import t as student

    found = pd.DataFrame({"month_no": range(1, 13)})
    series = pd.Series(
        monthly["amount"].to_numpy(float), index=pd.PeriodIndex(monthly["month"], freq="M")
    ).sort_index()
    if len(series):
        series = series.reindex(pd.period_range(series.index.min(), series.index.max(), freq="M"))
    base = (
        (series.rolling(12).mean() + series.rolling(12).mean().shift(-1)).shift(-5) / 2
        if len(series)
        else series
    )
    use = pd.DataFrame({"amount": series, "base": base, "month_no": series.index.month}).dropna()
    use = use[use["base"] > 0].assign(ratio=lambda f: f["amount"] / f["base"])
    by_month = use.groupby("month_no")
    found["n_years"] = found["month_no"].map(by_month.size()).fillna(0).astype("int64")
    if (found["n_years"] < 1).any():
        return found.assign(index=np.nan, low=np.nan, high=np.nan, status="not identifiable")[
            ["month_no", "index", "low", "high", "n_years", "status"]
        ]
    index = by_month["amount"].sum() / by_month["base"].sum()
    scale = index.mean()
    free = int(
        (found["n_years"] - 1).sum()
    )  # years per month are few: the spread is pooled over the twelve
    pooled = (
        np.sqrt(((use["ratio"] - by_month["ratio"].transform("mean")) ** 2).sum() / free)
        if free
        else np.nan
    )
    reach = student.ppf(0.5 + level / 2, max(free, 1)) * pooled / np.sqrt(found["n_years"]) / scale
    found["index"] = found["month_no"].map(index) / scale
    found["low"], found["high"] = found["index"] - reach, found["index"] + reach
    found["status"] = np.where(found["n_years"] >= 2, "complete", "partial")
    return found[["month_no", "index", "low", "high", "n_years", "status"]]
