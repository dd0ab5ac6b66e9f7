"""Every constant by which an import decides, at its edge: hand-computed rows just inside and
just outside.
"""

import datetime as dt
from pathlib import Path

import duckdb
import pytest
from case_files import SALT, one

from playbook.errors import PlaybookError
from playbook.sources.days import far_after
from playbook.sources.importing import import_files

MAPPED = {
    "table": "orders",
    "name": "t",
    "columns": {
        "order_id": "order",
        "ordered_at": "date",
        "sku": "sku",
        "quantity": "qty",
        "price": "price",
    },
}
HEAD = "order,date,sku,qty,price\n"


def load(store: Path, kind: str, *texts: str, **knobs: object):
    files = []
    for i, text in enumerate(texts):
        files.append(store.parent / f"{i}.csv")
        files[-1].write_text(text, encoding="utf-8")
    return import_files(kind, files, store, salt=SALT, **knobs)


def days(*counts: tuple[str, int]) -> list[tuple[dt.date, int]]:
    return [(dt.date.fromisoformat(day), n) for day, n in counts]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        # FAR_DAYS: 301 days after the others is far, 300 is not
        (days(("2026-01-01", 5), ("2026-10-29", 1)), 1),
        (days(("2026-01-01", 5), ("2026-10-28", 1)), 0),
        # LEAST_BEFORE: four rows say too little of a shop's days
        (days(("2026-01-01", 4), ("2027-10-29", 1)), 0),
        # FEW_SHARE: two of a hundred rows are a slip, three are not
        (days(("2026-01-01", 98), ("2027-10-29", 2)), 2),
        (days(("2026-01-01", 97), ("2027-10-29", 3)), 0),
    ],
)
def test_a_few_rows_far_after_all_others_are_found(counts, found):
    assert far_after(counts)[0] == found


@pytest.mark.parametrize(
    ("first", "is_refused"), [("1994-12-31", True), ("1995-01-01", False), ("2100-01-01", True)]
)
def test_days_before_web_shops_and_after_the_century_are_refused(first, is_refused, tmp_path):
    text = HEAD + f"1,{first},a,1,10\n"
    try:
        load(tmp_path / "s", "generic", text, mapping=MAPPED)
        assert not is_refused
    except PlaybookError as error:
        assert is_refused and "cannot be meant" in str(error) and error.column == "date"


def test_days_that_are_meant_are_named_in_the_settings(tmp_path):
    rows = "".join(f"{i},2026-01-0{i},a,1,10\n" for i in range(1, 7))
    text = HEAD + rows + "7,2028-01-01,a,1,10\n"
    with pytest.raises(PlaybookError, match="2028-01-01"):
        load(tmp_path / "s", "generic", text, mapping=MAPPED)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "shop.yaml").write_text("name: t\nknown_days: [2028-01-01]\n")
    load(tmp_path / "t", "generic", text, mapping=MAPPED)
    assert one(tmp_path / "t", "SELECT count(*) FROM '@orders.parquet'") == 7


@pytest.mark.parametrize(("spend", "is_refused"), [("8.10", False), ("7.50", True)])
def test_spend_restated_by_a_fifth_is_one_account_and_by_more_two(spend, is_refused, tmp_path):
    head = "Day,Campaign,Currency code,Cost\n"
    first = head + "2026-10-01,Brand,GBP,10.00\n2026-10-02,Brand,GBP,10.00\n"
    again = head + f"2026-10-01,Brand,GBP,{spend}\n2026-10-02,Brand,GBP,{spend}\n"
    try:
        load(tmp_path / "s", "google-ads", first, again)
        assert not is_refused
    except PlaybookError as error:
        assert is_refused and "account" in str(error)


@pytest.mark.parametrize(("hours", "is_refused"), [(36, False), (37, True)])
def test_a_number_whose_moments_lie_further_apart_than_time_zones_is_two_orders(
    hours, is_refused, tmp_path
):
    moment = dt.datetime(2026, 1, 5) + dt.timedelta(hours=hours)
    first, again = HEAD + "1,2026-01-05 00:00:00,a,1,10\n", HEAD + f"1,{moment},a,1,10\n"
    try:
        load(tmp_path / "s", "generic", first, again, mapping=MAPPED)
        assert not is_refused
    except PlaybookError as error:
        assert is_refused and "names two orders" in str(error)


# --- rows of sums -------------------------------------------------------------------------

