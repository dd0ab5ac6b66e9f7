"""Pictures of chapter 08: the funnel, one step by day in its control band, leaks, stars
by lateness, peeking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pandas import DataFrame

from playbook.messages import say
from playbook.pictures import PALETTE, bars_with_intervals, line_with_band, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "attempts_plot",
    "delay_stars_plot",
    "funnel_plot",
    "leaks_plot",
    "peeking_plot",
    "speed_plot",
    "step_trend_plot",
]

INKS = ("blue", "orange", "green", "yellow", "sky", "pink", "grey", "ink")
MOST_MESSAGES = 10
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def funnel_plot(funnel: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Share of all sessions that reached each step, one row of points per device, with
    intervals; log scale.
    """
    shown = funnel[(funnel[["channel", "visitor"]] == "all").all(axis=1)]
    if (shown.device != "all").any():
        shown = shown[shown.device != "all"]
    steps, devices = list(dict.fromkeys(shown.step)), sorted(shown.device.unique())
    ax = new_axes(ax)
    apart = min(0.12, 0.7 / len(devices))
    for k, device in enumerate(devices):
        part = shown[shown.device == device].set_index("step").reindex(steps)
        place = np.arange(len(steps)) + (k - (len(devices) - 1) / 2) * apart
        reach = np.vstack([part.share - part.low, part.high - part.share]).clip(min=0)
        ink = PALETTE[INKS[k % len(INKS)]]
        ax.errorbar(
            place, part.share, yerr=reach, fmt="o", color=ink, capsize=3, ms=5, label=device
        )
    ax.set_yscale("log")
    ax.minorticks_off()
    ticks = [y for y in TICKS if y >= 0.5 * shown.low.min()]
    ax.set_yticks(ticks, [f"{y:.1%}" if y < 0.01 else f"{y:.0%}" for y in ticks])
    ax.set_xticks(range(len(steps)), steps)
    if devices != ["all"]:
        ax.legend(title=say("customer_journey.by_device"))
    ax.set(
        xlabel=say("customer_journey.funnel_x"),
        ylabel=say("customer_journey.funnel_y"),
        title=say("customer_journey.funnel_title"),
    )
    return ax


def step_trend_plot(trend: DataFrame, *, step: str, device: str, ax: Axes | None = None) -> Axes:
    """One step by day in its control band; days outside it are marked, the report month
    stands on white.
    """
    ax = new_axes(ax)
    day, share = trend.day_on, trend.share
    line_with_band(
        trend,
        "day_on",
        "usual",
        band=("lower", "upper"),
        ax=ax,
    )
    ax.plot(
        day,
        share,
        color=PALETTE["ink"],
        lw=1.2,
    )
    is_out = (share < trend.lower) | (share > trend.upper)
    ax.plot(
        day[is_out],
        share[is_out],
        "o",
        color=PALETTE["orange"],
        ms=6,
    )
    past = day[trend.is_baseline]
    if len(past):
        ax.axvspan(
            past.iloc[0],
            past.iloc[-1],
            color=PALETTE["light"],
            alpha=0.3,
            lw=0,
        )
        ax.annotate(
            say("customer_journey.baseline"),
            (past.iloc[0], 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -12),
            textcoords="offset points",
            color=PALETTE["grey"],
            fontsize=9,
        )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.tick_params(axis="x", rotation=30)
    ax.set(
        xlabel=say("customer_journey.trend_x"),
        ylabel=say("customer_journey.trend_y"),
        title=say("customer_journey.trend_title", step=step, device=device),
    )
    return ax


