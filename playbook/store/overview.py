"""What a shop holds, at a glance: rows, grain, period and what is missing, table by table."""

from __future__ import annotations

import html

import ibis
import pandas as pd
from pandas import DataFrame

from playbook.messages import say
from playbook.store.contract import TABLES
from playbook.store.shop import Store
from playbook.tables import frame_of, returns


@returns("store.overview")
def overview(shop: Store) -> DataFrame:
    """Every contract table of a shop as of its day."""
    rows = [_told(shop, name) for name in TABLES if name in shop.uncut]
    return frame_of("store.overview", rows)


def _told(shop: Store, name: str) -> dict[str, object]:
    spec, table = TABLES[name], shop.table(name)
    counts = {f"n_{c.name}": table[c.name].count() for c in spec.columns}
    ends = {"low": table[spec.cut].min(), "high": table[spec.cut].max()} if spec.cut else {}
    found = shop.con.execute(table.aggregate(rows=ibis._.count(), **counts, **ends)).iloc[0]
    without = [c.name for c in spec.columns if not found[f"n_{c.name}"]]
    return {
        "table": name,
        "grain": spec.grain,
        "rows": int(found["rows"]),
        "first_day": _day(found.get("low")),
        "last_day": _day(found.get("high")),
        "without_values": ", ".join(without),
    }


def _day(value: object) -> object:
    if value is None or pd.isna(value):
        return None
    return str(value)[:10]


def shop_page(shop: Store) -> str:
    """How a shop shows itself in a notebook: a heading, `overview`, the tables not there."""
    title = say(
        "store.overview_title",
        shop=shop.name,
        as_of=shop.as_of,
        currency=shop.currency,
    )
    missing = say("store.overview_missing", tables=", ".join(shop.missing) or "-")
    table = overview(shop).to_html(index=False, border=0, na_rep="")
    return f"<p><b>{html.escape(title)}</b></p>{table}<p>{html.escape(missing)}</p>"
