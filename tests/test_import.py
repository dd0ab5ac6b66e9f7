"""From exports to a store: every row and cent accounted for, the same bytes in any
order, nobody's name kept.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from playbook.errors import PlaybookError
from playbook.sources import kinds
from playbook.sources.importing import import_files
from playbook.sources.secret import fingerprint, person_key

SALT = b"a salt for tests only"
SAMPLES = Path(__file__).resolve().parent.parent / "data" / "samples"
KIND_OF = {
    "adyen_payments.csv": "adyen-payments",
    "affiliatewp_referrals.csv": "affiliatewp-referrals",
    "amazon_ads.csv": "amazon-ads",
    "amazon_inventory.txt": "amazon-inventory",
    "amazon_orders.txt": "amazon-orders",
    "amazon_settlement.txt": "amazon-settlement",
    "amazon_traffic.csv": "amazon-traffic",
    "amazon_transactions.csv": "amazon-transactions",
    "benefit_uses.csv": "table-benefit-uses",
    "benefits.csv": "table-benefits",
    "memberships.csv": "table-memberships",
    "bigcommerce_orders.csv": "bigcommerce-orders",
    "choice_tasks.csv": "table-choice-tasks",
    "content_items.csv": "table-content-items",
    "content_orders.csv": "table-content-orders",
    "douyin_orders.csv": "douyin-orders",
    "ebay_orders.csv": "ebay-orders",
    "ebay_transactions.csv": "ebay-transactions",
    "etsy_items.csv": "etsy-items",
    "etsy_orders.csv": "etsy-orders",
    "etsy_payments.csv": "etsy-payments",
    "ga4_events.csv": "ga4-events",
    "ga4_report.csv": "ga4-report",
    "ga4_transactions.csv": "ga4-transactions",
    "google_ads.csv": "google-ads",
    "google_search_terms.csv": "google-search-terms",
    "google_trends.csv": "google-trends",
    "jd_orders.csv": "jd-orders",
    "klaviyo_campaigns.csv": "klaviyo-campaigns",
    "ideas.csv": "table-ideas",
    "magento_orders.csv": "magento-orders",
    "market_series.csv": "series",
    "meta_ads.csv": "meta-ads",
    "microsoft_ads.csv": "microsoft-ads",
    "microsoft_search_terms.csv": "microsoft-search-terms",
    "parcels.csv": "table-parcels",
    "page_loads.csv": "table-page-loads",
    "payment_attempts.csv": "table-payment-attempts",
    "web_vitals.csv": "web-vitals",
    "paypal_activity.csv": "paypal",
    "pinduoduo_orders.csv": "pinduoduo-orders",
    "price_answers.csv": "table-price-answers",
    "prestashop_orders.csv": "prestashop-orders",
    "rival_offers.csv": "table-rival-offers",
    "saasquatch_referrals.csv": "saasquatch-referrals",
    "saasquatch_rewards.csv": "saasquatch-rewards",
    "search_console.csv": "search-console",
    "search_console_bulk.csv": "search-console-bulk",
    "shengyicanmou.xlsx": "shengyicanmou",
    "shopify_inventory.csv": "shopify-inventory",
    "shopify_orders.csv": "shopify-orders",
    "shopify_payouts.csv": "shopify-payouts",
    "shopify_products.csv": "shopify-products",
    "stripe_balance.csv": "stripe",
    "supplier_offers.csv": "table-supplier-offers",
    "taobao_lines.csv": "taobao-lines",
    "taobao_orders.csv": "taobao-orders",
    "tiktok_ads.csv": "tiktok-ads",
    "tiktok_live.csv": "tiktok-live",
    "tiktok_shop_orders.csv": "tiktok-shop-orders",
    "wanxiangtai.csv": "wanxiangtai",
    "woocommerce_orders.csv": "woocommerce-orders",
    "woocommerce_products.csv": "woocommerce-products",
    "youtube_videos.csv": "youtube-videos",
}


def rows(store: Path, query: str) -> list[tuple]:
    return duckdb.sql(query.replace("@", f"{store}/")).fetchall()


def load(*files: Path, into: Path, kind: str = "auto", **knobs):
    return import_files(kind, list(files), into, salt=SALT, **knobs)


def content(store: Path) -> dict[str, bytes]:
    """Every byte of the store but the empty lock."""
    return {
        str(p.relative_to(store)): p.read_bytes()
        for p in sorted(store.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


HEADER = (SAMPLES / "shopify_orders.csv").read_text(encoding="utf-8").splitlines()[0].split(",")


def shopify(*orders: dict) -> str:
    """A Shopify export: each order has fields and `lines` of (sku, title, quantity,
    price).
    """
    out = [",".join(HEADER)]
    for order in orders:
        for i, (sku, title, quantity, price) in enumerate(order["lines"]):
            row = {
                "Name": order["Name"],
                "Email": order.get("Email", ""),
                "Created at": order["Created at"],
                "Lineitem sku": sku,
                "Lineitem name": title,
                "Lineitem quantity": quantity,
                "Lineitem price": price,
            }
            if i == 0:
                row |= {k: v for k, v in order.items() if k != "lines"}
            out.append(",".join('"' + str(row.get(h, "")).replace('"', '""') + '"' for h in HEADER))
    return "\n".join(out) + "\n"


def order(n: int, total: str, *lines: tuple, day: str = "2026-10-01", **fields) -> dict:
    return {
        "Name": f"#{n}",
        "Email": f"buyer{n % 3}@example.com",
        "Financial Status": "paid",
        "Currency": "GBP",
        "Subtotal": total,
        "Shipping": "0.00",
        "Taxes": "0.00",
        "Total": total,
        "Discount Amount": "0.00",
        "Created at": f"{day} 09:00:00 +0100",
        "Refunded Amount": "0.00",
        "lines": lines or [("A", "Thing", 1, total)],
    } | fields


# --- one export per kind ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KIND_OF))
def test_every_sample_is_recognised_by_its_header_and_read_without_loss(name, tmp_path):
    report = load(SAMPLES / name, into=tmp_path / "s", observed_on="2026-09-30")
    assert [f.kind for f in report.files] == [KIND_OF[name]]
    assert report.files[0].n_dropped == 0 and not report.skipped
    again = load(SAMPLES / name, into=tmp_path / "t", kind=KIND_OF[name], observed_on="2026-09-30")
    assert again.files[0].n_rows == report.files[0].n_rows
    assert content(tmp_path / "s").keys() == content(tmp_path / "t").keys()


def test_every_kind_but_the_plain_tables_has_a_sample():
    missing = set(kinds.adapters()) - set(KIND_OF.values()) - {"online-retail", "prestashop-list"}
    assert all(k.startswith("table-") for k in missing)


@pytest.mark.parametrize(
    "name",
    [
        "shopify_orders.csv",
        "amazon_orders.txt",
        "taobao_orders.csv",
        "google_ads.csv",
        "meta_ads.csv",
    ],
)
def test_a_renamed_header_is_refused_with_the_names_that_were_tried(name, tmp_path):
    kind = KIND_OF[name]
    one = kinds.adapter(kind)
    raw = (SAMPLES / name).read_bytes()
    encoding = "gb18030" if kind.startswith("taobao") else "utf-8"
    text = raw.decode(encoding)
    victim = {
        "shopify-orders": "Lineitem price",
        "amazon-orders": "item-price",
        "taobao-orders": "订单状态",
        "google-ads": "Campaign,",
        "meta-ads": "Amount spent (GBP)",
    }[kind]
    (tmp_path / name).write_bytes(
        text.replace(victim, "Wrong" + ("," if victim.endswith(",") else "")).encode(encoding)
    )
    with pytest.raises(PlaybookError, match="required columns are missing") as caught:
        load(tmp_path / name, into=tmp_path / "s", kind=kind)
    assert "tried: " in str(caught.value) and one.title in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_the_wrong_kind_is_refused_with_the_right_one(tmp_path):
    with pytest.raises(PlaybookError, match="import it as google-ads"):
        load(SAMPLES / "google_ads.csv", into=tmp_path / "s", kind="shopify-orders")


# --- Shopify ---------------------------------------------------------------------------------------------------------


def test_order_money_is_taken_once_and_every_part_of_the_total_is_itemised(tmp_path):
    load(SAMPLES / "shopify_orders.csv", into=tmp_path / "s")
    ledger = dict(
        rows(tmp_path / "s", "SELECT reason, sum(amount) FROM '@import_ledger.parquet' GROUP BY 1")
    )
    assert sum(ledger.values()) == Decimal(
        "150.75"
    )  # 42.85 + 90.00 + 17.90, as Shopify prints them
    revenue = rows(
        tmp_path / "s", "SELECT sum(quantity * price - discount) FROM '@order_lines.parquet'"
    )[0][0]
    assert ledger["kept"] == revenue


def test_tax_inside_prices_is_taken_out_of_lines_and_shipping_and_the_order_still_adds_up(tmp_path):
    load(SAMPLES / "shopify_orders.csv", into=tmp_path / "s")
    for gross, discount, shipping, tax, total in rows(
        tmp_path / "s", "SELECT gross, discount, shipping, tax, total FROM '@orders.parquet'"
    ):
        assert abs(gross - discount + shipping + tax - total) <= Decimal("0.01")
    found = rows(
        tmp_path / "s",
        "SELECT order_id, gross, discount, shipping FROM '@orders.parquet' ORDER BY 1",
    )
    assert found[0] == (
        "#2001",
        Decimal("31.58"),
        Decimal("0"),
        Decimal("4.13"),
    )  # 42.85 - 7.14 tax, in proportion


def test_tax_on_top_and_tax_inside_are_told_apart_order_by_order(tmp_path):
    inside = order(1, "120.00", ("A", "Thing", 1, "120.00"), Taxes="20.00")
    on_top = order(2, "100.00", ("A", "Thing", 1, "100.00"), Taxes="20.00", Total="120.00")
    (tmp_path / "e.csv").write_text(shopify(inside, on_top))
    report = load(tmp_path / "e.csv", into=tmp_path / "s")
    assert (
        rows(tmp_path / "s", "SELECT gross, tax, total FROM '@orders.parquet'")
        == [(Decimal(100), Decimal(20), Decimal(120))] * 2
    )
    assert (
        "prices hold tax in 1 orders, tax comes on top in 1, 0 bear none" in report.files[0].notes
    )


def test_an_order_discount_is_shared_out_in_cents_the_last_on_the_largest_line(tmp_path):
    (tmp_path / "e.csv").write_text(
        shopify(
            order(
                1,
                "89.99",
                ("A", "a", 1, "33.33"),
                ("B", "b", 1, "33.33"),
                ("C", "c", 1, "33.34"),
                **{"Discount Amount": "10.01", "Discount Code": "TEN"},
            )
        )
    )
    load(tmp_path / "e.csv", into=tmp_path / "s")
    shares = rows(tmp_path / "s", "SELECT sku, discount FROM '@order_lines.parquet' ORDER BY sku")
    assert shares == [("A", Decimal("3.34")), ("B", Decimal("3.34")), ("C", Decimal("3.33"))]


def test_a_refund_without_a_date_counts_and_is_never_more_than_the_goods(tmp_path):
    load(SAMPLES / "shopify_orders.csv", into=tmp_path / "s")
    assert rows(
        tmp_path / "s", "SELECT order_id, amount, refunded_on, kind FROM '@refunds.parquet'"
    ) == [("#2002", Decimal("37.5"), None, "refund")]  # 45.00 with a sixth of it tax


def test_a_line_without_a_sku_is_named_by_its_title_and_counted(tmp_path):
    report = load(SAMPLES / "shopify_orders.csv", into=tmp_path / "s")
    assert report.files[0].repaired["lines without a sku, named by their title"] == 1
    assert ("title:tin red",) in rows(tmp_path / "s", "SELECT sku FROM '@order_lines.parquet'")


def test_offsets_are_read_row_by_row_through_the_change_of_the_clocks(tmp_path):
    load(SAMPLES / "shopify_orders.csv", into=tmp_path / "s")
    found = rows(
        tmp_path / "s",
        "SELECT order_id, ordered_at::VARCHAR, ordered_on::VARCHAR FROM '@orders.parquet' ORDER BY 1",
    )
    assert found[1] == ("#2002", "2026-10-02 22:59:58", "2026-10-02")  # +0100
    assert found[2] == (
        "#2003",
        "2026-10-25 01:30:00",
        "2026-10-25",
    )  # +0000, the night the clocks went back


def test_shuffled_rows_give_the_same_orders_and_lines(tmp_path):
    import random

    text = shopify(
        *(order(n, "30.00", ("A", "a", 1, "10.00"), ("B", "b", 2, "10.00")) for n in range(40))
    )
    head, *body = text.splitlines()
    (tmp_path / "a.csv").write_text(text)
    random.Random(3).shuffle(body)
    (tmp_path / "b.csv").write_text("\n".join([head, *body]) + "\n")
    load(tmp_path / "a.csv", into=tmp_path / "s")
    load(tmp_path / "b.csv", into=tmp_path / "t")
    for table in ("orders", "order_lines", "customers"):
        assert (tmp_path / "s" / f"{table}.parquet").read_bytes() == (
            tmp_path / "t" / f"{table}.parquet"
        ).read_bytes()


# --- other platforms -------------------------------------------------------------------------------------------------


def test_amazon_prices_are_line_totals_with_tax_inside_or_on_top_by_marketplace(tmp_path):
    report = load(SAMPLES / "amazon_orders.txt", into=tmp_path / "s")
    found = rows(
        tmp_path / "s",
        "SELECT order_id, gross - discount, shipping, tax, total FROM '@orders.parquet' ORDER BY 1",
    )
    assert [(o[-1], t) for o, *_, t in found] == [
        ("1", Decimal("12.95")),
        ("2", Decimal("90.80")),
        ("4", Decimal("108")),
    ]
    ledger = {
        r: (n, a)
        for r, n, a in rows(
            tmp_path / "s",
            "SELECT reason, sum(n_rows)::INT, sum(amount) FROM '@import_ledger.parquet' GROUP BY 1",
        )
    }
    assert (
        ledger["empty"] == (1, 0)
        and sum(n for n, _ in ledger.values()) == 5 == report.files[0].n_rows
    )
    assert sum(a for _, a in ledger.values()) == Decimal("211.75")
    assert rows(tmp_path / "s", "SELECT count(customer_id) FROM '@orders.parquet'") == [(0,)]


def test_taobao_lines_replace_the_single_line_of_their_order_in_either_order_of_import(tmp_path):
    load(SAMPLES / "taobao_orders.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT count(*), count(sku) FROM '@order_lines.parquet'") == [
        (4, 0)
    ]
    load(SAMPLES / "taobao_lines.csv", into=tmp_path / "s")
    load(SAMPLES / "taobao_lines.csv", into=tmp_path / "t")
    load(SAMPLES / "taobao_orders.csv", into=tmp_path / "t")
    (tmp_path / "t" / "shop.yaml").write_text((tmp_path / "s" / "shop.yaml").read_text())
    assert content(tmp_path / "s") == content(tmp_path / "t")
    assert rows(
        tmp_path / "s",
        "SELECT count(*), count(sku), sum(quantity * price - discount) FROM '@order_lines.parquet'",
    ) == [(5, 4, Decimal(1359))]
    assert rows(
        tmp_path / "s", "SELECT refund_id, amount FROM '@refunds.parquet' ORDER BY amount"
    ) == [
        ("1234567890123456789-1234567890123456788", Decimal(20)),
        ("1234567890123456791-1234567890123456791", Decimal(30)),
    ]
    assert rows(tmp_path / "s", "SELECT sum(amount) FROM '@import_ledger.parquet'") == [
        (Decimal(1369),)
    ]


def test_order_ids_keep_their_nineteen_digits_and_scientific_notation_is_refused(tmp_path):
    load(SAMPLES / "taobao_orders.csv", into=tmp_path / "s")
    assert ("1234567890123456789",) in rows(
        tmp_path / "s", "SELECT order_id FROM '@orders.parquet'"
    )
    text = (
        (SAMPLES / "taobao_orders.csv")
        .read_bytes()
        .decode("gb18030")
        .replace('="1234567890123456789"', "1.23457E+18")
    )
    (tmp_path / "o.csv").write_bytes(text.encode("gb18030"))
    with pytest.raises(PlaybookError, match="rounded by a spreadsheet") as caught:
        load(tmp_path / "o.csv", into=tmp_path / "x")
    assert caught.value.column == "订单编号" and caught.value.rows == 1


def test_ga4_transactions_give_orders_their_source_and_rules_their_channel(tmp_path):
    store = tmp_path / "s"
    (tmp_path / "channels.csv").write_text(
        "rule_no,pattern,channel,kind,is_paid\n1,google / cpc,google ads,paid,true\n"
    )
    report = load(
        SAMPLES / "shopify_orders.csv",
        SAMPLES / "ga4_transactions.csv",
        tmp_path / "channels.csv",
        into=store,
    )
    found = rows(
        store, "SELECT order_id, channel, source, medium FROM '@orders.parquet' ORDER BY 1"
    )
    assert found == [
        ("#2001", "google ads", "google", "cpc"),
        ("#2002", None, "newsletter", "email"),
        ("#2003", None, "web", None),
    ]
    assert list(report.unmatched["name"]) == ["newsletter / email / autumn / welcome10", "web"]


def test_google_ads_footers_and_two_title_lines_are_not_money(tmp_path):
    load(SAMPLES / "google_ads.csv", into=tmp_path / "s")
    assert rows(
        tmp_path / "s",
        "SELECT sum(spend), sum(clicks)::INT, sum(platform_orders) FROM '@ad_spend.parquet'",
    ) == [(Decimal("1234.2"), 4514, 101.5)]


def test_meta_periods_longer_than_a_day_are_refused(tmp_path):
    text = (SAMPLES / "meta_ads.csv").read_text().replace(",Day,", ",Placement,")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(PlaybookError, match="longer than a day"):
        load(tmp_path / "m.csv", into=tmp_path / "s")


def test_money_in_another_currency_is_converted_or_left_out_by_name_never_one_to_one(tmp_path):
    (tmp_path / "e.csv").write_text(
        shopify(order(1, "10.00"), order(2, "10.00"), order(3, "100.00", Currency="USD"))
    )
    report = load(tmp_path / "e.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT count(*), sum(total) FROM '@orders.parquet'") == [
        (2, Decimal(20))
    ]
    assert any("USD" in n and "exchange_rate" in n for n in report.notes)
    (tmp_path / "rates.csv").write_text(
        "from_on,kind,value,scope\n2026-01-01,exchange_rate,0.8,USD\n"
    )
    load(tmp_path / "rates.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT count(*), sum(total) FROM '@orders.parquet'") == [
        (3, Decimal(100))
    ]
    later = order(3, "100.00", Currency="USD", **{"Fulfillment Status": "fulfilled"})
    (tmp_path / "later.csv").write_text(shopify(later))
    ledger = load(tmp_path / "later.csv", into=tmp_path / "s").ledger.set_index("reason").amount
    assert ledger["overlap"] == 80 and ledger["kept"] == 100


def test_lines_in_a_file_of_their_own_are_converted_as_their_orders_are(tmp_path):
    store = tmp_path / "s"
    store.mkdir()
    (store / "shop.yaml").write_text("name: s\ncurrency: GBP\n")
    report = load(SAMPLES / "taobao_orders.csv", SAMPLES / "taobao_lines.csv", into=store)
    assert any("CNY" in note for note in report.notes) and not (store / "orders.parquet").exists()
    (tmp_path / "rates.csv").write_text(
        "from_on,kind,value,scope\n2020-01-01,exchange_rate,0.1,CNY\n"
    )
    report = load(tmp_path / "rates.csv", into=store)
    held = rows(store, "SELECT sum(quantity * price - discount) FROM '@order_lines.parquet'")[0][0]
    assert held == Decimal("135.9") and "unexplained" not in set(report.ledger.reason)
    assert rows(store, "SELECT sum(gross - discount) FROM '@orders.parquet'") == [(held,)]
    assert rows(store, "SELECT min(amount) FROM '@refunds.parquet'") == [(2,)]


# --- the same bytes in any order -------------------------------------------------------------------------------------


def halves(folder: Path) -> tuple[Path, Path, Path]:
    """Two overlapping extracts of the same shop, the later one with a late refund, and
    the earlier one again.
    """
    first = [
        order(n, "20.00", ("A", "a", 2, "10.00"), day=f"2026-10-{n:02d}") for n in range(1, 21)
    ]
    later = [
        order(n, "20.00", ("A", "a", 2, "10.00"), day=f"2026-10-{n:02d}") for n in range(11, 31)
    ]
    later[2] |= {"Financial Status": "refunded", "Refunded Amount": "20.00"}
    (folder / "a.csv").write_text(shopify(*first))
    (folder / "b.csv").write_text(shopify(*later))
    (folder / "copy.csv").write_text(shopify(*first))
    return folder / "a.csv", folder / "b.csv", folder / "copy.csv"


def test_importing_twice_and_overlapping_extracts_in_any_order_end_in_the_same_bytes(tmp_path):
    a, b, copy = halves(tmp_path)
    names = []
    for i, turns in enumerate([(a, b), (b, a), (a, b, a, copy), (b, copy, a)]):
        store = tmp_path / str(i) / "shop"
        for file in turns:
            load(file, into=store)
        names.append(content(store))
    both = tmp_path / "9" / "shop"
    load(a, b, into=both)
    assert all(n == content(both) for n in names)
    assert rows(both, "SELECT count(*), sum(total) FROM '@orders.parquet'") == [(30, Decimal(600))]
    assert rows(both, "SELECT status FROM '@orders.parquet' WHERE order_id = '#13'") == [
        ("refunded",)
    ]
    overlap = rows(
        both,
        "SELECT sum(n_rows)::INT, sum(amount) FROM '@import_ledger.parquet' WHERE reason = 'overlap'",
    )
    assert overlap == [(10, Decimal(200))]
    assert rows(both, "SELECT sum(n_rows)::INT, sum(amount) FROM '@import_ledger.parquet'") == [
        (40, Decimal(800))
    ]


def test_an_order_cut_off_by_the_edge_of_an_extract_is_left_out_until_the_rest_comes(tmp_path):
    text = shopify(
        order(1, "10.00"), order(2, "30.00", ("A", "a", 1, "10.00"), ("B", "b", 1, "20.00"))
    )
    lines = text.splitlines()
    (tmp_path / "cut.csv").write_text("\n".join(lines[:-1]) + "\n")
    (tmp_path / "tail.csv").write_text("\n".join([lines[0], lines[-1]]) + "\n")
    (tmp_path / "whole.csv").write_text(text)
    load(tmp_path / "cut.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT order_id FROM '@orders.parquet'") == [("#1",)]
    reasons = dict(
        rows(tmp_path / "s", "SELECT reason, sum(amount) FROM '@import_ledger.parquet' GROUP BY 1")
    )
    assert reasons["incomplete"] == Decimal(30)
    load(tmp_path / "whole.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT order_id, total FROM '@orders.parquet' ORDER BY 1") == [
        ("#1", Decimal(10)),
        ("#2", Decimal(30)),
    ]


def test_a_later_ad_report_replaces_the_days_it_restates(tmp_path):
    head = "Day,Campaign,Currency code,Cost,Impr.,Clicks,Conversions,Conv. value\n"
    (tmp_path / "1.csv").write_text(
        head + "2026-09-01,Brand,GBP,10.00,5,1,1.0,20\n2026-09-02,Brand,GBP,4.00,5,1,1.0,20\n"
    )
    (tmp_path / "2.csv").write_text(
        head + "2026-09-02,Brand,GBP,9.00,9,2,1.5,30\n2026-09-03,Brand,GBP,1.00,9,2,0,0\n"
    )
    for turns in (("1.csv", "2.csv"), ("2.csv", "1.csv")):
        store = tmp_path / turns[0][0] / "shop"
        for name in turns:
            load(tmp_path / name, into=store)
        assert rows(store, "SELECT spend FROM '@ad_spend.parquet' ORDER BY day_on") == [
            (Decimal(10),),
            (Decimal(9),),
            (Decimal(1),),
        ]
    assert content(tmp_path / "1" / "shop") == content(tmp_path / "2" / "shop")


# --- killed, refused -------------------------------------------------------------------------------------------------

KILLED = """
import sys
sys.path.insert(0, {root!r})
from playbook.sources.importing import import_files
print("started", flush=True)
import_files("auto", {files!r}, {into!r}, salt={salt!r})
"""


def test_an_import_killed_at_any_moment_leaves_a_store_that_ends_in_the_same_bytes(tmp_path, root):
    a, b, _ = halves(tmp_path)
    (tmp_path / "whole").mkdir()
    load(a, into=tmp_path / "whole" / "shop")
    shutil.copytree(tmp_path / "whole", tmp_path / "first")
    before = content(tmp_path / "whole" / "shop")
    load(b, into=tmp_path / "whole" / "shop")
    wanted = content(tmp_path / "whole" / "shop")
    tables = {k for k in wanted if k.endswith(".parquet") and not k.startswith(".")} | {
        "store.json"
    }
    for i in range(5):
        store = tmp_path / f"k{i}" / "shop"
        shutil.copytree(tmp_path / "first" / "shop", store)
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                KILLED.format(root=str(root), files=[str(b)], into=str(store), salt=SALT),
            ],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        child.stdout.readline()
        time.sleep(0.05 + 0.12 * i)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        after = {k: v for k, v in content(store).items() if k in tables}
        if not (
            store / ".commit.json"
        ).exists():  # either all of the old tables or all of the new ones
            assert after in (
                {k: before[k] for k in tables & before.keys()},
                {k: wanted[k] for k in tables},
            )
        load(b, into=store)
        assert {k: v for k, v in content(store).items() if k != ".commit.json"} == wanted


def test_a_change_that_was_noted_but_not_moved_is_finished_by_the_next_one(tmp_path):
    from playbook.store.write import settle, write_json

    store = tmp_path / "s"
    (store / ".staging").mkdir(parents=True)
    (store / "old.parquet").write_text("old")
    (store / ".staging" / "old.parquet").write_text("new")
    (store / ".staging" / "more.parquet").write_text("more")
    write_json(
        store / ".commit.json",
        {"moves": ["gone.parquet", "more.parquet", "old.parquet"], "remove": []},
    )
    settle(store)
    assert (store / "old.parquet").read_text() == "new" and (
        store / "more.parquet"
    ).read_text() == "more"
    assert not (store / ".commit.json").exists() and not (store / ".staging").exists()


def test_one_bad_file_among_good_ones_refuses_all_and_leaves_the_store_as_it_was(tmp_path):
    a, b, _ = halves(tmp_path)
    store = tmp_path / "s"
    load(a, into=store)
    before = content(store)
    (tmp_path / "bad.csv").write_text(b.read_text().replace("20.00", "twenty", 1))
    with pytest.raises(PlaybookError, match="rows cannot be read"):
        load(b, tmp_path / "bad.csv", into=store)
    assert content(store) == before


# --- damaged files ---------------------------------------------------------------------------------------------------

TEXT = shopify(
    order(1, "1234.50", ("A", "Thing", 1, "1234.50")), order(2, "20.00", ("B", "Größe", 2, "10.00"))
)


def with_decimal_comma(text: str) -> str:
    return (
        text.replace("1234.50", "1 234,50")
        .replace("20.00", "20,00")
        .replace("10.00", "10,00")
        .replace('"0.00"', '"0,00"')
    )


GOOD = {
    "with a byte-order mark": TEXT.encode("utf-8-sig"),
    "in UTF-16": TEXT.encode("utf-16"),
    "in UTF-16 without a mark": TEXT.encode("utf-16-be"),
    "in a Western encoding": TEXT.encode("cp1252"),
    "in GB18030": TEXT.replace("Größe", "大号的灯").encode("gb18030"),
    "separated by semicolons, decimal commas": with_decimal_comma(TEXT)
    .replace('","', '";"')
    .replace(",".join(HEADER), ";".join(HEADER))
    .encode(),
    "separated by tabs": TEXT.replace('","', '"\t"')
    .replace(",".join(HEADER), "\t".join(HEADER))
    .encode(),
    "with Windows line ends": TEXT.replace("\n", "\r\n").encode(),
    "with line ends of two kinds": TEXT.replace("\n", "\r\n", 2).encode(),
    "with old Mac line ends": TEXT.replace("\n", "\r").encode(),
    "with a preamble": ("Orders export\nmade for you\n\n" + TEXT).encode(),
    "with wrapped numbers": TEXT.replace('"1234.50"', '"=""1234.50"""').encode(),
    "with currency signs and thousands": TEXT.replace('"1234.50"', '"£1,234.50"').encode(),
    "with blank lines": TEXT.replace("\n", "\n\n").encode(),
    "with a line break in a title": TEXT.replace("Größe", "Gro\nße").encode(),
    "with another order of columns": None,
    "with headers in capitals": (",".join(HEADER).upper() + TEXT[len(",".join(HEADER)) :]).encode(),
}


@pytest.mark.parametrize("how", sorted(GOOD))
def test_a_damaged_export_loads_right(how, tmp_path):
    raw = GOOD[how]
    if raw is None:
        import csv
        import io

        table = list(csv.reader(io.StringIO(TEXT)))
        out = io.StringIO()
        csv.writer(out).writerows(row[::-1] for row in table)
        raw = out.getvalue().encode()
    (tmp_path / "e.csv").write_bytes(raw)
    load(tmp_path / "e.csv", into=tmp_path / "s")
    assert rows(
        tmp_path / "s",
        "SELECT order_id, total, ordered_on::VARCHAR FROM '@orders.parquet' ORDER BY 1",
    ) == [
        ("#1", Decimal("1234.5"), "2026-10-01"),
        ("#2", Decimal(20), "2026-10-01"),
    ]


BAD = {
    "an amount that is no number": (
        TEXT.replace('"1234.50"', '"about a thousand"', 1),
        "Subtotal|Total",
    ),
    "a time that is no time": (
        TEXT.replace("2026-10-01 09:00:00 +0100", "yesterday", 1),
        "Created at",
    ),
    "a fraction of a piece": (TEXT.replace(',"2","Größe"', ',"2.5","Größe"'), "Lineitem quantity"),
    "a line cut in the middle": (TEXT[: TEXT.rindex("#2") + 40], "do not split"),
    "a column too many": (TEXT.rstrip("\n") + ',"x","y"\n', "do not split"),
    "a quotation mark never closed": (TEXT.replace('"Thing"', '"Thing'), "do not split"),
    "an empty file": ("", "empty"),
    "headers and no rows": (",".join(HEADER) + "\n", "no rows"),
    "a web page": ("<!DOCTYPE html><html>log in</html>", "web page"),
    "two number styles": (TEXT.replace('"20.00"', '"20,00"'), "decimal point in some rows"),
    "an empty order number": (TEXT.replace('"#2"', '""'), "Name"),
    "UTF-8 with a damaged byte": (
        TEXT.replace("Größe", "Gr\udcc3ße, Übergröße, Maß"),
        "damaged bytes",
    ),
    "an encoding that could be any": (
        TEXT.replace("Größe", "\udc90\udcd4\udc82\udca2\udc8a\udcca"),
        "encoding",
    ),
    "zero bytes": ("PDF\x00\x00\x00", "not text"),
}


