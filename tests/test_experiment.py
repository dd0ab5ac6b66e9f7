"""Tests at the shop: dealt as planned or not read at all, read once, and never a wrong
winner.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.customer_journey.arms import arm_sums
from playbook.chapters.customer_journey.verdicts import read_tests
from playbook.errors import PlaybookError
from playbook.methods.experiment import (
    compare_means,
    peeking,
    sample_ratio_p,
    sample_size,
    smallest_lift,
)

on = dt.date.fromisoformat
END = on("2026-04-30")


def visitors(
    n_a=6000, n_b=6000, share=0.10, lift=0.0, days=21, seed=1, planned=0.5, before=False, test="t"
):
    rng = np.random.default_rng(seed)
    arm = np.repeat(["A", "B"], [n_a, n_b])
    n = n_a + n_b
    past = np.where(rng.random(n) < 0.5, rng.gamma(2, 20, n), 0).round(2)
    table = pd.DataFrame(
        {
            "test_id": test,
            "visitor_id": [f"v{k:06d}" for k in range(n)],
            "arm": arm,
            "assigned_at": pd.Timestamp("2026-03-01 09:00")
            + pd.to_timedelta(rng.integers(0, days, n), unit="D"),
            "is_converted": rng.random(n) < share * np.where(arm == "B", 1 + lift, 1),
            "planned_share": np.where(arm == "B", planned, 1 - planned),
            "is_control": arm == "A",
        }
    )
    table["amount"] = np.where(
        table["is_converted"], (30 + 0.8 * past + rng.normal(0, 5, n)).round(2).clip(0), 0.0
    )
    return table.assign(amount_before=past) if before else table


def sides(row, other):
    keys = {
        "n": "n_x",
        "mean": "mean_x",
        "var": "var_x",
        "mean_y": "mean_y",
        "var_y": "var_y",
        "cov_xy": "cov_xy",
    }
    return [{ours: float(r[theirs]) for ours, theirs in keys.items()} for r in (row, other)]


def read(table, as_of=END, **knobs):
    return read_tests(table, as_of=as_of, **({"outcome_days": 0} | knobs)).iloc[0]


# ---- the sums and what they give


@pytest.mark.parametrize("before", [False, True])
def test_results_equal_tea_tastings_on_the_rows(before):
    import tea_tasting as tt

    table = visitors(lift=0.1, before=before)
    metric = tt.Mean("amount", "amount_before") if before else tt.Mean("amount")
    theirs = tt.Experiment({"m": metric}, variant="arm").analyze(table, control="A")["m"]
    sums = arm_sums(table, as_of=END)
    ours = compare_means(*sides(sums.iloc[0], sums.iloc[1]))
    assert ours["is_adjusted"] == before
    for key, value in (
        ("control", theirs.control),
        ("treatment", theirs.treatment),
        ("difference", theirs.effect_size),
        ("lift", theirs.rel_effect_size),
        ("low", theirs.rel_effect_size_ci_lower),
        ("high", theirs.rel_effect_size_ci_upper),
        ("p", theirs.pvalue),
    ):
        assert ours[key] == pytest.approx(value, rel=1e-6, abs=1e-6), key


def test_the_whole_reading_equals_tea_tasting_to_a_millionth():
    import tea_tasting as tt

    table = visitors(lift=0.15, before=True)
    flags = table.assign(bought=table["is_converted"].astype(int))
    metrics = {
        "c": tt.Mean("bought"),
        "m": tt.Mean("amount", "amount_before"),
        "s": tt.SampleRatio(method="norm", correction=False),
    }
    theirs = tt.Experiment(metrics, variant="arm").analyze(flags, control="A")
    ours = read(table)
    pairs = [
        ("lift", theirs["c"].rel_effect_size),
        ("low", theirs["c"].rel_effect_size_ci_lower),
        ("p", theirs["c"].pvalue),
        ("high", theirs["c"].rel_effect_size_ci_upper),
        ("amount_lift", theirs["m"].rel_effect_size),
        ("amount_low", theirs["m"].rel_effect_size_ci_lower),
        ("amount_p", theirs["m"].pvalue),
        ("srm_p", theirs["s"].pvalue),
    ]
    for key, value in pairs:
        assert ours[key] == pytest.approx(value, rel=1e-6, abs=1e-6), key


def test_cuped_narrows_the_interval_and_keeps_the_middle():
    plain, adjusted = (
        read(visitors(n_a=20_000, n_b=20_000)),
        read(visitors(n_a=20_000, n_b=20_000, before=True)),
    )
    assert adjusted["is_adjusted"]
    assert not plain["is_adjusted"]
    assert (
        adjusted["amount_high"] - adjusted["amount_low"]
        < plain["amount_high"] - plain["amount_low"]
    )


def test_a_visitor_counts_once_and_in_one_arm_only():
    table = visitors(n_a=100, n_b=100)
    again = pd.concat([table, table.head(30)])  # exported twice
    mixed = pd.concat(
        [again, table.head(4).assign(arm="B", is_control=False)]
    )  # and four seen in both arms
    sums = arm_sums(mixed, as_of=END).set_index("arm")
    assert sums["n_assigned"].to_dict() == {"A": 96, "B": 100}
    assert sums["n_in_two_arms"].tolist() == [4, 4]


def test_row_order_changes_no_digit():
    table = visitors(before=True)
    pd.testing.assert_frame_equal(
        arm_sums(table, as_of=END),
        arm_sums(table.sample(frac=1, random_state=8), as_of=END),
        check_exact=True,
    )


def test_a_conversion_not_observed_is_no_failure():
    table = visitors(n_a=100, n_b=100, share=0.5).astype({"is_converted": "boolean"})
    table.loc[:19, "is_converted"] = pd.NA
    sums = arm_sums(table, as_of=END).set_index("arm")
    assert (sums.loc["A", "n_assigned"], sums.loc["A", "n"]) == (100, 80)


# ---- the order of reading


def test_a_true_lift_ships_and_a_true_harm_stops():
    assert read(visitors(20_000, 20_000, lift=0.2))["verdict"] == "ship"
    harm = read(visitors(20_000, 20_000, lift=-0.2))
    assert (harm["verdict"], harm["reason"]) == ("stop", "fewer visitors buy")


def test_a_split_that_is_not_the_planned_one_is_not_read():
    found = read(visitors(20_000, 21_000, lift=0.5))
    assert found["srm_p"] < 0.001
    assert (found["is_valid"], found["verdict"]) == (False, "stop")
    assert found[["lift", "low", "high", "p", "amount_lift"]].isna().all()
    assert "sample ratio" in found["reason"]


def test_unequal_arms_are_right_when_they_were_planned():
    found = read(visitors(18_000, 2_000, planned=0.1))
    assert found["is_valid"]
    assert found["srm_p"] > 0.5


def test_equal_arms_are_not_assumed():
    found = read(visitors(lift=0.5).assign(planned_share=np.nan))
    assert not found["is_valid"]
    assert found["verdict"] == "ask"
    assert "planned share" in found["reason"]


@pytest.mark.parametrize("gone", ["A", "B"])
def test_a_test_with_an_empty_arm_has_no_winner(gone):
    table = visitors()
    found = read(table[table["arm"] != gone], control={"t": "A" if gone == "B" else "B"})
    assert (found["is_valid"], found["verdict"], found["reason"]) == (
        False,
        "stop",
        "an arm is empty",
    )


def test_a_running_test_is_not_read_before_its_time_whatever_its_p():
    table = visitors(20_000, 20_000, lift=0.4, days=10)
    found = read(table, as_of=on("2026-03-10"))
    assert found["p"] < 1e-6
    assert (found["verdict"], found["reason"]) == ("keep running", "10 of 14 days")


def test_a_running_test_waits_for_its_planned_number():
    found = read(visitors(3_000, 3_000, lift=0.4), as_of=on("2026-03-21"))
    assert found["verdict"] == "keep running"
    assert "visitors per arm" in found["reason"]


def test_nobody_converted_names_no_winner():
    found = read(visitors(share=0.0))
    assert found["verdict"] == "keep running"
    assert np.isnan(found["lift"])


def test_more_buyers_who_bring_less_money_do_not_ship():
    table = visitors(20_000, 20_000, lift=0.2)
    table.loc[table["arm"] == "B", "amount"] *= 0.4
    found = read(table)
    assert found["low"] > 0
    assert (found["verdict"], found["reason"]) == (
        "stop",
        "more visitors buy, but each brings less money",
    )


def test_three_arms_share_the_alpha():
    a = visitors(8_000, 8_000, lift=0.1)
    c = (
        visitors(0, 8_000, seed=3)
        .assign(arm="C", is_control=False)
        .assign(visitor_id=lambda t: "c" + t["visitor_id"])
    )
    both = pd.concat([a, c]).assign(planned_share=1 / 3)
    alone, shared = read(a), read_tests(both, as_of=on("2026-04-30")).set_index("arm").loc["B"]
    assert shared["high"] - shared["low"] > alone["high"] - alone["low"]


def test_a_verdict_is_one_of_four_words():
    rng = np.random.default_rng(6)
    words = set()
    for seed in range(12):
        table = visitors(
            int(rng.integers(1, 3000)),
            int(rng.integers(1, 3000)),
            share=rng.choice([0, 0.001, 0.1, 1.0]),
            seed=seed,
        )
        words |= set(read_tests(table, as_of=on("2026-04-30"))["verdict"])
    assert words <= {"ship", "stop", "keep running", "ask"}


# ---- rates of error


def test_no_difference_is_called_one_time_in_twenty():
    # tests/proof/proof_experiments.py runs 20,000; the band here is three standard errors of 1,500.
    rng = np.random.default_rng(12)
    a, b = rng.binomial(5_000, 0.06, (2, 1_500))
    p = [
        compare_means(
            *({"n": 5_000, "mean": x / 5_000, "var": x * (5_000 - x) / 5_000 / 4_999} for x in pair)
        )["p"]
        for pair in zip(a, b, strict=True)
    ]
    assert abs(np.mean(np.array(p) < 0.05) - 0.05) < 0.017


def test_sample_ratio_agrees_with_scipy_and_never_assumes():
    from scipy.stats import chisquare

    assert sample_ratio_p([4900, 5100, 10_000], [0.25, 0.25, 0.5]) == pytest.approx(
        chisquare([4900, 5100, 10_000], [5000, 5000, 10_000]).pvalue
    )
    assert np.isnan(sample_ratio_p([10, 10], [0.5, np.nan]))
    assert np.isnan(sample_ratio_p([10], [1.0]))


def test_looking_every_day_finds_winners_where_there_are_none():
    found = peeking(0.05, 1_000, n_tests=4_000).set_index("day")
    assert abs(found.loc[28, "on_the_day"] - 0.05) < 0.012
    assert found.loc[28, "called"] > 0.2


# ---- planning


def test_sample_size_by_hand_and_by_rule_of_thumb():
    # (1.96 + .8416)^2 (.04 .96 + .05 .95) / .01^2 = 6,743; 16 p q / d^2 with the middle share = 6,876
    found = sample_size(0.04, 0.25, visitors_per_day=1_000).iloc[0]
    assert found["n_per_arm"] == 6_743
    assert found["n_per_arm"] == pytest.approx(16 * 0.045 * 0.955 / 0.01**2, rel=0.03)
    assert found["days"] == 14
    assert (
        sample_size(0.04, 0.25, visitors_per_day=500).iloc[0]["days"] == 28
    )  # 27 days, in whole weeks


def test_the_planned_number_has_the_planned_power():
    n = int(sample_size(0.05, 0.2)["n_per_arm"].iloc[0])
    rng = np.random.default_rng(5)
    a, b = rng.binomial(n, 0.05, 800), rng.binomial(n, 0.06, 800)
    p = [
        compare_means(*({"n": n, "mean": x / n, "var": x * (n - x) / n / (n - 1)} for x in pair))[
            "p"
        ]
        for pair in zip(a, b, strict=True)
    ]
    assert abs(np.mean(np.array(p) < 0.05) - 0.8) < 0.045


def test_the_smallest_lift_is_the_other_way_round():
    for lift in (0.05, 0.3):
        n = sample_size(0.07, lift)["n_per_arm"].iloc[0]
        assert smallest_lift(0.07, n) == pytest.approx(lift, rel=1e-3)
    assert smallest_lift(0.5, 3) == np.inf
    assert np.isnan(smallest_lift(0.0, 100))


@pytest.mark.parametrize(("share", "lift"), [(0.04, 0.0), (4.0, 0.1), (0.9, 0.2), (0.0, 0.1)])
def test_a_plan_that_cannot_be_is_refused(share, lift):
    with pytest.raises(PlaybookError, match="cannot be planned"):
        sample_size(share, lift)


def test_looking_every_day_by_the_always_valid_interval_finds_few():
    found = peeking(0.05, 1_000, n_tests=4_000).set_index("day")
    # 5 % at most over all days for ever; within four weeks far less
    assert found.loc[28, "always_valid"] <= 0.05
    assert found.loc[28, "always_valid"] < found.loc[28, "called"] / 4
