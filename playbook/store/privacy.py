"""Looking for people in what is stored: an e-mail in any text, a phone number outside
ids and barcodes.

An import masks what it recognises; this scan is the second look, over every table of a
store, whatever wrote it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

import pandas as pd

from playbook.store.contract import TABLES

__all__ = ["EMAIL", "PHONES", "privacy_scan"]

EMAIL = r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
# A phone is a mobile number of mainland China, an international number with +, or digits grouped as phones are;
# thirteen bare digits are a barcode, twelve to nineteen an order number.
PHONES = (
    r"(^|[^0-9A-Za-z.])((\+?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4})($|[^0-9A-Za-z])",
    r"(^|[^0-9A-Za-z])(\+[0-9]{1,3}[ .-]?(\(?[0-9]{1,5}\)?[ .-]?){1,4}[0-9]{2,5})($|[^0-9A-Za-z])",
    r"(^|[^0-9A-Za-z.-])(\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4})($|[^0-9A-Za-z-])",
    r"(^|[^0-9A-Za-z.-])(0[0-9]{2,4}[ -][0-9]{3,4}[ -]?[0-9]{3,4})($|[^0-9A-Za-z-])",
)
NO_PHONES_IN = ("sku", "source_sha256", "month")  # and every column that ends in _id or _no


def privacy_scan(shop: Any, *, allow: Iterable[str] | None = None) -> pd.DataFrame:
    """One row per table and text column of `shop` (an opened store) in which contact
    details stand.

    Columns: table, column, kind (`e-mail` or `phone`), n_rows (rows with a hit),
    is_allowed. Values are never repeated. `allow` (default: `privacy_allow` of
    shop.yaml) lists `table.column`, with * and ?, or texts that may stand anywhere,
    such as the shop's own address. A clean store gives a frame without rows.
    """
    import ibis

    settings = getattr(shop, "settings", {}) or {}
    allowed = [str(a) for a in (settings.get("privacy_allow") or [] if allow is None else allow)]
    texts = [a for a in allowed if "@" in a or any(c.isdigit() for c in a)]
    rows = []
    for name in TABLES:
        t = shop.get(name)
        if t is None:
            continue
        for column in t.columns:
            if not t[column].type().is_string():
                continue
            if column not in getattr(shop, "_present", {}).get(name, t.columns):
                continue
            is_id = column in NO_PHONES_IN or column.endswith(("_id", "_no"))
            held = (
                t.filter(t[column].contains("@")) if is_id else t
            )  # ids are many, and no e-mail is without it
            counted = held.group_by(found=held[column]).aggregate(
                n=held.count()
            )  # each text is looked at once
            value = counted.found
            for text in texts:
                value = value.replace(text, " ")
            tests = {"e-mail": value.re_search(EMAIL)}
            if not is_id:
                tests["phone"] = ibis.or_(*(value.re_search(p) for p in PHONES))
            found = counted.aggregate(
                **{kind: counted.n.sum(where=test.fill_null(False)) for kind, test in tests.items()}
            )
            hits = found.to_pandas().iloc[0]
            is_allowed = any(fnmatch.fnmatch(f"{name}.{column}", a) for a in allowed)
            rows += [
                (name, column, kind, int(hits[kind]), is_allowed)
                for kind in tests
                if hits[kind] == hits[kind] and hits[kind]
            ]
    frame = pd.DataFrame(rows, columns=["table", "column", "kind", "n_rows", "is_allowed"])
    return frame.astype({"n_rows": "int64", "is_allowed": "bool"}).sort_values(
        ["table", "column", "kind"], ignore_index=True
    )
