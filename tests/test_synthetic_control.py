"""Reading a geo test: weights by hand, effects planted, and GeoLift's published
walk-through.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.methods.synthetic_control import blend, compare, detectable


def market(seed, periods=120, regions=14):
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1, (periods, 3))
    for day in range(1, periods):
        common[day] += 0.9 * common[day - 1]
    return (
        200 + common @ rng.uniform(0.7, 1.3, (3, regions)) + rng.normal(0, 1.5, (periods, regions))
    )


def marked(n, *where):
    return np.isin(np.arange(n), where)


@pytest.fixture(scope="module")
def geolift(shared_data):
    days = pd.read_csv(shared_data / "geolift" / "GeoLift_Test.csv.gz")
    return days.pivot(index="date", columns="location", values="Y")


def test_weights_are_a_mix_and_find_the_mix_that_made_the_target():
    others = np.random.default_rng(1).normal(0, 1, (60, 5))
    weights = blend(others @ [0.7, 0.3, 0, 0, 0], others)
    assert weights == pytest.approx([0.7, 0.3, 0, 0, 0], abs=1e-6)
    noisy = blend(np.random.default_rng(2).normal(0, 1, 60), others)
    assert noisy.min() >= 0
    assert noisy.sum() == pytest.approx(1)


def test_a_planted_effect_is_found_inside_its_interval():
    panel = market(3)
    panel[100:, :2] += 9.0
    read = compare(panel, marked(14, 0, 1), 100)
    assert read.att == pytest.approx(9, abs=1.5)
    assert read.low < 9 < read.high
    assert read.p_conformal <= 0.1
    assert read.total == pytest.approx(read.att * 20 * 2)
    assert read.lift == pytest.approx(read.att / read.expected[100:].mean())


def test_no_effect_is_seldom_called_one():
    quiet = [
        compare(market(seed), marked(14, seed % 14), 100).p_conformal <= 0.1 for seed in range(60)
    ]
    assert np.mean(quiet) <= 0.2


def test_few_controls_have_no_placebo_p():
    read = compare(market(5)[:, :6], marked(6, 0), 100)
    assert np.isnan(read.p_placebo)
    assert 0 < read.p_conformal <= 1


def test_power_grows_with_the_effect_and_is_small_without_one():
    power = detectable(market(7), marked(14, 2), 14, np.array([0.0, 0.02, 0.05, 0.2]), worlds=20)
    assert power[0] <= 0.3
    assert (np.diff(power) >= 0).all()
    assert power[-1] == 1


def test_geolift_by_the_book(geolift):
    read = compare(geolift.to_numpy(float), geolift.columns.isin(["chicago", "portland"]), 90)
    assert read.att == pytest.approx(155.556, abs=0.5)
    assert read.lift == pytest.approx(0.054, abs=0.0005)
    assert read.total == pytest.approx(4667, abs=1)
    assert read.low < read.att < read.high
    assert 0 < read.p_placebo <= 1


def test_false_alarms_on_geolifts_history_stay_near_the_level(shared_data):
    days = pd.read_csv(shared_data / "geolift" / "GeoLift_PreTest.csv.gz")
    panel = days.pivot(index="date", columns="location", values="Y").to_numpy(float)
    rng = np.random.default_rng(11)
    alarms = []
    for _ in range(150):
        start = int(rng.integers(45, len(panel) - 15))
        who = marked(panel.shape[1], *rng.choice(panel.shape[1], 2, replace=False))
        alarms.append(compare(panel[: start + 15], who, start).p_conformal <= 0.1)
    assert 0.02 <= np.mean(alarms) <= 0.14
