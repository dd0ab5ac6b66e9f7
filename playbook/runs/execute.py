"""One notebook, once: its declared parameters, its execution by papermill, and what
became of it.

papermill keeps doing what it does (parameters, execution, errors); added here are what
it lacks: parameters that are checked before anything runs, a progress call per cell,
kernels that open no port, and a saved copy without times, machine paths or addresses,
so that the same inputs give the same file.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.errors import Blocked, PlaybookError
from playbook.hidden import hidden
from playbook.runs.folders import write_text
from playbook.runs.kernels import RUNNING, register_engine
from playbook.translation import in_language
from playbook.written import numbers_written

__all__ = [
    "Outcome",
    "declared_parameters",
    "execute_notebook",
    "notebook_code",
    "skip_iri_grammars",
    "stop_kernels",
    "typed_parameter",
]

START_SECONDS = 120
NUMBERS = ("int", "float")
TYPES = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "tuple": (list, tuple),
    "dict": dict,
}
KERNEL = {
    "name": "python3",
    "display_name": "Python 3",
    "language": "python",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook. `cell` counts from 1 over the source's cells; error
    fields are empty when done.
    """

    notebook: str
    status: str
    seconds: float
    cell: int = 0
    section: str = ""
    error: str = ""
    traceback: str = ""


def declared_parameters(path: Path) -> dict[str, tuple[str, Any]]:
    """Name -> (annotation, default) of the cell tagged `parameters`; PlaybookError when
    the notebook cannot be read.
    """
    for cell in _cells(path):
        if "parameters" not in cell.get("metadata", {}).get("tags", []):
            continue
        try:
            lines = ast.parse(_text(cell)).body
            return {
                line.target.id: (ast.unparse(line.annotation), ast.literal_eval(line.value))
                for line in lines
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            }
        except (SyntaxError, ValueError):
            raise PlaybookError("runs.odd_parameters", file=path) from None
    return {}


def typed_parameter(name: str, value: Any, kind: str, notebook: str) -> Any:
    """`value` (text of the command line, or what shop.yaml holds) as the declared type;
    PlaybookError if it is not.
    """
    base = kind.split("[")[0]
    typed = _parsed(value) if isinstance(value, str) and base != "str" else value
    is_bool = isinstance(typed, bool)
    if base == "float" and isinstance(typed, int) and not is_bool:
        typed = float(typed)
    is_right = isinstance(typed, TYPES.get(base, object)) and not (base in NUMBERS and is_bool)
    if is_right and base == "float":
        is_right = not math.isnan(typed)
    if not is_right:
        raise PlaybookError(
            "runs.wrong_type", column=name, notebook=notebook, kind=kind, given=value
        )
    return typed


def _parsed(text: str) -> Any:
    import yaml

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a day that no month has is text as well
        return text
    number = numbers_written([text])[0] if isinstance(found, str) else None
    return found if number is None else int(number) if number == int(number) else number


