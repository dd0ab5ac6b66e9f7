"""Who an order is, once everything imported lies together: the platform's unique id where
it gives one, the printed number within its shop otherwise.

Versions of one order are told from orders that share a number, from one order written in
two ways and from one order cut over two files: joined where that is proved, refused by
name where nothing tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbook.errors import PlaybookError
from playbook.messages import say

if TYPE_CHECKING:
    import duckdb

TABLES = ("orders", "order_lines", "refunds", "entities", "ledger")
NUMBERED = ("orders", "order_lines", "refunds")  # tables that hold the order's number
# an order is placed once; exports of one moment differ by a time zone at the most
LEAST_BUYERS = 2  # buyers that differ before two extracts are of two shops
LONGEST_SHIFT = "INTERVAL 36 HOUR"
# a number without the signs people and programs put around it, and without the noughts a
# spreadsheet takes off its front
BARE = (
    "regexp_replace(regexp_replace(regexp_replace(lower(trim(entity)), "
    "'^(order|no\\.?|nr\\.?|#|\\s)+', ''), '\\.0+$', ''), '^0+([0-9])', '\\1')"
)
ODD = "starts_with(entity, '#') OR starts_with(entity, '0') OR suffix(entity, '.0') OR entity <> upper(entity)"


def settle_identities(con: duckdb.DuckDBPyConnection, *, are_several: bool) -> list[str]:
    """Gives every order of the views `all_orders` ... one number of its own; sentences on
    what was told apart or joined.

    PlaybookError where one number names several orders and nothing says which is which.
    """
    notes = []
    if are_several:
        notes += _by_unique_id(con)
    notes += _by_spelling(con)
    if are_several:
        _refuse_numbers_used_again(con)
        notes += _join_cut_orders(con)
    return notes


def _by_unique_id(con: duckdb.DuckDBPyConnection) -> list[str]:
    """One name with several ids stands for several orders, and the id is put into their
    numbers; one id under several names is one order. A version without an id belongs to
    the one of its moment and money.
    """
    con.execute("""CREATE OR REPLACE TEMP TABLE renamed AS
        WITH told AS (
            SELECT DISTINCT family, import_id, entity, _uid, ordered_at, total,
                   CASE WHEN suffix(entity, ' (' || _uid || ')')
                        THEN left(entity, length(entity) - length(_uid) - 3) ELSE entity END AS name
            FROM all_orders WHERE _uid IS NOT NULL),
        named AS (SELECT *, min(name) OVER (PARTITION BY family, _uid) AS first_name FROM told),
        marked AS (SELECT *, min(_uid) OVER n <> max(_uid) OVER n AS is_shared FROM named
                   WINDOW n AS (PARTITION BY family, first_name)),
        final AS (SELECT *, CASE WHEN is_shared THEN first_name || ' (' || _uid || ')'
                                 ELSE first_name END AS new_id FROM marked),
        without AS (
            SELECT o.family, o.import_id, o.entity,
                   any_value(f.new_id) FILTER (f.ordered_at = o.ordered_at AND f.total = o.total) AS new_id
            FROM all_orders o JOIN final f ON f.family = o.family AND f.name = o.entity AND f.is_shared
            WHERE o._uid IS NULL GROUP BY ALL)
        SELECT DISTINCT family, import_id, entity, new_id FROM final WHERE new_id <> entity
        UNION ALL SELECT * FROM without""")
    rows, example = con.execute(
        "SELECT count(*), min(entity) FROM renamed WHERE new_id IS NULL"
    ).fetchone()
    if rows:
        raise PlaybookError("sources.number_used_again", example=example, rows=rows, table="orders")
    return _rename(con, "sources.orders_told_apart")


def _by_spelling(con: duckdb.DuckDBPyConnection) -> list[str]:
    """`#1001` beside `1001` and `1001.0`: one order where moment and money agree, two
    where they do not.
    """
    n, signed = con.execute(f"SELECT count(*), count(*) FILTER ({ODD}) FROM all_orders").fetchone()
    if not 0 < signed < n:
        return []
    con.execute(f"""CREATE OR REPLACE TEMP TABLE renamed AS
        WITH told AS (SELECT family, import_id, entity, ordered_at, total, {BARE} AS name FROM all_orders),
        several AS (SELECT family, name FROM told GROUP BY ALL HAVING count(DISTINCT entity) > 1),
        same AS (
            SELECT family, name, total, min(entity) AS new_id, max(ordered_at) - min(ordered_at) AS apart
            FROM told SEMI JOIN several USING (family, name) GROUP BY ALL)
        SELECT t.family, t.import_id, t.entity, s.new_id FROM told t JOIN same s USING (family, name, total)
        WHERE s.new_id <> t.entity AND s.apart <= {LONGEST_SHIFT}""")
    return _rename(con, "sources.orders_written_differently")


def _rename(con: duckdb.DuckDBPyConnection, message: str) -> list[str]:
    """Carries the numbers of `renamed` through all tables."""
    n, example = con.execute("SELECT count(DISTINCT new_id), min(new_id) FROM renamed").fetchone()
    if not n:
        return []
    for table in TABLES:
        swaps = ["coalesce(r.new_id, o.entity) AS entity"]
        if table in NUMBERED:
            swaps.append(
                "CASE WHEN o.order_id = o.entity THEN coalesce(r.new_id, o.order_id) "
                "ELSE o.order_id END AS order_id"
            )
        if table == "refunds":
            swaps.append(
                "CASE WHEN r.new_id IS NOT NULL THEN replace(o.refund_id, o.entity, r.new_id) "
                "ELSE o.refund_id END AS refund_id"
            )
        _replace(
            con,
            table,
            f"SELECT o.* REPLACE ({', '.join(swaps)}) "
            f"FROM all_{table} o LEFT JOIN renamed r USING (family, import_id, entity)",
        )
    return [say(message, orders=n, example=example)]


def _replace(con: duckdb.DuckDBPyConnection, table: str, query: str) -> None:
    """Puts a query in the place of a view it reads."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE next_{table} AS {query}")
    con.execute(f"DROP TABLE IF EXISTS told_{table}")
    con.execute(f"ALTER TABLE next_{table} RENAME TO told_{table}")
    con.execute(f"CREATE OR REPLACE VIEW all_{table} AS SELECT * FROM told_{table}")


