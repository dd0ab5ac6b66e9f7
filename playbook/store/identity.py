"""Which shop a store is, whatever it is called and wherever it lies.

A name is chosen, and two shops may choose the same. What no two shops share is how their
months begin: the first moment of a month and the smallest order number in it. Moving or
renaming a folder, another delivery of the same orders and a window of months that moves on
leave most of these as they were.
"""

from __future__ import annotations

import hashlib
from typing import Any

from playbook.store.shop import Store

__all__ = ["identity_of", "is_same_shop"]

DIGITS = 8  # of a hash, enough to tell months apart


def identity_of(shop: Store) -> dict[str, Any]:
    """The shop's `id`, whether shop.yaml states it (`is_stated`), and `origin`: month ->
    a hash of how its orders begin, of the months known as of the shop's day. A shop without
    an order has no origin, and without a stated id an empty one.
    """
    origin = _origin(shop)
    stated = str(shop.settings.get("id") or "")
    first = next(iter(origin.items()), ("", ""))
    made = hashlib.sha256("".join(first).encode()).hexdigest()[:DIGITS] if origin else ""
    return {"id": stated or made, "is_stated": bool(stated), "origin": origin}


def _origin(shop: Store) -> dict[str, str]:
    orders = shop.get("orders")
    if orders is None:
        return {}
    day = orders.ordered_on.cast("date")
    months = orders.group_by(year=day.year(), month=day.month()).aggregate(
        first_at=orders.ordered_at.min().cast("string"),
        smallest=orders.order_id.cast("string").min(),
    )
    rows = months.to_pandas().sort_values(["year", "month"])
    return {
        f"{row.year}-{row.month:02d}": hashlib.sha256(
            f"{row.first_at}|{row.smallest}".encode()
        ).hexdigest()[:DIGITS]
        for row in rows.itertuples()
    }


def is_same_shop(known: dict[str, Any], now: dict[str, Any]) -> bool:
    """Do two identities name one shop? Equal ids do, two stated ids that differ do not;
    else one month that begins alike in both is enough, because a log may lose its oldest
    months and gain late orders. What nothing is known of is taken for the same.
    """
    if not known.get("id") or not now["id"] or known["id"] == now["id"]:
        return True
    if known.get("is_stated") and now["is_stated"]:
        return False
    before = known.get("origin") or {}
    return any(before.get(month) == begins for month, begins in now["origin"].items())
