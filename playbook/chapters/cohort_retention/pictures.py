"""Pictures of chapter 04: the triangle, the curve to the second order, newest cohorts
against older ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from playbook.chapters.cohort_retention.cohorts import LEAST_FOLLOWED
from playbook.messages import say
from playbook.pictures import (
    PALETTE,
    end_labels,
    heat,
    line_with_band,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "age_curves_plot",
    "naive_triangle_plot",
    "retention_plot",
    "second_order_plot",
]


def retention_plot(cohorts: pd.DataFrame, *, months: int = 12) -> Axes:
    """The triangle: one row per cohort, one column per month of age; blank is not lived
    yet, hatched fills.
    """
    shown = _later_ages(cohorts, months)
    shown = shown[shown.cohort.isin(sorted(shown.cohort.unique())[-18:])]
    grid = shown.pivot(index="cohort", columns="k", values="share")
    status = shown.pivot(index="cohort", columns="k", values="status")
    ax = heat(grid, partial=status == "partial")
    is_cut = shown.drop_duplicates("cohort").set_index("cohort").is_left_truncated
    ax.set_yticks(ax.get_yticks(), [f"{c} *" if is_cut[c] else c for c in grid.index])
    ax.set(
        xlabel=say("cohort_retention.age_axis"),
        ylabel=say("cohort_retention.cohort_axis"),
        title=say("cohort_retention.triangle_title"),
    )
    if is_cut.any():
        ax.annotate(
            say("cohort_retention.triangle_cut"),
            (0, -0.02),
            xycoords="axes fraction",
            va="top",
            fontsize=8,
            xytext=(0, -28),
            textcoords="offset points",
            color=PALETTE["grey"],
        )
    return ax


def naive_triangle_plot(cohorts: pd.DataFrame, *, months: int = 12) -> Axes:
    """What goes wrong: unlived months as zeros, and one average over all cohorts."""
    shown = _later_ages(cohorts, months)
    zeros = shown.assign(share=shown.share.astype(float).fillna(0)).groupby("k").share.mean()
    lived = _pooled_share(shown[shown.status == "complete"])
    ax = new_axes()
    for code, line, ink in (
        ("zeros", zeros, "orange"),
        ("lived", lived, "blue"),
    ):
        ax.plot(line.index, line, color=PALETTE[ink], lw=2)
        if len(line):
            _name_end(ax, line, say(f"cohort_retention.tempting_{code}"), ink)
    return _as_shares(ax, say("cohort_retention.tempting_title"))


def second_order_plot(curve: pd.DataFrame, trigger: dict[str, float]) -> Axes:
    """Share with a second order by day since the first, with its interval and the day
    the nudge would go out.
    """
    shown = curve[(curve.day <= 365) & (curve.at_risk >= LEAST_FOLLOWED)]
    ax = line_with_band(shown, "day", "share", band=("low", "high"), step=True)
    if not math.isnan(trigger["day"]):
        ax.axvline(trigger["day"], color=PALETTE["orange"], lw=1.2, ls="--")
        ax.annotate(
            say("cohort_retention.second_order_trigger", **trigger),
            (trigger["day"], 0),
            xytext=(6, 12),
            textcoords="offset points",
            color=PALETTE["orange"],
            fontsize=9,
        )
    ax.set(
        xlabel=say("cohort_retention.second_order_days"),
        ylabel=say("cohort_retention.second_order_share"),
        ylim=(0, None),
        xlim=(0, None),
        title=say("cohort_retention.second_order_title"),
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax


def age_curves_plot(cohorts: pd.DataFrame, *, months: int = 12) -> Axes:
    """The newest cohorts over the range of the older ones, at the same age, complete
    months only.
    """
    shown = _later_ages(cohorts, months)
    shown = shown[(shown.status == "complete") & ~shown.is_left_truncated]
    names = sorted(shown.cohort.unique())
    older = shown[~shown.cohort.isin(names[-3:])]
    ax = new_axes()
    if len(older):
        line = _pooled_share(older)
        spread = older.groupby("k").share.agg(["min", "max"]).astype(float)
        ax.fill_between(
            spread.index,
            spread["min"],
            spread["max"],
            color=PALETTE["light"],
            lw=0,
        )
        ax.plot(line.index, line, color=PALETTE["grey"], lw=1.5)
        _name_end(ax, line, say("cohort_retention.newest_older"), "grey")
    ends = []
    for name, ink in zip(names[-3:], ("sky", "blue", "orange"), strict=False):
        line = shown[shown.cohort == name].set_index("k").share.astype(float)
        ax.plot(line.index, line, color=PALETTE[ink], lw=2, marker="o", ms=4)
        ends.append((line.index[-1] + 0.15, line.iloc[-1], name, PALETTE[ink]))
    ax.set_ylim(0, None)
    end_labels(ax, ends)
    return _as_shares(ax, say("cohort_retention.newest_title"))


def _later_ages(cohorts: pd.DataFrame, months: int) -> pd.DataFrame:
    return cohorts[(cohorts.k <= months) & (cohorts.k > 0)]


def _pooled_share(cells: pd.DataFrame) -> pd.Series:
    """Share active by age, of all cohorts together."""
    sums = cells.groupby("k")[["active", "n"]].sum().astype(float)
    return sums.active / sums.n


def _name_end(ax: Axes, line: pd.Series, text: str, ink: str) -> None:
    """A name above the right end of a line."""
    end = (line.index[-1], line.iloc[-1])
    ax.annotate(text, end, ha="right", va="bottom", color=PALETTE[ink], fontsize=9)


def _as_shares(ax: Axes, title: str) -> Axes:
    """Axes of shares active by age, from zero."""
    ax.set(
        xlabel=say("cohort_retention.age_axis"),
        ylabel=say("cohort_retention.active_axis"),
        title=title,
        ylim=(0, None),
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax
