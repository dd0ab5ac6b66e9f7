"""Shop time: a clock that runs fast in busy weeks, so that a quiet season is not taken
for customers lost.

Counts of purchases by week of age and week of the calendar are split into two factors,
how much customers of an age buy and how busy the shop was that week (the age-period
model; Clayton & Schifflers 1987, Statistics in Medicine 6), found in turn until they
settle. Ages and pauses counted in busy weeks make buy-till-you-die models, which know
one rate for all times, hold in a seasonal shop: time transformed by its intensity is a
plain Poisson process's (Daley & Vere-Jones 2003, ch. 7.4). Before one year of log
nothing tells a season from what is new, and shop time is calendar time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["Clock", "CALENDAR", "shop_clock"]

CREDIBLE = 3  # purchases a week must rest on to count by half: noise of single weeks averages out in spans of many
MEMORY = 26.0  # weeks after which a level counts by half
YEAR = 52


@dataclass(frozen=True)
class Clock:
    """Shop days by calendar days, cumulated from the day it was read: `past` backwards,
    `future` forwards; one shop day is a day as busy as the last year's mean. Beyond the
    ends a day is a day.
    """

    past: np.ndarray
    future: np.ndarray

    def history(self, table: pd.DataFrame) -> pd.DataFrame:
        """`table` (t_x and T in calendar days) with both in shop days."""
        age, idle = (_read(self.past, table["T"] - gone) for gone in (0, table["t_x"]))
        return table.assign(t_x=age - idle, T=age)

    def ahead(self, days: float | np.ndarray) -> np.ndarray:
        """Shop days in the next `days`."""
        return _read(self.future, days)


CALENDAR = Clock(np.zeros(1), np.zeros(1))


def _read(clock: np.ndarray, days: float | np.ndarray) -> np.ndarray:
    days, last = np.asarray(days, float), len(clock) - 1
    return np.interp(days, np.arange(last + 1), clock) + np.maximum(days - last, 0)


def shop_clock(
    past: pd.DataFrame, origin: pd.Timestamp, table: pd.DataFrame, *, years: int = 2
) -> Clock:
    """The clock as of `origin`, `years` ahead. `past`: customer_id (a whole number),
    day_on, orders; `table`: the histories of the same customers (customer_id, T).
    """
    born, ids = np.full(table["customer_id"].max() + 1, -1), table["customer_id"].to_numpy()
    born[ids] = table["T"].to_numpy()  # days back from the origin
    n, bought = int(born.max()) // 7 + 1, past[past["orders"] > 0]
    who, back = bought["customer_id"].to_numpy(), (origin - bought["day_on"]).dt.days.to_numpy()
    later = back < born[who]
    if n < YEAR or not later.any():
        return CALENDAR
    first, week = born[who][later] // 7, back[later] // 7
    won, age = (
        np.bincount(born[ids] // 7, minlength=n),
        np.subtract.outer(np.arange(n), np.arange(n)),
    )
    lived = np.where(
        age > 0, won[:, None], 0.5 * won[:, None] * (age == 0)
    )  # the week of the first purchase: half
    age = np.maximum(age, 0)
    by_age, by_week = np.bincount(first - week, minlength=n), np.bincount(week, minlength=n)
    busy = np.ones(n)
    for _round in range(30):
        rate = by_age / np.maximum(np.bincount(age.ravel(), (lived * busy).ravel(), n), 1e-9)
        explained = (lived * rate[age]).sum(axis=0)
        busy = (by_week + CREDIBLE) / (explained + CREDIBLE)
        busy /= busy[:YEAR].mean()
    came, due = (part[: n // YEAR * YEAR].reshape(-1, YEAR) for part in (by_week, explained))
    due = (
        due * (came.sum(axis=1) / np.maximum(due.sum(axis=1), 1e-9))[:, None]
    )  # a year's own level is not season
    season = (came.sum(axis=0) + CREDIBLE) / (
        due.sum(axis=0) + CREDIBLE
    )  # by weeks back from the origin
    season /= season.mean()
    weeks = np.arange(n)
    level = np.average(busy / season[weeks % YEAR], weights=explained * 0.5 ** (weeks / MEMORY))
    coming = np.tile(level * season[::-1], years)
    return Clock(*(np.append(0.0, np.repeat(b, 7).cumsum()) for b in (busy, coming)))
