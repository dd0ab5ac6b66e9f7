"""The goal, set once, and what follows from it.

The revenue goal of a month, a quarter or a year stands on the outlook's law: a figure,
its chance, what it adds to what is expected anyway. Every driver's target is what that
goal needs in those months, so that the targets multiply to the goal; tree, sheet, key
results, plan by category, capacity and `target_rows` say the same number. A target of
the shop's own that asks for less than the forecast is not adopted: the sheet shows it
beside the goal, with what it would give away.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.goal_setting import goals
from playbook.chapters.goal_setting.sales import OwnSales
from playbook.forecasting.series import Forecast, reach
from playbook.measures.metrics import METRICS
from playbook.messages import say
from playbook.methods import driver_tree
from playbook.outlook.ahead import DAYS_OF_MONTH
from playbook.outlook.forecast import HORIZONS, Outlook
from playbook.tables import empty, frame_of, returns

__all__ = [
    "capacity_at_goal",
    "category_plan",
    "driver_swings",
    "foreseen",
    "goal_factor",
    "outlook_record",
    "volume_ahead",
    "scenarios",
    "set_once",
    "tree",
    "workload",
]

#: an own target this near to what the goal needs is the same figure, share
SAME = 0.005
#: newest months behind today's workload
BUSY_MONTHS = 3
#: orders of the same week a year before below which a week's pace is not told
LEAST_WEEK = 30
#: months behind over which chapters take the mean of what a decision wins
MONTHS_BEHIND = (3, 6, 12)
#: horizons a tree is solved for
TREE_HORIZONS = ("month", "quarter")


@returns("goal_setting.backtest")
def outlook_record(outlook: Outlook, *, known: DataFrame) -> DataFrame:
    """How the outlook of the whole shop has done, by metric and horizon. `known`: the months
    the sheet rests on (metric, month, amount); a metric with under two years of them has no
    figure where it is not calibrated.
    """
    parts = [outlook.shop(name).reset_index() for name in HORIZONS]
    table = pd.concat(parts, ignore_index=True)
    n_months = table["metric"].map(known.groupby("metric")["amount"].count()).fillna(0)
    table["mid"] = table["mid"].mask(goals.is_blind(table["status"], n_months))
    return frame_of("goal_setting.backtest", table)


@returns("goal_setting.foreseen")
def foreseen(outlook: Outlook, month: str) -> DataFrame:
    """What the outlook said of a month (YYYY-MM) before it began, by metric of the whole
    shop; a running month is the first of those ahead.
    """
    ahead = outlook.shop("month").reset_index()
    if (ahead["month"] == month).any():
        return frame_of("goal_setting.foreseen", ahead)
    past = outlook.origins.query("level == 'shop' and horizon == 'month' and step == 1")
    past = past[past["known_to"] == str(pd.Period(month, "M") - 1)]
    return frame_of("goal_setting.foreseen", past.assign(month=month, mid=past["point"]))


@returns("goal_setting.volume_ahead")
def volume_ahead(outlook: Outlook, known: DataFrame) -> DataFrame:
    """How the orders of the quarter ahead compare with those of the months behind it, which the
    effects of decisions are means of. `known`: the months the sheet rests on (metric, month,
    amount). Numbers of months that are not known have no row.
    """
    ahead = outlook.shop("quarter")
    if "orders" not in ahead.index or not ahead.at["orders", "mid"] > 0:
        return empty("goal_setting.volume_ahead")
    quarter = ahead.loc["orders"]
    months = known[(known["metric"] == "orders") & (known["month"] < quarter["month"])]
    amounts = months.sort_values("month")["amount"].astype(float)
    rows = []
    for n in MONTHS_BEHIND:
        behind = amounts.tail(n).mean() if len(amounts) >= n else np.nan
        if behind > 0:
            each = quarter[["mid", "low", "high"]].astype(float) / HORIZONS["quarter"]
            rows.append((n, behind, each["mid"], *(each / behind)))
    return frame_of("goal_setting.volume_ahead", rows)


def _revenue_goal(sheet: DataFrame, horizon: str) -> float:
    """The target of net revenue over a horizon; missing where none is set."""
    is_it = (sheet["metric"] == "net_revenue") & (sheet["horizon"] == horizon)
    return float(sheet.loc[is_it, "target"].astype(float).sum(min_count=1))


def goal_factor(sheet: DataFrame, outlook: Outlook, horizon: str) -> float:
    """Revenue goal over revenue forecast; 1 where there is no goal."""
    factor = _revenue_goal(sheet, horizon) / outlook.mid("net_revenue", horizon)
    return factor if np.isfinite(factor) and factor > 0 else 1.0


def _drivers(outlook: Outlook, horizon: str, names: tuple[str, ...]) -> dict[str, float]:
    """The forecast drivers of a horizon; empty where one is not forecast."""
    base = {name: outlook.mid(name, horizon) for name in names}
    return base if all(np.isfinite(list(base.values()))) else {}


def _needed(outlook: Outlook, horizon: str, names: tuple[str, ...], factor: float) -> dict:
    """What each figure of the outlook must be for the goal: the tree's drivers moved
    alike in logs, what is a product of them with them, the margin share as forecast.
    """
    base = _drivers(outlook, horizon, names)
    if not base:
        return {}
    table = driver_tree.driver_tree(base, factor * float(np.prod(list(base.values()))))
    needed = dict(zip(table["driver"], table["needed"], strict=True))
    goal = factor * outlook.mid("net_revenue", horizon)
    if "orders" not in needed:
        needed["orders"] = goal / needed["aov"]
    more = needed["orders"] / outlook.mid("orders", horizon)
    for people in ("new_customers", "returning_customers", "buyers"):
        needed.setdefault(people, more * outlook.mid(people, horizon))
    needed["cm"] = goal * outlook.mid("cm_share", horizon)
    return {name: amount for name, amount in needed.items() if np.isfinite(amount)}


@returns("goal_setting.smart")
def set_once(
    verdicts: DataFrame,
    *,
    outlook: Outlook | None,
    ready: Mapping[str, Mapping[str, Forecast]],
    names: tuple[str, ...],
) -> DataFrame:
    """The sheet with one goal: where a target is raised or lowered, the proposed figure
    stands in its place; every other figure of the outlook takes what the revenue goal
    needs of it, and says whether the shop's own target has to go up or down for that.
    """
    is_moved = verdicts["action"].isin(["raise", "lower"]) & verdicts["proposed"].notna()
    sheet = verdicts.assign(target=verdicts["target"].mask(is_moved, verdicts["proposed"]))
    rows = sheet.to_dict("records")
    if outlook is not None:
        needed = {
            horizon: _needed(
                outlook,
                horizon,
                names,
                goal_factor(sheet, outlook, horizon),
            )
            for horizon in HORIZONS
            if np.isfinite(_revenue_goal(sheet, horizon))
        }
        rows = [_as_needed(row, needed.get(row["horizon"], {})) for row in rows]
    return frame_of("goal_setting.smart", [_with_chance(row, ready) for row in rows])


def _as_needed(row: dict, needed: dict) -> dict:
    """A row of the sheet with what the goal needs as its target."""
    is_blind = row["status"] == "not calibrated" and pd.isna(row["own_target"])
    if row["metric"] not in needed or is_blind:
        return row
    target, own = needed[row["metric"]], row["own_target"]
    action = "set"
    if pd.notna(own) and abs(own / target - 1) > SAME:
        action = "raise" if own < target else "lower"
    # a goal below the forecast asks less of its drivers than is expected anyway
    is_under = action == "set" and target < row["forecast"] * (1 - SAME)
    action = "research" if is_under else action
    growth = target / row["base"] - 1 if row["base"] else np.nan
    row = row | {
        "target": target,
        "growth": growth,
        "action": action,
        "source": "goal",
    }
    is_below = action == "raise" and row["given_away"] > 0
    reason = "goal_below" if is_under else "below" if is_below else "needed"
    return row | {"reason": say(f"goal_setting.reason_{reason}")}


def _with_chance(row: dict, ready: Mapping[str, Mapping[str, Forecast]]) -> dict:
    """A row with the chance and the growth of the target it carries now."""
    forecast = ready.get(row["metric"], {}).get(row["horizon"])
    if forecast is None or pd.isna(row["target"]):
        return row
    entry = METRICS.get(row["metric"])
    scale = 1 if entry is not None and entry.is_flow else HORIZONS[row["horizon"]]
    chance = reach(forecast, [row["target"] * scale])["p_reach"].iloc[0]
    is_lower_better = entry is not None and entry.is_lower_better
    growth = row["target"] / row["base"] - 1 if row["base"] else np.nan
    return row | {"p_reach": 1 - chance if is_lower_better else chance, "growth": growth}


@returns("goal_setting.tree")
def tree(own: OwnSales, sheet: DataFrame, *, owners: Mapping[str, str] | None = None) -> DataFrame:
    """The revenue goals of the next month and quarter solved backwards from what is
    expected anyway. `owners`: driver -> who answers for it.
    """
    outlook, names = own.outlook, goals.TREES[own.tree]
    parts = []
    for horizon in TREE_HORIZONS:
        base = _drivers(outlook, horizon, names)
        if not base or not np.isfinite(_revenue_goal(sheet, horizon)):
            continue
        goal = goal_factor(sheet, outlook, horizon) * float(np.prod(list(base.values())))
        history = _past_of(own.drivers[list(names)], goals.HORIZONS[horizon])
        table = driver_tree.driver_tree(base, goal, history=history)
        before = outlook.shop(horizon)["year_before"]
        parts.append(
            table.rename(columns={"base": "forecast"}).assign(
                horizon=horizon, base=table["driver"].map(before)
            )
        )
    told = pd.concat(parts, ignore_index=True) if parts else DataFrame({"driver": []})
    initiatives = [say(f"goal_setting.initiative_{name}") for name in told["driver"]]
    roles = [(owners or {}).get(name) or "general manager" for name in told["driver"]]
    return frame_of("goal_setting.tree", told.assign(initiative=initiatives, owner_role=roles))


def _past_of(months: DataFrame, n: int) -> DataFrame:
    """What each driver was over any `n` months on end: the first is counted and summed, the
    others are ratios and averaged.
    """
    past = months.astype(float).rolling(n).mean()
    counted = past.columns[0]
    return past.assign(**{counted: past[counted] * n})


def scenarios(own: OwnSales, *, fixed: float) -> DataFrame | None:
    """Next month at the low end of its interval, as forecast, and at the high end; None
    while the revenue forecast is not calibrated.
    """
    outlook, names = own.outlook, goals.TREES[own.tree]
    base, month = _drivers(outlook, "month", names), outlook.shop("month")
    ends = ("low", "mid", "high")
    revenue = tuple(outlook.mid("net_revenue", "month", column=end) for end in ends)
    if not base or not np.isfinite(revenue).all():
        return None
    # as wide as a driver's own interval, so does it move
    spread = np.log(month["high"].astype(float) / month["low"].astype(float)) ** 2
    weights = {name: float(spread.get(name, np.nan)) for name in names}
    if not np.isfinite(list(weights.values())).all():
        weights = dict.fromkeys(names, 1.0)
    knobs = {"cm_share": outlook.mid("cm_share", "month"), "fixed": fixed}
    return driver_tree.scenarios(
        base,
        revenue,
        weights=weights,
        **knobs,
    )


def driver_swings(own: OwnSales) -> DataFrame | None:
    """What each driver alone moves next month; None while one is not calibrated."""
    names, month = goals.TREES[own.tree], own.outlook.shop("month")
    base = _drivers(own.outlook, "month", names)
    ends = {
        name: (month["low"].get(name, np.nan), month["high"].get(name, np.nan)) for name in names
    }
    if not base or not np.isfinite([end for pair in ends.values() for end in pair]).all():
        return None
    return driver_tree.tornado(base, ends)


@returns("goal_setting.product_plan")
def category_plan(outlook: Outlook, sheet: DataFrame, *, verdicts: DataFrame) -> DataFrame:
    """The quarter's goal by category: each forecast times goal over forecast, so that
    targets sum to the goal as forecasts do to the shop's; no row where fewer than two
    categories have a forecast.

    `verdicts`: what chapter 01 says of each category.
    """
    parts = outlook.parts("net_revenue", "category", "quarter").reset_index()
    if parts.empty:
        return empty("goal_setting.product_plan")
    target = parts["mid"] * goal_factor(sheet, outlook, "quarter")
    action = parts["member"].map(verdicts.set_index("category")["action"]).fillna("hold")
    plan = parts.rename(columns={"member": "category", "mid": "forecast"}).assign(
        revenue=parts["year_before"],
        growth=parts["mid"] / parts["year_before"] - 1,
        action=action,
        target=target,
        change=target / parts["year_before"] - 1,
        share=target / target.sum(),
    )
    plan = plan.sort_values(
        ["target", "category"],
        ascending=[False, True],
        ignore_index=True,
    )
    return frame_of("goal_setting.product_plan", plan)


def workload(
    own: OwnSales, sheet: DataFrame, weeks: DataFrame | None = None
) -> dict[str, tuple[str, float, float]]:
    """Orders and tickets a month, the mean of the newest three and at the pace of the
    busiest stretch ahead at the goal, by the role that handles them. Tickets keep their
    number per order. `weeks`: outlook.calendar_ahead.
    """
    orders = own.wide.get("orders", pd.Series(dtype=float)).astype(float)
    n_orders, n_tickets, shop = orders.tail(BUSY_MONTHS).mean(), np.nan, own.shop
    if shop.has("tickets"):
        opened = shop.tickets.opened_at.cast("date")
        first = goals.month_start(shop.as_of, BUSY_MONTHS)
        recent = opened.between(first, shop.as_of).sum().to_pandas()
        n_tickets = float(recent) / BUSY_MONTHS
    stretch, at_goal = capacity_at_goal(own.outlook, sheet, weeks)
    words = {"stretch": stretch}
    return {
        "supply-chain head": (say("goal_setting.work_orders", **words), n_orders, at_goal),
        "customer-service lead": (
            say("goal_setting.work_tickets", **words),
            n_tickets,
            n_tickets * at_goal / n_orders,
        ),
    }


def capacity_at_goal(
    outlook: Outlook, sheet: DataFrame, weeks: DataFrame | None = None
) -> tuple[str, float]:
    """The busiest stretch ahead (a month of the next twelve, YYYY-MM, or a whole week of
    `weeks`, named by its Monday) and its orders a month at the goal. A week counts where
    the same one a year before had orders enough to tell its pace.
    """
    rows = outlook.rows
    is_it = (rows["metric"] == "orders") & (rows["level"] == "shop") & (rows["horizon"] == "month")
    more = {name: _more_orders(outlook, sheet, name) for name in ("quarter", "year")}
    found = []
    for row in rows[is_it].sort_values("step").itertuples():
        horizon = "quarter" if row.step <= HORIZONS["quarter"] else "year"
        found.append((str(row.month), float(row.mid) * more[horizon]))
    if weeks is not None:
        told = weeks[(weeks["n_days"] == 7) & (weeks["orders_before"] >= LEAST_WEEK)]
        for week in told.itertuples():
            a_month = float(week.orders) / 7 * DAYS_OF_MONTH
            found.append((f"{week.week_on:%Y-%m-%d}", a_month * more["quarter"]))
    return max(found, key=lambda stretch: stretch[1])


def _more_orders(outlook: Outlook, sheet: DataFrame, horizon: str) -> float:
    """Orders at the goal over orders forecast; 1 where there is no goal."""
    is_it = (sheet["metric"] == "orders") & (sheet["horizon"] == horizon)
    needed = float(sheet.loc[is_it, "target"].astype(float).sum(min_count=1))
    more = needed / outlook.mid("orders", horizon)
    return more if np.isfinite(more) else 1.0
