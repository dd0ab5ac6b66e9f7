"""A mapping file once read, and the words of `fields.yaml` it is made from."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from playbook.messages import read_yaml
from playbook.sources.sheets import kind_of
from playbook.store.contract import TABLES

# tables whose mapped files are not simply the contract's own columns
SHAPED = ("orders", "refunds")
REQUIRED = {"orders": ("order_id", "ordered_at"), "refunds": ("amount",)}


@dataclass(frozen=True)
class Mapped:
    """A mapping file, read and found to make sense.

    `columns` is column -> header; `status` word -> status; `credit_notes` and
    `adjustments` are patterns of order numbers; `no_products` codes or titles of lines
    that are no products (`*` for any ending); `ignored` header -> why it is not needed;
    `tax_inside` whether prices hold tax, where no total tells.
    """

    table: str
    family: str
    columns: dict[str, str]
    status: dict[str, str] = field(default_factory=dict)
    credit_notes: str = ""
    adjustments: str = ""
    no_products: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)
    tax_inside: bool | None = None
    knobs: dict[str, object] = field(default_factory=dict)


@functools.cache
def fields() -> dict[str, dict]:
    """The words of `fields.yaml`: columns a mapping can name, and how they are known."""
    return read_yaml(Path(__file__).with_name("fields.yaml"))


def columns_known(table: str) -> dict[str, str]:
    """Column -> kind of value of what a mapping for `table` can name."""
    if table in SHAPED:
        return {name: entry["type"] for name, entry in fields()[table].items()}
    return {c.name: kind_of(c, is_mapped=True) for c in TABLES[table].columns}


def needed_columns(table: str) -> tuple[str, ...]:
    """The columns a mapping for `table` cannot leave out."""
    return REQUIRED.get(table) or TABLES[table].required
