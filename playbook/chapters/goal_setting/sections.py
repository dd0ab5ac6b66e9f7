"""Sections of the notebook that may lack their data: nothing in, nothing out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import ibis
from pandas import DataFrame

from playbook.runs.results import Results

__all__ = ["Table", "attempt", "draw", "given", "keep", "of"]

#: a table of the store, or a frame in its columns
Table = ibis.Table | DataFrame
Made = TypeVar("Made")


def of(data: object, make: Callable[..., Made], *more: object, **knobs: object) -> Made | None:
    """What `make` makes of the data; None where there is none."""
    return None if data is None else make(data, *more, **knobs)


def attempt(
    results: Results,
    data: object,
    make: Callable[..., Made],
    *more: object,
    section: str,
    **knobs: object,
) -> Made | None:
    """What `make` makes of the data; None where there is none, or where it refuses: its
    refusal blocks the section.
    """
    return (
        None
        if data is None
        else results.attempt(
            section,
            make,
            data,
            *more,
            **knobs,
        )
    )


def given(results: Results, table: str, *, section: str, owner_role: str) -> Table | None:
    """A table of the shop; or None, and the section noted as blocked."""
    is_there = results.needs(table, section=section, owner_role=owner_role)
    return results.shop.get(table) if is_there else None


def keep(
    results: Results,
    name: str,
    frame: DataFrame | None,
    shown: list[str] | None = None,
    *,
    digits: int = 2,
    form: str = "",
    rows: str = "",
    otherwise: str = "",
) -> DataFrame | None:
    """Keep a result table and print it (its columns `shown`, and the `rows` of a query;
    numbers to `digits` or in a `form`), or print `otherwise` where the section has none.
    """
    if frame is not None:
        results.table(name, frame)
        table = (frame.query(rows) if rows else frame)[shown or list(frame)]
        numbers = dict.fromkeys(table.select_dtypes("number"), digits)
        table = table if form else table.round(numbers)
        print(table.to_string(index=False, float_format=form.format if form else None))
    elif otherwise:
        print(otherwise)
    return frame


def draw(
    results: Results, name: str, data: object, plot: Callable[..., object], **knobs: object
) -> None:
    """Keep the picture of some data, where there is any."""
    if data is not None:
        results.figure(name, plot(data, **knobs))
