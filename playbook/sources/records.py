"""How many records a file of text holds, and how many fit its header, told without the
engine that parses it.

A row the parser passes over is in no list. So the records are counted a second time, by the
marks between them, and a file is refused where the two counts do not agree. The engine keeps
a line once for each value it has too many or too few: a file whose rows do not fit its
header is refused before the engine sees it.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from playbook.errors import PlaybookError

__all__ = ["Records", "Shape", "reader_limits", "records_in", "require_all_read"]

BLOCK = 1 << 22  # the marks of a block take eight times its bytes
QUOTE, NEWLINE, RETURN = 34, 10, 13
# the engine passes over a line longer than its buffer; both follow the file's longest line
USUAL_LINE, MOST_LINE = 1_000_000, 64_000_000
# what the engine may keep of rows that do not fit: so many bytes, and twice the file
MISFITS_BYTES, BYTES_A_VALUE = 100_000_000, 100


@dataclass(frozen=True)
class Shape:
    """The delimiter of a table of text and its columns."""

    delimiter: str
    width: int


@dataclass(frozen=True)
class Records:
    """Records of a file, blank lines among them; the bytes of the longest; how many have
    other than the columns asked for, and the bytes the engine would keep of those.
    """

    n: int = 0
    n_blank: int = 0
    longest: int = 0
    n_misfits: int = 0
    kept_bytes: int = 0

    def and_then(self, lengths: np.ndarray, n_values: np.ndarray, width: int) -> Records:
        """With more records, of so many bytes and values; one of no bytes is blank."""
        off = np.where(lengths > 0, np.abs(n_values - width), 0)
        kept = (off * (lengths + BYTES_A_VALUE)).sum()
        return Records(
            self.n + len(lengths),
            self.n_blank + int((lengths == 0).sum()),
            max(self.longest, int(lengths.max(initial=0))),
            self.n_misfits + int((off > 0).sum()),
            self.kept_bytes + int(kept),
        )


def records_in(path: Path, shape: Shape) -> Records:
    """The records of a text file: lines that end outside of quotation marks. Lengths are
    without the line's end.
    """
    found = Records()
    rest, is_inside = _Rest(), False
    with open(path, "rb") as handle:
        for block in iter(functools.partial(handle.read, BLOCK), b""):
            lengths, n_values, is_inside = rest.continued(block, shape, is_inside)
            found = found.and_then(lengths, n_values, shape.width)
    if rest.length:
        last = np.array([rest.length]), np.array([rest.n_marks + 1])
        found = found.and_then(*last, shape.width)
    is_odd = found.longest > USUAL_LINE or _is_too_much(found, path)
    return _by_the_library(path, shape) if is_odd else found


class _Rest:
    """The record a block ends in the middle of: its bytes and delimiters so far."""

    def __init__(self) -> None:
        self.length = self.n_marks = 0
        self.last = 0

    def continued(
        self, block: bytes, shape: Shape, is_inside: bool
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Bytes and values of each record that ends in the block, and whether the block
        ends inside of quotation marks.
        """
        signs = np.frombuffer(block, dtype=np.uint8)
        is_end, is_mark = signs == NEWLINE, signs == ord(shape.delimiter)
        if b'"' in block or is_inside:
            inside = np.bitwise_xor.accumulate(signs == QUOTE) ^ is_inside
            is_end, is_mark = is_end & ~inside, is_mark & ~inside
            is_inside = bool(inside[-1])
        ends = np.flatnonzero(is_end)
        if not len(ends):
            self.length += len(signs)
            self.n_marks += int(is_mark.sum())
            self.last = int(signs[-1])
            return np.zeros(0, int), np.zeros(0, int), is_inside
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts
        whole = is_mark[: ends[-1] + 1]
        n_values = np.add.reduceat(whole, starts, dtype=np.int64) + 1
        before = signs[np.maximum(ends - 1, 0)]
        before[0] = before[0] if ends[0] else self.last
        lengths[0] += self.length
        n_values[0] += self.n_marks
        lengths = lengths - ((before == RETURN) & (lengths > 0))
        self.length = len(signs) - 1 - int(ends[-1])
        self.n_marks = int(is_mark[ends[-1] + 1 :].sum())
        self.last = int(signs[-1])
        return lengths, n_values, is_inside


def _by_the_library(path: Path, shape: Shape) -> Records:
    """The same as Python's own reader tells it: a quotation mark inside of a word is one of
    its letters.
    """
    csv.field_size_limit(1 << 30)
    found = Records()
    with open(path, encoding="utf-8-sig", newline="", errors="replace") as handle:
        lines = _Counted(handle)
        lengths, n_values = [], []
        for row in csv.reader(lines, delimiter=shape.delimiter):
            lengths.append(lines.taken() if row else 0)
            n_values.append(len(row))
            if len(lengths) >= BLOCK >> 8:
                found = found.and_then(np.array(lengths), np.array(n_values), shape.width)
                lengths, n_values = [], []
    return found.and_then(np.array(lengths, int), np.array(n_values, int), shape.width)


class _Counted:
    """Lines handed on, and their length since last asked."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines, self.length = lines, 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.length += len(line.encode(errors="replace"))
        return line

    def taken(self) -> int:
        """The length of the lines since the last call."""
        length, self.length = self.length, 0
        return length


def _is_too_much(found: Records, path: Path) -> bool:
    return found.kept_bytes > MISFITS_BYTES + 2 * path.stat().st_size


def reader_limits(found: Records, path: Path, name: str) -> str:
    """The engine's limits for a file: lines as long as its longest. PlaybookError for a
    line that is no row of a table, and where too few rows have the header's columns.
    """
    if found.longest > MOST_LINE:
        about = {"n": found.longest, "most": MOST_LINE}
        raise PlaybookError("sources.line_too_long", file=name, **about)
    if _is_too_much(found, path):
        about = {"n": found.n, "rows": found.n_misfits}
        raise PlaybookError("sources.rows_do_not_fit", file=name, **about)
    line = max(found.longest + 2, USUAL_LINE)
    return f"max_line_size = {line}, buffer_size = {4 * line}"


def require_all_read(con: duckdb.DuckDBPyConnection, sheet: Any, table: str) -> None:
    """PlaybookError where the rows of `table` and the rejected lines are not all records of
    the sheet's file.
    """
    if sheet.text is None:
        return
    (read,) = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    rejected = 0
    if sheet.rejects:
        told = f"SELECT count(DISTINCT line) FROM {sheet.rejects}"
        (rejected,) = con.execute(told).fetchone()
    wanted = _below(sheet, sheet.records)
    if read + rejected != wanted:
        shape = Shape(sheet.delimiter or ",", len(sheet.headers))
        wanted = _below(sheet, _by_the_library(sheet.text, shape))
    if read + rejected != wanted:
        about = {"n": wanted, "read": read, "rejected": rejected}
        raise PlaybookError("sources.rows_not_read", file=sheet.path.name, **about)


def _below(sheet: Any, found: Records) -> int:
    """Records below the header. The engine passes over blank lines where a row has more
    than one value.
    """
    blank = found.n_blank - sheet.blank_above if len(sheet.headers) > 1 else 0
    return found.n - sheet.skip - blank
