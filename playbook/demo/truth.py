"""The truth of a simulated shop: what was drawn, what each channel caused, what each
customer is still worth.

Causes are labels carried by every order, so a channel's true incremental orders are the
orders that would vanish with its spend. A customer's remaining value is the mean of at
least 200 futures under "carry on as before": in each future demand takes its own course
and the customer drops out at a drawn moment; what is bought until then enters with its
expectation. Shelf and advertising of those futures come from full runs of the shop,
which also scale the result.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from playbook.demo.habits import Plan
from playbook.demo.money import PLATFORM, RETURN_UNIT, order_margin, refund_margin
from playbook.demo.presets import INCIDENTS, UNREACHED
from playbook.demo.simulate import CHECKOUT, FAKE, TREATED, Simulator
from playbook.demo.streams import key, normal, uniform
from playbook.demo.tables import PAYMENT_FIXED, PAYMENT_SHARE, TAX_SHARE
from playbook.demo.world import (
    CATEGORIES,
    CHANNELS,
    FREIGHT,
    IS_TAXED,
    N_CAUSES,
    PAID,
    PEAK,
    PRICE_CAP,
    REGION_SHARE,
    REGIONS,
)
from playbook.demo.writing import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from playbook.demo.world import World

__all__ = [
    "channel_truth",
    "customer_truth",
    "days_of",
    "effect_truth",
    "environment",
    "incident_truth",
    "month_truth",
    "order_truth",
    "replay",
    "response_truth",
    "sku_truth",
    "supplier_truth",
]

ENVIRONMENTS = 2
UNITS, BUSINESS_UNITS = (
    1 + 1 / np.expm1(1 / 0.5),
    1 + 1 / np.expm1(1 / 4.0),
)  # units a line, people and firms
_R = len(REGIONS)


# --- customers ------------------------------------------------------------------------------------------------------


def customer_truth(
    sim: Simulator, history: dict, *, environments: Iterable[dict] | None = None
) -> pd.DataFrame:
    """One row per person who ever ordered: customer_id, is_guest, cause, acquired_by
    (the channel without which they would never have come, through friends too),
    rate_per_day and drop_share as drawn, basket, is_alive, and the expected
    contribution margin in EUR of the next 12 and 24 months, refunds included, with
    standard errors over n_futures futures; shared_se_share is the relative standard
    error all customers share through the scale. 0 for people who have dropped out: they
    buy no more.
    """
    p, n, futures = sim.people, sim.n, sim.world.preset.futures
    alive = np.flatnonzero(p["alive"][:n])
    count = (
        ENVIRONMENTS if n > 3_000 else 1
    )  # a small shop is for tests: one run, and the error says so
    runs = (
        list(environments)
        if environments is not None
        else [environment(sim, e) for e in range(count)]
    )
    law = _law(sim, history, alive)
    mean, spread, shared = _futures(sim, law, runs, alive, futures)
    frame = pd.DataFrame(
        {
            "customer_id": ids(p["key"][:n], 12, "C").to_pandas(),
            "is_guest": p["is_guest"][:n],
            "cause": np.array([*CHANNELS, *["?"] * 100])[
                np.where(p["cause"][:n] < N_CAUSES, p["cause"][:n], N_CAUSES)
            ],
            "acquired_by": _roots(p["root"][:n]),
            "persona": p["persona"][:n],
            "rate_per_day": p["rate"][:n],
            "drop_share": p["drop"][:n],
            "basket_lines": p["basket"][:n],
            "is_alive": p["alive"][:n],
            "n_orders": p["n_orders"][:n],
        }
    )
    frame.loc[frame.cause.eq("?"), "cause"] = "fake"
    frame.loc[p["cause"][:n] == 0, "cause"] = "none"
    for i, months in enumerate((12, 24)):
        for name, values in (
            (f"margin_{months}m", mean[:, i]),
            (f"margin_{months}m_se", spread[:, i]),
        ):
            column = np.zeros(n)
            column[alive] = values
            frame[name] = column
        frame[f"shared_se_share_{months}m"] = shared[i]
    frame["n_futures"] = futures
    return frame.sort_values("customer_id", ignore_index=True)


def _roots(masks: np.ndarray) -> np.ndarray:
    """The channels without which people would not have come, joined by a plus; `none`
    for those nothing brought.
    """
    names = [
        "+".join(c for i, c in enumerate(CHANNELS) if mask >> i & 1) or "none"
        for mask in range(1 << N_CAUSES)
    ]
    return np.array(names, dtype=object)[masks]


def environment(sim: Simulator, number: int, months: int = 24) -> dict:
    """A full run of the shop under "as before": its days (see days_of) and what today's
    people bought in them.
    """
    twin = sim.copy()
    twin.reseed(1_000 + number)
    days, bought, squares, first = [], np.zeros(2), np.zeros(2), twin.day
    for month in range(months):
        chunk = twin.month()
        days.append(days_of(twin, chunk))
        old = chunk["o_who"] < sim.n
        of = np.repeat(np.arange(len(old)), chunk["o_lines"])
        margin = order_margin(chunk) + np.bincount(of, refund_margin(chunk), len(old))
        within = np.array([month < 12, True])
        bought += margin[old].sum() / 100 * within
        squares += (margin[old] ** 2).sum() / 1e4 * within
    out = {name: np.concatenate([d[name] for d in days]) for name in days[0]}
    out.update(bought=bought, squares=squares, first=first)
    return out


def days_of(sim: Simulator, chunk: dict) -> dict[str, np.ndarray]:
    """Per day and persona: lines a unit of basket becomes and their contribution; per
    day and region: nudges.
    """
    world, env = sim.world, chunk["env"]
    chance = env["base"][None] * (
        env["keen"][:, None, :] * env["crowd"][:, :, None]
    )  # day, persona, sku
    free = chunk["free"]
    if len(free) > 1:  # a shelf that empties during the day serves about half of it
        free = np.concatenate([(free[:-1] * 1.0 + free[1:]) / 2, free[-1:] * 1.0])
    price = env["price"] * (1 - env["depth"])
    cost = env["cost"]
    back = world.return_share * world.on["returns"]
    chargeback = 0.0012 * world.on["returns"]
    late = (0.07 + 0.10 * (env["season"] > 1.25)) * world.on[
        "late_deliveries"
    ]  # the late come back more often
    back = back[None, :] * (1 + 0.6 * late)[:, None]
    gone = back * ((price - cost) + RETURN_UNIT) + 0.25 * back * 0.4 * price + chargeback * price
    worth = UNITS * (
        price * (1 - PLATFORM[0])
        - PAYMENT_SHARE * price * (1 + TAX_SHARE * 0.87)
        - cost
        - 45 * world.weight
        - gone
    )
    served = chance * free[:, None, :]
    instead = chance * (1 - free[:, None, :]) * 0.35
    for j in range(3):
        other = world.instead[:, j]
        take = instead / 3 * free[:, None, other]
        np.add.at(served, (slice(None), slice(None), other), take)
    nudge = np.einsum(
        "c,dcr->dr",
        np.where(np.arange(N_CAUSES) == 6, 0, world.nudge_top),
        np.clip(chunk["reach"], 0, 1),
    )
    return {
        "worth": np.einsum("dks,ds->dk", served, worth) / 100,
        "lines": served.sum(axis=2),
        "nudge": nudge,
        "demand": env["demand"],
        "free_of_noise": env["calendar"] * env["promo_lift"],
    }


def _law(sim: Simulator, history: dict, alive: np.ndarray) -> dict:
    """What an occasion of each living person is worth beside its lines: postage and the
    fixed fee.
    """
    p, on = sim.people, sim.world.on
    keep = on["cancellations"] * 0.035
    worthy = p["basket"][: sim.n] * np.where(p["is_business"][: sim.n], BUSINESS_UNITS / UNITS, 1.0)
    basket = worthy
    edge = (
        np.quantile(basket, np.linspace(0, 1, 25)[1:-1])
        if sim.n > 50
        else np.array([basket.mean()])
    )
    bin_of = np.searchsorted(edge, basket)
    far = np.isin(p["region"][: sim.n], (9, 10, 11)).astype(int)
    real = history["o_fate"] == 0
    cell = (bin_of * 2 + far)[history["o_who"][real]]
    size = (len(edge) + 1) * 2
    charged = np.bincount(cell, history["o_shipping"][real], size) / np.maximum(
        np.bincount(cell, minlength=size), 1
    )
    region = p["region"][alive].astype(int)
    years = sim.day / 365 + 0.75
    per_order = (
        charged[(bin_of * 2 + far)[alive]]
        * (1 - PAYMENT_SHARE * (1 + TAX_SHARE * IS_TAXED[region]))
        - PAYMENT_FIXED
        - FREIGHT[region] * 1.02**years
    ) / 100
    return {
        "kept": (1 - keep) * CHECKOUT[p["device"][alive]],
        "per_order": per_order,
        "worthy": worthy[alive],
    }


def _futures(
    sim: Simulator, law: dict, runs: list[dict], alive: np.ndarray, futures: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard error per living person for 12 and 24 months, and the scale's
    relative standard error.
    """
    world, p = sim.world, sim.people
    rate, drop, basket = p["rate"][alive], p["drop"][alive], p["basket"][alive]
    persona, region = p["persona"][alive].astype(np.int64), p["region"][alive].astype(np.int64)
    email = world.nudge_top[6] * 0.6 * p["is_contactable"][alive]
    horizon = [
        int(
            (np.datetime64(world.day0 + sim.day, "M") + m).astype("datetime64[D]").astype(int)
            - (world.day0 + sim.day).astype(int)
        )
        for m in (12, 24)
    ]
    horizon = [min(h, len(runs[0]["demand"])) for h in horizon]
    total, square = np.zeros((len(alive), 2)), np.zeros((len(alive), 2))
    stated = np.zeros(2)
    if not len(alive):
        return total, square, np.zeros(2)
    for run in (
        runs
    ):  # the run's own course of demand, in expectation: what the law says of what happened there
        stated += _expected(
            run, run["demand"], law, rate, drop, basket, persona, region, email, horizon
        ).sum(axis=0)
    scale, shared = np.ones(2), np.full(2, np.nan)
    if runs[0]["bought"] is not None:
        bought = sum(run["bought"] for run in runs)
        scale = np.where(stated > 0, bought / np.maximum(stated, 1e-9), 1.0)
        shared = np.sqrt(sum(run["squares"] for run in runs)) / np.maximum(np.abs(bought), 1e-9)
    k = key(p["key"][alive], "future")
    days = len(runs[0]["demand"])
    for f in range(futures):
        run = runs[f % len(runs)]
        shock, path = sim.shock, np.empty(days)
        innovation = normal(key(world.seed, "future-shock", f, np.arange(days)), "shock")
        for d in range(days):
            shock = 0.96 * shock + 0.03 * innovation[d]
            path[d] = shock
        demand = np.minimum(run["free_of_noise"] * np.exp(path), PEAK)
        moment = -np.log(uniform(k, f"leaves-{f}")) / (rate * drop)
        value = _drawn(
            run, demand, law, rate, drop, basket, persona, region, email, horizon, moment
        )
        total += value
        square += value**2
    mean = total / futures
    spread = np.sqrt(np.maximum(square / futures - mean**2, 0) / max(futures - 1, 1))
    return mean * scale, spread * scale, shared


