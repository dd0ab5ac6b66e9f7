"""A zoo of shops: one small generator with switches, and the kinds it makes.

`write("guests only", folder)` gives a store folder of a few hundred orders. Equal names
give equal bytes. `KINDS` holds the switches of each kind, `mixed(seed)` those of two or
three kinds in one small shop, `cases()` the shops of `tests/cases/shops`, each of which
came with a report.
"""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from zoo_odd import ODD
from zoo_twists import TWISTS

CASES = Path(__file__).parent / "cases" / "shops"
WEEK = (0, 1, 2, 3, 4, 5, 6)
CHANNELS = ("search", "email", "direct")


@dataclass(frozen=True)
class Kind:
    """The switches of a shop: its span, its trade, its people, its money, what it lacks
    (tables or `table.column`), and columns or settings of `shop.yaml` set outright; the
    month asked for (the last where none is named), twists of its tables (`zoo_twists`),
    and a word of the refusal where no month can be published.
    """

    months: int = 14
    ends_on: str = "2026-06-30"
    starts_late: int = 0
    weekdays: tuple[int, ...] = WEEK
    quiet_share: float = 0.0
    closed_months: tuple[str, ...] = ()
    orders: int = 500
    customers: int = 150
    guest_share: float = 0.1
    monthly: bool = False
    skus: int = 8
    lines: int = 1
    units: int = 1
    channels: tuple[str, ...] = CHANNELS
    categories: tuple[str, ...] = ("cups", "tea")
    price: float = 20.0
    digits: int = 2
    cost_share: float = 0.5
    refund_share: float = 0.06
    hour: int | None = None
    locations: tuple[str, ...] = ("main",)
    postage: bool = False
    points: int = 0
    mark: str = ""
    lacks: tuple[str, ...] = ()
    settings: dict = field(default_factory=dict)
    csv: bool = False
    month: str = ""
    twists: tuple[str, ...] = ()
    refused: str = ""


