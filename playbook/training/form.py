"""The form an answer is asked for, how what was handed in is read, and when it is right.

A form is written in the exercise's YAML as `kind` or `kind digits`, of a table
`table kind digits` (what stands beside each name):

    count       whole things that are counted: exact
    money       an amount, to so many decimals
    number      a plain number or ratio, to so many decimals
    share       a share or a percentage with its sign, to so many decimals of the share
    days        a length of time in days
    date        a day; month, weekday: as they say
    dates       a set of days
    choice      a letter, or the words beside it
    name        one of the names in the data
    set         names, the order does not matter; list: names in order
    table       name -> value, as a dict, a Series or a table of two columns
    months      in a table: a number of months, or `not yet`
    thought     a text

`read` takes what people hand in (a number or a text, a list, tuple, set, Series, Index,
array or table, a NumPy scalar, a Decimal, an Ibis expression nobody executed) and gives
the plain value; `agrees` compares it by the digits asked for.
"""

from __future__ import annotations

import datetime as dt
import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from playbook.training.typed import (
    COUNTED,
    DAYS,
    MONEY,
    WEEKDAYS,
    read_day,
    read_month,
    read_number,
    read_weekday,
    tidy,
)

__all__ = ["KINDS_OF_ANSWER", "Form", "NotThisKind", "agrees", "form_of", "plain", "read"]

NUMBERS = ("count", "money", "number", "share", "days")
KINDS_OF_ANSWER = (
    *NUMBERS,
    "date",
    "month",
    "weekday",
    "dates",
    "choice",
    "name",
    "set",
    "list",
    "table",
    "thought",
)
UNITS = {"money": MONEY, "days": DAYS, "count": COUNTED}
#: of the last digit asked for: a longer answer this near is the same figure
FINER = 0.05
NOT_YET = ("not yet", "还没有", "尚未", "未回本")
SEPARATORS = re.compile(r"[,;、\n]| > ")


class NotThisKind(TypeError):
    """The answer cannot be read as the kind that is asked for."""


@dataclass(frozen=True)
class Form:
    """`kind` of KINDS_OF_ANSWER, decimals asked for, and of a table the kind of its
    values.
    """

    kind: str
    digits: int = 0
    of: str = ""

    @property
    def unit(self) -> float:
        """One of the last digit asked for."""
        return 10.0**-self.digits

    @property
    def inner(self) -> Form:
        """The form of one value of a table."""
        return Form(self.of, self.digits)


def form_of(text: str) -> Form:
    """`money 2`, `set`, `table share 4`; ValueError for a kind there is not."""
    kind, *rest = text.split()
    inside = rest.pop(0) if kind == "table" and rest else ""
    digits = int(rest.pop(0)) if rest else 0
    is_table = kind == "table"
    if kind not in KINDS_OF_ANSWER or rest or (inside in ("months", *NUMBERS)) != is_table:
        raise ValueError(f"there is no form of an answer {text!r}")
    return Form(kind, digits, inside)


def plain(value: Any) -> Any:
    """A scalar as bool, int, float, str, date or None; anything else as it came."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, dt.datetime):
        return None if value is pd.NaT else value.date()
    if isinstance(value, (dt.date, pd.Period, str)):
        return str(value) if isinstance(value, pd.Period) else value
    if isinstance(value, numbers.Integral):
        return int(value)
    is_real = isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, bool)
    return float(value) if is_real else value


def read(form: Form, answer: Any, names: Iterable[str] = ()) -> Any:
    """The answer as a plain value of its kind: int or float, a date, a text, a set, a
    list or a dict; None for a missing value.

    `names` are the keys of a table, or the members of a set, that is asked for. Raises
    `typed.Unclear` for a text with two readings, `NotThisKind` for anything else that
    cannot be read.
    """
    if hasattr(answer, "to_pandas") and hasattr(answer, "op"):
        answer = answer.to_pandas()
    if form.kind == "table":
        return _table(form, answer, set(names))
    if form.kind in ("set", "list", "dates"):
        # a name may hold a comma
        is_one_name = isinstance(answer, str) and _text(answer) in set(names)
        return READERS[form.kind]([answer] if is_one_name else answer)
    if form.kind in NUMBERS and isinstance(answer, tuple) and len(answer) > 1:
        # somebody typed 1,234 into a cell of code
        answer = ",".join(map(str, answer))
    answer = plain(_one(answer))
    if is_missing(answer):
        return None
    return _number(form, answer) if form.kind in NUMBERS else READERS[form.kind](answer)


def is_missing(value: Any) -> bool:
    """None, or a number that is not one."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _one(answer: Any) -> Any:
    """The only member of a list, set, Series, Index, array or table; else as it came."""
    if isinstance(answer, (pd.Series, pd.DataFrame, pd.Index, np.ndarray)):
        return np.asarray(answer, dtype=object).reshape(-1)[0] if answer.size == 1 else answer
    is_many = isinstance(answer, (list, tuple, set, frozenset))
    return next(iter(answer)) if is_many and len(answer) == 1 else answer


def _number(form: Form, answer: Any) -> float:
    if isinstance(answer, str):
        found = read_number(
            answer, unit=UNITS.get(form.kind), digits=form.digits, is_count=form.kind == "count"
        )
        is_strange = found is not None and found.is_percent and form.kind in UNITS
        if found is None or is_strange:
            raise NotThisKind(answer)
        return found.value
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        raise NotThisKind(answer)
    return answer


def _text(answer: Any) -> str:
    if not isinstance(answer, str):
        raise NotThisKind(answer)
    return tidy(answer).strip("\"'“”‘’「」").strip().casefold()


