"""Attempts to pay as a payment provider lists them: Adyen's Received payment details report.

Layout: docs.adyen.com/reporting/received-payment-details-report, standard columns; one row per
payment asked for, with what became of it in `Type` and the bank's answer in `Raw acquirer
response`, else in `Acquirer Response`. The card, its holder and the addresses are never read.
"""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery

#: words of `Type` -> states of the contract; any other is not told yet
PAID = ("Authorised", "SentForSettle", "Settled")
FAILED = ("Refused", "Error", "Cancelled", "Expired")
#: zones the report prints beside its times -> hours east of Greenwich
ZONES = {
    "UTC": 0,
    "GMT": 0,
    "WET": 0,
    "BST": 1,
    "WEST": 1,
    "CET": 1,
    "CEST": 2,
    "EET": 2,
    "EEST": 3,
}
ZONES |= {"SGT": 8, "HKT": 8, "JST": 9, "AEST": 10, "AEDT": 11, "EST": -5, "EDT": -4, "CDT": -5}
ZONES |= {"MST": -7, "MDT": -6, "PST": -8, "PDT": -7}


def shape_attempts(d: Delivery) -> None:
    """One row per payment asked for on the shop's pages; payments on a terminal and those a
    subscription draws are nobody's attempt at the till.
    """
    shown = d.word("interaction")
    is_theirs = f"coalesce({shown}, 'Ecommerce') = 'Ecommerce'"
    d.leave_out("payments outside the shop's pages", f"count(*) FILTER (NOT ({is_theirs}))")
    if d.has("zone"):  # one that is not known makes the time unreadable, and is named so
        when = " ".join(f"WHEN '{name}' THEN '{hours:+03d}00'" for name, hours in ZONES.items())
        d.con.execute(f"""UPDATE raw SET attempted_at = attempted_at || ' ' || CASE zone {when} ELSE zone END
            WHERE zone IS NOT NULL""")
    d.require("attempt_id", "attempted_at", "checkout_id", "payment_method", when=is_theirs)
    paid, failed = (", ".join(f"'{word}'" for word in words) for words in (PAID, FAILED))
    state = f"""CASE WHEN {d.word("kind")} IN ({paid}) THEN 'paid'
                     WHEN {d.word("kind")} IN ({failed}) THEN 'failed' ELSE 'open' END"""
    said = f"coalesce({d.word('raw_answer')}, {d.word('answer')})"
    d.emit(
        "payment_attempts",
        f"""SELECT {d.id("attempt_id")} AS attempt_id, {d.utc("attempted_at")} AS attempted_at,
                   {d.id("checkout_id")} AS checkout_id, {d.id("checkout_id")} AS order_id,
                   {d.word("payment_method")} AS payment_method, {state} AS status,
                   CASE WHEN {state} = 'failed' THEN {said} END AS message,
                   {d.money("amount")} AS amount, upper({d.word("currency")}) AS currency
            FROM raw WHERE {is_theirs}""",
    )


ADAPTERS = (
    Adapter(
        kind="adyen-payments",
        title="Adyen › Received payment details report",
        gives=("payment_attempts",),
        columns="""
            attempt_id! id | Psp Reference
            checkout_id! id | Merchant Reference
            payment_method! word | Payment Method
            attempted_at! time | Creation Date
            kind! word | Type
            zone word | TimeZone
            amount money | Amount
            currency word | Currency
            interaction word | Shopper Interaction
            answer word | Acquirer Response
            raw_answer word | Raw acquirer response
        """,
        ignored="""Company Account | Merchant Account | Risk Scoring | Shopper Country | Issuer Name | Issuer Id | Issuer City
            | Issuer Country | Authorisation Code | 3D Directory Response | 3D Authentication Response | CVC2 Response
            | AVS Response | Acquirer Reference | Payment Method Variant""",
        personal="Shopper Name | Shopper PAN | Shopper IP | Shopper Email | Shopper Reference",
        shape=shape_attempts,
        signature="Psp Reference",
    ),
)
