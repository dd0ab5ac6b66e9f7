"""Sections of the notebook that may lack their data: nothing in, nothing out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import pandas as pd

from playbook.runs.results import Results

__all__ = ["draw", "if_known", "keep"]

Given = TypeVar("Given")


def if_known(function: Callable[..., Given]) -> Callable[..., Given | None]:
    """Lets a function give None where its first argument is None: its section is left
    out.
    """

    @functools.wraps(function)
    def given(first: object, *args: object, **knobs: object) -> Given | None:
        return None if first is None else function(first, *args, **knobs)

    return given


def keep(
    results: Results,
    name: str,
    frame: pd.DataFrame | None,
    shown: list[str] | None = None,
    *,
    digits: int = 2,
    otherwise: str = "",
) -> pd.DataFrame | None:
    """Keep a result table and print its columns `shown` (all unless given), or print
    `otherwise` where the section has none.
    """
    if frame is None:
        print(otherwise, end="\n" * bool(otherwise))
    else:
        results.table(name, frame)
        print(frame[shown or list(frame)].round(digits).to_string(index=False))
    return frame


def draw(
    results: Results, name: str, plot: Callable[..., object], frame: object, **knobs: object
) -> None:
    """Keep the picture of a table, where there is one."""
    if frame is not None:
        results.figure(name, plot(frame, **knobs))
