"""What an exercise is, and where the exercises of a chapter are found.

The words of a chapter's exercises stand in `exercises/<name>.yaml`, by number; what is
computed stands in the module beside it:

    "01.2":
      level: L2
      kind: fill
      part: computation
      form: number 3            # how the answer is asked for: see form.py
      title: {en: ..., zh: ...}
      prompt: {en: ..., zh: ...}
      slips:                    # known mistakes, and what to say to whoever made one
        percent: {en: ..., zh: ...}
        one seller: {answer: 1, en: ..., zh: ...}
      hints: [{en: ..., zh: ...}]
      reveal: {en: ..., zh: ...}
      terms: [concentration (HHI)]

    EXERCISES = bound(
        "market_research",
        {"01.2": Answers(hhi, slips={"percent": hhi_of_percent}, given=sellers)},
    )

`choices` (letter -> words) makes it a choice, the kind `thought` a text; every other
exercise says its `form`. An `answer` written in the YAML, of the exercise or of a slip,
needs no function, and an exercise that needs none is not named in the module. `figures`
names the metrics of the dictionary (`data/METRICS.md`) that an exercise shows or asks
for: a test holds them to the figures the chapters report for the month.

`solve` and what makes a slip take the opened store and return a number, a text, a yes
or no (bool), a set, a list (order counts) or a dict of these. They raise
`NotApplicable` (or PlaybookError) where the month has no answer; a missing number says
the same. In the notebook, a cell that needs more than orders begins with `if
lesson.applies(...)`, so that the page runs through all the same. They call the
playbook's own functions, as the chapter does. `solution()` shows the source of `solve`,
so it is a named function that reads well. What several functions of a module share and
is slow is computed once per store with `functools.cache`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from playbook.errors import PlaybookError
from playbook.messages import LANGUAGES, forms, label, language, read_yaml, speaking
from playbook.store.shop import Store
from playbook.training.form import Form, form_of

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
# in the order a notebook asks them
KINDS = ("predict", "fill", "tweak", "hunt", "decide", "thought")
# part of the rubric -> its points
PARTS = {
    "definitions": 25,
    "computation": 25,
    "interpretation": 20,
    "decision": 20,
    "communication": 10,
}
# a value made from the opened store, and a judgement of an answer on it
Compute = Callable[[Store], Any]
Judge = Callable[[Store, Any], bool]


class Said(NamedTuple):
    """A text in English and, where there is one, in Chinese."""

    en: str
    zh: str = ""

    def tell(self, language: str) -> str:
        """The text in `en`, `zh` (English where there is no Chinese) or `both`."""
        if language == "both" and self.zh:
            return f"{self.en}\n{self.zh}"
        return self.zh if language == "zh" and self.zh else self.en


def said(message: str, /, **values: Any) -> Said:
    """A message of `playbook.messages` in both languages, its values filled in."""
    form = forms(message)
    return Said(form["en"].format(**values), form["zh"].format(**values))


class NotApplicable(Exception):
    """This store or month has no answer to the exercise; the message, an id of
    `playbook.messages`, says why.
    """

    def __init__(self, message: str, /, **values: Any) -> None:
        super().__init__(message)
        self.why = said(message, **values)

    @classmethod
    def because(cls, refusal: PlaybookError) -> NotApplicable:
        """The store refuses it; its reason is told anew in both languages."""
        told = []
        for name in LANGUAGES:
            with speaking(name):
                told.append(str(type(refusal)(refusal.id, **refusal.values)))
        reason = cls("training.refused", reason="")
        reason.why = Said(*told)
        return reason

    def __str__(self) -> str:
        return self.why.tell(language())


NOTHING = Said("")


@dataclass(frozen=True)
class Slip:
    """A known mistake: its name, the value it leads to, and what to say to whoever made
    it.

    `make(shop)` gives the wrong value, `others` values that are as wrong. Where a slip
    has no single value (a plan that breaks a cap), `matches(shop, answer)` recognises
    the answer as `form.read` gave it; `make` still gives an example, which the tests use.
    """

    name: str
    make: Compute
    advice: Said
    matches: Judge | None = None
    others: tuple[Compute, ...] = ()


@dataclass(frozen=True)
class Exercise:
    """One question. `number` is chapter.number; `part` is the part of the rubric it
    counts for.

    `solve` is None for a thought question: any text is an answer, the `reveal` shows
    what to compare it with, and the mentor marks it. `form` says how the answer is asked
    for. `choices` (letter -> text) makes it a choice, answered with the letter.
    `accepts(shop, answer)` replaces the comparison where many answers are right.
    `given(shop)` is a table handed to the learner. `terms` are words of the glossary,
    `figures` the metrics of the dictionary it is about -> their value on a shop.
    `reveal` is told with a right answer and with the solution.
    """

    number: str
    level: str
    kind: str
    part: str
    title: Said
    prompt: Said
    solve: Compute | None
    form: Form
    slips: tuple[Slip, ...] = ()
    hints: tuple[Said, ...] = ()
    reveal: Said = NOTHING
    choices: Mapping[str, Said] = field(default_factory=dict)
    accepts: Judge | None = None
    given: Compute | None = None
    terms: tuple[str, ...] = ()
    figures: Mapping[str, Compute] = field(default_factory=dict)

    @property
    def chapter(self) -> str:
        """`03` of `03.2`."""
        return self.number.rpartition(".")[0]

    def cell(self, language: str = "en") -> str:
        """The question as a notebook's text cell."""
        word = said("training.exercise_heading", number=self.number).tell(language)
        choices = [f"- **{letter}** {text.tell(language)}" for letter, text in self.choices.items()]
        with speaking("zh" if language == "zh" else "en"):
            kind = label("record", self.kind)
        head = f"**{word} · {self.title.tell(language)}** ({self.level}, {kind})"
        parts = [head, self.prompt.tell(language), "\n".join(choices), self.asks.tell(language)]
        return "\n\n".join(filter(None, parts))

    @property
    def asks(self) -> Said:
        """How to answer: what kind of value, and to how many digits."""
        return asked(self.form)

    def question(self, language: str = "en") -> str:
        """Title, prompt and choices as plain text."""
        lines = [f"{self.number} · {self.title.tell(language)}", self.prompt.tell(language)]
        lines += [f"  {letter}) {text.tell(language)}" for letter, text in self.choices.items()]
        return "\n".join([*lines, self.asks.tell(language)])


