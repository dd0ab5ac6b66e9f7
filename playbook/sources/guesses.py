"""What the columns of an unknown file are, by their headers and by their values."""

from __future__ import annotations

import difflib
import functools
import itertools
import re
from dataclasses import dataclass

import duckdb

from playbook.sources import clean
from playbook.sources.mapped import columns_known, fields
from playbook.sources.read import Sheet, normalised
from playbook.store.write import quoted

ROWS = 20_000  # rows whose writing is looked at; what repeats is looked for in all of them
LIKE = 0.8  # headers at least so alike a known word are taken for it, where the values fit
DATE = (
    r"^\s*([0-9]{4}[-/.年][0-9]{1,2}([-/.月][0-9]{1,2}.*)?"
    r"|[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{2,4}.*|[0-9]{8}"
    r"|[A-Za-z]{3,9}[ -][0-9]{1,2},?[ -][0-9]{2,4}.*"
    r"|[0-9]{1,2}[ -][A-Za-z]{3,9}[ -][0-9]{2,4}.*)$"
)
CREDIT_PREFIXES = ("c", "cn", "cr", "cm", "crn", "gs", "rma", "ret", "av", "avoir", "sr", "rn")
NUMBERS = ("money", "number", "count")
SHORT = {
    "desc": "description",
    "qty": "quantity",
    "amt": "amount",
    "num": "number",
    "cust": "customer",
    "prod": "product",
    "addr": "address",
}
# words that say whose or which, before the word that counts
QUALIFIED = ("region", "country", "email")
QUALIFIERS = {"ship", "shipping", "delivery", "billing", "customer", "buyer", "address", "to"}
TAILS = {"description", "text", "label", "value"}
SURE, LIKELY, GUESS = "sure", "likely", "guess"


@dataclass(frozen=True)
class Profile:
    """What stands in one column of a file: counts of filled, distinct and differently
    written values.
    """

    at: int
    header: str
    n: int
    distinct: int
    numbers: int
    whole: int
    negative: int
    dates: int
    mails: int
    spaced: int
    letters: int
    not_zero: int

    @property
    def name(self) -> str:
        """The header as it is matched."""
        return spelt_out(self.header)

    def is_mostly(self, count: str, share: float = 0.95) -> bool:
        """Whether so many of the filled values are of this sort."""
        return self.n > 0 and getattr(self, count) >= share * self.n

    def is_told(self, kind: str) -> bool:
        """Whether a column of numbers holds one that is not nothing: of two columns with
        fitting headers it is the one in use.
        """
        return kind not in NUMBERS or self.not_zero > 0

    def fits(self, kind: str) -> bool:
        """Whether the values can be what a column of this kind holds; an empty column can
        be anything.
        """
        if not self.n:
            return True
        if kind == "count":
            return self.is_mostly("whole")
        if kind in NUMBERS:
            return self.is_mostly("numbers")
        if kind in ("time", "day", "month"):
            return self.is_mostly("dates", 0.7)
        return not (kind in ("text", "word") and self.is_mostly("dates"))


def spelt_out(header: str) -> str:
    """A header in plain words: `orderId` and `Item Desc.` as people would say them."""
    apart = re.sub(r"([a-z]{2})([A-Z])", r"\1 \2", header)
    return " ".join(SHORT.get(word, word) for word in normalised(apart).split())


def words_of(table: str, column: str) -> tuple[str, ...]:
    """The headers a column goes by, as they are matched."""
    told = fields().get(table, fields()["tables"].get(table, {})).get(column, "")
    text = told["words"] if isinstance(told, dict) else told
    words = [spelt_out(w) for w in text.split("|") if w.strip()]
    return tuple(dict.fromkeys([*words, spelt_out(column)]))


@functools.cache
def likeness(name: str, table: str, column: str) -> float:
    """How alike a header is to the words of a column: over 1 for one of them itself."""
    words = words_of(table, column)
    if name in words:
        return 1.5 - 0.005 * words.index(name)
    # likeness is for spelling: a word more or less makes another header
    n = len(name.split())
    near = [w for w in words if len(w.split()) == n or not w.isascii()]
    alike = max((difflib.SequenceMatcher(None, name, w).ratio() for w in near), default=0.0)
    return max(alike, _phrase(name, words, column, columns_known(table).get(column, "")))


