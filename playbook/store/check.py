"""Does the store keep the contract? Types, keys and limits per table, then the
accounting identities between tables.

Columns are checked with pandera on the engine (a missing column, a null where none may
be, a limit broken); rows that break a rule are then counted, because a person needs to
know how many.
"""

from __future__ import annotations

import itertools
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.store.contract import TABLES, Column, Table, ibis_type

if TYPE_CHECKING:
    from playbook.store.open import Store

__all__ = ["contract_problems", "identity_problems", "require_contract"]

PROBLEM = ["table", "column", "rule", "rows", "examples", "stops", "do"]
CENT = "0.01"
UNIQUE = "the key is not unique"
STOPPING = ("orders", "order_lines", "refunds")  # tables whose broken rows stop a run


def require_contract(shop: Store) -> None:
    """Raise PlaybookError for the first problem that stops a run; remembered per input,
    so it costs once.
    """
    memo = shop.cache / "contract.json" if shop.content else None
    if memo is not None and memo.exists():
        problems = pd.DataFrame(json.loads(memo.read_text()), columns=PROBLEM)
    else:
        problems = contract_problems(shop)
        if not problems.stops.any():
            problems = pd.concat([problems, identity_problems(shop)], ignore_index=True)
        if memo is not None:
            part = memo.with_name(f".contract.{os.getpid()}")
            part.write_text(problems.to_json(orient="records"))
            os.replace(part, memo)
    shop.problems = problems
    stopping = problems[problems.stops.astype(bool)]
    if len(stopping):
        first = stopping.iloc[0]
        others = [
            f"{p.table}{'.' * bool(p.column)}{p.column}: {p.rule}"
            for p in stopping.iloc[1:4].itertuples()
        ]
        more = f"; {len(stopping) - 1} more broken: {', '.join(others)}" if others else ""
        raise PlaybookError(
            f"{first.table} breaks the contract: {first.rule}"
            + (f", for example {first.examples}" if first.examples else "")
            + more,
            file=next(iter(sorted(Path(shop.where).glob(f"{first.table}.*"))), shop.where),
            table=first.table,
            column=first.column or None,
            rows=None if pd.isna(first.rows) else int(first.rows),
            do=first.do,
        )


def contract_problems(shop: Store) -> pd.DataFrame:
    """One row per broken column rule: table, column, rule, rows, examples, stops, do."""
    found: list[dict] = []
    later: list[str] = []
    for name in (n for n in TABLES if n in shop._sources):
        spec, raw = TABLES[name], shop._present[name]
        for column in [c for c in spec.required if c not in raw]:
            close = ", ".join(sorted(raw)[:12])
            found.append(
                _problem(
                    name,
                    column,
                    "a required column is missing",
                    None,
                    f"columns found: {close}",
                    do=f"add or rename the column {column}",
                )
            )
        if any(c not in raw for c in spec.required):
            continue
        table = shop._sources[name]
        if name in ("orders", "order_lines") and shop.con.execute(table.count()) == 0:
            found.append(
                _problem(name, "", "the table has no rows", 0, do="import at least one order")
            )
            continue
        found += _column_problems(shop, spec, table)
        if name in ("orders", "order_lines"):
            later.append(name)
        else:
            found += _key_problems(shop, name)
    for name in ("orders", "order_lines"):
        other = "order_lines" if name == "orders" else "orders"
        if name not in shop._sources and other in shop._sources:
            found.append(
                _problem(name, "", "the table is required and not there", None, do=f"add {name}")
            )
    if any(
        problem["stops"] for problem in found
    ):  # else the identities see these two keys on their way
        found += [problem for name in later for problem in _key_problems(shop, name)]
    return pd.DataFrame(found, columns=PROBLEM)


def _problem(
    table: str,
    column: str,
    rule: str,
    rows: int | None,
    examples: str = "",
    stops: bool = True,
    do: str = "",
) -> dict:
    return dict(zip(PROBLEM, (table, column, rule, rows, examples, stops, do), strict=True))


def _column_problems(shop: Store, spec: Table, table: ibis.Table) -> list[dict]:
    with (
        warnings.catch_warnings()
    ):  # pandera imports pyspark where it is installed, which warns about pandas 3
        warnings.simplefilter("ignore", FutureWarning)
        import pandera.ibis as pa
    from pandera.errors import SchemaErrors

    present = [c for c in spec.columns if c.name in shop._present[spec.name]]
    limited = {
        c.name: pa.Column(nullable=not c.required, checks=_pandera_checks(pa, c)) for c in present
    }
    broken: set[str] = set()
    try:
        pa.DataFrameSchema(limited).validate(table, lazy=True)
    except SchemaErrors as errors:
        broken = {str(getattr(e.schema, "name", None) or "") for e in errors.schema_errors}
    lost = _unconverted(shop, spec, present)
    found = []
    for column in present:
        values = table[column.name]
        if lost.get(column.name):
            found.append(
                _problem(
                    spec.name,
                    column.name,
                    f"values are not {_kind_words(column)}",
                    lost[column.name],
                    _unconverted_examples(shop, spec, column),
                    do="mend these values in the source",
                )
            )
        elif column.name in broken:
            for rule, bad in _rules(column, values):
                rows = int(shop.con.execute(bad.fill_null(False).sum()) or 0)
                if rows:
                    keys = [c for c in spec.key if c in shop._present[spec.name]]
                    found.append(
                        _problem(
                            spec.name,
                            column.name,
                            rule,
                            rows,
                            _examples(shop, table, keys, bad),
                            stops=spec.name in STOPPING or column.required,
                            do="mend or remove these rows in the source",
                        )
                    )
    return found


