"""What people say and do: what hurts them, what they answer, how they buy.

A *pain* is counted where it was said: return reasons, ticket topics, one- and two-star
reviews, each over everything it could have been said about. A survey speaks for those
who answer.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.market_research.market import Table
from playbook.errors import PlaybookError
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import expression
from playbook.tables import empty, returns, schema

__all__ = [
    "bought_together",
    "habits",
    "net_promoter",
    "pains",
    "survey_answers",
    "survey_personas",
]

#: under this many a share is shown and marked `few`, never decided on
MIN_ANSWERS = 30
#: a pair of categories in fewer orders is left out
MIN_PAIRS = 20
#: reviews with at most so many stars say that something hurt
LOW_STARS = 2
#: answers from / up to which somebody is a promoter / a detractor (Reichheld 2003)
PROMOTER, DETRACTOR = 9, 6
#: columns of a survey that are no question
NO_QUESTIONS = ("respondent_id", "answered_on", "weight")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@returns("market_research.pains")
def pains(
    lines: Table,
    *,
    as_of: dt.date,
    refunds: Table | None = None,
    tickets: Table | None = None,
    reviews: Table | None = None,
    months: int = 12,
) -> pd.DataFrame:
    """What goes wrong, over the newest `months`, largest share first within each source
    and category.

    `lines`: order_id, line_no, sku, category, ordered_on. Return reasons are over lines
    sold, ticket topics over orders (category `all`: a ticket names an order, not a
    product), low reviews over reviews of the category. A source that is not there gives
    no rows.
    """
    today = pd.Timestamp(as_of)
    start = today + pd.Timedelta(days=1) - pd.DateOffset(months=months)
    span = ibis.literal(start.date()), ibis.literal(today.date())
    lines = expression(lines).filter(_.ordered_on.between(*span))
    parts = []
    if refunds is not None:
        parts.append(
            _return_reasons(lines, expression(refunds).filter(_.refunded_on.between(*span)))
        )
    if tickets is not None:
        opened_on = _.opened_at.cast("date")
        parts.append(_ticket_topics(lines, expression(tickets).filter(opened_on.between(*span))))
    if reviews is not None:
        created_on = _.created_at.cast("date")
        parts.append(_low_reviews(lines, expression(reviews).filter(created_on.between(*span))))
    if not parts:
        return empty("market_research.pains")
    table = pd.concat(parts, ignore_index=True)
    n = table["n"].to_numpy(float)
    base = np.maximum(table["n_base"].to_numpy(float), n)
    table["share"] = n / np.where(base > 0, base, np.nan)
    table["low"], table["high"] = wilson(n, base)
    table["status"] = _status(base)
    table = table[schema("market_research.pains").names]
    order = ["source", "category", "share", "pain"]
    return table.sort_values(order, ascending=[True, True, False, True], ignore_index=True)


def _status(n: np.ndarray | int) -> np.ndarray:
    return np.where(np.asarray(n) < MIN_ANSWERS, "few", "complete")


def _category_of_sku(lines: ibis.Table) -> ibis.Table:
    return lines.filter(_.sku.notnull()).group_by("sku").aggregate(category=_.category.min())


def _return_reasons(lines: ibis.Table, refunds: ibis.Table) -> pd.DataFrame:
    of_line = lines.select("order_id", "line_no", line_category=_.category)
    refunds = refunds.left_join(of_line, ["order_id", "line_no"])
    refunds = refunds.left_join(_category_of_sku(lines), "sku")
    category, reason = _.line_category.fill_null(_.category), _.reason.fill_null("(no reason)")
    known = refunds.mutate(category=category, pain=reason).filter(_.category.notnull())
    counts = known.group_by("category", "pain").aggregate(n=_.refund_id.nunique())
    sold = lines.group_by("category").aggregate(n_base=_.count())
    table = counts.inner_join(sold, "category").order_by("category", "pain").to_pandas()
    return table.assign(source="return reason", base="lines sold")


def _ticket_topics(lines: ibis.Table, tickets: ibis.Table) -> pd.DataFrame:
    topics = tickets.group_by(pain=_.topic.fill_null("(no topic)")).aggregate(n=_.count())
    n_orders = int(lines.order_id.nunique().to_pandas())
    table = topics.order_by("pain").to_pandas()
    return table.assign(source="ticket topic", category="all", n_base=n_orders, base="orders")


def _low_reviews(lines: ibis.Table, reviews: ibis.Table) -> pd.DataFrame:
    if "sku" in reviews.columns:
        reviews = reviews.left_join(_category_of_sku(lines), "sku")
    else:
        reviews = reviews.mutate(category=ibis.null("string"))
    counts = reviews.group_by(category=_.category.fill_null("all")).aggregate(
        n=(_.stars <= LOW_STARS).sum(), n_base=_.count()
    )
    table = counts.order_by("category").to_pandas()
    return table.assign(source="review", pain="1 or 2 stars", base="reviews")


@returns("market_research.survey_answers")
def survey_answers(
    survey: Table, *, questions: tuple[str, ...] = (), level: float = 0.95
) -> pd.DataFrame:
    """Weighted shares of the answers to each question (all of them when `questions` is
    empty).

    A survey has one column per question. n is how many answered it, n_effective what
    weighting leaves of them ((sum w)^2 / sum w^2, Kish 1965); Wilson's interval is
    taken on n_effective. A survey of twelve is shown and decides nothing. Raises
    PlaybookError for a question that is not there, no question at all, or a weight
    below zero.
    """
    table = expression(survey).to_pandas()
    asked = [column for column in table.columns if column not in NO_QUESTIONS]
    if not asked:
        raise PlaybookError("market_research.empty_survey", table="survey")
    for question in questions:
        _check_question(question, asked)
    weight = pd.Series(1.0, index=table.index)
    if "weight" in table:
        weight = table["weight"].astype(float).fillna(1.0)
    if (weight < 0).any():
        raise PlaybookError("market_research.negative_weight", table="survey", column="weight")
    frames = [_answers(table[question], weight, level) for question in questions or asked]
    order = ["question", "share", "answer"]
    answers = pd.concat(frames, ignore_index=True)
    return answers.sort_values(order, ascending=[True, False, True], ignore_index=True)


def _check_question(question: str, asked: list[str]) -> None:
    if question not in asked:
        known = ", ".join(asked)
        raise PlaybookError(
            "market_research.no_question", question=question, known=known, table="survey"
        )


def _answers(answers: pd.Series, weight: pd.Series, level: float) -> pd.DataFrame:
    """The shares of the answers to one question; weights are summed in their order of
    size, so that the order of rows is no matter.
    """
    given = answers.dropna()
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in given]
    weight = weight[given.index].sort_values()
    words = pd.Series(words, index=given.index, dtype=object)[weight.index]
    total, squares = weight.to_numpy().sum(), (weight.to_numpy() ** 2).sum()
    n_effective = total**2 / squares if squares > 0 else 0.0
    sums = weight.groupby(words).agg(lambda part: part.to_numpy().sum())
    share = sums / (total if total > 0 else np.nan)
    low, high = wilson(share * n_effective, np.full(len(share), n_effective), level)
    return pd.DataFrame(
        {
            "question": answers.name,
            "answer": share.index,
            "share": share.to_numpy(),
            "low": low,
            "high": high,
            "n": len(given),
            "n_effective": n_effective,
            "status": str(_status(len(given))),
        }
    )


def net_promoter(survey: Table, *, question: str, level: float = 0.95) -> pd.DataFrame:
    """Net promoter score in one row:

    - nps: points, promoters (9-10) less detractors (0-6)
    - low, high: normal interval, from the variance of a score of 1, 0 or -1
    - n, status: how many answered, and `few` under thirty

    Weighted as in `survey_answers`.
    """
    answers = survey_answers(survey, questions=(question,), level=level)
    if answers.empty:
        row = {"nps": 0.0, "low": np.nan, "high": np.nan, "n": 0, "status": "few"}
        return pd.DataFrame([row])
    points = answers["answer"].astype(float)
    vote = (points >= PROMOTER).astype(float) - (points <= DETRACTOR)
    score = float((vote * answers["share"]).sum())
    variance = max((vote**2 * answers["share"]).sum() - score**2, 0.0)
    first = answers.iloc[0]
    half = quantile_of_normal(level) * np.sqrt(variance / first["n_effective"])
    row = {
        "nps": 100 * score,
        "low": 100 * max(score - half, -1),
        "high": 100 * min(score + half, 1),
        "n": int(first["n"]),
        "status": first["status"],
    }
    return pd.DataFrame([row])


def survey_personas(survey: Table, *, by: str, pain: str) -> pd.DataFrame:
    """Kinds of people before the first order, most first:

    - persona, label: S1, S2 ... and their answer to `by`
    - customers_share: weighted share of the answers
    - n: how many of them name a pain
    - pain: their commonest answer to `pain`, "none" left out
    - status: `few` under thirty

    Raises PlaybookError for a question the survey does not have.
    """
    size = survey_answers(survey, questions=(by,))
    table = expression(survey).to_pandas()
    _check_question(pain, list(table.columns))
    has_pain = ~table[pain].astype(str).str.lower().isin(["none", "nan", "no"])
    rows = []
    for i, row in enumerate(size.itertuples(), start=1):
        people = table[has_pain & (table[by].astype(str) == row.answer)]
        named = ""
        if len(people):
            named = survey_answers(people, questions=(pain,))["answer"].iloc[0]
        rows.append(
            {
                "persona": f"S{i}",
                "label": row.answer,
                "customers_share": row.share,
                "n": len(people),
                "pain": named,
                "status": str(_status(len(people))),
            }
        )
    return pd.DataFrame(rows)


@returns("market_research.habits")
def habits(orders: Table) -> pd.DataFrame:
    """When and where people buy: weekday, part of the day, device, channel, size of
    the basket.

    `orders`: ordered_at, ordered_on and, where known, device, channel, n_lines. The
    part of the day is that of the stored clock (UTC). Orders without the fact are left
    out of its base; Wilson's interval.
    """
    orders = expression(orders)
    parts = []
    for dimension, fact in _facts(orders).items():
        known = orders.filter(fact.notnull()).group_by(level=fact).aggregate(n=_.count())
        parts.append(known.order_by("level").to_pandas().assign(dimension=dimension))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table["n_base"] = table.groupby("dimension")["n"].transform("sum")
    table["share"] = table["n"] / table["n_base"]
    table["low"], table["high"] = wilson(table["n"], table["n_base"])
    table = table[schema("market_research.habits").names]
    return table.sort_values(["dimension", "level"], ignore_index=True)


def _facts(orders: ibis.Table) -> dict[str, ibis.Value]:
    """Dimension -> the level of an order in it."""
    hour, weekday = orders.ordered_at.hour(), orders.ordered_on.day_of_week.index()
    days = [(weekday == i, f"{i + 1} {name}") for i, name in enumerate(WEEKDAYS)]
    facts = {"weekday": ibis.cases(*days)}
    # a log of days has no hours: all orders stand at midnight
    if int(orders.ordered_at.cast("time").nunique().to_pandas()) > 1:
        parts = [(hour < end, f"{end - 6:02}-{end:02}") for end in (6, 12, 18, 24)]
        facts["part of the day"] = ibis.cases(*parts)
    for name in ("device", "channel"):
        if name in orders.columns:
            facts[name] = orders[name].cast("string")
    if "n_lines" in orders.columns:
        n = orders.n_lines
        facts["basket"] = ibis.cases((n == 1, "one line"), (n <= 3, "2-3 lines"), else_="4 or more")
    return facts


@returns("market_research.bought_together")
def bought_together(lines: Table, *, min_orders: int = MIN_PAIRS) -> pd.DataFrame:
    """What is bought with what, by category; pairs of fewer than `min_orders` orders
    are left out.

    lift = P(both) / (P(one) P(other)) among orders.
    """
    table = expression(lines).select("order_id", "category").distinct()
    each = table.group_by("category").aggregate(n=_.count()).to_pandas().set_index("category")["n"]
    other = table.select("order_id", with_category=_.category)
    both = table.inner_join(other, "order_id").filter(_.category != _.with_category)
    counts = both.group_by("category", "with_category").aggregate(n_orders=_.count())
    pairs = counts.filter(_.n_orders >= min_orders).to_pandas()
    n_orders = int(table.order_id.nunique().to_pandas())
    pairs["share"] = pairs["n_orders"] / pairs["category"].map(each)
    pairs["lift"] = pairs["share"] / (pairs["with_category"].map(each) / n_orders)
    order = ["lift", "category", "with_category"]
    return pairs.sort_values(order, ascending=[False, True, True], ignore_index=True)
