"""The forecaster: by hand on made-up series, by the book on the US Census e-commerce
series.
"""

import numpy as np
import pandas as pd
import pytest
from goal_brier import goal_brier

from playbook.errors import PlaybookError
from playbook.forecasting.series import chances, covered_share, forecast_series, reach
from playbook.methods.backtest import half_widths
from playbook.methods.season import season_index


def months(amounts, start="2020-01"):
    at = pd.period_range(start, periods=len(amounts), freq="M").start_time
    return pd.DataFrame({"period_on": at, "amount": amounts})


def days(amounts, start="2024-01-01"):
    return pd.DataFrame(
        {"period_on": pd.date_range(start, periods=len(amounts)), "amount": amounts}
    )


def seasonal(n, growth=1.01, noise=0.0, seed=1):
    at = np.arange(n)
    season = np.array([8, 8, 9, 9, 10, 10, 9, 9, 10, 11, 14, 13]) / 10
    return (
        1000
        * growth**at
        * season[at % 12]
        * np.exp(np.random.default_rng(seed).normal(0, noise, n))
    )


def test_a_target_out_of_this_world_is_never_reached_and_warns_nobody(recwarn):
    past = pd.Series([-0.1, 0.0, 0.1])
    assert chances(past, [-np.inf, 1e300, np.inf]).tolist() == [1.0, 0.0, 0.0]
    assert not len(recwarn)


def test_season_is_the_ratio_of_sums_to_the_moving_mean():
    index = season_index(np.tile([50.0, 100.0, 150.0, 100.0], 6), 4)
    assert index == pytest.approx([0.5, 1.0, 1.5, 1.0])


def test_one_season_cannot_be_told_from_the_trend():
    assert (season_index(np.array([50.0, 100.0, 150.0, 100.0, 50.0]), 4) == 1).all()


def test_a_clean_seasonal_growing_series_is_continued_closely_and_far_better_than_naive():
    amounts = seasonal(60)
    forecast = forecast_series(months(amounts[:48]), frequency="month", horizon=12)
    assert forecast.total["mid"].iloc[0] == pytest.approx(amounts[48:].sum(), rel=0.02)
    errors = forecast.backtest.set_index("model")["mae"]
    assert errors["chosen"] < errors["seasonal_naive"] / 3


def test_seasonal_naive_repeats_the_year_before_and_naive_the_last_month():
    amounts = np.arange(1.0, 37.0)
    periods = forecast_series(months(amounts), frequency="month", horizon=3).periods
    assert periods["seasonal_naive"].tolist() == [25, 26, 27]
    assert periods["naive"].tolist() == [36, 36, 36]
    assert periods["period_on"].dt.strftime("%Y-%m").tolist() == ["2023-01", "2023-02", "2023-03"]


def test_shuffled_rows_give_the_same_forecast():
    history = months(seasonal(40, noise=0.1))
    one = forecast_series(history, frequency="month", horizon=3)
    two = forecast_series(history.sample(frac=1, random_state=2), frequency="month", horizon=3)
    pd.testing.assert_frame_equal(one.origins, two.origins)
    pd.testing.assert_frame_equal(one.periods, two.periods)


@pytest.mark.parametrize("horizon", [1, 3])
def test_no_origin_knows_what_came_later(horizon):
    amounts = seasonal(60, noise=0.1)
    other = np.concatenate([amounts[:45], amounts[45:] * np.linspace(0.3, 4, 15)])
    columns = ["origin_on", "model", "point", "low", "high", "n_errors"]
    a, b = (
        forecast_series(months(x), frequency="month", horizon=horizon).origins[columns]
        for x in (amounts, other)
    )
    known = a["origin_on"] < pd.Timestamp("2023-10-01")  # 45 months are known at 2023-09
    assert known.sum() > 8
    pd.testing.assert_frame_equal(a[known], b[known])


def test_an_interval_counts_only_errors_whose_whole_horizon_is_over():
    origins = forecast_series(months(seasonal(60, noise=0.1)), frequency="month", horizon=6).origins
    assert (origins["n_errors"].to_numpy() == np.maximum(np.arange(len(origins)) - 5, 0)).all()
    assert origins.loc[origins["n_errors"] < 8, "low"].isna().all()


def test_adaptive_widths_cover_at_the_level_even_when_the_noise_doubles():
    errors = np.random.default_rng(5).normal(0, 1, 600) * np.repeat([1, 2], 300)
    halves = half_widths(errors, np.arange(600), level=0.8, overlap=1.0)
    covered = (np.abs(errors) <= halves)[8:]
    assert 0.77 < covered.mean() < 0.83
    assert 0.74 < covered[300:].mean() < 0.86


def test_widths_are_missing_below_eight_errors():
    halves = half_widths(np.ones(10), np.arange(10), level=0.8, overlap=1.0)
    assert np.isnan(halves[:8]).all() and (halves[8:] == 1).all()


