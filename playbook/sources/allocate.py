"""From order money and lines as a platform prints them to the contract's orders, lines,
refunds and ledger.

Order money is taken once, discounts and taxes are shared out to the lines in cents, and
whatever a platform's total holds beside goods gets its own ledger row, so that the rows
of a file always come to the total it prints.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from playbook.errors import PlaybookError
from playbook.messages import read_yaml, say
from playbook.sources.adapter import Delivery
from playbook.store.contract import TABLES
from playbook.store.write import quoted

STATUS_RANK = "CASE status WHEN 'placed' THEN 0 WHEN 'paid' THEN 1 WHEN 'shipped' THEN 2 WHEN 'done' THEN 3 WHEN 'cancelled' THEN 4 ELSE 5 END"
EXTRA = ("duties", "tip", "gift_card")
MONEY, TEXT, TIME = "DECIMAL(18,6)", "VARCHAR", "TIMESTAMP"
CENTS = "DECIMAL(18,2)"
HEAD_COLUMNS = {
    **dict.fromkeys(("subtotal", "discount", "shipping", "tax", "refunded", *EXTRA), MONEY),
    **dict.fromkeys(("customer_id", "uid"), TEXT),
    **dict.fromkeys(("paid_at", "cancelled_at", "shipped_at", "delivered_at", "updated_at"), TIME),
}
LINE_COLUMNS = {
    "sku": TEXT,
    "title": TEXT,
    "discount": MONEY,
    "list_price": MONEY,
    "is_product": "BOOLEAN",
    "extra": TEXT,
}
# so many lines of an order are tried in every combination to find those taken off or given back
MOST_LINES = 8


@functools.cache
def words(kind: str) -> tuple[str, ...]:
    """The titles by which platforms name a tip or a gift card."""
    return tuple(read_yaml(Path(__file__).parent / "words.yaml")[kind])


def extra_of(title: str, sku: str) -> str:
    """SQL: whether a line is a tip or a gift card, by its title; missing for goods."""
    tips = ", ".join(map(quoted, words("tip")))
    cards = " OR ".join(f"starts_with(lower({title}), {quoted(w)})" for w in words("gift_card"))
    return (
        f"CASE WHEN {sku} IS NOT NULL THEN NULL WHEN lower({title}) IN ({tips}) THEN 'tip' "
        f"WHEN {cards} THEN 'gift_card' END"
    )


def refuse_numbers_used_again(d: Delivery, heads: str) -> None:
    """Two orders under one number in one file: an order is placed once, so one number
    with two moments and two buyers or totals names two orders. `heads` is a table of
    order_id, ordered_at, customer_id, total.
    """
    rows, example = d.con.execute(f"""
        SELECT count(*), min(order_id) FROM (
            SELECT order_id FROM {heads} GROUP BY 1 HAVING min(ordered_at) <> max(ordered_at)
            AND (min(total) <> max(total) OR min(customer_id) <> max(customer_id)
                 OR max(ordered_at) - min(ordered_at) > INTERVAL 36 HOUR))""").fetchone()
    if rows:
        raise PlaybookError(
            "sources.number_used_again",
            example=example,
            rows=rows,
            file=d.sheet.path.name,
            column=d.header("order_id"),
        )


def finish_orders(
    d: Delivery, heads: str, lines: str, *, is_line: str = "true", may_be_edited: bool = False
) -> None:
    """Emits the order tables from two queries over `raw`.

    `heads`: one row per order row as printed: order_id, ordered_at, ordered_on, status,
    currency, total, and where the platform has them subtotal (goods after discounts),
    discount (of the order), shipping, tax, duties, tip, gift_card, refunded,
    customer_id, uid (the platform's own unique id), paid_at, cancelled_at, shipped_at,
    delivered_at, updated_at and any other column of `orders`. `lines`: order_id,
    quantity, price (as printed, with or without tax), discount (of the line), sku,
    title, extra (`tip` or `gift_card` where the line is one) ... `is_line`: which rows
    of `raw` are lines; the others still count as rows of their order. `may_be_edited`:
    lines taken off an order later still stand in the file. Whether prices hold tax is
    found out order by order: subtotal + shipping = total, or subtotal + shipping + tax.
    """
    con = d.con
    is_folded = _read_heads(d, _with(con, heads, HEAD_COLUMNS))
    con.execute(
        f"CREATE OR REPLACE TABLE lines_in AS SELECT l.*, h.k "
        f"FROM ({_with(con, lines, LINE_COLUMNS)}) l LEFT JOIN heads h USING (order_id)"
    )
    _turn_discounts(d, "lines_in")
    con.execute(f"""CREATE OR REPLACE TABLE bare AS
        SELECT order_id, count(*) AS n_bare FROM raw WHERE NOT coalesce({is_line}, false) GROUP BY order_id""")
    con.execute("DROP TABLE raw")  # the memory is better used for what follows
    _fold_lines(con, is_folded=is_folded)
    con.execute("CREATE OR REPLACE TABLE orphans AS SELECT * FROM lines_in WHERE k IS NULL")
    con.execute("DROP TABLE lines_in")
    _set_extras_apart(d)
    con.execute("CREATE OR REPLACE TABLE edited (k BIGINT, n_edited BIGINT)")
    _sum_lines(con)
    if may_be_edited:
        _take_off_edited(d)
    _share_out(d)
    _emit(d)


def _with(con: object, query: str, columns: Mapping[str, str]) -> str:
    """The query with every column of `columns`, missing where it has none of its own."""
    have = {row[0] for row in con.execute(f"DESCRIBE {query}").fetchall()}
    more = "".join(f", CAST(NULL AS {kind}) AS {c}" for c, kind in columns.items() if c not in have)
    return f"SELECT *{more} FROM ({query})"


def _turn_discounts(d: Delivery, table: str) -> None:
    """Discounts printed with a minus throughout mean what others print without it."""
    below, above = d.con.execute(
        f"SELECT count(*) FILTER (discount < 0), count(*) FILTER (discount > 0) FROM {table}"
    ).fetchone()
    if below and not above:
        d.con.execute(f"UPDATE {table} SET discount = -discount WHERE discount < 0")
        d.repaired[say("sources.discounts_turned")] = below


def _read_heads(d: Delivery, query: str) -> bool:
    """`heads`: one head per order, numbered by k, even where a file holds the same order's
    block several times; whether it does.
    """
    con = d.con
    last = "greatest(updated_at, ordered_at, paid_at, cancelled_at, shipped_at, delivered_at)"
    con.execute(f"""CREATE OR REPLACE TABLE heads_in AS
        SELECT *, 1 AS n_heads, total AS total_delivered, {last} AS own_last
        FROM (SELECT *, row_number() OVER () AS k FROM ({query}))""")
    _turn_discounts(d, "heads_in")
    (n, n_orders) = con.execute(
        "SELECT count(*), count(DISTINCT order_id) FROM heads_in"
    ).fetchone()
    con.execute("DROP TABLE IF EXISTS heads")
    if n == n_orders:
        con.execute("ALTER TABLE heads_in RENAME TO heads")
        return False
    refuse_numbers_used_again(d, "heads_in")
    con.execute("""CREATE TABLE heads AS
        SELECT * REPLACE (count(*) OVER (PARTITION BY order_id) AS n_heads, sum(total) OVER (PARTITION BY order_id) AS total_delivered)
        FROM heads_in QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY own_last DESC NULLS LAST,
            refunded DESC NULLS LAST, total DESC NULLS LAST, status DESC) = 1""")
    con.execute("DROP TABLE heads_in")
    d.repaired["orders that stand in the file more than once, counted once"] = n - n_orders
    return True


def _fold_lines(con: object, *, is_folded: bool) -> None:
    """`lines`: each line of an order once, though its block may stand several times in the
    file; `counted`: how many rows each order has.
    """
    copies, keep = "lines_in", "true"
    if is_folded:
        copies = """(
            SELECT l.*, h.n_heads, count(*) OVER same AS n_copies,
                   row_number() OVER (PARTITION BY l.order_id, sku, title, quantity, price, l.discount, list_price) AS copy_no
            FROM lines_in l LEFT JOIN heads h USING (k)
            WINDOW same AS (PARTITION BY l.order_id, sku, title, quantity, price, l.discount, list_price))"""
        keep = "copy_no <= ceil(n_copies / coalesce(n_heads, 1))"
    con.execute(f"""
        CREATE OR REPLACE TABLE lines AS
        SELECT *, coalesce(discount, 0) AS own_discount,
               row_number() OVER (PARTITION BY k ORDER BY sku, title, price DESC, quantity DESC, discount) AS line_no
        FROM {copies} WHERE k IS NOT NULL AND quantity > 0 AND {keep}""")
    con.execute("""
        CREATE OR REPLACE TABLE counted AS
        SELECT k, NULL AS order_id, count(*) AS n_all, count(*) FILTER (quantity <= 0) AS n_zero, NULL AS printed
        FROM lines_in WHERE k IS NOT NULL GROUP BY k
        UNION ALL SELECT NULL, order_id, count(*), count(*) FILTER (quantity <= 0), sum(quantity * price)
        FROM lines_in WHERE k IS NULL GROUP BY order_id""")


def _sum_lines(con: object) -> None:
    """`sums`: what the lines of each order come to."""
    con.execute("""
        CREATE OR REPLACE TABLE sums AS
        SELECT k, sum(quantity * price) AS goods, sum(own_discount) AS lines_discount, count(*) AS n_lines,
               arg_max(line_no, quantity * price - own_discount - 0.0000001 * line_no) AS largest
        FROM lines GROUP BY k""")


def _set_extras_apart(d: Delivery) -> None:
    """Tips and gift cards among the lines are money of the order and no sales. A tip's
    line goes; a gift card's stays at price 0, so that the order says what was bought.

    Whether the subtotal holds them is told by the total: with them it is explained, or
    without.
    """
    con = d.con
    n_tips, n_cards, amount = con.execute(
        "SELECT count(*) FILTER (extra = 'tip'), count(*) FILTER (extra = 'gift_card'), "
        "coalesce(sum(quantity * price - own_discount), 0) FROM lines WHERE extra IS NOT NULL"
    ).fetchone()
    con.execute(
        "CREATE OR REPLACE TABLE extras (k BIGINT, tips DECIMAL(18,6), cards DECIMAL(18,6), n_tips BIGINT)"
    )
    if not n_tips + n_cards:
        return
    con.execute("""INSERT INTO extras
        SELECT k, coalesce(sum(quantity * price - own_discount) FILTER (extra = 'tip'), 0),
               coalesce(sum(quantity * price - own_discount) FILTER (extra = 'gift_card'), 0),
               count(*) FILTER (extra = 'tip')
        FROM lines WHERE extra IS NOT NULL GROUP BY k""")
    rest = (
        "h.total - h.subtotal - coalesce(h.shipping, 0) - coalesce(h.duties, 0) "
        "- coalesce(h.tip, 0) - coalesce(h.gift_card, 0)"
    )

    def ties(on_top: str) -> str:
        off = f"({rest} - ({on_top}))"
        return f"abs({off}) < 0.015 OR abs({off} - coalesce(h.tax, 0)) < 0.015"

    con.execute(f"""UPDATE heads h SET
            tip = coalesce(h.tip, 0) + e.tips, gift_card = coalesce(h.gift_card, 0) + e.cards,
            subtotal = h.subtotal - CASE WHEN {ties("0")} THEN e.tips + e.cards
                WHEN {ties("e.tips")} THEN e.cards WHEN {ties("e.cards")} THEN e.tips ELSE 0 END
        FROM extras e WHERE e.k = h.k""")
    con.execute("DELETE FROM lines WHERE extra = 'tip'")
    con.execute("""UPDATE lines SET price = 0, own_discount = 0, discount = 0, is_product = false
        WHERE extra = 'gift_card'""")
    d.notes.append(say("sources.extras_apart", tips=n_tips, cards=n_cards, amount=amount))


def _combinations(con: object, lines: str) -> None:
    """`combos`: every combination of an order's lines (k, mask, n, value) from a query of
    k, i (0, 1 ...), n_lines, value.
    """
    con.execute(f"""CREATE OR REPLACE TEMP TABLE combos AS
        WITH l AS ({lines}), m AS (
            SELECT k, unnest(range(1, CAST(power(2, n_lines) AS BIGINT))) AS mask
            FROM (SELECT DISTINCT k, n_lines FROM l WHERE n_lines <= {MOST_LINES}))
        SELECT k, mask, count(*) AS n, sum(value) AS value
        FROM m JOIN l USING (k) WHERE (mask >> i) & 1 = 1 GROUP BY k, mask""")


def _take_off_edited(d: Delivery) -> None:
    """Lines taken off an order keep their quantity in the export, while its subtotal is
    without them: found as the lines that explain the subtotal to the cent, where no
    discount does.
    """
    con = d.con
    con.execute("""CREATE OR REPLACE TEMP TABLE odd AS
        SELECT k, goods - lines_discount - subtotal AS over, stated, lines_discount
        FROM (SELECT h.k, h.subtotal, coalesce(h.discount, 0) AS stated, s.goods, s.lines_discount, s.n_lines AS n
              FROM heads h JOIN sums s USING (k))
        WHERE subtotal IS NOT NULL AND goods - subtotal > 0.01 * (n + 1)
          AND least(abs(goods - subtotal - stated), abs(goods - subtotal - lines_discount),
                    abs(goods - subtotal - stated - lines_discount)) > 0.01 * (n + 1)""")
    if con.execute("SELECT count(*) FROM odd").fetchone() == (0,):
        return
    con.execute("""CREATE OR REPLACE TEMP TABLE odd_lines AS
        SELECT k, line_no, quantity, price, own_discount, quantity * price - own_discount AS value,
               CAST(row_number() OVER (PARTITION BY k ORDER BY line_no) - 1 AS INTEGER) AS i, count(*) OVER (PARTITION BY k) AS n_lines
        FROM lines SEMI JOIN odd USING (k)""")
    _combinations(con, "SELECT k, i, n_lines, value FROM odd_lines WHERE value > 0")
    # whole lines before some units of one; the fewest lines, of these the last ones
    con.execute("""CREATE OR REPLACE TEMP TABLE taken_off AS
        WITH w AS (
            SELECT k, mask, n, NULL AS i, NULL AS units FROM combos JOIN odd USING (k)
            WHERE least(abs(over - value), abs(over - stated - value)) < 0.005
            UNION ALL SELECT k, 0, 100, i, CAST(round(o.over / price) AS BIGINT) FROM odd_lines JOIN odd o USING (k)
            WHERE price > 0 AND own_discount = 0 AND round(o.over / price) BETWEEN 1 AND quantity - 1
              AND abs(round(o.over / price) * price - o.over) < 0.005)
        SELECT * FROM w QUALIFY row_number() OVER (PARTITION BY k ORDER BY n, mask DESC, i DESC) = 1""")
    con.execute("""CREATE OR REPLACE TEMP TABLE off AS
        SELECT k, line_no, units FROM odd_lines l JOIN taken_off t USING (k)
        WHERE t.i = l.i OR (t.i IS NULL AND (t.mask >> l.i) & 1 = 1)""")
    con.execute("""UPDATE lines SET quantity = lines.quantity - o.units FROM off o
        WHERE o.units IS NOT NULL AND o.k = lines.k AND o.line_no = lines.line_no""")
    con.execute("""DELETE FROM lines USING off o
        WHERE o.units IS NULL AND o.k = lines.k AND o.line_no = lines.line_no""")
    con.execute("""INSERT INTO edited
        SELECT k, count(*) FILTER (units IS NULL) FROM off GROUP BY k""")
    (orders,) = con.execute("SELECT count(*) FROM edited").fetchone()
    if orders:
        _sum_lines(con)
        d.notes.append(say("sources.edited_orders", orders=orders))


def _share_out(d: Delivery) -> None:
    """Discounts and taxes of the order on its lines, in cents, the last cent on the
    largest line.
    """
    con = d.con
    _read_money(con)
    _keep_pieces(d)
    _share_discounts(con)
    _share_taxes(con)
    for done in (
        "VIEW printed",
        "VIEW discounted",
        "TABLE lines",
        "TABLE left_over",
        "TABLE left_tax",
    ):
        con.execute(f"DROP {done}")
    _say_taxes(d)


def _read_money(con: object) -> None:
    """`money`: what each order gave, whether its prices hold tax, and whether lines,
    discounts and total agree.
    """
    # The discount that makes lines and subtotal agree is the one that was given. Platforms differ in whether the order's
    # discount repeats the lines' own and whether it was given on shipping, so all readings that tie are accepted.
    con.execute(f"""
        CREATE OR REPLACE TABLE money AS
        WITH a AS (
            SELECT h.k, s.goods, s.lines_discount, s.n_lines, s.largest, coalesce(h.shipping, 0) AS shipping,
                   coalesce(h.tax, 0) AS tax, coalesce(h.duties, 0) + coalesce(h.tip, 0) + coalesce(h.gift_card, 0) AS extra,
                   h.total, coalesce(h.discount, 0) AS stated, h.subtotal,
                   CAST(0.01 * (coalesce(s.n_lines, 0) + 1) AS {CENTS}) AS tolerance
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
                   CAST(tax * shipping / nullif(net + shipping, 0) AS {CENTS}) AS shipping_tax
            FROM b)
        SELECT *, given BETWEEN -tolerance AND goods + tolerance AS is_usable,
               least(abs(given - stated - lines_discount), abs(given - stated), abs(given - lines_discount), abs(given)) <= tolerance
                   AND least(off_with, off_without) <= tolerance AS is_tied,
               CAST(CASE WHEN is_tax_inside THEN shipping - coalesce(shipping_tax, 0) ELSE shipping END AS DECIMAL(18,6)) AS net_shipping,
               CASE WHEN net > 0 THEN tax - coalesce(shipping_tax, 0) ELSE 0 END AS goods_tax,
               CASE WHEN is_tax_inside THEN 1 - CAST(tax AS DOUBLE) / nullif(net + shipping, 0) ELSE 1 END AS kept_share
        FROM c""")


def _keep_pieces(d: Delivery) -> None:
    """Hands over orders whose lines fall short of their subtotal, and lines of orders that
    are not in the file: pieces of one order cut over two files (see cut_orders.py).
    """
    con = d.con
    short = """SELECT k FROM money WHERE goods IS NOT NULL AND given < -tolerance AND subtotal IS NOT NULL
               AND k NOT IN (SELECT k FROM extras WHERE k IS NOT NULL)"""
    con.execute(
        f"CREATE OR REPLACE TABLE cut_heads AS SELECT * FROM heads WHERE k IN ({short}) AND n_heads = 1"
    )
    con.execute("""CREATE OR REPLACE TABLE cut_lines AS
        SELECT *, false AS has_head FROM orphans
        UNION ALL BY NAME SELECT * EXCLUDE (own_discount, line_no), true AS has_head
        FROM lines WHERE k IN (SELECT k FROM cut_heads)""")
    n_heads, n_lines = con.execute(
        "SELECT (SELECT count(*) FROM cut_heads), (SELECT count(*) FROM cut_lines)"
    ).fetchone()
    if n_heads:
        d.emit(
            "cut_heads", "SELECT * EXCLUDE (k, n_heads, total_delivered, own_last) FROM cut_heads"
        )
    if n_lines:
        d.emit("cut_lines", "SELECT * EXCLUDE (k) FROM cut_lines")


def _share_discounts(con: object) -> None:
    """`discounted`: each line with its part of the discount; `left_over`: the cents
    between the parts and the whole.
    """
    # what the order gave beyond its lines' own discounts, or less than they say
    con.execute(f"""
        CREATE OR REPLACE VIEW discounted AS
        SELECT l.*, m.given, m.lines_discount, m.net, m.goods_tax, m.is_tax_inside, m.kept_share, l.line_no = m.largest AS is_largest,
               CASE WHEN m.given = m.lines_discount THEN CAST(0 AS {CENTS})
                    WHEN m.given < m.lines_discount THEN CAST(l.own_discount * (m.given - m.lines_discount) / m.lines_discount AS {CENTS})
                    ELSE coalesce(CAST((m.given - m.lines_discount) * (l.quantity * l.price - l.own_discount)
                                       / nullif(m.goods - m.lines_discount, 0) AS {CENTS}), 0) END AS part
        FROM lines l JOIN money m USING (k) WHERE m.is_usable""")
    con.execute("""
        CREATE OR REPLACE TABLE left_over AS
        SELECT k, any_value(given - lines_discount) - sum(part) AS cents FROM discounted WHERE given <> lines_discount GROUP BY k
        HAVING any_value(given - lines_discount) <> sum(part)""")


def _share_taxes(con: object) -> None:
    """`placed_lines`: each line with its final discount, its tax and its net price."""
    con.execute(f"""
        CREATE OR REPLACE VIEW printed AS
        SELECT d.*, own_discount + part + CASE WHEN is_largest THEN coalesce(o.cents, 0) ELSE 0 END AS all_discount,
               quantity * price - all_discount AS printed,
               coalesce(CAST(goods_tax * (quantity * price - all_discount) / nullif(net, 0) AS {CENTS}), 0) AS tax_part
        FROM discounted d LEFT JOIN left_over o USING (k)""")
    con.execute("""
        CREATE OR REPLACE TABLE left_tax AS
        SELECT k, any_value(goods_tax) - sum(tax_part) AS cents FROM printed WHERE goods_tax <> 0 GROUP BY k
        HAVING any_value(goods_tax) <> sum(tax_part)""")
    con.execute(f"""
        CREATE OR REPLACE TABLE placed_lines AS
        SELECT p.* EXCLUDE (given, lines_discount, net, goods_tax, part, own_discount, printed, tax_part, all_discount),
               tax_part + CASE WHEN is_largest THEN coalesce(t.cents, 0) ELSE 0 END AS line_tax,
               CASE WHEN is_tax_inside THEN CAST(all_discount * kept_share AS {CENTS}) ELSE CAST(all_discount AS DECIMAL(18,6)) END
                   AS final_discount,
               CASE WHEN is_tax_inside
                    THEN CAST((printed - (tax_part + CASE WHEN is_largest THEN coalesce(t.cents, 0) ELSE 0 END)
                               + CAST(all_discount * kept_share AS {CENTS})) / quantity AS DECIMAL(18,6))
                    ELSE CAST(price AS DECIMAL(18,6)) END AS net_price
        FROM printed p LEFT JOIN left_tax t USING (k)""")


def _say_taxes(d: Delivery) -> None:
    inside, outside, none, loose = d.con.execute("""
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
    d.con.execute("""
        CREATE OR REPLACE TABLE itemised AS
        SELECT p.*, l.gross, l.line_discount, h.duties, h.tip, h.gift_card, h.order_id, h.ordered_on, h.customer_id IS NULL AS is_guest,
               h.total_delivered, h.n_heads,
               coalesce(c.n_all, 0) AS n_all, coalesce(c.n_zero, 0) AS n_zero, coalesce(l.gross - l.line_discount, 0) AS revenue,
               coalesce(e.n_edited, 0) AS n_edited, coalesce(x.n_tips, 0) AS n_tips,
               p.total - coalesce(l.gross - l.line_discount, 0) - p.net_shipping - p.tax - p.extra AS rest
        FROM money p JOIN heads h USING (k)
        LEFT JOIN (SELECT k, sum(quantity * net_price) AS gross, sum(final_discount) AS line_discount
                   FROM placed_lines GROUP BY k) l USING (k)
        LEFT JOIN counted c USING (k) LEFT JOIN edited e USING (k) LEFT JOIN extras x USING (k)""")
    _emit_orders(d)
    _emit_lines(d)
    _emit_refunds(d)
    d.emit(
        "entities",
        f"""
        SELECT h.order_id AS entity, h.own_last, {STATUS_RANK} AS status_rank, coalesce(h.refunded, 0) AS refunded, h.total AS size,
               CASE WHEN p.is_usable AND p.is_tied THEN 2 WHEN p.is_usable THEN 1 ELSE 0 END AS completeness
        FROM heads h JOIN itemised p USING (k)
        UNION ALL SELECT order_id, NULL, 0, 0, 0, 0 FROM counted WHERE k IS NULL""",
    )
    _emit_ledger(d)
    d.is_checked = True


