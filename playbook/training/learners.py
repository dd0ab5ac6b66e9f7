"""One local file per learner: a line of JSON for each thing done. Nothing leaves the
machine.

The folder is PLAYBOOK_LEARNER_DIR, else `.ecommerce-playbook/learners` under the home
folder. A line holds `at` (UTC), `event`, `item` and what the event brings:

    check      an exercise answered: number as item, status, slip, chapter, level, part,
               store, month; of a thought its text, which the mentor reads
    mark       a mentor's mark of a thought: passed or again as mark, words, mentor
    hint       a hint asked for; solution: the solution asked for (same fields)
    grade      a case file or a shop game: what `record` was given

Case files and the shop game store their grades with

    record(learner, "case.refunds", event="grade", title="Refunds that double",
           chapter="08", level="L3", score=0.8, store="...", month="2026-08", note="...",
           parts={"finding": 1.0, "sizing": 0.5, "decision": 1.0})

`score` and each of `parts` lie in [0, 1]; a game may add any other plain values
(`profit`, `profit_as_before`, ...). `playbook learn report` lists the best and the last
grade of each item, with its parts and note.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError

#: names some systems keep for devices
RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)[1-9]")
LONGEST_NAME = 60


def learners_folder() -> Path:
    """Where the files lie: PLAYBOOK_LEARNER_DIR, else a folder of the user's home."""
    given = os.environ.get("PLAYBOOK_LEARNER_DIR")
    return Path(given) if given else Path.home() / ".ecommerce-playbook" / "learners"


def learner_file(learner: str) -> Path:
    """The learner's file, always inside the folder whatever the name; PlaybookError for
    a name without a letter.

    Characters other than letters, digits, dash, underscore become dashes; a name
    changed that way (or cut, or not allowed by some system) carries a short hash, so
    that two people never share a file. Case does not tell people apart.
    """
    name = " ".join(str(learner).split()).casefold()
    safe = re.sub(r"[^\w-]+", "-", name).strip("-_")[:LONGEST_NAME]
    if not safe:
        raise PlaybookError("training.no_name", learner=learner)
    if safe != name or RESERVED.fullmatch(safe):
        safe = f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return learners_folder() / f"{safe}.jsonl"


def record(learner: str, item: str, *, event: str = "grade", **facts: Any) -> Path:
    """Append one line to the learner's file and return the file. `facts` are plain
    values (see the module's text); PlaybookError for a score or a part outside [0, 1],
    or a folder that cannot be written.
    """
    scores = {"score": facts.get("score"), **(facts.get("parts") or {})}
    for name, score in scores.items():
        if score is not None and not 0 <= score <= 1:
            raise PlaybookError("training.no_score", item=item, column=name, score=score)
    path = learner_file(learner)
    # a diary, not an analysis: the clock of the machine is right here
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    line = {"at": now, "learner": str(learner), "event": event, "item": item, **facts}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line, ensure_ascii=False, default=_plain) + "\n")
    except OSError as error:
        raise PlaybookError("training.record_not_kept", why=error.strerror, file=path) from None
    return path


def records(learner: str) -> list[dict[str, Any]]:
    """Every line of the learner's file, oldest first; empty for somebody who has done
    nothing. A line cut short by a crash is passed over.
    """
    path = learner_file(learner)
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    dicts = [line for line in lines if isinstance(line, dict)]
    return [line for line in dicts if "item" in line and "event" in line]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
