"""Orders that partners claim: the referrals export of AffiliateWP (WooCommerce and others).

Layout: the thirteen columns of the plugin's own export, each a referral with the commission in
`Amount` and the shop's order in `Reference` (data/samples/README.md).
"""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery

#: states of the plugin -> those of the contract
STATES = {"paid": "paid", "unpaid": "approved", "pending": "open", "rejected": "rejected"}


def shape_referrals(d: Delivery) -> None:
    """One row per partner and order; a referral without an order (a sign-up) is no claim."""
    when = " ".join(f"WHEN '{theirs}' THEN '{ours}'" for theirs, ours in STATES.items())
    d.require("day", "partner", "commission", when=f"coalesce({d.id('order_id')}, '') <> ''")
    d.emit(
        "partner_orders",
        f"""SELECT min({d.day("day")}) AS booked_on, {d.id("partner")} AS partner,
                   {d.id("order_id")} AS order_id,
                   CAST(sum({d.money("commission")}) AS DECIMAL(18,6)) AS commission,
                   any_value(CASE lower({d.word("status")}) {when} END) AS status,
                   any_value(upper({d.word("currency")})) AS currency
            FROM raw WHERE coalesce({d.id("order_id")}, '') <> ''
            GROUP BY {d.id("partner")}, {d.id("order_id")}""",
    )


ADAPTERS = (
    Adapter(
        kind="affiliatewp-referrals",
        title="AffiliateWP › Tools › Export referrals",
        gives=("partner_orders",),
        columns="""
            partner! id | Affiliate ID
            commission! money | Amount
            order_id! id | Reference
            day! day | Date
            status word | Status
            currency word | Currency
        """,
        ignored="Description | Campaign | Context",
        personal="Email | Name | Payment Email | Username",
        shape=shape_referrals,
        signature="Affiliate ID",
    ),
)
