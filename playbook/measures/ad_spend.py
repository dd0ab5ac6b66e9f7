"""What an advertising extract really says: one figure a day and channel, and everything
odd about it by name.

Extracts come as they are: loaded twice (once by region, once as `all`), cut off in the
middle of a month, with holes, with credits as negative spend. None of that is repaired
in silence; each finding says how many days, how much money, and what follows for the
analysis.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.messages import say
from playbook.store import expression
from playbook.tables import frame_of

__all__ = ["SpendLog", "Table", "exact_sum", "read_extract"]

# a table of the store, or a frame in its place
Table = ibis.Table | DataFrame

# a shorter pause of an always-on channel is taken as a pause
HOLE_DAYS = 3
# a channel with rows on this share of its days, and on so many, should have one every day
ALWAYS_ON = 0.9
ALWAYS_ON_DAYS = 28
COUNTS = ("clicks", "platform_orders", "platform_value")


@dataclass(frozen=True)
class SpendLog:
    """`daily`: one row per channel and day of its span: day_on, channel, spend, clicks,
    platform_orders, platform_value (missing where not reported), is_known (false in a
    hole; spend is missing there). `findings`: channel, finding, first_on, last_on,
    n_days, amount (money concerned, missing if unknown), consequence.
    """

    daily: DataFrame
    findings: DataFrame


def exact_sum(money: ibis.Value, **where: Any) -> ibis.Value:
    """The sum of money as a float: added up exactly, so that row order does not matter."""
    return money.cast("decimal(18, 6)").sum(**where).cast("float64")


@dated
def read_extract(ad_spend: Table, *, as_of: dt.date) -> SpendLog:
    """Daily spend by channel up to `as_of` from the contract's ad_spend, with findings.

    Where a channel and day has rows of single regions and of `all`, the `all` rows are
    left out as loaded twice. PlaybookError where no spend is known at all.
    """
    rows = _rows_by_day(expression(ad_spend), as_of)
    is_double = rows.is_all & rows.duplicated(["channel", "day_on"], keep=False)
    by_day = rows[~is_double].groupby(["channel", "day_on"], as_index=False)
    daily = by_day[["spend", *COUNTS, "n_missing"]].sum(min_count=1)
    without_spend = daily[daily.n_missing > 0].assign(spend=np.nan)
    last = daily.day_on.max()
    findings = [
        *_findings(
            "loaded twice",
            "measures.loaded_twice",
            rows[is_double],
        ),
        *_findings(
            "spend missing",
            "measures.spend_missing",
            without_spend,
        ),
        *_findings(
            "negative spend",
            "measures.negative_spend",
            daily[daily.spend < 0],
        ),
        *_unknown_days(
            "all",
            "extract ends early",
            "measures.extract_ends",
            pd.date_range(last, as_of)[1:],
        ),
    ]
    spans = []
    for channel, part in daily.groupby("channel"):
        span, holes = _span(channel, part.set_index("day_on"), last)
        spans.append(span)
        findings += holes
    table = frame_of("channel_roi.extract_findings", findings)
    return SpendLog(
        pd.concat(spans, ignore_index=True)[["day_on", "channel", "spend", *COUNTS, "is_known"]],
        table.sort_values(["channel", "first_on", "finding"], ignore_index=True),
    )


def _rows_by_day(table: ibis.Table, as_of: dt.date) -> DataFrame:
    """Sums per channel and day, rows of single regions and of `all` apart."""
    region = table.region.fill_null("all") if "region" in table.columns else ibis.literal("all")
    rows = (
        table.mutate(
            is_all=region == "all",
            channel=_.channel.fill_null("unknown"),
            day_on=_.day_on.cast("date"),
        )
        .filter(_.day_on <= ibis.literal(as_of))
        .group_by("channel", "day_on", "is_all")
        .agg(
            n_missing=_.spend.isnull().sum(),
            **{c: exact_sum(_[c]) for c in ("spend", *COUNTS) if c in table.columns},
        )
        .order_by("channel", "day_on", "is_all")
        .to_pandas()
    )
    if not rows.spend.notna().any():
        raise PlaybookError(
            "measures.no_spend_known",
            table="ad_spend",
            column="spend",
        )
    rows["day_on"] = pd.to_datetime(rows.day_on)
    for column in COUNTS:
        rows[column] = rows[column].astype(float) if column in rows else np.nan
    return rows


def _span(channel: str, rows: DataFrame, last: pd.Timestamp) -> tuple[DataFrame, list[tuple]]:
    """One channel on every day of its span, and its findings. Holes of an always-on
    channel are unknown; a pause is no spend.
    """
    final = rows.index.max()
    day = rows.reindex(pd.date_range(rows.index.min(), last, name="day_on"))
    has_row = day.spend.notna()
    run = (has_row != has_row.shift()).cumsum()
    is_hole = ~has_row & (has_row.groupby(run).transform("size") >= HOLE_DAYS)
    n_expected = max(len(day[:final]) - is_hole[day.index < final].sum(), 1)
    is_always_on = has_row.sum() / n_expected >= ALWAYS_ON and has_row.sum() >= ALWAYS_ON_DAYS
    is_unknown = is_hole & is_always_on
    findings = []
    for _number, hole in is_unknown[is_unknown].groupby(run[is_unknown]):
        finding = "extract ends early" if hole.index[0] > final else "gap"
        findings += _unknown_days(
            channel,
            finding,
            "measures.days_unknown",
            hole.index,
        )
    is_known = ~(is_unknown | (day.n_missing.fillna(0) > 0))
    day["spend"] = day.spend.where(has_row, 0.0).where(is_known)
    return day.assign(channel=channel, is_known=is_known).reset_index(), findings


def _unknown_days(
    channel: str, finding: str, consequence: str, days: pd.DatetimeIndex
) -> list[tuple]:
    rows = DataFrame({"day_on": days, "channel": channel, "spend": np.nan})
    return _findings(finding, consequence, rows)


def _findings(finding: str, consequence: str, rows: DataFrame) -> list[tuple]:
    """One finding per channel of these rows, in the columns of the findings."""
    return [
        (
            channel,
            finding,
            part.day_on.min(),
            part.day_on.max(),
            part.day_on.nunique(),
            part.spend.sum(min_count=1),
            say(consequence),
        )
        for channel, part in rows.groupby("channel")
    ]
