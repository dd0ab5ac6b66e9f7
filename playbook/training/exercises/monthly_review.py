"""11 Monthly review: signal or noise, contributions that add up, top drivers, immature
figures, ranked decisions.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.channel_roi.channels import channel_headline
from playbook.chapters.customer_journey.aftersales import returns
from playbook.chapters.customer_journey.journey import journey_headline
from playbook.chapters.monthly_review.appraisal import appraisal
from playbook.chapters.monthly_review.ranking import WEIGHT, ranked_decisions
from playbook.chapters.monthly_review.review import drivers, scorecard
from playbook.chapters.monthly_review.usual import control_limits
from playbook.chapters.start_here.facts import breakdown
from playbook.measures.metrics import METRICS, months_back
from playbook.store import Store
from playbook.tables import frame_of
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound
from playbook.training.reading import channel_months, made_up, sales_months

SALES = ("net_revenue", "orders", "aov", "units_per_order", "new_customers", "sessions")
#: whose maturity the dictionary states
CARD = [
    "net_revenue",
    "orders",
    "aov",
    "discount_share",
    "refund_share_booked",
    "new_customers",
    "poas",
    "return_share",
]
DRIVERS = ("sessions", "cvr_sessions", "units_per_order")
DIMENSIONS = ("channel", "category", "region", "customer_type")


@functools.cache
def headline(shop: Store) -> DataFrame:
    """The monthly series that chapters 00, 03 and 08 leave for the review, made from
    the store.
    """
    frames = [sales_months(shop)]
    if shop.has("ad_spend"):
        frames.append(channel_headline(channel_months(shop)))
    if shop.has("refunds"):
        back = returns(shop.sales_lines, shop.booked_refunds, as_of=shop.as_of, months=22)
        frames.append(journey_headline(back=back))
    return pd.concat(frames, ignore_index=True).assign(notebook="")


@functools.cache
def moved_most(shop: Store) -> DataFrame:
    """The sales figure that moved most against last month: metric, actual, last_month,
    change_share, mean_of_months_before, last_year, lower, upper.
    """
    series = headline(shop)
    card = _card(shop)
    card = card[card.metric.isin(SALES) & (card.status == "complete")]
    card = card.dropna(subset=["last_month", "lower", "upper"])
    if card.empty:
        raise NotApplicable("training.no_figure_with_limits")
    past = series[(series.month < shop.month) & (series.status == "complete")]
    card["mean_of_months_before"] = card.metric.map(past.groupby("metric").amount.mean())
    card["change_share"] = card.actual / card.last_month - 1
    card = card.sort_values("change_share", key=lambda share: -share.abs(), kind="stable")
    return frame_of("training.moved_most", card).head(1).reset_index(drop=True)


def signal_or_noise(shop: Store) -> str:
    metric = moved_most(shop).metric.iloc[0]
    limits = control_limits(headline(shop), month=shop.month).set_index("metric").loc[metric]
    actual = moved_most(shop).actual.iloc[0]
    return "b" if limits.lower <= actual <= limits.upper else "c"


@functools.cache
def driver_table(shop: Store) -> DataFrame:
    """The drivers of net revenue, last month and this: driver, before, after; their
    product is net revenue.
    """
    table = drivers(headline(shop), month=shop.month)
    if table.empty or np.isclose(table.before.prod(), table.after.prod(), rtol=1e-6):
        raise NotApplicable("training.revenue_did_not_move")
    if (table[["before", "after"]] <= 0).any(axis=None):
        raise NotApplicable("training.driver_not_positive")
    return table[["driver", "before", "after"]]


def _driver(name: str, shop: Store) -> float:
    return driver_table(shop).set_index("driver").after[name]


def contributions(shop: Store) -> dict[str, float]:
    table = drivers(headline(shop), month=shop.month)
    return dict(zip(table.driver, table.contribution, strict=True))


def _one_at_a_time(shop: Store, *, keep: bool = False) -> dict[str, float]:
    """Each driver changed alone from last month's figures, or (keep) one after the
    other.
    """
    table = driver_table(shop)
    state, change = table.before.to_numpy(), {}
    for place, (driver, after) in enumerate(zip(table.driver, table.after, strict=True)):
        changed = state.copy()
        changed[place] = after
        change[driver] = float(changed.prod() - state.prod())
        state = changed if keep else state
    return change


def _shares(shop: Store) -> dict[str, float]:
    table = driver_table(shop).set_index("driver")
    return np.log(table.after / table.before).to_dict()


@functools.cache
def segment_table(shop: Store) -> DataFrame:
    """Sales before returns of this month and the last by channel, category, region or
    customer type, whichever tells most apart who moved most money, who moved most in
    percent, and who is largest: dimension, segment, before, after.
    """
    months = [months_back(shop.month, 2)[0], shop.month]
    rows = breakdown(shop)
    rows = rows[rows.month.isin(months)]
    tables = []
    for dimension in DIMENSIONS:
        mine = rows[rows.dimension == dimension]
        wide = mine.pivot(index="segment", columns="month", values="revenue")
        wide = wide.reindex(columns=months).fillna(0.0).set_axis(["before", "after"], axis=1)
        wide = wide[wide.before > 0]
        if len(wide) > 1 and wide.after.sum() > 0:
            table = wide.reset_index()
            table.insert(0, "dimension", dimension)
            tables.append(table)
    if not tables:
        raise NotApplicable("training.no_segments_last_month")
    # the first of those that tell most
    return max(tables, key=_told_apart)


def _told_apart(table: DataFrame) -> int:
    """How many segments the three ways of looking name: by money moved, by percent, by
    size.
    """
    by_percent, by_money = (_largest(table, percent=percent) for percent in (True, False))
    return len({by_percent, by_money, table.segment[table.after.idxmax()]})


def _largest(table: DataFrame, *, percent: bool) -> str:
    moved = (table.after - table.before).abs()
    return table.segment[(moved / table.before if percent else moved).idxmax()]


def top_driver(shop: Store) -> str:
    table = segment_table(shop)
    contribution = table.after - table.before
    return table.segment[contribution.abs().idxmax()]


@functools.cache
def _card(shop: Store) -> DataFrame:
    """The scorecard of the month."""
    return scorecard(headline(shop), month=shop.month)


@functools.cache
def arrows(shop: Store) -> DataFrame:
    """The card as a dashboard shows it on the last evening of the month: metric, name,
    formula, settles (days after the month's end until the figure stands, as the metric
    dictionary has it), actual, last_month, arrow.
    """
    series = headline(shop)
    card = _card(shop).set_index("metric")
    card = card.loc[[metric for metric in CARD if metric in card.index]].reset_index()
    last = series[series.month == months_back(shop.month, 2)[0]].set_index("metric").amount
    card["last_month"] = card.metric.map(last)
    card = card.dropna(subset=["actual", "last_month"]).reset_index(drop=True)
    if card.empty or (card.status == "complete").all():
        raise NotApplicable("training.every_figure_stands")
    metrics = card.metric.map(METRICS)
    card["formula"] = [metric.formula for metric in metrics]
    card["settles"] = [metric.maturity for metric in metrics]
    is_up = card.actual > card.last_month
    card["arrow"] = [
        _arrow(metric.direction, up) for metric, up in zip(metrics, is_up, strict=True)
    ]
    return frame_of("training.arrows", card)


def _arrow(direction: str, is_up: bool) -> str:
    if direction == "↔":
        return "up" if is_up else "down"
    return "better" if is_up == (direction != "↓") else "worse"


def still_filling(shop: Store) -> set[str]:
    card = _card(shop)
    card = card[card.metric.isin(arrows(shop).metric)]
    return set(card.metric[card.status != "complete"])


def _all_but_one(shop: Store) -> set[str]:
    """What someone names who acts on one of them; a ValueError where there is but one."""
    first, *others, _acted_on = sorted(still_filling(shop))
    return {first, *others}


def _acts_on_some(shop: Store, answer: set[str]) -> bool:
    """Some of the immature ones are left out, none that stands is in."""
    return bool(answer) and answer < still_filling(shop)


def _bad_arrows(shop: Store) -> set[str]:
    return set(arrows(shop).metric[arrows(shop).arrow == "worse"])


@functools.cache
def proposals(shop: Store) -> DataFrame:
    """Five proposals made up from the shop's own margin of the month: decision, effect
    (margin), unit (per month or year), cost (a month), confidence.
    """
    series = headline(shop)
    margin = series[(series.metric == "cm") & (series.month == shop.month)].amount.abs()
    if margin.empty or not margin.iloc[0] > 0:
        raise NotApplicable("training.no_margin_of_the_month")
    table = made_up("proposals")
    scale = margin.iloc[0] / 100
    return table.assign(
        effect=(table.effect * scale).round(2),
        cost=(table.cost * scale).round(2),
        unit=f"{shop.currency} margin a " + table.unit,
    )


def ranking(shop: Store) -> list[str]:
    table = proposals(shop)
    rows = table.assign(
        expected_effect=table.effect - table.cost,
        effect_kind="margin",
        effect_period=made_up("proposals").unit,
        decision_id=table.decision,
        status="proposed",
        due_on="",
        size=1.0,
        owner_role="general manager",
        is_idle=False,
    )
    rows = frame_of("monthly_review.decisions", rows)
    return list(ranked_decisions(rows).decision_id)


def _ranking(
    shop: Store, *, cost: bool = True, confidence: bool = True, year: bool = True
) -> list[str]:
    table = proposals(shop).set_index("decision")
    is_year = table.unit.str.endswith("year") & year
    worth = table.effect / np.where(is_year, 12, 1) - table.cost * cost
    if confidence:
        worth *= table.confidence.map(WEIGHT)
    return list(worth.sort_values(ascending=False, kind="stable").index)


def appraised(shop: Store) -> DataFrame:
    """Six roles with a figure each, the same for every shop."""
    return made_up("appraised")


def own_doing(shop: Store) -> set[str]:
    """Roles whose figure left the usual range around what was to be expected."""
    table = appraised(shop)
    card = table.rename(columns={"kpi": "metric"}).drop(columns="role")
    team = table[["role", "kpi"]].assign(weight_share=1.0, raci="A")
    figures = appraisal(card.assign(name=card.metric, status="complete"), team)
    return set(figures.role[figures.verdict.isin(["better", "worse"])])


def _off(shop: Store, beside: str, *, below: bool = False) -> set[str]:
    """Roles whose figure lies beside the target or the expectation, or below it."""
    table = appraised(shop)
    gap = table.actual - table[beside]
    return set(table.role[gap < 0 if below else gap != 0])


EXERCISES = bound(
    "monthly_review",
    {
        "11.1": Answers(
            signal_or_noise,
            slips={"limits misread": lambda shop: "c" if signal_or_noise(shop) == "b" else "b"},
            given=moved_most,
        ),
        "11.2": Answers(
            contributions,
            slips={
                "one at a time": _one_at_a_time,
                "one after the other": lambda shop: _one_at_a_time(shop, keep=True),
                "not scaled": _shares,
            },
            given=driver_table,
            figures={
                "net_revenue": lambda shop: driver_table(shop).after.prod(),
                **{name: functools.partial(_driver, name) for name in DRIVERS},
            },
        ),
        "11.3": Answers(
            top_driver,
            slips={
                "largest percentage change": lambda shop: _largest(
                    segment_table(shop), percent=True
                ),
                "largest segment": lambda shop: (
                    segment_table(shop).set_index("segment").after.idxmax()
                ),
            },
            given=segment_table,
        ),
        "11.4": Answers(
            still_filling,
            slips={
                "booked for ordered": lambda shop: still_filling(shop) | {"refund_share_booked"},
                "acts on it": Pattern(_all_but_one, _acts_on_some),
                "bad news only": _bad_arrows,
                "everything": lambda shop: set(arrows(shop).metric),
            },
            given=arrows,
        ),
        "11.5": Answers(
            ranking,
            slips={
                "unweighted by confidence": lambda shop: _ranking(shop, confidence=False),
                "ignores cost": lambda shop: _ranking(shop, cost=False),
                "a year for a month": lambda shop: _ranking(shop, year=False),
                "effect alone": lambda shop: _ranking(
                    shop, cost=False, confidence=False, year=False
                ),
            },
            given=proposals,
        ),
        "11.7": Answers(
            own_doing,
            slips={
                "missed the target": lambda shop: _off(shop, "target", below=True),
                "beside the target": lambda shop: _off(shop, "target"),
                "beside the expectation": lambda shop: _off(shop, "expected"),
            },
            given=appraised,
        ),
    },
)
