"""The account of columns: what became of every column of a file that holds numbers.

Each one is stored, used on the way, known and irrelevant with the reason, a sum of
others checked row by row, or not understood: that is named with its sum, and an order
file is refused where such a column could change net revenue.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playbook.errors import PlaybookError
from playbook.messages import read_yaml, say
from playbook.sources.adapter import NUMBERS, header_list
from playbook.sources.read import normalised
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb

    from playbook.sources.adapter import Delivery

SAMPLE = 20_000  # rows by which a column is seen to hold numbers
NUMBER_SHARE = 0.95  # of its filled cells, so many must be numbers
# what becomes of a delivered column, where the store calls it otherwise
STORED_AS = {
    "refunded": ("refunds", "amount"),
    "refund": ("refunds", "amount"),
    "orders": ("ad_spend", "platform_orders"),
    "value": ("ad_spend", "platform_value"),
}


@dataclass(frozen=True)
class ColumnSum:
    """One column: what became of it (stored, used, known, parts, unknown), its sum in the
    file and in the store (missing where it has none of its own), and why.
    """

    column: str
    became: str
    in_file: Decimal | None = None
    in_store: Decimal | None = None
    reason: str = ""

    @property
    def difference(self) -> Decimal:
        """What the file says beyond the store."""
        return (self.in_file or Decimal(0)) - (self.in_store or Decimal(0))


@functools.cache
def _known() -> dict[str, Any]:
    return read_yaml(Path(__file__).parent / "columns.yaml")


def read_sums(d: Delivery) -> dict[str, tuple[str, Decimal]]:
    """Canonical column -> its header and its sum in the file, while the rows are there."""
    names = [n for n in d.at if d.wanted[n].type in NUMBERS]
    if not names:
        return {}
    noted = dict(d._bad)  # whether a value may stay unread is for the shape rule to say
    sums = ", ".join(f"sum(CAST({d.money(n)} AS DECIMAL(38,6)))" for n in names)
    d._bad = noted
    found = d.con.execute(f"SELECT {sums} FROM raw").fetchone()
    return {n: (d.header(n), v) for n, v in zip(names, found, strict=True) if v is not None}


def unread_columns(d: Delivery, known_by_shop: tuple[str, ...]) -> list[ColumnSum]:
    """The columns with numbers that are not read, with their sums; PlaybookError for one
    that could change net revenue and is known to nobody.
    """
    if d.beside or d.sheet.encoding == "json":
        return []
    if d.adapter.is_mapped and set(d.adapter.gives) & {"orders", "refunds"}:
        return []  # these have an account of their own, in column_account
    known = _known().get(d.adapter.kind, {})
    reasons = {normalised(h): why for h, why in known.get("irrelevant", {}).items()}
    reasons |= {normalised(h): say("sources.column_known_by_shop") for h in known_by_shop}
    out = []
    numbers = _number_columns(d)
    for at in numbers:
        header, name = d.sheet.headers[at], d.sheet.names[at]
        if name in header_list(d.adapter.personal):
            continue
        if name in reasons:
            out.append(ColumnSum(header, "known", reason=reasons[name]))
        elif d.adapter.is_mapped and header not in d.unknown:
            out.append(ColumnSum(header, "known", reason=say("sources.column_ignored")))
        elif header in d.unknown:
            total = _sum(d, at)
            out.append(ColumnSum(header, "unknown", total))
            if total and "orders" in d.adapter.gives and any(w in name for w in _known()["gates"]):
                raise PlaybookError(
                    "sources.money_not_understood",
                    amount=total,
                    header=header,
                    file=d.sheet.path.name,
                    column=header,
                )
    filled = set(numbers)
    stated = {
        whole: [p for p in parts if any(d.sheet.names[i] == normalised(p) for i in filled)]
        for whole, parts in known.get("parts", {}).items()
    }
    return out + _parts(d, stated)


def _number_columns(d: Delivery) -> list[int]:
    """Columns beside those read whose filled cells are numbers."""
    at = [i for i, n in enumerate(d.sheet.names) if n and i not in d.at.values()]
    if not at:
        return []
    counts = ", ".join(
        f"count(nullif(trim(c{i}), '')), count(TRY_CAST({_plain(i)} AS DOUBLE))" for i in at
    )
    cells = ", ".join(f"c{i}" for i in at)
    found = d.con.execute(
        f"SELECT {counts} FROM (SELECT {cells} FROM {d.sheet.scan} LIMIT {SAMPLE})"
    ).fetchone()
    return [
        i
        for i, filled, numbers in zip(at, found[::2], found[1::2], strict=True)
        if filled and numbers >= NUMBER_SHARE * filled
    ]


def _plain(at: int) -> str:
    return f"regexp_replace(c{at}, '[,£€$¥￥ ]', '', 'g')"


def _sum(d: Delivery, at: int) -> Decimal:
    (total,) = d.con.execute(
        f"SELECT sum(TRY_CAST({_plain(at)} AS DECIMAL(38,6))) FROM {d.sheet.scan}"
    ).fetchone()
    return total or Decimal(0)


def _parts(d: Delivery, stated: dict[str, list[str]]) -> list[ColumnSum]:
    """Columns that are the parts of another: rows where they do not come to it are told."""
    out = []
    for whole, parts in stated.items():
        at = [d.sheet.names.index(normalised(p)) for p in parts if normalised(p) in d.sheet.names]
        if not at or normalised(whole) not in d.sheet.names:
            continue
        amount = " + ".join(f"coalesce(TRY_CAST({_plain(i)} AS DECIMAL(18,6)), 0)" for i in at)
        other = _plain(d.sheet.names.index(normalised(whole)))
        (rows,) = d.con.execute(
            f"SELECT count(*) FROM (SELECT {amount} AS parts, TRY_CAST({other} AS DECIMAL(18,6)) AS whole FROM {d.sheet.scan}) "
            "WHERE parts <> 0 AND abs(parts - whole) > 0.015"
        ).fetchone()
        reason = say("sources.column_parts", whole=whole, rows=rows)
        out.append(ColumnSum(", ".join(d.sheet.headers[i] for i in at), "parts", reason=reason))
    return out


def stored_sums(
    con: duckdb.DuckDBPyConnection,
    d: Delivery,
    sums: dict[str, tuple[str, Decimal]],
    folder: Path,
) -> list[ColumnSum]:
    """Each column read, with what the tables now hold of it."""
    if d.beside:
        return _stored_series(con, d, sums, folder)
    have = {}
    for table in d.emitted:
        path = quoted(folder / f"{table}.parquet")
        described = con.execute(f"DESCRIBE SELECT * FROM read_parquet({path})").fetchall()
        have[table] = {row[0] for row in described}
    out = []
    for name, (header, in_file) in sums.items():
        places = [STORED_AS[name]] if name in STORED_AS else [(t, name) for t in d.adapter.gives]
        place = next(((t, c) for t, c in places if c in have.get(t, ())), None)
        if place is None or (place[1] == "price"):
            out.append(ColumnSum(header, "used", in_file))
            continue
        path = quoted(folder / f"{place[0]}.parquet")
        (in_store,) = con.execute(
            f"SELECT sum(CAST({place[1]} AS DECIMAL(38,6))) FROM read_parquet({path})"
        ).fetchone()
        out.append(ColumnSum(header, "stored", in_file, in_store or Decimal(0), ".".join(place)))
    return out


def _stored_series(
    con: duckdb.DuckDBPyConnection,
    d: Delivery,
    sums: dict[str, tuple[str, Decimal]],
    folder: Path,
) -> list[ColumnSum]:
    """The columns of published series: the sum of each in the file and in the store."""
    path = quoted(folder / "market_series.parquet")
    in_store = dict(
        con.execute(
            f"SELECT series, sum(CAST(value AS DECIMAL(38,6))) FROM read_parquet({path}) GROUP BY 1"
        ).fetchall()
    )
    return [
        ColumnSum(
            header,
            "stored",
            in_file,
            in_store.get(d.series_of.get(name), Decimal(0)),
            "market_series.value",
        )
        for name, (header, in_file) in sums.items()
    ]


def ledger_of_file(
    con: duckdb.DuckDBPyConnection,
    d: Delivery,
    sums: dict[str, tuple[str, Decimal]],
    folder: Path,
) -> list[str]:
    """A sentence that takes the file's column of totals apart by what became of it; what
    is left over is printed, and is nothing where every cent has a reason.
    """
    if "ledger" not in d.emitted or "total" not in sums or d.adapter.is_mapped:
        return []
    found = con.execute(
        f"SELECT reason, sum(amount) FROM read_parquet({quoted(folder / 'ledger.parquet')}) "
        "GROUP BY 1 HAVING sum(amount) <> 0 ORDER BY 1"
    ).fetchall()
    total = sums["total"][1]
    parts = ", ".join(f"{reason} {amount:,.2f}" for reason, amount in found)
    rest = total - sum((amount for _, amount in found), Decimal(0))
    return [say("sources.ledger_of_file", total=total, parts=parts or "-", rest=rest)]


def lines_of(columns: list[ColumnSum]) -> list[str]:
    """The account as sentences, a line per column with numbers."""
    out = []
    for c in columns:
        if c.became == "unknown":
            out.append(say("sources.column_unknown", header=c.column, amount=c.in_file))
        elif c.became == "stored":
            values = {"header": c.column, "place": c.reason, "in_file": c.in_file}
            rest = {"in_store": c.in_store, "difference": c.difference}
            out.append(say("sources.column_stored", **values, **rest))
        elif c.became == "used":
            out.append(say("sources.column_used", header=c.column, amount=c.in_file))
        elif c.reason:
            out.append(say("sources.column_known", header=c.column, reason=c.reason))
    return out
