"""A learner's own copies of the training notebooks, with name, store and month filled
in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError
from playbook.training.checker import LANGUAGES
from playbook.training.learners import learner_file, record

__all__ = ["AFTERWARDS", "start_course", "training_notebooks"]

AFTERWARDS = ("case_files.ipynb", "shop_game.ipynb")  # once the chapters are known


def _folder() -> Path:
    beside = Path(__file__).resolve().parents[2] / "notebooks" / "training"
    return beside if beside.is_dir() else Path("notebooks/training").resolve()


def training_notebooks() -> list[Path]:
    """The exercise notebooks in the order of the course, the welcome first."""
    found = [p for p in _folder().glob("*.ipynb") if re.match(r"\d\d_", p.name)]
    return sorted(found, key=lambda p: (p.name[:2], p.stem != "00_welcome", p.name))


def start_course(
    learner: str, store: str, month: str | None, into: Path, *, lang: str = "en"
) -> tuple[Path, list[str]]:
    """Copy the exercises, the case files and the shop game to
    `into/training-<learner>/` and note the start; returns the folder and the file names
    in the order of the course. A copy that is there stays as it is. PlaybookError for
    an unknown store, month, language or a name without letters.
    """
    from playbook.store import open_store

    if lang not in LANGUAGES:
        raise PlaybookError(f"{lang!r} is not a language of the training", do="use en, zh or both")
    paths = training_notebooks()
    if not paths:
        raise PlaybookError(
            "There are no training notebooks here", do="run from the project's folder"
        )
    paths += [path for name in AFTERWARDS if (path := _folder() / name).exists()]
    folder = into / f"training-{learner_file(learner).stem}"
    shop = open_store(store, until=month)
    where = str(Path(store).resolve()) if "://" not in store and Path(store).is_dir() else store
    filled = {
        "month": shop.month,
        "store": where,
        "learner": " ".join(learner.split()),
        "language": lang,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target = folder / path.name
        if not target.exists():
            notebook = with_parameters(json.loads(path.read_text(encoding="utf-8")), filled)
            target.write_text(
                json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    record(learner, "course", event="start", store=shop.name, month=shop.month)
    return folder, [p.name for p in paths]


def with_parameters(notebook: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """The notebook with the text parameters of its tagged cell set to `values`."""
    for cell in notebook["cells"]:
        if "parameters" not in cell.get("metadata", {}).get("tags", []):
            continue
        text = "".join(cell["source"])
        for name, value in values.items():
            literal = json.dumps(value, ensure_ascii=False)
            text = re.sub(
                rf"(?m)^({name}: str = ).*?(  #.*)?$",
                lambda m, v=literal: m[1] + v + (m[2] or ""),
                text,
            )
        cell["source"] = text.splitlines(keepends=True)
    return notebook
