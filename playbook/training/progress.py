"""What a learner has shown so far: exercises, competency by chapter and level, rubric
points, a record to print.

An exercise is *passed* with a right answer. After the solution was shown it counts only
on another store or month, so that a copied answer proves nothing. A thought is noted
until the mentor marks it: passed, or again with words to work on. Definitions and
computation are marked here; interpretation, decisions and communication are marked by
the mentor.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.messages import label, language, say
from playbook.tables import frame_of, returns
from playbook.training.exercise import CHAPTERS, LEVELS, PARTS, every_exercise, find_exercise
from playbook.training.learners import record, records

AUTOMATIC = ("definitions", "computation")
#: of 100, mentor's points included
PASS_POINTS = 70
#: of 25: fewer is a fail in definitions, and no pass whatever the sum
LEAST_DEFINITIONS = 15.0
#: what the state of an answer is called; any other answer is wrong
STATES = {"noted": "noted", "not applicable": "not applicable"}
#: what a mentor may say of a thought
MARKS = ("passed", "again")
N_NEXT = 5
PAGES = Path(__file__).parent
Line = dict[str, Any]


@returns("training.exercise_states")
def exercise_states(done: Sequence[Line]) -> DataFrame:
    """How far every exercise there is has come."""
    rows = []
    for number, exercise in every_exercise().items():
        mine = [line for line in done if line["item"] == number]
        events = [line["event"] for line in mine]
        slips = [line["slip"] for line in mine if line["event"] == "check" and line.get("slip")]
        facts = {name: getattr(exercise, name) for name in ("chapter", "level", "kind", "part")}
        counted = {
            "number": number,
            "title": exercise.title.tell(language()),
            "state": _state(mine),
            "attempts": _tries(mine),
            "hints": events.count("hint"),
            "slips": list(dict.fromkeys(slips)),
            "text": _last(mine, "text"),
            "words": _last(mine, "words"),
            "mentor": _last(mine, "mentor"),
        }
        rows.append(facts | counted)
    return frame_of("training.exercise_states", rows)


def _tries(mine: Iterable[Line]) -> int:
    """Answers handed in until the first right one, that one included."""
    tries = 0
    for line in mine:
        if line["event"] == "check" and line.get("status") != "not applicable":
            tries += 1
            if line.get("status") == "right":
                break
    return tries


def _last(mine: Sequence[Line], name: str) -> str:
    """What was said last under a name; empty where nothing was."""
    return next((line[name] for line in reversed(mine) if line.get(name)), "")


def _state(mine: Iterable[Line]) -> str:
    """The state an exercise's lines leave it in; what was once passed stays passed."""
    shown, state = set(), "open"
    for line in mine:
        place = (line.get("store"), line.get("month"))
        if line["event"] == "solution":
            shown.add(place)
        elif line["event"] == "mark":
            state = line["mark"]
            if state == "passed":
                return state
        elif line["event"] == "check" and line.get("status") == "right":
            if place not in shown:
                return "passed"
            state = "shown"
        elif line["event"] == "check":
            state = STATES.get(line.get("status"), "wrong")
    return state


def competency_matrix(states: DataFrame) -> DataFrame:
    """Chapters that have exercises down, L1 to L4 across: `passed/all`, empty where a
    level has no exercise. A thought counts once the mentor has passed it.
    """
    is_done = states.state == "passed"
    counts = is_done.groupby([states.chapter, states.level]).agg(["sum", "size"]).astype(str)
    cells = (counts["sum"] + "/" + counts["size"]).unstack("level")
    order = [chapter for chapter in CHAPTERS if chapter in cells.index]
    return cells.reindex(index=order, columns=list(LEVELS)).fillna("")


@returns("training.rubric_points")
def rubric_points(states: DataFrame) -> DataFrame:
    """The rubric. Automatic points are the part's most times the share of its exercises
    that are passed.
    """
    of = states.assign(is_passed=states.state == "passed").groupby("part").is_passed
    table = of.agg(passed="sum", exercises="size").reindex(list(PARTS), fill_value=0)
    table = table.rename_axis("part").reset_index()
    table["most"] = table.part.map(PARTS)
    points = table.most * table.passed / table.exercises
    table["points"] = points.where(table.part.isin(AUTOMATIC))
    return frame_of("training.rubric_points", table)


@returns("training.grades")
def grades(done: Sequence[Line]) -> DataFrame:
    """Case files and games, as far as they were handed in."""
    rows = []
    handed_in = [line for line in done if line["event"] == "grade"]
    for item in dict.fromkeys(line["item"] for line in handed_in):
        mine = [line for line in handed_in if line["item"] == item]
        scores = [line["score"] for line in mine if line.get("score") is not None]
        last = mine[-1]
        marks = (last.get("parts") or {}).items()
        row = {name: last.get(name, "") for name in ("item", "title", "store", "month", "note")}
        row |= {
            "tries": len(mine),
            "best": max(scores, default=None),
            "last": last.get("score"),
            "parts": ", ".join(f"{label('record', name)} {score:.0%}" for name, score in marks),
        }
        rows.append(row)
    return frame_of("training.grades", rows)


