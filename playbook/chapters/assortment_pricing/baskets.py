"""What a basket earns by its size, and at which free-shipping threshold the shop earned most.

The rule in force is read from the orders themselves: the basket from which postage was no
longer charged, week by week. Where it moved, the shop has tried several thresholds. Demand
was not the same in these weeks; baskets far above every threshold, which no rule touches,
say how large it was. What smaller baskets earned per such large order is compared between
the rules: a ratio of weekly sums (Cochran 1977, *Sampling Techniques*, ch. 6), with the
variance of weeks that lean on each other (first-order autocorrelation). A threshold nobody
tried is not judged.
"""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.store import expression
from playbook.tables import frame_of, returns, schema

__all__ = ["basket_bands", "baskets", "shipping_rules", "thresholds"]

Table = ibis.Table | DataFrame

#: baskets are cut into so many bands of equal count
BANDS = 10
#: orders of a week on either side of the threshold below which it says nothing
LEAST_A_SIDE = 10
#: share of a week's orders that may be charged otherwise than its rule says
MOST_ODD = 0.05
#: thresholds that differ by less are one, told by a few odd orders
SAME = 0.02
#: whole weeks a rule must have lasted, and large orders it needs in all
LEAST_WEEKS, LEAST_LARGE = 6, 100
#: a basket so many times the highest threshold is not touched by any
LARGE = 1.25
#: newest weeks whose demand a year's gain is reckoned at, and weeks of a year
NOW_WEEKS, YEAR_WEEKS = 26, 52
#: level of the intervals, normal
REACH = 1.28
#: steps a shop sets thresholds in, the roundest first
STEPS = (50.0, 20.0, 10.0, 5.0, 1.0, 0.5, 0.1, 0.01)


def baskets(sales_orders: Table, orders: Table) -> DataFrame:
    """One row per counted order with units: zone (country of delivery, `all` where it is not
    told), week_on (Monday), basket (goods after discount), shipping (charged to the buyer),
    margin (missing where a cost is). Money as floats, sorted by order.
    """
    charged = expression(orders).select("order_id", charged=_.shipping.cast("float64"))
    rows = expression(sales_orders).filter(_.units > 0).inner_join(charged, "order_id")
    frame = rows.select(
        "order_id",
        zone=rows.country.fill_null("all"),
        day_on=rows.ordered_on,
        basket=rows.revenue.cast("float64"),
        shipping=rows.charged.fill_null(0.0),
        margin=rows.margin.cast("float64"),
    ).to_pandas()
    day = pd.to_datetime(frame.pop("day_on"))
    frame["week_on"] = day - pd.to_timedelta(day.dt.weekday, "D")
    return frame.sort_values("order_id", ignore_index=True)


@returns("assortment_pricing.basket_bands")
def basket_bands(frame: DataFrame, *, bands: int = BANDS) -> DataFrame:
    """What orders earn by the size of their basket, the last 52 weeks of `baskets`."""
    weeks = frame.week_on.max() - pd.Timedelta(weeks=YEAR_WEEKS)
    year = frame[(frame.week_on > weeks) & frame.margin.notna()]
    if len(year) < 2 * bands:
        return frame_of("assortment_pricing.basket_bands", [])
    band = pd.qcut(
        year.basket,
        bands,
        labels=False,
        duplicates="drop",
    )
    rows = []
    for _band, part in year.groupby(band):
        error = REACH * part.margin.std() / np.sqrt(len(part))
        mean = part.margin.mean()
        about = (part.basket.min(), part.basket.max(), len(part), (part.margin < 0).mean())
        money = part.margin.sum(), error * len(part)
        rows.append(
            (*about, mean, mean - error, mean + error, money[0], money[0] - money[1], sum(money))
        )
    return frame_of("assortment_pricing.basket_bands", rows)


@returns("assortment_pricing.shipping_rules")
def shipping_rules(frame: DataFrame) -> DataFrame:
    """The free-shipping thresholds that were in force, by zone, from what `baskets` were
    charged. A week whose orders follow no single threshold belongs to none; a rule ends where
    a week's orders contradict it.
    """
    rows = []
    for zone, part in frame.groupby("zone"):
        rule: dict[str, Any] = {}
        for week, orders in part.groupby("week_on"):
            low, high = _between(orders)
            if np.isnan(low):
                continue
            both = (max(low, rule["low"]), min(high, rule["high"])) if rule else (1.0, 0.0)
            if both[0] < both[1]:
                rule |= {"low": both[0], "high": both[1], "last": week}
            elif rule and both[0] <= both[1] * (1 + SAME):
                rule["last"] = week
            else:
                rule = {"zone": zone, "first": week, "last": week, "low": low, "high": high}
                rows.append(rule)
            rule["n_weeks"] = rule.get("n_weeks", 0) + 1
            rule.setdefault("fees", []).append(orders.shipping[orders.shipping > 0].median())
    made = [
        (r["zone"], _roundest(r["low"], r["high"]), float(np.median(r["fees"])))
        + (r["first"].date(), (r["last"] + pd.Timedelta(days=6)).date(), r["n_weeks"])
        for r in rows
    ]
    return frame_of("assortment_pricing.shipping_rules", made)


