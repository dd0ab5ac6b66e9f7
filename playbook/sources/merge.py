"""From everything imported so far to the store's tables: a pure function of the set of
imports, whatever their order.

Each import is kept as a *part* under `.imports/<import_id>/`, typed, with contact
details already hashed or gone. Where two parts deliver the same order, the more
complete, later, further advanced version is taken whole; the rows of the other stand in
the ledger as `overlap`. Rows of other tables replace each other by their key in the
same way.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.cut_orders import give_way, joined_part
from playbook.sources.days import said_far_off
from playbook.sources.fees import FEE_TABLES, book_fees, with_provider_refunds
from playbook.sources.identity import settle_identities
from playbook.sources.mapped_refunds import link_refunds, refunds_that_wait
from playbook.sources.parts import Part, Rebuilt
from playbook.sources.settled_orders import settled_part
from playbook.store.contract import TABLES
from playbook.store.write import quoted, sql_type, write_table

if TYPE_CHECKING:
    import duckdb

ORDER_TABLES = ("orders", "order_lines", "refunds", "entities", "ledger", "order_channels")
# several exports fill different columns of one row
BY_COLUMN = ("products", "stock", "customers", "invitations", "content_items")
RULED = ("ad_spend", "traffic")
RENAMED = (*RULED, "ad_terms")  # channels read by the shop's own rules
PAID = ("ad_spend", "ad_terms")  # money of an advertising account, in its currency
RESTATED = 0.2  # platforms correct the spend of a day afterwards by less than this share
PARTS = ("shipping", "tax", "tip", "duties", "gift_card")  # what a total holds beside goods
MONEY = ("gross", "discount", *PARTS, "other_charges", "total", "payment_fee", "shipping_cost")


def rebuild(
    con: duckdb.DuckDBPyConnection,
    parts: list[Part],
    stage: Path,
    settings: Mapping[str, object],
    tables: set[str] | None = None,
) -> Rebuilt:
    """Writes the store's tables built from `parts` into `stage`; only `tables` (and
    what hangs on them) when given.
    """
    out = Rebuilt()
    touched = set(TABLES) | set(ORDER_TABLES) if tables is None else set(tables)
    if touched & set(FEE_TABLES):
        touched |= set(ORDER_TABLES)
    if touched & {"channels", "cost_rates"}:
        touched |= set(ORDER_TABLES) | set(RENAMED)
    _rates(con, parts, settings, out)
    for name in TABLES:
        if (
            name not in ORDER_TABLES
            and name not in ("customers", "import_ledger", "fees")
            and name in touched
        ):
            _keyed(con, name, parts, stage, out)
    if touched & set(ORDER_TABLES) or "customers" in touched:
        _orders(con, parts, stage, out)
    return out


# --- tables other than orders ----------------------------------------------------------------------------------------


def _keep_latest(con: object, name: str, columns: list[str], out: Rebuilt) -> None:
    """Of rows that several extracts hold the latest is kept; what goes is noted with
    its money.
    """
    key = list(TABLES[name].key)
    keys = ", ".join(key)
    latest = "{'e': _end, 'i': _import}"
    before = _count_and_spend(con, columns)
    rest = [c for c in columns if c not in key and not c.startswith("_")]
    if name in BY_COLUMN:
        picks = "".join(f", arg_max({c}, {latest}) FILTER ({c} IS NOT NULL) AS {c}" for c in rest)
        query = f"SELECT {keys}{picks} FROM keyed GROUP BY {keys}"
    else:
        scope = ", _scope" if "_scope" in columns else ""
        query = f"SELECT * FROM keyed QUALIFY row_number() OVER (PARTITION BY {keys}{scope} ORDER BY _end DESC, _import DESC) = 1"
    con.execute(f"CREATE OR REPLACE TEMP TABLE keyed AS {query}")
    after = _count_and_spend(con, columns)
    if before[0] > after[0] and name not in BY_COLUMN:
        money = f", {before[1] - after[1]:,.2f} of spend" if before[1] is not None else ""
        out.notes.append(
            f"{name}: {before[0] - after[0]:,} rows{money} come in a later extract as well: the later one is taken"
        )


def _keyed(
    con: object, name: str, parts: list[Part], stage: Path, out: Rebuilt, extra: str = ""
) -> None:
    mine = [p for p in parts if name in p.tables]
    if not mine and not extra:
        return
    rows = " UNION ALL BY NAME ".join(
        f"SELECT *, {quoted(p.extract_end)} AS _end, {quoted(p.import_id)} AS _import FROM read_parquet({p.file(name)})"
        for p in mine
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE keyed AS {rows}")
    if name in RULED:
        _refuse_two_breakdowns(con, name)
    key = list(TABLES[name].key)
    columns = [r[0] for r in con.execute("DESCRIBE keyed").fetchall()]
    for column in key:
        if column not in columns:
            con.execute(f"ALTER TABLE keyed ADD COLUMN {column} VARCHAR")
            columns.append(column)
    if "_scope" in columns:
        _refuse_two_scopes(con)
    if name == "ad_spend" and len(mine) > 1:
        _refuse_two_accounts(con, columns)
    if len(mine) > 1:
        _keep_latest(con, name, columns, out)
    if name in PAID and "currency" in columns:
        _convert(con, name, out, columns)
    if name in RENAMED and "channel" in columns:
        _rename_channels(con, name, parts, columns)
    out.rows[name] = write_table(con, name, "SELECT * FROM keyed", stage / f"{name}.parquet")
    cut = TABLES[name].cut
    if cut and TABLES[name].column(cut).type in ("date", "ts") and cut in columns:
        low, high = con.execute(
            f"SELECT CAST(CAST(min({cut}) AS DATE) AS VARCHAR), CAST(CAST(max({cut}) AS DATE) AS VARCHAR) FROM keyed"
        ).fetchone()
        if low:
            out.observed_from[name], out.observed_to[name] = low, high
            stated = [str(p.about["observed_to"]) for p in mine if p.about.get("observed_to")]
            out.observed_to[name] = max([high, *stated])


def _refuse_two_breakdowns(con: object, name: str) -> None:
    """A day's total in one extract and its parts in another are the same money twice,
    under keys that differ.
    """
    columns = {r[0] for r in con.execute("DESCRIBE keyed").fetchall()}
    for part in sorted({"campaign", "region", "device"} & columns):
        # a region beside `all` is the same money only within one campaign
        whose = ", campaign" if part == "region" and "campaign" in columns else ""
        channel, days, first = con.execute(f"""
            WITH d AS (SELECT day_on, channel{whose}, _import, bool_and({part} = 'all') AS is_total FROM keyed GROUP BY ALL),
            b AS (SELECT day_on, channel{whose} FROM d GROUP BY ALL HAVING count(DISTINCT is_total) > 1)
            SELECT min(channel), count(*), CAST(min(day_on) AS VARCHAR) FROM b""").fetchone()
        if days:
            raise PlaybookError(
                "sources.two_breakdowns",
                channel=channel,
                day=first,
                table=name,
                column=part,
                rows=days,
            )


def _refuse_two_scopes(con: object) -> None:
    """Rows of one account beside rows that name none may be the same money twice."""
    channel, days, first = con.execute("""
        WITH b AS (SELECT day_on, channel, campaign FROM keyed GROUP BY ALL
                   HAVING count(DISTINCT _import) > 1 AND count(_scope) BETWEEN 1 AND count(*) - 1)
        SELECT min(channel), count(*), CAST(min(day_on) AS VARCHAR) FROM b""").fetchone()
    if days:
        raise PlaybookError(
            "sources.one_scope", channel=channel, day=first, rows=days, table="ad_spend"
        )


def _refuse_two_accounts(con: object, columns: list[str]) -> None:
    """The same campaigns and days in two extracts that name no account are one account
    exported twice, if their spend agrees; where most of it does not they are two accounts.
    The last day of an extract may have been half over: it tells nothing where the other
    extract goes on.
    """
    scope = "coalesce(_scope, '')" if "_scope" in columns else "''"
    currency = "coalesce(currency, '')" if "currency" in columns else "''"
    channel, rows, day = con.execute(f"""
        WITH r AS (SELECT day_on, channel, campaign, region, {scope} AS scope, _import, spend, {currency} AS currency,
                          max(day_on) OVER (PARTITION BY channel, _import) AS last_on
                   FROM keyed WHERE {scope} = '' AND spend <> 0),
        pairs AS (
            SELECT a.channel, a._import AS one, b._import AS other, a.day_on,
                   abs(a.spend - b.spend) <= {RESTATED} * greatest(abs(a.spend), abs(b.spend)) + 0.01
                       AND a.currency = b.currency AS is_same
            FROM r a JOIN r b USING (day_on, channel, campaign, region)
            WHERE a._import < b._import
              AND (a.last_on = b.last_on OR day_on < least(a.last_on, b.last_on)))
        SELECT channel, count(*) FILTER (NOT is_same), CAST(min(day_on) AS VARCHAR)
        FROM pairs GROUP BY channel, one, other
        HAVING count(*) FILTER (is_same) < 0.5 * count(*) ORDER BY 1 LIMIT 1""").fetchone() or (
        None,
        0,
        None,
    )
    if rows:
        raise PlaybookError(
            "sources.two_accounts", channel=channel, day=day, rows=rows, table="ad_spend"
        )


def _count_and_spend(con: object, columns: list[str]) -> tuple[int, Decimal | None]:
    spend = "sum(spend)" if "spend" in columns else "NULL"
    return con.execute(f"SELECT count(*), {spend} FROM keyed").fetchone()


def _convert(con: object, name: str, out: Rebuilt, columns: list[str]) -> None:
    """Money in shop currency at the rate of the day; rows in a currency without a rate
    are left out and named.
    """
    shop = quoted(out.currency or "")
    rate = (
        f"CASE WHEN currency IS NULL OR upper(currency) = {shop} THEN 1.0 ELSE (SELECT arg_max(r.value, r.from_on) "
        f"FROM rates r WHERE r.currency = upper(k.currency) AND r.from_on <= k.{TABLES[name].cut}) END"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT *, {rate} AS _rate FROM keyed k")
    out.left_out[name] = {}
    for currency, n, total in con.execute(
        "SELECT currency, count(*), CAST(sum(spend) AS VARCHAR) FROM keyed WHERE _rate IS NULL GROUP BY 1 ORDER BY 1"
    ).fetchall():
        out.left_out[name][currency] = total
        out.notes.append(
            f"{n:,} rows of {name} in {currency} ({total} {currency}) are left out: cost_rates has no exchange_rate for it"
        )
    swaps = ", ".join(
        f"CAST({m} * _rate AS DECIMAL(18,6)) AS {m}"
        for m in ("spend", "platform_value")
        if m in columns
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT * EXCLUDE (_rate) REPLACE ({swaps}) FROM keyed WHERE _rate IS NOT NULL"
    )


def _rename_channels(con: object, name: str, parts: list[Part], columns: list[str]) -> None:
    """Channels by the shop's rules; rows that fall together under one name are added
    up.
    """
    _rules(con, parts)
    said = (
        "lower(concat_ws(' / ', channel, campaign))" if "campaign" in columns else "lower(channel)"
    )
    key = list(TABLES[name].key)
    sums = "".join(
        f", CAST(sum({c}) AS {sql_type(name, c)}) AS {c}"
        if TABLES[name].column(c).type in ("int", "dec", "num") and c != "n_days"
        else f", min({c}) AS {c}"
        for c in columns
        if c not in key and not c.startswith("_")
    )
    con.execute(f"""CREATE OR REPLACE TEMP TABLE keyed AS
        SELECT {", ".join(key)}{sums}
        FROM (SELECT * REPLACE (coalesce({_ruled("said")}, channel) AS channel) FROM (SELECT *, {said} AS said FROM keyed) d)
        GROUP BY {", ".join(key)}""")


# --- orders, lines, refunds, customers, ledger -----------------------------------------------------------------------


def _orders(con: object, parts: list[Part], stage: Path, out: Rebuilt) -> None:
    mine = [p for p in parts if "entities" in p.tables]
    with tempfile.TemporaryDirectory(prefix="playbook-settled-") as scratch:
        mine += settled_part(con, parts, Path(scratch), out)
        mine += joined_part(con, mine, Path(scratch), out)
        if mine:
            _merge_orders(con, parts, mine, stage, out)
        book_fees(con, parts, stage, out, has_orders=bool(mine))


def _merge_orders(
    con: object, parts: list[Part], mine: list[Part], stage: Path, out: Rebuilt
) -> None:
    for table in ("orders", "order_lines", "refunds", "entities", "ledger"):
        have = [p for p in mine if table in p.tables]
        rows = " UNION ALL BY NAME ".join(
            f"SELECT *, {quoted(p.import_id)} AS import_id, {quoted(p.about['family'])} AS family, "
            f"{quoted(p.about['part'])} AS part, {quoted(p.extract_end)} AS _end"
            f"{', order_id AS entity' if table == 'order_lines' else ''} FROM read_parquet({p.file(table)})"
            for p in have
        )
        empty = f"SELECT {_nulls(table)} WHERE false"
        query = f"{empty} UNION ALL BY NAME {rows}" if rows else empty
        con.execute(f"CREATE OR REPLACE VIEW all_{table} AS {query}")
    give_way(con)
    out.notes += settle_identities(con, are_several=len(mine) > 1)
    _pick_versions(con, mine)
    _accepted(con, mine, out)
    _write_orders(con, parts, mine, stage, out)


def _nulls(table: str) -> str:
    """Every column a part of this table may lack, so that each query finds them."""
    kinds = dict.fromkeys(("entity", "import_id", "family", "part", "_end"), "VARCHAR")
    if table == "entities":
        kinds |= {
            "own_last": "TIMESTAMP",
            "status_rank": "BIGINT",
            "refunded": "DECIMAL(18,6)",
            "completeness": "BIGINT",
            "size": "DECIMAL(18,6)",
        }
    elif table == "ledger":
        kinds |= {
            "reason": "VARCHAR",
            "day_on": "DATE",
            "is_guest": "BOOLEAN",
            "n_rows": "BIGINT",
            "n_orders": "BIGINT",
            "amount": "DECIMAL(18,6)",
        }
    else:
        kinds |= {c.name: sql_type(table, c.name) for c in TABLES[table].columns}
    if table == "refunds":
        kinds |= {"currency": "VARCHAR"}
    if table == "orders":
        kinds |= {
            "_uid": "VARCHAR",
            "_edge": "VARCHAR",
            "_units": "BIGINT",
            "is_contactable": "BOOLEAN",
            "is_business": "BOOLEAN",
        }
    return ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in kinds.items())


def _pick_versions(con: object, mine: list[Part]) -> None:
    """`won`: for each order the import whose version is kept (family, part, entity,
    import_id, is_complete).
    """
    pick = ""
    if len(mine) > 1:
        # complete before cut off, then the order's own latest time, then how far it has come, then the later extract
        pick = (
            "QUALIFY row_number() OVER (PARTITION BY family, part, entity ORDER BY completeness DESC, "
            "own_last DESC NULLS LAST, status_rank DESC, refunded DESC, _end DESC, size DESC NULLS LAST, "
            "import_id DESC) = 1"
        )
    con.execute(f"""CREATE OR REPLACE TEMP TABLE won AS
        SELECT family, part, entity, import_id, completeness > 0 AS is_complete FROM all_entities {pick}""")


def _rates(con: object, parts: list[Part], settings: Mapping[str, object], out: Rebuilt) -> None:
    """`rates`: currency, from_on, value in shop currency. The shop's currency is told,
    else the commonest one.
    """
    out.currency = str(settings["currency"]).upper() if settings.get("currency") else None
    for table in ("orders", "ad_spend", "settled_lines", "fees", "ad_terms"):
        files = ", ".join(p.file(table) for p in parts if table in p.tables)
        if out.currency is None and files:
            found = con.execute(
                f"SELECT currency FROM (SELECT CAST(NULL AS VARCHAR) AS currency WHERE false UNION ALL BY NAME "
                f"SELECT * FROM read_parquet([{files}], union_by_name = true)) WHERE currency IS NOT NULL "
                "GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1"
            ).fetchone()
            out.currency = found[0] if found else None
    rates = [p for p in parts if "cost_rates" in p.tables]
    rows = " UNION ALL BY NAME ".join(
        f"SELECT * FROM read_parquet({p.file('cost_rates')})" for p in rates
    )
    con.execute("CREATE OR REPLACE TEMP TABLE rates (currency VARCHAR, from_on DATE, value DOUBLE)")
    if rows:
        con.execute(
            f"INSERT INTO rates SELECT DISTINCT upper(scope), from_on, value FROM ({rows}) WHERE kind = 'exchange_rate'"
        )


def _accepted(con: object, mine: list[Part], out: Rebuilt) -> None:
    """`taken`: the versions that enter the store, with the exchange rate and the order
    id they get.
    """
    shop = quoted(out.currency or "")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE taken AS
        WITH o AS (SELECT o.family, o.entity, o.import_id, o.ordered_on, coalesce(upper(o.currency), {shop}) AS currency
                   FROM all_orders o
                   UNION ALL SELECT r.family, r.entity, r.import_id, min(r.refunded_on), upper(min(r.currency))
                   FROM all_refunds r ANTI JOIN all_orders USING (family, entity, import_id)
                   WHERE r.currency IS NOT NULL GROUP BY ALL)
        SELECT w.family, w.part, w.entity, w.import_id,
               CASE WHEN w.part <> 'orders' OR o.currency IS NULL OR o.currency = {shop} THEN 1.0 ELSE (
                   SELECT arg_max(r.value, r.from_on) FROM rates r
                   WHERE r.currency = o.currency AND r.from_on <= o.ordered_on) END AS rate,
               w.is_complete, o.currency
        FROM won w LEFT JOIN o USING (family, entity, import_id)""")
    # lines in a file of their own tell no currency: they are in that of their order
    if any(p.about["part"] == "lines" for p in mine):
        con.execute("""UPDATE taken SET rate = o.rate, currency = o.currency FROM (SELECT * FROM taken WHERE part = 'orders') o
            WHERE taken.part = 'lines' AND taken.family = o.family AND taken.entity = o.entity""")
    # a refund told by itself is in the currency of its order
    con.execute("""UPDATE taken SET rate = o.rate, currency = o.currency FROM (
            SELECT r.family, r.entity, t.rate, t.currency FROM all_refunds r
            JOIN (SELECT * FROM taken WHERE part = 'orders') t ON t.family = r.family AND t.entity = r.order_id
            WHERE r.entity <> r.order_id) o
        WHERE taken.family = o.family AND taken.entity = o.entity AND taken.currency IS NULL""")
    for currency, n, total, example in con.execute(
        "SELECT t.currency, count(*), sum(r.amount), min(r.refund_id) FROM taken t JOIN all_refunds r USING (family, entity, import_id) "
        "WHERE t.rate IS NULL AND t.currency IS NOT NULL AND r.entity <> r.order_id GROUP BY 1 ORDER BY 1"
    ).fetchall():
        out.notes.append(
            say("sources.refunds_no_rate", n=n, amount=total, currency=currency, example=example)
        )
    several = len({p.about["family"] for p in mine}) > 1
    con.execute(f"""CREATE OR REPLACE TEMP TABLE clash AS
        SELECT entity, min(family) AS first_family FROM taken WHERE {several} AND part = 'orders' GROUP BY entity
        HAVING count(DISTINCT family) > 1""")
    out.no_rate = con.execute(
        "SELECT t.currency, count(*), CAST(sum(o.total) AS VARCHAR) FROM taken t JOIN all_orders o USING (family, entity, import_id) "
        "WHERE t.rate IS NULL AND t.part = 'orders' GROUP BY 1 ORDER BY 1"
    ).fetchall()


