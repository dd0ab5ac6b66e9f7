"""The monthly run: whole or not there, resumable, restated by name, one failure at a
time.
"""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pandas as pd
import pytest
from processes import MARK, end, left_running
from small_month import OPEN, write_notebook, write_notebooks, write_shop

from playbook.decisions import Decision
from playbook.errors import PlaybookError
from playbook.runs import month as month_module
from playbook.runs import plan
from playbook.runs.execute import Outcome, declared_parameters, execute_notebook, typed_parameter
from playbook.runs.folders import months_between, shop_folder
from playbook.runs.month import run_month
from playbook.runs.results import Results


class Kitchen:
    """A fake executor: writes one table per notebook; counts what it ran; fails where
    told.
    """

    def __init__(self):
        self.ran, self.failing, self.amount = [], set(), 1.0

    def __call__(self, source, target, parameters, *, folder, replacements, on_cell, kernels):
        name = source.stem
        self.ran.append(name)
        on_cell(0, 2, "Analysis")
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.read(source, as_version=4), target)
        if name in self.failing:
            return Outcome(
                name,
                "failed",
                0.1,
                4,
                "Analysis",
                "ZeroDivisionError: division by zero",
                "Cell In[4]",
            )
        results = Results(name, str(target.parents[1]), month=parameters["month"], store="corner")
        results.table("t", pd.DataFrame({"amount": [self.amount], "k": [parameters.get("k", 3)]}))
        results.decide(Decision("kpi", f"revenue {name}", "keep", owner_role="general manager"))
        return Outcome(name, "done", 0.1)


def cooked(notebooks, *, month=None, only=(), parameters=None, until=None, **how):
    wish = plan.Wish(only, parameters or {}, until, notebooks)
    return run_month("shop", month=month, wish=wish, how=month_module.HowToRun(**how))


def stocked(monkeypatch, folder, cook=None):
    """The cook, with a shop of six orders and chapters in the folder, which is the present one."""
    cook = cook or Kitchen()
    verdict = {"status": "go", "reasons": [], "gates": []}
    monkeypatch.setattr(month_module, "execute_notebook", cook)
    monkeypatch.setattr(month_module, "_verdict", lambda shop: verdict)
    for module in (plan, month_module):
        monkeypatch.setattr(module, "code_version", lambda: "one version of the code")
    monkeypatch.setattr(plan, "notebooks_folder", lambda: folder / "nbs")
    monkeypatch.setenv("PLAYBOOK_WARM", "0")
    monkeypatch.chdir(folder)
    write_shop(folder / "shop")
    write_notebooks(folder / "nbs")
    cook.tmp = folder
    cook.run = lambda **more: cooked(folder / "nbs", **more)
    return cook


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    return stocked(monkeypatch, tmp_path)


def test_a_month_is_published_with_every_chapter_and_nothing_else_lies_about(kitchen):
    done = kitchen.run()
    assert done.folder == kitchen.tmp / "runs" / "corner" / "2026-02"
    assert (done.status, done.is_changed) == (0, True)
    assert (
        set(kitchen.ran) == {"00_start", "04_cohorts", "05_ltv", "11_review"}
        and kitchen.ran[-1] == "11_review"
    )
    names = {p.name for p in done.folder.iterdir()}
    assert names >= {"index.html", "playbook.xlsx", "decisions.csv", "run.json", "04_cohorts"}
    assert sorted(p.name for p in done.folder.parent.iterdir()) == [".2026-02.lock", "2026-02"]
    record = json.loads((done.folder / "run.json").read_text())
    assert record["month"] == "2026-02" and record["notebooks"]["04_cohorts"]["rows"] == {"t": 1}


def test_running_again_with_the_same_inputs_executes_and_changes_nothing(kitchen):
    first = kitchen.run()
    before = {p: p.read_bytes() for p in first.folder.rglob("*") if p.is_file()}
    kitchen.ran.clear()
    second = kitchen.run()
    assert kitchen.ran == [] and not second.is_changed
    assert {p: p.read_bytes() for p in first.folder.rglob("*") if p.is_file()} == before