def _lookup(run: dict, demand: np.ndarray) -> tuple[np.ndarray, ...]:
    """Running sums over days: operational time, and per persona or region what a unit
    of rate has brought by then.
    """

    def start(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros((1, *x.shape[1:])), np.cumsum(x, axis=0)])

    return (
        start(demand),
        start(demand[:, None] * run["worth"]),
        start(run["worth"]),
        start(run["nudge"][:, :, None] * run["worth"][:, None, :]),
        start(run["nudge"]),
    )


def _drawn(
    run: dict,
    demand: np.ndarray,
    law: dict,
    rate: np.ndarray,
    drop: np.ndarray,
    basket: np.ndarray,
    persona: np.ndarray,
    region: np.ndarray,
    email: np.ndarray,
    horizon: list[int],
    moment: np.ndarray,
) -> np.ndarray:
    clock, organic, plain, nudged, nudges = _lookup(run, demand)
    left = np.searchsorted(
        clock, moment
    )  # days lived through; the last of them is the day of the last purchase
    filled = 1 - np.exp(-basket * run["lines"].mean(axis=0)[persona])
    out = np.empty((len(rate), 2))
    for i, h in enumerate(horizon):
        d = np.minimum(left, h)
        gone = left <= h
        worth = law["worthy"] * (
            rate
            * (
                (1 - drop) * organic[d, persona]
                + nudged[d, region, persona]
                + email * plain[d, persona]
            )
        )
        count = rate * (
            (1 - drop) * np.minimum(clock[d], np.where(gone, moment, np.inf))
            + nudges[d, region]
            + email * d
        )
        last = np.clip(left - 1, 0, len(demand) - 1)
        worth = worth + gone * law["worthy"] * run["worth"][last, persona]
        count = count + gone
        out[:, i] = law["kept"] * (worth + count * filled * law["per_order"])
    return out