SPEND = {
    "table": "ad_spend",
    "name": "m",
    "columns": {"day_on": "day", "channel": "campaign", "spend": "cost"},
}


def spent(rows: list[tuple[int, str, float]]) -> str:
    return "day,campaign,cost\n" + "".join(f"2026-10-0{d},{c},{v}\n" for d, c, v in rows)


def test_a_label_that_is_the_sum_of_others_on_days_that_differ_is_taken_off(tmp_path):
    rows = [(d, c, v * d) for d in (1, 2, 3) for c, v in (("A", 1), ("B", 2), ("Razem", 3))]
    report = load(tmp_path / "s", "generic", spent(rows), mapping=SPEND)
    assert one(tmp_path / "s", "SELECT sum(spend) FROM '@ad_spend.parquet'") == 18
    assert any("Razem (3)" in note for note in report.files[0].notes)


def test_three_budgets_spent_in_full_are_asked_about_and_kept_when_named(tmp_path):
    rows = [(d, c, v) for d in (1, 2, 3) for c, v in (("A", 10), ("B", 20), ("C", 30))]
    with pytest.raises(PlaybookError, match="or a campaign of its own"):
        load(tmp_path / "s", "generic", spent(rows), mapping=SPEND)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "shop.yaml").write_text("name: t\nknown_campaigns: [C]\n")
    load(tmp_path / "t", "generic", spent(rows), mapping=SPEND)
    assert one(tmp_path / "t", "SELECT sum(spend) FROM '@ad_spend.parquet'") == 180


def test_one_campaign_as_large_as_one_other_is_no_sum(tmp_path):
    rows = [(d, c, v * d) for d in (1, 2, 3) for c, v in (("A", 5), ("B", 5))]
    load(tmp_path / "s", "generic", spent(rows), mapping=SPEND)
    assert one(tmp_path / "s", "SELECT sum(spend) FROM '@ad_spend.parquet'") == 60


# --- who an order is ----------------------------------------------------------------------


def test_an_order_cut_at_the_edge_of_two_files_is_put_together_and_an_edited_one_is_not(tmp_path):
    first = HEAD + "1,2026-01-05,a,1,10\n2,2026-01-06,a,1,10\n"
    second = HEAD + "2,2026-01-06,b,1,30\n3,2026-01-07,b,1,30\n"
    report = load(tmp_path / "s", "generic", first, second, mapping=MAPPED)
    assert duckdb.sql(
        f"SELECT line_no, sku, price::INT FROM '{tmp_path}/s/order_lines.parquet' "
        "WHERE order_id = '2' ORDER BY 1"
    ).fetchall() == [(1, "a", 10), (2, "b", 30)]
    assert any("put together" in note for note in report.notes)
    (tmp_path / "u").mkdir()
    longer = HEAD + "1,2026-01-05,a,1,10\n2,2026-01-06,a,1,10\n2,2026-01-06,b,1,30\n"
    load(tmp_path / "u" / "s", "generic", first, longer, mapping=MAPPED)
    # order 1's line and both of order 2
    assert one(tmp_path / "u" / "s", "SELECT sum(price)::INT FROM '@order_lines.parquet'") == 50
    (tmp_path / "v").mkdir()
    rest = HEAD + "2,2026-01-06,b,1,30\n3,2026-01-07,b,1,30\n"
    load(tmp_path / "v" / "s", "generic", longer, rest, mapping=MAPPED)
    assert one(tmp_path / "v" / "s", "SELECT sum(price)::INT FROM '@order_lines.parquet'") == 80


def test_a_sign_of_another_currency_in_the_price_is_not_the_shops_money(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "shop.yaml").write_text("name: s\ncurrency: GBP\n")
    text = HEAD + "1,2026-01-05,a,1,€10\n2,2026-01-06,a,1,€20\n"
    report = load(tmp_path / "s", "generic", text, mapping=MAPPED)
    assert any("2 orders in EUR" in note for note in report.notes)
    both = HEAD + "1,2026-01-05,a,1,€10\n2,2026-01-06,a,1,£20\n"
    with pytest.raises(PlaybookError, match="EUR, GBP"):
        load(tmp_path / "t", "generic", both, mapping=MAPPED)


