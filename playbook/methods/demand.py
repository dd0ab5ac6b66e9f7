"""What customers will want, from sales that stock-outs cut short: one demand law per sku, fitted to all skus at once.

Level: a gamma–Poisson filter with discounting (Harvey & Fernandes, JBES 1989) on de-seasonalised weeks. Its mean is an
exponentially weighted average in which a week counts by the share of it that could be sold, so a stock-out is *no
information* instead of *no demand*; zeros of a stocked week count in full, which is all that intermittent demand needs.
Several memories and weekly drifts run side by side and are averaged by their past one-week errors (as in Raftery et
al., Technometrics 2010). Start: the gamma prior of like items, by empirical Bayes, and the launch curve of all launches
seen, so a new item borrows and an old one does not notice. Spread: excess of squared one-week errors over Poisson
(negative binomial), sku shrunk towards skus of its size. Comparison: Teunter, Syntetos & Babai (EJOR 2011).

Arrays are (sku, week), rising in time; `exposure` is the share of the week in which the sku could be sold, 0 = unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from playbook.methods.uncensored import RAMP_WEEKS, launch_curve, like_items, season_of

__all__ = ["DemandLaw", "fit_demand", "tsb_level"]

MEMORIES, DRIFTS = (0.9, 0.96, 0.985), (0.975, 1.0, 1.0125)  # weekly: worth of what is known; growth of the level
COMMON_WEEKS, COMMON_POWER = 4, 0.8  # how far and how fully the latest weeks of the whole shop count
RUNS = np.array([(memory, drift) for memory in MEMORIES for drift in DRIFTS]).T[:, :, None]


@dataclass(frozen=True)
class DemandLaw:
    """The demand of each sku from the next week on.

    `shape`, `pace`: gamma law of the weekly level without season; mean level shape / pace, in units a week.
    `memory`: mean discount, with which the law widens by the week. `season`: (sku, 52) factors around 1.
    `dispersion`: squared coefficient of variation of weekly noise beyond Poisson. `uplift`: factor of a week wholly on
    promotion. `drift`: weekly growth of the level. `ramp`: (26,) launch curve by age, `age`: weeks since first seen
    (above 25: not a launch). `next_week`: week of the year (0–51) of the first week ahead.
    """

    shape: np.ndarray
    pace: np.ndarray
    memory: np.ndarray
    season: np.ndarray
    dispersion: np.ndarray
    uplift: np.ndarray
    drift: np.ndarray
    ramp: np.ndarray
    age: np.ndarray
    next_week: int

    def of(self, rows: np.ndarray) -> DemandLaw:
        """The law of some skus; what belongs to all of them stays."""
        own = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("ramp", "next_week")}
        return replace(self, **own)

    def level(self) -> np.ndarray:
        """Mean weekly demand without season."""
        return self.shape / self.pace

    def factors(self, n_weeks: int, promo: np.ndarray | None = None) -> np.ndarray:
        """Season × launch × drift (× promotion, given a share of promoted days) of the weeks ahead, (sku, week)."""
        step = np.arange(n_weeks)
        ahead = self.season[:, (self.next_week + step) % 52] * self.drift[:, None] ** (np.minimum(step, 12) + 1)
        ahead = ahead * self.ramp[np.minimum(self.age[:, None] + step, len(self.ramp) - 1)]
        return ahead if promo is None else ahead * (1 + (self.uplift[:, None] - 1) * promo)

    def mean(self, n_weeks: int, promo: np.ndarray | None = None) -> np.ndarray:
        """Expected demand of the weeks ahead, (sku, week)."""
        return self.level()[:, None] * self.factors(n_weeks, promo)

    def draw(self, n_weeks: int, *, n_draws: int, seed: int, promo: np.ndarray | None = None) -> np.ndarray:
        """Simulated demand, (sku, draw, week), in whole units; one level per future, noise week by week."""
        rng = np.random.default_rng(seed)
        level = self._levels(rng, n_draws, np.full(len(self.shape), n_weeks / 2))
        mean = level[:, :, None] * self.factors(n_weeks, promo)[:, None, :]
        return rng.poisson(mean * _noise(rng, self.dispersion[:, None, None], mean.shape)).astype(np.float32)

    def windows(
        self, lead_days: np.ndarray, review_days: np.ndarray | float, *, n_draws: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Demand before an order comes and from then until the next one comes, each (sku, draw), from the same futures.

        `lead_days` is (sku,) or (sku, draw): a drawn lead time makes its spread part of the order. Orders that overtake
        each other (Hayya, Xu, Ramasesh & He, Stochastic Models 1995) leave the shelf less of it than one order has.
        """
        rng = np.random.default_rng(seed)
        lead = np.asarray(lead_days, float).reshape(len(self.shape), -1) / 7
        lead = np.broadcast_to(lead, (len(self.shape), n_draws))
        after = np.broadcast_to(np.asarray(review_days, float), len(self.shape))[:, None] / 7
        level = self._levels(rng, n_draws, (lead.mean(axis=1) + after[:, 0]) / 2)
        # orders overtake each other: with one a review, Σ P(L > j)(1 − P(L > j)) = E|L − L'| / 2 of the spread is left
        gap = np.abs(np.roll(lead, 1, axis=1) - lead).mean(axis=1, keepdims=True)
        variance = np.maximum(lead.var(axis=1, keepdims=True), 1e-12)
        calm = np.sqrt(np.minimum(after * gap / 2 / variance, 1.0))
        lead = lead.mean(axis=1, keepdims=True) * (1 - calm) + lead * calm
        # stock has to last until the *next* order comes, which has a lead time of its own
        review = np.maximum(after + np.roll(lead, 1, axis=1) - lead, 0)
        n_weeks = int(np.ceil((lead + review).max())) + 1
        total = np.concatenate([np.zeros((len(lead), 1)), self.factors(n_weeks).cumsum(axis=1)], axis=1)
        upto, until = _at(total, lead), _at(total, lead + review)
        parts = []
        for weight, weeks in ((upto, lead), (until - upto, review)):
            spread = self.dispersion[:, None] / np.maximum(weeks, 1.0)
            parts.append(rng.poisson(level * weight * _noise(rng, spread, lead.shape)).astype(np.float32))
        return parts[0], parts[1]

    def _levels(self, rng: np.random.Generator, n_draws: int, weeks: np.ndarray) -> np.ndarray:
        shape = np.maximum(self.shape * self.memory**weeks, 0.05)[:, None]
        return rng.standard_gamma(shape, (len(self.shape), n_draws)) / shape * self.level()[:, None]


