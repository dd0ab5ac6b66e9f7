"""`import_files`: exports into a store, all or nothing, with an account of every row
and every cent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pandas as pd

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources import kinds
from playbook.sources.adapter import Adapter, Delivery, Settings
from playbook.sources.advice import advise
from playbook.sources.columns import (
    ColumnSum,
    ledger_of_file,
    lines_of,
    read_sums,
    stored_sums,
    unread_columns,
)
from playbook.sources.days import refuse_impossible_days
from playbook.sources.merge import rebuild
from playbook.sources.parts import Part, Rebuilt, parts_of
from playbook.sources.read import EXCEL_ROWS, Sheet, open_sheets
from playbook.sources.screen import refuse_broken_tables
from playbook.sources.secret import Salt
from playbook.store.contract import TABLES
from playbook.store.engine import refused_by_engine
from playbook.store.settings import read_settings as settings_of
from playbook.store.write import (
    connect,
    locked,
    publish,
    quoted,
    settle,
    staging,
    write_json,
    write_table,
)

__all__ = ["FileReport", "ImportReport", "import_files"]

VERSION = 7  # raised when the same file would now give other rows: it is then read again instead of passed over
IN_PARTS = ("entities", "ledger", "order_channels")
#: the engine's memory in an import, bytes: so much, so many times what is read, and no more; with
#: what the interpreter takes, less than 500 MB and six times the files
LEAST_MEMORY, TIMES_READ, MOST_MEMORY = 200_000_000, 4, 3_200_000_000
#: files that are packed, and how many times as much lies in them, as in parquet
PACKED, UNPACKED = (".zip", ".gz", ".bz2", ".xlsx", ".parquet"), 6


@dataclass
class FileReport:
    """One table of one file: what was read and what became of every row."""

    file: str
    kind: str
    title: str
    is_new: bool = True
    n_rows: int = 0
    n_dropped: int = 0
    encoding: str = ""
    delimiter: str = ""
    header_line: int = 1
    repaired: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: list[ColumnSum] = field(default_factory=list)
    last_day: str = ""
    tables: tuple[str, ...] = ()
    import_id: str = ""


@dataclass
class ImportReport:
    """What an import did. Frames have plain columns; `lines()` says it in sentences,
    `as_dict()` for machines.

    `ledger`: reason, n_rows, n_orders, amount of the whole store, as `import_ledger`
    holds them. `tables`: table, n_rows, observed_from, observed_to. `unmatched`: names
    no channel rule matches, with n_orders and amount.
    """

    store: str
    files: list[FileReport]
    ledger: pd.DataFrame
    tables: pd.DataFrame
    unmatched: pd.DataFrame
    currency: str | None
    possible: list[str] = field(default_factory=list)
    next_best: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The same as plain values."""
        return {
            "store": self.store,
            "files": [
                vars(f)
                | {"tables": list(f.tables)}
                | {"columns": [{k: str(v) for k, v in vars(c).items()} for c in f.columns]}
                for f in self.files
            ],
            "ledger": json.loads(self.ledger.astype({"amount": str}).to_json(orient="records")),
            "tables": json.loads(self.tables.to_json(orient="records")),
            "unmatched": json.loads(self.unmatched.to_json(orient="records")),
            "currency": self.currency,
            "possible": self.possible,
            "next_best": self.next_best,
            "notes": self.notes,
            "skipped": self.skipped,
        }

    def lines(self) -> list[str]:
        """The report as sentences, one a line."""
        out = []
        for f in self.files:
            how = f"{f.n_rows:,} rows read" if f.is_new else "already imported, nothing changed"
            out.append(
                f"{f.file}: {f.title}, {how}"
                + (f", {f.n_dropped:,} dropped" if f.n_dropped else "")
            )
            out += [f"  repaired: {what} ({n:,})" for what, n in sorted(f.repaired.items())]
            out += [f"  left out: {what} ({n:,})" for what, n in sorted(f.left_out.items())]
            out += [f"  columns not understood: {', '.join(f.unknown)}"] if f.unknown else []
            out += [f"  {text}" for text in [*lines_of(f.columns), *f.notes]]
        out += [f"not imported: {text}" for text in self.skipped]
        if len(self.ledger):
            out.append(f"money as delivered ({self.currency or 'money'}), by what became of it:")
            out += [
                f"  {r.reason}: {r.n_rows:,} rows, {r.amount:,.2f}"
                for r in self.ledger.itertuples()
            ]
            out.append(
                f"  total: {self.ledger.n_rows.sum():,} rows, {self.ledger.amount.sum():,.2f}"
            )
        out += [
            f"{r.table}: {r.n_rows:,} rows"
            + (f", {r.observed_from} to {r.observed_to}" if r.observed_from else "")
            for r in self.tables.itertuples()
        ]
        if len(self.unmatched):
            out.append("names no channel rule matches (write them into the sheet `channels`):")
            out += [
                f"  {r.name}: {r.n_orders:,} orders, {float(r.amount or 0):,.2f}"
                for r in self.unmatched.head(10).itertuples(index=False)
            ]
        out += self.notes
        out += [f"chapters now possible: {', '.join(self.possible)}"] if self.possible else []
        out += [f"next best file: {text}" for text in self.next_best]
        return out


