"""The contract's tables of a database: found under any case of their names, and never taken
for missing because its user may not read them.
"""

from __future__ import annotations

from typing import Any

from ibis import Table

from playbook.errors import PlaybookError
from playbook.store.contract import TABLES
from playbook.store.contract import Table as ContractTable

__all__ = ["server_tables"]

# Postgres lists only what a user may read; the catalogue knows the rest
UNREADABLE = """
SELECT c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p')
  AND n.nspname = ANY (pg_catalog.current_schemas(false))
  AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
"""


def server_tables(con: Any) -> dict[str, Table]:
    """Contract table -> expression, its columns under the contract's names. PlaybookError
    for a table whose name stands there twice but for its case, and for one that is there
    and may not be read.
    """
    if con.name == "postgres":
        # moments without a zone are cast in the session's
        con.raw_sql("SET TIME ZONE 'UTC'")
        _refuse_unreadable(con)
    found: dict[str, str] = {}
    for name in sorted(con.list_tables()):
        known = name.lower()
        if known in TABLES and known in found:
            raise PlaybookError(
                "store.table_twice",
                table=known,
                names=f"{found[known]}, {name}",
            )
        found |= {known: name} if known in TABLES else {}
    return {n: _lowered(con.table(found[n]), spec) for n, spec in TABLES.items() if n in found}


def _refuse_unreadable(con: Any) -> None:
    with con._safe_raw_sql(UNREADABLE) as cursor:
        hidden = {row[0].lower() for row in cursor.fetchall()}
    if unreadable := [name for name in TABLES if name in hidden]:
        raise PlaybookError(
            "store.no_right",
            table=unreadable[0],
            n=len(unreadable),
        )


def _lowered(table: Table, spec: ContractTable) -> Table:
    """Columns of the contract under its names, whatever their case; the others, such as the
    questions of a survey, as they are, unless the database writes every name in capitals.
    """
    wanted = {c.name for c in spec.columns}
    is_loud = all(c == c.upper() for c in table.columns)
    changed = [c for c in table.columns if c != c.lower() and (is_loud or c.lower() in wanted)]
    lowered = {c: c.lower() for c in changed}
    return table.rename({new: old for old, new in lowered.items() if new not in table.columns})
