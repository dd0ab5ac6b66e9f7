"""The notebooks: built alike, short, free of figures in prose, and their checked
outputs compared for real by nbval.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
HEADINGS = ["Objective", "Parameters", "Question", "Data", "Analysis", "Decision", "Sources"]
SANITISE = Path(__file__).with_name("nbval_sanitise.cfg")
every = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def code(path):
    return [c for c in read(path)["cells"] if c["cell_type"] == "code"]


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def without_magics(text):
    return [line for line in text.splitlines() if re.match(r"\s*[%!]", line)]


@every
def test_one_parameters_cell_of_annotated_literals_with_month_store_and_out(path):
    (cell,) = (c for c in code(path) if "parameters" in tags(c))
    body = ast.parse(source(cell)).body
    assert all(isinstance(line, ast.AnnAssign) for line in body)
    values = {line.target.id: ast.literal_eval(line.value) for line in body}
    assert list(values)[:3] == ["month", "store", "out"] and values["out"] == ""
    for line in source(cell).splitlines():
        plain = re.sub(r"""(["']).*?\1""", "", line.split("#")[0])
        assert plain.count("=") <= 1, (
            f"papermill loses a parameter with a second = on its line: {line}"
        )
        assert "#" in line, f"a parameter says what it is, with its unit: {line}"


@every
def test_sections_are_there_and_in_order(path):
    text = "\n".join(source(c) for c in read(path)["cells"] if c["cell_type"] == "markdown")
    assert re.findall(r"(?m)^## (.+?)\s*$", text) == HEADINGS
    assert text.lstrip().startswith("# ") and "What would change our mind" in text


@every
def test_cells_are_short_and_plain(path):
    cells = code(path)
    assert len(cells) <= 25
    for cell in cells:
        text = source(cell)
        assert len(text.splitlines()) <= 15, text
        assert without_magics(text) == []
        for node in ast.walk(ast.parse(text)):
            assert not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)), text
            assert not (
                isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)
            ), text
        assert "filterwarnings" not in text and "sys.path" not in text


@every
def test_no_figure_that_depends_on_the_data_is_typed_in_prose(path):
    is_source = False
    for cell in read(path)["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        text = source(cell)
        is_source = is_source or "## Sources" in text
        if is_source:
            continue
        prose = re.sub(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)|^#+ .*$", "", text, flags=re.MULTILINE)
        prose = re.sub(
            r"\b(50|80|90|95|99)\s?% (?=interval|confidence|level|prediction|band)", "", prose
        )  # chosen
        found = re.findall(
            r"\d[\d,.]*\s?(?:%|percent\b|EUR|USD|GBP|€|£)|[€£]\s?\d|\d{1,3}(?:,\d{3})+|\d+\.\d+",
            prose,
        )
        assert found == [], f"{found} in: {text[:200]}"


@every
def test_checked_cells_have_an_output_and_nothing_else_has(path):
    checked = [c for c in code(path) if "nbval-check-output" in tags(c)]
    assert checked, "each notebook checks at least its headline table"
    for cell in code(path):
        if "nbval-check-output" in tags(cell):
            assert cell["outputs"] and cell["execution_count"], (
                "nbval compares nothing without an output"
            )
            assert all(set(o.get("data", {})) <= {"text/plain"} for o in cell["outputs"])
            assert all(o.get("name", "stdout") == "stdout" for o in cell["outputs"])
        else:
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert path.stat().st_size <= 60_000


@every
def test_a_notebook_holds_no_path_of_the_machine_it_ran_on(path):
    text = path.read_text(encoding="utf-8")
    assert (
        str(ROOT) not in text
        and "/tmp/" not in text
        and "/home/" not in text
        and "/root/" not in text
    )


def test_tidying_keeps_only_what_is_compared():
    from playbook.runs.tidy import tidied

    output = {
        "output_type": "execute_result",
        "execution_count": 2,
        "metadata": {},
        "data": {"text/plain": "t", "text/html": "<b>"},
    }
    cells = [
        {
            "cell_type": "code",
            "id": str(i),
            "metadata": {"tags": t, "papermill": {"duration": 1}},
            "source": "x",
            "execution_count": i,
            "outputs": [output],
        }
        for i, t in enumerate([[], ["nbval-check-output"]])
    ]
    found = json.loads(tidied({"cells": cells}))["cells"]
    assert (
        found[0]["outputs"] == []
        and found[0]["execution_count"] is None
        and found[0]["metadata"] == {}
    )
    assert (
        found[1]["outputs"][0]["data"] == {"text/plain": "t"} and found[1]["execution_count"] == 1
    )


def test_what_a_cell_prints_is_one_output_however_it_was_sent():
    from playbook.runs.tidy import tidied

    sent = [
        {"output_type": "stream", "name": "stdout", "text": text}
        for text in (["a\n", "b\n"], "c\nd\n")
    ]
    checked = {"tags": ["nbval-check-output"]}
    cell = {"cell_type": "code", "id": "1", "metadata": checked, "source": "x", "outputs": sent}
    found = json.loads(tidied({"cells": [cell]}))["cells"][0]["outputs"]
    assert [o["text"] for o in found] == [["a\n", "b\n", "c\n", "d\n"]]


# nbval, run as anybody would run it


def nbval(path, *more):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--nbval-lax",
        "--nbval-current-env",
        "--nbval-sanitize-with",
        str(SANITISE),
        "-q",
        *more,
        str(path),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)


@every
def test_nbval_finds_the_outputs_unchanged(path):
    done = nbval(path)
    assert done.returncode == 0, done.stdout[-3000:]


def test_nbval_would_have_seen_a_changed_output_and_an_untagged_one_is_not_compared(tmp_path):
    import nbformat

    def notebook(shown, tagged):
        cell = nbformat.v4.new_code_cell("print('a table of', 41 + 1)", execution_count=1, id="a")
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=shown)]
        cell.metadata["tags"] = ["nbval-check-output"] if tagged else []
        path = tmp_path / "one.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
        return path

    assert nbval(notebook("a table of 42\n", True)).returncode == 0
    changed = nbval(notebook("a table of 43\n", True))
    assert changed.returncode == 1 and "mismatch" in changed.stdout
    assert nbval(notebook("a table of 43\n", False)).returncode == 0


def test_a_notebook_runs_by_plain_papermill_with_no_runner_of_ours(tmp_path):
    command = [
        sys.executable,
        "-m",
        "papermill",
        "notebooks/04_cohort_retention.ipynb",
        str(tmp_path / "out.ipynb"),
        "-p",
        "month",
        "1998-06",
        "-p",
        "store",
        "cdnow",
        "--no-progress-bar",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert any('store = "cdnow"' in source(c) for c in code(tmp_path / "out.ipynb"))
