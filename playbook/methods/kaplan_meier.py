"""The share that has had an event by day d, with those still waiting counted as
waiting.

Kaplan, E. L. and Meier, P. (1958), "Nonparametric estimation from incomplete
observations", JASA 53, 457-481. The interval is Greenwood's variance on the log(-log)
scale (Kalbfleisch and Prentice 2002, 1.4), which stays in [0, 1].
"""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.methods.proportions import quantile_of_normal

__all__ = ["kaplan_meier"]


def kaplan_meier(counts: DataFrame, *, level: float = 0.95) -> DataFrame:
    """One row per day from 0 to the last: day, at_risk, events, share (had the event by
    that day), low, high.

    `counts` has one row per day: day, events, censored (people seen without an event up
    to that day and no longer). A person censored on a day was still at risk on it.
    After the last day with anybody at risk nothing is known, so the table ends there.
    Raises PlaybookError on negative counts or days.
    """
    sums = counts.groupby("day")[["events", "censored"]].sum()
    if (sums.to_numpy() < 0).any() or (sums.index < 0).any():
        raise PlaybookError("methods.negative_waits", table="counts")
    days = np.arange(int(sums.index.max()) + 1 if len(sums) else 0)
    events, censored = sums.reindex(days, fill_value=0).to_numpy(float).T
    leaving = events + censored
    at_risk = leaving.sum() - np.concatenate([[0.0], leaving.cumsum()])[:-1]
    still = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = events / (at_risk * (at_risk - events))
        greenwood = np.cumsum(np.where(at_risk > events, step, 0.0))
        reach = quantile_of_normal(level) * np.sqrt(greenwood) / np.abs(np.log(still))
        low, high = 1 - still ** np.exp(-reach), 1 - still ** np.exp(reach)
    # the largest share under which seeing none is not surprising
    nothing_yet = 1 - (1 - level) ** (1 / at_risk)
    conditions = [still == 1, still == 0]
    return DataFrame(
        {
            "day": days,
            "at_risk": at_risk.astype(int),
            "events": events.astype(int),
            "share": 1 - still,
            "low": np.select(conditions, [0.0, np.nan], low),
            "high": np.select(conditions, [nothing_yet, 1.0], high),
        }
    )
