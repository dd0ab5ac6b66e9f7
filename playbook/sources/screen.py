"""A rebuilt store held against the contract before it is published: a table that `check`
would refuse never takes the place of one that it took.

One question per table on the engine that wrote it. Whether orders and lines meet is not
asked here: they may come in two files, one import after the other.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ibis

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.store.check import STOPPING, column_rules
from playbook.store.contract import TABLES, ibis_type
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb

__all__ = ["refuse_broken_tables"]


class _Rule(NamedTuple):
    """A rule of a column: its name, what it is held against, and the rows that break it in
    the engine's words.
    """

    column: str
    rule: str
    bound: object
    is_broken: str


def refuse_broken_tables(con: duckdb.DuckDBPyConnection, stage: Path, files: Sequence[str]) -> None:
    """Raise PlaybookError for the first rule of the contract that stops a run and that a
    table of `stage` (parquet files by table name) breaks; `files` are those just read.
    """
    for path in sorted(stage.glob("*.parquet")):
        if path.stem in TABLES:
            _screen(con, path, files)


def _screen(con: duckdb.DuckDBPyConnection, path: Path, files: Sequence[str]) -> None:
    name = path.stem
    con.execute(f"CREATE OR REPLACE TEMP VIEW staged AS SELECT * FROM read_parquet({quoted(path)})")
    try:
        present = tuple(row[0] for row in con.execute("DESCRIBE staged").fetchall())
        lacking = [c for c in TABLES[name].required if c not in present]
        if lacking:
            raise _refusal(name, lacking[0], "column_required", files)
        rules = _rules(name, present)
        counts = ", ".join(f"count(*) FILTER (WHERE {r.is_broken})" for r in rules) or "0"
        counted = con.execute(f"SELECT {counts} FROM staged").fetchone()
        for rule, rows in zip(rules, counted, strict=False):
            if rows:
                shown = _examples(con, name, present, rule.is_broken)
                about = {"rows": rows, "bound": rule.bound, "examples": shown}
                raise _refusal(name, rule.column, rule.rule, files, **about)
    finally:
        con.execute("DROP VIEW staged")


@functools.cache
def _rules(name: str, present: tuple[str, ...]) -> list[_Rule]:
    spec = TABLES[name]
    here = [c for c in spec.columns if c.name in present]
    table = ibis.table({c.name: ibis_type(c) for c in here}, name="staged")
    out = []
    for column in here:
        if not (name in STOPPING or column.required):
            continue  # told by `check`, and stops nothing
        for rule, bound, is_broken in column_rules(column, table[column.name]):
            asked = ibis.to_sql(table.filter(is_broken), dialect="duckdb", pretty=False)
            out.append(_Rule(column.name, rule, bound, _condition(asked)))
    return out


def _condition(select: str) -> str:
    """What stands behind WHERE, its table's alias taken off."""
    return select.split(" WHERE ", 1)[1].replace('"t0".', "")


def _examples(
    con: duckdb.DuckDBPyConnection, name: str, present: tuple[str, ...], is_broken: str
) -> str:
    key = ", ".join(c for c in TABLES[name].key if c in present)
    found = con.execute(f"SELECT {key} FROM staged WHERE {is_broken} ORDER BY ALL LIMIT 3")
    return "; ".join(" ".join(map(str, row)) for row in found.fetchall())


def _refusal(
    table: str, column: str, rule: str, files: Sequence[str], **about: object
) -> PlaybookError:
    values = {"column": column, "table": table, **about}
    shown = about.get("examples")
    return PlaybookError(
        "sources.import_breaks_contract",
        broken=say(f"store.rule_{rule}", **values),
        examples=say("store.for_example", examples=shown) if shown else "",
        table=table,
        column=column,
        rows=about.get("rows"),
        file=", ".join(files),
    )