@pytest.mark.parametrize(
    ("prices", "found"),
    [
        (("125.000", "75.500"), None),  # nothing tells
        (("125.000", "1.075.500"), 1_200_500),  # a second group does
        (("125.000", "0.500"), 125.5),  # and so does a leading nought
        (("125.000", "75.50"), 200.5),  # and two decimals
        (("125.000",) * 5000 + ("75.50",), 625_075.5),  # wherever they stand
    ],
)
def test_a_point_before_three_digits_is_proved_or_asked_about(prices, found, tmp_path):
    text = HEAD + "".join(f"{i},2026-01-05,a,1,{p}\n" for i, p in enumerate(prices))
    if found is None:
        with pytest.raises(PlaybookError, match="decimals or thousands"):
            load(tmp_path / "s", "generic", text, mapping=MAPPED)
        load(tmp_path / "s", "generic", text, mapping=MAPPED, is_decimal_comma=False)
        found = 200.5
    else:
        load(tmp_path / "s", "generic", text, mapping=MAPPED)
    total = one(tmp_path / "s", "SELECT sum(quantity * price) FROM '@order_lines.parquet'")
    assert float(total) == found


ONCE = "1,2026-01-05,a,1,10\n2,2026-01-06,a,1,10\n"


@pytest.mark.parametrize(
    ("texts", "revenue"),
    [
        # an export pasted below itself, its header again in the middle
        ([HEAD + ONCE + HEAD + ONCE], 20),
        # lines sorted by sku: blocks of one order that differ are its lines
        ([HEAD + ONCE + "1,2026-01-05,b,1,10\n2,2026-01-06,b,1,10\n"], 40),
        # a line called a sum that comes to the others of its order, and one that does not
        ([HEAD + ONCE + "3,2026-01-07,a,1,10\n3,2026-01-07,b,2,10\n3,2026-01-07,Total,1,30\n"], 50),
        ([HEAD + ONCE + "3,2026-01-07,a,1,10\n3,2026-01-07,b,2,10\n3,2026-01-07,Total,1,31\n"], 81),
        # noughts a spreadsheet has taken off, and .0 a data frame has put on
        ([HEAD + "0001,2026-01-05,a,1,10\n", HEAD + ONCE], 20),
        ([HEAD + "1.0,2026-01-05,a,1,10\n", HEAD + ONCE], 20),
        # the same number for other money is another order
        ([HEAD + "#1,2026-01-05,a,1,11\n", HEAD + ONCE], 31),
    ],
)
def test_what_stands_twice_counts_once_and_what_only_looks_alike_stays(texts, revenue, tmp_path):
    load(tmp_path / "s", "generic", *texts, mapping=MAPPED)
    found = one(
        tmp_path / "s", "SELECT sum(quantity * price - discount) FROM '@order_lines.parquet'"
    )
    assert found == revenue


@pytest.mark.parametrize(
    ("buyers", "is_refused"),
    [
        ("abc", False),  # the same three buyers: one export made twice
        ("xbc", False),  # one of three has changed an address
        ("xyc", True),  # two of three are others: two shops
    ],
)
def test_two_shops_share_numbers_and_moments_and_not_their_buyers(buyers, is_refused, tmp_path):
    head = "order,date,sku,qty,price,mail\n"

    def export(mails):
        rows = enumerate(mails, start=1)
        return head + "".join(f"{i},2026-01-0{i},a,1,10,{m}@example.com\n" for i, m in rows)

    told = MAPPED | {"columns": MAPPED["columns"] | {"email": "mail"}}
    try:
        load(tmp_path / "s", "generic", export("abc"), export(buyers), mapping=told)
        assert not is_refused
        assert one(tmp_path / "s", "SELECT count(*) FROM '@orders.parquet'") == 3
    except PlaybookError as error:
        assert is_refused and "names two orders" in str(error)


# --- what a mapping leaves open -----------------------------------------------------------

TAXED = MAPPED | {"columns": MAPPED["columns"] | {"tax": "vat"}}


def taxed(*rows: tuple[str, str]) -> str:
    lines = (f"o{i},2026-10-01,a,1,{price},{vat}" for i, (price, vat) in enumerate(rows))
    return "\n".join(["order,date,sku,qty,price,vat", *lines]) + "\n"