@dataclass(frozen=True)
class Asked:
    """What an import may be told beside its files."""

    day_first: bool | None = None
    is_decimal_comma: bool | None = None
    observed_on: str | None = None
    salt: bytes | None = None
    mapping: Mapping[str, object] | str | os.PathLike | None = None
    options: Mapping[str, object] | None = None


def import_files(
    kind: str, files: Sequence[str | os.PathLike], into: str | os.PathLike, **knobs: object
) -> ImportReport:
    """Imports `files` of export kind `kind` (`auto`: each recognised by its header)
    into the store folder `into`. `knobs` are those of `Asked`.

    All or nothing: a file that cannot be read refuses the whole import with a
    PlaybookError, and the store stays as it was. The same file twice, overlapping
    extracts and any order of months end in the same bytes.
    """
    asked = Asked(**knobs)
    folder = Path(into)
    if not files:
        raise PlaybookError("sources.no_file_named")
    if folder.exists() and not folder.is_dir():
        raise PlaybookError("sources.store_is_a_file", file=folder.name)
    chosen = None if kind == "auto" else _chosen(kind, asked.mapping)
    paths = sorted(
        {Path(f) for f in files}, key=lambda p: (p.name, str(p))
    )  # by name: where the folder lies changes nothing
    is_fresh = not folder.exists()
    scratch = Path(tempfile.mkdtemp(prefix="playbook-import-"))
    os.chmod(scratch, 0o700)
    try:
        settle(folder)
        with locked(folder):
            return _import(chosen, paths, folder, scratch, asked)
    except BaseException:
        _leave_as_it_was(folder, is_fresh)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _leave_as_it_was(folder: Path, is_fresh: bool) -> None:
    """Takes off what a refused import has put into the store's folder."""
    if not (folder / ".commit.json").exists():
        shutil.rmtree(folder / ".staging", ignore_errors=True)
    if not is_fresh or not folder.exists():
        return
    if {p.name for p in folder.iterdir()} <= {".lock", ".imports"}:
        shutil.rmtree(folder, ignore_errors=True)


def _chosen(kind: str, mapping: object) -> Adapter:
    if kind in ("generic", "mapping") or mapping is not None:
        from playbook.sources.mapping import adapter_from_mapping

        return adapter_from_mapping(mapping)
    return kinds.adapter(kind)


