"""The tables every chapter shares, each defined once: counted sales, booked refunds,
customer days, sku days. Their columns are described in `tables.yaml`.

*Counted* orders are those whose status the shop's policy counts (by default paid,
shipped, done and refunded; test orders never). *Contribution margin* of an order is
revenue less cost of goods, payment and platform fees, and fulfilment net of the shipping
charged; a refund takes its amount back and returns the goods' cost when the goods came
back. A margin is missing where a cost is not known; it is never a guess.
"""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path

import ibis
import pandas as pd
from ibis import Table, Value, _

from playbook.messages import read_yaml
from playbook.store.contract import KINDS, MONEY, TABLES
from playbook.store.shop import Store, distinct_rows
from playbook.store.trading import shop_closures
from playbook.tables import schema

__all__ = [
    "DERIVED",
    "STEPS",
    "booked_refunds",
    "customer_days",
    "lookback_days",
    "order_money",
    "sales_lines",
    "sales_orders",
    "sku_days",
]

ZERO = ibis.literal(0).cast(MONEY)
# days after the log's start in which a first order may not be the first
LOOKBACK_SHARE, LEAST_LOOKBACK, MOST_LOOKBACK = 0.9, 60, 365
# a location counted on fewer of the days is a slow one; its count holds so many days at most
SLOW_SHARE, MOST_HELD = 0.5, 31
RATES = ("payment_share", "platform_share", "fulfilment_per_order")


def _money(value: Value) -> Value:
    # by way of the wider type: Ibis takes a product or a sum of money for money and
    # leaves a plain cast out, and the engine would carry 128-bit numbers through every
    # join and sort that follows
    return value.cast("decimal(38, 6)").cast(MONEY)


def _times(quantity: Value, money: Value) -> Value:
    # whole numbers without decimals: the engine gives a product the decimals of both, and
    # twelve of them leave room for nine million only
    return _money(quantity.cast("decimal(12, 0)") * money)


def _whole(value: Value) -> Value:
    # the engine's sum of whole numbers is 128 bits wide too
    return value.cast("decimal(38, 0)").cast("int64")


def _shown(table: Table, name: str, *order: str) -> Table:
    """The table's columns as `tables.yaml` lists them, sorted."""
    return table.select(*schema(f"store.{name}").names).order_by(*order)


def _counted(shop: Store) -> Table:
    orders = shop.orders.filter(_.status.isin(list(shop.counted_statuses)))
    return orders.filter(_.is_test.fill_null(False) == ibis.literal(False))


def _cost_rate(shop: Store, orders: Table, kind: str) -> Table:
    """order_id, <kind>: the rate in force on the day of the order; the order's own
    channel before `all`.
    """
    rates = shop.cost_rates.filter(_.kind == kind).select(
        "from_on",
        "value",
        rate_scope=_.scope,
    )
    both = orders.select("order_id", "ordered_on", "channel").inner_join(
        rates,
        [
            _.ordered_on >= rates.from_on,
            (rates.rate_scope == "all") | (rates.rate_scope == _.channel),
        ],
    )
    newest = both.group_by("order_id").aggregate(
        own=both.value.argmax(both.from_on, where=both.rate_scope != "all"),
        every=both.value.argmax(both.from_on, where=both.rate_scope == "all"),
    )
    return newest.select("order_id", **{kind: newest.own.fill_null(newest.every)})


def _line_money(shop: Store) -> Table:
    """Every line of the log, uncut, with its money."""
    lines = shop.uncut["order_lines"]
    unit_cost = lines.unit_cost
    if shop.has("products.unit_cost"):
        products = shop.products.select("sku", present_cost=_.unit_cost)
        lines = lines.left_join(products, "sku").drop("sku_right")
        unit_cost = lines.unit_cost.fill_null(lines.present_cost)
    is_product = _is_product(shop, lines)
    gross = _times(lines.quantity, lines.price)
    return lines.mutate(
        is_product=is_product,
        is_gift=lines.price == ZERO,
        discount=lines.discount.fill_null(ZERO),
        gross=gross,
        revenue=_money(gross - lines.discount.fill_null(ZERO)),
        unit_cost=unit_cost,
        cost=(unit_cost.isnull() & ~is_product).ifelse(ZERO, _times(lines.quantity, unit_cost)),
    )


