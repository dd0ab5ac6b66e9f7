"""Google Analytics 4: report CSV (traffic by channel, purchases by transaction) and
exported events.
"""

from __future__ import annotations

import re

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery


def _period(d: Delivery) -> tuple[str | None, str | None]:
    text = "\n".join(d.sheet.preamble)
    days = [
        re.search(rf"{word}\s*:?\s*(\d{{4}})-?(\d{{2}})-?(\d{{2}})", text, re.IGNORECASE)
        for word in ("Start date", "End date")
    ]
    return tuple("-".join(m.groups()) if m else None for m in days)


def shape_traffic(d: Delivery) -> None:
    """Sessions per day and channel. A report without the dimension Date is one total of
    its period.
    """
    start, end = _period(d)
    if d.has("day_on"):
        day = d.day("day_on")
        d.require("day_on", when="true")
    elif start and end and start[:7] == end[:7]:
        day = f"DATE '{end}'"
        d.notes.append(
            f"the report has no dimension Date: its total of {start} to {end} stands on the last day; "
            "add Date to the report for figures by day"
        )
    else:
        raise PlaybookError("sources.ga4_without_day", file=d.sheet.path.name)
    channel = f"coalesce({d.text('channel')}, 'all')"
    count = d.count
    d.emit(
        "traffic",
        f"""
        SELECT {day} AS day_on, {channel} AS channel, coalesce({d.word("device")}, 'all') AS device,
               coalesce({d.word("region")}, 'all') AS region, CAST(sum({count("sessions")}) AS BIGINT) AS sessions,
               CAST(sum({count("visitors")}) AS BIGINT) AS visitors, CAST(sum({count("add_to_carts")}) AS BIGINT) AS add_to_carts,
               CAST(sum({count("checkouts")}) AS BIGINT) AS checkouts, CAST(sum({count("buyers")}) AS BIGINT) AS buyers
        FROM raw GROUP BY 1, 2, 3, 4""",
    )
    d.observed_to = end


def shape_transactions(d: Delivery) -> None:
    """Which campaign each order came from: fills channel, source, medium and campaign
    of orders without them.
    """
    parts = d.text("source_medium")
    source = f"coalesce({d.text('source')}, nullif(trim(split_part({parts}, '/', 1)), ''))"
    medium = f"coalesce({d.text('medium')}, nullif(trim(split_part({parts}, '/', 2)), ''))"
    d.leave_out("rows without a transaction id", "count(*) FILTER (transaction IS NULL)")
    d.emit(
        "order_channels",
        f"""
        SELECT lower(ltrim({d.id("transaction")}, '#')) AS order_key, min({d.text("channel")}) AS channel, min({source}) AS source,
               min({medium}) AS medium, min({d.text("campaign")}) AS campaign FROM raw WHERE transaction IS NOT NULL GROUP BY 1""",
    )
    d.observed_to = _period(d)[1]


def shape_events(d: Delivery) -> None:
    """One row per event; a session is the visitor's id with the session's number;
    microseconds become times.
    """
    name = "occurred_at"
    (micros, n) = d.con.execute(
        f"SELECT count(*) FILTER (regexp_matches({name}, '^[0-9]{{15,17}}$')), count(*) FROM raw"
    ).fetchone()
    when = f"make_timestamp(TRY_CAST({name} AS BIGINT))" if micros == n else d.utc(name)
    if micros == n:
        d.is_read(name)
    session = f"CASE WHEN {d.id('session')} IS NOT NULL THEN {d.id('visitor')} || '.' || {d.id('session')} END"
    rest = f"""{when} AS occurred_at, {d.id("visitor")} AS visitor_id, {session} AS session_id, {d.word("name")} AS name,
               {d.id("sku")} AS sku, {d.id("transaction")} AS order_id, {d.money("amount")} AS amount, {d.word("source")} AS source,
               {d.word("medium")} AS medium"""
    d.require("occurred_at", "visitor", "name", when="true")
    d.refuse_unreadable("events", budget=0.001)
    d.emit(
        "events",
        f"""
        SELECT left(md5(concat_ws('|', visitor_id, session_id, occurred_at, name, sku, order_id, amount, copy_no)), 20) AS event_id, * EXCLUDE (copy_no)
        FROM (SELECT *, row_number() OVER (PARTITION BY COLUMNS(*)) AS copy_no FROM (SELECT {rest} FROM raw))""".replace(
            "PARTITION BY COLUMNS(*)",
            "PARTITION BY occurred_at, visitor_id, session_id, name, sku, order_id, amount, source, medium",
        ),
    )
    if d.has("transaction"):
        d.emit(
            "order_channels",
            f"""
            SELECT lower(ltrim(transaction, '#')) AS order_key, CAST(NULL AS VARCHAR) AS channel, min({d.word("source")}) AS source,
                   min({d.word("medium")}) AS medium, min({d.word("campaign")}) AS campaign
            FROM raw WHERE transaction IS NOT NULL AND lower({d.word("name")}) = 'purchase' GROUP BY 1""",
        )
    d.is_checked = True


