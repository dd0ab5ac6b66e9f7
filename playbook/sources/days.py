"""Days that no shop can have meant: the placeholders of programs, and orders far after all
others. They are refused by name before they move the end of a log.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.store.contract import TABLES
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb

    from playbook.sources.adapter import Delivery

FIRST_DAY, LAST_DAY = "1995-01-01", "2100-01-01"  # web shops are not older; nothing is younger
# days from which a rule holds may be as old as anybody likes; published series are
VALID_FROM = ("cost_rates", "tiers", "prices", "promotions", "market_series", "channels")
LOGS = ("orders", "refunds", "ad_spend", "traffic", "events")
FAR_DAYS = 300  # so long after all others, a few rows are a slip of the year
FEW_SHARE, LEAST_BEFORE = 0.02, 5


def refuse_impossible_days(con: duckdb.DuckDBPyConnection, d: Delivery, folder: Path) -> None:
    """PlaybookError for a day before web shops were, or one far after all others of its
    table; `known_days` of shop.yaml names those that are meant.
    """
    known = {str(day)[:10] for day in d.settings.options.get("known_days") or ()}
    for table in d.emitted:
        if table not in TABLES or table in VALID_FROM:
            continue
        rows = f"read_parquet({quoted(folder / f'{table}.parquet')})"
        have = {r[0] for r in con.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()}
        for column in TABLES[table].columns:
            if column.type in ("ts", "date") and column.name in have:
                _refuse_out_of_range(
                    con, d, f"SELECT {column.name} AS day FROM {rows}", column.name
                )
        cut = "ordered_on" if table == "orders" else TABLES[table].cut
        if table in LOGS and cut in have:
            _refuse_far_off(con, d, f"SELECT CAST({cut} AS DATE) AS day FROM {rows}", cut, known)


def _header(d: Delivery, column: str) -> str:
    """The header a contract column was read from, where it can be told."""
    near = {
        "ordered_at": ("created_at", "purchased_at"),
        "ordered_on": ("created_at", "purchased_at", "ordered_at"),
    }
    names = [column, *near.get(column, ())]
    return next((d.header(n) for n in names if d.has(n)), column)


def _refuse_out_of_range(
    con: duckdb.DuckDBPyConnection, d: Delivery, rows: str, column: str
) -> None:
    low, high = con.execute(f"SELECT min(day), max(day) FROM ({rows})").fetchone()
    if low is None or (str(low) >= FIRST_DAY and str(high) < LAST_DAY):
        return
    n, example = con.execute(
        f"SELECT count(*), CAST(min(day) AS VARCHAR) FROM ({rows}) "
        f"WHERE day < DATE '{FIRST_DAY}' OR day >= DATE '{LAST_DAY}'"
    ).fetchone()
    raise PlaybookError(
        "sources.day_impossible",
        example=example[:10],
        file=d.sheet.path.name,
        column=_header(d, column),
        rows=n,
    )


def _refuse_far_off(
    con: duckdb.DuckDBPyConnection, d: Delivery, rows: str, column: str, known: set[str]
) -> None:
    low, high = con.execute(f"SELECT min(day), max(day) FROM ({rows})").fetchone()
    if low is None or (high - low).days <= FAR_DAYS:
        return
    counts = con.execute(
        f"SELECT day, count(*) FROM ({rows}) WHERE day IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    n_after, last = far_after([(day, n) for day, n in counts if str(day) not in known])
    if n_after:
        raise PlaybookError(
            "sources.days_far_off",
            example=high,
            last=last,
            file=d.sheet.path.name,
            column=_header(d, column),
            rows=n_after,
        )


def far_after(counts: list[tuple[dt.date, int]]) -> tuple[int, dt.date | None]:
    """How many rows lie far after all others, and the last day before them; `counts` are
    days with their rows, in order.
    """
    total = sum(n for _, n in counts)
    after = 0
    for (before, _), (day, n) in zip(counts[-2::-1], counts[:0:-1], strict=True):
        after += n
        if after > max(1, FEW_SHARE * total):
            break
        if (day - before).days > FAR_DAYS and total - after >= LEAST_BEFORE:
            return after, before
    return 0, None


def said_far_off(con: duckdb.DuckDBPyConnection, days: str) -> list[str]:
    """A sentence where the last orders of a whole log lie far after all others; `days` is
    a query of day and n.
    """
    n, last = far_after(
        con.execute(f"SELECT day, n FROM ({days}) WHERE day IS NOT NULL ORDER BY 1").fetchall()
    )
    return [say("sources.orders_far_off", n=n, last=last)] if n else []
