"""The workbook: Summary, Decisions to fill in and read back, Asks, Targets,
Definitions, a headline table per chapter.

Cells carry their types; text that looks like a formula stays text; no sheet holds a row
about one customer.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from playbook.runs.answers import ANSWERS
from playbook.runs.words import ABOUT_ONE_PERSON, Words

if TYPE_CHECKING:
    from playbook.runs.report import Pack

__all__ = ["FILLED_IN", "write_workbook"]

FILLED_IN = (
    "status",
    "done_on",
    "done_size",
    "note",
)  # what people write; every other column is ours
FIRST = (
    "decision_id",
    *FILLED_IN,
    "owner_role",
    "subject_type",
    "subject",
    "action",
    "size",
    "unit",
    "due_on",
    "expected_effect",
    "effect_low",
    "effect_high",
    "effect_unit",
    "confidence",
    "reason",
    "stop_rule",
    "notebook",
)
ROWS_KEPT = 2000


def write_workbook(pack: Pack, decisions: pd.DataFrame, path: Path) -> None:
    """Write `playbook.xlsx`; the same pack gives the same bytes."""
    import xlsxwriter

    words, record = pack.words, pack.record
    options = {
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": False,
        "default_date_format": "yyyy-mm-dd",
    }
    with xlsxwriter.Workbook(str(path), options) as book:
        year, month, day = map(int, record["as_of"].split("-"))
        book.set_properties(
            {
                "title": f"{record['store']} {record['month']}",
                "created": dt.datetime(year, month, day),
            }
        )
        sheets = _Sheets(book, words)
        from playbook.runs.report import latest_figures, sentences

        told = sentences(pack, decisions)
        card = pack.table(pack.review, "scorecard")
        sheets.text(
            words("Summary"),
            [
                f"{record['store']} {record['month']} ({record['currency']})",
                *told,
                *([words("partial month")] if record["is_partial"] else []),
            ],
            latest_figures(pack) if card is None or card.empty else card,
        )
        sheets.decisions(words("Decisions"), decisions)
        asks = pack.table(pack.review, "asks")
        sheets.frame(
            words("Asks"),
            pd.DataFrame(columns=["owner_role", "money", "due_on"]) if asks is None else asks,
        )
        smart = next(
            (
                t
                for n in pack.done
                if n.startswith("02_") and (t := pack.table(n, "smart")) is not None
            ),
            None,
        )
        empty = pd.DataFrame(columns=["metric", "target", "due_on", "owner_role"])
        sheets.frame(words("Targets"), smart if smart is not None else empty)
        sheets.frame(words("Definitions"), _definitions(pack))
        for chapter in pack.done:
            about, names = words.chapter(chapter), pack.tables(chapter)
            frames = [
                (n, pack.table(chapter, n))
                for n in sorted(names, key=lambda n: (n != about["table"], n))
            ]
            shown = next((f for _, f in frames if not ABOUT_ONE_PERSON & set(f.columns)), None)
            if shown is not None:
                sheets.frame(about["title"], shown)


def _definitions(pack: Pack) -> pd.DataFrame:
    from playbook.measures.metrics import METRICS, definitions

    series = pack.gathered("headline")
    used = sorted(set(series["metric"]) & set(METRICS)) if len(series) else []
    frame = (
        definitions(*used)
        .iloc[: len(used)]
        .drop(columns="name" if pack.words.lang == "zh" else "chinese")
    )
    return frame.rename(columns={"id": "metric", "chinese": "name"})


class _Sheets:
    """Sheets of one workbook with a frozen, styled header, typed cells and widths that
    fit.
    """

    def __init__(self, book: Any, words: Words) -> None:
        self.book, self.words, self.used = book, words, set()
        thin = {"valign": "top"}
        self.formats = {
            name: book.add_format(thin | more)
            for name, more in {
                "head": {"bold": True, "bg_color": "#E5E7EB", "bottom": 1, "text_wrap": True},
                "text": {"text_wrap": True},
                "count": {"num_format": "#,##0"},
                "money": {"num_format": "#,##0.00"},
                "share": {"num_format": "0.0%"},
                "plain": {"num_format": "#,##0.####"},
                "day": {"num_format": "yyyy-mm-dd"},
                "fill": {
                    "bg_color": "#FFF7D6",
                    "border": 1,
                    "border_color": "#D1D5DB",
                    "locked": False,
                    "text_wrap": True,
                },
                "fill_day": {
                    "bg_color": "#FFF7D6",
                    "border": 1,
                    "border_color": "#D1D5DB",
                    "num_format": "yyyy-mm-dd",
                },
                "title": {"bold": True, "font_size": 14},
            }.items()
        }

    def sheet(self, name: str) -> Any:
        """A new sheet; Excel allows 31 characters, no brackets, slashes, colons or
        marks, and no name twice.
        """
        plain = re.sub(r"[\[\]:*?/\\]", " ", name)[:31].strip("' ") or "sheet"
        number = 1
        while plain.lower() in self.used:
            number += 1
            plain = f"{plain[:28]} {number}"
        self.used.add(plain.lower())
        sheet = self.book.add_worksheet(plain)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        return sheet

    def frame(self, name: str, frame: pd.DataFrame, sheet: Any = None, top: int = 0) -> Any:
        """A frame as a sheet: names of columns as they are, so that code can read it
        back.
        """
        sheet = sheet or self.sheet(name)
        kept = frame[[c for c in frame.columns if c not in ABOUT_ONE_PERSON]].head(ROWS_KEPT)
        for place, column in enumerate(kept.columns):
            sheet.write_string(top, place, str(column), self.formats["head"])
            values = kept[column].tolist()
            for row, value in enumerate(values, start=top + 1):
                self.cell(sheet, row, place, value, column)
            widest = max(
                [len(str(column)), *(min(len(str(v)), 60) for v in values[:200])], default=8
            )
            sheet.set_column(place, place, min(max(widest + 2, 9), 48))
        sheet.freeze_panes(top + 1, 0)
        if len(kept) and len(kept.columns):
            sheet.autofilter(top, 0, top + len(kept), len(kept.columns) - 1)
        return sheet

    def cell(self, sheet: Any, row: int, place: int, value: Any, column: str) -> None:
        """One typed cell; missing stays empty, and text is written as text whatever it
        begins with.
        """
        formats = self.formats
        if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
            return
        if isinstance(value, bool) or type(value).__name__ == "bool_":
            sheet.write_boolean(row, place, bool(value))
        elif isinstance(value, (dt.datetime, dt.date)):
            plain = value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value
            sheet.write_datetime(row, place, plain, formats["day"])
        elif (
            isinstance(value, str)
            and re.fullmatch(r"\d{4}-\d\d-\d\d", value)
            and column.endswith("_on")
        ):
            sheet.write_datetime(row, place, dt.datetime.fromisoformat(value), formats["day"])
        elif isinstance(value, str) or not hasattr(value, "__float__"):
            sheet.write_string(row, place, str(value)[:32000], formats["text"])
        else:
            number = float(value)
            if number in (float("inf"), float("-inf")):
                return
            kind = (
                "share"
                if column.endswith("share")
                else "money"
                if hasattr(value, "as_tuple")
                else "count"
                if number == int(number)
                else "plain"
            )
            sheet.write_number(row, place, number, formats[kind])

    def text(self, name: str, lines: list[str], frame: pd.DataFrame) -> None:
        """A few lines of text above a table."""
        sheet = self.sheet(name)
        for row, line in enumerate(lines):
            sheet.write_string(row, 0, line, self.formats["title" if row == 0 else "plain"])
        self.frame(name, frame, sheet, top=len(lines) + 1)

    def decisions(self, name: str, decisions: pd.DataFrame) -> None:
        """All decisions, the columns to fill in marked, `status` with a list to choose
        from.
        """
        kept = (
            decisions[decisions["action"] != "blocked"]
            if len(decisions)
            else pd.DataFrame(columns=list(FIRST))
        )
        kept = kept.assign(done_size=None).reindex(columns=list(FIRST))
        sheet = self.frame(name, kept)
        for row in range(1, len(kept) + 1):
            for column in FILLED_IN:
                place, value = FIRST.index(column), kept[column].iloc[row - 1]
                given = value if isinstance(value, str) else ""
                sheet.write_string(
                    row, place, given, self.formats["fill"]
                ) if given else sheet.write_blank(
                    row, place, None, self.formats["fill_day" if column == "done_on" else "fill"]
                )
        last = max(len(kept), 1)
        sheet.data_validation(
            1,
            FIRST.index("status"),
            last,
            FIRST.index("status"),
            {
                "validate": "list",
                "source": list(ANSWERS),
                "error_message": "Choose one of: " + ", ".join(ANSWERS),
            },
        )
        sheet.data_validation(
            1,
            FIRST.index("done_on"),
            last,
            FIRST.index("done_on"),
            {
                "validate": "date",
                "criteria": ">",
                "value": dt.date(2000, 1, 1),
                "error_message": "A day, such as 2026-10-31",
            },
        )
        sheet.freeze_panes(1, 1)
