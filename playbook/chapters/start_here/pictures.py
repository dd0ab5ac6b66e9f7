"""Pictures of chapter 00: orders per day with their gaps, and the bridge from source to
revenue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from playbook.messages import say
from playbook.pictures import HATCH, PALETTE, new_axes, waterfall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bridge_plot", "rows_per_day_plot"]

#: verdict of a day without orders -> how its column is hatched, and in which colour
EMPTY_DAYS = {"missing": (HATCH, "orange"), "not yet": ("...", "light")}
#: steps that move less than a cent are not drawn
CENT = 0.005


def rows_per_day_plot(days: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Orders per day of the month; days that should hold orders and do not are hatched
    in orange, days still to come in grey.
    """
    ax = new_axes(ax, size=(8, 3))
    places = pd.Series(range(1, len(days) + 1), index=days.index)
    ax.bar(places, days.orders.fillna(0), color=PALETTE["blue"])
    top = max(float(days.orders.max() or 0), 1.0)
    for verdict, (hatch, ink) in EMPTY_DAYS.items():
        at = places[days.verdict == verdict]
        ax.bar(
            at,
            top,
            color="white",
            hatch=hatch,
            lw=0,
            edgecolor=PALETTE[ink],
        )
    n_gaps = int((days.verdict == "missing").sum())
    title = say("start_here.title_gaps", n=n_gaps) if n_gaps else say("start_here.title_no_gaps")
    ax.set(
        xlabel=say("start_here.axis_day"),
        ylabel=say("start_here.axis_orders"),
        title=title,
    )
    return ax


def bridge_plot(walk: pd.DataFrame, *, currency: str, ax: Axes | None = None) -> Axes:
    """The walk from the source's total to net revenue as steps, up to its second start
    for known customers; only steps that move money are drawn.
    """
    steps = walk[~(walk.step == "restart").cummax()]
    amount = steps.amount.astype(float)
    steps = steps.assign(amount=amount, is_total=steps.step.isin(["total", "sum"]))
    shown = steps[(amount.abs() >= CENT) | steps.is_total]
    ax = waterfall(
        shown,
        "reason",
        "amount",
        total="is_total",
        ax=ax,
    )
    ax.set(xlabel=currency, title=say("start_here.title_bridge"))
    return ax
