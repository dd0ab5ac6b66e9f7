"""Pictures of chapter 11: one small line per headline metric with the limits of its own
past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from pandas import DataFrame

from playbook.measures.metrics import METRICS, metric_called
from playbook.messages import label, say
from playbook.pictures import PALETTE, new_axes, waterfall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["control_plot", "drivers_plot", "scorecard_plot"]

INKS = {
    "better": "green",
    "worse": "orange",
    "outside limits": "yellow",
}


def scorecard_plot(headline: DataFrame, card: DataFrame, *, month: str, currency: str = "") -> Axes:
    """Small multiples, three a row: each metric's months, this month's point coloured
    by its flag, its usual range as a bar.
    """
    import matplotlib.pyplot as plt

    if card.empty:
        ax = new_axes(size=(6, 1.5))
        ax.set(title=say("monthly_review.no_headline"))
        return ax
    rows = -(-len(card) // 3)
    figure, grid = plt.subplots(
        rows,
        3,
        figsize=(9, 1.7 * rows + 0.3),
        squeeze=False,
    )
    past = headline[headline.month <= month].sort_values("month")
    for ax, row in zip(grid.flat, card.itertuples(), strict=False):
        _metric_plot(ax, past[past.metric == row.metric], row)
        ax.set_ylabel(
            currency if row.unit == "money" and currency else label("words", row.unit), fontsize=8
        )
    for ax in grid.flat[len(card) :]:
        ax.set_visible(False)
    figure.suptitle(
        say("monthly_review.scorecard_title"), x=0.01, ha="left", fontsize=12, fontweight="bold"
    )
    return grid.flat[0]


def _metric_plot(ax: Axes, months: DataFrame, row: NamedTuple) -> None:
    """One metric's months with this month's limits and point."""
    amounts, last = months.amount.astype(float).to_numpy(), len(months) - 1
    if pd.notna(row.usual_low):
        ax.vlines(
            last,
            row.usual_low,
            row.usual_high,
            color=PALETTE["light"],
            lw=9,
        )
    ax.plot(amounts, color=PALETTE["grey"], lw=1.3)
    ink = PALETTE[INKS.get(row.flag, "blue")]
    if len(months):
        inside = ink if row.status == "complete" else "white"
        ax.plot(
            last,
            amounts[-1],
            "o",
            ms=6,
            color=ink,
            mfc=inside,
        )
    title = PALETTE["ink"] if row.flag in ("usual", "within limits") else ink
    ax.set_title(
        f"{metric_called(row.metric)}\n{label('flags', row.flag)}",
        fontsize=8.5,
        color=title,
    )
    ends = [months.month.iloc[0], months.month.iloc[-1]] if len(months) > 1 else ["", ""]
    ax.set_xticks([0, max(last, 0)], ends)
    ax.tick_params(labelsize=7.5)
    ax.yaxis.get_major_locator().set_params(nbins=3)


def _driver_name(driver: str) -> str:
    if driver in METRICS:
        return metric_called(driver).lower()
    return label("words", driver).replace("_", " ")


def drivers_plot(drivers: DataFrame, *, currency: str, ax: Axes | None = None) -> Axes:
    """From last month's net revenue to this month's, one step per driver."""
    ax = new_axes(ax, size=(8, max(2.2, 0.42 * (len(drivers) + 2) + 1.0)))
    if drivers.empty:
        ax.set(title=say("monthly_review.no_drivers"))
        return ax
    names = [_driver_name(driver) for driver in drivers.driver]
    ends = say("monthly_review.last_month"), say("monthly_review.this_month")
    steps = DataFrame(
        {
            "label": [ends[0], *names, ends[1]],
            "amount": [drivers.before.prod(), *drivers.contribution, drivers.after.prod()],
            "is_total": [True, *[False] * len(drivers), True],
        }
    )
    ax = waterfall(
        steps,
        "label",
        "amount",
        total="is_total",
        ax=ax,
    )
    ax.set(
        xlabel=say("monthly_review.drivers_x", currency=currency),
        title=say("monthly_review.drivers_title"),
    )
    return ax


def control_plot(
    daily: DataFrame, limits: DataFrame, *, month: str, ax: Axes | None = None
) -> Axes:
    """Orders per day of the last ninety, the month's `limits` (review.day_limits) as a
    band, days outside them marked and promotions shaded.
    """
    ax = new_axes(ax, size=(8, 3))
    shown = daily.assign(day_on=pd.to_datetime(daily.day_on)).tail(90)
    ax.plot(
        shown.day_on,
        shown.orders.astype(float),
        color=PALETTE["grey"],
        lw=1.3,
    )
    shade = {"color": PALETTE["yellow"], "alpha": 0.15, "lw": 0}
    for day in shown.day_on[shown.is_promotion.astype(bool)]:
        ax.axvspan(day, day + pd.Timedelta(days=1), **shade)
    ax.set(xlabel=say("monthly_review.days_x"), ylabel=say("monthly_review.days_y"), ylim=(0, None))
    if limits.empty:
        ax.set(title=say("monthly_review.days_too_short"))
        return ax
    band = shade | {"color": PALETTE["blue"]}
    ax.fill_between(
        limits.day_on,
        limits.lower.clip(lower=0),
        limits.upper,
        **band,
    )
    marked = limits[(limits.amount < limits.lower) | (limits.amount > limits.upper)]
    ax.plot(
        marked.day_on,
        marked.amount,
        "o",
        color=PALETTE["orange"],
        ms=6,
    )
    outside = say("monthly_review.days_outside", n=len(marked), month=month)
    ax.set(title=outside if len(marked) else say("monthly_review.days_inside"))
    return ax
