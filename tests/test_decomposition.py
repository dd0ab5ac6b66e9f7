"""Parts that add up: on random trees, by hand, and with zeros."""

import numpy as np
import pandas as pd
import pytest

from playbook.errors import PlaybookError
from playbook.methods.decomposition import mix_and_rate, product_drivers


def test_the_parts_of_any_product_add_up_to_its_change():
    rng = np.random.default_rng(11)
    for _ in range(500):
        n = int(rng.integers(1, 6))
        names = [f"d{i}" for i in range(n)]
        before, after = (dict(zip(names, rng.lognormal(0, 2, n), strict=True)) for _ in range(2))
        change = np.prod(list(after.values())) - np.prod(list(before.values()))
        parts = product_drivers(before, after).contribution.sum()
        assert abs(parts - change) <= 1e-9 * max(1.0, abs(change))


def test_zeros_and_losses_are_shared_out_too():
    found = product_drivers({"orders": 10.0, "margin": -2.0}, {"orders": 0.0, "margin": 3.0})
    assert found.contribution.sum() == pytest.approx(20.0, abs=1e-12)
    assert found.contribution.tolist() == pytest.approx([-5.0, 25.0])  # Shapley by hand


def test_one_factor_that_moves_carries_the_whole_change():
    found = (
        product_drivers({"a": 2.0, "b": 5.0}, {"a": 3.0, "b": 5.0}).set_index("driver").contribution
    )
    assert found.to_dict() == {"a": pytest.approx(5.0), "b": pytest.approx(0.0)}


def test_a_factor_nobody_observed_is_refused():
    with pytest.raises(PlaybookError, match="observed"):
        product_drivers({"a": 1.0}, {"a": float("nan")})


def test_mix_and_rate_by_hand():
    """Two channels at 10 and 20 an order; half the orders move to the cheap one and
    nothing else changes: all is mix.
    """
    before = pd.DataFrame({"orders": [10, 10], "revenue": [100.0, 200.0]}, index=["cheap", "dear"])
    after = pd.DataFrame({"orders": [15, 5], "revenue": [150.0, 100.0]}, index=["cheap", "dear"])
    parts = mix_and_rate(before, after, weight="orders", amount="revenue")
    assert parts.rate.tolist() == [0.0, 0.0]
    assert parts.mix.sum() == pytest.approx(-2.5)


def test_mix_and_rate_add_up_on_random_segments_that_come_and_go():
    rng = np.random.default_rng(5)
    for _ in range(200):
        frames = []
        for _ in range(2):
            names = [f"s{i}" for i in range(6) if rng.random() < 0.8] or ["s0"]
            orders = rng.integers(1, 100, len(names)).astype(float)
            frames.append(
                pd.DataFrame(
                    {"orders": orders, "revenue": orders * rng.uniform(5, 50, len(names))},
                    index=names,
                )
            )
        parts = mix_and_rate(*frames, weight="orders", amount="revenue")
        means = [f.revenue.sum() / f.orders.sum() for f in frames]
        assert parts.contribution.sum() == pytest.approx(means[1] - means[0], abs=1e-9)
