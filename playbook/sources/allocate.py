"""From order money and lines as a platform prints them to the contract's orders, lines,
refunds and ledger.

Order money is taken once, discounts and taxes are shared out to the lines in cents, and
whatever a platform's total holds beside goods gets its own ledger row, so that the rows
of a file always come to the total it prints.
"""

from __future__ import annotations

from playbook.sources.adapter import Delivery

__all__ = ["STATUS_RANK", "finish_orders"]

STATUS_RANK = "CASE status WHEN 'placed' THEN 0 WHEN 'paid' THEN 1 WHEN 'shipped' THEN 2 WHEN 'done' THEN 3 WHEN 'cancelled' THEN 4 ELSE 5 END"
EXTRA = ("duties", "tip", "gift_card")


def finish_orders(d: Delivery, heads: str, lines: str, *, is_line: str = "true") -> None:
    """Emits the order tables from two queries over `raw`.

    `heads`: one row per order row as printed: order_id, ordered_at, ordered_on, status,
    currency, total, and where the platform has them subtotal (goods after discounts),
    discount (of the order), shipping, tax, duties, tip, gift_card, refunded,
    customer_id, paid_at, cancelled_at, shipped_at, delivered_at, updated_at and any
    other column of `orders`. `lines`: order_id, quantity, price (as printed, with or
    without tax), discount (of the line), sku, title ... `is_line`: which rows of `raw`
    are lines; the others still count as rows of their order. Whether prices hold tax is
    found out order by order: subtotal + shipping = total, or subtotal + shipping + tax.
    """
    con = d.con
    con.execute(f"CREATE OR REPLACE TABLE heads_in AS {heads}")
    con.execute(f"CREATE OR REPLACE TABLE lines_in AS {lines}")
    have = {r[0] for r in con.execute("DESCRIBE heads_in").fetchall()}
    has = {r[0] for r in con.execute("DESCRIBE lines_in").fetchall()}
    for name, kind in (
        ("subtotal", "DECIMAL(18,6)"),
        ("discount", "DECIMAL(18,6)"),
        ("shipping", "DECIMAL(18,6)"),
        ("tax", "DECIMAL(18,6)"),
        ("refunded", "DECIMAL(18,6)"),
        *((e, "DECIMAL(18,6)") for e in EXTRA),
        ("customer_id", "VARCHAR"),
        ("paid_at", "TIMESTAMP"),
        ("cancelled_at", "TIMESTAMP"),
        ("shipped_at", "TIMESTAMP"),
        ("delivered_at", "TIMESTAMP"),
        ("updated_at", "TIMESTAMP"),
    ):
        if name not in have:
            con.execute(f"ALTER TABLE heads_in ADD COLUMN {name} {kind}")
    for name, kind in (
        ("sku", "VARCHAR"),
        ("title", "VARCHAR"),
        ("discount", "DECIMAL(18,6)"),
        ("list_price", "DECIMAL(18,6)"),
        ("is_product", "BOOLEAN"),
    ):
        if name not in has:
            con.execute(f"ALTER TABLE lines_in ADD COLUMN {name} {kind}")
    con.execute(f"""CREATE OR REPLACE TABLE bare AS
        SELECT order_id, count(*) AS n_bare FROM raw WHERE NOT coalesce({is_line}, false) GROUP BY order_id""")
    con.execute("DROP TABLE raw")  # the memory is better used for what follows
    _fold(d)
    for done in ("heads_in", "lines_in"):
        con.execute(f"DROP TABLE {done}")
    _share_out(d)
    _emit(d)


