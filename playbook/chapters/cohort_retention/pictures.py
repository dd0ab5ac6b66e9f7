"""Pictures of chapter 04: the triangle, the curve to the second order, newest cohorts
against older ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from playbook.pictures import PALETTE, end_labels, heat, line_with_band, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["age_curves_plot", "naive_triangle_plot", "retention_plot", "second_order_plot"]


def retention_plot(
    cohorts: pd.DataFrame, *, months: int = 12, newest: int = 18, ax: Axes | None = None
) -> Axes:
    """The triangle: one row per cohort, one column per month of age; blank is not lived
    yet, hatched fills.
    """
    shown = cohorts[(cohorts.k <= months) & (cohorts.k > 0)]
    rows = sorted(shown.cohort.unique())[-newest:]
    shown = shown[shown.cohort.isin(rows)]
    grid = shown.pivot(index="cohort", columns="k", values="share")
    status = shown.pivot(index="cohort", columns="k", values="status")
    ax = heat(grid, partial=status == "partial", ax=ax)
    cut = shown.drop_duplicates("cohort").set_index("cohort").is_left_truncated
    ax.set_yticks(ax.get_yticks(), [f"{c} *" if cut[c] else c for c in grid.index])
    ax.set(
        xlabel="months since first order",
        ylabel="cohort (month of first order)",
        title="Share of each cohort that ordered, by age",
    )
    if cut.any():
        ax.annotate(
            "* earlier orders may lie before the log",
            (0, -0.02),
            xycoords="axes fraction",
            va="top",
            fontsize=8,
            xytext=(0, -28),
            textcoords="offset points",
            color=PALETTE["grey"],
        )
    return ax


def naive_triangle_plot(cohorts: pd.DataFrame, *, months: int = 12, ax: Axes | None = None) -> Axes:
    """What goes wrong: unlived months as zeros, and one average over all cohorts."""
    shown = cohorts[(cohorts.k <= months) & (cohorts.k > 0)]
    zeros = shown.assign(share=shown.share.astype(float).fillna(0)).groupby("k").share.mean()
    lived = shown[shown.status == "complete"].groupby("k")[["active", "n"]].sum().astype(float)
    ax = new_axes(ax)
    ax.plot(zeros.index, zeros, color=PALETTE["orange"], lw=2)
    ax.plot(lived.index, lived.active / lived.n, color=PALETTE["blue"], lw=2)
    if len(zeros):
        ax.annotate(
            "unlived months as zero",
            (zeros.index[-1], zeros.iloc[-1]),
            color=PALETTE["orange"],
            va="bottom",
            ha="right",
        )
        ax.annotate(
            "lived months only",
            (lived.index[-1], (lived.active / lived.n).iloc[-1]),
            color=PALETTE["blue"],
            va="bottom",
            ha="right",
        )
    ax.set(
        xlabel="months since first order",
        ylabel="share active",
        ylim=(0, None),
        title="Tempting, not used: the blended curve sinks because time is short",
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax


def second_order_plot(
    curve: pd.DataFrame, trigger: dict, *, days: int = 365, ax: Axes | None = None
) -> Axes:
    """Share with a second order by day since the first, with its interval and the day
    the nudge would go out.
    """
    shown = curve[(curve.day <= days) & (curve.at_risk >= 30)]
    ax = line_with_band(shown, "day", "share", low="low", high="high", step=True, ax=ax)
    if trigger["day"] == trigger["day"]:
        ax.axvline(trigger["day"], color=PALETTE["orange"], lw=1.2, ls="--")
        told = f"day {trigger['day']:.0f}: half of those who\nreturn within {trigger['within_days']:.0f} days"
        ax.annotate(
            told,
            (trigger["day"], 0),
            xytext=(6, 12),
            textcoords="offset points",
            color=PALETTE["orange"],
            fontsize=9,
        )
    ax.set(
        xlabel="days since first order",
        ylabel="share with a second order",
        ylim=(0, None),
        xlim=(0, None),
        title="Most who come back come back early",
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax


def age_curves_plot(
    cohorts: pd.DataFrame, *, newest: int = 3, months: int = 12, ax: Axes | None = None
) -> Axes:
    """The newest cohorts over the range of the older ones, at the same age, complete
    months only.
    """
    shown = cohorts[
        (cohorts.status == "complete")
        & (cohorts.k > 0)
        & (cohorts.k <= months)
        & ~cohorts.is_left_truncated
    ]
    names = sorted(shown.cohort.unique())
    old = shown[~shown.cohort.isin(names[-newest:])]
    ax = new_axes(ax)
    if len(old):
        pooled = old.groupby("k")[["active", "n"]].sum().astype(float)
        spread = old.groupby("k").share.agg(["min", "max"])
        ax.fill_between(
            spread.index,
            spread["min"].astype(float),
            spread["max"].astype(float),
            color=PALETTE["light"],
            lw=0,
        )
        ax.plot(pooled.index, pooled.active / pooled.n, color=PALETTE["grey"], lw=1.5)
        ax.annotate(
            "older cohorts: range and mean",
            (pooled.index[-1], (pooled.active / pooled.n).iloc[-1]),
            ha="right",
            va="bottom",
            color=PALETTE["grey"],
            fontsize=9,
        )
    ends = []
    for name, ink in zip(names[-newest:], ("sky", "blue", "orange"), strict=False):
        line = shown[shown.cohort == name]
        ax.plot(line.k, line.share.astype(float), color=PALETTE[ink], lw=2, marker="o", ms=4)
        ends.append((line.k.iloc[-1] + 0.15, float(line.share.iloc[-1]), name, PALETTE[ink]))
    ax.set_ylim(0, None)
    end_labels(ax, ends)
    ax.set(
        xlabel="months since first order",
        ylabel="share active",
        title="The newest cohorts against older ones at the same age",
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax
