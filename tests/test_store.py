"""Opening a store: types, cuts, derived tables and refusals, each on a shop small
enough to check by eye.
"""

import datetime as dt
from decimal import Decimal

import ibis
import numpy as np
import pandas as pd
import pytest
from shops import order, write_shop

from playbook.errors import PlaybookError
from playbook.store import open_store
from playbook.store.contract import TABLES, arrow_schema, contract_markdown
from playbook.store.cutting import typed
from playbook.store.derived import DERIVED, order_money
from playbook.store.privacy import privacy_scan
from playbook.store.readiness import capability, days_without_orders, quality, verdict
from playbook.store.reconcile import inflation, ledger, status_policy

TWO = [order("1", "2026-08-03"), order("2", "2026-09-30", "bob", price=5.0, quantity=3)]


def frame(shop, name):
    return shop.con.execute(getattr(shop, name))


def sorted_bytes(shop):
    """Every derived table as bytes: equal shops give equal bytes."""
    return {
        name: (getattr(shop, name), (shop.cache / f"{name}.parquet").read_bytes())[1]
        for name in DERIVED
    }


# ---- as of ------------------------------------------------------------------------------------------------------


def test_no_table_is_called_as_something_a_store_has_besides(tmp_path):
    shop = open_store(write_shop(tmp_path / "s", [order("1", "2026-08-03")]), until="2026-08")
    assert not set(TABLES) & {*vars(shop), *vars(type(shop))}


def test_rows_after_the_month_are_gone(tmp_path):
    shop = open_store(write_shop(tmp_path / "s", TWO), until="2026-08")
    assert frame(shop, "orders").order_id.tolist() == ["1"]
    assert shop.as_of == dt.date(2026, 8, 31)


def test_a_delivery_after_as_of_is_not_known_yet(tmp_path):
    late = order(
        "1",
        "2026-08-30",
        paid_at=pd.Timestamp("2026-08-30 11:00"),
        shipped_at=pd.Timestamp("2026-08-31"),
        delivered_at=pd.Timestamp("2026-09-04"),
    )
    shop = open_store(write_shop(tmp_path / "s", [late, TWO[1]]), until="2026-08")
    row = frame(shop, "orders").iloc[0]
    assert pd.isna(row.delivered_at)
    assert row.status == "shipped"


def test_a_cancellation_after_as_of_has_not_happened(tmp_path):
    cancelled = order(
        "1",
        "2026-08-30",
        status="cancelled",
        paid_at=pd.Timestamp("2026-08-30 11:00"),
        cancelled_at=pd.Timestamp("2026-09-02"),
    )
    folder = write_shop(tmp_path / "s", [cancelled, TWO[1]])
    assert frame(open_store(folder, until="2026-08"), "orders").status.tolist() == ["paid"]
    assert frame(open_store(folder, until="2026-09"), "orders").status.tolist()[0] == "cancelled"


def test_the_local_day_ends_the_month_not_utc(tmp_path):
    """23:30 in Berlin on 31 August is 21:30 UTC; a delivery at 22:30 UTC is already
    September there.
    """
    o = order("1", "2026-08-31", delivered_at=pd.Timestamp("2026-08-31 22:30"))
    shop = open_store(
        write_shop(tmp_path / "s", [o, TWO[1]], shop="name: t\ntime_zone: Europe/Berlin\n"),
        until="2026-08",
    )
    assert frame(shop, "orders").delivered_at.isna().all()


def test_a_log_cut_at_the_month_and_the_full_store_give_the_same_bytes(tmp_path):
    whole = write_shop(tmp_path / "whole", TWO)
    cut = write_shop(tmp_path / "cut", TWO[:1], observed_to="2026-08-31")
    assert sorted_bytes(open_store(whole, until="2026-08")) == sorted_bytes(
        open_store(cut, until="2026-08")
    )


def test_shuffled_rows_give_the_same_bytes(tmp_path):
    rows = [
        order(str(i), f"2026-08-{i + 1:02d}", f"c{i % 3}", price=1.1 * i + 1) for i in range(12)
    ]
    first = open_store(write_shop(tmp_path / "a", rows), until="2026-08-12")
    second = open_store(write_shop(tmp_path / "b", rows[::-1]), until="2026-08-12")
    assert sorted_bytes(first) == sorted_bytes(second)


