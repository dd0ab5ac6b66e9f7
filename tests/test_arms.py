"""Several arms and their control: stated and never guessed, read together, and one ships."""

import datetime as dt
import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.customer_journey.arms import arm_sums
from playbook.chapters.customer_journey.controls import control_arm, names_a_control
from playbook.chapters.customer_journey.decisions import (
    journey_decisions,
    open_questions,
    with_most,
)
from playbook.chapters.customer_journey.verdicts import read_tests
from playbook.errors import PlaybookError
from playbook.methods.always_valid import TIGHTEST_AT, always_valid_lift, always_valid_widening
from playbook.methods.experiment import compare_ratios
from playbook.methods.several_arms import adjusted_p, single_alpha

END = dt.date(2026, 4, 30)


def mailing(sizes, amount=10.0, **more):
    """One row per visitor: arm -> (visitors, buyers), all mailed on the first of March."""
    parts = [
        pd.DataFrame(
            {
                "arm": arm,
                "visitor_id": [f"{arm}{k}" for k in range(n)],
                "is_converted": np.arange(n) < bought,
            }
        )
        for arm, (n, bought) in sizes.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    table["amount"] = np.where(table.is_converted, amount, 0.0)
    return table.assign(
        test_id="mail",
        assigned_at=pd.Timestamp("2026-03-01"),
        planned_share=1 / len(sizes),
        **more,
    )


def read(table, as_of=END, **knobs):
    return read_tests(table, as_of=as_of, **knobs).set_index("arm")


# ---- which arm changes nothing


@pytest.mark.parametrize(
    "name",
    [
        *("Control", "CONTROL group", "control-group", "A (control)", "holdout 10 %", "No E-Mail"),
        *("对照组", "对照组 50%", "Kontrollgruppe", "Témoin", "groupe temoin", "Grupo de control"),
        *("control sin correo", "Control - no banner", "контрольная группа", "対照群", "대조군"),
    ],
)
def test_a_listed_name_is_a_control_whatever_its_case_accents_and_fillers(name):
    assert names_a_control(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "A",
            "B",
            "control + banner",
            "not control",
            "uncontrolled",
            "Control tower",
            "control 2",
        ),
        *(
            "no delivery fee",
            "10% off",
            "no mail, but sms",
            "实验组",
            "Mens E-Mail",
            "Control/Test",
        ),
        *("treatment (no discount)", "off", "original price"),
    ],
)
def test_a_name_that_could_be_a_change_is_no_control(name):
    assert not names_a_control(name)


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ({"control": False, "new": True}, "new"),
        ({"control": None, "new": None}, "control"),
        ({"control": True, "new": True}, ""),
        ({"control": False, "new": False}, ""),
        ({"holdout": None, "control": None}, ""),
    ],
)
def test_the_column_is_believed_before_the_name_and_a_contradiction_is_not(marked, expected):
    table = pd.DataFrame({"test_id": "t", "arm": list(marked), "is_contradicted": False})
    table["is_control"] = pd.array(list(marked.values()), dtype="boolean")
    assert control_arm(table) == expected
    assert control_arm(table.assign(is_contradicted=[False, True])) == ""


def test_the_setting_is_believed_first_and_must_name_an_arm():
    table = mailing({"A": (1_000, 90), "control": (1_000, 60)})
    assert read(table, control={"mail": "A"}).control.tolist() == ["A"]
    assert read(table, control={"other": "A"}).control.tolist() == ["control"]
    assert read(table, control="A").control.tolist() == ["A"]
    with pytest.raises(PlaybookError, match="has no arm 'Z'"):
        read(table, control={"mail": "Z"})


def test_arms_nobody_names_are_asked_about_and_nothing_is_decided():
    found = read(mailing({"A": (5_000, 500), "B": (5_000, 800)}))
    assert found.verdict.tolist() == ["ask", "ask"]
    assert found.control.tolist() == ["", ""]
    assert found[["lift", "low", "p", "control_share"]].isna().all(axis=None)
    tests = found.reset_index()
    assert journey_decisions(pd.DataFrame(), tests, margin_per_order=5.0).empty
    asked = open_questions(tests)
    assert asked.needs.tolist() == ["experiments.is_control"]
    assert "A, B" in asked.reason[0]


def test_rows_of_one_arm_that_contradict_each_other_state_nothing():
    table = mailing({"A": (100, 9), "B": (100, 9)})
    table["is_control"] = table.visitor_id.isin(["A1", "A2"])
    sums = arm_sums(table, as_of=END).set_index("arm")
    assert sums.is_contradicted.to_dict() == {"A": True, "B": False}


