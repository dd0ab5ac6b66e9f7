"""Shopify › Orders › Export: several rows per order, the order's own fields on the
first of them only.
"""

from __future__ import annotations

from playbook.messages import say
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.allocate import extra_of, finish_orders


def shape(d: Delivery) -> None:
    """Rows with a total are order rows; every row with a quantity is a line."""
    _tell_names_apart(d)
    paid, cancelled = d.utc("paid_at"), d.utc("cancelled_at")
    status = f"""CASE
        WHEN {cancelled} IS NOT NULL THEN CASE WHEN lower(financial) IN ('refunded', 'partially_refunded') THEN 'refunded' ELSE 'cancelled' END
        WHEN lower(financial) IN ('voided', 'expired') THEN 'cancelled'
        WHEN lower(financial) = 'refunded' THEN 'refunded'
        WHEN lower({d.word("fulfillment")}) IN ('fulfilled', 'shipped') THEN 'shipped'
        WHEN lower(financial) IN ('paid', 'partially_refunded') THEN 'paid' ELSE 'placed' END"""
    heads = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("created_at")} AS ordered_at, {d.day("created_at")} AS ordered_on,
               {status} AS status, coalesce({d.contact("email")}, {d.contact("phone")}) AS customer_id, {paid} AS paid_at,
               {cancelled} AS cancelled_at, {d.utc("fulfilled_at")} AS shipped_at, {d.word("source")} AS source,
               'shopify' AS platform, coalesce({d.word("region")}, {d.word("billing_region")}) AS region,
               coalesce({d.word("country")}, {d.word("billing_country")}) AS country, upper({d.word("currency")}) AS currency,
               {d.money("subtotal")} AS subtotal, {d.money("discount")} AS discount, {d.money("shipping")} AS shipping,
               {d.id("uid")} AS uid, {d.money("tax")} AS tax, {d.money("total")} AS total, {d.money("duties")} AS duties,
               {d.money("refunded")} AS refunded, {d.text("coupon")} AS coupon,
               CASE lower({d.word("accepts")}) WHEN 'yes' THEN true WHEN 'true' THEN true WHEN 'no' THEN false WHEN 'false' THEN false END
                   AS is_contactable
        FROM raw WHERE total IS NOT NULL"""
    lines = f"""
        SELECT {d.id("order_id")} AS order_id, {d.id("sku")} AS sku, {d.text("title")} AS title, {d.count("quantity")} AS quantity,
               {d.money("price")} AS price, {d.money("line_discount")} AS discount, {d.money("list_price")} AS list_price,
               {extra_of(d.word("title"), d.word("sku"))} AS extra
        FROM raw WHERE quantity IS NOT NULL"""
    d.require("order_id", "created_at", when="total IS NOT NULL")
    d.require("order_id", "price", when="quantity IS NOT NULL")
    d.require("quantity", when="total IS NULL")  # a row that is neither an order nor a line
    d.refuse_unreadable("orders", budget=0.0)
    finish_orders(d, heads, lines, is_line="quantity IS NOT NULL", may_be_edited=True)


def _tell_names_apart(d: Delivery) -> None:
    """Two orders of one name and different Ids get the Id into their number; the lines
    after an order's first row are its own.
    """
    if not d.has("uid"):
        return
    twice = """(SELECT order_id FROM raw WHERE total IS NOT NULL AND uid IS NOT NULL
                GROUP BY order_id HAVING min(uid) <> max(uid))"""
    (n,) = d.con.execute(f"SELECT count(*) FROM {twice}").fetchone()
    if n:
        whose = "last_value(uid IGNORE NULLS) OVER (PARTITION BY order_id ORDER BY rowid)"
        d.con.execute(f"""CREATE OR REPLACE TABLE raw AS
            SELECT * REPLACE (CASE WHEN order_id IN {twice} THEN order_id || ' (' || {whose} || ')' ELSE order_id END AS order_id)
            FROM raw""")
        d.notes.append(say("sources.names_used_again", names=n))



ADAPTER = Adapter(
    kind="shopify-orders",
    title="Shopify › Orders › Export",
    gives=("orders", "order_lines", "refunds", "customers"),
    columns="""
        order_id! id | Name
        created_at! time | Created at
        financial! word | Financial Status
        total! money | Total
        subtotal! money | Subtotal
        currency! word | Currency
        quantity! count | Lineitem quantity
        price! money | Lineitem price
        title text | Lineitem name
        sku id | Lineitem sku
        list_price money | Lineitem compare at price
        line_discount money | Lineitem discount
        uid id | Id
        email contact | Email
        phone contact | Phone
        paid_at time | Paid at
        fulfillment word | Fulfillment Status
        fulfilled_at time | Fulfilled at
        cancelled_at time | Cancelled at
        shipping money | Shipping
        tax money | Taxes
        duties money | Duties
        refunded money | Refunded Amount
        coupon text | Discount Code
        discount money | Discount Amount
        accepts word | Accepts Marketing
        source word | Source
        region word | Shipping Province Name | Shipping Province
        country word | Shipping Country
        billing_region word | Billing Province Name | Billing Province
        billing_country word | Billing Country
    """,
    personal="""Billing Name | Billing Street | Billing Address1 | Billing Address2 | Billing Company | Billing City | Billing Zip
        | Billing Phone | Shipping Name | Shipping Street | Shipping Address1 | Shipping Address2 | Shipping Company
        | Shipping City | Shipping Zip | Shipping Phone | Notes | Note Attributes | Tags""",
    ignored="""Shipping Method | Lineitem requires shipping | Lineitem taxable | Lineitem fulfillment status | Payment Method
        | Payment Reference | Payment References | Vendor | Outstanding Balance | Employee | Location | Device ID | Risk Level
        | Tax 1 Name | Tax 1 Value | Tax 2 Name | Tax 2 Value | Tax 3 Name | Tax 3 Value | Tax 4 Name | Tax 4 Value
        | Tax 5 Name | Tax 5 Value | Receipt Number | Payment ID | Payment Terms Name | Next Payment Due At
        | Billing Province | Shipping Province""",
    shape=shape,
    person_when="total",
    signature="Lineitem quantity",
    family="shopify",
)
