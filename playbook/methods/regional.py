"""What spend adds to sales, read from regions: what all regions share is taken out.

    y_rt / heads_r = baseline_rt + demand_t + sum_c b_c (1 + e_rc) hill(stock_rct) + noise
    stock_rct = adstock(spend_rct / heads_r)

One curve a channel per head of the region (Sun, Wang, Jin, Chan & Koehler 2017, *Geo-level
Bayesian hierarchical media mix modeling*, eq. 4-6, there with the same pooling over regions), and
a factor of each region drawn towards 1. A demand that all regions share in a week, whether spend
follows it or not, falls out by contrasts between regions (the within transformation of a panel
with fixed week effects; Wooldridge 2010, *Econometric Analysis of Cross Section and Panel Data*,
section 10.5). Whitening, priors and draws are those of `response`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.methods.baseline import ECHO, WANDER, covariance, texture, whitener
from playbook.methods.ensemble import Density, climb, nested_rhat, walk
from playbook.methods.response import (
    BROAD,
    CARRY,
    HALF,
    SLOPE,
    GeoResult,
    ResponseFit,
    evenly,
    lagged,
    saturated,
    without_test,
)

__all__ = ["FEWEST_REGIONS", "RegionFit", "can_compare", "fit_regions"]

#: contrasts between fewer regions say little
FEWEST_REGIONS = 4
#: spend per head must differ between the regions of a week by this share of its mean
LEAST_CONTRAST = 0.1
#: how much regions may differ in what a channel does there, and the draws regions are asked for
SPREADS, LIKELY_SPREAD = (
    np.array(
        [
            0.02,
            0.05,
            0.1,
            0.15,
            0.2,
            0.3,
            0.45,
        ]
    ),
    0.2,
)
DRAWS = 400


@dataclass(frozen=True)
class RegionFit(ResponseFit):
    """A `ResponseFit` of the whole country, made of regions.

    `by_region`: spend, weeks x regions x channels; `heads`: share of each region in the country
    (of its sales); `factor`: what a channel does there over what it does on the whole, draws x
    regions x channels.
    """

    by_region: ndarray
    heads: ndarray
    factor: ndarray

    def contributions(self, draws: int) -> ndarray:
        """Response caused per week in all regions, draws x channels x weeks."""
        return self.in_regions(draws).sum(axis=1)

    def in_regions(self, draws: int) -> ndarray:
        """Response caused per week and region, draws x regions x channels x weeks."""
        at = evenly(len(self.roi), draws)
        shape = _by_region(
            self.by_region / self.heads[:, None],
            self.carry[at],
            self.half[at],
            self.slope[at],
        )
        size = self.size[at, None, :] * self.factor[at] * self.heads[:, None]
        return size[..., None] * shape


@dataclass(frozen=True)
class _Panel:
    """Weeks of regions per head, and the contrasts in which nothing shared is left.

    `target`: contrasts x weeks; `contrast`: contrasts x regions, of response per head.
    """

    spend: ndarray
    target: ndarray
    contrast: ndarray
    design: ndarray
    observed: ndarray
    heads: ndarray


def can_compare(y: ndarray, spend: ndarray) -> bool:
    """May regions be held against each other? `y` weeks x regions, `spend` weeks x regions x
    channels.

    Needs four regions that all sell, and of every channel spend per head that differs between
    the regions of a week: money dealt out alike everywhere teaches nothing here.
    """
    if y.ndim != 2 or y.shape[1] < FEWEST_REGIONS or not (np.nansum(y, axis=0) > 0).all():
        return False
    per_head = spend / (np.nansum(y, axis=0) / np.nansum(y))[:, None]
    apart = per_head - per_head.mean(axis=1, keepdims=True)
    # what differs for ever is the region, not the week
    apart = apart - apart.mean(axis=0, keepdims=True)
    mean = np.maximum(per_head.mean(axis=(0, 1)), 1e-12)
    return bool((apart.std(axis=(0, 1)) / mean >= LEAST_CONTRAST).all())


def fit_regions(
    y: ndarray,
    spend: ndarray,
    *,
    channels: Sequence[str],
    design: ndarray,
    tests: Sequence[GeoResult] = (),
    steps: int = 400,
    seed: int = 0,
) -> RegionFit:
    """The posterior of every channel's return, given weekly response and spend by region.

    `y` is weeks x regions (a week missing in any region is not scored), `spend` weeks x regions x
    channels, >= 0; `design` the baseline's columns, which every region weighs for itself. Figures
    are those of the whole country, as from `fit_response`.
    """
    rng = np.random.default_rng(seed)
    names = list(channels)
    panel = _panel(y, spend, design)
    total = np.where(np.isfinite(y).all(axis=1), y.sum(axis=1), np.nan)
    given = [(names.index(test.channel), test) for test in tests]
    start, curves, density = _model(panel, np.nansum(total), given)
    mode, whiten, freedom = _top(panel, curves, density, start)
    news = _News.of(panel, curves(mode[None])[-1], whiten, freedom)
    spread = _spread(news.information[0], news.score[0])
    posterior = density(whiten, freedom, news.excused(spread))
    mode = climb(posterior, mode)
    width = np.repeat([CARRY[1], HALF[1], SLOPE[1], 0.5], len(names))
    chains = walk(
        posterior,
        mode,
        width,
        steps=steps,
        rng=rng,
    )
    draws = chains.reshape(-1, len(mode))
    draws = draws[evenly(len(draws), min(DRAWS, len(draws)))]
    _roi, carry, half, slope, size, caused = curves(draws)
    factor = _News.of(panel, caused, whiten, freedom).factors(spread, rng)
    heads = panel.heads[:, None]
    national = np.einsum("krct,krc->kct", caused, factor * heads)
    # the size holds the mean factor, so that factors are around 1
    usual = (factor * heads).sum(axis=1)
    return RegionFit(
        channels=tuple(names),
        spend=spend.sum(axis=1),
        roi=national.sum(axis=2) / spend.sum(axis=(0, 1)),
        carry=carry,
        half=half,
        slope=slope,
        size=size * usual,
        mixing=nested_rhat(chains[:, :, -len(names) :]),
        by_region=spend,
        heads=panel.heads,
        factor=factor / usual[:, None],
        **_national_noise(total, national, design, rng),
    )


def _panel(y: ndarray, spend: ndarray, design: ndarray) -> _Panel:
    """Regions per head and by their own noise, and what is left of them without what they share."""
    observed = np.flatnonzero(np.isfinite(y).all(axis=1))
    heads = y[observed].sum(axis=0) / y[observed].sum()
    per_head = y / heads
    apart = per_head[observed] - per_head[observed].mean(axis=1, keepdims=True)
    basis = np.linalg.qr(design[observed])[0]
    spread = (apart - basis @ (basis.T @ apart)).std(axis=0)
    spread = np.maximum(spread, 1e-9 * np.abs(per_head[observed]).mean())
    # rows orthogonal to 1 / spread: a demand alike per head everywhere is not in them
    shared = 1 / spread[:, None]
    others = np.linalg.svd(shared, full_matrices=True)[0][:, 1:].T
    contrast = others / spread
    filled = np.where(np.isfinite(per_head), per_head, 0.0)
    return _Panel(
        spend=spend / heads[:, None],
        target=contrast @ filled.T,
        contrast=contrast,
        design=design,
        observed=observed,
        heads=heads,
    )


def _by_region(spend: ndarray, carry: ndarray, half: ndarray, slope: ndarray) -> ndarray:
    """Saturated share by week: spend per head is weeks x regions x channels, parameters draws x
    channels, the answer draws x regions x channels x weeks.
    """
    weeks, n_regions, n_channels = spend.shape
    lags = lagged(spend.reshape(weeks, -1))
    wide = [np.tile(part, (1, n_regions)) for part in (carry, half, slope)]
    return saturated(lags, *wide).reshape(
        len(carry),
        n_regions,
        n_channels,
        weeks,
    )


def _model(
    panel: _Panel, sold: float, tests: Sequence[tuple[int, GeoResult]]
) -> tuple[ndarray, Callable, Callable]:
    """Where to start, what a point means, and its log posterior; points as in `response`.

    Curves give roi, carry, half, slope, size and the response per head, draws x regions x
    channels x weeks.
    """
    weeks, n_regions, n_channels = panel.spend.shape
    lags = lagged(panel.spend.reshape(weeks, -1))
    together = np.einsum("trc,r->tc", panel.spend, panel.heads)
    active = np.array([s[s > 0].mean() for s in panel.spend.reshape(-1, n_channels).T])
    broad = BROAD * sold / together.sum()
    start = np.repeat([CARRY[0], HALF[0], SLOPE[0], np.log(broad / 3)], n_channels)
    experiments = [(test, c, *without_test(together, c, test)) for c, test in tests]
    own_lags = lagged(together)

    def curves(theta: ndarray) -> tuple[ndarray, ...]:
        carry, half, slope, roi = np.moveaxis(theta.reshape(len(theta), 4, -1), 1, 0)
        carry, half = 1 / (1 + np.exp(-carry)), active * np.exp(half)
        slope, roi = np.exp(slope), np.exp(roi)
        wide = [np.tile(part, (1, n_regions)) for part in (carry, half, slope)]
        shape = saturated(lags, *wide).reshape(len(theta), n_regions, n_channels, weeks)
        reached = np.einsum("krct,r->kc", shape, panel.heads)
        size = roi * together.sum(axis=0) / np.maximum(reached, 1e-12)
        return roi, carry, half, slope, size, size[:, None, :, None] * shape

    def agreement(parts: tuple[ndarray, ...]) -> ndarray:
        _roi, carry, half, slope, size, caused = parts
        value = np.zeros(len(caused))
        for test, c, elsewhere, moved in experiments:
            at = [part[:, [c]] for part in (carry, half, slope)]
            change = saturated(own_lags[[c]], *at)[:, 0] - saturated(elsewhere, *at)[:, 0]
            effect = (size[:, [c]] * change)[:, test.first : test.last + 1].sum(axis=1)
            value -= 0.5 * ((effect / moved - test.roi) / test.se) ** 2
        return value

    def density(whiten: ndarray, freedom: int, excused: ndarray | None = None) -> Density:
        target = panel.target[:, panel.observed] @ whiten.T

        def log_posterior(theta: ndarray) -> ndarray:
            parts = curves(theta)
            stated = theta.reshape(len(theta), 4, -1)
            prior = sum(
                -0.5 * (((stated[:, j] - mean) / sd) ** 2).sum(1)
                for j, (mean, sd) in enumerate((CARRY, HALF, SLOPE))
            )
            prior += (stated[:, 3] - 0.5 * (parts[0] / broad) ** 2).sum(1)
            caused = parts[-1].sum(axis=2)[:, :, panel.observed]
            left = target - (panel.contrast @ caused) @ whiten.T
            squares = (left**2).sum(axis=(1, 2))
            if excused is not None:
                # what regions that differ would leave is no mark against the curves
                squares = squares - ((left.reshape(len(left), -1) @ excused) ** 2).sum(axis=1)
            value = prior + agreement(parts) - 0.5 * freedom * np.log(squares)
            return np.where(np.isfinite(value), value, -np.inf)

        return log_posterior

    return start, curves, density


def _top(
    panel: _Panel, curves: Callable, density: Callable, start: ndarray
) -> tuple[ndarray, ndarray, int]:
    """The likeliest point, and the whitening that fits what is left there."""
    mode, wander, echo = start, 0.0, 0.0
    for _ in range(2):
        mode = climb(density(*_whitener(panel, wander, echo)), mode)
        left = panel.target - panel.contrast @ curves(mode[None])[-1][0].sum(axis=1)
        wander, echo = _texture(left[:, panel.observed], panel)
    whiten, freedom = _whitener(panel, wander, echo)
    return climb(density(whiten, freedom), mode), whiten, freedom


def _whitener(panel: _Panel, wander: float, echo: float) -> tuple[ndarray, int]:
    """The map of one contrast's weeks to independent noise, and the freedom of all."""
    whiten, freedom = whitener(
        panel.design[panel.observed],
        panel.observed,
        wander,
        echo,
    )
    return whiten, freedom * len(panel.contrast)


