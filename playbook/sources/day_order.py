"""One order of day and month per mapped file: told, proved by any column of the file, or
asked for. Nothing is written before it is known.
"""

from __future__ import annotations

import dataclasses

from playbook.errors import PlaybookError
from playbook.sources.adapter import Delivery

# 3/4/2026 and 3-4-26, with or without a time; with dots the day always stands first
WRITTEN = r"^\s*([0-9]{1,2})([/-])([0-9]{1,2})[/-]([0-9]{4}|[0-9]{2})([ T,].*)?$"
TYPES = ("time", "day", "month")


def settle_day_order(d: Delivery) -> None:
    """Settle which of day and month comes first, and write dashes as slashes, which the
    readers of times know in both orders.
    """
    mine = [n for n in d.at if d.wanted[n].type in TYPES]
    numbered = [n for n in mine if _share(d, n)]
    if not numbered:
        return
    if d.settings.day_first is None:
        is_day_first = _proved(d, numbered)
        d.settings = dataclasses.replace(d.settings, day_first=is_day_first)
    for name in numbered:
        date = r"^\s*([0-9]{1,2})-([0-9]{1,2})-([0-9]{2,4})"
        d.con.execute(
            f"UPDATE raw SET {name} = regexp_replace({name}, '{date}', '\\1/\\2/\\3') "
            f"WHERE regexp_matches({name}, '{WRITTEN}')"
        )


def _share(d: Delivery, name: str) -> int:
    (n,) = d.con.execute(
        f"SELECT count(*) FROM raw WHERE regexp_matches({name}, '{WRITTEN}')"
    ).fetchone()
    return n


def _proved(d: Delivery, numbered: list[str]) -> bool:
    """Whether the day comes first, by values above twelve in any column of the file."""
    first, second = 0, 0
    for at in range(len(d.sheet.headers)):
        part = f"TRY_CAST(regexp_extract(c{at}, '{WRITTEN}', %d) AS INTEGER)"
        a, b = d.con.execute(
            f"SELECT count(*) FILTER ({part % 1} BETWEEN 13 AND 31), "
            f"count(*) FILTER ({part % 3} BETWEEN 13 AND 31) FROM {d.sheet.scan}"
        ).fetchone()
        first, second = first + a, second + b
    if first and second:
        raise PlaybookError(
            "sources.day_orders_mixed",
            file=d.sheet.path.name,
            column=d.header(numbered[0]),
            rows=min(first, second),
        )
    if not first and not second:
        rows, example = d.con.execute(
            f"SELECT count(*), min({numbered[0]}) FROM raw "
            f"WHERE regexp_matches({numbered[0]}, '{WRITTEN}')"
        ).fetchone()
        raise PlaybookError(
            "sources.day_order_unknown",
            file=d.sheet.path.name,
            column=d.header(numbered[0]),
            example=example,
            rows=rows,
        )
    return bool(first)
