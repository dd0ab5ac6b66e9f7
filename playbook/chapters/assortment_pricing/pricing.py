"""Prices: what a move would do, and which price moves.

*Elasticity* is the change of units per change of price with everything else as it was;
where prices moved too little it is "not identifiable", and no price is moved on it.
Beyond the corridor nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.assortment_pricing.assortment import OFF_SALE
from playbook.errors import PlaybookError
from playbook.measures.demand_panel import DemandPanel
from playbook.measures.price_moves import line_prices, posted_prices
from playbook.messages import say
from playbook.methods.elasticity import (
    price_elasticity,
    regular_prices,
)
from playbook.tables import returns, schema

Array = np.ndarray
Table = ibis.Table | DataFrame

__all__ = ["elasticities", "gain_at", "price_list"]

#: draws of each elasticity, and the prices tried in the corridor
N_DRAWS, N_PRICES, PRICE_STEP = 400, 21, 0.1
#: share of the units a price wins that other items of the category lose, and of those it loses
#: that they win: a third (van Heerde, Gupta and Wittink, 2003, JMR 40, of promoted brands), drawn
#: from none to twice as much, for nobody knows it of this shop
SWITCHED = 1 / 3
#: no smaller move is worth a label
LEAST_MOVE = 0.005


@returns("assortment_pricing.elasticity")
def elasticities(
    panel: DemandPanel,
    *,
    prices: Table | None = None,
    sales_lines: Table | None = None,
) -> DataFrame:
    """Own-price elasticity of each sku.

    Prices come from the shop's own rows of `prices` where given, else from the price
    before discount on `sales_lines`, carried over weeks without a sale. Without stock
    records nothing is said to have been sold out: what moved with a gap on sale moved as
    the sku came on sale.
    """
    if prices is None and sales_lines is None:
        raise PlaybookError("assortment_pricing.no_prices", table="prices")
    asked = line_prices(panel, sales_lines) if prices is None else posted_prices(panel, prices)
    regular = regular_prices(asked, panel.promo)
    found = price_elasticity(
        panel.units,
        panel.exposure,
        regular,
        panel.week,
        group=pd.factorize(panel.category, sort=True)[0],
        promo=panel.promo,
    )
    found.insert(0, "sku", panel.sku)
    if not panel.is_stock_known:
        sold_out, begun = (say(f"methods.elasticity_with_{e}") for e in ("stock", "start"))
        found["reason"] = found["reason"].replace({sold_out: begun})
    return found.assign(price_now=regular[:, -1])


@returns("assortment_pricing.price_list")
def price_list(
    elasticity: DataFrame,
    year: DataFrame,
    *,
    corridor: float = 0.10,
    competitor: DataFrame | None = None,
    most_above: float = 0.15,
    sure: float = 0.8,
    lifecycle: DataFrame | None = None,
) -> DataFrame:
    """Price moves inside a corridor by expected margin; the corridor ends at
    `most_above` over the competitors' median.

    Units follow (price / now)^ε with ε drawn from all that is known of it, unlikely
    values included; margin a unit is price less the cost and fees implied by the year's
    margin. Of the units won or lost a part is the loss or gain of other items (`SWITCHED`), at
    the mean margin of the category's others. A price moves only if its gain is positive in
    `sure` of the draws; skus off sale (`lifecycle`), without an identified elasticity or a
    margin keep their price and say why.
    """
    table = elasticity.rename(columns={"estimate": "elasticity", "price_now": "now"})
    table = table.merge(_money(year), on="sku", how="left")
    stage = table.sku.map({} if lifecycle is None else lifecycle.set_index("sku")["stage"])
    may_move = table.is_identifiable & table.margin.notna() & ~stage.isin(OFF_SALE)
    may_move &= (table.units > 0) & (table.now > 0)
    table["low_price"], table["high_price"] = _corridor(
        table,
        corridor,
        competitor,
        most_above,
    )
    plan, gain = _best_prices(table, may_move.to_numpy(), sure)
    moved = may_move & (np.abs(plan / table.now - 1) > LEAST_MOVE)
    table["plan"] = table.now.mask(moved, plan)
    table["move_share"] = table.plan / table.now - 1
    gain_low, gain_high = np.quantile(gain, [0.1, 0.9], axis=1)
    gains = {
        "gain": gain.mean(axis=1),
        "gain_low": gain_low,
        "gain_high": gain_high,
    }
    for name, part in (gains | {"chance": (gain > 0).mean(axis=1)}).items():
        table[name] = np.where(may_move, part, np.nan)
    actions = [moved & (plan > table.now), moved]
    table["action"] = np.select(actions, ["raise", "lower"], "keep")
    table["reason"] = _reasons(table, moved, stage)
    return table[schema("assortment_pricing.price_list").names]


def _corridor(
    table: DataFrame,
    corridor: float,
    competitor: DataFrame | None,
    most_above: float,
) -> tuple[Array, Array]:
    """Lowest and highest price that may be asked."""
    now = table.now.to_numpy(float)
    low, high = now * (1 - corridor), now * (1 + corridor)
    if competitor is not None and len(competitor):
        median = table.sku.map(competitor.set_index("sku")["median_price"]).to_numpy(float)
        cap = median * (1 + most_above)
        high = np.where(
            np.isfinite(cap),
            np.maximum(np.minimum(high, cap), low),
            high,
        )
    return low, high


def _best_prices(table: DataFrame, may_move: Array, sure: float) -> tuple[Array, Array]:
    """The price of each sku with the highest mean gain that is sure enough, else today's,
    and its gain a year by draw, (sku, draw).
    """
    low, high = (table[c].to_numpy(float) for c in ("low_price", "high_price"))
    demand = _demand(table)
    best, plan = np.zeros((len(table), N_DRAWS)), demand.now
    for part in np.linspace(0, 1, N_PRICES):
        rounded = np.round((low + part * (high - low)) / PRICE_STEP) * PRICE_STEP
        price = np.clip(rounded, low, high)
        gain = demand.gain(price)
        better = may_move & (gain.mean(axis=1) > best.mean(axis=1))
        better &= (gain > 0).mean(axis=1) >= sure
        best, plan = (
            np.where(better[:, None], gain, best),
            np.where(better, price, plan),
        )
    return plan, best


@dataclass(frozen=True)
class _Demand:
    """What a year sells of each sku at another price, by draw of its elasticity: prices
    `now`, `drawn` elasticities (sku, draw), a year's `units`, what is `paid` of a unit, its
    `cost`, what a unit of the `others` in its category brings, and the share of its units that
    is `switched` to or from these (draw).
    """

    now: Array
    drawn: Array
    units: Array
    paid: Array
    cost: Array
    others: Array
    switched: Array

    def gain(self, price: Array) -> Array:
        """Margin a year more than today's price brings, (sku, draw)."""
        sold = (price / self.now)[:, None] ** self.drawn
        # what of a posted price is really paid, discounts as before
        margin = price * (self.paid / self.now) - self.cost
        before = (self.paid - self.cost)[:, None]
        switched = self.switched * (sold - 1) * self.others[:, None]
        return self.units[:, None] * (sold * margin[:, None] - before - switched)


