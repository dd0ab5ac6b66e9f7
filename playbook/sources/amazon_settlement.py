"""Amazon's account with the seller: the settlement (flat file V2, a row per amount) and the
date-range transaction report (a row per booking, its amounts side by side).

Fees become payment, commission and fulfilment costs of their orders, refunds are booked
without tax and shipping, and what was sold is kept for shops that have no order file.
Layouts: developer-docs.amazon.com/sp-api/docs/report-type-values-settlement; the report of
transactions as public importers write it down (see data/samples/README.md).
"""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.bookings import Account, check_sums, emit_bookings
from playbook.sources.sorting import sort_of

BACK = "(kind LIKE '%refund%' OR kind LIKE '%a-to-z%') AND kind NOT LIKE '%retrocharge%'"
SOLD = "kind = 'order'"
# the column order-id holds the number of a shipment or nothing where the booking is about no order
# (github.com/amzn/selling-partner-api-models/issues/5353)
ORDER = "CASE WHEN regexp_full_match({0}, '([0-9]{{3}}|S[0-9]{{2}})-[0-9]{{7}}-[0-9]{{7}}') THEN {0} END"


def shape_settlement(d: Delivery) -> None:
    """One row is one amount; the first row of a settlement tells what it comes to."""
    d.id("settlement"), d.id("order_id")
    currency = currency_is_named_by_settlement(d)
    at = d.utc("posted_at") if d.has("posted_at") else d.utc("posted_on")
    on = d.day("posted_at") if d.has("posted_at") else d.day("posted_on")
    query = f"""
        SELECT settlement, lower({d.word("kind")}) AS kind, {ORDER.format("order_id")} AS order_ref, {at} AS moved_at, {on} AS booked_on,
               lower({d.word("amount_type")}) AS amount_type, lower({d.word("description")}) AS description,
               {d.money("amount")} AS amount, {d.money("total")} AS total, {d.id("sku")} AS sku,
               {d.count("quantity")} AS quantity, {d.id("item_code")} AS item_code,
               {d.id("adjustment")} AS adjustment, {d.id("shipment")} AS shipment,
               lower({d.word("marketplace")}) AS marketplace, {currency} AS currency,
               concat_ws(' ', {d.word("amount_type")}, {d.word("description")}) AS what
        FROM raw LEFT JOIN settlements USING (settlement)"""
    d.require("settlement", when="true")
    d.require(
        "posted_at" if d.has("posted_at") else "posted_on",
        when="amount IS NOT NULL AND kind IS NOT NULL",
    )
    d.refuse_unreadable("fees", budget=0.0)
    d.con.execute(f"CREATE OR REPLACE TABLE rows_in AS {query}")
    _refuse_cut_off(d)
    d.con.execute("DELETE FROM rows_in WHERE amount IS NULL OR kind IS NULL")
    _sort_amounts(d)
    _emit_settled(d)
    emit_bookings(d, Account("amazon", "amazon", is_books=True, is_fine=True))


def currency_is_named_by_settlement(d: Delivery) -> str:
    """SQL: the currency of a row's settlement, which only its first row tells; leaves the
    table `settlements`.
    """
    d.con.execute(f"""CREATE OR REPLACE TABLE settlements AS
        SELECT settlement, upper(max({d.word("currency")})) AS named FROM raw GROUP BY 1""")
    (unnamed,) = d.con.execute("SELECT count(*) FROM settlements WHERE named IS NULL").fetchone()
    if unnamed and not d.settings.currency:
        raise PlaybookError(
            "sources.currency_not_told",
            file=d.sheet.path.name,
            rows=unnamed,
            column="currency",
        )
    told = f"'{d.settings.currency}'" if d.settings.currency else "NULL"
    return f"coalesce(named, {told})"


def _refuse_cut_off(d: Delivery) -> None:
    """The rows of a settlement come to the total its first row tells."""
    found = d.con.execute("""
        SELECT settlement, sum(total) FILTER (kind IS NULL), coalesce(sum(amount), 0)
        FROM (SELECT DISTINCT settlement, kind, total, NULL AS amount FROM rows_in WHERE kind IS NULL
              UNION ALL BY NAME SELECT settlement, kind, NULL AS total, amount FROM rows_in
              WHERE kind IS NOT NULL)
        GROUP BY 1 HAVING sum(total) FILTER (kind IS NULL) IS NOT NULL ORDER BY 1""").fetchall()
    for settlement, total, amount in found:
        if abs(total - amount) > 0.011:
            raise PlaybookError(
                "sources.settlement_cut_off",
                settlement=settlement,
                total=total,
                amount=amount,
                file=d.sheet.path.name,
                column=d.header("amount"),
            )
    if not found:
        d.notes.append(say("sources.settlement_without_total"))


