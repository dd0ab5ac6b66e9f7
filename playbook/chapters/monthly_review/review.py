"""The monthly review: what moved, is it real, and why.

It reads the chapters' results, never raw data: the `headline` series, the facts chapter
00 wrote. *Control limits* come before explanation: a figure within the range its own
past spans asks for no story. What to do is in `decisions`, what must not be overlooked
in `cautions`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.monthly_review.usual import (
    LEAST_MONTHS,
    OUTSIDE,
    control_limits,
    driver_months,
    spread,
)
from playbook.chapters.registry import room_facts
from playbook.measures.metrics import METRICS, months_back
from playbook.methods.decomposition import mix_and_rate, product_drivers
from playbook.methods.expectation import CIRCUMSTANCES, expected_days
from playbook.tables import empty, frame_of, returns, schema

__all__ = [
    "anomalies",
    "day_limits",
    "drivers",
    "against_targets",
    "main_figures",
    "mean_order_change",
    "mix_rate",
    "scorecard",
    "team_score",
]

TREE = ("sessions", "cvr_sessions", "units_per_order", "revenue_per_unit")
SHORT_TREE = ("orders", "units_per_order", "revenue_per_unit")
LEAST_DAYS = 60  # days of misses below which a day has no limits
MOST_REACHED = 1.2  # a kpi counts for no more than this share of its target
DAY_METRICS = ("orders", "revenue", "sessions")
#: an unlikely day in a month without news, over all its days
FALSE_ALARM_SHARE = 0.05
DAYS_READ, WEEKS_BEFORE = 400, 8


@returns("monthly_review.scorecard")
def scorecard(
    headline: DataFrame,
    *,
    month: str,
    days: DataFrame | None = None,
    targets: DataFrame | None = None,
    benchmarks: DataFrame | None = None,
    foreseen: DataFrame | None = None,
) -> DataFrame:
    """One row per headline metric, beside what was to be expected of it (from `days`,
    start_here.daily, where they say more than its months), what was foreseen before the
    month began (`goal_setting.foreseen`), its target and what is published. `band` quotes
    the benchmark rows whose metric, unit of share or ratio and denominator are ours; it
    never flags.
    """
    now = _of_month(headline, month).rename(columns={"amount": "actual"})
    card = now[["actual", "low", "high", "n", "status", "notebook"]]
    for name, months in (("last_month", 2), ("last_year", 13)):
        earlier = _of_month(headline, months_back(month, months)[0])
        card[name] = earlier.amount.where(earlier.status == "complete")
    limits = control_limits(headline, month=month, days=days).set_index("metric")
    limits = limits.rename(columns={"centre": "expected", "low": "usual_low", "high": "usual_high"})
    ranges = ["expected", "usual_low", "usual_high", "lower", "upper", "basis"]
    card = card.join(limits[ranges]).assign(target=np.nan, owner_role="")
    card["basis"] = card.basis.fillna("")
    said = DataFrame() if foreseen is None else _of_month(foreseen, month)
    card["foreseen"] = said["mid"].astype(float) if len(said) else np.nan
    if targets is not None and len(targets):
        own = _of_month(targets, month).reindex(card.index)
        card = card.assign(target=own.value.astype(float), owner_role=own.owner_role.fillna(""))
    # what still fills is held against no target
    card["gap"] = (card.actual - card.target).where(card.status == "complete")
    card["flag"] = _flags(card)
    card["band"] = [_band(metric, benchmarks) for metric in card.index]
    card["name"] = [_name(metric) for metric in card.index]
    card["unit"] = [METRICS[m].unit if m in METRICS else "" for m in card.index]
    place = {metric: k for k, metric in enumerate(METRICS)}
    card = card.reset_index()
    card = card.assign(place=card.metric.map(place)).sort_values(["place", "metric"])
    return card[schema("monthly_review.scorecard").names].reset_index(drop=True)


def _of_month(table: DataFrame, month: str) -> DataFrame:
    return table[table.month == month].drop_duplicates("metric").set_index("metric")


def _name(metric: str) -> str:
    return METRICS[metric].name if metric in METRICS else metric.replace("_", " ")


def better_sign(metric: str) -> int:
    """1 where more of a metric is better, -1 where less is, 0 where neither alone is."""
    known = METRICS.get(metric)
    if known is None or known.direction.startswith("↔"):
        return 0
    return -1 if known.is_lower_better else 1


def _flags(card: DataFrame) -> np.ndarray:
    """Is the figure outside its limits, and is that good? Of the others: is it in its
    usual range (four months of five are), or beyond it and still within its limits?
    """
    # limits nobody knows are passed by nothing
    with np.errstate(invalid="ignore"):
        moved = (card.actual > card.upper).astype(int) - (card.actual < card.lower).astype(int)
        is_outside_range = (card.actual > card.usual_high) | (card.actual < card.usual_low)
    good = moved * [better_sign(metric) for metric in card.index]
    flags = {
        "not observed": card.status == "unobserved",
        "too early": card.status != "complete",
        "no history": card.upper.isna(),
        "within limits": (moved == 0) & is_outside_range,
        "usual": moved == 0,
        "better": good > 0,
        "worse": good < 0,
    }
    return np.select(list(flags.values()), list(flags), "outside limits")


def _band(metric: str, benchmarks: DataFrame | None) -> str:
    if benchmarks is None:
        return ""
    is_stated = benchmarks.denominator.fillna("not stated") != "not stated"
    quoted = []
    for row in benchmarks[(benchmarks.metric == metric) & is_stated].itertuples():
        ends = [f"{end:g}" for end in (row.low, row.mid, row.high) if pd.notna(end)]
        quoted += [f"{'–'.join(ends)} {row.unit} ({row.source})"] * bool(ends)
    return "; ".join(quoted)


def against_targets(card: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The scorecard's complete figures with a target: those that missed it, and those that
    beat it. A figure of which neither more nor less is better alone is in neither.
    """
    held = card[card.target.notna() & (card.status == "complete")]
    won = (held.actual - held.target) * held.metric.map(better_sign).astype(float)
    return held[won < 0], held[won > 0]