def test_a_failed_chapter_is_told_with_its_cell_and_the_rest_is_published(kitchen):
    kitchen.failing = {"04_cohorts"}
    done = kitchen.run()
    assert done.status == 3
    entry = json.loads((done.folder / "run.json").read_text())["notebooks"]["04_cohorts"]
    assert (entry["cell"], entry["section"]) == (4, "Analysis") and "division by zero" in entry[
        "error"
    ]
    page = (done.folder / "index.html").read_text()
    assert "division by zero" in page and (done.folder / "05_ltv" / "tables" / "t.csv").exists()
    kitchen.failing, kitchen.ran = set(), []
    assert kitchen.run().status == 0
    assert kitchen.ran == ["04_cohorts", "11_review"]


@pytest.mark.parametrize("vital", ["00_start", "11_review"])
def test_nothing_is_published_when_00_or_11_fails_and_what_stood_still_stands(kitchen, vital):
    first = kitchen.run()
    before = (first.folder / "run.json").read_bytes()
    kitchen.failing = {vital}
    write_shop(kitchen.tmp / "shop", price=20)
    with pytest.raises(
        PlaybookError, match=rf"(?s){vital} failed in cell 4 \(Analysis\).*Nothing is published"
    ):
        kitchen.run()
    assert (first.folder / "run.json").read_bytes() == before
    assert [p.name for p in first.folder.parent.glob("2*")] == ["2026-02"]


def test_after_a_kill_only_what_had_not_finished_runs(kitchen):
    kitchen.failing = {"11_review"}
    with pytest.raises(PlaybookError):
        kitchen.run()
    half = kitchen.tmp / "runs/corner/.2026-02.partial/05_ltv"
    (half / ".done.json").unlink()  # as if it had been killed in the middle
    (half / "tables" / "torn.parquet").write_bytes(b"PAR1")
    kitchen.failing, kitchen.ran = set(), []
    done = kitchen.run()
    assert kitchen.ran == ["05_ltv", "11_review"]
    assert not (done.folder / "05_ltv" / "tables" / "torn.parquet").exists()


def test_what_a_killed_run_had_finished_does_not_count_when_inputs_or_parameters_changed(kitchen):
    kitchen.failing = {"11_review"}
    with pytest.raises(PlaybookError):
        kitchen.run()
    kitchen.failing, kitchen.ran = set(), []
    kitchen.run(parameters={"k": "4"})
    assert kitchen.ran == ["04_cohorts", "11_review"]
    kitchen.ran.clear()
    write_shop(kitchen.tmp / "shop", price=30)
    kitchen.run(parameters={"k": "4"})
    assert set(kitchen.ran) == {"00_start", "04_cohorts", "05_ltv", "11_review"}


def test_restated_figures_keep_the_earlier_pack_by_name(kitchen):
    kitchen.run()
    kitchen.amount = 2.0
    write_shop(kitchen.tmp / "shop", price=20)
    done = kitchen.run()
    folder = done.folder.parent
    assert sorted(p.name for p in folder.glob("2*")) == ["2026-02", "2026-02.r1"]
    assert json.loads((done.folder / "run.json").read_text())["earlier_packs"] == ["2026-02.r1"]
    old = pd.read_parquet(folder / "2026-02.r1" / "04_cohorts" / "tables" / "t.parquet")
    assert old.amount.tolist() == [1.0]
    kitchen.ran.clear()
    assert not kitchen.run().is_changed and kitchen.ran == []
    kitchen.amount = 3.0
    write_shop(kitchen.tmp / "shop", price=30)
    kitchen.run()
    assert sorted(p.name for p in folder.glob("2*")) == ["2026-02", "2026-02.r1", "2026-02.r2"]


def test_new_inputs_that_change_no_figure_replace_the_pack_without_a_version(kitchen):
    kitchen.run()
    write_shop(kitchen.tmp / "shop", price=20)
    assert kitchen.run().is_changed
    assert [p.name for p in (kitchen.tmp / "runs/corner").glob("2*")] == ["2026-02"]


