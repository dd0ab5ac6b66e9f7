"""Equal customers share a score, labels repeat, tiers are judged on the year after,
points are counted once.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.segmentation.decisions import segment_decisions
from playbook.chapters.segmentation.membership import (
    annual_amounts,
    design_tiers,
    downgrade_rule,
    judge_tiers,
    near_threshold,
    points,
    proposed_tiers,
    search_tiers,
)
from playbook.chapters.segmentation.segments import (
    RfmResult,
    audience_list,
    cluster_segments,
    lorenz,
    month_moves,
    rfm,
    segment_actions,
    segment_returns,
    segment_table,
    tempting_rfm,
)
from playbook.errors import PlaybookError
from playbook.measures.customer_windows import purchase_history


def shop(n=400, seed=0, days=800):
    """Customer days of n customers whose rates differ; n rows of them buy once."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        first, rate = rng.integers(0, days - 30), rng.gamma(0.6, 0.02)
        for day in sorted(
            {first, *np.cumsum(rng.exponential(1 / max(rate, 1e-4), 30)).astype(int) + first}
        ):
            if day < days:
                rows.append(
                    (
                        f"c{k:04d}",
                        pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(day)),
                        1,
                        float(rng.gamma(3, 10)),
                    )
                )
    frame = pd.DataFrame(rows, columns=["customer_id", "day_on", "orders", "revenue"])
    return frame.assign(units=1, margin=0.4 * frame.revenue)


AS_OF = dt.date(2026, 3, 10)


@pytest.fixture(scope="module")
def days():
    return shop()


@pytest.fixture(scope="module")
def cdnow(shared_data):
    frame = pd.read_parquet(shared_data / "cdnow" / "cdnow_master.parquet")
    frame = (
        frame.rename(columns={"date": "day_on", "amount": "revenue"})
        .groupby(["customer_id", "day_on"], as_index=False)
        .revenue.sum()
    )
    return frame.assign(orders=1, margin=np.nan)


def test_on_cdnow_everyone_with_one_purchase_has_the_same_frequency_score(cdnow):
    once = rfm(cdnow, as_of=dt.date(1998, 6, 30)).customers.query("n_purchases == 1")
    assert len(once) > 11_000 and once.f.nunique() == 1
    tempting = tempting_rfm(purchase_history(cdnow, as_of=dt.date(1998, 6, 30)))
    assert (tempting.n_purchases == 1).sum() == 3


def test_equal_numbers_always_share_each_score(days):
    own = rfm(days, as_of=AS_OF).customers
    for column, score in (("n_purchases", "f"), ("recency_days", "r"), ("amount", "m")):
        assert own.groupby(column)[score].nunique().max() == 1


def test_two_runs_and_shuffled_rows_give_identical_labels(days):
    one, two = (rfm(t, as_of=AS_OF) for t in (days, days.sample(frac=1, random_state=5)))
    pd.testing.assert_frame_equal(one.customers, two.customers)
    pd.testing.assert_frame_equal(cluster_segments(one)[1], cluster_segments(two)[1])
    pd.testing.assert_frame_equal(segment_table(one), segment_table(two))


def test_recency_counts_from_as_of_and_not_from_the_last_row(days):
    own = rfm(days, as_of=AS_OF).customers.set_index("customer_id")
    last = days[days.day_on <= pd.Timestamp(AS_OF)].groupby("customer_id").day_on.max()
    assert (own.recency_days == (pd.Timestamp(AS_OF) - last).dt.days).all()


def test_segments_hold_every_customer_and_all_the_money(days):
    result = rfm(days, as_of=AS_OF)
    table = segment_table(result)
    assert table.n_customers.sum() == len(
        result.customers
    ) and table.cm_share.sum() == pytest.approx(1)
    assert table.stability.between(0, 1).all()


def test_moves_carry_money_and_new_customers_come_from_new(days):
    now = rfm(days, as_of=AS_OF)
    moves = month_moves(days, now, as_of=AS_OF)
    assert moves.n_customers.sum() == len(now.customers)
    assert moves.amount_after.sum() == pytest.approx(now.customers.amount.sum())
    new = moves[moves.from_segment == "new"].n_customers.sum()
    assert new == (now.customers.first_on > "2026-02-28").sum()


def test_a_list_keeps_the_same_customers_out_next_month(days):
    result = rfm(days, as_of=AS_OF)
    actions = segment_actions(result, segment_returns(days, as_of=AS_OF))
    one, two = audience_list(result, actions), audience_list(result, actions)
    assert (
        one.equals(two)
        and set(one.arm) <= {"treat", "holdout"}
        and len(one) == len(result.customers)
    )


