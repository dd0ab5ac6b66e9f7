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
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError
from playbook.runs.folders import write_text

__all__ = [
    "Outcome",
    "declared_parameters",
    "execute_notebook",
    "notebook_code",
    "skip_iri_grammars",
    "stop_kernels",
    "typed_parameter",
]

CELL_SECONDS = 1800  # a cell that takes longer is taken for hung: a scheduled run must end
WORKER_ENVIRONMENT = {  # many threads on few cores make small linear algebra thirty times slower
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
_running: list[Any] = []  # kernel managers at work, so that an interrupt can end them


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
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            try:
                body = ast.parse(_text(cell)).body
                return {
                    line.target.id: (ast.unparse(line.annotation), ast.literal_eval(line.value))
                    for line in body
                    if isinstance(line, ast.AnnAssign)
                    and isinstance(line.target, ast.Name)
                    and line.value is not None
                }
            except (SyntaxError, ValueError):
                raise PlaybookError(
                    "The parameters cell is not `name: type = literal` lines",
                    file=path,
                    do="write one literal a line",
                ) from None
    return {}


def typed_parameter(name: str, value: Any, kind: str, notebook: str) -> Any:
    """`value` (text of the command line, or what shop.yaml holds) as the declared type;
    PlaybookError if it is not.
    """
    import yaml

    base = kind.split("[")[0]
    found = value
    if isinstance(value, str) and base != "str":
        try:
            found = yaml.safe_load(value)
        except yaml.YAMLError:
            found = value
    if base == "float" and isinstance(found, int) and not isinstance(found, bool):
        found = float(found)
    kinds = {
        "int": int,
        "float": float,
        "str": str,
        "bool": bool,
        "list": list,
        "tuple": (list, tuple),
        "dict": dict,
    }
    right = isinstance(found, kinds.get(base, object)) and not (
        base in ("int", "float") and isinstance(found, bool)
    )
    if base == "float" and right and found != found:
        right = False
    if not right:
        raise PlaybookError(
            f"The parameter {name} of {notebook} is {kind}, and {value!r} is not",
            column=name,
            do=f"give {name} as {kind}",
        )
    return found


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
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  an import of it now fails, as if it were not there
    try:
        import jsonschema
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

    _register_engine()
    nb = nbformat.read(source, as_version=4)
    nb.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    sections, keep = _sections(nb), []
    started, at = time.monotonic(), [0]

    def cell_started(cell: Any, cell_index: int, **_: Any) -> None:
        at[0] = _source_index(keep[0], cell_index)
        if on_cell:
            on_cell(
                min(at[0], len(sections) - 1),
                len(sections),
                sections[min(at[0], len(sections) - 1)],
            )

    problem: BaseException | None = None
    made = nb
    try:
        made = papermill_execute(
            nb,
            None,
            parameters=parameters,
            engine_name="playbook",
            progress_bar=False,
            start_timeout=120,
            request_save_on_cell_execute=False,
            playbook_folder=str(folder),
            playbook_kernels=kernels,
            playbook_hook=cell_started,
            playbook_keep=keep,
        )
    except Exception as error:  # papermill, nbclient, zmq and the kernel each have their own kinds
        problem = error
        made = keep[0] if keep else nb
    target.parent.mkdir(parents=True, exist_ok=True)
    _save(made, target, replacements or {})
    seconds = time.monotonic() - started
    if problem is None:
        return Outcome(source.stem, "done", seconds)
    if isinstance(problem, PapermillExecutionError):
        text, trace = f"{problem.ename}: {problem.evalue}", "\n".join(problem.traceback)
    else:
        text, trace = f"{type(problem).__name__}: {problem}", ""
    cell = min(at[0], len(sections) - 1)
    return Outcome(
        source.stem,
        "failed",
        seconds,
        cell + 1,
        sections[cell],
        _replaced(_plain(text), replacements or {}),
        _replaced(_plain(trace), replacements or {}),
    )


def stop_kernels() -> None:
    """End every kernel of this process at once (after an interrupt)."""
    import signal

    for manager in list(_running):
        pid = getattr(getattr(manager, "provisioner", None), "pid", None)
        if pid:
            try:
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            except OSError:
                continue


def plain_kernels() -> type:
    """A kernel manager class for this very interpreter; no port is opened where the
    system has Unix sockets.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class PlainKernels(AsyncKernelManager):
        """Kernels of the running interpreter, whatever kernel specifications the user's
        own folders hold.
        """

        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            self.scratch = tempfile.mkdtemp(prefix="pb-")
            self.connection_file = str(Path(self.scratch) / "k.json")
            if (
                os.name == "posix" and len(self.scratch) < 80
            ):  # a Unix socket's path has room for about 100 bytes
                self.transport = "ipc"

        @property
        def kernel_spec(self) -> Any:
            return KernelSpec(
                argv=[
                    sys.executable,
                    "-Xfrozen_modules=off",
                    "-m",
                    "ipykernel_launcher",
                    "-f",
                    "{connection_file}",
                ],
                display_name="Python 3",
                language="python",
                metadata={"debugger": False},
            )

        async def _async_cleanup_resources(self, restart: bool = False) -> None:
            await super()._async_cleanup_resources(restart=restart)
            if not restart:
                shutil.rmtree(self.scratch, ignore_errors=True)

        cleanup_resources = _async_cleanup_resources

    return PlainKernels


def _register_engine() -> None:
    """Tell papermill about an engine that takes a folder, a hook per cell and a kernel
    manager class.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    if "playbook" in papermill_engines._engines:
        return

    class PlaybookEngine(NBClientEngine):
        """papermill's own engine with a working folder per kernel: changing the
        process's is not thread-safe.
        """

        @classmethod
        def execute_managed_notebook(
            cls,
            nb_man: Any,
            kernel_name: str,
            *,
            playbook_folder: str,
            playbook_kernels: type,
            playbook_hook: Callable,
            playbook_keep: list,
            start_timeout: int,
            **_: Any,
        ) -> Any:
            playbook_keep.append(nb_man.nb)
            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=start_timeout,
                timeout=CELL_SECONDS,
                record_timing=False,
                on_cell_start=playbook_hook,
                kernel_manager_class=playbook_kernels or plain_kernels(),
            )
            manager = client.km = client.create_kernel_manager()
            client.owns_km = True
            _running.append(manager)
            project = str(Path(__file__).resolve().parents[2])
            paths = os.pathsep.join([project, *filter(None, [os.environ.get("PYTHONPATH")])])
            environment = os.environ | WORKER_ENVIRONMENT | {"PYTHONPATH": paths}
            with tempfile.TemporaryFile("w+", errors="replace") as said:
                try:
                    return client.execute(
                        cwd=playbook_folder, env=environment, stdout=subprocess.DEVNULL, stderr=said
                    )
                except DeadKernelError:
                    said.seek(0)
                    last = said.read()[-600:].strip()
                    raise RuntimeError(
                        "the kernel died; the machine may be out of memory"
                        + (f". It said: {last}" if last else "")
                    ) from None
                finally:
                    _running.remove(manager)

    papermill_engines.register("playbook", PlaybookEngine)


