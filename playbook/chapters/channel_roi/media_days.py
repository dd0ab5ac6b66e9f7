"""From orders, refunds and promotions to the weeks a response is fitted on.

The response is contribution margin of the whole shop by week of order, lowered by what
refunds of matured orders take (revenue where costs are unknown). Nothing of tracking
enters.
"""

from __future__ import annotations

import datetime as dt

import ibis
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.chapters.channel_roi.media_model import (
    MediaWeeks,
    media_weeks,
)
from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.measures.ad_spend import SpendLog, Table, exact_sum
from playbook.store import expression

__all__ = ["COSTS_KNOWN", "MATURE_DAYS", "daily_sales", "media_frame"]

# refunds of an order are in after so many days (metrics.md, roi)
MATURE_DAYS = 60
# margin is used where the costs of orders with this share of sales are known
COSTS_KNOWN = 0.95
# the depth of a promotion that does not say it
USUAL_DEPTH = 0.1


@dated
def media_frame(
    sales_orders: Table,
    *,
    spend: SpendLog,
    channels: list[str],
    refunds: Table | None = None,
    promotions: Table | None = None,
    as_of: dt.date,
) -> tuple[MediaWeeks, str]:
    """Weeks for the response of `channels`, and what they are measured in: `margin`, or
    `revenue` without costs.

    Promotions, where given, enter the baseline as depth times days running, shop-wide
    ones and listed ones apart.
    """
    daily, basis = daily_sales(sales_orders, refunds, as_of)
    controls = _promotion_days(promotions, pd.date_range(daily.day_on.min(), as_of))
    weeks = media_weeks(
        daily,
        spend.daily,
        as_of=as_of,
        channels=channels,
        controls=controls,
    )
    return weeks, basis


@dated
def daily_sales(
    sales_orders: Table,
    refunds: Table | None,
    as_of: dt.date,
    *,
    by_region: bool = False,
) -> tuple[DataFrame, str]:
    """day_on (and region), response: margin of the day's orders less the share refunds
    take of orders 60 days old; and the basis, margin or revenue.
    """
    orders = expression(sales_orders).mutate(day_on=_.ordered_on.cast("date"))
    orders = orders.filter(_.day_on <= ibis.literal(as_of))
    sums = _row(
        orders,
        n=orders.count(),
        sales=exact_sum(_.revenue),
        costed=exact_sum(_.revenue, where=_.margin.notnull()),
    )
    if not sums.n:
        raise PlaybookError("channel_roi.no_orders", table="orders")
    is_costed = sums.costed > 0 and sums.costed >= COSTS_KNOWN * sums.sales
    basis = "margin" if is_costed else "revenue"
    orders = orders.mutate(money=_[basis])
    keys = ["day_on", "region"] if by_region else ["day_on"]
    daily = (
        orders.filter(_[keys[-1]].notnull())
        .group_by(keys)
        .aggregate(response=exact_sum(_.money))
        .order_by(keys)
        .to_pandas()
    )
    daily["day_on"] = pd.to_datetime(daily.day_on)
    if refunds is not None:
        daily["response"] *= 1 + _refund_share(
            orders,
            expression(refunds),
            basis,
            as_of,
        )
    return daily.fillna({"response": 0.0}), basis


def _refund_share(orders: ibis.Table, refunds: ibis.Table, basis: str, as_of: dt.date) -> float:
    """What refunds add to the money of orders 60 days old, as a (negative) share of it."""
    old = orders.filter(_.day_on <= ibis.literal(as_of - dt.timedelta(days=MATURE_DAYS)))
    loss = refunds.margin if basis == "margin" else -refunds.amount
    back = refunds.select("order_id", loss=loss).filter(_.order_id.notnull())
    lost = _row(back.semi_join(old, "order_id"), money=exact_sum(_.loss)).money
    made = _row(old, money=exact_sum(_.money)).money
    return lost / made if made > 0 and pd.notna(lost) else 0.0


def _row(table: ibis.Table, **figures: ibis.Value) -> pd.Series:
    """Figures over a whole table."""
    return table.aggregate(**figures).to_pandas().iloc[0].astype(float)


def _promotion_days(promotions: Table | None, days: pd.DatetimeIndex) -> DataFrame:
    """day_on, and the depth of the promotions running each day where there is any: of
    shop-wide ones, and of listed ones weighted by how many skus.
    """
    depths = DataFrame(
        0.0,
        index=days,
        columns=["promotion", "promotion_listed"],
    )
    running = expression(promotions).to_pandas() if promotions is not None else DataFrame()
    for p in running.itertuples():
        is_on = (days >= pd.Timestamp(p.starts_on)) & (days <= pd.Timestamp(p.ends_on))
        depth = float(p.depth_share) if pd.notna(p.depth_share) else USUAL_DEPTH
        n_listed = len(p.skus.split()) if isinstance(p.skus, str) else 0
        name = "promotion_listed" if n_listed else "promotion"
        depths.loc[is_on, name] += depth * max(n_listed, 1)
    return depths.loc[:, depths.any()].rename_axis("day_on").reset_index()
