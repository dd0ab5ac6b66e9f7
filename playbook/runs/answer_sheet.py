"""The sheet people fill in: read as they typed it, every row accounted for.

A row is answered, left unanswered, blocked (nobody's to answer) or empty; one that is
none of these refuses the file by its number.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import functools
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.errors import PlaybookError
from playbook.messages import read_yaml
from playbook.runs.columns import column_named
from playbook.written import day_written, number_readings, numbers_written

__all__ = ["ANSWERS", "COLUMNS", "checked_answers", "read_sheet"]

ANSWERS = ("proposed", "accepted", "changed", "declined", "done")
COLUMNS = ["decision_id", "status", "done_on", "done_size", "brought", "note"]
#: columns of numbers
NUMBERS = ("done_size", "brought")
NEEDED = {"decision_id", "status"}
DELIMITERS = (",", ";", "\t")
FIRST_ROW = 2  # the first row below the names, as a sheet counts
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
BLOCKED = "blocked"


def read_sheet(path: Path) -> DataFrame:
    """The table that has a column of decision IDs (named as in the workbook, in any
    language, or decision_id), every cell as it was typed. PlaybookError
    for a file without one, and for a cell that holds an error such as #N/A.
    """
    if not path.is_file():
        raise PlaybookError("runs.no_such_file", file=path)
    with _unreadable(path):
        sheets = _read_csv(path) if path.suffix.lower() in (".csv", ".txt") else _read_book(path)
    for name, frame in sheets.items():
        frame.columns = [column_named(str(c), COLUMNS) for c in frame.columns]
        if set(frame.columns) >= NEEDED:
            if twice := [c for c in COLUMNS if list(frame.columns).count(c) > 1]:
                raise PlaybookError(
                    "runs.answer_column_twice",
                    file=path,
                    column=twice[0],
                )
            with _unreadable(path):
                _refuse_error_cells(path, name, list(frame.columns))
            return frame
    raise PlaybookError(
        "runs.no_answer_columns",
        file=path,
        column="decision_id",
    )


@contextlib.contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    """Whatever a reader of damaged files says, as one refusal."""
    try:
        yield
    except PlaybookError:
        raise
    except Exception as error:  # calamine's own kinds have no common base, nor do zip's and XML's
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise PlaybookError(
            "runs.unreadable_answers",
            reason=reason,
            file=path,
        ) from None


def _read_book(path: Path) -> dict[str, DataFrame]:
    return pd.read_excel(
        path,
        sheet_name=None,
        engine="calamine",
        dtype=object,
    )


def _read_csv(path: Path) -> dict[str, DataFrame]:
    """The file under each delimiter. PlaybookError where one gives the columns asked for
    and a row has more cells than there are names: which of them is the size, nobody knows.
    """
    text = _decoded(path.read_bytes())
    frames = {}
    for delimiter in DELIMITERS:
        names, *rows = [*csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)] or [[]]
        wide = [n for n, row in enumerate(rows, FIRST_ROW) if len(row) > len(names)]
        if wide and {column_named(name, COLUMNS) for name in names} >= NEEDED:
            raise PlaybookError(
                "runs.answer_row_wide",
                file=path,
                which=", ".join(map(str, wide[:5])),
                rows=len(wide),
            )
        cells = [[*row, *[""] * len(names)][: len(names)] for row in rows]
        frames[delimiter] = DataFrame(cells, columns=names, dtype=str)
    return frames


def _decoded(content: bytes) -> str:
    """Text as spreadsheets save it: UTF-8, UTF-16 with its mark, else Chinese where bytes
    beyond ASCII come in pairs, as GB 2312 has them, else western.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        runs = re.findall(rb"[\x80-\xff]+", content)
        is_paired = all(len(run) % 2 == 0 for run in runs)
        return content.decode("gb18030" if is_paired else "cp1252", errors="replace")


def _refuse_error_cells(path: Path, sheet: str, columns: list[str]) -> None:
    """A cell that holds an error reads as an empty one: nobody meant it so."""
    wanted = [columns.index(name) for name in COLUMNS if name in columns]
    wrong = [cell for cell in _error_cells(path, sheet) if _place_of(cell) in wanted]
    if wrong:
        shown = ", ".join(wrong[:5])
        raise PlaybookError(
            "runs.answer_error_cell",
            file=path,
            which=shown,
            rows=len(wrong),
        )


def _error_cells(path: Path, sheet: str) -> list[str]:
    """Names (A2) of the cells of an .xlsx sheet that hold an error."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as book:
        names = [n for n in book.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", n)]
        if "xl/workbook.xml" not in book.namelist():
            return []
        part = _part_of(book, sheet)
        tree = ElementTree.fromstring(book.read(part)) if part in names else ElementTree.Element("")
    return [cell.get("r", "") for cell in tree.iter(f"{SHEET}c") if cell.get("t") == "e"]


def _part_of(book: zipfile.ZipFile, sheet: str) -> str:
    """The file inside the workbook that holds the sheet of this name."""
    listed = ElementTree.fromstring(book.read("xl/workbook.xml")).iter(f"{SHEET}sheet")
    key = next((_relation(s) for s in listed if s.get("name") == sheet), "")
    links = ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    target = next((link.get("Target", "") for link in links if link.get("Id") == key), "")
    return target.removeprefix("/") if target.startswith("/xl") else f"xl/{target}"


def _relation(sheet: ElementTree.Element) -> str:
    return next((value for name, value in sheet.attrib.items() if name.endswith("}id")), "")


def _place_of(cell: str) -> int:
    """The column of a cell's name, from 0."""
    letters = re.match(r"[A-Z]+", cell)
    return functools.reduce(_next_digit, letters[0], 0) - 1 if letters else -1


