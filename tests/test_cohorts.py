"""Chapter 04's claims: by hand on six rows, by rule on random logs, by the book on
Online Retail and CDNOW.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from shops import days

from playbook.chapters.cohort_retention.cohorts import (
    cohort_retention,
    due_for_nudge,
    first_basket,
    return_backtest,
    returning_next_month,
    returning_of_outlook,
    same_age,
    second_order,
    trigger_day,
)
from playbook.errors import PlaybookError
from playbook.methods.kaplan_meier import kaplan_meier
from playbook.tables import schema


def random_log(seed: int, customers: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start = dt.date(2026, 1, 1)
    rows = []
    for c in range(customers):
        day = int(rng.integers(0, 200))
        while day < 240:
            rows.append((f"c{c:04d}", (start + dt.timedelta(days=day)).isoformat()))
            day += int(rng.exponential(45)) + 1
    return days(*rows)


def test_a_month_nobody_could_have_reached_is_missing_not_zero():
    cells = cohort_retention(
        days(("ann", "2026-08-02"), ("cat", "2026-09-09")), as_of=dt.date(2026, 9, 30)
    )
    cells = cells.set_index(["cohort", "k"])
    assert cells.loc[("2026-08", 1), "share"] == 0.0
    assert cells.loc[("2026-08", 1), "status"] == "complete"
    assert cells.loc[("2026-09", 1), "status"] == "unobserved"
    assert cells.loc[("2026-09", 1), ["active", "share", "low", "high", "revenue"]].isna().all()


def test_a_month_still_running_is_partial():
    cells = cohort_retention(
        days(("ann", "2026-08-02"), ("ann", "2026-09-03")), as_of=dt.date(2026, 9, 10)
    )
    cell = cells.set_index(["cohort", "k"]).loc[("2026-08", 1)]
    assert (cell.active, cell.share, cell.status) == (1, 1.0, "partial")


def test_two_orders_in_a_month_are_one_active_customer():
    cells = cohort_retention(
        days(
            ("ann", "2026-08-02"),
            ("bob", "2026-08-20"),
            ("ann", "2026-09-03"),
            ("ann", "2026-09-28"),
        ),
        as_of=dt.date(2026, 9, 30),
    ).set_index(["cohort", "k"])
    assert cells.loc[("2026-08", 1), "active"] == 1
    assert cells.loc[("2026-08", 1), "n"] == 2
    assert cells.loc[("2026-08", 1), "revenue"] == 20.0


def test_a_day_with_refunds_only_moves_money_but_makes_nobody_active():
    log = pd.concat(
        [
            days(("ann", "2026-08-02")),
            days(("ann", "2026-09-05", 0)).assign(revenue=-10.0, margin=-10.0),
        ],
        ignore_index=True,
    )
    cell = (
        cohort_retention(log, as_of=dt.date(2026, 9, 30))
        .set_index(["cohort", "k"])
        .loc[("2026-08", 1)]
    )
    assert (cell.active, cell.revenue) == (0, -10.0)


def test_a_customer_with_refunds_only_belongs_to_no_cohort():
    log = days(("ann", "2026-08-02"), ("bob", "2026-08-03", 0))
    assert cohort_retention(log, as_of=dt.date(2026, 8, 31)).n.tolist() == [1]


def test_cohorts_before_the_edge_of_the_log_are_marked_and_others_are_not():
    cells = (
        cohort_retention(
            days(("ann", "2026-08-02"), ("bob", "2026-10-02")),
            as_of=dt.date(2026, 10, 31),
            truncated_before=dt.date(2026, 9, 15),
        )
        .drop_duplicates("cohort")
        .set_index("cohort")
    )
    assert cells.is_left_truncated.to_dict() == {"2026-08": True, "2026-10": False}


def test_a_log_without_known_customers_is_refused_with_what_to_do():
    with pytest.raises(PlaybookError, match="What to do"):
        cohort_retention(days(("ann", "2026-08-02", 0)), as_of=dt.date(2026, 8, 31))


@pytest.mark.parametrize("seed", range(5))
def test_cutting_twenty_days_keeps_every_complete_cell_and_zeroes_none(seed):
    log, full_day = random_log(seed), dt.date(2026, 8, 28)
    cut_day = full_day - dt.timedelta(days=20)
    full = cohort_retention(log, as_of=full_day).set_index(["cohort", "k"])
    cut = cohort_retention(log[log.day_on <= cut_day], as_of=cut_day).set_index(["cohort", "k"])
    still = cut[cut.status == "complete"].index
    assert len(still) > 10
    pd.testing.assert_frame_equal(cut.loc[still], full.loc[still])
    gone = cut[cut.status == "unobserved"]
    assert gone.active.isna().all()
    assert set(cut.status) <= {"complete", "partial", "unobserved"}


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_rows_give_the_same_table(seed):
    log = random_log(seed)
    shuffled = log.sample(frac=1, random_state=seed + 1)
    as_of = dt.date(2026, 8, 28)
    pd.testing.assert_frame_equal(
        cohort_retention(log, as_of=as_of), cohort_retention(shuffled, as_of=as_of)
    )
    pd.testing.assert_frame_equal(
        second_order(log, as_of=as_of), second_order(shuffled, as_of=as_of)
    )


def test_the_waiting_are_counted_as_waiting():
    """Two return on day 10, one waits since day 20, one since day 5: by day 10 the
    share is 2 of 3, not 2 of 4.
    """
    curve = kaplan_meier(
        pd.DataFrame({"day": [10, 20, 5], "events": [2, 0, 0], "censored": [0, 1, 1]})
    ).set_index("day")
    assert curve.at_risk[10] == 3
    assert curve.share[9] == 0.0
    assert curve.share[10] == pytest.approx(2 / 3)


def test_the_curve_agrees_with_the_textbook_remission_times():
    """6-MP arm of Freireich et al. (1963), as printed in Kalbfleisch and Prentice
    (2002): S(6) = .857, S(10) = .753, S(23) = .448.
    """
    times = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    seen = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    counts = pd.DataFrame({"day": times, "events": seen, "censored": [1 - s for s in seen]})
    curve = kaplan_meier(counts).set_index("day")
    assert [round(1 - curve.share[d], 3) for d in (6, 10, 23)] == [0.857, 0.753, 0.448]


def test_the_interval_of_the_curve_holds_as_often_as_it_says():
    rng, hits = np.random.default_rng(7), 0
    for _ in range(300):
        waits, followed = np.ceil(rng.exponential(50, 120)), rng.integers(20, 100, 120)
        day = np.minimum(waits, followed).astype(int)
        frame = pd.DataFrame(
            {"day": day, "events": waits <= followed, "censored": waits > followed}
        ).astype(int)
        at = kaplan_meier(frame).set_index("day").loc[40]
        hits += at.low <= 1 - np.exp(-40 / 50) <= at.high
    assert 0.92 <= hits / 300 <= 0.98


def test_a_second_order_on_the_same_day_is_one_visit():
    curve = second_order(
        days(("ann", "2026-08-01", 2), ("bob", "2026-08-01"), ("bob", "2026-08-11")),
        as_of=dt.date(2026, 8, 31),
    )
    assert curve.set_index("day").share[9] == 0.0
    assert curve.set_index("day").share[10] == pytest.approx(0.5)


def test_the_trigger_is_where_half_of_those_who_return_have_returned():
    curve = pd.DataFrame(
        {
            "day": range(5),
            "at_risk": 100,
            "share": [0, 0.05, 0.10, 0.19, 0.20],
            "low": 0.0,
            "high": 1.0,
        }
    )
    assert trigger_day(curve, within_days=4)["day"] == 2


def test_nobody_followed_long_enough_gives_no_trigger_day():
    curve = pd.DataFrame(
        {"day": [0, 1], "at_risk": [5, 4], "share": [0.0, 0.2], "low": 0.0, "high": 1.0}
    )
    assert np.isnan(trigger_day(curve)["day"])


def test_equal_cohorts_raise_an_alarm_in_at_most_five_percent_of_families():
    rng, alarms = np.random.default_rng(3), 0
    for _ in range(300):
        active = rng.binomial(400, 0.2, 12)
        cells = pd.DataFrame(
            {
                "cohort": [f"2026-{m:02d}" for m in range(1, 13)],
                "k": 1,
                "n": 400,
                "active": active,
                "share": active / 400,
                "low": 0.0,
                "high": 1.0,
                "status": "complete",
                "is_left_truncated": False,
            }
        )
        alarms += same_age(cells).verdict.isin(["worse", "better"]).any()
    assert alarms / 300 <= 0.07


def test_a_cohort_that_lost_a_third_is_called_worse():
    active = [90, 92, 88, 91, 60]
    cells = pd.DataFrame(
        {
            "cohort": [f"2026-{m:02d}" for m in range(1, 6)],
            "k": 1,
            "n": 400,
            "active": active,
            "share": [a / 400 for a in active],
            "low": 0.0,
            "high": 1.0,
            "status": "complete",
            "is_left_truncated": False,
        }
    )
    assert same_age(cells).verdict.iloc[-1] == "worse"


def test_only_first_orders_old_enough_are_judged_by_basket():
    first = pd.DataFrame(
        {
            "customer_id": ["ann", "bob", "cat"],
            "category": ["tea", "tea", "tea"],
            "first_on": [dt.date(2026, 1, 1), dt.date(2026, 1, 2), dt.date(2026, 5, 1)],
        }
    )
    log = days(
        ("ann", "2026-01-01"), ("ann", "2026-02-01"), ("bob", "2026-01-02"), ("cat", "2026-05-01")
    )
    row = first_basket(first, log, as_of=dt.date(2026, 5, 20), by="category", window_days=90).iloc[
        0
    ]
    assert (row.customers, row.returned, row.n_waiting, row.verdict) == (2, 1, 1, "too few")


def test_the_nudge_counts_one_time_buyers_who_reach_the_day_next_month():
    first = pd.DataFrame(
        {
            "customer_id": ["ann", "bob", "cat"],
            "first_on": [dt.date(2026, 5, 1), dt.date(2026, 5, 20), dt.date(2026, 5, 21)],
        }
    )
    log = days(
        ("ann", "2026-05-01"), ("bob", "2026-05-20"), ("cat", "2026-05-21"), ("cat", "2026-05-25")
    )
    assert (
        due_for_nudge(first, log, as_of=dt.date(2026, 5, 31), day=30) == 1
    )  # ann is past day 30, cat has come back


def test_the_forecast_of_a_month_uses_only_cells_before_it():
    log = random_log(1)
    full = cohort_retention(log, as_of=dt.date(2026, 8, 31))
    cut = cohort_retention(log[log.day_on <= dt.date(2026, 6, 30)], as_of=dt.date(2026, 6, 30))
    keep = ["due_on", "model", "point"]
    early = return_backtest(cut)[keep]
    late = return_backtest(full)[keep]
    late = late[late.due_on <= pd.Timestamp("2026-06-30")].reset_index(drop=True)
    pd.testing.assert_frame_equal(early, late)


def test_the_next_month_comes_from_the_model_with_the_smallest_past_error():
    cells = cohort_retention(random_log(2), as_of=dt.date(2026, 8, 28))
    past = return_backtest(cells)
    ahead = returning_next_month(cells, past).iloc[0]
    best = (past.point - past.actual).abs().groupby(past.model).mean().idxmin()
    assert ahead.model == best
    assert ahead.month == "2026-08"


def test_what_is_told_of_the_next_month_lies_in_its_own_interval():
    """Forecasts that were always 30 too low: the interval lies above the model's point."""
    ahead = pd.DataFrame([{"model": "last month", "point": 40.0, "low": 60.0, "mid": 70.0}])
    ahead = ahead.reindex(columns=schema("cohort_retention.returning").names)
    assert returning_of_outlook(ahead, None).point.tolist() == [70.0]
    assert returning_of_outlook(ahead.assign(mid=np.nan), None).point.tolist() == [40.0]