def _expected(
    run: dict,
    demand: np.ndarray,
    law: dict,
    rate: np.ndarray,
    drop: np.ndarray,
    basket: np.ndarray,
    persona: np.ndarray,
    region: np.ndarray,
    email: np.ndarray,
    horizon: list[int],
) -> np.ndarray:
    """The same with the moment of dropping out integrated over, in steps of a week."""
    filled = 1 - np.exp(-basket * run["lines"].mean(axis=0)[persona])
    hazard = rate * drop
    done, out = 0.0, np.zeros((len(rate), 2))
    for first in range(0, len(demand), 7):
        for i, h in enumerate(horizon):
            if first >= h:
                continue
            piece = slice(first, min(first + 7, h))
            step = demand[piece].sum()
            stay = np.exp(-hazard * done) * -np.expm1(-hazard * step) / (hazard * max(step, 1e-12))
            d, w = demand[piece], run["worth"][piece]
            worth = (
                law["worthy"]
                * rate
                * (
                    (d[:, None] * w).sum(0)[persona]
                    + np.einsum("dr,dk->rk", run["nudge"][piece], w)[region, persona]
                    + email * w.sum(0)[persona]
                )
            )
            count = rate * (step + run["nudge"][piece].sum(0)[region] + email * len(d))
            out[:, i] += stay * law["kept"] * (worth + count * filled * law["per_order"])
        done += demand[first : first + 7].sum()
    return out