def _order_id(alias: str) -> str:
    return (
        f"CASE WHEN (SELECT count(*) FROM clash c WHERE c.entity = {alias}.order_id AND c.first_family <> {alias}.family) > 0 "
        f"THEN {alias}.family || ':' || {alias}.order_id ELSE {alias}.order_id END"
    )


def _write_orders(
    con: object, parts: list[Part], mine: list[Part], stage: Path, out: Rebuilt
) -> None:
    final = _Final.of(con, mine)
    _final_views(con, final)
    (n_lines,) = con.execute("SELECT count(*) FROM final_lines").fetchone()
    (n_orders,) = con.execute("SELECT count(*) FROM final_orders").fetchone()
    if final.is_split:
        _say_lines_wait(con, out)
    if not n_orders or not n_lines:
        out.notes += refunds_that_wait(con)
        _channels(con, parts, out)
        _ledger(con, mine, stage, final.is_split, out)
        return
    if not final.copy_lines(stage):
        n_lines = write_table(
            con, "order_lines", "SELECT * FROM final_lines", stage / "order_lines.parquet"
        )
    out.rows["order_lines"] = n_lines
    _channels(con, parts, out)
    out.rows["orders"] = write_table(
        con, "orders", "SELECT * FROM channelled", stage / "orders.parquet"
    )
    _write_refunds(con, parts, final, stage, out)
    _customers(con, parts, stage, out)
    _ledger(con, mine, stage, final.is_split, out)
    _say_cut_off(con, out)
    _observed(con, mine, out)


