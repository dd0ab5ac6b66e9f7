"""What the shop's own campaigns brought: treated against held out, cost taken off, per
customer asked.

Only customers drawn into the hold-out say what the others would have done anyway.
Welch's interval of the difference of means; sums by arm are exact decimals, so that the
order of rows changes nothing.
"""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.store import expression

__all__ = ["campaign_returns"]


def campaign_returns(
    treatments: Any,
    customer_days: Any,
    *,
    as_of: Any,
    basis: str = "margin",
    days: int = 30,
    level: float = 0.8,
) -> pd.DataFrame:
    """One row per campaign, by day and name: treatment_id, assigned_on, n_treated,
    n_holdout, treated and holdout (`basis` money per customer in the `days` from
    assignment on), cost (per treated customer), net (difference less cost) with low and
    high (`level`), p_gain (chance that net is above 0), status.

    Status is `complete`, `partial` while the days are not over, or `no hold-out` (under
    two customers in an arm): then net and what follows is missing. Customers who bought
    nothing count with 0.
    """
    from scipy.stats import t as student

    day = pd.Timestamp(as_of)
    asked = expression(treatments).mutate(assigned_on=_.assigned_at.cast("date"))
    asked = asked.filter(_.assigned_on <= ibis.literal(day.date()))
    bought = expression(customer_days).select(
        "customer_id", day_on=_.day_on.cast("date"), money=_[basis]
    )
    both = asked.left_join(bought, "customer_id")
    age = both.day_on.delta(both.assigned_on, unit="day")
    is_in = (age >= 0) & (age < days) & (both.day_on <= ibis.literal(day.date()))
    person = both.group_by("treatment_id", "customer_id", "arm").aggregate(
        assigned_on=both.assigned_on.min(),
        paid=both.cost.cast("decimal(18, 6)").max(),
        money=both.money.cast("decimal(18, 6)").sum(where=is_in).fill_null(0),
    )
    wide = person.money.cast("decimal(19, 2)")
    sums = (
        person.group_by("treatment_id", "arm")
        .aggregate(
            assigned_on=_.assigned_on.min(),
            n=_.count(),
            total=_.money.sum().cast("float64"),
            squares=(wide * wide).sum().cast("float64"),
            paid=_.paid.sum().cast("float64"),
        )
        .to_pandas()
    )
    rows = []
    for name, part in sums.groupby("treatment_id"):
        arm = part.set_index("arm")
        n = [int(arm.n.get(a, 0)) for a in ("treated", "holdout")]
        row = {
            "treatment_id": name,
            "assigned_on": pd.Timestamp(part.assigned_on.min()),
            "n_treated": n[0],
            "n_holdout": n[1],
        }
        mean, error, df = [np.nan, np.nan], np.nan, np.nan
        if min(n) > 1:
            mean = [arm.total[a] / k for a, k in zip(("treated", "holdout"), n, strict=True)]
            each = [
                max(arm.squares[a] - k * m * m, 0) / (k - 1) / k
                for a, k, m in zip(("treated", "holdout"), n, mean, strict=True)
            ]
            error = np.sqrt(sum(each))
            df = sum(each) ** 2 / max(
                sum(v * v / (k - 1) for v, k in zip(each, n, strict=True)), 1e-300
            )
        cost = float(arm.paid.get("treated", np.nan)) / max(n[0], 1)
        net = mean[0] - mean[1] - (cost if np.isfinite(cost) else 0.0)
        reach = student.ppf(0.5 + level / 2, df) * error if error > 0 else np.nan
        is_over = row["assigned_on"] + pd.Timedelta(days=days) <= day + pd.Timedelta(days=1)
        rows.append(
            {
                **row,
                "treated": mean[0],
                "holdout": mean[1],
                "cost": cost,
                "net": net,
                "low": net - reach,
                "high": net + reach,
                "p_gain": student.cdf(net / error, df) if error > 0 else np.nan,
                "status": "no hold-out" if min(n) < 2 else "complete" if is_over else "partial",
            }
        )
    columns = [
        "treatment_id",
        "assigned_on",
        "n_treated",
        "n_holdout",
        "treated",
        "holdout",
        "cost",
        "net",
        "low",
        "high",
        "p_gain",
        "status",
    ]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["assigned_on", "treatment_id"], ignore_index=True
    )
