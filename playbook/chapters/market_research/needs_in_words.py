"""What people write about: reviews and free answers of a survey sorted into topics, by category
and over time, with the money of the orders they are about beside.

A topic is words that come together (`methods/topics`), not a cause: who writes of late parcels
may come back less often for another reason. So money beside a topic is at stake, not lost, and
the row asks for the cause and a test.
"""

from __future__ import annotations

import datetime as dt
import re

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.sums import Table
from playbook.messages import say
from playbook.methods.proportions import (
    Z90,
    adjusted_p,
    share_difference,
    two_sided_p,
    wilson,
)
from playbook.methods.topics import find_topics
from playbook.store import expression
from playbook.store.privacy import EMAIL, PHONES
from playbook.store.shop import distinct_rows
from playbook.tables import empty, frame_of, returns

__all__ = ["said_texts", "topic_decisions", "topic_money", "topic_trend", "topics"]

#: texts below which a share is shown and marked `few`
FEW = 30
#: days in which somebody who is pleased would come back
BACK_DAYS = 90
#: days of the newest part, held against the rest of the year
NEWEST_DAYS = 91
LEVEL = 0.9
#: a survey's column is free text from this mean length on, in signs, with so many answers
TEXT_LENGTH, TEXT_ANSWERS = 20, 30
EXAMPLE_LENGTH = 120
_MASKS = (EMAIL, *PHONES, r"[0-9]{6,}")


@dated
def said_texts(
    lines: Table,
    *,
    reviews: Table | None = None,
    survey: Table | None = None,
    as_of: dt.date,
    n_topics: int = 8,
) -> DataFrame:
    """One row per text of the newest twelve months: source, said_on, text, stars, order_id,
    category (missing where not known), topic (missing where none is clear), sorted.

    `lines`: sales lines with sku and category. Texts of reviews, and of survey questions that
    are answered in words of one's own.
    """
    first = (pd.Timestamp(as_of) + pd.Timedelta(days=1) - pd.DateOffset(years=1)).date()
    parts = [DataFrame(columns=["source", "said_on", "text", "stars", "order_id", "category"])]
    if reviews is not None:
        parts.append(_review_texts(expression(reviews), expression(lines), first, as_of))
    if survey is not None:
        parts += _survey_texts(expression(survey), first, as_of)
    texts = pd.concat([p for p in parts if len(p)] or parts, ignore_index=True)
    texts = texts.sort_values(["said_on", "source", "text", "order_id"], ignore_index=True)
    found = find_topics(texts.text.tolist(), n_topics=n_topics)
    names = Series([*found.names, None], dtype=object)
    return texts.assign(topic=names.iloc[found.which].to_numpy())


def _review_texts(
    reviews: ibis.Table, lines: ibis.Table, first: dt.date, as_of: dt.date
) -> DataFrame:
    day = reviews.created_at.cast("date")
    mine = reviews.filter(day.between(ibis.literal(first), ibis.literal(as_of)))
    mine = mine.filter(_.text.notnull() & (_.text.length() > 2)).mutate(
        said_on=_.created_at.cast("date")
    )
    category = lines.filter(_.sku.notnull()).group_by("sku").aggregate(category=_.category.min())
    told = mine.left_join(category, "sku") if "sku" in mine.columns else mine.mutate(category=None)
    columns = ["said_on", "text", "stars", "order_id", "category"]
    return told.select(columns).to_pandas().assign(source="review")


def _survey_texts(survey: ibis.Table, first: dt.date, as_of: dt.date) -> list[DataFrame]:
    day = survey.answered_on.cast("date")
    table = survey.filter(day.between(ibis.literal(first), ibis.literal(as_of))).to_pandas()
    parts = []
    for column in table.columns:
        answers = table[column].dropna()
        is_text = len(answers) >= TEXT_ANSWERS and answers.map(type).eq(str).all()
        if (
            not is_text
            or answers.str.len().mean() < TEXT_LENGTH
            or answers.nunique() < TEXT_ANSWERS
        ):
            continue
        parts.append(
            DataFrame({"said_on": table.answered_on[answers.index], "text": answers}).assign(
                source=column, stars=np.nan, order_id=None, category=None
            )
        )
    return parts


