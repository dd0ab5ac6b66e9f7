"""01 Market research: own growth is not the market's, concentration, season, personas,
mix, small bases.
"""

from __future__ import annotations

from functools import cache

import ibis
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.chapters.market_research.market import concentration, price_mix, with_category
from playbook.chapters.market_research.personas import personas
from playbook.chapters.market_research.published_series import newest_vintage
from playbook.chapters.market_research.stated import level_worth
from playbook.measures.sums import sums_by, total
from playbook.methods.seasonal_index import seasonal_index
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound, either

# what a level of an offer costs more a piece, as the prompt of 01.7 says
EXTRA_COST = 5.0
# a tiny new group, made up
NOVELTIES = {
    "category": "novelties",
    "revenue": 90.0,
    "revenue_before": 9.0,
    "orders": 4,
    "orders_before": 1,
    "running": 5.0,
    "running_before": 9.0,
}


@cache
def sellers(shop: Store) -> DataFrame:
    """The category with the largest estimated sales, newest twelve months: category,
    seller, sales (mid estimate).
    """
    table = shop.competitors.to_pandas().astype({"sales_low": float, "sales_high": float})
    table = table[table.month > str(pd.Period(table.month.max(), "M") - 12)]
    table = table.assign(sales=(table.sales_low + table.sales_high) / 2)
    largest = table.groupby("category").sales.sum().idxmax()
    table = table[table.category == largest].groupby(["category", "seller"]).sales.sum()
    return table.reset_index().sort_values("sales", ascending=False, ignore_index=True)


def market_hhi(shop: Store) -> float:
    """The concentration of the largest category."""
    category = sellers(shop).category.iloc[0]
    return float(concentration(shop.competitors).set_index("category").hhi[category])


def _largest_share(shop: Store, n: int = 5) -> float:
    sales = sellers(shop).sales
    return float(sales.head(n).sum() / sales.sum())


@cache
def persona_table(shop: Store) -> DataFrame:
    """persona, label, customers, revenue of the last whole log; the row `guests` holds
    revenue without a customer.
    """
    lines = with_category(shop.sales_lines, shop.get("products"))
    found = personas(lines, shop.sales_orders, n_resamples=0).described
    sums = shop.con.execute(
        shop.sales_orders.aggregate(
            known=_.revenue.sum(where=_.customer_id.notnull()).cast("float64"),
            guests=_.revenue.sum(where=_.customer_id.isnull()).cast("float64"),
        )
    ).iloc[0]
    if len(found) < 2:
        raise NotApplicable("training.one_persona")
    table = found[["persona", "label", "customers"]].assign(
        revenue=found.revenue_share * sums.known
    )
    guests = DataFrame([{"persona": "guests", "label": "", "revenue": sums.guests}])
    return pd.concat([table, guests], ignore_index=True)


def first_persona_share(shop: Store) -> float:
    """The first persona's share of the revenue of known customers."""
    people = persona_table(shop).query("persona != 'guests'")
    return people.revenue.iloc[0] / people.revenue.sum()


def _first_share(shop: Store, column: str) -> float:
    values = persona_table(shop)[column]
    return values.iloc[0] / values.sum()


@cache
def market_months(shop: Store) -> DataFrame:
    """A published monthly series as it stood in the middle of its last peak month:
    month, amount; the last row is that month with a third of its amount.
    """
    series, _factor = newest_vintage(shop.market_series.to_pandas(), "")
    if series.period_on.diff().median().days > 40:
        raise NotApplicable("training.series_not_monthly")
    table = DataFrame(
        {"month": series.period_on.dt.strftime("%Y-%m"), "amount": series.value.astype(float)}
    )
    peak = seasonal_index(table).set_index("month_no")["index"].idxmax()
    last = table.index[table.month.str[5:].astype(int) == peak][-1]
    table.loc[last, "amount"] /= 3
    return table.loc[:last]


def peak_index(shop: Store) -> float:
    """The largest seasonal index, of whole months."""
    whole = market_months(shop).iloc[:-1]
    return seasonal_index(whole)["index"].max()


def _plain_index(table: DataFrame) -> float:
    return (table.groupby(table.month.str[5:]).amount.mean() / table.amount.mean()).max()


def _months(shop: Store, *back: int) -> list[str]:
    """The months so many before the report month."""
    return [str(pd.Period(shop.month, freq="M") - n) for n in back]


def _lines(shop: Store, months: list[str]) -> ibis.Table:
    """Order lines with category and month; NotApplicable where the log lacks these months."""
    if not shop.has("products.category"):
        raise NotApplicable("training.no_categories")
    if str(shop.observed_from)[:7] > min(months):
        raise NotApplicable("training.no_year_before")
    lines = with_category(shop.sales_lines, shop.products)
    return lines.mutate(month=_.ordered_on.strftime("%Y-%m"))


def same_mix_change(shop: Store) -> float:
    """The change of revenue per unit with the mix of categories held."""
    lines = with_category(shop.sales_lines, shop.products)
    return float(price_mix(lines, as_of=shop.as_of, months=3).same_mix.iloc[0])