BARE = ("stock", "traffic", "ad_spend", "purchase_orders", "products.unit_cost")
COSTLESS = ("products.unit_cost", "order_lines.unit_cost", "cost_rates")
ONLY_ORDERS = (*BARE, *COSTLESS, "products", "refunds", "customers", "channels")
KINDS: dict[str, Kind] = {
    "ordinary": Kind(months=26, orders=900),
    "three customers": Kind(customers=3, orders=48, guest_share=0),
    "one order": Kind(orders=1, months=1, customers=1, guest_share=0, refund_share=0),
    "one sku": Kind(skus=1, categories=("cups",)),
    "one channel": Kind(channels=("shop",)),
    "guests only": Kind(guest_share=1.0),
    "all refunded": Kind(refund_share=1.0),
    "1 month": Kind(months=1, orders=120),
    "3 months": Kind(months=3, orders=250),
    "5 months": Kind(months=5, orders=350),
    "13 months": Kind(months=13),
    "240 months": Kind(months=240, orders=1500, lacks=("stock", "traffic")),
    "few orders": Kind(orders=90, months=14, customers=50),
    "quiet days": Kind(quiet_share=0.66, orders=250),
    "three days a week": Kind(weekdays=(1, 3, 5)),
    "one day a week": Kind(weekdays=(5,), orders=300),
    "closed saturdays": Kind(weekdays=(0, 1, 2, 3, 4, 6), months=26, orders=900),
    "closed month": Kind(closed_months=("2026-03",)),
    "closed last month": Kind(closed_months=("2026-06",)),
    "log from the 4th": Kind(starts_late=3, settings={"log_starts_with_shop": False}),
    "log cut short": Kind(months=8, settings={"log_starts_with_shop": False}),
    "wholesale": Kind(
        customers=30,
        lines=4,
        units=40,
        refund_share=0.25,
        guest_share=0,
        weekdays=(0, 1, 2, 3, 4),
        postage=True,
        lacks=(*BARE, *COSTLESS, "customers"),
    ),
    "grocery": Kind(customers=40, orders=900, lines=3, skus=30, price=3, lacks=("traffic",)),
    "subscription": Kind(monthly=True, customers=45, skus=2, guest_share=0, quiet_share=0.3),
    "marketplace only": Kind(
        channels=("market",), guest_share=1.0, lacks=("traffic", "ad_spend", "customers")
    ),
    "no cost": Kind(lacks=COSTLESS),
    "no stock": Kind(lacks=("stock", "purchase_orders")),
    "no traffic": Kind(lacks=("traffic", "ad_spend")),
    "no ids": Kind(lacks=("orders.customer_id", "customers", "refunds.customer_id")),
    "no products": Kind(lacks=("products", "stock", "purchase_orders")),
    "no skus": Kind(lacks=("order_lines.sku", "products", "stock", "purchase_orders")),
    "no channels": Kind(lacks=("orders.channel", "channels", "ad_spend", "traffic")),
    "orders and lines": Kind(lacks=ONLY_ORDERS),
    "stock by location": Kind(locations=("main", "fba")),
    "cost above price": Kind(cost_share=1.2),
    "free goods": Kind(price=0.0, refund_share=0),
    "yen": Kind(price=2000, digits=0, settings={"currency": "JPY"}),
    "dinar": Kind(price=5, digits=3, settings={"currency": "KWD"}),
    "dong": Kind(price=250_000, digits=0, settings={"currency": "VND"}),
    "New York": Kind(hour=4, settings={"timezone": "America/New_York"}, ends_on="2026-03-31"),
    "Shanghai": Kind(hour=17, settings={"timezone": "Asia/Shanghai"}),
    "Havana": Kind(hour=4, settings={"timezone": "America/Havana"}, ends_on="2026-03-31"),
    "dear": Kind(price=20_000_000.0),
    "bulk": Kind(units=5000),
    "unicode": Kind(mark=" 'Ünïté' 茶, \"a\"", categories=("茶's", "cups")),
    "300 channels": Kind(channels=tuple(f"partner {n:03d}" for n in range(300)), orders=900),
    "negative points": Kind(points=-50),
    "points": Kind(points=50, months=26, orders=900),
    "as csv": Kind(csv=True),
    # thought of after the first 47 had run
    "one day of log": Kind(months=1, starts_late=29, orders=40),
    "all on one day": Kind(months=3, orders=2000, twists=("on_one_day",)),
    "last week only": Kind(months=1, starts_late=23, orders=60),
    "only cancelled": Kind(twists=("only_cancelled",)),
    "future stock": Kind(twists=("future_stock",)),
    "negative quantities": Kind(twists=("negative_quantities",), refused="quantity"),
    "one title": Kind(twists=("one_title",)),
    "bare columns": Kind(twists=("bare_columns",)),
    "every sku once": Kind(skus=1500, orders=1200),
    "one buyer": Kind(orders=6000, skus=20, twists=("one_buyer",)),
    "robot": Kind(orders=900, months=26, twists=("robot",)),
    "mills": Kind(price=0.02, digits=4, cost_share=0.4),
    "months missing": Kind(closed_months=("2025-11", "2025-12", "2026-01")),
    "closed for a quarter": Kind(closed_months=("2026-04", "2026-05", "2026-06")),
    "before the first order": Kind(month="2024-01", refused="2024-01"),
    "an earlier month": Kind(months=26, orders=900, month="2025-09"),
    "reserved words": Kind(twists=("reserved_words",)),
    "markup": Kind(twists=("markup",)),
    "no visits": Kind(twists=("no_visits",)),
    "empty shelf": Kind(twists=("empty_shelf",)),
    "gaps": Kind(months=26, orders=900, twists=("gaps",)),
    "nobody wants mail": Kind(twists=("nobody_wants_mail",)),
    "given away": Kind(twists=("given_away",)),
    "faded": Kind(months=26, orders=900, twists=("faded",)),
    "december only": Kind(months=38, orders=2500, ends_on="2025-12-31", twists=("in_december",)),
    "thin extras": Kind(twists=("thin_extras",)),
    "nothing costs": Kind(cost_share=0.0),
    "two customers a year": Kind(months=60, orders=70, customers=12),
    # an adversary's: time, people, money and measurement that do not belong together
    "late refunds": Kind(twists=("late_refunds",)),
    "negative stock": Kind(twists=("negative_stock",)),
    "one day a month": Kind(months=20, twists=("one_day_a_month",)),
    "whale": Kind(twists=("whale",)),
    "cents midway": Kind(months=16, twists=("cents_midway",)),
    "renamed midway": Kind(months=16, twists=("renamed_midway",)),
    "touched unpaid": Kind(twists=("touched_unpaid",)),
    "spend elsewhere": Kind(twists=("spend_elsewhere",)),
    "nobody treated": Kind(twists=("nobody_treated",)),
    "bought once": Kind(twists=("bought_once",)),
    "sale for ever": Kind(twists=("sale_for_ever",)),
    "never received": Kind(twists=("never_received",)),
    "fewer visits than orders": Kind(twists=("fewer_visits_than_orders",)),
    "backwards clock": Kind(twists=("backwards_clock",)),
    "one moment": Kind(twists=("one_moment",)),
    "shared login": Kind(twists=("shared_login",)),
    "many regions": Kind(twists=("many_regions",)),
    "targets of dreams": Kind(months=16, twists=("targets_of_dreams",)),
    "before the first refund": Kind(months=6, month="2026-01", orders=250),
}
#: the most orders and months of a mixed shop, and what its span is drawn from
MOST_ORDERS, MOST_MONTHS = 260, 14
SPANS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 14)