def _choice(answer: Any) -> str:
    """`b` of `B`, `b)`, `(b)`, `b.`; a longer text as it is."""
    found = re.fullmatch(r"[(（]?([a-z])[)）.:]?", text := _text(answer))
    return found[1] if found else text


def _day(answer: Any) -> dt.date:
    found = answer if isinstance(answer, dt.date) else None
    if isinstance(answer, str):
        found = read_day(answer)
    if found is None:
        raise NotThisKind(answer)
    return found


def _month(answer: Any) -> str:
    if isinstance(answer, dt.date):
        return f"{answer:%Y-%m}"
    found = read_month(answer) if isinstance(answer, str) else None
    if found is None:
        raise NotThisKind(answer)
    return found


def _weekday(answer: Any) -> str:
    if isinstance(answer, dt.date):
        return WEEKDAYS[answer.weekday()]
    found = read_weekday(answer) if isinstance(answer, str) else None
    if found is None:
        raise NotThisKind(answer)
    return found


def _members(answer: Any) -> list[Any]:
    """What is listed, in order: of a Series of numbers its index, of a dict its keys, of
    a text its parts.
    """
    if isinstance(answer, str):
        text = answer.strip().strip("[](){}")
        parts = SEPARATORS.split(text.replace("，", ",").replace("；", ";"))
        return [part for part in parts if part.strip()]
    if isinstance(answer, pd.DataFrame) and answer.shape[1] == 1:
        answer = answer.iloc[:, 0]
    if isinstance(answer, pd.Series):
        is_labelled = not isinstance(answer.index, pd.RangeIndex)
        is_counts = pd.api.types.is_numeric_dtype(answer)
        return list(answer.index if is_labelled and is_counts else answer)
    if isinstance(answer, (pd.Index, np.ndarray, Mapping, list, tuple, set, frozenset)):
        return list(answer)
    if isinstance(answer, (dt.date, np.datetime64)):
        return [answer]
    raise NotThisKind(answer)


def _set(answer: Any) -> set[str]:
    return {_text(plain(one)) for one in _members(answer)}


def _list(answer: Any) -> list[str]:
    if isinstance(answer, (set, frozenset)):
        raise NotThisKind(answer)
    return [_text(plain(one)) for one in _members(answer)]


def _dates(answer: Any) -> set[dt.date]:
    return {_day(plain(one)) for one in _members(answer)}


def _table(form: Form, answer: Any, names: set[str]) -> dict[str, Any]:
    """Name -> value. A table of two columns holds names and values; of one row, or of
    one column beside named rows, the names are its labels.
    """
    if isinstance(answer, pd.DataFrame):
        answer = _pairs_of(answer)
    if isinstance(answer, pd.Series):
        answer = answer.to_dict()
    if isinstance(answer, (list, tuple)) and all(
        isinstance(one, (list, tuple)) and len(one) == 2 for one in answer
    ):
        answer = dict(answer)
    if not isinstance(answer, Mapping):
        raise NotThisKind(answer)
    values = {_text(plain(name)): value for name, value in answer.items()}
    # names that were not asked for are told before their values are read
    if names and set(values) != names:
        return dict.fromkeys(values)
    return {name: _value(form.inner, value) for name, value in values.items()}


def _pairs_of(table: pd.DataFrame) -> Any:
    if table.shape[1] == 1 and not isinstance(table.index, pd.RangeIndex):
        return table.iloc[:, 0]
    is_named = table.shape[1] == 2 and all(isinstance(name, str) for name in table.iloc[:, 0])
    if is_named and isinstance(table.index, pd.RangeIndex):
        return dict(table.itertuples(index=False, name=None))
    return table.iloc[0] if len(table) == 1 else table


def _value(form: Form, value: Any) -> Any:
    if form.kind != "months":
        return read(form, value)
    value = plain(_one(value))
    if isinstance(value, str) and _text(value) in NOT_YET:
        return NOT_YET[0]
    return None if is_missing(value) else _number(Form("number"), value)


READERS: dict[str, Callable[[Any], Any]] = {
    "date": _day,
    "month": _month,
    "weekday": _weekday,
    "choice": _choice,
    "name": _text,
    "thought": _text,
    "set": _set,
    "list": _list,
    "dates": _dates,
}


def agrees(form: Form, expected: Any, answer: Any) -> bool:
    """Are two values that `read` gave the same, to the digits asked for?"""
    if is_missing(expected) or is_missing(answer):
        return is_missing(expected) and is_missing(answer)
    if form.kind == "table":
        return set(answer) == set(expected) and all(
            agrees(form.inner, expected[name], answer[name]) for name in expected
        )
    if form.kind in NUMBERS or (form.kind == "months" and isinstance(expected, (int, float))):
        return isinstance(answer, (int, float)) and _is_near(form, expected, answer)
    return answer == expected


def _is_near(form: Form, expected: float, answer: float) -> bool:
    """Counted things exactly; else right in its digits. A longer answer has to round to
    the same digits, or differ by next to nothing of the last one.
    """
    if not (math.isfinite(answer) and math.isfinite(expected)):
        return answer == expected
    if form.kind == "count":
        return answer == expected
    if form.kind == "months":
        return abs(answer - expected) <= FINER
    off = abs(answer - expected) / form.unit
    noise = 1e-9 * max(1.0, abs(expected) / form.unit)
    steps = answer / form.unit
    is_as_asked = abs(steps - round(steps)) <= noise
    is_same_digits = math.floor(steps + 0.5) == math.floor(expected / form.unit + 0.5)
    return off <= FINER + noise or (off <= 0.5 + noise and (is_as_asked or is_same_digits))
