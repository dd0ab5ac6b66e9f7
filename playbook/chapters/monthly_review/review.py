"""The monthly review: what moved, is it real, why, what to do, and were we right last
time.

It reads the chapters' results, never raw data: the `headline` series, the facts chapter
00 wrote, the decision rows, the notes on what was blocked. *Control limits* come before
explanation: a figure within the range its own past spans asks for no story.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError
from playbook.forecasting.series import forecast_series
from playbook.measures.metrics import METRICS, months_back
from playbook.methods.decomposition import mix_and_rate, product_drivers
from playbook.methods.expectation import expected_months
from playbook.methods.backtest import amount_at

__all__ = [
    "anomalies",
    "asks",
    "caveats",
    "conflicts",
    "control_limits",
    "day_limits",
    "drivers",
    "main_figures",
    "mix_rate",
    "ranked_decisions",
    "risks",
    "scorecard",
    "team_score",
]

LOWER_IS_BETTER = {m.id for m in METRICS.values() if m.direction.startswith("↓")}
WEIGHT = {"high": 1.0, "medium": 0.6, "low": 0.3}
TREE = ("sessions", "cvr_sessions", "units_per_order", "revenue_per_unit")
SHORT_TREE = ("orders", "units_per_order", "revenue_per_unit")
IDLE = ("blocked", "go", "go with exclusions", "hold", "no alarm", "second choice")
SPENDS_NOTHING = ("hold", "lower", "pause", "keep", "stop", "blocked")
#: what a manager reads first, beside every figure with a target or out of its limits
HEADLINE = (
    "net_revenue",
    "orders",
    "aov",
    "sessions",
    "cvr_sessions",
    "cm",
    "new_customers",
    "refund_share_booked",
)
MOVING_RANGE = (
    2.66  # 3 / 1.128, Montgomery, Introduction to Statistical Quality Control, individuals chart
)
OUTSIDE = 0.0027  # share of a normal distribution beyond three sigmas
RULES = (
    "level",
    "mix",
    "growth",
    "seasonal_naive",
)  # what a month may be expected from, see forecast.py
ROUNDING = 1e-9  # a series that never moved is held against this, not against its last digit
# indicator -> (limit where the shop sets none, who owns it, what to do about it)
RISKS = {
    "top channel share": (
        0.5,
        "marketing head",
        "build a second channel before this one changes its rules",
    ),
    "top sku share": (
        0.2,
        "category head",
        "a substitute in stock, and a second supplier for this sku",
    ),
    "top supplier share": (0.5, "supply-chain head", "qualify a second source"),
    "top customer share": (0.1, "general manager", "a contract, or a cap on credit"),
    "cancelled share": (
        0.025,
        "product and experience lead",
        "read the reasons of last month's cancellations",
    ),
    "late share": (0.04, "supply-chain head", "carrier by region; promise what is kept"),
    "refunds booked share": (
        0.1,
        "category head",
        "quality hold on skus above twice their category",
    ),
    "chargeback share": (
        0.01,
        "finance",
        "evidence files for open cases; check the payment screen",
    ),
    "customer-days with five orders or more": (
        0.0,
        "data owner",
        "look at these orders one by one before counting them",
    ),
}


def control_limits(headline: pd.DataFrame, *, month: str, least_months: int = 8) -> pd.DataFrame:
    """One row per metric with the limits its own past sets for `month`: metric, centre,
    lower, upper, n_months, basis, sigma.

    The centre is what the forecaster expects from the complete months before, so that
    neither season nor growth is a signal; of its rules the one (`basis`) that missed by
    least in those months is used. `sigma` is the root mean square of that rule's
    `n_months` misses, as a share, those made with more than a year behind them where
    there are enough. The limits lie as many sigmas away as Student's distribution of so
    few misses needs to leave out what three sigmas leave out of a normal one; those of
    a share that has never passed 1 end there. Missing under `least_months` misses, and
    where the month before is not complete.
    """
    past = headline[
        (headline.month < month) & (headline.status == "complete") & headline.amount.notna()
    ]
    rows = []
    for metric, one in past.groupby("metric", sort=True):
        series = one.drop_duplicates("month").set_index("month").amount.sort_index().astype(float)
        is_share = metric in METRICS and METRICS[metric].unit == "share" and series.max() <= 1
        rows.append((metric, *_expected(series, month, least_months, 1.0 if is_share else np.inf)))
    return pd.DataFrame(
        rows, columns=["metric", "centre", "lower", "upper", "n_months", "basis", "sigma"]
    )


def _expected(
    series: pd.Series, month: str, least: int, most: float
) -> tuple[float, float, float, int, str, float]:
    best = (np.nan, np.nan, np.nan, 0, "", np.nan)
    if len(series) < least or series.index[-1] != months_back(month, 2)[0]:
        return best
    history = pd.DataFrame(
        {"period_on": pd.to_datetime(series.index + "-01"), "amount": series.to_numpy()}
    )
    floor = 0.0 if (series >= 0).all() else -np.inf
    for rule in RULES:
        try:
            found = forecast_series(history, frequency="month", horizon=1, models=(rule,))
        except PlaybookError:  # less than a year, or a hole where the year before is
            continue
        total, past = found.total.iloc[0], found.origins.dropna(subset=["error"])
        is_late = past.origin_on >= history.period_on.iloc[0] + pd.DateOffset(years=1)
        sigma, n, reach = _spread(past.error, is_late, least)
        if n >= least and not sigma >= best[-1]:
            ends = [
                min(max(amount_at(total.mid, side * reach, total.scale, found.is_log), floor), most)
                for side in (-1, 1)
            ]
            best = (total.mid, *ends, n, rule, sigma)
    return best


def _spread(misses: pd.Series, is_late: pd.Series, least: int) -> tuple[float, int, float]:
    """Root mean square of the misses (the late ones where they are enough), their
    number, the reach of the limits.
    """
    from scipy.stats import t as student

    used = misses[is_late] if is_late.sum() >= least else misses
    sigma = max(float(np.sqrt((used**2).mean())), ROUNDING)
    return sigma, len(used), sigma * student.ppf(1 - OUTSIDE / 2, max(len(used), 1))


def scorecard(
    headline: pd.DataFrame,
    *,
    month: str,
    targets: pd.DataFrame | None = None,
    benchmarks: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per headline metric: metric, name, unit, actual, low, high, n,
    last_month, last_year, target, band, lower, upper, gap, flag (better, worse, outside
    limits, within limits, too early, no history), status, notebook, owner_role.

    `band` quotes the benchmark rows whose metric, unit of share or ratio and
    denominator are ours; it never flags.
    """
    last_month, last_year = months_back(month, 2)[0], months_back(month, 13)[0]
    now = headline[headline.month == month].drop_duplicates("metric").set_index("metric")
    limits = control_limits(headline, month=month).set_index("metric")
    out = now[["amount", "low", "high", "n", "status", "notebook"]].rename(
        columns={"amount": "actual"}
    )
    for name, when in (("last_month", last_month), ("last_year", last_year)):
        at = headline[headline.month == when].drop_duplicates("metric").set_index("metric")
        out[name] = at.amount.where(at.status == "complete").reindex(out.index)
    out = out.join(limits[["lower", "upper"]])
    out["target"], out["owner_role"] = np.nan, ""
    if targets is not None and len(targets):
        mine = targets[targets.month == month].drop_duplicates("metric").set_index("metric")
        out["target"] = mine["value"].astype(float).reindex(out.index)
        out["owner_role"] = mine["owner_role"].reindex(out.index).fillna("")
    out["band"] = [_band(m, benchmarks) for m in out.index]
    out["gap"] = out.actual - out.target
    lower_better = out.index.isin(list(LOWER_IS_BETTER))
    above, below = (out.actual > out.upper).to_numpy(), (out.actual < out.lower).to_numpy()
    neutral = np.array(
        [METRICS[m].direction.startswith("↔") if m in METRICS else True for m in out.index], bool
    )
    out["flag"] = np.select(
        [
            out.status != "complete",
            out.upper.isna(),
            (above | below) & neutral,
            above & ~lower_better,
            below & lower_better,
            above | below,
        ],
        ["too early", "no history", "outside limits", "better", "better", "worse"],
        "within limits",
    )
    out["name"] = [METRICS[m].name if m in METRICS else m.replace("_", " ") for m in out.index]
    out["unit"] = [METRICS[m].unit if m in METRICS else "" for m in out.index]
    place = {m: i for i, m in enumerate(METRICS)}
    out = out.reset_index().assign(_p=lambda f: f.metric.map(place)).sort_values(["_p", "metric"])
    return out[
        [
            "metric",
            "name",
            "unit",
            "actual",
            "low",
            "high",
            "n",
            "last_month",
            "last_year",
            "target",
            "band",
            "lower",
            "upper",
            "gap",
            "flag",
            "status",
            "notebook",
            "owner_role",
        ]
    ].reset_index(drop=True)


