"""The market: growing or not, how concentrated, at which prices; where to widen, hold
or leave.

The shop's own sales are not the market: every table says which of the two it shows.
Growth compares whole months with the same months a year before; where that past is
missing, with the months just before, and then the season is still in it (`basis`).
Money is before refunds. Sizes (TAM, SAM, SOM) are in market_size.py, published series
in published_series.py, the people who buy in personas.py.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Value, _
from pandas import DataFrame, Timestamp

from playbook.errors import PlaybookError
from playbook.given import dated, reads
from playbook.measures.sums import Table, sums_by, total
from playbook.messages import say
from playbook.methods.proportions import quantile_of_normal
from playbook.store import expression
from playbook.tables import frame_of, returns, schema

__all__ = [
    "category_margins",
    "category_verdicts",
    "concentration",
    "growth_by",
    "market_headline",
    "newest_year",
    "price_bands",
    "price_mix",
    "price_position",
    "with_category",
    "like_for_like",
]

NO_CATEGORY = "(no category)"
#: a group with fewer orders on either side is `few`
MIN_ORDERS = 30
#: a first month that starts on this day of the month or before counts as whole
#: days of the months compared with by whose end a good must have sold to be like for like
LAUNCH_DAYS = pd.Timedelta(days=31)
LATEST_START = 3
N_BANDS = 4
#: money whose sum does not depend on the order in which the engine's threads add
MONEY_SUM = "decimal(28, 6)"
#: a concentration's range: how often each seller's sales are drawn, and its ends
N_DRAWS, RANGE = 400, (0.05, 0.95)
HEADLINE = ["metric", "month", "amount", "low", "high", "n", "status"]


def with_category(lines: Table, products: Table | None) -> ibis.Table:
    """Sales lines that are products, with `category` of their sku ("(no category)"
    where none is known).
    """
    lines = expression(lines)
    lines = lines.filter(lines.is_product) if "is_product" in lines.columns else lines
    if products is None:
        return lines.mutate(category=ibis.literal(NO_CATEGORY))
    joined = lines.left_join(expression(products).select("sku", "category"), "sku")
    return joined.drop("sku_right").mutate(category=_.category.fill_null(NO_CATEGORY))


def _compared(sales: Table, as_of: dt.date, months: int) -> tuple[ibis.Table, dict[str, object]]:
    """The rows of the newest whole months and of those they are compared with
    (`is_now`); how many months (n_months), and what they are compared with (basis).
    """
    table, today = expression(sales), Timestamp(as_of)
    table = table.filter(table.ordered_on <= ibis.literal(today.date()))
    first = table.ordered_on.min().to_pandas()
    if pd.isna(first):
        raise PlaybookError("market_research.no_sales", table="order_lines")
    first, is_running = Timestamp(first), not today.is_month_end
    whole = (today.year - first.year) * 12 + today.month - first.month
    whole += int(first.day <= LATEST_START) - is_running
    has_year = whole > 12
    n_months = max(min(months, whole - 12 if has_year else whole // 2), 1)
    back = 12 if has_year else n_months
    # the day after the newest whole month, or after today where the log is too short
    stop = today + pd.Timedelta(days=1)
    if is_running and has_year:
        stop = today.replace(day=1)
    start = stop - pd.DateOffset(months=n_months)
    is_now = _within(table, start, stop)
    is_past = _within(
        table,
        *(day - pd.DateOffset(months=back) for day in (start, stop)),
    )
    basis = say(f"market_research.basis_{'year' if has_year else 'months'}")
    rows = table.filter(is_now | is_past).mutate(is_now=is_now)
    return rows, {"n_months": n_months, "basis": basis}


def _within(table: ibis.Table, start: Timestamp, stop: Timestamp) -> Value:
    return (table.ordered_on >= ibis.literal(start.date())) & (
        table.ordered_on < ibis.literal(stop.date())
    )


@dated
def like_for_like(lines: Table, *, as_of: dt.date, months: int = 12) -> ibis.Table:
    """The lines of goods that were on sale when the months compared with began: sold by
    the end of the first of them. What was launched since is growth of another kind; lines
    without a sku stay.
    """
    rows, _periods = _compared(lines, as_of, months)
    begun = rows.filter(~_.is_now).ordered_on.min().to_pandas()
    if pd.isna(begun):
        return rows.drop("is_now")
    latest = (Timestamp(begun) + LAUNCH_DAYS).date()
    table = expression(lines)
    first = table.group_by("sku").aggregate(first_on=_.ordered_on.min())
    old = first.filter(_.first_on <= ibis.literal(latest), _.sku.notnull())
    return table.filter(table.sku.isnull() | table.sku.isin(old.sku))


@reads(sales="order_id ordered_on revenue")
@dated
def growth_by(
    sales: Table,
    *,
    as_of: dt.date,
    by: str,
    months: int = 12,
    level: float = 0.9,
) -> DataFrame:
    """Sales of the newest whole months against those before, one row per `by`, largest
    first; the columns are those of `category_growth` with `by` in place of the
    category.

    `sales`: lines or orders with ordered_on, order_id, revenue, `by` and, where known,
    customer_id. The interval takes buyers as independent (their squared sums: the
    variance of a compound Poisson total) and the two periods as well. Status:
    `complete`, `few` (under thirty orders on either side), `new` or `gone`
    (growth missing).
    """
    rows, compared = _compared(sales, as_of, months)
    if by not in rows.columns:
        raise PlaybookError("market_research.no_group", by=by, column=by)
    table = _totals(rows, by)
    now, past = table.now, table.past
    is_known = (now > 0) & (past > 0)
    ratio = now.where(is_known) / past.where(is_known)
    variance = table.squares_now / now**2 + table.squares_past / past**2
    reach = np.exp(quantile_of_normal(level) * np.sqrt(variance))
    few = table[["n_now", "n_past"]].min(axis=1) < MIN_ORDERS
    share = now / now.sum()
    growth = DataFrame(
        {
            by: table.group,
            "revenue": now,
            "revenue_before": past,
            "growth": ratio - 1,
            "low": ratio / reach - 1,
            "high": ratio * reach - 1,
            "share": share,
            "share_difference": share - past / past.sum(),
            "n_orders": table.n_now,
            **compared,
            "status": np.select(
                [past <= 0, now <= 0, few],
                ["new", "gone", "few"],
                "complete",
            ),
        }
    )
    return growth.sort_values(["revenue", by], ascending=[False, True], ignore_index=True)


def _totals(rows: ibis.Table, by: str) -> DataFrame:
    """By group, now and in the past: revenue, its squares summed over buyers, orders."""
    buyer = rows.order_id
    if "customer_id" in rows.columns:
        buyer = rows.customer_id.fill_null(buyer)
    money = rows.revenue.cast("decimal(18, 4)").round(2).cast("decimal(18, 2)")
    group = rows[by].fill_null(f"(no {by})")
    rows = rows.select(
        "order_id",
        "is_now",
        group=group,
        buyer=buyer,
        money=money,
    )
    when = {"now": rows.is_now, "past": ~rows.is_now}
    sums = {
        name: rows.money.sum(where=is_in).cast("decimal(18, 2)") for name, is_in in when.items()
    }
    buyers = rows.group_by("group", "buyer").aggregate(**sums)
    totals = buyers.group_by("group").aggregate(
        **{name: buyers[name].sum().cast("float64") for name in when},
        **{f"squares_{name}": _square(buyers[name]).sum().cast("float64") for name in when},
    )
    orders = rows.group_by("group").aggregate(
        **{f"n_{name}": rows.order_id.nunique(where=is_in) for name, is_in in when.items()}
    )
    table = totals.inner_join(orders, "group").order_by("group").to_pandas()
    return table.fillna(0.0)


def _square(money: Value) -> Value:
    """The square of an amount, exact for dear currencies too."""
    return money.cast("decimal(38, 2)") * money.cast("decimal(38, 2)")


@dated
def category_margins(lines: Table, *, as_of: dt.date, months: int = 12) -> DataFrame:
    """Goods margin by category over the newest months:

    - category: its name
    - margin_share: share of revenue; missing where a line has no cost
    - cost_coverage: share of lines that have a cost
    """
    rows, _periods = _compared(lines, as_of, months)
    cost = rows.cost.cast("float64") if "cost" in rows.columns else ibis.null("float64")
    rows, coverage = (
        rows.mutate(cost=cost).filter(_.is_now),
        _.cost.count() / _.count(),
    )
    sums = {
        "revenue": total("revenue"),
        "cost": _.cost.sum(),
        "cost_coverage": coverage,
    }
    table = sums_by(rows, "category", **sums)
    is_whole = (table.cost_coverage == 1) & (table.revenue > 0)
    table["margin_share"] = (1 - table.cost / table.revenue).where(is_whole)
    return table[["category", "margin_share", "cost_coverage"]]


@reads(lines="ordered_on category quantity revenue")
@dated
def price_mix(lines: Table, *, as_of: dt.date, months: int = 12) -> DataFrame:
    """Why the mean revenue per unit changed, in one row:

    - before, after, change: mean revenue per unit, and its change
    - same_mix, mix: the parts of the change at the same mix and from another mix of
      categories; they sum to it
    - n_months, basis: what was compared

    A period without sales has no mean, and neither change nor parts.

    same_mix holds each category's share of units at the mean of both periods (Bennet's
    decomposition, 1920), so neither period's mix is favoured. A mean may rise while
    every category's falls (Simpson 1951): then `mix` carries the rise.
    """
    rows, compared = _compared(lines, as_of, months)
    sums = {"units": total("quantity"), "revenue": total("revenue")}
    sold = sums_by(rows, "category", "is_now", **sums)
    units, revenue = (
        sold.pivot(index="category", columns="is_now", values=name)
        .reindex(columns=[False, True])
        .fillna(0.0)
        for name in sums
    )
    share = units / units.sum()
    price = revenue / units.where(units > 0)
    # a category sold in one period only changes the mix, not the price
    price = price.bfill(axis=1).ffill(axis=1)
    before, after = (share * price).sum(min_count=1)
    same_mix = (share.mean(axis=1) * (price[True] - price[False])).sum(min_count=1)
    row = {
        "before": before,
        "after": after,
        "change": after - before,
        "same_mix": same_mix,
        "mix": (price.mean(axis=1) * (share[True] - share[False])).sum(min_count=1),
        **compared,
    }
    return DataFrame([row])


def newest_year(competitors: DataFrame) -> DataFrame:
    """The rows of the newest twelve months (column `month`, YYYY-MM)."""
    before = pd.Period(competitors.month.max(), "M") - 12
    return competitors[competitors.month > str(before)]


@returns("market_research.concentration")
def concentration(
    competitors: Table,
    *,
    own: DataFrame | None = None,
    seed: int = 0,
) -> DataFrame:
    """How concentrated each category is, over the newest twelve months.

    The range draws every seller's sales within low and high (uniform, seeded). An hhi
    above .25 is commonly called concentrated. `own` (category, amount over the same
    months) makes the shop one of the sellers; else own_share is missing.
    """
    table = newest_year(expression(competitors).to_pandas())
    numbers = table[["sales_low", "sales_high", "price"]].astype(float)
    table = table.assign(**numbers).sort_values(["category", "seller", "month"])
    rng = np.random.default_rng(seed)
    rows = []
    for category, part in table.groupby("category", sort=True):
        sellers = part.groupby("seller", sort=True)[["sales_low", "sales_high"]].sum()
        mine = np.nan
        if own is not None:
            mine = own.loc[own.category == category, "amount"].sum()
        if mine > 0:
            sellers.loc["own"] = [mine, mine]
        sales = sellers.mean(axis=1)
        share = np.sort(sales.to_numpy())[::-1] / sales.sum()
        low, high = sellers.sales_low, sellers.sales_high
        drawn = rng.uniform(low, np.maximum(high, low), (N_DRAWS, len(sellers)))
        hhi = ((drawn / drawn.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
        rows.append(
            (
                category,
                (share**2).sum(),
                *np.quantile(hhi, RANGE),
                share[:5].sum(),
                len(sellers),
                mine / sales.sum(),
                low.sum(),
                high.sum(),
                part.price.median(),
                part.month.min(),
                part.month.max(),
            )
        )
    return frame_of("market_research.concentration", rows)


@dated
def price_position(
    prices: Table,
    *,
    as_of: dt.date,
    currency: str,
    products: Table | None = None,
) -> tuple[DataFrame, DataFrame]:
    """Own price beside competitors' on the same sku, and what was left out.

    First frame: the table `price_position`, one row per sku with both. Second:
    currency, n_rows of prices in another currency than the shop's: a price is never
    converted one to one. Raises PlaybookError where currencies are mixed and the shop's
    is not known.
    """
    table, foreign = _in_own_currency(expression(prices).to_pandas(), currency)
    today = Timestamp(as_of)
    table = table[pd.to_datetime(table.from_on) <= today]
    if "until_on" in table:
        until = pd.to_datetime(table.until_on)
        table = table[until.isna() | (until >= today)]
    table = table.assign(price=table.price.astype(float))
    table = table.sort_values(["sku", "seller", "from_on"])
    table = table.drop_duplicates(["sku", "seller"], keep="last")
    is_own = table.seller == "own"
    position = (
        table[~is_own]
        .groupby("sku")
        .price.agg(
            competitor_low="min",
            competitor_median="median",
            competitor_high="max",
            n_sellers="count",
        )
    )
    position["own_price"] = table[is_own].set_index("sku").price
    position = position.reset_index()
    position["category"] = NO_CATEGORY
    if products is not None:
        category = expression(products).select("sku", "category").to_pandas()
        category = category.set_index("sku").category
        position["category"] = position.sku.map(category).fillna(NO_CATEGORY)
    middle = position.competitor_median
    position["gap_share"] = position.own_price / middle.where(middle > 0) - 1
    columns = schema("market_research.price_position").names
    return position[columns].sort_values("sku", ignore_index=True), foreign


def _in_own_currency(prices: DataFrame, currency: str) -> tuple[DataFrame, DataFrame]:
    """The prices in the shop's currency, and how many rows are in each other one."""
    money = pd.Series(None, index=prices.index, dtype=object)
    money = prices.get("currency", money)
    kinds = sorted(money.dropna().unique())
    if len(kinds) > 1 and currency not in kinds:
        raise PlaybookError(
            "market_research.foreign_prices",
            known=", ".join(kinds),
            currency=currency,
            table="prices",
            column="currency",
        )
    is_foreign = money.notna() & (money != currency) & (currency in kinds)
    n_rows = money[is_foreign].value_counts().sort_index().rename_axis("currency")
    return prices[~is_foreign], n_rows.rename("n_rows").reset_index()