@returns("market_research.topics")
def topics(texts: DataFrame) -> DataFrame:
    """The topics of the texts (`said_texts`), the commonest on top. Shares are of all texts,
    with Wilson's interval of 90 %; the example is the text said most, contact details masked.
    """
    rows = []
    for topic, part in texts.dropna(subset="topic").groupby("topic"):
        low, high = wilson(len(part), len(texts), LEVEL)
        share = len(part) / len(texts)
        stars = float(part.stars.astype(float).mean())
        status = "few" if len(part) < FEW else "complete"
        ends = float(low), float(high)
        rows.append((topic, len(part), share, *ends, stars, _example(part.text), status))
    table = frame_of("market_research.topics", rows)
    return table.sort_values(["n", "topic"], ascending=[False, True], ignore_index=True)


def _example(texts: Series) -> str:
    counts = texts.value_counts()
    most = sorted(counts[counts == counts.max()].index, key=lambda text: (len(text), text))[0]
    for pattern in _MASKS:
        most = re.sub(pattern, " *** ", most)
    return " ".join(most.split())[:EXAMPLE_LENGTH]


@returns("market_research.topic_trend")
@dated
def topic_trend(texts: DataFrame, *, as_of: dt.date) -> DataFrame:
    """Every topic by category (`all` for all of them) in the newest thirteen weeks against the
    rest of the year; rising or falling where the 90 % interval of the difference (Newcombe)
    leaves zero, steady otherwise. Categories with few texts on either side are left out.
    """
    if texts.empty:
        return empty("market_research.topic_trend")
    first = pd.Timestamp(as_of) - pd.Timedelta(days=NEWEST_DAYS - 1)
    is_new = pd.to_datetime(texts.said_on) >= first
    whole = texts.assign(is_new=is_new, category=texts.category.fillna("(no category)"))
    whole = pd.concat([whole, whole.assign(category="all")], ignore_index=True)
    rows = []
    for category, part in whole.groupby("category"):
        n_new, n_old = int(part.is_new.sum()), int((~part.is_new).sum())
        if min(n_new, n_old) < FEW:
            continue
        for topic, mine in part.dropna(subset="topic").groupby("topic"):
            new, old = int(mine.is_new.sum()), int((~mine.is_new).sum())
            gap = share_difference(new, n_new, old, n_old, level=LEVEL)
            low, high = float(gap["low"]), float(gap["high"])
            change = "rising" if low > 0 else "falling" if high < 0 else "steady"
            shares = new / n_new, old / n_old
            rows.append(
                (topic, category, new, n_new, *shares, float(gap["difference"]), low, high, change)
            )
    table = frame_of("market_research.topic_trend", rows)
    order = ["difference", "topic", "category"]
    return table.sort_values(order, ascending=[False, True, True], ignore_index=True)