@pytest.mark.parametrize(
    ("rows", "sales"),
    [
        # 20 % of what is left, and no rate of 12.00
        ([("12.00", "2.00")], 10),
        # 10 %, and no rate of the 9.00 left
        ([("10.00", "1.00")], 10),
        # STEPS: half a per cent is a rate, a quarter is none
        ([("1000.00", "85.00")], 1000),
        ([("1000.00", "82.50")], None),
        # HALF_CENT: 20 % of 1000.00 less a cent is no rate
        ([("1200.00", "200.00")], 1000),
        ([("1200.00", "199.99")], None),
        # ALMOST_ALL: 19 of 20 orders tell, 18 do not
        ([("120.00", "20.00")] * 19 + [("100.00", "8.88")], 1991.12),
        ([("120.00", "20.00")] * 18 + [("100.00", "8.88")] * 2, None),
        # FEW: 0.05 of 1.05 is 5 % either way; one such order of four is no matter, two are
        ([("120.00", "20.00")] * 3 + [("1.05", "0.05")], 301),
        ([("120.00", "20.00")] * 2 + [("1.05", "0.05")] * 2, None),
    ],
)
def test_tax_is_inside_where_its_rate_says_so(rows, sales, tmp_path):
    if sales is None:
        with pytest.raises(PlaybookError, match="tax_inside"):
            load(tmp_path / "s", "generic", taxed(*rows), mapping=TAXED)
        return
    load(tmp_path / "s", "generic", taxed(*rows), mapping=TAXED)
    found = one(tmp_path / "s", "SELECT sum(quantity * price) FROM '@order_lines.parquet'")
    assert float(found) == pytest.approx(sales)


@pytest.mark.parametrize(
    ("header", "told", "sales"),
    [
        ("price incl. VAT", None, 91.12),
        ("Preis netto", None, 100),
        ("price", True, 91.12),
        ("price", False, 100),
    ],
)
def test_a_header_or_the_mapping_says_whether_tax_is_inside(header, told, sales, tmp_path):
    text = f"order,date,sku,qty,{header},vat\no1,2026-10-01,a,1,100.00,8.88\n"
    columns = TAXED["columns"] | {"price": header}
    mapping = TAXED | {"columns": columns} | ({} if told is None else {"tax_inside": told})
    load(tmp_path / "s", "generic", text, mapping=mapping)
    found = one(tmp_path / "s", "SELECT sum(quantity * price) FROM '@order_lines.parquet'")
    assert float(found) == pytest.approx(sales)


@pytest.mark.parametrize(("n_words", "is_refused"), [(23, True), (24, False)])
def test_a_column_of_few_words_may_say_that_a_row_is_no_sale(n_words, is_refused, tmp_path):
    # MOST_WORDS: with 24 values beside `refund` it is a text
    words = ["refund", *(f"note {i}" for i in range(n_words))]
    rows = "".join(f"o{i},2026-10-01,a,1,10,{word}\n" for i, word in enumerate(words))
    text = "order,date,sku,qty,price,about\n" + rows
    if not is_refused:
        load(tmp_path / "s", "generic", text, mapping=MAPPED)
        return
    with pytest.raises(PlaybookError, match="refund") as caught:
        load(tmp_path / "s", "generic", text, mapping=MAPPED)
    assert caught.value.column == "about"
    ignored = MAPPED | {"ignored": {"about": "a word of the warehouse"}}
    load(tmp_path / "s", "generic", text, mapping=ignored)


def test_words_of_rows_that_a_status_or_a_sign_explains_are_no_matter(tmp_path):
    text = (
        "order,date,sku,qty,price,state,type\no1,2026-10-01,a,1,10,done,Sale\n"
        "o2,2026-10-01,a,1,10,void,Void\no3,2026-10-02,a,-1,10,done,Return\n"
    )
    columns = MAPPED["columns"] | {"status": "state"}
    mapping = MAPPED | {"columns": columns, "status": {"void": "cancelled"}}
    load(tmp_path / "s", "generic", text, mapping=mapping)
    assert one(tmp_path / "s", "SELECT sum(amount) FROM '@refunds.parquet'") == 10


def test_a_mapped_mark_of_tests_takes_them_out_of_the_sales(tmp_path):
    text = "order,date,sku,qty,price,test\no1,2026-10-01,a,1,10,no\no2,2026-10-01,a,1,99,yes\n"
    mapping = MAPPED | {"columns": MAPPED["columns"] | {"is_test": "test"}}
    load(tmp_path / "s", "generic", text, mapping=mapping)
    assert (
        one(tmp_path / "s", "SELECT string_agg(order_id, '') FROM '@orders.parquet' WHERE is_test")
        == "o2"
    )


