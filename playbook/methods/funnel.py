"""What a funnel step usually passes on, in this very shop, and the days on which it
passed on less.

The spread of daily shares beyond the binomial: McCullagh & Nelder (1989), "Generalized
linear models", section 4.5, and Laney (2002), "Improved control charts for attributes",
Quality Engineering 14, 531-537. The worst stretch of days and the price of having
looked for it: Naus (1965), JASA 60, 532-538, with Bonferroni over all stretches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray

__all__ = ["Baseline", "Stretch", "lost_error", "own_baseline", "worst_stretch", "z_against"]

OUT = 4.0  # a baseline day this many spreads off is a broken day, not the shop's usual self
LEAST_N = 30.0  # trials on a day that say anything about its spread


class Baseline(NamedTuple):
    """Usual share, the trials it rests on, how many times the binomial variance its
    days scatter, days left out.
    """

    share: float
    n: float
    spread: float
    n_days_out: int


class Stretch(NamedTuple):
    """First and last place (day number) of the worst stretch, successes lost in it,
    their standard error, z, p.
    """

    first: int
    last: int
    lost: float
    error: float
    z: float
    p: float


def own_baseline(successes: ndarray, n: ndarray) -> Baseline:
    """The usual share over days, without the days that plainly were not usual; missing
    where nothing was observed.

    Days off by more than four spreads (from the median absolute deviation, so that the
    odd days cannot hide themselves) are left out, and the share taken anew until it
    stands. The spread is at least 1: days do not scatter less than chance.
    """
    x, m = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    x, m = x[m > 0], m[m > 0]
    if not len(m):
        return Baseline(np.nan, 0.0, np.nan, 0)
    is_usual = np.ones(len(m), dtype=bool)
    for _round in range(5):
        share = x[is_usual].sum() / m[is_usual].sum()
        noise = np.sqrt(m * share * (1 - share))
        off = np.divide(
            x - m * share,
            noise,
            out=np.zeros(len(m)),
            where=noise > 0,
        )
        usual = max(1.4826 * float(np.median(np.abs(off[is_usual]))), 1.0)
        now = (np.abs(off) <= OUT * usual) | (m < LEAST_N)
        if not now.any() or (now == is_usual).all():
            break
        is_usual = now
    off = off[is_usual & (m >= LEAST_N)]
    spread = max(float((off**2).sum() / (len(off) - 1)), 1.0) if len(off) > 2 else 1.0
    return Baseline(
        float(share),
        float(m[is_usual].sum()),
        spread,
        int((~is_usual).sum()),
    )


def z_against(successes: ndarray | float, n: ndarray | float, usual: Baseline) -> ndarray:
    """Standard deviations by which shares stand above (below: negative) the usual one;
    missing where n is 0.

    The signed root of the binomial deviance (McCullagh & Nelder 1989, section 4.4),
    over the days' spread and the baseline's own chance: where a handful of trials is
    counted it says far less than (x - np) / sd would.
    """
    x, m = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    share = min(max(usual.share, 1e-12), 1 - 1e-12)
    spread = usual.spread * (1 + m / max(usual.n, 1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        hit = np.where(x > 0, x * np.log(x / (m * share)), 0.0)
        miss = np.where(
            m > x,
            (m - x) * np.log((m - x) / (m * (1 - share))),
            0.0,
        )
        root = np.sqrt(np.maximum(2 * (hit + miss), 0.0) / spread)
    return np.where(m > 0, np.sign(x - m * share) * root, np.nan)


def worst_stretch(successes: ndarray, n: ndarray, usual: Baseline) -> Stretch | None:
    """The stretch of consecutive days that lacks most successes beside the usual share,
    in standard deviations.

    p is one-sided and multiplied by the number of stretches looked at. None where
    nothing was observed or no stretch lacks anything. Of equal stretches the earliest,
    shortest one.
    """
    from scipy.special import ndtr

    x, m = (np.nan_to_num(np.asarray(counts, dtype=float)) for counts in (successes, n))
    if not (usual.n > 0 and m.sum() > 0):
        return None
    first, last = np.triu_indices(len(m))
    sums_x, sums_m = np.r_[0.0, np.cumsum(x)], np.r_[0.0, np.cumsum(m)]
    tried, reached = sums_m[last + 1] - sums_m[first], sums_x[last + 1] - sums_x[first]
    z = np.round(np.nan_to_num(z_against(reached, tried, usual)), 9)
    best = np.lexsort((last, first, z))[0]
    if not z[best] < 0:
        return None
    lost, p = float(tried[best] * usual.share - reached[best]), float(ndtr(z[best])) * len(z)
    error = lost_error(tried[best], usual)
    return Stretch(
        int(first[best]),
        int(last[best]),
        lost,
        error,
        float(z[best]),
        min(p, 1.0),
    )


def lost_error(n: float, usual: Baseline) -> float:
    """Standard error of successes lost: the chance of the n trials themselves, and that
    of the baseline.
    """
    chance = usual.spread * usual.share * (1 - usual.share)
    return float(np.sqrt(chance * (n + n * n / max(usual.n, 1.0))))