@dataclass(frozen=True)
class _Final:
    """How the rows of the versions taken are asked for: in shop currency, under numbers
    that name one order each.
    """

    mine: list[Part]
    have: Mapping[str, set[str]]  # table -> its columns
    has_clash: bool  # one number in two families
    is_foreign: bool  # money in another currency than the shop's
    is_split: bool  # lines in a file of their own

    @classmethod
    def of(cls, con: object, mine: list[Part]) -> _Final:
        (n_clash,) = con.execute("SELECT count(*) FROM clash").fetchone()
        (n_foreign,) = con.execute(
            "SELECT count(*) FROM taken WHERE rate IS NULL OR rate <> 1.0"
        ).fetchone()
        have = {
            t: {r[0] for r in con.execute(f"DESCRIBE all_{t}").fetchall()}
            for t in ("orders", "order_lines", "refunds")
        }
        is_split = any(p.about["part"] == "lines" or p.about.get("is_split") for p in mine)
        return cls(mine, have, n_clash > 0, n_foreign > 0, is_split)

    def rows(self, table: str, money: tuple[str, ...], part: str) -> str:
        """The query of one table's rows in the files of orders or of lines."""
        # every order of a lone part is taken but the few cut off: no join with all
        if len(self.mine) == 1 and not self.is_foreign:
            return (
                f"SELECT o.* FROM all_{table} o ANTI JOIN (SELECT entity FROM taken WHERE NOT is_complete) USING (entity) "
                f"WHERE o.part = '{part}' AND o.entity IS NOT NULL"
            )
        swaps = [
            f"CAST(o.{c} * t.rate AS DECIMAL(18,6)) AS {c}"
            for c in money
            if self.is_foreign and c in self.have[table]
        ]
        swaps += [f"{_order_id('o')} AS order_id"] if self.has_clash else []
        replace = f" REPLACE ({', '.join(swaps)})" if swaps else ""
        return (
            f"SELECT o.*{replace} FROM all_{table} o JOIN taken t USING (family, entity, import_id) "
            f"WHERE t.part = '{part}' AND o.part = '{part}' AND t.is_complete AND t.rate IS NOT NULL"
        )

    def copy_lines(self, stage: Path) -> bool:
        """Takes the lines of a lone part over as they are; False where there is something
        to merge.
        """
        lone = [p for p in self.mine if "order_lines" in p.tables]
        if len(self.mine) > 1 or not lone or self.has_clash or self.is_foreign or self.is_split:
            return False
        shutil.copyfile(lone[0].folder / "order_lines.parquet", stage / "order_lines.parquet")
        return True


