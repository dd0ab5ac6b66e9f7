"""What a promotion added, against the days as they would have been without it.

The counterfactual of each set of skus (promoted; others of the same categories; the
rest) is a quasi-Poisson regression on every day outside the promotion and its
after-days: weekday, season (annual harmonics, once the log spans enough of them), a
slow spline and a faint quick one (a bad fortnight), and how much of the set, and of the
whole shop, *other* promotions covered that day or in the fortnight before (a sale draws
people to what is not on sale, too: left out, that lift would pass for the usual). In
the promotion: promoted above baseline = direct, same category below = cannibalised,
rest = halo. After it: all below = pulled forward. Interval: the same sum over placebo
windows of the same length, each forecast by a model that did not see it (block
cross-validation; conformal in spirit, Chernozhukov, Wüthrich & Zhu, JASA 2021), so the
width is the error this very calculation makes when nothing happens. Discounts lower the
margin earned and are in no cost again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

__all__ = [
    "PromotionEffect",
    "baseline",
    "placebo_reach",
    "promotion_effect",
]

#: annual harmonics, and the days of log they need
WAVES, SEASON_DAYS = 5, 540
KNOT_DAYS = 75
#: what lifts or lowers a shop for a few weeks: a tenth, usually
PASSING_DAYS, PASSING_SPREAD = 14, 0.1
#: placebo windows: least number for an interval, most that are tried, parts left out in turn
MIN_PLACEBOS, MAX_PLACEBOS, FOLDS = 8, 60, 3
#: days of log before the first placebo window
WARM_UP_DAYS = 28


@dataclass(frozen=True)
class PromotionEffect:
    """Units and margin above what would have been, in four parts: promoted, same
    categories, rest (each during the promotion), and everything after it.

    - actual, expected: units of the three sets during it
    - units, margin: (part,) above the baseline; margins are missing without costs
    - margin_error: (part,) standard deviation of the same sums over placebo windows
    - total_error: that of all margin together
    - placebo_bias: mean of the placebo sums as a share of the baseline
    - n_placebo: number of placebo windows
    - usual: (part,) baseline margin a day
    - base: (set, day) in units
    """

    actual: Array
    expected: Array
    units: Array
    margin: Array
    margin_error: Array
    total_error: float
    placebo_bias: float
    n_placebo: int
    usual: Array
    base: Array

    def interval(self, confidence: float = 0.9) -> tuple[float, float]:
        """Low and high of the incremental margin before the promotion's own cost;
        missing without placebo windows.
        """
        total = float(self.margin.sum())
        half = placebo_reach(self.n_placebo, confidence) * self.total_error
        return total - half, total + half


def placebo_reach(n_placebo: int, confidence: float) -> float:
    """Standard deviations to either side of an interval; missing with too few windows."""
    from scipy.stats import t as student

    if n_placebo < MIN_PLACEBOS:
        return np.nan
    return float(student.ppf((1 + confidence) / 2, n_placebo - 1))


def promotion_effect(
    units: Array,
    margin: Array,
    normal_margin: Array,
    covered: Array,
    day: Array,
    *,
    first: int,
    last: int,
    after_days: int = 14,
) -> PromotionEffect:
    """The effect of the promotion on days `first`..`last` (positions in `day`) and on
    the days after it.

    `units`, `margin` are (set, day); `normal_margin` (set,) is margin a unit outside
    promotions, `covered` (set, day) the share of the set's usual sales under other
    promotions; `day` are consecutive dates (datetime64[D]). After-days beyond the end
    of the log are not observed and not counted.
    """
    end = min(last + after_days, len(day) - 1)
    length, span = last - first + 1, end - first + 1
    during, whole = slice(first, last + 1), slice(first, end + 1)
    window = np.zeros(len(day), dtype=bool)
    window[whole] = True
    size = units.sum(axis=1)
    shop = (size @ covered) / max(size.sum(), 1e-9)
    covered = np.stack([covered, np.broadcast_to(shop, covered.shape)], axis=1)
    design = _design(day)
    fits = [baseline(u, design, c, ~window) for u, c in zip(units, covered, strict=True)]
    base = np.array([fit[0] for fit in fits])
    starts = [fit[1] for fit in fits]

    def parts(flow: Array, at: int) -> Array:
        after = flow[:, at + length : at + span].sum()
        return np.r_[flow[:, at : at + length].sum(axis=1), after]

    def earned_above(usual_units: Array) -> Array:
        return margin - usual_units * normal_margin[:, None]

    expected = base[:, whole].sum()
    off, off_margin = [], []
    for at, guess in _placebos(units, covered, design, window, span, starts):
        ratio = expected / guess[:, at : at + span].sum()
        off.append(parts(units - guess, at) * ratio)
        off_margin.append(parts(earned_above(guess), at) * ratio)
    errors = np.array(off_margin).reshape(-1, 4)
    usual = base[:, whole].mean(axis=1) * normal_margin
    return PromotionEffect(
        units[:, during].sum(axis=1),
        base[:, during].sum(axis=1),
        parts(units - base, first),
        parts(earned_above(base), first),
        _spread(errors),
        float(_spread(errors.sum(axis=1))),
        float(np.array(off).sum() / (expected * len(off))) if off else np.nan,
        len(off),
        np.r_[usual, usual.sum()],
        base,
    )


def _spread(errors: Array) -> Array:
    """Standard deviation over windows; missing where there is at most one."""
    if len(errors) < 2:
        return np.full(errors.shape[1:], np.nan)
    return np.std(errors, axis=0, ddof=1)


def baseline(
    y: Array,
    design: Array,
    covered: Array,
    known: Array,
    start: Array | None = None,
) -> tuple[Array, Array]:
    """Expected units of every day from the days in `known`, and the coefficients (to
    start the next fit from).

    `covered` is (kind, day): the share of the set, and of the shop, on promotion that
    day. Ridge keeps the spline slow, and effects that the days in `known` never show at
    none.
    """
    recent = [np.convolve(part, np.ones(14) / 14)[: len(part)] - part / 14 for part in covered]
    x = np.column_stack([design, *covered, *recent])
    penalty = np.ones(x.shape[1])
    penalty[:7], penalty[design.shape[1] :] = 1e-3, 0.1
    use = known & np.isfinite(y)
    known_x, target = x[use], y[use]
    log_mean = np.log(max(target.mean(), 1e-6)) if use.any() else -14.0

    def fitted(rows: Array) -> Array:
        return np.exp(np.clip(log_mean + rows @ beta, -30, 30))

    beta = np.zeros(x.shape[1]) if start is None else start
    spread, settled = 1.0, 3 if start is None else 0
    for step in range(20):
        mean = fitted(known_x)
        # noisier days than Poisson let the ridge speak louder
        if step == settled and len(target):
            spread = max(
                float((np.square(target - mean) / np.maximum(mean, 0.1)).mean()),
                1.0,
            )
        score = known_x.T @ (target - mean) / spread - penalty * beta
        hessian = (known_x * (mean / spread)[:, None]).T @ known_x + np.diag(penalty)
        move = np.linalg.solve(hessian, score)
        beta = beta + np.clip(move, -1.5, 1.5)
        if step > settled and np.abs(move).max() < 3e-3:
            break
    return fitted(x), beta


def _design(day: Array) -> Array:
    """Day x (weekdays, annual waves, slow spline, quick spline)."""
    number = day.astype("datetime64[D]").astype(int)
    place = np.arange(len(day))[:, None]
    weekday = np.eye(7)[(number + 3) % 7]
    n_waves = WAVES if len(day) >= SEASON_DAYS else 0
    angle = 2 * np.pi * number[:, None] / 365.25 * np.arange(1, n_waves + 1)
    slow, quick = (
        np.maximum(
            1 - np.abs(place / apart - np.arange(len(day) // apart + 2)),
            0,
        )
        for apart in (KNOT_DAYS, PASSING_DAYS)
    )
    parts = [
        weekday,
        np.cos(angle),
        np.sin(angle),
        slow,
        PASSING_SPREAD * quick,
    ]
    return np.concatenate(parts, axis=1)


def _placebos(
    units: Array,
    covered: Array,
    design: Array,
    window: Array,
    span: int,
    starts: list[Array],
) -> Iterator[tuple[int, Array]]:
    """Windows where this promotion was not, each with a baseline (set, day) that did
    not see it.
    """
    last = len(window) - span
    firsts = [s for s in range(last, WARM_UP_DAYS - 1, -span) if not window[s : s + span].any()]
    firsts = firsts[:MAX_PLACEBOS]
    for fold in range(FOLDS):
        hidden = window.copy()
        for s in firsts[fold::FOLDS]:
            hidden[s : s + span] = True
        # an empty fold needs no fit
        if firsts[fold::FOLDS]:
            sets = zip(
                units,
                covered,
                starts,
                strict=True,
            )
            guess = np.array([baseline(u, design, c, ~hidden, b)[0] for u, c, b in sets])
            yield from ((s, guess) for s in firsts[fold::FOLDS])
