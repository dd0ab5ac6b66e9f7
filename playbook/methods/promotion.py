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

__all__ = ["PromotionEffect", "promotion_effect", "baseline"]

WAVES, KNOT_DAYS = 5, 75
PASSING_DAYS, PASSING_SPREAD = (
    14,
    0.1,
)  # what lifts or lowers a shop for a few weeks: a tenth, usually


@dataclass(frozen=True)
class PromotionEffect:
    """Units and margin above what would have been, in four parts: promoted, same
    categories, rest (each during the promotion), and everything after it. `actual`,
    `expected` are units of the three sets during it. `error` and `margin_error` (part,)
    are standard deviations of the same sums over placebo windows and `total_error` that
    of all margin together; `placebo_bias` is their mean as a share of the baseline,
    `n_placebo` their number. `usual` (part,) is baseline margin a day. Margins are
    missing without costs. `base` is (set, day) in units.
    """

    actual: np.ndarray
    expected: np.ndarray
    units: np.ndarray
    margin: np.ndarray
    error: np.ndarray
    margin_error: np.ndarray
    total_error: float
    placebo_bias: float
    n_placebo: int
    usual: np.ndarray
    base: np.ndarray

    def interval(self, confidence: float = 0.9) -> tuple[float, float]:
        """Low and high of the incremental margin before the promotion's own cost;
        missing without placebo windows.
        """
        from scipy.stats import t as student

        if self.n_placebo < 8:
            return np.nan, np.nan
        wide = float(student.ppf((1 + confidence) / 2, self.n_placebo - 1)) * self.total_error
        return float(self.margin.sum()) - wide, float(self.margin.sum()) + wide


def promotion_effect(
    units: np.ndarray,
    margin: np.ndarray,
    normal_margin: np.ndarray,
    covered: np.ndarray,
    day: np.ndarray,
    *,
    first: int,
    last: int,
    after_days: int = 14,
    folds: int = 3,
) -> PromotionEffect:
    """The effect of the promotion on days `first`..`last` (positions in `day`) and on
    the days after it.

    `units`, `margin` are (set, day); `normal_margin` (set,) is margin a unit outside
    promotions, `covered` (set, day) the share of the set's usual sales under other
    promotions; `day` are consecutive dates (datetime64[D]). After-days beyond the end
    of the log are not observed and not counted.
    """
    n_days = len(day)
    end = min(last + after_days, n_days - 1)
    window = np.zeros(n_days, dtype=bool)
    window[first : end + 1] = True
    design = _design(day, n_days)
    size = units.sum(axis=1)
    shop = (size @ covered) / max(size.sum(), 1e-9)
    covered = np.stack([covered, np.broadcast_to(shop, covered.shape)], axis=1)
    fits = [baseline(u, design, c, ~window) for u, c in zip(units, covered, strict=True)]
    base, beta = np.array([fit[0] for fit in fits]), [fit[1] for fit in fits]
    length, span = last - first + 1, end - first + 1
    parts = lambda flow, at: np.r_[
        flow[:, at : at + length].sum(axis=1), flow[:, at + length : at + span].sum()
    ]
    gain = margin - base * normal_margin[:, None]
    off, off_money, scale = [], [], []
    for s, guess in _placebos(units, covered, design, window, span, folds, beta):
        off.append(parts(units - guess, s))
        off_money.append(parts(margin - guess * normal_margin[:, None], s))
        scale.append(guess[:, s : s + span].sum())
    ratio = base[:, first : end + 1].sum() / np.array(scale)[:, None] if scale else np.empty((0, 1))
    off, off_money = (np.array(part).reshape(-1, 4) * ratio for part in (off, off_money))
    spread = lambda part: (
        np.std(part, axis=0, ddof=1) if len(part) > 1 else np.full(part.shape[1:], np.nan)
    )
    during = slice(first, last + 1)
    usual = base[:, first : end + 1].mean(axis=1) * normal_margin
    return PromotionEffect(
        units[:, during].sum(axis=1),
        base[:, during].sum(axis=1),
        parts(units - base, first),
        parts(gain, first),
        spread(off),
        spread(off_money),
        float(spread(off_money.sum(axis=1))),
        float(off.sum() / (base[:, first : end + 1].sum() * len(off))) if len(off) else np.nan,
        len(off),
        np.r_[usual, usual.sum()],
        base,
    )


def baseline(
    y: np.ndarray,
    design: np.ndarray,
    covered: np.ndarray,
    known: np.ndarray,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Expected units of every day from the days in `known`, and the coefficients (to
    start the next fit from).

    `covered` is (kind, day): the share of the set, and of the shop, on promotion that
    day. Ridge keeps the spline slow, and effects that the days in `known` never show at
    none.
    """
    recent = [np.convolve(part, np.ones(14) / 14)[: len(part)] - part / 14 for part in covered]
    x = np.column_stack([design, *covered, *recent])
    penalty = np.r_[np.full(7, 1e-3), np.ones(design.shape[1] - 7), np.full(2 * len(covered), 0.1)]
    use = known & np.isfinite(y)
    seen, target = x[use], y[use]
    log_mean = np.log(max(target.mean(), 1e-6)) if use.any() else -14.0
    beta = np.zeros(x.shape[1]) if start is None else start
    spread, settled = 1.0, 3 if start is None else 0
    for step in range(20):
        fitted = np.exp(np.clip(log_mean + seen @ beta, -30, 30))
        if step == settled:  # noisier days than Poisson let the ridge speak louder
            spread = max(float((np.square(target - fitted) / np.maximum(fitted, 0.1)).mean()), 1.0)
        score = seen.T @ (target - fitted) / spread - penalty * beta
        move = np.linalg.solve(
            (seen * (fitted / spread)[:, None]).T @ seen + np.diag(penalty), score
        )
        beta = beta + np.clip(move, -1.5, 1.5)
        if step > settled and np.abs(move).max() < 3e-3:
            break
    return np.exp(np.clip(log_mean + x @ beta, -30, 30)), beta


def _design(day: np.ndarray, n_days: int) -> np.ndarray:
    number = day.astype("datetime64[D]").astype(int)
    weekday = np.eye(7)[(number + 3) % 7]
    angle = 2 * np.pi * number[:, None] / 365.25 * np.arange(1, WAVES + 1)
    waves = (
        np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        if n_days >= 540
        else np.empty((n_days, 0))
    )
    tents = [
        np.maximum(
            1 - np.abs(np.arange(n_days)[:, None] / apart - np.arange(n_days // apart + 2)), 0
        )
        for apart in (KNOT_DAYS, PASSING_DAYS)
    ]
    return np.concatenate([weekday, waves, tents[0], PASSING_SPREAD * tents[1]], axis=1)


def _placebos(
    units: np.ndarray,
    covered: np.ndarray,
    design: np.ndarray,
    window: np.ndarray,
    span: int,
    folds: int,
    start: list[np.ndarray],
) -> Iterator[tuple[int, np.ndarray]]:
    """Windows where this promotion was not, each with a baseline (set, day) that did
    not see it.
    """
    n_days = units.shape[1]
    firsts = [s for s in range(n_days - span, 27, -span) if not window[s : s + span].any()][:60]
    for fold in range(min(folds, len(firsts))):
        hidden = window.copy()
        for s in firsts[fold::folds]:
            hidden[s : s + span] = True
        sets = zip(units, covered, start, strict=True)
        guess = np.array([baseline(u, design, c, ~hidden, beta)[0] for u, c, beta in sets])
        yield from ((s, guess) for s in firsts[fold::folds])
