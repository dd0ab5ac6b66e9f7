"""Numbers, days and texts as people write them. What can be read in two ways is not
guessed, and what no reader sees is not written.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["clean_text", "day_written", "number_readings", "numbers_written"]

MARKS = (".", ",")
SPACED = re.compile(r"(?<=\d)[ ' ](?=\d{3}(?!\d))")
# what would show a text in another order than it is written, or not at all
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
DAY = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})( 00:00(:00)?)?")


def clean_text(text: str) -> str:
    """The text without control characters and marks of direction, its lines ended alike: a
    lone carriage return begins a new line for one reader and none for another.
    """
    return UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def number_readings(text: str) -> dict[str, float]:
    """Decimal mark -> the number, for each of the two marks under which the text is one;
    empty where it is no number. `1.234` is 1.234 under a point and 1234 under a comma.
    """
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").replace("’", "'").strip()
    plain = SPACED.sub("", plain)
    found = {}
    for mark, thousands in zip(MARKS, MARKS[::-1], strict=True):
        grouped = rf"[1-9]\d{{0,2}}(\{thousands}\d{{3}})+"
        if re.fullmatch(rf"[+-]?({grouped}|\d+)(\{mark}\d+)?", plain):
            found[mark] = float(plain.replace(thousands, "").replace(mark, "."))
    return found


def numbers_written(texts: Iterable[str]) -> list[float | None]:
    """The numbers of one column; None for a text that is no number, and for one that could
    be two numbers where no other text of the column says which mark parts the decimals.
    """
    readings = [number_readings(text) for text in texts]
    told = {mark for found in readings if len(found) == 1 for mark in found}
    mark = told.pop() if len(told) == 1 else ""
    return [_settled(found, mark) for found in readings]


def _settled(found: dict[str, float], mark: str) -> float | None:
    values = set(found.values())
    return values.pop() if len(values) == 1 else found.get(mark)


def day_written(text: str) -> dt.date | None:
    """The day of a text with the year first; None where it is none."""
    match = DAY.fullmatch(text.strip())
    try:
        return dt.date(*map(int, match.groups()[:3])) if match else None
    except ValueError:
        return None
