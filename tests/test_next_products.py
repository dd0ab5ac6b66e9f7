"""One list a customer: only who consented, only what is there, safe and not just bought, and
nobody spoken to whom a list of people holds out.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.recommendations import next_products as own
from playbook.chapters.recommendations.next_products import (
    Shelf,
    list_decision,
    list_plan,
    list_trial,
    next_products,
    safe_skus,
    wait_days,
    who_may_get_one,
)
from playbook.chapters.recommendations.nextbuy import (
    Learnt,
    learnt,
    moment,
    purchases,
    split_at,
)
from playbook.methods.ease import ease_weights
from playbook.methods.hashing import arms
from playbook.runs.plan import NEXT_PRODUCTS
from playbook.sources.audience import write_audience
from playbook.tables import empty

AS_OF = dt.date(2025, 12, 31)
#: seeds of the shop of two tastes; nothing was chosen on them (0 was looked at while writing)
REPORTED = range(101, 111)
UNSAFE = empty("recommendations.filtered")


def ago(days):
    return AS_OF - dt.timedelta(days=days)


def sold(*lines):
    """(customer, sku, days ago) each."""
    return pd.DataFrame(
        [(f"o{i}", c, s, ago(days)) for i, (c, s, days) in enumerate(lines)],
        columns=["order_id", "customer_id", "sku", "ordered_on"],
    )


def again(**early):
    return pd.DataFrame({"sku": list(early), "early_days": list(early.values())})


def may(*ids, held=()):
    return pd.DataFrame({"customer_id": ids, "is_held_elsewhere": [i in held for i in ids]})


def days_of(*rows):
    """(sku, days ago, units, on_hand) each."""
    table = pd.DataFrame(
        [(s, ago(days), units, on_hand) for s, days, units, on_hand in rows],
        columns=["sku", "day_on", "units", "on_hand"],
    )
    return table.astype({"on_hand": "Int64"})


# ---- who, and how many of them


def test_only_a_clear_consent_counts_and_a_running_campaign_keeps_its_hold_out():
    customers = pd.DataFrame(
        {"customer_id": list("abcd"), "is_contactable": pd.array([True, True, None, False])}
    )
    sent = pd.DataFrame(
        {
            "customer_id": ["a", "b", "b"],
            "arm": ["holdout", "holdout", "treated"],
            "assigned_at": pd.to_datetime([ago(29), ago(30), ago(5)]),
        }
    )
    found = who_may_get_one(customers, as_of=AS_OF, treatments=sent)
    assert found.customer_id.tolist() == ["a", "b"]
    assert found.is_held_elsewhere.tolist() == [True, False]


def test_the_hold_out_is_half_or_what_the_share_of_buyers_asks_for_or_nobody():
    def plan(n, n_back):
        ids = [f"c{i}" for i in range(n)]
        first = pd.DataFrame({"customer_id": ids, "day_on": ago(200), "orders": 1})
        back = first[:n_back].assign(day_on=ago(3))
        return list_plan(pd.concat([first, back]), may(*ids), as_of=AS_OF).iloc[0]

    # 16 p q / difference^2 is some 1,600 a side at one half against .55
    row = plan(4000, 2000)
    assert (row.n_customers, row.n_judged, row.n_back) == (4000, 4000, 2000)
    assert row.low < row.buyer_share == 0.5 < row.high
    assert row.holdout_share == pytest.approx(1565 / 4000, abs=0.001)
    assert row.detectable_lift == 0.1
    row = plan(400, 40)
    assert row.holdout_share == 0.5 and 0.5 < row.detectable_lift < 1
    row = plan(100, 5)
    assert row.holdout_share == 0 and row.detectable_lift > 1


def test_the_arm_of_a_list_is_drawn_apart_from_the_arms_of_the_programmes():
    ids = pd.Series([f"c{i}" for i in range(3000)])
    lines = sold(*((c, "tea", 300) for c in ids))
    known = learnt(lines, as_of=AS_OF)
    table = next_products(known, Shelf({"tea"}, again()), may(*ids), held_share=0.3)
    mine = table.set_index("customer_id").arm.reindex(ids) == "holdout"
    theirs = arms(ids, 0.3) == "holdout"
    assert mine.mean() == pytest.approx(0.3, abs=0.03)
    assert (mine.to_numpy() & theirs).mean() == pytest.approx(0.09, abs=0.02)


# ---- what may stand on it


@pytest.mark.parametrize(
    ("on_hand", "is_there"), [(0, False), (13, False), (14, True), (None, False)]
)
def test_the_stock_must_last_as_long_as_a_message_is_read(on_hand, is_there):
    days = days_of(("tea", 1, 90, None), ("tea", 0, 0, on_hand), ("mug", 0, 1, 5))
    assert safe_skus(days, UNSAFE, as_of=AS_OF) == {"mug", *(["tea"] if is_there else [])}


def test_a_stock_of_six_weeks_ago_is_not_the_stock_of_today():
    days = days_of(("tea", 34, 0, 9), ("mug", 35, 0, 9))
    assert safe_skus(days, UNSAFE, as_of=AS_OF) == {"tea"}


def test_without_any_stock_only_what_is_unsafe_is_left_out():
    days = days_of(("tea", 1, 3, None), ("mug", 1, 1, None))
    unsafe = pd.DataFrame({"sku": ["mug"], "reason": ["withdrawn"]})
    assert safe_skus(days, unsafe, as_of=AS_OF) == {"tea"}


def test_nothing_just_bought_is_listed_and_refills_come_back_at_their_own_pace():
    waits = wait_days(again(tea=50.0, soap=10.0), ["tea", "soap", "pot"])
    assert waits.to_dict() == {"tea": 50.0, "soap": 30.0, "pot": 120.0}
    lines = sold(
        *(("ann", s, 49.0) for s in ("tea", "soap", "pot")),
        *(("bob", s, 51.0) for s in ("tea", "soap", "pot")),
        *(("cat", s, 130.0) for s in ("tea", "soap", "pot")),
    )
    known = learnt(lines, as_of=AS_OF)
    shelf = Shelf({"tea", "soap", "pot"}, again(tea=50.0, soap=10.0))
    table = next_products(known, shelf, may("ann", "bob", "cat"))
    listed = table.groupby("customer_id").sku.agg(set).to_dict()
    assert listed == {"ann": {"soap"}, "bob": {"tea", "soap"}, "cat": {"tea", "soap", "pot"}}
    assert set(table.rule) == {"buy_again"} and set(table.arm) == {"treat"}


def test_services_strangers_and_the_held_out_are_on_no_list():
    lines = sold(
        ("ann", "tea", 300), ("ann", "postage", 300), ("bob", "mug", 300), ("eve", "mug", 9)
    )
    lines["is_product"] = lines.sku != "postage"
    known = learnt(lines, as_of=AS_OF)
    people = may("ann", "bob", "zoe", held=["bob"])
    table = next_products(known, Shelf({"tea", "mug", "postage"}, again()), people)
    assert set(table.customer_id) == {"ann"} and set(table.sku) == {"tea", "mug"}
    assert dict(zip(table.sku, table.rule, strict=True)) == {"tea": "buy_again", "mug": "discover"}
    assert next_products(known, Shelf({"tea"}, again()), may("zoe")).empty


def test_where_there_are_too_many_the_last_to_buy_are_listed():
    lines = sold(("ann", "tea", 300), ("bob", "tea", 200), ("cat", "tea", 250))
    known, shelf = learnt(lines, as_of=AS_OF), Shelf({"tea"}, again())
    table = next_products(known, shelf, may("ann", "bob", "cat"), most_customers=2)
    assert table.customer_id.tolist() == ["bob", "cat"]


# ---- what it finds


def two_tastes(seed, people=300):
    """Customers who buy from their own half of forty items only, two fifths of whom buy from
    the half that fewer share.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        half = 20 * (person % 5 < 2)
        for order in range(rng.integers(4, 12)):
            day = ago(int(rng.integers(0, 365)))
            items = half + rng.integers(0, 20, rng.integers(1, 4))
            rows += [(f"o{person}-{order}", f"c{person}", f"s{i:02d}", day) for i in items]
    return pd.DataFrame(rows, columns=["order_id", "customer_id", "sku", "ordered_on"])


