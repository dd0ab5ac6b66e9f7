"""Known customers bring no more than their shop: by hand, and on made forecasts."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.ltv_modelling.ltv_race import CustomerForecast, _at_most
from playbook.chapters.ltv_modelling.within import most_ahead, within_the_shop
from playbook.methods.shop_clock import CALENDAR
from playbook.outlook.forecast import Outlook

LAST = dt.date(2026, 10, 31)


def ahead(n_months=12, daily=10.0):
    """An outlook of so much a day, and half as much again at the upper end."""
    months = pd.period_range("2026-11", periods=n_months, freq="M")
    amounts = daily * months.days_in_month.to_numpy()
    rows = pd.DataFrame({"metric": "net_revenue", "level": "shop", "horizon": "month"}, months)
    rows = rows.assign(month=months.astype(str), mid=amounts, high=1.5 * amounts, step=1)
    return Outlook(rows.reset_index(drop=True), pd.DataFrame(), 0.8)


@pytest.mark.parametrize("as_of", [LAST, dt.date(2026, 11, 15)])
def test_a_horizon_is_the_months_it_holds_each_by_its_days(as_of):
    told = most_ahead(ahead(), "net_revenue", as_of=as_of, horizons=(28, 56, 91))
    assert told == {28: (280.0, 420.0), 56: (560.0, 840.0), 91: (910.0, 1365.0)}


def test_what_the_outlook_does_not_reach_is_not_told():
    asked = {"as_of": LAST, "horizons": (28, 91, 365)}
    assert set(most_ahead(ahead(2), "net_revenue", **asked)) == {28}
    assert most_ahead(ahead(), "cm", **asked) == {}
    assert set(most_ahead(ahead(12), "net_revenue", **asked)) == {28, 91, 365}


def forecast(worth, soon):
    people = pd.DataFrame({"customer_id": ["a", "b"], "worth": worth})
    return CustomerForecast(people, None, 365, 0.8, soon, CALENDAR, None, None, "")


def test_where_the_models_say_more_than_the_shop_every_customer_is_lowered_alike():
    told = within_the_shop(
        forecast([3000.0, 1000.0], {28: 700.0, 56: 400.0}),
        {28: (280.0, np.nan), 56: (560.0, np.nan), 365: (2000.0, np.nan)},
    )
    assert told.customers.worth.tolist() == [1500.0, 500.0]
    assert told.soon == pytest.approx({28: 280.0, 56: 400.0})
    assert "4,000" in told.caveat and "2,000" in told.caveat


def test_where_they_say_less_nothing_moves_and_nothing_is_said():
    most = {28: (280.0, 300.0), 365: (5000.0, np.nan)}
    told = within_the_shop(forecast([3000.0, 1000.0], {28: 200.0}), most)
    assert told.customers.worth.tolist() == [3000.0, 1000.0]
    assert (told.soon, told.caveat, told.most) == ({28: 200.0}, "", most)
    nothing = within_the_shop(forecast([3.0, 1.0], {28: 200.0}), {28: (-5.0, np.nan)})
    assert nothing.soon == {28: 200.0}, "a shop that loses money caps nobody"


def test_a_total_moved_by_past_errors_ends_within_the_shop_too():
    rows = pd.DataFrame({"kind": ["total", "channel"], "low": 9.0, "mid": 12.0, "high": 20.0})
    told = _at_most(rows, 8.0, 15.0)
    assert told[["low", "mid", "high"]].values.tolist() == [[8.0, 8.0, 15.0], [9.0, 12.0, 20.0]]
    assert _at_most(rows, 8.0, np.nan).high.tolist() == [20.0, 20.0]
    assert _at_most(rows).equals(rows)
