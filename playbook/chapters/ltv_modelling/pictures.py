"""Pictures of notebook 05: margin against cost by age, forecast against outcome,
P(alive), and what one may pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.messages import say
from playbook.pictures import HATCH, PALETTE, line_with_band, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibration_plot", "caps_plot", "margin_plot", "p_alive_plot"]


def margin_plot(curve: DataFrame, cost: DataFrame, *, money: str, ax: Axes | None = None) -> Axes:
    """Cumulative margin per new customer by month of age (`margin_by_age`), one line a
    channel, with the cost of a new customer (`payback`, cohort `all`) as a dot where
    the line crosses it, or at the right edge where it has not.
    """
    ax = new_axes(ax, size=(8, 4.6))
    colours = [c for name, c in PALETTE.items() if name not in ("light", "ink")]
    paid = cost[cost.cohort == "all"].set_index("channel")
    for place, (channel, part) in enumerate(curve.groupby("channel", sort=True)):
        look = {"colour": colours[place % len(colours)], "ax": ax}
        line_with_band(
            part,
            "month",
            "margin_per_customer",
            label=str(channel),
            **look,
        )
        ncac, month = paid.ncac.get(channel), paid.payback_months.get(channel)
        if pd.notna(ncac):
            _cost_dot(
                ax,
                month,
                ncac,
                part.month.max(),
                look["colour"],
            )
    _titled(ax, "margin", money=money)
    return ax


def _cost_dot(ax: Axes, month: float, ncac: float, last: float, colour: str) -> None:
    """Filled where margin has paid the cost back, hollow at the last month elsewhere."""
    reached = np.isfinite(month)
    fill, at = (colour, month) if reached else ("white", last)
    ax.plot(
        at,
        ncac,
        "o",
        color=colour,
        ms=8,
        mfc=fill,
        zorder=5,
    )


def calibration_plot(frame: DataFrame, *, money: str, ax: Axes | None = None) -> Axes:
    """Forecast (bar with its interval) and outcome (dot) by tenth of forecast worth, of
    `calibration`.
    """
    ax = new_axes(ax)
    place, height = np.arange(len(frame)), frame.predicted
    ready = frame.low.notna().all()
    look = {"color": PALETTE["sky"]} if ready else {"color": "white", "hatch": HATCH}
    look |= {"width": 0.7, "label": say("ltv_modelling.forecast")}
    ax.bar(
        place,
        height,
        edgecolor=None if ready else PALETTE["grey"],
        **look,
    )
    if ready:
        reach = np.vstack([height - frame.low, frame.high - height]).clip(min=0)
        ax.errorbar(
            place,
            height,
            yerr=reach,
            fmt="none",
            ecolor=PALETTE["grey"],
            capsize=3,
        )
    came = say("ltv_modelling.came")
    ax.plot(
        place,
        frame.actual,
        "o",
        color=PALETTE["orange"],
        label=came,
        zorder=5,
    )
    ax.set_xticks(place, frame.decile)
    first = frame.iloc[0]
    origin = pd.Timestamp(first["origin_on"])
    _titled(
        ax,
        "calibration",
        money=money,
        days=first["horizon_days"],
        origin=origin,
    )
    ax.legend(loc="upper left")
    return ax


def p_alive_plot(frame: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Mean P(alive) by number of later purchases: columns x, p_alive, n_customers."""
    ax = new_axes(ax)
    ax.bar(
        frame.x.astype(str),
        frame.p_alive,
        color=PALETTE["green"],
        width=0.7,
    )
    look = {
        "ha": "center",
        "va": "bottom",
        "fontsize": 8,
        "color": PALETTE["grey"],
    }
    for place, (share, n) in enumerate(zip(frame.p_alive, frame.n_customers, strict=True)):
        ax.text(place, share, f"{n:,}", **look)
    ax.set_ylim(0, 1.08)
    _titled(ax, "alive")
    return ax


def caps_plot(frame: DataFrame, *, money: str, ax: Axes | None = None) -> Axes:
    """The most one may pay for a new customer (bar; safe end dark), what one pays now
    (line) and for the next one (diamond), of `caps`.
    """
    ax = new_axes(ax, size=(8, max(2.4, 0.45 * len(frame) + 1.2)))
    place = np.arange(len(frame))[::-1]
    for column, colour in (("cap", "light"), ("cap_low", "blue")):
        name = say(f"ltv_modelling.bar_{column}")
        ax.barh(
            place,
            frame[column],
            color=PALETTE[colour],
            height=0.6,
            label=name,
        )
    marks = (("ncac", "paid_now", "|", 3), ("next_ncac", "paid_next", "d", 1))
    for column, label, mark, width in marks:
        ax.plot(
            frame[column],
            place,
            mark,
            color=PALETTE["orange"],
            ms=18 if mark == "|" else 8,
            mew=width,
            label=say(f"ltv_modelling.{label}"),
        )
    ax.set_yticks(place, frame.channel)
    _titled(ax, "caps", money=money)
    ax.legend(loc="lower right")
    return ax


def _titled(ax: Axes, picture: str, **values: object) -> None:
    """Title and axis labels of a picture, as the messages have them."""
    for part in ("title", "xlabel", "ylabel"):
        ax.set(**{part: say(f"ltv_modelling.{picture}_{part}", **values)})
