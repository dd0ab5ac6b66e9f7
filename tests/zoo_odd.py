"""More of what may be odd about a shop's tables: time, people, money and measurement that
do not belong together. Twists as in `zoo_twists`, by name in `ODD`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd

Tables = dict[str, pd.DataFrame]


def late_refunds(tables: Tables) -> Tables:
    """No sale in the last two months, and every refund booked in the last one."""
    last = tables["orders"].ordered_on.max()
    first = (pd.Timestamp(last).to_period("M") - 1).start_time.date()
    kept = tables["orders"][tables["orders"].ordered_on < first]
    refunds = tables["refunds"]
    refunds = refunds[refunds.order_id.isin(kept.order_id)]
    at = pd.Timestamp(last) + pd.Timedelta(hours=11)
    return _of(tables, kept) | {"refunds": refunds.assign(refunded_at=at, refunded_on=last)}


def negative_stock(tables: Tables) -> Tables:
    """Every third count of the shelf is below zero: sold before it was booked in."""
    stock = tables["stock"].copy()
    is_short = np.arange(len(stock)) % 3 == 0
    stock["on_hand"] = np.where(is_short, -stock.on_hand - 1, stock.on_hand)
    return tables | {"stock": stock}


def one_day_a_month(tables: Tables) -> Tables:
    """All orders of a month fall on its first day of trade."""
    orders = tables["orders"].copy()
    day = pd.to_datetime(orders.ordered_on)
    first = day.groupby(day.dt.to_period("M")).transform("min")
    moved = first - day
    for column in ("ordered_at", "shipped_at", "promised_at", "delivered_at", "cancelled_at"):
        orders[column] = orders[column] + moved
    return tables | {"orders": orders.assign(ordered_on=first.dt.date)}


def whale(tables: Tables) -> Tables:
    """One customer brings nine tenths of the revenue in a tenth of the orders."""
    orders, lines = tables["orders"].copy(), tables["order_lines"].copy()
    is_whale = orders.index % 10 == 3
    orders.loc[is_whale, "customer_id"] = orders.customer_id.dropna().head(1).squeeze()
    much = lines.order_id.isin(orders.order_id[is_whale])
    lines["quantity"] = lines.quantity.where(~much, 81 * lines.quantity)
    refunds = tables["refunds"]
    refunds = refunds[~refunds.order_id.isin(orders.order_id[is_whale])]
    more = {"orders": _paid(orders, lines), "order_lines": lines, "refunds": refunds}
    return tables | more


def cents_midway(tables: Tables) -> Tables:
    """Prices are written in cents from the middle of the log on."""
    orders, lines = tables["orders"], tables["order_lines"].copy()
    day = pd.to_datetime(orders.ordered_on)
    late = orders.order_id[day > day.min() + (day.max() - day.min()) / 2]
    factor = np.where(lines.order_id.isin(late), 100, 1)
    for column in ("price", "list_price", "unit_cost"):
        lines[column] = lines[column] * factor
    refunds = tables["refunds"]
    more = refunds.amount * np.where(refunds.order_id.isin(late), 100, 1)
    refunds = refunds.assign(amount=more)
    return tables | {"orders": _paid(orders, lines), "order_lines": lines, "refunds": refunds}


def renamed_midway(tables: Tables) -> Tables:
    """Every sku and its category have another name from the middle of the log on."""
    orders, lines = tables["orders"], tables["order_lines"]
    day = pd.to_datetime(orders.ordered_on)
    middle = day.min() + (day.max() - day.min()) / 2
    is_late = lines.order_id.isin(orders.order_id[day > middle])
    products = tables["products"]
    new = products.assign(sku="n" + products.sku, category="new " + products.category)
    stock = tables["stock"]
    since = pd.to_datetime(stock.day_on) > middle
    return tables | {
        "order_lines": lines.assign(sku=lines.sku.where(~is_late, "n" + lines.sku)),
        "products": pd.concat([products, new], ignore_index=True),
        "stock": stock.assign(sku=stock.sku.where(~since, "n" + stock.sku)),
    }


def touched_unpaid(tables: Tables) -> Tables:
    """Touches of every order, and no spend; the channels touched sold nothing."""
    orders = tables["orders"]
    n = len(orders)
    touches = pd.DataFrame(
        {
            "journey_id": np.repeat(orders.order_id.to_numpy(), 2),
            "touch_no": np.tile([1, 2], n),
            "channel": np.tile(["podcast", "poster"], n),
            "touched_at": np.repeat(orders.ordered_at.to_numpy(), 2),
            "is_conversion": np.tile([False, True], n),
            "amount": np.repeat(orders.total.to_numpy(), 2),
        }
    )
    return {n: t for n, t in tables.items() if n != "ad_spend"} | {"touchpoints": touches}


def spend_elsewhere(tables: Tables) -> Tables:
    """Spend on channels that no order, visit or rule knows, credits of whole months, and
    days long before the log.
    """
    spend = tables["ad_spend"].assign(channel="billboard")
    before = spend.assign(day_on=spend.day_on - dt.timedelta(days=900), channel="radio")
    credit = spend.iloc[::30].assign(channel="credit", spend=-30 * spend.spend.iloc[::30])
    return tables | {"ad_spend": pd.concat([spend, before, credit], ignore_index=True)}


def nobody_treated(tables: Tables) -> Tables:
    """Campaigns that were sent to nobody: one of hold-outs alone, one of one person, one
    assigned after its month.
    """
    who = tables["orders"].customer_id.dropna().unique()[:40]
    at = pd.Timestamp(tables["orders"].ordered_on.max())
    made = [("kept back", "holdout", at - pd.Timedelta(days=20), who)]
    made += [("one person", "treated", at - pd.Timedelta(days=20), who[:1])]
    made += [("to come", "treated", at + pd.Timedelta(days=40), who)]
    frames = [
        pd.DataFrame({"treatment_id": name, "customer_id": people, "arm": arm, "assigned_at": when})
        for name, arm, when, people in made
    ]
    return tables | {"treatments": pd.concat(frames, ignore_index=True)}


def bought_once(tables: Tables) -> Tables:
    """Nobody ever came back."""
    orders = tables["orders"].copy()
    orders["customer_id"] = [f"once{n}" for n in range(len(orders))]
    people = pd.DataFrame({"customer_id": orders.customer_id})
    people = people.assign(first_seen_on=orders.ordered_on, is_contactable=True)
    refunds = tables["refunds"]
    who = refunds.order_id.map(orders.set_index("order_id").customer_id)
    return tables | {
        "orders": orders,
        "customers": people,
        "refunds": refunds.assign(customer_id=who),
    }


def sale_for_ever(tables: Tables) -> Tables:
    """One promotion of half the price that holds on every day of the log and after it."""
    first, last = (getattr(tables["orders"].ordered_on, end)() for end in ("min", "max"))
    promo = {"promo_id": ["ever"], "starts_on": [first], "depth_share": [0.5], "kind": ["sale"]}
    promo["ends_on"] = [last + dt.timedelta(days=4000)]
    lines = tables["order_lines"]
    lines = lines.assign(list_price=2 * lines.price, promo_id="ever")
    return tables | {"promotions": pd.DataFrame(promo), "order_lines": lines}


def never_received(tables: Tables) -> Tables:
    """No purchase order ever came, and twice the year's sales are on order."""
    bought = tables["purchase_orders"].assign(received_on=None, n_received=None)
    bought["n_ordered"] = 100 * bought.n_ordered
    bought["received_on"] = pd.to_datetime(bought.received_on).dt.date
    return tables | {"purchase_orders": bought.astype({"n_received": "Int64"})}


