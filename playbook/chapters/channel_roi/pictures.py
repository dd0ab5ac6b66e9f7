"""Pictures of chapter 03: claimed against earned, the curve and today's place on it,
credit by rule, the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pandas import DataFrame

from playbook.chapters.channel_roi.media_plan import NOT_SPENT
from playbook.messages import say
from playbook.pictures import (
    PALETTE,
    bars_with_intervals,
    line_with_band,
    new_axes,
    waterfall,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "break_even_plot",
    "claimed_plot",
    "credit_plot",
    "held_out_plot",
    "formats_plot",
    "higher_plot",
    "hours_plot",
    "margin_steps_plot",
    "pages_plot",
    "partners_plot",
    "plan_plot",
    "response_plot",
    "rewards_plot",
    "words_plot",
]

TICKS = [0, 1, 2, 3, 5, 10, 20, 50]
#: words shown from either end
ENDS = 10
#: rule of credit -> its mark and ink
MARKS = {
    "first": ("o", "blue"),
    "last": ("s", "orange"),
    "linear": ("^", "green"),
    "position": ("D", "yellow"),
    "markov": ("*", "pink"),
}


def claimed_plot(roas: DataFrame) -> Axes:
    """The lesson: channels in the order of what their platforms claim."""
    shown = roas.dropna(subset=["platform_roas"])
    ax = bars_with_intervals(
        shown,
        "channel",
        "platform_roas",
        colour="orange",
    )
    return _titled(ax, "claimed")


def break_even_plot(pnl: DataFrame) -> Axes:
    """ROAS with its interval, and the mark each channel has to pass; hatched where
    refunds are still to come.
    """
    shown = pnl.dropna(subset=["roas"]).sort_values("poas", ascending=False)
    ax = bars_with_intervals(
        shown,
        "channel",
        "roas",
        low="roas_low",
        high="roas_high",
        status="status",
    )
    places = np.arange(len(shown))[::-1]
    orange = PALETTE["orange"]
    ax.scatter(
        shown.be_roas,
        places,
        marker="|",
        s=420,
        color=orange,
        linewidths=3,
        zorder=3,
    )
    ax.set_xscale("symlog", linthresh=5)
    ax.set_xticks(TICKS, TICKS)
    ax.set_xlim(
        0,
        max(float(shown.roas_high.max()) * 1.15, 5) if len(shown) else 5,
    )
    return _titled(ax, "break_even")


def margin_steps_plot(steps: DataFrame, currency: str) -> Axes:
    """From attributed sales down to what is left after ads."""
    ax = waterfall(
        steps,
        "step",
        "amount",
        total="is_total",
    )
    return _titled(ax, "margin_steps", currency)


def credit_plot(models: DataFrame) -> Axes:
    """One row per channel, one mark per rule: the width of a row is how little the
    rules agree.
    """
    ax = new_axes(size=(8, max(2.4, 0.42 * len(models) + 1.2)))
    places = np.arange(len(models))[::-1]
    rules = models[list(MARKS)]
    ax.hlines(
        places,
        rules.min(axis=1),
        rules.max(axis=1),
        color=PALETTE["light"],
        lw=5,
        zorder=1,
    )
    for rule, (mark, ink) in MARKS.items():
        size = 90 if mark == "*" else 42
        look = {
            "marker": mark,
            "color": PALETTE[ink],
            "s": size,
            "zorder": 2,
        }
        ax.scatter(
            models[rule],
            places,
            label=say(f"channel_roi.rule_{rule}"),
            **look,
        )
    ax.set_yticks(places, models.channel)
    ax.legend(
        ncols=5,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        fontsize=9,
    )
    return _titled(ax, "credit")


def words_plot(words: DataFrame, currency: str) -> Axes:
    """The words that leave least and most, with their intervals; orange: to exclude."""
    shown = words[words.verdict != "brand"]
    shown = shown.iloc[[i for i in range(len(shown)) if i < ENDS or i >= len(shown) - ENDS]]
    ax = bars_with_intervals(shown, "term", "net", low="low", high="high")
    for bar, verdict in zip(ax.patches, shown.verdict, strict=True):
        bar.set_color(PALETTE["orange" if verdict == "exclude" else "blue"])
    return _titled(ax, "words", currency)


def higher_plot(higher: DataFrame, currency: str) -> Axes:
    """What a place higher would bring, of the words for which it is most."""
    shown = higher[higher.verdict == "lift"].head(ENDS)
    ax = bars_with_intervals(shown, "term", "extra_margin", low="low", high="high")
    return _titled(ax, "higher", currency)


def pages_plot(changes: DataFrame) -> Axes:
    """Pages that lost and won most beside the others; orange: fell."""
    shown = changes.assign(page=changes.page.str.split("/").str[-1])
    shown = shown.sort_values("change", ignore_index=True)
    shown = shown.iloc[[i for i in range(len(shown)) if i < ENDS or i >= len(shown) - ENDS]]
    ends = {"low": "change_low", "high": "change_high"}
    ax = bars_with_intervals(shown, "page", "change", **ends)
    for bar, verdict in zip(ax.patches, shown.verdict, strict=True):
        bar.set_color(PALETTE["orange" if verdict == "fell" else "blue"])
    return _titled(ax, "pages")


def partners_plot(accounts: DataFrame, currency: str) -> Axes:
    """What partners leave, those that lose and earn most; orange: cost too much."""
    shown = accounts.iloc[
        [i for i in range(len(accounts)) if i < ENDS or i >= len(accounts) - ENDS]
    ]
    return _verdicts(shown, "partner", "partners", currency)


def formats_plot(formats: DataFrame, currency: str) -> Axes:
    """What one piece of each format leaves after its cost; orange: costs too much."""
    return _verdicts(formats, "format", "formats", currency)


def hours_plot(hours: DataFrame, currency: str) -> Axes:
    """What an hour live leaves after its cost, by clock hour; orange: costs too much."""
    shown = hours.sort_values("hour").assign(at=lambda t: t.hour.map("{}:00".format))
    return _verdicts(shown, "at", "hours", currency)


def _verdicts(shown: DataFrame, name: str, title: str, currency: str) -> Axes:
    """Bars of `net` with their intervals, in orange what costs too much."""
    ax = bars_with_intervals(shown, name, "net", low="low", high="high")
    for bar, verdict in zip(ax.patches, shown.verdict, strict=True):
        bar.set_color(PALETTE["orange" if verdict == "costs too much" else "blue"])
    return _titled(ax, title, currency)


def rewards_plot(levels: DataFrame, currency: str) -> Axes:
    """What is left of an invited customer's margin after each reward; orange: nothing."""
    named = [say("channel_roi.reward_level", reward=reward) for reward in levels.reward]
    return _verdicts(levels.assign(level=named), "level", "rewards", currency)


