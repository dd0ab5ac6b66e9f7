"""Refunds in a file of their own, read by a mapping, and how refunds find their orders
once everything imported is put together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.adapter import Delivery
from playbook.sources.column_account import refuse_unexplained
from playbook.sources.day_order import settle_day_order
from playbook.sources.mapped import Mapped
from playbook.sources.word_columns import refuse_rows_said_no_sale
from playbook.store.contract import TABLES
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb

CENT = "0.011"
OWN = "refund:"  # before the number of a refund that came in a file of its own
KINDS = next(c.allowed for c in TABLES["refunds"].columns if c.name == "kind")


def shape_refunds(d: Delivery, told: Mapped) -> None:
    """One row is one refund, without tax and shipping where the file tells them."""
    settle_day_order(d)
    kind = f"lower({d.word('kind')})"
    printed = d.money("amount")
    beside = f"abs({_or_zero(d, 'tax')}) + abs({_or_zero(d, 'shipping')})"
    amount = f"{printed} - sign({printed}) * ({beside})"
    allowed = ", ".join(quoted(k) for k in KINDS)
    number = d.id("refund_id")
    content = "md5(concat_ws('|', order_id, refunded_at, printed, customer_id, sku))"
    picks = f"""
        SELECT {number} AS refund_id, {d.id("order_id")} AS order_id,
               {d.utc("refunded_at")} AS refunded_at,
               {d.day("refunded_at")} AS refunded_on, CAST({amount} AS DECIMAL(18,6)) AS amount,
               {printed} AS printed, {d.contact("customer_id")} AS customer_id,
               {d.id("sku")} AS sku, abs({d.count("quantity")}) AS quantity,
               upper({d.word("currency")}) AS currency, {d.text("reason")} AS reason,
               CASE WHEN {kind} IN ({allowed}) THEN {kind} ELSE 'refund' END AS kind
        FROM raw"""
    d.require("amount", *(["refund_id"] if d.has("refund_id") else []), when="true")
    d.refuse_unreadable("refunds", budget=0.0)
    d.con.execute(f"CREATE OR REPLACE TABLE told_refunds AS {picks}")
    refuse_unexplained(d, told)
    refuse_rows_said_no_sale(d, told, "refund")
    _check_signs(d)
    _check_numbers(d)
    d.con.execute(f"""CREATE OR REPLACE TABLE booked AS
        SELECT * REPLACE (coalesce(refund_id, left({content}, 12) || '-' ||
                   row_number() OVER (PARTITION BY {content})) AS refund_id),
               '{OWN}' || coalesce(refund_id, left({content}, 12) || '-' ||
                   row_number() OVER (PARTITION BY {content})) AS entity
        FROM told_refunds""")
    _emit(d)


def _or_zero(d: Delivery, name: str) -> str:
    return f"coalesce({d.money(name)}, 0)" if d.has(name) else "0"


def _check_signs(d: Delivery) -> None:
    """Amounts all with a minus are refunds written as bookings; both signs in one column
    are not guessed.
    """
    below, above = d.con.execute(
        "SELECT count(*) FILTER (printed < 0), count(*) FILTER (printed > 0) FROM told_refunds"
    ).fetchone()
    if below and above:
        raise PlaybookError(
            "sources.both_signs",
            file=d.sheet.path.name,
            table="refunds",
            column=d.header("amount"),
            rows=min(below, above),
        )
    if below:
        d.con.execute("UPDATE told_refunds SET amount = -amount, printed = -printed")
    (over,) = d.con.execute(
        "SELECT count(*) FROM told_refunds WHERE amount < 0 AND printed > 0"
    ).fetchone()
    if over:
        raise PlaybookError(
            "sources.refund_less_than_its_tax",
            file=d.sheet.path.name,
            table="refunds",
            column=d.header("amount"),
            rows=over,
        )


def _check_numbers(d: Delivery) -> None:
    """One refund may have several lines under its number; the same line twice is named."""
    (twice,) = d.con.execute(
        "SELECT count(*) FROM (SELECT refund_id FROM told_refunds WHERE refund_id IS NOT NULL "
        "GROUP BY ALL HAVING count(*) > 1)"
    ).fetchone()
    if not twice:
        return
    (same,) = d.con.execute(
        "SELECT count(*) FROM (SELECT 1 FROM told_refunds WHERE refund_id IS NOT NULL "
        "GROUP BY ALL HAVING count(*) > 1)"
    ).fetchone()
    if same:
        raise PlaybookError(
            "sources.rows_stand_twice",
            file=d.sheet.path.name,
            table="refunds",
            column=d.header("refund_id"),
            rows=same,
        )
    d.con.execute("""CREATE OR REPLACE TABLE told_refunds AS SELECT * REPLACE (
        CASE WHEN count(*) OVER w > 1 THEN refund_id || '-' || row_number() OVER (
            PARTITION BY refund_id ORDER BY order_id, sku, printed, refunded_at) ELSE refund_id END
        AS refund_id) FROM told_refunds WINDOW w AS (PARTITION BY refund_id)""")


def _emit(d: Delivery) -> None:
    # what was paid back may hold tax where the file tells none: the orders will show
    may_hold_tax = "false" if d.has("tax") else "true"
    d.emit(
        "refunds",
        f"SELECT * EXCLUDE (printed), {may_hold_tax} AS _may_hold_tax FROM booked WHERE amount > 0",
    )
    d.emit(
        "entities",
        """SELECT entity, refunded_at AS own_last, 0 AS status_rank, amount AS refunded,
                  2 AS completeness FROM booked""",
    )
    d.emit(
        "ledger",
        """SELECT entity, 'credit_line' AS reason, refunded_on AS day_on,
                  customer_id IS NULL AS is_guest, 1 AS n_rows, 0 AS n_orders, -amount AS amount
           FROM booked
           UNION ALL SELECT entity, 'tax', refunded_on, customer_id IS NULL, 0, 0, amount - printed
           FROM booked WHERE amount <> printed""",
    )
    n, total, undated, printed = d.con.execute(
        "SELECT count(*), sum(amount), count(*) FILTER (refunded_on IS NULL), sum(printed) FROM booked"
    ).fetchone()
    d.notes.append(
        say(
            "sources.account_stored",
            header=d.header("amount"),
            in_file=float(printed),
            in_store=float(total),
            between=say("sources.tax_and_shipping", amount=float(printed - total)),
            rest=0.0,
        )
    )
    d.notes.append(say("sources.refunds_read", n=n, total=total, undated=undated))


# --- in the store ----------------------------------------------------------------------------


def link_refunds(con: duckdb.DuckDBPyConnection, query: str) -> tuple[str, list[str]]:
    """The refunds of a store with the order each belongs to, and sentences on those
    whose order is not in the log. Reads `final_orders`, may change `taken`.

    An order written differently (`#1001` for `1001`, `o3` for `O3`) is found where just
    one order fits. A dated refund of an order outside the log is booked on its own day
    without an order; an undated one cannot be, and stands in the ledger as incomplete.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE told_refunds AS {query}")
    bare = "regexp_replace(lower(trim({})), '^(order|no\\.?|nr\\.?|#|\\s)+|\\.0+$', '', 'g')"
    # the names are worked out only where a refund names an order that is not there
    con.execute(f"""CREATE OR REPLACE TEMP TABLE order_names AS
        SELECT {bare.format("order_id")} AS name, min(order_id) AS order_id
        FROM final_orders WHERE (SELECT count(*) FROM told_refunds r ANTI JOIN final_orders USING (order_id)) > 0
        GROUP BY 1 HAVING count(DISTINCT order_id) = 1""")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE linked AS
        SELECT r.*, r.order_id IS NULL AS is_open,
               coalesce(o.order_id, n.order_id) AS own_order
        FROM told_refunds r
        LEFT JOIN (SELECT DISTINCT order_id FROM final_orders) o USING (order_id)
        LEFT JOIN order_names n ON n.name = {bare.format("r.order_id")}""")
    con.execute("""CREATE OR REPLACE TEMP TABLE refunded_orders AS
        SELECT order_id AS own_order, ordered_on, status, customer_id, entity, total,
               coalesce(tax, 0) AS order_tax,
               CAST(gross - coalesce(discount, 0) AS DECIMAL(18,6)) AS goods
        FROM final_orders WHERE status = 'refunded' OR order_id IN (SELECT own_order FROM linked)""")
    _drop_told_twice(con)
    notes = _told_by_status_only(con)
    notes += _lost_links(con) + _days_of_refunds(con) + _take_tax_off(con) + _cap_at_goods(con)
    con.execute("DELETE FROM linked WHERE own_order IS NULL AND refunded_on IS NULL")
    return (
        "SELECT * EXCLUDE (is_open, own_order) REPLACE (own_order AS order_id) FROM linked",
        notes,
    )


def _told_by_status_only(con: duckdb.DuckDBPyConnection) -> list[str]:
    """An order that says it was given back, and of which no file holds the refund: booked
    in full in the order's month until that file comes.
    """
    con.execute("""CREATE OR REPLACE TEMP TABLE unbooked AS
        SELECT * FROM refunded_orders o WHERE status = 'refunded' AND goods > 0
            AND NOT EXISTS (SELECT 1 FROM linked l WHERE l.own_order = o.own_order)""")
    n, total, example = con.execute(
        "SELECT count(*), coalesce(sum(goods), 0), min(own_order) FROM unbooked"
    ).fetchone()
    if not n:
        return []
    con.execute("""INSERT INTO linked BY NAME
        SELECT entity, own_order || '-refund' AS refund_id, own_order AS order_id, own_order,
               goods AS amount, customer_id, 'refund' AS kind, false AS is_open
        FROM unbooked""")
    return [say("sources.refunded_by_status", n=n, total=total, example=example)]


def _days_of_refunds(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Sentences on refunds dated before their order, before the log and after its end."""
    notes = []
    con.execute("""CREATE OR REPLACE TEMP TABLE log_span AS
        SELECT min(ordered_on) AS first_day, max(ordered_on) AS last_day FROM final_orders""")
    for test, message in (
        ("refunded_on < ordered_on", "sources.refunds_before_their_order"),
        ("own_order IS NULL AND refunded_on < first_day", "sources.refunds_before_the_log"),
        ("refunded_on > last_day", "sources.refunds_after_the_log"),
    ):
        n, total, example = con.execute(f"""
            SELECT count(*), coalesce(sum(amount), 0), min(coalesce(l.order_id, l.refund_id))
            FROM linked l LEFT JOIN refunded_orders USING (own_order) CROSS JOIN log_span
            WHERE {test}""").fetchone()
        if n:
            notes.append(say(message, n=n, total=total, example=example))
    return notes


