"""Goals: what can be reached, what must be true for it, and when money is made.

A *goal* is a figure with a day; its *chance* (p_reach) is the share of the calibrated
forecast distribution at or above it, so a goal is as good as the backtest behind it. A
*driver tree* writes revenue as a product (sessions x conversion x spend, or buyers x
frequency x spend) and is solved backwards: the needed drivers multiply back to the goal
exactly. Money is net revenue (after discounts, less refunds on the day they are booked)
in the shop's currency.
"""

from __future__ import annotations

import datetime as dt
from statistics import NormalDist

import ibis
import numpy as np
import pandas as pd
from pandas import DataFrame, Series, Timestamp

from playbook.chapters.goal_setting.sections import Table
from playbook.forecasting.series import Forecast, forecast_series, reach
from playbook.given import dated
from playbook.measures.metrics import METRICS
from playbook.measures.revenue_days import by_month
from playbook.messages import say
from playbook.store import distinct_rows, expression
from playbook.tables import frame_of, returns, schema

__all__ = [
    "HORIZONS",
    "accountable",
    "TREES",
    "break_even",
    "driver_history",
    "goal_headline",
    "goal_predictions",
    "goal_verdicts",
    "month_start",
    "okr",
    "people_series",
    "smart_sheet",
    "target_of",
    "target_rows",
]

#: trees by preference: the drivers multiply to revenue
TREES = {
    "traffic": ("sessions", "cvr_sessions", "aov"),
    "buyers": ("buyers", "orders_per_buyer", "aov"),
    "orders": ("orders", "aov"),
}
#: horizon of a goal -> its months
HORIZONS = {"month": 1, "quarter": 3, "year": 12}
#: observed months a goal needs
MIN_MONTHS = 3
#: months known under which no season is: what is not calibrated then has no figure
SEASON_MONTHS = 24
#: realised errors from which on a target's chance is believed
MANY_ERRORS = 12
#: chance under which a goal beyond any past growth is lowered
EVEN = 0.5
#: days a buyer counts as returning after an order
RETURN_DAYS = 365
#: level of the interval of the margin per order
MARGIN_LEVEL = 0.9


def _last_whole_month(as_of: dt.date) -> pd.Period:
    now = Timestamp(as_of)
    return pd.Period(now, "M") - int(not now.is_month_end)


@dated
def people_series(
    *,
    as_of: dt.date,
    traffic: Table | None = None,
    customer_days: Table | None = None,
) -> DataFrame:
    """Monthly series of users and brand: metric, month, amount. sessions and
    brand_share (direct ones over all) from `traffic`; buyers and returning_buyer_share
    (buyers of the month who also bought in the 365 days before it) from
    `customer_days`. Months the table does not cover whole are left out; so is
    returning_buyer_share in the first year of the log, when earlier orders may lie
    before it.
    """
    parts = [DataFrame(columns=["metric", "month", "amount"])]
    if traffic is not None:
        parts += _traffic_series(expression(traffic), as_of)
    if customer_days is not None:
        parts += _buyer_series(expression(customer_days), as_of)
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _traffic_series(traffic: ibis.Table, as_of: dt.date) -> list[DataFrame]:
    visits = traffic.filter(traffic.day_on <= ibis.literal(as_of))
    is_direct = visits.channel == "direct" if "channel" in visits.columns else ibis.literal(False)
    daily = visits.group_by(period_on=visits.day_on).aggregate(
        sessions=visits.sessions.sum().cast("float64"),
        brand=visits.sessions.sum(where=is_direct).cast("float64"),
    )
    daily = daily.order_by("period_on").to_pandas()
    daily["period_on"] = pd.to_datetime(daily["period_on"])
    months = by_month(daily, columns=("sessions", "brand"))
    parts = [_series("sessions", months, months["sessions"])]
    if months["brand"].sum() > 0:
        parts.append(
            _series(
                "brand_share",
                months,
                months["brand"] / months["sessions"],
            )
        )
    return parts


