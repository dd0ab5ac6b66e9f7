"""The lines chapter 05 draws: each constant and printed formula by hand, just below and
just above.
"""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest
from test_btyd import bg_customers

from playbook.chapters.channel_roi.combined import bends
from playbook.chapters.ltv_modelling import decisions, ltv, ltv_race, margin_curve
from playbook.measures.customer_windows import band_of, count_bands, spend_rows
from playbook.methods import btyd
from playbook.methods.btyd import fit_counts
from playbook.methods.btyd_models import Histories, log_likelihood
from playbook.methods.customer_models import (
    Candidates,
    _curve,
    _regressed,
    poisson_deviance,
)
from playbook.methods.shop_clock import CALENDAR, shop_clock
from playbook.methods.spend import fit_spend

AS_OF = dt.date(2026, 6, 30)


# --- fits ------------------------------------------------------------------------------
def customers(repeaters, others=60):
    """Repeaters who bought 1 to 6 more times and stopped at different ages."""
    k = np.arange(repeaters)
    some = pd.DataFrame({"x": k % 6 + 1, "t_x": 20 + 11 * (k % 13), "T": 200 + k % 90})
    none = pd.DataFrame({"x": 0, "t_x": 0, "T": 150 + np.arange(others) % 140})
    return pd.concat([some, none], ignore_index=True)


@pytest.mark.parametrize("repeaters, is_few", [(1, True), (9, True), (10, False)])
def test_under_ten_who_came_back_are_too_few(repeaters, is_few):
    fit = fit_counts(customers(repeaters), engine="own")
    assert ("came back" in fit.reason) == is_few
    assert not is_few or not fit.is_identified


@pytest.mark.parametrize("gain, is_shown", [(5.8, False), (6.2, True)])
def test_drop_out_is_shown_past_the_five_percent_point_of_chi_square(gain, is_shown):
    """The log-likelihood grows with the number of customers: weights set the ratio."""
    history = bg_customers(600, 3)
    full = fit_counts(history, engine="own").log_likelihood
    none = fit_counts(history, model="nbd", engine="own").log_likelihood
    weighed = history.assign(n=gain / (2 * (full - none)))
    assert ("likelihood ratio" in fit_counts(weighed, engine="own").reason) != is_shown


@pytest.mark.parametrize("short, engine", [(0.0092, "lifetimes"), (0.0108, "own")])
def test_an_optimum_is_found_to_a_hundredth_of_a_unit(monkeypatch, short, engine):
    history = bg_customers(600, 3)
    own = fit_counts(history, engine="own", week_cells=False)
    best = np.array(list(own.params.values()))
    x, t_x, age = (history[c].to_numpy(float) for c in ("x", "t_x", "T"))
    cells = Histories(x, t_x / 7, age / 7)

    def missing(shift):
        moved = best * [np.exp(shift), 1, 1, 1]
        return own.log_likelihood - log_likelihood("bg_nbd", moved, cells)[0].sum() - short

    low, high = 0.0, 1.0
    for _ in range(60):
        low, high = (
            ((low + high) / 2, high) if missing((low + high) / 2) < 0 else (low, (low + high) / 2)
        )
    point = best * [np.exp(low), 1, 1, 1]
    monkeypatch.setattr(btyd, "lifetimes_optimum", lambda fit, names: (point, ""))
    assert fit_counts(history, week_cells=False).engine == engine


def test_the_weak_prior_has_a_standard_deviation_of_three_on_the_logs():
    """Where it decides, the slope of the likelihood equals log p / 9."""
    history = pd.DataFrame({"x": [1] * 15 + [0] * 5, "t_x": [7] * 15 + [0] * 5, "T": 350})
    fit = fit_counts(history, model="nbd", engine="own")
    assert fit.engine == "own + prior"
    params = np.array(list(fit.params.values()))
    x, t_x, age = (history[c].to_numpy(float) for c in ("x", "t_x", "T"))
    slope = log_likelihood("nbd", params, Histories(x, t_x / 7, age / 7))[1].sum(axis=1)
    np.testing.assert_allclose(slope, np.log(params) / 9, rtol=1e-2, atol=1e-3)