def _final_views(con: object, final: _Final) -> None:
    """`final_orders`, `final_lines` and `summed_orders`: what the store will hold."""
    orders = final.rows("orders", MONEY, "orders")
    con.execute(f"CREATE OR REPLACE TEMP VIEW final_orders AS {orders}")
    own = final.rows(
        "order_lines", ("price", "discount", "tax", "list_price", "unit_cost"), "orders"
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW final_lines AS {own}")
    con.execute("CREATE OR REPLACE TEMP VIEW summed_orders AS SELECT * FROM final_orders")
    if final.is_split:
        _join_lines(con, final.rows("order_lines", ("price", "discount", "tax"), "lines"))


def _say_lines_wait(con: object, out: Rebuilt) -> None:
    (waiting,) = con.execute(
        "SELECT count(DISTINCT entity) FROM taken t WHERE part = 'lines' AND NOT EXISTS "
        "(SELECT 1 FROM taken o WHERE o.part = 'orders' AND o.family = t.family AND o.entity = t.entity)"
    ).fetchone()
    if waiting:
        out.notes.append(
            f"the lines of {waiting:,} orders wait for the export of the orders themselves"
        )


def _write_refunds(
    con: object, parts: list[Part], final: _Final, stage: Path, out: Rebuilt
) -> None:
    of_orders, of_lines = (final.rows("refunds", ("amount",), p) for p in ("orders", "lines"))
    refunds = f"({of_orders}) UNION ALL BY NAME ({of_lines})"
    if final.is_split:  # a closed order's refund is told by its lines as soon as they are there
        con.execute(f"CREATE OR REPLACE TEMP TABLE line_refunds AS {of_lines}")
        refunds = (
            "SELECT l.* FROM line_refunds l SEMI JOIN final_orders USING (order_id) UNION ALL BY NAME "
            f"SELECT * FROM ({of_orders}) o ANTI JOIN line_refunds USING (order_id)"
        )
    refunds, notes = link_refunds(con, refunds)
    out.notes += notes
    refunds = with_provider_refunds(con, parts, refunds, out)
    (n_refunds,) = con.execute(f"SELECT count(*) FROM ({refunds})").fetchone()
    if n_refunds:
        out.rows["refunds"] = write_table(con, "refunds", refunds, stage / "refunds.parquet")


def _say_cut_off(con: object, out: Rebuilt) -> None:
    """Orders of which no file holds every row, with their money and one of them by name."""
    n, amount, example = con.execute("""
        SELECT count(DISTINCT (family, entity)), coalesce(sum(amount), 0), min(entity)
        FROM all_ledger l SEMI JOIN (SELECT * FROM taken WHERE NOT is_complete) t USING (family, part, entity, import_id)
        WHERE reason = 'incomplete'""").fetchone()
    if n:
        out.notes.append(say("sources.orders_cut_off", n=n, amount=amount, example=example))


def _join_lines(con: object, delivered: str) -> None:
    """Lines delivered in a file of their own; an order whose lines have not come yet
    stands as one line without sku.
    """
    units = "greatest(coalesce(o._units, 1), 1)"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE split_lines AS SELECT l.* FROM ({delivered}) l SEMI JOIN final_orders o USING (order_id)"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE own_lines AS SELECT * FROM final_lines")
    con.execute(f"""CREATE OR REPLACE TEMP VIEW final_lines AS
        SELECT * FROM split_lines
        UNION ALL BY NAME SELECT * FROM own_lines ANTI JOIN split_lines s USING (order_id)
        UNION ALL BY NAME
        SELECT o.entity, o.family, o.import_id, o.order_id, 1 AS line_no, {units} AS quantity,
               CAST(o.gross / {units} AS DECIMAL(18,6)) AS price, o.discount, o.tax
        FROM final_orders o ANTI JOIN split_lines s USING (order_id) ANTI JOIN own_lines w USING (order_id)""")
    # an order's gross and discount are those of its lines, as soon as they are there
    con.execute("""CREATE OR REPLACE TEMP VIEW summed_orders AS
        SELECT o.* REPLACE (coalesce(l.gross, o.gross) AS gross, coalesce(l.discount, o.discount) AS discount,
            CASE WHEN l.gross IS NULL THEN o.other_charges ELSE nullif(CAST(o.total - (l.gross - coalesce(l.discount, 0)
                + coalesce(o.shipping, 0) + coalesce(o.tax, 0) + coalesce(o.tip, 0) + coalesce(o.duties, 0)
                + coalesce(o.gift_card, 0)) AS DECIMAL(18,6)), 0) END AS other_charges)
        FROM final_orders o LEFT JOIN (SELECT order_id, sum(quantity * price) AS gross, sum(discount) AS discount
                                       FROM split_lines GROUP BY order_id) l USING (order_id)""")


