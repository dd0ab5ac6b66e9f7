"""The classic stock models against printed numbers, and the simulated ones against the classic."""

import numpy as np
import pytest

from playbook.methods.newsvendor import (
    level_for_ratio,
    levels_for_fill,
    mean_short,
    normal_newsvendor,
    poisson_newsvendor,
    projected_stock,
)
from playbook.methods.replenishment import (
    best_r_q,
    best_s_s,
    order_quantity,
    power_approximation,
    r_q_cost,
    safety_stock,
)


def test_by_the_book_economic_order_quantity_example_3_1():
    assert order_quantity(8, 0.225, 1300) == (pytest.approx(304.04678, abs=5e-6), pytest.approx(68.41053, abs=5e-6))


def test_by_the_book_newsvendor_examples_4_3_and_4_4():
    level, cost = normal_newsvendor(0.18, 0.70, 50, 8)
    assert (level, cost) == (pytest.approx(56.603956, abs=5e-7), pytest.approx(1.9976052, abs=5e-8))
    level, cost = normal_newsvendor(0.18, 0.70, 50, 8, lead_periods=4)
    assert (level, cost) == (pytest.approx(264.76689, abs=5e-6), pytest.approx(4.466781, abs=5e-7))


def test_by_the_book_poisson_newsvendor_example_4_7():
    assert poisson_newsvendor(1, 4, 6) == (8, pytest.approx(3.570107, abs=5e-7))


def test_by_the_book_s_s_example_4_7_and_problem_4_31():
    assert best_s_s(1, 4, 5, 6) == (4, 10, pytest.approx(8.0341116, abs=5e-8))
    assert best_s_s(40, 125, 150, 4) == (2, 7, pytest.approx(223.57483, abs=5e-6))


def test_by_the_book_power_approximation_example_4_8():
    assert power_approximation(0.18, 0.70, 2.5, 50, 8) == (
        pytest.approx(40.19462, abs=5e-6),
        pytest.approx(74.29017, abs=5e-6),
    )


def test_by_the_book_r_q_example_5_1_is_the_minimum_of_the_exact_cost():
    point, lot, cost = best_r_q(0.225, 7.5, 8, 1300, 150, 1 / 12)
    assert (point, lot, cost) == (
        pytest.approx(126.867, abs=5e-4), pytest.approx(328.449, abs=5e-4), pytest.approx(78.0711, abs=5e-5))
    rest = {"holding": 0.225, "shortage": 7.5, "order_cost": 8, "mean": 1300, "sd": 150, "lead": 1 / 12}
    assert all(r_q_cost(point + a, lot + b, **rest) > cost for a, b in ((2, 0), (-2, 0), (0, 4), (0, -4)))


def test_safety_stock_carries_the_spread_of_the_lead_time():
    assert safety_stock(0.95, 10.0, 4.0, 9.0) == pytest.approx(1.6448536 * 12, abs=1e-5)
    assert safety_stock(0.95, 10.0, 4.0, 9.0, 1.6) == pytest.approx(1.6448536 * 20, abs=1e-5)


def test_costs_of_nothing_are_refused():
    with pytest.raises(ValueError, match="positive"):
        normal_newsvendor(0, 1, 5, 1)


def test_by_rule_drawn_levels_agree_with_the_closed_form():
    draws = np.random.default_rng(1).poisson(6, (1, 200_000))
    assert level_for_ratio(np.sort(draws), 0.8)[0] == poisson_newsvendor(1, 4, 6)[0]
    assert mean_short(draws, np.array([8]))[0] == pytest.approx(0.3134, abs=0.01)


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
