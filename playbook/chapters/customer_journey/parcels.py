"""Was the parcel there when it was promised, and what does lateness cost in stars and
in next orders?

A parcel not yet due is not late, one overdue is, and a customer served last week has
not had the time to come back.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import expression

__all__ = ["delivery", "late_months", "late_slope"]

BANDS = (
    "on time or early",
    "1-2 days late",
    "3-5 days late",
    "6 or more days late",
    "overdue, not delivered",
)


def delivery(
    orders: Any,
    *,
    as_of: Any,
    reviews: Any = None,
    months: int = 12,
    next_days: int = 90,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per delay band of the orders promised within the last `months`, up to
    as-of.

    Delay is the day of delivery less the day promised. orders, share; n_reviews, stars,
    low, high (of the reviews of those orders, an order without one says nothing; normal
    interval, missing below two); n_ripe (known customers whose parcel came at least
    `next_days` ago), next_order_share, next_low, next_high (Wilson) ordered again by
    then; status `partial` for parcels overdue and not delivered, which count as late
    but are not in the past. Cancelled and refunded orders without a delivery are left
    out.

    Raises:
        PlaybookError: no order has both a promise and a delivery.
    """
    day = pd.Timestamp(as_of).date()
    start = (pd.Timestamp(day) + pd.Timedelta(days=1) - pd.DateOffset(months=months)).date()
    o = _due(orders, start, day)
    late = o.came.delta(o.promised, unit="day")
    band = ibis.cases(
        (late <= 0, BANDS[0]),
        (late <= 2, BANDS[1]),
        (late <= 5, BANDS[2]),
        (late > 5, BANDS[3]),
        else_=BANDS[4],
    )
    ripe = (
        o.customer_id.notnull() & (o.came <= ibis.literal(day - dt.timedelta(days=next_days)))
    ).fill_null(False)
    again = (o.after.delta(o.came, unit="day") <= next_days).fill_null(False)
    o = o.mutate(band=band, is_ripe=ripe, is_back=ripe & again)
    counts = o.group_by("band").aggregate(
        orders=_.count(), n_ripe=_.is_ripe.sum(), n_back=_.is_back.sum()
    )
    found = counts.to_pandas().set_index("band").reindex(BANDS)
    if not found["orders"].iloc[:4].sum() > 0:
        raise PlaybookError(
            "no order has both a promised and a delivery day",
            table="orders",
            column="promised_at",
            do="import promised_at and delivered_at",
        )
    found[["orders", "n_ripe", "n_back"]] = (
        found[["orders", "n_ripe", "n_back"]].fillna(0).astype("int64")
    )
    found["share"] = found["orders"] / found["orders"].sum()
    found["n_reviews"], found["stars"], spread = 0, np.nan, pd.Series(np.nan, index=found.index)
    if reviews is not None:
        r = (
            expression(reviews)
            .filter(_.order_id.notnull())
            .select("order_id", stars=_.stars.cast("float64"))
        )
        r = r.inner_join(o.select("order_id", "band"), "order_id")
        stars = r.group_by("band").aggregate(
            n=_.count(), total=_.stars.sum(), square=(_.stars * _.stars).sum()
        )
        stars = stars.to_pandas().set_index("band").reindex(BANDS)
        n = stars["n"].fillna(0)
        found["n_reviews"], found["stars"] = n.astype("int64"), stars["total"] / n
        spread = ((stars["square"] - stars["total"] ** 2 / n) / (n - 1) / n).where(n > 1) ** 0.5
    half = quantile_of_normal(level) * spread
    found["low"], found["high"] = found["stars"] - half, found["stars"] + half
    found["next_order_share"] = found["n_back"] / found["n_ripe"].where(found["n_ripe"] > 0)
    found["next_low"], found["next_high"] = wilson(found["n_back"], found["n_ripe"], level)
    found["status"] = ["complete"] * 4 + ["partial"]
    return found[found["orders"] > 0].reset_index().drop(columns="n_back")