def _unconverted(shop: Store, spec: Table, present: list[Column]) -> dict[str, int]:
    """Column -> values that were there as delivered and are missing once typed."""
    raw, typed = shop._delivered[spec.name], shop._sources[spec.name]
    changed = [c.name for c in present if str(raw[c.name].type()).lstrip("!") != ibis_type(c)]
    if not changed:
        return {}
    before = shop.con.execute(raw.aggregate(**{c: raw[c].count() for c in changed})).iloc[0]
    after = shop.con.execute(typed.aggregate(**{c: typed[c].count() for c in changed})).iloc[0]
    return {c: int(before[c] - after[c]) for c in changed if before[c] > after[c]}


def _unconverted_examples(shop: Store, spec: Table, column: Column) -> str:
    values = shop._delivered[spec.name][column.name]
    failing = values.as_table().filter(
        values.notnull() & values.try_cast(ibis_type(column)).isnull()
    )
    return ", ".join(
        map(str, shop.con.execute(failing.distinct().order_by(column.name).limit(3)).iloc[:, 0])
    )


def _examples(shop: Store, table: ibis.Table, key: list[str], bad: Any) -> str:
    shown = shop.con.execute(table.filter(bad).select(key).order_by(key).limit(3))
    return "; ".join(" ".join(map(str, row)) for row in shown.itertuples(index=False))


def _kind_words(column: Column) -> str:
    words = {
        "int": "whole numbers",
        "dec": "amounts of money",
        "num": "numbers",
        "ts": "times",
        "date": "dates",
        "bool": "true or false",
    }
    return words.get(column.type, column.type)


def _pandera_checks(pa: Any, column: Column) -> list:
    checks = [pa.Check.isin(list(column.allowed))] if column.allowed else []
    checks += [pa.Check.ge(column.least)] if column.least is not None else []
    checks += [pa.Check.gt(column.above)] if column.above is not None else []
    checks += [pa.Check.le(column.most)] if column.most is not None else []
    return checks


def _rules(column: Column, values: Any) -> list[tuple[str, Any]]:
    checks = (
        ("it must not be missing", column.required, lambda: values.isnull()),
        (
            f"it must be one of {', '.join(column.allowed)}",
            column.allowed,
            lambda: values.notin(list(column.allowed)),
        ),
        (
            f"it must be at least {column.least}",
            column.least is not None,
            lambda: values < column.least,
        ),
        (
            f"it must be above {column.above}",
            column.above is not None,
            lambda: values <= column.above,
        ),
        (
            f"it must be at most {column.most}",
            column.most is not None,
            lambda: values > column.most,
        ),
    )
    return [(rule, bad()) for rule, applies, bad in checks if applies]


def _key_problems(shop: Store, name: str) -> list[dict]:
    spec, table = TABLES[name], shop._sources[name]
    key = [c for c in spec.key if c in shop._present[name] or c == "location"]
    again = table.group_by(key).aggregate(n=table.count()).filter(_.n > 1)
    groups, rows = shop.con.execute(again.aggregate(groups=again.count(), rows=again.n.sum())).iloc[
        0
    ]
    if not groups:
        return []
    return [
        _problem(
            spec.name,
            ", ".join(key),
            UNIQUE,
            int(rows - groups),
            _examples(shop, again, key, again.n > 1),
            do="remove the second load of these rows, or correct the key",
        )
    ]


