"""Forecasts that obey their identities: parts add up to the whole, drivers multiply to
it.

Each series has a forecast of its own; together they contradict each other. The coherent
forecasts are those nearest to them, near being measured by the covariance of their past
errors: Wickramasuriya, Athanasopoulos & Hyndman (2019), "Optimal forecast
reconciliation for hierarchical and grouped time series through trace minimization",
JASA 114(526), eq. 9 in its projection form. Here in logarithms, so that products are
linear; sums are linearised where they stand and solved again until they hold (a
Gauss-Newton step is that projection). The covariance is shrunk towards its diagonal
(Schaefer & Strimmer 2005, Stat. Appl. Genet. Mol. Biol. 4(1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

__all__ = ["Identity", "coherent", "shrunk_covariance"]

#: largest log gap an identity may be left with, steps towards the nearest such forecasts,
#: and steps that only close what gap is left (one of few series near to nothing bends so
#: much that the nearest ones are approached slowly)
GAP, STEPS, CLOSING = 1e-13, 50, 10
#: variance of a log error that nothing is known of
UNKNOWN_VARIANCE = 0.25
#: complete rows of errors below which only variances are believed
LEAST_ROWS = 6


@dataclass(frozen=True)
class Identity:
    """The series in place `whole` is the sum of those in `parts`, or their product."""

    whole: int
    parts: tuple[int, ...]
    is_sum: bool


def coherent(base: ndarray, covariance: ndarray, identities: Sequence[Identity]) -> ndarray:
    """The logs nearest to `base` (logs of the forecasts, one per series) that obey all
    identities.

    `covariance`: of the log errors. The result is `base` itself where there are no
    identities.
    """
    if not identities:
        return base.copy()
    now = base.copy()
    for step in range(STEPS + CLOSING):
        slopes, gaps = _linearised(now, identities)
        if np.abs(gaps).max() < GAP:
            break
        start = base if step < STEPS else now
        spread = slopes @ covariance @ slopes.T
        wanted = slopes @ (start - now) + gaps
        now = start - covariance @ slopes.T @ np.linalg.solve(spread, wanted)
    return now


def _linearised(now: ndarray, identities: Sequence[Identity]) -> tuple[ndarray, ndarray]:
    """Slope of each identity's log gap to every series, and the gaps themselves."""
    slopes, gaps = np.zeros((len(identities), len(now))), np.zeros(len(identities))
    for row, identity in enumerate(identities):
        parts = np.asarray(identity.parts)
        logs = now[parts]
        slopes[row, identity.whole] = 1.0
        if identity.is_sum:
            top = logs.max()
            sizes = np.exp(logs - top)
            slopes[row, parts] = -sizes / sizes.sum()
            gaps[row] = now[identity.whole] - top - np.log(sizes.sum())
        else:
            slopes[row, parts] = -1.0
            gaps[row] = now[identity.whole] - logs.sum()
    return slopes, gaps


def shrunk_covariance(errors: ndarray) -> ndarray:
    """Covariance about zero of errors (rows: windows, columns: series; NaN where not
    known), its correlations shrunk by the amount that Schaefer and Strimmer estimate.

    A series without any error takes a wide variance; with fewer than six complete rows
    no correlation is believed.
    """
    known = np.isfinite(errors)
    n = known.sum(axis=0)
    squares = np.where(known, errors, 0.0) ** 2
    variance = np.where(
        n > 0,
        squares.sum(axis=0) / np.maximum(n, 1),
        UNKNOWN_VARIANCE,
    )
    variance = np.maximum(variance, 1e-8)
    whole = errors[known.all(axis=1)]
    if len(whole) < LEAST_ROWS:
        return np.diag(variance)
    spread = np.sqrt((whole**2).mean(axis=0))
    scaled = whole / np.where(spread > 0, spread, 1.0)
    correlation = scaled.T @ scaled / len(scaled)
    each = scaled[:, :, None] * scaled[:, None, :]
    doubt = each.var(axis=0, ddof=1) / len(scaled)
    off = ~np.eye(len(variance), dtype=bool)
    squared = (correlation[off] ** 2).sum()
    share = min(1.0, doubt[off].sum() / squared) if squared > 0 else 1.0
    mixed = np.where(off, (1 - share) * correlation, 1.0)
    return mixed * np.sqrt(np.outer(variance, variance))
