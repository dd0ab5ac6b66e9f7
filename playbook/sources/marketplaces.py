"""eBay and Etsy: their order exports, and their accounts of fees and refunds.

Layouts: the header of Seller Hub's orders report as github.com/randomecho/shifted-sales-report
writes it down; eBay's transaction report, Etsy's sold order items, sold orders and payments
as tests of public importers hold them (see data/samples/README.md).
"""

from __future__ import annotations

from playbook.messages import say
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.allocate import STATUS_RANK, finish_orders
from playbook.sources.bookings import (
    Account,
    check_sums,
    currency_is_named,
    emit_bookings,
    emit_once,
)
from playbook.sources.sorting import sort_of


def shape_ebay(d: Delivery) -> None:
    """One row per order, or for an order of several items one row of the order and one per
    item. Tax that eBay collects and pays itself is no money of the shop.
    """
    con = d.con
    con.execute("DELETE FROM raw WHERE order_id IS NULL OR NOT regexp_matches(order_id, '[0-9]')")
    sign = "CASE WHEN contains(total, '£') THEN 'GBP' WHEN contains(total, '€') THEN 'EUR' WHEN contains(total, 'AU $') OR contains(total, 'AU$') THEN 'AUD' WHEN contains(total, 'C $') OR contains(total, 'C$') THEN 'CAD' WHEN contains(total, '$') THEN 'USD' END"
    paid, shipped = d.utc("paid_at"), d.utc("shipped_at")
    collected = f"CASE WHEN lower({d.word('is_inside')}) = 'yes' THEN coalesce({d.money('ebay_tax')}, 0) + coalesce({d.money('ebay_charges')}, 0) ELSE 0 END"
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("sold_at")} AS ordered_at, {d.day("sold_at")} AS ordered_on,
               {paid} AS paid_at, {shipped} AS shipped_at, {d.contact("buyer")} AS customer_id,
               {d.word("region")} AS region, {d.word("country")} AS country, {sign} AS currency,
               coalesce({d.id("sku")}, 'item:' || {d.id("item")}) AS sku, {d.text("title")} AS title, {d.count("quantity")} AS quantity,
               {d.money("sold_for")} AS sold_for, {d.money("shipping")} AS shipping,
               coalesce({d.money("seller_tax")}, 0) AS seller_tax, {collected} AS ebay_tax, {d.money("total")} AS total,
               {d.id("item")} IS NOT NULL AS is_item
        FROM raw"""
    d.require("order_id", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE rows_in AS {query}")
    # what is told of the order stands on its first row
    con.execute("""CREATE OR REPLACE TABLE sold AS
        SELECT *, row_number() OVER (PARTITION BY order_id ORDER BY total IS NULL, is_item) = 1 AS is_head FROM rows_in""")
    price = _unit_or_line(d)
    status = "CASE WHEN shipped_at IS NOT NULL THEN 'shipped' WHEN paid_at IS NOT NULL THEN 'paid' ELSE 'placed' END"
    heads = f"""
        SELECT order_id, ordered_at, ordered_on, {status} AS status, paid_at, shipped_at, customer_id, region, country, currency,
               'ebay' AS platform, 'ebay' AS channel, coalesce(shipping, 0) AS shipping, seller_tax AS tax,
               total - ebay_tax AS total FROM sold WHERE is_head"""
    lines = f"SELECT order_id, sku, title, quantity, {price} AS price FROM sold WHERE is_item"
    finish_orders(d, heads, lines)


def _unit_or_line(d: Delivery) -> str:
    """Whether `Sold For` is the price of one or of all units: the reading by which the
    orders of several units come to their totals.
    """
    whole = "h.total - h.ebay_tax - h.seller_tax - coalesce(h.shipping, 0)"
    by_unit, by_line = d.con.execute(f"""
        SELECT count(*) FILTER (abs(u - ({whole})) < 0.015 AND abs(l - ({whole})) >= 0.015),
               count(*) FILTER (abs(l - ({whole})) < 0.015 AND abs(u - ({whole})) >= 0.015)
        FROM sold h JOIN (SELECT order_id, sum(sold_for * quantity) AS u, sum(sold_for) AS l FROM sold
                          WHERE is_item GROUP BY 1) USING (order_id) WHERE h.is_head""").fetchone()
    if by_line > by_unit:
        d.notes.append(say("sources.price_is_line", column=d.header("sold_for")))
        return "CAST(sold_for / nullif(quantity, 0) AS DECIMAL(18,6))"
    return "sold_for"


EBAY_FEES = {
    "fee_fixed": "commission",
    "fee_variable": "commission",
    "fee_regulatory": "commission",
    "fee_high": "commission",
    "fee_standard": "commission",
    "fee_international": "commission",
    "fee_charity": "other",
    "fee_deposit": "payment",
}


def shape_ebay_transactions(d: Delivery) -> None:
    """One row per booking, and for an order of several items one more per item: an order's
    rows together come to what is paid out for it.
    """
    con = d.con
    kind = f"lower({d.word('kind')})"
    names = [n for n in EBAY_FEES if d.has(n)]
    fees = {n: f"coalesce({d.money(n)}, 0)" for n in EBAY_FEES}
    rate = f"CASE WHEN upper({d.word('own_currency')}) = upper({d.word('currency')}) OR {d.number('rate')} IS NULL THEN 1.0 ELSE {d.number('rate')} END"
    query = f"""
        SELECT {d.day("moved_on")} AS booked_on, {d.utc("moved_on")} AS moved_at, {kind} AS kind, {d.id("order_id")} AS order_ref,
               {d.id("reference")} AS reference, {d.id("transaction")} AS transaction, {d.text("description")} AS said,
               coalesce({d.id("sku")}, {d.id("item")}) AS sku, abs({d.count("quantity")}) AS quantity,
               {d.money("net")} AS net, {d.money("gross")} AS gross, {d.money("goods")} AS goods,
               coalesce({d.money("seller_tax")}, 0) AS tax, {currency_is_named(d)} AS currency, {rate} AS rate,
               {", ".join(f"{e} AS {n}" for n, e in fees.items())}
        FROM raw"""
    d.require("moved_on", "kind", when="true")
    d.refuse_unreadable("fees", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE rows_in AS {query}")
    total = " + ".join(EBAY_FEES)
    whose = "booked_on, kind, coalesce(order_ref, reference, said), transaction IS NULL AND order_ref IS NULL"
    con.execute(f"""CREATE OR REPLACE TABLE grouped AS
        SELECT sum(net) AS net, sum(coalesce(gross, 0) * rate) AS gross, sum(({total}) * rate) AS fees
        FROM rows_in WHERE kind IN ('order', 'refund', 'claim', 'payment dispute') GROUP BY {whose}""")
    check_sums(
        d, "net", ["CAST(gross AS DECIMAL(18,6))", "CAST(fees AS DECIMAL(18,6))"], table="grouped"
    )
    _sort_ebay(d, names)
    emit_bookings(d, Account("ebay", "ebay", is_books=True))


def _sort_ebay(d: Delivery, names: list[str]) -> None:
    same = "order_ref, booked_on, moved_at, currency"
    content = "concat_ws('|', booked_on, kind, order_ref, reference, transaction, said, gross, net)"
    named = "lower(concat_ws(' ', kind, said))"
    sort = f"""CASE WHEN kind = 'order' THEN 'sale' WHEN kind = 'refund' THEN 'refund'
        WHEN kind IN ('claim', 'payment dispute') THEN 'chargeback' ELSE {sort_of(named, "ebay")} END"""
    parts = [
        f"""SELECT {same}, concat_ws(' ', kind, said) AS what, {content} AS content, {sort} AS sort, sku, quantity,
                   CAST(coalesce(gross, net) * CASE WHEN gross IS NULL THEN 1 ELSE rate END AS DECIMAL(18,6)) AS amount,
                   CASE WHEN kind = 'refund' AND goods IS NOT NULL THEN CAST(goods * rate AS DECIMAL(18,6)) END AS goods,
                   CAST(tax * rate AS DECIMAL(18,6)) AS tax
            FROM rows_in WHERE coalesce(gross, net) <> 0"""
    ]
    parts += [
        f"""SELECT {same}, '{d.header(n)}' AS what, {content} || '|{n}' AS content, '{EBAY_FEES[n]}' AS sort,
                   NULL AS sku, NULL AS quantity, CAST({n} * rate AS DECIMAL(18,6)) AS amount, NULL AS goods, NULL AS tax
            FROM rows_in WHERE {n} <> 0"""
        for n in names
    ]
    d.con.execute(f"CREATE OR REPLACE TABLE moves AS {' UNION ALL BY NAME '.join(parts)}")
    d.con.execute("UPDATE moves SET order_ref = NULL WHERE sort = 'moved'")


# --- Etsy ------------------------------------------------------------------------------------


def shape_etsy_items(d: Delivery) -> None:
    """One row per item sold; shipping, its discount and sales tax are those of the whole
    order, told on every row of it.
    """
    con = d.con
    shipped = d.utc("shipped_at")
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("sold_at")} AS ordered_at, {d.day("sold_at")} AS ordered_on,
               {d.utc("paid_at")} AS paid_at, {shipped} AS shipped_at, {d.contact("buyer")} AS customer_id,
               upper({d.word("currency")}) AS currency, {d.word("region")} AS region, {d.word("country")} AS country,
               coalesce({d.id("sku")}, 'listing:' || {d.id("listing")}) AS sku, {d.text("title")} AS title,
               {d.count("quantity")} AS quantity, {d.money("price")} AS price, coalesce({d.money("discount")}, 0) AS discount,
               coalesce({d.money("shipping")}, 0) AS shipping, coalesce({d.money("ship_discount")}, 0) AS ship_discount,
               coalesce({d.money("tax")}, 0) AS tax, {d.money("item_total")} AS item_total, {d.text("coupon")} AS coupon,
               {d.id("line")} AS line
        FROM raw"""
    d.require("order_id", "sold_at", "quantity", "price", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE rows_in AS SELECT DISTINCT * FROM ({query})")
    check_sums(d, "item_total", ["quantity * price"], table="rows_in")
    heads = """
        SELECT order_id, min(ordered_at) AS ordered_at, min(ordered_on) AS ordered_on, min(paid_at) AS paid_at,
               max(shipped_at) AS shipped_at, any_value(customer_id) AS customer_id, any_value(currency) AS currency,
               any_value(region) AS region, any_value(country) AS country, max(coupon) AS coupon, 'etsy' AS platform, 'etsy' AS channel,
               CASE WHEN max(shipped_at) IS NOT NULL THEN 'shipped' WHEN min(paid_at) IS NOT NULL THEN 'paid' ELSE 'placed' END AS status,
               sum(item_total - discount) AS subtotal, max(shipping) - max(ship_discount) AS shipping, max(tax) AS tax,
               sum(item_total - discount) + max(shipping) - max(ship_discount) + max(tax) AS total
        FROM rows_in GROUP BY order_id"""
    lines = "SELECT order_id, sku, title, quantity, price, discount FROM rows_in"
    finish_orders(d, heads, lines)


def shape_etsy_orders(d: Delivery) -> None:
    """One row per order: its money, the card fee, and what the order came to after refunds
    (0.00 where there were none). Lines come from the sold order items.
    """
    con = d.con
    value, off = d.money("value"), f"coalesce({d.money('discount')}, 0)"
    ship = f"coalesce({d.money('shipping')}, 0) - coalesce({d.money('ship_discount')}, 0)"
    shipped = d.utc("shipped_at")
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("sold_at")} AS ordered_at, {d.day("sold_at")} AS ordered_on,
               {shipped} AS shipped_at, CASE WHEN {shipped} IS NOT NULL THEN 'shipped' ELSE 'paid' END AS status,
               coalesce({d.contact("buyer_id")}, {d.contact("buyer")}) AS customer_id, upper({d.word("currency")}) AS currency,
               {d.word("region")} AS region, {d.word("country")} AS country, {d.text("coupon")} AS coupon,
               {value} AS value, {off} AS off, {ship} AS shipping, coalesce({d.money("tax")}, 0) AS told_tax, {d.money("total")} AS total,
               coalesce({d.money("fee")}, 0) AS fee, coalesce({d.money("adjusted")}, 0) AS adjusted,
               coalesce({d.money("adjusted_fee")}, 0) AS adjusted_fee, greatest({d.count("units")}, 1) AS _units
        FROM raw"""
    d.require("order_id", "sold_at", "total", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"""CREATE OR REPLACE TABLE said AS
        SELECT DISTINCT *, value - off AS goods, greatest(total - (value - off + shipping), told_tax) AS tax FROM ({query})""")
    n, kept = con.execute(
        "SELECT count(*), coalesce(sum(tax - told_tax), 0) FROM said WHERE tax > told_tax + 0.005"
    ).fetchone()
    if n:
        d.notes.append(say("sources.tax_by_marketplace", orders=n, amount=kept))
    d.notes.append(say("sources.whole_refunds_hidden"))
    _emit_etsy_orders(d)


def _emit_etsy_orders(d: Delivery) -> None:
    """An order without lines: less complete than the one of the sold order items."""
    d.emit(
        "orders",
        """SELECT order_id AS entity, order_id, ordered_at, ordered_on, status, shipped_at, customer_id, currency, region, country,
                  coupon, 'etsy' AS platform, 'etsy' AS channel, _units, value AS gross, off AS discount, shipping, tax, total,
                  nullif(total - (goods + shipping + tax), 0) AS other_charges FROM said""",
    )
    d.emit(
        "entities",
        f"""SELECT order_id AS entity, greatest(ordered_at, shipped_at) AS own_last, {STATUS_RANK} AS status_rank,
                   CAST(0 AS DECIMAL(18,6)) AS refunded, 1 AS completeness FROM said""",
    )
    parts = {"kept": "goods", "tax": "tax", "shipping": "shipping"}
    parts["unexplained"] = "total - (goods + shipping + tax)"
    rows = " UNION ALL ".join(
        f"SELECT order_id AS entity, '{reason}' AS reason, ordered_on AS day_on, customer_id IS NULL AS is_guest, "
        f"CAST({int(reason == 'kept')} AS BIGINT) AS n_rows, 1 AS n_orders, CAST({amount} AS DECIMAL(18,6)) AS amount "
        f"FROM said WHERE '{reason}' = 'kept' OR {amount} <> 0"
        for reason, amount in parts.items()
    )
    d.emit("ledger", f"SELECT * FROM ({rows})")
    is_adjusted = "adjusted > 0 AND adjusted < total"
    emit_once(
        d,
        Account("etsy", "etsy", is_books=True),
        fees=f"""SELECT order_id AS order_ref, ordered_on AS booked_on, currency, 'card processing' AS what, 'card' AS name,
                        'payment' AS kind, CASE WHEN {is_adjusted} AND adjusted_fee > 0 THEN adjusted_fee ELSE fee END AS amount FROM said""",
        refunds=f"SELECT order_id AS order_ref, currency, total - adjusted AS total FROM said WHERE {is_adjusted}",
    )
    d.is_split = d.is_checked = True


def shape_etsy_payments(d: Delivery) -> None:
    """One row per payment: what Etsy Payments keeps of it, and what was given back."""
    fee, back = d.money("fee"), d.money("refund")
    adjusted = f"CASE WHEN coalesce({d.money('adjusted_gross')}, 0) > 0 AND coalesce({d.money('adjusted_fee')}, 0) > 0 THEN {d.money('adjusted_fee')} ELSE {fee} END"
    query = f"""
        SELECT {d.id("payment")} AS payment, {d.id("order_id")} AS order_ref, {d.day("ordered_on")} AS booked_on,
               {currency_is_named(d)} AS currency, {d.money("gross")} AS gross, {fee} AS own_fee, {adjusted} AS fee,
               {d.money("net")} AS net, coalesce({back}, 0) AS back
        FROM raw"""
    d.require("order_id", "ordered_on", "gross", when="true")
    d.refuse_unreadable("fees", budget=0.0)
    d.con.execute(f"CREATE OR REPLACE TABLE paid AS SELECT DISTINCT * FROM ({query})")
    check_sums(d, "net", ["gross", "-own_fee"], table="paid")
    emit_once(
        d,
        Account("etsy", "etsy", is_books=True),
        fees="""SELECT order_ref, min(booked_on) AS booked_on, any_value(currency) AS currency, 'card processing' AS what,
                       'card' AS name, 'payment' AS kind, sum(fee) AS amount FROM paid GROUP BY 1""",
        refunds="SELECT order_ref, any_value(currency) AS currency, sum(back) AS total FROM paid GROUP BY 1 HAVING sum(back) > 0",
    )
    d.is_checked = True


ADAPTERS = (
    Adapter(
        kind="ebay-orders",
        title="eBay › Seller Hub › Orders report",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | Order Number
            sold_at! time | Sale Date
            item! id | Item Number
            quantity! count | Quantity
            sold_for! money | Sold For
            total! money | Total Price
            buyer contact | Buyer Username
            title text | Item Title
            sku id | Custom Label
            shipping money | Shipping And Handling
            seller_tax money | Seller Collected Tax
            ebay_tax money | eBay Collected Tax
            ebay_charges money | eBay Collected Charges
            is_inside word | eBay Collected Tax and Fees Included in Total
            paid_at time | Paid On Date
            shipped_at time | Shipped On Date
            region word | Ship To State
            country word | Ship To Country
        """,
        personal="""Buyer Name | Buyer Email | Buyer Note | Buyer Address 1 | Buyer Address 2 | Buyer City | Buyer State | Buyer Zip
            | Buyer Country | Buyer Tax Identifier Name | Buyer Tax Identifier Value | Ship To Name | Ship To Phone | Ship To Address 1
            | Ship To Address 2 | Ship To City | Ship To Zip | My Item Note""",
        ignored="""Sales Record Number | Sold Via Promoted Listings | Item Location | Item Zip Code | Item Country | eBay Collect And Remit Tax Rate
            | eBay Collect And Remit Tax Type | eBay Reference Name | eBay Reference Value | Tax Status
            | Electronic Waste Recycling Fee | Mattress Recycling Fee | Battery Recycling Fee | White Goods Disposal Tax
            | Tire Recycling Fee | Additional Fee | Lumber Fee | Prepaid Wireless Fee | Road Improvement And Food Delivery Fee
            | Payment Method | Ship By Date | Minimum Estimated Delivery Date | Maximum Estimated Delivery Date | Feedback Left
            | Feedback Received | PayPal Transaction ID | Shipping Service | Tracking Number | Transaction ID | Variation Details
            | Global Shipping Program | Global Shipping Reference ID | Click And Collect | Click And Collect Reference Number
            | eBay Plus | Authenticity Verification Program | Authenticity Verification Status
            | Authenticity Verification Outcome Reason | PSA Vault Program | Vault Fulfillment Type | eBay Fulfillment Program
            | Tax City | Tax State | Tax Zip | Tax Country | eBay International Shipping""",
        shape=shape_ebay,
        signature="Sales Record Number | eBay Collected Tax | eBay Plus",
        has_footers=True,
        family="ebay",
    ),
    Adapter(
        kind="ebay-transactions",
        title="eBay › Payments › Transaction report",
        gives=("fees",),
        columns="""
            moved_on! day | Transaction creation date
            kind! word | Type
            order_id! id | Order number
            net! money | Net amount
            gross! money | Gross transaction amount
            fee_fixed! money | Final Value Fee - fixed
            fee_variable! money | Final Value Fee - variable
            currency word | Payout currency
            own_currency word | Transaction currency
            rate number | Exchange rate
            transaction id | Transaction ID
            reference id | Reference ID
            item id | Item ID
            sku id | Custom label
            quantity count | Quantity
            goods money | Item subtotal
            seller_tax money | Seller collected tax
            fee_regulatory money | Regulatory operating fee
            fee_high money | Very high "item not as described" fee | Very high fee
            fee_standard money | Below standard performance fee
            fee_international money | International fee
            fee_charity money | Charity donation
            fee_deposit money | Deposit processing fee
            description text | Description
        """,
        personal="Buyer username | Buyer name | Ship to city | Ship to province/region/state | Ship to zip",
        ignored="""Legacy order ID | Ship to country | Payout date | Payout ID | Payout method | Payout status | Reason for hold
            | Item title | Shipping and handling | eBay collected tax""",
        shape=shape_ebay_transactions,
        signature="Final Value Fee - fixed",
        has_footers=True,
        family="ebay",
    ),
    Adapter(
        kind="etsy-items",
        title="Etsy › Sold order items",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | Order ID
            sold_at! time | Sale Date
            title! text | Item Name
            quantity! count | Quantity
            price! money | Price
            item_total! money | Item Total
            currency! word | Currency
            line! id | Transaction ID
            listing id | Listing ID
            sku id | SKU
            buyer contact | Buyer
            discount money | Discount Amount
            shipping money | Order Shipping
            ship_discount money | Shipping Discount
            tax money | Order Sales Tax
            coupon text | Coupon Code
            paid_at time | Date Paid
            shipped_at time | Date Shipped
            region word | Ship State
            country word | Ship Country
        """,
        personal="Ship Name | Ship Address1 | Ship Address2 | Ship City | Ship Zipcode | InPerson Location",
        ignored="""Coupon Details | Variations | Order Type | Listings Type | Payment Type | VAT Paid by Buyer""",
        shape=shape_etsy_items,
        signature="Order Shipping | Order Sales Tax | Listing ID",
        day_first=False,
        family="etsy",
    ),
    Adapter(
        kind="etsy-orders",
        title="Etsy › Sold orders",
        gives=("orders", "fees"),
        columns="""
            order_id! id | Order ID
            sold_at! time | Sale Date
            value! money | Order Value
            total! money | Order Total
            currency! word | Currency
            fee! money | Card Processing Fees
            buyer_id contact | Buyer User ID
            buyer contact | Buyer
            units count | Number of Items
            shipped_at time | Date Shipped
            discount money | Discount Amount
            ship_discount money | Shipping Discount
            shipping money | Shipping
            tax money | Sales Tax
            adjusted money | Adjusted Order Total
            adjusted_fee money | Adjusted Card Processing Fees
            coupon text | Coupon Code
            region word | Ship State
            country word | Ship Country
        """,
        personal="Full Name | First Name | Last Name | Street 1 | Street 2 | Ship City | Ship Zipcode | InPerson Location",
        ignored="""Payment Method | Coupon Details | Status | Order Net | Adjusted Net Order Amount | Order Type | Payment Type
            | SKU""",
        shape=shape_etsy_orders,
        signature="Card Processing Fees | Adjusted Order Total",
        day_first=False,
        family="etsy",
    ),
    Adapter(
        kind="etsy-payments",
        title="Etsy › Etsy Payments sales",
        gives=("fees",),
        columns="""
            payment! id | Payment ID
            order_id! id | Order ID
            gross! money | Gross Amount
            fee! money | Fees
            net! money | Net Amount
            ordered_on! day | Order Date
            currency word | Currency
            adjusted_gross money | Adjusted Gross
            adjusted_fee money | Adjusted Fees
            refund money | Refund Amount
        """,
        personal="Buyer Username | Buyer Name | Buyer",
        ignored="""Posted Gross | Posted Fees | Posted Net | Adjusted Net | Listing Amount | Listing Currency | Exchange Rate
            | VAT Amount | Gift Card Applied? | Status | Funds Available | Order Type | Payment Type""",
        shape=shape_etsy_payments,
        signature="Listing Amount | Posted Gross | Funds Available",
        day_first=False,
        family="etsy",
    ),
)
