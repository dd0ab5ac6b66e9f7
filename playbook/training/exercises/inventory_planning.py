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
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound

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


EXERCISES = bound(
    "inventory_planning",
    {
        "07.1": Answers(class_that_flips, given=variation),
        "07.2": Answers(
            reorder_check,
            slips={
                "no lead-time spread": Pattern(
                    lambda shop: reorder_check(shop) | {"reorder_point": _without_spread(shop)},
                    _says("reorder_point", _without_spread),
                ),
                "wrong z": Pattern(
                    lambda shop: (
                        reorder_check(shop) | {"reorder_point": _point(shop, z=WRONG_Z[0])}
                    ),
                    _says("reorder_point", *(lambda shop, z=z: _point(shop, z=z) for z in WRONG_Z)),
                ),
                "no safety stock": Pattern(
                    lambda shop: reorder_check(shop) | {"reorder_point": _point(shop, z=0.0)},
                    _says("reorder_point", lambda shop: _point(shop, z=0.0)),
                ),
                "on hand for available": Pattern(
                    lambda shop: (
                        reorder_check(shop)
                        | {"position": shelf_of_one(shop).on_hand + shelf_of_one(shop).incoming}
                    ),
                    _says(
                        "position",
                        lambda shop: shelf_of_one(shop).on_hand + shelf_of_one(shop).incoming,
                        lambda shop: shelf_of_one(shop).on_hand,
                    ),
                ),
                "incoming forgotten": Pattern(
                    lambda shop: reorder_check(shop) | {"position": shelf_of_one(shop).available},
                    _says("position", lambda shop: shelf_of_one(shop).available),
                ),
            },
            given=shelf_of_one,
        ),
        "07.3": Answers(
            cash_for_service,
            slips={
                "linear in percent": _linear,
                "share of the aim": lambda shop: (
                    _cash(shop, (0.95, 0.98))[0.95] * (0.98 / 0.95 - 1)
                ),
                "the whole stock": lambda shop: _cash(shop, (0.95, 0.98))[0.98],
            },
        ),
        "07.4": Answers(
            days_of_inventory,
            slips={
                "both faults": lambda shop: _days(shop, "stock_at_price", True),
                "price for cost": lambda shop: _days(shop, "stock_at_price", False),
                "revenue for cost": lambda shop: _days(shop, "stock_at_cost", False, "revenue"),
                "closing for average stock": lambda shop: _days(shop, "stock_at_cost", True),
            },
            given=stock_weeks,
        ),
        "07.5": Answers(
            order_list,
            slips={
                "pack sizes": lambda shop: _wrong_lists(order_candidates(shop))["pack sizes"],
                "incoming ignored": lambda shop: _wrong_lists(order_candidates(shop))[
                    "incoming ignored"
                ],
                "budget ignored": lambda shop: _wrong_lists(order_candidates(shop))[
                    "budget ignored"
                ],
            },
            given=order_candidates,
        ),
    },
)