def test_a_month_that_had_stepped_aside_is_restored(kitchen):
    done = kitchen.run()
    os.rename(done.folder, done.folder.with_name(".2026-02.old"))  # killed between the two renames
    kitchen.ran.clear()
    again = kitchen.run()
    assert kitchen.ran == [] and not again.is_changed and (done.folder / "index.html").exists()


def test_only_executes_the_chapters_named_and_keeps_the_others(kitchen):
    kitchen.run()
    kitchen.ran.clear()
    done = kitchen.run(only=("4",), parameters={"k": "5"})
    assert kitchen.ran == ["04_cohorts", "11_review"]
    assert (done.folder / "05_ltv" / "tables" / "t.parquet").exists()
    assert pd.read_parquet(done.folder / "04_cohorts/tables/t.parquet").k.tolist() == [5]


def test_only_is_refused_when_the_published_month_came_from_other_inputs(kitchen):
    done = kitchen.run()
    before = (done.folder / "run.json").read_bytes()
    write_shop(kitchen.tmp / "shop", price=20)
    with pytest.raises(PlaybookError, match="published from other inputs"):
        kitchen.run(only=("04",))
    assert (done.folder / "run.json").read_bytes() == before
    with pytest.raises(PlaybookError, match=r"no chapter 99.*04_cohorts"):
        kitchen.run(only=("99",))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"months": "3"}, "No notebook of this run declares a parameter months.*k, label"),
        ({"k": "many"}, "parameter k of 04_cohorts is int, and 'many' is not"),
        ({"k": "2.5"}, "is int"),
        ({"share": "yes"}, "is float"),
        ({"is_on": "3"}, "is bool"),
        ({"out": "/tmp/elsewhere"}, "out is set by the run itself"),
        ({"store": "x"}, "store is set by the run itself"),
    ],
)
def test_unknown_and_wrongly_typed_parameters_are_refused_before_anything_runs(
    kitchen, given, told
):
    with pytest.raises(PlaybookError, match=told):
        kitchen.run(parameters=given)
    assert kitchen.ran == [] and not (kitchen.tmp / "runs").exists()


def test_parameters_come_from_shop_yaml_and_the_command_line_wins(kitchen):
    settings = kitchen.tmp / "shop" / "shop.yaml"
    settings.write_text(
        settings.read_text() + "parameters:\n  04_cohorts:\n    k: 7\n    share: 1\n"
    )
    record = kitchen.run(parameters={"k": "8"}).record
    assert record["parameters"]["04_cohorts"] == {"k": 8, "share": 1.0}
    settings.write_text(settings.read_text() + "    colour: red\n")
    with pytest.raises(PlaybookError, match="does not declare: colour"):
        kitchen.run()


def test_text_stays_text_and_numbers_stay_numbers():
    assert typed_parameter("a", "007", "str", "n") == "007"
    assert (
        typed_parameter("a", "3", "float", "n") == 3.0
        and typed_parameter("a", "false", "bool", "n") is False
    )
    assert typed_parameter("a", "[1, 2]", "list[int]", "n") == [1, 2]
    assert typed_parameter("a", "2026-02-30", "str", "n") == "2026-02-30"
    for value, kind in (
        ("nan", "float"),
        ("true", "int"),
        ("", "int"),
        (".nan", "float"),
        ("{", "list"),
        ("2026-02-30", "list"),
    ):
        with pytest.raises(PlaybookError):
            typed_parameter("a", value, kind, "n")


def test_a_month_that_is_not_complete_is_refused_and_runs_marked_partial_when_asked(kitchen):
    write_shop(kitchen.tmp / "shop", last="2026-02-20")
    with pytest.raises(PlaybookError, match=r"2026-02 is not complete: .* end on 2026-02-20"):
        kitchen.run(month="2026-02")
    done = kitchen.run(month="2026-02", allow_partial=True)
    assert done.record["is_partial"]
    page = (done.folder / "index.html").read_text()
    assert "banner" in page.split("<main", 1)[0].split("<body>", 1)[1]
    assert kitchen.run().record["month"] == "2026-01"
    looked = kitchen.run(until="2026-02-18")
    assert looked.record["is_partial"] and looked.record["as_of"] == "2026-02-18"


