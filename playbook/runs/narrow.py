"""A picture drawn once more for a phone: narrower, its panels below each other, its words
broken into lines, in the size of text they have on paper.

A wide drawing shrunk to a phone's width cannot be read, and one that is not shrunk lies
outside of the screen. Nothing is laid out here: how much room the words take is measured
by themselves, and the panels find their places once, when the picture is saved.
"""

from __future__ import annotations

import itertools
import pickle
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["WIDTH", "narrow"]

WIDTH = 3.8  # inches: a phone of 390 pixels less its margins
LEAST_HEIGHT = 2.8  # of a picture with one panel, inches
LABEL_WIDTH = 1.1  # of the names beside an axis, inches
SIGN = 0.55  # a sign's width as a part of the size of its text
BOLD = 1.12  # a bold sign's width, of a plain one's
CROWDED = 40  # notes in one panel from which they are a table and are written small
SMALL = 6.5  # points
LEGEND_SIZE = 8.5  # points
LEAST_PANEL = 0.9  # of a panel without its words, inches
APART = 1.2  # room a label needs, as a multiple of its width


def narrow(figure: Figure) -> Figure | None:
    """A copy of a figure drawn for a phone; the figure itself stays as it is. None where
    a figure cannot be copied (one that holds a function of its own).
    """
    drawing = _copied(figure)
    if drawing is None:
        return None
    wide, high = figure.get_size_inches()
    panels = [ax for ax in drawing.axes if ax.get_visible()]
    rows = _below_each_other(drawing, panels)
    columns = _columns(panels)
    drawing.set_size_inches(WIDTH, max(LEAST_HEIGHT, high * rows) if wide > WIDTH else high)
    _legend_below(drawing, panels)
    for ax in panels:
        _names_beside(ax)
        _words(ax, WIDTH if rows == 1 else WIDTH / columns)
    if drawing._suptitle is not None:
        title = drawing._suptitle
        title.set_text(_lines(title.get_text(), WIDTH, title.get_fontsize()))
    beside = max((_around(ax)[0] for ax in panels), default=0.0)
    for ax in panels:
        _names_below(ax, (WIDTH / columns - beside) * drawing.dpi)
    _make_room(drawing, panels)
    return drawing


def _copied(figure: Figure) -> Figure | None:
    """A copy that no window and no notebook shows."""
    canvas = figure.canvas
    manager, canvas.manager = getattr(canvas, "manager", None), None
    try:
        return pickle.loads(pickle.dumps(figure))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    finally:
        canvas.manager = manager


def _columns(panels: list[Axes]) -> int:
    spec = panels[0].get_subplotspec() if panels else None
    return spec.get_gridspec().ncols if spec is not None else 1


def _around(ax: Axes) -> tuple[float, float]:
    """What stands around a panel, inches: beside it, and above and below it."""
    figure, inner = ax.get_figure(root=True), ax.get_window_extent()
    outer = ax.get_tightbbox(for_layout_only=True)
    if outer is None:
        return 0.0, 0.0
    return (outer.width - inner.width) / figure.dpi, (outer.height - inner.height) / figure.dpi


def _make_room(drawing: Figure, panels: list[Axes]) -> None:
    """Higher where words would leave a panel nothing; notes that would leave it no width
    are broken into lines, and stand over its edge where that is not enough.
    """
    columns = _columns(panels)
    # measuring takes longest: only where a note may be to blame, and again where it was
    for ax in [ax for ax in panels if len(ax.texts) and _is_squeezed(ax, columns)]:
        for note in ax.texts:
            note.set_text(_lines(note.get_text(), LABEL_WIDTH, note.get_fontsize()))
        for note in ax.texts if _is_squeezed(ax, columns) else ():
            note.set_in_layout(False)
    heights = [_around(ax)[1] + max(LEAST_PANEL, _height_of_rows(ax)) for ax in panels]
    starts = range(0, len(heights), columns)
    whole = [*drawing.legends, *filter(None, [drawing._suptitle])]
    below = sum(part.get_window_extent().height for part in whole) / drawing.dpi
    needed = below + sum(max(heights[place : place + columns]) for place in starts)
    if needed > drawing.get_figheight():
        drawing.set_figheight(needed)


def _is_squeezed(ax: Axes, columns: int) -> bool:
    return WIDTH / columns - _around(ax)[0] < LEAST_PANEL


def _height_of_rows(ax: Axes) -> float:
    """What the names of a panel's rows take above each other, inches."""
    if not _has_names(ax.yaxis):
        return 0.0
    low, high = sorted(ax.get_ylim())
    names = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    inside = [label for tick, label in names if low <= tick <= high]
    return sum(label.get_window_extent().height for label in inside) / ax.get_figure().dpi


