"""What stands around a shop and hangs on nothing it sells: market, competitors, survey,
rates, targets, team, rules.

None of these depends on a day of the simulation, so no incident reaches them
(control_totals, the shop's own dashboard, is written from its orders).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from playbook.demo.journey import POINTS, TIERS
from playbook.demo.presets import add_months
from playbook.demo.streams import exponential, key, normal, uniform
from playbook.demo.tables import MEDIA, SOURCES
from playbook.demo.world import CATEGORIES, CHANNEL_KIND, CHANNELS, REGIONS, World
from playbook.demo.writing import dates, flags, money, numbers, pick, sort, table, texts, whole

__all__ = ["RATES", "background_tables", "control_totals"]

# kind, scope, value; overhead grows with the shop's size
RATES = (
    ("payment_share", "all", 0.0145),
    ("platform_share", "all", 0.02),
    ("platform_share", "live", 0.05),
    ("fulfilment_per_order", "all", 4.60),
    ("return_per_unit", "all", 1.80),
    ("capital_share_per_year", "all", 0.20),
    ("ordering_cost_per_po", "all", 25.0),
    ("exchange_rate", "CNY", 0.128),
)
_ROLES = (
    ("general manager", "cm", 0.5, "A", 1),
    ("general manager", "net_revenue", 0.5, "A", 1),
    ("marketing head", "ncac", 0.4, "A", 2),
    ("marketing head", "new_customers", 0.3, "A", 2),
    ("marketing head", "mer", 0.3, "R", 2),
    ("CRM manager", "repeat_share", 0.6, "A", 1),
    ("CRM manager", "returning_buyer_share", 0.4, "R", 1),
    ("supply-chain head", "fill_rate", 0.5, "A", 2),
    ("supply-chain head", "turn", 0.5, "A", 2),
    ("category head", "gm_share", 0.6, "A", 1.5),
    ("category head", "active_sku_share", 0.4, "R", 1.5),
    ("product and experience lead", "cvr_sessions", 0.7, "A", 1),
    ("product and experience lead", "return_share", 0.3, "C", 1),
    ("customer-service lead", "first_reply_hours", 0.6, "A", 3),
    ("customer-service lead", "csat", 0.4, "R", 3),
    ("data owner", "control totals", 1.0, "R", 0.5),
    ("finance", "cm", 1.0, "C", 1),
    ("finance", "break-even", 0.0, "I", 1),
)
_OWNER = {
    "net_revenue": "general manager",
    "orders": "general manager",
    "aov": "category head",
    "new_customers": "marketing head",
    "cm": "general manager",
    "cvr_sessions": "product and experience lead",
    "return_share": "product and experience lead",
    "fill_rate": "supply-chain head",
    "repeat_share": "CRM manager",
}
_MODELS = {
    "own_stock": (0.0, 1.0, 18.0, 45.0, 0.56),
    "marketplace": (0.15, 0.0, 9.0, -14.0, 0.56),
    "social": (0.08, 1.0, 14.0, 30.0, 0.52),
    "content": (0.03, 1.0, 11.0, 40.0, 0.55),
}


def background_tables(world: World, until: int, *, has_orders: bool = True) -> dict[str, pa.Table]:
    """Every table that hangs on nothing sold, as known on day `until`."""
    out = {
        "market_series": _market(world, until),
        "competitors": _competitors(world, until),
        "survey": _survey(world, until),
        "cost_rates": _rates(world),
        "targets": _targets(world, until),
        "team": _team(),
        "business_models": _models(),
        "channels": _channels(),
        "tiers": _tiers(world),
    }
    if not has_orders:
        out.pop("tiers")
    return {name: sort(rows, name) for name, rows in out.items()}


def _months(world: World, until: int) -> list:
    last = (world.day0 + until).astype("datetime64[M]").astype(object)
    found, month = [], world.start
    while month <= last:
        found.append(month)
        month = add_months(month, 1)
    return found


def _market(world: World, until: int) -> pa.Table:
    """A published monthly series of the market, revised once, from two years before the
    shop.
    """
    months = [add_months(world.start, -24 + i) for i in range(24 + len(_months(world, until)))]
    t = np.arange(len(months))
    day = np.array([(m - world.start).days + 15 for m in months])
    rows: dict[str, list] = {c: [] for c in ("at", "series", "value", "unit", "vintage")}
    for j, (series, level, growth, unit) in enumerate(
        (
            ("online retail, tea and home", 410.0, 0.0035, "EUR million"),
            ("online share of retail, tea and home", 0.19, 0.002, "share"),
        )
    ):
        k = key(world.seed, "market", j, t)
        season = world.season(day) ** (1.0 if j == 0 else 0.2)
        value = level * np.exp(growth * t) * season * np.exp(0.012 * normal(k, "noise"))
        revised = value * np.exp(0.006 * normal(k, "revision"))
        for i, month in enumerate(months):
            for vintage, shown in (
                (add_months(month, 2), value[i]),
                (add_months(month, 5), revised[i]),
            ):
                if (vintage - world.start).days <= until:
                    for column, v in zip(
                        rows.values(),
                        (
                            (month - world.start).days,
                            series,
                            round(float(shown), 4),
                            unit,
                            (vintage - world.start).days,
                        ),
                        strict=True,
                    ):
                        column.append(v)
    n = len(rows["at"])
    return table(
        "market_series",
        {
            "period_on": dates(np.array(rows["at"]), world.day0),
            "series": texts(rows["series"]),
            "value": numbers(rows["value"]),
            "unit": texts(rows["unit"]),
            "frequency": pick(("month",), np.zeros(n)),
            "source": pick(("simulated statistical office",), np.zeros(n)),
            "published_on": dates(np.array(rows["vintage"]), world.day0),
        },
    )


def _competitors(world: World, until: int) -> pa.Table:
    sellers = ("Seller A", "Seller B", "卖家丙", "Seller D")
    rows: dict[str, list] = {
        c: [] for c in ("month", "category", "seller", "low", "high", "price", "reviews")
    }
    for m, month in enumerate(_months(world, until)):
        day = (month - world.start).days
        for c, category in enumerate(CATEGORIES):
            for s, seller in enumerate(sellers):
                k = key(world.seed, "seller", c * 10 + s)
                size = np.exp(
                    11.2
                    + 0.8 * float(normal(k, "size"))
                    + (0.012 * float(normal(k, "growth")) + 0.004) * m
                )
                now = key(world.seed, "seller-month", (c * 10 + s) * 1000 + m)
                mid = (
                    size
                    * float(world.season(np.array([day + 15]))[0])
                    * np.exp(0.08 * float(normal(now, "noise")))
                )
                for column, v in zip(
                    rows.values(),
                    (
                        f"{month:%Y-%m}",
                        category[0],
                        seller,
                        round(0.8 * mid) * 100,
                        round(1.25 * mid) * 100,
                        round(category[2] * 80 * np.exp(0.15 * float(normal(k, "price")))),
                        int(200 + 40 * m * float(uniform(k, "reviews"))),
                    ),
                    strict=True,
                ):
                    column.append(v)
    n = len(rows["month"])
    return table(
        "competitors",
        {
            "month": texts(rows["month"]),
            "category": texts(rows["category"]),
            "seller": texts(rows["seller"]),
            "sales_low": money(np.array(rows["low"])),
            "sales_high": money(np.array(rows["high"])),
            "price": money(np.array(rows["price"])),
            "n_reviews": whole(rows["reviews"]),
            "source": pick(("simulated panel",), np.zeros(n)),
        },
    )


def _survey(world: World, until: int) -> pa.Table:
    """600 people of the market: what they want, what annoys them, what they pay. One
    column per question.
    """
    n = 600
    k = key(world.seed, "survey", np.arange(n))
    favourite = np.searchsorted(
        np.cumsum([0.22, 0.15, 0.13, 0.13, 0.12, 0.12, 0.06]), uniform(k, "favourite")
    )
    pains = (
        "delivery takes too long",
        "quality differs from the picture",
        "shipping costs",
        "returns are tedious",
        "range is too small",
        "none",
    )
    pain = np.searchsorted(np.cumsum([0.24, 0.21, 0.2, 0.1, 0.08]), uniform(k, "pain"))
    band = np.searchsorted(np.cumsum([0.3, 0.42, 0.2]), uniform(k, "band"))
    day = until - 120 + (uniform(k, "day") * 60).astype(np.int64)
    return table(
        "survey",
        {
            "respondent_id": texts([f"Q{i:04d}" for i in range(n)]),
            "answered_on": dates(day, world.day0),
            "weight": numbers(np.round(np.exp(0.35 * normal(k, "weight")), 3)),
            "region": pick(REGIONS, (uniform(k, "region") * len(REGIONS)).astype(int)),
            "favourite_category": pick([c[0] for c in CATEGORIES], favourite),
            "main_pain": pick(pains, pain),
            "price_band": pick(("under 15", "15 to 30", "30 to 60", "over 60"), band),
            "buys_online": pick(
                ("weekly", "monthly", "quarterly", "rarely"),
                np.minimum((exponential(k, "often") * 1.6).astype(int), 3),
            ),
            "knows_us": pick(("no", "yes"), uniform(k, "knows") < 0.17),
            "recommend_0_10": whole(
                np.clip(np.round(7.4 + 2.0 * normal(k, "nps")), 0, 10), uniform(k, "knows") >= 0.17
            ),
        },
    )


def _rates(world: World) -> pa.Table:
    rows = [*RATES, ("overhead_per_month", "all", overhead(world))]
    n = len(rows)
    return table(
        "cost_rates",
        {
            "from_on": dates(np.zeros(n), world.day0),
            "kind": texts([r[0] for r in rows]),
            "value": numbers([r[2] for r in rows]),
            "scope": texts([r[1] for r in rows]),
        },
    )


def overhead(world: World) -> float:
    """Fixed cost of a month in EUR."""
    return round(0.32 * world.preset.customers * 36 / max(world.preset.months, 6) / 100) * 100.0


def _targets(world: World, until: int) -> pa.Table:
    """The plan of the last thirteen months and the next three: growth on paper, not
    what happened.
    """
    months = _months(world, until)
    months = [*months[-13:], *(add_months(months[-1], i) for i in (1, 2, 3))]
    rows: dict[str, list] = {c: [] for c in ("month", "metric", "value", "base", "owner")}

    def plan(month: object) -> dict[str, float]:
        day = (month - world.start).days + 15
        season = float(world.season(np.array([day]))[0])
        new = (
            world.preset.customers / world.preset.months * (0.8 + 0.4 * day / world.n_days) * season
        )
        orders = new * (1.1 + 2.3 * min(max(day / world.n_days, 0), 1.2))
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

    for month in months:
        now, before = plan(month), plan(add_months(month, -12))
        for metric, value in now.items():
            grown = (
                value * 1.05
                if metric in ("net_revenue", "cm", "orders", "new_customers")
                else value
            )
            for column, v in zip(
                rows.values(),
                (f"{month:%Y-%m}", metric, round(grown, 4), before[metric], _OWNER[metric]),
                strict=True,
            ):
                column.append(v)
    return table(
        "targets",
        {
            "month": texts(rows["month"]),
            "metric": texts(rows["metric"]),
            "value": numbers(rows["value"]),
            "base": numbers(rows["base"]),
            "owner_role": texts(rows["owner"]),
        },
    )


def _team() -> pa.Table:
    return table(
        "team",
        {
            "role": texts([r[0] for r in _ROLES]),
            "kpi": texts([r[1] for r in _ROLES]),
            "weight_share": numbers([r[2] for r in _ROLES]),
            "raci": texts([r[3] for r in _ROLES]),
            "n_people": numbers([r[4] for r in _ROLES]),
        },
    )


def _models() -> pa.Table:
    kinds = (
        ("take_share", "share of sales"),
        ("stock_held", "1 yes, 0 no"),
        ("cac", "EUR"),
        ("cash_days", "days"),
        ("gross_margin_share", "share"),
    )
    rows = [
        (m, k, v, u)
        for m, values in _MODELS.items()
        for (k, u), v in zip(kinds, values, strict=True)
    ]
    return table(
        "business_models",
        {
            "model": texts([r[0] for r in rows]),
            "kind": texts([r[1] for r in rows]),
            "value": numbers([r[2] for r in rows]),
            "unit": texts([r[3] for r in rows]),
        },
    )


def _channels() -> pa.Table:
    rows = [(SOURCES[c], CHANNELS[c], CHANNEL_KIND[c]) for c in range(len(CHANNELS))] + [
        (m, CHANNELS[c], CHANNEL_KIND[c])
        for c, m in enumerate(MEDIA)
        if m not in ("(none)", "live", "email", "organic", "referral")
    ]
    return table(
        "channels",
        {
            "rule_no": whole(np.arange(1, len(rows) + 1)),
            "pattern": texts([r[0] for r in rows]),
            "channel": texts([r[1] for r in rows]),
            "kind": texts([r[2] for r in rows]),
            "is_paid": flags([r[1] in ("search", "social", "display", "live") for r in rows]),
        },
    )


def _tiers(world: World) -> pa.Table:
    n = len(TIERS)
    return table(
        "tiers",
        {
            "tier": texts([t for t, _ in TIERS]),
            "from_on": dates(np.zeros(n), world.day0),
            "threshold": money(np.array([c for _, c in TIERS])),
            "benefit_cost": money(np.array([0, 350, 1200])),
            "point_value": money(np.array([1, 1, 1])),
            "breakage_share": numbers([POINTS["breakage_share"]] * n),
        },
    )


def control_totals(monthly: list[dict[str, float]]) -> pa.Table:
    """What the shop's own dashboard shows for each month."""
    rows = [
        (m["month"], metric, m[metric])
        for m in monthly
        for metric in ("orders", "gmv", "paid_amount", "refunds")
    ]
    return table(
        "control_totals",
        {
            "month": texts([r[0] for r in rows]),
            "metric": texts([r[1] for r in rows]),
            "value": numbers([r[2] for r in rows]),
            "source": pick(("shop dashboard",), np.zeros(len(rows))),
        },
    )
