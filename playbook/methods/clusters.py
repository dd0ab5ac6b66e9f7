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

from playbook.measures.customer_windows import hash_places

__all__ = ["stable_clusters"]


def stable_clusters(
    columns: np.ndarray,
    ids: pd.Series,
    *,
    most: int = 8,
    resamples: int = 8,
    sample: int = 2500,
    seed: int = 0,
    enough: float = 0.8,
) -> tuple[pd.DataFrame, np.ndarray]:
    """(choice, label): choice has one row per number of clusters: stability (mean
    agreement of centres learnt on two resamples, judged on the same customers),
    stability_low (10th percentile), is_chosen; label from 1, best last column first.
    The largest number with stability of at least `enough` is chosen; the most stable
    one where none has it, and 1 cluster under 30 customers or where all are alike.
    Learnt on at most `sample` customers, fixed by their ids.
    """
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    kept = scaled[np.argsort(hash_places(ids), kind="stable")[:sample]]
    if len(kept) < 30 or len(np.unique(kept.round(9), axis=0)) < 10:
        one = pd.DataFrame(
            {
                "n_clusters": [1],
                "stability": [np.nan],
                "stability_low": [np.nan],
                "is_chosen": [True],
            }
        )
        return one, np.ones(len(scaled), int)
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(seed)
    rows, centres = [], {}
    draws = [
        (rng.integers(0, len(kept), len(kept)), rng.integers(0, len(kept), len(kept)))
        for _ in range(resamples)
    ]
    for k in range(2, most + 1):
        scores = []
        for one, two in draws:
            labels = [_nearest(kept, _centres(kept[drawn], k, seed)) for drawn in (one, two)]
            scores.append(adjusted_rand_score(*labels))
        centres[k] = _centres(kept, k, seed)
        rows.append(
            {
                "n_clusters": k,
                "stability": np.mean(scores),
                "stability_low": np.quantile(scores, 0.1),
            }
        )
    choice = pd.DataFrame(rows)
    good = choice[choice["stability"] >= enough]
    best = int(
        good["n_clusters"].max()
        if len(good)
        else choice.loc[choice["stability"].idxmax(), "n_clusters"]
    )
    centre = centres[best][np.argsort(-centres[best][:, -1], kind="stable")]
    return choice.assign(is_chosen=choice["n_clusters"] == best), _nearest(scaled, centre) + 1


def _centres(rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=4, random_state=seed).fit(rows).cluster_centers_


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    near, label = np.full(len(rows), np.inf), np.zeros(len(rows), int)
    for k, centre in enumerate(centres):  # one at a time: the base may hold millions
        far = ((rows - centre) ** 2).sum(axis=1)
        label[far < near] = k
        near = np.minimum(near, far)
    return label
