"""Orders from a marketplace's settlement, for shops that have no order file of it.

A settlement tells what was sold and when it was posted, not when it was ordered, and an
order may be posted in several parts. So its orders are put together from every settlement
imported, and give way to the marketplace's own order file as soon as one is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from playbook.messages import say
from playbook.sources.allocate import STATUS_RANK
from playbook.sources.parts import Part, Rebuilt

if TYPE_CHECKING:
    import duckdb


NAME = "settled"


def settled_part(
    con: duckdb.DuckDBPyConnection, parts: list[Part], scratch: Path, out: Rebuilt
) -> list[Part]:
    """The settlements' orders as one more part, written into `scratch`; none where an
    export of the same family gives the orders themselves.
    """
    families = {p.about["family"] for p in parts if "orders" in p.tables}
    mine = [p for p in parts if "settled_lines" in p.tables and p.about["family"] not in families]
    if not mine or _are_told(con, mine, parts):
        return []
    _collect(con, mine)
    tables = {"orders": _orders(), "order_lines": _lines(), "entities": _entities()}
    tables["ledger"] = _ledger()
    for table, query in tables.items():
        con.execute(f"COPY ({query}) TO '{scratch / f'{table}.parquet'}' (FORMAT parquet)")
    n, low = con.execute(
        "SELECT count(*), CAST(min(ordered_on) AS VARCHAR) FROM settled_orders"
    ).fetchone()
    out.notes.append(say("sources.orders_by_settlement", orders=n, day=low))
    return [_as_part(mine, scratch, tuple(tables))]


def _are_told(con: duckdb.DuckDBPyConnection, mine: list[Part], parts: list[Part]) -> bool:
    """Whether an export of another family (a mapped file, say) has orders of these numbers."""
    others = [p for p in parts if "orders" in p.tables]
    if not others:
        return False
    sold, named = (
        " UNION ALL ".join(f"SELECT {c} AS name FROM read_parquet({p.file(t)})" for p in some)
        for c, t, some in (("order_ref", "settled_lines", mine), ("order_id", "orders", others))
    )
    (n,) = con.execute(f"SELECT count(*) FROM ({sold}) SEMI JOIN ({named}) USING (name)").fetchone()
    return n > 0


def _as_part(mine: list[Part], scratch: Path, tables: tuple[str, ...]) -> Part:
    first = mine[0]
    about = {"family": first.about["family"], "part": "orders", "n_rows": 0, "is_split": False}
    end = max(p.extract_end for p in mine)
    return Part(scratch, f"{NAME}-{first.import_id}", NAME, first.source_sha256, tables, end, about)


def _collect(con: duckdb.DuckDBPyConnection, mine: list[Part]) -> None:
    rows = " UNION ALL BY NAME ".join(
        f"SELECT * FROM read_parquet({p.file('settled_lines')})" for p in mine
    )
    con.execute(f"""CREATE OR REPLACE TEMP TABLE settled_rows AS
        SELECT * FROM ({rows}) QUALIFY row_number() OVER (PARTITION BY line_id ORDER BY is_fine DESC) = 1""")
    con.execute("""DELETE FROM settled_rows WHERE NOT is_fine AND settlement IN (
        SELECT settlement FROM settled_rows WHERE is_fine)""")
    have = {r[0] for r in con.execute("DESCRIBE settled_rows").fetchall()}
    title = "title" if "title" in have else "CAST(NULL AS VARCHAR)"
    con.execute(f"""CREATE OR REPLACE TEMP TABLE settled_items AS
        SELECT order_ref AS order_id, sku, {title} AS title, CAST(quantity AS BIGINT) AS quantity,
               CAST(goods / quantity AS DECIMAL(18,6)) AS price,
               CAST(greatest(discount, 0) AS DECIMAL(18,6)) AS discount, tax,
               row_number() OVER (PARTITION BY order_ref ORDER BY posted_at, sku, goods, line_id) AS line_no
        FROM settled_rows WHERE quantity > 0 AND goods >= 0""")
    con.execute("""CREATE OR REPLACE TEMP TABLE settled_orders AS
        SELECT r.*, i.gross, i.discount, i.n_lines, r.total - (i.gross - i.discount + r.shipping + r.tax) AS rest
        FROM (SELECT order_ref AS order_id, min(posted_at) AS ordered_at, min(posted_on) AS ordered_on,
                     max(posted_at) AS own_last, 'shipped' AS status, any_value(currency) AS currency,
                     greatest(sum(shipping), 0) AS shipping, sum(tax) AS tax,
                     sum(goods - discount + shipping + tax) AS total
              FROM settled_rows GROUP BY 1) r
        JOIN (SELECT order_id, sum(quantity * price) AS gross, sum(discount) AS discount, count(*) AS n_lines
              FROM settled_items GROUP BY 1) i USING (order_id)""")


def _orders() -> str:
    return """SELECT order_id AS entity, order_id, ordered_at, ordered_on, status, 'amazon' AS platform,
            'amazon' AS channel, currency, CAST(gross AS DECIMAL(18,6)) AS gross,
            CAST(discount AS DECIMAL(18,6)) AS discount, CAST(shipping AS DECIMAL(18,6)) AS shipping,
            CAST(tax AS DECIMAL(18,6)) AS tax, CAST(nullif(rest, 0) AS DECIMAL(18,6)) AS other_charges,
            CAST(total AS DECIMAL(18,6)) AS total FROM settled_orders"""


def _lines() -> str:
    return """SELECT order_id, line_no, sku, quantity, price, discount, CAST(tax AS DECIMAL(18,6)) AS tax,
            title, true AS is_product FROM settled_items ORDER BY order_id, line_no"""


def _entities() -> str:
    return f"""SELECT order_id AS entity, own_last, {STATUS_RANK} AS status_rank,
            CAST(0 AS DECIMAL(18,6)) AS refunded, 2 AS completeness FROM settled_orders"""


def _ledger() -> str:
    parts = {
        "kept": "gross - discount",
        "tax": "tax",
        "shipping": "shipping",
        "rounding": "rest",
    }
    rows = " UNION ALL ".join(
        f"SELECT order_id AS entity, '{reason}' AS reason, ordered_on AS day_on, true AS is_guest, "
        f"CAST({'n_lines' if reason == 'kept' else 0} AS BIGINT) AS n_rows, 1 AS n_orders, "
        f"CAST({amount} AS DECIMAL(18,6)) AS amount FROM settled_orders"
        + (f" WHERE {amount} <> 0" if reason != "kept" else "")
        for reason, amount in parts.items()
    )
    return f"SELECT * FROM ({rows})"