def _emit_orders(d: Delivery) -> None:
    have = {r[0] for r in d.con.execute("DESCRIBE heads").fetchall()}
    set_here = ("order_id", "gross", "discount", "shipping", "tax", "total", "other_charges")
    own = [c.name for c in TABLES["orders"].columns if c.name in have and c.name not in set_here]
    more = [c for c in ("is_contactable", "is_business", "_edge") if c in have]
    d.emit(
        "orders",
        f"""
        SELECT h.order_id AS entity, h.order_id, {", ".join(f"h.{c}" for c in own + more)}, h.uid AS _uid,
               coalesce(p.gross, 0) AS gross, coalesce(p.line_discount, 0) AS discount, p.net_shipping AS shipping,
               p.tax AS tax, nullif(p.rest, 0) AS other_charges, coalesce(h.total, 0) AS total
        FROM heads h JOIN itemised p USING (k) WHERE p.is_usable""",
    )


def _emit_lines(d: Delivery) -> None:
    line = {r[0] for r in d.con.execute("DESCRIBE placed_lines").fetchall()}
    extra = [c for c in ("list_price", "unit_cost", "seller_id", "promo_id") if c in line]
    named = "coalesce(sku, CASE WHEN title IS NOT NULL THEN 'title:' || trim(regexp_replace(lower(title), '[^\\p{L}\\p{N}]+', ' ', 'g')) END)"
    d.emit(
        "order_lines",
        f"""
        SELECT order_id, line_no, {named} AS sku, quantity, net_price AS price, final_discount AS discount,
               line_tax AS tax, title, {"".join(f"{c}, " for c in extra)}coalesce(is_product, true) AS is_product
        FROM placed_lines""",
    )
    (without,) = d.con.execute("SELECT count(*) FROM placed_lines WHERE sku IS NULL").fetchone()
    if without:
        d.repaired["lines without a sku, named by their title"] = without


