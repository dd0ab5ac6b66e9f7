"""The account of columns: what became of every column of a mapped file that holds money
or quantities.

Each is stored, or equal to a stated sum of others in every row, or known and irrelevant
with the reason. What is none of these is named with its sum, and stops the import where
it could change net revenue.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources import clean
from playbook.sources.adapter import Delivery
from playbook.sources.mapped import Mapped, fields
from playbook.sources.read import normalised

CENT = "0.011"
TERMS = (
    "goods",
    "amount",
    "price",
    "line_discount",
    "subtotal",
    "order_discount",
    "shipping",
    "tax",
    "total",
    "refunded",
    "tip",
    "duties",
    "quantity",
)
# what an order comes to, where a row only tells its line
OF_ORDER = ("goods", "quantity", "line_discount", "tax")
NAMES = {"id", "ids", "number", "no", "nr"}
UNITS, RETURNED = {"quantity", "qty", "units"}, {"return", "returned", "refund", "refunded"}


@dataclass(frozen=True)
class Unmapped:
    """A column of numbers that the mapping does not name."""

    at: int
    header: str
    total: str
    n: int
    has_decimals: bool

    @functools.cached_property
    def words(self) -> set[str]:
        """The words of its header; signs of languages without blanks one by one."""
        return set(normalised(self.header).split())

    def header_ends_in(self, words: set[str]) -> bool:
        """Whether the last word of its header is one of these."""
        return bool(words & set(normalised(self.header).split()[-1:]))


# --- columns the mapping leaves out ----------------------------------------------------------


def refuse_unexplained(d: Delivery, told: Mapped) -> None:
    """Accounts for each column of numbers that is not mapped; PlaybookError for one that
    could change net revenue and is explained by nothing.
    """
    open_ones = []
    for column in unmapped_numbers(d):
        verdict = _explained(d, told, column)
        if verdict:
            d.notes.append(verdict)
            continue
        line = say("sources.account_unexplained", header=column.header, total=column.total)
        d.notes.append(line)
        if _could_be_money(d, column):
            open_ones.append(column)
    if open_ones:
        raise PlaybookError(
            "sources.columns_unexplained",
            columns="; ".join(f"{c.header} ({c.total})" for c in open_ones),
            file=d.sheet.path.name,
            column=open_ones[0].header,
            rows=max(c.n for c in open_ones),
        )


def unmapped_numbers(d: Delivery) -> list[Unmapped]:
    """Columns the mapping does not name in which nine of ten filled values are numbers
    and not all of them nothing.
    """
    out = []
    for at, header in enumerate(d.sheet.headers):
        if at in d.at.values() or not header:
            continue
        number = number_at(d, at)
        filled = f"NOT {clean.blank(f'trim(c{at})')}"
        n, n_numbers, total, decimals, n_not_zero = d.con.execute(
            f"SELECT count(*) FILTER ({filled}), count({number}), "
            f"coalesce(sum({number}), 0), "
            f"coalesce(bool_or({number} <> round({number})), false), "
            f"count(*) FILTER ({number} <> 0) FROM {d.sheet.scan}"
        ).fetchone()
        if n and n_numbers >= 0.9 * n and n_not_zero:
            out.append(Unmapped(at, header, f"{total:,.2f}", n_not_zero, decimals))
    return out


def number_at(d: Delivery, at: int) -> str:
    """SQL: the number in a column of the file, mapped or not."""
    style = "comma" if d._decimal_comma() else "dot"
    return f"CAST({clean.number(clean.plain_text(f'c{at}'), style)} AS DOUBLE)"


def _explained(d: Delivery, told: Mapped, column: Unmapped) -> str:
    """The sentence that accounts for a column, or nothing."""
    ignored = {normalised(h): reason for h, reason in told.ignored.items()}
    reason = ignored.get(normalised(column.header))
    if reason:
        return say(
            "sources.account_ignored", header=column.header, total=column.total, reason=reason
        )
    if column.header_ends_in(NAMES) and not column.has_decimals:
        return say("sources.irrelevant_identity", header=column.header)
    if not column.words & _words(fields()["money"]):
        for why, words in fields()["irrelevant"].items():
            if column.words & _words(words) and not (why == "identity" and column.has_decimals):
                return say(f"sources.irrelevant_{why}", header=column.header)
    if column.words & _words(fields()["irrelevant"]["share"]):
        return say("sources.irrelevant_share", header=column.header)
    return equal_sum(d, column)


def _words(text: str) -> set[str]:
    return {w.strip() for w in text.split("|")}


def _could_be_money(d: Delivery, column: Unmapped) -> bool:
    has_lines = d.has("quantity") or d.has("price") or d.has("amount")
    if not has_lines and column.words & UNITS and not column.words & RETURNED:
        return False
    is_chinese = any(
        w in column.header for w in _words(fields()["money"]) if not w.isascii() and len(w) < 4
    )
    return column.has_decimals or bool(column.words & _words(fields()["money"])) or is_chinese


def equal_sum(d: Delivery, column: Unmapped) -> str:
    """How a column follows from mapped ones in every row, as a sentence; nothing where
    it does not.
    """
    sums = _candidates(d)
    if not sums:
        return ""
    d.con.execute(
        f"CREATE OR REPLACE TEMP TABLE checked AS SELECT {number_at(d, column.at)} AS x, "
        f"* FROM ({_terms(d)})"
    )
    names = list(sums)
    tests = ", ".join(
        f"count(*) FILTER (x IS NOT NULL AND abs(x - ({sums[n]})) > {CENT} OR "
        f"x IS NOT NULL AND ({sums[n]}) IS NULL)"
        for n in names
    )
    wrong = d.con.execute(f"SELECT {tests} FROM checked").fetchone()
    for name, n_wrong in zip(names, wrong, strict=True):
        if n_wrong == 0 and not (
            _is_discount(d, column) and {"total", "subtotal"} & set(sums[name].split())
        ):
            return say(
                "sources.account_equal", header=column.header, total=column.total, equal_to=name
            )
    return ""


def _is_discount(d: Delivery, column: Unmapped) -> bool:
    """Whether a column is called a discount where the mapping reads none: what it takes off
    the total is then no explanation but what is missing.
    """
    has_one = d.has("order_discount") or d.has("line_discount")
    return not has_one and bool(column.words & _words(fields()["discounts"]))


def _terms(d: Delivery) -> str:
    """Rows of the file with the mapped numbers under their names, and order sums."""
    picks = []
    for name in TERMS[1:]:
        if d.has(name):
            picks.append(f"coalesce({number_at(d, d.at[name])}, 0) AS {name}")
    goods = _goods_of(d)
    order = f"c{d.at['order_id']}" if d.has("order_id") else "1"
    inner = (
        f"SELECT *, {order} AS whose{', ' + ', '.join(picks) if picks else ''} FROM {d.sheet.scan}"
    )
    with_goods = f"SELECT *{f', {goods} AS goods' if goods else ''} FROM ({inner})"
    totals = "".join(
        f", sum({n}) OVER (PARTITION BY whose) AS order_{n}"
        for n in OF_ORDER
        if d.has(n) or (n == "goods" and goods)
    )
    return f"SELECT *{totals} FROM ({with_goods})"


def _goods_of(d: Delivery) -> str:
    if d.has("price"):
        return "price * quantity" if d.has("quantity") else "price"
    return "amount" if d.has("amount") else ""


def _candidates(d: Delivery) -> dict[str, str]:
    """Sentence -> expression of the sums a column of an order file commonly is."""
    terms = [n for n in TERMS if d.has(n) or (n == "goods" and _goods_of(d))]
    whole = {f"order_{n}": f"{n}, summed over the order" for n in OF_ORDER if n in terms}
    labels = {n: d.header(n) if d.has(n) else _goods_label(d) for n in terms} | {
        f"order_{n}": f"{d.header(n) if d.has(n) else _goods_label(d)} of the order"
        for n in OF_ORDER
        if n in terms
    }
    names = [*terms, *whole]
    out = {labels[n]: n for n in names} | {f"-({labels[n]})": f"-{n}" for n in names}
    for a, b in itertools.permutations(names, 2):
        out[f"{labels[a]} - {labels[b]}"] = f"{a} - {b}"
        if a < b:
            out[f"{labels[a]} + {labels[b]}"] = f"{a} + {b}"
    for base in (n for n in names if n in ("goods", "order_goods", "subtotal", "total")):
        others = [n for n in ("shipping", "tax", "order_tax", "tip", "duties") if n in names]
        off = [n for n in ("order_discount", "line_discount", "refunded") if n in names]
        for k in (2, 3):
            for chosen in itertools.combinations(others + off, k):
                sign = {
                    n: "-" if (n in off) != (base == "total" and n in others) else "+"
                    for n in chosen
                }
                label = labels[base] + "".join(f" {sign[n]} {labels[n]}" for n in chosen)
                out[label] = base + "".join(f" {sign[n]} {n}" for n in chosen)
    return out


def _goods_label(d: Delivery) -> str:
    if d.has("price") and d.has("quantity"):
        return f"{d.header('price')} × {d.header('quantity')}"
    return d.header("price") if d.has("price") else d.header("amount")


# --- columns the mapping names ---------------------------------------------------------------


def account_of_orders(d: Delivery, told: Mapped) -> None:
    """A line for each stored column of money or units: its sum in the file, in the
    store, and what lies between them by what became of the rows.
    """
    _units(d)
    _money(d)


def _by_class(d: Delivery, value: str) -> dict[str, object]:
    return dict(
        d.con.execute(
            f"SELECT class, coalesce(sum({value}), 0) FROM classed "
            f"WHERE class <> 'line' GROUP BY 1 HAVING coalesce(sum({value}), 0) <> 0 ORDER BY 1"
        ).fetchall()
    )


def _units(d: Delivery) -> None:
    if not d.has("quantity"):
        return
    held = "SELECT coalesce(sum(quantity), 0) FROM"
    (in_file,) = d.con.execute(f"{held} mapped").fetchone()
    (in_store,) = d.con.execute(f"{held} ({d.emitted['order_lines']})").fetchone()
    (made,) = d.con.execute(
        "SELECT count(*) FROM classed WHERE is_service AND class = 'line'"
    ).fetchone()
    apart = _by_class(d, "quantity") | ({"money without units": -made} if made else {})
    d.notes.append(_line(d.header("quantity"), in_file, in_store, apart))


def _money(d: Delivery) -> None:
    in_file, sold = d.con.execute(
        "SELECT coalesce(sum(goods), 0), coalesce(sum(goods) FILTER (class = 'line'), 0) "
        "FROM classed"
    ).fetchone()
    (in_store,) = d.con.execute(
        "SELECT coalesce(sum(quantity * price), 0) - (SELECT coalesce(sum(cut), 0) FROM classed "
        f"WHERE class = 'line') FROM ({d.emitted['order_lines']})"
    ).fetchone()
    named = next(n for n in ("amount", "price", "subtotal", "total") if d.has(n))
    header = d.header(named) if named != "price" else _goods_label(d)
    apart = _by_class(d, "goods")
    if abs(sold - in_store) >= 1:
        apart["tax inside prices, or orders left out"] = sold - in_store
    d.notes.append(_line(header, in_file, in_store, apart))
    for name in ("total", "shipping", "tax", "refunded"):
        if d.has(name) and name != named:
            _order_money(d, name)


def _order_money(d: Delivery, name: str) -> None:
    table, column = ("refunds", "amount") if name == "refunded" else ("orders", name)
    where = " WHERE refund_id = order_id || '-refund'" if name == "refunded" else ""
    (in_file,) = d.con.execute(f"SELECT coalesce(sum({name}), 0) FROM order_sums").fetchone()
    (in_store,) = d.con.execute(
        f"SELECT coalesce(sum({column}), 0) FROM ({d.emitted[table]}){where}"
    ).fetchone()
    apart = {}
    (others,) = d.con.execute(
        f"SELECT coalesce(sum({name}), 0) FROM order_sums WHERE NOT is_sale"
    ).fetchone()
    if others:
        apart["credit notes and bookings"] = others
    rest = in_file - in_store - others
    if abs(rest) >= 0.005:
        apart["other than in the store: see the ledger"] = rest
    d.notes.append(_line(d.header(name), in_file, in_store, apart))


def _line(header: str, in_file: object, in_store: object, apart: dict[str, object]) -> str:
    between = ", ".join(f"{what} {float(v):,.2f}" for what, v in apart.items()) or "-"
    rest = float(in_file) - float(in_store) - sum(float(v) for v in apart.values())
    return say(
        "sources.account_stored",
        header=header,
        in_file=float(in_file),
        in_store=float(in_store),
        between=between,
        rest=rest + 0.0,
    )