def notebook_code(path: Path) -> str:
    """A hash of what the notebook says and does; outputs and execution counts do not
    count.
    """
    said = [
        [cell["cell_type"], _text(cell), sorted(cell.get("metadata", {}).get("tags", []))]
        for cell in _cells(path)
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def skip_iri_grammars() -> None:
    """Import jsonschema (which nbformat needs) without the 38 grammars it builds for
    addresses: 1.8 s in every process.

    No notebook holds such an address; without the grammars jsonschema leaves that one
    format unchecked, as it does on every installation that lacks the optional package.
    """
    if "jsonschema" in sys.modules or "rfc3987_syntax" in sys.modules:
        return
    # an import of it now fails, as if it were not there
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("jsonschema")
    finally:
        del sys.modules["rfc3987_syntax"]


def execute_notebook(
    source: Path,
    target: Path,
    parameters: dict[str, Any],
    *,
    folder: Path,
    replacements: dict[str, str] | None = None,
    on_cell: Callable[[int, int, str], None] | None = None,
    kernels: type | None = None,
) -> Outcome:
    """Run `source` with `parameters` in `folder` and save the executed copy as
    `target`, whatever happens.

    `replacements` are texts that must not outlive the run (addresses, temporary
    folders) and what to write instead. `on_cell(index, count, section)` is called as
    each cell starts. `kernels` is a kernel manager class; without it plain kernels
    start. Never raises for what the notebook does: the Outcome says it.
    """
    skip_iri_grammars()
    import nbformat
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook as papermill_execute

    nb = nbformat.read(source, as_version=4)
    in_language(nb.cells, source)
    nb.metadata["kernelspec"] = KERNEL
    watch = _Watch(_sections(nb), on_cell)
    started = time.monotonic()
    executed, problem = nb, None
    try:
        executed = papermill_execute(
            nb,
            None,
            parameters=parameters,
            engine_name=register_engine(),
            progress_bar=False,
            start_timeout=START_SECONDS,
            request_save_on_cell_execute=False,
            playbook_folder=str(folder),
            playbook_kernels=kernels,
            playbook_watch=watch,
        )
    except Exception as error:  # papermill, nbclient, zmq and the kernel each have their own kinds
        executed, problem = watch.notebook or nb, error
    target.parent.mkdir(parents=True, exist_ok=True)
    _save(executed, target, replacements or {})
    seconds = time.monotonic() - started
    if problem is None:
        return Outcome(source.stem, "done", seconds)
    if getattr(problem, "ename", "") == Blocked.__name__:
        return Outcome(source.stem, "done", seconds)
    text, trace = f"{type(problem).__name__}: {problem}", ""
    if isinstance(problem, PapermillExecutionError):
        text, trace = f"{problem.ename}: {problem.evalue}", "\n".join(problem.traceback)
    text, trace = (
        hidden(_replaced(_plain(told), replacements or {}), is_error=True) for told in (text, trace)
    )
    cell, section = watch.place()
    return Outcome(source.stem, "failed", seconds, cell + 1, section, text, trace)


class _Watch:
    """Where an execution is: the cell at work, the section it stands in, the notebook
    as far as it got. Called by the engine as each cell starts.
    """

    def __init__(
        self, sections: list[str], on_cell: Callable[[int, int, str], None] | None
    ) -> None:
        self.sections, self.on_cell = sections, on_cell
        self.notebook: Any = None
        self.at = 0

    def __call__(self, cell: Any, cell_index: int, **_more: Any) -> None:
        self.at = _source_index(self.notebook, cell_index)
        if self.on_cell:
            index, section = self.place()
            self.on_cell(index, len(self.sections), section)

    def place(self) -> tuple[int, str]:
        """The cell's number from 0, and the heading it stands under."""
        index = min(self.at, len(self.sections) - 1)
        return index, self.sections[index]


def stop_kernels() -> None:
    """End every kernel of this process at once (after an interrupt)."""
    import signal

    for manager in list(RUNNING):
        pid = getattr(getattr(manager, "provisioner", None), "pid", None)
        if pid:
            try:
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            except OSError:
                continue


def _cells(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        raise PlaybookError("runs.unreadable_notebook", file=path) from None


def _source_index(nb: Any, index: int) -> int:
    """The cell's place in the source: papermill puts in one cell for the parameters and
    up to two for an error.
    """
    ours = {"injected-parameters", "papermill-error-cell-tag"}
    added = sum(bool(ours & set(cell.metadata.get("tags", []))) for cell in nb.cells[:index])
    return max(index - added, 0)


def _text(cell: dict) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _sections(nb: Any) -> list[str]:
    """For every cell the heading it stands under."""
    sections, current = [], ""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            heads = re.findall(r"(?m)^#+ +(.+)$", cell.source)
            current = heads[-1].strip() if heads else current
        sections.append(current)
    return sections or [""]


def _save(nb: Any, target: Path, replacements: dict[str, str]) -> None:
    """Write the executed notebook without times, paths or addresses."""
    import nbformat

    nb.metadata.pop("papermill", None)
    for number, cell in enumerate(nb.cells):
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = f"parameters-{number}"
            cell.source = re.sub(r"(?m)^(out|reviewed) = .*$", r'\1 = ""', cell.source)
    nb.metadata["language_info"] = {"name": "python"}
    quoted = {json.dumps(k)[1:-1]: json.dumps(v)[1:-1] for k, v in replacements.items()}
    for output in (o for cell in nb.cells for o in cell.get("outputs", [])):
        _hide_in_error(output)
    write_text(target, hidden(_replaced(nbformat.writes(nb, indent=1), quoted)) + "\n")


def _hide_in_error(output: Any) -> None:
    """What a kernel says when it fails may name the user and the server."""
    if output.output_type == "error":
        output.evalue = hidden(output.evalue, is_error=True)
        plain = [_plain(line) for line in output.traceback]
        output.traceback = [
            line if (told := hidden(bare, is_error=True)) == bare else told
            for line, bare in zip(output.traceback, plain, strict=True)
        ]
    elif output.output_type == "stream":
        output.text = hidden(output.text, is_error=output.name == "stderr")


def _replaced(text: str, replacements: dict[str, str]) -> str:
    for old in sorted(filter(None, replacements), key=len, reverse=True):
        text = text.replace(old, replacements[old])
    return text


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
