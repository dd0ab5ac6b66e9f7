"""The workbook: Summary, Decisions to fill in and read back, Asks, Targets,
Definitions, a headline table per chapter.

Cells carry their types; text that looks like a formula stays text; no sheet holds a row
about one customer.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.registry import chapter
from playbook.measures.metrics import METRICS, definitions
from playbook.messages import label, language, read_yaml, say
from playbook.runs.answer_sheet import ANSWERS
from playbook.runs.cells import ABOUT_ONE_PERSON, cell_of, metric_name, word
from playbook.runs.columns import forms_of, heading
from playbook.runs.pack import Pack, latest_figures, open_decisions, title_of
from playbook.runs.sentences import sentences
from playbook.written import clean_text

__all__ = ["FILLED_IN", "write_workbook"]

FILLED_IN = (
    "status",
    "done_on",
    "done_size",
    "brought",
    "note",
)  # what people write; the rest is ours
DECISION_COLUMNS = [
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
]
ASKS, TARGETS = ("owner_role", "money", "due_on"), ("metric", "target", "due_on", "owner_role")
TARGETS_CHAPTER, TARGETS_TABLE = "goal_setting", "smart"
ROWS_KEPT = 2000
ROWS_A_PAGE = 45  # printed on one page; longer sheets are one page wide
#: a metric is told by its name, and nothing about one person is told
NOT_SHOWN = ABOUT_ONE_PERSON | {"name"}
UNIT_FORMS = {
    "share": "share",
    "money": "money",
    "count": "count",
    "units": "count",
    "points": "count",
}
EFFECTS = ("expected_effect", "effect_low", "effect_high")
A4 = 9
WIDTHS = (9, 48)  # of a column, in characters
TEXT_LIMIT = 32_000  # Excel's own is 32,767
SHEET_NAME_LIMIT = 31
FORMATS = Path(__file__).with_name("formats.yaml")
OPTIONS = {
    "in_memory": True,  # no files in passing on another disk
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": False,
    "default_date_format": "yyyy-mm-dd",
}


def write_workbook(pack: Pack, decisions: DataFrame, path: Path) -> None:
    """Write `playbook.xlsx`; the same pack gives the same bytes."""
    import xlsxwriter

    record = pack.record
    with xlsxwriter.Workbook(str(path), OPTIONS) as book:
        title = f"{record['store']} {record['month']}"
        as_of = dt.datetime.fromisoformat(record["as_of"])
        book.set_properties({"title": title, "created": as_of})
        sheets = _Sheets(book)
        lines = [f"{title} ({record['currency']})", *sentences(pack, decisions)]
        lines += [word("partial month")] if record["is_partial"] else []
        card = pack.reviewed("scorecard")
        sheets.text(
            word("Summary"),
            lines,
            latest_figures(pack) if card is None else card,
        )
        sheets.decisions(word("Decisions"), decisions)
        sheets.frame(word("Asks"), _or_empty(pack.table(pack.review, "asks"), ASKS))
        goals = chapter(TARGETS_CHAPTER).notebook
        sheets.frame(word("Targets"), _or_empty(pack.table(goals, TARGETS_TABLE), TARGETS))
        sheets.frame(word("Definitions"), _definitions(pack))
        for notebook in pack.done:
            table = _first_table(pack, notebook)
            if table is not None:
                sheets.frame(title_of(notebook), table)


def _or_empty(frame: DataFrame | None, columns: tuple[str, ...]) -> DataFrame:
    return DataFrame(columns=list(columns)) if frame is None else frame


def _first_table(pack: Pack, notebook: str) -> DataFrame | None:
    """The chapter's headline table, else its first that is not about single persons."""
    facts = chapter(notebook)
    headline = facts.headline_table if facts else ""
    for name in sorted(pack.tables(notebook), key=lambda name: (name != headline, name)):
        table = pack.table(notebook, name)
        if not ABOUT_ONE_PERSON & set(table.columns):
            return table
    return None


def _definitions(pack: Pack) -> DataFrame:
    series = pack.gathered("headline")
    used = sorted(set(series["metric"]) & set(METRICS)) if len(series) else []
    frame = definitions(*used).iloc[: len(used)]
    frame = frame.drop(columns="name" if language() == "zh" else "chinese")
    return frame.rename(columns={"id": "metric", "chinese": "name"})