def status(learner: str) -> dict[str, Any]:
    """Progress as plain values: learner, exercises, matrix (chapter -> level ->
    passed/all), points, grades.
    """
    done = records(learner)
    states = exercise_states(done)
    points = rubric_points(states).astype(object)
    return {
        "learner": learner,
        "exercises": states.to_dict("records"),
        "points": points.where(points.notna(), None).to_dict("records"),
        "matrix": competency_matrix(states).to_dict("index"),
        "grades": grades(done).to_dict("records"),
    }


def status_text(learner: str) -> str:
    """Progress as plain text: the matrix, the automatic points, cases and games, what
    comes next.
    """
    done = records(learner)
    states = exercise_states(done)
    points = rubric_points(states)
    ours = points[points.part.isin(AUTOMATIC)]
    passed, n = int((states.state == "passed").sum()), len(states)
    lines = [say("training.passed", learner=learner, passed=passed, exercises=n)]
    lines += ["", competency_matrix(states).to_string(), ""]
    for row in ours.dropna(subset="points").itertuples():
        part = label("record", row.part)
        lines.append(say("training.points", part=part, points=row.points, most=row.most))
    lines.append(say("training.mentor_marks", points=sum(PARTS.values()) - int(ours.most.sum())))
    handed_in = grades(done)
    if len(handed_in):
        columns = ["item", "tries", "best", "last", "parts"]
        lines += ["", handed_in[columns].to_string(index=False)]
    waits = ", ".join(states.number[states.state == "noted"])
    if waits:
        lines += ["", say("training.waits_for_mentor", numbers=waits)]
    for row in states[states.state == "again"].itertuples():
        lines.append(say("training.again", number=row.number, words=row.words))
    todo = ", ".join(_todo(states)) or say("training.the_capstone")
    return "\n".join([*lines, "", say("training.next", todo=todo)])


def _todo(states: DataFrame) -> list[str]:
    """The next exercises, those first that the mentor wants again."""
    is_open = states.state.isin(["open", "wrong", "shown"])
    again = states.number[states.state == "again"]
    return [*again, *states.number[is_open]][:N_NEXT]


def mark(learner: str, number: str, given: str, *, words: str = "", mentor: str = "") -> None:
    """A mentor's mark of a thought: passed, or again with words. PlaybookError for an
    exercise that is no thought, for one not answered yet, another mark, or an again
    that says nothing.
    """
    exercise = find_exercise(number)
    done = [line for line in records(learner) if line["item"] == number]
    if exercise.solve is not None:
        raise PlaybookError("training.not_the_mentors", number=number)
    if not any(line["event"] == "check" for line in done):
        raise PlaybookError("training.nothing_to_mark", number=number, learner=learner)
    if given not in MARKS:
        raise PlaybookError("training.no_mark", given=given, marks=", ".join(MARKS))
    if given == "again" and not words.strip():
        raise PlaybookError("training.again_needs_words", number=number)
    facts = {"mark": given, "words": words.strip(), "mentor": mentor.strip()}
    record(learner, number, event="mark", chapter=exercise.chapter, **facts)


def record_page(learner: str) -> str:
    """A page to print for the mentor: HTML of its own, no script, nothing loaded from
    elsewhere.
    """
    return _page("record.j2", learner)


def progress_page(learner: str) -> str:
    """The learner's own page: how far, what comes next, what the mentor said, tries. HTML
    of its own, as `record_page`.
    """
    return _page("progress.j2", learner)


def _page(name: str, learner: str) -> str:
    done = records(learner)
    states = exercise_states(done)
    text = (PAGES / name).read_text(encoding="utf-8")
    exercises = every_exercise()
    return (
        Environment(autoescape=True)
        .from_string(text)
        .render(
            learner=learner,
            language=language(),
            days=sorted(str(line.get("at", ""))[:10] for line in done),
            matrix=competency_matrix(states),
            states=states,
            todo=_todo(states),
            title_of={number: one.title.tell(language()) for number, one in exercises.items()},
            model_of={number: one.reveal.tell(language()) for number, one in exercises.items()},
            by_chapter=states.groupby("chapter", sort=False).state.agg(
                passed=lambda state: (state == "passed").sum(), exercises="size"
            ),
            points=rubric_points(states),
            grades=grades(done),
            tried=states[states.state != "open"],
            thoughts=states[(states.kind == "thought") & (states.text != "")],
            pace=say("training.pace"),
            chapters=CHAPTERS,
            levels=LEVELS,
            automatic=AUTOMATIC,
            pass_points=PASS_POINTS,
            least_definitions=LEAST_DEFINITIONS,
            text=_text,
            word=functools.partial(label, "record"),
            cell=_cell,
        )
    )


def _text(name: str, **values: Any) -> str:
    return say(f"training.record_{name}", **values)


def _cell(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
