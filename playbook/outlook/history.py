"""What the outlook is made from: the shop's whole months, by metric, channel and
category, and the identities that hold among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.detect.months import usual_months
from playbook.measures.metrics import monthly_sales
from playbook.measures.sums import sums_by, total
from playbook.methods.coherence import Identity
from playbook.store.trading import hole_days

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["KEY", "OTHER", "PRODUCTS", "RATIOS", "WHOLE", "identities", "monthly_history"]

#: what names a series; the shop as a whole is level and member `shop`
KEY = ["metric", "level", "member"]
WHOLE = "shop"
#: months of the log that are read
MONTHS = 60
#: products that hold in every month: whole -> factors
PRODUCTS = {
    "orders": (("sessions", "cvr_sessions"), ("buyers", "orders_per_buyer")),
    "net_revenue": (("orders", "aov"),),
    "cm": (("net_revenue", "cm_share"),),
}
#: ratio -> what is divided by what
RATIOS = {
    "cvr_sessions": ("orders", "sessions"),
    "orders_per_buyer": ("orders", "buyers"),
    "aov": ("net_revenue", "orders"),
    "cm_share": ("cm", "net_revenue"),
}
#: a member below this share of the last year stands under `other`
LEAST_SHARE, OTHER = 0.005, "other"
#: share of the whole that a member is taken to have in a month without any
LITTLE = 1e-4
TAKEN = ("net_revenue", "orders", "aov", "cm", "new_customers", "sessions", "cvr_sessions")


def monthly_history(shop: Store) -> DataFrame:
    """One row per whole month and series: month (YYYY-MM), metric, level (shop, channel
    or category), member, amount, was.

    `amount` is what the month teaches: without what an incident falsified
    (`detect.months`); `was` what was counted.

    By channel: net_revenue, orders, new_customers, sessions; by category: net_revenue.
    Net revenue is shared out by what was sold before refunds, so the parts add up to it.
    A month without any counts as a ten-thousandth of the whole, because logs are taken.
    Months in which a figure is not known have no row. Members that make less than half
    a percent of the last year, or are missing in a month of it, stand under `other`.
    """
    sales = monthly_sales(shop, months=MONTHS)
    sales = sales[(sales.status == "complete") | _has_holes_only(shop, sales)]
    wide = sales.pivot(index="month", columns="metric", values="amount")
    wide = wide.reindex(columns=[name for name in TAKEN if name in wide]).astype(float)
    if wide.empty:
        return DataFrame(columns=["month", *KEY, "amount"])
    counted = _with_buyers(shop, wide)
    wide = _usual(counted, usual_months(shop))
    parts = [_long(wide[name].rename(WHOLE).to_frame(), name, WHOLE) for name in wide]
    parts += _by_channel(shop, wide) + _by_category(shop, wide)
    history = pd.concat(parts, ignore_index=True)[["month", *KEY, "amount"]]
    factor = (wide / counted).rename_axis(columns="metric").stack().rename("factor")
    known = history.join(factor, on=["month", "metric"]).factor
    return history.assign(was=history.amount / known)


def _has_holes_only(shop: Store, sales: DataFrame) -> Series:
    """The sales of months that are partial for a hole in their days alone: what their other
    days brought stands for it (`detect.months`, as far back as incidents are looked for).
    """
    holes = hole_days(shop)
    last = pd.Timestamp(min(shop.as_of, shop.observed_to)) + pd.Timedelta(days=1)
    is_over = sales.month.lt(f"{last:%Y-%m}")
    is_begun = sales.month.gt(f"{shop.observed_from:%Y-%m}")
    is_sold = ~sales.metric.isin(["sessions", "cvr_sessions"]) & sales.amount.notna()
    return sales.month.isin(set(holes.strftime("%Y-%m"))) & is_over & is_begun & is_sold


def _usual(wide: DataFrame, factors: DataFrame) -> DataFrame:
    """The months as they would have been without their incidents, ratios and all."""
    factors = factors.reindex(wide.index, fill_value=1.0)
    for ratio, (top, base) in RATIOS.items():
        factors[ratio] = factors[top] / factors[base]
    usual = wide * factors.reindex(columns=wide.columns, fill_value=1.0)
    if "returning_customers" in usual:
        usual["returning_customers"] = usual.buyers - usual.new_customers
    return usual


def _with_buyers(shop: Store, wide: DataFrame) -> DataFrame:
    """The shop's figures with buyers, returning customers and the ratios that complete
    its products.
    """
    if "cm" in wide:
        wide["cm_share"] = wide.cm / wide.net_revenue
    if not shop.has("orders.customer_id"):
        return wide.drop(columns="new_customers", errors="ignore")
    counts = _sums(
        shop.sales_orders,
        "ordered_on",
        buyers=_.customer_id.nunique(),
    )
    wide["buyers"] = counts.buyers.reindex(wide.index).astype(float)
    wide["orders_per_buyer"] = wide.orders / wide.buyers
    if "new_customers" in wide:  # a log that is cut knows nobody as new
        wide["returning_customers"] = wide.buyers - wide.new_customers
    return wide


def _sums(table: object, day: str, *keys: str, **sums: object) -> DataFrame:
    dated = table.mutate(month=_[day].strftime("%Y-%m"))
    return sums_by(
        dated,
        "month",
        *keys,
        **sums,
    ).set_index(["month", *keys])


def _by_channel(shop: Store, wide: DataFrame) -> list[DataFrame]:
    """Orders, net revenue, new customers and sessions of each channel."""
    if not shop.has("orders.channel"):
        return []
    named = shop.sales_orders.mutate(channel=_.channel.fill_null("unknown"))
    is_new = _.is_first & ~_.is_left_truncated
    sold = _sums(
        named,
        "ordered_on",
        "channel",
        orders=_.count(),
        net_revenue=total("revenue"),
        new_customers=(is_new & _.customer_id.notnull()).sum(),
    )
    found = {name: sold[name].unstack().fillna(0.0) for name in sold}
    if shop.has("traffic.channel"):
        visits = shop.traffic.mutate(channel=_.channel.fill_null("unknown"))
        seen = _sums(
            visits,
            "day_on",
            "channel",
            sessions=total("sessions"),
        )
        found["sessions"] = seen.sessions.unstack().fillna(0.0)
    return _members(found, wide, "channel")


def _by_category(shop: Store, wide: DataFrame) -> list[DataFrame]:
    """Net revenue of each category."""
    if not shop.has("products.category"):
        return []
    shelf = shop.products.select("sku", "category")
    lines = shop.sales_lines.filter(_.is_product).left_join(shelf, "sku")
    lines = lines.mutate(category=_.category.fill_null("unknown"))
    sold = _sums(
        lines,
        "ordered_on",
        "category",
        net_revenue=total("revenue"),
    )
    return _members(
        {"net_revenue": sold.net_revenue.unstack().fillna(0.0)},
        wide,
        "category",
    )


def _members(found: Mapping[str, DataFrame], wide: DataFrame, level: str) -> list[DataFrame]:
    """Each figure by member, shared out so that its parts are the shop's figure."""
    parts = []
    for metric, table in found.items():
        if metric not in wide:
            continue
        table = _pooled(table.reindex(wide.index).fillna(0.0))
        sums = table.sum(axis=1)
        whole = wide[metric].where(sums > 0)
        table = table.mul(whole / sums.where(sums > 0), axis=0)
        # before its first sale a member is not there; later nothing is a little
        has_begun = table.gt(0).cummax()
        table = table.clip(lower=LITTLE * whole, axis=0).where(has_begun)
        table = table.mul(whole / table.sum(axis=1), axis=0)
        if table.shape[1] > 1:
            parts.append(_long(table, metric, level))
    return parts


