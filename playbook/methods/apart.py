"""Changes of many counts, each held against what all of them did and drawn towards it, the
further the less was counted.

Adaptive shrinkage (Stephens 2017, "False discovery rates: a new deal", Biostatistics 18(2),
275-294): the changes come from a mixture of normals around nought with known spreads, whose
weights the counts themselves show, so a few that moved far do not loosen the rest. A change is
the logarithm of a ratio of two Poisson counts, half a count added to each (Anscombe 1956), with
the variance that goes with it. What all did is their weighted median: it is not moved by a
minority that went another way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.methods.mixture import halved, part_chances

__all__ = ["Changes", "changes_apart"]

#: spreads of a change: from none to a factor of five
SPREADS = np.array(
    [
        0.01,
        0.03,
        0.06,
        0.12,
        0.25,
        0.5,
        1.0,
        1.6,
    ]
)
#: what each spread weighs before anything is seen, in units
BEFORE = 0.5
#: error of a median over that of a mean
MEDIAN_ERROR = 1.2533
_HALVINGS = 40


@dataclass(frozen=True)
class Changes:
    """What is known of the logarithm of each change beside that of all: a mixture of normals
    in columns (`weight`, `centre`, `sd`, a row per spread); `common`, the logarithm of what
    all did, and its standard error `common_error`, which is in what is known of each.
    """

    weight: ndarray
    centre: ndarray
    sd: ndarray
    common: float
    common_error: float

    @property
    def mean(self) -> ndarray:
        """The expected logarithm of each change."""
        return (self.weight * self.centre).sum(axis=0)

    def below(self, limit: ndarray | float) -> ndarray:
        """The chance that each lies below a limit."""
        from scipy.special import ndtr

        return (self.weight * ndtr((limit - self.centre) / self.sd)).sum(axis=0)

    def quantile(self, chance: float) -> ndarray:
        """What each stays below with this chance, by halving."""
        ends = (
            (self.centre - 10 * self.sd).min(axis=0),
            (self.centre + 10 * self.sd).max(axis=0),
        )
        return halved(self.below, chance, ends, n_halvings=_HALVINGS)


def changes_apart(before: ndarray, after: ndarray) -> Changes:
    """How each count changed beside all of them. Counts of units that were counted in both
    periods, at least one unit.
    """
    before, after = np.asarray(before, float) + 0.5, np.asarray(after, float) + 0.5
    change, variance = np.log(after / before), 1 / before + 1 / after
    common, error = _median(change, 1 / (variance + SPREADS[3] ** 2))
    change, variance = change - common, variance + error**2
    total = variance + SPREADS[:, None] ** 2
    log = -0.5 * (np.log(total) + change**2 / total)
    weight = part_chances(log, before=BEFORE)
    kept = SPREADS[:, None] ** 2 / total
    return Changes(weight, kept * change, np.sqrt(kept * variance), common, error)


def _median(change: ndarray, weight: ndarray) -> tuple[float, float]:
    """The weighted median of changes, and its standard error by how far the nearer half lies."""
    order = np.argsort(change, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    middle = float(change[order][np.searchsorted(reached, 0.5)])
    away = np.abs(change - middle)
    order = np.argsort(away, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    spread = 1.4826 * away[order][np.searchsorted(reached, 0.5)]
    n = weight.sum() ** 2 / (weight**2).sum()
    return middle, float(MEDIAN_ERROR * spread / np.sqrt(n))
