"""What can be asked of the demo shop: sizes, difficulties, incidents, and which tables
an incident cannot reach.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from playbook.errors import PlaybookError

__all__ = [
    "DIFFICULTIES",
    "INCIDENTS",
    "PRESETS",
    "SEED",
    "UNREACHED",
    "VERSION",
    "Preset",
    "incident_days",
    "plan",
]

SEED = 20261031
FIRST_YEAR, LAST_YEAR = 1990, 2200  # of the last month: what every date type of the store can hold


def _laws() -> str:
    """A fingerprint of the laws' own text: a cached shop is made anew when what it was
    drawn from changes.
    """
    files = sorted(
        f
        for f in Path(__file__).parent.glob("*.py")
        if f.name not in ("oracle.py", "shop.py", "__init__.py")
    )
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:10]


VERSION = _laws()


@dataclass(frozen=True)
class Preset:
    """One kind of shop. Sizes are expectations; `confounding` is how strongly spend
    follows demand.
    """

    name: str
    about: str
    customers: int = 50_000
    months: int = 36
    skus: int = 400
    confounding: float = 1.0
    events_months: int = 3
    futures: int = 200
    has_orders: bool = True
    has_costs: bool = True
    is_orders_only: bool = False
    in_chunks: bool = False
    off: tuple[str, ...] = ()


_ALL = (
    Preset("demo", "three years, every table, every difficulty, the planted incidents"),
    Preset(
        "tiny",
        "eighteen months of a small shop, made in seconds",
        customers=1_500,
        months=18,
        skus=60,
    ),
    Preset(
        "clean", "spend does not follow demand, no incidents", confounding=0.0, off=("incidents",)
    ),
    Preset("confounded", "spend chases demand closely", confounding=2.0),
    Preset(
        "large",
        "ten million order lines; no events, no touchpoints",
        customers=1_500_000,
        skus=2_000,
        events_months=0,
        in_chunks=True,
    ),
    Preset(
        "prelaunch",
        "before the first order: market, competitors, survey, prices, costs, team",
        has_orders=False,
    ),
    Preset("no-costs", "the demo shop without any cost", has_costs=False),
    Preset("orders-only", "orders and lines, nothing else", is_orders_only=True),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}

DIFFICULTIES: dict[str, str] = {
    "heterogeneity": "buyers differ in purchase rate, drop-out and basket",
    "confounding": "channel spend follows demand",
    "adstock": "advertising works on after the day it is paid for",
    "saturation": "more spend brings less and less",
    "channel_quality": "customers of different channels are worth different amounts",
    "season": "demand follows the calendar",
    "promotions": "promotion peaks, and the dip after them",
    "elasticity": "skus differ in how demand answers to price",
    "life_cycles": "skus rise, stay and fade",
    "stockouts": "an empty shelf hides demand",
    "lead_times": "suppliers' lead times spread, deliveries fall short, goods are defective",
    "returns": "refunds come back weeks after the sale",
    "guests": "some buyers leave no customer id",
    "cancellations": "orders are cancelled or never paid",
    "late_deliveries": "parcels come late and cost stars",
    "shrinkage": "units vanish from the shelf",
}

# name -> (months before the last one, first day, days, what happens)
INCIDENTS: dict[str, tuple[int, int, int, str]] = {
    "fake_orders": (8, 20, 3, "a burst of orders nobody means to keep, one sku, one region"),
    "price_error": (7, 17, 2, "a best seller at a tenth of its price"),
    "ad_extract_ends": (6, 15, 16, "the display extract stops on the 14th"),
    "tracking_outage": (4, 9, 3, "no traffic, no channel on orders, no touchpoints"),
    "double_load": (3, 6, 7, "search spend delivered twice: by region and as `all`"),
    "checkout_fault": (2, 11, 4, "most mobile checkouts fail"),
    "best_seller_stockout": (
        1,
        5,
        21,
        "the best seller's stock is lost and its deliveries are late",
    ),
}

_BUYING = tuple(
    "orders order_lines refunds customers stock purchase_orders ad_spend traffic events touchpoints reviews "
    "tickets experiments treatments memberships control_totals products".split()
)
_EVERY = (
    *_BUYING,
    *"geo_tests tiers business_models channels competitors promotions prices cost_rates targets team".split(),
    *("market_series", "survey"),
)
# What was known before an incident is the same with and without it. Two tables are known only later: a journey when it
# ends and a test's visitor at the close of the test, so an incident can move rows of theirs that carry an earlier time.
_REACH: dict[str, tuple[str, ...]] = {
    "fake_orders": _BUYING,
    "price_error": (*_BUYING, "prices"),
    "checkout_fault": _BUYING,
    "best_seller_stockout": _BUYING,
    "ad_extract_ends": ("ad_spend",),
    "double_load": ("ad_spend",),
    "tracking_outage": (
        "orders",
        "customers",
        "traffic",
        "events",
        "touchpoints",
        "control_totals",
    ),
}
UNREACHED: dict[str, tuple[str, ...]] = {
    name: tuple(table for table in _EVERY if table not in reached)
    for name, reached in _REACH.items()
}


def month_start(text: str) -> dt.date:
    """The first day of a month written YYYY-MM."""
    try:
        return dt.datetime.strptime(text, "%Y-%m").date()
    except (TypeError, ValueError):
        raise PlaybookError(
            f"{text!r} is not a month", rule="months are written YYYY-MM", do="write 2026-10"
        ) from None


def add_months(day: dt.date, n: int) -> dt.date:
    """The first day of the month `n` months after `day`'s."""
    count = day.year * 12 + day.month - 1 + n
    return dt.date(count // 12, count % 12 + 1, 1)


def incident_days(last_month: dt.date) -> dict[str, tuple[dt.date, dt.date]]:
    """Incident -> first and last day, counted back from the last month of the history."""
    found = {}
    for name, (back, first, days, _) in INCIDENTS.items():
        month = add_months(last_month, -back)
        start = month.replace(day=first)
        end = min(start + dt.timedelta(days=days - 1), add_months(month, 1) - dt.timedelta(days=1))
        found[name] = (start, end)
    return found


def plan(
    preset: str,
    *,
    customers: int | None,
    months: int | None,
    until: str,
    seed: int,
    switches: Mapping[str, bool] | None,
    skus: int | None = None,
) -> tuple[Preset, dt.date, dict[str, bool]]:
    """The preset with its sizes, the first day of its last month, every switch on or
    off; refuses what cannot be.

    `switches` names difficulties and incidents (`{"checkout_fault": False}`); `{"all":
    False, "season": True}` turns one on alone. PlaybookError for an unknown preset or
    switch and for impossible sizes.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise PlaybookError(
            f"There is no preset {preset!r}", do=f"choose one of {', '.join(PRESETS)}"
        )
    found = PRESETS[preset]
    last = month_start(until)
    if not FIRST_YEAR <= last.year <= LAST_YEAR:
        raise PlaybookError(
            f"A shop cannot end in {until}", do=f"choose a year from {FIRST_YEAR} to {LAST_YEAR}"
        )
    sizes = (
        ("customers", customers, 100, 5_000_000),
        ("months", months, 1, 120),
        ("skus", skus, 10, 10_000),
    )
    for word, size, least, most in sizes:
        if size is not None and (
            isinstance(size, bool) or not isinstance(size, int) or not least <= size <= most
        ):
            raise PlaybookError(
                f"{size!r} {word} cannot be simulated",
                do=f"choose a whole number from {least} to {most}",
            )
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise PlaybookError(
            f"{seed!r} is not a seed", do="choose a whole number from 0 up, of at most 64 bits"
        )
    known = {**dict.fromkeys(DIFFICULTIES, True), **dict.fromkeys(INCIDENTS, True)}
    if not (switches is None or isinstance(switches, Mapping)) or any(
        not isinstance(value, bool) for value in (switches or {}).values()
    ):
        raise PlaybookError(
            f"{switches!r} are not switches", do='write {"season": False}, True or False for each'
        )
    asked = dict(switches or {})
    for name in ("all", "incidents", *found.off):
        if name == "all" and name in asked:
            known = dict.fromkeys(known, bool(asked.pop("all")))
        elif name == "incidents" and (name in asked or name in found.off):
            value = bool(asked.pop("incidents", False))
            known.update(dict.fromkeys(INCIDENTS, value))
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise PlaybookError(
            f"There is no switch {unknown[0]!r}",
            do=f"choose from all, incidents, {', '.join(known)}",
        )
    known.update({name: bool(value) for name, value in asked.items()})
    given = {name: size for name, size, _, _ in sizes if size is not None}
    return replace(found, **given), last, known