def _channels(con: object, parts: list[Part], out: Rebuilt) -> None:
    """`channelled`: orders with source, medium and campaign filled from exports that
    name them, and channel by rule.
    """
    fields = ("channel", "source", "medium", "campaign")
    told = [p for p in parts if "order_channels" in p.tables]
    rows = " UNION ALL BY NAME ".join(
        f"SELECT *, {quoted(p.extract_end)} AS _e, {quoted(p.import_id)} AS _i FROM read_parquet({p.file('order_channels')})"
        for p in told
    )
    query = "SELECT * FROM summed_orders"
    if told:
        picks = ", ".join(
            f"arg_max({f}, {{'e': _e, 'i': _i}}) FILTER ({f} IS NOT NULL) AS _{f}" for f in fields
        )
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE told AS SELECT order_key, {picks} FROM ({rows}) GROUP BY order_key"
        )
        swaps = ", ".join(f"coalesce(_{f}, {f}) AS {f}" for f in fields)
        query = (
            f"SELECT q.* EXCLUDE (_channel, _source, _medium, _campaign, order_key) REPLACE ({swaps}) FROM (SELECT * FROM ({query}) x "
            "LEFT JOIN told ON told.order_key = lower(ltrim(x.order_id, '#'))) q"
        )
    said = "lower(concat_ws(' / ', channel, source, medium, campaign, coupon))"
    _rules(con, parts)
    con.execute(f"""CREATE OR REPLACE TEMP TABLE named AS
        SELECT said, {_ruled("d.said")} AS rule, n, amount
        FROM (SELECT {said} AS said, count(*) AS n, sum(total) AS amount FROM ({query}) GROUP BY 1) d""")
    if con.execute("SELECT count(*) FROM rules").fetchone() == (0,):
        con.execute(f"CREATE OR REPLACE TEMP VIEW channelled AS {query}")
    else:
        con.execute(f"""CREATE OR REPLACE TEMP VIEW channelled AS
        SELECT q.* EXCLUDE (rule) REPLACE (coalesce(rule, channel) AS channel)
        FROM (SELECT x.*, n.rule FROM ({query}) x LEFT JOIN named n ON n.said = {said}) q""")
    out.unmatched = con.execute(
        "SELECT said, n, CAST(amount AS VARCHAR) FROM named WHERE rule IS NULL AND said <> '' "
        "ORDER BY amount DESC, said"
    ).fetchall()


