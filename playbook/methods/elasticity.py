"""Price elasticity of each sku, or the plain statement that these data cannot tell it.

Multiplicative demand with fixed effects by Poisson pseudo-likelihood (Santos Silva &
Tenreyro, REStat 2006), so weeks without a sale stay in: log E[units] = log exposure +
season of the category + week of the shop + own level and slow trend + promotion + ε ·
log(price). Shop weeks are estimated on the *other* skus and enter as known; what a
promotion does beyond its price (banner, mailing) goes to a dummy and so does the price
cut that comes with it: ε is learnt from price moves outside promotions. Errors are
clustered by four-week blocks (Liang & Zeger, Biometrika 1986) with the small-sample
factor and t quantiles of Cameron & Miller (JHR 2015); the wider of clustered and model
variance counts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from playbook.methods.uncensored import level_around, season_of

__all__ = ["price_elasticity", "price_response", "regular_prices"]

USUAL_RESPONSE = (
    2.62  # mean of 1,851 published elasticities (Bijmolt, van Heerde & Pieters, JMR 2005, 42:2)
)
MIN_PRICES, MIN_WEEKS_AT_PRICE, MIN_UNITS, SAME_PRICE = 3, 3, 50, 0.01


def price_elasticity(
    units: np.ndarray,
    exposure: np.ndarray,
    price: np.ndarray,
    week: np.ndarray,
    *,
    group: np.ndarray,
    promo: np.ndarray,
    confidence: float = 0.95,
    widest: float = 3.0,
) -> pd.DataFrame:
    """One row per sku: estimate, low, high, se, n_prices, n_weeks, n_units,
    is_identifiable, reason.

    Arrays are (sku, week); `price` is the regular price (missing: unknown, the week is
    left out), `promo` the share of the week on promotion. Estimates are missing where
    `is_identifiable` is false, and `reason` says why: fewer than three regular prices
    of three weeks each, under fifty units, prices that only move with promotions, or an
    interval wider than `widest`. Confounding by what moves with the price and is not in
    the table stays in the estimate.
    """
    from scipy.stats import t as student

    known = np.isfinite(price) & (price > 0) & (exposure > 0) & np.isfinite(units)
    moved = np.abs(np.diff(np.log(np.where(known, price, 1.0)), axis=1, prepend=0.0)) > SAME_PRICE
    logs = np.where(known, np.log(np.where(known, price, 1.0)), np.nan)
    varied = (
        np.fmax.reduce(logs, axis=1, initial=-np.inf) - np.fmin.reduce(logs, axis=1, initial=np.inf)
        > SAME_PRICE
    )
    known &= ~(moved & (np.arange(units.shape[1]) > 0))  # the week of a move has both prices in it
    exposure, units = np.where(known, exposure, 0.0), np.where(known, units, 0.0)
    log_price = np.log(np.where(known, price, 1.0))
    season, uplift = season_of(units, exposure, week, group=group, promo=promo, own="left out")
    lift = 1 + (uplift[:, None] - 1) * promo
    scale = exposure * season[:, week] * lift
    base = level_around(units, scale, half_width=26) * scale
    shop = (units.sum(axis=0) - units + 20) / (base.sum(axis=0) - base + 20)
    offset = np.maximum(exposure * season[:, week] * shop, 1e-12)

    usual = promo < 0.05
    n_prices = _price_points(log_price, known & usual)
    slow = np.linspace(-1, 1, units.shape[1])
    bends = np.maximum(
        slow[None, :] - np.linspace(-1, 1, 2 + max(units.shape[1] // 52, 1))[1:-1, None], 0
    )
    centred = np.where(known, log_price - _mean(log_price, known)[:, None], 0.0)
    flat = [np.broadcast_to(part, units.shape) for part in (np.ones_like(slow), slow, *bends)]
    design = np.stack([centred, *flat, promo], axis=2)
    beta, variance, df = _clustered_poisson(
        units, offset, design, known, np.arange(units.shape[1]) // 4
    )
    wide = student.ppf((1 + confidence) / 2, df)
    se = np.sqrt(variance)

    n_units = units.sum(axis=1)
    reason = np.select(
        [
            ~varied,
            (n_prices < 2) & varied,
            n_prices < MIN_PRICES,
            n_units < MIN_UNITS,
            ~(np.isfinite(beta) & np.isfinite(se)),
            2 * wide * se > widest,
        ],
        [
            "all prices equal",
            "prices moved only in promotions",
            f"fewer than {MIN_PRICES} regular prices",
            f"fewer than {MIN_UNITS} units",
            "no estimate",
            "interval too wide",
        ],
        default="",
    )
    good = reason == ""
    keep = lambda part: np.where(good, part, np.nan)
    return pd.DataFrame(
        {
            "estimate": keep(beta),
            "low": keep(beta - wide * se),
            "high": keep(beta + wide * se),
            "se": keep(se),
            "n_prices": n_prices,
            "n_weeks": known.sum(axis=1),
            "n_units": n_units,
            "is_identifiable": good,
            "reason": reason,
        }
    )


def price_response(
    units: np.ndarray,
    scale: np.ndarray,
    price: np.ndarray,
    *,
    half_width: int = 13,
    most: int = 2_000,
) -> tuple[float, np.ndarray]:
    """One elasticity for all skus (positive: dearer sells less), for what a price move
    does to a forecast, and the factor on demand of each week's price against the last
    one, (sku, week).

    Poisson regression of each week on the weeks around it, so that neither season nor
    life cycle passes for a price. Shrunk to `USUAL_RESPONSE` with a spread of one. A
    price further than exp(0.6) from the sku's usual one is an error or another product:
    cut to that.
    """
    known = np.isfinite(price) & (price > 0)
    logs = np.log(np.where(known, price, 1.0))
    logs = np.where(known, np.clip(logs - _mean(logs, known)[:, None], -0.6, 0.6), 0.0)
    # one number needs no more than the skus that sold most
    some = np.argsort(-units.sum(axis=1), kind="stable")[:most]
    use, at = (known & (scale > 0))[some], logs[some]
    units, scale, response = (
        np.where(use, units[some], 0.0),
        np.where(use, scale[some], 0.0),
        USUAL_RESPONSE,
    )
    for _ in range(6):
        priced = scale * np.exp(-response * at)
        mean = level_around(units, priced, half_width=half_width) * priced
        move = np.where(use, at - level_around(mean * at, mean, half_width=half_width), 0.0)
        gap = ((mean - units) * move).sum() + 3 * (
            USUAL_RESPONSE - response
        )  # 3: what weekly counts vary over Poisson
        response += gap / ((mean * move**2).sum() + 3)
    response = float(np.clip(response, 0.0, 6.0))
    return response, np.exp(-response * (logs - logs[:, -1:]))


def regular_prices(price: np.ndarray, promo: np.ndarray) -> np.ndarray:
    """Weekly regular price: what was asked in weeks without promotion, carried forward,
    then back; (sku, week).

    Averages of what was paid wobble with coupons and partial weeks: moves under one
    percent are taken out.
    """
    asked = np.where((promo < 0.05) & (price > 0), price, np.nan)
    filled = pd.DataFrame(asked.T).ffill().bfill().to_numpy().T
    steady = filled.copy()
    for t in range(1, steady.shape[1]):
        same = np.abs(np.log(filled[:, t] / steady[:, t - 1])) < SAME_PRICE
        steady[:, t] = np.where(same, steady[:, t - 1], filled[:, t])
    return steady


def _price_points(log_price: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Prices more than one percent apart that were each asked for at least three weeks."""
    count = np.zeros(len(log_price), dtype=int)
    for i in range(len(log_price)):
        seen = np.sort(log_price[i, known[i]])
        if len(seen):
            edges = np.flatnonzero(np.diff(seen) > SAME_PRICE)
            count[i] = (
                np.diff(np.concatenate([[-1], edges, [len(seen) - 1]])) >= MIN_WEEKS_AT_PRICE
            ).sum()
    return count


