"""Pictures of chapter 10: margin against velocity, tail, elasticities with intervals,
promotion counterfactual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.messages import say
from playbook.pictures import PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "elasticity_plot",
    "price_quantity_plot",
    "promotion_plot",
    "promotions_plot",
    "quadrant_plot",
    "tail_plot",
]

ROLE_INK = {
    "traffic": "sky",
    "profit": "green",
    "campaign": "orange",
    "image": "pink",
    "clearance": "grey",
    "core": "blue",
}


def quadrant_plot(roles: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Margin share over units a year, by role; without margins, price over units."""
    ax = new_axes(ax)
    y = "margin_share" if roles.margin_share.notna().any() else "price_paid"
    for role, ink in ROLE_INK.items():
        part = roles[roles.role == role]
        if len(part):
            units, colour = part.units.clip(lower=1), PALETTE[ink]
            ax.scatter(
                units,
                part[y],
                s=14,
                color=colour,
                alpha=0.75,
                label=role,
            )
    ax.axvline(roles.units.median(), color=PALETTE["light"], lw=1)
    ax.axhline(roles[y].median(), color=PALETTE["light"], lw=1)
    ax.set(
        xscale="log",
        xlabel=say("assortment_pricing.units_year_axis"),
        ylabel=say(f"assortment_pricing.axis_{y}"),
        title=say("assortment_pricing.quadrant_title"),
    )
    if y == "margin_share":
        ax.yaxis.set_major_formatter("{x:.0%}")
    else:
        ax.set_yscale("log")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            ncols=6,
            fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.15),
            handletextpad=0.2,
        )
    return ax


def tail_plot(
    year: DataFrame,
    *,
    tail_share: float = 0.01,
    ax: Axes | None = None,
) -> Axes:
    """Cumulated margin (revenue without costs) over skus, loss-makers last."""
    ax = new_axes(ax)
    basis = "margin" if year.margin.notna().any() else "revenue"
    amount = np.sort(year[basis].dropna().to_numpy(float))[::-1]
    share = amount.cumsum() / max(amount.clip(min=0).sum(), 1e-9)
    ax.plot(
        np.arange(1, len(share) + 1),
        share,
        color=PALETTE["blue"],
        lw=2,
    )
    ax.axhline(
        1 - tail_share,
        color=PALETTE["orange"],
        lw=1,
        ls="--",
    )
    ax.annotate(
        say("assortment_pricing.tail_label", share=tail_share),
        (1, 1 - tail_share),
        xytext=(0, -4),
        va="top",
        textcoords="offset points",
        color=PALETTE["orange"],
        fontsize=9,
    )
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set(
        xlabel=say("assortment_pricing.best_first_axis"),
        ylabel=say(f"assortment_pricing.cumulated_{basis}"),
        ylim=(0, 1.05),
        title=say("assortment_pricing.tail_title"),
    )
    return ax


def elasticity_plot(
    frame: DataFrame,
    *,
    level: float = 0.95,
    most: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Estimates with intervals of `level`, tightest first; refused skus are counted,
    not drawn.
    """
    tightest = frame[frame.is_identifiable].sort_values(["se", "sku"]).head(most)
    shown = tightest.sort_values(["estimate", "sku"])
    ax = new_axes(ax, size=(8, max(2.4, 0.22 * len(shown) + 1.4)))
    places = np.arange(len(shown))
    ax.hlines(
        places,
        shown.low,
        shown.high,
        color=PALETTE["sky"],
        lw=2,
    )
    ax.plot(
        shown.estimate,
        places,
        "o",
        color=PALETTE["blue"],
        ms=4,
    )
    ax.axvline(
        -1,
        color=PALETTE["orange"],
        lw=1,
        ls="--",
    )
    ax.set_yticks(places, shown.sku, fontsize=7)
    refused = int((~frame.is_identifiable).sum())
    ax.set(
        xlabel=say(
            "assortment_pricing.elasticity_axis",
            level=level,
            n=refused,
        ),
        ylabel=say("assortment_pricing.sku_axis"),
        title=say("assortment_pricing.elasticity_title"),
    )
    return ax


def price_quantity_plot(
    frame: DataFrame,
    *,
    sku: str = "",
    currency: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One sku's weeks: units, season out, over price, with the fitted curve (columns
    price, units, fit).
    """
    ax = new_axes(ax)
    ax.scatter(
        frame.price,
        frame.units,
        s=18,
        color=PALETTE["sky"],
        alpha=0.7,
    )
    line = frame.sort_values("price")
    ax.plot(
        line.price,
        line.fit,
        color=PALETTE["blue"],
        lw=2,
    )
    ax.set(
        xlabel=say("assortment_pricing.price_axis", currency=currency),
        ylabel=say("assortment_pricing.units_week_axis"),
        title=say("assortment_pricing.price_quantity_title", sku=sku),
    )
    return ax


def promotion_plot(days: DataFrame, *, name: str = "", ax: Axes | None = None) -> Axes:
    """Units of the promoted skus and what they would have sold (columns day_on, actual,
    baseline, is_promo).
    """
    ax = new_axes(ax)
    ax.plot(
        days.day_on,
        days.actual,
        color=PALETTE["blue"],
        lw=1.8,
    )
    ax.plot(
        days.day_on,
        days.baseline,
        color=PALETTE["grey"],
        lw=1.8,
        ls="--",
    )
    promo_days = days.loc[days.is_promo, "day_on"]
    if len(promo_days):
        end = promo_days.max() + pd.Timedelta(days=1)
        ax.axvspan(
            promo_days.min(),
            end,
            color=PALETTE["yellow"],
            alpha=0.15,
            lw=0,
        )
    ax.tick_params(axis="x", rotation=30)
    ax.set(
        xlabel=say("assortment_pricing.day_axis"),
        ylabel=say("assortment_pricing.units_day_axis"),
        ylim=(0, None),
        title=say("assortment_pricing.promotion_title", name=name),
    )
    return ax


def promotions_plot(frame: DataFrame, *, currency: str = "", ax: Axes | None = None) -> Axes:
    """Incremental margin of each promotion with its interval, and its cost as a mark."""
    ax = new_axes(ax, size=(8, max(2.4, 0.4 * len(frame) + 1.2)))
    places = np.arange(len(frame))[::-1]
    ax.hlines(
        places,
        frame.low,
        frame.high,
        color=PALETTE["sky"],
        lw=3,
    )
    ax.plot(
        frame.incremental_margin,
        places,
        "o",
        color=PALETTE["blue"],
    )
    ax.plot(
        frame.cost,
        places,
        "|",
        color=PALETTE["orange"],
        ms=14,
        mew=2,
    )
    ax.axvline(0, color=PALETTE["ink"], lw=0.8)
    ax.set_yticks(places, frame.promo_id)
    ax.set(
        xlabel=say("assortment_pricing.incremental_axis", currency=currency),
        ylabel="",
        title=say("assortment_pricing.promotions_title"),
    )
    return ax
