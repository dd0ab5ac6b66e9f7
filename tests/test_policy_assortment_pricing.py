"""Policy of range, prices and promotions: every limit just below, at and above it."""

import datetime as dt
from types import SimpleNamespace

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
    transfer_share,
    under_cost,
    variable_cost_share,
)
from playbook.chapters.assortment_pricing.decisions import range_decisions, wrong_prices
from playbook.chapters.assortment_pricing.pricing import price_list
from playbook.chapters.assortment_pricing.promotion_review import (
    _calendar,
    _normal_margin,
    _random_effects,
    _row,
    _shrunk,
    _verdict,
    promotion_review,
)
from playbook.decisions import is_settled
from playbook.errors import PlaybookError
from playbook.methods.elasticity import price_elasticity, price_response, regular_prices
from playbook.methods.promotion import placebo_reach
from playbook.tables import empty

AS_OF = dt.date(2026, 10, 31)
ELEVEN = np.arange(1, 12)


def ago(days):
    return pd.Timestamp(AS_OF) - pd.Timedelta(days=days)


# ---- roles


def year(**columns):
    """Eleven skus that meet no rule, so that a tenth of them is one sku."""
    plain = {"title": "t", "category": "c", "units": 100, "n_orders": 100, "margin": 1.0}
    plain |= {"margin_share": np.nan, "price_paid": 5.0, "discounted_share": 0.0}
    frame = pd.DataFrame({"sku": [f"s{n:02d}" for n in ELEVEN]}).assign(**plain)
    return frame.assign(**{"new_buyer_share": np.nan} | columns)


def which(role, **columns):
    more = {k: columns.pop(k) for k in ("stock_days", "elasticity", "views") if k in columns}
    found = roles(year(**columns), **more)
    return [int(sku[1:]) for sku in found.loc[found["role"] == role, "sku"]]


def test_each_role_begins_where_its_rule_says():
    stock = pd.Series({"s01": 239.0, "s02": 240.0, "s03": 241.0})
    assert which("clearance", stock_days=stock) == [3]
    # nine tenths of the way from the first of eleven prices to the last is the tenth
    assert which("image", price_paid=ELEVEN * 1.0, units=[100] * 8 + [50] * 3) == [10, 11]
    assert which("campaign", discounted_share=[0.49, 0.5, *[0] * 9]) == [2]
    shares = ELEVEN / 100
    assert which("profit", margin_share=shares) == [7, 8, 9, 10, 11]
    assert which("traffic", margin_share=shares[::-1], new_buyer_share=shares) == [9, 10, 11]


def test_a_share_of_new_buyers_needs_twenty_orders():
    draws = {"margin_share": ELEVEN[::-1] / 100, "new_buyer_share": [0.1] * 10 + [0.9]}
    assert which("traffic", **draws, n_orders=20) == [11]
    assert which("traffic", **draws, n_orders=[100] * 10 + [19]) == []


def test_a_campaign_item_is_elastic_as_far_as_is_known():
    known = pd.DataFrame({"sku": ["s01", "s02"], "high": [-1.0, -1.01]})
    assert which("campaign", discounted_share=[0.9] * 2 + [0] * 9, elasticity=known) == [2]


# ---- stages


def stage(before=0, sold=0, weeks=30, on_sale=30, dispersion=0.0):
    """One sku's stage: units of the last 13 weeks and of the 13 before, on sale since."""
    units, exposure = np.zeros((1, weeks)), np.zeros((1, weeks))
    exposure[0, weeks - on_sale :] = 1.0
    units[0, -13], units[0, -14] = sold, before
    panel = SimpleNamespace(
        sku=np.array(["a"]), units=units, exposure=exposure, week=np.zeros(weeks, int)
    )
    law = SimpleNamespace(season=np.ones((1, 52)), dispersion=np.array([dispersion]))
    return lifecycle(panel, law)["stage"].iloc[0]


