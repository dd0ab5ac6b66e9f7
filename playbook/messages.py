"""Sentences people read, by name: an id, its values, an English and a Chinese form.

The forms stand in one `messages.yaml` per room (a folder of this package), and an id is
`room.name`. An entry has `en` and `zh`; a refusal may add what to do (`do_en`, `do_zh`)
and the rule that was broken (`rule_en`, `rule_zh`). Values are filled in as by
`str.format`, so a form says how a number is written: `{share:.0%}`.

A sentence is made in the language in use: nothing translates finished text.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import Any

__all__ = [
    "LANGUAGES",
    "forms",
    "label",
    "language",
    "read_yaml",
    "rooms",
    "say",
    "speaking",
    "use_language",
]

LANGUAGES = ("en", "zh")
PACKAGE = Path(__file__).parent

_chosen: list[str] = []  # the language set by `use_language`; empty means the environment decides


def use_language(name: str) -> None:
    """Make sentences and labels in this language from here on; ValueError for one that is
    not `en` or `zh`.
    """
    if name not in LANGUAGES:
        raise ValueError(f"there is no language {name!r}: use one of {', '.join(LANGUAGES)}")
    _chosen[:] = [name]


@contextlib.contextmanager
def speaking(name: str) -> Iterator[None]:
    """Use this language for the sentences made inside, then the one used before."""
    before = list(_chosen)
    use_language(name)
    try:
        yield
    finally:
        _chosen[:] = before


def language() -> str:
    """The language in use: that of `use_language`, else PLAYBOOK_LANG, else English."""
    named = _chosen[0] if _chosen else os.environ.get("PLAYBOOK_LANG", "")
    return named if named in LANGUAGES else "en"


def say(message: str, /, **values: Any) -> str:
    """The sentence named `room.name` in the language in use, its values filled in; facts
    by name (a dict, or a list of such) are told in words.

    KeyError for a message nobody wrote and for a value that is not given.
    """
    told = {name: _told(value) for name, value in values.items()}
    return forms(message)[language()].format(**told)


def _told(value: Any) -> Any:
    """Facts by name, or several of them, in words; anything else as it is."""
    if isinstance(value, dict):
        from playbook.shown import shown_number

        numbers = {k: shown_number(v) if isinstance(v, Real) else v for k, v in value.items()}
        return ", ".join(f"{name.replace('_', ' ')} {one}" for name, one in numbers.items())
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return "; ".join(_told(one) for one in value) or "–"
    return value


def forms(message: str) -> dict[str, str]:
    """What a room says under this id: en, zh, and do_en, do_zh, rule_en, rule_zh if any."""
    room, _, name = message.partition(".")
    try:
        return _room(room)[name]
    except KeyError:
        raise KeyError(f"{room}/messages.yaml has no message {name!r}") from None


def label(group: str, code: str) -> str:
    """The word for a code such as a status or a role; the code itself where none is known."""
    return _labels().get(group, {}).get(code, {}).get(language(), code)


def rooms() -> dict[str, Path]:
    """Room -> its file of messages."""
    return {path.parent.name: path for path in sorted(PACKAGE.rglob("messages.yaml"))}


@functools.cache
def _room(room: str) -> dict[str, dict[str, str]]:
    return read_yaml(rooms()[room]) or {}


@functools.cache
def _labels() -> dict[str, dict[str, dict[str, str]]]:
    return read_yaml(PACKAGE / "labels.yaml")


def read_yaml(path: Path) -> Any:
    """A data file of this package, by the fast loader where libyaml is there."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
