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
aside; the rest goes on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.chapters.inventory_planning.decisions import stock_decisions
from playbook.chapters.inventory_planning.ordering import OrderPlan, plan_orders, spend_budget
from playbook.chapters.inventory_planning.replay import policy_replay
from playbook.chapters.inventory_planning.stock_kpis import logistics_cost, stock_kpis
from playbook.chapters.inventory_planning.supply import Supply, lead_draws, supply
from playbook.errors import PlaybookError
from playbook.measures.demand_panel import (
    ISSUES,
    DemandPanel,
    demand_law,
    demand_panel,
    money_weight,
    stockouts,
    unit_margin,
)
from playbook.methods.demand import DemandLaw, tsb_level
from playbook.methods.newsvendor import levels_for_fill
from playbook.methods.replenishment import accepted_chance, order_quantity, safety_stock
from playbook.methods.uncensored import level_around

__all__ = [
    "DemandPanel",
    "Supply",
    "Reorder",
    "demand_panel",
    "demand_law",
    "classes",
    "demand_backtest",
    "stockouts",
    "supply",
    "reorder",
    "what_if_lead",
    "service_cash",
    "policy_replay",
    "overstock",
    "stock_kpis",
    "logistics_cost",
    "sku_weeks",
    "projection",
    "stock_decisions",
]

NAIVE_BONUS = 0.9  # a model replaces naive when it erred a tenth less: less may be luck
WORTH_CLEARING = 0.001  # share of the money in stock under which a clearance is not worth its work
AIMS = {"A": 0.97, "B": 0.95, "C": 0.90}


def classes(
    panel: DemandPanel,
    law: DemandLaw,
    *,
    abc_cuts: tuple[float, float] = (0.8, 0.95),
    xyz_cuts: tuple[float, float] = (0.5, 1.0),
    aims: dict[str, float] | None = None,
) -> pd.DataFrame:
    """One row per sku: abc by cumulated margin of the last 52 weeks (revenue where no
    cost is known), xyz by the coefficient of variation of weekly demand without season,
    amount, basis, mean_week, cv, aim_share, policy.
    """
    amount, basis = np.nansum(panel.margin[:, -52:], axis=1), "margin"
    if not np.isfinite(panel.margin[:, -52:][panel.units[:, -52:] > 0]).mean() > 0.5:
        amount, basis = panel.revenue[:, -52:].sum(axis=1), "revenue"
    found = pd.DataFrame(
        {"sku": panel.sku, "amount": amount, "basis": basis, "mean_week": law.level()}
    )
    found["cv"] = np.sqrt(law.dispersion + 1 / np.maximum(law.level(), 1e-6))
    found = found.sort_values(["amount", "sku"], ascending=[False, True], ignore_index=True)
    gains = found["amount"].clip(lower=0)
    before = (gains.cumsum() - gains) / max(gains.sum(), 1e-9)
    worth = gains > 0
    found["abc"] = np.select(
        [(before < abc_cuts[0]) & worth, (before < abc_cuts[1]) & worth], ["A", "B"], "C"
    )
    found["xyz"] = np.select(
        [found["cv"] < xyz_cuts[0], found["cv"] < xyz_cuts[1]], ["X", "Y"], "Z"
    )
    found["aim_share"] = found["abc"].map(aims or AIMS).astype(float)
    found["policy"] = np.where(
        found["abc"] == "C",
        np.where(found["xyz"] == "Z", "order on demand or keep one lot", "order up to, lots"),
        "weekly review, order up to",
    )
    return found[["sku", "abc", "xyz", "policy", "aim_share", "amount", "basis", "mean_week", "cv"]]


