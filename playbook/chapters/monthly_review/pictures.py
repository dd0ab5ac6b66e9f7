"""Pictures of chapter 11: one small line per headline metric with the limits of its own
past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from playbook.measures.metrics import METRICS
from playbook.pictures import PALETTE, new_axes, waterfall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["control_plot", "drivers_plot", "scorecard_plot"]


def scorecard_plot(
    headline: pd.DataFrame, card: pd.DataFrame, *, month: str, currency: str = "", columns: int = 3
) -> Axes:
    """Small multiples: each metric's months, this month's point coloured by its flag,
    its control limits as a bar.
    """
    import matplotlib.pyplot as plt

    if card.empty:
        ax = new_axes(size=(6, 1.5))
        ax.set(title="No chapter has left headline figures for this month")
        return ax
    rows = -(-len(card) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(9, 1.7 * rows + 0.3), squeeze=False)
    inks = {"better": "green", "worse": "orange", "outside limits": "yellow"}
    for ax, row in zip(grid.flat, card.itertuples(), strict=False):
        line = headline[(headline.metric == row.metric) & (headline.month <= month)].sort_values(
            "month"
        )
        places = range(len(line))
        if row.lower == row.lower:
            ax.vlines(len(line) - 1, row.lower, row.upper, color=PALETTE["light"], lw=9)
        ax.plot(places, line.amount.astype(float), color=PALETTE["grey"], lw=1.3)
        ink = PALETTE[inks.get(row.flag, "blue")]
        if len(line):
            ax.plot(
                len(line) - 1,
                float(line.amount.iloc[-1]),
                "o",
                ms=6,
                color=ink,
                mfc="white" if row.status != "complete" else ink,
            )
        ax.set_title(
            f"{row.name}\n{row.flag}",
            fontsize=8.5,
            color=PALETTE["ink"] if row.flag == "within limits" else ink,
        )
        ax.set_xticks(
            [0, max(len(line) - 1, 0)],
            [line.month.iloc[0], line.month.iloc[-1]] if len(line) > 1 else ["", ""],
        )
        ax.set_ylabel(currency if row.unit == "money" and currency else row.unit, fontsize=8)
        ax.tick_params(labelsize=7.5)
        ax.yaxis.get_major_locator().set_params(nbins=3)
    for ax in list(grid.flat)[len(card) :]:
        ax.set_visible(False)
    figure.suptitle(
        "This month (dot) against what its own past leads one to expect (bar)",
        x=0.01,
        ha="left",
        fontsize=12,
        fontweight="bold",
    )
    return grid.flat[0]


def drivers_plot(drivers: pd.DataFrame, *, currency: str, ax: Axes | None = None) -> Axes:
    """From last month's net revenue to this month's, one step per driver."""
    ax = new_axes(ax, size=(8, max(2.2, 0.42 * (len(drivers) + 2) + 1.0)))
    if drivers.empty:
        ax.set(title="A month lacks a driver, so the change cannot be shared out")
        return ax
    start, end = drivers.before.prod(), drivers.after.prod()
    names = [
        METRICS[d].name.lower() if d in METRICS else d.replace("_", " ") for d in drivers.driver
    ]
    steps = pd.DataFrame(
        {
            "label": ["last month", *names, "this month"],
            "amount": [start, *drivers.contribution, end],
            "is_total": [True, *[False] * len(drivers), True],
        }
    )
    ax = waterfall(steps, "label", "amount", total="is_total", ax=ax)
    ax.set(xlabel=f"net revenue, {currency}", title="What moved net revenue")
    return ax


def control_plot(
    daily: pd.DataFrame, limits: pd.DataFrame, *, month: str, days: int = 90, ax: Axes | None = None
) -> Axes:
    """Orders per day of the last `days`, the month's `limits` (review.day_limits) as a
    band, days outside them marked and promotions shaded.
    """
    ax = new_axes(ax, size=(8, 3))
    shown = daily.assign(day_on=pd.to_datetime(daily.day_on)).tail(days)
    ax.plot(shown.day_on, shown.orders.astype(float), color=PALETTE["grey"], lw=1.3)
    for row in shown[shown.is_promotion.astype(bool)].itertuples():
        ax.axvspan(
            row.day_on, row.day_on + pd.Timedelta(days=1), color=PALETTE["yellow"], alpha=0.15, lw=0
        )
    if limits.empty:
        ax.set(
            xlabel="day (promotions shaded)",
            ylabel="orders",
            ylim=(0, None),
            title="Orders by day: too short a history for limits",
        )
        return ax
    ax.fill_between(
        limits.day_on,
        limits.lower.clip(lower=0),
        limits.upper,
        color=PALETTE["blue"],
        alpha=0.15,
        lw=0,
    )
    marked = limits[(limits.amount < limits.lower) | (limits.amount > limits.upper)]
    ax.plot(marked.day_on, marked.amount, "o", color=PALETTE["orange"], ms=6)
    ax.set(
        xlabel="day (promotions shaded)",
        ylabel="orders",
        ylim=(0, None),
        title=f"Orders of {len(marked)} days of {month} lie outside their limits (band)"
        if len(marked)
        else "No day's orders lie outside their limits (band)",
    )
    return ax
