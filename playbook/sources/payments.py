"""Accounts with payment providers: Shopify Payments' transactions, Stripe's balance, PayPal's
activity. Their fees are payment costs of the orders they name; sales are told by the shop's
own export, and refunds only where that export tells none.

Layouts: help.shopify.com (Finances › Payouts › export of transactions), docs.stripe.com/reports
(balance; balance change from activity, itemized), developer.paypal.com (download history).
"""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.bookings import Account, check_sums, currency_is_named, emit_bookings
from playbook.sources.sorting import sort_of


def shape_shopify(d: Delivery) -> None:
    """One row per transaction. Payout and status of a transaction change from one export to
    the next, so they are no part of what names it.
    """
    kind = f"lower({d.word('kind')})"
    sort = f"""CASE WHEN {kind} = 'charge' OR {kind} = 'sale' THEN 'sale' WHEN {kind} LIKE 'refund%' THEN 'refund'
        WHEN {kind} LIKE '%chargeback%' OR {kind} LIKE '%dispute%' THEN 'chargeback'
        WHEN {kind} LIKE '%payout%' OR {kind} LIKE '%transfer%' OR {kind} LIKE '%reserve%' THEN 'moved' ELSE 'other' END"""
    state = f"lower(coalesce({d.word('status')}, ''))"
    done = (
        f"CASE WHEN {state} IN ('failed', 'canceled', 'cancelled') THEN 'not_done' ELSE {sort} END"
    )
    query = f"""
        SELECT {d.id("order_id")} AS order_ref, {d.utc("moved_at")} AS moved_at, {d.day("moved_at")} AS booked_on,
               {currency_is_named(d)} AS currency, {kind} AS what, {done} AS sort, {d.money("amount")} AS amount,
               {d.money("fee")} AS fee, {d.money("net")} AS net,
               concat_ws('|', moved_at, {kind}, {d.id("order_id")}, amount, fee, {d.id("checkout")}) AS content
        FROM raw"""
    d.require("moved_at", "amount", "fee", when="true")
    _take(d, query)
    emit_bookings(d, Account("shopify", "shopify"))


def _take(d: Delivery, query: str) -> None:
    """`moves` from a query, every row's net being its amount less its fee."""
    d.refuse_unreadable("fees", budget=0.0)
    d.con.execute(f"CREATE OR REPLACE TABLE moves AS {query}")
    d.con.execute("UPDATE moves SET amount = 0, fee = 0, net = 0 WHERE sort IS NULL")
    check_sums(d, "net", ["amount", "-fee"], table="moves")


STRIPE_ORDER = (
    r"(?i)order\s*(?:id|no\.?|number|nr\.?)?\s*[:#]?\s*#?([A-Za-z]*[-_]?[0-9][A-Za-z0-9-]*)"
)


def shape_stripe(d: Delivery) -> None:
    """One row per balance transaction, in the currency of the balance; the order stands in
    the payment's metadata, or in its description.
    """
    named = f"lower({d.word('kind')})"
    said = f"nullif(regexp_extract({d.word('description')}, '{STRIPE_ORDER}', 1), '')"
    is_dispute = f"{named} = 'adjustment' AND regexp_matches(lower(coalesce({d.word('description')}, '')), 'dispute|chargeback')"
    sort = f"CASE WHEN {is_dispute} THEN 'chargeback' ELSE {sort_of(named, 'stripe')} END"
    query = f"""
        SELECT coalesce({d.id("order_id")}, {said}) AS order_ref, {d.utc("moved_at")} AS moved_at, {d.day("moved_at")} AS booked_on,
               {currency_is_named(d)} AS currency, {named} AS what, {sort} AS sort, {d.money("amount")} AS amount,
               {d.money("fee")} AS fee, {d.money("net")} AS net, {d.id("txn")} AS content
        FROM raw"""
    d.require("txn", "moved_at", "amount", when="true")
    _take(d, query)
    emit_bookings(d, Account("stripe"))