def _below_each_other(drawing: Figure, panels: list[Axes]) -> float:
    """Two panels a row where there were three and more, else one; gives how many times
    higher the figure becomes.
    """
    specs = [ax.get_subplotspec() for ax in panels]
    grids = {id(spec.get_gridspec()) for spec in specs if spec is not None}
    is_plain = len(grids) == 1 and all(s is not None and s.num1 == s.num2 for s in specs)
    if len(panels) < 2 or not is_plain or specs[0].get_gridspec().ncols == 1:
        return 1.0
    before = specs[0].get_gridspec()
    columns = 2 if before.ncols > 2 else 1
    rows = -(-len(panels) // columns)
    for ax in set(drawing.axes) - set(panels):
        ax.remove()
    grid = drawing.add_gridspec(rows, columns)
    for place, ax in enumerate(panels):
        ax.set_subplotspec(grid[place // columns, place % columns])
    return rows / before.nrows


def _legend_below(drawing: Figure, panels: list[Axes]) -> None:
    """Legends of the panels stand below all of them, where no line is under them."""
    handles: dict[str, Any] = {}
    for ax in panels:
        legend = ax.get_legend()
        if legend is not None:
            names = [text.get_text() for text in legend.get_texts()]
            handles |= dict(zip(names, legend.legend_handles, strict=True))
            legend.remove()
    if handles:
        is_short = max(map(len, handles)) <= 16
        drawing.legend(
            list(handles.values()),
            [_lines(name, WIDTH - 0.6, LEGEND_SIZE) for name in handles],
            loc="outside lower left",
            ncols=2 if is_short else 1,
            fontsize=LEGEND_SIZE,
            frameon=False,
        )


def _words(ax: Axes, inches: float) -> None:
    """Titles and names of axes in lines that fit; a table of notes in small."""
    inner, outer = ax.get_window_extent(), ax.yaxis.get_tightbbox()
    left = (inner.x0 - outer.x0) / ax.get_figure().dpi if outer else 0.0
    # set_title would give them the style's size and ink again
    for title in (ax.title, ax._left_title, ax._right_title):
        title.set_text(_lines(title.get_text(), inches - left, title.get_fontsize() * BOLD))
    for axis in (ax.xaxis, ax.yaxis):
        name = axis.label
        name.set_text(_lines(name.get_text(), inches - 0.6, name.get_fontsize()))
    if len(ax.texts) > CROWDED:
        for text in ax.texts:
            text.set_fontsize(min(text.get_fontsize(), SMALL))


def _lines(text: str, inches: float, size: float) -> str:
    """A text broken into lines of a width; a Chinese sign is as wide as two others."""
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    signs = inches * 72 / (size * SIGN) / (1 + wide / max(len(text), 1))
    lines = [
        textwrap.fill(line, max(int(signs), 8), break_on_hyphens=False) for line in text.split("\n")
    ]
    return "\n".join(lines)


def _names_beside(ax: Axes) -> None:
    """Long names of rows are broken into lines."""
    names = [label.get_text() for label in ax.get_yticklabels()]
    size = ax.get_yticklabels()[0].get_fontsize() if names else 0.0
    broken = [_lines(name, LABEL_WIDTH, size) for name in names]
    if broken != names and _has_names(ax.yaxis):
        limits = ax.get_ylim()
        ax.set_yticks(ax.get_yticks(), broken)
        ax.set_ylim(limits)


def _names_below(ax: Axes, width: float) -> None:
    """Labels under a panel of a width (pixels) that would run into each other: of numbers
    and days every second or third, names stand upright.
    """
    limits = ax.get_xlim()
    pairs = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    inside = [(t, x) for t, x in pairs if min(limits) <= t <= max(limits) and x.get_text()]
    widest = _overlap(ax, inside, width)
    if widest <= 1:
        return
    if _has_names(ax.xaxis):
        ax.tick_params(axis="x", labelrotation=90)
        return
    kept = inside[:: int(widest) + 1]
    ax.set_xticks([tick for tick, _ in kept], [label.get_text() for _, label in kept])
    ax.set_xlim(limits)


def _overlap(ax: Axes, inside: list[tuple[float, Any]], width: float) -> float:
    """The widest label as a part of the room between two; 0 where there is one."""
    if len(inside) < 2:
        return 0.0
    ends = ax.transAxes.inverted().transform(
        ax.transData.transform([(tick, ax.get_ylim()[0]) for tick, _label in inside])
    )
    room = min(abs(b - a) for a, b in itertools.pairwise(sorted(ends[:, 0]))) * max(width, 1.0)
    widest = max(label.get_window_extent().width for _tick, label in inside)
    return widest * APART / max(room, 1e-9)


def _has_names(axis: Axis) -> bool:
    """The labels are names that somebody set, not numbers or days that are counted."""
    from matplotlib import category, ticker

    is_set = isinstance(
        axis.get_major_locator(), (ticker.FixedLocator, category.StrCategoryLocator)
    )
    texts = [label.get_text() for label in axis.get_ticklabels()]
    return is_set and any(sign.isalpha() for text in texts for sign in text)
