"""Pictures of notebook 05: margin against cost by age, forecast against outcome,
P(alive), and what one may pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from playbook.pictures import HATCH, PALETTE, line_with_band, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibration_plot", "caps_plot", "margin_plot", "p_alive_plot"]


def margin_plot(
    curve: pd.DataFrame, cost: pd.DataFrame, *, money: str = "money", ax: Axes | None = None
) -> Axes:
    """Cumulative margin per new customer by month of age (`margin_by_age`), one line a
    channel, with the cost of a new customer (`payback`, cohort `all`) as a dot where
    the line crosses it, or at the right edge where it has not.
    """
    ax = new_axes(ax, size=(8, 4.6))
    colours = [c for name, c in PALETTE.items() if name not in ("light", "ink")]
    for place, (channel, part) in enumerate(curve.groupby("channel", sort=True)):
        colour = colours[place % len(colours)]
        line_with_band(
            part, "month", "margin_per_customer", label=str(channel), colour=colour, ax=ax
        )
        paid = cost.loc[
            (cost["channel"] == channel) & (cost["cohort"] == "all"), ["ncac", "payback_months"]
        ]
        if len(paid) and np.isfinite(paid["ncac"].iloc[0]):
            month = paid["payback_months"].iloc[0]
            reached = np.isfinite(month)
            ax.plot(
                month if reached else part["month"].max(),
                paid["ncac"].iloc[0],
                "o",
                color=colour,
                ms=8,
                mfc=colour if reached else "white",
                zorder=5,
            )
    ax.set(
        xlabel="month of age (complete months only)",
        ylabel=f"cumulative margin per new customer, {money}",
        title="A dot is the cost of a new customer: filled where margin has paid it back",
    )
    return ax


def calibration_plot(frame: pd.DataFrame, *, money: str = "money", ax: Axes | None = None) -> Axes:
    """Forecast (bar with its interval) and outcome (dot) by tenth of forecast worth, of
    `calibration`.
    """
    ax = new_axes(ax)
    place = np.arange(len(frame))
    ready = frame["low"].notna().all()
    bars = ax.bar(
        place,
        frame["predicted"],
        color=PALETTE["sky"] if ready else "white",
        width=0.7,
        label="forecast",
    )
    if ready:
        reach = np.vstack(
            [frame["predicted"] - frame["low"], frame["high"] - frame["predicted"]]
        ).clip(min=0)
        ax.errorbar(
            place, frame["predicted"], yerr=reach, fmt="none", ecolor=PALETTE["grey"], capsize=3
        )
    else:
        for bar in bars:
            bar.set(hatch=HATCH, edgecolor=PALETTE["grey"])
    ax.plot(place, frame["actual"], "o", color=PALETTE["orange"], label="what came", zorder=5)
    ax.set_xticks(place, frame["decile"])
    days, origin = int(frame["horizon_days"].iloc[0]), pd.Timestamp(frame["origin_on"].iloc[0])
    ax.set(
        xlabel="tenth of customers, from least to most forecast worth",
        ylabel=f"{money} per customer in {days} days",
        title=f"Forecast of {origin:%Y-%m-%d} and what came: dots belong inside the whiskers",
    )
    ax.legend(loc="upper left")
    return ax


def p_alive_plot(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Mean P(alive) by number of later purchases: columns x, p_alive, n_customers."""
    ax = new_axes(ax)
    ax.bar(frame["x"].astype(str), frame["p_alive"], color=PALETTE["green"], width=0.7)
    for place, (share, n) in enumerate(zip(frame["p_alive"], frame["n_customers"], strict=True)):
        ax.text(place, share, f"{n:,}", ha="center", va="bottom", fontsize=8, color=PALETTE["grey"])
    ax.set(
        xlabel="later purchase days (numbers: customers)",
        ylabel="mean P(alive)",
        ylim=(0, 1.08),
        title="P(alive) of one-time buyers is mostly the model's assumption",
    )
    return ax


def caps_plot(frame: pd.DataFrame, *, money: str = "money", ax: Axes | None = None) -> Axes:
    """The most one may pay for a new customer (bar; safe end dark) and what one pays
    now (line), of `caps`.
    """
    ax = new_axes(ax, size=(8, max(2.4, 0.45 * len(frame) + 1.2)))
    place = np.arange(len(frame))[::-1]
    ax.barh(place, frame["cap"], color=PALETTE["light"], height=0.6, label="cap")
    ax.barh(place, frame["cap_low"], color=PALETTE["blue"], height=0.6, label="cap at the low end")
    ax.plot(frame["ncac"], place, "|", color=PALETTE["orange"], ms=18, mew=3, label="paid now")
    ax.set_yticks(place, frame["channel"])
    ax.set(
        xlabel=f"{money} per new customer", title="An orange line beyond the grey bar pays too much"
    )
    ax.legend(loc="lower right")
    return ax
