"""The checker of a training notebook: one lesson, opened on the learner's own store and
month.

A lesson computes what it expects at the moment it is asked; it reads no variable of the
notebook and keeps no answer.
"""

from __future__ import annotations

import inspect
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playbook.errors import PlaybookError
from playbook.store.shop import Store
from playbook.training.compare import difference, is_missing, plain, same
from playbook.training.exercise import (
    Exercise,
    NotApplicable,
    Slip,
    chapter_exercises,
    find_exercise,
    said,
)
from playbook.training.glossary import look_up
from playbook.training.learners import learner_file, record

LANGUAGES = ("en", "zh", "both")


@dataclass(frozen=True)
class Reply:
    """What the checker says: `status` is not attempted, right, slip, wrong, noted, not
    applicable, or shown for hints, solutions and words; `slip` names the known mistake.
    """

    number: str
    status: str
    text: str
    slip: str = ""

    def __repr__(self) -> str:
        return self.text


class Lesson:
    """One chapter's exercises on one opened store. `tools` are the functions a notebook
    uses.
    """

    def __init__(
        self, chapter: str, shop: Store, *, learner: str = "", language: str = "en"
    ) -> None:
        self.chapter, self.shop = chapter, shop
        self.learner, self.language = learner.strip(), language
        self.exercises = chapter_exercises(chapter)
        self._hinted: dict[str, int] = {}
        # values already asked for, gone with the lesson
        self._computed: dict[Callable, Any] = {}

    def __repr__(self) -> str:
        shop, kept = self.shop, self._say("nobody")
        if self.learner:
            kept = f"{self._say('who')} {learner_file(self.learner)}"
        where = f"{shop.name} {shop.month} ({shop.currency})"
        return f"{where}, {len(self.exercises)} × {self.chapter}\n{kept}"

    @property
    def tools(self) -> tuple[Callable, ...]:
        """check, hint, solution, glossary, given: to be unpacked in the notebook."""
        return self.check, self.hint, self.solution, self.glossary, self.given

    def expected(self, number: str) -> Any:
        """The value the solution gives here; NotApplicable where there is none. None
        for a thought question.
        """
        return self._value(find_exercise(number))

    def question(self, number: str) -> Reply:
        """The question once more, in the lesson's language."""
        return Reply(number, "shown", find_exercise(number).question(self.language))

    def given(self, number: str) -> Any:
        """A copy of the table an exercise hands to the learner, who may change it;
        PlaybookError for an exercise that hands out none, or where this store cannot
        make it.
        """
        exercise = find_exercise(number)
        if exercise.given is None:
            raise PlaybookError("training.no_table", number=number)
        try:
            table = exercise.given(self.shop)
        except NotApplicable as reason:
            raise PlaybookError(
                "training.no_table_here", number=number, reason=reason.why.tell(self.language)
            ) from None
        return table.copy() if hasattr(table, "copy") else table

    def applies(self, number: str) -> bool:
        """Can the exercise be worked on here? Where it cannot, says why, so that a page
        runs through on any store.
        """
        exercise = find_exercise(number)
        try:
            self._once(exercise.given or exercise.solve)
        except NotApplicable as reason:
            print(self._not_applicable(number, reason))
            return False
        return True

    def check(self, number: str, answer: Any = ...) -> Reply:
        """Is the answer right on this store and month? Never raises for what the answer
        is.

        `...` is not attempted. A known mistake gets its own advice; otherwise only the
        kind of difference is told.
        """
        exercise = find_exercise(number)
        if answer is ... or (isinstance(answer, str) and answer.strip() in ("...", "…")):
            return self._not_attempted(number)
        reply = self._judged(exercise, answer)
        self._keep("check", exercise, status=reply.status, slip=reply.slip)
        return reply

    def hint(self, number: str) -> Reply:
        """The next hint, one more each time."""
        exercise = find_exercise(number)
        told, n_hints = self._hinted.get(number, 0), len(exercise.hints)
        if told >= n_hints:
            return self._reply(number, "shown", self._say("no_hint", number=number))
        self._hinted[number] = told + 1
        self._keep("hint", exercise, n=told + 1)
        heading = f"{number} · {self._say('hint')} {told + 1}/{n_hints}: "
        return Reply(number, "shown", heading + exercise.hints[told].tell(self.language))

    def solution(self, number: str) -> Reply:
        """The value on this store and month, why, and the code that computes it. The
        learner's record says it was shown; the exercise counts again on another month
        or store.
        """
        exercise = find_exercise(number)
        self._keep("solution", exercise)
        reveal = exercise.reveal.tell(self.language)
        if exercise.solve is None:
            told = f"{self._say('thought')} {reveal}{self._terms(exercise)}"
            return self._reply(number, "shown", told)
        try:
            value = self.expected(number)
        except NotApplicable as reason:
            return self._not_applicable(number, reason)
        chosen = exercise.choices.get(value) if isinstance(value, str) else None
        if chosen:
            lines = [f"{self._say('solution')} {value}) {chosen.tell(self.language)}", reveal]
        else:
            source = textwrap.indent(_source(exercise.solve), "    ")
            computed = f"{self._say('computed')}\n{source}"
            lines = [f"{self._say('solution')} {_readable(value)}", reveal, computed]
        told = "\n".join(filter(None, lines))
        return self._reply(number, "shown", told + self._terms(exercise))

    def glossary(self, word: str = "") -> Reply:
        """A word in English and Chinese; without one, the words of this chapter's
        exercises.
        """
        words = [word] if word else sorted({t for e in self.exercises.values() for t in e.terms})
        entries = [row for w in words for row in look_up(w).head(8 if word else 1).itertuples()]
        lines = [
            f"{row.english} · {row.chinese}" + (f": {row.meaning}" if row.meaning else "")
            for row in entries
        ]
        told = "\n".join(dict.fromkeys(lines)) or f"{self._say('no_word')}: {word}"
        return Reply(word, "shown", told)

    def _judged(self, exercise: Exercise, answer: Any) -> Reply:
        number, reveal = exercise.number, exercise.reveal.tell(self.language)
        if exercise.solve is None:
            if not str(answer).strip():
                return self._not_attempted(number)
            told = f"{self._say('noted')} {reveal}{self._terms(exercise)}"
            return self._reply(number, "noted", told)
        try:
            expected = self._value(exercise)
            is_right = self._is_right(exercise, expected, answer)
        except NotApplicable as reason:
            return self._not_applicable(number, reason)
        if is_right:
            told = " ".join(filter(None, [self._say("right"), reveal]))
            return self._reply(number, "right", told)
        choices = exercise.choices
        if choices and not any(same(plain(letter), answer) for letter in choices):
            return self._reply(number, "wrong", f"{self._say('choice')} {', '.join(choices)}")
        for slip in exercise.slips:
            if self._is_slip(slip, expected, answer):
                told = slip.advice.tell(self.language) + self._terms(exercise)
                return self._reply(number, "slip", told, slip.name)
        return self._reply(number, "wrong", self._difference(exercise, expected, answer))

    def _is_right(self, exercise: Exercise, expected: Any, answer: Any) -> bool:
        if exercise.accepts is None:
            return same(expected, answer)
        # an answer of another kind never reaches a condition that reads its parts
        is_kind = difference(expected, answer) not in ("type", "missing", "keys")
        return is_kind and exercise.accepts(self.shop, answer)

    def _is_slip(self, slip: Slip, expected: Any, answer: Any) -> bool:
        """A slip that gives the right value on this month is no slip here."""
        try:
            if slip.matches is not None:
                return bool(slip.matches(self.shop, answer))
            value = self._once(slip.make)
            return not is_missing(value) and not same(expected, value) and same(value, answer)
        # an answer can be anything a notebook holds
        except Exception:
            return False

    def _value(self, exercise: Exercise) -> Any:
        if exercise.solve is None:
            return None
        if exercise.given is not None:
            # no table, no answer
            self._once(exercise.given)
        value = self._once(exercise.solve)
        if is_missing(value):
            raise NotApplicable(
                "training.no_value",
                number=exercise.number,
                shop=self.shop.name,
                month=self.shop.month,
            )
        return value

    def _once(self, compute: Callable[[Store], Any]) -> Any:
        """The value, computed once; NotApplicable also where the store refuses it."""
        if compute not in self._computed:
            try:
                self._computed[compute] = compute(self.shop)
            except PlaybookError as refusal:
                raise NotApplicable("training.refused", reason=refusal) from None
        return self._computed[compute]

    def _difference(self, exercise: Exercise, expected: Any, answer: Any) -> str:
        kind = difference(expected, answer)
        if kind == "type":
            value = said(f"training.value_{type(plain(expected)).__name__}")
            return f"{self._say('type')} {value.tell(self.language)}."
        if kind == "keys":
            return f"{self._say('keys')} {', '.join(map(str, expected))}."
        if exercise.accepts is not None and kind != "missing":
            return self._say("rule")
        return self._say(kind.replace(" ", "_"))

    def _terms(self, exercise: Exercise) -> str:
        entries = [row for t in exercise.terms for row in look_up(t).head(1).itertuples()]
        if not entries:
            return ""
        words = "; ".join(f"{row.english} · {row.chinese}" for row in entries)
        return f"\n({self._say('words')}: {words})"

    def _not_attempted(self, number: str) -> Reply:
        return self._reply(number, "not attempted", self._say("not_attempted"))

    def _not_applicable(self, number: str, reason: NotApplicable) -> Reply:
        told = f"{self._say('not_applicable')}. {reason.why.tell(self.language)}"
        return self._reply(number, "not applicable", told)

    def _reply(self, number: str, status: str, told: str, slip: str = "") -> Reply:
        return Reply(number, status, f"{number}: {told}", slip)

    def _say(self, name: str, **values: Any) -> str:
        return said(f"training.reply_{name}", **values).tell(self.language)

    def _keep(self, event: str, exercise: Exercise, **facts: Any) -> None:
        if self.learner:
            record(
                self.learner,
                exercise.number,
                event=event,
                chapter=exercise.chapter,
                level=exercise.level,
                part=exercise.part,
                store=self.shop.name,
                month=self.shop.month,
                **facts,
            )