def identity_problems(shop: Store) -> pd.DataFrame:
    """One row per broken accounting identity of the contract, with the rows and the
    five largest differences.
    """
    found: list[dict] = []
    if "orders" in shop._sources and "order_lines" in shop._sources:
        found += _order_identities(shop)
    have = shop._present
    if "orders" in have:
        steps = [
            c
            for c in ("ordered_at", "paid_at", "shipped_at", "delivered_at")
            if c in have["orders"]
        ]
        o = shop._sources["orders"]
        for before, after in itertools.pairwise(steps):
            rule = f"{before} must not be later than {after}"
            found += _count(shop, "orders", after, rule, o[before] > o[after], False)
        found += _count(
            shop,
            "orders",
            "cancelled_at",
            "a cancelled order cannot be delivered",
            o.cancelled_at.notnull() & o.delivered_at.notnull(),
            False,
        )
    if "purchase_orders" in have:
        p = shop._sources["purchase_orders"]
        found += _count(
            shop,
            "purchase_orders",
            "received_on",
            "goods cannot arrive before they are ordered",
            p.received_on < p.ordered_on,
            False,
        )
        found += _count(
            shop,
            "purchase_orders",
            "n_received",
            "more than 110 % of the order was received",
            p.n_received > p.n_ordered * 1.1,
            False,
        )
    if "traffic" in have:
        t = shop._sources["traffic"]
        found += _count(
            shop,
            "traffic",
            "checkouts",
            "sessions ≥ checkouts ≥ buyers",
            (t.checkouts > t.sessions) | (t.buyers > t.checkouts),
            False,
        )
    if "stock" in have:
        s = shop._sources["stock"]
        found += _count(shop, "stock", "on_hand", "stock cannot be negative", s.on_hand < 0, False)
    if "memberships" in have:
        m = shop._sources["memberships"]
        run = m.points_delta.sum().over(
            ibis.window(
                group_by="customer_id",
                order_by=["changed_at", "change_no"],
                preceding=None,
                following=0,
            )
        )
        found += _count(
            shop,
            "memberships",
            "points_delta",
            "a points balance cannot be negative",
            m.mutate(balance=run).balance < 0,
            False,
        )
    return pd.DataFrame(found, columns=PROBLEM)


def _count(shop: Store, table: str, column: str, rule: str, bad: Any, stops: bool) -> list[dict]:
    rows = int(shop.con.execute(bad.fill_null(False).sum()) or 0)
    do = (
        "correct the source; the rows are left in and counted here"
        if not stops
        else "correct the source"
    )
    return [_problem(table, column, rule, rows, stops=stops, do=do)] if rows else []


def _order_identities(shop: Store) -> list[dict]:
    orders = shop._sources["orders"]
    zero = ibis.literal(0).cast("decimal(18, 6)")
    sums = shop.order_money.select(
        "order_id", "n_lines", "is_numbered", line_gross=_.gross, line_discount=_.discount
    )
    both = orders.select("order_id", "gross", "discount", "shipping", "tax", "total").outer_join(
        sums, "order_id"
    )
    gross_off = (both.line_gross - both.gross).abs()
    discount_off = (both.line_discount - both.discount.fill_null(both.line_discount)).abs()
    total_off = (
        both.gross
        - both.discount.fill_null(zero)
        + both.shipping.fill_null(zero)
        + both.tax.fill_null(zero)
        - both.total
    ).abs()
    tolerance = both.n_lines.cast("decimal(18, 6)") * ibis.literal(CENT).cast("decimal(18, 6)")
    rules = {
        "order_lines|order_id|a line must belong to an order": both.order_id.isnull(),
        "orders|order_id|an order must have at least one line": both.order_id_right.isnull(),
        "orders|gross|gross must equal the sum of quantity × price": gross_off > tolerance,
        "orders|discount|discount must equal the sum of the lines' discounts": discount_off
        > tolerance,
        "orders|total|total must equal gross − discount + shipping + tax": total_off > tolerance,
    }
    counts = {f"r{i}": bad.fill_null(False).sum() for i, bad in enumerate(rules.values())}
    n_sums = int(shop.con.execute(sums.count()))
    counts = shop.con.execute(
        both.aggregate(**counts, rows=both.count(), numbered=both.is_numbered.sum())
    )
    one_to_one = counts.iloc[0, :2].fillna(0).sum() == 0 and counts.loc[0, "rows"] == n_sums
    keys = (
        [] if one_to_one else _key_problems(shop, "orders")
    )  # both sides met once each: no order comes twice
    keys += (
        []
        if counts.loc[0, "numbered"] == counts.loc[0, "rows"]
        else _key_problems(shop, "order_lines")
    )
    if keys:
        return keys
    off = {"gross": gross_off, "discount": discount_off, "total": total_off}
    found = []
    for i, (rule, bad) in enumerate(rules.items()):
        rows = int(counts.iloc[0, i] or 0)
        if not rows:
            continue
        table, column, text = rule.split("|")
        key = both.order_id.fill_null(both.order_id_right)
        worst = both.filter(bad).mutate(
            key=key, off=off.get(column, ibis.literal(0)).cast("float64")
        )
        worst = shop.con.execute(
            worst.order_by([ibis.desc("off"), "key"]).limit(5).select("key", "off")
        )
        shown = ", ".join(
            f"{k} ({d:.2f})" if column in off else str(k) for k, d in worst.itertuples(index=False)
        )
        found.append(
            _problem(
                table,
                column,
                text,
                rows,
                shown,
                do="correct these orders in the source, or import both "
                "tables from the same extract",
            )
        )
    return found
