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
from playbook.methods.ensemble import climb, split_rhat, walk

__all__ = ["GeoResult", "ResponseFit", "adstock", "fit_response", "forecast_weeks", "hill"]

LAGS = 26  # weeks of memory; .85 ** 26 = 1.5 %
CARRY = (-0.4, 1.0)  # logit of the weekly carry-over: 90 % of the prior within .11 and .78
HALF = (0.2, 0.7)  # log of half-saturation over the mean active week
SLOPE = (0.1, 0.3)  # log of the Hill exponent


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

    def contributions(self, draws: int | None = None) -> np.ndarray:
        """Response caused per week: draws x channels x weeks, for every draw or an
        evenly spaced `draws` of them.
        """
        pick = (
            np.arange(len(self.roi))
            if draws is None
            else np.linspace(0, len(self.roi) - 1, draws).astype(int)
        )
        stock = _stock(_lagged(self.spend), self.carry[pick])
        return self.size[pick, :, None] * hill(
            stock, self.half[pick, :, None], self.slope[pick, :, None]
        )

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
        # a Hill curve's slope at nothing is 0 or endless: nearly nothing is asked at a fiftieth of the usual spend
        at = np.maximum(np.asarray(spend, float), 0.02 * np.maximum(self.spend.mean(0), 1e-12))
        level = hill(at, self.half, self.slope)
        return self.size * self.slope / at * level * (1 - level)


def forecast_weeks(
    y: np.ndarray, fit: ResponseFit, *, design: np.ndarray, draws: int = 400, seed: int = 0
) -> np.ndarray:
    """Draws x weeks of the response where `y` is missing, given the spend of those
    weeks: noise and baseline included.

    The baseline and its noise are carried on from the weeks seen (universal kriging:
    Cressie 1993, eq. 3.4.2).
    """
    rng = np.random.default_rng(seed)
    seen = np.isfinite(y)
    old, new = np.flatnonzero(seen), np.flatnonzero(~seen)
    every = covariance(np.arange(len(y)), fit.wander, fit.echo)
    known = np.linalg.inv(every[np.ix_(old, old)])
    weight = design[old].T @ known
    usual = np.linalg.pinv(weight @ design[old])
    across = every[np.ix_(new, old)] @ known
    lean = design[new] - across @ design[old]
    onward = across + lean @ usual @ weight
    spread = every[np.ix_(new, new)] - across @ every[np.ix_(old, new)] + lean @ usual @ lean.T
    root = np.linalg.cholesky(spread + 1e-9 * np.eye(len(new)))
    pick = np.linspace(0, len(fit.roi) - 1, draws).astype(int)
    made = fit.contributions(draws).sum(1)
    noise = fit.noise[pick, None] * (rng.standard_normal((draws, len(new))) @ root.T)
    return made[:, new] + (np.asarray(y, float)[old] - made[:, old]) @ onward.T + noise


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
    y, spend = np.asarray(y, float), np.asarray(spend, float)
    seen = np.isfinite(y)
    n_channels, lags = spend.shape[1], _lagged(spend)
    active = np.array([s[s > 0].mean() for s in spend.T])
    total = spend.sum(0)
    # before seeing the response, any channel may return anything up to what would make advertising most of all sales
    broad = 0.7 * np.nansum(y) / spend[seen].sum()
    names = list(channels)
    free = np.column_stack([design, spend[:, [names.index(name) for name in chased]]])[seen]
    when = np.flatnonzero(seen)
    experiments = []
    for t in tests:
        other, c, weeks = spend.copy(), names.index(t.channel), slice(t.first, t.last + 1)
        other[weeks, c] *= t.factor
        experiments.append((c, weeks, _lagged(other[:, [c]]), (spend - other).sum(), t))

    def unpack(theta: np.ndarray) -> tuple[np.ndarray, ...]:
        carry = 1 / (1 + np.exp(-theta[:, :n_channels]))
        half = active * np.exp(theta[:, n_channels : 2 * n_channels])
        slope = np.exp(theta[:, 2 * n_channels : 3 * n_channels])
        return carry, half, slope, np.exp(theta[:, 3 * n_channels :])

    def caused(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        carry, half, slope, roi = unpack(theta)
        shape = hill(_stock(lags, carry), half[:, :, None], slope[:, :, None])
        size = roi * total / np.maximum(shape.sum(2), 1e-12)
        return size, size[:, :, None] * shape

    def against(theta: np.ndarray, size: np.ndarray, made: np.ndarray) -> np.ndarray:
        carry, half, slope, _ = unpack(theta)
        value = np.zeros(len(theta))
        for c, weeks, elsewhere, moved, t in experiments:
            shape = hill(_stock(elsewhere, carry[:, [c]])[:, 0], half[:, [c]], slope[:, [c]])
            change = (made[:, c] - size[:, [c]] * shape)[:, weeks].sum(1)
            value -= 0.5 * ((change / moved - t.roi) / t.se) ** 2
        return value

    def log_posterior(
        theta: np.ndarray, whiten: np.ndarray, target: np.ndarray, freedom: int
    ) -> np.ndarray:
        parts = theta.reshape(len(theta), 4, n_channels)
        prior = sum(
            -0.5 * (((parts[:, j] - m) / s) ** 2).sum(1)
            for j, (m, s) in enumerate((CARRY, HALF, SLOPE))
        )
        roi = np.exp(parts[:, 3])
        prior += (parts[:, 3] - 0.5 * (roi / broad) ** 2).sum(1)
        size, made = caused(theta)
        prior += against(theta, size, made)
        left = target - made.sum(1)[:, seen] @ whiten.T
        value = prior - 0.5 * freedom * np.log((left**2).sum(1))
        return np.where(np.isfinite(value), value, -np.inf)

    start = np.repeat([CARRY[0], HALF[0], SLOPE[0], np.log(broad / 3)], n_channels)
    wander = echo = 0.0
    mode = start
    for _ in range(2):  # the second pass knows how much demand wanders and how long noise lasts
        whiten, freedom = whitener(free, when, wander, echo)
        goal = (whiten, whiten @ y[seen], freedom)
        mode = climb(lambda theta, goal=goal: log_posterior(theta, *goal), mode)
        residual = y - caused(mode[None])[1][0].sum(0)
        wander, echo = texture(residual[seen], free, when)
    whiten, freedom = whitener(free, when, wander, echo)
    goal = (whiten, whiten @ y[seen], freedom)
    mode = climb(lambda theta: log_posterior(theta, *goal), mode)
    wide = np.repeat([CARRY[1], HALF[1], SLOPE[1], 0.5], n_channels)
    chains = walk(lambda theta: log_posterior(theta, *goal), mode, wide, steps=steps, rng=rng)
    draws, mixing = chains.reshape(-1, len(mode)), split_rhat(chains[:, :, 3 * n_channels :])
    size, made = caused(draws)
    left = goal[1] - made.sum(1)[:, seen] @ whiten.T
    noise = np.sqrt((left**2).sum(1) / rng.chisquare(freedom, len(draws)))
    carry, half, slope, roi = unpack(draws)
    return ResponseFit(
        tuple(channels), spend, roi, carry, half, slope, size, noise, mixing, wander, echo
    )


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
