"""02 Goal setting: a target's chance, drivers solved backwards, break-even, duties,
business models.
"""

from __future__ import annotations

import functools

import pandas as pd
from ibis import _

from playbook.chapters.goal_setting import business, goals
from playbook.chapters.goal_setting.team import raci_verdicts
from playbook.measures.revenue_days import daily_revenue
from playbook.methods.driver_tree import driver_tree
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound

ABOVE = 1.1  # the target, as a multiple of the forecast
GOAL = 1.15  # of the present revenue


@functools.cache
def past_errors(shop: Store) -> pd.DataFrame:
    """A naive forecast of weekly revenue on the shop's own past: week_ends_on, forecast
    (mean of the four weeks before), actual, ratio (actual over forecast).
    """
    orders = shop.sales_orders
    daily = daily_revenue(
        orders, as_of=shop.as_of, observed_from=shop.observed_from, refunds=shop.booked_refunds
    )
    weeks = daily.set_index("period_on").amount.iloc[-7 * (len(daily) // 7) :]
    weeks = weeks.groupby(pd.RangeIndex(len(weeks)) // 7).sum().set_axis(weeks.index[6::7])
    table = pd.DataFrame({"forecast": weeks.rolling(4).mean().shift(1), "actual": weeks}).dropna()
    table = table[table.forecast > 0].tail(52)
    if len(table) < 20:
        raise NotApplicable("training.few_weeks")
    return (
        table.assign(ratio=table.actual / table.forecast).rename_axis("week_ends_on").reset_index()
    )


def chance_of_target(shop: Store) -> float:
    """The share of past weeks that reached such a target."""
    return float((past_errors(shop).ratio >= ABOVE).mean())


@functools.cache
def visits(shop: Store) -> pd.Series:
    """The report month: sessions, checkouts, buyers (of the traffic table), revenue
    (their orders).
    """
    traffic = shop.traffic.filter(_.day_on.strftime("%Y-%m") == shop.month)
    sums = shop.con.execute(
        traffic.aggregate(
            **{c: _[c].sum().cast("float64") for c in ("sessions", "checkouts", "buyers")}
        )
    ).iloc[0]
    sold = (
        shop.sales_orders.filter(_.ordered_on.strftime("%Y-%m") == shop.month)
        .revenue.sum()
        .cast("float64")
    )
    found = pd.concat([sums, pd.Series({"revenue": float(shop.con.execute(sold) or 0)})])
    if not (found > 0).all():
        raise NotApplicable("training.no_visits")
    return found


def needed_conversion(shop: Store) -> float:
    """The conversion that reaches the goal, the other drivers held."""
    month = visits(shop)
    base = {
        "sessions": month.sessions,
        "conversion": month.buyers / month.sessions,
        "spend_per_buyer": month.revenue / month.buyers,
    }
    tree = driver_tree(base, 1.15 * month.revenue).set_index("driver")
    return float(tree.needed_alone["conversion"])


@functools.cache
def month_costs(shop: Store) -> pd.Series:
    """The newest three months, a month: overhead, orders, revenue, goods, fees,
    fulfilment; and cm_per_order.
    """
    start = pd.Period(shop.month, freq="M") - 2
    orders = shop.sales_orders.filter(_.ordered_on >= start.start_time.date())
    sums = shop.con.execute(
        orders.aggregate(
            orders=_.count(),
            **{
                name: _[column].sum().cast("float64") / 3
                for name, column in (
                    ("revenue", "revenue"),
                    ("goods", "cost"),
                    ("fees", "fees"),
                    ("fulfilment", "fulfilment"),
                )
            },
        )
    ).iloc[0]
    fixed = business.monthly_fixed_cost(shop.cost_rates, as_of=shop.as_of)
    even = goals.break_even(shop.sales_orders, fixed=fixed["overhead"], as_of=shop.as_of).iloc[0]
    if even.status != "complete":
        raise NotApplicable("training.no_break_even", status=even.status)
    return pd.Series(
        {
            "overhead": even.fixed,
            "orders": sums.orders / 3,
            **sums.drop("orders"),
            "cm_per_order": even.cm_per_order,
        }
    )


def orders_needed(shop: Store) -> float:
    """Orders a month to break even with the overhead a fifth higher."""
    fixed = business.monthly_fixed_cost(shop.cost_rates, as_of=shop.as_of)
    even = goals.break_even(shop.sales_orders, fixed=1.2 * fixed["overhead"], as_of=shop.as_of)
    return float(even.orders_needed.iloc[0])


@functools.cache
def duties(shop: Store) -> pd.DataFrame:
    """The shop's team table with three rows changed: one duty got a second accountable
    role, one lost its accountable role, one got a second responsible role (which is
    fine).
    """
    team = shop.team.select("role", "kpi", "raci").to_pandas().drop_duplicates(["role", "kpi"])
    owned = sorted(team[team.raci == "A"].kpi.unique())
    roles = sorted(team.role.unique())
    if len(owned) < 3 or len(roles) < 3:
        raise NotApplicable("training.few_duties")
    twice, nobody, helped = owned[0], owned[1], owned[2]

    def others(kpi: str) -> list[str]:
        return [role for role in roles if role not in set(team[team.kpi == kpi].role)]

    team.loc[(team.kpi == nobody) & (team.raci == "A"), "raci"] = "R"
    more = [(others(twice)[0], twice, "A"), *((role, helped, "R") for role in others(helped)[:2])]
    table = pd.concat([team, pd.DataFrame(more, columns=["role", "kpi", "raci"])])
    return table[~table.kpi.isin(_broken(shop))].sort_values(["kpi", "role"], ignore_index=True)


def _broken(shop: Store) -> set[str]:
    """Duties whose verdict is not ok before anything is changed; left out of the
    exercise.
    """
    found = raci_verdicts(shop.team)
    return set(found[found.verdict != "ok"].kpi)


def duties_to_settle(shop: Store) -> set[str]:
    """Duties whose verdict is not ok."""
    found = raci_verdicts(duties(shop))
    return set(found[found.verdict != "ok"].kpi)


def _counts(shop: Store) -> pd.DataFrame:
    counts = duties(shop).groupby(["kpi", "raci"]).size().unstack(fill_value=0)
    return counts.reindex(columns=list("RACI"), fill_value=0)


@functools.cache
def models(shop: Store) -> pd.DataFrame:
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


def model_table(shop: Store) -> pd.DataFrame:
    """What the learner sees of `models`: parts of an order's margin, no sum."""
    shown = models(shop)[["model", "gross_margin", "platform_take", "other", "acquisition"]]
    return shown.rename(columns={"other": "payment_and_fulfilment"})


def models_ranked(shop: Store) -> list[str]:
    """Business models by what an order leaves, best first."""
    return list(models(shop).sort_values("cm_per_order", ascending=False).model)


def _ranked_by(shop: Store, column: str) -> list[str]:
    return list(models(shop).sort_values(column, ascending=False).model)


EXERCISES = bound(
    "goal_setting",
    {
        "02.2": Answers(
            chance_of_target,
            slips={
                "midpoint over target": lambda shop: 1 / ABOVE,
                "one-sided taken as two": lambda shop: float(
                    (past_errors(shop).ratio.sub(1).abs() >= 0.1).mean()
                ),
                "missed instead of reached": lambda shop: 1 - chance_of_target(shop),
                "any above forecast": lambda shop: float((past_errors(shop).ratio >= 1).mean()),
            },
            given=past_errors,
        ),
        "02.3": Answers(
            needed_conversion,
            slips={
                "additive gap": lambda shop: visits(shop).buyers / visits(shop).sessions + GOAL - 1,
                "wrong base": lambda shop: GOAL * visits(shop).buyers / visits(shop).checkouts,
                "present": lambda shop: visits(shop).buyers / visits(shop).sessions,
            },
            given=visits,
        ),
        "02.4": Answers(
            orders_needed,
            slips={
                "revenue for margin per order": lambda shop: (
                    1.2
                    * month_costs(shop).overhead
                    / (month_costs(shop).revenue / month_costs(shop).orders)
                ),
                "variable cost counted as fixed": lambda shop: (
                    (
                        1.2 * month_costs(shop).overhead
                        + month_costs(shop)[["fees", "fulfilment"]].sum()
                    )
                    / month_costs(shop).cm_per_order
                ),
                "old overhead": lambda shop: (
                    month_costs(shop).overhead / month_costs(shop).cm_per_order
                ),
            },
            given=month_costs,
        ),
        "02.5": Answers(
            duties_to_settle,
            slips={
                "two responsibles flagged": lambda shop: (
                    duties_to_settle(shop) | set(_counts(shop)[lambda t: t.R > 1].index)
                ),
                "row with none missed": lambda shop: set(_counts(shop)[lambda t: t.A > 1].index),
                "row with two missed": lambda shop: set(_counts(shop)[lambda t: t.A == 0].index),
            },
            given=duties,
        ),
        "02.6": Answers(
            models_ranked,
            slips={
                "gross margin": lambda shop: _ranked_by(shop, "gross_margin"),
                "omits acquisition": lambda shop: _ranked_by(shop, "cm_before_cac"),
                "worst first": lambda shop: models_ranked(shop)[::-1],
            },
            given=model_table,
        ),
    },
)
