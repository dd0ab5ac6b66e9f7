"""The command line: help with an example, plain refusals, exit statuses that a script
can trust, JSON for machines.
"""

import json
import subprocess
import sys

import pytest
from small_month import write_shop
from test_month import stocked

from playbook.cli import main
from playbook.errors import PlaybookError
from playbook.runs import plan

COMMANDS = [
    "run",
    "day",
    "open",
    "decisions",
    "contract",
    "check",
    "import",
    "undo",
    "fetch",
    "init",
    "map",
    "audience",
    "demo",
]


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    return stocked(monkeypatch, tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"Example: playbook {command}" in " ".join(told.split())


def test_help_lists_the_commands_and_no_command_is_wrong_usage(capsys):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {command} " in told for command in COMMANDS)
    assert main([]) == 2 and main(["nonsense"]) == 2 and main(["run", "--jobs", "0"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--until", "2026"],
        ["run", "--until", "2026-02-03", "--month", "2026-02"],
        ["run", "-p", "months"],
        ["run", "--from", "2026-01", "--only", "04"],
        ["run", "--lang", "fr"],
        ["run", "-p", "1x=3"],
    ],
)
def test_wrong_usage_is_status_2_and_touches_nothing(kitchen, tmp_path, words):
    assert main(words) == 2
    assert kitchen.ran == [] and not (tmp_path / "runs").exists()


def test_a_month_done_is_0_a_failed_chapter_3_nothing_published_1(kitchen, capsys):
    assert main(["run", "--store", "shop"]) == 0
    assert "corner 2026-02: published: runs/corner/2026-02/index.html" in capsys.readouterr().out
    kitchen.failing = {"05_ltv"}
    assert main(["run", "--store", "shop", "--month", "2026-01"]) == 3
    assert "05_ltv failed in cell 4 (Analysis): ZeroDivisionError" in capsys.readouterr().out
    kitchen.failing = {"11_review"}
    assert main(["run", "--store", "shop", "--month", "2026-01", "-p", "k=9"]) == 1
    told = capsys.readouterr()
    assert "Refused: 11_review failed" in told.err and "Traceback" not in told.err + told.out


def test_a_refusal_is_one_message_without_a_traceback(capsys):
    assert main(["check", "nowhere"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("Refused: There is no store nowhere") and "What to do:" in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert main(["check", "nowhere", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "There is no store nowhere"


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path, capsys, root):
    (tmp_path / "file").write_text("not a folder")
    sample = root / "data" / "samples" / "google_ads.csv"
    assert main(["import", "auto", str(sample), "--into", str(tmp_path / "file" / "shop")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Refused: ") and "What to do" in said and "Traceback" not in said


def test_json_says_what_was_published_and_nothing_else(kitchen, capsys):
    assert main(["run", "--store", "shop", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["runs"]
    assert (one["store"], one["month"], one["status"]) == ("corner", "2026-02", 0)
    assert (
        one["chapters"]["04_cohorts"] == "done"
        and one["page"].endswith("index.html")
        and len(one["sentences"]) == 3
    )


def test_several_shops_run_one_after_the_other_and_a_bad_one_stops_only_itself(
    kitchen, tmp_path, capsys
):
    other = write_shop(tmp_path / "second")
    (other / "shop.yaml").write_text("name: second\ncurrency: EUR\n")
    assert (
        main(
            [
                "run",
                "--store",
                "shop",
                "--store",
                "nowhere",
                "--store",
                "second",
                "--notify",
                "out/note.txt",
            ]
        )
        == 1
    )
    told = capsys.readouterr()
    assert "nowhere: refused: There is no store" in told.err
    assert (tmp_path / "runs/corner/2026-02").is_dir() and (
        tmp_path / "runs/second/2026-02"
    ).is_dir()
    note = (tmp_path / "out/note.txt").read_text()
    assert "corner 2026-02" in note and "nothing published" in note and "second 2026-02" in note
    assert [one["status"] for one in json.loads((tmp_path / "out/note.json").read_text())] == [
        0,
        1,
        0,
    ]


def test_from_replays_past_months_in_order_and_marks_them(kitchen, tmp_path):
    assert main(["run", "--store", "shop", "--from", "2026-01"]) == 0
    marks = {
        m: json.loads((tmp_path / "runs/corner" / m / "run.json").read_text())["is_replay"]
        for m in ("2026-01", "2026-02")
    }
    assert marks == {"2026-01": True, "2026-02": False}
    assert main(["run", "--store", "shop", "--from", "2026-03"]) == 1
    kitchen.ran.clear()
    assert (
        main(["run", "--store", "shop", "--month", "2026-01"]) == 0
    )  # asked for by itself, it is still a replay
    assert (
        kitchen.ran == []
        and json.loads((tmp_path / "runs/corner/2026-01/run.json").read_text())["is_replay"]
    )


def test_a_database_address_is_never_printed_with_its_password(capsys):
    assert main(["run", "--store", "postgres://anna:s3cret@db.example.org/shop", "--json"]) == 1
    told = capsys.readouterr()
    assert "s3cret" not in told.out + told.err and "anna" not in told.out + told.err


def test_open_makes_a_working_copy_and_never_overwrites_one(kitchen, tmp_path, capsys):
    assert main(["open", "4", "--store", "shop", "--month", "2026-01"]) == 0
    copy = tmp_path / "work/corner-2026-01/04_cohorts.ipynb"
    assert str(copy.relative_to(tmp_path)) in capsys.readouterr().out
    text = "".join(json.loads(copy.read_text())["cells"][1]["source"])
    assert 'month: str = "2026-01"  # report month' in text and 'out: str = ""' in text
    assert str(tmp_path / "shop") in text
    copy.write_text("mine")
    assert main(["open", "04", "--store", "shop", "--month", "2026-01"]) == 0
    assert copy.read_text() == "mine" and copy.with_name("04_cohorts-2.ipynb").exists()
    assert main(["open", "44", "--store", "shop"]) == 1


def test_contract_prints_one_table_and_writes_empty_ones_once(tmp_path, capsys):
    assert main(["contract", "refunds"]) == 0
    assert "refund_id" in capsys.readouterr().out
    assert main(["contract", "orders", "--template", str(tmp_path / "t")]) == 0
    assert (tmp_path / "t/orders.csv").read_text().startswith("order_id,")
    assert main(["contract", "orders", "--template", str(tmp_path / "t")]) == 1
    assert main(["contract", "nothing"]) == 1
    assert main(["contract", "orders", "--json"]) == 0


def test_check_tells_the_ledger_and_the_gates(kitchen, capsys):
    assert main(["check", "shop", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["verdict"] == "go with exclusions"
        and told["ledger"][0]["reason"] == "source total as delivered"
    )
    assert main(["check", "shop"]) == 0
    assert "corner 2026-02 (EUR): go with exclusions" in capsys.readouterr().out


def test_check_of_a_shop_before_its_first_order_has_gates_and_no_walk(tmp_path, capsys):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/competitors.csv").write_text(
        "month,category,seller,price\n2026-01,mugs,other,9\n"
    )
    assert main(["check", str(tmp_path / "shop"), "--month", "2026-02"]) == 0
    assert "no orders yet" in capsys.readouterr().out


def test_init_map_import_and_demo_call_what_they_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "new", "--currency", "EUR"]) == 0 and (tmp_path / "new/shop.yaml").exists()
    (tmp_path / "export.csv").write_text(
        "Order No;Order Date;Quantity;Unit Price\n1;2026-01-02;2;3.5\n"
    )
    assert (
        main(["map", "export.csv", "--to", "export.yaml"]) == 0
        and (tmp_path / "export.yaml").exists()
    )
    assert main(["map", "export.csv", "--to", "export.yaml"]) == 1
    assert main(["import", "auto", "nothing.csv", "--into", "new"]) == 1
    assert "Refused:" in capsys.readouterr().err
    assert main(["fetch", "nothing"]) == 1 and main(["demo", "--preset", "nothing"]) == 1


def test_a_bug_is_not_dressed_up_as_a_refusal(monkeypatch):
    monkeypatch.setattr(plan, "working_copy", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["open", "04"])


def test_importing_the_command_line_costs_little():
    code = "import sys, playbook.cli; print(*{'pandas', 'ibis', 'papermill', 'duckdb', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_python_m_playbook_is_the_same_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "playbook", "check", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stderr.startswith("Refused:")
    assert issubclass(PlaybookError, Exception)
