"""The metric dictionary: one definition per metric, used by every notebook and printed
with every table by its id.

*Maturity* is the number of days after a period's end before its figure may be judged (`win`: the platform's
attribution window; `h`: the stated horizon; `par`: the shop sets it). The entries stand in `metrics.txt`, a line each,
with a last cell where a goal's months add up (`flow`) or it is about `users` or `brand`;
`data/METRICS.md` is written from there.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from ibis import _

from playbook.errors import PlaybookError

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = [
    "METRICS",
    "Metric",
    "benchmarks",
    "definitions",
    "metrics_markdown",
    "monthly_sales",
    "months_back",
]


@dataclass(frozen=True)
class Metric:
    """One entry: direction ↑ (better high), ↓ (better low) or ↔ (neither alone).

    `is_flow`: months add up (of a ratio they are averaged). `goal_kind`: what a goal set
    on it is about, `users`, `sales` or `brand`.
    """

    id: str
    name: str
    chinese: str
    formula: str
    grain: str
    unit: str
    direction: str
    maturity: str
    trap: str
    group: str
    is_flow: bool = False
    goal_kind: str = "sales"

    @property
    def is_lower_better(self) -> bool:
        """Whether less of it is better."""
        return self.direction.startswith("↓")


def _parsed(text: str) -> dict[str, Metric]:
    found, group = {}, ""
    for line in text.strip().splitlines():
        if line.startswith("# "):
            group = line[2:]
            continue
        cells = [c.strip() for c in line.split(" | ")]
        english, _dot, chinese = cells[1].partition(" · ")
        kinds = cells[8].split() if len(cells) > 8 else []
        kind = next((name for name in kinds if name != "flow"), "sales")
        found[cells[0]] = Metric(
            cells[0], english, chinese, *cells[2:8], group, "flow" in kinds, kind
        )
    return found


METRICS: dict[str, Metric] = _parsed(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"))


def definitions(*ids: str) -> pd.DataFrame:
    """One row per metric id: id, name, chinese, formula, unit, maturity, trap. Unknown
    ids are refused by name.
    """
    unknown = [i for i in ids if i not in METRICS]
    if unknown:
        raise PlaybookError(
            f"There is no metric {', '.join(unknown)}", do="see data/METRICS.md for the ids"
        )
    chosen = [METRICS[i] for i in ids or METRICS]
    columns = ["id", "name", "chinese", "formula", "unit", "maturity", "trap"]
    return pd.DataFrame([[getattr(m, c) for c in columns] for m in chosen], columns=columns)


def metrics_markdown() -> str:
    """The dictionary as Markdown, one table per group."""
    out: list[str] = []
    group = ""
    for m in METRICS.values():
        if m.group != group:
            group = m.group
            out += [
                "",
                f"## {group}",
                "",
                "| id | English | 中文 | formula | grain | unit | dir | mature | note |",
                "|---|---|---|---|---|---|---|---|---|",
            ]
        cells = (
            m.id,
            m.name,
            m.chinese,
            m.formula,
            m.grain,
            m.unit,
            m.direction,
            m.maturity,
            m.trap,
        )
        out.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(out).strip() + "\n"


def benchmarks() -> pd.DataFrame:
    """The benchmark bands of `data/benchmarks.csv`: metric, segment, low, mid, high,
    unit, denominator, source, year, confidence, caveat. They orient and never pass or
    fail anything.
    """
    return pd.read_csv(Path(__file__).resolve().parents[2] / "data" / "benchmarks.csv")


def months_back(month: str, n: int) -> list[str]:
    """The last n months up to and with `month`, oldest first, as `YYYY-MM`."""
    last = pd.Period(month, "M")
    return [str(last - k) for k in range(n - 1, -1, -1)]


def monthly_sales(shop: Store, *, months: int = 37) -> pd.DataFrame:
    """The sales metrics of the dictionary by month, at most `months` back: metric,
    month, amount, low, high, n, status.

    A month the log does not cover whole is `partial`. Customer metrics count known
    customers only; they are missing where the shop knows none. n is the orders (or
    buyers) behind the figure.
    """
    orders = shop.sales_orders.mutate(month=_.ordered_on.strftime("%Y-%m"))
    known = orders.customer_id.notnull()
    by_month = orders.group_by("month").aggregate(
        orders=_.count(),
        gross_sales=_.gross.sum().cast("float64"),
        discounts=_.discount.sum().cast("float64"),
        sales=_.revenue.sum().cast("float64"),
        units=_.units.sum().cast("float64"),
        paid=_.total.sum().cast("float64"),
        buyers=_.customer_id.nunique(),
        known_orders=known.sum(),
        known_paid=_.total.sum(where=known).cast("float64"),
        new_customers=(_.is_first & ~_.is_left_truncated).sum(),
        margin=_.margin.sum().cast("float64"),
        n_unknown=_.margin.isnull().sum(),
    )
    table = shop.con.execute(by_month.order_by("month")).set_index("month")
    back = (
        shop.booked_refunds.mutate(month=_.refunded_on.strftime("%Y-%m"))
        .group_by("month")
        .aggregate(
            refunds=_.amount.sum().cast("float64"), refund_margin=_.margin.sum().cast("float64")
        )
    )
    table = table.join(shop.con.execute(back.order_by("month")).set_index("month"), how="outer")
    placed = (
        shop.orders.mutate(month=_.ordered_on.strftime("%Y-%m"))
        .group_by("month")
        .aggregate(gmv=_.total.sum().cast("float64"))
    )
    table = table.join(shop.con.execute(placed.order_by("month")).set_index("month"), how="outer")
    table = table.reindex(
        [m for m in months_back(shop.month, months) if m >= f"{shop.observed_from:%Y-%m}"]
    )
    if shop.has("traffic"):
        visits = (
            shop.traffic.mutate(month=_.day_on.strftime("%Y-%m"))
            .group_by("month")
            .aggregate(sessions=_.sessions.sum().cast("float64"))
        )
        table = table.join(shop.con.execute(visits.order_by("month")).set_index("month"))
    refunds = table.refunds.fillna(0.0)
    net = table.sales - refunds
    edge = shop.truncated_before
    if edge is not None:  # nobody can say who was new before that day
        starts = pd.PeriodIndex(table.index, freq="M").start_time
        table["new_customers"] = table.new_customers.mask(starts < pd.Timestamp(edge))
    out = {
        "gmv": (table.gmv, table.orders),
        "paid_amount": (table.paid, table.orders),
        "gross_sales": (table.gross_sales, table.orders),
        "net_revenue": (net, table.orders),
        "orders": (table.orders, table.orders),
        "aov": (net / table.orders, table.orders),
        "units_per_order": (table.units / table.orders, table.orders),
        "discount_share": (table.discounts / table.gross_sales, table.orders),
        "refund_share_booked": (
            (refunds / table.sales) if shop.has("refunds") else None,
            table.orders,
        ),
        "spend_per_buyer": (table.known_paid / table.buyers, table.buyers),
        "new_customers": (table.new_customers, table.buyers),
        "cm": (
            (table.margin + table.refund_margin.fillna(0.0)).where(table.n_unknown == 0),
            table.orders,
        ),
    }
    if "sessions" in table:
        out["sessions"] = (table.sessions, table.sessions)
        out["cvr_sessions"] = (table.orders / table.sessions, table.sessions)
    rows = [
        pd.DataFrame({"metric": metric, "month": table.index, "amount": amount, "n": n})
        for metric, (amount, n) in out.items()
        if amount is not None
    ]
    found = pd.concat(rows, ignore_index=True)
    if not shop.has("orders.customer_id"):
        found = found[~found.metric.isin(["spend_per_buyer", "new_customers"])]
    found["amount"] = found.amount.astype("float64").replace(
        [float("inf"), float("-inf")], float("nan")
    )
    first, last = shop.observed_from, min(shop.as_of, shop.observed_to)
    starts = pd.PeriodIndex(found.month, freq="M").start_time.date
    ends = pd.PeriodIndex(found.month, freq="M").end_time.date
    whole = [
        (first <= a or _starts_with(first, a)) and b <= last
        for a, b in zip(starts, ends, strict=True)
    ]
    found["status"] = [
        "unobserved" if pd.isna(a) else "complete" if w else "partial"
        for a, w in zip(found.amount, whole, strict=True)
    ]
    return found.assign(low=float("nan"), high=float("nan"))[
        ["metric", "month", "amount", "low", "high", "n", "status"]
    ]


def _starts_with(first: dt.date, month_start: dt.date) -> bool:
    """A log whose first order falls within the first three days of a month covers that
    month.
    """
    return first.strftime("%Y-%m") == month_start.strftime("%Y-%m") and first.day <= 3