def _sort_amounts(d: Delivery) -> None:
    """`moves`: fees row by row; sales and refunds as what was sold or came back."""
    of_buyer = "amount_type IN ('itemprice', 'promotion')"
    named = "concat_ws(' ', kind, amount_type, description)"
    whole = "settlement, kind, order_ref, moved_at, booked_on, currency, sku, item_code, adjustment, shipment"
    content = "concat_ws('|', settlement, kind, order_ref, moved_at, sku, item_code, adjustment, shipment)"
    d.con.execute(f"""CREATE OR REPLACE TABLE moves AS
        SELECT order_ref, moved_at, booked_on, currency, kind AS what, {content} AS content,
               CASE WHEN {SOLD} THEN 'sale' ELSE 'refund' END AS sort, sum(amount) AS amount,
               sum(amount) FILTER (description = 'principal') AS goods,
               coalesce(sum(amount) FILTER (description LIKE '%tax%'), 0) AS tax, sku,
               sum(quantity) FILTER (amount_type = 'itemprice' AND description = 'principal') AS quantity,
               settlement
        FROM rows_in WHERE {of_buyer} AND ({SOLD} OR {BACK}) GROUP BY {whole}
        UNION ALL BY NAME
        SELECT order_ref, moved_at, booked_on, currency, what,
               concat_ws('|', {content}, amount_type, description, quantity) AS content,
               CASE WHEN amount_type = 'itemwithheldtax' THEN 'withheld'
                    WHEN {of_buyer} THEN 'other' ELSE {sort_of(named, "amazon")} END AS sort,
               amount, settlement
        FROM rows_in WHERE NOT ({of_buyer} AND ({SOLD} OR {BACK}))""")
    d.con.execute("UPDATE moves SET goods = coalesce(goods, 0) WHERE sort = 'refund'")


def _emit_settled(d: Delivery) -> None:
    """What was sold, a row per item of a shipment, for shops without an order file."""
    d.con.execute(f"""CREATE OR REPLACE TABLE settled AS
        SELECT settlement, order_ref, shipment, sku, item_code, min(moved_at) AS posted_at, min(booked_on) AS posted_on,
               any_value(currency) AS currency, any_value(marketplace) AS marketplace,
               coalesce(sum(quantity) FILTER (amount_type = 'itemprice' AND description = 'principal'), 0) AS quantity,
               coalesce(sum(amount) FILTER (amount_type = 'itemprice' AND description = 'principal'), 0) AS goods,
               -coalesce(sum(amount) FILTER (amount_type = 'promotion' AND description = 'principal'), 0) AS discount,
               coalesce(sum(amount) FILTER (description LIKE '%tax%'), 0) AS tax,
               coalesce(sum(amount) FILTER (description <> 'principal' AND description NOT LIKE '%tax%'), 0) AS shipping
        FROM rows_in WHERE {SOLD} AND amount_type IN ('itemprice', 'promotion') GROUP BY ALL""")
    _emit_lines(d, is_fine=True)


def _emit_lines(d: Delivery, *, is_fine: bool) -> None:
    (n,) = d.con.execute("SELECT count(*) FROM settled WHERE order_ref IS NOT NULL").fetchone()
    if n:
        d.emit(
            "settled_lines",
            f"""SELECT md5(concat_ws('|', settlement, order_ref, shipment, sku, item_code, posted_at)) || '-' ||
                       row_number() OVER (PARTITION BY settlement, order_ref, shipment, sku, item_code, posted_at
                                          ORDER BY goods, quantity) AS line_id,
                       * EXCLUDE (shipment, item_code), {str(is_fine).lower()} AS is_fine
                FROM settled WHERE order_ref IS NOT NULL""",
        )


# --- the report of transactions by date range ------------------------------------------------

