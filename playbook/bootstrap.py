"""Set-up from nothing but Python and pip: `python -m playbook.bootstrap` makes `.venv`
and fills it from the lock.

Only the standard library may be imported here: this file runs before anything is
installed. A second call finds the stamp and returns at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
UV = "uv>=0.9,<1"


def main() -> int:
    """Create or refresh `.venv`; returns the exit status."""
    if not (3, 11) <= sys.version_info < (3, 14):
        print(f"Python 3.11, 3.12 or 3.13 is needed; this is {sys.version.split()[0]}.")
        return 1
    venv = ROOT / ".venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = venv / ".ready"
    state = _state()
    if python.exists() and stamp.exists() and stamp.read_text() == state:
        stamp.touch()
        return 0
    try:
        if not _works(python):
            _create(venv, python)
        _fill(python)
    except (subprocess.CalledProcessError, OSError) as problem:
        print(
            f"Set-up failed: {problem}\n"
            "What to do: check network and free space, then run the same line again."
        )
        return 1
    stamp.write_text(state)
    return 0


def _state() -> str:
    """What the environment was made from; any change makes it stale."""
    parts = [(ROOT / name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _run(*command: object, **more: object) -> None:
    subprocess.run(
        [str(part) for part in command],
        check=True,
        cwd=ROOT,
        **more,
    )


def _works(python: Path) -> bool:
    """Whether an environment is there and can install: its interpreter may have been
    removed since.
    """
    try:
        found = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True)
        return found.returncode == 0
    except OSError:
        return False


def _create(venv: Path, python: Path) -> None:
    """A fresh environment; Debian's Python has pip but not ensurepip unless
    python3-venv is installed.
    """
    print(f"Creating {venv.name} with Python {sys.version.split()[0]}", flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    if subprocess.run(
        [sys.executable, "-m", "venv", str(venv)], cwd=ROOT, capture_output=True
    ).returncode:
        shutil.rmtree(venv, ignore_errors=True)
        _run(
            sys.executable,
            "-m",
            "venv",
            "--without-pip",
            venv,
        )
        _run(
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--quiet",
            "pip",
        )


def _fill(python: Path) -> None:
    """The locked packages by uv (seconds), or by pip where uv cannot reach the index;
    then this project itself.
    """
    print("Installing the locked packages", flush=True)
    lock = ROOT / "requirements.lock"
    certificates = dict(os.environ, UV_SYSTEM_CERTS="1")
    quick = (
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", UV], cwd=ROOT).returncode
        == 0
    )
    if quick:
        sync = [
            str(python),
            "-m",
            "uv",
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--compile-bytecode",
            "--python",
            str(python),
        ]  # compiled once: where Python may not write bytecode, each start would do it
        quick = subprocess.run([*sync, str(lock)], cwd=ROOT, env=certificates).returncode == 0
    if not quick:
        print("uv could not do it; using pip (slower)", flush=True)
        _run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock)
    _run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--editable",
        ROOT,
    )


if __name__ == "__main__":
    sys.exit(main())
