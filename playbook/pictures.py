"""One style for every picture, and the pictures that recur: lines with a band, shares
with intervals, steps, heat.

A plot takes a frame that is already computed and gives back its axes. Colours tell
apart on a grey print and for colour-blind readers (Okabe and Ito's palette); a figure
that holds Chinese text uses an installed font that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pandas import DataFrame

from playbook.shown import show_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "HATCH",
    "PALETTE",
    "bars_with_intervals",
    "end_labels",
    "heat",
    "line_with_band",
    "new_axes",
    "use_style",
    "waterfall",
]

PALETTE = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "yellow": "#E69F00",
    "sky": "#56B4E9",
    "pink": "#CC79A7",
    "grey": "#6B7280",
    "light": "#D1D5DB",
    "ink": "#1F2937",
}
HATCH = "////"  # laid over figures that have not had time to mature
CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


def use_style() -> None:
    """Set the style of pictures and the digits of shown tables, once, at the top of a
    notebook. Importing this module changes nothing.
    """
    import matplotlib as mpl
    import seaborn as sns
    from matplotlib import font_manager

    installed = {f.name for f in font_manager.fontManager.ttflist}
    sns.set_theme(
        style="whitegrid",
        palette=list(PALETTE.values())[:6],
        rc={
            "figure.figsize": (8, 4.2),
            "figure.dpi": 100,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "axes.edgecolor": PALETTE["light"],
            "grid.color": "#E5E7EB",
            "font.family": ["DejaVu Sans", *[f for f in CHINESE if f in installed][:1]],
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
        },
    )
    mpl.rcParams["axes.unicode_minus"] = False
    show_frames()


def new_axes(ax: Axes | None = None, *, size: tuple[float, float] = (8, 4.2)) -> Axes:
    """The axes given, or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size)[1]


def line_with_band(
    frame: DataFrame,
    x: str,
    y: str,
    *,
    band: tuple[str, str] | None = None,
    label: str | None = None,
    colour: str = "blue",
    ax: Axes | None = None,
    step: bool = False,
) -> Axes:
    """A line over x with its interval as a band (the columns of its low and high end),
    labelled at its right end instead of in a legend.
    """
    ax = new_axes(ax)
    shown = frame.dropna(subset=[y])
    ink = PALETTE.get(colour, colour)
    ax.plot(
        shown[x],
        shown[y],
        color=ink,
        lw=2,
        drawstyle="steps-post" if step else "default",
    )
    if band:
        known = shown.dropna(subset=list(band))
        low, high = (known[end] for end in band)
        between = "post" if step else None
        ax.fill_between(
            known[x],
            low,
            high,
            color=ink,
            alpha=0.18,
            lw=0,
            step=between,
        )
    if label and len(shown):
        ax.annotate(
            label,
            (shown[x].iloc[-1], shown[y].iloc[-1]),
            xytext=(5, 0),
            textcoords="offset points",
            color=ink,
            va="center",
            fontsize=9,
        )
    return ax


def bars_with_intervals(
    frame: DataFrame,
    label: str,
    amount: str,
    *,
    low: str | None = None,
    high: str | None = None,
    status: str | None = None,
    ax: Axes | None = None,
    colour: str = "blue",
) -> Axes:
    """Horizontal bars, first row on top, with intervals as whiskers; rows that are not
    complete are hatched.
    """
    ax = new_axes(ax, size=(8, max(2.2, 0.42 * len(frame) + 1.2)))
    places = np.arange(len(frame))[::-1]
    bars = ax.barh(
        places, frame[amount].astype(float), color=PALETTE.get(colour, colour), height=0.62
    )
    if low and high:
        middle = frame[amount].astype(float)
        reach = np.vstack([middle - frame[low].astype(float), frame[high].astype(float) - middle])
        reach = np.nan_to_num(reach).clip(min=0)
        ax.errorbar(
            middle,
            places,
            xerr=reach,
            fmt="none",
            ecolor=PALETTE["ink"],
            capsize=3,
            lw=1,
        )
    if status:
        for bar, state in zip(bars, frame[status], strict=True):
            if state != "complete":
                bar.set(hatch=HATCH, facecolor="white", edgecolor=PALETTE["grey"])
    ax.set_yticks(places, frame[label].astype(str))
    ax.grid(axis="y", visible=False)
    return ax


