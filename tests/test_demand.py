"""Demand laws: masked stock-outs, shrunk season, new items, calibrated spread."""

from functools import cache

import numpy as np
import pytest
from known_demand import exposed, known_shop

from playbook.methods.demand import SalesWeeks, fit_demand, most_after_silence, tsb_level
from playbook.methods.uncensored import launch_curve, level_around, season_of, sold_out_exposure


@cache
def shop(seed=21):
    return known_shop(seed, n_sku=400, more_weeks=6)


def law_at(known, cut, seed=0):
    units, exposure = exposed(known, cut)
    return fit_demand(
        SalesWeeks(
            units,
            exposure,
            known.week_of_year()[:cut],
            known.category,
            promo=known.promo[:, :cut],
        )
    )


def steady(units, exposure):
    return fit_demand(
        SalesWeeks(units, exposure, np.arange(units.shape[1]) % 52, np.zeros(len(units), int))
    )


def test_a_stock_out_is_no_information_not_no_demand():
    rng = np.random.default_rng(1)
    units = rng.poisson(6.0, (60, 60)).astype(float)
    exposure = np.ones_like(units)
    units[:, 54:59], exposure[:, 54:59] = 0, 0
    masked, tempting = steady(units, exposure), steady(units, np.ones_like(units))
    assert masked.level().mean() == pytest.approx(6.0, rel=0.05)
    assert tempting.level().mean() < 5.5


def test_one_large_order_long_ago_is_no_level():
    """342 units once in 45 weeks, nothing for the last 25 of them; others sell in ones."""
    rng = np.random.default_rng(3)
    units = rng.poisson(0.3, (200, 45)).astype(float)
    units[0] = 0.0
    units[0, [9, 19]] = 342.0, 60.0
    law = steady(units, np.ones_like(units))
    assert law.level()[0] < 402 / 45
    units[0, 43] = 20.0
    assert steady(units, np.ones_like(units)).level()[0] > 1, "one that sells is not gone"


def test_weeks_without_a_sale_bound_a_level_by_the_chance_they_leave_it():
    """Ten weeks at s = 1/2 and d = 2: (1 + m) ** (-10 / 2) = .01 at m = 100 ** .2 - 1."""
    units, scale = np.zeros((3, 12)), np.full((3, 12), 0.5)
    units[:, 1], scale[:, 0] = 5.0, 0.0
    units[1, -1], scale[2, 2:] = 1.0, 0.0
    most = most_after_silence(units, scale, np.array([2.0, 2.0, 2.0]))
    assert most[0] == pytest.approx(100**0.2 - 1)
    assert np.isinf(most[1:]).all(), "sold last week; could not be sold since"


def test_sold_out_days_recover_the_rate_that_leaving_them_out_or_counting_them_whole_loses():
    rng = np.random.default_rng(2)
    demand = rng.poisson(0.9, (300, 40, 7))
    shelf = rng.integers(1, 4, demand.shape)
    sold, out = np.minimum(demand, shelf), demand >= shelf
    units = sold.sum(axis=2).astype(float)
    exposure = sold_out_exposure(
        units, (~out).sum(axis=2), out.sum(axis=2), (sold * out).sum(axis=2)
    )
    truth = 0.9 * 7
    assert units.sum() / exposure.sum() == pytest.approx(truth, rel=0.04)
    assert units.sum() / units.size < 0.9 * truth
    assert (sold * ~out).sum() / (~out).sum() * 7 < 0.9 * truth


def test_uncensored_demand_is_within_a_tenth_of_the_truth_where_sales_are_too_low():
    known = shop()
    units, exposure = exposed(known, 156)
    hurt = (known.closing[:, :156] == 0).mean(axis=(1, 2)) > 0.05
    truth = known.demand[hurt, :156].sum()
    live = np.arange(156) >= known.launch[hurt][:, None]
    lost = level_around(units, exposure, half_width=8)[hurt] * np.where(live, 1 - exposure[hurt], 0)
    assert units[hurt].sum() < 0.95 * truth
    assert units[hurt].sum() + lost.sum() == pytest.approx(truth, rel=0.1)


