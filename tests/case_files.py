"""Reads a case of `tests/cases/exports` into a store and compares it with what is right.

A case is a folder with files and `expected.json`: `kind` (auto, generic, or refunds: an order file
and a refunds file by two mappings), `expected` (sums; `or` says that a refusal or a loud note will
do), `say` (what the report must then say), `gate` (the gate that must not be go), `must` (what a
refusal must name), `shop` (shop.yaml), `mapping` and `refunds`.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import duckdb

from playbook.errors import PlaybookError
from playbook.sources.importing import ImportReport, import_files
from playbook.store import open_store
from playbook.store.readiness import verdict
from playbook.store.reconcile import ledger

CASES = Path(__file__).resolve().parent / "cases" / "exports"
NOT_FILES = ("README.md", "expected.json", "map.yaml")
SALT = b"a salt for tests only"
NO_SUMS = ("note", "or", "must", "no_table")
WALK = {
    "sales": "shop sales before returns",
    "net": "shop net revenue",
    "refunds": "refunds booked",
    "tip": "tip",
    "duties": "duties",
}


def one(store: Path, query: str) -> object:
    return duckdb.sql(query.replace("@", f"{store}/")).fetchone()[0]


def last_month(store: Path) -> str:
    """The last month with an order or a dated refund."""
    last = one(store, "SELECT strftime(max(ordered_on), '%Y-%m') FROM '@orders.parquet'")
    if (store / "refunds.parquet").exists():
        back = one(store, "SELECT strftime(max(refunded_on), '%Y-%m') FROM '@refunds.parquet'")
        last = max(last, back or last)
    return last


def sums(store: Path) -> dict[str, object]:
    """What the store says of everything the cases ask for."""
    said: dict[str, object] = {}
    if (store / "ad_spend.parquet").exists():
        said["spend"] = one(store, "SELECT coalesce(sum(spend), 0) FROM '@ad_spend.parquet'")
        channels = one(store, "SELECT list(DISTINCT channel) FROM '@ad_spend.parquet'")
        said["channel"] = ", ".join(channels or [])
    if (store / "stock.parquet").exists():
        said["stock"] = one(store, "SELECT sum(on_hand) FROM '@stock.parquet'")
    if not (store / "orders.parquet").exists():
        return said
    shop = open_store(store, until=last_month(store))
    walk = ledger(shop).drop_duplicates("reason").set_index("reason").amount
    said |= {name: abs(walk.get(reason, Decimal(0))) for name, reason in WALK.items()}
    said["orders"] = one(store, "SELECT count(*) FROM '@orders.parquet'")
    said["gift_card"] = abs(walk.get("gift_card", Decimal(0)))
    for name, day in (("first_day", "min"), ("last_day", "max")):
        said[name] = str(one(store, f"SELECT {day}(ordered_on) FROM '@orders.parquet'"))
    lines = duckdb.sql(
        f"SELECT sku, sum(quantity * price - coalesce(discount, 0)), sum(quantity)::INT "
        f"FROM '{store}/order_lines.parquet' GROUP BY 1"
    ).fetchall()
    said["sku_revenue"] = {sku: revenue for sku, revenue, _ in lines}
    said["units"] = {sku: units for sku, _, units in lines}
    return said


def differences(said: dict[str, object], right: dict[str, object]) -> list[str]:
    """What the store says otherwise than the case."""
    out = []
    for name, value in right.items():
        if name in NO_SUMS:
            continue
        if isinstance(value, dict):
            off = differences(said.get(name) or {}, {k: v for k, v in value.items() if v})
            off += [
                f"{k} {v}" for k, v in (said.get(name) or {}).items() if value.get(k) == 0 and v
            ]
            out += [f"{name}: {text}" for text in off]
        elif isinstance(value, str):
            is_right = str(said.get(name)).split("_")[0] in value.replace("_", " ").split() or (
                str(said.get(name)) == value
            )
            out += [] if is_right else [f"{name} is {said.get(name)}, not {value}"]
        elif name not in said or round(Decimal(said[name]), 2) != Decimal(str(value)):
            out.append(f"{name} is {said.get(name)}, not {value}")
    return out


def may_be_refused(right: dict[str, object]) -> bool:
    return any("refused" in str(v) or "said loudly" in str(v) for v in right.values())


def read(store: Path, case: Path, about: dict, **knobs: object) -> list[ImportReport]:
    """Imports the files of a case, the shop's settings and mappings first."""
    if about.get("shop"):
        store.mkdir(exist_ok=True)
        (store / "shop.yaml").write_text(about["shop"], encoding="utf-8")
    files = sorted(p for p in case.iterdir() if p.name not in NOT_FILES)
    if about["kind"] == "refunds":
        turns = [("generic", files[:1], "mapping"), ("generic", files[1:], "refunds")]
    else:
        is_mapped = about["kind"] == "generic"
        turns = [("generic" if is_mapped else "auto", files, "mapping" if is_mapped else "")]
    return [
        import_files(
            kind, some, store, salt=SALT, **({"mapping": about[told]} if told else {}), **knobs
        )
        for kind, some, told in turns
    ]


def outcome(name: str, store: Path, **knobs: object) -> tuple[str, str]:
    """right, refused, said or silent, and what was wrong, of a case."""
    about = json.loads((CASES / name / "expected.json").read_text(encoding="utf-8"))
    right = about["expected"]
    try:
        reports = read(store, CASES / name, about, **knobs)
        said = "\n".join(line for report in reports for line in report.lines())
        off = differences(sums(store), right)
        if right.get("no_table") and (store / f"{right['no_table']}.parquet").exists():
            off.append(f"{right['no_table']} was written")
        is_said = bool(about.get("say")) and re.search(about["say"], said) is not None
        if about.get("gate") and is_said:
            gates = verdict(open_store(store, until=last_month(store))).gates
            mine = gates[gates.gate.str.contains(about["gate"])].verdict
            is_said = bool((mine != "go").any())
    except PlaybookError as error:
        text = str(error)
        is_named = re.search(about.get("must", right.get("must", "")), text) is not None
        if may_be_refused(right) and error.do and is_named:
            return "refused", text
        return "failed" if not may_be_refused(right) else "unnamed", text
    if right.get("or") == "said loudly":
        # right by the sums, or not, what was left out must be said
        if not off and not about.get("say"):
            return "right", ""
        return ("said", "") if is_said else ("silent", "; ".join(off) or "not said")
    if right.get("or") == "refused" and not (set(right) - set(NO_SUMS)):
        return ("said", "") if is_said else ("silent", "; ".join(off) or "taken")
    return ("silent", "; ".join(off)) if off else ("right", "")
