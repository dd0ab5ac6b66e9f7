"""The demo shop looks like a shop: each figure lies in a band taken from a real one, or
from a source that is named.

The real shop is UCI Online Retail (CC BY 4.0; Chen, Sain & Guo 2012), measured here
from its rows with the same queries: a gift-ware wholesaler and retailer of one year.
Where it has no such column, the band is a published one.
"""

import duckdb
import pytest

from playbook.demo.make import make_demo

YEAR = "ordered_on >= DATE '2025-11-01'"  # the demo shop's last year, as Online Retail is one year


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = make_demo(
        tmp_path_factory.mktemp("bands") / "shop", preset="demo", customers=5_000, with_truth=False
    )
    con = duckdb.connect()
    for name in ("orders", "order_lines", "refunds", "stock", "traffic", "customers"):
        con.execute(f"CREATE VIEW {name} AS SELECT * FROM '{folder}/{name}.parquet'")
    con.execute(f"""CREATE TABLE sales AS SELECT order_id, ordered_on AS day, customer_id AS customer, sku,
        (quantity * price - l.discount)::DOUBLE AS value FROM order_lines l JOIN orders USING (order_id)
        WHERE status NOT IN ('placed', 'cancelled') AND {YEAR}""")
    return con


@pytest.fixture(scope="module")
def real(shared_data):
    con = duckdb.connect()
    rows = f"'{shared_data}/online-retail/online_retail.parquet'"
    con.execute(f"""CREATE TABLE sales AS SELECT InvoiceNo AS order_id, InvoiceDate::DATE AS day,
        CustomerID AS customer, StockCode AS sku, Quantity * UnitPrice AS value FROM {rows}
        WHERE Quantity > 0 AND UnitPrice > 0 AND InvoiceNo NOT LIKE 'C%' AND InvoiceDate < DATE '2011-12-01'""")
    return con


def one(con, query):
    return float(con.execute(query).fetchone()[0])


REPEAT = """SELECT avg((n > 1)::INT) FROM (SELECT count(DISTINCT order_id) n FROM sales
    WHERE customer IS NOT NULL GROUP BY customer)"""
SPREAD = """SELECT stddev(ln(v)) FROM (SELECT sum(value) v FROM sales WHERE customer IS NOT NULL GROUP BY order_id)
    WHERE v > 0"""
NOVEMBER = """SELECT max(n) / avg(n) FROM (SELECT month(day) m, count(DISTINCT order_id) / count(DISTINCT day) n
    FROM sales GROUP BY 1)"""
WEEKDAY = """SELECT max(n) / min(n) FROM (SELECT isodow(day) w, count(DISTINCT order_id) / count(DISTINCT day) n
    FROM sales GROUP BY 1)"""
TOP_FIFTH = """SELECT sum(v) FILTER (WHERE r <= 0.2) / sum(v) FROM (SELECT v, percent_rank() OVER (ORDER BY v DESC) r
    FROM (SELECT {who}, sum(value) v FROM sales WHERE {who} IS NOT NULL GROUP BY 1))"""


def test_the_share_of_repeat_buyers_lies_between_the_published_floor_and_the_real_wholesaler(
    demo, real
):
    # opensend (2025) gives 15 to 30 % for shops of all kinds; a wholesaler's customers come back more often
    assert 0.15 <= one(demo, REPEAT) <= one(real, REPEAT)


def test_order_values_spread_as_in_the_real_shop(demo, real):
    assert 0.65 <= one(demo, SPREAD) / one(real, SPREAD) <= 1.2


def test_the_best_month_stands_out_as_in_the_real_shop(demo, real):
    assert 0.75 <= one(demo, NOVEMBER) / one(real, NOVEMBER) <= 1.25


def test_weekdays_differ_but_no_more_than_in_the_real_shop(demo, real):
    assert 1.05 <= one(demo, WEEKDAY) <= one(real, WEEKDAY) * 1.1


def test_a_fifth_of_the_skus_sells_what_it_does_in_the_real_shop(demo, real):
    query = TOP_FIFTH.format(who="sku")
    assert abs(one(demo, query) - one(real, query)) <= 0.12


def test_a_fifth_of_the_customers_buys_what_it_does_in_the_real_shop(demo, real):
    query = TOP_FIFTH.format(who="customer")
    assert abs(one(demo, query) - one(real, query)) <= 0.20


def test_the_share_sent_back_lies_between_the_real_shop_and_the_published_online_share(
    demo, real, shared_data
):
    # National Retail Federation (2025): 19.3 % of US online sales are returned; Online Retail books credit notes
    credited = one(
        real,
        f"""SELECT -sum(Quantity * UnitPrice) / (SELECT sum(value) FROM sales)
        FROM '{shared_data}/online-retail/online_retail.parquet' WHERE InvoiceNo LIKE 'C%'
        AND CustomerID IS NOT NULL AND InvoiceDate < DATE '2011-12-01' AND abs(Quantity) < 70000""",
    )
    back = one(
        demo,
        f"""SELECT sum(r.amount)::DOUBLE / (SELECT sum(value) FROM sales WHERE day < DATE '2026-08-01') FROM refunds r
        JOIN orders o USING (order_id) WHERE r.kind <> 'cancellation' AND o.status <> 'cancelled' AND o.{YEAR}
        AND o.ordered_on < DATE '2026-08-01'""",
    )
    assert min(credited, 0.05) <= back <= 0.193


def test_empty_shelves_lie_in_the_published_range(demo):
    # Gruen, Corsten & Bharadwaj (2002), Retail Out-of-Stocks: 8.3 % on average, most retailers between 5 and 10 %
    share = one(
        demo, "SELECT avg((available = 0)::INT) FROM stock WHERE day_on >= DATE '2025-11-01'"
    )
    assert 0.03 <= share <= 0.12


def test_conversion_lies_in_the_published_range(demo):
    # elogic (2026): 1.4 to 3.0 % of sessions, all shops
    assert 0.014 <= one(demo, "SELECT sum(buyers) / sum(sessions) FROM traffic") <= 0.03


def test_people_look_more_than_they_buy_on_the_phone(demo):
    rows = dict(
        demo.execute(
            "SELECT device, sum(buyers) / sum(sessions) FROM traffic GROUP BY 1"
        ).fetchall()
    )
    assert rows["desktop"] > rows["mobile"]
