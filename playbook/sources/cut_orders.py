"""One order whose rows lie in two files of an export: its head and first lines end one of
them, its other lines begin the next.

Each part keeps such pieces. Once everything imported lies together they are put together,
where the lines of both then come to the subtotal and the total the head prints, to the cent;
whatever does not stays out of sales and is named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.messages import say
from playbook.sources.allocate import finish_orders
from playbook.sources.parts import Part, Rebuilt
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb

NAME = "joined"
TABLES = ("orders", "order_lines", "refunds", "entities", "ledger")


@dataclass
class _Joined:
    """What the sharing out of money works on: a delivery without a file."""

    con: duckdb.DuckDBPyConnection
    emitted: dict[str, str] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_checked: bool = False

    def emit(self, table: str, query: str) -> None:
        """Takes the query of a table over."""
        self.emitted[table] = query


def joined_part(
    con: duckdb.DuckDBPyConnection, mine: list[Part], scratch: Path, out: Rebuilt
) -> list[Part]:
    """The orders put together as one more part of each family, written into `scratch`; the
    table `joined` (family, entity) names them. None where no two parts hold such pieces.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE joined (family VARCHAR, entity VARCHAR)")
    made = []
    for family in sorted({p.about["family"] for p in mine if "cut_heads" in p.tables}):
        of_family = [p for p in mine if p.about["family"] == family]
        made += _of_family(con, family, of_family, scratch / family, out)
    return made


def _of_family(
    con: duckdb.DuckDBPyConnection, family: str, mine: list[Part], folder: Path, out: Rebuilt
) -> list[Part]:
    heads, lines = _rows(mine, "cut_heads"), _rows(mine, "cut_lines")
    if not lines:
        return []
    # one head in one file, and lines of the same number without a head in just one other
    con.execute(f"""CREATE OR REPLACE TEMP TABLE pieces AS
        WITH h AS (SELECT order_id, any_value(_import) AS head, count(*) AS n FROM ({heads}) GROUP BY 1),
        l AS (SELECT order_id, any_value(_import) FILTER (NOT has_head) AS tail,
                     count(DISTINCT _import) FILTER (NOT has_head) AS n_tails FROM ({lines}) GROUP BY 1)
        SELECT order_id, head, tail FROM h JOIN l USING (order_id)
        WHERE n = 1 AND n_tails = 1 AND order_id NOT IN (
            SELECT entity FROM ({_rows(mine, "entities")}) WHERE completeness = 2)""")
    if con.execute("SELECT count(*) FROM pieces").fetchone() == (0,):
        return []
    con.execute(f"""CREATE OR REPLACE TABLE raw AS
        SELECT l.* FROM ({lines}) l JOIN pieces p USING (order_id)
        WHERE l._import = CASE WHEN has_head THEN p.head ELSE p.tail END""")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE whole_heads AS SELECT * EXCLUDE (_import) FROM ({heads}) SEMI JOIN pieces USING (order_id)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE whole_lines AS SELECT * EXCLUDE (_import, has_head) FROM raw"
    )
    d = _Joined(con)
    finish_orders(d, "SELECT * FROM whole_heads", "SELECT * FROM whole_lines")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE whole AS
        SELECT entity FROM ({d.emitted["entities"]}) WHERE completeness = 2""")
    n, example = con.execute("SELECT count(*), min(entity) FROM whole").fetchone()
    if not n:
        return []
    con.execute(f"INSERT INTO joined SELECT {quoted(family)}, entity FROM whole")
    out.notes.append(say("sources.orders_joined", orders=n, example=example))
    return [_as_part(con, d, family, mine, folder)]


def _rows(mine: list[Part], table: str) -> str:
    """The rows of one table in every part that has it, as a query; nothing where none has."""
    return " UNION ALL BY NAME ".join(
        f"SELECT *, {quoted(p.import_id)} AS _import FROM read_parquet({p.file(table)})"
        for p in mine
        if table in p.tables
    )


def _as_part(
    con: duckdb.DuckDBPyConnection, d: _Joined, family: str, mine: list[Part], folder: Path
) -> Part:
    folder.mkdir(parents=True)
    tables = tuple(t for t in TABLES if t in d.emitted)
    for table in tables:
        whose = "entity" if table != "order_lines" else "order_id"
        con.execute(
            f"COPY (SELECT * FROM ({d.emitted[table]}) WHERE {whose} IN (SELECT entity FROM whole)) "
            f"TO {quoted(folder / f'{table}.parquet')} (FORMAT parquet)"
        )
    first = next(p for p in mine if "cut_heads" in p.tables)
    about = {"family": family, "part": "orders", "n_rows": 0, "is_split": False}
    end = max(p.extract_end for p in mine)
    return Part(folder, f"{NAME}-{first.import_id}", NAME, first.source_sha256, tables, end, about)


def give_way(con: duckdb.DuckDBPyConnection) -> None:
    """Takes the pieces of `joined` orders out of the views `all_entities` and `all_ledger`:
    what they held stands in the whole.
    """
    if con.execute("SELECT count(*) FROM joined").fetchone() == (0,):
        return
    is_told = "EXISTS (SELECT 1 FROM joined j WHERE j.family = o.family AND j.entity = o.entity)"
    for table in ("entities", "ledger"):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE whole_{table} AS SELECT * FROM all_{table} o "
            f"WHERE starts_with(o.import_id, '{NAME}-') OR NOT {is_told}"
        )
        con.execute(f"CREATE OR REPLACE VIEW all_{table} AS SELECT * FROM whole_{table}")
