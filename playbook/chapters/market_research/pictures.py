"""Pictures of chapter 01: growth against share, the season, the price bands, the
market's size, the personas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

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


def growth_share_plot(
    growth: pd.DataFrame, *, by: str = "category", ax: Axes | None = None
) -> Axes:
    """Bubbles: share of revenue across, growth upwards with its interval, size by
    revenue; hatched rows rest on few.
    """
    ax = new_axes(ax)
    shown = growth[growth["growth"].notna()]
    size = 80 + 900 * shown["revenue"] / max(shown["revenue"].max(), 1e-9)
    fine = shown["status"] == "complete"
    ax.vlines(shown["share"], shown["low"], shown["high"], color=PALETTE["grey"], lw=1)
    for mark, ink, hatch in ((fine, PALETTE["blue"], None), (~fine, "white", HATCH)):
        ax.scatter(
            shown.loc[mark, "share"],
            shown.loc[mark, "growth"],
            s=size[mark],
            color=ink,
            alpha=0.55,
            edgecolor=PALETTE["grey"],
            hatch=hatch,
        )
    step = 0.045 * max(shown["high"].max() - shown["low"].min(), 1e-9) if len(shown) else 0.0
    placed: list[tuple[float, float]] = []
    for row in shown.sort_values("growth").itertuples():
        # a label moves up until no label of a bubble nearby is in its way
        at = row.growth
        while any(abs(row.share - x) < 0.08 and abs(at - y) < step for x, y in placed):
            at += step / 4
        placed.append((row.share, at))
        ax.annotate(
            str(getattr(row, by)),
            (row.share, at),
            fontsize=8.5,
            ha="left",
            va="center",
            xytext=(13, 0),
            textcoords="offset points",
            color=PALETTE["ink"],
        )
    ax.axhline(0, color=PALETTE["grey"], lw=1)
    basis = growth["basis"].iloc[0] if len(growth) else ""
    ax.set(
        xlabel="share of own revenue",
        ylabel=f"growth on {basis.split(':')[0]}",
        title="Own sales: which groups grow, and how sure that is",
    )
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.margins(x=0.16)
    return ax


def growth_plot(growth: pd.DataFrame, *, by: str, most: int = 12, ax: Axes | None = None) -> Axes:
    """Growth of each group with its interval, largest groups first."""
    shown = growth[growth["growth"].notna()].head(most)
    ax = bars_with_intervals(shown, by, "growth", low="low", high="high", status="status", ax=ax)
    ax.set(
        xlabel="growth (interval 90 %)",
        title=f"Growth by {by}, largest on top; hatched rests on few orders",
    )
    ax.xaxis.set_major_formatter("{x:.0%}")
    return ax


def season_plot(
    season: pd.DataFrame, *, market: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Seasonal index of each month with its interval, beside the market's; hatched
    where a month was seen once.
    """
    ax = new_axes(ax)
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    known = season["index"].notna().any()
    if known:
        bars = ax.bar(
            season["month_no"], season["index"], color=PALETTE["sky"], width=0.7, label="own sales"
        )
        reach = np.nan_to_num(
            np.vstack([season["index"] - season["low"], season["high"] - season["index"]])
        )
        ax.errorbar(
            season["month_no"],
            season["index"],
            yerr=reach,
            fmt="none",
            ecolor=PALETTE["ink"],
            capsize=3,
            lw=1,
        )
        for bar, state in zip(bars, season["status"], strict=True):
            if state != "complete":
                bar.set(hatch=HATCH, facecolor="white", edgecolor=PALETTE["grey"])
    if market is not None and market["index"].notna().any():
        ax.plot(
            market["month_no"],
            market["index"],
            color=PALETTE["orange"],
            lw=2,
            marker="o",
            label="market series",
        )
    if known or market is not None:
        ax.legend()
    years = int(season["n_years"].max()) if known else 0
    ax.axhline(1, color=PALETTE["grey"], lw=1)
    ax.set_xticks(range(1, 13), names)
    ax.set(
        xlabel="month",
        ylabel="seasonal index (1 is an average month)",
        title=f"The season, trend taken out; own months seen up to {years} times",
    )
    return ax


