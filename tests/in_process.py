"""Notebooks executed in this very process, for proofs over many shops: no kernel starts.

`execute_here` stands in for `playbook.runs.execute.execute_notebook`: same arguments, same
outcome, same saved copy, outputs included. What a kernel adds (its own process, thread
limits, raster images) is not here, so a shop counts as run by
the command line only when `playbook run` ran it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from playbook.runs.execute import skip_iri_grammars

skip_iri_grammars()
import nbformat
from IPython.core.formatters import DisplayFormatter
from IPython.display import display
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from pandas import DataFrame

from playbook.errors import Blocked
from playbook.runs import execute, month
from playbook.runs.execute import Outcome
from playbook.shown import frame_html

FORMATTER = DisplayFormatter()
FORMATTER.formatters["text/html"].for_type(DataFrame, frame_html)


def execute_here(
    source: Path, target: Path, parameters: dict[str, Any], *, folder: Path, **more: Any
) -> Outcome:
    """Run the code cells of `source` one after the other in a namespace of their own."""
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = _with_parameters(notebook.cells, parameters)
    sections, began = execute._sections(notebook), time.monotonic()
    space: dict[str, Any] = {"__name__": "__main__", "display": display}
    outcome = None
    with contextlib.chdir(folder):
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            cell.outputs, problem = run_cell(cell.source, space)
            if isinstance(problem, Blocked):
                break
            if problem is not None:
                told = "".join(traceback.format_exception(problem))
                error = f"{type(problem).__name__}: {problem}"
                took = time.monotonic() - began
                place = (number + 1, sections[number])
                outcome = Outcome(source.stem, "failed", took, *place, error, told)
                break
    _close_figures()
    target.parent.mkdir(parents=True, exist_ok=True)
    execute._save(notebook, target, more.get("replacements") or {})
    return outcome or Outcome(source.stem, "done", time.monotonic() - began)


def run_cell(source: str, space: dict[str, Any]) -> tuple[list[Any], BaseException | None]:
    """The outputs of a cell, and what it raised."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    value, problem, errors = None, None, io.StringIO()
    kept = contextlib.redirect_stderr(errors), warnings.catch_warnings()
    with capture_output(stderr=False) as shown, kept[0], kept[1]:
        # as in a kernel: what is meant for developers of a library is not shown
        warnings.simplefilter("default")
        for kind in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        try:
            exec(compile(ast.Module(body, []), "<cell>", "exec"), space)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), space)
        except Exception as error:  # whatever a chapter raises is what is looked for
            problem = error
    outputs = _streams(stdout=shown.stdout, stderr=errors.getvalue())
    outputs += [_display(rich.data) for rich in shown.outputs if rich.data]
    is_told = value is not None and not source.rstrip().endswith(";")
    outputs += [_display(FORMATTER.format(value)[0])] * is_told
    return outputs, problem


def run_months_here() -> None:
    """Make `run_month` of this process execute its notebooks here, and save drawings
    once, as the pages show them.
    """
    month.execute_notebook = execute_here
    save = Figure.savefig

    def save_once(figure: Figure, place: object, **how: object) -> None:
        if not str(place).endswith(".png"):
            save(figure, place, **how)

    Figure.savefig = save_once


def _with_parameters(cells: list[Any], parameters: dict[str, Any]) -> list[Any]:
    lines = "".join(f"{name} = {value!r}\n" for name, value in parameters.items())
    given = nbformat.v4.new_code_cell(lines, metadata={"tags": ["injected-parameters"]})
    places = [n for n, c in enumerate(cells) if "parameters" in c.metadata.get("tags", [])]
    at = places[0] + 1 if places else 0
    return [*cells[:at], given, *cells[at:]]


def _streams(**texts: str) -> list[Any]:
    new = nbformat.v4.new_output
    return [new("stream", name=name, text=text) for name, text in texts.items() if text]


def _display(data: dict[str, Any]) -> Any:
    kept = {kind: text for kind, text in data.items() if kind.startswith("text/")}
    return nbformat.v4.new_output("display_data", kept)


def _close_figures() -> None:
    import matplotlib.pyplot as plt

    plt.close("all")
