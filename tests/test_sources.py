"""Public data sets: built from their text, fetched from a server, refused when they are
not the published ones.
"""

import functools
import http.server
import threading
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest

from playbook.errors import PlaybookError
from playbook.sources import cdnow
from playbook.sources import fetch as fetching
from playbook.sources.importing import import_files
from playbook.sources.registry import DATA_SETS, data_set
from playbook.store.write import REASONS


def one(query: str) -> tuple:
    return duckdb.sql(query).fetchone()


def ledger(store: Path) -> dict[str, tuple[int, Decimal]]:
    rows = duckdb.sql(
        f"SELECT reason, sum(n_rows)::BIGINT, sum(amount) FROM '{store}/import_ledger.parquet' GROUP BY 1"
    )
    return {reason: (n, amount) for reason, n, amount in rows.fetchall()}


# --- CDNOW -----------------------------------------------------------------------------------------------------------


def test_cdnow_gives_the_counts_and_the_money_of_the_published_text():
    store = cdnow.store_folder()
    assert one(f"SELECT count(*), count(DISTINCT customer_id) FROM '{store}/orders.parquet'") == (
        67_591,
        23_570,
    )
    assert one(f"SELECT count(*), sum(quantity)::BIGINT FROM '{store}/order_lines.parquet'") == (
        69_659,
        167_881,
    )
    assert sum(a for _, a in ledger(store).values()) == Decimal("2500315.63")


def test_every_cdnow_line_has_the_amount_of_the_text_to_the_cent_and_zero_amounts_stay():
    store = cdnow.store_folder()
    text = f"""SELECT string_split_regex(trim(line), '\\s+') AS f FROM read_csv('{cdnow.text_file()}',
        columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, delim = '\x01', quote = '', escape = '')"""
    said = f"SELECT f[1] || '-' || f[2] AS order_id, f[4]::DECIMAL(18,2) AS amount FROM ({text}) WHERE f[1] <> 'customer_id'"
    have = f"SELECT order_id, round(quantity * price - discount, 2)::DECIMAL(18,2) AS amount FROM '{store}/order_lines.parquet'"
    assert one(f"SELECT count(*) FROM (({said}) EXCEPT ALL ({have}))") == (0,)
    assert one(f"SELECT count(*) FROM '{store}/order_lines.parquet' WHERE price = 0") == (80,)


def test_cdnow_is_built_once_and_says_that_its_log_starts_with_the_shop():
    store = cdnow.store_folder()
    before = (store / "orders.parquet").stat().st_mtime_ns
    assert (cdnow.store_folder() / "orders.parquet").stat().st_mtime_ns == before
    assert "log_starts_with_shop: true" in (store / "shop.yaml").read_text()


# --- Online Retail ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def online_retail(shared_data, tmp_path_factory) -> Path:
    into = tmp_path_factory.mktemp("stores") / "online-retail"
    import_files("online-retail", [shared_data / "online-retail" / "online_retail.parquet"], into)
    return into


def test_the_import_ledger_of_online_retail_ties_to_the_published_total(online_retail):
    cents = {reason: (n, round(amount, 2)) for reason, (n, amount) in ledger(online_retail).items()}
    assert cents == {
        "adjustment": (3, Decimal("-11062.06")),
        "credit_line": (9_288, Decimal("-896812.49")),
        "stock_write_off": (1_336, Decimal("0.00")),
        "zero_or_negative_price": (1_179, Decimal("0.00")),
        "kept": (530_103, Decimal("10655622.48")),
    }
    assert sum(a for _, a in ledger(online_retail).values()) == Decimal("9747747.934")
    assert set(cents) <= set(REASONS)


def test_online_retail_keeps_the_golden_numbers_of_known_customers(online_retail):
    lines = f"SELECT * FROM '{online_retail}/order_lines.parquet' JOIN '{online_retail}/orders.parquet' o USING (order_id)"
    clean = f"SELECT * FROM ({lines}) WHERE o.customer_id IS NOT NULL".replace("o.", "")
    assert one(
        f"SELECT count(*), round(sum(quantity * price), 2), count(DISTINCT customer_id), count(DISTINCT order_id) "
        f"FROM ({clean})"
    ) == (397_884, Decimal("8911407.90"), 4_338, 18_532)
    assert one(
        f"SELECT round(sum(amount), 2), count(*) FILTER (order_id IS NOT NULL) FROM '{online_retail}/refunds.parquet'"
    ) == (Decimal("896812.49"), 0)
    outside = "NOT regexp_matches(sku, '^[0-9]{5}[A-Za-z]{0,2}$')"
    assert one(
        f"SELECT count(*), round(sum(quantity * price), 2) FROM ({clean}) WHERE {outside}"
    ) == (
        1_547,
        Decimal("150341.25"),
    )