def _take_tax_off(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Refunds of a file that tells no tax, of orders that bear some: one that gives back
    more than the goods and no more than the total shows that the file's amounts hold tax,
    and each gives the share of its order. Where none shows it they are taken as they stand.
    """
    have = {row[0] for row in con.execute("DESCRIBE linked").fetchall()}
    if "_may_hold_tax" not in have:
        return []
    con.execute(f"""CREATE OR REPLACE TEMP TABLE taxed AS
        WITH t AS (
            SELECT l.import_id, refund_id, own_order, amount, goods, total, order_tax,
                   sum(amount) OVER (PARTITION BY l.import_id, own_order) AS in_all
            FROM linked l JOIN refunded_orders USING (own_order)
            WHERE _may_hold_tax AND order_tax > 0 AND total > order_tax)
        SELECT *, bool_or(in_all > goods + {CENT} AND in_all <= total + {CENT})
                      OVER (PARTITION BY import_id) AS is_shown,
               CAST(CASE WHEN amount >= total - 0.005 THEN goods
                    ELSE CAST(amount * (1 - order_tax / total) AS DECIMAL(18,2)) END AS DECIMAL(18,6)) AS net
        FROM t""")
    con.execute("""UPDATE linked SET amount = t.net FROM taxed t
        WHERE t.is_shown AND t.refund_id = linked.refund_id AND t.own_order = linked.own_order""")
    notes = []
    for is_shown, message in (
        ("is_shown", "sources.refunds_hold_tax"),
        ("NOT is_shown", "sources.refunds_may_hold_tax"),
    ):
        n, total, off = con.execute(
            "SELECT count(*), coalesce(sum(amount), 0), coalesce(sum(amount - net), 0) "
            f"FROM taxed WHERE {is_shown}"
        ).fetchone()
        notes += [say(message, n=n, total=total, off=off)] if n else []
    return notes


def _cap_at_goods(con: duckdb.DuckDBPyConnection) -> list[str]:
    """What is given back on an order beyond its goods is tax and shipping, or goodwill: no
    revenue was booked for it, so none is taken off.
    """
    con.execute(f"""CREATE OR REPLACE TEMP TABLE capped AS
        WITH r AS (
            SELECT refund_id, own_order, amount, goods, sum(amount) OVER (
                PARTITION BY own_order ORDER BY refunded_on NULLS FIRST, refund_id) - amount AS before
            FROM linked JOIN refunded_orders USING (own_order))
        SELECT refund_id, own_order, CAST(greatest(goods - before, 0) AS DECIMAL(18,6)) AS kept,
               amount - CAST(greatest(goods - before, 0) AS DECIMAL(18,6)) AS over
        FROM r WHERE before + amount > goods + {CENT}""")
    n, total, example = con.execute(
        "SELECT count(*), coalesce(sum(over), 0), min(refund_id) FROM capped"
    ).fetchone()
    if not n:
        return []
    con.execute(
        "UPDATE linked SET amount = c.kept FROM capped c "
        "WHERE c.refund_id = linked.refund_id AND c.own_order = linked.own_order"
    )
    con.execute("DELETE FROM linked WHERE amount <= 0")
    return [say("sources.refunds_beyond_goods", n=n, total=total, example=example)]


def _drop_told_twice(con: duckdb.DuckDBPyConnection) -> None:
    """An order export's undated sum of refunds gives way to the refunds themselves."""
    con.execute(f"""DELETE FROM linked l WHERE refund_id = order_id || '-refund' AND EXISTS (
        SELECT 1 FROM linked o
        WHERE o.own_order = l.own_order AND starts_with(o.entity, '{OWN}'))""")


def _lost_links(con: duckdb.DuckDBPyConnection) -> list[str]:
    notes = []
    for is_dated, message in (
        ("refunded_on IS NOT NULL", "sources.refunds_without_their_order"),
        ("refunded_on IS NULL", "sources.refunds_left_out"),
    ):
        which = f"own_order IS NULL AND {is_dated}"
        which += " AND NOT is_open" if "NOT NULL" in is_dated else ""
        n, total, names = con.execute(
            f"SELECT count(*), coalesce(sum(amount), 0), string_agg(DISTINCT order_id, ', ' "
            f"ORDER BY order_id) FROM linked WHERE {which}"
        ).fetchone()
        if n:
            notes.append(say(message, n=n, total=total, names=(names or "-")[:80]))
    con.execute(f"""UPDATE taken SET is_complete = false WHERE starts_with(entity, '{OWN}')
        AND entity IN (SELECT entity FROM linked
                       WHERE own_order IS NULL AND refunded_on IS NULL)""")
    return notes


def refunds_that_wait(con: duckdb.DuckDBPyConnection) -> list[str]:
    """A sentence on refunds imported before any order was."""
    n, total = con.execute("SELECT count(*), coalesce(sum(amount), 0) FROM all_refunds").fetchone()
    return [say("sources.refunds_wait", n=n, total=total)] if n else []
