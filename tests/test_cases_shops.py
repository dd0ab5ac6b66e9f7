"""The shops of `tests/cases/shops`, each of which came with a report: right now, or
refused or marked by name. Whole months of them run in `tests/proof/proof_zoo.py`.
"""

import datetime as dt

import pytest
from zoo import cases

from playbook.chapters.assortment_pricing.assortment import roles, sku_year
from playbook.chapters.customer_journey import parcels
from playbook.chapters.inventory_planning.supply import supply
from playbook.measures.metrics import monthly_sales
from playbook.store import open_store, readiness, reconcile

CASES = cases()


def opened(name, until=None):
    return open_store(str(CASES[name]), until=until)


def by_month(shop, metric):
    series = monthly_sales(shop)
    return series[series.metric == metric].set_index("month").amount


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_case_opens_and_is_judged(name):
    assert readiness.verdict(opened(name)).status in ("go", "go with exclusions")


@pytest.mark.parametrize(
    "zone, month, ends",
    [
        ("America_Havana", "2020-10", "2020-11-01 04:00"),
        ("America_Asuncion", "2023-09", "2023-10-01 04:00"),
    ],
)
def test_a_clock_changed_at_midnight_ends_the_month_all_the_same(zone, month, ends):
    shop = opened(f"02-midnight-dst/{zone}", month)
    assert f"{shop.as_of_end:%Y-%m-%d %H:%M}" == ends


def test_the_months_of_a_shop_closed_in_march_add_up_to_its_ledger():
    shop = opened("04-closed-month")
    net = by_month(shop, "net_revenue")
    assert net["2026-03"] == -50 and by_month(shop, "orders")["2026-03"] == 0
    walk = reconcile.ledger(shop).set_index("reason").amount
    assert net.sum() == float(walk["shop net revenue"]) == 2350


def test_an_order_of_1970_is_named_and_begins_no_log():
    shop = opened("06-epoch-order")
    assert (shop.observed_from, shop.truncated_before) == (
        dt.date(2026, 1, 1),
        dt.date(2026, 3, 2),
    )
    found = shop.problems.set_index("column").loc["ordered_on"]
    assert found["rows"] == 1 and not found.stops


def test_prices_of_a_quarter_of_a_billion_add_up():
    shop = opened("10-vnd")
    walk = reconcile.ledger(shop).set_index("reason").amount
    assert by_month(shop, "net_revenue").sum() == float(walk["shop net revenue"])


def test_what_costs_more_than_it_brings_earns_no_profit():
    shop = opened("18-cost-above-price")
    year = sku_year(shop.sales_lines, shop.sales_orders, as_of=shop.as_of)
    assert "profit" not in set(roles(year).role)


@pytest.mark.parametrize(
    "name, reason, amount, rows",
    [
        ("23-undated-refund", "refunds without a day (not booked)", 500, 1),
        ("23d-refund-link-format", "refunds of unknown orders (not booked)", 1210, 121),
    ],
)
def test_a_refund_that_reaches_no_revenue_is_named(name, reason, amount, rows):
    shop = opened(name)
    walk = reconcile.ledger(shop).set_index("reason")
    assert (float(walk.amount[reason]), walk["rows"][reason]) == (amount, rows)
    assert shop.problems[shop.problems.table == "refunds"]["rows"].tolist() == [rows]
    assert any("not booked" in why for why in readiness.verdict(shop).reasons)


@pytest.mark.parametrize("name", ["24-refund-cost", "24b-whole-order-return"])
def test_what_comes_back_is_taken_back_at_the_cost_it_was_sold_at(name):
    back = opened(name).booked_refunds.to_pandas()
    assert back.margin.astype(float).tolist() == [-18.0], "20 given back, goods of 2 come in"


@pytest.mark.parametrize("name", ["32-schema-drift", "32b-schema-drift"])
def test_a_column_that_only_some_parts_have_is_kept(name):
    shop = opened(name)
    assert shop.has("orders.region") or shop.has("orders.device")
    assert reconcile.ledger(shop).amount.notna().all()


def test_orders_in_two_currencies_are_named():
    found = opened("40-mixed-currency").problems.set_index("column").loc["currency"]
    assert found["rows"] == 181 and "EUR" in found.rule


def test_stock_of_a_place_that_is_counted_weekly_is_on_hand_every_day():
    shop = opened("52-stock-locations")
    held = supply(shop.stock, as_of=shop.as_of, products=shop.products)
    assert set(held.goods.on_hand) == {510.0}
    days = shop.sku_days.to_pandas()
    late = days[days.day_on >= days.day_on.min() + dt.timedelta(days=7)]
    assert set(late.on_hand) == {510}


def test_a_parcel_of_the_morning_after_is_late_in_new_york():
    shop = opened("53-late-new-york")
    months = parcels.late_months(parcels.on_shop_days(shop), as_of=shop.as_of)
    assert (months.late == months.due).all() and months.due.sum() > 0


def test_a_shop_that_sells_on_a_third_of_the_days_misses_no_data():
    shop = opened("sparse-shop", "2007-07")
    empty = readiness.days_without_orders(shop)
    assert len(empty) > 15 and set(empty.verdict) == {"quiet day"}
