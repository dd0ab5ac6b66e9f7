"""One day and its week: the headline figures beside what such a day usually brings.

A day is expected to be the median of the same weekday in the eight weeks before, moved by
the level of the last fortnight; how far earlier days missed that sets the range that holds
four days of five, and the limits that a day without news passes with any of its figures in
one case of twenty. Days of an incident teach nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.detect.incidents import without_incidents
from playbook.detect.panels import Panels
from playbook.measures.metrics import METRICS
from playbook.measures.revenue_days import sums_by_day
from playbook.measures.sums import total
from playbook.methods.proportions import quantile_of_normal
from playbook.tables import returns, schema

__all__ = ["FIGURES", "day_figures"]

#: figure -> what it adds up, and what that is divided by
FIGURES = {
    "net_revenue": ("net_revenue", ""),
    "orders": ("orders", ""),
    "aov": ("net_revenue", "orders"),
    "cm": ("margin", ""),
    "sessions": ("sessions", ""),
    "cvr_sessions": ("orders", "sessions"),
    "new_customers": ("new_customers", ""),
    "refund_share_booked": ("refunds", "revenue"),
}
#: weeks behind what is expected, days behind its level, misses below which nothing is said
WEEKS, LEVEL_DAYS, LEAST_MISSES = 8, 14, 28
#: of quiet days, the share inside the usual range, and those with any figure outside limits
INSIDE, FALSE_ALARMS = 0.8, 0.05
SAME = 1e-9


@returns("detect.day_figures")
def day_figures(panels: Panels, incidents: DataFrame) -> DataFrame:
    """The last day of the panels and the seven days up to it, by figure; a figure the shop
    does not tell is left out.
    """
    days = _days(panels)
    quiet = without_incidents(days.reset_index(), incidents, before=str(panels.days[-1].date()))
    quiet = quiet.set_index("day_on")
    rows = []
    for metric, (top, base) in FIGURES.items():
        if not ({top, base} - {""} <= set(days) and days[top].notna().any()):
            continue
        row = _judged(_ratio(days, top, base), _ratio(quiet, top, base), metric)
        for name, back in (("week", 0), ("week_before", 7)):
            last = days.iloc[len(days) - 7 - back : len(days) - back]
            row[name] = float(_ratio(last.sum(skipna=False).to_frame().T, top, base).iloc[0])
        row["week_change"] = row["week"] / row["week_before"] - 1 if row["week_before"] else np.nan
        rows.append({"metric": metric} | row)
    return DataFrame(rows, columns=schema("detect.day_figures").names)


def _days(panels: Panels) -> DataFrame:
    """What the figures are made of, by day, under the names of start_here.daily."""
    shop, days = panels.shop, panels.days
    table = panels.orders[["orders", "revenue", "margin"]].copy()
    back = sums_by_day(
        shop.booked_refunds, "refunded_on", days, amount=total("amount"), margin=total("margin")
    )
    table["refunds"] = back.amount
    table["net_revenue"] = table.revenue - back.amount
    table["margin"] = table.margin + back.margin.fillna(0.0)
    if not panels.is_margin_known:
        table = table.drop(columns="margin")
    if shop.has("orders.customer_id"):
        is_new = (_.is_first & ~_.is_left_truncated).sum()
        new = sums_by_day(
            shop.sales_orders,
            "ordered_on",
            days,
            new_customers=is_new,
        )
        table["new_customers"] = new.new_customers
    if panels.visits is not None:
        table["sessions"] = panels.visits.sum(axis=1, min_count=1)
    return table.rename_axis("day_on")


def _ratio(days: DataFrame, top: str, base: str) -> Series:
    amount = days[top].astype(float)
    return amount / days[base].astype(float).where(days[base] > 0) if base else amount


def _judged(days: Series, quiet: Series, metric: str) -> dict[str, Any]:
    """The last day beside what was to be expected of it."""
    from scipy.stats import t as student

    now, is_count = float(days.iloc[-1]), METRICS[metric].unit == "count"
    past = np.log1p(quiet) if is_count else np.log(quiet.where(quiet > 0))
    back = np.expm1 if is_count else np.exp
    weeks = pd.concat([past.shift(7 * k) for k in range(1, WEEKS + 1)], axis=1).median(axis=1)
    level = (past - weeks).shift(1).rolling(LEVEL_DAYS, min_periods=LEVEL_DAYS // 2).median()
    expected = weeks + level.fillna(0.0)
    missed = (past - expected).iloc[:-1].dropna()
    row: dict[str, Any] = {"day": now, "usual": float(back(expected.iloc[-1]))}
    names = ("usual_low", "usual_high", "lower", "upper")
    if len(missed) < LEAST_MISSES or np.isnan(expected.iloc[-1]):
        nothing = dict.fromkeys(("usual", *names), np.nan)
        return row | nothing | {"flag": "no history"}
    # no count is steadier than Poisson's
    least = 1 / np.sqrt(max(row["usual"], 1.0)) if is_count else 0.0
    low, high = np.quantile(missed, [(1 - INSIDE) / 2, (1 + INSIDE) / 2])
    usual = quantile_of_normal(INSIDE) * least
    ends = min(low, -usual), max(high, usual)
    spread = max(1.4826 * float((missed - missed.median()).abs().median()), least)
    reach = spread * student.ppf(1 - FALSE_ALARMS / (2 * len(FIGURES)), len(missed) - 1)
    limits = back(expected.iloc[-1] + np.array([*ends, -reach, reach]))
    limits = np.maximum(limits, 0.0) if is_count else limits
    row |= dict(zip(names, limits, strict=True))
    return row | {"flag": _flag(now, limits, metric)}


def _flag(now: float, limits: np.ndarray, metric: str) -> str:
    """usual, unusual, or outside limits: better or worse where the figure has a side."""
    if np.isnan(now):
        return "no history"
    # a shop that sells the same every day is not outside by what rounding leaves
    (low, lower), (high, upper) = limits[[0, 2]] * (1 - SAME), limits[[1, 3]] * (1 + SAME)
    if lower <= now <= upper:
        return "usual" if low <= now <= high else "unusual"
    if METRICS[metric].direction.startswith("↔"):
        return "outside limits"
    return "worse" if (now < lower) != METRICS[metric].is_lower_better else "better"
