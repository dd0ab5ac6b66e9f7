"""What the detectors look at: sums by day of the last months, read once.

One frame per subject, every day of the span a row where the subject is a day; missing
where the shop did not observe it. Money is a float in the shop's currency.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, DatetimeIndex, Series, Timestamp

from playbook.measures.metrics import months_back
from playbook.measures.revenue_days import sums_by_day
from playbook.measures.sums import sums_by, total
from playbook.store import Store

__all__ = ["Panels"]

#: months read before the first one that is judged: what its days are held against
BEFORE_MONTHS = 4
EIGHT_WEEKS = pd.Timedelta(weeks=8)
#: seconds after a campaign within which its code is rightly used: two months
SENT_CODE = 60 * 86_400
#: an order in one of these is on its way or has arrived
SENT = ("paid", "shipped", "done", "refunded")


class Panels:
    """The frames of a shop, each read when first asked for. `days` is the span; days
    from `first` on are judged.
    """

    def __init__(self, shop: Store, *, months: int) -> None:
        self.shop = shop
        begin = Timestamp(months_back(shop.month, months + BEFORE_MONTHS)[0])
        begin = max(begin, Timestamp(shop.observed_from))
        self.days = pd.date_range(begin, Timestamp(shop.as_of), name="day_on")
        self.first = Timestamp(months_back(shop.month, months)[0])

    def wide(self, frame: DataFrame, column: str, values: str) -> DataFrame:
        """A frame with day_on as one row per day of the span and one column per value of
        `column`; 0 where there is no row.
        """
        frame = frame.assign(day_on=pd.to_datetime(frame.day_on))
        table = frame.pivot_table(
            index="day_on",
            columns=column,
            values=values,
            aggfunc="sum",
        )
        return table.reindex(self.days).fillna(0.0)

    def grouped(self, table: ibis.Table, day: str, *by: str, **sums: ibis.Value) -> DataFrame:
        """Sums of a table's rows within the span by day (as `day_on`) and `by`."""
        since = ibis.literal(self.days[0].date())
        rows = table.filter(_[day] >= since).mutate(day_on=_[day].cast("date"))
        return sums_by(
            rows,
            "day_on",
            *by,
            **sums,
        )

    @functools.cached_property
    def orders(self) -> DataFrame:
        """One row per day: placed, unpaid, no_channel (all orders), orders, revenue,
        margin (counted ones; margin missing where a cost is not known).
        """
        shop = self.shop
        channel = shop.orders.channel.isnull() if shop.has("orders.channel") else None
        sums = {"placed": _.count(), "unpaid": _unpaid(shop).sum().cast("float64")}
        if channel is not None:
            sums["no_channel"] = channel.sum().cast("float64")
        placed = sums_by_day(
            shop.orders,
            "ordered_on",
            self.days,
            **sums,
        )
        sold = sums_by_day(
            shop.sales_orders,
            "ordered_on",
            self.days,
            orders=_.count(),
            revenue=total("revenue"),
            gross=total("gross"),
            margin=total("margin"),
            n_unknown=_.margin.isnull().sum(),
        )
        sold["margin"] = sold.margin.where(sold.pop("n_unknown") == 0)
        return placed.join(sold)

    @functools.cached_property
    def is_margin_known(self) -> bool:
        """Whether the margin of the days with orders is known."""
        return bool(self.orders.margin[self.orders.orders > 0].notna().mean() > 0.9)

    @functools.cached_property
    def worth(self) -> Series:
        """By day: what an order brings, the mean of the eight weeks before; margin, or
        revenue where no cost is known.
        """
        money = self.orders.margin if self.is_margin_known else self.orders.revenue
        sums = DataFrame({"money": money, "orders": self.orders.orders}).shift(1)
        sums = sums.rolling(56, min_periods=14).sum()
        return (sums.money / sums.orders.where(sums.orders > 0)).bfill()

    @functools.cached_property
    def month_money(self) -> Series:
        """By day: the money of a usual month, thirty times the mean day of the quarter
        before; margin, or revenue where no cost is known.
        """
        money = self.orders.margin if self.is_margin_known else self.orders.revenue
        return 30 * money.shift(1).rolling(91, min_periods=28).mean().bfill()

    @functools.cached_property
    def steps(self) -> DataFrame | None:
        """One row per day, device and channel with traffic: sessions and the funnel's
        steps. A cut the shop does not tell is `all`.
        """
        shop = self.shop
        names = ("sessions", "product_views", "add_to_carts", "checkouts", "buyers")
        known = [name for name in names if shop.has(f"traffic.{name}")]
        if not shop.has("traffic"):
            return None
        table = shop.traffic
        cuts = {
            cut: table[cut].fill_null("all") if shop.has(f"traffic.{cut}") else ibis.literal("all")
            for cut in ("device", "channel")
        }
        return self.grouped(
            table.mutate(**cuts),
            "day_on",
            "device",
            "channel",
            **{n: total(n) for n in known},
        )

    @functools.cached_property
    def paying(self) -> DataFrame:
        """One row per day and cell of the orders placed: dimension (payment_method,
        device, channel, buyer: new, returning or guest), cell, placed, unpaid.
        """
        shop = self.shop
        first = shop.sales_orders.filter(_.is_first & _.customer_id.notnull())
        first = first.select("customer_id", first_on="ordered_on")
        orders = shop.orders.mutate(unpaid=_unpaid(shop)).left_join(first, "customer_id")
        is_new = _.first_on.isnull() | (_.ordered_on <= _.first_on)
        buyer = ibis.cases(
            (_.customer_id.isnull(), "guest"),
            (is_new, "new"),
            else_="returning",
        )
        orders = orders.mutate(buyer=buyer)
        named = [n for n in ("payment_method", "device", "channel") if shop.has(f"orders.{n}")]
        sums = {"placed": _.count(), "unpaid": total("unpaid")}
        frames = []
        for dimension in [*named, "buyer"]:
            rows = orders.mutate(cell=_[dimension].fill_null("unknown"))
            frame = self.grouped(rows, "ordered_on", "cell", **sums)
            frames.append(frame.assign(dimension=dimension))
        return pd.concat(frames, ignore_index=True)

    @functools.cached_property
    def visits(self) -> DataFrame | None:
        """Sessions by day and channel; a day without any row is missing."""
        if not self.shop.has("traffic"):
            return None
        table = self.shop.traffic.mutate(channel=_.channel.fill_null("unknown"))
        frame = self.grouped(
            table,
            "day_on",
            "channel",
            sessions=total("sessions"),
        )
        seen = pd.to_datetime(frame.day_on).unique()
        return self.wide(frame, "channel", "sessions").where(
            Series(self.days.isin(seen), self.days), axis=0
        )

    @functools.cached_property
    def spend(self) -> DataFrame | None:
        """One row per day, channel and whether it is of `all` regions: spend, clicks,
        claimed orders.
        """
        shop = self.shop
        if not shop.has("ad_spend"):
            return None
        table = shop.ad_spend
        region = table.region.fill_null("all") if shop.has("ad_spend.region") else "all"
        region = ibis.literal(region) if isinstance(region, str) else region
        names = {"clicks": "clicks", "claimed": "platform_orders"}
        known = {name: total(c) for name, c in names.items() if shop.has(f"ad_spend.{c}")}
        table = table.mutate(is_all=region == "all", channel=_.channel.fill_null("unknown"))
        return self.grouped(
            table,
            "day_on",
            "channel",
            "is_all",
            spend=total("spend"),
            **known,
        )

    @functools.cached_property
    def sales(self) -> DataFrame:
        """One row per day and sku of products sold: units, orders, gross, revenue, cost,
        listed (at list prices; missing where one is), highest (price of a unit).
        """
        lines = self.shop.sales_lines.filter(_.is_product & _.sku.notnull() & ~_.is_gift)
        gross = (_.price * _.quantity).sum().cast("float64")
        sums = {
            "units": total("quantity"),
            "gross": gross,
            "revenue": total("revenue"),
        }
        sums |= {"orders": _.order_id.nunique(), "highest": _.price.max().cast("float64")}
        listed = (_.list_price * _.quantity).sum().cast("float64")
        sums["listed"] = ibis.ifelse(_.list_price.isnull().sum() == 0, listed, None)
        frame = self.grouped(
            lines,
            "ordered_on",
            "sku",
            **sums,
            cost=_costs(),
        )
        return frame.assign(day_on=pd.to_datetime(frame.day_on))

    @functools.cached_property
    def category(self) -> Series:
        """Sku -> category; empty where none is known."""
        if not self.shop.has("products.category"):
            return Series(dtype=object)
        frame = self.shop.products.select("sku", "category").to_pandas().dropna()
        return frame.set_index("sku").category

    def orders_with(self, skus: list[str], days: tuple[Timestamp, Timestamp]) -> DataFrame:
        """By day, from eight weeks before `days` to their end: units of the skus, and
        value, what they brought: of orders that hold nothing else the margin with fees
        and postage, of others that of the goods (revenue where no cost is known).
        """
        shop = self.shop
        since, until = (ibis.literal(d.date()) for d in (days[0] - EIGHT_WEEKS, days[1]))
        lines = shop.sales_lines.filter(_.sku.isin(skus) & _.ordered_on.between(since, until))
        goods = (_.revenue - _.cost).sum() if self.is_margin_known else _.revenue.sum()
        held = lines.group_by("order_id").aggregate(held=_.quantity.sum(), goods=goods)
        orders = shop.sales_orders.inner_join(held, "order_id")
        whole = orders.margin if self.is_margin_known else orders.revenue
        orders = orders.mutate(
            value=ibis.ifelse(
                orders.held == orders.units,
                whole.cast("float64"),
                orders.goods.cast("float64"),
            )
        )
        sums = {"units": total("held"), "value": total("value")}
        return sums_by_day(orders, "ordered_on", self.days, **sums)

    def cells(self, dimension: str, value: Callable[[ibis.Table], ibis.Value]) -> DataFrame:
        """One row per day, sku and value of a trait of the order: n (orders with the
        sku), n_first (first orders among them), revenue.
        """
        orders = self.shop.sales_orders
        traits = orders.select("order_id", "is_first", trait=value(orders))
        lines = self.shop.sales_lines.filter(_.is_product & _.sku.notnull())
        joined = lines.select(
            "order_id",
            "ordered_on",
            "sku",
            "revenue",
        ).inner_join(traits, "order_id")
        sums = {"n": _.order_id.nunique(), "n_first": total("is_first")}
        frame = self.grouped(
            joined,
            "ordered_on",
            "sku",
            "trait",
            **sums,
            revenue=total("revenue"),
        )
        return frame.assign(day_on=pd.to_datetime(frame.day_on), dimension=dimension)

    @functools.cached_property
    def coupons(self) -> DataFrame | None:
        """One row per day and coupon: orders, discount, by buyers no campaign of the
        two months before reached.
        """
        shop = self.shop
        if not shop.has("orders.coupon"):
            return None
        orders = shop.sales_orders.filter(_.coupon.notnull())
        if shop.has("treatments"):
            sent = shop.treatments
            since = orders.ordered_at.epoch_seconds() - sent.assigned_at.epoch_seconds()
            is_sent = (orders.customer_id == sent.customer_id) & (since >= 0) & (since <= SENT_CODE)
            orders = orders.anti_join(sent, is_sent)
        sums = {"orders": _.count().cast("float64"), "discount": total("discount")}
        return self.grouped(
            orders,
            "ordered_on",
            "coupon",
            **sums,
        )

    @functools.cached_property
    def parcels(self) -> DataFrame | None:
        """One row per day of shipping and carrier, of parcels whose promised day is over:
        due, late, money (price of the goods in the late ones).
        """
        shop = self.shop
        names = ("promised_at", "delivered_at", "carrier")
        if not all(shop.has(f"orders.{name}") for name in names):
            return None
        orders = shop.orders
        promised, came = (shop.local(orders[name]).date() for name in names[:2])
        is_due = (orders.promised_at < ibis.literal(shop.as_of_end)) & orders.status.isin(SENT)
        is_late = (came > promised) | orders.delivered_at.isnull()
        sent = shop.local(orders.shipped_at).date()
        rows = orders.mutate(sent_on=sent, is_late=is_late).filter(
            is_due & orders.carrier.notnull() & orders.shipped_at.notnull()
        )
        late = {"late": total("is_late"), "money": _.gross.sum(where=_.is_late).cast("float64")}
        return self.grouped(
            rows,
            "sent_on",
            "carrier",
            due=_.count(),
            **late,
        )

    @functools.cached_property
    def refunds(self) -> DataFrame | None:
        """One row per day, reason and sku of refunds booked: n, amount."""
        shop = self.shop
        if not shop.has("refunds"):
            return None
        rows = shop.booked_refunds.filter(_.is_date_known)
        rows = rows.mutate(reason=_.reason.fill_null("unknown"), sku=_.sku.fill_null("unknown"))
        frame = self.grouped(
            rows, "refunded_on", "reason", "sku", n=_.count(), amount=total("amount")
        )
        return frame.assign(day_on=pd.to_datetime(frame.day_on))

    @functools.cached_property
    def tickets(self) -> DataFrame | None:
        """One row per day and topic: tickets opened."""
        shop = self.shop
        if not (shop.has("tickets.topic") and shop.has("tickets.opened_at")):
            return None
        rows = shop.tickets.mutate(on=shop.local(_.opened_at).date(), topic=_.topic.fill_null("-"))
        return self.grouped(
            rows,
            "on",
            "topic",
            n=_.count(),
        )

    def judged(self, days: DatetimeIndex) -> np.ndarray:
        """Which of these days are judged."""
        return np.asarray(days >= self.first)


def _unpaid(shop: Store) -> ibis.Value:
    """Orders that were never paid: still open a day and a half later, or cancelled open."""
    orders = shop.orders
    if not shop.has("orders.paid_at"):
        return orders.status == "placed"
    return orders.paid_at.isnull()


def _costs() -> ibis.Value:
    """Cost of a group's lines; missing where one is."""
    return ibis.ifelse(_.cost.isnull().sum() == 0, _.cost.sum(), None).cast("float64")
