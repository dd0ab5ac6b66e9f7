"""The decision rows in which chapter 00 ends: may the month be used, and what to repair."""

from __future__ import annotations

import pandas as pd

from playbook.decisions import decision_rows, propose
from playbook.store import Store
from playbook.store.readiness import Verdict

__all__ = ["data_decisions"]

#: days without orders that are named one by one
NAMED_DAYS = 5


def data_decisions(shop: Store, judged: Verdict, days: pd.DataFrame | None) -> pd.DataFrame:
    """Whether the month may be used, and a request to repair its missing days.

    `judged`: what `verdict` says. `days`: the days of the month (day_on, verdict); None
    where the shop has no orders yet.
    """
    kind = "stop" if judged.status == "stop" else "use"
    why = {"reason": "; ".join(judged.reasons)} if judged.reasons else {}
    rows = [
        propose(
            f"start_here.month_{kind}",
            f"{shop.name} {shop.month}",
            action=judged.status,
            evidence_value=float((judged.gates.verdict == "go").mean()),
            due_on=shop.days_after(3),
            revisit_on=shop.days_after(31),
            **why,
        )
    ]
    missing = [] if days is None else list(days.day_on[days.verdict == "missing"])
    if missing:
        n_days = float(len(missing))
        named = ", ".join(map(str, missing[:NAMED_DAYS]))
        due_on = shop.days_after(3)
        rows.append(
            propose(
                "start_here.repair_orders",
                "orders",
                size=n_days,
                evidence_value=n_days,
                due_on=due_on,
                days=named,
            )
        )
    return decision_rows(rows)
