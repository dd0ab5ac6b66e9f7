"""Goals: what can be reached, what must be true for it, whether the month is on its
way, and when money is made.

A *goal* is a figure with a day; its *chance* (p_reach) is the share of the calibrated
forecast distribution at or above it, so a goal is as good as the backtest behind it. A
*driver tree* writes revenue as a product (sessions x conversion x spend, or buyers x
frequency x spend) and is solved backwards: the needed drivers multiply back to the goal
exactly. Money is net revenue (after discounts, less refunds on the day they are booked)
in the shop's currency.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd

from playbook.forecasting.series import Forecast, forecast_series, reach
from playbook.measures.metrics import METRICS
from playbook.measures.revenue_days import by_month, daily_revenue, promotion_calendar
from playbook.store import expression

__all__ = [
    "daily_revenue",
    "by_month",
    "revenue_forecast",
    "promotion_calendar",
    "driver_history",
    "smart_sheet",
    "goal_verdicts",
    "okr",
    "target_rows",
    "target_of",
    "goal_predictions",
    "goal_headline",
    "break_even",
    "people_series",
    "TREES",
]

#: trees by preference: the drivers multiply to revenue
TREES = {
    "traffic": ("sessions", "cvr_sessions", "aov"),
    "buyers": ("buyers", "orders_per_buyer", "aov"),
    "orders": ("orders", "aov"),
}
FLOWS = {
    "net_revenue",
    "orders",
    "new_customers",
    "cm",
    "gross_sales",
    "paid_amount",
    "gmv",
    "buyers",
    "sessions",
}
LOWER_IS_BETTER = {
    "return_share",
    "refund_share_booked",
    "discount_share",
    "ncac",
    "late_share",
    "cart_abandon_share",
}


def revenue_forecast(
    daily: pd.DataFrame,
    *,
    as_of: dt.date | str,
    months: int = 1,
    level: float = 0.8,
    calendar: pd.DataFrame | None = None,
) -> tuple[Forecast, float]:
    """Forecast of the `months` whole months that end next, and what of them is already
    in.

    With as-of at the end of a month these are the coming months. Inside a running month
    it counts as the first of them: its days so far are `already` in and only the rest
    is forecast. By month where two years of whole months are there and no month is
    running, else by day: a yearly season cannot be known from less, a weekly one can.
    """
    as_of = pd.Timestamp(as_of)
    monthly = by_month(daily)
    if as_of.is_month_end and len(monthly) >= 24:
        return forecast_series(monthly, frequency="month", horizon=months, level=level), 0.0
    start = as_of + pd.Timedelta(days=1) if as_of.is_month_end else as_of.replace(day=1)
    end = start + pd.DateOffset(months=months) - pd.Timedelta(days=1)
    horizon = (end - as_of).days
    done = daily.loc[(daily["period_on"] >= start) & (daily["period_on"] <= as_of), "amount"].sum()
    found = forecast_series(daily, frequency="day", horizon=horizon, level=level, calendar=calendar)
    return found, float(done)


def people_series(
    *,
    as_of: dt.date | str,
    traffic: Any = None,
    customer_days: Any = None,
    brand_channels: tuple[str, ...] = ("direct",),
) -> pd.DataFrame:
    """Monthly series of users and brand: metric, month, amount. sessions and
    brand_share (those of `brand_channels` over all) from `traffic`; buyers and
    returning_buyer_share (buyers of the month who also bought in the 365 days before
    it) from `customer_days`. Months the table does not cover whole are left out; so is
    returning_buyer_share in the first year of the log, when earlier orders may lie
    before it.
    """
    end, parts = pd.Timestamp(as_of), []
    if traffic is not None:
        t = expression(traffic)
        t = t.filter(t.day_on <= ibis.literal(end.date()))
        is_brand = (
            t.channel.isin(list(brand_channels)) if "channel" in t.columns else ibis.literal(False)
        )
        daily = t.group_by(period_on=t.day_on).aggregate(
            sessions=t.sessions.sum().cast("float64"),
            brand=t.sessions.sum(where=is_brand).cast("float64"),
        )
        daily = daily.order_by("period_on").to_pandas()
        daily["period_on"] = pd.to_datetime(daily["period_on"])
        months = by_month(daily, columns=("sessions", "brand"))
        parts.append(months.assign(metric="sessions", amount=months["sessions"]))
        if months["brand"].fillna(0).sum() > 0:
            parts.append(
                months.assign(metric="brand_share", amount=months["brand"] / months["sessions"])
            )
    if customer_days is not None:
        c = expression(customer_days)
        c = c.filter((c.orders > 0) & (c.day_on <= ibis.literal(end.date())))
        before = c.day_on.max().over(
            ibis.window(group_by="customer_id", order_by="day_on", preceding=(None, 1))
        )
        month = c.day_on.truncate("M")
        each = (
            c.mutate(month=month, before=before)
            .group_by("customer_id", "month")
            .aggregate(before=lambda t: t.before.min(), first=lambda t: t.day_on.min())
        )
        gap = each.month.delta(each.before, unit="day")
        found = each.group_by("month").aggregate(
            buyers=each.count(),
            back=(each.before.notnull() & (each.before < each.month) & (gap <= 365)).sum(),
        )
        found = found.order_by("month").to_pandas()
        at = pd.PeriodIndex(pd.to_datetime(found["month"]), freq="M")
        found = found.assign(month=at.astype(str), period_on=at.start_time)[
            at.end_time.normalize() <= end
        ]
        parts.append(found.assign(metric="buyers", amount=found["buyers"].astype(float)))
        late = found[found["period_on"] >= found["period_on"].min() + pd.DateOffset(years=1)]
        parts.append(
            late.assign(metric="returning_buyer_share", amount=late["back"] / late["buyers"])
        )
    columns = ["metric", "month", "amount"]
    return (
        pd.concat([part[columns] for part in parts], ignore_index=True)
        if parts
        else pd.DataFrame(columns=columns)
    )


def driver_history(monthly: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The fullest tree the shop can feed, and one row per month: month, revenue and the
    tree's drivers.

    `monthly`: month, revenue, orders and, where known, sessions, buyers. Drivers are
    ratios of the month's own sums, so they multiply to revenue exactly. A month in
    which a driver would divide by zero is missing.
    """
    t = monthly.sort_values("month", ignore_index=True).astype({"revenue": float, "orders": float})
    full = [name for name in ("sessions", "buyers") if name in t and t[name].notna().sum() >= 2]
    tree = "traffic" if "sessions" in full else "buyers" if "buyers" in full else "orders"
    t = t[t[full[0]].notna()].reset_index(drop=True) if full else t
    out = pd.DataFrame({"month": t["month"], "revenue": t["revenue"]})
    per_order = t["orders"].where(t["orders"] > 0)
    if tree == "traffic":
        out["sessions"] = t["sessions"].astype(float)
        out["cvr_sessions"] = t["orders"] / out["sessions"].where(out["sessions"] > 0)
    elif tree == "buyers":
        out["buyers"] = t["buyers"].astype(float)
        out["orders_per_buyer"] = t["orders"] / out["buyers"].where(out["buyers"] > 0)
    else:
        out["orders"] = t["orders"]
    out["aov"] = t["revenue"] / per_order
    return tree, out


