"""Writing a store: tables sorted and typed by the contract, swapped in all at once or
not at all.

A change is first written whole under `.staging/`, then named in `.commit.json`, then
moved into place file by file. Killed before the note exists, nothing has happened;
killed after it, the next reader or writer finishes the moves.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.errors import PlaybookError
from playbook.store.contract import KINDS, TABLES

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "KEPT",
    "REASONS",
    "connect",
    "held",
    "locked",
    "publish",
    "reading",
    "settle",
    "staging",
    "try_lock",
    "undo",
    "write_json",
    "write_table",
]

# Every source row carries exactly one of these in `import_ledger`, in this order of
# precedence; what each means is said by the message `store.reason_<code>`. Those from
# `tax` on but the last carry no rows: they are parts of a platform's total that are not
# sales of goods.
KEPT = "kept"
REASONS = (
    "unreadable",
    "overlap",
    "incomplete",
    "no_exchange_rate",
    "empty",
    "adjustment",
    "credit_line",
    "stock_write_off",
    "edited",
    "refund_row",
    "zero_or_negative_price",
    "test",
    "undated",
    "duplicate",
    "tax",
    "shipping",
    "discount",
    "tip",
    "gift_card",
    "duties",
    "rounding",
    "unexplained",
    KEPT,
)

UNDO_NOTE = ".added.json"

# large, and their keys are unique when they come here: no further column is sorted by
UNIQUE = ("orders", "order_lines")


def connect(memory: str = "2GB", scratch: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory engine that spills to `scratch`, counts time in UTC and never
    reaches for the network.
    """
    import duckdb

    con = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    con.execute(f"SET memory_limit = '{memory}'")
    con.execute("SET TimeZone = 'UTC'")
    # files are replaced here, and the engine knows what it remembers of them only by
    # path, size and second of change
    con.execute("SET enable_external_file_cache = false")
    if scratch is not None:
        con.execute(f"SET temp_directory = {quoted(scratch)}")
    return con


def quoted(text: object) -> str:
    """`text` as a SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def sql_type(table: str, column: str) -> str:
    """The engine's type of a contract column."""
    return KINDS[TABLES[table].column(column).type].sql


def contract_select(table: str, query: str, columns: list[str]) -> str:
    """`query` with the contract's columns in the contract's order and types; those it
    lacks are missing.
    """
    parts = []
    for column in TABLES[table].columns:
        value = column.name if column.name in columns else "NULL"
        parts.append(f"CAST({value} AS {KINDS[column.type].sql}) AS {column.name}")
    return f"SELECT {', '.join(parts)} FROM ({query})"


def write_table(con: duckdb.DuckDBPyConnection, table: str, query: str, path: Path) -> int:
    """Writes `query` as the contract table `table`, sorted by key then by content, so
    that equal rows give equal bytes.

    Columns the contract does not know are left out; returns the number of rows.
    """
    columns = [row[0] for row in con.execute(f"DESCRIBE {query}").fetchall()]
    names = [c.name for c in TABLES[table].columns]
    keys = list(TABLES[table].key)
    rest = [] if table in UNIQUE else [n for n in names if n not in keys]
    order = ", ".join(f"{name} NULLS LAST" for name in keys + rest)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows_in_order = f"SELECT * FROM ({contract_select(table, query, columns)}) ORDER BY {order}"
    (rows,) = con.execute(
        f"COPY ({rows_in_order}) TO {quoted(path)} "
        "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
    ).fetchone()
    return int(rows)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Writes `value` with sorted keys through a neighbouring file, so that a reader
    sees the old or the new text.
    """
    new = path.with_name(f".{path.name}.new")
    new.write_text(
        json.dumps(
            value,
            indent=1,
            sort_keys=True,
            ensure_ascii=False,
        )
        + "\n",
        encoding="utf-8",
    )
    os.replace(new, path)


@contextlib.contextmanager
def locked(folder: Path, *, wait_seconds: float = 30.0) -> Iterator[None]:
    """Holds the store for one writer; the system frees it when the process ends,
    however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lock", "store.locked", wait_seconds=wait_seconds):
        yield


@contextlib.contextmanager
def reading(folder: Path | None) -> Iterator[None]:
    """Holds an imported store against writers, beside other readers, while a month is made
    from it. A folder no import ever wrote has no lock, and gets none: there the month's
    own proof at its end must do.
    """
    if folder is None or not (folder / ".lock").is_file():
        yield
        return
    with held(
        folder / ".lock",
        "store.locked",
        wait_seconds=30.0,
        is_shared=True,
    ):
        yield


