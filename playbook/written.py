"""Numbers and days as people write them. What can be read in two ways is not guessed."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["day_written", "number_readings", "numbers_written"]

MARKS = (".", ",")
SPACED = re.compile(r"(?<=\d)[ ' ](?=\d{3}(?!\d))")
DAY = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})( 00:00(:00)?)?")


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
