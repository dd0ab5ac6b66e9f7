"""Which arm of a test changes nothing: as stated, or not known.

In this order, and never by the order of the arms: what the shop's settings say, what the
column `is_control` says, and the one arm whose name stands in the contract's list of names.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.store.contract import control_names

__all__ = ["control_arm", "names_a_control"]

SHARE = re.compile(r"(?<!\d)\d+([.,]\d+)?\s*%")
#: what separates the parts of a name
PARTS = re.compile(r"[()\[\]{}:;|]|\s[-–—]+\s")
#: a sign that joins two things stays a word of its own: control + banner is no control
NO_WORD = re.compile(r"[^\w+&]+|_+")
ACCENTS = frozenset(map(chr, range(0x300, 0x370)))


def control_arm(arms: DataFrame, *, stated: Mapping[str, Any] | str | None = None) -> str:
    """The arm that changes nothing; empty where nothing says which.

    `arms` are the rows of one test (test_id, arm, is_control: true, false, or missing where
    rows of the arm do not say or contradict each other). `stated` is the setting: an arm, or
    test -> arm. Two arms that are marked, or two that are named like one, are not known.

    Raises:
        PlaybookError: the setting names an arm that the test does not have.
    """
    names = arms["arm"].astype(str).tolist()
    test = str(arms["test_id"].iloc[0])
    by_setting = _stated(
        stated,
        test,
        names,
    )
    if by_setting:
        return by_setting
    marked = arms.loc[arms["is_control"].eq(True).fillna(False), "arm"].astype(str).tolist()
    if marked or arms["is_contradicted"].any():
        is_clear = len(marked) == 1 and not arms["is_contradicted"].any()
        return marked[0] if is_clear else ""
    # an arm marked as no control cannot become one by its name
    is_open = ~arms["is_control"].eq(False).fillna(False)
    named = [arm for arm in arms.loc[is_open, "arm"].astype(str) if names_a_control(arm)]
    return named[0] if len(named) == 1 else ""


def names_a_control(arm: str) -> bool:
    """Does a name say that its arm changes nothing, by the contract's list?"""
    roles, nothing, without = (_known()[kind] for kind in ("roles", "nothing", "without"))
    plain = SHARE.sub(" ", unicodedata.normalize("NFKC", arm))
    whole = _words(plain)
    parts = [whole, *map(_words, PARTS.split(plain))]
    if tuple(whole) in roles | nothing or _bare(whole) in roles | nothing:
        return True
    before = [part[:at] for part in parts for at in range(len(part)) if (part[at],) in without]
    return any(tuple(words) in roles or _bare(words) in roles for words in parts + before)


def _stated(stated: Mapping[str, Any] | str | None, test: str, names: list[str]) -> str:
    """The arm the settings name for this test; empty where they say nothing of it."""
    if not stated:
        return ""
    is_each = isinstance(stated, Mapping)
    arm = str({str(k): v for k, v in stated.items()}.get(test, "")) if is_each else str(stated)
    if arm and arm not in names:
        if not is_each:
            return ""
        raise PlaybookError(
            "customer_journey.unknown_control",
            test=test,
            arm=arm,
            arms=", ".join(names),
        )
    return arm


def _words(text: str) -> list[str]:
    """A name as plain words: no case, accents, punctuation."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    plain = "".join(c for c in plain if c not in ACCENTS)
    return NO_WORD.sub(" ", unicodedata.normalize("NFC", plain)).split()


def _bare(words: list[str]) -> tuple[str, ...]:
    """The words without fillers; a single Latin letter is one."""
    fillers = _known()["fillers"]
    return tuple(w for w in words if (w,) not in fillers and not _is_letter(w))


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii() and word.isalpha()


@functools.cache
def _known() -> dict[str, frozenset[tuple[str, ...]]]:
    """Names, words of going without, and fillers, as plain words."""
    stated = {k: {tuple(_words(name)) for name in names} for k, names in control_names().items()}
    fillers = stated["fillers"]
    for kind in ("roles", "nothing"):
        shorter = {
            tuple(w for w in name if (w,) not in fillers and not _is_letter(w))
            for name in stated[kind]
        }
        stated[kind] |= shorter - {()}
    return {kind: frozenset(names) for kind, names in stated.items()}
