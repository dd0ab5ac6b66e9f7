"""Every exercise of a shop done as a page has it: its cells run in order, the expected value is
right (also rounded to the digits asked for), each slip is told apart or gives the right value
here, every hint's code runs when pasted, and so does the solution's, which gives the value.
"""

import ast
import json
import re

import matplotlib as mpl

from playbook.errors import PlaybookError
from playbook.training import Lesson, NotApplicable
from playbook.training.course import training_notebooks
from playbook.training.exercise import chapter_exercises
from playbook.training.form import NUMBERS, agrees, is_missing, read

LEFT_OUT = "left out"
CODE = re.compile(r"[()\[\]=<>*/+]|^(from|import) ")
CHINESE = re.compile(r"[一-鿿]")


def chapter_of(path):
    return "welcome" if path.stem == "00_welcome" else path.stem[:2]


def rounded(form, value):
    """The value as somebody types it who reads the question."""
    if isinstance(value, dict):
        return {name: rounded(form.inner, one) for name, one in value.items()}
    if isinstance(value, float) and form.kind in NUMBERS and form.kind != "count":
        return round(value, form.digits)
    return value


def pasted(text):
    """The spans of a hint that are code; names of columns and patterns with dots are not."""
    for span in re.findall(r"`([^`]+)`", text):
        if CODE.search(span) and "..." not in span:
            yield span


def run_hints(exercise, space):
    """Paste the code of every hint, one after the other; what goes wrong."""
    for hint in exercise.hints:
        for told in hint:
            for span in pasted(told):
                try:
                    exec(span, space)
                except Exception as error:
                    yield f"hint {span!r}: {type(error).__name__} {error}"


def run_solution(lesson, exercise, expected):
    """Paste the code the solution shows; what goes wrong."""
    text = lesson.solution(exercise.number).text
    _, is_computed, rest = text.partition("\n    ")
    if not is_computed:
        return
    lines = [line.removeprefix("    ") for line in ("    " + rest).split("\n")]
    code = ast.parse("\n".join(line for line in lines if not line.startswith("(")))
    space = {"shop": lesson.shop}
    last = ast.Expression(code.body.pop().value)
    try:
        exec(compile(code, "solution", "exec"), space)
        value = eval(compile(last, "solution", "eval"), space)
    except Exception as error:
        yield f"solution: {type(error).__name__} {error}"
        return
    if not agrees(exercise.form, expected, read(exercise.form, value)):
        yield f"solution: its code gives {value!r}"


def run_slips(lesson, exercise, expected):
    """Each slip gets its own advice, or gives the right value, or cannot be made here."""
    for slip in exercise.slips:
        try:
            wrong = read(exercise.form, slip.make(lesson.shop))
        except (
            NotApplicable,
            PlaybookError,
            LookupError,
            ZeroDivisionError,
            TypeError,
            ValueError,
        ):
            continue
        if is_missing(wrong) or (slip.matches is None and agrees(exercise.form, expected, wrong)):
            continue
        reply = lesson.check(exercise.number, wrong)
        if reply.status not in ("slip", "right"):
            yield f"slip {slip.name!r}: {reply.text}"


def run_exercise(lessons, exercise, space):
    """What goes wrong with one exercise; a left-out exercise gives its reason alone."""
    number, english = exercise.number, lessons["en"]
    if exercise.solve is None:
        replies = {name: one.check(number, "because") for name, one in lessons.items()}
        wrong = [reply.text for reply in replies.values() if reply.status != "noted"]
        return [*wrong, *run_hints(exercise, space)]
    try:
        expected = read(exercise.form, english.expected(number))
    except NotApplicable as reason:
        told = lessons["zh"].check(number, 1).text
        is_told = reason.why.zh in told and CHINESE.search(reason.why.zh)
        return [f"{LEFT_OUT}: {reason}"] + ["no Chinese reason"] * (not is_told)
    typed = rounded(exercise.form, expected)
    wrong = [
        f"{name} {answer!r}: {reply.text}"
        for name, one in lessons.items()
        for answer in (expected, typed)
        if (reply := one.check(number, answer)).status != "right"
    ]
    wrong += run_slips(english, exercise, expected)
    wrong += run_hints(exercise, space)
    wrong += run_solution(english, exercise, expected)
    for said in (lessons["zh"].hint(number), lessons["zh"].solution(number)):
        wrong += [f"no Chinese: {said.text}"] * (not CHINESE.search(said.text))
    return wrong


def run_page(path, shop):
    """Number -> what goes wrong, of one training notebook on an opened shop."""
    chapter = chapter_of(path)
    lessons = {name: Lesson(chapter, shop, language=name) for name in ("en", "zh")}
    lessons["zh"]._computed = lessons["en"]._computed
    names = ("check", "hint", "solution", "glossary", "given")
    space = dict(zip(names, lessons["en"].tools, strict=True))
    space |= {"lesson": lessons["en"], "shop": shop, "display": lambda *shown: None}
    found, mpl.rcParams["backend"] = {}, "agg"
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or "= start(" in source or "# Take away" in source:
            continue
        asked = re.search(r'check\("([\w.]+)", answer\)', source)
        if asked:
            exercise = chapter_exercises(chapter)[asked[1]]
            found[asked[1]] = run_exercise(lessons, exercise, dict(space))
        else:
            exec(source, space)
    return found


def run_shop(shop, chapters=()):
    """Number -> what goes wrong, of every training notebook (or those of some chapters)."""
    found = {}
    for path in training_notebooks():
        if not chapters or chapter_of(path) in chapters:
            found |= run_page(path, shop)
    return found
