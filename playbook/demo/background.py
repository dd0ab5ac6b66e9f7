"""What stands around a shop and hangs on nothing it sells: market, competitors, survey,
rates, targets, team, rules.

None of these depends on a day of the simulation, so no incident reaches them
(control_totals, the shop's own dashboard, is written from its orders).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from playbook.demo.presets import add_months
from playbook.demo.records import Record
from playbook.demo.stated import stated_tables
from playbook.demo.streams import below, exponential, key, normal, uniform
from playbook.demo.world import CATEGORIES, CHANNELS, LAWS, REGIONS, World
from playbook.demo.writing import Clock, pick, sort, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("background.yaml")))
RATES = {rate["kind"]: rate["value"] for rate in STATED.cost_rates if rate["scope"] == "all"}
_CATEGORY_PRICES = [category["price"] for category in LAWS.categories]


def background_tables(clock: Clock, *, has_orders: bool = True) -> dict[str, pa.Table]:
    """Every table that hangs on nothing sold, as known on the clock's evening."""
    tables = {
        "market_series": clock.rows(
            "market_series",
            [row for law in enumerate(STATED.market_series) for row in _market(clock, *law)],
            frequency="month",
            source="simulated statistical office",
        ),
        "competitors": clock.rows(
            "competitors", list(_competitors(clock)), source="simulated panel"
        ),
        "survey": _survey(clock),
        "cost_rates": _rates(clock),
        "targets": clock.rows("targets", list(_targets(clock))),
        "team": clock.rows("team", STATED.team),
        "business_models": clock.rows("business_models", list(_models())),
        "channels": _channels(clock),
        **stated_tables(clock),
    }
    if has_orders:
        tables["tiers"] = _tiers(clock)
    return {name: sort(rows, name) for name, rows in tables.items()}


def _months(clock: Clock) -> list[dt.date]:
    last = (clock.day0 + clock.until).astype("datetime64[M]").astype(object)
    months, month = [], clock.world.start
    while month <= last:
        months.append(month)
        month = add_months(month, 1)
    return months


def _market(clock: Clock, number: int, law: dict) -> Iterator[dict]:
    """A published monthly series of the market, revised once, from two years before the
    shop.
    """
    world = clock.world
    months = [add_months(world.start, -24 + i) for i in range(24 + len(_months(clock)))]
    t = np.arange(len(months))
    k = key(world.seed, "market", number, t)
    season = world.season(np.array([_day(world, m) + 15 for m in months])) ** law["swing"]
    trend = law["level"] * np.exp(law["growth"] * t)
    value = trend * season * np.exp(0.012 * normal(k, "noise"))
    revised = value * np.exp(0.006 * normal(k, "revision"))
    for i, month in enumerate(months):
        for later, shown in ((2, value[i]), (5, revised[i])):
            published = _day(world, add_months(month, later))
            if published <= clock.until:
                yield {
                    "period_on": _day(world, month),
                    "series": law["series"],
                    "value": round(float(shown), 4),
                    "unit": law["unit"],
                    "published_on": published,
                }


def _day(world: World, day: dt.date) -> int:
    return (day - world.start).days


def _season(world: World, day: int) -> float:
    return float(world.season(np.array([day]))[0])


def _competitors(clock: Clock) -> Iterator[dict]:
    world = clock.world
    for m, month in enumerate(_months(clock)):
        season = _season(world, _day(world, month) + 15)
        for c, category in enumerate(CATEGORIES):
            for s, seller in enumerate(STATED.competitors):
                k = key(world.seed, "seller", c * 10 + s)
                now = key(world.seed, "seller-month", (c * 10 + s) * 1000 + m)
                growth = 0.012 * float(normal(k, "growth")) + 0.004
                size = np.exp(11.2 + 0.8 * float(normal(k, "size")) + growth * m)
                mid = size * season * np.exp(0.08 * float(normal(now, "noise")))
                price = _CATEGORY_PRICES[c] * 80 * np.exp(0.15 * float(normal(k, "price")))
                yield {
                    "month": f"{month:%Y-%m}",
                    "category": category,
                    "seller": seller,
                    "sales_low": round(0.8 * mid) * 100,
                    "sales_high": round(1.25 * mid) * 100,
                    "price": round(price),
                    "n_reviews": int(200 + 40 * m * float(uniform(k, "reviews"))),
                }


