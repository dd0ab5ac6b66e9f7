"""Price elasticity of each sku, or the plain statement that these data cannot tell it.

Multiplicative demand with fixed effects by Poisson pseudo-likelihood (Santos Silva &
Tenreyro, REStat 2006), so weeks without a sale stay in: log E[units] = log exposure +
season of the category + week of category and shop + own level and slow trend + promotion
+ ε · log(price). Weeks are estimated on the *other* skus that did not move along, at
unmoved prices, and enter as known; what a
promotion does beyond its price (banner, mailing) goes to a dummy and so does the price
cut that comes with it: ε is learnt from price moves outside promotions. Errors are
clustered by four-week blocks (Liang & Zeger, Biometrika 1986) with the small-sample
factor and t quantiles of Cameron & Miller (JHR 2015); the wider of clustered and model
variance counts. ε of a sku is then drawn towards its category and shop (pooling), which
hear only skus whose prices moved apart (moves).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pandas import DataFrame

from playbook.messages import say
from playbook.methods.moves import SAME_PRICE, PriceMoves, moving_together, price_moves
from playbook.methods.pooling import pooled
from playbook.methods.uncensored import level_around, season_of

Array = np.ndarray

__all__ = ["price_elasticity", "price_response", "regular_prices"]

#: mean of 1,851 published elasticities (Bijmolt, van Heerde & Pieters, JMR 2005, 42:2)
USUAL_RESPONSE = 2.62
MIN_PRICES, MIN_WEEKS_AT_PRICE, MIN_UNITS = 3, 3, 50
#: price moves apart from category, promotions and stock that tell an elasticity
MIN_MOVES = 2
#: a price that moves in more than this share of the weeks is one of whole weeks
WEEKLY_PRICING = 0.25
#: turns taken between the response and what the others sold without it
ROUNDS = 3
#: units a week of the shop, and of a category, at which its weeks count half
SHOP_UNITS, CATEGORY_UNITS = 20, 60
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
    """One row per sku: estimate, low, high, se (pooled), own_estimate, own_se (of the sku
    alone), n_prices, n_moves, n_weeks, n_units, is_identifiable, reason.

    Arrays are (sku, week); `price` is the regular price (missing: unknown, the week is
    left out), `promo` the share of the week on promotion. Estimates are missing where
    `is_identifiable` is false, and `reason` says why. A narrow interval identifies
    nothing by itself: a sku needs two price moves apart from its category, promotions
    and stock, three regular prices of three weeks each and fifty units. The control of
    a move are the weeks of the others in its category that did not move with it.
    Confounding by what moves with the price and is not in the table stays in the estimate.
    """
    from scipy.stats import norm

    market = _market(
        price,
        units=units,
        exposure=exposure,
        week=week,
        group=group,
        promo=promo,
    )
    refusals = _refusals(market)
    found = _estimates(market, ~np.any(list(refusals.values()), axis=0))
    wide = norm.ppf((1 + confidence) / 2) * found["se"]
    found["low"], found["high"] = found["estimate"] - wide, found["estimate"] + wide
    refusals |= {
        "no_estimate": ~np.isfinite(found["se"]),
        "too_wide": 2 * wide > widest,
    }
    refusal = np.select(list(refusals.values()), list(refusals), default="")
    found.loc[refusal != "", ["estimate", "low", "high", "se"]] = np.nan
    return found[["estimate", "low", "high", "se", "own_estimate", "own_se"]].assign(
        n_prices=market.n_prices,
        n_moves=market.moves.n_own,
        n_weeks=market.known.sum(axis=1),
        n_units=market.units.sum(axis=1),
        is_identifiable=refusal == "",
        reason=[code and _refusal(code) for code in refusal],
    )


@dataclass(frozen=True)
class _Market:
    """What was sold and asked, (sku, week), weeks that say nothing set to 0; and of each
    sku how many regular prices it had, and whether there was more than one at all.
    """

    units: Array
    exposure: Array
    known: Array
    week: Array
    group: Array
    promo: Array
    moves: PriceMoves
    n_prices: Array
    is_varied: Array


def _market(price: Array, *, units: Array, exposure: Array, promo: Array, **skus: Array) -> _Market:
    """The weeks that say something of a price."""
    known = np.isfinite(price) & (price > 0) & (exposure > 0) & np.isfinite(units)
    log_price = np.log(np.where(known, price, 1.0))
    asked = DataFrame(log_price).where(known)
    is_varied = (asked.max(axis=1) - asked.min(axis=1) > SAME_PRICE).to_numpy()
    moves = price_moves(
        log_price,
        known,
        group=skus["group"],
        promo=promo,
        exposure=np.where(known, exposure, 0.0),
    )
    known &= ~_has_two_prices(moves.size)
    log_price = np.where(known, log_price, 0.0)
    return _Market(
        units=np.where(known, units, 0.0),
        exposure=np.where(known, exposure, 0.0),
        known=known,
        promo=promo,
        moves=moves,
        n_prices=_price_points(log_price, known & (promo < LEAST_PROMO)),
        is_varied=is_varied,
        **skus,
    )


def _refusals(market: _Market) -> dict[str, Array]:
    """Why a sku's prices say nothing, before anything is estimated."""
    has_promotions = (market.promo > 0).any(axis=1)
    moves, n_prices = market.moves, market.n_prices
    return {
        "all_equal": ~market.is_varied,
        "only_promotions": has_promotions & ((n_prices < 2) | moves.with_promotions),
        "with_stock": moves.with_stock,
        "together": (moves.n_own < MIN_MOVES) & moves.is_common.any(axis=1),
        "few_prices": n_prices < MIN_PRICES,
        "few_moves": moves.n_own < MIN_MOVES,
        "few_units": market.units.sum(axis=1) < MIN_UNITS,
    }


