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
from typing import TYPE_CHECKING, Any

from playbook.errors import PlaybookError
from playbook.training.compare import difference, is_missing, plain, same
from playbook.training.exercise import (
    Exercise,
    NotApplicable,
    Said,
    Slip,
    chapter_exercises,
    find_exercise,
)
from playbook.training.glossary import look_up
from playbook.training.learners import record

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["LANGUAGES", "Lesson", "Reply", "start"]

LANGUAGES = ("en", "zh", "both")
OPEN = Said("not attempted", "尚未作答")
WORDS = {
    "right": Said("right.", "正确。"),
    "noted": Said("noted for your mentor. Compare with this:", "已记录，由带教老师评阅。请对照："),
    "n/a": Said("not applicable this month", "本月不适用"),
    "choice": Said("answer with one of the letters", "请用选项字母作答："),
    "type": Said("not yet: another kind of value is asked for,", "还不对：答案的类型应为"),
    "missing": Said("not yet: the answer is a missing value.", "还不对：答案是缺失值。"),
    "sign": Said("not yet: the sign is the other way round.", "还不对：正负号相反。"),
    "magnitude": Said(
        "not yet: the order of magnitude is off. A share or a percentage? One row or all of them?",
        "还不对：数量级不对。检查比例与百分数、单行与合计。",
    ),
    "size": Said(
        "not yet: the kind, sign and order of magnitude are right, the value is not.",
        "还不对：类型、正负号和数量级都对，数值不对。",
    ),
    "keys": Said(
        "not yet: the names in the answer are not those asked for:", "还不对：答案中的名称应为"
    ),
    "too few": Said(
        "not yet: all that is there belongs there, and something is missing.",
        "还不对：列出的都对，但有遗漏。",
    ),
    "too many": Said(
        "not yet: everything asked for is there, and something too many.",
        "还不对：该有的都有，但多列了。",
    ),
    "other items": Said(
        "not yet: something in it does not belong, and something is missing.",
        "还不对：有多列的，也有遗漏的。",
    ),
    "order": Said("not yet: the right things in another order.", "还不对：内容对，顺序不对。"),
    "text": Said("not yet: another one.", "还不对：请重新考虑。"),
    "rule": Said(
        "not yet: the answer breaks a condition of the question.", "还不对：答案不满足题目的条件。"
    ),
    "no hint": Said(
        'no more hints. `solution("{n}")` shows the way.',
        '没有更多提示。用 `solution("{n}")` 查看解法。',
    ),
    "hint": Said("hint", "提示"),
    "solution": Said("the answer on this store and month:", "本店本月的答案："),
    "thought": Said(
        "there is no number here; a good answer says:", "此题没有数值答案；好的回答应包括："
    ),
    "computed": Said("It is computed by:", "计算方法："),
    "no word": Said("the glossary has no such word", "词汇表中没有这个词"),
    "words": Said("words", "词汇"),
    "who": Said("results are kept in", "成绩保存在"),
    "nobody": Said("no learner is named: results are not kept", "未填写学员姓名：不保存成绩"),
}
KIND_NAMES = {
    bool: Said("yes or no (True or False)", "是或否（True 或 False）"),
    int: Said("a number", "数字"),
    float: Said("a number", "数字"),
    str: Said("a text in quotes", "带引号的文本"),
    set: Said('a set, such as {"a", "b"}', '集合，如 {"a", "b"}'),
    list: Said('a list, such as ["a", "b"]', '列表，如 ["a", "b"]'),
    dict: Said('a dict, such as {"a": 1}', '字典，如 {"a": 1}'),
}


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
        self.chapter, self.shop, self.learner, self.language = (
            chapter,
            shop,
            learner.strip(),
            language,
        )
        self.exercises = chapter_exercises(chapter)
        self._hinted: dict[str, int] = {}
        self._computed: dict[Callable, Any] = {}  # values already asked for, gone with the lesson

    def __repr__(self) -> str:
        from playbook.training.learners import learner_file

        shop = self.shop
        kept = (
            f"{self._say('who')} {learner_file(self.learner)}"
            if self.learner
            else self._say("nobody")
        )
        return f"{shop.name} {shop.month} ({shop.currency}), {len(self.exercises)} × {self.chapter}\n{kept}"

    @property
    def tools(self) -> tuple[Callable, ...]:
        """check, hint, solution, glossary, given: to be unpacked in the notebook."""
        return self.check, self.hint, self.solution, self.glossary, self.given

    def expected(self, number: str) -> Any:
        """The value the solution gives here; NotApplicable where there is none. None
        for a thought question.
        """
        return self._value(find_exercise(number), find_exercise(number).solve)

    def question(self, number: str) -> Reply:
        """The question once more, in the lesson's language."""
        return self._shown(number, find_exercise(number).question(self.language))

    def given(self, number: str) -> Any:
        """A copy of the table an exercise hands to the learner, who may change it;
        PlaybookError for an exercise that hands out none, or where this store cannot
        make it.
        """
        exercise = find_exercise(number)
        if exercise.given is None:
            raise PlaybookError(f"Exercise {number} comes with no table of its own")
        try:
            table = exercise.given(self.shop)
        except NotApplicable as reason:
            raise PlaybookError(f"Exercise {number} has no table here: {reason}") from None
        return table.copy() if hasattr(table, "copy") else table

    def applies(self, number: str) -> bool:
        """Can the exercise be worked on here? Where it cannot, says why, so that a page
        runs through on any store.
        """
        exercise = find_exercise(number)
        try:
            self._once(exercise.given or exercise.solve)
        except (NotApplicable, PlaybookError) as reason:
            print(f"{number}: {self._say('n/a')}. {reason}")
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
            return Reply(number, "not attempted", f"{number}: {OPEN.tell(self.language)}")
        reply = self._judged(exercise, answer)
        self._keep("check", exercise, status=reply.status, slip=reply.slip)
        return reply

    def hint(self, number: str) -> Reply:
        """The next hint, one more each time."""
        exercise, told = find_exercise(number), self._hinted.get(number, 0)
        if told >= len(exercise.hints):
            return self._shown(number, f"{number}: " + self._say("no hint").replace("{n}", number))
        self._hinted[number] = told + 1
        self._keep("hint", exercise, n=told + 1)
        heading = f"{number} · {self._say('hint')} {told + 1}/{len(exercise.hints)}: "
        return self._shown(number, heading + exercise.hints[told].tell(self.language))

    def solution(self, number: str) -> Reply:
        """The value on this store and month, why, and the code that computes it. The
        learner's record says it was shown; the exercise counts again on another month
        or store.
        """
        exercise = find_exercise(number)
        self._keep("solution", exercise)
        if exercise.solve is None:
            told = f"{number}: {self._say('thought')} {exercise.reveal.tell(self.language)}"
            return self._shown(number, told + self._terms(exercise))
        try:
            value = self.expected(number)
        except NotApplicable as reason:
            return Reply(number, "not applicable", f"{number}: {self._say('n/a')}. {reason}")
        chosen = exercise.choices.get(value) if isinstance(value, str) else None
        told = f"{value}) {chosen.tell(self.language)}" if chosen else _readable(value)
        lines = [f"{number}: {self._say('solution')} {told}", exercise.reveal.tell(self.language)]
        if chosen is None:
            lines.append(
                f"{self._say('computed')}\n{textwrap.indent(_source(exercise.solve), '    ')}"
            )
        return self._shown(
            number, "\n".join(line for line in lines if line) + self._terms(exercise)
        )

    def glossary(self, word: str = "") -> Reply:
        """A word in English and Chinese; without one, the words of this chapter's
        exercises.
        """
        words = [word] if word else sorted({t for e in self.exercises.values() for t in e.terms})
        lines = [
            f"{row.english} · {row.chinese}"
            + (f": {row.meaning}" if getattr(row, "meaning", "") else "")
            for one in words
            for row in look_up(one).head(8 if word else 1).itertuples()
        ]
        return self._shown(
            word, "\n".join(dict.fromkeys(lines)) or f"{self._say('no word')}: {word}"
        )

    def _judged(self, exercise: Exercise, answer: Any) -> Reply:
        number = exercise.number
        if exercise.solve is None:
            if not str(answer).strip():
                return Reply(number, "not attempted", f"{number}: {OPEN.tell(self.language)}")
            told = f"{number}: {self._say('noted')} {exercise.reveal.tell(self.language)}"
            return Reply(number, "noted", told + self._terms(exercise))
        try:
            expected = self._value(exercise, exercise.solve)
            is_right = (
                exercise.accepts(self.shop, answer)
                if exercise.accepts and _is_kind(expected, answer)
                else not exercise.accepts and same(expected, answer)
            )
        except NotApplicable as reason:
            return Reply(number, "not applicable", f"{number}: {self._say('n/a')}. {reason}")
        if is_right:
            told = " ".join(
                filter(
                    None, [f"{number}: {self._say('right')}", exercise.reveal.tell(self.language)]
                )
            )
            return Reply(number, "right", told)
        letters = [plain(letter) for letter in exercise.choices]
        if letters and not any(same(letter, answer) for letter in letters):
            return Reply(
                number, "wrong", f"{number}: {self._say('choice')} {', '.join(exercise.choices)}"
            )
        for slip in exercise.slips:
            if self._is_slip(exercise, slip, expected, answer):
                told = f"{number}: {slip.advice.tell(self.language)}"
                return Reply(number, "slip", told + self._terms(exercise), slip.name)
        return Reply(number, "wrong", f"{number}: {self._difference(exercise, expected, answer)}")

    def _is_slip(self, exercise: Exercise, slip: Slip, expected: Any, answer: Any) -> bool:
        """A slip that gives the right value on this month is no slip here."""
        try:
            if slip.matches is not None:
                return bool(slip.matches(self.shop, answer))
            value = self._once(slip.make)
            return not is_missing(value) and not same(expected, value) and same(value, answer)
        except (
            NotApplicable,
            PlaybookError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
        ):
            return False

    def _value(self, exercise: Exercise, compute: Callable[[Any], Any] | None) -> Any:
        if compute is None:
            return None
        try:
            if exercise.given is not None:
                self._once(exercise.given)  # no table, no answer
            value = self._once(compute)
        except PlaybookError as reason:
            raise NotApplicable(str(reason)) from None
        if is_missing(value):
            raise NotApplicable(
                f"{exercise.number} has no value on {self.shop.name} {self.shop.month}."
            )
        return value

    def _once(self, compute: Callable[[Any], Any]) -> Any:
        if compute not in self._computed:
            self._computed[compute] = compute(self.shop)
        return self._computed[compute]

    def _difference(self, exercise: Exercise, expected: Any, answer: Any) -> str:
        kind = difference(expected, answer)
        if exercise.accepts is not None and kind not in ("type", "keys", "missing"):
            kind = "rule"
        told = self._say(kind)
        if kind == "type":
            told += f" {KIND_NAMES[type(plain(expected))].tell(self.language)}."
        if kind == "keys":
            told += f" {', '.join(map(str, expected))}."
        return told

    def _terms(self, exercise: Exercise) -> str:
        known = [
            row.english + " · " + row.chinese
            for t in exercise.terms
            for row in look_up(t).head(1).itertuples()
        ]
        return f"\n({self._say('words')}: {'; '.join(known)})" if known else ""

    def _shown(self, number: str, text: str) -> Reply:
        return Reply(number, "shown", text)

    def _say(self, key: str) -> str:
        return WORDS[key].tell(self.language)

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

    chosen = language or os.environ.get("PLAYBOOK_LANG", "") or "en"
    if chosen not in LANGUAGES:
        raise PlaybookError(
            f"{chosen!r} is not a language of the training", do="use en, zh or both"
        )
    chapter_exercises(chapter)
    shop = open_store(store, until=month or None)
    return Lesson(
        chapter, shop, learner=learner or os.environ.get("PLAYBOOK_LEARNER", ""), language=chosen
    )


def _is_kind(expected: Any, answer: Any) -> bool:
    """An answer of another kind than the expected one never reaches a condition that
    reads its parts.
    """
    return difference(expected, answer) not in ("type", "missing", "keys")


def _readable(value: Any) -> str:
    value = plain(value)
    if isinstance(value, set):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_readable(part)}" for key, part in value.items()) + "}"
    return (
        f"{value:,.6g}"
        if isinstance(value, float) and abs(value) < 1e6
        else (f"{value:,.2f}" if isinstance(value, float) else repr(value))
    )


def _source(function: Callable) -> str:
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(function))).rstrip()
    except (OSError, TypeError):
        return ""