def test_the_gates_of_the_store_are_kept_and_one_that_stops_refuses_the_run(tmp_path, monkeypatch):
    from playbook.store import open_store

    shop = open_store(write_shop(tmp_path / "shop"))
    found = month_module._verdict(shop)
    assert found["status"] == "go with exclusions" and any(
        "customers" in reason for reason in found["reasons"]
    )
    assert json.loads(json.dumps(found, default=str))["gates"][0]["gate"] == "ledger difference"
    monkeypatch.setattr("playbook.store.shop.Store.get", lambda self, name: None)
    assert month_module._verdict(shop)["reasons"] == ["there are no orders yet"]


@pytest.mark.parametrize("month", ["2025-12", "2026-03", "2026-13", "../../etc", "2026-2"])
def test_a_month_outside_the_data_or_no_month_at_all_is_refused(kitchen, month):
    with pytest.raises(PlaybookError):
        kitchen.run(month=month)
    assert not (kitchen.tmp / "runs").exists()


def test_two_runs_of_one_month_at_once_are_refused(kitchen):
    from playbook.runs.folders import only_one

    kitchen.run()
    with (
        only_one(kitchen.tmp / "runs/corner/.2026-02.lock", "2026-02"),
        pytest.raises(PlaybookError, match="at work"),
    ):
        kitchen.run()


def test_notebooks_in_the_shops_own_folder_run_too(kitchen):
    write_notebook(kitchen.tmp / "shop" / "notebooks" / "20_ours.ipynb", "5")
    done = kitchen.run()
    assert "20_ours" in kitchen.ran and kitchen.ran[-1] == "11_review"
    assert "20 Ours" in (done.folder / "index.html").read_text()


def test_the_month_folder_is_named_safely_after_the_shop(tmp_path):
    assert shop_folder(tmp_path, "../..//evil shop!").name == "evil-shop"
    assert shop_folder(tmp_path, "我的店").name == "我的店"
    with pytest.raises(PlaybookError):
        shop_folder(tmp_path, "../..")


def test_months_count_across_years():
    assert months_between("2025-11", "2026-02") == ["2025-11", "2025-12", "2026-01", "2026-02"]
    with pytest.raises(PlaybookError):
        months_between("2026-03", "2026-02")


# with real kernels, few because each costs seconds


def test_a_notebook_runs_through_papermill_with_its_parameters_and_leaves_no_path(tmp_path):
    told = "import os\nprint(k, month, out, os.getcwd())"
    path = write_notebook(
        tmp_path / "odd {name}" / "04_x.ipynb", told, "k / 0", extra="k: int = 3  # rows"
    )
    target = tmp_path / "out" / "notebook.ipynb"
    seen = []
    given = {"month": "2026-01", "out": str(tmp_path / "out"), "k": 4}
    done = execute_notebook(
        path,
        target,
        given,
        folder=path.parent,
        replacements={str(tmp_path): "…"},
        on_cell=lambda *a: seen.append(a),
    )
    assert (done.status, done.cell, done.section) == ("failed", 5, "Analysis")
    assert done.error == "ZeroDivisionError: division by zero" and "k / 0" in done.traceback
    assert seen[-1] == (4, 5, "Analysis")
    text = target.read_text()
    assert "4 2026-01" in text and str(tmp_path) not in text and "duration" not in text
    assert declared_parameters(path)["k"] == ("int", 3)


def test_a_notebook_that_requires_what_is_not_there_ends_blocked_and_not_failed(tmp_path):
    write_shop(tmp_path / "shop")
    told = 'results.require("orders.customer_id", "refunds", section="Refunds of all kinds")'
    path = write_notebook(
        tmp_path / "40_own.ipynb", OPEN.format(name="40_own"), told, "print('never said')"
    )
    given = {"month": "2026-02", "store": str(tmp_path / "shop"), "out": str(tmp_path / "out")}
    done = execute_notebook(path, tmp_path / "o.ipynb", given, folder=tmp_path)
    assert (done.status, done.error) == ("done", "")
    notes = json.loads((tmp_path / "out" / "40_own" / "notes.json").read_text())
    assert notes["blocked"] == [{"section": "Refunds of all kinds", "needs": "refunds"}]
    text = (tmp_path / "o.ipynb").read_text()
    assert "this shop has no refunds" in text and "never said\\n" not in text


