"""What was asked for a sku and when: the shop's own price rows or the prices on its
order lines, promotions and how deep they cut; competitors' prices too.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
from ibis import Table
from numpy import ndarray
from pandas import DataFrame

from playbook.given import dated, reads
from playbook.measures.demand_panel import DemandPanel, week_number
from playbook.methods.demand import DemandLaw
from playbook.methods.elasticity import USUAL_RESPONSE, regular_prices
from playbook.store import expression

__all__ = [
    "with_prices",
    "posted_prices",
    "promotion_pull",
    "line_prices",
    "price_gap",
    "price_weeks",
]

WEEKS_AHEAD = 26  # of planned promotions that are read
DEEPEST = 0.6  # a price cut by more is read as this


def with_prices(
    panel: DemandPanel,
    *,
    prices: Table | None = None,
    promotions: Table | None = None,
) -> DemandPanel:
    """The panel with the shop's own `prices` and `promotions` where it keeps them
    (promotions to come are planned, not foreseen).
    """
    if prices is not None:
        asked = posted_prices(panel, prices)
        panel = replace(panel, price=regular_prices(asked, panel.promo))
    if promotions is not None:
        panel = replace(panel, pull=promotion_pull(panel, promotions))
    return panel


def posted_prices(panel: DemandPanel, prices: Table) -> ndarray:
    """The shop's own posted price in the middle of each week, (sku, week); missing
    before the first row.

    Middle, because a price that moved within the week is the new one for most of the
    weeks that follow.
    """
    own = expression(prices)
    own = own.filter(own.seller == "own")
    own = own.select("sku", "from_on", price=own.price.cast("float64")).to_pandas()
    own["from_on"] = pd.to_datetime(own["from_on"]).astype("datetime64[s]")
    own = own.sort_values(["from_on", "sku", "price"])
    own = own.drop_duplicates(["from_on", "sku"], keep="last")
    own = own[own["sku"].isin(panel.sku)]
    middle = (panel.starts + pd.Timedelta(days=3)).astype("datetime64[s]")
    asked = np.full((len(panel.sku), len(middle) + 1), np.nan)
    at = (pd.Index(panel.sku).get_indexer(own["sku"]), middle.searchsorted(own["from_on"]))
    asked[at] = own["price"]  # in the order of time: the latest stays
    changed = np.where(np.isfinite(asked), np.arange(asked.shape[1]), 0)
    return np.take_along_axis(
        asked,
        np.maximum.accumulate(changed, axis=1),
        axis=1,
    )[:, :-1]


def promotion_pull(panel: DemandPanel, promotions: Table) -> ndarray:
    """Promotion of each week of the panel and `WEEKS_AHEAD` weeks after it, (sku,
    week), 1 for a whole week of usual depth.

    A price cut by a share d pulls as (1 − d)^−ε − 1, the shop's average promotion as 1;
    a promotion without a depth is average. Weeks of order lines on a promotion that is
    not in the table count by their days.
    """
    columns = ("starts_on", "ends_on", "depth_share", "skus")
    listed = expression(promotions).select(*columns).to_pandas()
    n_weeks = len(panel.starts)
    days = np.arange(7 * (n_weeks + WEEKS_AHEAD)).reshape(-1, 7)
    first, last = (
        (pd.to_datetime(listed[column]) - panel.starts[0]).dt.days.to_numpy()
        for column in columns[:2]
    )
    strength = _strength(listed["depth_share"], first < 7 * n_weeks)
    pull, place = np.zeros((len(panel.sku), len(days))), pd.Index(panel.sku)
    for i, named in enumerate(listed["skus"]):
        share = ((days >= first[i]) & (days <= last[i])).mean(axis=1) * strength[i]
        rows = place.get_indexer(place if pd.isna(named) else np.unique(str(named).split()))
        pull[np.ix_(rows[rows >= 0], share > 0)] += share[share > 0]
    past = pull[:, :n_weeks]
    pull[:, :n_weeks] = np.where(past > 0, past, panel.promo)
    return pull


def _strength(depth_share: pd.Series, is_past: ndarray) -> ndarray:
    """How each promotion pulls against the shop's average one so far."""
    depth = np.clip(depth_share.astype(float).to_numpy(), 0.0, DEEPEST)
    pull = (1 - depth) ** -USUAL_RESPONSE - 1
    usual = np.nanmean(pull[is_past]) if np.isfinite(depth).any() else 1.0
    return np.where(pull > 0, pull / (usual if usual > 0 else 1.0), 1.0)