def test_forecast_beats_the_moving_average_and_its_interval_covers_what_it_says():
    known = shop()
    hit, ours, naive, bias = [], 0.0, 0.0, 0.0
    for cut in (130, 143, 156):
        law = law_at(known, cut)
        units, exposure = exposed(known, cut)
        ahead = known.promo[:, cut : cut + 4]
        mean = law.mean(4, ahead).sum(axis=1)
        actual = known.demand[:, cut : cut + 4].sum(axis=(1, 2))
        average = 4 * units[:, -13:].sum(axis=1) / np.maximum(exposure[:, -13:].sum(axis=1), 1)
        ours, naive = ours + np.abs(mean - actual).sum(), naive + np.abs(average - actual).sum()
        bias += (mean - actual).sum() / actual.sum() / 3
        draws = law.draw(4, n_draws=300, seed=3, promo=ahead).sum(axis=2)
        low, high = np.quantile(draws, [0.1, 0.9], axis=1)
        hit.append(((low <= actual) & (actual <= high))[law.level() > 2].mean())
    assert ours < 0.9 * naive
    assert abs(bias) < 0.05
    assert 0.75 <= np.mean(hit) <= 0.92


def test_a_new_item_borrows_from_its_like_items_and_forgets_them_with_time():
    rng = np.random.default_rng(4)
    like = np.repeat([0, 1], 40)
    units = rng.poisson(np.where(like == 0, 2.0, 20.0)[:, None], (80, 80)).astype(float)
    exposure = np.ones_like(units)
    exposure[[0, 40], :79] = 0  # one week old, in each group
    exposure[[1, 41], :] = 0  # not sold yet
    units[0, 79], units[40, 79] = 4, 4
    law = fit_demand(SalesWeeks(units, exposure, np.arange(80) % 52, np.zeros(80, int), like=like))
    level = law.level()
    assert level[1] == pytest.approx(2.0, rel=0.6)
    assert level[41] == pytest.approx(20.0, rel=0.3)
    assert 2.0 < level[0] < 4.2
    assert 4.0 < level[40] < 19.0
    assert law.shape[1] < law.shape[2]


def test_season_of_a_small_category_is_pulled_to_the_shop_and_a_short_log_has_none():
    rng = np.random.default_rng(5)
    week = np.arange(156) % 52
    wave = 1 + 0.6 * np.cos(2 * np.pi * week / 52)
    group = np.array([0] * 60 + [1])
    units = rng.poisson(np.where(group == 0, 10.0, 0.1)[:, None] * wave).astype(float)
    season, _ = season_of(units, np.ones_like(units), week, group=group, promo=np.zeros_like(units))
    truth = 1 + 0.6 * np.cos(2 * np.pi * np.arange(52) / 52)
    assert np.abs(season[0] - truth).mean() < 0.06
    assert np.corrcoef(season[60], truth)[0, 1] > 0.9
    short, _ = season_of(
        units[:, :60], np.ones((61, 60)), week[:60], group=group, promo=np.zeros((61, 60))
    )
    assert (short == 1).all()


def test_launches_seen_before_shape_the_next_one():
    rng = np.random.default_rng(6)
    first = rng.integers(5, 60, 40)
    age = np.arange(100) - first[:, None]
    mean = 12 * np.where(age < 0, 0, np.clip(0.25 + age / 8, 0, 1))
    units, exposure = rng.poisson(mean).astype(float), (age >= 0).astype(float)
    curve = launch_curve(units, exposure, first)
    assert curve[0] < 0.6 < curve[7]
    assert curve[20] == 1.0
    assert (launch_curve(units[:3], exposure[:3], first[:3]) == 1).all()


