"""The zoo: every kind of shop runs a whole month by the command line.

    python tests/proof/proof_zoo.py [--only WORDS] [--home proof/zoo] [--random N [--from K]]
        [--here]

Each kind of `tests/zoo.py` and each case of `tests/cases/shops` is written and run, its
chapters counted (done, failed, blocked sections), and the rules of `tests/zoo_rules.py`
asked of its month. A kind whose month is published is not run again, so that a killed
proof goes on where it was; its rules are asked each time. `--random` runs N small shops
instead, each with the switches of two or three kinds drawn at random (`zoo.mixed`), by
the seeds from K on. `--here` executes the notebooks in this process instead of
kernels (`tests/in_process.py`): faster by the kernels' start and nothing else.
Exit status: kinds with nothing published, a failed chapter or a broken rule.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import zoo
from zoo_rules import broken_rules

UNFINISHED = 124  # exit status where shops are left to run
CHAPTERS = [f"{n:02d}" for n in range(12)]


def written(home: Path, kinds: dict[str, zoo.Kind]) -> dict[str, tuple[Path, zoo.Kind]]:
    """Name -> store folder, written where it is not there yet, and its kind."""
    for name, kind in kinds.items():
        folder = home / "stores" / name
        if not (folder / "store.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            zoo.write(name if name in zoo.KINDS else kind, folder)
    return {name: (home / "stores" / name, kind) for name, kind in kinds.items()}


def shops(home: Path, words: list[str], seeds: range) -> dict[str, tuple[Path, zoo.Kind]]:
    """The shops asked for: mixed ones of these seeds, else the kinds and cases whose name
    has one of the words.
    """
    if seeds:
        return written(home, {f"mixed {seed:04d}": zoo.mixed(seed) for seed in seeds})
    kinds = {n: kind for n, kind in zoo.KINDS.items() if any(word in n for word in words)}
    found = written(home, kinds)
    cases = {f"case {name}": folder for name, folder in zoo.cases().items()}
    plain = {n: (f, zoo.Kind()) for n, f in cases.items() if any(word in n for word in words)}
    found |= plain
    # in the order of the words
    place = {n: next(i for i, word in enumerate(words) if word in n) for n in found}
    return {name: found[name] for name in sorted(found, key=place.get)}


def by_command_line(words: list[str]) -> tuple[int, str]:
    """Exit status and all that `playbook` says."""
    command = [sys.executable, "-m", "playbook", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def in_this_process(words: list[str]) -> tuple[int, str]:
    """The same, its notebooks executed here."""
    from in_process import run_months_here

    from playbook.cli import main as playbook

    run_months_here()
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            status = playbook([*words, "--jobs", "1"])
        except SystemExit as left:
            status = left.code
        except Exception:
            traceback.print_exc()
            status = 99
    return int(status or 0), told.getvalue()


def run(name: str, store: Path, kind: zoo.Kind, place: Path, *, here: bool) -> dict:
    """One month of one shop, or what is known of it from before."""
    known = place / "proof.json"
    if known.exists():
        told = json.loads(known.read_text(encoding="utf-8"))
    else:
        shutil.rmtree(place, ignore_errors=True)
        words = ["run", "--store", str(store), "--runs", str(place)]
        words += ["--month", kind.month] if kind.month else []
        began = time.perf_counter()
        status, said = (in_this_process if here else by_command_line)(words)
        told = {"name": name, "status": status, "seconds": time.perf_counter() - began}
        told["said"] = said[-1500:].strip()
    records = [p for p in place.glob("*/*/run.json") if not p.parent.name.startswith(".")]
    told |= {"chapters": {}, "rules": []}
    for path in records[:1]:
        record = json.loads(path.read_text(encoding="utf-8"))
        told["chapters"] = {
            n[:2]: "failed" if e["status"] == "failed" else len(e.get("blocked", []))
            for n, e in record["notebooks"].items()
        }
        told["rules"] = broken_rules(path.parent, store)
    told["is_named"] = is_named(told, kind)
    place.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    return told


def is_named(told: dict, kind: zoo.Kind) -> bool:
    """A month that cannot be published is refused by name, without a traceback."""
    is_refusal = told["status"] not in (0, 3, 99) and "Traceback" not in told["said"]
    return bool(kind.refused) and is_refusal and kind.refused in told["said"]


def row(told: dict) -> str:
    """A line of the table: `.` done, a number of blocked sections, `F` failed."""
    marks = {"failed": "F", 0: "."}
    cells = [str(marks.get(n := told["chapters"].get(c, "-"), n)) for c in CHAPTERS]
    state = "published" if told["chapters"] else "refused" if told["is_named"] else "nothing"
    return f"{told['name'][:30]:30s} {' '.join(f'{c:>2s}' for c in cells)}  {state}"


def _not_saved(*_given: object, **_how: object) -> None:
    """A drawing is made and not written."""


def main() -> int:
    """Run what is missing and print the table; returns how many kinds are not right."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--only", nargs="*", default=[""], help="words of the kinds' names")
    asked.add_argument("--home", type=Path, default=ROOT / "proof" / "zoo")
    asked.add_argument("--random", type=int, default=0, help="so many mixed shops instead")
    asked.add_argument("--from", type=int, default=0, dest="first", help="their first seed")
    asked.add_argument("--seconds", type=float, default=1e9, help="start no shop after so many")
    asked.add_argument("--here", action="store_true", help="notebooks in this process")
    asked.add_argument(
        "--bare", action="store_true", help="and no drawing saved, nor drawn again for phones"
    )
    given = asked.parse_args()
    if given.bare:
        from matplotlib.figure import Figure

        from playbook.runs import narrow, results

        Figure.savefig = _not_saved
        narrow.narrow = results.Results._for_a_phone = _not_saved
    print(f"{'kind':30s} {' '.join(CHAPTERS)}", flush=True)
    wrong, began = 0, time.perf_counter()
    seeds = range(given.first, given.first + given.random)
    for name, (store, kind) in shops(given.home, given.only, seeds).items():
        if time.perf_counter() - began > given.seconds:
            print("more to run: start again")
            return UNFINISHED
        place = given.home / "runs" / re.sub(r"\W+", "-", name)
        told = run(name, store, kind, place, here=given.here)
        print(f"{row(told)} {told['seconds']:.0f} s", flush=True)
        is_right = told["is_named"] or (bool(told["chapters"]) and not told["rules"])
        said = [] if told["chapters"] or told["is_named"] else told["said"].splitlines()[-4:]
        for line in [*told["rules"], *said]:
            print(f"    {line}", flush=True)
        wrong += not is_right
    print(f"{wrong} are not right")
    return min(wrong, 100)


if __name__ == "__main__":
    sys.exit(main())