def _has_two_prices(size: Array) -> Array:
    """Weeks in which the price moved have both prices in them, unless the sku is priced by
    the week.
    """
    moved = size != 0
    return moved & (moved.mean(axis=1, keepdims=True) <= WEEKLY_PRICING)


def _estimates(market: _Market, can_tell: Array) -> DataFrame:
    """Elasticity of each sku alone (own_estimate, own_se) and drawn towards its category
    (estimate, se), missing where the sku cannot tell.

    What the others sold is taken at unmoved prices: that needs their response, so the two
    take turns.
    """
    moves, response = market.moves, np.full(len(market.units), -USUAL_RESPONSE)
    ones = np.ones((len(market.units), 1))
    voices = 1 / moving_together(moves.size, market.group, [ones])[0][:, 0]
    design = _design(moves, market)
    for _ in range(ROUNDS):
        offset = _expected_units(market, response)
        beta, variance, _df = _clustered_poisson(
            market.units,
            offset,
            design,
            market.known,
        )
        own_se = np.sqrt(variance)
        beta, own_se = (np.where(can_tell, part, np.nan) for part in (beta, own_se))
        estimate, se = pooled(
            beta,
            own_se,
            market.group,
            voices=voices,
            whole=-USUAL_RESPONSE,
        )
        response = _response(estimate, se, market.group)
    return DataFrame(
        {
            "estimate": estimate,
            "se": se,
            "own_estimate": beta,
            "own_se": own_se,
        }
    )


def _response(estimate: Array, se: Array, group: Array) -> Array:
    """What a price does to each sku as far as is known: its own estimate, else the mean of
    its category, else of the shop, else of the literature.
    """
    told = DataFrame({"estimate": estimate, "group": group})
    by_group = told.groupby("group")["estimate"].transform("mean")
    known = told["estimate"].fillna(by_group).fillna(told["estimate"].mean())
    known = known.fillna(-USUAL_RESPONSE).to_numpy()
    return np.clip(known, -MOST_RESPONSE, 0.0)


def _refusal(code: str) -> str:
    """Why an elasticity is not identifiable."""
    return say(
        f"methods.elasticity_{code}",
        prices=MIN_PRICES,
        moves=MIN_MOVES,
        units=MIN_UNITS,
    )


def _expected_units(market: _Market, response: Array) -> Array:
    """What season and the weeks of the others that did not move along lead one to expect."""
    moves, promo = market.moves, market.promo
    path = moves.own + moves.shared
    lift = np.exp(response[:, None] * (path - _mean(path, market.known)))
    season, uplift = season_of(
        market.units,
        market.exposure * lift,
        market.week,
        group=market.group,
        promo=promo,
        own="left out",
    )
    seasonal = market.exposure * season[:, market.week]
    scale = seasonal * lift * (1 + (uplift[:, None] - 1) * promo)
    base = level_around(market.units, scale, half_width=26) * scale
    along = moving_together(moves.size, market.group, [market.units, base])
    parts = (market.units, base)
    shop = [part.sum(axis=0) - own for part, own in zip(parts, along, strict=True)]
    shop_factor = (shop[0] + SHOP_UNITS) / (shop[1] + SHOP_UNITS)
    _names, member = np.unique(market.group, return_inverse=True)
    sums = [_by_group(part, member)[member] for part in parts]
    near = [part - own for part, own in zip(sums, along, strict=True)]
    # a category's own weeks count as far as it sells enough to show them
    factor = (near[0] + CATEGORY_UNITS * shop_factor) / (near[1] + CATEGORY_UNITS)
    return np.maximum(seasonal * factor, 1e-12)


def _by_group(part: Array, member: Array) -> Array:
    """Sums of (sku, week) by group."""
    sums = np.zeros((int(member.max(initial=0)) + 1, part.shape[1]))
    np.add.at(sums, member, part)
    return sums


def _design(moves: PriceMoves, market: _Market) -> Array:
    """(sku, week, regressor): own price moves, own level, a trend that bends once a year,
    promotion, price moves of the whole category.
    """
    known, promo = market.known, market.promo
    n_weeks = known.shape[1]
    slow = np.linspace(-1, 1, n_weeks)
    knots = np.linspace(-1, 1, 2 + max(n_weeks // 52, 1))[1:-1]
    trends = [
        np.ones_like(slow),
        slow,
        *(np.maximum(slow - knot, 0) for knot in knots),
    ]
    own, shared = (
        np.where(known, path - _mean(path, known), 0.0) for path in (moves.own, moves.shared)
    )
    flat = [np.broadcast_to(trend, promo.shape) for trend in trends]
    return np.stack([own, *flat, promo, shared], axis=2)


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
    away = np.clip(
        logs - _mean(logs, known),
        -FURTHEST_PRICE,
        FURTHEST_PRICE,
    )
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
    np.add.at(
        scores,
        (slice(None), block),
        design * residual[:, :, None],
    )
    n_blocks = (np.abs(scores).sum(axis=2) > 0).sum(axis=1)
    weeks = known.sum(axis=1)
    spare = np.maximum(weeks - k, 1)
    fix = n_blocks / np.maximum(n_blocks - 1, 1) * (weeks - 1) / spare
    clustered = (np.einsum("ik,igk->ig", bread, scores) ** 2).sum(axis=1) * fix
    # model variance: squared errors grow as mean + φ·mean², weeks independent
    excess = np.where(known, residual**2 - mean, 0).sum(axis=1)
    phi = np.clip(
        excess / np.maximum((mean**2).sum(axis=1), 1e-9),
        0,
        None,
    )[:, None]
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