def shape_paypal(d: Delivery) -> None:
    """One row per transaction; what is pending, denied or a memo has moved no money. A
    refund without an invoice number is about the order of the payment it refers to.
    """
    _join_clock(d)
    kind, state = f"lower({d.word('kind')})", f"lower(coalesce({d.word('status')}, 'completed'))"
    gross = d.money("amount")
    sale = f"CASE WHEN {gross} > 0 THEN 'sale' ELSE 'moved' END"
    is_done = f"{state} IN ('completed', 'refunded', 'partially refunded', 'reversed', 'cleared') AND lower(coalesce({d.word('impact')}, '')) <> 'memo'"
    # plug-ins write what they like into the custom number: an order's number, or text that holds it
    custom = f"""coalesce(nullif(regexp_extract({d.id("custom")}, '"order_id":"?([0-9]+)', 1), ''),
        CASE WHEN regexp_full_match({d.id("custom")}, '[#A-Za-z0-9_-]{{1,40}}') THEN {d.id("custom")} END)"""
    order = f"coalesce({d.id('invoice')}, {custom})"
    query = f"""
        SELECT {d.id("txn")} AS txn, {d.id("reference")} AS reference, {order} AS order_ref, {d.utc("moved_at")} AS moved_at,
               {d.day("moved_at")} AS booked_on, {currency_is_named(d)} AS currency, {d.word("kind")} AS what,
               CASE WHEN NOT ({is_done}) THEN 'not_done' ELSE {sort_of(kind, "paypal", otherwise=sale)} END AS sort,
               {gross} AS amount, -{d.money("fee")} AS fee, {d.money("net")} AS net, {d.id("txn")} AS content
        FROM raw"""
    d.require("txn", "moved_at", "amount", when="true")
    _take(d, query)
    d.con.execute("""UPDATE moves SET order_ref = p.order_ref FROM (
            SELECT txn, min(order_ref) AS order_ref FROM moves WHERE order_ref IS NOT NULL GROUP BY 1) p
        WHERE moves.order_ref IS NULL AND p.txn = moves.reference""")
    # a fee that is no cost of an order of this shop: what the shop itself paid for
    d.con.execute("UPDATE moves SET order_ref = NULL WHERE sort = 'moved'")
    emit_bookings(d, Account("paypal"))


def _join_clock(d: Delivery) -> None:
    """Day, clock and zone stand in columns of their own: put together where the zone is one
    that can be read.
    """
    if not d.has("clock"):
        return
    zone = (
        "CASE WHEN regexp_matches(zone, '^(UTC|GMT|[A-Z]{2,4}T|MEZ|MESZ|BST)$') THEN ' ' || zone ELSE '' END"
        if d.has("zone")
        else "''"
    )
    d.con.execute(
        f"UPDATE raw SET moved_at = moved_at || ' ' || clock || {zone} WHERE clock IS NOT NULL"
    )


ADAPTERS = (
    Adapter(
        kind="shopify-payouts",
        title="Shopify › Payouts › Transactions",
        gives=("fees",),
        columns="""
            moved_at! time | Transaction Date
            kind! word | Type
            order_id! id | Order
            amount! money | Amount
            fee! money | Fee
            net! money | Net
            status word | Payout Status
            checkout id | Checkout
            currency word | Currency
        """,
        ignored="""Card Brand | Card Source | Payout Date | Payout ID | Available On | Payment Method Name | Payment Method
            | Presentment Amount | Presentment Currency | VAT""",
        shape=shape_shopify,
        signature="Payout Status | Payout Date",
        family="shopify-payments",
    ),
    Adapter(
        kind="stripe",
        title="Stripe › Balance",
        gives=("fees",),
        columns="""
            txn! id | balance_transaction_id | id
            moved_at! time | created_utc | Created (UTC) | created
            kind! word | reporting_category | Type
            amount! money | gross | Amount
            fee! money | fee
            net! money | net
            currency! word | currency
            description text | description
            order_id id | /[a-z]* ?metadata order[a-z ]*/ | /order[a-z ]* metadata/
        """,
        personal="customer_email | customer_name | card_name | shipping_address_line1 | customer_description",
        ignored="""source_id | Source | available_on_utc | Available On (UTC) | available_on | customer_facing_amount
            | customer_facing_currency | Customer Facing Amount | Customer Facing Currency | Transfer | Transfer Date (UTC)
            | Transfer Group | automatic_payout_id | automatic_payout_effective_at_utc | automatic_payout_effective_at
            | customer_id | charge_id | payment_intent_id | charge_created_utc | invoice_id | invoice_number | subscription_id
            | payment_method_type | card_brand | card_funding | card_country | statement_descriptor | status | trace_id
            | dispute_reason | connected_account_id | connected_account_name | regulatory_tag""",
        shape=shape_stripe,
        signature="balance_transaction_id | Available On (UTC) | reporting_category | available_on_utc",
        zone="UTC",
        family="stripe",
    ),
    Adapter(
        kind="paypal",
        title="PayPal › Activity report",
        gives=("fees",),
        columns="""
            moved_at! time | Date
            kind! word | Type
            status! word | Status
            currency! word | Currency
            amount! money | Gross
            fee! money | Fee
            net! money | Net
            txn! id | Transaction ID
            clock word | Time
            zone word | TimeZone | Time Zone
            reference id | Reference Txn ID
            invoice id | Invoice Number | Invoice ID
            custom id | Custom Number
            impact word | Balance Impact
        """,
        personal="""Name | From Email Address | To Email Address | Shipping Address | Address Line 1
            | Address Line 2/District/Neighborhood | Town/City | Contact Phone Number | Note | Subject | Zip/Postal Code
            | State/Province/Region/County/Territory/Prefecture/Republic""",
        ignored="""Address Status | Item Title | Item ID | Shipping and Handling Amount | Insurance Amount | Sales Tax
            | Option 1 Name | Option 1 Value | Option 2 Name | Option 2 Value | Quantity | Receipt ID | Balance | Country
            | Country Code | Payment Source""",
        shape=shape_paypal,
        signature="Reference Txn ID | Balance Impact | From Email Address | To Email Address",
        family="paypal",
    ),
)
