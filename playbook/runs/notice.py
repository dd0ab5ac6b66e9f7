"""A finished month in short: for a machine, and for a mail or chat step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playbook.messages import say, speaking
from playbook.runs.cells import decision_text
from playbook.runs.folders import write_text
from playbook.runs.pack import Pack, open_decisions, ranked
from playbook.runs.sentences import sentences

if TYPE_CHECKING:
    from playbook.runs.month import Run

__all__ = ["summary", "write_notice"]

DECISIONS_NAMED = 3


def summary(run: Run) -> dict[str, Any]:
    """What a machine wants to know of a finished month."""
    with speaking(run.record["lang"]):
        return _summed_up(run, Pack(run.folder, run.record))


def _summed_up(run: Run, pack: Pack) -> dict[str, Any]:
    record = run.record
    decisions = pack.decisions()
    proposals = open_decisions(decisions)
    first_ones = ranked(pack, decisions).head(DECISIONS_NAMED) if len(proposals) else proposals
    outcomes = record["notebooks"]
    return {
        "store": record["store"],
        "month": record["month"],
        "status": run.status,
        "is_changed": run.is_changed,
        "folder": str(run.folder),
        "page": str(run.folder / "index.html"),
        "is_partial": record["is_partial"],
        "sentences": sentences(pack, decisions),
        "n_decisions": len(proposals),
        "chapters": {name: outcome["status"] for name, outcome in outcomes.items()},
        "failed": {
            name: {part: outcome.get(part) for part in ("cell", "section", "error")}
            for name, outcome in outcomes.items()
            if outcome["status"] == "failed"
        },
        "set_aside": record.get("set_aside", []),
        "decisions": [decision_text(row) for row in first_ones.to_dict("records")],
    }


def write_notice(path: Path, results: list[dict[str, Any]]) -> None:
    """A short summary for a mail or chat step: text at `path`, JSON beside it under the
    same name.
    """
    is_json = path.suffix == ".json"
    text_path = path.with_suffix(".txt") if is_json else path
    lines = [line for result in results for line in [*_lines(result), ""]]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(text_path, "\n".join(lines) + "\n")
    data = json.dumps(results, indent=1, ensure_ascii=False)
    write_text(path if is_json else path.with_suffix(".json"), data + "\n")


def _lines(result: dict[str, Any]) -> list[str]:
    title = f"{result['store']} {result['month'] or ''}"
    if result["status"] == 1:
        return [
            say(
                "runs.nothing_published",
                title=title,
                reason=result["error"]["message"],
            )
        ]
    failed = [
        say(
            "runs.chapter_failed",
            name=name,
            cell=outcome["cell"],
            error=outcome["error"],
        )
        for name, outcome in result["failed"].items()
    ]
    failed += [say("runs.went_without", **told) for told in result.get("set_aside", [])]
    decisions = [
        f"- {d['who']}: {d['what']} {d['how much']} {d['by when']}".rstrip()
        for d in result["decisions"]
    ]
    head = say("runs.partial_title", title=title) if result["is_partial"] else title
    return [head, *result["sentences"], *failed, *decisions, result["page"]]
