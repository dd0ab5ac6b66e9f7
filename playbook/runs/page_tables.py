"""Tables that a notebook printed or showed, as a page has them: with people's headings, words
for codes, and only as many rows as are read.

A printed frame (`to_string`) is text whose columns end where the words of its first line
end; nothing else that a notebook prints looks so. Names of rows stand left of the first
column, what they are called alone on the second line.
"""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import dataclass, field

from playbook.messages import say
from playbook.runs.cells import ROWS_SHOWN, cell_of, metric_name
from playbook.runs.columns import heading

__all__ = ["PrintedTable", "as_read", "printed", "read_html", "table_html"]

CUT = "..."  # stands for rows that pandas leaves out
MISSING = {"", "NaN", "NaT", "None", "<NA>", "nan"}
TRUTH = {"True": "yes", "False": "no"}
NUMBER = re.compile(r"[-+−]?[\d,]+(\.\d+)?( ?%)?|–|-?inf")
NO_ROWS = re.compile(r"Empty DataFrame\nColumns: \[.*\]\nIndex: \[\]")
ROW = re.compile(r"(?s)<tr[^>]*>(.*?)</tr>")
PART = re.compile(r"(?s)<(t[hd])\b[^>]*>(.*?)</t[hd]>")


@dataclass(frozen=True)
class PrintedTable:
    """Columns by their codes, and rows of texts as they were written."""

    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)


def as_read(column: str) -> str:
    """A column's heading in the language in use; what is no code stays."""
    if not re.fullmatch(r"[A-Za-z]\w*", column):
        return column
    known = heading(column)
    return metric_name(column) if known == column.replace("_", " ") else known


def printed(text: str) -> list[str | PrintedTable]:
    """What was printed, in its order: stretches of text, and the tables among them."""
    text = NO_ROWS.sub(say("runs.no_rows"), text)
    lines, parts, place = text.split("\n"), [], 0
    while place < len(lines):
        table, taken = _table_at(lines[place:])
        if table is not None:
            parts.append(table)
        elif parts and isinstance(parts[-1], str):
            parts[-1] += "\n" + lines[place]
        else:
            parts.append(lines[place])
        place += taken
    return [part for part in parts if isinstance(part, PrintedTable) or part.strip()]


def _table_at(lines: list[str]) -> tuple[PrintedTable | None, int]:
    """The table that begins on the first line, and how many lines it takes; None and one
    line where none does.
    """
    head, *rest = lines
    names = list(re.finditer(r"\S+", head))
    columns = [name[0] for name in names]
    # a frame without names of rows has two columns at least, or it is a word on a line
    called = _names_of_rows(rest[0], head) if names and rest else []
    is_named = all(re.search(r"\w", name) for name in columns) and head == head.rstrip()
    if not is_named or len(names) < 2 - bool(called):
        return None, 1
    edges = [0, *(name.end() for name in names)]
    rows: list[list[str]] = []
    for line in rest[bool(called) :]:
        cells = [line[a:b] for a, b in itertools.pairwise(edges)]
        if len(line) != len(head) or not all(_fits(cells)):
            break
        if called:
            cells[:1] = _named_row(cells[0], called, rows[-1] if rows else [])
        rows.append([cell.strip() for cell in cells])
    if not rows:
        return None, 1
    columns = [*(name[0] for name in called), *columns]
    return PrintedTable(columns, rows), 1 + bool(called) + len(rows)


def _names_of_rows(line: str, head: str) -> list[re.Match[str]]:
    """What the names of rows are called, where the second line of a table holds nothing
    else.
    """
    first = len(head) - len(head.lstrip())
    is_alone = len(line) == len(head) and first > 0 and not line[first:].strip()
    return list(re.finditer(r"\S+", line)) if is_alone else []


def _named_row(text: str, called: list[re.Match[str]], above: list[str]) -> list[str]:
    """The names of a row and the value of its first column; a name left blank is that of
    the row above.
    """
    value = text.split()[-1] if text.strip() else ""
    starts = [*(name.start() for name in called), len(text) - len(value)]
    names = [text[a:b].strip() for a, b in itertools.pairwise(starts)]
    filled = [name or was for name, was in itertools.zip_longest(names, above[: len(names)])]
    return [*(name or "" for name in filled), value]


def _fits(cells: list[str]) -> list[bool]:
    """A cell is empty, or ends where its column does and leaves the place before it free."""
    return [
        not cell.strip() or (not cell.endswith(" ") and (place == 0 or cell.startswith(" ")))
        for place, cell in enumerate(cells)
    ]


def read_html(text: str) -> PrintedTable | None:
    """The table of a frame that was shown; None where the HTML holds anything else. A first
    column that only counts the rows is left out.
    """
    is_plain = text.count("<table") == 1 and 'class="dataframe"' in text
    if not is_plain or "colspan" in text or "rowspan" in text:
        return None
    columns, *rows = [
        [html.unescape(re.sub(r"<[^>]+>", "", part[2])).strip() for part in PART.finditer(row)]
        for row in ROW.findall(text)
    ]
    if any(len(row) != len(columns) for row in rows):
        return None
    is_counted = all(row[0].isdigit() or row[0] == CUT for row in rows)
    if not columns[0] and is_counted:
        columns, rows = columns[1:], [row[1:] for row in rows]
    return PrintedTable(columns, rows)


def table_html(table: PrintedTable) -> str:
    """The table for a page; rows beyond those that are read are counted below it."""
    if not table.rows:
        return f'<p class="note">{say("runs.no_rows")}</p>'
    is_number = [all(map(_is_number, column)) for column in zip(*table.rows, strict=True)]
    kinds = [' class="num"' if number else "" for number in is_number]
    heads = zip(kinds, table.columns, strict=True)
    head = "".join(f'<th scope="col"{k}>{html.escape(as_read(c))}</th>' for k, c in heads)
    body = "\n".join(_row(row, table.columns, kinds) for row in table.rows[:ROWS_SHOWN])
    left = len(table.rows) - ROWS_SHOWN
    more = f'<p class="note">{say("runs.more_rows", n=left)}</p>' if left > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _row(row: list[str], columns: list[str], kinds: list[str]) -> str:
    parts = []
    for text, column, kind in zip(row, columns, kinds, strict=True):
        cell = cell_of(text, column)
        kind = kind or (' class="day"' if cell.mark == "day" else "")
        told = text if NUMBER.fullmatch(text) else cell.text
        told = "–" if text in MISSING else heading(TRUTH[text]) if text in TRUTH else told
        parts.append(f"<td{kind}>{html.escape(told)}</td>")
    return f"<tr>{''.join(parts)}</tr>"


def _is_number(text: str) -> bool:
    return text in MISSING or bool(NUMBER.fullmatch(text))
