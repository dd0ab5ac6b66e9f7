"""Demand of goods known by the month only, most of which sell seldom: spare parts, wholesale lists.

The weekly law of `demand` in months and without what months cannot show: a gamma-Poisson level with
discounting (Harvey & Fernandes 1989, JBES 7:407-417, eq. 2.6-2.8), started from a gamma prior that
all skus share (empirical Bayes), memories averaged by how likely each made a sku's own months and,
as a prior, those of all. The predictive law is negative binomial, zeros included, which is all
that intermittent demand needs (compare Teunter, Syntetos & Babai 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.errors import PlaybookError

__all__ = ["MonthlyLaw", "fit_months"]

#: monthly worth of what is known: three months, half a year, a year, four years, for ever
MEMORIES = (0.7, 0.85, 0.93, 0.98, 1.0)
#: months from which a month of the year is told apart
SEASON_MONTHS = 36
#: units of a month of the year, over all skus, at which its factor counts half
SEASON_UNITS = 200
LEAST_LEVEL = 1e-3


@dataclass(frozen=True)
class MonthlyLaw:
    """Demand of each sku from the next month on: gamma `shape` and `pace` of the level without
    season, `memory` (sku,) by which it widens every month, `season` (12,) around 1,
    `next_month` 0..11.
    """

    shape: ndarray
    pace: ndarray
    memory: ndarray
    season: ndarray
    next_month: int

    def factors(self, n_months: int) -> ndarray:
        """Season of the months ahead."""
        return self.season[(self.next_month + np.arange(n_months)) % 12]

    def mean(self, n_months: int) -> ndarray:
        """Expected units of the months ahead, (sku, month)."""
        return (self.shape / self.pace)[:, None] * self.factors(n_months)

    def draw(self, n_months: int, *, n_draws: int, seed: int) -> ndarray:
        """Simulated units, (sku, draw, month): one level per future, counted month by month."""
        rng = np.random.default_rng(seed)
        faded = self.shape * self.memory ** (n_months / 2)
        shape = np.maximum(faded, 0.05)[:, None]
        level = rng.standard_gamma(shape, (len(self.shape), n_draws)) / shape
        level = level * (self.shape / self.pace)[:, None]
        return rng.poisson(level[:, :, None] * self.factors(n_months)).astype(float)

    def interval(
        self, n_months: int, *, level: float = 0.8, n_draws: int = 2_000, seed: int = 0
    ) -> tuple[ndarray, ndarray]:
        """Ends of the interval of the units of all the months ahead together, whole units."""
        total = self.draw(
            n_months,
            n_draws=n_draws,
            seed=seed,
        ).sum(axis=2)
        low, high = np.quantile(
            total,
            [(1 - level) / 2, (1 + level) / 2],
            axis=1,
        )
        return np.floor(low), np.ceil(high)


def fit_months(units: ndarray, *, first_month: int) -> MonthlyLaw:
    """The law of each sku from its monthly totals.

    `units` is (sku, month), whole numbers from 0, missing where the sku was not on sale or the
    month is not known; `first_month` is the month of the year, 0..11, of the first column. A sku
    never seen gets the prior of all.

    Raises:
        PlaybookError: no month known at all, or units below 0.
    """
    known = np.isfinite(units)
    if not known.any() or (units[known] < 0).any():
        raise PlaybookError("methods.no_months", rows=int((units[known] < 0).sum()))
    months = (first_month + np.arange(units.shape[1])) % 12
    counts = np.where(
        known,
        units,
        0.0,
    )
    season = _season(
        counts,
        known,
        months,
    )
    scale = np.where(
        known,
        season[months],
        0.0,
    )
    prior = _prior(counts, scale)
    runs = [
        _filtered(
            counts,
            scale,
            prior,
            memory,
        )
        for memory in MEMORIES
    ]
    shapes, paces, scores = (np.array(part) for part in zip(*runs, strict=True))
    weight = _weights(scores)
    levels = shapes / paces
    level = (weight * levels).sum(axis=0)
    spread = (weight * (levels / paces + (levels - level) ** 2)).sum(axis=0)
    return MonthlyLaw(
        shape=level**2 / spread,
        pace=level / spread,
        memory=weight.T @ np.array(MEMORIES),
        season=season,
        next_month=int((months[-1] + 1) % 12),
    )


def _weights(scores: ndarray) -> ndarray:
    """How far each memory counts for each sku, (memory, sku): the shares of the memories among
    all skus are found with them (EM).
    """
    likely = np.exp(scores - scores.max(axis=0))
    share = np.full((len(scores), 1), 1 / len(scores))
    for _ in range(20):
        weight = share * likely
        weight /= weight.sum(axis=0)
        share = weight.mean(axis=1, keepdims=True)
    return weight


def _season(counts: ndarray, known: ndarray, months: ndarray) -> ndarray:
    """Factors of the months of the year, all skus together; 1 under three years."""
    if counts.shape[1] < SEASON_MONTHS:
        return np.ones(12)
    level = counts.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    expected = level[:, None] * known
    sold, usual = (
        np.bincount(
            months,
            part.sum(axis=0),
            12,
        )
        for part in (counts, expected)
    )
    factors = (sold + SEASON_UNITS) / (usual + SEASON_UNITS)
    return factors / factors.mean()


def _prior(counts: ndarray, scale: ndarray) -> tuple[float, float]:
    """Gamma prior of a level by moments over the skus."""
    exposure = scale.sum(axis=1)
    seen = exposure > 0
    level = counts.sum(axis=1)[seen] / exposure[seen]
    mean = max(float(level.mean()), LEAST_LEVEL)
    excess = float(((level - mean) ** 2 - mean / exposure[seen]).mean())
    shape = float(
        np.clip(
            mean**2 / max(excess, 1e-9),
            0.05,
            20.0,
        )
    )
    return shape, shape / mean


def _filtered(
    counts: ndarray, scale: ndarray, prior: tuple[float, float], memory: float
) -> tuple[ndarray, ndarray, ndarray]:
    """Shape and pace after the last month, and by sku the log-likelihood of each month
    foretold from the ones before.
    """
    from scipy.special import gammaln

    shape, pace = (np.full(len(counts), part) for part in prior)
    floor = 0.05 * np.array(prior)
    score = np.zeros(len(counts))
    for t in range(counts.shape[1]):
        on = scale[:, t] > 0
        # what is forgotten goes back to a little of the prior, so that zeros never end in never
        shape = np.where(
            on,
            memory * shape + (1 - memory) * floor[0],
            shape,
        )
        pace = np.where(
            on,
            memory * pace + (1 - memory) * floor[1],
            pace,
        )
        y, e = counts[:, t], scale[:, t]
        likely = gammaln(shape + y) - gammaln(shape) - gammaln(y + 1)
        likely += shape * np.log(pace / (pace + e)) + y * np.log(np.maximum(e, 1e-12) / (pace + e))
        score += np.where(
            on,
            likely,
            0.0,
        )
        shape, pace = shape + y * on, pace + e
    return shape, pace, score
