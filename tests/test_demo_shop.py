"""The closed loop: decisions are checked before they are played, move only what they
cause, and can be worth money.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.demo.shop import Shop
from playbook.errors import PlaybookError
from playbook.store import open_store


@pytest.fixture(scope="module")
def history():
    return Shop(preset="tiny", customers=600, months=10)


def played(shop, decisions=None, months=1):
    twin = shop.copy()
    for _ in range(months):
        twin.advance(decisions)
    return twin


def last(shop, column="profit"):
    return float(shop.profit(shop.month)[column].iloc[0])


def test_the_same_shop_played_twice_is_the_same_shop(history):
    a, b = played(history, months=2), played(history, months=2)
    pd.testing.assert_frame_equal(a.profit(), b.profit())
    assert a.month == "2026-12" and history.month == "2026-10"
    assert a.tables["orders"].equals(b.tables["orders"])


def test_what_is_seen_of_the_past_only_ripens(history):
    before, after = (
        history.tables["orders"].to_pandas(),
        played(history).tables["orders"].to_pandas(),
    )
    both = before.merge(after, on="order_id", suffixes=("", "_later"))
    assert len(both) == len(before) < len(after)
    assert (
        both.total == both.total_later
    ).all() and both.paid_at.notna().sum() <= both.paid_at_later.notna().sum()
    moved = both[both.status != both.status_later]
    assert len(moved) and not moved.status.isin(["cancelled"]).any()


def test_a_shop_written_after_a_month_opens_as_a_store_of_that_month(history, tmp_path):
    shop = open_store(played(history).store(tmp_path / "s"), until="2026-11")
    assert str(shop.as_of) == "2026-11-30" and shop.problems.empty


def test_a_budget_is_spent_to_the_cent_and_nothing_else_is(history):
    shop = played(history, {"budgets": {"social": 1234.5, "display": 0}})
    ads = shop.tables["ad_spend"].to_pandas()
    month = (
        ads[pd.to_datetime(ads.day_on) >= "2026-11-01"].groupby("channel").spend.sum().astype(float)
    )
    assert abs(month["social"] - 1234.5) < 2.0 and month["display"] == 0
    plain = played(history).tables["ad_spend"].to_pandas()
    habit = (
        plain[pd.to_datetime(plain.day_on) >= "2026-11-01"]
        .groupby("channel")
        .spend.sum()
        .astype(float)
    )
    assert abs(month["search"] - habit["search"]) < 1e-9


def test_a_dropped_budget_takes_away_the_orders_it_brought_and_leaves_the_others(history):
    with_it, without = played(history), played(history, {"budgets": {"search": 0.0}})
    kept = set(without.tables["orders"]["order_id"].to_pylist())
    gone = [o for o in with_it.tables["orders"]["order_id"].to_pylist() if o not in kept]
    assert gone and len(gone) < 0.25 * last(with_it, "orders") + 30
    fresh = kept - set(with_it.tables["orders"]["order_id"].to_pylist())
    assert len(fresh) <= 0.1 * last(with_it, "orders")  # only what the fuller shelf lets through


def test_a_price_holds_until_changed_and_demand_answers_to_it(history):
    best = history._sim.world.best_seller
    sku, cents = (
        history._sim.world.sku_ids[best],
        int(history._sim.price(history._sim.day - 1)[best]),
    )
    dear, cheap = (
        played(history, {"prices": {sku: cents * f / 100}}, months=1).advance() for f in (1.5, 0.7)
    )
    wanted = []
    for tables in (dear, cheap):
        prices = tables["prices"].to_pandas()
        own = prices[(prices.sku == sku) & (prices.seller == "own")].sort_values("from_on")
        assert own.until_on.isna().sum() == 1 and str(own.from_on.iloc[-1]) == "2026-11-01"
        lines = (
            tables["order_lines"]
            .to_pandas()
            .merge(tables["orders"].to_pandas()[["order_id", "ordered_on"]])
        )
        mine = lines[(lines.sku == sku) & (pd.to_datetime(lines.ordered_on) >= "2026-11-01")]
        wanted.append(mine.quantity.sum())
    assert wanted[1] > wanted[0]


def test_supplier_orders_and_levels_become_purchase_orders(history):
    skus = history.tables["products"]["sku"].to_pylist()[:3]
    shop = played(
        history,
        {
            "supplier_orders": [
                {"sku": skus[0], "units": 40, "ordered_on": "2026-11-10"},
                {"sku": skus[1], "units": 12},
            ]
        },
    )
    pos = shop.tables["purchase_orders"].to_pandas()
    new = pos[pd.to_datetime(pos.ordered_on) >= "2026-11-01"].set_index("sku")
    assert (
        new.n_ordered.to_dict() == {skus[0]: 40, skus[1]: 12}
        and str(new.ordered_on[skus[0]]) == "2026-11-10"
    )
    none = played(history, {"supplier_orders": {}}).tables["purchase_orders"].to_pandas()
    assert (pd.to_datetime(none.ordered_on) < "2026-11-01").all()
    high = (
        played(history, {"order_levels": {skus[2]: (900, 1000)}})
        .tables["purchase_orders"]
        .to_pandas()
    )
    high = high[(high.sku == skus[2]) & (pd.to_datetime(high.ordered_on) >= "2026-11-01")]
    assert high.n_ordered.sum() > 500 and pd.to_datetime(high.ordered_on).dt.day_of_week.eq(0).all()


def test_a_promotion_lowers_the_price_of_its_skus_on_its_days_and_nowhere_else(history):
    skus = history.tables["products"]["sku"].to_pylist()[:10]
    promo = {
        "starts_on": "2026-11-14",
        "ends_on": "2026-11-16",
        "depth_share": 0.3,
        "skus": skus,
        "promo_id": "mine",
    }
    tables = played(history, {"promotions": [promo]}).tables
    lines = (
        tables["order_lines"]
        .to_pandas()
        .merge(tables["orders"].to_pandas()[["order_id", "ordered_on"]])
    )
    mine = lines[lines.promo_id == "mine"]
    assert (
        mine.sku.isin(skus).all()
        and mine.ordered_on.astype(str).between("2026-11-14", "2026-11-16").all()
    )
    assert "mine" in tables["promotions"]["promo_id"].to_pylist()


def test_a_treatment_reaches_the_people_named_and_brings_orders_of_its_own(history):
    people = history.tables["customers"]["customer_id"].to_pylist()
    shop = played(
        history,
        {
            "treatments": [
                {
                    "customers": people,
                    "depth_share": 0.3,
                    "cost": 0.5,
                    "holdout_share": 0.3,
                    "treatment_id": "wake",
                }
            ]
        },
        1,
    )
    rows = shop.tables["treatments"].to_pandas().query("treatment_id == 'wake'")
    assert set(rows.customer_id) == set(people) and 0.2 < (rows.arm == "holdout").mean() < 0.4
    effects = shop.truth["effects"].query("test == 'wake'")
    assert (effects.effect > 0).all()
    assert last(shop, "treatments") == pytest.approx(0.5 * (rows.arm == "treated").sum())
    held = rows[rows.arm == "holdout"].customer_id
    orders = shop.tables["orders"].to_pandas()
    new = orders[pd.to_datetime(orders.ordered_on) >= "2026-11-01"]
    assert new[new.customer_id.isin(held)].coupon.ne("WAKE30").all()


def test_profit_adds_up(history):
    p = history.profit()
    parts = p.marketing + p.treatments + p.promotions + p.holding + p.ordering + p.overhead
    assert (
        np.allclose(p.profit, p.margin - parts) and p.month.is_monotonic_increasing and len(p) == 10
    )


def test_better_budgets_earn_more_than_carrying_on(history):
    truth = history.truth["response"]
    now = truth.groupby("channel").spend_now.first()
    better = {
        "display": now["display"] * 0.2,
        "search": now["search"] * 0.6,
        "social": now["social"] + now["display"] * 0.5,
        "live": now["live"] + now["display"] * 0.3,
        "content": now["content"],
    }
    a = played(history, months=4)
    b = played(history, {"budgets": {k: v * 30 for k, v in better.items()}}, months=4)
    assert b.profit("2026-11").profit.sum() > a.profit("2026-11").profit.sum()


@pytest.mark.parametrize(
    "decisions, word",
    [
        ({"budgets": {"television": 10}}, "television"),
        ({"budgets": {"search": -5}}, "search"),
        ({"budgets": {"search": float("nan")}}, "search"),
        ({"budgets": {"search": "much"}}, "search"),
        ({"prices": {"NO-SUCH": 10}}, "NO-SUCH"),
        ({"prices": {"SKU": 0}}, "price"),
        ({"supplier_orders": {"NO-SUCH": 10}}, "NO-SUCH"),
        ({"supplier_orders": {"SKU": -1}}, "units"),
        ({"supplier_orders": {"SKU": 1.5}}, "units"),
        ({"supplier_orders": [{"sku": "SKU", "units": 1, "ordered_on": "2027-03-01"}]}, "outside"),
        ({"order_levels": {"SKU": (10, 5)}}, "order levels"),
        ({"order_levels": {"SKU": 5}}, "order levels"),
        (
            {
                "promotions": [
                    {"starts_on": "2026-11-09", "ends_on": "2026-11-02", "depth_share": 0.1}
                ]
            },
            "promotion",
        ),
        (
            {
                "promotions": [
                    {"starts_on": "2026-11-09", "ends_on": "2026-11-10", "depth_share": 1.5}
                ]
            },
            "promotion",
        ),
        ({"treatments": [{"customers": ["nobody"], "depth_share": 0.1}]}, "nobody"),
        ({"budgets": [1, 2]}, "budgets"),
        ({"budgets": {"search": True}}, "search"),
        ({"budgets": {"search": 1e13}}, "at most"),
        ({"prices": {"SKU": 1e13}}, "at most"),
        ({"prices": ["SKU"]}, "prices"),
        ({"order_levels": 3}, "order_levels"),
        ({"supplier_orders": 5}, "supplier_orders"),
        ({"supplier_orders": [7]}, "supplier_orders"),
        ({"supplier_orders": [{"sku": "SKU", "units": 3, "when": "2026-11-02"}]}, "'when'"),
        ({"promotions": {"depth_share": 0.1}}, "promotions"),
        ({"promotions": [{"depth_share": 0.1, "skus": "SKU"}]}, "skus of the promotion"),
        ({"promotions": [{"depth_share": 0.1, "sku": ["SKU"]}]}, "'sku'"),
        ({"treatments": [3]}, "treatments"),
        ({"treatments": [{"depth_share": 0.1}]}, "customers of the treatment"),
        ({"treatments": [{"customers": "nobody"}]}, "customers of the treatment"),
        ({"weather": 1}, "weather"),
        (["search"], "dictionary"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_refused_before_anything_is_played(
    history, decisions, word
):
    sku = history.tables["products"]["sku"][0].as_py()
    if isinstance(decisions, dict):
        decisions = {
            k: (
                {sku if x == "SKU" else x: y for x, y in v.items()}
                if isinstance(v, dict)
                else [
                    {**r, "sku": sku} if isinstance(r, dict) and r.get("sku") == "SKU" else r
                    for r in v
                ]
                if isinstance(v, list)
                else v
            )
            for k, v in decisions.items()
        }
    day = history._sim.day
    with pytest.raises(PlaybookError, match=word):
        history.advance(decisions)
    assert history._sim.day == day and history.month == "2026-10"


def test_two_treatments_of_one_name_are_refused(history):
    one = {
        "customers": history.tables["customers"]["customer_id"].to_pylist()[:3],
        "treatment_id": "same",
    }
    with pytest.raises(PlaybookError, match="two treatments 'same'"):
        played(history, {"treatments": [one, one]})
    with pytest.raises(PlaybookError, match="two treatments 'same'"):
        played(history, {"treatments": [one]}, months=2)


def test_an_order_beside_the_habits_leaves_the_habit_going(history):
    sku = history.tables["products"]["sku"].to_pylist()[0]
    both = played(history, {"extra_orders": {sku: 500}}).tables["purchase_orders"].to_pandas()
    plain = played(history).tables["purchase_orders"].to_pandas()
    extra = both[(both.sku == sku) & (both.n_ordered == 500)]
    assert len(extra) == 1 and str(extra.ordered_on.iloc[0])[:10] == "2026-11-01"
    others = plain[plain.sku != sku].sku
    assert len(both[both.sku != sku]) == len(others) > 0


def test_a_channel_gets_its_share_of_what_habit_would_spend(history):
    def spent(shop):
        ads = shop.tables["ad_spend"].to_pandas()
        month = ads[pd.to_datetime(ads.day_on) >= "2026-11-01"]
        return month.groupby("channel").spend.sum().astype(float)

    plain, half = spent(played(history)), spent(played(history, {"budget_shares": {"search": 0.5}}))
    assert half["search"] == pytest.approx(plain["search"] / 2, rel=0.001)
    assert half["social"] == plain["social"]


def test_haste_brings_a_line_sooner_and_costs_what_the_law_says(history):
    sim = history._sim
    waiting = [line for line in sim.purchase_orders if line.received > sim.day + 10]
    line = max(waiting, key=lambda line: line.received)
    row = {"po_id": line.po_id, "sku": str(sim.world.sku_ids[line.sku])}
    fast = played(history, {"hastened": {"expedited": [row]}}, months=0)
    fast.advance({"hastened": {"expedited": [row]}})
    now = next(x for x in fast._sim.purchase_orders if (x.po_id, x.sku) == (line.po_id, line.sku))
    assert now.received - sim.day == round(0.4 * (line.received - sim.day))
    paid = 0.12 * line.n_ordered * line.cost / 100
    gap = last(fast, "ordering") - last(played(history), "ordering")
    assert gap == pytest.approx(paid, abs=26)
    early = played(history, {"hastened": {"chased": [row]}})
    same = next(x for x in early._sim.purchase_orders if (x.po_id, x.sku) == (line.po_id, line.sku))
    assert line.promised < sim.day or same.received == line.received


def test_a_shipped_test_reaches_everybody_and_lasts(history):
    shop = played(history, {"shipped": ["express-pay"]})
    assert last(shop, "orders") > 1.04 * last(played(history), "orders")
    later, plain = (twin.advance() for twin in (shop, played(history)))
    assert later["orders"].num_rows > plain["orders"].num_rows


def test_a_sku_withheld_is_sold_no_more_and_a_cancelled_sale_is_not_held(history):
    sku = str(history._sim.world.sku_ids[history._sim.world.best_seller])
    tables = played(history, {"withheld": [sku]}).tables
    lines = tables["order_lines"].to_pandas().merge(tables["orders"].to_pandas())
    assert not len(lines[(lines.sku == sku) & (pd.to_datetime(lines.ordered_on) >= "2026-11-01")])
    sales = played(history, {"cancelled": ["2026-black-friday"]}).tables["promotions"].to_pandas()
    held = played(history).tables["promotions"].to_pandas()
    assert set(held.promo_id) - set(sales.promo_id) == {"2026-black-friday"}


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"hastened": {"begged": []}}, "cannot be 'begged'"),
        ({"hastened": {"chased": [{"po_id": "PO-0", "sku": None}]}}, "no sku"),
        ({"shipped": ["no-such-test"]}, "no checkout test"),
        ({"shipped": []}, "checkout tests are"),
        ({"cancelled": ["2031-spring"]}, "No promotion"),
        ({"withheld": ["no-such-sku"]}, "no sku"),
        ({"budget_shares": {"radio": 1}}, "'radio'"),
    ],
)
def test_what_cannot_be_hurried_shipped_or_called_off_is_refused(history, wrong, word):
    with pytest.raises(PlaybookError, match=word):
        history.copy().advance(wrong)
