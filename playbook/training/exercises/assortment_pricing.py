"""10 Assortment and pricing: roles by rule, best prices, the active range, what a
promotion earned, the tail.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.assortment_pricing.assortment import (
    delist,
    lifecycle,
    range_kpis,
    roles,
)
from playbook.chapters.assortment_pricing.ladders import price_ladder
from playbook.chapters.assortment_pricing.pipeline import stages
from playbook.chapters.assortment_pricing.promotion_review import promotion_review
from playbook.store import Store
from playbook.tables import frame_of
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound, either
from playbook.training.form import Form, agrees
from playbook.training.reading import demand, sku_year, variable_share, weeks_of_month

LETTERS = {"image": "a", "campaign": "b", "traffic": "c", "profit": "d", "core": "e"}
CORRIDOR = 0.10
#: where the made-up elasticity of the first sku puts its best price, over today's
BEST_AT = 1.04
INELASTIC = -0.7
COMING = ["COMING-1", "COMING-2"]
TAIL_SHARE = 0.01
#: what neighbours keep plays no part here
UNKNOWN = {"share": np.nan, "low": np.nan, "high": np.nan, "n": 0}
#: margin against the days as they would have been -> its column and sign in the review
BROUGHT = {
    "promoted skus": ("direct_margin", 1),
    "other skus of the category": ("cannibalised_margin", -1),
    "all other skus": ("halo_margin", 1),
    "days after": ("pulled_margin", -1),
}


@functools.cache
def _year(shop: Store) -> DataFrame:
    year = sku_year(shop)
    if year.margin.notna().sum() < 10:
        raise NotApplicable("training.few_skus_with_cost")
    return year


_demand = functools.cache(demand)


@functools.cache
def _best_seller(shop: Store) -> str:
    """A sku of the upper quarter by revenue that is no profit item, one with a role of
    its own before a core one.
    """
    table = roles(_year(shop)).merge(_year(shop)[["sku", "revenue"]], on="sku")
    table = table[(table.role != "profit") & (table.revenue >= table.revenue.quantile(0.75))]
    if table.empty:
        raise NotApplicable("training.best_sellers_are_profit_items")
    table = table.assign(is_core=table.role == "core")
    order = {"is_core": True, "revenue": False, "sku": True}
    return table.sort_values(list(order), ascending=list(order.values())).sku.iloc[0]


@functools.cache
def role_sheet(shop: Store) -> DataFrame:
    """One of the shop's best sellers against the chapter's rules (without stock and
    elasticity), in their order: sku, rank_by_revenue, role, figure, of_this_sku,
    condition, threshold.
    """
    year = _year(shop)
    sku = year.set_index("sku").loc[_best_seller(shop)]
    draws = year.new_buyer_share.where(year.n_orders >= 20)
    draw = sku.new_buyer_share if sku.n_orders >= 20 else np.nan
    rows = [
        ("image", "price paid", sku.price_paid, "at least", year.price_paid.quantile(0.9)),
        ("image", "units", sku.units, "below", year.units.median()),
        ("campaign", "share of units discounted", sku.discounted_share, "at least", 0.5),
        ("traffic", "share of orders by new buyers", draw, "above", draws.quantile(0.75)),
        ("traffic", "margin share", sku.margin_share, "below", year.margin_share.median()),
        ("profit", "margin share", sku.margin_share, "at least", year.margin_share.quantile(0.6)),
    ]
    rank = int((year.revenue >= sku.revenue).sum())
    return frame_of("training.role_sheet", [(sku.name, rank, *row) for row in rows])


def role_of_the_sku(shop: Store) -> str:
    table = roles(_year(shop)).set_index("sku")
    return LETTERS[table.role[_best_seller(shop)]]


@functools.cache
def price_table(shop: Store) -> DataFrame:
    """Two best sellers: sku, price (paid a unit), unit_cost (goods, fees, fulfilment),
    elasticity, lowest, highest (the corridor). Prices and costs are the shop's own; the
    elasticities are made up for the exercise: the first leaves its best price inside
    the corridor, the second is inelastic.
    """
    year = _year(shop).sort_values(["revenue", "sku"], ascending=[False, True])
    cost = year.price_paid - year.margin / year.units
    is_plain = (cost > 0.2 * year.price_paid) & (cost < 0.9 * year.price_paid)
    year = year.assign(unit_cost=cost.round(2))[is_plain].head(2).reset_index(drop=True)
    if len(year) < 2:
        raise NotApplicable("training.few_skus_above_cost")
    price = year.price_paid.round(2)
    best = BEST_AT * price
    elasticity = (-best / (best - year.unit_cost)).round(2)
    elasticity[1] = INELASTIC
    return year[["sku"]].assign(
        price=price,
        unit_cost=year.unit_cost,
        elasticity=elasticity,
        lowest=((1 - CORRIDOR) * price).round(2),
        highest=((1 + CORRIDOR) * price).round(2),
    )


def best_prices(shop: Store) -> dict[str, float]:
    prices = {}
    for row in price_table(shop).itertuples():
        best = row.highest
        # otherwise margin rises with the price as far as anybody knows
        if row.elasticity < -1:
            best = row.unit_cost * row.elasticity / (1 + row.elasticity)
        prices[row.sku] = min(max(best, row.lowest), row.highest)
    return prices


def _prices(first: str, second: str) -> Callable[[Store], dict[str, float]]:
    """Each sku at a column of the table, or at what the formula gives (`formula`)
    whatever its elasticity.
    """

    def prices(shop: Store) -> dict[str, float]:
        table = price_table(shop)
        formula = table.unit_cost * table.elasticity / (1 + table.elasticity)
        table = table.assign(formula=formula)
        chosen = [table[name].iloc[place] for place, name in enumerate((first, second))]
        return dict(zip(table.sku, map(float, chosen), strict=True))

    return prices


def _formula_everywhere(shop: Store, answer: dict[str, float]) -> bool:
    """The second sku at a negative price, or at the lowest after it was put back into
    the corridor.
    """
    cents = Form("money", 2)
    first, second = price_table(shop).sku
    wrong = [_prices("formula", name)(shop)[second] for name in ("formula", "lowest")]
    # names are read without case
    said = {sku: answer[sku.casefold()] for sku in (first, second)}
    is_first_right = agrees(cents, best_prices(shop)[first], said[first])
    return is_first_right and any(agrees(cents, price, said[second]) for price in wrong)


@functools.cache
def range_month(shop: Store) -> DataFrame:
    """The report month by sku of the catalogue: sku, days_on_sale (in stock, 0 where it
    was not on sale at all), units, in_stock_at_end. Two skus to be launched next month
    are made up for the exercise.
    """
    panel, _law = _demand(shop)
    if not panel.is_stock_known:
        raise NotApplicable("training.no_stock_records")
    at = weeks_of_month(panel, shop.month)
    if not len(at):
        raise NotApplicable("training.no_whole_week")
    exposure = panel.exposure[:, at]
    days = (7 * exposure.sum(axis=1)).round().clip(min=(exposure > 0).any(axis=1))
    units = panel.units[:, at].sum(axis=1)
    table = DataFrame({"sku": panel.sku, "days_on_sale": days, "units": units})
    last = shop.sku_days.filter(_.day_on == shop.sku_days.day_on.max()).select("sku", "on_hand")
    table = table.merge(shop.con.execute(last), on="sku", how="left")
    catalogue = set()
    if shop.has("products"):
        catalogue = set(shop.con.execute(shop.products.select("sku")).sku)
    others = DataFrame({"sku": [*sorted(catalogue - set(table.sku)), *COMING]})
    table = pd.concat([table, others]).fillna({"days_on_sale": 0, "units": 0})
    table["in_stock_at_end"] = table.pop("on_hand").fillna(0) > 0
    return table.astype({"days_on_sale": int, "units": int}).sort_values("sku", ignore_index=True)


def active_share(shop: Store) -> float:
    panel, _law = _demand(shop)
    months = range_kpis(panel, as_of=shop.as_of).set_index("month")
    if shop.month not in months.index:
        raise NotApplicable("training.no_whole_week")
    return float(months.amount[shop.month])


def _active_over(base: Callable[[DataFrame], int]) -> Callable[[Store], float]:
    def share(shop: Store) -> float:
        table = range_month(shop)
        return int(((table.units > 0) & (table.days_on_sale > 0)).sum()) / base(table)

    return share


@functools.cache
def promotion_account(shop: Store) -> DataFrame:
    """The account of the largest promotion the review may judge: promo_id, item,
    amount. The first four items are contribution margin against the days as they would
    have been, signed, and add up to what it brought; then its cost, and what the
    campaign report shows: revenue under the promotion and the discount in it.
    """
    if not shop.has("promotions"):
        raise NotApplicable("training.no_promotion")
    review, _days = promotion_review(
        shop.sku_days,
        shop.promotions,
        as_of=shop.as_of,
        products=shop.get("products"),
        variable_share=variable_share(shop),
    )
    review = review[(review.status == "complete") & (review.cost > 0)]
    review = review.dropna(subset="incremental_margin")
    for row in review.sort_values(["actual_units", "promo_id"], ascending=False).itertuples():
        lines = shop.sales_lines.filter(_.promo_id == str(row.promo_id))
        sums = {name: lines[name].sum().cast("float64") for name in ("revenue", "discount")}
        reported = shop.con.execute(lines.aggregate(**sums)).iloc[0]
        if reported.discount > 0:
            items = {name: sign * getattr(row, of) for name, (of, sign) in BROUGHT.items()}
            items |= {"cost": row.cost, **reported}
            amounts = Series(items).rename_axis("item").rename("amount").reset_index()
            amounts.insert(0, "promo_id", row.promo_id)
            return amounts
    raise NotApplicable("training.no_promotion_to_judge")


def promotion_roi(shop: Store) -> float:
    account = promotion_account(shop).set_index("item").amount
    brought = account[
        ["promoted skus", "other skus of the category", "all other skus", "days after"]
    ].sum()
    return (brought - account["cost"]) / account["cost"]


def _roi(*items: str, less: str = "") -> Callable[[Store], float]:
    """Another sum over the cost: of these items, less one."""

    def roi(shop: Store) -> float:
        account = promotion_account(shop).set_index("item").amount
        brought = account[list(items)].sum() - account.get(less, 0.0)
        return (brought - account["cost"]) / account["cost"]

    return roi


@functools.cache
def range_table(shop: Store) -> DataFrame:
    """The year of every sku: sku, stage, units, revenue, margin. Two skus of the middle
    were cleared below cost in it; that is made up for the exercise.
    """
    year = _year(shop).dropna(subset="margin")
    stage = lifecycle(*_demand(shop)).set_index("sku").stage
    year = year.assign(stage=year.sku.map(stage)).sort_values(["margin", "sku"], ignore_index=True)
    old = year.index[(year.stage != "new") & (year.margin > 0)]
    for place in (len(old) // 3, len(old) // 2):
        year.loc[old[place], "margin"] *= -0.3
    return year.sort_values("sku", ignore_index=True)


def tail_table(shop: Store) -> DataFrame:
    """sku, stage, units, revenue, margin of `range_table`, what the learner sees."""
    return frame_of("training.tail_table", range_table(shop))


def tail_skus(shop: Store) -> set[str]:
    table = range_table(shop)
    tail = delist(table, lifecycle=table[["sku", "stage"]], transfer=UNKNOWN, tail_share=TAIL_SHARE)
    return set(tail.sku)


def _tail(shop: Store, by: str = "margin", *, new_too: bool = False) -> DataFrame:
    """The skus, smallest first, within the last percent of what was gained."""
    table = range_table(shop)
    table = table[(table.stage != "new") | new_too].sort_values([by, "sku"])
    gains = table[by].clip(lower=0)
    return table[gains.cumsum() <= TAIL_SHARE * gains.sum()]


def _tail_skus(shop: Store, **how: Any) -> set[str]:
    return set(_tail(shop, **how).sku)


def _from_the_top(shop: Store, by: str = "margin", *, new_too: bool = False) -> set[str]:
    """The skus beyond 99% of the net sum, counted down from the largest."""
    table = range_table(shop)
    table = table[(table.stage != "new") | new_too]
    table = table.sort_values([by, "sku"], ascending=[False, True])
    return set(table.sku[table[by].cumsum() / table[by].sum() > 1 - TAIL_SHARE])


@functools.cache
def ladder_steps(shop: Store) -> DataFrame:
    """The steps of the category that sells most units: category, step, price_low, price_high,
    units; at least three.
    """
    table = price_ladder(demand(shop)[0])
    long = table[table.groupby("category").step.transform("size") >= 3]
    if long.empty:
        raise NotApplicable("training.no_ladder")
    most = long.groupby("category").units.sum().idxmax()
    columns = ["category", "step", "price_low", "price_high", "units"]
    mine = long[long.category == most].sort_values("step", ignore_index=True)[columns]
    return mine.round({"price_low": 2, "price_high": 2})


def _of_widest(shop: Store, column: str, further: int = 0) -> float:
    steps = ladder_steps(shop)
    ratio = steps.price_low.shift(-1) / steps.price_high
    return float(steps[column][ratio.idxmax() + further])


def _widest_in_money(shop: Store) -> float:
    steps = ladder_steps(shop)
    return float(steps.price_high[(steps.price_low.shift(-1) - steps.price_high).idxmax()])


def below_the_gap(shop: Store) -> float:
    """The highest price below the widest gap of the ladder, gaps as ratios."""
    return _of_widest(shop, "price_high")


def idea_stages(shop: Store) -> DataFrame:
    """The stages of ideas in their order: stage, n_entered, n_open (stand in it), n_went_on and
    n_dropped (left it for a later stage, or for good).
    """
    if not shop.has("ideas"):
        raise NotApplicable("training.no_ideas")
    known = stages(shop.ideas, as_of=shop.as_of)
    rows = shop.ideas.select("idea_id", "stage", "entered_on").to_pandas()
    rows = rows.sort_values(["idea_id", "entered_on"], kind="stable")
    last = rows.groupby("idea_id").stage.shift(-1)
    dropped = rows.stage[last == "dropped"].value_counts()
    table = known[["stage", "n_entered", "n_open"]].copy()
    table["n_dropped"] = table.stage.map(dropped).fillna(0).astype(int)
    table["n_went_on"] = known.n_left - table.n_dropped
    if not (table.n_went_on > 0).all():
        raise NotApplicable("training.no_ideas")
    return table


def chance_of_launch(shop: Store) -> float:
    """Stage by stage the share that went on of those that left it, multiplied."""
    table = idea_stages(shop)
    return float((table.n_went_on / (table.n_went_on + table.n_dropped)).prod())


def _waiting_counted(shop: Store) -> float:
    table = idea_stages(shop)
    return float((table.n_went_on / table.n_entered).prod())


def _last_over_first(shop: Store) -> float:
    table = idea_stages(shop)
    return float(table.n_went_on.iloc[-1] / table.n_entered.iloc[0])


EXERCISES = bound(
    "assortment_pricing",
    {
        "10.1": Answers(
            role_of_the_sku,
            slips={"one row of two": lambda shop: "e" if role_of_the_sku(shop) == "c" else "c"},
            given=role_sheet,
        ),
        "10.2": Answers(
            best_prices,
            slips={
                "revenue-maximising": _prices("lowest", "highest"),
                "formula used when |ε| ≤ 1": Pattern(
                    _prices("formula", "formula"), _formula_everywhere
                ),
                "as dear as allowed": _prices("highest", "highest"),
                "left as it is": _prices("price", "price"),
            },
            given=price_table,
        ),
        "10.3": Answers(
            active_share,
            slips={
                "all skus as base": _active_over(len),
                "out-of-stock skus dropped unseen": _active_over(
                    lambda table: int(table.in_stock_at_end.sum())
                ),
            },
            given=range_month,
            figures={"active_sku_share": active_share},
        ),
        "10.4": Answers(
            promotion_roi,
            slips={
                "discount twice": _roi(*BROUGHT, less="discount"),
                "revenue for margin": _roi("revenue"),
                "the report's own": _roi("revenue", less="discount"),
                "no pull-forward": _roi(*BROUGHT, less="days after"),
                "promoted skus only": _roi("promoted skus"),
                "cost not taken off": lambda shop: promotion_roi(shop) + 1,
            },
            given=promotion_account,
        ),
        "10.5": Answers(
            tail_skus,
            slips={
                "revenue": either(
                    *(
                        functools.partial(tail, by="revenue", new_too=new_too)
                        for tail in (_tail_skus, _from_the_top)
                        for new_too in (False, True)
                    )
                ),
                "loss-makers sorted last": either(
                    _from_the_top, functools.partial(_from_the_top, new_too=True)
                ),
                "new skus too": lambda shop: _tail_skus(shop, new_too=True),
                "loss-makers forgotten": lambda shop: set(_tail(shop).query("margin > 0").sku),
                "loss-makers only": lambda shop: set(_tail(shop).query("margin <= 0").sku),
            },
            given=tail_table,
        ),
        "10.7": Answers(
            below_the_gap,
            slips={
                "upper side": lambda shop: _of_widest(shop, "price_low", 1),
                "by money": _widest_in_money,
            },
            given=ladder_steps,
        ),
        "10.8": Answers(
            chance_of_launch,
            slips={"the waiting counted": _waiting_counted, "last over first": _last_over_first},
            given=idea_stages,
        ),
    },
)
