"""Looking for people in what is stored: an e-mail in any text, a phone number outside
ids and barcodes.

An import masks what it recognises; this scan is the second look, over every table of a
store, whatever wrote it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

import ibis
import pandas as pd

from playbook.store.contract import TABLES
from playbook.store.shop import Store
from playbook.tables import frame_of

__all__ = ["EMAIL", "PHONES", "privacy_scan"]

EMAIL = r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
# A phone is a mobile number of mainland China, an international number with +, or digits
# grouped as phones are; thirteen bare digits are a barcode, twelve to nineteen an order
# number.
PHONES = (
    r"(^|[^0-9A-Za-z.])((\+?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4})($|[^0-9A-Za-z])",
    r"(^|[^0-9A-Za-z])(\+[0-9]{1,3}[ .-]?(\(?[0-9]{1,5}\)?[ .-]?){1,4}[0-9]{2,5})($|[^0-9A-Za-z])",
    r"(^|[^0-9A-Za-z.-])(\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4})($|[^0-9A-Za-z-])",
    r"(^|[^0-9A-Za-z.-])(0[0-9]{2,4}[ -][0-9]{3,4}[ -]?[0-9]{3,4})($|[^0-9A-Za-z-])",
)
NO_PHONES_IN = ("sku", "source_sha256", "month")  # and every column that ends in _id or _no


def privacy_scan(shop: Store, *, allow: Iterable[str] | None = None) -> pd.DataFrame:
    """Where contact details stand in an opened store: table, column, kind (`e-mail` or
    `phone`), n_rows (rows with a hit), is_allowed; one row per table and text column.

    Values are never repeated. `allow` (default: `privacy_allow` of shop.yaml) lists
    `table.column`, with * and ?, or texts that may stand anywhere, such as the shop's
    own address. A clean store gives a frame without rows.
    """
    stated = shop.settings.get("privacy_allow") or [] if allow is None else allow
    allowed = [str(text) for text in stated]
    texts = [a for a in allowed if "@" in a or any(c.isdigit() for c in a)]
    rows = []
    for name in TABLES:
        table = shop.get(name)
        for column in [] if table is None else _looked_at(table, shop.present[name]):
            is_allowed = any(fnmatch.fnmatch(f"{name}.{column}", a) for a in allowed)
            hits = _hits(table, column, texts)
            rows += [(name, column, kind, n, is_allowed) for kind, n in hits.items() if n]
    frame = frame_of("store.privacy", rows)
    frame = frame.astype({"n_rows": "int64", "is_allowed": "bool"})
    return frame.sort_values(["table", "column", "kind"], ignore_index=True)


def _looked_at(table: ibis.Table, present: Iterable[str]) -> list[str]:
    """The text columns in which a contact may stand: of ids, which are many and as good as
    always clean, those with an e-mail's sign in any, told by one look at all of them.
    """
    texts = [c for c in table.columns if c in present and table[c].type().is_string()]
    ids = [c for c in texts if _is_id(c)]
    if not ids:
        return texts
    signs = {f"c{k}": table[c].contains("@").any() for k, c in enumerate(ids)}
    told = table.aggregate(**signs).to_pandas().iloc[0]
    clean = {c for k, c in enumerate(ids) if pd.isna(told[f"c{k}"]) or not told[f"c{k}"]}
    return [c for c in texts if c not in clean]


def _is_id(column: str) -> bool:
    return column in NO_PHONES_IN or column.endswith(("_id", "_no"))


def _hits(table: ibis.Table, column: str, texts: list[str]) -> dict[str, int]:
    """Kind -> rows of a column with a hit; each text is looked at once. No e-mail is without
    its sign, and no id is a phone.
    """
    is_id = _is_id(column)
    held = table.filter(table[column].contains("@")) if is_id else table
    counted = held.group_by(text=held[column]).aggregate(n=held.count())
    value = counted.text
    for text in texts:
        value = value.replace(text, " ")
    tests = {"e-mail": value.re_search(EMAIL)}
    if not is_id:
        tests["phone"] = ibis.or_(*(value.re_search(p) for p in PHONES))
    sums = {kind: counted.n.sum(where=test.fill_null(False)) for kind, test in tests.items()}
    hits = counted.aggregate(**sums).to_pandas().iloc[0]
    return {kind: 0 if pd.isna(n) else int(n) for kind, n in hits.items()}
