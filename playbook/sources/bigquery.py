"""GA4's own export to BigQuery, nested as it is: parquet, or JSON with one event a
line.

Only what a store keeps is taken out of the nests; the rest (pages, places, user ids) is
never read. An event with several items becomes a row an item, and the event's money
stands on the first of them.
"""

from __future__ import annotations

from collections.abc import Collection

NESTED = (
    "event_timestamp",
    "event_name",
    "user_pseudo_id",
    "event_params",
    "items",
    "ecommerce",
    "session_traffic_source_last_click",
    "collected_traffic_source",
)
CLICK = "session_traffic_source_last_click"


def flat(source: str, names: Collection[str]) -> tuple[list[str], str]:
    """Headers and a FROM clause with columns c0, c1 ... for the nested table `source`
    with columns `names`.
    """

    def nest(name: str) -> str:
        return f"to_json({name})" if name in names else "CAST(NULL AS JSON)"

    def param(key: str) -> str:
        found = f"list_filter(CAST(params AS JSON[]), lambda p: p->>'$.key' = '{key}')[1]"
        kinds = ("string_value", "int_value", "double_value", "float_value")
        return "coalesce(" + ", ".join(f"{found}->>'$.value.{kind}'" for kind in kinds) + ")"

    def told(field: str, param_key: str) -> str:
        # never traffic_source: that is where the visitor first came from, not where this visit did
        manual = "manual_campaign_name" if field == "campaign_name" else f"manual_{field}"
        return (
            f"coalesce(click->>'$.manual_campaign.{field}', click->>'$.cross_channel_campaign.{field}', "
            f"collected->>'$.{manual}', {param(param_key)})"
        )

    columns = {
        "event_timestamp": "CAST(event_timestamp AS VARCHAR)",
        "event_name": "CAST(event_name AS VARCHAR)",
        "user_pseudo_id": "CAST(user_pseudo_id AS VARCHAR)",
        "ga_session_id": param("ga_session_id"),
        "ecommerce.transaction_id": f"coalesce(commerce->>'$.transaction_id', {param('transaction_id')})",
        "ecommerce.purchase_revenue": "CASE WHEN item_no = 0 THEN coalesce(commerce->>'$.purchase_revenue', "
        "commerce->>'$.purchase_revenue_in_usd') END",
        "item_id": "item_list[item_no + 1]->>'$.item_id'",
        "session_source": told("source", "source"),
        "session_medium": told("medium", "medium"),
        "session_campaign": told("campaign_name", "campaign"),
    }
    picks = ", ".join(f"{text} AS c{i}" for i, text in enumerate(columns.values()))
    scan = f"""(SELECT {picks} FROM (
        SELECT *, unnest(range(greatest(coalesce(len(item_list), 0), 1))) AS item_no FROM (
            SELECT event_timestamp, event_name, user_pseudo_id, {nest("event_params")} AS params,
                   {nest("ecommerce")} AS commerce, {nest(CLICK)} AS click,
                   {nest("collected_traffic_source")} AS collected,
                   CAST({nest("items")} AS JSON[]) AS item_list FROM {source})))"""
    return list(columns), scan