@returns("market_research.price_bands")
def price_bands(lines: Table, *, offers: DataFrame | None = None) -> DataFrame:
    """Where in the price range units are sold, by category.

    Band edges are quantiles of the competitors' offers of the category (`offers`:
    category, price), so that each band holds the same share of the market's offers
    (`offers_share`); without offers, of the units the shop itself sold, and
    offers_share is missing. gap_share = units_share - offers_share: well below 0 is a
    band the shop leaves to others. `lines` carry category, quantity, revenue and, where
    known, cost; margin_share is missing where a cost is. PlaybookError where nothing was
    sold at a price.
    """
    sold = _sold_by_price(expression(lines))
    if sold.empty:
        raise PlaybookError(
            "market_research.nothing_paid",
            table="order_lines",
            column="price",
        )
    frames = []
    for category, part in sold.groupby("category", sort=True):
        market = np.array([])
        if offers is not None:
            market = offers.loc[offers.category == category, "price"].to_numpy(float)
        if len(market) < N_BANDS:
            market = np.array([])
        frames.append(_bands(part, market).assign(category=category))
    bands = pd.concat(frames, ignore_index=True)
    bands["gap_share"] = bands.units_share - bands.offers_share
    return bands[schema("market_research.price_bands").names]


def _sold_by_price(lines: ibis.Table) -> DataFrame:
    """Units, revenue and margin by category and price paid per unit, cheapest first."""
    cost = lines.cost.cast(MONEY_SUM) if "cost" in lines.columns else ibis.null(MONEY_SUM)
    paid = (lines.revenue.cast("float64") / lines.quantity.cast("float64")).round(2)
    lines = lines.mutate(paid=paid, cost=cost).filter((_.quantity > 0) & (_.revenue > 0))
    margin = (_.revenue.cast(MONEY_SUM) - _.cost).sum().cast("float64")
    is_known = _.cost.isnull().sum() == 0
    return sums_by(
        lines,
        "category",
        "paid",
        units=total("quantity"),
        revenue=total("revenue"),
        margin=is_known.ifelse(margin, ibis.null("float64")),
    )


