"""Pieces of content and live sessions as their platforms list them: TikTok Shop's live analysis
and the table of videos of YouTube Studio.

Layouts: the twenty-five columns of the live analysis (and the older words for some of them), a
moment being written as 2026/04/18/ 22:14 and a length as 1h 40min; YouTube Studio's table of
content with its row of totals (data/samples/README.md). Neither tells what a piece cost: a sheet
of the table `content_items` with the same piece_id fills that in.
"""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery
from playbook.store.write import quoted


def _utc(d: Delivery, moment: str) -> str:
    """A moment of the shop's clock in UTC."""
    zone = d.settings.zone or "UTC"
    return f"timezone('UTC', timezone({quoted(zone)}, {moment}))"


def _minutes(text: str) -> str:
    """1h 40min, 45min or 50s in minutes."""
    parts = (("h", 60), ("min", 1), ("s", 1 / 60))
    said = (
        f"coalesce(TRY_CAST(regexp_extract({text}, '([0-9]+) *{unit}( |$|[0-9])', 1) AS DOUBLE), 0) * {n}"
        for unit, n in parts
    )
    return f"nullif({' + '.join(said)}, 0)"


def shape_live(d: Delivery) -> None:
    """One row per session: its creator and moment name it."""
    d.require("creator", "begun", when="true")
    printed = f"try_strptime(replace({d.id('begun')}, '/ ', ' '), '%Y/%m/%d %H:%M')"
    d.emit(
        "content_items",
        f"""SELECT {d.id("creator")} || ' ' || strftime({printed}, '%Y-%m-%d %H:%M') AS piece_id,
                   'live' AS kind, {_utc(d, printed)} AS published_at,
                   {_minutes(d.id("lasts"))} AS minutes, 'tiktok' AS platform,
                   {d.count("viewers")} AS reach, {d.count("clicks")} AS visits,
                   CAST({d.count("orders")} AS DOUBLE) AS platform_orders,
                   {d.money("sales")} AS platform_sales
            FROM raw WHERE {printed} IS NOT NULL""",
    )


def shape_videos(d: Delivery) -> None:
    """One row per video; the row of totals is none."""
    is_video = f"lower({d.id('video')}) <> 'total'"
    d.require("video", "day", when=is_video)
    d.emit(
        "content_items",
        f"""SELECT {d.id("video")} AS piece_id, 'video' AS kind,
                   {_utc(d, f"CAST({d.day('day')} AS TIMESTAMP)")} AS published_at,
                   'youtube' AS platform, {d.text("title")} AS title, {d.count("views")} AS reach
            FROM raw WHERE {is_video}""",
    )


ADAPTERS = (
    Adapter(
        kind="tiktok-live",
        title="TikTok Shop › Live analysis › Export",
        gives=("content_items",),
        columns="""
            creator! id | Creator ID
            begun! id | Launched Time
            lasts! id | Duration
            sales money | /live attributed gmv( .*)?/
            orders count | LIVE SKU orders | Orders Paid
            viewers count | Viewers
            clicks count | Product Clicks
            gross money | /live gross merchandise value( .*)?/ | /revenue( .*)?/
            price money | /average price( .*)?/
        """,
        ignored="""Products added | Products | Different Products Sold | Created SKU orders | Orders Created
            | LIVE items sold | Unit Sales | Unique customers | Buyers | Click-to-order rate (LIVE) | CO rate | Views
            | Average viewing duration (LIVE streams) | Avg. Viewing Duration | Comments | Shares | LIVE likes | Likes
            | New followers (Creator video) | New Followers | Product Impressions | CTR""",
        personal="Creator | Nickname",
        shape=shape_live,
        signature="Launched Time",
    ),
    Adapter(
        kind="youtube-videos",
        title="YouTube Studio › Analytics › Content › Export",
        gives=("content_items",),
        columns="""
            video! id | Content | Video
            day! day | Video publish time
            views! count | Views
            title text | Video title
        """,
        ignored="""Duration | Comments added | Shares | Dislikes | Likes | Likes (vs. dislikes) (%) | Subscribers lost
            | Subscribers gained | Subscribers | RPM (USD) | CPM (USD) | Average percentage viewed (%)
            | Average view duration | Watch time (hours) | Your estimated revenue (USD) | Estimated revenue (USD)
            | Impressions | Impressions click-through rate (%) | Engaged views | Unique viewers""",
        shape=shape_videos,
        signature="Video publish time",
    ),
)
