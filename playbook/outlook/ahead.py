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

__all__ = ["calendar_ahead", "coming_peak"]

#: share of goods whose lead time the order-by date allows for
LEAD_SHARE = 0.9
YEAR = pd.DateOffset(years=1)
#: a year that keeps the weekday, days
WEEKS_OF_YEAR = 364
#: months behind today's tickets per order, and days of one
TICKET_MONTHS, DAYS_OF_MONTH = 3, 365.25 / 12


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


@returns("outlook.calendar_ahead")
def calendar_ahead(
    shop: Store, outlook: Outlook, *, tickets_per_person: float | None = None
) -> DataFrame:
    """The next three months by week (Monday to Sunday, cut at the ends): what the same days
    of the year before did, what is planned, what is missing, when goods had to be ordered
    and how many people answer tickets. The weeks' orders add up to the outlook's quarter.

    `tickets_per_person`: tickets that one answers in a month; people are missing without.
    """
    days = _days_ahead(shop, outlook)
    if days.empty:
        return frame_of("outlook.calendar_ahead", [])
    lead, per_order = _lead_days(shop), _tickets_per_order(shop, days["day_on"].min())
    rows = []
    for week_on, part in days.groupby(days["day_on"].dt.to_period("W-SUN")):
        before, planned = part["is_promotion_before"], part["is_promotion"]
        order_by = None
        if np.isfinite(lead):
            order_by = (part["day_on"].min() - pd.Timedelta(days=lead)).date()
        tickets = part["orders"].sum() * per_order
        rows.append(
            {
                "week_on": week_on.start_time,
                "n_days": len(part),
                "orders_before": part["orders_before"].sum(min_count=len(part)),
                "orders": part["orders"].sum(),
                "promotion_days_before": before.sum(min_count=len(part)),
                "promotion_days_planned": planned.sum(min_count=len(part)),
                "promotion_days_missing": (before > planned)
                .where(before.notna())
                .sum(min_count=len(part)),
                "order_by": order_by,
                "is_late": None if order_by is None else order_by <= shop.as_of,
                "tickets": tickets,
                "people": tickets / len(part) * DAYS_OF_MONTH / (tickets_per_person or np.nan),
            }
        )
    return frame_of("outlook.calendar_ahead", rows)


def _days_ahead(shop: Store, outlook: Outlook) -> DataFrame:
    """The days of the next three months: day_on, orders (each month's forecast dealt out
    like the same weekdays a year before, evenly where these are not known), orders_before,
    and whether under a promotion (1, 0 or missing) then and now.
    """
    rows = outlook.rows.query("metric == 'orders' and level == 'shop' and horizon == 'month'")
    months = rows[rows["step"] <= HORIZONS["quarter"]].sort_values("step")
    sold = _orders_by_day(shop)
    parts = []
    for month, mid in months[["month", "mid"]].itertuples(index=False):
        period = pd.Period(month, "M")
        days = pd.date_range(period.start_time, period.end_time.normalize())
        before = sold.reindex(days - pd.Timedelta(days=WEEKS_OF_YEAR)).to_numpy(float)
        is_known = np.isfinite(before).all() and before.sum() > 0
        weights = before / before.sum() if is_known else np.full(len(days), 1 / len(days))
        orders = mid * weights
        parts.append(DataFrame({"day_on": days, "orders": orders, "orders_before": before}))
    if not parts:
        return DataFrame({"day_on": []})
    table = pd.concat(parts, ignore_index=True)
    then = table["day_on"] - pd.Timedelta(days=WEEKS_OF_YEAR)
    starts = shop.observed_from
    is_past_known = starts is not None and then.min() >= pd.Timestamp(starts)
    return table.assign(
        is_promotion=_under_promotion(shop, table["day_on"]),
        is_promotion_before=_under_promotion(shop, then) if is_past_known else np.nan,
    )


def _orders_by_day(shop: Store) -> pd.Series:
    """Orders by day of the log, days without any as 0."""
    sold = shop.sales_orders.mutate(day_on=shop.sales_orders.ordered_on.cast("date"))
    counts = sold.group_by("day_on").aggregate(n=sold.count()).to_pandas()
    days = pd.to_datetime(counts["day_on"])
    if days.empty:
        return pd.Series(dtype=float)
    whole = pd.date_range(days.min(), pd.Timestamp(shop.as_of))
    return pd.Series(counts["n"].to_numpy(float), days).reindex(whole).fillna(0.0)


def _under_promotion(shop: Store, days: pd.Series) -> np.ndarray:
    """1 for a day under any promotion, 0 for one under none; missing without the table."""
    if not shop.has("promotions"):
        return np.full(len(days), np.nan)
    plan = shop.promotions.select("starts_on", "ends_on").to_pandas()
    starts, ends = (pd.to_datetime(plan[name]).to_numpy() for name in ("starts_on", "ends_on"))
    day = days.to_numpy()[:, None]
    return ((starts <= day) & (ends >= day)).any(axis=1).astype(float)


def _tickets_per_order(shop: Store, first: pd.Timestamp) -> float:
    """Tickets per order of the last three months; missing without tickets."""
    if not shop.has("tickets"):
        return np.nan
    since = (first - pd.DateOffset(months=TICKET_MONTHS)).date()
    opened, sold = shop.tickets.opened_at.cast("date"), shop.sales_orders.ordered_on.cast("date")
    n_tickets = float((opened >= since).sum().to_pandas() or 0)
    n_orders = float((sold >= since).sum().to_pandas() or 0)
    return n_tickets / n_orders if n_orders else np.nan


def _promotion_days(shop: Store, first: pd.Timestamp) -> tuple[float, float]:
    """Days under a promotion in the month a year before, and in the month itself; both
    missing where the shop keeps no promotions, the former before the log.
    """

    def days(start: pd.Timestamp) -> float:
        month = pd.date_range(start, start + pd.offsets.MonthEnd(0))
        return float(_under_promotion(shop, pd.Series(month)).sum())

    is_known = shop.observed_from is not None and (first - YEAR).date() >= shop.observed_from
    return (days(first - YEAR) if is_known else np.nan), days(first)


def _lead_days(shop: Store) -> float:
    """The lead time that nine in ten goods keep; missing where none is stated."""
    if not shop.has("products.lead_time_days"):
        return np.nan
    days = shop.products.select("lead_time_days").to_pandas()["lead_time_days"].astype(float)
    return float(days.quantile(LEAD_SHARE, interpolation="higher"))
