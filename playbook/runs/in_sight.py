"""Titles that would run over the edge of their figure begin further left, or break."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

__all__ = ["placed", "titles_in_sight"]

#: room kept at the edge, pixels
MARGIN = 4.0


@contextlib.contextmanager
def titles_in_sight(drawing: Figure) -> Iterator[bool]:
    """Brings the titles of a figure that has been drawn into sight and tells whether it had to;
    afterwards they stand as they stood, for another width has other room.
    """
    left = {title: (title.get_text(), title.get_position()) for title in _cut_off(drawing)}
    engine = drawing.get_layout_engine()
    broken = [title for title in left if _broken(title, drawing)]
    if broken:
        drawing.draw_without_rendering()
    if left:
        # the panels stay where they are: their place follows that of their title
        drawing.set_layout_engine("none")
    for title in _cut_off(drawing):
        over = _extent(title, drawing).x1 - (drawing.bbox.x1 - MARGIN)
        x, y = title.get_position()
        title.set_position((x - over / title.axes.bbox.width, y))
    yield bool(left)
    for title, (text, place) in left.items():
        title.set_text(text)
        title.set_position(place)
    if left:
        drawing.set_layout_engine(engine)


@contextlib.contextmanager
def placed(drawing: Figure) -> Iterator[None]:
    """The panels of a figure that has been drawn stay where they are: finding their places
    costs more than drawing them.
    """
    engine = drawing.get_layout_engine()
    drawing.set_layout_engine("none")
    yield
    drawing.set_layout_engine(engine)


def _cut_off(drawing: Figure) -> list[Text]:
    """The titles of panels whose end lies beyond the figure's edge."""
    titles = [t for ax in drawing.axes for t in (ax.title, ax._left_title, ax._right_title)]
    told = [title for title in titles if title.get_text()]
    return [title for title in told if _extent(title, drawing).x1 > drawing.bbox.x1]


def _extent(title: Text, drawing: Figure) -> Bbox:
    """Where a title stands in pixels of the figure: that of a file's own renderer, which drew
    last, has letters of another size.
    """
    canvas = drawing.canvas
    renderer = canvas.get_renderer() if isinstance(canvas, FigureCanvasAgg) else None
    return title.get_window_extent(renderer)


def _broken(title: Text, drawing: Figure) -> bool:
    """Whether a title is wider than its figure, and stands in lines now."""
    whole, wide = drawing.bbox.width - 2 * MARGIN, _extent(title, drawing).width
    if wide <= whole:
        return False
    letters = int(len(title.get_text()) * whole / wide)
    title.set_text(textwrap.fill(title.get_text(), max(letters, 1)))
    return True
