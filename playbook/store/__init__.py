"""A shop's tables: the contract, opening them as of a day, deriving, checking,
reconciling.

The door of this room: `open_store`, and what chapters need to speak of an opened store.
"""

from playbook.store.cache import cache_folder
from playbook.store.open import open_store
from playbook.store.shop import Store, distinct_rows, expression, last_day, one_if, seconds_between

__all__ = [
    "Store",
    "cache_folder",
    "distinct_rows",
    "expression",
    "last_day",
    "one_if",
    "seconds_between",
    "open_store",
]