def leaks_plot(leaks: DataFrame, *, currency: str = "", ax: Axes | None = None) -> Axes:
    """The eight dearest leaks with their ranges, in margin where it is known, else in
    orders; gaps are hatched.
    """
    has_price = leaks.lost_margin.notna().any()
    columns = ("lost_margin", "low", "high")
    amount, low, high = columns if has_price else ("lost_orders", "orders_low", "orders_high")
    labels = []
    for leak in leaks.itertuples():
        splits = (leak.device, leak.channel, leak.visitor)
        segment = " ".join(x for x in splits if x != "all") or "all"
        labels.append(
            say(
                f"customer_journey.leak_{leak.kind}",
                step=leak.step,
                segment=segment,
            )
        )
    status = leaks.kind.map({"fault": "complete", "gap": "partial"})
    ax = bars_with_intervals(
        leaks.assign(label=labels, status=status).head(8),
        "label",
        amount,
        low=low,
        high=high,
        status="status",
        colour="orange",
        ax=ax,
    )
    in_orders = say("customer_journey.leaks_x_orders")
    in_margin = say("customer_journey.leaks_x_margin", currency=currency).strip()
    ax.set(xlabel=in_margin if has_price else in_orders, title=say("customer_journey.leaks_title"))
    return ax


def delay_stars_plot(delivery: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Mean stars by how late the parcel was, with intervals and the number of reviews."""
    shown = delivery[delivery.stars.notna()]
    ax = bars_with_intervals(
        shown,
        "band",
        "stars",
        low="low",
        high="high",
        status="status",
        ax=ax,
    )
    for place, n in zip(np.arange(len(shown))[::-1], shown.n_reviews, strict=True):
        text = say("customer_journey.n_reviews", n=n)
        ax.annotate(
            text,
            (1.03, place),
            va="center",
            fontsize=8.5,
            color="white",
        )
    ax.set(
        xlabel=say("customer_journey.delay_x"),
        xlim=(1, 5),
        title=say("customer_journey.delay_title"),
    )
    return ax


def attempts_plot(messages: DataFrame, currency: str, *, alpha: float = 0.05) -> Axes:
    """Margin lost beyond its usual share by message, the dearest ten; orange: surely lost."""
    shown = messages[messages.lost.notna()].head(MOST_MESSAGES)
    label = shown.method + ", " + shown.device + ": " + shown.message
    shown = shown.assign(label=label)
    ax = bars_with_intervals(shown, "label", "lost", low="lost_low", high="lost_high")
    for bar, p in zip(ax.patches, shown.p_adjusted, strict=True):
        bar.set_color(PALETTE["orange" if p <= alpha else "blue"])
    ax.set(
        xlabel=say("customer_journey.attempts_x", currency=currency),
        title=say("customer_journey.attempts_title"),
    )
    return ax


def speed_plot(speed: DataFrame, *, slow: float = 4000) -> Axes:
    """The time three loads in four stay under, by page and device, the slowest first."""
    shown = speed[speed.p75.notna()].sort_values("p75", ascending=False).head(MOST_MESSAGES)
    shown = shown.assign(label=shown.page + ", " + shown.device)
    ax = bars_with_intervals(shown, "label", "p75", low="p75_low", high="p75_high")
    for bar, p75 in zip(ax.patches, shown.p75, strict=True):
        bar.set_color(PALETTE["orange" if p75 > slow else "blue"])
    ax.set(
        xlabel=say("customer_journey.speed_x"),
        title=say("customer_journey.speed_title"),
    )
    return ax


def peeking_plot(looks: DataFrame, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Tests of no difference called a winner, by day, when one looks daily or once, and by
    the always-valid interval.
    """
    daily, once = say("customer_journey.peeking_daily"), say("customer_journey.peeking_once")
    ax = line_with_band(
        looks,
        "day",
        "called",
        label=daily,
        colour="orange",
        ax=ax,
    )
    line_with_band(
        looks,
        "day",
        "on_the_day",
        label=once,
        ax=ax,
    )
    line_with_band(
        looks,
        "day",
        "always_valid",
        label=say("customer_journey.peeking_always"),
        colour="green",
        ax=ax,
    )
    ax.axhline(
        alpha,
        color=PALETTE["grey"],
        lw=1,
        ls="--",
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set(
        xlabel=say("customer_journey.peeking_x"),
        ylabel=say("customer_journey.peeking_y"),
        ylim=(0, None),
        title=say("customer_journey.peeking_title"),
    )
    return ax
