"""Fees and refunds that marketplaces and payment providers book beside the orders, and how
they find their orders once everything imported is put together.

A fee file's part holds `fees` (one row per fee, a cost above zero), `provider_refunds`
(money given back to buyers, above zero) and, for a marketplace whose account names what
was sold, `settled_lines`. A booking is known by its content and its number among equal
ones, so that overlapping extracts and a second export of the same account change nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from playbook.messages import say
from playbook.sources.parts import Part, Rebuilt
from playbook.store.contract import TABLES
from playbook.store.write import write_table

if TYPE_CHECKING:
    import duckdb


FEE_TABLES = ("fees", "provider_refunds", "settled_lines")
KINDS = next(c.allowed for c in TABLES["fees"].columns if c.name == "kind")
# what each of the parts' tables holds, so that every query finds its columns
COLUMNS = {
    "fees": {
        **dict.fromkeys(("fee_id", "order_ref", "kind", "currency", "provider"), "VARCHAR"),
        **dict.fromkeys(("what", "family", "settlement"), "VARCHAR"),
        "booked_on": "DATE",
        "amount": "DECIMAL(18,6)",
        "is_fine": "BOOLEAN",
    },
    "provider_refunds": {
        **dict.fromkeys(("refund_id", "order_ref", "kind", "currency", "provider"), "VARCHAR"),
        **dict.fromkeys(("reason", "family", "settlement", "sku"), "VARCHAR"),
        "refunded_at": "TIMESTAMP",
        "refunded_on": "DATE",
        **dict.fromkeys(("total", "goods", "tax"), "DECIMAL(18,6)"),
        "quantity": "BIGINT",
        "is_books": "BOOLEAN",
        "is_fine": "BOOLEAN",
    },
}
# an order's number without what people and plug-ins write around it
BARE = "regexp_replace(lower(trim({})), '^(order|no\\.?|nr\\.?|#|\\s)+|\\.0+$', '', 'g')"
PREFIXED = "regexp_replace({}, '^[A-Za-z_]+[-_ ]+#?', '')"
EXAMPLES = 80


def load_bookings(con: duckdb.DuckDBPyConnection, parts: list[Part], table: str) -> int:
    """`booked`: the rows of every part, each booking once. Where a settlement is told line
    by line (`is_fine`) and by order as well, the lines are taken. Returns the rows left
    out because of that.
    """
    columns = COLUMNS[table]
    nothing = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in columns.items())
    mine = [p for p in parts if table in p.tables]
    rows = "".join(
        f" UNION ALL BY NAME SELECT *, '{p.extract_end}' AS _end, '{p.import_id}' AS _import "
        f"FROM read_parquet({p.file(table)})"
        for p in mine
    )
    key = next(iter(columns))
    con.execute(f"""CREATE OR REPLACE TEMP TABLE booked AS
        SELECT * FROM (SELECT {nothing}, CAST(NULL AS VARCHAR) AS _end,
                              CAST(NULL AS VARCHAR) AS _import WHERE false{rows})
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _end DESC, _import DESC) = 1""")
    twice = """settlement IS NOT NULL AND NOT coalesce(is_fine, false) AND settlement IN (
               SELECT settlement FROM booked WHERE is_fine)"""
    (n,) = con.execute(f"SELECT count(*) FROM booked WHERE {twice}").fetchone()
    con.execute(f"DELETE FROM booked WHERE {twice}")
    return n


def link(con: duckdb.DuckDBPyConnection) -> None:
    """`found_orders`: what `booked` names as orders (family, order_ref) with the one order of
    `final_orders` it fits: as written, without `#` and the like, without the shop's own
    prefix (`WC-1001`). A family, where told, is the only one looked in.
    """
    plain, bare = "entity", BARE.format("entity")
    prefixed = BARE.format(PREFIXED.format("order_ref"))
    con.execute(f"""CREATE OR REPLACE TEMP TABLE found_orders AS
        WITH n AS (SELECT {plain} AS name, 1 AS turn, family, order_id FROM final_orders
                   UNION ALL SELECT {bare}, 2, family, order_id FROM final_orders),
        d AS (SELECT DISTINCT family, order_ref FROM booked WHERE order_ref IS NOT NULL),
        r AS (SELECT family, order_ref, order_ref AS name, 1 AS place, 1 AS turn FROM d
              UNION ALL SELECT family, order_ref, {BARE.format("order_ref")}, 2, 2 FROM d
              UNION ALL SELECT family, order_ref, {prefixed}, 3, 2 FROM d),
        f AS (SELECT r.family, order_ref, place, min(order_id) AS own_order
              FROM r JOIN n ON n.name = r.name AND n.turn = r.turn
                           AND (r.family IS NULL OR r.family = n.family)
              GROUP BY ALL HAVING count(DISTINCT order_id) = 1)
        SELECT family, order_ref, own_order FROM f
        QUALIFY row_number() OVER (PARTITION BY family, order_ref ORDER BY place) = 1""")


def rated(day: str, shop: str | None) -> str:
    """SQL: shop currency per unit of a booking's; missing where no rate is known. The
    rate its order was taken at (`o.rate`) goes before the rate of the day.
    """
    return (
        f"CASE WHEN b.currency IS NULL OR b.currency = '{shop or ''}' THEN 1.0 "
        "WHEN b.currency = o.currency THEN o.rate "
        "ELSE (SELECT arg_max(r.value, r.from_on) FROM rates r "
        f"WHERE r.currency = b.currency AND r.from_on <= b.{day}) END"
    )


ORDERS = """SELECT f.order_id, f.gross - coalesce(f.discount, 0) AS goods, f.total, f.tax AS order_tax,
        upper(f.currency) AS currency, t.rate, e.refunded
    FROM final_orders f JOIN taken t ON t.family = f.family AND t.entity = f.entity
        AND t.import_id = f.import_id AND t.part = 'orders'
    LEFT JOIN all_entities e ON e.family = f.family AND e.entity = f.entity
        AND e.import_id = f.import_id AND e.part = 'orders'"""


# --- fees ------------------------------------------------------------------------------------


def book_fees(
    con: duckdb.DuckDBPyConnection,
    parts: list[Part],
    stage: Path,
    out: Rebuilt,
    *,
    has_orders: bool,
) -> None:
    """Writes the store's `fees`, with the order of each where it is in the store, and says
    what is about no order, what waits for one, and what has no exchange rate, in money.
    """
    mine = [p for p in parts if "fees" in p.tables]
    if not mine:
        return
    twice = load_bookings(con, parts, "fees")
    if twice:
        out.notes.append(say("sources.fees_told_twice", rows=twice))
    if has_orders:
        link(con)
        con.execute(f"CREATE OR REPLACE TEMP TABLE fee_orders AS {ORDERS}")
    else:
        con.execute("""CREATE OR REPLACE TEMP TABLE found_orders AS
            SELECT CAST(NULL AS VARCHAR) AS family, CAST(NULL AS VARCHAR) AS order_ref,
                   CAST(NULL AS VARCHAR) AS own_order WHERE false""")
        con.execute("""CREATE OR REPLACE TEMP TABLE fee_orders AS
            SELECT CAST(NULL AS VARCHAR) AS order_id, CAST(NULL AS VARCHAR) AS currency,
                   1.0 AS rate WHERE false""")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE rated_fees AS
        SELECT b.* EXCLUDE (amount, order_ref), b.order_ref AS order_named, b.amount AS printed,
               l.own_order AS order_id, {rated("booked_on", out.currency)} AS rate
        FROM booked b
        LEFT JOIN found_orders l ON l.order_ref = b.order_ref AND l.family IS NOT DISTINCT FROM b.family
        LEFT JOIN fee_orders o ON o.order_id = l.own_order""")
    _say_fees(con, out)
    query = """SELECT * EXCLUDE (printed, rate, family, settlement, is_fine, _end, _import),
                      CAST(printed * rate AS DECIMAL(18,6)) AS amount
               FROM rated_fees WHERE rate IS NOT NULL"""
    out.rows["fees"] = write_table(con, "fees", query, stage / "fees.parquet")
    low, high = con.execute(
        "SELECT CAST(min(booked_on) AS VARCHAR), CAST(max(booked_on) AS VARCHAR) FROM rated_fees"
    ).fetchone()
    if low:
        out.observed_from["fees"], out.observed_to["fees"] = low, high


def _say_fees(con: duckdb.DuckDBPyConnection, out: Rebuilt) -> None:
    """Fees by what became of them, in money of the shop; none is passed over."""
    amount = "coalesce(sum(CAST(printed * rate AS DECIMAL(18,6))), 0)"
    known = "rate IS NOT NULL"
    n, booked = con.execute(
        f"SELECT count(*), {amount} FROM rated_fees WHERE {known} AND order_id IS NOT NULL"
    ).fetchone()
    out.notes.append(say("sources.fees_booked", n=n, amount=booked))
    for kind, n, total in con.execute(
        f"SELECT kind, count(*), {amount} FROM rated_fees WHERE {known} AND order_named IS NULL "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall():
        out.notes.append(say("sources.fees_of_no_order", n=n, amount=total, kind=kind))
    n, total, example, orders = con.execute(
        f"SELECT count(*), {amount}, min(order_named), count(DISTINCT order_named) FROM rated_fees "
        f"WHERE {known} AND order_named IS NOT NULL AND order_id IS NULL"
    ).fetchone()
    if n:
        values = {"n": n, "amount": total, "example": example, "orders": orders}
        out.notes.append(say("sources.fees_wait", **values))
    for currency, n, total in con.execute(
        "SELECT currency, count(*), sum(printed) FROM rated_fees WHERE rate IS NULL "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall():
        out.notes.append(say("sources.fees_no_rate", n=n, amount=total, currency=currency))


# --- refunds ---------------------------------------------------------------------------------


def with_provider_refunds(
    con: duckdb.DuckDBPyConnection, parts: list[Part], query: str, out: Rebuilt
) -> str:
    """The store's refunds (`query`) with those that providers booked, as a query.

    A marketplace's own account of a refund goes before the undated one of its order file.
    Any other provider's refund is booked only where the order's own export tells none: the
    same money is not taken off twice; where it is the one refund the order file tells
    without a day, it gives its day. What finds no order waits, in money.
    """
    if not any("provider_refunds" in p.tables for p in parts):
        return query
    load_bookings(con, parts, "provider_refunds")
    link(con)
    con.execute(f"CREATE OR REPLACE TEMP TABLE refund_orders AS {ORDERS}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE own_refunds AS {query}")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE given AS
        SELECT b.* EXCLUDE (total, goods, tax), b.total AS printed, l.own_order, o.goods AS order_goods,
               o.total AS order_total, o.order_tax, o.refunded,
               {rated("refunded_on", out.currency)} AS rate,
               CAST(b.total * {rated("refunded_on", out.currency)} AS DECIMAL(18,6)) AS total,
               CAST(b.goods * {rated("refunded_on", out.currency)} AS DECIMAL(18,6)) AS goods,
               b.tax
        FROM booked b
        LEFT JOIN found_orders l ON l.order_ref = b.order_ref AND l.family IS NOT DISTINCT FROM b.family
        LEFT JOIN refund_orders o ON o.order_id = l.own_order""")
    _net_those_come_back(con)
    _say_refunds_apart(con, out)
    con.execute("DELETE FROM given WHERE own_order IS NULL OR rate IS NULL")
    _settle_with_own(con, out)
    return _without_tax(con)


def _net_those_come_back(con: duckdb.DuckDBPyConnection) -> None:
    """A chargeback won and a refund that failed come back as a row of the other sign: an
    order's are then one refund of what is left, on its last day, or none.
    """
    whose = "coalesce(own_order, order_ref, refund_id), kind"
    con.execute(f"""CREATE OR REPLACE TEMP TABLE netted AS
        SELECT list(refund_id ORDER BY (total < 0), refunded_at, refund_id) AS ids, sum(total) AS total,
               sum(printed) AS printed, sum(goods) AS goods, max(refunded_at) FILTER (total > 0) AS refunded_at,
               max(refunded_on) FILTER (total > 0) AS refunded_on
        FROM given GROUP BY {whose} HAVING min(total) < 0""")
    con.execute("""UPDATE given g SET total = n.total, printed = n.printed, goods = n.goods,
            refunded_at = n.refunded_at, refunded_on = n.refunded_on
        FROM netted n WHERE n.ids[1] = g.refund_id""")
    con.execute("""DELETE FROM given WHERE refund_id IN (
        SELECT unnest(CASE WHEN total > 0 THEN ids[2:] ELSE ids END) FROM netted)""")
    con.execute("DELETE FROM given WHERE coalesce(total, 0) <= 0 AND coalesce(goods, 0) <= 0")


def _say_refunds_apart(con: duckdb.DuckDBPyConnection, out: Rebuilt) -> None:
    n, total, example = con.execute(
        "SELECT count(*), coalesce(sum(printed), 0), min(order_ref) FROM given "
        "WHERE own_order IS NULL"
    ).fetchone()
    if n:
        out.notes.append(
            say("sources.provider_refunds_wait", n=n, amount=total, example=example or "-")
        )
    for currency, n, total in con.execute(
        "SELECT currency, count(*), sum(printed) FROM given "
        "WHERE own_order IS NOT NULL AND rate IS NULL GROUP BY 1 ORDER BY 1"
    ).fetchall():
        out.notes.append(
            say("sources.provider_refunds_no_rate", n=n, amount=total, currency=currency)
        )


def _settle_with_own(con: duckdb.DuckDBPyConnection, out: Rebuilt) -> None:
    """Decides between `given` and `own_refunds` order by order."""
    con.execute("""DELETE FROM own_refunds WHERE refunded_on IS NULL AND refund_id = order_id || '-refund'
        AND order_id IN (SELECT own_order FROM given WHERE is_books)""")
    con.execute("""CREATE OR REPLACE TEMP TABLE own_told AS
        SELECT order_id, count(*) AS n_own, count(refunded_on) AS n_dated FROM own_refunds
        WHERE order_id IS NOT NULL GROUP BY 1""")
    con.execute("""CREATE OR REPLACE TEMP TABLE own_dated AS
        SELECT own_order, min(refunded_at) AS at_, min(refunded_on) AS on_
        FROM given JOIN own_told t ON t.order_id = own_order WHERE n_own = 1 AND n_dated = 0
        GROUP BY 1 HAVING count(*) = 1 AND abs(min(printed) - min(refunded)) < 0.015""")
    con.execute("""UPDATE own_refunds o SET refunded_at = d.at_, refunded_on = d.on_
        FROM own_dated d WHERE d.own_order = o.order_id""")
    n_dated, n, total = con.execute("""
        SELECT (SELECT count(*) FROM own_dated), count(*), coalesce(sum(total), 0)
        FROM given SEMI JOIN own_told t ON t.order_id = own_order""").fetchone()
    if n:
        out.notes.append(say("sources.provider_refunds_told", n=n, amount=total, dated=n_dated))
    con.execute("DELETE FROM given WHERE own_order IN (SELECT order_id FROM own_told)")


def _without_tax(con: duckdb.DuckDBPyConnection) -> str:
    """What a refund takes off revenue: its goods where they are told, else its share of the
    order's goods without tax and shipping; never more than the order's goods in all.
    """
    share = "(1 - coalesce(order_tax, 0) / nullif(order_total, 0))"
    con.execute(f"""CREATE OR REPLACE TEMP TABLE net AS
        SELECT *, CAST(CASE
            WHEN goods IS NOT NULL AND (coalesce(tax, 0) <> 0 OR coalesce(order_tax, 0) = 0) THEN goods
            WHEN goods IS NOT NULL THEN goods * {share}
            WHEN total >= order_total - 0.005 THEN order_goods
            ELSE total * {share} END AS DECIMAL(18,2)) AS wanted
        FROM given""")
    con.execute("""CREATE OR REPLACE TEMP TABLE capped AS
        SELECT *, least(wanted, order_goods - coalesce(sum(wanted) OVER (
                   PARTITION BY own_order ORDER BY refunded_on, refund_id
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) AS amount FROM net""")
    return """SELECT * FROM own_refunds
        UNION ALL BY NAME
        SELECT refund_id, own_order AS order_id, refunded_at, refunded_on, amount, kind, reason,
               sku, quantity FROM capped WHERE amount > 0"""