def main_figures(card: DataFrame) -> DataFrame:
    """The scorecard's rows to read first: the headline ones of `chapter.yaml`, those
    with a target, those out of their limits.
    """
    is_out = card.flag.isin(["better", "worse", "outside limits"])
    is_headline = card.metric.isin(room_facts("monthly_review")["headline"])
    return card[is_headline | card.target.notna() | is_out].reset_index(drop=True)


@returns("monthly_review.team_score")
def team_score(card: DataFrame, team: DataFrame | None) -> DataFrame:
    """How far each role has come with its kpis. Only those with a target and a complete
    figure are judged, each kept within 0 to 1.2 of its target.
    """
    if team is None or team.empty:
        return empty("monthly_review.team_score")
    held = team[team.raci.isin(["A", "R"])].merge(
        card,
        left_on="kpi",
        right_on="metric",
    )
    held = held[held.target.notna()]
    is_lower = np.array([better_sign(metric) < 0 for metric in held.metric], bool)
    ratio = np.where(
        is_lower,
        held.target / held.actual,
        held.actual / held.target,
    )
    held = held.assign(reached=np.clip(ratio, 0, MOST_REACHED), is_ripe=held.status == "complete")
    orders = card.loc[card.metric == "orders", "actual"]
    rows = []
    for role, kpis in held.groupby("role", sort=True):
        ripe = kpis[kpis.is_ripe & kpis.reached.notna()]
        weight = ripe.weight_share.astype(float)
        people = float(team[team.role == role].n_people.max())
        attained = (ripe.reached * weight).sum() / weight.sum() if weight.sum() > 0 else np.nan
        each = float(orders.iloc[0]) / people if len(orders) and people else np.nan
        rows.append((role, attained, len(ripe), int((~kpis.is_ripe).sum()), people, each))
    return frame_of("monthly_review.team_score", rows)


@returns("monthly_review.drivers")
def drivers(headline: DataFrame, *, month: str, days: DataFrame | None = None) -> DataFrame:
    """Why net revenue moved against last month.

    The tree is sessions x conversion x units per order x net revenue per unit (without
    traffic it starts at orders); contributions add up to the change exactly. The
    largest bar is often the season, so each driver is also held against what was to be
    expected: from `days` (start_here.daily) given spend, promotions and stock, else
    from its own months. `unexpected` is the money its distance from there is worth (the
    four add up to what nobody expected), `surprise` that distance in sigmas, `rank`
    orders by the product of both: neither a large move of a restless driver nor a tiny
    one of a still driver comes first. The first of those outside their limits is the
    news. Empty where a month lacks a figure.
    """
    tree = _tree(headline, month)
    ends = tree.reindex([months_back(month, 2)[0], month])
    if tree.empty or ends.isna().any(axis=None):
        return empty("monthly_review.drivers")
    table = product_drivers(*ends.to_dict("records")).set_index("driver")
    whole = headline[headline.metric == "net_revenue"].set_index("month").status
    chart = tree.melt(
        ignore_index=False,
        var_name="metric",
        value_name="amount",
    ).reset_index()
    limits = _driver_limits(
        chart.assign(status=chart.month.map(whole)),
        month,
        days,
    )
    limits = limits.reindex(table.index)
    table["expected"] = limits.centre
    ratio = table.after / limits.centre
    distance = np.log(ratio.where(ratio > 0)).abs()
    table["surprise"] = distance / limits.sigma.where(limits.sigma > 0)
    table["rank"] = (table.surprise * distance).rank(ascending=False, method="first")
    table["unexpected"] = np.nan
    if table.expected.notna().all():
        parts = product_drivers(table.expected.to_dict(), table.after.to_dict())
        table["unexpected"] = parts.contribution.to_numpy()
    is_out = (table.after > limits.upper) | (table.after < limits.lower)
    table["is_news"] = is_out & (table["rank"] == table["rank"].where(is_out).min())
    return table.reset_index()[schema("monthly_review.drivers").names]


