"""Advertising platforms: Google, Meta, TikTok, 万相台. Shares such as ROAS and CTR are
left out: they come from totals.
"""

from __future__ import annotations

import re

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery

__all__ = ["ADAPTERS"]


def _shape(channel: str) -> object:
    def shape(d: Delivery) -> None:
        spend = d.money("spend") if d.has("spend") else f"({d.money('micros')} / 1000000)"
        day = d.day("day_on")
        if not d.has("spend") and not d.has("micros"):
            raise PlaybookError(
                "there is no cost column",
                file=d.sheet.path.name,
                do="add the column Cost to the report",
            )
        if d.has("ends_on"):
            _daily_only(d, day)
        currency = d.word("currency")
        if not d.has("currency") and d.has("spend"):
            found = re.search(r"\b([A-Z]{3})\)?\s*$", d.header("spend"))
            currency = f"'{found.group(1)}'" if found else "CAST(NULL AS VARCHAR)"
        campaign = f"coalesce({d.text('campaign')}, 'all')"
        d.require("day_on", when="true")
        d.leave_out("rows that tell no cost", f"count(*) FILTER ({spend} IS NULL)")
        d.emit(
            "ad_spend",
            f"""
            SELECT {day} AS day_on, '{channel}' AS channel, {campaign} AS campaign, coalesce({d.word("region")}, 'all') AS region,
                   CAST(sum({spend}) AS DECIMAL(18,6)) AS spend, CAST(sum({d.count("impressions")}) AS BIGINT) AS impressions,
                   CAST(sum({d.count("clicks")}) AS BIGINT) AS clicks, CAST(sum({d.money("orders")}) AS DOUBLE) AS platform_orders,
                   CAST(sum({d.money("value")}) AS DECIMAL(18,6)) AS platform_value, any_value({currency}) AS currency
            FROM raw GROUP BY ALL HAVING sum({spend}) IS NOT NULL""".replace(
                "GROUP BY ALL", "GROUP BY 1, 2, 3, 4"
            ),
        )

    return shape


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
            "rows stand for periods longer than a day",
            file=d.sheet.path.name,
            rows=longer,
            column=d.header("ends_on"),
            rule="one row per day",
            do="add the breakdown Day to the report",
        )


ADAPTERS = (
    Adapter(
        kind="google-ads",
        title="Google Ads › Campaign report",
        gives=("ad_spend",),
        columns="""
            day_on! day | Day | segments.date | Date | Tag | Jour | Día | Giorno | 天 | 日期
            campaign! text | Campaign | campaign.name | Kampagne | Campagne | Campaña | Campagna | 广告系列 | campaign_name | id
            spend money | Cost | Kosten | Coût | Coste | Costo | 费用
            micros money | metrics.cost_micros | cost_micros
            impressions count | Impr. | Impressions | metrics.impressions | Impressionen | 展示次数
            clicks count | Clicks | metrics.clicks | Klicks | Clics | 点击次数
            orders money | Conversions | metrics.conversions | 转化次数
            value money | Conv. value | Conversion value | metrics.conversions_value | conversions_value | Conv.-Wert | 转化价值
            currency word | Currency code | Currency | customer.currency_code | Währungscode | 货币代码
        """,
        ignored="""Campaign status | Campaign state | Campaign type | Avg. CPC | CTR | Conv. rate | Cost / conv. | Budget | Interaction rate
            | customer_id | ad_network_type | device | interactions | view_through_conversions | Conv. value / cost""",
        shape=_shape("google_ads"),
        signature="Cost | metrics.cost_micros | cost_micros | Kosten | Coût | Coste | 费用",
        has_footers=True,
    ),
    Adapter(
        kind="meta-ads",
        title="Meta › Ads Manager report",
        gives=("ad_spend",),
        columns="""
            day_on! day | Day | Tag | Jour | Día | Giorno | 天 | date | date_start | Reporting starts | Berichtsbeginn | Début des rapports
            spend! money | /amount spent [a-z]{3}/ | /ausgegebener betrag [a-z]{3}/ | /montant depensé [a-z]{3}/ | /montant dépensé [a-z]{3}/ | /importe gastado [a-z]{3}/ | /importo speso [a-z]{3}/ | /已花费金额 [a-z]{3}/ | /花费金额 [a-z]{3}/ | Amount spent | spend
            campaign text | Campaign name | Kampagnenname | Nom de la campagne | Nombre de la campaña | 广告系列名称 | campaign_name
            ends_on day | Reporting ends | Berichtsende | Fin des rapports | date_stop
            impressions count | Impressions | Impressionen | 展示次数
            clicks count | Link clicks | Link-Klicks | Clics sur un lien | inline_link_clicks | Clicks (all)
            orders money | Purchases | Website purchases | Käufe | Achats | 购物次数
            value money | Purchases conversion value | Website purchases conversion value | Purchase conversion value | Conversion-Wert von Käufen | Valeur de conversion des achats
            region word | Region | Country | Land | Pays
            currency word | Currency | account_currency
        """,
        ignored="""Ad set name | Ad name | Reach | Frequency | Results | Result indicator | Cost per results | CPM | CTR | ROAS
            | Purchase ROAS (return on ad spend) | Reporting starts | Anzeigengruppenname | Reichweite | Ad ID | account_id | ad_id | reach""",
        shape=_shape("meta_ads"),
        has_footers=True,
    ),
    Adapter(
        kind="tiktok-ads",
        title="TikTok › Ads report",
        gives=("ad_spend",),
        columns="""
            day_on! day | Date | By Day | Day | stat_time_day
            spend! money | Cost | Total cost | spend
            campaign text | Campaign name | Ad Group Name | Ad Name
            impressions count | Impressions
            clicks count | Clicks (destination) | Clicks
            orders money | Complete Payment | Purchases (website) | Conversions
            value money | Total Purchase Value | Total complete payment value | Purchase value (website)
            currency word | Currency
        """,
        ignored="Ad Name | Conversions | CTR | CPC | CPM | CVR",
        shape=_shape("tiktok_ads"),
        signature="Complete Payment | Total Purchase Value | Total complete payment value | stat_time_day",
        has_footers=True,
    ),
    Adapter(
        kind="wanxiangtai",
        title="万相台 › 报表",
        gives=("ad_spend",),
        columns="""
            day_on! day | 日期 | 统计日期
            spend! money | 花费 | 消耗 | 花费(元)
            campaign text | 场景 | 场景名字 | 计划名称 | 计划名字
            impressions count | 展现量
            clicks count | 点击量
            orders money | 总成交笔数
            value money | 总成交金额 | 总成交金额(元)
        """,
        ignored="投入产出比 | 总购物车数 | 成交人数 | 点击率 | 平均点击花费 | 千次展现花费 | 直接成交金额 | 间接成交金额 | 收藏宝贝数 | 总收藏数",
        shape=_shape("wanxiangtai"),
        signature="总成交金额 | 展现量",
        zone="Asia/Shanghai",
        has_footers=True,
    ),
)
