"""The shop's own sales as its goals need them: days, months, drivers, forecasts. Before
the first order there are none, and every section that rests on them is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.goal_setting import goals
from playbook.forecasting.series import Forecast
from playbook.measures.metrics import monthly_sales
from playbook.measures.revenue_days import by_month, daily_revenue, promotion_calendar
from playbook.messages import say
from playbook.methods import driver_tree, pacing
from playbook.runs.results import Results
from playbook.store import Store
from playbook.store.reconcile import ledger
from playbook.tables import frame_of, returns

__all__ = [
    "OwnSales",
    "fan",
    "months_to_plan_from",
    "own_sales",
    "paced",
    "reconciled",
    "smart",
    "targets_ahead",
    "tree",
    "workload",
]

#: months a tree and a plan need, days before the month that its own forecast needs
TREE_MONTHS, PLAN_MONTHS, PACE_DAYS = 12, 6, 60


@dataclass(frozen=True)
class OwnSales:
    """`daily` net revenue and whole `months`; `metrics` by month, as rows and `wide`;
    the `tree` the shop can feed and its `drivers` by month; forecasts of the
    `next_month` and the `quarter`; the shop's own `targets` (None without any).
    """

    shop: Store
    daily: DataFrame
    months: DataFrame
    metrics: DataFrame
    wide: DataFrame
    tree: str
    drivers: DataFrame
    next_month: Forecast
    quarter: Forecast
    targets: DataFrame | None

    @property
    def past(self) -> DataFrame:
        """What came before, in the forecast's periods."""
        return self.months if self.quarter.frequency == "month" else self.daily.tail(120)

    @property
    def cm_share(self) -> float:
        """Mean contribution margin share of the last year; missing where unknown."""
        money = self.wide.reindex(columns=["cm", "net_revenue"]).astype(float)
        return (money["cm"] / money["net_revenue"]).tail(12).mean()


def own_sales(shop: Store, results: Results, *, level: float) -> OwnSales | None:
    """Everything the goals rest on; None before the first order and where its days are
    too few for any forecast. Says in `results` what is missing.
    """
    if not results.needs("orders", section="own_sales"):
        return None
    daily = daily_revenue(
        shop.sales_orders,
        as_of=shop.as_of,
        observed_from=shop.observed_from,
        refunds=shop.booked_refunds,
    )
    calendar = None
    if shop.has("promotions"):
        ahead = shop.days_after(100)
        calendar = promotion_calendar(shop.promotions, first=shop.observed_from, last=ahead)
    about = {"as_of": shop.as_of, "level": level, "calendar": calendar}
    ahead = results.attempt("own_sales", _ahead, daily, **about)
    if ahead is None:
        return None
    metrics = _metrics(shop)
    wide = metrics.pivot(index="month", columns="metric", values="amount").reset_index()
    tree, drivers = goals.driver_history(wide.rename(columns={"net_revenue": "revenue"}))
    results.needs("traffic", section="traffic_tree", owner_role="product and experience lead")
    targets = shop.targets.to_pandas() if shop.has("targets") else None
    months = by_month(daily)
    return OwnSales(
        shop,
        daily,
        months,
        metrics,
        wide,
        tree,
        drivers,
        *ahead,
        targets,
    )


def _ahead(daily: DataFrame, **about: object) -> tuple[Forecast, Forecast]:
    """The forecasts of the next month and of the next three."""
    month, quarter = (goals.revenue_forecast(daily, months=n, **about)[0] for n in (1, 3))
    return month, quarter


def _metrics(shop: Store) -> DataFrame:
    """Complete months of the sales metrics and of users and brand: metric, month,
    amount.
    """
    sales = monthly_sales(shop, months=60).query("status == 'complete'")
    people = goals.people_series(
        as_of=shop.as_of, traffic=shop.get("traffic"), customer_days=shop.customer_days
    )
    series = pd.concat([sales, people])[["metric", "month", "amount"]]
    # early first orders may not be first ones
    if shop.truncated_before is not None:
        is_early = series["month"] <= f"{shop.truncated_before:%Y-%m}"
        series = series[(series["metric"] != "new_customers") | ~is_early]
    return series.drop_duplicates(["metric", "month"])