def fewer_visits_than_orders(tables: Tables) -> Tables:
    """The counter sees one visit in twenty, and buyers it never saw coming."""
    seen = ["sessions", "visitors", "product_views", "add_to_carts", "checkouts"]
    traffic = tables["traffic"].copy()
    traffic[seen] = traffic[seen] // 20
    return tables | {"traffic": traffic.assign(buyers=traffic.buyers + 3)}


def backwards_clock(tables: Tables) -> Tables:
    """Parcels delivered before they were sent, sent before they were ordered; orders
    cancelled months after they were delivered.
    """
    orders = tables["orders"].copy()
    orders["shipped_at"] = orders.ordered_at - pd.Timedelta(days=2)
    orders["delivered_at"] = orders.ordered_at - pd.Timedelta(days=5)
    is_off = orders.status == "cancelled"
    late = orders.ordered_at + pd.Timedelta(days=200)
    return tables | {"orders": orders.assign(cancelled_at=late.where(is_off))}


def one_moment(tables: Tables) -> Tables:
    """Every order of a day was placed at midnight, as a date-only export says."""
    orders = tables["orders"].copy()
    midnight = pd.to_datetime(orders.ordered_on)
    return tables | {"orders": orders.assign(ordered_at=midnight)}


def shared_login(tables: Tables) -> Tables:
    """Half of all orders are under one id that stands for nobody."""
    orders = tables["orders"].copy()
    orders["customer_id"] = orders.customer_id.mask(orders.index % 2 == 0, "0")
    refunds = tables["refunds"]
    who = refunds.order_id.map(orders.set_index("order_id").customer_id)
    nobody = pd.DataFrame({"customer_id": ["0"], "first_seen_on": orders.ordered_on.min()})
    people = pd.concat([tables["customers"], nobody], ignore_index=True)
    return tables | {
        "orders": orders,
        "customers": people.astype({"is_contactable": "boolean"}),
        "refunds": refunds.assign(customer_id=who),
    }


