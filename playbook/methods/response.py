"""What weekly spend adds to weekly sales: carry-over, saturation, and the baseline
projected out.

    y_t = baseline_t + sum_c b_c * hill(adstock(spend_ct; carry_c); half_c, slope_c) + noise_t

Carry-over and saturation in this order after Jin, Wang, Sun, Chan & Koehler (2017),
*Bayesian methods for media mix modeling with carryover and shape effects*, eq. 1, 4 and
7; the prior stands on the ROI itself as in Google's *Media mix model calibration with
Bayesian priors* (Zhang et al. 2023), which is also how a geo test enters. All that is
linear (level, trend, season, controls, a wandering demand) is integrated out once and
for all, so that only four numbers a channel are searched for; the noise scale is
integrated under Jeffreys' prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playbook.methods.baseline import covariance, texture, whitener
from playbook.methods.ensemble import Density, climb, split_rhat, walk

__all__ = ["GeoResult", "ResponseFit", "adstock", "fit_response", "forecast_weeks", "hill"]

# weeks of memory; .85 ** 26 = 1.5 %
LAGS = 26
# priors, each as mean and standard deviation: the logit of the weekly carry-over (90 %
# within .11 and .78), the log of half-saturation over the mean active week, and the log
# of the Hill exponent
CARRY = (-0.4, 1.0)
HALF = (0.2, 0.7)
SLOPE = (0.1, 0.3)
# before the response is seen, a return of any size up to this share of all sales over
# all spend is about as likely as another
BROAD = 0.7


@dataclass(frozen=True)
class GeoResult:
    """One hold-out or geo test on `channel` in weeks first..last (positions, both
    included).

    Spend was scaled by `factor` where it was tested (0: switched off); `roi` is the
    change in response during these weeks per unit of spend changed, `se` its standard
    error, in the units of the fit. How large the tested part of the country was does
    not matter, as long as response is the same per head.
    """

    channel: str
    roi: float
    se: float
    first: int
    last: int
    factor: float = 0.0


@dataclass(frozen=True)
class ResponseFit:
    """Posterior draws of one model. Arrays are draws x channels unless said otherwise;
    units are those of the inputs.

    `roi` is response per unit of spend over all weeks; `size` is b_c, the most a
    channel can add in a week; `half` is in units of spend a week; `noise` (draws) is
    the noise's standard deviation; `mixing` is each ROI's split-R-hat.
    """

    channels: tuple[str, ...]
    spend: np.ndarray
    roi: np.ndarray
    carry: np.ndarray
    half: np.ndarray
    slope: np.ndarray
    size: np.ndarray
    noise: np.ndarray
    mixing: np.ndarray
    wander: float
    echo: float

    def contributions(self, draws: int) -> np.ndarray:
        """Response caused per week, draws x channels x weeks, for evenly spaced draws."""
        at = _evenly(len(self.roi), draws)
        shape = _shape(_lagged(self.spend), self.carry[at], self.half[at], self.slope[at])
        return self.size[at, :, None] * shape

    def steady(self, spend: np.ndarray) -> np.ndarray:
        """Weekly response when each channel spends `spend[..., c]` every week: draws x
        ... x channels.
        """
        wide = (slice(None),) + (None,) * (np.ndim(spend) - 1)
        return self.size[wide] * hill(np.asarray(spend, float), self.half[wide], self.slope[wide])

    def marginal(self, spend: np.ndarray) -> np.ndarray:
        """Response of one more unit spent every week at weekly `spend` (one figure a
        channel): draws x channels.
        """
        # a Hill curve's slope at nothing is 0 or endless: nearly nothing is asked at a
        # fiftieth of the usual spend
        at = np.maximum(np.asarray(spend, float), 0.02 * np.maximum(self.spend.mean(0), 1e-12))
        level = hill(at, self.half, self.slope)
        return self.size * self.slope / at * level * (1 - level)


def forecast_weeks(
    y: np.ndarray, fit: ResponseFit, *, design: np.ndarray, draws: int = 400, seed: int = 0
) -> np.ndarray:
    """Draws x weeks of the response where `y` is missing, given the spend of those
    weeks: noise and baseline included.

    The baseline and its noise are carried on from the weeks observed (universal
    kriging: Cressie 1993, eq. 3.4.2).
    """
    rng = np.random.default_rng(seed)
    old, new = np.flatnonzero(np.isfinite(y)), np.flatnonzero(~np.isfinite(y))
    every = covariance(np.arange(len(y)), fit.wander, fit.echo)
    precision = np.linalg.inv(every[np.ix_(old, old)])
    weight = design[old].T @ precision
    baseline = np.linalg.pinv(weight @ design[old])
    across = every[np.ix_(new, old)] @ precision
    lean = design[new] - across @ design[old]
    onward = across + lean @ baseline @ weight
    spread = every[np.ix_(new, new)] - across @ every[np.ix_(old, new)] + lean @ baseline @ lean.T
    root = np.linalg.cholesky(spread + 1e-9 * np.eye(len(new)))
    caused = fit.contributions(draws).sum(1)
    scale = fit.noise[_evenly(len(fit.roi), draws), None]
    noise = scale * (rng.standard_normal((draws, len(new))) @ root.T)
    return caused[:, new] + (y[old] - caused[:, old]) @ onward.T + noise


def hill(stock: np.ndarray, half: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """stock^slope / (stock^slope + half^slope), 0 at 0; a half of the ceiling where
    stock equals half.
    """
    with np.errstate(divide="ignore", over="ignore"):
        return 1 / (1 + np.exp(slope * (np.log(half) - np.log(stock))))


def adstock(spend: np.ndarray, carry: np.ndarray) -> np.ndarray:
    """Spend (weeks x channels) with geometric carry-over, weights summing to one: a
    steady spend is its own adstock.

    Weeks before the first are taken as unspent.
    """
    return _stock(_lagged(np.asarray(spend, float)), np.atleast_2d(np.asarray(carry, float)))[0].T


def fit_response(
    y: np.ndarray,
    spend: np.ndarray,
    *,
    channels: Sequence[str],
    design: np.ndarray,
    tests: Sequence[GeoResult] = (),
    chased: Sequence[str] = (),
    steps: int = 1000,
    seed: int = 0,
) -> ResponseFit:
    """The posterior of every channel's return, given weekly response and spend.

    `y` (weeks) may hold missing weeks: they carry spend forward and are not scored.
    `spend` is weeks x channels, >= 0, no column constant. `design` is the baseline of
    `baseline_design`; `tests` are results the posterior must agree with. A channel
    named in `chased` has its own spend among the baseline's columns: what moves in step
    with it in the same week is then credited to nobody, which is honest and wide, until
    a test settles it.
    """
    rng = np.random.default_rng(seed)
    names = list(channels)
    posterior = _Posterior(y, spend, [(names.index(t.channel), t) for t in tests])
    observed = np.flatnonzero(np.isfinite(y))
    chased_spend = spend[:, [names.index(name) for name in chased]]
    removed = np.column_stack([design, chased_spend])[observed]
    mode, wander, echo = posterior.start(), 0.0, 0.0
    # the second pass knows how much demand wanders and how long noise lasts
    for _ in range(2):
        density = posterior.density(*whitener(removed, observed, wander, echo))
        mode = climb(density, mode)
        wander, echo = texture(
            (y - posterior.curves(mode[None])[-1][0].sum(0))[observed], removed, observed
        )
    whiten, freedom = whitener(removed, observed, wander, echo)
    density = posterior.density(whiten, freedom)
    mode = climb(density, mode)
    width = np.repeat([CARRY[1], HALF[1], SLOPE[1], 0.5], len(names))
    chains = walk(density, mode, width, steps=steps, rng=rng)
    draws = chains.reshape(-1, len(mode))
    carry, half, slope, roi, size, caused = posterior.curves(draws)
    left = whiten @ y[observed] - caused.sum(1)[:, observed] @ whiten.T
    noise = np.sqrt((left**2).sum(1) / rng.chisquare(freedom, len(draws)))
    mixing = split_rhat(chains[:, :, -len(names) :])
    return ResponseFit(
        tuple(names), spend, roi, carry, half, slope, size, noise, mixing, wander, echo
    )


class _Posterior:
    """The density of all channels' numbers, for many points at once. A point holds for
    every channel the logit of its carry-over, then the logs of its half-saturation, of
    its slope and of its ROI.
    """

    def __init__(
        self, y: np.ndarray, spend: np.ndarray, tests: Sequence[tuple[int, GeoResult]]
    ) -> None:
        self.y, self.spend, self.lags = y, spend, _lagged(spend)
        self.seen = np.isfinite(y)
        self.active = np.array([s[s > 0].mean() for s in spend.T])
        self.broad = BROAD * np.nansum(y) / spend[self.seen].sum()
        self.experiments = [(test, *_without_test(spend, c, test)) for c, test in tests]

    def start(self) -> np.ndarray:
        """Where the search for the mode begins."""
        means = [CARRY[0], HALF[0], SLOPE[0], np.log(self.broad / 3)]
        return np.repeat(means, self.spend.shape[1])

    def curves(self, theta: np.ndarray) -> tuple[np.ndarray, ...]:
        """carry, half, slope, roi and size (points x channels), and the response caused
        (points x channels x weeks).
        """
        logit, half, slope, roi = np.moveaxis(theta.reshape(len(theta), 4, -1), 1, 0)
        carry, half = 1 / (1 + np.exp(-logit)), self.active * np.exp(half)
        slope, roi = np.exp(slope), np.exp(roi)
        shape = _shape(self.lags, carry, half, slope)
        size = roi * self.spend.sum(0) / np.maximum(shape.sum(2), 1e-12)
        return carry, half, slope, roi, size, size[:, :, None] * shape

    def density(self, whiten: np.ndarray, freedom: int) -> Density:
        """The log posterior under one texture of the noise, its scale integrated out."""
        target = whiten @ self.y[self.seen]

        def log_posterior(theta: np.ndarray) -> np.ndarray:
            curves = self.curves(theta)
            left = target - curves[-1].sum(1)[:, self.seen] @ whiten.T
            prior = self._prior(theta, curves[3]) + self._agreement(curves)
            value = prior - 0.5 * freedom * np.log((left**2).sum(1))
            return np.where(np.isfinite(value), value, -np.inf)

        return log_posterior

    def _prior(self, theta: np.ndarray, roi: np.ndarray) -> np.ndarray:
        parts = theta.reshape(len(theta), 4, -1)
        prior = sum(
            -0.5 * (((parts[:, j] - mean) / sd) ** 2).sum(1)
            for j, (mean, sd) in enumerate((CARRY, HALF, SLOPE))
        )
        return prior + (parts[:, 3] - 0.5 * (roi / self.broad) ** 2).sum(1)

    def _agreement(self, curves: tuple[np.ndarray, ...]) -> np.ndarray:
        """How well each point agrees with the geo tests."""
        carry, half, slope, _roi, size, caused = curves
        value = np.zeros(len(carry))
        for test, channel, lags, moved in self.experiments:
            c = [channel]
            shape = _shape(lags, carry[:, c], half[:, c], slope[:, c])[:, 0]
            change = (caused[:, channel] - size[:, c] * shape)[:, test.first : test.last + 1]
            value -= 0.5 * ((change.sum(1) / moved - test.roi) / test.se) ** 2
        return value


def _without_test(
    spend: np.ndarray, channel: int, test: GeoResult
) -> tuple[int, np.ndarray, float]:
    """The channel, its lagged spend had it been treated everywhere, and the money moved."""
    treated = spend.copy()
    treated[test.first : test.last + 1, channel] *= test.factor
    return channel, _lagged(treated[:, [channel]]), (spend - treated).sum()


def _evenly(n: int, draws: int) -> np.ndarray:
    return np.linspace(0, n - 1, draws).astype(int)


def _shape(lags: np.ndarray, carry: np.ndarray, half: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The saturated share of each week's adstock: draws x channels x weeks."""
    return hill(_stock(lags, carry), half[:, :, None], slope[:, :, None])


def _lagged(spend: np.ndarray) -> np.ndarray:
    """Channels x lags x weeks: what was spent l weeks before, 0 before the first week."""
    weeks, n_channels = spend.shape
    lags = np.zeros((n_channels, min(LAGS, weeks), weeks))
    for lag in range(lags.shape[1]):
        lags[:, lag, lag:] = spend[: weeks - lag].T
    return lags


def _stock(lags: np.ndarray, carry: np.ndarray) -> np.ndarray:
    """Adstock of many carry-overs at once: carry is draws x channels, the answer draws
    x channels x weeks.
    """
    weights = carry[:, :, None] ** np.arange(lags.shape[1])
    weights /= weights.sum(2, keepdims=True)
    return np.matmul(weights.transpose(1, 0, 2), lags).transpose(1, 0, 2)
