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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.methods.baseline import covariance, texture, whitener
from playbook.methods.ensemble import Density, climb, nested_rhat, walk

__all__ = [
    "GeoResult",
    "ResponseFit",
    "adstock",
    "CARRY",
    "HALF",
    "SLOPE",
    "BROAD",
    "evenly",
    "fit_response",
    "forecast_weeks",
    "hill",
    "lagged",
    "saturated",
    "without_test",
]

# weeks of memory; .85 ** 26 = 1.5 %
LAGS = 26
# priors, each as mean and standard deviation: the logit of the weekly carry-over (90 %
# within .11 and .78), the log of half-saturation over the mean active week, and the log
# of the Hill exponent
CARRY = (-0.4, 1.0)
HALF = (0.2, 0.7)
SLOPE = (0.1, 0.3)
# before the response is seen, any return up to this share of all sales over all spend
# is about as likely as another
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
    the noise's standard deviation; `mixing` is each ROI's nested R-hat.
    """

    channels: tuple[str, ...]
    spend: ndarray
    roi: ndarray
    carry: ndarray
    half: ndarray
    slope: ndarray
    size: ndarray
    noise: ndarray
    mixing: ndarray
    wander: float
    echo: float

    def contributions(self, draws: int) -> ndarray:
        """Response caused per week, draws x channels x weeks, for evenly spaced draws."""
        at = evenly(len(self.roi), draws)
        shape = saturated(
            lagged(self.spend),
            self.carry[at],
            self.half[at],
            self.slope[at],
        )
        return self.size[at, :, None] * shape

    def steady(self, spend: ndarray) -> ndarray:
        """Weekly response when each channel spends `spend[..., c]` every week: draws x
        ... x channels.
        """
        wide = (slice(None),) + (None,) * (np.ndim(spend) - 1)
        return self.size[wide] * hill(np.asarray(spend, float), self.half[wide], self.slope[wide])

    def marginal(self, spend: ndarray) -> ndarray:
        """Response of one more unit spent every week at weekly `spend` (one figure a
        channel): draws x channels.
        """
        # a Hill curve's slope at nothing is 0 or endless: nearly nothing is asked at a
        # fiftieth of the usual spend
        at = np.maximum(
            np.asarray(spend, float),
            0.02 * np.maximum(self.spend.mean(0), 1e-12),
        )
        level = hill(at, self.half, self.slope)
        return self.size * self.slope / at * level * (1 - level)


def forecast_weeks(
    y: ndarray,
    fit: ResponseFit,
    *,
    design: ndarray,
    draws: int = 400,
    seed: int = 0,
) -> ndarray:
    """Draws x weeks of the response where `y` is missing, given the spend of those
    weeks: noise and baseline included.

    The baseline and its noise are carried on from the weeks observed (universal
    kriging: Cressie 1993, eq. 3.4.2).
    """
    rng = np.random.default_rng(seed)
    old = np.flatnonzero(np.isfinite(y))
    new = np.flatnonzero(~np.isfinite(y))
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
    scale = fit.noise[evenly(len(fit.roi), draws), None]
    noise = scale * (rng.standard_normal((draws, len(new))) @ root.T)
    return caused[:, new] + (y[old] - caused[:, old]) @ onward.T + noise


def hill(stock: ndarray, half: ndarray, slope: ndarray) -> ndarray:
    """stock^slope / (stock^slope + half^slope), 0 at 0; a half of the ceiling where
    stock equals half.
    """
    with np.errstate(divide="ignore", over="ignore"):
        return 1 / (1 + np.exp(slope * (np.log(half) - np.log(stock))))


def adstock(spend: ndarray, carry: ndarray) -> ndarray:
    """Spend (weeks x channels) with geometric carry-over, weights summing to one: a
    steady spend is its own adstock.

    Weeks before the first are taken as unspent.
    """
    return _stock(
        lagged(np.asarray(spend, float)),
        np.atleast_2d(np.asarray(carry, float)),
    )[0].T


def fit_response(
    y: ndarray,
    spend: ndarray,
    *,
    channels: Sequence[str],
    design: ndarray,
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
    start, curves, density = _model(y, spend, [(names.index(t.channel), t) for t in tests])
    observed = np.flatnonzero(np.isfinite(y))
    chased_spend = spend[:, [names.index(name) for name in chased]]
    removed = np.column_stack([design, chased_spend])[observed]
    mode, wander, echo = start, 0.0, 0.0
    # twice, for the second pass knows how much demand wanders and how long noise lasts
    for _ in range(2):
        mode = climb(density(*whitener(removed, observed, wander, echo)), mode)
        caused = curves(mode[None])[-1][0].sum(0)
        wander, echo = texture((y - caused)[observed], removed, observed)
    whiten, freedom = whitener(removed, observed, wander, echo)
    mode = climb(density(whiten, freedom), mode)
    width = np.repeat([CARRY[1], HALF[1], SLOPE[1], 0.5], len(names))
    chains = walk(density(whiten, freedom), mode, width, steps=steps, rng=rng)
    draws = chains.reshape(-1, len(mode))
    *numbers, caused = curves(draws)
    left = whiten @ y[observed] - caused.sum(1)[:, observed] @ whiten.T
    noise = np.sqrt((left**2).sum(1) / rng.chisquare(freedom, len(draws)))
    mixing = nested_rhat(chains[:, :, -len(names) :])
    return ResponseFit(tuple(names), spend, *numbers, noise, mixing, wander, echo)


def _model(
    y: ndarray, spend: ndarray, tests: Sequence[tuple[int, GeoResult]]
) -> tuple[ndarray, Callable, Callable]:
    """Where to start, what a point means, and its log posterior. A point holds for every
    channel the logit of its carry-over, then the logs of its half-saturation, of its
    slope and of its ROI.
    """
    observed, lags = np.isfinite(y), lagged(spend)
    active = np.array([s[s > 0].mean() for s in spend.T])
    broad = BROAD * np.nansum(y) / spend[observed].sum()
    start = np.repeat([CARRY[0], HALF[0], SLOPE[0], np.log(broad / 3)], len(active))
    experiments = [(test, c, *without_test(spend, c, test)) for c, test in tests]

    def curves(theta: ndarray) -> tuple[ndarray, ...]:
        """roi, carry, half, slope and size, and the response caused by week."""
        carry, half, slope, roi = np.moveaxis(theta.reshape(len(theta), 4, -1), 1, 0)
        carry, half = 1 / (1 + np.exp(-carry)), active * np.exp(half)
        slope, roi = np.exp(slope), np.exp(roi)
        shape = saturated(lags, carry, half, slope)
        size = roi * spend.sum(0) / np.maximum(shape.sum(2), 1e-12)
        return roi, carry, half, slope, size, size[:, :, None] * shape

    def density(whiten: ndarray, freedom: int) -> Density:
        target = whiten @ y[observed]

        def log_posterior(theta: ndarray) -> ndarray:
            roi, carry, half, slope, size, caused = curves(theta)
            parts = theta.reshape(len(theta), 4, -1)
            agreement = np.zeros(len(theta))
            prior = sum(
                -0.5 * (((parts[:, j] - mean) / sd) ** 2).sum(1)
                for j, (mean, sd) in enumerate((CARRY, HALF, SLOPE))
            )
            prior += (parts[:, 3] - 0.5 * (roi / broad) ** 2).sum(1)
            for test, c, elsewhere, moved in experiments:
                shape = saturated(
                    elsewhere,
                    carry[:, [c]],
                    half[:, [c]],
                    slope[:, [c]],
                )[:, 0]
                change = (caused[:, c] - size[:, [c]] * shape)[:, test.first : test.last + 1]
                agreement -= 0.5 * ((change.sum(1) / moved - test.roi) / test.se) ** 2
            left = target - caused.sum(1)[:, observed] @ whiten.T
            value = prior + agreement - 0.5 * freedom * np.log((left**2).sum(1))
            return np.where(np.isfinite(value), value, -np.inf)

        return log_posterior

    return start, curves, density


def without_test(spend: ndarray, channel: int, test: GeoResult) -> tuple[ndarray, float]:
    """The channel's lagged spend had it been treated everywhere, and the money moved."""
    treated = spend.copy()
    treated[test.first : test.last + 1, channel] *= test.factor
    return lagged(treated[:, [channel]]), (spend - treated).sum()


def evenly(n: int, draws: int) -> ndarray:
    """Positions of so many evenly spaced draws of n."""
    return np.linspace(0, n - 1, draws).astype(int)


def saturated(lags: ndarray, carry: ndarray, half: ndarray, slope: ndarray) -> ndarray:
    """The saturated share of each week's adstock: draws x channels x weeks."""
    return hill(_stock(lags, carry), half[:, :, None], slope[:, :, None])


def lagged(spend: ndarray) -> ndarray:
    """Channels x lags x weeks: what was spent l weeks before, 0 before the first week."""
    weeks, n_channels = spend.shape
    lags = np.zeros((n_channels, min(LAGS, weeks), weeks))
    for lag in range(lags.shape[1]):
        lags[:, lag, lag:] = spend[: weeks - lag].T
    return lags


def _stock(lags: ndarray, carry: ndarray) -> ndarray:
    """Adstock of many carry-overs at once: carry is draws x channels, the answer draws
    x channels x weeks.
    """
    weights = carry[:, :, None] ** np.arange(lags.shape[1])
    weights /= weights.sum(2, keepdims=True)
    return np.matmul(weights.transpose(1, 0, 2), lags).transpose(1, 0, 2)
