"""The coming peak: what the shop did in the same weeks before, what is planned now, what
is missing, and by when goods have to be ordered to be there.

Nothing here forecasts: the outlook's season already holds the usual promotions of the
peak, so a peak without them is to be expected lower than it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.outlook.forecast import HORIZONS, Outlook
from playbook.tables import frame_of, returns

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["coming_peak"]

#: share of goods whose lead time the order-by date allows for
LEAD_SHARE = 0.9
YEAR = pd.DateOffset(years=1)


@returns("outlook.coming_peak")
def coming_peak(shop: Store, outlook: Outlook) -> DataFrame:
    """The busiest of the next three months, by orders. Promotion days are days under any
    promotion; planned ones are those the table `promotions` holds at as-of.
    """
    months = outlook.rows.query("metric == 'orders' and level == 'shop' and horizon == 'month'")
    months = months[months["step"] <= HORIZONS["quarter"]]
    if months.empty:
        return frame_of("outlook.coming_peak", [])
    peak = months.sort_values(["mid", "step"], ascending=[False, True]).iloc[0]
    first = pd.Period(peak["month"], "M").start_time
    before, planned = _promotion_days(shop, first)
    lead = _lead_days(shop)
    order_by = (first - pd.Timedelta(days=lead)).date() if np.isfinite(lead) else None
    row = {
        "month": peak["month"],
        "orders_before": peak["year_before"],
        "orders": peak["mid"],
        "over_mean": peak["mid"] / months["mid"].mean(),
        "promotion_days_before": before,
        "promotion_days_planned": planned,
        "promotion_days_missing": max(before - planned, 0.0),
        "lead_time_days": lead,
        "order_by": order_by,
        "is_late": None if order_by is None else order_by <= shop.as_of,
    }
    return frame_of("outlook.coming_peak", [row])


def _promotion_days(shop: Store, first: pd.Timestamp) -> tuple[float, float]:
    """Days under a promotion in the month a year before, and in the month itself; both
    missing where the shop keeps no promotions, the former before the log.
    """
    if not shop.has("promotions"):
        return np.nan, np.nan
    plan = shop.promotions.select("starts_on", "ends_on").to_pandas()
    starts, ends = (pd.to_datetime(plan[name]) for name in ("starts_on", "ends_on"))

    def days(start: pd.Timestamp) -> float:
        month = pd.date_range(start, start + pd.offsets.MonthEnd(0))
        return float(sum(((starts <= day) & (ends >= day)).any() for day in month))

    is_known = shop.observed_from is not None and (first - YEAR).date() >= shop.observed_from
    return (days(first - YEAR) if is_known else np.nan), days(first)


def _lead_days(shop: Store) -> float:
    """The lead time that nine in ten goods keep; missing where none is stated."""
    if not shop.has("products.lead_time_days"):
        return np.nan
    days = shop.products.select("lead_time_days").to_pandas()["lead_time_days"].astype(float)
    return float(days.quantile(LEAD_SHARE, interpolation="higher"))
