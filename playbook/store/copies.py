"""A copy of a server's tables on this machine, for a user who may keep nothing there.

Without temporary tables every question would work the shared tables out anew; an engine may
know no exact median; and a column of another type than the contract's can only be read value
by value where a cast may fail softly. Then the contract's columns are read once, as they are,
into the cache, named by what the server holds now: the next notebook finds them there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import ibis
import pyarrow.parquet as pq
from ibis import Table

from playbook.store.cache import cache_folder
from playbook.store.contract import TABLES, ibis_type

__all__ = ["copied", "needs_copy"]

ROWS_AT_ONCE = 200_000
#: engines that cannot say an exact median: it is worked out on a copy
NO_QUANTILES = ("bigquery",)
FREE = "survey"  # whose columns are the shop's own
KEPT = 3  # copies of earlier states of all stores


def needs_copy(con: Any, tables: dict[str, Table]) -> bool:
    """May this user keep no tables there, or is a column not of its contract type on an
    engine that cannot try a cast?
    """
    if con.name == "postgres" and any(_is_odd(name, table) for name, table in tables.items()):
        return True
    if con.name in NO_QUANTILES:
        return True
    if con.name in ("pyspark", "duckdb"):
        return False
    name = ibis.util.gen_name("may_keep")
    try:
        con.create_table(
            name,
            schema=ibis.schema({"n": "int64"}),
            temp=True,
        )
    except Exception:  # every driver raises its own kind when it refuses
        return True
    con.drop_table(name, force=True)
    return False


def _is_odd(name: str, table: Table) -> bool:
    """Text where the contract has something else: the casts that may fail."""
    wanted = {c.name: ibis_type(c) for c in TABLES[name].columns}
    kinds = table.schema().items()
    return any(wanted.get(c, "string") != "string" and kind.is_string() for c, kind in kinds)


def copied(con: Any, tables: dict[str, Table], state: str) -> Path:
    """The folder of a copy of these tables, made unless it is there."""
    folder = cache_folder() / "copies" / state[:32]
    if folder.is_dir():
        os.utime(folder)
        return folder
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name, table in tables.items():
            _copy(con, _plain(name, table), part / f"{name}.parquet")
        _forget_others(folder.parent)
        if not folder.is_dir():
            os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _plain(name: str, table: Table) -> Table:
    """The columns asked for, in types that a file can hold; others as text."""
    wanted = {c.name for c in TABLES[name].columns}
    chosen = [c for c in table.columns if c in wanted or name == FREE]
    return table.select(**{c: _storable(table[c]) for c in chosen})


def _storable(column: ibis.Column) -> ibis.Column:
    kind = column.type()
    plain = (kind.is_string() or kind.is_integer() or kind.is_floating() or kind.is_boolean()) or (
        kind.is_date() or kind.is_timestamp()
    )
    is_exact = kind.is_decimal() and kind.precision is not None and kind.precision <= 38
    return column if plain or is_exact else column.cast("string")


def _copy(con: Any, table: Table, path: Path) -> None:
    schema = table.schema().to_pyarrow()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in con.to_pyarrow_batches(table, chunk_size=ROWS_AT_ONCE):
            writer.write_batch(batch.cast(schema) if batch.schema != schema else batch)


def _forget_others(copies: Path) -> None:
    """Older copies go, the last few apart."""
    made = [(p.stat().st_mtime, p) for p in copies.iterdir() if not p.name.startswith(".")]
    for _used, path in sorted(made, reverse=True)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