def _tree(headline: DataFrame, month: str) -> DataFrame:
    """The drivers whose product is net revenue, by month; empty where the month or the
    one before lacks one. Of a month whose sales are whole, what was counted on some of its
    days only is no driver.
    """
    series = headline.drop_duplicates(["metric", "month"])
    whole = series[(series.metric == "net_revenue") & (series.status == "complete")].month
    series = series[(series.status == "complete") | ~series.month.isin(whole)]
    wide = series.pivot(index="month", columns="metric", values="amount").astype(float)
    if {"net_revenue", "units_per_order", "orders"} <= set(wide):
        wide["revenue_per_unit"] = wide.net_revenue / (wide.orders * wide.units_per_order)
    known = wide.reindex(months_back(month, 2)).dropna(axis=1)
    for tree in (TREE, SHORT_TREE):
        if set(tree) <= set(known):
            if tree == TREE:
                # recomputed, so that the product is net revenue whatever the rounding
                wide["cvr_sessions"] = wide.orders / wide.sessions
            return wide[list(tree)]
    return DataFrame()


def _driver_limits(chart: DataFrame, month: str, days: DataFrame | None) -> DataFrame:
    """centre, lower, upper, sigma by driver: from its days where enough months of them
    were expected, else from its months.
    """
    from scipy.stats import t as student

    rows = {}
    # the drivers are looked at together: any of them is news by chance in one month of twenty
    outside = OUTSIDE / chart.metric.nunique()
    if days is not None and len(days):
        for driver, months in driver_months(days, month).items():
            past = months.miss[months.index < month]
            if driver in set(chart.metric) and len(past) >= LEAST_MONTHS:
                sigma, n = spread(past, months.is_late[months.index < month])
                reach = sigma * student.ppf(1 - outside / 2, n)
                ends = np.exp([0, -reach, reach]) * months.expected[month]
                rows[driver] = (*ends, sigma)
    columns = ["centre", "lower", "upper", "sigma"]
    known = DataFrame.from_dict(rows, orient="index", columns=columns)
    rest = control_limits(chart[~chart.metric.isin(list(rows))], month=month)
    return pd.concat([known, rest.set_index("metric")[columns]]).astype(float)


@returns("monthly_review.mix_rate_segments")
def mix_rate(breakdown: DataFrame, *, month: str) -> DataFrame:
    """The change of revenue per order against last month, split by dimension, of each the
    whole first. A category's orders are orders that hold it, so its mean is per such order.
    """
    months = months_back(month, 2)
    parts = []
    for dimension, table in breakdown.groupby("dimension", sort=True):
        ends = (table[table.month == m].set_index("segment") for m in months)
        sums = (end[["orders", "revenue"]].astype(float) for end in ends)
        split = mix_and_rate(*sums, weight="orders", amount="revenue")
        whole = split[["mix", "rate", "contribution"]].sum(min_count=1).to_frame().T
        split = split.sort_values(
            "contribution",
            key=lambda s: -s.abs(),
            kind="stable",
        )
        both = pd.concat([whole.assign(segment="all"), split])
        parts.append(both.assign(dimension=dimension))
    if not parts:
        return empty("monthly_review.mix_rate_segments")
    names = schema("monthly_review.mix_rate_segments").names
    return pd.concat(parts, ignore_index=True)[names]


@returns("monthly_review.mix_rate")
def mean_order_change(segments: DataFrame, card: DataFrame) -> DataFrame:
    """The dimensions of `mix_rate`, which counts revenue before returns, beside the change
    of the card's average order value, which is after them.
    """
    # a shop may call a segment of its own "all": the whole is the first row
    rows = segments.groupby("dimension", sort=False).head(1).drop(columns="segment")
    both = card.set_index("metric")[["actual", "last_month"]].reindex(["aov"]).astype(float)
    change = (both.actual - both.last_month).iloc[0]
    return rows.assign(after_returns=change).reset_index(drop=True)