def test_a_promotion_seen_before_lifts_the_forecast_and_its_absence_lowers_it():
    rng = np.random.default_rng(3)
    on_sale = (np.arange(430) % 45 < 4).astype(float)
    amounts = 1000 * (1 + 0.8 * on_sale) * np.exp(rng.normal(0, 0.05, 430))
    calendar = pd.DataFrame(
        {"period_on": pd.date_range("2024-01-01", periods=430), "promotion": on_sale}
    )
    forecast = forecast_series(days(amounts[:400]), frequency="day", horizon=30, calendar=calendar)
    assert forecast.effects["effect"].iloc[0] == pytest.approx(0.8, abs=0.08)
    blind = forecast_series(days(amounts[:400]), frequency="day", horizon=30)
    errors = [f.backtest.set_index("model").at["chosen", "mae"] for f in (forecast, blind)]
    assert errors[0] < errors[1] / 2
    mid = forecast.periods["mid"].to_numpy()
    assert mid[on_sale[400:] == 1].mean() > 1.6 * mid[on_sale[400:] == 0].mean()


def test_a_closed_weekday_is_forecast_as_closed_and_a_missing_day_is_not_a_zero():
    amounts = np.where(np.arange(140) % 7 == 5, 0.0, 700.0)
    closed = forecast_series(days(amounts), frequency="day", horizon=7)
    assert closed.periods["mid"].round(6).tolist() == [700, 700, 700, 700, 700, 0, 700]
    gaps = days(np.full(140, 700.0)).drop(index=range(5, 140, 7))
    open_ = forecast_series(gaps, frequency="day", horizon=7)
    assert open_.periods["mid"].tolist() == pytest.approx([700] * 7)
    assert any("not observed" in note for note in open_.notes)


def test_losses_are_forecast_on_the_scale_of_the_money():
    amounts = np.random.default_rng(4).normal(0, 100, 200)
    forecast = forecast_series(days(amounts), frequency="day", horizon=7)
    assert not forecast.is_log
    assert forecast.total["low"].iloc[0] < 0 < forecast.total["high"].iloc[0]


def test_what_was_never_negative_is_not_forecast_below_zero():
    amounts = np.maximum(np.linspace(300, -200, 40), 0)
    forecast = forecast_series(months(amounts), frequency="month", horizon=6)
    assert (forecast.periods[["low", "mid"]].fillna(0) >= 0).all(axis=None) and forecast.total[
        "low"
    ].iloc[0] >= 0


def test_less_than_one_season_is_named_and_still_forecast():
    forecast = forecast_series(months(np.linspace(100, 200, 9)), frequency="month", horizon=1)
    assert any("Less than one season" in note for note in forecast.notes)
    assert forecast.total["mid"].iloc[0] > 190
    assert np.isnan(forecast.total["seasonal_naive"].iloc[0])
    assert forecast.total["status"].iloc[0] == "not calibrated" and np.isnan(
        forecast.total["low"].iloc[0]
    )


def test_the_chance_falls_with_the_target_and_is_a_half_at_the_forecast():
    forecast = forecast_series(months(seasonal(60, noise=0.1)), frequency="month", horizon=3)
    mid = forecast.total["mid"].iloc[0]
    told = reach(forecast, [0.5 * mid, mid, 1.5 * mid])["p_reach"]
    assert told[1] == pytest.approx(0.5, abs=1e-9)
    assert told[0] > 0.95 and told[2] < 0.05
    shifted = reach(forecast, [mid + 500], already=500.0)["p_reach"]
    assert shifted[0] == pytest.approx(0.5, abs=1e-9)


def test_an_uncalibrated_forecast_states_no_chance():
    forecast = forecast_series(months(seasonal(9)), frequency="month", horizon=1)
    assert reach(forecast, [1000.0])["p_reach"].isna().all()


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (pd.concat([months([1.0] * 12), months([1.0])]), "More than one row"),
        (months([1.0, 2.0]), "too few"),
        (months([1.0] * 12).rename(columns={"amount": "revenue"}), "period_on and amount"),
    ],
)
def test_bad_histories_are_refused_by_name(history, words):
    with pytest.raises(PlaybookError, match=words):
        forecast_series(history, frequency="month", horizon=1)


def test_an_unknown_frequency_model_or_horizon_is_refused_by_name():
    for knobs, words in [
        ({"frequency": "year"}, "no frequency"),
        ({"models": ("oracle",)}, "No model"),
        ({"horizon": 0}, "horizon"),
    ]:
        with pytest.raises(PlaybookError, match=words):
            forecast_series(months(seasonal(24)), **({"frequency": "month", "horizon": 1} | knobs))


def test_census_year_ahead_error_coverage_and_brier(shared_data):
    raw = pd.read_csv(shared_data / "market-series" / "ECOMNSA.csv")
    history = raw.set_axis(["period_on", "amount"], axis=1)
    forecast = forecast_series(history, frequency="quarter", horizon=4)
    held = covered_share(forecast, since="2005-07-01").iloc[0]
    assert held["n"] == 55
    assert held["mape"] <= 0.031
    assert held["covered_share"] >= 0.78 and held["low"] < held["covered_share"] < held["high"]
    chances = goal_brier(forecast, since="2005-07-01").iloc[-1]
    assert chances["n"] == 55 * 5 and chances["brier"] <= 0.11 < chances["brier_climate"]
