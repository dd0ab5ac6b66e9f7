"""01 Market research: own growth is not the market's, concentration, season, personas,
mix, small bases.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
from ibis import _

from playbook.chapters.market_research.market import concentration, price_mix, with_category
from playbook.chapters.market_research.personas import personas
from playbook.chapters.market_research.published_series import newest_vintage
from playbook.methods.seasonal_index import seasonal_index
from playbook.training.compare import same
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]


@functools.cache
def sellers(shop: Any) -> pd.DataFrame:
    """The category with the largest estimated sales, newest twelve months: category,
    seller, sales (mid estimate).
    """
    table = shop.competitors.to_pandas().astype({"sales_low": float, "sales_high": float})
    table = table[table.month > str(pd.Period(table.month.max(), "M") - 12)]
    table = table.assign(sales=(table.sales_low + table.sales_high) / 2)
    largest = table.groupby("category").sales.sum().idxmax()
    mine = (
        table[table.category == largest].groupby(["category", "seller"]).sales.sum().reset_index()
    )
    return mine.sort_values("sales", ascending=False, ignore_index=True)


def market_hhi(shop: Any) -> float:
    category = sellers(shop).category.iloc[0]
    return float(concentration(shop.competitors).set_index("category").hhi[category])


def _largest_share(shop: Any, n: int) -> float:
    sales = sellers(shop).sales
    return float(sales.head(n).sum() / sales.sum())


@functools.cache
def persona_table(shop: Any) -> pd.DataFrame:
    """persona, label, customers, revenue of the last whole log; the row `guests` holds
    revenue without a customer.
    """
    lines = with_category(shop.sales_lines, shop.get("products"))
    found = personas(lines, shop.sales_orders, n_resamples=0).described
    sums = shop.con.execute(
        shop.sales_orders.aggregate(
            known=_.revenue.sum(where=_.customer_id.notnull()).cast("float64"),
            guests=_.revenue.sum(where=_.customer_id.isnull()).cast("float64"),
        )
    ).iloc[0]
    if len(found) < 2:
        raise NotApplicable("Only one kind of buyer can be told apart here.")
    table = found.assign(revenue=found.revenue_share * sums.known)[
        ["persona", "label", "customers", "revenue"]
    ]
    guests = pd.DataFrame([{"persona": "guests", "label": "", "revenue": sums.guests}])
    return pd.concat([table, guests], ignore_index=True)


def first_persona_share(shop: Any) -> float:
    people = persona_table(shop).query("persona != 'guests'")
    return people.revenue.iloc[0] / people.revenue.sum()


@functools.cache
def market_months(shop: Any) -> pd.DataFrame:
    """A published monthly series as it stood in the middle of its last peak month:
    month, amount; the last row is that month with a third of its amount.
    """
    series, _factor = newest_vintage(shop.market_series.to_pandas(), "")
    if series.period_on.diff().median().days > 40:
        raise NotApplicable("The published series is not monthly.")
    table = pd.DataFrame(
        {"month": series.period_on.dt.strftime("%Y-%m"), "amount": series.value.astype(float)}
    )
    peak = seasonal_index(table).set_index("month_no")["index"].idxmax()
    table = table.iloc[: table.index[table.month.str[5:].astype(int) == peak][-1] + 1].reset_index(
        drop=True
    )
    table.loc[table.index[-1], "amount"] /= 3
    return table


def peak_index(shop: Any) -> float:
    whole = market_months(shop).iloc[:-1]
    return seasonal_index(whole)["index"].max()


def _plain_index(table: pd.DataFrame) -> float:
    return (table.groupby(table.month.str[5:]).amount.mean() / table.amount.mean()).max()


@functools.cache
def _lines(shop: Any) -> Any:
    if not shop.has("products.category"):
        raise NotApplicable("Products have no category here.")
    return with_category(shop.sales_lines, shop.products)


def same_mix_change(shop: Any) -> float:
    lines = with_category(shop.sales_lines, shop.products)
    return float(price_mix(lines, as_of=shop.as_of, months=3).same_mix.iloc[0])


@functools.cache
def unit_prices(shop: Any) -> pd.DataFrame:
    """Three months and the same three a year before, by category: units and revenue of
    both periods.
    """
    last = pd.Period(shop.month, freq="M")
    now, before = ([str(last - back - k) for k in range(3)] for back in (0, 12))
    lines = _lines(shop).mutate(month=_.ordered_on.strftime("%Y-%m"))
    if str(pd.Period(pd.Timestamp(shop.observed_from), freq="M")) > min(before):
        raise NotApplicable("The log does not hold the same months a year before.")
    lines = lines.filter(_.month.isin(now + before)).mutate(
        part=_.month.isin(now).ifelse("now", "before")
    )
    sums = lines.group_by("category", "part").aggregate(
        units=_.quantity.sum().cast("float64"), revenue=_.revenue.sum().cast("float64")
    )
    wide = (
        shop.con.execute(sums.order_by("category", "part"))
        .pivot(index="category", columns="part")
        .fillna(0.0)
    )
    wide.columns = [f"{name}_{part}" for name, part in wide.columns]
    return wide.reset_index()


def _mean_price_change(shop: Any) -> float:
    table = unit_prices(shop)
    return (table.revenue_now.sum() / table.units_now.sum()) - (
        table.revenue_before.sum() / table.units_before.sum()
    )


def _unweighted_change(shop: Any) -> float:
    table = unit_prices(shop)
    return (table.revenue_now / table.units_now - table.revenue_before / table.units_before).mean()


@functools.cache
def category_table(shop: Any) -> pd.DataFrame:
    """By category: three whole months before the report month and the same a year
    before (revenue, orders of both), the first half of the report month (`running`) and
    the whole of that month a year before (`running_before`). Two things are made up:
    the row `novelties`, a tiny new group, and a promotion in the first half of the
    report month that lifts `running` of the category that grew least.
    """
    last = pd.Period(shop.month, freq="M")
    spans = {
        "revenue": [str(last - k) for k in (1, 2, 3)],
        "revenue_before": [str(last - k) for k in (13, 14, 15)],
        "running": [str(last)],
        "running_before": [str(last - 12)],
    }
    if str(pd.Period(pd.Timestamp(shop.observed_from), freq="M")) > spans["revenue_before"][-1]:
        raise NotApplicable("The log does not hold the same months a year before.")
    lines = _lines(shop).mutate(month=_.ordered_on.strftime("%Y-%m"))
    is_in = {name: lines.month.isin(months) for name, months in spans.items()}
    is_in["running"] = is_in["running"] & (lines.ordered_on.day() <= 15)
    sums = {name: _.revenue.sum(where=where).cast("float64") for name, where in is_in.items()}
    sums |= {
        "orders": _.order_id.nunique(where=is_in["revenue"]),
        "orders_before": _.order_id.nunique(where=is_in["revenue_before"]),
    }
    table = shop.con.execute(
        lines.group_by("category").aggregate(**sums).order_by("category")
    ).fillna(0.0)
    small = {
        "category": "novelties",
        "revenue": 90.0,
        "revenue_before": 9.0,
        "orders": 4,
        "orders_before": 1,
        "running": 5.0,
        "running_before": 9.0,
    }
    table = table[(table.orders_before >= 10) & (table.orders >= 10)]
    table = table.reset_index(drop=True)
    if len(table) < 2:
        raise NotApplicable("Fewer than two categories have ten orders on both sides.")
    least = (table.revenue / table.revenue_before).idxmin()
    table.loc[least, "running"] = (
        3
        * (table.running / table.running_before.clip(lower=1.0)).max()
        * max(table.running_before[least], 1.0)
    )
    return pd.concat([table, pd.DataFrame([small])], ignore_index=True)


def best_growing(shop: Any) -> str:
    table = category_table(shop)
    enough = table[(table.orders >= 10) & (table.orders_before >= 10)].set_index("category")
    return (enough.revenue / enough.revenue_before).idxmax()


def _by_running(shop: Any) -> str:
    table = category_table(shop).query("orders >= 10").set_index("category")
    return (table.running / table.running_before.where(table.running_before > 0)).idxmax()


EXERCISES = (
    Exercise(
        "01.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Whose growth is it?", "是谁的增长？"),
        prompt=Said(
            "The shop's sales grew by a fifth in a year. What do you know about its market?",
            "店铺销售一年增长五分之一。关于市场你知道什么？",
        ),
        solve=lambda shop: "c",
        choices={
            "a": Said("it grew by about a fifth too", "市场也增长约五分之一"),
            "b": Said(
                "it grew less, or the shop would not have grown so much",
                "市场增长较少，否则店铺不会长这么多",
            ),
            "c": Said("nothing yet: that takes a figure of the market", "还不知道：需要市场的数据"),
        },
        slips=(
            Slip(
                "own growth read as the market's",
                lambda shop: "a",
                Said(
                    "Own sales are what the shop did with the market, not the market. It may have gained or lost "
                    "share while growing.",
                    "自己的销售是店铺在市场中的表现，不是市场本身。增长时份额可能上升也可能下降。",
                ),
            ),
            Slip(
                "guessed lower",
                lambda shop: "b",
                Said(
                    "That may be, or the market doubled and the shop lost half its share. Nothing here decides it.",
                    "也许如此；也可能市场翻倍而店铺丢了一半份额。这里无从判断。",
                ),
            ),
        ),
        hints=(
            Said(
                "Which table of the store is about anybody but this shop?", "哪张表讲的不是这家店？"
            ),
            Said("`market_series` and `competitors`.", "`market_series` 和 `competitors`。"),
        ),
        terms=("market research", "industry trend"),
    ),
    Exercise(
        "01.2",
        level="L2",
        kind="fill",
        part="definitions",
        title=Said("Concentration", "集中度"),
        prompt=Said(
            '`given("01.2")` lists the sellers of the largest category with their sales. What is its HHI, '
            "between 0 and 1?",
            '`given("01.2")` 列出最大品类的卖家及其销售额。HHI 是多少（0到1之间）？',
        ),
        solve=market_hhi,
        given=sellers,
        slips=(
            Slip(
                "shares in percent",
                lambda shop: 10_000 * market_hhi(shop),
                Said(
                    "Your shares were in percent: that scale ends at 10,000. The playbook's ends at 1.",
                    "你用的是百分数份额，那种标度最大一万。本书的最大为1。",
                ),
            ),
            Slip(
                "shares added up",
                lambda shop: _largest_share(shop, 5),
                Said(
                    "That adds shares up: of the five largest (cr5), or of all, which is one. HHI squares each share "
                    "of every seller before adding, so that large ones weigh more.",
                    "这是把份额直接相加：前五名（cr5），或全部（等于一）。HHI 先把每个卖家的份额平方再相加，大的更重"
                    "。",
                ),
                matches=lambda shop, answer: (
                    same(1.0, answer) or same(_largest_share(shop, 5), answer)
                ),
            ),
            Slip(
                "largest share",
                lambda shop: _largest_share(shop, 1),
                Said("That is the leader's share alone.", "那只是第一名的份额。"),
            ),
        ),
        hints=(
            Said("Share = sales over the sum of sales.", "份额 = 销售额 ÷ 销售总额。"),
            Said("`(share ** 2).sum()`", "`(share ** 2).sum()`"),
        ),
        reveal=Said(
            "One over HHI is the number of equal sellers that would give the same figure.",
            "HHI 的倒数，是给出同样数值的“等大卖家”个数。",
        ),
        terms=("market concentration (HHI)",),
    ),
    Exercise(
        "01.3",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("A persona's share", "画像的份额"),
        prompt=Said(
            '`given("01.3")` lists the kinds of buyers and, last, the guests. What share of the revenue of '
            "*known customers* comes from P1?",
            '`given("01.3")` 列出各类买家，最后一行是游客。P1 占*已知客户*收入的多大比例？',
        ),
        solve=first_persona_share,
        given=persona_table,
        slips=(
            Slip(
                "share of customers",
                lambda shop: (lambda t: t.customers.iloc[0] / t.customers.sum())(
                    persona_table(shop)
                ),
                Said(
                    "That is P1's share of the heads. Kinds of buyers differ in what they spend: take revenue.",
                    "那是 P1 的人数占比。各类买家花费不同：应取收入。",
                ),
            ),
            Slip(
                "guests included",
                lambda shop: (lambda t: t.revenue.iloc[0] / t.revenue.sum())(persona_table(shop)),
                Said(
                    "The guests are below the line. Nobody knows what kind they are, so they are in no persona and "
                    "not in the base.",
                    "分母含了游客。没人知道他们属于哪类，所以不属于任何画像，也不进分母。",
                ),
            ),
        ),
        hints=(
            Said("Leave the last row out first.", "先去掉最后一行。"),
            Said(
                "Revenue of P1 over the sum of the revenue that is left.",
                "P1 的收入除以剩余行的收入合计。",
            ),
        ),
        terms=("persona", "denominator"),
    ),
    Exercise(
        "01.4",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("The peak of the season", "旺季指数"),
        prompt=Said(
            '`given("01.4")` is a published series; its last month is still running. Change the cell above '
            "so that the trend is taken out and only whole months count. What is the index of the peak month?",
            '`given("01.4")` 是公布的序列，最后一个月还没过完。修改上面的单元格，去掉趋势并只用完整月份。'
            "旺季月份的指数是多少？",
        ),
        solve=peak_index,
        given=market_months,
        slips=(
            Slip(
                "partial month",
                lambda shop: _plain_index(market_months(shop)),
                Said(
                    "The running month is in, with a tenth of its sales, and pulls its own mean down. The trend is "
                    "in as well.",
                    "进行中的月份（只有三分之一）也算进去了，拉低了平均。趋势也还在。",
                ),
            ),
            Slip(
                "no trend removal",
                lambda shop: _plain_index(market_months(shop).iloc[:-1]),
                Said(
                    "A month that lies late in a growing series looks high for that alone. Divide by the mean of the "
                    "twelve months around it: `seasonal_index` does.",
                    "增长序列里靠后的月份自然偏高。应除以其前后十二个月的均值：`seasonal_index` 就这样做。",
                ),
            ),
            Slip(
                "amount",
                lambda shop: market_months(shop).amount.max(),
                Said(
                    "That is an amount. An index compares with an average month; 1 is average.",
                    "那是金额。指数是与平均月份的比，1 为平均。",
                ),
            ),
        ),
        hints=(
            Said("`table.iloc[:-1]` leaves the last row out.", "`table.iloc[:-1]` 去掉最后一行。"),
            Said(
                "`from playbook.methods.seasonal_index import seasonal_index`; its column `index` has a maximum.",
                "`from playbook.methods.seasonal_index import seasonal_index`；取其 `index` 列的最大值。",
            ),
        ),
        reveal=Said(
            "`n_years` beside each index says how many years stand behind it.",
            "每个指数旁的 `n_years` 说明背后有几年数据。",
        ),
        terms=("seasonal index",),
    ),
    Exercise(
        "01.5",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("Did prices rise?", "价格上涨了吗？"),
        prompt=Said(
            "The cell above says how much the mean revenue per unit moved against the same three months a year "
            "before. How much of it, in money per unit, is left when the mix of categories is held the same?",
            "上面的单元格给出单件平均收入与去年同三个月相比的变化。若品类结构不变，其中还剩多少（每件金额）？",
        ),
        solve=same_mix_change,
        given=unit_prices,
        slips=(
            Slip(
                "reads the total",
                _mean_price_change,
                Said(
                    "That is the whole change. Part of it comes from categories selling more or less, not from any "
                    "price.",
                    "那是全部变化。一部分来自各品类卖得多或少，并非价格。",
                ),
            ),
            Slip(
                "averages category changes unweighted",
                _unweighted_change,
                Said(
                    "Every category got the same weight, however few units it sold. Weigh by its share of units, at "
                    "the mean of both periods.",
                    "每个品类权重相同，不管卖多少。应按件数份额加权，取两期平均。",
                ),
            ),
            Slip(
                "the mix part",
                lambda shop: _mean_price_change(shop) - same_mix_change(shop),
                Said(
                    "That is the other part, what the mix did. The question is about what is left.",
                    "那是另一部分，即结构效应。题目问的是剩下的。",
                ),
            ),
        ),
        hints=(
            Said(
                "Price of a category = revenue / units, in each period.",
                "品类单价 = 收入 ÷ 件数，每期分别算。",
            ),
            Said(
                "Weight = the mean of its share of units in both periods.",
                "权重 = 两期件数份额的平均。",
            ),
            Said(
                "`playbook.chapters.market_research.market.price_mix` gives `same_mix` and `mix`.",
                "`playbook.chapters.market_research.market.price_mix` 给出 `same_mix` 和 `mix`。",
            ),
        ),
        terms=("mix effect", "Simpson's paradox"),
    ),
    Exercise(
        "01.6",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("Which category to enter?", "进入哪个品类？"),
        prompt=Said(
            'From `given("01.6")`: which category grew most over whole months, among those with at least ten '
            "orders on both sides?",
            '根据 `given("01.6")`：两期都至少有十笔订单的品类中，按完整月份看哪个增长最快？',
        ),
        solve=best_growing,
        given=category_table,
        slips=(
            Slip(
                "smallest base wins",
                lambda shop: "novelties",
                Said(
                    "From one order to four is a large percentage and no evidence. Ask for ten orders on both sides.",
                    "从一单到四单，百分比很大却没有证据。两期都要至少十单。",
                ),
            ),
            Slip(
                "partial month compared with a full one",
                _by_running,
                Said(
                    "You compared half a month with a whole one. The ranking then says which category sells early in "
                    "the month.",
                    "你拿半个月和整月比。这样的排名只说明谁在月初卖得多。",
                ),
            ),
            Slip(
                "largest",
                lambda shop: category_table(shop).set_index("category").revenue.idxmax(),
                Said(
                    "That is the largest category, not the fastest.",
                    "那是最大的品类，不是增长最快的。",
                ),
            ),
        ),
        hints=(
            Said(
                "`table[(table.orders >= 10) & (table.orders_before >= 10)]`",
                "`table[(table.orders >= 10) & (table.orders_before >= 10)]`",
            ),
            Said(
                "Growth = revenue / revenue_before − 1; leave the running columns alone.",
                "增长 = revenue / revenue_before − 1；不要用 running 两列。",
            ),
        ),
        reveal=Said(
            "Growing is one condition of three: also not concentrated, and margin above the hurdle.",
            "增长只是三个条件之一：还要不集中、毛利高于门槛。",
        ),
        terms=("category planning",),
    ),
)
