"""No user, password, host or path of a store on a server in anything that is said or
written, whichever way its address came in.
"""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from servers import OWNER, PASSWORD, postgres_server
from small_month import OPEN, write_notebook, write_shop

from playbook.cli import main
from playbook.decisions import Decision
from playbook.hidden import hidden, keep_secret, name_of
from playbook.runs import month as month_module
from playbook.runs import plan
from playbook.runs.results import Results
from playbook.store import open_store

TELLING = """print("opened", store)
results.table("t", pd.DataFrame({"amount": [1.0]}))
results.decide(Decision("kpi", "revenue", "keep", owner_role="general manager"))
shop.con.raw_sql("SELECT 1")"""
FAILING = """import ibis, os
ibis.connect((os.environ.get("PLAYBOOK_STORE") or os.environ["SHOP_DB"]) + "x")"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with postgres_server(Path(tmp_path_factory.mktemp("pg"))) as server:
        yield server


@pytest.fixture(scope="module")
def address(server, tmp_path_factory):
    folder = write_shop(tmp_path_factory.mktemp("shop") / "shop")
    for file in folder.glob("*.csv"):
        pd.read_csv(file).to_parquet(file.with_suffix(".parquet"))
    return server.load("cornershop", folder)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with four notebooks: two that a month needs, one that fails on the server."""
    notebooks = tmp_path / "nbs"
    write_notebook(notebooks / "00_start.ipynb", OPEN, TELLING)
    write_notebook(notebooks / "04_cohorts.ipynb", OPEN, FAILING)
    reviewed = 'reviewed: str = ""  # a month folder'
    write_notebook(notebooks / "11_review.ipynb", OPEN, TELLING, extra=reviewed)
    monkeypatch.setattr(plan, "notebooks_folder", lambda: notebooks)
    monkeypatch.setattr(
        month_module, "_verdict", lambda shop: {"status": "go", "reasons": [], "gates": []}
    )
    monkeypatch.setenv("PLAYBOOK_WARM", "0")
    monkeypatch.delenv("PLAYBOOK_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def secrets_of(server):
    return [OWNER, PASSWORD, server.host, str(server.port), f":{server.port}"]


def leaks(folder, server, told=""):
    """File (or `said`) and secret, wherever one stands; parquet and workbooks too, unpacked."""
    texts = {"said": told}
    for path in (p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            texts[path.name] = pd.read_parquet(path).to_csv() + str(pd.read_parquet(path).attrs)
        elif path.suffix == ".xlsx":
            sheets = pd.read_excel(path, sheet_name=None, dtype=str, engine="calamine")
            texts[path.name] = "\n".join(sheet.to_csv() for sheet in sheets.values())
        else:
            texts[path.name] = path.read_bytes().decode("utf-8", errors="replace")
    return [
        (name, secret)
        for name, text in texts.items()
        for secret in secrets_of(server)
        if secret in text
    ]


def ways(address, folder, monkeypatch):
    """The three ways an address comes in: as a word, by the environment, in shop.yaml."""
    monkeypatch.setenv("SHOP_DB", address)
    folder.mkdir()
    (folder / "shop.yaml").write_text("name: cornershop\naddress: $SHOP_DB\n")
    return [address, "$SHOP_DB", str(folder)]


@pytest.mark.parametrize("way", range(3))
def test_a_month_run_from_an_address_holds_nothing_of_it(
    address, server, place, monkeypatch, capfd, way
):
    store = ways(address, place / "mine", monkeypatch)[way]
    monkeypatch.setenv("PLAYBOOK_STORE", "")
    words = ["run", "--store", store, "--month", "2026-02", "--notify", "note.txt", "--json"]
    assert main(words) == 3, capfd.readouterr()
    told = capfd.readouterr()
    month = place / "runs/cornershop/2026-02"
    assert (month / "decisions.csv").exists() and (month / "04_cohorts/notebook.ipynb").exists()
    assert leaks(place, server, told.out + told.err) == []
    assert (
        "FAILED" not in told.err
        and "failed" in json.loads(told.out)["runs"][0]["chapters"].values()
    )


@pytest.mark.parametrize("way", range(3))
def test_copies_answers_and_the_course_hold_nothing_of_an_address(
    address, server, place, monkeypatch, capfd, way
):
    store = ways(address, place / "mine", monkeypatch)[way]
    monkeypatch.setenv("PLAYBOOK_PROGRESS", str(place / "progress"))
    assert main(["open", "00", "--store", store]) == 0
    assert main(["check", store, "--json"]) in (0, 1)
    assert main(["learn", "start", "ann", "--store", store]) == 0
    write_answers(place, store)
    assert main(["decisions", "answers.csv", "--store", store, "--json"]) == 0
    assert main(["decisions", "none.csv", "--store", store]) == 1
    assert (
        main(["audience", "at risk", "--contacts", "c.csv", "--to", "t.csv", "--store", store]) == 1
    )
    told = capfd.readouterr()
    assert leaks(place, server, told.out + told.err) == []
    copy = next((place / "work").glob("cornershop-*/00_start.ipynb")).read_text()
    assert ("PLAYBOOK_STORE" in copy) == (way == 0)


def write_answers(place, store):
    """A published month of one decision, and the sheet that answers it."""
    month = place / "runs/cornershop/2026-02"
    results = Results("00_start", str(month), month="2026-02", store=open_store(store).name)
    results.decide(Decision("kpi", "revenue", "keep", owner_role="general manager"))
    (month / "run.json").write_text('{"month": "2026-02"}')
    row = results.decisions()[["decision_id"]].assign(status="accepted")
    row.to_csv(place / "answers.csv", index=False)


def test_a_copy_opens_its_store_by_the_environment(address, place, monkeypatch):
    monkeypatch.setenv("PLAYBOOK_STORE", address)
    assert open_store("$PLAYBOOK_STORE").name == "cornershop"


@pytest.mark.parametrize(
    "change",
    [
        {"user": "nobody_known"},
        {"database": "nothing_there"},
        {"password": "p/a#s:s@w?rd"},
        {"port": 1},
        {"host": "no-such-host.invalid"},
        {"scheme": "nonsense"},
    ],
)
def test_no_refusal_names_a_part_of_an_address(server, place, capfd, change):
    about = {"scheme": "postgres", "user": OWNER, "password": PASSWORD, "host": server.host}
    about |= {"port": server.port, "database": "postgres"} | change
    address = "{scheme}://{user}:{password}@{host}:{port}/{database}".format(**about)
    for words in (
        ["run", "--store", address, "--json"],
        ["check", address],
        ["open", "04", "-s", address],
    ):
        assert main(words) == 1
    told = capfd.readouterr()
    for secret in (about["user"], about["password"], about["host"], f"{about['port']}/"):
        assert secret not in told.out + told.err
    assert "Traceback" not in told.err and "Refused" in told.err


def test_an_unset_variable_is_refused_by_its_name(place, capfd, monkeypatch):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    assert main(["check", "$NOT_SET_HERE"]) == 1
    assert "NOT_SET_HERE" in capfd.readouterr().err


def test_ids_of_decisions_do_not_depend_on_where_the_store_lies(root, tmp_path):
    cells = json.loads((root / "notebooks/11_monthly_review.ipynb").read_text())["cells"]
    made = next("".join(c["source"]) for c in cells if "Results(" in "".join(c["source"]))
    assert "shop=shop" in made and "store=store" not in made
    ids = []
    for at in ("here", "there/deeper"):
        shop = open_store(write_shop(tmp_path / at / "shop"), until="2026-02")
        results = Results("11_monthly_review", shop=shop)
        results.decide(Decision("kpi", "revenue", "keep"))
        ids += results.decisions().decision_id.tolist()
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    "address, name, gone, kept",
    [
        ("postgres://u:pa55@db.example.org:5432/shop", "shop", "pa55 db.example.org", "runs/shop u"),
        ("postgres://ann:pa55@localhost", "shop", "pa55", "shop"),
        ("pyspark://shop?spark.x=UTC", "shop", "pyspark://shop?spark.x=UTC", "shop UTC"),
        ("duckdb:///home/ann/deep/shop.db", "shop.db", "/home/ann/deep/shop.db", "shop.db"),
        ("databricks://token:dapi12@adb.net:443?http_path=/sql/1.0/w", "shop", "dapi12 /sql/1.0/w", "sql"),
    ],
)  # fmt: skip
def test_what_is_hidden_of_an_address_and_what_stays(address, name, gone, kept):
    assert name_of(address) == name
    keep_secret(address)
    assert not set(gone.split()) & set(hidden(f"a {gone} b").split())
    assert hidden(kept) == kept


def test_every_published_notebook_names_a_variable_not_an_address(root):
    for path in (root / "notebooks").rglob("*.ipynb"):
        assert "postgres://" not in path.read_text(encoding="utf-8"), path
    assert os.environ.get("PLAYBOOK_STORE", "") == ""
