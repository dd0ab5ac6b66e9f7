"""A product of drivers solved backwards from a goal, and the gap shared out among them
without a rest.

Ang, B. W. (2005), "The LMDI approach to decomposition analysis: a practical guide",
Energy Policy 33, 867-871: the logarithmic mean turns the sum of log changes into money
that adds up exactly (LMDI-I).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError

__all__ = ["driver_tree", "scenarios", "tornado"]


def driver_tree(
    base: dict[str, float],
    goal: float,
    *,
    weights: dict[str, float] | None = None,
    history: pd.DataFrame | None = None,
) -> pd.DataFrame:
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
    weighed = np.array(
        [1.0 if weights is None else float(weights.get(name, 0.0)) for name in names]
    )
    strange = sorted(set(weights or {}) - set(names))
    if not (np.isfinite(values).all() and (values > 0).all() and np.isfinite(goal) and goal > 0):
        raise PlaybookError(
            "A goal can only be solved from drivers above zero", table="tree", do="wait for sales"
        )
    if strange or weighed.sum() <= 0:
        raise PlaybookError(
            f"Weights must name drivers: {', '.join(strange) or 'all are zero'}",
            table="tree",
            do=f"choose from {', '.join(names)}",
        )
    ratio = goal / values.prod()
    needed = values * ratio ** (weighed / weighed.sum())
    needed[-1] = goal / np.prod(needed[:-1])
    gap = goal - values.prod()
    each = np.log(needed / values)
    share = each / each.sum() if abs(each.sum()) > 1e-15 else np.zeros(len(each))
    effect = gap * share
    effect[-1] = gap - effect[:-1].sum()
    best = np.array(
        [history[n].max() if history is not None and n in history else np.nan for n in names]
    )
    return pd.DataFrame(
        {
            "driver": names,
            "base": values,
            "needed": needed,
            "change": needed / values - 1,
            "needed_alone": values * ratio,
            "effect": effect,
            "best_so_far": best,
            "is_beyond_past": pd.array(
                np.where(np.isnan(best), None, needed > best), dtype="boolean"
            ),
        }
    )


def scenarios(
    history: pd.DataFrame,
    drivers: tuple[str, ...],
    *,
    months: int = 12,
    cm_share: float = np.nan,
    fixed: float = np.nan,
) -> pd.DataFrame:
    """Three months to plan with: scenario (low, middle, high), the drivers, revenue,
    cm, profit.

    low and high take every driver at its own 20th and 80th percentile of the newest
    `months` months, so together they are rarer than either. cm = revenue x cm_share,
    profit = cm - fixed; missing where those are not known.
    """
    t = history.tail(months)[list(drivers)]
    rows = []
    for name, at in (("low", 0.2), ("middle", 0.5), ("high", 0.8)):
        chosen = t.quantile(at)
        revenue = float(chosen.prod())
        rows.append(
            {
                "scenario": name,
                **chosen,
                "revenue": revenue,
                "cm": revenue * cm_share,
                "profit": revenue * cm_share - fixed,
            }
        )
    return pd.DataFrame(rows)


def tornado(history: pd.DataFrame, drivers: tuple[str, ...], *, months: int = 12) -> pd.DataFrame:
    """What each driver alone moves: driver, low, high (revenue with it at its 20th and
    80th percentile of the newest `months`, the others at their median), base, swing;
    widest first.
    """
    t = history.tail(months)[list(drivers)]
    middle = t.median()
    rows = []
    for name in drivers:
        ends = [float(middle.drop(name).prod() * t[name].quantile(at)) for at in (0.2, 0.8)]
        rows.append(
            {
                "driver": name,
                "low": ends[0],
                "high": ends[1],
                "base": float(middle.prod()),
                "swing": abs(ends[1] - ends[0]),
            }
        )
    return pd.DataFrame(rows).sort_values(
        ["swing", "driver"], ascending=[False, True], ignore_index=True
    )