def test_the_lines_of_online_retail_are_the_same_from_csv_in_another_encoding(
    online_retail, shared_data, tmp_path
):
    text = tmp_path / "export.csv"
    source = shared_data / "online-retail" / "online_retail.parquet"
    duckdb.sql(f"""COPY (SELECT * REPLACE (strftime(InvoiceDate, '%-m/%-d/%Y %-H:%M') AS InvoiceDate) FROM '{source}')
                   TO '{text}' (HEADER)""")
    western = tmp_path / "western.csv"
    western.write_text(text.read_text(encoding="utf-8"), encoding="cp1252", newline="")
    import_files("online-retail", [western], tmp_path / "store")
    for table in ("orders", "order_lines", "refunds", "customers", "products"):
        assert (tmp_path / "store" / f"{table}.parquet").read_bytes() == (
            online_retail / f"{table}.parquet"
        ).read_bytes()


def test_a_file_that_is_not_the_published_one_is_refused_with_the_numbers_that_differ(
    shared_data, tmp_path
):
    source = shared_data / "online-retail" / "online_retail.parquet"
    duckdb.sql(f"COPY (SELECT * FROM '{source}' LIMIT 1000) TO '{tmp_path}/part.parquet'")
    with pytest.raises(PlaybookError, match="rows 1000 instead of 541909"):
        import_files("online-retail", [tmp_path / "part.parquet"], tmp_path / "store")
    assert not (tmp_path / "store").exists()


# --- series ----------------------------------------------------------------------------------------------------------


def test_every_date_layout_and_header_of_the_census_series_reads_alike(shared_data, tmp_path):
    files = sorted((shared_data / "market-series").glob("*.csv"))
    import_files("auto", files, tmp_path / "store")
    rows = duckdb.sql(
        f"SELECT series, count(*), min(period_on)::VARCHAR, any_value(frequency) "
        f"FROM '{tmp_path}/store/market_series.parquet' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert rows == [
        ("ECOMNSA", 82, "1999-10-01", "quarter"),
        ("ECOMPCTSA", 101, "1999-10-01", "quarter"),
        ("ECOMSA", 101, "1999-10-01", "quarter"),
        ("MRTSSM44000USS", 393, "1992-01-01", "month"),
    ]


@pytest.mark.parametrize(
    ("text", "first", "frequency", "n"),
    [
        ("DATE,X\n1999-10-01,1\n2000-01-01,2\n2000-04-01,3\n", "1999-10-01", "quarter", 3),
        (
            "observation_date,X\n10/1/99,1\n1/1/00,2\n4/1/00,.\n7/1/00,3\n",
            "1999-10-01",
            "quarter",
            3,
        ),
        ("day;x\n01.02.2024;1,5\n01.03.2024;2,5\n", "2024-02-01", "month", 2),
        (
            "Category: All\n\nMonth,tea: (Worldwide)\n2024-01,<1\n2024-02,12\n",
            "2024-01-01",
            "month",
            2,
        ),
        ("Week,x\n2024-01-07 - 2024-01-13,1\n2024-01-14 - 2024-01-20,2\n", "2024-01-07", "week", 2),
        ('Quarter,"sales"\n2023 Q4,"1,200"\n2024 Q1,"1,300"\n', "2023-10-01", "quarter", 2),
        ("Quarter,sales\nQ4 2023,1200\nQ1 2024,1300\n", "2023-10-01", "quarter", 2),
    ],
)
def test_a_series_of_any_layout_imports(tmp_path, text, first, frequency, n):
    (tmp_path / "series.csv").write_text(text, encoding="utf-8")
    import_files("series", [tmp_path / "series.csv"], tmp_path / "store")
    found = duckdb.sql(
        f"SELECT min(period_on)::VARCHAR, any_value(frequency), count(*) "
        f"FROM '{tmp_path}/store/market_series.parquet'"
    ).fetchone()
    assert found == (first, frequency, n)


def test_two_vintages_are_two_rows_where_the_day_of_publication_is_told(shared_data, tmp_path):
    for quarter, day in (("Q3", "2024-11-19"), ("Q4", "2025-02-19")):
        import_files(
            "series",
            [shared_data / "market-series" / f"ECOMSA_vintage_2024{quarter}.csv"],
            tmp_path / "s",
            observed_on=day,
        )
    found = duckdb.sql(
        f"SELECT published_on::VARCHAR, value FROM '{tmp_path}/s/market_series.parquet' "
        "WHERE period_on = '2024-07-01' ORDER BY 1"
    ).fetchall()
    assert found == [("2024-11-19", 300_053.0), ("2025-02-19", 300_873.0)]