# --- spend -----------------------------------------------------------------------------
def spenders(n, losers=0):
    rng = np.random.default_rng(1)
    mean = rng.gamma(4, 1, n) * rng.gamma(3, 4, n)
    mean[:losers] = -1.0
    return pd.DataFrame({"n": np.arange(n) % 5 + 1, "mean": mean})


@pytest.mark.parametrize("losers, model", [(8, "gamma_gamma"), (9, "credibility")])
def test_gamma_gamma_may_leave_out_two_customers_in_a_hundred(losers, model):
    assert fit_spend(spenders(400, losers), engine="own").model == model


@pytest.mark.parametrize("n, is_few", [(9, True), (10, False)])
def test_nine_spenders_teach_gamma_gamma_nothing(n, is_few):
    fit = fit_spend(spenders(n), model="gamma_gamma", engine="own")
    assert (fit.params is None) == is_few


def test_the_shops_mean_weighs_between_a_tenth_and_fifty_purchase_days():
    same = fit_spend(pd.DataFrame({"n": [1, 2] * 8, "mean": 5.0}), model="credibility")
    apart = fit_spend(pd.DataFrame({"n": 2, "mean": [1.0, 9.0] * 8}), model="credibility")
    assert (same.params["k"], apart.params["k"]) == (0.1, 50)


@pytest.mark.parametrize("repeaters, n", [(29, [2, 1]), (30, [1, 0])])
def test_from_thirty_repeaters_on_the_first_purchase_is_left_out_of_spend(repeaters, n):
    history = pd.DataFrame({"x": [1] * repeaters + [0], "mean": 5.0, "amount": 12.0})
    assert spend_rows(history)["n"].unique().tolist() == n


# --- shop time and candidates ----------------------------------------------------------
def log_of(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "back", "orders"]).assign(
        day_on=lambda t: pd.Timestamp(AS_OF) - pd.to_timedelta(t.back, "D"), money=10.0
    )


def histories(past, day):
    from playbook.measures.customer_windows import history_of

    return history_of(past.sort_values(["customer_id", "day_on"]), day)


@pytest.mark.parametrize("oldest, is_calendar", [(64 * 7 - 1, True), (64 * 7, False)])
def test_shop_time_begins_with_a_year_and_a_quarter_of_log(oldest, is_calendar):
    past = log_of(*[(k, oldest - 7 * k, 1) for k in range(20)], *[(k, 30, 1) for k in range(20)])
    origin = pd.Timestamp(AS_OF)
    assert (shop_clock(past, origin, histories(past, origin)) is CALENDAR) == is_calendar


def seasonal_log():
    rows = [(k, 720 - 2 * k, 1) for k in range(300)]
    rows += [(k, b, 1) for k in range(300) for b in range(720 - 2 * k - 40, 0, -53 - k % 17)]
    busy = [(k, b, 1) for k in range(0, 300, 2) for b in (280, 645) if b < 720 - 2 * k]
    return log_of(*rows, *busy).drop_duplicates(["customer_id", "day_on"])


def test_the_clock_of_a_fixed_log_keeps_its_credibility_memory_and_two_years():
    past, origin = seasonal_log(), pd.Timestamp(AS_OF)
    clock = shop_clock(past, origin, histories(past, origin))
    assert len(clock.future) == 2 * 52 * 7 + 1
    told = [clock.ahead(91), clock.past[91], clock.future[280]]
    np.testing.assert_allclose(told, CLOCK, rtol=1e-6)


CLOCK = [110.39852843776724, 83.93661419269498, 286.89244454689225]