def asked(form: Form) -> Said:
    """How an answer of this form is to be written, with an example."""
    kinds = [form.kind, form.of] if form.of else [form.kind]
    is_whole = kinds[-1] in ("money", "number") and not form.digits
    name = "_".join(["asks", *kinds, *["whole"] * is_whole])
    example = 0.29314 if kinds[-1] == "share" else 12.3456
    return said(
        f"training.{name}",
        digits=form.digits,
        example=f"{example:.{form.digits}f}",
        percent=f"{100 * example:.{max(form.digits - 2, 0)}f} %",
    )


@dataclass(frozen=True)
class Pattern:
    """A slip without a single value: an example of it, and how it is recognised."""

    make: Compute
    matches: Judge | None = None
    others: tuple[Compute, ...] = ()


def either(*makes: Compute) -> Pattern:
    """A slip with several values, each as wrong; the first is the example."""
    return Pattern(makes[0], others=makes[1:])


@dataclass(frozen=True)
class Answers:
    """What is computed of one exercise; the fields are those of `Exercise`. A slip is
    the function that makes its value, or a `Pattern`.
    """

    solve: Compute | None = None
    slips: Mapping[str, Compute | Pattern] = field(default_factory=dict)
    given: Compute | None = None
    accepts: Judge | None = None
    figures: Mapping[str, Compute] = field(default_factory=dict)


def bound(name: str, answers: Mapping[str, Answers]) -> tuple[Exercise, ...]:
    """The exercises of `exercises/<name>.yaml`, in its order, with what is computed.

    PlaybookError where one has no answer, or a function belongs to no words.
    """
    words = read_yaml(Path(__file__).parent / "exercises" / f"{name}.yaml")
    if strange := set(answers) - set(words):
        raise PlaybookError("training.words_missing", name=name, parts=sorted(strange))
    return tuple(
        _exercise(number, entry, answers.get(number, Answers())) for number, entry in words.items()
    )


def _exercise(number: str, entry: Mapping[str, Any], answers: Answers) -> Exercise:
    slips = entry.get("slips", {})
    if strange := set(answers.slips) - set(slips):
        raise PlaybookError("training.words_missing", name=number, parts=sorted(strange))
    solve = answers.solve or _written(entry)
    if solve is None and entry["kind"] != "thought":
        raise PlaybookError("training.no_answer", number=number, part="solve")
    return Exercise(
        number,
        **{name: entry[name] for name in ("level", "kind", "part")},
        title=Said(**entry["title"]),
        prompt=Said(**entry["prompt"]),
        solve=solve,
        form=_form(number, entry),
        slips=tuple(_slip(number, name, slips[name], answers.slips.get(name)) for name in slips),
        hints=tuple(Said(**hint) for hint in entry["hints"]),
        reveal=Said(**entry.get("reveal", {"en": ""})),
        choices={letter: Said(**text) for letter, text in entry.get("choices", {}).items()},
        accepts=answers.accepts,
        given=answers.given,
        terms=tuple(entry.get("terms", ())),
        figures=answers.figures,
    )


def _form(number: str, entry: Mapping[str, Any]) -> Form:
    """The form the YAML names; that of a choice or a thought needs no name."""
    implied = "choice" if "choices" in entry else entry["kind"]
    if "form" not in entry and implied not in ("choice", "thought"):
        raise PlaybookError("training.no_answer", number=number, part="form")
    return form_of(entry.get("form", implied))


def _slip(number: str, name: str, entry: Mapping[str, Any], made: Compute | Pattern | None) -> Slip:
    advice = Said(entry["en"], entry["zh"])
    if isinstance(made, Pattern):
        return Slip(name, made.make, advice, made.matches, made.others)
    make = made or _written(entry)
    if make is None:
        raise PlaybookError("training.no_answer", number=number, part=name)
    return Slip(name, make, advice)


def _written(entry: Mapping[str, Any]) -> Compute | None:
    """The answer that stands in the YAML, as a function of the store."""
    if "answer" not in entry:
        return None
    return lambda shop: entry["answer"]


@functools.cache
def chapter_exercises(chapter: str) -> dict[str, Exercise]:
    """Number -> exercise of one chapter (`03`, `welcome`), in order."""
    if chapter not in CHAPTERS:
        raise PlaybookError(
            "training.unknown_chapter", chapter=chapter, chapters=", ".join(CHAPTERS)
        )
    name = f"playbook.training.exercises.{CHAPTERS[chapter][0]}"
    return {e.number: e for e in importlib.import_module(name).EXERCISES}


def every_exercise() -> dict[str, Exercise]:
    """All exercises of all chapters, in order."""
    return {number: e for chapter in CHAPTERS for number, e in chapter_exercises(chapter).items()}


def find_exercise(number: str) -> Exercise:
    """The exercise of that number; PlaybookError with the numbers there are."""
    chapter = str(number).rpartition(".")[0]
    known = chapter_exercises(chapter) if chapter in CHAPTERS else {}
    if number not in known:
        numbers = ", ".join(known or every_exercise())
        raise PlaybookError("training.unknown_exercise", number=number, numbers=numbers)
    return known[number]
