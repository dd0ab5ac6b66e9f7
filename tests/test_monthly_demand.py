"""Monthly totals of goods that sell seldom: what intervals hold, what season is, and what is not
known.
"""

import numpy as np
import pytest

from playbook.errors import PlaybookError
from playbook.methods.monthly_demand import fit_months


def parts(seed, n=400, months=48, season=False):
    """Intermittent goods: levels from a wide law that wander slowly."""
    rng = np.random.default_rng(seed)
    level = rng.lognormal(-0.8, 1.2, n)[:, None] * np.exp(
        np.cumsum(rng.normal(0, 0.05, (n, months)), axis=1)
    )
    year = 1 + 0.5 * np.cos(2 * np.pi * np.arange(months) / 12) * season
    return rng.poisson(level * year).astype(float)


def test_intervals_of_a_quarter_hold_what_they_say_and_the_law_itself_says_as_much():
    held, said = [], []
    for seed in (701, 702, 703):
        units = parts(seed)
        law = fit_months(units[:, :45], first_month=0)
        low, high = law.interval(3, level=0.8)
        actual = units[:, 45:].sum(axis=1)
        held.append(((low <= actual) & (actual <= high)).mean())
        drawn = law.draw(3, n_draws=2_000, seed=0).sum(axis=2)
        said.append(((low[:, None] <= drawn) & (drawn <= high[:, None])).mean())
    # whole units hold more than four in five where goods sell in ones
    assert np.mean(held) >= 0.8
    assert abs(np.mean(held) - np.mean(said)) < 0.03


def deviance(actual, expected):
    """Mean Poisson deviance: the error of counts, large goods and small ones alike."""
    expected = np.maximum(expected, 0.01)
    ratio = np.where(actual > 0, actual * np.log(np.maximum(actual, 1) / expected), 0.0)
    return 2 * np.mean(ratio - actual + expected)


def test_the_deviance_of_a_quarter_is_below_that_of_the_last_years_mean_and_of_tsb():
    from playbook.methods.demand import tsb_level

    errors = np.zeros(3)
    for seed in (701, 702, 703):
        units = parts(seed)
        past, actual = units[:, :45], units[:, 45:].sum(axis=1)
        guesses = (
            fit_months(past, first_month=0).mean(3).sum(axis=1),
            past[:, -12:].mean(axis=1) * 3,
            tsb_level(past, np.ones_like(past)) * 3,
        )
        errors += [deviance(actual, guess) for guess in guesses]
    assert errors[0] < min(errors[1:])


def test_a_season_is_told_from_three_years_on():
    units = parts(704, season=True)
    assert np.ptp(fit_months(units[:, :35], first_month=0).season) == 0
    law = fit_months(units[:, :36], first_month=0)
    assert law.season.argmax() in (11, 0, 1)
    assert law.season[6] < 0.8
    assert law.next_month == 0


def test_a_month_not_known_is_no_zero_and_a_sku_never_seen_takes_the_prior_of_all():
    units = parts(705, n=50)
    units[0, :] = np.nan
    units[1, 20:] = np.nan
    full = fit_months(units, first_month=0)
    mean = full.mean(1)[:, 0]
    assert mean[0] == pytest.approx(np.nanmean(units), rel=0.3)
    zeros = units.copy()
    zeros[1, 20:] = 0.0
    assert fit_months(zeros, first_month=0).mean(1)[1, 0] < mean[1]


def test_a_good_that_stopped_selling_is_not_never_again():
    units = np.zeros((2, 60))
    units[0, :20] = 3.0
    units[1, :] = 3.0
    mean = fit_months(units, first_month=0).mean(1)[:, 0]
    assert 0 < mean[0] < 0.5 * mean[1]


@pytest.mark.parametrize("units", [np.full((2, 3), np.nan), np.array([[1.0, -1.0]])])
def test_totals_that_cannot_be_are_refused(units):
    with pytest.raises(PlaybookError, match="month"):
        fit_months(units, first_month=0)
