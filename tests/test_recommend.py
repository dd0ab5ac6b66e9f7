"""What to show: judged on later purchases beside best sellers and buying again, and
never what cannot be sold.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.recommendations.decisions import recommend_decisions
from playbook.chapters.recommendations.nextbuy import moment, purchases, split_at
from playbook.chapters.recommendations.pairs import (
    bundles,
    item_pairs,
    replenishment,
    strongest_first,
)
from playbook.chapters.recommendations.recommend import (
    Leaderboard,
    buyer_groups,
    leaderboard,
    leaderboard_by_chance,
    picks,
    unsafe_items,
)
from playbook.errors import PlaybookError
from playbook.methods.baskets import pair_rules
from playbook.tables import empty


def shop(people=300, seed=1, days=365, repeat=0.5):
    """Customers of two tastes: each buys items of its own half, half of the time one it
    had before.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        mine, own = np.arange(20) + 20 * (person % 2), []
        for order in range(rng.integers(4, 12)):
            day = dt.date(2025, 1, 1) + dt.timedelta(days=int(rng.integers(0, days)))
            for _ in range(rng.integers(1, 4)):
                item = (
                    own[rng.integers(len(own))]
                    if own and rng.random() < repeat
                    else mine[rng.integers(20)]
                )
                own.append(item)
                rows.append((f"o{person:04d}-{order:02d}", f"c{person:04d}", f"s{item:02d}", day))
    return pd.DataFrame(rows, columns=["order_id", "customer_id", "sku", "ordered_on"])


AS_OF = dt.date(2025, 12, 31)


def line(order, customer, sku, day, revenue=10.0, cost=4.0, **more):
    return {
        "order_id": order,
        "customer_id": customer,
        "sku": sku,
        "ordered_on": dt.date.fromisoformat(day),
        "revenue": revenue,
        "cost": cost,
        **more,
    }


# ---- the leaderboard


def test_on_a_shop_of_two_tastes_learning_beats_best_sellers_on_new_items():
    found = leaderboard(shop(), as_of=AS_OF)
    new = found.table[found.table["items"] == "new"].set_index("model")
    assert new.loc["ease", "gain_low"] > 0
    assert new.loc["popularity", "gain"] == 0
    winner = found.winner.set_index("items").loc["new"]
    assert winner["is_better"]
    assert winner["model"] in ("ease", "item_to_item", "blend")


def test_where_everybody_buys_by_chance_popularity_is_kept():
    rng = np.random.default_rng(3)
    n = 4_000
    lines = pd.DataFrame(
        {
            "order_id": [f"o{k}" for k in range(n)],
            "customer_id": rng.integers(0, 300, n).astype(str),
            "sku": rng.integers(0, 200, n).astype(str),
            "ordered_on": [
                dt.date(2025, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 365, n)
            ],
        }
    )
    winner = leaderboard(lines, as_of=AS_OF).winner.set_index("items").loc["new"]
    assert not winner["is_better"]
    assert winner["model"] == winner["baseline"]


def test_recall_of_popularity_by_hand():
    rows = [
        line(f"t{c}{s}", c, s, "2025-06-01") for c, s in ("aX", "aY", "bX", "bZ", "cX", "cY", "dX")
    ]
    rows += [
        line("1", "a", "X", "2025-12-01"),
        line("2", "a", "W", "2025-12-01"),
        line("3", "b", "Y", "2025-12-02"),
    ]
    table = leaderboard(pd.DataFrame(rows), as_of=AS_OF, k=2).table.set_index(["model", "items"])
    # popularity shows X, Y: customer a wanted X and W (one of two), b wanted Y (one of one); W was never sold before
    assert table.loc[("popularity", "all"), ["recall_k", "n_customers"]].tolist() == [0.75, 2]
    # new items: a wanted W, b wanted Y, which b had not bought
    assert table.loc[("popularity", "new"), ["recall_k", "hit_k"]].tolist() == [0.5, 0.5]
    assert table.loc[("buy_again", "repeat"), ["recall_k", "n_customers"]].tolist() == [1.0, 1]
    assert table.loc[("popularity", "all"), "coverage"] == 2 / 3


def test_nothing_after_the_cut_reaches_training():
    lines, cut = shop(), moment(AS_OF) - dt.timedelta(days=90)
    past = lines[lines["ordered_on"] <= cut.date()]
    whole = split_at(purchases(lines, AS_OF), cut)
    alone = split_at(purchases(past, AS_OF), cut, "none")
    assert whole.items.tolist() == alone.items.tolist()
    assert (
        whole.bought.sum()
        == alone.bought.sum()
        == past.groupby(["customer_id", "sku"])["order_id"].nunique().sum()
    )
    assert (whole.trend == alone.trend).all()


