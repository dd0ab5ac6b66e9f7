"""Pictures of chapter 01: growth against share, the season, the price bands, the
market's size, the personas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from playbook.messages import say
from playbook.pictures import HATCH, PALETTE, bars_with_intervals, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "band_plot",
    "growth_plot",
    "growth_share_plot",
    "personas_plot",
    "season_plot",
    "size_plot",
]

SHARE = "{x:.0%}"
BANDS = ("#D7E8F4", "#9CC7E4", "#4E9BC9", "#0B5A8A", "#083D5E")
MEASURES = ("SOM", "SAM", "TAM")
#: approach -> its colour, and how far its line lies from the middle of the measure
APPROACHES = {"bottom-up": ("green", 0.13), "top-down": ("blue", -0.13)}
UNSURE = {"hatch": HATCH, "facecolor": "white", "edgecolor": PALETTE["grey"]}


def _whiskers(ax: Axes, frame: pd.DataFrame, amount: str, **at: pd.Series) -> None:
    """The interval from low to high around an amount, along the axis that is not `at`."""
    reach = np.vstack([frame[amount] - frame["low"], frame["high"] - frame[amount]])
    along = "y" if "x" in at else "x"
    error = {f"{along}err": np.nan_to_num(reach).clip(min=0), along: frame[amount]}
    ax.errorbar(**at, **error, fmt="none", ecolor=PALETTE["ink"], capsize=3, lw=1)


def growth_share_plot(growth: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Bubbles: share of revenue across, growth upwards with its interval, size by
    revenue; hatched rows rest on few.
    """
    ax = new_axes(ax)
    shown = growth[growth["growth"].notna()].sort_values("growth")
    area = 80 + 900 * shown["revenue"] / max(shown["revenue"].max(), 1e-9)
    is_sure = shown["status"] == "complete"
    ax.vlines(shown["share"], shown["low"], shown["high"], color=PALETTE["grey"], lw=1)
    for is_drawn, ink, hatch in ((is_sure, PALETTE["blue"], None), (~is_sure, "white", HATCH)):
        ax.scatter(
            "share",
            "growth",
            s=area[is_drawn],
            data=shown[is_drawn],
            color=ink,
            alpha=0.55,
            edgecolor=PALETTE["grey"],
            hatch=hatch,
        )
    for name, at in zip(shown["category"], _places(shown), strict=True):
        ax.annotate(
            name,
            at,
            fontsize=8.5,
            va="center",
            xytext=(13, 0),
            textcoords="offset points",
            color=PALETTE["ink"],
        )
    ax.axhline(0, color=PALETTE["grey"], lw=1)
    basis = growth["basis"].iloc[0] if len(growth) else ""
    ax.set(
        xlabel=say("market_research.axis_share_of_revenue"),
        ylabel=say("market_research.axis_growth_on", basis=basis),
        title=say("market_research.title_growth_share"),
    )
    ax.xaxis.set_major_formatter(SHARE)
    ax.yaxis.set_major_formatter(SHARE)
    ax.margins(x=0.16)
    return ax


def _places(shown: pd.DataFrame) -> list[tuple[float, float]]:
    """Where names go: each moves up until no name of a bubble nearby is in its way."""
    step = 0.045 * max(shown["high"].max() - shown["low"].min(), 1e-9)
    places: list[tuple[float, float]] = []
    for share, height in zip(shown["share"], shown["growth"], strict=True):
        while any(abs(share - x) < 0.08 and abs(height - y) < step for x, y in places):
            height += step / 4
        places.append((share, height))
    return places


def growth_plot(growth: pd.DataFrame, *, by: str, ax: Axes | None = None) -> Axes:
    """Growth of the twelve largest groups with its interval, largest first."""
    shown = growth[growth["growth"].notna()].head(12)
    ax = bars_with_intervals(shown, by, "growth", low="low", high="high", status="status", ax=ax)
    ax.set(
        xlabel=say("market_research.axis_growth"),
        title=say("market_research.title_growth", by=by),
    )
    ax.xaxis.set_major_formatter(SHARE)
    return ax


