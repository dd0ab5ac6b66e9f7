"""Orders, lines, refunds, people, goods, advertising, reviews and tickets as the shop
sees them on one evening.

Everything later than that evening is cut: a parcel on its way has no delivery, an order
of yesterday may not be paid.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from playbook.demo.attribution import campaign_of
from playbook.demo.simulate import Simulator
from playbook.demo.streams import exponential, key, poisson, uniform
from playbook.demo.world import (
    CAMPAIGN_SHARE,
    CAMPAIGNS,
    CATEGORIES,
    CHANNELS,
    COUNTRIES,
    DEVICES,
    IS_TAXED,
    PAID,
    REGIONS,
    World,
)
from playbook.demo.writing import (
    dates,
    flags,
    ids,
    money,
    numbers,
    pick,
    sort,
    table,
    texts,
    times,
    whole,
)

__all__ = [
    "Clock",
    "ad_spend",
    "buying_tables",
    "email_cents",
    "goods_tables",
    "payment_fee",
    "people_tables",
    "price_table",
    "stock_table",
    "TAX_SHARE",
]

TAX_SHARE = 0.20
PAYMENT_SHARE, PAYMENT_FIXED = 0.014, 25  # of the total, and cents
SOURCES = (
    "(direct)",
    "search-ads",
    "social-ads",
    "display-network",
    "live-room",
    "guides",
    "newsletter",
    "friend",
)
MEDIA = ("(none)", "cpc", "paid_social", "cpm", "live", "organic", "email", "referral")
CARRIERS = ("Parcel North", "Parcel South", "Orient Post")
REASONS = (
    "does not fit",
    "not as described",
    "changed my mind",
    "damaged",
    "came too late",
    "order withdrawn",
)
TOPICS = (
    "where is my order",
    "return or refund",
    "product question",
    "damaged item",
    "payment",
    "address change",
)
GOOD = (
    "Lovely quality, would buy again.",
    "质量很好，包装精美。",
    "Fast delivery and exactly as shown.",
    "喜欢！下次再买。",
    "A gift that was loved.",
)
FAIR = ("Fine for the price.", "还可以，一般。", "Nice, but smaller than expected.")
POOR = (
    "Arrived broken.",
    "物流太慢了。",
    "Came far too late.",
    "颜色和图片不一样。",
    "Not worth the money.",
)


class Clock:
    """Days of the log to seconds UTC, and the evening everything is cut at."""

    def __init__(self, world: World, until: int) -> None:
        self.day0, self.until = world.day0, until
        self.offset = np.array([world.utc_offset(d) for d in range(until + 500)], dtype=np.int64)

    def at(self, day: np.ndarray, minute: np.ndarray, second: np.ndarray | int = 0) -> np.ndarray:
        """Seconds UTC of a local minute of a day."""
        day = np.asarray(day, dtype=np.int64)
        near = np.minimum(day, len(self.offset) - 1)
        return (
            (day + self.day0.astype(np.int64)) * 1440 + minute - self.offset[near]
        ) * 60 + second


def buying_tables(sim: Simulator, a: dict, clock: Clock) -> dict[str, pa.Table]:
    """orders, order_lines, refunds, reviews and tickets of one month's orders (as known
    on the clock's evening).
    """
    world, p, until = sim.world, sim.people, clock.until
    k, day, who, region = a["o_key"], a["o_day"], a["o_who"], a["o_region"]
    n = len(k)
    of = np.repeat(np.arange(n), a["o_lines"])
    number = (
        np.arange(len(of)) - np.repeat(np.cumsum(a["o_lines"]) - a["o_lines"], a["o_lines"]) + 1
    )
    gross = np.bincount(of, a["l_price"] * a["l_quantity"], n).astype(np.int64)
    off = np.bincount(of, a["l_off"], n).astype(np.int64)
    paid_line = a["l_price"] * a["l_quantity"] - a["l_off"]
    taxed = IS_TAXED[region]
    line_tax = np.round(TAX_SHARE * paid_line).astype(np.int64) * taxed[of]
    tax = (
        np.bincount(of, line_tax, n).astype(np.int64)
        + np.round(TAX_SHARE * a["o_shipping"]).astype(np.int64) * taxed
    )
    total = gross - off + a["o_shipping"] + tax
    second = (uniform(k, "second") * 60).astype(np.int64)
    ordered = clock.at(day, a["o_minute"], second)
    fate = a["o_fate"]
    paid = ordered + a["o_pay"] * 60
    pay_day = day + (a["o_minute"] + a["o_pay"]) // 1440
    no_pay = (fate == 1) | (pay_day > until)
    cancelled = clock.at(a["o_free"], 545 + (uniform(k, "cancel-minute") * 20).astype(np.int64))
    no_cancel = ~np.isin(fate, (1, 2)) | (a["o_free"] > until)
    no_ship = (fate != 0) | (a["o_ship"] > until)
    no_arrival = (fate != 0) | (a["o_delivered"] > until)
    booked = (a["l_back"] > 0) & (a["l_back_day"] <= until)
    whole_back = (np.bincount(of, booked & np.isin(a["l_back"], (1, 3)), n) == a["o_lines"]) | (
        (fate == 3) & (np.bincount(of, booked, n) == a["o_lines"])
    )
    status = np.select([~no_cancel, whole_back, ~no_arrival, ~no_ship, ~no_pay], [4, 5, 3, 2, 1], 0)
    order_ids = ids(k, 10, days=day, day0=clock.day0)
    as_guest = (uniform(k, "as-guest") < 0.03) & ~a["o_new"] & world.on["guests"]
    is_guest = p["is_guest"][who] | as_guest
    channel = a["o_channel"]
    outage = world.incidents.get("tracking_outage")
    lost = (day >= outage[0]) & (day <= outage[1]) if outage else np.zeros(n, bool)
    names = [w for c in sorted(CAMPAIGNS) for w in CAMPAIGNS[c]]
    place, campaign = 0, np.full(n, -1)
    for c in sorted(CAMPAIGNS):
        rows = np.flatnonzero(channel == c)
        campaign[rows] = place + campaign_of(c, a["o_campaign"][rows])
        place += len(CAMPAIGNS[c])
    codes = ["WELCOME10"] + [
        t["kind"].upper().replace("-", "") + f"{round(t['depth'] * 100)}" for t in sim.treatments
    ]
    coupon = np.where(
        a["o_coupon"] > 0, np.where(a["o_treatment"] >= 0, a["o_treatment"] + 1, 0), -1
    )
    orders = table(
        "orders",
        {
            "order_id": order_ids,
            "ordered_at": times(ordered),
            "ordered_on": dates(day, clock.day0),
            "status": pick(("placed", "paid", "shipped", "done", "cancelled", "refunded"), status),
            "customer_id": ids(p["key"][who], 12, "C", missing=is_guest),
            "paid_at": times(paid, no_pay),
            "cancelled_at": times(cancelled, no_cancel),
            "channel": pick(CHANNELS, channel, lost),
            "source": pick(SOURCES, channel, lost),
            "medium": pick(MEDIA, channel, lost),
            "campaign": pick(names, campaign, lost | (campaign < 0)),
            "device": pick(DEVICES, a["o_device"]),
            "platform": pick(
                ("web", "app"), (a["o_device"] == 0) & (uniform(p["key"][who], "app") < 0.4)
            ),
            "region": pick(REGIONS, region),
            "country": pick(COUNTRIES, region),
            "currency": pick(("EUR",), np.zeros(n)),
            "gross": money(gross),
            "discount": money(off),
            "shipping": money(a["o_shipping"]),
            "tax": money(tax),
            "total": money(total),
            "coupon": pick(codes, coupon, coupon < 0),
            "n_payments": whole(1 + (uniform(k, "split-payment") < 0.03), no_pay),
            "payment_fee": money(payment_fee(total), no_pay),
            "shipped_at": times(
                clock.at(a["o_ship"], 840 + (uniform(k, "ship-minute") * 240).astype(np.int64)),
                no_ship,
            ),
            "promised_at": times(clock.at(a["o_promised"], np.full(n, 1080)), fate == 1),
            "delivered_at": times(
                clock.at(
                    a["o_delivered"], 540 + (uniform(k, "door-minute") * 600).astype(np.int64)
                ),
                no_arrival,
            ),
            "shipping_cost": money(a["o_freight"], fate == 1),
            "carrier": pick(CARRIERS, np.where(region >= 9, 2, region % 2), fate != 0),
            "is_test": flags(np.zeros(n, bool)),
        },
    )
    promos = a["promo_names"]
    lines = table(
        "order_lines",
        {
            "order_id": order_ids.take(pa.array(of)),
            "line_no": whole(number),
            "sku": pick(world.sku_ids, a["l_sku"]),
            "quantity": whole(a["l_quantity"]),
            "price": money(a["l_price"]),
            "discount": money(a["l_off"]),
            "tax": money(line_tax),
            "list_price": money(world.list_price[a["l_sku"]]),
            "unit_cost": money(a["l_cost"]),
            "title": pick(world.titles, a["l_sku"]),
            "promo_id": pick(promos or ["-"], a["l_promo"], a["l_promo"] < 0),
            "is_product": flags(np.ones(len(of), bool)),
        },
    )
    out = {"orders": orders, "order_lines": lines}
    out["refunds"] = _refunds(sim, a, clock, of, number, order_ids, is_guest, paid_line, booked)
    out["reviews"], out["tickets"] = _voices(sim, a, clock, of, order_ids, no_arrival, status)
    return out


def payment_fee(total: np.ndarray) -> np.ndarray:
    """Cents the payment provider takes."""
    return np.round(PAYMENT_SHARE * total).astype(np.int64) + PAYMENT_FIXED


def _refunds(
    sim: Simulator,
    a: dict,
    clock: Clock,
    of: np.ndarray,
    number: np.ndarray,
    order_ids: pa.Array,
    is_guest: np.ndarray,
    paid_line: np.ndarray,
    booked: np.ndarray,
) -> pa.Table:
    """Returns and part refunds by line, and the money of cancelled orders that had been
    paid.
    """
    world, p = sim.world, sim.people
    rows = np.flatnonzero(booked)
    gone = np.flatnonzero(
        (a["o_fate"][of] == 2) & (a["o_free"][of] <= clock.until) & (paid_line > 0)
    )
    line = np.concatenate([rows, gone])
    order = of[line]
    is_cancel = np.arange(len(line)) >= len(rows)
    day = np.where(is_cancel, a["o_free"][order], a["l_back_day"][line])
    kind = np.where(is_cancel, 2, np.array([0, 1, 0, 3])[a["l_back"][line]])
    amount = np.where(is_cancel, paid_line[line], a["l_back_amount"][line])
    k = key(a["l_key"][line], "refund")
    return sort(
        table(
            "refunds",
            {
                "refund_id": ids(k, 11, "R"),
                "order_id": order_ids.take(pa.array(order)),
                "line_no": whole(number[line]),
                "refunded_at": times(
                    clock.at(
                        day,
                        np.where(is_cancel, 575, 600)
                        + (uniform(k, "minute") * 360).astype(np.int64),
                    )
                ),
                "refunded_on": dates(day, clock.day0),
                "amount": money(amount),
                "customer_id": ids(p["key"][a["o_who"][order]], 12, "C", missing=is_guest[order]),
                "sku": pick(world.sku_ids, a["l_sku"][line]),
                "quantity": whole(np.where(kind == 1, a["l_quantity"][line], 0)),
                "kind": pick(("refund", "return", "cancellation", "chargeback"), kind),
                "reason": pick(
                    (*REASONS, "cancelled before shipping", "payment disputed"),
                    np.where(
                        is_cancel, 6, np.where(a["l_back"][line] == 3, 7, a["l_back_why"][line])
                    ),
                ),
            },
        ),
        "refunds",
    )


def _voices(
    sim: Simulator,
    a: dict,
    clock: Clock,
    of: np.ndarray,
    order_ids: pa.Array,
    no_arrival: np.ndarray,
    status: np.ndarray,
) -> tuple[pa.Table, pa.Table]:
    """Reviews after delivery, and cases opened with the shop."""
    world, k = sim.world, a["o_key"]
    first = np.cumsum(a["o_lines"]) - a["o_lines"]
    late_days = np.maximum(a["o_delivered"] - a["o_promised"], 0)
    trouble = np.bincount(of, a["l_back"] > 0, len(k)) > 0
    fake = a["o_fate"] == 3
    wrote = day_ok = np.where(
        fake,
        a["o_day"] + 1,
        a["o_delivered"] + 2 + np.floor(12 * uniform(k, "review-day")).astype(np.int64),
    )
    rows = np.flatnonzero(
        (
            (
                uniform(k, "review")
                < np.where(fake, 0.9, 0.11 + 0.07 * trouble + 0.05 * (late_days > 0))
            )
            & (fake | ~no_arrival)
        )
        & (day_ok <= clock.until)
    )
    mood = (
        4.75
        - 0.24 * np.minimum(late_days, 8)
        - 1.6 * trouble
        + 0.75 * (uniform(k, "mood") + uniform(k, "mood2") + uniform(k, "mood3") - 1.5) * 1.6
    )
    stars = np.where(fake, 5, np.clip(np.round(mood), 1, 5)).astype(np.int64)[rows]
    words = GOOD + FAIR + POOR
    u = uniform(k[rows], "words")
    said = np.where(
        stars >= 4,
        (u * len(GOOD)).astype(int),
        np.where(
            stars == 3,
            len(GOOD) + (u * len(FAIR)).astype(int),
            len(GOOD) + len(FAIR) + (u * len(POOR)).astype(int),
        ),
    )
    answer_day = wrote[rows] + 1 + np.floor(3 * uniform(k[rows], "answer")).astype(np.int64)
    silent = (uniform(k[rows], "answered") > np.where(stars <= 3, 0.8, 0.25)) | (
        answer_day > clock.until
    )
    reviews = sort(
        table(
            "reviews",
            {
                "review_id": ids(k[rows], 11, "V"),
                "created_at": times(
                    clock.at(wrote[rows], 480 + (uniform(k[rows], "rm") * 800).astype(np.int64))
                ),
                "stars": numbers(stars),
                "order_id": order_ids.take(pa.array(rows)),
                "sku": pick(world.sku_ids, a["l_sku"][first[rows]]),
                "text": pick(words, said, uniform(k[rows], "wordless") < 0.3),
                "answered_at": times(clock.at(answer_day, np.full(len(rows), 700)), silent),
            },
        ),
        "reviews",
    )
    is_late = (late_days > 0) & (a["o_fate"] == 0)
    asks = uniform(k, "ticket") < np.select(
        [is_late, trouble, a["o_fate"] == 1], [0.30, 0.45, 0.15], 0.035
    )
    opened = np.select(
        [is_late, trouble],
        [a["o_promised"] + 1, a["o_delivered"] + 3],
        a["o_day"] + np.floor(4 * uniform(k, "ask-day")).astype(np.int64),
    )
    rows = np.flatnonzero(asks & (opened <= clock.until) & ~fake)
    topic = np.select(
        [is_late, trouble & (uniform(k, "tk") < 0.7), trouble, a["o_fate"] == 1],
        [0, 1, 3, 4],
        np.array([2, 5, 0, 2])[(uniform(k, "tk") * 4).astype(int)],
    )[rows]
    r = k[rows]
    minute = 480 + (uniform(r, "tm") * 700).astype(np.int64)
    start = clock.at(opened[rows], minute)
    reply = start + (3600 * (0.3 + 5.5 * exponential(r, "reply"))).astype(np.int64)
    close = reply + (3600 * (0.5 + 30 * exponential(r, "close"))).astype(np.int64)
    end = clock.at(np.array([clock.until + 1]), np.array([0]))[0]
    tickets = sort(
        table(
            "tickets",
            {
                "ticket_id": ids(r, 11, "T"),
                "opened_at": times(start),
                "first_reply_at": times(reply, reply >= end),
                "closed_at": times(close, close >= end),
                "topic": pick(TOPICS, topic),
                "order_id": order_ids.take(pa.array(rows)),
                "is_reopened": flags((uniform(r, "again") < 0.08) & (close < end)),
                "csat": numbers(
                    np.clip(
                        np.round(
                            4.8
                            - (reply - start) / 36000
                            - (topic == 0) * 0.8
                            - 1.5 * uniform(r, "csat")
                        ),
                        1,
                        5,
                    ),
                    (uniform(r, "answers") > 0.4) | (close >= end),
                ),
            },
        ),
        "tickets",
    )
    return reviews, tickets


def people_tables(sim: Simulator, clock: Clock) -> dict[str, pa.Table]:
    """customers, treatments and the geo tests that have begun."""
    world, p, n = sim.world, sim.people, sim.n
    known = np.flatnonzero(~p["is_guest"][:n])
    outage = world.incidents.get("tracking_outage")
    born = p["born"][known]
    lost = (born >= outage[0]) & (born <= outage[1]) if outage else np.zeros(len(known), bool)
    out = {
        "customers": sort(
            table(
                "customers",
                {
                    "customer_id": ids(p["key"][known], 12, "C"),
                    "first_seen_on": dates(born, clock.day0),
                    "region": pick(REGIONS, p["region"][known]),
                    "country": pick(COUNTRIES, p["region"][known]),
                    "is_contactable": flags(p["is_contactable"][known]),
                    "acquired_channel": pick(CHANNELS, p["channel"][known], lost),
                    "is_business": flags(p["is_business"][known]),
                },
            ),
            "customers",
        )
    }
    if sim.treatments:
        parts = []
        for t in sim.treatments:
            m = len(t["who"])
            parts.append(
                table(
                    "treatments",
                    {
                        "treatment_id": pick((t["treatment_id"],), np.zeros(m)),
                        "customer_id": ids(p["key"][t["who"]], 12, "C"),
                        "arm": pick(("holdout", "treated"), t["is_treated"]),
                        "assigned_at": times(clock.at(np.full(m, t["day"]), np.full(m, 480))),
                        "planned_share": numbers(
                            np.where(t["is_treated"], t["planned_share"], 1 - t["planned_share"])
                        ),
                        "cost": money(np.where(t["is_treated"], round(t["cost"] * 100), 0)),
                    },
                )
            )
        out["treatments"] = sort(pa.concat_tables(parts), "treatments")
    tests = [t for t in sim.geo_tests if t["first"] <= clock.until]
    if tests:
        rows = [(t, r) for t in tests for r in range(len(REGIONS))]
        out["geo_tests"] = sort(
            table(
                "geo_tests",
                {
                    "test_id": texts([t["test_id"] for t, _ in rows]),
                    "region": texts([REGIONS[r] for _, r in rows]),
                    "arm": texts(["treated" if r in t["regions"] else "control" for t, r in rows]),
                    "starts_on": dates(np.array([t["first"] for t, _ in rows]), clock.day0),
                    "ends_on": dates(np.array([t["last"] for t, _ in rows]), clock.day0),
                    "channel": texts([CHANNELS[t["channel"]] for t, _ in rows]),
                },
            ),
            "geo_tests",
        )
    return out


def goods_tables(sim: Simulator, chunks: list[dict], clock: Clock) -> dict[str, pa.Table]:
    """products, purchase_orders, prices and promotions."""
    world = sim.world
    rows = np.flatnonzero(world.launched <= clock.until)
    cost = world.unit_cost(clock.until)
    brand = (uniform(world.sku_key, "brand") * 4).astype(int)
    out = {
        "products": sort(
            table(
                "products",
                {
                    "sku": pick(world.sku_ids, rows),
                    "product_id": texts([f"P-{i // 2:04d}" for i in rows]),
                    "title": pick(world.titles, rows),
                    "category": pick([c[0] for c in CATEGORIES], world.category[rows]),
                    "brand": pick(("House", "Lind & Rå", "青山", "Atelier 9"), brand[rows]),
                    "supplier_id": pick(world.supplier_ids, world.supplier[rows]),
                    "list_price": money(world.list_price[rows]),
                    "unit_cost": money(cost[rows]),
                    "launched_on": dates(world.launched[rows], clock.day0),
                    "lead_time_days": numbers(world.lead_stated[world.supplier[rows]]),
                    "min_order_units": whole(world.min_order[rows]),
                    "pack_units": whole(world.pack[rows]),
                    "weight_kg": numbers(world.weight[rows]),
                    "is_active": flags(world.life(clock.until)[rows] > 0.12),
                },
            ),
            "products",
        )
    }
    lines = sim.purchase_orders
    if lines:
        col = {
            c: np.array([line[c] for line in lines])
            for c in (
                "sku",
                "supplier",
                "ordered",
                "promised",
                "received",
                "n_ordered",
                "n_received",
                "n_defective",
                "cost",
            )
        }
        opened = col["received"] > clock.until
        out["purchase_orders"] = sort(
            table(
                "purchase_orders",
                {
                    "po_id": texts([line["po_id"] for line in lines]),
                    "sku": pick(world.sku_ids, col["sku"]),
                    "supplier_id": pick(world.supplier_ids, col["supplier"]),
                    "ordered_on": dates(col["ordered"], clock.day0),
                    "promised_on": dates(col["promised"], clock.day0),
                    "received_on": dates(col["received"], clock.day0, opened),
                    "n_ordered": whole(col["n_ordered"]),
                    "n_received": whole(col["n_received"], opened),
                    "n_defective": whole(col["n_defective"], opened),
                    "unit_cost": money(col["cost"]),
                },
            ),
            "purchase_orders",
        )
    price = np.concatenate([c["env"]["price"] for c in chunks])
    out["prices"] = price_table(world, price, clock)
    promos = [
        q
        for q in world.promotions(clock.until + 1) + sim.extra_promotions
        if q.first <= clock.until and len(q.skus)
    ]
    if promos:
        out["promotions"] = table(
            "promotions",
            {
                "promo_id": texts([q.promo_id for q in promos]),
                "starts_on": dates(np.array([q.first for q in promos]), clock.day0),
                "ends_on": dates(np.array([q.last for q in promos]), clock.day0),
                "kind": texts([q.kind for q in promos]),
                "depth_share": numbers([q.depth for q in promos]),
                "skus": texts([" ".join(world.sku_ids[q.skus]) for q in promos]),
                "cost": money(np.array([q.cost for q in promos])),
            },
        )
    return out


def stock_table(sim: Simulator, chunk: dict, clock: Clock) -> pa.Table:
    """The closing position of every launched sku on every day of a month."""
    world, days = sim.world, np.arange(chunk["first"], chunk["last"])
    d, s = np.nonzero(days[:, None] >= world.launched[None, :])
    at = chunk["stock"][d, :, s].astype(np.int64)
    return table(
        "stock",
        {
            "day_on": dates(days[d], clock.day0),
            "sku": pick(world.sku_ids, s),
            "location": pick(("main",), np.zeros(len(d))),
            "on_hand": whole(at[:, 0]),
            "available": whole(np.maximum(at[:, 0] - at[:, 1], 0)),
            "committed": whole(np.minimum(at[:, 1], at[:, 0])),
            "incoming": whole(at[:, 2]),
            "unsellable": whole(at[:, 3]),
            "unit_cost": money(chunk["env"]["cost"][s]),
        },
    )


def price_table(world: World, price: np.ndarray, clock: Clock) -> pa.Table:
    """Own price changes as they stood (cents by day and sku), and a few competitors'
    prices of every quarter.
    """
    change = np.zeros(price.shape, bool)
    change[0] = world.launched == 0
    change[1:] = (price[1:] != price[:-1]) & (np.arange(1, len(price))[:, None] >= world.launched)
    starts = (world.launched > 0) & (world.launched < len(price))
    change[world.launched[starts], np.flatnonzero(starts)] = True
    s, d = np.nonzero(change.T)
    last = np.r_[s[1:] != s[:-1], True] if len(s) else np.zeros(0, bool)
    until = np.where(last, 0, np.r_[d[1:] - 1, 0])
    rows = [(d, s, np.zeros(len(s), int), price[d, s], until, last)]
    quarters = np.arange(0, len(price), 91)
    q, s = np.meshgrid(quarters, np.arange(world.preset.skus), indexing="ij")
    q, s = q.ravel(), s.ravel()
    for c in (1, 2, 3):
        k = key(world.sku_key[s], "competitor", c, q)
        level = np.exp(
            0.12 * (uniform(key(world.sku_key[s], "level", c), "u") * 2 - 1)
            + 0.04 * (uniform(k, "now") * 2 - 1)
        )
        keep = (uniform(key(world.sku_key[s], "watched", c), "u") < 0.35) & (world.launched[s] <= q)
        end = np.minimum(q + 90, 10**6)
        rows.append(
            (
                q[keep],
                s[keep],
                np.full(keep.sum(), c),
                (np.round(world.list_price[s] * level / 10) * 10).astype(np.int64)[keep],
                end[keep],
                (q + 91 >= len(price))[keep],
            )
        )
    d, s, who, cents, until, current = (np.concatenate(x) for x in zip(*rows, strict=True))
    return sort(
        table(
            "prices",
            {
                "from_on": dates(d, clock.day0),
                "sku": pick(world.sku_ids, s),
                "seller": pick(("own", "Seller A", "Seller B", "卖家丙"), who),
                "price": money(cents),
                "until_on": dates(until, clock.day0, current),
                "currency": pick(("EUR",), np.zeros(len(d))),
            },
        ),
        "prices",
    )


def ad_spend(sim: Simulator, chunk: dict, clock: Clock) -> pa.Table:
    """A month's spend by day, channel, campaign and region with what platforms claim,
    the extracts' incidents in it.
    """
    world, parts = sim.world, []
    cut, twice = world.incidents.get("ad_extract_ends"), world.incidents.get("double_load")
    days = np.arange(chunk["first"], chunk["last"])
    for c in PAID:
        shares = np.array(CAMPAIGN_SHARE[c])
        cents = np.round(chunk["spend"][:, c, None, :] * shares[None, :, None] * 100).astype(
            np.int64
        )
        orders, value = chunk["claims"].get(c, (None, None))
        d, g, r = (x.ravel() for x in np.indices(cents.shape))
        row = {
            "day": days[d],
            "channel": np.full(len(d), c),
            "campaign": g,
            "region": r,
            "cents": cents.ravel(),
            "orders": np.zeros(len(d)) if orders is None else orders.ravel(),
            "value": np.zeros(len(d), np.int64) if value is None else value.ravel(),
            "claims": np.full(len(d), orders is not None),
        }
        if cut and c == 3:
            keep = ~((row["day"] >= cut[0]) & (row["day"] <= cut[1]))
            row = {x: v[keep] for x, v in row.items()}
        parts.append(row)
        if twice and c == 1 and days[0] <= twice[0] <= days[-1]:
            again = (days >= twice[0]) & (days <= twice[1])
            d, g = (x.ravel() for x in np.indices((int(again.sum()), len(shares))))
            parts.append(
                {
                    "day": days[again][d],
                    "channel": np.full(len(d), c),
                    "campaign": g,
                    "region": np.full(len(d), len(REGIONS)),
                    "cents": cents[again].sum(axis=2).ravel(),
                    "orders": orders[again].sum(axis=2).ravel(),
                    "value": value[again].sum(axis=2).ravel(),
                    "claims": np.full(len(d), True),
                }
            )
    sent = chunk["o_new"] & (chunk["o_cause"] == 7) & (chunk["o_fate"] == 0)
    rewards = (
        np.bincount(
            (chunk["o_day"][sent] - chunk["first"]) * len(REGIONS) + chunk["o_region"][sent],
            minlength=len(days) * len(REGIONS),
        )
        * 500
    )
    d, r = (x.ravel() for x in np.indices((len(days), len(REGIONS))))
    none = np.zeros(len(d), np.int64)
    parts.append(
        {
            "day": days[d],
            "channel": none + 7,
            "campaign": none,
            "region": r,
            "cents": rewards,
            "orders": none,
            "value": none,
            "claims": none > 0,
        }
    )
    m = len(days)
    none = np.zeros(m, np.int64)
    parts.append(
        {
            "day": days,
            "channel": none + 6,
            "campaign": none,
            "region": none + len(REGIONS),
            "cents": none + email_cents(sim),
            "orders": none,
            "value": none,
            "claims": none > 0,
        }
    )
    a = {x: np.concatenate([q[x] for q in parts]) for x in parts[0]}
    names = {**CAMPAIGNS, 6: ("newsletter",), 7: ("rewards",)}
    flat = [w for c in sorted(names) for w in names[c]]
    start = np.zeros(len(CHANNELS), np.int64)
    for c in sorted(names):
        start[c] = flat.index(names[c][0]) if c != 3 else flat.index("retargeting")
    k = key(world.seed, "ads", a["day"], a["channel"] * 1000 + a["campaign"] * 100 + a["region"])
    cpc = (
        np.array([1, 0.55, 0.40, 0.25, 0.45, 0.30, 0.05, 1])[a["channel"]]
        * np.array([1.3, 0.8])[a["campaign"] % 2]
    )
    clicks = poisson(k, "clicks", a["cents"] / 100 / cpc)
    seen = poisson(
        k, "impressions", clicks * np.array([1, 25, 90, 180, 30, 20, 8, 1])[a["channel"]]
    )
    no = ~a["claims"]
    return sort(
        table(
            "ad_spend",
            {
                "day_on": dates(a["day"], clock.day0),
                "channel": pick(CHANNELS, a["channel"]),
                "campaign": pick(flat, start[a["channel"]] + a["campaign"]),
                "region": pick((*REGIONS, "all"), a["region"]),
                "spend": money(a["cents"]),
                "impressions": whole(np.maximum(seen, clicks), a["channel"] == 7),
                "clicks": whole(clicks, a["channel"] == 7),
                "platform_orders": numbers(a["orders"], no),
                "platform_value": money(a["value"], no),
                "currency": pick(("EUR",), np.zeros(len(no))),
            },
        ),
        "ad_spend",
    )


def email_cents(sim: Simulator) -> int:
    """Cents a day the mailing tool costs."""
    return round(sim.world.preset.customers * 0.02)