def _between(orders: DataFrame) -> tuple[float, float]:
    """The largest basket that was charged and the smallest that was not, either side of the
    cut that fewest orders contradict; missing where none is clear.
    """
    ordered = orders.sort_values("basket")
    is_free = (ordered.shipping == 0).to_numpy()
    if min(is_free.sum(), (~is_free).sum()) < LEAST_A_SIDE:
        return np.nan, np.nan
    # orders on the wrong side if the first k are charged and the others are not
    odd = np.concatenate([[0], np.cumsum(is_free)]) + np.concatenate(
        [[(~is_free).sum()], (~is_free).sum() - np.cumsum(~is_free)]
    )
    k = int(np.argmin(odd))
    if odd[k] > MOST_ODD * len(ordered) or k in (0, len(ordered)):
        return np.nan, np.nan
    basket = ordered.basket.to_numpy()
    return float(basket[k - 1]), float(basket[k])


def _roundest(low: float, high: float) -> float:
    """The roundest number above `low`, at most `high`."""
    for step in STEPS:
        number = np.floor(high / step + 1e-9) * step
        if number > low + 1e-9:
            return round(float(number), 2)
    return high


@returns("assortment_pricing.thresholds")
def thresholds(frame: DataFrame, rules: DataFrame) -> DataFrame:
    """Margin a week at every threshold the shop has tried, at today's demand, and what a
    year of it would bring against the one in force; best first within each zone.
    """
    rows = []
    for zone, tried in rules[rules.n_weeks >= LEAST_WEEKS].groupby("zone"):
        part = frame[(frame.zone == zone) & frame.margin.notna()]
        rows += _zone(str(zone), part, tried)
    table = DataFrame(rows, columns=schema("assortment_pricing.thresholds").names)
    return table.sort_values(["zone", "margin_week"], ascending=[True, False], ignore_index=True)


def _zone(zone: str, frame: DataFrame, tried: DataFrame) -> list[dict[str, Any]]:
    is_large = frame.basket >= LARGE * tried.threshold.max()
    weeks = DataFrame(
        {
            "money": frame.margin.where(~is_large, 0.0).groupby(frame.week_on).sum(),
            "large": is_large.groupby(frame.week_on).sum().astype(float),
            "touched": (~is_large).groupby(frame.week_on).sum(),
        }
    )
    demand = weeks.large.tail(NOW_WEEKS).mean()
    now = tried.loc[tried.ends_on.idxmax(), "threshold"]
    found = {}
    for threshold, spells in tried.groupby("threshold"):
        inside = pd.concat([_whole_weeks(weeks, spell) for spell in spells.itertuples()])
        if len(inside) >= LEAST_WEEKS and inside.large.sum() >= LEAST_LARGE:
            found[threshold] = (*_per_large(inside), inside, spells.fee.iloc[-1])
    if now not in found:
        return []
    rows = []
    for threshold, (ratio, error, inside, fee) in found.items():
        gap = (ratio - found[now][0]) * demand * YEAR_WEEKS
        both = np.hypot(error, found[now][1]) if threshold != now else 0.0
        reach = REACH * both * demand * YEAR_WEEKS
        row = {"zone": zone, "threshold": threshold, "fee": fee, "n_weeks": len(inside)}
        row |= {"n_orders": int(inside.touched.sum()), "is_now": threshold == now}
        row |= {"margin_week": ratio * demand, "margin_low": (ratio - REACH * error) * demand}
        row |= {"margin_high": (ratio + REACH * error) * demand}
        rows.append(row | {"gain": gap, "gain_low": gap - reach, "gain_high": gap + reach})
    return rows


def _whole_weeks(weeks: DataFrame, spell: Any) -> DataFrame:
    """The weeks of a rule without its first and last, in which it may have moved."""
    first, last = (pd.Timestamp(day) for day in (spell.starts_on, spell.ends_on))
    inside = weeks[(weeks.index > first) & (weeks.index + pd.Timedelta(days=6) < last)]
    return inside.assign(spell=first)


def _per_large(weeks: DataFrame) -> tuple[float, float]:
    """Money per large order and its standard error."""
    ratio = weeks.money.sum() / weeks.large.sum()
    left: Series = weeks.money - ratio * weeks.large
    n, before = len(left), left.groupby(weeks.spell).shift(1)
    lean = float((left * before).sum() / max((left**2).sum(), 1e-12))
    lean = min(max(lean, 0.0), 0.9)
    error = np.sqrt((left**2).sum() / (n * (n - 1)) * (1 + lean) / (1 - lean))
    return float(ratio), float(error / weeks.large.mean())
