"""By the book: two real shops give the published numbers, to the cent and the customer.

Online Retail: Chen, Sain and Guo (2012), UCI; the ledger and the cohort rows are
recomputed from the publisher's raw rows by an independent route and stand in the
contract. CDNOW: Fader and Hardie's posted file.
"""

import datetime as dt
from decimal import Decimal

import pytest

from playbook.chapters.cohort_retention.cohorts import cohort_retention
from playbook.sources.importing import import_files
from playbook.store import open_store
from playbook.store.reconcile import ledger

WALK = {  # reason -> rows, amount, for the whole file
    "source total as delivered": (541_909, "9747747.93"),
    "adjustment": (-3, "11062.06"),
    "credit_line": (-9_288, "896812.49"),
    "stock_write_off": (-1_336, "0.00"),
    "zero_or_negative_price": (-1_179, "0.00"),
    "shop sales before returns": (530_103, "10655622.48"),
    "refunds booked": (9_288, "-896812.49"),
    "shop net revenue": (530_103, "9758809.99"),
    "guest": (-132_219, "-1744214.58"),
    "known-customer sales before returns": (397_884, "8911407.90"),
    "refunds booked to known customers": (8_905, "-611342.09"),
    "known-customer net revenue": (397_884, "8300065.81"),
}
DECEMBER = [885, 324, 286, 340, 321, 352, 321, 309, 313, 350, 331, 445, 235]
JANUARY = [417, 92, 111, 96, 134, 120, 103, 101, 125, 136, 152, 49]


@pytest.fixture(scope="session")
def online_retail(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "online-retail"
    import_files("online-retail", [shared_data / "online-retail" / "online_retail.parquet"], folder)
    return folder


def test_the_walk_of_online_retail_is_the_published_one_to_the_cent(online_retail):
    walk = (
        ledger(open_store(online_retail, until="2011-12"))
        .drop_duplicates("reason")
        .set_index("reason")
    )
    for reason, (rows, amount) in WALK.items():
        assert walk.loc[reason, "rows"] == rows, reason
        assert round(walk.loc[reason, "amount"], 2) == Decimal(amount), reason


def test_codes_outside_the_product_pattern_are_counted_and_dcgs_codes_stay_products(online_retail):
    """2,378 clean lines carry codes that are not five digits and up to two letters;
    those called DCGS... are goods.
    """
    lines = open_store(online_retail, until="2011-12").sales_lines
    odd = lines.filter(~lines.sku.re_search(r"^[0-9]{5}[A-Za-z]{0,2}$"))
    assert odd.count().to_pandas() == 2_378
    assert round(odd.revenue.sum().to_pandas(), 2) == Decimal("384587.87")
    goods = odd.filter(odd.is_product)
    assert (
        goods.filter(goods.sku.upper().startswith("DCGS")).count().to_pandas()
        == goods.count().to_pandas()
        > 0
    )


def test_customers_and_customer_days_of_online_retail_are_the_published_ones(online_retail):
    days = open_store(online_retail, until="2011-12").customer_days
    ordered = days.filter(days.orders > 0)
    assert ordered.customer_id.nunique().to_pandas() == 4_338
    assert ordered.count().to_pandas() == 16_763
    assert days.count().to_pandas() == 19_294


def test_the_cohorts_of_online_retail_are_the_published_ones(online_retail):
    shop = open_store(online_retail, until="2011-12")
    cells = cohort_retention(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    for cohort, active in (("2010-12", DECEMBER), ("2011-01", JANUARY)):
        rows = cells[(cells.cohort == cohort) & (cells.status != "unobserved")]
        assert rows.active.tolist() == active
        assert rows.status.tolist() == ["complete"] * (len(active) - 1) + ["partial"]


def test_the_month_of_november_sees_no_december_and_the_same_complete_cells(online_retail):
    shop = open_store(online_retail, until="2011-11")
    cells = cohort_retention(
        shop.customer_days, as_of=shop.as_of, truncated_before=shop.truncated_before
    )
    december = cells[(cells.cohort == "2010-12") & (cells.status == "complete")]
    assert december.active.tolist() == DECEMBER[:12]
    assert cells.cohort.max() == "2011-11"


def test_the_first_cohorts_of_online_retail_are_left_truncated_and_cdnows_are_not(online_retail):
    retail = open_store(online_retail, until="2011-11")
    cells = cohort_retention(
        retail.customer_days, as_of=retail.as_of, truncated_before=retail.truncated_before
    )
    marked = set(cells[cells.is_left_truncated].cohort)
    assert {"2010-12", "2011-01"} <= marked
    assert "2011-06" not in marked
    cdnow = open_store("cdnow", until="1998-06")
    cells = cohort_retention(
        cdnow.customer_days, as_of=cdnow.as_of, truncated_before=cdnow.truncated_before
    )
    assert not cells.is_left_truncated.any()


def test_cdnow_holds_every_published_customer_and_dollar():
    shop = open_store("cdnow", until="1998-06")
    walk = ledger(shop).set_index("reason").amount
    assert round(walk["source total as delivered"], 2) == Decimal("2500315.63")
    assert shop.customer_days.customer_id.nunique().to_pandas() == 23_570
    assert shop.customer_days.count().to_pandas() == 67_591


def test_cutting_twenty_days_off_cdnow_changes_no_complete_cell():
    full, cut = (open_store("cdnow", until=day) for day in ("1998-06-30", "1998-06-10"))
    late = cohort_retention(full.customer_days, as_of=full.as_of).set_index(["cohort", "k"])
    early = cohort_retention(cut.customer_days, as_of=cut.as_of).set_index(["cohort", "k"])
    whole = early[early.status == "complete"]
    assert whole.equals(late.loc[whole.index])
    assert (early[early.status == "partial"].index.get_level_values("k") + 0 >= 15).all()
    assert early[early.status == "unobserved"].active.isna().all()
    assert cut.as_of == dt.date(1998, 6, 10)