def _texture(left: ndarray, panel: _Panel) -> tuple[float, float]:
    """The wander and echo under which all contrasts together are likeliest."""
    design, when = panel.design[panel.observed], panel.observed
    best, chosen = -np.inf, (0.0, 0.0)
    for wander in WANDER:
        for echo in ECHO:
            root = np.linalg.cholesky(covariance(when, wander, echo))
            q, r = np.linalg.qr(np.linalg.solve(root, design))
            white = np.linalg.solve(root, left.T)
            rest = white - q @ (q.T @ white)
            sizes = np.log(np.diag(root)).sum() + np.log(np.abs(np.diag(r)) + 1e-300).sum()
            freedom = len(when) - design.shape[1]
            value = -len(left) * (sizes + 0.5 * freedom * np.log((rest**2).sum()))
            if value > best + 1e-9:
                best, chosen = value, (wander, echo)
    return chosen


@dataclass(frozen=True)
class _News:
    """What the contrasts say of the regions' factors, given the curves of each draw: the
    information of their likelihood and its score at 1, draws x (regions x channels); `columns`
    are the whitened contrasts of each factor at the first draw, `variance` the noise's.
    """

    information: ndarray
    score: ndarray
    columns: ndarray
    variance: ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, panel: _Panel, caused: ndarray, whiten: ndarray, freedom: int) -> _News:
        """From the response by region, draws x regions x channels x weeks."""
        target = panel.target[:, panel.observed] @ whiten.T
        columns = caused[..., panel.observed] @ whiten.T
        n_draws, n_regions, n_channels = caused.shape[:3]
        gram = panel.contrast.T @ panel.contrast
        pairs = np.kron(gram, np.ones((n_channels, n_channels)))
        flat = columns.reshape(n_draws, n_regions * n_channels, -1)
        left = target - panel.contrast @ columns.sum(axis=2)
        variance = (left**2).sum(axis=(1, 2)) / freedom
        information = flat @ flat.transpose(0, 2, 1) * pairs / variance[:, None, None]
        score = np.einsum("krcn,krn->krc", columns, panel.contrast.T @ left)
        first = np.einsum("qr,rcn->qnrc", panel.contrast, columns[0])
        return cls(
            information=information,
            score=score.reshape(n_draws, -1) / variance[:, None],
            columns=first.reshape(-1, n_regions * n_channels),
            variance=variance,
            shape=(n_regions, n_channels),
        )

    def excused(self, spread: float) -> ndarray:
        """The map of a residual to what differing regions explain of it, in squares: by it the
        factors are integrated out (Woodbury).
        """
        precision = self.information[0] + np.eye(len(self.score[0])) / spread**2
        root = np.linalg.cholesky(np.linalg.inv(precision))
        return self.columns @ root / np.sqrt(self.variance[0])

    def factors(self, spread: float, rng: np.random.Generator) -> ndarray:
        """What a channel does in each region over what it does on the whole, drawn given the
        curves: draws x regions x channels, around 1.
        """
        precision = self.information + np.eye(self.score.shape[1]) / spread**2
        mean = np.linalg.solve(precision, self.score[..., None])[..., 0]
        root = np.linalg.cholesky(np.linalg.inv(precision))
        noise = np.einsum("kij,kj->ki", root, rng.standard_normal(mean.shape))
        return np.maximum(1 + mean + noise, 0.05).reshape(-1, *self.shape)


