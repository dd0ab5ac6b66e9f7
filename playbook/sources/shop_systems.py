"""Shop systems whose exports tell an order's money in a row of its own: Magento 2, PrestaShop,
BigCommerce.

Layouts: magento/magento2, app/code/Magento/Sales/view/adminhtml/ui_component/sales_order_grid.xml
and app/code/Magento/Ui/Model/Export/MetadataProvider.php; PrestaShop/PrestaShop,
src/PrestaShopBundle/Controller/Admin/Sell/Order/OrderController.php (exportAction) and the table
ps_orders of its database; Shopify/shopify_transporter (BigCommerce orders).
"""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.allocate import STATUS_RANK, finish_orders, refuse_numbers_used_again
from playbook.sources.statuses import status_of

MAGENTO = {
    "done": ("complete", "completed"),
    "paid": ("processing", "packed", "payment accepted"),
    "cancelled": ("canceled", "cancelled", "fraud", "suspected fraud", "void"),
    "refunded": ("closed",),
}


def _status(said: str, words: dict[str, tuple[str, ...]]) -> str:
    cases = " ".join(
        f"WHEN {said} IN ({', '.join(repr(w) for w in found)}) THEN '{status}'"
        for status, found in words.items()
    )
    return f"CASE {cases} ELSE 'placed' END"


