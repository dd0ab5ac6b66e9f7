"""Pictures of chapter 03: claimed against earned, the curve and today's place on it,
credit by rule, the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from playbook.pictures import PALETTE, bars_with_intervals, line_with_band, new_axes, waterfall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "break_even_plot",
    "claimed_plot",
    "credit_plot",
    "held_out_plot",
    "margin_steps_plot",
    "plan_plot",
    "response_plot",
]


def claimed_plot(roas: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The lesson: channels in the order of what their platforms claim."""
    shown = roas.dropna(subset=["platform_roas"])
    ax = bars_with_intervals(shown, "channel", "platform_roas", ax=ax, colour="orange")
    ax.set(
        xlabel="claimed value per unit of spend",
        title="Tempting, not used: ranked by platform ROAS",
    )
    return ax


def break_even_plot(pnl: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """ROAS with its interval, and the mark each channel has to pass; hatched where
    refunds are still to come.
    """
    shown = pnl.dropna(subset=["roas"]).sort_values("poas", ascending=False)
    ax = bars_with_intervals(
        shown, "channel", "roas", low="roas_low", high="roas_high", status="status", ax=ax
    )
    places = np.arange(len(shown))[::-1]
    ax.scatter(
        shown.be_roas, places, marker="|", s=420, color=PALETTE["orange"], linewidths=3, zorder=3
    )
    ax.set_xscale("symlog", linthresh=5)
    ax.set_xticks([0, 1, 2, 3, 5, 10, 20, 50], ["0", "1", "2", "3", "5", "10", "20", "50"])
    ax.set_xlim(0, max(float(shown.roas_high.max()) * 1.15, 5) if len(shown) else 5)
    ax.set(
        xlabel="sales by last touch per unit of spend (squeezed above 5)",
        title="ROAS with 90 % interval; orange: the break-even a channel must pass",
    )
    return ax


def margin_steps_plot(steps: pd.DataFrame, currency: str, *, ax: Axes | None = None) -> Axes:
    """From attributed sales down to what is left after ads."""
    ax = waterfall(steps, "step", "amount", total="is_total", ax=ax)
    ax.set(
        xlabel=f"{currency}, paid channels by last touch",
        title="Where the sales of paid channels go",
    )
    return ax


def credit_plot(models: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """One row per channel, one mark per rule: the width of a row is how little the
    rules agree.
    """
    rules = {"first": "o", "last": "s", "linear": "^", "position": "D", "markov": "*"}
    inks = [PALETTE[c] for c in ("blue", "orange", "green", "yellow", "pink")]
    ax = new_axes(ax, size=(8, max(2.4, 0.42 * len(models) + 1.2)))
    places = np.arange(len(models))[::-1]
    five = models[list(rules)]
    ax.hlines(places, five.min(axis=1), five.max(axis=1), color=PALETTE["light"], lw=5, zorder=1)
    for (rule, mark), ink in zip(rules.items(), inks, strict=True):
        ax.scatter(
            models[rule],
            places,
            marker=mark,
            color=ink,
            label=rule,
            s=90 if mark == "*" else 42,
            zorder=2,
        )
    ax.set_yticks(places, models.channel)
    ax.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=9)
    ax.set(xlabel="conversions credited", title="The same journeys under five rules")
    return ax


def response_plot(curves: pd.DataFrame, currency: str, basis: str) -> Axes:
    """A small picture per channel: the curve with its interval, the range seen in full
    ink, today as a dot.
    """
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(curves.channel))
    wide = min(3, max(len(names), 1))
    tall = -(-max(len(names), 1) // wide)
    figure, grid = plt.subplots(
        tall, wide, figsize=(3.1 * wide, 2.5 * tall + 0.5), squeeze=False, sharey=True
    )
    for ax, name in zip(grid.flat, names, strict=False):
        part = curves[curves.channel == name]
        line_with_band(part, "spend", "response", low="low", high="high", colour="light", ax=ax)
        seen = part[part.is_seen]
        line_with_band(seen, "spend", "response", low="low", high="high", ax=ax)
        now = part.now.iloc[0]
        ax.scatter(
            [now], [np.interp(now, part.spend, part.response)], color=PALETTE["orange"], zorder=4
        )
        ax.axline((0, 0), slope=1, color=PALETTE["grey"], lw=1, ls=":")
        ax.set_title(name, fontsize=10)
        ax.set_xlim(0, part.spend.max())
        ax.set_ylim(0, curves.high.max() * 1.05)
    for ax in list(grid.flat)[len(names) :]:
        ax.set_visible(False)
    figure.supxlabel(f"steady spend, {currency} a week", fontsize=10)
    figure.supylabel(f"{basis} caused, {currency} a week", fontsize=10)
    figure.suptitle(
        "What more would bring: dot today, grey outside the range seen, dotted line break-even",
        fontsize=11,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    return grid[0, 0]


def held_out_plot(weeks: pd.DataFrame, currency: str, *, ax: Axes | None = None) -> Axes:
    """Weeks the fit had not seen, foretold with their interval, beside what happened
    and a naive answer.
    """
    ax = line_with_band(weeks, "week_on", "predicted", low="low", high="high", ax=ax)
    naive = "same return as last month"
    ax.plot(weeks.week_on, weeks.same_return, color=PALETTE["orange"], ls="--", lw=1.5, label=naive)
    ax.scatter(weeks.week_on, weeks.actual, color=PALETTE["ink"], zorder=3, label="actual")
    ax.plot([], [], color=PALETTE["blue"], lw=2, label="foretold, 90 %")
    ax.legend(loc="lower left", fontsize=9)
    ax.set_ylim(0)
    ax.set(
        xlabel="week beginning",
        ylabel=f"{currency} a week",
        title="Held-out weeks: foretold from earlier weeks and spend",
    )
    ax.tick_params(axis="x", rotation=30)
    return ax


def plan_plot(plan: pd.DataFrame, currency: str, *, ax: Axes | None = None) -> Axes:
    """Today's budget, the plan, and the bounds it was searched within."""
    shown = plan[(plan.channel != "(not spent)") | (plan.plan > 0)]
    ax = new_axes(ax, size=(8, max(2.4, 0.5 * len(shown) + 1.2)))
    places = np.arange(len(shown))[::-1]
    ax.barh(places + 0.18, shown.now, height=0.34, color=PALETTE["light"], label="now")
    ax.barh(places - 0.18, shown.plan, height=0.34, color=PALETTE["blue"], label="plan")
    ax.hlines(places - 0.42, shown.floor, shown.cap, color=PALETTE["ink"], lw=1.5, label="allowed")
    ax.set_yticks(places, shown.channel)
    ax.legend(fontsize=9)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=f"{currency} a month", title="The plan within its bounds")
    return ax
