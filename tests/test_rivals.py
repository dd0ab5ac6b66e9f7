"""Competitors over time: prices followed item by item, promotions, stock and ratings, and what
of it is news this month.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.market_research import rivals as rules
from playbook.chapters.market_research.rivals import (
    rival_changes,
    rival_decisions,
    rival_months,
)
from playbook.demo.rivals import looks, planted

AS_OF, MONTH = dt.date(2026, 10, 31), "2026-10"
#: seeds of the planted months; 1, 2 and 3 were looked at while writing
REPORTED = range(501, 511)


def seen(*rows, **more):
    """(month, item, regular), then price; one look in the middle of the month."""
    table = pd.DataFrame(
        [(f"2026-{m:02d}-15", i, r, *(p or [r])) for m, i, r, *p in rows],
        columns=["seen_on", "item", "regular_price", "price"],
    )
    facts = {"seller": "rival", "category": "tea", "is_in_stock": True, "rating": 4.0}
    return table.assign(seen_on=pd.to_datetime(table.seen_on), **facts | more)


def three(month, *regular):
    return [(month, item, price) for item, price in zip("abc", regular, strict=True)]


def test_prices_are_followed_item_by_item_so_another_range_is_no_price_move():
    """The dear item goes, a cheap one comes: the mean price halves, no price moved."""
    rows = [*three(9, 10, 10, 10), (9, "dear", 90), *three(10, 10, 10, 10), (10, "new", 1)]
    row = rival_months(seen(*rows), as_of=AS_OF).set_index("month").loc[MONTH]
    assert row.price_change == 0 and row.n_pairs == 3 and row.n_items == 4


def test_a_price_move_is_the_mean_step_of_its_items_with_their_spread_as_error():
    rows = [*three(9, 10, 20, 30), *three(10, 9, 18, 30)]
    row = rival_months(seen(*rows), as_of=AS_OF).set_index("month").loc[MONTH]
    steps = np.log([0.9, 0.9, 1.0])
    assert row.price_change == pytest.approx(steps.mean())
    assert row.price_error == pytest.approx(steps.std(ddof=1) / np.sqrt(3))


def test_a_promotion_is_no_price_move_and_not_shown_prices_are_no_promotion():
    rows = [*three(9, 10, 10, 10), *[(10, item, 10, 8) for item in "ab"], (10, "c", 10, 9.95)]
    row = rival_months(seen(*rows), as_of=AS_OF).set_index("month").loc[MONTH]
    assert row.price_change == 0 and row.promo_share == pytest.approx(2 / 3)
    assert row.promo_change == pytest.approx(2 / 3)
    hidden = seen(*rows).assign(regular_price=np.nan)
    row = rival_months(hidden, as_of=AS_OF).set_index("month").loc[MONTH]
    assert np.isnan(row.promo_share) and row.price_change < 0


def test_under_three_items_nothing_is_told_and_later_looks_are_not_known():
    assert rival_months(seen((10, "a", 1), (10, "b", 1)), as_of=AS_OF).empty
    late = rival_months(seen(*three(9, 1, 1, 1), *three(10, 1, 1, 1)), as_of=dt.date(2026, 9, 30))
    assert late.month.tolist() == ["2026-09"] and np.isnan(late.price_change.iloc[0])


def year(*last, **more):
    """Ten calm months of three items whose prices step by one in a hundred, then `last`."""
    rows = [
        row
        for month in range(1, 10)
        for row in three(month, *(100 * 1.01 ** (month % 2 + i) for i in range(3)))
    ]
    return seen(*rows, *three(10, *last), **more)


def test_news_is_beyond_what_the_seller_usually_does_and_large_enough_for_a_word():
    base = np.array([100 * 1.01 ** (1 + i) for i in range(3)])
    for share, is_news in ((0.9, True), (0.985, False), (1.0, False)):
        months = rival_months(year(*(base * share)), as_of=AS_OF)
        changes = rival_changes(months, month=MONTH).set_index("measure")
        row = changes.loc["price"]
        assert row.usual == pytest.approx(np.log(1.01), rel=1e-6)
        assert row.change == pytest.approx(np.log(share), abs=1e-9)
        assert row.is_news == is_news
        assert (row.low, row.high) == (pytest.approx(row.change), pytest.approx(row.change))


def test_without_three_months_before_nothing_is_news():
    rows = [*three(8, 10, 10, 10), *three(9, 10, 10, 10), *three(10, 5, 5, 5)]
    changes = rival_changes(rival_months(seen(*rows), as_of=AS_OF), month=MONTH)
    assert not changes.is_news.any() and changes.usual.isna().all()


def test_a_price_move_asks_for_ones_own_prices_and_an_empty_shelf_for_the_category():
    changes = pd.DataFrame(
        {
            "seller": ["a", "b", "c"],
            "category": "tea",
            "measure": ["price", "stock_share", "stock_share"],
            "n_items": 8,
            "level": [10.0, 0.4, 1.0],
            "change": [-0.1, -0.5, 0.2],
            "low": [-0.12, -0.6, 0.1],
            "high": [-0.08, -0.4, 0.3],
            "usual": 0.01,
            "is_news": True,
        }
    )
    rows = rival_decisions(changes, as_of=AS_OF).set_index("action")
    assert rows.subject.to_dict() == {
        "hold own prices against it": "tea: a",
        "show the category while it lasts": "tea: b",
    }
    assert rows.owner_role.tolist() == ["pricing", "category head"]
    assert "-10.0%" in rows.reason.iloc[0]
    assert rival_decisions(changes.assign(is_news=False), as_of=AS_OF).empty


def test_limits_are_what_the_chapter_says():
    assert (rules.LEAST_ITEMS, rules.LEAST_OFF, rules.ALARM) == (3, 0.01, 0.1)
    assert rules.MEASURES == {"price": 0.02, "promo_share": 0.1, "stock_share": 0.1, "rating": 0.1}


# ---- planted changes


@pytest.fixture(scope="module")
def ten_shops():
    found, days = [], np.arange(1000 - 7 * 59, 1001, 7)
    for seed in REPORTED:
        rows = looks(seed, days)
        table = rows.assign(
            seen_on=pd.Timestamp(AS_OF) - pd.to_timedelta(1000 - rows.day, "D"),
            price=rows.price / 100,
            regular_price=rows.regular / 100,
        )
        changes = rival_changes(rival_months(table, as_of=AS_OF), month=MONTH)
        found.append((changes, planted(seed).set_index("kind")))
    return found


def of(changes, plan, measure):
    same = (changes.seller == plan.seller) & (changes.category == plan.category)
    return changes[same & (changes.measure == measure)].iloc[0]


def test_the_planted_price_cut_is_first_and_news_on_eight_of_ten_seeds(ten_shops):
    hits = 0
    for changes, plan in ten_shops:
        first, cut = changes.iloc[0], plan.loc["cut"]
        hits += bool(
            (first.seller, first.category, first.measure) == (cut.seller, cut.category, "price")
            and first.is_news
        )
    assert hits >= 8


def test_the_planted_empty_shelf_is_first_among_shelves_on_eight_of_ten_seeds(ten_shops):
    hits = 0
    for changes, plan in ten_shops:
        first, short = changes[changes.measure == "stock_share"].iloc[0], plan.loc["short"]
        hits += (first.seller, first.category) == (short.seller, short.category)
    assert hits >= 8


def test_planted_changes_lie_within_their_intervals_at_their_level(ten_shops):
    """Of 90 %, twenty of them; a price that nothing else moved has no error to speak of."""
    inside = 0
    for changes, plan in ten_shops:
        for kind, measure in (("cut", "price"), ("short", "stock_share")):
            row = of(changes, plan.loc[kind], measure)
            inside += row.low - 1e-3 <= plan.change[kind] <= row.high + 1e-3
    assert inside >= 15


def test_what_was_not_planted_is_seldom_news(ten_shops):
    n_false = 0
    for changes, plan in ten_shops:
        news = changes[changes.is_news]
        told = set(zip(news.seller, news.category, strict=True))
        n_false += len(told - set(zip(plan.seller, plan.category, strict=True)))
    assert n_false <= 4