def one_segment(n_customers, buyer_share):
    """The actions of a shop whose only segment bought like this in three quarters."""
    people = pd.DataFrame({"customer_id": range(n_customers), "segment": "important value"})
    past = pd.DataFrame(
        {"segment": "important value", "buyer_share": buyer_share, "amount_per_customer": [1, 2, 3]}
    ).assign(amount_spread=1.0)
    return segment_actions(RfmResult(people, None, 0, ""), past, lift=0.10).iloc[0]


def test_the_holdout_is_per_arm_and_for_a_relative_lift():
    # 5 % against 5.5 %, 80 % power
    assert one_segment(100_000, 0.05).holdout_n == pytest.approx(31_234, rel=0.01)
    assert np.isnan(one_segment(100_000, 0.0).holdout_n)


def test_tiers_are_judged_on_the_year_after_and_cost_more_than_the_year_before_says():
    rows = [
        ("ann", "2024-06-01", 100.0),
        ("bob", "2024-06-01", 300.0),
        ("bob", "2025-06-01", 60.0),
        ("cat", "2024-06-01", 20.0),
    ]
    frame = pd.DataFrame(rows, columns=["customer_id", "day_on", "revenue"]).assign(
        orders=1, units=1, margin=lambda t: t.revenue / 2
    )
    frame["day_on"] = pd.to_datetime(frame.day_on)
    amounts = annual_amounts(frame, as_of=dt.date(2026, 3, 10), basis="margin")
    gold = judge_tiers(
        amounts,
        pd.DataFrame(
            {"tier": ["gold"], "threshold": [90.0], "benefit_cost": [3.0], "uplift": 0.05}
        ),
    ).iloc[0]
    assert gold.n_judged == 2 and gold.benefit_cost == 6.0
    assert gold.tempting_uplift < gold.break_even_uplift and gold.kept_share == 0.0


def test_searched_thresholds_leave_at_least_as_much_as_any_single_one_tried(days):
    amounts = annual_amounts(days, as_of=AS_OF, basis="margin")
    benefits = pd.DataFrame({"tier": ["gold"], "benefit_cost": [2.0], "uplift": 0.2})
    best = search_tiers(amounts, benefits, least_members=10)
    for line in (60.0, 90.0, 120.0):
        one = judge_tiers(amounts, benefits.assign(threshold=line))
        if one.n_judged.iloc[0] >= 10 and line >= np.quantile(
            amounts.query("qualify > 0").qualify, 0.7
        ):
            assert best.tier_net.sum() >= 0.95 * one.tier_net.sum()


def test_a_dearer_tier_is_asked_to_add_more_and_a_tier_without_benefit_adds_nothing(days):
    amounts = annual_amounts(days, as_of=AS_OF, basis="margin")
    tiers = pd.DataFrame(
        {
            "tier": ["basic", "gold", "silver"],
            "from_on": pd.Timestamp("2024-01-01"),
            "threshold": [0.0, 120.0, 60.0],
            "benefit_cost": [0.0, 8.0, 2.0],
            "point_value": 0.01,
        }
    )
    table = design_tiers(amounts, tiers, benefit_costs="", uplift=0.1, as_of=AS_OF).table.query(
        "scheme == 'today'"
    )
    assert table.assumed_uplift.tolist() == pytest.approx(
        [0.0, 0.1, 0.2]
    )  # gold costs four times as much
    assert table.tier_net.iloc[0] == 0.0 and (table.detectable_uplift > 0).all()


def test_thresholds_found_are_judged_on_customers_the_search_has_not_seen(days):
    big = pd.concat(
        [shop(seed=k).assign(customer_id=lambda t, k=k: f"{k}" + t.customer_id) for k in range(3)]
    )
    amounts = annual_amounts(big, as_of=AS_OF, basis="margin")
    found = [
        design_tiers(a, benefit_costs="gold 2 0.2", uplift=0.1, as_of=AS_OF).table.iloc[0]
        for a in (
            amounts,
            annual_amounts(big.sample(frac=1, random_state=1), as_of=AS_OF, basis="margin"),
        )
    ]
    assert found[0].equals(found[1]) and found[0].assumed_uplift == 0.2
    assert found[0].threshold_low <= found[0].threshold_high and np.isfinite(found[0].net_checked)