@pytest.mark.parametrize(
    "case, expected",
    [
        ({"sold": 5, "on_sale": 13}, "new"),
        ({"sold": 5, "before": 5, "on_sale": 14}, "mature"),
        ({"sold": 5, "on_sale": 11, "weeks": 14}, "mature"),
        ({"sold": 5, "on_sale": 10, "weeks": 14}, "new"),
        ({"before": 1}, "ended"),
        ({"before": 2}, "mature"),
        ({"before": 3}, "ended"),
        # log(20.5 / 10.5) is 1.76 of its standard errors, log(19.5 / 10.5) 1.62; 1.645 count
        ({"before": 10, "sold": 20}, "growing"),
        ({"before": 10, "sold": 19}, "mature"),
        ({"before": 20, "sold": 10}, "declining"),
        ({"before": 19, "sold": 10}, "mature"),
        # 2 x .2 / 13 more variance: 1.60 standard errors
        ({"before": 10, "sold": 20, "dispersion": 0.2}, "mature"),
    ],
)
def test_stages_at_their_edges(case, expected):
    assert stage(**case) == expected


def categories(n):
    """A panel of n categories of two skus; every fourth week one of the two is sold out."""
    rng = np.random.default_rng(1)
    exposure = np.ones((2 * n, 60))
    exposure[::2, 3::4] = 0.0
    units = rng.poisson(20, exposure.shape) * exposure
    for k in range(n):
        exposure[2 * k, k] = 0.0
    names = np.repeat([f"c{k}" for k in range(n)], 2)
    return SimpleNamespace(units=units, exposure=exposure, category=names, is_stock_known=True)


def test_transferable_demand_needs_four_categories_and_has_a_ninety_percent_interval():
    assert np.isnan(transfer_share(categories(3))["share"])
    found = transfer_share(categories(4))
    assert found["low"] < found["share"] < found["high"]


# ---- the tail, new items, quality


def stages_of(sku, name="mature"):
    return pd.DataFrame({"sku": sku, "stage": name})


def test_what_dropping_a_sku_brings_by_hand():
    table = year(margin=[10.0, *[1_000.0] * 10])
    transfer = {"share": 0.4, "low": 0.2, "high": 1.3}
    found = delist(
        table,
        lifecycle=stages_of(table["sku"]),
        transfer=transfer,
        holding=pd.Series({"s01": 7.0}),
    )
    # 7 of holding less what neighbours do not keep of 10; nobody keeps more than all
    assert found["sku"].tolist() == ["s01"]
    assert found.loc[0, ["effect", "effect_low", "effect_high"]].tolist() == [1.0, -1.0, 7.0]
    assert found.loc[0, "confidence"] == "medium"


@pytest.mark.parametrize("margin, n", [(9.9, 1), (10.2, 0)])
def test_the_tail_earns_the_last_hundredth(margin, n):
    table = year(margin=[margin, *[100.0] * 10])
    nobody = {"share": np.nan, "low": np.nan, "high": np.nan}
    assert len(delist(table, lifecycle=stages_of(table["sku"]), transfer=nobody)) == n


def seen(n, days_ago, sku="a"):
    visitors = [f"{sku}{k}" for k in range(n)]
    return pd.DataFrame(
        {"sku": sku, "visitor_id": visitors, "occurred_at": ago(days_ago), "name": "view_item"}
    )


@pytest.mark.parametrize("n, action", [(29, "buy traffic"), (30, "scale")])
def test_a_new_item_needs_thirty_viewers_to_be_judged(n, action):
    sold = pd.DataFrame({"order_id": ["o1"], "sku": "a", "ordered_on": [ago(3)]})
    views = sku_views(seen(n, 3), as_of=AS_OF)
    found = new_items(views, sold, lifecycle=stages_of(["a"], "new"), as_of=AS_OF)
    assert found["action"].tolist() == [action]


@pytest.mark.parametrize("days_ago, n", [(59, 1), (60, 0)])
def test_views_and_orders_of_sixty_days_count(days_ago, n):
    assert len(sku_views(seen(40, days_ago), as_of=AS_OF)) == n
    sold = pd.DataFrame({"order_id": ["o1"], "sku": "a", "ordered_on": [ago(days_ago)]})
    views = sku_views(seen(40, 3), as_of=AS_OF)
    found = new_items(views, sold, lifecycle=stages_of(["a"], "new"), as_of=AS_OF)
    assert found["n_orders"].tolist() == [n]


def sales(*rows):
    frame = pd.DataFrame(rows, columns=["sku", "quantity", "days_ago"])
    frame["order_id"] = [f"o{k}" for k in range(len(frame))]
    return frame.assign(
        ordered_on=[ago(d) for d in frame["days_ago"]], is_product=True, kind="return"
    )


