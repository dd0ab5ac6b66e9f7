"""The metric dictionary: one definition per metric, used by every notebook and printed
with every table by its id.

*Maturity* is the number of days after a period's end before its figure may be judged
(`win`: the platform's attribution window; `h`: the stated horizon; `par`: the shop sets
it). The entries stand in `metrics.txt`, a line each, with a last cell where a goal's
months add up (`flow`) or it is about `users` or `brand`; `data/METRICS.md` is written
from there.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.errors import PlaybookError
from playbook.measures.odd_buyers import odd_buyers, ordinary
from playbook.measures.sums import sums_by, total
from playbook.messages import label, language
from playbook.places import shipped
from playbook.store import distinct_rows
from playbook.store.trading import hole_days

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = [
    "METRICS",
    "Metric",
    "benchmarks",
    "definitions",
    "metric_called",
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


def metric_called(metric: str) -> str:
    """A metric's name in the language in use; its id where nothing names it."""
    known = METRICS.get(metric)
    if known is None:
        return label("figures", metric)
    return known.chinese if language() == "zh" and known.chinese else known.name


def definitions(*ids: str) -> DataFrame:
    """One row per metric id: id, name, chinese, formula, unit, maturity, trap. Unknown
    ids are refused by name.
    """
    unknown = [i for i in ids if i not in METRICS]
    if unknown:
        raise PlaybookError("measures.no_metric", which=", ".join(unknown))
    chosen = [METRICS[i] for i in ids or METRICS]
    columns = ["id", "name", "chinese", "formula", "unit", "maturity", "trap"]
    return DataFrame([[getattr(m, c) for c in columns] for m in chosen], columns=columns)


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


def benchmarks() -> DataFrame:
    """The benchmark bands of `data/benchmarks.csv`: metric, segment, low, mid, high,
    unit, denominator, source, year, confidence, caveat. They orient and never pass or
    fail anything.
    """
    return pd.read_csv(shipped("data", "benchmarks.csv"))


def months_back(month: str, n: int) -> list[str]:
    """The last n months up to and with `month`, oldest first, as `YYYY-MM`."""
    last = pd.Period(month, "M")
    return [str(last - k) for k in range(n - 1, -1, -1)]


#: months without a new customer, and their chance, from which a log is taken for closed
CLOSED_MONTHS, CLOSED_CHANCE = 3, 0.001


def monthly_sales(shop: Store, *, months: int = 37) -> DataFrame:
    """The sales metrics of the dictionary by month, at most `months` back: metric,
    month, amount, low, high, n, status.

    A month the log does not cover whole, or with days without orders that chance does not
    leave and nobody says the shop was closed on, is `partial`; so are sessions and
    conversion of a month with orders on days without visits. Nothing is filled up:
    conversion is then that of the days with visits. Customer metrics count known customers
    only; they are missing where the shop knows none, and new customers are missing before
    anybody could be known to be new, and in a log whose customers all began before
    (`_is_closed`). A discount nobody gave in any month is left out: such exports carry the
    column and not the fact. n is the orders (or buyers) behind the figure.
    """
    sums = _monthly_sums(shop, months)
    figures = _figures(shop, sums)
    over = {"spend_per_buyer": "persons", "new_customers": "buyers"}
    over |= {"sessions": "sessions", "cvr_sessions": "sessions"}
    series = pd.concat(
        [
            DataFrame(
                {
                    "metric": metric,
                    "month": sums.index,
                    "amount": amount.astype("float64"),
                    "n": sums[over.get(metric, "orders")],
                }
            )
            for metric, amount in figures.items()
        ],
        ignore_index=True,
    )
    nothing = float("nan")
    series["amount"] = series.amount.replace([float("inf"), float("-inf")], nothing)
    is_whole = _is_whole(shop, series.month)
    is_thin = series.month.map(sums.get("blind_days", Series(dtype=float))) > 0
    is_whole &= ~(is_thin & series.metric.isin(["sessions", "cvr_sessions"]))
    complete = is_whole.map({True: "complete", False: "partial"})
    series["status"] = complete.mask(series.amount.isna(), "unobserved")
    return series.assign(low=nothing, high=nothing)[MONTHLY]


MONTHLY = ["metric", "month", "amount", "low", "high", "n", "status"]


