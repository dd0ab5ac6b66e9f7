"""Months on disk: where they lie, what stands, what stepped aside, and whether figures
differ between two versions.

`<month>` is published; `.<month>.partial` is being made; `.<month>.old` stepped aside
while the new one was put in its place; `<month>.r1`, `.r2`, ... are earlier versions
whose figures were restated.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from playbook.chapters.registry import place_of
from playbook.errors import PlaybookError
from playbook.store import last_day
from playbook.store.write import held

__all__ = [
    "digest_of",
    "digest_text",
    "earlier_versions",
    "figures_differ",
    "first_versions",
    "months_between",
    "next_version",
    "only_one",
    "published_months",
    "read_json",
    "read_record",
    "remove",
    "require_place",
    "settle",
    "shop_folder",
    "step_aside",
    "write_json",
    "write_text",
]


def shop_folder(runs: str | Path, name: str) -> Path:
    """The folder of a shop's months; characters other than letters, digits, dot, dash,
    underscore become dashes.
    """
    safe = re.sub(r"[^\w.-]+", "-", name).strip(".-")
    if not safe:
        raise PlaybookError("runs.odd_name", name=name, file="shop.yaml")
    return Path(runs).resolve() / safe


def months_between(first: str, last: str) -> list[str]:
    """Every month from `first` to `last`, both included; PlaybookError when they are
    not in that order.
    """
    if last_day(first) > last_day(last):
        raise PlaybookError("runs.months_reversed", first=first, last=last)
    return [str(month) for month in pd.period_range(first, last, freq="M")]


def published_months(folder: Path) -> list[Path]:
    """Published months of a shop with their earlier versions, in order (`2026-10`
    before `2026-10.r1`).
    """
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        p
        for p in found
        if re.fullmatch(r"\d{4}-\d\d(\.r\d+)?", p.name) and (p / "run.json").exists()
    )


def earlier_versions(final: Path) -> list[Path]:
    """The month's earlier versions, oldest first."""
    found = [
        p
        for p in final.parent.glob(f"{final.name}.r*")
        if re.fullmatch(r"\d{4}-\d\d\.r\d+", p.name)
    ]
    return sorted(found, key=lambda p: int(p.name.rsplit("r", 1)[1]))


def first_versions(folder: Path) -> list[Path]:
    """For every published month of a shop the version that was published first, in
    order of months.
    """
    found: dict[str, Path] = {}
    for path in reversed(published_months(folder)):  # `2026-10` last, after its versions
        versions = earlier_versions(path.with_name(path.name[:7]))
        found[path.name[:7]] = versions[0] if versions else path
    return [found[month] for month in sorted(found)]


def step_aside(final: Path) -> Path:
    """Where a standing month waits while its successor is put in place."""
    return final.with_name(f".{final.name}.old")


def settle(final: Path) -> None:
    """Finish what an interrupted publishing left: restore the month that stepped aside,
    or file it as a version.
    """
    aside = step_aside(final)
    if not aside.exists():
        return
    if not final.exists():
        os.rename(aside, final)
    elif figures_differ(read_json(aside / "run.json"), read_json(final / "run.json")):
        os.rename(aside, next_version(final))
    else:
        remove(aside)


def next_version(final: Path) -> Path:
    """The name under which the standing month would be kept when its figures are
    restated.
    """
    last = [int(p.name.rsplit("r", 1)[1]) for p in earlier_versions(final)][-1:] or [0]
    return final.with_name(f"{final.name}.r{last[0] + 1}")


def figures_differ(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a figure published in the record `old` is another in `new`.

    A month looked at before its end restates nothing; the review does not count,
    because it changes when people answer.
    """
    if old.get("is_partial"):
        return False
    now = new.get("notebooks", {})
    return any(
        now[name].get("digest", "") != then.get("digest", "")
        for name, then in old.get("notebooks", {}).items()
        if then.get("status") == "done" and place_of(name) != "review" and name in now
    )


@contextlib.contextmanager
def only_one(path: Path, month: str) -> Iterator[None]:
    """Two runs of one month at once would overwrite each other; the system frees the
    lock when a run dies.
    """
    with held(path, "runs.another_run", month=month):
        yield


def digest_of(place: Path) -> str:
    """A hash of a chapter's figures (tables, decisions, predictions, headline), or of
    one file.
    """
    digest = hashlib.sha256()
    for path in [place] if place.is_file() else sorted(place.rglob("*.parquet")):
        digest.update(
            path.relative_to(place.parent).as_posix().encode() + b"\0" + path.read_bytes()
        )
    return digest.hexdigest()[:16]


def digest_text(*parts: Any) -> str:
    """A hash of plain values, the same in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or nothing: an unreadable file counts as not there, so that its
    chapter simply runs again.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_record(month: Path) -> dict[str, Any]:
    """The record of a month, run.json; nothing where it cannot be read or is not one."""
    found = read_json(month / "run.json")
    notebooks = found.get("notebooks", {})
    is_record = isinstance(notebooks, dict) and all(isinstance(o, dict) for o in notebooks.values())
    return found if is_record and isinstance(found.get("month", ""), str) else {}


def require_place(path: Path, *, is_folder: bool = True) -> None:
    """PlaybookError where something else lies in the place of a folder (or file) of ours."""
    if (path.exists() or path.is_symlink()) and path.is_dir() != is_folder:
        raise PlaybookError("runs.in_the_way", file=path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write whole or not at all."""
    write_text(
        path,
        json.dumps(
            content,
            indent=1,
            ensure_ascii=False,
            default=str,
        )
        + "\n",
    )


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def remove(path: Path) -> None:
    """A file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