# --- months and channels --------------------------------------------------------------------------------------------


def month_truth(sim: Simulator, a: dict) -> dict:
    """The sums of a month that the truth needs once its orders are forgotten."""
    world = sim.world
    n = len(a["o_key"])
    of = np.repeat(np.arange(n), a["o_lines"])
    margin = (order_margin(a) + np.bincount(of, refund_margin(a), n)) / 100
    counts = np.isin(a["o_fate"], (0, 3))
    name = str((world.day0 + a["first"]).astype("datetime64[M]"))
    rows = []
    for c in PAID:
        mine = counts & ((a["o_root"] >> c) & 1 == 1)
        first, nudged = (
            mine & (a["o_cause"] == c) & a["o_new"],
            mine & (a["o_cause"] == c) & ~a["o_new"],
        )
        spend, direct, total = (
            float(a["spend"][:, c].sum()),
            float(margin[first | nudged].sum()),
            float(margin[mine].sum()),
        )
        rows.append(
            {
                "month": name,
                "channel": CHANNELS[c],
                "spend": spend,
                "first_orders": int(first.sum()),
                "nudged_orders": int(nudged.sum()),
                "later_orders": int((mine & ~first & ~nudged).sum()),
                "incremental_orders": int(mine.sum()),
                "incremental_revenue": float(a["o_revenue"][mine].sum()) / 100,
                "direct_margin": direct,
                "incremental_margin": total,
                "direct_roi": (direct - spend) / spend if spend else np.nan,
                "roi": (total - spend) / spend if spend else np.nan,
            }
        )
    b, env = a["baskets"], a["env"]
    cause = np.minimum(b[:, 3], TREATED)
    paid = np.isin(a["o_fate"], (0, 2, 3))
    gone = a["o_fate"] == 2
    booked = a["l_back"] > 0
    amount = np.concatenate(
        [a["l_back_amount"][booked], (a["l_price"] * a["l_quantity"] - a["l_off"])[gone[of]]]
    )
    on = np.concatenate([a["l_back_day"][booked], a["o_free"][of][gone[of]]])
    month_on = (world.day0 + on).astype("datetime64[M]")
    fits = on < world.n_days + 10_000
    return {
        "channels": rows,
        "tried": np.bincount(cause, minlength=TREATED + 1),
        "won": np.bincount(np.minimum(a["o_cause"][counts], TREATED), minlength=TREATED + 1),
        "margin": np.bincount(
            np.minimum(a["o_cause"][counts], TREATED), margin[counts], TREATED + 1
        ),
        "treated": np.bincount(
            a["o_cause"][a["o_cause"] >= TREATED] - TREATED, minlength=len(sim.treatments) + 1
        ),
        "season": float((np.sqrt(env["season"]) * env["weekday"]).mean()),
        "spend": a["spend"].sum(axis=(0, 2)) / (a["last"] - a["first"]),
        "dashboard": {
            "orders": float(paid.sum()),
            "gmv": float((a["l_price"] * a["l_quantity"]).sum()) / 100,
            "paid_amount": float((a["o_revenue"] + a["o_shipping"])[paid].sum()) / 100,
        },
        "refunds": {str(m): int(amount[fits & (month_on == m)].sum()) for m in np.unique(month_on)},
    }