def demand_backtest(
    panel: DemandPanel,
    *,
    classes: pd.DataFrame,
    horizon_weeks: int = 4,
    n_origins: int = 6,
    level: float = 0.8,
    seed: int = 7,
) -> pd.DataFrame:
    """One row per class and model: n, wape, bias, coverage, nominal, naive_wape; `all`
    over all classes.

    Each origin sees its past only; a sku's future counts by the weeks it could be sold,
    for forecast and actual alike. Models: playbook (mean of its futures, what orders
    need), playbook median (what WAPE rewards), naive (last weeks again), seasonal naive
    (the same weeks a year ago), moving average of 13 weeks, tsb; and champion: at each
    origin the one of them that erred least in the class at the origins before (naive at
    the first, and where none did a tenth better). Coverage is that of the playbook's
    interval of `level`, `nominal` what the law itself gives those whole units: more
    than `level` where a sku sells in ones. Other models have none (missing).
    """
    total, h = panel.units.shape[1], horizon_weeks
    names = classes.set_index("sku").loc[panel.sku]
    kind = (names["abc"] + names["xyz"]).to_numpy()
    rows = []
    for origin in range(total - h, max(total - h * n_origins - 1, 26), -h):
        past, ahead = panel.until(origin), panel.exposure[:, origin : origin + h]
        law, sold = demand_law(past), ahead.sum(axis=1) > 0.5 * h
        actual, promo = (
            panel.units[:, origin : origin + h].sum(axis=1),
            panel.pull[:, origin : origin + h],
        )
        draws = (law.draw(h, n_draws=200, seed=seed, promo=promo) * ahead[:, None, :]).sum(axis=2)
        low, mid, high = np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2], axis=1)
        low, high = np.floor(low), np.ceil(high)
        said = ((low[:, None] <= draws) & (draws <= high[:, None])).mean(axis=1)
        recent = lambda k: (
            past.units[:, -k:].sum(axis=1) / np.maximum(past.exposure[:, -k:].sum(axis=1), 1e-9)
        )
        points = {
            "playbook": (law.mean(h, promo) * ahead).sum(axis=1),
            "playbook median": mid,
            "naive": recent(h) * ahead.sum(axis=1),
            "moving average": recent(13) * ahead.sum(axis=1),
            "tsb": tsb_level(past.units, past.exposure) * ahead.sum(axis=1),
        }
        if origin >= 52:
            points["seasonal naive"] = panel.units[:, origin - 52 : origin - 52 + h].sum(axis=1)
        for model, point in points.items():
            inside, nominal = (
                ((low <= actual) & (actual <= high), said)
                if model == "playbook"
                else (np.nan, np.nan)
            )
            rows.append(
                pd.DataFrame(
                    {
                        "origin": origin,
                        "sku": panel.sku,
                        "class": kind,
                        "model": model,
                        "point": point,
                        "actual": actual,
                        "inside": inside,
                        "nominal": nominal,
                    }
                )[sold]
            )
    columns = ["class", "model", "n", "wape", "bias", "coverage", "nominal", "naive_wape"]
    if not rows:
        return pd.DataFrame(columns=columns)
    log = _with_champion(pd.concat(rows, ignore_index=True))
    log = pd.concat([log, log.assign(**{"class": "all"})])
    log["error"], log["gap"] = (log["point"] - log["actual"]).abs(), log["point"] - log["actual"]
    found = (
        log.groupby(["class", "model"], sort=True)
        .agg(
            n=("error", "size"),
            error=("error", "sum"),
            gap=("gap", "sum"),
            actual=("actual", "sum"),
            coverage=("inside", "mean"),
            nominal=("nominal", "mean"),
        )
        .reset_index()
    )
    known = found["actual"].where(found["actual"] > 0)
    found["wape"], found["bias"] = found["error"] / known, found["gap"] / known
    naive = found[found["model"] == "naive"].set_index("class")["wape"]
    found["naive_wape"] = found["class"].map(naive)
    return found[columns]


def _with_champion(log: pd.DataFrame) -> pd.DataFrame:
    """The log of forecasts and, at each origin and in each class, once more those of
    the model that erred least before; a model that is not there at every origin is not
    in the race.
    """
    errors = (
        (log["point"] - log["actual"])
        .abs()
        .groupby([log["class"], log["origin"], log["model"]])
        .sum()
        .unstack()
    )
    before = errors.dropna(axis=1).groupby("class").cumsum().groupby("class").shift()
    before["naive"] = (before["naive"] * NAIVE_BONUS).fillna(-1.0)
    best = before.idxmin(axis=1).rename("best").reset_index()
    chosen = log.merge(best, on=["class", "origin"]).query("model == best").drop(columns="best")
    return pd.concat(
        [log, chosen.assign(model="champion", inside=np.nan, nominal=np.nan)], ignore_index=True
    )


