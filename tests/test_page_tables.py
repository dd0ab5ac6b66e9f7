"""What a notebook printed or showed, as tables of a page: every frame is found again, under
people's headings in both languages, and nothing else is taken for one.
"""

import ast
import collections

import numpy as np
import pandas as pd
import pytest
import yaml

from playbook.measures.metrics import METRICS
from playbook.messages import PACKAGE, speaking
from playbook.runs.cells import ROWS_SHOWN
from playbook.runs.chapter_page import FIGURE_CALL, _named_columns
from playbook.runs.page_tables import PrintedTable, as_read, printed, read_html, table_html
from playbook.shown import frame_html

FRAME = pd.DataFrame(
    {
        "metric": ["aov", "net_revenue", "orders"],
        "key_result": ["More people buy from us", "", "复购 提醒"],
        "p_reach": [0.5, np.nan, 0.25],
        "n": [1234567, 2, 3],
    }
)


def test_a_printed_frame_is_found_with_empty_cells_spaces_in_words_and_two_in_a_row():
    other = FRAME[["n", "metric"]].head(2)
    text = "\n".join(
        ["The goal is set.", FRAME.to_string(index=False), other.to_string(index=False), "Done: 3"]
    )
    before, first, second, after = printed(text)
    assert (before, after) == ("The goal is set.", "Done: 3")
    assert first.columns == list(FRAME) and second.columns == ["n", "metric"]
    assert first.rows[0] == ["aov", "More people buy from us", "0.50", "1234567"]
    assert first.rows[1][1] == "" and first.rows[2][1] == "复购 提醒" and len(second.rows) == 2


def test_names_of_rows_become_the_first_column():
    counted = FRAME.groupby("metric").agg(n=("n", "sum"), share=("p_reach", "max"))
    (table,) = printed(counted.to_string())
    assert table.columns == ["metric", "n", "share"]
    assert table.rows[1][:2] == ["net_revenue", "2"]


def test_two_names_of_rows_are_two_columns_and_a_name_left_blank_is_that_above():
    two = pd.DataFrame({"abc": list("AAB"), "xyz": list("XYX"), "skus": [5, 10, 2]})
    (table,) = printed(two.groupby(["abc", "xyz"]).agg(skus=("skus", "sum")).to_string())
    assert table.columns == ["abc", "xyz", "skus"]
    assert table.rows == [["A", "X", "5"], ["A", "Y", "10"], ["B", "X", "2"]]


@pytest.mark.parametrize(
    "text",
    [
        "one line of words",
        "sales by channel add up to 12.30\nthe ledger says so as well",
        "predicted     0.099\nsame_return   0.086",
        "reason\nnot known    8\nknown        9",
    ],
)
def test_what_is_no_frame_stays_text(text):
    assert printed(text) == [text]


def test_a_frame_without_rows_is_said_in_words():
    empty = FRAME.head(0)
    with speaking("zh"):
        assert printed(str(empty)) == ["没有数据行。"]
        assert "没有数据行" in table_html(read_html(frame_html(empty)))


def test_a_shown_frame_loses_the_count_of_its_rows_and_keeps_names_of_rows():
    assert read_html(frame_html(FRAME)).columns == list(FRAME)
    named = FRAME.set_axis(["a", "b", "c"])
    assert read_html(frame_html(named)).rows[1][0] == "b"
    assert read_html("<p>no table</p>") is None


def test_a_table_has_headings_and_words_in_the_language_and_what_is_odd_is_escaped():
    (table,) = printed(FRAME.to_string(index=False))
    with speaking("zh"):
        page = table_html(table)
    assert METRICS["aov"].chinese in page and "关键结果" in page and ">metric<" not in page
    assert page.count("<td") == 12 and "NaN" not in page and ">–<" in page
    odd = PrintedTable(["metric", "note"], [["<script>", "a & b"]])
    assert "<script>" not in table_html(odd) and "a &amp; b" in table_html(odd)


def test_codes_are_words_in_chinese_and_names_the_shop_gave_stay():
    table = PrintedTable(["horizon", "category", "is_late"], [["month", "new", "True"]])
    with speaking("zh"):
        page = table_html(table)
    assert ">月<" in page and ">new<" in page and ">是<" in page


def test_long_tables_end_and_say_how_many_rows_are_left():
    table = PrintedTable(["day", "n"], [["2026-01-01", str(n)] for n in range(ROWS_SHOWN + 1002)])
    page = table_html(table)
    assert page.count("<tr>") == ROWS_SHOWN + 1 and "1,002 rows more" in page


def test_the_text_calls_columns_as_the_tables_of_its_chapter_do():
    text = "`own_target` is what `targets` held"
    assert _named_columns(text, {"own_target"}) == "“own target so far” is what `targets` held"


def declared():
    """(room, table) -> the columns of every result table."""
    found = {}
    for path in [*PACKAGE.rglob("chapter.yaml"), *PACKAGE.rglob("tables.yaml")]:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, table in stated.get("tables", stated).items():
            if path.parent.name not in ("training", "whatif") and "columns" in table:
                found[path.parent.name, name] = list(table["columns"])
    return found


def test_every_column_of_every_result_table_has_a_chinese_heading():
    columns = {c for table in declared().values() for c in table if c.isidentifier()}
    assert len(columns) > 700
    with speaking("zh"):
        assert [c for c in sorted(columns) if as_read(c) == c.replace("_", " ")] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_two_columns_of_a_result_table_have_one_heading(language):
    with speaking(language):
        for where, columns in declared().items():
            counts = collections.Counter(as_read(c).lower() for c in columns)
            assert [name for name, n in counts.items() if n > 1] == [], where


def test_pictures_kept_by_a_helper_are_found_in_the_cells_that_call_it():
    """Who keeps a picture under a name it was given has to be known to the page."""
    helpers = set()
    for path in (PACKAGE / "chapters").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and ".figure(" in ast.unparse(node):
                helpers.add(node.name)
    assert helpers
    for name in helpers:
        assert FIGURE_CALL.findall(f'{name}(results, "picture", frame)') == ["picture"], name
