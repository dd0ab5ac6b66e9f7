"""Published series once imported: one of them at its newest vintage, what was revised
between two vintages, and the shop's share of it.
"""

from __future__ import annotations

import re

import pandas as pd
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.tables import returns, schema

__all__ = ["market_share", "newest_vintage", "series_revisions"]

NO_MONEY = r"share|percent|%|index"
#: how a unit says that one of it is many in money
FACTORS = {"thousand": 1e3, r"million|\bm$|\$m": 1e6, "billion": 1e9}
#: a longer gap between periods (days) is a quarter
LONGEST_MONTH = 45


def newest_vintage(market_series: DataFrame, name: str = "") -> tuple[DataFrame, float]:
    """One series at its newest vintage (period_on, series, value, published_on, unit),
    and what one unit of it is in money.

    Without a name the first series (by name) whose unit is not a share. `million`,
    `thousand`, `billion` or a trailing M in the unit set the factor. Raises
    PlaybookError naming the series there are when the one asked for is not.
    """
    unit = market_series.unit.fillna("") if "unit" in market_series else ""
    table = market_series.assign(unit=unit)
    is_money = ~table.unit.str.contains(NO_MONEY, case=False)
    chosen = name or min(table.loc[is_money, "series"], default="")
    if chosen not in set(table.series):
        raise PlaybookError(
            "market_research.no_series",
            name=chosen,
            known=", ".join(sorted(table.series.unique())),
            table="market_series",
            column="series",
        )
    table = _by_vintage(table[table.series == chosen])
    table = table.drop_duplicates("period_on", keep="last").reset_index(drop=True)
    unit = table.unit.iloc[-1].lower()
    factor = next((f for word, f in FACTORS.items() if re.search(word, unit)), 1.0)
    return table[["period_on", "series", "value", "published_on", "unit"]], factor


@returns("market_research.revisions")
def series_revisions(market_series: DataFrame) -> DataFrame:
    """Periods whose published value changed between two vintages. Statistical offices
    revise: a share computed on one vintage may not be another's.
    """
    table = _by_vintage(market_series.dropna(subset=["value"]))
    before = table.groupby(["series", "period_on"])[["value", "published_on"]].shift()
    table["first_value"], table["first_published_on"] = (
        before.value,
        before.published_on,
    )
    revised = table[table.first_value.notna() & (table.value != table.first_value)]
    revised = revised.assign(change_share=revised.value / revised.first_value - 1)
    return revised[schema("market_research.revisions").names].reset_index(drop=True)


@returns("market_research.market_share")
def market_share(
    own: DataFrame,
    published: DataFrame,
    *,
    unit_factor: float = 1.0,
) -> DataFrame:
    """The shop's part of its market, in the periods both cover whole.

    `own`: month, amount (whole months). `published`: one series at its newest vintage;
    `unit_factor` turns one unit of it into the shop's currency. The share is missing
    where the shop sells more than the series.
    """
    days = pd.to_datetime(published.period_on)
    is_quarterly = days.diff().dt.days.median() > LONGEST_MONTH
    code, n_months = ("Q", 3) if is_quarterly else ("M", 1)
    table = DataFrame(
        {
            "market": published.value.to_numpy(float) * unit_factor,
            "vintage": pd.to_datetime(published.published_on).dt.as_unit("us").to_numpy(),
        },
        index=pd.PeriodIndex(days, freq=code),
    )
    sales = own.groupby(pd.PeriodIndex(own.month, freq="M").asfreq(code)).amount
    table["own"] = sales.sum().where(sales.count() == n_months).reindex(table.index)
    share = table.own / table.market
    # a shop that sells more than a series is no part of what it counts
    table["share"] = share.where((table.market > 0) & (share <= 1))
    for name in ("own", "market"):
        year_before = table[name].reindex(table.index - 12 // n_months).to_numpy()
        table[f"{name}_growth"] = table[name] / year_before - 1
    table["growth_gap"] = table.own_growth - table.market_growth
    table["period_on"] = table.index.start_time
    known = table[table.own.notna()]
    return known[schema("market_research.market_share").names].reset_index(drop=True)


def _by_vintage(table: DataFrame) -> DataFrame:
    order = ["series", "period_on", "published_on"]
    return table.sort_values(order, na_position="first")
