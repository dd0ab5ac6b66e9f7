"""The people who buy: what hurts them, what they answer, how they buy, and which kinds
of buyers there are.

A *pain* is counted where it was said: return reasons, ticket topics, one- and two-star
reviews, each over everything it could have been said about. A survey speaks for those
who answer. A *persona* is a described class of buyers, found from what they bought and
not from a story: its share of the customers, its value, and how surely it would be
found again. A person known from one order belongs to several personas in part; nobody
is forced into one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.errors import PlaybookError
from playbook.measures.sums import Table, counts_by, sums_by, total
from playbook.messages import say
from playbook.methods.latent_class import (
    class_stability,
    memberships,
    number_of_classes,
)
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import distinct_rows, expression
from playbook.tables import empty, returns, schema

__all__ = [
    "Personas",
    "bought_together",
    "habits",
    "net_promoter",
    "pains",
    "persona_pains",
    "personas",
    "survey_answers",
    "survey_personas",
    "with_pain",
    "with_price_band",
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
#: a BIC lower by this is very strong evidence (Kass & Raftery 1995): less buys no
#: further persona
CLEARLY = 10.0
MOST_PERSONAS = 8
#: under so many known customers kinds of buyers cannot be told apart
MIN_CUSTOMERS = 200
#: share of the resamples between the ends of a persona's range
LEVEL = 0.9
#: a persona is named by at most two levels it favours: bought so many times as often as
#: on average, and in more than this share of its lines
FAVOURS, AT_LEAST, MOST_NAMES = 1.15, 0.02, 2
PRICE_BANDS = 5


@returns("market_research.pains")
def pains(lines: Table, *, as_of: dt.date, **sources: Table | None) -> DataFrame:
    """What goes wrong, over the newest twelve months, largest share first within each
    source and category.

    `lines`: order_id, line_no, sku, category, ordered_on. `sources`: the tables
    `refunds`, `tickets`, `reviews`; one that is not there gives no rows. Return reasons
    are over lines sold, ticket topics over orders (category `all`: a ticket names an
    order, not a product), low reviews over reviews of the category.
    """
    today = pd.Timestamp(as_of)
    start = today + pd.Timedelta(days=1) - pd.DateOffset(years=1)
    span = ibis.literal(start.date()), ibis.literal(today.date())
    lines = expression(lines).filter(_.ordered_on.between(*span))
    parts = []
    for name, (day, count) in SOURCES.items():
        if (table := sources.get(name)) is not None:
            table = expression(table).filter(_[day].cast("date").between(*span))
            parts.append(count(lines, table))
    table = pd.concat(parts, ignore_index=True) if parts else empty("market_research.pains")
    n = table.n.to_numpy(float)
    base = np.maximum(table.n_base.to_numpy(float), n)
    table["share"] = n / np.where(base > 0, base, np.nan)
    table["low"], table["high"] = wilson(n, base)
    table["status"] = _status(base)
    table = table[schema("market_research.pains").names]
    order = ["source", "category", "share", "pain"]
    return table.sort_values(
        order,
        ascending=[True, True, False, True],
        ignore_index=True,
    )


def _status(n: np.ndarray | int) -> np.ndarray:
    return np.where(np.asarray(n) < MIN_ANSWERS, "few", "complete")


def _category_of_sku(lines: ibis.Table) -> ibis.Table:
    return lines.filter(_.sku.notnull()).group_by("sku").aggregate(category=_.category.min())


def _return_reasons(lines: ibis.Table, refunds: ibis.Table) -> DataFrame:
    of_line = lines.select("order_id", "line_no", line_category=_.category)
    refunds = refunds.left_join(of_line, ["order_id", "line_no"])
    refunds = refunds.left_join(_category_of_sku(lines), "sku")
    category, reason = (
        _.line_category.fill_null(_.category),
        _.reason.fill_null("(no reason)"),
    )
    known = refunds.mutate(category=category, pain=reason).filter(_.category.notnull())
    counts = known.group_by("category", "pain").aggregate(n=_.refund_id.nunique())
    sold = lines.group_by("category").aggregate(n_base=_.count())
    table = counts.inner_join(sold, "category").order_by("category", "pain").to_pandas()
    return table.assign(source="return reason", base="lines sold")


def _ticket_topics(lines: ibis.Table, tickets: ibis.Table) -> DataFrame:
    n_orders = int(lines.order_id.nunique().to_pandas())
    topics = tickets.mutate(pain=_.topic.fill_null("(no topic)"))
    table = sums_by(topics, "pain", n=_.count())
    return table.assign(
        source="ticket topic",
        category="all",
        n_base=n_orders,
        base="orders",
    )


def _low_reviews(lines: ibis.Table, reviews: ibis.Table) -> DataFrame:
    if "sku" in reviews.columns:
        reviews = reviews.left_join(_category_of_sku(lines), "sku")
    else:
        reviews = reviews.mutate(category=ibis.null("string"))
    reviews = reviews.mutate(category=_.category.fill_null("all"))
    table = sums_by(
        reviews,
        "category",
        n=(_.stars <= LOW_STARS).sum(),
        n_base=_.count(),
    )
    return table.assign(
        source="review",
        pain="1 or 2 stars",
        base="reviews",
    )


#: source -> the day it was said on, and how its pains are counted
SOURCES = {
    "refunds": ("refunded_on", _return_reasons),
    "tickets": ("opened_at", _ticket_topics),
    "reviews": ("created_at", _low_reviews),
}


@returns("market_research.survey_answers")
def survey_answers(survey: Table, *, questions: tuple[str, ...] = ()) -> DataFrame:
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
    weight = Series(1.0, index=table.index)
    if "weight" in table:
        weight = table.weight.astype(float).fillna(1.0)
    if (weight < 0).any():
        raise PlaybookError(
            "market_research.negative_weight",
            table="survey",
            column="weight",
        )
    frames = [_answers(table[question], weight) for question in questions or asked]
    order = ["question", "share", "answer"]
    answers = pd.concat(frames, ignore_index=True)
    return answers.sort_values(
        order,
        ascending=[True, False, True],
        ignore_index=True,
    )


def _check_question(question: str, asked: list[str]) -> None:
    if question not in asked:
        known = ", ".join(asked)
        raise PlaybookError(
            "market_research.no_question",
            question=question,
            known=known,
            table="survey",
        )


def _answers(answers: Series, weight: Series) -> DataFrame:
    """The shares of the answers to one question; weights are summed in their order of
    size, so that the order of rows is no matter.
    """
    given = answers.dropna()
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in given]
    weight = weight[given.index].sort_values()
    words = Series(words, index=given.index, dtype=object)[weight.index]
    total, squares = (
        weight.to_numpy().sum(),
        (weight.to_numpy() ** 2).sum(),
    )
    n_effective = total**2 / squares if squares > 0 else 0.0
    sums = weight.groupby(words).agg(lambda part: part.to_numpy().sum())
    share = sums / (total if total > 0 else np.nan)
    low, high = wilson(share * n_effective, np.full(len(share), n_effective))
    return DataFrame(
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


def net_promoter(survey: Table, *, question: str) -> DataFrame:
    """Net promoter score in one row:

    - nps: points, promoters (9-10) less detractors (0-6)
    - low, high: normal interval, from the variance of a score of 1, 0 or -1
    - n, status: how many answered, and `few` under thirty

    Weighted as in `survey_answers`.
    """
    answers = survey_answers(survey, questions=(question,))
    points, share = answers.answer.astype(float), answers.share
    vote = (points >= PROMOTER).astype(float) - (points <= DETRACTOR)
    score = float((vote * share).sum())
    variance = max((vote**2 * share).sum() - score**2, 0.0)
    half = quantile_of_normal(0.95) * np.sqrt(variance / answers.n_effective.max())
    n = int(answers.n.head(1).sum())
    row = {
        "nps": 100 * score,
        "low": 100 * max(score - half, -1),
        "high": 100 * min(score + half, 1),
        "n": n,
        "status": str(_status(n)),
    }
    return DataFrame([row])


def survey_personas(survey: Table, *, by: str, pain: str) -> DataFrame:
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
    return DataFrame(rows)


@returns("market_research.habits")
def habits(orders: Table) -> DataFrame:
    """When and where people buy: weekday, part of the day, device, channel, size of
    the basket.

    `orders`: ordered_at, ordered_on and, where known, device, channel, n_lines. The
    part of the day is that of the stored clock (UTC). Orders without the fact are left
    out of its base; Wilson's interval.
    """
    orders = expression(orders)
    parts = []
    for dimension, fact in _facts(orders).items():
        known = orders.mutate(level=fact).filter(_.level.notnull())
        parts.append(sums_by(known, "level", n=_.count()).assign(dimension=dimension))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table["n_base"] = table.groupby("dimension").n.transform("sum")
    table["share"] = table.n / table.n_base
    table["low"], table["high"] = wilson(table.n, table.n_base)
    table = table[schema("market_research.habits").names]
    return table.sort_values(["dimension", "level"], ignore_index=True)


def _facts(orders: ibis.Table) -> dict[str, ibis.Value]:
    """Dimension -> the level of an order in it."""
    hour, weekday = (
        orders.ordered_at.hour(),
        orders.ordered_on.day_of_week.index(),
    )
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
        facts["basket"] = ibis.cases(
            (n == 1, "one line"),
            (n <= 3, "2-3 lines"),
            else_="4 or more",
        )
    return facts


@returns("market_research.bought_together")
def bought_together(lines: Table, *, min_orders: int = MIN_PAIRS) -> DataFrame:
    """What is bought with what, by category; pairs of fewer than `min_orders` orders
    are left out.

    lift = P(both) / (P(one) P(other)) among orders.
    """
    held = distinct_rows(expression(lines), "order_id", "category")
    n_each = sums_by(held, "category", n=_.count()).set_index("category").n
    other = held.select("order_id", with_category=_.category)
    both = held.inner_join(other, "order_id").filter(_.category != _.with_category)
    pairs = sums_by(
        both,
        "category",
        "with_category",
        n_orders=_.count(),
    )
    pairs = pairs[pairs.n_orders >= min_orders]
    n_orders = int(held.order_id.nunique().to_pandas())
    pairs["share"] = pairs.n_orders / n_each[pairs.category].to_numpy()
    pairs["lift"] = pairs.share / (n_each[pairs.with_category].to_numpy() / n_orders)
    order = ["lift", "category", "with_category"]
    return pairs.sort_values(
        order,
        ascending=[False, True, True],
        ignore_index=True,
    )


@dataclass(frozen=True)
class Personas:
    """`described`: one row per persona, in the columns of the table `personas` without
    its pain. `members`: one row per customer, one column per persona: the share in
    which it belongs. `choice`: one row per number of classes tried: k, bic, is_chosen.
    `profile`: one row per persona and level of what it buys: share, lift.
    """

    described: DataFrame
    members: DataFrame
    choice: DataFrame
    profile: DataFrame


def personas(
    lines: Table,
    orders: Table,
    *,
    by: str = "category",
    n_resamples: int = 6,
    seed: int = 0,
) -> Personas:
    """Kinds of buyers by what they buy (`by`, a column of `lines`), as classes of a
    multinomial mixture.

    Known customers only; cm_share is missing where a margin is. The number of personas
    is the smallest that BIC does not clearly reject, so the answer may be one: no kinds
    can be told apart. Raises PlaybookError where too few customers are known.
    """
    wide = _lines_per_customer(expression(lines), by)
    counts, which, n_people = np.unique(
        wide.to_numpy(), axis=0, return_inverse=True, return_counts=True
    )
    n_people = n_people.astype(float)
    most = min(MOST_PERSONAS, wide.shape[1])
    fits = number_of_classes(counts, n_people, most=most, seed=seed)
    choice = DataFrame({"k": range(1, len(fits) + 1), "bic": [fit.bic for fit in fits]})
    k = int(choice.k[choice.bic < choice.bic.min() + CLEARLY].iloc[0])
    classes = fits[k - 1]
    stability, shares = np.full(k, np.nan), np.full((1, k), np.nan)
    if n_resamples:
        stability, shares = class_stability(
            counts,
            n_people,
            classes,
            seed=seed,
            n_resamples=n_resamples,
        )
    names = [f"P{i}" for i in range(1, k + 1)]
    member = DataFrame(
        memberships(counts, classes)[which.ravel()],
        index=wide.index,
        columns=names,
    )
    mean = n_people @ counts / (n_people @ counts).sum()
    profile = DataFrame(
        {
            "persona": np.repeat(names, wide.shape[1]),
            "level": np.tile(wide.columns, k),
            "share": classes.chances.ravel(),
            "lift": (classes.chances / mean).ravel(),
        }
    )
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    # resamples may centre elsewhere; an interval holds what it is of
    ends = {"low": np.minimum(low, classes.shares), "high": np.maximum(high, classes.shares)}
    described = DataFrame({"customers_share": classes.shares, **ends}, names)
    described["stability"] = stability
    described = described.join(_value(member, expression(orders)))
    described = described.join(_favourites(profile)).rename_axis("persona").reset_index()
    columns = [c for c in schema("market_research.personas").names if c != "pain"]
    choice["is_chosen"] = choice.k == k
    return Personas(described[columns], member, choice, profile)


def _lines_per_customer(lines: ibis.Table, by: str) -> DataFrame:
    """Lines bought by each known customer (rows) at each level of `by` (columns)."""
    wide = counts_by(lines, "customer_id", by)
    if len(wide) < MIN_CUSTOMERS:
        raise PlaybookError(
            "market_research.few_customers",
            rows=len(wide),
            least=MIN_CUSTOMERS,
            table="orders",
        )
    return wide


def _value(member: DataFrame, orders: ibis.Table) -> DataFrame:
    """Size, value and habits of each persona, every customer counted by the share in
    which it belongs.
    """
    known = orders.filter(_.customer_id.notnull())
    each = _customers(known).reindex(member.index)
    last_on = pd.to_datetime(each.last_on)
    recency = (last_on.max() - last_on).dt.days
    customers = member.sum()
    n_orders, revenue, margin, days = (
        member.mul(amount, axis=0).sum()
        for amount in (each.orders, each.revenue, each.margin, recency)
    )
    value = DataFrame(
        {
            "customers": customers,
            "revenue_share": revenue / each.revenue.sum(),
            "cm_share": margin / each.margin.sum(),
            "recency_days": days / customers,
            "frequency": n_orders / customers,
            "basket": revenue / n_orders,
        }
    )
    if each.margin.isna().any():
        value["cm_share"] = np.nan
    return value.assign(
        channel=_most_favoured(member, known, "channel"),
        region=_most_favoured(member, known, "region"),
    )


def _customers(orders: ibis.Table) -> DataFrame:
    """One row per customer: orders, revenue, last_on, margin (missing where an order's is)."""
    if "margin" not in orders.columns:
        orders = orders.mutate(margin=ibis.null("float64"))
    is_known = _.margin.isnull().sum() == 0
    customers = sums_by(
        orders,
        "customer_id",
        orders=_.count(),
        revenue=total("revenue"),
        last_on=_.ordered_on.max(),
        margin=is_known.ifelse(total("margin"), ibis.null("float64")),
    )
    return customers.set_index("customer_id")


def _most_favoured(member: DataFrame, orders: ibis.Table, column: str) -> list[str] | None:
    """The level people of each persona favour most against everybody; naming the
    commonest would name one for all.
    """
    if column not in orders.columns:
        return None
    counts = counts_by(orders, "customer_id", column)
    if counts.empty:
        return None
    sums = counts.T @ member.reindex(counts.index)
    lift = (sums / sums.sum()).div(sums.sum(axis=1), axis=0)
    return [str(level) for level in lift.idxmax()]


def _favourites(profile: DataFrame) -> DataFrame:
    """By persona the levels it favours most (label), and by how much (evidence); where two
    favour the same, the label says how much of what each buys these are.
    """
    is_favoured = (profile.lift > FAVOURS) & (profile.share > AT_LEAST)
    order = ["lift", "level"]
    rows = {}
    for persona, levels in profile.groupby("persona", sort=False):
        best = (
            levels[is_favoured[levels.index]]
            .sort_values(order, ascending=[False, True])
            .head(MOST_NAMES)
        )
        evidence = [
            say(
                "market_research.evidence",
                level=row.level,
                share=row.share,
                lift=row.lift,
            )
            for row in best.itertuples()
        ]
        label = " + ".join(map(str, best.level)) or say("market_research.everything")
        most = best if len(best) else levels.nlargest(1, "share")
        rows[persona] = {
            "label": label,
            "evidence": ", ".join(evidence),
            "apart": say(
                "market_research.label_apart",
                levels=" + ".join(map(str, most.level)),
                shares=" + ".join(f"{share:.1%}" for share in most.share),
            ),
        }
    found = DataFrame.from_dict(rows, orient="index")
    is_shared = found.label.duplicated(keep=False)
    return found[["label", "evidence"]].assign(label=found.label.where(~is_shared, found.apart))


def persona_pains(profile: DataFrame, pains: DataFrame) -> DataFrame:
    """The pain each persona meets most, for what it buys:

    - persona, pain, source: who, what and where it was said
    - expected_share: the pain's share over categories, weighed by the persona's share of
      lines in them

    Return reasons say what hurt and come before low stars, which only say that
    something did. Pains on few cases are left out.
    """
    pains = pains[(pains.status == "complete") & (pains.n > 0)]
    reasons = pains[pains.source == "return reason"]
    pains = reasons if len(reasons) else pains
    met = profile.merge(
        pains,
        left_on="level",
        right_on="category",
        suffixes=("", "_pain"),
    )
    met["expected_share"] = met.share * met.share_pain
    sums = met.groupby(["persona", "pain", "source"], as_index=False).expected_share.sum()
    sums = sums.sort_values(
        ["persona", "expected_share", "pain"],
        ascending=[True, False, True],
    )
    return sums.drop_duplicates("persona").reset_index(drop=True)


@returns("market_research.personas")
def with_pain(kinds: Personas, pains: DataFrame) -> DataFrame:
    """The personas, each with the pain it meets most."""
    worst = persona_pains(kinds.profile, pains).set_index("persona").pain
    return kinds.described.assign(pain=kinds.described.persona.map(worst))


def with_price_band(lines: Table) -> ibis.Table:
    """Sales lines with `price_band`: which fifth of all lines sold their unit price
    lies in (1 is the cheapest), with its edges; the ground for personas where products
    have no category.
    """
    table = expression(lines)
    price = table.price.cast("float64")
    cuts = [price.quantile(k / PRICE_BANDS).to_pandas() for k in range(1, PRICE_BANDS)]
    edges = sorted({round(float(cut), 2) for cut in cuts})
    bands = [
        (
            price <= edge,
            say("market_research.price_up_to", n=n, edge=edge),
        )
        for n, edge in enumerate(edges, start=1)
    ]
    last = say(
        "market_research.price_above",
        n=len(edges) + 1,
        edge=edges[-1],
    )
    return table.mutate(price_band=ibis.cases(*bands, else_=last))