def test_without_a_month_the_last_complete_one_is_taken(tmp_path):
    rows = [order("1", "2026-08-03"), order("2", "2026-09-14")]
    assert open_store(write_shop(tmp_path / "s", rows)).month == "2026-08"


def test_a_month_the_log_does_not_reach_the_end_of_is_incomplete(tmp_path):
    shop = open_store(
        write_shop(tmp_path / "s", [order("1", "2026-08-03"), order("2", "2026-09-14")]),
        until="2026-09",
    )
    assert not shop.is_month_complete
    assert shop.as_of == dt.date(2026, 9, 14)
    assert verdict(shop).status == "stop"


# ---- derived ----------------------------------------------------------------------------------------------------


def test_two_orders_on_a_day_are_one_customer_day(tmp_path):
    rows = [order("1", "2026-08-03"), order("2", "2026-08-03", price=2.5)]
    days = frame(open_store(write_shop(tmp_path / "s", rows), until="2026-08-03"), "customer_days")
    assert days[["customer_id", "orders"]].to_numpy().tolist() == [["ann", 2]]
    assert days.revenue[0] == Decimal("12.500000")


def test_a_refund_day_has_no_order_and_negative_revenue(tmp_path):
    refunds = pd.DataFrame(
        {
            "refund_id": ["r1"],
            "order_id": ["1"],
            "line_no": [1],
            "refunded_on": [dt.date(2026, 8, 9)],
            "amount": [10.0],
            "quantity": [1],
            "kind": ["return"],
        }
    )
    shop = open_store(
        write_shop(
            tmp_path / "s",
            [order("1", "2026-08-03", unit_cost=4.0)],
            refunds=refunds,
            observed_to="2026-08-31",
        ),
        until="2026-08",
    )
    days = frame(shop, "customer_days").set_index("day_on")
    assert days.orders.tolist() == [1, 0]
    assert days.revenue.tolist() == [Decimal(10), Decimal(-10)]
    assert days.margin.tolist() == [
        Decimal(6),
        Decimal(-6),
    ]  # the mug came back into stock at its cost


def test_a_margin_is_missing_where_a_cost_is(tmp_path):
    rows = [
        order("1", "2026-08-03", unit_cost=4.0),
        order("2", "2026-08-04", "bob", unit_cost=None),
    ]
    margins = frame(
        open_store(write_shop(tmp_path / "s", rows), until="2026-08-04"), "customer_days"
    ).set_index("customer_id")
    assert margins.margin["ann"] == Decimal(6)
    assert margins.margin.isna()["bob"]


def test_contribution_margin_takes_fees_and_fulfilment_net_of_shipping_charged(tmp_path):
    """100 revenue - 40 goods - 2 % of 105 paid - (7 freight - 5 charged) = 55.90."""
    one = order("1", "2026-08-03", price=100.0, unit_cost=40.0) | {
        "shipping": 5.0,
        "total": 105.0,
        "shipping_cost": 7.0,
    }
    rates = pd.DataFrame(
        {
            "from_on": [dt.date(2026, 1, 1)],
            "kind": ["payment_share"],
            "value": [0.02],
            "scope": ["all"],
        }
    )
    shop = open_store(write_shop(tmp_path / "s", [one], cost_rates=rates), until="2026-08-03")
    assert frame(shop, "sales_orders").margin[0] == Decimal("55.90")


def test_a_channels_own_rate_comes_before_the_rate_for_all(tmp_path):
    one = order("1", "2026-08-03", price=100.0, unit_cost=0.0, channel="mart")
    rates = pd.DataFrame(
        {
            "from_on": [dt.date(2026, 1, 1)] * 3,
            "kind": ["platform_share"] * 3,
            "value": [0.05, 0.12, 0.9],
            "scope": ["all", "mart", "other"],
        }
    )
    shop = open_store(write_shop(tmp_path / "s", [one], cost_rates=rates), until="2026-08-03")
    assert frame(shop, "sales_orders").fees[0] == Decimal(12)


