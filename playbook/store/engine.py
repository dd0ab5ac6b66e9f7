"""The engine a store is asked on: its own limits set, and its refusals said in our words.

A driver's error is turned into one message that says which limit was met (memory, disk,
rights, connection) and what to do; it never names the server or its user.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from typing import Any

import ibis

from playbook.errors import EngineFailed, PlaybookError
from playbook.store.cache import cache_folder
from playbook.store.disk import NO_SPACE, full_folder
from playbook.store.write import quoted

__all__ = ["first_line", "guarded", "local_engine", "memory_limit", "refused_by_engine"]

ASKED = (
    "execute",
    "to_pyarrow",
    "to_pyarrow_batches",
    "raw_sql",
    "create_table",
    "create_view",
    "table",
)
#: packages of drivers; every error of theirs is the server's
DRIVERS = ("psycopg", "pyspark", "py4j", "snowflake", "google", "databricks", "trino", "pymysql")
UNITS = {"": 1, "K": 1, "M": 2, "G": 3, "T": 4}
LEAST_MEMORY = 20 * 1024**2
# what a driver's error says or is called -> the message for it
KINDS = (
    (r"no space left|disk full|DiskFull|could not write to file|failed to offload", "disk_full"),
    (r"out of memory|OutOfMemory|cannot allocate|failed to allocate", "memory_short"),
    (r"permission denied|InsufficientPrivilege|access denied|not authorized", "no_right_to"),
    (
        r"connection|server closed|terminat|shutting down|AdminShutdown|timeout|timed out|refused"
        r"|Py4JNetwork|SparkContext was shut down",
        "server_gone",
    ),
    (r"UndefinedTable|UndefinedColumn|does not exist|cannot be resolved", "server_lacks"),
)


def first_line(error: Exception, most: int | None = None) -> str:
    """The first line of what a driver says; its kind where it says nothing."""
    return str(error).splitlines()[0][:most] if str(error) else type(error).__name__


def memory_limit(given: str) -> str:
    """An amount of memory as the engine takes it: `2GB`, `1.5 GiB`, or a share of this
    machine's such as `50%`. PlaybookError for another text, and below twenty megabytes.
    """
    match = re.fullmatch(
        r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B|(%))",
        given.strip(),
        re.IGNORECASE,
    )
    if match is None:
        raise PlaybookError("store.no_memory", given=given)
    number, unit, binary, percent = match.groups()
    if percent:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if _has_sysconf() else 0
        amount = float(number) / 100 * whole if float(number) <= 100 else 0
    else:
        amount = float(number) * (1024 if binary else 1000) ** UNITS[unit.upper()]
    if amount < LEAST_MEMORY:
        raise PlaybookError("store.no_memory", given=given)
    return f"{int(amount / 1024)}KiB"


def _has_sysconf() -> bool:
    return hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names


def local_engine(memory: str | None) -> Any:
    """The engine in this process, which spills into the cache."""
    limit = memory_limit(memory) if memory else ""
    con = ibis.duckdb.connect()
    spill = cache_folder() / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    con.raw_sql(f"SET temp_directory={quoted(spill)}")
    if limit:
        con.raw_sql(f"SET memory_limit={quoted(limit)}")
    return guarded(con, "")


def guarded(con: Any, name: str) -> Any:
    """The connection, whose errors are said in our words from here on; `name` is the
    store's on a server, empty for the engine in this process.
    """
    con.__class__ = _guarded_kind(type(con))
    con.store_name = name
    return con


@functools.cache
def _guarded_kind(kind: type) -> type:
    """The kind of connection with its errors in our words. A kind and no wrapped methods of
    its own: these would hold the connection, and with it a thread of each store ever opened.
    """
    return type(kind.__name__, (kind,), {name: _asking(getattr(kind, name)) for name in ASKED})


def _asking(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asked(con: Any, *args: Any, **given: Any) -> Any:
        try:
            return method(con, *args, **given)
        except Exception as error:  # every driver raises its own kind
            refusal = refused_by_engine(error, con.store_name)
            if refusal is None:
                raise
            raise refusal from None

    return asked


def refused_by_engine(error: Exception, name: str) -> EngineFailed | None:
    """The message for an engine's error; None for one that is ours."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return EngineFailed(
            "store.disk_full",
            reason=error.strerror,
            folder=full_folder(error),
        )
    told = f"{type(error).__name__}: {error}"
    is_driver = type(error).__module__.split(".")[0] in DRIVERS
    kinds = KINDS if is_driver else KINDS[:2]
    if not is_driver and "duckdb" not in type(error).__module__:
        return None
    found = [kind for pattern, kind in kinds if re.search(pattern, told, re.IGNORECASE)]
    if not found and not is_driver:
        return None
    message = found[0] if found else "server_refused"
    about = {
        "name": name,
        "reason": first_line(error, 200),
        "folder": full_folder(error),
    }
    return EngineFailed(f"store.{message}", **about)
