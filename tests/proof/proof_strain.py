"""Damage to what a shop keeps beside its exports, and commands killed at random: one
message or a right answer, never a traceback, never half of anything.

    python tests/proof/proof_strain.py [damaged, default 2000] [kills, default 200] [seconds]

`damaged`: by turns the settings (shop.yaml), a mapping, a sheet of answers (text and
workbook) and the files of an earlier month are changed in bytes, lines, words and types, and the
command that reads them is run. `killed`: `run`, `import`, `demo` and `learn` are killed with
all their processes after a random time and run again: the second end must be whole, with no
process, lock or half folder left. One line per seed goes to proof/strain.jsonl; seeds already
there are skipped. Prints what failed, with its seed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from processes import MARK, end, left_running
from small_month import MAPPING, write_shop

from playbook.cli import main as playbook
from playbook.runs.answers import answers, followup
from playbook.runs.results import Results
from playbook.runs.track_record import track_record

LOG = ROOT / "proof" / "strain.jsonl"
WORDS = (
    "", "-", "n/a", "nan", "null", "~", "yes", "0", "-1", "1e400", "12,5", "1.234,56", "[]", "{}",
    "[1, 2", "'", '"', "\t", "\r", "\u202e", "\ufeff", "\x00", "٣", "=cmd|' /C calc'!A0",
    "2026-02-30", "paid", "Atlantis/Nowhere", "&a *a", "!!python/object:os.system x",
)  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "gb18030", "shift_jis")
SETTINGS = """name: corner
currency: EUR
log_starts_with_shop: true
time_zone: Europe/Berlin
counted_statuses: [done]
"""
ROWS = "number,when,article,pieces,each\n1,2026-01-20,a,2,5.00\n2,2026-01-21,b,1,7.50\n"


def hurt(raw: bytes, rng: random.Random) -> bytes:
    """One or two random changes: of bytes, of lines, of words, of the encoding."""
    for _ in range(rng.randint(1, 2)):
        how = rng.randrange(6)
        at = rng.randrange(len(raw) + 1)
        if how == 0:
            raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        elif how == 1:
            raw = raw[:at] + raw[at + rng.randint(1, 12) :]
        elif how == 2:
            raw = raw[:at] + rng.choice(WORDS).encode() + raw[at:]
        elif how == 3:
            lines = raw.split(b"\n")
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            raw = b"\n".join(lines)
        elif how == 4:
            raw = _other_word(raw, rng)
        else:
            text = raw.decode("utf-8", "replace") + "é 数"
            raw = text.encode(rng.choice(ENCODINGS), "replace")
    return raw


def _other_word(raw: bytes, rng: random.Random) -> bytes:
    """A value after a colon or comma is replaced by an odd one."""
    places = [m.span() for m in re.finditer(rb"(?<=[:,] )[^\n,]+|(?<=,)[^\n,]+", raw)]
    if not places:
        return raw
    start, end = rng.choice(places)
    return raw[:start] + rng.choice(WORDS).encode() + raw[end:]


def said(words: list[str]) -> tuple[int, str]:
    """Exit status and words of a command in this process; 99 for whatever it lets through."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            status = playbook(words)
        except SystemExit as left:
            status = left.code
        except BaseException:
            traceback.print_exc(file=told)
            status = 99
    return int(status or 0), told.getvalue()


def judged(status: int, text: str) -> str:
    """`read` or `refused`; raises AssertionError where a person would see a traceback."""
    assert status != 99 and "Traceback" not in text, text[-600:]
    assert not re.search(r"Warning:|Error:", text), text[-600:]
    return "refused" if status else "read"


def of_settings(folder: Path, rng: random.Random) -> str:
    """shop.yaml: `check` reads it or names what is wrong, and writes nothing into it."""
    store = write_shop(folder / "store")
    raw = hurt(SETTINGS.encode(), rng)
    (store / "shop.yaml").write_bytes(raw)
    result = judged(*said(["check", str(store)]))
    assert (store / "shop.yaml").read_bytes() == raw, "the settings were written over"
    return result


