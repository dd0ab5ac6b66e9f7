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

__all__ = ["Density", "climb", "split_rhat", "walk"]

Density = Callable[[np.ndarray], np.ndarray]


def climb(density: Density, start: np.ndarray) -> np.ndarray:
    """The mode by L-BFGS; one batched call gives the value and its central differences."""
    from scipy.optimize import minimize

    step = 1e-4 * np.eye(len(start))

    def falling(theta: np.ndarray) -> tuple[float, np.ndarray]:
        values = -density(np.vstack([theta, theta + step, theta - step]))
        values = np.where(np.isfinite(values), values, 1e12)
        return values[0], (values[1 : 1 + len(start)] - values[1 + len(start) :]) / 2e-4

    bounds = [(m - 6, m + 6) for m in start]
    return minimize(
        falling, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}
    ).x


def walk(
    density: Density, mode: np.ndarray, prior: np.ndarray, *, steps: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws around the mode: steps x walkers x parameters. `prior` is each parameter's
    prior standard deviation.

    The ensemble moves half by half, so that every proposal rests on walkers that stand
    still. Of six steps three are differential evolution, one is the stretch move and
    two are leaps to anywhere under a heavy-tailed Laplace approximation (Metropolis
    with an independent proposal), which forget the past at once. The first quarter is
    burnt; of the rest every third step is given.
    """
    n_half = max(2 * len(mode), 32)
    leap = _Leap(mode, _spread(density, mode, prior), rng)
    walkers = leap.drawn((2, n_half))
    height = np.stack([density(side) for side in walkers])
    lost = ~np.isfinite(height)
    walkers[lost], height[lost] = mode, density(mode[None])[0]
    draws = []
    for step in range(steps):
        for side in (0, 1):
            here, other = walkers[side], walkers[1 - side]
            if step % 6 in (0, 2, 4):
                there, tilt = _evolved(here, other, rng, is_long=step % 18 == 0), 0.0
            elif step % 6 == 1:
                there, tilt = _stretched(here, other, rng)
            else:
                there = leap.drawn((n_half,))
                tilt = leap.log_density(here) - leap.log_density(there)
            value = density(there)
            accepted = np.log(rng.random(n_half)) < value - height[side] + tilt
            walkers[side, accepted] = there[accepted]
            height[side, accepted] = value[accepted]
        if step >= steps // 4 and step % 3 == 0:
            draws.append(walkers.reshape(-1, len(mode)).copy())
    return np.stack(draws)


class _Leap:
    """The Laplace approximation with the tails of Student's t: drawn from, and its log
    density up to a constant.
    """

    tail = 6.0

    def __init__(self, mode: np.ndarray, root: np.ndarray, rng: np.random.Generator) -> None:
        self.mode, self.root, self.rng = mode, root, rng
        self.inverse = np.linalg.inv(root)

    def drawn(self, shape: tuple[int, ...]) -> np.ndarray:
        heavy = np.sqrt(self.tail / self.rng.chisquare(self.tail, shape))[..., None]
        normal = self.rng.standard_normal((*shape, len(self.mode)))
        return self.mode + (normal * heavy) @ self.root.T

    def log_density(self, theta: np.ndarray) -> np.ndarray:
        distance = (((theta - self.mode) @ self.inverse.T) ** 2).sum(1)
        return -0.5 * (self.tail + len(self.mode)) * np.log1p(distance / self.tail)


def _evolved(
    here: np.ndarray, other: np.ndarray, rng: np.random.Generator, *, is_long: bool
) -> np.ndarray:
    """Each walker moved along the difference of two of the others (ter Braak, eq. 2); a
    long move may change the hill.
    """
    n, d = here.shape
    first = rng.integers(0, n, n)
    second = (first + rng.integers(1, n, n)) % n
    length: np.ndarray | float = 1.0
    if not is_long:
        length = 2.38 / np.sqrt(2 * d) * np.exp(0.3 * rng.standard_normal((n, 1)))
    jitter = 1e-5 * rng.standard_normal((n, d))
    return here + length * (other[first] - other[second]) + jitter


def _stretched(
    here: np.ndarray, other: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Each walker pulled along the line to one of the others, and the log of what that
    does to the volume (Goodman & Weare, eq. 7).
    """
    n, d = here.shape
    pull = (1 + rng.random((n, 1))) ** 2 / 2
    partner = other[rng.integers(0, n, n)]
    return partner + pull * (here - partner), (d - 1) * np.log(pull[:, 0])


def split_rhat(chains: np.ndarray) -> np.ndarray:
    """Gelman & Rubin's R-hat of each parameter over the walkers' halves (steps x
    walkers x parameters); 1 is mixed.
    """
    half = len(chains) // 2
    groups = np.concatenate([chains[:half], chains[half : 2 * half]], axis=1)
    within, between = groups.var(0, ddof=1).mean(0), groups.mean(0).var(0, ddof=1)
    return np.sqrt((half - 1) / half + between / within)


def _spread(density: Density, mode: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """A root of the Laplace covariance at the mode, from central differences, kept near
    the prior's width.
    """
    d, h = len(mode), 2e-3
    i, j = np.triu_indices(d)
    up, across = h * np.eye(d)[i], h * np.eye(d)[j]
    value = density(
        np.vstack([mode + up + across, mode + up - across, mode - up + across, mode - up - across])
    )
    curve = np.zeros((d, d))
    pp, pm, mp, mm = value.reshape(4, -1)
    curve[i, j] = curve[j, i] = -(pp - pm - mp + mm) / (4 * h * h)
    size, axes = np.linalg.eigh(np.nan_to_num(curve) * np.outer(prior, prior))
    return prior[:, None] * axes / np.sqrt(np.clip(size, 0.5, None))