@pytest.mark.parametrize("n_back, is_hold", [(15, False), (16, True)])
def test_quality_is_on_hold_surely_above_twice_the_others(n_back, is_hold):
    # Wilson's low end of 16 in 100 is .101, of 15 .093; the others return .05
    sold = sales(("a", 100, 100), ("b", 1_000, 100))
    back = sold.assign(quantity=[n_back, 50])
    found = quality_hold(sold, back, as_of=AS_OF).set_index("sku")
    assert found.loc["a", "is_hold"] == is_hold


@pytest.mark.parametrize("n_back, is_hold", [(2, False), (3, True)])
def test_one_or_two_that_came_back_hold_nothing_where_the_others_return_none(n_back, is_hold):
    sold = sales(("a", 8, 100), ("b", 8, 100))
    found = quality_hold(sold, sold.assign(quantity=[n_back, 0]), as_of=AS_OF).set_index("sku")
    assert found.is_hold.to_dict() == {"a": is_hold, "b": False}


@pytest.mark.parametrize("column", ["order_id", "sku"])
def test_returns_that_do_not_name_their_order_and_sku_are_not_taken_for_none(column):
    sold = sales(("a", 8, 100), ("b", 8, 100), ("a", 8, 101), ("b", 8, 101), ("b", 8, 102))
    back = sold.astype({"order_id": object})
    back.loc[0, column] = None
    with pytest.raises(PlaybookError, match="4 of 5 returns name their order"):
        quality_hold(sold, back, as_of=AS_OF)


def test_money_beyond_the_categorys_share_is_what_came_back_too_often_at_the_price_paid():
    """20 of 100 came back where the others have 5: 15 units at 3 each."""
    sold = sales(("a", 100, 100), ("b", 1_000, 100)).assign(revenue=[300.0, 1.0])
    found = quality_hold(sold, sold.assign(quantity=[20, 50]), as_of=AS_OF).set_index("sku")
    assert found.money_above.to_dict() == {"a": pytest.approx(45.0), "b": 0.0}


@pytest.mark.parametrize("n_orders, n", [(2, 0), (3, 1)])
def test_three_orders_under_cost_are_no_single_buyers_price(n_orders, n):
    """10 sold at 4; goods cost 5 each and a fifth of the price goes with the order: 6.25 pay."""
    row = {"sku": "a", "units": 10.0, "n_orders": n_orders, "price_paid": 4.0, "goods_cost": 50.0}
    found = under_cost(pd.DataFrame([row | {"margin": 32.0 - 50.0}]), variable_share=0.2)
    assert len(found) == n
    assert found.price_needed.tolist() == [pytest.approx(6.25)] * n
    assert found.loss.tolist() == [18.0] * n


def test_wrong_prices_that_last_and_goods_under_cost_become_rows_and_what_is_over_does_not():
    error = {
        "kind": "price_error", "starts_on": ago(1), "ends_on": ago(0), "n_days": 2, "amount": 60.0,
        "amount_low": 60.0, "amount_high": 60.0, "n": 8.0, "usual": 1.0, "now": 0.1,
        "is_alarm": True, "what": "sold at a tenth",
    }  # fmt: skip
    over = error | {"subject": "old", "ends_on": ago(4)}
    happened = pd.DataFrame([error | {"subject": "tea"}, over])
    about = {"units": 10.0, "n_orders": 4, "price_paid": 4.0, "price_needed": 6.25, "loss": 18.0}
    cheap = pd.DataFrame([{"sku": sku} | about for sku in ("cup", "pot", "tea", "jug")])
    moves = pd.DataFrame({"sku": ["pot", "cup"], "action": ["raise", "keep"], "now": [9.0, 8.0]})
    tail = pd.DataFrame({"sku": ["jug"], "confidence": ["high"]})
    rows = wrong_prices(happened, cheap, moves, tail, as_of=AS_OF, currency="EUR")
    rows = rows.set_index("subject")
    assert rows.loc["cup", "size"] == pytest.approx(8 * 6.25 / 4), "of the regular price"
    assert rows.action.to_dict() == {"tea": "mend price", "cup": "raise price"}
    assert rows.loc["tea", "expected_effect"] == pytest.approx(60 / 2 * 365.25 / 12)
    low, high = 18 - 1.28 * 18 / 2, 18 + 1.28 * 18 / 2
    assert rows.loc["cup", ["effect_low", "effect_high"]].tolist() == pytest.approx([low, high])
    assert not is_settled(rows).any()


