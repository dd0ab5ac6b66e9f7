"""What an export kind declares, and what its shape rule works with.

An `Adapter` is an alias list (canonical column -> headers in every locale and vintage),
three knobs, cleaners (chosen by the type of each column) and a shape rule. A `Delivery`
is one file's table with its columns found, cleaned and typed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.errors import PlaybookError
from playbook.messages import read_yaml, say
from playbook.sources import clean
from playbook.sources.read import Sheet, normalised
from playbook.sources.records import require_all_read
from playbook.sources.sum_rows import take_off_daily_sums, total_words
from playbook.store.contract import TABLES, Column
from playbook.store.write import quoted

if TYPE_CHECKING:
    import duckdb


# times in one fixed width are cut and cast, many times faster than parsing by format
FIXED = {
    "zoned": "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}$",
    "fast": "^[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?$",
}

NUMBERS = ("money", "number", "count")
FIRST_ROWS = 5000  # rows by which the writing of a file's money is judged
THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
GMT = {"gmt", "utc"}  # words of headers whose times are printed in universal time


@dataclass(frozen=True)
class Adapter:
    """One export kind. `columns` is text, a line per canonical column: `name! type |
    header | header ...`.

    Types: id, text (contact patterns masked), word (never masked: codes and names of
    channels), money, count, number, share, time, day, contact (only ever hashed). `!`
    marks what the kind cannot do without. A header in /slashes/ is a pattern over the
    whole normalised header.
    """

    kind: str
    title: str
    gives: tuple[str, ...]
    columns: str
    shape: Callable[[Delivery], None]
    personal: str = ""  # headers that are known to hold personal data and are never read
    ignored: str = ""  # headers that are understood and not needed
    has_footers: bool = False  # rows such as `Total: Account` end the table
    is_sectioned: bool = False  # a blank line ends the table; what follows is another one
    zone: str = ""  # time zone of times printed without an offset, where the platform fixes it
    signature: str = ""  # headers that tell this kind from others with similar columns
    any_of: tuple[str, ...] = ()  # columns of which at least one must be there
    is_mapped: bool = False  # made from a mapping file, which keeps an account of its own
    family: str = ""  # order numbers are unique within a family
    person_when: str = ""  # contact columns are hashed only in rows where this column is filled
    is_decimal_comma: bool | None = None
    day_first: bool | None = None
    words_beside: tuple[tuple[str, str], ...] = ()  # money read as words where another is there
    version: str = (
        ""  # what else decides the rows a file gives: a file is read again when it changes
    )
    beside: int = (
        0  # so many columns beyond the named ones are values themselves, their headers being names
    )


@dataclass(frozen=True)
class Wanted:
    """A canonical column of an adapter."""

    name: str
    type: str
    is_required: bool
    aliases: tuple[str, ...]


@functools.cache
def columns_of(adapter: Adapter) -> dict[str, Wanted]:
    """The adapter's canonical columns by name."""
    out = {}
    for line in adapter.columns.strip().splitlines():
        head, *aliases = [p.strip() for p in line.split("|")]
        name, kind = head.split()
        bare = name.rstrip("!")
        out[bare] = Wanted(
            bare,
            kind,
            name.endswith("!"),
            tuple(a if a.startswith("/") else normalised(a) for a in aliases if a)
            or (normalised(bare),),
        )
    return out


@functools.cache
def minor_units() -> dict[str, int]:
    """Words in headers of parts of money, and how many of them make one."""
    return dict(read_yaml(Path(__file__).parent / "words.yaml")["minor_units"])


def n_signs(adapter: Adapter, names: list[str]) -> int:
    """How many of the headers are signs of this kind: what only its platform has."""
    signs = header_list(adapter.signature)
    patterns = [s.strip("/") for s in signs if s.startswith("/")]
    return sum(n in signs or any(re.fullmatch(p, n) for p in patterns) for n in set(names))


@functools.cache
def header_list(text: str) -> frozenset[str]:
    """Headers separated by bars, as they are matched."""
    said = [h.strip() for h in text.replace("\n", " ").split("|") if h.strip()]
    return frozenset(h if h.startswith("/") else normalised(h) for h in said)


def found_columns(adapter: Adapter, names: list[str]) -> dict[str, int]:
    """Canonical column -> position of the first header that is one of its aliases, in
    the order of the aliases.
    """
    out: dict[str, int] = {}
    for wanted in columns_of(adapter).values():
        for alias in wanted.aliases:
            if alias.startswith("/"):
                hits = [i for i, n in enumerate(names) if re.fullmatch(alias.strip("/"), n)]
            else:
                hits = [i for i, n in enumerate(names) if n == alias]
            if hits:
                out[wanted.name] = hits[0]
                break
    return out


@dataclass(frozen=True)
class Settings:
    """What shop.yaml and the command line say that an import needs."""

    currency: str | None = None
    zone: str | None = None
    day_first: bool | None = None
    is_decimal_comma: bool | None = None
    observed_on: str | None = (
        None  # the day a snapshot (stock) stands for, where the file does not say
    )
    options: Mapping[str, object] = field(default_factory=dict)


