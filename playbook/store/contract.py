"""The data contract as data: every table's grain, key, columns, types, loss budget and
how time cuts it.

The words: a *grain* says what one row is; a *key* names the columns that make a row
unique; a *loss budget* is the share of source rows an import may fail to read. The
tables stand in `contract.yaml`; `data/CONTRACT.md` is written from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from playbook.messages import read_yaml

__all__ = [
    "KINDS",
    "MONEY",
    "PLANNED",
    "TABLES",
    "Column",
    "Kind",
    "Table",
    "arrow_schema",
    "contract_markdown",
    "control_names",
    "ibis_type",
]

# CDNOW holds unit prices with more than two decimals; sums stay exact at six places
MONEY_SCALE = 6
MONEY = f"decimal(18, {MONEY_SCALE})"

# planned dates lie in the future by nature: as-of does not hide them
PLANNED = {"promised_at", "promised_on", "expires_on", "until_on", "ends_on", "due_on"}


class Kind(NamedTuple):
    """How a contract type is called by Ibis, by DuckDB and by Arrow."""

    ibis: str
    sql: str
    arrow: str


KINDS = {
    "text": Kind("string", "VARCHAR", "string"),
    "int": Kind("int64", "BIGINT", "int64"),
    "dec": Kind(MONEY, f"DECIMAL(18,{MONEY_SCALE})", "decimal128"),
    "num": Kind("float64", "DOUBLE", "double"),
    "ts": Kind("timestamp", "TIMESTAMP", "timestamp[us]"),
    "date": Kind("date", "DATE", "date32"),
    "month": Kind("string", "VARCHAR", "string"),
    "bool": Kind("boolean", "BOOLEAN", "bool"),
}


@dataclass(frozen=True)
class Column:
    """One column: its type is a key of `KINDS`; dec is money, ts is UTC."""

    name: str
    type: str
    required: bool = False
    meaning: str = ""
    allowed: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None


@dataclass(frozen=True)
class Table:
    """One table: `cut` names the column whose day decides whether a row had happened by
    as-of (empty: never cut).
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    cut: str = ""
    loss_budget: float = 0.001
    notebooks: str = ""
    note: str = ""

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if the table has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that must be there when the table is."""
        return tuple(c.name for c in self.columns if c.required)


def _column(line: str) -> Column:
    head, _, meaning = line.partition("|")
    name, kind, *limits = head.split(maxsplit=2)
    stated = limits[0] if limits else ""
    bounds = {sign: float(number) for sign, number in re.findall(r"(>=|<=|>)(\S+)", stated)}
    return Column(
        name.rstrip("!"),
        kind,
        name.endswith("!"),
        meaning.strip(),
        tuple(stated.strip(" {}").split()) if "{" in stated else (),
        bounds.get(">="),
        bounds.get("<="),
        bounds.get(">"),
    )


def _table(name: str, stated: dict[str, Any]) -> Table:
    columns = tuple(_column(line) for line in stated["columns"].strip().splitlines())
    return Table(
        name,
        stated["grain"],
        tuple(stated["key"].split()),
        columns,
        stated.get("cut", ""),
        stated.get("loss", 0.001),
        stated["notebooks"],
        stated.get("note", ""),
    )


TABLES: dict[str, Table] = {
    name: _table(name, stated)
    for name, stated in read_yaml(Path(__file__).with_name("contract.yaml")).items()
}


def ibis_type(column: Column) -> str:
    """The Ibis type a column has in an opened store."""
    return KINDS[column.type].ibis


def arrow_schema(name: str) -> object:
    """The pyarrow schema of table `name`: money decimal128(18, 6), timestamps in
    microseconds, naive UTC.
    """
    import pyarrow as pa

    money = pa.decimal128(18, MONEY_SCALE)
    return pa.schema(
        [
            (c.name, money if c.type == "dec" else pa.type_for_alias(KINDS[c.type].arrow))
            for c in TABLES[name].columns
        ]
    )


def _limits(column: Column) -> str:
    bounds = (("≥", column.least), (">", column.above), ("≤", column.most))
    told = [f"one of {', '.join(column.allowed)}"] if column.allowed else []
    return "; ".join(told + [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None])


def control_names() -> dict[str, tuple[str, ...]]:
    """Names of the arm of a test that changes nothing: `roles` and `nothing` are names,
    `without` words that may follow a role, `fillers` words that may stand beside a name.
    """
    stated = read_yaml(Path(__file__).with_name("control_names.yaml"))
    return {kind: tuple(map(str.strip, text.split("|"))) for kind, text in stated.items()}


def _note(table: Table) -> list[str]:
    """What is to be said of a table besides its columns."""
    if not table.note:
        return []
    known = control_names()
    names = ", ".join(known["roles"] + known["nothing"])
    return [table.note.strip().format(control_names=names), ""]


def contract_markdown(names: list[str] | None = None) -> str:
    """The contract (or the tables named) as Markdown, for `data/CONTRACT.md` and
    `playbook contract`.
    """
    out = []
    for table in (TABLES[n] for n in names or TABLES):
        out += [
            f"## {table.name}",
            "",
            f"{table.grain}. Key: {', '.join(table.key)}. Notebooks: {table.notebooks}. "
            f"May lose {table.loss_budget:.1%} of source rows.",
            "",
            *_note(table),
            "| column | type | required | limits | meaning |",
            "|---|---|---|---|---|",
        ]
        out += [
            f"| {c.name} | {c.type} | {'yes' if c.required else ''} | {_limits(c)} | {c.meaning} |"
            for c in table.columns
        ]
        out.append("")
    return "\n".join(out)
