"""A month on a warehouse gives the tables it gives here: ten chapters on Postgres, for an
owner and for a user who may keep nothing there, and every expression in five dialects.
"""

import os
import warnings
from pathlib import Path

import pandas as pd
import pytest
from chapters import collected, problems_of, run_chapter, tables_of
from proof.proof_warehouse import MONTH, differences
from servers import postgres_server

from playbook.demo.make import make_demo
from playbook.errors import EngineFailed, PlaybookError
from playbook.store import open_store

# the simulations of 03 and 05 ask a server little and take most of a month's time: all twelve
# chapters are run by tests/proof/proof_warehouse.py
CHAPTERS = [f"{n:02d}" for n in range(12) if n not in (3, 5)]
#: what a dialect cannot say, and why that is no harm
KNOWN = (
    # the contract's columns are checked with a join by position on DuckDB only
    ("check.py", "snowflake: AssertionError"),
    # a BigQuery store is worked on as a copy (store/copies.py)
    ("", "bigquery: OperationNotDefinedError: Compilation rule for 'Quantile'"),
    ("", "bigquery: OperationNotDefinedError: Compilation rule for 'Median'"),
    ("", "bigquery: IbisTypeError: Timestamps without timezone"),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The small simulated shop: every table of the contract, 26 months."""
    return make_demo(
        tmp_path_factory.mktemp("demo") / "shop", preset="tiny", customers=500, months=26
    )


@pytest.fixture(scope="module")
def here(shop, tmp_path_factory):
    """Its month on DuckDB: state by chapter, tables, and every expression asked."""
    out = tmp_path_factory.mktemp("here")
    with collected() as found, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        states = {n: run_chapter(n, str(shop), MONTH, out) for n in CHAPTERS}
    return states, tables_of(out), found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with postgres_server(Path(tmp_path_factory.mktemp("pg"))) as server:
        yield server


def on_server(folder, shop, address):
    """A folder that names the address, with the shop's settings and log beside it."""
    folder.mkdir()
    settings = (shop / "shop.yaml").read_text(encoding="utf-8")
    (folder / "shop.yaml").write_text(f"{settings}address: {address}\n", encoding="utf-8")
    (folder / "store.json").write_bytes((shop / "store.json").read_bytes())
    return folder


def test_every_chapter_speaks_of_the_small_shop(here):
    assert set(here[0].values()) <= {"done"}, here[0]


# as owner, and through views with names in capitals: tests/proof/proof_warehouse.py
def test_a_month_on_postgres_gives_the_tables_it_gives_here(here, shop, server, tmp_path):
    states, ours, _found = here
    store = on_server(tmp_path / "store", shop, server.prepared("reader", shop))
    chapters = ["00", "02", "09"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = {n: run_chapter(n, str(store), MONTH, tmp_path / "out") for n in chapters}
    assert there == {n: states[n] for n in chapters}
    wanted = {name: frame for name, frame in ours.items() if name[:2] in chapters}
    assert differences(wanted, tables_of(tmp_path / "out")) == []


def test_every_expression_of_a_month_can_be_said_in_every_dialect(here):
    told = {(at, problem) for node, at in here[2].items() for problem in problems_of(node)}
    unknown = {
        (at, problem)
        for at, problem in told
        if not any(place in at and problem.startswith(known) for place, known in KNOWN)
    }
    assert unknown == set()


def test_no_code_takes_distinct_rows_the_way_that_differs_by_engine(root):
    for path in (root / "playbook").rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace("table.select(...).distinct()", "")
        assert ".distinct()" not in text, f"{path}: use distinct_rows"


def test_a_table_without_the_right_to_read_it_is_no_missing_table(shop, server, tmp_path):
    address = server.load("unread", shop)
    server.execute(
        "unread",
        "CREATE ROLE halfreader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO halfreader",
        "REVOKE SELECT ON refunds FROM halfreader",
    )
    with pytest.raises(PlaybookError, match="table refunds is there, and the database's user"):
        open_store(server.address("unread", "halfreader"))
    assert "refunds" not in open_store(address).missing


def test_text_where_the_contract_has_days_and_money_is_counted_not_a_drivers_error(
    shop, server, tmp_path
):
    server.load("typed", shop)
    server.execute(
        "typed",
        "ALTER TABLE orders ALTER ordered_on TYPE text USING to_char(ordered_on, 'YYYY-MM-DD')",
        "ALTER TABLE order_lines ALTER price TYPE text",
    )
    assert open_store(server.address("typed")).observed_to is not None
    server.execute(
        "typed", "UPDATE order_lines SET price = '26.90 EUR' WHERE line_no = (SELECT min(line_no) FROM order_lines)"
    )  # fmt: skip
    with pytest.raises(PlaybookError, match="values are not amounts of money") as refused:
        open_store(server.address("typed"))
    assert "26.90 EUR" in str(refused.value)


def test_a_server_that_goes_away_ends_in_one_message(shop, tmp_path):
    folder = tmp_path / "pg"
    folder.mkdir()
    with postgres_server(folder) as other:
        opened = open_store(other.load("gone", shop))
    with pytest.raises(EngineFailed, match="does not answer any more") as refused:
        opened.con.execute(opened.orders.count())
    assert "127.0.0.1" not in str(refused.value)


def test_a_copy_is_made_once_and_anew_when_the_server_holds_other_rows(
    shop, server, tmp_path, monkeypatch
):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / "cache"))
    address = server.load("copied", shop)
    server.execute(
        "copied",
        "REVOKE TEMP ON DATABASE copied FROM PUBLIC",
        "CREATE ROLE copier LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO copier",
    )
    reader = server.address("copied", "copier")
    first, again = open_store(reader), open_store(reader)
    assert first.con.name == "duckdb" and first.fingerprint == again.fingerprint
    assert len(os.listdir(tmp_path / "cache/copies")) == 1
    server.execute(
        "copied", "DELETE FROM refunds WHERE refund_id = (SELECT min(refund_id) FROM refunds)"
    )
    assert open_store(reader).fingerprint != first.fingerprint
    assert open_store(address).con.name == "postgres"


def test_differences_of_tables_are_told():
    ours = {"t": pd.DataFrame({"n": [1, 2], "x": [1.0, None], "s": ["a", None]})}
    assert differences(ours, ours) == []
    for column, value in (("n", 3), ("x", 1.1), ("s", "b")):
        other = ours["t"].copy()
        other.loc[0, column] = value
        assert differences(ours, {"t": other})[0].startswith(f"t: {column}[0]")
    assert differences(ours, {}) == ["t: only on one side"]