def _pooled(table: DataFrame) -> DataFrame:
    """The members worth a series of their own, and the rest as `other`."""
    year = table.tail(12)
    is_small = year.sum() < LEAST_SHARE * year.to_numpy().sum()
    is_small |= (year <= 0).any()
    # a member the shop calls so itself stands with the rest
    is_small |= (year.columns == OTHER) & is_small.any()
    kept = table.loc[:, ~is_small]
    rest = table.loc[:, is_small].sum(axis=1)
    return kept.assign(**{OTHER: rest}) if rest.sum() > 0 else kept


def _long(table: DataFrame, metric: str, level: str) -> DataFrame:
    rows = table.rename_axis(index="month", columns="member").stack().dropna()
    rows = rows.rename("amount").reset_index()
    return rows.assign(metric=metric, level=level).astype({"member": str, "amount": float})


def identities(keys: pd.MultiIndex) -> list[Identity]:
    """What holds among these series in every month, by their places in `keys`."""
    place = {key: k for k, key in enumerate(keys)}
    shop = {metric: place[metric, level, who] for metric, level, who in keys if level == WHOLE}
    found = [
        Identity(
            shop[whole],
            tuple(shop[name] for name in factors),
            False,
        )
        for whole, products in PRODUCTS.items()
        for factors in products
        if whole in shop and set(factors) <= set(shop)
    ]
    if {"buyers", "new_customers", "returning_customers"} <= set(shop):
        parts = shop["new_customers"], shop["returning_customers"]
        found.append(Identity(shop["buyers"], parts, True))
    members = Series(range(len(keys)), index=keys).reset_index(name="place")
    members = members[members.level != WHOLE]
    for (metric, _level), part in members.groupby(["metric", "level"], sort=True):
        found.append(Identity(shop[metric], tuple(part.place), True))
    return found
