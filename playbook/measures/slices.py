"""Any figure by anything known of its customers or skus: the table is cut by a trait and the
figure worked out for each part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis
import pandas as pd
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.store import expression

KEYS = ("customer_id", "sku", "order_id")
#: rows' owners below which a part is left out and counted
LEAST_MEMBERS = 30


def sliced(
    make: Callable[..., DataFrame],
    table: ibis.Table | DataFrame,
    traits: ibis.Table | DataFrame,
    *,
    by: str,
    least: int = LEAST_MEMBERS,
    **knobs: Any,
) -> DataFrame:
    """`make(part, **knobs)` for every value of `traits[by]`, stacked, `by` as first column.

    `traits` has one row per customer, sku or order, keyed by the column it shares with
    `table` (`customer_id`, `sku` or `order_id`). Who has no trait is the part
    "unknown". Parts of fewer than `least` members are left out; `attrs["left_out"]`
    of the frame names them with their members. PlaybookError where no key is shared or
    `by` is not there.
    """
    rows, known = expression(table), expression(traits)
    key = next((k for k in KEYS if k in rows.columns and k in known.columns), None)
    if key is None or by not in known.columns:
        raise PlaybookError(
            "measures.no_slice", by=by, keys=", ".join(KEYS), columns=", ".join(known.columns)
        )
    named = known.select(key, part=known[by].cast("string")).distinct(on=key)
    joined = rows.left_join(named, key, rname="right_{name}").drop(f"right_{key}")
    joined = joined.mutate(part=joined.part.fill_null("unknown"))
    members = joined.group_by("part").aggregate(n=joined[key].nunique()).to_pandas()
    large = sorted(members[members.n >= least].part)
    parts = [
        make(joined.filter(joined.part == part).drop("part"), **knobs).assign(**{by: part})
        for part in large
    ]
    table = pd.concat(parts, ignore_index=True) if parts else DataFrame(columns=[by])
    table = table[[by, *(c for c in table.columns if c != by)]]
    table.attrs["left_out"] = members[members.n < least].set_index("part").n.to_dict()
    return table
