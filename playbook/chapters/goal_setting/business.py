"""The business behind the goals: fixed cost, value proposition, four models, product
and service plan.

All of it but the service plan runs before the first order: a model needs a basket and
its assumptions, a proposition somebody to make it to and what hurts them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.goal_setting.goals import month_start
from playbook.chapters.goal_setting.sections import Table
from playbook.chapters.registry import room_facts
from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.messages import say
from playbook.store import expression, one_if, seconds_between
from playbook.tables import frame_of, returns

__all__ = [
    "business_models",
    "launch_plan",
    "model_break_even",
    "monthly_fixed_cost",
    "order_rates",
    "own_basket",
    "service_plan",
    "typical_price",
    "value_proposition",
]

#: a gap of prices that is written as 0 %
SAME_PRICE = 0.005
#: assumptions without which a model's margin is not known
NEEDED = ["take_share", "stock_held", "cac", "cash_days", "gross_margin_share"]
#: order_rates' names -> kinds of cost_rates, and what stands in where none is stated
ORDER_RATES = {
    "payment_share": ("payment_share", 0.0),
    "fulfilment": ("fulfilment_per_order", 0.0),
}
#: months behind a promise, and the share of cases it must have held in
PROMISE_MONTHS, PROMISE_SHARE = 3, 0.9


def _rates(cost_rates: Table, as_of: dt.date) -> Series:
    """The newest rate in force by kind and scope."""
    rates = expression(cost_rates)
    rates = rates.filter(rates.from_on <= ibis.literal(as_of)).to_pandas()
    rates = rates.assign(scope=rates["scope"].fillna("all")).sort_values("from_on")
    return rates.groupby(["kind", "scope"])["value"].last().astype(float)


@dated
def monthly_fixed_cost(
    cost_rates: Table, *, as_of: dt.date, spend: DataFrame | None = None, months: int = 3
) -> dict[str, float]:
    """Money a month that does not hang on orders: overhead (the newest
    overhead_per_month in force, scopes summed) and marketing (mean of the newest
    `months` months of `spend`, the days of the cleaned log: day_on, spend). Missing
    where the shop states none.
    """
    rates = _rates(cost_rates, as_of)
    cost = {"overhead": _overhead(rates), "marketing": np.nan}
    if spend is not None:
        days = pd.to_datetime(spend["day_on"])
        is_recent = days.between(*map(pd.Timestamp, (month_start(as_of, months), as_of)))
        cost["marketing"] = float(spend.loc[is_recent, "spend"].sum(min_count=1)) / months
    return cost


@dated
def own_basket(sales_orders: Table | None, *, as_of: dt.date, months: int = 12) -> dict[str, float]:
    """Mean order (revenue) and orders per known customer of the newest months; a basket
    of 0 and one order per customer while nothing is known.
    """
    if sales_orders is None:
        return {"basket": 0.0, "orders_per_customer": 1.0}
    orders = expression(sales_orders)
    orders = orders.filter(orders.ordered_on.between(month_start(as_of, months), as_of))
    basket, n_known, n_buyers = (
        orders.aggregate(
            basket=_.revenue.cast("float64").mean().fill_null(0.0),
            n_known=_.customer_id.count(),
            n_buyers=_.customer_id.nunique(),
        )
        .to_pandas()
        .iloc[0]
    )
    often = n_known / n_buyers if n_buyers else 1.0
    return {"basket": float(basket), "orders_per_customer": often}


def typical_price(competitors: Table | None) -> float:
    """The median price competitors ask in the newest month: a basket of one before
    launch. Raises PlaybookError where no competitor is known either.
    """
    offers = DataFrame(columns=["month", "price"])
    if competitors is not None:
        offers = expression(competitors).to_pandas()
    prices = offers.loc[offers["month"] == offers["month"].max(), "price"].dropna()
    if prices.empty:
        raise PlaybookError("goal_setting.no_basket", table="business_models")
    return float(prices.astype(float).median())


@dated
def order_rates(cost_rates: Table | None, *, as_of: dt.date) -> dict[str, float]:
    """payment_share and fulfilment (per order) in force for the whole shop, and fixed
    (overhead a month, scopes summed); 0 shares and a missing fixed cost where no rate is
    stated.
    """
    rates = {} if cost_rates is None else _rates(cost_rates, as_of)
    stated = {
        name: rates.get((kind, "all"), default) for name, (kind, default) in ORDER_RATES.items()
    }
    return stated | {"fixed": _overhead(rates)}


def _overhead(rates: Mapping) -> float:
    """Overhead a month, scopes summed; missing where none is stated."""
    stated = [value for (kind, _scope), value in rates.items() if kind == "overhead_per_month"]
    return float(sum(stated)) if stated else np.nan


@returns("goal_setting.value_proposition")
def value_proposition(
    personas: DataFrame,
    *,
    gaps: DataFrame | None = None,
    concentrated: DataFrame | None = None,
) -> DataFrame:
    """Who, their pain, our answer, and what competitors offer.

    `personas`: persona, label, customers_share, pain (before launch: one row per
    favourite category of the survey). The answer is looked up by the words of the pain;
    a pain nobody has an answer for says so, it is the next thing to find out. `gaps`
    (category, gap_share: own price against their median) and `concentrated` (category,
    n_sellers, cr5) speak for the competitors, matched on the first category of the
    label.
    """
    pains = personas["pain"].astype(object).where(personas["pain"].notna(), "")
    answers = [_answer(str(pain)) for pain in pains]
    categories = personas["label"].astype(str).str.split(" + ", regex=False).str[0]
    rivals = [_rivals(category, gaps, concentrated) for category in categories]
    table = personas.assign(
        pain=pains.replace("", say("goal_setting.pain_unknown")),
        answer=[say(f"goal_setting.answer_{name}") for name, _metric in answers],
        evidence_metric=[metric for _name, metric in answers],
        competitor_answer=["; ".join(told) or say("goal_setting.rival_unknown") for told in rivals],
    )
    return frame_of("goal_setting.value_proposition", table)


def _answer(pain: str) -> tuple[str, str]:
    """Name of the answer to a pain, and the metric that shows it."""
    if not pain:
        return "unasked", ""
    for answer in room_facts("goal_setting")["answers"]:
        if any(word in pain.lower() for word in answer["words"]):
            return answer["name"], answer["metric"]
    return "missing", ""


def _rivals(category: str, gaps: DataFrame | None, concentrated: DataFrame | None) -> list[str]:
    """What competitors offer in a category, in sentences."""
    told = []
    if gaps is not None:
        gap = gaps.loc[gaps["category"] == category, "gap_share"].median()
        side = "same" if abs(gap) < SAME_PRICE else "above" if gap > 0 else "below"
        if np.isfinite(gap):
            told.append(say(f"goal_setting.rival_price_{side}", gap=abs(gap)))
    if concentrated is not None:
        for row in concentrated[concentrated["category"] == category].itertuples():
            told.append(
                say(
                    "goal_setting.rival_sellers",
                    n=int(row.n_sellers),
                    share=row.cr5,
                )
            )
    return told


@returns("goal_setting.models")
def business_models(
    assumptions: Table,
    *,
    basket: float,
    payment_share: float = 0.0,
    fulfilment: float = 0.0,
    orders_per_customer: float = 1.0,
    fixed: float = np.nan,
    measured: Mapping[str, float] | None = None,
) -> DataFrame:
    """The same basket through each model; best cm_per_order first. `measured`: what a
    new customer of a model costs this shop today; it stands in for the assumed cac.

    `assumptions` (model, kind, value): gross_margin_share and take_share (kept by the
    platform, host or creator) of the basket, cac per new customer, cash_days from
    paying suppliers to being paid, stock_held 1 or 0; payment_share and
    fulfilment_per_order there override the ones given. Raises PlaybookError for a
    basket that is not above zero or an assumption stated twice.
    """
    if not basket > 0:
        raise PlaybookError("goal_setting.basket_not_positive", table="business_models")
    given = {"payment_share": payment_share, "fulfilment_per_order": fulfilment}
    stated = _assumptions(assumptions).reindex(columns=[*NEEDED, *given]).fillna(given)
    known = Series(measured or {}, dtype=float).reindex(stated.index)
    stated["cac"] = known.fillna(stated["cac"])
    share = stated[["gross_margin_share", "take_share", "payment_share"]]
    gross_margin, platform_take, payment = (basket * share[name] for name in share)
    cm_before_cac = gross_margin - platform_take - payment - stated["fulfilment_per_order"]
    cac = stated["cac"] / max(orders_per_customer, 1.0)
    cm_per_order = cm_before_cac - cac
    kept = share["gross_margin_share"] - share["take_share"] - share["payment_share"]
    models = stated.reset_index().assign(
        gross_margin=gross_margin.array,
        platform_take=platform_take.array,
        cm_before_cac=cm_before_cac.array,
        cm_per_order=cm_per_order.array,
        cm_first_order=(cm_before_cac - stated["cac"]).array,
        orders_needed=(fixed / cm_per_order).where(cm_per_order > 0).array,
        basket_needed=((stated["fulfilment_per_order"] + cac) / kept).where(kept > 0).array,
        is_cac_measured=known.notna().array,
        status=[_model_status(row) for _model, row in stated[NEEDED].isna().iterrows()],
    )
    models = models.sort_values(["cm_per_order", "model"], ascending=[False, True])
    return frame_of("goal_setting.models", models.reset_index(drop=True))


def _assumptions(assumptions: Table) -> DataFrame:
    """One row per model, one column per kind of assumption."""
    stated = expression(assumptions).select("model", "kind", "value").to_pandas()
    twice = stated[stated.duplicated(["model", "kind"])]
    if len(twice):
        where = {
            "table": "business_models",
            "column": "kind",
            "rows": len(twice),
        }
        first = twice[["model", "kind"]].iloc[0].to_dict()
        raise PlaybookError("goal_setting.stated_twice", **where, **first)
    wide = stated.pivot(index="model", columns="kind", values="value").astype(float)
    return wide.rename_axis(columns=None)


def _model_status(is_missing: Series) -> str:
    kinds = ", ".join(is_missing.index[is_missing])
    return say("goal_setting.needs_assumptions", kinds=kinds) if kinds else "complete"


@returns("goal_setting.break_even")
def model_break_even(models: DataFrame, *, fixed: float) -> DataFrame:
    """Break-even before the first order, from the best model's assumptions: status
    `assumed` (`never` where the basket does not earn).
    """
    best = models.dropna(subset=["cm_per_order"]).head(1).reset_index(drop=True)
    status = np.where(best["cm_per_order"] > 0, "assumed", "never")
    known = best.assign(fixed=fixed, n_orders=0, status=status)
    return frame_of("goal_setting.break_even", known).assign(
        model=best["model"], basket_needed=best["basket_needed"]
    )


@returns("goal_setting.launch_plan")
def launch_plan(concentrated: DataFrame | None, people: DataFrame | None) -> DataFrame:
    """A first range before the first order. range_share follows demand (the market's
    sales without a survey), less where few sellers hold the category (times 1 - hhi).
    """
    plan = DataFrame({"category": Series(dtype=str)})
    if concentrated is not None:
        middle = (concentrated["sales_low"] + concentrated["sales_high"]) / 2
        plan = concentrated.assign(market_sales=middle)
    if people is not None:
        names = {"label": "category", "customers_share": "demand_share"}
        demand = people.rename(columns=names)[list(names.values())]
        plan = plan.merge(demand, on="category", how="outer")
    plan = frame_of("goal_setting.launch_plan", plan)
    pull = plan["demand_share"]
    if pull.isna().all():
        pull = plan["market_sales"] / plan["market_sales"].sum()
    weight = pull.astype(float).fillna(0.0) * (1 - plan["hhi"].astype(float).fillna(0.0))
    plan["range_share"] = weight / weight.sum() if weight.sum() > 0 else np.nan
    return plan.sort_values(
        ["range_share", "category"],
        ascending=[False, True],
        ignore_index=True,
    )


@returns("goal_setting.service_plan")
def service_plan(
    orders: Table, *, as_of: dt.date, tickets: Table | None = None, refunds: Table | None = None
) -> DataFrame:
    """What the shop can promise and how it does, over the newest three months.

    Delivery: days from order to arrival that nine in ten orders met, and the share
    later than promised (overdue counts). Service: median hours to first reply of
    answered cases. Returns: median days from order to refund. A promise that cannot be
    measured is `unobserved`.
    """
    start = ibis.literal(month_start(as_of, PROMISE_MONTHS))
    most, middle = _.took.cast("float64").quantile(PROMISE_SHARE), _.took.cast("float64").median()
    placed = expression(orders)
    is_sale = placed.status.isin(["paid", "shipped", "done", "refunded"])
    placed, rows = placed.filter((placed.ordered_on >= start) & is_sale), []
    if {"delivered_at", "ordered_at"} <= set(placed.columns):
        days = seconds_between(placed.ordered_at, placed.delivered_at) / 86_400
        came = placed.mutate(took=days).filter(placed.delivered_at.notnull())
        rows.append(
            _promise(
                "delivered",
                came,
                most,
                most,
            )
        )
    if {"delivered_at", "promised_at"} <= set(placed.columns):
        due = placed.filter(placed.promised_at.cast("date") <= ibis.literal(as_of))
        is_late = due.delivered_at.isnull() | (due.delivered_at > due.promised_at)
        rows.append(_promise("late", due.mutate(took=one_if(is_late)), _.took.mean()))
    if tickets is not None:
        cases = expression(tickets)
        cases = cases.filter(
            (cases.opened_at.cast("date") >= start) & cases.first_reply_at.notnull()
        )
        hours = seconds_between(cases.opened_at, cases.first_reply_at) / 3_600
        rows.append(
            _promise(
                "reply",
                cases.mutate(took=hours),
                middle,
                most,
            )
        )
    if refunds is not None:
        back = expression(refunds)
        back = back.filter((back.refunded_on >= start) & back.ordered_on.notnull())
        days = back.refunded_on.delta(back.ordered_on, unit="day")
        rows.append(_promise("refund", back.mutate(took=days), middle))
    plan = frame_of("goal_setting.service_plan", rows).astype({"n": "int64"})
    return plan.assign(status=np.where(plan["n"] > 0, "complete", "unobserved"))


def _promise(
    name: str, cases: ibis.Table, now: ibis.Deferred, most: ibis.Deferred | None = None
) -> dict[str, object]:
    """One promise: what buyers got (`now`), and what can be promised: `most` in whole
    units, else the same.
    """
    can = now if most is None else most.ceil()
    row = cases.aggregate(
        now=now.cast("float64"),
        n=_.count(),
        can_promise=can.cast("float64"),
    )
    row = row.to_pandas().iloc[0].to_dict()
    facts = room_facts("goal_setting")["promises"][name]
    return {"promise": say(f"goal_setting.promise_{name}")} | facts | row
