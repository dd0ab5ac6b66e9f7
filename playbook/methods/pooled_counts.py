"""Partial pooling of many small counts: each rate is drawn towards what the others say, the
further the less it was tried.

Empirical Bayes for Poisson counts (Robbins 1956; Clayton & Kaldor 1987, Biometrics 43,
671-681): count_i ~ Poisson(rate_i times tries_i), and the rates come from a law that all
counts together show. The law is a mixture of gamma distributions over a fixed grid of means,
its weights the likeliest ones (Laird 1978, JASA 73, 805-811), so rates may fall into groups:
words that bring nothing beside words that bring much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.methods.mixture import halved, part_chances

__all__ = ["PooledRates", "pooled_rates"]

#: means of the parts of the law, beside the mean of all; each part's spread is one over its root
MEANS = np.geomspace(0.01, 8.0, 16)
SHAPE = 4.0
#: what every part weighs before anything is seen, in rates: few rates are not taken for a law
BEFORE = 0.25
_HALVINGS = 32


@dataclass(frozen=True)
class PooledRates:
    """What is known of each rate: a mixture of gamma distributions, in columns; the rows are
    the parts of the law with their chance (`weight`), `shape` and `inverse_scale`.
    """

    weight: ndarray
    shape: ndarray
    inverse_scale: ndarray

    @property
    def mean(self) -> ndarray:
        """The expected rate of each."""
        return (self.weight * self.shape / self.inverse_scale).sum(axis=0)

    @property
    def sd(self) -> ndarray:
        """The standard deviation of what is known of each."""
        middle = self.shape / self.inverse_scale
        spread = self.shape / self.inverse_scale**2 + (middle - self.mean) ** 2
        return np.sqrt((self.weight * spread).sum(axis=0))

    def below(self, limit: ndarray) -> ndarray:
        """The chance that each rate lies below its limit."""
        from scipy.special import gammainc

        reached = gammainc(self.shape, self.inverse_scale * np.maximum(limit, 0.0))
        return (self.weight * reached).sum(axis=0)

    def quantile(self, chance: float) -> ndarray:
        """The rate that each stays below with this chance, by halving."""
        ends = np.zeros(self.shape.shape[1]), self.mean + 10 * self.sd
        return halved(self.below, chance, ends, n_halvings=_HALVINGS)


def pooled_rates(counts: ndarray, tries: ndarray) -> PooledRates:
    """Rates of `counts` over `tries`, given all of them. Counts may be fractions (a platform
    shares orders out); tries must be above nought. ValueError where nothing was counted: no
    mean is then known.
    """
    from scipy.special import gammaln

    counts, tries = np.asarray(counts, float), np.asarray(tries, float)
    if not counts.sum() > 0:
        raise ValueError("nothing was counted")
    scale = (SHAPE / (MEANS * counts.sum() / tries.sum()))[:, None]
    shape, inverse_scale = np.broadcast_to(SHAPE + counts, (len(MEANS), len(counts))), scale + tries
    log = gammaln(shape) + SHAPE * np.log(scale) - shape * np.log(inverse_scale)
    return PooledRates(part_chances(log, before=BEFORE), shape, inverse_scale)
