"""An order file read by a mapping: sales, credit notes, returned lines, discounts given
as lines and bookings that are no sale, each told from the others and none dropped.
"""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources import clean
from playbook.sources.adapter import Delivery
from playbook.sources.allocate import finish_orders
from playbook.sources.clean import whole_id
from playbook.sources.column_account import account_of_orders, refuse_unexplained
from playbook.sources.day_order import settle_day_order
from playbook.sources.mapped import Mapped
from playbook.sources.mapped_taxes import is_tax_inside
from playbook.sources.sum_rows import total_words
from playbook.sources.word_columns import refuse_rows_said_no_sale
from playbook.store.write import quoted

STATUSES = ("placed", "paid", "shipped", "done", "cancelled", "refunded")
MONEY = ("subtotal", "order_discount", "shipping", "tax", "total", "refunded", "tip", "duties")
NEVER_NEGATIVE = ("order_discount", "line_discount", "refunded")
WORDS = ("currency", "region", "country", "device")
TEXTS = ("title", "coupon", "source", "medium", "campaign")
TIMES = ("ordered_at", "paid_at", "shipped_at", "delivered_at", "cancelled_at")
CENT = "0.01"


def shape_orders(d: Delivery, told: Mapped) -> None:
    """Lines with the order's fields on each of them, or on the first only, or one row
    per order.
    """
    settle_day_order(d)
    _write_whole_ids(d)
    _type_rows(d, told)
    refuse_unexplained(d, told)
    refuse_rows_said_no_sale(d, told, "sale")
    _classify(d, told)
    _heads(d)
    _sales(d, told)
    _add_refunds(d)
    account_of_orders(d, told)


# --- rows ------------------------------------------------------------------------------------


def _write_whole_ids(d: Delivery) -> None:
    """Ids a data frame has turned into 13085.0 lose it; where 13085 stands beside it, both
    are the same.
    """
    for name in ("order_id", "sku", "refund_of"):
        if d.has(name):
            number = f"regexp_full_match({name}, '[0-9]+\\.0+')"
            n, others = d.con.execute(
                f"SELECT count(*) FILTER ({number}), count(*) FILTER (NOT {number} AND "
                f"regexp_full_match({name}, '[0-9]+\\.[0-9]+')) FROM raw"
            ).fetchone()
            # 12.0 beside 12.5 is a code with a point in it
            if n and not others:
                d.con.execute(f"UPDATE raw SET {name} = {whole_id(name)} WHERE {number}")


def _type_rows(d: Delivery, told: Mapped) -> None:
    """`mapped`: every row with its columns typed, or a refusal that names what cannot be
    read.
    """
    _refuse_unknown_states(d, told)
    _fill_days(d)
    is_filled = "coalesce(price, amount) IS NOT NULL"
    if not (d.has("price") and d.has("amount")):
        is_filled = next((f"{n} IS NOT NULL" for n in ("price", "amount") if d.has(n)), "true")
    typed = {
        "order_id": d.id("order_id"),
        "sku": d.id("sku"),
        "refund_of": d.id("refund_of"),
        "quantity": d.count("quantity") if d.has("quantity") else "CAST(1 AS BIGINT)",
        "ordered_on": d.day("ordered_at"),
        "customer_id": f"coalesce({d.contact('email')}, {d.contact('customer')})",
        "status": _status(d, told),
        "is_line": is_filled,
    }
    money = (*MONEY, "price", "amount", "line_discount", "list_price", "unit_cost", "payment_fee")
    typed |= {name: d.money(name) for name in money}
    typed |= {name: d.word(name) for name in WORDS} | {name: d.text(name) for name in TEXTS}
    typed |= {name: d.utc(name) for name in TIMES}
    typed["is_test"] = d.flag("is_test")
    typed["currency"] = f"upper({typed['currency']})" if d.has("currency") else _sign(d)
    d.require("order_id", "ordered_at", when="true")
    if d.has("quantity"):
        d.require("quantity", when=is_filled)
    d.refuse_unreadable("orders", budget=0.0)
    picks = ", ".join(f"{value} AS {name}" for name, value in typed.items())
    d.con.execute(f"CREATE OR REPLACE TABLE mapped AS SELECT {picks} FROM raw")
    _note_edges(d)
    _mark_repeated(d)
    _make_positive(d)
    if not _has_lines(d):
        d.notes.append(say("sources.no_lines"))