def test_unpaid_cancelled_and_test_orders_are_not_sales(tmp_path):
    rows = [
        order("1", "2026-08-03"),
        order("2", "2026-08-04", status="placed"),
        order("3", "2026-08-05", status="cancelled"),
        order("4", "2026-08-06", is_test=True),
    ]
    shop = open_store(write_shop(tmp_path / "s", rows), until="2026-08-06")
    assert frame(shop, "sales_orders").order_id.tolist() == ["1"]
    assert status_policy(shop).set_index("status").is_counted.to_dict() == {
        "cancelled": False,
        "done": True,
        "placed": False,
    }


def test_sales_during_a_stock_out_are_a_lower_bound_and_silence_is_not_zero_demand(tmp_path):
    stock = pd.DataFrame(
        {"day_on": [dt.date(2026, 8, d) for d in (3, 4, 5)], "sku": "mug", "on_hand": [5, 0, 4]}
    )
    rows = [
        order("1", "2026-08-03"),
        order("2", "2026-08-04", sku="cup"),
        order("3", "2026-08-05", sku="cup"),
    ]
    mug = frame(
        open_store(write_shop(tmp_path / "s", rows, stock=stock), until="2026-08-05"), "sku_days"
    )
    mug = mug[mug.sku == "mug"].set_index("day_on")
    assert mug.is_stocked.tolist() == [True, False, True]
    assert mug.units.isna().tolist() == [False, True, False]
    assert mug.units.iloc[2] == 0


def test_what_is_promised_or_damaged_is_not_stock_to_sell(tmp_path):
    stock = pd.DataFrame(
        {
            "day_on": [dt.date(2026, 8, d) for d in (3, 4, 5)],
            "sku": "mug",
            "on_hand": 5,
            "available": [None, None, 0],
            "committed": [2, 4, 0],
            "unsellable": [0, 1, 0],
        }
    )
    rows = [order("1", "2026-08-03"), order("2", "2026-08-04"), order("3", "2026-08-05")]
    mug = frame(
        open_store(write_shop(tmp_path / "s", rows, stock=stock), until="2026-08-05"), "sku_days"
    )
    assert mug.set_index("day_on").is_stocked.tolist() == [True, False, False]


def test_first_orders_near_the_start_of_a_log_may_not_be_first(tmp_path):
    rows = [order("1", "2026-01-03"), order("2", "2026-06-03", "bob")]
    folder = write_shop(tmp_path / "s", rows, shop="name: t\n")
    shop = open_store(folder, until="2026-06-03")
    truncated = frame(shop, "sales_orders").set_index("customer_id").is_left_truncated
    assert truncated["ann"]
    known = open_store(write_shop(tmp_path / "k", rows), until="2026-06-03")
    assert known.truncated_before is None
    assert not frame(known, "sales_orders").is_left_truncated.any()


# ---- reconciliation ---------------------------------------------------------------------------------------------


def test_the_walk_ends_in_the_money_of_the_customer_days(tmp_path):
    rows = [
        order("1", "2026-08-03"),
        order("2", "2026-08-04", None, price=3.0),
        order("3", "2026-08-05", status="placed"),
        order("4", "2026-08-06", "bob") | {"tax": 2.0, "shipping": 4.0, "total": 16.0},
    ]
    refunds = pd.DataFrame(
        {
            "refund_id": ["r1", "r2"],
            "order_id": ["1", "3"],
            "refunded_on": [dt.date(2026, 8, 7)] * 2,
            "amount": [2.5, 9.0],
        }
    )
    shop = open_store(
        write_shop(tmp_path / "s", rows, refunds=refunds, observed_to="2026-08-31"), until="2026-08"
    )
    walk = ledger(shop).set_index("reason").amount
    assert walk["source total as delivered"] == Decimal(39)
    assert (walk["tax"], walk["shipping"], walk["unpaid"]) == (
        Decimal(-2),
        Decimal(-4),
        Decimal(-10),
    )
    assert walk["shop net revenue"] == Decimal(
        "20.5"
    )  # the refund of an unpaid order takes nothing from sales
    assert walk["known-customer net revenue"] == Decimal("17.5")


def test_a_walk_that_does_not_tie_stops_and_says_by_how_much(tmp_path):
    ledger_rows = pd.DataFrame(
        {
            "import_id": ["i"],
            "source_sha256": ["x"],
            "reason": ["kept"],
            "day_on": [dt.date(2026, 8, 3)],
            "is_guest": [False],
            "n_rows": [1],
            "n_orders": [1],
            "amount": [12.0],
        }
    )
    shop = open_store(
        write_shop(tmp_path / "s", [order("1", "2026-08-03")], import_ledger=ledger_rows),
        until="2026-08-03",
    )
    with pytest.raises(PlaybookError, match=r"12\.00.*10\.00"):
        ledger(shop)


