"""New products beside their siblings: how far a launch has come, and where it will be.

Siblings are the products of the same category that came before. Each week's units are taken
as a share of what the whole shop sold that week, so that season and growth cancel. How far
siblings went on from the same age (the ratio of their share by the end of the curve to that so
far) says where a new one will land: the ratios' own spread, and the noise of few units (gamma),
make the interval.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Timestamp

from playbook.given import dated
from playbook.store import expression
from playbook.tables import returns, schema

__all__ = ["launches"]

Table = ibis.Table | DataFrame

#: weeks of the curve, and weeks a launch must be old to be judged
WEEKS, LEAST_WEEKS = 26, 4
#: siblings a launch needs, and weeks of the past they may come from
LEAST_SIBLINGS, PAST_WEEKS = 5, 156
#: draws of the interval, which holds four in five
DRAWS, INSIDE = 2000, 0.8
#: of siblings at the end of the curve: surely beyond the first a launch is scaled, surely under
#: the second it is left
UPPER, LOWER = 0.5, 0.25


@dated
@returns("assortment_pricing.launches")
def launches(
    sku_days: Table, products: Table, *, as_of: dt.date | str, weeks: int = WEEKS, seed: int = 5
) -> DataFrame:
    """One row per product younger than `weeks` weeks (and at least four), the weakest first.

    scale: surely beyond the middle sibling; leave: surely under the lowest quarter of them; fix:
    likely below the middle; as siblings: otherwise; too few siblings: fewer than five of the
    category went the whole way. Weeks in which a product was never in stock count for nobody.
    """
    weekly = _weekly(
        sku_days,
        products,
        as_of,
        weeks,
    )
    rows = []
    for _category, part in weekly.groupby("category"):
        shares = part.pivot_table(
            index="sku",
            columns="age",
            values="share",
            aggfunc="sum",
        )
        ages = part.groupby("sku").age.max() + 1
        whole = shares[ages.reindex(shares.index) >= weeks].cumsum(axis=1)
        for sku in ages.index[(ages < weeks) & (ages >= LEAST_WEEKS)]:
            mine = part[part.sku == sku]
            row = _row(
                mine,
                whole,
                int(ages[sku]),
                weeks,
                np.random.default_rng(seed),
            )
            rows.append({"sku": sku, "category": mine.category.iloc[0]} | row)
    table = DataFrame(rows, columns=schema("assortment_pricing.launches").names)
    return table.sort_values(["effect", "sku"], ignore_index=True)


def _weekly(sku_days: Table, products: Table, as_of: dt.date | str, weeks: int) -> DataFrame:
    """One row per sku and week of its age: units, goods margin, the shop's units, share."""
    known = expression(products).filter(_.category.notnull() & _.launched_on.notnull())
    known = known.select("sku", "category", "launched_on")
    every = expression(sku_days).filter(_.day_on <= as_of)
    sold = every.group_by("day_on").aggregate(units=_.units.fill_null(0).sum().cast("float64"))
    days = every.inner_join(known, "sku")
    age = (days.day_on.cast("date").delta(days.launched_on, unit="day") / 7).floor()
    sums = {
        "units": _.units.fill_null(0).sum().cast("float64"),
        "margin": _.margin.sum().cast("float64"),
        "n_days": _.count(),
        "n_seen": _.units.notnull().sum(),
    }
    days = days.mutate(age=age.cast("int64"))
    weekly = days.filter(_.age >= 0).group_by(
        "category",
        "sku",
        "age",
        "launched_on",
    )
    frame = weekly.aggregate(**sums).order_by("sku", "age").to_pandas()
    frame["launched_on"] = pd.to_datetime(frame.launched_on)
    starts = frame.launched_on + pd.to_timedelta(7 * frame.age, "D")
    frame["shop_units"] = _ahead(sold.order_by("day_on").to_pandas(), starts)
    recent = Timestamp(as_of) - pd.Timedelta(weeks=PAST_WEEKS)
    # a week not over yet is none
    frame = frame[(frame.age < weeks) & (frame.n_days == 7) & (frame.launched_on > recent)]
    whole = frame.shop_units.where(frame.shop_units > 0)
    return frame.assign(share=(frame.units / whole).fillna(0.0))


def _ahead(daily: DataFrame, starts: pd.Series) -> np.ndarray:
    """Units of the shop in the seven days from each start."""
    units = daily.set_index(pd.to_datetime(daily.day_on)).units.asfreq("D").fillna(0.0)
    ahead = units[::-1].rolling(7, min_periods=1).sum()[::-1]
    return ahead.reindex(starts).fillna(0.0).to_numpy()


def _row(
    mine: DataFrame, whole: DataFrame, age: int, weeks: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Where a launch stands and will land, beside the siblings that went the whole way."""
    units, margin = mine.units.sum(), mine.margin.sum(min_count=1)
    each = margin / units if units > 0 else np.nan
    sold = mine.share.sum()
    row = {"age_weeks": age, "units": units, "margin": margin, "n_siblings": len(whole)}
    nothing = ["rank_share", "expected", "low", "high", "middle", "effect", "effect_low"]
    if len(whole) < LEAST_SIBLINGS:
        told = dict.fromkeys([*nothing, "effect_high"], np.nan)
        return row | told | {"verdict": "too few siblings"}
    then, end = whole[age - 1].to_numpy(float), whole[weeks - 1].to_numpy(float)
    # units of a usual week of the shop: from shares back to units
    size = mine.shop_units.mean()
    went = np.log(end[then > 0] / then[then > 0])
    noise = rng.gamma(units + 0.5, 1 / max(units, 0.5), DRAWS)
    drawn = max(sold, 0.5 / max(size, 1)) * noise * np.exp(rng.choice(went, DRAWS))
    low, middle, high = np.quantile(drawn, [(1 - INSIDE) / 2, 0.5, (1 + INSIDE) / 2])
    aim, floor = np.quantile(end, [UPPER, LOWER])
    verdict = "as siblings" if middle >= aim else "fix"
    verdict = "scale" if low > aim else "leave" if high < floor else verdict
    effect = np.array([middle, low, high]) - aim
    row |= {"rank_share": float((then <= sold).mean()), "expected": middle * size}
    row |= {"low": low * size, "high": high * size, "middle": aim * size}
    money = effect * size * (each if np.isfinite(each) else np.nan)
    names = ("effect", "effect_low", "effect_high")
    return row | dict(zip(names, money, strict=True)) | {"verdict": verdict}