def _fill_days(d: Delivery) -> None:
    """The day of an order that stands on the first of its rows only stands for all of them."""
    d.con.execute("""UPDATE raw SET ordered_at = f.ordered_at
        FROM (SELECT order_id, min(ordered_at) AS ordered_at FROM raw WHERE order_id IS NOT NULL
              GROUP BY 1 HAVING count(DISTINCT ordered_at) = 1 AND count(ordered_at) < count(*)) f
        WHERE raw.order_id = f.order_id AND raw.ordered_at IS NULL""")


def _mark_repeated(d: Delivery) -> None:
    """`is_repeated`: rows of an order that stand in the file a second time, as when the same
    export was pasted below itself: another block of the same order with the same content.
    """
    d.con.execute("ALTER TABLE mapped ADD COLUMN is_repeated BOOLEAN DEFAULT false")
    starts = "lag(order_id) OVER (ORDER BY rowid) IS DISTINCT FROM order_id"
    n_blocks, n_orders = d.con.execute(
        f"SELECT count(*) FILTER (is_start), count(DISTINCT order_id) "
        f"FROM (SELECT order_id, {starts} AS is_start FROM mapped)"
    ).fetchone()
    if n_blocks == n_orders:
        return
    d.con.execute(f"""CREATE OR REPLACE TEMP TABLE repeated AS
        WITH s AS (SELECT *, rowid AS row, {starts} AS is_start FROM mapped),
        b AS (SELECT * EXCLUDE (is_start), sum(is_start::INT) OVER (ORDER BY row) AS block FROM s),
        k AS (SELECT order_id, block, md5(string_agg(content, chr(31) ORDER BY content)) AS content
              FROM (SELECT order_id, block, concat_ws(chr(30), ordered_at, sku, title, quantity, price,
                           amount, total, line_discount) AS content FROM b)
              GROUP BY ALL)
        SELECT b.row FROM b JOIN (
            SELECT order_id, block, row_number() OVER (PARTITION BY order_id, content ORDER BY block) AS turn
            FROM k) USING (order_id, block) WHERE turn > 1""")
    (n,) = d.con.execute("SELECT count(*) FROM repeated").fetchone()
    if n:
        d.con.execute(
            "UPDATE mapped SET is_repeated = true WHERE rowid IN (SELECT row FROM repeated)"
        )
        d.repaired[say("sources.rows_repeated")] = n


def _sign(d: Delivery) -> str:
    """The currency whose sign stands before a file's money, where no column tells it;
    refuses two of them in one file.
    """
    money = [n for n in ("price", "amount", "total") if d.has(n)]
    said = {
        row[0]
        for n in money
        for row in d.con.execute(
            f"SELECT DISTINCT {clean.currency_code(n)} FROM raw WHERE {n} IS NOT NULL"
        ).fetchall()
        if row[0]
    }
    codes = sorted({clean.CODES.get(sign, sign) for sign in said})
    if len(codes) > 1:
        raise PlaybookError(
            "sources.two_currencies",
            signs=", ".join(codes),
            file=d.sheet.path.name,
            column=d.header(money[0]),
        )
    shop = str(d.settings.currency or "").upper()
    shared = clean.SHARED_SIGNS.get(codes[0] if codes else "", ())
    # a dollar is the shop's own, and so is a sign that says no more than the shop does
    if not codes or len(codes[0]) != 3 or shop in shared or (shared and not shop):
        return "CAST(NULL AS VARCHAR)"
    return quoted(codes[0])


def _note_edges(d: Delivery) -> None:
    """The file's first and last order, where lines alone tell its money: such an order may
    go on in another file.
    """
    d.con.execute("CREATE OR REPLACE TABLE edges (order_id VARCHAR, _edge VARCHAR)")
    if not d.has("total") and not d.has("subtotal"):
        d.con.execute("""INSERT INTO edges
            SELECT order_id, CASE WHEN count(*) > 1 THEN 'both' ELSE any_value(place) END FROM (
                SELECT arg_min(order_id, rowid) AS order_id, 'first' AS place FROM raw
                UNION ALL SELECT arg_max(order_id, rowid), 'last' FROM raw) GROUP BY 1""")