def smart_sheet(
    series: pd.DataFrame,
    *,
    as_of: dt.date | str,
    targets: pd.DataFrame | None = None,
    horizons: dict[str, int] | None = None,
    owners: dict[str, str] | None = None,
    ask: float = 0.6,
    level: float = 0.8,
    revenue: dict[str, Forecast] | None = None,
) -> pd.DataFrame:
    """SMART: one row per metric and horizon: metric, goal_kind, horizon, base,
    forecast, low, high, naive, target, source, due_on, owner_role, p_reach, growth,
    best_growth, is_beyond_past, n_errors, status.

    `series`: metric, month, amount of whole months. Flows are summed over the horizon,
    ratios averaged; base is the same months a year before. Targets come from `targets`
    (month, metric, value, owner_role) when every month of the horizon has one (source
    `targets`), else the figure reached with chance `ask` is proposed (`proposed`).
    `revenue`: forecasts of net_revenue already made, by horizon (a young shop's come
    from its days). best_growth is the largest growth on a year before that the metric
    ever had over as many months. Status: `complete`, `not calibrated` (no chance
    stated), `short history`, `unknown metric`.
    """
    as_of, horizons = pd.Timestamp(as_of), horizons or {"month": 1, "quarter": 3, "year": 12}
    wanted = (
        {}
        if targets is None
        else {
            m: part.set_index("month")["value"].astype(float)
            for m, part in targets.groupby("metric", sort=True)
        }
    )
    owner = (
        {}
        if targets is None or "owner_role" not in targets
        else dict(
            targets.dropna(subset=["owner_role"])
            .sort_values("month")
            .groupby("metric")["owner_role"]
            .last()
        )
    )
    owner |= owners or {}
    last = pd.Period(as_of, "M") if as_of.is_month_end else pd.Period(as_of, "M") - 1
    rows = []
    for metric, part in series.groupby("metric", sort=True):
        history = part.assign(period_on=pd.PeriodIndex(part["month"], freq="M").start_time)[
            ["period_on", "amount"]
        ]
        history = history[history["period_on"] <= last.start_time].dropna()
        for horizon, n in horizons.items():
            due = [str(last + k) for k in range(1, n + 1)]
            row = {
                "metric": metric,
                "goal_kind": _kind(metric),
                "horizon": horizon,
                "status": "short history",
                "owner_role": owner.get(metric, ""),
                "due_on": (last + n).end_time.normalize(),
            }
            if len(history) >= 3:
                ready = (revenue or {}).get(horizon) if metric == "net_revenue" else None
                row |= _goal(metric, history, due, n, wanted.get(metric), ask, level, ready)
            rows.append(row)
    columns = [
        "metric",
        "goal_kind",
        "horizon",
        "base",
        "forecast",
        "low",
        "high",
        "naive",
        "target",
        "source",
        "due_on",
        "owner_role",
        "p_reach",
        "growth",
        "best_growth",
        "is_beyond_past",
        "n_errors",
        "status",
    ]
    rows += [
        {
            "metric": m,
            "goal_kind": "",
            "horizon": "",
            "owner_role": owner.get(m, ""),
            "source": "targets",
            "target": v.iloc[-1],
            "status": "unknown metric" if m not in METRICS else "no history",
        }
        for m, v in wanted.items()
        if m not in set(series["metric"])
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def _kind(metric: str) -> str:
    if metric in {"new_customers", "sessions", "visitors", "buyers", "activation_30d"}:
        return "users"
    return (
        "brand"
        if metric in {"brand_share", "repeat_share", "nps", "returning_buyer_share", "csat"}
        else "sales"
    )


def _goal(
    metric: str,
    history: pd.DataFrame,
    due: list[str],
    n: int,
    wanted: pd.Series | None,
    ask: float,
    level: float,
    ready: Forecast | None,
) -> dict[str, object]:
    """Base, forecast, target and chance of one metric over the next n months."""
    found = ready or forecast_series(history, frequency="month", horizon=n, level=level)
    total, scale = found.total.iloc[0], 1 if metric in FLOWS else n
    past = pd.Series(
        history["amount"].to_numpy(float), index=pd.PeriodIndex(history["period_on"], freq="M")
    )
    past = past.sort_index()
    sums = past.rolling(n).sum() / scale
    growth = sums / sums.shift(12) - 1
    row = {
        "base": total["year_before"] / scale,
        "forecast": total["mid"] / scale,
        "low": total["low"] / scale,
        "high": total["high"] / scale,
        "naive": total["seasonal_naive"] / scale,
        "n_errors": total["n_errors"],
        "best_growth": growth.max(),
        "status": total["status"],
        "source": "proposed",
    }
    down = metric in LOWER_IS_BETTER
    if wanted is not None and set(due) <= set(wanted.index):
        row["source"], row["target"] = "targets", wanted[due].sum() / scale
    elif total["status"] == "complete":
        row["target"] = _reached_with(found, 1 - ask if down else ask) / scale
    target = row.get("target", np.nan)
    chance = reach(found, [target * scale])["p_reach"].iloc[0] if np.isfinite(target) else np.nan
    row["p_reach"] = 1 - chance if down else chance
    row["growth"] = target / row["base"] - 1 if row["base"] and np.isfinite(row["base"]) else np.nan
    known = np.isfinite(row["growth"]) and np.isfinite(row["best_growth"])
    row["is_beyond_past"] = bool(not down and row["growth"] > row["best_growth"]) if known else None
    return row


def _reached_with(found: Forecast, chance: float) -> float:
    """The total that is reached with the given chance, read off the forecast
    distribution (within a fifth to five times the forecast).
    """
    bars = found.total["mid"].iloc[0] * np.geomspace(0.2, 5, 1601)
    return float(np.interp(-chance, -reach(found, bars)["p_reach"], bars))


def goal_verdicts(sheet: pd.DataFrame, *, least: float = 0.2, most: float = 0.8) -> pd.DataFrame:
    """Set, lower or raise, per goal: the sheet's columns with action and reason.

    Lower under `least` chance or beyond any past growth; raise above `most`; set
    between; `research` while no chance can be stated.
    """
    t = sheet.copy()
    beyond = t["is_beyond_past"].fillna(False).astype(bool)
    p = t["p_reach"].astype(float)
    t["action"] = np.select(
        [p.isna(), (p < least) | (beyond & (p < 0.5)), p > most],
        ["research", "lower", "raise"],
        "set",
    )
    reason = np.select(
        [t["status"] == "unknown metric", p.isna(), beyond, p < least, p > most],
        [
            "no such metric in the dictionary",
            "no calibrated forecast yet",
            "beyond any growth this metric has had",
            "hardly ever reached",
            "nearly certain: asks for nothing",
        ],
        "a real ask with a real chance",
    )
    return t.assign(reason=reason)


def okr(sheet: pd.DataFrame, *, horizon: str = "quarter") -> pd.DataFrame:
    """The sheet's goals of one horizon as objectives and key results: objective,
    key_result, from_value, to_value, due_on, owner_role, p_reach.
    """
    words = {
        "users": "More people buy from us",
        "sales": "Sales that pay",
        "brand": "People come back by themselves",
    }
    t = sheet[(sheet["horizon"] == horizon) & sheet["target"].notna()].sort_values(
        ["goal_kind", "metric"]
    )
    names = t["metric"].map(lambda m: METRICS[m].name if m in METRICS else m)
    return pd.DataFrame(
        {
            "objective": t["goal_kind"].map(words),
            "key_result": names,
            "from_value": t["base"],
            "to_value": t["target"],
            "due_on": t["due_on"],
            "owner_role": t["owner_role"],
            "p_reach": t["p_reach"],
        }
    ).reset_index(drop=True)


def target_rows(sheet: pd.DataFrame) -> pd.DataFrame:
    """Accepted goals of one month as rows of the `targets` table: month, metric, value,
    base, owner_role.
    """
    t = sheet[(sheet["horizon"] == "month") & sheet["target"].notna()]
    return pd.DataFrame(
        {
            "month": pd.to_datetime(t["due_on"]).dt.strftime("%Y-%m"),
            "metric": t["metric"],
            "value": t["target"],
            "base": t["base"],
            "owner_role": t["owner_role"],
        }
    ).reset_index(drop=True)


def target_of(targets: pd.DataFrame | None, metric: str, month: str) -> float | None:
    """The shop's own target of a metric for a month, None where it has none."""
    if targets is None:
        return None
    found = targets.loc[(targets["metric"] == metric) & (targets["month"] == month), "value"]
    return float(found.iloc[0]) if len(found) else None


def goal_predictions(sheet: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """The sheet's forecasts in the columns the track record scores: metric, subject,
    horizon, due_on, point, low, high, level, naive, model. Uncalibrated ones are left
    out: there is no interval to score.
    """
    t = sheet[sheet["low"].notna()]
    return pd.DataFrame(
        {
            "metric": t["metric"],
            "subject": "shop",
            "horizon": t["horizon"],
            "due_on": t["due_on"],
            "point": t["forecast"],
            "low": t["low"],
            "high": t["high"],
            "level": level,
            "naive": t["naive"],
            "model": "forecast",
        }
    ).reset_index(drop=True)


def goal_headline(
    sheet: pd.DataFrame, paced: pd.DataFrame | None, *, month: str, is_complete: bool = True
) -> pd.DataFrame:
    """The chapter's figures for the scorecard: p_reach of next month's revenue target
    and the month's pacing index; columns metric, month, amount, low, high, n, status
    (partial inside a running month).
    """
    status = "complete" if is_complete else "partial"
    goal = sheet[
        (sheet["metric"] == "net_revenue")
        & (sheet["horizon"] == "month")
        & sheet["p_reach"].notna()
    ]
    rows = [
        ("p_reach", month, g.p_reach, np.nan, np.nan, float(g.n_errors), status)
        for g in goal.itertuples()
    ]
    now = paced[paced["actual"].notna()].tail(1) if paced is not None else sheet.head(0)
    rows += [
        ("pacing", month, p.pacing, np.nan, np.nan, float(len(paced)), status)
        for p in now.itertuples()
    ]
    return pd.DataFrame(rows, columns=["metric", "month", "amount", "low", "high", "n", "status"])


def break_even(
    sales_orders: Any,
    *,
    fixed: float,
    as_of: dt.date | str,
    months: int = 3,
    level: float = 0.9,
    marketing: float = 0.0,
) -> pd.DataFrame:
    """Orders a month must have: fixed, cm_per_order, low, high, orders_needed,
    needed_low, needed_high, orders_now, safety_share, n_orders, status; one row.

    cm_per_order is the mean contribution margin of the newest `months` months' orders
    with a normal interval; `fixed` is overhead a month and `marketing` the advertising
    counted as fixed. Status `blocked` without margins, `never` when an order loses
    money: more orders then lose more.
    """
    as_of = pd.Timestamp(as_of)
    start = (as_of + pd.Timedelta(days=1) - pd.DateOffset(months=months)).date()
    t = expression(sales_orders)
    t = t.filter(t.ordered_on.between(ibis.literal(start), ibis.literal(as_of.date())))
    money = t.margin.cast("float64")
    n, mean, spread = (
        t.aggregate(n=money.count(), mean=money.mean(), spread=money.std()).to_pandas().iloc[0]
    )
    row = {
        "fixed": fixed + marketing,
        "cm_per_order": mean if n else np.nan,
        "n_orders": int(n),
        "status": "blocked",
    }
    if n >= 2 and np.isfinite(fixed):
        from statistics import NormalDist

        half = NormalDist().inv_cdf((1 + level) / 2) * spread / np.sqrt(n)
        row |= {
            "low": mean - half,
            "high": mean + half,
            "orders_now": n / months,
            "status": "never",
        }
        if mean > 0:
            row |= {
                "orders_needed": row["fixed"] / mean,
                "needed_low": row["fixed"] / (mean + half),
                "needed_high": row["fixed"] / (mean - half) if mean > half else np.inf,
                "status": "complete",
            }
            row["safety_share"] = (
                row["orders_now"] / row["orders_needed"] - 1 if row["orders_needed"] > 0 else np.nan
            )
    return pd.DataFrame([row]).reindex(
        columns=[
            "fixed",
            "cm_per_order",
            "low",
            "high",
            "orders_needed",
            "needed_low",
            "needed_high",
            "orders_now",
            "safety_share",
            "n_orders",
            "status",
        ]
    )