def _fold(d: Delivery) -> None:
    """One head per order and each of its lines once, even where a file holds the same
    order's block several times.
    """
    con = d.con
    (n, n_orders) = con.execute(
        "SELECT count(*), count(DISTINCT order_id) FROM heads_in"
    ).fetchone()
    picked = "SELECT *, 1 AS n_heads, total AS total_delivered FROM heads_in"
    if n != n_orders:
        picked = """
            SELECT *, count(*) OVER (PARTITION BY order_id) AS n_heads, sum(total) OVER (PARTITION BY order_id) AS total_delivered
            FROM heads_in QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY greatest(updated_at, ordered_at, paid_at,
                cancelled_at, shipped_at, delivered_at) DESC NULLS LAST, refunded DESC NULLS LAST, total DESC NULLS LAST, status DESC) = 1"""
    con.execute(f"""
        CREATE OR REPLACE TABLE heads AS
        SELECT *, row_number() OVER () AS k, greatest(updated_at, ordered_at, paid_at, cancelled_at, shipped_at, delivered_at) AS own_last
        FROM ({picked})""")
    copies, keep = "SELECT l.*, h.k FROM lines_in l LEFT JOIN heads h USING (order_id)", "true"
    if n != n_orders:
        d.repaired["orders that stand in the file more than once, counted once"] = n - n_orders
        copies = """
            SELECT l.*, h.k, h.n_heads, count(*) OVER same AS n_copies,
                   row_number() OVER (PARTITION BY l.order_id, sku, title, quantity, price, l.discount, list_price) AS copy_no
            FROM lines_in l LEFT JOIN heads h USING (order_id)
            WINDOW same AS (PARTITION BY l.order_id, sku, title, quantity, price, l.discount, list_price)"""
        keep = "copy_no <= ceil(n_copies / coalesce(n_heads, 1))"
    con.execute(f"""
        CREATE OR REPLACE TABLE lines AS
        SELECT *, coalesce(discount, 0) AS own_discount,
               row_number() OVER (PARTITION BY k ORDER BY sku, title, price DESC, quantity DESC, discount) AS line_no
        FROM ({copies}) WHERE k IS NOT NULL AND quantity > 0 AND {keep}""")
    con.execute("""
        CREATE OR REPLACE TABLE counted AS
        SELECT h.k, l.*
        FROM (SELECT order_id, count(*) AS n_all, count(*) FILTER (quantity <= 0) AS n_zero, sum(quantity * price) AS printed
              FROM lines_in GROUP BY order_id) l LEFT JOIN heads h USING (order_id)""")


def _share_out(d: Delivery) -> None:
    """Discounts and taxes of the order on its lines, in cents, the last cent on the
    largest line.
    """
    con = d.con
    cents = "DECIMAL(18,2)"
    con.execute("""
        CREATE OR REPLACE TABLE sums AS
        SELECT k, sum(quantity * price) AS goods, sum(own_discount) AS lines_discount, count(*) AS n_lines,
               arg_max(line_no, quantity * price - own_discount - 0.0000001 * line_no) AS largest
        FROM lines GROUP BY k""")
    # The discount that makes lines and subtotal agree is the one that was given. Platforms differ in whether the order's
    # discount repeats the lines' own and whether it was given on shipping, so all readings that tie are accepted.
    con.execute(f"""
        CREATE OR REPLACE TABLE money AS
        WITH a AS (
            SELECT h.k, s.goods, s.lines_discount, s.n_lines, s.largest, coalesce(h.shipping, 0) AS shipping,
                   coalesce(h.tax, 0) AS tax, coalesce(h.duties, 0) + coalesce(h.tip, 0) + coalesce(h.gift_card, 0) AS extra,
                   h.total, coalesce(h.discount, 0) AS stated, h.subtotal,
                   CAST(0.01 * (coalesce(s.n_lines, 0) + 1) AS {cents}) AS tolerance
            FROM heads h LEFT JOIN sums s USING (k)),
        b AS (
            SELECT *, coalesce(subtotal,
                       CASE WHEN abs(goods - lines_discount - stated + shipping + tax + extra - total) <= tolerance
                              OR abs(goods - lines_discount - stated + shipping + extra - total) <= tolerance
                            THEN goods - lines_discount - stated
                            WHEN abs(goods - stated + shipping + tax + extra - total) <= tolerance
                              OR abs(goods - stated + shipping + extra - total) <= tolerance THEN goods - stated
                            ELSE goods - lines_discount - stated END) AS net
            FROM a),
        c AS (
            SELECT *, goods - net AS given, abs(net + shipping + extra - total) AS off_with,
                   abs(net + shipping + tax + extra - total) AS off_without, tax <> 0 AND off_with < off_without AS is_tax_inside,
                   CAST(tax * shipping / nullif(net + shipping, 0) AS {cents}) AS shipping_tax
            FROM b)
        SELECT *, given BETWEEN -tolerance AND goods + tolerance AS is_usable,
               least(abs(given - stated - lines_discount), abs(given - stated), abs(given - lines_discount), abs(given)) <= tolerance
                   AND least(off_with, off_without) <= tolerance AS is_tied,
               CAST(CASE WHEN is_tax_inside THEN shipping - coalesce(shipping_tax, 0) ELSE shipping END AS DECIMAL(18,6)) AS net_shipping,
               CASE WHEN net > 0 THEN tax - coalesce(shipping_tax, 0) ELSE 0 END AS goods_tax,
               CASE WHEN is_tax_inside THEN 1 - CAST(tax AS DOUBLE) / nullif(net + shipping, 0) ELSE 1 END AS kept_share
        FROM c""")
    # what the order gave beyond its lines' own discounts, or less than they say
    con.execute(f"""
        CREATE OR REPLACE VIEW discounted AS
        SELECT l.*, m.given, m.lines_discount, m.net, m.goods_tax, m.is_tax_inside, m.kept_share, l.line_no = m.largest AS is_largest,
               CASE WHEN m.given = m.lines_discount THEN CAST(0 AS {cents})
                    WHEN m.given < m.lines_discount THEN CAST(l.own_discount * (m.given - m.lines_discount) / m.lines_discount AS {cents})
                    ELSE coalesce(CAST((m.given - m.lines_discount) * (l.quantity * l.price - l.own_discount)
                                       / nullif(m.goods - m.lines_discount, 0) AS {cents}), 0) END AS part
        FROM lines l JOIN money m USING (k) WHERE m.is_usable""")
    con.execute("""
        CREATE OR REPLACE TABLE left_over AS
        SELECT k, any_value(given - lines_discount) - sum(part) AS cents FROM discounted WHERE given <> lines_discount GROUP BY k
        HAVING any_value(given - lines_discount) <> sum(part)""")
    con.execute(f"""
        CREATE OR REPLACE VIEW printed AS
        SELECT d.*, own_discount + part + CASE WHEN is_largest THEN coalesce(o.cents, 0) ELSE 0 END AS all_discount,
               quantity * price - all_discount AS printed,
               coalesce(CAST(goods_tax * (quantity * price - all_discount) / nullif(net, 0) AS {cents}), 0) AS tax_part
        FROM discounted d LEFT JOIN left_over o USING (k)""")
    con.execute("""
        CREATE OR REPLACE TABLE left_tax AS
        SELECT k, any_value(goods_tax) - sum(tax_part) AS cents FROM printed WHERE goods_tax <> 0 GROUP BY k
        HAVING any_value(goods_tax) <> sum(tax_part)""")
    con.execute(f"""
        CREATE OR REPLACE TABLE placed_lines AS
        SELECT p.* EXCLUDE (given, lines_discount, net, goods_tax, part, own_discount, printed, tax_part, all_discount),
               tax_part + CASE WHEN is_largest THEN coalesce(t.cents, 0) ELSE 0 END AS line_tax,
               CASE WHEN is_tax_inside THEN CAST(all_discount * kept_share AS {cents}) ELSE CAST(all_discount AS DECIMAL(18,6)) END
                   AS final_discount,
               CASE WHEN is_tax_inside
                    THEN CAST((printed - (tax_part + CASE WHEN is_largest THEN coalesce(t.cents, 0) ELSE 0 END)
                               + CAST(all_discount * kept_share AS {cents})) / quantity AS DECIMAL(18,6))
                    ELSE CAST(price AS DECIMAL(18,6)) END AS net_price
        FROM printed p LEFT JOIN left_tax t USING (k)""")
    for done in (
        "VIEW printed",
        "VIEW discounted",
        "TABLE lines",
        "TABLE left_over",
        "TABLE left_tax",
    ):
        con.execute(f"DROP {done}")
    con.execute("""
        CREATE OR REPLACE TABLE placed AS
        SELECT m.*, l.gross, l.line_discount
        FROM money m LEFT JOIN (SELECT k, sum(quantity * net_price) AS gross, sum(final_discount) AS line_discount
                                FROM placed_lines GROUP BY k) l USING (k)""")
    inside, outside, none, loose = con.execute("""
        SELECT count(*) FILTER (is_tax_inside), count(*) FILTER (NOT is_tax_inside AND tax <> 0), count(*) FILTER (tax = 0),
               count(*) FILTER (is_usable AND NOT is_tied) FROM money""").fetchone()
    d.notes.append(
        f"prices hold tax in {inside:,} orders, tax comes on top in {outside:,}, {none:,} bear none"
    )
    if loose:
        d.notes.append(
            f"{loose:,} orders whose lines, discounts and total do not quite agree: kept, the difference itemised"
        )