def _emit_refunds(d: Delivery) -> None:
    """A refund is told with tax and shipping in it; what it takes off revenue is at most
    the order's goods, and exactly the lines it gives back where they can be told.
    """
    con = d.con
    (undated,) = con.execute("SELECT count(*) FROM heads WHERE refunded > 0").fetchone()
    con.execute("CREATE OR REPLACE TABLE given_back (k BIGINT, amount DECIMAL(18,6))")
    if undated:
        d.notes.append(f"{undated:,} refunds without a date: they count in their order's month")
        _find_given_back(con)
    refund = "coalesce(b.amount, least(h.refunded * (1 - p.tax / nullif(h.total, 0)), p.gross - p.line_discount))"
    d.emit(
        "refunds",
        f"""
        SELECT h.order_id AS entity, h.order_id || '-refund' AS refund_id, h.order_id, CAST(NULL AS TIMESTAMP) AS refunded_at,
               CAST(NULL AS DATE) AS refunded_on, CAST({refund} AS DECIMAL(18,2)) AS amount, h.customer_id, 'refund' AS kind
        FROM heads h JOIN itemised p USING (k) LEFT JOIN given_back b USING (k)
        WHERE p.is_usable AND h.refunded > 0 AND CAST({refund} AS DECIMAL(18,2)) > 0""",
    )