def _buyer_series(customer_days: ibis.Table, as_of: dt.date) -> list[DataFrame]:
    days = customer_days.filter(
        (customer_days.orders > 0) & (customer_days.day_on <= ibis.literal(as_of))
    )
    earlier = ibis.window(
        group_by="customer_id",
        order_by="day_on",
        preceding=(None, 1),
    )
    days = days.mutate(month=days.day_on.truncate("M"), before=days.day_on.max().over(earlier))
    buyers = days.group_by("customer_id", "month").aggregate(before=days.before.min())
    gap = buyers.month.delta(buyers.before, unit="day")
    is_back = buyers.before.notnull() & (buyers.before < buyers.month) & (gap <= RETURN_DAYS)
    counts = buyers.group_by("month").aggregate(buyers=buyers.count(), back=is_back.sum())
    counts = counts.order_by("month").to_pandas()
    month = pd.PeriodIndex(pd.to_datetime(counts["month"]), freq="M")
    is_later = month.asi8 >= month.asi8[:1] + 12
    counts = counts.assign(month=month.astype(str), is_later=is_later)
    counts = counts[month <= _last_whole_month(as_of)]
    later = counts[counts["is_later"]]
    return [
        _series("buyers", counts, counts["buyers"].astype(float)),
        _series(
            "returning_buyer_share",
            later,
            later["back"] / later["buyers"],
        ),
    ]


def _series(metric: str, months: DataFrame, amount: Series) -> DataFrame:
    return DataFrame({"metric": metric, "month": months["month"], "amount": amount})


def driver_history(monthly: DataFrame) -> tuple[str, DataFrame]:
    """The fullest tree the shop can feed, and one row per month: month, revenue and the
    tree's drivers.

    `monthly`: month, revenue, orders and, where known, sessions, buyers. Drivers are
    ratios of the month's own sums, so they multiply to revenue exactly. A month in
    which a driver would divide by zero is missing.
    """
    counts = monthly.reindex(columns=["month", "revenue", "orders", "sessions", "buyers"])
    counts = counts.set_index("month").astype(float).sort_index()
    is_fed = counts.notna().sum() >= 2
    tree = next((name for name, (first, *_) in TREES.items() if is_fed[first]), "orders")
    first, *ratios = TREES[tree]
    counts = counts[counts[first].notna()]
    positive = counts.where(counts > 0)
    out = counts[["revenue", first]].copy()
    if len(ratios) == 2:
        out[ratios[0]] = counts["orders"] / positive[first]
    return tree, out.assign(aov=counts["revenue"] / positive["orders"]).reset_index()


@dated
def smart_sheet(
    series: DataFrame,
    *,
    as_of: dt.date,
    targets: DataFrame | None = None,
    horizons: dict[str, int] = HORIZONS,
    ask: float = 0.4,
    level: float = 0.8,
    ready: dict[str, dict[str, Forecast]] | None = None,
) -> DataFrame:
    """SMART: one row per metric and horizon in the columns of the table `smart`, without
    the verdict.

    `series`: metric, month, amount of whole months. Flows are summed over the horizon,
    ratios averaged; base is the same months a year before. Targets come from `targets`
    (month, metric, value, owner_role) when every month of the horizon has one (source
    `targets`), else the figure reached with chance `ask` is proposed (`proposed`): no
    growth the metric never had, and never less than the forecast. With under two years
    of months the season is not known: a horizon that is not calibrated has no forecast.
    `ready`: forecasts already made, by metric and horizon (the outlook's); only a metric
    that is not in it is forecast alone. best_growth is the largest growth on a year
    before that the metric ever had over as many months.
    """
    last, rows = _last_whole_month(as_of), []
    wanted, owners = _wanted(targets)
    for metric, part in series.groupby("metric", sort=True):
        amounts = part.set_index(pd.PeriodIndex(part["month"], freq="M"))["amount"].sort_index()
        amounts = amounts[:last].dropna()
        made = (ready or {}).get(metric, {})
        for horizon, n in horizons.items():
            due = pd.period_range(last + 1, periods=n)
            row = {"horizon": horizon, "due_on": due[-1].end_time.normalize()}
            if len(amounts) >= MIN_MONTHS:
                forecast = made.get(horizon) or _forecast(amounts, n, level)
                row |= _goal(
                    metric,
                    amounts,
                    due,
                    forecast,
                    wanted.get(metric),
                    ask,
                )
            kind = _entry(metric, "goal_kind", "sales")
            rows.append({"metric": metric, "goal_kind": kind, "status": "short history"} | row)
    for metric, values in wanted.items():
        if metric not in set(series["metric"]):
            status = "no history" if metric in METRICS else "unknown metric"
            target = values.iloc[-1]
            row = {"source": "targets", "target": target, "own_target": target, "status": status}
            rows.append({"metric": metric, "goal_kind": "", "horizon": ""} | row)
    sheet = DataFrame(rows).reindex(columns=schema("goal_setting.smart").names[:-2])
    return sheet.assign(owner_role=[owners.get(metric, "") for metric in sheet["metric"]])


