"""Notebook 08: where visitors are lost on the way to an order, what that costs, and
whether a test won.

Words. A *session* is one visit. Every share of the funnel has sessions as its one
denominator, every *step share* the sessions that reached the step before. The *usual*
share is the same segment's own last three months without its broken days. A *fault* is
a stretch of days below the usual share that chance does not explain, after counting
every segment, step and stretch looked at; a *gap* is the distance to the segment's own
best month. How logs become steps is in `visits`, what a lost session is worth in
`worth`; parcels, returns, service and payments in `parcels` and `aftersales`; the
reading of tests in `verdicts`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import chain, combinations, pairwise
from typing import Any

import ibis
import numpy as np
import pandas as pd
from pandas import DataFrame, Timestamp

from playbook.chapters.customer_journey.visits import SPLITS, STEPS, Steps
from playbook.chapters.customer_journey.worth import Worth, order_worth
from playbook.errors import PlaybookError
from playbook.methods.funnel import lost_error, own_baseline, worst_stretch, z_against
from playbook.methods.proportions import adjusted_p, two_sided_p, wilson
from playbook.store import expression
from playbook.tables import frame_of, returns

__all__ = ["funnel", "funnels", "journey_headline", "leaks", "step_trend"]

LEAST_TRIALS = 100  # earlier trials below which a segment has no usual share
BASELINE_MONTHS = 3  # the shop's own earlier months that make its usual share
GAP_YEARS = 3  # years back whose same month a gap is held against
GAP_SPREAD = 0.05  # what the same month of two years differs by without a cause, share
BAND_WIDTH = 3  # standard deviations of a day from the usual share to its control limit


@returns("customer_journey.funnel")
def funnel(
    daily: DataFrame,
    *,
    as_of: dt.date,
    baseline_months: int = BASELINE_MONTHS,
    level: float = 0.95,
) -> DataFrame:
    """The report month by step and segment, beside the segment's own last months.

    `usual_share`, z and p are missing where the segment has fewer than 100 earlier
    trials. Nothing of a segment with no session is shown. P-values are adjusted over
    all rows (Benjamini & Hochberg).
    """
    start = _month_start(as_of)
    segments = _segments(_window(daily, as_of, baseline_months))
    rows = [row for segment, days in segments for row in _steps_of(segment, days, start)]
    if not rows:
        raise PlaybookError("customer_journey.no_session", table="traffic")
    table = frame_of("customer_journey.funnel", rows)
    table["low"], table["high"] = wilson(table.reached, table.n_sessions, level)
    table["p"] = two_sided_p(table.z)
    table["p_adjusted"] = adjusted_p(table.p)
    table["status"] = "complete" if Timestamp(as_of).is_month_end else "partial"
    place = {step: k for k, step in enumerate(STEPS)}
    by_step = table.step.map(place)
    return table.assign(place=by_step).sort_values(["place", *SPLITS], ignore_index=True)[
        list(table)
    ]


def funnels(sources: Iterable[Steps], **knobs: Any) -> DataFrame:
    """The `funnel` of the first source, and of the others what it cannot tell: new and
    returning visitors.
    """
    first, *others = (funnel(source.daily, **knobs) for source in sources)
    split = [table[table.visitor != "all"] for table in others]
    return pd.concat([first, *split], ignore_index=True)


def _steps_of(
    segment: dict[str, str], days: DataFrame, start: Timestamp
) -> Iterator[dict[str, Any]]:
    """One segment's report month, step by step, beside its days before."""
    now, past = _split(days, start)
    sessions = float(now["session"].sum())
    if sessions == 0:
        return
    for before, step in pairwise(days.columns):
        n, reached = float(now[before].sum()), float(now[step].sum())
        usual = own_baseline(past[step], past[before])
        if usual.n < LEAST_TRIALS:
            usual = usual._replace(share=np.nan)
        yield {
            "step": step,
            **segment,
            "n_sessions": int(sessions),
            "reached": int(reached),
            "share": reached / sessions,
            "n_previous": int(n),
            "step_share": reached / n if n else np.nan,
            "usual_share": usual.share,
            "n_usual": int(usual.n),
            "spread": usual.spread,
            "z": float(z_against(reached, n, usual)),
        }


