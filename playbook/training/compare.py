"""What kind of difference there is between a wrong answer and the right one, and nothing
more: never the value itself.

Both were read by `playbook.training.form.read`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from playbook.training.form import NUMBERS, Form, agrees, is_missing

#: powers of ten between two numbers of another order of magnitude
FAR = 0.75


class Difference(NamedTuple):
    """`kind`: missing, keys, parts (of a table: `names` are those that are wrong), too
    few, too many, other items, order, percent (a percentage without its sign), digits
    (right, in fewer digits than asked for), whole (a count that is none), sign,
    magnitude, size (right sign and magnitude) or text.
    """

    kind: str
    names: tuple[str, ...] = ()


def difference(form: Form, expected: Any, answer: Any) -> Difference:
    """How an answer that was read, and is wrong, differs from the expected value."""
    if is_missing(answer):
        return Difference("missing")
    if form.kind in NUMBERS:
        return Difference(_of_numbers(form, expected, answer))
    if form.kind in ("set", "dates"):
        return Difference(_of_sets(expected, answer))
    if form.kind == "table":
        return _of_tables(form, expected, answer)
    return Difference(_of_lists(expected, answer) if form.kind == "list" else "text")


def _of_numbers(form: Form, expected: float, answer: float) -> str:
    if not math.isfinite(answer):
        return "size"
    if form.kind == "count" and answer != round(answer):
        return "whole"
    in_percent = Form("number", max(form.digits - 2, 0))
    if form.kind == "share" and agrees(in_percent, 100 * expected, answer):
        return "percent"
    if expected * answer < 0:
        return "sign"
    if form.kind != "count" and _is_shorter(form, expected, answer):
        return "digits"
    if expected and answer:
        is_far = abs(math.log10(abs(answer / expected))) >= FAR
        return "magnitude" if is_far else "size"
    return "size"


def _is_shorter(form: Form, expected: float, answer: float) -> bool:
    """Right once rounded to fewer digits than were asked for."""
    fewer = [digits for digits in range(form.digits) if round(answer, digits) == answer]
    shorter = (Form(form.kind, digits) for digits in fewer)
    return answer != 0 and any(agrees(one, expected, answer) for one in shorter)


def _of_sets(expected: set, answer: set) -> str:
    if answer < expected:
        return "too few"
    return "too many" if answer > expected else "other items"


def _of_lists(expected: list, answer: list) -> str:
    if len(answer) != len(expected):
        return "too few" if len(answer) < len(expected) else "too many"
    return "order" if sorted(answer) == sorted(expected) else "other items"


def _of_tables(form: Form, expected: dict, answer: dict) -> Difference:
    if set(answer) != set(expected):
        return Difference("keys")
    wrong = [name for name in expected if not agrees(form.inner, expected[name], answer[name])]
    return Difference("parts", tuple(wrong))
