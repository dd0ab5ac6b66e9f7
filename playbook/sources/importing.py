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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pandas as pd
import yaml

from playbook.errors import PlaybookError
from playbook.sources import kinds
from playbook.sources.adapter import Adapter, Delivery, Settings
from playbook.sources.advice import advise
from playbook.sources.columns import ColumnSum, lines_of, read_sums, stored_sums, unread_columns
from playbook.sources.merge import Part, Rebuilt, parts_of, rebuild
from playbook.sources.read import EXCEL_ROWS, Sheet, open_sheets
from playbook.sources.secret import Salt
from playbook.store.contract import TABLES
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

VERSION = 5  # raised when the same file would now give other rows: it is then read again instead of passed over
IN_PARTS = ("entities", "ledger", "order_channels")


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


def import_files(
    kind: str,
    files: Sequence[str | os.PathLike],
    into: str | os.PathLike,
    *,
    day_first: bool | None = None,
    is_decimal_comma: bool | None = None,
    observed_on: str | None = None,
    salt: bytes | None = None,
    mapping: Mapping[str, object] | str | os.PathLike | None = None,
    options: Mapping[str, object] | None = None,
) -> ImportReport:
    """Imports `files` of export kind `kind` (`auto`: each recognised by its header)
    into the store folder `into`.

    All or nothing: a file that cannot be read refuses the whole import with a
    PlaybookError, and the store stays as it was. The same file twice, overlapping
    extracts and any order of months end in the same bytes.
    """
    folder = Path(into)
    if not files:
        raise PlaybookError("no file to import was named", do="name at least one export")
    if folder.exists() and not folder.is_dir():
        raise PlaybookError(
            "the store is a folder, and this is a file", file=folder.name, do="name another folder"
        )
    chosen = None if kind == "auto" else _chosen(kind, mapping)
    paths = sorted(
        {Path(f) for f in files}, key=lambda p: (p.name, str(p))
    )  # by name: where the folder lies changes nothing
    is_fresh = not folder.exists()
    scratch = Path(tempfile.mkdtemp(prefix="playbook-import-"))
    os.chmod(scratch, 0o700)
    try:
        settle(folder)
        with locked(folder):
            return _import(
                chosen,
                paths,
                folder,
                scratch,
                salt,
                {
                    "day_first": day_first,
                    "is_decimal_comma": is_decimal_comma,
                    "observed_on": observed_on,
                },
                dict(options or {}),
            )
    except BaseException:
        shutil.rmtree(folder / ".staging", ignore_errors=True) if not (
            folder / ".commit.json"
        ).exists() else None
        if (
            is_fresh
            and folder.exists()
            and {p.name for p in folder.iterdir()} <= {".lock", ".imports"}
        ):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
        text = re.sub(r"\s+", " ", str(error)).strip()
        text = re.sub(r"/[^ '\"]*/", "", text)[:160]
        raise PlaybookError(
            f"the file cannot be read: {text or type(error).__name__}",
            file=file,
            do="export it again",
        ) from error


def _import(
    chosen: Adapter | None,
    paths: list[Path],
    folder: Path,
    scratch: Path,
    given: bytes | None,
    knobs: dict[str, object],
    options: dict[str, object],
) -> ImportReport:
    settings = read_settings(folder)
    log = read_log(folder)
    salt = Salt(log.get("salt_fingerprint"), given=given)
    con = connect(os.environ.get("PLAYBOOK_MEMORY", "2500MB"), scratch)
    stage = staging(folder)
    set_up = Settings(
        currency=settings.get("currency"),
        zone=settings.get("timezone"),
        day_first=knobs["day_first"],
        is_decimal_comma=knobs["is_decimal_comma"],
        observed_on=knobs["observed_on"],
        options=options
        | ({"known_columns": settings["known_columns"]} if settings.get("known_columns") else {}),
    )
    _check_zone(con, set_up.zone)
    files: list[FileReport] = []
    skipped: list[str] = []
    new: set[str] = set()
    for number, path in enumerate(paths):
        with _engine_errors(path.name):
            reports = _one_file(
                con, chosen, path, folder, stage, scratch, set_up, salt, f"f{number}", skipped
            )
        files += reports
        new |= {t for r in reports if r.is_new for t in r.tables}
    if not files:
        raise PlaybookError(
            "no file was recognised: " + "; ".join(skipped),
            rule="headers",
            do="name the kind, or write a mapping with `playbook map FILE`",
        )
    parts = parts_of(folder / ".imports", stage / ".imports")
    with _engine_errors("the store"):
        is_built = json.dumps(_relevant(settings), sort_keys=True) == json.dumps(
            log.get("built_with"), sort_keys=True
        )
        wanted = None if not is_built else new
        rebuilt = (
            rebuild(con, parts, stage, settings, wanted) if wanted is None or wanted else Rebuilt()
        )
    if wanted is None or wanted:
        _keep_hand_made(folder, stage, log)
        _write_log(folder, stage, parts, rebuilt, log, settings, salt)
        publish(folder)
    else:
        shutil.rmtree(stage, ignore_errors=True)
    return _report(con, folder, files, skipped, rebuilt, settings)


def _check_zone(con: duckdb.DuckDBPyConnection, zone: str | None) -> None:
    if zone:
        try:
            con.execute(f"SELECT timezone({quoted(zone)}, TIMESTAMP '2026-01-01')")
        except duckdb.Error:
            raise PlaybookError(
                f"{zone!r} is not a time zone",
                file="shop.yaml",
                do="write one such as Europe/Berlin",
            ) from None