@contextlib.contextmanager
def _engine_errors(file: str) -> Iterable[None]:
    """An engine's complaint about a file as a refusal that names the file."""
    try:
        yield
    except (
        duckdb.Error,
        UnicodeError,
        OSError,
        MemoryError,
        ValueError,
        ArithmeticError,
        LookupError,
    ) as error:
        if (limit := refused_by_engine(error, "")) is not None:
            raise limit from error
        # an engine's stack and statement say nothing to a person
        text = re.split(r"Stack Trace|\bLINE \d+:", str(error))[0]
        text = text.removeprefix("INTERNAL Error: ")
        text = re.sub(r"/[^ '\"]*/", "", re.sub(r"\s+", " ", text)).strip()[:160]
        raise PlaybookError(
            "sources.file_unreadable", cause=text or type(error).__name__, file=file
        ) from error


@dataclass(frozen=True)
class _Work:
    """What every file of one import is read with."""

    con: duckdb.DuckDBPyConnection
    folder: Path
    stage: Path
    scratch: Path
    settings: Settings
    salt: Salt


def _import(
    chosen: Adapter | None, paths: list[Path], folder: Path, scratch: Path, asked: Asked
) -> ImportReport:
    settings = read_settings(folder)
    log = read_log(folder)
    salt = Salt(log.get("salt_fingerprint"), given=asked.salt)
    con = connect(os.environ.get("PLAYBOOK_MEMORY") or _memory(paths, folder), scratch)
    stage = staging(folder)
    work = _Work(con, folder, stage, scratch, _set_up(settings, asked), salt)
    _check_zone(con, work.settings.zone)
    files: list[FileReport] = []
    skipped: list[str] = []
    new: set[str] = set()
    for number, path in enumerate(paths):
        with _engine_errors(path.name):
            reports = _one_file(work, chosen, path, f"f{number}", skipped)
        files += reports
        new |= {t for r in reports if r.is_new for t in r.tables}
    if not files:
        raise PlaybookError("sources.no_file_recognised", skipped="; ".join(skipped))
    parts = parts_of(folder / ".imports", stage / ".imports")
    with _engine_errors(say("sources.the_store")):
        is_built = json.dumps(_relevant(settings), sort_keys=True) == json.dumps(
            log.get("built_with"), sort_keys=True
        )
        wanted = None if not is_built else new
        rebuilt = (
            rebuild(con, parts, stage, settings, wanted) if wanted is None or wanted else Rebuilt()
        )
    if wanted is None or wanted:
        refuse_broken_tables(con, stage, sorted({f.file for f in files if f.is_new}))
        _keep_hand_made(folder, stage, log)
        _write_log(folder, stage, parts, rebuilt, log, settings, salt)
        publish(folder)
    else:
        shutil.rmtree(stage, ignore_errors=True)
    return _report(con, folder, files, skipped, rebuilt, settings)


def _memory(paths: list[Path], folder: Path) -> str:
    """The engine's memory: a multiple of what is read, of the files and of what was imported
    before; beyond it the engine goes on in the scratch folder.
    """
    parts = (folder / ".imports").rglob("*.parquet")
    size = sum(path.stat().st_size for path in parts) * UNPACKED
    for path in paths:
        is_packed = path.suffix.lower() in PACKED
        size += path.stat().st_size * (UNPACKED if is_packed else 1) if path.is_file() else 0
    amount = min(LEAST_MEMORY + TIMES_READ * size, MOST_MEMORY)
    return f"{amount // 1_000_000}MB"


def _set_up(settings: Mapping[str, object], asked: Asked) -> Settings:
    """What shop.yaml and the caller say, together."""
    options = dict(asked.options or {})
    for key in ("known_columns", "known_days", "known_campaigns"):
        if settings.get(key):
            options[key] = [str(one) for one in settings[key]]
    return Settings(
        currency=settings.get("currency"),
        zone=settings.get("timezone"),
        day_first=asked.day_first,
        is_decimal_comma=asked.is_decimal_comma,
        observed_on=asked.observed_on,
        options=options,
    )