def _cells(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        raise PlaybookError(
            "The notebook cannot be read", file=path, do="restore it, or take it out of the folder"
        ) from None


def _source_index(nb: Any, index: int) -> int:
    """The cell's place in the source: papermill puts in one cell for the parameters and
    up to two for an error.
    """
    ours = ("injected-parameters", "papermill-error-cell-tag")
    added = sum(
        any(tag in cell.metadata.get("tags", []) for tag in ours) for cell in nb.cells[:index]
    )
    return max(index - added, 0)


def _text(cell: dict) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _sections(nb: Any) -> list[str]:
    """For every cell the heading it stands under."""
    found, current = [], ""
    for cell in nb.cells:
        if cell.cell_type == "markdown" and (
            heads := re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE)
        ):
            current = heads[-1].strip()
        found.append(current)
    return found or [""]


def _save(nb: Any, target: Path, replacements: dict[str, str]) -> None:
    """Write the executed notebook without times, paths or addresses."""
    import nbformat

    nb.metadata.pop("papermill", None)
    for number, cell in enumerate(nb.cells):
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = f"parameters-{number}"
            cell.source = re.sub(
                r"^(out|results) = .*$", r'\1 = ""', cell.source, flags=re.MULTILINE
            )
    nb.metadata["language_info"] = {"name": "python"}
    quoted = {json.dumps(k)[1:-1]: json.dumps(v)[1:-1] for k, v in replacements.items()}
    write_text(target, _replaced(nbformat.writes(nb, indent=1), quoted) + "\n")


def _replaced(text: str, replacements: dict[str, str]) -> str:
    for old in sorted(filter(None, replacements), key=len, reverse=True):
        text = text.replace(old, replacements[old])
    return text


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
