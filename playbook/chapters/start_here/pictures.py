"""Pictures of chapter 00: orders per day with their gaps, and the bridge from source to
revenue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from playbook.pictures import HATCH, PALETTE, new_axes, waterfall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bridge_plot", "rows_per_day_plot"]


def rows_per_day_plot(days: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Orders per day of the month: closed days grey, days that should hold orders and
    do not in orange.
    """
    ax = new_axes(ax, size=(8, 3))
    inks = days.verdict.map(
        {
            "trading": PALETTE["blue"],
            "closed day": PALETTE["light"],
            "missing": PALETTE["orange"],
            "not yet": PALETTE["light"],
        }
    )
    places = range(1, len(days) + 1)
    ax.bar(places, days.orders.fillna(0), color=list(inks))
    top = max(float(days.orders.max() or 0), 1.0)
    for place, verdict in zip(places, days.verdict, strict=True):
        if verdict in ("missing", "not yet"):
            ax.bar(
                place,
                top,
                color="white",
                hatch=HATCH if verdict == "missing" else "...",
                lw=0,
                edgecolor=PALETTE["orange"] if verdict == "missing" else PALETTE["light"],
            )
    gaps = int((days.verdict == "missing").sum())
    ax.set(
        xlabel="day of the month",
        ylabel="orders placed",
        title="Every trading day has orders"
        if gaps == 0
        else f"{gaps} days hold no orders and should",
    )
    return ax


def bridge_plot(walk: pd.DataFrame, *, currency: str, ax: Axes | None = None) -> Axes:
    """The walk from the source's total to net revenue as steps; only steps that move
    money are drawn.
    """
    shop_level = (
        walk[: walk.index[walk.step == "restart"][0]] if (walk.step == "restart").any() else walk
    )
    shown = shop_level.assign(
        amount=shop_level.amount.astype(float), is_total=shop_level.step.isin(["total", "sum"])
    )
    shown = shown[(shown.amount.abs() >= 0.005) | shown.is_total]
    ax = waterfall(shown, "reason", "amount", total="is_total", ax=ax)
    ax.set(xlabel=currency, title="From the source's total to net revenue")
    return ax
