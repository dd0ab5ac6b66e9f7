"""What each import leaves in a store's `.imports`, and what a rebuild of its tables found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from playbook.store.write import quoted


@dataclass(frozen=True)
class Part:
    """One imported table of one file, as `.imports/<import_id>/part.json` describes it."""

    folder: Path
    import_id: str
    kind: str
    source_sha256: str
    tables: tuple[str, ...]
    extract_end: str
    about: Mapping[str, object]

    def file(self, table: str) -> str:
        """The part's parquet file of `table`, as a SQL literal."""
        return quoted(self.folder / f"{table}.parquet")


@dataclass
class Rebuilt:
    """What a rebuild found: rows per table, days observed, and what a person should
    hear about.
    """

    rows: dict[str, int] = field(default_factory=dict)
    observed_from: dict[str, str] = field(default_factory=dict)
    observed_to: dict[str, str] = field(default_factory=dict)
    currency: str | None = None
    no_rate: list[tuple[str, int, str]] = field(default_factory=list)
    # table -> currency -> its money left out because no exchange rate is known
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    unmatched: list[tuple[str, int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parts_of(*roots: Path) -> list[Part]:
    """Every part under the `.imports` folders given, in the order of their ids."""
    found = {}
    for root in roots:
        for note in root.glob("*/part.json"):
            about = json.loads(note.read_text(encoding="utf-8"))
            found[about["import_id"]] = Part(
                note.parent,
                about["import_id"],
                about["kind"],
                about["source_sha256"],
                tuple(about["tables"]),
                about.get("extract_end") or "",
                about,
            )
    return [found[name] for name in sorted(found)]
