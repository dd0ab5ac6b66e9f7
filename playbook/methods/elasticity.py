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
from pandas import DataFrame

from playbook.messages import say
from playbook.methods.uncensored import level_around, season_of

Array = np.ndarray

__all__ = ["price_elasticity", "price_response", "regular_prices"]

#: mean of 1,851 published elasticities (Bijmolt, van Heerde & Pieters, JMR 2005, 42:2)
USUAL_RESPONSE = 2.62
MIN_PRICES, MIN_WEEKS_AT_PRICE, MIN_UNITS = 3, 3, 50
#: logs of prices that differ by less are one price
SAME_PRICE = 0.01
#: a week with less of it on promotion is an ordinary one
LEAST_PROMO = 0.05
#: the widest interval of an elasticity that is still told
WIDEST = 3.0
#: what weekly counts vary over Poisson
OVERDISPERSION = 3
#: furthest log price from a sku's usual one, and the largest response to a price
FURTHEST_PRICE, MOST_RESPONSE = 0.6, 6.0


def price_elasticity(
    units: Array,
    exposure: Array,
    price: Array,
    week: Array,
    *,
    group: Array,
    promo: Array,
    confidence: float = 0.95,
    widest: float = WIDEST,
) -> DataFrame:
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
    log_price = np.log(np.where(known, price, 1.0))
    asked = DataFrame(log_price).where(known)
    is_varied = (asked.max(axis=1) - asked.min(axis=1) > SAME_PRICE).to_numpy()
    # the week of a move has both prices in it
    moved = np.abs(np.diff(log_price, axis=1, prepend=log_price[:, :1])) > SAME_PRICE
    known &= ~moved
    log_price = np.where(known, log_price, 0.0)
    exposure = np.where(known, exposure, 0.0)
    units = np.where(known, units, 0.0)
    offset = _expected_units(units, exposure, week, group, promo)
    n_prices = _price_points(log_price, known & (promo < LEAST_PROMO))
    beta, variance, df = _clustered_poisson(units, offset, _design(log_price, known, promo), known)
    se = np.sqrt(variance)
    wide = student.ppf((1 + confidence) / 2, df) * se
    n_units = units.sum(axis=1)
    refusals = {
        "all_equal": ~is_varied,
        "only_promotions": n_prices < 2,
        "few_prices": n_prices < MIN_PRICES,
        "few_units": n_units < MIN_UNITS,
        "no_estimate": ~(np.isfinite(beta) & np.isfinite(se)),
        "too_wide": 2 * wide > widest,
    }
    refusal = np.select(list(refusals.values()), list(refusals), default="")
    ends = {"low": beta - wide, "high": beta + wide}
    found = DataFrame({"estimate": beta, **ends, "se": se})
    found[refusal != ""] = np.nan
    return found.assign(
        n_prices=n_prices,
        n_weeks=known.sum(axis=1),
        n_units=n_units,
        is_identifiable=refusal == "",
        reason=[code and _refusal(code) for code in refusal],
    )


def _refusal(code: str) -> str:
    """Why an elasticity is not identifiable."""
    return say(
        f"methods.elasticity_{code}",
        prices=MIN_PRICES,
        units=MIN_UNITS,
    )


def _expected_units(
    units: Array,
    exposure: Array,
    week: Array,
    group: Array,
    promo: Array,
) -> Array:
    """What season and the weeks of the *other* skus lead one to expect."""
    season, uplift = season_of(
        units,
        exposure,
        week,
        group=group,
        promo=promo,
        own="left out",
    )
    seasonal = exposure * season[:, week]
    scale = seasonal * (1 + (uplift[:, None] - 1) * promo)
    base = level_around(units, scale, half_width=26) * scale
    shop = (units.sum(axis=0) - units + 20) / (base.sum(axis=0) - base + 20)
    return np.maximum(seasonal * shop, 1e-12)