def test_returns_are_held_against_a_year_of_sales_two_months_old():
    sold = sales(("a", 1, 59), ("a", 2, 60), ("a", 4, 424), ("a", 8, 425))
    assert quality_hold(sold, sold, as_of=AS_OF)["n_units"].tolist() == [6]


def test_variable_costs_are_what_neither_goods_nor_margin_explain_over_a_year():
    orders = pd.DataFrame(
        {
            "ordered_on": [ago(364), ago(365)],
            "revenue": [100.0, 100.0],
            "cost": [40.0, 10.0],
            "margin": [45.0, 10.0],
        }
    )
    assert variable_cost_share(orders, as_of=AS_OF) == pytest.approx(0.15)


def test_the_scorecard_shows_twenty_five_months():
    starts = pd.date_range(end=AS_OF - dt.timedelta(days=6), periods=140, freq="7D")
    ones = np.ones((2, 140))
    panel = SimpleNamespace(starts=starts, exposure=ones, units=ones * [[1], [0]])
    found = range_kpis(panel, as_of=AS_OF)
    assert len(found) == 25
    assert set(found["amount"]) == {0.5}


# ---- prices


def moved(estimate=-0.2, se=0.0, price=10.0, units=1_000, margin=5.0, **knobs):
    elasticity = pd.DataFrame(
        {
            "sku": ["a"],
            "estimate": estimate,
            "se": se,
            "is_identifiable": True,
            "reason": "",
            "price_now": price,
        }
    )
    money = {"units": units, "margin": margin * units, "price_paid": price}
    return price_list(elasticity, pd.DataFrame({"sku": ["a"], **money}), **knobs).iloc[0]


def test_a_price_moves_a_tenth_at_once_in_steps_of_ten_cents():
    row = moved(price=10.03)
    assert row[["low_price", "high_price"]].tolist() == pytest.approx([9.027, 11.033])
    assert row["plan"] == pytest.approx(11.0)
    assert row[["action", "reason"]].tolist() == ["raise", "expected margin"]


def test_a_price_stays_within_fifteen_percent_of_the_competitors_median():
    rival = pd.DataFrame({"sku": ["a"], "median_price": [9.0]})
    assert moved(competitor=rival)["high_price"] == pytest.approx(10.35)


@pytest.mark.parametrize("corridor, action", [(0.0045, "keep"), (0.006, "raise")])
def test_a_move_below_half_a_percent_is_none(corridor, action):
    assert moved(price=100.0, corridor=corridor)["action"] == action


def test_the_gain_of_a_move_by_hand():
    # 1,000 units at 10 with 5 of cost; at 11 with elasticity -.2
    assert moved()["gain"] == pytest.approx(1_000 * (1.1**-0.2 * 6 - 5))
    # the law is not cut: a draw that says dearer sells more counts as what it is
    assert moved(estimate=0.5)["gain"] == pytest.approx(1_000 * (1.1**0.5 * 6 - 5))


def test_a_third_of_the_units_a_price_loses_is_sold_of_the_other_items_of_its_category():
    """1,000 a at 10, cost 5, elasticity -.2: 11 loses 1 - 1.1^-.2 of them, of which b, at a
    margin of 3 a unit, sells a third; c is of another category, d's margin is not known.
    """
    told = {"sku": ["a"], "estimate": -0.2, "se": 0.0, "is_identifiable": True, "reason": ""}
    year = pd.DataFrame(
        {
            "sku": list("abcd"),
            "units": [1000, 10, 10, 10],
            "margin": [5000.0, 30.0, 900.0, np.nan],
            "price_paid": 10.0,
            "category": ["tea", "tea", "pots", "tea"],
        }
    )
    row = price_list(pd.DataFrame(told | {"price_now": 10.0}), year).iloc[0]
    switched = (1 - 1.1**-0.2) / 3 * 3
    assert row["gain"] == pytest.approx(1_000 * (1.1**-0.2 * 6 - 5 + switched))


def test_the_gains_interval_holds_eight_tenths_of_the_draws():
    draws = -1.2 + 0.2 * np.random.default_rng(7).standard_normal(400)
    row = moved(estimate=-1.2, se=0.2)
    gains = 1_000 * ((row["plan"] / 10) ** draws * (row["plan"] - 5) - 5)
    assert row[["gain_low", "gain_high"]].tolist() == pytest.approx(
        np.quantile(gains, [0.1, 0.9]).tolist()
    )