def _rules(con: object, parts: list[Part]) -> None:
    """`rules`: rule_no, pattern, channel, the latest version of each rule."""
    told = [p for p in parts if "channels" in p.tables]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE rules (rule_no BIGINT, pattern VARCHAR, channel VARCHAR)"
    )
    if told:
        rows = " UNION ALL BY NAME ".join(
            f"SELECT *, {quoted(p.extract_end)} AS _e, {quoted(p.import_id)} AS _i FROM read_parquet({p.file('channels')})"
            for p in told
        )
        con.execute(
            f"INSERT INTO rules SELECT rule_no, lower(pattern), channel FROM ({rows}) "
            "QUALIFY row_number() OVER (PARTITION BY rule_no ORDER BY _e DESC, _i DESC) = 1"
        )


def _ruled(text: str) -> str:
    """The channel of the first rule whose pattern stands in a text."""
    return f"(SELECT arg_min(r.channel, r.rule_no) FROM rules r WHERE contains({text}, r.pattern))"


def _customers(con: object, parts: list[Part], stage: Path, out: Rebuilt) -> None:
    query = """
        SELECT customer_id, min(ordered_on) AS first_seen_on, arg_min(region, turn) AS region, arg_min(country, turn) AS country,
               arg_max(is_contactable, turn) AS is_contactable, arg_min(channel, turn) AS acquired_channel,
               bool_or(is_business) AS is_business
        FROM (SELECT customer_id, ordered_on, region, country, is_contactable, channel, is_business,
                     row_number() OVER (ORDER BY ordered_at, order_id) AS turn
              FROM channelled WHERE customer_id IS NOT NULL)
        GROUP BY customer_id"""
    more = [p for p in parts if "customers" in p.tables]
    if more:
        rows = " UNION ALL BY NAME ".join(
            f"SELECT *, {quoted(p.extract_end)} AS _e, {quoted(p.import_id)} AS _i FROM read_parquet({p.file('customers')})"
            for p in more
        )
        query = (
            "SELECT customer_id, min(first_seen_on) AS first_seen_on, "
            + ", ".join(
                f"arg_max({c}, {{'e': _e, 'i': _i}}) FILTER ({c} IS NOT NULL) AS {c}"
                for c in ("region", "country", "is_contactable", "acquired_channel", "is_business")
            )
            + f" FROM (SELECT *, '' AS _e, '' AS _i FROM ({query}) UNION ALL BY NAME {rows}) GROUP BY customer_id"
        )
    n = write_table(con, "customers", query, stage / "customers.parquet")
    if n:
        out.rows["customers"] = n
    else:
        (stage / "customers.parquet").unlink()


