"""Arrays of the simulation as columns of the contract: cents, days and minutes become
money, dates and times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy import ndarray

from playbook.demo.records import Record
from playbook.demo.streams import text_ids
from playbook.demo.world import World
from playbook.messages import read_yaml
from playbook.store.contract import TABLES, arrow_schema

WORDS = Record(read_yaml(Path(__file__).with_name("words.yaml")))
_TEN = 10_000  # cents to millionths


class Clock:
    """Days of the log to seconds UTC, and the evening everything is cut at."""

    def __init__(self, world: World, until: int) -> None:
        self.world, self.day0, self.until = world, world.day0, until
        self.offset = np.array([world.utc_offset(d) for d in range(until + 500)], dtype=np.int64)

    def at(self, day: ndarray, minute: ndarray | int, second: ndarray | int = 0) -> ndarray:
        """Seconds UTC of a local minute of a day."""
        day = np.asarray(day, dtype=np.int64)
        near = np.minimum(day, len(self.offset) - 1)
        days = day + self.day0.astype(np.int64)
        return (days * 1440 + minute - self.offset[near]) * 60 + second

    def table(self, name: str, /, **columns: Any) -> pa.Table:
        """The contract table `name`: its columns in its order and types, the rest
        missing, others kept at the end.

        A column is an array in the simulation's terms, or a pair of it and of where it
        is missing, or a text that stands in every row. Days count from the log's first
        one, times are seconds UTC, money is in cents.
        """
        schema = arrow_schema(name)
        n = len(next(values for values in columns.values() if not isinstance(values, (str, tuple))))
        others = [column for column in columns if column not in schema.names]
        arrays = [
            self._column(field.type, columns[field.name], n)
            if field.name in columns
            else pa.nulls(n, field.type)
            for field in schema
        ]
        return pa.table(
            arrays + [columns[column] for column in others], names=schema.names + others
        )

    def rows(self, name: str, rows: list[dict[str, Any]], **more: Any) -> pa.Table:
        """The contract table `name` from rows, with columns beside them."""
        columns = {column: [row[column] for row in rows] for column in rows[0]}
        return self.table(name, **columns, **more)

    def _column(self, kind: pa.DataType, values: Any, n: int) -> pa.Array:
        missing = None
        if isinstance(values, tuple):
            values, missing = values
        if isinstance(values, str):
            return pa.repeat(values, n)
        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            return values.cast(kind)
        if pa.types.is_date(kind):
            return _dates(values, self.day0, missing)
        if pa.types.is_decimal(kind):
            return _money(values, missing)
        if pa.types.is_timestamp(kind):
            return _times(values, missing)
        if pa.types.is_string(kind):
            return texts(values)
        values = np.asarray(values).astype(kind.to_pandas_dtype())
        return pa.array(values, mask=_mask(missing))


def _money(cents: ndarray, missing: ndarray | None) -> pa.Array:
    """DECIMAL(18, 6) from whole cents."""
    low = np.ascontiguousarray(np.asarray(cents, dtype=np.int64) * _TEN)
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0], words[:, 1] = low, low >> 63
    return _of_buffers(pa.decimal128(18, 6), words, missing)


def _dates(days: ndarray, day0: np.datetime64, missing: ndarray | None) -> pa.Array:
    """DATE from days counted from the log's first one."""
    first = day0.astype("datetime64[D]").astype(np.int64)
    days = np.asarray(days, dtype=np.int64) + first
    return _of_buffers(pa.date32(), days.astype(np.int32), missing)


def _times(seconds: ndarray, missing: ndarray | None) -> pa.Array:
    """TIMESTAMP in microseconds from UTC seconds since 1970."""
    micro = np.asarray(seconds, dtype=np.int64) * 1_000_000
    return _of_buffers(pa.timestamp("us"), micro, missing)


def _of_buffers(kind: pa.DataType, values: ndarray, missing: ndarray | None) -> pa.Array:
    buffers = [_valid(missing), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _valid(missing: ndarray | None) -> pa.Buffer | None:
    if missing is None or not np.any(missing):
        return None
    return pa.py_buffer(np.packbits(~np.asarray(missing, bool), bitorder="little"))


def _mask(missing: ndarray | None) -> ndarray | None:
    return None if missing is None else np.asarray(missing, bool)


def texts(values: list | ndarray) -> pa.Array:
    """Text; None is missing."""
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def pick(words: list | tuple | ndarray, which: ndarray, missing: ndarray | None = None) -> pa.Array:
    """Text looked up in a short list."""
    which = np.asarray(which, dtype=np.int64)
    places = which if missing is None else np.where(missing, 0, which)
    return texts(words).take(pa.array(places, mask=_mask(missing)))


def ids(
    keys: ndarray,
    length: int,
    prefix: str = "",
    days: ndarray | None = None,
    day0: np.datetime64 | None = None,
    missing: ndarray | None = None,
) -> pa.Array:
    """Identifiers that depend on the entity alone: prefix, its day where given, and
    letters of the key's hash.
    """
    n, parts = len(keys), []
    if prefix:
        letters = np.frombuffer(prefix.encode(), np.uint8)
        parts.append(np.broadcast_to(letters, (n, len(prefix))))
    if days is not None and n:
        every = day0 + np.arange(days.max() + 1)
        stems = np.array([str(d).replace("-", "") + "-" for d in every], dtype="S9")
        parts.append(stems.view(np.uint8).reshape(-1, 9)[days])
    parts.append(text_ids(keys, length))
    flat = np.ascontiguousarray(np.concatenate(parts, axis=1))
    width = flat.shape[1]
    if n * width >= 2**31 - 1:
        raise ValueError("too many identifiers for one column; write in chunks")
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(width)
    buffers = [_valid(missing), pa.py_buffer(offsets), pa.py_buffer(flat)]
    return pa.Array.from_buffers(pa.string(), n, buffers)


def customer_ids(keys: ndarray, missing: ndarray | None = None) -> pa.Array:
    """The ids of customers; missing for guests."""
    return ids(keys, 12, "C", missing=missing)


def order_ids(keys: ndarray, days: ndarray, day0: np.datetime64) -> pa.Array:
    """The ids of orders, which begin with their day."""
    return ids(keys, 10, days=days, day0=day0)


def save(path: Path, rows: pa.Table) -> None:
    """Parquet with the bytes depending on the rows alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = [f.name for f in rows.schema if pa.types.is_string(f.type)]
    pq.write_table(
        rows,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=text,
        row_group_size=250_000,
    )


def sort(rows: pa.Table, name: str) -> pa.Table:
    """Sorted by the day or time that cuts the table, then by its key."""
    spec = TABLES[name]
    by = dict.fromkeys([*([spec.cut] if spec.cut else []), *spec.key])
    return rows.sort_by([(c, "ascending") for c in by if c in rows.column_names])
