"""Pictures of chapter 01: growth against share, the season, the price bands, the
market's size, the personas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pandas import DataFrame

from playbook.messages import say
from playbook.pictures import (
    HATCH,
    PALETTE,
    bars_with_intervals,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "band_plot",
    "growth_plot",
    "growth_share_plot",
    "item_shares_plot",
    "personas_plot",
    "season_plot",
    "size_plot",
]

SHARE = "{x:.0%}"
#: the cheapest band is the lightest
BANDS = ["#D7E8F4", "#9CC7E4", "#4E9BC9", "#0B5A8A", "#083D5E"]
MEASURES = ("SOM", "SAM", "TAM")
#: approach -> its colour, and how far its line lies from the middle of the measure
APPROACHES = {"bottom-up": ("green", 0.13), "top-down": ("blue", -0.13)}
WHISKERS = {"ecolor": PALETTE["ink"], "capsize": 3, "elinewidth": 1}


def growth_share_plot(growth: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Bubbles: share of revenue across, growth upwards with its interval, size by
    revenue; hatched rows rest on few.
    """
    ax = new_axes(ax)
    shown = growth[growth.growth.notna()].sort_values("growth")
    ax.vlines(shown.share, shown.low, shown.high, color=PALETTE["grey"], lw=1)
    area = 80 + 900 * shown.revenue / shown.revenue.max()
    is_sure = shown.status == "complete"
    for is_drawn, ink, hatch in (
        (is_sure, PALETTE["blue"], None),
        (~is_sure, "white", HATCH),
    ):
        style = {
            "color": ink,
            "hatch": hatch,
            "edgecolor": PALETTE["grey"],
            "alpha": 0.55,
        }
        ax.scatter(
            "share",
            "growth",
            s=area[is_drawn],
            data=shown[is_drawn],
            **style,
        )
    for name, place in zip(shown.category, _places(shown), strict=True):
        ax.annotate(
            name,
            place,
            (13, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    ax.axhline(0, color=PALETTE["grey"], lw=1)
    ax.yaxis.set_major_formatter(SHARE)
    ax.margins(x=0.16)
    basis = growth.basis.max() if len(growth) else ""
    ax.set_ylabel(say("market_research.axis_growth_on", basis=basis))
    return _worded(ax, "growth_share")


def _places(shown: DataFrame) -> list[tuple[float, float]]:
    """Where names go: each moves up until no name of a bubble nearby is in its way."""
    step = 0.045 * max(shown.high.max() - shown.low.min(), 1e-9)
    places: list[tuple[float, float]] = []
    for share, height in zip(shown.share, shown.growth, strict=True):
        while any(abs(share - x) < 0.08 and abs(height - y) < step for x, y in places):
            height += step / 4
        places.append((share, height))
    return places


def _worded(ax: Axes, picture: str, **values: object) -> Axes:
    """The axes with the picture's title and the name of its x axis, which is a share."""
    ax.set_title(say(f"market_research.title_{picture}", **values))
    ax.set_xlabel(say(f"market_research.axis_{picture}"))
    ax.xaxis.set_major_formatter(SHARE)
    return ax


def growth_plot(growth: DataFrame, *, by: str, ax: Axes | None = None) -> Axes:
    """Growth of the twelve largest groups with its interval, largest first."""
    shown = growth[growth.growth.notna()].head(12)
    ax = bars_with_intervals(
        shown,
        by,
        "growth",
        low="low",
        high="high",
        status="status",
        ax=ax,
    )
    return _worded(ax, "growth", by=by)


def item_shares_plot(shares: DataFrame) -> Axes:
    """What people would put first, study by study, with its interval."""
    shown = shares.assign(label=shares["study"] + ": " + shares["item"]).head(15)
    ax = bars_with_intervals(shown, "label", "share", low="low", high="high")
    return _worded(ax, "item_shares")


def _reach(frame: DataFrame, amount: str) -> np.ndarray:
    """How far an amount's interval reaches down and up."""
    reach = [frame[amount] - frame.low, frame.high - frame[amount]]
    return np.nan_to_num(reach).clip(min=0)


def season_plot(
    season: DataFrame,
    *,
    market: DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Seasonal index of each month with its interval, beside the market's; hatched
    where a month was seen once.
    """
    ax = new_axes(ax)
    bars = ax.bar(
        "month_no",
        "index",
        yerr=_reach(season, "index"),
        data=season.fillna({"index": 0.0}),
        color=PALETTE["sky"],
        error_kw=WHISKERS,
        label=say("market_research.legend_own"),
    )
    for bar, status in zip(bars, season.status, strict=True):
        if status == "partial":
            bar.set(
                hatch=HATCH,
                facecolor="white",
                edgecolor=PALETTE["grey"],
            )
    if market is not None:
        name = say("market_research.legend_market")
        ax.plot(
            "month_no",
            "index",
            "o-",
            data=market,
            color=PALETTE["orange"],
            lw=2,
            label=name,
        )
    ax.legend()
    ax.axhline(1, color=PALETTE["grey"], lw=1)
    ax.set_xticks(range(1, 13), say("market_research.months").split())
    n_years = season.n_years.where(season["index"].notna(), 0).max()
    ax.set(
        xlabel=say("market_research.axis_month"),
        ylabel=say("market_research.axis_index"),
        title=say("market_research.title_season", n=n_years),
    )
    return ax


def band_plot(bands: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Units sold by price band in the eight largest categories; the line marks the
    share of the market's offers in each band.
    """
    largest = bands.groupby("category").n_units.sum().nlargest(8).index[::-1]
    grid = bands.pivot(
        index="category",
        columns="band",
        values="units_share",
    ).loc[largest]
    ax = new_axes(ax, size=(8, max(2.4, 0.5 * len(grid) + 1.4)))
    names = [say("market_research.legend_band", band=band) for band in grid]
    grid.set_axis(names, axis=1).plot.barh(
        stacked=True,
        color=BANDS,
        width=0.62,
        ax=ax,
    )
    has_offers = bands.offers_share.notna().any()
    if has_offers:
        for cut in bands.groupby("band").offers_share.mean().cumsum()[:-1]:
            ax.axvline(
                cut,
                color=PALETTE["orange"],
                lw=1.4,
                ls="--",
            )
    ax.grid(visible=False)
    below = -0.42 if len(grid) < 4 else -0.3
    ax.legend(
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.5, below),
        fontsize=8.5,
    )
    ax.set_ylabel("")
    return _worded(ax, "bands_and_offers" if has_offers else "bands")


def size_plot(size: DataFrame, *, currency: str, ax: Axes | None = None) -> Axes:
    """TAM, SAM and SOM as ranges on a log axis, from the top and from the bottom."""
    ax = new_axes(ax, size=(8, 2.8))
    for approach, part in size.groupby("approach"):
        colour, shift = APPROACHES[approach]
        ink = PALETTE[colour]
        places = part.measure.map(MEASURES.index) + shift
        ax.hlines(
            places,
            part.low,
            part.high,
            color=ink,
            lw=6,
            alpha=0.55,
        )
        ax.plot(
            part.mid,
            places,
            "o",
            color=ink,
            label=approach,
        )
    ax.set_yticks(range(len(MEASURES)), MEASURES)
    ax.set_xscale("log")
    ax.legend(loc="lower right")
    ax.set(
        xlabel=say("market_research.axis_size", currency=currency),
        title=say("market_research.title_size"),
    )
    return ax


def personas_plot(described: DataFrame, *, ax: Axes | None = None) -> Axes:
    """Each persona's share of customers with its range, and its share of contribution
    margin (or revenue).
    """
    ax = new_axes(ax, size=(8, max(2.4, 0.55 * len(described) + 1.3)))
    worth = "cm_share" if described.cm_share.notna().all() else "revenue_share"
    shares = {"customers_share": "blue", worth: "yellow"}
    names = [say(f"market_research.legend_{column}") for column in shares]
    shown = described[[*shares]].set_axis(names, axis=1)
    shown.index = described.persona + " · " + described.label
    shown.plot.barh(
        ax=ax,
        width=0.74,
        color=[PALETTE[ink] for ink in shares.values()],
        xerr={names[0]: _reach(described, "customers_share")},
        error_kw=WHISKERS,
    )
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return _worded(ax, "personas")
