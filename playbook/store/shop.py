"""One shop as of one day: its tables as Ibis expressions, cut at as-of, with the
derived tables built once.

*As of* means what could be known at the end of that local day. Nothing here reads the
clock.
"""

from __future__ import annotations

import calendar
import contextlib
import datetime as dt
import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
from ibis import Table, Value, _
from pandas import DataFrame, Timestamp

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.store.cache import cache_folder, code_version, keep_on_server, prune, write_parquet
from playbook.store.contract import TABLES
from playbook.store.cutting import AsOf, masked, rows_by, typed

__all__ = [
    "NEWEST",
    "Delivery",
    "Recipes",
    "Store",
    "distinct_rows",
    "expression",
    "last_day",
    "one_if",
    "seconds_between",
]

# orders so many years away from all others, and as small a share of them, are no log
FAR_YEARS, FAR_SHARE = 2, 0.01
VIEWS = itertools.count()  # two shops may share a connection
# asks for the last day that is known
NEWEST = "newest"
COUNTED = ("paid", "shipped", "done", "refunded")
MARGIN_PARTS = {
    "orders.payment_fee": "payment_fees",
    "orders.shipping_cost": "shipping",
    "fees.order_id": "booked_fees",
}


@dataclass(frozen=True)
class Delivery:
    """What a store was opened from: the tables as delivered and what is known of them.

    `where` is what refusals call it: a folder, or the name of a store on a server.
    `content` is a hash of all input bytes (empty on a server), `log` the log of imports,
    `folder` where settings and notebooks of the shop lie (None for a bare address),
    `on_server` the tables of a database, wherever they are asked.
    """

    where: str
    con: ibis.BaseBackend
    tables: dict[str, Table]
    settings: dict[str, Any]
    log: dict[str, Any] = field(default_factory=dict)
    content: str = ""
    folder: Path | None = None
    on_server: dict[str, Table] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipes:
    """How derived tables are made: those chapters read, the steps on the way to them,
    and the days after the log's start in which a first order may not be the first; and
    how a shop shows itself in a notebook (HTML).
    """

    derived: Mapping[str, Callable[[Store], Table]]
    steps: Mapping[str, Callable[[Store], Table]]
    lookback_days: Callable[[Store], int]
    page: Callable[[Store], str] = repr


def expression(table: Table | DataFrame) -> Table:
    """An Ibis table: expressions pass through, a pandas frame becomes one (text stays
    text, dates stay dates).
    """
    if isinstance(table, Table):
        return table
    return ibis.memtable(table.reset_index(drop=True))


def distinct_rows(table: Table, *names: str | ibis.Deferred, **named: ibis.Deferred) -> Table:
    """Each combination of these columns once, by grouping.

    `table.select(...).distinct().order_by(...)` is not the same everywhere: for Postgres,
    Spark, BigQuery and Snowflake Ibis 12 leaves the selection out and takes distinct rows
    of all columns.
    """
    chosen = table.select(*names, **named)
    return chosen.aggregate([], by=list(chosen.columns))


def one_if(truth: Value) -> Value:
    """1 where true, 0 where false, missing where not known: Postgres casts no truth value
    to a number.
    """
    one, zero = ibis.literal(1, "int64"), ibis.literal(0, "int64")
    return ibis.cases((truth, one), (~truth, zero))


def seconds_between(earlier: Value, later: Value) -> Value:
    """Whole seconds from one moment to another, missing where one is. Engines count hours and
    minutes between two moments in two ways: those that have passed, and how often the clock
    struck.
    """
    start, end = (
        moment.cast("timestamp").truncate("s").epoch_seconds().cast("int64")
        for moment in (earlier, later)
    )
    return end - start


