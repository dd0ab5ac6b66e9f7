"""Published series once imported: one of them at its newest vintage, and what was
revised between two vintages.
"""

from __future__ import annotations

import re

import pandas as pd

from playbook.errors import PlaybookError

__all__ = ["newest_vintage", "series_revisions"]


def newest_vintage(market_series: pd.DataFrame, name: str = "") -> tuple[pd.DataFrame, float]:
    """One series at its newest vintage (period_on, value, published_on, unit), and what
    one unit of it is in money.

    Without a name the first series (by name) whose unit is not a share. `million`,
    `thousand`, `billion` or a trailing M in the unit set the factor. Raises
    PlaybookError naming the series there are when the one asked for is not.
    """
    t = market_series.assign(
        unit=market_series["unit"].fillna("") if "unit" in market_series else ""
    )
    money = sorted(
        t.loc[~t["unit"].str.contains(r"share|percent|%|index", case=False), "series"].unique()
    )
    chosen = name or (money[0] if money else "")
    if chosen not in set(t["series"]):
        raise PlaybookError(
            f"There is no series {chosen!r}",
            table="market_series",
            column="series",
            do=f"choose from {', '.join(sorted(t['series'].unique()))}",
        )
    t = t[t["series"] == chosen].sort_values(["period_on", "published_on"], na_position="first")
    t = t.drop_duplicates("period_on", keep="last").reset_index(drop=True)
    unit = t["unit"].iloc[-1].lower()
    words = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
    factor = next(
        (f for word, f in words.items() if word in unit),
        1e6 if re.search(r"\bm$|\$m", unit) else 1.0,
    )
    return t[["period_on", "series", "value", "published_on", "unit"]], factor


def series_revisions(market_series: pd.DataFrame) -> pd.DataFrame:
    """Periods whose published value changed between two vintages: series, period_on,
    first_published_on, first_value, published_on, value, change_share. Statistical
    offices revise: a share computed on one vintage may not be another's.
    """
    t = market_series.dropna(subset=["value"]).sort_values(
        ["series", "period_on", "published_on"], na_position="first"
    )
    t["first_value"], t["first_published_on"] = (
        t.groupby(["series", "period_on"])[c].shift() for c in ("value", "published_on")
    )
    out = t[t["first_value"].notna() & (t["value"] != t["first_value"])]
    out = out.assign(change_share=out["value"] / out["first_value"] - 1)
    return out[
        [
            "series",
            "period_on",
            "first_published_on",
            "first_value",
            "published_on",
            "value",
            "change_share",
        ]
    ].reset_index(drop=True)