def channel_truth(chunks: list[dict]) -> pd.DataFrame:
    """One row per month and paid channel: spend, the orders that would not be there
    without it (first orders of people it brought, orders it nudged, later orders of
    people it brought, friends of theirs included), their contribution margin with all
    refunds to come, and ROI = (margin - spend) / spend. Counted orders only. EUR.
    """
    rows = [row for chunk in chunks for row in chunk["truth"]["channels"]]
    return pd.DataFrame(rows).sort_values(["month", "channel"], ignore_index=True)


def response_truth(sim: Simulator, chunks: list[dict]) -> pd.DataFrame:
    """Each paid channel's law: carry-over per day, half saturation (EUR a day, whole
    country), slope, highest arrivals and nudges a day, and along a grid of steady daily
    spend the orders a day it brings (last year's conversion and base of buyers) with
    their direct margin; `margin_24m` adds what the people it brings buy in two years.
    """
    world, p, n = sim.world, sim.people, sim.n
    year = [c["truth"] for c in chunks if c["first"] >= sim.day - 370] or [
        c["truth"] for c in chunks
    ]
    tried, won, margin = (sum(t[name] for t in year) for name in ("tried", "won", "margin"))
    base = (p["rate"][:n] * p["alive"][:n]).sum()
    season = float(np.mean([t["season"] for t in year]))
    now = np.mean([t["spend"] for t in year[-3:]], axis=0)
    rows = []
    for c in PAID:
        share = won[c] / max(tried[c], 1)
        each = float(margin[c] / won[c]) if won[c] else 0.0
        people, later = p["cause"][:n] == c, 0.0
        if people.any():
            rate, drop = p["rate"][:n][people], p["drop"][:n][people]
            later = (
                float(((1 - drop) * (1 - np.exp(-rate * drop * 730)) / drop).mean()) * share * each
            )
        for level in np.array([0, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4]) * max(
            now[c], world.base_spend[c]
        ):
            reach = float(world.response(c, np.array(level)))
            newcomers, nudged = (
                world.tops(c) * reach * season * share,
                base * world.nudge_top[c] * min(reach, 1.0) * share,
            )
            rows.append(
                {
                    "channel": CHANNELS[c],
                    "carry_over_per_day": world.carry[c],
                    "half_saturation": world.half[c],
                    "slope": world.slope[c],
                    "top_arrivals": world.tops(c),
                    "spend_per_day": float(level),
                    "spend_now": float(now[c]),
                    "new_customers_per_day": newcomers,
                    "nudged_orders_per_day": nudged,
                    "orders_per_day": newcomers + nudged,
                    "direct_margin_per_day": (newcomers + nudged) * each,
                    "margin_24m_per_day": (newcomers + nudged) * each + newcomers * later,
                }
            )
    return pd.DataFrame(rows)


def replay(
    world: World,
    chunks: list[dict],
    *,
    without: str = "",
    future: int | None = None,
    geo_tests: bool = True,
) -> Iterator[dict]:
    """The history again, month by month, with advertising spent as it was, but nothing
    on one channel, or without the geo tests; with `future`, under another course of
    chance. What a stated effect is checked against.
    """
    sim = Simulator(world)
    if future is not None:
        sim.reseed(future)
    if not geo_tests:
        sim.geo_tests = []
    for chunk in chunks:
        spend = np.moveaxis(chunk["planned"], 0, -1).copy()
        if without:
            spend[CHANNELS.index(without)] = 0.0
        yield sim.month(Plan(spend=spend))


# --- goods, tests, incidents ----------------------------------------------------------------------------------------


