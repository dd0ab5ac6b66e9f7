"""Sorting bookings by what they are called: see fee_words.yaml."""

from __future__ import annotations

import functools
from pathlib import Path

from playbook.messages import read_yaml
from playbook.store.write import quoted


@functools.cache
def _words(provider: str) -> dict[str, str]:
    return read_yaml(Path(__file__).with_name("fee_words.yaml"))[provider]


def sort_of(name: str, provider: str, *, otherwise: str = "'other'") -> str:
    """SQL: the sort of a booking by its name in lower case."""
    cases = " ".join(
        f"WHEN regexp_matches({name}, {quoted(pattern)}) THEN '{sort}'"
        for sort, pattern in _words(provider).items()
    )
    return f"CASE {cases} ELSE {otherwise} END"
