"""Errors of a disk that is full or may not be written, and which disk it is."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from playbook.store.cache import cache_folder

__all__ = ["NO_SPACE", "full_folder", "unwritable"]

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (
    *NO_SPACE,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
)


def unwritable(error: BaseException) -> OSError | None:
    """The error of the system behind `error` that says a place cannot be written, itself or
    what a library wrapped; None where there is none.
    """
    for one in _behind(error):
        if isinstance(one, OSError) and one.errno in UNWRITABLE:
            return one
    return None


def _behind(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was given, and what it came of."""
    todo, seen = [error], set()
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        told = (*one.args, one.__cause__, one.__context__)
        todo += [other for other in told if isinstance(other, BaseException)]


def full_folder(error: BaseException, folders: Iterable[str | Path] = ()) -> Path:
    """The folder whose disk an error of no space is about: that of the file the error names,
    else the one with the least room left among `folders`, the folder for temporary files,
    the cache and the present one.
    """
    named = getattr(error, "filename", None) or _path_in(str(error))
    if named:
        return _there(Path(named).parent)
    asked = [_there(Path(folder)) for folder in folders]
    places = [*asked, Path(tempfile.gettempdir()), _there(cache_folder()), Path.cwd()]
    return min(places, key=lambda place: shutil.disk_usage(place).free)


def _path_in(text: str) -> str:
    """The first quoted path of an engine's sentence; empty without one."""
    found = re.search(r"""["'](/[^"']+|[A-Za-z]:\\[^"']+)["']""", text)
    return found.group(1) if found else ""


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there and not one of our own in passing."""
    hidden = [at for at, part in enumerate(folder.parts) if part.startswith(".")]
    folder = Path(*folder.parts[: hidden[0]]) if hidden and hidden[0] else folder
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