def _is_product(shop: Store, lines: Table) -> Value:
    """False for lines that are no goods: where the field says so, or the sku or title is
    one of `non_products.yaml`; shop.yaml (`products`, `non_products`) has the last word.
    """
    codes, titles = (_non_products()[name] for name in ("codes", "titles"))
    stated = {n: [str(s) for s in shop.settings.get(n) or []] for n in ("products", "non_products")}
    sku = lines.sku.fill_null("")
    code, title = sku.strip().upper(), lines.title.fill_null(sku).strip().lower()
    is_known = code.isin(codes) | title.isin(titles)
    is_product = lines.is_product.fill_null(True) & ~is_known
    is_product = is_product | sku.isin(stated["products"]) if stated["products"] else is_product
    hidden = stated["non_products"]
    return is_product & ~sku.isin(hidden) if hidden else is_product


@functools.cache
def _non_products() -> dict[str, list[str]]:
    """What lines that are no goods are called, `codes` and `titles`."""
    names = read_yaml(Path(__file__).with_name("non_products.yaml"))
    return {kind: [name.strip() for name in text.split("|")] for kind, text in names.items()}


def order_money(shop: Store) -> Table:
    """One row per order of the log with lines, counted or not: order_id, units,
    n_lines, gross, discount, revenue, known_cost, n_without_cost, is_numbered. What the
    contract's identities, the ledger and every table by order start from: the lines are
    read once. Not cut at as-of (the join with the orders cuts it), not sorted.

    `is_numbered`: the lines are numbered without a gap from 0 or 1, so that no number
    comes twice: n powers of two that add up to a number with n ones in its binary form
    are n different ones. Below 2^53 such sums are exact.
    """
    lines = _line_money(shop)
    power = lines.line_no.between(0, 50).ifelse(
        ibis.literal(2.0) ** lines.line_no, ibis.null("float64")
    )
    orders = (
        lines.mutate(power=power)
        .group_by("order_id")
        .aggregate(
            units=_whole(_.is_product.ifelse(_.quantity, 0).sum()).fill_null(0),
            n_lines=_.count(),
            gross=_money(_.gross.sum()),
            discount=_money(_.discount.sum()),
            revenue=_money(_.revenue.sum()),
            known_cost=_money(_.cost.sum()),
            n_without_cost=_.count() - _.cost.count(),
            powers=_.power.sum(),
        )
    )
    full = ibis.literal(2.0) ** ibis.least(orders.n_lines, 51)
    numbered = (orders.powers == full - 1) | (orders.powers == 2 * full - 2)
    return orders.mutate(is_numbered=((orders.n_lines < 51) & numbered).fill_null(False)).drop(
        "powers"
    )


def sales_lines(shop: Store) -> Table:
    """One row per line of a counted order. revenue = quantity x price - discount; cost
    = quantity x unit_cost, missing where the cost is not known (0 for lines that are
    not products). Sorted by order and line.
    """
    orders = _counted(shop).select(
        "order_id",
        "ordered_at",
        "ordered_on",
        "customer_id",
        "channel",
    )
    # uncut lines: the join with the counted orders cuts them
    lines = _line_money(shop).inner_join(orders, "order_id")
    return _shown(
        lines,
        "sales_lines",
        "order_id",
        "line_no",
    )