def band_plot(bands: pd.DataFrame, *, most: int = 8, ax: Axes | None = None) -> Axes:
    """Units sold by price band and category; the line marks the share of the market's
    offers in each band.
    """
    largest = bands.groupby("category")["n_units"].sum().sort_values(ascending=False).index[:most]
    grid = bands[bands["category"].isin(largest)].pivot(
        index="category", columns="band", values="units_share"
    )
    grid = grid.loc[[c for c in largest if c in grid.index]]
    ax = new_axes(ax, size=(8, max(2.4, 0.5 * len(grid) + 1.4)))
    inks, left = ("#D7E8F4", "#9CC7E4", "#4E9BC9", "#0B5A8A", "#083D5E"), np.zeros(len(grid))
    places = np.arange(len(grid))[::-1]
    for i, band in enumerate(grid.columns):
        part = grid[band].fillna(0).to_numpy()
        ax.barh(
            places,
            part,
            left=left,
            height=0.62,
            color=inks[i % len(inks)],
            label=f"band {band}",
            edgecolor="white",
        )
        left += part
    held = bands["offers_share"].notna().any()
    if held:
        for cut in np.cumsum(bands.groupby("band")["offers_share"].mean())[:-1]:
            ax.axvline(cut, color=PALETTE["orange"], lw=1.4, ls="--")
    ax.set_yticks(places, grid.index)
    ax.grid(visible=False)
    ax.legend(
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.5, -0.42 if len(grid) < 4 else -0.3),
        fontsize=8.5,
    )
    title = "Units by price band, 1 is cheapest"
    ax.set(
        xlabel="share of the category's units",
        title=title + ("; dashed: the market's offers" if held else ""),
    )
    ax.xaxis.set_major_formatter("{x:.0%}")
    return ax


def size_plot(size: pd.DataFrame, *, currency: str = "money", ax: Axes | None = None) -> Axes:
    """TAM, SAM and SOM as ranges on a log axis, from the top and from the bottom."""
    ax = new_axes(ax, size=(8, 2.8))
    order, inks = (
        ("TAM", "SAM", "SOM"),
        {"top-down": PALETTE["blue"], "bottom-up": PALETTE["green"]},
    )
    for k, (approach, part) in enumerate(size.groupby("approach", sort=False)):
        places = [len(order) - 1 - order.index(m) + (0.13 if k else -0.13) for m in part["measure"]]
        ax.hlines(
            places,
            part["low"],
            part["high"],
            color=inks.get(approach, PALETTE["grey"]),
            lw=6,
            alpha=0.55,
        )
        ax.plot(part["mid"], places, "o", color=inks.get(approach, PALETTE["grey"]), label=approach)
    ax.set_yticks(range(len(order)), order[::-1])
    ax.set_xscale("log")
    if len(size):
        ax.legend(loc="lower right")
    ax.set(
        xlabel=f"{currency} a year (log scale)",
        title="How large the market is, two ways that share no figure",
    )
    return ax


def personas_plot(described: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Each persona's share of customers with its range, and its share of contribution
    margin (or revenue).
    """
    ax = new_axes(ax, size=(8, max(2.4, 0.55 * len(described) + 1.3)))
    worth = "cm_share" if described["cm_share"].notna().all() else "revenue_share"
    places = np.arange(len(described))[::-1]
    ax.barh(
        places + 0.19,
        described["customers_share"],
        height=0.36,
        color=PALETTE["blue"],
        label="customers",
    )
    reach = np.vstack(
        [
            described["customers_share"] - described["low"],
            described["high"] - described["customers_share"],
        ]
    )
    ax.errorbar(
        described["customers_share"],
        places + 0.19,
        xerr=np.nan_to_num(reach).clip(min=0),
        fmt="none",
        ecolor=PALETTE["ink"],
        capsize=3,
        lw=1,
    )
    label = "contribution margin" if worth == "cm_share" else "revenue"
    ax.barh(places - 0.19, described[worth], height=0.36, color=PALETTE["yellow"], label=label)
    ax.set_yticks(places, described["persona"] + " · " + described["label"])
    ax.grid(axis="y", visible=False)
    ax.legend()
    ax.set(xlabel="share", title="Who buys, and who pays")
    ax.xaxis.set_major_formatter("{x:.0%}")
    return ax
