"""Numbers along an axis, written as a person writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matplotlib.ticker import ScalarFormatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Grouped", "plain_numbers"]

FOUR_DIGITS = 4  # a number of as many, a year for one, is written without a comma


class Grouped(ScalarFormatter):
    """Thousands apart from 10,000 on; no offset, no power of ten above the axis."""

    def __init__(self) -> None:
        super().__init__(useOffset=False)
        self.set_scientific(False)

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The tick's text."""
        whole, dot, rest = super().__call__(x, pos).partition(".")
        if sum(map(str.isdigit, whole)) > FOUR_DIGITS:
            whole = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", whole)
        return whole + dot + rest


def plain_numbers(figure: Figure) -> None:
    """Every axis of a figure with thousands apart and no power of ten; one with a format of
    its own keeps it.
    """
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]:
        if type(axis.get_major_formatter()) is ScalarFormatter:
            axis.set_major_formatter(Grouped())
