"""No row leaves a file unseen: records are counted a second time, and every one is stored,
itemised, or the file is refused.
"""

import gzip
import random

import duckdb
import pytest

from playbook.errors import PlaybookError
from playbook.sources import records
from playbook.sources.importing import import_files
from playbook.sources.read import open_sheets
from playbook.sources.records import Shape, records_in


def counted(tmp_path, text):
    (tmp_path / "r.csv").write_bytes(text.encode())
    found = records_in(tmp_path / "r.csv", Shape(",", 3))
    return found.n, found.n_blank, found.longest


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", (0, 0, 0)),
        ("a,b", (1, 0, 3)),
        ("a,b\n1,2\n", (2, 0, 3)),
        ("a,b\r\n\r\n1,2\r\n", (3, 1, 3)),
        ('a,"b\nc"\n1,2\n', (2, 0, 7)),
        ('a,"b""\n""c"\n1,2\n', (2, 0, 11)),
        ("\n\na\n", (3, 2, 1)),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 24])
def test_records_end_outside_of_quotation_marks_however_the_file_is_cut(
    tmp_path, monkeypatch, text, expected, block
):
    monkeypatch.setattr(records, "BLOCK", block)
    assert counted(tmp_path, text) == expected


def test_the_count_is_that_of_pythons_reader_on_random_tables(tmp_path, monkeypatch):
    import csv
    import io

    dealt = random.Random(26)
    monkeypatch.setattr(records, "BLOCK", 13)
    for _ in range(200):
        cells = ["", "a", 'say "x"', "two\nlines", "a,b", "é"]
        n_columns = [dealt.choice([1, 3, 3, 5]) for _ in range(dealt.randrange(1, 9))]
        rows = [[dealt.choice(cells[1:]) for _ in range(n)] for n in n_columns]
        out = io.StringIO()
        csv.writer(out, lineterminator=dealt.choice(["\n", "\r\n"])).writerows(rows)
        assert counted(tmp_path, out.getvalue())[0] == len(rows)
        found = records_in(tmp_path / "r.csv", Shape(",", 3))
        assert found.n_misfits == sum(n != 3 for n in n_columns)


ORDERS = "Order ID,Date,Customer,SKU,Quantity,Unit Price\n"


def sheet_of(tmp_path, text, name="o.csv"):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    con = duckdb.connect()
    return con, open_sheets(
        con, tmp_path / name, tmp_path, lambda names: sum(name in "abc" for name in names)
    )[0]


def rows_of(con, sheet):
    con.execute(f"CREATE OR REPLACE TABLE raw AS SELECT * FROM {sheet.scan}")
    records.require_all_read(con, sheet, "raw")
    return con.execute("SELECT count(*) FROM raw").fetchone()[0]


@pytest.mark.parametrize(
    "header",
    [
        'a,"b\nwrapped",c\n',
        'a,"b\n(in\nthree)",c\n',
        '"Export of\nmy shop"\na,b,c\n',
        "\n\na,b,c\n",
    ],
)
def test_a_line_break_in_a_header_takes_no_row_with_it(tmp_path, header):
    con, sheet = sheet_of(tmp_path, header + "1,2,3\n4,5,6\n")
    assert rows_of(con, sheet) == 2


@pytest.mark.parametrize("n_bytes", [999_000, 1_500_000, 4_500_000, 9_000_000])
def test_a_line_of_any_length_is_read(tmp_path, n_bytes):
    con, sheet = sheet_of(tmp_path, "a,b,c\n1,2,3\n4," + "x" * n_bytes + ",6\n7,8,9\n")
    assert rows_of(con, sheet) == 3


def test_a_line_no_table_has_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_LINE", 10_000)
    with pytest.raises(PlaybookError, match=r"One line is 12,\d\d\d bytes long"):
        sheet_of(tmp_path, "a,b,c\n1,2,3\n4," + "x" * 12_000 + ",6\n")


def test_a_quotation_mark_inside_of_a_word_is_no_record_lost(tmp_path):
    con, sheet = sheet_of(tmp_path, 'a,b,c\n1,5" pipe,3\n4,5,6\n')
    assert rows_of(con, sheet) == 2


def test_rows_that_vanish_are_told(tmp_path):
    con, sheet = sheet_of(tmp_path, "a,b,c\n1,2,3\n4,5,6\n")
    rows_of(con, sheet)
    con.execute("CREATE OR REPLACE TABLE raw AS SELECT 1 AS x")
    with pytest.raises(PlaybookError, match="holds 2 records, and 1 were read and 0"):
        records.require_all_read(con, sheet, "raw")


@pytest.mark.parametrize("wide, narrow", [(2000, 1), (3, 2000)])
def test_rows_that_do_not_fit_the_header_are_refused_before_the_engine_keeps_them(
    tmp_path, wide, narrow
):
    """Each value too many would keep its whole line: 5 MB of such rows took 4.9 GB."""
    header = ",".join(["a", "b", "c", *[f"n{i}" for i in range(narrow - 1)]])
    row = ",".join(["1234567890"] * wide)
    with pytest.raises(PlaybookError, match="Of 25,001 records 25,000 have more or fewer"):
        sheet_of(tmp_path, header + "\n" + (row + "\n") * 25_000)


def test_a_few_rows_that_do_not_fit_are_listed_as_before(tmp_path):
    con, sheet = sheet_of(tmp_path, "a,b,c\n1,2,3\n" + "1,2,3,4,5\n" * 9 + "1\n")
    assert rows_of(con, sheet) == 1
    assert con.execute(f"SELECT count(DISTINCT line) FROM {sheet.rejects}").fetchone() == (10,)


def test_stray_quotation_marks_make_no_giant_record(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "USUAL_LINE", 10_000)
    text = 'a\tb\tc\n1\t5 inch" pipe\t3\n' + "4\t5\t6\n" * 5_000
    con, sheet = sheet_of(tmp_path, text)
    assert rows_of(con, sheet) == 5_001 and sheet.records.longest < 100


@pytest.mark.parametrize("name", ["plain", "one", "two", "pre"])
def test_every_row_of_an_export_with_a_wrapped_header_is_stored(root, tmp_path, name):
    folder = root / "tests/cases/strain/header_newline"
    plain = import_files("auto", [folder / "plain.csv"], tmp_path / "plain")
    told = import_files("auto", [folder / f"{name}.csv"], tmp_path / name)
    assert told.as_dict()["files"][0]["n_rows"] == plain.as_dict()["files"][0]["n_rows"]


def test_a_packed_file_is_counted_too(tmp_path):
    text = gzip.compress(b'a,"b\nx",c\n1,2,3\n4,5,6\n')
    con, sheet = sheet_of(tmp_path, text, "o.csv.gz")
    assert rows_of(con, sheet) == 2