def _wanted(targets: DataFrame | None) -> tuple[dict[str, Series], dict[str, str]]:
    """The shop's own targets, metric -> value by month, and their newest owners."""
    if targets is None:
        return {}, {}
    by_metric = targets.sort_values("month", kind="stable").groupby("metric", sort=True)
    values = {m: part.set_index("month")["value"].astype(float) for m, part in by_metric}
    owners = by_metric["owner_role"].last().dropna() if "owner_role" in targets else {}
    return values, dict(owners)


def _forecast(amounts: Series, n: int, level: float) -> Forecast:
    history = DataFrame({"period_on": amounts.index.start_time, "amount": amounts.array})
    return forecast_series(
        history,
        frequency="month",
        horizon=n,
        level=level,
    )


def _entry(metric: str, fact: str, otherwise: object) -> object:
    """What the dictionary says of a metric; `otherwise` for one it does not know."""
    return getattr(METRICS.get(metric), fact, otherwise)


def _goal(
    metric: str,
    amounts: Series,
    due: pd.PeriodIndex,
    forecast: Forecast,
    wanted: Series | None,
    ask: float,
) -> dict[str, object]:
    """Base, forecast, target and chance of one metric over the months due."""
    total, n, months = forecast.total.iloc[0], len(due), list(due.astype(str))
    scale = 1 if _entry(metric, "is_flow", False) else n
    is_lower_better = _entry(metric, "is_lower_better", False)
    sums = amounts.rolling(n).sum() / scale
    # a growth from nothing is no number
    before, base = sums.shift(12), total["year_before"] / scale
    best_growth = (sums / before.where(before > 0) - 1).max()
    blind = is_blind(total["status"], len(amounts))
    expected = np.nan if blind else total["mid"] / scale
    source, own_target = "proposed", np.nan
    if wanted is not None and set(months) <= set(wanted.index):
        source, own_target = "targets", wanted[months].sum() / scale
    proposed = _proposed(
        forecast,
        scale * base * (1 + max(best_growth, 0.0)),
        ask,
        is_lower_better,
    )
    proposed /= scale
    target = own_target if source == "targets" else proposed
    chance = reach(forecast, [target * scale])["p_reach"].iloc[0]
    growth = target / base - 1 if base > 0 else np.nan
    # what falls is not beyond any growth
    is_beyond = bool(growth > max(best_growth, 0.0) and not is_lower_better)
    return {
        "base": base,
        "forecast": expected,
        "low": total["low"] / scale,
        "high": total["high"] / scale,
        "naive": total["seasonal_naive"] / scale,
        "target": target,
        "own_target": own_target,
        "proposed": proposed,
        "given_away": _given_away(own_target, expected, is_lower_better),
        "source": source,
        "p_reach": 1 - chance if is_lower_better else chance,
        "growth": growth,
        "best_growth": best_growth,
        "is_beyond_past": is_beyond if np.isfinite([growth, best_growth]).all() else None,
        "n_errors": total["n_errors"],
        "status": total["status"],
    }


def _proposed(forecast: Forecast, most: float, ask: float, is_lower_better: bool) -> float:
    """The total reached with the chance `ask`, no more than `most` (where that is
    known), and never less than what is expected anyway; missing while not calibrated.
    """
    total = forecast.total.iloc[0]
    if total["status"] != "complete":
        return np.nan
    target = _reached_with(forecast, 1 - ask if is_lower_better else ask)
    if is_lower_better:
        return min(target, total["mid"])
    if np.isfinite(most):
        target = min(target, most)
    return max(target, total["mid"])


