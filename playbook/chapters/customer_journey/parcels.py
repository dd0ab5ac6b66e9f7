"""Was the parcel there when it was promised, and what does lateness cost in stars and
in next orders?

A parcel not yet due is not late, one overdue is, and a customer served last week has
not had the time to come back.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Timestamp

from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import Store, expression
from playbook.tables import returns, schema

__all__ = [
    "delivery",
    "late_months",
    "late_slope",
    "on_shop_days",
]

#: band of lateness -> the most days late in it
BANDS = {
    "on time or early": 0,
    "1-2 days late": 2,
    "3-5 days late": 5,
    "6 or more days late": 10_000,
}
OVERDUE = "overdue, not delivered"
BAND_MONTHS = 12  # months of promises in the bands
SHOWN_MONTHS = 25  # months of promises in the series
LEAST_REVIEWS = 30  # reviews below which nothing is said of the stars a late day costs
NOT_SENT = ("cancelled", "refunded", "placed")


def on_shop_days(shop: Store) -> Table:
    """The shop's orders with promise and delivery on the shop's own clock: a parcel
    due on the evening of a day is late the next morning, wherever UTC stands.
    """
    moments = ("promised_at", "delivered_at")
    return shop.orders.mutate(**{name: shop.local(shop.orders[name]) for name in moments})


@returns("customer_journey.delivery")
def delivery(
    orders: Table,
    *,
    as_of: dt.date,
    reviews: Table | None = None,
    next_days: int = 90,
    level: float = 0.95,
) -> DataFrame:
    """Orders promised within the last twelve months, up to as-of, by how late they came.

    Delay is the day of delivery less the day promised. Parcels overdue and not
    delivered count as late and are `partial`, for they are not in the past. Cancelled
    and refunded orders without a delivery are left out.

    Raises:
        PlaybookError: no order has both a promise and a delivery.
    """
    first = Timestamp(as_of) + pd.Timedelta(days=1) - pd.DateOffset(months=BAND_MONTHS)
    parcels = _banded(_due(orders, first.date(), as_of), as_of, next_days)
    counts = parcels.group_by("band").aggregate(
        orders=_.count(), n_ripe=_.is_ripe.sum(), n_back=(_.is_ripe & _.is_back).sum()
    )
    table = counts.to_pandas().set_index("band").reindex([*BANDS, OVERDUE])
    table = table.fillna(0).astype("int64")
    if not table.loc[list(BANDS), "orders"].sum() > 0:
        raise PlaybookError(
            "customer_journey.no_promise",
            table="orders",
            column="promised_at",
        )
    table["share"] = table.orders / table.orders.sum()
    table = table.join(_stars(parcels, reviews, level))
    table["n_reviews"] = table.n_reviews.fillna(0).astype("int64")
    table["next_order_share"] = table.n_back / table.n_ripe.where(table.n_ripe > 0)
    table["next_low"], table["next_high"] = wilson(table.n_back, table.n_ripe, level)
    table["status"] = np.where(table.index == OVERDUE, "partial", "complete")
    return table[table.orders > 0].reset_index()[schema("customer_journey.delivery").names]


@dated
def late_slope(orders: Table, reviews: Table, *, as_of: dt.date, level: float = 0.95) -> DataFrame:
    """Stars lost per day of lateness: one row with n, stars_per_day, low, high.

    Ordinary least squares of the stars of reviewed, delivered orders on days late (0
    when on time), one row per review. Missing where fewer than 30 reviews or no late
    one exist.
    """
    came = expression(orders).filter(_.delivered_at.notnull() & _.promised_at.notnull())
    came = came.filter(_.delivered_at.date() <= as_of)
    delay = came.delivered_at.date().delta(came.promised_at.date(), unit="day")
    parcels = came.select("order_id", late=ibis.greatest(delay, 0))
    cells = _reviewed(reviews, parcels).group_by("late", "stars").aggregate(n=_.count())
    cells = cells.order_by("late", "stars").to_pandas().astype(float)
    weight, total = cells["n"], cells["n"].sum()
    found = {
        "n": int(total),
        "stars_per_day": np.nan,
        "low": np.nan,
        "high": np.nan,
    }
    if total < LEAST_REVIEWS or cells.late.nunique() < 2:
        return DataFrame([found])
    late, stars = (cells[c] - np.average(cells[c], weights=weight) for c in ("late", "stars"))
    spread = (weight * late**2).sum()
    slope = (weight * late * stars).sum() / spread
    error = np.sqrt((weight * (stars - slope * late) ** 2).sum() / (total - 2) / spread)
    half = quantile_of_normal(level) * error
    found |= {
        "stars_per_day": slope,
        "low": slope - half,
        "high": slope + half,
    }
    return DataFrame([found])


@dated
def late_months(orders: Table, *, as_of: dt.date, level: float = 0.95) -> DataFrame:
    """One row per month of promise: month, due, late, share, low, high, status
    (`partial` in a month still running).

    due = parcels promised in the month, by as-of at the latest, and delivered or
    overdue; late = delivered after the day promised, or overdue. An order cancelled or
    refunded without a delivery is neither.
    """
    first = Timestamp(as_of).replace(day=1) - pd.DateOffset(months=SHOWN_MONTHS - 1)
    parcels = _due(orders, first.date(), as_of)
    is_late = (parcels.came > parcels.promised).fill_null(True)
    months = parcels.group_by(month=_.promised.strftime("%Y-%m"))
    table = months.aggregate(due=_.count(), late=is_late.sum()).order_by("month").to_pandas()
    table["share"] = table.late / table.due
    table["low"], table["high"] = wilson(table.late, table.due, level)
    running = "" if Timestamp(as_of).is_month_end else f"{as_of:%Y-%m}"
    table["status"] = np.where(table.month == running, "partial", "complete")
    return table


def _due(orders: Table, first: dt.date, as_of: dt.date) -> Table:
    """Orders promised in these days that were sent: the days they were promised and
    came, and the day of the customer's next order.
    """
    every = expression(orders)
    by_customer = ibis.window(group_by="customer_id", order_by=["ordered_at", "order_id"])
    following = every.ordered_on.lead().over(by_customer)
    parcels = every.mutate(
        promised=every.promised_at.date(),
        came=every.delivered_at.date(),
        next_on=every.customer_id.notnull().ifelse(following, ibis.null("date")),
    )
    parcels = parcels.filter(_.promised.between(first, as_of))
    return parcels.filter(_.came.notnull() | ~_.status.isin(NOT_SENT))


def _banded(parcels: Table, as_of: dt.date, next_days: int) -> Table:
    """Each parcel's band, whether its customer has had `next_days` to come back, and
    whether they did.
    """
    late = parcels.came.delta(parcels.promised, unit="day")
    is_old = parcels.came <= as_of - dt.timedelta(days=next_days)
    is_back = parcels.next_on.delta(parcels.came, unit="day") <= next_days
    return parcels.mutate(
        band=ibis.cases(*((late <= most, band) for band, most in BANDS.items()), else_=OVERDUE),
        is_ripe=(parcels.customer_id.notnull() & is_old).fill_null(False),
        is_back=is_back.fill_null(False),
    )


def _reviewed(reviews: Table, parcels: Table) -> Table:
    """Parcels with the stars of each of their reviews."""
    stars = expression(reviews).filter(_.order_id.notnull())
    stars = stars.select("order_id", stars=_.stars.cast("float64"))
    return stars.inner_join(parcels, "order_id")


def _stars(parcels: Table, reviews: Table | None, level: float) -> DataFrame:
    """n_reviews, stars, low and high by band: an order without a review says nothing;
    the normal interval is missing below two.
    """
    if reviews is None:
        return DataFrame(
            columns=[
                "n_reviews",
                "stars",
                "low",
                "high",
            ],
            dtype=float,
        )
    rated = _reviewed(reviews, parcels.select("order_id", "band"))
    sums = rated.group_by("band").aggregate(
        n=_.count(), total=_.stars.sum(), square=(_.stars * _.stars).sum()
    )
    table = sums.to_pandas().set_index("band")
    n, stars = table["n"], table.total / table["n"]
    variance = (table["square"] - table.total**2 / n) / (n - 1) / n
    half = quantile_of_normal(level) * variance.where(n > 1) ** 0.5
    return DataFrame(
        {
            "n_reviews": n,
            "stars": stars,
            "low": stars - half,
            "high": stars + half,
        }
    )
