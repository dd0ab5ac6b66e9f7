"""What weekly sales do by themselves: the columns to remove, and the texture of what is
left.

Noise is an AR(1) echo plus a demand that wanders as a random walk; both are chosen by
restricted likelihood (Patterson & Thompson 1971), which does not mistake the baseline's
own coefficients for quiet.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

__all__ = ["ECHO", "WANDER", "baseline_design", "covariance", "texture", "whitener"]

# variance of a week's step in latent demand over the noise variance
WANDER = (0.0, 1e-3, 3e-3, 0.01, 0.03, 0.1)
# lag-one correlation of the noise
ECHO = (0.0, 0.2, 0.4, 0.6, 0.8)
# weeks from which each harmonic of the year is fitted
HARMONICS = (52, 52, 88)


def baseline_design(
    n_weeks: int,
    *,
    first_day_of_year: int = 1,
    controls: ndarray | None = None,
) -> ndarray:
    """Columns of the baseline: level, trend, season (two harmonics from a year on,
    three from 20 months), controls.

    Weeks x columns; `first_day_of_year` (1..366) sets the season's phase only. Controls
    that never move are left out.
    """
    week = np.arange(n_weeks)
    columns = [np.ones(n_weeks), (week - week.mean()) / max(n_weeks, 1)]
    angle = 2 * np.pi * (first_day_of_year + 7 * week) / 365.25
    for k, least in enumerate(HARMONICS, 1):
        if n_weeks >= least:
            columns += [np.sin(k * angle), np.cos(k * angle)]
    if controls is not None:
        extra = controls.reshape(n_weeks, -1)
        extra = extra[:, extra.std(0) > 0]
        columns += list(((extra - extra.mean(0)) / extra.std(0)).T)
    return np.column_stack(columns)


def whitener(design: ndarray, when: ndarray, wander: float, echo: float) -> tuple[ndarray, int]:
    """The map that removes the baseline and leaves independent noise of one size, and
    its degrees of freedom.
    """
    inverse = np.linalg.inv(np.linalg.cholesky(covariance(when, wander, echo)))
    scale = np.sqrt((design**2).mean(0))
    left, size, _ = np.linalg.svd(
        inverse @ (design / np.where(scale > 0, scale, 1)),
        full_matrices=False,
    )
    left = left[:, size > 1e-8 * size[0]]
    return inverse - left @ (left.T @ inverse), len(when) - left.shape[1]


def texture(residual: ndarray, design: ndarray, when: ndarray) -> tuple[float, float]:
    """The wander and echo under which the residual is likeliest, baseline integrated
    out (restricted likelihood).
    """
    best, chosen = -np.inf, (0.0, 0.0)
    for wander in WANDER:
        for echo in ECHO:
            root = np.linalg.cholesky(covariance(when, wander, echo))
            inverse = np.linalg.inv(root)
            q, r = np.linalg.qr(inverse @ design)
            white = inverse @ residual
            left = white - q @ (q.T @ white)
            value = (
                -np.log(np.diag(root)).sum()
                - np.log(np.abs(np.diag(r)) + 1e-300).sum()
                - 0.5 * (len(when) - design.shape[1]) * np.log((left**2).sum())
            )
            if value > best + 1e-9:
                best, chosen = value, (wander, echo)
    return chosen


def covariance(when: ndarray, wander: float, echo: float) -> ndarray:
    """Covariance between weeks of the noise, its own variance one: an echo that fades
    plus a walk since week 0.
    """
    apart = np.abs(when[:, None] - when[None, :])
    return echo**apart + wander * np.minimum(when[:, None], when[None, :])
