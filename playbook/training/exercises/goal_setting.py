"""02 Goal setting: a target's chance, drivers solved backwards, break-even, duties,
business models.
"""

from __future__ import annotations

import math
from functools import cache

import ibis
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.goal_setting import business, goals
from playbook.chapters.goal_setting.team import raci_verdicts
from playbook.measures.metrics import months_back
from playbook.measures.revenue_days import daily_revenue
from playbook.measures.sums import in_months, total
from playbook.methods.driver_tree import driver_tree
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound
from playbook.training.reading import sales_figure

# the target, as a multiple of the forecast
ABOVE = 1.1
# the goal, as a multiple of the present revenue
GOAL = 1.15


@cache
def past_errors(shop: Store) -> DataFrame:
    """A naive forecast of weekly revenue on the shop's own past: week_ends_on, forecast
    (mean of the four weeks before), actual, ratio (actual over forecast).
    """
    orders = shop.sales_orders
    daily = daily_revenue(
        orders, as_of=shop.as_of, observed_from=shop.observed_from, refunds=shop.booked_refunds
    )
    weeks = daily.set_index("period_on").amount.iloc[-7 * (len(daily) // 7) :]
    weeks = weeks.groupby(pd.RangeIndex(len(weeks)) // 7).sum().set_axis(weeks.index[6::7])
    table = DataFrame({"forecast": weeks.rolling(4).mean().shift(1), "actual": weeks}).dropna()
    table = table[table.forecast > 0].tail(52)
    if len(table) < 20:
        raise NotApplicable("training.few_weeks")
    table["ratio"] = table.actual / table.forecast
    return table.rename_axis("week_ends_on").reset_index()


def chance_of_target(shop: Store) -> float:
    """The share of past weeks that reached such a target."""
    return float((past_errors(shop).ratio >= ABOVE).mean())


def _two_sided(shop: Store) -> float:
    return (past_errors(shop).ratio.sub(1).abs() >= 0.1).mean()


@cache
def visits(shop: Store) -> Series:
    """The report month: sessions, checkouts (of the traffic table), orders, net_revenue."""
    traffic = in_months(shop.traffic, "day_on", [shop.month])
    month = _sums(traffic, "sessions", "checkouts")
    for name in ("sessions", "orders", "net_revenue"):
        month[name] = sales_figure(name)(shop)
    if not (month > 0).all():
        raise NotApplicable("training.no_visits")
    return month


def _sums(table: ibis.Table, *columns: str) -> Series:
    sums = table.aggregate(**{name: total(name) for name in columns})
    return sums.to_pandas().iloc[0].rename(None)


def needed_conversion(shop: Store) -> float:
    """The conversion that reaches the goal, the other drivers held."""
    month = visits(shop)
    base = {
        "sessions": month.sessions,
        "conversion": month.orders / month.sessions,
        "order_value": month.net_revenue / month.orders,
    }
    tree = driver_tree(base, 1.15 * month.net_revenue).set_index("driver")
    return float(tree.needed_alone["conversion"])


def _conversion(shop: Store, base: str = "sessions") -> float:
    return visits(shop).orders / visits(shop)[base]


@cache
def month_costs(shop: Store) -> Series:
    """The newest three months, a month: overhead, orders, revenue, goods, fees,
    fulfilment; and cm_per_order.
    """
    orders = in_months(shop.sales_orders, "ordered_on", months_back(shop.month, 3))
    orders = orders.mutate(orders=1, goods=_.cost)
    sums = _sums(orders, "orders", "revenue", "goods", "fees", "fulfilment") / 3
    fixed = business.monthly_fixed_cost(shop.cost_rates, as_of=shop.as_of)
    even = goals.break_even(shop.sales_orders, fixed=fixed["overhead"], as_of=shop.as_of).iloc[0]
    if even.status != "complete":
        raise NotApplicable("training.no_break_even")
    return Series({"overhead": even.fixed, **sums, "cm_per_order": even.cm_per_order})


def orders_needed(shop: Store) -> int:
    """Whole orders a month to break even with the overhead a fifth higher."""
    fixed = business.monthly_fixed_cost(shop.cost_rates, as_of=shop.as_of)
    even = goals.break_even(shop.sales_orders, fixed=1.2 * fixed["overhead"], as_of=shop.as_of)
    return math.ceil(even.orders_needed.iloc[0])


def _revenue_for_margin(shop: Store) -> int:
    month = month_costs(shop)
    return math.ceil(1.2 * month.overhead / (month.revenue / month.orders))


def _variable_as_fixed(shop: Store) -> int:
    month = month_costs(shop)
    fixed = 1.2 * month.overhead + month.fees + month.fulfilment
    return math.ceil(fixed / month.cm_per_order)


def _old_overhead(shop: Store) -> int:
    month = month_costs(shop)
    return math.ceil(month.overhead / month.cm_per_order)


@cache
def duties(shop: Store) -> DataFrame:
    """The shop's team table with three rows changed: one duty got a second accountable
    role, one lost its accountable role, one got a second responsible role (which is
    fine).
    """
    team = shop.team.select("role", "kpi", "raci").to_pandas().drop_duplicates(["role", "kpi"])
    owned = sorted(team[team.raci == "A"].kpi.unique())
    roles = sorted(team.role.unique())
    if len(owned) < 3 or len(roles) < 3:
        raise NotApplicable("training.few_duties")
    twice, nobody, helped = owned[:3]

    def others(kpi: str) -> list[str]:
        return [role for role in roles if role not in set(team[team.kpi == kpi].role)]

    team.loc[(team.kpi == nobody) & (team.raci == "A"), "raci"] = "R"
    more = [(others(twice)[0], twice, "A"), *((role, helped, "R") for role in others(helped)[:2])]
    table = pd.concat([team, DataFrame(more, columns=["role", "kpi", "raci"])])
    # duties that are not ok before anything is changed are left out
    table = table[~table.kpi.isin(_not_ok(shop.team))]
    return table.sort_values(["kpi", "role"], ignore_index=True)


def _not_ok(team: ibis.Table | DataFrame) -> set[str]:
    return set(raci_verdicts(team).query("verdict != 'ok'").kpi)


def duties_to_settle(shop: Store) -> set[str]:
    """Duties whose verdict is not ok."""
    verdicts = raci_verdicts(duties(shop))
    return set(verdicts[verdicts.verdict != "ok"].kpi)


def _with_roles(shop: Store, condition: str) -> set[str]:
    """Duties whose numbers of roles (R, A, C, I) meet a condition."""
    counts = duties(shop).groupby(["kpi", "raci"]).size().unstack(fill_value=0)
    return set(counts.query(condition).index)


@cache
def models(shop: Store) -> DataFrame:
    """The same basket through each business model, an order: model, gross_margin,
    platform_take, payment, fulfilment, acquisition.
    """
    own = business.own_basket(shop.sales_orders, as_of=shop.as_of)
    rates = business.order_rates(shop.get("cost_rates"), as_of=shop.as_of)
    found = business.business_models(
        shop.business_models,
        basket=own["basket"],
        orders_per_customer=own["orders_per_customer"],
        **rates,
    )
    found = found[found.status == "complete"].sort_values("model", ignore_index=True)
    if len(found) < 3:
        raise NotApplicable("training.few_models")
    other = found.gross_margin - found.platform_take - found.cm_before_cac
    return found.assign(other=other, acquisition=found.cm_before_cac - found.cm_per_order)


def model_table(shop: Store) -> DataFrame:
    """What the learner sees of `models`: parts of an order's margin, no sum."""
    shown = models(shop)[["model", "gross_margin", "platform_take", "other", "acquisition"]]
    return shown.rename(columns={"other": "payment_and_fulfilment"})


def models_ranked(shop: Store, column: str = "cm_per_order") -> list[str]:
    """Business models by what an order leaves, best first."""
    return list(models(shop).sort_values(column, ascending=False).model)


EXERCISES = bound(
    "goal_setting",
    {
        "02.2": Answers(
            chance_of_target,
            slips={
                "midpoint over target": lambda shop: 1 / ABOVE,
                "one-sided taken as two": _two_sided,
                "missed instead of reached": lambda shop: 1 - chance_of_target(shop),
                "any above forecast": lambda shop: (past_errors(shop).ratio >= 1).mean(),
            },
            given=past_errors,
        ),
        "02.3": Answers(
            needed_conversion,
            slips={
                "additive gap": lambda shop: _conversion(shop) + GOAL - 1,
                "wrong base": lambda shop: GOAL * _conversion(shop, "checkouts"),
                "present": _conversion,
            },
            given=visits,
            figures={
                "cvr_sessions": _conversion,
                "sessions": lambda shop: visits(shop).sessions,
                "orders": lambda shop: visits(shop).orders,
                "net_revenue": lambda shop: visits(shop).net_revenue,
            },
        ),
        "02.4": Answers(
            orders_needed,
            slips={
                "revenue for margin per order": _revenue_for_margin,
                "variable cost counted as fixed": _variable_as_fixed,
                "old overhead": _old_overhead,
            },
            given=month_costs,
        ),
        "02.5": Answers(
            duties_to_settle,
            slips={
                "two responsibles flagged": lambda shop: (
                    duties_to_settle(shop) | _with_roles(shop, "R > 1")
                ),
                "row with none missed": lambda shop: _with_roles(shop, "A > 1"),
                "row with two missed": lambda shop: _with_roles(shop, "A == 0"),
            },
            given=duties,
        ),
        "02.6": Answers(
            models_ranked,
            slips={
                "gross margin": lambda shop: models_ranked(shop, "gross_margin"),
                "omits acquisition": lambda shop: models_ranked(shop, "cm_before_cac"),
                "worst first": lambda shop: models_ranked(shop)[::-1],
            },
            given=model_table,
        ),
    },
)