def _at_the_cut(lines):
    """What a model knew ninety days before as-of."""
    t, cut = purchases(lines, AS_OF), moment(AS_OF) - dt.timedelta(days=90)
    data = split_at(t, cut)
    return Learnt(t, cut, data, ease_weights(data.bought.sign()))


@pytest.fixture(scope="module")
def trials():
    found = []
    for seed in REPORTED:
        lines = two_tastes(seed)
        shelf = [(s, d, 1, 99) for s in sorted(set(lines.sku)) for d in (0, 91)]
        days = days_of(*shelf).assign(revenue=5.0, margin=2.0)
        found.append((lines, list_trial(_at_the_cut(lines), days)))
    return found


def test_own_lists_find_more_than_best_sellers_where_tastes_differ_on_eight_of_ten_seeds(trials):
    assert sum(trial.hits_more_low.iloc[0] > 0 for _, trial in trials) >= 8


def test_what_own_lists_find_more_is_counted_customer_by_customer(trials):
    for _, trial in trials:
        mine, best = trial.hit_share
        assert trial.hits_more.iloc[0] == pytest.approx(mine - best)
        assert (trial.low <= trial.hit_share).all() and (trial.hit_share <= trial.high).all()
        assert trial.n_customers.nunique() == 1


def test_lists_of_one_taste_hold_items_of_that_taste(trials):
    shares = []
    for lines, _ in trials:
        skus = set(lines.sku)
        table = next_products(
            learnt(lines, as_of=AS_OF), Shelf(skus, again()), may(*set(lines.customer_id))
        )
        is_first_half = table.customer_id.str[1:].astype(int) % 5 >= 2
        shares.append((is_first_half == (table.sku.str[1:].astype(int) < 20)).mean())
    assert np.mean(np.array(shares) > 0.95) >= 0.8