def heat(
    grid: DataFrame,
    *,
    partial: DataFrame | None = None,
    ax: Axes | None = None,
    form: str = "{:.0%}",
    most: float | None = None,
) -> Axes:
    """A grid of numbers as colours: missing cells blank, `partial` cells hatched, each
    number written in its cell.
    """
    ax = new_axes(
        ax, size=(max(6.0, 0.55 * grid.shape[1] + 2.0), max(2.5, 0.34 * grid.shape[0] + 1.4))
    )
    values = grid.to_numpy(dtype=float)
    top = most if most is not None else (np.nanmax(values) if np.isfinite(values).any() else 1.0)
    ax.pcolormesh(values, cmap="Blues", vmin=0, vmax=top or 1.0, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if value > 0.6 * top else PALETTE["ink"]
            ax.text(
                column + 0.5,
                row + 0.5,
                form.format(value),
                ha="center",
                va="center",
                fontsize=7.5,
                color=ink,
            )
    if partial is not None:
        from matplotlib.patches import Rectangle

        for row, column in np.argwhere(partial.to_numpy(dtype=bool)):
            ax.add_patch(
                Rectangle(
                    (column, row), 1, 1, fill=False, hatch=HATCH, edgecolor=PALETTE["grey"], lw=0
                )
            )
    ax.set_xticks(np.arange(grid.shape[1]) + 0.5, grid.columns.astype(str))
    ax.set_yticks(np.arange(grid.shape[0]) + 0.5, grid.index.astype(str))
    ax.invert_yaxis()
    ax.grid(visible=False)
    return ax


def waterfall(
    frame: DataFrame,
    label: str,
    amount: str,
    *,
    total: str | None = None,
    ax: Axes | None = None,
    form: str = "{:,.0f}",
) -> Axes:
    """Steps from a first total to a last one; rows whose `total` column is true are
    drawn from zero.
    """
    ax = new_axes(ax, size=(8, max(2.6, 0.42 * len(frame) + 1.2)))
    is_total = frame[total].astype(bool).to_numpy() if total else np.zeros(len(frame), bool)
    values = frame[amount].astype(float).to_numpy()
    ends = np.where(is_total, values, 0.0)
    level, starts = 0.0, []
    for value, whole in zip(values, is_total, strict=True):
        starts.append(0.0 if whole else level)
        level = value if whole else level + value
    ends = np.array(starts) + values
    places = np.arange(len(frame))[::-1]
    inks = np.where(
        is_total, PALETTE["grey"], np.where(values < 0, PALETTE["orange"], PALETTE["green"])
    )
    ax.barh(places, values, left=starts, color=list(inks), height=0.62)
    for place, end, value in zip(places, ends, values, strict=True):
        ax.annotate(
            form.format(value),
            (max(end, end - value), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=PALETTE["ink"],
        )
    ax.margins(x=0.14)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.get_major_locator().set_params(nbins=5)
    ax.set_yticks(places, frame[label].astype(str))
    ax.grid(axis="y", visible=False)
    return ax


def end_labels(
    ax: Any, labels: list[tuple[float, float, str, str]], *, gap_share: float = 0.055
) -> None:
    """Names at the ends of lines (x, y, text, colour), pushed apart where they would
    overlap.
    """
    low, high = ax.get_ylim()
    last = -float("inf")
    for x, y, text, ink in sorted(labels, key=lambda label: label[1]):
        last = max(y, last + gap_share * (high - low))
        ax.annotate(
            text,
            (x, y),
            xytext=(x, last),
            textcoords="data",
            color=ink,
            fontsize=9,
            va="center",
            annotation_clip=False,
        )
