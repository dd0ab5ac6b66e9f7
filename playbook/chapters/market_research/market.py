"""The market: growing or not, in which season, how concentrated, at which prices; where
to enter, hold or leave.

The shop's own sales are not the market: every table says which of the two it shows.
Growth compares whole months with the same months a year before; where that past is
missing, with the months just before, and then the season is still in it (`basis`).
Money is before refunds. Sizes (TAM, SAM, SOM) are in methods/market_size.py, published
series and their revisions in methods/published_series.py, the people who buy in
personas.py.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.methods.proportions import quantile_of_normal
from playbook.store import expression

__all__ = [
    "with_category",
    "growth_by",
    "category_margins",
    "price_mix",
    "market_share",
    "concentration",
    "price_position",
    "price_bands",
    "category_verdicts",
    "market_headline",
]

NO_CATEGORY = "(no category)"


def with_category(lines: Any, products: Any) -> ibis.Table:
    """Sales lines that are products, with `category` of their sku ("(no category)"
    where none is known).
    """
    lines = expression(lines)
    lines = lines.filter(lines.is_product) if "is_product" in lines.columns else lines
    if products is None:
        return lines.mutate(category=ibis.literal(NO_CATEGORY))
    joined = lines.left_join(expression(products).select("sku", "category"), "sku").drop(
        "sku_right"
    )
    return joined.mutate(category=joined.category.fill_null(NO_CATEGORY))


def _compared(sales: Any, as_of: pd.Timestamp, months: int) -> tuple[ibis.Table, dict[str, object]]:
    """The rows of the newest whole months and those they are compared with (`part`:
    now, before); n_months, basis.
    """
    t = expression(sales)
    t = t.filter(t.ordered_on <= ibis.literal(as_of.date()))
    first = t.aggregate(first=t.ordered_on.min()).to_pandas()["first"].iloc[0]
    if pd.isna(first):
        raise PlaybookError(
            "There are no sales to compare", table="order_lines", do="choose a later month"
        )
    first, running = pd.Timestamp(first), not as_of.is_month_end
    whole = (as_of.year - first.year) * 12 + as_of.month - first.month + (first.day <= 3) - running
    end = as_of.replace(day=1) - pd.Timedelta(days=1) if running and whole > 12 else as_of
    spans = max(min(months, whole - 12 if whole > 12 else whole // 2), 1)
    back = 12 if whole > 12 else spans
    start = (end + pd.Timedelta(days=1) - pd.DateOffset(months=spans)).normalize()
    before, before_end = (
        start - pd.DateOffset(months=back),
        (end + pd.Timedelta(days=1) - pd.DateOffset(months=back) - pd.Timedelta(days=1)),
    )
    now_, past = (
        t.ordered_on.between(ibis.literal(a.date()), ibis.literal(b.date()))
        for a, b in ((start, end), (before, before_end))
    )
    basis = (
        "a year before" if back == 12 and whole > 12 else "the months before: season not removed"
    )
    return t.mutate(part=now_.ifelse("now", past.ifelse("before", "out"))).filter(
        _.part != "out"
    ), {"n_months": spans, "basis": basis}


def growth_by(
    sales: Any,
    *,
    as_of: dt.date | str,
    by: str,
    months: int = 12,
    level: float = 0.9,
    min_orders: int = 30,
) -> pd.DataFrame:
    """One row per `by`, largest first: revenue, revenue_before, growth, low, high,
    share, share_difference, n_orders, n_months, basis, status.

    `sales`: lines or orders with ordered_on, order_id, revenue, `by` and, where known,
    customer_id. The interval takes buyers as independent (their squared sums: the
    variance of a compound Poisson total) and the two periods as well. Status:
    `complete`, `few` (under `min_orders` orders on either side), `new` or `gone`
    (growth missing).
    """
    t, facts = _compared(sales, pd.Timestamp(as_of), months)
    if by not in t.columns:
        raise PlaybookError(f"Growth by {by} needs that column", column=by, do="join it first")
    buyer = t.customer_id.fill_null(t.order_id) if "customer_id" in t.columns else t.order_id
    money = t.revenue.cast("decimal(18, 4)").round(2).cast("decimal(18, 2)")
    kept = t.select(
        "order_id", "part", group=t[by].fill_null(f"(no {by})"), buyer=buyer, money=money
    )
    each = kept.group_by("group", "part", "buyer").aggregate(
        x=kept.money.sum().cast("decimal(18, 2)")
    )
    sums = each.group_by("group", "part").aggregate(
        total=each.x.sum().cast("float64"), squares=(each.x * each.x).sum().cast("float64")
    )
    n = kept.group_by("group", "part").aggregate(n=kept.order_id.nunique())
    table = sums.inner_join(n, ["group", "part"]).order_by("group", "part").to_pandas()
    wide = table.pivot(index="group", columns="part", values=["total", "squares", "n"])
    wide = wide.reindex(
        columns=pd.MultiIndex.from_product([["total", "squares", "n"], ["now", "before"]])
    ).fillna(0.0)
    now, past = wide["total", "now"], wide["total", "before"]
    n_now, n_past = wide["n", "now"], wide["n", "before"]
    known = (now > 0) & (past > 0)
    ratio = (now / past.where(past > 0)).where(known)
    spread = np.sqrt(
        wide["squares", "now"] / now.where(known) ** 2
        + wide["squares", "before"] / past.where(known) ** 2
    )
    reach = np.exp(quantile_of_normal(level) * spread)
    out = pd.DataFrame(
        {
            by: wide.index,
            "revenue": now,
            "revenue_before": past,
            "growth": ratio - 1,
            "low": ratio / reach - 1,
            "high": ratio * reach - 1,
            "share": now / now.sum(),
            "share_difference": now / now.sum() - past / past.sum(),
            "n_orders": n_now.astype("int64"),
            **facts,
        }
    )
    few = np.minimum(n_now, n_past) < min_orders
    out["status"] = np.select([past <= 0, now <= 0, few], ["new", "gone", "few"], "complete")
    return out.sort_values(["revenue", by], ascending=[False, True], ignore_index=True)


def category_margins(lines: Any, *, as_of: dt.date | str, months: int = 12) -> pd.DataFrame:
    """Goods margin by category over the newest months: category, margin_share (of
    revenue; missing where a line has no cost), cost_coverage (share of lines that have
    one).
    """
    t, _facts = _compared(lines, pd.Timestamp(as_of), months)
    t = t.filter(t.part == "now")
    cost = t.cost.cast("float64") if "cost" in t.columns else ibis.null("float64")
    sums = (
        t.mutate(c=cost)
        .group_by("category")
        .aggregate(
            revenue=_.revenue.sum().cast("float64"), cost=_.c.sum(), known=_.c.count(), n=_.count()
        )
    )
    out = sums.order_by("category").to_pandas()
    whole = (out["known"] == out["n"]) & (out["revenue"] > 0)
    out["margin_share"] = (1 - out["cost"] / out["revenue"]).where(whole)
    return out.assign(cost_coverage=out["known"] / out["n"])[
        ["category", "margin_share", "cost_coverage"]
    ]


def price_mix(
    lines: Any, *, as_of: dt.date | str, by: str = "category", months: int = 12
) -> pd.DataFrame:
    """Why the mean revenue per unit changed: one row of before, after, change, same_mix
    and mix (the last two sum to the change, in money per unit), n_months, basis.

    same_mix holds each group's share of units at the mean of both periods (Bennet's
    decomposition, 1920), so neither period's mix is favoured. A mean may rise while
    every group's falls (Simpson 1951): then `mix` carries the rise.
    """
    t, facts = _compared(lines, pd.Timestamp(as_of), months)
    sums = (
        t.mutate(group=t[by].fill_null(f"(no {by})"))
        .group_by("group", "part")
        .aggregate(units=_.quantity.sum().cast("float64"), revenue=_.revenue.sum().cast("float64"))
    )
    wide = (
        sums.order_by("group", "part").to_pandas().pivot(index="group", columns="part").fillna(0.0)
    )
    wide = wide.reindex(
        columns=pd.MultiIndex.from_product([["units", "revenue"], ["now", "before"]]),
        fill_value=0.0,
    )
    share = wide["units"] / wide["units"].sum()
    price = wide["revenue"] / wide["units"].where(wide["units"] > 0)
    price = price.T.fillna(
        price.T.bfill().ffill()
    ).T  # a group sold in one period only changes the mix, not the price
    after, past = ((share[k] * price[k]).sum() for k in ("now", "before"))
    same = (share.mean(axis=1) * (price["now"] - price["before"])).sum()
    return pd.DataFrame(
        [
            {
                "before": past,
                "after": after,
                "change": after - past,
                "same_mix": same,
                "mix": (price.mean(axis=1) * (share["now"] - share["before"])).sum(),
                **facts,
            }
        ]
    )


def market_share(
    own: pd.DataFrame,
    market_series: Any,
    *,
    series: str,
    unit_factor: float = 1.0,
    share_of_series: float = 1.0,
) -> pd.DataFrame:
    """One row per period both cover whole: period_on, own, market, share, own_growth,
    market_growth, growth_gap, vintage.

    `own`: month, amount (whole months). The newest vintage of each period is used and
    named. `unit_factor` turns one unit of the series into the shop's currency,
    `share_of_series` is the part of it that is this shop's market; growth is on the
    same period a year before, missing where that is not there. Raises PlaybookError for
    a series not there.
    """
    t = expression(market_series)
    t = t.filter(t.series == series).order_by("period_on").to_pandas()
    if t.empty:
        raise PlaybookError(
            f"There is no series {series!r}",
            table="market_series",
            column="series",
            do="choose one of the table's series",
        )
    t = t.sort_values(["period_on", "published_on"], na_position="first").drop_duplicates(
        "period_on", keep="last"
    )
    gap = np.median(
        np.diff(pd.to_datetime(t["period_on"]).to_numpy()).astype("timedelta64[D]").astype(int)
    )
    code, n_months = ("Q", 3) if gap > 45 else ("M", 1)
    at = pd.PeriodIndex(pd.to_datetime(t["period_on"]), freq=code)
    period = pd.PeriodIndex(own["month"], freq="M").asfreq(code)
    mine = own.groupby(period)["amount"].agg(["sum", "count"])
    mine = mine["sum"].where(mine["count"] == n_months)
    out = pd.DataFrame(
        {
            "market": t["value"].to_numpy(float) * unit_factor * share_of_series,
            "vintage": t["published_on"].to_numpy(),
        },
        index=at,
    )
    out["own"] = mine.reindex(out.index)
    out["share"] = out["own"] / out["market"]
    back = 12 // n_months
    for name in ("own", "market"):
        out[f"{name}_growth"] = out[name] / out[name].reindex(out.index - back).to_numpy() - 1
    out["growth_gap"] = out["own_growth"] - out["market_growth"]
    out.insert(0, "period_on", out.index.start_time)
    kept = out[out["own"].notna()]
    return kept[
        [
            "period_on",
            "own",
            "market",
            "share",
            "own_growth",
            "market_growth",
            "growth_gap",
            "vintage",
        ]
    ].reset_index(drop=True)


def concentration(
    competitors: Any,
    *,
    own: pd.DataFrame | None = None,
    months: int = 12,
    n_draws: int = 400,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per category, of the newest `months`: hhi, hhi_low, hhi_high, cr5,
    own_share, n_sellers, sales_low, sales_high, median_price, from_month, to_month.

    hhi is the sum of squared shares (0 to 1), cr5 the share of the five largest, both
    of mid estimates; the range draws every seller's sales within low and high (uniform,
    seeded). Above .25 is commonly called concentrated. `own` (category, amount over the
    same months) makes the shop one of the sellers; else own_share is missing.
    """
    t = expression(competitors).to_pandas()
    t = t[t["month"] > str(pd.Period(t["month"].max(), "M") - months)]
    t = t.assign(
        low=t["sales_low"].astype(float),
        high=t["sales_high"].astype(float),
        price=t["price"].astype(float),
    )
    rng = np.random.default_rng(seed)
    rows = []
    for category, part in t.sort_values(["category", "seller", "month"]).groupby(
        "category", sort=True
    ):
        seller = part.groupby("seller", sort=True)[["low", "high"]].sum()
        mine = np.nan if own is None else own.loc[own["category"] == category, "amount"].sum()
        if mine > 0:
            seller.loc["own"] = [mine, mine]
        share = np.sort(seller.mean(axis=1).to_numpy())[::-1] / seller.mean(axis=1).sum()
        drawn = rng.uniform(
            seller["low"], np.maximum(seller["high"], seller["low"]), (n_draws, len(seller))
        )
        hhi = ((drawn / drawn.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
        rows.append(
            {
                "category": category,
                "hhi": (share**2).sum(),
                "hhi_low": np.quantile(hhi, 0.05),
                "hhi_high": np.quantile(hhi, 0.95),
                "cr5": share[:5].sum(),
                "n_sellers": len(seller),
                "own_share": mine / seller.mean(axis=1).sum(),
                "sales_low": seller["low"].sum(),
                "sales_high": seller["high"].sum(),
                "median_price": part["price"].median(),
                "from_month": part["month"].min(),
                "to_month": part["month"].max(),
            }
        )
    return pd.DataFrame(rows)


def price_position(
    prices: Any, *, as_of: dt.date | str, currency: str, products: Any = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Own price beside competitors' on the same sku, and what was left out.

    First frame, one row per sku with both: sku, category, own_price, competitor_low,
    competitor_median, competitor_high, n_sellers, gap_share (own over their median less
    1). Second: currency, n_rows of prices in another currency than the shop's: a price
    is never converted one to one. Raises PlaybookError where currencies are mixed and
    the shop's is not known.
    """
    day = pd.Timestamp(as_of)
    t = expression(prices).to_pandas()
    money = t["currency"] if "currency" in t else pd.Series(None, index=t.index, dtype=object)
    kinds = sorted(money.dropna().unique())
    if len(kinds) > 1 and currency not in kinds:
        raise PlaybookError(
            f"Prices are in {', '.join(kinds)} and none is the shop's currency {currency}",
            table="prices",
            column="currency",
            do="name the shop's currency in shop.yaml",
        )
    foreign = money.notna() & (money != currency) & (currency in kinds)
    left_out = (
        money[foreign]
        .value_counts()
        .sort_index()
        .rename_axis("currency")
        .rename("n_rows")
        .reset_index()
    )
    t = t[~foreign & (pd.to_datetime(t["from_on"]) <= day)]
    t = t[t["until_on"].isna() | (pd.to_datetime(t["until_on"]) >= day)] if "until_on" in t else t
    t = t.assign(price=t["price"].astype(float)).sort_values(["sku", "seller", "from_on"])
    t = t.drop_duplicates(["sku", "seller"], keep="last")
    own = t[t["seller"] == "own"].set_index("sku")["price"]
    others = t[t["seller"] != "own"].groupby("sku")["price"].agg(["min", "median", "max", "count"])
    others.columns = ["competitor_low", "competitor_median", "competitor_high", "n_sellers"]
    out = others.assign(own_price=own).reset_index()
    out["category"] = NO_CATEGORY
    if products is not None:
        known = (
            expression(products).select("sku", "category").to_pandas().set_index("sku")["category"]
        )
        out["category"] = out["sku"].map(known).fillna(NO_CATEGORY)
    out["gap_share"] = (
        out["own_price"] / out["competitor_median"].where(out["competitor_median"] > 0) - 1
    )
    order = [
        "sku",
        "category",
        "own_price",
        "competitor_low",
        "competitor_median",
        "competitor_high",
        "n_sellers",
    ]
    return out[[*order, "gap_share"]].sort_values("sku", ignore_index=True), left_out


def price_bands(
    lines: Any, *, offers: pd.DataFrame | None = None, n_bands: int = 4
) -> pd.DataFrame:
    """Where in the price range units are sold, by category: category, band (1
    cheapest), low_price, high_price, units_share, revenue_share, margin_share, n_units,
    offers_share, gap_share.

    Band edges are quantiles of the competitors' offers of the category (`offers`:
    category, price), so that each band holds the same share of the market's offers
    (`offers_share`); without offers, of the units the shop itself sold, and
    offers_share is missing. gap_share = units_share - offers_share: well below 0 is a
    band the shop leaves to others. `lines` carry category, quantity, revenue and, where
    known, cost; margin_share is missing where a cost is.
    """
    t = expression(lines)
    cost = t.cost.cast("float64") if "cost" in t.columns else ibis.null("float64")
    t = t.filter((t.quantity > 0) & (t.revenue > 0)).mutate(
        paid=(t.revenue.cast("float64") / t.quantity.cast("float64")).round(2), cost=cost
    )
    sold = t.group_by("category", "paid").aggregate(
        units=t.quantity.sum().cast("float64"),
        revenue=t.revenue.sum().cast("float64"),
        margin=(t.cost.isnull().sum() == 0).ifelse(
            (t.revenue.cast("float64") - t.cost).sum(), ibis.null("float64")
        ),
    )
    sold = sold.order_by("category", "paid").to_pandas()
    rows = []
    for category, part in sold.groupby("category", sort=True):
        market = (
            np.array([])
            if offers is None
            else offers.loc[offers["category"] == category, "price"].to_numpy(float)
        )
        cuts = np.linspace(0, 1, n_bands + 1)[1:-1]
        if len(market) >= n_bands:
            edges = np.quantile(market, cuts)
        else:
            market, paid = np.array([]), part["paid"].to_numpy()
            edges = paid[
                np.searchsorted(part["units"].cumsum() / part["units"].sum(), cuts).clip(
                    0, len(part) - 1
                )
            ]
        band = np.searchsorted(edges, part["paid"], side="left")
        sums = part.groupby(band)[["units", "revenue", "margin"]].agg(lambda x: x.sum(skipna=False))
        sums = sums.reindex(range(n_bands)).fillna({"units": 0.0, "revenue": 0.0})
        held = np.bincount(np.searchsorted(edges, market, side="left"), minlength=n_bands) / max(
            len(market), 1
        )
        share = sums / sums.sum(skipna=True)
        rows.append(
            pd.DataFrame(
                {
                    "category": category,
                    "band": np.arange(1, n_bands + 1),
                    "low_price": np.r_[0, edges],
                    "high_price": np.r_[edges, np.inf],
                    "units_share": share["units"],
                    "revenue_share": share["revenue"],
                    "margin_share": share["margin"] if part["margin"].notna().all() else np.nan,
                    "n_units": sums["units"],
                    "offers_share": held if len(market) else np.nan,
                }
            )
        )
    out = pd.concat(rows, ignore_index=True)
    out["high_price"] = out["high_price"].replace(np.inf, np.nan)  # the top band is open
    return out.assign(gap_share=out["units_share"] - out["offers_share"])


def category_verdicts(
    growth: pd.DataFrame | None,
    *,
    concentrated: pd.DataFrame | None = None,
    margins: pd.DataFrame | None = None,
    hurdle: float = 0.3,
    hhi_limit: float = 0.25,
) -> pd.DataFrame:
    """Enter, hold, exit or research, per category: category, action, reason, growth,
    low, high, hhi, margin_share.

    Enter (or widen): growth surely above 0, not concentrated, margin above the hurdle.
    Exit: growth surely below 0 and margin under it. Research: a fact the rule needs is
    missing or rests on few orders. Hold: the rest. A category that competitors sell and
    the shop does not (before launch: every one, `growth` None) is always research.
    """
    if growth is None:
        growth = pd.DataFrame(columns=["category", "growth", "low", "high", "status"])
    t = growth.set_index("category")[["growth", "low", "high", "status"]]
    hhi = (
        concentrated.set_index("category")["hhi"]
        if concentrated is not None and len(concentrated)
        else None
    )
    t = t.reindex(t.index.union(hhi.index) if hhi is not None else t.index).sort_index()
    t["hhi"] = hhi.reindex(t.index) if hhi is not None else np.nan
    known = margins is not None
    t["margin_share"] = (
        margins.set_index("category")["margin_share"].reindex(t.index) if known else np.nan
    )
    rows = []
    for category, r in t.iterrows():
        unknown = [
            word
            for word, is_gone in (
                ("own growth", r["status"] != "complete"),
                ("concentration", pd.isna(r["hhi"])),
                ("margin", pd.isna(r["margin_share"])),
            )
            if is_gone
        ]
        up, down = r["low"] > 0, r["high"] < 0
        open_, pays = r["hhi"] <= hhi_limit, r["margin_share"] >= hurdle
        if r["status"] == "complete" and down and r["margin_share"] < hurdle:
            verdict = ("exit", "shrinking beyond doubt and margin under the hurdle")
        elif unknown:
            verdict = ("research", f"not known: {', '.join(unknown)}")
        elif up and open_ and pays:
            verdict = ("enter", "growing beyond doubt, not concentrated, margin above the hurdle")
        else:
            why = (("growth not certain", up), ("concentrated", open_), ("thin margin", pays))
            verdict = ("hold", ", ".join(word for word, is_fine in why if not is_fine))
        rows.append(
            {
                "category": category,
                "action": verdict[0],
                "reason": verdict[1],
                **r[["growth", "low", "high", "hhi", "margin_share"]],
            }
        )
    return pd.DataFrame(
        rows,
        columns=["category", "action", "reason", "growth", "low", "high", "hhi", "margin_share"],
    )


def market_headline(concentrated: pd.DataFrame | None, *, month: str) -> pd.DataFrame:
    """The chapter's figure for the scorecard: hhi of the month (mean over categories
    weighted by sales) with its range; columns metric, month, amount, low, high, n,
    status. No row where no competitor is known.
    """
    columns = ["metric", "month", "amount", "low", "high", "n", "status"]
    if concentrated is None or concentrated.empty:
        return pd.DataFrame(columns=columns)
    weight = concentrated["sales_low"] + concentrated["sales_high"]
    amount, low, high = (
        float(np.average(concentrated[c], weights=weight)) for c in ("hhi", "hhi_low", "hhi_high")
    )
    row = ("hhi", month, amount, low, high, float(concentrated["n_sellers"].sum()), "complete")
    return pd.DataFrame([row], columns=columns)