def season_plot(
    season: pd.DataFrame, *, market: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Seasonal index of each month with its interval, beside the market's; hatched
    where a month was seen once.
    """
    ax = new_axes(ax)
    n_years = 0
    if season["index"].notna().any():
        n_years = int(season["n_years"].max())
        name = say("market_research.legend_own")
        bars = ax.bar("month_no", "index", data=season, color=PALETTE["sky"], width=0.7, label=name)
        _whiskers(ax, season, "index", x=season["month_no"])
        for bar, status in zip(bars, season["status"], strict=True):
            if status != "complete":
                bar.set(**UNSURE)
    if market is not None and market["index"].notna().any():
        name = say("market_research.legend_market")
        ink = PALETTE["orange"]
        ax.plot("month_no", "index", data=market, color=ink, lw=2, marker="o", label=name)
    if n_years or market is not None:
        ax.legend()
    ax.axhline(1, color=PALETTE["grey"], lw=1)
    ax.set_xticks(range(1, 13), say("market_research.months").split())
    ax.set(
        xlabel=say("market_research.axis_month"),
        ylabel=say("market_research.axis_index"),
        title=say("market_research.title_season", n=n_years),
    )
    return ax


def band_plot(bands: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Units sold by price band in the eight largest categories; the line marks the
    share of the market's offers in each band.
    """
    largest = bands.groupby("category")["n_units"].sum().nlargest(8).index[::-1]
    grid = bands.pivot(index="category", columns="band", values="units_share").loc[largest]
    ax = new_axes(ax, size=(8, max(2.4, 0.5 * len(grid) + 1.4)))
    left = np.zeros(len(grid))
    for band, ink in zip(grid.columns, BANDS, strict=False):
        part = grid[band].fillna(0).to_numpy()
        name = say("market_research.legend_band", band=band)
        ax.barh(grid.index, part, left=left, height=0.62, color=ink, label=name, edgecolor="white")
        left += part
    has_offers = bands["offers_share"].notna().any()
    if has_offers:
        for cut in bands.groupby("band")["offers_share"].mean().cumsum()[:-1]:
            ax.axvline(cut, color=PALETTE["orange"], lw=1.4, ls="--")
    ax.grid(visible=False)
    below = -0.42 if len(grid) < 4 else -0.3
    ax.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, below), fontsize=8.5)
    title = say(f"market_research.title_bands_{'and_offers' if has_offers else 'alone'}")
    ax.set(xlabel=say("market_research.axis_units"), title=title)
    ax.xaxis.set_major_formatter(SHARE)
    return ax


def size_plot(size: pd.DataFrame, *, currency: str, ax: Axes | None = None) -> Axes:
    """TAM, SAM and SOM as ranges on a log axis, from the top and from the bottom."""
    ax = new_axes(ax, size=(8, 2.8))
    for approach, part in size.groupby("approach"):
        colour, shift = APPROACHES[approach]
        ink = PALETTE[colour]
        at = part["measure"].map(MEASURES.index) + shift
        ax.hlines(at, part["low"], part["high"], color=ink, lw=6, alpha=0.55)
        ax.plot(part["mid"], at, "o", color=ink, label=approach)
    ax.set_yticks(range(len(MEASURES)), MEASURES)
    ax.set_xscale("log")
    ax.legend(loc="lower right")
    ax.set(
        xlabel=say("market_research.axis_size", currency=currency),
        title=say("market_research.title_size"),
    )
    return ax


def personas_plot(described: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Each persona's share of customers with its range, and its share of contribution
    margin (or revenue).
    """
    ax = new_axes(ax, size=(8, max(2.4, 0.55 * len(described) + 1.3)))
    worth = "cm_share" if described["cm_share"].notna().all() else "revenue_share"
    places = np.arange(len(described))[::-1]
    bars = (("customers_share", 0.19, "blue"), (worth, -0.19, "yellow"))
    for column, shift, ink in bars:
        name = say(f"market_research.legend_{column}")
        ax.barh(places + shift, described[column], height=0.36, color=PALETTE[ink], label=name)
    _whiskers(ax, described, "customers_share", y=places + 0.19)
    ax.set_yticks(places, described["persona"] + " · " + described["label"])
    ax.grid(axis="y", visible=False)
    ax.legend()
    ax.set(xlabel=say("market_research.axis_share"), title=say("market_research.title_personas"))
    ax.xaxis.set_major_formatter(SHARE)
    return ax