def _check_zone(con: duckdb.DuckDBPyConnection, zone: str | None) -> None:
    if zone:
        try:
            con.execute(f"SELECT timezone({quoted(zone)}, TIMESTAMP '2026-01-01')")
        except duckdb.Error:
            raise PlaybookError("sources.no_time_zone", given=zone, file="shop.yaml") from None


def read_settings(folder: Path) -> dict[str, object]:
    """shop.yaml of a store, every setting known and of its kind; empty where it has none."""
    return {k: v for k, v in settings_of(folder / "shop.yaml").items() if v is not None}


def _relevant(settings: Mapping[str, object]) -> dict[str, object]:
    return {k: settings.get(k) for k in ("currency", "timezone")}


def read_log(folder: Path) -> dict:
    path = folder / "store.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        raise PlaybookError("sources.log_damaged", file="store.json") from None


# --- one file --------------------------------------------------------------------------------------------------------


def _fit(chosen: Adapter | None) -> Callable[[list[str]], int]:
    """How well a row of headers fits the kind named, or the best of all where none is."""
    if chosen is not None:
        return lambda names: kinds.score(chosen, names, is_named=True)
    return lambda names: max((points for points, _ in kinds.best_kinds(names)), default=0)


def _one_file(
    work: _Work, chosen: Adapter | None, path: Path, tag: str, skipped: list[str]
) -> list[FileReport]:
    fit = _fit(chosen)

    def is_sectioned(names: list[str]) -> bool:
        one = chosen or next((found for _, found in kinds.best_kinds(names)), None)
        return one is not None and one.is_sectioned

    sheets = open_sheets(work.con, path, work.scratch, fit, tag=tag, is_sectioned=is_sectioned)
    usable = [s for s in sheets if s.scan and fit(s.names) > 0]
    if not usable:
        seen = sheets[0] if sheets else Sheet(path, "", [], "")
        if chosen is not None:
            _refuse_headers(chosen, path, seen, work, tag)
        first = ", ".join(h[:40] for h in seen.headers[:6])
        skipped.append(say("sources.headers_of_no_kind", file=path.name, headers=first))
        return []
    out = []
    for sheet in usable:
        one = chosen or kinds.best_kinds(sheet.names)[0][1]
        if (
            chosen is None
            and sheet.sheet in TABLES
            and f"table-{sheet.sheet}".replace("_", "-") in kinds.adapters()
        ):
            one = kinds.adapter(
                f"table-{sheet.sheet}"
            )  # a sheet of the fill-in workbook says itself what it is
        try:
            out.append(_one_sheet(work, one, sheet))
        except PlaybookError as error:
            if not (sheet.sheet and len(usable) > 1 and error.id == "sources.headers_only"):
                raise
    if not out:
        skipped.append(say("sources.sheets_empty", file=path.name))
    return out


def _refuse_headers(chosen: Adapter, path: Path, seen: Sheet, work: _Work, tag: str) -> None:
    """Finds the row that comes nearest to the kind's headers and says which required
    ones it lacks.
    """

    def nearness(names: list[str]) -> int:
        return kinds.partial(chosen, names) + max(
            (points for points, _ in kinds.best_kinds(names)), default=0
        )

    sheets = open_sheets(work.con, path, work.scratch, nearness, tag=f"{tag}h")
    nearest = next((s for s in sheets if s.scan), seen)
    other = kinds.best_kinds(nearest.names) or kinds.best_kinds(seen.names)
    like = {"like": other[0][1].title, "like_kind": other[0][1].kind} if other else {}
    try:
        Delivery(work.con, chosen, nearest, Settings(), lambda: b"")
    except PlaybookError as error:
        if other and other[0][1].kind != chosen.kind:
            raise PlaybookError("sources.columns_of_another_kind", **error.values, **like) from None
        raise
    if other:
        raise PlaybookError(
            "sources.looks_like_another_kind", title=chosen.title, file=path.name, **like
        )
    raise PlaybookError("sources.not_this_kind", title=chosen.title, file=path.name)