class Delivery:
    """One table of one file for one adapter: `raw` in the engine holds its canonical
    columns as text.

    The shape rule asks for typed expressions (`money("total")`) and hands over queries
    with `emit`.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        adapter: Adapter,
        sheet: Sheet,
        settings: Settings,
        salt: Callable[[], bytes],
    ) -> None:
        if settings.is_decimal_comma is None and adapter.is_decimal_comma is not None:
            settings = dataclasses.replace(settings, is_decimal_comma=adapter.is_decimal_comma)
        if settings.day_first is None and adapter.day_first is not None:
            settings = dataclasses.replace(settings, day_first=adapter.day_first)
        self.con, self.adapter, self.sheet, self.settings, self._salt = (
            con,
            adapter,
            sheet,
            settings,
            salt,
        )
        self.wanted = dict(columns_of(adapter))
        self.at = found_columns(adapter, sheet.names)
        for name, better in adapter.words_beside:
            if better in self.at:
                self.wanted[name] = dataclasses.replace(self.wanted[name], type="word")
        self.beside: dict[str, str] = {}
        if adapter.beside:
            for i, header in enumerate(sheet.headers):
                if i not in self.at.values() and header:
                    self.wanted[f"beside_{i}"] = Wanted(
                        f"beside_{i}", "number", False, (sheet.names[i],)
                    )
                    self.at[f"beside_{i}"], self.beside[f"beside_{i}"] = i, header
        self.repaired: dict[str, int] = dict(sheet.repaired)
        self.left_out: dict[str, int] = {}  # rows read, understood and not taken, by reason
        self.emitted: dict[str, str] = {}
        self.notes: list[str] = []
        self.n_rows = self.n_footers = 0
        self.reject_lines: list[tuple[int, str]] = []
        self._style: dict[str, str] = {}
        self._bad: dict[str, str] = {}
        self._explained: set[str] = set()  # columns of which every value is known to be readable
        self._plain_numbers: set[str] = set()  # number columns the engine reads as they stand
        self._check_headers()

    # --- headers --------------------------------------------------------------------------------------------------

    def _check_headers(self) -> None:
        self.require_headers(*(w.name for w in self.wanted.values() if w.is_required))

    def require_headers(self, *names: str) -> None:
        """PlaybookError where the file lacks the header of one of these columns."""
        missing = [self.wanted[name] for name in names if name not in self.at]
        if missing:
            tried = "; ".join(
                say("sources.headers_tried", column=w.name, headers=", ".join(w.aliases))
                for w in missing
            )
            raise PlaybookError(
                "sources.columns_missing",
                title=self.adapter.title,
                tried=tried,
                file=self.sheet.path.name,
            )

    @property
    def unknown(self) -> list[str]:
        """Headers neither used nor known to this kind."""
        if self.beside:
            return []
        known = header_list(self.adapter.ignored) | header_list(self.adapter.personal)
        aliases = [a for w in self.wanted.values() for a in w.aliases]
        plain, patterns = (
            {a for a in aliases if not a.startswith("/")},
            [a.strip("/") for a in aliases if a[0] == "/"],
        )
        return [
            h
            for h, n in zip(self.sheet.headers, self.sheet.names, strict=True)
            if n
            and n not in known
            and n not in plain
            and not any(re.fullmatch(p, n) for p in patterns)
        ]

    def has(self, name: str) -> bool:
        """Whether the file has this canonical column."""
        return name in self.at

    def header(self, name: str) -> str:
        """The header as the file writes it."""
        return self.sheet.headers[self.at[name]]

    # --- loading --------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Reads the wanted columns once into the table `raw`; contact columns enter as
        hashes only.
        """
        self._check_duplicates()
        self._read_columns()
        self._refuse_rounded_people()
        require_all_read(self.con, self.sheet, "raw")
        self._strip_wrappers()
        if self.sheet.rejects:
            self.reject_lines = self.con.execute(
                f"SELECT line, left(any_value(csv_line), 4000) FROM {self.sheet.rejects} GROUP BY line ORDER BY line"
            ).fetchall()
        footer = self._footer() if self.adapter.has_footers else "false"
        self._take_off(footer)
        if self.adapter.has_footers:
            self._take_off_sums()
        if self.n_footers:
            self.repaired["footer and repeated header lines taken off"] = self.n_footers

    def _people(self) -> dict[str, int]:
        """The contact columns and their places in the file."""
        return {name: at for name, at in self.at.items() if self.wanted[name].type == "contact"}

    def _refuse_rounded_people(self) -> None:
        """A customer's number a spreadsheet has turned into 1.3E+14 names many customers.
        The file is read again only where a row was seen to hold one.
        """
        if not self._people() or not self._count({"rounded": "_rounded"})["rounded"]:
            return
        for name, at in self._people().items():
            self._refuse_scientific(name, f"c{at}", f"{self.sheet.scan} WHERE {_as_power(at)} AND")

    def _refuse_scientific(self, name: str, column: str, among: str) -> None:
        """Ids that a spreadsheet has written as 1.2E+15 are lost; `among` ends where a
        condition on the rows follows.
        """
        n, example = self.con.execute(
            f"SELECT count(*), any_value({column}) FROM {among} regexp_matches({column}, '{clean.SCIENTIFIC}')"
        ).fetchone()
        if n:
            raise PlaybookError(
                "sources.ids_rounded",
                example=example,
                file=self.sheet.path.name,
                column=self.header(name),
                rows=n,
            )

    def _read_columns(self) -> None:
        parts = []
        for name, at in self.at.items():
            text = f"c{at}"
            if self.wanted[name].type == "contact":
                bare = clean.whole_id(text)
                text = self.key(
                    f"CASE WHEN {clean.is_plain(text)} THEN {bare} ELSE {clean.plain_text(text)} END"
                )
                when = self.adapter.person_when
                text = (
                    f"CASE WHEN c{self.at[when]} <> '' THEN {text} END" if when in self.at else text
                )
            parts.append(f"{text} AS {name}")
        if self._people():
            tests = " OR ".join(_as_power(at) for at in self._people().values())
            parts.append(f"coalesce({tests}, false) AS _rounded")
        if self.adapter.has_footers:  # the word of a sum may stand in a column that is not read
            cells = ", ".join(f"c{i}" for i in range(len(self.sheet.headers)))
            said = f"lower(concat_ws(chr(31), {cells}))"
            edge, words = "(^|\\x1f)\\s*", "|".join(total_words())
            parts.append(
                f"coalesce(regexp_matches({said}, '{edge}({words})($|[^a-z0-9])'), false) AS _said"
            )
            parts.append(
                f"coalesce(regexp_matches({said}, '{edge}({words})\\s*($|\\x1f)'), false) AS _named"
            )
            filled = (
                f"CAST(trim(coalesce(c{i}, '')) NOT IN ('', '-', '--') AS INTEGER)"
                for i in range(len(self.sheet.headers))
            )
            parts.append(f"{' + '.join(filled)} AS _filled")
        self.con.execute(
            f"CREATE OR REPLACE TABLE raw AS SELECT {', '.join(parts)} FROM {self.sheet.scan}"
        )

    def _strip_wrappers(self) -> None:
        kinds = {n: w.type for n, w in self.wanted.items() if n in self.at and w.type != "contact"}
        self._blank_zero_days(n for n, kind in kinds.items() if kind in ("time", "day"))
        numbers = [n for n, kind in kinds.items() if kind in NUMBERS]
        unread = self._count(
            {n: f"{n} IS NOT NULL AND TRY_CAST({n} AS DECIMAL(18,6)) IS NULL" for n in numbers}
        )
        self._plain_numbers = {n for n in numbers if not unread[n]}
        odd = {
            n: clean.is_odd(n, is_id=kind == "id")
            for n, kind in kinds.items()
            if n not in self._plain_numbers
        }
        # one by one: only a filter stops at the first part of a test that decides it
        for name, test in odd.items():
            if self.con.execute(f"SELECT count(*) FROM raw WHERE {test}").fetchone() != (0,):
                self.con.execute(f"UPDATE raw SET {name} = {clean.plain_text(name)} WHERE {test}")

    def _blank_zero_days(self, names: Iterable[str]) -> None:
        """0000-00-00 is how some databases write that there is no day."""
        for name in names:
            (n,) = self.con.execute(
                f"SELECT count(*) FROM raw WHERE starts_with({name}, '0000-00-00')"
            ).fetchone()
            if n:
                self.con.execute(
                    f"UPDATE raw SET {name} = NULL WHERE starts_with({name}, '0000-00-00')"
                )
                self.repaired[say("sources.zero_days", header=self.header(name))] = n

    def _footer(self) -> str:
        """SQL: whether a row calls itself a sum and has no day (a campaign may be called
        `Total ...`). Footers of another width are taken off the rejected lines here.
        """
        said_below = ("account total", "results from", r"record\(s\) downloaded", "seller id")
        words = "|".join([*total_words(), *said_below])
        edge = f'["{re.escape(self.sheet.delimiter)}]'
        said = re.compile(
            rf"(?i)^\s*#|^\W*(©|\(c\))|^(?!\W*\d{{4}}-?\d\d)(.*{edge})?\s*({words})\s*($|:|{edge})"
        )
        rows = [row for row in self.reject_lines if not said.search((row[1] or "").strip())]
        self.n_footers += len(self.reject_lines) - len(rows)
        self.reject_lines = rows
        return f"(_said AND {self._undated()})"

    def _undated(self) -> str:
        day = self._day_column()
        if day is None:
            return "true"
        word = f"regexp_matches(lower({day}), '^({'|'.join(total_words())})($|[^a-z0-9])')"
        return f"({day} IS NULL OR NOT regexp_matches({day}, '[0-9]') OR {word})"

    def _day_column(self) -> str | None:
        return next((n for n in self.at if self.wanted[n].type == "day"), None)

    def _take_off(self, footer: str) -> None:
        """Takes off blank lines, footers and headers that stand in the file again."""
        empty = " AND ".join(f"{name} IS NULL" for name in self.at)
        repeated = (
            " AND ".join(
                f"(lower({name}) = {quoted(self.header(name).lower())})"
                for name in self.at
                if self.wanted[name].is_required and self.wanted[name].type != "contact"
            )
            or "false"
        )
        inside = f"({footer}) OR coalesce({repeated}, false)"
        off = f"({empty}) OR {inside}"
        # a filter stops at the first part of a test that decides it: as a rule there is nothing
        (n_off,) = self.con.execute(f"SELECT count(*) FROM raw WHERE {off}").fetchone()
        (n_all,) = self.con.execute("SELECT count(*) FROM raw").fetchone()
        n_inside = self._count({"inside": inside})["inside"] if n_off else 0
        found = {"rows": n_all, "inside": n_inside, "taken off": n_off}
        self.n_footers += found["inside"]
        if found["taken off"]:
            self.con.execute(f"DELETE FROM raw WHERE {off}")
        self.n_rows = found["rows"] - found["taken off"]
        n_blank = found["taken off"] - found["inside"]
        if n_blank:
            self.repaired["blank lines passed over"] = n_blank

    def _take_off_sums(self) -> None:
        """Takes off rows that are the sum of others, by their arithmetic: a row without
        a day that comes to all the rows with one, and a row called a total that comes
        to the others of its day. Any other row without a day cannot be read.
        """
        day = self._day_column()
        value = next((n for n in self.at if self.wanted[n].type == "money"), None)
        if day is None:
            return
        undated = self._undated()
        found = self._count({"undated": undated, "named": "_named"})
        if value and (found["undated"] or found["named"]):
            number = self._number(value)
            rows = f"SELECT rowid AS row, {undated} AS is_undated, _named, {day} AS day, {number} AS value FROM raw"
            self.con.execute(f"""CREATE OR REPLACE TEMP TABLE summed AS
                WITH r AS ({rows})
                SELECT row FROM r WHERE is_undated AND abs(value - (SELECT sum(value) FROM r WHERE NOT is_undated AND NOT _named)) < 0.015
                UNION SELECT a.row FROM r a WHERE _named AND NOT is_undated
                    AND abs(a.value - (SELECT sum(value) FROM r b WHERE b.day = a.day AND NOT b._named)) < 0.015""")
            (n,) = self.con.execute("SELECT count(*) FROM summed").fetchone()
            self.con.execute("DELETE FROM raw WHERE rowid IN (SELECT row FROM summed)")
            self.n_footers += n
            self.n_rows -= n
        if found["undated"]:
            self.require(day, when="true")
        numbers = [n for n in self.at if self.wanted[n].type in NUMBERS]
        noted = dict(self._bad)  # whether a value may stay unread is for the shape rule to say
        n = take_off_daily_sums(self, day, {n: self._number(n) for n in numbers if n in self.at})
        self._bad = noted
        self.n_footers += n
        self.n_rows -= n

    def _count(self, tests: Mapping[str, str]) -> dict[str, int]:
        """How many rows of `raw` meet each test, all in one pass."""
        if not tests:
            return {}
        counts = ", ".join(f"count(*) FILTER ({test})" for test in tests.values())
        return dict(
            zip(tests, self.con.execute(f"SELECT {counts} FROM raw").fetchone(), strict=True)
        )

    def _check_duplicates(self) -> None:
        for name, at in self.at.items():
            same = [
                i for i, n in enumerate(self.sheet.names) if n == self.sheet.names[at] and i != at
            ]
            for other in same:
                (differing,) = self.con.execute(
                    f"SELECT count(*) FROM {self.sheet.scan} WHERE c{at} IS DISTINCT FROM c{other}"
                ).fetchone()
                if differing:
                    raise PlaybookError(
                        "sources.column_twice",
                        file=self.sheet.path.name,
                        column=self.header(name),
                        rows=differing,
                    )

    def key(self, text: str) -> str:
        """HMAC-SHA256 of trimmed, lower-cased text under the shop's salt, as 32 hex
        digits; missing where it is.

        `text` stands in it once, since it may be dear.
        """
        secret = self._salt()
        secret = hashlib.sha256(secret).digest() if len(secret) > 64 else secret
        block = secret.ljust(64, b"\0")
        inner, outer = (
            "'" + "".join(f"\\x{b ^ pad:02X}" for b in block) + "'::BLOB" for pad in (0x36, 0x5C)
        )
        low = f"lower({text})"
        return f"left(sha256({outer} || unhex(sha256({inner} || encode({low})))), 32)"

    def read_as(self, name: str, written: str, meant: str) -> None:
        """Replaces one spelling in a column, counted."""
        (n,) = self.con.execute(
            f"SELECT count(*) FROM raw WHERE replace({name}, ' ', '') = {quoted(written)}"
        ).fetchone()
        if n:
            self.con.execute(
                f"UPDATE raw SET {name} = {quoted(meant)} WHERE replace({name}, ' ', '') = {quoted(written)}"
            )
            self._plain_numbers.discard(name)
            self.repaired[f"{self.header(name)}: {written} read as {meant}"] = n

    # --- typed expressions ----------------------------------------------------------------------------------------

    def id(self, name: str) -> str:
        """An identifier; refuses a column a spreadsheet has turned into 1.23E+18."""
        if not self.has(name):
            return "CAST(NULL AS VARCHAR)"
        if name not in self._style:
            self._style[name] = "id"
            self._refuse_scientific(name, name, "raw WHERE")
            self._refuse_rounded(name)
        return name

    def _refuse_rounded(self, name: str) -> None:
        """A spreadsheet keeps fifteen digits of a number and writes zeros for the rest:
        where every long number ends so, by no chance, they have been lost.
        """
        longer = f"regexp_full_match({name}, '[0-9]{{16,}}')"
        (first,) = self.con.execute(f"SELECT any_value({name}) FROM raw WHERE {longer}").fetchone()
        if first is None or first[15:].strip("0"):
            return
        n, n_round, n_zeros, example = self.con.execute(f"""
            SELECT count(*), count(*) FILTER (regexp_full_match({name}, '[0-9]{{15}}0+')), sum(length({name}) - 15), min({name})
            FROM (SELECT DISTINCT {name} FROM raw WHERE {longer})""").fetchone()
        if n == n_round and n_zeros >= 6:
            raise PlaybookError(
                "sources.digits_lost",
                example=example,
                file=self.sheet.path.name,
                column=self.header(name),
                rows=n,
            )

    def word(self, name: str) -> str:
        """A code or a name given by the platform."""
        return name if self.has(name) else "CAST(NULL AS VARCHAR)"

    def text(self, name: str) -> str:
        """Free text with contact patterns masked."""
        if not self.has(name):
            return "CAST(NULL AS VARCHAR)"
        if name not in self._style:
            texts = f"SELECT {name}, count(*) AS n FROM raw GROUP BY 1"
            (n,) = self.con.execute(
                f"SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM ({texts}) WHERE {clean.has_contact(name)}"
            ).fetchone()
            self._style[name] = "masked" if n else "text"
            if n:
                self.repaired[f"{self.header(name)}: contact details masked"] = n
        return clean.masked(name) if self._style[name] == "masked" else name

    def contact(self, name: str) -> str:
        """The hash of a contact column."""
        return name if self.has(name) else "CAST(NULL AS VARCHAR)"

    def money(self, name: str) -> str:
        """A money column as DECIMAL(18,6); values no number style explains make their
        row unreadable.
        """
        return self._number(name)

    def count(self, name: str) -> str:
        """A whole number; a fraction in it makes the row unreadable."""
        if not self.has(name):
            return "CAST(NULL AS BIGINT)"
        value = self._number(name)
        whole = f"CASE WHEN {value} = round({value}) THEN CAST({value} AS BIGINT) END"
        if f"{name}:whole" not in self._style:
            (n,) = self.con.execute(
                f"SELECT count(*) FROM raw WHERE {value} <> round({value})"
            ).fetchone()
            self._style[f"{name}:whole"] = "no" if n else "yes"
        if self._style[f"{name}:whole"] == "no":
            self._explained.discard(name)
            self._note_bad(name, whole)
        return whole

    def number(self, name: str) -> str:
        """A plain number (DOUBLE)."""
        return f"CAST({self._number(name)} AS DOUBLE)"

    def _number(self, name: str) -> str:
        if not self.has(name):
            return "CAST(NULL AS DECIMAL(18,6))"
        if name not in self._style:
            self._style[name] = self._number_style(name)
            if self._style[name] != "plain":
                (n,) = self.con.execute(
                    f"SELECT count(*) FROM raw WHERE {name} IS NOT NULL AND TRY_CAST({name} AS DECIMAL(18,6)) IS NULL "
                    f"AND {clean.number(name, self._style[name])} IS NOT NULL"
                ).fetchone()
                if n:
                    self.repaired[
                        f"{self.header(name)}: signs of currency and thousands taken off"
                    ] = n
        value = clean.number(name, self._style[name])
        self._note_bad(name, value)
        parts = self._parts_of_money(name)
        return value if parts == 1 else f"CAST({value} / {parts} AS DECIMAL(18,6))"

    def _parts_of_money(self, name: str) -> int:
        """How many of the units of a mapped column of money make one: a header may say that
        they are cents or millionths.
        """
        if not self.adapter.is_mapped or self.wanted[name].type != "money":
            return 1
        said = set(self.sheet.names[self.at[name]].split())
        parts = next((n for word, n in minor_units().items() if word in said), 1)
        if parts != 1:
            said = say("sources.minor_units", header=self.header(name), parts=parts)
            self.notes += [said] if said not in self.notes else []
        return parts

    def _number_style(self, name: str) -> str:
        odd = (
            name not in self._plain_numbers
            and self._count(
                {name: f"{name} IS NOT NULL AND TRY_CAST({name} AS DECIMAL(18,6)) IS NULL"}
            )[name]
        )
        comma = self._decimal_comma()
        if not odd and not comma:
            self._explained.add(name)
            return "plain"
        return "comma" if comma else "dot"

    def _decimal_comma(self) -> bool:
        """One decision per file from all its number columns: a decimal comma, or a
        decimal point.
        """
        if "decimal" not in self._style:
            if self.settings.is_decimal_comma is not None:
                self._style["decimal"] = "comma" if self.settings.is_decimal_comma else "dot"
                return self.settings.is_decimal_comma
            columns = [n for n in self.at if self.wanted[n].type in NUMBERS]
            if self._plain_numbers >= set(columns) and not self.sheet.is_decimal_comma:
                # not one comma stands in any of them
                is_comma = self._has_only_threes(columns) and self._are_thousands(columns)
                self._style["decimal"] = "comma" if is_comma else "dot"
                return is_comma
            points = commas = 0
            for n in columns:
                a, b = self.con.execute(
                    f"SELECT count(*) FILTER (regexp_matches({n}, '(\\.[0-9]{{1,2}}|\\.[0-9]{{4,}}|,[0-9]{{3}}\\.[0-9]*)[^0-9.,]*$')), "
                    f"count(*) FILTER (regexp_matches({n}, '(,[0-9]{{1,2}}|,[0-9]{{4,}}|\\.[0-9]{{3}},[0-9]*)[^0-9.,]*$')) "
                    f"FROM raw WHERE contains({n}, ',') OR contains({n}, '.')"
                ).fetchone()
                points, commas = points + a, commas + b
            if points and commas:
                raise PlaybookError(
                    "sources.two_number_styles",
                    file=self.sheet.path.name,
                    rows=min(points, commas),
                )
            if not commas and not points:
                commas = int(self._are_thousands(columns))
            self._style["decimal"] = "comma" if commas else "dot"
            if not commas and not points and self.sheet.is_decimal_comma:
                grouped = (
                    " OR ".join(
                        f"regexp_matches({n}, '^[0-9]{{1,3}}(\\.[0-9]{{3}})+$')" for n in columns
                    )
                    or "false"
                )
                (n_grouped,) = self.con.execute(
                    f"SELECT count(*) FROM raw WHERE {grouped}"
                ).fetchone()
                self._style["decimal"] = "comma" if n_grouped else "dot"
        return self._style["decimal"] == "comma"

    def _has_only_threes(self, columns: list[str]) -> bool:
        """Whether some money of the first rows has three decimals and none has fewer."""
        money = [n for n in columns if self.wanted[n].type == "money"]
        if not money or str(self.settings.currency or "").upper() in THREE_DECIMALS:
            return False
        threes, others = (
            " + ".join(f"count(*) FILTER (regexp_matches({n}, '{shape}'))" for n in money)
            for shape in (r"\.[0-9]{3}$", r"\.([0-9]{1,2}|[0-9]{4,})$")
        )
        rows = f"SELECT {', '.join(money)} FROM raw LIMIT {FIRST_ROWS}"
        n_threes, n_others = self.con.execute(f"SELECT {threes}, {others} FROM ({rows})").fetchone()
        return n_threes > 0 and n_others == 0

    def _are_thousands(self, columns: list[str]) -> bool:
        """Whether 125.000 means that many thousands, where a file's money has no other
        decimals: a second group says so. A leading nought or four digits before the point
        say that it does not; where nothing tells, the import asks.
        """
        money = [n for n in columns if self.wanted[n].type == "money"]
        currency = str(self.settings.currency or "").upper()
        if not money or self.sheet.is_decimal_comma or currency in THREE_DECIMALS:
            return False
        shapes = (
            r"[1-9][0-9]{0,2}\.[0-9]{3}",
            r"[1-9][0-9]{0,2}(\.[0-9]{3}){2,}",
            r"(0|[0-9]{4,})\.[0-9]{3}|[0-9]+\.([0-9]{1,2}|[0-9]{4,})",
        )
        tests = ", ".join(
            f"count(*) FILTER (regexp_full_match({n}, '[^0-9.]*({shape})[^0-9.]*'))"
            for shape in shapes
            for n in money
        )
        counts = self.con.execute(f"SELECT {tests} FROM raw").fetchone()
        n = len(money)
        grouped, twice, decimals = counts[:n], sum(counts[n : 2 * n]), sum(counts[2 * n :])
        if sum(grouped) and not twice and not decimals:
            at = next(i for i, found in enumerate(grouped) if found)
            raise PlaybookError(
                "sources.thousands_or_decimals",
                file=self.sheet.path.name,
                column=self.header(money[at]),
                rows=sum(grouped),
            )
        return twice > 0

    def _time_style(self, name: str) -> str:
        if name in self._style:
            return self._style[name]
        filled = f"{name} IS NOT NULL"
        (n_filled,) = self.con.execute(f"SELECT count(*) FROM raw WHERE {filled}").fetchone()
        styles = ["zoned", "fast", *dict(clean.DATE_STYLES)] if n_filled else []
        if n_filled > 4000:  # a sample tells most styles apart; the whole column then decides
            self.con.execute(
                f"CREATE OR REPLACE TEMP TABLE sample AS SELECT {name} FROM raw WHERE {filled} LIMIT 2000"
            )
            fits = self._fits(name, styles, "sample")
            styles = [s for n, s in fits if n == max(fits)[0]]
        tried = self._fits(name, styles, f"(SELECT {name} FROM raw WHERE {filled})")
        best = max((n for n, _ in tried), default=0)
        styles = [s for n, s in tried if n == best and n] or ["iso"]
        slashed = [s for s in styles if s[0] in "md" and "/" in s]
        if len(slashed) > 1 and styles[0] == slashed[0]:
            styles = [self._day_order(name, slashed)]
        elif slashed:
            self._proved_order()  # one order per file: two are refused
        self._style[name] = styles[0]
        if best == n_filled:
            self._explained.add(name)
        return styles[0]

    def _fits(self, name: str, styles: list[str], rows: str) -> list[tuple[int, str]]:
        """How many values each style explains; stops at the first that explains all and
        has no twin.
        """
        out: list[tuple[int, str]] = []
        (n_all,) = self.con.execute(f"SELECT count(*) FROM {rows}").fetchone()
        for style in styles:
            value = clean.time_of(name, style)
            test = f"regexp_matches({name}, '{FIXED[style]}') AND " if style in FIXED else ""
            (n,) = self.con.execute(
                f"SELECT count(*) FROM {rows} WHERE {test} year({value}) BETWEEN 1900 AND 2200"
            ).fetchone()
            out.append((n, style))
            if n == n_all and not (style[0] in "md" and "/" in style):
                break
        return out

    def _day_order(self, name: str, styles: list[str]) -> str:
        """Which of two readings of 3/4/2026 is meant: told, or proved by a column of the
        file. Nothing is guessed: where no day above the twelfth proves it, the import
        asks.
        """
        wanted = self.settings.day_first
        if wanted is None:
            wanted = self._proved_order()
        if wanted is not None:
            return next((s for s in styles if s.startswith("d/m") == wanted), styles[0])
        firsts = {
            s: self.con.execute(
                f"SELECT count(*) FILTER (day(d) = 1) = count(*) AND count(*) > 2 FROM "
                f"(SELECT DISTINCT {clean.day_of(name, s)} AS d FROM raw WHERE {name} IS NOT NULL)"
            ).fetchone()[0]
            for s in styles
        }
        # published series name the first day of each period
        if self.adapter.beside and sum(firsts.values()) == 1:
            return next(s for s in styles if firsts[s])
        same = self.con.execute(
            f"SELECT count(*) FROM raw WHERE {clean.day_of(name, styles[0])} IS DISTINCT FROM {clean.day_of(name, styles[1])}"
        ).fetchone()[0]
        if not same:
            return styles[0]
        raise PlaybookError(
            "sources.day_or_month",
            file=self.sheet.path.name,
            column=self.header(name),
            rows=same,
        )

    def _proved_order(self) -> bool | None:
        """Whether the file's days stand before their months, by the numbers above twelve
        in any of its columns; None where none proves it.
        """
        if "order" not in self._style:
            parts = [
                f"count(*) FILTER (TRY_CAST(regexp_extract(c{i}, '^\\s*([0-9]{{1,2}})/([0-9]{{1,2}})/[0-9]{{2,4}}\\b', {place}) AS INTEGER) > 12)"
                for i in range(len(self.sheet.headers))
                for place in (1, 2)
            ]
            counts = self.con.execute(
                f"SELECT {', '.join(parts)} FROM {self.sheet.scan}"
            ).fetchone()
            day_first, month_first = sum(counts[::2]), sum(counts[1::2])
            if day_first and month_first:
                raise PlaybookError(
                    "sources.two_day_orders",
                    file=self.sheet.path.name,
                    rows=min(day_first, month_first),
                )
            self._style["order"] = "d" if day_first else "m" if month_first else ""
        return {"d": True, "m": False, "": None}[self._style["order"]]

    def local(self, name: str) -> str:
        """A time column as printed by the platform: the shop's own clock where an
        offset or nothing stands beside it.
        """
        if not self.has(name):
            return "CAST(NULL AS TIMESTAMP)"
        style = self._time_style(name)
        value = clean.time_of(name, style)
        if name not in self._explained:
            test = f"regexp_matches({name}, '{FIXED[style]}') AND " if style in FIXED else ""
            value = f"CASE WHEN {test} year({value}) BETWEEN 1900 AND 2200 THEN {value} END"
        self._note_bad(name, value)
        return value

    def utc(self, name: str) -> str:
        """A time column in UTC: by its own offset, else by the platform's zone, else by
        the shop's, else as it stands.
        """
        if not self.has(name):
            return "CAST(NULL AS TIMESTAMP)"
        printed, zone = self.local(name), self.adapter.zone or self.settings.zone or "UTC"
        if set(self.sheet.names[self.at[name]].split()) & GMT:
            zone = "UTC"
            if not self.settings.zone and f"{name}:gmt" not in self._style:
                self._style[f"{name}:gmt"] = "said"
                self.notes.append(say("sources.times_in_gmt", header=self.header(name)))
        naive = (
            printed if zone == "UTC" else f"timezone('UTC', timezone({quoted(zone)}, {printed}))"
        )
        flag = f"{name}:offset"
        if flag not in self._style:
            n = 0
            if self._style[name] not in FIXED:
                (n,) = self.con.execute(
                    f"SELECT count(*) FROM raw WHERE {clean.offset_minutes(name)} IS NOT NULL"
                ).fetchone()
            self._style[flag] = "some" if n or self._style[name] == "zoned" else "none"
        if self._style[flag] == "none":
            return naive
        minutes = clean.offset_minutes(name, self._style[name])
        if self._style[name] == "zoned":
            return f"({printed} - to_minutes({minutes}))"
        return (
            f"CASE WHEN {minutes} IS NULL THEN {naive} ELSE {printed} - to_minutes({minutes}) END"
        )

    def day(self, name: str) -> str:
        """The shop-local day of a time or day column."""
        if not self.has(name):
            return "CAST(NULL AS DATE)"
        if self.settings.zone and self.wanted[name].type == "time":
            return f"CAST(timezone({quoted(self.settings.zone)}, timezone('UTC', {self.utc(name)})) AS DATE)"
        return f"CAST({self.local(name)} AS DATE)"

    def month(self, name: str) -> str:
        """A month written in any way that names one, as YYYY-MM."""
        return (
            f"strftime({self.local(name)}, '%Y-%m')" if self.has(name) else "CAST(NULL AS VARCHAR)"
        )

    def flag(self, name: str) -> str:
        """Yes or no in the words people write."""
        if not self.has(name):
            return "CAST(NULL AS BOOLEAN)"
        value = (
            f"CASE WHEN lower({name}) IN ('true', 'yes', 'y', '1', 'ja', 'oui', 'x', '是') THEN true "
            f"WHEN lower({name}) IN ('false', 'no', 'n', '0', 'nein', 'non', '否') THEN false END"
        )
        self._note_bad(name, value)
        return value

    def snapshot_day(self) -> str:
        """The day a table of positions stands for: its own column, else what the caller
        says, else the file's own date.
        """
        if self.has("day"):
            return self.day("day")
        told = self.settings.observed_on
        if told is None:
            told = f"{dt.datetime.fromtimestamp(self.sheet.path.stat().st_mtime):%Y-%m-%d}"
            self.notes.append(
                f"the file does not say which day it stands for: {told}, the day it was saved, is taken"
            )
        try:
            return f"DATE '{dt.date.fromisoformat(str(told)):%Y-%m-%d}'"
        except ValueError:
            raise PlaybookError("sources.no_day", given=told) from None

    def _note_bad(self, name: str, value: str) -> None:
        if name not in self._explained:
            self._bad[name] = f"({name} IS NOT NULL AND {value} IS NULL)"

    # --- what the shape rule hands over ---------------------------------------------------------------------------

    def require(self, *names: str, when: str) -> None:
        """Rows for which `when` holds and one of these columns is empty cannot be read."""
        for name in names:
            self._bad[f"{name} is empty"] = f"(({when}) AND {name} IS NULL)"

    def leave_out(self, reason: str, n: str) -> None:
        """Counts rows that the shape rule reads and does not take; `n` is an aggregate
        over `raw`.
        """
        (found,) = self.con.execute(f"SELECT {n} FROM raw").fetchone()
        if found:
            self.left_out[reason] = found

    def refuse_unreadable(self, table: str, *, budget: float | None = None) -> None:
        """Counts rows whose values nothing explains; raises above the budget, else
        takes them out, itemised.
        """
        if budget is None:
            budget = TABLES[table].loss_budget if table in TABLES else 0.001
        self._try_every_date()
        bad = " OR ".join(self._bad.values()) or "false"
        (n,) = self.con.execute(f"SELECT count(*) FROM raw WHERE {bad}").fetchone()
        n_lines = len(self.reject_lines)
        self.n_unreadable = n + n_lines
        self.n_rows += n_lines
        if not self.n_unreadable:
            return
        if self.n_unreadable > budget * max(self.n_rows, 1):
            what = self._examples() if n else ""
            if n_lines:
                lines = ", ".join(str(line) for line, _ in self.reject_lines[:5])
                split = say("sources.lines_do_not_split", lines=lines, n=len(self.sheet.headers))
                what = f"{split}; {what}" if what else split
            raise PlaybookError(
                "sources.rows_unreadable",
                title=self.adapter.title,
                what=what,
                budget=budget,
                file=self.sheet.path.name,
                table=table,
                rows=self.n_unreadable,
            )
        if n:
            self.con.execute(f"DELETE FROM raw WHERE {bad}")

    def is_read(self, name: str) -> None:
        """A column that a shape rule reads in a way of its own needs no trying."""
        self._style[name] = "own"

    def _try_every_date(self) -> None:
        """A date the shape rule comes to later is tried as well: what cannot be read must
        be known before rows are counted.
        """
        for name in self.at:
            if self.wanted[name].type in ("time", "day") and name not in self._style:
                self.local(name)

    def _examples(self) -> str:
        """Column, number of rows and line numbers for what could not be read; values
        are not repeated.
        """
        out = []
        for name, bad in self._bad.items():
            (n,) = self.con.execute(f"SELECT count(*) FROM raw WHERE {bad}").fetchone()
            if n:
                if name.endswith(" is empty"):
                    header = self.header(name.removesuffix(" is empty"))
                    said = "sources.empty_in_rows" if n > 1 else "sources.empty_in_a_row"
                    out.append(say(said, header=header, n=n))
                    continue
                said = "sources.values_of_no_type" if n > 1 else "sources.value_of_no_type"
                out.append(say(said, header=self.header(name), n=n, type=self.wanted[name].type))
        return "; ".join(out)

    def emit(self, table: str, query: str) -> None:
        """Hands over a query that yields rows of a contract table (or of `entities` and
        `ledger`).
        """
        self.emitted[table] = query


def _as_power(at: int) -> str:
    """SQL: whether a column of the file holds a number written as a power of ten."""
    return f"(ord(c{at}) < 58 AND regexp_matches(c{at}, '{clean.SCIENTIFIC}'))"


def value_kind(column: Column, words: Collection[str]) -> str:
    """The adapter's kind of value for a contract column; `words` names the text columns
    that hold single words.
    """
    kinds = {
        "int": "count",
        "dec": "money",
        "num": "number",
        "ts": "time",
        "date": "day",
        "month": "month",
        "bool": "flag",
    }
    if column.type in kinds:
        return kinds[column.type]
    if column.name.endswith("_id") or column.name == "sku":
        return "id"
    return "word" if column.name in words else "text"
