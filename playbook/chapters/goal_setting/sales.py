"""The shop's own sales as its goals need them: days, months, drivers, forecasts. Before
the first order there are none, and every section that rests on them is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from pandas import DataFrame

from playbook.chapters.goal_setting import goals
from playbook.forecasting.series import Forecast
from playbook.measures.metrics import monthly_sales
from playbook.measures.revenue_days import by_month, daily_revenue
from playbook.messages import say
from playbook.methods import pacing
from playbook.outlook.forecast import HORIZONS, Outlook
from playbook.outlook.reading import outlook
from playbook.runs.results import Results
from playbook.store import Store
from playbook.store.reconcile import ledger
from playbook.tables import frame_of, returns

__all__ = [
    "OwnSales",
    "fan",
    "own_sales",
    "paced",
    "ready_forecasts",
    "reconciled",
    "smart",
    "targets_ahead",
]

#: days of sales without which there is nothing to say
LEAST_DAYS = 3


@dataclass(frozen=True)
class OwnSales:
    """`daily` net revenue and whole `months`; `metrics` by month, as rows and `wide`;
    the `tree` the shop can feed and its `drivers` by month; the `outlook` (None with
    fewer than three whole months); the shop's own `targets` (None without any).
    """

    shop: Store
    daily: DataFrame
    months: DataFrame
    metrics: DataFrame
    wide: DataFrame
    tree: str
    drivers: DataFrame
    outlook: Outlook | None
    targets: DataFrame | None


def own_sales(shop: Store, results: Results, *, level: float) -> OwnSales | None:
    """Everything the goals rest on; None before the first order and where its days are
    too few for anything. Says in `results` what is missing.
    """
    if not results.needs("orders", section="own_sales"):
        return None
    daily = daily_revenue(
        shop.sales_orders,
        as_of=shop.as_of,
        observed_from=shop.observed_from,
        refunds=shop.booked_refunds,
    )
    ahead = results.attempt("outlook", outlook, shop, level=level)
    if ahead is None and len(daily) < LEAST_DAYS:
        return None
    if ahead is not None and not {"net_revenue", "orders"} <= set(ahead.shop("month").index):
        ahead = None
    metrics = _metrics(shop)
    wide = metrics.pivot(index="month", columns="metric", values="amount").reset_index()
    tree, drivers = goals.driver_history(wide.rename(columns={"net_revenue": "revenue"}))
    results.needs(
        "traffic",
        section="traffic_tree",
        owner_role="product and experience lead",
    )
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
        ahead,
        targets,
    )


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
    """The net revenue forecast of the next three months, month by month. With under two
    years of complete months (`goals.is_blind`) what is not calibrated has no figure.
    """
    periods = own.outlook.forecast("net_revenue", "quarter").periods
    known = own.metrics.loc[own.metrics["metric"] == "net_revenue", "amount"]
    is_blind = goals.is_blind(periods["status"], int(known.notna().sum()))
    periods = periods.assign(mid=periods["mid"].mask(is_blind))
    periods = periods.assign(period=periods["period_on"].dt.strftime("%Y-%m-%d"))
    return frame_of("goal_setting.forecast", periods)


def targets_ahead(own: OwnSales) -> DataFrame | None:
    """The shop's own revenue targets of the months ahead: period_on, target."""
    if own.targets is None or own.outlook is None:
        return None
    ahead = own.outlook.forecast("net_revenue", "quarter").periods[["period_on"]]
    months = ahead["period_on"].dt.strftime("%Y-%m")
    return ahead.assign(target=[goals.target_of(own.targets, "net_revenue", m) for m in months])


def ready_forecasts(own: OwnSales) -> dict[str, dict[str, Forecast]]:
    """The outlook of the whole shop by metric and horizon, as forecasts of series."""
    if own.outlook is None:
        return {}
    metrics = own.outlook.shop("month").index
    return {
        metric: {horizon: own.outlook.forecast(metric, horizon) for horizon in HORIZONS}
        for metric in metrics
    }


def smart(own: OwnSales, kinds: list[str], *, ask: float, level: float) -> DataFrame:
    """Goals on these metrics over every horizon, with a chance beside each. What was
    nothing all year is no goal, unless the shop set itself one.
    """
    ratios = own.drivers.melt("month", var_name="metric", value_name="amount")
    series = pd.concat([own.metrics, ratios]).drop_duplicates(["metric", "month"])
    year = series.sort_values("month").groupby("metric").tail(12)
    alive = set(year.loc[year["amount"] != 0, "metric"])
    alive |= set() if own.targets is None else set(own.targets["metric"])
    return goals.smart_sheet(
        series[series["metric"].isin(alive & set(kinds))],
        as_of=own.shop.as_of,
        targets=own.targets,
        ask=ask,
        level=level,
        ready=ready_forecasts(own),
    )


def paced(own: OwnSales, foreseen: DataFrame | None = None) -> DataFrame | None:
    """The month against its target or, without one, against what the outlook said of it
    before it began (`plan.foreseen`); None where neither is known.
    """
    target = goals.target_of(own.targets, "net_revenue", own.shop.month)
    if target is None and foreseen is not None:
        target = foreseen.set_index("metric")["mid"].get("net_revenue")
    return pacing.pacing(own.daily, as_of=own.shop.as_of, target=target) if target else None
