"""Where derived tables are kept, and how it is known that they are still right.

A derived table lies in a folder named by a hash of the input files' bytes, the day and
the code that derives it. Files are hashed once per path, size, time of change and what the
file system itself noted of the last change: a copy may keep its size and time.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import ibis
from ibis import Table

from playbook.store.contract import KINDS
from playbook.store.write import quoted

__all__ = [
    "cache_folder",
    "code_version",
    "content_hash",
    "file_hash",
    "keep_on_server",
    "prune",
    "write_parquet",
    "write_whole",
]

DERIVING = (
    "contract.yaml",
    "contract.py",
    "cutting.py",
    "shop.py",
    "open.py",
    "derived.py",
    "trading.py",
    "non_products.yaml",
    "check.py",
    "reconcile.py",
    "settings.py",
    "settings.yaml",
)


def cache_folder() -> Path:
    """Where derived tables, downloads and the demo shop are kept: PLAYBOOK_CACHE, or a
    folder of the user's cache.
    """
    given = os.environ.get("PLAYBOOK_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecommerce-playbook"


@functools.cache
def code_version() -> str:
    """A hash of the files that decide what derived tables hold."""
    digest = hashlib.sha256()
    for name in DERIVING:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def content_hash(paths: Iterable[Path], *, anew: bool = False) -> str:
    """A hash of the bytes of those of the files that exist."""
    digest = hashlib.sha256()
    for path in sorted(p for p in paths if p.exists()):
        digest.update(f"{path.name}:{file_hash(path, anew=anew)}".encode())
    return digest.hexdigest()


def file_hash(path: Path, *, anew: bool = False) -> str:
    """The SHA-256 of a file, remembered by its path, place on the disk, size and times;
    worked out `anew` when what is remembered must not be trusted.
    """
    memo = cache_folder() / "hashes" / _known_by(path)
    if memo.exists() and not anew:
        return memo.read_text()
    with open(path, "rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    memo.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # without room it is worked out again
        write_whole(memo, digest)
    return digest


def _known_by(path: Path) -> str:
    """A name that changes when the file may have changed. The time of change can be set by
    anybody; the time at which the file system noted it (ctime) cannot, and a replaced file
    lies in another place.
    """
    stat = path.stat()
    parts = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a text file through a neighbour: a reader sees the old or the new text."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_parquet(con: ibis.BaseBackend, table: Table, path: Path) -> None:
    """The table as parquet, whole or not at all, each column in the type Ibis states:
    left alone, DuckDB widens sums of whole numbers beyond 64 bits and products of
    decimals beyond six places.
    """
    types = {kind.ibis: kind.sql for kind in KINDS.values()}
    columns = []
    for name, kind in table.schema().items():
        stated = types.get(str(kind).lstrip("!").replace("timestamp(6)", "timestamp"))
        columns.append(f'CAST("{name}" AS {stated}) AS "{name}"' if stated else f'"{name}"')
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{id(table)}")
    con.raw_sql(
        f"COPY (SELECT {', '.join(columns)} FROM ({ibis.to_sql(table, dialect='duckdb')})) "
        f"TO {quoted(part)} (FORMAT parquet, COMPRESSION zstd)"
    )
    os.replace(part, path)


def keep_on_server(con: ibis.BaseBackend, table: Table) -> Table:
    """The table built once for this connection, or where the user may not create one,
    the expression itself: the same rows, computed wherever they are asked for.

    A temporary table; Spark has none, so there it is a checkpoint where
    `spark.checkpoint.dir` is set (the plan behind it is not looked at again), else a
    persisted frame.
    """
    name = ibis.util.gen_name("derived")
    try:
        if con.name == "pyspark":
            frame = con.raw_sql(con.compile(table))
            has_checkpoints = frame.sparkSession.conf.get("spark.checkpoint.dir", None)
            kept = frame.checkpoint() if has_checkpoints else frame.persist()
            kept.createOrReplaceTempView(name)
            # Spark widens products and sums of money
            return con.table(name).cast(table.schema())
        return con.create_table(name, table, temp=True).cast(table.schema())
    except Exception:  # every driver raises its own kind when it refuses
        return table


def prune(derived: Path, *, keep: int = 60, idle_hours: float = 48) -> None:
    """Derived tables nobody has used for two days go, the last `keep` apart; they are
    rebuilt when asked for again. What any run on this machine has open now is younger
    than that, however many stores are opened beside it.
    """
    dated = []
    for folder in derived.iterdir():
        with contextlib.suppress(OSError):  # another run may have taken it away
            dated.append((folder.stat().st_mtime, folder))
    newest = max((used for used, _folder in dated), default=0.0)
    for used, folder in sorted(dated, reverse=True)[keep:]:
        if newest - used > idle_hours * 3600:
            shutil.rmtree(folder, ignore_errors=True)
