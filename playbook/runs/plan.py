"""What a month will execute: its chapters, their parameters checked before anything
runs, and a key for each.

The key covers inputs, code and parameters: a chapter that has finished under the same
key need not run again.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError
from playbook.runs.execute import Outcome, declared_parameters, notebook_code, typed_parameter
from playbook.runs.folders import digest_text

__all__ = [
    "Chapter",
    "code_version",
    "library_versions",
    "notebook_paths",
    "notebooks_folder",
    "plan_chapters",
]

OURS = ("month", "store", "out", "reviewed")  # the run sets these itself
NO_RESULT_DEPENDS_ON = {  # code that may change without any figure changing
    "demo",
    "sources",
    "training",
    "templates",
    "cli.py",
    "bootstrap.py",
    "__main__.py",
    "report.py",
    "workbook.py",
    "words.py",
    "chapters.py",
    "month.py",
    "execute.py",
    "progress.py",
    "warm.py",
    "tidy.py",
    "folders.py",
    "plan.py",
}
LIBRARIES = (
    "pandas",
    "numpy",
    "scipy",
    "duckdb",
    "ibis-framework",
    "scikit-learn",
    "statsmodels",
    "lifetimes",
    "pyarrow",
)


@dataclass
class Chapter:
    """One notebook of a month. `is_chosen` is false when --only leaves it out: it is
    kept as published then.
    """

    name: str
    source: Path
    is_chosen: bool
    parameters: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    outcome: Outcome | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_review(self) -> bool:
        """11 reads the other chapters' results and runs last."""
        return self.name.startswith("11_")

    @property
    def is_vital(self) -> bool:
        """Without 00 and 11 nothing is published."""
        return self.name.startswith(("00_", "11_"))


def notebooks_folder() -> Path:
    """Where the chapters lie: beside the package, else `notebooks` of the present
    folder.
    """
    beside = Path(__file__).resolve().parents[2] / "notebooks"
    return beside if beside.is_dir() else Path("notebooks").resolve()


def notebook_paths(*folders: Path) -> dict[str, Path]:
    """Name -> file of every `NN_title.ipynb`, in order; a later folder's file replaces
    an earlier one of that name.
    """
    found = {p.stem: p for folder in folders for p in sorted(folder.glob("*.ipynb"))}
    return {name: found[name] for name in sorted(found) if re.fullmatch(r"\d\d_[\w-]+", name)}


def plan_chapters(
    shop: Any,
    store: str,
    *,
    out: Path,
    only: tuple[str, ...] = (),
    given: dict[str, str] | None = None,
    notebooks: Path | None = None,
    until: str | None = None,
) -> list[Chapter]:
    """Every chapter of the project and of the shop's own `notebooks` folder, parameters
    typed and checked.

    Raises PlaybookError for a chapter that does not exist, and for a parameter that no
    chosen notebook declares, that has the wrong type, or that the run sets itself,
    whether it comes from `given` (command line) or from shop.yaml.
    """
    given, base, own = given or {}, notebooks or notebooks_folder(), Path(shop.where) / "notebooks"
    paths = notebook_paths(base, *([own] if "://" not in shop.where and own.is_dir() else []))
    if not paths:
        raise PlaybookError(
            "There are no notebooks here", file=base, do="run from the project's folder"
        )
    declared = {name: declared_parameters(path) for name, path in paths.items()}
    chosen = _chosen(only, list(paths))
    _refuse_unknown(given, {name: declared[name] for name in chosen})
    where = str(Path(store).resolve()) if "://" not in store and Path(store).is_dir() else store
    fixed = {"month": until or shop.month, "store": where, "out": str(out), "reviewed": str(out)}
    common = (
        shop.fingerprint,
        str(shop.as_of),
        shop.is_month_complete,
        code_version(),
        library_versions(),
    )
    found = []
    for name, path in paths.items():
        wanted = _settings(shop.parameters, name, declared[name])
        wanted |= {k: v for k, v in given.items() if k in declared[name] and name in chosen}
        typed = {k: typed_parameter(k, v, declared[name][k][0], name) for k, v in wanted.items()}
        own_fixed = {k: v for k, v in fixed.items() if k in declared[name]}
        key = digest_text(*common, notebook_code(path), typed, fixed["month"])
        found.append(Chapter(name, path, name in chosen, own_fixed | typed, key))
    return found


def code_version() -> str:
    """A hash of the package's code that results depend on."""
    package = Path(__file__).resolve().parents[1]
    files = [
        p
        for p in sorted([*package.rglob("*.py"), *package.rglob("*.txt"), *package.rglob("*.yaml")])
        if not set(p.relative_to(package).parts) & NO_RESULT_DEPENDS_ON
    ]
    return digest_text(
        [[p.relative_to(package).as_posix(), p.read_text(encoding="utf-8")] for p in files]
    )[:16]


