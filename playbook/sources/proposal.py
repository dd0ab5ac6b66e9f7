"""A first mapping for an export nobody wrote an adapter for, guessed from its headers and
its values, with how sure each guess is and the account of columns of a dry run.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import duckdb
import yaml

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.adapter import Delivery, Settings
from playbook.sources.guesses import Guesses, Profile, profiles, words_of
from playbook.sources.mapped import columns_known, fields, needed_columns
from playbook.sources.mapping import adapter_from_mapping
from playbook.sources.read import Sheet, normalised, open_sheets
from playbook.store.contract import TABLES
from playbook.store.write import connect

SHOWN = 12  # words of a status column, non-products and headers named one by one


@dataclass(frozen=True)
class Proposal:
    """A proposed mapping: `text` is the YAML to save and edit; `unmatched` are headers
    it found no use for; `sureness` is sure, likely or guess per column; `account` is
    what a dry run of it said.
    """

    table: str
    text: str
    columns: dict[str, str]
    unmatched: list[str]
    personal: list[str]
    sureness: dict[str, str] = field(default_factory=dict)
    account: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The proposal in sentences, one a line."""
        out = [
            say(
                f"sources.proposal_{self.sureness.get(name, 'sure')}",
                place=f"{self.table}.{name}",
                header=header,
            )
            for name, header in self.columns.items()
        ]
        for message, headers in (("personal", self.personal), ("unmatched", self.unmatched)):
            if headers:
                out.append(say(f"sources.proposal_{message}", headers=", ".join(headers)))
        return out + self.account


def propose_mapping(file: str | PathLike) -> Proposal:
    """Reads headers and values of `file` and proposes what each column is; PlaybookError
    if nothing can be made of them.
    """
    path = Path(file)
    with tempfile.TemporaryDirectory(prefix="playbook-import-") as scratch:
        con = connect(scratch=Path(scratch))
        sheets = _sheets(con, path, Path(scratch))
        seen = profiles(con, sheets)
        table = table_of(seen)
        guesses = Guesses(con, table, seen)
        guesses.make()
        told = _mapping(con, guesses, path)
        personal = [p.header for p in seen if p.at not in guesses.used and _is_personal(p.header)]
        rest = [p.header for p in seen if p.at not in guesses.used and p.header not in personal]
        account = _dry_run(con, sheets[0], told)
    columns = told["columns"]
    text = _text(told, guesses, rest, personal, account)
    return Proposal(table, text, columns, rest, personal, guesses.sureness, account)


def _sheets(con: duckdb.DuckDBPyConnection, path: Path, scratch: Path) -> list[Sheet]:
    """The table of the file that looks most like one, and its sheets with the same headers."""
    known = {
        w for table in ("orders", "refunds") for n in fields()[table] for w in words_of(table, n)
    }
    known |= {normalised(c.name) for t in TABLES.values() for c in t.columns}

    def fit(names: list[str]) -> int:
        named = [n for n in names if n]
        if len(named) < 2:
            return 0
        # a row of words beats a row of numbers even where no word is known
        words = sum(not re.fullmatch(r"[\d ]+", n) for n in named)
        return 3 * sum(n in known for n in named) + (words == len(named))

    sheets = open_sheets(con, path, scratch, fit)
    usable = [s for s in sheets if s.scan and sum(bool(h) for h in s.headers) > 1]
    if not usable:
        raise PlaybookError("sources.no_row_of_headers", file=path.name)
    best = max(usable, key=lambda s: fit(s.names))
    return [best, *(s for s in usable if s is not best and s.headers == best.headers)]


def table_of(seen: list[Profile]) -> str:
    """The table a file's rows belong in: refunds, customers, another table whose
    required columns are all there, else orders.
    """
    names = {p.name for p in seen}

    def has(table: str, column: str) -> bool:
        return bool(names & set(words_of(table, column)))

    is_sale = has("orders", "sku") and has("orders", "price") and has("orders", "quantity")
    # money beside that of refunds is money of orders
    money_words = {w.strip() for w in fields()["money"].split("|")} - {"refund", "refunded"}
    of_refunds = {n for n in names if "refund" in n or "credit" in n}
    n_money = sum(bool(money_words & set(n.split())) for n in names - of_refunds)
    has_own = has("refunds", "refund_id") and not has("orders", "sku")
    is_refund = has_own or (len(of_refunds) >= 2 and n_money <= 2)
    if is_refund and has("refunds", "amount") and not is_sale:
        return "refunds"
    fitting = [
        (len(names & {normalised(c.name) for c in t.columns}), t.name)
        for t in TABLES.values()
        if t.name not in ("orders", "order_lines", "refunds", "import_ledger", "survey")
        and {normalised(r) for r in t.required} <= names
        and 2 * len(names & {normalised(c.name) for c in t.columns}) > len(names)
    ]
    money = any(has("orders", c) for c in ("price", "amount", "total"))
    if fitting and not (has("orders", "order_id") and money):
        return max(fitting)[1]
    about = [c for c in fields()["tables"]["customers"] if has("customers", c)]
    is_person = "customer_id" in about and len(about) > 1
    return "customers" if is_person and not money and not has("orders", "order_id") else "orders"