def test_a_forecast_of_nothing_counts_as_a_thousandth_of_a_purchase():
    told = poisson_deviance(np.array([1.0]), np.array([0.0]))
    assert told == pytest.approx(2 * (np.log(1000) - 1 + 0.001))


def learnt(recent, *, older=0):
    """Sixty customers won a hundred days ago, some of whom bought in the last days."""
    rows = [(k, 100, 1) for k in range(60)]
    rows += [(k, 20, 1) for k in range(recent)] + [(k, 40, 1) for k in range(older)]
    past, origin = log_of(*rows), pd.Timestamp(AS_OF)
    return Candidates(histories, models=("features",)).predict(past, origin, (91,))[2]["features"]


@pytest.mark.parametrize("recent, reason", [(49, "only 49 purchases"), (50, "")])
def test_fifty_purchases_in_ended_windows_are_enough_to_learn_from(recent, reason):
    assert learnt(recent).startswith(reason) and bool(learnt(recent)) == bool(reason)


def test_a_window_to_learn_from_is_two_fifths_of_the_log_in_whole_weeks():
    """Of 100 days 35 (40 in whole weeks), so day 40 is outside; a second window, four
    weeks earlier, would leave only 37 of the 40 days of log it needs before it."""
    assert learnt(30, older=15).startswith("only 30 purchases")


@pytest.mark.parametrize("n, is_curve", [(29, False), (30, True)])
def test_an_age_counts_in_the_cohort_curve_from_thirty_customers(n, is_curve):
    rows = [(k, 60, 1) for k in range(n)] + [(k, 60 - 8 * (k % 6 + 1), 1) for k in range(n)]
    past, origin = log_of(*rows), pd.Timestamp(AS_OF)
    _, said, _ = Candidates(histories, models=("cohort_curve",)).predict(past, origin, (28,))
    assert said[28]["cohort_curve"].notna().all() == is_curve