def reconciled(own: OwnSales) -> str:
    """The days read against the ledger's last row."""
    shop, walk = own.shop, ledger(own.shop).drop_duplicates("reason").set_index("reason")
    return say(
        "goal_setting.reconciled",
        name=shop.name,
        as_of=shop.as_of,
        ledger=walk.loc["shop net revenue", "amount"],
        days=own.daily["amount"].sum(),
        currency=shop.currency,
    )


@returns("goal_setting.forecast")
def fan(own: OwnSales) -> DataFrame:
    """The forecast of the next three months, period by period."""
    periods = own.quarter.periods
    periods = periods.assign(period=periods["period_on"].dt.strftime("%Y-%m-%d"))
    return frame_of("goal_setting.forecast", periods)


def targets_ahead(own: OwnSales) -> DataFrame | None:
    """The shop's own revenue targets of the months ahead: period_on, target."""
    if own.targets is None or own.quarter.frequency != "month":
        return None
    ahead = own.quarter.periods[["period_on"]]
    months = ahead["period_on"].dt.strftime("%Y-%m")
    return ahead.assign(target=[goals.target_of(own.targets, "net_revenue", m) for m in months])


def tree(own: OwnSales, *, goal_growth: float) -> DataFrame | None:
    """The goal of the next three months solved backwards; None with under a year."""
    if len(own.drivers) < TREE_MONTHS:
        return None
    year_before = own.drivers.tail(12).head(3).mean(numeric_only=True)
    base = {name: year_before[name] for name in goals.TREES[own.tree]}
    goal = (1 + goal_growth) * year_before["revenue"]
    return driver_tree.driver_tree(base, goal, history=own.drivers)


def smart(own: OwnSales, kinds: list[str], *, ask: float, level: float) -> DataFrame:
    """Goals on these metrics over every horizon, with a chance beside each."""
    ratios = own.drivers.melt("month", var_name="metric", value_name="amount")
    series = pd.concat([own.metrics, ratios]).drop_duplicates(["metric", "month"])
    ready = {"month": own.next_month, "quarter": own.quarter}
    return goals.smart_sheet(
        series[series["metric"].isin(kinds)],
        as_of=own.shop.as_of,
        targets=own.targets,
        ask=ask,
        level=level,
        revenue=ready if own.shop.is_month_complete else None,
    )


def paced(own: OwnSales) -> DataFrame | None:
    """The month against its target or, without one, against what was to be expected
    before it began; None where neither is known.
    """
    before = own.daily[own.daily["period_on"] < own.shop.month + "-01"]
    target = goals.target_of(own.targets, "net_revenue", own.shop.month)
    if target is None and len(before) > PACE_DAYS:
        expected, _ = goals.revenue_forecast(before, as_of=before["period_on"].max())
        target = expected.total["mid"].iloc[0]
    return pacing.pacing(own.daily, as_of=own.shop.as_of, target=target) if target else None


def months_to_plan_from(own: OwnSales) -> DataFrame | None:
    """The drivers by month; None with under half a year of them."""
    return own.drivers if len(own.drivers) >= PLAN_MONTHS else None


def workload(own: OwnSales, *, goal_growth: float) -> dict[str, tuple[str, float, float]]:
    """Orders and tickets of a month, now and at the goal, by the role that handles them."""
    orders = own.wide.get("orders", pd.Series(dtype=float))
    n_orders, n_tickets, shop = orders.tail(3).mean(), np.nan, own.shop
    if shop.has("tickets"):
        n_tickets = shop.tickets.count().to_pandas() / max(len(own.wide), 1)
    work = {
        "supply-chain head": ("orders", n_orders),
        "customer-service lead": ("tickets", n_tickets),
    }
    return {role: (what, n, n * (1 + goal_growth)) for role, (what, n) in work.items()}
