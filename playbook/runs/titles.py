"""Titles of the products that a month's decisions and tables name, so that nobody has to
know a sku by heart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.store import Store

__all__ = ["named_titles", "told_titles", "with_titles"]

SEVERAL = re.compile(r"\s*(?:,|\+)\s+")  # what stands between the skus of one subject
MOST_SKUS = 3000  # of a month's decisions that are looked up
LONGEST = 40  # letters of a title


def named_titles(shop: Store, month: Path) -> dict[str, str]:
    """Sku -> title of the products the decisions of a month folder name; empty where the
    shop has no titles.
    """
    paths = sorted(month.glob("*/decisions.parquet"))
    subjects = [subject for path in paths for subject in pd.read_parquet(path).subject]
    skus = sorted({part for subject in subjects for part in SEVERAL.split(str(subject))})
    return _titles(shop, skus[:MOST_SKUS])


def with_titles(shop: Store, frame: DataFrame, *columns: str) -> DataFrame:
    """The frame with the title of each sku beside it: `title` for the column `sku`, else
    the column's name and `_title`; as it is where the shop has no titles.
    """
    columns = columns or ("sku",)
    skus = sorted({str(sku) for column in columns for sku in frame[column].dropna().unique()})
    titles = _titles(shop, skus)
    if not titles:
        return frame
    told = frame.copy()
    for column in columns:
        name = "title" if column == "sku" else f"{column}_title"
        told.insert(told.columns.get_loc(column) + 1, name, frame[column].map(titles))
    return told


def _titles(shop: Store, skus: list[str]) -> dict[str, str]:
    """Sku -> title; of products where they have titles, else of lines as sold."""
    for table in ("products", "order_lines"):
        if shop.has(f"{table}.title") and shop.has(f"{table}.sku"):
            rows = shop.get(table).filter(_.sku.isin(skus) & _.title.notnull())
            titled = rows.group_by("sku").aggregate(title=_.title.max()).order_by("sku")
            found = shop.con.execute(titled) if skus else DataFrame(columns=["sku", "title"])
            return dict(zip(found.sku, found.title.str.strip(), strict=True))
    return {}


def told_titles(subjects: Series, titles: Mapping[str, str]) -> Series:
    """The titles of the skus in each subject; empty where there is none to tell."""

    def told(subject: str) -> str:
        parts = [part for part in SEVERAL.split(str(subject)) if titles.get(part, part) != part]
        short = [titles[part][:LONGEST].rstrip() for part in parts]
        return ", ".join(short)

    return subjects.map(told)
