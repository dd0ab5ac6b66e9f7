"""Numbers as a person reads them in a notebook: money as 1,461,756, shares as percents,
what is missing as a dash; never 1.121e+07.

`show_frames()` makes every frame that a notebook shows or prints read so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

__all__ = ["frame_html", "show_frames", "shown_number", "shown_share"]

MISSING = "–"
WIDEST = 120  # letters of a text before it is cut
GROUPED_FROM = 10_000  # whole numbers from here on have their thousands apart; years do not
DIGITS = ((1000, 0), (100, 1), (1, 2), (0.001, 3))  # from this size on, digits after the point
MOST_DIGITS = 8  # what is smaller is nothing to a reader
LONG_NUMBER = re.compile(r"-?\d+\.\d{7,}")


def shown_number(value: float) -> str:
    """A number without an exponent: whole from a thousand on, else about three digits;
    what was divided by nothing is missing.
    """
    if pd.isna(value) or np.isinf(value):
        return MISSING
    size = abs(value)
    if size == int(size):
        return f"{value:,.0f}"
    digits = next((digits for least, digits in DIGITS if size >= least), None)
    if digits is not None:
        return f"{value:,.{digits}f}"
    text = f"{value:.{MOST_DIGITS}f}"
    first = next((place for place, letter in enumerate(text) if letter in "123456789"), None)
    return "0" if first is None else text[: first + 2]


def shown_share(value: float) -> str:
    """A share of a whole as a percentage."""
    return MISSING if pd.isna(value) or np.isinf(value) else f"{value:.1%}"


def show_frames() -> None:
    """Print and show frames with such numbers, in this process and, in a notebook, in
    its tables.
    """
    from IPython import get_ipython

    pd.set_option("display.float_format", shown_number)
    pd.set_option("display.max_colwidth", WIDEST)
    shell = get_ipython()
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(DataFrame, frame_html)


def frame_html(frame: DataFrame) -> str:
    """A frame as the table a notebook shows, each column by what it holds."""
    words = frame.select_dtypes(exclude=["number", "bool", "datetime"])
    if frame.columns.is_unique and words.isna().to_numpy().any():
        # pandas writes None and <NA> of such columns whatever it is told
        frame = frame.assign(**words.astype(object).where(words.notna(), MISSING))
    counts = frame.select_dtypes("number")
    if frame.columns.is_unique:
        # <NA> of nullable numbers likewise
        is_nullable = [not isinstance(kind, np.dtype) for kind in counts.dtypes]
        holes = [c for c in counts.columns[is_nullable] if counts[c].isna().any()]
        frame = frame.astype(dict.fromkeys(holes, "float64"))
    named = {name: _form(str(name), frame[name]) for name in frame if frame.columns.is_unique}
    rows, columns = (pd.get_option(f"display.max_{what}") for what in ("rows", "columns"))
    return frame.to_html(
        formatters={name: form for name, form in named.items() if form},
        max_rows=rows,
        max_cols=columns,
        na_rep=MISSING,
        notebook=True,
    )


def _form(name: str, values: pd.Series) -> Callable[[Any], str] | None:
    """How the values of a column are written; None for pandas' own way."""
    if pd.api.types.is_bool_dtype(values):
        return None
    if pd.api.types.is_numeric_dtype(values):
        is_share = name == "share" or name.endswith("_share")
        return shown_share if is_share else _counted
    is_text = values.dtype == object or pd.api.types.is_string_dtype(values)
    return _text if is_text else None


def _counted(value: Any) -> str:
    if pd.isna(value) or not float(value).is_integer():
        return shown_number(value)
    # a year or a number of a row is no amount
    return f"{int(value):,}" if abs(value) >= GROUPED_FROM else f"{int(value)}"


def _text(value: Any) -> str:
    # a column of several kinds keeps its numbers as they were written
    is_number = isinstance(value, float) or LONG_NUMBER.fullmatch(str(value))
    return shown_number(float(value)) if is_number else str(value)
