"""Partial pooling of many noisy estimates: each is drawn towards its group, and groups towards
the whole, as far as the estimates themselves agree.

Normal hierarchical model with known errors (Gelman et al., "Bayesian Data Analysis", 3rd ed.,
section 5.4): estimate_i ~ N(truth_i, s_i²), truth_i ~ N(group, τ²), group ~ N(whole, ω²). The
whole is integrated out against a wide prior, the two spreads over a grid, so that what nobody
knows of them is in the result.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

__all__ = ["FEWEST", "pooled"]

#: spreads tried, of units within a group and of groups, and the spread thought likely
SPREADS = np.geomspace(
    0.05,
    3.0,
    14,
)
LIKELY_SPREAD, LIKELY_GROUPS = 0.6, 0.4
#: standard deviation of the logarithm of the spread within a group: a factor of 2 is common
SPREAD_FACTOR = 0.4
#: spread of the prior of the whole
WHOLE_SPREAD = 1.0
#: independent estimates below which their spread is unknown and nothing is pooled
FEWEST = 5


def pooled(
    estimate: ndarray, error: ndarray, group: ndarray, *, voices: ndarray, whole: float
) -> tuple[ndarray, ndarray]:
    """Mean and standard deviation of each truth, given all estimates.

    `error` are standard errors, `group` whole numbers, `whole` the prior mean. `voices`, in
    (0, 1], is how much an estimate counts for its group: estimates that rest on the same
    evidence share one voice. A missing estimate or error stays missing and says nothing. With
    fewer than `FEWEST` voices estimates and errors are given back as they are.
    """
    known = np.isfinite(estimate) & np.isfinite(error) & (error > 0)
    means, spreads = (
        np.where(
            known,
            estimate,
            np.nan,
        ),
        np.where(
            known,
            error,
            np.nan,
        ),
    )
    if voices[known].sum() < FEWEST:
        return means, spreads
    parts = estimate[known], error[known] ** 2, np.unique(group[known], return_inverse=True)[1]
    answers = [
        _given_spreads(
            *parts,
            voices[known],
            whole,
            tau**2,
            omega**2,
        )
        for tau in SPREADS
        for omega in SPREADS
    ]
    weight = np.array([answer[0] for answer in answers])
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    mean = np.array([answer[1] for answer in answers])
    variance = np.array([answer[2] for answer in answers])
    middle = weight @ mean
    means[known] = middle
    spreads[known] = np.sqrt(weight @ (variance + (mean - middle) ** 2))
    return means, spreads


def _given_spreads(
    estimate: ndarray,
    variance: ndarray,
    group: ndarray,
    voices: ndarray,
    whole: float,
    within: float,
    between: float,
) -> tuple[float, ndarray, ndarray]:
    """Log posterior of the two spreads, and mean and variance of each truth given them."""
    total = variance + within
    weight = voices / total
    size = np.bincount(group, weight)
    group_mean = np.bincount(group, weight * estimate) / size
    group_error = 1 / size
    of_group = 1 / (group_error + between)
    # the prior of the whole speaks like one more group
    prior = WHOLE_SPREAD**-2
    precision = of_group.sum() + prior
    middle = ((of_group * group_mean).sum() + prior * whole) / precision
    log = -0.5 * (voices * np.log(total) + weight * (estimate - group_mean[group]) ** 2).sum()
    log += 0.5 * (np.log(group_error) + np.log(of_group)).sum()
    log -= 0.5 * (of_group * (group_mean - middle) ** 2).sum()
    log -= 0.5 * (prior * (whole - middle) ** 2 + np.log(precision))
    # estimates are vague, and a spread of nought is what vague estimates would like best
    log -= 0.5 * (0.5 * np.log(within / LIKELY_SPREAD**2) / SPREAD_FACTOR) ** 2
    log += 0.5 * np.log(between) - np.log1p(between / LIKELY_GROUPS**2)
    keep = between * of_group
    centre = keep * group_mean + (1 - keep) * middle
    centre_error = keep * group_error + (1 - keep) ** 2 / precision
    own = within / total
    mean = own * estimate + (1 - own) * centre[group]
    return float(log), mean, own * variance + (1 - own) ** 2 * centre_error[group]
