"""What a test region would have sold without the test: a weighted mix of regions that
were left alone.

Weights are non-negative and add to one (Abadie, Diamond & Hainmueller 2010, eq. 2),
fitted to the treated regions' mean before the test, every region measured from its own
mean of that time, as in Doudchenko & Imbens (2016, sect. 3) and GeoLift. Two p-values
stand side by side: moving blocks of the residuals under "no effect" (conformal:
Chernozhukov, Wüthrich & Zhu 2021, JASA 116, eq. 3 and 5) and treating every other
region in turn (placebo, Abadie et al. sect. 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

__all__ = ["LEVEL", "Counterfactual", "blend", "compare", "detectable"]

# of the conformal test and its intervals
LEVEL = 0.9
# with fewer controls the placebo test's p could not fall low enough to be read
LEAST_PLACEBOS = 8


@dataclass(frozen=True)
class Counterfactual:
    """One read test. Effects are per treated region and period, in the unit of the
    panel.

    `att` mean effect with `low`, `high` (effects the conformal test does not refuse at
    90 %; missing when the search found no end); `lift` effect over counterfactual;
    `total` over all treated regions and periods; `expected`, `observed` per period;
    `fit` the residual sd before the test; `p_conformal`; `p_placebo` (missing under 8
    controls: it could not fall below 1/8).
    """

    att: float
    low: float
    high: float
    lift: float
    total: float
    p_conformal: float
    p_placebo: float
    fit: float
    expected: ndarray
    observed: ndarray


def blend(target: ndarray, others: ndarray) -> ndarray:
    """Weights w >= 0, sum 1, least squares of `target` (periods) on `others` (periods x
    regions).
    """
    from scipy.optimize import nnls

    scale = max(np.abs(others).max(), np.abs(target).max(), 1e-300)
    a, b = others / scale, target / scale
    anchor = 1e3 * np.sqrt(len(b))
    # a heavy row holds the sum at one; normal equations halve the size when history is long
    root = np.vstack([a, np.full(a.shape[1], anchor)])
    goal = np.append(b, anchor)
    if len(root) > a.shape[1] + 1:
        q, root = np.linalg.qr(root)
        goal = q.T @ goal
    w = nnls(root, goal, maxiter=20 * a.shape[1])[0]
    return w / w.sum()


def compare(panel: ndarray, treated: ndarray, start: int) -> Counterfactual:
    """Read a test: `panel` periods x regions without gaps, `treated` marks regions,
    `start` the first test period.
    """
    others = panel[:, ~treated]
    mean = panel[:, treated].mean(1)
    expected = _counterfactual(mean, others, start)
    gap = mean - expected
    att = gap[start:].mean()
    low, high = (_end(mean, others, start, att, side) for side in (-1, 1))
    return Counterfactual(
        att=att,
        low=low,
        high=high,
        lift=att / expected[start:].mean(),
        total=gap[start:].sum() * treated.sum(),
        p_conformal=_conformal(mean, others, start, 0.0),
        p_placebo=_placebo(gap, others, start),
        fit=gap[:start].std(),
        expected=expected,
        observed=mean,
    )


def detectable(
    panel: ndarray,
    treated: ndarray,
    periods: int,
    lifts: ndarray,
    *,
    worlds: int = 40,
) -> ndarray:
    """Power by lift: the share of past windows of `periods` in which a planted lift
    would have been found.

    `panel` is history without any test. Windows start at up to `worlds` evenly spaced
    dates of the later half, each judged only on what came before it.
    """
    first = max(2 * periods, len(panel) // 2)
    starts = np.unique(np.linspace(first, len(panel) - periods, worlds).astype(int))
    others, mean = panel[:, ~treated], panel[:, treated].mean(1)
    n_found = np.zeros(len(lifts))
    for start in starts:
        until = start + periods
        for i, lift in enumerate(lifts):
            planted = mean[:until].copy()
            planted[start:] *= 1 + lift
            n_found[i] += (
                _conformal(
                    planted,
                    others[:until],
                    start,
                    0.0,
                )
                <= 1 - LEVEL
            )
    return n_found / len(starts)


def _counterfactual(mean: ndarray, others: ndarray, start: int) -> ndarray:
    level, levels = mean[:start].mean(), others[:start].mean(0)
    weights = blend(mean[:start] - level, others[:start] - levels)
    return level + (others - levels) @ weights


def _conformal(mean: ndarray, others: ndarray, start: int, effect: float) -> float:
    """The p-value of a constant `effect`: refitted on all periods as if it were true,
    blocks then move around.

    The statistic is the size of a block's summed residual, which asks about the mean
    effect and not about its shape. It is taken in units and in proportion to the level,
    and the larger p counts: in series whose swings grow with their level either one
    alone refuses too often (A/A tests on GeoLift's history: 9-12 % at a tenth, both
    together 8 %).
    """
    null = mean.copy()
    null[start:] -= effect
    expected = _counterfactual(null, others, len(null))
    n, periods = len(null), len(null) - start
    p = 0.0
    for scale in (1.0, np.maximum(np.abs(expected), 1e-12)):
        residual = (null - expected) / scale
        around = np.concatenate([[0.0], np.cumsum(np.concatenate([residual, residual]))])
        moved = np.abs(around[periods : periods + n] - around[:n])
        p = max(p, float((moved >= moved[start] * (1 - 1e-12)).mean()))
    return p


def _end(mean: ndarray, others: ndarray, start: int, att: float, side: int) -> float:
    """The last effect on one side that is not refused: outward from the estimate in
    doubling steps, then by halving. Missing where there is no end to it.
    """

    def is_inside(distance: float) -> bool:
        return (
            _conformal(
                mean,
                others,
                start,
                att + side * distance,
            )
            > 1 - LEVEL
        )

    step = max(np.std(np.diff(mean)), 1e-9 * np.abs(mean).max())
    inside, outside = 0.0, step / 4
    while is_inside(outside):
        inside, outside = outside, 2 * outside
        if outside > 64 * step:
            return np.nan
    for _ in range(7):
        middle = (inside + outside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return att + side * (inside + outside) / 2


def _placebo(gap: ndarray, others: ndarray, start: int) -> float:
    """Share of regions, the treated mean among them, whose post/pre error ratio is at
    least as large as its own.
    """
    if others.shape[1] < LEAST_PLACEBOS:
        return np.nan

    def ratio(g: ndarray) -> float:
        return np.sqrt((g[start:] ** 2).mean() / max((g[:start] ** 2).mean(), 1e-300))

    own = ratio(gap)
    larger = 0
    for j in range(others.shape[1]):
        fake = others[:, j]
        larger += ratio(fake - _counterfactual(fake, np.delete(others, j, 1), start)) >= own
    return (1 + larger) / (1 + others.shape[1])