def _has_lines(d: Delivery) -> bool:
    return d.has("quantity") or d.has("price") or d.has("amount")


def _refuse_unknown_states(d: Delivery, told: Mapped) -> None:
    if not d.has("status"):
        return
    unknown = f"status IS NOT NULL AND {_status(d, told)} IS NULL"
    words = d.con.execute(
        f"SELECT status, count(*) FROM raw WHERE {unknown} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if words:
        raise PlaybookError(
            "sources.states_without_a_meaning",
            words=", ".join(word for word, _ in words[:8]),
            file=d.sheet.path.name,
            column=d.header("status"),
            rows=sum(n for _, n in words),
            rule="status",
        )


def _status(d: Delivery, told: Mapped) -> str:
    if not d.has("status"):
        return "'done'"
    word = f"lower({d.word('status')})"
    cases = {**{s: s for s in STATUSES}, **told.status}
    whens = " ".join(f"WHEN {quoted(said)} THEN {quoted(s)}" for said, s in cases.items())
    return f"CASE {word} {whens} END"


def _make_positive(d: Delivery) -> None:
    """Discounts and refunds printed with a minus throughout are turned; a column with
    both signs is not guessed.
    """
    for name in NEVER_NEGATIVE:
        if not d.has(name):
            continue
        below, above = d.con.execute(
            f"SELECT count(*) FILTER ({name} < 0 AND quantity > 0), "
            f"count(*) FILTER ({name} > 0 AND quantity > 0) FROM mapped"
        ).fetchone()
        if below and above:
            raise PlaybookError(
                "sources.both_signs",
                file=d.sheet.path.name,
                column=d.header(name),
                rows=min(below, above),
            )
        d.con.execute(f"UPDATE mapped SET {name} = abs({name}) WHERE {name} < 0")


# --- what each row is ------------------------------------------------------------------------


def _classify(d: Delivery, told: Mapped) -> None:
    """`classed`: every row with its units, its money as delivered (`goods`, signed) and
    what it is: line, bare, given (a discount as a line), credit_line, adjustment,
    stock_write_off or zero_or_negative_price.
    """
    _signed_goods(d)
    number, title = "order_id", "lower(coalesce(title, ''))"
    is_credit = _matches(number, told.credit_notes)
    is_adjusted = _matches(number, told.adjustments)
    sums = ", ".join(map(quoted, total_words()))
    # a line called a sum that comes to the others of its order
    is_sum = f"(coalesce({title}, '') IN ({sums}) OR lower(coalesce(sku, '')) IN ({sums}))"
    is_free = "quantity > 0" if _has_lines(d) else "false"
    d.con.execute(f"""CREATE OR REPLACE TABLE classed AS
        WITH o AS (
            SELECT *, {is_credit} AS is_note,
                   sum(goods) FILTER (goods > 0) OVER w AS sold,
                   sum(goods) FILTER (goods < 0 AND quantity > 0) OVER w AS off,
                   min(goods) OVER w AS least, max(goods) OVER w AS most,
                   max(abs(coalesce(total, 0))) OVER w AS owed
            FROM signed WINDOW w AS (PARTITION BY order_id))
        SELECT *, CASE
            WHEN is_repeated OR ({is_sum} AND abs(2 * goods - sold - coalesce(off, 0)) < 0.006) THEN 'overlap'
            WHEN {is_adjusted} THEN 'adjustment'
            WHEN is_note OR (coalesce(most, 0) <= 0 AND least < 0) THEN 'credit_line'
            WHEN NOT is_line THEN 'bare'
            WHEN quantity < 0 AND goods = 0 THEN 'stock_write_off'
            WHEN coalesce(most, 0) = 0 AND coalesce(least, 0) = 0 AND owed = 0
                AND {is_free} THEN 'zero_or_negative_price'
            WHEN quantity < 0 THEN 'credit_line'
            WHEN goods < 0 AND sold + off >= 0 THEN 'given'
            WHEN goods < 0 THEN 'credit_line'
            ELSE 'line' END AS class,
            NOT ({_is_no_product(told, title)}) AND NOT is_service AS is_product
        FROM o""")


def _matches(column: str, pattern: str) -> str:
    return f"regexp_matches({column}, {quoted(pattern)})" if pattern else "false"


def _is_no_product(told: Mapped, title: str) -> str:
    tests = ["false"]
    for code in told.no_products:
        like = quoted(code.lower().replace("%", "\\%").replace("_", "\\_").replace("*", "%"))
        tests.append(f"lower(coalesce(sku, '')) LIKE {like} ESCAPE '\\'")
        tests.append(f"(sku IS NULL AND {title} LIKE {like} ESCAPE '\\')")
    return " OR ".join(tests)


def _signed_goods(d: Delivery) -> None:
    """`signed`: the money of each row before its own discount, with its sign, and the
    price and discount under which units come to it exactly.

    A unit price of a line total that does not divide is rounded up in its sixth place,
    and the discount takes the difference: nothing is lost, nothing is added.
    """
    goods = _goods(d)
    d.con.execute(f"""CREATE OR REPLACE TABLE signed AS
        WITH g AS (
            SELECT * REPLACE (abs(quantity) AS quantity), quantity AS printed_units,
                   CAST({goods} AS DECIMAL(18,6)) AS delivered FROM mapped),
        s AS (
            SELECT * REPLACE (CASE WHEN printed_units = 0 AND delivered <> 0 THEN 1
                                   ELSE quantity END AS quantity),
                   printed_units = 0 AND delivered <> 0 AS is_service,
                   CASE WHEN printed_units < 0 THEN -abs(delivered) ELSE delivered END AS goods
            FROM g),
        p AS (
            SELECT *, CASE WHEN price IS NOT NULL AND quantity * price = abs(goods) THEN abs(price)
                WHEN quantity = 0 THEN abs(coalesce(price, 0))
                ELSE CAST(CAST(ceil(CAST(abs(goods) AS DECIMAL(38,6)) * 1000000 / quantity)
                     AS DECIMAL(38,0)) / 1000000 AS DECIMAL(18,6)) END AS unit
            FROM s)
        SELECT * EXCLUDE (price, printed_units) REPLACE (
                   CASE WHEN printed_units < 0 THEN -quantity ELSE quantity END AS quantity),
               unit AS price,
               CASE WHEN quantity > 0 THEN greatest(quantity * unit - abs(goods), 0) ELSE 0 END
                   AS cut
        FROM p""")
    (services,) = d.con.execute("SELECT count(*) FROM signed WHERE is_service").fetchone()
    if services:
        d.repaired[say("sources.money_without_units")] = services


def _goods(d: Delivery) -> str:
    """The money of a line before its own discount, as an expression; refuses a line
    total that is not price times units.
    """
    if not _has_lines(d):
        return "coalesce(subtotal, total)"
    if not d.has("amount"):
        return "quantity * price"
    if not d.has("price"):
        return "amount"
    off = "coalesce(line_discount, 0)"
    # half a cent of rounding for each unit of a printed price
    allowed = "0.005 * abs(quantity) + 0.005"
    gap = "abs(abs(quantity * price) - abs(amount) - {})"
    full, net = d.con.execute(
        f"SELECT count(*) FILTER ({gap.format('0')} > {allowed}), "
        f"count(*) FILTER ({gap.format(off)} > {allowed}) FROM mapped WHERE amount IS NOT NULL"
    ).fetchone()
    if full and net:
        raise PlaybookError(
            "sources.line_totals_differ",
            file=d.sheet.path.name,
            column=d.header("amount"),
            price=d.header("price"),
            rows=min(full, net),
        )
    return "coalesce(amount, quantity * price)" if not full else f"coalesce(amount + {off}, 0)"


# --- orders ----------------------------------------------------------------------------------


def _heads(d: Delivery) -> None:
    """`order_sums`: the money of each order once, whether it stands on each of its rows,
    on one of them, or is told line by line.
    """
    picks = ", ".join(f"{_of_order(d, name)} AS {name}" for name in MONEY)
    rest = ", ".join(
        f"max({n}) AS {n}" for n in (*WORDS, *TEXTS[1:], *TIMES[1:], "customer_id", "status")
    )
    goods = "coalesce(sum(goods - coalesce(line_discount, 0)) FILTER (class IN ('line')), 0)"
    d.con.execute(f"""CREATE OR REPLACE TABLE order_sums AS
        SELECT order_id, min(ordered_at) AS ordered_at, min(ordered_on) AS ordered_on, {rest},
               {picks}, sum(payment_fee) AS payment_fee, {goods} AS goods,
               coalesce(-sum(goods) FILTER (class = 'credit_line'), 0) AS returned,
               coalesce(-sum(goods) FILTER (class = 'given'), 0) AS given,
               bool_or(class IN ('line', 'bare')) AS is_sale, bool_or(is_test) AS is_test
        FROM classed WHERE class <> 'overlap' GROUP BY order_id""")


def _of_order(d: Delivery, name: str) -> str:
    if not d.has(name):
        return "CAST(NULL AS DECIMAL(18,6))"
    (differing,) = d.con.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM mapped GROUP BY order_id "
        f"HAVING count(DISTINCT nullif({name}, 0)) > 1)"
    ).fetchone()
    if differing and name == "total":
        raise PlaybookError(
            "sources.totals_differ",
            file=d.sheet.path.name,
            column=d.header("total"),
            rows=differing,
            rule="one total per order",
        )
    return f"sum({name})" if differing else f"arg_max({name}, abs({name}))"


