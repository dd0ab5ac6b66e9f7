"""Arrays of the simulation as columns of the contract: cents, days and minutes become
money, dates and times.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from playbook.demo.streams import text_ids
from playbook.store.contract import TABLES, arrow_schema

__all__ = [
    "dates",
    "flags",
    "ids",
    "money",
    "numbers",
    "pick",
    "save",
    "table",
    "texts",
    "times",
    "whole",
]

_TEN = 10_000  # cents to millionths


def money(cents: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """DECIMAL(18, 6) from whole cents."""
    low = np.ascontiguousarray(np.asarray(cents, dtype=np.int64) * _TEN)
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0], words[:, 1] = low, low >> 63
    return pa.Array.from_buffers(
        pa.decimal128(18, 6), len(low), [_valid(missing), pa.py_buffer(words)]
    )


def _valid(missing: np.ndarray | None) -> pa.Buffer | None:
    if missing is None or not np.any(missing):
        return None
    return pa.py_buffer(np.packbits(~np.asarray(missing, bool), bitorder="little"))


def dates(days: np.ndarray, day0: np.datetime64, missing: np.ndarray | None = None) -> pa.Array:
    """DATE from days counted from the log's first one."""
    whole = (
        np.asarray(days, dtype=np.int64) + day0.astype("datetime64[D]").astype(np.int64)
    ).astype(np.int32)
    return pa.Array.from_buffers(
        pa.date32(), len(whole), [_valid(missing), pa.py_buffer(np.ascontiguousarray(whole))]
    )


def times(seconds: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """TIMESTAMP in microseconds from UTC seconds since 1970."""
    micro = np.ascontiguousarray(np.asarray(seconds, dtype=np.int64) * 1_000_000)
    return pa.Array.from_buffers(
        pa.timestamp("us"), len(micro), [_valid(missing), pa.py_buffer(micro)]
    )


def whole(values: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """int64."""
    return pa.array(
        np.asarray(values, dtype=np.int64),
        mask=None if missing is None else np.asarray(missing, bool),
    )


def numbers(values: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """float64."""
    return pa.array(
        np.asarray(values, dtype=np.float64),
        mask=None if missing is None else np.asarray(missing, bool),
    )


def flags(values: np.ndarray) -> pa.Array:
    """Booleans."""
    return pa.array(np.asarray(values, dtype=bool))


def texts(values: list | np.ndarray) -> pa.Array:
    """Text; None is missing."""
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def pick(
    words: list | tuple | np.ndarray, which: np.ndarray, missing: np.ndarray | None = None
) -> pa.Array:
    """Text looked up in a short list."""
    which = np.asarray(which, dtype=np.int64)
    index = pa.array(
        which if missing is None else np.where(missing, 0, which),
        mask=None if missing is None else np.asarray(missing, bool),
    )
    return texts(words).take(index)


def ids(
    keys: np.ndarray,
    length: int,
    prefix: str = "",
    days: np.ndarray | None = None,
    day0: np.datetime64 | None = None,
    missing: np.ndarray | None = None,
) -> pa.Array:
    """Identifiers that depend on the entity alone: prefix, its day where given, and
    letters of the key's hash.
    """
    n = len(keys)
    parts = (
        [np.broadcast_to(np.frombuffer(prefix.encode(), np.uint8), (n, len(prefix)))]
        if prefix
        else []
    )
    if days is not None:
        every = np.array(
            [str(d).replace("-", "") + "-" for d in day0 + np.arange(days.max() + 1 if n else 0)],
            dtype="S9",
        )
        parts.append(every.view(np.uint8).reshape(-1, 9)[days] if n else np.empty((0, 9), np.uint8))
    parts.append(text_ids(keys, length))
    flat = np.ascontiguousarray(np.concatenate(parts, axis=1))
    width = flat.shape[1]
    if n * width >= 2**31 - 1:
        raise ValueError("too many identifiers for one column; write in chunks")
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(width)
    return pa.Array.from_buffers(
        pa.string(), n, [_valid(missing), pa.py_buffer(offsets), pa.py_buffer(flat)]
    )


def table(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    """The contract table `name`: its columns in its order and types, the rest missing,
    others kept at the end.
    """
    schema = arrow_schema(name)
    n = len(next(iter(columns.values())))
    arrays = [
        columns[f.name].cast(f.type) if f.name in columns else pa.nulls(n, f.type) for f in schema
    ]
    others = {c: a for c, a in columns.items() if c not in schema.names}
    return pa.table(arrays + list(others.values()), names=schema.names + list(others))


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
    by = [
        c
        for c in dict.fromkeys([*([spec.cut] if spec.cut else []), *spec.key])
        if c in rows.column_names
    ]
    return rows.sort_by([(c, "ascending") for c in by])
