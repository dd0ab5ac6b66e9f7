"""Competitors over time: what each asks, promotes, has in stock and is rated, month by month,
and what of it changed this month.

Prices are followed item by item: a month's change is the mean change (in logarithms) of the
regular prices of the items seen in both months, so that another range is no price move. A
share is of looks, and its error counts items, whose looks go together. A change is news where
it lies further from none than the seller's own months before and the error of this one make
likely, over everything that is looked at (Bonferroni).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.methods.proportions import Z90
from playbook.store import expression, one_if
from playbook.tables import empty, returns, schema

__all__ = ["MEASURES", "rival_changes", "rival_decisions", "rival_months"]

MONTHS = 13
#: items of a seller and category from which a month is told
LEAST_ITEMS = 3
#: share off the regular price from which an offer is a promotion
LEAST_OFF = 0.01
#: chance of any false news in a month without one
ALARM = 0.1
#: measure -> smallest change worth a word
MEASURES = {"price": 0.02, "promo_share": 0.1, "stock_share": 0.1, "rating": 0.1}
MOST_ROWS = 3
STEMS = ("price", "promo", "stock", "rating")
SHARES = {"promo": "promo_share", "stock": "stock_share", "rating": "rating"}


@returns("market_research.rival_months")
def rival_months(rival_offers: Table | DataFrame, *, as_of: dt.date) -> DataFrame:
    """One seller's offers of one category in one month, the last thirteen; changes are
    against the month before. Under three items nothing is told; a measure its rows do not
    hold is missing.
    """
    items = _items(rival_offers, as_of)
    if items.empty:
        return empty("market_research.rival_months")
    keys = ["seller", "category"]
    before = items.assign(month=(pd.PeriodIndex(items.month, freq="M") + 1).strftime("%Y-%m"))
    both = items.merge(
        before,
        on=[*keys, "item", "month"],
        suffixes=("", "_before"),
        how="left",
    )
    both["price_step"] = np.log(both.regular / both.regular_before)
    for name in STEMS[1:]:
        both[f"{name}_step"] = both[SHARES[name]] - both[f"{SHARES[name]}_before"]
    cells = both.groupby(["month", *keys])
    table = cells.agg(
        n_items=("item", "size"),
        price=("regular", "median"),
        n_pairs=("price_step", "count"),
        promo_share=("promo_share", "mean"),
        stock_share=("stock_share", "mean"),
        rating=("rating", "mean"),
    )
    for name in STEMS:
        steps = cells[f"{name}_step"]
        is_told = steps.count() >= LEAST_ITEMS
        table[f"{name}_change"] = steps.mean().where(is_told)
        table[f"{name}_error"] = (steps.std() / np.sqrt(steps.count())).where(is_told)
    table = table[table.n_items >= LEAST_ITEMS].reset_index()
    return table[schema("market_research.rival_months").names]


def _items(rival_offers: Table | DataFrame, as_of: dt.date) -> DataFrame:
    """One row per month, seller, category and item: regular price, shares, rating."""
    first = pd.Period(as_of, "M") - MONTHS
    looks = expression(rival_offers).filter(
        (_.seen_on >= first.start_time.date()) & (_.seen_on <= as_of)
    )
    regular = ibis.coalesce(looks.regular_price, looks.price).cast("float64")
    looks = looks.mutate(
        month=looks.seen_on.strftime("%Y-%m"),
        regular=regular,
        is_off=(looks.price.cast("float64") < regular * (1 - LEAST_OFF))
        & looks.regular_price.notnull(),
        category=looks.category.fill_null(""),
    )
    looks = looks.filter(looks.regular > 0)
    items = looks.group_by(
        "month",
        "seller",
        "category",
        "item",
    ).aggregate(
        regular=_.regular.median(),
        promo_share=one_if(_.is_off).cast("float64").mean(),
        n_regular=_.regular_price.count(),
        stock_share=one_if(_.is_in_stock).cast("float64").mean(where=_.is_in_stock.notnull()),
        rating=_.rating.mean(),
    )
    items = items.order_by(
        "month",
        "seller",
        "category",
        "item",
    ).to_pandas()
    items["promo_share"] = items.promo_share.where(items.n_regular > 0)
    return items.drop(columns="n_regular")


@returns("market_research.rival_changes")
def rival_changes(months: DataFrame, *, month: str) -> DataFrame:
    """What changed in a month: one measure of one seller and category, the least likely
    first. `usual` is the root mean square of the changes of the months before; a measure with
    under three of them has no news.
    """
    parts = [_changed(months, month, measure) for measure in MEASURES]
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        return empty("market_research.rival_changes")
    spread = np.fmax(table.error, table.usual).where(table.usual.notna())
    table["z"] = table.change / spread.where(spread > 0)
    table["is_news"] = _is_news(table)
    table = table.assign(size=-table.z.abs().fillna(0.0)).sort_values(
        ["size", "seller", "category", "measure"],
        ignore_index=True,
    )
    return table[schema("market_research.rival_changes").names]


def _changed(months: DataFrame, month: str, measure: str) -> DataFrame:
    """One measure of the month beside its past, by seller and category."""
    stem, keys = measure.removesuffix("_share"), ["seller", "category"]
    change = months[f"{stem}_change"].astype(float)
    past = change[months.month < month].groupby([months.seller, months.category])
    n = past.count().rename("n_months")
    usual = past.apply(lambda steps: np.sqrt((steps**2).mean())).where(n >= LEAST_ITEMS)
    now = months[(months.month == month) & change.notna()]
    now = now.merge(n.reset_index(), on=keys, how="left")
    now = now.merge(usual.rename("usual").reset_index(), on=keys, how="left")
    return now[[*keys, "n_items", "usual"]].assign(
        measure=measure,
        n_months=now.n_months.fillna(0).astype(int),
        level=now[measure],
        change=now[f"{stem}_change"].astype(float),
        error=now[f"{stem}_error"].astype(float),
        low=now[f"{stem}_change"] - Z90 * now[f"{stem}_error"],
        high=now[f"{stem}_change"] + Z90 * now[f"{stem}_error"],
    )


def _is_news(table: DataFrame) -> np.ndarray:
    """Further from none than chance over all rows, and large enough for a word."""
    from scipy.stats import t

    p = 2 * t.sf(table.z.abs(), table.n_months.clip(lower=1))
    is_large = table.change.abs() >= table.measure.map(MEASURES)
    return (p < ALARM / len(table)) & is_large.to_numpy() & table.z.notna().to_numpy()


@dated
def rival_decisions(changes: DataFrame, *, as_of: dt.date) -> DataFrame:
    """A row per price move of a competitor that is news (own prices of the category are held
    against it), and one per shelf that ran empty (the category is shown while it lasts).
    """
    news = changes[changes.is_news]
    days: dict[str, Any] = {
        "due_on": as_of + dt.timedelta(days=7),
        "revisit_on": as_of + dt.timedelta(days=35),
    }
    rows = []
    for kind, part in (
        ("rival_price", news[news.measure == "price"]),
        ("rival_short", news[(news.measure == "stock_share") & (news.change < 0)]),
    ):
        for row in part.head(MOST_ROWS).itertuples():
            rows.append(
                propose(
                    f"market_research.{kind}",
                    f"{row.category}: {row.seller}",
                    size=float(row.n_items),
                    evidence_value=row.change,
                    low=row.low,
                    high=row.high,
                    usual=row.usual,
                    level=row.level,
                    **days,
                )
            )
    return decision_rows(rows)