def _refuse_numbers_used_again(con: duckdb.DuckDBPyConnection) -> None:
    """Without an id of the platform's, one number placed at moments days apart, or by two
    buyers for different money, names two orders; which is which no rule can tell.
    """
    family, rows, example = con.execute(f"""
        SELECT min(family), count(*), min(entity) FROM (
            SELECT family, entity FROM all_orders GROUP BY ALL
            HAVING max(ordered_at) - min(ordered_at) > {LONGEST_SHIFT}
                OR (max(ordered_at) > min(ordered_at) AND min(customer_id) <> max(customer_id)
                    AND min(total) <> max(total)))""").fetchone()
    rows, family, example = (rows, family, example) if rows else _numbers_of_two_shops(con)
    if rows:
        raise PlaybookError(
            "sources.number_used_again", example=example, rows=rows, file=family, table="orders"
        )


def _numbers_of_two_shops(con: duckdb.DuckDBPyConnection) -> tuple[int, str | None, str | None]:
    """How many numbers two extracts share though most of their buyers differ: a buyer may
    change an address, and not half of a shop's buyers at once.
    """
    found = con.execute(f"""
        WITH o AS (SELECT DISTINCT family, entity, import_id, customer_id FROM all_orders
                   WHERE customer_id IS NOT NULL AND _uid IS NULL)
        SELECT count(*) FILTER (a.customer_id <> b.customer_id) AS n, a.family,
               min(a.entity) FILTER (a.customer_id <> b.customer_id)
        FROM o a JOIN o b USING (family, entity) WHERE a.import_id < b.import_id
        GROUP BY a.family, a.import_id, b.import_id
        HAVING n >= {LEAST_BUYERS} AND n >= 0.5 * count(*) ORDER BY 2, 3 LIMIT 1""").fetchone()
    return found or (0, None, None)


# --- an order cut over two files --------------------------------------------------------------