def main_figures(card: pd.DataFrame) -> pd.DataFrame:
    """The scorecard's rows to read first: the headline ones, those with a target, those
    out of their limits.
    """
    is_out = card.flag.isin(["better", "worse", "outside limits"])
    return card[card.metric.isin(HEADLINE) | card.target.notna() | is_out].reset_index(drop=True)


def _band(metric: str, benchmarks: pd.DataFrame | None) -> str:
    if benchmarks is None or metric not in set(benchmarks.metric):
        return ""
    rows = benchmarks[
        (benchmarks.metric == metric)
        & (benchmarks.denominator.fillna("not stated") != "not stated")
    ]
    ends = [[f"{v:g}" for v in (r.low, r.mid, r.high) if v == v] for r in rows.itertuples()]
    return "; ".join(
        f"{'–'.join(e)} {r.unit} ({r.source})"
        for e, r in zip(ends, rows.itertuples(), strict=True)
        if e
    )


def drivers(
    headline: pd.DataFrame,
    *,
    month: str,
    against: str | None = None,
    days: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Why net revenue moved against last month (or `against`): driver, before, after,
    contribution, expected, unexpected, surprise, rank, is_news.

    The tree is sessions x conversion x units per order x net revenue per unit (without
    traffic it starts at orders); contributions add up to the change exactly. The
    largest bar is often the season, so each driver is also held against what was to be
    expected: from `days` (start.daily) given spend, promotions and stock, else from its
    own months. `unexpected` is the money its distance from there is worth (the four add
    up to what nobody expected), `surprise` that distance in sigmas, `rank` orders by
    the product of both: neither a large move of a restless driver nor a tiny one of a
    still driver comes first. The first of those outside their limits is the news. Empty
    where a month lacks a figure.
    """
    wide = headline.drop_duplicates(["metric", "month"]).pivot(
        index="month", columns="metric", values="amount"
    )
    wide = wide.astype(float)
    if {"net_revenue", "units_per_order", "orders"} <= set(wide):
        wide["revenue_per_unit"] = wide.net_revenue / (wide.orders * wide.units_per_order)
    columns = [
        "driver",
        "before",
        "after",
        "contribution",
        "expected",
        "unexpected",
        "surprise",
        "rank",
        "is_news",
    ]
    here = wide.reindex([month]).notna().all()
    tree = next((t for t in (TREE, SHORT_TREE) if all(here.get(name, False) for name in t)), None)
    if tree is None:
        return pd.DataFrame(columns=columns)
    if (
        tree == TREE
    ):  # conversion is recomputed, so that the product is net revenue whatever the rounding
        wide["cvr_sessions"] = wide.orders / wide.sessions
    ends = wide.reindex([against or months_back(month, 2)[0], month])[list(tree)]
    if ends.isna().any(axis=None):
        return pd.DataFrame(columns=columns)
    now = product_drivers(*ends.to_dict("records"))
    whole = headline[headline.metric == "net_revenue"].set_index("month").status
    chart = (
        wide[list(tree)]
        .melt(ignore_index=False, var_name="metric", value_name="amount")
        .reset_index()
    )
    limits = _driver_limits(chart.assign(status=chart.month.map(whole)), month, days).reindex(
        now.driver
    )
    now["expected"] = limits.centre.to_numpy()
    ratio = now.after.to_numpy() / limits.centre.to_numpy()
    distance = np.abs(np.log(np.where(ratio > 0, ratio, np.nan)))
    now["surprise"] = distance / limits.sigma.where(limits.sigma > 0).to_numpy()
    now["rank"] = (now.surprise * distance).rank(ascending=False, method="first")
    now["unexpected"] = (
        product_drivers(
            *(now.set_index("driver")[c].to_dict() for c in ("expected", "after"))
        ).contribution
        if now.expected.notna().all()
        else np.nan
    )
    is_out = (now.after.to_numpy() > limits.upper.to_numpy()) | (
        now.after.to_numpy() < limits.lower.to_numpy()
    )
    now["is_news"] = is_out & (now["rank"] == now["rank"].where(is_out).min())
    return now[columns]


def _driver_limits(
    chart: pd.DataFrame, month: str, days: pd.DataFrame | None, least: int = 8
) -> pd.DataFrame:
    """centre, lower, upper, sigma by driver: from its days where enough months of them
    were expected, else from its months.
    """
    rows = {}
    for driver in chart.metric.unique() if days is not None and len(days) else ():
        until = days[pd.to_datetime(days.day_on) <= pd.Period(month).end_time]
        found = expected_months(until, driver)
        past = found.miss[found.index < month]
        if month in found.index and len(past) >= least:
            year_in = f"{pd.to_datetime(until.day_on).min() + pd.DateOffset(years=1):%Y-%m}"
            sigma, _, reach = _spread(past, pd.Series(past.index >= year_in, past.index), least)
            rows[driver] = (
                *(found.expected[month] * np.exp(reach * side) for side in (0, -1, 1)),
                sigma,
            )
    known = pd.DataFrame.from_dict(
        rows, orient="index", columns=["centre", "lower", "upper", "sigma"]
    )
    rest = control_limits(chart[~chart.metric.isin(list(rows))], month=month).set_index("metric")
    return pd.concat([known, rest[list(known)]]).astype(float)


def mix_rate(breakdown: pd.DataFrame, *, month: str, against: str | None = None) -> pd.DataFrame:
    """The change of revenue per order split by dimension: dimension, segment, mix,
    rate, contribution; segment `all` sums its dimension and comes first. A category's
    orders are orders that hold it, so its mean is per such order.
    """
    before = against or months_back(month, 2)[0]
    frames = []
    for dimension, one in breakdown.groupby("dimension", sort=True):
        a, b = (
            one[one.month == m].set_index("segment")[["orders", "revenue"]].astype(float)
            for m in (before, month)
        )
        parts = mix_and_rate(a, b, weight="orders", amount="revenue")
        whole = parts[["mix", "rate", "contribution"]].sum(min_count=1).to_dict() | {
            "segment": "all"
        }
        parts = parts.sort_values("contribution", key=lambda s: -s.abs(), kind="stable")
        frames.append(pd.concat([pd.DataFrame([whole]), parts]).assign(dimension=dimension))
    columns = ["dimension", "segment", "mix", "rate", "contribution"]
    return (
        pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    )


def day_limits(
    daily: pd.DataFrame,
    *,
    month: str,
    metric: str = "orders",
    weeks: int = 8,
    false_alarm_share: float = 0.05,
    days: int = 400,
) -> pd.DataFrame:
    """The month's days of a metric: day_on, amount, expected, lower, upper,
    is_promotion. Empty where the past is too short.

    A day is expected to be the median of the same weekday in the `weeks` before, moved
    by the level of the last fourteen days; its limits come from the shop's own past
    errors of that rule (log scale, robust spread), wide enough that a month without
    news shows any alarm with probability `false_alarm_share`. Only the newest `days`
    are read.
    """
    from scipy.stats import t as student

    frame = (
        daily.assign(day_on=pd.to_datetime(daily.day_on))
        .set_index("day_on")
        .sort_index()
        .tail(days)
    )
    series = (
        np.log1p(frame[metric].astype(float)) if metric in frame else pd.Series(np.nan, frame.index)
    )
    expected = pd.concat([series.shift(7 * k) for k in range(1, weeks + 1)], axis=1).median(axis=1)
    expected += (series - expected).shift(1).rolling(14, min_periods=7).median().fillna(0.0)
    error = series - expected
    past, now = (
        error[error.index.strftime("%Y-%m") < month].dropna(),
        error[error.index.strftime("%Y-%m") == month].dropna(),
    )
    quiet = past[~frame.is_promotion.reindex(past.index).fillna(False).astype(bool)]
    spread = 1.4826 * (quiet - quiet.median()).abs().median()
    if series.notna().sum() < 7 * (weeks + 4) or len(past) < 60 or now.empty or not spread > 0:
        return pd.DataFrame(
            columns=["day_on", "amount", "expected", "lower", "upper", "is_promotion"]
        )
    kurtosis = float((quiet / spread).clip(-8, 8).kurtosis())
    free = (
        4 + 6 / kurtosis if kurtosis > 0.1 else 60.0
    )  # the t whose tails are as heavy as these errors'
    reach = spread * student.ppf(1 - false_alarm_share / (2 * len(now)), free)
    middle, here = expected[now.index], frame.loc[now.index]
    return pd.DataFrame(
        {
            "day_on": now.index,
            "amount": here[metric].astype(float),
            "expected": np.expm1(middle),
            "lower": np.expm1(middle - reach),
            "upper": np.expm1(middle + reach),
            "is_promotion": here.is_promotion.astype(bool),
        }
    ).reset_index(drop=True)


def anomalies(daily: pd.DataFrame, *, month: str, **knobs: Any) -> pd.DataFrame:
    """Days of the month outside their limits (`day_limits`, with its `knobs`): metric,
    day_on, amount, expected, lower, upper, explained. Promotion days are named, not
    hidden.
    """
    frames = []
    for metric in ("orders", "revenue", "sessions"):
        found = day_limits(daily, month=month, metric=metric, **knobs)
        found = found[(found.amount < found.lower) | (found.amount > found.upper)]
        named = np.where(found.is_promotion.astype(bool), "promotion", "not explained")
        frames.append(
            found.assign(
                metric=metric, day_on=pd.to_datetime(found.day_on).dt.date, explained=named
            )
        )
    columns = ["metric", "day_on", "amount", "expected", "lower", "upper", "explained"]
    return pd.concat([f for f in frames if len(f)] or frames[:1], ignore_index=True)[columns]


def risks(indicators: pd.DataFrame, gates: pd.DataFrame, *, month: str) -> pd.DataFrame:
    """The register: risk, indicator value, limit, trend (rising, falling, steady, no
    history), is_over, owner_role, mitigation. Data freshness and the privacy scan come
    from chapter 00's gates; compliance is a person's duty, with a review date, because
    no indicator sees it.
    """
    rows = []
    for name, (limit, owner, action) in RISKS.items():
        one = indicators[indicators.indicator == name].set_index("month").amount
        if month not in one.index:
            continue
        past = one[one.index < month].tail(6)
        spread = past.diff().abs().mean() * MOVING_RANGE
        moved = one[month] - past.mean() if len(past) >= 3 else np.nan
        trend = (
            "no history"
            if moved != moved
            else "rising"
            if moved > spread
            else "falling"
            if moved < -spread
            else "steady"
        )
        rows.append(
            (name, float(one[month]), limit, trend, bool(one[month] > limit), owner, action)
        )
    for gate in gates.itertuples():
        if gate.verdict != "go" and not str(gate.gate).startswith("share of customers"):
            rows.append(
                (
                    f"data: {gate.gate}",
                    np.nan,
                    np.nan,
                    "no history",
                    True,
                    "data owner",
                    "see chapter 00",
                )
            )
    rows.append(
        (
            "compliance: advertising claims, personal data, product marks",
            np.nan,
            np.nan,
            "no history",
            False,
            "general manager",
            "review with the person in charge once a quarter",
        )
    )
    return pd.DataFrame(
        rows, columns=["risk", "amount", "limit", "trend", "is_over", "owner_role", "mitigation"]
    )


def team_score(card: pd.DataFrame, team: pd.DataFrame | None) -> pd.DataFrame:
    """One row per role: role, attainment (weighted share of target reached, each kept
    within 0 to 1.2), n_kpis judged, n_immature (left out), n_people, orders_per_person.
    Only kpis with a target and a complete figure are judged.
    """
    columns = ["role", "attainment", "n_kpis", "n_immature", "n_people", "orders_per_person"]
    if team is None or team.empty:
        return pd.DataFrame(columns=columns)
    held = team[team.raci.isin(["A", "R"])].merge(
        card, left_on="kpi", right_on="metric", how="inner"
    )
    held = held[held.target.notna()]
    ratio = np.where(
        held.metric.isin(list(LOWER_IS_BETTER)),
        held.target / held.actual,
        held.actual / held.target,
    )
    held = held.assign(reached=np.clip(ratio, 0, 1.2), is_ripe=held.status == "complete")
    orders = card.loc[card.metric == "orders", "actual"]
    rows = []
    for role, one in held.groupby("role", sort=True):
        ripe = one[one.is_ripe & one.reached.notna()]
        weight = ripe.weight_share.astype(float)
        people = float(team[team.role == role].n_people.max())
        rows.append(
            (
                role,
                (ripe.reached * weight).sum() / weight.sum() if weight.sum() > 0 else np.nan,
                len(ripe),
                int((~one.is_ripe).sum()),
                people,
                float(orders.iloc[0]) / people if len(orders) and people else np.nan,
            )
        )
    return pd.DataFrame(rows, columns=columns)


def ranked_decisions(decisions: pd.DataFrame, *, most: int = 10) -> pd.DataFrame:
    """The chapters' proposals, best first, at most `most`: those expected to bring
    contribution margin by its amount weighed by confidence (column `worth`): a month of
    what lasts, the whole of what comes once (an order's margin in the period it covers,
    a promotion's); then those whose effect is something else or not known yet, and last
    those expected to cost margin. A loss avoided is stated as a gain by the chapter
    that proposes it.

    Money of different kinds is not compared: a year's revenue of a category is no
    larger than a month's margin of a fix. Blocked rows and rows that change nothing are
    left out.
    """
    if decisions.empty:
        return decisions.assign(worth=pd.Series(dtype=float))
    open_ones = decisions[
        ~decisions.action.isin(list(IDLE)) & ~decisions.status.isin(["done", "declined"])
    ]
    unit = open_ones.effect_unit.fillna("")
    is_margin = unit.str.contains("margin") & ~unit.str.contains(r"\bper\b|at stake|cost")
    monthly = pd.to_numeric(open_ones.expected_effect, errors="coerce") / np.where(
        unit.str.contains("year"), 12, 1
    )
    weight = open_ones.confidence.map(WEIGHT).astype(
        float
    )  # of no rows, a map of texts would be text
    worth = (monthly.astype(float) * weight.fillna(0.3)).where(is_margin)
    order = open_ones.assign(
        worth=worth, _costs=worth < 0, _gain=worth.where(worth > 0), _rank=weight.fillna(0.0)
    )
    ranked = order.sort_values(
        ["_costs", "_gain", "_rank", "due_on", "decision_id"],
        ascending=[True, False, False, True, True],
        na_position="last",
        kind="stable",
    )
    return ranked.drop(columns=["_costs", "_gain", "_rank"]).head(most).reset_index(drop=True)


def asks(decisions: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """What the month asks for in money, per owner: owner_role, money, due_on (the
    earliest), effect_low, effect_high (of the expected effect, where all of its rows
    know it), n_decisions. Only rows that spend count: sized in the shop's currency (in
    all or a month), and neither a price nor a budget that stays or falls.
    """
    columns = ["owner_role", "money", "due_on", "effect_low", "effect_high", "n_decisions"]
    if decisions.empty:
        return pd.DataFrame(columns=columns)
    spends = ~decisions.action.str.contains("price") & ~decisions.action.str.split().str[0].isin(
        list(SPENDS_NOTHING)
    )
    money = (
        decisions.unit.isin([currency, f"{currency}/month", f"{currency} a month"])
        & decisions["size"].notna()
    )
    spent = decisions[money & spends].assign(due_on=lambda f: f.due_on.replace("", np.nan))
    found = spent.groupby("owner_role", sort=True).agg(
        money=("size", "sum"),
        due_on=("due_on", "min"),
        effect_low=("effect_low", lambda s: s.sum(min_count=len(s))),
        effect_high=("effect_high", lambda s: s.sum(min_count=len(s))),
        n_decisions=("size", "count"),
    )
    return found.reset_index().sort_values(
        ["money", "owner_role"], ascending=[False, True], ignore_index=True
    )[columns]


def conflicts(
    decisions: pd.DataFrame,
    *,
    cash_limit: float = float("nan"),
    currency: str = "",
    ordered: pd.DataFrame | None = None,
    leaving: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Decisions that cannot both be carried out: kind, subject, first, second,
    notebooks. A subject both raised and lowered, skus on the purchase list (`ordered`:
    sku, order_units) or in a bundle that another chapter takes off the shelf
    (`leaving`: sku, action; one row per pair of actions), plans that together ask for
    more than the cash.
    """
    opposed = (
        ("order", "delist"),
        ("order", "clear"),
        ("raise", "lower"),
        ("raise", "pause"),
        ("raise price", "clear"),
        ("launch", "delist"),
        ("repeat", "stop"),
    )
    rows = []
    open_ones = decisions[decisions.action != "blocked"] if len(decisions) else decisions
    for (kind, subject), group in open_ones.groupby(["subject_type", "subject"], sort=True):
        for one, other in opposed:
            a, b = (group[group.action.str.startswith(w)] for w in (one, other))
            if len(a) and len(b):
                rows.append(
                    (
                        kind,
                        subject,
                        a.action.iloc[0],
                        b.action.iloc[0],
                        f"{a.notebook.iloc[0]}, {b.notebook.iloc[0]}",
                    )
                )
    wanted = (
        (
            "order",
            "07_inventory_planning",
            [] if ordered is None else ordered.sku[ordered.order_units > 0],
        ),
        (
            "test bundle",
            "09_recommendations",
            [
                sku
                for pair in open_ones.subject[open_ones.action == "test bundle"]
                for sku in pair.split(" + ")
            ],
        ),
    )
    for second, group in leaving.groupby("action", sort=True) if leaving is not None else ():
        for first, where, skus in wanted:
            if both := sorted(set(skus) & set(group.sku)):
                rows.append(
                    ("sku", ", ".join(both), first, second, f"{where}, 10_assortment_pricing")
                )
    asked = asks(decisions, currency=currency).money.sum() if currency and len(decisions) else 0.0
    if cash_limit == cash_limit and asked > cash_limit:
        rows.append(
            (
                "cash",
                f"{asked:,.0f} {currency} asked",
                "all plans",
                f"limit {cash_limit:,.0f}",
                "all",
            )
        )
    return pd.DataFrame(rows, columns=["kind", "subject", "first", "second", "notebooks"])


def caveats(notes: pd.DataFrame, card: pd.DataFrame, *, expected: list[str]) -> pd.DataFrame:
    """What the reader must not overlook: kind, subject, text. Chapters that left no
    results are listed, not skipped.
    """
    rows = [
        ("missing chapter", n, "left no results this month")
        for n in expected
        if n not in set(notes.notebook)
    ]
    rows += [
        ("blocked", f"{r.notebook}: {r.section}", f"needs {r.needs}")
        for r in notes.dropna(subset=["needs"]).itertuples()
    ]
    young = card[card.status != "complete"] if len(card) else card
    if len(young):
        rows.append(
            (
                "immature",
                ", ".join(young.get("name", young.metric)),
                "still filling, so not compared",
            )
        )
    return pd.DataFrame(rows, columns=["kind", "subject", "text"])
