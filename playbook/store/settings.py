"""shop.yaml, read whole: what it may say, in which form, and nothing else.

A setting that is misspelt, stands twice or has another type would be left out without a
word, and a shop whose sales no status counts has none. So each is held against
`settings.yaml`, which names every setting and its kind.
"""

from __future__ import annotations

import codecs
import datetime as dt
import functools
import re
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from playbook.errors import PlaybookError
from playbook.given import nearest
from playbook.messages import read_yaml, say
from playbook.store.contract import TABLES
from playbook.written import day_written, numbers_written

__all__ = ["read_settings"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _Loader(yaml.SafeLoader):
    """YAML without a name that stands twice."""


def _unique(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [loader.construct_object(key, deep=True) for key, _value in node.value]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        told = say("store.setting_twice", name=twice[0])
        raise yaml.constructor.ConstructorError(
            None,
            None,
            told,
            node.start_mark,
        )
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique)


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in shop.yaml, every one known and of its kind; empty without the file.
    PlaybookError for a damaged file and for a setting that is not what it must be.
    """
    if not path.exists():
        return {}
    try:
        settings = yaml.load(_decoded(path), Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        mark = getattr(error, "problem_mark", None)
        place = say("store.at_line", line=mark.line + 1) if mark else ""
        told = (getattr(error, "problem", None) or reason) + place
        raise PlaybookError("store.damaged_settings", reason=told, file=path) from None
    if settings is not None and not isinstance(settings, dict):
        raise PlaybookError("store.settings_without_names", file=path)
    return {name: _checked(name, value, path) for name, value in (settings or {}).items()}


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(UTF_16):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PlaybookError("store.settings_not_utf8", file=path) from None


@functools.cache
def _known() -> dict[str, str]:
    """Setting -> its kind."""
    return read_yaml(Path(__file__).with_name("settings.yaml"))


def _checked(name: Any, value: Any, path: Path) -> Any:
    """The value of one setting in its type; a setting left empty is as if not there."""
    if name not in _known():
        near = nearest(str(name), _known())
        meant = say("store.setting_meant", name=near) if near else ""
        known = ", ".join(_known())
        raise PlaybookError(
            "store.unknown_setting",
            name=name,
            meant=meant,
            known=known,
            file=path,
            column=str(name),
        )
    if value is None or value == "":
        return None
    kind = _known()[name]
    typed = CHECKS[kind](value)
    if typed is None:
        about = {
            "name": name,
            "given": _shown(value),
            "wanted": say(f"store.setting_{kind}"),
        }
        raise PlaybookError(
            "store.odd_setting",
            **about,
            file=path,
            column=name,
        )
    return typed


def _shown(value: Any) -> str:
    return str(value) if len(str(value)) < 60 else f"{str(value)[:60]}..."


def _text(value: Any) -> str | None:
    is_plain = isinstance(value, (str, int, float, dt.date)) and not isinstance(value, bool)
    return str(value) if is_plain else None


def _texts(value: Any) -> list[str] | None:
    texts = [_text(v) for v in value] if isinstance(value, list) else [None]
    return None if None in texts else [text for text in texts if text is not None]


def _among(value: Any, allowed: tuple[str, ...]) -> list[str] | None:
    """A list whose texts are all among those allowed."""
    texts = _texts(value)
    found = [text.strip().lower() for text in texts or []]
    return None if texts is None or set(found) - set(allowed) else found


def _statuses(value: Any) -> list[str] | None:
    return _among(value, TABLES["orders"].column("status").allowed) or None


def _tables(value: Any) -> list[str] | None:
    return _among(value, tuple(TABLES))


def _weekday(value: Any) -> str | None:
    return (_among([value], WEEKDAYS) or [None])[0]


def _weekdays(value: Any) -> list[str] | None:
    return _among(value, WEEKDAYS)


def _days(value: Any) -> list[str] | None:
    texts = _texts(value)
    found = [day_written(text) for text in texts or []]
    return None if texts is None or None in found else [str(day) for day in found]


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    """A whole number above 0, as people write it; not one that can be read in two ways."""
    number = numbers_written([str(value)])[0] if not isinstance(value, bool) else None
    is_count = number is not None and number == int(number) and number > 0
    return int(number) if is_count else None


def _currency(value: Any) -> str | None:
    text = str(value).strip().upper()
    return text if re.fullmatch(r"[A-Z]{3}", text) else None


def _zone(value: Any) -> str | None:
    try:
        zoneinfo.ZoneInfo(str(value))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise PlaybookError(
            "store.no_time_zone",
            given=value,
            file="shop.yaml",
        ) from None
    return str(value)


def _names(value: Any) -> dict[Any, Any] | None:
    return value if isinstance(value, dict) else None


def _shares(value: Any) -> dict[str, float] | None:
    """Names with numbers above 0."""
    if not isinstance(value, dict):
        return None
    numbers = numbers_written([str(v) for v in value.values()])
    is_share = [n is not None and 0 < n < float("inf") for n in numbers]
    names = [str(name) for name in value]
    return dict(zip(names, map(float, numbers), strict=True)) if all(is_share) else None


#: kind of a setting -> its value in the right type, None for one that is not of the kind
CHECKS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "texts": _texts,
    "statuses": _statuses,
    "tables": _tables,
    "weekday": _weekday,
    "weekdays": _weekdays,
    "days": _days,
    "flag": _flag,
    "count": _count,
    "currency": _currency,
    "zone": _zone,
    "names": _names,
    "shares": _shares,
}
