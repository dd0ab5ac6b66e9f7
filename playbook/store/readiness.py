"""Is this month's data fit to decide on? What is there, what is missing, which chapters
can run, and the verdict.

A *gate* is a number with a threshold. A broken ledger or an incomplete month stops a
run; thin history, missing days and broken rules in optional tables exclude something,
by name.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.store.check import UNIQUE
from playbook.store.contract import TABLES
from playbook.store.privacy import privacy_scan
from playbook.store.reconcile import ledger

if TYPE_CHECKING:
    from playbook.store.open import Store

__all__ = [
    "NEEDS",
    "Verdict",
    "capability",
    "days_without_orders",
    "quality",
    "rows_per_day",
    "verdict",
]

# chapter -> (what it cannot do without, what unlocks more of it); any of several is written with |
NEEDS = {
    "00_start_here": ("orders order_lines", ""),
    "01_market_research": (
        "",
        "orders products.category customers market_series competitors survey prices reviews "
        "refunds tickets",
    ),
    "02_goal_setting": ("", "orders traffic cost_rates targets team business_models"),
    "03_channel_roi": (
        "orders.channel",
        "ad_spend order_lines.unit_cost cost_rates touchpoints traffic refunds geo_tests",
    ),
    "04_cohort_retention": ("orders.customer_id", "products.category orders.channel refunds"),
    "05_ltv_modelling": ("orders.customer_id", "ad_spend order_lines.unit_cost cost_rates refunds"),
    "06_segmentation": (
        "orders.customer_id",
        "memberships tiers treatments customers.is_contactable",
    ),
    "07_inventory_planning": (
        "order_lines.sku",
        "stock purchase_orders products.lead_time_days order_lines.unit_cost promotions",
    ),
    "08_customer_journey": (
        "traffic|events|orders.delivered_at|reviews|tickets|experiments",
        "traffic events orders.delivered_at reviews tickets experiments refunds",
    ),
    "09_recommendations": (
        "order_lines.sku",
        "orders.customer_id events products stock order_lines.unit_cost",
    ),
    "10_assortment_pricing": (
        "order_lines.sku",
        "products order_lines.unit_cost prices promotions traffic stock refunds",
    ),
    "11_monthly_review": ("", "targets team tickets control_totals"),
}


@dataclass(frozen=True)
class Verdict:
    """`status` is go, go with exclusions or stop; `reasons` say why; `gates` holds one
    row per gate with its number.
    """

    status: str
    reasons: tuple[str, ...]
    gates: pd.DataFrame


def capability(shop: Store) -> pd.DataFrame:
    """One row per chapter: notebook, runs (yes, in part, blocked), missing (what would
    unlock the rest).
    """
    rows = []
    for notebook, (needed, helpful) in NEEDS.items():
        lacking = [n for n in needed.split() if not any(shop.has(one) for one in n.split("|"))]
        wished = [n for n in helpful.split() if not shop.has(n)]
        runs = "blocked" if lacking else "in part" if wished else "yes"
        rows.append((notebook, runs, ", ".join(lacking + wished)))
    return pd.DataFrame(rows, columns=["notebook", "runs", "missing"])


def rows_per_day(shop: Store) -> pd.DataFrame:
    """One row per day of the report month: day_on, orders (missing on days after
    as-of), verdict.
    """
    days = shop.con.execute(shop.orders.group_by(day_on=_.ordered_on).aggregate(orders=_.count()))
    month = pd.date_range(f"{shop.month}-01", periods=pd.Period(shop.month).days_in_month, freq="D")
    counts = days.set_index(pd.to_datetime(days.day_on)).orders.reindex(month)
    lived = month <= pd.Timestamp(shop.as_of)
    gaps = days_without_orders(shop).set_index("day_on").verdict
    frame = pd.DataFrame({"day_on": month.date, "orders": counts.fillna(0).where(lived).to_numpy()})
    frame["verdict"] = [
        gaps.get(d, "trading") if ok else "not yet" for d, ok in zip(month.date, lived, strict=True)
    ]
    return frame


def quality(shop: Store) -> pd.DataFrame:
    """One row per table: rows, duplicate keys (as the contract's check counted them),
    missing share of required values, first, last, freshness_days.
    """
    found = []
    again = shop.problems[shop.problems.rule == UNIQUE].set_index("table").rows
    for name, spec in TABLES.items():
        table = shop.get(name)
        if table is None or name in ("benchmarks", "import_ledger"):
            continue
        wanted = {"rows": table.count()}
        gone = sum((table[c].isnull().sum() for c in spec.required), ibis.literal(0))
        wanted |= {"gone": gone.cast("float64")} if spec.required else {}
        if spec.cut:
            wanted |= {"first": table[spec.cut].min(), "last": table[spec.cut].max()}
        row = shop.con.execute(table.aggregate(**wanted)).iloc[0]
        last = _as_day(row.get("last"))
        cells = int(row.rows) * max(len(spec.required), 1)
        found.append(
            {
                "table": name,
                "rows": int(row.rows),
                "duplicate_keys": int(again.get(name, 0)),
                "missing_share": float(row.gone) / cells if cells else None,
                "first": _as_day(row.get("first")),
                "last": last,
                "freshness_days": (shop.as_of - last).days if isinstance(last, dt.date) else None,
            }
        )
    return pd.DataFrame(found)


def _as_day(value: object) -> object:
    if value is None or (isinstance(value, float) and value != value) or value is pd.NaT:
        return None
    if isinstance(value, str):
        return value
    return pd.Timestamp(value).date()


def days_without_orders(shop: Store) -> pd.DataFrame:
    """One row per day of the report month without an order: day_on, verdict (closed
    day, or missing).

    A weekday on which this shop almost never sells (under 5 % of its weeks) is a closed
    day; any other empty day is data that should be there and is not.
    """
    days = shop.con.execute(shop.orders.group_by(day_on=_.ordered_on).aggregate(orders=_.count()))
    every = pd.date_range(
        shop.observed_from, min(shop.as_of, shop.observed_to or shop.as_of), freq="D"
    )
    counts = days.set_index(pd.to_datetime(days.day_on)).orders.reindex(every)
    sells = counts.notna().groupby(every.day_of_week).mean()
    month = counts[counts.index.strftime("%Y-%m") == shop.month]
    empty = month[month.isna()].index
    verdicts = ["closed day" if sells[d.day_of_week] < 0.05 else "missing" for d in empty]
    return pd.DataFrame({"day_on": [d.date() for d in empty], "verdict": verdicts})


def verdict(
    shop: Store,
    *,
    scan: pd.DataFrame | None = None,
    least_customers: int = 200,
    least_days: int = 90,
) -> Verdict:
    """May the month be used? One row per gate (gate, amount, threshold, verdict) and
    what follows from them.

    A broken ledger or an incomplete month stops; thin history, missing days and
    contract warnings exclude.
    """
    rows = (
        _order_gates(shop, least_customers, least_days)
        if shop.get("orders") is not None
        else [("orders", "none yet", "≥ 1", "exclude")]
    )
    scan = privacy_scan(shop) if scan is None else scan
    personal = int(scan.n_rows[~scan.is_allowed].sum())
    rows.append(
        (
            "values that look like personal contact details",
            personal,
            "0",
            "go" if personal == 0 else "stop",
        )
    )
    warned = (
        shop.problems[~shop.problems.stops.astype(bool)] if len(shop.problems) else shop.problems
    )
    rows.append(("contract warnings", len(warned), "0", "go" if len(warned) == 0 else "exclude"))
    gates = pd.DataFrame(rows, columns=["gate", "amount", "threshold", "verdict"])
    reasons = [
        f"{r.gate}: {_short(r.amount)} (needs {r.threshold})"
        for r in gates.itertuples()
        if r.verdict != "go"
    ]
    reasons += [f"{p.table}.{p.column}: {p.rule} ({int(p.rows)} rows)" for p in warned.itertuples()]
    stops = (gates.verdict == "stop").any()
    status = "stop" if stops else "go with exclusions" if reasons else "go"
    return Verdict(status, tuple(reasons), gates)


def _order_gates(
    shop: Store, least_customers: int, least_days: int
) -> list[tuple[str, object, str, str]]:
    """The gates that orders answer; before the first order there are none."""
    rows: list[tuple[str, object, str, str]] = []
    try:
        ledger(shop)
        rows.append(("ledger difference", 0.0, "0.00", "go"))
    except PlaybookError as error:
        rows.append(("ledger difference", str(error), "0.00", "stop"))
    rows.append(
        (
            "month is complete",
            shop.is_month_complete,
            "yes",
            "go" if shop.is_month_complete else "stop",
        )
    )
    history = (shop.as_of - shop.observed_from).days + 1 if shop.observed_from else 0
    rows.append(
        (
            "days of history",
            history,
            f"≥ {least_days}",
            "go" if history >= least_days else "exclude",
        )
    )
    per_buyer = (
        shop.sales_orders.filter(_.customer_id.notnull())
        .group_by("customer_id")
        .aggregate(n=_.count())
    )
    buyers = shop.con.execute(
        per_buyer.aggregate(customers=_.count(), loyal=(_.n >= 3).mean())
    ).iloc[0]
    n = int(buyers.customers)
    rows.append(
        (
            "customers with an order",
            n,
            f"≥ {least_customers}",
            "go" if n >= least_customers else "exclude",
        )
    )
    rows.append(
        (
            "share of customers with three or more orders",
            float(buyers.loyal) if n else None,
            "shown",
            "go",
        )
    )
    lines = shop.sales_lines
    shares = shop.con.execute(
        lines.aggregate(
            cost=lines.unit_cost.notnull().mean(),
            sku=lines.sku.notnull().mean(),
            known=lines.customer_id.notnull().mean(),
            channel=lines.channel.notnull().mean(),
        )
    ).iloc[0]
    for gate, name, least in (
        ("lines with a cost", "cost", 0.95),
        ("lines with a sku", "sku", 0.95),
        ("lines with a customer", "known", 0.5),
        ("lines with a channel", "channel", 0.8),
    ):
        share = float(shares[name])
        rows.append(
            (f"share of {gate}", share, f"≥ {least:g}", "go" if share >= least else "exclude")
        )
    gaps = days_without_orders(shop)
    missing = int((gaps.verdict == "missing").sum())
    rows.append(
        (
            "days without orders that are not closed days",
            missing,
            "0",
            "go" if missing == 0 else "exclude",
        )
    )
    return rows


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
