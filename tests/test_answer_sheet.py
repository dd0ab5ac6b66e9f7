"""The sheet people fill in comes back whole: every row is counted, and what is odd is
named by its row or its cell.
"""

import pandas as pd
import pytest
import xlsxwriter
from small_month import write_shop

from playbook.decisions import Decision
from playbook.errors import PlaybookError
from playbook.runs.answers import answers, own_results, read_back
from playbook.runs.results import Results

HEAD = ["decision_id", "status", "done_on", "done_size", "note"]


@pytest.fixture
def published(tmp_path):
    """A shop with one published month of three decisions, one of them blocked."""
    write_shop(tmp_path / "store")
    month = tmp_path / "runs/corner/2026-01"
    results = Results("04_cohorts", str(month), month="2026-01", store="corner")
    for action in ("raise", "wake", "blocked"):
        results.decide(Decision("kpi", action, action, owner_role="general manager"))
    (month / "run.json").write_text('{"month": "2026-01", "notebooks": {}}')
    ids = results.decisions().set_index("action").decision_id
    return tmp_path, ids


def read(folder, text, name="answers.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return read_back(folder / name, str(folder / "store"), folder / "runs")


def sheet(*rows):
    return "\n".join(",".join(map(str, row)) for row in (HEAD, *rows)) + "\n"


@pytest.mark.parametrize(
    "written, size",
    [('"12,5"', 12.5), ('"1.234,56"', 1234.56), ('"1,234.56"', 1234.56), ("1 234", 1234.0), ("7", 7.0)],
)  # fmt: skip
def test_a_size_is_read_as_people_write_it(published, written, size):
    folder, ids = published
    read(folder, sheet((ids["raise"], "changed", "", written, "")))
    assert answers(folder / "runs/corner").done_size.tolist() == [size]


@pytest.mark.parametrize(
    "row, told",
    [
        (("ID", "changed", "", "1.234", ""), "row 2 can be read in two ways"),
        (("ID", "changed", "", "12 pieces", ""), "no number in row 2"),
        (("ID", "changed", "", "1e400", ""), "no number in row 2"),
        (("", "done", "2026-02-01", "", ""), "Row 2 holds an answer but no decision_id"),
        (("#N/A", "done", "2026-02-01", "", ""), "never published the decision in row 2"),
        (("ID", "#N/A", "", "", ""), "status is none of the five in row 2"),
        (("ID", "blocked", "", "", ""), "status is none of the five in row 2"),
        (("ID", "done", "2026-02-0100", "", ""), "no day in row 2"),
    ],
)
def test_a_row_that_is_odd_is_named_and_does_not_vanish(published, row, told):
    folder, ids = published
    with pytest.raises(PlaybookError, match=told):
        read(folder, sheet([ids["raise"] if cell == "ID" else cell for cell in row]))
    assert answers(folder / "runs/corner").empty


def test_every_row_is_counted(published):
    folder, ids = published
    rows = [(ids["raise"], "accepted", "", "", ""), (ids["wake"], "proposed", "", "", "")]
    told = read(folder, sheet(*rows, (ids["blocked"], "blocked", "", "", ""), ("",) * 5))
    counts = [told[k] for k in ("rows", "read", "unanswered", "blocked", "empty")]
    assert counts == [4, 1, 1, 1, 1]


def test_a_size_alone_is_an_answer_too(published):
    folder, ids = published
    assert read(folder, sheet((ids["raise"], "proposed", "", "5", "")))["read"] == 1


def test_a_cell_that_holds_an_error_is_named(published):
    folder, ids = published
    with xlsxwriter.Workbook(folder / "a.xlsx") as book:
        book.add_worksheet("Summary").write_formula(0, 0, "=1/0", None, "#DIV/0!")
        page = book.add_worksheet("Decisions")
        page.write_row(0, 0, HEAD)
        page.write_row(1, 0, [ids["raise"], "accepted"])
        page.write_row(2, 0, [ids["wake"]])
        page.write_formula(2, 1, "=NA()", None, "#N/A")
    with pytest.raises(PlaybookError, match="The cell B3 holds an error"):
        read_back(folder / "a.xlsx", str(folder / "store"), folder / "runs")


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", "sheet1.xml"])
def test_a_workbook_with_any_damaged_part_is_refused_or_read_never_half(published, part):
    folder, ids = published
    with xlsxwriter.Workbook(folder / "a.xlsx") as book:
        page = book.add_worksheet("Decisions")
        page.write_row(0, 0, HEAD)
        page.write_row(1, 0, [ids["raise"], "accepted"])
    whole = (folder / "a.xlsx").read_bytes()
    # in the header of the part, and in what it holds
    for shift in (2, len(part) + 40):
        at = whole.index(part.encode()) + shift
        hurt = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        (folder / "b.xlsx").write_bytes(hurt)
        with pytest.raises(PlaybookError, match="cannot be read"):
            read_back(folder / "b.xlsx", str(folder / "store"), folder / "runs")


def test_a_sheet_without_any_row_is_an_answer_to_nothing(published):
    folder, _ids = published
    told = read(folder, sheet(("", "", "", "", ""), ("", "", "", "", "")))
    assert (told["read"], told["empty"]) == (0, 2)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "cp1252"])