def test_the_decision_tests_lists_that_find_more_and_keeps_best_sellers_otherwise(trials):
    trial = trials[0][1]
    plan = pd.DataFrame({"holdout_share": [0.25], "detectable_lift": [0.1]})
    listed = pd.DataFrame(
        {"customer_id": list("aabc"), "arm": ["treat", "treat", "treat", "holdout"]}
    )
    days = {"due_on": "2026-01-14", "revisit_on": "2026-04-14"}
    row = list_decision(trial, plan, listed, **days).iloc[0]
    assert (row.action, row["size"], row.effect_kind) == (
        "own list in each message",
        2.0,
        "unknown_without_test",
    )
    assert row.owner_role == "CRM manager" and "1 get the best sellers instead" in row.reason
    unsure = list_decision(trial.assign(hits_more_low=-0.01), plan, listed, **days).iloc[0]
    assert unsure.action == "best sellers in each message" and unsure.is_idle
    unseen = list_decision(trial, plan.assign(holdout_share=0.0), listed, **days).iloc[0]
    assert unseen.action == "best sellers in each message"
    assert list_decision(trial, plan, listed[:0], **days).empty


def test_the_days_a_message_is_read_and_the_waits_are_what_the_chapter_says():
    assert (own.COVER_DAYS, own.JUST_DAYS, own.ONCE_DAYS, own.STALE_DAYS) == (14, 30, 120, 35)


# ---- the file


def test_the_file_holds_each_ones_products_and_nobody_whom_a_list_of_people_leaves_out(
    tmp_path, monkeypatch
):
    from playbook.runs import plan as runs
    from playbook.sources.secret import person_key

    salt = b"0123456789abcdef0123456789abcdef"
    ids = {name: person_key(f"{name}@example.com", salt) for name in ("ann", "bob", "cat", "dan")}
    rows = pd.DataFrame(
        [
            (ids["ann"], "treat", 2, "mug"),
            (ids["ann"], "treat", 1, "tea"),
            (ids["bob"], "treat", 1, "pot"),
            (ids["cat"], "holdout", 1, "tea"),
            (ids["dan"], "treat", 1, "tea"),
        ],
        columns=["customer_id", "arm", "rank", "sku"],
    )
    people = pd.DataFrame(
        {
            "customer_id": list(ids.values()),
            "programme": ["campaign", "vip", "campaign", "reminder"],
            "arm": ["treat", "treat", "treat", "holdout"],
        }
    )
    for chapter, name, table in (
        ("09_recommendations", "next_products", rows),
        ("11_monthly_review", "people", people),
    ):
        folder = tmp_path / "2026-10" / chapter / "tables"
        folder.mkdir(parents=True)
        table.to_parquet(folder / f"{name}.parquet")

    class Shop:
        name, folder = "s", tmp_path / "store"

    (tmp_path / "store").mkdir()
    monkeypatch.setattr(runs, "_published", lambda *_: (Shop, tmp_path, [tmp_path / "2026-10"]))
    folder, members, elsewhere = runs.listed_members("s", None, "runs")
    contacts = tmp_path / "contacts.csv"
    contacts.write_text(
        "email,consent\n" + "".join(f"{n}@example.com,yes\n" for n in (*ids, "eve"))
    )
    report = write_audience(
        NEXT_PRODUCTS,
        contacts,
        tmp_path / "out.csv",
        store=folder,
        members=members,
        held_out=elsewhere,
        salt=salt,
    )
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "email,product_1,product_2",
        "ann@example.com,tea,mug",
        "bob@example.com,pot,",
    ]
    assert (report.n_segment, report.n_held_out, report.n_written) == (4, 2, 2)