def _sales(d: Delivery, told: Mapped) -> None:
    """The orders and lines of what was sold, through the common sharing out of money."""
    extras = "coalesce(shipping, 0) + coalesce(tip, 0) + coalesce(duties, 0)"
    stated = f"goods - coalesce(order_discount, 0) - given + {extras}"
    tax = "coalesce(tax, 0)"
    near = f"least(abs({{t}} - ({stated})), abs({{t}} - ({stated}) - {tax})) <= {CENT}"
    on_top = "" if is_tax_inside(d, told) else f" + {tax}"
    # a printed total may already be less what came back: the refund stands beside it
    total = (
        f"CASE WHEN total IS NULL THEN {stated}{on_top} WHEN returned > 0 "
        f"AND NOT {near.format(t='total')} AND {near.format(t='(total + returned)')} "
        "THEN total + returned ELSE total END"
    )
    refunded = (
        "CASE WHEN coalesce(refunded, 0) = 0 AND status = 'refunded' AND returned = 0 "
        "THEN total ELSE refunded END"
    )
    _refuse_refunds_twice(d)
    own = ", ".join((*WORDS, *TEXTS[1:], *TIMES[1:], "customer_id", "status", "tip", "duties"))
    fee = ", payment_fee" if d.has("payment_fee") else ""
    heads = f"""
        WITH o AS (SELECT * REPLACE ({total} AS total) FROM order_sums WHERE is_sale)
        SELECT order_id, ordered_at, ordered_on, {quoted(told.family)} AS platform, {own}{fee},
               subtotal, shipping, tax, total, {refunded} AS refunded, _edge, is_test,
               coalesce(order_discount, 0) + given AS discount
        FROM o LEFT JOIN edges USING (order_id)"""
    d.con.execute(f"CREATE OR REPLACE TABLE sale_heads AS {heads}")
    d.con.execute(
        "CREATE OR REPLACE TABLE raw AS "
        "SELECT order_id, is_line FROM classed WHERE class IN ('line', 'bare')"
    )
    lines = """
        SELECT order_id, sku, title, quantity, price, coalesce(line_discount, 0) + cut AS discount,
               list_price, unit_cost, is_product
        FROM classed WHERE class = 'line'"""
    finish_orders(d, "SELECT * FROM sale_heads", lines, is_line="is_line")