@dataclass(frozen=True)
class Reorder:
    """`orders`: one row per sku that can be planned; `purchase_list`: one row per
    supplier, day and sku to order; `by_supplier`: lines, units, cash, expected margin
    (10 to 90 % of futures) by supplier and day; `plan`: the draws behind it; `issues`:
    skus set aside.
    """

    orders: pd.DataFrame
    purchase_list: pd.DataFrame
    by_supplier: pd.DataFrame
    plan: OrderPlan
    issues: pd.DataFrame


def reorder(
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    *,
    as_of: dt.date,
    classes: pd.DataFrame,
    review_days: int = 7,
    budget: float | None = None,
    aim_by: str = "fill",
    holding_share: float | None = None,
    ordering_cost: float = 0.0,
    lost_share: float = 1.0,
    is_lost: bool = True,
    n_draws: int = 200,
    seed: int = 7,
) -> Reorder:
    """What to order now, per sku: on_hand, incoming, rop, order_units, order_on,
    due_on, cash, expected_margin, reason.

    `aim_by` "fill" reaches the classes' aim_share at the least money in stock; "cost"
    weighs a year's `holding_share` of the unit cost over the time an order lasts
    against the margin of a lost sale (times `lost_share`; a margin not known is the
    shop's usual one over cost). `ordering_cost` per order line makes batches (economic
    order quantity). `budget` is spent where it earns most; what it leaves out says so
    in `reason`. textbook_rop is d̄·L + z·√(L·σ² + d̄²·σ_L²) with z of the same aim, for
    comparison. cash is missing without a cost. A sku that never sold is set aside: its
    demand is guessed from like items only, too widely to buy on. What sells at a loss
    is not ordered.
    """
    if aim_by not in ("fill", "cost"):
        raise PlaybookError(f"{aim_by!r} is no aim", do="choose fill or cost")
    goods = supply.goods.set_index("sku").reindex(panel.sku)
    aim = classes.set_index("sku")["aim_share"].reindex(panel.sku).to_numpy(float)
    yearly = law.level() * 52
    least = goods["min_order_units"].fillna(0).to_numpy(float)
    huge, active = (
        least > np.maximum(yearly, 1),
        goods["is_active"].astype("boolean").fillna(True).to_numpy(bool),
    )
    unsold = panel.units.sum(axis=1) == 0
    ok = (
        goods["lead_days"].notna().to_numpy()
        & goods["on_hand"].notna().to_numpy()
        & ~huge
        & ~unsold
        & active
    )
    by_hand = {
        "never sold": unsold & active,
        "minimum order above a year's demand": huge & ~unsold & active,
    }
    issues = [
        (s, problem, 1, "not ordered: decide by hand")
        for problem, at in by_hand.items()
        for s in panel.sku[at]
    ]
    part, at = law.of(ok), np.flatnonzero(ok)
    g, cost = goods[ok], goods["unit_cost"].to_numpy(float)[ok]
    margin = unit_margin(panel)[ok]
    leads = lead_draws(g, supply.leads, n_draws, seed)
    priced, stop = (
        np.nan_to_num(cost, nan=np.nanmedian(cost) if np.isfinite(cost).any() else 1.0),
        None,
    )
    lot = np.zeros(len(at))
    if ordering_cost and holding_share:
        lot = np.nan_to_num(
            order_quantity(ordering_cost, priced * holding_share, np.maximum(yearly[ok], 1e-9))[0]
        )
        lot = np.minimum(
            lot, yearly[ok] / 4
        )  # a quarter of a year at most: levels do not hold for longer
    if aim_by == "cost":
        if holding_share is None:
            raise PlaybookError(
                "Weighing costs needs a holding cost",
                table="cost_rates",
                column="value",
                do="add capital_share_per_year, or aim by fill",
            )
        batch = np.maximum(np.maximum(lot, least[ok]), g["pack_units"].fillna(1).to_numpy(float))
        typical = (
            np.nanmedian(margin / priced) if np.isfinite(margin).any() else 1.0
        )  # a margin not known is not 0
        stop = accepted_chance(
            priced * holding_share / 365,
            np.where(np.isfinite(margin), margin, typical * priced) * lost_share,
            np.maximum(365 * batch / np.maximum(yearly[ok], 1e-9), review_days),
        )
    aims, group = np.unique(aim[ok], return_inverse=True)
    plan = plan_orders(
        part,
        available=g["available"].to_numpy(float),
        incoming=g["incoming"].to_numpy(float),
        stop=stop,
        cost=money_weight(cost, margin),
        incoming_days=g["incoming_days"].to_numpy(float),
        lead_days=leads,
        review_days=review_days,
        aim=aims,
        group=group,
        pack=g["pack_units"].fillna(1).to_numpy(float),
        least=least[ok],
        batch=lot,
        is_lost=is_lost,
        yields=g["yield_share"].to_numpy(float),
        n_draws=n_draws,
        seed=seed,
    )
    units, gain = spend_budget(
        plan,
        cost,
        margin,
        np.inf if budget is None else budget,
        pack=g["pack_units"].fillna(1).to_numpy(float),
        least=np.maximum(least[ok], lot),
    )
    if budget is None:
        units = np.where(margin <= 0, 0.0, plan.units)
    mean_day = part.mean(4).mean(axis=1) / 7
    sd_day = np.sqrt(mean_day * 7 + part.dispersion * (mean_day * 7) ** 2) / np.sqrt(7)
    lead = g["lead_days"].to_numpy(float)
    ratio = np.clip(aim[ok], 0.5, 0.999)
    textbook = mean_day * (lead + review_days) + [
        float(safety_stock(r, m, s, n + review_days, d))
        for r, m, s, n, d in zip(
            ratio, mean_day, sd_day, lead, g["lead_sd"].to_numpy(float), strict=True
        )
    ]
    position = (g["available"] + g["incoming"]).to_numpy(float)
    wait = np.where(
        plan.units > 0, 0, np.maximum((position - plan.point) / np.maximum(mean_day, 1e-9), 1)
    )
    today = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    stock = {name: g[name].to_numpy(float) for name in ("on_hand", "available", "incoming")}
    found = pd.DataFrame(
        {
            "sku": panel.sku[at],
            "supplier_id": g["supplier_id"].to_numpy(),
            **stock,
            "mean_day": mean_day,
            "lead_days": lead,
            "rop": plan.point,
            "up_to": plan.up_to,
            "textbook_rop": textbook,
            "needed_units": plan.units,
            "order_units": units,
            "order_on": today + pd.to_timedelta(np.minimum(wait, 365).astype(int), unit="D"),
            "cash": units * cost,
            "expected_margin": gain,
            "fill_without": plan.fill_without,
            "fill_with": plan.fill,
            "cycle_service": plan.cycle,
        }
    )
    found.insert(2, "abc", classes.set_index("sku")["abc"].reindex(found["sku"]).to_numpy())
    found["due_on"] = found["order_on"] + pd.to_timedelta(np.round(lead).astype(int), unit="D")
    found["reason"] = np.select(
        [
            margin <= 0,
            (found["needed_units"] > 0) & (units == 0),
            (found["needed_units"] > units),
            found["needed_units"] > 0,
        ],
        [
            "sells at a loss",
            "budget spent on better lines",
            "cut to the budget",
            "position below reorder point",
        ],
        "enough for now",
    )
    saved = np.maximum(plan.need, 0) - np.maximum(plan.need - units[:, None], 0)
    chosen = np.where((units > 0) & np.isfinite(margin), margin, 0.0)[:, None] * saved
    supplier = found["supplier_id"].astype(str).to_numpy()
    spread = pd.DataFrame(chosen).groupby(supplier).sum().quantile([0.1, 0.9], axis=1)
    found = found.sort_values("sku", ignore_index=True)
    buys = found[found["order_units"] > 0].sort_values(
        ["supplier_id", "order_on", "sku"], ignore_index=True
    )
    buys = buys[
        ["supplier_id", "order_on", "due_on", "sku", "order_units", "cash", "expected_margin"]
    ]
    sums = buys.groupby(["supplier_id", "order_on"], as_index=False, dropna=False).agg(
        n_lines=("sku", "size"),
        units=("order_units", "sum"),
        cash=("cash", lambda c: c.sum(min_count=len(c))),
        expected_margin=("expected_margin", "sum"),
        due_on=("due_on", "max"),
    )
    sums["margin_low"], sums["margin_high"] = (
        sums["supplier_id"].astype(str).map(spread.loc[q]) for q in (0.1, 0.9)
    )
    return Reorder(found, buys, sums, plan, pd.DataFrame(issues, columns=ISSUES))


