"""Elasticities against a known law, and the refusals."""

import numpy as np
import pytest

from playbook.methods.elasticity import price_elasticity, regular_prices

WEEK = np.arange(156) % 52


def market(seed, n=240, promo_only=False, noise=0.15):
    """Weekly panel whose prices move at random dates; promotions cut the price and
    shout about it as well.
    """
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 6, n)
    truth = -np.clip(2.4 * np.exp(rng.normal(0, 0.3, n)), 1.15, 4)
    level = rng.lognormal(2.3, 1.0, n)
    season = 1 + 0.4 * np.cos(2 * np.pi * (WEEK[None, :] - 8 * group[:, None]) / 52)
    shop = np.exp(0.08 * rng.normal(size=156))
    change = (rng.random((n, 156)) < 1 / 26) * (not promo_only)
    last = np.maximum.accumulate(np.where(change, np.arange(156), 0), axis=1)
    price = 20 * np.exp(np.take_along_axis(rng.normal(0, 0.1, (n, 156)), last, axis=1))
    promo = (rng.random((n, 156)) < 0.05).astype(float)
    life = np.exp(rng.normal(0, 0.3, n)[:, None] * np.linspace(-1, 1, 156))
    paid = price * (1 - 0.2 * promo)
    mean = level[:, None] * life * season * shop * (paid / 20) ** truth[:, None] * (1 + 0.4 * promo)
    units = rng.poisson(mean * rng.gamma(1 / noise, noise, mean.shape)).astype(float)
    return units, np.ones_like(units), price, promo, group, truth


def test_by_rule_intervals_cover_the_truth_as_often_as_they_say():
    hit, told = [], []
    for seed in (1, 2, 3):
        units, exposure, price, promo, group, truth = market(seed)
        found = price_elasticity(units, exposure, price, WEEK, group=group, promo=promo)
        good = found["is_identifiable"].to_numpy()
        hit.append(((found["low"] <= truth) & (truth <= found["high"]))[good].mean())
        told.append(good.mean())
    assert 0.90 <= np.mean(hit) <= 1.0
    assert np.mean(told) > 0.2


def test_prices_that_never_moved_or_only_in_promotions_are_refused_by_name():
    units, exposure, price, promo, group, _ = market(4, n=40, promo_only=True)
    price[:, :] = price[:, :1]
    reasons = price_elasticity(units, exposure, price, WEEK, group=group, promo=promo)["reason"]
    assert set(reasons) == {"all prices equal"}
    cut = price * (1 - 0.2 * promo)
    found = price_elasticity(units, exposure, cut, WEEK, group=group, promo=promo)
    assert set(found["reason"]) == {"prices moved only in promotions"}
    assert found["estimate"].isna().all()


def test_a_sku_with_one_sale_is_refused_and_the_rest_comes_out():
    units, exposure, price, promo, group, _ = market(5, n=40, noise=0.05)
    units[0] = 0
    units[0, 70] = 1
    found = price_elasticity(units, exposure, price, WEEK, group=group, promo=promo)
    assert not found["is_identifiable"][0]
    assert found["is_identifiable"][1:].any()


def test_the_tempting_regression_on_paid_prices_takes_the_shouting_for_the_price():
    units, exposure, price, promo, group, truth = market(6, noise=0.05)
    paid = price * (1 - 0.2 * promo)
    big = units.sum(axis=1) > 1500
    logs = np.log(paid[big]), np.log(np.maximum(units[big], 0.5))
    tempting = [np.polyfit(p, u, 1)[0] for p, u in zip(*logs, strict=True)]
    ours = price_elasticity(units, exposure, price, WEEK, group=group, promo=promo)["estimate"][big]
    assert abs(np.nanmean(ours - truth[big])) < 0.15 < abs(np.mean(tempting - truth[big]))


def test_regular_prices_ignore_promotion_weeks_and_wobble():
    price = np.array([[10.0, 10.04, 7.0, 10.02, 12.0, np.nan]])
    promo = np.array([[0, 0, 1.0, 0, 0, 0]])
    assert regular_prices(price, promo).tolist() == [[10.0, 10.0, 10.0, 10.0, 12.0, 12.0]]


def test_rows_in_another_order_give_the_same_answers():
    units, exposure, price, promo, group, _ = market(7, n=30)
    there = price_elasticity(units, exposure, price, WEEK, group=group, promo=promo)
    turn = np.arange(30)[::-1]
    back = price_elasticity(
        units[turn], exposure[turn], price[turn], WEEK, group=group[turn], promo=promo[turn]
    )
    np.testing.assert_allclose(back["estimate"].to_numpy()[turn], there["estimate"], rtol=1e-6)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_a_higher_confidence_widens_the_interval(confidence):
    units, exposure, price, promo, group, _ = market(8, n=30)
    found = price_elasticity(
        units, exposure, price, WEEK, group=group, promo=promo, confidence=confidence
    )
    assert (found["low"] <= found["estimate"]).sum() == found["is_identifiable"].sum()
