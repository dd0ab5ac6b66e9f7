"""What earlier months left, read so that one broken file does not stop a month.

A file that cannot be read, or that lacks what is asked of it, counts as not there;
`broken_files` names each, so that a run can say what it went without.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from playbook.messages import say
from playbook.runs.folders import published_months, read_record
from playbook.tables import schema

__all__ = ["LOG", "LOG_COLUMNS", "READ_LATER", "broken_files", "read_kept"]

LOG = "decisions_log.parquet"
LOG_COLUMNS = ("decision_id", "status", "done_on", "done_size", "note")
HEADLINE = tuple(schema("runs.headline").names)
#: files of a month that later months read -> the columns they cannot do without
READ_LATER = {
    "predictions.parquet": (*schema("runs.predictions").names, "notebook"),
    "*/decisions.parquet": (
        "decision_id",
        "month",
        "notebook",
        "subject_type",
        "subject",
        "action",
        "size",
        "due_on",
        "owner_role",
        "expected_effect",
        "effect_low",
        "effect_high",
        "effect_unit",
        "evidence_metric",
        "status",
        "done_on",
        "note",
    ),
    "*/headline.parquet": HEADLINE,
}


def read_kept(path: Path, columns: Iterable[str] = ()) -> DataFrame | None:
    """The table a month left; None where there is none that can be read and has these
    columns.
    """
    try:
        frame = pd.read_parquet(path)
    except Exception:  # pyarrow, the file system and pandas each have their own kinds
        return None
    return frame if set(columns) <= set(frame.columns) else None


def broken_files(months: Path, *, before: str) -> list[dict[str, str]]:
    """Files of the months before this one, and the log of answers, that are there and
    cannot be used: `file` (from the shop's folder) and `why`.
    """
    found = [months / LOG] if (months / LOG).exists() else []
    wanted = dict.fromkeys(found, LOG_COLUMNS)
    for month in (p for p in published_months(months) if p.name[:7] < before):
        for pattern, columns in READ_LATER.items():
            wanted |= dict.fromkeys(sorted(month.glob(pattern)), columns)
        wanted |= {} if read_record(month) else {month / "run.json": ()}
    told = ((path, _why(path, columns)) for path, columns in wanted.items())
    return [{"file": path.relative_to(months).as_posix(), "why": why} for path, why in told if why]


def _why(path: Path, columns: tuple[str, ...]) -> str:
    if path.suffix == ".json":
        return say("runs.cannot_be_read")
    if (frame := read_kept(path)) is None:
        return say("runs.cannot_be_read")
    missing = [c for c in columns if c not in frame]
    return say("runs.lacks_columns", columns=", ".join(missing)) if missing else ""