def _find_given_back(con: object) -> None:
    """`given_back`: the goods in a refund of a part of its order, where they come to whole
    lines or units with their tax, with or without the shipping; 0 where only the
    shipping was given back. Tax may lie on the goods alone or on the shipping as well.
    """
    con.execute("""CREATE OR REPLACE TEMP TABLE sought AS
        WITH p AS (
            SELECT k, CAST(h.refunded AS DOUBLE) AS refunded, CAST(net_shipping AS DOUBLE) AS ship,
                   CAST(i.tax / nullif(revenue, 0) AS DOUBLE) AS on_goods,
                   CAST(i.tax / nullif(revenue + net_shipping, 0) AS DOUBLE) AS on_all
            FROM heads h JOIN itemised i USING (k)
            WHERE is_usable AND h.refunded > 0 AND h.refunded < h.total - 0.005 AND revenue > 0)
        SELECT k, 1 AS turn, refunded / (1 + on_goods) AS goods FROM p
        UNION ALL SELECT k, 2, refunded / (1 + on_all) FROM p
        UNION ALL SELECT k, 3, (refunded - ship) / (1 + on_goods) FROM p WHERE ship > 0
        UNION ALL SELECT k, 4, refunded / (1 + on_all) - ship FROM p WHERE ship > 0""")
    con.execute("""CREATE OR REPLACE TEMP TABLE sold AS
        SELECT k, quantity, quantity * net_price - final_discount AS value,
               CAST(row_number() OVER (PARTITION BY k ORDER BY line_no) - 1 AS INTEGER) AS i, count(*) OVER (PARTITION BY k) AS n_lines
        FROM placed_lines SEMI JOIN sought USING (k)""")
    _combinations(con, "SELECT k, i, n_lines, value FROM sold WHERE value > 0")
    con.execute("""INSERT INTO given_back
        WITH w AS (
            SELECT k, turn, n, c.value AS amount FROM sought s JOIN combos c USING (k) WHERE abs(c.value - goods) <= 0.01
            UNION ALL SELECT k, turn, 1, round(goods * quantity / value) * value / quantity
            FROM sought JOIN sold USING (k)
            WHERE value > 0 AND round(goods * quantity / value) BETWEEN 1 AND quantity
              AND abs(round(goods * quantity / value) * value / quantity - goods) <= 0.01
            UNION ALL SELECT k, 9, 0, 0 FROM sought WHERE turn >= 3 AND abs(goods) <= 0.01)
        SELECT k, CAST(amount AS DECIMAL(18,6)) FROM w QUALIFY row_number() OVER (PARTITION BY k ORDER BY turn, n, amount) = 1""")


