"""The coming peak: what the shop did in the same weeks before, what is planned now, what
is missing, and by when goods have to be ordered to be there.

Nothing here forecasts: the outlook's season already holds the usual promotions of the
peak, so a peak without them is to be expected lower than it says.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.outlook.forecast import HORIZONS, Outlook
from playbook.tables import frame_of, returns

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["calendar_ahead", "coming_peak", "promotions_ahead", "with_people"]

#: share of goods whose lead time the order-by date allows for
LEAD_SHARE = 0.9
#: a year that keeps the weekday, days
WEEKS_OF_YEAR = 364
#: months behind today's tickets per order, and days of one
TICKET_MONTHS, DAYS_OF_MONTH = 3, 365.25 / 12


@returns("outlook.coming_peak")
def coming_peak(shop: Store, outlook: Outlook) -> DataFrame:
    """The busiest of the next three months, by orders. Promotion days are days under any
    promotion: planned ones those the table `promotions` holds at as-of, earlier ones those
    of the same weeks a year before, as in `calendar_ahead`.
    """
    months = outlook.rows.query("metric == 'orders' and level == 'shop' and horizon == 'month'")
    months = months[months["step"] <= HORIZONS["quarter"]]
    if months.empty:
        return frame_of("outlook.coming_peak", [])
    peak = months.sort_values(["mid", "step"], ascending=[False, True]).iloc[0]
    days = _days_ahead(shop, outlook)
    days = days[days["day_on"].dt.strftime("%Y-%m") == peak["month"]]
    lead = _lead_days(shop)
    order_by = _order_by(days["day_on"].min(), lead)
    row = {
        "month": peak["month"],
        "orders_before": peak["year_before"],
        "orders": peak["mid"],
        "over_mean": peak["mid"] / months["mid"].mean(),
        **_promotion_days(days),
        "lead_time_days": lead,
        "order_by": order_by,
        "is_late": None if order_by is None else order_by <= shop.as_of,
    }
    return frame_of("outlook.coming_peak", [row])


@returns("outlook.calendar_ahead")
def calendar_ahead(shop: Store, outlook: Outlook) -> DataFrame:
    """The next three months by week (Monday to Sunday, cut at the ends): what the same days
    of the year before did, what is planned, what is missing, when goods had to be ordered
    and what has to be answered. The weeks' orders add up to the outlook's quarter.
    """
    days = _days_ahead(shop, outlook)
    if days.empty:
        return frame_of("outlook.calendar_ahead", [])
    lead, per_order = _lead_days(shop), _tickets_per_order(shop, days["day_on"].min())
    rows = []
    for week_on, part in days.groupby(days["day_on"].dt.to_period("W-SUN")):
        order_by = _order_by(part["day_on"].min(), lead)
        rows.append(
            {
                "week_on": week_on.start_time,
                "n_days": len(part),
                "orders_before": part["orders_before"].sum(min_count=len(part)),
                "orders": part["orders"].sum(),
                **_promotion_days(part),
                "order_by": order_by,
                "is_late": None if order_by is None else order_by <= shop.as_of,
                "tickets": part["orders"].sum() * per_order,
            }
        )
    return frame_of("outlook.calendar_ahead", rows)


def with_people(weeks: DataFrame, tickets_per_person: float | None) -> DataFrame:
    """The weeks ahead with who answers their tickets, at the tickets that one answers in a
    month (`people`; missing where that is not known).
    """
    a_month = weeks["tickets"] / weeks["n_days"] * DAYS_OF_MONTH
    return weeks.assign(people=a_month / (tickets_per_person or np.nan))


@returns("outlook.promotions_ahead")
def promotions_ahead(shop: Store) -> DataFrame:
    """The promotions of the year before whose same weeks lie in the next three months, by
    the day they come round, and how many of those days are planned.
    """
    if not shop.has("promotions"):
        return frame_of("outlook.promotions_ahead", [])
    first = pd.Timestamp(shop.as_of) + pd.Timedelta(days=1)
    last = (pd.Period(first, "M") + HORIZONS["quarter"] - 1).end_time.normalize()
    plan = shop.promotions.select("promo_id", "starts_on", "ends_on").to_pandas()
    rows = []
    for promo_id, starts_on, ends_on in plan.itertuples(index=False):
        shift = pd.Timedelta(days=WEEKS_OF_YEAR)
        ends = pd.Timestamp(starts_on) + shift, pd.Timestamp(ends_on) + shift
        days = pd.Series(pd.date_range(max(ends[0], first), min(ends[1], last)))
        if len(days):
            n_planned = float(_under_promotion(shop, days).sum())
            rows.append((promo_id, starts_on, ends[0], ends[1], len(days), n_planned))
    table = frame_of("outlook.promotions_ahead", rows)
    return table.sort_values(["comes_on", "promo_id"], ignore_index=True)


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


def _promotion_days(days: DataFrame) -> dict[str, float]:
    """Of some days ahead: under a promotion in the same weeks a year before, planned now,
    and under one then but not now; missing where one of the days is not known.
    """
    before, planned = days["is_promotion_before"], days["is_promotion"]
    is_missing = (before > planned).astype(float).where(before.notna())
    parts = {"before": before, "planned": planned, "missing": is_missing}
    return {f"promotion_days_{k}": part.sum(min_count=len(days)) for k, part in parts.items()}


def _order_by(day: pd.Timestamp, lead: float) -> dt.date | None:
    """When goods have to be ordered to be there on a day; None without lead times."""
    return (day - pd.Timedelta(days=lead)).date() if np.isfinite(lead) else None


def _lead_days(shop: Store) -> float:
    """The lead time that nine in ten goods keep; missing where none is stated."""
    if not shop.has("products.lead_time_days"):
        return np.nan
    days = shop.products.select("lead_time_days").to_pandas()["lead_time_days"].astype(float)
    return float(days.quantile(LEAD_SHARE, interpolation="higher"))