@pytest.mark.parametrize("how", sorted(BAD))
def test_a_damaged_export_is_refused_by_name(how, tmp_path):
    text, said = BAD[how]
    (tmp_path / "e.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(PlaybookError, match=said) as caught:
        load(tmp_path / "e.csv", into=tmp_path / "s", kind="shopify-orders")
    assert caught.value.file == "e.csv" and caught.value.do
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("Dose für Süßes, Größe, Maß, Fußmatte", "cp1252", "cp1252"),
        ("Thé à la crème brûlée", "cp1252", "cp1252"),
        ("红色铁盒，买家会员名", "gb18030", "gb18030"),
        ("紅色罐子,訂單編號,買家", "big5", None),
        ("赤い缶,ランプ,注文番号", "shift_jis", "cp932"),
        ("Заказ, номер, Красная банка", "cp1251", None),
        ("Łódź, żółta gęś, świąteczny", "cp1250", None),
    ],
)
def test_one_encoding_is_never_taken_for_another(text, encoding, found, tmp_path):
    (tmp_path / "e.csv").write_bytes(
        shopify(order(1, "5.00", ("A", text, 1, "5.00"))).encode(encoding)
    )
    if found is None:
        with pytest.raises(PlaybookError, match="none that can be told for sure"):
            load(tmp_path / "e.csv", into=tmp_path / "s")
        return
    assert load(tmp_path / "e.csv", into=tmp_path / "s").files[0].encoding == found
    assert rows(tmp_path / "s", "SELECT title FROM '@order_lines.parquet'") == [(text,)]


