"""Range and price: what stays, which price moves, and whether the promotion paid.

A sku's *role* is the first rule it meets, and the rule is printed with it. *Elasticity*
is the change of units per change of price with everything else as it was; where prices
moved too little it is "not identifiable", and no price is moved on it. *Incremental* is
against the days as they would have been, not against the days before. *Transferable* is
the share of a sku's demand that its neighbours keep when it is gone. Margin here is
contribution: goods margin less the variable cost of orders, given as a share of
revenue. What was not observed is missing, never 0.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from playbook.chapters.assortment_pricing.decisions import range_decisions
from playbook.chapters.assortment_pricing.promotion_review import promotion_review
from playbook.errors import PlaybookError
from playbook.measures.demand_panel import DemandPanel
from playbook.measures.price_moves import line_prices, posted_prices, price_gap, price_weeks
from playbook.methods.demand import DemandLaw
from playbook.methods.elasticity import price_elasticity, regular_prices
from playbook.methods.proportions import wilson
from playbook.methods.uncensored import level_around
from playbook.store import expression

__all__ = [
    "sku_year",
    "variable_cost_share",
    "sku_views",
    "roles",
    "lifecycle",
    "transfer_share",
    "delist",
    "new_items",
    "elasticities",
    "price_weeks",
    "price_list",
    "price_gap",
    "promotion_review",
    "quality_hold",
    "range_kpis",
    "range_decisions",
]

RULES = {
    "traffic_quantile": 0.75,
    "profit_quantile": 0.60,
    "campaign_share": 0.5,
    "image_quantile": 0.90,
    "clear_days": 240.0,
}
OFF_SALE = (
    "withdrawn",
    "never on sale",
)  # stages in which there is nothing to drop and no price to move


def variable_cost_share(sales_orders: Any, *, as_of: dt.date, days: int = 365) -> float:
    """Fees and fulfilment of the last `days` as a share of revenue; missing where no
    order has a margin.
    """
    t = expression(sales_orders)
    t = t.filter(
        (t.ordered_on.cast("date") > as_of - dt.timedelta(days=days))
        & t.margin.notnull()
        & t.cost.notnull()
    )
    sums = (
        t.aggregate(r=t.revenue.sum(), c=t.cost.sum(), m=t.margin.sum())
        .to_pandas()
        .iloc[0]
        .astype(float)
    )
    return float((sums["r"] - sums["c"] - sums["m"]) / sums["r"]) if sums["r"] > 0 else float("nan")


def sku_year(
    sales_lines: Any,
    sales_orders: Any,
    *,
    as_of: dt.date,
    days: int = 365,
    products: Any = None,
    variable_share: float = 0.0,
) -> pd.DataFrame:
    """One row per product sku sold in the last `days`: units, n_orders, n_buyers,
    revenue, margin (missing where a cost is), margin_share, price_paid,
    discounted_share (of units), new_buyer_share (of orders with a known customer, those
    that are the customer's first), category, title.
    """
    lines, orders = expression(sales_lines), expression(sales_orders)
    lines = lines.filter(
        (lines.ordered_on.cast("date") > as_of - dt.timedelta(days=days))
        & lines.is_product
        & (lines.ordered_on.cast("date") <= as_of)
        & lines.sku.notnull()
        & ~lines.is_gift
    )
    first = orders.filter(orders.customer_id.notnull()).select("order_id", "is_first")
    t = lines.left_join(first, "order_id")
    cut = (t.discount > 0) | t.promo_id.notnull()
    found = (
        t.group_by("sku")
        .aggregate(
            units=t.quantity.sum(),
            n_orders=t.order_id.nunique(),
            n_buyers=t.customer_id.nunique(),
            title=t.title.max(),
            revenue=t.revenue.sum().cast("float64"),
            goods_cost=t.cost.sum().cast("float64"),
            n_unknown=t.cost.isnull().sum(),
            cut_units=t.quantity.sum(where=cut),
            n_known=t.order_id.nunique(where=t.is_first.notnull()),
            n_first=t.order_id.nunique(where=t.is_first),
        )
        .order_by("sku")
        .to_pandas()
    )
    known = found["n_unknown"] == 0
    found["margin"] = (found["revenue"] * (1 - variable_share) - found["goods_cost"]).where(known)
    found["margin_share"] = found["margin"] / found["revenue"].where(found["revenue"] > 0)
    found["price_paid"] = found["revenue"] / found["units"].where(found["units"] > 0)
    found["discounted_share"] = found["cut_units"].fillna(0).astype(float) / found["units"]
    found["new_buyer_share"] = found["n_first"] / found["n_known"].where(found["n_known"] > 0)
    if products is not None:
        p = (
            expression(products)
            .select("sku", "category")
            .to_pandas()
            .drop_duplicates("sku")
            .set_index("sku")
        )
        found["category"] = found["sku"].map(p["category"])
    else:
        found["category"] = None
    columns = [
        "sku",
        "title",
        "category",
        "units",
        "n_orders",
        "n_buyers",
        "revenue",
        "margin",
        "margin_share",
        "price_paid",
        "discounted_share",
        "new_buyer_share",
    ]
    return found[columns]


def sku_views(events: Any, *, as_of: dt.date, days: int = 60) -> pd.Series:
    """Visitors who looked at each sku in the last `days`, by sku in rising order; a sku
    nobody looked at has no row.
    """
    t = expression(events)
    since = as_of - dt.timedelta(days=days)
    t = t.filter((t.occurred_at.cast("date") > since) & t.sku.notnull() & (t.name == "view_item"))
    return (
        t.group_by("sku")
        .aggregate(views=t.visitor_id.nunique())
        .to_pandas()
        .set_index("sku")["views"]
        .sort_index()
    )


def roles(
    year: pd.DataFrame,
    *,
    elasticity: pd.DataFrame | None = None,
    stock_days: pd.Series | None = None,
    views: pd.Series | None = None,
    rules: dict[str, float] | None = None,
) -> pd.DataFrame:
    """One row per sku: role and the rule it met, first match in this order. clearance
    清仓: stock for more than `clear_days`. image 形象款: price in the top decile, fewer
    units than the median. campaign 活动款: at least half of its units discounted, and
    elastic (interval below −1) where elasticity is known. traffic 引流款: views (or,
    without them, share of new buyers) in the top quartile, margin share below the
    median. profit 利润款: margin share at or above the 60th percentile. core 常规: the rest.
    Rules that need a cost are skipped without one.
    """
    r = RULES | (rules or {})
    found = year.copy()
    seen = views is not None and len(views) > 0
    draw = (
        found["sku"].map(views) if seen else found["new_buyer_share"].where(found["n_orders"] >= 20)
    )
    word = "views" if seen else "share of new buyers"
    days = (
        found["sku"].map(stock_days) if stock_days is not None else pd.Series(np.nan, found.index)
    )
    elastic = pd.Series(np.nan, found.index)
    if elasticity is not None:
        elastic = found["sku"].map(elasticity.set_index("sku")["high"])
    share, mid = found["margin_share"], found["margin_share"].median()
    tests = [
        ("clearance", days > r["clear_days"], f"stock for more than {r['clear_days']:.0f} days"),
        (
            "image",
            (found["price_paid"] >= found["price_paid"].quantile(r["image_quantile"]))
            & (found["units"] < found["units"].median()),
            "top-decile price, units below the median",
        ),
        (
            "campaign",
            (found["discounted_share"] >= r["campaign_share"]) & ~(elastic >= -1),
            "mostly sold discounted",
        ),
        (
            "traffic",
            (draw > draw.quantile(r["traffic_quantile"])) & (share < mid),
            f"top-quartile {word}, low margin",
        ),
        (
            "profit",
            share >= share.quantile(r["profit_quantile"]),
            "margin share in the upper two fifths",
        ),
    ]
    found["role"] = np.select([t[1] for t in tests], [t[0] for t in tests], "core")
    found["rule"] = np.select([t[1] for t in tests], [t[2] for t in tests], "no other rule met")
    return found[
        [
            "sku",
            "role",
            "rule",
            "category",
            "margin",
            "margin_share",
            "new_buyer_share",
            "discounted_share",
            "price_paid",
            "units",
        ]
    ]


def lifecycle(
    panel: DemandPanel,
    law: DemandLaw,
    *,
    products: Any = None,
    new_weeks: int = 13,
    window: int = 13,
    level: float = 0.9,
) -> pd.DataFrame:
    """One row per sku: stage (withdrawn: products.is_active is false; never on sale;
    new, growing, mature, declining, ended), trend (last `window` weeks over the
    `window` before, season and stock-outs out, minus 1), low, high. A change counts
    when its interval leaves 0.
    """
    from scipy.stats import norm

    scale = panel.exposure * law.season[:, panel.week]
    late, early = slice(-window, None), slice(-2 * window, -window)
    sums = [
        (panel.units[:, part].sum(axis=1), scale[:, part].sum(axis=1)) for part in (late, early)
    ]
    (y1, e1), (y0, e0) = sums
    trend = np.log((y1 + 0.5) / (e1 + 1e-9)) - np.log((y0 + 0.5) / (e0 + 1e-9))
    wide = norm.ppf((1 + level) / 2) * np.sqrt(
        1 / (y1 + 0.5) + 1 / (y0 + 0.5) + 2 * law.dispersion / window
    )
    seen = (panel.exposure > 0).any(axis=1)
    first = np.where(seen, (panel.exposure > 0).argmax(axis=1), panel.units.shape[1])
    age = panel.units.shape[1] - first
    judged = (e1 > 1) & (e0 > 1) & (age > new_weeks)
    gone = (y1 == 0) & (e1 > window / 2) & ((y0 / np.maximum(e0, 1e-9) * e1 >= 3) | (y0 <= 1))
    off = (
        []
        if products is None
        else expression(products).filter(lambda p: ~p.is_active).sku.to_pandas()
    )
    stage = np.select(
        [
            np.isin(panel.sku, off),
            ~seen,
            (first > 3) & (age <= new_weeks),
            gone,
            judged & (trend - wide > 0),
            judged & (trend + wide < 0),
        ],
        [*OFF_SALE, "new", "ended", "growing", "declining"],
        "mature",
    )
    show = lambda part: np.where(judged, np.expm1(part), np.nan)
    return pd.DataFrame(
        {
            "sku": panel.sku,
            "stage": stage,
            "age_weeks": age,
            "trend": show(trend),
            "low": show(trend - wide),
            "high": show(trend + wide),
        }
    )


def transfer_share(panel: DemandPanel, *, level: float = 0.9) -> dict[str, float]:
    """How much of what a stock-out hides goes to other skus of the category: share,
    low, high, n (category weeks).

    Category weeks: units of stocked skus above their usual level, on units hidden by
    stock-outs, shop weeks taken out; errors clustered by category. Missing without
    stock records or with under four categories with stock-outs.
    """
    from scipy.stats import t as student

    nothing = {"share": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    if not panel.is_stock_known:
        return nothing
    around = level_around(panel.units, panel.exposure, half_width=8)
    started = np.cumsum(panel.exposure > 0, axis=1) > 0
    _, group = np.unique(panel.category.astype(str), return_inverse=True)
    into = np.zeros((group.max() + 1, len(group)))
    into[group, np.arange(len(group))] = 1
    usual, sold = into @ (around * panel.exposure), into @ panel.units
    hidden = into @ np.where(started, around * (1 - panel.exposure), 0)
    use = usual > 5
    shop = (sold.sum(axis=0) / np.maximum(usual.sum(axis=0), 1e-9))[None, :]
    y, x = (sold / np.maximum(usual, 1e-9) - shop) * use, (hidden / np.maximum(usual, 1e-9)) * use
    x = (x - (x * usual).sum(axis=0) / np.maximum(usual.sum(axis=0), 1e-9)) * use
    weight = usual * use
    mean = lambda part: ((part * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9))[
        :, None
    ]
    x, y = (x - mean(x)) * use, (y - mean(y)) * use
    total = (weight * x * x).sum()
    active = (np.abs(x).sum(axis=1) > 0).sum()
    if active < 4 or total <= 0:
        return nothing
    share = (weight * x * y).sum() / total
    scores = (weight * x * (y - share * x)).sum(axis=1)
    se = np.sqrt((scores**2).sum() * active / (active - 1)) / total
    wide = float(student.ppf((1 + level) / 2, active - 1)) * se
    return {
        "share": float(share),
        "low": float(share - wide),
        "high": float(share + wide),
        "n": int(use.sum()),
    }


def delist(
    year: pd.DataFrame,
    *,
    lifecycle: pd.DataFrame,
    transfer: dict[str, float],
    stock_days: pd.Series | None = None,
    holding: pd.Series | None = None,
    tail_share: float = 0.01,
    fixed_cost: float = 0.0,
) -> pd.DataFrame:
    """The tail: skus that together earn the last `tail_share` of margin, loss-makers
    first: margin, cum_share, stock_days, transfer_share, effect (margin a year of
    dropping it: kept by neighbours − own + holding + fixed_cost), effect_low,
    effect_high, confidence. New items and those off sale are never in it. Without
    margins there is none (empty).
    """
    stage = lifecycle.set_index("sku")["stage"]
    found = year[year["margin"].notna()].assign(stage=lambda f: f["sku"].map(stage))
    found = found[~found["stage"].isin(["new", *OFF_SALE])].sort_values(
        ["margin", "sku"], ignore_index=True
    )
    gains = found["margin"].clip(lower=0)
    found["cum_share"] = gains.cumsum() / max(gains.sum(), 1e-9)
    found = found[found["cum_share"] <= tail_share].reset_index(drop=True)
    found["stock_days"] = found["sku"].map(stock_days) if stock_days is not None else np.nan
    saved = fixed_cost + (found["sku"].map(holding).fillna(0.0) if holding is not None else 0.0)
    for name, key in (("effect", "share"), ("effect_low", "low"), ("effect_high", "high")):
        kept = (
            np.clip(transfer[key], 0, 1)
            if np.isfinite(transfer[key])
            else (0.0 if key != "high" else 1.0)
        )
        found[name] = saved - found["margin"] * (1 - kept)
    found["transfer_share"] = transfer["share"]
    found["confidence"] = np.select(
        [found["effect_low"] > 0, found["effect_high"] > 0], ["high", "medium"], "low"
    )
    return found[
        [
            "sku",
            "title",
            "category",
            "stage",
            "margin",
            "cum_share",
            "stock_days",
            "transfer_share",
            "effect",
            "effect_low",
            "effect_high",
            "confidence",
        ]
    ]


def new_items(
    views: pd.Series,
    sales_lines: Any,
    *,
    lifecycle: pd.DataFrame,
    as_of: dt.date,
    days: int = 60,
    min_views: int = 30,
) -> pd.DataFrame:
    """New skus by traffic and conversion against the medians of all: views (of
    `sku_views` over the same `days`), n_orders, conversion (orders a viewer), low,
    high, action (scale; fix page and price; buy traffic; leave). Under `min_views`: buy
    traffic.
    """
    lines = expression(sales_lines)
    since = as_of - dt.timedelta(days=days)
    lines = lines.filter(
        (lines.ordered_on.cast("date") > since) & (lines.ordered_on.cast("date") <= as_of)
    )
    sold = (
        lines.group_by("sku")
        .aggregate(n_orders=lines.order_id.nunique())
        .to_pandas()
        .set_index("sku")
    )
    found = (
        views.rename("views")
        .to_frame()
        .join(sold)
        .fillna({"n_orders": 0})
        .rename_axis("sku")
        .reset_index()
    )
    found["conversion"] = found["n_orders"] / found["views"].where(found["views"] > 0)
    found["low"], found["high"] = wilson(
        np.minimum(found["n_orders"], found["views"]), found["views"]
    )
    much, good = (
        found["views"] >= found["views"].median(),
        found["conversion"] >= found["conversion"].median(),
    )
    found["action"] = np.select(
        [found["views"] < min_views, much & good, much, good],
        ["buy traffic", "scale", "fix page and price", "buy traffic"],
        "leave",
    )
    new = set(lifecycle.loc[lifecycle["stage"] == "new", "sku"])
    return found[found["sku"].isin(new)].reset_index(drop=True)


def elasticities(
    panel: DemandPanel,
    *,
    prices: Any = None,
    sales_lines: Any = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Own-price elasticity per sku: estimate, low, high, se, n_prices, n_units,
    is_identifiable, reason, price_now.

    Prices come from the shop's own rows of `prices` where given, else from the price
    before discount on `sales_lines`, carried over weeks without a sale.
    """
    if prices is not None:
        asked = posted_prices(panel, prices)
    elif sales_lines is not None:
        asked = line_prices(panel, sales_lines)
    else:
        raise PlaybookError(
            "Elasticities need prices", table="prices", do="give prices or sales_lines"
        )
    regular = regular_prices(asked, panel.promo)
    group = pd.factorize(panel.category, sort=True)[0]
    found = price_elasticity(
        panel.units,
        panel.exposure,
        regular,
        panel.week,
        group=group,
        promo=panel.promo,
        confidence=confidence,
    )
    found.insert(0, "sku", panel.sku)
    found["price_now"] = regular[:, -1]
    return found


def price_list(
    elasticity: pd.DataFrame,
    year: pd.DataFrame,
    *,
    corridor: float = 0.10,
    competitor: pd.DataFrame | None = None,
    most_above: float = 0.15,
    sure: float = 0.8,
    step: float = 0.1,
    n_draws: int = 400,
    seed: int = 7,
    lifecycle: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Price moves inside a corridor by expected margin: sku, now, low, high (corridor,
    held at `most_above` over the competitors' median), plan, move_share, gain a year
    with gain_low, gain_high, chance, elasticity, action.

    Units follow (price / now)^ε with ε drawn from its estimate (kept below −0.1);
    margin a unit is price less the cost and fees implied by the year's margin. A price
    moves only if its gain is positive in `sure` of the draws; skus off sale
    (`lifecycle`), without an identified elasticity or a margin keep their price and say
    why. Beyond the corridor nobody knows.
    """
    found = elasticity.rename(columns={"estimate": "elasticity"}).merge(
        year[["sku", "units", "revenue", "margin", "price_paid"]], on="sku", how="left"
    )
    known = (
        found["is_identifiable"]
        & found["margin"].notna()
        & (found["units"] > 0)
        & (found["price_now"] > 0)
    )
    stage = found["sku"].map(lifecycle.set_index("sku")["stage"] if lifecycle is not None else {})
    known = (known & ~stage.isin(OFF_SALE)).to_numpy()
    now = found["price_now"].to_numpy(float)
    low, high = now * (1 - corridor), now * (1 + corridor)
    if competitor is not None and len(competitor):
        cap = found["sku"].map(competitor.set_index("sku")["median_price"]).to_numpy(float) * (
            1 + most_above
        )
        high = np.where(np.isfinite(cap), np.maximum(np.minimum(high, cap), low), high)
    rng = np.random.default_rng(seed)
    drawn = np.minimum(
        found["elasticity"].to_numpy(float)[:, None]
        + found["se"].to_numpy(float)[:, None] * rng.standard_normal((1, n_draws)),
        -0.1,
    )
    units, paid = found["units"].to_numpy(float), found["price_paid"].to_numpy(float)
    net = paid / now  # what of a posted price is really paid, discounts as before
    cost = paid - found["margin"].to_numpy(float) / np.maximum(units, 1)
    best, plan = np.full((len(found), n_draws), 0.0), now.copy()
    for part in np.linspace(0, 1, 21):
        raw = np.round((low + part * (high - low)) / step) * step
        price = np.clip(raw, low, high)
        ratio = (price / now)[:, None]
        gain = units[:, None] * (
            ratio**drawn * (price * net - cost)[:, None] - (paid - cost)[:, None]
        )
        better = known & (gain.mean(axis=1) > best.mean(axis=1)) & ((gain > 0).mean(axis=1) >= sure)
        best, plan = np.where(better[:, None], gain, best), np.where(better, price, plan)
    moved = known & (np.abs(plan / now - 1) > 0.005)
    found["now"], found["low_price"], found["high_price"], found["plan"] = (
        now,
        low,
        high,
        np.where(moved, plan, now),
    )
    found["move_share"] = found["plan"] / found["now"] - 1
    show = lambda part: np.where(known, part, np.nan)
    found["gain"], found["chance"] = show(best.mean(axis=1)), show((best > 0).mean(axis=1))
    found["gain_low"], found["gain_high"] = (show(q) for q in np.quantile(best, [0.1, 0.9], axis=1))
    found["action"] = np.select([moved & (plan > now), moved], ["raise", "lower"], "keep")
    missing = np.where(found["margin"].isna(), "no margin known", "no gain sure enough")
    why = found["reason"].where(found["reason"] != "", missing)
    found["reason"] = np.where(moved, "expected margin", stage.where(stage.isin(OFF_SALE), why))
    return found[
        [
            "sku",
            "now",
            "low_price",
            "high_price",
            "plan",
            "move_share",
            "gain",
            "gain_low",
            "gain_high",
            "chance",
            "elasticity",
            "action",
            "reason",
        ]
    ]


def quality_hold(
    sales_lines: Any,
    booked_refunds: Any,
    *,
    as_of: dt.date,
    products: Any = None,
    mature_days: int = 60,
    days: int = 365,
    times: float = 2.0,
) -> pd.DataFrame:
    """One row per sku: n_units sold (orders at least `mature_days` old), n_returned,
    return_share, low, high, category_share, is_hold: even the low end is above `times`
    its category's share. Younger orders are not counted.
    """
    lines, refunds = expression(sales_lines), expression(booked_refunds)
    until = as_of - dt.timedelta(days=mature_days)
    day = lines.ordered_on.cast("date")
    lines = lines.filter(lines.is_product & lines.sku.notnull())
    lines = lines.filter((day <= until) & (day > until - dt.timedelta(days=days)))
    sold = lines.group_by("sku").aggregate(n_units=lines.quantity.sum()).to_pandas()
    keys = lines.select("order_id").distinct()
    back = refunds.filter((refunds.kind == "return") & refunds.sku.notnull()).semi_join(
        keys, "order_id"
    )
    back = back.group_by("sku").aggregate(n_returned=back.quantity.fill_null(1).sum()).to_pandas()
    found = (
        sold.merge(back, on="sku", how="left")
        .fillna({"n_returned": 0})
        .sort_values("sku", ignore_index=True)
    )
    found["n_returned"] = found[["n_returned", "n_units"]].min(axis=1)
    category = pd.Series("all", index=found.index)
    if products is not None:
        p = (
            expression(products)
            .select("sku", "category")
            .to_pandas()
            .drop_duplicates("sku")
            .set_index("sku")
        )
        category = found["sku"].map(p["category"]).fillna("none")
    sums = found.groupby(category)[["n_returned", "n_units"]].transform("sum")
    others = sums["n_units"] - found["n_units"]
    found["category"] = category
    found["return_share"] = found["n_returned"] / found["n_units"].where(found["n_units"] > 0)
    found["category_share"] = (sums["n_returned"] - found["n_returned"]) / others.where(others > 0)
    found["low"], found["high"] = wilson(found["n_returned"], found["n_units"])
    found["is_hold"] = found["low"] > times * found["category_share"]
    return found[
        [
            "sku",
            "category",
            "n_units",
            "n_returned",
            "return_share",
            "low",
            "high",
            "category_share",
            "is_hold",
        ]
    ]


def range_kpis(panel: DemandPanel, *, as_of: dt.date, months: int = 25) -> pd.DataFrame:
    """Monthly active_sku_share (动销率): skus with a sale among those on sale that month,
    with Wilson's interval; all skus on sale are the base, those sold out for part of
    the month included. In the scorecard's columns.
    """
    month = (panel.starts + pd.Timedelta(days=6)).strftime("%Y-%m")
    rows = []
    for name in sorted(set(month))[-months:]:
        at = np.flatnonzero(month == name)
        there = (panel.exposure[:, at] > 0).any(axis=1)
        sold = ((panel.units[:, at] > 0).any(axis=1) & there).sum()
        done = pd.Timestamp(as_of) >= pd.Timestamp(name) + pd.offsets.MonthEnd(0)
        low, high = wilson(sold, there.sum())
        rows.append(
            (
                "active_sku_share",
                name,
                sold / there.sum() if there.any() else np.nan,
                float(low),
                float(high),
                float(there.sum()),
                "complete" if done else "partial",
            )
        )
    return pd.DataFrame(rows, columns=["metric", "month", "amount", "low", "high", "n", "status"])