def _order_margins(shop: Store) -> Table:
    """One row per counted order with its money and contribution margin."""
    orders = _counted(shop).drop("gross", "discount").inner_join(shop.order_money, "order_id")
    orders = _with_booked_fees(shop, orders)
    payment = orders.payment_fee.fill_null(orders.booked_payment)
    platform, freight = orders.booked_platform, orders.shipping_cost
    freight = freight.fill_null(orders.booked_fulfilment)
    if shop.has("cost_rates"):
        for kind in RATES:
            rate = _cost_rate(shop, _counted(shop), kind)
            orders = orders.left_join(rate, "order_id").drop("order_id_right")
        by_total = _money(orders.payment_share * orders.total.cast("float64"))
        by_revenue = _money(orders.platform_share * orders.revenue.cast("float64"))
        payment = payment.fill_null(by_total)
        platform = platform.fill_null(by_revenue)
        freight = freight.fill_null(_money(orders.fulfilment_per_order))
    platform = platform.fill_null(ZERO)
    charged = freight.isnull().ifelse(ZERO, orders.shipping.fill_null(ZERO))
    orders = orders.mutate(
        cost=(orders.n_without_cost == 0).ifelse(orders.known_cost, ibis.null(MONEY)),
        fulfilment=_money(freight.fill_null(ZERO) - charged),
        fees=_money(payment.fill_null(ZERO) + platform),
    )
    return orders.mutate(
        margin=_money(orders.revenue - orders.cost - orders.fees - orders.fulfilment)
    )


def _with_booked_fees(shop: Store, orders: Table) -> Table:
    """The orders with booked_payment, booked_platform (commission and what else is booked
    on the order) and booked_fulfilment: sums of `fees` up to as-of, missing where none is.
    """
    if not shop.has("fees.order_id"):
        names = ("booked_payment", "booked_platform", "booked_fulfilment")
        return orders.mutate(**{name: ibis.null(MONEY) for name in names})
    fees = shop.fees.filter(_.order_id.notnull())
    is_kind = {kind: fees.kind == kind for kind in ("payment", "fulfilment")}
    is_kind["platform"] = ~(is_kind["payment"] | is_kind["fulfilment"])
    sums = {
        f"booked_{kind}": _money(fees.amount.sum(where=where)) for kind, where in is_kind.items()
    }
    by_order = fees.group_by("order_id").aggregate(**sums)
    return orders.left_join(by_order, "order_id").drop("order_id_right")


def sales_orders(shop: Store) -> Table:
    """One row per counted order with its money and contribution margin; `is_first` is
    the customer's first counted order in the whole log, `is_left_truncated` says that
    earlier ones may exist. Sorted by order.
    """
    orders = _order_margins(shop).left_join(_first_orders(shop), "customer_id")
    orders = orders.drop("customer_id_right")
    truncated = ibis.literal(False)
    if shop.truncated_before is not None:
        truncated = (orders.first_on < ibis.literal(shop.truncated_before)).fill_null(False)
    is_first = (orders.order_id == orders.first_order).fill_null(False)
    orders = orders.mutate(is_first=is_first, is_left_truncated=truncated)
    return _shown(orders, "sales_orders", "order_id")


def _first_orders(shop: Store) -> Table:
    """customer_id, first_order, first_on: by grouping, not by a window, which would
    carry every column of every order through a sort.
    """
    known = _counted(shop).filter(_.customer_id.notnull())
    known = known.select(
        "order_id",
        "customer_id",
        "ordered_at",
        "ordered_on",
    )
    began = known.group_by("customer_id").aggregate(
        first_at=_.ordered_at.min(), first_on=_.ordered_on.min()
    )
    first = known.inner_join(began, ["customer_id", known.ordered_at == began.first_at])
    return first.group_by("customer_id").aggregate(
        first_order=_.order_id.min(), first_on=_.first_on.min()
    )