# ---- outcomes have a window


def test_a_visitor_whose_window_is_open_is_not_observed():
    table = mailing({"control": (100, 50), "new": (100, 50)}, outcome_days=14.0)
    table.loc[table.visitor_id.str.endswith("7"), "assigned_at"] = pd.Timestamp("2026-03-05 23:00")
    sums = arm_sums(table, as_of=dt.date(2026, 3, 18)).set_index("arm")
    assert sums.loc["new", ["n_assigned", "n", "converted"]].tolist() == [100, 90, 45]
    assert arm_sums(table, as_of=dt.date(2026, 3, 19)).n.tolist() == [100, 100]


def test_the_window_a_test_states_counts_before_the_one_given():
    table = mailing({"control": (4_000, 200), "new": (4_000, 300)}, outcome_days=3.0)
    early = read(table, as_of=dt.date(2026, 3, 3), outcome_days=30)
    assert early.reason.tolist() == ["outcomes are in on 2026-03-04"]
    assert read(table, as_of=dt.date(2026, 3, 4), outcome_days=30).verdict.tolist() == ["ship"]


# ---- several arms


def test_dunnetts_table_is_met():
    """Dunnett (1955) and (1964): two-sided 5 %, infinite degrees, equal arms: 1.96, 2.21, 2.35."""
    for arms, bound in ((1, 1.96), (2, 2.21), (3, 2.35)):
        alpha = single_alpha(1.0, [1.0] * arms)
        assert -NormalDist().inv_cdf(alpha / 2) == pytest.approx(bound, abs=0.005)


def test_the_adjusted_p_and_the_alpha_of_one_comparison_say_the_same():
    alpha = single_alpha(0.4, [1.0, 0.5, 2.0])
    found = adjusted_p([alpha, alpha / 2, np.nan], 0.4, [1.0, 0.5, 2.0])
    assert found[0] == pytest.approx(0.05, abs=1e-6)
    assert found[1] < 0.05
    assert np.isnan(found[2])


def test_a_control_without_spread_leaves_independent_comparisons():
    found = adjusted_p([0.01, 0.01], 0.0, [1.0, 1.0])
    assert found[0] == pytest.approx(1 - 0.99**2, abs=1e-6)


def test_of_two_arms_that_win_one_ships_and_is_held_against_the_other():
    sizes = {"control": (20_000, 1_000), "x": (20_000, 1_400), "y": (20_000, 1_900)}
    found = read(mailing(sizes))
    assert found.verdict.to_dict() == {"x": "stop", "y": "ship"}
    assert found.loc["y", "rival"] == "x"
    assert found.loc["y", "rival_lift"] == pytest.approx(1_900 / 1_400 - 1)
    assert "more than with x" in found.loc["y", "reason"]
    near = read(mailing(sizes | {"x": (20_000, 1_895)}))
    assert near.verdict.to_dict() == {"x": "stop", "y": "ship"}
    assert "not told apart from x" in near.loc["y", "reason"]


def test_what_ships_is_valued_on_those_who_would_get_it():
    """.05 more orders a visitor, 8,000 mailed once: 400 orders of 7 margin each."""
    found = read(mailing({"control": (4_000, 200), "new": (4_000, 400)})).reset_index()
    row = journey_decisions(pd.DataFrame(), found, margin_per_order=7.0).iloc[0]
    assert row.expected_effect == pytest.approx(2_800)
    assert row.effect_period == "once"
    steady = found.assign(n_dealt_days=15)
    row = journey_decisions(pd.DataFrame(), steady, margin_per_order=7.0).iloc[0]
    assert row.expected_effect == pytest.approx(2_800 * 365.25 / 12 / 15)
    assert row.effect_period == "month"


def test_what_ships_brings_no_more_a_month_than_the_month_without_it_lost():
    found = read(mailing({"control": (4_000, 200), "new": (4_000, 400)})).reset_index()
    found = found.assign(n_dealt_days=15)
    lost = {"kind": "test_ended", "subject": found.test_id[0], "month": "2026-10"}
    happened = pd.DataFrame([lost | {"amount": 1_000.0, "n_days": 31}])
    bounded = with_most(found, happened, as_of="2026-10-31")
    row = journey_decisions(pd.DataFrame(), bounded, margin_per_order=7.0).iloc[0]
    assert row.expected_effect == pytest.approx(1_000 * 365.25 / 12 / 31)
    assert row.effect_low / row.expected_effect == pytest.approx(found.low[0] / found.lift[0])
    row = journey_decisions(pd.DataFrame(), bounded, margin_per_order=0.0).iloc[0]
    assert row.expected_effect == 0, "an order that brings nothing"
    free = with_most(found, happened.assign(month="2026-08"), as_of="2026-10-31")
    row = journey_decisions(pd.DataFrame(), free, margin_per_order=7.0).iloc[0]
    assert row.expected_effect == pytest.approx(2_800 * 365.25 / 12 / 15)


