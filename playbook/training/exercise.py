"""What an exercise is, and where the exercises of a chapter are found.

Each chapter's exercises are a module of `playbook.training.exercises` with a tuple
`EXERCISES`. Writing one:

    def _hhi(shop): ...                                    # the value on this store and month, of any plain kind
    Exercise("01.2", level="L2", kind="fill", part="computation", title=Said("..."), prompt=Said("..."), solve=_hhi,
             slips=(Slip("percent", lambda shop: 10_000 * _hhi(shop), Said("Shares were in percent ...")),),
             hints=(Said("..."), Said("...")))

`solve` and each slip's `make` take the opened store and return a number, a text, a yes
or no (bool), a set, a list (order counts) or a dict of these. They raise
`NotApplicable` (or PlaybookError) where the month has no answer; a missing number says
the same. In the notebook, a cell that needs more than orders begins with `if
lesson.applies(...)`, so that the page runs through all the same. They call the
playbook's own functions, as the chapter does. `solution()` shows the source of `solve`,
so it is a named function that reads well (for a choice, a lambda giving the letter will
do). What several functions of a module share and is slow is computed once per store
with `functools.cache`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from playbook.errors import PlaybookError

__all__ = [
    "CHAPTERS",
    "KINDS",
    "LEVELS",
    "PARTS",
    "Exercise",
    "NotApplicable",
    "Said",
    "Slip",
    "chapter_exercises",
    "every_exercise",
    "find_exercise",
]

# chapter -> (module of playbook.training.exercises, the skill it examines)
CHAPTERS = {
    "welcome": ("welcome", "notebooks and tables"),
    "00": ("start_here", "may the month be used"),
    "01": ("market_research", "market and own growth"),
    "02": ("goal_setting", "goals and their chance"),
    "03": ("channel_roi", "channels and budget"),
    "04": ("cohort_retention", "cohorts and the second order"),
    "05": ("ltv_modelling", "customer value and payback"),
    "06": ("segmentation", "segments and membership"),
    "07": ("inventory_planning", "stock and orders"),
    "08": ("customer_journey", "journey, tests and service"),
    "09": ("recommendations", "recommendations"),
    "10": ("assortment_pricing", "range, prices and promotions"),
    "11": ("monthly_review", "the monthly review"),
}
LEVELS = {"L1": "read", "L2": "run", "L3": "diagnose", "L4": "decide"}
KINDS = (
    "predict",
    "fill",
    "tweak",
    "hunt",
    "decide",
    "thought",
)  # in the order a notebook asks them
PARTS = {
    "definitions": 25,
    "computation": 25,
    "interpretation": 20,
    "decision": 20,
    "communication": 10,
}


class NotApplicable(Exception):
    """This store or month has no answer to the exercise; the message says why."""


class Said(NamedTuple):
    """A text in English and, where there is one, in Chinese."""

    en: str
    zh: str = ""

    def tell(self, language: str) -> str:
        """The text in `en`, `zh` (English where there is no Chinese) or `both`."""
        if language == "both" and self.zh:
            return f"{self.en}\n{self.zh}"
        return self.zh if language == "zh" and self.zh else self.en


NOTHING = Said("")


@dataclass(frozen=True)
class Slip:
    """A known mistake: its name, the value it leads to, and what to say to whoever made
    it.

    `make(shop)` gives the wrong value. Where a slip has no single value (a plan that
    breaks a cap), `matches(shop, answer)` recognises it instead; `make` still gives an
    example, which the tests use.
    """

    name: str
    make: Callable[[Any], Any]
    advice: Said
    matches: Callable[[Any, Any], bool] | None = None


@dataclass(frozen=True)
class Exercise:
    """One question. `number` is chapter.number; `part` is the part of the rubric it
    counts for.

    `solve` is None for a thought question: any text is an answer, the `reveal` shows
    what to compare it with, and the mentor marks it. `choices` (letter -> text) makes
    it a choice, answered with the letter. `accepts(shop, answer)` replaces the
    comparison where many answers are right. `given(shop)` is a table handed to the
    learner. `terms` are words of the glossary. `reveal` is told with a right answer and
    with the solution.
    """

    number: str
    level: str
    kind: str
    part: str
    title: Said
    prompt: Said
    solve: Callable[[Any], Any] | None
    slips: tuple[Slip, ...] = ()
    hints: tuple[Said, ...] = ()
    reveal: Said = NOTHING
    choices: Mapping[str, Said] = field(default_factory=dict)
    accepts: Callable[[Any, Any], bool] | None = None
    given: Callable[[Any], Any] | None = None
    terms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = (
            (self.level, LEVELS),
            (self.kind, KINDS),
            (self.part, PARTS),
            (self.chapter, CHAPTERS),
        )
        for word, words in known:
            if word not in words:
                raise PlaybookError(
                    f"Exercise {self.number}: {word!r} is none of {', '.join(words)}"
                )

    @property
    def chapter(self) -> str:
        """`03` of `03.2`."""
        return self.number.rpartition(".")[0]

    def question(self, language: str = "en") -> str:
        """Title, prompt and choices as plain text."""
        lines = [f"{self.number} · {self.title.tell(language)}", self.prompt.tell(language)]
        return "\n".join(
            lines + [f"  {letter}) {text.tell(language)}" for letter, text in self.choices.items()]
        )


@functools.cache
def chapter_exercises(chapter: str) -> dict[str, Exercise]:
    """Number -> exercise of one chapter (`03`, `welcome`), in order; empty where nobody
    has written any yet.
    """
    if chapter not in CHAPTERS:
        raise PlaybookError(
            f"There are no exercises of chapter {chapter!r}",
            do=f"name one of: {', '.join(CHAPTERS)}",
        )
    name = f"playbook.training.exercises.{CHAPTERS[chapter][0]}"
    if importlib.util.find_spec(name) is None:
        return {}
    found = {e.number: e for e in importlib.import_module(name).EXERCISES}
    if strange := [number for number in found if found[number].chapter != chapter]:
        raise PlaybookError(
            f"{name} numbers an exercise {strange[0]}", do=f"number it {chapter}.1, {chapter}.2 ..."
        )
    return found


def every_exercise() -> dict[str, Exercise]:
    """All exercises of all chapters, in order."""
    return {number: e for chapter in CHAPTERS for number, e in chapter_exercises(chapter).items()}


def find_exercise(number: str) -> Exercise:
    """The exercise of that number; PlaybookError with the numbers there are."""
    chapter = str(number).rpartition(".")[0]
    known = chapter_exercises(chapter) if chapter in CHAPTERS else {}
    if number not in known:
        listed = ", ".join(known) or ", ".join(every_exercise())
        raise PlaybookError(f"There is no exercise {number!r}", do=f"name one of: {listed}")
    return known[number]
