"""Policy of the recommendations: every limit just below, at and above it, by hand."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from playbook.chapters.recommendations.decisions import recommend_decisions
from playbook.chapters.recommendations.nextbuy import Blend, moment, purchases, split_at, tuned
from playbook.chapters.recommendations.pairs import bundles, replenishment
from playbook.chapters.recommendations.recommend import (
    _judged,
    buyer_groups,
    leaderboard,
    unsafe_items,
)
from playbook.methods.ease import ease_weights

AS_OF = dt.date(2025, 12, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# ---- kinds of buyers


@pytest.mark.parametrize(
    "days_ago, segment",
    [([89], "new"), ([90], "once"), ([300, 179], "regular"), ([300, 180], "quiet")],
)
def test_buyers_are_new_for_ninety_days_and_quiet_after_half_a_year(days_ago, segment):
    days = pd.DataFrame({"customer_id": "ann", "day_on": [ago(d) for d in days_ago], "orders": 1})
    assert buyer_groups(days, as_of=AS_OF)["segment"].tolist() == [segment]


# ---- what may be shown


def day_of(sku, days_ago, units, margin=3.0):
    amounts = {"units": units, "revenue": 10.0 * units, "margin": margin * units, "on_hand": 5}
    return pd.DataFrame({"sku": sku, "day_on": [ago(days_ago)], **amounts})


def reasons(table, **more):
    return unsafe_items(table, as_of=AS_OF, **more)["reason"].tolist()


@pytest.mark.parametrize("margin, hit", [(-0.01, True), (0.0, False), (0.01, False)])
def test_an_item_sells_at_a_loss_below_nothing(margin, hit):
    assert (reasons(day_of("a", 3, 2, margin)) == ["sells at a loss"]) == hit


@pytest.mark.parametrize(
    "born, sold, hit", [(90, 90, True), (120, 89, False), (120, 90, True), (89, None, False)]
)
def test_an_item_is_quiet_after_ninety_days_without_a_sale(born, sold, hit):
    days = [day_of("a", born, 0)] + ([] if sold is None else [day_of("a", sold, 2)])
    assert (reasons(pd.concat(days)) == ["gone quiet"]) == hit


@pytest.mark.parametrize("n_back, age, hit", [(16, 60, False), (17, 60, True), (17, 59, False)])
def test_often_returned_is_surely_above_twice_the_shops_share_of_mature_sales(n_back, age, hit):
    # Wilson, 17 of 100: low end .109 above 2 x 517 / 10,100 = .102; 16: .101 below it
    table = pd.concat([day_of("a", age, 100), day_of("b", 70, 10_000)])
    back = {"sku": ["a", "b"], "quantity": [n_back, 500], "ordered_on": [ago(age), ago(70)]}
    found = reasons(table, refunds=pd.DataFrame(back).assign(kind="return"))
    assert (found == ["often returned"]) == hit


# ---- bundles and reminders


@pytest.mark.parametrize("one, other, offered", [(1.6, 1.51, 1), (1.6, 1.5, 0), (1.4, 1.6, 0)])
def test_a_bundle_goes_together_half_again_as_often_as_chance_both_ways(one, other, offered):
    pairs = pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"], "lift_low": [one, other]})
    assert len(bundles(pairs.assign(n=10, n_a=20, n_b=20, pair_lift=2.0, margin=5.0))) == offered


def test_a_bundle_takes_a_twentieth_off_unless_told_otherwise():
    pairs = pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"], "lift_low": 2.0})
    found = bundles(pairs.assign(n=19, n_a=30, n_b=30, pair_lift=2.0, margin=5.0)).iloc[0]
    # 10 of margin, .5 off: 19 x .5 / 9.5 = 1 further order, of 22 that hold one of the two
    assert found[["discount", "extra_needed", "extra_needed_share"]].tolist() == [0.5, 1.0, 1 / 22]


def starts(n, waits):
    rows = []
    for k in range(n):
        for day in (ago(300), ago(300) + dt.timedelta(days=waits[k % len(waits)])):
            rows.append((f"o{len(rows)}", f"c{k}", "tea", day))
    return pd.DataFrame(rows, columns=["order_id", "customer_id", "sku", "ordered_on"])


def test_reminders_need_fifty_starts_and_tell_the_quartiles_of_the_wait():
    # the second day of each is a start too, unless it lies within the window of as-of
    assert replenishment(starts(49, [200]), as_of=AS_OF).empty
    waits = list(range(151, 201))
    found = replenishment(starts(50, waits), as_of=AS_OF, window_days=205).iloc[0]
    assert found["n_starts"] == 50
    assert found[["early_days", "rebuy_days", "late_days"]].tolist() == [163.25, 175.5, 187.75]


@pytest.mark.parametrize("wait, n_rebuys", [(119, 50), (120, 50), (121, 0)])
def test_a_rebuy_within_a_hundred_and_twenty_days_counts(wait, n_rebuys):
    assert replenishment(starts(50, [wait]), as_of=AS_OF)["n_rebuys"].tolist() == [n_rebuys]


# ---- the models


def orders(sku, days_ago, n):
    rows = [(f"{sku}{days_ago}-{k}", f"c{k % 7}", sku, ago(days_ago)) for k in range(n)]
    return pd.DataFrame(rows, columns=["order_id", "customer_id", "sku", "ordered_on"])


def test_the_trend_is_recent_orders_over_what_history_leads_one_to_expect():
    parts = [("a", 299, 5), ("a", 29, 3), ("b", 29, 20), ("c", 200, 400), ("d", 30, 8)]
    lines = pd.concat([orders(*part) for part in parts])
    data = split_at(purchases(lines, AS_OF), moment(AS_OF), "none")
    trend = dict(zip(data.items, data.trend, strict=True))
    # 300 days: a (3 + 1) / (8 x 30 / 300 + 1); b 21 / 3, c 1 / 41 are cut; 30 days ago is old
    assert trend["a"] == pytest.approx(4 / 1.8, rel=1e-3)
    assert trend["d"] == pytest.approx(1 / 1.8, rel=1e-3)
    assert (trend["b"], trend["c"]) == (5.0, 0.05)


def test_the_plain_blend_is_own_orders_and_four_times_ease_by_the_root_of_the_trend():
    assert Blend().scores(np.array([[1.0]]), np.array([[2.0]]), np.array([4.0])) == 1 + 4 * 2 * 2


@pytest.mark.parametrize("people, is_tuned", [(49, False), (50, True)])
def test_fifty_customers_are_needed_to_tune_the_blend(people, is_tuned):
    rows = [
        (f"o{day}-{k}", f"c{k}", f"s{(k + day) % 5}", ago(day))
        for k in range(people)
        for day in (250, 120)
    ]
    lines = pd.DataFrame(rows, columns=["order_id", "customer_id", "sku", "ordered_on"])
    blend = tuned(purchases(lines, AS_OF), moment(ago(90)), 90, 10, 4_000)
    assert blend.is_tuned == is_tuned
    assert is_tuned or blend == Blend()


def test_curves_end_at_twenty_places():
    rows = [
        (f"o{day}-{k}", f"c{k}", f"s{(7 * k + day) % 40:02d}", ago(day))
        for k in range(60)
        for day in range(5, 360, 17)
    ]
    lines = pd.DataFrame(rows, columns=["order_id", "customer_id", "sku", "ordered_on"])
    curve = leaderboard(lines, as_of=AS_OF).curve
    assert curve["k"].max() == 20


def test_the_gain_pays_for_three_rivals():
    hits = {m: np.zeros((40, 5), bool) for m in ("popularity", "buy_again", "ease")}
    hits["ease"][:20, 0] = True
    row = pd.DataFrame(_judged(hits, np.ones(40), 5, 0.95)).set_index("model").loc["ease"]
    # the baseline never hits, so the gain is the recall: z of 1 - .05 / 3 over z of .95
    ratio = (row["gain"] - row["gain_low"]) / (row["recall_k"] - row["low"])
    assert ratio == pytest.approx(2.394 / 1.960, abs=1e-3)


def test_ease_has_a_ridge_of_three_hundred_buyers():
    # 300 buyers of both items: 300 / (300 + 300)
    both = csr_matrix(np.ones((300, 2)))
    assert ease_weights(both)[0, 1] == pytest.approx(0.5, rel=1e-5)


# ---- decisions


def test_three_bundles_are_tested_at_a_time_with_the_orders_they_need():
    names = pd.DataFrame({"a": list("abcd"), "b": list("efgh"), "is_unsafe": False})
    offers = names.assign(discount=1.5, lift_low=2.0, n=1_234, extra_needed=56.7)
    rows = recommend_decisions(None, offers, pd.DataFrame(), pd.DataFrame(), currency="EUR")
    assert rows["subject"].tolist() == ["a + e", "b + f", "c + g"]
    assert (
        rows["reason"].iloc[0] == "bought together in 1,234 orders; earns only past 57 further ones"
    )
    assert rows.loc[0, ["unit", "threshold", "effect_unit"]].tolist() == [
        "EUR off the pair",
        1.5,
        "not known without a test",
    ]
