"""The checker of a training notebook: one lesson, opened on the learner's own store and
month.

A lesson computes what it expects at the moment it is asked; it reads no variable of the
notebook and keeps no answer.
"""

from __future__ import annotations

import datetime as dt
import os
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from playbook.errors import PlaybookError
from playbook.messages import label, speaking
from playbook.store.shop import Store
from playbook.training.compare import difference
from playbook.training.exercise import (
    Exercise,
    NotApplicable,
    Slip,
    chapter_exercises,
    find_exercise,
    said,
)
from playbook.training.form import Form, NotThisKind, agrees, is_missing, plain, read
from playbook.training.glossary import look_up
from playbook.training.learners import learner_file, record, records
from playbook.training.shown_code import runnable
from playbook.training.typed import Unclear

LANGUAGES = ("en", "zh", "both")
#: wrong tries of one exercise after which its hints are named
TRIES_BEFORE_HINT = 2


@dataclass(frozen=True)
class Reply:
    """What the checker says: `status` is not attempted, right, slip, wrong, unclear (two
    readings: asked back), noted, not applicable, or shown for hints, solutions and
    words; `slip` names the known mistake.
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
        # answers that were not right, of this lesson and of the learner's record
        self._tries = Counter(_wrong_tries(self.learner))
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
        kind of difference is told. The record keeps that it was tried, and of a thought
        the text, which the mentor marks; of no other answer what it was.
        """
        exercise = find_exercise(number)
        if answer is ... or (isinstance(answer, str) and answer.strip() in ("...", "…")):
            return self._not_attempted(number)
        reply = self._judged(exercise, answer)
        facts = {"text": str(answer).strip()} if reply.status == "noted" else {}
        if reply.status not in ("unclear", "not attempted"):
            self._keep("check", exercise, status=reply.status, slip=reply.slip, **facts)
        if reply.status in ("wrong", "slip"):
            self._tries[number] += 1
            return self._with_tries(reply, exercise)
        return reply

    def _with_tries(self, reply: Reply, exercise: Exercise) -> Reply:
        """The reply with the number of the try, and from the second on where help is."""
        tries, number = self._tries[exercise.number], exercise.number
        told = self._say("tries", tries=tries)
        if tries >= TRIES_BEFORE_HINT and self._hinted.get(number, 0) < len(exercise.hints):
            told += "; " + self._say("try_a_hint", number=number)
        return Reply(number, reply.status, f"{reply.text}\n({told})", reply.slip)

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
            told = _readable(value, exercise.form)
            if exercise.form.kind == "weekday":
                with speaking("zh" if self.language == "zh" else "en"):
                    told = label("levels", value)
            source = textwrap.indent(runnable(exercise.solve), "    ")
            lines = [f"{self._say('solution')} {told}", reveal]
            lines.append(f"{self._say('computed')}\n{source}")
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
            expected = read(exercise.form, self._value(exercise))
        except NotApplicable as reason:
            return self._not_applicable(number, reason)
        try:
            given = self._read(exercise, expected, answer)
            is_right = self._is_right(exercise, expected, given)
        except NotApplicable as reason:
            return self._not_applicable(number, reason)
        except Unclear as text:
            return self._unclear(number, text)
        # whatever a notebook holds, an answer never ends in an error
        except Exception:
            told = f"{self._say('type')} {exercise.asks.tell(self.language)}"
            return self._reply(number, "wrong", told)
        if is_right:
            told = " ".join(filter(None, [self._say("right"), reveal]))
            return self._reply(number, "right", told)
        for slip in exercise.slips:
            if self._is_slip(exercise.form, slip, expected, given):
                told = slip.advice.tell(self.language) + self._terms(exercise)
                return self._reply(number, "slip", told, slip.name)
        return self._reply(number, "wrong", self._difference(exercise, expected, given))

    def _read(self, exercise: Exercise, expected: Any, answer: Any) -> Any:
        """The answer as its kind; a choice may be answered with its words too. Raises
        Unclear and NotThisKind.
        """
        given = read(exercise.form, answer, _names(expected))
        if not exercise.choices or given in exercise.choices:
            return given
        for letter, words in exercise.choices.items():
            if given in (read(Form("choice"), text) for text in words):
                return letter
        raise NotThisKind(answer)

    def _is_right(self, exercise: Exercise, expected: Any, given: Any) -> bool:
        if exercise.accepts is None:
            return agrees(exercise.form, expected, given)
        # names that were not asked for never reach a condition that reads them
        is_whole = set(given) == set(expected) and None not in given.values()
        return is_whole and exercise.accepts(self.shop, given)

    def _is_slip(self, form: Form, slip: Slip, expected: Any, given: Any) -> bool:
        """A slip that gives the right value on this month is no slip here."""
        try:
            if slip.matches is not None:
                return bool(slip.matches(self.shop, given))
            made = [self._once(make) for make in (slip.make, *slip.others)]
            values = [read(form, value, _names(expected)) for value in made]
        # a mistake that cannot be made here
        except Exception:
            return False
        wrong = [v for v in values if not is_missing(v) and not agrees(form, expected, v)]
        return any(agrees(form, value, given) for value in wrong)

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
                raise NotApplicable.because(refusal) from None
        return self._computed[compute]

    def _difference(self, exercise: Exercise, expected: Any, given: Any) -> str:
        found = difference(exercise.form, expected, given)
        # names are compared without case and told as they stand
        told_as = {str(name).casefold(): str(name) for name in _names(self._value(exercise))}
        if found.kind == "keys":
            return f"{self._say('keys')} {', '.join(told_as.values())}."
        if exercise.accepts is not None and found.kind == "parts":
            return self._say("rule")
        told = self._say(
            found.kind.replace(" ", "_"), names=", ".join(map(told_as.get, found.names))
        )
        if found.kind in ("percent", "digits", "whole"):
            told += f" {exercise.asks.tell(self.language)}"
        return told

    def _unclear(self, number: str, text: Unclear) -> Reply:
        one, other = text.readings[0], text.readings[-1]
        told = self._say("unclear", text=text.text, one=one, other=other)
        return self._reply(number, "unclear", told)

    def _terms(self, exercise: Exercise) -> str:
        entries = [row for t in exercise.terms for row in look_up(t).head(1).itertuples()]
        if not entries:
            return ""
        words = "; ".join(f"{row.english} · {row.chinese}" for row in entries)
        return f"\n({self._say('words')}: {words})"

    def _not_attempted(self, number: str) -> Reply:
        return self._reply(number, "not attempted", self._say("not_attempted"))

    def _not_applicable(self, number: str, reason: NotApplicable) -> Reply:
        told = self._say("not_applicable", why=reason.why.tell(self.language))
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


def _wrong_tries(learner: str) -> list[str]:
    """Numbers of the exercises a learner's record holds wrong answers of, one each."""
    done = records(learner) if learner else []
    return [line["item"] for line in done if line.get("status") in ("wrong", "slip")]


def _names(expected: Any) -> Iterable[str]:
    """The names an answer holds: keys of a table, members of a set or list of texts."""
    return expected if isinstance(expected, (dict, set, list)) else ()


def _readable(value: Any, form: Form) -> str:
    """The value as it may be typed: numbers to the digits asked for."""
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(_readable(one, form) for one in value)) + "}"
    if isinstance(value, dict):
        parts = (f"{key!r}: {_readable(part, form)}" for key, part in value.items())
        return "{" + ", ".join(parts) + "}"
    value = plain(value)
    if isinstance(value, float):
        return f"{value:.{form.digits}f}"
    return repr(str(value)) if isinstance(value, dt.date) else repr(value)