def mixed(seed: int) -> Kind:
    """A small shop with the switches of two or three kinds drawn at random, and half the
    time a further twist: what one kind sets, another leaves or sets anew; what they lack
    and their twists add up. Kinds that are refused, or ask for a month, are not drawn.
    """
    rng = np.random.default_rng([19, seed])
    names = [name for name, kind in KINDS.items() if not kind.refused and not kind.month]
    usual, out = Kind(), Kind(months=int(rng.choice(SPANS)), orders=int(rng.integers(30, 260)))
    for name in rng.choice(names, int(rng.integers(2, 4)), replace=False):
        kind = KINDS[name]
        set_here = {f.name: getattr(kind, f.name) for f in fields(Kind)}
        set_here = {n: v for n, v in set_here.items() if v != getattr(usual, n)}
        for added in ("lacks", "twists"):
            set_here[added] = tuple(dict.fromkeys((*getattr(out, added), *getattr(kind, added))))
        set_here["settings"] = out.settings | kind.settings
        out = replace(out, **set_here)
    if rng.random() < 0.5:
        more = str(rng.choice([n for n in {**TWISTS, **ODD} if n != "negative_quantities"]))
        out = replace(out, twists=tuple(dict.fromkeys((*out.twists, more))))
    return replace(
        out,
        orders=min(out.orders, MOST_ORDERS),
        months=min(out.months, MOST_MONTHS),
        customers=min(out.customers, MOST_ORDERS),
    )


def cases() -> dict[str, Path]:
    """The reported shops of `tests/cases/shops`, by name."""
    return {str(p.parent.relative_to(CASES)): p.parent for p in sorted(CASES.rglob("shop.yaml"))}


def write(kind: str | Kind, folder: Path, seed: int = 0) -> Path:
    """A store folder of this kind; the same name and seed give the same shop."""
    shop = KINDS[kind] if isinstance(kind, str) else kind
    rng = np.random.default_rng([zlib.crc32(str(kind).encode()), seed])
    orders = _orders(shop, rng)
    products = _products(shop, rng)
    lines = _lines(shop, orders, products, rng)
    orders = _with_money(orders, lines)
    tables = {
        "orders": orders,
        "order_lines": lines,
        "products": products,
        "refunds": _refunds(shop, orders, lines, rng),
        "customers": _customers(orders),
        "stock": _stock(shop, orders, lines, products, rng),
        "purchase_orders": _purchases(shop, orders, products),
        "ad_spend": _by_day(shop, orders, rng, "spend"),
        "traffic": _by_day(shop, orders, rng, "sessions"),
        "channels": pd.DataFrame(
            {
                "rule_no": range(1, len(shop.channels) + 1),
                "pattern": shop.channels,
                "channel": shop.channels,
                "is_paid": [n == 0 for n in range(len(shop.channels))],
            }
        ),
        "cost_rates": _rates(shop, orders),
        **(_points(shop, orders) if shop.points else {}),
    }
    for name in shop.twists:
        try:
            tables = (TWISTS | ODD)[name](tables)
        except (KeyError, AttributeError, IndexError):
            # one twist took away what another would have changed
            if len(shop.twists) == 1:
                raise
    return _save(shop, tables, folder)