def test_a_random_split_flatters():
    # People buy again what they lately bought: dealt by chance, the future stands in the training data.
    rng = np.random.default_rng(8)
    rows = []
    for person in range(250):
        for month in range(12):
            item = (person * 7 + month * 11 + rng.integers(0, 2)) % 120
            for k in range(2):
                rows.append(
                    (
                        f"o{person}-{month}-{k}",
                        f"c{person}",
                        f"s{item:03d}",
                        dt.date(2025, month + 1, 3 + 9 * k),
                    )
                )
    lines = pd.DataFrame(rows, columns=["order_id", "customer_id", "sku", "ordered_on"])
    board = leaderboard(lines, as_of=AS_OF)
    by_chance = leaderboard_by_chance(lines, as_of=AS_OF, blend=board.blend)
    later, leaked = (
        table.set_index(["model", "items"]).loc[("buy_again", "all"), "recall_k"]
        for table in (board.table, by_chance)
    )
    assert leaked > 1.5 * later
    assert set(by_chance["items"]) == {"all"}


def test_shuffled_lines_give_the_same_leaderboard():
    lines = shop(people=120)
    one, other = (
        leaderboard(x, as_of=AS_OF) for x in (lines, lines.sample(frac=1, random_state=4))
    )
    pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(one.curve, other.curve)


