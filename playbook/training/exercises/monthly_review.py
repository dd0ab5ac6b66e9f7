"""11 Monthly review: signal or noise, contributions that add up, top drivers, immature
figures, ranked decisions.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from playbook.chapters.channel_roi.channels import channel_headline, channel_months
from playbook.chapters.customer_journey.aftersales import returns
from playbook.chapters.customer_journey.journey import journey_headline
from playbook.chapters.monthly_review.decisions import WEIGHT, ranked_decisions
from playbook.chapters.monthly_review.review import control_limits, drivers, scorecard
from playbook.chapters.start_here.facts import breakdown
from playbook.measures.ad_spend import read_extract
from playbook.measures.metrics import METRICS, monthly_sales, months_back
from playbook.tables import schema
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound

SALES = ("net_revenue", "orders", "aov", "units_per_order", "new_customers", "sessions")
CARD = (
    "net_revenue",
    "orders",
    "aov",
    "discount_share",
    "refund_share_booked",
    "new_customers",
    "poas",
    "return_share",
)  # whose maturity the dictionary states


@functools.cache
def headline(shop: Any) -> pd.DataFrame:
    """The monthly series that chapters 00, 03 and 08 leave for the review, made from
    the store.
    """
    frames = [monthly_sales(shop)]
    if shop.has("ad_spend"):
        months = channel_months(
            shop.sales_orders,
            spend=read_extract(shop.ad_spend, as_of=shop.as_of),
            refunds=shop.booked_refunds,
            as_of=shop.as_of,
        )
        frames.append(channel_headline(months))
    if shop.has("refunds"):
        back = returns(shop.sales_lines, shop.booked_refunds, as_of=shop.as_of, months=22)
        frames.append(journey_headline(back=back))
    return pd.concat(frames, ignore_index=True).assign(notebook="")


@functools.cache
def moved_most(shop: Any) -> pd.DataFrame:
    """The sales figure that moved most against last month: metric, actual, last_month,
    change_share, mean_of_months_before, last_year, lower, upper.
    """
    card = scorecard(headline(shop), month=shop.month)
    card = card[card.metric.isin(SALES) & (card.status == "complete")].dropna(
        subset=["last_month", "lower", "upper"]
    )
    if card.empty:
        raise NotApplicable("No sales figure has eight complete months and a last month behind it.")
    past = headline(shop)
    past = (
        past[(past.month < shop.month) & (past.status == "complete")]
        .groupby("metric")
        .amount.mean()
    )
    card = card.assign(
        change_share=card.actual / card.last_month - 1, mean_of_months_before=card.metric.map(past)
    )
    card = card.sort_values("change_share", key=lambda s: -s.abs(), kind="stable")
    return (
        card[
            [
                "metric",
                "actual",
                "last_month",
                "change_share",
                "mean_of_months_before",
                "last_year",
                "lower",
                "upper",
            ]
        ]
        .head(1)
        .reset_index(drop=True)
    )


def signal_or_noise(shop: Any) -> str:
    metric = moved_most(shop).metric.iloc[0]
    limits = control_limits(headline(shop), month=shop.month).set_index("metric").loc[metric]
    actual = moved_most(shop).actual.iloc[0]
    return "b" if limits.lower <= actual <= limits.upper else "c"


@functools.cache
def driver_table(shop: Any) -> pd.DataFrame:
    """The drivers of net revenue, last month and this: driver, before, after; their
    product is net revenue.
    """
    found = drivers(headline(shop), month=shop.month)
    if found.empty or np.isclose(found.before.prod(), found.after.prod(), rtol=1e-6):
        raise NotApplicable(
            "Net revenue did not move against last month, or a driver was not observed."
        )
    if (found[["before", "after"]] <= 0).any(axis=None):
        raise NotApplicable(
            "A driver is zero or negative, so logarithms cannot share the change out."
        )
    return found[["driver", "before", "after"]]


def contributions(shop: Any) -> dict[str, float]:
    found = drivers(headline(shop), month=shop.month)
    return dict(zip(found.driver, found.contribution, strict=True))


def _one_at_a_time(shop: Any, *, keep: bool) -> dict[str, float]:
    """Each driver changed alone from last month's figures, or (keep) one after the
    other.
    """
    table = driver_table(shop)
    state, found = table.before.to_numpy(), {}
    for place, (driver, after) in enumerate(zip(table.driver, table.after, strict=True)):
        changed = state.copy()
        changed[place] = after
        found[driver] = float(changed.prod() - state.prod())
        state = changed if keep else state
    return found


def _shares(shop: Any) -> dict[str, float]:
    table = driver_table(shop)
    growth = np.log(table.after / table.before)
    return dict(zip(table.driver, growth, strict=True))


@functools.cache
def segment_table(shop: Any) -> pd.DataFrame:
    """Sales before returns of this month and the last by channel, category, region or
    customer type, whichever tells most apart who moved most money, who moved most in
    percent, and who is largest: dimension, segment, before, after.
    """
    rows = breakdown(shop)
    months = [months_back(shop.month, 2)[0], shop.month]
    found = {}
    for dimension in ("channel", "category", "region", "customer_type"):
        mine = rows[(rows.dimension == dimension) & rows.month.isin(months)]
        wide = (
            mine.pivot(index="segment", columns="month", values="revenue")
            .reindex(columns=months)
            .fillna(0.0)
        )
        wide = wide[wide[months[0]] > 0]
        if len(wide) > 1 and wide[months[1]].sum() > 0:
            wide = wide.set_axis(["before", "after"], axis=1).reset_index()
            found[dimension] = wide.assign(dimension=dimension)[
                ["dimension", "segment", "before", "after"]
            ]
    if not found:
        raise NotApplicable("No dimension has two segments with sales last month.")
    return max(found.values(), key=_told_apart)  # the first of those that tell most


def _told_apart(table: pd.DataFrame) -> int:
    """How many segments the three ways of looking name: by money moved, by percent, by
    size.
    """
    return len(
        {
            _largest(table, percent=True),
            _largest(table, percent=False),
            table.segment[table.after.idxmax()],
        }
    )


def _largest(table: pd.DataFrame, *, percent: bool) -> str:
    moved = (table.after - table.before).abs()
    return table.segment[(moved / table.before if percent else moved).idxmax()]


def top_driver(shop: Any) -> str:
    table = segment_table(shop)
    contribution = table.after - table.before
    return table.segment[contribution.abs().idxmax()]


@functools.cache
def arrows(shop: Any) -> pd.DataFrame:
    """The card as a dashboard shows it on the last evening of the month: metric, name,
    formula, settles (days after the month's end until the figure stands, as the metric
    dictionary has it), actual, last_month, arrow.
    """
    series = headline(shop)
    card = scorecard(series, month=shop.month).set_index("metric")
    card = card.loc[[m for m in CARD if m in card.index]].reset_index()
    last = series[series.month == months_back(shop.month, 2)[0]].set_index("metric").amount
    card["last_month"] = card.metric.map(last)
    card = card.dropna(subset=["actual", "last_month"])
    if card.empty or (card.status == "complete").all():
        raise NotApplicable("Every figure of this card stands at the end of the month.")
    is_up = card.actual > card.last_month
    better = is_up == ~card.metric.map(lambda m: METRICS[m].direction == "↓").astype(bool)
    card["arrow"] = np.where(
        card.metric.map(lambda m: METRICS[m].direction == "↔"),
        np.where(is_up, "up", "down"),
        np.where(better, "better", "worse"),
    )
    card["formula"] = card.metric.map(lambda m: METRICS[m].formula)
    card["settles"] = card.metric.map(lambda m: METRICS[m].maturity)
    return card[
        ["metric", "name", "formula", "settles", "actual", "last_month", "arrow"]
    ].reset_index(drop=True)


def still_filling(shop: Any) -> set[str]:
    card = scorecard(headline(shop), month=shop.month)
    card = card[card.metric.isin(arrows(shop).metric)]
    return set(card.metric[card.status != "complete"])


def _acts_on_some(shop: Any, answer: Any) -> bool:
    """Some of the immature ones are left out, none that stands is in."""
    named = {answer} if isinstance(answer, str) else {str(one).strip().casefold() for one in answer}
    return named < still_filling(shop)


#: decision, effect and cost in hundredths of the month's margin
PROPOSALS = (
    ("raise the search budget", 6.0, "month", 0.0, "low"),
    ("mend the payment step", 3.0, "month", 0.5, "high"),
    ("free returns for members", 5.0, "month", 3.5, "high"),
    ("delist the tail", 12.0, "year", 0.0, "high"),
    ("repeat the promotion", 4.5, "month", 1.2, "medium"),
)


@functools.cache
def proposals(shop: Any) -> pd.DataFrame:
    """Five proposals made up from the shop's own margin of the month: decision, effect
    (margin), unit (per month or year), cost (a month), confidence.
    """
    series = headline(shop)
    margin = series[(series.metric == "cm") & (series.month == shop.month)].amount.abs()
    if margin.empty or not margin.iloc[0] > 0:
        raise NotApplicable("This shop knows no margin for the month.")
    table = pd.DataFrame(PROPOSALS, columns=["decision", "effect", "unit", "cost", "confidence"])
    scale = margin.iloc[0] / 100
    return table.assign(
        effect=(table.effect * scale).round(2),
        cost=(table.cost * scale).round(2),
        unit=f"{shop.currency} margin a " + table.unit,
    )


def ranking(shop: Any) -> list[str]:
    table = proposals(shop)
    rows = table.assign(
        expected_effect=table.effect - table.cost,
        effect_kind="margin",
        effect_period=[period for _, _, period, _, _ in PROPOSALS],
        decision_id=table.decision,
        status="proposed",
        due_on="",
    )
    rows = rows.reindex(columns=schema("monthly_review.decisions").names)
    return list(ranked_decisions(rows).decision_id)


def _ranking(
    shop: Any, *, cost: bool = True, confidence: bool = True, year: bool = True
) -> list[str]:
    table = proposals(shop)
    worth = (
        table.effect / np.where(table.unit.str.endswith("year") & year, 12, 1) - table.cost * cost
    )
    worth = worth * (table.confidence.map(WEIGHT) if confidence else 1)
    return list(table.decision[worth.sort_values(ascending=False, kind="stable").index])


EXERCISES = bound(
    "monthly_review",
    {
        "11.1": Answers(
            signal_or_noise,
            slips={
                "limits misread": lambda shop: "c" if signal_or_noise(shop) == "b" else "b",
            },
            given=moved_most,
        ),
        "11.2": Answers(
            contributions,
            slips={
                "one at a time": lambda shop: _one_at_a_time(shop, keep=False),
                "one after the other": lambda shop: _one_at_a_time(shop, keep=True),
                "not scaled": _shares,
            },
            given=driver_table,
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
                "acts on it": Pattern(
                    lambda shop: set(sorted(still_filling(shop))[:-1]), _acts_on_some
                ),
                "bad news only": lambda shop: set(
                    arrows(shop).metric[arrows(shop).arrow == "worse"]
                ),
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
    },
)
