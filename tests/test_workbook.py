"""The workbook as people read it: names and numbers in words and forms of theirs, in both
languages, on paper too; what they fill in is understood.
"""

import re
import zipfile
from xml.etree import ElementTree

import pandas as pd
import pytest
import xlsxwriter
from small_month import write_shop
from small_pack import write_month

from playbook.chapters.registry import chapter, chapters
from playbook.messages import speaking
from playbook.runs.answers import answers, read_back
from playbook.runs.columns import column_named, forms_of, heading
from playbook.runs.workbook import DECISION_COLUMNS, ROWS_A_PAGE, _Sheets
from playbook.tables import schema

SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def shown_columns():
    """Every column that a sheet of the workbook may have."""
    tables = [f"{chapter(n).room}.{chapter(n).headline_table}" for n in chapters()]
    tables += ["monthly_review.asks", "goal_setting.smart"]
    found = {name for table in tables for name in schema(table).columns}
    return sorted(found | set(DECISION_COLUMNS) | {"formula", "maturity", "trap"})


@pytest.mark.parametrize("column", shown_columns())
def test_every_column_of_the_workbook_has_a_name_of_peoples_in_both_languages(column):
    with speaking("zh"):
        assert re.search(r"[\u4e00-\u9fff]|^SKU$", heading(column)), column
    with speaking("en"):
        assert "_" not in heading(column)


def formats(path, sheet):
    """Cell -> its number format, of one sheet of a workbook."""
    with zipfile.ZipFile(path) as book:
        styles = ElementTree.fromstring(book.read("xl/styles.xml"))
        tree = ElementTree.fromstring(book.read(f"xl/worksheets/sheet{sheet}.xml"))
    own = {f.get("numFmtId"): f.get("formatCode") for f in styles.iter(f"{SHEET}numFmt")}
    own |= {"3": "#,##0", "0": ""}
    used = [own.get(xf.get("numFmtId"), "?") for xf in styles.find(f"{SHEET}cellXfs")]
    return {c.get("r"): used[int(c.get("s", 0))] for c in tree.iter(f"{SHEET}c")}


def written(tmp_path, frame, **more):
    path = tmp_path / "one.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        _Sheets(book).frame("one", frame, **more)
    return path


def test_numbers_have_the_form_of_their_column_or_of_the_metric_of_their_row(tmp_path):
    card = pd.DataFrame(
        {
            "metric": ["net_revenue", "refund_share_booked", "orders"],
            "actual": [1461756.25, 0.0293, 4711.0],
            "usual_low": [1400000.0, 0.02, 4000.0],
            "p_reach": [0.5, 0.25, 0.9],
            "due_on": ["2026-02-20"] * 3,
        }
    )
    found = formats(written(tmp_path, card), 1)
    money = "[>=10000]#,##0;[<=-10000]-#,##0;#,##0.00"
    assert [found[f"B{n}"] for n in (2, 3, 4)] == [money, "0.0%", "#,##0"]
    assert [found[f"C{n}"] for n in (2, 3, 4)] == [money, "0.0%", "#,##0"]
    assert {found[f"D{n}"] for n in (2, 3, 4)} == {"0.0%"}
    assert {found[f"E{n}"] for n in (2, 3, 4)} == {"yyyy-mm-dd"}


def test_ends_of_an_interval_have_the_form_of_what_they_enclose():
    forms = forms_of(["ltv", "low", "high", "verdict"])
    assert forms == {"ltv": "money", "low": "money", "high": "money", "verdict": ""}
    assert forms_of(["share", "low", "high"])["high"] == "share"
    assert forms_of(["cost_share", "last_month_change"]) == {
        "cost_share": "share",
        "last_month_change": "share",
    }
    assert forms_of(["low"]) == {"low": ""}


def test_a_sheet_keeps_its_heads_in_sight_and_on_every_printed_page(tmp_path):
    short = pd.DataFrame({"sku": ["a"] * (ROWS_A_PAGE - 1), "cash": 1.0})
    for frame, pages in ((short, "1"), (pd.concat([short] * 3), "0")):
        path = written(tmp_path, frame)
        with zipfile.ZipFile(path) as book:
            sheet = book.read("xl/worksheets/sheet1.xml").decode()
            named = book.read("xl/workbook.xml").decode()
        assert 'ySplit="1"' in sheet and 'state="frozen"' in sheet
        assert 'paperSize="9"' in sheet and 'orientation="landscape"' in sheet
        # one page wide; one page high too where that can be read
        fits = re.search(r'fitToHeight="(\d)"', sheet)
        assert (fits[1] if fits else "1") == pages
        assert "_xlnm.Print_Titles" in named and "$1:$1" in named


def test_a_size_in_a_share_reads_as_one_and_money_beside_it_does_not(tmp_path):
    from playbook.runs.workbook import _shares

    rows = pd.DataFrame(
        {
            "unit": ["cvr_sessions", "cvr_sessions", "EUR"],
            "effect_kind": ["forecast", "margin", "forecast"],
        }
    )
    found = _shares(rows)
    assert found["size"] == {0, 1} and found["expected_effect"] == found["effect_low"] == {0}


def test_what_people_fill_in_under_chinese_names_and_words_is_read_back(tmp_path):
    write_shop(tmp_path / "store")
    month = write_month(tmp_path / "runs" / "corner", "2026-02", lang="zh")
    sheet = pd.read_excel(month / "playbook.xlsx", sheet_name="决策", engine="calamine")
    sheet = sheet.astype(object)
    sheet.loc[0, "状态"], sheet.loc[0, "完成日期"] = "已完成", pd.Timestamp("2026-03-02")
    sheet.loc[0, "实际执行量"], sheet.loc[0, "备注"] = 800, "分两步"
    sheet.loc[1, "状态"] = "已拒绝"
    filled = tmp_path / "filled.xlsx"
    sheet.to_excel(filled, sheet_name="决策", index=False, engine="xlsxwriter")
    told = read_back(filled, str(tmp_path / "store"), tmp_path / "runs")
    assert told["statuses"] == {"declined": 1, "done": 1}
    kept = answers(tmp_path / "runs" / "corner").set_index("status")
    assert kept.done_on["done"] == "2026-03-02" and kept.done_size["done"] == 800
    assert kept.note["done"] == "分两步"


def test_a_heading_of_any_language_and_the_code_name_the_same_column():
    among = ["decision_id", "status", "note"]
    assert {column_named(t, among) for t in ("Decision ID", " decision_id", "决策编号")} == {
        "decision_id"
    }
    assert column_named("Nota", among) == "nota"