def line_prices(panel: DemandPanel, sales_lines: Table) -> ndarray:
    """Median price before discount on the order lines of each week, (sku, week);
    missing in weeks without a sale.
    """
    lines = expression(sales_lines)
    lines = lines.mutate(ordered_on=lines.ordered_on.cast("date"))
    is_bought = lines.is_product & ~lines.is_gift & (lines.price > 0)
    lines = lines.filter(is_bought & (lines.ordered_on >= panel.starts[0].date()))
    by_week = lines.group_by("sku", week=week_number(lines.ordered_on, panel.starts[0]))
    long = by_week.aggregate(price=lines.price.cast("float64").median()).to_pandas()
    long = long[(long["week"] < len(panel.starts)) & long["sku"].isin(panel.sku)]
    asked = np.full(panel.units.shape, np.nan)
    at = (pd.Index(panel.sku).get_indexer(long["sku"]), long["week"].to_numpy(int))
    asked[at] = long["price"].to_numpy(float)
    return asked


@reads(prices="sku seller price from_on")
@dated
def price_gap(prices: Table, *, as_of: dt.date) -> DataFrame:
    """Own price against competitors' on the day, one row per sku that both sell: sku,
    own_price, median_price, lowest_price, n_sellers, gap_share (own over the
    competitors' median, minus 1), seen_on (their latest price change).
    """
    asked = expression(prices)
    asked = asked.mutate(from_on=asked.from_on.cast("date"), price=asked.price.cast("float64"))
    asked = asked.filter(asked.from_on <= as_of)
    if "until_on" in asked.columns:
        asked = asked.filter(asked.until_on.isnull() | (asked.until_on.cast("date") >= as_of))
    rows = asked.select(
        "sku",
        "seller",
        "from_on",
        "price",
    ).to_pandas()
    rows = rows.sort_values(["sku", "seller", "from_on", "price"])
    rows = rows.drop_duplicates(["sku", "seller"], keep="last")
    is_own = rows["seller"] == "own"
    rivals = rows[~is_own].groupby("sku")
    gap = rivals.agg(
        median_price=("price", "median"),
        lowest_price=("price", "min"),
        n_sellers=("seller", "nunique"),
        seen_on=("from_on", "max"),
    )
    own = rows[is_own].set_index("sku")[["price"]].set_axis(["own_price"], axis=1)
    gap = own.join(gap, how="inner").sort_index().reset_index()
    gap.insert(
        5,
        "gap_share",
        gap["own_price"] / gap["median_price"] - 1,
    )
    return gap


def price_weeks(
    panel: DemandPanel,
    law: DemandLaw,
    sku: str,
    *,
    estimate: float,
    prices: Table | None = None,
    sales_lines: Table | None = None,
) -> DataFrame:
    """One sku's weeks outside promotions and stock-outs: price (regular), units (season
    taken out), fit (the estimated curve through their middle).
    """
    i = int(np.flatnonzero(panel.sku == sku)[0])
    asked = posted_prices(panel, prices) if prices is not None else line_prices(panel, sales_lines)
    price = regular_prices(asked[[i]], panel.promo[[i]])[0]
    use = (panel.promo[i] < 0.05) & (panel.exposure[i] > 0.5) & np.isfinite(price)
    units = panel.units[i] / (panel.exposure[i] + 1e-9) / law.season[i, panel.week]
    weeks = DataFrame({"price": price[use], "units": units[use]})
    middle = np.exp(np.log(weeks["price"]).mean())
    curve = (weeks["price"] / middle) ** estimate
    return weeks.assign(fit=curve * weeks["units"].sum() / max(curve.sum(), 1e-9))
