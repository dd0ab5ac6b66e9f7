"""07 Inventory: classes that move with the clock, reorder points, the cash service
takes, days of stock, a budget.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from playbook.chapters.inventory_planning import inventory, stock_kpis
from playbook.chapters.inventory_planning.ordering import rounded_to_lots
from playbook.chapters.inventory_planning.supply import Supply, supply
from playbook.measures.demand_panel import DemandPanel, demand_law, demand_panel, unit_margin
from playbook.methods.demand import DemandLaw
from playbook.methods.replenishment import safety_stock
from playbook.training.compare import same
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

CUTS = (0.5, 1.0)  # coefficient of variation under which a sku is X, then Y
WRONG_Z = (1.96, 0.95)  # the two-sided value, and the service level itself
LINES = 4  # of each kind on the order list: with goods on the way, without


class Tables(NamedTuple):
    """What the chapter computes first: `demand_panel`, `demand_law`, `supply`."""

    panel: DemandPanel
    law: DemandLaw
    held: Supply


@functools.cache
def chapter_tables(shop: Any) -> Tables:
    panel = demand_panel(shop.sku_days, as_of=shop.as_of, products=shop.get("products"))
    held = supply(
        shop.table("stock"),
        as_of=shop.as_of,
        products=shop.get("products"),
        purchase_orders=shop.get("purchase_orders"),
    )
    return Tables(panel, demand_law(panel), held)


@functools.cache
def variation(shop: Any) -> pd.DataFrame:
    """Skus on sale for the last 52 weeks: sku, cv_week, cv_month (standard deviation
    over mean, of weeks and of sums of four weeks), class_week, class_month (X under
    0.5, Y under 1, else Z).
    """
    panel = demand_panel(shop.sku_days, as_of=shop.as_of, products=shop.get("products"))
    units = panel.units[:, -52:]
    if units.shape[1] < 52:
        raise NotApplicable("The shop has no year of sales yet.")
    sold = (units.sum(axis=1) > 0) & (panel.exposure[:, -52:-48].sum(axis=1) > 0)
    weeks, months = units[sold], units[sold].reshape(-1, 13, 4).sum(axis=2)
    table = pd.DataFrame({"sku": panel.sku[sold]})
    for name, sums in (("week", weeks), ("month", months)):
        table[f"cv_{name}"] = sums.std(axis=1, ddof=1) / sums.mean(axis=1)
        table[f"class_{name}"] = np.array(list("XYZ"))[
            np.searchsorted(CUTS, table[f"cv_{name}"], side="right")
        ]
    return table[["sku", "cv_week", "cv_month", "class_week", "class_month"]]


def class_that_flips(shop: Any) -> str:
    table = variation(shop)
    leavers = table[table.class_week != table.class_month].groupby("class_week").size()
    if leavers.empty or (leavers == leavers.max()).sum() > 1:
        raise NotApplicable("No class loses more skus than the others.")
    return {"X": "a", "Y": "b", "Z": "c"}[leavers.idxmax()]


@functools.cache
def shelf_of_one(shop: Any) -> pd.Series:
    """One sku (where there is one, with bound units and goods on the way): units on
    hand, of which available, incoming; mean and spread of a day's demand (`sd_day`: the
    error of its forecast); mean and spread of the lead time, days.
    """
    panel, law, held = chapter_tables(shop)
    week = law.mean(4).mean(axis=1)
    rows = pd.DataFrame(
        {
            "sku": panel.sku,
            "mean_day": week / 7,
            "worth": np.nansum(panel.margin[:, -52:], axis=1),
            "sd_day": np.sqrt((week + law.dispersion * week**2) / 7),
        }
    )
    rows = rows.merge(held.goods, on="sku").dropna(subset=["available", "lead_days", "lead_sd"])
    rows = rows[(rows.lead_sd > 0) & (rows.mean_day > 0)]
    if rows.empty:
        raise NotApplicable("No sku has stock on record and a lead time with a spread.")
    rows["traps"] = (rows.on_hand > rows.available).astype(int) + (rows.incoming > 0)
    best = rows.sort_values(["traps", "worth", "sku"], ascending=[False, False, True]).iloc[0]
    return best[
        ["sku", "on_hand", "available", "incoming", "mean_day", "sd_day", "lead_days", "lead_sd"]
    ].rename(None)


def reorder_check(shop: Any) -> dict[str, float]:
    sku = shelf_of_one(shop)
    safety = safety_stock(0.95, sku.mean_day, sku.sd_day, sku.lead_days, sku.lead_sd)
    return {
        "reorder_point": sku.mean_day * sku.lead_days + safety,
        "position": sku.available + sku.incoming,
    }


def _point(shop: Any, *, z: float | None = None, lead_sd: float | None = None) -> float:
    """The reorder point with another z, or another spread of the lead time."""
    sku = shelf_of_one(shop)
    safety = float(
        safety_stock(
            0.95,
            sku.mean_day,
            sku.sd_day,
            sku.lead_days,
            sku.lead_sd if lead_sd is None else lead_sd,
        )
    )
    usual = float(safety_stock(0.95, 0.0, 1.0, 1.0))  # z itself
    return sku.mean_day * sku.lead_days + safety * (1.0 if z is None else z / usual)


def _without_spread(shop: Any) -> float:
    return _point(shop, lead_sd=0.0)


def _says(key: str, *values: Callable[[Any], float]) -> Callable[[Any, Any], bool]:
    """Recognises a wrong part of the answer, whatever its other part says."""
    return lambda shop, answer: any(same(value(shop), answer[key]) for value in values)


@functools.cache
def _cash(shop: Any, aims: tuple[float, ...]) -> pd.Series:
    """Stock value by aim."""
    found = (
        inventory.service_cash(*chapter_tables(shop), aims=aims).set_index("aim_share").stock_value
    )
    if not found.diff().iloc[1:].gt(0).all():
        raise NotApplicable("This shop's stock value does not rise with the aim.")
    return found


def cash_for_service(shop: Any) -> float:
    panel, law, held = chapter_tables(shop)
    found = inventory.service_cash(panel, law, held, aims=(0.95, 0.98))
    return found.stock_value.iloc[1] - found.stock_value.iloc[0]


def _linear(shop: Any) -> float:
    """Three fifths of the step from 90 to 95."""
    value = _cash(shop, (0.90, 0.95))
    return (value[0.95] - value[0.90]) * 3 / 5


@functools.cache
def stock_weeks(shop: Any) -> pd.DataFrame:
    """The weeks that end in the report month: starts_on, stock_at_cost, stock_at_price
    (mean of the week's closing stock), cost_of_goods, revenue.
    """
    panel, _law, held = chapter_tables(shop)
    if not panel.is_stock_known:
        raise NotApplicable("The store has no stock by day.")
    at = np.flatnonzero((panel.starts + pd.Timedelta(days=6)).strftime("%Y-%m") == shop.month)
    cost = held.goods.set_index("sku").unit_cost.reindex(panel.sku).to_numpy(float)
    sold = panel.units[:, -52:].sum(axis=1)
    price = panel.revenue[:, -52:].sum(axis=1) / np.where(sold > 0, sold, np.nan)
    value = lambda each, units: np.nansum(units[:, at] * each[:, None], axis=0)
    table = pd.DataFrame(
        {
            "starts_on": panel.starts[at],
            "stock_at_cost": value(cost, panel.on_hand),
            "stock_at_price": value(price, panel.on_hand),
            "cost_of_goods": value(cost, panel.units),
            "revenue": panel.revenue[:, at].sum(axis=0),
        }
    )
    if not table.cost_of_goods.sum() > 0:
        raise NotApplicable("No goods with a known cost were sold.")
    return table


def days_of_inventory(shop: Any) -> float:
    panel, _law, held = chapter_tables(shop)
    series = (
        stock_kpis.stock_kpis(panel, held, as_of=shop.as_of).set_index(["metric", "month"]).amount
    )
    return series["doi_days", shop.month]


def _days(shop: Any, stock: str, is_closing: bool, flow: str = "cost_of_goods") -> float:
    weeks = stock_weeks(shop)
    held = weeks[stock].iloc[-1] if is_closing else weeks[stock].mean()
    return held / (weeks[flow].sum() / (7 * len(weeks)))


@functools.cache
def order_candidates(shop: Any) -> pd.DataFrame:
    """Up to eight skus on which packs, goods on the way and money matter, the best
    return on money first: sku, level (units to fill up to), available, incoming,
    pack_units, unit_cost, margin_per_money; and the `budget`, the same in every row.
    """
    panel, law, held = chapter_tables(shop)
    plan = inventory.reorder(
        panel, law, held, as_of=shop.as_of, classes=inventory.classes(panel, law)
    ).orders
    terms = held.goods[["sku", "unit_cost", "pack_units"]].fillna({"pack_units": 1})
    table = (
        plan[["sku", "up_to", "available", "incoming"]]
        .merge(terms, on="sku")
        .merge(pd.DataFrame({"sku": panel.sku, "margin": unit_margin(panel)}), on="sku")
        .rename(columns={"up_to": "level"})
    )
    table = table[(table.level > table.available) & (table.unit_cost > 0) & (table.margin > 0)]
    table = table.assign(
        margin_per_money=(table.margin / table.unit_cost).round(2),
        money=(table.level - table.available) * table.unit_cost,
    )
    table = table.sort_values(["money", "sku"], ascending=[False, True])
    late, rest = table[table.incoming > 0], table[(table.incoming == 0) & (table.pack_units > 1)]
    columns = [
        "sku",
        "level",
        "available",
        "incoming",
        "pack_units",
        "unit_cost",
        "margin_per_money",
    ]
    for k in range(min(len(late), 50)):
        chosen = pd.concat([late.iloc[k : k + LINES], rest.iloc[k : k + LINES]])
        chosen = chosen.sort_values(
            ["margin_per_money", "sku"], ascending=[False, True], ignore_index=True
        )[columns]
        cash = _lots(chosen) * chosen.unit_cost
        chosen["budget"] = np.ceil(0.6 * cash.sum() / 10) * 10
        right = _within_budget(chosen, _lots(chosen))
        if (cash > 0).sum() >= 3 and not any(
            same(right, wrong) for wrong in _wrong_lists(chosen).values()
        ):
            return chosen
    raise NotApplicable("No order list of this month holds all three traps.")


def _lots(table: pd.DataFrame) -> pd.Series:
    need = table.level - table.available - table.incoming
    return pd.Series(rounded_to_lots(need, table.pack_units, 0), index=table.index)


def _wrong_lists(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What each slip would order."""
    need = (table.level - table.available - table.incoming).clip(lower=0)
    return {
        "pack sizes": _within_budget(table, need),
        "incoming ignored": _within_budget(table, _lots(table.assign(incoming=0.0))),
        "budget ignored": dict(zip(table.sku, _lots(table), strict=True)),
    }


def order_list(shop: Any) -> dict[str, float]:
    table, chosen = order_candidates(shop), {}
    left, need = table.budget.iloc[0], table.level - table.available - table.incoming
    whole = rounded_to_lots(need, table.pack_units, 0)
    for sku, units, cost in zip(table.sku, whole, table.unit_cost, strict=True):
        chosen[sku] = units if units * cost <= left else 0
        left -= chosen[sku] * cost
    return chosen


def _within_budget(table: pd.DataFrame, units: Any) -> dict[str, float]:
    """`order_list` with other units."""
    left, chosen = table.budget.iloc[0], {}
    for sku, n, cost in zip(table.sku, units, table.unit_cost, strict=True):
        chosen[sku] = float(n) if n * cost <= left else 0.0
        left -= chosen[sku] * cost
    return chosen


EXERCISES = (
    Exercise(
        "07.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Steady by week, steady by month?"),
        prompt=Said(
            "XYZ says how much a sku's sales vary: X little, Z much. You classed all skus by week and now add "
            "the same sales up to four weeks. Before you run the cell below: which class do most skus leave?"
        ),
        solve=class_that_flips,
        given=variation,
        choices={
            "a": Said("X"),
            "b": Said("Y"),
            "c": Said("Z"),
            "d": Said("none: the class is a property of the sku, not of the calendar"),
        },
        slips=(
            Slip(
                "treats the class as fixed",
                lambda shop: "d",
                Said(
                    "The class belongs to the sku *and* to the time step. Ups and downs of single weeks cancel out "
                    "in a sum, so the same sku is steadier by month."
                ),
            ),
            Slip(
                "the steady ones",
                lambda shop: "a",
                Said(
                    "What is steady by week can only get steadier. Which class has most to gain from adding up?"
                ),
            ),
        ),
        hints=(
            Said("What happens to single weeks' ups and downs when four of them are added?"),
            Said("They cancel in part: variation falls, classes move towards X."),
        ),
        reveal=Said(
            "Say the time step with the class. A sku that cannot be planned by the week may well be planned by "
            "the month: order it less often, in larger lots."
        ),
        terms=("XYZ class", "demand forecast"),
    ),
    Exercise(
        "07.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("The reorder point"),
        prompt=Said(
            '`given("07.2")` is one sku. It is looked at every day and shall not run out in 95 % of order '
            "cycles. Give its reorder point and the position held against it, in units, as "
            '`{"reorder_point": ..., "position": ...}`.'
        ),
        solve=reorder_check,
        given=shelf_of_one,
        slips=(
            Slip(
                "no lead-time spread",
                lambda shop: reorder_check(shop) | {"reorder_point": _without_spread(shop)},
                Said(
                    "The supplier's spread is missing. A late delivery empties the shelf as surely as a good week: "
                    "d̄²·σ_L² belongs under the root."
                ),
                _says("reorder_point", _without_spread),
            ),
            Slip(
                "wrong z",
                lambda shop: reorder_check(shop) | {"reorder_point": _point(shop, z=WRONG_Z[0])},
                Said(
                    "z is not right. Running out happens on one side only: 95 % is `norm.ppf(0.95)`, not the 1.96 of "
                    "a two-sided interval, and not 0.95 itself."
                ),
                _says("reorder_point", *(lambda shop, z=z: _point(shop, z=z) for z in WRONG_Z)),
            ),
            Slip(
                "no safety stock",
                lambda shop: reorder_check(shop) | {"reorder_point": _point(shop, z=0.0)},
                Said(
                    "That is the mean demand of the lead time. With it every second cycle runs out."
                ),
                _says("reorder_point", lambda shop: _point(shop, z=0.0)),
            ),
            Slip(
                "on hand for available",
                lambda shop: (
                    reorder_check(shop)
                    | {"position": shelf_of_one(shop).on_hand + shelf_of_one(shop).incoming}
                ),
                Said(
                    "The position counts units on hand that are already promised or cannot be sold. Only available "
                    "ones can meet the next order."
                ),
                _says(
                    "position",
                    lambda shop: shelf_of_one(shop).on_hand + shelf_of_one(shop).incoming,
                    lambda shop: shelf_of_one(shop).on_hand,
                ),
            ),
            Slip(
                "incoming forgotten",
                lambda shop: reorder_check(shop) | {"position": shelf_of_one(shop).available},
                Said(
                    "What is on order is missing from the position: you would order it a second time."
                ),
                _says("position", lambda shop: shelf_of_one(shop).available),
            ),
        ),
        hints=(
            Said(
                "Reorder point = demand of the lead time + safety stock. Position = available + incoming."
            ),
            Said("Safety stock = z·√(L·σ² + d̄²·σ_L²), with z from `scipy.stats.norm.ppf`."),
            Said("L is `lead_days`, σ `sd_day`, d̄ `mean_day`, σ_L `lead_sd`."),
        ),
        reveal=Said(
            "Order when the position is at the reorder point or below. The chapter's own point comes from "
            "simulated demand; this formula stands beside it as `textbook_rop`."
        ),
        terms=("reorder point", "safety stock", "lead time"),
    ),
    Exercise(
        "07.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("What three points of service cost"),
        prompt=Said(
            "The cell above compares fill-rate aims of 90 % and 95 %. Change it to 95 % and 98 %: how much "
            "more money lies in stock, on average, at 98 % than at 95 %?"
        ),
        solve=cash_for_service,
        slips=(
            Slip(
                "linear in percent",
                _linear,
                Said(
                    "You took the price of a point between 90 and 95 and multiplied by three. Each further point "
                    "guards against a rarer week and costs more than the one before."
                ),
            ),
            Slip(
                "share of the aim",
                lambda shop: _cash(shop, (0.95, 0.98))[0.95] * (0.98 / 0.95 - 1),
                Said(
                    "Three per cent more service is not three per cent more stock. Let the cell compute both "
                    "aims."
                ),
            ),
            Slip(
                "the whole stock",
                lambda shop: _cash(shop, (0.95, 0.98))[0.98],
                Said(
                    "That is the whole stock at 98 %. The question is what the step from 95 % adds."
                ),
            ),
        ),
        hints=(
            Said("Set `aims = (0.95, 0.98)` above."),
            Said("Take the difference of the two values in the column `stock_value`."),
        ),
        reveal=Said(
            "The curve bends upwards. What the step earns has to be set against it: margin of the sales it "
            "saves."
        ),
        terms=("service level", "safety stock"),
    ),
    Exercise(
        "07.4",
        level="L3",
        kind="hunt",
        part="definitions",
        title=Said("Days that do not add up"),
        prompt=Said(
            "The cell above is meant to say for how many days the average stock of the month lasts, and has "
            "two faults. Repair them: how many days of inventory does the shop hold?"
        ),
        solve=days_of_inventory,
        given=stock_weeks,
        slips=(
            Slip(
                "both faults",
                lambda shop: _days(shop, "stock_at_price", True),
                Said(
                    "That is the cell as it stands. Ask of both its parts: at which value, and on which day?"
                ),
            ),
            Slip(
                "price for cost",
                lambda shop: _days(shop, "stock_at_price", False),
                Said(
                    "The stock is still valued at the selling price while the goods sold are at cost. Both sides "
                    "need the same value, or every margin point adds days."
                ),
            ),
            Slip(
                "revenue for cost",
                lambda shop: _days(shop, "stock_at_cost", False, "revenue"),
                Said(
                    "Stock at cost over sales at price: too few days. Both sides need the same value."
                ),
            ),
            Slip(
                "closing for average stock",
                lambda shop: _days(shop, "stock_at_cost", True),
                Said(
                    "The last week stands for the whole month. One delivery just before the end, and the shop seems "
                    "to sit on its goods; take the average."
                ),
            ),
        ),
        hints=(
            Said("One fault is in the column, the other in the row it is read from."),
            Said("Average stock at cost over the cost of goods of one day."),
        ),
        reveal=Said(
            "Cost on both sides, and the average of the period: then days of inventory and stock turn are the "
            "same figure, one 365 over the other."
        ),
        terms=("days of inventory", "inventory management"),
    ),
    Exercise(
        "07.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("One budget for all lines"),
        prompt=Said(
            '`given("07.5")` lists skus under pressure, best return on money first. Fill each up to its '
            "`level` in whole packs, from the top; leave out a line that the money left of `budget` does not "
            "cover and try the next. Answer with the units of every sku in the table, 0 where nothing is "
            "ordered, as a dict."
        ),
        solve=order_list,
        given=order_candidates,
        slips=(
            Slip(
                "pack sizes",
                lambda shop: _wrong_lists(order_candidates(shop))["pack sizes"],
                Said(
                    "The supplier does not open packs. Round every line up to whole packs before you take its price; "
                    "then the money reaches less far."
                ),
            ),
            Slip(
                "incoming ignored",
                lambda shop: _wrong_lists(order_candidates(shop))["incoming ignored"],
                Said(
                    "Goods on the way are forgotten: they would be bought twice, and the money is gone for lines "
                    "that have nothing coming."
                ),
            ),
            Slip(
                "budget ignored",
                lambda shop: _wrong_lists(order_candidates(shop))["budget ignored"],
                Said(
                    "Every line is ordered in full, and the budget is overdrawn. Go from the top until the money is "
                    "gone."
                ),
            ),
        ),
        hints=(
            Said(
                "What each line lacks: level − available − incoming, and nothing where that is below 0."
            ),
            Said("Round up to packs: `np.ceil(lack / pack_units) * pack_units`."),
            Said("Then from the top: buy the line if its units × unit_cost fit into what is left."),
        ),
        reveal=Said(
            "Three checks before a purchase order leaves the house: what is coming, how it is packed, what it "
            "costs. The chapter's own list weighs each further pack by the margin it saves."
        ),
        terms=("purchasing", "overstock / stock-out"),
    ),
    Exercise(
        "07.6",
        level="L4",
        kind="thought",
        part="communication",
        title=Said("To the supply-chain head"),
        prompt=Said(
            "Write the note that goes with this week's order list: the most important order and one clearance, "
            "with units, cash, day and reason, what may go wrong, and what would stop you."
        ),
        solve=None,
        hints=(
            Said(
                "The chapter's decision table has the rows; the backtest says how far to trust them."
            ),
        ),
        reveal=Said(
            "Sku, supplier, units in whole packs, cash and the day it must leave; the margin it protects as a "
            "range; a forecast named as one, with its coverage; stock-outs said to hide demand; for the "
            "clearance the money freed; an owner, a day to look again, and what would stop the order."
        ),
        terms=("decision",),
    ),
)
