"""Opening a shop as of a day: its tables as Ibis expressions, cut at as-of, with the
derived tables built once.

*As of* means what could be known at the end of that local day: rows that happened later are gone, and later
timestamps inside earlier rows (a delivery, a cancellation) are masked. Nothing here reads the clock.
"""

from __future__ import annotations

import calendar
import contextlib
import csv
import datetime as dt
import functools
import gzip
import hashlib
import importlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import yaml
from ibis import _

from playbook.errors import PlaybookError
from playbook.store.contract import PLANNED, TABLES, Table, ibis_type

__all__ = ["Store", "cache_folder", "expression", "last_day", "open_store"]

NAMED = {  # stores that make themselves on first use; imported only when asked for
    "demo": ("playbook.demo", "ensure_demo", ()),
    "cdnow": ("playbook.sources.cdnow", "store_folder", ()),
}
COUNTED = ("paid", "shipped", "done", "refunded")


def cache_folder() -> Path:
    """Where derived tables, downloads and the demo shop are kept: PLAYBOOK_CACHE, or a
    folder of the user's cache.
    """
    given = os.environ.get("PLAYBOOK_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecommerce-playbook"


def expression(table: Any) -> ibis.Table:
    """An Ibis table: expressions pass through, a pandas frame becomes one (text stays
    text, dates stay dates).
    """
    if isinstance(table, ibis.Table):
        return table
    return ibis.memtable(table.reset_index(drop=True))


def last_day(month: str) -> dt.date:
    """The last day of a month written `YYYY-MM`; PlaybookError when it is not one."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise PlaybookError(
            f"{month!r} is not a month", do="write it as YYYY-MM, for example 2026-10"
        )
    year, number = map(int, month.split("-"))
    return dt.date(year, number, calendar.monthrange(year, number)[1])


class Store:
    """One shop as of one day. Contract tables are attributes (`shop.orders`), so are
    the derived ones.

    Attributes: name, currency, month, as_of (date), is_month_complete, missing (tables
    not there), margin_basis (text), settings (shop.yaml), fingerprint (of the inputs
    and as-of).
    """

    def __init__(
        self,
        where: str,
        con: Any,
        sources: dict[str, ibis.Table],
        settings: dict,
        log: dict,
        content: str,
        until: str | None,
    ) -> None:
        self.where, self.con, self.settings, self.log, self.content = (
            where,
            con,
            settings,
            log,
            content,
        )
        self._delivered = sources
        self._sources = {name: _typed(TABLES[name], table) for name, table in sources.items()}
        self._present = {name: set(table.columns) for name, table in sources.items()}
        self.missing = [name for name in TABLES if name not in sources]
        self.name = str(settings.get("name") or Path(where).name)
        self.log_starts_with_shop = bool(settings.get("log_starts_with_shop", False))
        self.counted_statuses = tuple(settings.get("counted_statuses", COUNTED))
        self.parameters = settings.get("parameters") or {}
        first, last = self._span()
        self.observed_from, self.observed_to = first, last
        asked = self._as_of(until)
        self.month = f"{asked:%Y-%m}"
        self.as_of = (
            min(asked, last) if last else asked
        )  # nothing is known beyond the log's last day
        self.is_month_complete = self.as_of == last_day(self.month)
        self.as_of_end = _utc_end(
            self.as_of, str(settings.get("time_zone") or settings.get("timezone") or "UTC")
        )
        self.currency = self._currency()

    def __repr__(self) -> str:
        return f"Store({self.name!r}, as of {self.as_of}, {len(self._sources)} tables)"

    def __getattr__(self, name: str) -> ibis.Table:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in TABLES:
            return self.table(name)
        from playbook.store.derived import DERIVED, STEPS

        if name in DERIVED or name in STEPS:
            return self.derived(name)
        raise AttributeError(name)

    def table(self, name: str) -> ibis.Table:
        """A contract table cut at as-of, every contract column present; PlaybookError
        if the shop has none.
        """
        if name not in self._sources:
            raise PlaybookError(
                f"The store {self.name} has no {name}", table=name, do=f"import or add {name}"
            )
        return self._cut(name)

    def get(self, name: str) -> ibis.Table | None:
        """The table, or None when the shop has none."""
        return self.table(name) if name in self._sources else None

    @functools.cache
    def has(self, name: str) -> bool:
        """Is there such a table (`"stock"`), or a column with at least one value in it
        (`"products.unit_cost"`)?
        """
        table, _, column = name.partition(".")
        if table not in self._sources or (column and column not in self._present[table]):
            return False
        t = self._cut(table)
        seen = t.filter(t[column].notnull()) if column else t
        return bool(self.con.execute(seen.limit(1).count()) > 0)

    @functools.cache
    def derived(self, name: str) -> ibis.Table:
        """A derived table of `playbook.store.derived`, built once per inputs and day,
        then read from the cache.
        """
        from playbook.store.derived import DERIVED, STEPS

        make = DERIVED.get(name) or STEPS[name]
        if (
            self.content == ""
        ):  # a server: no files to fingerprint, so the engine keeps it for this connection
            return _kept_on_server(self.con, make(self))
        path = (self.cache if name in DERIVED else self.cache / "steps") / f"{name}.parquet"
        if not path.exists():
            _write(self.con, make(self), path)
        return self.con.read_parquet(path, table_name=f"derived_{name}")

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change when any input byte, the day, or the way
        tables are derived changes.
        """
        text = json.dumps([self.content, str(self.as_of), _code_version()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def cache(self) -> Path:
        """The folder of this store's derived tables."""
        folder = cache_folder() / "derived" / self.fingerprint
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # a cache somebody else keeps
            os.utime(folder)  # in use: pruning goes by the last use
        if is_new:
            _prune(folder.parent)
        return folder

    def days_after(self, days: int) -> str:
        """The day so many days after as-of, as YYYY-MM-DD: how decisions get their due
        dates.
        """
        return str(self.as_of + dt.timedelta(days=days))

    @functools.cached_property
    def _has_later_orders(self) -> bool:
        """Where none was placed after as-of, every line of the log has happened (a line
        without an order stops).
        """
        later = self._sources["orders"].filter(_.ordered_at >= ibis.literal(self.as_of_end))
        return bool(self.con.execute(later.limit(1).count()) > 0)

    @functools.cached_property
    def truncated_before(self) -> dt.date | None:
        """First orders before this day may not be first ones; None where the log starts
        with the shop.
        """
        if self.log_starts_with_shop or self.observed_from is None:
            return None
        from playbook.store.derived import lookback_days

        return self.observed_from + dt.timedelta(days=lookback_days(self))

    @functools.cached_property
    def margin_basis(self) -> str:
        """What `margin` contains in this shop, in words; `revenue` when no cost is
        known.
        """
        if not self.has("order_lines.unit_cost"):
            return "revenue"
        known = [("orders.payment_fee", "payment fees"), ("orders.shipping_cost", "shipping")]
        parts = ["goods"] + [label for column, label in known if self.has(column)]
        return "contribution margin after " + ", ".join(
            parts + (["cost rates"] if self.has("cost_rates") else [])
        )

    def _span(self) -> tuple[dt.date | None, dt.date | None]:
        if "orders" not in self._sources:
            days = [d for d in (self.log.get("observed_to") or {}).values() if d]
            return None, max(map(dt.date.fromisoformat, days)) if days else None
        days = self._sources["orders"].ordered_on
        low, high = self.con.execute(
            days.as_table().aggregate(low=days.min(), high=days.max())
        ).iloc[0]
        if pd.isna(low):
            lacking = [c for c in TABLES["orders"].required if c not in self._present["orders"]]
            found = ", ".join(sorted(self._present["orders"])[:12])
            raise PlaybookError(
                f"A required column is missing; found: {found}"
                if lacking
                else "The table has no rows",
                file=self.where,
                table="orders",
                column=lacking[0] if lacking else None,
                do=f"add or rename the column {lacking[0]}"
                if lacking
                else "import at least one order",
            )
        stated = (self.log.get("observed_to") or {}).get("orders")
        high = _date(high)
        return _date(low), max(high, dt.date.fromisoformat(stated)) if stated else high

    def _as_of(self, until: str | None) -> dt.date:
        last = self.observed_to
        if until is None:
            if last is None:
                raise PlaybookError(
                    "This store has no orders, so it has no last month", do="give a month"
                )
            if last == last_day(f"{last:%Y-%m}"):
                return last
            before = last.replace(day=1) - dt.timedelta(days=1)
            return before if self.observed_from and before >= self.observed_from else last
        try:
            day = dt.date.fromisoformat(until) if len(until) == 10 else last_day(until)
        except ValueError:
            raise PlaybookError(
                f"{until!r} is not a day", do="write YYYY-MM or YYYY-MM-DD"
            ) from None
        first = self.observed_from
        if first and (day < first or day.replace(day=1) > last):
            raise PlaybookError(
                f"{until} lies outside the data, which run from {first} to {last}",
                table="orders",
                do=f"choose a month from {first:%Y-%m} to {last:%Y-%m}, or import the exports of {until}",
            )
        return day

    def _currency(self) -> str:
        if self.settings.get("currency"):
            return str(self.settings["currency"])
        if "currency" in self._present.get("orders", ()):
            found = self._sources["orders"].currency
            low, high = self.con.execute(
                found.as_table().aggregate(low=found.min(), high=found.max())
            ).iloc[0]
            if isinstance(low, str) and low == high:
                return low
        return "money"

    @functools.cache
    def _cut(self, name: str) -> ibis.Table:
        """Rows that had happened by as-of, with everything that happened later masked."""
        table, spec = self._sources[name], TABLES[name]
        if spec.cut:
            kind, column = spec.column(spec.cut).type, table[spec.cut]
            if kind == "month":
                keep = column <= self.month
            elif kind == "date":
                keep = column <= ibis.literal(self.as_of)
            else:
                keep = column < ibis.literal(self.as_of_end)
            table = table.filter(
                keep if spec.column(spec.cut).required else (keep | column.isnull())
            )
        elif name == "order_lines" and "orders" in self._sources and self._has_later_orders:
            table = table.semi_join(self._cut("orders"), "order_id")
        elif name == "market_series":
            table = table.filter(
                table.published_on.isnull() | (table.published_on <= ibis.literal(self.as_of))
            )
        if name == "orders":
            late = ibis.literal(self.as_of_end)
            status = table.status
            seen = ibis.cases(
                (
                    (status == "cancelled") & (table.cancelled_at >= late) & (table.paid_at < late),
                    "paid",
                ),
                ((status == "cancelled") & (table.cancelled_at >= late), "placed"),
                ((status != "cancelled") & (table.paid_at >= late), "placed"),
                (status.isin(["shipped", "done"]) & (table.shipped_at >= late), "paid"),
                ((status == "done") & (table.delivered_at >= late), "shipped"),
                else_=status,
            )
            table = table.mutate(status=seen)
        masked = {}
        for column in spec.columns:
            if (
                column.name in PLANNED
                or column.name == spec.cut
                or column.name not in table.columns
            ):
                continue
            if column.type == "ts":
                masked[column.name] = (table[column.name] < ibis.literal(self.as_of_end)).ifelse(
                    table[column.name], ibis.null("timestamp")
                )
            elif column.type == "date" and column.name in ("received_on",):
                masked[column.name] = (table[column.name] <= ibis.literal(self.as_of)).ifelse(
                    table[column.name], ibis.null("date")
                )
        if name == "purchase_orders":
            arrived = table.received_on <= ibis.literal(self.as_of)
            masked |= {
                c: arrived.ifelse(table[c], ibis.null("int64"))
                for c in ("n_received", "n_defective")
            }
        return table.mutate(**masked) if masked else table


def open_store(
    where: str | os.PathLike = "demo", *, until: str | None = None, memory: str | None = None
) -> Store:
    """Open a shop as of the end of a month (`2026-10`) or of a day (`2026-10-14`).

    `where` is `demo`, `cdnow`, a folder of contract tables (parquet or CSV), or an
    address Ibis connects to. Without `until` the last complete month of the orders is
    taken. `memory` caps the engine (it spills to disk). Raises PlaybookError naming
    file, table, column, rule and rows when the tables break the contract.
    """
    where = str(where)
    if "://" in where:
        store = _open_address(where, until, {})
    else:
        store = _open_folder(_folder(where), until, memory or os.environ.get("PLAYBOOK_MEMORY"))
    from playbook.store.check import require_contract

    require_contract(store)
    return store


def _kept_on_server(con: Any, table: ibis.Table) -> ibis.Table:
    """The table built once for this connection, or where the user may not create one,
    the expression itself: the same rows, computed wherever they are asked for. A
    temporary table; Spark has none, so there it is a checkpoint where
    `spark.checkpoint.dir` is set (the plan behind it is not looked at again), else a
    persisted frame.
    """
    name = ibis.util.gen_name("derived")
    try:
        if con.name == "pyspark":
            frame = con.raw_sql(con.compile(table))
            kept = frame.sparkSession.conf.get("spark.checkpoint.dir", None)
            (frame.checkpoint() if kept else frame.persist()).createOrReplaceTempView(name)
            return con.table(name).cast(table.schema())  # Spark widens products and sums of money
        return con.create_table(name, table, temp=True).cast(table.schema())
    except Exception:  # every driver raises its own kind when it refuses
        return table


def _prune(derived: Path, *, keep: int = 60, idle_hours: float = 48) -> None:
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


def _write(con: Any, table: ibis.Table, path: Path) -> None:
    """The table as parquet, whole or not at all, each column in the type Ibis states:
    left alone, DuckDB widens sums of whole numbers beyond 64 bits and products of
    decimals beyond six places.
    """
    types = {
        "decimal(18, 6)": "DECIMAL(18, 6)",
        "int64": "BIGINT",
        "float64": "DOUBLE",
        "boolean": "BOOLEAN",
        "string": "VARCHAR",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
    }
    stated = {
        name: str(kind).lstrip("!").replace("timestamp(6)", "timestamp")
        for name, kind in table.schema().items()
    }
    columns = ", ".join(
        f'CAST("{name}" AS {types[kind]}) AS "{name}"' if kind in types else f'"{name}"'
        for name, kind in stated.items()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{id(table)}")
    con.raw_sql(
        f"COPY (SELECT {columns} FROM ({ibis.to_sql(table, dialect='duckdb')})) TO '{part}' "
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    os.replace(part, path)


def _folder(where: str) -> Path:
    name, _, preset = where.partition(":")
    if name in NAMED and not Path(where).exists():
        module, function, args = NAMED[name]
        try:
            make = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise PlaybookError(f"The store {where} cannot be made here: {error}") from None
        return Path(make(*((preset,) if preset else args)))
    project = Path(__file__).resolve().parents[2]
    for folder in (Path(where), project / where, project / "stores" / where):
        if folder.is_dir():
            return folder.resolve()
    if Path(where).is_file():
        raise PlaybookError(
            "A store is a folder of tables, not one file",
            file=where,
            do="import the file into a folder with `playbook import`",
        )
    raise PlaybookError(
        f"There is no store {where}",
        file=Path(where),
        do=f"give a folder that exists, or one of {', '.join(NAMED)}",
    )


def _open_folder(folder: Path, until: str | None, memory: str | None) -> Store:
    if (
        folder / ".commit.json"
    ).exists():  # an import was stopped between noting its change and finishing it
        from playbook.store.write import settle

        settle(folder)
    settings = _yaml(folder / "shop.yaml")
    if settings.get("address"):  # the folder holds the settings, a server the tables
        return _open_address(str(settings["address"]), until, settings)
    log = _json(folder / "store.json")
    con = ibis.duckdb.connect()
    spill = cache_folder() / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    con.raw_sql(f"SET temp_directory='{spill}'")
    if memory:
        con.raw_sql(f"SET memory_limit='{memory}'")
    files = {name: found for name in TABLES if (found := _files(folder, name))}
    if not files:
        raise PlaybookError(
            "The folder holds none of the contract's tables",
            file=folder,
            do="see `playbook contract` for their names, or import exports into it",
        )
    sources = {name: _read(con, name, found) for name, found in files.items()}
    if "promo_skus" in {p.stem for p in folder.glob("promo_skus.*")} and "promotions" in sources:
        sources["promotions"] = _with_promo_skus(
            con, sources["promotions"], next(folder.glob("promo_skus.*"))
        )
    content = _content(
        [p for found in files.values() for p in found]
        + [folder / "shop.yaml", folder / "store.json"]
    )
    store = Store(str(folder), con, sources, settings, log, content, until)
    for name in [n for n, found in files.items() if found[0].suffix != ".parquet"]:
        store._sources[name] = _parsed_once(con, name, files[name][0], store._sources[name])
    return store


def _parsed_once(con: Any, name: str, file: Path, typed: ibis.Table) -> ibis.Table:
    """Text tables are parsed once and kept as parquet by the hash of their bytes."""
    stat = file.stat()
    key = hashlib.sha256(
        f"{_sha256(str(file), stat.st_size, stat.st_mtime_ns)}{_code_version()}".encode()
    ).hexdigest()
    path = cache_folder() / "parsed" / f"{name}-{key[:16]}.parquet"
    if not path.exists():
        try:
            _write(con, typed, path)
        except Exception as error:  # what is wrong with a line shows only when it is read
            raise _unreadable(file, name, error) from None
    return con.read_parquet(path, table_name=f"parsed_{name}")


def _open_address(where: str, until: str | None, settings: dict) -> Store:
    shown = re.sub(r"//[^/@]*@", "//", where)
    try:
        con = ibis.connect(where)
        names = set(con.list_tables())
    except (
        Exception
    ) as error:  # every driver raises its own kind; a person needs the address and the reason
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PlaybookError(
            f"Cannot connect to {shown}: {reason}", do="check the address and that the server runs"
        ) from None
    sources = {name: con.table(name) for name in TABLES if name in names}
    if not sources:
        raise PlaybookError(
            f"{shown} holds none of the contract's tables",
            do="see `playbook contract` for their names",
        )
    name = re.split(r"[/?]", re.sub(r"\?.*$", "", where).rstrip("/"))[-1] or "shop"
    return Store(shown, con, sources, {"name": name} | settings, {}, "", until)


def _files(folder: Path, name: str) -> list[Path]:
    if (folder / name).is_dir():
        return sorted((folder / name).glob("*.parquet"))
    return [p for end in ("parquet", "csv", "csv.gz") if (p := folder / f"{name}.{end}").is_file()][
        :1
    ]


def _read(con: Any, name: str, files: list[Path]) -> ibis.Table:
    try:
        if files[0].suffix == ".parquet":
            return con.read_parquet([str(f) for f in files], table_name=f"source_{name}")
        delimiter, names = _header(files[0])
        # told, not guessed: the engine's guess may take a line in the middle for the header and leave out those above
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
    except Exception as error:
        raise _unreadable(files[0], name, error) from None


def _csv_rows(file: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    with (gzip.open if file.suffix == ".gz" else open)(
        file, "rt", encoding="utf-8-sig", newline=""
    ) as text:
        rows = csv.reader(text, delimiter=delimiter)
        yield from ((rows.line_num, row) for row in rows)


def _header(file: Path) -> tuple[str, list[str]]:
    """The delimiter under which the first line has the most columns, and their names; a
    repeated name gets a number.
    """
    first = {d: next(_csv_rows(file, d), (0, [""]))[1] for d in (",", ";", "\t", "|")}
    delimiter = max(first, key=lambda d: len(first[d]))
    if not any(first[delimiter]) or "\0" in first[delimiter][0]:
        raise ValueError("it has no line of column names")
    names: list[str] = []
    for i, name in enumerate(first[delimiter]):
        names.append(f"{name}_{i}" if name in names or not name else name)
    return delimiter, names


def _unreadable(file: Path, name: str, error: Exception) -> PlaybookError:
    """What a person can find and mend in a file that the engine refuses."""
    reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    try:
        if file.suffix != ".parquet":
            delimiter, names = _header(file)
            odd = next(
                (r for r in _csv_rows(file, delimiter) if r[1] and len(r[1]) != len(names)), None
            )
            if odd:
                reason = (
                    f"line {odd[0]:,} has {len(odd[1])} values where the header has {len(names)}"
                )
            elif "state machine" in reason:
                reason = "its lines end in more than one way, or a quotation mark is never closed"
    except UnicodeDecodeError:
        reason = "its text is not UTF-8"
    except (OSError, EOFError, ValueError, csv.Error) as other:
        reason = str(other)
    return PlaybookError(
        f"The file cannot be read: {reason}",
        file=file,
        table=name,
        do="export it again, or open and save it as CSV (UTF-8) or parquet",
    )


def _with_promo_skus(con: Any, promotions: ibis.Table, path: Path) -> ibis.Table:
    child = _read(con, "promo_skus", [path])
    listed = child.group_by("promo_id").aggregate(
        child_skus=child.sku.cast("string").group_concat(" ")
    )
    joined = promotions.left_join(listed, "promo_id").drop("promo_id_right")
    skus = (
        joined.skus.fill_null(joined.child_skus)
        if "skus" in promotions.columns
        else joined.child_skus
    )
    return joined.mutate(skus=skus).drop("child_skus")


def _typed(spec: Table, table: ibis.Table) -> ibis.Table:
    """Every contract column in its contract type; values that do not convert become
    missing here and are counted by `check`; columns beyond the contract are kept only
    for `survey`, whose questions are columns.
    """
    columns = {}
    for column in spec.columns:
        wanted = ibis_type(column)
        if column.name not in table.columns:
            columns[column.name] = ibis.null(wanted)
            continue
        found = table[column.name]
        if column.name == "location" or (column.name == "scope" and spec.name == "cost_rates"):
            found = found.fill_null("main" if column.name == "location" else "all")
        same = str(found.type()).lstrip("!") == wanted
        columns[column.name] = found if same else _cast(found, wanted)
    if spec.name == "survey":
        columns |= {c: table[c] for c in table.columns if c not in columns}
    return table.select(**columns)


def _cast(found: Any, wanted: str) -> Any:
    kind = found.type()
    if wanted == "timestamp" and kind.is_timestamp() and kind.timezone:
        return found.cast("timestamp('UTC')").cast("timestamp")
    if wanted == "int64" and kind.is_string():
        return found.try_cast("float64").try_cast("int64")
    if (
        wanted == "string" and kind.is_floating()
    ):  # an id column read as numbers: 17850.0 is the id 17850
        return found.try_cast("int64").cast("string")
    return found.cast(wanted) if kind.is_null() else found.try_cast(wanted)


def _utc_end(day: dt.date, zone: str) -> dt.datetime:
    """The UTC moment at which the local day `day` ends."""
    try:
        end = pd.Timestamp(day + dt.timedelta(days=1)).tz_localize(zone)
    except Exception:
        raise PlaybookError(
            f"{zone!r} is not a time zone", file="shop.yaml", do="write one such as Europe/Berlin"
        ) from None
    return end.tz_convert("UTC").tz_localize(None).to_pydatetime()


def _date(value: Any) -> dt.date:
    return pd.Timestamp(value).date()


def _yaml(path: Path) -> dict:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    except yaml.YAMLError as error:
        raise PlaybookError(
            f"The settings cannot be read: {str(error).splitlines()[0]}",
            file=path,
            do="mend the line named, or start again from `playbook init`",
        ) from None
    if found is not None and not isinstance(found, dict):
        raise PlaybookError(
            "The settings are not `name: value` lines", file=path, do="start from `playbook init`"
        )
    return found or {}


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        raise PlaybookError(
            "The store's log is damaged", file=path, do="import the exports into a fresh folder"
        ) from None


def _content(paths: list[Path]) -> str:
    """A hash of the files' bytes, remembered by size and time of change so that it is
    read once.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in paths if p.exists()):
        digest.update(
            f"{path.name}:{_sha256(str(path), path.stat().st_size, path.stat().st_mtime_ns)}".encode()
        )
    return digest.hexdigest()


def _sha256(path: str, size: int, changed_ns: int) -> str:
    memo = (
        cache_folder()
        / "hashes"
        / hashlib.sha256(f"{path}:{size}:{changed_ns}".encode()).hexdigest()
    )
    if memo.exists():
        return memo.read_text()
    with open(path, "rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    memo.parent.mkdir(parents=True, exist_ok=True)
    part = memo.with_name(f".{memo.name}.{os.getpid()}")
    part.write_text(found)
    os.replace(part, memo)
    return found


@functools.cache
def _code_version() -> str:
    """A hash of the modules that decide what derived tables hold."""
    digest = hashlib.sha256()
    for name in ("contract.py", "open.py", "derived.py", "check.py", "reconcile.py"):
        path = Path(__file__).with_name(name)
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()
