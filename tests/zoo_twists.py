"""What may be odd about a shop's tables whatever its kind: a twist takes the tables of a
zoo shop (name -> frame) and gives them back changed. `TWISTS` holds them by name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd

Tables = dict[str, pd.DataFrame]
OPTIONAL = ("region", "device", "shipped_at", "promised_at", "delivered_at", "cancelled_at")
#: words that code may take for something else than a name
RESERVED = ("all", "nan", "None", "", "true", "0", "other", "(conversion)")


def only_cancelled(tables: Tables) -> Tables:
    """Every order was cancelled."""
    orders = tables["orders"].assign(status="cancelled")
    orders["cancelled_at"] = orders.ordered_at + pd.Timedelta(hours=1)
    sent = ["shipped_at", "promised_at", "delivered_at"]
    orders[sent] = orders[sent].mask(orders.status == "cancelled")
    return tables | {"orders": orders, "refunds": tables["refunds"].iloc[:0]}


def future_stock(tables: Tables) -> Tables:
    """Stock was first counted after the month."""
    stock = tables["stock"]
    return tables | {"stock": stock.assign(day_on=stock.day_on + dt.timedelta(days=9000))}


def negative_quantities(tables: Tables) -> Tables:
    """Returns written as lines with a negative quantity."""
    lines = tables["order_lines"].copy()
    lines.loc[lines.index % 9 == 4, "quantity"] *= -1
    return tables | {"order_lines": lines}


def one_title(tables: Tables) -> Tables:
    """Every product and line has the same title."""
    return tables | {n: tables[n].assign(title="Thing") for n in ("products", "order_lines")}


def bare_columns(tables: Tables) -> Tables:
    """No optional column that describes a sale."""
    orders = tables["orders"].drop(columns=list(OPTIONAL))
    lines = tables["order_lines"].drop(columns=["title", "list_price", "unit_cost"])
    products = tables["products"][["sku"]]
    refunds = tables["refunds"].drop(columns=["kind", "reason", "quantity", "customer_id"])
    more = {"orders": orders, "order_lines": lines, "products": products, "refunds": refunds}
    return tables | more | {"stock": tables["stock"].drop(columns=["location"])}


def one_buyer(tables: Tables) -> Tables:
    """All orders are of the same person."""
    orders = tables["orders"].assign(customer_id="c0")
    people = tables["customers"].iloc[:1].assign(customer_id="c0")
    return tables | {"orders": orders, "customers": people, "refunds": tables["refunds"].iloc[:0]}


def robot(tables: Tables) -> Tables:
    """Every third order is of one buyer, minutes apart and small."""
    orders = tables["orders"].copy()
    is_robot = orders.index % 3 == 0
    orders.loc[is_robot, "customer_id"] = "robot"
    people = pd.DataFrame(
        {
            "customer_id": ["robot"],
            "first_seen_on": [orders.ordered_on.min()],
            "acquired_channel": [orders.channel.iloc[0]],
            "is_contactable": [True],
        }
    )
    refunds = tables["refunds"]
    refunds = refunds[~refunds.order_id.isin(orders[is_robot].order_id)]
    people = pd.concat([tables["customers"], people], ignore_index=True)
    return tables | {"orders": orders, "customers": people, "refunds": refunds}


def reserved_words(tables: Tables) -> Tables:
    """Channels, categories, regions and skus called `all`, `nan`, `None`, `` ..."""

    def named(values: pd.Series) -> pd.Series:
        codes = pd.factorize(values)[0] % len(RESERVED)
        return pd.Series(np.array(RESERVED, dtype=object)[codes], index=values.index)

    old = tables["products"].sku
    words = dict(zip(old, [RESERVED[i] if i < 3 else s for i, s in enumerate(old)], strict=True))
    channels = {c: RESERVED[i] for i, c in enumerate(("search", "email", "direct"))}
    out = dict(tables)
    for name in ("orders", "ad_spend", "traffic"):
        out[name] = out[name].assign(channel=out[name].channel.map(channels))
    out["channels"] = out["channels"].assign(channel=out["channels"].channel.map(channels))
    out["orders"] = out["orders"].assign(region=named(out["orders"].region))
    out["products"] = out["products"].assign(category=named(out["products"].category))
    for name in ("products", "order_lines", "stock", "purchase_orders"):
        out[name] = out[name].assign(sku=out[name].sku.map(words))
    return out


def markup(tables: Tables) -> Tables:
    """Titles, channels and categories a page or a spreadsheet might run."""
    titles = [
        "<script>alert(1)</script>",
        "=1+1",
        "a|b\n# c",
        "x" * 300,
        "$y_1$",
        "{0}",
        "%s",
        "\\",
    ]
    n = len(tables["products"])
    title = [titles[i % len(titles)] for i in range(n)]
    by_sku = dict(zip(tables["products"].sku, title, strict=True))
    products = tables["products"].assign(title=title, category="<b>$cups$ {x} %d</b>")
    lines = tables["order_lines"]
    lines = lines.assign(title=lines.sku.map(by_sku))
    named = {"search": "$a_b$ <i>{y}</i>", "email": "=cmd", "direct": "100%"}
    out = tables | {"products": products, "order_lines": lines}
    for name in ("orders", "ad_spend", "traffic", "channels"):
        out[name] = out[name].assign(channel=out[name].channel.map(named))
    return out


def no_visits(tables: Tables) -> Tables:
    """The counter of visits is broken, and advertising cost nothing."""
    seen = ["sessions", "visitors", "product_views", "add_to_carts", "checkouts", "buyers"]
    traffic = tables["traffic"].assign(**dict.fromkeys(seen, 0))
    return tables | {"traffic": traffic, "ad_spend": tables["ad_spend"].assign(spend=0.0, clicks=0)}


def empty_shelf(tables: Tables) -> Tables:
    """Nothing ever in stock, lead times of nothing, and minimum orders of thousands."""
    products = tables["products"].assign(lead_time_days=0, min_order_units=10_000, pack_units=7)
    return tables | {"stock": tables["stock"].assign(on_hand=0), "products": products}


def gaps(tables: Tables) -> Tables:
    """Half of what may be missing is missing: channels, costs, categories, prices."""
    out = dict(tables)
    rng = np.random.default_rng(7)
    wanted = {
        "orders": ["channel", "region", "device", "delivered_at", "promised_at"],
        "order_lines": ["unit_cost", "list_price", "title"],
        "products": ["unit_cost", "category", "lead_time_days", "title", "supplier_id"],
        "refunds": ["refunded_on", "refunded_at", "line_no", "kind", "reason"],
        "customers": ["acquired_channel", "is_contactable", "first_seen_on"],
    }
    for name, columns in wanted.items():
        frame = out[name].copy()
        for column in columns:
            frame[column] = frame[column].astype(object).mask(rng.random(len(frame)) < 0.5)
        out[name] = frame
    for name, column in (("orders", "delivered_at"), ("orders", "promised_at")):
        out[name][column] = pd.to_datetime(out[name][column])
    out["refunds"]["refunded_at"] = pd.to_datetime(out["refunds"]["refunded_at"])
    for name, columns in (
        ("order_lines", ["unit_cost", "list_price"]),
        ("products", ["unit_cost"]),
    ):
        out[name][columns] = out[name][columns].astype(float)
    out["refunds"]["line_no"] = out["refunds"]["line_no"].astype("Int64")
    out["customers"]["is_contactable"] = out["customers"]["is_contactable"].astype("boolean")
    return out


def nobody_wants_mail(tables: Tables) -> Tables:
    """No customer may be written to."""
    return tables | {"customers": tables["customers"].assign(is_contactable=False)}


def given_away(tables: Tables) -> Tables:
    """Every line discounted to nothing, and the shipping is what is paid."""
    lines = tables["order_lines"]
    off = (lines.price * lines.quantity).round(6)
    orders = tables["orders"].assign(discount=tables["orders"].gross, shipping=5.0, total=5.0)
    more = {"order_lines": lines.assign(discount=off), "refunds": tables["refunds"].iloc[:0]}
    return tables | more | {"orders": orders}


def faded(tables: Tables) -> Tables:
    """Nine of ten orders fell into the first half of the log."""
    orders = tables["orders"]
    days = pd.to_datetime(orders.ordered_on)
    is_late = days > days.min() + (days.max() - days.min()) / 2
    kept = orders[~is_late | (np.arange(len(orders)) % 10 == 0)]
    return _only(tables, kept)


def in_december(tables: Tables) -> Tables:
    """A shop that trades in November and December only."""
    orders = tables["orders"]
    return _only(tables, orders[pd.to_datetime(orders.ordered_on).dt.month >= 11])


def on_one_day(tables: Tables) -> Tables:
    """Every order fell on one day of the last month."""
    orders = tables["orders"]
    days = pd.to_datetime(orders.ordered_on)
    day = days[days.dt.month == days.max().month].median().floor("D")
    return _only(tables, orders[days == day]) if (days == day).any() else tables


def thin_extras(tables: Tables) -> Tables:
    """Every table a chapter may use beside the usual ones, with one or a few rows each."""
    orders, sku = tables["orders"], tables["products"].sku.iloc[0]
    last = orders.ordered_on.max()
    at, month = pd.Timestamp(last), f"{last:%Y-%m}"
    who = orders.customer_id.dropna().head(4).tolist()
    one = {"sku": sku, "order_id": orders.order_id.iloc[-1]}
    frames = {
        "geo_tests": {"test_id": "g", "region": ["north", "south"], "arm": ["treated", "control"],
                      "starts_on": last - dt.timedelta(days=6), "ends_on": last},
        "treatments": {"treatment_id": "t", "customer_id": who, "assigned_at": at,
                       "arm": (["treated", "holdout"] * 2)[: len(who)]},
        "business_models": {"model": "own_stock", "kind": ["orders"], "value": 10.0},
        "events": {"event_id": ["e1"], "occurred_at": at, "visitor_id": "v", "name": "view_item",
                   "sku": sku},
        "competitors": {"month": [month], "category": "cups", "seller": "x", "sales_low": 1.0,
                        "sales_high": 2.0},
        "control_totals": {"month": [month], "metric": "orders", "value": 3.0},
        "touchpoints": {"journey_id": ["j"], "touch_no": 1, "channel": "search", "touched_at": at,
                        "is_conversion": True, "amount": 5.0},
        "reviews": {"review_id": ["r"], "created_at": at, "stars": 5.0, "sku": sku},
        "tickets": {"ticket_id": ["t"], "opened_at": at, "topic": "parcel"},
        "promotions": {"promo_id": ["p"], "starts_on": last, "ends_on": last, "depth_share": 0.1},
        "prices": {"from_on": [last], "sku": sku, "seller": "x", "price": 3.0},
        "experiments": {"test_id": "x", "visitor_id": ["a", "b"], "arm": ["a", "b"],
                        "assigned_at": at, "is_converted": [True, False]},
        "targets": {"month": [month], "metric": "net_revenue", "value": 1000.0},
        "team": {"role": ["buyer"], "kpi": "net_revenue", "weight_share": 1.0, "raci": "R"},
        "market_series": {"period_on": [last.replace(day=1)], "series": "m", "value": 1.0,
                          "published_on": last, "frequency": "month"},
        "survey": {"respondent_id": ["s"], "answered_on": last, "weight": 1.0},
        "memberships": {"customer_id": who[:1], "changed_at": at, "change_no": 1, "tier": "gold",
                        "points_delta": 5, "reason": "earn"},
        "tiers": {"tier": ["gold"], "from_on": last, "threshold": 5.0},
    }  # fmt: skip
    frames["reviews"] |= {"order_id": one["order_id"]}
    return tables | {name: pd.DataFrame(columns) for name, columns in frames.items()}


def _only(tables: Tables, orders: pd.DataFrame) -> Tables:
    """The tables with these orders alone."""
    kept = {
        n: tables[n][tables[n].order_id.isin(orders.order_id)] for n in ("order_lines", "refunds")
    }
    people = tables["customers"]
    people = people[people.customer_id.isin(orders.customer_id)]
    return tables | kept | {"orders": orders, "customers": people}


TWISTS: dict[str, Callable[[Tables], Tables]] = {
    made.__name__: made
    for made in (
        only_cancelled,
        future_stock,
        negative_quantities,
        one_title,
        bare_columns,
        one_buyer,
        robot,
        reserved_words,
        markup,
        no_visits,
        empty_shelf,
        gaps,
        nobody_wants_mail,
        given_away,
        faded,
        in_december,
        on_one_day,
        thin_extras,
    )
}