def _join_cut_orders(con: duckdb.DuckDBPyConnection) -> list[str]:
    """An order whose lines alone tell its money, the last of one file and the first of
    another without a line in both, is one order cut at the edge: its parts are put
    together under the first of them.
    """
    con.execute("""CREATE OR REPLACE TEMP TABLE cut AS
        WITH v AS (
            SELECT family, entity, import_id, _edge, ordered_on FROM all_orders WHERE _edge IS NOT NULL),
        pairs AS (
            SELECT a.family, a.entity, a.import_id AS head, b.import_id AS tail
            FROM v a JOIN v b USING (family, entity, ordered_on)
            WHERE a.import_id <> b.import_id AND a._edge IN ('last', 'both') AND b._edge IN ('first', 'both'))
        SELECT p.* FROM pairs p
        WHERE NOT EXISTS (
            SELECT 1 FROM all_order_lines x JOIN all_order_lines y USING (family, entity, quantity, price)
            WHERE x.family = p.family AND x.entity = p.entity AND x.import_id = p.head AND y.import_id = p.tail
              AND x.sku IS NOT DISTINCT FROM y.sku AND x.title IS NOT DISTINCT FROM y.title)
        QUALIFY count(*) OVER (PARTITION BY family, entity) = 1""")
    notes = _take_the_longer(con)
    n, example = con.execute("SELECT count(*), min(entity) FROM cut").fetchone()
    if not n:
        return notes
    whose = (
        "LEFT JOIN cut c ON c.family = o.family AND c.entity = o.entity AND c.tail = o.import_id"
    )
    own = "coalesce(c.head, o.import_id) AS import_id"
    _replace(
        con,
        "order_lines",
        f"""SELECT o.* REPLACE ({own}, row_number() OVER (PARTITION BY o.family, o.entity, coalesce(c.head, o.import_id)
                ORDER BY c.head IS NOT NULL, o.line_no) AS line_no)
            FROM all_order_lines o {whose}""",
    )
    for table in ("refunds", "ledger"):
        _replace(con, table, f"SELECT o.* REPLACE ({own}) FROM all_{table} o {whose}")
    money = ("gross", "discount", "shipping", "tax", "total", "tip", "duties", "other_charges")
    sums = ", ".join(
        f"CASE WHEN t.entity IS NULL THEN o.{m} ELSE CAST(coalesce(o.{m}, 0) + coalesce(t.{m}, 0) AS DECIMAL(18,6)) END AS {m}"
        for m in money
    )
    _replace(
        con,
        "orders",
        f"""SELECT o.* REPLACE ({sums}) FROM (SELECT o.* FROM all_orders o {whose} WHERE c.tail IS NULL) o
            LEFT JOIN cut h ON h.family = o.family AND h.entity = o.entity AND h.head = o.import_id
            LEFT JOIN all_orders t ON t.family = h.family AND t.entity = h.entity AND t.import_id = h.tail""",
    )
    _replace(con, "entities", f"SELECT o.* FROM all_entities o {whose} WHERE c.tail IS NULL")
    return [*notes, say("sources.orders_joined", orders=n, example=example)]


def _take_the_longer(con: duckdb.DuckDBPyConnection) -> list[str]:
    """An order at the edge of a file whose lines are but some of those another file holds
    was cut there: the longer version is taken, whichever file is the later one.
    """
    con.execute("""CREATE OR REPLACE TEMP TABLE shorter AS
        WITH l AS (
            SELECT family, entity, import_id, sku, title, quantity, price, count(*) AS n
            FROM all_order_lines SEMI JOIN (
                SELECT family, entity FROM all_orders WHERE _edge IS NOT NULL
                GROUP BY ALL) USING (family, entity) GROUP BY ALL),
        sizes AS (SELECT family, entity, import_id, sum(n) AS n_lines FROM l GROUP BY ALL),
        pairs AS (
            SELECT a.family, a.entity, a.import_id, b.import_id AS other
            FROM sizes a JOIN sizes b USING (family, entity)
            WHERE a.import_id <> b.import_id AND a.n_lines < b.n_lines)
        SELECT DISTINCT p.family, p.entity, p.import_id FROM pairs p
        SEMI JOIN all_orders o ON o.family = p.family AND o.entity = p.entity
            AND o.import_id = p.import_id AND o._edge IS NOT NULL
        WHERE NOT EXISTS (
            SELECT 1 FROM l x WHERE x.family = p.family AND x.entity = p.entity AND x.import_id = p.import_id
              AND x.n > coalesce((
                  SELECT sum(y.n) FROM l y WHERE y.family = p.family AND y.entity = p.entity
                    AND y.import_id = p.other AND y.sku IS NOT DISTINCT FROM x.sku
                    AND y.title IS NOT DISTINCT FROM x.title AND y.quantity = x.quantity
                    AND y.price = x.price), 0))""")
    n, example = con.execute("SELECT count(*), min(entity) FROM shorter").fetchone()
    if not n:
        return []
    _replace(
        con,
        "entities",
        """SELECT o.* REPLACE (CASE WHEN s.entity IS NULL THEN o.completeness ELSE 1 END AS completeness)
           FROM all_entities o LEFT JOIN shorter s USING (family, entity, import_id)""",
    )
    return [say("sources.longer_taken", orders=n, example=example)]