@pytest.mark.parametrize("text", ["gold", "gold x", "gold -3", "gold 3 0.1 9"])
def test_benefits_written_wrongly_are_refused_with_an_example(days, text):
    with pytest.raises(PlaybookError, match="names no tiers"):
        design_tiers(annual_amounts(days, as_of=AS_OF), benefit_costs=text, uplift=0.1, as_of=AS_OF)


def test_a_member_who_just_misses_the_line_is_kept_where_such_customers_pay_for_it():
    near = pd.DataFrame(
        {"qualify": 90.0, "before": 40.0, "after": 30.0, "latest": 60.0}, index=range(30)
    )
    member = pd.DataFrame(
        {"qualify": 120.0, "before": 50.0, "after": 35.0, "latest": [85.0] * 4 + [10.0] * 6}
    )
    amounts = pd.concat([near, member], ignore_index=True).assign(period_days=365)
    for cost, rule in ((2.0, "keep a year"), (4.0, "downgrade")):
        gold = judge_tiers(
            amounts,
            pd.DataFrame(
                {"tier": ["gold"], "threshold": [100.0], "benefit_cost": [cost], "uplift": 0.1}
            ),
        )
        row = downgrade_rule(amounts, gold).iloc[0]
        assert (row.n_down, row.n_near, row.n_seen, row.money_next, row.rule) == (
            10,
            4,
            30,
            30.0,
            rule,
        )
        assert row.keep_net == pytest.approx(4 * (0.1 * 30 - cost))


def test_customers_pushed_over_a_line_are_seen_as_a_crowd():
    rng = np.random.default_rng(1)
    spent = rng.gamma(2, 100, 6000)
    pushed = np.where((spent > 180) & (spent < 200), 201.0, spent)
    crowd = {
        name: near_threshold(pd.DataFrame({"latest": v, "period_days": 365}), [200.0]).iloc[0]
        for name, v in (("smooth", spent), ("pushed", pushed))
    }
    assert crowd["pushed"].crowding_ratio > 1.3 and crowd["pushed"].p_value < 0.001
    assert crowd["smooth"].p_value > 0.01


def test_too_few_over_a_line_are_no_crowd():
    rng = np.random.default_rng(1)
    spent = rng.gamma(2, 100, 6000)
    gone = np.where((spent > 200) & (spent < 220), 500.0, spent)
    assert (
        near_threshold(pd.DataFrame({"latest": gone, "period_days": 365}), [200.0]).p_value.iloc[0]
        > 0.99
    )


SCHEMES = pd.DataFrame(
    {
        "scheme": ["today", "today", "searched", "searched"],
        "tier": ["silver", "gold"] * 2,
        "threshold": [150.0, 400.0, 170.0, 580.0],
        "tier_net": [40.0, 160.0, 62.0, 140.0],
        "net_checked": [np.nan, np.nan, 60.0, 150.0],
        "n_customers": [44, 15, 43, 7],
        "n_judged": [32, 10, 30, 5],
        "benefit_cost": 10.0,
        "break_even_uplift": 0.05,
        "assumed_uplift": 0.1,
        "threshold_low": 160.0,
        "threshold_high": 600.0,
    }
)


def decided(tiers, owed=None):
    about = {
        "currency": "EUR",
        "basis": "margin",
        "due_on": "2026-11-14",
        "revisit_on": "2027-02-13",
    }
    actions = pd.DataFrame(
        {
            "segment": ["important value"],
            "action": "reward",
            "n_customers": 100,
            "buyer_share": 0.4,
            "expected": 1.0,
            "low": 0.5,
            "high": 1.5,
            "holdout_n": 40.0,
            "holdout_share": 0.4,
            "detectable_lift": 0.1,
            "measure": "buyers",
        }
    )
    return segment_decisions(actions, tiers, owed, **about)


def test_new_thresholds_are_worth_what_the_set_leaves_beyond_todays():
    lines = decided(SCHEMES).query("action == 'set threshold'")
    assert lines["size"].tolist() == [170.0, 580.0]
    assert (
        lines.expected_effect.sum() == 60 + 150 - 40 - 160
    )  # once for the set, not the whole net of each tier
    assert lines.reason.str.startswith(
        ("43 members", "7 members")
    ).all()  # those the tier would have


def test_thresholds_that_leave_no_more_than_todays_on_unseen_customers_are_not_proposed():
    worse = SCHEMES.assign(net_checked=[np.nan, np.nan, 50.0, 150.0])
    assert proposed_tiers(worse).threshold.tolist() == [150.0, 400.0]
    assert "set threshold" not in set(decided(worse).action)
    unchecked = SCHEMES.assign(net_checked=np.nan, tier_net=[-40.0, -160.0, 62.0, 140.0])
    assert (proposed_tiers(unchecked).scheme == "today").all()


