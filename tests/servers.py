"""A PostgreSQL server of one's own for a test, with a shop's tables in it."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
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

    def prepared(self, kind: str, folder: Path) -> str:
        """The address of a database with a shop's tables: for its `owner`; for a `reader`
        who may keep nothing there; or `odd`: views in a named schema over tables in capitals,
        moments with a zone, a reader in New York.
        """
        database = f"{kind}_shop"
        address = self.load(database, folder)
        if kind == "owner":
            return address
        files = sorted(folder.glob("*.parquet"))
        self.execute(
            database,
            f"CREATE ROLE {kind}_user LOGIN",
            f"REVOKE TEMP ON DATABASE {database} FROM PUBLIC",
            f"GRANT USAGE ON SCHEMA public TO {kind}_user",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {kind}_user",
        )
        if kind == "odd":
            self.execute(database, "CREATE SCHEMA sales", *map(_view, files))
            self.execute(
                database,
                f"GRANT TEMP ON DATABASE {database} TO odd_user",
                "GRANT USAGE ON SCHEMA sales TO odd_user",
                "GRANT SELECT ON ALL TABLES IN SCHEMA sales TO odd_user",
                "ALTER ROLE odd_user SET timezone = 'America/New_York'",
            )
        schema = "/sales" if kind == "odd" else ""
        return self.address(database, f"{kind}_user") + schema


def _view(file: Path) -> str:
    """A view in capitals over a table, its moments with a zone."""
    schema = pq.read_schema(file)
    columns = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        moment = f"(\"{name}\" AT TIME ZONE 'UTC')" if pa.types.is_timestamp(kind) else f'"{name}"'
        columns.append(f'{moment} AS "{name.upper()}"')
    return (
        f'CREATE VIEW sales."{file.stem.upper()}" AS '
        f'SELECT {", ".join(columns)} FROM public."{file.stem}"'
    )


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
    # as deep as the folder lies: every new run of pytest closes the outermost of its folders
    top = Path(tempfile.gettempdir()).resolve()
    for folder in (data, *(parent for parent in data.parents if top in parent.parents)):
        folder.chmod(0o755)
    shutil.chown(data, "postgres")
    return ["runuser", "-u", "postgres", "--"]


#: compiling a query costs far more than running it on a small shop
TINY_SPARK = {
    "spark.master": "local[1]",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xss4m",
}


def spark_session(folder: Path, checkpoints: Path) -> Any:
    """A local Spark with a shop's tables as views; skips where there is none."""
    if os.environ.get("PLAYBOOK_SPARK"):
        sys.path.append(os.environ["PLAYBOOK_SPARK"])
    sql = pytest.importorskip(
        "pyspark.sql", reason="pyspark is not installed: pip install -e .[spark]"
    )
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java 17 or later, and there is none here")
    builder = sql.SparkSession.builder
    for setting, value in TINY_SPARK.items():
        builder = builder.config(setting, value)
    session = builder.config("spark.checkpoint.dir", str(checkpoints)).getOrCreate()
    for file in sorted(folder.glob("*.parquet")):
        session.read.parquet(str(file)).createOrReplaceTempView(file.stem)
    return session
