"""What a learner has shown so far: exercises, competency by chapter and level, rubric
points, a record to print.

An exercise is *passed* with a right answer. After the solution was shown it counts only
on another store or month, so that a copied answer proves nothing. Definitions and
computation are marked here; interpretation, decisions and communication are marked by
the mentor.
"""

from __future__ import annotations

import html
from typing import Any

import pandas as pd

from playbook.training.exercise import CHAPTERS, LEVELS, PARTS, every_exercise
from playbook.training.learners import records

__all__ = [
    "AUTOMATIC",
    "LEAST_DEFINITIONS",
    "PACE",
    "PASS_POINTS",
    "competency_matrix",
    "exercise_states",
    "grades",
    "record_page",
    "rubric_points",
    "status",
    "status_text",
]

AUTOMATIC = ("definitions", "computation")
PASS_POINTS = 70  # of 100, mentor's points included
LEAST_DEFINITIONS = 15.0  # of 25: fewer is a fail in definitions, and no pass whatever the sum

PACE = (
    "L1 of every notebook within two weeks; L2 and L3 of your own area within thirty days, checked off with your "
    "mentor every week"
)
MARKED = {
    "definitions": "checked by the exercises",
    "computation": "checked by the exercises",
    "interpretation": "with its caveats: maturity, denominator, mix",
    "decision": "specific, sized, owner, date, stop rule",
    "communication": "one page that somebody without time understands",
}
CAPSTONE = (
    "The review of a month not seen before: its decisions.csv and one page of the learner's own, marked by the "
    "rubric."
)


