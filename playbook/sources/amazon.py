"""Amazon: all orders (flat file), sales and traffic by date, FBA inventory."""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.allocate import finish_orders

CAME_BACK = (
    "returned",
    "returning",
    "rejected",
    "refused",
    "lost in transit",
    "undeliverable",
    "damaged",
)
# some of Amazon's reports print what a promotion takes off with a minus
TAKEN_OFF = ("item_discount", "ship_discount")
# marketplaces whose prices are printed without tax; everywhere else the price holds it
TAX_ON_TOP = "'amazon.com', 'amazon.ca', 'amazon.com.mx', 'us', 'ca'"


def shape_orders(d: Delivery) -> None:
    """One row per order item; the order's money is the sum of its items, for the file
    prints no total.
    """
    con = d.con
    said = f"lower({d.word('status')})"
    # goods that came back or never came: the platform gives the money back
    came_back = " OR ".join(f"{said} LIKE '%{w}%'" for w in CAME_BACK)
    status = f"""CASE WHEN starts_with({said}, 'cancel') THEN 'cancelled' WHEN {came_back} THEN 'refunded'
        WHEN {said} LIKE '%delivered%' THEN 'done' WHEN starts_with({said}, 'ship') THEN 'shipped'
        WHEN starts_with({said}, 'unship') THEN 'paid' ELSE 'placed' END"""
    money = {
        n: f"{'abs' * (n in TAKEN_OFF)}(coalesce({d.money(n)}, 0))"
        for n in (
            "item_tax",
            "shipping_price",
            "shipping_tax",
            "wrap_price",
            "wrap_tax",
            "item_discount",
            "ship_discount",
        )
    }
    con.execute("CREATE OR REPLACE TABLE items (dummy INTEGER)")
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("purchased_at")} AS ordered_at, {d.day("purchased_at")} AS ordered_on,
               {d.utc("updated_at")} AS updated_at, {status} AS status, {d.id("sku")} AS sku, {d.text("title")} AS title,
               {d.count("quantity")} AS quantity, {d.money("item_price")} AS item_price, {d.word("promotion")} AS promo_id,
               upper({d.word("currency")}) AS currency, {d.word("region")} AS region, {d.word("country")} AS country,
               lower({d.word("channel")}) AS marketplace, lower({d.word("is_business")}) = 'true' AS is_business,
               {", ".join(f"{e} AS {n}" for n, e in money.items())}
        FROM raw"""
    d.require("order_id", "purchased_at", "quantity", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE items AS {query}")
    # Amazon documents item-price as the price of the whole line, whatever its quantity
    unit, line = "CAST(item_price / nullif(quantity, 0) AS DECIMAL(18,6))", "item_price"
    priced = "quantity > 0 AND item_price IS NOT NULL"
    (n_empty,) = con.execute(f"SELECT count(*) FROM items WHERE NOT ({priced})").fetchone()
    if n_empty:
        d.notes.append(
            f"{n_empty:,} rows of cancelled or pending items tell no quantity or no price: left out as `empty`"
        )
    ship = "shipping_price + wrap_price - ship_discount"
    top = f"CASE WHEN any_value(marketplace) IN ({TAX_ON_TOP}) OR (any_value(marketplace) IS NULL AND any_value(currency) IN ('USD', 'CAD')) THEN 1 ELSE 0 END"
    tax = "sum(item_tax + shipping_tax + wrap_tax)"
    heads = f"""
        SELECT *, CASE WHEN status = 'refunded' THEN total ELSE 0 END AS refunded FROM (
        SELECT order_id, min(ordered_at) AS ordered_at, min(ordered_on) AS ordered_on, max(updated_at) AS updated_at,
               min(status) AS status, any_value(currency ORDER BY currency) AS currency, any_value(region ORDER BY region) AS region,
               any_value(country ORDER BY country) AS country, 'amazon' AS platform, 'amazon' AS channel, bool_or(is_business) AS is_business,
               coalesce(sum({line}) FILTER ({priced}), 0) - coalesce(sum(item_discount) FILTER ({priced}), 0) AS subtotal,
               sum({ship}) AS shipping, {tax} AS tax,
               coalesce(sum({line}) FILTER ({priced}), 0) - coalesce(sum(item_discount) FILTER ({priced}), 0) + sum({ship}) + {tax} * {top} AS total
        FROM items GROUP BY order_id)"""
    lines = f"""
        SELECT order_id, sku, title, CASE WHEN item_price IS NULL THEN 0 ELSE quantity END AS quantity,
               coalesce({unit}, 0) AS price, item_discount AS discount, promo_id FROM items"""
    finish_orders(d, heads, lines)


def shape_traffic(d: Delivery) -> None:
    """One row per day. Percentages are left out: they are computed again from counts."""
    d.emit(
        "traffic",
        f"""
        SELECT {d.day("day_on")} AS day_on, 'amazon' AS channel, 'all' AS device, 'all' AS region,
               CAST(sum({d.count("sessions")}) AS BIGINT) AS sessions FROM raw GROUP BY ALL""",
    )


def shape_stock(d: Delivery) -> None:
    """One row per sku; on hand is what lies in Amazon's warehouses, incoming what is on
    its way there.
    """
    count = d.count
    fulfillable, reserved = count("fulfillable"), count("reserved")
    total = f"coalesce({count('warehouse')}, {fulfillable} + coalesce({reserved}, 0) + coalesce({count('unsellable')}, 0))"
    d.leave_out("rows without a sku", f"count(*) FILTER ({d.id('sku')} IS NULL)")
    inbound = " + ".join(f"coalesce({count(c)}, 0)" for c in ("working", "shipped", "receiving"))
    d.emit(
        "stock",
        f"""
        SELECT {d.snapshot_day()} AS day_on, {d.id("sku")} AS sku, 'amazon' AS location, CAST(sum({total}) AS BIGINT) AS on_hand,
               CAST(sum({fulfillable}) AS BIGINT) AS available, CAST(sum({reserved}) AS BIGINT) AS committed,
               CAST(sum({inbound}) AS BIGINT) AS incoming, CAST(sum({count("unsellable")}) AS BIGINT) AS unsellable
        FROM raw WHERE {d.id("sku")} IS NOT NULL GROUP BY ALL""",
    )


ADAPTERS = (
    Adapter(
        kind="amazon-orders",
        title="Amazon › All orders (flat file)",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | amazon-order-id | order-id
            purchased_at! time | purchase-date
            status! word | order-status
            sku! id | sku
            quantity! count | quantity | quantity-purchased
            currency! word | currency
            item_price! money | item-price
            updated_at time | last-updated-date
            title text | product-name
            channel word | sales-channel
            item_tax money | item-tax
            shipping_price money | shipping-price
            shipping_tax money | shipping-tax
            wrap_price money | gift-wrap-price
            wrap_tax money | gift-wrap-tax
            item_discount money | item-promotion-discount
            ship_discount money | ship-promotion-discount
            region word | ship-state
            country word | ship-country
            promotion word | promotion-ids
            is_business word | is-business-order
        """,
        personal="ship-city | ship-postal-code | purchase-order-number | buyer-email | buyer-name | recipient-name | buyer-phone-number",
        ignored="""merchant-order-id | fulfillment-channel | order-channel | url | ship-service-level | asin | item-status
            | price-designation | is-replacement-order | original-order-id | is-sold-by-ab | customized-url | customized-page""",
        shape=shape_orders,
        signature="amazon-order-id",
        family="amazon",
    ),
    Adapter(
        kind="amazon-traffic",
        title="Amazon › Sales and traffic by date",
        gives=("traffic",),
        columns="""
            day_on! day | date | datum | fecha | data
            sessions! count | sessions | sessions - total | sitzungen | sitzungen – summe
            sales money | orderedProductSales | ordered product sales
            items count | totalOrderItems | total order items
        """,
        ignored="""unitsOrdered | units ordered | pageViews | page views - total | buyBoxPercentage | featured offer (buy box) percentage
            | buy box percentage | unitSessionPercentage | unit session percentage | order item session percentage | unitsRefunded
            | units refunded | refundRate | refund rate | average selling price | average offer count""",
        shape=shape_traffic,
        signature="orderedProductSales | ordered product sales",
        has_footers=True,
    ),
    Adapter(
        kind="amazon-inventory",
        title="Amazon › FBA inventory",
        gives=("stock",),
        columns="""
            sku! id | sku | seller-sku
            fulfillable! count | afn-fulfillable-quantity
            warehouse count | afn-warehouse-quantity
            unsellable count | afn-unsellable-quantity
            reserved count | afn-reserved-quantity
            working count | afn-inbound-working-quantity
            shipped count | afn-inbound-shipped-quantity
            receiving count | afn-inbound-receiving-quantity
            day day | snapshot-date
        """,
        ignored="""fnsku | asin | product-name | condition | your-price | mfn-listing-exists | mfn-fulfillable-quantity | afn-listing-exists
            | afn-total-quantity | per-unit-volume | afn-researching-quantity | afn-future-supply-buyable | afn-reserved-future-supply""",
        shape=shape_stock,
    ),
)
