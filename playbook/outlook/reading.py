"""The outlook of a shop, made once, so that every chapter reads the same figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.outlook.forecast import Outlook, outlook_of
from playbook.outlook.history import monthly_history
from playbook.store.remembered import remembered

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


def outlook(shop: Store, *, level: float = 0.8) -> Outlook:
    """The outlook as of the shop's last whole month, intervals at `level`.

    Raises PlaybookError where fewer than three whole months are known.
    """
    if not shop.has("orders"):
        raise PlaybookError("outlook.too_few_months", rows=0)

    def make() -> dict[str, DataFrame]:
        made = outlook_of(monthly_history(shop), level=level)
        return {"rows": made.rows, "origins": made.origins}

    kept = remembered(shop, f"outlook-{level}", MAKING, make)
    return Outlook(kept["rows"], kept["origins"], level)