def _refuse_refunds_twice(d: Delivery) -> None:
    if not d.has("refunded"):
        return
    (differing,) = d.con.execute(
        f"SELECT count(*) FROM order_sums WHERE returned > 0 AND refunded > 0 "
        f"AND abs(returned - refunded) > {CENT}"
    ).fetchone()
    if differing:
        raise PlaybookError(
            "sources.refunds_told_twice",
            file=d.sheet.path.name,
            column=d.header("refunded"),
            rows=differing,
        )
    d.con.execute("UPDATE order_sums SET refunded = 0 WHERE returned > 0")


# --- refunds and bookings --------------------------------------------------------------------


def _add_refunds(d: Delivery) -> None:
    """Credit notes and returned lines as refunds, and every row that is no sale in the
    ledger under its reason.
    """
    _credit_lines(d)
    also = {
        "refunds": """
            SELECT order_id AS entity, order_id || '-' || row_no AS refund_id,
                   coalesce(refund_of, CASE WHEN is_sale THEN order_id END) AS order_id,
                   ordered_at AS refunded_at, ordered_on AS refunded_on, amount, customer_id, sku,
                   quantity, currency, 'return' AS kind
            FROM credited WHERE amount > 0""",
        "entities": """
            SELECT order_id AS entity, max(ordered_at) AS own_last, 0 AS status_rank,
                   CAST(0 AS DECIMAL(18,6)) AS refunded, 2 AS completeness
            FROM classed
            SEMI JOIN (SELECT order_id FROM order_sums WHERE NOT is_sale) USING (order_id)
            GROUP BY order_id""",
        "ledger": """
            SELECT order_id AS entity, reason, ordered_on AS day_on,
                   bool_and(customer_id IS NULL) AS is_guest, sum(n_rows)::BIGINT AS n_rows,
                   1 AS n_orders, CAST(sum(amount) AS DECIMAL(18,6)) AS amount
            FROM set_apart GROUP BY ALL""",
    }
    for table, query in also.items():
        d.emit(table, f"({d.emitted[table]}) UNION ALL BY NAME ({query})")
    n, total = d.con.execute(
        "SELECT count(*), coalesce(sum(amount), 0) FROM credited WHERE amount > 0"
    ).fetchone()
    if n:
        d.notes.append(say("sources.returns_booked", n=n, total=total))


