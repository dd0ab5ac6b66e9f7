"""Stock formulas and the newsvendor read off draws, both against printed numbers."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

from playbook.methods.newsvendor import level_for_ratio, levels_for_fill, mean_short, projected_stock
from playbook.methods.replenishment import order_quantity, safety_stock


def test_by_the_book_economic_order_quantity_example_3_1():
    assert order_quantity(8, 0.225, 1300) == (pytest.approx(304.04678, abs=5e-6), pytest.approx(68.41053, abs=5e-6))


def test_safety_stock_carries_the_spread_of_the_lead_time():
    assert safety_stock(0.95, 10.0, 4.0, 9.0) == pytest.approx(1.6448536 * 12, abs=1e-5)
    assert safety_stock(0.95, 10.0, 4.0, 9.0, 1.6) == pytest.approx(1.6448536 * 20, abs=1e-5)


def test_by_the_book_levels_and_costs_of_newsvendor_examples_4_3_4_4_and_4_7_come_off_evenly_spaced_draws():
    even = (np.arange(1_000_000) + 0.5) / 1_000_000
    for draws, holding, shortage, mean, best, price in (
        (norm.ppf(even, 50, 8), 0.18, 0.70, 50, 56.603956, 1.9976052),
        (norm.ppf(even, 250, 8 * np.sqrt(5)), 0.18, 0.70, 250, 264.76689, 4.466781),
        (poisson.ppf(even, 6), 1, 4, 6, 8, 3.570107),
    ):
        level = level_for_ratio(draws[None], shortage / (shortage + holding))
        short = mean_short(draws[None], level)
        cost = holding * (level - mean + short) + shortage * short
        assert (level[0], cost[0]) == (pytest.approx(best, abs=1e-4), pytest.approx(price, abs=1e-4))


def test_levels_for_fill_reach_the_aim_of_the_group_and_spend_less_than_equal_aims():
    rng = np.random.default_rng(2)
    mean = rng.gamma(0.7, 4, 300)[:, None]
    before, window = rng.poisson(2 * mean, (300, 400)), rng.poisson(mean, (300, 400))
    cost = rng.uniform(1, 60, 300)
    level, _ = levels_for_fill(before, window, 0.95, cost=cost, group=np.zeros(300), is_lost=False)
    short = mean_short(before + window, level) - mean_short(before, level)
    assert 1 - short.sum() / window.mean(axis=1).sum() == pytest.approx(0.95, abs=0.004)
    alone, _ = levels_for_fill(before, window, np.full(300, 0.95), cost=cost, group=np.arange(300), is_lost=False)
    assert (cost * level).sum() < (cost * alone).sum()


def test_lots_lower_the_level_because_orders_overshoot_it():
    rng = np.random.default_rng(3)
    before = rng.poisson(8.0, (50, 600))
    window = rng.poisson(4.0, (50, 600))
    one, few = np.ones(50), np.zeros(50)
    singles, _ = levels_for_fill(before, window, 0.95, cost=one, group=few)
    dozens, _ = levels_for_fill(before, window, 0.95, cost=one, group=few, lot=12)
    assert dozens.mean() < singles.mean() - 3


def test_stock_is_projected_with_sales_lost_not_owed():
    demand = np.array([[[5.0, 5.0], [1.0, 1.0]]])
    assert projected_stock(np.array([3.0]), np.array([[0.0, 4.0]]), demand).tolist() == [[0.0, 5.0]]
