"""Tables that no platform exports: sheets and CSV files whose headers are the
contract's own columns.
"""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery, value_kind
from playbook.store.contract import TABLES

__all__ = ["ADAPTERS", "FILL_IN"]

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
    "prices",
    "geo_tests",
)
OTHERS = (
    "customers",
    "products",
    "stock",
    "ad_spend",
    "traffic",
    "treatments",
    "events",
    "touchpoints",
    "reviews",
    "tickets",
    "experiments",
    "memberships",
    "market_series",
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


def shape_of(name: str) -> object:
    """The shape rule of a contract table: its own columns, typed, keys unique, values
    among those allowed.
    """

    def shape(d: Delivery) -> None:
        table = TABLES[name]
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
        picks = []
        for c in table.columns:
            if not d.has(c.name):
                continue
            kind = d.wanted[c.name].type
            value = (
                d.id(c.name)
                if kind == "id"
                else d.word(c.name)
                if kind == "word"
                else made[c.type](c.name)
            )
            picks.append(f"{value} AS {c.name}")
        for key in table.key:
            if not d.has(key) and key in (
                "location",
                "region",
                "scope",
                "channel",
                "device",
                "campaign",
            ):
                picks.append(f"'{'main' if key == 'location' else 'all'}' AS {key}")
        needed = [c.name for c in table.columns if c.required and d.has(c.name)]
        d.require(*needed, when="true")
        for c in table.columns:
            if c.allowed and d.has(c.name):
                allowed = ", ".join(f"'{a}'" for a in c.allowed)
                (n,) = d.con.execute(
                    f"SELECT count(*) FROM raw WHERE {c.name} IS NOT NULL AND {c.name} NOT IN ({allowed})"
                ).fetchone()
                if n:
                    raise PlaybookError(
                        "values that are not allowed",
                        file=d.sheet.path.name,
                        table=name,
                        column=c.name,
                        rows=n,
                        rule=f"one of {', '.join(c.allowed)}",
                        do="write one of these",
                    )
        query = f"SELECT {', '.join(picks)} FROM raw"
        d.refuse_unreadable(name, budget=0.0)
        keys = ", ".join(k for k in table.key if d.has(k))
        if keys:
            (twice,) = d.con.execute(
                f"SELECT count(*) FROM (SELECT {keys} FROM ({query}) GROUP BY ALL HAVING count(*) > 1)"
            ).fetchone()
            if twice:
                raise PlaybookError(
                    "rows stand twice",
                    file=d.sheet.path.name,
                    table=name,
                    column=keys,
                    rows=twice,
                    rule="one row per key",
                    do="keep one of them",
                )
        d.emit(name, query)
        d.is_checked = True

    return shape


def _adapter(name: str) -> Adapter:
    table = TABLES[name]
    lines = []
    for c in table.columns:
        kind = value_kind(c, WORDS)
        mark = "!" if c.required else ""
        lines.append(f"{c.name}{mark} {kind} | {c.name}")
    return Adapter(
        kind=f"table-{name.replace('_', '-')}",
        title=f"table {name}",
        gives=(name,),
        columns="\n".join(lines),
        shape=shape_of(name),
    )


ADAPTERS = tuple(_adapter(name) for name in (*FILL_IN, *OTHERS))
