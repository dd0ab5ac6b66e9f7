"""Two shops of one name do not share a folder of months."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError
from playbook.runs.folders import published_months, read_record
from playbook.store import Store
from playbook.store.identity import identity_of, is_same_shop

__all__ = ["require_same_shop"]


def require_same_shop(months: Path, shop: Store) -> dict[str, Any]:
    """The identity to keep in the record of a month published here: the id these months
    already have, else the shop's own. PlaybookError where the newest month that says whose
    it is comes from another shop, and where a shop that has its name from its folder alone
    has its months under the name the folder had before.
    """
    now, known = identity_of(shop), _known(months)
    if not known and not shop.settings.get("name"):
        _refuse_renamed(months, shop, now)
    if not is_same_shop(known, now):
        raise PlaybookError("runs.other_shop", shop=shop.name, id=known["id"], file=months)
    if now["is_stated"] or not known.get("id"):
        return now
    return now | {"id": known["id"], "is_stated": bool(known.get("is_stated"))}


def _known(months: Path) -> dict[str, Any]:
    """What the newest published month says of its shop; nothing where none does."""
    for month in reversed(published_months(months)):
        about = read_record(month).get("shop")
        if isinstance(about, dict):
            return about
    return {}


def _refuse_renamed(months: Path, shop: Store, now: dict[str, Any]) -> None:
    siblings = months.parent.iterdir() if months.parent.is_dir() else ()
    for other in sorted(path for path in siblings if path.is_dir() and path != months):
        known = _known(other)
        if known.get("id") and now["id"] and is_same_shop(known, now):
            raise PlaybookError("runs.renamed_shop", shop=shop.name, was=other.name, file=other)