def what_if_lead(
    panel: DemandPanel,
    law: DemandLaw,
    *,
    lead_days: Sequence[int] = (7, 14, 30, 60),
    review_days: int = 7,
    aim: float = 0.95,
    seed: int = 7,
) -> pd.DataFrame:
    """Where lead times are not known: one row per sku, reorder point in units for each
    lead time asked about.
    """
    found = pd.DataFrame({"sku": panel.sku, "mean_week": law.mean(4).mean(axis=1)})
    for days in lead_days:
        before, window = law.windows(
            np.full(len(panel.sku), float(days)), review_days, n_draws=200, seed=seed
        )
        level, _ = levels_for_fill(
            before, window, aim, cost=np.ones(len(panel.sku)), group=np.zeros(len(panel.sku))
        )
        found[f"rop_{days}_days"] = level
    return found


def service_cash(
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    *,
    review_days: int = 7,
    n_draws: int = 200,
    seed: int = 7,
    aims: Sequence[float] = (0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99),
) -> pd.DataFrame:
    """What the next point of service costs: aim_share, stock_value (average, at cost),
    fill_share and cycle_share on fresh draws (not those that set the levels), step_cost
    per point of fill. Skus without cost, lead time or a sale are out.
    """
    goods = supply.goods.set_index("sku").reindex(panel.sku)
    ok = (goods["lead_days"].notna() & (goods["unit_cost"] > 0)).to_numpy() & (
        panel.units.sum(axis=1) > 0
    )
    part, g = law.of(ok), goods[ok]
    cost = g["unit_cost"].to_numpy(float)
    lot, margin = (
        g[["pack_units", "min_order_units"]].max(axis=1).fillna(1).to_numpy(float),
        unit_margin(panel)[ok],
    )
    set_on, fresh = (
        part.windows(lead_draws(g, supply.leads, n_draws, s), review_days, n_draws=n_draws, seed=s)
        for s in (seed, seed + 1)
    )
    rows = []
    for aim in aims:
        level, _ = levels_for_fill(
            *set_on, aim, cost=money_weight(cost, margin), group=np.zeros(len(g)), lot=lot
        )
        before, window = fresh
        position = level[:, None] + np.floor(lot[:, None] * ((np.arange(n_draws) * 0.618034) % 1))
        stock = np.maximum(position - before, 0)
        held = np.maximum(stock - window / 2, 0).mean(axis=1) * cost
        rows.append(
            {
                "aim_share": aim,
                "stock_value": float(held.sum()),
                "fill_share": float(np.minimum(stock, window).sum() / window.sum()),
                "cycle_share": float((stock >= window)[window > 0].mean()),
            }
        )
    found = pd.DataFrame(rows)
    found["step_cost"] = found["stock_value"].diff() / (100 * found["fill_share"].diff())
    return found


