"""One elasticity of many products in many stores: the pooled figure published scanner data are
compared by.

log(units) on log(price) with a level of each product in each store (that one store is dearer or
larger is no move of a price), by least squares: Frisch & Waugh (1933), Econometrica 1:387-401, for
taking the levels out; errors clustered by store (Liang & Zeger 1986, Biometrika 73:13-22). What
moves with the price and is not among the controls stays in the figure: that is why it stands
beside the one with controls and never alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.methods.proportions import quantile_of_normal

__all__ = ["pooled_elasticity"]


def pooled_elasticity(
    weeks: DataFrame,
    *,
    controls: Sequence[str] = (),
    level: float = 0.95,
) -> DataFrame:
    """Two rows where there are controls, else one: controls (their names, empty for none),
    estimate, low, high, se, n, n_stores.

    `weeks`: one row per store, sku and week: store, sku, units, price and the controls. Rows
    without units or a price above 0, or with a missing control, are left out of both figures.
    Interval and error are missing with fewer than two stores, the figure where no price moves.
    """
    used = weeks.dropna(
        subset=[
            "units",
            "price",
            *controls,
        ]
    )
    used = used[(used.units > 0) & (used.price > 0)]
    sets = [(), tuple(controls)] if controls else [()]
    rows = [
        _one(
            used,
            chosen,
            level,
        )
        for chosen in sets
    ]
    return DataFrame(rows)


def _one(used: DataFrame, controls: Sequence[str], level: float) -> dict[str, object]:
    """The pooled figure with some controls."""
    logs = DataFrame({"units": np.log(used.units), "price": np.log(used.price)})
    logs = logs.join(used[list(controls)].astype(float))
    apart = (logs - logs.groupby([used.store, used.sku]).transform("mean")).to_numpy()
    y, design = apart[:, 0], apart[:, 1:]
    told: dict[str, object] = {"controls": ", ".join(controls)}
    told |= dict.fromkeys(("estimate", "low", "high", "se"), np.nan)
    stores = pd.factorize(used.store, sort=True)[0]
    n_stores = int(stores.max()) + 1 if len(stores) else 0
    told |= {"n": len(used), "n_stores": n_stores}
    if len(used) <= design.shape[1] or not design[:, 0].std() > 1e-9:
        return told
    beta, _rest, rank, _sizes = np.linalg.lstsq(
        design,
        y,
        rcond=None,
    )
    if rank < design.shape[1]:
        return told
    told["estimate"] = float(beta[0])
    if n_stores > 1:
        bread = np.linalg.inv(design.T @ design)
        scores = np.zeros((n_stores, design.shape[1]))
        np.add.at(
            scores,
            stores,
            design * (y - design @ beta)[:, None],
        )
        meat = scores.T @ scores * n_stores / (n_stores - 1)
        se = float(np.sqrt((bread @ meat @ bread)[0, 0]))
        half = quantile_of_normal(level) * se
        told |= {
            "se": se,
            "low": told["estimate"] - half,
            "high": told["estimate"] + half,
        }
    return told
