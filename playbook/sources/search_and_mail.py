"""Klaviyo campaigns and Google Search Console.

Layouts: Klaviyo's campaign export (Campaign Name, Tags, Subject, List, Send Time ...), the
CSV files of Search Console's performance report as public importers write them down, and the
tables of its bulk data export (see data/samples/README.md).
"""

from __future__ import annotations

from playbook.messages import say
from playbook.sources.adapter import Adapter, Delivery


def shape_campaigns(d: Delivery) -> None:
    """One row per campaign, as two kinds of journeys of one touch: those that ended in an
    order the platform claims, and the other deliveries. The export tells no cost.
    """
    channel = f"'klaviyo_' || lower(coalesce({d.word('channel')}, 'email'))"
    name = f"coalesce({d.id('campaign_id')}, {d.text('campaign')} || ' ' || strftime({d.utc('sent_at')}, '%Y-%m-%d %H:%M'))"
    query = f"""
        SELECT {name} AS campaign, {channel} AS channel, {d.utc("sent_at")} AS touched_at,
               coalesce({d.count("delivered")}, {d.count("recipients")}) AS delivered, coalesce({d.count("orders")}, 0) AS orders,
               coalesce({d.money("revenue")}, 0) AS revenue
        FROM raw"""
    d.require("sent_at", "recipients", when="true")
    d.refuse_unreadable("touchpoints")
    d.con.execute(f"""CREATE OR REPLACE TABLE sent AS
        SELECT campaign, channel, min(touched_at) AS touched_at, sum(delivered) AS delivered, sum(orders) AS orders,
               sum(revenue) AS revenue FROM ({query}) GROUP BY 1, 2""")
    d.emit(
        "touchpoints",
        """SELECT campaign || ' ' || channel || ' / order' AS journey_id, 1 AS touch_no, channel, touched_at, true AS is_conversion,
                  revenue AS amount, orders AS n_journeys FROM sent WHERE orders > 0
           UNION ALL
           SELECT campaign || ' ' || channel || ' / none', 1, channel, touched_at, false, NULL, greatest(delivered - orders, 0)
           FROM sent WHERE delivered > orders""",
    )
    n, orders, revenue = d.con.execute(
        "SELECT count(*), sum(orders), sum(revenue) FROM sent"
    ).fetchone()
    d.notes.append(say("sources.campaigns_read", n=n, orders=orders, revenue=revenue))
    d.is_checked = True


def shape_search_console(d: Delivery) -> None:
    """One row per search word, page or both: of a day where the file tells one, else of the
    period that ends on the day told. Shares are left out: they come from clicks.
    """
    is_daily = d.has("day")
    until = d.snapshot_day()
    term, page = (
        f"coalesce({d.text(n)}, 'all')" if d.has(n) else "'all'" for n in ("term", "page")
    )
    clicks, shown = d.count("clicks"), d.count("impressions")
    d.emit(
        "search_terms",
        f"""SELECT {until} AS until_on, {"1" if is_daily else "CAST(NULL AS BIGINT)"} AS n_days, {term} AS term, {page} AS page,
                   CAST(sum({clicks}) AS BIGINT) AS clicks, CAST(sum({shown}) AS BIGINT) AS impressions,
                   sum({d.number("position")} * {shown}) / nullif(sum({shown}), 0) AS position
            FROM raw GROUP BY ALL""",
    )


def shape_bulk_results(d: Delivery) -> None:
    """The bulk export counts places from nought and sums them; a word is empty where too few
    people searched for it. One row per day, word and page, and where pages are told one per
    page of all its words. Only results of the web search are read.
    """
    place = d.number("url_places") if d.has("url_places") else d.number("site_places")
    web = f"upper(coalesce({d.word('search_type')}, 'WEB')) = 'WEB'"
    page = f"coalesce({d.text('page')}, 'all')"

    def sums(term: str, where: str) -> str:
        return f"""SELECT {d.day("day")} AS until_on, CAST(1 AS BIGINT) AS n_days, {term} AS term, {page} AS page,
            CAST(sum({d.count("clicks")}) AS BIGINT) AS clicks, CAST(sum({d.count("impressions")}) AS BIGINT) AS impressions,
            sum({place}) / nullif(sum({d.count("impressions")}), 0) + 1 AS position
            FROM raw WHERE {web} AND {where} GROUP BY ALL"""

    told = d.text("term")
    words = sums(told, f"coalesce({told}, '') <> ''")
    of_pages = f" UNION ALL {sums(repr('all'), 'true')}" if d.has("page") else ""
    d.emit("search_terms", words + of_pages)


ADAPTERS = (
    Adapter(
        kind="klaviyo-campaigns",
        title="Klaviyo › Campaigns › Export",
        gives=("touchpoints",),
        columns="""
            campaign! text | Campaign Name
            sent_at! time | Send Time
            recipients! count | Total Recipients
            orders! count | Unique Placed Order
            revenue money | Revenue
            delivered count | Successful Deliveries
            campaign_id id | Campaign ID
            channel word | Campaign Channel
        """,
        ignored="""Tags | Subject | List | Send Weekday | Placed Order Rate | Unique Opens | Open Rate | Total Opens | Unique Clicks
            | Click Rate | Total Clicks | Unsubscribes | Spam Complaints | Spam Complaints Rate | Bounces | Bounce Rate
            | Variant Name | Winning Variant? | Revenue per Recipient | Unsub Rate | Complaint Rate""",
        shape=shape_campaigns,
        signature="Unique Placed Order",
    ),
    Adapter(
        kind="search-console",
        title="Google › Search Console › Performance",
        gives=("search_terms",),
        columns="""
            clicks! count | Clicks | Klicks
            impressions! count | Impressions | Impressionen
            position! number | Position | Average position | Durchschnittliche Position
            term text | Top queries | Query | Queries | Häufigste Suchanfragen
            page text | Top pages | Page | Pages | Häufigste Seiten
            day day | Date | Datum
        """,
        ignored="CTR | Klickrate | Country | Device | Search type",
        shape=shape_search_console,
        signature="Top queries | Top pages | Häufigste Suchanfragen | Häufigste Seiten | Position | Average position | Durchschnittliche Position",
        any_of=("term", "page"),
    ),
    Adapter(
        kind="search-console-bulk",
        title="Google › Search Console › Bulk data export",
        gives=("search_terms",),
        columns="""
            day! day | data_date
            term! text | query
            clicks! count | clicks
            impressions! count | impressions
            url_places number | sum_position
            site_places number | sum_top_position
            page text | url
            search_type word | search_type
        """,
        ignored="""site_url | is_anonymized_query | is_anonymized_discover | is_page_experience | country | device | is_amp_top_stories
            | is_amp_blue_link | is_job_listing | is_job_details | is_tpf_qa | is_tpf_faq | is_tpf_howto | is_weblite | is_action
            | is_events_listing | is_events_details | is_search_appearance_android_app | is_amp_story | is_amp_image_result
            | is_video | is_organic_shopping | is_review_snippet | is_special_announcement | is_recipe_feature
            | is_recipe_rich_snippet | is_subscribed_content | is_practice_problems | is_math_solvers | is_translated_result
            | is_edu_q_and_a | is_product_snippets | is_merchant_listings | is_learning_videos""",
        shape=shape_bulk_results,
        signature="sum_position | sum_top_position",
        any_of=("url_places", "site_places"),
    ),
)