def test_a_hundred_thousand_items_are_cut_to_those_that_can_matter_and_it_is_said():
    rng = np.random.default_rng(2)
    n = 120_000
    often = rng.random(n) < 0.5
    item = np.where(often, rng.zipf(1.5, n) % 300, rng.integers(300, 100_000, n))
    lines = pd.DataFrame(
        {
            "order_id": (np.arange(n) // 3).astype(str),
            "customer_id": rng.integers(0, 4_000, n).astype(str),
            "sku": item.astype(str),
            "ordered_on": pd.to_datetime("2025-01-01")
            + pd.to_timedelta(rng.integers(0, 365, n), unit="D"),
        }
    )
    found = leaderboard(lines, as_of=AS_OF, max_items=500, max_customers=500)
    said = found.setting.set_index("fact")["found"]
    assert int(said["items kept"]) == 500
    assert int(said["items cut"]) > 30_000
    assert found.table["n_customers"].max() <= 500
    pairs = item_pairs(lines, as_of=AS_OF, max_items=500)
    assert (pairs["items_cut"] > 30_000).all()


def test_without_known_customers_there_is_no_leaderboard_but_there_are_pairs():
    lines = shop(people=60).assign(
        customer_id=pd.array([None] * len(shop(people=60)), dtype="string")
    )
    with pytest.raises(PlaybookError, match="no known customer"):
        leaderboard(lines, as_of=AS_OF)
    assert len(item_pairs(lines, as_of=AS_OF, min_n=2, min_support=0.001)) > 0
    with pytest.raises(PlaybookError, match="lack what recommendations need"):
        leaderboard(lines.drop(columns="sku"), as_of=AS_OF)


def test_online_retail_meets_the_stated_recalls(shared_data):
    raw = pd.read_parquet(shared_data / "online-retail" / "online_retail.parquet")
    raw = raw[(raw["Quantity"] > 0) & raw["CustomerID"].notna()]
    lines = pd.DataFrame(
        {
            "order_id": raw["InvoiceNo"],
            "sku": raw["StockCode"],
            "ordered_at": raw["InvoiceDate"],
            "customer_id": raw["CustomerID"].astype("int64").astype("string"),
        }
    )
    found = leaderboard(lines, as_of=lines["ordered_at"].max())
    table = found.table.set_index(["model", "items"])
    assert table.loc[("blend", "all"), "n_customers"] == 1_921
    assert table.loc[("blend", "all"), "recall_k"] >= 0.33
    assert table.loc[("blend", "new"), "recall_k"] >= 0.11
    assert (
        table.loc[("buy_again", "all"), "recall_k"]
        > 3 * table.loc[("popularity", "all"), "recall_k"]
    )
    assert found.winner.set_index("items").loc["new", "model"] == "blend"


# ---- pairs, bundles, reminders


def test_lift_counts_orders_of_rare_items_among_all_orders():
    rows = [line(f"ab{n}", None, s, "2025-11-01") for n in range(5) for s in "AB"]
    rows += [line(f"r{n}", None, f"rare{n}", "2025-11-02") for n in range(15)]
    lines = pd.DataFrame(rows).astype({"customer_id": "string"})
    found = (
        item_pairs(lines, as_of=AS_OF, min_n=2, max_items=2).set_index(["a", "b"]).loc[("A", "B")]
    )
    assert (found["n_baskets"], found["support"], found["pair_lift"], found["items_cut"]) == (
        20,
        0.25,
        4.0,
        15,
    )
    assert found["margin"] == 6.0


def test_a_pair_without_a_cost_has_no_margin_and_no_bundle_price():
    rows = [
        line(f"o{n}", None, s, "2025-11-01", cost=None if s == "B" else 4.0)
        for n in range(30)
        for s in "AB"
    ]
    rows += [line(f"x{n}", None, f"x{n}", "2025-11-01") for n in range(90)]
    pairs = item_pairs(pd.DataFrame(rows).astype({"customer_id": "string"}), as_of=AS_OF, min_n=5)
    assert pairs.set_index(["a", "b"])["margin"].isna().to_dict() == {
        ("A", "B"): True,
        ("B", "A"): False,
    }
    assert bundles(pairs)[["margin", "extra_needed"]].isna().all(axis=None)


def test_a_bundle_says_what_it_must_sell_beyond_what_sells_anyway():
    rows = [line(f"o{n}", None, s, "2025-11-01") for n in range(30) for s in "AB"]
    rows += [line(f"a{n}", None, "A", "2025-11-01") for n in range(10)]
    rows += [line(f"x{n}", None, f"x{n}", "2025-11-01") for n in range(160)]
    pairs = item_pairs(pd.DataFrame(rows).astype({"customer_id": "string"}), as_of=AS_OF, min_n=5)
    found = bundles(pairs, discount_share=0.1).iloc[0]
    # 12 of margin together, 1.2 given away to each of the 30 who take both anyway: 36 / 10.8
    assert (found["n"], found["margin"], found["discount"]) == (30, 12.0, pytest.approx(1.2))
    assert found["extra_needed"] == pytest.approx(36 / 10.8)
    assert found["extra_needed_share"] == pytest.approx(36 / 10.8 / 10)
    assert found["attach_share"] == 30 / 40  # of orders with A or B, not of all orders


def test_only_purchases_with_time_to_be_followed_count_for_reminders():
    rows = [line(f"f{n}", f"c{n}", "tea", "2025-03-01") for n in range(60)]
    rows += [line(f"g{n}", f"c{n}", "tea", "2025-03-31") for n in range(40)]
    rows += [line(f"h{n}", f"d{n}", "tea", "2025-12-20") for n in range(500)]
    found = replenishment(pd.DataFrame(rows), as_of=AS_OF, window_days=120).iloc[0]
    assert (found["n_starts"], found["n_rebuys"], found["rebuy_days"]) == (100, 40, 30)
    assert found["rebuy_share"] == 0.4


# ---- what may be shown


def days_of(sku, units, on_hand, margin=3.0, until="2025-12-31", n=120):
    days = pd.date_range(end=until, periods=n)
    return pd.DataFrame(
        {
            "sku": sku,
            "day_on": days.date,
            "units": units,
            "revenue": units * 10.0,
            "margin": units * margin,
            "on_hand": pd.array([on_hand] * n, dtype="Int64"),
        }
    )


def test_each_reason_not_to_show_an_item_is_named():
    table = pd.concat(
        [
            days_of("good", 2, 50),
            days_of("gone", 2, 0),
            days_of("loss", 2, 50, margin=-1.0),
            days_of("quiet", 0, 50),
        ]
    )
    products = pd.DataFrame({"sku": ["good", "old"], "is_active": [True, False]})
    found = unsafe_items(table, as_of=AS_OF, products=products)
    assert found[["sku", "reason"]].values.tolist() == [
        ["gone", "out of stock"],
        ["loss", "sells at a loss"],
        ["old", "withdrawn"],
        ["quiet", "gone quiet"],
    ]


def test_unknown_stock_and_unknown_cost_are_no_reasons():
    table = days_of("tea", 2, None).assign(margin=np.nan)
    assert unsafe_items(table, as_of=AS_OF).empty


def test_often_returned_is_measured_on_sales_old_enough():
    table = pd.concat([days_of("bad", 5, 50), days_of("fine", 50, 50)])
    old, young = dt.date(2025, 10, 1), dt.date(2025, 12, 20)
    back = pd.DataFrame(
        {
            "sku": ["bad"] * 60 + ["fine"] * 30 + ["fine"] * 900,
            "quantity": 1,
            "kind": "return",
            "ordered_on": [old] * 90 + [young] * 900,
        }
    )
    found = unsafe_items(table, as_of=AS_OF, refunds=back)
    assert found[["sku", "reason"]].values.tolist() == [["bad", "often returned"]]


# ---- the lists


def test_segments_get_lists_of_their_own_taste_without_unsafe_items():
    lines = shop()
    people = lines["customer_id"].drop_duplicates()
    segments = pd.DataFrame(
        {"customer_id": people, "segment": np.where(people.str[-1].astype(int) % 2, "odd", "even")}
    )
    unsafe = pd.DataFrame({"sku": ["s00", "s20"], "reason": "out of stock"})
    found = picks(lines, as_of=AS_OF, segments=segments, unsafe=unsafe, n=5)
    taste = found["sku"].str[1:].astype(int) // 20
    assert (taste[found["segment"] == "even"] == 0).all()
    assert (taste[found["segment"] == "odd"] == 1).all()
    assert not found["sku"].isin(unsafe["sku"]).any()
    assert found.groupby(["segment", "rule"])["rank"].apply(list).tolist() == [[1, 2, 3, 4, 5]] * 5
    assert found["listed_share"].between(0, 1).all()
    assert "customer_id" not in found


def test_lists_do_not_depend_on_the_order_of_rows():
    lines = shop(people=80)
    pd.testing.assert_frame_equal(
        picks(lines, as_of=AS_OF), picks(lines.sample(frac=1, random_state=2), as_of=AS_OF)
    )


def test_groups_of_buyers_by_hand():
    rows = [
        ("ann", "2025-12-01", 1),
        ("bob", "2025-03-01", 1),
        ("cat", "2025-03-01", 1),
        ("cat", "2025-11-01", 2),
    ]
    rows += [
        ("dan", "2025-01-01", 1),
        ("dan", "2025-02-01", 1),
        ("dan", "2025-12-30", 0),
        ("eve", "2026-02-01", 1),
    ]
    table = pd.DataFrame(rows, columns=["customer_id", "day_on", "orders"])
    found = buyer_groups(table.assign(day_on=pd.to_datetime(table["day_on"]).dt.date), as_of=AS_OF)
    assert dict(found.values) == {"ann": "new", "bob": "once", "cat": "regular", "dan": "quiet"}


def test_where_nothing_beats_the_best_sellers_the_decision_says_so():
    winner = pd.DataFrame(
        [
            {
                "items": "new",
                "rival": "ease",
                "model": "popularity",
                "is_better": False,
                "gain": 0.001,
            }
        ]
    )
    board = Leaderboard(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), winner)
    offers = empty("recommendations.bundles")
    unsafe = pd.DataFrame({"sku": ["a", "b"], "reason": ["out of stock", "gone quiet"]})
    found = recommend_decisions(board, offers, unsafe, pd.DataFrame(), due_on="2026-01-14")
    assert found["action"].tolist() == ["keep popularity", "take off"]
    assert found["size"].iloc[1] == 2