def shape_magento(d: Delivery) -> None:
    """One row per order of the grid, its goods as one line without sku. The grid tells no
    tax and no discount: what lies between subtotal, shipping and total is one of them.
    """
    _read_24_hours(d)
    said = f"lower({d.word('status')})"
    base, bought = d.money("base"), d.money("total")
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("ordered_at")} AS ordered_at, {d.day("ordered_at")} AS ordered_on,
               {status_of(d, said, MAGENTO)} AS status, {d.contact("email")} AS customer_id, {d.word("shop")} AS source,
               coalesce({base}, {bought}) AS total, {d.money("subtotal")} AS subtotal,
               coalesce({d.money("shipping")}, 0) AS shipping,
               coalesce({d.money("refunded")}, 0) * coalesce({base} / nullif({bought}, 0), 1) AS refunded,
               1 AS _units
        FROM raw"""
    d.require("order_id", "ordered_at", "status", "base" if d.has("base") else "total", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    d.con.execute(f"CREATE OR REPLACE TABLE said AS {query}")
    d.con.execute("""CREATE OR REPLACE TABLE split AS
        SELECT *, total - subtotal - shipping AS rest FROM said""")
    d.con.execute("""CREATE OR REPLACE TABLE itemised AS
        SELECT * EXCLUDE (rest, subtotal, refunded), CAST(refunded AS DECIMAL(18,6)) AS refunded,
               coalesce(subtotal, total - shipping) AS gross, greatest(coalesce(rest, 0), 0) AS tax,
               greatest(-coalesce(rest, 0), 0) AS discount FROM split""")
    n, kept = d.con.execute(
        "SELECT count(*), coalesce(sum(tax), 0) FROM itemised WHERE tax > 0"
    ).fetchone()
    if n:
        d.notes.append(say("sources.tax_or_discount", orders=n, amount=kept))
    if not d.has("subtotal"):
        d.notes.append(say("sources.column_hidden", column="Subtotal"))
    emit_heads(d, platform="magento")


def _read_24_hours(d: Delivery) -> None:
    """Magento has written the hours of a day to 23 with AM and PM behind them
    (github.com/magento/magento2/issues/9426): where one says so, none is moved by twelve.
    """
    late = "regexp_matches(ordered_at, '(?i) (1[3-9]|2[0-3]|00):[0-9]{2}(:[0-9]{2})? [ap]m$')"
    (n,) = d.con.execute(f"SELECT count(*) FROM raw WHERE {late}").fetchone()
    if n:
        d.con.execute("UPDATE raw SET ordered_at = regexp_replace(ordered_at, '(?i) [ap]m$', '')")
        d.repaired["hours of the day to 23 with AM or PM behind them"] = n


def emit_heads(d: Delivery, *, platform: str) -> None:
    """Hands over orders that are told as money only, from the table `itemised`: order_id,
    ordered_at, ordered_on, status, customer_id, gross, discount, shipping, tax, total,
    refunded; the goods of each stand as one line without sku.
    """
    con = d.con
    refuse_numbers_used_again(d, "itemised")
    con.execute("""CREATE OR REPLACE TABLE heads AS
        SELECT *, gross - discount AS goods, total - (gross - discount + shipping + tax) AS rest,
               count(*) OVER w AS n_heads, sum(total) OVER w AS delivered
        FROM itemised WINDOW w AS (PARTITION BY order_id)
        QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY refunded DESC, status DESC, total DESC) = 1""")
    d.emit(
        "orders",
        f"""SELECT order_id AS entity, * EXCLUDE (goods, rest, n_heads, delivered, refunded), nullif(rest, 0) AS other_charges,
                   '{platform}' AS platform FROM heads""",
    )
    d.emit(
        "refunds",
        """SELECT order_id AS entity, order_id || '-refund' AS refund_id, order_id, CAST(NULL AS TIMESTAMP) AS refunded_at,
                  CAST(NULL AS DATE) AS refunded_on, CAST(CASE WHEN refunded >= total - 0.005 THEN goods
                      ELSE least(refunded * (1 - tax / nullif(total, 0)), goods) END AS DECIMAL(18,2)) AS amount,
                  customer_id, 'refund' AS kind FROM heads WHERE refunded > 0 AND goods > 0""",
    )
    d.emit(
        "entities",
        f"""SELECT order_id AS entity, ordered_at AS own_last, {STATUS_RANK} AS status_rank,
                   CAST(refunded AS DECIMAL(18,6)) AS refunded, 2 AS completeness FROM heads""",
    )
    parts = {"kept": ("1", "goods"), "tax": ("0", "tax"), "shipping": ("0", "shipping")}
    parts["unexplained"] = ("0", "rest")
    parts["overlap"] = ("n_heads - 1", "delivered - total")
    rows = " UNION ALL ".join(
        f"SELECT order_id AS entity, '{reason}' AS reason, ordered_on AS day_on, customer_id IS NULL AS is_guest, "
        f"CAST({n} AS BIGINT) AS n_rows, 1 AS n_orders, CAST({amount} AS DECIMAL(18,6)) AS amount FROM heads "
        f"WHERE '{reason}' = 'kept' OR {amount} <> 0 OR ('{reason}' = 'overlap' AND n_heads > 1)"
        for reason, (n, amount) in parts.items()
    )
    d.emit("ledger", f"SELECT * FROM ({rows})")
    d.is_split = d.is_checked = True


# --- PrestaShop ------------------------------------------------------------------------------

# ps_order_state as installed: ids of the shop's own states are more
PRESTA = {
    "paid": ("2", "3", "9", "11"),
    "shipped": ("4",),
    "done": ("5",),
    "cancelled": ("6", "8"),
    "refunded": ("7",),
}


def refuse_prestashop_list(d: Delivery) -> None:
    """The list of orders tells one total with tax and shipping in it: what of it is sales
    cannot be known, and is asked for.
    """
    raise PlaybookError("sources.prestashop_list", file=d.sheet.path.name, column="Total")


def shape_prestashop(d: Delivery) -> None:
    """One row per order of the table ps_orders, in the currency it was paid in; the
    conversion rate leads to the shop's. Goods stand as one line without sku.
    """
    rate = f"coalesce(nullif({d.money('rate')}, 0), 1)"
    goods, off = d.money("goods"), f"coalesce({d.money('discount')}, 0)"
    total = d.money("total")
    money = {
        "gross": goods,
        "discount": off,
        "shipping": f"coalesce({d.money('shipping')}, 0) + coalesce({d.money('wrapping')}, 0)",
        "tax": f"{total} - {d.money('total_net')}",
        "total": total,
    }
    state = d.word("state")
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("ordered_at")} AS ordered_at, {d.day("ordered_at")} AS ordered_on,
               CASE WHEN {state} IN ('1', '10', '12', '13') OR {state} IS NULL THEN 'placed'
                    WHEN {d.word("valid")} = '1' AND {state} NOT IN ('2', '3', '4', '5', '6', '7', '8', '9', '11') THEN 'paid'
                    ELSE {_status(state, PRESTA)} END AS status,
               'id:' || {d.id("customer")} AS person, {d.word("reference")} AS source, 1 AS _units,
               {", ".join(f"CAST({e} / {rate} AS DECIMAL(18,6)) AS {n}" for n, e in money.items())}
        FROM raw"""
    d.require("order_id", "ordered_at", "total", "total_net", "goods", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    d.con.execute(f"""CREATE OR REPLACE TABLE itemised AS
        SELECT * EXCLUDE (person), {d.key("person")} AS customer_id,
               CASE WHEN status = 'refunded' THEN total ELSE 0 END AS refunded FROM ({query})""")
    emit_heads(d, platform="prestashop")


# --- BigCommerce -----------------------------------------------------------------------------

BIGCOMMERCE = {
    "done": ("completed",),
    "shipped": ("shipped", "partially shipped", "partially refunded"),
    "paid": ("awaiting fulfillment", "awaiting shipment", "awaiting pickup", "disputed"),
    "cancelled": ("cancelled", "declined"),
    "refunded": ("refunded",),
}
PRODUCT = "nullif(trim(regexp_extract(entry, 'Product {}: (.*?)(, Product [A-Z]|$)', 1)), '')"


def shape_bigcommerce(d: Delivery) -> None:
    """One row per order, its products as text in one of its columns. Money is told with
    and without tax; what the order gives beside shipping and handling is its goods.
    """
    con = d.con
    said = f"lower({d.word('status')})"
    money = {
        n: f"coalesce({d.money(n)}, 0)"
        for n in ("sub_inc", "sub_ex", "ship_inc", "ship_ex", "handling_inc", "handling_ex")
    }
    shipped = d.utc("shipped_at")
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("ordered_at")} AS ordered_at, {d.day("ordered_at")} AS ordered_on,
               {status_of(d, said, BIGCOMMERCE)} AS status, coalesce({d.contact("email")}, {d.contact("billing_email")}) AS customer_id,
               {shipped} AS shipped_at, upper({d.word("currency")}) AS currency, {d.word("channel_name")} AS source,
               {d.word("region")} AS region, {d.word("country")} AS country, {d.money("total")} AS total, {d.money("total_ex")} AS total_ex,
               coalesce({d.money("refunded")}, 0) AS refunded, {d.text("coupon")} AS coupon, {d.word("products")} AS products,
               {", ".join(f"{e} AS {n}" for n, e in money.items())}
        FROM raw"""
    d.require("order_id", "ordered_at", "total", "total_ex", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE told AS {query}")
    sku = f"coalesce({PRODUCT.format('SKU')}, 'id:' || {PRODUCT.format('ID')})"
    con.execute(f"""CREATE OR REPLACE TABLE items AS
        SELECT order_id, {sku} AS sku, {PRODUCT.format("Name")} AS title,
               TRY_CAST({PRODUCT.format("Qty")} AS BIGINT) AS quantity,
               TRY_CAST(replace({PRODUCT.format("Total Price")}, ',', '') AS DECIMAL(18,6)) AS line,
               TRY_CAST(replace({PRODUCT.format("Unit Price")}, ',', '') AS DECIMAL(18,6)) AS unit
        FROM (SELECT order_id, unnest(string_split(
                  regexp_replace(products, '\\|\\s*Product ID:', chr(30) || 'Product ID:', 'g'), chr(30))) AS entry FROM told)
        WHERE trim(entry) <> ''""")
    _refuse_unread_products(d)
    heads = """
        SELECT * EXCLUDE (products, total_ex, sub_inc, sub_ex, ship_inc, ship_ex, handling_inc, handling_ex),
               'bigcommerce' AS platform, total_ex - ship_ex - handling_ex AS subtotal,
               ship_ex + handling_ex AS shipping, total - total_ex AS tax FROM told"""
    # prices as entered, with or without tax: the lines come to one of the two subtotals
    lines = """
        SELECT i.order_id, sku, title, quantity,
               CAST(coalesce(line, unit * quantity) / quantity * CASE WHEN abs(s.goods - t.sub_ex) <= abs(s.goods - t.sub_inc)
                    THEN 1 ELSE t.sub_ex / nullif(t.sub_inc, 0) END AS DECIMAL(18,6)) AS price
        FROM items i JOIN told t USING (order_id)
        JOIN (SELECT order_id, sum(coalesce(line, unit * quantity)) AS goods FROM items GROUP BY 1) s USING (order_id)
        WHERE quantity > 0"""
    finish_orders(d, heads, lines)


def _refuse_unread_products(d: Delivery) -> None:
    rows, example = d.con.execute(
        "SELECT count(*), min(order_id) FROM items WHERE quantity IS NULL OR coalesce(line, unit) IS NULL"
    ).fetchone()
    if rows:
        raise PlaybookError(
            "sources.products_not_read",
            example=example,
            file=d.sheet.path.name,
            column=d.header("products"),
            rows=rows,
        )


ADAPTERS = (
    Adapter(
        kind="magento-orders",
        title="Magento 2 › Sales › Orders › Export",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | ID
            ordered_at! time | Purchase Date
            status! word | Status
            shop! word | Purchase Point
            base money | Grand Total (Base)
            total money | Grand Total (Purchased)
            subtotal money | Subtotal
            shipping money | Shipping and Handling
            refunded money | Total Refunded
            email contact | Customer Email
        """,
        personal="Bill-to Name | Ship-to Name | Billing Address | Shipping Address | Customer Name",
        ignored="""Shipping Information | Customer Group | Payment Method | Allocated sources | Pickup Location Code
            | Braintree Transaction Source | Dispute State | Signifyd Guarantee Decision""",
        shape=shape_magento,
        signature="Purchase Point",
        any_of=("base", "total"),
        family="magento",
    ),
    Adapter(
        kind="prestashop-list",
        title="PrestaShop › Orders › Export of the list",
        gives=("orders",),
        columns="""
            order_id! id | ID
            reference! id | Reference
            is_new! word | New client
            country! word | Delivery
            total! word | Total
            status! word | Status
            ordered_at! word | Date
        """,
        personal="Customer | Company",
        ignored="Payment",
        shape=refuse_prestashop_list,
        signature="New client",
        family="prestashop",
    ),
    Adapter(
        kind="prestashop-orders",
        title="PrestaShop › SQL Manager › ps_orders",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | id_order
            ordered_at! time | date_add
            state! id | current_state
            goods! money | total_products
            total! money | total_paid_tax_incl
            total_net! money | total_paid_tax_excl
            discount money | total_discounts_tax_excl
            shipping money | total_shipping_tax_excl
            wrapping money | total_wrapping_tax_excl
            rate money | conversion_rate
            customer id | id_customer
            reference word | reference
            valid word | valid
        """,
        personal="secure_key | gift_message | note",
        ignored="""id_shop_group | id_shop | id_carrier | id_lang | id_cart | id_currency | id_address_delivery | id_address_invoice
            | payment | module | recyclable | gift | mobile_theme | shipping_number | total_discounts | total_discounts_tax_incl
            | total_paid | total_paid_real | total_products_wt | total_shipping | total_shipping_tax_incl | carrier_tax_rate
            | total_wrapping | total_wrapping_tax_incl | round_mode | round_type | invoice_number | delivery_number
            | invoice_date | delivery_date | date_upd""",
        shape=shape_prestashop,
        signature="total_paid_tax_incl",
        family="prestashop",
    ),
    Adapter(
        kind="bigcommerce-orders",
        title="BigCommerce › Orders › Export",
        gives=("orders", "order_lines", "refunds", "customers"),
        columns="""
            order_id! id | Order ID
            ordered_at! time | Order Date
            status! word | Order Status
            total! money | Order Total (inc tax)
            total_ex! money | Order Total (ex tax)
            products! text | Product Details
            sub_inc money | Subtotal (inc tax)
            sub_ex money | Subtotal (ex tax)
            ship_inc money | Shipping Cost (inc tax)
            ship_ex money | Shipping Cost (ex tax)
            handling_inc money | Handling Cost (inc tax)
            handling_ex money | Handling Cost (ex tax)
            refunded money | Refund Amount
            email contact | Customer Email
            billing_email contact | Billing Email
            shipped_at time | Date Shipped
            currency word | Order Currency Code
            coupon text | Coupon Details
            channel_name word | Channel Name
            region word | Shipping State | Billing State
            country word | Shipping Country | Billing Country
        """,
        personal="""Customer Name | Customer Phone | Customer Message | Order Notes | Billing First Name | Billing Last Name
            | Billing Company | Billing Street 1 | Billing Street 2 | Billing Suburb | Billing Zip | Billing Phone
            | Shipping First Name | Shipping Last Name | Shipping Company | Shipping Street 1 | Shipping Street 2
            | Shipping Suburb | Shipping Zip | Shipping Phone | Shipping Email | Billing Accounts Email Address""",
        ignored="""Customer ID | Order Time | Tax Total | Ship Method | Store Credit Redeemed | Gift Certificate Amount Redeemed
            | Gift Certificate Code | Gift Certificate Expiration Date | Payment Method | Total Quantity | Total Shipped
            | Exchange Rate | Channel ID | Coupon Value | Coupon Discount""",
        shape=shape_bigcommerce,
        signature="Order Total (inc tax)",
        family="bigcommerce",
    ),
)
