"""Tables that no platform exports: sheets and CSV files whose headers are the
contract's own columns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.adapter import Adapter, Delivery, value_kind
from playbook.sources.clean import whole_id
from playbook.sources.sum_rows import take_off_all_places
from playbook.store.contract import TABLES, Column, Table
from playbook.store.write import quoted

FILL_IN = (
    "cost_rates",
    "targets",
    "team",
    "promotions",
    "competitors",
    "channels",
    "control_totals",
    "business_models",
    "tiers",
    "purchase_orders",
    "supplier_offers",
    "prices",
    "geo_tests",
)
OTHERS = (
    "customers",
    "products",
    "stock",
    "parcels",
    "payment_attempts",
    "page_loads",
    "ideas",
    "ad_spend",
    "ad_terms",
    "traffic",
    "treatments",
    "events",
    "invitations",
    "partner_orders",
    "benefits",
    "benefit_uses",
    "content_items",
    "content_orders",
    "touchpoints",
    "reviews",
    "tickets",
    "experiments",
    "memberships",
    "market_series",
    "price_answers",
    "choice_tasks",
    "rival_offers",
)
WORDS = {
    "channel",
    "kind",
    "metric",
    "role",
    "kpi",
    "raci",
    "scope",
    "unit",
    "name",
    "source",
    "medium",
    "device",
    "region",
    "country",
    "tier",
    "arm",
    "model",
    "frequency",
    "currency",
    "owner_role",
    "pattern",
    "location",
    "brand",
    "category",
    "reason",
}


SINGLE_KEYS = {"location": "main", "region": "all", "scope": "all", "channel": "all"}
SINGLE_KEYS |= {"device": "all", "campaign": "all"}
HASH = "^[0-9a-f]{32}$"
#: columns that hold a person
PEOPLE = ("customer_id", "inviter_id")


def kind_of(column: Column, *, is_mapped: bool = False) -> str:
    """The adapter's kind of value for a contract column. In a mapped file a person's id
    or e-mail is only ever hashed; a table in the contract's own words may hold hashes.
    """
    if is_mapped and column.name in PEOPLE:
        return "contact"
    return value_kind(column, WORDS)


def shape_of(name: str) -> Callable[[Delivery], None]:
    """The shape rule of a contract table: its own columns, typed, keys unique, values
    among those allowed.
    """
    return functools.partial(_shape, table=TABLES[name])


def _shape(d: Delivery, table: Table) -> None:
    delivered = [c for c in table.columns if d.has(c.name)]
    picks = [f"{_value(d, c)} AS {c.name}" for c in delivered]
    for key in table.key:
        if not d.has(key) and key in SINGLE_KEYS:
            picks.append(f"'{SINGLE_KEYS[key]}' AS {key}")
    d.require(*(c.name for c in delivered if c.required), when="true")
    if table.name == "stock":
        take_off_all_places(d)
    for column in delivered:
        _refuse_others(d, table.name, column)
    query = f"SELECT {', '.join(picks)} FROM raw"
    d.refuse_unreadable(table.name, budget=0.0)
    _refuse_twice(d, table, query)
    d.emit(table.name, query)
    d.is_checked = True


def _value(d: Delivery, column: Column) -> str:
    kind = d.wanted[column.name].type
    if column.name in PEOPLE and kind == "id":
        return _hashed(d, column.name)
    if kind in ("id", "word", "contact"):
        return getattr(d, kind)(column.name)
    made = {
        "text": d.text,
        "int": d.count,
        "dec": d.money,
        "num": d.number,
        "ts": d.utc,
        "date": d.day,
        "month": d.month,
        "bool": d.flag,
    }
    return made[column.type](column.name)


def _hashed(d: Delivery, name: str) -> str:
    """Hashes as the contract wants them stay; anything else is a person's own id or
    e-mail and is hashed like everywhere else, so that it joins the orders.
    """
    value = d.id(name)
    is_hash = f"regexp_full_match({value}, '{HASH}')"
    n, open_ones = d.con.execute(
        f"SELECT count({value}), count(*) FILTER (NOT {is_hash}) FROM raw"
    ).fetchone()
    if not open_ones:
        if n:
            d.notes.append(say("sources.already_hashed", column=d.header(name), n=n))
        return value
    d.notes.append(say("sources.hashed_here", column=d.header(name), n=open_ones))
    return f"CASE WHEN {is_hash} THEN {value} ELSE {d.key(whole_id(value))} END"


def _refuse_others(d: Delivery, table: str, column: Column) -> None:
    if not column.allowed:
        return
    allowed = ", ".join(quoted(a) for a in column.allowed)
    (n,) = d.con.execute(
        f"SELECT count(*) FROM raw WHERE {column.name} IS NOT NULL "
        f"AND {column.name} NOT IN ({allowed})"
    ).fetchone()
    if n:
        raise PlaybookError(
            "sources.values_not_allowed",
            file=d.sheet.path.name,
            table=table,
            column=column.name,
            rows=n,
            allowed=", ".join(column.allowed),
        )


def _refuse_twice(d: Delivery, table: Table, query: str) -> None:
    keys = ", ".join(k for k in table.key if d.has(k))
    if not keys:
        return
    (twice,) = d.con.execute(
        f"SELECT count(*) FROM (SELECT {keys} FROM ({query}) GROUP BY ALL HAVING count(*) > 1)"
    ).fetchone()
    if twice:
        raise PlaybookError(
            "sources.rows_stand_twice",
            file=d.sheet.path.name,
            table=table.name,
            column=keys,
            rows=twice,
        )


def _adapter(name: str) -> Adapter:
    table = TABLES[name]
    lines = []
    for c in table.columns:
        mark = "!" if c.required else ""
        lines.append(f"{c.name}{mark} {kind_of(c)} | {c.name}")
    return Adapter(
        kind=f"table-{name.replace('_', '-')}",
        title=f"table {name}",
        gives=(name,),
        columns="\n".join(lines),
        shape=shape_of(name),
        has_footers=name in ("ad_spend", "ad_terms", "traffic"),
    )


ADAPTERS = tuple(_adapter(name) for name in (*FILL_IN, *OTHERS))
