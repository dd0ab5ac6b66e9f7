"""On which days the shop was closed, told from its orders alone.

A day without an order is a day on which nothing was sold, unless chance does not make
such a day: a weekday on which the shop does not sell, or a run of empty days longer than
its trade around them would leave. What is closed is not observed; what is quiet is zero.
Whether such a run was a holiday or is a hole in the log, shop.yaml can tell (`holidays`,
`closed_weekdays`), and the orders' own numbers where the shop counts them up: numbers that
go on across the empty days without a jump lack no order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from ibis import _
from numpy import ndarray
from pandas import DataFrame, Series

from playbook.store.shop import Store

__all__ = ["Closures", "closures", "hole_days", "numbered_on", "orders_by_day", "shop_closures"]

CLOSED_SHARE = 0.05  # a closed weekday has orders in fewer of its weeks
WEEKDAY_CHANCE = 1e-4  # and chance would leave so few of them less often than this
RUN_CHANCE = 0.01  # a log has one such run of empty days by chance less often than this
LEAST_RATIO, NEARLY_POISSON = 1e-6, 1e-3  # of variance and mean of a day's orders
IN_TURN = 0.95  # of the days begin above the last number of the day before, where numbers tell
SKIPPED = 0.5  # of the numbers a usual day takes, under which no order is lacking
LEAST_NUMBERED = 28  # days with orders from which numbers tell
NEAR_DAYS = 91  # to either side: the trade a run is held against


@dataclass(frozen=True)
class Closures:
    """Weekdays closed all through the log (0 is Monday), runs of closed days between
    them (first and last day, both closed), and days without an order that the shop itself
    says it was closed on, or that lack no order's number.
    """

    weekdays: tuple[int, ...]
    runs: tuple[tuple[pd.Timestamp, pd.Timestamp], ...]
    stated: tuple[pd.Timestamp, ...] = ()

    def closed(self, days: pd.DatetimeIndex) -> ndarray:
        """Whether the shop was closed, day by day."""
        is_closed = self.known(days)
        for first, last in self.runs:
            is_closed |= (days >= first) & (days <= last)
        return is_closed

    def known(self, days: pd.DatetimeIndex) -> ndarray:
        """Whether it is known that the shop was closed, by its week, by what it says or by
        its orders' numbers: any other closed day may be a hole in the log.
        """
        return np.isin(days.day_of_week, self.weekdays) | days.isin(self.stated)


def orders_by_day(shop: Store) -> Series:
    """Orders placed on every day of the log, 0 on days without any."""
    counted = shop.con.execute(shop.orders.group_by(day_on=_.ordered_on).aggregate(n=_.count()))
    days = Series(counted.n.to_numpy(), index=pd.to_datetime(counted.day_on))
    last = min(shop.as_of, shop.observed_to or shop.as_of)
    return days.reindex(pd.date_range(shop.observed_from, last), fill_value=0)


def shop_closures(shop: Store) -> Closures:
    """When the shop was closed, by its orders, their numbers and its shop.yaml."""
    orders = orders_by_day(shop)
    days = orders.index
    weekdays = shop.settings.get("closed_weekdays") or []
    is_stated = days.day_name().str.lower().isin(weekdays)
    is_stated |= days.isin(pd.to_datetime(shop.settings.get("holidays") or []))
    found = closures(orders, stated=days[is_stated])
    shut = numbered_on(_numbers_by_day(shop), found.runs) if found.runs else ()
    return replace(found, stated=(*found.stated, *shut))


def hole_days(shop: Store) -> pd.DatetimeIndex:
    """Days of the log that should hold orders and do not: more than chance leaves empty,
    and not known to be closed.
    """
    shut, days = shop_closures(shop), orders_by_day(shop).index
    return days[shut.closed(days) & ~shut.known(days)]


def closures(orders: Series, *, stated: pd.DatetimeIndex | None = None) -> Closures:
    """When a shop was closed. `orders`: orders placed by day, one row for every day of
    the log, 0 on days without any. `stated`: days the shop says it is closed on; one with
    orders was not.
    """
    empty = orders.index[orders == 0].intersection(stated if stated is not None else [])
    orders = orders.drop(empty)
    weekdays = tuple(_closed_weekdays(orders))
    held = orders[~np.isin(orders.index.day_of_week, weekdays)]
    return Closures(weekdays, tuple(_closed_runs(held)), tuple(empty))


def numbered_on(
    numbers: DataFrame, runs: tuple[tuple[pd.Timestamp, pd.Timestamp], ...]
) -> tuple[pd.Timestamp, ...]:
    """The days of those `runs` across which the orders' numbers go on: fewer are skipped
    than half of what a usual day takes. `numbers`: one row per day with orders (first, last:
    the lowest and the highest number; missing where an order has none). None where the shop
    does not count its orders up, or where days that follow each other skip as many.
    """
    first, last = numbers["first"].astype(float), numbers["last"].astype(float)
    took, skipped = last.diff(), first - last.shift() - 1
    if len(numbers) < LEAST_NUMBERED or first.isna().any():
        return ()
    limit = SKIPPED * took.median()
    ends = [(numbers.index.searchsorted(start), start, end) for start, end in runs]
    usual = skipped.drop(numbers.index[[n for n, *_run in ends if n < len(numbers)]]).iloc[1:]
    if not ((usual >= 0) & (usual < limit)).mean() >= IN_TURN:
        return ()
    known = [
        pd.date_range(start, end)
        for n, start, end in ends
        if 0 < n < len(numbers) and 0 <= skipped.iloc[n] < limit
    ]
    return tuple(day for days in known for day in days)


def _numbers_by_day(shop: Store) -> DataFrame:
    """The lowest and the highest number of the orders of each day with orders, read from the
    digits their ids end in; missing on a day on which one has none.
    """
    digits = shop.orders.order_id.re_extract(r"([0-9]{1,15})$", 1).nullif("")
    table = shop.orders.mutate(number=digits.cast("int64")).group_by(day_on=_.ordered_on)
    sums = {"first": _.number.min(), "last": _.number.max(), "lack": _.number.isnull().sum()}
    found = shop.con.execute(table.aggregate(**sums).order_by("day_on"))
    found = found.set_index(pd.to_datetime(found.day_on))[["first", "last", "lack"]]
    return found[["first", "last"]].where(found.lack == 0)


def _closed_weekdays(orders: Series) -> Iterator[int]:
    """Weekdays on which the shop almost never sells, where its other days make that no
    chance (binomial, one-sided).
    """
    from scipy.stats import binom

    by_day = DataFrame({"sold": orders.to_numpy() > 0, "weekday": orders.index.day_of_week})
    counts = by_day.groupby("weekday").sold.agg(["sum", "count"])
    for weekday, (n_sold, n_days) in zip(counts.index, counts.to_numpy(), strict=True):
        others = counts.drop(weekday)
        # days that are closed themselves say nothing of chance
        others = others[others["sum"] >= CLOSED_SHARE * others["count"]]
        if n_sold >= CLOSED_SHARE * n_days or others.empty:
            continue
        usual = others["sum"].sum() / others["count"].sum()
        if binom.cdf(n_sold, n_days, usual) < WEEKDAY_CHANCE:
            yield int(weekday)


def _closed_runs(orders: Series) -> Iterator[tuple[pd.Timestamp, pd.Timestamp]]:
    """Runs of days without an order, weekly closing days aside, that the trade of the
    days around them would leave by chance less than once in `1 / RUN_CHANCE` such logs.
    The two days a run ends at have orders by definition, and say nothing of that trade.
    """
    counts, days = orders.to_numpy(float), orders.index
    is_empty = counts == 0
    turns = np.flatnonzero(np.diff(np.r_[False, is_empty, False]))
    for start, stop in zip(turns[::2], turns[1::2], strict=True):
        before = counts[max(start - 1 - NEAR_DAYS, 0) : max(start - 1, 0)]
        around = np.r_[before, counts[stop + 1 : stop + 1 + NEAR_DAYS]]
        if np.log(len(counts)) + _log_empty(around, stop - start) < np.log(RUN_CHANCE):
            yield days[start], days[stop - 1]


def _log_empty(counts: ndarray, n_days: int) -> float:
    """The log of the chance that `n_days` in a row have no order, given the orders of other
    days: negative binomial where these vary more than by Poisson, binomial where less; 0
    where they hold no order.

    That the rate itself is only known from these days counts: the chance is the predictive
    one of a Poisson rate under Jeffreys' prior, (m / (m + n)) ** (k + 1/2) for k orders in m
    days (Gelman et al., Bayesian Data Analysis, 2.6), with k in orders that vary by Poisson.
    """
    mean = counts.mean() if len(counts) else 0.0
    if not mean > 0:
        return 0.0
    ratio = max(counts.var() / mean, LEAST_RATIO)
    # both laws: mean * log(ratio) / (ratio - 1), which is `mean` at a ratio of one
    is_poisson = abs(ratio - 1) < NEARLY_POISSON
    rate = mean if is_poisson else mean * np.log(ratio) / (ratio - 1)
    return -float((rate * len(counts) + 0.5) * np.log1p(n_days / len(counts)))
