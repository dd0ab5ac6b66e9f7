"""Pictures of chapter 07: demand hidden by stock-outs, Pareto, forecast fan, stock
projection, service against cash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from playbook.pictures import HATCH, PALETTE, bars_with_intervals, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "hidden_demand_plot",
    "pareto_plot",
    "fan_plot",
    "projection_plot",
    "service_cash_plot",
    "replay_plot",
]


def hidden_demand_plot(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Weekly sales of one sku and the weeks it could not be sold in full (starts_on,
    units, exposure, level).
    """
    ax = new_axes(ax)
    ax.bar(frame["starts_on"], frame["units"], width=6, color=PALETTE["sky"])
    short = frame[frame["exposure"] < 0.95]
    top = max(float(frame["units"].max()), float(frame["level"].max()), 1.0)
    ax.bar(
        short["starts_on"],
        top,
        width=6,
        color="none",
        edgecolor=PALETTE["light"],
        hatch=HATCH,
        lw=0,
    )
    ax.plot(frame["starts_on"], frame["level"], color=PALETTE["orange"], lw=2)
    ax.set(
        xlabel="week",
        ylabel="units a week",
        title="Hatched weeks could not be sold in full: the line is demand",
    )
    return ax


def pareto_plot(classes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Cumulated share of the amount over skus, coloured by class."""
    ax = new_axes(ax)
    gains = classes["amount"].clip(lower=0)
    share = gains.cumsum() / max(gains.sum(), 1e-9)
    place = np.arange(1, len(classes) + 1) / max(len(classes), 1)
    for name, ink in (("A", "blue"), ("B", "yellow"), ("C", "grey")):
        at = (classes["abc"] == name).to_numpy()
        if at.any():
            ax.fill_between(place[at], share[at], color=PALETTE[ink], alpha=0.35, lw=0)
            ax.annotate(
                name, (place[at].mean(), 0.05), ha="center", color=PALETTE["ink"], weight="bold"
            )
    ax.plot(place, share, color=PALETTE["ink"], lw=1.6)
    ax.set(
        xlabel="share of skus, best first",
        ylabel=f"share of {classes['basis'].iloc[0]}",
        ylim=(0, 1.02),
        title="A few skus carry most of the money",
    )
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax


def fan_plot(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Weeks sold and the forecast of one sku (columns starts_on, units, mid, low,
    high).
    """
    ax = new_axes(ax)
    ax.plot(frame["starts_on"], frame["units"], color=PALETTE["grey"], lw=1.4)
    ax.plot(frame["starts_on"], frame["mid"], color=PALETTE["blue"], lw=2)
    ax.fill_between(
        frame["starts_on"], frame["low"], frame["high"], color=PALETTE["blue"], alpha=0.2, lw=0
    )
    ax.set(
        xlabel="week",
        ylabel="units a week",
        title="What comes next is a spread, not a number (band: 80 %)",
    )
    return ax


def projection_plot(frame: pd.DataFrame, *, reorder_point: float, ax: Axes | None = None) -> Axes:
    """Stock of one sku over the days ahead with and without the order (columns day_on,
    without, with_order, low).
    """
    ax = new_axes(ax)
    ax.plot(frame["day_on"], frame["without"], color=PALETTE["orange"], lw=2)
    ax.plot(frame["day_on"], frame["with_order"], color=PALETTE["blue"], lw=2)
    ax.fill_between(
        frame["day_on"], frame["low"], frame["with_order"], color=PALETTE["blue"], alpha=0.15, lw=0
    )
    ax.axhline(reorder_point, color=PALETTE["ink"], lw=1, ls="--")
    ax.annotate(
        "reorder point (position)",
        (frame["day_on"].iloc[0], reorder_point),
        va="bottom",
        fontsize=8.5,
    )
    for column, word, ink in (
        ("without", "no order", "orange"),
        ("with_order", "with order", "blue"),
    ):
        ax.annotate(
            word,
            (frame["day_on"].iloc[-1], frame[column].iloc[-1]),
            xytext=(4, 0),
            va="center",
            textcoords="offset points",
            color=PALETTE[ink],
            fontsize=9,
        )
    ax.set(
        xlabel="day",
        ylabel="units on the shelf",
        ylim=(0, None),
        title="The order has to arrive before the shelf is empty",
    )
    return ax


def service_cash_plot(frame: pd.DataFrame, *, currency: str = "", ax: Axes | None = None) -> Axes:
    """Average stock value over the fill rate it buys."""
    ax = new_axes(ax)
    ax.plot(frame["fill_share"], frame["stock_value"], color=PALETTE["blue"], lw=2, marker="o")
    ax.plot(
        frame["cycle_share"],
        frame["stock_value"],
        color=PALETTE["grey"],
        lw=1.2,
        marker=".",
        ls="--",
    )
    last = frame.iloc[-1]
    ax.annotate(
        "fill rate",
        (last["fill_share"], last["stock_value"]),
        xytext=(-6, 4),
        ha="right",
        textcoords="offset points",
        color=PALETTE["blue"],
    )
    ax.annotate(
        "cycle service",
        (frame["cycle_share"].iloc[len(frame) // 2], frame["stock_value"].iloc[len(frame) // 2]),
        xytext=(-8, 4),
        ha="right",
        textcoords="offset points",
        color=PALETTE["grey"],
    )
    ax.xaxis.set_major_formatter("{x:.1%}")
    ax.set(
        xlabel="service reached on fresh draws",
        ylabel=f"average stock at cost ({currency})",
        title="Every further point of service costs more than the last",
    )
    return ax


def replay_plot(frame: pd.DataFrame, *, currency: str = "", ax: Axes | None = None) -> Axes:
    """Holding cost and lost margin of each policy over the replayed weeks."""
    shown = frame.dropna(subset=["total_cost"])
    if shown.empty:
        ax = bars_with_intervals(frame, "policy", "fill_share", ax=ax)
        ax.set(
            xlabel="share of units served",
            title="Service of each policy on the shop's own past weeks",
        )
        return ax
    ax = new_axes(ax, size=(8, max(2.2, 0.5 * len(shown) + 1.2)))
    places = np.arange(len(shown))[::-1]
    ax.barh(places, shown["holding_cost"], color=PALETTE["sky"], height=0.6)
    ax.barh(
        places,
        shown["lost_margin"],
        left=shown["holding_cost"],
        color=PALETTE["orange"],
        height=0.6,
    )
    for place, (_, row) in zip(places, shown.iterrows(), strict=True):
        ax.annotate(
            f"fill {row['fill_share']:.1%}",
            (row["total_cost"], place),
            xytext=(4, 0),
            va="center",
            textcoords="offset points",
            fontsize=9,
        )
    ax.set_yticks(places, shown["policy"])
    ax.margins(x=0.15)
    ax.set(
        xlabel=f"{currency} over the replayed weeks: holding (blue), lost margin (orange)",
        title="What each policy would have cost on the shop's own past",
    )
    return ax