def test_a_move_must_gain_in_eight_draws_of_ten():
    found = pd.DataFrame([moved(estimate=-1.5, se=se) for se in np.linspace(0.1, 2.0, 77)])
    told = found[found["action"] != "keep"]
    assert 0.8 <= told["chance"].min() < 0.82
    assert set(found.loc[found["action"] == "keep", "reason"]) == {"no gain sure enough"}


# ---- promotions


@pytest.mark.parametrize(
    "low, high, cost, verdict",
    [
        (101, 200, 100, "repeat"),
        (100, 200, 100, "undecided"),
        (-5, 100, 100, "undecided"),
        (1, 99, 100, "change"),
        (0, 99, 100, "stop"),
        (-9, -1, np.nan, "stop"),
        (1, 9, np.nan, "repeat"),
        (np.nan, np.nan, 100, "undecided"),
    ],
)
def test_a_promotion_is_judged_by_where_its_cost_lies(low, high, cost, verdict):
    assert _verdict(low, high, cost) == verdict


def test_an_interval_needs_eight_placebo_windows():
    assert np.isnan(placebo_reach(7, 0.9))
    assert placebo_reach(8, 0.9) == pytest.approx(1.895, abs=1e-3)


def test_side_effects_are_drawn_together_as_dersimonian_and_laird_have_it():
    # Q = 9 on 3 degrees of freedom over 3: 2 between; the mean varies by 3 / 4
    middle, variance = _random_effects(np.array([0.0, 0, 3, 3]), np.ones(4))
    trust = 2.75 / 3.75
    assert middle.tolist() == pytest.approx([1.5 - 1.5 * trust] * 2 + [1.5 + 1.5 * trust] * 2)
    assert variance.tolist() == pytest.approx([trust] * 4)


def measured(margin, n_placebo=8):
    """A promotion of five days as its review sees it."""
    effect = SimpleNamespace(margin=np.array(margin), margin_error=np.ones(4), n_placebo=n_placebo)
    effect.actual = effect.expected = effect.units = np.array([9.0, 0, 0])
    effect.placebo_bias = 0.0
    facts = {"promo_id": "p", "starts_on": ago(9), "ends_on": ago(5), "cost": 10.0}
    more = {"first": 5, "last": 9, "n_skus": 1, "size": np.ones(4), "units": np.ones((3, 20))}
    return SimpleNamespace(effect=effect, facts=facts, **more)


@pytest.mark.parametrize(
    ("margin", "starts_on", "verdict", "is_idle"),
    [
        (-86.0, "2025-11-24", "stop", False),
        (-84.0, "2025-11-24", None, None),
        (-86.0, "2026-03-24", "stop", True),
    ],
)
def test_a_promotion_that_lost_in_four_chances_of_five_and_comes_round_soon_is_stopped(
    margin, starts_on, verdict, is_idle
):
    """Wide by 1.645 x 100 at nine tenths: a loss of 84 is four chances of five, 0.8416 sd."""
    row = {"promo_id": "p", "starts_on": pd.Timestamp(starts_on), "cost": 0.0, "promo_roi": -1.0}
    row |= {"incremental_margin": margin, "verdict": "undecided"}
    row |= {"low": margin - 164.485, "high": margin + 164.485}
    empty = [pd.DataFrame(columns=columns) for columns in _NOTHING]
    rows = range_decisions(
        empty[0], pd.DataFrame([row]), *empty[1:], as_of=dt.date(2026, 10, 31), currency="EUR"
    )
    if verdict is None:
        assert rows.empty
    else:
        first = rows.iloc[0]
        assert (first.verb, bool(first.is_idle), first.confidence) == (verdict, is_idle, "medium")
        assert first.expected_effect == pytest.approx(-margin)


@pytest.mark.parametrize(
    ("margin", "n_planned", "verdict", "is_idle"),
    [(-86.0, 0, "stop", True), (-86.0, 1, "stop", False)]
    + [(300.0, 0, "repeat", False), (300.0, 5, "repeat", True)],
)
def test_what_no_day_is_planned_of_cannot_be_stopped_nor_what_is_planned_repeated(
    margin, n_planned, verdict, is_idle
):
    row = {"promo_id": "p", "starts_on": pd.Timestamp("2025-11-24"), "cost": 0.0, "promo_roi": 1.0}
    row |= {"incremental_margin": margin, "verdict": "repeat" if margin > 0 else "undecided"}
    row |= {"low": margin - 164.485, "high": margin + 164.485}
    coming = pd.DataFrame({"promo_id": ["p"], "n_days": 5, "n_planned": n_planned})
    coming["comes_on"] = pd.Timestamp("2026-11-23")
    empty = [pd.DataFrame(columns=columns) for columns in _NOTHING]
    known = {"as_of": dt.date(2026, 10, 31), "currency": "EUR", "coming": coming}
    first = range_decisions(empty[0], pd.DataFrame([row]), *empty[1:], **known).iloc[0]
    assert (first.verb, bool(first.is_idle)) == (verdict, is_idle)