def _one_sheet(work: _Work, one: Adapter, sheet: Sheet) -> FileReport:
    d = Delivery(work.con, one, sheet, work.settings, work.salt)
    import_id = _import_id(one, sheet, work.settings)
    report = FileReport(
        sheet.path.name,
        one.kind,
        one.title,
        encoding=sheet.encoding,
        delimiter=sheet.delimiter,
        header_line=sheet.first_line - 1,
        unknown=d.unknown,
        import_id=import_id,
    )
    about = _known_part(work, import_id)
    if about:
        report.is_new, report.n_rows, report.tables = False, about["n_rows"], tuple(about["tables"])
        report.last_day = about.get("extract_end", "")[:10]
        return report
    d.load()
    _refuse_without_rows(d)
    d.n_unreadable = 0
    unread = unread_columns(d, tuple(work.settings.options.get("known_columns") or ()))
    in_file = read_sums(d)
    one.shape(d)
    if "entities" not in d.emitted and not getattr(d, "is_checked", False):
        d.refuse_unreadable(one.gives[0])
    if not d.emitted:
        raise PlaybookError("sources.nothing_taken", title=one.title, file=sheet.path.name)
    target = work.stage / ".imports" / import_id
    _write_part(work.con, d, target, import_id, report)
    refuse_impossible_days(work.con, d, target)
    report.columns = stored_sums(work.con, d, in_file, target) + unread
    report.notes = [*report.notes, *ledger_of_file(work.con, d, in_file, target)]
    return report


def _import_id(one: Adapter, sheet: Sheet, settings: Settings) -> str:
    """What the rows of a sheet depend on, as one name."""
    identity = json.dumps(
        [
            VERSION,
            one.kind,
            one.columns,
            one.version,
            sheet.sha256,
            sheet.sheet,
            settings.zone,
            settings.day_first,
            settings.is_decimal_comma,
            settings.observed_on,
            dict(settings.options),
        ]
    )
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _known_part(work: _Work, import_id: str) -> dict | None:
    """What the store or this import says of a sheet it has read already."""
    for root in (work.folder, work.stage):
        note = root / ".imports" / import_id / "part.json"
        if note.exists():
            return json.loads(note.read_text(encoding="utf-8"))
    return None


def _refuse_without_rows(d: Delivery) -> None:
    """A file cut off at a spreadsheet's last row, and one that has headers only."""
    name, sheet = d.sheet.path.name, d.sheet
    lines = d.n_rows + d.n_footers + sheet.first_line - 1
    if sheet.encoding not in ("parquet", "json") and lines in EXCEL_ROWS:
        raise PlaybookError("sources.rows_cut_off", format=EXCEL_ROWS[lines], file=name, rows=lines)
    if d.n_rows == 0 and not d.reject_lines:
        raise PlaybookError("sources.headers_only", title=d.adapter.title, file=name)


