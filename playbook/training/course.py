"""A learner's own copies of the training notebooks, with name, store and month filled
in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError
from playbook.messages import speaking
from playbook.places import shipped
from playbook.store import open_store
from playbook.store.open import as_parameter
from playbook.training.checker import LANGUAGES
from playbook.training.exercise import find_exercise
from playbook.training.learners import learner_file, record
from playbook.translation import in_language

#: once the chapters are known
AFTERWARDS = ("case_files.ipynb", "shop_game.ipynb")


def _folder() -> Path:
    return shipped("notebooks", "training")


def training_notebooks() -> list[Path]:
    """The exercise notebooks in the order of the course, the welcome first."""
    paths = _folder().glob("[0-9][0-9]_*.ipynb")
    return sorted(paths, key=lambda path: (path.name[:2], path.stem != "00_welcome", path.name))


def start_course(
    learner: str, store: str, month: str | None, into: Path, *, lang: str = "en"
) -> tuple[Path, list[str]]:
    """Copy the exercises, the case files and the shop game to
    `into/training-<learner>/` and note the start; returns the folder and the file names
    in the order of the course. A copy that is there stays as it is. PlaybookError for
    an unknown store, month, language or a name without letters.
    """
    if lang not in LANGUAGES:
        raise PlaybookError("training.no_such_language", language=lang)
    paths = training_notebooks()
    if not paths:
        raise PlaybookError("training.no_notebooks")
    afterwards = (_folder() / name for name in AFTERWARDS)
    paths += [path for path in afterwards if path.exists()]
    folder = into / f"training-{learner_file(learner).stem}"
    shop = open_store(store, until=month)
    parameters = {
        "month": shop.month,
        "store": as_parameter(store),
        "learner": " ".join(learner.split()),
        "language": lang,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target = folder / path.name
        if not target.exists():
            notebook = json.loads(path.read_text(encoding="utf-8"))
            if lang != "en":
                _translate(notebook["cells"], path, lang)
            filled = with_parameters(notebook, parameters)
            text = json.dumps(filled, indent=1, ensure_ascii=False)
            target.write_text(text + "\n", encoding="utf-8")
    record(learner, "course", event="start", store=shop.name, month=shop.month)
    return folder, [path.name for path in paths]


def _translate(cells: list[dict[str, Any]], path: Path, lang: str) -> None:
    """The prose from its translations (`both`: after the English), the questions from
    the exercises themselves.
    """
    english = ["".join(cell["source"]) for cell in cells]
    with speaking("zh"):
        in_language(cells, path)
    for cell, text in zip(cells, english, strict=True):
        is_prose = cell["cell_type"] == "markdown"
        asked = re.match(r"\*\*Exercise (\S+) ·", text)
        told = "".join(cell["source"])
        if asked:
            told = find_exercise(asked[1]).cell(lang)
        elif lang == "both" and is_prose and told != text:
            told = f"{text}\n\n{told}"
        cell["source"] = told.splitlines(keepends=True)


def with_parameters(notebook: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """The notebook with the text parameters of its tagged cell set to `values`."""

    def filled(line: re.Match) -> str:
        value = json.dumps(values[line["name"]], ensure_ascii=False)
        return f"{line['name']}: str = {value}{line['note'] or ''}"

    names = "|".join(values)
    for cell in notebook["cells"]:
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            text = "".join(cell["source"])
            text = re.sub(rf"(?m)^(?P<name>{names}): str = .*?(?P<note>  #.*)?$", filled, text)
            cell["source"] = text.splitlines(keepends=True)
    return notebook
