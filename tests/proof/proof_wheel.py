"""The wheel in environments of its own, one per Python, from a folder with a space in its name:
`demo`, `run`, `single-file`, `learn start`, `open`, `skill`, and a frame of one's own.

`python tests/proof/proof_wheel.py [FOLDER] [3.11 ...] [--quick]` keeps environments and finished steps
in FOLDER, so that a run cut short goes on; a changed wheel begins anew but for the installed
libraries. `--quick` runs chapters 00, 04 and 11 of the month only.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# of the checkout what a wheel is made of
PARTS, SINGLE = ("playbook", "notebooks", "data"), ("pyproject.toml", "README.md", "LICENSE")
VERSIONS = ("3.11", "3.12", "3.13")
SHOP = ["--preset", "tiny", "--months", "14", "--into", "my shop"]
COHORT = """
import pandas as pd
from playbook import open_purchases
from playbook.chapters.cohort_retention.cohorts import cohort_retention

frame = pd.DataFrame({"who": list("abab"), "day": ["2026-01-03", "2026-01-05", "2026-02-01", "2026-03-09"], "paid": 10.0})
shop = open_purchases(frame, customer="who", day="day", amount="paid")
print(cohort_retention(shop.customer_days, as_of=shop.as_of).head())
"""
STEPS = {
    "demo": ["demo", *SHOP],
    "run": ["run", "--store", "my shop", "--jobs", "1", "--single-file"],
    "learn": ["learn", "start", "ann", "--store", "my shop"],
    "open": ["open", "04", "--store", "my shop"],
    "skill": ["skill", "my skills"],
    "single-file": ["single-file", "runs/tiny/MONTH", "--to", "to mail/month.html"],
}


def main(words: list[str]) -> int:
    """Every step on every version; prints a table and returns 0 where all ended with 0."""
    if "--quick" in words:
        words = [word for word in words if word != "--quick"]
        STEPS["run"] += ["--only", "04"]
    home = Path(words[0]) if words else Path(tempfile.gettempdir()) / "playbook wheel"
    versions = words[1:] or VERSIONS
    wheel = _built(home)
    states = {version: _proved(home, version, wheel) for version in versions}
    print(f"| Python | {' | '.join(['version', 'cohort', *STEPS])} |")
    for version, state in states.items():
        told = [f"{state[n]['status']} ({state[n]['seconds']:.0f} s)" for n in ["cohort", *STEPS]]
        print(f"| {version} | {state['version']} | {' | '.join(told)} |")
    failed = [s for state in states.values() for s in state.values() if isinstance(s, dict)]
    return int(any(step["status"] != 0 for step in failed))


def _built(home: Path) -> Path:
    """The wheel of the checkout as it is; one made since its newest file is used again."""
    home.mkdir(parents=True, exist_ok=True)
    made = sorted(home.glob("playbook-*.whl"))
    files = [p for part in PARTS for p in (ROOT / part).rglob("*") if "__pycache__" not in p.parts]
    newest = max(p.stat().st_mtime for p in [*files, *map(ROOT.joinpath, SINGLE)])
    if made and made[-1].stat().st_mtime > newest:
        return made[-1]
    source = Path(tempfile.mkdtemp()) / "source"
    for name in PARTS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SINGLE:
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "--wheel-dir", str(home), str(source)], check=True)
    return sorted(home.glob("playbook-*.whl"))[-1]


def _digest(wheel: Path) -> str:
    """Of what the wheel holds: the days in its archive are those of the build."""
    with zipfile.ZipFile(wheel) as parts:
        held = [(name, parts.read(name)) for name in sorted(parts.namelist())]
    return hashlib.sha256(repr(held).encode()).hexdigest()[:12]


def _install(python: Path) -> list[str]:
    """uv where it is at hand, because it is quick; else pip."""
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python)]
    return [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]


def _proved(home: Path, version: str, wheel: Path) -> dict:
    """What became of every step; steps that ended well with this wheel are not repeated."""
    python = home / f"v{version}" / "bin" / "python"
    place = home / f"a folder {version}"
    kept = home / f"state-{version}.json"
    digest = _digest(wheel)
    state = json.loads(kept.read_text()) if kept.exists() else {}
    if state.get("wheel") != digest:
        shutil.rmtree(place, ignore_errors=True)
        if not python.exists():
            subprocess.run(
                [f"python{version}", "-m", "venv", str(home / f"v{version}")], check=True
            )
        install = _install(python)
        subprocess.run([*install, str(wheel)], check=True)
        subprocess.run([*install, "--force-reinstall", "--no-deps", str(wheel)], check=True)
        state = {"wheel": digest}
        kept.write_text(json.dumps(state))
    place.mkdir(exist_ok=True)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PLAYBOOK_CACHE")}
    env |= {"PLAYBOOK_CACHE": str(home / f"cache {version}")}

    def run(name: str, words: list[str]) -> None:
        if state.get(name, {}).get("status") == 0:
            return
        start = time.monotonic()
        done = subprocess.run(
            [str(python), *words], cwd=place, env=env, capture_output=True, text=True
        )
        state[name] = {"status": done.returncode, "seconds": time.monotonic() - start}
        state[name]["told"] = (done.stdout + done.stderr)[-600:]
        kept.write_text(json.dumps(state, indent=1))
        print(version, name, done.returncode, state[name]["told"][-200:], flush=True)

    where = [
        str(python),
        "-c",
        "import playbook, sys; print(sys.version.split()[0], playbook.__file__)",
    ]
    told = subprocess.run(where, cwd=place, env=env, capture_output=True, text=True, check=True)
    number, file = told.stdout.split(maxsplit=1)
    assert str(home) in file, f"the checkout was imported, not the wheel: {file}"
    state["version"] = number
    run("cohort", ["-c", COHORT])
    for name, command in STEPS.items():
        months = sorted((place / "runs" / "tiny").glob("2*"))
        month = months[-1].name if months else "none"
        run(name, ["-m", "playbook", *[word.replace("MONTH", month) for word in command]])
    return state


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
