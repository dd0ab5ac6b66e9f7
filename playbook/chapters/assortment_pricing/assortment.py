"""The range: what each sku earned, its role, its stage of life, what may go and what is
on hold.

A sku's *role* is the first rule it meets, and the rule is printed with it.
*Transferable* is the share of a sku's demand that its neighbours keep when it is gone.
Margin here is contribution: goods margin less the variable cost of orders, given as a
share of revenue. What was not observed is missing, never 0.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import _
from numpy import ndarray
from pandas import DataFrame, Series

from playbook.chapters.inventory_planning.supply import told_days
from playbook.errors import PlaybookError
from playbook.given import dated, reads
from playbook.measures.demand_panel import DemandPanel
from playbook.messages import say
from playbook.methods.demand import DemandLaw
from playbook.methods.proportions import wilson
from playbook.methods.uncensored import level_around
from playbook.store import expression
from playbook.tables import returns, schema

Table = ibis.Table | DataFrame

__all__ = [
    "OFF_SALE",
    "category_of",
    "delist",
    "lifecycle",
    "new_items",
    "quality_hold",
    "range_kpis",
    "roles",
    "sku_views",
    "sku_year",
    "transfer_share",
    "under_cost",
    "variable_cost_share",
]

#: stages in which there is nothing to drop and no price to move
OFF_SALE = ("withdrawn", "never on sale")
#: where the rules of the roles begin
IMAGE_QUANTILE, TRAFFIC_QUANTILE, PROFIT_QUANTILE = 0.90, 0.75, 0.60
CAMPAIGN_SHARE = 0.5
#: orders that a share of new buyers needs
MIN_ORDERS = 20
#: orders of a sku from which its price is no single buyer's
LEAST_SOLD = 3
#: units returned from which a sku may be on hold; where the others return none, one is above
LEAST_RETURNED = 3
#: share of the returns that must name their order and their sku
LEAST_NAMED = 0.8
#: weeks a sku is new, and weeks its trend compares with as many before
NEW_WEEKS = WINDOW = 13
#: of the intervals of the trend and of transferable demand
LEVEL = 0.9
#: categories with stock-outs that transferable demand needs
MIN_CATEGORIES = 4
#: days over which views are held against orders, and the views a verdict needs
VIEW_DAYS, MIN_VIEWS = 60, 30
#: days after which returns are in, and days of sales they are held against
MATURE_DAYS, YEAR_DAYS = 60, 365
MONTHS_SHOWN = 25


@dated
def variable_cost_share(sales_orders: Table, *, as_of: dt.date) -> float:
    """Fees and fulfilment of the last year as a share of revenue; missing where no
    order has a margin.
    """
    t = _ordered_within(sales_orders, as_of, YEAR_DAYS)
    t = t.filter(_.margin.notnull() & _.cost.notnull())
    sums = t.aggregate(
        revenue=t.revenue.sum(),
        cost=t.cost.sum(),
        margin=t.margin.sum(),
    )
    revenue, cost, margin = sums.to_pandas().iloc[0].astype(float)
    return float((revenue - cost - margin) / revenue) if revenue > 0 else float("nan")


def _ordered_within(table: Table, until: dt.date, days: int) -> ibis.Table:
    """The rows ordered in the `days` that end on a day."""
    day = _.ordered_on.cast("date")
    return expression(table).filter((day > until - dt.timedelta(days=days)) & (day <= until))


def category_of(sku: Series, products: Table | None) -> Series:
    """The category of each sku; missing where it has none, or without products."""
    if products is None:
        return Series(None, sku.index, dtype=object)
    known = expression(products).select("sku", "category").to_pandas().drop_duplicates("sku")
    return sku.map(known.set_index("sku")["category"])


@dated
def sku_year(
    sales_lines: Table,
    sales_orders: Table,
    *,
    as_of: dt.date,
    days: int = YEAR_DAYS,
    products: Table | None = None,
    variable_share: float = 0.0,
) -> DataFrame:
    """One row per product sku sold in the last `days`: sku, units, n_orders, n_buyers,
    title, revenue, goods_cost, n_unknown (lines without a cost), cut_units (under a
    discount or promotion), n_known and n_first (orders of a known customer, and those
    that are the customer's first), margin (missing where a cost is), margin_share,
    price_paid, discounted_share (of units), new_buyer_share (of known), category.
    """
    lines = _ordered_within(sales_lines, as_of, days)
    lines = lines.filter(_.is_product & _.sku.notnull() & ~_.is_gift)
    known = expression(sales_orders).filter(_.customer_id.notnull())
    t = lines.left_join(known.select("order_id", "is_first"), "order_id")
    sums = t.group_by("sku").aggregate(
        units=t.quantity.sum(),
        n_orders=t.order_id.nunique(),
        n_buyers=t.customer_id.nunique(),
        title=t.title.max(),
        revenue=t.revenue.sum().cast("float64"),
        goods_cost=t.cost.sum().cast("float64"),
        n_unknown=t.cost.isnull().sum(),
        cut_units=t.quantity.sum(where=(t.discount > 0) | t.promo_id.notnull()),
        n_known=t.order_id.nunique(where=t.is_first.notnull()),
        n_first=t.order_id.nunique(where=t.is_first),
    )
    year = sums.order_by("sku").to_pandas()
    year["cut_units"] = year.cut_units.astype(float)
    margin = year.revenue * (1 - variable_share) - year.goods_cost
    year["margin"] = margin.where(year.n_unknown == 0)
    year["margin_share"] = year.margin / _positive(year.revenue)
    year["price_paid"] = year.revenue / _positive(year.units)
    year["discounted_share"] = year.cut_units.fillna(0) / year.units
    year["new_buyer_share"] = year.n_first / _positive(year.n_known)
    year["category"] = category_of(year.sku, products)
    return year


def _positive(amount: Series) -> Series:
    """An amount to divide by; missing where it is 0 or less."""
    return amount.where(amount > 0)


@dated
def sku_views(events: Table, *, as_of: dt.date) -> Series:
    """Visitors who looked at each sku in the last `VIEW_DAYS`, by sku in rising order; a
    sku nobody looked at has no row.
    """
    since = as_of - dt.timedelta(days=VIEW_DAYS)
    t = expression(events).filter(
        (_.occurred_at.cast("date") > since) & _.sku.notnull() & (_.name == "view_item")
    )
    by_sku = t.group_by("sku").aggregate(views=t.visitor_id.nunique())
    return by_sku.to_pandas().set_index("sku")["views"].sort_index()


@returns("assortment_pricing.roles")
def roles(
    year: DataFrame,
    *,
    elasticity: DataFrame | None = None,
    stock_days: Series | None = None,
    views: Series | None = None,
    clear_days: float = 240.0,
) -> DataFrame:
    """The role of each sku and the rule it met, first match in this order. clearance
    清仓: stock for more than `clear_days`. image 形象款: price in the top decile, fewer
    units than the median. campaign 活动款: at least half of its units discounted, and
    elastic (interval below −1) where elasticity is known. traffic 引流款: views (or,
    without them, share of new buyers) in the top quartile, margin share below the
    median. profit 利润款: a margin, its share at or above the 60th percentile. core 常规:
    the rest.
    Rules that need a cost are skipped without one.
    """
    sku, share, price = (
        year.sku,
        year.margin_share,
        year.price_paid,
    )
    has_views = views is not None and len(views) > 0
    new_buyers = year.new_buyer_share.where(year.n_orders >= MIN_ORDERS)
    draw = sku.map(views) if has_views else new_buyers
    high = sku.map({} if elasticity is None else elasticity.set_index("sku")["high"])
    tests = {
        "clearance": sku.map({} if stock_days is None else stock_days) > clear_days,
        "image": (price >= price.quantile(IMAGE_QUANTILE)) & (year.units < year.units.median()),
        "campaign": (year.discounted_share >= CAMPAIGN_SHARE) & ~(high >= -1),
        "traffic": (draw > draw.quantile(TRAFFIC_QUANTILE)) & (share < share.median()),
        "profit": (share >= share.quantile(PROFIT_QUANTILE)) & (share > 0),
    }
    role = np.select(list(tests.values()), list(tests), "core")
    rules = {name: say(f"assortment_pricing.rule_{name}", days=clear_days) for name in set(role)}
    if not has_views and "traffic" in rules:
        rules["traffic"] = say("assortment_pricing.new_buyers_rule")
    found = year.assign(role=role, rule=[rules[name] for name in role])
    return found[schema("assortment_pricing.roles").names]


@returns("assortment_pricing.lifecycle")
def lifecycle(
    panel: DemandPanel,
    law: DemandLaw,
    *,
    products: Table | None = None,
) -> DataFrame:
    """The stage of life of each sku: withdrawn (products.is_active is false), never on
    sale, new, growing, mature, declining, ended. A change counts when its interval
    leaves 0.
    """
    from scipy.stats import norm

    scale = panel.exposure * law.season[:, panel.week]
    late, early = (
        slice(-WINDOW, None),
        slice(-2 * WINDOW, -WINDOW),
    )
    (sold, before), (shown, shown_before) = (
        [flow[:, part].sum(axis=1) for part in (late, early)] for flow in (panel.units, scale)
    )
    trend = np.log((sold + 0.5) / (shown + 1e-9)) - np.log((before + 0.5) / (shown_before + 1e-9))
    noise = 1 / (sold + 0.5) + 1 / (before + 0.5) + 2 * law.dispersion / WINDOW
    wide = norm.ppf((1 + LEVEL) / 2) * np.sqrt(noise)
    on_sale = panel.exposure > 0
    first = np.where(
        on_sale.any(axis=1),
        on_sale.argmax(axis=1),
        on_sale.shape[1],
    )
    age = on_sale.shape[1] - first
    judged = (shown > 1) & (shown_before > 1) & (age > NEW_WEEKS)
    usual = before / np.maximum(shown_before, 1e-9) * shown
    ended = (sold == 0) & (shown > WINDOW / 2) & ((usual >= 3) | (before <= 1))
    withdrawn = (
        [] if products is None else expression(products).filter(~_.is_active).sku.to_pandas()
    )
    stages = {
        "withdrawn": np.isin(panel.sku, withdrawn),
        "never on sale": ~on_sale.any(axis=1),
        "new": (first > 3) & (age <= NEW_WEEKS),
        "ended": ended,
        "growing": judged & (trend - wide > 0),
        "declining": judged & (trend + wide < 0),
    }
    stage = np.select(list(stages.values()), list(stages), "mature")
    change = {
        "trend": trend,
        "low": trend - wide,
        "high": trend + wide,
    }
    change = {name: np.where(judged, np.expm1(part), np.nan) for name, part in change.items()}
    return DataFrame(
        {
            "sku": panel.sku,
            "stage": stage,
            "age_weeks": age,
            **change,
        }
    )


def transfer_share(panel: DemandPanel) -> dict[str, float]:
    """How much of what a stock-out hides goes to other skus of the category: share,
    low, high, n (category weeks).

    Category weeks: units of stocked skus above their usual level, on units hidden by
    stock-outs, shop weeks taken out; errors clustered by category. Missing without
    stock records or with under four categories with stock-outs.
    """
    from scipy.stats import t as student

    nothing = {
        "share": np.nan,
        "low": np.nan,
        "high": np.nan,
        "n": 0,
    }
    if not panel.is_stock_known:
        return nothing
    y, x, weight = _category_weeks(panel)
    total = (weight * x * x).sum()
    active = (np.abs(x).sum(axis=1) > 0).sum()
    if active < MIN_CATEGORIES or total <= 0:
        return nothing
    share = (weight * x * y).sum() / total
    scores = (weight * x * (y - share * x)).sum(axis=1)
    se = np.sqrt((scores**2).sum() * active / (active - 1)) / total
    wide = float(student.ppf((1 + LEVEL) / 2, active - 1)) * se
    ends = {
        "share": float(share),
        "low": float(share - wide),
        "high": float(share + wide),
    }
    return ends | {"n": int((weight > 0).sum())}


def _category_weeks(
    panel: DemandPanel,
) -> tuple[ndarray, ndarray, ndarray]:
    """(category, week): units above usual and units hidden by stock-outs, each over the
    usual units and less its category's mean, and the weight of the week.
    """
    around = level_around(panel.units, panel.exposure, half_width=8)
    started = np.cumsum(panel.exposure > 0, axis=1) > 0
    _names, group = np.unique(panel.category.astype(str), return_inverse=True)
    into = np.zeros((group.max() + 1, len(group)))
    into[group, np.arange(len(group))] = 1
    usual, sold = (
        into @ (around * panel.exposure),
        into @ panel.units,
    )
    hidden = into @ np.where(started, around * (1 - panel.exposure), 0)
    use, floor = usual > 5, np.maximum(usual, 1e-9)
    weight, all_usual = (
        usual * use,
        np.maximum(usual.sum(axis=0), 1e-9),
    )
    y = (sold / floor - sold.sum(axis=0) / all_usual) * use
    x = hidden / floor * use
    x = (x - (x * usual).sum(axis=0) / all_usual) * use
    of = np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    y, x = ((part - (part * weight).sum(axis=1, keepdims=True) / of) * use for part in (y, x))
    return y, x, weight


@returns("assortment_pricing.delist")
def delist(
    year: DataFrame,
    *,
    lifecycle: DataFrame,
    transfer: dict[str, float],
    stock_days: Series | None = None,
    holding: Series | None = None,
    tail_share: float = 0.01,
) -> DataFrame:
    """The tail: skus that together earn the last `tail_share` of margin, loss-makers
    first. New items and those off sale are never in it. Without margins there is none.

    `effect` is the margin a year of dropping the sku: what neighbours keep, less its
    own, plus its holding cost.
    """
    stage = year.sku.map(lifecycle.set_index("sku")["stage"])
    may_go = year.margin.notna() & ~stage.isin(["new", *OFF_SALE])
    tail = year.assign(stage=stage)[may_go].sort_values(["margin", "sku"], ignore_index=True)
    gains = tail.margin.clip(lower=0)
    tail["cum_share"] = gains.cumsum() / max(gains.sum(), 1e-9)
    tail = tail[tail.cum_share <= tail_share].reset_index(drop=True)
    left = np.nan if stock_days is None else tail.sku.map(stock_days).astype(float)
    tail["stock_days"] = told_days(left)
    saved = 0.0 if holding is None else tail.sku.map(holding).astype(float).fillna(0.0)
    # where nothing is known of the neighbours, they keep nothing or everything
    unknown = {"share": 0.0, "low": 0.0, "high": 1.0}
    for name, key in (
        ("effect", "share"),
        ("effect_low", "low"),
        ("effect_high", "high"),
    ):
        is_known = np.isfinite(transfer[key])
        moved = np.clip(transfer[key], 0, 1) if is_known else unknown[key]
        tail[name] = saved - tail.margin * (1 - moved)
    # what loses money is missed the less, the more of it stays with its neighbours
    ends = tail[["effect_low", "effect_high"]]
    tail = tail.assign(effect_low=ends.min(axis=1), effect_high=ends.max(axis=1))
    tail["transfer_share"] = transfer["share"]
    sure = [tail.effect_low > 0, tail.effect_high > 0]
    tail["confidence"] = np.select(sure, ["high", "medium"], "low")
    return tail[schema("assortment_pricing.delist").names]


@returns("assortment_pricing.new_items")
def new_items(
    views: Series,
    sales_lines: Table,
    *,
    lifecycle: DataFrame,
    as_of: dt.date,
) -> DataFrame:
    """New skus by traffic (`sku_views`) and conversion, against the medians of all.
    Under `MIN_VIEWS` the answer is to buy traffic.
    """
    lines = _ordered_within(sales_lines, as_of, VIEW_DAYS)
    sold = lines.group_by("sku").aggregate(n_orders=_.order_id.nunique()).to_pandas()
    found = views.rename("views").to_frame().join(sold.set_index("sku"))
    found = found.fillna({"n_orders": 0}).rename_axis("sku").reset_index()
    found["conversion"] = found.n_orders / _positive(found.views)
    hits = np.minimum(found.n_orders, found.views)
    found["low"], found["high"] = wilson(hits, found.views)
    much = found.views >= found.views.median()
    good = found.conversion >= found.conversion.median()
    found["action"] = np.select(
        [found.views < MIN_VIEWS, much & good, much, good],
        [
            "buy traffic",
            "scale",
            "fix page and price",
            "buy traffic",
        ],
        "leave",
    )
    new = lifecycle.loc[lifecycle.stage == "new", "sku"]
    return found[found.sku.isin(new)].reset_index(drop=True)


@reads(
    sales_lines="order_id sku quantity ordered_on is_product",
    booked_refunds="order_id sku kind quantity",
)
@returns("assortment_pricing.quality")
def quality_hold(
    sales_lines: Table,
    booked_refunds: Table,
    *,
    as_of: dt.date,
    products: Table | None = None,
    times: float = 2.0,
) -> DataFrame:
    """Units returned of each sku's mature sales; on hold when even the low end of the
    share is above `times` that of the others of its category, and a few came back. Younger
    orders are not counted. `money_above` is what came back beyond the category's share, at
    the price paid.

    Raises:
        PlaybookError: a fifth of the returns or more do not name their order and sku, so
            that none returned of a sku would mean none was seen.
    """
    back = expression(booked_refunds).filter(_.kind == "return")
    named = back.filter(_.order_id.notnull() & _.sku.notnull())
    n_named, n_back = named.count().to_pandas(), back.count().to_pandas()
    if n_named <= LEAST_NAMED * n_back and n_back:
        raise PlaybookError("assortment_pricing.returns_unnamed", n=n_named, total=n_back)
    lines = _ordered_within(
        sales_lines,
        as_of - dt.timedelta(days=MATURE_DAYS),
        YEAR_DAYS,
    )
    lines = lines.filter(_.is_product & _.sku.notnull())
    money = (
        lines.revenue.sum().cast("float64") if "revenue" in lines.columns else ibis.null("float64")
    )
    sold = lines.group_by("sku").aggregate(n_units=_.quantity.sum(), money=money).to_pandas()
    back = named.semi_join(lines, "order_id").group_by("sku")
    back = back.aggregate(n_returned=_.quantity.fill_null(1).sum()).to_pandas()
    found = sold.merge(back, on="sku", how="left").fillna({"n_returned": 0})
    found = found.sort_values("sku", ignore_index=True)
    found["n_returned"] = found[["n_returned", "n_units"]].min(axis=1)
    missing = "all" if products is None else "none"
    found["category"] = category_of(found.sku, products).fillna(missing)
    sums = found.groupby("category")[["n_returned", "n_units"]].transform("sum")
    others = sums.n_units - found.n_units
    found["return_share"] = found.n_returned / _positive(found.n_units)
    found["category_share"] = (sums.n_returned - found.n_returned) / _positive(others)
    found["low"], found["high"] = wilson(found.n_returned, found.n_units)
    is_often = found.n_returned >= LEAST_RETURNED
    found["is_hold"] = is_often & (found.low > times * found.category_share)
    above = (found.return_share - found.category_share).clip(lower=0)
    found["money_above"] = above * found.money.astype(float)
    return found[schema("assortment_pricing.quality").names]


@returns("assortment_pricing.under_cost")
def under_cost(quarter: DataFrame, *, variable_share: float = 0.0) -> DataFrame:
    """Skus whose sales of a quarter (`sku_year` over so many days) did not pay for the
    goods and what varies with an order, the dearest first: `price_needed` would. An order
    or two may have had a price of their own.
    """
    rows = quarter[(quarter.margin < 0) & (quarter.n_orders >= LEAST_SOLD) & (quarter.units > 0)]
    needed = rows.goods_cost / rows.units / max(1 - variable_share, 1e-9)
    rows = rows.assign(price_needed=needed, loss=-rows.margin)
    rows = rows.sort_values(["loss", "sku"], ascending=[False, True], ignore_index=True)
    return rows[schema("assortment_pricing.under_cost").names]


@dated
def range_kpis(panel: DemandPanel, *, as_of: dt.date) -> DataFrame:
    """Monthly active_sku_share (动销率): skus with a sale among those on sale that month,
    with Wilson's interval; all skus on sale are the base, those sold out for part of
    the month included. In the scorecard's columns.
    """
    month = (panel.starts + pd.Timedelta(days=6)).strftime("%Y-%m")
    on_sale = DataFrame(panel.exposure.T > 0).groupby(month).any()
    sold = DataFrame(panel.units.T > 0).groupby(month).any() & on_sale
    n, n_sold = on_sale.sum(axis=1), sold.sum(axis=1)
    low, high = wilson(n_sold, n)
    is_over = pd.to_datetime(n.index) + pd.offsets.MonthEnd(0) <= pd.Timestamp(as_of)
    found = DataFrame({"month": n.index, "amount": n_sold / _positive(n)})
    found = found.assign(
        low=low,
        high=high,
        n=n.astype(float),
        metric="active_sku_share",
    )
    found["status"] = np.where(is_over, "complete", "partial")
    return found[found.n > 1].tail(MONTHS_SHOWN).reset_index(drop=True)
