"""Reading a store's folder: its tables as parquet or CSV, its settings, its log."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis

from playbook.errors import EngineFailed, PlaybookError
from playbook.messages import say
from playbook.store.contract import TABLES
from playbook.store.engine import first_line

__all__ = ["input_files", "read_log", "read_table", "table_files", "unreadable"]

ENDINGS = ("parquet", "csv", "csv.gz")
DELIMITERS = (",", ";", "\t", "|")


def table_files(folder: Path, name: str) -> list[Path]:
    """The files of a table: one file, or the parquet parts of a folder of its name."""
    if (folder / name).is_dir():
        return sorted((folder / name).glob("*.parquet"))
    candidates = [folder / f"{name}.{ending}" for ending in ENDINGS]
    return [path for path in candidates if path.is_file()][:1]


def input_files(folder: Path) -> list[Path]:
    """Every file of a folder that decides what its store holds."""
    tables = [path for name in TABLES for path in table_files(folder, name)]
    listed = sorted(folder.glob("promo_skus.*"))[:1]
    return [*tables, *listed, folder / "shop.yaml", folder / "store.json"]


def read_table(con: ibis.BaseBackend, name: str, files: list[Path]) -> ibis.Table:
    """The files of one table as an expression; text files give text columns.
    PlaybookError for a file the engine refuses.
    """
    try:
        if files[0].suffix == ".parquet":
            # parts of one table may have gained a column on the way
            more = {"union_by_name": True} if len(files) > 1 else {}
            return con.read_parquet(
                [str(f) for f in files],
                table_name=f"source_{name}",
                **more,
            )
        delimiter, names = _header(files[0])
        # told, not guessed: the engine's guess may take a line in the middle for the
        # header and leave out those above
        return con.read_csv(
            str(files[0]),
            table_name=f"source_{name}",
            auto_detect=False,
            header=True,
            delim=delimiter,
            quote='"',
            escape='"',
            nullstr="",
            columns=dict.fromkeys(names, "VARCHAR"),
        )
    except EngineFailed:
        raise
    except Exception as error:
        raise unreadable(files[0], name, error) from None


def unreadable(file: Path, name: str, error: Exception) -> PlaybookError:
    """What a person can find and mend in a file that the engine refuses."""
    try:
        reason = _reason(file, error)
    except UnicodeDecodeError:
        reason = say("store.not_utf8")
    except (OSError, EOFError, ValueError, csv.Error) as other:
        reason = str(other)
    return PlaybookError(
        "store.unreadable_file",
        reason=reason,
        file=file,
        table=name,
    )


def _reason(file: Path, error: Exception) -> str:
    if file.suffix == ".parquet":
        return first_line(error, 160)
    delimiter, names = _header(file)
    for line, row in _csv_rows(file, delimiter):
        if row and len(row) != len(names):
            return say(
                "store.uneven_line",
                line=line,
                n=len(row),
                wanted=len(names),
            )
    if "state machine" in first_line(error, 160):
        return say("store.mixed_line_ends")
    return first_line(error, 160)


def _csv_rows(file: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(
        file,
        "rt",
        encoding="utf-8-sig",
        newline="",
    ) as text:
        rows = csv.reader(text, delimiter=delimiter)
        yield from ((rows.line_num, row) for row in rows)


def _header(file: Path) -> tuple[str, list[str]]:
    """The delimiter under which the first line has the most columns, and their names; a
    repeated name gets a number.
    """
    first_rows = {d: next(_csv_rows(file, d), (0, [""]))[1] for d in DELIMITERS}
    delimiter = max(first_rows, key=lambda d: len(first_rows[d]))
    header = first_rows[delimiter]
    if not any(header) or "\0" in header[0]:
        raise ValueError(say("store.no_column_names"))
    names: list[str] = []
    for place, name in enumerate(header):
        names.append(f"{name}_{place}" if name in names or not name else name)
    return delimiter, names


def read_log(path: Path) -> dict[str, Any]:
    """The store's log of imports; empty without the file. PlaybookError for a damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        raise PlaybookError("store.damaged_log", file=path) from None
    if not isinstance(found, dict):
        raise PlaybookError("store.damaged_log", file=path)
    return found
