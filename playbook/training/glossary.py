"""The bilingual glossary, looked up by a word of either language."""

from __future__ import annotations

import functools

import pandas as pd
from pandas import DataFrame

from playbook.places import shipped

GLOSSARY = shipped("data", "glossary.csv")


@functools.cache
def entries() -> DataFrame:
    """`data/glossary.csv`: english, chinese, meaning (empty where the words say
    enough).
    """
    return pd.read_csv(GLOSSARY, dtype=str, keep_default_na=False)


def look_up(word: str) -> DataFrame:
    """The entries that hold the word in English or Chinese, whole matches first; empty
    when there is none.
    """
    sought = " ".join(str(word).split()).casefold()
    table = entries()
    if not sought:
        return table.head(0)
    spoken = table[["english", "chinese"]].apply(lambda words: words.str.casefold())
    holds = spoken.apply(lambda words: words.str.contains(sought, regex=False)).any(axis=1)
    is_whole = (spoken == sought).any(axis=1)
    return pd.concat([table[is_whole], table[holds & ~is_whole]], ignore_index=True)
