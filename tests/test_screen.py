"""What an import would publish is held against the contract first."""

import duckdb
import pytest
from shops import order, write_shop

from playbook.errors import PlaybookError
from playbook.sources import importing
from playbook.sources.screen import refuse_broken_tables


def staged(folder, orders):
    """A staged `orders` table of these rows."""
    write_shop(folder / "shop", orders)
    return folder / "shop"


def test_tables_that_keep_the_contract_pass(tmp_path):
    refuse_broken_tables(duckdb.connect(), staged(tmp_path, [order("1", "2026-10-01")]), ["a.csv"])


def test_a_broken_rule_is_told_with_its_rows_an_example_and_the_file(tmp_path):
    rows = [order(str(n), "2026-10-01") for n in range(3)]
    stage = staged(tmp_path, rows)
    con = duckdb.connect()
    con.execute(f"CREATE TABLE o AS SELECT * FROM read_parquet('{stage}/orders.parquet')")
    con.execute("UPDATE o SET gross = -1 WHERE order_id <> '1'")
    con.execute(f"COPY o TO '{stage}/orders.parquet' (FORMAT parquet)")
    with pytest.raises(PlaybookError, match="for example 0; 2") as told:
        refuse_broken_tables(con, stage, ["a.csv", "b.csv"])
    text = str(told.value)
    assert "orders" in text and "gross" in text and "rows 2" in text and "a.csv, b.csv" in text


def test_a_required_column_that_did_not_come_is_told(tmp_path):
    stage = staged(tmp_path, [order("1", "2026-10-01")])
    con = duckdb.connect()
    con.execute(
        f"CREATE TABLE o AS SELECT * EXCLUDE (total) FROM read_parquet('{stage}/orders.parquet')"
    )
    con.execute(f"COPY o TO '{stage}/orders.parquet' (FORMAT parquet)")
    with pytest.raises(PlaybookError, match="total"):
        refuse_broken_tables(con, stage, ["a.csv"])


def test_a_refused_import_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    sheet = tmp_path / "targets.csv"
    sheet.write_text("month,metric,value\n2026-10,orders,40\n", encoding="utf-8")
    store = tmp_path / "store"
    importing.import_files("table-targets", [sheet], store)
    before = {p.name: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    sheet.write_text("month,metric,value\n2026-11,orders,41\n", encoding="utf-8")

    def broken(*_given):
        raise PlaybookError("sources.import_breaks_contract", broken="", examples="", table="x")

    monkeypatch.setattr(importing, "refuse_broken_tables", broken)
    with pytest.raises(PlaybookError, match="nothing was stored"):
        importing.import_files("table-targets", [sheet], store)
    assert {p.name: p.read_bytes() for p in store.rglob("*") if p.is_file()} == before