def test_an_id_a_workbook_holds_as_a_number_of_more_digits_than_it_can_is_refused(tmp_path):
    import xlsxwriter

    with xlsxwriter.Workbook(tmp_path / "o.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["订单编号", "订单状态", "订单创建时间", "买家应付货款", "总金额"])
        sheet.write_row(1, 0, [1234567890123456, "交易成功", "2026-10-01 10:00:00", 5, 5])
    with pytest.raises(PlaybookError, match="rounded by a spreadsheet"):
        load(tmp_path / "o.xlsx", into=tmp_path / "s")


# --- every row has a fate --------------------------------------------------------------------------------------------


def test_an_order_row_without_a_line_is_counted(tmp_path):
    text = shopify(
        order(1, "10.00"),
        order(2, "30.00", ("", "", "", ""), ("B", "b", 1, "30.00")),
        order(3, "7.00"),
    )
    (tmp_path / "e.csv").write_text(text.replace('"1","Thing","7.00"', '"","",""'))
    report = load(tmp_path / "e.csv", into=tmp_path / "s")
    found = {r.reason: (r.n_rows, r.amount) for r in report.ledger.itertuples()}
    assert found == {"kept": (2, 40), "empty": (2, 0), "incomplete": (0, 7)}
    assert report.files[0].n_rows == 4


def test_rows_that_give_no_product_and_no_position_are_left_out_by_name(tmp_path):
    (tmp_path / "p.csv").write_text(
        "Handle,Title,Variant SKU,Variant Price,Cost per item\ntin,Tin,T,5,2\ntin,,,,\nbox,Box,T,6,2\nlid,Lid,L,1,1\n"
    )
    (tmp_path / "i.csv").write_text(
        "SKU,Location,On hand\nT,main,5\nT,other,not stocked\n,main,3\n"
    )
    report = load(
        tmp_path / "i.csv", tmp_path / "p.csv", into=tmp_path / "s", observed_on="2026-10-31"
    )
    stock, products = report.files
    assert (stock.n_rows, sorted(stock.left_out.values())) == (3, [1, 1])
    assert (products.n_rows, sorted(products.left_out.values())) == (4, [1, 1])
    assert rows(tmp_path / "s", "SELECT count(*) FROM '@stock.parquet'") == [(1,)]
    assert rows(tmp_path / "s", "SELECT count(*) FROM '@products.parquet'") == [(2,)]
    assert "  left out: rows without a sku (1)" in report.lines()


def test_every_sub_order_has_a_reason_and_waits_for_its_order(tmp_path):
    report = load(SAMPLES / "taobao_lines.csv", into=tmp_path / "s")
    n_lines = report.files[0].n_rows
    assert [(r.reason, r.n_rows, r.amount) for r in report.ledger.itertuples()] == [
        ("incomplete", n_lines, 0)
    ]
    report = load(SAMPLES / "taobao_orders.csv", into=tmp_path / "s")
    assert report.ledger.n_rows.sum() == n_lines + report.files[0].n_rows
    kept = "SELECT sum(n_orders)::INT FROM '@import_ledger.parquet' WHERE reason = 'kept'"
    assert rows(tmp_path / "s", kept) == rows(
        tmp_path / "s", "SELECT count(*) FROM '@orders.parquet'"
    )


def test_days_that_two_ad_reports_deliver_are_counted_with_their_money(tmp_path):
    head = "Day,Campaign,Cost\n"
    (tmp_path / "1.csv").write_text(head + "2026-09-01,Brand,10.00\n2026-09-02,Brand,4.00\n")
    (tmp_path / "2.csv").write_text(head + "2026-09-02,Brand,9.00\n2026-09-03,Brand,1.00\n")
    report = load(tmp_path / "1.csv", tmp_path / "2.csv", into=tmp_path / "s")
    assert (
        "ad_spend: 1 rows, 4.00 of spend come in a later extract as well: the later one is taken"
        in report.notes
    )


def test_a_total_and_its_parts_are_not_added_up(tmp_path):
    head = "Day,Campaign name,Amount spent (GBP)"
    (tmp_path / "all.csv").write_text(f"{head}\n2026-09-01,A,10.00\n")
    (tmp_path / "parts.csv").write_text(
        f"{head},Country\n2026-09-01,A,6.00,GB\n2026-09-01,A,4.00,IE\n"
    )
    with pytest.raises(PlaybookError, match="in total by one extract and by region in another"):
        load(tmp_path / "all.csv", tmp_path / "parts.csv", into=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_file_with_a_sku_among_other_columns_is_not_taken_for_a_product_list(tmp_path):
    (tmp_path / "e.csv").write_text("order_ref,sku,price,quantity,weight\n1,A,2.00,1,3\n")
    with pytest.raises(PlaybookError, match="no kind known"):
        load(tmp_path / "e.csv", into=tmp_path / "s")


def test_part_of_a_month_gives_no_control_total(tmp_path):
    head = "统计日期,支付金额,访客数\n"
    days = [f"2026-09-{d:02d},10.00,5\n" for d in range(1, 31)]
    (tmp_path / "part.csv").write_text(head + "".join(days[10:]))
    report = load(tmp_path / "part.csv", into=tmp_path / "s")
    assert (
        not (tmp_path / "s" / "control_totals.parquet").exists()
        and "2026-09" in report.files[0].notes[0]
    )
    (tmp_path / "all.csv").write_text(head + "".join(days))
    load(tmp_path / "all.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT month, value FROM '@control_totals.parquet'") == [
        ("2026-09", 300.0)
    ]


def test_a_campaign_called_total_is_no_footer_and_a_second_table_is_not_data(tmp_path):
    (tmp_path / "m.csv").write_text(
        "Campaign name,Day,Amount spent (GBP)\nTotal Home Sale,2026-10-01,10\nTotal,,10\n"
    )
    (tmp_path / "g.csv").write_text(
        "# Start date: 20261001\nDate,Session default channel group,Sessions\n20261001,Direct,10\n,Grand total,10\n\n"
        "# next table\nDate,Country,Sessions\n20261001,DE,10\n"
    )
    report = load(tmp_path / "m.csv", tmp_path / "g.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT campaign, spend FROM '@ad_spend.parquet'") == [
        ("Total Home Sale", Decimal(10))
    ]
    assert rows(tmp_path / "s", "SELECT channel, sessions FROM '@traffic.parquet'") == [
        ("Direct", 10)
    ]
    assert report.files[0].repaired["lines of other tables in the file, not read"] == 2


SESSION = {"key": "ga_session_id", "value": {"int_value": "9"}}
NESTED = [
    {
        "event_timestamp": "1790812700000000",
        "event_name": "page_view",
        "user_pseudo_id": "1.2",
        "event_params": [
            SESSION,
            {"key": "page_location", "value": {"string_value": "/?mail=ann@b.example"}},
        ],
        "items": [],
    },
    {
        "event_timestamp": "1790812800000000",
        "event_name": "purchase",
        "user_pseudo_id": "1.2",
        "event_params": [SESSION],
        "ecommerce": {"transaction_id": "2001", "purchase_revenue": 42.85},
        "items": [{"item_id": "T"}, {"item_id": "C"}],
        "traffic_source": {"source": "first"},
        "session_traffic_source_last_click": {
            "manual_campaign": {"source": "google", "campaign_name": "brand"}
        },
    },
]


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_nested_events_give_sessions_items_and_the_last_click_and_their_money_once(form, tmp_path):
    path = tmp_path / "e.json"
    path.write_text("".join(json.dumps(event) + "\n" for event in NESTED))
    if form == "parquet":
        duckdb.read_json(str(path)).write_parquet(str(tmp_path / "e.parquet"))
        path = tmp_path / "e.parquet"
    store = tmp_path / "s"
    load(SAMPLES / "shopify_orders.csv", path, into=store)
    columns = "name, session_id, sku, amount, source"
    assert rows(
        store, f"SELECT {columns} FROM '@events.parquet' ORDER BY occurred_at, sku DESC"
    ) == [
        ("page_view", "1.2.9", None, None, None),
        ("purchase", "1.2.9", "T", Decimal("42.85"), "google"),
        ("purchase", "1.2.9", "C", None, "google"),
    ]
    ordered = rows(store, "SELECT source, campaign FROM '@orders.parquet' WHERE order_id = '#2001'")
    assert ordered == [("google", "brand")]
    assert b"ann@b" not in b"".join(content(store).values())


def test_a_header_that_stands_twice_with_different_values_is_refused(tmp_path):
    lines = TEXT.splitlines()
    (tmp_path / "e.csv").write_text(
        "\n".join([lines[0] + ",Total", *(line + f',"{i}.00"' for i, line in enumerate(lines[1:]))])
        + "\n"
    )
    with pytest.raises(PlaybookError, match="stands twice"):
        load(tmp_path / "e.csv", into=tmp_path / "s")


def test_a_file_that_ends_where_a_spreadsheet_must_end_is_refused(tmp_path):
    head = "Day,Campaign,Cost\n"
    (tmp_path / "e.csv").write_text(head + "2026-09-01,Brand,1.00\n" * 65_535)
    with pytest.raises(PlaybookError, match="cut off") as caught:
        load(tmp_path / "e.csv", into=tmp_path / "s")
    assert caught.value.rows == 65_536


def test_a_missing_file_a_folder_and_an_unknown_kind_are_one_message_each(tmp_path):
    with pytest.raises(PlaybookError, match="no such file"):
        load(tmp_path / "nothing.csv", into=tmp_path / "s")
    with pytest.raises(PlaybookError, match="no export kind 'etsy'"):
        load(SAMPLES / "google_ads.csv", into=tmp_path / "s", kind="etsy")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlaybookError, match="folder"):
        load(SAMPLES / "google_ads.csv", into=tmp_path / "file")
    (tmp_path / "list.csv").write_text("Einkauf,Menge\nBrot,2\n")
    with pytest.raises(PlaybookError, match="no file was recognised"):
        load(tmp_path / "list.csv", into=tmp_path / "s")


# --- people ----------------------------------------------------------------------------------------------------------


def test_people_are_keys_under_a_salt_whatever_the_case_of_their_address(tmp_path):
    (tmp_path / "e.csv").write_text(
        shopify(
            order(1, "1.00", Email=" Ann@Example.COM "), order(2, "1.00", Email="ann@example.com")
        )
    )
    load(tmp_path / "e.csv", into=tmp_path / "s")
    assert rows(tmp_path / "s", "SELECT DISTINCT customer_id FROM '@orders.parquet'") == [
        (person_key("ann@example.com", SALT),)
    ]
    assert (
        f'"salt_fingerprint": "{fingerprint(SALT)}"' in (tmp_path / "s" / "store.json").read_text()
    )


def test_an_import_under_another_salt_is_refused(tmp_path):
    a, b, _ = halves(tmp_path)
    load(a, into=tmp_path / "s")
    with pytest.raises(PlaybookError, match="another salt"):
        import_files("auto", [b], tmp_path / "s", salt=b"a different salt")


def test_planted_names_addresses_and_phones_stand_nowhere_in_the_store(tmp_path):
    planted = [
        "Ada Planted",
        "ada.planted@example.org",
        "+44 20 7946 0958",
        "13812345678",
        "1 Planted Street",
        "leave it at no. 7",
        "QX1 2ZZ",
    ]
    fields = {
        "Billing Name": planted[0],
        "Email": planted[1],
        "Billing Phone": planted[2],
        "Shipping Phone": planted[3],
        "Shipping Street": planted[4],
        "Notes": planted[5],
        "Shipping Zip": planted[6],
        "Phone": planted[2],
    }
    text = shopify(
        order(
            1,
            "10.00",
            ("A", f"Gift for {planted[1]}, call {planted[2]} or {planted[3]}", 1, "10.00"),
            **fields,
        )
    )
    (tmp_path / "e.csv").write_text(text)
    report = load(tmp_path / "e.csv", into=tmp_path / "s")
    duckdb.sql(f"COPY (SELECT * FROM '{tmp_path}/s/order_lines.parquet') TO '{tmp_path}/lines.csv'")
    everything = b"".join(content(tmp_path / "s").values()) + (tmp_path / "lines.csv").read_bytes()
    for table in ("orders", "customers"):
        everything += str(rows(tmp_path / "s", f"SELECT * FROM '@{table}.parquet'")).encode()
    for part in (tmp_path / "s" / ".imports").rglob("*.parquet"):
        everything += str(duckdb.sql(f"SELECT * FROM '{part}'").fetchall()).encode()
    for text in planted:
        assert text.encode() not in everything
    assert rows(tmp_path / "s", "SELECT title FROM '@order_lines.parquet'") == [
        ("Gift for [e-mail], call [phone] or [phone]",)
    ]
    assert report.files[0].repaired["Lineitem name: contact details masked"] == 1


def test_nothing_is_left_beside_the_store(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    load(SAMPLES / "taobao_orders.csv", into=tmp_path / "s")
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "s" / ".staging").exists()


# --- what the person sees --------------------------------------------------------------------------------------------


def test_the_report_says_what_is_possible_and_which_file_would_help_most(tmp_path):
    report = load(SAMPLES / "shopify_orders.csv", into=tmp_path / "s")
    assert "04_cohort_retention" in report.possible and "03_channel_roi" not in report.possible
    assert "cost per item" in report.next_best[0]
    assert any("2026-10 is not complete" in n for n in report.notes)
    load(SAMPLES / "shopify_products.csv", into=tmp_path / "s")
    assert (
        "cost per item"
        not in load(SAMPLES / "shopify_products.csv", into=tmp_path / "s").next_best[0]
    )
    assert isinstance(report.as_dict()["ledger"], list) and report.lines()


def test_the_workbook_of_a_new_store_can_be_imported_as_it_is(tmp_path):
    from playbook.sources.init import init_store

    first = init_store(tmp_path / "s", currency="GBP", timezone="Europe/London")
    assert first.written == ["shop.yaml", "fill-in.xlsx"]
    report = load(tmp_path / "s" / "fill-in.xlsx", SAMPLES / "google_ads.csv", into=tmp_path / "s")
    assert [f.kind for f in report.files] == ["table-channels", "google-ads"]
    assert rows(tmp_path / "s", "SELECT DISTINCT channel FROM '@ad_spend.parquet'") == [
        ("google ads",)
    ]
    assert init_store(tmp_path / "s").kept == ["shop.yaml", "fill-in.xlsx"]


def test_a_mapping_proposed_from_headers_reads_a_german_order_list(tmp_path):
    from playbook.sources.proposal import propose_mapping

    (tmp_path / "liste.csv").write_text(
        "Bestellnummer;Bestelldatum;Artikelnummer;Bezeichnung;Menge;Einzelpreis;Versandkosten;Gesamtbetrag;Bestellstatus;E-Mail;Name\n"
        "A-1;03.10.2026 10:00;X1;Lampe;2;1.010,50;4,90;2.045,90;bezahlt;ann@example.com;Ann\n"
        "A-1;03.10.2026 10:00;X2;Birne;1;20,00;4,90;2.045,90;bezahlt;ann@example.com;Ann\n"
        "A-2;04.10.2026 11:00;X2;Birne;3;20,00;0,00;60,00;storniert;;Bob\n",
        encoding="utf-8",
    )
    proposal = propose_mapping(tmp_path / "liste.csv")
    assert (
        proposal.personal == ["Name"]
        and not proposal.unmatched
        and proposal.columns["total"] == "Gesamtbetrag"
    )
    (tmp_path / "m.yaml").write_text(
        proposal.text.replace('"storniert": cancelled', ""), encoding="utf-8"
    )
    with pytest.raises(PlaybookError, match="without a meaning: storniert"):
        load(
            tmp_path / "liste.csv", into=tmp_path / "s", kind="generic", mapping=tmp_path / "m.yaml"
        )
    (tmp_path / "m.yaml").write_text(proposal.text, encoding="utf-8")
    load(tmp_path / "liste.csv", into=tmp_path / "s", kind="generic", mapping=tmp_path / "m.yaml")
    assert rows(
        tmp_path / "s",
        "SELECT order_id, status, gross, shipping, total FROM '@orders.parquet' ORDER BY 1",
    ) == [
        ("A-1", "paid", Decimal("2041"), Decimal("4.9"), Decimal("2045.9")),
        ("A-2", "cancelled", Decimal(60), Decimal(0), Decimal(60)),
    ]


def test_a_store_written_by_imports_opens_and_passes_its_checks(tmp_path):
    from playbook.store import open_store

    load(
        SAMPLES / "shopify_orders.csv",
        SAMPLES / "shopify_products.csv",
        SAMPLES / "google_ads.csv",
        into=tmp_path / "s",
    )
    shop = open_store(tmp_path / "s", until="2026-10-25")
    assert shop.currency == "GBP" and shop.has("products.unit_cost")
    assert int(shop.sales_orders.count().execute()) == 2  # the third was voided
    shutil.rmtree(tmp_path / "s")


def test_a_table_no_import_made_is_not_replaced(tmp_path):
    """A table written by hand stays as it was, and the message says how to bring it in."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "orders.csv").write_text("order_id\nmine\n", encoding="utf-8")
    sample = Path(__file__).parent.parent / "data" / "samples" / "shopify_orders.csv"
    with pytest.raises(PlaybookError, match="no import made"):
        import_files("shopify-orders", [sample], store)
    assert (store / "orders.csv").read_text(encoding="utf-8") == "order_id\nmine\n"
    assert not list(store.glob("*.parquet"))
