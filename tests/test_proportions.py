"""Shares: intervals that stay inside 0 and 1, differences that agree with the book,
many tests told apart.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.errors import PlaybookError
from playbook.methods.proportions import adjusted_p, quantile_of_normal, share_difference, wilson


def test_wilson_gives_newcombes_published_interval():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I: 81 of 263 and 15 of 148, method 3.
    low, high = wilson([81, 15], [263, 148])
    assert np.round(low, 4).tolist() == [0.2553, 0.0624]
    assert np.round(high, 4).tolist() == [0.3662, 0.1605]


def test_wilson_agrees_with_statsmodels_everywhere():
    from statsmodels.stats.proportion import proportion_confint

    n = np.repeat([1, 2, 7, 50, 1000], 5)
    x = np.floor(n * np.tile([0, 0.2, 0.5, 0.9, 1], 5))
    for level in (0.8, 0.95, 0.99):
        low, high = proportion_confint(x, n, alpha=1 - level, method="wilson")
        np.testing.assert_allclose(wilson(x, n, level), (low, high), atol=1e-12)


def test_no_success_in_ten_is_not_a_certainty():
    low, high = wilson(0, 10)
    assert low == 0
    assert 0.27 < high < 0.28


@pytest.mark.parametrize(("x", "n"), [(0, 7), (3, 7), (0, 0)])
def test_the_ends_of_two_numbers_can_be_kept_in_a_table(x, n, tmp_path):
    low, high = wilson(x, n)
    pd.DataFrame([(x, low, high)]).rename(columns=str).to_parquet(tmp_path / "t.parquet")
    assert isinstance(low, float) and isinstance(high, float)


def test_nobody_observed_is_missing_not_zero():
    assert np.isnan(wilson([0, np.nan], [0, np.nan])).all()
    assert np.isnan(share_difference(0, 0, 5, 10)["difference"])


def test_wilson_covers_its_nominal_level_on_average():
    rng = np.random.default_rng(7)
    truth = rng.uniform(0.01, 0.2, 20_000)
    low, high = wilson(rng.binomial(400, truth), 400, 0.9)
    assert 0.885 < ((low <= truth) & (truth <= high)).mean() < 0.92


@pytest.mark.parametrize(("x", "n"), [(5, 4), (-1, 4)])
def test_more_successes_than_trials_are_refused(x, n):
    with pytest.raises(PlaybookError, match="more successes than trials"):
        wilson(x, n)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_outside_zero_to_one_is_refused(level):
    with pytest.raises(PlaybookError, match="no confidence level"):
        quantile_of_normal(level)


def test_difference_gives_newcombes_published_interval():
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, contrast (a) 56/70 - 48/80, method 10.
    found = share_difference(56, 70, 48, 80)
    assert np.round([found["difference"], found["low"], found["high"]], 4).tolist() == [
        0.2,
        0.0524,
        0.3339,
    ]


def test_difference_test_pools_as_statsmodels_does():
    from statsmodels.stats.proportion import proportions_ztest

    z, p = proportions_ztest([56, 48], [70, 80])
    found = share_difference(56, 70, 48, 80)
    np.testing.assert_allclose([found["z"], found["p"]], [z, p], atol=1e-12)


def test_equal_extreme_shares_are_no_difference():
    found = share_difference([0, 10], [10, 10], [0, 20], [20, 20])
    assert found["z"].tolist() == [0, 0]
    assert found["p"].tolist() == [1, 1]


@pytest.mark.parametrize(("method", "theirs"), [("fdr", "fdr_bh"), ("holm", "holm")])
def test_adjustment_agrees_with_statsmodels_and_skips_missing(method, theirs):
    from statsmodels.stats.multitest import multipletests

    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005, 0.55, 0.03])
    expected = multipletests(p[~np.isnan(p)], method=theirs)[1]
    found = adjusted_p(p, method=method)
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[~np.isnan(p)], expected, atol=1e-15)


def test_adjustment_follows_its_p_value_whatever_the_order():
    rng = np.random.default_rng(3)
    p = np.round(rng.uniform(size=40), 2)
    shuffle = rng.permutation(40)
    assert adjusted_p(p)[shuffle].tolist() == adjusted_p(p[shuffle]).tolist()


def test_holm_keeps_the_chance_of_any_false_alarm():
    rng = np.random.default_rng(11)
    alarms = [(adjusted_p(row, method="holm") < 0.05).any() for row in rng.uniform(size=(4000, 20))]
    assert 0.04 < np.mean(alarms) < 0.06


def test_unknown_method_and_impossible_p_are_refused():
    with pytest.raises(PlaybookError, match="no adjustment"):
        adjusted_p([0.1], method="bonferonni")
    with pytest.raises(PlaybookError, match="outside 0 to 1"):
        adjusted_p([1.2])
