"""Pictures of chapter 09: how soon lists hit, which pairs go together, and what a
random split pretends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from playbook.pictures import PALETTE, bars_with_intervals, heat, line_with_band, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["hit_curve_plot", "leaderboard_plot", "pair_heat_plot", "split_lesson_plot"]

INKS = {
    "popularity": "grey",
    "buy_again": "yellow",
    "item_to_item": "green",
    "ease": "sky",
    "blend": "blue",
}


def hit_curve_plot(curve: pd.DataFrame, *, items: str = "new", ax: Axes | None = None) -> Axes:
    """Share of customers with at least one hit in the first k places, per model, with
    Wilson's bands.
    """
    ax = new_axes(ax)
    shown = curve[curve["items"] == items]
    last = shown.sort_values("k").groupby("model").tail(1).sort_values("hit_k")
    for row in last.itertuples():
        one = shown[shown["model"] == row.model]
        line_with_band(
            one, "k", "hit_k", low="low", high="high", colour=INKS.get(row.model, "pink"), ax=ax
        )
    gap = 0.045 * (shown["high"].max() if len(shown) else 1.0)
    height = -1.0
    for row in last.itertuples():  # names at the right end, pushed apart where lines meet
        height = max(row.hit_k, height + gap)
        ax.annotate(
            row.model.replace("_", " "),
            (row.k, height),
            xytext=(5, 0),
            textcoords="offset points",
            color=PALETTE[INKS.get(row.model, "pink")],
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_xticks([1, 5, 10, 15, 20])
    ax.set(
        xlabel="places shown, k",
        ylabel="customers with a hit",
        ylim=(0, None),
        title=f"How many places it takes to show something they buy ({items} items)",
    )
    return ax


def leaderboard_plot(table: pd.DataFrame, *, items: str = "new", ax: Axes | None = None) -> Axes:
    """Recall of each model on one kind of items, with intervals, best first."""
    shown = table[table["items"] == items].sort_values("recall_k", ascending=False)
    shown = shown.assign(label=shown["model"].str.replace("_", " "))
    ax = bars_with_intervals(shown, "label", "recall_k", low="low", high="high", ax=ax)
    ax.xaxis.set_major_formatter("{x:.0%}")
    k = int(shown["k"].iloc[0]) if len(shown) else 0
    ax.set(xlabel=f"recall at {k}", title=f"Does anything beat the best sellers? ({items} items)")
    return ax


def pair_heat_plot(pairs: pd.DataFrame, *, most: int = 12, ax: Axes | None = None) -> Axes:
    """Confidence of b given a among the items of the pairs with the highest assured
    lift.
    """
    top = pairs.sort_values(["lift_low", "a", "b"], ascending=[False, True, True])
    names = list(
        dict.fromkeys(name for row in top[["a", "b"]].itertuples(index=False) for name in row)
    )[:most]
    shown = pairs[pairs["a"].isin(names) & pairs["b"].isin(names)]
    grid = shown.pivot(index="a", columns="b", values="confidence").reindex(
        index=names, columns=names
    )
    ax = heat(grid, ax=ax)
    ax.tick_params(axis="x", rotation=60)
    ax.set(
        xlabel="b: also in the order",
        ylabel="a: in the order",
        title="Share of orders with a that also hold b",
    )
    return ax


def split_lesson_plot(
    tables: dict[str, pd.DataFrame], *, items: str = "all", ax: Axes | None = None
) -> Axes:
    """The same models judged on a later stretch of time, and on orders dealt by chance."""
    ax = new_axes(ax)
    models = list(dict.fromkeys(m for t in tables.values() for m in t["model"]))
    for k, (name, ink) in enumerate(zip(tables, ("blue", "orange"), strict=False)):
        part = tables[name][tables[name]["items"] == items].set_index("model").reindex(models)
        places = [p + 0.2 * (2 * k - 1) for p in range(len(models))]
        ax.bar(places, part["recall_k"], width=0.38, color=PALETTE[ink], label=name)
    ax.set_xticks(range(len(models)), [m.replace("_", " ") for m in models])
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(title="test orders")
    ax.set(
        xlabel="model",
        ylabel="recall",
        title="Tempting, not used: a random split lets the future leak in",
    )
    return ax