@returns("customer_journey.leaks")
def leaks(
    daily: DataFrame,
    *,
    as_of: dt.date,
    orders: ibis.Table | None = None,
    tests: ibis.Table | None = None,
    baseline_months: int = BASELINE_MONTHS,
    alpha: float = 0.05,
    level: float = 0.95,
) -> DataFrame:
    """What the report month lost against the shop's own usual and against the same month
    of the years before: faults first, dearest first within each kind.

    Lost orders = sessions lost at the step x the share of them that usually buys x
    orders a buyer; each is worth the segment's own mean margin, the shop's where it has
    fewer than 30; missing without `orders` or without costs. The range joins the chance
    of the share and of the mean margin. Of overlapping candidates the one furthest from
    chance is kept: a fault on phones is not told a second time as a fault of the whole
    shop or of each channel. Gaps are looked for by device, over the twelve months
    before, and told where their range lies above 0.
    """
    window, start = _window(daily, as_of, baseline_months), _month_start(as_of)
    worth = order_worth(orders, window, level)
    years = _same_months(daily[~daily.day_on.isin(_test_days(tests))], as_of)
    chosen: list[dict[str, Any]] = []
    for leak in chain(_faults(window, start, worth, alpha), _gaps(years, start, worth)):
        if not any(_overlap(leak, other) for other in chosen):
            chosen.append(leak)
    by = ["kind", "lost_margin", "lost_orders", "step", *SPLITS]
    ascending = [name not in ("lost_margin", "lost_orders") for name in by]
    table = frame_of("customer_journey.leaks", chosen)
    return table.sort_values(by, ascending=ascending, ignore_index=True)


@returns("customer_journey.step_trend")
def step_trend(
    daily: DataFrame,
    *,
    as_of: dt.date,
    step: str,
    device: str = "all",
    channel: str = "all",
    visitor: str = "all",
) -> DataFrame:
    """One step of one segment by day: the report month and its baseline."""
    window = _window(daily, as_of, BASELINE_MONTHS)
    for name, wanted in zip(SPLITS, (device, channel, visitor), strict=True):
        window = window[window[name] == wanted] if wanted != "all" else window
    before = next(a for a, b in pairwise([s for s in STEPS if s in daily]) if b == step)
    days = window.groupby("day_on")[[before, step]].sum()
    is_past = days.index < _month_start(as_of)
    usual = own_baseline(days.loc[is_past, step], days.loc[is_past, before])
    n = days[before].where(days[before] > 0)
    reach = BAND_WIDTH * np.sqrt(usual.spread * usual.share * (1 - usual.share) / n)
    columns = {
        "n": days[before],
        "share": days[step] / n,
        "usual": usual.share,
        "lower": (usual.share - reach).clip(lower=0),
        "upper": (usual.share + reach).clip(upper=1),
        "is_baseline": is_past,
    }
    return DataFrame(columns, index=days.index).reset_index()


def journey_headline(*, late: DataFrame | None = None, back: DataFrame | None = None) -> DataFrame:
    """The scorecard's series: late_share by month of promise (`late_months`),
    return_share by month of order (`returns`, where refunds say whose they are):
    metric, month, amount, low, high, n, status.
    """
    frames = []
    if late is not None:
        frames.append(late.rename(columns={"due": "n"}).assign(metric="late_share"))
    if back is not None:
        months = back[(back.view == "month") & (back.basis == "order")]
        months = months.rename(columns={"key": "month", "n_lines": "n"})
        frames.append(months.assign(metric="return_share"))
    columns = ["metric", "month", "amount", "low", "high", "n", "status"]
    known = [f.rename(columns={"share": "amount"})[columns] for f in frames if len(f)]
    return pd.concat(known or [DataFrame(columns=columns)], ignore_index=True)


def _month_start(as_of: dt.date) -> Timestamp:
    return Timestamp(as_of).replace(day=1)


def _window(daily: DataFrame, as_of: dt.date, months: int) -> DataFrame:
    """The days of the report month and of the months before it."""
    first = _month_start(as_of) - pd.DateOffset(months=months)
    return daily[daily.day_on.between(first, Timestamp(as_of))]


def _split(days: DataFrame, start: Timestamp) -> tuple[DataFrame, DataFrame]:
    """The report month's days, and those before it."""
    return days[days.index >= start], days[days.index < start]


def _segments(window: DataFrame) -> Iterator[tuple[dict[str, str], DataFrame]]:
    """Every combination of the splits that split anything, with its steps by day; days
    without the segment are not there. Visitors that are `unknown` stand only in the
    totals.
    """
    steps = [step for step in STEPS if step in window]
    split = [name for name in SPLITS if window[name].nunique() > 1]
    yield dict.fromkeys(SPLITS, "all"), window.groupby("day_on", sort=True)[steps].sum()
    for size in range(1, len(split) + 1):
        for names in map(list, combinations(split, size)):
            sums = window.groupby([*names, "day_on"], sort=True)[steps].sum().reset_index(names)
            for key, days in sums.groupby(names, sort=True):
                segment = dict.fromkeys(SPLITS, "all") | dict(zip(names, key, strict=True))
                if segment["visitor"] != "unknown":
                    yield segment, days[steps]


