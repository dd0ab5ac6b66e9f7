"""Kernels that start warm: one process imports what the notebooks import, and every
kernel is a fork of it.

Imports are most of a short notebook's time. Linux only: elsewhere, and whenever the
warm process cannot be reached, plain kernels start. Nothing of DuckDB is opened and no
thread runs before a fork. The kernels die with the warm process, and it dies with the
run: a killed run leaves nothing behind.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from playbook.runs.kernels import plain_kernels, worker_environment

__all__ = ["imported_modules", "warm_kernels"]

INLINE = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}

ALWAYS = (
    "pandas",
    "numpy",
    "pyarrow.parquet",
    "ibis.backends.duckdb",
    "matplotlib.pyplot",
    "seaborn",
    "scipy.stats",
    "scipy.optimize",
    "IPython",
    "ipykernel.ipkernel",
)  # not the inline backend: it must find a running kernel


def imported_modules(notebooks: Iterable[Path]) -> list[str]:
    """Names of the modules that the notebooks' cells import."""
    names: set[str] = set()
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            with contextlib.suppress(SyntaxError):
                code = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
                for node in ast.walk(ast.parse(code)):
                    if isinstance(node, ast.Import):
                        names |= {alias.name for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                        names.add(node.module)
                        names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return sorted(names)


def warm_kernels(modules: Iterable[str] = ()) -> tuple[type, Callable[[], None]]:
    """Start the warm process; returns a kernel manager class and a function that ends
    the process.

    Importing goes on in the background: the first kernel waits for it.
    """
    warm = _WarmProcess(modules)

    class WarmKernels(plain_kernels()):
        """Kernels forked from the warm process; a plain one when that fails."""

        async def _async_launch_kernel(self, kernel_cmd: list[str], **given: Any) -> None:
            order = {
                "file": self.connection_file,
                "cwd": str(given.get("cwd") or "."),
                "env": dict(given.get("env") or os.environ),
            }
            errors = given.get("stderr")
            descriptor = errors.fileno() if hasattr(errors, "fileno") else 2
            try:
                pid = await asyncio.to_thread(warm.fork, order, descriptor)
            except (OSError, ValueError):
                await super()._async_launch_kernel(kernel_cmd, **given)
                return
            provisioner = self.provisioner
            provisioner.process, provisioner.pid, provisioner.pgid = _Forked(pid), pid, pid
            self._reconcile_connection_info(provisioner.connection_info)

    return WarmKernels, warm.close


class _WarmProcess:
    """The process that has imported everything, and the socket orders go through."""

    def __init__(self, modules: Iterable[str]) -> None:
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.lock = threading.Lock()
        command = [sys.executable, "-Xfrozen_modules=off", "-m", "playbook.runs.warm"]
        self.process = subprocess.Popen(
            [*command, str(theirs.fileno()), *modules],
            pass_fds=[theirs.fileno()],
            env=worker_environment() | INLINE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()

    def fork(self, order: dict[str, Any], errors: int) -> int:
        """The process id of a new kernel; ConnectionError when the process has ended."""
        with self.lock:
            socket.send_fds(
                self.link,
                [json.dumps(order).encode()],
                [errors],
            )
            answer = self.link.recv(64)
        if not answer:
            raise ConnectionError("the warm process has ended")
        return int(answer)

    def close(self) -> None:
        """End the process; its kernels end with it."""
        self.link.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class _Forked:
    """Enough of subprocess.Popen for a process that is not our child: its end is seen
    through a pidfd.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, None
        try:
            self.handle = os.pidfd_open(pid)
        except OSError:  # it has ended already
            self.handle, self.returncode = -1, 1

    def poll(self) -> int | None:
        """None while it runs; its exit status is not known to us, so an ended one says
        1.
        """
        if self.returncode is None and select.select([self.handle], [], [], 0)[0]:
            os.close(self.handle)
            self.returncode = 1
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        if self.returncode is None:
            select.select(
                [self.handle],
                [],
                [],
                timeout,
            )
        return self.poll() or 0

    def send_signal(self, number: int) -> None:
        """Send a signal to it, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _serve(descriptor: int, modules: list[str]) -> None:
    """The warm process: import, then one fork per order until the run closes its end."""
    import gc
    import importlib

    link = socket.socket(fileno=descriptor)
    for name in (*ALWAYS, *modules):
        # the run may be killed meanwhile, and imports take seconds
        if select.select([link], [], [], 0)[0] and not link.recv(1, socket.MSG_PEEK):
            os._exit(0)
        # a notebook that imports what is not there fails by itself, with its cell
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended kernels leave no zombies
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(link, 1 << 20, 1)
        if not message:
            os._exit(0)
        order = json.loads(message)
        pid = os.fork()
        if pid == 0:
            _become_kernel(order, link, descriptors[0])
        for one in descriptors:
            os.close(one)
        link.sendall(str(pid).encode())


def _become_kernel(order: dict[str, Any], link: socket.socket, errors: int) -> None:
    """In the fork: its own session, folder, environment and streams, then an ordinary
    IPython kernel.
    """
    status = 1
    try:
        server = os.getppid()
        link.close()
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(errors, 2)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"] | INLINE | {"JPY_PARENT_PID": str(server)})
        sys.argv = ["ipykernel_launcher"]
        del sys.path[0]  # as ipykernel's own launcher does with the folder that -m puts first
        from ipykernel.kernelapp import IPKernelApp

        app = IPKernelApp.instance(parent_handle=server)
        app.initialize(["-f", order["file"]])
        app.start()
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2:])
