"""Reading a shop's geo tests and planning the next: sales and spend by region, put
before the synthetic control.

The region that was treated differently is compared with a blend of the others
(`synthetic_control`), in margin and in spend alike; their quotient is the one return in
this package that was caused by design and not by habit.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

from playbook.chapters.channel_roi.media_days import daily_sales
from playbook.chapters.channel_roi.media_model import MediaWeeks
from playbook.chapters.channel_roi.media_regions import regional_spend
from playbook.measures.ad_spend import Table
from playbook.messages import say
from playbook.methods.proportions import Z90
from playbook.methods.response import GeoResult
from playbook.methods.synthetic_control import compare, detectable
from playbook.store import expression
from playbook.tables import empty, frame_of, returns, schema

__all__ = ["geo_evidence", "geo_plan", "geo_readings"]

# of daily sales by region before a test; more would dilute today's pattern
HISTORY_DAYS = 182
# of history a plan is tried out on: windows from every season, where there is a year
PLAN_DAYS = 364
# the largest: more make a plan slow and hardly better
PLAN_REGIONS = 60
# a test needs so many control regions
LEAST_CONTROLS = 4
# a test is planned where a lift is found in this share of past windows
POWER = 0.8
# share of days and regions without known spend from which no return is stated
HOLES = 0.2
# spend has to differ between the arms by this share
LEAST_CHANGE = 0.05
LIFTS = np.array(
    [
        0.01,
        0.015,
        0.02,
        0.03,
        0.045,
        0.065,
        0.1,
        0.15,
        0.22,
        0.33,
        0.5,
        0.75,
        1.0,
    ]
)


@returns("channel_roi.geo_tests")
def geo_readings(
    sales_orders: Table,
    *,
    geo_tests: Table,
    ad_spend: Table,
    refunds: Table | None = None,
    as_of: dt.date,
) -> DataFrame:
    """Every finished geo test read by synthetic control on daily sales by region, in
    margin (revenue without costs). A test needs four control regions and twice its
    length of history.
    """
    tests = expression(geo_tests).to_pandas()
    tests[["starts_on", "ends_on"]] = tests[["starts_on", "ends_on"]].apply(pd.to_datetime)
    tests = tests[tests.ends_on <= pd.Timestamp(as_of)]
    sales, _basis = daily_sales(
        sales_orders,
        refunds,
        as_of,
        by_region=True,
    )
    by_region = sales.pivot(index="day_on", columns="region", values="response")
    paid = regional_spend(ad_spend, as_of)
    rows = [_read_test(test, part, by_region, paid) for test, part in tests.groupby("test_id")]
    return frame_of("channel_roi.geo_tests", rows)


def geo_evidence(readings: DataFrame | None, weeks: MediaWeeks) -> list[GeoResult]:
    """The readings a fit can use: those with a return and its error, on the weeks they
    cover for the most part.
    """
    if readings is None:
        return []
    usable = readings.dropna(subset=["roi", "roi_se"]).sort_values("test_id")
    middle = weeks.frame.week_on + pd.Timedelta(days=3)
    results = []
    for test in usable.itertuples():
        covered = np.flatnonzero(middle.between(test.starts_on, test.ends_on))
        if len(covered) and test.channel in weeks.spend.columns and test.roi_se > 0:
            first, last = int(covered[0]), int(covered[-1])
            results.append(
                GeoResult(
                    test.channel,
                    test.roi,
                    test.roi_se,
                    first,
                    last,
                    float(test.factor),
                )
            )
    return results


@returns("channel_roi.geo_plan")
def geo_plan(
    sales_orders: Table,
    *,
    response: DataFrame,
    refunds: Table | None = None,
    as_of: dt.date,
    days: tuple[int, ...] = (14, 28, 56),
) -> DataFrame:
    """What a geo test of each length could show, tried out on the shop's own past
    without a test, for each channel of `response` (`response_table`). Treated is every
    third of the sixty largest regions, the set the others imitate best. Without five
    regions with sales, or in the first days of a log: no rows.
    """
    sales, _basis = daily_sales(sales_orders, refunds, as_of, by_region=True)
    wide = sales.pivot(index="day_on", columns="region", values="response")
    last, began = pd.Timestamp(as_of), wide.index.min()
    if wide.shape[1] <= LEAST_CONTROLS or (last - began).days < min(days):
        return empty("channel_roi.geo_plan")
    first = max(last - pd.Timedelta(days=PLAN_DAYS - 1), began)
    wide = wide.reindex(pd.date_range(first, last)).fillna(0.0)
    every = wide.to_numpy().sum(1)
    largest = wide.sum().sort_values(ascending=False, kind="stable").index[:PLAN_REGIONS]
    wide = wide[sorted(largest)]
    marks = _best_imitated(wide)
    share = wide.to_numpy()[:, marks].sum() / max(every.sum(), 1e-9)
    lengths = DataFrame(
        [(length, *_smallest_lift(wide.to_numpy(), marks, length)) for length in days],
        columns=["days", "smallest_lift", "note"],
    )
    known = response[["channel", "spend_now"]].assign(
        regions=", ".join(wide.columns[marks]),
        n_control=int((~marks).sum()),
        known_within=(response.average_high - response.average_low) / 2,
    )
    plan = known.merge(lengths, how="cross")
    sold = plan.smallest_lift * 7 * every[-84:].mean()
    plan["smallest_return"] = sold / plan.spend_now.where(plan.spend_now > 0)
    plan["spend_moved"] = share * plan.spend_now / 7 * plan.days
    is_no_help = plan.smallest_return.isna() | (plan.smallest_return >= plan.known_within)
    plan["is_worthwhile"] = ~is_no_help
    plan = plan.sort_values(["channel", "days"], ignore_index=True)
    return plan[schema("channel_roi.geo_plan").names]


def _smallest_lift(panel: ndarray, marks: ndarray, length: int) -> tuple[float, str]:
    """The smallest lift a test of this length would find, or missing and why."""
    if len(panel) < 3 * length:
        return np.nan, say(
            "channel_roi.note_short_history",
            needed=3 * length,
            n=len(panel),
        )
    is_found = (
        detectable(
            panel,
            marks,
            length,
            LIFTS,
            worlds=20,
        )
        >= POWER
    )
    # a lift counts where every larger one is found as well
    is_found = np.logical_and.accumulate(is_found[::-1])[::-1]
    if not is_found.any():
        return np.nan, say("channel_roi.note_no_lift")
    return LIFTS[is_found][0], ""


def _best_imitated(wide: DataFrame) -> ndarray:
    """Marks every third region by sales (one, under seven), from the start whose sum
    the rest imitates most closely.
    """
    order = np.lexsort((wide.columns, -wide.sum().to_numpy()))
    stride = 3 if len(order) >= 7 else len(order)
    half = len(wide) // 2

    def miss(marks: ndarray) -> float:
        read = compare(wide.to_numpy(), marks, half)
        return read.fit / max(abs(read.observed[:half].mean()), 1e-9)

    sets = [np.isin(np.arange(len(order)), order[first::stride]) for first in range(stride)]
    return min(sets, key=miss)


def _read_test(test: str, part: DataFrame, sales: DataFrame, paid: DataFrame) -> dict:
    """One row of the readings: what can be said of a test, and why no more."""
    start, end = part.starts_on.min(), part.ends_on.max()
    channel = next(iter(part.channel.dropna()), None) if "channel" in part else None
    treated = set(part.region[part.arm == "treated"])
    control = set(part.region[part.arm == "control"]) or set(sales.columns) - treated
    first = max(start - dt.timedelta(days=HISTORY_DAYS), sales.index.min())
    wide = sales[[c for c in sales.columns if c in treated | control]]
    wide = wide.reindex(pd.date_range(first, end)).fillna(0.0)
    marks = wide.columns.isin(list(treated))
    before, length = (start - first).days, (end - start).days + 1
    row = {
        "test_id": test,
        "channel": channel,
        "starts_on": start,
        "ends_on": end,
        "n_treated": len(treated),
        "n_control": int((~marks).sum()),
        "note": "",
    }
    if not marks.any() or row["n_control"] < LEAST_CONTROLS or before < 2 * length:
        return row | {"note": say("channel_roi.note_too_small_test")}
    read = compare(wide.to_numpy(), marks, before)
    row |= vars(read) | {"effect": read.total}
    mine = paid[paid.channel == channel].pivot(index="day_on", columns="region", values="spend")
    mine = mine.reindex(index=wide.index, columns=wide.columns)
    if channel is None or mine.isna().to_numpy().mean() > HOLES:
        return row | {"note": say("channel_roi.note_no_regional_spend")}
    change, usual = _spend_change(mine.fillna(0.0), marks, before)
    if usual <= 0 or abs(change) < LEAST_CHANGE * usual:
        return row | {"note": say("channel_roi.note_same_spend")}
    error = (read.high - read.low) / 2 / Z90 * marks.sum() * length / abs(change)
    return row | {
        "spend_change": change,
        "factor": max(1 + change / usual, 0.0),
        "roi": read.total / change,
        "roi_se": error,
    }


def _spend_change(paid: DataFrame, marks: ndarray, before: int) -> tuple[float, float]:
    """What the treated regions were given beyond their usual spend during a test, and
    that usual spend. Regions share one plan, so it follows the others' spend.
    """
    treated = paid.loc[:, marks].to_numpy()
    others = paid.loc[:, ~marks].to_numpy()
    share = treated[:before].sum() / max(others[:before].sum(), 1e-9)
    usual = share * others[before:].sum()
    return treated[before:].sum() - usual, usual
