"""What a caller gives: frames of one's own, and the day a question is asked as of.

`as_of` means the same in every function: a day, or a moment; a text `YYYY-MM-DD` is that
day, and a text `YYYY-MM` is the end of that month, as in `open_store(until=...)`.
"""

from __future__ import annotations

import calendar
import datetime as dt
import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from playbook.errors import PlaybookError

__all__ = ["columns_missing", "dated", "day_given", "nearest", "reads"]

Function = TypeVar("Function", bound=Callable[..., Any])
#: likeness of two names from which one is offered for the other
LIKE_ENOUGH = 0.6


def nearest(name: str, among: Iterable[str]) -> str:
    """The name most like a wanted one, whatever its capitals and marks; empty where none
    is near.
    """
    plain = {_plain(str(one)): str(one) for one in reversed(list(among))}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=LIKE_ENOUGH)
    return plain[near[0]] if near else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def columns_missing(table: str, missing: list[str], columns: Iterable[str]) -> PlaybookError:
    """The refusal of a frame that lacks columns: which, what came, the rename that may be
    meant.
    """
    there = [str(c) for c in columns]
    renames = {old: name for name in missing if (old := nearest(name, there))}
    return PlaybookError(
        "playbook.frame_columns",
        table=table,
        column=missing[0],
        missing=", ".join(missing),
        columns=", ".join(there),
        offer=f"rename(columns={renames!r})" if renames else "rename(columns={...})",
    )


def reads(**needed: str) -> Callable[[Function], Function]:
    """Says which columns a function needs of the tables it is given (parameter -> names,
    a space between; `{basis}` is the column another parameter names): in its docstring,
    and to a caller whose frame lacks one.
    """
    tables = {name: columns.split() for name, columns in needed.items()}

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind_partial(*args, **kwargs)
                bound.apply_defaults()
                given = bound.arguments
            except TypeError:
                given = {}  # the call itself says what is wrong with it
            for name, columns in tables.items():
                there = getattr(given.get(name), "columns", None)
                asked = [] if there is None else [c.format(**given) for c in columns]
                missing = [column for column in asked if column not in there]
                if missing:
                    raise columns_missing(name, missing, there)
            return function(*args, **kwargs)

        told = [f"    Reads of `{name}`: {', '.join(c)}." for name, c in tables.items()]
        text = "\n".join([function.__doc__ or "", *told, ""])
        function.__doc__ = checked.__doc__ = text
        return checked  # type: ignore[return-value]

    return decorate


def dated(function: Function) -> Function:
    """A function whose `as_of` may be written as text; see `day_given`."""
    place = list(inspect.signature(function).parameters).index("as_of")

    @functools.wraps(function)
    def with_day(*args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("as_of"), str):
            kwargs["as_of"] = day_given(kwargs["as_of"])
        elif len(args) > place and isinstance(args[place], str):
            args = (*args[:place], day_given(args[place]), *args[place + 1 :])
        return function(*args, **kwargs)

    return with_day  # type: ignore[return-value]


def day_given(text: str) -> dt.date:
    """The day a text means: `YYYY-MM-DD` itself, of `YYYY-MM` the last day of the month (a
    time of day after it is left out). PlaybookError for any other text.
    """
    found = re.fullmatch(r"(\d{4})-(\d\d)(?:-(\d\d)(?:[ T]\d\d:\d\d.*)?)?", text.strip())
    try:
        year, month = int(found[1]), int(found[2])
        last = calendar.monthrange(year, month)[1]
        return dt.date(year, month, int(found[3]) if found[3] else last)
    except (TypeError, ValueError):
        raise PlaybookError("playbook.no_day", given=text) from None
