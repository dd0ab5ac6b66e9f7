"""Exports of further platforms: each recognised as its own kind, to the cent, and tried on a
file with the traps of public bug reports.

Every folder of tests/cases/platforms holds small invented files, the addresses of the
reports they follow (`source`) and what is right, worked out by hand (`right`).
"""

import json
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from test_import import KIND_OF, SAMPLES

from playbook.errors import PlaybookError
from playbook.sources import kinds
from playbook.sources.importing import ImportReport, import_files
from playbook.sources.read import open_sheets
from playbook.store import open_store
from playbook.store.reconcile import ledger
from playbook.store.write import connect

CASES = Path(__file__).resolve().parent / "cases" / "platforms"
NAMES = sorted(p.parent.name for p in CASES.glob("*/expected.json"))
SALT = b"a salt for tests only"
WALK = {
    "sales": "shop sales before returns",
    "tax": "tax",
    "shipping": "shipping",
    "tip": "tip",
    "gift_card": "gift_card",
}


def told(name: str) -> dict:
    return json.loads((CASES / name / "expected.json").read_text(encoding="utf-8"))


def files_of(name: str) -> list[Path]:
    return sorted(
        p for p in (CASES / name).iterdir() if p.suffix.lower() in (".csv", ".txt", ".xlsx")
    )


def read(store: Path, files: list[Path], case: dict, **knobs: object) -> ImportReport:
    settings = case.get("shop")
    if settings and not store.exists():
        store.mkdir()
        lines = [f"{key}: {value}" for key, value in {"name": "shop", **settings}.items()]
        (store / "shop.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return import_files("auto", files, store, salt=SALT, **(case.get("knobs") or {}), **knobs)


def asked(store: Path, query: str) -> list[tuple]:
    return duckdb.sql(query.replace("@", f"{store}/")).fetchall()


def sums(store: Path) -> dict[str, object]:
    """What the store says of everything a case may ask for."""
    said: dict[str, object] = {"fees_linked": {}, "fees_apart": {}, "fees_waiting": Decimal(0)}
    if (store / "fees.parquet").exists():
        for kind, is_linked, is_named, amount in asked(
            store,
            "SELECT kind, order_id IS NOT NULL, order_named IS NOT NULL, sum(amount) "
            "FROM '@fees.parquet' GROUP BY ALL",
        ):
            if is_linked or not is_named:
                said["fees_linked" if is_linked else "fees_apart"][kind] = amount
            else:
                said["fees_waiting"] += amount
    if not (store / "orders.parquet").exists():
        return said
    last = asked(store, "SELECT max(ordered_on) FROM '@orders.parquet'")[0][0]
    back = Decimal(0)
    if (store / "refunds.parquet").exists():
        days = asked(
            store, "SELECT DISTINCT refunded_on FROM '@refunds.parquet' ORDER BY 1 NULLS LAST"
        )
        said["refund_days"] = [None if day is None else str(day) for (day,) in days]
        back = asked(store, "SELECT sum(amount) FROM '@refunds.parquet'")[0][0]
    shop = open_store(store, until=f"{last:%Y-%m}")
    walk = ledger(shop).drop_duplicates("reason").set_index("reason").amount
    said |= {name: abs(walk.get(reason, Decimal(0))) for name, reason in WALK.items()}
    said |= {"refunds": back, "net": said["sales"] - back}
    said["orders"] = asked(store, "SELECT count(*) FROM '@orders.parquet'")[0][0]
    said["statuses"] = dict(
        asked(store, "SELECT status, count(*) FROM '@orders.parquet' GROUP BY 1")
    )
    said["units"] = dict(
        asked(store, "SELECT sku, sum(quantity)::INT FROM '@order_lines.parquet' GROUP BY 1")
    )
    said["sku_revenue"] = dict(
        asked(
            store,
            "SELECT sku, sum(quantity * price - coalesce(discount, 0)) "
            "FROM '@order_lines.parquet' GROUP BY 1",
        )
    )
    said["days"] = {
        n: str(day) for n, day in asked(store, "SELECT order_id, ordered_on FROM '@orders.parquet'")
    }
    said["currencies"] = sorted(
        c for (c,) in asked(store, "SELECT DISTINCT currency FROM '@orders.parquet'") if c
    )
    return said


def off(said: object, right: object, name: str = "") -> list[str]:
    """Where the store says otherwise than the case."""
    if isinstance(right, dict):
        said = said or {}
        keys = right if name in ("", "days", "units", "sku_revenue") else {**said, **right}
        return [
            t for k in keys for t in off(said.get(k), right.get(k), f"{name}.{k}" if name else k)
        ]
    if (
        isinstance(right, str)
        and right.replace(".", "").replace("-", "").isdigit()
        and "." in right
    ):
        is_right = said is not None and abs(Decimal(said) - Decimal(right)) < Decimal("0.005")
    else:
        is_right = said == right or (right is None and not said)
    return [] if is_right else [f"{name} is {said}, not {right}"]


@pytest.mark.parametrize("name", NAMES)
def test_the_sums_worked_out_by_hand_come_out_of_the_traps(name, tmp_path):
    case = told(name)
    if "refused" in case:
        with pytest.raises(PlaybookError) as refusal:
            read(tmp_path / "s", files_of(name), case)
        assert refusal.value.id == case["refused"]
        return
    report = read(tmp_path / "s", files_of(name), case)
    assert sorted(f.kind for f in report.files) == sorted(case["kinds"])
    assert not report.skipped
    assert off(sums(tmp_path / "s"), case["right"]) == [], "\n".join(report.lines())
    for text in case.get("says", []):
        assert any(text in line for line in report.lines()), "\n".join(report.lines())


@pytest.mark.parametrize("name", [n for n in NAMES if "refused" not in told(n)])
def test_imported_one_by_one_backwards_and_once_more_the_store_is_the_same(name, tmp_path):
    case = told(name)
    files = files_of(name)
    read(tmp_path / "s", files, case)
    for file in [*reversed(files), *files]:
        read(tmp_path / "t", [file], case)
    for table in (tmp_path / "s").glob("*.parquet"):
        assert table.read_bytes() == (tmp_path / "t" / table.name).read_bytes(), table.name


def headers_of(path: Path, kind: str) -> list[str]:
    con = connect()
    with tempfile.TemporaryDirectory() as scratch:
        one = kinds.adapter(kind)
        sheets = open_sheets(
            con, path, Path(scratch), lambda names: kinds.score(one, names, is_named=True)
        )
        return next(s.names for s in sheets if s.scan)


def test_no_other_kind_recognises_a_sample():
    """Kinds told from each other by their headers alone: the cross table of all samples."""
    wrong = {}
    for name, kind in KIND_OF.items():
        if kinds.adapter(kind).beside:
            continue
        names = headers_of(SAMPLES / name, kind)
        fits = {
            other.kind
            for other in kinds.adapters().values()
            if kinds.score(other, names)
            and not other.kind.startswith("table-")
            and not other.beside
        }
        if fits != {kind}:
            wrong[name] = fits
    assert not wrong
