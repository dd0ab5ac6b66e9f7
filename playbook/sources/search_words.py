"""Words that people searched for and clicked an advertisement under: the search terms report of
Google Ads and of Microsoft Advertising.

Layouts: Google's report as it is downloaded (two title lines, the second the period; a row
`Total: Search terms` at the end) and its API's names; Microsoft's columns of
SearchQueryPerformanceReport, by the names of the API and of the site (data/samples/README.md).
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from itertools import pairwise

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
#: ways a title line writes a day: (pattern, places of year, month and day among its groups)
WRITTEN = (
    (r"(\d{4})-(\d{1,2})-(\d{1,2})", (0, 1, 2)),
    (r"(\d{4})年(\d{1,2})月(\d{1,2})日", (0, 1, 2)),
    (r"(\d{1,2})\.(\d{1,2})\.(\d{4})", (2, 1, 0)),
    (r"(\d{1,2}) ([A-Za-z]{3})[a-z]* (\d{4})", (2, 1, 0)),
    (r"([A-Za-z]{3})[a-z]* (\d{1,2}), (\d{4})", (2, 0, 1)),
)
#: days in slashes say nothing of their order: both are tried
SLASHES = r"(\d{1,2})/(\d{1,2})/(\d{4})"


def period_of(titles: list[str]) -> tuple[dt.date, dt.date] | None:
    """First and last day of the period that the lines above a header state; None where no
    line states two days, or they can be read in two ways.
    """
    found = set()
    for text in titles:
        for pattern, places in (*WRITTEN, (SLASHES, (2, 0, 1)), (SLASHES, (2, 1, 0))):
            days = [_day(match.groups(), places) for match in re.finditer(pattern, text)]
            found |= {(a, b) for a, b in pairwise(days) if a and b and a <= b}
    return found.pop() if len(found) == 1 else None


def _day(said: tuple[str, ...], places: tuple[int, int, int]) -> dt.date | None:
    year, month, day = (said[place] for place in places)
    if not month.isdigit():
        word = month.lower()
        month = MONTHS.index(word) + 1 if word in MONTHS else 0
    try:
        return dt.date(int(year), int(month), int(day))
    except ValueError:
        return None


def _shape(d: Delivery, *, channel: str) -> None:
    """Sums by word, of a day where the file tells one, else of the period in its title."""
    if not d.has("spend") and not d.has("micros"):
        raise PlaybookError("sources.no_cost_column", file=d.sheet.path.name)
    spend = d.money("spend") if d.has("spend") else f"({d.money('micros')} / 1000000)"
    is_daily, period = d.has("day"), period_of(d.sheet.preamble)
    days = "1" if is_daily else "CAST(NULL AS BIGINT)"
    if period and not is_daily:
        until, days = f"DATE '{period[1]}'", str((period[1] - period[0]).days + 1)
    else:
        until = d.snapshot_day()
    texts = {n: f"coalesce({d.text(n)}, 'all')" for n in ("campaign", "ad_group", "keyword")}
    d.emit(
        "ad_terms",
        f"""
        SELECT {until} AS until_on, CAST({days} AS BIGINT) AS n_days, '{channel}' AS channel,
               {texts["campaign"]} AS campaign, {texts["ad_group"]} AS ad_group,
               {texts["keyword"]} AS keyword, coalesce({d.word("match_type")}, 'all') AS match_type,
               {d.text("term")} AS term,
               CAST(sum({d.count("impressions")}) AS BIGINT) AS impressions,
               CAST(sum({d.count("clicks")}) AS BIGINT) AS clicks,
               CAST(sum({spend}) AS DECIMAL(18,6)) AS spend,
               CAST(sum({d.money("orders")}) AS DOUBLE) AS platform_orders,
               CAST(sum({d.money("value")}) AS DECIMAL(18,6)) AS platform_value,
               any_value({d.word("currency")}) AS currency
        FROM raw WHERE {d.text("term")} IS NOT NULL GROUP BY ALL
        HAVING sum({spend}) IS NOT NULL AND sum({d.count("clicks")}) IS NOT NULL""",
    )


ADAPTERS = (
    Adapter(
        kind="google-search-terms",
        title="Google Ads › Search terms report",
        gives=("ad_terms",),
        columns="""
            term! text | Search term | search_term_view.search_term | Suchbegriff | 搜索字词
            clicks! count | Clicks | metrics.clicks | Klicks | 点击次数
            spend money | Cost | Kosten | 费用
            micros money | metrics.cost_micros | cost_micros
            day day | Day | segments.date | Tag | 天
            campaign text | Campaign | campaign.name | Kampagne | 广告系列
            ad_group text | Ad group | ad_group.name | Anzeigengruppe | 广告组
            keyword text | Keyword | Search keyword | segments.keyword.info.text | 关键字
            match_type word | Match type | segments.search_term_match_type | Übereinstimmungstyp | 匹配类型
            impressions count | Impr. | Impressions | metrics.impressions | 展示次数
            orders money | Conversions | Conv. | metrics.conversions | 转化次数
            value money | Conv. value | metrics.conversions_value | Conv.-Wert | 转化价值
            currency word | Currency code | customer.currency_code | Währungscode | 货币代码
        """,
        ignored="""Added/Excluded | CTR | Avg. CPC | Conv. rate | Cost / conv. | Interaction rate | Campaign type
            | Conv. value / cost | Value / conv. | Account | Account name | Interactions | Avg. cost""",
        shape=functools.partial(_shape, channel="google_ads"),
        signature="Search term | search_term_view.search_term | Suchbegriff | 搜索字词",
        has_footers=True,
        any_of=("spend", "micros"),
    ),
    Adapter(
        kind="microsoft-search-terms",
        title="Microsoft Ads › Search term report",
        gives=("ad_terms",),
        columns="""
            term! text | SearchQuery | Search query | Search term
            spend! money | Spend
            clicks! count | Clicks
            campaign! text | CampaignName | Campaign name | Campaign
            day day | TimePeriod | Time period | Gregorian date | Date
            ad_group text | AdGroupName | Ad group | Ad group name
            keyword text | Keyword
            match_type word | DeliveredMatchType | Delivered match type | BidMatchType
            impressions count | Impressions
            orders money | Conversions | ConversionsQualified
            value money | Revenue
            currency word | CurrencyCode | Currency code
        """,
        ignored="""Ctr | CTR | AverageCpc | Avg. CPC | AveragePosition | Avg. position | ConversionRate | Conv. rate
            | CostPerConversion | CPA | AccountName | Account name | AccountNumber | Account number | AccountId
            | AdGroupId | CampaignId | KeywordId | AdId | AdType | CampaignStatus | AdStatus | Network | Language""",
        shape=functools.partial(_shape, channel="microsoft_ads"),
        signature="SearchQuery | Search query | DeliveredMatchType | Delivered match type",
        has_footers=True,
    ),
)