def _emit(d: Delivery) -> None:
    con = d.con
    from playbook.store.contract import TABLES

    have = {r[0] for r in con.execute("DESCRIBE heads").fetchall()}
    own = [
        c.name
        for c in TABLES["orders"].columns
        if c.name in have
        and c.name not in ("order_id", "gross", "discount", "shipping", "tax", "total")
    ]
    more = [c for c in ("is_contactable", "is_business") if c in have]
    d.emit(
        "orders",
        f"""
        SELECT h.order_id AS entity, h.order_id, {", ".join(f"h.{c}" for c in own + more)}, coalesce(p.gross, 0) AS gross,
               coalesce(p.line_discount, 0) AS discount, p.net_shipping AS shipping, p.tax AS tax, coalesce(h.total, 0) AS total
        FROM heads h JOIN placed p USING (k) WHERE p.is_usable""",
    )
    line = {r[0] for r in con.execute("DESCRIBE placed_lines").fetchall()}
    extra = [c for c in ("list_price", "unit_cost", "seller_id", "promo_id") if c in line]
    named = "coalesce(sku, CASE WHEN title IS NOT NULL THEN 'title:' || trim(regexp_replace(lower(title), '[^\\p{L}\\p{N}]+', ' ', 'g')) END)"
    d.emit(
        "order_lines",
        f"""
        SELECT order_id, line_no, {named} AS sku, quantity, net_price AS price, final_discount AS discount,
               line_tax AS tax, title, {"".join(f"{c}, " for c in extra)}coalesce(is_product, true) AS is_product
        FROM placed_lines""",
    )
    (without,) = con.execute("SELECT count(*) FROM placed_lines WHERE sku IS NULL").fetchone()
    if without:
        d.repaired["lines without a sku, named by their title"] = without
    # a refund is told with tax and shipping in it; what it takes off revenue is at most the order's goods
    refund = "least(h.refunded * (1 - p.tax / nullif(h.total, 0)), p.gross - p.line_discount)"
    d.emit(
        "refunds",
        f"""
        SELECT h.order_id AS entity, h.order_id || '-refund' AS refund_id, h.order_id, CAST(NULL AS TIMESTAMP) AS refunded_at,
               CAST(NULL AS DATE) AS refunded_on, CAST({refund} AS DECIMAL(18,2)) AS amount, h.customer_id, 'refund' AS kind
        FROM heads h JOIN placed p USING (k) WHERE p.is_usable AND h.refunded > 0 AND CAST({refund} AS DECIMAL(18,2)) > 0""",
    )
    (undated,) = con.execute("SELECT count(*) FROM heads WHERE refunded > 0").fetchone()
    if undated:
        d.notes.append(f"{undated:,} refunds without a date: they count in their order's month")
    d.emit(
        "entities",
        f"""
        SELECT h.order_id AS entity, h.own_last, {STATUS_RANK} AS status_rank, coalesce(h.refunded, 0) AS refunded,
               CASE WHEN p.is_usable AND p.is_tied THEN 2 WHEN p.is_usable THEN 1 ELSE 0 END AS completeness
        FROM heads h JOIN placed p USING (k)
        UNION ALL SELECT order_id, NULL, 0, 0, 0 FROM counted WHERE k IS NULL""",
    )
    whose = "order_id, ordered_on, is_guest"
    each = " UNION ALL ".join(
        f"SELECT {whose}, '{e}', 0, {e} FROM itemised WHERE is_usable AND {e} <> 0" for e in EXTRA
    )
    con.execute("""
        CREATE OR REPLACE TABLE itemised AS
        SELECT p.*, h.duties, h.tip, h.gift_card, h.order_id, h.ordered_on, h.customer_id IS NULL AS is_guest, h.total_delivered, h.n_heads,
               coalesce(c.n_all, 0) AS n_all, coalesce(c.n_zero, 0) AS n_zero, coalesce(p.gross - p.line_discount, 0) AS revenue,
               p.total - coalesce(p.gross - p.line_discount, 0) - p.net_shipping - p.tax - p.extra AS rest
        FROM placed p JOIN heads h USING (k) LEFT JOIN counted c USING (k)""")
    d.emit(
        "ledger",
        f"""
        WITH parts AS (
            SELECT {whose}, 'kept' AS reason, coalesce(n_lines, 0) AS n_rows, revenue AS amount FROM itemised WHERE is_usable
            UNION ALL SELECT {whose}, 'tax', 0, tax FROM itemised WHERE is_usable AND tax <> 0
            UNION ALL SELECT {whose}, 'shipping', 0, net_shipping FROM itemised WHERE is_usable AND net_shipping <> 0
            UNION ALL {each}
            UNION ALL SELECT {whose}, 'stock_write_off', n_zero, 0 FROM itemised WHERE is_usable AND n_zero > 0
            UNION ALL SELECT {whose}, 'overlap', n_all - n_zero - coalesce(n_lines, 0), total_delivered - total FROM itemised
                      WHERE n_heads > 1 AND is_usable
            UNION ALL SELECT {whose}, CASE WHEN abs(rest) <= tolerance THEN 'rounding' ELSE 'unexplained' END, 0, rest FROM itemised
                      WHERE is_usable AND rest <> 0
            UNION ALL SELECT {whose}, CASE WHEN n_lines IS NULL AND coalesce(total_delivered, 0) = 0 THEN 'empty' ELSE 'incomplete' END,
                             n_all, coalesce(total_delivered, 0) FROM itemised WHERE is_usable IS NOT TRUE
            UNION ALL SELECT {whose}, 'empty', n_bare, 0 FROM itemised JOIN bare USING (order_id))
        SELECT order_id AS entity, reason, ordered_on AS day_on, is_guest, CAST(n_rows AS BIGINT) AS n_rows, 1 AS n_orders,
               CAST(amount AS DECIMAL(18,6)) AS amount
        FROM parts
        UNION ALL
        SELECT order_id, 'incomplete', NULL, true, n_all, 1, CAST(printed AS DECIMAL(18,6)) FROM counted WHERE k IS NULL""",
    )
    d.is_checked = True
