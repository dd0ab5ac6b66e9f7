"""Pairs of items: the same rules as the book's and as another library's, whatever the
basket looks like.
"""

import itertools

import numpy as np
import pandas as pd
import pytest

from playbook.errors import PlaybookError
from playbook.methods.baskets import pair_rules


def baskets(*held):
    return pd.DataFrame(
        [(n, item) for n, items in enumerate(held) for item in items], columns=["basket", "item"]
    )


def by_hand(lines, min_support):
    """Count every pair of every basket, the slow way."""
    sets = lines.dropna().groupby("basket")["item"].agg(set)
    n, found = len(sets), []
    single = {i: sum(i in s for s in sets) for i in set().union(*sets)}
    for a, b in itertools.permutations(sorted(single), 2):
        both = sum(a in s and b in s for s in sets)
        if both and both / n >= min_support - 1e-12:
            found.append(
                (a, b, both, both / n, both / single[a], both / single[a] / (single[b] / n))
            )
    return pd.DataFrame(found, columns=["a", "b", "n", "support", "confidence", "pair_lift"])


def test_support_confidence_and_lift_of_a_pair_counted_by_eye():
    found = pair_rules(baskets("ab", "ab", "a", "bc"), min_support=0.5).set_index(["a", "b"])
    assert found.index.tolist() == [("a", "b"), ("b", "a")]
    assert found.loc[("a", "b"), ["n", "support", "confidence", "pair_lift"]].tolist() == [
        2,
        0.5,
        2 / 3,
        2 / 3 / 0.75,
    ]


def test_two_lines_of_one_item_are_one_basket():
    assert pair_rules(baskets("aab", "ab"), min_support=0.5)["n"].tolist() == [2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_random_baskets_agree_with_counting_by_hand(seed):
    rng = np.random.default_rng(seed)
    lines = pd.DataFrame(
        {"basket": rng.integers(0, 40, 200), "item": rng.choice(list("abcdefg"), 200)}
    )
    found = pair_rules(lines, min_support=0.1)
    pd.testing.assert_frame_equal(
        found[["a", "b", "n", "support", "confidence", "pair_lift"]], by_hand(lines, 0.1)
    )


def test_a_pair_exactly_at_the_support_is_kept():
    # .07 x 100 is 7.000000000000001 in binary
    lines = baskets(*["ab"] * 7, *["c"] * 93)
    assert pair_rules(lines, min_support=0.07)["n"].tolist() == [7, 7]


def test_row_order_changes_nothing():
    rng = np.random.default_rng(1)
    lines = pd.DataFrame(
        {"basket": rng.integers(0, 50, 400), "item": rng.choice(list("abcdefgh"), 400)}
    )
    pd.testing.assert_frame_equal(
        pair_rules(lines, min_support=0.05),
        pair_rules(lines.sample(frac=1, random_state=3), min_support=0.05),
    )


def test_a_basket_of_a_thousand_lines_is_one_basket():
    wholesale = pd.DataFrame({"basket": "w", "item": [f"i{n:04d}" for n in range(1000)]})
    retail = baskets(*[["i0001", "i0002"]] * 30).astype({"basket": str})
    found = pair_rules(pd.concat([wholesale, retail]), min_support=0.001, min_n=2)
    assert found[["a", "b", "n"]].values.tolist() == [
        ["i0001", "i0002", 31],
        ["i0002", "i0001", 31],
    ]


def test_a_hundred_thousand_items_cost_what_the_frequent_ones_cost():
    rng = np.random.default_rng(5)
    rare = pd.DataFrame(
        {"basket": rng.integers(0, 30_000, 150_000), "item": rng.integers(0, 100_000, 150_000)}
    )
    often = pd.DataFrame(
        {"basket": np.repeat(np.arange(600), 2), "item": np.tile([100_001, 100_002], 600)}
    )
    found = pair_rules(pd.concat([rare, often]), min_support=0.01)
    assert found[["a", "b"]].values.tolist() == [[100_001, 100_002], [100_002, 100_001]]


def test_lines_without_a_basket_or_an_item_are_left_out():
    lines = baskets("ab", "ab").astype({"basket": object})
    lines.loc[len(lines)] = [None, "a"]
    lines.loc[len(lines)] = [9, None]
    assert pair_rules(lines, min_support=0.5)["n_baskets"].tolist() == [2, 2]


def test_nothing_bought_gives_no_rules_and_a_wrong_support_is_refused():
    assert pair_rules(baskets(), min_support=0.5).empty
    for wrong in (0, 1.5):
        with pytest.raises(PlaybookError, match="no share of baskets"):
            pair_rules(baskets("ab"), min_support=wrong)


def test_lift_of_few_baskets_has_a_low_lower_end():
    found = pair_rules(
        baskets("ab", *["cd"] * 50, *["c"] * 50, *["x"] * 99), min_support=0.001
    ).set_index(["a", "b"])
    assert found.loc[("a", "b"), "pair_lift"] == 200  # one basket of two hundred
    assert found.loc[("a", "b"), "lift_low"] < found.loc[("a", "b"), "pair_lift"] / 4
    assert found.loc[("d", "c"), "lift_low"] > 0.9 * found.loc[("d", "c"), "pair_lift"]


def test_online_retail_has_its_rules(shared_data):
    # 1,634 and 14,518 rules: mlxtend 0.25.0, fpgrowth of at most two items with association_rules, same lines;
    # tests/benchmarks/bench_recommend.py compares every one of them.
    raw = pd.read_parquet(
        shared_data / "online-retail" / "online_retail.parquet",
        columns=["InvoiceNo", "StockCode", "Quantity"],
    )
    lines = raw[raw["Quantity"] > 0].rename(columns={"InvoiceNo": "basket", "StockCode": "item"})
    assert [len(pair_rules(lines, min_support=s)) for s in (0.01, 0.005)] == [1_634, 14_518]
    assert lines.groupby("basket").size().max() == 1_114