def _save(shop: Kind, tables: dict[str, pd.DataFrame], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        if name in shop.lacks or table.empty:
            continue
        gone = [c for c in table if f"{name}.{c}" in shop.lacks]
        table = table.drop(columns=gone)
        if shop.csv:
            table.to_csv(folder / f"{name}.csv", index=False)
        else:
            table.to_parquet(folder / f"{name}.parquet", index=False)
    told = {"name": folder.name, "currency": "EUR", "timezone": "UTC", "log_starts_with_shop": True}
    text = yaml.safe_dump({**told, **shop.settings}, allow_unicode=True)
    (folder / "shop.yaml").write_text(text, encoding="utf-8")
    last = f"{pd.Timestamp(shop.ends_on).date()}"
    (folder / "store.json").write_text(f'{{"observed_to": {{"orders": "{last}"}}}}')
    return folder


def _days(shop: Kind, rng: np.random.Generator) -> pd.DatetimeIndex:
    last = pd.Timestamp(shop.ends_on)
    first = last.to_period("M").start_time - pd.DateOffset(months=shop.months - 1)
    days = pd.date_range(first + pd.Timedelta(days=shop.starts_late), last)
    is_open = days.day_of_week.isin(shop.weekdays) & ~days.strftime("%Y-%m").isin(
        shop.closed_months
    )
    is_open &= rng.random(len(days)) >= shop.quiet_share
    is_open[0] = True  # the log starts where it says
    return days[is_open]


def _orders(shop: Kind, rng: np.random.Generator) -> pd.DataFrame:
    days = _days(shop, rng)
    if shop.monthly:
        starts = rng.integers(0, max(len(days) - 60, 1), shop.customers)
        pairs = [
            (c, days[k]) for c, s in enumerate(starts) for k in range(s, len(days), 20 + c % 3)
        ]
        who, when = np.array([p[0] for p in pairs]), pd.DatetimeIndex([p[1] for p in pairs])
    else:
        season = 1 + 0.3 * np.sin(2 * np.pi * days.day_of_year.to_numpy() / 365.25)
        when = days[np.sort(rng.choice(len(days), shop.orders, p=season / season.sum()))]
        when = when if len(when) < 2 else days[:1].append(when[1:])
        # some buy often, most once or twice; and everybody starts some day
        rate = rng.gamma(0.8, 1.0, shop.customers) + 0.05
        joined = np.sort(rng.uniform(-0.3, 0.95, shop.customers))
        place = (when - days[0]) / max(days[-1] - days[0], pd.Timedelta(days=1))
        who = np.array([_pick(rng, rate, joined <= t) for t in place])
    n = len(when)
    hour = rng.integers(8, 21, n) if shop.hour is None else np.full(n, shop.hour)
    zone = shop.settings.get("timezone", "UTC")
    at = when + pd.to_timedelta(hour * 60 + rng.integers(0, 59, n), unit="min")
    is_guest = rng.random(n) < shop.guest_share
    local = pd.DatetimeIndex(at).tz_localize("UTC").tz_convert(zone)
    frame = pd.DataFrame(
        {
            "order_id": [f"o{i}{shop.mark}" for i in range(n)],
            "ordered_at": at,
            "ordered_on": local.date,
            "status": np.where(rng.random(n) < 0.03, "cancelled", "done") if n > 1 else "done",
            "customer_id": pd.Series([f"c{w}{shop.mark}" for w in who]).mask(is_guest).to_numpy(),
            "channel": rng.choice(np.array(shop.channels, dtype=object), n),
            "region": rng.choice(["north", "south"], n),
            "device": rng.choice(["mobile", "desktop"], n),
            "shipped_at": at + pd.Timedelta(days=1),
            "promised_at": at + pd.Timedelta(days=4),
            "delivered_at": at + pd.to_timedelta(rng.integers(2, 7, n), unit="D"),
        }
    )
    frame["cancelled_at"] = (at + pd.Timedelta(hours=5)).where(frame.status == "cancelled")
    sent = ["shipped_at", "promised_at", "delivered_at"]
    frame[sent] = frame[sent].mask(frame.status == "cancelled")
    late = frame.ordered_on > pd.Timestamp(shop.ends_on).date()
    frame = frame[~late]
    frame["customer_id"] = frame.customer_id.astype("string").astype(object)
    return frame.reset_index(drop=True)


def _pick(rng: np.random.Generator, rate: np.ndarray, is_here: np.ndarray) -> int:
    weight = rate * is_here if is_here.any() else rate
    return int(rng.choice(len(rate), p=weight / weight.sum()))


def _products(shop: Kind, rng: np.random.Generator) -> pd.DataFrame:
    n = shop.skus
    price = np.round(shop.price * rng.uniform(0.5, 2.0, n), shop.digits)
    return pd.DataFrame(
        {
            "sku": [f"s{i}{shop.mark}" for i in range(n)],
            "title": [f"Thing {i}{shop.mark}" for i in range(n)],
            "category": [f"{shop.categories[i % len(shop.categories)]}" for i in range(n)],
            "supplier_id": [f"sup{i % 2}" for i in range(n)],
            "list_price": price,
            "unit_cost": np.round(price * shop.cost_share, shop.digits),
            "lead_time_days": [7 + 7 * (i % 3) for i in range(n)],
            "is_active": True,
        }
    )


def _lines(
    shop: Kind, orders: pd.DataFrame, products: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    count = rng.integers(1, shop.lines + 1, len(orders))
    owner = np.repeat(np.arange(len(orders)), count)
    weight = 1.0 / np.arange(1, shop.skus + 1)
    item = rng.choice(shop.skus, len(owner), p=weight / weight.sum())
    quantity = shop.units * (1 + rng.poisson(0.3, len(owner)))
    listed = products.list_price.to_numpy()[item]
    # each sku a tenth off in some months, so that there are prices to compare
    month = pd.DatetimeIndex(pd.to_datetime(orders.ordered_on)).month.to_numpy()[owner]
    price = np.round(np.where((month + item) % 5 == 0, 0.9, 1.0) * listed, shop.digits)
    frame = pd.DataFrame(
        {
            "order_id": orders.order_id.to_numpy()[owner],
            "line_no": pd.Series(owner).groupby(owner).cumcount() + 1,
            "sku": products.sku.to_numpy()[item],
            "quantity": quantity,
            "price": price,
            "discount": 0.0,
            "list_price": listed,
            "unit_cost": products.unit_cost.to_numpy()[item],
            "title": products.title.to_numpy()[item],
        }
    )
    if shop.postage:
        extra = frame[frame.line_no == 1].iloc[::2].assign(line_no=99, sku="POST", quantity=1)
        extra = extra.assign(title="DOTCOM POSTAGE", price=shop.price * 3, is_product=False)
        frame = pd.concat([frame.assign(is_product=True), extra], ignore_index=True)
    return frame


def _with_money(orders: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    gross = (lines.price * lines.quantity).groupby(lines.order_id).sum().round(3)
    gross = orders.order_id.map(gross)
    return orders.assign(gross=gross, discount=0.0, shipping=0.0, tax=0.0, total=gross)


def _refunds(
    shop: Kind, orders: pd.DataFrame, lines: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    last = pd.Timestamp(shop.ends_on)
    back = orders[(orders.status == "done") & (orders.gross > 0)]
    back = back[rng.random(len(back)) < shop.refund_share]
    at = (back.ordered_at + pd.Timedelta(days=9)).clip(upper=last + pd.Timedelta(hours=12))
    return pd.DataFrame(
        {
            "refund_id": "r" + back.order_id,
            "order_id": back.order_id,
            "line_no": 1,
            "refunded_at": at,
            "refunded_on": at.dt.date,
            "amount": back.order_id.map(
                lines[lines.line_no == 1].set_index("order_id").eval("price * quantity")
            ).round(3),
            "customer_id": back.customer_id,
            "quantity": 1,
            "kind": "return",
            "reason": rng.choice(["late", "broken"], len(back)) if len(back) else [],
        }
    )


def _customers(orders: pd.DataFrame) -> pd.DataFrame:
    first = orders.dropna(subset="customer_id").groupby("customer_id")
    frame = first.agg(first_seen_on=("ordered_on", "min"), acquired_channel=("channel", "first"))
    return frame.reset_index().assign(is_contactable=True)


def _stock(
    shop: Kind,
    orders: pd.DataFrame,
    lines: pd.DataFrame,
    products: pd.DataFrame,
    rng: np.random.Generator,
) -> pd.DataFrame:
    if not len(orders):
        return pd.DataFrame()
    first = max(min(orders.ordered_on), pd.Timestamp(shop.ends_on).date() - dt.timedelta(days=420))
    days = pd.date_range(first, shop.ends_on)
    made = []
    for place, name in enumerate(shop.locations):
        at = days[::7] if place else days
        level = shop.units * rng.integers(0, 30, (len(at) // 20 + 1, shop.skus)).repeat(20, axis=0)
        made.append(
            pd.DataFrame(
                {
                    "day_on": np.repeat(at.date, shop.skus),
                    "sku": np.tile(products.sku.to_numpy(), len(at)),
                    "location": name,
                    "on_hand": level[: len(at)].ravel(),
                }
            )
        )
    return pd.concat(made, ignore_index=True)


def _purchases(shop: Kind, orders: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    days = pd.date_range(min(orders.ordered_on), shop.ends_on, freq="45D")
    made = []
    for number, day in enumerate(days):
        n_days = 10 + number % 5
        got = day + pd.Timedelta(days=n_days)
        is_here = got <= pd.Timestamp(shop.ends_on)
        made.append(
            products[["sku", "supplier_id", "unit_cost"]].assign(
                po_id=f"p{number}",
                ordered_on=day.date(),
                promised_on=(day + pd.Timedelta(days=10)).date(),
                received_on=got.date() if is_here else None,
                n_ordered=20 * shop.units,
                n_received=20 * shop.units if is_here else None,
            )
        )
    return pd.concat(made, ignore_index=True)


def _by_day(shop: Kind, orders: pd.DataFrame, rng: np.random.Generator, what: str) -> pd.DataFrame:
    days = pd.date_range(min(orders.ordered_on), shop.ends_on)
    days = days[days >= days[-1] - pd.Timedelta(days=420)]
    channels = shop.channels[:3]
    grid = pd.MultiIndex.from_product([days.date, channels], names=["day_on", "channel"])
    frame = grid.to_frame(index=False)
    n = len(frame)
    if what == "spend":
        frame = frame[frame.channel == channels[0]]
        spend = np.round(shop.price * rng.uniform(0.1, 0.6, len(frame)), shop.digits)
        return frame.assign(spend=spend, clicks=rng.integers(5, 50, len(frame)), region="all")
    orders_by = orders.groupby(["ordered_on", "channel"]).size()
    bought = orders_by.reindex(grid, fill_value=0).to_numpy()
    seen = bought * 12 + rng.integers(5, 40, n)
    return frame.assign(
        region="all",
        sessions=seen,
        visitors=seen,
        product_views=np.maximum(seen // 2, bought),
        add_to_carts=np.maximum(seen // 6, bought),
        checkouts=np.maximum(seen // 9, bought),
        buyers=bought,
    )


def _rates(shop: Kind, orders: pd.DataFrame) -> pd.DataFrame:
    rates = {
        "payment_share": 0.02,
        "fulfilment_per_order": round(shop.price * 0.1, 3),
        "capital_share_per_year": 0.2,
    }
    frame = pd.DataFrame({"kind": list(rates), "value": list(rates.values()), "scope": "all"})
    return frame.assign(from_on=min(orders.ordered_on))


def _points(shop: Kind, orders: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tiers and points; where `points` is negative one customer spent more than he had."""
    tiers = pd.DataFrame(
        {
            "tier": ["member", "silver", "gold"],
            "from_on": min(orders.ordered_on),
            "threshold": [0.0, 5 * shop.price, 15 * shop.price],
            "benefit_cost": [0.0, shop.price / 4, shop.price],
            "point_value": 0.01,
            "breakage_share": 0.1,
        }
    )
    known = orders.dropna(subset="customer_id")
    earned = pd.DataFrame(
        {
            "customer_id": known.customer_id,
            "changed_at": known.ordered_at,
            "points_delta": abs(shop.points),
            "reason": "earn",
        }
    )
    spent = earned[~earned.duplicated("customer_id")].iloc[:: 1 if shop.points > 0 else 7]
    lost = abs(shop.points) // 2 if shop.points > 0 else 40 * abs(shop.points)
    spent = spent.assign(
        changed_at=spent.changed_at + pd.Timedelta(hours=1), points_delta=-lost, reason="spend"
    )
    moves = pd.concat([earned, spent], ignore_index=True).sort_values(["customer_id", "changed_at"])
    moves["change_no"] = moves.groupby(["customer_id", "changed_at"]).cumcount() + 1
    moves["tier"] = "member"
    return {"tiers": tiers, "memberships": moves}