def test_a_naive_join_counts_an_order_once_per_line(tmp_path):
    folder = write_shop(tmp_path / "s", [order("1", "2026-08-03")])
    lines = pd.read_parquet(folder / "order_lines.parquet")
    half = lines.assign(price=5.0)
    pd.concat([half, half.assign(line_no=2)]).to_parquet(folder / "order_lines.parquet")
    assert inflation(open_store(folder, until="2026-08-03")).factor.tolist() == [1.0, 2.0]


# ---- readiness --------------------------------------------------------------------------------------------------


def test_a_weekday_the_shop_never_trades_is_closed_and_another_is_missing(tmp_path):
    everyday = [d for d in pd.date_range("2026-06-01", "2026-08-31") if d.day_of_week != 6]
    rows = [
        order(str(i), d.date().isoformat())
        for i, d in enumerate(everyday)
        if d != pd.Timestamp("2026-08-12")
    ]
    gaps = (
        days_without_orders(open_store(write_shop(tmp_path / "s", rows), until="2026-08"))
        .set_index("day_on")
        .verdict
    )
    assert gaps[dt.date(2026, 8, 12)] == "missing"
    assert gaps[dt.date(2026, 8, 9)] == "closed day"
    assert (gaps == "missing").sum() == 1


def test_chapters_that_need_a_customer_are_blocked_for_a_shop_without_any(tmp_path):
    rows = [
        {k: v for k, v in order(str(i), "2026-08-03").items() if k != "customer_id"}
        for i in range(3)
    ]
    runs = (
        capability(open_store(write_shop(tmp_path / "s", rows), until="2026-08-03"))
        .set_index("notebook")
        .runs
    )
    assert runs["04_cohort_retention"] == runs["05_ltv_modelling"] == "blocked"
    assert runs["07_inventory_planning"] == "in part"


def test_quality_shows_rows_gaps_and_freshness_per_table(tmp_path):
    found = quality(open_store(write_shop(tmp_path / "s", TWO), until="2026-09")).set_index("table")
    assert found.rows["orders"] == 2
    assert found.freshness_days["orders"] == 0


def test_an_email_or_phone_in_free_text_stops_the_month(tmp_path):
    reviews = pd.DataFrame(
        {
            "review_id": ["a", "b", "c"],
            "created_at": pd.Timestamp("2026-08-03"),
            "stars": [5, 4, 3],
            "text": ["write to ann@example.com", "call 13812345678 please", "no. 12345678901234"],
        }
    )
    folder = write_shop(tmp_path / "s", [order("1", "2026-08-03")], reviews=reviews)
    shop = open_store(folder, until="2026-08-03")
    hits = privacy_scan(shop).set_index("kind").n_rows.to_dict()
    assert hits == {"e-mail": 1, "phone": 1}
    gate = (
        verdict(shop)
        .gates.set_index("gate")
        .verdict["values that look like personal contact details"]
    )
    assert gate == "stop"


def test_a_pattern_the_shop_allows_is_no_hit(tmp_path):
    reviews = pd.DataFrame(
        {
            "review_id": ["a"],
            "created_at": pd.Timestamp("2026-08-03"),
            "stars": [5],
            "text": ["ask help@shop.example"],
        }
    )
    folder = write_shop(
        tmp_path / "s",
        [order("1", "2026-08-03")],
        reviews=reviews,
        shop="name: t\nprivacy_allow: [help@shop.example]\n",
    )
    assert privacy_scan(open_store(folder, until="2026-08-03")).empty


