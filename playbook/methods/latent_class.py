"""Groups of people by what they do: a mixture of multinomials over blocks of counts
(latent class analysis).

A person is a row of counts: lines bought per category (one block), orders per part of
the day (another). Each class has a share of the people and, per block, its own chances;
within a class counts are independent draws. The number of classes is the one with the
least BIC. Unlike a cut between clusters, a person seen once or twice belongs to several
classes in part, so the shares are not spoilt by those of whom little is known.

Lazarsfeld & Henry (1968), Latent Structure Analysis; Dempster, Laird & Rubin (1977) for
EM; Schwarz (1978) for BIC; Hennig (2007, Comput. Stat. Data Anal. 52) for stability as
the Jaccard overlap of a class with its best match among the classes of a resample
(above .75: stable; below .5: dissolved).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Classes", "class_stability", "fit_classes", "memberships", "number_of_classes"]


FEW = 4000  # distinct rows a start is judged on


@dataclass(frozen=True)
class Classes:
    """Shares (k,), chances (k, columns; each block sums to 1), log-likelihood and BIC;
    largest class first.
    """

    shares: np.ndarray
    chances: np.ndarray
    log_likelihood: float
    bic: float


def memberships(counts: np.ndarray, classes: Classes) -> np.ndarray:
    """P(class | row) for every row of counts: shape (rows, k)."""
    return _responsibilities(counts, np.log(classes.shares), np.log(classes.chances))[0]


def fit_classes(
    counts: np.ndarray,
    n_people: np.ndarray,
    k: int,
    blocks: tuple[slice, ...],
    *,
    seed: int,
    n_starts: int = 4,
    n_steps: int = 150,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> Classes:
    """The best of `n_starts` EM runs (and of one from `start`) on distinct rows of
    counts, each for `n_people` people.

    Starts are short and see some thousand people; only the best one runs to the end on
    all. A tiny prior (half a count spread over each block) keeps chances away from 0.
    """
    rng = np.random.default_rng([seed, k])
    few = (
        np.sort(rng.choice(len(counts), size=FEW, replace=False))
        if len(counts) > FEW
        else np.arange(len(counts))
    )
    starts = [_start(counts, n_people, k, blocks, rng) for _ in range(n_starts)] + (
        [start] if start else []
    )
    tried = [_em(counts[few], n_people[few], one, blocks, 20) for one in starts]
    shares, chances, log_likelihood = _em(
        counts, n_people, max(tried, key=lambda t: t[2])[:2], blocks, n_steps
    )
    order = np.lexsort((*chances.T[::-1], -np.round(shares, 12)))
    n_free = k - 1 + k * sum(block.stop - block.start - 1 for block in blocks)
    bic = n_free * np.log(n_people.sum()) - 2 * log_likelihood
    return Classes(shares[order], chances[order], float(log_likelihood), float(bic))


def number_of_classes(
    counts: np.ndarray, n_people: np.ndarray, blocks: tuple[slice, ...], *, most: int, seed: int
) -> list[Classes]:
    """One fit for each k from 1 on; stops once BIC has risen twice in a row. The choice
    is the least BIC.

    Around that choice each k is tried again from the k + 1 classes with the two most
    alike merged: EM may have stopped at a lesser peak, and then one class too many
    would look better.
    """
    fits: list[Classes] = []
    for k in range(1, most + 1):
        fits.append(fit_classes(counts, n_people, k, blocks, seed=seed))
        if k > 2 and fits[-1].bic > fits[-2].bic > fits[-3].bic:
            break
    likely = int(np.argmin([fit.bic for fit in fits])) + 1
    for k in range(min(likely + 1, len(fits) - 1), max(likely - 2, 1), -1):
        merged = fit_classes(
            counts, n_people, k, blocks, seed=seed, n_starts=0, start=_merged(fits[k])
        )
        if merged.log_likelihood > fits[k - 1].log_likelihood:
            fits[k - 1] = merged
    return fits


def _merged(classes: Classes) -> tuple[np.ndarray, np.ndarray]:
    """The classes with the two whose chances differ least made one."""
    apart = np.abs(classes.chances[:, None] - classes.chances[None]).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    a, b = sorted(np.unravel_index(apart.argmin(), apart.shape))
    shares, chances = classes.shares.copy(), classes.chances.copy()
    chances[a] = (shares[a] * chances[a] + shares[b] * chances[b]) / (shares[a] + shares[b])
    shares[a] += shares[b]
    return np.delete(shares, b), np.delete(chances, b, axis=0)


def class_stability(
    counts: np.ndarray,
    n_people: np.ndarray,
    classes: Classes,
    blocks: tuple[slice, ...],
    *,
    seed: int,
    n_resamples: int = 20,
) -> tuple[np.ndarray, np.ndarray]:
    """Jaccard overlap (k,) of each class with its best match, averaged over resamples
    of people, and the matched shares (n_resamples, k). Every resample is fitted from
    fresh starts: a warm start would only find itself again.
    """
    rng = np.random.default_rng([seed, 1 + len(classes.shares)])
    own = memberships(counts, classes)
    overlaps, shares = [], []
    for draw in range(n_resamples):
        drawn = rng.multinomial(int(n_people.sum()), n_people / n_people.sum()).astype(float)
        refit = fit_classes(
            counts,
            drawn,
            len(classes.shares),
            blocks,
            seed=seed + 1000 + draw,
            n_starts=3,
            n_steps=80,
        )
        other = memberships(counts, refit)
        both = (own * n_people[:, None]).T @ other
        size = (own * n_people[:, None]).sum(axis=0)
        jaccard = both / (size[:, None] + (other * n_people[:, None]).sum(axis=0) - both)
        # Two people's class vectors overlap by less than one even when they agree: compare with a class and itself.
        itself = (own**2 * n_people[:, None]).sum(axis=0)
        match = jaccard.argmax(axis=1)
        overlaps.append(np.minimum(jaccard.max(axis=1) / (itself / (2 * size - itself)), 1.0))
        shares.append(refit.shares[match])
    return np.mean(overlaps, axis=0), np.array(shares)


def _start(
    counts: np.ndarray,
    n_people: np.ndarray,
    k: int,
    blocks: tuple[slice, ...],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Classes around k people of whom much is known, each mixed with the average
    person.
    """
    total = n_people @ counts
    weight = n_people * np.minimum(counts.sum(axis=1), 20) ** 2
    picked = counts[rng.choice(len(counts), size=k, p=weight / weight.sum())]
    chances = np.empty((k, counts.shape[1]))
    for block in blocks:
        mean = (total[block] + 0.5) / (total[block] + 0.5).sum()
        chances[:, block] = picked[:, block] + 3 * mean
        chances[:, block] /= chances[:, block].sum(axis=1, keepdims=True)
    return np.full(k, 1 / k), chances


def _responsibilities(
    counts: np.ndarray, log_shares: np.ndarray, log_chances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    joint = counts @ log_chances.T + log_shares
    top = joint.max(axis=1, keepdims=True)
    parts = np.exp(joint - top)
    total = parts.sum(axis=1, keepdims=True)
    return parts / total, (top + np.log(total))[:, 0]


def _em(
    counts: np.ndarray,
    n_people: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    blocks: tuple[slice, ...],
    n_steps: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    shares, chances = start
    last = -np.inf
    for _ in range(n_steps):
        part, log_density = _responsibilities(counts, np.log(shares), np.log(chances))
        log_likelihood = float(n_people @ log_density)
        weighted = part * n_people[:, None]
        shares = np.maximum(weighted.sum(axis=0), 1e-9)
        shares = shares / shares.sum()
        sums = weighted.T @ counts
        chances = np.empty_like(sums)
        for block in blocks:
            kept = sums[:, block] + 0.5 / (block.stop - block.start)
            chances[:, block] = kept / kept.sum(axis=1, keepdims=True)
        if log_likelihood - last < 1e-6 * abs(log_likelihood):
            break
        last = log_likelihood
    return shares, chances, log_likelihood