def _spread(information: ndarray, score: ndarray) -> float:
    """The likeliest spread of the regions' factors, under a prior around a fifth."""
    heights = []
    for spread in SPREADS:
        precision = information + np.eye(len(score)) / spread**2
        fit = 0.5 * score @ np.linalg.solve(precision, score)
        size = 0.5 * np.linalg.slogdet(precision)[1] + len(score) * np.log(spread)
        heights.append(fit - size - 0.5 * (np.log(spread / LIKELY_SPREAD) / 0.7) ** 2)
    return float(SPREADS[int(np.argmax(heights))])


def _national_noise(
    total: ndarray, caused: ndarray, design: ndarray, rng: np.random.Generator
) -> dict[str, ndarray | float]:
    """Noise of the whole country's weeks around baseline and spend, shared demand included."""
    when = np.flatnonzero(np.isfinite(total))
    rest = (total - caused.mean(axis=0).sum(axis=0))[when]
    wander, echo = texture(rest, design[when], when)
    whiten, freedom = whitener(design[when], when, wander, echo)
    left = (total[when] - caused.sum(axis=1)[:, when]) @ whiten.T
    noise = np.sqrt((left**2).sum(axis=1) / rng.chisquare(freedom, len(left)))
    return {"noise": noise, "wander": wander, "echo": echo}
