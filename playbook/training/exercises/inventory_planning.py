"""07 Inventory: classes that move with the clock, reorder points, the cash service
takes, days of stock, a budget.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.inventory_planning import inventory, stock_kpis
from playbook.chapters.inventory_planning.ordering import rounded_to_lots
from playbook.chapters.inventory_planning.supplier_terms import Rates, buying, terms
from playbook.chapters.inventory_planning.supply import Supply
from playbook.measures.demand_panel import DemandPanel, unit_margin
from playbook.methods.demand import DemandLaw
from playbook.methods.replenishment import safety_stock
from playbook.store import Store
from playbook.tables import frame_of
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound
from playbook.training.form import Form, agrees
from playbook.training.reading import demand, held_stock, weeks_of_month

#: coefficient of variation under which a sku is X, then Y
CUTS = (0.5, 1.0)
#: the two-sided value, and the service level itself
WRONG_Z = (1.96, 0.95)
#: of each kind on the order list: with goods on the way, without
LINES = 4
MOST_TRIES = 50
#: of what the whole list costs
BUDGET_SHARE = 0.6


class Tables(NamedTuple):
    """What the chapter computes first: `demand_panel`, `demand_law`, `supply`."""

    panel: DemandPanel
    law: DemandLaw
    held: Supply


@functools.cache
def chapter_tables(shop: Store) -> Tables:
    return Tables(*demand(shop), held_stock(shop))


@functools.cache
def variation(shop: Store) -> DataFrame:
    """Skus on sale for the last 52 weeks: sku, cv_week, cv_month (standard deviation
    over mean, of weeks and of sums of four weeks), class_week, class_month (X under
    0.5, Y under 1, else Z).
    """
    panel, _ = demand(shop)
    units = panel.units[:, -52:]
    if units.shape[1] < 52:
        raise NotApplicable("training.no_year_of_sales")
    sold = (units.sum(axis=1) > 0) & (panel.exposure[:, -52:-48].sum(axis=1) > 0)
    weeks = units[sold]
    months = weeks.reshape(-1, 13, 4).sum(axis=2)
    table = DataFrame({"sku": panel.sku[sold], "cv_week": _cv(weeks), "cv_month": _cv(months)})
    for name in ("week", "month"):
        places = np.searchsorted(CUTS, table[f"cv_{name}"], side="right")
        table[f"class_{name}"] = np.array(list("XYZ"))[places]
    return table


def _cv(sums: np.ndarray) -> np.ndarray:
    return sums.std(axis=1, ddof=1) / sums.mean(axis=1)


def class_that_flips(shop: Store) -> str:
    table = variation(shop)
    leavers = table[table.class_week != table.class_month].groupby("class_week").size()
    if leavers.empty or (leavers == leavers.max()).sum() > 1:
        raise NotApplicable("training.no_class_loses_most")
    return {"X": "a", "Y": "b", "Z": "c"}[leavers.idxmax()]


@functools.cache
def shelf_of_one(shop: Store) -> Series:
    """One sku (where there is one, with bound units and goods on the way): units on
    hand, of which available, incoming; mean and spread of a day's demand (`sd_day`: the
    error of its forecast); mean and spread of the lead time, days.
    """
    panel, law, held = chapter_tables(shop)
    week = law.mean(4).mean(axis=1)
    columns = {
        "sku": panel.sku,
        "mean_day": week / 7,
        "worth": np.nansum(panel.margin[:, -52:], axis=1),
        "sd_day": np.sqrt((week + law.dispersion * week**2) / 7),
    }
    rows = DataFrame(columns).merge(held.goods, on="sku")
    rows = rows.dropna(subset=["available", "lead_days", "lead_sd"])
    rows = rows[(rows.lead_sd > 0) & (rows.mean_day > 0)]
    if rows.empty:
        raise NotApplicable("training.no_sku_with_lead_spread")
    rows["traps"] = (rows.on_hand > rows.available).astype(int) + (rows.incoming > 0)
    rows = rows.sort_values(["traps", "worth", "sku"], ascending=[False, False, True])
    return frame_of("training.shelf_of_one", rows).iloc[0].rename(None)


def reorder_check(shop: Store) -> dict[str, float]:
    sku = shelf_of_one(shop)
    safety = safety_stock(0.95, sku.mean_day, sku.sd_day, sku.lead_days, sku.lead_sd)
    return {
        "reorder_point": sku.mean_day * sku.lead_days + safety,
        "position": sku.available + sku.incoming,
    }


def _with_z(z: float) -> Callable[[Store], float]:
    """The reorder point with another z than that of 95 %."""

    def point(shop: Store) -> float:
        sku = shelf_of_one(shop)
        mean = sku.mean_day * sku.lead_days
        usual_z = float(safety_stock(0.95, 0.0, 1.0, 1.0))
        return mean + (reorder_check(shop)["reorder_point"] - mean) * z / usual_z

    return point


def _without_spread(shop: Store) -> float:
    sku = shelf_of_one(shop)
    safety = safety_stock(0.95, sku.mean_day, sku.sd_day, sku.lead_days, 0.0)
    return sku.mean_day * sku.lead_days + float(safety)


def _on_hand_and_coming(shop: Store) -> float:
    sku = shelf_of_one(shop)
    return sku.on_hand + sku.incoming


def _part(name: str, *values: Callable[[Store], float]) -> Pattern:
    """A wrong part of the answer, whatever its other part says; the first is the example."""

    def matches(shop: Store, answer: Mapping[str, float]) -> bool:
        return any(agrees(Form("number"), value(shop), answer[name]) for value in values)

    return Pattern(lambda shop: reorder_check(shop) | {name: values[0](shop)}, matches)


@functools.cache
def _cash(shop: Store, aims: tuple[float, ...]) -> Series:
    """Stock value by aim."""
    cash = inventory.service_cash(*chapter_tables(shop), aims=aims)
    if not cash.stock_value.diff().iloc[1:].gt(0).all():
        raise NotApplicable("training.stock_not_rising")
    return cash.set_index("aim_share").stock_value


def cash_for_service(shop: Store) -> float:
    panel, law, held = chapter_tables(shop)
    cash = inventory.service_cash(panel, law, held, aims=(0.95, 0.98))
    if len(cash) < 2:
        raise NotApplicable("training.stock_not_rising")
    return cash.stock_value.iloc[1] - cash.stock_value.iloc[0]


def _linear(shop: Store) -> float:
    """Three fifths of the step from 90 to 95."""
    value = _cash(shop, (0.90, 0.95))
    return (value[0.95] - value[0.90]) * 3 / 5


def _share_of_the_aim(shop: Store) -> float:
    return _cash(shop, (0.95, 0.98))[0.95] * (0.98 / 0.95 - 1)


@functools.cache
def stock_weeks(shop: Store) -> DataFrame:
    """The weeks that end in the report month: starts_on, stock_at_cost, stock_at_price
    (mean of the week's closing stock), cost_of_goods, revenue.
    """
    panel, _, held = chapter_tables(shop)
    if not panel.is_stock_known:
        raise NotApplicable("training.no_stock_by_day")
    at = weeks_of_month(panel, shop.month)
    cost = held.goods.set_index("sku").unit_cost.reindex(panel.sku).to_numpy(float)
    sold = panel.units[:, -52:].sum(axis=1)
    price = panel.revenue[:, -52:].sum(axis=1) / np.where(sold > 0, sold, np.nan)
    on_hand, units = panel.on_hand[:, at], panel.units[:, at]
    columns = {
        "starts_on": panel.starts[at],
        "stock_at_cost": np.nansum(on_hand * cost[:, None], axis=0),
        "stock_at_price": np.nansum(on_hand * price[:, None], axis=0),
        "cost_of_goods": np.nansum(units * cost[:, None], axis=0),
        "revenue": panel.revenue[:, at].sum(axis=0),
    }
    if not columns["cost_of_goods"].sum() > 0:
        raise NotApplicable("training.no_goods_with_cost")
    return DataFrame(columns)


def days_of_inventory(shop: Store) -> float:
    panel, _, held = chapter_tables(shop)
    kpis = stock_kpis.stock_kpis(panel, held, as_of=shop.as_of)
    return kpis.set_index(["metric", "month"]).amount["doi_days", shop.month]


def _days(shop: Store, stock: str, *, closing: bool, flow: str = "cost_of_goods") -> float:
    weeks = stock_weeks(shop)
    held = weeks[stock].iloc[-1] if closing else weeks[stock].mean()
    return held / (weeks[flow].sum() / (7 * len(weeks)))


@functools.cache
def order_candidates(shop: Store) -> DataFrame:
    """Up to eight skus on which packs, goods on the way and money matter, the best
    return on money first: sku, level (units to fill up to), available, incoming,
    pack_units, unit_cost, margin_per_money; and the `budget`, the same in every row.
    """
    table = _lines_to_order(shop)
    is_coming = table.incoming > 0
    coming, rest = table[is_coming], table[~is_coming & (table.pack_units > 1)]
    for first in range(min(len(coming), MOST_TRIES)):
        lines = slice(first, first + LINES)
        chosen = pd.concat([coming.iloc[lines], rest.iloc[lines]])
        ranked = chosen.sort_values(["margin_per_money", "sku"], ascending=[False, True])
        chosen = frame_of("training.order_candidates", ranked.reset_index(drop=True))
        cash = _lots(chosen) * chosen.unit_cost
        chosen["budget"] = np.ceil(BUDGET_SHARE * cash.sum() / 10) * 10
        right = _within_budget(chosen, _lots(chosen))
        is_told_apart = all(right != wrong(chosen) for wrong in WRONG_LISTS.values())
        if (cash > 0).sum() >= 3 and is_told_apart:
            return chosen
    raise NotApplicable("training.no_order_list_with_traps")


def _lines_to_order(shop: Store) -> DataFrame:
    """Skus below their level with a known cost and a margin, most money first."""
    panel, law, held = chapter_tables(shop)
    classes = inventory.classes(panel, law)
    plan = inventory.reorder(panel, law, held, as_of=shop.as_of, classes=classes).orders
    terms = held.goods[["sku", "unit_cost", "pack_units"]].fillna({"pack_units": 1})
    margin = DataFrame({"sku": panel.sku, "margin": unit_margin(panel)})
    table = plan[["sku", "up_to", "available", "incoming"]].rename(columns={"up_to": "level"})
    table = table.merge(terms, on="sku").merge(margin, on="sku")
    table = table[(table.level > table.available) & (table.unit_cost > 0) & (table.margin > 0)]
    table["margin_per_money"] = (table.margin / table.unit_cost).round(2)
    table["money"] = (table.level - table.available) * table.unit_cost
    return table.sort_values(["money", "sku"], ascending=[False, True])


def _lack(table: DataFrame) -> Series:
    return table.level - table.available - table.incoming


def _lots(table: DataFrame) -> Series:
    return Series(rounded_to_lots(_lack(table), table.pack_units, 0), index=table.index)


def order_list(shop: Store) -> dict[str, float]:
    table, chosen = order_candidates(shop), {}
    left, need = table.budget.iloc[0], table.level - table.available - table.incoming
    whole = rounded_to_lots(need, table.pack_units, 0)
    for sku, units, cost in zip(table.sku, whole, table.unit_cost, strict=True):
        chosen[sku] = units if units * cost <= left else 0
        left -= chosen[sku] * cost
    return chosen


def _within_budget(table: DataFrame, units: Sequence[float]) -> dict[str, float]:
    """`order_list` with other units."""
    left, chosen = table.budget.iloc[0], {}
    for sku, n, cost in zip(table.sku, units, table.unit_cost, strict=True):
        chosen[sku] = float(n) if n * cost <= left else 0.0
        left -= chosen[sku] * cost
    return chosen


def _without_packs(table: DataFrame) -> dict[str, float]:
    return _within_budget(table, _lack(table).clip(lower=0))


def _without_incoming(table: DataFrame) -> dict[str, float]:
    return _within_budget(table, _lots(table.assign(incoming=0.0)))


def _without_budget(table: DataFrame) -> dict[str, float]:
    return dict(zip(table.sku, _lots(table), strict=True))


WRONG_LISTS = {
    "pack sizes": _without_packs,
    "incoming ignored": _without_incoming,
    "budget ignored": _without_budget,
}


#: price breaks shown, and the share of bound money a year where the shop states none
MOST_BREAKS, USUAL_SHARE = 10, 0.2


@functools.cache
def offered_breaks(shop: Store) -> DataFrame:
    """Breaks of a sku's own supplier: sku, year_units, order_now and order_units (units an
    order), price_now and unit_price, holding_share (what a year of bound money costs). Those
    whose saving lies nearest to what holding more costs.
    """
    if not shop.has("supplier_offers"):
        raise NotApplicable("training.no_price_breaks")
    panel, law, held = chapter_tables(shop)
    as_of, receipts = shop.as_of, shop.get("purchase_orders")
    share = inventory.order_policy(shop.get("cost_rates"), held).holding_share or USUAL_SHARE
    bought = buying(panel, law, held, receipts, as_of=as_of)
    known = {"as_of": as_of, "rates": Rates(share)}
    found = terms(shop.supplier_offers, bought, held.suppliers, **known)
    found = found[found.is_today & (found.verdict != "too much") & (found.holding > 0)]
    found = found.drop_duplicates("sku").merge(bought[["sku", "year_units"]])
    near = np.log(found.price_saving.clip(lower=0.01) / found.holding).abs()
    found = found.assign(near=near, holding_share=share).sort_values(["near", "sku"])
    pays = found.price_saving > found.holding
    table = pd.concat([found[pays].head(MOST_BREAKS // 2), found[~pays].head(MOST_BREAKS // 2)])
    if pays.sum() < 2 or (~pays).sum() < 2:
        raise NotApplicable("training.no_price_breaks")
    rows = table.sort_values("sku").to_dict("records")
    return frame_of("training.offered_breaks", rows)


def breaks_that_pay(shop: Store) -> set[str]:
    """The price saved in a year beside what half of the larger order costs to hold."""
    return _paying(shop, 0.5)


def _paying(shop: Store, held: float) -> set[str]:
    table = offered_breaks(shop)
    more = table.order_units * table.unit_price - table.order_now * table.price_now
    saved = table.year_units * (table.price_now - table.unit_price)
    return set(table.sku[saved > held * table.holding_share * more])


def _by_the_order(shop: Store) -> set[str]:
    """The price saved on one order only."""
    table = offered_breaks(shop)
    more = table.order_units * table.unit_price - table.order_now * table.price_now
    saved = table.order_units * (table.price_now - table.unit_price)
    return set(table.sku[saved > table.holding_share * more / 2])


EXERCISES = bound(
    "inventory_planning",
    {
        "07.1": Answers(class_that_flips, given=variation),
        "07.2": Answers(
            reorder_check,
            slips={
                "no lead-time spread": _part("reorder_point", _without_spread),
                "wrong z": _part("reorder_point", *map(_with_z, WRONG_Z)),
                "no safety stock": _part("reorder_point", _with_z(0.0)),
                "on hand for available": _part(
                    "position", _on_hand_and_coming, lambda shop: shelf_of_one(shop).on_hand
                ),
                "incoming forgotten": _part("position", lambda shop: shelf_of_one(shop).available),
            },
            given=shelf_of_one,
        ),
        "07.3": Answers(
            cash_for_service,
            slips={
                "linear in percent": _linear,
                "share of the aim": _share_of_the_aim,
                "the whole stock": lambda shop: _cash(shop, (0.95, 0.98))[0.98],
            },
        ),
        "07.4": Answers(
            days_of_inventory,
            slips={
                "both faults": lambda shop: _days(shop, "stock_at_price", closing=True),
                "price for cost": lambda shop: _days(shop, "stock_at_price", closing=False),
                "revenue for cost": lambda shop: _days(
                    shop, "stock_at_cost", closing=False, flow="revenue"
                ),
                "closing for average stock": lambda shop: _days(
                    shop, "stock_at_cost", closing=True
                ),
            },
            given=stock_weeks,
            figures={"doi_days": days_of_inventory},
        ),
        "07.5": Answers(
            order_list,
            slips={
                name: lambda shop, wrong=wrong: wrong(order_candidates(shop))
                for name, wrong in WRONG_LISTS.items()
            },
            given=order_candidates,
        ),
        "07.7": Answers(
            breaks_that_pay,
            slips={
                "any discount": lambda shop: _paying(shop, 0.0),
                "the whole order": lambda shop: _paying(shop, 1.0),
                "one order": _by_the_order,
            },
            given=offered_breaks,
        ),
    },
)
