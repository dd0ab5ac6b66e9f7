"""What we write is read the same by three readers, and no text of a shop is run or shown in
another order than it is written.
"""

import csv
import io
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from playbook.cli import main
from playbook.errors import PlaybookError
from playbook.runs.results import Results, escaped
from playbook.store.write import publish, settle, staging, undo

TEXTS = [
    "=1+1",
    "+SUM(A1)",
    "-2+3",
    "@cmd",
    "\t=1",
    "Tin\r=cmd|'/C calc'!A0",
    "Tin\r\n=2",
    "two\nlines",
    'say "x"',
    "a,b;c",
    "a\x00b\x1fc",
    "safe\u202egpj.exe",
    "＝1+1",
    "plain",
    "ünï, 中文",
    "'quoted'",
    "\n=1",
]
SHOWN = {
    "a\x00b\x1fc": "abc",
    "safe\u202egpj.exe": "safegpj.exe",
    "Tin\r=cmd|'/C calc'!A0": "Tin\n=cmd|'/C calc'!A0",
    "Tin\r\n=2": "Tin\n=2",
}


def written(tmp_path):
    results = Results("04_cohorts", str(tmp_path), month="2026-01", store="s")
    results.table("t", pd.DataFrame({"=name": TEXTS, "n": range(len(TEXTS))}))
    return tmp_path / "04_cohorts/tables/t.csv"


def rows_by_csv(path):
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def rows_by_pandas(path):
    frame = pd.read_csv(path, encoding="utf-8-sig", dtype=str, keep_default_na=False)
    return [list(frame.columns), *frame.to_numpy().tolist()]


def rows_by_libreoffice(path):
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if not office:
        pytest.skip("LibreOffice is not installed")
    words = [office, "--headless", f"-env:UserInstallation=file://{path.parent}/profile"]
    # a window reads the mark at the file's start; without one the words must name UTF-8 (76)
    words += ["--infilter=Text - txt - csv (StarCalc):44,34,76,1"]
    words += ["--convert-to", "xlsx", "--outdir", str(path.parent), str(path)]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    frame = pd.read_excel(path.with_suffix(".xlsx"), engine="calamine", dtype=str, header=None)
    return frame.fillna("").to_numpy().tolist()


@pytest.mark.parametrize("reader", [rows_by_csv, rows_by_pandas, rows_by_libreoffice])
def test_a_csv_holds_the_same_rows_for_every_reader_and_no_formula(tmp_path, reader):
    head, *rows = reader(written(tmp_path))
    assert head == ["'=name", "n"]
    assert [row[1] for row in rows] == [str(n) for n in range(len(TEXTS))]
    for text, row in zip(TEXTS, rows, strict=True):
        shown = SHOWN.get(text, text)
        assert row[0].replace("\r\n", "\n") in (shown, f"'{shown}"), text
        assert not row[0].startswith(("=", "+", "-", "@", "\t", "\n=", "＝"))


def test_a_physical_line_of_a_csv_never_begins_with_a_formula_outside_of_quotation_marks(tmp_path):
    text = written(tmp_path).read_bytes().decode("utf-8-sig")
    assert "\r" not in text.replace("\r\n", "\n") and "\x00" not in text and "\u202e" not in text


def test_numbers_and_missing_values_are_left_as_they_are():
    frame = pd.DataFrame({"x": [-1.5, None], "s": ["a", None], "c": pd.Categorical(["=1", "b"])})
    safe = escaped(frame)
    assert safe["x"].tolist()[0] == -1.5 and safe["s"].isna().tolist() == [False, True]
    assert safe["c"].tolist() == ["'=1", "b"]


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "latin-1", "ascii", "utf-8"])
@pytest.mark.parametrize("words", [["contract", "orders"], ["contract", "orders", "--json"], ["check", "nowhere-✓-ж"]])  # fmt: skip
def test_no_console_ends_a_command_by_a_sign_it_does_not_know(root, encoding, words):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-m", "playbook", *words], capture_output=True, env=environment
    )
    assert b"UnicodeEncodeError" not in done.stderr and b"Traceback" not in done.stderr
    assert done.returncode == int(words[0] == "check")


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def put(folder, **files):
    stage = staging(folder)
    for name, text in files.items():
        path = stage / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    publish(folder)


def held(folder):
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_text() for p in files if p.name != ".lock"}


def test_the_last_import_is_taken_back_and_only_once(store, capsys):
    put(store, orders="1", parts__a="1")
    before = held(store)
    put(store, orders="2", products="2", parts__b="2")
    assert held(store) != before
    assert main(["undo", str(store)]) == 0
    assert held(store) == before
    assert "1 files restored, 2 removed" in capsys.readouterr().out
    assert main(["undo", str(store)]) == 1
    assert held(store) == before


def test_taking_back_the_first_import_leaves_an_empty_store(store):
    put(store, orders="1")
    undo(store)
    assert held(store) == {}


def test_a_change_taken_back_halfway_is_finished_by_the_next_one_who_looks(store, monkeypatch):
    put(store, orders="1")
    before = held(store)
    put(store, orders="2", products="2")
    plain = os.replace

    def killed(source, target):
        if str(target).endswith("orders"):
            raise KeyboardInterrupt
        plain(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        undo(store)
    monkeypatch.setattr(os, "replace", plain)
    settle(store)
    assert held(store) == before


def test_nothing_to_take_back_is_refused(store):
    with pytest.raises(PlaybookError, match="No import of this store"):
        undo(store)