_NOTHING = (
    ["action", "gain", "sku"],
    ["confidence"],
    ["is_hold", "money_above", "n_returned", "sku"],
    ["action", "views", "sku"],
)


@pytest.mark.parametrize("n, is_pooled", [(4, False), (5, True)])
def test_side_effects_of_five_promotions_are_pooled(n, is_pooled):
    own = [measured([7.0, k, 0.0, 0.0]) for k in range(n)]
    margin, _error = _shrunk(own)
    assert margin[:, 0].tolist() == [7.0] * n
    assert (np.ptp(margin[:, 1]) < n - 1) == is_pooled


def test_the_interval_of_a_promotion_holds_nine_tenths():
    row = _row(measured([100.0, -5, 3, -2]), np.array([100.0, -5, 3, -2]), np.ones(4) * 2, True)
    # 1.895: Student's t with 7 degrees of freedom; four errors of 2 are 4 together
    assert row["high"] - row["low"] == pytest.approx(2 * 1.895 * 4, abs=0.01)
    assert row["promo_roi"] == pytest.approx((96 - 10) / 10)
    assert row["naive_units"] == 9 - 5


def test_promotions_of_eighteen_months_are_pooled():
    ends = pd.to_datetime(["2025-04-30", "2025-05-01", "2026-10-31", "2026-11-01"])
    calendar = pd.DataFrame({"promo_id": list("abcd"), "starts_on": ends, "ends_on": ends})
    assert [row["promo_id"] for row in _calendar(calendar, AS_OF)] == ["b", "c"]


def test_normal_margin_is_that_of_the_last_ordinary_days():
    units, margin = np.ones((3, 100)), np.tile(np.arange(100.0), (3, 1))
    covered = np.zeros((3, 100))
    covered[0, 20:] = 0.049
    covered[1, 20:] = 0.05
    covered[2, 14:] = covered[2, 0] = 0.05
    normal = _normal_margin(units, margin, covered, 90)
    # 56 days before day 90; the 20 ordinary ones; 13 are too few, so 56 days again
    assert normal.tolist() == [61.5, 9.5, 61.5]