def read_settings(folder: Path) -> dict[str, object]:
    """shop.yaml of a store; empty where it has none."""
    path = folder / "shop.yaml"
    if not path.exists():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlaybookError(
            "shop.yaml cannot be read",
            file="shop.yaml",
            rule=str(error).splitlines()[0],
            do="mend the line named, or start again from `playbook init`",
        ) from None
    if found is not None and not isinstance(found, dict):
        raise PlaybookError(
            "shop.yaml is not `name: value` lines",
            file="shop.yaml",
            do="start from `playbook init`",
        )
    return {str(k): v for k, v in (found or {}).items()}


def _relevant(settings: Mapping[str, object]) -> dict[str, object]:
    return {k: settings.get(k) for k in ("currency", "timezone")}


def read_log(folder: Path) -> dict:
    path = folder / "store.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        raise PlaybookError(
            "the store's log is damaged", file="store.json", do="import into a fresh folder"
        ) from None


# --- one file --------------------------------------------------------------------------------------------------------


def _one_file(
    con: duckdb.DuckDBPyConnection,
    chosen: Adapter | None,
    path: Path,
    folder: Path,
    stage: Path,
    scratch: Path,
    settings: Settings,
    salt: Salt,
    tag: str,
    skipped: list[str],
) -> list[FileReport]:
    if chosen is not None:

        def fit(names: list[str]) -> int:
            return kinds.score(chosen, names, is_named=True)
    else:

        def fit(names: list[str]) -> int:
            return max((points for points, _ in kinds.best_kinds(names)), default=0)

    def is_sectioned(names: list[str]) -> bool:
        one = chosen or next((found for _, found in kinds.best_kinds(names)), None)
        return one is not None and one.is_sectioned

    sheets = open_sheets(con, path, scratch, fit, tag=tag, is_sectioned=is_sectioned)
    usable = [s for s in sheets if s.scan and fit(s.names) > 0]
    if not usable:
        seen = sheets[0] if sheets else Sheet(path, "", [], "")
        if chosen is not None:
            _refuse_headers(chosen, path, seen, con, scratch, tag)
        skipped.append(
            f"{path.name}: no kind known has these headers ({', '.join(h[:40] for h in seen.headers[:6])} ...)"
        )
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
            out.append(_one_sheet(con, one, sheet, folder, stage, settings, salt))
        except PlaybookError as error:
            if not (sheet.sheet and len(usable) > 1 and error.rule == "rows"):
                raise
    if not out:
        skipped.append(f"{path.name}: its sheets are empty")
    return out


def _refuse_headers(
    chosen: Adapter, path: Path, seen: Sheet, con: object, scratch: Path, tag: str
) -> None:
    """Finds the row that comes nearest to the kind's headers and says which required
    ones it lacks.
    """

    def nearness(names: list[str]) -> int:
        return kinds.partial(chosen, names) + max(
            (points for points, _ in kinds.best_kinds(names)), default=0
        )

    sheets = open_sheets(con, path, scratch, nearness, tag=f"{tag}h")
    nearest = next((s for s in sheets if s.scan), seen)
    other = kinds.best_kinds(nearest.names) or kinds.best_kinds(seen.names)
    try:
        Delivery(con, chosen, nearest, Settings(), lambda: b"")
    except PlaybookError as error:
        if other and other[0][1].kind != chosen.kind:
            error.do = f"this looks like {other[0][1].title}: import it as {other[0][1].kind}"
        raise
    raise PlaybookError(
        f"this does not look like {chosen.title}",
        file=path.name,
        rule="headers",
        do=f"import it as {other[0][1].kind}" if other else "export it again",
    )


def _one_sheet(
    con: duckdb.DuckDBPyConnection,
    one: Adapter,
    sheet: Sheet,
    folder: Path,
    stage: Path,
    settings: Settings,
    salt: Salt,
) -> FileReport:
    d = Delivery(con, one, sheet, settings, salt)
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
    import_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
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
    known = next(
        (
            root / ".imports" / import_id / "part.json"
            for root in (folder, stage)
            if (root / ".imports" / import_id / "part.json").exists()
        ),
        None,
    )
    if known:
        about = json.loads(known.read_text(encoding="utf-8"))
        report.is_new, report.n_rows, report.tables = False, about["n_rows"], tuple(about["tables"])
        report.last_day = about.get("extract_end", "")[:10]
        return report
    d.load()
    lines = d.n_rows + d.n_footers + sheet.first_line - 1
    if sheet.encoding not in ("parquet", "json") and lines in EXCEL_ROWS:
        raise PlaybookError(
            f"the file ends exactly where {EXCEL_ROWS[lines]} can hold no more rows, so the rest has been cut off",
            file=sheet.path.name,
            rows=lines,
            do="export it as CSV without opening it in a spreadsheet",
        )
    if d.n_rows == 0 and not d.reject_lines:
        raise PlaybookError(
            f"{one.title}: the table has headers but no rows",
            rule="rows",
            file=sheet.path.name,
            do="export a period that has rows",
        )
    d.n_unreadable = 0
    unread = unread_columns(d, tuple(settings.options.get("known_columns") or ()))
    in_file = read_sums(d)
    one.shape(d)
    if "entities" not in d.emitted and not getattr(d, "is_checked", False):
        d.refuse_unreadable(one.gives[0])
    if not d.emitted:
        raise PlaybookError(
            f"{one.title}: nothing could be taken from this file",
            file=sheet.path.name,
            do="export it again",
        )
    target = stage / ".imports" / import_id
    _write_part(con, d, target, import_id, report)
    report.columns = stored_sums(con, d, in_file, target) + unread
    return report


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
                "the folder holds a table that no import made",
                file=found[0],
                table=name,
                do=f"import into a fresh folder, and bring this table in with `playbook import table-{name} "
                f"{found[0].name}`",
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
    write_json(
        stage / "store.json",
        {
            "observed_from": observed_from,
            "observed_to": observed_to,
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
