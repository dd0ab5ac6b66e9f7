"""A PostgreSQL server of one's own for a test, with a shop's tables in it."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ibis
import pyarrow.parquet as pq
import pytest

OWNER, PASSWORD = "shopkeeper", "Tr0ub4dor-and-3"


@dataclass(frozen=True)
class Server:
    """A server that runs: where it listens, and what its owner is called."""

    port: int
    host: str = "127.0.0.1"

    def address(self, database: str, user: str = OWNER, password: str = PASSWORD) -> str:
        """The address of a database as people write it, password and all."""
        return f"postgres://{user}:{password}@{self.host}:{self.port}/{database}"

    def execute(self, database: str, *statements: str) -> None:
        """Run statements one by one, each in a transaction of its own."""
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as con:
            for statement in statements:
                con.execute(statement)

    def load(self, database: str, folder: Path, schema: str = "public") -> str:
        """A new database with the tables of a store's folder; gives its address."""
        self.execute("postgres", f"CREATE DATABASE {database}")
        con = ibis.connect(self.address(database))
        if schema != "public":
            con.create_database(schema)
        for file in sorted(folder.glob("*.parquet")):
            con.create_table(file.stem, pq.read_table(file), database=schema)
        con.disconnect()
        return self.address(database)


@contextlib.contextmanager
def postgres_server(data: Path) -> Iterator[Server]:
    """A server in this folder; skips where there is none to start."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e .[postgres]")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = Path(found[-1] if found else shutil.which("initdb") or "/nowhere/initdb")
    if not initdb.exists():
        pytest.skip("no PostgreSQL server here: install the system's postgresql package")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    as_user = _as_another_user(data)
    control = [*as_user, initdb.with_name("pg_ctl"), "-D", data / "db", "-l", data / "log", "-w"]
    subprocess.run(
        [*as_user, initdb, "-D", data / "db", "-A", "trust", "-U", OWNER],
        check=True,
        capture_output=True,
    )
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True)
    try:
        yield Server(port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True)


def _as_another_user(data: Path) -> list[str]:
    """The words before a command of the server, which refuses to run as root."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return []
    if not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser here")
    for parent in (data, *data.parents[:3]):
        parent.chmod(0o755)
    shutil.chown(data, "postgres")
    return ["runuser", "-u", "postgres", "--"]
