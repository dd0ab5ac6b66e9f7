"""The zoo: every kind of shop runs a whole month by the command line.

    python tests/proof/proof_zoo.py [--only WORDS] [--home proof/zoo] [--random N]

Each kind of `tests/zoo.py` and each case of `tests/cases/shops` is written and run, its
chapters counted (done, failed, blocked sections), and the rules of `tests/zoo_rules.py`
asked of its month. A kind whose month is published is not run again, so that a killed
proof goes on where it was. `--random` adds shops of the same kinds by other seeds.
Exit status: kinds with nothing published, a failed chapter or a broken rule.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests import zoo
from tests.zoo_rules import broken_rules

CHAPTERS = [f"{n:02d}" for n in range(12)]


def shops(home: Path, words: list[str], n_random: int) -> dict[str, Path]:
    """Name -> store folder, written where it is not there yet."""
    kinds = {name: (name, 0) for name in zoo.KINDS}
    names = list(zoo.KINDS)
    kinds |= {
        f"{names[n % len(names)]} {n + 1}": (names[n % len(names)], n + 1) for n in range(n_random)
    }
    found = {}
    for name, (kind, seed) in kinds.items():
        folder = home / "stores" / name
        if any(word in name for word in words):
            if not (folder / "store.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                zoo.write(kind, folder, seed=seed)
            found[name] = folder
    cases = {f"case {name}": folder for name, folder in zoo.cases().items()}
    return found | {n: f for n, f in cases.items() if any(word in n for word in words)}


def run(name: str, store: Path, home: Path) -> dict:
    """One month of one shop, or what is known of it from before."""
    place = home / "runs" / re.sub(r"\W+", "-", name)
    known = place / "proof.json"
    if known.exists():
        return json.loads(known.read_text(encoding="utf-8"))
    began = time.perf_counter()
    command = [sys.executable, "-m", "playbook", "run", "--store", str(store), "--runs", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = {"name": name, "status": done.returncode, "seconds": time.perf_counter() - began}
    records = [p for p in place.glob("*/*/run.json") if not p.parent.name.startswith(".")]
    if not records:
        told |= {"chapters": {}, "rules": [], "said": (done.stdout + done.stderr)[-600:].strip()}
    else:
        record = json.loads(records[0].read_text(encoding="utf-8"))
        told["chapters"] = {
            n[:2]: "failed" if e["status"] == "failed" else len(e.get("blocked", []))
            for n, e in record["notebooks"].items()
        }
        told["rules"], told["said"] = broken_rules(records[0].parent), ""
    place.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    return told


def row(told: dict) -> str:
    """A line of the table: `.` done, a number of blocked sections, `F` failed."""
    marks = {"failed": "F", 0: "."}
    cells = [str(marks.get(n := told["chapters"].get(c, "-"), n)) for c in CHAPTERS]
    state = "published" if told["chapters"] else "nothing"
    return f"{told['name'][:30]:30s} {' '.join(f'{c:>2s}' for c in cells)}  {state}"


def main() -> int:
    """Run what is missing and print the table; returns how many kinds are not right."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--only", nargs="*", default=[""], help="words of the kinds' names")
    asked.add_argument("--home", type=Path, default=ROOT / "proof" / "zoo")
    asked.add_argument("--random", type=int, default=0, help="further shops by other seeds")
    given = asked.parse_args()
    print(f"{'kind':30s} {' '.join(CHAPTERS)}", flush=True)
    wrong = 0
    for name, store in shops(given.home, given.only, given.random).items():
        told = run(name, store, given.home)
        print(f"{row(told)} {told['seconds']:.0f} s", flush=True)
        for line in [*told["rules"], *told["said"].splitlines()[-4:]]:
            print(f"    {line}", flush=True)
        wrong += not told["chapters"] or bool(told["rules"])
    print(f"{wrong} kinds are not right")
    return min(wrong, 100)


if __name__ == "__main__":
    sys.exit(main())