def _clustered_poisson(
    y: np.ndarray, offset: np.ndarray, design: np.ndarray, known: np.ndarray, cluster: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poisson regressions side by side: first coefficient, its variance, degrees of
    freedom; one per row of y.
    """
    n, _, k = design.shape
    ridge = 1e-4 * np.eye(k)  # keeps a dummy that never varies from breaking the rest
    beta = np.zeros((n, k))
    total = np.maximum((offset * known).sum(axis=1), 1e-12)
    beta[:, 1] = np.log(np.maximum(y.sum(axis=1), 0.5) / total)
    for _ in range(40):
        mean = np.where(
            known, offset * np.exp(np.clip(np.einsum("itk,ik->it", design, beta), -15, 15)), 0.0
        )
        hessian = np.einsum("itk,it,itl->ikl", design, mean, design)
        hessian = (
            hessian + ridge + 1e-9 * np.eye(k) * np.trace(hessian, axis1=1, axis2=2)[:, None, None]
        )
        slope = np.einsum("itk,it->ik", design, np.where(known, y - mean, 0.0))
        step = np.linalg.solve(hessian, slope[..., None])[..., 0]
        beta += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    bread = np.linalg.inv(hessian)
    residual = np.where(known, y - mean, 0.0)
    groups = int(cluster.max()) + 1
    scores = np.zeros((n, groups, k))
    np.add.at(scores, (slice(None), cluster), design * residual[:, :, None])
    n_clusters = (np.abs(scores).sum(axis=2) > 0).sum(axis=1)
    weeks = known.sum(axis=1)
    fix = n_clusters / np.maximum(n_clusters - 1, 1) * (weeks - 1) / np.maximum(weeks - k, 1)
    reach = np.einsum("ik,igk->ig", bread[:, 0, :], scores)
    clustered = (reach**2).sum(axis=1) * fix
    # model variance: squared errors grow as mean + φ·mean², weeks independent
    pearson = np.where(known, residual**2 - mean, 0).sum(axis=1) / np.maximum(
        (mean**2).sum(axis=1), 1e-9
    )
    spread = np.where(known, mean + np.clip(pearson, 0, None)[:, None] * mean**2, 0)
    model = (np.einsum("ik,itk->it", bread[:, 0, :], design) ** 2 * spread).sum(axis=1)
    model *= weeks / np.maximum(weeks - k, 1)
    bad = (weeks <= k + 2) | (n_clusters <= k)
    return (
        np.where(bad, np.nan, beta[:, 0]),
        np.where(bad, np.nan, np.maximum(clustered, model)),
        np.maximum(n_clusters - k, 1),
    )


def _mean(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
