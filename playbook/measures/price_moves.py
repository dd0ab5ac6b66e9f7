"""What was asked for a sku and when: the shop's own price rows or the prices on its
order lines, promotions and how deep they cut; competitors' prices too.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from playbook.methods.elasticity import USUAL_RESPONSE, regular_prices
from playbook.store import expression

if TYPE_CHECKING:
    from playbook.measures.demand_panel import DemandPanel
    from playbook.methods.demand import DemandLaw

__all__ = ["posted_prices", "promotion_pull", "line_prices", "price_gap", "price_weeks"]


def posted_prices(panel: DemandPanel, prices: Any) -> np.ndarray:
    """The shop's own posted price in the middle of each week, (sku, week); missing
    before the first row.

    Middle, because a price that moved within the week is the new one for most of the
    weeks that follow.
    """
    t = expression(prices)
    own = (
        t.filter(t.seller == "own")
        .select("sku", "from_on", "price")
        .mutate(price=lambda r: r.price.cast("float64"))
    )
    own = own.to_pandas().assign(
        from_on=lambda f: pd.to_datetime(f["from_on"]).astype("datetime64[s]")
    )
    own = own.sort_values(["from_on", "sku", "price"]).drop_duplicates(
        ["from_on", "sku"], keep="last"
    )
    own = own[own["sku"].isin(panel.sku)]
    middle = (panel.starts + pd.Timedelta(days=3)).astype("datetime64[s]")
    since = middle.searchsorted(own["from_on"])
    asked = np.full((len(panel.sku), len(middle) + 1), np.nan)
    asked[pd.Index(panel.sku).get_indexer(own["sku"]), since] = own[
        "price"
    ]  # in the order of time: the latest stays
    latest = np.maximum.accumulate(
        np.where(np.isfinite(asked), np.arange(asked.shape[1]), 0), axis=1
    )
    return np.take_along_axis(asked, latest, axis=1)[:, :-1]


def promotion_pull(panel: DemandPanel, promotions: Any, *, ahead: int = 26) -> np.ndarray:
    """Promotion of each week of the panel and `ahead` weeks after it, (sku, week), 1
    for a whole week of usual depth.

    A price cut by a share d pulls as (1 − d)^−ε − 1, the shop's average promotion as 1;
    a promotion without a depth is average. Weeks of order lines on a promotion that is
    not in the table count by their days.
    """
    t = expression(promotions).select("starts_on", "ends_on", "depth_share", "skus").to_pandas()
    days = np.arange(7 * (len(panel.starts) + ahead)).reshape(-1, 7)
    first, last = (
        ((pd.to_datetime(t[c]) - panel.starts[0]).dt.days).to_numpy()
        for c in ("starts_on", "ends_on")
    )
    depth = np.clip(t["depth_share"].astype(float).to_numpy(), 0.0, 0.6)
    pull = (1 - depth) ** -USUAL_RESPONSE - 1
    usual = np.nanmean(pull[first < 7 * len(panel.starts)]) if np.isfinite(depth).any() else 1.0
    strength = np.where(pull > 0, pull / (usual if usual > 0 else 1.0), 1.0)
    found, place = np.zeros((len(panel.sku), len(days))), pd.Index(panel.sku)
    for i, named in enumerate(t["skus"]):
        share = ((days >= first[i]) & (days <= last[i])).mean(axis=1) * strength[i]
        rows = place.get_indexer(place if pd.isna(named) else np.unique(str(named).split()))
        found[np.ix_(rows[rows >= 0], share > 0)] += share[share > 0]
    listed = found[:, : len(panel.starts)]
    found[:, : len(panel.starts)] = np.where(listed > 0, listed, panel.promo)
    return found


def line_prices(panel: DemandPanel, sales_lines: Any) -> np.ndarray:
    """Median price before discount on the order lines of each week, (sku, week);
    missing in weeks without a sale.
    """
    t = expression(sales_lines)
    day = t.ordered_on.cast("date")
    start = panel.starts[0]
    t = t.filter(t.is_product & ~t.is_gift & (t.price > 0) & (day >= start.date()))
    week = (
        (t.ordered_on.cast("date").epoch_days() - (start - pd.Timestamp("1970-01-01")).days) / 7
    ).floor()
    long = (
        t.group_by("sku", week=week.cast("int64"))
        .aggregate(price=t.price.cast("float64").median())
        .to_pandas()
    )
    place = pd.Series(np.arange(len(panel.sku)), index=panel.sku)
    long = long[(long["week"] < len(panel.starts)) & long["sku"].isin(place.index)]
    asked = np.full(panel.units.shape, np.nan)
    asked[place[long["sku"]].to_numpy(), long["week"].to_numpy(int)] = long["price"].to_numpy(float)
    return asked


def price_gap(prices: Any, *, as_of: dt.date) -> pd.DataFrame:
    """Own price against competitors' on the day, one row per sku that both sell:
    own_price, median_price, lowest_price, n_sellers, gap_share (own over the
    competitors' median, minus 1), seen_on (their latest price change).
    """
    t = expression(prices)
    t = t.mutate(from_on=t.from_on.cast("date"), price=t.price.cast("float64"))
    t = t.filter(t.from_on <= as_of)
    if "until_on" in t.columns:
        t = t.filter(t.until_on.isnull() | (t.until_on.cast("date") >= as_of))
    rows = (
        t.select("sku", "seller", "from_on", "price")
        .to_pandas()
        .sort_values(["sku", "seller", "from_on", "price"])
    )
    rows = rows.drop_duplicates(["sku", "seller"], keep="last")
    own = rows[rows["seller"] == "own"].set_index("sku")["price"].rename("own_price")
    rest = (
        rows[rows["seller"] != "own"]
        .groupby("sku")
        .agg(
            median_price=("price", "median"),
            lowest_price=("price", "min"),
            n_sellers=("seller", "nunique"),
            seen_on=("from_on", "max"),
        )
    )
    found = rest.join(own, how="inner").reset_index()
    found["gap_share"] = found["own_price"] / found["median_price"] - 1
    return found[
        ["sku", "own_price", "median_price", "lowest_price", "n_sellers", "gap_share", "seen_on"]
    ].sort_values("sku", ignore_index=True)


def price_weeks(
    panel: DemandPanel,
    law: DemandLaw,
    sku: str,
    *,
    estimate: float,
    prices: Any = None,
    sales_lines: Any = None,
) -> pd.DataFrame:
    """One sku's weeks outside promotions and stock-outs: price (regular), units (season
    taken out), fit (the estimated curve through their middle).
    """
    i = int(np.flatnonzero(panel.sku == sku)[0])
    asked = posted_prices(panel, prices) if prices is not None else line_prices(panel, sales_lines)
    price = regular_prices(asked[[i]], panel.promo[[i]])[0]
    use = (panel.promo[i] < 0.05) & (panel.exposure[i] > 0.5) & np.isfinite(price)
    units = panel.units[i] / (panel.exposure[i] + 1e-9) / law.season[i, panel.week]
    found = pd.DataFrame({"price": price[use], "units": units[use]})
    middle = np.exp(np.log(found["price"]).mean())
    curve = (found["price"] / middle) ** estimate
    return found.assign(fit=curve * found["units"].sum() / max(curve.sum(), 1e-9))