# --- fetch -----------------------------------------------------------------------------------------------------------


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder with byte ranges; hangs up after `budget` bytes as often as
    `cuts` says.
    """

    cuts = 0
    budget = 0
    asked: ClassVar[list] = []

    def log_message(self, *args):
        pass

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        span = self.headers.get("Range")
        type(self).asked.append(span)
        start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        self.send_response(206 if span else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Last-Modified", "Tue, 19 Nov 2024 15:00:00 GMT")
        self.send_header("Content-Length", str(len(content) - start))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        if type(self).cuts:
            type(self).cuts -= 1
            body = body[: type(self).budget]
        self.wfile.write(body)


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    folder = tmp_path / "publisher"
    folder.mkdir()
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / "cache"))
    Server.cuts, Server.budget, Server.asked = 0, 0, []
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Server, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


SERIES = "observation_date,ECOMNSA\n" + "".join(
    f"{y}-{q:02d}-01,{y * 10 + q}\n" for y in range(1990, 2020) for q in (1, 4, 7, 10)
)


@pytest.fixture
def only_one_series(monkeypatch):
    known = DATA_SETS["market-series"]
    monkeypatch.setitem(
        DATA_SETS, "market-series", type(known)(**{**vars(known), "files": {"ECOMNSA.csv": ""}})
    )


def test_a_download_that_breaks_off_goes_on_from_where_it_was(publisher, only_one_series, tmp_path):
    folder, address = publisher
    (folder / "s.csv").write_text(SERIES)
    Server.cuts, Server.budget = 2, 700
    seen = []
    report = fetching.fetch(
        "market-series",
        tmp_path / "store",
        addresses={"ECOMNSA.csv": f"{address}/s.csv"},
        progress=lambda *a: seen.append(a),
        wait_seconds=0,
    )
    assert Server.asked == [None, "bytes=700-", "bytes=1400-"]
    assert report.files[0]["how"] == "resumed" and report.files[0]["bytes"] == len(SERIES)
    assert seen[-1] == ("ECOMNSA.csv", len(SERIES), len(SERIES))
    assert one(
        f"SELECT count(*), any_value(published_on)::VARCHAR FROM '{tmp_path}/store/market_series.parquet'"
    ) == (
        120,
        "2024-11-19",
    )


def test_what_arrived_before_giving_up_is_kept_for_the_next_call(
    publisher, only_one_series, tmp_path
):
    folder, address = publisher
    (folder / "s.csv").write_text(SERIES)
    Server.cuts, Server.budget = fetching.TRIES, 100
    with pytest.raises(PlaybookError, match="cannot be reached"):
        fetching.fetch(
            "market-series",
            tmp_path / "store",
            addresses={"ECOMNSA.csv": f"{address}/s.csv"},
            wait_seconds=0,
        )
    assert not (tmp_path / "store").exists()
    fetching.fetch(
        "market-series",
        tmp_path / "store",
        addresses={"ECOMNSA.csv": f"{address}/s.csv"},
        wait_seconds=0,
    )
    assert Server.asked[-1] == f"bytes={100 * fetching.TRIES}-"


def test_a_wrong_archive_is_refused_and_does_not_stay_in_the_cache(publisher, tmp_path):
    folder, address = publisher
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        packed.writestr(
            "x.csv",
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
            "1,A,Lamp,1,2010-12-01 08:26:00,2.5,17850,France\n",
        )
    with pytest.raises(PlaybookError, match="not the published file"):
        fetching.fetch(
            "online-retail", tmp_path / "store", addresses={"online-retail.zip": f"{address}/a.zip"}
        )
    assert not list((tmp_path / "cache" / "downloads").glob("*.zip"))
    assert not (tmp_path / "store").exists()


def test_a_web_page_instead_of_the_archive_is_refused(publisher, tmp_path):
    folder, address = publisher
    (folder / "a.zip").write_text("<!DOCTYPE html><html><body>Maintenance</body></html>")
    with pytest.raises(PlaybookError, match="web page"):
        fetching.fetch(
            "online-retail", tmp_path / "store", addresses={"online-retail.zip": f"{address}/a.zip"}
        )


def test_a_publisher_that_is_not_there_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PlaybookError, match="cannot be reached") as caught:
        fetching.fetch(
            "online-retail",
            addresses={"online-retail.zip": "http://127.0.0.1:9/a.zip"},
            wait_seconds=0,
        )
    assert "http://127.0.0.1:9/a.zip" in str(caught.value)


def test_an_unknown_data_set_is_named_with_those_there_are():
    with pytest.raises(PlaybookError, match="cdnow, online-retail, market-series"):
        data_set("kaggle")