def late_slope(orders: Any, reviews: Any, *, as_of: Any, level: float = 0.95) -> pd.DataFrame:
    """Stars lost per day of lateness: one row with n, stars_per_day, low, high.

    Ordinary least squares of the stars of reviewed, delivered orders on days late (0
    when on time), one row per review. Missing where fewer than 30 reviews or no late
    one exist.
    """
    day = pd.Timestamp(as_of).date()
    o = expression(orders).filter(_.delivered_at.notnull() & _.promised_at.notnull())
    o = o.filter(_.delivered_at.date() <= ibis.literal(day))
    o = o.select(
        "order_id",
        late=ibis.greatest(o.delivered_at.date().delta(o.promised_at.date(), unit="day"), 0),
    )
    r = (
        expression(reviews)
        .filter(_.order_id.notnull())
        .select("order_id", stars=_.stars.cast("float64"))
    )
    cells = r.inner_join(o, "order_id").group_by("late", "stars").aggregate(n=_.count())
    cells = cells.order_by("late", "stars").to_pandas().astype(float)
    n = cells["n"].sum()
    nothing = {"n": int(n), "stars_per_day": np.nan, "low": np.nan, "high": np.nan}
    if n < 30 or cells["late"].nunique() < 2:
        return pd.DataFrame([nothing])
    late = cells["late"] - np.average(cells["late"], weights=cells["n"])
    stars = cells["stars"] - np.average(cells["stars"], weights=cells["n"])
    slope = (cells["n"] * late * stars).sum() / (cells["n"] * late**2).sum()
    error = np.sqrt(
        (cells["n"] * (stars - slope * late) ** 2).sum() / (n - 2) / (cells["n"] * late**2).sum()
    )
    half = quantile_of_normal(level) * error
    return pd.DataFrame(
        [nothing | {"stars_per_day": slope, "low": slope - half, "high": slope + half}]
    )


def late_months(orders: Any, *, as_of: Any, months: int = 25, level: float = 0.95) -> pd.DataFrame:
    """One row per month of promise: month, due, late, share, low, high, status
    (`partial` in a month still running).

    due = parcels promised in the month, by as-of at the latest, and delivered or
    overdue; late = delivered after the day promised, or overdue. An order cancelled or
    refunded without a delivery is neither.
    """
    day = pd.Timestamp(as_of).date()
    start = (pd.Timestamp(day).replace(day=1) - pd.DateOffset(months=months - 1)).date()
    o = _due(orders, start, day)
    is_late = (o.came > o.promised).fill_null(True)
    found = o.group_by(month=o.promised.strftime("%Y-%m")).aggregate(
        due=_.count(), late=is_late.sum()
    )
    found = found.order_by("month").to_pandas()
    found["share"] = found["late"] / found["due"]
    found["low"], found["high"] = wilson(found["late"], found["due"], level)
    is_whole = pd.Timestamp(day) == pd.Timestamp(day) + pd.offsets.MonthEnd(0)
    found["status"] = np.where(
        (found["month"] == f"{day:%Y-%m}") & (not is_whole), "partial", "complete"
    )
    return found


def _due(orders: Any, start: dt.date, day: dt.date) -> ibis.Table:
    """Orders promised from start to day, with the days they were promised and came,
    still to be blamed or praised.
    """
    o = expression(orders)
    after = o.ordered_on.lead().over(
        ibis.window(group_by="customer_id", order_by=["ordered_at", "order_id"])
    )
    after = o.customer_id.notnull().ifelse(after, ibis.null("date"))
    o = o.mutate(promised=o.promised_at.date(), came=o.delivered_at.date(), after=after)
    o = o.filter(
        _.promised.notnull()
        & (_.promised >= ibis.literal(start))
        & (_.promised <= ibis.literal(day))
    )
    return o.filter(_.came.notnull() | ~_.status.isin(["cancelled", "refunded", "placed"]))
