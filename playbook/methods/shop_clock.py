"""Shop time: a clock that runs fast in busy weeks, so that a quiet season is not taken
for customers lost.

Counts of purchases by week of age and week of the calendar are split into two factors,
how much customers of an age buy and how busy the shop was that week (the age-period
model; Clayton & Schifflers 1987, Statistics in Medicine 6), found in turn until they
settle. Ages and pauses counted in busy weeks make buy-till-you-die models, which know
one rate for all times, hold in a seasonal shop: time transformed by its intensity is a
plain Poisson process's (Daley & Vere-Jones 2003, ch. 7.4). The first quarter of a log
tells no season: who seems to be won then may be an old customer, whose age explains too
little. Before a year more nothing tells a season from what is new, and shop time is
calendar time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame

__all__ = [
    "Clock",
    "CALENDAR",
    "shop_clock",
]

#: purchases a week must rest on to count by half: the noise of single weeks averages
#: out in spans of many
CREDIBLE = 3
#: weeks after which a level counts by half
MEMORY = 26.0
#: weeks in a year
YEAR = 52
#: first weeks of a log in which customers' ages are not known well enough
SETTLING = 13
#: years that the clock tells ahead; beyond them a day is a day
YEARS_AHEAD = 2
ROUNDS = 30


@dataclass(frozen=True)
class Clock:
    """Shop days by calendar days, cumulated from the day it was read: `past` backwards,
    `future` forwards. One shop day is a day as busy as the last year's mean. Beyond the
    ends a day is a day.
    """

    past: NDArray
    future: NDArray

    def history(self, table: DataFrame) -> DataFrame:
        """`table` (t_x and T in calendar days) with both in shop days."""
        age = _read(self.past, table["T"])
        idle = _read(self.past, table["T"] - table.t_x)
        return table.assign(t_x=age - idle, T=age)

    def ahead(self, days: float | NDArray) -> NDArray:
        """Shop days in the next `days`."""
        return _read(self.future, days)


CALENDAR = Clock(np.zeros(1), np.zeros(1))


def _read(clock: NDArray, days: float | NDArray) -> NDArray:
    days, last = np.asarray(days, float), len(clock) - 1
    return np.interp(
        days,
        np.arange(last + 1),
        clock,
    ) + np.maximum(days - last, 0)


def shop_clock(past: DataFrame, origin: pd.Timestamp, table: DataFrame) -> Clock:
    """The clock as of `origin`. `past`: customer_id (a whole number), day_on, orders;
    `table`: the histories of the same customers (customer_id, T).
    """
    ids = table.customer_id.to_numpy()
    # days back from the origin, for births and for purchases
    born = np.full(ids.max() + 1, -1)
    born[ids] = table["T"].to_numpy()
    bought = past[past.orders > 0]
    who, back = bought.customer_id.to_numpy(), (origin - bought.day_on).dt.days.to_numpy()
    later = back < born[who]
    n = int(born.max()) // 7 + 1
    if n < YEAR + SETTLING or not later.any():
        return CALENDAR
    first, week = born[who][later] // 7, back[later] // 7
    by_age, by_week = np.bincount(first - week, minlength=n), np.bincount(week, minlength=n)
    won = np.bincount(born[ids] // 7, minlength=n)
    busy, explained = _busy_weeks(
        by_age,
        by_week,
        won,
    )
    season = _season(by_week, explained)
    weeks = np.arange(n)
    level = np.average(busy / season[weeks % YEAR], weights=explained * 0.5 ** (weeks / MEMORY))
    coming = np.tile(level * season[::-1], YEARS_AHEAD)
    return Clock(_cumulated(busy), _cumulated(coming))


def _busy_weeks(by_age: NDArray, by_week: NDArray, won: NDArray) -> tuple[NDArray, NDArray]:
    """How busy each week was (the last year's mean is 1), and the purchases that the
    customers' ages explain in it; weeks are counted back from the origin.

    `by_age` and `by_week`: purchases; `won`: customers by the week they were won.
    """
    n = len(won)
    age = np.subtract.outer(np.arange(n), np.arange(n))
    # of the week of the first purchase a customer lives half
    lived = np.where(
        age > 0,
        won[:, None],
        0.5 * won[:, None] * (age == 0),
    )
    age, busy = np.maximum(age, 0), np.ones(n)
    for _round in range(ROUNDS):
        exposure = np.bincount(
            age.ravel(),
            (lived * busy).ravel(),
            n,
        )
        rate = by_age / np.maximum(exposure, 1e-9)
        explained = (lived * rate[age]).sum(axis=0)
        busy = (by_week + CREDIBLE) / (explained + CREDIBLE)
        busy /= busy[:YEAR].mean()
    return busy, explained


def _season(by_week: NDArray, explained: NDArray) -> NDArray:
    """How busy each week of the year is, counted back from the origin; a year's own
    level is not season, and the log's first weeks do not count.
    """
    whole, is_settled = len(by_week) // YEAR * YEAR, np.arange(len(by_week))[::-1] >= SETTLING
    came, due = ((part * is_settled)[:whole].reshape(-1, YEAR) for part in (by_week, explained))
    due = due * (came.sum(axis=1) / np.maximum(due.sum(axis=1), 1e-9))[:, None]
    season = (came.sum(axis=0) + CREDIBLE) / (due.sum(axis=0) + CREDIBLE)
    season /= season.mean()
    return season


def _cumulated(busy: NDArray) -> NDArray:
    """Shop days to the end of each calendar day, from the factors of weeks."""
    return np.append(0.0, np.repeat(busy, 7).cumsum())
