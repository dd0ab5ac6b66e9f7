"""The classic stock formulas: how much to order, what being short may cost, and the
safety stock of the textbook.

Economic order quantity: Snyder & Shen, *Fundamentals of Supply Chain Theory*, 2nd ed.,
chapter 3. Safety stock with an uncertain lead time is the formula of every textbook;
the notebook prints it beside the simulated answer, because it is what most shops use.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

__all__ = ["order_quantity", "accepted_chance", "safety_stock"]


def order_quantity(
    order_cost: ndarray | float,
    holding: ndarray | float,
    demand: ndarray | float,
) -> tuple[ndarray, ndarray]:
    """Economic order quantity √(2Kλ/h) and its cost √(2Kλh) per unit of time; works on
    arrays.
    """
    order_cost, holding, demand = (
        np.asarray(part, dtype=float) for part in (order_cost, holding, demand)
    )
    return np.sqrt(2 * order_cost * demand / holding), np.sqrt(2 * order_cost * demand * holding)


def accepted_chance(
    holding: ndarray,
    margin: ndarray,
    days: ndarray,
) -> ndarray:
    """Chance of running short before the next delivery at which one more unit costs as
    much as it saves: hT / (hT + m).

    `holding` is money per unit and day, `margin` of a unit not sold, `days` how long an
    order lasts. A unit of safety stock lies there the whole time between two deliveries
    and saves a sale at most once in it (lost sales; Hadley & Whitin 1963, *Analysis of
    Inventory Systems*, section 4-3): large lots want less safety than a weekly order.
    """
    held = np.asarray(holding, dtype=float) * np.asarray(days, dtype=float)
    return held / (held + np.maximum(margin, 1e-9))


def safety_stock(
    ratio: float,
    mean: ndarray,
    sd: ndarray,
    lead: ndarray,
    lead_sd: ndarray | float = 0.0,
) -> ndarray:
    """z·√(L·σ² + d̄²·σ_L²), in units; z is a *cycle* service level, σ the forecast
    error, σ_L the lead time's.
    """
    from scipy.stats import norm

    return norm.ppf(ratio) * np.sqrt(lead * np.square(sd) + np.square(mean) * np.square(lead_sd))
