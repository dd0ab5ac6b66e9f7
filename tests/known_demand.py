"""A small shop whose demand law is known, for the tests and proofs of stock: no part of
the product.

Weekly means are level (life cycle) × season of the category × promotion; weeks add
gamma noise; days are Poisson. A careless buyer keeps stock by the average of past
sales, so that shelves run empty and sales hide demand.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.methods.uncensored import sold_out_exposure

LAST = pd.Timestamp("2026-10-31")


@dataclass(frozen=True)
class KnownShop:
    """Arrays are (sku, week) or (sku, week, day); `mean` is the true weekly mean,
    `noise` its extra variance.
    """

    mean: np.ndarray
    noise: np.ndarray
    demand: np.ndarray
    sales: np.ndarray
    closing: np.ndarray
    opening: np.ndarray
    promo: np.ndarray
    category: np.ndarray
    launch: np.ndarray
    first_day: pd.Timestamp

    def week_of_year(self) -> np.ndarray:
        days = self.first_day + pd.to_timedelta(7 * np.arange(self.mean.shape[1]), unit="D")
        return np.minimum((days.day_of_year.to_numpy() - 1) // 7, 51)


def known_shop(seed, n_sku=600, n_weeks=156, more_weeks=0, out_of_stock=True) -> KnownShop:
    rng = np.random.default_rng(seed)
    total = n_weeks + more_weeks
    first = LAST - pd.Timedelta(days=7 * n_weeks - 1)
    week = np.arange(total)
    category = rng.integers(0, 8, n_sku)
    phase, depth = rng.uniform(0, 52, 8), rng.uniform(0.05, 0.5, 8)
    year_week = ((first.day_of_year - 1) / 7 + week) % 52.18
    season = 1 + depth[:, None] * np.cos(2 * np.pi * (year_week[None, :] - phase[:, None]) / 52.18)
    season = season * (1 + 0.8 * np.exp(-0.5 * ((year_week - 46) / 1.2) ** 2))
    level = rng.lognormal(0.7, 1.1, n_sku)
    launch = np.where(rng.random(n_sku) < 0.35, rng.integers(1, n_weeks - 4, n_sku), 0)
    age = np.maximum(week[None, :] - launch[:, None], 0)
    life = np.where(launch[:, None] > 0, 1 - 0.7 * np.exp(-age / 8), 1.0)
    drift = np.exp(np.cumsum(rng.normal(0, 0.03, (n_sku, total)), axis=1))
    promo = np.zeros((n_sku, total))
    for start in range(10, total, 13):
        promo[np.ix_(rng.random(n_sku) < 0.25, [start])] = 1.0
    mean = (
        level[:, None]
        * life
        * drift
        * season[category]
        * (1 + 0.9 * promo)
        * (week[None, :] >= launch[:, None])
    )
    noise = rng.uniform(0.02, 0.35, n_sku)
    weekly = mean * rng.standard_gamma(np.repeat(1 / noise[:, None], total, 1)) * noise[:, None]
    weekday = np.array([0.9, 0.9, 0.95, 1.0, 1.1, 1.15, 1.0]) / 7
    demand = rng.poisson(weekly[:, :, None] * weekday)
    shape = demand.shape
    days = demand.reshape(n_sku, -1)
    sales, opening, closing = np.zeros_like(days), np.zeros_like(days), np.zeros_like(days)
    arrive = np.zeros((n_sku, days.shape[1] + 60))
    stock = np.ceil(mean[np.arange(n_sku), launch] * 8)
    for d in range(days.shape[1]):
        live = d >= 7 * launch
        stock = np.where(live, stock + arrive[:, d], stock)
        opening[:, d] = stock
        sales[:, d] = np.minimum(days[:, d], stock) if out_of_stock else days[:, d]
        stock = stock - sales[:, d] if out_of_stock else stock
        closing[:, d] = stock
        if (
            d % 14 == 13 and out_of_stock
        ):  # the average of eight weeks of sales, and nothing for chance
            average = sales[:, max(d - 55, 0) : d + 1].mean(axis=1)
            want = np.maximum(average * 60, 4) - stock - arrive[:, d + 1 :].sum(axis=1)
            due = d + 1 + np.clip(rng.gamma(16, 1.3, n_sku).astype(int), 7, 55)
            arrive[np.arange(n_sku), due] += np.where(live, np.maximum(np.ceil(want), 0), 0)
    cut = [part.reshape(shape) for part in (sales, closing, opening)]
    return KnownShop(mean, noise, demand, cut[0], cut[1], cut[2], promo, category, launch, first)


def exposed(shop: KnownShop, n_weeks: int) -> tuple[np.ndarray, np.ndarray]:
    """Weekly sales and exposure as a shop sees them from its closing stock and sales."""
    sales, closing = shop.sales[:, :n_weeks], shop.closing[:, :n_weeks]
    live = np.arange(n_weeks)[None, :, None] >= shop.launch[:, None, None]
    whole = (closing > 0) & live
    out = (closing == 0) & (sales > 0)
    units = sales.sum(axis=2).astype(float)
    return units, sold_out_exposure(
        units, whole.sum(axis=2), out.sum(axis=2), (sales * out).sum(axis=2)
    )