def test_an_unsafe_item_is_in_no_bundle_and_a_test_runs_its_days():
    winner = pd.DataFrame(
        [{"items": "new", "rival": "ease", "model": "ease", "is_better": True, "gain": 0.02}]
    )
    board = Leaderboard(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), winner)
    rows = [line(f"o{n}", None, s, "2025-11-01") for n in range(30) for s in "AB"]
    rows += [line(f"p{n}", None, s, "2025-11-01") for n in range(30) for s in "CD"]
    rows += [line(f"x{n}", None, f"x{n}", "2025-11-01") for n in range(160)]
    unsafe = pd.DataFrame({"sku": ["B"], "reason": ["withdrawn"]})
    pairs = item_pairs(pd.DataFrame(rows).astype({"customer_id": "string"}), as_of=AS_OF, min_n=5)
    offers = bundles(pairs, unsafe=unsafe)
    assert offers.set_index("a")["is_unsafe"].to_dict() == {"A": True, "C": False}
    plan = pd.DataFrame({"n_total": [5_000], "days": [77]})
    found = recommend_decisions(
        board, offers, unsafe, plan, due_on="2026-01-14", revisit_on="2026-03-01"
    )
    assert found["subject"].tolist() == ["lists of new items by ease", "C + D", "lists"]
    assert found["revisit_on"].tolist() == ["2026-04-01", "2026-03-01", "2026-03-01"]
    assert found["unit"].iloc[0] == "sessions"


def test_the_strongest_pairs_alone_are_those_of_all_of_them():
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"basket": rng.integers(0, 300, 1500), "item": rng.integers(0, 40, 1500)})
    rows["item"] = "s" + rows["item"].astype(str).str.zfill(2)
    every = pair_rules(rows, min_support=1e-9)
    for most in (1, 7, 50, len(every), len(every) + 1):
        ranked = every.sort_values(["pair_lift", "a", "b"], ascending=[False, True, True])
        best = ranked.head(most).sort_values(["a", "b"], ignore_index=True)
        found = pair_rules(rows, min_support=1e-9, most=most)
        pd.testing.assert_frame_equal(found, best)
        assert strongest_first(every, by="pair_lift", most=most).equals(
            ranked.head(most).reset_index(drop=True)
        )