def lookback_days(shop: Store) -> int:
    """Days after the log's start in which a first order may not be the first: the 90th
    percentile of the shop's own gaps between order days, kept within 60 to 365
    (`lookback_days` in shop.yaml overrides).
    """
    if shop.settings.get("lookback_days") is not None:
        return int(shop.settings["lookback_days"])
    known = _counted(shop).filter(_.customer_id.notnull())
    days = distinct_rows(known, "customer_id", "ordered_on")
    before = days.ordered_on.lag().over(ibis.window(group_by="customer_id", order_by="ordered_on"))
    gaps = days.mutate(gap_days=days.ordered_on.delta(before, unit="day")).gap_days
    usual = shop.con.execute(gaps.quantile(LOOKBACK_SHARE))
    return int(min(max(MOST_LOOKBACK if pd.isna(usual) else usual, LEAST_LOOKBACK), MOST_LOOKBACK))


def booked_refunds(shop: Store) -> Table:
    """One row per refund that reaches revenue: linked to a counted order, or not linked
    at all. `refunded_on` falls back to the day of the order where the export gave none
    (`is_date_known` false). Sorted by refund.
    """
    if shop.get("refunds") is None:
        return _no_refunds(shop)
    linked = _linked_refunds(shop)
    knows_costs = shop.has("order_lines.unit_cost") or shop.has("products.unit_cost")
    margin = ibis.null(MONEY)
    if knows_costs:
        back = (linked.kind == "return").ifelse(_goods_back(linked), ZERO).fill_null(ZERO)
        margin = _money(back - linked.amount - _handling(shop, linked))
    booked = linked.select(
        "refund_id",
        "order_id",
        "line_no",
        customer_id=linked.customer_id.fill_null(linked.order_customer),
        sku=linked.sku,
        channel=linked.order_channel,
        refunded_on=linked.refunded_on.fill_null(linked.ordered_on),
        is_date_known=linked.refunded_on.notnull(),
        ordered_on=linked.ordered_on,
        amount=linked.amount,
        quantity=linked.quantity,
        kind=linked.kind,
        reason=linked.reason,
        margin=margin,
    )
    return booked.filter(_.refunded_on.notnull()).order_by("refund_id")


def _no_refunds(shop: Store) -> Table:
    """The table of booked refunds without rows."""
    kinds = {c.name: KINDS[c.type].ibis for c in TABLES["refunds"].columns}
    kinds |= {
        "channel": "string",
        "ordered_on": "date",
        "is_date_known": "boolean",
    }
    kinds |= {"margin": MONEY}
    columns = {c: ibis.null(kinds[c]) for c in schema("store.booked_refunds").names}
    return shop.orders.filter(ibis.literal(False)).select(**columns)


def _linked_refunds(shop: Store) -> Table:
    """Refunds with their order, line and cost; those of orders that do not count are
    left out.
    """
    orders = shop.orders.select(
        "order_id", "ordered_on", order_customer=_.customer_id, order_channel=_.channel
    )
    counted = _counted(shop).select("order_id").mutate(is_counted=True)
    lines = shop.sales_lines.select(
        "order_id",
        "line_no",
        line_sku=_.sku,
        line_unit=_.unit_cost,
        line_cost=_.cost,
        line_revenue=_.revenue,
    )
    priced = shop.sales_lines.filter(_.cost.notnull() & _.sku.notnull())
    mean_cost = (_.cost.sum().cast("float64") / _.quantity.sum()).cast(MONEY)
    costs = priced.group_by("sku").aggregate(sku_cost=mean_cost)
    bought = priced.group_by("order_id", "sku").aggregate(bought_cost=mean_cost)
    whole = shop.order_money.select(
        "order_id",
        order_revenue=_.revenue,
        order_cost=(_.n_without_cost == 0).ifelse(_.known_cost, ibis.null(MONEY)),
    )
    refunds = shop.refunds.left_join(orders, "order_id").drop("order_id_right")
    refunds = refunds.left_join(counted, "order_id").drop("order_id_right")
    refunds = refunds.left_join(lines, ["order_id", "line_no"])
    refunds = refunds.drop("order_id_right", "line_no_right")
    refunds = refunds.mutate(sku=refunds.sku.fill_null(refunds.line_sku))
    refunds = refunds.left_join(bought, ["order_id", "sku"]).drop("order_id_right", "sku_right")
    refunds = refunds.left_join(whole, "order_id").drop("order_id_right")
    refunds = refunds.left_join(costs, "sku").drop("sku_right")
    return refunds.filter(refunds.order_id.isnull() | refunds.is_counted)


