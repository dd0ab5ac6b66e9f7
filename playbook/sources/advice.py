"""What an import makes possible, and which file would help most next."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.store.contract import TABLES
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb

    from playbook.sources.importing import ImportReport

__all__ = ["NEEDS", "advise"]

# chapter -> what it cannot do without; then what each further table or column unlocks in it
NEEDS: dict[str, tuple[str, ...]] = {
    "00_start_here": ("orders",),
    "01_market_research": (),
    "02_goal_setting": (),
    "03_channel_roi": ("orders.channel",),
    "04_cohort_retention": ("orders.customer_id",),
    "05_ltv_modelling": ("orders.customer_id",),
    "06_segmentation": ("orders.customer_id",),
    "07_inventory_planning": ("order_lines.sku",),
    "08_customer_journey": ("orders",),
    "09_recommendations": ("order_lines.sku",),
    "10_assortment_pricing": ("order_lines.sku",),
    "11_monthly_review": ("orders",),
}
UNLOCKS: dict[str, tuple[tuple[str, ...], str]] = {
    "orders": (
        ("00", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11"),
        "an order export: almost everything",
    ),
    "products.unit_cost": (
        ("03", "05", "07", "10", "11"),
        "a product export with cost per item: every margin, break-even and price advice",
    ),
    "ad_spend": (
        ("03", "05"),
        "ad reports by day and campaign (Google, Meta, 万相台): acquisition cost, payback, budgets",
    ),
    "stock": (
        ("07", "09", "10"),
        "an inventory export: reorder list, days of stock, demand hidden by stock-outs",
    ),
    "traffic": (
        ("02", "03", "08", "10", "11"),
        "traffic by day and channel (GA4, 生意参谋): conversion, funnel",
    ),
    "orders.customer_id": (
        ("04", "05", "06", "09"),
        "orders with a customer key or e-mail: cohorts, value, segments",
    ),
    "orders.channel": (
        ("03", "05"),
        "GA4's report by transaction id, or campaign tags on orders: where orders come from",
    ),
    "refunds.refunded_on": (
        ("03", "04", "05", "10", "11"),
        "refunds with their dates: refund-date views stop being partial",
    ),
    "order_lines.sku": (("07", "09", "10"), "order lines with skus: everything about products"),
    "cost_rates": (("02", "03", "05", "10"), "the sheet cost_rates: fees, fulfilment, overheads"),
    "targets": (("02", "11"), "the sheet targets: gaps to plan"),
    "purchase_orders": (("07",), "purchase orders: lead times, supplier scorecard"),
    "promotions": (("07", "10"), "the sheet promotions: what a promotion really brought"),
    "market_series": (
        ("01",),
        "a published series (playbook fetch market-series): growth of the market",
    ),
}


def advise(report: ImportReport, folder: Path, con: duckdb.DuckDBPyConnection) -> None:
    """Fills `possible`, `next_best` and warnings about extracts that end before their
    month does.
    """
    known: dict[str, bool] = {}

    def there(what: str) -> bool:
        if what not in known:
            table, _, column = what.partition(".")
            path = folder / f"{table}.parquet"
            if not path.exists():
                known[what] = False
            elif column:
                (n,) = con.execute(
                    f"SELECT count({column}) FROM read_parquet({quoted(path)})"
                ).fetchone()
                known[what] = n > 0
            else:
                known[what] = True
        return known[what]

    report.possible = [name for name, needs in NEEDS.items() if all(map(there, needs))]
    missing = [
        (len(chapters), what)
        for what, (chapters, _) in UNLOCKS.items()
        if not there(what) and (what.partition(".")[0] != "refunds" or there("refunds"))
    ]
    if not there("orders"):
        missing = [
            m for m in missing if not m[1].startswith(("orders", "order_lines", "refunds"))
        ] + [(12, "orders")]
    missing.sort(key=lambda m: (-m[0], list(UNLOCKS).index(m[1])))
    report.next_best = [
        f"{UNLOCKS[what][1]} (chapters {', '.join(UNLOCKS[what][0])})" for _, what in missing[:3]
    ]
    (report.notes).extend(_short(report, folder, con))
    if there("orders"):
        (n, named) = con.execute(
            f"SELECT count(*), count(channel) FROM read_parquet({quoted(folder / 'orders.parquet')})"
        ).fetchone()
        report.notes.append(f"{named / n if n else 0:.0%} of orders have a channel")


def _short(report: ImportReport, folder: Path, con: duckdb.DuckDBPyConnection) -> list[str]:
    """Extracts that end before the last day of the month they end in, where another one
    goes on longer.
    """
    out = []
    ends = {
        r.table: r.observed_to
        for r in report.tables.itertuples()
        if r.observed_to
        and r.table in TABLES
        and r.table
        not in ("customers", "refunds", "order_lines", "products", "market_series", "channels")
    }
    for table, last in ends.items():
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", last):
            continue
        day = dt.date.fromisoformat(last)
        end = day.replace(day=calendar.monthrange(day.year, day.month)[1])
        if day < end and table in ("orders", "ad_spend", "traffic", "events"):
            out.append(
                f"{table} ends on {last}, before its month does: {day:%Y-%m} is not complete"
            )
    return out
