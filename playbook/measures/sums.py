"""Sums by group, in the order of their keys: the step between a store's tables and a
frame, the same on every engine.
"""

from __future__ import annotations

import ibis
from ibis import _
from pandas import DataFrame

__all__ = ["counts_by", "in_months", "sums_by", "total"]

Table = ibis.Table | DataFrame


def total(column: str) -> ibis.Deferred:
    """The exact sum of a column, as a float."""
    return _[column].sum().cast("float64")


def in_months(table: ibis.Table, day: str, months: list[str]) -> ibis.Table:
    """The rows of these months by the column `day`, with `month` (YYYY-MM)."""
    return table.mutate(month=_[day].strftime("%Y-%m")).filter(_.month.isin(months))


def sums_by(table: ibis.Table, *keys: str, **sums: ibis.Value) -> DataFrame:
    """One row per value of the keys, ordered by them: the keys and the sums."""
    return table.group_by(*keys).aggregate(**sums).order_by(*keys).to_pandas()


def counts_by(table: ibis.Table, row: str, column: str) -> DataFrame:
    """How many rows have each pair of values, as a grid; rows where one is not known
    are left out.
    """
    known = table.filter(_[row].notnull() & _[column].notnull())
    counts = sums_by(
        known,
        row,
        column,
        n=_.count(),
    )
    return counts.pivot(index=row, columns=column, values="n").fillna(0.0)
