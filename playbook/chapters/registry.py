"""The chapters and what is known of each, from the `chapter.yaml` of its room.

A chapter is named by its notebook (`04_cohort_retention`) or its room
(`cohort_retention`). Readiness, import advice, the pack and the track record read this;
no other place lists chapters.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbook.messages import language, read_yaml

__all__ = ["Chapter", "chapter", "chapters", "opening", "place_of", "review", "room_facts"]

ROOMS = Path(__file__).parent


@dataclass(frozen=True)
class Chapter:
    """What is known of one chapter before it runs.

    `needs` is what it cannot do without and `unlocks` what brings more of it: tables of
    the contract or `table.column`, any of several written with `|`. `place` is its part
    in the month: `opening` (says whether the month may be used), `chapter`, or `review`
    (reads the others' results and runs last). `headline_table` is shown first in the pack.
    """

    room: str
    number: str
    title: dict[str, str]
    objective: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    unlocks: tuple[str, ...] = ()
    place: str = "chapter"
    headline_table: str = ""
    seconds: int = 5

    @property
    def notebook(self) -> str:
        """The notebook's file name without .ipynb, which also names its folder of results."""
        return f"{self.number}_{self.room}"

    def titled(self) -> str:
        """Number and title in the language in use."""
        return f"{self.number} {self.title[language()]}"


@functools.cache
def chapters() -> dict[str, Chapter]:
    """Notebook name -> chapter, in the order of their numbers."""
    found = [_chapter(path.parent.name) for path in ROOMS.glob("*/chapter.yaml")]
    return {one.notebook: one for one in sorted(found, key=lambda one: one.number)}


def chapter(name: str) -> Chapter | None:
    """The chapter of a notebook, room or number; None for a shop's own notebook."""
    return next((c for c in chapters().values() if name in (c.notebook, c.room, c.number)), None)


def place_of(notebook: str) -> str:
    """The part in the month of a notebook by its number: opening, chapter or review."""
    facts = chapter(notebook) or chapter(notebook[:2])
    return facts.place if facts else "chapter"


def opening() -> Chapter:
    """The chapter that says whether the month may be used."""
    return next(c for c in chapters().values() if c.place == "opening")


def review() -> Chapter:
    """The chapter that reads the others' results."""
    return next(c for c in chapters().values() if c.place == "review")


@functools.cache
def room_facts(room: str) -> dict[str, Any]:
    """All that stands in a room's `chapter.yaml`; empty for a room without one."""
    path = ROOMS / room / "chapter.yaml"
    return read_yaml(path) if path.exists() else {}


def _chapter(room: str) -> Chapter:
    facts = room_facts(room)
    known = {k: facts[k] for k in Chapter.__dataclass_fields__ if k in facts and k != "room"}
    for name in ("needs", "unlocks"):
        known[name] = tuple(known.get(name) or ())
    return Chapter(room, **known)
