"""The schema of result tables: one home for a table's grain and columns.

A chapter's tables stand under `tables` in its `chapter.yaml`, those of another room in
its `tables.yaml`: a grain and, column by column, what it holds; or, under `like`, the
table whose columns it has. From there come the
docstring of the function that makes the table (`returns`), its empty frame (`empty`) and
the test of its columns.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pandas import DataFrame

from playbook.chapters.registry import room_facts
from playbook.given import dated
from playbook.messages import PACKAGE, read_yaml

__all__ = ["Schema", "empty", "frame_of", "returns", "schema"]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Schema:
    """One result table: its name (`room.table`), its grain, and column -> what it holds.

    `optional` are columns that come only where their source is there; a name with `*`
    stands for one column per channel or the like.
    """

    name: str
    grain: str
    columns: Mapping[str, str]
    optional: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """The columns that always come, in order."""
        return list(self.columns)

    def problem(self, frame: DataFrame) -> str:
        """What is wrong with the columns of a frame; empty when nothing is."""
        found = [str(c) for c in frame.columns]
        missing = [c for c in self.columns if c not in found]
        unknown = [c for c in found if c not in self.columns and not self._is_optional(c)]
        told = [f"misses {', '.join(missing)}"] * bool(missing)
        told += [f"has {', '.join(unknown)} that nobody describes"] * bool(unknown)
        return f"{self.name} {' and '.join(told)}" if told else ""

    def _is_optional(self, column: str) -> bool:
        return any(fnmatch.fnmatchcase(column, pattern) for pattern in self.optional)


@functools.cache
def schema(name: str) -> Schema:
    """The schema of `room.table`; KeyError where the room describes no such table."""
    room, _, table = name.partition(".")
    facts = _tables(room)[table]
    if "like" in facts:
        return replace(schema(facts["like"]), name=name, grain=facts["grain"])
    return Schema(
        name,
        facts["grain"],
        facts["columns"],
        facts.get("optional") or {},
    )


@functools.cache
def _tables(room: str) -> dict[str, Any]:
    beside = PACKAGE / room / "tables.yaml"
    return read_yaml(beside) if beside.exists() else room_facts(room)["tables"]


def empty(name: str) -> DataFrame:
    """The table `room.table` without rows."""
    return DataFrame(columns=schema(name).names)


def frame_of(name: str, rows: list[Any]) -> DataFrame:
    """Rows (dicts, or tuples in the schema's order) as the table `room.table`."""
    return DataFrame(rows, columns=schema(name).names)


def returns(name: str) -> Callable[[Function], Function]:
    """Says that a function gives the table `room.table`, and adds its columns to the
    docstring. The columns are checked on the way out: ValueError where they differ. An
    `as_of` may be text, as everywhere (playbook/given.py).
    """
    described = schema(name)

    def decorate(function: Function) -> Function:
        has_day = "as_of" in inspect.signature(function).parameters
        made = dated(function) if has_day else function

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> DataFrame:
            frame = made(*args, **kwargs)
            if problem := described.problem(frame):
                raise ValueError(problem)
            return frame

        # the plain function too: tools that read docstrings look behind the decorator
        function.__doc__ = checked.__doc__ = f"{function.__doc__ or ''}\n{_columns_text(described)}"
        return checked  # type: ignore[return-value]

    return decorate


def _columns_text(described: Schema) -> str:
    lines = [f"Gives {described.grain}:", ""]
    for name, meaning in {**described.columns, **described.optional}.items():
        told = f"- {name}: {meaning}" + (" (where known)" if name in described.optional else "")
        lines += textwrap.wrap(told, 88, subsequent_indent="  ")
    return textwrap.indent("\n".join(lines), "    ") + "\n"