def exercise_states(done: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per exercise there is: number, chapter, level, kind, part, title, state,
    attempts, hints, slips (names, distinct, in order).

    States: passed, shown (right only where the solution had been shown), wrong, noted
    (a thought, for the mentor), not applicable, open.
    """
    rows = []
    for number, exercise in every_exercise().items():
        mine = [one for one in done if one["item"] == number]
        checks = [one for one in mine if one["event"] == "check"]
        shown, state = set(), "open"
        for one in mine:
            place = (one.get("store"), one.get("month"))
            if one["event"] == "solution":
                shown.add(place)
            elif one["event"] == "check" and state != "passed":
                state = {
                    "right": "shown" if place in shown else "passed",
                    "noted": "noted",
                    "not applicable": "not applicable",
                }.get(one.get("status"), "wrong")
        slips = list(dict.fromkeys(one["slip"] for one in checks if one.get("slip")))
        rows.append(
            (
                number,
                exercise.chapter,
                exercise.level,
                exercise.kind,
                exercise.part,
                exercise.title.en,
                state,
                len(checks),
                sum(one["event"] == "hint" for one in mine),
                slips,
            )
        )
    return pd.DataFrame(
        rows,
        columns=[
            "number",
            "chapter",
            "level",
            "kind",
            "part",
            "title",
            "state",
            "attempts",
            "hints",
            "slips",
        ],
    )


def competency_matrix(states: pd.DataFrame) -> pd.DataFrame:
    """Chapters that have exercises down, L1 to L4 across: `passed/all`, empty where a
    level has no exercise. Thought questions count once they are noted.
    """
    scored = states.assign(ok=states.state.isin(["passed", "noted"]))
    counts = scored.groupby(["chapter", "level"]).ok.agg(["sum", "size"])
    cells = (counts["sum"].astype(str) + "/" + counts["size"].astype(str)).unstack("level")
    order = [chapter for chapter in CHAPTERS if chapter in cells.index]
    return cells.reindex(index=order, columns=list(LEVELS)).fillna("")


def rubric_points(states: pd.DataFrame) -> pd.DataFrame:
    """One row per part of the rubric: part, most, points (missing where the mentor
    marks), passed, exercises.

    Automatic points are the part's most times the share of its exercises that are
    passed.
    """
    rows = []
    for part, most in PARTS.items():
        mine = states[states.part == part]
        passed = int((mine.state == "passed").sum())
        is_ours = part in AUTOMATIC and len(mine) > 0
        rows.append((part, most, most * passed / len(mine) if is_ours else None, passed, len(mine)))
    return pd.DataFrame(rows, columns=["part", "most", "points", "passed", "exercises"]).astype(
        {"points": float}
    )


def grades(done: list[dict[str, Any]]) -> pd.DataFrame:
    """Case files and games, one row per item: item, title, store, month, tries, best,
    last (scores), parts of the last try, note.
    """
    rows = []
    kept = [one for one in done if one["event"] == "grade"]
    for item in dict.fromkeys(one["item"] for one in kept):
        mine = [one for one in kept if one["item"] == item]
        scores = [one["score"] for one in mine if one.get("score") is not None]
        last = mine[-1]
        parts = ", ".join(
            f"{name} {score:.0%}" for name, score in (last.get("parts") or {}).items()
        )
        rows.append(
            (
                item,
                last.get("title", ""),
                last.get("store", ""),
                last.get("month", ""),
                len(mine),
                max(scores, default=None),
                last.get("score"),
                parts,
                last.get("note", ""),
            )
        )
    return pd.DataFrame(
        rows, columns=["item", "title", "store", "month", "tries", "best", "last", "parts", "note"]
    )


def status(learner: str) -> dict[str, Any]:
    """Progress as plain values: learner, exercises, matrix (chapter -> level ->
    passed/all), points, grades.
    """
    done = records(learner)
    states = exercise_states(done)
    points = rubric_points(states).astype(object).where(lambda f: f.notna(), None)
    return {
        "learner": learner,
        "exercises": states.to_dict("records"),
        "points": points.to_dict("records"),
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
    n_passed = int((states.state == "passed").sum())
    lines = [
        f"{learner}: {n_passed} of {len(states)} exercises passed",
        "",
        competency_matrix(states).to_string(),
        "",
    ]
    lines += [
        f"{row.part}: {row.points:.1f} of {row.most}"
        for row in ours.itertuples()
        if row.points == row.points
    ]
    lines.append(f"the mentor marks the other {sum(PARTS.values()) - int(ours.most.sum())} points")
    marked = grades(done)
    if len(marked):
        lines += ["", marked[["item", "tries", "best", "last", "parts"]].to_string(index=False)]
    todo = states[states.state.isin(["open", "wrong", "shown"])]
    last = "the capstone, at the end of 11_monthly_review"
    lines += ["", "next: " + (", ".join(todo.number.head(5)) if len(todo) else last)]
    return "\n".join(lines)


def record_page(learner: str) -> str:
    """A page to print for the mentor: HTML of its own, no script, nothing loaded from
    elsewhere.
    """
    done = records(learner)
    states = exercise_states(done)
    points, marked = rubric_points(states), grades(done)
    matrix = competency_matrix(states)
    skills = {chapter: f"{chapter} {skill}" for chapter, (_, skill) in CHAPTERS.items()}
    rubric = [
        (
            row.part,
            MARKED[row.part],
            row.most,
            f"{row.points:.1f}" if row.points == row.points else "",
            f"{row.passed} of {row.exercises} exercises",
        )
        for row in points.itertuples()
    ]
    tried = states[states.state != "open"]
    days = sorted(str(one.get("at", ""))[:10] for one in done)
    sections = [
        f"<h1>Training record of {html.escape(learner)}</h1>",
        f"<p>From {days[0]} to {days[-1]}, {len(done)} entries.</p>"
        if days
        else "<p>Nothing done yet.</p>",
        "<h2>Competency: exercises passed of all</h2>",
        _table(
            ["skill", *(f"{level} {name}" for level, name in LEVELS.items())],
            [
                (skills[chapter], *row)
                for chapter, row in zip(matrix.index, matrix.to_numpy(), strict=True)
            ],
        ),
        "<h2>Rubric</h2>",
        _table(
            ["part", "looks at", "most", "points", "evidence"],
            [*rubric, ("sum", "", sum(PARTS.values()), "", "")],
        ),
        f"<p>Empty points are the mentor's to fill. Pass: {PASS_POINTS} points, and at least {LEAST_DEFINITIONS:g} in "
        "definitions.</p>",
        "<h2>Course</h2>",
        f"<p>{PACE}.</p>",
        _table(
            ["check-off", "date", "what was shown", "mentor"],
            [(f"week {n}", "", "", "") for n in range(1, 5)],
        ),
        f"<p>Capstone. {CAPSTONE}</p>",
        _table(
            ["month", "handed in on", "interpretation", "decision", "communication"],
            [("", "", "", "", "")],
        ),
        "<h2>Cases and games</h2>" if len(marked) else "",
        _table(list(marked.columns), marked.fillna("").itertuples(index=False))
        if len(marked)
        else "",
        "<h2>Exercises</h2>",
        _table(
            [
                "exercise",
                "title",
                "level",
                "kind",
                "part",
                "state",
                "attempts",
                "hints",
                "slips made",
            ],
            [
                (
                    r.number,
                    r.title,
                    r.level,
                    r.kind,
                    r.part,
                    r.state,
                    r.attempts,
                    r.hints,
                    ", ".join(r.slips),
                )
                for r in tried.itertuples()
            ],
        )
        if len(tried)
        else "<p>None answered yet.</p>",
        "<p class=sign>Mentor: ____________________ &nbsp; Date: ______________ &nbsp; Points: ________</p>",
    ]
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8><title>Training record</title><style>"
        "body{font:14px/1.5 system-ui,'Noto Sans CJK SC',sans-serif;margin:2rem auto;max-width:60rem}"
        "table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{border:1px solid #999;padding:.2rem .6rem;"
        "text-align:left}th{background:#eee}.sign{margin-top:3rem}@media print{body{margin:0}}</style>\n"
        + "\n".join(part for part in sections if part)
        + "\n</html>\n"
    )


def _table(columns: list[str], rows: Any) -> str:
    head = "".join(f"<th scope=col>{html.escape(str(c))}</th>" for c in columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(v))}</td>" for v in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
