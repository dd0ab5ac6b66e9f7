"""Weekly sales of regions whose causes are known: the generator behind the tests and the proof of
the response by region.

Regions differ in size, season, trend, noise and in what a channel does there; a demand nobody
observes is shared by all and budgets follow it; money is dealt out by region with flights of their
own. Nothing is shared with the model but the two textbook shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from known_truth_mmm import _ar


@dataclass(frozen=True)
class Regions:
    """Weekly sales (weeks x regions), spend (weeks x regions x channels), a control of all
    regions, and what each channel truly caused (weeks x channels, the country).
    """

    y: np.ndarray
    spend: np.ndarray
    control: np.ndarray
    caused: np.ndarray


def draw_regions(
    seed,
    *,
    n_weeks=156,
    n_regions=8,
    n_channels=4,
    demand=0.05,
    chase=0.4,
    noise=0.03,
    differ=0.15,
    own=0.6,
):
    """A country from `seed`. `demand` is the sd of the shared demand over mean sales, `chase` the
    share of the variance of log spend that follows it, `noise` the sd of a region's own weeks,
    `differ` that of the log of what a channel does by region, `own` the share of flights that are
    a region's own.
    """
    rng = np.random.default_rng(seed)
    week = np.arange(n_weeks)
    heads = rng.dirichlet(np.full(n_regions, 6.0))
    hidden = _ar(rng, n_weeks, 0.75)
    common = _ar(rng, n_weeks, 0.5, (1, n_channels))
    apart = _ar(rng, n_weeks, 0.5, (n_regions, n_channels))
    flights = np.sqrt(1 - own) * common + np.sqrt(own) * apart
    log = np.sqrt(1 - chase) * flights + np.sqrt(chase) * hidden[:, None, None]
    level = rng.dirichlet(np.full(n_channels, 12.0)) * n_channels * 1000
    spend = level * heads[:, None] * np.exp(0.55 * log)
    spend *= np.exp(0.2 * rng.normal(size=(n_regions, n_channels)))
    dark = np.repeat(rng.random((n_weeks // 3 + 1, n_regions, n_channels)) < 0.2, 3, axis=0)
    spend = np.where(dark[:n_weeks], 0.0, spend)
    carry, slope = rng.uniform(0.1, 0.7, n_channels), rng.uniform(0.8, 1.6, n_channels)
    half = level * rng.uniform(0.5, 2.0, n_channels)
    per_head = spend / heads[:, None]
    stock = np.zeros_like(per_head)
    for t in range(n_weeks):
        stock[t] = (1 - carry) * per_head[t] + (carry * stock[t - 1] if t else 0)
    shape = stock**slope / (stock**slope + half**slope)
    sales, share = 10 * level.sum() * rng.uniform(0.5, 1.5), rng.uniform(0.3, 0.5)
    size = rng.dirichlet(np.full(n_channels, 12.0)) * share * sales / shape.mean(axis=(0, 1))
    factor = np.exp(differ * rng.normal(size=(n_regions, n_channels)))
    caused = shape * size * factor * heads[:, None]
    control = _ar(rng, n_weeks, 0.3)
    phase = rng.uniform(0, 2 * np.pi, n_regions)
    turn = 2 * np.pi * week[:, None] / 52.18
    season = 0.1 * np.sin(turn + 0.3 * phase) + 0.04 * np.sin(2 * turn + phase)
    bend = rng.uniform(-0.15, 0.15, n_regions) * (2 * week[:, None] / n_weeks - 1)
    error = noise * _ar(rng, n_weeks, 0.3, (n_regions,)) + demand * hidden[:, None]
    base = (1 - share) * (1 + season + bend) + 0.03 * control[:, None] + error
    y = sales * heads * base + caused.sum(axis=2)
    return Regions(y, spend, control, caused.sum(axis=1))
