"""Weekly sales whose causes are known: the generator behind the channel-response tests
and benchmark.

Nothing here is shared with the model but the two textbook shapes (geometric carry-over,
Hill). The adstock is the plain recursion, parameters are drawn from uniform laws and
not from the model's priors, and the trend bends, which the model's straight trend does
not know. `SETTINGS` says what is drawn, `realised` what came out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SETTINGS = {
    "channels": 4,
    "weeks": 104,
    "media share of sales": "U(.3, .5), split unevenly (Dirichlet 12)",
    "carry-over": "U(.1, .7)",
    "half-saturation / mean active week": "U(.5, 2.0)",
    "Hill exponent": "U(.8, 1.6)",
    "weekly spend": "log AR(1) .5, sigma .55, a third of it common to all channels; dark 10-40 % of weeks, in flights",
    "baseline": "bent trend +-15 %, two-harmonic season 8-15 %, one control 3 %",
    "noise sd / mean sales": 0.015,
    "noise lag-one correlation": "U(0, .4)",
}


@dataclass(frozen=True)
class World:
    """One drawn world: weekly sales, spend (weeks x channels), the control, and what
    each channel truly caused.
    """

    y: np.ndarray
    spend: np.ndarray
    control: np.ndarray
    caused: np.ndarray
    carry: np.ndarray
    demand: np.ndarray

    @property
    def roi(self):
        return self.caused.sum(0) / self.spend.sum(0)


def _ar(rng, n, rho, shape=()):
    x = np.empty((n, *shape))
    x[0] = rng.standard_normal(shape)
    for t in range(1, n):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * rng.standard_normal(shape)
    return x


def draw_world(
    seed,
    *,
    n_weeks=104,
    n_channels=4,
    noise=0.015,
    chase=0.0,
    demand=0.0,
    rho=0.75,
    even=12.0,
    darkness=(0.1, 0.4),
    media=(0.3, 0.5),
):
    """A world from `seed`. `demand` is the sd of an unobserved demand (AR(1) `rho`)
    over mean sales; `chase` the share of the variance of every channel's log spend that
    follows it, half this week's and half last week's.
    """
    rng = np.random.default_rng(seed)
    week = np.arange(n_weeks)
    hidden = _ar(rng, n_weeks, rho)
    common, own = _ar(rng, n_weeks, 0.5), _ar(rng, n_weeks, 0.5, (n_channels,))
    asked = (hidden + np.concatenate([hidden[:1], hidden[:-1]])) / np.sqrt(2 + 2 * rho)
    usual = np.sqrt(1 / 3) * common[:, None] + np.sqrt(2 / 3) * own
    log = 0.55 * (np.sqrt(1 - chase) * usual + np.sqrt(chase) * asked[:, None])
    level = rng.dirichlet(np.full(n_channels, even)) * n_channels * 1000
    spend = level * np.exp(log)
    for c in range(n_channels):
        dark = rng.uniform(*darkness)
        while (spend[:, c] == 0).mean() < dark:
            at = rng.integers(0, n_weeks)
            spend[at : at + rng.integers(2, 7), c] = 0
    carry, slope = rng.uniform(0.1, 0.7, n_channels), rng.uniform(0.8, 1.6, n_channels)
    half = np.array([s[s > 0].mean() for s in spend.T]) * rng.uniform(0.5, 2, n_channels)
    stock = np.zeros_like(spend)
    for t in range(n_weeks):
        stock[t] = (1 - carry) * spend[t] + (carry * stock[t - 1] if t else 0)
    shape = stock**slope / (stock**slope + half**slope)
    base_level = 10 * level.sum() * rng.uniform(0.5, 1.5)
    share = rng.uniform(*media)
    caused = shape / shape.mean(0) * rng.dirichlet(np.full(n_channels, even)) * share * base_level
    control = _ar(rng, n_weeks, 0.3)
    bend = rng.uniform(-0.15, 0.15) * (2 * week / n_weeks - 1) + rng.uniform(-0.05, 0.05) * np.sin(
        np.pi * week / n_weeks
    )
    phase = rng.uniform(0, 2 * np.pi, 2)
    turn = 2 * np.pi * week / 52.18
    season = rng.uniform(0.08, 0.15) * np.sin(turn + phase[0]) + 0.04 * np.sin(2 * turn + phase[1])
    base = base_level * ((1 - share) * (1 + bend + season) + 0.03 * control)
    error = noise * _ar(rng, n_weeks, rng.uniform(0, 0.4)) + demand * hidden
    return World(base + caused.sum(1) + base_level * error, spend, control, caused, carry, hidden)


def realised(world, noise):
    """Signal-to-noise, media share and spend correlation of one world."""
    media = world.caused.sum(1)
    pairs = np.corrcoef(world.spend.T)[np.triu_indices(world.spend.shape[1], 1)]
    return {
        "signal_to_noise": media.std() / (noise * world.y.mean()),
        "media_share": media.sum() / world.y.sum(),
        "spend_correlation": pairs.mean(),
        "spend_cv": (world.spend.std(0) / world.spend.mean(0)).mean(),
    }
