"""A shop's operations, month by month: one join from spend to cohort to value to stock
to decision.

`from playbook import open_store, open_frames, open_purchases` is the analyst's way in; the
calculations stand in `playbook.chapters`, one folder per notebook.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: the doors, opened only when asked for: the command line must start quickly
DOORS = {
    "open_store": "playbook.store.open",
    "open_frames": "playbook.store.frames",
    "open_purchases": "playbook.store.frames",
}


def __getattr__(name: str) -> Any:
    if name in DOORS:
        return getattr(importlib.import_module(DOORS[name]), name)
    raise AttributeError(f"module 'playbook' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *DOORS])
