"""Whether a running month is on its way, measured against the shop's own days and not
against a straight line.

A month is not spent evenly: weekdays differ, and most shops have a course within the
month (pay days, promotions at its end). Both are taken from the shop's own past months,
and so is how far a month that ended well had strayed by then.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.given import dated

__all__ = ["pacing"]

#: whole past months from which on a course within the month is believed
MIN_MONTHS = 3


@dated
def pacing(daily: DataFrame, *, as_of: dt.date | str, target: float, months: int = 12) -> DataFrame:
    """Is the month on its way: day_on, linear, expected, actual, pacing, low, high,
    status (`complete`, `unobserved`).

    expected is the target spread by the shop's own days: weekday levels of the last
    `months` months and the mean course of their weekday-adjusted sums within the month
    (three whole months at least, else weekdays alone). low and high bound the pacing
    index of nine in ten of those months at the same share of the month. Figures are
    sums to date; pacing = actual / expected, missing for days to come.
    """
    as_of = pd.Timestamp(as_of)
    month = pd.Period(as_of, "M")
    amounts = daily.set_index("period_on")["amount"].astype(float)
    past = amounts[(month - months).start_time : month.start_time - pd.Timedelta(days=1)]
    days = pd.date_range(month.start_time, month.end_time.normalize())
    week = past.groupby(past.index.day_of_week).mean().reindex(range(7))
    level = week.mean() if past.sum() > 0 else np.nan
    week = (week / level).fillna(1.0).clip(lower=0)
    courses = [
        _course(part, week)
        for p, part in past.groupby(past.index.to_period("M"))
        if len(part) == p.days_in_month and part.sum() > 0
    ]
    at = _shares(len(days))
    shape = np.cumsum(week.reindex(days.day_of_week).to_numpy())
    shape = shape / shape[-1]
    low = high = np.full(len(days), np.nan)
    if len(courses) >= MIN_MONTHS:
        drift = np.array([np.interp(at, _shares(len(c)), c) for c in courses])
        middle = drift.mean(axis=0)
        shape = shape * middle / middle[-1]
        # before the first day with a sale in any month there is no pace to hold against
        apart = np.full(drift.shape, np.nan)
        np.divide(drift, middle, out=apart, where=np.broadcast_to(middle > 0, drift.shape))
        low, high = np.quantile(apart, [0.05, 0.95], axis=0)
    actual = amounts.reindex(days).where(days <= as_of).cumsum().to_numpy()
    expected = target * shape
    return DataFrame(
        {
            "day_on": days,
            "linear": target * at,
            "expected": expected,
            "actual": actual,
            "pacing": actual / np.where(expected > 0, expected, np.nan),
            "low": low,
            "high": high,
            "status": np.where(days <= as_of, "complete", "unobserved"),
        }
    )


def _shares(n: int) -> np.ndarray:
    """Share of the month that is over at the end of each of its n days."""
    return np.arange(1, n + 1) / n


def _course(part: pd.Series, week: pd.Series) -> np.ndarray:
    """A past month's sums to date over what its weekdays alone would have given: 1 at
    the end.
    """
    flat = week.reindex(part.index.day_of_week).to_numpy().cumsum()
    return (part.to_numpy().cumsum() / part.sum()) / np.maximum(flat / flat[-1], 1e-9)
