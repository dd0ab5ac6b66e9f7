"""The prose of notebooks in Chinese: beside each text cell's English, its Chinese, in one file
per notebook (`notebooks/zh/<name>.yaml`, training's in `notebooks/training/zh`).

An entry is found by a digest of the English text it translates (`of`), so that a text that was
changed shows in English until its Chinese is brought up to date; a test demands that every text
has its own. `python -m playbook.translation` prints what is missing or left over. The comments
of code cells (what a parameter is) stand in `notebooks/zh/comments.yaml`, English -> Chinese,
what the cells of the training print in `notebooks/training/zh/printed.yaml`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from playbook.messages import language, read_yaml
from playbook.places import shipped

#: what of a digest is written: enough for a few hundred texts
DIGITS = 8
#: the file of texts that several notebooks of a folder have
COMMON = "common"
#: cells that come from the exercises, which have their own two languages
EXERCISE = "**Exercise "
#: a comment of a line of code, and what stands before it
COMMENTED = re.compile(r"(?m)^(.*?)(?<!\S)# (.+)$")
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
#: how much of the English text stands in an entry for whoever reads the file
FIRST_WORDS = 60


def digest(text: str) -> str:
    """The name of a text: eight hex digits of what it says, spaces at its ends aside."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:DIGITS]


def translations(notebook: Path) -> dict[str, str]:
    """Digest of an English text -> its Chinese, for one notebook, texts that several have
    (`common.yaml`) included; empty without files.
    """
    folder = notebook.parent / "zh"
    paths = [path for name in (COMMON, notebook.stem) if (path := folder / f"{name}.yaml").exists()]
    return {entry["of"]: entry["zh"] for path in paths for entry in read_yaml(path)}


def in_language(cells: list[Any], notebook: Path) -> list[Any]:
    """The cells of a notebook with their texts and the comments of their code in the
    language in use; code stays. What has no Chinese form stays as it is.
    """
    known = translations(notebook) if language() == "zh" else {}
    said, spoken = (comments(), printed(notebook)) if known else ({}, {})
    for cell in cells:
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(source)
        found = known.get(digest(text)) if cell["cell_type"] == "markdown" else None
        if cell["cell_type"] == "code" and said:
            found = COMMENTED.sub(lambda line: f"{line[1]}# {said.get(line[2], line[2])}", text)
            found = LITERAL.sub(lambda one: f'"{spoken.get(one[1], one[1])}"', found)
        if found:
            is_text = isinstance(source, str)
            cell["source"] = found if is_text else found.splitlines(keepends=True)
    return cells


@functools.cache
def comments() -> dict[str, str]:
    """Comment of a code cell -> its Chinese."""
    return read_yaml(shipped("notebooks") / "zh" / "comments.yaml")


@functools.cache
def printed(notebook: Path) -> dict[str, str]:
    """What code cells of this notebook's folder print -> its Chinese; empty without a file."""
    path = notebook.parent / "zh" / "printed.yaml"
    return read_yaml(path) if path.exists() else {}


def account(notebook: Path) -> tuple[list[str], list[str]]:
    """The English texts of a notebook that have no Chinese, and the digests of its file
    that no text has any more.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    texts = [text for text in texts if not text.startswith(EXERCISE)]
    known = translations(notebook)
    missing = [text for text in texts if digest(text) not in known]
    own = set(known) - set(translations(notebook.with_stem(COMMON)))
    return missing, sorted(own - {digest(text) for text in texts})


def notebooks() -> list[Path]:
    """Every notebook whose prose is translated, chapters first."""
    folders = (shipped("notebooks"), shipped("notebooks", "training"))
    return [path for folder in folders for path in sorted(folder.glob("*.ipynb"))]


def main() -> int:
    """Print entries to fill in for texts without Chinese; returns 1 where any is."""
    status = 0
    for notebook in notebooks():
        missing, left_over = account(notebook)
        if missing or left_over:
            status = 1
            print(f"# {notebook.stem}: no text has {', '.join(left_over) or 'nothing left over'}")
        entries = [
            {
                "of": digest(text),
                "en": text.strip()[:FIRST_WORDS],
                "zh": text,
            }
            for text in missing
        ]
        if entries:
            print(
                yaml.safe_dump(
                    entries,
                    allow_unicode=True,
                    sort_keys=False,
                    width=100,
                )
            )
    return status


if __name__ == "__main__":
    sys.exit(main())
