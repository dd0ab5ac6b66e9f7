"""Opening a shop: a folder of tables, an address, or a store that makes itself."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ibis
from ibis import Table

from playbook.errors import EngineFailed, PlaybookError
from playbook.hidden import is_address, keep_secret, name_of
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
from playbook.store.copies import copied, needs_copy
from playbook.store.derived import DERIVED, STEPS, lookback_days
from playbook.store.engine import first_line, guarded, local_engine
from playbook.store.files import (
    input_files,
    read_log,
    read_table,
    table_files,
    unreadable,
)
from playbook.store.overview import shop_page
from playbook.store.server import server_tables
from playbook.store.settings import read_settings
from playbook.store.shop import Delivery, Recipes, Store
from playbook.store.state import state_of_server
from playbook.store.write import settle
from playbook.threads import one_thread

__all__ = ["ADDRESS_VARIABLE", "as_parameter", "hand_over", "open_folder", "open_store"]

#: holds the address of a store on a server for notebooks, which name it only
ADDRESS_VARIABLE = "PLAYBOOK_STORE"

# stores that make themselves on first use; imported only when asked for
NAMED = {
    "demo": ("playbook.demo.make", "ensure_demo"),
    "cdnow": ("playbook.sources.cdnow", "store_folder"),
}
RECIPES = Recipes(DERIVED, STEPS, lookback_days, shop_page)


def open_store(
    where: str | os.PathLike = "demo", *, until: str | None = None, memory: str | None = None
) -> Store:
    """Open a shop as of the end of a month (`2026-10`), of a day (`2026-10-14`) or of the
    `newest` day that is known.

    `where` is `demo`, `cdnow`, a folder of contract tables (parquet or CSV), an address
    Ibis connects to, or `$NAME`, an environment variable that holds one. Without `until`
    the last complete month of the orders is taken. `memory` caps the engine (it spills to
    disk). Raises PlaybookError naming file, table, column, rule and rows when the tables
    break the contract.
    """
    one_thread()
    place = str(where)
    memory = memory or os.environ.get("PLAYBOOK_MEMORY")
    if is_address(place):
        store = _open_address(place, until, {}, None, memory)
    else:
        store = open_folder(_folder(place), until, memory)
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
        return _open_address(str(settings["address"]), until, settings, folder, memory)
    files = {name: paths for name in TABLES if (paths := table_files(folder, name))}
    if not files:
        raise PlaybookError("store.folder_without_tables", file=folder)
    _require_stated(settings, files, folder)
    con = local_engine(memory)
    tables = {name: read_table(con, name, paths) for name, paths in files.items()}
    listed = sorted(folder.glob("promo_skus.*"))
    if listed and "promotions" in tables:
        tables["promotions"] = _with_promo_skus(con, tables["promotions"], listed[0])
    content = content_hash(input_files(folder))
    log = read_log(folder / "store.json")
    store = Store(
        Delivery(
            str(folder),
            con,
            tables,
            settings,
            log,
            content,
            folder,
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


def _require_stated(settings: dict[str, Any], there: Iterable[str], place: Path | str) -> None:
    """Tables the settings promise must be there: where a database hides what its user may
    not see, only the shop can know.
    """
    lacking = [name for name in settings.get("tables") or [] if name not in there]
    if lacking:
        raise PlaybookError(
            "store.stated_table_missing",
            table=lacking[0],
            file=place,
        )


def _parsed_once(con: Any, name: str, file: Path, typed: Table) -> Table:
    """Text tables are parsed once and kept as parquet by the hash of their bytes."""
    key = hashlib.sha256(f"{file_hash(file)}{code_version()}".encode()).hexdigest()
    path = cache_folder() / "parsed" / f"{name}-{key[:16]}.parquet"
    if not path.exists():
        try:
            write_parquet(con, typed, path)
        except EngineFailed:
            raise
        except Exception as error:  # what is wrong with a line shows only when it is read
            raise unreadable(file, name, error) from None
    return con.read_parquet(path, table_name=f"parsed_{name}")


def as_parameter(where: str) -> str:
    """A store as a notebook's parameter, wherever the notebook is opened from. An address
    is never written: it stays in the environment, as PLAYBOOK_STORE.
    """
    if is_address(where):
        return where if where.startswith("$") else f"${ADDRESS_VARIABLE}"
    return str(Path(where).resolve()) if Path(where).is_dir() else where


def hand_over(where: str) -> str:
    """The store as a parameter of notebooks that this process starts; an address goes to
    them by the environment.
    """
    if is_address(where) and not where.startswith("$"):
        os.environ[ADDRESS_VARIABLE] = where
    return as_parameter(where)


def _address_in(variable: str) -> str:
    """The address an environment variable holds, given as `$NAME`."""
    name = variable.removeprefix("$").strip("{}")
    if not os.environ.get(name):
        raise PlaybookError("store.no_address_variable", name=name)
    return os.environ[name]


def _open_address(
    where: str,
    until: str | None,
    settings: dict[str, Any],
    folder: Path | None = None,
    memory: str | None = None,
) -> Store:
    address = _address_in(where) if where.startswith("$") else where
    keep_secret(address)
    name = str(settings.get("name") or name_of(address))
    try:
        con = guarded(ibis.connect(address), name)
        tables = server_tables(con)
    except PlaybookError:
        raise
    except Exception as error:  # every driver raises its own kind
        raise PlaybookError(
            "store.cannot_connect",
            name=name,
            reason=first_line(error),
        ) from None
    if not tables:
        raise PlaybookError("store.address_without_tables", name=name)
    _require_stated(settings, tables, folder or name)
    told = {"name": name} | settings
    log = read_log(folder / "store.json") if folder else {}
    place = str(folder or name)
    delivery = Delivery(
        place,
        con,
        tables,
        told,
        log,
        folder=folder,
        on_server=tables,
    )
    if needs_copy(con, tables):
        delivery = _copied_here(delivery, memory)
    return Store(delivery, RECIPES, until)


def _copied_here(delivery: Delivery, memory: str | None) -> Delivery:
    """The same store, its tables read once from the server and asked here."""
    state = state_of_server(delivery.con, delivery.on_server)
    copy = copied(delivery.con, delivery.on_server, state)
    con = local_engine(memory)
    tables = {name: read_table(con, name, table_files(copy, name)) for name in delivery.tables}
    beside = delivery.folder
    told = [beside / "shop.yaml", beside / "store.json"] if beside else []
    content = content_hash([*input_files(copy), *told])
    return dataclasses.replace(
        delivery,
        con=con,
        tables=tables,
        content=content,
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
