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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pandas import DataFrame

from playbook.chapters.registry import chapter as registered
from playbook.chapters.registry import place_of
from playbook.errors import PlaybookError
from playbook.messages import language, say
from playbook.places import shipped
from playbook.runs.execute import Outcome, declared_parameters, notebook_code, typed_parameter
from playbook.runs.folders import digest_text, published_months, shop_folder
from playbook.runs.kept import read_kept
from playbook.runs.results import result_table
from playbook.runs.same_shop import require_same_shop
from playbook.store import Store, open_store
from playbook.store.open import as_parameter
from playbook.translation import in_language

__all__ = [
    "NEXT_PRODUCTS",
    "Chapter",
    "Wish",
    "code_version",
    "library_versions",
    "notebook_paths",
    "notebooks_folder",
    "plan_chapters",
]

NEXT_PRODUCTS = "next products"  # what `playbook audience` calls each customer's own list
OURS = ("month", "store", "out", "reviewed")  # the run sets these itself
LEAST_HIDDEN = 3  # shorter texts stand in too many words to be hidden
# rooms and modules that may change without any figure changing
NO_RESULT_DEPENDS_ON = frozenset(
    [
        "demo",
        "sources",
        "training",
        "templates",
        "cli.py",
        "bootstrap.py",
        "__main__.py",
        "pack.py",
        "first_page.py",
        "sentences.py",
        "notice.py",
        "workbook.py",
        "formats.yaml",
        "cells.py",
        "chapter_page.py",
        "meetings.py",
        "month.py",
        "execute.py",
        "kernels.py",
        "progress.py",
        "warm.py",
        "tidy.py",
        "folders.py",
        "plan.py",
    ]
)
LIBRARIES = [
    "pandas",
    "numpy",
    "scipy",
    "duckdb",
    "ibis-framework",
    "scikit-learn",
    "statsmodels",
    "lifetimes",
    "pyarrow",
]


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
        """The review reads the other chapters' results and runs last."""
        return place_of(self.name) == "review"

    @property
    def is_vital(self) -> bool:
        """Without the opening chapter and the review nothing is published."""
        return place_of(self.name) != "chapter"


def notebooks_folder() -> Path:
    """Where the chapters lie: beside the package, else `notebooks` of the present
    folder.
    """
    return shipped("notebooks")


def notebook_paths(*folders: Path) -> dict[str, Path]:
    """Name -> file of every `NN_title.ipynb`, in order; a later folder's file replaces
    an earlier one of that name.
    """
    paths = {p.stem: p for folder in folders for p in sorted(folder.glob("*.ipynb"))}
    return {name: paths[name] for name in sorted(paths) if re.fullmatch(r"\d\d_[\w-]+", name)}


@dataclass(frozen=True)
class Wish:
    """What a run was asked for beside its store and month: chapters (all when none is
    named), parameters by name, and a day to look at in a running month.
    """

    only: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    until: str | None = None
    notebooks: Path | None = None


def plan_chapters(shop: Store, store: str, out: Path, wish: Wish | None = None) -> list[Chapter]:
    """Every chapter of the project and of the shop's own `notebooks` folder, parameters
    typed and checked.

    Raises PlaybookError for a chapter that does not exist, and for a parameter that no
    chosen notebook declares, that has the wrong type, or that the run sets itself,
    whether it comes from the command line or from shop.yaml.
    """
    wish = wish or Wish()
    base = wish.notebooks or notebooks_folder()
    paths = notebook_paths(base, *_own_notebooks(shop))
    if not paths:
        raise PlaybookError("runs.no_notebooks", file=base)
    declared = {name: declared_parameters(path) for name, path in paths.items()}
    chosen = _chosen(wish.only, list(paths))
    _refuse_unknown(wish.parameters, {name: declared[name] for name in chosen})
    fixed = {
        "month": wish.until or shop.month,
        "store": as_parameter(store),
        "out": str(out),
        "reviewed": str(out),
    }
    inputs = (shop.fingerprint, str(shop.as_of), shop.is_month_complete, language())
    common = (*inputs, code_version(), library_versions())
    planned = []
    for name, path in paths.items():
        wanted = _settings(shop.parameters, name, declared[name])
        if name in chosen:
            wanted |= {k: v for k, v in wish.parameters.items() if k in declared[name]}
        typed = {
            k: typed_parameter(
                k,
                v,
                declared[name][k][0],
                name,
            )
            for k, v in wanted.items()
        }
        ours = {k: v for k, v in fixed.items() if k in declared[name]}
        key = digest_text(
            *common,
            notebook_code(path),
            typed,
            fixed["month"],
        )
        planned.append(
            Chapter(
                name,
                path,
                name in chosen,
                ours | typed,
                key,
            )
        )
    return planned


def _own_notebooks(shop: Store) -> list[Path]:
    own = shop.folder / "notebooks" if shop.folder else None
    return [own] if own and own.is_dir() else []


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
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def replacements(shop: Store, out: Path) -> dict[str, str]:
    """Machine paths, which must not outlive the run, and what to write instead. What an
    address holds is hidden beside them, whatever it is.
    """
    project, home = Path(__file__).resolve().parents[2], Path.home()
    texts = {
        str(out): "",
        f"{project}{os.sep}": "",
        f"{home}{os.sep}": f"~{os.sep}",
    }
    if shop.folder:
        texts |= {str(shop.folder): shop.name, str(shop.folder.resolve()): shop.name}
    return {old: new for old, new in texts.items() if len(old) > LEAST_HIDDEN}