def _design(log_price: Array, known: Array, promo: Array) -> Array:
    """(sku, week, regressor): price, own level, a trend that bends once a year, promotion."""
    n_weeks = log_price.shape[1]
    slow = np.linspace(-1, 1, n_weeks)
    knots = np.linspace(-1, 1, 2 + max(n_weeks // 52, 1))[1:-1]
    trends = [
        np.ones_like(slow),
        slow,
        *(np.maximum(slow - knot, 0) for knot in knots),
    ]
    centred = np.where(known, log_price - _mean(log_price, known), 0.0)
    flat = [np.broadcast_to(trend, promo.shape) for trend in trends]
    return np.stack([centred, *flat, promo], axis=2)


def price_response(units: Array, scale: Array, price: Array) -> tuple[float, Array]:
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
    away = np.clip(logs - _mean(logs, known), -FURTHEST_PRICE, FURTHEST_PRICE)
    logs = np.where(known, away, 0.0)
    # one number needs no more than the skus that sold most
    best = np.argsort(-units.sum(axis=1), kind="stable")[:2_000]
    use, at = (known & (scale > 0))[best], logs[best]
    units, scale = (
        np.where(use, units[best], 0.0),
        np.where(use, scale[best], 0.0),
    )
    response = USUAL_RESPONSE
    for _ in range(6):
        priced = scale * np.exp(-response * at)
        mean = level_around(units, priced, half_width=13) * priced
        move = np.where(
            use,
            at - level_around(mean * at, mean, half_width=13),
            0.0,
        )
        gap = ((mean - units) * move).sum() + OVERDISPERSION * (USUAL_RESPONSE - response)
        response += gap / ((mean * move**2).sum() + OVERDISPERSION)
    response = float(np.clip(response, 0.0, MOST_RESPONSE))
    return response, np.exp(-response * (logs - logs[:, -1:]))


def regular_prices(price: Array, promo: Array) -> Array:
    """Weekly regular price: what was asked in weeks without promotion, carried forward,
    then back; (sku, week).

    Averages of what was paid wobble with coupons and partial weeks: moves under one
    percent are taken out.
    """
    asked = np.where((promo < LEAST_PROMO) & (price > 0), price, np.nan)
    filled = DataFrame(asked.T).ffill().bfill().to_numpy().T
    steady = filled.copy()
    for t in range(1, steady.shape[1]):
        same = np.abs(np.log(filled[:, t] / steady[:, t - 1])) < SAME_PRICE
        steady[:, t] = np.where(same, steady[:, t - 1], filled[:, t])
    return steady


def _price_points(log_price: Array, known: Array) -> Array:
    """Prices more than one percent apart that were each asked for at least three weeks."""
    count = np.zeros(len(log_price), dtype=int)
    for i, row in enumerate(log_price):
        asked = np.sort(row[known[i]])
        steps = np.flatnonzero(np.diff(asked) > SAME_PRICE) + 1
        n_weeks = np.diff(np.r_[0, steps, len(asked)])
        count[i] = (n_weeks >= MIN_WEEKS_AT_PRICE).sum()
    return count


def _clustered_poisson(
    y: Array, offset: Array, design: Array, known: Array
) -> tuple[Array, Array, Array]:
    """Poisson regressions side by side: first coefficient, its variance, degrees of
    freedom; one per row of y. Errors are clustered by four-week blocks.
    """
    beta, mean, hessian = _poisson_fits(y, offset, design, known)
    k = design.shape[2]
    bread = np.linalg.inv(hessian)[:, 0, :]
    residual = np.where(known, y - mean, 0.0)
    block = np.arange(y.shape[1]) // 4
    scores = np.zeros((len(y), int(block.max()) + 1, k))
    np.add.at(scores, (slice(None), block), design * residual[:, :, None])
    n_blocks = (np.abs(scores).sum(axis=2) > 0).sum(axis=1)
    weeks = known.sum(axis=1)
    spare = np.maximum(weeks - k, 1)
    fix = n_blocks / np.maximum(n_blocks - 1, 1) * (weeks - 1) / spare
    clustered = (np.einsum("ik,igk->ig", bread, scores) ** 2).sum(axis=1) * fix
    # model variance: squared errors grow as mean + φ·mean², weeks independent
    excess = np.where(known, residual**2 - mean, 0).sum(axis=1)
    phi = np.clip(excess / np.maximum((mean**2).sum(axis=1), 1e-9), 0, None)[:, None]
    spread = np.where(known, mean + phi * mean**2, 0)
    model = (np.einsum("ik,itk->it", bread, design) ** 2 * spread).sum(axis=1) * (weeks / spare)
    variance = np.maximum(clustered, model)
    bad = (weeks <= k + 2) | (n_blocks <= k)
    beta, variance = (np.where(bad, np.nan, part) for part in (beta[:, 0], variance))
    return beta, variance, np.maximum(n_blocks - k, 1)


def _poisson_fits(
    y: Array, offset: Array, design: Array, known: Array
) -> tuple[Array, Array, Array]:
    """Coefficients, fitted means and Hessians of the regressions, by Newton's method."""
    k = design.shape[2]
    unit = np.eye(k)
    # keeps a dummy that never varies from breaking the rest
    ridge = 1e-4 * unit
    beta = np.zeros((len(y), k))
    total = np.maximum((offset * known).sum(axis=1), 1e-12)
    beta[:, 1] = np.log(np.maximum(y.sum(axis=1), 0.5) / total)
    for _ in range(40):
        power = np.clip(np.einsum("itk,ik->it", design, beta), -15, 15)
        mean = np.where(known, offset * np.exp(power), 0.0)
        hessian = np.einsum(
            "itk,it,itl->ikl",
            design,
            mean,
            design,
        )
        size = np.trace(hessian, axis1=1, axis2=2)[:, None, None]
        hessian = hessian + ridge + 1e-9 * unit * size
        slope = np.einsum("itk,it->ik", design, np.where(known, y - mean, 0.0))
        step = np.linalg.solve(hessian, slope[..., None])[..., 0]
        beta += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return beta, mean, hessian


def _mean(values: Array, known: Array) -> Array:
    """Mean of the known weeks of each row, (sku, 1)."""
    n_known = np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, values, 0).sum(axis=1, keepdims=True) / n_known