def start(
    chapter: str,
    *,
    store: str = "demo",
    month: str | None = None,
    learner: str = "",
    language: str = "",
) -> Lesson:
    """Open a lesson on a store (demo, a folder, an address) and month (the last
    complete one when left out).

    `learner` names whose record is kept; empty takes PLAYBOOK_LEARNER, and without that
    nothing is kept. `language` is en, zh or both; empty takes PLAYBOOK_LANG, else en.
    PlaybookError for an unknown chapter, store, month or language.
    """
    from playbook.store import open_store

    language = language or os.environ.get("PLAYBOOK_LANG") or "en"
    check_language(language)
    chapter_exercises(chapter)
    shop = open_store(store, until=month or None)
    learner = learner or os.environ.get("PLAYBOOK_LEARNER", "")
    return Lesson(chapter, shop, learner=learner, language=language)


def check_language(name: str) -> None:
    """PlaybookError for a language the training does not speak."""
    if name not in LANGUAGES:
        raise PlaybookError("training.unknown_language", language=name)


def _readable(value: Any) -> str:
    value = plain(value)
    if isinstance(value, set):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_readable(part)}" for key, part in value.items()) + "}"
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
    return repr(value)


def _source(function: Callable) -> str:
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(function))).rstrip()
    except (OSError, TypeError):
        return ""
