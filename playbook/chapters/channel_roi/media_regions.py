"""Weeks of sales and spend by region, where both are known there.

Where nearly all sales and spend carry a region, the response is fitted over regions (methods:
`regional`); otherwise over the whole shop. Regions that sell little are one region together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.chapters.channel_roi.media_days import daily_sales
from playbook.chapters.channel_roi.media_model import MediaWeeks, RegionWeeks
from playbook.given import dated
from playbook.measures.ad_spend import Table, exact_sum
from playbook.store import expression

__all__ = ["region_weeks", "regional_spend", "with_regions"]

#: share of sales, and of each channel's spend, that must carry a region
KNOWN_BY_REGION = 0.9
#: regions read each for itself, the largest ones; the rest is one more
MOST_REGIONS = 12
#: a region with less of all sales is part of the rest
LEAST_SHARE = 0.02


@dated
def regional_spend(ad_spend: Table, as_of: dt.date) -> DataFrame:
    """channel, region, day_on, spend: rows of single regions only."""
    table = expression(ad_spend)
    if "region" not in table.columns:
        return DataFrame(
            columns=[
                "channel",
                "region",
                "day_on",
                "spend",
            ]
        )
    paid = (
        table.mutate(day_on=_.day_on.cast("date"))
        .filter(
            _.day_on <= ibis.literal(as_of),
            _.region.fill_null("all") != "all",
        )
        .group_by("channel", "region", "day_on")
        .aggregate(spend=exact_sum(_.spend))
        .order_by("channel", "region", "day_on")
        .to_pandas()
    )
    return paid.assign(day_on=pd.to_datetime(paid.day_on))


def with_regions(weeks: MediaWeeks, sales_orders: Table, **known: Any) -> MediaWeeks:
    """The weeks, with what is known of them by region (see `region_weeks`)."""
    return replace(weeks, regions=region_weeks(weeks, sales_orders, **known))


@dated
def region_weeks(
    weeks: MediaWeeks,
    sales_orders: Table,
    *,
    ad_spend: Table,
    refunds: Table | None = None,
    as_of: dt.date,
) -> RegionWeeks | None:
    """The weeks of `weeks` by region; None where too little of the sales or of a channel's
    spend is known by region.

    What lacks a region is spread like what has one: weekly sums stay those of the whole shop.
    """
    if not len(weeks.frame) or "region" not in expression(sales_orders).columns:
        return None
    sales, _basis = daily_sales(
        sales_orders,
        refunds,
        as_of,
        by_region=True,
    )
    paid = regional_spend(ad_spend, as_of)
    sold = _by_week(sales, "response", weeks)
    names = _regions(sold)
    sold = _named(sold, names)
    spend = [_named(_by_week(paid[paid.channel == c], "spend", weeks), names) for c in weeks.spend]
    whole = weeks.frame.response.to_numpy(float)
    scored = np.isfinite(whole)
    pairs = [(sold[scored].sum(), whole[scored].sum())]
    pairs += [(part.sum(), total) for part, total in zip(spend, weeks.spend.sum(), strict=True)]
    if any(not part >= KNOWN_BY_REGION * total or not total > 0 for part, total in pairs):
        return None
    response = sold * (whole[scored].sum() / sold[scored].sum())
    response[~scored] = np.nan
    totals = weeks.spend.sum().to_numpy(float)
    money = np.stack([part * (t / part.sum()) for part, t in zip(spend, totals, strict=True)], 2)
    return RegionWeeks(tuple(names), response, np.maximum(money, 0.0))


def _by_week(days: DataFrame, column: str, weeks: MediaWeeks) -> DataFrame:
    """Sums by week of `weeks` and region."""
    first = weeks.frame.week_on.iloc[0]
    week = (days.day_on - first).dt.days // 7
    inside = (week >= 0) & (week < len(weeks.frame))
    sums = days[inside].assign(week=week).groupby(["week", "region"])[column].sum()
    return sums.unstack("region").reindex(range(len(weeks.frame))).fillna(0.0)


def _regions(sold: DataFrame) -> Sequence[str]:
    """The regions read each for itself, by their sales, and the rest (empty name)."""
    totals = sold.sum().sort_values(ascending=False, kind="stable")
    large = totals[totals >= LEAST_SHARE * totals.sum()].head(MOST_REGIONS)
    return [*sorted(map(str, large.index)), ""]


def _named(table: DataFrame, names: Sequence[str]) -> np.ndarray:
    """Weeks x regions in the order of the names, all others summed under the empty one."""
    by_name = table.rename(columns=str)
    own = by_name.reindex(columns=names[:-1]).fillna(0.0)
    rest = by_name.drop(columns=own.columns, errors="ignore").sum(axis=1)
    return own.assign(**{"": rest}).to_numpy(float)