@cache
def unit_prices(shop: Store) -> DataFrame:
    """Three months and the same three a year before, by category: units and revenue of
    both periods.
    """
    now, before = _months(shop, 0, 1, 2), _months(shop, 12, 13, 14)
    lines = _lines(shop, before).filter(_.month.isin(now + before))
    lines = lines.mutate(part=_.month.isin(now).ifelse("now", "before"))
    sums = {"units": total("quantity"), "revenue": total("revenue")}
    table = sums_by(lines, "category", "part", **sums)
    wide = table.pivot(index="category", columns="part").fillna(0.0)
    wide.columns = [f"{name}_{part}" for name, part in wide.columns]
    return wide.reset_index()


def _price_change(table: DataFrame | pd.Series) -> pd.Series | float:
    return table.revenue_now / table.units_now - table.revenue_before / table.units_before


def _mean_price_change(shop: Store) -> float:
    return _price_change(unit_prices(shop).set_index("category").sum())


def _unweighted_change(shop: Store) -> float:
    return _price_change(unit_prices(shop)).mean()


@cache
def category_table(shop: Store) -> DataFrame:
    """By category: three whole months before the report month and the same a year
    before (revenue, orders of both), the first half of the report month (`running`) and
    the whole of that month a year before (`running_before`). Two things are made up:
    the row `novelties`, a tiny new group, and a promotion in the first half of the
    report month that lifts `running` of the category that grew least.
    """
    spans = {
        "revenue": _months(shop, 1, 2, 3),
        "revenue_before": _months(shop, 13, 14, 15),
        "running": _months(shop, 0),
        "running_before": _months(shop, 12),
    }
    lines = _lines(shop, spans["revenue_before"])
    is_in = {name: lines.month.isin(months) for name, months in spans.items()}
    is_in["running"] = is_in["running"] & (lines.ordered_on.day() <= 15)
    sums = {name: _.revenue.sum(where=where).cast("float64") for name, where in is_in.items()}
    sums |= {
        "orders": _.order_id.nunique(where=is_in["revenue"]),
        "orders_before": _.order_id.nunique(where=is_in["revenue_before"]),
    }
    table = sums_by(lines, "category", **sums).fillna(0.0)
    table = table.query("orders_before >= 10 and orders >= 10").reset_index(drop=True)
    if len(table) < 2:
        raise NotApplicable("training.few_categories")
    least = (table.revenue / table.revenue_before).idxmin()
    year_ago = table.running_before.clip(lower=1.0)
    table.loc[least, "running"] = 3 * (table.running / year_ago).max() * year_ago[least]
    return pd.concat([table, DataFrame([NOVELTIES])], ignore_index=True)


def best_growing(shop: Store) -> str:
    """The category that grew most, with ten orders or more on both sides."""
    table = category_table(shop).set_index("category")
    enough = table[(table.orders >= 10) & (table.orders_before >= 10)]
    return (enough.revenue / enough.revenue_before).idxmax()


def _by_running(shop: Store) -> str:
    table = category_table(shop).query("orders >= 10").set_index("category")
    return (table.running / table.running_before.where(table.running_before > 0)).idxmax()


@cache
def offer_levels(shop: Store) -> DataFrame:
    """The chapter's worth of levels in money: attribute, level, base, money, money_low,
    money_high.
    """
    if not shop.has("choice_tasks"):
        raise NotApplicable("training.no_choice_tasks")
    table = level_worth(shop.choice_tasks).dropna(subset="money")
    if not (table.money_low > EXTRA_COST).any():
        raise NotApplicable("training.no_choice_tasks")
    return table[["attribute", "level", "base", "money", "money_low", "money_high"]]


def worth_their_cost(shop: Store) -> set[str]:
    """Levels whose worth surely passes what they cost."""
    return _levels_above(shop, "money_low")


def _levels_above(shop: Store, column: str, least: float | None = None) -> set[str]:
    table = offer_levels(shop)
    return set(table[table[column] > (EXTRA_COST if least is None else least)].level)


EXERCISES = bound(
    "market_research",
    {
        "01.2": Answers(
            market_hhi,
            slips={
                "shares in percent": lambda shop: 10_000 * market_hhi(shop),
                "shares added up": either(_largest_share, lambda shop: 1.0),
                "largest share": lambda shop: _largest_share(shop, 1),
            },
            given=sellers,
        ),
        "01.3": Answers(
            first_persona_share,
            slips={
                "share of customers": lambda shop: _first_share(shop, "customers"),
                "guests included": lambda shop: _first_share(shop, "revenue"),
            },
            given=persona_table,
        ),
        "01.4": Answers(
            peak_index,
            slips={
                "partial month": lambda shop: _plain_index(market_months(shop)),
                "no trend removal": lambda shop: _plain_index(market_months(shop).iloc[:-1]),
                "amount": lambda shop: market_months(shop).amount.max(),
            },
            given=market_months,
        ),
        "01.5": Answers(
            same_mix_change,
            slips={
                "reads the total": _mean_price_change,
                "averages category changes unweighted": _unweighted_change,
                "the mix part": lambda shop: _mean_price_change(shop) - same_mix_change(shop),
            },
            given=unit_prices,
        ),
        "01.6": Answers(
            best_growing,
            slips={
                "partial month compared with a full one": _by_running,
                "largest": lambda shop: category_table(shop).set_index("category").revenue.idxmax(),
            },
            given=category_table,
        ),
        "01.7": Answers(
            worth_their_cost,
            slips={
                "worth in the middle": lambda shop: _levels_above(shop, "money"),
                "worth more than nothing": lambda shop: _levels_above(shop, "money_low", 0.0),
            },
            given=offer_levels,
        ),
    },
)
