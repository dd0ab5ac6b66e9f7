"""A table of weekly units and prices by store and product, as scanner data are published, read by
a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.errors import PlaybookError

__all__ = ["scanner_weeks"]


def scanner_weeks(table: DataFrame, mapping: Mapping[str, Any]) -> DataFrame:
    """One row per store, product and week: store, sku (text), week, units, price, and each of
    the mapping's `controls` under its own name. Sorted by store, sku, week.

    `mapping` names columns: `store`, `sku`, `week`; `units` or `log_units`; `price` or
    `log_price`, either one column or, where a row holds the prices of all products, product:
    column; `controls` (a list, such as feature and deal). What is no number is missing.

    Raises:
        PlaybookError: a column that is not there, a product without a price column, or a store,
            product and week with two rows.
    """
    controls = list(mapping.get("controls") or [])
    units, price = (_which(mapping, name) for name in ("units", "price"))
    prices = mapping[price] if isinstance(mapping.get(price), Mapping) else {}
    named = [mapping.get(name) for name in ("store", "sku", "week", units)]
    named += [*prices.values()] or [mapping.get(price)]
    absent = [str(name) for name in [*named, *controls] if name not in table]
    skus = (
        table[mapping["sku"]].astype(str) if mapping.get("sku") in table else pd.Series(dtype=str)
    )
    absent += sorted(set(skus) - set(map(str, prices))) if prices else []
    if absent:
        raise PlaybookError("sources.mapping_without_column", columns=", ".join(absent))
    found = DataFrame({"store": table[mapping["store"]].astype(str), "sku": skus})
    found["week"] = table[mapping["week"]]
    found["units"] = _numbers(table[mapping[units]], is_log=units == "log_units")
    found["price"] = _numbers(_own_price(table, skus, mapping[price]), price == "log_price")
    for name in controls:
        found[name] = pd.to_numeric(table[name], errors="coerce")
    keys = ["store", "sku", "week"]
    twice = int(found.duplicated(keys).sum())
    if twice:
        raise PlaybookError("sources.not_one_a_week", column=str(mapping["week"]), rows=twice)
    return found.sort_values(keys, ignore_index=True)


def _which(mapping: Mapping[str, Any], name: str) -> str:
    """The figure itself where it is mapped, else its logarithm."""
    return name if name in mapping else f"log_{name}"


def _own_price(table: DataFrame, skus: pd.Series, column: Any) -> pd.Series:
    """The price of each row's own product."""
    if not isinstance(column, Mapping):
        return table[column]
    own = pd.Series(np.nan, index=table.index, dtype=float)
    for sku, name in column.items():
        mine = skus == str(sku)
        own[mine] = pd.to_numeric(table.loc[mine, name], errors="coerce")
    return own


def _numbers(column: pd.Series, is_log: bool) -> pd.Series:
    """A column as numbers, out of logarithms where it holds those."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    return np.exp(numbers) if is_log else numbers