TO_BUYER = (
    "sales",
    "sales_tax",
    "shipping",
    "shipping_tax",
    "wrap",
    "wrap_tax",
    "regulatory",
    "regulatory_tax",
    "rebates",
    "rebates_tax",
)
TAXES = ("sales_tax", "shipping_tax", "wrap_tax", "regulatory_tax", "rebates_tax")
WITHHELD = ("withheld", "gst", "tcs_cgst", "tcs_sgst", "tcs_igst", "tds")
FEES = {"selling_fees": "commission", "fba_fees": "fulfilment", "other_fees": "", "other": ""}


def shape_transactions(d: Delivery) -> None:
    """One row is one booking; its amounts come to its total, in every row."""
    names = [n for n in (*TO_BUYER, *WITHHELD, *FEES) if d.has(n)]
    money = {n: f"coalesce({d.money(n)}, 0)" for n in names}
    marketplace = f"lower({d.word('marketplace')})"
    query = f"""
        SELECT {d.id("settlement")} AS settlement, lower({d.word("kind")}) AS kind,
               {ORDER.format(d.id("order_id"))} AS order_ref,
               {d.utc("moved_at")} AS moved_at, {d.day("moved_at")} AS booked_on, {d.id("sku")} AS sku, {d.text("description")} AS title,
               {d.count("quantity")} AS quantity, {marketplace} AS marketplace, {d.money("total")} AS total,
               {_currency_of(d, marketplace)} AS currency, {", ".join(f"{e} AS {n}" for n, e in money.items())}
        FROM raw"""
    d.require("moved_at", "total", when="true")
    d.refuse_unreadable("fees", budget=0.0)
    d.con.execute(f"CREATE OR REPLACE TABLE rows_in AS {query}")
    for name in (*TO_BUYER, *WITHHELD, *FEES):
        if name not in names:
            d.con.execute(f"ALTER TABLE rows_in ADD COLUMN {name} DECIMAL(18,6) DEFAULT 0")
    check_sums(d, "total", names, table="rows_in")
    _refuse_no_currency(d)
    _sort_bookings(d)
    d.con.execute(f"""CREATE OR REPLACE TABLE settled AS
        SELECT settlement, order_ref, NULL AS shipment, sku, title, NULL AS item_code, moved_at AS posted_at,
               booked_on AS posted_on, currency, marketplace, abs(coalesce(quantity, 0)) AS quantity, sales AS goods,
               CASE WHEN rebates = -shipping THEN 0 ELSE -rebates END AS discount,
               {" + ".join(TAXES)} AS tax, shipping + wrap + regulatory
               + CASE WHEN rebates = -shipping THEN rebates ELSE 0 END AS shipping
        FROM rows_in WHERE {SOLD}""")
    _emit_lines(d, is_fine=False)
    emit_bookings(d, Account("amazon", "amazon", is_books=True))


def _currency_of(d: Delivery, marketplace: str) -> str:
    """The report names no currency; its marketplace does."""
    known = {
        "amazon.com": "USD",
        "amazon.ca": "CAD",
        "amazon.com.mx": "MXN",
        "amazon.co.uk": "GBP",
        "amazon.co.jp": "JPY",
        "amazon.com.au": "AUD",
        "amazon.in": "INR",
        "amazon.se": "SEK",
        "amazon.pl": "PLN",
    }
    euros = ("de", "fr", "it", "es", "nl", "com.be", "ie")
    known |= {f"amazon.{end}": "EUR" for end in euros}
    cases = " ".join(f"WHEN '{m}' THEN '{c}'" for m, c in known.items())
    told = f"'{d.settings.currency}'" if d.settings.currency else "NULL"
    return f"coalesce(CASE {marketplace} {cases} END, {told})"


def _refuse_no_currency(d: Delivery) -> None:
    """Rows of no marketplace are in the currency of the others, where that is one."""
    named = d.con.execute(
        "SELECT DISTINCT currency FROM rows_in WHERE currency IS NOT NULL"
    ).fetchall()
    if len(named) == 1:
        d.con.execute("UPDATE rows_in SET currency = ? WHERE currency IS NULL", list(named[0]))
    (n,) = d.con.execute("SELECT count(*) FROM rows_in WHERE currency IS NULL").fetchone()
    if n:
        raise PlaybookError(
            "sources.currency_not_told", file=d.sheet.path.name, rows=n, column="marketplace"
        )


