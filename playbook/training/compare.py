"""Is an answer the expected one, and if not, what kind of difference is it?

Numbers compare to half a percent, sets as sets, text without case, days as days, dicts
key by key. A table or series of one cell counts as its value. No answer, however odd,
raises.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

TOLERANCE = 0.005
YES = {"yes": True, "true": True, "是": True, "no": False, "false": False, "否": False}


def plain(value: Any) -> Any:
    """The value as one of: bool, int, float, str, set, list, dict, None; anything else
    as it came.
    """
    # an Ibis expression somebody did not execute
    if hasattr(value, "to_pandas") and hasattr(value, "op"):
        value = value.to_pandas()
    if isinstance(value, (pd.Series, pd.DataFrame, pd.Index, np.ndarray)):
        return _plain_table(value)
    for kinds, convert in CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    return value


def _plain_table(table: pd.Series | pd.DataFrame | pd.Index | np.ndarray) -> Any:
    if table.size == 1:
        return plain(np.asarray(table).reshape(-1)[0])
    return table if table.ndim > 1 else _plain_list(table)


def _plain_list(values: Iterable) -> list:
    return [plain(value) for value in values]


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


# kinds of values, in the order they are asked for -> how one becomes plain
CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((bool, np.bool_), bool),
    ((int, np.integer), int),
    ((float, np.floating, Decimal), float),
    ((type(None), type(pd.NaT), type(pd.NA)), lambda value: None),
    ((dt.date, np.datetime64), lambda day: str(pd.Timestamp(day).date())),
    (str, lambda text: " ".join(text.split()).casefold()),
    ((set, frozenset), lambda values: set(map(_hashable, _plain_list(values)))),
    (Mapping, lambda values: {_hashable(plain(k)): plain(v) for k, v in values.items()}),
    ((list, tuple), _plain_list),
)


def is_missing(value: Any) -> bool:
    """None, or a number that is not one."""
    value = plain(value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def same(expected: Any, answer: Any) -> bool:
    """Does the answer equal the expected value, in the sense of this module?"""
    try:
        return _same(plain(expected), plain(answer))
    # an answer can be anything a notebook holds
    except Exception:
        return False


def _same(expected: Any, answer: Any) -> bool:
    if isinstance(expected, bool):
        return (YES.get(answer) if isinstance(answer, str) else answer) is expected
    if is_missing(expected):
        return is_missing(answer)
    if isinstance(expected, (int, float)):
        return _is_number(answer) and _is_near(expected, answer)
    if isinstance(expected, set):
        return _as_set(answer) == expected
    if type(answer) is not type(expected):
        return False
    if isinstance(expected, str):
        return answer == expected
    if isinstance(expected, dict):
        return set(answer) == set(expected) and all(_same(expected[k], answer[k]) for k in expected)
    if isinstance(expected, list):
        return len(answer) == len(expected) and all(map(_same, expected, answer))
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_near(expected: float, answer: float) -> bool:
    # infinity is what it says
    if not math.isfinite(answer):
        return answer == expected
    return abs(answer - expected) <= TOLERANCE * abs(expected) + 1e-12


def difference(expected: Any, answer: Any) -> str:
    """The kind of difference of a wrong answer, and nothing more: `type`, `missing`,
    `too many`, `too few`, `other items`, `order`, `keys`, `sign`, `magnitude`, `size`
    (right sign and magnitude), `text`.
    """
    expected, answer = plain(expected), plain(answer)
    if is_missing(answer):
        return "missing"
    if isinstance(expected, bool):
        is_yes_or_no = isinstance(answer, bool) or (isinstance(answer, str) and answer in YES)
        return "text" if is_yes_or_no else "type"
    if isinstance(expected, (int, float)):
        return _difference_of_numbers(expected, answer) if _is_number(answer) else "type"
    if isinstance(expected, set):
        return _difference_of_sets(expected, _as_set(answer))
    if type(answer) is not (type(expected) if isinstance(expected, (str, dict)) else list):
        return "type"
    if isinstance(expected, str):
        return "text"
    if isinstance(expected, dict):
        return "size" if set(answer) == set(expected) else "keys"
    if len(answer) != len(expected):
        return "too few" if len(answer) < len(expected) else "too many"
    is_same_set = set(map(_hashable, answer)) == set(map(_hashable, expected))
    return "order" if is_same_set else "other items"


def _difference_of_numbers(expected: float, answer: float) -> str:
    if expected * answer < 0:
        return "sign"
    if expected and answer and math.isfinite(answer) and math.isfinite(expected):
        is_far = abs(math.log10(abs(answer / expected))) >= 0.75
        return "magnitude" if is_far else "size"
    return "size"


def _difference_of_sets(expected: set, answer: set | None) -> str:
    if answer is None:
        return "type"
    if answer < expected:
        return "too few"
    return "too many" if answer > expected else "other items"


def _as_set(answer: Any) -> set | None:
    if isinstance(answer, set):
        return answer
    if isinstance(answer, list):
        return {_hashable(v) for v in answer}
    return {answer} if isinstance(answer, str) else None