def _phrase(name: str, words: tuple[str, ...], column: str, kind: str) -> float:
    """How sure a known phrase inside a longer header makes: `unique order id`, `order status
    description`, `shipping address country`, `order submitted date`.
    """
    said = name.split()
    money = {w.strip() for w in fields()["money"].split("|")}
    for known in (w.split() for w in words if w.isascii()):
        before, after = said[: -len(known)], said[len(known) :]
        if len(known) >= len(said):
            continue
        if said[-len(known) :] == known:
            is_place = column in QUALIFIED and set(before) <= QUALIFIERS
            is_the_orders = kind == "money" and before == ["order"]
            if (
                is_place
                or is_the_orders
                or (len(known) > 1 and len(before) == 1 and not money & set(before))
            ):
                return 0.9
        if kind == "word" and said[: len(known)] == known and set(after) <= TAILS:
            return 0.9
        is_apart = len(known) == 2 and len(said) == 3 and [said[0], said[2]] == known
        if kind == "time" and is_apart:
            return 0.85
    return 0.0


def _least(name: str, column: Profile, kind: str) -> float:
    """How alike a header must be: money is no id, and a short word of a language without
    blanks is another word as soon as one sign differs.
    """
    identity = {w.strip() for w in fields()["irrelevant"]["identity"].split("|")}
    is_units = kind == "money" and {"qty", "quantity", "units"} & set(column.name.split())
    if is_units or (kind in NUMBERS and identity & set(column.name.split())):
        return 1.0
    # an empty column, and a name that is but numbers, are what their header says or nothing
    if not column.n or (kind in ("word", "text") and column.is_mostly("numbers")):
        return 0.9
    return LIKE if column.name.isascii() else 0.9