def _chosen(only: tuple[str, ...], names: list[str]) -> set[str]:
    """The chapters named by number or by name, with those that every published month
    needs.
    """
    words = [word.strip() for several in only for word in several.split(",") if word.strip()]
    if not words:
        return set(names)
    chosen = {name for name in names if place_of(name) != "chapter"}
    for word in words:
        hits = {
            n for n in names if n in (word, Path(word).stem) or n.split("_")[0] == word.zfill(2)
        }
        if not hits:
            raise PlaybookError(
                "runs.no_chapter",
                name=word,
                known=", ".join(names),
            )
        chosen |= hits
    return chosen


def _refuse_unknown(given: Mapping[str, str], declared: dict[str, dict[str, Any]]) -> None:
    """A typing slip must not go unseen: papermill itself only logs a parameter that no
    cell declares.
    """
    known = sorted({name for names in declared.values() for name in names} - set(OURS))
    for name in given:
        if name in OURS:
            raise PlaybookError("runs.own_parameter", column=name)
        if name not in known:
            listed = ", ".join(known) or say("runs.none_declared")
            raise PlaybookError(
                "runs.unknown_parameter",
                column=name,
                known=listed,
            )


def _settings(parameters: Any, name: str, declared: dict[str, Any]) -> dict[str, Any]:
    """What shop.yaml says for one notebook, by its name or its number."""
    stated = parameters if isinstance(parameters, dict) else {}
    own = stated.get(name) or stated.get(name[:2]) or stated.get(int(name[:2])) or {}
    if not isinstance(own, dict):
        raise PlaybookError(
            "runs.settings_without_names",
            name=name,
            file="shop.yaml",
        )
    known = set(declared) - set(OURS)
    if unknown := sorted(set(own) - known):
        raise PlaybookError(
            "runs.unknown_setting",
            name=name,
            which=", ".join(unknown),
            known=", ".join(sorted(known)) or say("runs.none_declared"),
            file="shop.yaml",
        )
    return dict(own)


def working_copy(chapter: str, store: str, month: str | None, into: Path) -> Path:
    """A copy of one notebook with month and store filled in, under
    `into/<shop>-<month>/`; an earlier copy stays.
    """
    shop = open_store(store, until=month)
    paths = notebook_paths(notebooks_folder(), *_own_notebooks(shop))
    names = [n for n in paths if n == chapter or n.split("_")[0] == chapter.zfill(2)]
    if not names:
        raise PlaybookError(
            "runs.no_chapter",
            name=chapter,
            known=", ".join(paths),
        )
    name = min(names)
    notebook = json.loads(paths[name].read_text(encoding="utf-8"))
    place = as_parameter(store)
    for cell in in_language(notebook["cells"], paths[name]):
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            text = "".join(cell["source"])
            for key, value in (("month", shop.month), ("store", place)):
                literal = json.dumps(value, ensure_ascii=False)
                line = rf"(?m)^({key}: str = ).*?(  #.*)?$"
                text = re.sub(line, lambda m, v=literal: m[1] + v + (m[2] or ""), text)
            cell["source"] = text.splitlines(keepends=True)
    folder = into / f"{shop_folder('.', shop.name).name}-{shop.month}"
    folder.mkdir(parents=True, exist_ok=True)
    path, number = folder / f"{name}.ipynb", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.ipynb"
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def segment_members(store: str, month: str | None, runs: str | Path) -> tuple[Path, Path, set[str]]:
    """The store's folder, the table of the chapter on segments that says which customer is
    in which segment, and who stands on another list of that month.
    """
    shop, home, months = _published(store, month, runs)
    segmentation = registered("segmentation").notebook
    for folder in reversed(months):
        for path in sorted(folder.glob(f"{segmentation}/tables/*.parquet")):
            if read_kept(path, ("customer_id", "segment")) is not None:
                return shop.folder or Path(), path, _on_other_lists(folder)
    raise PlaybookError("runs.no_segments", shop=shop.name, file=home)


def listed_members(
    store: str, month: str | None, runs: str | Path
) -> tuple[Path, DataFrame, set[str]]:
    """The store's folder, each customer's own list (customer_id, segment, arm, products: skus
    in order) of the newest month that has one, and whom that month's one list of people
    leaves unspoken to: held out, left alone, or on no list.
    """
    shop, home, months = _published(store, month, runs)
    chapters = registered("recommendations").notebook, registered("monthly_review").notebook
    for folder in reversed(months):
        rows = result_table(folder, chapters[0], "next_products")
        people = result_table(folder, chapters[1], "people")
        if rows.empty or people.empty:
            continue
        by_customer = rows.sort_values("rank").groupby(["customer_id", "arm"]).sku.agg(list)
        members = by_customer.rename("products").reset_index().assign(segment=NEXT_PRODUCTS)
        is_spoken_to = (people["arm"] == "treat") & (people["programme"] != "none")
        spoken_to = set(people.loc[is_spoken_to, "customer_id"])
        return shop.folder or Path(), members, set(members["customer_id"]) - spoken_to
    raise PlaybookError("runs.no_next_products", shop=shop.name, file=home)


def _published(store: str, month: str | None, runs: str | Path) -> tuple[Store, Path, list[Path]]:
    """The shop, the folder of its runs, and its published months, the oldest first."""
    shop = open_store(store, until=month)
    home = shop_folder(runs, shop.name)
    require_same_shop(home, shop)
    months = published_months(home)
    return shop, home, [p for p in months if "." not in p.name and p.name in (month or p.name)]


def _on_other_lists(folder: Path) -> set[str]:
    """Customers of a month's one list of people whom no segment's campaign may take; none
    where the review has not run.
    """
    columns = ("customer_id", "programme")
    people = result_table(folder, registered("monthly_review").notebook, "people", columns=columns)
    is_free = people["programme"].isin(["campaign", "none"])
    return set(people.loc[~is_free, "customer_id"])