def _bands(sold: DataFrame, market: np.ndarray) -> DataFrame:
    """The bands of one category, cut at quantiles of the market's offers, or of the
    units sold where there are none.
    """
    cuts = np.linspace(0, 1, N_BANDS + 1)[1:-1]
    offers_share = np.nan
    if len(market):
        edges = np.quantile(market, cuts)
        held = np.bincount(
            np.searchsorted(edges, market, side="left"),
            minlength=N_BANDS,
        )
        offers_share = held / len(market)
    else:
        at = np.searchsorted(sold.units.cumsum() / sold.units.sum(), cuts)
        edges = sold.paid.to_numpy()[at.clip(0, len(sold) - 1)]
    band = np.searchsorted(edges, sold.paid, side="left")
    amounts = ["units", "revenue", "margin"]
    sums = (
        sold.groupby(band)[amounts].agg(lambda part: part.sum(skipna=False)).reindex(range(N_BANDS))
    )
    share = (sums / sums.sum()).fillna({"units": 0.0, "revenue": 0.0})
    bands = share.add_suffix("_share").assign(
        band=np.arange(1, N_BANDS + 1),
        low_price=np.r_[0, edges],
        high_price=np.r_[edges, np.nan],  # the top band is open
        n_units=sums["units"].fillna(0.0),
        offers_share=offers_share,
    )
    if sold.margin.isna().any():
        bands["margin_share"] = np.nan
    return bands


