"""Groups of people by what they do: a mixture of multinomials (latent class analysis).

A person is a row of counts, such as lines bought per category. Each class has a share
of the people and its own chances; within a class counts are independent draws. The
number of classes is the one with the least BIC. Unlike a cut between clusters, a person
seen once or twice belongs to several classes in part, so the shares are not spoilt by
those of whom little is known.

Lazarsfeld & Henry (1968), Latent Structure Analysis; Dempster, Laird & Rubin (1977) for
EM; Schwarz (1978) for BIC; Hennig (2007, Comput. Stat. Data Anal. 52) for stability as
the Jaccard overlap of a class with its best match among the classes of a resample
(above .75: stable; below .5: dissolved).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

__all__ = [
    "Classes",
    "class_stability",
    "memberships",
    "number_of_classes",
]

#: distinct rows a start is judged on, and the steps it is given
START_ROWS, START_STEPS = 4000, 20
#: pseudo-counts of a class, spread over the columns, that keep chances away from 0
PRIOR = 0.5

Start = tuple[Array, Array]


@dataclass(frozen=True)
class Classes:
    """Shares (k,), chances (k, columns; each row sums to 1), log-likelihood and BIC;
    largest class first.
    """

    shares: Array
    chances: Array
    log_likelihood: float
    bic: float


def memberships(counts: Array, classes: Classes) -> Array:
    """P(class | row) for every row of counts: shape (rows, k)."""
    return _responsibilities(counts, classes.shares, classes.chances)[0]


def number_of_classes(counts: Array, n_people: Array, *, most: int, seed: int) -> list[Classes]:
    """One fit for each k from 1 on; stops once BIC has risen twice in a row. The choice
    is the least BIC.

    `counts` are distinct rows, each of `n_people` people. Around that choice each k is
    tried again from the k + 1 classes with the two most alike merged: EM may have
    stopped at a lesser peak, and then one class too many would look better.
    """
    fits: list[Classes] = []
    for k in range(1, most + 1):
        fits.append(_fit(counts, n_people, k, seed=seed))
        if k > 2 and fits[-1].bic > fits[-2].bic > fits[-3].bic:
            break
    likely = int(np.argmin([fit.bic for fit in fits])) + 1
    for k in range(min(likely + 1, len(fits) - 1), max(likely - 2, 1), -1):
        merged = _fit(
            counts,
            n_people,
            k,
            seed=seed,
            n_starts=0,
            start=_merged(fits[k]),
        )
        if merged.log_likelihood > fits[k - 1].log_likelihood:
            fits[k - 1] = merged
    return fits


def class_stability(
    counts: Array,
    n_people: Array,
    classes: Classes,
    *,
    seed: int,
    n_resamples: int = 20,
) -> tuple[Array, Array]:
    """Jaccard overlap (k,) of each class with its best match, averaged over resamples
    of people, and the matched shares (n_resamples, k). Every resample is fitted from
    fresh starts: a warm start would only find itself again.
    """
    k = len(classes.shares)
    rng = np.random.default_rng([seed, 1 + k])
    own = memberships(counts, classes)
    weighted = own * n_people[:, None]
    size = weighted.sum(axis=0)
    # Two people's class vectors overlap by less than one even when they agree: the
    # overlap of a class with itself is the most there can be.
    itself = (own**2 * n_people[:, None]).sum(axis=0)
    most = itself / (2 * size - itself)
    overlaps, shares = [], []
    for draw in range(seed + 1000, seed + 1000 + n_resamples):
        drawn = rng.multinomial(int(n_people.sum()), n_people / n_people.sum()).astype(float)
        refit = _fit(
            counts,
            drawn,
            k,
            seed=draw,
            n_starts=3,
            n_steps=80,
        )
        other = memberships(counts, refit)
        both = weighted.T @ other
        either = size[:, None] + (other * n_people[:, None]).sum(axis=0) - both
        jaccard = both / either
        overlaps.append(np.minimum(jaccard.max(axis=1) / most, 1.0))
        shares.append(refit.shares[jaccard.argmax(axis=1)])
    return np.mean(overlaps, axis=0), np.array(shares)


def _fit(
    counts: Array,
    n_people: Array,
    k: int,
    *,
    seed: int,
    n_starts: int = 4,
    n_steps: int = 150,
    start: Start | None = None,
) -> Classes:
    """The best of `n_starts` EM runs, and of one from `start`.

    Starts are short and see some thousand rows; only the best one runs to the end on
    all.
    """
    rng = np.random.default_rng([seed, k])
    sample = np.arange(len(counts))
    if len(counts) > START_ROWS:
        sample = np.sort(rng.choice(len(counts), size=START_ROWS, replace=False))
    starts = [_random_start(counts, n_people, k, rng) for _ in range(n_starts)]
    starts += [start] if start else []
    tried = [
        _em(
            counts[sample],
            n_people[sample],
            one,
            START_STEPS,
        )
        for one in starts
    ]
    best = max(tried, key=lambda fit: fit[2])[:2]
    shares, chances, log_likelihood = _em(counts, n_people, best, n_steps)
    order = np.lexsort((*chances.T[::-1], -np.round(shares, 12)))
    n_free = k - 1 + k * (counts.shape[1] - 1)
    bic = n_free * np.log(n_people.sum()) - 2 * log_likelihood
    return Classes(
        shares[order],
        chances[order],
        log_likelihood,
        float(bic),
    )


def _random_start(counts: Array, n_people: Array, k: int, rng: np.random.Generator) -> Start:
    """Classes around k people of whom much is known, each mixed with the average
    person.
    """
    weight = n_people * np.minimum(counts.sum(axis=1), 20) ** 2
    picked = counts[rng.choice(len(counts), size=k, p=weight / weight.sum())]
    total = n_people @ counts + 0.5
    return np.full(k, 1 / k), _normed(picked + 3 * (total / total.sum()))


def _merged(classes: Classes) -> Start:
    """The classes with the two whose chances differ least made one."""
    apart = np.abs(classes.chances[:, None] - classes.chances[None]).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    a, b = sorted(np.unravel_index(apart.argmin(), apart.shape))
    shares, chances = classes.shares.copy(), classes.chances.copy()
    chances[a] = (shares[a] * chances[a] + shares[b] * chances[b]) / (shares[a] + shares[b])
    shares[a] += shares[b]
    return np.delete(shares, b), np.delete(chances, b, axis=0)


def _em(counts: Array, n_people: Array, start: Start, n_steps: int) -> tuple[Array, Array, float]:
    """Shares, chances and log-likelihood after at most `n_steps` steps of EM."""
    shares, chances = start
    last = -np.inf
    for _ in range(n_steps):
        part, log_density = _responsibilities(counts, shares, chances)
        log_likelihood = float(n_people @ log_density)
        weighted = part * n_people[:, None]
        shares = np.maximum(weighted.sum(axis=0), 1e-9)
        shares = shares / shares.sum()
        chances = _normed(weighted.T @ counts + PRIOR / counts.shape[1])
        if log_likelihood - last < 1e-6 * abs(log_likelihood):
            break
        last = log_likelihood
    return shares, chances, log_likelihood


def _responsibilities(counts: Array, shares: Array, chances: Array) -> tuple[Array, Array]:
    """P(class | row), and the logarithm of each row's density."""
    joint = counts @ np.log(chances).T + np.log(shares)
    top = joint.max(axis=1, keepdims=True)
    parts = np.exp(joint - top)
    total = parts.sum(axis=1, keepdims=True)
    return parts / total, (top + np.log(total))[:, 0]


def _normed(rows: Array) -> Array:
    return rows / rows.sum(axis=1, keepdims=True)
