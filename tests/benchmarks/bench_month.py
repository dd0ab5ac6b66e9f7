"""The whole monthly run on the demo shop, as it is and with a plain kernel for every
chapter, side by side.

    python tests/benchmarks/bench_month.py [store] [--jobs 2] [--rounds 1]

Each way is a process of its own with an empty cache but for the shop itself. Seconds are those of the whole process;
*start-up* is the part of the chapters' own seconds that passes before the cell after their imports, and memory is that
of the process and its kernels at their highest, pages they share counted once.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WAYS = ("plain", "warm")


def imports_end(path: Path) -> int:
    """The index of the first code cell after the one that imports."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    first = next(
        i
        for i in code
        if any(
            isinstance(node, (ast.Import, ast.ImportFrom))
            for node in ast.parse("".join(cells[i]["source"])).body
        )
    )
    return next(i for i in code if i > first)


def one_month(way: str, store: str, jobs: int, runs: str) -> dict:
    """Run the month; returns the chapters' seconds in all and up to the cell after
    their imports.
    """
    from playbook.runs import month

    execute, spent = month.execute_notebook, {"chapters": 0.0, "start_up": 0.0}

    def timed(source: Path, *args: object, on_cell: object, **more: object) -> object:
        start, ready, edge = time.perf_counter(), [], imports_end(source)

        def seen(index: int, count: int, section: str) -> None:
            if index >= edge and not ready:
                ready.append(time.perf_counter() - start)
            on_cell(index, count, section)

        outcome = execute(source, *args, on_cell=seen, **more)
        spent["chapters"] += outcome.seconds
        spent["start_up"] += ready[0] if ready else outcome.seconds
        return outcome

    month.execute_notebook = timed
    done = month.run_month(store, how=month.HowToRun(jobs=jobs, runs=runs, is_warm=way == "warm"))
    return spent | {"status": done.status}


def memory_of(pid: int) -> float:
    """GB of the process and all below it, each shared page in its share."""
    total, waiting = 0, [pid]
    for each in Path("/proc").glob("[0-9]*"):
        try:
            group = os.getsid(int(each.name))
            parent = int((each / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent in waiting or int(each.name) == pid or group in waiting:
            waiting.append(int(each.name))
            try:
                rollup = (each / "smaps_rollup").read_text()
            except OSError:
                continue
            total += int(rollup.split("Pss:")[1].split()[0])
    return total / 2**20


def main() -> None:
    """Print one line per way and the ratio."""
    if sys.argv[1:2] == ["--child"]:
        _flag, way, store, jobs, runs = sys.argv[1:]
        print(json.dumps(one_month(way, store, int(jobs), runs)))
        return
    ask = argparse.ArgumentParser()
    ask.add_argument("store", nargs="?", default="demo")
    ask.add_argument("--jobs", type=int, default=2)
    ask.add_argument("--rounds", type=int, default=1)
    asked = ask.parse_args()
    sys.path.insert(0, str(ROOT))
    from playbook.store import open_store

    where = open_store(asked.store).where  # the shop itself is made once, before anything is timed
    best: dict[str, float] = {}
    for _round in range(asked.rounds):
        for way in WAYS:
            with tempfile.TemporaryDirectory() as runs, tempfile.TemporaryDirectory() as cache:
                start, peak = time.perf_counter(), 0.0
                child = subprocess.Popen(
                    [sys.executable, __file__, "--child", way, where, str(asked.jobs), runs],
                    cwd=ROOT,
                    text=True,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                    env=os.environ | {"PYTHONPATH": str(ROOT), "PLAYBOOK_CACHE": cache},
                )
                while child.poll() is None:
                    peak = max(peak, memory_of(child.pid))
                    time.sleep(0.5)
                wall = time.perf_counter() - start
                spent = json.loads(child.stdout.read().strip().splitlines()[-1])
            best[way] = min(wall, best.get(way, wall))
            print(
                f"{way:6s} {wall:6.1f} s, peak {peak:.2f} GB, chapters {spent['chapters']:.1f} s of which start-up "
                f"{spent['start_up']:.1f} s ({spent['start_up'] / spent['chapters']:.0%}), status {spent['status']}",
                flush=True,
            )
    print(f"plain kernels take {best['plain'] / best['warm']:.2f} times as long as warm ones")


if __name__ == "__main__":
    main()
