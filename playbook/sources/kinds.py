"""Every export kind the playbook reads, and telling them apart by their headers."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from playbook.errors import PlaybookError
from playbook.messages import read_yaml
from playbook.sources.adapter import Adapter, columns_of, found_columns, header_list, n_signs

MODULES = (
    "online_retail",
    "series",
    "shopify_orders",
    "shopify_products",
    "amazon",
    "amazon_settlement",
    "payments",
    "marketplaces",
    "shop_systems",
    "asia_orders",
    "taobao",
    "ads",
    "ga4",
    "search_and_mail",
    "search_words",
    "referrals",
    "partner_exports",
    "payment_providers",
    "web_vitals",
    "content_exports",
    "woocommerce",
    "sheets",
)


@functools.cache
def adapters() -> dict[str, Adapter]:
    """Every adapter by its kind, in a fixed order."""
    out = {}
    for module in MODULES:
        found = importlib.import_module(f"playbook.sources.{module}")
        for one in getattr(found, "ADAPTERS", None) or (found.ADAPTER,):
            out[one.kind] = one
    return out


def adapter(kind: str) -> Adapter:
    """The adapter of `kind`; PlaybookError naming all kinds if there is none."""
    known = adapters()
    wanted = kind.strip().lower().replace("_", "-")
    if wanted not in known:
        raise PlaybookError("sources.no_export_kind", kind=kind, known=", ".join(known))
    return known[wanted]


def score(one: Adapter, names: list[str], *, is_named: bool = False) -> int:
    """How well headers fit an adapter: 0 where a required column or, unless a person has
    named the kind, every sign of it is missing.
    """
    at = found_columns(one, names)
    wanted = columns_of(one)
    if any(w.is_required and w.name not in at for w in wanted.values()):
        return 0
    if one.any_of and not is_named and not any(name in at for name in one.any_of):
        return 0
    others = sum(bool(n) for n in names) - len(at)
    if one.beside:
        return 5 if others else 0
    signs = n_signs(one, names)
    if one.signature and not signs and not is_named:
        return 0
    present = set(names)
    extra = len((header_list(one.ignored) | header_list(one.personal)) & present)
    n_required = sum(w.is_required for w in wanted.values())
    return 100 * n_required + 10 * len(at) + extra + 50 * signs


def partial(one: Adapter, names: list[str]) -> int:
    """How many of an adapter's columns a row of headers has, required ones or not."""
    return len(found_columns(one, names))


@functools.cache
def _shop_words() -> frozenset[str]:
    """Words in headers of a shop's own figures, which are no published series."""
    return frozenset(read_yaml(Path(__file__).parent / "words.yaml")["own_figures"])


def _is_the_shops(names: list[str]) -> bool:
    words = _shop_words()
    return any(
        words & set(name.split()) or any(not w.isascii() and w in name for w in words)
        for name in names
    )


def best_kinds(names: list[str]) -> list[tuple[int, Adapter]]:
    """The adapters these headers fit, best first."""
    n_named = sum(bool(n) for n in names)
    # a table of a date and a few values could be anything: taken as a series only where
    # nothing else fits
    found = [
        (score(one, names), one)
        for one in adapters().values()
        if not one.beside or (n_named <= one.beside + 1 and not _is_the_shops(names))
    ]
    # a column sku stands in many a file; a table of the contract consists of its own
    # columns for the most part
    found = [
        (n, one)
        for n, one in found
        if not one.kind.startswith("table-") or 2 * partial(one, names) > n_named
    ]
    return sorted((f for f in found if f[0] > 0), key=lambda f: (-f[0], f[1].kind))