def _goods_back(refunds: Table) -> Value:
    """What the goods of a return had cost: the units returned at the cost of their line,
    else of that sku in the same order, else of the sku on average. Where the source
    counts no units, the cost of the line, or of the whole order, by the share of its
    money that went back.
    """

    def part(cost: Value, revenue: Value) -> Value:
        share = refunds.amount.cast("float64") / revenue.cast("float64").nullif(0.0)
        return _money(cost.cast("float64") * ibis.least(share, 1.0))

    unit = ibis.coalesce(
        refunds.line_unit,
        refunds.bought_cost,
        refunds.sku_cost,
    )
    by_line = part(refunds.line_cost, refunds.line_revenue)
    by_order = part(refunds.order_cost, refunds.order_revenue)
    is_whole = refunds.line_no.isnull() & refunds.sku.isnull()
    by_order = is_whole.ifelse(by_order, ibis.null(MONEY))
    return ibis.coalesce(_times(refunds.quantity, unit), by_line, by_order)


def _handling(shop: Store, refunds: Table) -> Value:
    """What a returned unit costs the shop, by its newest rate; 0 where none is stated."""
    if not shop.has("cost_rates"):
        return ZERO
    rates = shop.cost_rates.filter((_.kind == "return_per_unit") & (_.scope == "all"))
    newest = rates.aggregate(rate=rates.value.argmax(rates.from_on))
    rate = shop.con.execute(newest)["rate"].iloc[0]
    if pd.isna(rate):
        return ZERO
    return _times(refunds.quantity.fill_null(0), ibis.literal(float(rate)).cast(MONEY))


def customer_days(shop: Store) -> Table:
    """One row per known customer and day with an order or a refund: orders, units,
    revenue, margin (net of what was refunded that day; orders = 0 on a day with refunds
    only; margin missing where a cost is). Sorted by both.
    """
    sold = (
        _order_margins(shop)
        .filter(_.customer_id.notnull())
        .select(
            "customer_id",
            day_on=_.ordered_on,
            orders=ibis.literal(1, "int64"),
            units=_.units,
            revenue=_.revenue,
            margin=_.margin,
        )
    )
    back = shop.booked_refunds.filter(_.customer_id.notnull()).select(
        "customer_id",
        day_on=_.refunded_on,
        orders=ibis.literal(0, "int64"),
        units=ibis.literal(0, "int64"),
        revenue=_money(-_.amount),
        margin=_.margin,
    )
    days = (
        sold.union(back)
        .group_by("customer_id", "day_on")
        .aggregate(
            orders=_.orders.sum(),
            units=_.units.sum(),
            revenue=_money(_.revenue.sum()),
            known_margin=_money(_.margin.sum()),
            n_unknown=_.margin.isnull().sum(),
        )
    )
    return (
        days.mutate(margin=(_.n_unknown == 0).ifelse(_.known_margin, ibis.null(MONEY)))
        .drop("known_margin", "n_unknown")
        .order_by("customer_id", "day_on")
    )


