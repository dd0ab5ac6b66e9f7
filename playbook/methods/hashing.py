"""A fixed sample by hashing ids: who is in it depends on the id alone, so the same
customers are drawn every month, on every machine and in any order of rows.

Duffield, N. G. and Grossglauser, M. (2001), "Trajectory sampling for direct traffic
observation", IEEE/ACM Transactions on Networking 9, 280-292.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["arms", "hash_places"]

#: places an id can have when an arm is drawn
PLACES = 10_000


def hash_places(ids: pd.Series) -> np.ndarray:
    """A fixed place in 0 to 2^64 for each id, the same every month; a slice at a time,
    as text is large.
    """
    slices = range(0, len(ids), 500_000)
    parts = [
        pd.util.hash_array(ids.iloc[k : k + 500_000].to_numpy(object), categorize=False)
        for k in slices
    ]
    return np.concatenate([np.zeros(0, "uint64"), *parts])


def arms(ids: pd.Series, share: np.ndarray | float) -> np.ndarray:
    """`holdout` for a fixed `share` of the ids (one figure, or one for each), `treat` for
    the rest. Every list draws by the same place, so who is held out at a small share is
    held out at every larger one.
    """
    place = hash_places(ids) % PLACES
    return np.where(place < np.asarray(share, float) * PLACES, "holdout", "treat")
