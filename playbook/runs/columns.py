"""Columns of result tables as people read them: their names in each language, and the form
of their numbers, from `columns.yaml`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from playbook.messages import LANGUAGES, label, language, read_yaml, speaking

__all__ = ["column_named", "forms_of", "heading"]


def heading(column: str) -> str:
    """A column's heading in the language in use: its word, else its name here, else its
    code in words.
    """
    known = label("words", column)
    if known != column:
        return known
    return _columns().get(column, {}).get(language(), column.replace("_", " "))


def column_named(text: str, among: Iterable[str]) -> str:
    """The column that a heading in any language, or its code, names; the text itself in
    small letters where it names none of these.
    """
    plain = text.strip().lower()
    for column in among:
        names = {column}
        for one in LANGUAGES:
            with speaking(one):
                names.add(heading(column).lower())
        if plain in names:
            return column
    return plain


def forms_of(columns: Iterable[str]) -> dict[str, str]:
    """Column -> the form of its numbers (money, share, count, figure, day); empty where its
    rows decide. A column stated as `before` takes the form of the one before it.
    """
    forms: dict[str, str] = {}
    last = ""
    for column in columns:
        stated = _columns().get(column, {}).get("as", "share" if _is_share(column) else "")
        forms[column] = last = last if stated == "before" else stated
    return forms


def _is_share(column: str) -> bool:
    return column == "share" or column.endswith(("_share", "_change"))


@functools.cache
def _columns() -> dict[str, dict[str, str]]:
    return read_yaml(Path(__file__).with_name("columns.yaml"))
