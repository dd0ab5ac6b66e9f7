"""Reading a shop's geo tests and planning the next: sales and spend by region, put
before the synthetic control.

The region that was treated differently is compared with a blend of the others
(`synthetic_control`), in margin and in spend alike; their quotient is the one return in
this package that was caused by design and not by habit.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.channel_roi.media_days import daily_sales
from playbook.methods.media_model import MediaWeeks
from playbook.methods.response import GeoResult
from playbook.methods.synthetic_control import compare, detectable
from playbook.store import expression

__all__ = ["geo_evidence", "geo_plan", "geo_readings"]

Z90 = 1.6448536269514722
HISTORY_DAYS = 182  # of daily sales by region before a test; more would dilute today's pattern
PLAN_DAYS = (
    364  # of history a plan is tried out on: windows from every season, where there is a year
)
PLAN_REGIONS = 60  # the largest: more make a plan slow and hardly better
LIFTS = (0.01, 0.015, 0.02, 0.03, 0.045, 0.065, 0.1, 0.15, 0.22, 0.33, 0.5, 0.75, 1.0)
MONEY = "decimal(18, 6)"


def geo_readings(
    sales_orders: Any,
    *,
    geo_tests: Any,
    ad_spend: Any,
    refunds: Any = None,
    as_of: Any,
    level: float = 0.9,
) -> pd.DataFrame:
    """Every finished geo test read by synthetic control on daily sales by region, in
    margin (revenue without costs).

    One row per test: test_id, channel, starts_on, ends_on, n_treated, n_control, att
    (per region and day) with low and high, lift, p_conformal, p_placebo, effect (all
    treated regions and days), spend_change (by the same comparison on spend), factor
    (spend over what it would have been), roi (effect / spend_change) and roi_se, note
    (why something is missing). A test needs four control regions and twice its length
    of history.
    """
    day = pd.Timestamp(as_of)
    tests = expression(geo_tests).to_pandas()
    tests[["starts_on", "ends_on"]] = tests[["starts_on", "ends_on"]].apply(pd.to_datetime)
    tests = tests[tests.ends_on <= day]
    sales, _basis = daily_sales(sales_orders, refunds, day, by_region=True)
    paid = _regional_spend(ad_spend, day)
    rows = [_read_test(test, part, sales, paid, level) for test, part in tests.groupby("test_id")]
    columns = [
        "test_id",
        "channel",
        "starts_on",
        "ends_on",
        "n_treated",
        "n_control",
        "att",
        "low",
        "high",
        "lift",
        "p_conformal",
        "p_placebo",
        "effect",
        "spend_change",
        "factor",
        "roi",
        "roi_se",
        "note",
    ]
    return pd.DataFrame(rows, columns=columns)


def geo_evidence(readings: pd.DataFrame, weeks: MediaWeeks) -> list[GeoResult]:
    """The readings a fit can use: those with a return and its error, on the weeks they
    cover for the most part.
    """
    found = []
    for r in readings.dropna(subset=["roi", "roi_se"]).sort_values("test_id").itertuples():
        middle = weeks.frame.week_on + pd.Timedelta(days=3)
        inside = np.flatnonzero((middle >= r.starts_on) & (middle <= r.ends_on))
        if len(inside) and r.channel in weeks.spend.columns and r.roi_se > 0:
            found.append(
                GeoResult(
                    r.channel, r.roi, r.roi_se, int(inside[0]), int(inside[-1]), float(r.factor)
                )
            )
    return found


def geo_plan(
    sales_orders: Any,
    *,
    response: pd.DataFrame,
    refunds: Any = None,
    as_of: Any,
    days: tuple[int, ...] = (14, 28, 56),
    power: float = 0.8,
    level: float = 0.9,
) -> pd.DataFrame:
    """What a geo test of each length could show, tried out on the shop's own past
    without a test.

    One row per channel of `response` (`response_table`) and length: channel, days,
    regions (to treat: every third of the sixty largest, the set the others imitate
    best), n_control, smallest_lift (of these regions' margin, found in `power` of past
    windows; missing where doubling would not be found), smallest_return (that lift per
    unit of spend, were the channel switched off or doubled there), spend_moved (money,
    all days), known_within (half the width of the return's interval today),
    is_worthwhile (the test would show less than that), note. Without five regions with
    sales, or in the first days of a log: no rows.
    """
    columns = [
        "channel",
        "days",
        "regions",
        "n_control",
        "smallest_lift",
        "smallest_return",
        "spend_moved",
        "known_within",
        "is_worthwhile",
        "note",
    ]
    day = pd.Timestamp(as_of)
    sales, _basis = daily_sales(sales_orders, refunds, day, by_region=True)
    wide = sales.pivot(index="day_on", columns="region", values="response")
    if wide.shape[1] < 5 or (day - wide.index.min()).days < min(days):
        return pd.DataFrame(columns=columns)
    wide = wide.reindex(
        pd.date_range(max(day - dt.timedelta(days=PLAN_DAYS - 1), wide.index.min()), day)
    ).fillna(0.0)
    every = wide.to_numpy().sum(1)
    wide = wide[sorted(wide.sum().sort_values(ascending=False, kind="stable").index[:PLAN_REGIONS])]
    marks = _best_imitated(wide)
    panel, lifts = wide.to_numpy(), np.array(LIFTS)
    share = panel[:, marks].sum() / max(every.sum(), 1e-9)
    rows = []
    for length in days:
        least, note = np.nan, f"needs {3 * length} days of sales by region, {len(panel)} are there"
        if len(panel) >= 3 * length:
            # a lift counts where every larger one is found as well
            found = np.logical_and.accumulate(
                (detectable(panel, marks, length, lifts, level=level, worlds=20) >= power)[::-1]
            )[::-1]
            least, note = (
                (lifts[found][0], "")
                if found.any()
                else (np.nan, "not even a doubling would be found")
            )
        for r in response.itertuples():
            smallest = least * 7 * every[-84:].mean() / r.spend_now if r.spend_now > 0 else np.nan
            within = (r.average_high - r.average_low) / 2
            rows.append(
                (
                    r.channel,
                    length,
                    ", ".join(wide.columns[marks]),
                    int((~marks).sum()),
                    least,
                    smallest,
                    share * r.spend_now / 7 * length,
                    within,
                    bool(smallest == smallest and not smallest >= within),
                    note,
                )
            )
    return pd.DataFrame(rows, columns=columns).sort_values(["channel", "days"], ignore_index=True)


def _best_imitated(wide: pd.DataFrame) -> np.ndarray:
    """Marks every third region by sales (one, under seven), from the start whose sum
    the rest imitates most closely.
    """
    order = np.lexsort((wide.columns, -wide.sum().to_numpy()))
    sets = (
        [order[first::3] for first in range(3)]
        if len(order) >= 7
        else [order[[i]] for i in range(len(order))]
    )
    half, best, chosen = len(wide) // 2, np.inf, None
    for members in sets:
        marks = np.isin(np.arange(wide.shape[1]), members)
        read = compare(wide.to_numpy(), marks, half)
        miss = read.fit / max(abs(read.observed[:half].mean()), 1e-9)
        if miss < best:
            best, chosen = miss, marks
    return chosen


def _regional_spend(ad_spend: Any, day: pd.Timestamp) -> pd.DataFrame:
    t = expression(ad_spend).filter(_.day_on.cast("date") <= ibis.literal(day.date()))
    t = t.filter(_.region.fill_null("all") != "all")
    t = t.group_by("channel", "region", day_on=_.day_on.cast("date")).aggregate(
        spend=_.spend.cast(MONEY).sum().cast("float64")
    )
    paid = t.order_by("channel", "region", "day_on").to_pandas()
    return paid.assign(day_on=pd.to_datetime(paid.day_on))


def _read_test(
    test: str, part: pd.DataFrame, sales: pd.DataFrame, paid: pd.DataFrame, level: float
) -> dict:
    start, end = part.starts_on.min(), part.ends_on.max()
    channel = (
        part.channel.dropna().iloc[0] if "channel" in part and part.channel.notna().any() else None
    )
    treated = set(part.region[part.arm == "treated"])
    row = {
        "test_id": test,
        "channel": channel,
        "starts_on": start,
        "ends_on": end,
        "n_treated": len(treated),
        "note": "",
    }
    wide = sales.pivot(index="day_on", columns="region", values="response")
    first = max(start - dt.timedelta(days=HISTORY_DAYS), wide.index.min())
    wide = wide.reindex(pd.date_range(first, end)).fillna(0.0)
    control = set(part.region[part.arm == "control"]) or set(wide.columns) - treated
    wide = wide[[c for c in wide.columns if c in treated | control]]
    marks = np.array([c in treated for c in wide.columns], dtype=bool)
    row["n_control"] = int((~marks).sum())
    begin, length = (start - first).days, (end - start).days + 1
    if not marks.any() or (~marks).sum() < 4 or begin < 2 * length:
        return row | {
            "note": "needs treated regions, four controls and twice the test's length of history"
        }
    read = compare(wide.to_numpy(), marks, begin, level=level)
    row |= {
        "att": read.att,
        "low": read.low,
        "high": read.high,
        "lift": read.lift,
        "effect": read.total,
        "p_conformal": read.p_conformal,
        "p_placebo": read.p_placebo,
    }
    mine = paid[paid.channel == channel].pivot(index="day_on", columns="region", values="spend")
    mine = mine.reindex(index=wide.index, columns=wide.columns)
    if channel is None or mine.isna().to_numpy().mean() > 0.2:
        return row | {"note": "spend by region is not known: no return can be stated"}
    mine = mine.fillna(0.0)
    # regions share one plan: what the treated would have been given follows the others' spend
    share = mine.iloc[:begin, marks].to_numpy().sum() / max(
        mine.iloc[:begin, ~marks].to_numpy().sum(), 1e-9
    )
    usual = share * mine.iloc[begin:, ~marks].to_numpy().sum()
    change = mine.iloc[begin:, marks].to_numpy().sum() - usual
    if usual <= 0 or abs(change) < 0.05 * usual:
        return row | {"note": "spend did not differ between the arms"}
    se = (read.high - read.low) / 2 / Z90 * marks.sum() * length / abs(change)
    return row | {
        "spend_change": change,
        "factor": max(1 + change / usual, 0.0),
        "roi": read.total / change,
        "roi_se": se,
    }
