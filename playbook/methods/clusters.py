"""How many clusters a shop's customers support: the largest number that bootstrap
resamples agree on.

Paper: Hennig (2007), "Cluster-wise assessment of cluster stability", Comp. Stat. & Data
Analysis 52; agreement of two labellings by Hubert & Arabie's (1985) adjusted Rand
index. k-means (scikit-learn) with fixed seeds on standardised columns; the label of a
customer is the nearest centre, so equal customers share it whatever the order of the
rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

from playbook.methods.hashing import hash_places

__all__ = ["stable_clusters"]

#: pairs of resamples whose agreement is the stability
RESAMPLES = 8
#: agreement from which on a number of clusters is supported
ENOUGH = 0.8
#: clusters tried at most, and customers they are learnt on
MOST_CLUSTERS, MOST_LEARNT = 8, 2500


def stable_clusters(columns: ndarray, ids: pd.Series) -> tuple[DataFrame, ndarray]:
    """(choice, label): choice has one row per number of clusters: n_clusters, stability
    (mean agreement of centres learnt on two resamples, judged on the same customers),
    stability_low (10th percentile), is_chosen; label from 1, best last column first.

    The largest number with stability of at least .8 is chosen; the most stable
    one where none has it, and 1 cluster under 30 customers or where all are alike.
    Learnt on at most 2,500 customers, fixed by their ids.
    """
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    learnt = scaled[np.argsort(hash_places(ids), kind="stable")[:MOST_LEARNT]]
    names = ["n_clusters", "stability", "stability_low"]
    if len(learnt) < 30 or len(np.unique(learnt.round(9), axis=0)) < 10:
        choice = DataFrame([(1, np.nan, np.nan)], columns=names)
        return choice.assign(is_chosen=True), np.ones(len(scaled), int)
    rng, n = np.random.default_rng(0), len(learnt)
    draws = [(rng.integers(0, n, n), rng.integers(0, n, n)) for _pair in range(RESAMPLES)]
    rows = []
    for k in range(2, MOST_CLUSTERS + 1):
        scores = [_agreement(learnt, pair, k) for pair in draws]
        rows.append((k, np.mean(scores), np.quantile(scores, 0.1)))
    choice = DataFrame(rows, columns=names)
    stable = choice[choice.stability >= ENOUGH]
    best = choice.loc[choice.stability.idxmax(), "n_clusters"]
    best = int(stable.n_clusters.max() if len(stable) else best)
    centres = _centres(learnt, best)
    centres = centres[np.argsort(-centres[:, -1], kind="stable")]
    return choice.assign(is_chosen=choice.n_clusters == best), _nearest(scaled, centres) + 1


def _agreement(rows: ndarray, draws: tuple[ndarray, ndarray], k: int) -> float:
    """Adjusted Rand index of all rows by centres learnt on one draw and on the other."""
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(*(_nearest(rows, _centres(rows[drawn], k)) for drawn in draws))


def _centres(rows: ndarray, k: int) -> ndarray:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=4, random_state=0).fit(rows).cluster_centers_


def _nearest(rows: ndarray, centres: ndarray) -> ndarray:
    """Number of the nearest centre of each row."""
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(rows, centres)
