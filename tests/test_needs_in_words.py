"""Texts sorted into topics, and the money beside them.

Seeds 101 to 105 were used to choose how texts are sorted; seeds 1 to 10 report.
"""

import datetime as dt
import sys

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.market_research.needs_in_words import (
    said_texts,
    topic_decisions,
    topic_money,
    topic_trend,
    topics,
)
from playbook.methods.topics import find_topics, words_of

AS_OF = dt.date(2026, 10, 31)
REPORTED = range(1, 11)
WORDS = {
    "late": "delivery parcel late courier days waiting shipping slow",
    "broken": "broken arrived damaged cracked glass shattered box pieces",
    "taste": "taste flavour aroma bitter fresh brew leaves sweet",
    "price": "price expensive cheap money worth value cost discount",
    "size": "size small smaller large bigger picture expected tiny",
    "colour": "colour red shade different photo green pale dark",
    "service": "service support answer reply email phone helpful rude",
    "return": "return refund label sent back exchange postage tedious",
}
FILLERS = [
    "the",
    "and",
    "it",
    "was",
    "very",
    "really",
    "quite",
    "for",
    "with",
    "they",
    "this",
    "that",
    "just",
    "bit",
]


def made_texts(seed, n=1500):
    """Texts of eight known topics: two to four words of one, fillers, and now and then a word
    of another.
    """
    draw = np.random.default_rng(seed)
    often, law = draw.dirichlet(np.full(8, 3)), np.arange(1, 9) ** -0.7
    topics_, texts = draw.choice(8, n, p=often), []
    lists = [words.split() for words in WORDS.values()]
    for topic in topics_:
        said = list(
            draw.choice(lists[topic], draw.integers(2, 5), replace=False, p=law / law.sum())
        )
        said += list(draw.choice(FILLERS, 4))
        if draw.random() < 0.15:
            said.append(draw.choice(lists[draw.integers(8)]))
        draw.shuffle(said)
        texts.append(" ".join(said))
    return topics_, texts


def test_texts_of_known_topics_are_found_again_on_eight_of_ten_seeds():
    """Adjusted Rand index, 0 for chance and 1 for the same sorting: at least 0.7."""
    from sklearn.metrics import adjusted_rand_score

    found = []
    for seed in REPORTED:
        known, texts = made_texts(seed)
        found.append(adjusted_rand_score(known, find_topics(texts).which))
    assert sum(index >= 0.7 for index in found) >= 8, np.round(found, 2)


def test_the_same_texts_in_any_order_give_the_same_topics():
    _known, texts = made_texts(101, 400)
    turned = find_topics(texts[::-1])
    assert find_topics(texts).names == turned.names
    assert (find_topics(texts).which == turned.which[::-1]).all()


def test_where_hardly_more_texts_differ_than_topics_are_asked_for_each_is_one():
    texts = ["Arrived broken."] * 3 + ["Came far too late."] * 5 + ["!!"]
    found = find_topics(texts)
    assert found.names == ["came, far, late", "arrived, broken"]
    assert found.which.tolist() == [1] * 3 + [0] * 5 + [-1]


def test_no_texts_have_no_topics():
    assert find_topics([]).names == []


def test_chinese_without_a_tokenizer_is_cut_into_pairs_of_signs(monkeypatch):
    monkeypatch.setitem(sys.modules, "rjieba", None)
    assert words_of("物流太慢了。") == ["物流", "流太", "太慢", "慢了"]


def test_chinese_with_a_tokenizer_is_cut_into_words():
    pytest.importorskip("rjieba")
    assert words_of("物流太慢了。") == ["物流", "太慢"]


# --- tables -----------------------------------------------------------------------------


def lines():
    rows = {"sku": ["A", "B"], "category": ["tea", "mugs"]}
    return pd.DataFrame(rows)


def reviewed(n_broken, n_good, refund_broken=20.0):
    """Reviews of one order each, its orders and its refunds: those of broken parcels are given
    `refund_broken` back in every second case, the others 1 in every fourth.
    """
    n = n_broken + n_good
    text = ["Arrived broken, write to me: ann@shop.example"] * n_broken + ["Lovely tea"] * n_good
    ids = [f"O{i:04d}" for i in range(n)]
    day = pd.Timestamp("2026-03-01") + pd.to_timedelta(np.arange(n) % 200, "D")
    reviews = pd.DataFrame({"created_at": day, "text": text, "order_id": ids})
    reviews = reviews.assign(
        stars=[2.0] * n_broken + [5.0] * n_good, sku=np.where(np.arange(n) % 2, "A", "B")
    )
    orders = pd.DataFrame({"order_id": ids, "customer_id": [f"C{i}" for i in range(n)]})
    orders = orders.assign(ordered_on=day.date, margin=10.0)
    back = [
        {"order_id": name, "amount": refund_broken if i < n_broken else 1.0}
        for i, name in enumerate(ids)
        if i % (2 if i < n_broken else 4) == 0
    ]
    return reviews, orders, pd.DataFrame(back)