@contextlib.contextmanager
def held(
    path: Path,
    refusal: str,
    *,
    wait_seconds: float = 0.0,
    is_shared: bool = False,
    **about: object,
) -> Iterator[None]:
    """Holds a lock file, alone or with others who read. PlaybookError `refusal` where it
    is not free in time.
    """
    until = time.monotonic() + wait_seconds
    with open(path, "rb" if is_shared else "a+b") as handle:
        while not try_lock(handle, is_shared=is_shared):
            if time.monotonic() >= until:
                raise PlaybookError(refusal, file=path, **about)
            time.sleep(0.1)
        yield


def try_lock(handle: object, *, is_shared: bool = False) -> bool:
    """Whether the open file could be locked for this process, alone or shared. Windows
    knows no shared lock: readers there do not hold one, and the proof at the end of a month
    is what is left.
    """
    try:
        if os.name == "nt":
            import msvcrt

            if is_shared:
                return True
            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def staging(folder: Path) -> Path:
    """An empty staging folder inside the store (same disk, so that moving is a rename)."""
    path = folder / ".staging"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def publish(folder: Path) -> None:
    """Moves all of `.staging/` to its place in the store: all or nothing. What it replaces
    is kept beside the store, so that the last import can be taken back.

    To be called by the one who holds the lock.
    """
    stage = folder / ".staging"
    moves = sorted(p.relative_to(stage).as_posix() for p in stage.rglob("*") if p.is_file())
    for name in moves:
        with open(stage / name, "rb") as handle:
            os.fsync(handle.fileno())
    _keep_replaced(folder, moves)
    write_json(folder / ".commit.json", {"moves": moves})
    _finish(folder)


def _keep_replaced(folder: Path, moves: list[str]) -> None:
    """The files a change replaces, linked beside the store, and the names it adds."""
    kept = _kept_for_undo(folder)
    part = kept.with_name(f"{kept.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in (n for n in moves if (folder / n).exists()):
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / name, part / name)
        except OSError:  # a disk without links
            shutil.copy2(folder / name, part / name)
    added = [name for name in moves if not (folder / name).exists()]
    write_json(part / UNDO_NOTE, {"added": added})
    shutil.rmtree(kept, ignore_errors=True)
    os.replace(part, kept)


def _kept_for_undo(folder: Path) -> Path:
    """Not inside: a store holds the same files whatever way it came to them."""
    place = folder.resolve()
    return place.with_name(f".{place.name}.undo")


def undo(folder: Path) -> dict[str, list[str]]:
    """Takes the last change of a store back: the names of the files `restored` and
    `removed`. PlaybookError where there is none, or it was taken back already.
    """
    kept = _kept_for_undo(folder)
    with locked(folder):
        _finish(folder)
        if not (kept / UNDO_NOTE).exists():
            raise PlaybookError("store.nothing_to_undo", file=folder)
        added = json.loads((kept / UNDO_NOTE).read_text(encoding="utf-8"))["added"]
        shutil.rmtree(folder / ".staging", ignore_errors=True)
        os.replace(kept, folder / ".staging")
        (folder / ".staging" / UNDO_NOTE).unlink()
        stage = folder / ".staging"
        moves = sorted(p.relative_to(stage).as_posix() for p in stage.rglob("*") if p.is_file())
        write_json(folder / ".commit.json", {"moves": moves, "removes": added})
        _finish(folder)
    return {"restored": moves, "removed": added}


def settle(folder: Path | str) -> None:
    """Finishes a change that was noted but not fully moved when its process ended.
    Cheap, and safe at any time.
    """
    folder = Path(folder)
    if (folder / ".commit.json").exists():
        with locked(folder):
            _finish(folder)


def _finish(folder: Path) -> None:
    note = folder / ".commit.json"
    if not note.exists():
        return
    plan = json.loads(note.read_text(encoding="utf-8"))
    for name in plan["moves"]:
        source = folder / ".staging" / name
        if source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, folder / name)
    for name in plan.get("removes", []):
        (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a folder that holds something else stays
            (folder / name).parent.rmdir()
    note.unlink(missing_ok=True)
    shutil.rmtree(folder / ".staging", ignore_errors=True)
