"""Tables that several chapters read and one has to make: kept beside the derived tables,
under a hash of the inputs, the day and the code that makes them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame

from playbook.messages import PACKAGE
from playbook.store.write import locked

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["remembered"]

#: how long one kernel waits for another that makes them, seconds
WAIT = 600.0


def remembered(
    shop: Store,
    name: str,
    made_by: tuple[str, ...],
    make: Callable[[], dict[str, DataFrame]],
) -> dict[str, DataFrame]:
    """The frames of `make()` by their names, made once; `made_by` are the files of the
    package (or their patterns) that decide what they hold. A shop whose content is not
    known is asked anew every time.
    """
    if not shop.content:
        return make()
    folder = shop.cache / f"{name}-{_version(made_by)}"
    if not folder.is_dir():
        with locked(shop.cache / f"{name}-making", wait_seconds=WAIT):
            if not folder.is_dir():
                part = folder.with_name(f"{folder.name}.part")
                part.mkdir(exist_ok=True)
                for table, frame in make().items():
                    frame.to_parquet(part / f"{table}.parquet")
                part.replace(folder)
    return {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}


@functools.cache
def _version(made_by: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for name in made_by for path in PACKAGE.glob(name)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