def _ledger(con: object, mine: list[Part], stage: Path, is_split: bool, out: Rebuilt) -> None:
    sha = " ".join(f"WHEN {quoted(p.import_id)} THEN {quoted(p.source_sha256)}" for p in mine)
    many = len(mine) > 1
    reason, amount = "l.reason", "l.amount"
    joined = "all_ledger l LEFT JOIN taken t USING (family, part, entity, import_id)"
    (excluded,) = con.execute(
        "SELECT count(*) FROM taken WHERE NOT is_complete OR rate IS NULL OR rate <> 1.0"
    ).fetchone()
    has_lines = any(p.about["part"] == "lines" for p in mine)
    if many or excluded or has_lines:
        # rows without an entity (unreadable lines) belong to their file alone
        reason = (
            "CASE WHEN l.entity IS NULL THEN l.reason WHEN t.entity IS NULL THEN 'overlap' "
            "WHEN NOT t.is_complete AND l.reason <> 'empty' THEN 'incomplete' WHEN l.part = 'lines' AND l.reason = 'kept' AND NOT EXISTS "
            "(SELECT 1 FROM taken o WHERE o.part = 'orders' AND o.family = l.family AND o.entity = l.entity) THEN 'incomplete' WHEN t.rate IS NULL THEN 'no_exchange_rate' ELSE l.reason END"
        )
        amount = (
            "CASE WHEN l.entity IS NULL OR own_rate = 1.0 THEN l.amount WHEN own_rate IS NULL THEN 0 "
            "ELSE CAST(l.amount * own_rate AS DECIMAL(18,6)) END"
        )
        # a version that was not taken is in the currency of the one that was
        joined += " LEFT JOIN (SELECT family, part, entity, rate AS own_rate FROM taken) r USING (family, part, entity)"
    else:
        joined = "all_ledger l"
    if has_lines:
        # what comes in a file of its own has no date and no buyer, and is counted as an order where the order is
        joined += """ LEFT JOIN (SELECT family, entity, min(ordered_on) AS own_day, bool_and(customer_id IS NULL) AS own_guest
                      FROM all_orders SEMI JOIN taken USING (family, entity, import_id) GROUP BY ALL) w USING (family, entity)"""
    else:
        joined += " CROSS JOIN (SELECT NULL AS own_day, NULL AS own_guest)"
    query = f"""SELECT l.import_id, {reason} AS reason, coalesce(l.day_on, own_day) AS day_on, coalesce(l.is_guest, own_guest, true) AS is_guest, l.n_rows,
                       CASE WHEN l.part = 'orders' THEN l.entity END AS entity, l.amount AS delivered, {amount} AS amount FROM {joined}"""
    query = f"""SELECT import_id, reason, day_on, is_guest, sum(n_rows) AS n_rows,
                       count(DISTINCT entity) AS n_orders, sum(amount) AS amount FROM ({query}) GROUP BY ALL"""
    query = _retied(con, query) if is_split else query
    full = f"SELECT *, CASE import_id {sha} END AS source_sha256 FROM ({query})"
    if con.execute("SELECT count(*) FROM all_ledger").fetchone() == (0,):
        return
    out.rows["import_ledger"] = write_table(
        con, "import_ledger", full, stage / "import_ledger.parquet"
    )