@returns("market_research.verdicts")
def category_verdicts(
    growth: DataFrame | None,
    *,
    concentrated: DataFrame | None = None,
    margins: DataFrame | None = None,
    hurdle: float = 0.3,
    hhi_limit: float = 0.25,
) -> DataFrame:
    """Widen, hold, exit or research, per category, by `growth_by` of goods on sale in both
    years (`like_for_like`), which is told as `same_skus_growth`.

    Widen: growth surely above 0, not concentrated, margin above the hurdle.
    Exit: growth surely below 0 and margin under it. Research: a fact the rule needs is
    missing or rests on few orders. Hold: the rest. A category that competitors sell and
    the shop does not (before launch: every one, `growth` None) is always research.
    """
    facts = [
        _by_category(growth, ["growth", "low", "high", "status"]),
        _by_category(concentrated, ["hhi"]),
    ]
    table = pd.concat(facts, axis=1).sort_index()
    table = table.join(_by_category(margins, ["margin_share"]))
    rows = [
        {
            "category": category,
            **_verdict(fact, hurdle, hhi_limit),
            **fact.drop("status").rename({"growth": "same_skus_growth"}),
        }
        for category, fact in table.iterrows()
    ]
    return frame_of("market_research.verdicts", rows)


def _by_category(table: DataFrame | None, columns: list[str]) -> DataFrame:
    if table is None:
        table = DataFrame(columns=["category", *columns])
    return table.set_index("category")[columns]