def test_a_csv_is_read_as_spreadsheets_save_it(published, delimiter, encoding):
    folder, ids = published
    note = "从下周开始" if encoding in ("gb18030", "utf-8") else "ab nächster Woche"
    rows = [HEAD, [ids["raise"], "accepted", "", "", note]]
    read(folder, "\n".join(delimiter.join(row) for row in rows), encoding=encoding)
    assert answers(folder / "runs/corner").note.tolist() == [note]


def test_a_damaged_log_is_set_aside_and_a_new_one_begun(published):
    folder, ids = published
    log = folder / "runs/corner/decisions_log.parquet"
    log.write_bytes(b"PAR1 not any more")
    told = read(folder, sheet((ids["raise"], "accepted", "", "", "")))
    assert told["set_aside"] == "decisions_log.damaged1.parquet"
    assert (log.parent / told["set_aside"]).read_bytes().startswith(b"PAR1 not")
    assert len(pd.read_parquet(log)) == 1


def test_a_column_that_stands_twice_is_refused(published):
    folder, ids = published
    text = f"decision_id,status,Status \n{ids['raise']},accepted,declined\n"
    with pytest.raises(PlaybookError, match="status stands in the sheet twice"):
        read(folder, text)


def test_a_comma_without_quotes_is_refused_and_not_cut_in_two(published):
    folder, ids = published
    with pytest.raises(PlaybookError, match="more cells than column names in row 3"):
        read(
            folder,
            sheet((ids["wake"], "declined", "", "", ""), (ids["raise"], "changed", "", "12,5", "")),
        )
    assert len(answers(folder / "runs/corner")) == 0


def test_blank_lines_count_as_empty_rows(published):
    folder, ids = published
    told = read(folder, sheet((ids["raise"], "changed", "", "7", "")) + "\n,,,,\n")
    assert (told["rows"], told["read"], told["empty"]) == (3, 1, 2)


def test_commas_in_the_headings_of_a_sheet_of_semicolons_refuse_nothing(published):
    folder, ids = published
    head = "decision_id;status;done_on;done_size;note;expected, low"
    text = f"{head}\n{ids['raise']};changed;;12,5;a, b, c;1,0\n"
    assert read(folder, text)["read"] == 1
    assert answers(folder / "runs/corner").done_size.tolist() == [12.5]


def test_what_people_say_a_decision_brought_stands_beside_its_claim_from_the_next_month_on(
    published,
):
    folder, _ids = published
    month = folder / "runs/corner/2026-01"
    results = Results("10_assortment_pricing", str(month), month="2026-01", store="corner")
    kind = {"kind": "assortment_pricing.price_raise", "effect_kind": "margin"}
    for sku, claim in (("mug", 90.0), ("tin", 50.0), ("jug", 20.0)):
        results.decide(Decision("sku", sku, "raise price", expected_effect=claim, **kind))
    ids = results.decisions().set_index("subject").decision_id
    head = "decision_id,status,done_on,brought"
    done = [f"{ids['mug']},done,2026-01-20,30", f"{ids['tin']},done,2026-01-20,"]
    read(folder, "\n".join([head, *done, f"{ids['jug']},accepted,,5"]))
    later = folder / "runs/corner/2026-02"
    later.mkdir()
    (later / "run.json").write_text('{"month": "2026-02"}')
    found = own_results(later)
    assert found[["kind", "claim", "brought"]].values.tolist() == [[kind["kind"], 90.0, 30.0]]
    assert own_results(month).empty, "its own month cannot know"


def test_a_log_written_before_results_were_asked_for_is_read(published):
    folder, ids = published
    log = {"decision_id": [ids["raise"]], "status": "done", "done_on": "2026-02-01", "note": ""}
    pd.DataFrame(log).assign(done_size=1.0).to_parquet(folder / "runs/corner/decisions_log.parquet")
    assert answers(folder / "runs/corner").brought.isna().tolist() == [True]
