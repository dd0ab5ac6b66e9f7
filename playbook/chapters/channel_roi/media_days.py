"""From orders, refunds and promotions to the weeks a response is fitted on.

The response is contribution margin of the whole shop by week of order, lowered by what
refunds of matured orders take (revenue where costs are unknown). Nothing of tracking
enters. A table somebody already keeps by week is read as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.measures.ad_spend import SpendLog
from playbook.methods.media_model import MediaWeeks, media_weeks
from playbook.store import expression

__all__ = ["daily_sales", "media_frame", "weekly_media"]

MONEY = "decimal(18, 6)"


def media_frame(
    sales_orders: Any,
    *,
    spend: SpendLog,
    channels: list[str],
    refunds: Any = None,
    promotions: Any = None,
    as_of: Any,
) -> tuple[MediaWeeks, str]:
    """Weeks for the response of `channels`, and what they are measured in: `margin`, or
    `revenue` without costs.

    Promotions, where given, enter the baseline as depth times days running, shop-wide
    ones and listed ones apart.
    """
    day = pd.Timestamp(as_of)
    daily, basis = daily_sales(sales_orders, refunds, day)
    controls = pd.DataFrame({"day_on": pd.date_range(daily.day_on.min(), day)})
    for name, column in _promotion_days(promotions, controls.day_on).items():
        controls[name] = column
    weeks = media_weeks(daily, spend.daily, as_of=day, channels=channels, controls=controls)
    return weeks, basis


def weekly_media(table: pd.DataFrame, mapping: Mapping[str, Any]) -> MediaWeeks:
    """Weeks from a table with one row a week and one column per channel, as media teams
    keep them.

    `mapping` names its columns: `week_on`, `response`, `spend` (channel: column) and,
    where wanted, `controls` (a list). Weeks without a row, without a figure or with
    negative spend are not scored. PlaybookError for columns that are not there and rows
    that are not weeks.
    """
    paid, controls = dict(mapping.get("spend") or {}), list(mapping.get("controls") or [])
    named = [mapping.get("week_on"), mapping.get("response"), *paid.values(), *controls]
    absent = [str(name) for name in named if name not in table]
    if absent or not paid:
        raise PlaybookError(
            f"The mapping names columns the table does not have: {', '.join(absent) or 'no spend'}",
            rule="week_on, response, spend, controls",
            do="name headers of the table",
        )
    week = pd.to_datetime(table[mapping["week_on"]], errors="coerce")
    apart = week.sort_values().diff().dropna().dt.days
    if week.isna().any() or (apart < 7).any() or (apart % 7 > 0).any():
        raise PlaybookError(
            "The rows are not one a week",
            column=str(mapping["week_on"]),
            rule="first day of the week",
            rows=int(week.isna().sum() + ((apart < 7) | (apart % 7 > 0)).sum()),
            do="sum them by week",
        )
    every = pd.date_range(week.min(), week.max(), freq="7D")
    numbers = table[named[1:]].apply(pd.to_numeric, errors="coerce").set_axis(week).reindex(every)
    spend = pd.DataFrame(
        {channel: numbers[paid[channel]].to_numpy(float) for channel in sorted(paid)}
    )
    frame = pd.DataFrame(
        {"week_on": every, "response": numbers[named[1]].to_numpy(float), "reason": ""}
    )
    for name in controls:
        frame[name] = numbers[name].fillna(numbers[name].mean()).to_numpy(float)
        frame.loc[numbers[name].isna().to_numpy(), "reason"] = f"{name} not known"
    frame.loc[(spend < 0).any(axis=1), "reason"] = "negative spend"
    frame.loc[spend.isna().any(axis=1), "reason"] = "spend not known"
    frame["response"] = frame.response.mask(frame.reason != "")
    return MediaWeeks(
        frame,
        spend.fillna(spend.median()).fillna(0.0).clip(lower=0),
        tuple(controls),
        spend.notna(),
    )


def daily_sales(
    sales_orders: Any, refunds: Any, day: pd.Timestamp, *, by_region: bool = False
) -> tuple[pd.DataFrame, str]:
    """day_on (and region), response: margin of the day's orders less the share refunds
    take of orders 60 days old.
    """
    t = expression(sales_orders).filter(_.ordered_on.cast("date") <= ibis.literal(day.date()))
    t = t.mutate(day_on=_.ordered_on.cast("date"))
    known = (
        t.aggregate(
            all=t.revenue.cast(MONEY).sum().cast("float64"),
            n=t.count(),
            costed=t.revenue.cast(MONEY).sum(where=t.margin.notnull()).cast("float64"),
        )
        .to_pandas()
        .iloc[0]
    )
    if not known.n:
        raise PlaybookError(
            "There is no order up to this day", table="orders", do="choose a later month"
        )
    basis = (
        "margin"
        if (known.costed or 0) >= 0.95 * (known["all"] or 0) and known.costed
        else "revenue"
    )
    t = t.mutate(money=t[basis].cast(MONEY))
    keys = ["day_on", "region"] if by_region else ["day_on"]
    if by_region:
        t = t.filter(_.region.notnull())
    daily = (
        t.group_by(keys)
        .aggregate(response=_.money.sum().cast("float64"))
        .order_by(keys)
        .to_pandas()
    )
    daily["day_on"] = pd.to_datetime(daily.day_on)
    if refunds is not None:
        until = (day - pd.Timedelta(days=60)).date()
        back = expression(refunds).filter(_.order_id.notnull())
        back = back.select(
            "order_id", loss=(back.margin if basis == "margin" else -back.amount).cast(MONEY)
        )
        old = t.filter(_.day_on <= ibis.literal(until))
        lost = (
            back.semi_join(old, "order_id")
            .aggregate(x=_.loss.sum().cast("float64"))
            .to_pandas()
            .x.iloc[0]
        )
        made = old.aggregate(x=_.money.sum().cast("float64")).to_pandas().x.iloc[0]
        if made and made > 0 and lost == lost and lost is not None:
            daily["response"] *= 1 + lost / made
    return daily.fillna({"response": 0.0}), basis


def _promotion_days(promotions: Any, days: pd.Series) -> dict[str, np.ndarray]:
    """Depth of the promotions running each day: of shop-wide ones, and of listed ones
    weighted by how many skus.
    """
    if promotions is None:
        return {}
    table = expression(promotions).to_pandas()
    columns = {"promotion": np.zeros(len(days)), "promotion_listed": np.zeros(len(days))}
    for p in table.itertuples():
        running = (days >= pd.Timestamp(p.starts_on)) & (days <= pd.Timestamp(p.ends_on))
        depth = float(p.depth_share) if pd.notna(p.depth_share) else 0.1
        listed = isinstance(p.skus, str) and p.skus.strip() != ""
        weight = len(p.skus.split()) if listed else 1
        columns["promotion_listed" if listed else "promotion"][running] += depth * weight
    return {name: column for name, column in columns.items() if column.any()}
