"""Stock formulas and the newsvendor read off draws, both against printed numbers."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

from playbook.methods.newsvendor import level_for_ratio, levels_for_fill, mean_short
from playbook.methods.replenishment import order_quantity, safety_stock


def test_by_the_book_economic_order_quantity_example_3_1():
    assert order_quantity(8, 0.225, 1300) == (
        pytest.approx(304.04678, abs=5e-6),
        pytest.approx(68.41053, abs=5e-6),
    )


def test_safety_stock_carries_the_spread_of_the_lead_time():
    assert safety_stock(0.95, 10.0, 4.0, 9.0) == pytest.approx(1.6448536 * 12, abs=1e-5)
    assert safety_stock(0.95, 10.0, 4.0, 9.0, 1.6) == pytest.approx(1.6448536 * 20, abs=1e-5)


def test_by_the_book_levels_and_costs_of_newsvendor_examples_4_3_4_4_and_4_7_to_the_digits_printed():
    # a law read off draws is exact where the draws are: at the middle of a draw for a level, and at the edge between
    # two for a cost, if each draw is the mean of its share of the law. The ratios are 35/44 and 4/5.
    middles, edges = (np.arange(330 * 7) + 0.5) / (330 * 7), np.arange(440 + 1) / 440
    for law, upto, holding, shortage, best, price in (
        (norm(50, 8), norm_upto, 0.18, 0.70, (56.603956, 5e-7), (1.9976052, 5e-8)),
        (norm(250, 8 * np.sqrt(5)), norm_upto, 0.18, 0.70, (264.76689, 5e-6), (4.466781, 5e-7)),
        (poisson(6), poisson_upto, 1, 4, (8, 0), (3.570107, 5e-7)),
    ):
        level = level_for_ratio(law.ppf(middles)[None], shortage / (shortage + holding))
        short = mean_short(np.diff(upto(law, edges))[None] * 440, level)
        cost = holding * (level - law.mean() + short) + shortage * short
        assert level[0] == pytest.approx(best[0], abs=best[1])
        assert cost[0] == pytest.approx(price[0], abs=price[1])


def norm_upto(law, share):
    """The part of a normal mean that lies in the lowest `share` of futures."""
    return law.mean() * share - law.std() ** 2 * np.nan_to_num(law.pdf(law.ppf(share)))


def poisson_upto(law, share):
    """The same of a Poisson mean, the share ending within a count."""
    count = np.where(share < 1, law.ppf(share), 200)
    return law.mean() * law.cdf(count - 2) + count * (share - law.cdf(count - 1))


def test_levels_for_fill_reach_the_aim_of_the_group_and_spend_less_than_equal_aims():
    rng = np.random.default_rng(2)
    mean = rng.gamma(0.7, 4, 300)[:, None]
    before, window = rng.poisson(2 * mean, (300, 400)), rng.poisson(mean, (300, 400))
    cost = rng.uniform(1, 60, 300)
    level, _ = levels_for_fill(before, window, 0.95, cost=cost, group=np.zeros(300), is_lost=False)
    short = mean_short(before + window, level) - mean_short(before, level)
    assert 1 - short.sum() / window.mean(axis=1).sum() == pytest.approx(0.95, abs=0.004)
    alone, _ = levels_for_fill(
        before, window, np.full(300, 0.95), cost=cost, group=np.arange(300), is_lost=False
    )
    assert (cost * level).sum() < (cost * alone).sum()


def test_lots_lower_the_level_because_orders_overshoot_it():
    rng = np.random.default_rng(3)
    before = rng.poisson(8.0, (50, 600))
    window = rng.poisson(4.0, (50, 600))
    one, few = np.ones(50), np.zeros(50)
    singles, _ = levels_for_fill(before, window, 0.95, cost=one, group=few)
    dozens, _ = levels_for_fill(before, window, 0.95, cost=one, group=few, lot=12)
    assert dozens.mean() < singles.mean() - 3