def overstock(
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    *,
    as_of: dt.date,
    cover_days: int = 120,
    seed: int = 7,
) -> pd.DataFrame:
    """Skus that hold more than nine futures in ten would sell in `cover_days`: days (of
    stock at mean demand), age_days (since the last receipt or launch; missing when
    unknown), excess_units, excess_value (at cost), on_hand, action: clear from twice
    the cover on, where it frees a thousandth of the money in stock (or no cost is
    known).
    """
    columns = [
        "sku",
        "on_hand",
        "days",
        "age_days",
        "excess_units",
        "value",
        "excess_value",
        "action",
    ]
    goods = supply.goods.set_index("sku").reindex(panel.sku)
    ok = (goods["on_hand"] > 0).to_numpy()
    if not ok.any():
        return pd.DataFrame(columns=columns)
    part, g = law.of(ok), goods[ok]
    _, demand = part.windows(np.zeros(len(g)), cover_days, n_draws=200, seed=seed)
    mean_day, likely = demand.mean(axis=1) / cover_days, np.quantile(demand, 0.9, axis=1)
    held = (g["on_hand"] + g["incoming"]).to_numpy(float)
    found = pd.DataFrame(
        {
            "sku": panel.sku[ok],
            "on_hand": g["on_hand"].to_numpy(float),
            "days": held / np.maximum(mean_day, 1e-6),
            "excess_units": np.floor(np.maximum(held - likely, 0)),
        }
    )
    since = g["last_received_on"].fillna(pd.to_datetime(g["launched_on"]))
    found["age_days"] = (pd.Timestamp(as_of) - since).dt.days.to_numpy(float)
    cost = g["unit_cost"].to_numpy(float)
    found["value"], found["excess_value"] = found["on_hand"] * cost, found["excess_units"] * cost
    found["days"] = found["days"].clip(upper=9999.0)
    little = found["excess_value"] < WORTH_CLEARING * found["value"].sum()
    found["action"] = np.where((found["days"] > 2 * cover_days) & ~little, "clear", "stop buying")
    found = found[found["excess_units"] >= 1]
    return found.sort_values(
        ["excess_value", "excess_units", "sku"], ascending=[False, False, True], ignore_index=True
    )[columns]


