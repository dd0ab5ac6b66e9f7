"""Pictures of notebook 06: customers by recency and frequency, moves between segments,
concentration, tiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pandas import DataFrame

from playbook.messages import say
from playbook.pictures import PALETTE, heat, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["lorenz_plot", "migration_plot", "rf_heat_plot", "threshold_plot"]


def rf_heat_plot(counts: DataFrame) -> Axes:
    """Share of customers by recency (rows, 5 on top) and frequency score; columns r, f,
    n_customers.
    """
    grid = counts.pivot_table(
        index="r",
        columns="f",
        values="n_customers",
        aggfunc="sum",
    )
    grid = grid.reindex(index=range(5, 0, -1), columns=range(1, 6))
    ax = heat(grid / counts.n_customers.sum(), form="{:.1%}")
    ax.set(
        xlabel=say("segmentation.rf_frequency"),
        ylabel=say("segmentation.rf_recency"),
        title=say("segmentation.rf_title"),
    )
    return ax


def migration_plot(moves: DataFrame) -> Axes:
    """Share of each row's customers by where they stand a month later, from
    `migration`.
    """
    grid = moves.pivot_table(
        index="from_segment",
        columns="to_segment",
        values="n_customers",
        aggfunc="sum",
    )
    grid = grid.div(grid.sum(axis=1), axis=0)
    ax = heat(grid, ax=new_axes(size=(9, 4.8)), form="{:.0%}")
    ax.tick_params(axis="x", rotation=35)
    for label in ax.get_xticklabels():
        label.set_ha("right")
    ax.set(
        xlabel=say("segmentation.migration_now"),
        ylabel=say("segmentation.migration_before"),
        title=say("segmentation.migration_title"),
    )
    return ax


def lorenz_plot(curve: DataFrame) -> Axes:
    """Share of money held by the best customers, from `lorenz`, with the top fifth
    marked.
    """
    ax = new_axes(size=(6, 4.6))
    ax.plot(
        [0, 1],
        [0, 1],
        color=PALETTE["light"],
        lw=1.5,
    )
    ax.plot(
        curve.customer_share,
        curve.cm_share,
        color=PALETTE["blue"],
        lw=2,
    )
    held = curve.top20_share.iloc[0]
    ax.plot(
        0.2,
        held,
        "o",
        color=PALETTE["orange"],
        ms=8,
    )
    fifth = say("segmentation.lorenz_fifth", share=held)
    ax.annotate(
        fifth,
        (0.2, held),
        xytext=(10, -4),
        textcoords="offset points",
    )
    ax.set(
        xlabel=say("segmentation.lorenz_customers"),
        ylabel=say("segmentation.lorenz_money"),
        xlim=(0, 1),
        ylim=(0, None),
        title=say("segmentation.lorenz_title"),
    )
    return ax


def threshold_plot(tiers: DataFrame) -> Axes:
    """Break-even uplift by tier: from the year after qualifying (bar), from the year
    before (tempting; dot), and the uplift assumed (line).
    """
    ax = new_axes(size=(8, max(2.8, 0.5 * len(tiers) + 1.6)))
    place = np.arange(len(tiers))[::-1]
    ax.barh(
        place,
        tiers.break_even_uplift,
        color=PALETTE["blue"],
        height=0.55,
        label=say("segmentation.tiers_after"),
    )
    ax.plot(
        tiers.tempting_uplift,
        place,
        "o",
        color=PALETTE["orange"],
        label=say("segmentation.tiers_before"),
    )
    ax.plot(
        tiers.assumed_uplift,
        place,
        "|",
        color=PALETTE["green"],
        ms=20,
        mew=3,
        label=say("segmentation.tiers_assumed"),
    )
    names = [
        say(
            "segmentation.tiers_line",
            scheme=say(f"segmentation.scheme_{row.scheme}"),
            tier=row.tier,
            threshold=row.threshold,
        )
        for row in tiers.itertuples()
    ]
    ax.set_yticks(place, names)
    ax.xaxis.set_major_formatter("{x:.1%}")
    ax.set(
        xlabel=say("segmentation.tiers_axis"),
        title=say("segmentation.tiers_title"),
    )
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.4, -0.8 / ax.figure.get_figheight()),
        ncols=3,
    )
    return ax
