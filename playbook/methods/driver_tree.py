"""A product of drivers solved backwards from a goal, and the gap shared out among them
without a rest.

Ang, B. W. (2005), "The LMDI approach to decomposition analysis: a practical guide",
Energy Policy 33, 867-871: the logarithmic mean turns the sum of log changes into money
that adds up exactly (LMDI-I).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.errors import PlaybookError

__all__ = ["driver_tree", "scenarios", "tornado"]

#: quantiles of a driver's own months that count as its low and high
LOW, HIGH = 0.2, 0.8


def driver_tree(
    base: dict[str, float],
    goal: float,
    *,
    weights: dict[str, float] | None = None,
    history: DataFrame | None = None,
) -> DataFrame:
    """The goal solved backwards: driver, base, needed, change, needed_alone, effect,
    best_so_far, is_beyond_past.

    needed = base x (goal / base product)^weight, the weights (equal unless given)
    summing to 1; the last driver takes the rounding, so the product is the goal
    exactly. needed_alone holds the other drivers at base. effect is money:
    logarithmic-mean shares of the gap (Ang 2005, LMDI-I), summing to it. best_so_far is
    the best month of `history`. Raises PlaybookError for a driver or goal that is not
    above zero, or weights that name no driver.
    """
    names = list(base)
    values = np.array([float(base[name]) for name in names])
    if not (np.isfinite([*values, goal]).all() and (values > 0).all() and goal > 0):
        raise PlaybookError("methods.drivers_not_positive", table="tree")
    weights = dict.fromkeys(names, 1.0) if weights is None else weights
    if strange := sorted(set(weights) - set(names)):
        raise PlaybookError(
            "methods.unknown_driver", table="tree", named=", ".join(strange), known=", ".join(names)
        )
    weighed = np.array([float(weights.get(name, 0.0)) for name in names])
    if weighed.sum() <= 0:
        raise PlaybookError("methods.no_weights", table="tree")
    ratio, gap = goal / values.prod(), goal - values.prod()
    needed = values * ratio ** (weighed / weighed.sum())
    needed[-1] = goal / np.prod(needed[:-1])
    log_change = np.log(needed / values)
    moved = log_change.sum()
    effect = gap * (log_change / moved if abs(moved) > 1e-15 else np.zeros(len(names)))
    effect[-1] = gap - effect[:-1].sum()
    tree = DataFrame({"driver": names, "base": values, "needed": needed})
    best = DataFrame(history).max().reindex(names).to_numpy(float)
    is_beyond = pd.array(needed > best, dtype="boolean")
    is_beyond[np.isnan(best)] = pd.NA
    return tree.assign(
        change=needed / values - 1,
        needed_alone=values * ratio,
        effect=effect,
        best_so_far=best,
        is_beyond_past=is_beyond,
    )


def scenarios(
    history: DataFrame,
    drivers: tuple[str, ...],
    *,
    months: int = 12,
    cm_share: float = np.nan,
    fixed: float = np.nan,
) -> DataFrame:
    """Three months to plan with: scenario (low, middle, high), the drivers, revenue,
    cm, profit.

    low and high take every driver at its own 20th and 80th percentile of the newest
    `months` months, so together they are rarer than either. cm = revenue x cm_share,
    profit = cm - fixed; missing where those are not known.
    """
    plan = history.tail(months)[list(drivers)].quantile([LOW, 0.5, HIGH])
    revenue = plan.prod(axis=1)
    plan = plan.assign(revenue=revenue, cm=revenue * cm_share, profit=revenue * cm_share - fixed)
    plan.insert(0, "scenario", ["low", "middle", "high"])
    return plan.reset_index(drop=True)


def tornado(history: DataFrame, drivers: tuple[str, ...], *, months: int = 12) -> DataFrame:
    """What each driver alone moves: driver, low, high (revenue with it at its 20th and
    80th percentile of the newest `months`, the others at their median), base, swing;
    widest first.
    """
    recent = history.tail(months)[list(drivers)]
    middle, ends = recent.median(), recent.quantile([LOW, HIGH])
    others = [middle.drop(name).prod() for name in drivers]
    low, high = others * ends.loc[LOW], others * ends.loc[HIGH]
    swings = DataFrame({"driver": list(drivers), "low": low.array, "high": high.array})
    swings = swings.assign(base=middle.prod(), swing=(swings["high"] - swings["low"]).abs())
    return swings.sort_values(["swing", "driver"], ascending=[False, True], ignore_index=True)
