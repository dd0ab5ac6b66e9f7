"""A record: named values that travel together through the simulation."""

from __future__ import annotations

from typing import Any


class Record(dict):
    """A dictionary whose entries are read and set as attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value