ADAPTERS = (
    Adapter(
        kind="ga4-report",
        title="GA4 › Traffic acquisition",
        gives=("traffic",),
        columns="""
            channel! text | Session default channel group | Session primary channel group (Default channel group) | Default channel group | First user default channel group | Session default channel grouping | Standardmäßige Channelgruppe für Sitzung | 会话默认渠道组
            sessions! count | Sessions | Sitzungen | Sesiones | 会话数
            day_on day | Date | Datum | Fecha | 日期
            device word | Device category | Gerätekategorie
            region word | Region | Country
            visitors count | Total users | Users | Nutzer
            add_to_carts count | Add to carts
            checkouts count | Checkouts
            buyers count | Total purchasers | Purchasers
        """,
        ignored="""Engaged sessions | Engagement rate | Key events | Total revenue | Average engagement time per session | Events per session
            | Event count | Session key event rate | Conversions | Purchase revenue | Ecommerce purchases | Transactions | New users
            | Average session duration | Bounce rate | Active users""",
        shape=shape_traffic,
        has_footers=True,
        is_sectioned=True,
    ),
    Adapter(
        kind="ga4-transactions",
        title="GA4 › Purchases by transaction",
        gives=("order_channels",),
        columns="""
            transaction! id | Transaction ID | Transaktions-ID
            channel text | Session default channel group | Default channel group | Session primary channel group (Default channel group)
            source_medium text | Session source / medium | Source / medium | First user source / medium
            source text | Session source | Source
            medium text | Session medium | Medium
            campaign text | Session campaign | Campaign
        """,
        ignored="Purchase revenue | Ecommerce purchases | Total revenue | Transactions | Date | Ecommerce revenue | Sessions",
        shape=shape_transactions,
        has_footers=True,
        is_sectioned=True,
        signature="Transaction ID | Transaktions-ID",
        any_of=("channel", "source_medium", "source", "medium", "campaign"),
    ),
    Adapter(
        kind="ga4-events",
        title="GA4 › exported events (BigQuery)",
        gives=("events", "order_channels"),
        columns="""
            occurred_at! time | event_timestamp | timestamp | event_time
            name! word | event_name | name
            visitor! id | user_pseudo_id
            session id | ga_session_id | param_ga_session_id | session_id
            transaction id | ecommerce.transaction_id | ecommerce_transaction_id | transaction_id
            amount money | ecommerce.purchase_revenue | ecommerce_purchase_revenue | ecommerce_purchase_revenue_in_usd | purchase_revenue
            sku id | item_id
            source word | session_source | collected_traffic_source_manual_source | param_source
            medium word | session_medium | collected_traffic_source_manual_medium | param_medium
            campaign word | session_campaign | param_campaign
        """,
        personal="user_id | geo_city | event_dimensions_hostname | param_gclid",
        ignored="""event_date | date | platform | device_category | geo_country | geo_region | stream_id | is_intraday | bundle_sequence_id
            | traffic_source.source | traffic_source_source | traffic_source.medium | traffic_source_medium | traffic_source.name
            | traffic_source_name | param_engagement_time_msec | param_ga_session_number | batch_event_index | value_in_usd | user_first_touch_timestamp""",
        shape=shape_events,
        signature="user_pseudo_id",
    ),
)
