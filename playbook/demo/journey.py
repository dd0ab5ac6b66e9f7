"""Visits and what hangs on them: traffic by day, events, touchpoints, tests at the
checkout, points of members.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pyarrow as pa

from playbook.demo.simulate import Simulator
from playbook.demo.streams import key, poisson, uniform
from playbook.demo.tables import MEDIA, SOURCES, Clock
from playbook.demo.world import CHANNELS, DEVICES, N_CAUSES, REGION_SHARE, REGIONS
from playbook.demo.writing import dates, flags, ids, money, numbers, pick, sort, table, times, whole

__all__ = ["POINTS", "TIERS", "event_tables", "experiments", "memberships", "traffic"]

_D, _R = len(DEVICES), len(REGIONS)
SESSIONS_PER_HEAD = 53.0  # visits without any intent to buy, beside each arrival of an ordinary day
TIERS = (("basic", 0), ("silver", 15_000), ("gold", 40_000))  # cents spent in twelve months
POINTS = {"point_value": 0.01, "breakage_share": 0.25, "days": 365}


def _cells(
    day: np.ndarray, channel: np.ndarray, device: np.ndarray, region: np.ndarray
) -> np.ndarray:
    return ((day * N_CAUSES + channel) * _D + device) * _R + region


def traffic_counts(sim: Simulator, chunk: dict) -> dict[str, np.ndarray]:
    """Counts by day, channel, device and region of a month: sessions, product views,
    carts, checkouts, buyers.
    """
    world, first = sim.world, chunk["first"]
    days = chunk["last"] - first
    size = days * N_CAUSES * _D * _R
    real = chunk["o_fate"] != 9
    buyers = np.bincount(
        _cells(
            chunk["o_day"][real] - first,
            chunk["o_channel"][real],
            chunk["o_device"][real].astype(np.int64),
            chunk["o_region"][real],
        ),
        minlength=size,
    )
    b = chunk["baskets"]
    failed = b[(b[:, 4] == 1) & (b[:, 5] == 0)]
    cause = np.where(failed[:, 3] >= 100, 6, np.where(failed[:, 3] == 99, 0, failed[:, 3]))
    left = np.bincount(
        _cells(failed[:, 0] - first, cause, failed[:, 2], failed[:, 1]), minlength=size
    )
    checkouts = buyers + left
    env = chunk["env"]
    shape = (days, N_CAUSES, _D, _R)
    per_day = world.scale * SESSIONS_PER_HEAD
    weight = np.zeros((days, N_CAUSES, _R))
    weight[:, 0] = 0.26
    weight[:, 6] = 0.04 + 0.08 * (np.arange(first, first + days) // 7 % 2 == 0)[:, None]
    weight[:, 7] = 0.02
    weight *= (env["demand"] * (0.75 + 0.5 * np.minimum(env["days"] / world.n_days, 1.5)))[
        :, None, None
    ]
    for c, top in ((1, 0.42), (2, 0.5), (3, 0.34), (4, 0.3), (5, 0.34)):
        weight[:, c] = top * chunk["reach"][:, c]
    device = np.array(
        [
            [0.62, 0.33, 0.05],
            [0.6, 0.34, 0.06],
            [0.86, 0.1, 0.04],
            [0.7, 0.24, 0.06],
            [0.94, 0.04, 0.02],
            [0.5, 0.43, 0.07],
            [0.58, 0.37, 0.05],
            [0.6, 0.34, 0.06],
        ]
    )
    mean = per_day * weight[:, :, None, :] * REGION_SHARE * device[None, :, :, None]
    k = key(
        sim.salt,
        "browse",
        np.arange(first, chunk["last"])[:, None] * (N_CAUSES * _D * _R)
        + np.arange(N_CAUSES * _D * _R)[None, :],
    )
    browse = poisson(k.ravel(), "sessions", mean.ravel())
    view = np.array([0.46, 0.52, 0.38, 0.5, 0.55, 0.4, 0.5, 0.5])
    looked = np.floor(
        browse * view[np.indices(shape)[1].ravel()] + uniform(k.ravel(), "views")
    ).astype(np.int64)
    carted = np.minimum(poisson(k.ravel(), "carts", 0.055 * browse), looked)
    sessions = browse + checkouts
    return {
        "sessions": sessions,
        "visitors": np.maximum(np.floor(0.93 * sessions).astype(np.int64), buyers),
        "product_views": looked + checkouts,
        "add_to_carts": carted + checkouts,
        "checkouts": checkouts,
        "buyers": buyers,
    }


def traffic(sim: Simulator, chunk: dict, clock: Clock) -> pa.Table:
    """The traffic table of a month; days of a tracking outage are not there."""
    counts = chunk["traffic"]
    days = chunk["last"] - chunk["first"]
    d, c, v, r = (x.ravel() for x in np.indices((days, N_CAUSES, _D, _R)))
    keep = np.ones(len(d), bool)
    outage = sim.world.incidents.get("tracking_outage")
    if outage:
        keep = ~((d + chunk["first"] >= outage[0]) & (d + chunk["first"] <= outage[1]))
    return sort(
        table(
            "traffic",
            {
                "day_on": dates(d[keep] + chunk["first"], clock.day0),
                "channel": pick(CHANNELS, c[keep]),
                "device": pick(DEVICES, v[keep]),
                "region": pick(REGIONS, r[keep]),
                **{name: whole(x[keep]) for name, x in counts.items()},
            },
        ),
        "traffic",
    )


def event_tables(sim: Simulator, chunk: dict, clock: Clock) -> dict[str, pa.Table]:
    """Events and touchpoints of a month, tied to its traffic and orders."""
    return {"events": _events(sim, chunk, clock), "touchpoints": _touchpoints(sim, chunk, clock)}


def _events(sim: Simulator, chunk: dict, clock: Clock) -> pa.Table:
    world, p, t = sim.world, sim.people, chunk["traffic"]
    cell = np.flatnonzero(t["sessions"] > 0)
    n = t["sessions"][cell]
    of = np.repeat(cell, n)
    rank = np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
    depth = sum(
        (rank < t[name][of]).astype(np.int64)
        for name in ("product_views", "add_to_carts", "checkouts", "buyers")
    )
    region, device, channel, day = (
        of % _R,
        of // _R % _D,
        of // (_R * _D) % N_CAUSES,
        of // (_R * _D * N_CAUSES),
    )
    k = key(sim.salt, "session", (of.astype(np.int64) + chunk["first"] * 300), rank)
    order_cell = _cells(
        chunk["o_day"] - chunk["first"],
        chunk["o_channel"],
        chunk["o_device"].astype(np.int64),
        chunk["o_region"],
    )
    line_up = np.argsort(order_cell, kind="stable")
    order = np.full(len(of), -1)
    order[depth == 4] = (
        line_up  # cells ascend on both sides, and each holds as many buyers as orders
    )
    bought = order >= 0
    who = np.where(bought, chunk["o_who"][np.maximum(order, 0)], -1)
    visitor = np.where(
        bought,
        key(p["key"][np.maximum(who, 0)], "browser"),
        key(sim.salt, "visitor", of + chunk["first"] * 300, (rank * 9) // 10),
    )
    first_line = np.cumsum(chunk["o_lines"]) - chunk["o_lines"]
    popular = np.cumsum(world.appeal * np.maximum(world.life(chunk["first"] + 15), 0))
    sku = np.searchsorted(popular / popular[-1], uniform(k, "looks-at") * 0.999999)
    sku = np.where(bought, chunk["l_sku"][first_line[np.maximum(order, 0)]], sku)
    minute = np.where(
        bought,
        chunk["o_minute"][np.maximum(order, 0)] - 6,
        360 + (uniform(k, "minute") * 1060).astype(np.int64),
    )
    start = clock.at(day + chunk["first"], minute, (uniform(k, "second") * 60).astype(np.int64))
    m = depth + 1
    row = np.repeat(np.arange(len(of)), m)
    step = np.arange(len(row)) - np.repeat(np.cumsum(m) - m, m)
    at = start[row] + step * (30 + (uniform(key(k[row], step), "pause") * 50).astype(np.int64))
    at = np.where(
        bought[row] & (step == 4),
        clock.at(
            chunk["o_day"],
            chunk["o_minute"],
            (uniform(chunk["o_key"], "second") * 60).astype(np.int64),
        )[np.maximum(order[row], 0)],
        at,
    )
    is_account = bought & ~p["is_guest"][np.maximum(who, 0)]
    order_ids = ids(chunk["o_key"], 10, days=chunk["o_day"], day0=clock.day0)
    is_sale = bought[row] & (step == 4)
    return table(
        "events",
        {
            "event_id": ids(key(k[row], step), 12, "E"),
            "occurred_at": times(at),
            "visitor_id": ids(visitor, 12, "B").take(pa.array(row)),
            "session_id": ids(k, 12, "S").take(pa.array(row)),
            "customer_id": ids(p["key"][np.maximum(who, 0)], 12, "C", missing=~is_account).take(
                pa.array(row)
            ),
            "name": pick(
                ("session_start", "view_item", "add_to_cart", "begin_checkout", "purchase"), step
            ),
            "sku": pick(world.sku_ids, sku[row], (step == 0) | (step >= 3)),
            "order_id": order_ids.take(pa.array(np.maximum(order[row], 0), mask=~is_sale)),
            "amount": money(chunk["o_revenue"][np.maximum(order[row], 0)], ~is_sale),
            "source": pick(SOURCES, channel[row]),
            "medium": pick(MEDIA, channel[row]),
            "device": pick(DEVICES, device[row]),
            "region": pick(REGIONS, region[row]),
        },
    )


def _touchpoints(sim: Simulator, chunk: dict, clock: Clock) -> pa.Table:
    """Journeys of the month's orders, touches in order of time, and four times as many
    that end in nothing.
    """
    touch, pull = chunk["o_touch"], chunk["o_pull"]
    order, channel = np.nonzero(touch)
    by = np.lexsort((pull[order, channel], order))
    order, channel = order[by], channel[by]
    n_touch = np.bincount(order, minlength=len(touch))
    number = np.arange(len(order)) - np.repeat(np.cumsum(n_touch) - n_touch, n_touch) + 1
    is_last = number == n_touch[order]
    k = chunk["o_key"][order]
    ordered = clock.at(chunk["o_day"], chunk["o_minute"])[order]
    back = (n_touch[order] - number) * 86_400 * (0.2 + 2.4 * uniform(chunk["o_key"], "pace"))[order]
    at = ordered - 120 - back.astype(np.int64)
    m = 4 * len(touch)
    j = key(sim.salt, "journey", chunk["first"], np.arange(m))
    day = (uniform(j, "day") * (chunk["last"] - chunk["first"])).astype(np.int64)
    r = (uniform(j, "region") * _R).astype(np.int64)
    seen = np.stack(
        [
            uniform(j, f"saw/{c}")
            < (
                0.30 * chunk["reach"][day, c, r]
                if 1 <= c <= 5
                else (0.22, 0, 0, 0, 0, 0, 0.06, 0.01)[c]
            )
            for c in range(N_CAUSES)
        ],
        axis=1,
    )
    seen[:, 0] |= ~seen.any(axis=1)
    draw = np.stack([uniform(j, f"when/{c}") for c in range(N_CAUSES)], axis=1)
    jo, jc = np.nonzero(seen)
    by = np.lexsort((draw[jo, jc], jo))
    jo, jc = jo[by], jc[by]
    n2 = seen.sum(axis=1)
    number2 = np.arange(len(jo)) - np.repeat(np.cumsum(n2) - n2, n2) + 1
    begin = clock.at(day + chunk["first"], 360 + (uniform(j, "minute") * 1000).astype(np.int64))
    at2 = begin[jo] + ((number2 - 1) * 3600 * (1 + 20 * uniform(j, "pace"))[jo]).astype(np.int64)
    journey = pa.concat_arrays([ids(k, 12, "J"), ids(j[jo], 12, "J")])
    zero = np.zeros(len(jo), np.int64)
    return table(
        "touchpoints",
        {
            "journey_id": journey,
            "touch_no": whole(np.r_[number, number2]),
            "channel": pick(CHANNELS, np.r_[channel, jc]),
            "touched_at": times(np.r_[at, at2]),
            "is_conversion": flags(np.r_[is_last, zero > 0]),
            "amount": money(
                np.r_[np.where(is_last, chunk["o_revenue"][order], 0), zero],
                ~np.r_[is_last, zero > 0],
            ),
            "n_journeys": whole(np.ones(len(order) + len(jo))),
        },
    )


def experiments(sim: Simulator, a: dict, chunks: list[dict], clock: Clock) -> pa.Table | None:
    """One row per visitor of the tests: who came, in which arm, whether and what they
    bought, and bought before.
    """
    p, n, parts = sim.people, sim.n, []
    for test in sim.experiments():
        if test["first"] > clock.until:
            continue
        last = min(test["last"], clock.until)
        inside = (a["o_day"] >= test["first"]) & (a["o_day"] <= last) & (a["o_fate"] != 3)
        spent = np.bincount(a["o_who"][inside], a["o_revenue"][inside], n).astype(np.int64)
        came = np.full(n, 10**6)
        np.minimum.at(came, a["o_who"][inside], a["o_day"][inside])
        converted = came < 10**6
        before = (
            (a["o_day"] >= test["first"] - 90) & (a["o_day"] < test["first"]) & (a["o_fate"] == 0)
        )
        earlier = np.bincount(a["o_who"][before], a["o_revenue"][before], n).astype(np.int64)
        born = p["born"][:n] < test["first"]
        looks = (
            born
            & ~converted
            & (
                uniform(key(p["key"][:n], "test-visit", test["number"]), "u")
                < np.where(p["alive"][:n], 0.5, 0.1)
            )
        )
        rows = np.flatnonzero(converted | looks)
        visits = sum(
            c["n_visits"] for c in chunks if c["first"] <= last and c["last"] > test["first"]
        )
        m = max(int(0.8 * visits * min((last - test["first"] + 1) / 30.0, 1.0)) - len(rows), 0)
        stranger = key(sim.salt, "test-visitor", test["number"], np.arange(m))
        k = np.concatenate([p["key"][rows], stranger])
        is_b = uniform(key(k, "test", test["number"]), "arm") < test["share_b"]
        day = np.concatenate([np.where(converted[rows], came[rows], 0), np.zeros(m, np.int64)])
        day = np.where(
            day > 0,
            day,
            test["first"]
            + np.floor((last - test["first"] + 1) * uniform(k, "visit-day")).astype(np.int64),
        )
        none = np.zeros(m, np.int64)
        parts.append(
            table(
                "experiments",
                {
                    "test_id": pick((test["test_id"],), np.zeros(len(k))),
                    "visitor_id": ids(key(k, "browser"), 12, "B"),
                    "arm": pick(("A", "B"), is_b),
                    "assigned_at": times(clock.at(day, np.full(len(k), 355))),
                    "is_converted": flags(np.r_[converted[rows], none > 0]),
                    "amount": money(np.r_[spent[rows], none]),
                    "planned_share": numbers(np.where(is_b, test["share_b"], 1 - test["share_b"])),
                    "amount_before": money(np.r_[earlier[rows], none]),
                },
            )
        )
    return sort(pa.concat_tables(parts), "experiments") if parts else None


def memberships(sim: Simulator, a: dict, clock: Clock) -> pa.Table | None:
    """Points and tiers of members: a point per euro, spent by the hundred, gone after a
    year. Joining changes nothing in what people buy (the truth of this shop): members
    only were better customers before.
    """
    p, n = sim.people, sim.n
    member = (
        p["is_contactable"][:n]
        & ~p["is_guest"][:n]
        & (uniform(p["key"][:n], "joins") < 0.55)
        & (p["cause"][:n] != 99)
    )
    rows = np.flatnonzero(member[a["o_who"]] & np.isin(a["o_fate"], (0,)))
    rows = rows[np.lexsort((a["o_minute"][rows], a["o_day"][rows], a["o_who"][rows]))]
    out: dict[str, list] = {c: [] for c in ("who", "at", "no", "tier", "points", "why", "until")}
    draw, choice = uniform(a["o_key"], "spends-points"), uniform(a["o_key"], "how-many-points")

    def note(who: int, at: int, tier: int, points: int, why: int, until: int = -1) -> None:
        for column, value in zip(
            out.values(), (who, at, len(out["who"]), tier, points, why, until), strict=True
        ):
            column.append(value)

    who_now, lots, window, tier = -1, deque(), deque(), 0

    def expire(up_to: int) -> None:
        while lots and lots[0][0] <= up_to:
            day, left = lots.popleft()
            if left:
                note(who_now, day * 1440 + 5, tier, -left, 2)

    for who, day, minute, cents, u, v in zip(
        a["o_who"][rows].tolist(),
        a["o_day"][rows].tolist(),
        a["o_minute"][rows].tolist(),
        a["o_revenue"][rows].tolist(),
        draw[rows].tolist(),
        choice[rows].tolist(),
        strict=True,
    ):
        if who != who_now:
            expire(clock.until)
            who_now, lots, window, tier = who, deque(), deque(), 0
        expire(day)
        window.append((day, cents))
        while window[0][0] < day - 365:
            window.popleft()
        points = cents // 100
        if points:
            lots.append([day + POINTS["days"], points])
            note(who, day * 1440 + minute + 30, tier, points, 0, day + POINTS["days"])
        new = max(i for i, (_, least) in enumerate(TIERS) if sum(c for _, c in window) >= least)
        if new != tier:
            tier = new
            note(who, day * 1440 + minute + 31, tier, 0, 3)
        balance = sum(lot[1] for lot in lots)
        if balance >= 200 and u < 0.3:
            spend = 100 * max(1, int(balance / 100 * v))
            note(who, day * 1440 + minute + 32, tier, -spend, 1)
            for lot in lots:
                take = min(lot[1], spend)
                lot[1] -= take
                spend -= take
    expire(clock.until)
    if not out["who"]:
        return None
    who, at = np.array(out["who"]), np.array(out["at"])
    keep = at // 1440 <= clock.until
    day, until = at // 1440, np.array(out["until"])
    by = np.lexsort((np.arange(len(who)), at, who))
    again = np.r_[False, (who[by][1:] == who[by][:-1]) & (at[by][1:] == at[by][:-1])]
    run = np.arange(len(by))
    no = np.empty(len(by), np.int64)
    no[by] = run - np.maximum.accumulate(np.where(again, 0, run)) + 1
    return sort(
        table(
            "memberships",
            {
                "customer_id": ids(p["key"][who], 12, "C"),
                "changed_at": times(clock.at(day, at % 1440)),
                "change_no": whole(no),
                "tier": pick([t for t, _ in TIERS], np.array(out["tier"])),
                "points_delta": whole(np.array(out["points"])),
                "reason": pick(("earn", "spend", "expire", "tier"), np.array(out["why"])),
                "expires_on": dates(np.maximum(until, 0), clock.day0, until < 0),
            },
        ).filter(pa.array(keep)),
        "memberships",
    )