def _given_away(own_target: float, expected: float, is_lower_better: bool) -> float:
    """What a target of the shop's own asks less than is expected anyway; 0 where it asks
    for more, missing where there is none.
    """
    gap = own_target - expected if is_lower_better else expected - own_target
    return max(gap, 0.0) if np.isfinite(gap) else np.nan


def _reached_with(forecast: Forecast, chance: float) -> float:
    """The total that is reached with the given chance, read off the forecast
    distribution (within a fifth to five times the forecast).
    """
    bars = forecast.total["mid"].iloc[0] * np.geomspace(0.2, 5, 1601)
    return float(np.interp(-chance, -reach(forecast, bars)["p_reach"], bars))


def is_blind(status: Series | str, n_months: int) -> Series | bool:
    """Where a forecast says nothing: not calibrated, of so few months that no season is known."""
    return (status != "complete") & (n_months < SEASON_MONTHS)


@returns("goal_setting.smart")
def goal_verdicts(sheet: DataFrame, *, least: float = 0.2, most: float = 0.8) -> DataFrame:
    """Set, lower or raise, per goal: the sheet's columns with action and reason.

    Lower under `least` chance or beyond any past growth; raise above `most` and wherever
    the shop's own target lies below the forecast; set between; `research` while no
    chance can be stated.
    """
    is_beyond = sheet["is_beyond_past"].fillna(False).astype(bool)
    chance = sheet["p_reach"].astype(float)
    is_low, is_high, is_unknown = chance < least, chance > most, chance.isna()
    is_below = sheet["given_away"].astype(float) > 0
    is_wild = is_beyond & (chance < EVEN) & (sheet["source"] != "proposed")
    action = np.select(
        [is_unknown, is_low | is_wild, is_high | is_below],
        ["research", "lower", "raise"],
        "set",
    )
    reasons = {
        "goal_setting.reason_unknown_metric": sheet["status"] == "unknown metric",
        "goal_setting.reason_no_chance": is_unknown,
        "goal_setting.reason_beyond_past": is_wild,
        "goal_setting.reason_hardly": is_low,
        "goal_setting.reason_certain": is_high,
        "goal_setting.reason_below": is_below,
    }
    few = sheet["n_errors"].astype(float).fillna(0)
    real = [
        say("goal_setting.reason_real")
        if n >= MANY_ERRORS
        else say("goal_setting.reason_real_few", n=n)
        for n in few
    ]
    reason = np.select(
        list(reasons.values()),
        [say(name) for name in reasons],
        np.array(real, dtype=object),
    )
    return sheet.assign(action=action, reason=reason)


@returns("goal_setting.okr")
def okr(sheet: DataFrame) -> DataFrame:
    """The sheet's goals of the quarter as objectives and key results."""
    goals = sheet[(sheet["horizon"] == "quarter") & sheet["target"].notna()]
    goals = goals.sort_values(["goal_kind", "metric"], ignore_index=True).assign(
        objective=lambda t: t["goal_kind"].map(lambda kind: say(f"goal_setting.objective_{kind}")),
        key_result=lambda t: [_key_result(row) for row in t.itertuples()],
    )
    goals = goals.rename(columns={"base": "from_value", "target": "to_value"})
    return frame_of("goal_setting.okr", goals)


def _key_result(goal: object) -> str:
    """The figure's name; that the goal is worse than a year before is said."""
    name, change = _entry(goal.metric, "name", goal.metric), goal.target - goal.base
    is_worse = change > 0 if _entry(goal.metric, "is_lower_better", False) else change < 0
    return say("goal_setting.worse_than_before", name=name) if is_worse else name


@returns("goal_setting.target_rows")
def target_rows(sheet: DataFrame) -> DataFrame:
    """Accepted goals of the next month as rows of the shop's table `targets`."""
    goals = sheet[(sheet["horizon"] == "month") & sheet["target"].notna()]
    month = pd.to_datetime(goals["due_on"]).dt.strftime("%Y-%m")
    goals = goals.assign(month=month, value=goals["target"])
    return frame_of("goal_setting.target_rows", goals.reset_index(drop=True))