def last_day(month: str) -> dt.date:
    """The last day of a month written `YYYY-MM`; PlaybookError when it is not one."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise PlaybookError("store.no_month", given=month)
    year, number = map(int, month.split("-"))
    return dt.date(year, number, calendar.monthrange(year, number)[1])


class Store:
    """One shop as of one day. Contract tables are attributes (`shop.orders`), so are
    the derived ones.

    Attributes: name, currency, month, as_of (date), is_month_complete, missing (tables
    not there), margin_basis (text), settings (shop.yaml), fingerprint (of the inputs
    and as-of). `delivered`, `uncut` and `present` are the tables as they came, typed
    but not cut, and the columns that came; `problems` what the contract's check found,
    and `walk` the ledger once it has been worked out.
    """

    problems: DataFrame
    walk: DataFrame | None = None

    def __init__(self, delivery: Delivery, recipes: Recipes, until: str | None = None) -> None:
        self.where, self.con, self.content = delivery.where, delivery.con, delivery.content
        self.settings, self.log = delivery.settings, delivery.log
        self.delivered, self.folder = delivery.tables, delivery.folder
        self.on_server = delivery.on_server
        self.uncut = {name: typed(TABLES[name], t) for name, t in delivery.tables.items()}
        self.present = {name: set(t.columns) for name, t in delivery.tables.items()}
        self._recipes = recipes
        self._present: dict[str, bool] = {}
        self._cuts: dict[str, Table] = {}
        self._behind: list[Table] = []
        self._built: dict[str, Table] = {}
        self.missing = [name for name in TABLES if name not in delivery.tables]
        self.name = str(self.settings.get("name") or Path(self.where).name)
        self.log_starts_with_shop = bool(self.settings.get("log_starts_with_shop", False))
        self.counted_statuses = tuple(self.settings.get("counted_statuses") or COUNTED)
        self.parameters = self.settings.get("parameters") or {}
        self.observed_from, self.observed_to = self._span()
        asked = self._asked_day(until)
        self.month = f"{asked:%Y-%m}"
        # nothing is known beyond the log's last day
        self.as_of = min(asked, self.observed_to) if self.observed_to else asked
        self.is_month_complete = self.as_of == last_day(self.month)
        zone = self.settings.get("time_zone") or self.settings.get("timezone") or "UTC"
        self.time_zone = str(zone)
        self.as_of_end = _utc_end(self.as_of, self.time_zone)
        self.currency = self._currency()

    def __repr__(self) -> str:
        return f"Store({self.name!r}, as of {self.as_of}, {len(self.uncut)} tables)"

    def __dir__(self) -> list[str]:
        """The tables too, so that Tab offers those this shop has."""
        tables = [*self.uncut, *self._recipes.derived]
        return sorted({*super().__dir__(), *tables})

    def _repr_html_(self) -> str:
        return self._recipes.page(self)

    def __getattr__(self, name: str) -> Table:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in TABLES:
            return self.table(name)
        if name in self._recipes.derived or name in self._recipes.steps:
            return self.derived(name)
        raise AttributeError(name)

    def table(self, name: str) -> Table:
        """A contract table cut at as-of, every contract column present; PlaybookError
        if the shop has none.
        """
        if name not in self.uncut:
            raise PlaybookError(
                "store.table_not_here",
                shop=self.name,
                name=name,
                table=name,
            )
        return self._cut(name)

    def get(self, name: str) -> Table | None:
        """The table, or None when the shop has none."""
        return self.table(name) if name in self.uncut else None

    def has(self, name: str) -> bool:
        """Is there such a table (`"stock"`), or a column with at least one value in it
        (`"products.unit_cost"`)? A derived table is there when it has rows.
        """
        if name not in self._present:
            self._present[name] = self._has_rows(name)
        return self._present[name]

    def _has_rows(self, name: str) -> bool:
        table, _dot, column = name.partition(".")
        if table in self._recipes.derived and not column:
            return bool(self.con.execute(self.derived(table).limit(1).count()) > 0)
        if table not in self.uncut or (column and column not in self.present[table]):
            return False
        rows = self._cut(table)
        rows = rows.filter(rows[column].notnull()) if column else rows
        return bool(self.con.execute(rows.limit(1).count()) > 0)

    def derived(self, name: str) -> Table:
        """A derived table of `playbook.store.derived`, built once per inputs and day,
        then read from the cache; on a server, which has no files to fingerprint, the
        engine keeps it for this connection.
        """
        if name not in self._built:
            self._built[name] = self._build(name)
        return self._built[name]

    def _build(self, name: str) -> Table:
        is_step = name in self._recipes.steps
        make = self._recipes.steps[name] if is_step else self._recipes.derived[name]
        if not self.content:
            return keep_on_server(self.con, make(self))
        folder = self.cache / "steps" if is_step else self.cache
        path = folder / f"{name}.parquet"
        if not path.exists():
            write_parquet(self.con, make(self), path)
        return self.con.read_parquet(path, table_name=f"derived_{name}")

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change when any input byte, the day, or the way
        tables are derived changes.
        """
        text = json.dumps([self.content, str(self.as_of), code_version()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def cache(self) -> Path:
        """The folder of this store's derived tables."""
        folder = cache_folder() / "derived" / self.fingerprint
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # a cache somebody else keeps
            os.utime(folder)  # in use: pruning goes by the last use
        if is_new:
            prune(folder.parent)
        return folder

    def days_after(self, days: int) -> str:
        """The day so many days after as-of, as YYYY-MM-DD: how decisions get their due
        dates.
        """
        return str(self.as_of + dt.timedelta(days=days))

    @functools.cached_property
    def truncated_before(self) -> dt.date | None:
        """First orders before this day may not be first ones; None where the log starts
        with the shop.
        """
        if self.log_starts_with_shop or self.observed_from is None:
            return None
        return self.observed_from + dt.timedelta(days=self._recipes.lookback_days(self))

    def local(self, moment: ibis.Value) -> ibis.Value:
        """A UTC moment on the shop's clock: days are shop days everywhere."""
        steps = self._clock
        if len(steps) == 1 and not steps[0][1]:
            return moment
        shifted = [moment + ibis.interval(minutes=minutes) for _start, minutes in steps]
        later = [ibis.literal(start) for start, _minutes in steps[1:]]
        before = [(moment < start, at) for start, at in zip(later, shifted, strict=False)]
        return ibis.cases(*before, else_=shifted[-1]) if before else shifted[-1]

    @functools.cached_property
    def _clock(self) -> list[tuple[dt.datetime, int]]:
        """The UTC moments from which the shop's clock is so many minutes ahead, over
        the log.
        """
        first = Timestamp(self.observed_from or self.as_of) - pd.Timedelta(days=400)
        last = Timestamp(self.as_of) + pd.Timedelta(days=400)
        utc = pd.date_range(
            first,
            last,
            freq="30min",
            tz="UTC",
        )
        local = utc.tz_convert(self.time_zone).tz_localize(None) - utc.tz_localize(None)
        minutes = pd.Series((local.total_seconds() // 60).astype(int), index=utc.tz_localize(None))
        moved = minutes[minutes.diff().ne(0)]
        return [(at.to_pydatetime(), int(n)) for at, n in moved.items()]

    @functools.cached_property
    def margin_basis(self) -> str:
        """What `margin` contains in this shop, in words; `revenue` when no cost is
        known.
        """
        if not self.has("order_lines.unit_cost"):
            return say("store.margin_is_revenue")
        parts = ["goods", *(part for column, part in MARGIN_PARTS.items() if self.has(column))]
        parts += ["cost_rates"] * self.has("cost_rates")
        return say("store.margin_basis", parts=", ".join(say(f"store.part_{p}") for p in parts))

    @functools.cached_property
    def _has_later_orders(self) -> bool:
        """Where none was placed after as-of, every line of the log has happened (a line
        without an order stops).
        """
        later = self.uncut["orders"].filter(_.ordered_at >= ibis.literal(self.as_of_end))
        return bool(self.con.execute(later.limit(1).count()) > 0)

    def _span(self) -> tuple[dt.date | None, dt.date | None]:
        stated = self.log.get("observed_to") or {}
        if "orders" not in self.uncut:
            days = [dt.date.fromisoformat(day) for day in stated.values() if day]
            return None, max(days, default=None)
        low, high = self._ends(self.uncut["orders"].ordered_on)
        if pd.isna(low):
            raise self._no_order_days()
        first, last = self._log_ends(Timestamp(low).date(), Timestamp(high).date())
        told = stated.get("orders")
        return first, max(last, dt.date.fromisoformat(told)) if told else last

    def _ends(self, column: ibis.Column) -> tuple[Any, Any]:
        ends = column.as_table().aggregate(low=column.min(), high=column.max())
        low, high = self.con.execute(ends).iloc[0]
        return low, high

    def _log_ends(self, first: dt.date, last: dt.date) -> tuple[dt.date, dt.date]:
        """The log without a few orders that lie years away from all others: a day of
        1970 or 2099 is a mistake of a clock.
        """
        if last.year - first.year <= FAR_YEARS:
            return first, last
        orders = self.uncut["orders"].filter(_.ordered_on.notnull())
        by_year = orders.group_by(year=_.ordered_on.year()).aggregate(
            n=_.count(), first=_.ordered_on.min(), last=_.ordered_on.max()
        )
        years = self.con.execute(by_year.order_by("year"))
        few = max(1, FAR_SHARE * years.n.sum())
        while len(years) > 1 and _is_far(years, 0, 1) and years.n.iloc[0] <= few:
            years = years.iloc[1:]
        while len(years) > 1 and _is_far(years, -2, -1) and years.n.iloc[-1] <= few:
            years = years.iloc[:-1]
        return Timestamp(years["first"].iloc[0]).date(), Timestamp(years["last"].iloc[-1]).date()

    def _no_order_days(self) -> PlaybookError:
        present = self.present["orders"]
        lacking = [c for c in TABLES["orders"].required if c not in present]
        if not lacking:
            return PlaybookError("store.no_rows", file=self.where, table="orders")
        return PlaybookError(
            "store.column_missing",
            columns=", ".join(sorted(present)[:12]),
            file=self.where,
            table="orders",
            column=lacking[0],
        )

    def _asked_day(self, until: str | None) -> dt.date:
        first, last = self.observed_from, self.observed_to
        if until is None:
            return self._last_complete_month()
        if until == NEWEST and last:
            return last
        try:
            day = dt.date.fromisoformat(until) if len(until) == 10 else last_day(until)
        except ValueError:
            raise PlaybookError("store.no_day", given=until) from None
        if first and (day < first or day.replace(day=1) > last):
            raise PlaybookError(
                "store.day_outside", given=until, first=first, last=last, table="orders"
            )
        return day

    def _last_complete_month(self) -> dt.date:
        last = self.observed_to
        if last is None:
            raise PlaybookError("store.no_last_month")
        if last == last_day(f"{last:%Y-%m}"):
            return last
        before = last.replace(day=1) - dt.timedelta(days=1)
        return before if self.observed_from and before >= self.observed_from else last

    def _currency(self) -> str:
        if self.settings.get("currency"):
            return str(self.settings["currency"])
        if "currency" in self.present.get("orders", ()):
            low, high = self._ends(self.uncut["orders"].currency)
            if isinstance(low, str) and low == high:
                return low
        return "money"

    def _cut(self, name: str) -> Table:
        """Rows that had happened by as-of, with everything that happened later masked."""
        if name not in self._cuts:
            self._cuts[name] = self._by_name(name, self._cut_now(name))
        return self._cuts[name]

    def _by_name(self, name: str, table: Table) -> Table:
        """The table as a view of the engine in this process: a question is then translated
        for what it asks, not for all that made the table each time anew (nine tenths of a
        small question's time). A server's user may have no right to views.
        """
        if not self.content:
            return table
        self._behind.append(table)  # frames in it must live as long as the view
        return self.con.create_view(f"cut_{name}_{next(VIEWS)}", table)

    def _cut_now(self, name: str) -> Table:
        spec, as_of = TABLES[name], AsOf(self.as_of, self.month, self.as_of_end)
        rows = rows_by(spec, self.uncut[name], as_of)
        if name == "order_lines" and "orders" in self.uncut and self._has_later_orders:
            rows = rows.semi_join(self._cut("orders"), "order_id")
        return masked(spec, rows, as_of)


def _is_far(years: DataFrame, one: int, other: int) -> bool:
    return bool(years.year.iloc[other] - years.year.iloc[one] > FAR_YEARS)


def _utc_end(day: dt.date, zone: str) -> dt.datetime:
    """The UTC moment at which the local day `day` ends."""
    midnight = Timestamp(day + dt.timedelta(days=1))
    try:
        # a clock that is changed at midnight has two of them that day, or none
        end = midnight.tz_localize(
            zone,
            ambiguous=True,
            nonexistent="shift_forward",
        )
    except Exception:
        raise PlaybookError("store.no_time_zone", given=zone, file="shop.yaml") from None
    return end.tz_convert("UTC").tz_localize(None).to_pydatetime()