def _verdict(fact: pd.Series, hurdle: float, hhi_limit: float) -> dict[str, str]:
    is_known = fact["status"] == "complete"
    unknown = {
        "growth": not is_known,
        "hhi": pd.isna(fact["hhi"]),
        "margin": pd.isna(fact["margin_share"]),
    }
    against = {
        "shrinking": fact["high"] < 0,
        "uncertain": not fact["low"] > 0 and not fact["high"] < 0,
        "concentrated": not fact["hhi"] <= hhi_limit,
        "thin": not fact["margin_share"] >= hurdle,
    }
    if is_known and fact["high"] < 0 and fact["margin_share"] < hurdle:
        return {
            "action": "exit",
            "reason": say("market_research.why_exit"),
        }
    if any(unknown.values()):
        return {
            "action": "research",
            "reason": say(
                "market_research.why_research",
                what=_listed("unknown", unknown),
            ),
        }
    if any(against.values()):
        return {"action": "hold", "reason": _listed("against", against)}
    return {
        "action": "widen",
        "reason": say("market_research.why_widen"),
    }


def _listed(kind: str, facts: dict[str, bool]) -> str:
    return ", ".join(
        say(f"market_research.fact_{kind}_{code}") for code, holds in facts.items() if holds
    )


def market_headline(concentrated: DataFrame | None, *, month: str) -> DataFrame:
    """The chapter's figure for the scorecard, in the columns of headline series: hhi of
    the month (mean over categories weighted by sales) with its range. No row where no
    competitor is known.
    """
    if concentrated is None or concentrated.empty:
        return DataFrame(columns=HEADLINE)
    weight = concentrated.sales_low + concentrated.sales_high
    columns = ("hhi", "hhi_low", "hhi_high")
    mean = (np.average(concentrated[column], weights=weight) for column in columns)
    n_sellers = float(concentrated.n_sellers.sum())
    return DataFrame([("hhi", month, *mean, n_sellers, "complete")], columns=HEADLINE)