def test_a_kernel_that_dies_is_a_failed_chapter_not_a_failed_run(tmp_path):
    path = write_notebook(tmp_path / "05_x.ipynb", "import os\nos._exit(7)")
    done = execute_notebook(path, tmp_path / "out.ipynb", {"month": "2026-01"}, folder=tmp_path)
    assert done.status == "failed" and done.cell == 4 and "kernel died" in done.error


def test_killed_half_way_no_month_appears_and_the_next_run_goes_on(tmp_path):
    write_shop(tmp_path / "shop")
    told = 'results.table("t", pd.DataFrame({"a": [1]}))\nopen("ran.log", "a").write("{name} ")'
    wait = 'import pathlib, time\nwhile not pathlib.Path("go").exists(): time.sleep(0.1)'
    for name in ("00_a", "04_b", "11_z"):
        cells = [OPEN, told] if name != "04_b" else [OPEN, wait, told]
        write_notebook(tmp_path / "nbs" / f"{name}.ipynb", *cells)
    code = (
        "import sys; from pathlib import Path; from playbook.runs import month, plan\n"
        "plan.code_version = month.code_version = lambda: 'fixed'\n"
        f"wish = plan.Wish(notebooks=Path({str(tmp_path / 'nbs')!r}))\n"
        f"how = month.HowToRun(runs={str(tmp_path / 'runs')!r})\n"
        f"print(month.run_month({str(tmp_path / 'shop')!r}, wish=wish, how=how).status)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {MARK: str(tmp_path)},
    )
    partial = tmp_path / "runs" / "corner" / ".2026-02.partial"
    last = time.monotonic() + 240
    while not (partial / "00_a" / ".done.json").exists():
        assert first.poll() is None, first.stdout.read()
        assert time.monotonic() < last
        time.sleep(0.1)
    os.kill(first.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    first.wait()
    left = left_running(str(tmp_path))
    end(left)
    assert not left, "a kernel outlived the run that was killed"
    assert not (tmp_path / "runs" / "corner" / "2026-02").exists()
    (tmp_path / "nbs" / "go").write_text("")
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert again.stdout.strip().endswith("0"), again.stderr
    assert (tmp_path / "nbs" / "ran.log").read_text().split() == ["00_a", "04_b", "11_z"]
    assert (tmp_path / "runs" / "corner" / "2026-02" / "index.html").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux")
def test_a_warm_kernel_gives_what_a_plain_one_gives_and_ends_with_the_run(tmp_path):
    from playbook.runs.warm import imported_modules, warm_kernels

    told = "import os, sys\nimport pandas as pd\nprint(k, os.getcwd(), __name__, pd.Series([1, 2]).sum(), sys.path[0])"
    drawn = "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])"
    cells = (told, "pd.DataFrame({'a': [k]})", drawn, "os.getppid()")
    path = write_notebook(tmp_path / "04_x.ipynb", *cells, extra="k: int = 3  # rows")
    assert imported_modules([path]) == ["matplotlib.pyplot", "os", "pandas", "sys"]
    kernels, close = warm_kernels(imported_modules([path]))
    shown = {}
    for kind, manager in (("plain", None), ("warm", kernels)):
        done = execute_notebook(
            path, tmp_path / f"{kind}.ipynb", {"k": 5}, folder=tmp_path, kernels=manager
        )
        assert done.status == "done", done
        cells = json.loads((tmp_path / f"{kind}.ipynb").read_text())["cells"]
        outputs = [c["outputs"] for c in cells if "outputs" in c]
        shown[kind], parent = outputs[:-1], int("".join(outputs[-1][0]["data"]["text/plain"]))
    assert shown["plain"] == shown["warm"] and parent != os.getpid()
    assert "image/png" in str(shown["warm"]) and "5 " in str(shown["warm"])
    close()
    with pytest.raises(ProcessLookupError):
        os.kill(parent, 0)
    assert (
        execute_notebook(
            path, tmp_path / "after.ipynb", {}, folder=tmp_path, kernels=kernels
        ).status
        == "done"
    )
