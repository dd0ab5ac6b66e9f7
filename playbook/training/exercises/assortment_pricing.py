"""10 Assortment and pricing: roles by rule, best prices, the active range, what a
promotion earned, the tail.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.assortment_pricing.assortment import (
    delist,
    lifecycle,
    range_kpis,
    roles,
    sku_year,
    variable_cost_share,
)
from playbook.chapters.assortment_pricing.promotion_review import promotion_review
from playbook.measures.demand_panel import demand_law, demand_panel
from playbook.training.compare import same
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound

LETTERS = {"image": "a", "campaign": "b", "traffic": "c", "profit": "d", "core": "e"}
CORRIDOR = 0.10
BEST_AT = 1.04  # where the made-up elasticity of the first sku puts its best price, over today's
INELASTIC = -0.7
COMING = ["COMING-1", "COMING-2"]
TAIL_SHARE = 0.01
UNKNOWN = {
    "share": np.nan,
    "low": np.nan,
    "high": np.nan,
    "n": 0,
}  # what neighbours keep plays no part here


@functools.cache
def _share(shop: Any) -> float:
    share = variable_cost_share(shop.sales_orders, as_of=shop.as_of)
    return share if np.isfinite(share) else 0.0


@functools.cache
def _year(shop: Any) -> pd.DataFrame:
    year = sku_year(
        shop.sales_lines,
        shop.sales_orders,
        as_of=shop.as_of,
        products=shop.get("products"),
        variable_share=_share(shop),
    )
    if year.margin.notna().sum() < 10:
        raise NotApplicable("Fewer than ten skus with a known cost were sold in the last year.")
    return year


@functools.cache
def _panel(shop: Any) -> Any:
    return demand_panel(shop.sku_days, as_of=shop.as_of, products=shop.get("products"))


@functools.cache
def _best_seller(shop: Any) -> str:
    """A sku of the upper quarter by revenue that is no profit item, one with a role of
    its own before a core one.
    """
    found = roles(_year(shop)).merge(_year(shop)[["sku", "revenue"]], on="sku")
    found = found[(found.role != "profit") & (found.revenue >= found.revenue.quantile(0.75))]
    if found.empty:
        raise NotApplicable("Every best seller is a profit item.")
    found = found.assign(is_core=found.role == "core").sort_values(
        ["is_core", "revenue", "sku"], ascending=[True, False, True]
    )
    return found.sku.iloc[0]


@functools.cache
def role_sheet(shop: Any) -> pd.DataFrame:
    """One of the shop's best sellers against the chapter's rules (without stock and
    elasticity), in their order: role, figure, of_this_sku, condition, threshold,
    is_met.
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
    sheet = pd.DataFrame(rows, columns=["role", "figure", "of_this_sku", "condition", "threshold"])
    return sheet.assign(sku=sku.name, rank_by_revenue=int((year.revenue >= sku.revenue).sum()))[
        ["sku", "rank_by_revenue", "role", "figure", "of_this_sku", "condition", "threshold"]
    ]


def role_of_the_sku(shop: Any) -> str:
    table = roles(_year(shop)).set_index("sku")
    return LETTERS[table.role[_best_seller(shop)]]


@functools.cache
def price_table(shop: Any) -> pd.DataFrame:
    """Two best sellers: sku, price (paid a unit), unit_cost (goods, fees, fulfilment),
    elasticity, lowest, highest (the corridor). Prices and costs are the shop's own; the
    elasticities are made up for the exercise: the first leaves its best price inside
    the corridor, the second is inelastic.
    """
    year = _year(shop).sort_values(["revenue", "sku"], ascending=[False, True])
    cost = year.price_paid - year.margin / year.units
    year = year.assign(unit_cost=cost.round(2))[
        (cost > 0.2 * year.price_paid) & (cost < 0.9 * year.price_paid)
    ].head(2)
    if len(year) < 2:
        raise NotApplicable("Fewer than two skus were sold above a known cost.")
    price = year.price_paid.round(2)
    best = BEST_AT * price
    elasticity = (-best / (best - year.unit_cost)).round(2)
    elasticity.iloc[1] = INELASTIC
    return pd.DataFrame(
        {
            "sku": year.sku,
            "price": price,
            "unit_cost": year.unit_cost,
            "elasticity": elasticity,
            "lowest": ((1 - CORRIDOR) * price).round(2),
            "highest": ((1 + CORRIDOR) * price).round(2),
        }
    ).reset_index(drop=True)


def best_prices(shop: Any) -> dict[str, float]:
    prices = {}
    for row in price_table(shop).itertuples():
        has_best = (
            row.elasticity < -1
        )  # otherwise margin rises with the price as far as anybody knows
        best = row.unit_cost * row.elasticity / (1 + row.elasticity) if has_best else row.highest
        prices[row.sku] = min(max(best, row.lowest), row.highest)
    return prices


