"""The documentation site, built from what is there: `python docs/build_site.py [MONTH FOLDER]`.

The pages under `docs/` are copied, the chapters are taken with their pictures from a month that
was run (`runs/demo/<month>` unless a folder is given), the reference comes from the docstrings.
Any warning of the builder stops it. Needs `pip install -e '.[docs]'`.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import TagRemovePreprocessor

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "site"
#: rooms whose public functions an analyst calls
ROOMS = ("store", "measures", "forecasting", "methods", "chapters", "runs")


def main(words: list[str]) -> int:
    """Write the pages and build; gives the builder's exit status."""
    month = Path(words[0]) if words else _newest_month()
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    for page in sorted((ROOT / "docs").glob("*.md")):
        shutil.copy(page, PAGES / page.name)
    for picture in sorted((ROOT / "docs").glob("*.png")):
        shutil.copy(picture, PAGES / picture.name)
    shutil.copy(ROOT / "docs" / "llms.txt", PAGES / "llms.txt")
    _copy_contributing()
    chapters = _chapter_pages(month)
    modules = _reference_pages()
    print(f"{chapters} chapters, {modules} modules")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # the theme's notice of its successor
    return subprocess.run(build, cwd=ROOT, env=quiet, check=False).returncode


def _newest_month() -> Path:
    months = sorted((ROOT / "runs" / "demo").glob("[0-9]*"))
    if not months:
        sys.exit("No month of the demo shop was run: `make run` first, or name a month's folder.")
    return months[-1]


def _copy_contributing() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    # the design is no page of the site
    text = text.replace("[DESIGN.md](DESIGN.md)", "`DESIGN.md`")
    (PAGES / "adding.md").write_text(text, encoding="utf-8")


def _chapter_pages(month: Path) -> int:
    """One page per chapter that was run, its pictures beside it."""
    folder = PAGES / "chapters"
    folder.mkdir()
    exporter = MarkdownExporter()
    hidden = TagRemovePreprocessor(remove_cell_tags=["parameters", "injected-parameters"])
    exporter.register_preprocessor(hidden, enabled=True)
    paths = {path.parent.name: path for path in sorted(month.glob("[0-9][0-9]_*/*.ipynb"))}
    for name, path in paths.items():
        notebook = nbformat.read(path, as_version=4)
        text, found = exporter.from_notebook_node(
            notebook, resources={"output_files_dir": f"{name}_files"}
        )
        for file, data in found["outputs"].items():
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    _index(folder, "Chapters", list(paths))
    return len(paths)


def _reference_pages() -> int:
    """One page per module of the rooms an analyst calls."""
    folder = PAGES / "reference"
    folder.mkdir()
    names = []
    for room in ROOMS:
        for path in sorted((ROOT / "playbook" / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if path.stem != "__init__" and _is_public(path):
                (folder / f"{name}.md").write_text(f"# {name}\n\n::: {name}\n", encoding="utf-8")
                names.append(name)
    _index(folder, "Reference", names)
    return len(names)


def _is_public(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in body)


def _index(folder: Path, title: str, names: list[str]) -> None:
    lines = [f"# {title}", "", *(f"- [{name}]({name}.md)" for name in names), ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
