"""The outlook of a shop, made once: kept beside the derived tables, under a hash of the
inputs, the day and the code that makes it, so that every chapter reads the same figures.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from playbook.errors import PlaybookError
from playbook.messages import PACKAGE
from playbook.outlook.forecast import Outlook, outlook_of
from playbook.outlook.history import monthly_history
from playbook.store.write import locked

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["outlook"]

#: files of the package that decide what the outlook holds
MAKING = (
    "detect/*.py",
    "detect/*.yaml",
    "outlook/history.py",
    "outlook/paths.py",
    "outlook/forecast.py",
    "methods/coherence.py",
    "methods/season.py",
    "methods/backtest.py",
    "measures/metrics.py",
    "measures/sums.py",
)
#: how long one kernel waits for another that makes it, seconds
WAIT = 600.0


def outlook(shop: Store, *, level: float = 0.8) -> Outlook:
    """The outlook as of the shop's last whole month, intervals at `level`.

    Raises PlaybookError where fewer than three whole months are known.
    """
    if not shop.has("orders"):
        raise PlaybookError("outlook.too_few_months", rows=0)
    if not shop.content:
        return outlook_of(monthly_history(shop), level=level)
    folder = shop.cache / f"outlook-{_version()}"
    rows, origins = (folder / f"{name}-{level}.parquet" for name in ("rows", "origins"))
    if not (rows.exists() and origins.exists()):
        with locked(folder, wait_seconds=WAIT):
            if not (rows.exists() and origins.exists()):
                _keep(
                    outlook_of(monthly_history(shop), level=level),
                    rows,
                    origins,
                )
    return Outlook(pd.read_parquet(rows), pd.read_parquet(origins), level)


def _keep(made: Outlook, rows: Path, origins: Path) -> None:
    """Both tables, each whole or not at all."""
    for frame, path in ((made.origins, origins), (made.rows, rows)):
        part = path.with_suffix(".part")
        frame.to_parquet(part)
        part.replace(path)


@functools.cache
def _version() -> str:
    digest = hashlib.sha256()
    for path in (path for name in MAKING for path in sorted(PACKAGE.glob(name))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