def _leak(kind: str, step: str, segment: dict[str, str], days: DataFrame) -> dict[str, Any]:
    """What every leak says of the days it lies in: `days` holds the step before and
    the step.
    """
    before, reached = days.sum()
    return {
        "kind": kind,
        "step": step,
        **segment,
        "first_on": days.index[0],
        "last_on": days.index[-1],
        "n_previous": int(before),
        "step_share": reached / before,
    }


def _faults(
    window: DataFrame, start: Timestamp, worth: Worth, alpha: float
) -> list[dict[str, Any]]:
    """Each segment's and step's worst stretch that chance does not explain (Holm over
    all of them), the one furthest from chance first.
    """
    rows, p = [], []
    for segment, days in _segments(window):
        now, past = _split(days, start)
        for before, step in pairwise(days.columns):
            usual = own_baseline(past[step], past[before])
            if usual.n < LEAST_TRIALS:
                continue
            stretch = worst_stretch(now[step], now[before], usual)
            if stretch is None:
                continue
            bad = now[[before, step]].iloc[stretch.first : stretch.last + 1]
            leak = _leak("fault", step, segment, bad)
            leak |= {"reference_share": usual.share, "z": stretch.z}
            rows.append(
                leak
                | worth.of(
                    stretch.lost,
                    stretch.error,
                    past,
                    step,
                    segment,
                )
            )
            p.append(stretch.p)
    adjusted = adjusted_p(p, method="holm") if p else []
    faults = [
        row | {"p_adjusted": chance}
        for row, chance in zip(rows, adjusted, strict=True)
        if chance < alpha
    ]
    return sorted(faults, key=lambda row: [row[name] for name in ("z", "step", *SPLITS)])


def _test_days(tests: ibis.Table | None) -> list[Timestamp]:
    """The days from a test's first assignment to its last."""
    if tests is None:
        return []
    dealt = expression(tests).mutate(day_on=ibis._.assigned_at.cast("date"))
    ends = dealt.group_by("test_id").aggregate(first=ibis._.day_on.min(), last=ibis._.day_on.max())
    rows = ends.to_pandas().dropna()
    spans = [
        pd.date_range(first, last) for first, last in zip(rows["first"], rows["last"], strict=True)
    ]
    return sorted({day for span in spans for day in span})


def _same_months(daily: DataFrame, as_of: dt.date) -> DataFrame:
    """The days of the report month up to the day, and the same days of earlier years."""
    today = Timestamp(as_of)
    is_same = (daily.day_on.dt.month == today.month) & (daily.day_on.dt.day <= today.day)
    first = _month_start(as_of) - pd.DateOffset(years=GAP_YEARS)
    return daily[is_same & daily.day_on.between(first, today)]


def _gaps(years: DataFrame, start: Timestamp, worth: Worth) -> Iterator[dict[str, Any]]:
    """Per device the step furthest below the same month of the years before, its broken
    days left out.
    """
    for segment, days in _segments(years.assign(channel="all", visitor="all")):
        if segment["device"] == "all" and years["device"].nunique() > 1:
            continue
        now, past = _split(days, start)
        if now.empty or past.empty:
            continue
        found = [
            _gap(step, now[[before, step]], past, worth, segment) for before, step in pairwise(days)
        ]
        told = [gap for gap in found if gap is not None]
        if told:
            yield max(told, key=lambda gap: gap["orders_low"])


def _gap(
    step: str, now: DataFrame, past: DataFrame, worth: Worth, segment: dict[str, str]
) -> dict[str, Any] | None:
    """One step beside its usual share in the same month of other years; None where it
    does not surely lie below.
    """
    before = now.columns[0]
    n, reached = float(now[before].sum()), float(now[step].sum())
    usual = own_baseline(past[step], past[before])
    if not n > 0 or usual.n < LEAST_TRIALS:
        return None
    error = float(np.hypot(lost_error(n, usual), GAP_SPREAD * usual.share * n))
    value = worth.of(
        n * usual.share - reached,
        error,
        past,
        step,
        segment,
    )
    if not value["orders_low"] > 0:
        return None
    return _leak("gap", step, segment, now) | {"reference_share": usual.share} | value


def _overlap(leak: dict[str, Any], other: dict[str, Any]) -> bool:
    """Do two leaks tell of the same sessions: one step, segments that meet, days that
    meet?
    """
    meet = all(leak[name] == other[name] or "all" in (leak[name], other[name]) for name in SPLITS)
    apart = leak["last_on"] < other["first_on"] or other["last_on"] < leak["first_on"]
    return leak["step"] == other["step"] and meet and not apart
