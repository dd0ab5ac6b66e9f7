"""What an import makes possible, and which file would help most next."""

from __future__ import annotations

import calendar
import datetime as dt
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.chapters.registry import chapters
from playbook.messages import read_yaml, say
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb

SHOWN = 3  # files named as the next best
COMPLETE_BY_MONTH = ("orders", "ad_spend", "traffic", "events")


@dataclass(frozen=True)
class Advice:
    """Chapters that are possible, sentences on the files that would help most, and notes
    on extracts that end before their month does.
    """

    possible: list[str]
    next_best: list[str]
    notes: list[str]


def advise(folder: Path, con: duckdb.DuckDBPyConnection, observed_to: Mapping[str, str]) -> Advice:
    """Advice on the store in `folder`; `observed_to` is table -> last day."""
    is_there = functools.cache(functools.partial(_is_there, folder, con))

    def has_any(need: str) -> bool:
        return any(map(is_there, need.split("|")))

    possible = [name for name, c in chapters().items() if all(map(has_any, c.needs))]
    notes = _incomplete_months(observed_to)
    if is_there("orders"):
        n, named = con.execute(
            f"SELECT count(*), count(channel) FROM read_parquet({quoted(folder / 'orders.parquet')})"
        ).fetchone()
        notes.append(say("sources.orders_with_a_channel", share=named / n if n else 0))
    return Advice(possible, _next_best(is_there), notes)


def _is_there(folder: Path, con: duckdb.DuckDBPyConnection, what: str) -> bool:
    table, _, column = what.partition(".")
    path = folder / f"{table}.parquet"
    if not path.exists() or not column:
        return path.exists()
    (n,) = con.execute(f"SELECT count({column}) FROM read_parquet({quoted(path)})").fetchone()
    return n > 0


def _next_best(is_there: Callable[[str], bool]) -> list[str]:
    brings = read_yaml(Path(__file__).with_name("advice.yaml"))
    missing = [what for what in brings if not is_there(what)]
    if is_there("orders"):
        missing = [w for w in missing if not w.startswith("refunds") or is_there("refunds")]
    else:
        of_orders = ("orders.", "order_lines", "refunds")
        missing = [w for w in missing if not w.startswith(of_orders)]
    missing.sort(key=lambda what: -len(brings[what].split()))
    return [
        say(
            f"sources.unlocks_{what.replace('.', '_')}",
            chapters=", ".join(brings[what].split()),
        )
        for what in missing[:SHOWN]
    ]


def _incomplete_months(observed_to: Mapping[str, str]) -> list[str]:
    notes = []
    for table, last in observed_to.items():
        if table not in COMPLETE_BY_MONTH or not last:
            continue
        day = dt.date.fromisoformat(last)
        if day.day < calendar.monthrange(day.year, day.month)[1]:
            month = f"{day:%Y-%m}"
            notes.append(say("sources.month_not_complete", table=table, last=last, month=month))
    return notes