def _monthly_sums(shop: Store, months: int) -> DataFrame:
    """The sums the sales metrics are made of, by month."""
    orders = shop.sales_orders
    people = ordinary(orders.filter(orders.customer_id.notnull()), odd_buyers(shop))
    spent = {"person_paid": total("total"), "persons": _.customer_id.nunique()}
    sold = _by_month(
        orders,
        "ordered_on",
        orders=_.count(),
        gross_sales=total("gross"),
        discounts=total("discount"),
        sales=total("revenue"),
        units=total("units"),
        paid=total("total"),
        buyers=_.customer_id.nunique(),
        new_customers=(_.is_first & ~_.is_left_truncated).sum(),
        margin=total("margin"),
        n_unknown=_.margin.isnull().sum(),
    )
    refunds = {"refunds": total("amount"), "refund_margin": total("margin")}
    back = _by_month(shop.booked_refunds, "refunded_on", **refunds)
    placed = _by_month(shop.orders, "ordered_on", gmv=total("total"))
    table = sold.join(back, how="outer").join(placed, how="outer")
    table = table.join(_by_month(people, "ordered_on", **spent))
    first = f"{shop.observed_from:%Y-%m}"
    table = table.reindex([m for m in months_back(shop.month, months) if m >= first])
    # a month of the log without an order sold nothing; its ratios are not known
    none = ["orders", "gross_sales", "discounts", "sales", "units", "paid", "buyers"]
    none += ["new_customers", "gmv"]
    none += ["margin", "n_unknown"] if table.margin.notna().any() else []
    table = table.fillna(dict.fromkeys(none, 0.0))
    if shop.has("traffic"):
        table = table.join(_by_month(shop.traffic, "day_on", sessions=total("sessions")))
        table = table.join(_seen_orders(shop))
    if shop.truncated_before is not None:  # nobody can say who was new before that day
        starts = pd.PeriodIndex(table.index, freq="M").start_time
        is_too_early = starts < pd.Timestamp(shop.truncated_before)
        table["new_customers"] = table.new_customers.mask(is_too_early)
    table["new_customers"] = table.new_customers.mask(_is_closed(table))
    return table.assign(refunds=table.refunds.fillna(0.0))


def _is_closed(table: DataFrame) -> Series:
    """Months at the end of a log whose customers all began before: `CLOSED_MONTHS` or more
    with buyers of whom none is new, where by the share of new ones before that chance
    would leave less than one in a thousand. Whether anybody was new is not observed there.
    """
    news, buyers = table.new_customers, table.buyers.where(table.new_customers.notna(), 0.0)
    is_late = news.fillna(0.0)[::-1].cumsum()[::-1].eq(0) & news.notna()
    before = news[~is_late].sum() / max(buyers[~is_late].sum(), 1.0)
    n = buyers[is_late].sum()
    is_short = (is_late & (buyers > 0)).sum() < CLOSED_MONTHS
    is_chance = before > 0 and (1 - min(before, 1.0)) ** n > CLOSED_CHANCE
    return is_late & (not is_short and not is_chance)


def _seen_orders(shop: Store) -> DataFrame:
    """By month: orders on days with visits (seen_orders), and days with orders but no
    visits (blind_days).
    """
    days = distinct_rows(shop.traffic, on=_.day_on.cast("date"))
    orders = shop.sales_orders
    seen = orders.semi_join(days, orders.ordered_on == days.on)
    blind = orders.anti_join(days, orders.ordered_on == days.on)
    counted = _by_month(seen, "ordered_on", seen_orders=_.count())
    return counted.join(
        _by_month(blind, "ordered_on", blind_days=_.ordered_on.nunique()), how="outer"
    )


def _by_month(table: ibis.Table, day: str, **sums: ibis.Value) -> DataFrame:
    return sums_by(
        table.mutate(month=_[day].strftime("%Y-%m")),
        "month",
        **sums,
    ).set_index("month")


def _figures(shop: Store, sums: DataFrame) -> dict[str, Series]:
    """Metric -> its amount by month; those the shop cannot have are left out."""
    net = sums.sales - sums.refunds
    margin = sums.margin + sums.refund_margin.fillna(0.0)
    figures = {
        "gmv": sums.gmv,
        "paid_amount": sums.paid,
        "gross_sales": sums.gross_sales,
        "net_revenue": net,
        "orders": sums.orders,
        "aov": net / sums.orders,
        "units_per_order": sums.units / sums.orders,
    }
    if shop.has("order_lines.discount") and sums.discounts.any():
        figures["discount_share"] = sums.discounts / sums.gross_sales
    if shop.has("refunds"):
        figures["refund_share_booked"] = sums.refunds / sums.sales
    if shop.has("orders.customer_id"):
        figures["spend_per_buyer"] = sums.person_paid / sums.persons
        figures["new_customers"] = sums.new_customers
    figures["cm"] = margin.where(sums.n_unknown == 0)
    if "sessions" in sums:
        figures["sessions"] = sums.sessions
        figures["cvr_sessions"] = sums.seen_orders / sums.sessions
    return figures


def _is_whole(shop: Store, months: Series) -> Series:
    """Whether the log covers each month from its first to its last day, without a hole."""
    first, last = shop.observed_from, min(shop.as_of, shop.observed_to)
    periods = pd.PeriodIndex(months, freq="M")
    starts, ends = periods.start_time.date, periods.end_time.date
    is_begun = [first <= start or _starts_with(first, start) for start in starts]
    is_covered = Series(is_begun, months.index) & Series(ends <= last, months.index)
    return is_covered & ~months.isin(set(hole_days(shop).strftime("%Y-%m")))


def _starts_with(first: dt.date, month_start: dt.date) -> bool:
    """A log whose first order falls within the first three days of a month covers that
    month.
    """
    return first.strftime("%Y-%m") == month_start.strftime("%Y-%m") and first.day <= 3
