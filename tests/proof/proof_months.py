"""Six consecutive months of a demo shop, run for real: the record, reruns, and a replay
that says the same.

    python tests/proof/proof_months.py [preset, default tiny]

Runs 2026-05 to 2026-10 in order through the command line, each month again (nothing may
change), and the same months by `--from` into a fresh folder. Published months are not
run again, so that a killed proof goes on where it was. Prints how many months'
predictions were scored, coverage by chapter and metric, and whether the replay gave the
same record and the same tables, marked. Everything lies in proof/months/.
"""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from playbook.demo.make import make_demo
from playbook.runs.track_record import track_record
from playbook.store import open_store

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "proof" / "months"
MONTHS = [f"2026-{m:02d}" for m in range(5, 11)]


def run(store: Path, runs: Path, *words: str) -> str:
    """One call of the command line; stops the proof where it does not end well."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "playbook",
            "run",
            "--store",
            str(store),
            "--runs",
            str(runs),
            *words,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(
            f"{' '.join(words)} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def digests(folder: Path, pattern: str) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.glob(pattern)
        if p.is_file()
    }


def main(preset: str) -> int:
    """Run what is missing, compare, print; returns the exit status."""
    store = HOME / preset
    if not store.exists():
        make_demo(store, preset=preset, with_truth=False)
    name = open_store(store).name
    for month in MONTHS:
        if not (HOME / "live" / name / month / "run.json").exists():
            began = time.perf_counter()
            run(store, HOME / "live", "--month", month)
            print(f"live {month} {time.perf_counter() - began:.0f} s", flush=True)
    live, again = HOME / "live" / name, HOME / "replay" / name
    before = digests(live, "**/*")
    for month in MONTHS:
        run(store, HOME / "live", "--month", month)
    after = digests(live, "**/*")
    moved = sum(before.get(k) != v for k, v in after.items()) + len(set(before) - set(after))
    print(f"rerun: {moved} of {len(before)} files differ", flush=True)
    run(store, HOME / "replay", "--from", MONTHS[0], "--month", MONTHS[-1])
    first, second = (track_record(folder / MONTHS[-1]) for folder in (live, again))
    scored = first.scored[first.scored.status == "scored"]
    print("months whose predictions were scored:", ", ".join(sorted(set(scored.made_in))))
    print(first.summary.drop(columns="is_replay").round(3).to_string(index=False))
    pd.testing.assert_frame_equal(
        first.scored.drop(columns="is_replay"), second.scored.drop(columns="is_replay")
    )
    made = second.scored.groupby("made_in").is_replay.all()
    print(
        f"the replay gives the same record; marked as replay: {made.to_dict()}; live marked: "
        f"{bool(first.scored.is_replay.any())}"
    )
    for month in MONTHS:
        a, b = (digests(folder / month, "[01]*/tables/*.parquet") for folder in (live, again))
        print(
            month,
            "tables that differ from the replay:",
            sorted(k for k in a if a[k] != b.get(k)) or "none",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "tiny"))