def _write_part(
    con: duckdb.DuckDBPyConnection, d: Delivery, target: Path, import_id: str, report: FileReport
) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for table, query in d.emitted.items():
        path = target / f"{table}.parquet"
        if (
            table == "order_lines"
        ):  # as the store holds them, so that a single import's file can be taken over as it is
            write_table(con, table, query, path)
            continue
        order = {
            "entities": "entity",
            "ledger": "entity, reason, day_on, is_guest, amount",
            "orders": "order_id",
            "refunds": "refund_id",
            "order_channels": "order_key",
            "provider_refunds": "refund_id",
            "settled_lines": "line_id",
            "cut_heads": "order_id",
            "cut_lines": "order_id, has_head, sku, title, quantity, price",
        }.get(table) or ", ".join(TABLES[table].key)
        con.execute(
            f"COPY (SELECT * FROM ({query}) ORDER BY {order}) TO {quoted(path)} "
            "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
        )
    end = _extract_end(con, d, target)
    if d.n_unreadable and "ledger" in d.emitted:
        con.execute(
            f"COPY (SELECT * FROM read_parquet({quoted(target / 'ledger.parquet')}) UNION ALL BY NAME SELECT NULL AS entity, "
            f"'unreadable' AS reason, NULL AS day_on, true AS is_guest, {d.n_unreadable} AS n_rows, 0 AS n_orders, 0 AS amount) "
            f"TO {quoted(target / 'l2.parquet')} (FORMAT parquet, COMPRESSION zstd)"
        )
        os.replace(target / "l2.parquet", target / "ledger.parquet")
    one = d.adapter
    about = {
        "import_id": import_id,
        "kind": one.kind,
        "source_sha256": d.sheet.sha256,
        "tables": sorted(d.emitted),
        "n_rows": d.n_rows,
        "n_dropped": d.n_unreadable,
        "extract_end": end,
        "family": one.family or one.kind,
        "part": getattr(d, "part", "orders"),
        "is_split": getattr(d, "is_split", False),
        "observed_to": getattr(d, "observed_to", None),
        "repaired": d.repaired,
        "left_out": d.left_out,
    }
    write_json(target / "part.json", about)
    report.n_rows, report.n_dropped, report.repaired, report.notes = (
        d.n_rows,
        d.n_unreadable,
        d.repaired,
        d.notes,
    )
    report.left_out = d.left_out
    report.tables, report.last_day = tuple(sorted(d.emitted)), end[:10]


def _extract_end(con: duckdb.DuckDBPyConnection, d: Delivery, target: Path) -> str:
    """The latest moment any row of the file speaks of: the nearest a file comes to
    saying when it was made.
    """
    stated = getattr(d, "observed_to", None)
    ends = [str(stated)] if stated else []
    for table, columns in (
        ("entities", ["own_last"]),
        ("orders", ["ordered_at", "paid_at", "cancelled_at", "shipped_at", "delivered_at"]),
        ("refunds", ["refunded_at"]),
    ):
        if table in d.emitted:
            have = {
                r[0]
                for r in con.execute(
                    f"DESCRIBE SELECT * FROM read_parquet({quoted(target / f'{table}.parquet')})"
                ).fetchall()
            }
            picks = [f"max({c})" for c in columns if c in have]
            if picks:
                found = con.execute(
                    f"SELECT {', '.join(picks)} FROM read_parquet({quoted(target / f'{table}.parquet')})"
                ).fetchone()
                ends += [str(v) for v in found if v is not None]
    for table in d.emitted:
        cut = TABLES[table].cut if table in TABLES and table not in ("orders", "refunds") else ""
        if cut and TABLES[table].column(cut).type in ("date", "ts"):
            have = {
                r[0]
                for r in con.execute(
                    f"DESCRIBE SELECT * FROM read_parquet({quoted(target / f'{table}.parquet')})"
                ).fetchall()
            }
            if cut in have:
                (value,) = con.execute(
                    f"SELECT max({cut}) FROM read_parquet({quoted(target / f'{table}.parquet')})"
                ).fetchone()
                ends += [str(value)] if value is not None else []
    return max(ends, default="")


# --- the store -------------------------------------------------------------------------------------------------------


def _keep_hand_made(folder: Path, stage: Path, log: dict) -> None:
    """Refuse to put a table over one that no import made: what a person wrote by hand
    is not an import's to replace.
    """
    ours = set(log.get("tables") or ())
    for name in sorted(_staged_tables(stage) - ours):
        found = [
            p
            for p in (
                folder / f"{name}.parquet",
                folder / f"{name}.csv",
                folder / f"{name}.csv.gz",
                folder / name,
            )
            if p.exists()
        ]
        if found:
            shutil.rmtree(stage, ignore_errors=True)
            raise PlaybookError(
                "sources.table_by_hand",
                file=found[0],
                file_name=found[0].name,
                table=name,
            )


