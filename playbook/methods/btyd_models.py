"""The mathematics of four buy-till-you-die models: likelihood with exact gradients,
P(alive), expected purchases.

Papers: Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way", Marketing
Science 24(2) (BG/NBD); Batislam, Denizel & Filiztekin (2007), IJRM 24(3) (MBG/NBD:
drop-out also possible after the first purchase); Schmittlein, Morrison & Colombo
(1987), Management Science 33(1), in the integral form of Fader & Hardie's note 009
(Pareto/NBD); Ehrenberg (1959), Applied Statistics 8(1) (NBD, no drop-out).

Ages are in weeks, as are alpha and beta.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MODELS",
    "Histories",
    "log_likelihood",
    "p_alive",
    "expected_purchases",
]

MODELS = {
    "nbd": ("r", "alpha"),
    "bg_nbd": ("r", "alpha", "a", "b"),
    "mbg_nbd": ("r", "alpha", "a", "b"),
    "pareto_nbd": ("r", "alpha", "s", "beta"),
}
#: the largest a at which scipy's 2F1 is sure to answer
_MOST_2F1 = 100.0
#: c over |a - 1| beyond which too few digits of 1 - 2F1 are left
_MOST_LOST = 1e7
_BETA_NODES = 24
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


class Histories(NamedTuple):
    """One entry per customer: repeat purchase days, age at the last of them, age now."""

    x: NDArray
    t_x: NDArray
    age: NDArray

    def part(self, rows: slice) -> Histories:
        """Some of the customers."""
        return Histories(*(column[rows] for column in self))


def log_likelihood(
    model: str, params: NDArray, histories: Histories, *, with_slope: bool = True
) -> tuple[NDArray, NDArray]:
    """Log-likelihood per customer and its gradient in the logs of the parameters, shape
    (parameters, customers). Without `with_slope` the costly gradient of Pareto/NBD is
    left out.

    BG/NBD: equation 6 of Fader, Hardie & Lee; MBG/NBD counts one more chance to drop
    out; Pareto/NBD: the integral over the time of death, by 24-point quadrature on a
    grid that does not move with the parameters.
    """
    from scipy.special import expit

    x, t_x, age = histories
    r, alpha = params[:2]
    until = np.log(alpha + age)
    rising, d_rising = _rising(r, x)
    common, d_r = rising + r * np.log(alpha), d_rising + np.log(alpha)
    if model == "nbd":
        grad = np.array([r * (d_r - until), r - alpha * (r + x) / (alpha + age)])
        return common - (r + x) * until, grad
    if model == "pareto_nbd":
        return _pareto(
            params,
            histories,
            common,
            d_r,
            with_slope,
        )
    a, b = params[2:]
    # chances to drop out so far
    y = x + (model == "mbg_nbd")
    tail = until - np.log(alpha + t_x)
    left = np.where(y > 0, b + y - 1, 1)
    odds = np.where(y > 0, np.log(a) - np.log(left) + (r + x) * tail, -np.inf)
    dead = expit(odds)
    staying, d_staying = _rising(b, y)
    chances, d_chances = _rising(a + b, y)
    grad = np.array(
        [
            r * (d_r - until + dead * tail),
            r - alpha * (r + x) * ((1 - dead) / (alpha + age) + dead / (alpha + t_x)),
            a * -d_chances + dead,
            b * (d_staying - d_chances - dead / left),
        ]
    )
    return common + staying - chances - (r + x) * until + np.logaddexp(0, odds), grad


def p_alive(model: str, params: NDArray, histories: Histories) -> NDArray:
    """P(still buying) per customer. BG/NBD gives 1 to every one-time buyer, by
    construction; NBD gives 1 to all.
    """
    x, t_x, age = histories
    if model == "nbd":
        return np.ones(len(x))
    r, alpha = params[:2]
    if model == "pareto_nbd":
        s, beta = params[2:]
        alive = _rising(r, x)[0] + r * np.log(alpha) + s * np.log(beta)
        alive = alive - (r + x) * np.log(alpha + age) - s * np.log(beta + age)
        value, _ = log_likelihood(
            model,
            params,
            histories,
            with_slope=False,
        )
        return np.exp(np.minimum(alive - value, 0))
    a, b = params[2:]
    y = x + (model == "mbg_nbd")
    left = np.where(y > 0, b + y - 1, 1)
    with np.errstate(over="ignore"):
        odds = np.exp((r + x) * np.log((alpha + age) / (alpha + t_x))) * a / left
    return 1 / (1 + np.where(y > 0, odds, 0))


def expected_purchases(
    model: str, params: NDArray, histories: Histories, weeks: float | NDArray
) -> NDArray:
    """Expected purchase days per customer in the next `weeks`, given the history; x =
    t_x = age = 0 is a new customer.

    BG/NBD: equation 10 of Fader, Hardie & Lee after Euler's transformation of 2F1,
    whose terms no longer grow with x (the printed form overflows near x = 400).
    Where scipy has no 2F1 to give (large a and b), the same as a mean over the chance to
    drop out, by 24-point quadrature. Pareto/NBD: equation 41 of note 009.
    """
    x, _, age = histories
    r, alpha = params[:2]
    if model == "nbd":
        return (r + x) * weeks / (alpha + age)
    alive = p_alive(model, params, histories)
    if model == "pareto_nbd":
        s, beta = _off_one(params[2], 1e-7), params[3]
        lasting = np.expm1((s - 1) * np.log((beta + age) / (beta + age + weeks)))
        return alive * (r + x) * (beta + age) / (alpha + age) * -lasting / (s - 1)
    # MBG/NBD: one more chance to drop out was survived
    a, b = _off_one(params[2], 1e-6), params[3] + (model == "mbg_nbd")
    c, z = a + b + x - 1, weeks / (alpha + age + weeks)
    c = np.where(np.abs(c) < 1e-6, 1e-6, c)
    pairs, where = np.unique(c + 1j * z, return_inverse=True)
    ending = _ending(
        r,
        a,
        b,
        pairs.real,
        pairs.imag,
    )[where].reshape(z.shape)
    return np.maximum(alive * c / (a - 1) * ending, 0)


def _ending(r: float, a: float, b: float, c: NDArray, z: NDArray) -> NDArray:
    """One less the 2F1 of equation 10 times its power, for pairs of c = a + b + x - 1 and
    z = weeks / (alpha + age + weeks).
    """
    from scipy.special import hyp2f1

    ending = np.full(len(c), np.nan)
    if a <= _MOST_2F1:
        with np.errstate(invalid="ignore"):
            ending = 1 - hyp2f1(
                a + b - 1 - r,
                a - 1,
                c,
                z,
            ) * (1 - z) ** (a - 1)
    # near a = 1 the difference loses its digits where b is large
    unknown = ~np.isfinite(ending) | (c > _MOST_LOST * abs(a - 1))
    for one in np.unique(c[unknown]):
        at, x = unknown & (c == one), one - a - b + 1
        chance, weights = _beta_nodes(a, b + x)
        busy = np.log1p(np.outer(z[at] / (1 - z[at]), chance))
        ending[at] = -np.expm1(-(r + x) * busy) / chance @ weights * (a - 1) / one
    return ending


def _beta_nodes(p: float, q: float) -> tuple[NDArray, NDArray]:
    """Points and weights whose sums are means over a beta(p, q), by the recurrence of
    Jacobi's polynomials (Golub & Welsch, 1969).
    """
    from scipy.linalg import eigh_tridiagonal

    k = np.arange(1, _BETA_NODES)
    low, high = p - 1, q - 1
    both = 2 * k + low + high
    middle = (low**2 - high**2) / (both * (both + 2))
    middle = np.append((low - high) / (low + high + 2), middle)
    with np.errstate(invalid="ignore"):  # the first is set apart
        beside = 4 * k * (k + low) * (k + high) * (k + low + high) / (both**2 * (both**2 - 1))
    beside[0] = 4 * (1 + low) * (1 + high) / ((2 + low + high) ** 2 * (3 + low + high))
    points, vectors = eigh_tridiagonal(middle, np.sqrt(beside))
    return np.maximum((points + 1) / 2, 1e-18), vectors[0] ** 2


def _off_one(value: float, least: float) -> float:
    """The formulas divide by value - 1: a value too near to 1 is moved."""
    return value + (least if abs(value - 1) < least else 0)


def _rising(base: float, x: NDArray) -> tuple[NDArray, NDArray]:
    """Log of Gamma(base + x) / Gamma(base), and its derivative in base. x repeats a
    lot: each whole number once.
    """
    from scipy.special import digamma, gammaln

    whole = x.astype(np.int64)
    if len(whole) == 0 or whole.max() > 4 * len(whole) + 100:
        return gammaln(base + x) - gammaln(base), digamma(base + x) - digamma(base)
    steps = base + np.arange(whole.max() + 1)
    return (gammaln(steps) - gammaln(base))[whole], (digamma(steps) - digamma(base))[whole]


def _pareto(
    params: NDArray,
    histories: Histories,
    common: NDArray,
    d_r: NDArray,
    with_slope: bool,
) -> tuple[NDArray, NDArray]:
    """Pareto/NBD: still alive now, plus the integral over every moment of death since
    the last purchase.
    """
    x, t_x, age = histories
    r, alpha, s, beta = params
    until = np.log(alpha + age)
    # how fast the integrand falls away from the last purchase
    reach = (t_x + 0.1 * age + 0.1) / (x + 1)
    z = np.log1p((age - t_x) / reach)
    grown = np.exp(np.outer(0.5 * (_NODES + 1), z)) * reach
    t = t_x + grown - reach
    with np.errstate(divide="ignore"):
        inside = np.log(0.5 * _WEIGHTS)[:, None] + np.log(z * s) + np.log(grown)
    log_alpha, log_beta = np.log(alpha + t), np.log(beta + t)
    inside = inside - (r + x) * log_alpha - (s + 1) * log_beta
    alive = -(r + x) * until - s * np.log(beta + age)
    top = np.maximum(alive, inside.max(axis=0))
    parts, still = np.exp(inside - top), np.exp(alive - top)
    total = parts.sum(axis=0) + still
    value = common + s * np.log(beta) + top + np.log(total)
    if not with_slope:
        return value, np.zeros((4, 0))
    parts, still = parts / total, still / total
    dead = parts.sum(axis=0)
    grad = np.array(
        [
            r * (d_r - (parts * log_alpha).sum(axis=0) - still * until),
            r - alpha * (r + x) * ((parts / (alpha + t)).sum(axis=0) + still / (alpha + age)),
            s * (np.log(beta) - (parts * log_beta).sum(axis=0) - still * np.log(beta + age)) + dead,
            s - beta * ((s + 1) * (parts / (beta + t)).sum(axis=0) + s * still / (beta + age)),
        ]
    )
    return value, grad
