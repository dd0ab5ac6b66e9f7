"""What sessions lost at a step are worth: the orders and the margin that usually
follow, each with its range.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.chapters.customer_journey.visits import SPLITS, filled
from playbook.given import dated
from playbook.methods.proportions import quantile_of_normal
from playbook.store import expression

__all__ = ["Worth", "coming_per_order", "order_worth"]

LEAST_ORDERS = 30  # orders of a segment below which the shop's own mean margin is taken


@dataclass(frozen=True)
class Worth:
    """`margins`: sums of order margins by device and channel (n, total, square);
    `orders_per_purchase`: counted orders to each session with a purchase; `z`: the
    normal quantile of the ranges.
    """

    margins: DataFrame
    orders_per_purchase: float
    z: float

    def of(
        self, lost: float, error: float, past: DataFrame, step: str, segment: dict[str, str]
    ) -> dict[str, float]:
        """Sessions lost at a step, with their standard error, as orders and as margin."""
        onward = _onward(past, step)
        orders, orders_error = (n * onward * self.orders_per_purchase for n in (lost, error))
        mean, variance = self._margin(segment)
        margin_error = float(np.sqrt((mean * orders_error) ** 2 + orders**2 * variance))
        return {
            "lost_orders": orders,
            "orders_low": orders - self.z * orders_error,
            "orders_high": orders + self.z * orders_error,
            "margin_per_order": mean,
            "lost_margin": orders * mean,
            "low": orders * mean - self.z * margin_error,
            "high": orders * mean + self.z * margin_error,
        }

    def _margin(self, segment: dict[str, str]) -> tuple[float, float]:
        """Mean margin of the segment's orders, and the variance of that mean."""
        own = self.margins
        for name in SPLITS[:2]:
            own = own[own[name] == segment[name]] if segment[name] != "all" else own
        sums = (own if own["n"].sum() >= LEAST_ORDERS else self.margins)[["n", "total", "square"]]
        n, total, square = sums.sum().astype(float)
        if n == 0:
            return np.nan, np.nan
        return total / n, (square / n - (total / n) ** 2) / n


def order_worth(orders: ibis.Table | None, days: DataFrame, level: float) -> Worth:
    """The worth of orders on the days the funnel covers; margins missing without
    `orders`.
    """
    z = quantile_of_normal(level)
    if orders is None or "purchase" not in days or days.empty:
        return Worth(
            DataFrame(columns=[*SPLITS[:2], "n", "total", "square"]),
            1.0,
            z,
        )
    first, last = days["day_on"].min().date(), days["day_on"].max().date()
    sold = filled(expression(orders), *SPLITS[:2]).filter(_.ordered_on.between(first, last))
    # wide enough for squares
    sold = sold.mutate(amount=_.margin.cast("decimal(38, 6)"))
    sums = sold.group_by(SPLITS[:2]).aggregate(
        n_orders=_.count(),
        n=_.amount.count(),
        total=_.amount.sum(),
        square=(_.amount * _.amount).sum(),
    )
    margins = sums.order_by(SPLITS[:2]).to_pandas().fillna({"total": 0, "square": 0})
    margins = margins.astype({"total": float, "square": float})
    bought = days["purchase"].sum()
    return Worth(
        margins,
        float(margins["n_orders"].sum() / bought) if bought > 0 else 1.0,
        z,
    )


def _onward(past: DataFrame, step: str) -> float:
    """The share of the sessions at a step that usually buys."""
    if step == "purchase":
        return 1.0
    reached = past[step].sum()
    return past["purchase"].sum() / reached if "purchase" in past and reached > 0 else np.nan


@dated
def coming_per_order(orders: ibis.Table, as_of: dt.date) -> float:
    """Contribution margin that the next three months are to bring a month, for each order
    of this month: the mean margin of an order times how much busier these three were than
    this month a year ago; no busier where no year is on record. Missing where no order of
    the month has a margin.
    """
    sold = expression(orders).mutate(month=_.ordered_on.cast("date").truncate("M"))
    sums = sold.group_by("month").aggregate(
        margin=_.margin.cast("float64").sum(), each=_.margin.cast("float64").mean()
    )
    table = sums.to_pandas()
    by_month = table.set_index(pd.PeriodIndex(pd.to_datetime(table.month), freq="M"))
    now = pd.Period(as_of, freq="M")
    each, then = by_month.each.get(now, np.nan), by_month.margin.get(now - 12, np.nan)
    ahead = by_month.margin.reindex([now - 11, now - 10, now - 9])
    busier = ahead.mean() / then if ahead.notna().all() and then > 0 else 1.0
    return float(each * busier)