def sku_truth(sim: Simulator, chunks: list[dict], until: int) -> dict[str, pd.DataFrame]:
    """`skus`: elasticity (own price, all else equal), return share, fading;
    `sku_demand`: units wanted and free to sell by sku and day, whether the shelf had
    them or not; `season`: the shop's demand by day and what it is made of;
    `category_season`: each category's season in the middle of each month, 1 on average.
    """
    world = sim.world
    rows = np.flatnonzero(world.launched <= until)
    skus = pd.DataFrame(
        {
            "sku": world.sku_ids[rows],
            "elasticity": -world.elasticity[rows],
            "appeal": world.appeal[rows] / world.appeal.sum(),
            "is_fading": world.fades[rows],
            "half_life_days": np.where(world.fades, world.half_life, np.nan)[rows],
            "return_share": world.return_share[rows],
            "unit_cost": world.unit_cost(until)[rows] / 100,
            "best_price": best_price(world, until)[rows] / 100,
        }
    )
    wanted = np.concatenate([c["demand"] for c in chunks])
    free = np.concatenate([c["free"] for c in chunks])
    d, s = np.nonzero(np.arange(len(wanted))[:, None] >= world.launched[None, :])
    demand = pd.DataFrame(
        {
            "sku": pd.Categorical.from_codes(s, world.sku_ids),
            "day_on": (world.day0 + d).astype("datetime64[s]"),
            "units_wanted": wanted[d, s].astype(np.int64),
            "is_free": free[d, s],
        }
    )
    demand["sku"] = demand.sku.astype(str)
    days = np.arange(until + 1)
    season = pd.DataFrame(
        {
            "day_on": (world.day0 + days).astype("datetime64[s]"),
            "season": world.season(days),
            "weekday": world.weekday(days),
            "promotion": np.concatenate([c["env"]["promo_lift"] for c in chunks]),
            "shock": np.concatenate([c["env"]["shock"] for c in chunks]),
            "demand": np.concatenate([c["env"]["demand"] for c in chunks]),
        }
    )
    middles = [(c["first"] + c["last"]) // 2 for c in chunks]
    category = pd.DataFrame(
        [
            {
                "month": str((world.day0 + day).astype("datetime64[M]")),
                "category": name[0],
                "season": float(wave),
            }
            for day in middles
            for name, wave in zip(CATEGORIES, world.category_wave(day), strict=True)
        ]
    )
    return {"skus": skus, "sku_demand": demand, "season": season, "category_season": category}


def order_truth(chunks: list[dict], world: World) -> pd.DataFrame:
    """One row per order: order_id, cause (the channel that brought it, `none`,
    `treatment`, `fake`) and depends_on, the channels without any of which it would not
    have been (joined by a plus), as through the person it came from.
    """
    cause = np.concatenate([c["o_cause"] for c in chunks])
    roots = np.concatenate([c["o_root"] for c in chunks])
    day, keys = (np.concatenate([c[name] for c in chunks]) for name in ("o_day", "o_key"))
    names = np.array(["none", *CHANNELS[1:], "treatment", "fake"], dtype=object)
    place = np.where(
        cause >= TREATED,
        N_CAUSES,
        np.where(cause == FAKE, N_CAUSES + 1, np.minimum(cause, N_CAUSES - 1)),
    )
    order_ids = ids(keys, 10, days=day, day0=world.day0).to_pandas()
    frame = pd.DataFrame(
        {"order_id": order_ids, "cause": names[place], "depends_on": _roots(roots)}
    )
    return frame.sort_values("order_id", ignore_index=True)


def best_price(world: object, day: int) -> np.ndarray:
    """Cents: the price with the highest margin for a constant elasticity, unit variable
    cost and fees given, kept within what the law of demand covers (a price can at most
    quadruple demand).
    """
    cost = world.unit_cost(day) * 1.0 + 45 * world.weight
    share = 1 - PLATFORM[0] - PAYMENT_SHARE * (1 + TAX_SHARE * 0.87) - world.return_share * 1.1
    ideal = cost / share * world.elasticity / (world.elasticity - 1)
    least = world.list_price * PRICE_CAP ** (-1 / world.elasticity)
    return np.clip(ideal, least, 3.0 * world.list_price)


def supplier_truth(sim: Simulator) -> pd.DataFrame:
    """One row per supplier: the law of its lead time (lognormal, mean and sd in days),
    short and faulty deliveries.
    """
    world = sim.world
    return pd.DataFrame(
        {
            "supplier_id": world.supplier_ids,
            "lead_mean_days": world.lead_mean,
            "lead_sd_days": world.lead_mean * world.lead_cv,
            "stated_lead_days": world.lead_stated,
            "short_share": world.short_share,
            "defect_share": world.defect_share,
        }
    )


def effect_truth(sim: Simulator, chunks: list[dict], until: int) -> pd.DataFrame:
    """True effects of the tests at the checkout, the treatments, the geo tests and of
    membership: test, kind, unit, effect (what the law says, expected), n (treated).
    """
    rows = []
    for test in sim.experiments():
        if test["first"] <= until:
            rows.append(
                {
                    "test": test["test_id"],
                    "kind": "experiment",
                    "unit": "relative lift of orders",
                    "effect": test["lift"],
                    "n": np.nan,
                }
            )
    for number, t in enumerate(sim.treatments):
        m = t["is_treated"]
        came = sum(
            int(c["truth"]["treated"][number])
            for c in chunks
            if number < len(c["truth"]["treated"])
        )
        rows += [
            {
                "test": t["treatment_id"],
                "kind": "treatment",
                "unit": "extra purchase occasions per treated customer",
                "effect": float(t["chance"][m].mean()) if m.any() else np.nan,
                "n": int(m.sum()),
            },
            {
                "test": t["treatment_id"],
                "kind": "treatment",
                "unit": "extra orders placed",
                "effect": float(came),
                "n": int(m.sum()),
            },
        ]
    tried, won = (sum(c["truth"][name] for c in chunks) for name in ("tried", "won"))
    for test in sim.geo_tests:
        if test["first"] <= until:
            arrivals, c = _geo_effect(sim, test, chunks), test["channel"]
            rows += [
                {
                    "test": test["test_id"],
                    "kind": "geo test",
                    "unit": "purchase occasions in the treated regions, test days",
                    "effect": arrivals,
                    "n": len(test["regions"]),
                },
                {
                    "test": test["test_id"],
                    "kind": "geo test",
                    "unit": "orders in the treated regions, test days",
                    "effect": arrivals * won[c] / max(tried[c], 1),
                    "n": len(test["regions"]),
                },
            ]
    rows.append(
        {
            "test": "membership",
            "kind": "membership",
            "unit": "extra orders of a member",
            "effect": 0.0,
            "n": np.nan,
        }
    )
    return pd.DataFrame(rows)


def _geo_effect(sim: Simulator, test: dict, chunks: list[dict]) -> float:
    """Expected newcomers and nudges with the test less without it, over its days in its
    regions: the carried-over spend is replayed both ways from the spend as it was.
    """
    world, c, r = sim.world, test["channel"], test["regions"]
    spend = np.concatenate([x["spend"][:, c] for x in chunks])[:, r]
    start = chunks[0]["first"]
    base = sum(
        (
            sim.people["rate"][: sim.n]
            * (sim.people["region"][: sim.n] == i)
            * (sim.people["born"][: sim.n] < test["first"])
            * (
                (sim.people["dropped"][: sim.n] < 0)
                | (sim.people["dropped"][: sim.n] > test["last"])
            )
        )[None].sum()
        for i in r
    )
    season = np.concatenate([np.sqrt(x["env"]["season"]) * x["env"]["weekday"] for x in chunks])
    keep, share = world.carry[c], REGION_SHARE[r]
    planned = np.concatenate([x["planned"][:, c] for x in chunks])[:, r]
    gap, with_test, without = 0.0, np.zeros(len(r)), np.zeros(len(r))
    for d in range(len(spend)):
        with_test = keep * with_test + (1 - keep) * spend[d]
        without = keep * without + (1 - keep) * planned[d]
        if test["first"] <= d + start <= test["last"]:
            difference = world.response(c, with_test / share) - world.response(c, without / share)
            gap += float((difference * (world.tops(c) * share * season[d])).sum())
            gap += float((difference * share / share.sum()).sum() * base * world.nudge_top[c])
    return gap


def incident_truth(sim: Simulator) -> pd.DataFrame:
    """One row per planted incident: first and last day, what happens, and the tables it
    cannot reach.
    """
    world = sim.world
    start = dt.date.fromisoformat(str(world.day0))
    rows = [
        {
            "incident": name,
            "starts_on": start + dt.timedelta(days=a),
            "ends_on": start + dt.timedelta(days=b),
            "what": INCIDENTS[name][3],
            "unreached": " ".join(UNREACHED[name]),
        }
        for name, (a, b) in sorted(world.incidents.items())
    ]
    return pd.DataFrame(rows, columns=["incident", "starts_on", "ends_on", "what", "unreached"])
