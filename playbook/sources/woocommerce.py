"""WooCommerce: Analytics › Orders (money by order, no lines, no customer key) and the
product export.
"""

from __future__ import annotations

from playbook.messages import say
from playbook.sources import clean
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.allocate import STATUS_RANK, refuse_numbers_used_again
from playbook.sources.statuses import status_of

STATES = {
    "done": ("completed", "abgeschlossen", "terminée", "completado"),
    "paid": ("processing", "in bearbeitung", "en cours", "procesando"),
    "cancelled": (
        *("cancelled", "failed", "trash", "storniert", "fehlgeschlagen"),
        *("annulée", "échouée", "cancelado"),
    ),
    "refunded": ("refunded", "erstattet", "rückerstattet", "remboursée", "reembolsado"),
}


def shape_orders(d: Delivery) -> None:
    """One row per order, its net sales as one line without sku; the lines themselves
    need the REST API.
    """
    said = f"replace(lower({d.word('status')}), 'wc-', '')"
    status = status_of(d, said, STATES)
    if not d.has("formatted"):
        d.require_headers("net")
    sales = d.money("net") if d.has("net") else d.money("formatted")
    currency = "CAST(NULL AS VARCHAR)"
    if d.has("formatted"):
        currency = _currency(d)
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("ordered_at")} AS ordered_at, {d.day("ordered_at")} AS ordered_on, {status} AS status,
               {sales} AS net, {currency} AS currency, greatest(coalesce({d.count("units")}, 1), 1) AS _units, {d.text("coupon")} AS coupon,
               {d.text("attribution")} AS source
        FROM raw"""
    d.require("order_id", "ordered_at", "net" if d.has("net") else "formatted", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    _take_orders_and_refunds(d.con, query)
    refuse_numbers_used_again(d, "sold")
    _emit_money(d)
    if not d.has("net"):
        d.notes.append(say("sources.formatted_sales", header=d.header("formatted")))
    d.notes.append(
        "this export has no skus and no customers: chapters on products and on customers need the orders' lines (REST API)"
    )
    d.is_split = d.is_checked = True


def _currency(d: Delivery) -> str:
    """The currency of each row by the sign of its money; a lone sign that several currencies
    share tells none where the shop does not.
    """
    found = d.con.execute(
        f"SELECT DISTINCT {clean.currency_code('formatted')} FROM raw WHERE formatted IS NOT NULL"
    ).fetchall()
    codes = {clean.CODES.get(sign, sign) for (sign,) in found if sign}
    if not d.settings.currency and len(codes) == 1 and codes & set(clean.SHARED_SIGNS):
        return "CAST(NULL AS VARCHAR)"
    return clean.currency_by_sign("formatted", d.settings.currency)


def _take_orders_and_refunds(con: object, query: str) -> None:
    """`sold`: rows of orders; `heads`: one of them per order; `back`: rows of refunds,
    which stand under the number of their order with negative money.
    """
    con.execute(f"CREATE OR REPLACE TABLE said AS {query}")
    con.execute("""CREATE OR REPLACE TABLE sold AS
        SELECT *, net AS total, CAST(NULL AS VARCHAR) AS customer_id FROM said WHERE net >= 0""")
    con.execute("""CREATE OR REPLACE TABLE heads AS
        SELECT * EXCLUDE (total, customer_id), count(*) OVER (PARTITION BY order_id) AS n_heads, sum(net) OVER (PARTITION BY order_id) AS delivered
        FROM sold QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY net DESC, status DESC, ordered_at) = 1""")
    # rows alike are several refunds, unless the file holds its orders several times too
    con.execute("""CREATE OR REPLACE TABLE back AS
        SELECT order_id, ordered_at, ordered_on, -net AS amount, count(*) AS n_rows,
               CAST(ceil(count(*) / coalesce(any_value(n_heads), n_times)) AS BIGINT) AS n_own,
               order_id || '-refund-' || strftime(ordered_at, '%Y%m%d%H%M%S') AS refund_id
        FROM said LEFT JOIN (SELECT order_id, n_heads FROM heads) USING (order_id)
        CROSS JOIN (SELECT coalesce(max(n_heads), 1) AS n_times FROM heads)
        WHERE net < 0 GROUP BY order_id, ordered_at, ordered_on, net, n_times""")


def _emit_money(d: Delivery) -> None:
    """A refund is a thing of its own beside its order: its row may come in another file."""
    d.emit(
        "orders",
        """
        SELECT order_id AS entity, * EXCLUDE (net, n_heads, delivered), 'woocommerce' AS platform, net AS gross, 0 AS discount, 0 AS shipping, 0 AS tax,
               net AS total FROM heads""",
    )
    d.emit(
        "refunds",
        """
        SELECT refund_id AS entity, refund_id || CASE WHEN place > 1 THEN '-' || place ELSE '' END AS refund_id, order_id,
               ordered_at AS refunded_at, ordered_on AS refunded_on, amount, 'refund' AS kind
        FROM (SELECT *, row_number() OVER (PARTITION BY refund_id ORDER BY amount) AS place
              FROM (SELECT * EXCLUDE (n_own), unnest(range(n_own)) AS own_no FROM back))""",
    )
    d.emit(
        "entities",
        f"""SELECT order_id AS entity, ordered_at AS own_last, {STATUS_RANK} AS status_rank,
        CAST(0 AS DECIMAL(18,6)) AS refunded, 2 AS completeness FROM heads
        UNION ALL SELECT DISTINCT refund_id, ordered_at, 0, CAST(0 AS DECIMAL(18,6)), 2 FROM back""",
    )
    d.emit(
        "ledger",
        """
        SELECT entity, reason, day_on, true AS is_guest, CAST(n_rows AS BIGINT) AS n_rows, 1 AS n_orders,
               CAST(amount AS DECIMAL(18,6)) AS amount FROM (
            SELECT order_id AS entity, 'kept' AS reason, ordered_on AS day_on, 1 AS n_rows, net AS amount FROM heads
            UNION ALL SELECT order_id, 'overlap', ordered_on, n_heads - 1, delivered - net FROM heads WHERE n_heads > 1
            UNION ALL SELECT refund_id, 'refund_row', ordered_on, n_own, 0 FROM back
            UNION ALL SELECT refund_id, 'overlap', ordered_on, n_rows - n_own, 0 FROM back WHERE n_rows > n_own)""",
    )


def shape_products(d: Delivery) -> None:
    """One row per sku; stock becomes a closing position of the day told."""
    sku = f"coalesce({d.id('sku')}, 'id:' || {d.id('product_id')})"
    d.emit(
        "products",
        f"""
        SELECT {sku} AS sku, {d.id("product_id")} AS product_id, {d.text("title")} AS title,
               nullif(trim(split_part({d.text("category")}, ',', 1)), '') AS category, {d.word("brand")} AS brand,
               {d.money("price")} AS list_price, {d.money("cost")} AS unit_cost, {d.number("weight")} AS weight_kg,
               CASE {d.word("published")} WHEN '1' THEN true WHEN '0' THEN false WHEN '-1' THEN false END AS is_active
        FROM raw WHERE {sku} IS NOT NULL QUALIFY row_number() OVER (PARTITION BY {sku} ORDER BY {d.id("product_id")}) = 1""",
    )
    d.leave_out(
        "rows whose sku stands on another row too: the first one is taken",
        f"count({sku}) - count(DISTINCT {sku})",
    )
    (told,) = d.con.execute("SELECT count(stock) FROM raw").fetchone() if d.has("stock") else (0,)
    if told:
        d.emit(
            "stock",
            f"""
            SELECT {d.snapshot_day()} AS day_on, {sku} AS sku, 'main' AS location, CAST(sum({d.count("stock")}) AS BIGINT) AS on_hand
            FROM raw WHERE {d.count("stock")} IS NOT NULL GROUP BY ALL""",
        )


ADAPTERS = (
    Adapter(
        kind="woocommerce-orders",
        title="WooCommerce › Analytics › Orders",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | Order # | Bestellung # | Commande n° | Bestellung Nr. | Pedido nº | N.º de pedido
            ordered_at! time | Date | Datum | Fecha
            status! word | Status | Statut | État | Estado
            units count | Items sold | Verkaufte Artikel | Articles vendus | Artículos vendidos
            net money | N. Revenue | Net Sales | N. Umsatz | Nettoumsatz
            formatted money | N. Revenue (formatted) | Net Sales (formatted) | N. Umsatz (formatiert) | Nettoumsatz (formatiert)
            coupon text | Coupon(s) | Gutschein(e)
            attribution text | Attribution | Origin | Herkunft
        """,
        personal="Customer | Kunde | Client | Cliente",
        ignored="Customer type | Kundentyp | Product(s) | Produkt(e)",
        shape=shape_orders,
        words_beside=(("formatted", "net"),),
        signature="Items sold | Product(s) | Verkaufte Artikel | Articles vendus | Produkt(e) | Artículos vendidos",
        family="woocommerce",
    ),
    Adapter(
        kind="woocommerce-products",
        title="WooCommerce › Products › Export",
        gives=("products", "stock"),
        columns="""
            product_id! id | ID
            sku! id | SKU | Artikelnummer | UGS
            price! money | Regular price | Regulärer Preis | Tarif régulier
            title text | Name | Nom
            stock count | Stock | Lager | Lagerbestand
            category text | Categories | Kategorien | Catégories
            brand word | Brands | Brand
            cost money | Cost of goods | Cost of goods sold
            weight number | Weight (kg) | Gewicht (kg)
            published word | Published | Veröffentlicht
            day day | Snapshot date
        """,
        ignored="""Type | Is featured? | Visibility in catalog | Short description | Description | Sale price | Date sale price starts
            | Date sale price ends | Tax status | Tax class | In stock? | Low stock amount | Backorders allowed? | Sold individually?
            | Length (cm) | Width (cm) | Height (cm) | Allow customer reviews? | Purchase note | Tags | Shipping class | Images | Parent
            | Grouped products | Upsells | Cross-sells | External URL | Button text | Position | GTIN, UPC, EAN, or ISBN""",
        shape=shape_products,
    ),
)