def sku_days(shop: Store) -> Table:
    """One row per sku and day from its launch (or first sale) to as-of. `units` is
    missing where nothing was sold and the shop was closed or nothing was free to sell:
    that is not demand. `units` sold on a day that ended so are a lower bound
    (`is_stocked` false). margin is goods margin (before fees and fulfilment). Sorted by
    both.
    """
    sold = _sold_days(shop)
    days = _days_on_sale(shop, sold).left_join(sold, ["sku", "day_on"])
    days = _with_stock(shop, days.drop("sku_right", "day_on_right"))
    days = days.mutate(is_on_promo=_.has_promo.fill_null(False))
    if shop.has("promotions"):
        days = _with_calendar_promotions(shop, days)
    could_sell = days.is_trading & days.is_stocked.fill_null(True)
    is_zero = could_sell & days.units.isnull()
    price_paid = (days.units > 0).ifelse(
        days.revenue.cast("float64") / days.units, ibis.null("float64")
    )
    days = days.mutate(
        units=is_zero.ifelse(0, days.units),
        orders=is_zero.ifelse(0, days.orders),
        buyers=is_zero.ifelse(0, days.buyers),
        revenue=is_zero.ifelse(ZERO, days.revenue),
        margin=is_zero.ifelse(ZERO, days.margin),
        price_paid=price_paid.cast(MONEY),
    )
    return _shown(
        days,
        "sku_days",
        "sku",
        "day_on",
    )


def _sold_days(shop: Store) -> Table:
    """One row per sku and day with a sale. Buyers and orders are counted by grouping in
    steps: the engine's exact distinct counts cost twice as much.
    """
    lines = shop.sales_lines.filter(_.is_product & _.sku.notnull())
    lines = lines.select(
        "sku",
        "order_id",
        "revenue",
        "cost",
        "promo_id",
        "quantity",
        day_on=_.ordered_on,
        buyer=_.customer_id.fill_null(_.order_id),
    )
    bought = distinct_rows(lines, "sku", "day_on", "buyer", "order_id")
    bought = bought.group_by("sku", "day_on", "buyer").aggregate(n=_.count())
    bought = bought.group_by("sku", "day_on").aggregate(orders=_.n.sum(), buyers=_.count())
    sold = lines.group_by("sku", "day_on").aggregate(
        units=lines.quantity.sum(),
        revenue=_money(lines.revenue.sum()),
        known_margin=_money(lines.revenue.sum() - lines.cost.sum()),
        n_unknown=lines.count() - lines.cost.count(),
        has_promo=lines.promo_id.notnull().any(),
    )
    sold = sold.inner_join(bought, ["sku", "day_on"])
    return sold.mutate(margin=(sold.n_unknown == 0).ifelse(sold.known_margin, ibis.null(MONEY)))


def _days_on_sale(shop: Store, sold: Table) -> Table:
    """sku, day_on, is_trading: every day of a sku from its launch or first sale."""
    births = sold.group_by("sku").aggregate(first_sale=sold.day_on.min())
    born = births.first_sale
    if shop.has("products.launched_on"):
        births = births.outer_join(shop.products.select("sku", "launched_on"), "sku")
        births = births.mutate(sku=births.sku.fill_null(births.sku_right))
        born = ibis.least(births.first_sale, births.launched_on)
    births = births.select("sku", born=ibis.greatest(born, ibis.literal(shop.observed_from)))
    calendar = _calendar(shop)
    days = births.filter(_.born.notnull()).inner_join(calendar, calendar.day_on >= births.born)
    return days.select("sku", "day_on", "is_trading")


def _with_stock(shop: Store, days: Table) -> Table:
    """on_hand and is_stocked: what is promised to orders or damaged lies there and
    cannot be sold.
    """
    if not shop.has("stock"):
        return days.mutate(on_hand=ibis.null("int64"), is_stocked=ibis.null("boolean"))
    promised = _.committed.fill_null(0) + _.unsellable.fill_null(0)
    stock = shop.stock.mutate(free=_.available.fill_null(_.on_hand - promised))
    stock = stock.select(
        "sku",
        "day_on",
        "location",
        "on_hand",
        "free",
    )
    stock = _every_day(shop, stock.mutate(location=_.location.fill_null("main")))
    held = stock.group_by("sku", "day_on").aggregate(on_hand=_.on_hand.sum(), free=_.free.sum())
    days = days.left_join(held, ["sku", "day_on"]).drop("sku_right", "day_on_right")
    return days.mutate(is_stocked=(_.free > 0))