def _is_personal(header: str) -> bool:
    name = normalised(header)
    return any(
        word in name.split() or (len(word) > 1 and not word.isascii() and word in header)
        for word in map(str.strip, fields()["personal"].split("|"))
    )


# --- the mapping -----------------------------------------------------------------------------


def _mapping(con: duckdb.DuckDBPyConnection, guesses: Guesses, path: Path) -> dict:
    """The proposal as the mapping file holds it."""
    order = list(columns_known(guesses.table))
    told: dict[str, object] = {
        "table": guesses.table,
        "name": normalised(path.stem).replace(" ", "-") or "shop",
        "columns": {n: guesses.header(n) for n in order if n in guesses.found},
    }
    if guesses.table == "orders":
        told["status"] = guesses.statuses()
        told |= guesses.kinds_of_orders()
        no_products = guesses.no_products()
        if no_products:
            told["no_products"] = no_products
    return told


def _dry_run(con: duckdb.DuckDBPyConnection, sheet: Sheet, told: dict) -> list[str]:
    """What an import of the proposal would say, without writing anything."""
    try:
        adapter = adapter_from_mapping({k: v for k, v in told.items() if v})
        d = Delivery(con, adapter, sheet, Settings(), lambda: b"dry run")
        d.load()
        d.n_unreadable = 0
        adapter.shape(d)
    except PlaybookError as error:
        return [say("sources.dry_run_refused", why=error)]
    except duckdb.Error as error:
        return [say("sources.dry_run_refused", why=str(error).splitlines()[0][:160])]
    repaired = [f"{what} ({n:,})" for what, n in sorted(d.repaired.items())]
    return [*repaired, *d.notes] or [say("sources.dry_run_clean")]


def _text(
    told: dict, guesses: Guesses, rest: list[str], personal: list[str], account: list[str]
) -> str:
    table, columns = told["table"], told["columns"]
    out = [
        "# Which header is what. Correct it, then:",
        "# playbook import generic FILE --mapping THIS --into FOLDER",
        f"table: {table}",
        f"name: {told['name']}",
        "# time zone of times without an offset;",
        "# decimal_comma and day_first only where the file leaves it open",
        "zone:",
        "decimal_comma:",
        "day_first:",
        "columns:",
    ]
    out += [f"  {n}: {_yaml(h)}  # {guesses.sureness[n]}" for n, h in columns.items()]
    out += [
        f"  {name}:  # needed, and not found"
        for name in needed_columns(table)
        if name not in columns
    ]
    if table == "orders":
        out += _order_settings(told, guesses)
    out += ["# header: why it is not needed", "ignored: {}"] if rest else []
    out += [f"# no use found for: {h}" for h in rest]
    out += [f"# personal, never read: {h}" for h in personal]
    out += ["# A dry run says:"] + [f"#   {line}" for text in account for line in text.splitlines()]
    return "\n".join(out) + "\n"


def _order_settings(told: dict, guesses: Guesses) -> list[str]:
    out = [
        "# words of the status column -> placed, paid, shipped, done, cancelled or refunded",
        "status: {}" if not told["status"] else "status:",
    ]
    out += [f"  {_yaml(word)}: {status}" for word, status in told["status"].items()]
    out += [f"#  {_yaml(word)}:  # say what it means" for word in guesses.unknown_states]
    if "tax" in told["columns"] and not {"total", "subtotal"} & set(told["columns"]):
        out += ["# true where prices hold the tax, false where it comes on top", "tax_inside:"]
    out += ["# order numbers of credit notes, and of bookings that are no sale, as patterns"]
    out += [
        f"{k}:{' ' + _yaml(told[k]) if told.get(k) else ''}"
        for k in ("credit_notes", "adjustments")
    ]
    out += ["# codes (or titles) of lines that are no products, * for any ending"]
    codes = told.get("no_products") or []
    return out + [f"no_products: [{', '.join(_yaml(code) for code in codes)}]"]


def _yaml(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, default_style='"', width=10_000).strip()
