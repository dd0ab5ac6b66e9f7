"""Shop time: busy weeks count for more, a quiet season is not customers lost; what
cannot be told is the calendar.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.measures.customer_windows import history_of
from playbook.methods.customer_models import Candidates
from playbook.methods.shop_clock import CALENDAR, Clock, shop_clock

START = pd.Timestamp("2023-01-01")


def purchases(days, busy, n=3000, seed=0):
    """`n` customers won evenly over the log who buy at 1 in 150 times `busy(day)`, and
    stop after a tenth of them.
    """
    rng, day = np.random.default_rng(seed), np.arange(days)
    won = rng.integers(0, days - 40, n)[:, None]
    bought = (day > won) & (rng.random((n, days)) < busy(day) / 150)
    quit_on = np.where(bought & (rng.random((n, days)) < 0.1), day, days).min(axis=1)[:, None]
    who, when = np.nonzero((day == won) | bought & (day <= quit_on))
    return pd.DataFrame(
        {
            "customer_id": who,
            "day_on": START + pd.to_timedelta(when, "D"),
            "orders": 1,
            "money": 10.0,
        }
    )


def winter(day):
    """Three times as busy in the last quarter of a year of 52 weeks."""
    return np.where(day % 364 // 91 == 3, 2.0, 2 / 3)


def until(log, day):
    return log[log.day_on <= START + pd.Timedelta(days=day)], START + pd.Timedelta(days=day)


def test_a_shop_without_season_keeps_the_calendars_time():
    past, origin = until(purchases(800, lambda day: np.ones(len(day))), 800)
    clock = shop_clock(past, origin, history_of(past, origin))
    assert clock.ahead(364) == pytest.approx(364, rel=0.05) and clock.ahead(91) == pytest.approx(
        91, rel=0.08
    )


@pytest.mark.parametrize("days", [371, 420, 440])
def test_where_the_log_begins_among_old_customers_its_first_weeks_are_no_season(days):
    """Customers who never change: some buy every week, most a few times a year."""
    rng = np.random.default_rng(days)
    rate = rng.gamma(0.4, 1 / 30, 4000)[:, None]
    who, when = np.nonzero(rng.random((4000, days)) < rate)
    ids = np.unique(who, return_inverse=True)[1]
    log = pd.DataFrame({"customer_id": ids, "day_on": START + pd.to_timedelta(when, "D")})
    past, origin = until(log.assign(orders=1, money=10.0), days)
    clock = shop_clock(past, origin, history_of(past, origin))
    assert clock.ahead(28) == pytest.approx(28, rel=0.2)
    assert clock.ahead(182) == pytest.approx(182, rel=0.1)


def test_weeks_three_times_as_busy_run_three_times_as_fast():
    past, origin = until(purchases(1000, winter), 728 + 273)
    clock = shop_clock(past, origin, history_of(past, origin))
    assert clock.ahead(91) / (clock.ahead(182) - clock.ahead(91)) == pytest.approx(3, rel=0.15)


def test_a_history_in_shop_time_is_still_a_history():
    past, origin = until(purchases(1000, winter), 900)
    table = history_of(past, origin)
    told = shop_clock(past, origin, table).history(table)
    assert (told.t_x[table.x == 0] == 0).all() and (told.t_x <= told["T"]).all()
    order = np.argsort(table["T"].to_numpy(), kind="stable")
    assert (np.diff(told["T"].to_numpy()[order]) >= 0).all()


def test_beyond_its_ends_a_day_is_a_day_and_the_first_year_is_the_calendars():
    table = pd.DataFrame({"t_x": [0.0, 5.0], "T": [3.0, 30.0]})
    pd.testing.assert_frame_equal(CALENDAR.history(table), table)
    assert Clock(np.array([0.0, 2.0]), np.array([0.0, 3.0])).ahead(
        np.array([0.5, 4.0])
    ).tolist() == [1.5, 6.0]
    past, origin = until(purchases(300, winter), 300)
    assert shop_clock(past, origin, history_of(past, origin)) is CALENDAR


def test_after_the_busy_quarter_shop_time_forecasts_the_quiet_one_better_than_calendar_time():
    log = purchases(1092, winter, seed=3)
    past, origin = until(log, 728)
    table, said, _ = Candidates(history_of, models=("bg_nbd", "seasonal")).predict(
        past, origin, (91,)
    )
    after = log[(log.day_on > origin) & (log.day_on <= origin + pd.Timedelta(days=91))]
    came = after.customer_id.isin(table.customer_id).sum()
    off = {model: abs(said[91][model].sum() / came - 1) for model in ("bg_nbd", "seasonal")}
    assert off["seasonal"] < 0.12 and off["seasonal"] < off["bg_nbd"] / 4


def test_shuffled_rows_change_no_digit_of_the_clock():
    past, origin = until(purchases(800, winter), 760)
    one, two = (
        shop_clock(t, origin, history_of(past, origin))
        for t in (past, past.sample(frac=1, random_state=1))
    )
    assert (one.past == two.past).all() and (one.future == two.future).all()
