"""Advertising platforms: Google, Meta, TikTok, 万相台. Shares such as ROAS and CTR are
left out: they come from totals.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from playbook.errors import PlaybookError
from playbook.messages import read_yaml
from playbook.sources.adapter import Adapter, Delivery


def _shape(d: Delivery, *, channel: str) -> None:
    if not d.has("spend") and not d.has("micros"):
        raise PlaybookError("sources.no_cost_column", file=d.sheet.path.name)
    spend = d.money("spend") if d.has("spend") else f"({d.money('micros')} / 1000000)"
    day = d.day("day_on")
    if d.has("ends_on"):
        _daily_only(d, day)
    currency = d.word("currency")
    if not d.has("currency") and d.has("spend"):
        printed = re.search(r"\b([A-Z]{3})\)?\s*$", d.header("spend"))
        currency = f"'{printed.group(1)}'" if printed else "CAST(NULL AS VARCHAR)"
    # what a report was restricted to: rows of another account or network are others
    parts = [f"coalesce({d.word(n)}, '')" for n in ("account", "network") if d.has(n)]
    scope = (
        f"nullif(concat_ws(' / ', {', '.join(parts)}), '')" if parts else "CAST(NULL AS VARCHAR)"
    )
    d.require("day_on", when="true")
    d.leave_out("rows that tell no cost", f"count(*) FILTER ({spend} IS NULL)")
    d.emit(
        "ad_spend",
        f"""
        SELECT {day} AS day_on, '{channel}' AS channel,
               coalesce({d.text("campaign")}, 'all') AS campaign,
               coalesce({d.word("region")}, 'all') AS region, {scope} AS _scope,
               CAST(sum({spend}) AS DECIMAL(18,6)) AS spend,
               CAST(sum({d.count("impressions")}) AS BIGINT) AS impressions,
               CAST(sum({d.count("clicks")}) AS BIGINT) AS clicks,
               CAST(sum({d.money("orders")}) AS DOUBLE) AS platform_orders,
               CAST(sum({d.money("value")}) AS DECIMAL(18,6)) AS platform_value,
               any_value({currency}) AS currency
        FROM raw GROUP BY 1, 2, 3, 4, 5 HAVING sum({spend}) IS NOT NULL""",
    )


def _daily_only(d: Delivery, day: str) -> None:
    """Where the day is read from the start of the reporting period, the period must be
    that day.
    """
    if (
        "reporting" not in d.sheet.names[d.at["day_on"]]
        and "start" not in d.sheet.names[d.at["day_on"]]
    ):
        return
    (longer,) = d.con.execute(
        f"SELECT count(*) FROM raw WHERE {d.day('ends_on')} <> {day}"
    ).fetchone()
    if longer:
        raise PlaybookError(
            "sources.period_longer_than_a_day",
            file=d.sheet.path.name,
            rows=longer,
            column=d.header("ends_on"),
        )


def _adapter(kind: str, channel: str, title: str, **knobs: object) -> Adapter:
    """A kind of advertising report; its headers stand in headers.yaml."""
    headers = read_yaml(Path(__file__).parent / "headers.yaml")[kind]
    return Adapter(
        kind=kind,
        title=title,
        gives=("ad_spend",),
        columns=headers["columns"],
        ignored=headers.get("ignored", ""),
        signature=headers["signature"],
        shape=functools.partial(_shape, channel=channel),
        has_footers=True,
        any_of=("spend", "micros"),
        **knobs,
    )


ADAPTERS = (
    _adapter("google-ads", "google_ads", "Google Ads › Campaign report"),
    _adapter("meta-ads", "meta_ads", "Meta › Ads Manager report"),
    _adapter("tiktok-ads", "tiktok_ads", "TikTok › Ads report"),
    _adapter("microsoft-ads", "microsoft_ads", "Microsoft Ads › Campaign report"),
    _adapter("amazon-ads", "amazon_ads", "Amazon Ads › Sponsored campaigns report"),
    _adapter("wanxiangtai", "wanxiangtai", "万相台 › 报表", zone="Asia/Shanghai"),
)