def sku_weeks(
    panel: DemandPanel, law: DemandLaw, sku: str, *, past: int = 52, ahead: int = 8, seed: int = 7
) -> pd.DataFrame:
    """One sku's weeks behind and ahead: starts_on, units, exposure, level (demand
    around that week), mid, low, high (10 and 90 % of simulated demand ahead). Weeks
    before it could first be sold are left out; what is not there is missing.
    """
    i = int(np.flatnonzero(panel.sku == sku)[0])
    level = level_around(panel.units[[i]], panel.exposure[[i]], half_width=4)[0]
    back = pd.DataFrame(
        {
            "starts_on": panel.starts,
            "units": panel.units[i],
            "exposure": panel.exposure[i],
            "level": level,
        }
    )[np.cumsum(panel.exposure[i] > 0) > 0].tail(past)
    draws = law.of(np.array([i])).draw(ahead, n_draws=500, seed=seed)[0]
    low, mid, high = np.quantile(draws, [0.1, 0.5, 0.9], axis=0)
    starts = panel.starts[-1] + pd.to_timedelta(7 * np.arange(1, ahead + 1), unit="D")
    front = pd.DataFrame({"starts_on": starts, "mid": mid, "low": low, "high": high})
    return pd.concat([back, front], ignore_index=True)


def projection(found: Reorder, sku: str, *, as_of: dt.date) -> pd.DataFrame:
    """One sku's shelf by day at mean demand until a fortnight after the order comes:
    without, with_order, low (demand a standard deviation above its mean). What is on
    order comes in halfway through the lead time.
    """
    row = found.orders.set_index("sku").loc[sku]
    days = np.arange(int(row["lead_days"]) + 15)
    wide = 1 + np.sqrt(0.3**2 + 1 / np.maximum(row["mean_day"] * len(days), 1))

    def shelf(rate: float, order: float) -> np.ndarray:
        level, path = row["available"], []
        for day in days:
            comes = row["incoming"] * (day == int(row["lead_days"] / 2)) + order * (
                day == int(row["lead_days"])
            )
            level = max(level + comes - rate * (day > 0), 0)
            path.append(level)
        return np.array(path)

    return pd.DataFrame(
        {
            "day_on": pd.Timestamp(as_of) + pd.to_timedelta(days, unit="D"),
            "without": shelf(row["mean_day"], 0),
            "with_order": shelf(row["mean_day"], row["order_units"]),
            "low": shelf(row["mean_day"] * wide, row["order_units"]),
        }
    )