def response_plot(curves: DataFrame, currency: str, basis: str) -> Axes:
    """A small picture per channel: the curve with its interval, the range seen in full
    ink, today as a dot.
    """
    import matplotlib.pyplot as plt

    parts = dict(list(curves.groupby("channel", sort=False)))
    wide = min(3, len(parts))
    tall = -(-len(parts) // wide)
    figure, grid = plt.subplots(
        tall,
        wide,
        figsize=(3.1 * wide, 2.5 * tall + 0.5),
        squeeze=False,
        sharey=True,
    )
    for ax in grid.flat[len(parts) :]:
        ax.set_visible(False)
    for ax, (name, part) in zip(grid.flat, parts.items(), strict=False):
        _curve(ax, part)
        ax.set_title(name, fontsize=10)
        ax.set_ylim(0, curves.high.max() * 1.05)
    figure.supxlabel(say("channel_roi.response_x", currency=currency), fontsize=10)
    caused = say(f"channel_roi.response_y_{basis}", currency=currency)
    figure.supylabel(caused, fontsize=10)
    title = say("channel_roi.response_title")
    figure.suptitle(
        title,
        fontsize=11,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    return grid[0, 0]


def _curve(ax: Axes, part: DataFrame) -> None:
    """One channel's curve, its range seen, and today."""
    line_with_band(
        part,
        "spend",
        "response",
        band=("low", "high"),
        colour="light",
        ax=ax,
    )
    observed = part[part.is_seen]
    line_with_band(
        observed,
        "spend",
        "response",
        band=("low", "high"),
        ax=ax,
    )
    now = part.now.iloc[0]
    today = np.interp(now, part.spend, part.response)
    ax.scatter(
        [now],
        [today],
        color=PALETTE["orange"],
        zorder=4,
    )
    ax.axline(
        (0, 0),
        slope=1,
        color=PALETTE["grey"],
        lw=1,
        ls=":",
    )
    ax.set_xlim(0, part.spend.max())


def held_out_plot(weeks: DataFrame, currency: str) -> Axes:
    """Weeks the fit had not seen, foretold with their interval, beside what happened
    and a naive answer.
    """
    ax = line_with_band(
        weeks,
        "week_on",
        "predicted",
        band=("low", "high"),
    )
    naive = {"color": PALETTE["orange"], "ls": "--", "lw": 1.5}
    ax.plot(
        weeks.week_on,
        weeks.same_return,
        label=say("channel_roi.legend_naive"),
        **naive,
    )
    actual = {"color": PALETTE["ink"], "zorder": 3}
    ax.scatter(
        weeks.week_on,
        weeks.actual,
        label=say("channel_roi.legend_actual"),
        **actual,
    )
    ax.plot(
        [],
        [],
        color=PALETTE["blue"],
        lw=2,
        label=say("channel_roi.legend_foretold"),
    )
    ax.legend(loc="lower left", fontsize=9)
    ax.set_ylim(0)
    ax.tick_params(axis="x", rotation=30)
    ax.set_ylabel(say("channel_roi.held_out_y", currency=currency))
    return _titled(ax, "held_out")


def plan_plot(plan: DataFrame, currency: str) -> Axes:
    """Today's budget, the plan, and the bounds it was searched within."""
    shown = plan[(plan.channel != NOT_SPENT) | (plan.plan > 0)]
    ax = new_axes(size=(8, max(2.4, 0.5 * len(shown) + 1.2)))
    places = np.arange(len(shown))[::-1]
    for name, ink, shift in (
        ("now", "light", 0.18),
        ("plan", "blue", -0.18),
    ):
        label = say(f"channel_roi.legend_{name}")
        ax.barh(
            places + shift,
            shown[name],
            height=0.34,
            color=PALETTE[ink],
            label=label,
        )
    allowed = {
        "color": PALETTE["ink"],
        "lw": 1.5,
        "label": say("channel_roi.legend_allowed"),
    }
    ax.hlines(
        places - 0.42,
        shown.floor,
        shown.cap,
        **allowed,
    )
    ax.set_yticks(places, shown.channel)
    ax.legend(fontsize=9)
    ax.grid(axis="y", visible=False)
    return _titled(ax, "plan", currency)


def _titled(ax: Axes, picture: str, currency: str = "") -> Axes:
    """The axes with the picture's title and the label of its x-axis."""
    ax.set_xlabel(say(f"channel_roi.{picture}_x", currency=currency))
    ax.set_title(say(f"channel_roi.{picture}_title"))
    return ax
