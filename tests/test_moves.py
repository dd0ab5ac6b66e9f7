"""Which price moves identify an elasticity, how estimates pool, and that width alone identifies
nothing: by hand at the edges, and on markets whose truth is known.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from playbook.methods.elasticity import price_elasticity
from playbook.methods.moves import moving_together, price_moves
from playbook.methods.pooling import FEWEST, pooled

sys.path.insert(0, str(Path(__file__).parent / "proof"))
from proof_elasticity import design, scored

WEEKS = 60


def paths(*moves):
    """Log prices of skus, each from its moves: week -> change."""
    size = np.zeros((len(moves), WEEKS))
    for row, of_sku in zip(size, moves, strict=True):
        for week, change in of_sku.items():
            row[week] = change
    return np.cumsum(size, axis=1)


def seen(log_price, promo=None, exposure=None, group=None):
    shape = log_price.shape
    return price_moves(
        log_price,
        np.ones(shape, bool),
        group=np.zeros(len(log_price), int) if group is None else group,
        promo=np.zeros(shape) if promo is None else promo,
        exposure=np.ones(shape) if exposure is None else exposure,
    )


# ---- moves


@pytest.mark.parametrize(("n_along", "is_common"), [(3, False), (4, True)])
def test_a_move_is_common_where_more_than_half_of_the_others_went_along(n_along, is_common):
    """Six others in the category: three are half, four are more."""
    still = [{}] * (6 - n_along)
    found = seen(paths({20: 0.1}, *[{20: 0.05}] * n_along, *still))
    assert found.is_common[0, 20] == is_common
    assert found.n_own[0] == (not is_common)


def test_prices_that_move_every_week_for_themselves_are_moves_apart():
    rng = np.random.default_rng(701)
    found = seen(np.cumsum(rng.choice([-0.1, 0.1], (40, WEEKS)), axis=1))
    assert found.is_common.mean() < 0.02
    alike = np.cumsum(rng.choice([-0.1, 0.1], (1, WEEKS)), axis=1).repeat(40, axis=0)
    assert seen(alike).is_common[:, 1:].all()


@pytest.mark.parametrize(
    ("week", "change", "is_common"), [(21, 0.1, True), (22, 0.1, False), (20, -0.1, False)]
)
def test_going_along_is_the_same_way_within_a_week(week, change, is_common):
    found = seen(paths({20: 0.1}, *[{week: change}] * 6))
    assert found.is_common[0, 20] == is_common


@pytest.mark.parametrize(("n_category", "is_common"), [(5, True), (6, False)])
def test_a_category_of_few_is_held_against_the_shop(n_category, is_common):
    """Of six, five others stood still; of five, the whole shop is asked, and that moved."""
    group = np.r_[np.zeros(n_category, int), np.ones(20, int)]
    found = seen(paths({20: 0.1}, *[{}] * (n_category - 1), *[{20: 0.1}] * 20), group=group)
    assert found.is_common[0, 20] == is_common


@pytest.mark.parametrize(("share", "is_edge"), [(0.05, False), (0.06, True)])
def test_a_promotion_begins_where_its_share_of_a_week_changes_by_a_twentieth(share, is_edge):
    promo = np.zeros((1, WEEKS))
    promo[0, 20:25] = share
    assert seen(paths({20: 0.1}), promo=promo).with_promotions[0] == is_edge


@pytest.mark.parametrize(("stocked", "is_edge"), [(0.71, False), (0.69, True)])
def test_stock_changes_where_three_tenths_of_a_week_are_lost(stocked, is_edge):
    exposure = np.ones((1, WEEKS))
    exposure[0, 20:] = stocked
    assert seen(paths({20: 0.1}), exposure=exposure).with_stock[0] == is_edge


@pytest.mark.parametrize(("n_apart", "is_tied"), [(1, True), (2, False)])
def test_prices_belong_to_promotions_where_more_than_half_of_the_moves_coincide(n_apart, is_tied):
    promo = np.zeros((1, WEEKS))
    promo[0, 20:22] = 1.0
    moves = {20: -0.1, 22: 0.1} | {40 + 5 * k: 0.1 for k in range(n_apart)}
    found = seen(paths(moves), promo=promo)
    assert found.with_promotions[0] == is_tied
    assert found.n_own[0] == n_apart


def test_a_change_of_a_percent_is_none_and_unknown_weeks_carry_the_price():
    assert not seen(paths({20: 0.01})).size.any()
    logs, known = paths({20: 0.1}), np.ones((1, WEEKS), bool)
    known[0, 18:22] = False
    group = np.zeros(1, int)
    plain = np.zeros((1, WEEKS))
    found = price_moves(np.where(known, logs, 0.0), known, group=group, promo=plain, exposure=plain)
    assert np.flatnonzero(found.size[0]).tolist() == [22]


@pytest.mark.parametrize(("shared", "is_together"), [(1, False), (2, True)])
def test_skus_move_together_where_more_than_half_of_their_moves_are_the_same(shared, is_together):
    """Cosine of two rows of two and three equal moves: shared / sqrt(2 · 3) = .41 and .82."""
    other = [10, 20][:shared] + [41, 51, 56][: 3 - shared]
    size = np.zeros((2, WEEKS))
    size[0, [10, 20]] = 0.1
    size[1, other] = 0.1
    total = moving_together(size, np.zeros(2, int), [np.array([[1.0], [10.0]])])[0][:, 0]
    assert total.tolist() == ([11.0, 11.0] if is_together else [1.0, 10.0])


# ---- pooling


def test_fewer_than_five_voices_pool_nothing():
    assert FEWEST == 5
    estimate, error = np.linspace(-3, -1, 5), np.full(5, 0.4)
    about = {"group": np.zeros(5, int), "whole": -2.6}
    alone = pooled(estimate, error, voices=np.r_[np.ones(4), 0.99], **about)
    np.testing.assert_allclose(alone[0], estimate)
    np.testing.assert_allclose(alone[1], error)
    mean, sd = pooled(estimate, error, voices=np.ones(5), **about)
    assert np.ptp(mean) < np.ptp(estimate)
    assert (sd < 0.4).all()


def test_a_vague_estimate_takes_its_categorys_value_and_a_sharp_one_keeps_its_own():
    rng = np.random.default_rng(701)
    group = np.repeat([0, 1], 40)
    truth = np.where(group == 0, -1.5, -3.0) + 0.3 * rng.normal(size=80)
    error = np.where(np.arange(80) % 2, 0.05, 3.0)
    estimate = truth + error * rng.normal(size=80)
    mean, sd = pooled(estimate, error, group, voices=np.ones(80), whole=-2.62)
    vague = error > 1
    assert np.abs(mean[~vague] - estimate[~vague]).max() < 0.05
    assert abs(mean[vague & (group == 0)].mean() + 1.5) < 0.2
    assert abs(mean[vague & (group == 1)].mean() + 3.0) < 0.2
    assert 0.2 < sd[vague].mean() < 0.7


def test_estimates_of_one_evidence_share_one_voice():
    """Thirty copies of one estimate do not outvote ten others."""
    estimate = np.r_[np.full(30, -5.0), np.linspace(-2.2, -1.8, 10)]
    error, group = np.full(40, 0.5), np.zeros(40, int)
    loud = pooled(estimate, error, group, voices=np.ones(40), whole=-2.0)[0][30:]
    fair = pooled(
        estimate, error, group, voices=np.r_[np.full(30, 1 / 30), np.ones(10)], whole=-2.0
    )
    assert loud.mean() < fair[0][30:].mean() - 0.1


def test_a_missing_estimate_stays_missing_and_says_nothing():
    estimate, error = np.r_[np.linspace(-3, -1, 8), np.nan], np.r_[np.full(8, 0.4), 0.4]
    about = {"whole": -2.0}
    with_it = pooled(estimate, error, np.zeros(9, int), voices=np.ones(9), **about)
    without = pooled(estimate[:8], error[:8], np.zeros(8, int), voices=np.ones(8), **about)
    assert np.isnan(with_it[0][8])
    np.testing.assert_allclose(with_it[0][:8], without[0])


# ---- markets whose truth is known


@pytest.mark.parametrize("name", ["category", "promotions"])
def test_nothing_is_identified_where_prices_moved_with_everything_or_with_promotions(name):
    given, _truth = design(name, 702)
    found = price_elasticity(**given)
    assert not found.is_identifiable.any()
    assert found.estimate.isna().all()
    expected = "whole category" if name == "category" else "promotions"
    assert found.reason.str.contains(expected).mean() > 0.9


@pytest.mark.parametrize("name", ["independent", "variants"])
def test_intervals_of_moves_apart_hold_the_truth_as_often_as_they_say(name):
    given, truth = design(name, 703)
    told = scored(price_elasticity(**given), truth)
    assert told["told"] > 100
    assert 0.89 <= told["held"] <= 0.99
    assert abs(told["bias"]) < 0.2


def test_thirty_variants_repriced_together_are_held_against_the_rest_of_their_category():
    """The others' weeks are the control: the answer is not drawn to nought."""
    given, truth = design("variants", 704)
    found = price_elasticity(**given).head(30)
    told = found.is_identifiable.to_numpy()
    assert told.sum() >= 10
    assert abs((found.estimate - truth[:30])[told].mean()) < 0.8


def test_a_sku_priced_by_the_week_keeps_its_weeks():
    rng = np.random.default_rng(701)
    shape = (12, 104)
    for chance, kept in ((1.0, 104), (0.1, 104 - 12)):
        moves = np.where(rng.random(shape) < chance, rng.normal(0, 0.1, shape), 0)
        price = 10 * np.exp(moves if chance == 1.0 else np.cumsum(moves, axis=1))
        units = rng.poisson(40 * (price / 10) ** -2.0).astype(float)
        found = price_elasticity(
            units,
            np.ones(shape),
            price,
            np.arange(104) % 52,
            group=np.zeros(12, int),
            promo=np.zeros(shape),
        )
        assert found.n_weeks.min() >= kept - 14
        assert (found.n_weeks == 104).all() == (chance == 1.0)
        if chance == 1.0:
            assert found.is_identifiable.all()
            assert abs(found.estimate.mean() + 2.0) < 0.1
