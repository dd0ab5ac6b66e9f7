"""Is this month's data fit to decide on? What is there, what is missing, which chapters
can run, and the verdict.

A *gate* is a number with a threshold. A broken ledger or an incomplete month stops a
run; thin history, missing days and broken rules in optional tables exclude something,
by name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.chapters.registry import Chapter, chapters
from playbook.errors import PlaybookError
from playbook.messages import label, say
from playbook.shown import shown_number
from playbook.store.contract import TABLES
from playbook.store.privacy import privacy_scan
from playbook.store.reconcile import ledger
from playbook.store.shop import Store
from playbook.store.trading import orders_by_day, shop_closures

__all__ = [
    "Verdict",
    "capability",
    "days_without_orders",
    "lacking",
    "quality",
    "rows_per_day",
    "verdict",
]

LEAST_CUSTOMERS = 200  # fewer exclude what speaks of customers
LEAST_DAYS = 90  # fewer days of history exclude what speaks of a usual month
LOYAL_ORDERS = 3
# of the order lines, how many must say this
KNOWN_SHARES = {
    "cost": 0.95,
    "sku": 0.95,
    "customer": 0.5,
    "channel": 0.8,
}
# why an import sets rows aside that it could not use, and the share of money that may be
SET_ASIDE = ("unreadable", "incomplete", "no_exchange_rate", "unexplained")
MOST_SET_ASIDE = 0.001
MOST_UNEXPLAINED = 0.02  # of a figure of the shop's own dashboard
NOT_JUDGED = ("benchmarks", "import_ledger")


@dataclass(frozen=True)
class Verdict:
    """`status` is go, go with exclusions or stop; `reasons` say why; `gates` holds one
    row per gate: gate, amount, threshold, verdict.
    """

    status: str
    reasons: tuple[str, ...]
    gates: DataFrame


Gate = tuple[str, object, str, str]  # gate, what was found, what is needed, verdict


def lacking(shop: Store, chapter: Chapter) -> list[str]:
    """What a chapter cannot do without and this shop does not have."""
    return [n for n in chapter.needs if not any(shop.has(name) for name in n.split("|"))]


def capability(shop: Store) -> DataFrame:
    """Chapter by chapter: notebook, runs (yes, in part, blocked), missing (what would
    unlock the rest).
    """
    rows = []
    for notebook, chapter in chapters().items():
        without = lacking(shop, chapter)
        wished = [name for name in chapter.unlocks if not shop.has(name)]
        partly = "in part" if wished else "yes"
        rows.append((notebook, "blocked" if without else partly, ", ".join(without + wished)))
    return DataFrame(rows, columns=["notebook", "runs", "missing"])


def rows_per_day(shop: Store) -> DataFrame:
    """Day by day of the report month: day_on, orders (missing on days after as-of),
    verdict (trading, closed day, quiet day, missing, not yet).
    """
    month = pd.date_range(
        f"{shop.month}-01",
        periods=pd.Period(shop.month).days_in_month,
        freq="D",
    )
    counts = orders_by_day(shop).reindex(month)
    has_been = month <= pd.Timestamp(shop.as_of)
    empty = days_without_orders(shop).set_index("day_on").verdict
    return DataFrame(
        {
            "day_on": month.date,
            "orders": counts.fillna(0).where(has_been).to_numpy(),
            "verdict": [
                empty.get(day, "trading") if past else "not yet"
                for day, past in zip(month.date, has_been, strict=True)
            ],
        }
    )


def quality(shop: Store) -> DataFrame:
    """Table by table: table, rows, duplicate_keys (as the contract's check counted
    them), missing_share of required values, first, last, freshness_days.
    """
    duplicates = shop.problems[shop.problems.is_key.astype(bool)].set_index("table").rows
    rows = []
    for name, spec in TABLES.items():
        table = shop.get(name)
        if table is None or name in NOT_JUDGED:
            continue
        counted = {"rows": table.count()}
        if spec.required:
            missing = sum((table[c].isnull().sum() for c in spec.required), ibis.literal(0))
            counted["missing"] = missing.cast("float64")
        if spec.cut:
            counted |= {"first": table[spec.cut].min(), "last": table[spec.cut].max()}
        found = shop.con.execute(table.aggregate(**counted)).iloc[0]
        last = _as_day(found.get("last"))
        cells = int(found.rows) * max(len(spec.required), 1)
        rows.append(
            {
                "table": name,
                "rows": int(found.rows),
                "duplicate_keys": int(duplicates.get(name, 0)),
                "missing_share": float(found.missing) / cells if cells else None,
                "first": _as_day(found.get("first")),
                "last": last,
                "freshness_days": (shop.as_of - last).days if isinstance(last, dt.date) else None,
            }
        )
    return DataFrame(rows)


def _as_day(value: object) -> object:
    if isinstance(value, str):
        return value
    return None if value is None or pd.isna(value) else pd.Timestamp(value).date()


def days_without_orders(shop: Store) -> DataFrame:
    """The days of the report month without an order: day_on, verdict (closed day, quiet
    day, or missing).

    A weekday on which this shop never trades is a closed day, and so is one that shop.yaml
    names (`holidays`, `closed_weekdays`); a day as empty as chance leaves some where orders
    are few is a quiet one; any other is data that should be there and is not.
    """
    counts, shut = orders_by_day(shop), shop_closures(shop)
    empty = counts[(counts == 0) & (counts.index.strftime("%Y-%m") == shop.month)].index
    verdicts = np.select(
        [shut.known(empty), shut.closed(empty)],
        ["closed day", "missing"],
        "quiet day",
    )
    return DataFrame({"day_on": [day.date() for day in empty], "verdict": verdicts})


def verdict(
    shop: Store,
    *,
    scan: DataFrame | None = None,
    dashboard: DataFrame | None = None,
    least_customers: int = LEAST_CUSTOMERS,
    least_days: int = LEAST_DAYS,
) -> Verdict:
    """May the month be used? One row per gate, and what follows from them. `scan` is a
    privacy scan made before, `dashboard` the walk to the shop's own dashboard
    (start_here.control_walk): a figure of which more than 2 % stays without a reason is
    no plain `go`.

    A broken ledger, an incomplete month or contact details stop; thin history, missing
    days and contract warnings exclude.
    """
    gates: list[Gate] = [("orders", "none yet", "≥ 1", "exclude")]
    if shop.get("orders") is not None:
        gates = [
            *_month_gates(shop, least_days),
            *_customer_gates(shop, least_customers),
            *_line_gates(shop),
            _day_gate(shop),
        ]
    if dashboard is not None and len(dashboard):
        gates.append(_dashboard_gate(dashboard))
    gates += _left_out_gates(shop)
    scan = privacy_scan(shop) if scan is None else scan
    personal = int(scan.n_rows[~scan.is_allowed].sum())
    gates.append(_none_of("values that look like personal contact details", personal, "stop"))
    warned = shop.problems[~shop.problems.stops.astype(bool)]
    gates.append(_none_of("contract warnings", len(warned), "exclude"))
    reasons = [
        say("store.gate_reason", gate=label("gates", gate), found=_short(found), limit=threshold)
        for gate, found, threshold, judged in gates
        if judged != "go"
    ]
    reasons += [
        say("store.warning", where=f"{p.table}.{p.column}", rule=p.rule, n=int(p.rows))
        for p in warned.itertuples()
    ]
    stops = any(judged == "stop" for *_rest, judged in gates)
    go = "go with exclusions" if reasons else "go"
    frame = DataFrame(gates, columns=["gate", "amount", "threshold", "verdict"])
    return Verdict("stop" if stops else go, tuple(reasons), frame)


def _none_of(gate: str, n: int, otherwise: str) -> Gate:
    return (gate, n, "0", "go" if n == 0 else otherwise)


def _month_gates(shop: Store, least_days: int) -> Iterator[Gate]:
    """The gates of the ledger, the month and the history behind it."""
    try:
        ledger(shop)
        yield "ledger difference", 0.0, "0.00", "go"
    except PlaybookError as error:
        yield "ledger difference", str(error), "0.00", "stop"
    is_whole = shop.is_month_complete
    yield "month is complete", is_whole, "yes", "go" if is_whole else "stop"
    history = (shop.as_of - shop.observed_from).days + 1 if shop.observed_from else 0
    yield _at_least("days of history", history, least_days)
    share = _share_set_aside(shop)
    if share > MOST_SET_ASIDE:
        limit = f"≤ {MOST_SET_ASIDE:.1%}"
        yield "share of money set aside by imports", share, limit, "exclude"


def _left_out_gates(shop: Store) -> list[Gate]:
    """Spend in a currency without a rate stands in no table: what is left would look cheap."""
    money = (shop.log.get("left_out") or {}).get("ad_spend") or {}
    if not money:
        return []
    told = ", ".join(f"{amount} {currency}" for currency, amount in sorted(money.items()))
    return [("ad spend without an exchange rate", told, "none", "exclude")]


def _share_set_aside(shop: Store) -> float:
    """The money of rows that could not be used, as a share of all that was delivered; for
    orders whose money cannot be told in the shop's currency, their share of all orders.
    """
    if not shop.has("import_ledger"):
        return 0.0
    rows = shop.import_ledger
    size = rows.amount.abs().cast("float64")
    orders = rows.n_orders.cast("float64")
    found = shop.con.execute(
        rows.aggregate(
            aside=size.sum(where=rows.reason.isin(SET_ASIDE)),
            all=size.sum(),
            foreign=orders.sum(where=rows.reason == "no_exchange_rate"),
            kept=orders.sum(where=rows.reason == "kept"),
        )
    ).iloc[0]
    foreign = 0.0 if pd.isna(found.foreign) else float(found.foreign)
    kept = 0.0 if pd.isna(found.kept) else float(found.kept)
    shares = [foreign / (foreign + kept)] if foreign else [0.0]
    if found["all"] and found.aside > 0:
        shares.append(float(found.aside / found["all"]))
    return max(shares)


def _customer_gates(shop: Store, least_customers: int) -> Iterator[Gate]:
    """How many customers are known, and how many of them come back."""
    known = shop.sales_orders.filter(_.customer_id.notnull())
    per_buyer = known.group_by("customer_id").aggregate(n=_.count())
    counted = per_buyer.aggregate(customers=_.count(), loyal=(_.n >= LOYAL_ORDERS).mean())
    buyers = shop.con.execute(counted).iloc[0]
    n = int(buyers.customers)
    yield _at_least("customers with an order", n, least_customers)
    loyal = float(buyers.loyal) if n else None
    yield "share of customers with three or more orders", loyal, "shown", "go"


def _at_least(gate: str, found: float, least: float) -> Gate:
    return (gate, found, f"≥ {least:g}", "go" if found >= least else "exclude")


def _line_gates(shop: Store) -> Iterator[Gate]:
    """How many lines say their cost, sku, customer and channel."""
    lines = shop.sales_lines
    columns = {
        "cost": "unit_cost",
        "sku": "sku",
        "customer": "customer_id",
        "channel": "channel",
    }
    shares = {name: lines[column].notnull().mean() for name, column in columns.items()}
    found = shop.con.execute(lines.aggregate(**shares)).iloc[0]
    for name, least in KNOWN_SHARES.items():
        # without a line that counts there is no share of them
        if pd.notna(found[name]):
            yield _at_least(
                f"share of lines with a {name}",
                float(found[name]),
                least,
            )


def _day_gate(shop: Store) -> Gate:
    missing = int((days_without_orders(shop).verdict == "missing").sum())
    return _none_of(
        "days without orders that are not closed days",
        missing,
        "exclude",
    )


def _dashboard_gate(walk: DataFrame) -> Gate:
    """The largest share of a dashboard's figure that no step explains."""
    known = walk[walk.unexplained.notna() & (walk.dashboard != 0)]
    left = float((known.unexplained / known.dashboard).abs().max()) if len(known) else 0.0
    judged = "go" if left <= MOST_UNEXPLAINED else "exclude"
    gate = "share of a dashboard figure without a reason"
    return gate, left, f"≤ {MOST_UNEXPLAINED:.0%}", judged


def _short(value: object) -> str:
    return shown_number(value) if isinstance(value, float) else str(value)