def fit_demand(
    units: np.ndarray,
    exposure: np.ndarray,
    week: np.ndarray,
    *,
    group: np.ndarray,
    like: np.ndarray | None = None,
    promo: np.ndarray | None = None,
) -> DemandLaw:
    """Fit every sku's demand law to weekly sales and exposure.

    `week` is the week of the year (0–51) of each column, `group` the codes within which season is shared, `like` the
    codes of like items a new sku borrows from (default: the group), `promo` the share of each week on promotion.
    A sku never exposed gets the law of its like items.
    """
    exposure = np.where(np.isfinite(units), exposure, 0.0)
    units = np.where(exposure > 0, units, 0.0)
    promo = np.zeros_like(units) if promo is None else promo
    first = np.where((exposure > 0).any(axis=1), (exposure > 0).argmax(axis=1), units.shape[1])
    ramp = launch_curve(units, exposure, first)
    age = np.where(first[:, None] < 4, RAMP_WEEKS, np.arange(units.shape[1] + 1) - first[:, None])
    age = np.clip(age, 0, RAMP_WEEKS - 1)
    climbed = exposure * ramp[age[:, :-1]]
    season, uplift = season_of(units, climbed, week, group=group, promo=promo)
    scale = climbed * season[:, week] * (1 + (uplift[:, None] - 1) * promo)
    shape0, pace0 = like_items(units, scale, group if like is None else like)
    dispersion = np.full(len(units), 0.2)
    size = units.sum(axis=1) / np.maximum(scale.sum(axis=1), 1.0)
    for runs in (RUNS[:, [4]], RUNS):  # the middle run is enough to learn the spread from
        shape, pace, score, mean, late = _filter(units, scale, shape0, pace0, dispersion, runs)
        dispersion = _dispersion(units, scale, mean, size)
    pooled = score.mean(axis=1, keepdims=True)
    weight = np.exp((score - score.max(axis=0)) / 4 + pooled - pooled.max())
    weight /= weight.sum(axis=0)
    levels = shape / pace
    level = (weight * levels).sum(axis=0)
    # what hit all skus of the shop alike shows in their sum long before it shows in one sku's level
    sold, told = units[:, -COMMON_WEEKS:].sum(), (weight * late).sum()
    level, levels = (part * ((sold + 30) / (told + 30)) ** COMMON_POWER for part in (level, levels))
    spread = (weight * (levels / pace + (levels - level) ** 2)).sum(axis=0)
    memory, drift = (weight * RUNS[0]).sum(axis=0), (weight * RUNS[1]).sum(axis=0)
    return DemandLaw(level**2 / spread, level / spread, memory, season, dispersion, uplift, drift, ramp, age[:, -1],
                     int((week[-1] + 1) % 52))