def _next_digit(before: int, letter: str) -> int:
    return before * 26 + ord(letter) - ord("A") + 1


def checked_answers(
    frame: DataFrame, known: Mapping[str, str], path: Path
) -> tuple[DataFrame, dict[str, int]]:
    """The answers in plain types, and how many rows were `blocked` or `empty`. `known` maps
    each published decision to its action.

    PlaybookError names the rows (as the sheet counts them) that are wrong.
    """
    rows = frame.reindex(columns=COLUMNS)
    rows = rows.assign(row=np.arange(len(rows)) + FIRST_ROW)
    texts = rows[COLUMNS].map(_text)
    is_empty = (texts == "").all(axis=1) & (frame.map(_text) == "").all(axis=1)
    # without a row left a column has no type of its own
    rows, texts = rows[~is_empty], texts[~is_empty].astype(object)
    ids, status = texts["decision_id"], texts["status"].str.lower().map(_status_of)
    is_blocked = ids.map(known).eq(BLOCKED) & status.isin([BLOCKED, ""])
    rows = rows.assign(
        decision_id=ids,
        status=status.replace("", "proposed"),
        note=texts["note"].str.replace(r"^'(?=[=+\-@\t\r])", "", regex=True),
        done_on=rows["done_on"].map(_day),
        **{name: _sizes(rows[name]) for name in NUMBERS},
        **{f"{name} text": texts[name] for name in NUMBERS},
    )
    rows = rows[~is_blocked]
    _refuse_wrong(rows, known, path)
    left = {"blocked": int(is_blocked.sum()), "empty": int(is_empty.sum())}
    return rows[COLUMNS].reset_index(drop=True), left


def _refuse_wrong(rows: DataFrame, known: Mapping[str, str], path: Path) -> None:
    is_done = rows["status"] == "done"
    rules = (
        ("decision_id", "answer_without_id", rows["decision_id"] == ""),
        ("decision_id", "answer_unknown", ~rows["decision_id"].isin(list(known))),
        ("decision_id", "answer_twice", rows.duplicated("decision_id", keep=False)),
        ("status", "answer_status", ~rows["status"].isin(ANSWERS)),
        ("done_on", "answer_day", rows["done_on"].isna()),
        ("done_on", "answer_done_without_day", is_done & (rows["done_on"] == "")),
        *(rule for name in NUMBERS for rule in _number_rules(rows, name)),
    )
    for column, rule, is_wrong in rules:
        if is_wrong.any():
            about = {
                "which": ", ".join(map(str, rows.loc[is_wrong, "row"].head(5))),
                "known": ", ".join(ANSWERS),
                "file": path,
                "column": column,
            }
            raise PlaybookError(f"runs.{rule}", rows=int(is_wrong.sum()), **about)


def _number_rules(rows: DataFrame, name: str) -> list[tuple[str, str, Series]]:
    """Numbers that can be read in two ways, or in none."""
    is_unread = rows[name].isna() & (rows[f"{name} text"] != "")
    has_two = rows[f"{name} text"].map(number_readings).map(bool)
    return [(name, "answer_two_ways", is_unread & has_two), (name, "answer_size", is_unread)]


def _sizes(cells: Series) -> Series:
    """Numbers of cells: typed ones as they are, texts as people write them."""
    typed = [c if isinstance(c, (int, float)) and not isinstance(c, bool) else None for c in cells]
    texts = ["" if c is not None else _text(cell) for c, cell in zip(typed, cells, strict=True)]
    read = zip(typed, numbers_written(texts), strict=True)
    found = [written if number is None else number for number, written in read]
    return pd.to_numeric(Series(found, index=cells.index, dtype=object)).astype(float)


def _status_of(text: str) -> str:
    """The status a cell names, in any language of the labels."""
    return answer_words().get(text, text)


@functools.cache
def answer_words() -> dict[str, str]:
    """What people write for a status -> the status."""
    stated = read_yaml(Path(__file__).with_name("answers.yaml"))
    return {text: status for status, texts in stated.items() for text in texts}


def _text(value: Any) -> str:
    is_missing = value is None or (pd.api.types.is_scalar(value) and pd.isna(value))
    return "" if is_missing else str(value).strip()


def _day(value: Any) -> str | None:
    """A day as YYYY-MM-DD, empty when nothing was written, None when it is no day."""
    if isinstance(value, (dt.date, dt.datetime)):
        return str(value)[:10]
    text = _text(value)
    day = day_written(text)
    return day.isoformat() if day else "" if not text else None