def test_shares_are_of_all_texts_and_examples_hold_no_contact():
    reviews, _orders, _refunds = reviewed(40, 60)
    table = topics(said_texts(lines(), reviews=reviews, as_of=AS_OF)).set_index("n")
    assert table.share.to_dict() == {60: 0.6, 40: 0.4}
    assert table.low[40] < 0.4 < table.high[40]
    assert table.stars.to_dict() == {60: 5.0, 40: 2.0}
    assert table.example[40] == "Arrived broken, write to me: ***"


def test_texts_after_the_day_or_over_a_year_old_are_not_read():
    reviews, _orders, _refunds = reviewed(40, 60)
    shifted = reviews.assign(created_at=reviews.created_at + pd.Timedelta(days=400))
    old = reviews.assign(created_at=reviews.created_at - pd.Timedelta(days=400))
    assert len(said_texts(lines(), reviews=pd.concat([reviews, shifted, old]), as_of=AS_OF)) == 100


def test_free_answers_of_a_survey_are_read_and_answers_to_choose_from_are_not():
    n = 60
    free = [f"I want number {'x' * (i % 40)} more kinds of tea in the shop" for i in range(n)]
    answers = {
        "respondent_id": [f"R{i}" for i in range(n)],
        "wish": free,
        "pain": "shipping costs are high",
    }
    survey = pd.DataFrame(answers).assign(answered_on=dt.date(2026, 9, 1), weight=1.0)
    texts = said_texts(lines(), survey=survey, as_of=AS_OF)
    assert set(texts.source) == {"wish"} and len(texts) == n


def test_a_topic_that_grows_is_rising_and_few_texts_say_nothing():
    reviews, _orders, _refunds = reviewed(60, 60)
    day = pd.Timestamp("2026-10-01")
    late = reviews.assign(created_at=np.where(reviews.stars == 2, day, pd.Timestamp("2026-03-01")))
    mixed = pd.concat(
        [
            late,
            reviews.assign(created_at=day).tail(20),
            late.head(6).assign(created_at=pd.Timestamp("2026-03-01")),
        ]
    )
    trend = topic_trend(said_texts(lines(), reviews=mixed, as_of=AS_OF), as_of=AS_OF)
    whole = trend[trend.category == "all"].set_index("topic")
    assert whole.change["arrived, broken, write"] == "rising"
    assert topic_trend(
        said_texts(lines(), reviews=reviews.head(20), as_of=AS_OF), as_of=AS_OF
    ).empty


def test_money_beyond_the_usual_is_the_difference_of_the_means_times_the_orders():
    """40 orders with 10 back on average, 80 with a quarter: 9.75 beyond, 390 in all."""
    reviews, orders, refunds = reviewed(40, 80)
    texts = said_texts(lines(), reviews=reviews, as_of=AS_OF)
    money = topic_money(texts, orders, reviews, refunds=refunds, as_of=AS_OF).set_index("topic")
    row = money.loc["arrived, broken, write"]
    assert (row.refund_per_order, row.refund_of_others) == (10.0, 0.25)
    assert row.beyond == pytest.approx(390.0)
    assert row.beyond_low < 390 < row.beyond_high and row.p_beyond < 0.001


def test_the_topic_with_most_given_back_is_the_one_to_look_into():
    reviews, orders, refunds = reviewed(40, 80)
    texts = said_texts(lines(), reviews=reviews, as_of=AS_OF)
    money = topic_money(texts, orders, reviews, refunds=refunds, as_of=AS_OF)
    row = topic_decisions(money, currency="EUR", due_on="a", revisit_on="b").iloc[0]
    assert row.action == "fix" and "arrived, broken" in row.subject
    assert row.expected_effect == pytest.approx(390.0) and row.effect_kind == "revenue_at_stake"


def test_without_a_difference_nothing_is_to_be_fixed():
    reviews, orders, refunds = reviewed(40, 80)
    texts = said_texts(lines(), reviews=reviews, as_of=AS_OF)
    money = topic_money(texts, orders, reviews, refunds=refunds.assign(amount=0.0), as_of=AS_OF)
    assert topic_decisions(money, currency="EUR", due_on="a", revisit_on="b").empty


def test_who_comes_back_is_counted_over_orders_old_enough_to_tell():
    """Every second customer who wrote of broken parcels ordered again ten days later."""
    reviews, orders, refunds = reviewed(60, 80)
    again = orders.head(60).iloc[::2]
    again = again.assign(
        order_id=again.order_id + "x", ordered_on=again.ordered_on + pd.Timedelta(days=10)
    )
    texts = said_texts(lines(), reviews=reviews, as_of=AS_OF)
    money = topic_money(texts, pd.concat([orders, again]), reviews, refunds=refunds, as_of=AS_OF)
    row = money.set_index("topic").loc["arrived, broken, write"]
    old = (pd.Timestamp(AS_OF) - pd.to_datetime(orders.ordered_on.head(60))).dt.days >= 90
    assert row.n_old == old.sum()
    assert row.repeat_share == 0.5 and row.repeat_of_others == 0.0
    assert row.at_stake < 0