def _credit_lines(d: Delivery) -> None:
    """`credited`: one row per line that came back, tax taken off where the note says
    how much of it is tax; `set_apart`: the ledger of all rows that are no sale.
    """
    # a credit note whose lines point both ways is booked in one sum, under its first line
    d.con.execute("""CREATE OR REPLACE TABLE credited AS
        WITH c AS (
            SELECT c.*, o.is_sale, o.note_tax, o.note_total, o.note_ship,
                   CASE WHEN c.is_note AND NOT o.is_sale AND c.least >= 0 THEN goods ELSE -goods END
                       AS turned,
                   turned - sign(turned) * coalesce(line_discount, 0) AS back,
                   c.is_note AND c.least < 0 AND c.most > 0 AS is_mixed,
                   row_number() OVER (PARTITION BY order_id
                       ORDER BY sku, price, quantity, title, goods) AS row_no
            FROM classed c JOIN (SELECT order_id, is_sale, tax AS note_tax, total AS note_total,
                                        shipping AS note_ship FROM order_sums) o USING (order_id)
            WHERE class = 'credit_line'),
        s AS (
            SELECT *, CASE WHEN is_mixed AND row_no = 1 THEN sum(back) OVER (PARTITION BY order_id)
                WHEN is_mixed THEN 0 ELSE back END AS whole,
                CASE WHEN is_sale OR coalesce(note_tax, 0) = 0 OR coalesce(note_total, 0) = 0 THEN 0
                     WHEN abs(abs(note_total) - abs(sum(back) OVER (PARTITION BY order_id))
                          - abs(coalesce(note_ship, 0))) <= 0.02
                     THEN abs(note_tax) / abs(note_total) ELSE 0 END AS tax_share
            FROM c)
        SELECT * EXCLUDE (quantity, amount), abs(quantity) AS quantity,
               CAST(CASE WHEN tax_share = 0 THEN whole
                    ELSE CAST(whole * (1 - tax_share) AS DECIMAL(18,2)) END
                    AS DECIMAL(18,6)) AS amount
        FROM s""")
    d.con.execute("""CREATE OR REPLACE TABLE set_apart AS
        SELECT order_id, 'credit_line' AS reason, ordered_on, customer_id, 1 AS n_rows,
               -amount AS amount FROM credited
        UNION ALL SELECT order_id, 'tax', ordered_on, customer_id, 0, amount - whole FROM credited
            WHERE amount <> whole
        UNION ALL SELECT order_id, class, ordered_on, customer_id, 1, goods FROM classed
            WHERE class IN ('adjustment', 'stock_write_off', 'zero_or_negative_price', 'overlap')
        UNION ALL SELECT order_id, 'discount', ordered_on, customer_id, 1, 0 FROM classed
            WHERE class = 'given'""")