def _demand(table: DataFrame) -> _Demand:
    columns = ["now", "elasticity", "se", "units", "price_paid", "margin", "others"]
    now, mean, se, units, paid, margin, others = (table[c].to_numpy(float) for c in columns)
    noise = np.random.default_rng(7).standard_normal((1, N_DRAWS))
    drawn = mean[:, None] + se[:, None] * noise
    even = (np.random.default_rng(8).permutation(N_DRAWS) + 0.5) / N_DRAWS
    cost, switched = paid - margin / np.maximum(units, 1), 2 * SWITCHED * even[None]
    return _Demand(
        now,
        drawn,
        units,
        paid,
        cost,
        others,
        switched,
    )


def _money(year: DataFrame) -> DataFrame:
    """By sku: units, margin, price_paid, and others: margin a unit of the rest of its category
    (of the range, where no category is known), of those whose margin is known; 0 without any.
    """
    money = year[["sku", "units", "margin", "price_paid"]]
    known = money.margin.notna()
    sums = money[["units", "margin"]].astype(float).where(known, 0.0)
    category = year["category"] if "category" in year else pd.Series("", year.index)
    whole = sums.groupby(category.fillna("").astype(str)).transform("sum")
    rest = whole - sums
    return money.assign(others=(rest.margin / rest.units.where(rest.units > 0)).fillna(0.0))


def gain_at(elasticity: DataFrame, year: DataFrame, *, sku: str, price: float) -> Array:
    """Margin a year that another price of one sku would gain, by draw of its elasticity;
    none where the elasticity is not identifiable or its margin is not known.
    """
    table = elasticity.rename(columns={"estimate": "elasticity", "price_now": "now"})
    table = table.merge(_money(year), on="sku", how="left")
    row = table[(table.sku == sku) & table.is_identifiable & table.margin.notna()]
    if row.empty:
        return np.empty(0)
    return _demand(row).gain(np.array([price], float))[0]


def _reasons(table: DataFrame, moved: pd.Series, stage: pd.Series) -> Array:
    """Why each price moves, or why it stays."""
    off_sale = [say(f"assortment_pricing.off_{name.replace(' ', '_')}") for name in OFF_SALE]
    why = np.where(
        table.margin.isna(),
        say("assortment_pricing.no_margin"),
        say("assortment_pricing.no_sure_gain"),
    )
    why = np.where(table.is_identifiable, why, table.reason)
    is_off = [stage == name for name in OFF_SALE]
    gained = say("assortment_pricing.margin_gained")
    return np.select([moved, *is_off], [gained, *off_sale], why)
