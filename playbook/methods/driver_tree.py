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
    base: dict[str, float],
    revenue: tuple[float, float, float],
    *,
    weights: dict[str, float],
    cm_share: float = np.nan,
    fixed: float = np.nan,
) -> DataFrame:
    """Three months to plan with: scenario (low, middle, high), the drivers, revenue,
    cm, profit.

    `revenue`: the forecast and the ends of its interval, in order; `base`: the drivers
    behind the forecast. Each scenario's drivers multiply to its revenue, a driver moving
    as far as its weight (its variance) says. cm = revenue x cm_share, profit = cm -
    fixed; missing where those are not known.
    """
    rows = []
    for name, amount in zip(("low", "middle", "high"), revenue, strict=True):
        needed = driver_tree(base, amount, weights=weights).set_index("driver")["needed"]
        rows.append({"scenario": name, **needed[list(base)], "revenue": amount})
    plan = DataFrame(rows)
    cm = plan["revenue"] * cm_share
    return plan.assign(cm=cm, profit=cm - fixed)


def tornado(base: dict[str, float], ends: dict[str, tuple[float, float]]) -> DataFrame:
    """What each driver alone moves: driver, low, high (revenue with it at the ends of
    its own interval, the others as forecast), base, swing; widest first.
    """
    middle = float(np.prod(list(base.values())))
    rows = [(name, *(middle * end / base[name] for end in ends[name])) for name in base]
    swings = DataFrame(rows, columns=["driver", "low", "high"])
    swings = swings.assign(base=middle, swing=(swings["high"] - swings["low"]).abs())
    return swings.sort_values(
        ["swing", "driver"],
        ascending=[False, True],
        ignore_index=True,
    )
