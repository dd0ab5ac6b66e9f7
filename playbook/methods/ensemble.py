"""Draws from a density one can evaluate for many points at once: an ensemble of walkers
that move together in numpy.

Differential evolution (ter Braak 2006, *A Markov chain Monte Carlo version of the
genetic algorithm differential evolution*, eq. 2), the stretch move (Goodman & Weare
2010, *Ensemble samplers with affine invariance*, eq. 7) and leaps under the Laplace
approximation at the mode (Tierney 1994, independence chains), mixed. A density takes
points (n x d) and returns n log densities.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

__all__ = ["Density", "climb", "nested_rhat", "walk"]

Density = Callable[[ndarray], ndarray]

# groups of walkers whose means are held against each other
GROUPS = 4


def climb(density: Density, start: ndarray) -> ndarray:
    """The mode by L-BFGS; one batched call gives the value and its central differences."""
    from scipy.optimize import minimize

    step = 1e-4 * np.eye(len(start))

    def falling(theta: ndarray) -> tuple[float, ndarray]:
        values = -density(np.vstack([theta, theta + step, theta - step]))
        values = np.where(np.isfinite(values), values, 1e12)
        return values[0], (values[1 : 1 + len(start)] - values[1 + len(start) :]) / 2e-4

    bounds = [(m - 6, m + 6) for m in start]
    return minimize(
        falling,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 200},
    ).x


def walk(
    density: Density,
    mode: ndarray,
    prior: ndarray,
    *,
    steps: int,
    rng: np.random.Generator,
) -> ndarray:
    """Draws around the mode: steps x walkers x parameters. `prior` is each parameter's
    prior standard deviation.

    The ensemble moves half by half, so that every proposal rests on walkers that stand
    still. Of six steps three are differential evolution, one is the stretch move and
    two are leaps to anywhere under a heavy-tailed Laplace approximation (Metropolis
    with an independent proposal), which forget the past at once. The first quarter is
    burnt; of the rest every third step is given.
    """
    d, tail = len(mode), 6.0
    n_half = max(2 * d, 32)
    root = _spread(density, mode, prior)
    unroot = np.linalg.inv(root)

    def anywhere(*shape: int) -> ndarray:
        heavy = np.sqrt(tail / rng.chisquare(tail, shape))[..., None]
        return mode + (rng.standard_normal((*shape, d)) * heavy) @ root.T

    def log_anywhere(theta: ndarray) -> ndarray:
        distance = (((theta - mode) @ unroot.T) ** 2).sum(1)
        return -0.5 * (tail + d) * np.log1p(distance / tail)

    walkers = anywhere(2, n_half)
    height = np.stack([density(side) for side in walkers])
    lost = ~np.isfinite(height)
    walkers[lost], height[lost] = mode, density(mode[None])[0]
    draws = []
    for step in range(steps):
        for side in (0, 1):
            here, other, tilt = walkers[side], walkers[1 - side], 0.0
            if step % 6 in (0, 2, 4):
                there = _evolved(here, other, rng, is_long=step % 18 == 0)
            elif step % 6 == 1:
                pull = (1 + rng.random((n_half, 1))) ** 2 / 2
                partner = other[rng.integers(0, n_half, n_half)]
                there = partner + pull * (here - partner)
                tilt = (d - 1) * np.log(pull[:, 0])
            else:
                there = anywhere(n_half)
                tilt = log_anywhere(here) - log_anywhere(there)
            value = density(there)
            go = np.log(rng.random(n_half)) < value - height[side] + tilt
            walkers[side, go], height[side, go] = there[go], value[go]
        if step >= steps // 4 and step % 3 == 0:
            draws.append(walkers.reshape(-1, d).copy())
    return np.stack(draws)


def _evolved(
    here: ndarray,
    other: ndarray,
    rng: np.random.Generator,
    *,
    is_long: bool,
) -> ndarray:
    """Each walker moved along the difference of two of the others (ter Braak, eq. 2); a
    long move may change the hill.
    """
    n, d = here.shape
    first = rng.integers(0, n, n)
    second = (first + rng.integers(1, n, n)) % n
    usual = 2.38 / np.sqrt(2 * d)
    length = 1.0 if is_long else usual * np.exp(0.3 * rng.standard_normal((n, 1)))
    leap = length * (other[first] - other[second])
    return here + leap + 1e-5 * rng.standard_normal((n, d))


def nested_rhat(chains: ndarray) -> ndarray:
    """R-hat of each parameter between groups of walkers (steps x walkers x parameters), the
    first half of the steps and the second apart; 1 is converged.

    A walker of a short run has not seen all of the density, however well all walkers
    together have; so the means compared are those of groups (Margossian, Hoffman, Sountsov
    et al. 2024, *Nested R-hat*, eq. 8), each within all the spread of its draws.
    """
    half = len(chains) // 2
    parts = [
        side[:, first::GROUPS]
        for side in (chains[:half], chains[half : 2 * half])
        for first in range(GROUPS)
    ]
    between = np.var([part.mean((0, 1)) for part in parts], axis=0, ddof=1)
    within = np.mean([part.var((0, 1)) for part in parts], axis=0)
    return np.sqrt(1 + between / within)


def _spread(density: Density, mode: ndarray, prior: ndarray) -> ndarray:
    """A root of the Laplace covariance at the mode, from central differences, kept near
    the prior's width.
    """
    d, h = len(mode), 2e-3
    i, j = np.triu_indices(d)
    up, across = h * np.eye(d)[i], h * np.eye(d)[j]
    value = density(
        np.vstack(
            [
                mode + up + across,
                mode + up - across,
                mode - up + across,
                mode - up - across,
            ]
        )
    )
    curve = np.zeros((d, d))
    pp, pm, mp, mm = value.reshape(4, -1)
    curve[i, j] = curve[j, i] = -(pp - pm - mp + mm) / (4 * h * h)
    size, axes = np.linalg.eigh(np.nan_to_num(curve) * np.outer(prior, prior))
    return prior[:, None] * axes / np.sqrt(np.clip(size, 0.5, None))