def shop_days(weeks=112):
    rng = np.random.default_rng(2)
    day = pd.date_range(end=AS_OF, periods=7 * weeks)
    parts = []
    for k in range(6):
        units = rng.poisson(4.0, len(day)).astype(float)
        parts.append(pd.DataFrame({"sku": f"s{k}", "day_on": day, "units": units}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(revenue=table.units * 10, margin=table.units * 5, is_on_promo=False)


def test_promotions_of_thirteen_months_are_shown_and_judged_when_two_weeks_are_over():
    ends = ["2025-09-30", "2025-10-01", "2026-10-17", "2026-10-18"]
    calendar = pd.DataFrame({"promo_id": list("abcd"), "ends_on": pd.to_datetime(ends)})
    calendar = calendar.assign(starts_on=calendar.ends_on - pd.Timedelta(days=3), skus="s0 s1")
    found, _course = promotion_review(shop_days(), calendar, as_of=AS_OF)
    assert dict(zip(found["promo_id"], found["status"], strict=True)) == {
        "b": "complete",
        "c": "complete",
        "d": "partial",
    }
    row = found.iloc[0]
    parts = row["direct_margin"] - row["cannibalised_margin"] + row["halo_margin"]
    assert row["incremental_margin"] == pytest.approx(parts - row["pulled_margin"])


# ---- elasticities


def asked(*weeks_at_price, rate=9.0):
    """A sku with prices for so many weeks each beside one that is never repriced, and what
    they sold.
    """
    moved = np.concatenate([np.full(n, p) for n, p in weeks_at_price])
    price = np.stack([moved, np.full(len(moved), moved[0])])
    units = np.random.default_rng(0).poisson(rate, price.shape).astype(float)
    return units, price


def refusal(units, price, **knobs):
    still = np.zeros_like(price)
    found = price_elasticity(
        units,
        np.ones_like(price),
        price,
        np.arange(price.shape[1]) % 52,
        group=np.zeros(2, int),
        promo=still,
        **knobs,
    )
    return found.iloc[0]


@pytest.mark.parametrize(
    "second, third, reason",
    [
        ((30, 10.09), (30, 10.0), "all prices equal"),
        # one week of each price is the week of the move
        ((30, 12.0), (3, 14.0), "fewer than 3 regular prices"),
        # no promotion is known of, so none is named
        ((3, 12.0), (3, 14.0), "fewer than 3 regular prices"),
    ],
)
def test_an_elasticity_needs_three_prices_of_three_weeks_a_percent_apart(second, third, reason):
    assert refusal(*asked((30, 10.0), second, third))["reason"] == reason


def test_an_elasticity_needs_two_moves_apart_from_promotions():
    units, price = asked((30, 10.0), (30, 12.0), (30, 14.0))
    still = np.zeros_like(price)
    for first, reason in ((29, "fewer than 2 price moves"), (28, "")):
        promo = still.copy()
        # a promotion of one week, beginning beside the first move or two weeks before it
        promo[0, first - 1 : first] = 1.0
        about = {"group": np.zeros(2, int), "promo": promo, "widest": np.inf}
        found = price_elasticity(units, np.ones_like(price), price, np.arange(90) % 52, **about)
        assert found["reason"].iloc[0].startswith(reason)
        assert found["is_identifiable"].iloc[0] == (not reason)


def test_three_weeks_at_a_price_make_a_price():
    assert refusal(*asked((30, 10.0), (30, 12.0), (4, 14.0)))["n_prices"] == 3
    assert refusal(*asked((30, 10.0), (30, 10.11)))["n_prices"] == 2


@pytest.mark.parametrize("n, is_refused", [(49, True), (50, False)])
def test_an_elasticity_needs_fifty_units(n, is_refused):
    units, price = asked((30, 10.0), (30, 12.0), (30, 14.0))
    units[0] = 0
    units[0, 1 : n + 1] = 1
    units[0, [30, 60]] = 0
    units[0, 70 : 70 + int(n - units[0].sum())] = 1
    assert (refusal(units, price)["reason"] == "fewer than 50 units") == is_refused


def test_an_interval_wider_than_three_is_not_told():
    widths = {"": [], "interval too wide": []}
    for rate in np.linspace(5, 60, 61):
        units, price = asked((40, 10.0), (40, 12.0), (40, 14.0), rate=rate)
        known = refusal(units, price, widest=np.inf)
        widths[refusal(units, price)["reason"]].append(known["high"] - known["low"])
    assert 2.85 < max(widths[""]) <= 3.0 < min(widths["interval too wide"]) < 3.15


def test_a_price_counts_as_regular_below_a_twentieth_of_a_week_on_promotion():
    price = np.array([[10.0, 8.0, 8.0]])
    assert regular_prices(price, np.array([[0, 0.05, 0.05]])).tolist() == [[10.0, 10.0, 10.0]]
    assert regular_prices(price, np.array([[0, 0.04, 0.04]])).tolist() == [[10.0, 8.0, 8.0]]


def test_without_price_moves_the_response_is_the_published_mean():
    still = np.full((2, 60), 10.0)
    assert price_response(np.full((2, 60), 9.0), np.ones((2, 60)), still)[0] == 2.62


# ---- decisions


@pytest.mark.parametrize("chance, confidence", [(0.95, "medium"), (0.96, "high")])
def test_a_price_move_is_sure_above_nineteen_in_twenty(chance, confidence):
    gains = {"gain": 5.0, "gain_low": 1.0, "gain_high": 9.0, "chance": chance}
    move = {"sku": "a", "action": "raise", "plan": 11.0, "elasticity": -1.2, "reason": "r"}
    moves = pd.DataFrame([move | gains])
    others = [empty(f"assortment_pricing.{t}") for t in ("promo", "delist", "quality", "new_items")]
    row = range_decisions(moves, *others, as_of=AS_OF, currency="EUR").iloc[0]
    assert row["confidence"] == confidence
    assert row[["due_on", "revisit_on"]].tolist() == ["2026-11-07", "2027-01-02"]
    assert row[["action", "verb", "effect_unit"]].tolist() == [
        "raise price",
        "raise",
        "EUR margin a year",
    ]
