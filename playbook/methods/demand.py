"""What customers will want, from sales that stock-outs cut short: one demand law per
sku, fitted to all skus at once.

Level: a gamma–Poisson filter with discounting (Harvey & Fernandes, JBES 1989) on weeks
freed of season, promotion, price and what lifted or lowered the whole shop. Its mean is
an exponentially weighted average in which a week counts by the share of it that could
be sold, so a stock-out is *no information* instead of *no demand*; zeros of a stocked
week count in full, which is all that intermittent demand needs. Several memories and
weekly drifts run side by side and are averaged by their past one-week errors (as in
Raftery et al., Technometrics 2010). Start: the gamma prior of like items, by empirical
Bayes, and the launch curve of all launches seen, so a new item borrows and an old one
does not notice. Noise: excess over Poisson (negative binomial) of ordinary weeks around
the level of the weeks beside them, sku shrunk towards skus of its size, since a moved
level is no noise; the forecast is wider where past one-week errors were wider than
level and noise explain. Comparison: Teunter, Syntetos & Babai (EJOR 2011).

Arrays are (sku, week), rising in time; `exposure` is the share of the week in which the
sku could be sold, 0 = unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy import ndarray

from playbook.methods.elasticity import price_response
from playbook.methods.uncensored import (
    RAMP_WEEKS,
    launch_curve,
    level_around,
    like_items,
    promotion_lift,
    season_of,
    shop_weeks,
)

__all__ = ["DemandLaw", "SalesWeeks", "fit_demand", "tsb_level"]

MEMORIES = (0.85, 0.93, 0.98)  # weekly: worth of what is known
DRIFTS = (0.985, 1.0, 1.01)  # weekly growth of the level
COMMON_WEEKS = 2  # how far the latest weeks of the whole shop count
COMMON_POWER = 0.6  # how fully they do
QUIET = 0.05  # a week without promotion: at most this share of it
NEAR_WEEKS = 8  # half the window of the level that noise is measured against
AHEAD_WEEKS = 6  # a lead time and a review: how far prices may have moved by then
FLOOR = 0.05  # never forgotten, so that a run of zeros does not end in "never again"
OPEN_DAYS = 0.999  # share of the shop's open days from which a week was sold in full
SILENCE = 0.01  # chance under which a level does not leave so many weeks without a sale
SCORE_MEMORY = 0.98  # weekly: worth of past one-week errors
TSB_CHANCE, TSB_SIZE = 0.1, 0.15  # smoothing of the comparison
RUNS = np.array([(memory, drift) for memory in MEMORIES for drift in DRIFTS]).T[:, :, None]


@dataclass(frozen=True)
class SalesWeeks:
    """What a law is fitted to; arrays are (sku, week).

    `week` is the week of the year (0–51) of each column, `group` the codes within which
    season is shared, `like` the codes of like items a new sku borrows from (default:
    the group), `promo` the share of each week on promotion (by depth, where known: 1 is
    a whole week of the usual one), `price` the regular price asked (missing: unknown).
    """

    units: ndarray
    exposure: ndarray
    week: ndarray
    group: ndarray
    like: ndarray | None = None
    promo: ndarray | None = None
    price: ndarray | None = None


@dataclass(frozen=True)
class DemandLaw:
    """The demand of each sku from the next week on.

    `shape`, `pace`: gamma law of the weekly level without season; mean level shape /
    pace, in units a week. `memory`: mean discount, with which the law widens by the
    week. `season`: (sku, 52) factors around 1. `dispersion`: squared coefficient of
    variation of weekly noise beyond Poisson. `uplift`: factor of a week wholly on
    promotion. `drift`: weekly growth of the level. `ramp`: (26,) launch curve by age,
    `age`: weeks since first seen (above 25: not a launch). `next_week`: week of the
    year (0–51) of the first week ahead. `response`: price elasticity of all skus
    together (0: no prices known). `plan`: promotion of the weeks ahead as far as
    planned (sku, week).
    """

    shape: ndarray
    pace: ndarray
    memory: ndarray
    season: ndarray
    dispersion: ndarray
    uplift: ndarray
    drift: ndarray
    ramp: ndarray
    age: ndarray
    next_week: int
    response: float = 0.0
    plan: ndarray | None = None

    def of(self, rows: ndarray) -> DemandLaw:
        """The law of some skus; what belongs to all of them stays."""
        shared = ("ramp", "next_week", "response") + (("plan",) if self.plan is None else ())
        own = [f.name for f in fields(self) if f.name not in shared]
        return replace(self, **{name: getattr(self, name)[rows] for name in own})

    def later(self, weeks: int) -> DemandLaw:
        """The same law some weeks on, with nothing learnt in between."""
        faded = self.memory**weeks
        return replace(
            self,
            shape=self.shape * faded,
            pace=self.pace * faded / self.drift**weeks,
            age=self.age + weeks,
            next_week=(self.next_week + weeks) % 52,
            plan=None if self.plan is None else self.plan[:, weeks:],
        )

    def level(self) -> ndarray:
        """Mean weekly demand without season."""
        return self.shape / self.pace

    def factors(
        self,
        n_weeks: int,
        promo: ndarray | None = None,
        price: ndarray | None = None,
    ) -> ndarray:
        """Season × launch × drift × promotion × price of the weeks ahead, (sku, week).

        `promo` as in the fit (default: what is planned), `price` over today's (default:
        as today).
        """
        step = np.arange(n_weeks)
        growth = self.drift[:, None] ** (np.minimum(step, 12) + 1)
        ahead = self.season[:, (self.next_week + step) % 52] * growth
        ahead = ahead * self.ramp[np.minimum(self.age[:, None] + step, len(self.ramp) - 1)]
        if promo is None and self.plan is not None:
            promo = np.pad(self.plan, ((0, 0), (0, n_weeks)))[:, :n_weeks]
        if promo is not None:
            ahead = ahead * promotion_lift(self.uplift, promo)
        return ahead if price is None else ahead * price**-self.response

    def mean(
        self,
        n_weeks: int,
        promo: ndarray | None = None,
    ) -> ndarray:
        """Expected demand of the weeks ahead, (sku, week)."""
        return self.level()[:, None] * self.factors(n_weeks, promo)

    def draw(
        self,
        n_weeks: int,
        *,
        n_draws: int,
        seed: int,
        promo: ndarray | None = None,
        price: ndarray | None = None,
    ) -> ndarray:
        """Simulated demand, (sku, draw, week), in whole units; one level per future,
        noise week by week.
        """
        rng = np.random.default_rng(seed)
        level = self._levels(rng, n_draws, np.full(len(self.shape), n_weeks / 2))
        mean = level[:, :, None] * self.factors(n_weeks, promo, price)[:, None, :]
        return _counts(rng, mean, self.dispersion[:, None, None])

    def windows(
        self,
        lead_days: ndarray,
        review_days: ndarray | float,
        *,
        n_draws: int,
        seed: int,
    ) -> tuple[ndarray, ndarray]:
        """Demand before an order comes and from then until the next one comes, each
        (sku, draw), from the same futures.

        `lead_days` is (sku,) or (sku, draw): a drawn lead time makes its spread part of
        the order. Orders that overtake each other (Hayya, Xu, Ramasesh & He, Stochastic
        Models 1995) leave the shelf less of it than one order has.
        """
        rng = np.random.default_rng(seed)
        lead = np.asarray(lead_days, float).reshape(len(self.shape), -1) / 7
        lead = np.broadcast_to(lead, (len(self.shape), n_draws))
        after = np.broadcast_to(np.asarray(review_days, float), len(self.shape))[:, None] / 7
        level = self._levels(rng, n_draws, (lead.mean(axis=1) + after[:, 0]) / 2)
        lead = _without_overtaking(lead, after)
        # stock has to last until the *next* order comes, which has a lead time of its own
        review = np.maximum(after + np.roll(lead, 1, axis=1) - lead, 0)
        n_weeks = int(np.ceil((lead + review).max())) + 1
        ahead = self.factors(n_weeks).cumsum(axis=1)
        total = np.concatenate([np.zeros((len(lead), 1)), ahead], axis=1)
        before, until = _at(total, lead), _at(total, lead + review)
        first, then = (
            _counts(
                rng,
                level * factor,
                self.dispersion[:, None] / np.maximum(weeks, 1.0),
            )
            for factor, weeks in ((before, lead), (until - before, review))
        )
        return first, then

    def _levels(
        self,
        rng: np.random.Generator,
        n_draws: int,
        weeks: ndarray,
    ) -> ndarray:
        shape = np.maximum(self.shape * self.memory**weeks, 0.05)[:, None]
        return rng.standard_gamma(shape, (len(self.shape), n_draws)) / shape * self.level()[:, None]


def fit_demand(
    weeks: SalesWeeks,
    *,
    plan: ndarray | None = None,
    is_price_planned: bool = False,
) -> DemandLaw:
    """Fit every sku's demand law to weekly sales and exposure.

    `plan` holds the promotions ahead (without it they are part of the noise). The level
    is that at the last price, and as unsure as prices move unless `is_price_planned`. A
    sku never exposed gets the law of its like items.
    """
    exposure = np.where(np.isfinite(weeks.units), weeks.exposure, 0.0)
    units = np.where(exposure > 0, weeks.units, 0.0)
    promo = np.zeros_like(units) if weeks.promo is None else weeks.promo
    quiet = promo < QUIET
    on_sale, n_weeks = exposure > 0, units.shape[1]
    first = np.where(on_sale.any(axis=1), on_sale.argmax(axis=1), n_weeks)
    ramp, first = launch_curve(units, exposure, first), first[:, None]
    age = np.where(first < 4, RAMP_WEEKS, np.arange(n_weeks + 1) - first)
    age = np.clip(age, 0, RAMP_WEEKS - 1)
    scale, response, unsure = exposure * ramp[age[:, :-1]], 0.0, 0.0
    if weeks.price is not None:
        response, effect = price_response(units, scale * quiet, weeks.price)
        scale = scale * effect
        late = np.log(effect[:, -52:])
        moves = np.square(late[:, AHEAD_WEEKS:] - late[:, :-AHEAD_WEEKS]).sum() / late.size
        unsure = 0.0 if is_price_planned else moves
    season, uplift = season_of(units, scale, weeks.week, group=weeks.group, promo=promo)
    lift = promotion_lift(uplift, promo)
    scale = scale * season[:, weeks.week] * lift
    expected = level_around(units, scale, half_width=26) * scale
    tracked = scale * shop_weeks(units, expected)
    prior = like_items(units, tracked, weeks.group if weeks.like is None else weeks.like)
    # promotions nobody plans for are noise, planned ones are not
    plain = tracked / lift if plan is None else np.where(quiet, tracked, 0.0)
    open_share = exposure / np.maximum(exposure.max(axis=0, initial=0.0), 1e-9)
    whole = np.where(open_share > OPEN_DAYS, plain, 0.0)
    size = units.sum(axis=1) / np.maximum(tracked.sum(axis=1), 1.0)
    noise = _dispersion(*_excess(units, whole), size)
    runs = _filter(units, tracked, open_share, whole, *prior, noise)
    # what the level's own spread leaves of past errors
    dispersion = np.maximum(noise, _dispersion(*runs[3:], size))
    # what will hit all skus in the weeks ahead, no sku's own past can show
    shop = (units.sum(axis=0) + 200) / (expected.sum(axis=0) + 200)
    level = _mixture(*runs[:3], (units, scale, quiet), unsure + np.var(shop[-104:]))
    most = most_after_silence(units, scale, dispersion)
    level["pace"] = np.maximum(level["pace"], level["shape"] / most)
    next_week = int((weeks.week[-1] + 1) % 52)
    return DemandLaw(
        **level,
        season=season,
        dispersion=dispersion,
        uplift=uplift,
        ramp=ramp,
        age=age[:, -1],
        next_week=next_week,
        response=response,
        plan=plan,
    )


def most_after_silence(units: ndarray, scale: ndarray, dispersion: ndarray) -> ndarray:
    """The highest weekly level that the weeks since the last unit sold leave a chance, (sku,).

    A negative binomial week of mean m s and squared variation d holds nothing with chance
    (1 + d m s) ** (-1 / d); k such weeks in a row do so once in 1 / SILENCE times at
    m = (SILENCE ** (-d / k) - 1) / (d s). A filter that weighs a count by what its own level
    leads it to expect learns a large order at once and unlearns it never. `scale` as in the
    fit (0: could not be sold); no limit where the last week that could be sold in holds a
    sale.
    """
    is_silent = np.cumsum((units > 0)[:, ::-1], axis=1)[:, ::-1] == 0
    open_weeks = is_silent & (scale > 0)
    n = open_weeks.sum(axis=1)
    mean_scale = np.where(open_weeks, scale, 0.0).sum(axis=1) / np.maximum(n, 1)
    power = np.minimum(-np.log(SILENCE) * dispersion / np.maximum(n, 1), 50.0)
    return np.where(n > 0, np.expm1(power) / np.maximum(dispersion * mean_scale, 1e-9), np.inf)


def tsb_level(units: ndarray, exposure: ndarray) -> ndarray:
    """Teunter–Syntetos–Babai level: probability of a sale times its size, each
    smoothed; the comparison, (sku,).
    """
    on_sale = exposure > 0
    hit = on_sale & (units > 0)
    chance = hit.sum(axis=1) / np.maximum(on_sale.sum(axis=1), 1)
    size = np.where(hit, units, 0).sum(axis=1) / np.maximum(hit.sum(axis=1), 1)
    for t in range(units.shape[1]):
        chance = np.where(
            on_sale[:, t],
            chance + TSB_CHANCE * (hit[:, t] - chance),
            chance,
        )
        size = np.where(hit[:, t], size + TSB_SIZE * (units[:, t] - size), size)
    return chance * size


def _mixture(
    shape: ndarray,
    pace: ndarray,
    score: ndarray,
    latest: tuple[ndarray, ...],
    unsure: float,
) -> dict[str, ndarray]:
    """Shape and pace of the level, memory and drift: all runs averaged by their score.

    `latest` holds units, scale and quiet weeks: what hit all skus of the shop alike
    shows in their sum long before it shows in one sku's level.
    """
    units, scale, quiet = latest
    pooled = score.mean(axis=1, keepdims=True)
    weight = np.exp((score - score.max(axis=0)) / 4 + pooled - pooled.max())
    weight /= weight.sum(axis=0)
    levels = shape / pace
    level = (weight * levels).sum(axis=0)
    sold, expected = (
        (part * quiet)[:, -COMMON_WEEKS:].sum() + 200 for part in (units, level[:, None] * scale)
    )
    level, levels = (part * (sold / expected) ** COMMON_POWER for part in (level, levels))
    spread = (weight * (levels / pace + (levels - level) ** 2)).sum(axis=0) + unsure * level**2
    memory, drift = ((weight * part).sum(axis=0) for part in RUNS)
    return {
        "shape": level**2 / spread,
        "pace": level / spread,
        "memory": memory,
        "drift": drift,
    }


def _filter(
    units: ndarray,
    scale: ndarray,
    open_share: ndarray,
    whole: ndarray,
    shape0: ndarray,
    pace0: ndarray,
    dispersion: ndarray,
) -> tuple[ndarray, ...]:
    """Run all memories through time: last shape and pace, discounted log score, each
    (memory, sku); and by sku, over the weeks of `whole` in the last year, after a sku's
    first half: squared one-week errors beyond counting and the law's own spread of the
    level, squared means, weeks.
    """
    keep, drift = RUNS
    shape, pace = (np.repeat(part[None, :], RUNS.shape[1], axis=0) for part in (shape0, pace0))
    score, excess, square, n = np.zeros_like(shape), *np.zeros((3, len(units)))
    last_year = np.arange(units.shape[1]) >= units.shape[1] - 52
    judged = (whole > 0) & (np.cumsum(scale > 0, axis=1) > 26) & last_year
    floor_pace = FLOOR * pace0 / shape0
    for t in range(units.shape[1]):
        y, e = units[:, t], scale[:, t]
        on_sale, level, use = e > 0, drift * shape / pace, judged[:, t]
        if use.any():
            guess = level.mean(axis=0) * whole[:, t]
            excess += use * ((y - guess) ** 2 - guess - guess**2 * (1 / shape).mean(axis=0))
            square, n = square + use * guess**2, n + use
        mean = level * e
        # an overdispersed count tells less about its mean; and large orders end a week
        # early: short ones tell less
        information = open_share[:, t] / (1 + dispersion * mean)
        # negative binomial log-likelihood, as far as it depends on the mean
        spread = np.log1p(dispersion * mean)
        likely = y * (np.log(np.maximum(mean, 1e-9)) - spread) - spread / dispersion
        score = SCORE_MEMORY * score + open_share[:, t] * likely
        shape = np.where(on_sale, keep * shape + (1 - keep) * FLOOR, shape) + information * y
        faded = np.where(on_sale, keep * pace + (1 - keep) * floor_pace, pace)
        pace = faded / drift + information * e
    return shape, pace, score, excess, square, n


def _excess(units: ndarray, scale: ndarray) -> tuple[ndarray, ...]:
    """Squared distance beyond counting from the level of the weeks around, squared
    means and number of weeks by sku.
    """
    use = scale > 0
    mean = (
        level_around(
            np.where(use, units, 0.0),
            scale,
            half_width=NEAR_WEEKS,
        )
        * scale
    )
    own_part = 1 + 1 / (2 * NEAR_WEEKS + 1)  # a week is part of the level it is measured against
    excess = np.where(use, own_part * (units - mean) ** 2 - mean, 0.0)
    return excess.sum(axis=1), (mean**2).sum(axis=1), use.sum(axis=1)


def _dispersion(
    excess: ndarray,
    square: ndarray,
    n: ndarray,
    level: ndarray,
) -> ndarray:
    """Squared coefficient of variation beyond Poisson, sku by sku, shrunk towards skus
    of a similar size.
    """
    size = np.clip(np.floor(np.log2(np.maximum(level, 0.05)) + 5), 0, 12).astype(int)
    pooled = (np.bincount(size, excess, 13) + 0.2) / (np.bincount(size, square, 13) + 1.0)
    typical = square / np.maximum(n, 1)
    own = (excess + 30 * typical * pooled[size]) / np.maximum(square + 30 * typical, 1e-9)
    return np.clip(np.where(square > 0, own, pooled[size]), 0.01, 6.0)


def _without_overtaking(lead: ndarray, after: ndarray) -> ndarray:
    """Lead times with the spread that is left where orders overtake each other: with one
    a review, Σ P(L > j)(1 − P(L > j)) = E|L − L'| / 2.
    """
    gap = np.abs(np.roll(lead, 1, axis=1) - lead).mean(axis=1, keepdims=True)
    variance = np.maximum(lead.var(axis=1, keepdims=True), 1e-12)
    calm = np.sqrt(np.minimum(after * gap / 2 / variance, 1.0))
    return lead.mean(axis=1, keepdims=True) * (1 - calm) + lead * calm


def _counts(
    rng: np.random.Generator,
    mean: ndarray,
    variance: ndarray,
) -> ndarray:
    """Whole units drawn around a mean with gamma noise of this squared variation."""
    shape = 1 / np.maximum(variance, 1e-4)
    noise = rng.standard_gamma(np.broadcast_to(shape, mean.shape)) / shape
    return rng.poisson(mean * noise).astype(np.float32)


def _at(total: ndarray, weeks: ndarray) -> ndarray:
    """Cumulative factor at a fractional number of weeks, by interpolation, (sku, draw)."""
    whole = np.floor(weeks).astype(int)
    low, high = (
        np.take_along_axis(
            total,
            np.minimum(week, total.shape[1] - 1),
            axis=1,
        )
        for week in (whole, whole + 1)
    )
    return low + (weeks - whole) * (high - low)
