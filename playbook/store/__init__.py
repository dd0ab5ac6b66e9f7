"""A shop's tables: the contract, opening them as of a day, deriving, checking,
reconciling.
"""

from playbook.store.open import Store, cache_folder, expression, last_day, open_store

__all__ = ["Store", "cache_folder", "expression", "last_day", "open_store"]
