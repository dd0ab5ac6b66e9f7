"""What a store holds, as one text: the same at the end of a month as at its start, or the
month was made from two states.
"""

from __future__ import annotations

import hashlib
import json

import ibis
from ibis import Table

from playbook.store.cache import content_hash
from playbook.store.contract import MONEY
from playbook.store.files import input_files
from playbook.store.shop import Store

__all__ = ["state_of"]


def state_of(shop: Store, *, anew: bool = False) -> str:
    """A hash of what the store holds now, read from the files' bytes (`anew`: whatever is
    remembered of them) or asked of the server.

    Of a table on a server: its rows, the values each column has, exact sums of whole
    numbers and money, lengths of texts, first and last days and moments. A change that
    keeps all of these is not seen.
    """
    if shop.content and shop.folder is not None:
        return content_hash(input_files(shop.folder), anew=anew)
    told = {name: _table_state(shop, table) for name, table in shop.delivered.items()}
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _table_state(shop: Store, table: Table) -> list[str]:
    measures = {"n": table.count().cast("string")}
    for place, name in enumerate(table.columns):
        column = table[name]
        measures[f"n{place}"] = column.count().cast("string")
        measures |= {f"{m}{place}": v.cast("string") for m, v in _measures(column).items()}
    row = shop.con.execute(table.aggregate(**measures)).iloc[0]
    return [str(row[name]) for name in sorted(measures)]


def _measures(column: ibis.Column) -> dict[str, ibis.Scalar]:
    """Figures of one column that do not depend on the order of its rows."""
    kind = column.type()
    if kind.is_string():
        return {"sum": column.length().cast("int64").sum()}
    if kind.is_integer():
        return {"sum": column.cast("decimal(38, 0)").sum()}
    if kind.is_decimal():
        return {"sum": column.cast(MONEY).cast("decimal(38, 6)").sum()}
    if kind.is_boolean():
        return {"sum": column.ifelse(1, 0).sum()}
    if kind.is_temporal() or kind.is_numeric():
        return {"low": column.min(), "high": column.max()}
    return {}
