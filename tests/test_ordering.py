"""Orders from draws: aims reached, lots kept, money spent where it earns most."""

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.inventory_planning.ordering import plan_orders, rounded_to_lots, spend_budget
from playbook.methods.demand import DemandLaw


def law(level, dispersion=0.1, n=None):
    level = np.broadcast_to(np.asarray(level, float), n or np.size(level))
    one = np.ones(len(level))
    return DemandLaw(
        level * 50,
        50 * one,
        0.98 * one,
        np.ones((len(level), 52)),
        dispersion * one,
        one,
        one,
        np.ones(26),
        np.full(len(level), 25),
        0,
    )


def plan(level, available=0, **how):
    columns = {
        "incoming": 0.0,
        "incoming_days": 0.0,
        "pack_units": 1.0,
        "min_order_units": 0.0,
        "aim_share": 0.95,
    }
    columns |= {name: how.pop(name) for name in list(how) if name in columns}
    stock = pd.DataFrame(columns, index=range(np.size(level)))
    stock = stock.assign(available=available, yield_share=1.0, unit_cost=1.0, margin=1.0)
    return plan_orders(law(level), stock, np.full(len(stock), 14.0), **how)


def test_the_order_tops_stock_up_to_what_the_covered_period_needs():
    found = plan(np.full(5, 10.0), [0, 10, 20, 30, 400], chance=np.full(5, 0.1))
    assert (np.diff(found.units) <= 2).all()  # draws differ from sku to sku
    assert found.units[4] == 0
    assert found.units[0] == pytest.approx(
        14, abs=3
    )  # nothing on the shelf: the lead time's demand is lost, not owed
    assert (found.units > 0).tolist() == [True] * 4 + [False]


def test_owed_sales_are_ordered_as_well_where_customers_wait():
    lost, owed = (
        plan(np.array([10.0]), 0, chance=np.array([0.1]), is_lost=flag).units[0]
        for flag in (True, False)
    )
    assert owed > lost + 15


def test_what_is_on_order_counts_and_so_does_when_it_comes():
    none, soon, late = (
        plan(np.array([10.0]), 10, chance=np.array([0.1]), **part).units[0]
        for part in (
            {},
            {"incoming": 20, "incoming_days": 1},
            {"incoming": 20, "incoming_days": 14},
        )
    )
    assert soon < none
    assert late < soon


def test_by_rule_simulated_fill_reaches_the_aim_within_a_point():
    rng = np.random.default_rng(5)
    level = rng.lognormal(0.8, 1.0, 250)
    pack = rng.choice([1, 1, 6], 250)
    stock, pipe = np.ceil(level * 4), np.zeros((250, 3))
    served = asked = 0
    for week in range(40):
        incoming = pipe.sum(axis=1)
        found = plan(level, stock, incoming=incoming, incoming_days=3.5, pack_units=pack, seed=week)
        pipe[:, 2] += found.units
        stock = stock + pipe[:, 0]
        pipe = np.concatenate([pipe[:, 1:], np.zeros((250, 1))], axis=1)
        demand = rng.poisson(level * rng.gamma(10, 0.1, 250))
        sold = np.minimum(stock, demand)
        stock = stock - sold
        if week >= 10:
            served, asked = served + sold.sum(), asked + demand.sum()
    assert served / asked == pytest.approx(0.95, abs=0.01)


def test_lots_are_whole_packs_and_at_least_the_minimum():
    assert rounded_to_lots(np.array([0, 1, 7, 30]), np.array([6, 6, 6, 6]), 12).tolist() == [
        0,
        12,
        12,
        30,
    ]
    found = plan(
        np.array([3.0, 0.001]), 0, chance=np.array([0.05, 0.5]), pack_units=6, min_order_units=12
    )
    assert found.units[0] % 6 == 0
    assert found.units[0] >= 12
    assert found.units[1] == 0


def test_a_budget_buys_the_margin_first_and_is_never_overspent():
    found = plan(np.array([10.0, 10.0, 10.0]), 0, chance=np.full(3, 0.05))
    cost, margin = np.array([5.0, 5.0, np.nan]), np.array([1.0, 9.0, 9.0])
    units, gain = spend_budget(found, cost, margin, 60.0)
    assert units[1] == pytest.approx(12, abs=0)
    assert units[0] == 0
    assert units[2] == gain[2] == 0
    assert np.nansum(units * cost) <= 60
    everything, _ = spend_budget(found, cost, margin, 1e9)
    assert everything[:2].tolist() == found.units[:2].tolist()
    nothing, none = spend_budget(found, cost, margin, 0.0)
    assert nothing.sum() == none.sum() == 0


def test_by_rule_no_other_split_of_the_budget_earns_more_by_one_unit():
    rng = np.random.default_rng(8)
    level, cost, margin = rng.gamma(2, 5, 30), rng.uniform(1, 20, 30), rng.uniform(1, 20, 30)
    found = plan(level, 0, chance=np.full(30, 0.05))
    budget = 0.4 * (found.units * cost).sum()
    units, gain = spend_budget(found, cost, margin, budget, most_steps=200)
    by_revenue = np.argsort(-level * (cost + margin))
    greedy, left = np.zeros(30), budget
    for i in by_revenue:
        greedy[i] = min(found.units[i], left // cost[i])
        left -= greedy[i] * cost[i]
    worth = lambda q: (
        (np.maximum(found.need, 0) - np.maximum(found.need - q[:, None], 0)).mean(axis=1) * margin
    ).sum()
    assert worth(units) == pytest.approx(gain.sum(), rel=1e-5)
    assert worth(units) > worth(greedy)