def _retied(con: object, query: str) -> str:
    """`kept` as what the lines now in the store come to; the difference to the order's
    own money by name.
    """
    con.execute("""CREATE OR REPLACE TEMP TABLE line_sums AS
        SELECT o.import_id, o.ordered_on AS day_on, o.customer_id IS NULL AS is_guest,
               CASE WHEN abs(d.goods - l.revenue) <= 0.01 * l.n_lines THEN 'rounding' ELSE 'unexplained' END AS reason,
               d.goods - l.revenue AS difference
        FROM final_orders o
        JOIN (SELECT order_id, sum(quantity * price - coalesce(discount, 0)) AS revenue, count(*) AS n_lines
              FROM final_lines GROUP BY order_id) l USING (order_id)
        JOIN (SELECT l.family, l.entity, l.import_id, sum(CAST(l.amount * t.rate AS DECIMAL(18,6))) AS goods
              FROM all_ledger l JOIN taken t USING (family, part, entity, import_id)
              WHERE l.reason = 'kept' AND part = 'orders' GROUP BY ALL) d USING (family, entity, import_id)
        WHERE d.goods <> l.revenue""")
    return f"""SELECT import_id, reason, day_on, is_guest, sum(n_rows) AS n_rows, max(n_orders) AS n_orders,
                      sum(amount) AS amount FROM (
        SELECT * FROM ({query})
        UNION ALL BY NAME SELECT import_id, reason, day_on, is_guest, 0 AS n_rows, 0 AS n_orders, difference AS amount FROM line_sums
        UNION ALL BY NAME SELECT import_id, 'kept' AS reason, day_on, is_guest, 0 AS n_rows, 0 AS n_orders, -difference AS amount FROM line_sums) GROUP BY ALL"""


def _observed(con: object, mine: list[Part], out: Rebuilt) -> None:
    """First and last day the order log covers.

    Payments, shipments and cancellations after the last order show that the extract was
    taken later than that order; the log then counts as seen up to that day, but not
    beyond the month of the last order, and not over a longer silence than the shop has
    shown before.
    """
    # a refund that is a row of an order export shows that the export reaches its day
    rows = ", ".join(quoted(p.import_id) for p in mine if "orders" in p.tables) or "''"
    low, high, gap = con.execute(f"""
        WITH d AS (SELECT DISTINCT ordered_on AS d FROM final_orders
                   UNION SELECT refunded_on FROM all_refunds, (SELECT min(ordered_on) AS first_on FROM final_orders)
                   WHERE import_id IN ({rows}) AND refunded_on > first_on), g AS (SELECT d, d - lag(d) OVER (ORDER BY d) AS gap FROM d)
        SELECT CAST(min(d) AS VARCHAR), CAST(max(d) AS VARCHAR), coalesce(max(gap), 1) FROM g""").fetchone()
    if low is None:
        return
    out.notes += said_far_off(
        con, "SELECT ordered_on AS day, count(*) AS n FROM final_orders GROUP BY 1"
    )
    ends = max((p.extract_end[:10] for p in mine if "orders" in p.tables), default="")
    (seen,) = con.execute(
        f"SELECT CAST(greatest(DATE '{high}', least(coalesce(TRY_CAST({quoted(ends)} AS DATE), DATE '{high}'), "
        f"last_day(DATE '{high}'), DATE '{high}' + {int(gap)})) AS VARCHAR)"
    ).fetchone()
    for table in ("orders", "order_lines"):
        out.observed_from[table], out.observed_to[table] = low, seen
    for table in ("refunds", "customers"):
        if table in out.rows:
            out.observed_from[table], out.observed_to[table] = low, seen
