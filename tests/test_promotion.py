"""The promotion review against promotions whose effect is known."""

import numpy as np
import pytest

from playbook.methods.promotion import promotion_effect

DAY = np.arange(np.datetime64("2023-11-01"), np.datetime64("2026-11-01"))
MARGIN = np.array([12.0, 11.0, 9.0])
AFTER = 14


def three_sets(seed, first, length=5, uplift=1.8, cannibal=0.12, halo=0.06, dip=0.10, quiet=False):
    """Daily units of promoted, same-category and other skus: a yearly peak, other
    promotions, one to review.
    """
    rng = np.random.default_rng(seed)
    n = len(DAY)
    number = DAY.astype(int)
    season = (
        1
        + 0.25 * np.cos(2 * np.pi * (number - 338) / 365.25)
        + 0.3 * np.exp(-0.5 * (((number - 338) % 365.25 + 182.6) % 365.25 - 182.6) ** 2 / 24**2)
    )
    weekday = np.array([1.07, 1.04, 1.02, 1.0, 0.92, 0.85, 1.1])[(number + 3) % 7]
    trend = np.exp(0.15 * np.sin(np.arange(n) / 200 + rng.uniform(0, 6)))
    plain = np.array([18.0, 45.0, 60.0])[:, None] * season * weekday * trend
    covered = np.zeros((3, n))
    for start in rng.choice(np.arange(20, n - 30), 14, replace=False):
        if abs(start - first) > 40:
            covered[:, start : start + 5] = rng.uniform(0.05, 0.3, 3)[:, None]
    plain = plain * (1 + 0.9 * covered)
    mean, on, after = (
        plain.copy(),
        slice(first, first + length),
        slice(first + length, first + length + AFTER),
    )
    if not quiet:
        mean[0, on] *= uplift
        mean[1, on] *= 1 - cannibal
        mean[2, on] *= 1 + halo
        mean[:, after] *= 1 - dip
    units = rng.poisson(mean * rng.gamma(60, 1 / 60, (1, n))).astype(float)
    earned = units * MARGIN[:, None]
    earned[0, on] -= (
        0 if quiet else units[0, on] * 4.0
    )  # the discount shrinks the margin of what is sold
    true = ((mean - plain) * MARGIN[:, None]).sum() - (0 if quiet else (mean[0, on] * 4.0).sum())
    return units, earned, covered, true


def review(seed, first, **how):
    units, earned, covered, true = three_sets(seed, first, **how)
    found = promotion_effect(
        units, earned, MARGIN, covered, DAY, first=first, last=first + 4, after_days=AFTER
    )
    return found, true


def test_by_rule_the_interval_covers_the_true_margin():
    hit = []
    for seed in range(24):
        found, true = review(seed, 200 + 33 * seed)
        low, high = found.interval(0.9)
        hit.append(low <= true <= high)
    assert np.mean(hit) >= 0.8


def test_parts_have_their_signs_and_the_after_days_count():
    found, _ = review(3, 600, uplift=2.2, cannibal=0.3, halo=0.2, dip=0.25)
    assert found.units[0] > 0 > found.units[1]
    assert found.units[3] < 0
    assert found.actual - found.expected == pytest.approx(found.units[:3])


def test_before_and_after_is_wrong_on_a_quiet_peak_where_the_baseline_is_not():
    first = int(np.flatnonzero(np.datetime64("2025-11-28") == DAY)[0])
    found, _ = review(5, first, quiet=True)
    units, _, _, _ = three_sets(5, first, quiet=True)
    tempting = units[:, first : first + 5].sum() / units[:, first - 33 : first - 28].sum() - 1
    assert tempting > 0.15
    assert abs(found.units[:3].sum() / found.expected.sum()) < 0.12
    low, high = found.interval()
    assert low < 0 < high


def test_days_not_lived_yet_are_not_counted_and_missing_costs_stay_missing():
    units, earned, covered, _ = three_sets(7, len(DAY) - 5)
    end = len(DAY) - 1
    found = promotion_effect(
        units, earned * np.nan, MARGIN * np.nan, covered, DAY, first=end - 4, last=end
    )
    assert found.units[3] == 0
    assert np.isnan(found.interval()).all()
    assert found.units[0] > 0


def test_a_log_too_short_for_placebos_gives_no_interval():
    units, earned, covered, _ = three_sets(8, 600)
    part = slice(570, 620)
    found = promotion_effect(
        units[:, part], earned[:, part], MARGIN, covered[:, part], DAY[part], first=30, last=34
    )
    assert np.isnan(found.interval()).all()
