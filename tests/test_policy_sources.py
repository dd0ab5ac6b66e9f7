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
