"""Pictures of chapter 02: the forecast fan with its targets, the tornado, the pacing
curve, break-even, the models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

from playbook.chapters.goal_setting.goals import SEASON_MONTHS
from playbook.measures.metrics import metric_called
from playbook.messages import say
from playbook.pictures import PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["break_even_plot", "fan_plot", "models_plot", "pacing_plot", "tornado_plot"]


def fan_plot(
    periods: DataFrame,
    *,
    past: DataFrame,
    targets: DataFrame | None = None,
    currency: str = "money",
    level: float = 0.8,
    ax: Axes | None = None,
) -> Axes:
    """The past as a line, the forecast with its calibrated band, seasonal naive dotted,
    the targets as marks. With under two years of months only what is calibrated is drawn.
    """
    if len(past) < SEASON_MONTHS:  # the season is not known: nothing but what is calibrated
        periods = periods[periods["low"].notna()]
    ax, past = new_axes(ax), past.tail(24)
    periods = periods.assign(period_on=pd.to_datetime(periods["period"]))
    ahead = pd.concat([past.tail(1).rename(columns={"amount": "mid"}), periods], ignore_index=True)
    limits = ahead[["low", "high"]].T.fillna(ahead["mid"]).T
    _line(
        ax,
        past,
        "amount",
        "ink",
        say("goal_setting.label_net_revenue"),
    )
    _line(
        ax,
        ahead,
        "mid",
        "blue",
        say("goal_setting.label_forecast"),
    )
    _band(
        ax,
        ahead["period_on"],
        limits["low"],
        limits["high"],
        say("goal_setting.label_interval", level=level),
    )
    if periods["seasonal_naive"].notna().any():
        naive = say("goal_setting.label_seasonal_naive")
        _line(ax, periods, "seasonal_naive", "grey", naive, ls=":")
    if targets is not None:
        marks = {"ls": "", "marker": "D"}
        _line(ax, targets, "target", "orange", say("goal_setting.label_target"), **marks)
    ax.set_ylim(min(0, past["amount"].min()))
    ax.legend(loc="upper left", fontsize=8.5)
    return _titled(
        ax,
        "fan",
        "",
        say("goal_setting.axis_period", currency=currency),
    )


def tornado_plot(swings: DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """What each driver alone moves, widest on top."""
    ax = new_axes(ax, size=(8, max(2.2, 0.5 * len(swings) + 1.2)))
    places, base = np.arange(len(swings))[::-1], swings["base"]
    for column, ink in (("low", "orange"), ("high", "green")):
        ax.barh(
            places,
            swings[column] - base,
            left=base,
            color=PALETTE[ink],
            height=0.6,
        )
    ax.axvline(base.iloc[0], color=PALETTE["ink"], lw=1)
    ax.set_yticks(places, swings["driver"].map(metric_called))
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    return _titled(
        ax,
        "tornado",
        say("goal_setting.axis_tornado", currency=currency),
    )


def pacing_plot(paced: DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """Sums to date: actual, what the shop's own days would have by now, and the
    straight line (tempting, not used).
    """
    ax = new_axes(ax)
    paced = paced.rename(columns={"day_on": "period_on"})
    for column, ink, style in (
        ("linear", "grey", ":"),
        ("expected", "blue", "-"),
        ("actual", "orange", "-"),
    ):
        _line(
            ax,
            paced,
            column,
            ink,
            say(f"goal_setting.label_{column}"),
            ls=style,
        )
    if paced["low"].notna().any():
        low, high = (paced["expected"] * paced[bound] for bound in ("low", "high"))
        _band(
            ax,
            paced["period_on"],
            low,
            high,
            say("goal_setting.label_band"),
        )
    ax.legend(loc="upper left", fontsize=8.5)
    ax.tick_params(axis="x", labelrotation=30)
    to_date = say("goal_setting.axis_to_date", currency=currency)
    return _titled(
        ax,
        "pacing",
        say("goal_setting.axis_day"),
        to_date,
    )


def break_even_plot(point: DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """Profit of a month by its number of orders, with the band of the margin per order
    and today's volume.
    """
    ax, row = new_axes(ax), point.iloc[0]
    orders = np.linspace(0, 1.4 * np.nanmax([row["orders_needed"], row["orders_now"], 1.0]), 50)
    mid, low, high = (orders * row[name] - row["fixed"] for name in ("cm_per_order", "low", "high"))
    ax.plot(
        orders,
        mid,
        color=PALETTE["blue"],
        lw=2,
    )
    _band(ax, orders, low, high)
    ax.axhline(0, color=PALETTE["grey"], lw=1)
    for name, ink in (("orders_needed", "orange"), ("orders_now", "green")):
        ax.axvline(
            row[name],
            color=PALETTE[ink],
            lw=1.4,
            ls="--",
        )
        ax.annotate(
            say(f"goal_setting.label_{name}", n=row[name]),
            (row[name], ax.get_ylim()[0]),
            color=PALETTE[ink],
            rotation=90,
            fontsize=8.5,
            xytext=(3, 6),
            textcoords="offset points",
            va="bottom",
        )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    profit = say("goal_setting.axis_profit", currency=currency)
    return _titled(
        ax,
        "break_even",
        say("goal_setting.axis_orders"),
        profit,
    )


def models_plot(models: DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """One basket through each model: margin after the platform and the fulfilment, then
    after winning the customer.
    """
    shown = models[models["cm_per_order"].notna()]
    ax = new_axes(ax, size=(8, max(2.2, 0.6 * len(shown) + 1.3)))
    places = np.arange(len(shown))[::-1]
    for column, ink, shift in (
        ("gross_margin", "light", 0.25),
        ("cm_before_cac", "sky", 0.0),
        ("cm_per_order", "green", -0.25),
    ):
        label = say(f"goal_setting.label_{column}")
        ax.barh(
            places + shift,
            shown[column],
            height=0.24,
            color=PALETTE[ink],
            label=label,
        )
    ax.axvline(0, color=PALETTE["grey"], lw=1)
    names = [
        say(
            "goal_setting.label_model",
            model=row.model,
            days=row.cash_days,
        )
        for row in shown.itertuples()
    ]
    ax.set_yticks(places, names)
    ax.grid(axis="y", visible=False)
    below = -0.16 if len(shown) > 2 else -0.3
    ax.legend(
        fontsize=8.5,
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.45, below),
    )
    return _titled(
        ax,
        "models",
        say("goal_setting.axis_per_order", currency=currency),
    )


def _line(ax: Axes, frame: DataFrame, column: str, ink: str, label: str, **style: str) -> None:
    ax.plot(
        frame["period_on"],
        frame[column],
        color=PALETTE[ink],
        lw=2,
        label=label,
        **style,
    )


def _band(ax: Axes, x: ndarray, low: ndarray, high: ndarray, label: str | None = None) -> None:
    ax.fill_between(
        x,
        low,
        high,
        color=PALETTE["blue"],
        alpha=0.18,
        lw=0,
        label=label,
    )


def _titled(ax: Axes, name: str, xlabel: str, ylabel: str = "") -> Axes:
    """The picture's title and labels; a labelled height is in thousands."""
    ax.set(
        xlabel=xlabel,
        ylabel=ylabel,
        title=say(f"goal_setting.title_{name}"),
    )
    if ylabel:
        ax.yaxis.set_major_formatter("{x:,.0f}")
    return ax