def profiles(con: duckdb.DuckDBPyConnection, sheets: list[Sheet]) -> list[Profile]:
    """The columns of sheets with the same headers; leaves all rows as `seen` (c0, c1 ...)
    and some of them as `sample` in the engine.
    """
    headers = sheets[0].headers
    ats = [i for i, header in enumerate(headers) if header]
    picks = ", ".join(f"nullif(trim(c{i}), '') AS c{i}" for i in ats)
    rows = " UNION ALL ".join(f"SELECT {picks} FROM {sheet.scan}" for sheet in sheets)
    con.execute(f"CREATE OR REPLACE TABLE seen AS {rows}")
    (n,) = con.execute("SELECT count(*) FROM seen").fetchone()
    step = max(1, n // ROWS)
    picks = ", ".join(f"{clean.plain_text(f'c{i}')} AS c{i}" for i in ats)
    con.execute(
        f"CREATE OR REPLACE TABLE sample AS SELECT {picks} FROM seen WHERE rowid % {step} = 0"
    )
    return [_profile(con, i, headers[i]) for i in ats]


def number_of(at: int) -> str:
    """A number however its decimals are written, for guessing only."""
    dot, comma = (clean.number(f"c{at}", style) for style in ("dot", "comma"))
    return f"coalesce({dot}, {comma})"


def _profile(con: duckdb.DuckDBPyConnection, at: int, header: str) -> Profile:
    text, number = f"c{at}", number_of(at)
    counts = con.execute(f"""
        SELECT count({text}), count(DISTINCT {text}), count(x), count(*) FILTER (x = round(x)),
               count(*) FILTER (x < 0), count(*) FILTER (regexp_matches({text}, '{DATE}')),
               count(*) FILTER (contains({text}, '@')), count(*) FILTER (contains({text}, ' ')),
               count(*) FILTER (regexp_matches({text}, '[A-Za-z]')), count(*) FILTER (x <> 0)
        FROM (SELECT {text}, {number} AS x FROM sample)""").fetchone()
    return Profile(at, header, *counts)


class Guesses:
    """The columns found for a table, `found` (column -> profile) with `sureness`."""

    def __init__(self, con: duckdb.DuckDBPyConnection, table: str, seen: list[Profile]) -> None:
        self.con, self.table, self.seen = con, table, seen
        self.found: dict[str, Profile] = {}
        self.sureness: dict[str, str] = {}
        self.unknown_states: list[str] = []

    @property
    def used(self) -> set[int]:
        """Places of the columns that were found a use."""
        return {p.at for p in self.found.values()}

    def header(self, name: str) -> str:
        """The header found for a column."""
        return self.found[name].header

    def make(self) -> None:
        """Headers first, where the values agree; then what only the values tell."""
        self._by_headers()
        if self.table == "orders":
            self._line_totals()
            self._by_products()
            self._check_amount()
            self._by_values()

    def _take(self, name: str, column: Profile, sureness: str) -> None:
        self.found[name], self.sureness[name] = column, sureness

    def _free(self) -> list[Profile]:
        return [p for p in self.seen if p.at not in self.used]

    def _impersonal(self) -> list[Profile]:
        personal = {w.strip() for w in fields()["personal"].split("|")}
        return [p for p in self._free() if not set(p.name.split()) & personal]

    def _by_headers(self) -> None:
        kinds = columns_known(self.table)
        ranked = sorted(
            (
                (likeness(p.name, self.table, name), p.is_told(kinds[name]), -i, -p.at, name, p)
                for i, name in enumerate(kinds)
                for p in self.seen
                if p.fits(kinds[name])
            ),
            key=lambda r: (r[0] - 0.3 * (not r[1]), *r[2:4]),
            reverse=True,
        )
        for alike, _, _, _, name, column in ranked:
            if (
                alike >= _least(name, column, kinds[name])
                and name not in self.found
                and column.at not in self.used
                and (name != "email" or alike >= 1 or column.is_mostly("mails", 0.5))
            ):
                self._take(name, column, SURE if alike >= 1 and column.n else LIKELY)

    def _check_amount(self) -> None:
        """A line total that is not price times units is so less a discount, or is left
        out of the proposal and named by the account of columns.
        """
        if not {"quantity", "price", "amount"} <= set(self.found):
            return
        units, price, amount = (self.found[n] for n in ("quantity", "price", "amount"))
        if self._is_product(units, price, amount) or not self._differs(units, price, amount, "0"):
            return
        known = [self.found[n] for n in ("line_discount",) if n in self.found]
        for column in known or [p for p in self._free() if p.is_mostly("numbers")]:
            if not self._differs(units, price, amount, f"abs({number_of(column.at)})"):
                if not known:
                    self._take("line_discount", column, LIKELY)
                return
        del self.found["amount"], self.sureness["amount"]

    def _differs(self, units: Profile, price: Profile, amount: Profile, off: str) -> bool:
        u, p, a = (f"abs(CAST({number_of(x.at)} AS DOUBLE))" for x in (units, price, amount))
        return not self._holds(
            f"abs({u} * {p} - CAST({off} AS DOUBLE) - {a}) <= 0.005 * {u} + 0.006"
        )

    def _holds(self, test: str, least: float = 0.99) -> bool:
        """Whether a test on the rows is true in nearly all where it can be asked."""
        true, asked = self.con.execute(
            f"SELECT count(*) FILTER ({test}), count(*) FILTER (({test}) IS NOT NULL) FROM sample"
        ).fetchone()
        return asked > 0 and true >= least * asked

    def _is_product(self, units: Profile, price: Profile, amount: Profile) -> bool:
        u, p, a = (f"CAST({number_of(x.at)} AS DOUBLE)" for x in (units, price, amount))
        (several,) = self.con.execute(
            f"SELECT count(*) FILTER (abs({u}) > 1) FROM sample"
        ).fetchone()
        return several > 0 and self._holds(
            f"abs(abs({u} * {p}) - abs({a})) <= 0.005 * abs({u}) + 0.006"
        )

    def _line_totals(self) -> None:
        """A `total` that is price times units in rows of orders with several lines is the
        line's money, not the order's.
        """
        have = {"quantity", "price", "total", "order_id"} <= set(self.found)
        if not have or "amount" in self.found:
            return
        order, total = f"c{self.found['order_id'].at}", number_of(self.found["total"].at)
        (differing,) = self.con.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM seen GROUP BY {order} "
            f"HAVING count(DISTINCT {total}) > 1)"
        ).fetchone()
        is_line = self._is_product(*(self.found[n] for n in ("quantity", "price", "total")))
        if differing and is_line:
            self._take("amount", self.found.pop("total"), SURE)
            self.sureness.pop("total")

    def _by_products(self) -> None:
        """Units, price and line total by what multiplies up, where a header was not known."""
        names = ("quantity", "price", "amount")
        missing = [n for n in names if n not in self.found]
        if not missing or (missing == ["amount"] and not self._free()):
            return
        free = [p for p in self._free() if p.is_mostly("numbers") and p.distinct > 1]
        options = [[self.found[n]] if n in self.found else free for n in names]
        for units, price, amount in itertools.islice(itertools.product(*options), 200):
            is_new = len({units.at, price.at, amount.at}) == 3 and units.is_mostly("whole")
            if is_new and self._is_product(units, price, amount):
                for name, column in zip(names, (units, price, amount), strict=True):
                    if name in missing:
                        self._take(name, column, LIKELY)
                return

    def _by_values(self) -> None:
        has_lines = {"quantity", "price", "amount"} & set(self.found)
        for name, guess in (
            ("ordered_at", self._a_date),
            ("email", self._a_mail),
            ("status", self._a_status),
            ("order_id", self._an_order),
            ("sku", self._a_code),
            ("title", self._a_title),
        ):
            if name not in self.found and (has_lines or name not in ("sku", "title")):
                column = guess()
                if column is not None:
                    self._take(name, column, GUESS)

    def _a_date(self) -> Profile | None:
        dates = [p for p in self._free() if p.is_mostly("dates", 0.9) and p.letters < p.n]
        return max(dates, key=lambda p: (p.n, -p.at), default=None)

    def _a_mail(self) -> Profile | None:
        mails = [p for p in self._free() if p.is_mostly("mails")]
        return next(iter(mails), None)

    def _a_status(self) -> Profile | None:
        for column in self._free():
            if 0 < column.distinct <= 15 and not column.is_mostly("numbers", 0.5):
                known, unknown = self._states_of(column)
                if len(known) > len(unknown):
                    return column
        return None

    def _an_order(self) -> Profile | None:
        """The column whose values each have one date: unique, or repeated line by line."""
        if "ordered_at" not in self.found:
            return None
        day = f"c{self.found['ordered_at'].at}"
        for column in self._free():
            is_code = column.spaced == 0 and column.mails == 0 and column.n >= 0.99 * self._n_rows()
            if not is_code or column.distinct < max(2, 0.05 * column.n):
                continue
            (split,) = self.con.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM seen GROUP BY c{column.at} "
                f"HAVING count(DISTINCT {day}) > 1)"
            ).fetchone()
            if not split and not column.is_mostly("dates"):
                return column
        return None

    def _a_code(self) -> Profile | None:
        codes = [
            p
            for p in self._impersonal()
            if p.n and not p.spaced and not p.mails and p.distinct > 1 and p.letters and not p.dates
        ]
        return next((p for p in codes if p.distinct < p.n or self._n_rows() < 20), None)

    def _a_title(self) -> Profile | None:
        texts = [
            p
            for p in self._impersonal()
            if p.is_mostly("letters") and p.spaced > 0.5 * p.n and not p.is_mostly("dates")
        ]
        texts += [p for p in self._free() if p.name == "name" and self._follows_the_sku(p)]
        return max(texts, key=lambda p: p.distinct, default=None)

    def _follows_the_sku(self, column: Profile) -> bool:
        """Whether each code has one value in a column, however many orders it is in: the
        name of goods, and of no person.
        """
        if "sku" not in self.found:
            return False
        sku = f"c{self.found['sku'].at}"
        codes, several, again = self.con.execute(
            f"SELECT count(*), count(*) FILTER (n > 1), count(*) FILTER (rows > 1) FROM ("
            f"SELECT count(DISTINCT c{column.at}) AS n, count(*) AS rows FROM seen GROUP BY {sku})"
        ).fetchone()
        return codes > 0 and several == 0 and again > 0

    def _n_rows(self) -> int:
        return max((p.n for p in self.seen), default=0)

    # --- settings of an order file ------------------------------------------------------------

    def _states_of(self, column: Profile) -> tuple[dict[str, str], list[str]]:
        rows = self.con.execute(
            f"SELECT DISTINCT c{column.at} FROM seen WHERE c{column.at} IS NOT NULL ORDER BY 1"
        ).fetchall()
        known = {
            normalised(word): status
            for status, words in fields()["status"].items()
            for word in words.split("|")
        }
        states = {word: known[normalised(word)] for (word,) in rows if normalised(word) in known}
        return states, [word for (word,) in rows if word not in states]

    def statuses(self) -> dict[str, str]:
        """Words of the status column whose meaning is known; leaves the others in
        `unknown_states`.
        """
        if "status" not in self.found:
            return {}
        states, self.unknown_states = self._states_of(self.found["status"])
        return states

    def _goods(self) -> str:
        if {"quantity", "price"} <= set(self.found):
            return " * ".join(number_of(self.found[n].at) for n in ("quantity", "price"))
        named = next((n for n in ("amount", "total") if n in self.found), None)
        return number_of(self.found[named].at) if named else "0"

    def kinds_of_orders(self) -> dict[str, str]:
        """Patterns of order numbers that are credit notes or bookings, by the letters
        they start with, their signs and titles.
        """
        if "order_id" not in self.found:
            return {}
        title = f"c{self.found['title'].at}" if "title" in self.found else "''"
        order = f"c{self.found['order_id'].at}"
        booked = quoted(fields()["adjustments"])
        rows = self.con.execute(f"""
            SELECT regexp_extract({order}, '^[A-Za-z]*') AS prefix, count(*) AS n,
                   count(*) FILTER ({self._goods()} <= 0) AS below,
                   count(*) FILTER (regexp_full_match(lower({title}), {booked})) AS booked
            FROM seen WHERE {order} IS NOT NULL GROUP BY 1 ORDER BY n DESC""").fetchall()
        out: dict[str, list[str]] = {"credit_notes": [], "adjustments": []}
        for prefix, n, below, n_booked in rows[1:]:
            if not prefix:
                continue
            if n_booked >= 0.5 * n:
                out["adjustments"].append(prefix)
            elif below >= 0.95 * n or prefix.lower() in CREDIT_PREFIXES[1:]:
                out["credit_notes"].append(prefix)
        return {
            setting: f"^{found[0]}" if len(found) == 1 else f"^({'|'.join(found)})"
            for setting, found in out.items()
            if found
        }

    def no_products(self) -> list[str]:
        """Codes of lines that are no products, by known codes and by titles that say so."""
        if "sku" not in self.found and "title" not in self.found:
            return []
        code = f"c{self.found['sku'].at}" if "sku" in self.found else "NULL"
        title = f"c{self.found['title'].at}" if "title" in self.found else "''"
        rows = self.con.execute(
            f"SELECT {code}, mode(lower(trim({title}))) FROM seen WHERE coalesce({code}, {title}) "
            f"IS NOT NULL GROUP BY {code}{'' if code != 'NULL' else f', {title}'} ORDER BY 1, 2"
        ).fetchall()
        words = fields()["no_products"]
        codes = [c.strip().lower() for c in words["codes"].split("|")]
        patterns = [re.compile(re.escape(c).replace(r"\*", ".*")) for c in codes]
        titles = re.compile(words["titles"], re.IGNORECASE)
        # a code of a letter or two is told from wares only where these are numbers
        has_digits = sum(bool(re.search(r"\d{2}", s or "")) for s, _ in rows) > 0.5 * len(rows)
        out = []
        for sku, name in rows:
            is_code = sku is not None and any(p.fullmatch(sku.lower()) for p in patterns)
            is_code = is_code and (len(sku) > 2 or has_digits)
            is_named = bool(titles.fullmatch(name or "")) and not _is_ware(sku, rows)
            if is_code or is_named:
                out.append(_starred(sku) if sku is not None else name)
        return list(dict.fromkeys(out))


def _starred(sku: str) -> str:
    """Numbered vouchers and test codes under one entry."""
    numbered = re.fullmatch(r"((?:gift|test)[_-]?)\d[\w]*", sku, re.IGNORECASE)
    return f"{numbered.group(1)}*" if numbered else sku


def _is_ware(sku: str | None, rows: list[tuple]) -> bool:
    """Whether a code is written as most codes of the file are: digits where they have
    digits.
    """
    if sku is None:
        return False
    shapes = [re.sub(r"[A-Za-z]+$", "", re.sub(r"\d", "9", s)) for s, _ in rows if s]
    mine = re.sub(r"[A-Za-z]+$", "", re.sub(r"\d", "9", sku))
    return "9" in mine and shapes.count(mine) > 0.2 * len(shapes)
