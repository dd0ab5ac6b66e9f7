"""The share that has had an event by day d, with those still waiting counted as
waiting.

Kaplan, E. L. and Meier, P. (1958), "Nonparametric estimation from incomplete
observations", JASA 53, 457-481. The interval is Greenwood's variance on the log(-log)
scale (Kalbfleisch and Prentice 2002, 1.4), which stays in [0, 1].
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError
from playbook.methods.proportions import quantile_of_normal

__all__ = ["kaplan_meier"]


def kaplan_meier(counts: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """One row per day from 0 to the last: day, at_risk, events, share (had the event by
    that day), low, high.

    `counts` has one row per day: day, events, censored (people seen without an event up
    to that day and no longer). A person censored on a day was still at risk on it.
    After the last day with anybody at risk nothing is known, so the table ends there.
    Raises PlaybookError on negative counts or days.
    """
    tidy = counts.groupby("day", as_index=False)[["events", "censored"]].sum().sort_values("day")
    if (tidy[["day", "events", "censored"]] < 0).to_numpy().any():
        raise PlaybookError(
            "Waiting times and counts cannot be negative",
            rule="day, events, censored >= 0",
            do="check that the second event is not before the first",
        )
    if tidy.empty:
        return pd.DataFrame(
            {
                c: pd.Series(dtype=float)
                for c in ("day", "at_risk", "events", "share", "low", "high")
            }
        )
    days = np.arange(int(tidy.day.iloc[-1]) + 1)
    events = tidy.set_index("day").events.reindex(days, fill_value=0).to_numpy(float)
    leaving = tidy.set_index("day").censored.reindex(days, fill_value=0).to_numpy(float)
    gone = np.concatenate([[0.0], np.cumsum(events + leaving)[:-1]])
    at_risk = events.sum() + leaving.sum() - gone
    still = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(
            np.where(at_risk > events, events / (at_risk * (at_risk - events)), 0.0)
        )
        log_still = np.log(still)
        spread = quantile_of_normal(level) * np.sqrt(greenwood) / np.abs(log_still)
        low, high = 1 - still ** np.exp(-spread), 1 - still ** np.exp(spread)
    first = still == 1
    low, high = np.where(first, 0.0, low), np.where(first, np.nan, high)
    nothing_yet = 1 - (1 - level) ** (
        1 / at_risk
    )  # the largest share under which seeing none is not surprising
    high = np.where(first, nothing_yet, np.where(still == 0, 1.0, high))
    return pd.DataFrame(
        {
            "day": days,
            "at_risk": at_risk.astype(int),
            "events": events.astype(int),
            "share": 1 - still,
            "low": np.where(still == 0, np.nan, low),
            "high": high,
        }
    )
