"""Does the store keep the contract? Types, keys and limits per table, then the
accounting identities between tables.

Columns are checked with pandera on the engine (a missing column, a null where none may
be, a limit broken); rows that break a rule are then counted, because a person needs to
know how many.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
from ibis import Value, _
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.messages import language, say
from playbook.store.cache import write_whole
from playbook.store.contract import MONEY, TABLES, Column, Table, ibis_type
from playbook.store.shop import Store, distinct_rows
from playbook.tables import frame_of

__all__ = ["STOPPING", "column_rules", "contract_problems", "identity_problems", "require_contract"]

CENT = "0.01"
OVER_DELIVERY = 1.1  # more of an order than this share of it cannot have been received
SALES = ("orders", "order_lines")
STOPPING = (*SALES, "refunds")  # tables whose broken rows stop a run
# what an order's total holds beside goods
ADDED = ("shipping", "tax", "tip", "duties", "gift_card", "other_charges")
MOST_APART = 38 * 3600  # seconds between a moment in UTC and the start of the shop's own day
MOMENTS = ("ordered_at", "paid_at", "shipped_at", "delivered_at")


def require_contract(shop: Store) -> None:
    """Raise PlaybookError for the first problem that stops a run; remembered per input,
    so it costs once. Leaves all problems in `shop.problems`.
    """
    memo = shop.cache / f"contract-{language()}.json" if shop.content else None
    if memo is not None and memo.exists():
        problems = frame_of("store.problems", json.loads(memo.read_text(encoding="utf-8")))
    else:
        problems = contract_problems(shop)
        if not problems.stops.any():
            problems = pd.concat([problems, identity_problems(shop)], ignore_index=True)
        if memo is not None:
            with contextlib.suppress(OSError):  # without room it is checked again
                write_whole(memo, problems.to_json(orient="records"))
    shop.problems = problems
    stopping = problems[problems.stops.astype(bool)]
    if len(stopping):
        raise _refusal(shop, stopping)


def _refusal(shop: Store, stopping: DataFrame) -> PlaybookError:
    first = stopping.iloc[0]
    others = [
        f"{p.table}{'.' * bool(p.column)}{p.column}: {p.rule}"
        for p in stopping.iloc[1:4].itertuples()
    ]
    examples = say("store.for_example", examples=first.examples) if first.examples else ""
    more = (
        say(
            "store.more_broken",
            n=len(stopping) - 1,
            which=", ".join(others),
        )
        if others
        else ""
    )
    return PlaybookError(
        "store.contract_broken",
        broken=first.rule,
        examples=examples,
        more=more,
        advice=first.do,
        file=next(iter(sorted(Path(shop.where).glob(f"{first.table}.*"))), shop.where),
        table=first.table,
        column=first.column or None,
        rows=None if pd.isna(first.rows) else int(first.rows),
    )


def contract_problems(shop: Store) -> DataFrame:
    """One row per broken column rule, in the columns of the schema `store.problems`."""
    problems: list[dict[str, Any]] = []
    for name in (n for n in TABLES if n in shop.uncut):
        problems += _table_problems(shop, TABLES[name])
    for name, other in (SALES, SALES[::-1]):
        if name not in shop.uncut and other in shop.uncut:
            problems.append(
                _problem(
                    name,
                    "",
                    "table_required",
                    do="add_table",
                )
            )
    if any(problem["stops"] for problem in problems):
        # else the identities see these two keys on their way
        for name in (n for n in SALES if n in shop.uncut and _is_complete(shop, n)):
            problems += _key_problems(shop, name)
    return frame_of("store.problems", problems)


def _is_complete(shop: Store, name: str) -> bool:
    """Every required column came, and rows."""
    has_all = all(c in shop.present[name] for c in TABLES[name].required)
    return has_all and bool(shop.con.execute(shop.uncut[name].count()))


def _table_problems(shop: Store, spec: Table) -> list[dict[str, Any]]:
    missing = [c for c in spec.required if c not in shop.present[spec.name]]
    if missing:
        came = ", ".join(sorted(shop.present[spec.name])[:12])
        examples = say("store.columns_found", columns=came)
        return [
            _problem(
                spec.name,
                column,
                "column_required",
                examples=examples,
                do="add_column",
            )
            for column in missing
        ]
    if spec.name in SALES:
        if not _is_complete(shop, spec.name):
            return [
                _problem(
                    spec.name,
                    "",
                    "no_rows_in_table",
                    0,
                    do="import_an_order",
                )
            ]
        return _column_problems(shop, spec)
    return _column_problems(shop, spec) + _key_problems(shop, spec.name)


def _problem(
    table: str, column: str, rule: str, rows: int | None = None, **more: Any
) -> dict[str, Any]:
    """A row of `store.problems`; `rule` and `do` name messages, `more` may hold their
    values, examples and whether it stops a run.
    """
    values = {"column": column, "table": table, **more}
    return {
        "table": table,
        "column": column,
        "rule": say(f"store.rule_{rule}", **values),
        "rows": rows,
        "examples": more.get("examples", ""),
        "stops": more.get("stops", True),
        "do": say(f"store.mend_{more['do']}", **values),
        "is_key": rule == "unique",
    }


def _column_problems(shop: Store, spec: Table) -> list[dict[str, Any]]:
    present = [c for c in spec.columns if c.name in shop.present[spec.name]]
    unconverted = _unconverted(shop, spec, present)
    broken = _broken_columns(shop, spec, present)
    problems = []
    for column in present:
        if unconverted.get(column.name):
            problems.append(
                _problem(
                    spec.name,
                    column.name,
                    "type",
                    unconverted[column.name],
                    kind=say(f"store.kind_{column.type}"),
                    examples=_unconverted_examples(shop, spec, column),
                    do="values",
                )
            )
        elif column.name in broken:
            problems += _rule_problems(shop, spec, column)
    return problems


def _broken_columns(shop: Store, spec: Table, present: list[Column]) -> set[str]:
    """The columns that break a rule of the contract, as pandera finds them."""
    with warnings.catch_warnings():
        # pandera imports pyspark where it is installed, which warns about pandas 3
        warnings.simplefilter("ignore", FutureWarning)
        import pandera.ibis as pa
    from pandera.errors import SchemaErrors

    columns = {
        c.name: pa.Column(nullable=not c.required, checks=_pandera_checks(pa, c)) for c in present
    }
    try:
        pa.DataFrameSchema(columns).validate(shop.uncut[spec.name], lazy=True)
    except SchemaErrors as errors:
        return {str(getattr(e.schema, "name", None) or "") for e in errors.schema_errors}
    return set()


def _rule_problems(shop: Store, spec: Table, column: Column) -> Iterator[dict[str, Any]]:
    table = shop.uncut[spec.name]
    keys = [c for c in spec.key if c in shop.present[spec.name]]
    for rule, bound, is_broken in column_rules(column, table[column.name]):
        rows = int(shop.con.execute(is_broken.fill_null(False).sum()) or 0)
        if rows:
            yield _problem(
                spec.name,
                column.name,
                rule,
                rows,
                bound=bound,
                examples=_examples(shop, table, keys, is_broken),
                stops=spec.name in STOPPING or column.required,
                do="rows",
            )


def _unconverted(shop: Store, spec: Table, present: list[Column]) -> dict[str, int]:
    """Column -> values that were there as delivered and are missing once typed."""
    raw, typed = shop.delivered[spec.name], shop.uncut[spec.name]
    changed = [c.name for c in present if str(raw[c.name].type()).lstrip("!") != ibis_type(c)]
    if not changed:
        return {}
    before, after = (
        shop.con.execute(table.aggregate(**{c: table[c].count() for c in changed})).iloc[0]
        for table in (raw, typed)
    )
    return {c: int(before[c] - after[c]) for c in changed if before[c] > after[c]}


def _unconverted_examples(shop: Store, spec: Table, column: Column) -> str:
    values = shop.delivered[spec.name][column.name]
    is_lost = values.notnull() & values.try_cast(ibis_type(column)).isnull()
    lost = distinct_rows(values.as_table().filter(is_lost), column.name)
    shown = lost.order_by(column.name).limit(3)
    return ", ".join(map(str, shop.con.execute(shown).iloc[:, 0]))


def _examples(shop: Store, table: ibis.Table, key: list[str], is_broken: Value) -> str:
    shown = shop.con.execute(table.filter(is_broken).select(key).order_by(key).limit(3))
    return "; ".join(" ".join(map(str, row)) for row in shown.itertuples(index=False))


def _pandera_checks(pa: Any, column: Column) -> list[Any]:
    checks = [pa.Check.isin(list(column.allowed))] if column.allowed else []
    bounds = ((pa.Check.ge, column.least), (pa.Check.gt, column.above), (pa.Check.le, column.most))
    return checks + [check(bound) for check, bound in bounds if bound is not None]


def column_rules(column: Column, values: ibis.Column) -> list[tuple[str, object, Value]]:
    """The rules of a column: name, what it is held against, the rows that break it."""
    rules: list[tuple[str, object, Value]] = []
    if column.required:
        rules.append(("present", "", values.isnull()))
    if column.allowed:
        rules.append(("allowed", ", ".join(column.allowed), values.notin(list(column.allowed))))
    if column.least is not None:
        rules.append(("least", column.least, values < column.least))
    if column.above is not None:
        rules.append(("above", column.above, values <= column.above))
    if column.most is not None:
        rules.append(("most", column.most, values > column.most))
    return rules


def _key_problems(shop: Store, name: str) -> list[dict[str, Any]]:
    spec, table = TABLES[name], shop.uncut[name]
    key = [c for c in spec.key if c in shop.present[name] or c == "location"]
    again = table.group_by(key).aggregate(n=table.count()).filter(_.n > 1)
    counted = again.aggregate(groups=again.count(), rows=again.n.sum())
    groups, rows = shop.con.execute(counted).iloc[0]
    if not groups:
        return []
    examples = _examples(
        shop,
        again,
        key,
        again.n > 1,
    )
    key_name = ", ".join(key)
    return [
        _problem(
            name,
            key_name,
            "unique",
            int(rows - groups),
            examples=examples,
            do="key",
        )
    ]


@dataclass(frozen=True)
class _Identity:
    """A rule between columns of one table; its broken rows are counted and left in."""

    table: str
    column: str
    rule: str
    is_broken: Value
    before: str = ""


def identity_problems(shop: Store) -> DataFrame:
    """One row per broken accounting identity of the contract, with the rows and the
    five largest differences, in the columns of the schema `store.problems`.
    """
    problems: list[dict[str, Any]] = []
    if all(name in shop.uncut for name in SALES):
        problems += _order_identities(shop)
    every = (*_moment_identities(shop), *_order_facts(shop), *_table_identities(shop))
    for identity in every:
        rows = int(shop.con.execute(identity.is_broken.fill_null(False).sum()) or 0)
        if rows:
            stated = {"before": identity.before, "stops": False, "do": "source"}
            problems.append(
                _problem(
                    identity.table,
                    identity.column,
                    identity.rule,
                    rows,
                    **stated,
                )
            )
    return frame_of("store.problems", problems)


def _moment_identities(shop: Store) -> Iterator[_Identity]:
    """The moments of an order follow each other."""
    if "orders" not in shop.uncut:
        return
    orders = shop.uncut["orders"]
    there = [c for c in MOMENTS if c in shop.present["orders"]]
    for before, after in itertools.pairwise(there):
        is_late = orders[before] > orders[after]
        yield _Identity(
            "orders",
            after,
            "moments",
            is_late,
            before,
        )
    # the shop's own day is the day before, of or after the moment in UTC
    apart = orders.ordered_on.cast("timestamp").epoch_seconds() - orders.ordered_at.epoch_seconds()
    yield _Identity(
        "orders",
        "ordered_on",
        "day_of_moment",
        apart.abs() > MOST_APART,
        "ordered_at",
    )
    is_both = orders.cancelled_at.notnull() & orders.delivered_at.notnull()
    yield _Identity(
        "orders",
        "cancelled_at",
        "cancelled",
        is_both,
    )


def _order_facts(shop: Store) -> Iterator[_Identity]:
    """What the orders themselves say of their day and their currency."""
    if "orders" not in shop.uncut:
        return
    orders = shop.uncut["orders"]
    if shop.observed_from is not None:
        ends = ibis.literal(shop.observed_from), ibis.literal(shop.observed_to)
        yield _Identity(
            "orders",
            "ordered_on",
            "far_day",
            ~orders.ordered_on.between(*ends),
        )
    # an import has changed the money, or set it aside
    if "currency" in shop.present["orders"] and "import_ledger" not in shop.uncut:
        counted = orders.filter(_.currency.notnull()).group_by("currency").aggregate(n=_.count())
        used = shop.con.execute(counted.order_by([ibis.desc("n"), "currency"])).currency
        own = shop.settings.get("currency") or next(iter(used), "")
        yield _Identity(
            "orders",
            "currency",
            "one_currency",
            orders.currency != own,
            str(own),
        )


def _refund_identities(refunds: ibis.Table, orders: ibis.Table) -> Iterator[_Identity]:
    """Refunds that reach no revenue: of an order nobody knows, or of no day at all."""
    known = orders.select("order_id", is_there=ibis.literal(True))
    linked = refunds.left_join(known, "order_id")
    is_lost = linked.order_id.notnull() & linked.is_there.isnull()
    yield _Identity("refunds", "order_id", "known_order", is_lost)
    has_no_day = linked.refunded_on.isnull() & linked.order_id.isnull()
    yield _Identity(
        "refunds",
        "refunded_on",
        "known_day",
        has_no_day,
    )


def _table_identities(shop: Store) -> Iterator[_Identity]:
    tables = shop.uncut
    if "purchase_orders" in tables:
        bought = tables["purchase_orders"]
        is_early = bought.received_on < bought.ordered_on
        yield _Identity(
            "purchase_orders",
            "received_on",
            "arrival",
            is_early,
        )
        is_over = bought.n_received > bought.n_ordered * OVER_DELIVERY
        yield _Identity(
            "purchase_orders",
            "n_received",
            "over_delivery",
            is_over,
        )
    if "traffic" in tables:
        visits = tables["traffic"]
        is_odd = (visits.checkouts > visits.sessions) | (visits.buyers > visits.checkouts)
        yield _Identity(
            "traffic",
            "checkouts",
            "funnel",
            is_odd,
        )
    if "refunds" in tables and "orders" in tables:
        yield from _refund_identities(tables["refunds"], tables["orders"])
    if "stock" in tables:
        yield _Identity(
            "stock",
            "on_hand",
            "stock",
            tables["stock"].on_hand < 0,
        )
    if "memberships" in tables:
        moves = tables["memberships"]
        running = ibis.window(
            group_by="customer_id",
            order_by=["changed_at", "change_no"],
            preceding=None,
            following=0,
        )
        balance = moves.mutate(balance=moves.points_delta.sum().over(running)).balance
        yield _Identity(
            "memberships",
            "points_delta",
            "points",
            balance < 0,
        )


def _order_identities(shop: Store) -> list[dict[str, Any]]:
    """Orders and their lines add up; the keys of both are proved on the way."""
    sums = shop.order_money.select(
        "order_id", "n_lines", "is_numbered", line_gross=_.gross, line_discount=_.discount
    )
    money = ("order_id", "gross", "discount", *ADDED, "total")
    both = shop.uncut["orders"].select(*money).outer_join(sums, "order_id")
    off = _differences(both)
    tolerance = both.n_lines.cast(MONEY) * ibis.literal(CENT).cast(MONEY)
    rules = {
        ("order_lines", "order_id", "line_has_order"): both.order_id.isnull(),
        ("orders", "order_id", "order_has_line"): both.order_id_right.isnull(),
        **{("orders", column, f"{column}_ties"): off[column] > tolerance for column in off},
    }
    counts = {f"r{place}": bad.fill_null(False).sum() for place, bad in enumerate(rules.values())}
    counted = shop.con.execute(
        both.aggregate(
            **counts,
            rows=both.count(),
            numbered=both.is_numbered.sum(),
        )
    ).iloc[0]
    if keys := _keys_not_proved(
        shop,
        counted,
        int(shop.con.execute(sums.count())),
    ):
        return keys
    problems = []
    for place, ((table, column, rule), is_broken) in enumerate(rules.items()):
        if rows := int(counted.iloc[place] or 0):
            shown = _largest(shop, both.filter(is_broken), off.get(column))
            # no sale is read from a total: what it holds beside its parts is itemised
            stops = rule != "total_ties"
            stated = {"examples": shown, "stops": stops, "do": "orders"}
            problems.append(
                _problem(
                    table,
                    column,
                    rule,
                    rows,
                    **stated,
                )
            )
    return problems


def _differences(both: ibis.Table) -> dict[str, Value]:
    """By how much an order's money differs from its lines', and its total from its parts."""
    zero = ibis.literal(0).cast(MONEY)
    discount = both.discount.fill_null(both.line_discount)
    parts = both.gross - both.discount.fill_null(zero)
    for column in ADDED:
        parts = parts + both[column].fill_null(zero)
    return {
        "gross": (both.line_gross - both.gross).abs(),
        "discount": (both.line_discount - discount).abs(),
        "total": (parts - both.total).abs(),
    }


def _keys_not_proved(shop: Store, counted: pd.Series, n_sums: int) -> list[dict[str, Any]]:
    """Where orders and lines met once each no order comes twice, and where every order's
    lines are numbered no line does; any other key is counted.
    """
    problems: list[dict[str, Any]] = []
    is_one_to_one = counted.iloc[:2].fillna(0).sum() == 0 and counted["rows"] == n_sums
    if not is_one_to_one:
        problems += _key_problems(shop, "orders")
    if counted["numbered"] != counted["rows"]:
        problems += _key_problems(shop, "order_lines")
    return problems


def _largest(shop: Store, broken: ibis.Table, off: Value | None) -> str:
    """The five orders that are furthest off, with the difference where there is one."""
    difference = ibis.literal(0) if off is None else off
    key = broken.order_id.fill_null(broken.order_id_right)
    worst = broken.mutate(key=key, off=difference.cast("float64"))
    shown = shop.con.execute(
        worst.order_by([ibis.desc("off"), "key"]).limit(5).select("key", "off")
    )
    pairs = shown.itertuples(index=False)
    return ", ".join(str(key) if off is None else f"{key} ({by:.2f})" for key, by in pairs)