def _prices(shop: Any, first: str, second: str) -> dict[str, float]:
    """Each sku at a column of the table, or at what the formula gives (`formula`)
    whatever its elasticity.
    """
    table = price_table(shop)
    table = table.assign(formula=table.unit_cost * table.elasticity / (1 + table.elasticity))
    return {
        row.sku: float(getattr(row, name))
        for row, name in zip(table.itertuples(), (first, second), strict=True)
    }


def _formula_everywhere(shop: Any, answer: Any) -> bool:
    """The second sku at a negative price, or at the lowest after it was put back into
    the corridor.
    """
    first, second = price_table(shop).sku
    wrong = _prices(shop, "formula", "formula")[second], _prices(shop, "formula", "lowest")[second]
    return same(best_prices(shop)[first], answer[first]) and any(
        same(one, answer[second]) for one in wrong
    )


@functools.cache
def range_month(shop: Any) -> pd.DataFrame:
    """The report month by sku of the catalogue: sku, days_on_sale (in stock, 0 where it
    was not on sale at all), units, in_stock_at_end. Two skus to be launched next month
    are made up for the exercise.
    """
    panel = _panel(shop)
    if not panel.is_stock_known:
        raise NotApplicable("This shop keeps no stock records.")
    at = np.flatnonzero((panel.starts + pd.Timedelta(days=6)).strftime("%Y-%m") == shop.month)
    if not len(at):
        raise NotApplicable("No whole week of the month is in the log.")
    table = pd.DataFrame(
        {
            "sku": panel.sku,
            "days_on_sale": (7 * panel.exposure[:, at].sum(axis=1)).round().astype(int),
            "units": panel.units[:, at].sum(axis=1).astype(int),
        }
    )
    table["days_on_sale"] = np.where(
        (panel.exposure[:, at] > 0).any(axis=1), table.days_on_sale.clip(lower=1), 0
    )
    last = shop.sku_days.filter(_.day_on == shop.sku_days.day_on.max()).select("sku", "on_hand")
    table = table.merge(shop.con.execute(last), on="sku", how="left")
    catalogue = (
        set(shop.con.execute(shop.products.select("sku")).sku) if shop.has("products") else set()
    )
    others = pd.DataFrame({"sku": [*sorted(catalogue - set(table.sku)), *COMING]})
    table = pd.concat([table, others], ignore_index=True).fillna({"days_on_sale": 0, "units": 0})
    table["in_stock_at_end"] = table.pop("on_hand").fillna(0) > 0
    return table.astype({"days_on_sale": int, "units": int}).sort_values("sku", ignore_index=True)


def active_share(shop: Any) -> float:
    months = range_kpis(_panel(shop), as_of=shop.as_of).set_index("month")
    return float(months.amount[shop.month])


def _sold(shop: Any) -> int:
    table = range_month(shop)
    return int(((table.units > 0) & (table.days_on_sale > 0)).sum())


@functools.cache
def promotion_account(shop: Any) -> pd.DataFrame:
    """The account of the largest promotion the review may judge: promo_id, item,
    amount. The first four items are contribution margin against the days as they would
    have been, signed, and add up to what it brought; then its cost, and what the
    campaign report shows: revenue under the promotion and the discount in it.
    """
    if not shop.has("promotions"):
        raise NotApplicable("No promotion is in the calendar.")
    found, _days = promotion_review(
        shop.sku_days,
        shop.promotions,
        as_of=shop.as_of,
        products=shop.get("products"),
        variable_share=_share(shop),
    )
    found = found[
        (found.status == "complete") & (found.cost > 0) & found.incremental_margin.notna()
    ]
    for row in found.sort_values(["actual_units", "promo_id"], ascending=False).itertuples():
        lines = shop.sales_lines.filter(_.promo_id == str(row.promo_id))
        sums = shop.con.execute(
            lines.aggregate(
                revenue=_.revenue.sum().cast("float64"), discount=_.discount.sum().cast("float64")
            )
        ).iloc[0]
        if sums.discount > 0:
            items = {
                "promoted skus": row.direct_margin,
                "other skus of the category": -row.cannibalised_margin,
                "all other skus": row.halo_margin,
                "days after": -row.pulled_margin,
                "cost": row.cost,
                "revenue": sums.revenue,
                "discount": sums.discount,
            }
            return pd.DataFrame(
                {"promo_id": row.promo_id, "item": items.keys(), "amount": items.values()}
            )
    raise NotApplicable(
        "No promotion of the last year has a cost, known margins and its days after behind it."
    )


def promotion_roi(shop: Any) -> float:
    account = promotion_account(shop).set_index("item").amount
    brought = account[
        ["promoted skus", "other skus of the category", "all other skus", "days after"]
    ].sum()
    return (brought - account["cost"]) / account["cost"]


def _roi(shop: Any, *, less: str = "", only: str = "") -> float:
    account = promotion_account(shop).set_index("item").amount
    brought = account[only] if only else account.iloc[:4].sum() - (account[less] if less else 0.0)
    return (brought - account["cost"]) / account["cost"]