STOCK = {
    "table": "stock",
    "name": "t",
    "columns": {"day_on": "day", "sku": "sku", "location": "place", "on_hand": "units"},
}


def stock(third: str, *units: tuple[int, int, int]) -> str:
    rows = "".join(
        f"2026-10-01,s{i},{place},{n}\n"
        for i, three in enumerate(units)
        for place, n in zip(("Berlin", "Ulm", third), three, strict=True)
    )
    return "day,sku,place,units\n" + rows


@pytest.mark.parametrize(
    ("text", "units"),
    [
        (stock("All locations", (10, 5, 15), (2, 1, 3)), 18),
        # a total that does not come to its places is asked about
        (stock("Total", (10, 5, 15), (2, 1, 4)), None),
        # LEAST_SKUS: two skus of a place alike the others together are chance, three are not
        (stock("Rom", (10, 5, 15), (2, 1, 3)), 36),
        (stock("Rom", (10, 5, 15), (2, 1, 3), (7, 1, 8)), None),
    ],
)
def test_a_row_of_all_places_is_no_place(text, units, tmp_path):
    if units is None:
        with pytest.raises(PlaybookError, match="sum of the places"):
            load(tmp_path / "s", "generic", text, mapping=STOCK)
        return
    load(tmp_path / "s", "generic", text, mapping=STOCK)
    assert one(tmp_path / "s", "SELECT sum(on_hand) FROM '@stock.parquet'") == units


@pytest.mark.parametrize(
    ("header", "money"), [("cost_micros", "0.00015"), ("cost (cents)", "1.5"), ("cost", "150")]
)
def test_a_header_may_say_in_which_part_of_its_unit_money_is_told(header, money, tmp_path):
    text = f"day,network,{header}\n2026-10-01,google,150\n"
    columns = {"day_on": "day", "channel": "network", "spend": header}
    mapping = {"table": "ad_spend", "name": "t", "columns": columns}
    load(tmp_path / "s", "generic", text, mapping=mapping)
    assert str(one(tmp_path / "s", "SELECT sum(spend) FROM '@ad_spend.parquet'")).startswith(money)


@pytest.mark.parametrize(("amount", "is_with_tax"), [("12.00", True), ("10.00", False)])
def test_refunds_hold_tax_where_one_of_them_gives_back_more_than_the_goods(
    amount, is_with_tax, tmp_path
):
    # o2 was 20.00 and 4.00 tax; 6.00 given back are 5.00 of goods where refunds hold tax
    text = (
        "order,date,sku,qty,price,vat,total\no1,2026-10-01,a,1,10,2,12\no2,2026-10-02,b,1,20,4,24\n"
    )
    columns = TAXED["columns"] | {"total": "total"}
    load(tmp_path / "s", "generic", text, mapping=TAXED | {"columns": columns})
    refunds = {"refund_id": "id", "order_id": "order", "refunded_at": "date", "amount": "amount"}
    text = f"id,order,date,amount\nr1,o1,2026-10-05,{amount}\nr2,o2,2026-10-06,6.00\n"
    mapping = {"table": "refunds", "name": "t", "columns": refunds}
    report = load(tmp_path / "s", "generic", text, mapping=mapping)
    booked = one(tmp_path / "s", "SELECT sum(amount) FROM '@refunds.parquet'")
    assert booked == (15 if is_with_tax else 16)
    assert any("tax" in note for note in report.notes)


@pytest.mark.parametrize(
    ("kind", "sample", "header", "broken", "told"),
    [
        ("woocommerce-orders", "woocommerce_orders.csv", "Revenue", "Renevue", "n revenue"),
        ("amazon-settlement", "amazon_settlement.txt", "order-id", "or-id", "order id"),
    ],
)
def test_a_header_the_reading_needs_is_missed_by_name(
    root, tmp_path, kind, sample, header, broken, told
):
    text = (root / "data/samples" / sample).read_text(encoding="utf-8")
    path = tmp_path / sample
    first, rest = text.split("\n", 1)
    path.write_text(first.replace(header, broken) + "\n" + rest, encoding="utf-8")
    with pytest.raises(PlaybookError, match="required columns are missing") as refused:
        import_files(kind, [path], tmp_path / "store", salt=b"salt")
    assert told.lower() in str(refused.value).lower()