class _Sheets:
    """Sheets of one workbook with a frozen, styled header, typed cells and widths that
    fit.
    """

    def __init__(self, book: Any) -> None:
        self.book, self.used = book, set()
        formats = read_yaml(FORMATS)
        self.formats = {name: book.add_format(form) for name, form in formats.items()}

    def sheet(self, name: str) -> Any:
        """A new sheet; Excel allows 31 characters, no brackets, slashes, colons or
        marks, and no name twice.
        """
        plain = re.sub(r"[\[\]:*?/\\]", " ", name)[:SHEET_NAME_LIMIT].strip("' ") or "sheet"
        number = 1
        while plain.lower() in self.used:
            number += 1
            plain = f"{plain[: SHEET_NAME_LIMIT - 3]} {number}"
        self.used.add(plain.lower())
        sheet = self.book.add_worksheet(plain)
        sheet.set_landscape()
        sheet.set_paper(A4)
        sheet.fit_to_pages(1, 0)
        sheet.set_footer("&L&A&R&P / &N")
        return sheet

    def frame(
        self,
        name: str,
        frame: DataFrame,
        sheet: Any = None,
        top: int = 0,
        shares: Mapping[str, set[int]] | None = None,
    ) -> Any:
        """A frame as a sheet: columns under people's names, numbers in the form of what
        they are (`shares`: column -> its rows that are shares), codes in words; the heads
        stay in sight and are printed on every page.
        """
        sheet = sheet or self.sheet(name)
        kept = frame[[c for c in frame.columns if c not in NOT_SHOWN]].head(ROWS_KEPT)
        forms, units = forms_of(kept.columns), _units(kept)
        least, most = WIDTHS
        for place, column in enumerate(kept.columns):
            head = heading(str(column))
            head = head[:1].upper() + head[1:]
            sheet.write_string(top, place, head, self.formats["head"])
            values = [_in_words(value, str(column)) for value in kept[column].tolist()]
            for row, value in enumerate(values):
                is_share = row in (shares or {}).get(str(column), ())
                form = "share" if is_share else forms[column] or units.get(row, "")
                self.cell(sheet, (top + 1 + row, place), value, form)
            widest = max(len(str(text)) for text in (head, *values[:200]))
            sheet.set_column(place, place, min(max(min(widest, 60) + 2, least), most))
        sheet.freeze_panes(top + 1, 0)
        sheet.repeat_rows(top)
        if top + len(kept) <= ROWS_A_PAGE:
            sheet.fit_to_pages(1, 1)
        if len(kept) and len(kept.columns):
            sheet.autofilter(top, 0, top + len(kept), len(kept.columns) - 1)
        return sheet

    def cell(self, sheet: Any, place: tuple[int, int], value: Any, form: str) -> None:
        """One typed cell; missing stays empty, and text is written as text whatever it
        begins with.
        """
        formats = self.formats
        if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
            return
        if isinstance(value, bool) or type(value).__name__ == "bool_":
            sheet.write_boolean(*place, bool(value))
        elif (day := _day_of(value)) is not None:
            sheet.write_datetime(*place, day, formats["day"])
        elif isinstance(value, str) or not hasattr(value, "__float__"):
            text = clean_text(str(value))[:TEXT_LIMIT]
            sheet.write_string(*place, text, formats["text"])
        elif math.isfinite(float(value)):
            sheet.write_number(*place, float(value), formats[form or _form_of(value)])

    def text(self, name: str, lines: list[str], frame: DataFrame) -> None:
        """A few lines of text above a table."""
        sheet = self.sheet(name)
        for row, line in enumerate(lines):
            sheet.write_string(
                row,
                0,
                line,
                self.formats["title" if row == 0 else "plain"],
            )
        self.frame(
            name,
            frame,
            sheet,
            top=len(lines) + 1,
        )

    def decisions(self, name: str, decisions: DataFrame) -> None:
        """All decisions, the columns to fill in marked, `status` with a list to choose
        from.
        """
        rows = open_decisions(decisions).assign(done_size=None, brought=None)
        shares = _shares(rows)
        rows = rows.reindex(columns=DECISION_COLUMNS)
        rows = rows.assign(status=rows["status"].map(_answer_word))
        sheet = self.frame(name, rows, shares=shares)
        for column in FILLED_IN:
            place = DECISION_COLUMNS.index(column)
            blank = self.formats["fill_day" if column == "done_on" else "fill"]
            for row, value in enumerate(rows[column], start=1):
                if isinstance(value, str) and value:
                    sheet.write_string(row, place, value, self.formats["fill"])
                else:
                    sheet.write_blank(row, place, None, blank)
        known = [_answer_word(status) for status in ANSWERS]
        answers = {"validate": "list", "source": known}
        answers["error_message"] = say("runs.choose_one", known=", ".join(known))
        days = {"validate": "date", "criteria": ">", "value": dt.date(2000, 1, 1)}
        days["error_message"] = say("runs.a_day")
        for column, rule in (("status", answers), ("done_on", days)):
            place = DECISION_COLUMNS.index(column)
            sheet.data_validation(1, place, max(len(rows), 1), place, rule)
        sheet.freeze_panes(1, 1)


def _answer_word(status: Any) -> Any:
    """A status in the language in use; the code where it has no word, as in English."""
    return label("words", status) if isinstance(status, str) else status


def _shares(decisions: DataFrame) -> dict[str, set[int]]:
    """Columns of decisions -> their rows that hold shares: a size in a metric that is one,
    and the effects on it where they are forecasts of it.
    """
    found: dict[str, set[int]] = {name: set() for name in ("size", *EFFECTS)}
    for row, decision in enumerate(decisions.to_dict("records")):
        metric = METRICS.get(str(decision.get("unit") or ""))
        if metric is None or metric.unit != "share":
            continue
        is_forecast = decision.get("effect_kind") == "forecast"
        for name in ("size", *EFFECTS) if is_forecast else ("size",):
            found[name].add(row)
    return found


def _day_of(value: Any) -> dt.date | None:
    """The value as a day or moment without a zone; None where it is none."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, dt.date):
        return value
    is_day = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value)
    return dt.datetime.fromisoformat(value) if is_day else None


def _in_words(value: Any, column: str) -> Any:
    """A code as its word in the language in use; what is no text stays as it is."""
    if not isinstance(value, str):
        return value
    if column == "notebook":
        return title_of(value)
    return (
        metric_name(value) if column == "unit" and value in METRICS else cell_of(value, column).text
    )


def _units(frame: DataFrame) -> dict[int, str]:
    """Row -> the form of its numbers, where a row is about one metric."""
    names = frame.get("metric", [])
    units = [METRICS[name].unit if name in METRICS else "" for name in names]
    return {row: UNIT_FORMS.get(unit, "figure") for row, unit in enumerate(units) if unit}


def _form_of(value: Any) -> str:
    """The form of a number nothing is said of."""
    if hasattr(value, "as_tuple"):
        return "money"
    return "count" if float(value) == int(float(value)) else "figure"