def test_the_evidence_of_a_decision_is_in_the_unit_of_its_metric():
    owed = pd.DataFrame(
        {
            "liability": [30.0],
            "liability_no_breakage": [100.0],
            "breakage_share": [0.7],
            "breakage_from": ["history"],
        }
    )
    rows = decided(SCHEMES, owed).set_index("action")
    assert rows.loc["set aside", "evidence_value"] == 30.0
    assert rows.loc["reward", "evidence_value"] == 0.4
    assert rows.loc["reward", "threshold"] == pytest.approx(
        0.44
    )  # the share from which a lift of a tenth is seen


def ledger_of(*rows):
    frame = pd.DataFrame(
        rows, columns=["customer_id", "changed_at", "points_delta", "reason", "expires_on"]
    )
    return frame.assign(
        changed_at=pd.to_datetime(frame.changed_at),
        expires_on=pd.to_datetime(frame.expires_on).dt.date,
    )


def test_points_liability_counts_what_is_left_and_takes_breakage_from_history():
    rows = ledger_of(
        ("ann", "2024-01-01", 100, "earn", "2025-01-01"),
        ("ann", "2024-06-01", -40, "spend", None),
        ("ann", "2025-01-02", -60, "expire", None),
        ("ann", "2025-12-01", 200, "earn", "2026-12-01"),
    )
    owed = points(rows, as_of=dt.date(2026, 1, 31), point_value=0.01).iloc[0]
    assert (owed.earned, owed.spent, owed.expired, owed.outstanding) == (300, 40, 60, 200)
    assert owed.breakage_share == pytest.approx(0.6) and owed.liability == pytest.approx(
        200 * 0.01 * 0.4
    )


def test_points_past_their_day_are_not_owed_even_without_a_booking():
    rows = ledger_of(
        ("ann", "2024-01-01", 100, "earn", "2025-01-01"), ("ann", "2024-06-01", -40, "spend", None)
    )
    assert points(rows, as_of=dt.date(2026, 1, 31), point_value=1.0).outstanding.iloc[0] == 0


def test_a_member_who_spent_points_never_earned_is_left_out_and_counted():
    rows = ledger_of(
        ("ann", "2024-01-01", -5, "spend", None), ("bob", "2024-01-01", 30, "earn", None)
    )
    owed = points(rows, as_of=dt.date(2026, 1, 31), point_value=1.0).iloc[0]
    assert (owed.outstanding, owed.spent, owed.n_members, owed.n_left_out) == (30, 0, 1, 1)
    nobody = points(rows[:1], as_of=dt.date(2026, 1, 31), point_value=1.0).iloc[0]
    assert (nobody.outstanding, nobody.n_members) == (0, 0)


def test_one_customer_all_one_time_buyers_and_two_weeks_still_get_labels():
    one = pd.DataFrame(
        {
            "customer_id": ["ann"],
            "day_on": pd.to_datetime(["2026-03-01"]),
            "orders": 1,
            "revenue": 10.0,
            "units": 1,
        }
    )
    result = rfm(one, as_of=AS_OF)
    assert len(result.customers) == 1 and "only 0 gaps" in result.caveat
    design = design_tiers(
        annual_amounts(one, as_of=AS_OF), benefit_costs="gold 5", uplift=0.1, as_of=AS_OF
    )
    assert len(design.table) == 0 and "eight weeks" in design.caveat
    assert len(segment_table(result)) == 1 and len(month_moves(one, result, as_of=AS_OF)) == 1
    assert cluster_segments(result)[0].n_clusters.iloc[0] == 1


def test_refunds_larger_than_purchases_leave_no_share_and_no_error():
    back = pd.DataFrame(
        {
            "customer_id": ["ann", "ann"],
            "day_on": pd.to_datetime(["2026-01-01", "2026-01-05"]),
            "orders": [1, 0],
            "revenue": [10.0, -30.0],
            "units": [1, 0],
        }
    )
    result = rfm(back, as_of=AS_OF)
    assert result.customers.amount.iloc[0] == -20 and len(lorenz(result.customers)) == 0
    assert segment_table(result).cm_share.isna().all()
    assert result.customers.segment.str.startswith(
        "general"
    ).all()  # nobody who costs money is an important customer
