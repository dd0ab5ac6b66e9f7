"""Pictures of chapter 08: the funnel, one step by day in its control band, leaks, stars
by lateness, peeking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from playbook.pictures import PALETTE, bars_with_intervals, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["delay_stars_plot", "funnel_plot", "leaks_plot", "peeking_plot", "step_trend_plot"]


def funnel_plot(funnel: pd.DataFrame, *, by: str = "device", ax: Axes | None = None) -> Axes:
    """Share of all sessions that reached each step, one row of points per segment, with
    intervals; log scale.
    """
    others = [name for name in ("device", "channel", "visitor") if name != by]
    shown = funnel[(funnel[others] == "all").all(axis=1)]
    if (shown[by] != "all").any():
        shown = shown[shown[by] != "all"]
    steps, groups = list(dict.fromkeys(shown["step"])), sorted(shown[by].unique())
    ax = new_axes(ax)
    inks = [
        PALETTE[name]
        for name in ("blue", "orange", "green", "yellow", "sky", "pink", "grey", "ink")
    ]
    for k, group in enumerate(groups):
        part = shown[shown[by] == group].set_index("step").reindex(steps)
        place = np.arange(len(steps)) + (k - (len(groups) - 1) / 2) * min(0.12, 0.7 / len(groups))
        reach = np.vstack([part["share"] - part["low"], part["high"] - part["share"]]).clip(min=0)
        ax.errorbar(
            place,
            part["share"],
            yerr=reach,
            fmt="o",
            color=inks[k % len(inks)],
            capsize=3,
            ms=5,
            label=group,
        )
    ax.set_yscale("log")
    ax.minorticks_off()
    ticks = [
        y
        for y in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
        if y >= 0.5 * shown["low"].min()
    ]
    ax.set_yticks(ticks, [f"{y:.1%}" if y < 0.01 else f"{y:.0%}" for y in ticks])
    ax.set_xticks(range(len(steps)), steps)
    if groups != ["all"]:
        ax.legend(title=by)
    ax.set(
        xlabel="step reached",
        ylabel="share of sessions (log scale)",
        title="Where sessions are lost",
    )
    return ax


def step_trend_plot(trend: pd.DataFrame, *, title: str = "", ax: Axes | None = None) -> Axes:
    """One step by day in its control band; days outside it are marked, the report month
    stands on white.
    """
    ax = new_axes(ax)
    ax.fill_between(
        trend["day_on"], trend["lower"], trend["upper"], color=PALETTE["blue"], alpha=0.15, lw=0
    )
    ax.plot(trend["day_on"], trend["usual"], color=PALETTE["blue"], lw=1, ls="--")
    ax.plot(trend["day_on"], trend["share"], color=PALETTE["ink"], lw=1.2)
    out = trend[(trend["share"] < trend["lower"]) | (trend["share"] > trend["upper"])]
    ax.plot(out["day_on"], out["share"], "o", color=PALETTE["orange"], ms=6)
    past = trend[trend["is_baseline"]]
    if len(past):
        ax.axvspan(
            past["day_on"].iloc[0], past["day_on"].iloc[-1], color=PALETTE["light"], alpha=0.3, lw=0
        )
        ax.annotate(
            "baseline",
            (past["day_on"].iloc[0], 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -12),
            textcoords="offset points",
            color=PALETTE["grey"],
            fontsize=9,
        )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.tick_params(axis="x", rotation=30)
    ax.set(
        xlabel="day",
        ylabel="share of the step before",
        title=title or "Days outside the band are not chance",
    )
    return ax


def leaks_plot(
    leaks: pd.DataFrame, *, currency: str = "", most: int = 8, ax: Axes | None = None
) -> Axes:
    """The dearest leaks with their ranges, in margin where it is known, else in orders;
    gaps are hatched.
    """
    has_price = leaks["lost_margin"].notna().any()
    amount, low, high = (
        ("lost_margin", "low", "high")
        if has_price
        else ("lost_orders", "orders_low", "orders_high")
    )
    split = leaks[["device", "channel", "visitor"]]
    segment = [
        " ".join(x for x in row if x != "all") or "all" for row in split.itertuples(index=False)
    ]
    shown = leaks.assign(
        label=leaks["kind"] + ": " + leaks["step"] + ", " + segment,
        status=leaks["kind"].map({"fault": "complete", "gap": "partial"}),
    ).head(most)
    ax = bars_with_intervals(
        shown, "label", amount, low=low, high=high, status="status", colour="orange", ax=ax
    )
    what = f"{currency} margin".strip() if has_price else "orders"
    ax.set(
        xlabel=f"{what} of the month short of the usual (fault) or of the best month (gap)",
        title="What the leaks cost (hatched: gaps to the own best)",
    )
    return ax


def delay_stars_plot(delivery: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Mean stars by how late the parcel was, with intervals and the number of reviews."""
    shown = delivery[delivery["stars"].notna()]
    ax = bars_with_intervals(shown, "band", "stars", low="low", high="high", status="status", ax=ax)
    for place, row in zip(np.arange(len(shown))[::-1], shown.itertuples(), strict=True):
        ax.annotate(
            f"{row.n_reviews:,} reviews", (1.03, place), va="center", fontsize=8.5, color="white"
        )
    ax.set(xlabel="mean stars (1 to 5)", xlim=(1, 5), title="What lateness costs in stars")
    return ax


def peeking_plot(looks: pd.DataFrame, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Tests of no difference called a winner, by day, when one looks daily or once."""
    ax = new_axes(ax)
    ax.plot(looks["day"], looks["called"], color=PALETTE["orange"], lw=2)
    ax.plot(looks["day"], looks["on_the_day"], color=PALETTE["blue"], lw=2)
    ax.axhline(alpha, color=PALETTE["grey"], lw=1, ls="--")
    last = looks.iloc[-1]
    ax.annotate(
        "looking every day",
        (last["day"], last["called"]),
        ha="right",
        va="bottom",
        color=PALETTE["orange"],
    )
    ax.annotate(
        "looking once, on that day",
        (last["day"], last["on_the_day"]),
        ha="right",
        xytext=(0, 6),
        textcoords="offset points",
        va="bottom",
        color=PALETTE["blue"],
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set(
        xlabel="day of the test",
        ylabel="share of tests with a false winner",
        ylim=(0, None),
        title="Tempting, not used: stopping on the first good day",
    )
    return ax
