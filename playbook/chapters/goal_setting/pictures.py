"""Pictures of chapter 02: the forecast fan with its targets, the tornado, the pacing
curve, break-even, the models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from playbook.pictures import PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["break_even_plot", "fan_plot", "models_plot", "pacing_plot", "tornado_plot"]


def fan_plot(
    history: pd.DataFrame,
    periods: pd.DataFrame,
    *,
    targets: pd.DataFrame | None = None,
    shown: int = 24,
    currency: str = "money",
    level: float = 0.8,
    ax: Axes | None = None,
) -> Axes:
    """The past as a line, the forecast with its calibrated band, seasonal naive dotted,
    the targets as marks.
    """
    ax = new_axes(ax)
    past = history.tail(shown)
    ax.plot(past["period_on"], past["amount"], color=PALETTE["ink"], lw=1.8, label="net revenue")
    ahead = pd.concat(
        [past.tail(1).rename(columns={"amount": "mid"})[["period_on", "mid"]], periods],
        ignore_index=True,
    )
    ahead["low"], ahead["high"] = (
        ahead["low"].fillna(ahead["mid"]),
        ahead["high"].fillna(ahead["mid"]),
    )
    ax.plot(ahead["period_on"], ahead["mid"], color=PALETTE["blue"], lw=2, label="forecast")
    ax.fill_between(
        ahead["period_on"],
        ahead["low"],
        ahead["high"],
        color=PALETTE["blue"],
        alpha=0.18,
        lw=0,
        label=f"{level:.0%} interval",
    )
    if periods["seasonal_naive"].notna().any():
        ax.plot(
            periods["period_on"],
            periods["seasonal_naive"],
            color=PALETTE["grey"],
            lw=1.2,
            ls=":",
            label="seasonal naive",
        )
    if targets is not None and len(targets):
        ax.plot(
            targets["period_on"], targets["target"], "D", color=PALETTE["orange"], label="target"
        )
    ax.legend(loc="upper left", fontsize=8.5)
    ax.set(
        xlabel="",
        ylabel=f"{currency} a period",
        ylim=(min(0, past["amount"].min()), None),
        title="What comes next, as wide as past errors say",
    )
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return ax


def tornado_plot(swings: pd.DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """What each driver alone moves, widest on top."""
    ax = new_axes(ax, size=(8, max(2.2, 0.5 * len(swings) + 1.2)))
    places = np.arange(len(swings))[::-1]
    for column, ink in (("low", PALETTE["orange"]), ("high", PALETTE["green"])):
        ax.barh(places, swings[column] - swings["base"], left=swings["base"], color=ink, height=0.6)
    ax.axvline(swings["base"].iloc[0], color=PALETTE["ink"], lw=1)
    ax.set_yticks(places, swings["driver"])
    ax.grid(axis="y", visible=False)
    ax.set(
        xlabel=f"revenue of a month, {currency}, with the driver at its own 20th and 80th percentile",
        title="Which driver moves the month most",
    )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    return ax


def pacing_plot(paced: pd.DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """Sums to date: actual, what the shop's own days would have by now, and the
    straight line (tempting, not used).
    """
    ax = new_axes(ax)
    ax.plot(
        paced["day_on"],
        paced["linear"],
        color=PALETTE["grey"],
        lw=1.2,
        ls=":",
        label="straight line (tempting, not used)",
    )
    ax.plot(
        paced["day_on"], paced["expected"], color=PALETTE["blue"], lw=2, label="own days' profile"
    )
    if paced["low"].notna().any():
        ax.fill_between(
            paced["day_on"],
            paced["expected"] * paced["low"],
            paced["expected"] * paced["high"],
            color=PALETTE["blue"],
            alpha=0.15,
            lw=0,
            label="nine in ten past months",
        )
    ax.plot(paced["day_on"], paced["actual"], color=PALETTE["orange"], lw=2.2, label="actual")
    ax.legend(loc="upper left", fontsize=8.5)
    ax.set(
        xlabel="day", ylabel=f"{currency} to date", title="Is the month on its way to its target?"
    )
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.tick_params(axis="x", labelrotation=30)
    return ax


def break_even_plot(
    point: pd.DataFrame, *, currency: str = "money", ax: Axes | None = None
) -> Axes:
    """Profit of a month by its number of orders, with the band of the margin per order
    and today's volume.
    """
    ax = new_axes(ax)
    row = point.iloc[0]
    most = 1.4 * np.nanmax([row["orders_needed"], row["orders_now"], 1.0])
    x = np.linspace(0, most, 50)
    ax.plot(x, x * row["cm_per_order"] - row["fixed"], color=PALETTE["blue"], lw=2)
    if np.isfinite(row["low"]):
        ax.fill_between(
            x,
            x * row["low"] - row["fixed"],
            x * row["high"] - row["fixed"],
            color=PALETTE["blue"],
            alpha=0.18,
            lw=0,
        )
    ax.axhline(0, color=PALETTE["grey"], lw=1)
    for name, ink, word in (
        ("orders_needed", PALETTE["orange"], "break-even"),
        ("orders_now", PALETTE["green"], "now"),
    ):
        if np.isfinite(row[name]):
            ax.axvline(row[name], color=ink, lw=1.4, ls="--")
            ax.annotate(
                f"{word} {row[name]:,.0f}",
                (row[name], ax.get_ylim()[0]),
                color=ink,
                rotation=90,
                fontsize=8.5,
                xytext=(3, 6),
                textcoords="offset points",
                va="bottom",
            )
    ax.set(
        xlabel="orders a month",
        ylabel=f"profit a month, {currency}",
        title="When the month pays for itself",
    )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return ax


def models_plot(models: pd.DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """One basket through each model: margin after the platform and the fulfilment, then
    after winning the customer.
    """
    shown = models[models["cm_per_order"].notna()]
    ax = new_axes(ax, size=(8, max(2.2, 0.6 * len(shown) + 1.3)))
    places = np.arange(len(shown))[::-1]
    ax.barh(
        places + 0.25,
        shown["gross_margin"],
        height=0.24,
        color=PALETTE["light"],
        label="gross margin",
    )
    ax.barh(
        places,
        shown["cm_before_cac"],
        height=0.24,
        color=PALETTE["sky"],
        label="after platform, payment, fulfilment",
    )
    ax.barh(
        places - 0.25,
        shown["cm_per_order"],
        height=0.24,
        color=PALETTE["green"],
        label="after acquisition",
    )
    ax.axvline(0, color=PALETTE["grey"], lw=1)
    ax.set_yticks(
        places,
        [
            f"{m}\n{d:.0f} cash days"
            for m, d in zip(shown["model"], shown["cash_days"], strict=True)
        ],
    )
    ax.grid(axis="y", visible=False)
    ax.legend(
        fontsize=8.5,
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.45, -0.16 if len(shown) > 2 else -0.3),
    )
    ax.set(xlabel=f"{currency} per order", title="The same basket through each model")
    return ax
