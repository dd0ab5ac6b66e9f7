"""The customer's way in stages, each with the one or two figures that tell how it goes,
its pain, owner and remedy. The stages stand in `chapter.yaml`.
"""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from playbook.chapters.customer_journey.visits import SPLITS
from playbook.chapters.registry import room_facts
from playbook.messages import say
from playbook.tables import frame_of, returns

__all__ = ["journey_map"]

USUAL_MONTHS = 3  # months before the last one that make the usual figure

#: a figure: its amount, what is usual, how many it rests on
Figure = tuple[float, float, float]


@returns("customer_journey.journey_map")
def journey_map(
    *,
    funnel: DataFrame | None = None,
    parcels: DataFrame | None = None,
    late: DataFrame | None = None,
    back: DataFrame | None = None,
    desk: DataFrame | None = None,
    unpaid: DataFrame | None = None,
) -> DataFrame:
    """The journey from the frames of `funnel`, `delivery`, `late_months`, `returns`,
    `service` and `payments`; what is not given stays in the map with amount missing.
    """
    figures: dict[str, Figure] = {}
    if funnel is not None:
        figures |= _steps(funnel)
    if unpaid is not None:
        whole = unpaid[unpaid.device == "all"]
        figures["unpaid_share"] = _latest(whole, "unpaid", "orders")
    if late is not None:
        figures["late_share"] = _latest(late, "late", "due")
    if back is not None:
        figures |= _returned(back)
    if parcels is not None:
        figures["stars"] = _mean(parcels, "stars", "n_reviews")
        figures["next_order_share"] = _mean(parcels, "next_order_share", "n_ripe")
    if desk is not None:
        for row in desk[desk.topic == "all"].itertuples():
            figures["first_reply_hours"] = (row.first_reply_hours, np.nan, row.tickets)
            figures["reopened_share"] = (row.reopened_share, np.nan, row.tickets)
    rows = []
    for stage in room_facts("customer_journey")["stages"]:
        metric = stage["metric"]
        amount, usual, n = map(float, figures.get(metric, (np.nan, np.nan, np.nan)))
        words = {
            "pain": say(f"customer_journey.pain_{metric}"),
            "fix": say(f"customer_journey.fix_{metric}"),
        }
        gap = (amount - usual) * (1 if stage["more_is_better"] else -1)
        rows.append(stage | {"amount": amount, "usual": usual, "gap": gap, "n": n} | words)
    return frame_of("customer_journey.journey_map", rows)


def _steps(funnel: DataFrame) -> dict[str, Figure]:
    """The funnel's steps over all segments."""
    whole = funnel[(funnel[list(SPLITS)] == "all").all(axis=1)].drop_duplicates("step")
    return {r.step: (r.step_share, r.usual_share, r.n_previous) for r in whole.itertuples()}


def _returned(back: DataFrame) -> dict[str, Figure]:
    """The return share of the last month whose returns have come in."""
    is_month = (back.view == "month") & (back.basis == "order")
    ripe = back[is_month & (back.status == "complete")]
    if ripe.empty:
        return {}
    amount, usual, _sold = _latest(ripe, "returned", "sold")
    return {"return_share": (amount, usual, ripe.n_lines.tail(1).sum())}


def _latest(months: DataFrame, top: str, bottom: str) -> Figure:
    """Share of the last month, of the three before it, and the last month's bottom."""
    months = months.sort_values("month" if "month" in months else "key")
    last, before = months.tail(1), months.iloc[-1 - USUAL_MONTHS : -1]
    amount, usual = (_share(part[top].sum(), part[bottom].sum()) for part in (last, before))
    return amount, usual, last[bottom].sum()


def _mean(bands: DataFrame, amount: str, n: str) -> Figure:
    """The mean over bands, each weighed by its number; there is no usual one."""
    known = bands[bands[n] > 0]
    total = known[n].sum()
    return _share((known[amount] * known[n]).sum(), total), np.nan, total


def _share(top: float, bottom: float) -> float:
    return float(top / bottom) if bottom > 0 else np.nan
