"""A table nobody wrote an adapter for: a mapping file says which of its headers is
what, and `adapter_from_mapping` turns it into an adapter.

`playbook map FILE` proposes one (see `proposal.py`); a person corrects it; `import
generic FILE --mapping M` uses it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import yaml

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter
from playbook.sources.mapped import SHAPED, Mapped, columns_known, fields, needed_columns
from playbook.sources.mapped_orders import shape_orders
from playbook.sources.mapped_refunds import shape_refunds
from playbook.sources.read import normalised
from playbook.sources.sheets import shape_of
from playbook.store.contract import TABLES

STATUSES = ("placed", "paid", "shipped", "done", "cancelled", "refunded")
SETTINGS = (
    "table",
    "name",
    "zone",
    "decimal_comma",
    "day_first",
    "columns",
    "status",
    "credit_notes",
    "adjustments",
    "no_products",
    "ignored",
    "tax_inside",
)
SUMMED = ("ad_spend", "traffic")  # tables whose files may end in sums, by day or in all
PATTERNS = ("credit_notes", "adjustments")


def adapter_from_mapping(mapping: Mapping[str, object] | str | PathLike | None) -> Adapter:
    """The adapter a mapping file describes; PlaybookError names the line that does not
    make sense.
    """
    told = read_mapping(mapping)
    kinds, needed = columns_known(told.table), needed_columns(told.table)
    lines = [
        f"{name}{'!' if name in needed else ''} {kinds[name]} | {header}"
        for name, header in told.columns.items()
    ]
    shapes = {
        "orders": functools.partial(shape_orders, told=told),
        "refunds": functools.partial(shape_refunds, told=told),
    }
    is_orders = told.table == "orders"
    return Adapter(
        f"generic-{told.table}" + f"-{told.family}" * is_orders,
        f"{told.family} (mapped)",
        ("orders", "order_lines") if is_orders else (told.table,),
        "\n".join(lines),
        shapes.get(told.table) or shape_of(told.table),
        ignored=" | ".join(told.ignored),
        family=told.family if told.table in shapes else "",
        version=repr(sorted(vars(told).items())),
        is_mapped=True,
        has_footers=told.table in SUMMED,
        **told.knobs,
    )


def read_mapping(mapping: Mapping[str, object] | str | PathLike | None) -> Mapped:
    """A mapping file, each of its lines checked."""
    name = "mapping" if mapping is None or isinstance(mapping, Mapping) else Path(mapping).name
    told = _lines_of(mapping, name)
    table = str(told.get("table") or "orders")
    known = [*SHAPED, *sorted(set(TABLES) - {*SHAPED, "order_lines", "import_ledger"})]
    if table not in known:
        known = ", ".join(known)
        raise PlaybookError("sources.mapping_table", table_named=table, known=known, file=name)
    family = normalised(str(told.get("name") or "generic")).replace(" ", "-") or "generic"
    return Mapped(
        table,
        family,
        _columns(told, table, name),
        _statuses(told, name),
        *(_pattern(told, setting, name) for setting in PATTERNS),
        tuple(str(one) for one in told.get("no_products") or ()),
        _ignored(told, name),
        told.get("tax_inside"),
        _knobs(told, name),
    )


def _lines_of(mapping: object, name: str) -> Mapping[str, object]:
    if mapping is None:
        raise PlaybookError("sources.mapping_needed")
    told = mapping
    if not isinstance(mapping, Mapping):
        try:
            told = yaml.safe_load(Path(mapping).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            cause = (str(error) or type(error).__name__).splitlines()[0][:120]
            raise PlaybookError("sources.mapping_unreadable", file=name, rule=cause) from None
    if not isinstance(told, Mapping) or not isinstance(told.get("columns"), Mapping):
        raise PlaybookError("sources.mapping_has_no_columns", file=name)
    odd = sorted(str(k) for k in set(told) - set(SETTINGS))
    if odd:
        known = ", ".join(SETTINGS)
        raise PlaybookError("sources.mapping_settings", odd=", ".join(odd), known=known, file=name)
    return told


def _columns(told: Mapping[str, object], table: str, name: str) -> dict[str, str]:
    columns = {str(k): str(v) for k, v in told["columns"].items() if v not in (None, "")}
    known = columns_known(table)
    _refuse_shares(columns, known, name)
    odd = sorted(set(columns) - set(known))
    if odd:
        raise PlaybookError(
            "sources.mapping_columns",
            table_named=table,
            odd=", ".join(odd),
            known=", ".join(known),
            file=name,
        )
    missing = [n for n in needed_columns(table) if n not in columns]
    if table == "orders" and not missing and not {"price", "amount", "total"} & set(columns):
        missing = ["price, amount or total"]
    if missing:
        raise PlaybookError("sources.mapping_leaves_out", missing=", ".join(missing), file=name)
    return columns


def _refuse_shares(columns: Mapping[str, str], known: Mapping[str, str], name: str) -> None:
    """A rate is no money: `Discount %` of 10 takes a tenth off, not ten."""
    words = {w.strip() for w in fields()["irrelevant"]["share"].split("|")}
    for column, header in columns.items():
        # a shipping rate is what shipping costs
        is_rate = column != "shipping" and set(normalised(header).split()[-1:]) & words
        if known.get(column) == "money" and (is_rate or re.search(r"(?<![0-9])\s*[%％]", header)):
            raise PlaybookError(
                "sources.share_is_no_money", file=name, column=column, header=header
            )


def _statuses(told: Mapping[str, object], name: str) -> dict[str, str]:
    statuses = {str(k).lower(): str(v) for k, v in (told.get("status") or {}).items()}
    wrong = sorted(set(statuses.values()) - set(STATUSES))
    if wrong:
        known = ", ".join(STATUSES)
        raise PlaybookError(
            "sources.mapping_statuses", wrong=", ".join(wrong), known=known, file=name
        )
    return statuses


def _pattern(told: Mapping[str, object], setting: str, name: str) -> str:
    pattern = str(told.get(setting) or "")
    try:
        re.compile(pattern)
    except re.error as error:
        raise PlaybookError(
            "sources.mapping_pattern", setting=setting, cause=error, file=name
        ) from None
    return pattern


def _ignored(told: Mapping[str, object], name: str) -> dict[str, str]:
    ignored = told.get("ignored") or {}
    if isinstance(ignored, Mapping) and all(ignored.values()):
        return {str(header): str(reason) for header, reason in ignored.items()}
    raise PlaybookError("sources.mapping_ignored", file=name)


def _knobs(told: Mapping[str, object], name: str) -> dict[str, object]:
    for knob in ("day_first", "decimal_comma", "tax_inside"):
        if told.get(knob) not in (None, True, False):
            raise PlaybookError("sources.mapping_knob", knob=knob, file=name)
    return {
        "zone": str(told.get("zone") or ""),
        "day_first": told.get("day_first"),
        "is_decimal_comma": told.get("decimal_comma"),
    }