def many_regions(tables: Tables) -> Tables:
    """Each order from a region of its own; spend and visits by region too."""
    orders = tables["orders"]
    regions = [f"place {n % 211}" for n in range(len(orders))]
    out = tables | {"orders": orders.assign(region=regions)}
    for name in ("ad_spend", "traffic"):
        frame = tables[name]
        out[name] = frame.assign(region=[f"place {n % 211}" for n in range(len(frame))])
    return out


def targets_of_dreams(tables: Tables) -> Tables:
    """Targets of nothing, of a thousand times the sales, and for months long gone."""
    last = pd.Timestamp(tables["orders"].ordered_on.max()).to_period("M")
    month = [f"{last + step}" for step in (-30, 0, 1, 2, 3)]
    much = float(tables["orders"].total.sum()) * 1000
    metrics = ("net_revenue", "orders", "aov", "cvr_sessions", "nonsense")
    rows = [(m, metric, value) for m in month for metric, value in zip(
        metrics, (much, 0.0, -5.0, 3.0, 1.0), strict=True)]  # fmt: skip
    return tables | {"targets": pd.DataFrame(rows, columns=["month", "metric", "value"])}


def _paid(orders: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    gross = (lines.price * lines.quantity).groupby(lines.order_id).sum().round(3)
    gross = orders.order_id.map(gross)
    return orders.assign(gross=gross, total=gross)


def _of(tables: Tables, orders: pd.DataFrame) -> Tables:
    lines = tables["order_lines"]
    return tables | {
        "orders": orders,
        "order_lines": lines[lines.order_id.isin(orders.order_id)],
    }


ODD: dict[str, Callable[[Tables], Tables]] = {
    made.__name__: made
    for made in (
        late_refunds,
        negative_stock,
        one_day_a_month,
        whale,
        cents_midway,
        renamed_midway,
        touched_unpaid,
        spend_elsewhere,
        nobody_treated,
        bought_once,
        sale_for_ever,
        never_received,
        fewer_visits_than_orders,
        backwards_clock,
        one_moment,
        shared_login,
        many_regions,
        targets_of_dreams,
    )
}
