"""The tables every chapter shares, each defined once: counted sales, booked refunds,
customer days, sku days.

*Counted* orders are those whose status the shop's policy counts (by default paid, shipped, done and refunded; test
orders never). *Contribution margin* of an order is revenue less cost of goods, payment and platform fees, and
fulfilment net of the shipping charged; a refund takes its amount back and returns the goods' cost when the goods came
back. A margin is missing where a cost is not known; it is never a guess.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import ibis
from ibis import _

if TYPE_CHECKING:
    from playbook.store.open import Store

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

MONEY = "decimal(18, 6)"
ZERO = ibis.literal(0).cast(MONEY)


def _money(value: Any) -> Any:
    # by way of the wider type: Ibis takes a product or a sum of money for money and leaves a plain cast out, and the
    # engine would carry 128-bit numbers through every join and sort that follows
    return value.cast("decimal(38, 6)").cast(MONEY)


def _whole(value: Any) -> Any:
    return value.cast("decimal(38, 0)").cast(
        "int64"
    )  # the engine's sum of whole numbers is 128 bits wide too


def _counted(shop: Store) -> ibis.Table:
    orders = shop.orders.filter(_.status.isin(list(shop.counted_statuses)))
    return orders.filter(_.is_test.fill_null(False) == ibis.literal(False))


def _cost_rate(shop: Store, orders: ibis.Table, kind: str) -> ibis.Table:
    """order_id, <kind>: the rate in force on the day of the order; the order's own
    channel before `all`.
    """
    rates = shop.cost_rates.filter(_.kind == kind).select("from_on", "value", rate_scope=_.scope)
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


def _line_money(shop: Store) -> ibis.Table:
    """Every line of the log, uncut, with its money."""
    lines = shop._sources["order_lines"]
    unit_cost = lines.unit_cost
    if shop.has("products.unit_cost"):
        products = shop.products.select("sku", present_cost=_.unit_cost)
        lines = lines.left_join(products, "sku").drop("sku_right")
        unit_cost = lines.unit_cost.fill_null(lines.present_cost)
    is_product = lines.is_product.fill_null(True)
    quantity = lines.quantity.cast(MONEY)
    return lines.mutate(
        is_product=is_product,
        is_gift=lines.price == ZERO,
        discount=lines.discount.fill_null(ZERO),
        gross=_money(quantity * lines.price),
        revenue=_money(_money(quantity * lines.price) - lines.discount.fill_null(ZERO)),
        unit_cost=unit_cost,
        cost=(unit_cost.isnull() & ~is_product).ifelse(ZERO, _money(quantity * unit_cost)),
    )


def order_money(shop: Store) -> ibis.Table:
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


def sales_lines(shop: Store) -> ibis.Table:
    """One row per line of a counted order. revenue = quantity x price - discount; cost
    = quantity x unit_cost, missing where the cost is not known (0 for lines that are
    not products). Sorted by order and line.
    """
    orders = _counted(shop).select("order_id", "ordered_at", "ordered_on", "customer_id", "channel")
    joined = _line_money(shop).inner_join(
        orders, "order_id"
    )  # uncut lines: the join with the counted orders cuts them
    return joined.select(
        "order_id",
        "line_no",
        "ordered_at",
        "ordered_on",
        "customer_id",
        "channel",
        "sku",
        "title",
        "quantity",
        "price",
        "list_price",
        "discount",
        "revenue",
        "unit_cost",
        "cost",
        "is_product",
        "is_gift",
        "promo_id",
    ).order_by("order_id", "line_no")


def _order_margins(shop: Store) -> ibis.Table:
    """One row per counted order with its money and contribution margin."""
    orders = _counted(shop).drop("gross", "discount").inner_join(shop.order_money, "order_id")
    rates = shop.has("cost_rates")
    if rates:
        for kind in ("payment_share", "platform_share", "fulfilment_per_order"):
            found = _cost_rate(shop, _counted(shop), kind)
            orders = orders.left_join(found, "order_id").drop("order_id_right")
    payment = orders.payment_fee
    if rates:
        payment = payment.fill_null(_money(orders.payment_share * orders.total.cast("float64")))
    platform = (
        _money(orders.platform_share * orders.revenue.cast("float64")).fill_null(ZERO)
        if rates
        else ZERO
    )
    freight = (
        orders.shipping_cost.fill_null(_money(orders.fulfilment_per_order))
        if rates
        else orders.shipping_cost
    )
    charged = orders.shipping.fill_null(ZERO)
    orders = orders.mutate(
        cost=(orders.n_without_cost == 0).ifelse(orders.known_cost, ibis.null(MONEY)),
        fulfilment=_money(freight.fill_null(ZERO) - freight.isnull().ifelse(ZERO, charged)),
        fees=_money(payment.fill_null(ZERO) + platform),
    )
    return orders.mutate(
        margin=_money(orders.revenue - orders.cost - orders.fees - orders.fulfilment)
    )


def sales_orders(shop: Store) -> ibis.Table:
    """One row per counted order with its money and contribution margin; `is_first` is
    the customer's first counted order in the whole log, `is_left_truncated` says that
    earlier ones may exist. Sorted by order.
    """
    orders = _order_margins(shop)
    # by grouping, not by a window: a window carries every column of every order through a sort
    seen = (
        _counted(shop)
        .filter(_.customer_id.notnull())
        .select("order_id", "customer_id", "ordered_at", "ordered_on")
    )
    began = seen.group_by("customer_id").aggregate(
        first_at=_.ordered_at.min(), first_on=_.ordered_on.min()
    )
    first = seen.inner_join(began, ["customer_id", seen.ordered_at == began.first_at])
    first = first.group_by("customer_id").aggregate(
        first_order=_.order_id.min(), first_on=_.first_on.min()
    )
    orders = orders.left_join(first, "customer_id").drop("customer_id_right")
    truncated = ibis.literal(False)
    if shop.truncated_before is not None:
        truncated = (orders.first_on < ibis.literal(shop.truncated_before)).fill_null(False)
    is_first = (orders.order_id == orders.first_order).fill_null(False)
    return (
        orders.mutate(is_first=is_first, is_left_truncated=truncated)
        .select(
            "order_id",
            "ordered_at",
            "ordered_on",
            "customer_id",
            "channel",
            "device",
            "platform",
            "region",
            "country",
            "coupon",
            "units",
            "n_lines",
            "gross",
            "discount",
            "revenue",
            "cost",
            "fulfilment",
            "fees",
            "margin",
            "total",
            "is_first",
            "is_left_truncated",
        )
        .order_by("order_id")
    )


def lookback_days(shop: Store) -> int:
    """Days after the log's start in which a first order may not be the first: the 90th
    percentile of the shop's own gaps between order days, kept within 60 to 365
    (`lookback_days` in shop.yaml overrides).
    """
    if shop.settings.get("lookback_days") is not None:
        return int(shop.settings["lookback_days"])
    days = (
        _counted(shop)
        .filter(_.customer_id.notnull())
        .select("customer_id", "ordered_on")
        .distinct()
    )
    before = days.ordered_on.lag().over(ibis.window(group_by="customer_id", order_by="ordered_on"))
    gap = days.mutate(gap_days=days.ordered_on.delta(before, unit="day")).gap_days.quantile(0.9)
    found = shop.con.execute(gap)
    return int(min(max(found if found == found and found is not None else 365, 60), 365))


def booked_refunds(shop: Store) -> ibis.Table:
    """One row per refund that reaches revenue: linked to a counted order, or not linked
    at all. `refunded_on` falls back to the day of the order where the export gave none
    (`is_date_known` false). Sorted by refund.
    """
    refunds = shop.get("refunds")
    if refunds is None:
        kinds = {
            "refund_id": "string",
            "order_id": "string",
            "line_no": "int64",
            "customer_id": "string",
            "sku": "string",
            "channel": "string",
            "refunded_on": "date",
            "is_date_known": "boolean",
            "ordered_on": "date",
            "amount": MONEY,
            "quantity": "int64",
            "kind": "string",
            "reason": "string",
            "margin": MONEY,
        }
        return shop.orders.filter(ibis.literal(False)).select(
            **{c: ibis.null(k) for c, k in kinds.items()}
        )
    orders = shop.orders.select(
        "order_id", "ordered_on", order_customer=_.customer_id, order_channel=_.channel
    )
    counted = _counted(shop).select("order_id").mutate(is_counted=True)
    lines = shop.sales_lines.select("order_id", "line_no", line_sku=_.sku, line_cost=_.unit_cost)
    costs = (
        shop.sales_lines.filter(_.unit_cost.notnull())
        .group_by("sku")
        .aggregate(sku_cost=_.unit_cost.max())
    )
    r = refunds.left_join(orders, "order_id").drop("order_id_right")
    r = r.left_join(counted, "order_id").drop("order_id_right")
    r = r.left_join(lines, ["order_id", "line_no"]).drop("order_id_right", "line_no_right")
    r = r.mutate(sku=r.sku.fill_null(r.line_sku))
    r = r.left_join(costs, "sku").drop("sku_right")
    r = r.filter(r.order_id.isnull() | r.is_counted)
    back = handling = ZERO
    costed = shop.has("order_lines.unit_cost") or shop.has("products.unit_cost")
    if costed:
        unit = r.line_cost.fill_null(r.sku_cost)
        back = (
            (r.kind == "return").ifelse(_money(unit * r.quantity.cast(MONEY)), ZERO).fill_null(ZERO)
        )
    if shop.has("cost_rates"):
        rate = shop.cost_rates.filter((_.kind == "return_per_unit") & (_.scope == "all"))
        rate = shop.con.execute(rate.aggregate(rate=rate.value.argmax(rate.from_on)))["rate"].iloc[
            0
        ]
        if rate == rate and rate is not None:
            handling = _money(
                ibis.literal(float(rate)).cast(MONEY) * r.quantity.fill_null(0).cast(MONEY)
            )
    return (
        r.select(
            "refund_id",
            "order_id",
            "line_no",
            customer_id=r.customer_id.fill_null(r.order_customer),
            sku=r.sku,
            channel=r.order_channel,
            refunded_on=r.refunded_on.fill_null(r.ordered_on),
            is_date_known=r.refunded_on.notnull(),
            ordered_on=r.ordered_on,
            amount=r.amount,
            quantity=r.quantity,
            kind=r.kind,
            reason=r.reason,
            margin=_money(back - r.amount - handling) if costed else ibis.null(MONEY),
        )
        .filter(_.refunded_on.notnull())
        .order_by("refund_id")
    )


def customer_days(shop: Store) -> ibis.Table:
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


def sku_days(shop: Store) -> ibis.Table:
    """One row per sku and day from its launch (or first sale) to as-of. `units` is
    missing where nothing was sold and the shop was closed or nothing was free to sell:
    that is not demand. `units` sold on a day that ended so are a lower bound
    (`is_stocked` false). margin is goods margin (before fees and fulfilment). Sorted by
    both.
    """
    lines = shop.sales_lines.filter(_.is_product & _.sku.notnull())
    # buyers and orders are counted by grouping in steps: the engine's exact distinct counts cost twice as much
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
    bought = lines.select("sku", "day_on", "buyer", "order_id").distinct()
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
    sold = sold.mutate(margin=(sold.n_unknown == 0).ifelse(sold.known_margin, ibis.null(MONEY)))
    births = sold.group_by("sku").aggregate(first_sale=sold.day_on.min())
    if shop.has("products.launched_on"):
        births = births.outer_join(shop.products.select("sku", "launched_on"), "sku")
        births = births.select(
            sku=births.sku.fill_null(births.sku_right),
            born=ibis.least(births.first_sale, births.launched_on),
        )
    else:
        births = births.select("sku", born=births.first_sale)
    births = births.mutate(born=ibis.greatest(births.born, ibis.literal(shop.observed_from)))
    calendar = _calendar(shop)
    spine = (
        births.filter(_.born.notnull())
        .inner_join(calendar, calendar.day_on >= births.born)
        .select("sku", "day_on", "is_trading")
    )
    days = spine.left_join(sold, ["sku", "day_on"]).drop("sku_right", "day_on_right")
    if shop.has("stock"):
        # what is promised to orders or damaged lies there and cannot be sold
        free = _.available.fill_null(
            _.on_hand - _.committed.fill_null(0) - _.unsellable.fill_null(0)
        )
        held = (
            shop.stock.mutate(free=free)
            .group_by("sku", "day_on")
            .aggregate(on_hand=_.on_hand.sum(), free=_.free.sum())
        )
        days = days.left_join(held, ["sku", "day_on"]).drop("sku_right", "day_on_right")
        days = days.mutate(is_stocked=(_.free > 0))
    else:
        days = days.mutate(on_hand=ibis.null("int64"), is_stocked=ibis.null("boolean"))
    days = days.mutate(is_on_promo=_.has_promo.fill_null(False))
    if shop.has("promotions"):
        days = _with_calendar_promotions(shop, days)
    demand_seen = days.is_trading & days.is_stocked.fill_null(True)
    zero = demand_seen & days.units.isnull()
    return days.select(
        "sku",
        "day_on",
        units=zero.ifelse(0, days.units),
        orders=zero.ifelse(0, days.orders),
        buyers=zero.ifelse(0, days.buyers),
        revenue=zero.ifelse(ZERO, days.revenue),
        margin=zero.ifelse(ZERO, days.margin),
        price_paid=(days.units > 0)
        .ifelse(days.revenue.cast("float64") / days.units, ibis.null("float64"))
        .cast(MONEY),
        is_on_promo=days.is_on_promo,
        on_hand=days.on_hand,
        is_stocked=days.is_stocked,
        is_trading=days.is_trading,
    ).order_by("sku", "day_on")


def _calendar(shop: Store) -> ibis.Table:
    """Every day of the log up to as-of; a trading day is one on which any order was
    placed.
    """
    traded = shop.orders.select(day_on=_.ordered_on).distinct().mutate(is_trading=True)
    start, stop = (
        ibis.timestamp(str(day)) for day in (shop.observed_from, shop.as_of + dt.timedelta(days=1))
    )
    every = ibis.range(start, stop, ibis.interval(days=1)).unnest().name("at").as_table()
    every = every.select(day_on=_.at.cast("date"))
    joined = every.left_join(traded, "day_on").drop("day_on_right")
    return joined.mutate(is_trading=_.is_trading.fill_null(False))


def _with_calendar_promotions(shop: Store, days: ibis.Table) -> ibis.Table:
    promos = shop.promotions.filter(_.starts_on <= ibis.literal(shop.as_of))
    listed = promos.filter(_.skus.notnull()).mutate(sku=_.skus.split(" ").unnest())
    marked = listed.select("sku", "starts_on", "ends_on")
    hit = days.select("sku", "day_on").inner_join(
        marked,
        [days.sku == marked.sku, days.day_on >= marked.starts_on, days.day_on <= marked.ends_on],
    )
    hit = hit.select("sku", "day_on").distinct().mutate(is_listed=True)
    every = promos.filter(_.skus.isnull()).select("starts_on", "ends_on")
    days = days.left_join(hit, ["sku", "day_on"]).drop("sku_right", "day_on_right")
    whole = _calendar(shop).select("day_on")
    shopwide = whole.inner_join(
        every, [whole.day_on >= every.starts_on, whole.day_on <= every.ends_on]
    )
    shopwide = shopwide.select("day_on").distinct().mutate(is_shopwide=True)
    days = days.left_join(shopwide, "day_on").drop("day_on_right")
    return days.mutate(
        is_on_promo=_.is_on_promo | _.is_listed.fill_null(False) | _.is_shopwide.fill_null(False)
    )


DERIVED = {
    f.__name__: f for f in (sales_lines, sales_orders, booked_refunds, customer_days, sku_days)
}
STEPS = {"order_money": order_money}  # on the way to them: kept beside, read by no chapter
