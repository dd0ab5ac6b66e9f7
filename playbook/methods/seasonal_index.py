"""The season of a year of months, with the number of years that stand behind it.

Ratio to the centred twelve-month mean (X-11's first pass; Ladiray & Quenneville 2001,
ch. 4), from sums, so that a weak year weighs less than a strong one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame

__all__ = ["seasonal_index"]


def seasonal_index(monthly: DataFrame) -> DataFrame:
    """One row per month of the year:

    - month_no: 1 to 12
    - index: 1 is an average month, trend taken out
    - low, high: 90 % interval of the index; missing for months seen once in all
    - n_years: how many years stand behind the month
    - status: `complete`, `partial` (seen once) or `not identifiable`

    `monthly`: month (YYYY-MM), amount; whole months only. The index is the sum of the
    month's amounts over the sum of their centred twelve-month means. The interval is
    Student's t; the spread between years is pooled over the twelve months, because
    years per month are few. With one year of months there is no centred mean for all
    of them: `not identifiable` and missing.
    """
    from scipy.stats import t as student

    months = _with_centred_mean(monthly)
    by_month = months.groupby("month_no")
    season = DataFrame({"month_no": range(1, 13)}).assign(index=np.nan, low=np.nan, high=np.nan)
    n_years = season["month_no"].map(by_month.size()).fillna(0).astype("int64")
    season["n_years"] = n_years
    if n_years.min() < 1:
        return season.assign(status="not identifiable")
    ratio_of_sums = by_month.amount.sum() / by_month.centred_mean.sum()
    scale = ratio_of_sums.mean()
    freedom = int((n_years - 1).sum())
    squares = (months.ratio - by_month.ratio.transform("mean")) ** 2
    spread = np.sqrt(squares.sum() / freedom) if freedom else np.nan
    half = student.ppf(0.95, max(freedom, 1)) * spread / np.sqrt(n_years) / scale
    index = season["month_no"].map(ratio_of_sums) / scale
    status = np.where(n_years >= 2, "complete", "partial")
    return season.assign(
        index=index,
        low=index - half,
        high=index + half,
        status=status,
    )


def _with_centred_mean(monthly: DataFrame) -> DataFrame:
    """The months that have a positive centred mean: amount, centred_mean, month_no, ratio."""
    period = pd.PeriodIndex(monthly.month, freq="M")
    amount = pd.Series(monthly.amount.to_numpy(float), index=period).sort_index()
    if len(amount):
        amount = amount.reindex(pd.period_range(period.min(), period.max(), freq="M"))
    mean = amount.rolling(12).mean()
    months = DataFrame(
        {
            "amount": amount,
            "centred_mean": (mean + mean.shift(-1)).shift(-5) / 2,
        }
    )
    months["month_no"] = amount.index.month
    months = months.dropna()
    months = months[months.centred_mean > 0]
    return months.assign(ratio=months.amount / months.centred_mean)
