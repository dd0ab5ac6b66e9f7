"""Pictures of chapter 07: demand hidden by stock-outs, Pareto, forecast fan, stock
projection, service against cash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pandas import DataFrame

from playbook.messages import say
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

CLASS_INKS = {"A": "blue", "B": "yellow", "C": "grey"}


def hidden_demand_plot(
    weeks: DataFrame, *, is_stock_known: bool = True, ax: Axes | None = None
) -> Axes:
    """Weekly sales of one sku and the weeks it could not be sold in full (starts_on,
    units, exposure, level). Without stock on record nothing is said of the shelf.
    """
    ax = new_axes(ax)
    ax.bar(
        weeks.starts_on,
        weeks.units,
        width=6,
        color=PALETTE["sky"],
    )
    short = weeks.starts_on[(weeks.exposure < 0.95) & is_stock_known]
    top = max(float(weeks[["units", "level"]].max().max()), 1.0)
    hatch = {
        "color": "none",
        "edgecolor": PALETTE["light"],
        "hatch": HATCH,
        "lw": 0,
    }
    ax.bar(short, top, width=6, **hatch)
    ax.plot(
        weeks.starts_on,
        weeks.level,
        color=PALETTE["orange"],
        lw=2,
    )
    return _labelled(ax, "hidden_demand" if is_stock_known else "plain_demand")


def pareto_plot(classes: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Cumulated share of the amount over skus, coloured by class."""
    ax = new_axes(ax)
    gains = classes["amount"].clip(lower=0)
    share = gains.cumsum() / max(gains.sum(), 1e-9)
    place = np.arange(1, len(classes) + 1) / max(len(classes), 1)
    for name, ink in CLASS_INKS.items():
        at = (classes["abc"] == name).to_numpy()
        if at.any():
            ax.fill_between(
                place[at],
                share[at],
                color=PALETTE[ink],
                alpha=0.35,
                lw=0,
            )
            middle = (place[at].mean(), 0.05)
            ax.annotate(
                name,
                middle,
                ha="center",
                color=PALETTE["ink"],
                weight="bold",
            )
    ax.plot(
        place,
        share,
        color=PALETTE["ink"],
        lw=1.6,
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:.0%}")
    ax.set_ylim(0, 1.02)
    basis = classes.basis.iloc[0]
    return _labelled(
        ax,
        "pareto",
        basis=say(f"inventory_planning.basis_{basis}"),
    )


def fan_plot(weeks: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Weeks sold and the forecast of one sku (columns starts_on, units, mid, low,
    high).
    """
    ax, blue = new_axes(ax), PALETTE["blue"]
    ax.plot(
        weeks.starts_on,
        weeks.units,
        color=PALETTE["grey"],
        lw=1.4,
    )
    ax.plot(
        weeks.starts_on,
        weeks.mid,
        color=blue,
        lw=2,
    )
    ax.fill_between(
        weeks.starts_on,
        weeks.low,
        weeks.high,
        color=blue,
        alpha=0.2,
        lw=0,
    )
    return _labelled(ax, "fan")


def projection_plot(
    days: DataFrame,
    *,
    reorder_point: float,
    ax: Axes | None = None,
) -> Axes:
    """Stock of one sku over the days ahead with and without the order (columns day_on,
    without, with_order, low).
    """
    ax, day = new_axes(ax), days.day_on
    for column, ink in (("without", "orange"), ("with_order", "blue")):
        ax.plot(
            day,
            days[column],
            color=PALETTE[ink],
            lw=2,
        )
        end = (day.iloc[-1], days[column].iloc[-1])
        word = say(f"inventory_planning.shelf_{column}")
        _note(
            ax,
            word,
            end,
            color=PALETTE[ink],
            xytext=(4, 0),
            va="center",
        )
    ax.fill_between(
        day,
        days.low,
        days.with_order,
        color=PALETTE["blue"],
        alpha=0.15,
        lw=0,
    )
    ax.axhline(
        reorder_point,
        color=PALETTE["ink"],
        lw=1,
        ls="--",
    )
    start = (day.iloc[0], reorder_point)
    ax.annotate(
        say("inventory_planning.reorder_point"),
        start,
        va="bottom",
        fontsize=8.5,
    )
    ax.set_ylim(0, None)
    return _labelled(ax, "projection")


def service_cash_plot(
    curve: DataFrame,
    *,
    currency: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Average stock value over the fill rate it buys."""
    ax, value = new_axes(ax), curve.stock_value
    lines = {
        "fill_share": ("blue", {"lw": 2, "marker": "o"}, len(curve) - 1, (-6, 4)),
        "cycle_share": ("grey", {"lw": 1.2, "marker": ".", "ls": "--"}, len(curve) // 2, (-8, 4)),
    }
    for column, (ink, how, row, beside) in lines.items():
        ax.plot(
            curve[column],
            value,
            color=PALETTE[ink],
            **how,
        )
        at = (curve[column].iloc[row], value.iloc[row])
        word = say(f"inventory_planning.service_{column}")
        _note(
            ax,
            word,
            at,
            color=PALETTE[ink],
            xytext=beside,
            ha="right",
        )
    ax.xaxis.set_major_formatter("{x:.1%}")
    return _labelled(ax, "service_cash", currency=currency)


def replay_plot(
    replay: DataFrame,
    *,
    currency: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Holding cost and lost margin of each policy over the replayed weeks."""
    words = [_policy_word(name) for name in replay.policy]
    shown = replay.assign(policy=words).dropna(subset=["total_cost"])
    if shown.empty:
        ax = bars_with_intervals(
            replay.assign(policy=words),
            "policy",
            "fill_share",
            ax=ax,
        )
        return _labelled(ax, "replay_service")
    ax = new_axes(ax, size=(8, max(2.2, 0.5 * len(shown) + 1.2)))
    places, held = np.arange(len(shown))[::-1], shown.holding_cost
    ax.barh(
        places,
        held,
        color=PALETTE["sky"],
        height=0.6,
    )
    ax.barh(
        places,
        shown.lost_margin,
        left=held,
        color=PALETTE["orange"],
        height=0.6,
    )
    for place, cost, fill in zip(
        places,
        shown.total_cost,
        shown.fill_share,
        strict=True,
    ):
        text = say("inventory_planning.replay_fill", fill=fill)
        _note(
            ax,
            text,
            (cost, place),
            xytext=(4, 0),
            va="center",
        )
    ax.set_yticks(places, shown.policy)
    ax.margins(x=0.15)
    return _labelled(ax, "replay_cost", currency=currency)


def _labelled(ax: Axes, picture: str, **values: str) -> Axes:
    """The picture with its title and the labels of its axes."""
    ax.set_title(say(f"inventory_planning.title_{picture}"))
    ax.set_xlabel(say(f"inventory_planning.x_{picture}", **values))
    ax.set_ylabel(say(f"inventory_planning.y_{picture}", **values))
    return ax


def _note(ax: Axes, text: str, at: tuple[object, float], **how: object) -> None:
    """A word beside a point."""
    ax.annotate(
        text,
        at,
        textcoords="offset points",
        fontsize=9,
        **how,
    )


def _policy_word(name: str) -> str:
    """How a replayed policy is called in a picture."""
    code = name.replace(",", "").replace(" ", "_")
    return say(f"inventory_planning.policy_{code}")