def test_only_lines_numbered_without_a_gap_or_a_repeat_pass_without_a_look_at_the_key(tmp_path):
    draw = np.random.default_rng(3)
    numbers = {
        f"{i:03d}": draw.integers(0, draw.integers(1, 8), draw.integers(1, 8)) for i in range(400)
    }
    numbers |= {
        "ten steps": [10, 20],
        "negative": [-1, 0],
        "from nought": [0, 1, 2],
        "long": range(1, 51),
        "too long to tell": range(1, 52),
        "same sum and squares": [1, 2, 3, 3, 4, 5, 7, 7, 8],
    }
    shop = open_store(write_shop(tmp_path / "s", TWO), until="2026-08")
    lines = pd.DataFrame(
        [(i, n) for i, own in numbers.items() for n in own], columns=["order_id", "line_no"]
    )
    lines = lines.assign(sku="mug", quantity=1, price=1.0, discount=0.0)
    shop.uncut["order_lines"] = typed(TABLES["order_lines"], ibis.memtable(lines))
    found = shop.con.execute(order_money(shop)).set_index("order_id").is_numbered
    for i, own in numbers.items():
        whole = sorted(own) in (list(range(len(own))), list(range(1, len(own) + 1)))
        assert found[i] == (whole and len(own) < 51), (i, own)
    assert found.any() and not found.all()


# ---- refusals ---------------------------------------------------------------------------------------------------


def spoiled(tmp_path, change, **more):
    folder = write_shop(tmp_path / "s", TWO, **more)
    change(folder)
    with pytest.raises(PlaybookError) as refused:
        open_store(folder, until="2026-08")
    return refused.value


def rewritten(name, change):
    def apply(folder):
        path = folder / f"{name}.parquet"
        change(pd.read_parquet(path)).to_parquet(path)

    return apply


BROKEN = {
    "a missing column": (
        rewritten("orders", lambda f: f.drop(columns="status")),
        "orders",
        "status",
        None,
    ),
    "a wrong type": (
        rewritten("order_lines", lambda f: f.assign(quantity=["two", "3"])),
        "order_lines",
        "quantity",
        1,
    ),
    "a null in a required column": (
        rewritten("order_lines", lambda f: f.assign(price=[None, 5.0])),
        "order_lines",
        "price",
        1,
    ),
    "a status that is none": (
        rewritten("orders", lambda f: f.assign(status=["done", "lost"])),
        "orders",
        "status",
        1,
    ),
    "a negative price": (
        rewritten("order_lines", lambda f: f.assign(price=[-1.0, 5.0])),
        "order_lines",
        "price",
        1,
    ),
    "a quantity of zero": (
        rewritten("order_lines", lambda f: f.assign(quantity=[0, 3])),
        "order_lines",
        "quantity",
        1,
    ),
    "a duplicated key": (
        rewritten("orders", lambda f: pd.concat([f, f[:1]])),
        "orders",
        "order_id",
        1,
    ),
    "a line loaded twice": (
        rewritten("order_lines", lambda f: pd.concat([f, f[1:]])),
        "order_lines",
        "line_no",
        1,
    ),
    "gross that does not add up": (
        rewritten("orders", lambda f: f.assign(gross=[11.0, 15.0], total=[11.0, 15.0])),
        "orders",
        "gross",
        1,
    ),
    "a line of no order": (
        rewritten("order_lines", lambda f: f.assign(order_id=["1", "9"])),
        "order_lines",
        "order_id",
        1,
    ),
    "headers in capitals": (
        rewritten("orders", lambda f: f.rename(columns=str.upper)),
        "orders",
        "order_id",
        None,
    ),
    "an empty table": (rewritten("orders", lambda f: f[:0]), "orders", None, None),
    "no lines at all": (
        lambda folder: (folder / "order_lines.parquet").unlink(),
        "order_lines",
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_refused_by_table_column_and_rows(tmp_path, name):
    change, table, column, rows = BROKEN[name]
    error = spoiled(tmp_path, change)
    assert error.table == table
    assert column is None or column in str(error.column)
    assert rows is None or error.rows == rows
    assert "What to do" in str(error)


def test_a_total_that_does_not_tie_is_itemised_and_stops_nothing(tmp_path):
    folder = write_shop(tmp_path / "s", TWO)
    rewritten("orders", lambda f: f.assign(total=[13.0, 15.0]))(folder)
    shop = open_store(str(folder))
    found = shop.problems[shop.problems.column == "total"].iloc[0]
    assert (found.rows, bool(found.stops)) == (1, False)
    walk = ledger(shop).set_index("reason").amount
    assert abs(walk["unexplained"]) == 3
    assert verdict(shop).status != "go"


def test_a_file_that_is_no_table_is_named(tmp_path):
    error = spoiled(
        tmp_path, lambda folder: (folder / "orders.parquet").write_bytes(b"not parquet")
    )
    assert "orders.parquet" in str(error)


def test_a_line_of_too_many_values_is_named(tmp_path):
    folder = write_shop(tmp_path / "s", TWO)
    (folder / "order_lines.parquet").unlink()
    lines = "".join(f"1,{n},A,1,5.00\n" for n in range(30))
    (folder / "order_lines.csv").write_text(
        "order_id,line_no,sku,quantity,price\n" + lines + "1,30,A,1,5.00,7,8,9\n"
    )
    with pytest.raises(
        PlaybookError, match="line 32 has 8 values where the header has 5"
    ) as refused:
        open_store(folder, until="2026-08")
    assert refused.value.file.name == "order_lines.csv"


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("2026-01", "from 2026-08 to 2026-09"),
        ("2027-01", "outside the data"),
        ("2026-13", "not a month"),
        ("2026-09-31", "not a day"),
    ],
)
def test_a_month_outside_the_data_is_refused_with_the_months_there_are(tmp_path, until, told):
    with pytest.raises(PlaybookError, match=told):
        open_store(write_shop(tmp_path / "s", TWO), until=until)