# --- single customers' limits ----------------------------------------------------------
@pytest.mark.parametrize("n, is_known", [(99, False), (100, True)])
def test_limits_of_one_customer_need_a_hundred_before_them(n, is_known):
    days = pd.date_range("2026-01-01", periods=10, freq="14D")
    counts = np.full(10, n // 10)
    counts[0] += n % 10
    bands = pd.DataFrame(
        {"origin_on": days, "horizon_days": 28, "band": 3, "bought": 0, "n": counts}
    )
    low, _ = count_bands(bands, np.array([3]), as_of=dt.date(2026, 12, 31), level=0.8)
    assert np.isfinite(low[0]) == is_known


def test_sizes_of_forecast_are_pooled_in_twenty_four_steps_from_a_two_hundredth_to_twenty():
    assert band_of(np.array([0.0049, 0.0051, 0.0070, 0.0072, 19.9, 20.1])).tolist() == [
        0,
        1,
        1,
        2,
        24,
        25,
    ]


# --- the competition -------------------------------------------------------------------
def few(*back):
    days = [pd.Timestamp(AS_OF) - pd.Timedelta(days=b) for b in back]
    frame = pd.DataFrame({"customer_id": [f"c{k % 3}" for k in range(len(days))], "day_on": days})
    return frame.assign(orders=1, revenue=10.0, margin=4.0, units=1)


@pytest.mark.parametrize(
    "span, horizons",
    [
        (363, (28, 56, 91)),
        (364, (28, 56, 91, 182)),
        (899, (28, 56, 91, 182)),
        (900, (28, 56, 91, 182, 364)),
    ],
)
def test_longer_horizons_come_with_longer_logs(span, horizons, monkeypatch):
    monkeypatch.setattr(ltv_race, "MAX_ORIGINS", 1)
    assert ltv_race.backtest_ltv(few(span, 5, 3), as_of=AS_OF).horizons_days == horizons


def test_origins_are_a_fortnight_apart_eight_weeks_from_the_start_at_most_thirty_six(monkeypatch):
    asked = {}

    def origin_days(first, last, *, every_days):
        asked.update(first=first, every=every_days)
        return [last] * 50

    monkeypatch.setattr(ltv_race.rolling, "origin_days", origin_days)
    monkeypatch.setattr(
        ltv_race.rolling,
        "rolling_origin",
        lambda *a, origins, **k: asked.update(n=len(origins)) or pd.DataFrame(),
    )
    ltv_race.backtest_ltv(few(300, 5, 3), as_of=AS_OF)
    assert asked == {
        "first": pd.Timestamp(AS_OF) - pd.Timedelta(days=300 - 56),
        "every": 14,
        "n": 36,
    }


@pytest.mark.parametrize("n, judged, chosen", [(8_000, 8_000, 8_000), (9_500, 8_000, 9_000)])
def test_eight_thousand_are_judged_and_eighteen_thousand_tell_the_channels(n, judged, chosen):
    """Two channels share 18,000; the larger one tells its errors from 9,000."""
    people = pd.DataFrame({"customer_id": [f"c{k}" for k in range(n)], "channel": "large"})
    people.loc[0, "channel"] = "small"
    customers, is_judged = ltv_race._chosen(people)
    assert is_judged.sum() == judged
    assert (customers.channel == "large").sum() in (chosen, chosen - 1)


def backtest(**changed):
    days = pd.date_range("2025-06-01", periods=12, freq="14D")
    bands = pd.DataFrame({"origin_on": days, "horizon_days": 28, "model": "naive_rate"})
    bands = pd.concat([bands.assign(band=b, bought=1, n=50) for b in range(26)])
    facts = {
        "windows": pd.DataFrame(
            columns=["origin_on", "due_on", "model", "measure", "horizon_days", "kind", "subject"]
            + ["point", "actual", "unit"]
        ),
        "losses": pd.DataFrame(),
        "bands": bands,
        "verdict": pd.DataFrame({"is_naive": [False]}),
        "model": "naive_rate",
        "as_of": AS_OF,
        "basis": "margin",
        "horizons_days": (28,),
        "share": 1.0,
        "caveat": "",
    }
    return ltv_race.LtvBacktest(**facts | changed)


DAYS = few(*(731 - 2 * k for k in range(120)), *(200 - k for k in range(120)))


@pytest.mark.parametrize("days, is_known", [(34, True), (35, False), (22, True), (21, False)])
def test_a_horizon_within_a_week_lends_its_limits(days, is_known):
    customers = ltv_race.customer_forecast(DAYS, backtest(), days=days).customers
    assert customers["purchases_high"].notna().all() == is_known


# --- value, payback, caps --------------------------------------------------------------
def test_newly_won_means_within_twenty_four_months():
    """24 months of 30.4375 days are 730.5 days."""
    days = few(731, 730, 100)
    born = days.rename(columns={"day_on": "acquired_on"}).assign(
        channel="search", is_left_truncated=False
    )
    ahead = ltv_race.customer_forecast(days, backtest())
    assert ltv.ltv_table(days, born, ahead)["n_customers"].tolist() == [2]


def paid_back_after(days_later, spent=7.0):
    days = few(900, 900 - days_later).assign(customer_id="ann")
    born = pd.DataFrame(
        {"customer_id": ["ann"], "acquired_on": days.day_on.min(), "channel": "search"}
    ).assign(is_left_truncated=False)
    cost = pd.DataFrame({"day_on": days.day_on[:1], "channel": "search", "spend": spent})
    table = ltv.payback(days, born, cost, as_of=AS_OF)
    return table.set_index("cohort").loc["all", ["payback_months", "status"]].tolist()


@pytest.mark.parametrize("later, month", [(30, 1), (31, 2), (60, 2), (61, 3), (730, 24)])
def test_a_month_of_age_is_a_twelfth_of_a_year_and_payback_is_looked_for_twenty_four(later, month):
    assert paid_back_after(later) == [month, "paid back"]


@pytest.mark.parametrize("spent, status", [(8.0, "paid back"), (8.01, "not yet")])
def test_a_margin_that_equals_the_cost_has_paid_it_back(spent, status):
    assert paid_back_after(30, spent)[1] == status


def test_after_twenty_four_months_payback_is_not_yet():
    assert paid_back_after(731)[1] == "not yet"


def test_the_scorecards_value_is_that_of_three_months_with_its_95_percent_interval():
    rows = [("ann", 0, 10.0), ("bob", 0, 20.0), ("ann", 90, 6.0), ("bob", 92, 100.0)]
    start = pd.Timestamp("2024-01-01")
    days = pd.DataFrame(rows, columns=["customer_id", "age", "margin"])
    days = days.assign(day_on=start + pd.to_timedelta(days.age, "D"), orders=1, revenue=0.0)
    born = pd.DataFrame({"customer_id": ["ann", "bob"], "acquired_on": start}).assign(
        channel="search", is_left_truncated=False
    )
    row = ltv.ltv_headline(days, born, as_of=AS_OF, basis="margin").iloc[0]
    # 16 and 20 of margin: mean 18, standard deviation 2, standard error 2 / sqrt(2)
    assert row["amount"] == pytest.approx(18.0)
    assert row["high"] - row["amount"] == pytest.approx(1.96 * 2 / np.sqrt(2))


def test_the_scorecard_shows_twenty_five_months():
    start = pd.date_range("2023-01-01", periods=30, freq="MS")
    days = pd.DataFrame({"customer_id": [f"c{k}" for k in range(30)], "day_on": start})
    days = days.assign(margin=1.0, orders=1, revenue=1.0)
    born = days.rename(columns={"day_on": "acquired_on"}).assign(
        channel="search", is_left_truncated=False
    )
    assert len(ltv.ltv_headline(days, born, as_of=AS_OF, basis="margin")) == 25


def capped(low, ltv_, high, ncac, ratio=3.0, bend=None):
    value = pd.DataFrame({"channel": ["search"], "n_customers": 700, "basis": "margin"})
    value = value.assign(ltv=ltv_, low=low, high=high)
    paid = pd.DataFrame({"channel": ["search"], "cohort": "all", "ncac": ncac})
    paid = paid.assign(payback_months=4.0, status="paid back")
    return ltv.caps(value, paid, ratio=ratio, bend=bend)


def test_a_cap_is_a_third_of_the_value_and_headroom_what_lies_under_it():
    row = capped(24.0, 30.0, 36.0, 8.0).iloc[0]
    told = row[["cap", "cap_low", "ltv_cac", "headroom"]].tolist()
    assert told == [10.0, 8.0, 3.75, 2.0]
    value = pd.DataFrame({"channel": ["search"], "n_customers": 700, "basis": "margin"})
    paid = pd.DataFrame({"channel": ["search"], "cohort": "all", "ncac": [8.0]})
    paid = paid.assign(payback_months=4.0, status="paid back")
    assert ltv.caps(value.assign(ltv=30.0, low=24.0, high=36.0), paid)["cap"].tolist() == [10.0]
    assert capped(-3.0, 30.0, 36.0, 8.0)["cap_low"].tolist() == [0.0]


@pytest.mark.parametrize(
    "bend, next_ncac, headroom", [(1.5, 12.0, -2.0), (0.5, 4.0, 6.0), (np.nan, np.nan, 2.0)]
)
def test_a_cap_stands_against_the_next_customer_where_the_response_tells(bend, next_ncac, headroom):
    """By hand: the mean customer costs 8, the cap is 10; a bent curve makes the next one
    dearer than the cap, though the mean one is not.
    """
    cap = capped(24.0, 30.0, 36.0, 8.0, bend=pd.Series({"search": bend}))
    row = cap.iloc[0]
    np.testing.assert_allclose(
        [row["ncac"], row["next_ncac"], row["headroom"]], [8.0, next_ncac, headroom]
    )
    told = decisions.ltv_decisions(cap, NOBODY, backtest(), ratio=3.0, **ASKED).iloc[0]
    assert told.reason.startswith(f"{int(bend > 1)} of 1 channels")
    assert ("search 12.00 > 10.00" in told.reason) == (bend > 1)


def test_a_bend_is_average_over_marginal_return_where_the_response_is_identified():
    response = pd.DataFrame(
        {
            "channel": ["a", "b", "c"],
            "verdict": ["identified", "not identifiable", "identified"],
            "average_return": [3.0, 3.0, 3.0],
            "marginal_return": [2.0, 2.0, -1.0],
        }
    )
    assert bends(response).fillna(0).to_dict() == {"a": 1.5, "b": 0.0, "c": 0.0}


NOBODY = pd.DataFrame({"arm": [], "worth": []})
ASKED = {"currency": "EUR", "due_on": "2026-07-14", "revisit_on": "2026-09-29"}


@pytest.mark.parametrize(
    "ncac, n_over, confidence",
    [(10.0, 0, "high"), (9.9, 0, "low"), (10.1, 1, "high"), (8.0, 0, "low"), (7.9, 0, "high")],
)
def test_who_costs_more_than_the_cap_is_named_and_both_ends_agreeing_is_sure(
    ncac, n_over, confidence
):
    cap = capped(24.0, 30.0, 36.0, ncac)
    row = decisions.ltv_decisions(cap, NOBODY, backtest(), ratio=3.0, **ASKED).iloc[0]
    assert (row.action, row.confidence, row["size"]) == ("state the caps", confidence, 1)
    assert row.reason.startswith(f"{n_over} of 1 channels") and pd.isna(row.expected_effect)
    assert ("search 10.10 > 10.00" in row.reason) == (n_over == 1)


@pytest.mark.parametrize("n, is_capped", [(99, False), (100, True)])
def test_fewer_than_a_hundred_customers_give_no_cap(n, is_capped):
    value = pd.DataFrame({"channel": ["search"], "n_customers": n, "basis": "margin"})
    paid = pd.DataFrame({"channel": ["search"], "cohort": "all", "ncac": [8.0]})
    paid = paid.assign(payback_months=4.0, status="paid back")
    row = ltv.caps(value.assign(ltv=30.0, low=24.0, high=36.0), paid).iloc[0]
    assert pd.notna(row["cap"]) == is_capped and (row["status"] == "too few") != is_capped
    # not judged: neither what one costs nor when it has paid back
    assert row[["ncac", "ltv_cac", "payback_months", "headroom"]].notna().all() == is_capped
    assert row[["ncac", "ltv_cac", "payback_months", "headroom"]].isna().all() != is_capped


@pytest.mark.parametrize("n, status", [(29, "too few"), (30, "not yet")])
def test_fewer_than_thirty_new_customers_of_the_window_are_not_judged(n, status):
    born = pd.DataFrame({"customer_id": ["a"], "acquired_on": ["2026-01-05"], "channel": "search"})
    born = born.assign(acquired_on=pd.to_datetime(born["acquired_on"]), is_left_truncated=False)
    days = pd.DataFrame({"customer_id": ["a"], "day_on": born["acquired_on"], "margin": [5.0]})
    cost = pd.DataFrame({"day_on": born["acquired_on"], "channel": "search", "spend": [9.0]})
    recent = pd.DataFrame({"channel": ["search"], "spend": [10.0 * n], "ncac": [10.0]})
    table = ltv.payback(
        days,
        born,
        cost,
        as_of=AS_OF,
        recent=recent.assign(new_customers=n, caused_over_recorded=1.0),
    )
    row = table[table["cohort"] == "all"].iloc[0]
    assert row["status"] == status and row["ncac"] == 10.0 and row["spend"] == 10.0 * n


def test_the_list_of_the_best_is_what_is_at_stake_and_a_naive_champion_asks_for_the_baseline():
    top = pd.DataFrame({"arm": ["treat", "treat", "holdout"], "worth": [9.0, 6.0, 3.0]})
    naive = backtest(verdict=pd.DataFrame({"is_naive": [True]}))
    table = decisions.ltv_decisions(None, top, naive, ratio=3.0, **ASKED)
    best, data = table.itertuples(index=False)
    assert (best.size, best.expected_effect, best.evidence_value) == (2, 15.0, 6.0)
    assert best.effect_unit == "EUR margin at stake" and best.confidence == "medium"
    assert data.subject == "forecast of value" and data.reason.startswith("no model beats")
    sure = decisions.ltv_decisions(None, top, backtest(caveat="so"), ratio=3.0, **ASKED)
    assert sure.confidence.iloc[0] == "low" and sure.reason.iloc[1] == "so"


def test_one_in_fifty_is_on_the_list_and_about_one_in_ten_of_them_held_out():
    people = pd.DataFrame({"customer_id": [f"c{k}" for k in range(20_000)]})
    people = people.assign(worth=np.arange(20_000) + 1.0, channel="all", p_alive=1.0)
    people = people.assign(purchases=1.0, purchases_low=0, purchases_high=2)
    ahead = ltv_race.CustomerForecast(people, backtest(), 365, 0.8, {}, CALENDAR, None, None, "")
    top = ltv.vip(ahead)
    assert len(top) == 400 and top["worth"].min() == 19_601
    assert (top["arm"] == "holdout").sum() == HELD_OUT


def test_nobody_more_likely_gone_than_not_is_on_the_list():
    people = pd.DataFrame({"customer_id": list("abcd"), "worth": [9.0, 8.0, 7.0, 6.0]})
    people = people.assign(channel="all", p_alive=[0.0002, 0.499, 0.5, np.nan])
    people = people.assign(purchases=1.0, purchases_low=0, purchases_high=2)
    ahead = ltv_race.CustomerForecast(people, backtest(), 365, 0.8, {}, CALENDAR, None, None, "")
    assert list(ltv.vip(ahead, share=0.5).customer_id) == ["c", "d"]


HELD_OUT = 37  # the same ones every month, by the hash of their ids


def test_the_tempting_sum_by_hand():
    history = pd.DataFrame({"x": [1, 0], "T": [365.25, 0.0], "amount": [30.0, 15.0]})
    row = ltv.tempting_ltv(history).iloc[0].to_dict()
    assert row == {
        "average_order": 15.0,
        "orders_per_year": 2.0,
        "life_years": 3.0,
        "tempting_ltv": 90.0,
    }


def test_a_level_is_held_by_so_many_standard_errors():
    assert margin_curve.normal_width(0.8) == pytest.approx(1.2816, abs=1e-4)


def test_parameters_are_told_in_four_digits_without_an_exponent():
    told = [ltv._four_digits(value) for value in (11253.7, 0.83481, 10.0, 1e-7)]
    assert told == ["11250", "0.8348", "10", "0.0000001"]


def test_nobody_is_warned_of_a_regression_that_another_solver_ends():
    features = np.r_[np.zeros((50, 1)), np.full((1, 1), 1e6)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = _regressed(features, np.r_[np.zeros(50), 1e9])
        assert np.isfinite(model.predict(features[:1])).all()


def test_ages_nobody_was_seen_at_buy_no_more_than_those_seen():
    lived, counts = np.full(30, 500.0), np.zeros(30)
    counts[0], counts[10:18], use = 50, 40, np.arange(10, 30)
    rate = np.diff(_curve(counts, lived, use, 10))
    assert rate.max() <= 0.1 + 1e-12, "ages 1 to 9 were given by a power of age"