def day_limits(daily: DataFrame, *, month: str, metric: str = "orders") -> DataFrame:
    """The month's days of a metric: day_on, amount, expected, lower, upper,
    is_promotion. Empty where the past is too short.

    A day is expected to be the median of the same weekday in the eight weeks before, or
    what its calendar, promotions and spend lead one to expect (the day model of the
    card), whichever missed by less on the shop's own past; either is moved by the level
    of the last fourteen days. The limits come from those misses (log scale, robust
    spread), wide enough that a month without news shows any alarm with a chance of one
    in twenty. Only the newest 400 days are judged.
    """
    from scipy.stats import t as student

    days = daily.assign(day_on=pd.to_datetime(daily.day_on)).set_index("day_on").sort_index()
    modelled = _by_model(days.reset_index(), metric)
    days = days.tail(DAYS_READ)
    amount = days[metric].astype(float) if metric in days else Series(np.nan, days.index)
    is_promotion = days.is_promotion.fillna(False).astype(bool)
    ways = [_by_weekday(np.log1p(amount)), modelled]
    judged = [_quiet(error, month, is_promotion) for _expected, error in ways]
    is_modelled = judged[1][1] >= LEAST_DAYS and 0 < judged[1][0] < judged[0][0]
    (expected, error), (spread, n_past, quiet) = ways[is_modelled], judged[is_modelled]
    now = error[error.index.strftime("%Y-%m") == month].dropna()
    is_short = amount.notna().sum() < 7 * (WEEKS_BEFORE + 4) or n_past < LEAST_DAYS
    if is_short or now.empty or not spread > 0:
        columns = ["day_on", "amount", "expected", "lower", "upper", "is_promotion"]
        return DataFrame(columns=columns)
    kurtosis = float((quiet / spread).clip(-8, 8).kurtosis())
    # the t whose tails are as heavy as these errors'
    free = 4 + 6 / kurtosis if kurtosis > 0.1 else 60.0
    reach = spread * student.ppf(1 - FALSE_ALARM_SHARE / (2 * len(now)), free)
    middle = expected[now.index]
    columns = {
        "amount": amount[now.index],
        "expected": np.expm1(middle),
        "lower": np.expm1(middle - reach),
        "upper": np.expm1(middle + reach),
        "is_promotion": is_promotion[now.index],
    }
    return DataFrame(columns).rename_axis("day_on").reset_index()


def _quiet(error: Series, month: str, is_promotion: Series) -> tuple[float, int, Series]:
    """Robust spread of the misses before `month` outside promotions, how many misses
    there are, and those outside promotions.
    """
    past = error[error.index.strftime("%Y-%m") < month].dropna()
    past = past[past.index.isin(is_promotion.index)]
    quiet = past[~is_promotion[past.index]]
    return 1.4826 * float((quiet - quiet.median()).abs().median()), len(past), quiet


def _by_model(days: DataFrame, metric: str) -> tuple[Series, Series]:
    """What the day model and the last fortnight lead one to expect, and its miss; empty
    where the model knows nothing of the metric.
    """
    found = expected_days(days, metric) if metric in CIRCUMSTANCES else DataFrame()
    if found.empty:
        return Series(dtype=float), Series(dtype=float, index=pd.DatetimeIndex([]))
    level = found.miss.shift(1).rolling(14, min_periods=7).median().fillna(0.0)
    return np.log1p(found.expected) + level, found.miss - level


def _by_weekday(series: Series) -> tuple[Series, Series]:
    """What each day's weekdays and last fortnight lead one to expect, and its miss."""
    weeks = [series.shift(7 * k) for k in range(1, WEEKS_BEFORE + 1)]
    expected = pd.concat(weeks, axis=1).median(axis=1)
    level = (series - expected).shift(1).rolling(14, min_periods=7).median()
    expected += level.fillna(0.0)
    return expected, series - expected


@returns("monthly_review.anomalies")
def anomalies(daily: DataFrame, *, month: str) -> DataFrame:
    """Days of the month outside their limits. Promotion days are named, not hidden."""
    frames = []
    for metric in DAY_METRICS:
        days = day_limits(daily, month=month, metric=metric)
        days = days[(days.amount < days.lower) | (days.amount > days.upper)]
        is_promotion = days.pop("is_promotion").astype(bool)
        explained = np.where(is_promotion, "promotion", "not explained")
        day_on = pd.to_datetime(days.day_on).dt.date
        frames.append(days.assign(metric=metric, day_on=day_on, explained=explained))
    table = pd.concat([f for f in frames if len(f)] or frames[:1], ignore_index=True)
    return table[schema("monthly_review.anomalies").names]