def _emit_ledger(d: Delivery) -> None:
    whose = "order_id, ordered_on, is_guest"
    each = " UNION ALL ".join(
        f"SELECT {whose}, '{e}', {'n_tips' if e == 'tip' else 0}, coalesce({e}, 0) FROM itemised WHERE is_usable AND ({e} <> 0"
        f"{' OR n_tips > 0' if e == 'tip' else ''})"
        for e in EXTRA
    )
    d.emit(
        "ledger",
        f"""
        WITH parts AS (
            SELECT {whose}, 'kept' AS reason, coalesce(n_lines, 0) AS n_rows, revenue AS amount FROM itemised WHERE is_usable
            UNION ALL SELECT {whose}, 'tax', 0, tax FROM itemised WHERE is_usable AND tax <> 0
            UNION ALL SELECT {whose}, 'shipping', 0, net_shipping FROM itemised WHERE is_usable AND net_shipping <> 0
            UNION ALL {each}
            UNION ALL SELECT {whose}, 'edited', n_edited, 0 FROM itemised WHERE is_usable AND n_edited > 0
            UNION ALL SELECT {whose}, 'stock_write_off', n_zero, 0 FROM itemised WHERE is_usable AND n_zero > 0
            UNION ALL SELECT {whose}, 'overlap', n_all - n_zero - n_edited - n_tips - coalesce(n_lines, 0), total_delivered - total FROM itemised
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