def tsb_level(units: np.ndarray, exposure: np.ndarray, *, alpha: float = 0.15, beta: float = 0.1) -> np.ndarray:
    """Teunter–Syntetos–Babai level: probability of a sale times its size, each smoothed; the comparison, (sku,)."""
    seen = exposure > 0
    hit = seen & (units > 0)
    chance = hit.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    size = np.where(hit, units, 0).sum(axis=1) / np.maximum(hit.sum(axis=1), 1)
    for t in range(units.shape[1]):
        chance = np.where(seen[:, t], chance + beta * (hit[:, t] - chance), chance)
        size = np.where(hit[:, t], size + alpha * (units[:, t] - size), size)
    return chance * size


def _filter(
    units: np.ndarray, scale: np.ndarray, shape0: np.ndarray, pace0: np.ndarray, dispersion: np.ndarray,
    runs: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Run all memories through time: last shape and pace, discounted log score (memory, sku), one-week means."""
    keep, drift = runs
    shape, pace = (np.repeat(part[None, :], runs.shape[1], axis=0) for part in (shape0, pace0))
    score, means, late = np.zeros_like(shape), np.zeros_like(units), np.zeros_like(shape)
    floor = 0.05  # never forgotten, so that a run of zeros does not end in "never again"
    floor_pace = floor * pace0 / shape0
    for t in range(units.shape[1]):
        y, e = units[:, t], scale[:, t]
        seen = e > 0
        mean = drift * shape / pace * e
        means[:, t] = mean.mean(axis=0)
        if t >= units.shape[1] - COMMON_WEEKS:
            late += mean
        information = seen / (1 + dispersion * mean)  # an overdispersed count tells less about its mean
        spread = np.log1p(dispersion * mean)  # negative binomial log-likelihood, as far as it depends on the mean
        score = 0.98 * score + seen * (y * (np.log(np.maximum(mean, 1e-9)) - spread) - spread / dispersion)
        shape = np.where(seen, keep * shape + (1 - keep) * floor, shape) + information * y
        pace = np.where(seen, keep * pace + (1 - keep) * floor_pace, pace) / drift + information * e
    return shape, pace, score, means, late


def _dispersion(
    units: np.ndarray, scale: np.ndarray, mean: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Squared coefficient of variation beyond Poisson, sku by sku, shrunk towards skus of a similar size."""
    late = (scale > 0) & (np.cumsum(scale > 0, axis=1) > 8)
    excess = np.where(late, (units - mean) ** 2 - mean, 0).sum(axis=1)
    square = np.where(late, mean**2, 0).sum(axis=1)
    size = np.clip(np.floor(np.log2(np.maximum(level, 0.05)) + 5), 0, 12).astype(int)
    pooled = (np.bincount(size, excess, 13) + 0.2) / (np.bincount(size, square, 13) + 1.0)
    typical = square / np.maximum(late.sum(axis=1), 1)
    own = (excess + 30 * typical * pooled[size]) / np.maximum(square + 30 * typical, 1e-9)
    return np.clip(np.where(square > 0, own, pooled[size]), 0.01, 6.0)


def _noise(rng: np.random.Generator, variance: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    shape = 1 / np.maximum(variance, 1e-4)
    return rng.standard_gamma(np.broadcast_to(shape, size)) / shape


def _at(total: np.ndarray, weeks: np.ndarray) -> np.ndarray:
    """Cumulative factor at a fractional number of weeks, by interpolation, (sku, draw)."""
    whole = np.floor(weeks).astype(int)
    low = np.take_along_axis(total, whole, axis=1)
    return low + (weeks - whole) * (np.take_along_axis(total, np.minimum(whole + 1, total.shape[1] - 1), axis=1) - low)