@functools.cache
def range_table(shop: Any) -> pd.DataFrame:
    """The year of every sku: sku, stage, units, revenue, margin. Two skus of the middle
    were cleared below cost in it; that is made up for the exercise.
    """
    year = _year(shop).dropna(subset="margin")
    panel = _panel(shop)
    stage = lifecycle(panel, demand_law(panel)).set_index("sku").stage
    year = year.assign(stage=year.sku.map(stage)).sort_values(["margin", "sku"], ignore_index=True)
    old = year.index[(year.stage != "new") & (year.margin > 0)]
    for place in (len(old) // 3, len(old) // 2):
        year.loc[old[place], "margin"] *= -0.3
    return year.sort_values("sku", ignore_index=True)


def tail_table(shop: Any) -> pd.DataFrame:
    """sku, stage, units, revenue, margin of `range_table`, what the learner sees."""
    return range_table(shop)[["sku", "stage", "units", "revenue", "margin"]]


def tail_skus(shop: Any) -> set[str]:
    table = range_table(shop)
    tail = delist(table, lifecycle=table[["sku", "stage"]], transfer=UNKNOWN, tail_share=TAIL_SHARE)
    return set(tail.sku)


def _tail(shop: Any, by: str = "margin", *, new_too: bool = False) -> pd.DataFrame:
    """The skus, smallest first, within the last percent of what was gained."""
    table = range_table(shop)
    table = table[(table.stage != "new") | new_too].sort_values([by, "sku"])
    gains = table[by].clip(lower=0)
    return table[gains.cumsum() <= TAIL_SHARE * gains.sum()]


def _from_the_top(shop: Any, by: str = "margin", *, new_too: bool = False) -> set[str]:
    """The skus beyond 99% of the net sum, counted down from the largest."""
    table = range_table(shop)
    table = table[(table.stage != "new") | new_too].sort_values(
        [by, "sku"], ascending=[False, True]
    )
    return set(table.sku[table[by].cumsum() / table[by].sum() > 1 - TAIL_SHARE])


def _is_one_of(answer: Any, *wrong: set[str]) -> bool:
    return any(same(one, answer) for one in wrong)


EXERCISES = bound(
    "assortment_pricing",
    {
        "10.1": Answers(
            role_of_the_sku,
            slips={
                "one row of two": lambda shop: "c" if role_of_the_sku(shop) != "c" else "e",
            },
            given=role_sheet,
        ),
        "10.2": Answers(
            best_prices,
            slips={
                "revenue-maximising": lambda shop: _prices(shop, "lowest", "highest"),
                "formula used when |ε| ≤ 1": Pattern(
                    lambda shop: _prices(shop, "formula", "formula"), _formula_everywhere
                ),
                "as dear as allowed": lambda shop: _prices(shop, "highest", "highest"),
                "left as it is": lambda shop: _prices(shop, "price", "price"),
            },
            given=price_table,
        ),
        "10.3": Answers(
            active_share,
            slips={
                "all skus as base": lambda shop: _sold(shop) / len(range_month(shop)),
                "out-of-stock skus dropped unseen": lambda shop: (
                    _sold(shop) / int(range_month(shop).in_stock_at_end.sum())
                ),
            },
            given=range_month,
        ),
        "10.4": Answers(
            promotion_roi,
            slips={
                "discount twice": lambda shop: _roi(shop, less="discount"),
                "revenue for margin": lambda shop: _roi(shop, only="revenue"),
                "the report's own": lambda shop: (
                    lambda a: (a["revenue"] - a["discount"] - a["cost"]) / a["cost"]
                )(promotion_account(shop).set_index("item").amount),
                "no pull-forward": lambda shop: _roi(shop, less="days after"),
                "promoted skus only": lambda shop: _roi(shop, only="promoted skus"),
                "cost not taken off": lambda shop: promotion_roi(shop) + 1,
            },
            given=promotion_account,
        ),
        "10.5": Answers(
            tail_skus,
            slips={
                "revenue": Pattern(
                    lambda shop: set(_tail(shop, "revenue").sku),
                    lambda shop, answer: _is_one_of(
                        answer,
                        *(set(_tail(shop, "revenue", new_too=new).sku) for new in (False, True)),
                        *(_from_the_top(shop, "revenue", new_too=new) for new in (False, True)),
                    ),
                ),
                "loss-makers sorted last": Pattern(
                    _from_the_top,
                    lambda shop, answer: _is_one_of(
                        answer, *(_from_the_top(shop, new_too=new) for new in (False, True))
                    ),
                ),
                "new skus too": lambda shop: set(_tail(shop, new_too=True).sku),
                "loss-makers forgotten": lambda shop: set(_tail(shop).query("margin > 0").sku),
                "loss-makers only": lambda shop: set(_tail(shop).query("margin <= 0").sku),
            },
            given=tail_table,
        ),
    },
)