@returns("market_research.topic_money")
@dated
def topic_money(
    texts: DataFrame,
    orders: Table,
    reviews: Table,
    *,
    refunds: Table | None = None,
    as_of: dt.date,
) -> DataFrame:
    """What became of the orders people wrote about, by topic against all other orders written
    about: money given back, and who ordered again within ninety days, over orders that old.
    At stake is the margin of the orders that did not come, at the mean margin of an order.

    `orders`: sales orders (order_id, customer_id, ordered_on, margin).
    """
    told = texts.dropna(subset=["topic", "order_id"]).drop_duplicates(["topic", "order_id"])
    if told.empty:
        return empty("market_research.topic_money")
    reviewed = distinct_rows(expression(reviews).filter(_.order_id.notnull()), "order_id")
    followed, margin = _followed(expression(orders), reviewed, as_of)
    back = _given_back(refunds, reviewed)
    table = (
        told[["topic", "order_id"]].merge(followed, on="order_id").merge(back, "left", "order_id")
    )
    table["refund"] = table.refund.fillna(0.0)
    rows = []
    for topic, mine in table.groupby("topic"):
        others = table[~table.order_id.isin(mine.order_id)].drop_duplicates("order_id")
        old, other = mine[mine.is_old], others[others.is_old]
        if min(len(old), len(other)) < FEW:
            continue
        came = int(old.came_back.sum()), len(old), int(other.came_back.sum()), len(other)
        gap = share_difference(*came, level=LEVEL)
        at_stake = [-float(gap[k]) * len(old) * margin for k in ("difference", "high", "low")]
        shares = came[0] / came[1], came[2] / came[3]
        money = _beyond(mine.refund, others.refund)
        rows.append((topic, len(mine), *money, len(old), *shares, *at_stake, float(gap["p"])))
    table = frame_of("market_research.topic_money", rows)
    # of many topics one will always look bad
    for name in ("p_beyond", "p_at_stake"):
        table[name] = adjusted_p(table[name].astype(float), method="holm")
    return table.sort_values(["beyond", "topic"], ascending=[False, True], ignore_index=True)


def _beyond(mine: Series, others: Series) -> tuple[float, ...]:
    """Money given back: an order, an order of the others, all beyond the others' mean with its
    90 % interval, and the p-value of no difference (Welch, by the normal law).
    """
    gap = float(mine.mean() - others.mean())
    error = float(np.sqrt(mine.var() / len(mine) + others.var() / len(others)))
    half, n = Z90 * error, len(mine)
    p = float(two_sided_p(gap / error)) if error > 0 else np.nan
    return float(mine.mean()), float(others.mean()), gap * n, (gap - half) * n, (gap + half) * n, p


def _followed(orders: ibis.Table, reviewed: ibis.Table, as_of: dt.date) -> tuple[DataFrame, float]:
    """Of the orders of customers who wrote: order_id, is_old, came_back; and the mean margin of
    an order of these customers.
    """
    orders = orders.filter(_.customer_id.notnull())
    who = distinct_rows(orders.semi_join(reviewed, "order_id"), "customer_id")
    kept = orders.semi_join(who, "customer_id")
    table = kept.select("order_id", "customer_id", "ordered_on", "margin").to_pandas()
    table = table.sort_values(["customer_id", "ordered_on", "order_id"], ignore_index=True)
    day = pd.to_datetime(table.ordered_on)
    next_day = day.groupby(table.customer_id).shift(-1)
    table["came_back"] = (next_day - day).dt.days <= BACK_DAYS
    table["is_old"] = (pd.Timestamp(as_of) - day).dt.days >= BACK_DAYS
    margin = float(table.margin.astype(float).mean())
    return table[["order_id", "is_old", "came_back"]], margin


def _given_back(refunds: Table | None, reviewed: ibis.Table) -> DataFrame:
    if refunds is None:
        return DataFrame(columns=["order_id", "refund"])
    sums = expression(refunds).semi_join(reviewed, "order_id").group_by("order_id")
    money = _.amount.cast("decimal(18, 6)").sum().cast("float64")
    return sums.aggregate(refund=money).order_by("order_id").to_pandas()


def topic_decisions(
    money: DataFrame | None, *, currency: str, due_on: str, revisit_on: str
) -> DataFrame:
    """The topic for which most is given back beyond the usual, where that is sure however many
    topics were looked at.
    """
    sure = DataFrame()
    if money is not None:
        sure = money[money.p_beyond.lt(1 - LEVEL) & (money.beyond > 0)]
    rows = []
    if len(sure):
        worst = sure.iloc[0]
        rows.append(
            propose(
                "market_research.fix_topic",
                say("market_research.topic", words=worst.topic),
                size=float(worst.n_orders),
                effect=(worst.beyond, worst.beyond_low, worst.beyond_high),
                evidence_value=worst.refund_per_order,
                threshold=worst.refund_of_others,
                currency=currency,
            )
        )
    return decision_rows(rows).assign(due_on=due_on, revisit_on=revisit_on)