def test_windows_and_weekly_paths_come_from_one_law():
    law = law_at(shop(), 156)
    lead, review = law.windows(np.full(400, 14.0), 7.0, n_draws=400, seed=7)
    paths = law.draw(3, n_draws=400, seed=8)
    big = law.level() > 3
    assert lead[big].mean() == pytest.approx(paths[big, :, :2].sum(axis=2).mean(), rel=0.03)
    assert review[big].mean() == pytest.approx(paths[big, :, 2].mean(), rel=0.03)
    loose, _ = law.windows(
        np.random.default_rng(1).gamma(4, 3.5, (400, 400)), 7.0, n_draws=400, seed=7
    )
    assert loose[big].std(axis=1).mean() > 1.2 * lead[big].std(axis=1).mean()


def test_intermittent_demand_keeps_its_level_and_the_comparison_agrees():
    rng = np.random.default_rng(9)
    units = (rng.random((50, 120)) < 0.1) * rng.geometric(0.4, (50, 120)).astype(float)
    exposure = np.ones_like(units)
    assert steady(units, exposure).level().mean() == pytest.approx(0.25, rel=0.25)
    assert tsb_level(units, exposure).mean() == pytest.approx(0.25, rel=0.35)


def test_sku_order_does_not_change_a_law():
    known = shop()
    units, exposure = exposed(known, 120)
    turn = np.random.default_rng(0).permutation(400)
    week = known.week_of_year()[:120]
    there = fit_demand(SalesWeeks(units, exposure, week, known.category))
    back = fit_demand(SalesWeeks(units[turn], exposure[turn], week, known.category[turn]))
    np.testing.assert_allclose(back.level(), there.level()[turn], rtol=1e-9)


def test_a_price_move_is_learnt_from_the_others_and_the_level_is_that_of_today():
    rng = np.random.default_rng(5)
    price = np.exp(np.repeat(rng.normal(0, 0.12, (60, 10)), 8, axis=1))
    price[0] = np.where(np.arange(80) < 78, 1.0, 0.8)
    units = rng.poisson(20 * price**-2.0).astype(float)
    week, group = np.arange(80) % 52, np.zeros(60, int)
    law = fit_demand(SalesWeeks(units, np.ones_like(units), week, group, price=price))
    assert law.response == pytest.approx(2.0, abs=0.15)
    now = price[:, -1] ** -2.0 * 20
    blind = fit_demand(SalesWeeks(units, np.ones_like(units), week, group))
    assert np.abs(law.level() / now - 1).mean() < 0.5 * np.abs(blind.level() / now - 1).mean()
    half = law.draw(1, n_draws=400, seed=1, price=np.full((60, 1), 2.0)).mean()
    assert half == pytest.approx(law.draw(1, n_draws=400, seed=1).mean() / 4, rel=0.2)
    unknown = fit_demand(
        SalesWeeks(units, np.ones_like(units), week, group, price=np.full_like(units, np.nan))
    )
    np.testing.assert_allclose(unknown.level(), blind.level())


def test_planned_promotions_are_in_the_weeks_ahead_and_unplanned_ones_in_the_noise():
    rng = np.random.default_rng(6)
    promo = np.zeros((40, 90))
    promo[:, 9::10] = 1.0
    units = rng.poisson(10 * (1 + 2 * promo)).astype(float)
    how = {"group": np.zeros(40, int), "promo": promo}
    plan = np.zeros((40, 8))
    plan[:, 2] = 1.0
    week = np.arange(90) % 52
    law = fit_demand(SalesWeeks(units, np.ones_like(units), week, **how), plan=plan)
    mean = law.mean(8).mean(axis=0)
    assert mean[2] == pytest.approx(3 * mean[[0, 1, 3]].mean(), rel=0.15)
    assert law.later(2).mean(4).mean(axis=0)[0] == pytest.approx(mean[2], rel=0.1)
    assert (
        fit_demand(SalesWeeks(units, np.ones_like(units), week, **how)).dispersion.mean()
        > 3 * law.dispersion.mean()
    )


def test_one_sku_alone_is_not_explained_by_itself():
    units = np.random.default_rng(7).poisson(30, (1, 60)).astype(float)
    law = steady(units, np.ones_like(units))
    assert law.level()[0] == pytest.approx(30, rel=0.2)
    assert 0.01 <= law.dispersion[0] < 0.1
