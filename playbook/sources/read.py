"""Any delivered file as one plain table of text: encoding, delimiter, header row,
preamble and footers found out.

Nothing is interpreted here. What cannot be read as a row is kept as a list of rejected
lines, never passed over.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import functools
import gzip
import hashlib
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import duckdb

from playbook.errors import PlaybookError
from playbook.sources.bigquery import NESTED, flat
from playbook.sources.east_asian import is_shift_jis, japanese_encoding
from playbook.sources.records import Records, Shape, reader_limits, records_in
from playbook.store.engine import refused_by_engine
from playbook.store.write import quoted

__all__ = ["Sheet", "digest", "normalised", "open_sheets"]

DELIMITERS = (",", "\t", ";", "|")
HEADER_SEARCH = (
    60  # rows looked at for a header: platforms put up to a dozen lines of preamble before it
)
EXCEL_ROWS = {1_048_576: ".xlsx", 65_536: ".xls"}
NEWLINES = re.compile(r"\r\n?")


def normalised(header: str) -> str:
    """A header as it is matched: compatibility forms folded, lower case, runs of other
    signs as one space.
    """
    text = unicodedata.normalize("NFKC", str(header)).lower().replace("\ufeff", "")
    return re.sub(r"[\W_]+", " ", text).strip()


def digest(path: Path) -> str:
    """sha256 of the file's bytes: how a file is recognised, never by its name, size or
    number of rows.
    """
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@dataclass
class Sheet:
    """One table of text inside a delivered file, its header found: `scan` is a FROM
    clause with columns c0, c1 ...
    """

    path: Path
    sha256: str
    headers: list[str]
    scan: str
    preamble: list[str] = field(default_factory=list)
    encoding: str = "utf-8"
    delimiter: str = ""
    first_line: int = 2  # line of the file on which the first row after the header stands
    repaired: dict[str, int] = field(default_factory=dict)
    sheet: str = ""
    rejects: str = ""  # name of the table that collects the lines the reader could not split
    is_decimal_comma: bool = False
    text: Path | None = None  # the text the engine reads, `skip` records above its first row
    skip: int = 0
    blank_above: int = 0
    records: Records | None = None

    @functools.cached_property
    def names(self) -> list[str]:
        """The headers as they are matched."""
        return [normalised(h) for h in self.headers]


def open_sheets(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    scratch: Path,
    score: Callable[[list[str]], int],
    *,
    tag: str = "t0",
    is_sectioned: Callable[[list[str]], bool] = lambda names: False,
) -> list[Sheet]:
    """Every table in `path` whose header row `score`s above 0 (the number of columns it
    knows in a row of headers).

    Where `is_sectioned` says so of the headers, the table ends at the first blank or
    comment line.

    Reads CSV, TSV, Excel and parquet, also packed as .gz, .bz2 or in a .zip. Raises
    PlaybookError, naming the file, where it is missing, empty, of a sort that is not a
    table, undecodable, or cut off by a spreadsheet's row limit.
    """
    path = Path(path)
    if not path.is_file():
        raise PlaybookError("sources.no_such_file", file=path.name)
    sha256 = digest(path)
    with open(path, "rb") as handle:
        start = handle.read(8)
    if not start:
        raise PlaybookError("sources.file_is_empty", file=path.name)
    if start[:4] == b"PAR1":
        return [_parquet(con, path, sha256)]
    if start[:2] == b"PK" and not _is_workbook(path):
        return [
            s
            for i, inner in enumerate(_unpacked(path, scratch, tag))
            for s in open_sheets(
                con, inner, scratch, score, tag=f"{tag}_{i}", is_sectioned=is_sectioned
            )
        ]
    if start[:2] == b"PK" or start[:4] == b"\xd0\xcf\x11\xe0":
        return _workbook(con, path, sha256, scratch, score, tag)
    if start[:2] == b"\x1f\x8b" or start[:3] == b"BZh":
        opener = gzip.open if start[:2] == b"\x1f\x8b" else bz2.open
        inner = _inflated(path, scratch / f"{tag}.unpacked", opener)
        sheets = open_sheets(con, inner, scratch, score, tag=f"{tag}u", is_sectioned=is_sectioned)
        for sheet in sheets:
            sheet.path, sheet.sha256 = path, sha256
        return sheets
    if start[:4] in (b"%PDF", b"\x89PNG") or start[:3] == b"\xff\xd8\xff":
        raise PlaybookError("sources.not_a_table", file=path.name)
    if start.lstrip()[:1] == b"{":
        return [_json_events(path, sha256)]
    return _text(path, sha256, scratch, score, tag, is_sectioned)


# --- text -----------------------------------------------------------------------------------------


def _text(
    path: Path,
    sha256: str,
    scratch: Path,
    score: Callable,
    tag: str,
    is_sectioned: Callable[[list[str]], bool],
) -> list[Sheet]:
    encoding, plain = _encoding(path)
    repaired = {} if encoding == "utf-8" else {f"encoding {encoding} read as text": 1}
    if not plain:
        path_text = scratch / f"{tag}.txt"
        _transcode(path, path_text, encoding)
    else:
        path_text = path
    with open(path_text, encoding="utf-8-sig", newline="") as handle:
        head = handle.read(4_000_000)
    if head.lstrip()[:15].lower().startswith(("<!doctype", "<html", "<?xml", "<table")):
        raise PlaybookError("sources.web_page", file=path.name)
    delimiter, at, line, headers, preamble = _find_header(head, score)
    if at < 0:
        return [Sheet(path, sha256, headers, "", preamble, encoding, delimiter)]
    headers += [""] * _unnamed_columns(head, delimiter, line, len(headers))
    # the engine skips records, not lines: a header's cell may hold a line break
    skip = at + 1
    blank_above = sum(not text.strip("\r\n") for text in preamble)
    if is_sectioned([normalised(h) for h in headers]):
        rest = _cut_section(path_text, scratch / f"{tag}.section", line)
        path_text, skip, blank_above = scratch / f"{tag}.section", 0, 0
        if rest:
            repaired["lines of other tables in the file, not read"] = rest
    rejects = f"rejects_{tag}"
    records = records_in(path_text, Shape(delimiter, len(headers)))
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(headers)))
    scan = (
        f"read_csv({quoted(path_text)}, auto_detect = false, header = false, skip = {skip}, "
        f"columns = {{{columns}}}, delim = {quoted(delimiter)}, quote = '\"', escape = '\"', "
        f"strict_mode = true, {reader_limits(records, path_text, path.name)}, "
        f"store_rejects = true, rejects_table = '{rejects}', rejects_scan = '{rejects}_scan', "
        "rejects_limit = 0)"
    )
    return [
        Sheet(
            path,
            sha256,
            headers,
            scan,
            preamble,
            encoding,
            delimiter,
            line + 1,
            repaired,
            rejects=rejects,
            is_decimal_comma=delimiter == ";",
            text=path_text,
            skip=skip,
            blank_above=blank_above,
            records=records,
        )
    ]


def _encoding(path: Path) -> tuple[str, bool]:
    """The encoding and whether the engine can read the file as it lies (UTF-8, ordinary
    line ends).
    """
    with open(path, "rb") as handle:
        start = handle.read(1 << 16)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16", False
        zeros = start[::2].count(0), start[1::2].count(0)
        if max(zeros) > len(start) // 4 and not min(zeros):
            return ("utf-16-le" if zeros[1] else "utf-16-be"), False
        if b"\x00" in start:
            raise PlaybookError("sources.not_text", file=path.name)
        guess = "utf-8-sig" if start[:3] == b"\xef\xbb\xbf" else "utf-8"
        handle.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        ends_alike = True
        try:
            for block in iter(lambda: handle.read(1 << 24), b""):
                decoder.decode(block)
                if b"\r" in block:
                    n_pairs = block.count(b"\r\n")
                    ends_alike = ends_alike and n_pairs == block.count(b"\n") == block.count(b"\r")
            decoder.decode(b"", final=True)
            return guess, guess == "utf-8" and ends_alike
        except UnicodeDecodeError:
            pass
        handle.seek(0)
        sample = handle.read(1 << 22)
    return _other_encoding(sample, path, is_marked=guess == "utf-8-sig"), False


def _other_encoding(sample: bytes, path: Path, *, is_marked: bool) -> str:
    """GB18030, a Japanese or a Western encoding, or a refusal: one encoding taken for another
    would turn every name into another.

    Damaged UTF-8 still consists of UTF-8 sequences; Chinese text of the commonest
    characters' pairs; in Western encodings a sign above ASCII stands alone between
    ASCII letters.
    """
    high = re.findall(rb"[\x80-\xff]", sample)
    sequences = rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
    if is_marked or sum(map(len, re.findall(sequences, sample))) > 0.8 * len(high):
        raise PlaybookError("sources.damaged_utf8", file=path.name)
    fours, pair, common = (
        rb"[\x81-\xfe][\x30-\x39][\x81-\xfe][\x30-\x39]",
        rb"[\x81-\xfe][\x40-\xfe]",
        rb"[\xa1-\xa3\xb0-\xf7][\xa1-\xfe]",
    )
    pairs = re.findall(fours + b"|" + pair, sample)
    stray = len(re.findall(rb"[\x80-\xff]", re.sub(fours + b"|" + pair, b"", sample)))
    n_common = sum(re.match(common, p) is not None for p in pairs)
    is_chinese = n_common >= 0.75 * len(pairs) and stray <= 0.02 * len(high)
    japanese = japanese_encoding(sample, may_be_chinese=is_chinese)
    if is_chinese or japanese:
        return japanese or "gb18030"
    if is_shift_jis(sample):
        raise PlaybookError("sources.encoding_unsure", file=path.name)
    runs = re.findall(rb"[\x80-\xff]+", sample)
    letters = len(
        re.findall(
            rb"[\x80\x85\x8c\x91-\x97\x99\x9c\x9f\xa0\xa3\xa7\xa9\xab\xae\xb0\xb2"
            rb"\xb4\xb7\xbb\xbd\xc0-\xff]",
            sample,
        )
    )
    if sum(len(run) < 3 for run in runs) >= 0.6 * len(runs) and letters >= 0.75 * len(high):
        return "cp1252"
    raise PlaybookError("sources.encoding_unsure", file=path.name)


def _transcode(path: Path, target: Path, encoding: str) -> None:
    """Writes the file as UTF-8 with plain line ends, in blocks."""
    try:
        with (
            open(path, encoding=encoding, newline="") as source,
            open(target, "w", encoding="utf-8", newline="") as out,
        ):
            carry = ""
            for block in iter(lambda: source.read(1 << 22), ""):
                text = carry + block
                carry = "\r" if text.endswith("\r") else ""
                out.write(NEWLINES.sub("\n", text.removesuffix("\r")))
            out.write("\n" if carry else "")
    except (UnicodeDecodeError, UnicodeError) as error:
        raise PlaybookError("sources.not_decoded", file=path.name, encoding=encoding) from error


def _rows(text: str, delimiter: str) -> Iterable[tuple[int, list[str]]]:
    """Rows of `text` with the number of the physical line each one ends on."""
    csv.field_size_limit(1 << 30)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error:
        return


def _find_header(head: str, score: Callable) -> tuple[str, int, int, list[str], list[str]]:
    best: tuple[int, int, str, int, int, list[str], list[str]] | None = None
    for rank, delimiter in enumerate(DELIMITERS):
        before: list[str] = []
        for at, (line, row) in enumerate(islice(_rows(head, delimiter), HEADER_SEARCH)):
            if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#"):
                points = score([normalised(cell) for cell in row])
                if points > 0 and (best is None or points > best[0]):
                    best = (
                        points,
                        -rank,
                        delimiter,
                        at,
                        line,
                        [c.strip() for c in row],
                        list(before),
                    )
            before.append(delimiter.join(row))
    if best is None:
        widest = max(
            DELIMITERS, key=lambda d: max((len(r) for _, r in islice(_rows(head, d), 5)), default=0)
        )
        first = next((r for _, r in _rows(head, widest) if any(c.strip() for c in r)), [])
        return widest, -1, 0, first, []
    _, _, delimiter, at, line, headers, preamble = best
    return delimiter, at, line, headers, preamble


def _unnamed_columns(head: str, delimiter: str, line: int, width: int) -> int:
    """How many empty columns without a header every row has at its end."""
    rows = [
        r for n, r in islice(_rows(head, delimiter), 2000) if n > line and any(c.strip() for c in r)
    ][:-1][:200]
    longer = {len(r) - width for r in rows}
    extra = longer.pop() if len(longer) == 1 else 0
    return extra if extra > 0 and not any(c.strip() for r in rows for c in r[width:]) else 0


def _cut_section(source: Path, target: Path, line: int) -> int:
    """Copies the lines after `line` up to the first blank or comment line; returns how
    many lines of tables follow.
    """
    rest = 0
    with (
        open(source, encoding="utf-8-sig", newline="\n") as text,
        open(target, "w", encoding="utf-8", newline="") as out,
    ):
        is_over = False
        for row in islice(text, line, None):
            is_told = row.strip(" ,;\t\r\n") != "" and not row.startswith("#")
            is_over = is_over or not is_told
            if is_over:
                rest += is_told
            else:
                out.write(row)
    return rest


# --- packed, parquet, workbooks -------------------------------------------------------------------


def _inflated(path: Path, target: Path, opener: Callable) -> Path:
    """The content of a .gz or .bz2 at `target`."""
    try:
        with opener(path, "rb") as packed, open(target, "wb") as out:
            for block in iter(lambda: packed.read(1 << 22), b""):
                out.write(block)
    except (OSError, EOFError) as error:
        _refuse_full_disk(error)
        raise PlaybookError("sources.packed_file_damaged", file=path.name) from error
    return target


def _refuse_full_disk(error: Exception) -> None:
    """A disk without room says nothing of the file."""
    if (limit := refused_by_engine(error, "")) is not None:
        raise limit from error


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as packed:
            return any(n.startswith("xl/") for n in packed.namelist())
    except zipfile.BadZipFile as error:
        raise PlaybookError("sources.packed_file_damaged", file=path.name) from error


def _unpacked(path: Path, scratch: Path, tag: str) -> list[Path]:
    """The tables inside a .zip, under names of our own (a name inside an archive is not
    to be trusted).
    """
    out = []
    try:
        with zipfile.ZipFile(path) as packed:
            for i, name in enumerate(sorted(packed.namelist())):
                if (
                    name.endswith("/")
                    or name.startswith("__MACOSX")
                    or Path(name).suffix.lower() not in {".csv", ".txt", ".tsv", ".xlsx", ".xls"}
                ):
                    continue
                target = scratch / f"{tag}_{i}{Path(name).suffix.lower()}"
                with packed.open(name) as source, open(target, "wb") as handle:
                    for block in iter(lambda source=source: source.read(1 << 22), b""):
                        handle.write(block)
                out.append(target)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        _refuse_full_disk(error)
        raise PlaybookError(
            "sources.packed_file_locked", file=path.name, rule=str(error)[:80]
        ) from error
    if not out:
        raise PlaybookError("sources.packed_without_table", file=path.name)
    return out


def _parquet(con: duckdb.DuckDBPyConnection, path: Path, sha256: str) -> Sheet:
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM read_parquet({quoted(path)})").fetchall()
    except duckdb.Error as error:
        raise PlaybookError("sources.parquet_unreadable", file=path.name) from error
    names = {name for name, *_ in described}
    if {"event_params", "event_name", "user_pseudo_id", "event_timestamp"} <= names:
        headers, scan = flat(f"read_parquet({quoted(path)})", names)
        return Sheet(path, sha256, headers, scan, encoding="parquet", first_line=1)
    parts = ", ".join(
        f'CAST("{name.replace(chr(34), chr(34) * 2)}" AS VARCHAR) AS c{i}'
        for i, (name, *_) in enumerate(described)
    )
    return Sheet(
        path,
        sha256,
        [d[0] for d in described],
        f"(SELECT {parts} FROM read_parquet({quoted(path)}))",
        encoding="parquet",
        first_line=1,
    )


def _json_events(path: Path, sha256: str) -> Sheet:
    with open(path, "rb") as handle:
        start = handle.read(1 << 16)
    if b'"event_name"' not in start or b'"user_pseudo_id"' not in start:
        raise PlaybookError("sources.not_a_table_of_events", file=path.name)
    columns = ", ".join(f"{n}: '{'JSON' if i > 2 else 'VARCHAR'}'" for i, n in enumerate(NESTED))
    source = f"read_json({quoted(path)}, format = 'newline_delimited', columns = {{{columns}}})"
    headers, scan = flat(source, NESTED)
    return Sheet(path, sha256, headers, scan, encoding="json", first_line=1)


def _workbook(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    sha256: str,
    scratch: Path,
    score: Callable,
    tag: str,
) -> list[Sheet]:
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
    except (
        Exception
    ) as error:  # the reader raises classes of its own for damaged and locked workbooks
        raise PlaybookError(
            "sources.workbook_not_opened", file=path.name, rule=str(error)[:80]
        ) from error
    found: list[Sheet] = []
    first: list[str] = []
    for i, name in enumerate(names):
        try:
            sheet = book.get_sheet_by_name(name)
            rows = sheet.iter_rows()
            begin = [[_cell(c) for c in row] for row in islice(rows, HEADER_SEARCH)]
        except Exception as error:
            raise PlaybookError(
                "sources.sheet_unreadable", file=path.name, table=name, rule=str(error)[:80]
            ) from error
        points = [score([normalised(c) for c in row]) if any(row) else 0 for row in begin]
        first = first or next((row for row in begin if any(row)), [])
        if not points or max(points) <= 0:
            continue
        at = points.index(max(points))
        target = scratch / f"{tag}_{i}.csv"
        n_rows = _written(target, begin, rows, at)
        _refuse_full_sheet(path, name, n_rows, (sheet.start or (0, 0))[0])
        records = records_in(target, Shape(",", len(begin[at])))
        found.append(
            Sheet(
                path,
                sha256,
                [c.strip() for c in begin[at]],
                _scan_of_sheet(target, len(begin[at]), records, path),
                [",".join(r) for r in begin[:at]],
                "workbook",
                first_line=at + 2,
                sheet=name,
                text=target,
                records=records,
            )
        )
    return found or [Sheet(path, sha256, first, "", encoding="workbook")]


def _written(target: Path, begin: list[list[str]], rows: Iterable[list], at: int) -> int:
    """Writes what stands under the header, row `at` of `begin`, as CSV; returns how many
    rows the sheet has.
    """
    width, n_rows = len(begin[at]), len(begin)
    with open(target, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in begin[at + 1 :]:
            writer.writerow(row[:width])
        for row in rows:
            n_rows += 1
            writer.writerow([_cell(c) for c in row[:width]])
    return n_rows


def _refuse_full_sheet(path: Path, name: str, n_rows: int, start: int) -> None:
    """A sheet that fills its format to the last row has lost the rows after it."""
    limit = next((k for k in EXCEL_ROWS if n_rows + start == k), None)
    if limit:
        raise PlaybookError(
            "sources.sheet_cut_off",
            format=EXCEL_ROWS[limit],
            file=path.name,
            table=name,
            rows=n_rows,
        )


def _scan_of_sheet(target: Path, width: int, records: Records, path: Path) -> str:
    columns = ", ".join(f"'c{j}': 'VARCHAR'" for j in range(width))
    return (
        f"read_csv({quoted(target)}, auto_detect = false, header = false, "
        f"columns = {{{columns}}}, delim = ',', quote = '\"', escape = '\"', "
        f"{reader_limits(records, target, path.name)})"
    )


def _cell(value: object) -> str:
    """A cell as the text a person sees: whole numbers without a decimal point, dates as
    ISO.
    """
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        if (
            abs(value) >= 1e15
        ):  # a spreadsheet keeps fifteen digits: said in a form that no id is written in
            return f"{value:.14e}"
        return repr(int(value)) if float(value).is_integer() else repr(value)
    if hasattr(value, "isoformat"):
        return (
            value.isoformat(sep=" ")
            if hasattr(value, "hour") and hasattr(value, "year")
            else value.isoformat()
        )
    return str(value)
