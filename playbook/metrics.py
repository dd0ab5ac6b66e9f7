"""The metric dictionary: one definition per metric, used by every notebook and printed with every table by its id.

*Maturity* is the number of days after a period's end before its figure may be judged (`win`: the platform's
attribution window; `h`: the stated horizon; `par`: the shop sets it). `data/METRICS.md` is written from this module.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from ibis import _

from playbook.errors import PlaybookError

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["METRICS", "Metric", "benchmarks", "definitions", "metrics_markdown", "monthly_sales", "months_back"]


@dataclass(frozen=True)
class Metric:
    """One entry: direction ↑ (better high), ↓ (better low) or ↔ (neither alone)."""

    id: str
    name: str
    chinese: str
    formula: str
    grain: str
    unit: str
    direction: str
    maturity: str
    trap: str
    group: str


_TEXT = """
# Sales and value
gmv | Gross merchandise value · 网站成交额 | Σ value of all orders placed, paid or not | day, month | money | ↑ | 0 | counts unpaid and cancelled orders; never compare with net
paid_amount | Paid amount · 支付金额 | Σ paid, postage included, refunds not removed | day, month | money | ↑ | 0 | staged payments count when fully paid (生意参谋)
gross_sales | Gross sales · 销售总额 | Σ price × quantity before tax, shipping, discounts, returns | day, month | money | ↑ | 0 | public pages disagree on cancelled orders: set the status policy (Shopify definition)
net_revenue | Net revenue · 净销售额 | gross − discounts − refunds, on the refund date | day, month | money | ↑ | 0 | a past order's refund lowers *this* month (Shopify)
net_by_order_month | Net revenue by order month · 按下单月净额 | gross − discounts − refunds of those orders | order month | money | ↑ | 60 | still falling until returns mature
total_sales | Total sales · 总销售额 | net + tax + duties + shipping | month | money | ↔ | 0 | not income
orders | Orders · 订单数 | distinct orders in the status policy | day, month | count | ↑ | 0 | split shipments are one order
aov | Average order value · 笔单价 | net revenue / orders | month, channel | money | ↔ | 0 | state whether the top is net or gross − discount
spend_per_buyer | Spend per buyer · 客单价 | paid amount / paying buyers | month | money | ↑ | 0 | not AOV (生意参谋)
units_per_order | Units per order · 连带率 | units / orders | month | ratio | ↔ | 0 | large wholesale orders can dominate: show the median too
discount_share | Discount share · 折扣率 | discounts / gross sales | month | share | ↓ | 0 | Chinese 折扣率 may mean price paid / list price
# Traffic and conversion
visitors | Unique visitors · 访客数 UV | distinct visitors | day | count | ↑ | 4 | do not add across days
sessions | Sessions · 会话数 | visits | day, channel | count | ↑ | 4 | GA4 rewrites up to 3 days
cvr_visitors | Payment conversion · 支付转化率 | paying buyers / visitors | day, month | share | ↑ | 4 | 生意参谋 form
cvr_sessions | Session conversion · 会话转化率 | orders / sessions | day, month | share | ↑ | 4 | Shopify and GA form; smaller
uv_value | Value per visitor · UV价值 | paid amount / visitors = cvr_visitors × spend_per_buyer | month | money | ↑ | 4 | identity is a test
add_to_cart_share | Add-to-cart share · 加购率 | sessions with add / sessions | day, device | share | ↑ | 4 | some exports count units added
cart_abandon_share | Cart abandonment · 弃购率 | 1 − orders / carts | month | share | ↓ | par | cart life must be fixed
step_rate | Funnel step rate · 环节转化率 | reached step k+1 / reached step k | step, segment | share | ↑ | 4 | ordered within one session or one user: say which
free_traffic_share | Free-traffic share · 自然流量占比 | unpaid sessions / sessions | month | share | ↑ | 4 | "direct" hides paid
ctr | Click-through rate · 点击率 | clicks / impressions | campaign | share | ↑ | win | recompute
cpc | Cost per click · 平均点击花费 | spend / clicks | campaign | money | ↓ | win | -
# Channel and acquisition
roas | Return on ad spend · 投入产出比 | attributed revenue / spend | channel, month | ratio | ↑ | win | = Google "Conv. value / cost"; 投入产出比 is this, not ROI
roi | Return on investment · 投资回报率 | (revenue − all costs) / all costs | channel, month | share | ↑ | win + 60 | costs include goods, fees, fulfilment, refunds
be_roas | Break-even ROAS · 盈亏平衡ROAS | 1 / [CM share before ads × (1 − refund share)] | channel | ratio | ↓ | par | 55% gross margin, 3.5% fee, 2% other, 6% refunds → 2.15 (metrictoolbox)
poas | Profit on ad spend · 广告利润回报 | attributed CM before ads / spend | channel | ratio | ↑ | win + 60 | pays when > 1
mer | Marketing efficiency · 整体营销效率 | total revenue / total ad spend | month | ratio | ↑ | 0 | blended; says nothing about a channel
mroas | Marginal ROAS · 边际ROAS | Δ conversion value / Δ spend | channel | ratio | ↑ | win | decide on this, not the average (Google Ads glossary)
ncac | New-customer acquisition cost · 新客获客成本 | acquisition spend (ads + agency + tools) / new customers, same period | channel, month | money | ↓ | win | -
cac_blended | Blended CAC · 综合获客成本 | acquisition spend / all buyers | month | money | ↓ | 0 | flatters; payback looks 30–50% shorter (malicksarr.com)
activation_30d | Activation · 激活率 | new customers or sign-ups with a first (second, stated) order within 30 days / all new | channel, month | share | ↑ | 30 | state which event activates
brand_share | Brand traffic share · 品牌流量占比 | sessions from brand search and direct / sessions | month | share | ↑ | 4 | the measurable end of a long-term brand goal
referral_share | Referral share · 裂变占比 | new customers brought by customers / new customers | month | share | ↑ | win | -
claim_ratio | Platform claim ratio · 平台归因倍数 | Σ platform-claimed orders / store orders | month | ratio | ↔ | win | > 1 proves over-attribution
incremental_roas | Incremental ROAS · 增量ROAS | (treated − counterfactual revenue) / spend | test | ratio | ↑ | test | from a hold-out or geo test only
# Margin, customers, LTV
gm_share | Gross margin share · 毛利率 | (net revenue − COGS) / net revenue | sku, month | share | ↑ | 0 | missing where a cost is missing; print cost coverage
cm | Contribution margin · 边际贡献 | net revenue − COGS − fulfilment − payment and platform fees − return cost (− marketing = CM3) | order, month | money | ↑ | 60 | say CM2 or CM3
breakeven_orders | Break-even orders · 保本单量 | fixed cost / CM per order | month | count | ↓ | 0 | -
new_customers | New customers · 新客数 | customers whose first order is in the period | month | count | ↑ | 0 | left-truncated at the start of the log
repeat_share | Repeat-purchase rate · 复购率 | buyers with ≥ 2 orders in the window / buyers in the window | window | share | ↑ | window | the window is mandatory; "all time" is censored
returning_buyer_share | Returning buyers · 老客占比 | buyers who also paid in the previous 365 days / buyers | month | share | ↔ | 0 | 365-day look-back (Taobao)
annual_repurchase | Annual repurchase · 年复购 | last year's buyers who buy this year / last year's buyers | year | share | ↑ | 365 | < 40% acquisition, 40–60% hybrid, > 60% loyalty mode (Lean Analytics)
retention_k | Month-k retention · 留存率 | cohort customers active in month k / cohort size | cohort, k | share | ↑ | end of month k | blank when unobserved; interval per cell
repeat_by_day | Repeat by day d · 首购后d日复购 | Kaplan–Meier share with 2nd order by day d | cohort | share | ↑ | d | counts the censored correctly
p_alive | Probability alive · 活跃概率 | model P(still buying) at `as_of` | customer | share | ↑ | h | meaningless if nearly all buy once
ltv_h | Lifetime value to h months · 用户生命周期价值 | Σ CM per acquired customer to fixed h (12 or 24) + expected residual; cap 24–36 m | cohort, channel | money | ↑ | h | margin, not revenue (getfairview)
ltv_cac | LTV to CAC · LTV:CAC | ltv_h / ncac, same cohort | channel | ratio | ↑ | h | 3:1 is meant on contribution margin
payback_months | Payback · 回本周期 | first month cumulative CM per acquired customer ≥ ncac | channel, cohort | months | ↓ | until reached | "not yet" is not 0
top20_share | Top-20% share · 头部客户占比 | CM of top 20% customers / CM | month | share | ↔ | 0 | Gini beside it
points_liability | Points liability · 积分负债 | outstanding points × value × (1 − breakage share) | month | money | ↓ | 0 | -
tier_net | Tier net value · 等级净贡献 | incremental member CM − benefit cost | tier | money | ↑ | test | members spend more *before* joining: hold-out needed
# Product, stock, supply
sell_through | Sell-through · 售罄率 | units sold / units received, same batch | batch, season | share | ↑ | par | receipts booked before arrival distort it
active_sku_share | Active-sku rate · 动销率 | skus with a sale / skus in stock, 30 d | category | share | ↑ | 0 | may exceed 1 when sold-out skus leave the bottom
turn | Stock turn · 库存周转率 | COGS / average stock at cost | year | ratio | ↑ | 0 | at cost, not price
doi_days | Days of inventory · 库存周转天数 | 365 / turn; forward form on hand / daily forecast | sku | days | ↔ | 0 | backward and forward forms differ
gmroi | GMROI · 库存毛利回报率 | gross margin / average stock at cost | category | ratio | ↑ | 0 | -
aged_share | Aged stock · 滞销占比 | stock value older than 90 (180) d / stock value | sku | share | ↓ | 0 | -
stockout_share | Stock-out rate · 缺货率 | top-list skus with 0 stock / top-list skus | day | share | ↓ | 0 | -
fill_rate | Fill rate · 订单满足率 | units served from stock / units demanded | sku, month | share | ↑ | 0 | not cycle service
csl | Cycle service level · 周期服务水平 | P(no stock-out in a replenishment cycle) | sku | share | ↑ | 0 | z comes from this
safety_stock | Safety stock · 安全库存 | z·√(L·σ_d² + d̄²·σ_L²) | sku | units | ↔ | 0 | σ of forecast error, lead-time spread included
rop | Reorder point · 再订货点 | d̄·L + safety stock | sku | units | ↔ | 0 | against available + incoming
wape | Forecast error · 预测误差 | Σ|a−f| / Σa ; Σ(f−a) / Σa | class | share | ↓ / ↔ | 0 | always beside naive
abc_xyz | ABC–XYZ · ABC-XYZ分类 | ABC cumulative value 80/95; XYZ = σ/mean of demand | sku | class | ↔ | 0 | XYZ cuts differ by source (10/25, 20/50, 50/100%) and by time bucket
otif | On time in full · 准时足量交付率 | POs on time and complete / POs | supplier | share | ↑ | 0 | -
# Pricing, promotion, experience, experiments, goals
elasticity | Price elasticity · 价格弹性 | d log units / d log price, with interval and number of price points | sku | ratio | ↔ | 0 | too few price points → "not identifiable"
promo_roi | Promotion ROI · 大促投产 | (incremental CM − promotion cost) / promotion cost | promotion | share | ↑ | par | count the discount once: in margin *or* in cost
return_share | Return rate · 退货率 | returned value of orders placed in month m / their value | order month | share | ↓ | 60 | -
refund_share_booked | Refunds booked · 当月退款率 | refunds booked in month / net sales in month | month | share | ↓ | 0 | cash view, moves with past sales
late_share | Late delivery · 延迟率 | delivered after promised / delivered or overdue | month | share | ↓ | par | overdue undelivered orders count
odr | Order defect rate · 订单缺陷率 | orders with negative feedback, claim or chargeback / orders | order month | share | ↓ | 90 | low until time has passed (Amazon Seller Central)
nps | Net promoter score · 净推荐值 | %9–10 − %0–6 | survey | points | ↑ | 0 | interval from n
csat | Satisfaction / shop rating · 满意度 / 店铺动态评分 | positive answers / answers; mean of shop ratings | month | share / stars | ↑ | 0 | responders differ from buyers
first_reply_hours | First response · 首次响应时长 | median first reply − opened | month | hours | ↓ | 0 | open cases are censored
lift | A/B lift · 实验提升 | rate_B / rate_A − 1 with interval | test | share | ↑ | ≥ 14 | SRM check first
n_per_arm | Sample size · 每组样本量 | ≈ 16·p(1−p)/δ², δ absolute | test | count | ↓ | – | 80% power, 5% two-sided
hit_k | Hit at k · 命中率@k | customers whose next item is in the top k / customers | split | share | ↑ | 0 | time split; beside popularity
pair_lift | Pair lift · 提升度 | P(a and b) / (P(a)·P(b)) | pair | ratio | ↑ | 0 | minimum support
hhi | Concentration · 集中度 | Σ share² ; share of top five | market | ratio | ↔ | 0 | own category shares are not the market
seasonality | Seasonal index · 季节指数 | month mean / overall mean after trend | month | ratio | ↔ | 24 months | -
pacing | Pacing index · 进度指数 | actual to date / expected to date by day-of-month profile | day | ratio | ↑ | 0 | linear pacing misleads
p_reach | Feasibility · 目标达成概率 | share of forecast distribution ≥ target | month | share | ↑ | h | interval must be backtested
capacity | Output per person · 人效 | orders (or tickets) / full-time staff | month | ratio | ↔ | 0 | -
"""


def _parsed(text: str) -> dict[str, Metric]:
    found, group = {}, ""
    for line in text.strip().splitlines():
        if line.startswith("# "):
            group = line[2:]
            continue
        cells = [c.strip() for c in line.split(" | ")]
        english, _dot, chinese = cells[1].partition(" · ")
        found[cells[0]] = Metric(cells[0], english, chinese, *cells[2:8], group)
    return found


METRICS: dict[str, Metric] = _parsed(_TEXT)


def definitions(*ids: str) -> pd.DataFrame:
    """One row per metric id: id, name, chinese, formula, unit, maturity, trap. Unknown ids are refused by name."""
    unknown = [i for i in ids if i not in METRICS]
    if unknown:
        raise PlaybookError(f"There is no metric {', '.join(unknown)}", do="see data/METRICS.md for the ids")
    chosen = [METRICS[i] for i in ids or METRICS]
    columns = ["id", "name", "chinese", "formula", "unit", "maturity", "trap"]
    return pd.DataFrame([[getattr(m, c) for c in columns] for m in chosen], columns=columns)


def metrics_markdown() -> str:
    """The dictionary as Markdown, one table per group."""
    out: list[str] = []
    group = ""
    for m in METRICS.values():
        if m.group != group:
            group = m.group
            out += ["", f"## {group}", "", "| id | English | 中文 | formula | grain | unit | dir | mature | note |",
                    "|---|---|---|---|---|---|---|---|---|"]
        cells = (m.id, m.name, m.chinese, m.formula, m.grain, m.unit, m.direction, m.maturity, m.trap)
        out.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(out).strip() + "\n"


def benchmarks() -> pd.DataFrame:
    """The benchmark bands of `data/benchmarks.csv`: metric, segment, low, mid, high, unit, denominator, source, year,
    confidence, caveat. They orient and never pass or fail anything."""
    return pd.read_csv(Path(__file__).resolve().parents[1] / "data" / "benchmarks.csv")


def months_back(month: str, n: int) -> list[str]:
    """The last n months up to and with `month`, oldest first, as `YYYY-MM`."""
    last = pd.Period(month, "M")
    return [str(last - k) for k in range(n - 1, -1, -1)]


def monthly_sales(shop: Store, *, months: int = 37) -> pd.DataFrame:
    """The sales metrics of the dictionary by month, at most `months` back: metric, month, amount, low, high, n, status.

    A month the log does not cover whole is `partial`. Customer metrics count known customers only; they are missing
    where the shop knows none. n is the orders (or buyers) behind the figure.
    """
    orders = shop.sales_orders.mutate(month=_.ordered_on.strftime("%Y-%m"))
    known = orders.customer_id.notnull()
    by_month = orders.group_by("month").aggregate(
        orders=_.count(), gross_sales=_.gross.sum().cast("float64"), discounts=_.discount.sum().cast("float64"),
        sales=_.revenue.sum().cast("float64"), units=_.units.sum().cast("float64"), paid=_.total.sum().cast("float64"),
        buyers=_.customer_id.nunique(), known_orders=known.sum(), known_paid=_.total.sum(where=known).cast("float64"),
        new_customers=(_.is_first & ~_.is_left_truncated).sum(), margin=_.margin.sum().cast("float64"),
        n_unknown=_.margin.isnull().sum())
    table = shop.con.execute(by_month.order_by("month")).set_index("month")
    back = shop.booked_refunds.mutate(month=_.refunded_on.strftime("%Y-%m")).group_by("month").aggregate(
        refunds=_.amount.sum().cast("float64"), refund_margin=_.margin.sum().cast("float64"))
    table = table.join(shop.con.execute(back.order_by("month")).set_index("month"), how="outer")
    placed = shop.orders.mutate(month=_.ordered_on.strftime("%Y-%m")).group_by("month").aggregate(
        gmv=_.total.sum().cast("float64"))
    table = table.join(shop.con.execute(placed.order_by("month")).set_index("month"), how="outer")
    table = table.reindex([m for m in months_back(shop.month, months) if m >= f"{shop.observed_from:%Y-%m}"])
    if shop.has("traffic"):
        visits = shop.traffic.mutate(month=_.day_on.strftime("%Y-%m")).group_by("month").aggregate(
            sessions=_.sessions.sum().cast("float64"))
        table = table.join(shop.con.execute(visits.order_by("month")).set_index("month"))
    refunds = table.refunds.fillna(0.0)
    net = table.sales - refunds
    out = {
        "gmv": (table.gmv, table.orders), "paid_amount": (table.paid, table.orders),
        "gross_sales": (table.gross_sales, table.orders), "net_revenue": (net, table.orders),
        "orders": (table.orders, table.orders), "aov": (net / table.orders, table.orders),
        "units_per_order": (table.units / table.orders, table.orders),
        "discount_share": (table.discounts / table.gross_sales, table.orders),
        "refund_share_booked": ((refunds / table.sales) if shop.has("refunds") else None, table.orders),
        "spend_per_buyer": (table.known_paid / table.buyers, table.buyers),
        "new_customers": (table.new_customers, table.buyers),
        "cm": ((table.margin + table.refund_margin.fillna(0.0)).where(table.n_unknown == 0), table.orders),
    }
    if "sessions" in table:
        out["sessions"] = (table.sessions, table.sessions)
        out["cvr_sessions"] = (table.orders / table.sessions, table.sessions)
    rows = [pd.DataFrame({"metric": metric, "month": table.index, "amount": amount, "n": n})
            for metric, (amount, n) in out.items() if amount is not None]
    found = pd.concat(rows, ignore_index=True)
    if not shop.has("orders.customer_id"):
        found = found[~found.metric.isin(["spend_per_buyer", "new_customers"])]
    found["amount"] = found.amount.astype("float64").replace([float("inf"), float("-inf")], float("nan"))
    first, last = shop.observed_from, min(shop.as_of, shop.observed_to)
    starts = pd.PeriodIndex(found.month, freq="M").start_time.date
    ends = pd.PeriodIndex(found.month, freq="M").end_time.date
    whole = [(first <= a or _starts_with(first, a)) and b <= last for a, b in zip(starts, ends, strict=True)]
    found["status"] = ["unobserved" if pd.isna(a) else "complete" if w else "partial"
                       for a, w in zip(found.amount, whole, strict=True)]
    return found.assign(low=float("nan"), high=float("nan"))[["metric", "month", "amount", "low", "high", "n", "status"]]


def _starts_with(first: dt.date, month_start: dt.date) -> bool:
    """A log whose first order falls within the first three days of a month covers that month."""
    return first.strftime("%Y-%m") == month_start.strftime("%Y-%m") and first.day <= 3