def test_a_store_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlaybookError, match="There is no store"):
        open_store(tmp_path / "nowhere")


def test_an_address_is_never_shown_with_its_password():
    with pytest.raises(PlaybookError) as refused:
        open_store("postgres://ann:secret@localhost:1/shop")
    assert "secret" not in str(refused.value)


def test_broken_rows_in_an_optional_table_warn_and_do_not_stop(tmp_path):
    traffic = pd.DataFrame(
        {
            "day_on": [dt.date(2026, 8, 3)],
            "channel": ["ads"],
            "sessions": [5],
            "checkouts": [9],
            "buyers": [1],
        }
    )
    shop = open_store(write_shop(tmp_path / "s", TWO, traffic=traffic), until="2026-08")
    assert shop.problems.rule.tolist() == ["sessions ≥ checkouts ≥ buyers"]
    assert verdict(shop).status != "stop"


def test_a_folder_of_csv_is_the_same_shop(tmp_path):
    parquet = open_store(write_shop(tmp_path / "p", TWO), until="2026-09")
    text = open_store(write_shop(tmp_path / "c", TWO, as_csv=True), until="2026-09")
    assert sorted_bytes(parquet) == sorted_bytes(text)


# ---- the contract itself ----------------------------------------------------------------------------------------


def test_every_key_and_cut_is_a_column_and_every_table_has_a_schema():
    for name, table in TABLES.items():
        names = {c.name for c in table.columns}
        assert set(table.key) <= names, name
        assert table.cut in names | {""}, name
        assert len(arrow_schema(name)) == len(table.columns)


def test_the_written_contract_is_current(root):
    assert (root / "data" / "CONTRACT.md").read_text(encoding="utf-8").endswith(contract_markdown())


def test_derived_tables_in_use_stay_however_many_stores_are_opened_beside_them(tmp_path):
    import os

    from playbook.store.cache import prune

    used = 1_800_000_000.0
    for n in range(70):
        (tmp_path / f"{n:02d}").mkdir()
        os.utime(tmp_path / f"{n:02d}", (used - n, used - n))
    prune(tmp_path, keep=60)
    assert len(list(tmp_path.iterdir())) == 70  # all of them opened within the last minutes
    for n in range(65, 70):
        os.utime(tmp_path / f"{n:02d}", (used - 3 * 86_400, used - 3 * 86_400))
    prune(tmp_path, keep=60)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{n:02d}" for n in range(65)]


def test_a_shop_before_its_first_order_is_judged_without_orders(tmp_path):
    (tmp_path / "shop.yaml").write_text("name: soon\ncurrency: EUR\n")
    pd.DataFrame(
        {
            "month": ["2026-10"],
            "seller": ["A"],
            "category": ["tea"],
            "price": [9.0],
            "sales_low": [10.0],
            "sales_high": [20.0],
        }
    ).to_csv(tmp_path / "competitors.csv", index=False)
    found = verdict(open_store(tmp_path, until="2026-10"))
    assert found.status == "go with exclusions"
    assert found.gates.set_index("gate").verdict["orders"] == "exclude"
