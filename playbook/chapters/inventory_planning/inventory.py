"""Stock: what customers will want, what to order for it, what the policy would have
cost, and what has to go.

Demand is not sales: a week counts by the share of it in which the sku could be sold
(`demand_panel`). Orders come from simulated demand over lead time plus review, not from
a formula on averages; the formula stands beside them. *Position* is what can be sold
plus what is on order. *Fill* is the share of units served from stock, *cycle service*
the share of order cycles without a stock-out; they are not the same number. Without
stock on record demand, classes and backtest still work; without lead times there is a
what-if and no order.

Rows that cannot be true are named in `issues` (sku, problem, n, consequence) and set
aside; the rest goes on. Demand stands in `playbook.measures.demand_panel`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame, Timestamp

from playbook.chapters.inventory_planning.ordering import (
    DRAWS,
    OrderPlan,
    plan_orders,
    spend_budget,
)
from playbook.chapters.inventory_planning.supply import Supply, days_of_stock, named, told_days
from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.measures.demand_panel import ISSUES, DemandPanel, money_weight
from playbook.messages import say
from playbook.methods.demand import DemandLaw
from playbook.methods.newsvendor import levels_for_fill, spread_over_lot
from playbook.methods.replenishment import accepted_chance, order_quantity, safety_stock
from playbook.store import expression
from playbook.tables import empty, frame_of, returns, schema

__all__ = [
    "OrderPolicy",
    "Reorder",
    "came_back",
    "classes",
    "order_policy",
    "reorder",
    "projection",
    "what_if_lead",
    "service_cash",
    "overstock",
]

Table = ibis.Table | DataFrame

WORTH_CLEARING = 0.001  # share of the money in stock under which a clearance is not worth its work
CLEAR_FROM = 2  # times the cover from which stock is cleared
AIMS = {"A": 0.97, "B": 0.95, "C": 0.90}
ABC_CUTS, XYZ_CUTS = (0.8, 0.95), (0.5, 1.0)  # cumulated share; coefficient of variation
LEADS_ASKED = (7, 14, 30, 60)  # days
LEAD_DRAWS = 1000  # futures behind those: their luck may not order the lead times
LEAD_AIM = 0.95  # fill aim of a reorder point where no lead time is known
SERVICE_AIMS = (0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
SEED = 7


@returns("inventory_planning.classes")
def classes(
    panel: DemandPanel,
    law: DemandLaw,
    *,
    aims: dict[str, float] | None = None,
    back: DataFrame | None = None,
) -> DataFrame:
    """Class abc by cumulated margin of the last 52 weeks (revenue where no cost is known)
    after what came `back` (`came_back`), xyz by the coefficient of variation of weekly demand
    without season, and the fill aim and way of ordering that follow.
    """
    amount, basis = np.nansum(panel.margin[:, -52:], axis=1), "margin"
    is_known = np.isfinite(panel.margin[:, -52:][panel.units[:, -52:] > 0])
    if 2 * is_known.sum() <= is_known.size:
        amount, basis = panel.revenue[:, -52:].sum(axis=1), "revenue"
    if back is not None:
        amount = amount + back[basis].reindex(panel.sku).fillna(0.0).to_numpy(float)
    level = law.level()
    variation = np.sqrt(law.dispersion + 1 / np.maximum(level, 1e-6))
    table = DataFrame(
        {
            "sku": panel.sku,
            "amount": amount,
            "basis": basis,
            "mean_week": level,
            "cv": variation,
        }
    ).sort_values(["amount", "sku"], ascending=[False, True], ignore_index=True)
    gains = table.amount.clip(lower=0)
    before = ((gains.cumsum() - gains) / max(gains.sum(), 1e-9)).where(gains > 0, 1.0)
    abc = np.select([before < cut for cut in ABC_CUTS], ["A", "B"], "C")
    xyz = np.select([table.cv < cut for cut in XYZ_CUTS], ["X", "Y"], "Z")
    weekly, on_demand, in_lots = (
        say(f"inventory_planning.order_{way}") for way in ("weekly", "on_demand", "in_lots")
    )
    table = table.assign(
        abc=abc,
        xyz=xyz,
        policy=np.select([abc != "C", xyz == "Z"], [weekly, on_demand], in_lots),
        aim_share=pd.Series(abc).map(aims or AIMS).astype(float),
    )
    return table[schema("inventory_planning.classes").names]


@dated
def came_back(refunds: Table, *, as_of: dt.date) -> DataFrame:
    """What the last 52 weeks' refunds (`booked_refunds`) took from the revenue and the margin
    of each sku (the index), money of 0 or less; refunds that name no sku are in none.
    """
    t = expression(refunds)
    since = as_of - dt.timedelta(weeks=52)
    t = t.filter(t.sku.notnull(), t.refunded_on > since, t.refunded_on <= as_of)
    sums = {"revenue": -t.amount.sum().cast("float64"), "margin": t.margin.sum().cast("float64")}
    return t.group_by("sku").aggregate(**sums).to_pandas().set_index("sku").sort_index()


@dataclass(frozen=True)
class OrderPolicy:
    """How a shop orders.

    `aim_by` "fill" reaches the classes' aim_share at the least money in stock; "cost"
    weighs a year's `holding_share` of the unit cost over the time an order lasts
    against the margin of a lost sale. `ordering_cost` per order line makes batches
    (economic order quantity). `budget` is spent where it earns most (None: no limit).
    """

    review_days: int = 7
    aim_by: str = "fill"
    budget: float | None = None
    holding_share: float | None = None
    ordering_cost: float = 0.0


USUAL = OrderPolicy()


@dataclass(frozen=True)
class Reorder:
    """`orders`: one row per sku that can be planned; `purchase_list`: one row per
    supplier, day and sku to order; `by_supplier`: the same by supplier and day;
    `issues`: skus set aside.
    """

    orders: DataFrame
    purchase_list: DataFrame
    by_supplier: DataFrame
    issues: DataFrame


def order_policy(
    cost_rates: ibis.Table | None, supply: Supply, **how: int | float | str | None
) -> OrderPolicy:
    """A policy at the shop's latest cost rates, an order's cost shared by its usual
    lines; `how` gives its other fields.
    """
    rates = {}
    if cost_rates is not None:
        rates = cost_rates.order_by("from_on").to_pandas().groupby("kind").value.last()
    n_lines = max(supply.suppliers.lines_per_order.mean(), 1.0)
    share = rates.get("capital_share_per_year")
    return OrderPolicy(
        holding_share=None if share is None else float(share),
        ordering_cost=float(rates.get("ordering_cost_per_po", 0.0)) / n_lines,
        **how,
    )


@dated
def reorder(
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    *,
    as_of: dt.date,
    classes: DataFrame,
    policy: OrderPolicy = USUAL,
) -> Reorder:
    """What to order now, per sku.

    What the budget leaves out says so in `reason`. textbook_rop is d̄·L + z·√(L·σ² +
    d̄²·σ_L²) with z of the same aim, for comparison. cash is missing without a cost. A
    margin not known is the shop's usual one over cost. A sku that never sold is set
    aside: its demand is guessed from like items only, too widely to buy on. What sells
    at a loss is not ordered. PlaybookError where no sku is left to plan.
    """
    if policy.aim_by not in ("fill", "cost"):
        raise PlaybookError("inventory_planning.no_aim", aim_by=policy.aim_by)
    lines, issues = _lines(panel, law, supply, classes)
    if lines.empty:
        raise PlaybookError(
            "inventory_planning.nothing_to_plan", table="stock", rows=len(panel.sku), n=len(issues)
        )
    law = law.of(np.isin(panel.sku, lines.index))
    lines["min_order_units"] = np.maximum(lines.min_order_units, _economic_lot(lines, law, policy))
    plan = plan_orders(
        law,
        lines,
        supply.lead_draws(lines, DRAWS, SEED),
        chance=_accepted(lines, law, policy) if policy.aim_by == "cost" else None,
        review_days=policy.review_days,
    )
    cost, margin = lines.unit_cost.to_numpy(float), lines.margin.to_numpy()
    budget = np.inf if policy.budget is None else policy.budget
    units, gain = spend_budget(plan, cost, margin, budget)
    if policy.budget is None:
        units = np.where(margin <= 0, 0.0, plan.units)
    ordered = lines.assign(order_units=units, expected_margin=gain)
    orders = _order_table(ordered, law, plan, policy, as_of)
    earned = np.where((units > 0) & np.isfinite(margin), margin, 0.0)[:, None]
    saved = np.maximum(plan.need, 0) - np.maximum(plan.need - units[:, None], 0)
    supplier = orders.supplier_id.astype(str).to_numpy()
    spread = DataFrame(earned * saved).groupby(supplier).sum().quantile([0.1, 0.9], axis=1)
    orders = orders.sort_values("sku", ignore_index=True)
    bought = orders[orders.order_units > 0]
    bought = bought.sort_values(["supplier_id", "order_on", "sku"], ignore_index=True)
    bought = bought[schema("inventory_planning.purchase_list").names]
    return Reorder(orders, bought, _by_supplier(bought, spread), issues)


@returns("inventory_planning.what_if_lead")
def what_if_lead(panel: DemandPanel, law: DemandLaw) -> DataFrame:
    """Where lead times are not known: the reorder point for each lead time asked about.

    What is ready for a longer wait is not less than for a shorter one: luck of the
    draws may not lower a point.
    """
    n, least = len(panel.sku), 0.0
    table = DataFrame({"sku": panel.sku, "mean_week": law.mean(4).mean(axis=1)})
    for days in LEADS_ASKED:
        futures = law.windows(
            np.full(n, float(days)),
            7,
            n_draws=LEAD_DRAWS,
            seed=SEED,
        )
        level, _ = levels_for_fill(
            *futures,
            LEAD_AIM,
            cost=np.ones(n),
            group=np.zeros(n),
        )
        table[f"rop_{days}_days"] = least = np.maximum(level, least)
    return table


def service_cash(
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    *,
    review_days: int = 7,
    aims: Sequence[float] = SERVICE_AIMS,
    seed: int = SEED,
) -> DataFrame:
    """What the next point of service costs, by fresh draws (`seed` + 1; not those that set
    the levels, `seed`). Skus without cost, lead time or a sale are out; no row where no
    future sells.
    """
    goods, is_sold = supply.of(panel), panel.units.sum(axis=1) > 0
    ok = (goods.lead_days.notna() & (goods.unit_cost > 0)).to_numpy() & is_sold
    if not ok.any():
        return empty("inventory_planning.service_cash")
    goods, law = goods[ok], law.of(ok)
    cost = goods.unit_cost.to_numpy(float)
    weight = money_weight(cost, goods.margin.to_numpy())
    lot = goods[["pack_units", "min_order_units"]].max(axis=1).to_numpy(float)
    set_on, (before, window) = (
        law.windows(
            supply.lead_draws(goods, DRAWS, one),
            review_days,
            n_draws=DRAWS,
            seed=one,
        )
        for one in (seed, seed + 1)
    )
    if not (window > 0).any():
        return empty("inventory_planning.service_cash")
    rows = []
    for aim in aims:
        group = np.zeros(len(goods))
        level, _ = levels_for_fill(
            *set_on,
            aim,
            cost=weight,
            group=group,
            lot=lot,
        )
        position = level[:, None] + spread_over_lot(lot, DRAWS)
        stock = np.maximum(position - before, 0)
        held = np.maximum(stock - window / 2, 0).mean(axis=1) * cost
        fill = float(np.minimum(stock, window).sum() / window.sum())
        cycle = float((stock >= window)[window > 0].mean())
        rows.append((aim, float(held.sum()), fill, cycle, np.nan))
    table = frame_of("inventory_planning.service_cash", rows)
    points = 100 * table.fill_share.diff()
    # a step that fills no more has no price
    return table.assign(step_cost=table.stock_value.diff() / points.where(points > 0))


@returns("inventory_planning.overstock")
def overstock(
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    *,
    as_of: dt.date,
    cover_days: int = 120,
) -> DataFrame:
    """Skus that hold more than nine futures in ten would sell in `cover_days`. Clear
    from twice the cover on, where it frees a thousandth of the money in stock (or no
    cost is known).
    """
    goods = supply.of(panel)
    ok = (goods.on_hand > 0).to_numpy()
    if not ok.any():
        return empty("inventory_planning.overstock")
    goods, none = goods[ok], np.zeros(ok.sum())
    _, demand = law.of(ok).windows(none, cover_days, n_draws=DRAWS, seed=SEED)
    likely = np.quantile(demand, 0.9, axis=1)
    held = (goods.on_hand + goods.incoming).to_numpy(float)
    since = goods.last_received_on.fillna(pd.to_datetime(goods.launched_on))
    on_hand, cost = (goods[name].to_numpy(float) for name in ("on_hand", "unit_cost"))
    days = days_of_stock(goods, law.of(ok), days=cover_days)
    excess = np.floor(np.maximum(held - likely, 0))
    value, excess_value = on_hand * cost, excess * cost
    is_little = excess_value < WORTH_CLEARING * np.nansum(value)
    is_cleared = (days > CLEAR_FROM * cover_days) & ~is_little
    table = DataFrame(
        {
            "sku": panel.sku[ok],
            "on_hand": on_hand,
            "days": told_days(days),
            "age_days": (Timestamp(as_of) - since).dt.days.to_numpy(float),
            "excess_units": excess,
            "value": value,
            "excess_value": excess_value,
            "action": np.where(is_cleared, "clear", "stop buying"),
        }
    )
    table = table[table.excess_units >= 1]
    return table.sort_values(
        ["excess_value", "excess_units", "sku"], ascending=[False, False, True], ignore_index=True
    )


@dated
def projection(
    plan: Reorder,
    sku: str,
    *,
    as_of: dt.date,
) -> DataFrame:
    """One sku's shelf by day at mean demand until a fortnight after the order comes:
    day_on, without, with_order, low (demand a standard deviation above its mean). What
    is on order comes in halfway through the lead time.
    """
    line = plan.orders.set_index("sku").loc[sku]
    lead_days, mean = int(line.lead_days), line.mean_day
    days = np.arange(lead_days + 15)
    wide = 1 + np.sqrt(0.3**2 + 1 / np.maximum(mean * len(days), 1))

    def shelf(rate: float, order: float) -> list[float]:
        level, path = line.available, []
        for day in days:
            arrives = line.incoming * (day == int(line.lead_days / 2))
            arrives = arrives + order * (day == lead_days)
            level = max(level + arrives - rate * (day > 0), 0)
            path.append(level)
        return path

    return DataFrame(
        {
            "day_on": Timestamp(as_of) + pd.to_timedelta(days, unit="D"),
            "without": shelf(mean, 0),
            "with_order": shelf(mean, line["order_units"]),
            "low": shelf(mean * wide, line["order_units"]),
        }
    )


def _lines(
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    classes: DataFrame,
) -> tuple[DataFrame, DataFrame]:
    """The skus that can be planned, and those set aside for a decision by hand."""
    goods = supply.of(panel).join(classes.set_index("sku")[["abc", "aim_share"]])
    is_active = goods.is_active.astype("boolean").fillna(True).to_numpy(bool)
    is_unsold = panel.units.sum(axis=1) == 0
    is_huge = (goods.min_order_units > np.maximum(law.level() * 52, 1)).to_numpy() & ~is_unsold
    issues = named("never_sold", panel.sku[is_unsold & is_active])
    issues += named("minimum_above_year", panel.sku[is_huge & is_active])
    is_known = goods.lead_days.notna() & goods.on_hand.notna()
    lines = goods[is_known & ~is_huge & ~is_unsold & is_active]
    return lines.copy(), DataFrame(issues, columns=ISSUES)


def _priced(lines: DataFrame) -> pd.Series:
    """Unit cost; where it is not known, the middle of the others."""
    return lines.unit_cost.fillna(lines.unit_cost.median()).fillna(1.0)


def _economic_lot(
    lines: DataFrame,
    law: DemandLaw,
    policy: OrderPolicy,
) -> ndarray:
    """The economic order quantity of each sku; none without both costs."""
    if not (policy.ordering_cost and policy.holding_share):
        return np.zeros(len(lines))
    yearly, holding = law.level() * 52, _priced(lines) * policy.holding_share
    lot, _ = order_quantity(
        policy.ordering_cost,
        holding,
        np.maximum(yearly, 1e-9),
    )
    # a quarter of a year at most: levels do not hold for longer
    return np.minimum(np.nan_to_num(lot), yearly / 4)


def _accepted(
    lines: DataFrame,
    law: DemandLaw,
    policy: OrderPolicy,
) -> ndarray:
    """The chance of running short at which one more unit costs what it saves."""
    if policy.holding_share is None:
        raise PlaybookError(
            "inventory_planning.no_holding_cost", table="cost_rates", column="value"
        )
    batch, priced = np.maximum(lines.min_order_units, lines.pack_units), _priced(lines)
    # a margin not known is not 0
    usual = priced * (lines.margin / priced).median()
    margin = lines.margin.fillna(usual).fillna(priced)
    days = np.maximum(365 * batch / np.maximum(law.level() * 52, 1e-9), policy.review_days)
    return accepted_chance(
        priced * policy.holding_share / 365,
        margin,
        days,
    )


@returns("inventory_planning.reorder")
def _order_table(
    lines: DataFrame,
    law: DemandLaw,
    plan: OrderPlan,
    policy: OrderPolicy,
    as_of: dt.date,
) -> DataFrame:
    """What is ordered of each sku, when, and what it costs and earns."""
    mean_day, units = law.mean(4).mean(axis=1) / 7, lines.order_units
    position = (lines.available + lines.incoming).to_numpy(float)
    wait = np.maximum((position - plan.point) / np.maximum(mean_day, 1e-9), 1)
    wait = np.minimum(np.where(plan.units > 0, 0, wait), 365).astype(int)
    order_on = Timestamp(as_of) + pd.Timedelta(days=1) + pd.to_timedelta(wait, unit="D")
    covered, aim = lines.lead_days + policy.review_days, np.clip(lines.aim_share, 0.5, 0.999)
    sd_day = np.sqrt(mean_day * 7 + law.dispersion * (mean_day * 7) ** 2) / np.sqrt(7)
    reasons = {
        "sells_at_a_loss": lines.margin <= 0,
        "budget_spent": (plan.units > 0) & (units == 0),
        "cut_to_budget": plan.units > units,
        "below_reorder_point": plan.units > 0,
    }
    words = [say(f"inventory_planning.reason_{name}") for name in reasons]
    lead = pd.to_timedelta(np.round(lines.lead_days).astype(int), unit="D")
    table = lines.assign(
        mean_day=mean_day,
        rop=plan.point,
        up_to=plan.up_to,
        textbook_rop=mean_day * covered
        + safety_stock(aim, mean_day, sd_day, covered, lines.lead_sd),
        needed_units=plan.units,
        order_on=order_on,
        cash=units * lines.unit_cost,
        fill_without=plan.fill_without,
        fill_with=plan.fill,
        cycle_service=plan.cycle,
        due_on=order_on + lead,
        reason=np.select(list(reasons.values()), words, say("inventory_planning.reason_enough")),
    )
    return table.rename_axis("sku").reset_index()[schema("inventory_planning.reorder").names]


@returns("inventory_planning.purchase_by_supplier")
def _by_supplier(bought: DataFrame, spread: DataFrame) -> DataFrame:
    """The purchase list by supplier and day; `spread` holds 10 and 90 % of the margin
    of each supplier.
    """
    sums = bought.groupby(
        ["supplier_id", "order_on"],
        as_index=False,
        dropna=False,
    ).agg(
        n_lines=("sku", "size"),
        units=("order_units", "sum"),
        cash=("cash", lambda cash: cash.sum(min_count=len(cash))),
        expected_margin=("expected_margin", "sum"),
        due_on=("due_on", "max"),
    )
    supplier = sums.supplier_id.astype(str)
    return sums.assign(
        margin_low=supplier.map(spread.loc[0.1]), margin_high=supplier.map(spread.loc[0.9])
    )
