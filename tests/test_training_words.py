"""The words of the exercises: both languages everywhere, the notebook's question word for
word, and nothing written or computed that has no counterpart.
"""

import ast
import json
import re

import pytest

from playbook.errors import PlaybookError
from playbook.messages import read_yaml
from playbook.training.course import training_notebooks
from playbook.training.exercise import (
    CHAPTERS,
    KINDS,
    LEVELS,
    NOTHING,
    PARTS,
    Answers,
    NotApplicable,
    bound,
    chapter_exercises,
    every_exercise,
)

NUMBERS = list(every_exercise())
each_exercise = pytest.mark.parametrize("number", NUMBERS)


def sentences(exercise):
    yield from (exercise.title, exercise.prompt, *exercise.hints, *exercise.choices.values())
    yield from (slip.advice for slip in exercise.slips)
    if exercise.reveal != NOTHING:
        yield exercise.reveal


@pytest.mark.parametrize(
    "path", sorted(training_notebooks()[0].parents[2].glob("playbook/training/exercises/*.yaml"))
)
def test_every_sentence_of_an_exercise_is_said_in_both_languages(path):
    """Names and code may be the same in both; sentences have Chinese words."""
    for number in read_yaml(path):
        for said in sentences(every_exercise()[number]):
            assert said.en and said.zh, (number, said)
            words = re.sub(r"`[^`]*`", "", said.en)
            is_sentence = re.search(r"[a-z]{3,} [a-z]{2,}", words)
            assert not is_sentence or re.search(r"[一-鿿]", said.zh), (number, said)


def questions_in_the_notebook(exercise):
    """The cell of an English page and that of a page in both languages."""
    yield exercise.cell("en")
    head = (
        f"**Exercise {exercise.number} · {exercise.title.en}** ({exercise.level}, {exercise.kind})"
    )
    both = [f"- **{letter}** {text.en} · {text.zh}" for letter, text in exercise.choices.items()]
    parts = [head, exercise.prompt.en, "\n".join(both), exercise.prompt.zh]
    yield "\n\n".join(filter(None, parts))


@each_exercise
def test_the_notebook_asks_in_the_words_of_the_yaml_and_in_no_others(number):
    whole = "\n".join(path.read_text(encoding="utf-8") for path in training_notebooks())
    assert whole.count(f"**Exercise {number} ·") == 1
    cells = [
        "".join(cell["source"])
        for path in training_notebooks()
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    assert any(cell in cells for cell in questions_in_the_notebook(every_exercise()[number]))


def test_the_prose_of_the_exercises_stands_in_no_module(root):
    folder = root / "playbook" / "training" / "exercises"
    for path in folder.glob("*.yaml"):
        module = path.with_suffix(".py").read_text(encoding="utf-8")
        for exercise in bound_exercises(path.stem):
            for said in (exercise.prompt, *(slip.advice for slip in exercise.slips)):
                assert said.en not in module, exercise.number


def bound_exercises(name):
    from importlib import import_module

    return import_module(f"playbook.training.exercises.{name}").EXERCISES


def test_every_reason_that_does_not_apply_exists(root):
    """NotApplicable names a message, as an error does."""
    for path in sorted((root / "playbook" / "training").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NotApplicable":
                name = node.args[0]
                if path.with_suffix(".yaml").exists() or path.parent.name == "training":
                    assert isinstance(name, ast.Constant), f"{path.name}:{node.lineno}"
                    assert name.value.startswith("training."), f"{path.name}:{node.lineno}"


def test_a_function_without_words_and_words_without_an_answer_are_refused():
    right = {e.number: Answers(e.solve) for e in bound_exercises("welcome") if not e.choices}
    with pytest.raises(PlaybookError, match=r"welcome\.99"):
        bound("welcome", {**right, "welcome.99": Answers(len)})
    with pytest.raises(PlaybookError, match="never heard of"):
        bound("welcome", {**right, "welcome.1": Answers(len, slips={"never heard of": len})})
    with pytest.raises(PlaybookError, match=r"rows shown|columns counted"):
        bound("welcome", right)
    with pytest.raises(PlaybookError, match="solve"):
        bound("welcome", {})


@each_exercise
def test_an_exercise_names_a_level_a_kind_and_a_part_there_are(number):
    exercise = every_exercise()[number]
    assert exercise.level in LEVELS and exercise.kind in KINDS and exercise.part in PARTS


@pytest.mark.parametrize("chapter", list(CHAPTERS))
def test_exercises_are_numbered_by_their_chapter_from_one_on(chapter):
    numbers = [f"{chapter}.{n}" for n in range(1, len(chapter_exercises(chapter)) + 1)]
    assert numbers and list(chapter_exercises(chapter)) == numbers


def test_why_an_exercise_does_not_apply_is_known_in_both_languages():
    why = NotApplicable("training.few_orders").why
    assert "fewer than twenty orders" in why.en and "订单" in why.zh


def test_a_question_is_told_in_the_language_of_the_lesson():
    exercise = every_exercise()["05.1"]
    english, chinese = exercise.question("en"), exercise.question("zh")
    assert english.startswith("05.1 · P(alive)") and "  c) nine in ten" in english
    assert exercise.prompt.zh in chinese and "Nearly all" not in chinese
    assert all(text in exercise.question("both") for text in exercise.prompt)
