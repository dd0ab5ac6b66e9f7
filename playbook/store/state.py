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

__all__ = ["state_of", "state_of_server"]


def state_of(shop: Store, *, anew: bool = False) -> str:
    """A hash of what the store holds now, read from the files' bytes (`anew`: whatever is
    remembered of them) or asked of the server.
    """
    if not shop.on_server:
        return content_hash(input_files(shop.folder), anew=anew) if shop.folder else ""
    held = next(iter(shop.on_server.values())).get_backend()
    return state_of_server(held, shop.on_server)


def state_of_server(con: ibis.BaseBackend, tables: dict[str, Table]) -> str:
    """A hash of what the tables on a server hold now: rows, the values each column has,
    exact sums of whole numbers and money, lengths of texts, first and last days and
    moments. A change that keeps all of these is not seen.
    """
    told = {name: _table_state(con, table) for name, table in tables.items()}
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _table_state(con: ibis.BaseBackend, table: Table) -> list[str]:
    measures = {"n": table.count().cast("string")}
    for place, name in enumerate(table.columns):
        column = table[name]
        measures[f"n{place}"] = column.count().cast("string")
        measures |= {f"{m}{place}": v.cast("string") for m, v in _measures(column).items()}
    row = con.execute(table.aggregate(**measures)).iloc[0]
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