def library_versions() -> dict[str, str]:
    """Python and the libraries that figures depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def replacements(shop: Any, store: str, out: Path) -> dict[str, str]:
    """Texts that must not outlive the run, and what to write instead: machine paths and
    all of a database address.
    """
    project, home = Path(__file__).resolve().parents[2], Path.home()
    found = {
        str(out): "",
        shop.where: shop.name,
        f"{project}{os.sep}": "",
        f"{home}{os.sep}": f"~{os.sep}",
    }
    if "://" in store:
        from urllib.parse import urlsplit

        parts = urlsplit(store)
        found |= {
            part: "…"
            for part in (parts.netloc, parts.password, parts.hostname)
            if part and len(part) > 3
        }
        found[store] = shop.name
    elif Path(store).is_dir():
        found[str(Path(store).resolve())] = shop.name
    return {old: new for old, new in found.items() if len(old) > 3}


def _chosen(only: tuple[str, ...], names: list[str]) -> set[str]:
    """The chapters named by number or by name, with 00 and 11, which every published
    month needs.
    """
    words = [w.strip() for one in only for w in one.split(",") if w.strip()]
    if not words:
        return set(names)
    found = {n for n in names if n.startswith(("00_", "11_"))}
    for word in words:
        hits = {
            n for n in names if n in (word, Path(word).stem) or n.split("_")[0] == word.zfill(2)
        }
        if not hits:
            raise PlaybookError(
                f"There is no chapter {word}", do=f"name one of: {', '.join(names)}"
            )
        found |= hits
    return found


def _refuse_unknown(given: dict[str, str], declared: dict[str, dict]) -> None:
    """A typing slip must not go unseen: papermill itself only logs a parameter that no
    cell declares.
    """
    known = sorted({p for found in declared.values() for p in found} - set(OURS))
    for name in given:
        if name in OURS:
            raise PlaybookError(
                f"{name} is set by the run itself", column=name, do="see `playbook run --help`"
            )
        if name not in known:
            raise PlaybookError(
                f"No notebook of this run declares a parameter {name}",
                column=name,
                do=f"use one of: {', '.join(known) or 'none is declared'}",
            )


def _settings(parameters: Any, name: str, declared: dict[str, Any]) -> dict[str, Any]:
    """What shop.yaml says for one notebook, by its name or its number."""
    all_of_it = parameters if isinstance(parameters, dict) else {}
    found = all_of_it.get(name) or all_of_it.get(name[:2]) or all_of_it.get(int(name[:2])) or {}
    if not isinstance(found, dict):
        raise PlaybookError(
            f"shop.yaml's parameters of {name} are not `name: value` lines", file="shop.yaml"
        )
    if unknown := sorted(set(found) - (set(declared) - set(OURS))):
        known = ", ".join(sorted(set(declared) - set(OURS))) or "it declares none"
        raise PlaybookError(
            f"shop.yaml gives {name} a parameter that it does not declare: {', '.join(unknown)}",
            file="shop.yaml",
            do=f"use one of: {known}",
        )
    return dict(found)


def working_copy(chapter: str, store: str, month: str | None, into: Path) -> Path:
    """A copy of one notebook with month and store filled in, under
    `into/<shop>-<month>/`; an earlier copy stays.
    """
    from playbook.runs.folders import shop_folder
    from playbook.store import open_store

    shop = open_store(store, until=month)
    own = Path(shop.where) / "notebooks"
    paths = notebook_paths(notebooks_folder(), *([own] if own.is_dir() else []))
    words = {n for n in paths if n == chapter or n.split("_")[0] == chapter.zfill(2)}
    if not words:
        raise PlaybookError(f"There is no chapter {chapter}", do=f"name one of: {', '.join(paths)}")
    name = min(words)
    where = str(Path(store).resolve()) if "://" not in store and Path(store).is_dir() else store
    notebook = json.loads(paths[name].read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            text = "".join(cell["source"])
            for key, value in (("month", shop.month), ("store", where)):
                literal = json.dumps(value, ensure_ascii=False)
                text = re.sub(
                    rf"(?m)^({key}: str = ).*?(  #.*)?$",
                    lambda m, v=literal: m[1] + v + (m[2] or ""),
                    text,
                )
            cell["source"] = text.splitlines(keepends=True)
    folder = into / f"{shop_folder('.', shop.name).name}-{shop.month}"
    folder.mkdir(parents=True, exist_ok=True)
    path, number = folder / f"{name}.ipynb", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.ipynb"
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def segment_members(store: str, month: str | None, runs: str | Path) -> tuple[Path, Path]:
    """The store's folder, and the table of chapter 06 that says which customer is in
    which segment.
    """
    import pyarrow.parquet as pq

    from playbook.runs.folders import published_months, shop_folder
    from playbook.store import open_store

    shop = open_store(store, until=month)
    months = [p for p in published_months(shop_folder(runs, shop.name)) if "." not in p.name]
    months = [p for p in months if p.name == month] if month else months
    for folder in reversed(months):
        for path in sorted(folder.glob("06_*/tables/*.parquet")):
            if {"customer_id", "segment"} <= set(pq.read_schema(path).names):
                return Path(shop.where), path
    raise PlaybookError(
        f"No published month of {shop.name} says who is in which segment",
        file=shop_folder(runs, shop.name),
        do="run the month with chapter 06 first",
    )
