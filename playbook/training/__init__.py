"""Learning the job: exercises checked on the learner's own store and month, case files,
and the shop game.

    from playbook.training import start

    lesson = start("03", store="demo", month="2026-10", learner="ann")
    check, hint, solution, glossary, given = lesson.tools

    answer = ...               # not attempted; never an error
    check("03.2", answer)      # right, or what kind of mistake it is
    hint("03.2")               # one hint more each time
    solution("03.2")           # the value, and the code that computes it
    glossary("cohort")         # the word in English and Chinese

    # has this store and month a table for it? Says why where it has not
    if lesson.applies("03.2"):
        account = given("03.2")

Nothing is bound in the notebook, no answer is stored anywhere: the expected value is
computed when it is asked for. Results go to one file per learner
(`playbook.training.learners`); case files and the shop game store theirs with
`record(...)` of the same module.
"""

from playbook.training.checker import Lesson, Reply, start
from playbook.training.exercise import (
    Exercise,
    NotApplicable,
    Said,
    Slip,
    chapter_exercises,
    every_exercise,
)
from playbook.training.learners import learner_file, record, records

__all__ = [
    "Exercise",
    "Lesson",
    "NotApplicable",
    "Reply",
    "Said",
    "Slip",
    "chapter_exercises",
    "every_exercise",
    "learner_file",
    "record",
    "records",
    "start",
]