def of_mapping(folder: Path, rng: random.Random) -> str:
    """A mapping: an import by it is whole or leaves no store."""
    (folder / "rows.csv").write_text(ROWS)
    (folder / "map.yaml").write_bytes(hurt(MAPPING.encode(), rng))
    words = ["import", "generic", str(folder / "rows.csv"), "--into", str(folder / "store")]
    result = judged(*said([*words, "--mapping", str(folder / "map.yaml")]))
    left = {p.name for p in (folder / "store").iterdir()} if (folder / "store").exists() else set()
    assert result == "read" or not left, f"a refused import left {sorted(left)}"
    assert ".staging" not in left, "half an import was left"
    return result


def published_month(folder: Path) -> list[str]:
    """A store and one month with three decisions and their answers; the decisions' ids."""
    from playbook.decisions import Decision

    write_shop(folder / "store")
    month = folder / "runs/corner/2026-01"
    results = Results("04_cohorts", str(month), month="2026-01", store="corner")
    for action in ("raise", "wake", "lower"):
        results.decide(Decision("kpi", action, action, owner_role="general manager"))
    about = {"month": "2026-01", "as_of": "2026-01-31", "notebooks": {}}
    (month / "run.json").write_text(json.dumps(about))
    return results.decisions().decision_id.tolist()


def of_answers(folder: Path, rng: random.Random) -> str:
    """A sheet of answers: every row is taken or named, and the log stays readable."""
    ids = published_month(folder)
    rows = [(i, "done", "2026-02-01", "12", "well done") for i in ids]
    frame = pd.DataFrame(rows, columns=["decision_id", "status", "done_on", "done_size", "note"])
    is_book = rng.random() < 0.4
    path = folder / ("answers.xlsx" if is_book else "answers.csv")
    frame.to_excel(path, index=False) if is_book else frame.to_csv(path, index=False)
    raw = path.read_bytes()
    if is_book:
        at = rng.randrange(len(raw))
        raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
    else:
        raw = hurt(raw, rng)
    path.write_bytes(raw)
    words = ["decisions", str(path), "--store", str(folder / "store")]
    result = judged(*said([*words, "--runs", str(folder / "runs")]))
    kept = answers(folder / "runs/corner")
    assert result == "read" or len(kept) == 0, "a refused sheet left answers"
    assert len(kept) <= len(ids), "more answers than decisions"
    return result


def of_earlier_month(folder: Path, rng: random.Random) -> str:
    """Files of an earlier month: what looks back names or skips them, and never fails."""
    published_month(folder)
    runs = folder / "runs/corner"
    shutil.copytree(runs / "2026-01", runs / "2026-02")
    about = {"month": "2026-02", "as_of": "2026-02-28", "notebooks": {}}
    (runs / "2026-02/run.json").write_text(json.dumps(about))
    about = {"metric": "orders", "subject": "all", "horizon": "1", "due_on": "2026-02-28"}
    pd.DataFrame([about | {"model": "m", "point": 1.0}]).to_parquet(
        runs / "2026-01/predictions.parquet"
    )
    log = {"decision_id": ["x"], "status": "done", "done_on": "", "note": "", "done_size": 1.0}
    pd.DataFrame(log).to_parquet(runs / "decisions_log.parquet")
    files = [*(runs / "2026-01").rglob("*"), runs / "decisions_log.parquet"]
    path = rng.choice(sorted(p for p in files if p.is_file()))
    path.write_bytes(hurt(path.read_bytes(), rng))
    for look_back in (track_record, followup):
        look_back(runs / "2026-02")
    answers(runs)
    return f"looked back over {path.suffix}"


KEPT = (of_settings, of_mapping, of_answers, of_earlier_month)


def damaged(seed: int, folder: Path) -> str:
    """One damaged file of a shop's own."""
    rng = random.Random(seed)
    told = KEPT[seed % len(KEPT)]
    return f"{told.__name__[3:]}: {told(folder, rng)}"


