"""Months without what an incident falsified: a month with an outage teaches nothing about
conversion, and a forecast is no forecast of another outage.

What the days of an incident would have brought is told by the other days of its month,
day of the week by day of the week. A figure that the incident left hardly any days of is
not known.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.detect.incidents import KINDS, incidents
from playbook.detect.panels import Panels
from playbook.store import Store

__all__ = ["month_factors", "not_whole", "usual_months"]

#: a month of which less is left says nothing of its other days
LEAST_LEFT = 0.5
#: how far back incidents are looked for
MONTHS = 13
#: figure of a month -> the days it is measured by, and the column of start_here.daily whose
#: incidents falsify it
MEASURED_BY = {
    "sessions": ("sessions", "sessions"),
    "orders": ("orders", "orders"),
    "buyers": ("orders", "orders"),
    "new_customers": ("orders", "new_customers"),
    "net_revenue": ("revenue", "net_revenue"),
    "cm": ("margin", "margin"),
}


def usual_months(shop: Store) -> DataFrame:
    """One row per month, one column per figure of MEASURED_BY: by what the figure would
    have been multiplied, had the incidents of the last 13 months not been; missing where
    too few days are left to tell. No rows for months nothing falsified.
    """
    table = incidents(shop, months=MONTHS)
    table = table[[bool(KINDS[kind].get("hides")) for kind in table.kind]]
    if table.empty:
        return DataFrame(columns=list(MEASURED_BY), dtype=float)
    panels = Panels(shop, months=MONTHS)
    days = panels.orders[["orders", "revenue", "margin"]]
    if panels.visits is not None:
        days = days.assign(sessions=panels.visits.sum(axis=1, min_count=1))
    return month_factors(days, table)


def month_factors(days: DataFrame, table: DataFrame) -> DataFrame:
    """`usual_months` of these days (one row each: orders, revenue, margin, sessions as
    far as known) and these incidents (detect.incidents).
    """
    found = {}
    for figure, (measure, column) in MEASURED_BY.items():
        is_hit = _hit(days.index, table, column)
        if is_hit.any() and measure in days:
            found[figure] = _factors(days[measure].astype(float), is_hit)
    factors = DataFrame(found, dtype=float).reindex(columns=list(MEASURED_BY), fill_value=1.0)
    return factors[factors.ne(1.0).any(axis=1)]


def _hit(days: pd.DatetimeIndex, table: DataFrame, column: str) -> Series:
    """The days on which an incident falsified this column of a day."""
    is_hit = Series(False, days)
    for row in table.itertuples():
        if column in KINDS[row.kind].get("hides", []):
            is_hit[str(row.starts_on) : str(row.ends_on)] = True
    return is_hit


def _factors(amount: Series, is_hit: Series) -> Series:
    """By month: the whole month by its other days, over what was counted."""
    month, weekday = amount.index.strftime("%Y-%m"), amount.index.day_of_week
    clean = amount.mask(is_hit)
    usual = clean.groupby(weekday).transform("mean")
    left = usual.where(clean.notna()).groupby(month).sum() / usual.groupby(month).sum()
    whole = clean.groupby(month).sum() / left.where(left >= LEAST_LEFT)
    is_month = is_hit.groupby(month).any()
    return (whole / amount.groupby(month).sum()).where(is_month, 1.0).replace(np.inf, np.nan)


def not_whole(headline: DataFrame, table: DataFrame) -> DataFrame:
    """The figures of months (metric, month, status ...) with those marked partial that an
    incident kept from being counted on some of the month's days.
    """
    status = headline.status.copy()
    for row in table.itertuples():
        figures = KINDS[row.kind].get("figures", []) if row.kind in KINDS else []
        first, last = str(row.starts_on)[:7], str(row.ends_on)[:7]
        is_hit = headline.metric.isin(figures) & headline.month.between(first, last)
        status = status.mask(is_hit & status.eq("complete"), "partial")
    return headline.assign(status=status)