def _every_day(shop: Store, stock: Table) -> Table:
    """The counts with those of locations that count less often than others held until
    their next count, `MOST_HELD` days at most: what lies in the slow one is on hand on
    the days in between.
    """
    by_place = stock.group_by("location").aggregate(n=_.day_on.nunique())
    counted = shop.con.execute(by_place.order_by("location"))
    slow = list(counted.location[counted.n < SLOW_SHARE * counted.n.max()])
    if not slow:
        return stock
    kept, seldom = (
        stock.filter(where) for where in (~_.location.isin(slow), _.location.isin(slow))
    )
    following = ibis.window(group_by=["sku", "location"], order_by="day_on")
    seldom = seldom.mutate(next_on=seldom.day_on.lead().over(following))
    most = seldom.day_on + ibis.interval(days=MOST_HELD)
    seldom = seldom.mutate(until=ibis.least(seldom.next_on.fill_null(most), most))
    days = _calendar(shop).select(on="day_on")
    held = seldom.inner_join(days, [days.on >= seldom.day_on, days.on < seldom.until])
    held = held.select(
        "sku",
        "location",
        "on_hand",
        "free",
        day_on="on",
    )
    return kept.union(held.select(*kept.columns))


def _calendar(shop: Store) -> Table:
    """Every day of the log up to as-of, and whether the shop was open: a quiet day
    without an order is a trading day, a closed one is not (see `trading`).
    """
    start, stop = (
        ibis.timestamp(str(day)) for day in (shop.observed_from, shop.as_of + dt.timedelta(days=1))
    )
    every = ibis.range(start, stop, ibis.interval(days=1)).unnest().name("at").as_table()
    every = every.select(day_on=_.at.cast("date"))
    shut = shop_closures(shop)
    is_closed = every.day_on.day_of_week.index().isin(shut.weekdays or (-1,))
    if shut.stated:
        is_closed |= every.day_on.isin([day.date() for day in shut.stated])
    for first, last in shut.runs:
        is_closed |= every.day_on.between(ibis.literal(first.date()), ibis.literal(last.date()))
    return every.mutate(is_trading=~is_closed)


def _with_calendar_promotions(shop: Store, days: Table) -> Table:
    promos = shop.promotions.filter(_.starts_on <= ibis.literal(shop.as_of))
    listed = promos.filter(_.skus.notnull()).mutate(sku=_.skus.split(" ").unnest())
    marked = listed.select("sku", "starts_on", "ends_on")
    hit = days.select("sku", "day_on").inner_join(
        marked,
        [days.sku == marked.sku, days.day_on >= marked.starts_on, days.day_on <= marked.ends_on],
    )
    hit = distinct_rows(hit, "sku", "day_on").mutate(is_listed=True)
    every = promos.filter(_.skus.isnull()).select("starts_on", "ends_on")
    days = days.left_join(hit, ["sku", "day_on"]).drop("sku_right", "day_on_right")
    whole = _calendar(shop).select("day_on")
    shopwide = whole.inner_join(
        every, [whole.day_on >= every.starts_on, whole.day_on <= every.ends_on]
    )
    shopwide = distinct_rows(shopwide, "day_on").mutate(is_shopwide=True)
    days = days.left_join(shopwide, "day_on").drop("day_on_right")
    return days.mutate(
        is_on_promo=_.is_on_promo | _.is_listed.fill_null(False) | _.is_shopwide.fill_null(False)
    )


DERIVED = {
    f.__name__: f for f in (sales_lines, sales_orders, booked_refunds, customer_days, sku_days)
}
# on the way to them: kept beside, read by no chapter
STEPS = {"order_money": order_money}
