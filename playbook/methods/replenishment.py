"""The classic stock policies, kept as reference and as lesson: how much, and at what point.

Snyder & Shen, *Fundamentals of Supply Chain Theory*, 2nd ed.: economic order quantity (chapter 3), (s, S) by the
algorithm of Zheng & Federgruen (Operations Research 1991) and the power approximation of Ehrhardt & Mosier (Management
Science 1984) (chapter 4), exact (R, Q) (chapter 5). Safety stock with an uncertain lead time is the formula of every
textbook; the notebook prints it beside the simulated answer, because it is what most shops use.
"""

from __future__ import annotations

import numpy as np

from playbook.methods.newsvendor import _check_costs, normal_loss, poisson_cost

__all__ = ["order_quantity", "accepted_chance", "safety_stock", "power_approximation", "s_s_cost", "best_s_s",
           "r_q_cost", "best_r_q"]


def order_quantity(
    order_cost: np.ndarray | float, holding: np.ndarray | float, demand: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Economic order quantity √(2Kλ/h) and its cost √(2Kλh) per unit of time; works on arrays."""
    order_cost, holding, demand = (np.asarray(part, dtype=float) for part in (order_cost, holding, demand))
    return np.sqrt(2 * order_cost * demand / holding), np.sqrt(2 * order_cost * demand * holding)


def accepted_chance(holding: np.ndarray, margin: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Chance of running short before the next delivery at which one more unit costs as much as it saves: hT / (hT + m).

    `holding` is money per unit and day, `margin` of a unit not sold, `days` how long an order lasts. A unit of safety
    stock lies there the whole time between two deliveries and saves a sale at most once in it (lost sales; Hadley &
    Whitin 1963, *Analysis of Inventory Systems*, section 4-3): large lots want less safety than a weekly order.
    """
    kept = np.asarray(holding, dtype=float) * np.asarray(days, dtype=float)
    return kept / (kept + np.maximum(margin, 1e-9))


def safety_stock(
    ratio: float, mean: np.ndarray, sd: np.ndarray, lead: np.ndarray, lead_sd: np.ndarray | float = 0.0
) -> np.ndarray:
    """z·√(L·σ² + d̄²·σ_L²), in units; z is a *cycle* service level, σ the forecast error, σ_L the lead time's."""
    from scipy.stats import norm

    return norm.ppf(ratio) * np.sqrt(lead * np.square(sd) + np.square(mean) * np.square(lead_sd))


def power_approximation(
    holding: float, shortage: float, order_cost: float, mean: np.ndarray | float, sd: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Near-best (s, S) for normal demand with no lead time (eq. 4.77 to 4.80); arrays are taken sku by sku.

    `holding`, `shortage` per unit and period, `order_cost` per order, `mean` and `sd` per period.
    """
    _check_costs(holding, shortage, order_cost)
    mean, sd = np.asarray(mean, dtype=float), np.asarray(sd, dtype=float)
    lot = 1.30 * mean**0.494 * (order_cost / holding) ** 0.506 * (1 + (sd / mean) ** 2) ** 0.116
    z = np.sqrt(lot * holding / (sd * shortage))
    point = 0.973 * mean + sd * (0.183 / z + 1.063 - 2.192 * z)
    return point, point + lot


def s_s_cost(point: int, up_to: int, holding: float, shortage: float, order_cost: float, mean: float) -> float:
    """Long-run cost a period of ordering up to `up_to` whenever `point` is reached; Poisson demand, no lead time."""
    from scipy.stats import poisson

    width = up_to - point
    pmf = poisson.pmf(np.arange(width + 1), mean)
    visits = np.zeros(width)  # renewal density: expected periods spent d units below the order-up-to level
    visits[0] = 1 / (1 - pmf[0])
    for d in range(1, width):
        visits[d] = (visits[:d] @ pmf[d:0:-1]) / (1 - pmf[0])
    period = poisson_cost(up_to - np.arange(width), holding, shortage, mean)
    return float((order_cost + visits @ period) / visits.sum())


def best_s_s(holding: float, shortage: float, order_cost: float, mean: float) -> tuple[int, int, float]:
    """The best (s, S) and its cost a period for Poisson demand (Zheng & Federgruen)."""
    from scipy.stats import poisson

    _check_costs(holding, shortage, order_cost)
    one = lambda level: float(poisson_cost(level, holding, shortage, mean))  # noqa: E731
    start = int(poisson.ppf(shortage / (shortage + holding), mean))
    point, up_to = start - 1, start
    while s_s_cost(point, up_to, holding, shortage, order_cost, mean) > one(point):
        point -= 1
    best = s_s_cost(point, up_to, holding, shortage, order_cost, mean)
    trial = up_to + 1
    while one(trial) <= best:
        if s_s_cost(point, trial, holding, shortage, order_cost, mean) < best:
            up_to = trial
            while s_s_cost(point, up_to, holding, shortage, order_cost, mean) <= one(point + 1):
                point += 1
            best = s_s_cost(point, up_to, holding, shortage, order_cost, mean)
        trial += 1
    return point, up_to, best


def r_q_cost(
    point: float, lot: float, holding: float, shortage: float, order_cost: float, mean: float, sd: float, lead: float
) -> float:
    """Exact average cost per unit of time of (R, Q), normal demand of `mean` and `sd` per unit of time.

    Backordered shortage cost accrues per unit and unit of time. The integral of the one-level cost over (R, R + Q) is
    taken in closed form with the second-order normal loss.
    """
    m, s = mean * lead, sd * np.sqrt(lead)
    ends = (np.array([point, point + lot]) - m) / s
    held = holding * (ends**2 / 2) * s**2
    second = ((ends**2 + 1) * _tail(ends) - ends * _density(ends)) / 2  # ∫ loss from z upward
    total = held - (holding + shortage) * s**2 * second
    return float((order_cost * mean + total[1] - total[0]) / lot)


def best_r_q(
    holding: float, shortage: float, order_cost: float, mean: float, sd: float, lead: float
) -> tuple[float, float, float]:
    """Reorder point, quantity and cost that minimise the exact average cost (R, Q)."""
    from scipy.optimize import brentq, minimize_scalar

    _check_costs(holding, shortage, order_cost, mean, sd, lead)
    m, s = mean * lead, sd * np.sqrt(lead)
    z = lambda level: (level - m) / s  # noqa: E731
    at = lambda level: holding * (level - m) + (holding + shortage) * s * normal_loss(z(level))  # noqa: E731

    def point_for(lot: float) -> float:  # at the best R both ends of the interval cost the same
        low = m - 10 * s - lot
        return brentq(lambda point: at(point) - at(point + lot), low, m + 10 * s)

    usual = float(order_quantity(order_cost, holding, mean)[0])
    cost = lambda lot: r_q_cost(point_for(lot), lot, holding, shortage, order_cost, mean, sd, lead)  # noqa: E731
    lot = minimize_scalar(cost, bounds=(usual / 5, usual * 5), method="bounded", options={"xatol": 1e-7}).x
    return point_for(lot), float(lot), cost(lot)


def _tail(z: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return norm.sf(z)


def _density(z: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return norm.pdf(z)
