"""Kernels for notebooks that are executed: of this interpreter, without an open port,
one thread each, in a folder and with an environment of their own.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playbook.messages import language, say
from playbook.threads import ONE_THREAD

__all__ = ["RUNNING", "plain_kernels", "register_engine", "worker_environment"]

CELL_SECONDS = 1800  # a cell that takes longer is taken for hung: a scheduled run must end
ENGINE = "playbook"
SOCKET_PATH = 80
# sets are in one order
SAME_ORDER = {"PYTHONHASHSEED": "0"}
#: kernel managers at work, so that an interrupt can end them
RUNNING: list[Any] = []


@functools.cache
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
            # a Unix socket's path has room for about 100 bytes
            if os.name == "posix" and len(self.scratch) < SOCKET_PATH:
                self.transport = "ipc"

        @property
        def kernel_spec(self) -> Any:
            words = "-Xfrozen_modules=off -m ipykernel_launcher -f {connection_file}"
            return KernelSpec(
                argv=[sys.executable, *words.split()],
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


def register_engine() -> str:
    """Tell papermill about an engine that takes a folder, a watch and a kernel manager
    class; gives the engine's name.
    """
    from papermill.engines import papermill_engines

    if ENGINE not in papermill_engines._engines:
        papermill_engines.register(ENGINE, _engine())
    return ENGINE


def worker_environment() -> dict[str, str]:
    """The environment of a kernel: one thread per kernel, this project first on the
    path, the language in use.
    """
    project = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([project, *filter(None, [os.environ.get("PYTHONPATH")])])
    ours = {"PYTHONPATH": paths, "PLAYBOOK_LANG": language()}
    return os.environ | ONE_THREAD | SAME_ORDER | ours


def _engine() -> type:
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine

    class PlaybookEngine(NBClientEngine):
        """papermill's own engine with a working folder per kernel: changing the
        process's is not thread-safe.
        """

        @classmethod
        def execute_managed_notebook(
            cls, nb_man: Any, kernel_name: str, *, start_timeout: int, **given: Any
        ) -> Any:
            watch = given["playbook_watch"]
            watch.notebook = nb_man.nb
            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=start_timeout,
                timeout=CELL_SECONDS,
                record_timing=False,
                on_cell_start=watch,
                kernel_manager_class=given["playbook_kernels"] or plain_kernels(),
            )
            client.km = client.create_kernel_manager()
            client.owns_km = True
            return _executed(client, given["playbook_folder"])

    return PlaybookEngine


def _executed(client: Any, folder: str) -> Any:
    """Execute the client's notebook in a folder; RuntimeError with the kernel's last
    words where it dies.
    """
    from nbclient.exceptions import DeadKernelError

    manager = client.km  # the client forgets it when the kernel has ended
    RUNNING.append(manager)
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        try:
            return client.execute(
                cwd=folder, env=worker_environment(), stdout=subprocess.DEVNULL, stderr=errors
            )
        except DeadKernelError:
            errors.seek(0)
            last = errors.read()[-600:].strip()
            known = say("runs.last_words", text=last) if last else ""
            raise RuntimeError(say("runs.kernel_died", last=known)) from None
        finally:
            RUNNING.remove(manager)
