"""Training notebooks: they ask what the checker expects, are saved untouched, and run
untouched without an error.
"""

import datetime as dt
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from shops import order, write_shop

from playbook.demo.make import make_demo
from playbook.runs.execute import execute_notebook
from playbook.runs.tidy import tidied
from playbook.training.course import training_notebooks
from playbook.training.exercise import chapter_exercises

NOTEBOOKS = training_notebooks()
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("training") / "one", preset="tiny")


def cells(path, kind):
    whole = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in whole if c["cell_type"] == kind]


def chapter_of(path):
    return "welcome" if path.stem == "00_welcome" else path.stem[:2]


@each_notebook
def test_a_training_notebook_asks_every_exercise_of_its_chapter_and_answers_none(path):
    code, prose = "\n".join(cells(path, "code")), "\n".join(cells(path, "markdown"))
    for number, exercise in chapter_exercises(chapter_of(path)).items():
        assert f'check("{number}", answer)' in code, number
        assert exercise.prompt.en in prose, f"{number}: the page asks what the checker expects"
        assert all(text.en in prose for text in exercise.choices.values()), number
    assert code.count("answer = ...") == code.count(", answer)") and "solution(" not in re.sub(
        r"#.*", "", code
    )
    assert re.search(r"\d\d minutes", prose), "it says how long it takes"


@each_notebook
def test_a_training_notebook_is_saved_untouched(path):
    whole = json.loads(path.read_text(encoding="utf-8"))
    assert all(
        c["outputs"] == [] and c["execution_count"] is None
        for c in whole["cells"]
        if c["cell_type"] == "code"
    )
    (parameters,) = [c for c in whole["cells"] if "parameters" in c["metadata"].get("tags", [])]
    assert re.findall(r"(?m)^(\w+): str = ", "".join(parameters["source"])) == [
        "month",
        "store",
        "learner",
        "language",
    ]
    assert path.stat().st_size <= 60_000 and tidied(whole) == path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def orders_alone(tmp_path_factory):
    day = lambda n: str(dt.date(2026, 7, 1) + dt.timedelta(days=n % 62))
    rows = [order(f"o{n}", day(n), f"c{n % 17}") for n in range(80)]
    return write_shop(tmp_path_factory.mktemp("training") / "bare", rows)


@each_notebook
def test_a_page_runs_through_on_a_shop_that_has_orders_and_nothing_else(path, orders_alone):
    space = {"display": lambda *tables: None}
    for cell in cells(path, "code"):
        exec(cell.replace('store: str = "demo"', f"store: str = {str(orders_alone)!r}"), space)
    plt.close("all")


def shown(path):
    return "".join(
        str(o.get("data", {}).get("text/plain", ""))
        for c in json.loads(path.read_text())["cells"]
        for o in c.get("outputs", [])
    )


@each_notebook
def test_an_untouched_notebook_runs_headless_and_shows_not_attempted(
    path, store, tmp_path, monkeypatch
):
    monkeypatch.setenv("PLAYBOOK_LEARNER_DIR", str(tmp_path / "learners"))
    target, parameters = tmp_path / "out.ipynb", {"store": str(store), "month": "2026-10"}
    done = execute_notebook(path, target, parameters, folder=tmp_path)
    assert done.status == "done", (done.section, done.error, done.traceback[-2000:])
    told = shown(target)
    assert [
        n for n in chapter_exercises(chapter_of(path)) if f"{n}: not attempted" not in told
    ] == []
    assert not (tmp_path / "learners").exists(), "without a name nothing is kept"


def test_plain_papermill_runs_an_untouched_notebook_with_exit_0_and_keeps_nothing(
    store, tmp_path, monkeypatch
):
    monkeypatch.setenv("PLAYBOOK_LEARNER_DIR", str(tmp_path / "learners"))
    target = tmp_path / "out.ipynb"
    command = [
        sys.executable,
        "-m",
        "papermill",
        "notebooks/training/00_start_here.ipynb",
        str(target),
        "-p",
        "store",
        str(store),
        "-p",
        "language",
        "zh",
        "--no-progress-bar",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "00.5: 尚未作答" in shown(target) and not (tmp_path / "learners").exists()