def accountable(team: Table | None) -> dict[str, str]:
    """KPI -> the role that answers for it; empty where the shop has named nobody."""
    if team is None:
        return {}
    duties = distinct_rows(expression(team), "kpi", "role", "raci").to_pandas()
    mine = duties[duties["raci"] == "A"].sort_values(["kpi", "role"])
    return mine.groupby("kpi")["role"].first().to_dict()


def target_of(targets: DataFrame | None, metric: str, month: str) -> float | None:
    """The shop's own target of a metric for a month, None where it has none."""
    if targets is None:
        return None
    values = targets.loc[(targets["metric"] == metric) & (targets["month"] == month), "value"]
    return float(values.iloc[0]) if len(values) else None


def goal_predictions(sheet: DataFrame, *, level: float) -> DataFrame:
    """The sheet's forecasts in the columns the track record scores, and the sheet's own.
    Uncalibrated ones are left out: there is no interval to score.
    """
    forecasts = sheet[sheet["low"].notna()].rename(columns={"forecast": "point"})
    return forecasts.assign(subject="shop", level=level, model="forecast")


def goal_headline(
    sheet: DataFrame, paced: DataFrame | None, *, month: str, is_complete: bool
) -> DataFrame:
    """The chapter's figures for the scorecard: p_reach of next month's revenue target
    and the month's pacing index; columns metric, amount, n, month, low, high, status
    (partial inside a running month).
    """
    goal = sheet[(sheet["metric"] == "net_revenue") & (sheet["horizon"] == "month")]
    rows = [("p_reach", g.p_reach, g.n_errors) for g in goal.itertuples() if pd.notna(g.p_reach)]
    if paced is not None:
        index = paced.loc[paced["actual"].notna(), "pacing"].tail(1)
        rows += [("pacing", amount, len(paced)) for amount in index]
    figures = DataFrame(rows, columns=["metric", "amount", "n"]).astype({"n": float})
    status = "complete" if is_complete else "partial"
    return figures.assign(
        month=month,
        low=np.nan,
        high=np.nan,
        status=status,
    )


@returns("goal_setting.break_even")
def break_even(sales_orders: Table, *, fixed: float, as_of: dt.date, months: int = 3) -> DataFrame:
    """Orders a month must have to pay for itself.

    cm_per_order is the mean contribution margin of the newest `months` months' orders
    with a normal interval; `fixed` is overhead a month and advertising counted as
    fixed. Status `blocked` without margins, `never` when an order loses money: more
    orders then lose more.
    """
    orders = expression(sales_orders)
    is_recent = orders.ordered_on.between(month_start(as_of, months), as_of)
    margin = orders.filter(is_recent).margin.cast("float64")
    sums = margin.as_table().aggregate(
        n=margin.count(),
        mean=margin.mean(),
        spread=margin.std(),
    )
    n, mean, spread = sums.to_pandas().iloc[0]
    row = {
        "fixed": fixed,
        "cm_per_order": mean if n else np.nan,
        "n_orders": int(n),
    }
    row["status"] = "blocked"
    if n >= 2 and np.isfinite(fixed):
        half = NormalDist().inv_cdf((1 + MARGIN_LEVEL) / 2) * spread / np.sqrt(n)
        row |= {
            "low": mean - half,
            "high": mean + half,
            "orders_now": n / months,
        }
        row["status"] = "complete" if mean > 0 else "never"
    if row["status"] == "complete":
        row["orders_needed"] = needed = fixed / mean
        row["needed_low"] = fixed / row["high"]
        row["needed_high"] = fixed / row["low"] if row["low"] > 0 else np.inf
        row["safety_share"] = 1 - needed / row["orders_now"]
    return frame_of("goal_setting.break_even", [row])


@dated
def month_start(as_of: dt.date, months: int) -> dt.date:
    """First day of the newest `months` months that end with `as_of`."""
    return (Timestamp(as_of) + pd.Timedelta(days=1) - pd.DateOffset(months=months)).date()
