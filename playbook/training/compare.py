"""Is an answer the expected one, and if not, what kind of difference is it?

Numbers compare to half a percent, sets as sets, text without case, days as days, dicts
key by key. A table or series of one cell counts as its value. No answer, however odd,
raises.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["TOLERANCE", "difference", "is_missing", "plain", "same"]

TOLERANCE = 0.005
YES = {"yes": True, "true": True, "是": True, "no": False, "false": False, "否": False}


def plain(value: Any) -> Any:
    """The value as one of: bool, int, float, str, set, list, dict, None; anything else
    as it came.
    """
    if hasattr(value, "to_pandas") and hasattr(
        value, "op"
    ):  # an Ibis expression somebody did not execute
        value = value.to_pandas()
    if isinstance(value, (pd.Series, pd.DataFrame, pd.Index, np.ndarray)):
        if value.size == 1:
            return plain(np.asarray(value).reshape(-1)[0])
        return (
            value
            if isinstance(value, pd.DataFrame) or value.ndim > 1
            else [plain(v) for v in list(value)]
        )
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating, Decimal)):
        return float(value)
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, (dt.datetime, np.datetime64)):
        return str(pd.Timestamp(value).date())
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    if isinstance(value, (set, frozenset)):
        return {_hashable(plain(v)) for v in value}
    if isinstance(value, Mapping):
        return {_hashable(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def is_missing(value: Any) -> bool:
    """None, or a number that is not one."""
    value = plain(value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def same(expected: Any, answer: Any) -> bool:
    """Does the answer equal the expected value, in the sense of this module?"""
    try:
        return _same(plain(expected), plain(answer))
    except Exception:  # an answer can be anything a notebook holds
        return False


def _same(expected: Any, answer: Any) -> bool:
    if isinstance(expected, bool):
        return (YES.get(answer) if isinstance(answer, str) else answer) is expected
    if is_missing(expected):
        return is_missing(answer)
    if isinstance(expected, (int, float)):
        if (
            isinstance(answer, bool)
            or not isinstance(answer, (int, float))
            or not math.isfinite(answer)
        ):
            return isinstance(answer, float) and answer == expected  # infinity is what it says
        return abs(answer - expected) <= TOLERANCE * abs(expected) + 1e-12
    if isinstance(expected, str):
        return isinstance(answer, str) and answer == expected
    if isinstance(expected, set):
        found = _as_set(answer)
        return found is not None and found == expected
    if isinstance(expected, dict):
        if not isinstance(answer, dict) or set(answer) != set(expected):
            return False
        return all(_same(value, answer[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return (
            isinstance(answer, list)
            and len(answer) == len(expected)
            and all(map(_same, expected, answer))
        )
    return False


def difference(expected: Any, answer: Any) -> str:
    """The kind of difference of a wrong answer, and nothing more: `type`, `missing`,
    `too many`, `too few`, `other items`, `order`, `keys`, `sign`, `magnitude`, `size`
    (right sign and magnitude), `text`.
    """
    expected, answer = plain(expected), plain(answer)
    if is_missing(answer):
        return "missing"
    if isinstance(expected, bool):
        return (
            "text"
            if isinstance(answer, bool) or (isinstance(answer, str) and answer in YES)
            else "type"
        )
    if isinstance(expected, (int, float)):
        if isinstance(answer, bool) or not isinstance(answer, (int, float)):
            return "type"
        if expected * answer < 0:
            return "sign"
        if expected and answer and math.isfinite(answer) and math.isfinite(expected):
            return "magnitude" if abs(math.log10(abs(answer / expected))) >= 0.75 else "size"
        return "size"
    if isinstance(expected, str):
        return "text" if isinstance(answer, str) else "type"
    if isinstance(expected, set):
        found = _as_set(answer)
        if found is None:
            return "type"
        return "too few" if found < expected else "too many" if found > expected else "other items"
    if isinstance(expected, dict):
        if not isinstance(answer, dict):
            return "type"
        return "keys" if set(answer) != set(expected) else "size"
    if not isinstance(answer, list):
        return "type"
    if len(answer) != len(expected):
        return "too few" if len(answer) < len(expected) else "too many"
    return (
        "order"
        if {_hashable(v) for v in answer} == {_hashable(v) for v in expected}
        else "other items"
    )


def _as_set(answer: Any) -> set | None:
    if isinstance(answer, set):
        return answer
    if isinstance(answer, list):
        return {_hashable(v) for v in answer}
    return {answer} if isinstance(answer, str) else None


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value
