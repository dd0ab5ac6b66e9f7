"""Opening a shop: a folder of tables, an address, or a store that makes itself."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from pathlib import Path
from typing import Any

import ibis
from ibis import Table

from playbook.errors import PlaybookError
from playbook.places import project_folder
from playbook.store.cache import (
    cache_folder,
    code_version,
    content_hash,
    file_hash,
    write_parquet,
)
from playbook.store.check import require_contract
from playbook.store.contract import TABLES
from playbook.store.derived import DERIVED, STEPS, lookback_days
from playbook.store.files import (
    first_line,
    read_log,
    read_settings,
    read_table,
    table_files,
    unreadable,
)
from playbook.store.shop import Delivery, Recipes, Store
from playbook.store.write import settle
from playbook.threads import one_thread

__all__ = ["open_folder", "open_store"]

# stores that make themselves on first use; imported only when asked for
NAMED = {
    "demo": ("playbook.demo.make", "ensure_demo"),
    "cdnow": ("playbook.sources.cdnow", "store_folder"),
}
RECIPES = Recipes(DERIVED, STEPS, lookback_days)


def open_store(
    where: str | os.PathLike = "demo", *, until: str | None = None, memory: str | None = None
) -> Store:
    """Open a shop as of the end of a month (`2026-10`) or of a day (`2026-10-14`).

    `where` is `demo`, `cdnow`, a folder of contract tables (parquet or CSV), or an
    address Ibis connects to. Without `until` the last complete month of the orders is
    taken. `memory` caps the engine (it spills to disk). Raises PlaybookError naming
    file, table, column, rule and rows when the tables break the contract.
    """
    one_thread()
    place = str(where)
    if "://" in place:
        store = _open_address(place, until, {})
    else:
        store = open_folder(_folder(place), until, memory or os.environ.get("PLAYBOOK_MEMORY"))
    require_contract(store)
    return store


def _folder(where: str) -> Path:
    name, _colon, preset = where.partition(":")
    if name in NAMED and not Path(where).exists():
        module, function = NAMED[name]
        try:
            make = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise PlaybookError("store.cannot_be_made", where=where, reason=error) from None
        return Path(make(preset) if preset else make())
    project = project_folder()
    for folder in (Path(where), project / where, project / "stores" / where):
        if folder.is_dir():
            return folder.resolve()
    if Path(where).is_file():
        raise PlaybookError("store.one_file", file=where)
    raise PlaybookError(
        "store.no_store",
        where=where,
        known=", ".join(NAMED),
        file=Path(where),
    )


def open_folder(folder: Path, until: str | None = None, memory: str | None = None) -> Store:
    """Open a folder of tables without checking them against the contract.

    An import that was stopped between noting its change and finishing it is finished
    first. Where shop.yaml names an address, the folder holds the settings and a server
    the tables.
    """
    if (folder / ".commit.json").exists():
        settle(folder)
    settings = read_settings(folder / "shop.yaml")
    if settings.get("address"):
        return _open_address(str(settings["address"]), until, settings)
    files = {name: paths for name in TABLES if (paths := table_files(folder, name))}
    if not files:
        raise PlaybookError("store.folder_without_tables", file=folder)
    con = _engine(memory)
    tables = {name: read_table(con, name, paths) for name, paths in files.items()}
    listed = sorted(folder.glob("promo_skus.*"))
    if listed and "promotions" in tables:
        tables["promotions"] = _with_promo_skus(con, tables["promotions"], listed[0])
    every = [path for paths in files.values() for path in paths]
    content = content_hash([*every, folder / "shop.yaml", folder / "store.json"])
    log = read_log(folder / "store.json")
    store = Store(
        Delivery(
            str(folder),
            con,
            tables,
            settings,
            log,
            content,
        ),
        RECIPES,
        until,
    )
    for name, (path, *_parts) in files.items():
        if path.suffix != ".parquet":
            store.uncut[name] = _parsed_once(
                con,
                name,
                path,
                store.uncut[name],
            )
    return store


def _engine(memory: str | None) -> Any:
    con = ibis.duckdb.connect()
    spill = cache_folder() / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    con.raw_sql(f"SET temp_directory='{spill}'")
    if memory:
        con.raw_sql(f"SET memory_limit='{memory}'")
    return con


def _parsed_once(con: Any, name: str, file: Path, typed: Table) -> Table:
    """Text tables are parsed once and kept as parquet by the hash of their bytes."""
    key = hashlib.sha256(f"{file_hash(file)}{code_version()}".encode()).hexdigest()
    path = cache_folder() / "parsed" / f"{name}-{key[:16]}.parquet"
    if not path.exists():
        try:
            write_parquet(con, typed, path)
        except Exception as error:  # what is wrong with a line shows only when it is read
            raise unreadable(file, name, error) from None
    return con.read_parquet(path, table_name=f"parsed_{name}")


def _open_address(where: str, until: str | None, settings: dict[str, Any]) -> Store:
    shown = re.sub(r"//[^/@]*@", "//", where)
    try:
        con = ibis.connect(where)
        names = set(con.list_tables())
    except Exception as error:  # every driver raises its own kind
        raise PlaybookError(
            "store.cannot_connect", address=shown, reason=first_line(error)
        ) from None
    tables = {name: con.table(name) for name in TABLES if name in names}
    if not tables:
        raise PlaybookError("store.address_without_tables", address=shown)
    name = re.split(r"[/?]", re.sub(r"\?.*$", "", where).rstrip("/"))[-1] or "shop"
    return Store(
        Delivery(
            shown,
            con,
            tables,
            {"name": name} | settings,
        ),
        RECIPES,
        until,
    )


def _with_promo_skus(con: Any, promotions: Table, path: Path) -> Table:
    child = read_table(con, "promo_skus", [path])
    listed = child.group_by("promo_id").aggregate(
        child_skus=child.sku.cast("string").group_concat(" ")
    )
    joined = promotions.left_join(listed, "promo_id").drop("promo_id_right")
    skus = joined.child_skus
    if "skus" in promotions.columns:
        skus = joined.skus.fill_null(skus)
    return joined.mutate(skus=skus).drop("child_skus")
