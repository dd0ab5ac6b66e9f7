"""UCI Online Retail (I): invoice lines of a UK gift-ware wholesaler without shops,
December 2010 to December 2011.

Chen, Sain & Guo (2012), doi 10.1057/dbm.2012.17; CC BY 4.0. Invoices starting with C
are credit notes without a link to their sale and become refunds; A invoices adjust bad
debt; negative quantities without C are stock write-offs.
"""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery

GOLDEN: dict[str, object] = {
    "rows": 541_909,
    "invoices": 25_900,
    "stock codes": 4_070,
    "countries": 38,
    "customers": 4_372,
    "rows without a customer": 135_080,
    "rows without a description": 1_454,
    "credit lines": 9_288,
    "adjustments": 3,
    "negative quantities": 10_624,
    "zero prices": 2_515,
    "total": "9747747.934000",
    "first": "2010-12-01 08:26:00",
    "last": "2011-12-09 12:50:00",
}
# DCGS... codes are real products, so codes are named one by one instead of by a pattern of digits
NO_PRODUCTS = (
    "POST",
    "DOT",
    "M",
    "m",
    "D",
    "C2",
    "S",
    "B",
    "BANK CHARGES",
    "AMAZONFEE",
    "CRUK",
    "PADS",
    "C3",
    "TEST",
)


def shape(d: Delivery) -> None:
    """One source row is one invoice line; every row gets exactly one reason."""
    con = d.con
    con.execute(f"""
        CREATE OR REPLACE TABLE rows AS
        SELECT {d.id("invoice")} AS invoice, {d.id("sku")} AS sku, {d.text("title")} AS title,
               {d.count("quantity")} AS quantity, {d.local("invoiced_at")} AS local_at, {d.utc("invoiced_at")} AS utc_at,
               {d.money("price")} AS price, regexp_replace({d.id("customer")}, '\\.0$', '') AS customer_id,
               {d.word("country")} AS country
        FROM raw""")
    d.refuse_unreadable("order_lines", budget=0.0)
    if d.settings.options.get("golden", True):
        _check(d)
    con.execute("""
        CREATE OR REPLACE TABLE reasoned AS
        SELECT *, CAST(quantity * price AS DECIMAL(18,6)) AS amount,
               CASE WHEN invoice LIKE 'A%' THEN 'adjustment' WHEN invoice LIKE 'C%' THEN 'credit_line'
                    WHEN quantity <= 0 THEN 'stock_write_off' WHEN price <= 0 THEN 'zero_or_negative_price'
                    ELSE 'kept' END AS reason
        FROM rows""")
    _emit_sales(d)
    _emit_rest(d)


def _emit_sales(d: Delivery) -> None:
    d.emit(
        "orders",
        """
        SELECT invoice AS entity, invoice AS order_id, min(utc_at) AS ordered_at, CAST(min(local_at) AS DATE) AS ordered_on,
               'done' AS status, min(customer_id) AS customer_id, min(utc_at) AS paid_at, min(country) AS country,
               'GBP' AS currency, sum(amount) AS gross, 0 AS discount, 0 AS shipping, 0 AS tax, sum(amount) AS total
        FROM reasoned WHERE reason = 'kept' GROUP BY invoice""",
    )
    names = ", ".join(f"'{c}'" for c in NO_PRODUCTS)
    d.emit(
        "order_lines",
        f"""
        SELECT invoice AS order_id,
               row_number() OVER (PARTITION BY invoice ORDER BY sku, price, quantity, title) AS line_no,
               sku, quantity, price, 0 AS discount, title,
               sku NOT IN ({names}) AND NOT starts_with(lower(sku), 'gift_') AS is_product
        FROM reasoned WHERE reason = 'kept'""",
    )
    d.emit(
        "products",
        f"""
        WITH named AS (SELECT sku, title, count(*) AS n FROM reasoned WHERE reason = 'kept' AND title IS NOT NULL GROUP BY ALL)
        SELECT sku, first(title ORDER BY n DESC, title) AS title FROM named
        WHERE sku NOT IN ({names}) AND NOT starts_with(lower(sku), 'gift_') GROUP BY sku""",
    )


def _emit_rest(d: Delivery) -> None:
    d.emit(
        "refunds",
        """
        SELECT invoice AS entity, invoice || '-' || row_number() OVER (PARTITION BY invoice ORDER BY sku, price, quantity, title)
                   AS refund_id,
               utc_at AS refunded_at, CAST(local_at AS DATE) AS refunded_on, -amount AS amount, customer_id, sku,
               -quantity AS quantity, 'return' AS kind
        FROM reasoned WHERE reason = 'credit_line' AND amount < 0""",
    )
    d.emit(
        "entities",
        """
        SELECT invoice AS entity, max(utc_at) AS own_last, 0 AS status_rank, CAST(0 AS DECIMAL(18,6)) AS refunded,
               2 AS completeness FROM reasoned GROUP BY invoice""",
    )
    d.emit(
        "ledger",
        """
        SELECT invoice AS entity, reason, CAST(local_at AS DATE) AS day_on, customer_id IS NULL AS is_guest,
               count(*) AS n_rows, 1 AS n_orders, sum(amount) AS amount
        FROM reasoned GROUP BY ALL""",
    )


def _check(d: Delivery) -> None:
    found = d.con.execute("""
        SELECT count(*), count(DISTINCT invoice), count(DISTINCT sku), count(DISTINCT country),
               count(DISTINCT customer_id), count(*) FILTER (customer_id IS NULL), count(*) FILTER (title IS NULL),
               count(*) FILTER (invoice LIKE 'C%'), count(*) FILTER (invoice LIKE 'A%'), count(*) FILTER (quantity < 0),
               count(*) FILTER (price = 0), CAST(sum(quantity * price) AS VARCHAR), CAST(min(local_at) AS VARCHAR),
               CAST(max(local_at) AS VARCHAR) FROM rows""").fetchone()
    differing = [
        f"{name} {have} instead of {want}"
        for (name, want), have in zip(GOLDEN.items(), found, strict=True)
        if have != want
    ]
    if differing:
        raise PlaybookError(
            "sources.not_the_published_file",
            differing="; ".join(differing[:4]),
            file=d.sheet.path.name,
        )


ADAPTER = Adapter(
    kind="online-retail",
    title="UCI Online Retail",
    gives=("orders", "order_lines", "refunds", "products"),
    columns="""
        invoice! id | InvoiceNo | Invoice
        sku! id | StockCode
        title! text | Description
        quantity! count | Quantity
        invoiced_at! time | InvoiceDate
        price! money | UnitPrice | Price
        customer! id | CustomerID | Customer ID
        country! word | Country
    """,
    shape=shape,
    zone="Europe/London",
    family="online-retail",
)
