"""The bilingual glossary, looked up by a word of either language."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd

__all__ = ["entries", "look_up"]


@functools.cache
def entries() -> pd.DataFrame:
    """`data/glossary.csv`: english, chinese, meaning (empty where the words say
    enough).
    """
    return pd.read_csv(
        Path(__file__).resolve().parents[2] / "data" / "glossary.csv", dtype=str
    ).fillna("")


def look_up(word: str) -> pd.DataFrame:
    """The entries that hold the word in English or Chinese, whole matches first; empty
    when there is none.
    """
    sought = " ".join(str(word).split()).casefold()
    table = entries()
    spoken = table[["english", "chinese"]].apply(lambda column: column.str.casefold())
    found = spoken.apply(lambda column: column.str.contains(sought, regex=False)).any(
        axis=1
    ) & bool(sought)
    whole = (spoken == sought).any(axis=1)
    return pd.concat([table[whole], table[found & ~whole]], ignore_index=True)