def _survey(clock: Clock) -> pa.Table:
    """600 people of the market: what they want, what annoys them, what they pay. One
    column per question.
    """
    n, asked = 600, Record(STATED.survey)
    k = key(clock.world.seed, "survey", np.arange(n))
    does_know = uniform(k, "knows") < 0.17
    often = np.minimum((exponential(k, "often") * 1.6).astype(int), 3)
    score = np.clip(np.round(7.4 + 2.0 * normal(k, "nps")), 0, 10).astype(int)

    def answers(words: tuple | list, shares: list[float], purpose: str) -> pa.Array:
        return pick(words, np.searchsorted(np.cumsum(shares), uniform(k, purpose)))

    return clock.table(
        "survey",
        respondent_id=texts([f"Q{i:04d}" for i in range(n)]),
        answered_on=clock.until - 120 + below(k, "day", 60),
        weight=np.round(np.exp(0.35 * normal(k, "weight")), 3),
        region=pick(REGIONS, below(k, "region", len(REGIONS))),
        favourite_category=answers(CATEGORIES, asked.favourites, "favourite"),
        main_pain=answers(asked.pains, asked.pain_shares, "pain"),
        price_band=answers(asked.bands, asked.band_shares, "band"),
        buys_online=pick(asked.often, often),
        knows_us=pick(("no", "yes"), does_know),
        recommend_0_10=pa.array(score, mask=~does_know),
    )


def _rates(clock: Clock) -> pa.Table:
    fixed = {"kind": "overhead_per_month", "scope": "all", "value": overhead(clock.world)}
    rates = [*STATED.cost_rates, fixed]
    return clock.rows("cost_rates", rates, from_on=np.zeros(len(rates)))


def overhead(world: World) -> float:
    """Fixed cost of a month in EUR."""
    return round(0.32 * world.preset.customers * 36 / max(world.preset.months, 6) / 100) * 100.0


def _targets(clock: Clock) -> Iterator[dict]:
    """The plan of the last thirteen months and the next three: growth on paper, not
    what happened.
    """
    months = _months(clock)
    for month in [*months[-13:], *(add_months(months[-1], i) for i in (1, 2, 3))]:
        before = _planned(clock.world, add_months(month, -12))
        for metric, value in _planned(clock.world, month).items():
            stated = STATED.targets[metric]
            yield {
                "month": f"{month:%Y-%m}",
                "metric": metric,
                "value": round(value * stated["growth"], 4),
                "base": before[metric],
                "owner_role": stated["owner"],
            }


def _planned(world: World, month: dt.date) -> dict[str, float]:
    day = _day(world, month) + 15
    share = day / world.n_days
    per_month = world.preset.customers / world.preset.months
    new = per_month * (0.8 + 0.4 * day / world.n_days) * _season(world, day)
    orders = new * (1.1 + 2.3 * min(max(share, 0), 1.2))
    return {
        "new_customers": round(new),
        "orders": round(orders),
        "aov": 60.0,
        "net_revenue": round(orders * 57.0, 2),
        "cm": round(orders * 23.0, 2),
        "cvr_sessions": 0.024,
        "return_share": 0.06,
        "fill_rate": 0.95,
        "repeat_share": 0.28,
    }


def _models() -> Iterator[dict]:
    kinds = STATED.business_models["kinds"]
    for model, values in STATED.business_models["models"].items():
        for (kind, unit), value in zip(kinds.items(), values, strict=True):
            yield {"model": model, "kind": kind, "value": value, "unit": unit}


def _channels(clock: Clock) -> pa.Table:
    """Rules that read a channel from a source, then from a medium that says it alone."""
    sources = [(c["source"], c) for c in LAWS.channels]
    media = [
        (c["medium"], c) for c in LAWS.channels if c["medium"] in ("cpc", "paid_social", "cpm")
    ]
    rules = sources + media
    return clock.table(
        "channels",
        rule_no=np.arange(1, len(rules) + 1),
        pattern=[pattern for pattern, _ in rules],
        channel=[c["name"] for _, c in rules],
        kind=[c["kind"] for _, c in rules],
        is_paid=[c["name"] in CHANNELS[1:5] for _, c in rules],
    )


def _tiers(clock: Clock) -> pa.Table:
    tiers = LAWS.tiers
    return clock.table(
        "tiers",
        tier=[tier["name"] for tier in tiers],
        from_on=np.zeros(len(tiers)),
        threshold=[tier["threshold"] for tier in tiers],
        benefit_cost=[tier["cost"] for tier in tiers],
        point_value=np.ones(len(tiers)),
        breakage_share=np.full(len(tiers), LAWS.points["breakage_share"]),
    )


def control_totals(clock: Clock, months: list[dict]) -> pa.Table:
    """What the shop's own dashboard shows for each month."""
    rows = [
        {"month": month["month"], "metric": metric, "value": month[metric]}
        for month in months
        for metric in ("orders", "gmv", "paid_amount", "refunds")
    ]
    return clock.rows("control_totals", rows, source="shop dashboard")
