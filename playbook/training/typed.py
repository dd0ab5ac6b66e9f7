"""What people type, read as a number, a day, a month or a weekday.

Full-width characters are taken as their plain ones, a typographic minus as a minus. A
text that two readers would read as two things is `Unclear`: it is asked back, not
guessed. None means that it is no such thing.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from typing import NamedTuple

MINUS = str.maketrans({"−": "-", "–": "-", "‒": "-", "﹣": "-"})
#: what may stand before or after an amount of money
MONEY = re.compile(r"[€$£¥₩₫₹฿]|\b[A-Z]{3}\b|欧元|美元|人民币|元|块")
DAYS = re.compile(r"\bdays?\b|天|日", re.IGNORECASE)
COUNTED = re.compile(
    r"\b(orders?|customers?|visitors?|cells?|units?)\b|笔|单|位|人|件|个|格", re.IGNORECASE
)
#: Chinese writes large numbers in these
LARGE = {"万": 1e4, "亿": 1e8}
NUMBER = re.compile(r"([+-]?)(\d[\d.,' ]*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
GROUPS = r"\d{1,3}(?:[%s]\d{2,3})*[%s]\d{3}"
MONTHS = {
    name: place
    for place, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sep sept",
            "october oct",
            "november nov",
            "december dec",
        ),
        start=1,
    )
    for name in names.split()
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CHINESE_WEEKDAY = re.compile(r"(?:星期|礼拜|周)([一二三四五六日天])")


class Unclear(ValueError):
    """A text with two readings."""

    def __init__(self, text: str, *readings: object) -> None:
        super().__init__(text)
        self.text, self.readings = text, readings


class Number(NamedTuple):
    """A number, and whether it was typed as a percentage (`value` is the share then)."""

    value: float
    is_percent: bool = False


def tidy(text: str) -> str:
    """One space between words, none at the ends, plain characters for full-width ones."""
    plain = unicodedata.normalize("NFKC", text).translate(MINUS)
    digits = (str(unicodedata.decimal(one)) if one.isdecimal() else one for one in plain)
    return " ".join("".join(digits).split())


def read_number(
    text: str, *, unit: re.Pattern | None = None, digits: int = 0, is_count: bool = False
) -> Number | None:
    """The number of a text: `1234.5`, `1,234.5`, `1 234,50`, `1'234.50`, `2.9 %`, `1.2万`.

    `unit` may stand beside it. One separator before three digits says thousands to one
    reader and decimals to another. Where whole things are counted it can only be
    thousands; a comma is, too, where no decimals are asked for, and a point is decimal
    where three of them are. Anything else is `Unclear`.
    """
    body = tidy(text)
    if unit is not None:
        body = unit.sub("", body).strip()
    is_percent = body.endswith("%")
    body = body.removesuffix("%").strip()
    large = LARGE.get(body[-1:], 1.0)
    body = body.rstrip("".join(LARGE)).strip()
    found = NUMBER.fullmatch(body)
    if not found:
        return None
    sign, figure, power = found.groups()
    if power:
        # nobody groups thousands before a power of ten
        figure = figure.replace(",", ".")
        value = float(figure) if figure.count(".") < 2 else None
    else:
        value = _figure(figure.strip(), text, digits, is_count=is_count)
    if value is None:
        return None
    value *= large * float("1" + (power or "")) * (-1 if sign == "-" else 1)
    return Number(value / 100 if is_percent else value, is_percent)


def _figure(figure: str, text: str, digits: int, *, is_count: bool) -> float | None:
    """Digits with their separators as a number; None where they are not well formed."""
    for mark in (" ", "'"):
        if mark in figure:
            whole = re.match(r"\d{1,3}(?:[ ']\d{3})+", figure)
            if not whole or re.search("[ ']", figure[whole.end() :]):
                return None
            figure = re.sub("[ ']", "", figure)
    marks = [one for one in figure if one in ".,"]
    if len(set(marks)) == 2:
        group, point = marks[0], marks[-1]
        whole, _, rest = figure.rpartition(point)
        is_well_formed = marks.count(point) == 1 and _is_grouped(whole, group)
        return float(f"{whole.replace(group, '')}.{rest or 0}") if is_well_formed else None
    if len(marks) > 1:
        return float(figure.replace(marks[0], "")) if _is_grouped(figure, marks[0]) else None
    if not marks:
        return float(figure)
    return _one_mark(figure, marks[0], text, digits, is_count=is_count)


def _is_grouped(figure: str, mark: str) -> bool:
    return bool(re.fullmatch(GROUPS % (mark, mark), figure))


def _one_mark(figure: str, mark: str, text: str, digits: int, *, is_count: bool) -> float:
    whole, rest = figure.split(mark)
    grouped, decimal = whole + rest, f"{whole or 0}.{rest or 0}"
    if len(rest) != 3 or len(whole) > 3 or whole.startswith("0") or not whole:
        return float(decimal)
    if is_count or (mark == "," and digits == 0):
        return float(grouped)
    if mark == "." and digits == 3:
        return float(decimal)
    raise Unclear(tidy(text), grouped, decimal)


def read_day(text: str) -> dt.date | None:
    """The day of a text: `2026-10-03`, `2026/10/3`, `20261003`, `3 Oct 2026`,
    `Oct 3, 2026`, `2026年10月3日`. `03/10/2026` has two readings.
    """
    body = tidy(text).casefold()
    if found := re.fullmatch(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[t ][\d:.]*)?", body):
        return _day(*found.groups())
    if found := re.fullmatch(r"(\d{4})(\d{2})(\d{2})", body):
        return _day(*found.groups())
    if found := re.fullmatch(r"(\d{4}) ?年 ?(\d{1,2}) ?月 ?(\d{1,2}) ?[日号]", body):
        return _day(*found.groups())
    if found := re.fullmatch(r"(\d{1,2})\.? ([a-z]+)\.?,? (\d{4})", body):
        return _named_day(found[3], found[2], found[1])
    if found := re.fullmatch(r"([a-z]+)\.? (\d{1,2}),? (\d{4})", body):
        return _named_day(found[3], found[1], found[2])
    if found := re.fullmatch(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", body):
        one, other, year = found.groups()
        readings = {_day(year, other, one), _day(year, one, other)} - {None}
        if len(readings) > 1:
            raise Unclear(tidy(text), *sorted(map(str, readings)))
        return readings.pop() if readings else None
    return None


def _day(year: str, month: str | int, day: str) -> dt.date | None:
    try:
        return dt.date(int(year), int(month), int(day))
    except ValueError:
        return None


def _named_day(year: str, month: str, day: str) -> dt.date | None:
    return _day(year, MONTHS[month], day) if month in MONTHS else None


def read_month(text: str) -> str | None:
    """The month of a text as YYYY-MM: `2026-10`, `2026/10`, `10/2026`, `202610`,
    `Oct 2026`, `October 2026`, `2026年10月`.
    """
    body = tidy(text).casefold()
    for pattern in (r"(\d{4})[-/.](\d{1,2})", r"(\d{4})(\d{2})", r"(\d{4}) ?年 ?(\d{1,2}) ?月"):
        if found := re.fullmatch(pattern, body):
            return _month(found[1], int(found[2]))
    if found := re.fullmatch(r"(\d{1,2})[-/.](\d{4})", body):
        return _month(found[2], int(found[1]))
    if found := re.fullmatch(r"([a-z]+)\.?,? (\d{4})", body):
        return _month(found[2], MONTHS.get(found[1], 0))
    if found := re.fullmatch(r"(\d{4}) ([a-z]+)", body):
        return _month(found[1], MONTHS.get(found[2], 0))
    return None


def _month(year: str, month: int) -> str | None:
    return f"{year}-{month:02d}" if 1 <= month <= 12 else None


def read_weekday(text: str) -> str | None:
    """The weekday of a text in English, small letters: `Sat`, `Saturday`, `周六`, `星期六`."""
    body = tidy(text).casefold().rstrip(".")
    if found := CHINESE_WEEKDAY.fullmatch(body):
        return WEEKDAYS["一二三四五六日".index(found[1].replace("天", "日"))]
    if len(body) < 3:
        return None
    return next((name for name in WEEKDAYS if name.startswith(body)), None)
