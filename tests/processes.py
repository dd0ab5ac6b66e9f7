"""Processes that a killed command left running, known by a mark in their environment."""

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "PLAYBOOK_PROOF_MARK"


def left_running(mark: str, seconds: float = 10.0) -> list[str]:
    """Number and command of every process whose environment holds the mark, once they have
    had some seconds to end (an import under way is ended by none); none at all as soon as all have.
    """
    until = time.monotonic() + seconds
    while (found := _marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def end(processes: list[str]) -> None:
    """Kill what `left_running` told."""
    for line in processes:
        with contextlib.suppress(OSError):
            os.kill(int(line.split()[0]), signal.SIGKILL)


def _marked(mark: str) -> list[str]:
    found, sign = [], f"{MARK}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if sign in (place / "environ").read_bytes():
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(f"{place.name} {command[:80]}")
    return found
