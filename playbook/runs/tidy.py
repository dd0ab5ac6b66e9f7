"""Execute the notebooks as they stand, keep only the text that tests compare: `python
-m playbook.runs.tidy [04 ...]`.

A committed notebook holds outputs of cells tagged `nbval-check-output` and no others;
the same code and data give the same bytes, so that a run leaves no difference behind.
Without numbers the tables of data/CONTRACT.md and METRICS.md are written too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from playbook.measures.metrics import metrics_markdown
from playbook.runs.execute import execute_notebook
from playbook.runs.folders import write_text
from playbook.runs.plan import notebook_paths, notebooks_folder
from playbook.store.contract import contract_markdown

__all__ = ["main", "tidied"]

CHECKED = "nbval-check-output"


def main(words: list[str] | None = None) -> int:
    """Tidy the notebooks named by number (all when none is); returns 1 when one fails,
    and leaves that one alone.
    """
    words = sys.argv[1:] if words is None else words
    folder = notebooks_folder()
    paths = notebook_paths(folder)
    lessons = sorted((folder / "training").glob("[0-9][0-9]_*.ipynb"))
    paths |= {f"training/{path.stem}": path for path in lessons}
    status = 0
    for name, path in paths.items():
        if words and not any(Path(name).name.startswith(w) or name == w for w in words):
            continue
        status |= _tidy(name, path)
    if not words:
        _write_dictionaries(folder.parent / "data")
    return status


def _tidy(name: str, path: Path) -> int:
    """Execute one notebook and write it tidied; 1 when it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "executed.ipynb"
        outcome = execute_notebook(
            path,
            target,
            {},
            folder=path.parent,
        )
        if outcome.status == "failed":
            where = f"cell {outcome.cell} ({outcome.section})"
            print(f"{name}: {where}: {outcome.error}\n{outcome.traceback}")
            return 1
        text = tidied(json.loads(target.read_text(encoding="utf-8")))
    is_changed = text != path.read_text(encoding="utf-8")
    if is_changed:
        write_text(path, text)
    print(f"{name}: {outcome.seconds:.1f} s, {'tidied' if is_changed else 'unchanged'}")
    return 0


def _write_dictionaries(data: Path) -> None:
    """The tables of CONTRACT.md and METRICS.md, under their heads written by hand."""
    for name, text in (("CONTRACT.md", contract_markdown()), ("METRICS.md", metrics_markdown())):
        path = data / name
        by_hand = path.read_text(encoding="utf-8").partition(text[: text.index("\n")])[0]
        write_text(path, by_hand + text)


def tidied(notebook: dict[str, Any]) -> str:
    """The notebook's text with text outputs of checked cells only, and no metadata but
    tags.
    """
    cells = []
    for cell in notebook["cells"]:
        tags = [t for t in cell.get("metadata", {}).get("tags", []) if t]
        if "injected-parameters" in tags:
            continue
        kept = {
            "cell_type": cell["cell_type"],
            "id": cell["id"],
            "metadata": {"tags": tags} if tags else {},
        }
        if cell["cell_type"] == "code":
            is_checked = CHECKED in tags
            kept["execution_count"] = cell.get("execution_count") if is_checked else None
            kept["outputs"] = _joined(cell.get("outputs", [])) if is_checked else []
        cells.append(kept | {"source": cell["source"]})
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    whole = {
        "cells": cells,
        "metadata": metadata,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (
        json.dumps(
            whole,
            indent=1,
            ensure_ascii=False,
            sort_keys=True,
        )
        + "\n"
    )


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The texts of a cell; what is printed in one go is one output, however it was
    sent.
    """
    out: list[dict[str, Any]] = []
    for one in filter(None, map(_text_only, outputs)):
        if out and one["output_type"] == out[-1]["output_type"] == "stream":
            out[-1] = one | {
                "text": "".join([*out[-1]["text"], *one["text"]]).splitlines(keepends=True)
            }
        else:
            out.append(one)
    return out


def _text_only(output: dict[str, Any]) -> dict[str, Any] | None:
    if output["output_type"] == "stream":
        return output if output["name"] == "stdout" else None
    if "text/plain" not in output.get("data", {}):
        return None
    return output | {"data": {"text/plain": output["data"]["text/plain"]}}


if __name__ == "__main__":
    sys.exit(main())
