"""Shopify › Products › Export and Shopify › Inventory › Export."""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery

__all__ = ["ADAPTERS"]


def shape_products(d: Delivery) -> None:
    """One row per variant; title, vendor and category stand on a handle's first row
    only.
    """
    d.emit(
        "products",
        f"""
        WITH r AS (SELECT {d.id("sku")} AS sku, {d.id("handle")} AS product_id, {d.text("title")} AS title,
                          coalesce({d.word("type")}, {d.word("category")}) AS category, {d.word("vendor")} AS brand,
                          {d.money("price")} AS list_price, {d.money("cost")} AS unit_cost, {d.number("grams")} / 1000 AS weight_kg,
                          CASE lower({d.word("status")}) WHEN 'active' THEN true WHEN 'draft' THEN false WHEN 'archived' THEN false END AS is_active
                   FROM raw),
        f AS (SELECT sku, product_id, max(title) OVER h AS title, max(category) OVER h AS category, max(brand) OVER h AS brand,
                     list_price, unit_cost, weight_kg, bool_or(is_active) OVER h AS is_active FROM r WINDOW h AS (PARTITION BY product_id))
        SELECT * FROM f WHERE sku IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY sku ORDER BY list_price DESC NULLS LAST, product_id, unit_cost) = 1""",
    )
    d.leave_out(
        "rows without a sku (pictures, or variants sold without one)",
        "count(*) FILTER (sku IS NULL)",
    )
    d.leave_out(
        "rows whose sku stands on another row too: the dearest one is taken",
        "count(sku) - count(DISTINCT sku)",
    )


def shape_inventory(d: Delivery) -> None:
    """One row per sku and location; `not stocked` means that the location does not
    carry the sku at all.
    """
    for name in ("on_hand", "available", "committed", "incoming", "unavailable"):
        if d.has(name):
            d.read_as(name, "notstocked", "")
            d.con.execute(f"UPDATE raw SET {name} = NULL WHERE {name} = ''")
    sku, count = d.id("sku"), d.count
    d.leave_out("rows without a sku", f"count(*) FILTER ({sku} IS NULL)")
    d.leave_out(
        "places that do not carry the sku",
        f"count(*) FILTER ({sku} IS NOT NULL AND {count('on_hand')} IS NULL)",
    )
    d.emit(
        "stock",
        f"""
        SELECT {d.snapshot_day()} AS day_on, {sku} AS sku, coalesce({d.word("location")}, 'main') AS location,
               CAST(sum({count("on_hand")}) AS BIGINT) AS on_hand, CAST(sum({count("available")}) AS BIGINT) AS available,
               CAST(sum({count("committed")}) AS BIGINT) AS committed, CAST(sum({count("incoming")}) AS BIGINT) AS incoming,
               CAST(sum({count("unavailable")}) AS BIGINT) AS unsellable
        FROM raw WHERE {sku} IS NOT NULL AND {count("on_hand")} IS NOT NULL GROUP BY ALL""",
    )


ADAPTERS = (
    Adapter(
        kind="shopify-products",
        title="Shopify › Products › Export",
        gives=("products",),
        columns="""
            handle! id | Handle | URL handle
            title! text | Title
            sku! id | Variant SKU | SKU
            price! money | Variant Price | Price
            cost money | Cost per item
            vendor word | Vendor
            category word | Product Category
            type word | Type
            grams number | Variant Grams | Weight value (grams)
            status word | Status
        """,
        ignored="Body (HTML) | Tags | Published | Image Src | Gift Card | SEO Title | SEO Description | Variant Barcode",
        shape=shape_products,
        signature="Variant SKU | Cost per item | URL handle",
    ),
    Adapter(
        kind="shopify-inventory",
        title="Shopify › Inventory › Export",
        gives=("stock",),
        columns="""
            sku! id | SKU
            on_hand! count | On hand | On hand (current)
            location word | Location
            available count | Available | Available (not editable)
            committed count | Committed | Committed (not editable)
            incoming count | Incoming | Incoming (not editable)
            unavailable count | Unavailable | Unavailable (not editable)
            day day | Date | Snapshot date
        """,
        ignored="""Handle | Title | Option1 Name | Option1 Value | Option2 Name | Option2 Value | Option3 Name | Option3 Value
            | HS Code | COO | On hand (new) | Bin name""",
        shape=shape_inventory,
        signature="On hand | On hand (current)",
    ),
)