def _command(name: str, folder: Path) -> list[str]:
    """The words of a command that writes into `folder`."""
    if name == "import":
        (folder / "rows.csv").write_text(ROWS)
        (folder / "map.yaml").write_text(MAPPING)
        words = ["import", "generic", folder / "rows.csv", "--into", folder / "out/store"]
        return [*map(str, words), "--mapping", str(folder / "map.yaml")]
    if name == "demo":
        return ["demo", "--preset", "tiny", "--into", str(folder / "out/demo")]
    if name == "learn":
        into = str(folder / "out/course")
        return ["learn", "start", "ann", "--into", into, "--store", "demo"]
    store = write_shop(folder / "store")
    words = ["run", "--store", str(store), "--month", "2026-02", "--only", "04,08"]
    return [*words, "--runs", str(folder / "out/runs")]


def killed(seed: int, folder: Path) -> str:
    """A command killed after a random time, alone or with its group; run again it ends
    whole, and nothing of the first is left.
    """
    rng = random.Random(seed)
    name = ("run", "import", "demo", "learn")[seed % 4]
    words, mark = _command(name, folder), f"proof-{os.getpid()}-{seed}"
    around = os.environ | {MARK: mark, "PLAYBOOK_CACHE": str(folder / "cache")}
    call = [sys.executable, "-m", "playbook", *words]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": ROOT, "env": around}
    child = subprocess.Popen(call, start_new_session=True, **quiet)
    time.sleep(rng.random() * {"run": 25, "import": 3, "demo": 6, "learn": 6}[name])
    state = "finished first" if child.poll() is not None else "killed"
    if state == "killed":
        child.send_signal(signal.SIGKILL)
    child.communicate()
    left = left_running(mark)
    again = subprocess.run(call, check=False, text=True, **quiet)
    end(left)
    assert again.returncode in (0, 3) and "Traceback" not in again.stdout, again.stdout[-600:]
    stray = [p.name for p in (folder / "out").rglob("*") if p.name.endswith((".partial", ".tmp"))]
    assert not stray, f"half written: {stray[:5]}"
    assert not left, f"still running ten seconds after the kill: {left[:3]}"
    return f"{name} {state}"


def results(what: str, run: Callable[[int, Path], str], n: int, until: float) -> list[dict]:
    """The seeds' lines, those of earlier starts and those run now."""
    LOG.parent.mkdir(exist_ok=True)
    known = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    done = {d["seed"]: d for d in known if d["what"] == what}
    for seed in (s for s in range(n) if s not in done):
        if time.monotonic() > until:
            break
        with tempfile.TemporaryDirectory(prefix="playbook-strain-") as folder:
            try:
                told = run(seed, Path(folder))
            except Exception as error:  # whatever comes out is what the proof looks for
                told = f"FAILED {type(error).__name__}: {str(error)[-500:]}"
        done[seed] = {"what": what, "seed": seed, "result": told}
        with open(LOG, "a", encoding="utf-8") as out:
            out.write(json.dumps(done[seed], ensure_ascii=False) + "\n")
    return [d for seed, d in done.items() if seed < n]


def main() -> int:
    """Run what is missing, print the counts and what failed."""
    numbers = [int(word) for word in sys.argv[1:]]
    n_damaged, n_kills, seconds = (*numbers, *(2000, 200, 1500)[len(numbers) :])
    until, wrong = time.monotonic() + seconds, 0
    for what, run, n in (("damaged", damaged, n_damaged), ("killed", killed, n_kills)):
        rows = results(what, run, n, until)
        failed = [d for d in rows if d["result"].startswith("FAILED")]
        counts = Counter(d["result"] for d in rows if d not in failed)
        print(f"{what}: {len(rows):,} of {n:,} done, failed {len(failed)}")
        for told, count in sorted(counts.items()):
            print(f"  {told}: {count:,}")
        for d in failed[:20]:
            print(f"  seed {d['seed']}: {d['result']}")
        wrong += len(failed)
    return min(wrong, 100)


if __name__ == "__main__":
    sys.exit(main())
