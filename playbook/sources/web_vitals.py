"""How long pages took, from Google Analytics: the table of web vitals made in BigQuery.

Layout: the columns of `web_vitals_summary`, the table that web.dev/articles/vitals-ga4 makes of the
events of Google Analytics, one row per metric of a page view; the largest contentful paint (LCP)
stands in it in seconds.
"""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery

#: part of a path that names the page: the first one that is no language
PAGE = r"^(?:https?://[^/]+)?/(?:[a-z]{2}(?:[-_][a-z]{2})?/)?([^/?#]*)"


def shape_vitals(d: Delivery) -> None:
    """One row per page view, by its largest contentful paint; a page is the first part of its
    path, and the visit is named as in the events.
    """
    is_lcp = f"upper({d.word('metric')}) = 'LCP'"
    d.leave_out("rows of other metrics", f"count(*) FILTER (NOT ({is_lcp}))")
    (micros, n) = d.con.execute(
        "SELECT count(*) FILTER (regexp_matches(loaded_at, '^[0-9]{15,17}$')), count(*) FROM raw"
    ).fetchone()
    is_micros = micros == n
    when = "make_timestamp(TRY_CAST(loaded_at AS BIGINT))" if is_micros else d.utc("loaded_at")
    if is_micros:
        d.is_read("loaded_at")
    d.require("load_id", "loaded_at", "page", "value", when=is_lcp)
    session = f"CASE WHEN {d.id('session')} IS NOT NULL THEN {d.id('visitor')} || '.' || {d.id('session')} END"
    page = f"coalesce(nullif(regexp_extract(lower({d.word('page')}), '{PAGE}', 1), ''), 'home')"
    d.emit(
        "page_loads",
        f"""SELECT {d.id("load_id")} AS load_id, min({when}) AS loaded_at,
                   any_value({session}) AS session_id, any_value({page}) AS page,
                   any_value(lower({d.word("device")})) AS device,
                   max(1000 * {d.number("value")}) AS load_ms
            FROM raw WHERE {is_lcp} GROUP BY {d.id("load_id")}""",
    )


ADAPTERS = (
    Adapter(
        kind="web-vitals",
        title="Google Analytics › BigQuery › web_vitals_summary",
        gives=("page_loads",),
        columns="""
            load_id! id | metric_id
            metric! word | metric_name
            value! number | metric_value
            loaded_at! time | event_timestamp
            page! word | page_path
            session id | ga_session_id
            visitor id | user_pseudo_id
            device word | device_category
        """,
        ignored="""user_type | session_engagement | country | device_os | traffic_medium | traffic_name
            | traffic_source | debug_target | session_revenue | event_date""",
        zone="UTC",
        shape=shape_vitals,
        signature="metric_id | metric_value",
    ),
)
