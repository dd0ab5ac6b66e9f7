"""Chapter 04's thresholds and formulas, each by hand just below, at and above its edge."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from shops import days

from playbook.chapters.cohort_retention import cohorts, decisions
from playbook.methods.kaplan_meier import kaplan_meier

JANUARY = pd.Timestamp("2026-01-01")


def day(k):
    return (JANUARY + pd.Timedelta(days=k)).date()


def curve(at_risk, share=(0.0, 0.1, 0.2)):
    return pd.DataFrame(
        {
            "day": range(len(share)),
            "at_risk": at_risk,
            "share": share,
            "low": 0.0,
            "high": 1.0,
        }
    )


def cells(active, n=400, k=1, status="complete"):
    """One cohort a month at one age."""
    months = pd.period_range("2024-01", periods=len(active), freq="M").astype(str)
    frame = pd.DataFrame({"cohort": months, "k": k, "n": n, "active": active, "status": status})
    return frame.assign(share=frame.active / n, low=0.0, high=1.0, is_left_truncated=False)


@pytest.mark.parametrize(("at_risk", "is_read"), [(29, False), (30, True)])
def test_the_curve_is_read_where_thirty_are_still_followed(at_risk, is_read):
    assert np.isfinite(cohorts.trigger_day(curve(at_risk))["day"]) == is_read


@pytest.mark.parametrize(("share_by_day_1", "trigger"), [(0.099, 2), (0.1, 1)])
def test_the_trigger_is_the_day_of_half_of_the_returns(share_by_day_1, trigger):
    assert cohorts.trigger_day(curve(100, (0.0, share_by_day_1, 0.2)))["day"] == trigger


def test_those_who_come_back_within_180_days_count_as_coming_back():
    long = pd.DataFrame(
        {
            "day": [10, 180, 181],
            "at_risk": 100,
            "share": [0.1, 0.2, 0.4],
            "low": 0.0,
            "high": 1.0,
        }
    )
    trigger = cohorts.trigger_day(long)
    assert (
        trigger["eventual_share"],
        trigger["within_days"],
        trigger["day"],
    ) == (0.2, 180, 10)


def test_a_cohort_is_held_against_the_twelve_before_it():
    last = cohorts.same_age(cells([300] + [40] * 12 + [40])).iloc[-1]
    assert (last.reference_n, last.reference_share) == (4800, 0.1)
    assert cohorts.same_age(cells([300] + [40] * 11 + [40])).iloc[-1].reference_share > 0.1


@pytest.mark.parametrize(("active", "verdict"), [(25, "no difference shown"), (24, "worse")])
def test_a_cohort_is_worse_from_five_percent_on(active, verdict):
    # against 164 of 1,600: Holm's p of the four comparisons is .058 at 25 and .037 at 24
    found = cohorts.same_age(cells([41, 41, 41, 41, active]))
    assert found.verdict.iloc[-1] == verdict
    assert (found.p_adjusted.iloc[-1] < 0.05) == (verdict == "worse")


def test_any_false_alarm_counts_not_their_share():
    # two low cohorts: Holm's p of the second is .0585, a false-discovery rate would be .039
    second = cohorts.same_age(cells([41, 41, 41, 18, 21])).iloc[-1]
    assert second.verdict == "no difference shown"
    assert second.p_adjusted == pytest.approx(0.0585, abs=1e-4)


def baskets(n_tea, returned, wait):
    """`n_tea` customers who first bought tea, of whom some come back after `wait` days."""
    names = [f"c{k:03d}" for k in range(n_tea)]
    first = pd.DataFrame({"customer_id": names, "category": "tea", "first_on": day(0)})
    again = [(name, str(day(wait))) for name in names[:returned]]
    log = days(*[(name, str(day(0))) for name in names], *again)
    return first, log


@pytest.mark.parametrize(("wait", "returned"), [(90, 3), (91, 0)])
def test_a_second_order_counts_within_ninety_days(wait, returned):
    row = cohorts.first_basket(*baskets(40, 3, wait), as_of=day(200), by="category").iloc[0]
    assert (row.returned, row.window_days) == (returned, 90)


@pytest.mark.parametrize(("as_of", "n_waiting"), [(89, 40), (90, 0)])
def test_a_first_order_is_judged_when_its_window_is_over(as_of, n_waiting):
    row = cohorts.first_basket(*baskets(40, 3, 5), as_of=day(as_of), by="category").iloc[0]
    assert row.n_waiting == n_waiting


@pytest.mark.parametrize(("n", "verdict"), [(29, "too few"), (30, "no difference shown")])
def test_a_basket_of_thirty_customers_is_judged(n, verdict):
    row = cohorts.first_basket(*baskets(n, 3, 5), as_of=day(200), by="category").iloc[0]
    assert row.verdict == verdict


@pytest.mark.parametrize(("age", "is_due"), [(9, 0), (10, 1), (39, 1), (40, 0)])
def test_the_nudge_is_due_to_those_who_reach_the_day_within_thirty_days(age, is_due):
    first = pd.DataFrame({"customer_id": ["ann"], "first_on": [day(100 - age)]})
    log = days(("ann", str(day(100 - age))))
    assert cohorts.due_for_nudge(first, log, as_of=day(100), day=40) == is_due
    assert cohorts.due_for_nudge(first, log, as_of=day(100), day=np.nan) == 0
    people = cohorts.nudge_list(first, log, as_of=day(100), day=40)
    assert people.customer_id.tolist() == ["ann"][:is_due]
    assert cohorts.nudge_list(first, log, as_of=day(100), day=np.nan).empty


def test_half_of_those_due_for_a_nudge_are_held_out():
    ids = [f"c{i}" for i in range(1000)]
    first = pd.DataFrame({"customer_id": ids, "first_on": [day(80)] * 1000})
    log = days(*[(i, str(day(80))) for i in ids])
    arm = cohorts.nudge_list(first, log, as_of=day(100), day=40).arm
    assert arm.isin(["treat", "holdout"]).all() and abs((arm == "holdout").mean() - 0.5) < 0.04


def triangle(n_months, share_of):
    """Cohorts of 100 whose share active at age k is `share_of(birth, k)`."""
    rows = []
    for birth in range(n_months):
        for k in range(n_months - birth):
            active = 100 if k == 0 else round(100 * share_of(birth, k))
            rows.append((f"2024-{birth + 1:02d}", k, 100, active))
    frame = pd.DataFrame(rows, columns=["cohort", "k", "n", "active"])
    frame = frame.assign(share=frame.active / 100, low=0.0, high=1.0)
    return frame.assign(status="complete", is_left_truncated=False)


def test_the_pooled_curve_takes_the_six_newest_cohorts_of_each_age():
    # age 1 only: births 1 to 4 returned nobody, the six before the last month 60 % each
    shop = triangle(12, lambda birth, k: (0.6 if birth >= 4 else 0.0) if k == 1 else 0.0)
    past = cohorts.return_backtest(shop)
    last = past[(past.due_on == "2024-12-31")].set_index("model").point
    assert last["pooled"] == pytest.approx(60.0)
    before = past[past.due_on == "2024-11-30"].set_index("model").point
    assert before["pooled"] == pytest.approx(50.0)
    assert before["previous cohort"] == pytest.approx(60.0)


def test_the_first_three_months_are_not_forecast():
    past = cohorts.return_backtest(triangle(8, lambda birth, k: 0.5))
    assert past.due_on.min() == pd.Timestamp("2024-05-31")
    assert set(past.level.dropna()) <= {0.8} and set(past.horizon_days) == {30}


def test_an_age_nobody_has_lived_takes_the_oldest_one_that_was():
    shop = triangle(4, lambda birth, k: {1: 0.5, 2: 0.3, 3: 0.2}[k])
    ahead = cohorts.returning_next_month(shop, cohorts.return_backtest(shop)[:0]).iloc[0]
    assert ahead.naive == 20 + 30 + 50 and ahead.model == "last month"
    pooled = cohorts._month_forecasts(cohorts._with_months(shop), 2024 * 12 + 4)["pooled"]
    assert pooled == pytest.approx(20 + 20 + 30 + 50)


def test_the_evidence_is_the_error_over_what_came():
    past = pd.DataFrame(
        {
            "model": "m",
            "point": [8.0, 15.0],
            "actual": [10.0, 10.0],
            "is_covered": [True, None],
        }
    )
    row = cohorts.backtest_evidence(past).iloc[0]
    assert (row.wape, row.months, row.scored, row.covered_share) == (
        0.35,
        2,
        1,
        1.0,
    )


def decided(verdicts, trigger=40.0, n_due=7):
    same = cells([40] * len(verdicts)).assign(
        verdict=verdicts,
        difference=-0.05,
        difference_low=-0.08,
        difference_high=-0.02,
        reference_share=0.15,
    )
    baskets = pd.DataFrame(
        {"label": ["tea"], "customers": 50, "share": 0.3, "difference": 0.1}
    ).assign(verdict="returns more")
    found = {"day": trigger, "share_by_then": 0.2}
    about = {"due_on": "2026-11-14", "revisit_on": "2026-12-15"}
    return decisions.retention_decisions(same, found, baskets, n_due=n_due, **about)


def test_a_worse_cohort_among_the_newest_three_is_an_alarm_sized_in_customers():
    rows = decided(["worse", "better", "better", "better"]).set_index("action")
    assert "find the cause" not in rows.index and rows.loc["no alarm", "is_idle"]
    row = decided(["worse", "better", "better"]).set_index("action").loc["find the cause"]
    assert (row.expected_effect, row.effect_low, row.effect_high) == (
        20.0,
        8.0,
        32.0,
    )
    assert (row.subject, row.effect_kind) == (
        "cohort 2024-01",
        "customers_active",
    )


def test_the_nudge_names_its_day_and_the_basket_its_usual_share():
    rows = decided(["better"]).set_index("action")
    assert rows.loc["test nudge", "reason"].startswith("half of those who return do so by day 40;")
    assert rows.loc["test first-basket offer", "threshold"] == pytest.approx(0.2)
    assert "test nudge" not in set(decided(["better"], trigger=np.nan).action)
    assert "test nudge" not in set(decided(["better"], n_due=0).action), "nobody to nudge"


@pytest.mark.parametrize(
    ("as_of", "status"),
    [(dt.date(2026, 1, 30), "partial"), (dt.date(2026, 1, 31), "complete")],
)
def test_a_month_is_complete_on_its_last_day(as_of, status):
    assert cohorts.cohort_retention(days(("ann", "2026-01-02")), as_of=as_of).status[0] == status


def test_the_scorecard_shows_age_one():
    series = cohorts.retention_headline(triangle(4, lambda birth, k: 0.1 * k))
    assert set(series.amount) == {0.1} and series.month.tolist() == [
        "2024-02",
        "2024-03",
        "2024-04",
    ]


def test_the_curve_starts_with_what_seeing_nobody_return_allows():
    counts = pd.DataFrame({"day": [2], "events": [0], "censored": [100]})
    start = kaplan_meier(counts).iloc[0]
    assert (start.share, start.low) == (0.0, 0.0)
    assert start.high == pytest.approx(1 - 0.05 ** (1 / 100))
