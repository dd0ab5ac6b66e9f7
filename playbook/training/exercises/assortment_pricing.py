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
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

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


EXERCISES = (
    Exercise(
        "10.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("The role of a best seller"),
        prompt=Said(
            "Guess first, then run the cell above. The sheet holds one of the best sellers against the rules; "
            "a role needs all of its rows, and the first role that is met counts. Which role has this sku?"
        ),
        solve=role_of_the_sku,
        given=role_sheet,
        choices={
            "a": Said("image 形象款"),
            "b": Said("campaign 活动款"),
            "c": Said("traffic 引流款"),
            "d": Said("profit 利润款"),
            "e": Said("core 常规, none of the others"),
        },
        slips=(
            Slip(
                "ranks by revenue",
                lambda shop: "d",
                Said(
                    "It sells much, and that makes no profit item: the role asks what is left of each sale. Hold its "
                    "margin share against the last row of the sheet."
                ),
            ),
            Slip(
                "one row of two",
                lambda shop: "c" if role_of_the_sku(shop) != "c" else "e",
                Said(
                    "Check every row of a role: traffic needs a draw *and* a thin margin, and it comes before "
                    "core."
                ),
            ),
        ),
        hints=(
            Said(
                "Go down the sheet. Is the sku's figure on the side of the threshold that the condition names?"
            ),
            Said("Image needs two rows, campaign one, traffic two, profit one. Met by none: core."),
        ),
        reveal=Said(
            "Rank by revenue says how much a sku sells, the role what it is for. A best seller without margin "
            "draws people; raise its price and they stay away."
        ),
        terms=("traffic item", "profit item", "image item"),
    ),
    Exercise(
        "10.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("The best price inside the corridor"),
        prompt=Said(
            '`given("10.2")` holds two skus with today\'s price, the cost of a unit sold, an elasticity, and '
            "the corridor. Units follow (price / today's price) to the power of the elasticity. Which price "
            "inside the corridor brings the most margin? Answer as a dict, sku to price."
        ),
        solve=best_prices,
        given=price_table,
        slips=(
            Slip(
                "revenue-maximising",
                lambda shop: _prices(shop, "lowest", "highest"),
                Said(
                    "Those prices bring the most revenue. Every further unit also costs its goods, so the elastic "
                    "sku's best price lies above the one that sells most."
                ),
            ),
            Slip(
                "formula used when |ε| ≤ 1",
                lambda shop: _prices(shop, "formula", "formula"),
                Said(
                    "The formula holds only where the elasticity is below −1. With less, demand gives way less than "
                    "the price rises: margin grows up to the end of the corridor, and beyond it nobody knows."
                ),
                matches=_formula_everywhere,
            ),
            Slip(
                "as dear as allowed",
                lambda shop: _prices(shop, "highest", "highest"),
                Said(
                    "The most margin a unit, for both. The elastic sku loses more in units than it gains a unit."
                ),
            ),
            Slip(
                "left as it is",
                lambda shop: _prices(shop, "price", "price"),
                Said("Those are today's prices. Both can earn more inside the corridor."),
            ),
        ),
        hints=(
            Said(
                "Margin at a price is units × (price − unit cost). You may try prices one by one."
            ),
            Said("Where the elasticity ε is below −1 the best price is unit cost × ε / (1 + ε)."),
            Said("Where it is not, margin grows with the price: take the end of the corridor."),
        ),
        reveal=Said(
            "The elasticities were made up. In the chapter most skus have none that can be identified, and "
            "then no price moves."
        ),
        terms=("price elasticity", "pricing strategy"),
    ),
    Exercise(
        "10.3",
        level="L2",
        kind="tweak",
        part="definitions",
        title=Said("动销率, the active-sku rate"),
        prompt=Said(
            "The cell above divides by every row of the catalogue. Change the base to the skus that were on "
            "sale on at least one day of the month, sold out since or not. What is 动销率?"
        ),
        solve=active_share,
        given=range_month,
        slips=(
            Slip(
                "all skus as base",
                lambda shop: _sold(shop) / len(range_month(shop)),
                Said(
                    "The catalogue also holds skus that were not on sale all month: not yet launched, withdrawn, "
                    "never in stock. They could not sell."
                ),
            ),
            Slip(
                "out-of-stock skus dropped unseen",
                lambda shop: _sold(shop) / int(range_month(shop).in_stock_at_end.sum()),
                Said(
                    "Your base are the skus in stock at the end. Those that sold out have left it, though they sold: "
                    "the rate can pass one, and a shop that runs dry looks lively."
                ),
            ),
        ),
        hints=(
            Said("`table.days_on_sale > 0` are the skus that could sell."),
            Said("Count those of them with `units > 0`, and divide by their number."),
        ),
        reveal=Said(
            "Say the base with the rate. Platforms use skus in stock at the end, all skus, or skus with "
            "traffic, and call each 动销率."
        ),
        terms=("active-sku rate", "denominator"),
    ),
    Exercise(
        "10.4",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("What did the promotion earn?"),
        prompt=Said(
            "The campaign report takes revenue, less the discount, less the cost, over the cost. More than one "
            'thing in it is wrong. From `given("10.4")`, which ROI did the promotion have?'
        ),
        solve=promotion_roi,
        given=promotion_account,
        slips=(
            Slip(
                "discount twice",
                lambda shop: _roi(shop, less="discount"),
                Said(
                    "The margins were earned at the prices really paid, so the discount is in them. You took it off "
                    "once more."
                ),
            ),
            Slip(
                "revenue for margin",
                lambda shop: _roi(shop, only="revenue"),
                Said(
                    "That is revenue over cost. The goods are not paid from it, and most of it would have been sold "
                    "anyway."
                ),
            ),
            Slip(
                "the report's own",
                lambda shop: (lambda a: (a["revenue"] - a["discount"] - a["cost"]) / a["cost"])(
                    promotion_account(shop).set_index("item").amount
                ),
                Said(
                    "That is the report's figure: revenue for margin, and a discount that revenue has already lost, "
                    "taken off again."
                ),
            ),
            Slip(
                "no pull-forward",
                lambda shop: _roi(shop, less="days after"),
                Said(
                    "The days after are missing: what customers only bought earlier is not earned twice."
                ),
            ),
            Slip(
                "promoted skus only",
                lambda shop: _roi(shop, only="promoted skus"),
                Said(
                    "Only the promoted skus. What the rest of the range and the days after gained or lost belongs to "
                    "the promotion as well."
                ),
            ),
            Slip(
                "cost not taken off",
                lambda shop: promotion_roi(shop) + 1,
                Said(
                    "That is margin over cost. ROI takes the cost off first: at zero the promotion just paid."
                ),
            ),
        ),
        hints=(
            Said(
                "Which items are margin against the days as they would have been? They are signed already."
            ),
            Said("Add the first four items up."),
            Said("ROI = (that sum − cost) / cost."),
        ),
        reveal=Said(
            "The chapter puts an interval around it. For a small promotion that interval is wide: say so "
            "before you say repeat or stop."
        ),
        terms=("promotion review", "pull-forward", "incrementality"),
    ),
    Exercise(
        "10.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("The tail of the range"),
        prompt=Said(
            "Which skus do you put on the list to be looked at for delisting: loss-makers, and those that "
            "together earn the last percent of all margin gained, smallest first? New skus are not judged yet. "
            "Losses do not lower the sum of what was gained. Answer as a set."
        ),
        solve=tail_skus,
        given=tail_table,
        slips=(
            Slip(
                "revenue",
                lambda shop: set(_tail(shop, "revenue").sku),
                Said(
                    "The last percent of *revenue*. A sku may sell well and lose money, or sell little and pay for "
                    "its shelf: sort by margin."
                ),
                matches=lambda shop, answer: _is_one_of(
                    answer,
                    *(set(_tail(shop, "revenue", new_too=new).sku) for new in (False, True)),
                    *(_from_the_top(shop, "revenue", new_too=new) for new in (False, True)),
                ),
            ),
            Slip(
                "loss-makers sorted last",
                _from_the_top,
                Said(
                    "You went down from the largest and stopped at 99% of the net sum. Losses have shrunk that sum, "
                    "so it is reached too early and skus that earn are on your list. Losses first, then the smallest "
                    "gains up to 1% of all gains."
                ),
                matches=lambda shop, answer: _is_one_of(
                    answer, *(_from_the_top(shop, new_too=new) for new in (False, True))
                ),
            ),
            Slip(
                "new skus too",
                lambda shop: set(_tail(shop, new_too=True).sku),
                Said(
                    "New skus are among them. They have had no time to earn; leave those of stage *new* out first."
                ),
            ),
            Slip(
                "loss-makers forgotten",
                lambda shop: set(_tail(shop).query("margin > 0").sku),
                Said("The loss-makers themselves are missing. They belong there first."),
            ),
            Slip(
                "loss-makers only",
                lambda shop: set(_tail(shop).query("margin <= 0").sku),
                Said(
                    "Only the loss-makers. Those that earn next to nothing tie up shelf and money as well."
                ),
            ),
        ),
        hints=(
            Said('`old = table[table.stage != "new"].sort_values("margin")`'),
            Said("`gains = old.margin.clip(lower=0)` turns losses into zero."),
            Said("Keep the rows with `gains.cumsum() <= 0.01 * gains.sum()`."),
        ),
        reveal=Said(
            "A list to look at, not to delist: some bring first orders, and neighbours keep only part of what "
            "a sku sold."
        ),
        terms=("sku mix", "slow-moving item"),
    ),
)
