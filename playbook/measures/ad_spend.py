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

from playbook.errors import PlaybookError

__all__ = ["SpendLog", "read_extract"]

HOLE_DAYS = 3  # a shorter pause of an always-on channel is taken as a pause
ALWAYS_ON = 0.9  # a channel with rows on this share of its days is expected to have one every day
COUNTS = ("clicks", "platform_orders", "platform_value")


@dataclass(frozen=True)
class SpendLog:
    """`daily`: one row per channel and day of its span: day_on, channel, spend, clicks,
    platform_orders, platform_value (missing where not reported), is_known (false in a
    hole; spend is missing there). `findings`: channel, finding, first_on, last_on,
    n_days, amount (money concerned, missing if unknown), consequence.
    """

    daily: pd.DataFrame
    findings: pd.DataFrame


def read_extract(ad_spend: Any, *, as_of: dt.date) -> SpendLog:
    """Daily spend by channel up to `as_of` (Ibis table or expression of the contract's
    ad_spend), with findings.

    Where a channel and day has rows of single regions and of `all`, the `all` rows are
    left out as loaded twice. PlaybookError where no row is left or no spend is known at
    all.
    """
    t = ad_spend.filter(_.day_on.cast("date") <= ibis.literal(as_of))
    region = t.region.fill_null("all") if "region" in t.columns else ibis.literal("all")
    sums = {c: t[c].cast("decimal(18, 6)").sum().cast("float64") for c in COUNTS if c in t.columns}
    rows = t.mutate(
        is_all=region == "all", channel=_.channel.fill_null("unknown"), day_on=_.day_on.cast("date")
    )
    rows = rows.group_by("channel", "day_on", "is_all").agg(
        spend=_.spend.cast("decimal(18, 6)").sum().cast("float64"),
        n_missing=_.spend.isnull().sum(),
        **sums,
    )
    rows = rows.order_by("channel", "day_on", "is_all").to_pandas()
    if rows.empty or not rows.spend.notna().any():
        raise PlaybookError(
            "No advertising spend is known",
            table="ad_spend",
            column="spend",
            do="import an extract with spend by day and channel",
        )
    rows["day_on"] = pd.to_datetime(rows.day_on)
    for column in COUNTS:
        rows[column] = rows[column].astype(float) if column in rows else np.nan
    found = []
    twice = rows.is_all & rows.duplicated(["channel", "day_on"], keep=False)
    _report(
        found, rows[twice], "loaded twice", "rows for `all` left out beside those of single regions"
    )
    kept = rows[~twice].groupby(["channel", "day_on"], as_index=False)
    daily = kept[["spend", *COUNTS, "n_missing"]].sum(min_count=1)
    _report(
        found,
        daily[daily.n_missing > 0].assign(spend=np.nan),
        "spend missing",
        "these days are not known",
    )
    _report(
        found,
        daily[daily.spend < 0],
        "negative spend",
        "credits stay in the accounts, not in the response",
    )
    last = daily.day_on.max()
    day = pd.Timestamp(as_of)
    if last < day:
        found.append(
            _row(
                "all",
                "extract ends early",
                last + pd.Timedelta(days=1),
                day,
                np.nan,
                "months after this day have no cost; figures stop with the last full week",
            )
        )
    filled = [_span(part, last, found) for _name, part in daily.groupby("channel")]
    columns = ["channel", "finding", "first_on", "last_on", "n_days", "amount", "consequence"]
    findings = pd.DataFrame(found, columns=columns).sort_values(
        ["channel", "first_on", "finding"], ignore_index=True
    )
    return SpendLog(
        pd.concat(filled, ignore_index=True)[["day_on", "channel", "spend", *COUNTS, "is_known"]],
        findings,
    )


def _span(part: pd.DataFrame, last: pd.Timestamp, found: list[dict]) -> pd.DataFrame:
    """One channel on every day of its span. Holes of an always-on channel are unknown;
    a pause is no spend.
    """
    name, first, final = part.channel.iloc[0], part.day_on.min(), part.day_on.max()
    every = pd.date_range(first, last, name="day_on")
    day = part.set_index("day_on").reindex(every)
    has_row = day.spend.notna()
    run = (has_row != has_row.shift()).cumsum()
    hole = ~has_row & (has_row.groupby(run).transform("size") >= HOLE_DAYS)
    inside = hole & (every < final)
    known_days = has_row[:final].sum() / max(len(has_row[:final]) - inside.sum(), 1)
    always = known_days >= ALWAYS_ON and has_row.sum() >= 28
    stops = hole & (every > final) if always else hole & False
    unknown = (inside if always else inside & False) | stops
    for _number, gap in unknown[unknown].groupby(run[unknown]):
        what = "extract ends early" if gap.index[0] > final else "gap"
        found.append(
            _row(
                name,
                what,
                gap.index[0],
                gap.index[-1],
                np.nan,
                "spend of these days is not known; their weeks are not scored",
            )
        )
    missing = part.set_index("day_on").n_missing.reindex(every).fillna(0) > 0
    day["spend"] = day.spend.where(has_row, 0.0).mask(unknown | missing)
    return day.assign(channel=name, is_known=~(unknown | missing)).reset_index()


def _report(found: list[dict], rows: pd.DataFrame, finding: str, consequence: str) -> None:
    for name, part in rows.groupby("channel"):
        amount = part.spend.sum() if part.spend.notna().any() else np.nan
        days = part.day_on.nunique()
        found.append(
            _row(name, finding, part.day_on.min(), part.day_on.max(), amount, consequence, days)
        )


def _row(
    channel: str,
    finding: str,
    first: pd.Timestamp,
    last: pd.Timestamp,
    amount: float,
    consequence: str,
    n_days: int | None = None,
) -> dict:
    return {
        "channel": channel,
        "finding": finding,
        "first_on": first,
        "last_on": last,
        "n_days": int(n_days or (last - first).days + 1),
        "amount": amount,
        "consequence": consequence,
    }