@pytest.mark.parametrize(("n_needed", "confidence"), [(4_000, "high"), (4_001, "medium")])
def test_a_gain_read_of_fewer_than_planned_for_is_not_sure(n_needed, confidence):
    found = read(mailing({"control": (4_000, 200), "new": (4_000, 400)})).reset_index()
    found = found.assign(n_needed=n_needed)
    row = journey_decisions(pd.DataFrame(), found, margin_per_order=7.0).iloc[0]
    assert row.confidence == confidence


@pytest.mark.parametrize(("days", "period"), [(13, "once"), (14, "month")])
def test_a_test_dealt_for_two_weeks_is_worth_it_every_month(days, period):
    found = read(mailing({"control": (4_000, 200), "new": (4_000, 400)})).reset_index()
    found = found.assign(n_dealt_days=days)
    row = journey_decisions(pd.DataFrame(), found, margin_per_order=7.0).iloc[0]
    assert row.effect_period == period


# ---- looking every day


def test_the_always_valid_interval_is_wider_and_tightest_where_it_was_meant_to_be():
    """At 10,000 an arm and 5 %: sqrt((1 + s) log((1 + s) / (s .0025))) with s = 1 / 7.937."""
    spare = 1 / (2 * math.log(20) + math.log(1 + 2 * math.log(20)))
    by_hand = math.sqrt((1 + spare) * math.log((1 + spare) / (spare * 0.0025)))
    assert always_valid_widening(TIGHTEST_AT) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(3.036, abs=0.01)
    assert TIGHTEST_AT == 10_000
    assert always_valid_widening(0) == math.inf
    relative = [always_valid_widening(n) for n in (100, 10_000, 1_000_000)]
    assert relative[1] < relative[0]
    assert relative[1] < relative[2]


def test_the_always_valid_interval_of_no_mean_is_missing():
    some = {"n": 100, "mean": 0.1, "var": 0.09}
    assert np.isnan(always_valid_lift(some | {"mean": 0.0}, some)).all()
    low, high = always_valid_lift(some, some)
    assert low < 0 < high


# ---- ratios and large amounts


def test_amount_per_buyer_agrees_with_tea_tasting():
    import tea_tasting as tt

    rng = np.random.default_rng(701)
    table = mailing({"control": (3_000, 300), "new": (3_000, 360)})
    table["amount"] = np.where(table.is_converted, rng.lognormal(3, 1, len(table)).round(2), 0)
    flags = table.assign(bought=table.is_converted.astype(int))
    metric = tt.RatioOfMeans("amount", "bought", use_t=False)
    theirs = tt.Experiment({"basket": metric}, variant="arm").analyze(flags, control="control")
    ours = read(table).iloc[0]
    assert ours.basket_lift == pytest.approx(theirs["basket"].rel_effect_size, rel=1e-9)
    assert ours.basket_low == pytest.approx(theirs["basket"].rel_effect_size_ci_lower, rel=1e-6)
    assert ours.basket_high == pytest.approx(theirs["basket"].rel_effect_size_ci_upper, rel=1e-6)


def test_a_ratio_without_buyers_is_missing():
    arm = {"n": 50, "mean": 1.0, "var": 1.0, "mean_d": 0.1, "var_d": 0.09, "cov": 0.1}
    nobody = arm | {"mean": 0.0, "mean_d": 0.0}
    assert math.isnan(compare_ratios(nobody, arm)["lift"])


def test_the_largest_amounts_are_cut_for_all_arms_alike_and_it_is_said():
    table = mailing({"control": (1_000, 500), "new": (1_000, 500)})
    whale = table.visitor_id == "new0"
    table.loc[whale, "amount"] = 100_000.0
    plain, cut = read(table).iloc[0], read(table, cap_quantile=0.99).iloc[0]
    assert plain.amount_lift > 10
    assert plain.n_capped == 0
    assert np.isnan(plain.amount_cap)
    assert (cut.amount_cap, cut.n_capped) == (10.0, 1)
    assert cut.amount_lift == pytest.approx(0.0)