def _sort_bookings(d: Delivery) -> None:
    to_buyer, taxes, withheld = " + ".join(TO_BUYER), " + ".join(TAXES), " + ".join(WITHHELD)
    content = "concat_ws('|', settlement, kind, order_ref, moved_at, sku, title, quantity, total)"
    same = "order_ref, moved_at, booked_on, currency, settlement, sku"
    named = "concat_ws(' ', kind, lower(title))"
    parts = [
        f"""SELECT {same}, kind AS what, {content} AS content, quantity,
                   CASE WHEN {SOLD} THEN 'sale' WHEN {BACK} THEN 'refund' ELSE {sort_of(named, "amazon")} END AS sort,
                   {to_buyer} AS amount, sales + CASE WHEN rebates = -shipping THEN 0 ELSE rebates END AS goods,
                   {taxes} AS tax
            FROM rows_in WHERE {to_buyer} <> 0""",
        f"""SELECT {same}, kind AS what, {content} || '|withheld' AS content, NULL AS quantity,
                   'withheld' AS sort, {withheld} AS amount, NULL AS goods, NULL AS tax
            FROM rows_in WHERE {withheld} <> 0""",
    ]
    for name, kind in FEES.items():
        sort = f"'{kind}'" if kind else sort_of(named, "amazon")
        parts.append(
            f"""SELECT {same}, concat_ws(' ', kind, '{d.header(name) if d.has(name) else name}', title) AS what,
                       {content} || '|{name}' AS content, NULL AS quantity, {sort} AS sort, {name} AS amount,
                       NULL AS goods, NULL AS tax FROM rows_in WHERE {name} <> 0"""
        )
    d.con.execute(f"CREATE OR REPLACE TABLE moves AS {' UNION ALL BY NAME '.join(parts)}")
    d.con.execute("UPDATE moves SET sort = 'other' WHERE sort = 'moved' AND order_ref IS NOT NULL")


ADAPTERS = (
    Adapter(
        kind="amazon-settlement",
        title="Amazon › Settlement report (flat file V2)",
        gives=("fees",),
        columns="""
            settlement! id | settlement-id
            kind! word | transaction-type
            amount_type! word | amount-type
            description! word | amount-description
            amount! money | amount
            total money | total-amount
            currency word | currency
            order_id! id | order-id
            adjustment id | adjustment-id
            shipment id | shipment-id
            marketplace word | marketplace-name
            posted_at time | posted-date-time
            posted_on time | posted-date
            item_code id | order-item-code
            sku id | sku
            quantity count | quantity-purchased
        """,
        ignored="""settlement-start-date | settlement-end-date | deposit-date | merchant-order-id | fulfillment-id
            | merchant-order-item-id | merchant-adjustment-item-id | promotion-id""",
        shape=shape_settlement,
        signature="amount-description",
        zone="UTC",
        family="amazon",
    ),
    Adapter(
        kind="amazon-transactions",
        title="Amazon › Date range report (transactions)",
        gives=("fees",),
        columns="""
            moved_at! time | date/time
            settlement! id | settlement id
            kind! word | type
            sales! money | product sales
            selling_fees! money | selling fees
            fba_fees! money | fba fees
            total! money | total
            order_id id | order id
            sku id | sku
            description text | description
            quantity count | quantity
            marketplace word | marketplace
            sales_tax money | product sales tax
            shipping money | shipping credits
            shipping_tax money | shipping credits tax
            wrap money | gift wrap credits
            wrap_tax money | giftwrap credits tax
            regulatory money | regulatory fee
            regulatory_tax money | tax on regulatory fee
            rebates money | promotional rebates
            rebates_tax money | promotional rebates tax
            withheld money | marketplace withheld tax
            gst money | total sales tax liable(gst before adjusting tcs)
            tcs_cgst money | tcs-cgst
            tcs_sgst money | tcs-sgst
            tcs_igst money | tcs-igst
            tds money | tds (section 194-o)
            other_fees money | other transaction fees
            other money | other
        """,
        personal="order city | order state | order postal | city | state | postal code",
        ignored="account type | fulfillment | tax collection model | transaction status | transaction release date",
        shape=shape_transactions,
        signature="fba fees | promotional rebates | marketplace withheld tax",
        family="amazon",
    ),
)