def _staged_tables(stage: Path) -> set[str]:
    return {p.stem for p in stage.glob("*.parquet")} | {
        p.name for p in stage.iterdir() if p.is_dir() and p.name in TABLES
    }


def _write_log(
    folder: Path,
    stage: Path,
    parts: list[Part],
    rebuilt: Rebuilt,
    log: dict,
    settings: Mapping[str, object],
    salt: Salt,
) -> None:
    observed_from = {**(log.get("observed_from") or {}), **rebuilt.observed_from}
    observed_to = {**(log.get("observed_to") or {}), **rebuilt.observed_to}
    left_out = {**(log.get("left_out") or {}), **rebuilt.left_out}
    left_out = {table: money for table, money in left_out.items() if money}
    write_json(
        stage / "store.json",
        {
            "observed_from": observed_from,
            "observed_to": observed_to,
            **({"left_out": left_out} if left_out else {}),
            "salt_fingerprint": salt.fingerprint,
            "currency": rebuilt.currency or log.get("currency"),
            "built_with": _relevant(settings),
            "tables": sorted(_staged_tables(stage) | set(log.get("tables") or ())),
            "imports": [
                {
                    "import_id": p.import_id,
                    "kind": p.kind,
                    "source_sha256": p.source_sha256,
                    "rows": p.about["n_rows"],
                    "extract_end": p.extract_end,
                }
                for p in parts
            ],
        },
    )
    if not (folder / "shop.yaml").exists():
        name = re.sub(r"[^\w-]+", "-", folder.resolve().name).strip("-") or "shop"
        (stage / "shop.yaml").write_text(f"name: {name}\n", encoding="utf-8")


def _report(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    files: list[FileReport],
    skipped: list[str],
    rebuilt: Rebuilt,
    settings: Mapping[str, object],
) -> ImportReport:
    log = read_log(folder)
    tables = []
    for name in TABLES:
        path = folder / f"{name}.parquet"
        if path.exists():
            (n,) = con.execute(f"SELECT count(*) FROM read_parquet({quoted(path)})").fetchone()
            tables.append(
                (
                    name,
                    n,
                    (log.get("observed_from") or {}).get(name, ""),
                    (log.get("observed_to") or {}).get(name, ""),
                )
            )
    ledger = pd.DataFrame({"reason": [], "n_rows": [], "n_orders": [], "amount": []})
    path = folder / "import_ledger.parquet"
    if path.exists():
        from playbook.store.write import REASONS

        found = con.execute(
            f"SELECT reason, CAST(sum(n_rows) AS BIGINT), CAST(sum(n_orders) AS BIGINT), sum(amount) "
            f"FROM read_parquet({quoted(path)}) GROUP BY 1"
        ).fetchall()
        order = list(REASONS)
        found.sort(key=lambda r: order.index(r[0]) if r[0] in order else len(order))
        ledger = pd.DataFrame(found, columns=["reason", "n_rows", "n_orders", "amount"])
    notes = list(rebuilt.notes)
    notes += [
        f"{n:,} orders in {c} ({total} {c}) are left out: cost_rates has no exchange_rate for {c}"
        for c, n, total in rebuilt.no_rate
    ]
    report = ImportReport(
        settings.get("name") or folder.name,
        files,
        ledger,
        pd.DataFrame(tables, columns=["table", "n_rows", "observed_from", "observed_to"]),
        pd.DataFrame(rebuilt.unmatched, columns=["name", "n_orders", "amount"]),
        settings.get("currency") or log.get("currency"),
        notes=notes,
        skipped=skipped,
    )
    observed_to = dict(zip(report.tables.table, report.tables.observed_to, strict=True))
    advice = advise(folder, con, observed_to)
    report.possible, report.next_best = advice.possible, advice.next_best
    report.notes += advice.notes
    return report
