"""Notebook 08: where visitors are lost on the way to an order, what that costs, and
whether a test won.

Words. A *session* is one visit. Every share of the funnel has sessions as its one
denominator, every *step share* the sessions that reached the step before. The *usual*
share is the same segment's own last three months without its broken days. A *fault* is
a stretch of days below the usual share that chance does not explain, after counting
every segment, step and stretch looked at; a *gap* is the distance to the segment's own
best month. How logs become steps is in `methods.visits`; parcels, returns, service and
payments in `methods.parcels` and `methods.aftersales`; the reading of tests in
`methods.verdicts`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.customer_journey.aftersales import payments, returns, service
from playbook.chapters.customer_journey.parcels import delivery, late_months, late_slope
from playbook.chapters.customer_journey.stages import journey_map
from playbook.chapters.customer_journey.verdicts import read_tests
from playbook.chapters.customer_journey.visits import SPLITS, STEPS, event_steps, traffic_steps
from playbook.errors import PlaybookError
from playbook.methods.funnel import lost_error, own_baseline, worst_stretch, z_against
from playbook.methods.proportions import adjusted_p, quantile_of_normal, two_sided_p, wilson
from playbook.store import expression

__all__ = [
    "traffic_steps",
    "event_steps",
    "funnel",
    "leaks",
    "step_trend",
    "delivery",
    "late_months",
    "late_slope",
    "returns",
    "service",
    "payments",
    "journey_map",
    "read_tests",
    "journey_headline",
    "journey_decisions",
]


def funnel(
    daily: pd.DataFrame, *, as_of: Any, baseline_months: int = 3, level: float = 0.95
) -> pd.DataFrame:
    """The report month by step and segment, beside the segment's own last months.

    One row per step and combination of device, channel and visitor (`all`: added up):
    n_sessions, reached, share (of sessions), low, high (Wilson); n_previous, step_share
    (of the step before), usual_share, n_usual, spread (of days, in binomial variances),
    z, p, p_adjusted (Benjamini & Hochberg over all rows), status. `usual_share`, z and
    p are missing where the segment has fewer than 100 earlier trials. Nothing of a
    segment with no session is shown.
    """
    rows, start = [], _month_start(as_of)
    is_whole = _day(as_of) == (pd.Timestamp(_day(as_of)) + pd.offsets.MonthEnd(0)).date()
    for segment, days in _segments(_window(daily, as_of, baseline_months)):
        now, past = days[days.index >= start], days[days.index < start]
        base = float(now["session"].sum())
        for before, step in pairwise(days.columns) if base > 0 else ():
            n, reached = float(now[before].sum()), float(now[step].sum())
            low, high = wilson(reached, base, level)
            usual = own_baseline(past[step], past[before])
            is_known = usual.n >= LEAST
            rows.append(
                {
                    "step": step,
                    **segment,
                    "n_sessions": int(base),
                    "reached": int(reached),
                    "share": reached / base,
                    "low": float(low),
                    "high": float(high),
                    "n_previous": int(n),
                    "step_share": reached / n if n else np.nan,
                    "usual_share": usual.share if is_known else np.nan,
                    "n_usual": int(usual.n),
                    "spread": usual.spread,
                    "z": float(z_against(reached, n, usual)) if is_known else np.nan,
                    "status": "complete" if is_whole else "partial",
                }
            )
    if not rows:
        raise PlaybookError(
            "no session in the report month", table="traffic", do="choose a month the export covers"
        )
    table = pd.DataFrame(rows)
    p = two_sided_p(table["z"])
    table.insert(table.columns.get_loc("status"), "p", p)
    table.insert(table.columns.get_loc("status"), "p_adjusted", adjusted_p(p))
    return _sorted(table)


def leaks(
    daily: pd.DataFrame,
    *,
    as_of: Any,
    orders: Any = None,
    baseline_months: int = 3,
    alpha: float = 0.05,
    level: float = 0.95,
) -> pd.DataFrame:
    """What the report month lost against the shop's own usual and best: faults first,
    dearest first within each kind.

    One row per leak: kind (`fault`, `gap`), step, device, channel, visitor, first_on,
    last_on, n_previous, step_share, reference_share (fault: usual; gap: own best month,
    at the lower end of its interval so that luck is no aim), lost_orders, orders_low,
    orders_high, margin_per_order, lost_margin, low, high, z, p_adjusted (Holm over
    every segment and step; missing for gaps).

    Lost orders = sessions lost at the step x the share of them that usually buys x
    orders a buyer; each is worth the segment's own mean margin, the shop's where it has
    fewer than 30; missing without `orders` or without costs. The range joins the chance
    of the share and of the mean margin. Of overlapping candidates the one furthest from
    chance is kept: a fault on phones is not told a second time as a fault of the whole
    shop or of each channel. Gaps are looked for by device, over the twelve months
    before, and told where their range lies above 0.
    """
    window, start = _window(daily, as_of, baseline_months), _month_start(as_of)
    z_level, worth = quantile_of_normal(level), _margins(orders, window)
    rows, p = [], []
    for segment, days in _segments(window):
        now, past = days[days.index >= start], days[days.index < start]
        for before, step in pairwise(days.columns):
            usual = own_baseline(past[step], past[before])
            found = worst_stretch(now[step], now[before], usual) if usual.n >= LEAST else None
            if found is None:
                continue
            bad = now.iloc[found.first : found.last + 1]
            rows.append(
                {
                    "kind": "fault",
                    "step": step,
                    **segment,
                    "first_on": bad.index[0],
                    "last_on": bad.index[-1],
                    "n_previous": int(bad[before].sum()),
                    "step_share": bad[step].sum() / bad[before].sum(),
                    "reference_share": usual.share,
                    "z": found.z,
                    **_valued(found.lost, found.error, past, step, worth, segment, z_level),
                }
            )
            p.append(found.p)
    faults = (
        pd.DataFrame(rows).assign(p_adjusted=adjusted_p(p, method="holm"))
        if rows
        else pd.DataFrame(columns=LEAK)
    )
    faults = faults[faults["p_adjusted"] < alpha].sort_values(["z", "step", *SPLITS], kind="stable")
    kept: list[dict[str, Any]] = []
    for row in faults.to_dict("records"):
        if not any(_overlap(row, other) for other in kept):
            kept.append(row)
    for row in _gaps(_window(daily, as_of, 12), start, worth, z_level):
        if row["orders_low"] > 0 and not any(_overlap(row, other) for other in kept):
            kept.append(row)
    table = pd.DataFrame(kept, columns=LEAK)
    by, ascending = (
        ["kind", "lost_margin", "lost_orders", "step", *SPLITS],
        [True, False, False] + [True] * 4,
    )
    return table.sort_values(by, ascending=ascending, ignore_index=True)


def step_trend(
    daily: pd.DataFrame,
    *,
    as_of: Any,
    step: str,
    device: str = "all",
    channel: str = "all",
    visitor: str = "all",
    baseline_months: int = 3,
) -> pd.DataFrame:
    """One step of one segment by day, the report month and its baseline: day_on, n,
    share, usual, lower, upper (three standard deviations of a day of that size, the
    days' own spread included), is_baseline.
    """
    window = _window(daily, as_of, baseline_months)
    for name, wanted in zip(SPLITS, (device, channel, visitor), strict=True):
        window = window[window[name] == wanted] if wanted != "all" else window
    before = next(a for a, b in pairwise([s for s in STEPS if s in daily]) if b == step)
    days = window.groupby("day_on")[[before, step]].sum()
    is_past = days.index < _month_start(as_of)
    usual = own_baseline(days.loc[is_past, step], days.loc[is_past, before])
    reach = 3 * np.sqrt(
        usual.spread * usual.share * (1 - usual.share) / days[before].where(days[before] > 0)
    )
    share = days[step] / days[before].where(days[before] > 0)
    return pd.DataFrame(
        {
            "day_on": days.index,
            "n": days[before].to_numpy(),
            "share": share.to_numpy(),
            "usual": usual.share,
            "lower": (usual.share - reach).clip(lower=0).to_numpy(),
            "upper": (usual.share + reach).clip(upper=1).to_numpy(),
            "is_baseline": is_past,
        }
    )


def journey_headline(
    *, late: pd.DataFrame | None = None, back: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The scorecard's series: late_share by month of promise (`late_months`),
    return_share by month of order (`returns`, where refunds say whose they are):
    metric, month, amount, low, high, n, status.
    """
    columns = ["metric", "month", "amount", "low", "high", "n", "status"]
    frames = [pd.DataFrame(columns=columns)]
    if late is not None:
        frames.append(
            late.rename(columns={"share": "amount", "due": "n"}).assign(metric="late_share")[
                columns
            ]
        )
    if back is not None:
        months = back[(back["view"] == "month") & (back["basis"] == "order")]
        months = months.rename(columns={"key": "month", "share": "amount", "n_lines": "n"})
        frames.append(months.assign(metric="return_share")[columns])
    return pd.concat([f for f in frames if len(f)] or frames, ignore_index=True)


def journey_decisions(
    found: pd.DataFrame,
    tests: pd.DataFrame,
    *,
    plan: pd.DataFrame | None = None,
    monthly_margin: float | None = None,
    currency: str = "",
    due_on: Any = None,
    revisit_on: Any = None,
    most: int = 3,
) -> pd.DataFrame:
    """The chapter's decision rows, in the fields of `runs.results.Decision`.

    The dearest leaks become `mend` (faults) and `test a fix` (gaps); every test gets
    its verdict, and the next one is revisited when it has run. A test that ships is
    worth its lift times `monthly_margin`, the margin of a month's orders, where both
    are known, as is its range.
    """
    rows: list[dict[str, Any]] = []
    monthly_margin = np.nan if monthly_margin is None else float(monthly_margin)
    for leak in found.head(most).itertuples():
        where = (
            " ".join(x for x in (leak.device, leak.channel, leak.visitor) if x != "all")
            or "whole shop"
        )
        days = f"{leak.first_on:%Y-%m-%d} to {leak.last_on:%Y-%m-%d}"
        is_fault, has_price = leak.kind == "fault", leak.lost_margin == leak.lost_margin
        rows.append(
            {
                "subject_type": "stage",
                "subject": f"{leak.step}, {where}",
                "action": "mend" if is_fault else "test a fix",
                "size": leak.lost_orders,
                "unit": "orders lost in the month"
                if is_fault
                else "orders short of the best month",
                "expected_effect": leak.lost_margin if has_price else leak.lost_orders,
                "effect_low": leak.low if has_price else leak.orders_low,
                "effect_high": leak.high if has_price else leak.orders_high,
                "effect_unit": f"{currency} margin a month".strip()
                if has_price
                else "orders a month",
                "confidence": "high" if is_fault else "low",
                "evidence_metric": "step_rate",
                "evidence_value": leak.step_share,
                "threshold": leak.reference_share,
                "owner_role": "product lead",
                "reason": f"below the shop's own usual, {days}"
                if is_fault
                else "below the shop's best month of twelve",
                "stop_rule": "close when the step is back within its control band for two weeks"
                if is_fault
                else "close when a month reaches the best one, or the test of the fix shows no lift",
            }
        )
    for test in tests.itertuples():
        has_worth = test.verdict == "ship" and monthly_margin == monthly_margin
        worth = [
            x * monthly_margin if has_worth else None for x in (test.lift, test.low, test.high)
        ]
        rows.append(
            {
                "subject_type": "test",
                "subject": f"{test.test_id}: {test.arm}",
                "action": test.verdict,
                "size": test.n_control + test.n_arm,
                "unit": "visitors read",
                "expected_effect": worth[0],
                "effect_low": worth[1],
                "effect_high": worth[2],
                "effect_unit": f"{currency} margin a month".strip() if has_worth else "",
                "evidence_metric": "lift",
                "confidence": "high" if test.is_valid and test.verdict == "ship" else "medium",
                "evidence_value": test.lift,
                "threshold": 0.0,
                "owner_role": "product lead",
                "reason": test.reason,
                "stop_rule": AFTER_TEST[test.verdict],
            }
        )
    if plan is not None and len(plan) and len(found):
        need = plan.iloc[0]
        ends = pd.Timestamp(due_on) + pd.to_timedelta(
            need.days, unit="D"
        )  # missing where either is
        rows.append(
            {
                "subject_type": "test",
                "subject": f"next: {found.iloc[0].step}",
                "action": "plan",
                "size": float(need.n_total),
                "unit": f"sessions for {need.days:.0f} days",
                "confidence": "medium",
                "evidence_metric": "n_per_arm",
                "evidence_value": float(need.n_per_arm),
                "threshold": need.lift,
                "reason": "sized to find this relative lift; not read before",
                "owner_role": "product lead",
                "revisit_on": revisit_on
                if pd.isna(ends)
                else max(str(revisit_on), f"{ends:%Y-%m-%d}"),
                "stop_rule": "stop at once if the split is not the planned one",
            }
        )
    return pd.DataFrame([{"due_on": due_on, "revisit_on": revisit_on} | row for row in rows])


AFTER_TEST = {
    "ship": "take it back if conversion falls below its control band",
    "stop": "the arm is off; test again only with the planned split and enough visitors",
    "keep running": "read once, at the planned end",
}
LEAST = 100  # earlier trials below which a segment has no usual share
LEAK = [
    "kind",
    "step",
    *SPLITS,
    "first_on",
    "last_on",
    "n_previous",
    "step_share",
    "reference_share",
    "lost_orders",
    "orders_low",
    "orders_high",
    "margin_per_order",
    "lost_margin",
    "low",
    "high",
    "z",
    "p_adjusted",
]


def _day(as_of: Any) -> dt.date:
    return pd.Timestamp(as_of).date()


def _month_start(as_of: Any) -> pd.Timestamp:
    return pd.Timestamp(_day(as_of)).replace(day=1)


def _window(daily: pd.DataFrame, as_of: Any, months: int) -> pd.DataFrame:
    """The days of the report month and of the months before it."""
    start = _month_start(as_of) - pd.DateOffset(months=months)
    return daily[(daily["day_on"] >= start) & (daily["day_on"] <= pd.Timestamp(_day(as_of)))]


def _segments(window: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Every combination of the splits that split anything, with its steps by day; days
    without the segment are not there. Visitors that are `unknown` stand only in the
    totals.
    """
    steps = [step for step in STEPS if step in window]
    split = [name for name in SPLITS if window[name].nunique() > 1]
    for size in range(len(split) + 1):
        for names in combinations(split, size):
            sums = (
                window.groupby([*names, "day_on"], sort=True)[steps].sum().reset_index(list(names))
            )
            for key, days in sums.groupby(list(names), sort=True) if names else [((), sums)]:
                segment = dict.fromkeys(SPLITS, "all") | dict(zip(names, key, strict=True))
                if segment["visitor"] != "unknown":
                    yield segment, days[steps]


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    order = table["step"].map({step: k for k, step in enumerate(STEPS)})
    return (
        table.assign(order=order)
        .sort_values(["order", *SPLITS], ignore_index=True)
        .drop(columns="order")
    )


def _margins(orders: Any, days: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Sums of order margins by device and channel on the days the funnel covers, and
    counted orders per purchase.
    """
    nothing = pd.DataFrame(columns=[*SPLITS[:2], "n", "total", "square"])
    if orders is None or "purchase" not in days or not len(days):
        return nothing, 1.0
    o = expression(orders)
    for name in SPLITS[:2]:
        o = o.mutate(
            **{name: o[name].fill_null("unknown") if name in o.columns else ibis.literal("unknown")}
        )
    money = o.margin.cast("decimal(38, 6)")  # wide enough for squares
    inside = (o.ordered_on >= ibis.literal(days["day_on"].min().date())) & (
        o.ordered_on <= ibis.literal(days["day_on"].max().date())
    )
    sums = (
        o.mutate(m=money)
        .filter(inside)
        .group_by("device", "channel")
        .aggregate(n_orders=_.count(), n=_.m.count(), total=_.m.sum(), square=(_.m * _.m).sum())
    )
    sums = sums.order_by("device", "channel").to_pandas().fillna({"total": 0, "square": 0})
    sums = sums.astype({"total": float, "square": float})
    bought = days["purchase"].sum()
    return sums, float(sums["n_orders"].sum() / bought) if bought > 0 else 1.0


def _valued(
    lost: float,
    error: float,
    past: pd.DataFrame,
    step: str,
    worth: tuple[pd.DataFrame, float],
    segment: dict[str, str],
    z: float,
) -> dict[str, float]:
    """Sessions lost at a step as orders and as margin, each with its range."""
    onward = 1.0
    if step != "purchase":
        onward = (
            past["purchase"].sum() / past[step].sum()
            if "purchase" in past and past[step].sum() > 0
            else np.nan
        )
    sums, per_purchase = worth
    own = sums
    for name in SPLITS[:2]:
        own = own[own[name] == segment[name]] if segment[name] != "all" else own
    own = own if own["n"].sum() >= 30 else sums
    n = float(own["n"].sum())
    mean = own["total"].sum() / n if n else np.nan
    spread = (own["square"].sum() / n - mean**2) / n if n else np.nan
    orders, off = lost * onward * per_purchase, error * onward * per_purchase
    margin_off = float(np.sqrt((mean * off) ** 2 + orders**2 * spread))
    return {
        "lost_orders": orders,
        "orders_low": orders - z * off,
        "orders_high": orders + z * off,
        "margin_per_order": mean,
        "lost_margin": orders * mean,
        "low": orders * mean - z * margin_off,
        "high": orders * mean + z * margin_off,
    }


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Do two leaks tell of the same sessions: one step, segments that meet, days that
    meet?
    """
    meet = all(one[name] == other[name] or "all" in (one[name], other[name]) for name in SPLITS)
    return (
        one["step"] == other["step"]
        and meet
        and not (one["last_on"] < other["first_on"] or other["last_on"] < one["first_on"])
    )


def _gaps(
    year: pd.DataFrame, start: pd.Timestamp, worth: tuple[pd.DataFrame, float], z: float
) -> Iterator[dict[str, Any]]:
    """Per device and step, the month beside the best of the twelve before it."""
    for segment, days in _segments(year.assign(channel="all", visitor="all")):
        if segment["device"] == "all" and year["device"].nunique() > 1:
            continue
        now, past = days[days.index >= start], days[days.index < start]
        months = past.groupby(past.index.to_period("M")).sum()
        for before, step in pairwise(days.columns):
            n, x = float(now[before].sum()), float(now[step].sum())
            if not len(months) or not n > 0:
                continue
            best = float(np.nanmax(wilson(months[step], months[before])[0], initial=0.0))
            error = lost_error(n, own_baseline(past[step], past[before])._replace(n=np.inf))
            yield {
                "kind": "gap",
                "step": step,
                **segment,
                "first_on": now.index[0],
                "last_on": now.index[-1],
                "n_previous": int(n),
                "step_share": x / n,
                "reference_share": best,
                "z": np.nan,
                "p_adjusted": np.nan,
                **_valued(n * best - x, error, past, step, worth, segment, z),
            }
