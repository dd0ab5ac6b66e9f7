"""Range, price and promotion on small shops: roles by rule, refusals by name, moves
inside their corridor.
"""

import datetime as dt
from functools import cache

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.assortment_pricing.assortment import (
    delist,
    lifecycle,
    new_items,
    quality_hold,
    range_kpis,
    roles,
    sku_views,
    sku_year,
    transfer_share,
)
from playbook.chapters.assortment_pricing.decisions import range_decisions
from playbook.chapters.assortment_pricing.pricing import elasticities, price_list
from playbook.chapters.assortment_pricing.promotion_review import promotion_review
from playbook.errors import PlaybookError
from playbook.measures.demand_panel import demand_law, demand_panel
from playbook.measures.price_moves import price_gap

AS_OF = dt.date(2026, 10, 31)
LAST = pd.Timestamp(AS_OF)


def year(**columns):
    frame = pd.DataFrame(
        {
            "sku": list("abcdefgh"),
            "title": "t",
            "category": "c",
            "units": [900, 400, 300, 200, 100, 50, 20, 10],
            "n_orders": 100,
            "n_buyers": 90,
            "revenue": 1000.0,
            "margin": [300.0, 500, 450, 100, 380, 200, 90, -5],
            "margin_share": [0.1, 0.5, 0.45, 0.1, 0.38, 0.2, 0.3, -0.05],
            "price_paid": [1.0, 2, 3, 5, 10, 20, 50, 100],
            "discounted_share": [0.0, 0, 0, 0.8, 0, 0, 0, 0],
            "new_buyer_share": [0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        }
    )
    return frame.assign(**columns)


@cache
def days(n=24, weeks=110, seed=3):
    """`sku_days` with a price that moves, one declining sku, one ended, one new, one
    promotion.
    """
    rng = np.random.default_rng(seed)
    length = 7 * weeks
    day = pd.date_range(LAST - pd.Timedelta(days=length - 1), LAST)
    rows = []
    for i in range(n):
        level = np.full(length, 3.0 + i % 5)
        level[-91:] *= 0.3 if i == 0 else 1
        level[-140:] *= 0 if i == 1 else 1
        promo = (
            (np.arange(length) >= length - 60) & (np.arange(length) < length - 53) & (i % 4 == 0)
        )
        units = rng.poisson(level * np.where(promo, 2.5, 1.0)).astype(float)
        first = length - 40 if i == 2 else 0
        frame = pd.DataFrame(
            {
                "sku": f"s{i:02d}",
                "day_on": day,
                "units": units,
                "revenue": units * 10.0,
                "margin": units * np.where(promo, 2.0, 5.0),
                "is_on_promo": promo,
                "on_hand": 50.0,
                "is_stocked": True,
            }
        )
        rows.append(frame.iloc[first:])
    return pd.concat(rows, ignore_index=True)


def panel_and_law():
    panel = demand_panel(days(), as_of=AS_OF)
    return panel, demand_law(panel)


def test_a_role_is_the_first_rule_met_and_the_rule_is_printed():
    found = roles(year(), stock_days=pd.Series({"h": 900.0})).set_index("sku")
    assert found.role.to_dict() == {
        "a": "traffic",
        "b": "profit",
        "c": "profit",
        "d": "campaign",
        "e": "profit",
        "f": "core",
        "g": "core",
        "h": "clearance",
    }
    assert found.loc["h", "rule"] == "stock for more than 240 days"
    assert roles(year()).set_index("sku").role["h"] == "image"


def test_visitors_decide_what_draws_traffic_where_the_shop_counts_them():
    unseen = pd.Series(dtype="int64")
    assert roles(year(), views=unseen).equals(roles(year()))
    found = roles(year(), views=pd.Series({"a": 5, "d": 7, "f": 90, "g": 8})).set_index("sku")
    assert (found.role["f"], found.rule["f"]) == ("traffic", "top-quartile views, low margin")
    assert found.role["a"] != "traffic"


def test_dropping_a_sku_saves_what_its_shelf_costs():
    stages = pd.DataFrame({"sku": list("abcdefgh"), "stage": "mature"})
    nobody = {"share": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    bare, stocked = (
        delist(year(), lifecycle=stages, transfer=nobody, tail_share=0.05, holding=held)
        for held in (None, pd.Series({"h": 40.0}))
    )
    assert (stocked.effect - bare.effect).tolist() == [40.0] + [0.0] * (len(bare) - 1)


def test_roles_that_need_a_cost_are_left_out_without_one():
    found = roles(year(margin=np.nan, margin_share=np.nan))
    assert set(found.role) == {"image", "campaign", "core"}


def test_a_campaign_item_is_not_one_that_is_known_to_be_inelastic():
    stiff = pd.DataFrame({"sku": ["d"], "high": [-0.2]})
    assert roles(year(), elasticity=stiff).set_index("sku").role["d"] != "campaign"


def test_stages_follow_the_interval_of_the_trend():
    panel, law = panel_and_law()
    found = lifecycle(panel, law).set_index("sku")
    assert found.stage["s00"] == "declining"
    assert found.stage["s01"] == "ended"
    assert found.stage["s02"] == "new"
    assert (found.stage.drop(["s00", "s01", "s02"]) == "mature").mean() > 0.8
    assert np.isnan(found.trend["s02"])


def test_transferable_demand_is_missing_without_stock_outs():
    panel, _ = panel_and_law()
    assert np.isnan(transfer_share(panel)["share"])


def test_the_tail_is_ranked_by_margin_with_loss_makers_in_it_and_new_items_out():
    stages = pd.DataFrame({"sku": list("abcdefgh"), "stage": ["mature"] * 6 + ["new", "mature"]})
    nobody = {"share": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    found = delist(year(), lifecycle=stages, transfer=nobody, tail_share=0.05)
    assert found.sku.tolist() == ["h", "d"][: len(found)]
    assert found.loc[0, "effect"] == 5.0
    # where it is not known what moves to neighbours, the loss may move with it
    assert found.loc[0, "effect_low"] == 0.0
    assert found.loc[0, "confidence"] == "medium"
    assert delist(year(margin=np.nan), lifecycle=stages, transfer=nobody).empty


def test_prices_that_never_moved_are_refused_by_name_and_need_a_source():
    panel, _ = panel_and_law()
    prices = pd.DataFrame(
        {"from_on": pd.Timestamp("2024-01-01"), "sku": panel.sku.astype(str), "seller": "own"}
    )
    prices["price"] = 10.0
    found = elasticities(panel, prices=prices)
    assert set(found.reason) == {"all prices equal"}
    assert found.estimate.isna().all()
    with pytest.raises(PlaybookError, match="need prices"):
        elasticities(panel)


def elasticity(**columns):
    frame = pd.DataFrame(
        {
            "sku": list("abcd"),
            "estimate": [-4.0, -1.2, np.nan, -4.0],
            "se": [0.3, 0.3, np.nan, 2.5],
            "is_identifiable": [True, True, False, True],
            "reason": ["", "", "all prices equal", ""],
            "price_now": 10.0,
        }
    )
    return frame.assign(**columns)


def priced():
    return pd.DataFrame(
        {
            "sku": list("abcd"),
            "units": 1000,
            "revenue": 10_000.0,
            "margin": 5000.0,
            "price_paid": 10.0,
        }
    )


def test_elastic_goes_down_inelastic_up_inside_the_corridor_and_unsure_stays():
    alone = priced().assign(category=list("abcd"))
    found = price_list(elasticity(), alone, corridor=0.1).set_index("sku")
    assert found.action.to_dict() == {
        "a": "lower",
        "b": "raise",
        "c": "keep",
        "d": found.action["d"],
    }
    assert found.plan.between(9.0, 11.0).all()
    assert found.reason["c"] == "all prices equal"
    assert found.gain_low["a"] <= found.gain["a"] <= found.gain_high["a"]
    # a cut that takes its units from items as dear is none
    assert price_list(elasticity(), priced(), corridor=0.1).set_index("sku").action["a"] == "keep"
    assert price_list(elasticity(), priced().assign(margin=np.nan)).action.eq("keep").all()


def test_a_raise_stops_where_the_competitors_are():
    rival = pd.DataFrame({"sku": ["b"], "median_price": [9.0]})
    found = price_list(elasticity(), priced(), competitor=rival, most_above=0.15).set_index("sku")
    assert found.high_price["b"] == pytest.approx(10.35)
    assert found.plan["b"] <= 10.35


def test_the_gap_takes_the_prices_of_the_day():
    rows = pd.DataFrame(
        [
            ("2026-01-01", "a", "own", 10.0, None),
            ("2026-10-01", "a", "own", 12.0, None),
            ("2026-09-01", "a", "X", 10.0, None),
            ("2026-09-01", "a", "Y", 14.0, "2026-10-01"),
            ("2026-12-01", "a", "Z", 1.0, None),
        ],
        columns=["from_on", "sku", "seller", "price", "until_on"],
    )
    rows["from_on"], rows["until_on"] = pd.to_datetime(rows.from_on), pd.to_datetime(rows.until_on)
    found = price_gap(rows, as_of=AS_OF)
    assert found.loc[0, "gap_share"] == pytest.approx(0.2)
    assert found.loc[0, "n_sellers"] == 1


def test_the_review_counts_a_promotion_once_and_marks_what_is_still_to_come():
    calendar = pd.DataFrame(
        {
            "promo_id": ["p", "late"],
            "starts_on": [LAST - pd.Timedelta(days=59), LAST - pd.Timedelta(days=9)],
            "ends_on": [LAST - pd.Timedelta(days=53), LAST - pd.Timedelta(days=5)],
            "skus": [" ".join(f"s{i:02d}" for i in range(0, 24, 4)), "s05"],
            "cost": [100.0, 50.0],
        }
    )
    found, course = promotion_review(days(), calendar, as_of=AS_OF)
    by = found.set_index("promo_id")
    assert by.loc["p", "incremental_units"] > 0.6 * by.loc["p", "baseline_units"]
    assert by.loc["p", "status"] == "complete"
    assert by.loc["late", "status"] == "partial"
    assert by.loc["late", "verdict"] == "undecided"
    assert by.loc["p", "promo_roi"] == pytest.approx(
        (by.loc["p", "incremental_margin"] - 100) / 100
    )
    assert set(course) == {"p", "late"}
    empty, nothing = promotion_review(days(), calendar.iloc[:0], as_of=AS_OF)
    assert empty.empty
    assert nothing == {}


def lines():
    rng = np.random.default_rng(1)
    n = 600
    return pd.DataFrame(
        {
            "order_id": [f"o{i}" for i in range(n)],
            "sku": rng.choice(["a", "b", "c"], n),
            "title": "t",
            "ordered_on": LAST - pd.to_timedelta(rng.integers(70, 300, n), unit="D"),
            "customer_id": "k",
            "quantity": 1,
            "revenue": 10.0,
            "cost": 4.0,
            "discount": 0.0,
            "promo_id": None,
            "is_product": True,
            "is_gift": False,
        }
    )


def test_quality_is_on_hold_only_when_the_low_end_is_above_twice_the_category():
    sold = lines()
    back = sold[sold.sku == "a"].head(80)
    refunds = pd.DataFrame(
        {
            "refund_id": range(80),
            "order_id": back.order_id.to_numpy(),
            "sku": "a",
            "quantity": 1,
            "kind": "return",
        }
    )
    few = sold[sold.sku == "b"].head(6)
    refunds = pd.concat(
        [
            refunds,
            pd.DataFrame(
                {
                    "refund_id": range(80, 86),
                    "order_id": few.order_id.to_numpy(),
                    "sku": "b",
                    "quantity": 1,
                    "kind": "return",
                }
            ),
        ]
    )
    found = quality_hold(sold, refunds, as_of=AS_OF).set_index("sku")
    assert found.is_hold.to_dict() == {"a": True, "b": False, "c": False}
    assert (
        quality_hold(sold, refunds, as_of=dt.date(2026, 2, 1)).n_units.sum() < found.n_units.sum()
    )


def test_a_missing_cost_leaves_the_margin_missing_and_the_rest_there():
    sold = lines()
    sold.loc[sold.index[sold.sku == "b"][0], "cost"] = np.nan
    orders = pd.DataFrame({"order_id": sold.order_id, "customer_id": "k", "is_first": False})
    found = sku_year(sold, orders, as_of=AS_OF, variable_share=0.1).set_index("sku")
    assert np.isnan(found.margin["b"])
    assert found.margin_share["a"] == pytest.approx(0.5)
    assert found.new_buyer_share["a"] == 0


def test_new_items_get_one_of_four_answers():
    seen = pd.DataFrame(
        {
            "sku": ["a"] * 100 + ["b"] * 100 + ["c"] * 5,
            "visitor_id": [f"v{i}" for i in range(205)],
            "occurred_at": LAST - pd.Timedelta(days=3),
            "name": "view_item",
        }
    )
    sold = lines().assign(ordered_on=LAST - pd.Timedelta(days=2)).query("sku != 'b'")
    stages = pd.DataFrame({"sku": ["a", "b", "c"], "stage": "new"})
    found = new_items(sku_views(seen, as_of=AS_OF), sold, lifecycle=stages, as_of=AS_OF).set_index(
        "sku"
    )
    assert found.action["a"] == "scale"
    assert found.action["b"] == "fix page and price"
    assert found.action["c"] == "buy traffic"


def test_kpis_and_decisions_fit_their_schemas():
    panel, _ = panel_and_law()
    found = range_kpis(panel, as_of=AS_OF)
    assert found.amount.between(0, 1).all()
    assert found.set_index("month").status["2026-10"] == "complete"
    none = pd.DataFrame(columns=["action", "verdict", "confidence", "is_hold"])
    moves = price_list(elasticity(), priced())
    rows = range_decisions(moves, none, none, none, none, as_of=AS_OF, currency="EUR")
    assert set(rows.action) <= {"raise price", "lower price"}
    assert (
        rows.evidence_value.tolist()
        == moves.set_index("sku").loc[rows.subject, "elasticity"].tolist()
    )
    assert (rows.effect_low <= rows.effect_high).all()


def test_what_is_withdrawn_or_was_never_on_sale_is_not_dropped_moved_or_advertised():
    never = (
        days()
        .query("sku == 's03'")
        .assign(sku="s99", units=0.0, revenue=0.0, margin=0.0, is_stocked=False)
    )
    panel = demand_panel(pd.concat([days(), never]), as_of=AS_OF)
    goods = pd.DataFrame({"sku": ["s04"], "is_active": [False]})
    stages = lifecycle(panel, demand_law(panel), products=goods)
    stage = stages.set_index("sku").stage
    assert (stage["s04"], stage["s99"], stage["s02"]) == ("withdrawn", "never on sale", "new")
    views = pd.Series({"s02": 100, "s04": 100, "s99": 100})
    assert new_items(views, lines(), lifecycle=stages, as_of=AS_OF).sku.tolist() == ["s02"]
    off = pd.DataFrame({"sku": list("abcdefgh"), "stage": ["withdrawn"] * 8})
    nobody = {"share": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    assert delist(year(), lifecycle=off, transfer=nobody).empty
    assert set(price_list(elasticity(), priced(), lifecycle=off).action) == {"keep"}


def promo(name, low, middle, high, verdict, starts="2025-12-10"):
    return {
        "promo_id": name,
        "low": low,
        "incremental_margin": middle,
        "high": high,
        "cost": 100.0,
        "promo_roi": 0.5,
        "verdict": verdict,
        "starts_on": pd.Timestamp(starts),
    }


def test_sure_findings_come_largest_first_and_before_the_day_comes_round():
    review = pd.DataFrame(
        [
            promo("small", 120, 150, 180, "repeat"),
            promo("open", 0, 90, 300, "undecided"),
            promo("large", -900, -500, -100, "stop", "2025-11-09"),
        ]
    )
    held = pd.DataFrame(
        {
            "sku": [f"s{n}" for n in range(12)],
            "n_returned": range(12),
            "is_hold": True,
            "return_share": 0.4,
            "category_share": 0.1,
            "money_above": 30.0,
        }
    )
    none = pd.DataFrame(columns=["action", "confidence"])
    rows = range_decisions(none, review, none, held, none, as_of=AS_OF, currency="EUR").set_index(
        "subject"
    )
    assert rows.index[:3].tolist() == ["large", "small", "s11"]
    assert len(rows) == 12
    assert rows.loc[["large", "small"], "due_on"].tolist() == ["2026-11-01", "2026-11-30"]
    assert rows.loc["large", ["effect_low", "expected_effect", "effect_high"]].tolist() == [
        200,
        600,
        1000,
    ]


def test_a_sku_on_hold_or_delisted_gets_no_price_and_no_visits():
    moves = pd.DataFrame({"sku": ["kept", "held", "gone"], "action": "raise", "gain": 5.0})
    facts = {"plan": 10.0, "gain_low": 1.0, "gain_high": 9.0, "chance": 0.9, "elasticity": -1.0}
    moves = moves.assign(reason="", **facts)
    held = {
        "n_returned": 3,
        "is_hold": True,
        "return_share": 0.4,
        "category_share": 0.1,
        "money_above": 2.0,
    }
    quality = pd.DataFrame([{"sku": "held", **held}])
    tail = pd.DataFrame({"sku": ["gone"], "confidence": ["high"], "margin": [0.0]})
    tail = tail.assign(effect=1.0, effect_low=0.0, effect_high=2.0)
    fresh = pd.DataFrame({"sku": ["held", "new"], "action": "buy traffic"})
    fresh = fresh.assign(views=10.0, conversion=0.1)
    none = pd.DataFrame(columns=["action", "verdict"])
    about = {"as_of": AS_OF, "currency": "EUR"}
    rows = range_decisions(moves, none, tail, quality, fresh, **about)
    assert sorted(rows["subject"]) == ["gone", "held", "kept", "new"]
    acts = rows.set_index("subject")["action"]
    assert (acts["gone"], acts["held"]) == ("delist", "quality hold")
