"""Pictures of chapter 09: how soon lists hit, which pairs go together, and what a
random split pretends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame

from playbook.chapters.recommendations.pairs import strongest_first
from playbook.messages import say
from playbook.pictures import (
    PALETTE,
    bars_with_intervals,
    heat,
    line_with_band,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "hit_curve_plot",
    "leaderboard_plot",
    "pair_heat_plot",
    "split_lesson_plot",
]

INKS = {
    "popularity": "grey",
    "buy_again": "yellow",
    "item_to_item": "green",
    "ease": "sky",
    "blend": "blue",
}


def hit_curve_plot(curve: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Share of customers with at least one new item they bought in the first k places,
    per model, with Wilson's bands.
    """
    ax = new_axes(ax)
    shown = curve[curve["items"] == "new"]
    last = shown.sort_values("k").groupby("model").tail(1).sort_values("hit_k")
    gap = 0.045 * (shown.high.max() if len(shown) else 1.0)
    height = -1.0
    for row in last.itertuples():
        ink = INKS[row.model]
        part = shown[shown.model == row.model]
        line_with_band(
            part,
            "k",
            "hit_k",
            band=("low", "high"),
            colour=ink,
            ax=ax,
        )
        # names at the right end, pushed apart where lines meet
        height = max(row.hit_k, height + gap)
        ax.annotate(
            row.model.replace("_", " "),
            (row.k, height),
            xytext=(5, 0),
            textcoords="offset points",
            color=PALETTE[ink],
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_xticks([1, 5, 10, 15, 20])
    ax.set(
        xlabel=say("recommendations.places_axis"),
        ylabel=say("recommendations.hit_axis"),
        ylim=(0, None),
        title=say("recommendations.hit_curve_title"),
    )
    return ax


def leaderboard_plot(table: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Recall of each model on new items, with intervals, best first."""
    shown = table[table["items"] == "new"].sort_values("recall_k", ascending=False)
    shown = shown.assign(label=shown.model.str.replace("_", " "))
    ax = bars_with_intervals(
        shown,
        "label",
        "recall_k",
        low="low",
        high="high",
        ax=ax,
    )
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.set(
        xlabel=say("recommendations.recall_at_axis", k=table.k.max()),
        title=say("recommendations.leaderboard_title"),
    )
    return ax


def pair_heat_plot(pairs: DataFrame, *, most: int = 12, ax: Axes | None = None) -> Axes:
    """Confidence of b given a among the items of the pairs with the highest assured
    lift.
    """
    # fewer items than `most` have fewer pairs than that, so these name enough
    first = strongest_first(pairs, most=most * most)
    names = list(dict.fromkeys(first[["a", "b"]].to_numpy().ravel()))[:most]
    shown = pairs[pairs.a.isin(names) & pairs.b.isin(names)]
    grid = shown.pivot(index="a", columns="b", values="confidence")
    ax = heat(grid.reindex(index=names, columns=names), ax=ax)
    ax.tick_params(axis="x", rotation=60)
    ax.set(
        xlabel=say("recommendations.pair_b_axis"),
        ylabel=say("recommendations.pair_a_axis"),
        title=say("recommendations.pairs_title"),
    )
    return ax


def split_lesson_plot(
    later: DataFrame,
    by_chance: DataFrame,
    *,
    ax: Axes | None = None,
) -> Axes:
    """The same models judged on a later stretch of time, and on orders dealt by chance:
    their recall on all items.
    """
    recall = DataFrame(
        {
            say("recommendations.split_time"): _recall_of_all(later),
            say("recommendations.split_random"): _recall_of_all(by_chance),
        }
    )
    ax = new_axes(ax)
    recall.plot.bar(
        ax=ax,
        color=[PALETTE["blue"], PALETTE["orange"]],
        width=0.76,
        rot=0,
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(title=say("recommendations.split_legend"))
    ax.set(
        xlabel=say("recommendations.model_axis"),
        ylabel=say("recommendations.recall_axis"),
        title=say("recommendations.split_title"),
    )
    return ax


def _recall_of_all(table: DataFrame) -> pd.Series:
    """Recall by model name, in the order of the table."""
    recall = table[table["items"] == "all"].set_index("model")["recall_k"]
    return recall.rename(lambda model: model.replace("_", " "))
