"""Policy of the forecaster and its methods, by hand and at the edge: each constant and
each printed formula has a case that fails when it moves.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from scipy.stats import t as student

from playbook.forecasting import intervals
from playbook.forecasting.series import chances, covered_share, forecast_series
from playbook.methods import backtest, season
from playbook.methods.pacing import pacing


def gains(mean, n=8, spread=1.0):
    """Losses of (mix, trend) whose difference has this mean and alternates by `spread`."""
    gain = mean + spread * np.tile([1.0, -1.0], n)[:n]
    return np.column_stack([np.full(n, 10.0), 10.0 - gain])


@pytest.mark.parametrize(
    "mean, n, overlap, winner",
    [
        (0.40, 8, 1.0, "trend"),  # 0.40 * sqrt(7) = 1.06 standard errors
        (0.36, 8, 1.0, "mix"),  # 0.95 standard errors
        (0.80, 8, 4.0, "trend"),  # two windows side by side: 1.06 standard errors
        (0.72, 8, 4.0, "mix"),
        (9.00, 7, 1.0, "mix"),  # seven windows decide nothing
        (9.00, 8, 1.0, "trend"),
    ],
)
def test_money_leaves_the_mix_after_eight_windows_and_one_standard_error(mean, n, overlap, winner):
    losses = gains(mean, n)
    names = ("mix", "trend")
    assert backtest.champion(losses, names, backtest.MONEY, overlap=overlap) == winner


def test_money_starts_with_the_mix_then_the_level_then_the_first_that_can():
    none = np.empty((0, 3))
    names = ("naive", "level", "mix")
    for usable, first in (((1, 1, 1), "mix"), ((1, 1, 0), "level"), ((1, 0, 0), "naive")):
        usable = np.array(usable, bool)
        assert backtest.champion(none, names, backtest.MONEY, usable=usable) == first
    assert backtest.champion(none, names, backtest.MONEY, usable=np.zeros(3, bool)) is None


@pytest.mark.parametrize("loss, winner", [(9.05, "naive"), (8.95, "tsb")])
def test_goods_leave_the_naive_forecast_for_a_tenth_less_loss(loss, winner):
    losses = np.array([[10.0, loss]])
    assert backtest.champion(losses, ("naive", "tsb"), backtest.GOODS) == winner


@pytest.mark.parametrize("seed", range(5))
def test_goods_choose_by_the_sums_of_earlier_errors_at_every_origin(seed):
    names = ["moving average", "naive", "playbook", "tsb"]
    errors = pd.DataFrame(np.random.default_rng(seed).gamma(4.0, 1.0, (6, 4)), columns=names)
    before = errors.cumsum().shift()
    before["naive"] = (before["naive"] * 0.9).fillna(-1.0)
    chosen = backtest.champions(errors.to_numpy(), np.arange(6), names, backtest.GOODS)
    assert chosen == before.idxmin(axis=1).tolist() and chosen[0] == "naive"


@pytest.mark.parametrize("n_missing, winner", [(10, "clever"), (11, "naive")])
def test_customers_leave_out_a_model_missing_at_more_than_a_fifth_of_windows(n_missing, winner):
    rows = [
        {
            "model": model,
            "origin_on": pd.Timestamp("2026-01-01") + pd.Timedelta(days=14 * k),
            "horizon_days": 28,
            "loss": np.nan if model == "clever" and k < n_missing else loss,
        }
        for model, loss in (("naive", 2.0), ("clever", 1.0))
        for k in range(50)
    ]
    table = backtest.champion_table(pd.DataFrame(rows), naive=["naive"])
    assert table["model"].iloc[0] == winner


def test_each_miss_of_an_interval_asks_for_four_points_more():
    errors = np.r_[np.ones(8), 10.0 ** np.arange(1, 7)]
    halves = backtest.half_widths(errors, np.arange(15), level=0.8, overlap=1.0)
    # six misses: 0.8 + 6 * 0.05 * 0.8 = 1.04 of the widest error so far
    assert halves[14] == pytest.approx(1.04e6)


def past_of(n, error=0.1, last=None):
    """One subject forecast at 1, four weeks ahead every four weeks, always `error` off on
    the asinh scale (`last`: the newest ones instead).
    """
    errors = np.full(n, error)
    if last is not None:
        errors[-len(last) :] = last
    origins = pd.Timestamp("2020-01-01") + pd.to_timedelta(28 * np.arange(n), "D")
    rows = {"model": "m", "measure": "money", "horizon_days": 28, "kind": "total"}
    return pd.DataFrame(
        rows
        | {
            "origin_on": origins,
            "due_on": origins + pd.Timedelta(days=28),
            "subject": "all",
            "point": 1.0,
            "actual": np.sinh(np.arcsinh(1.0) + errors),
            "unit": 1.0,
        }
    )


def limits_of(past):
    now = past.tail(1).drop(columns=["origin_on", "due_on", "actual"])
    found = intervals.predictive_intervals(now, past, as_of="2040-01-01", levels=(0.8,)).iloc[0]
    return np.arcsinh(found[["low", "mid", "high"]].to_numpy(float)) - np.arcsinh(1.0)


def by_hand(errors, asked, own_quantile=False):
    """Centre and half width: half-life 13 origins, a claim worth 4 windows, Student's t
    (from 60 errors on also the errors' own size), noise 1 / (1 + 1) of a count of one.
    """
    n, noise = len(errors), 0.5
    age = 0.5 ** (np.arange(n)[::-1] / 13)
    alone = age.sum() ** 2 / (age**2).sum()
    believed = alone / (alone + 4)
    centre = np.average(errors, weights=age) * believed
    shared = max(np.average((errors - centre) ** 2 - noise, weights=age), 0.0)
    wider = (1 + believed**2 / alone) / (1 - believed * (2 - believed) / alone)
    times = student.ppf(0.5 + asked / 2, alone)
    if own_quantile:
        trust = min(1.0, (alone - 1) / 6)
        size = abs(errors[0] - centre) / np.sqrt(shared + noise)
        times = trust * size + (1 - trust) * times
    return centre, times * np.sqrt(shared * wider + noise)


@pytest.mark.parametrize(
    "n, error, asked, own_quantile",
    [
        (8, 0.1, 0.8, False),
        (8, 2.0, 0.8, False),
        (59, 0.1, 0.6, False),  # nothing outside for long: the least that is asked for
        (60, 0.1, 0.6, True),
    ],
)
def test_an_interval_of_the_customers_by_hand(n, error, asked, own_quantile):
    centre, half = by_hand(np.full(n, error), asked, own_quantile)
    expected = [centre - half, centre, centre + half]
    assert limits_of(past_of(n, error)) == pytest.approx(expected, rel=1e-6)


def test_seven_origins_are_not_enough_for_an_interval():
    assert np.isnan(limits_of(past_of(7))).all() and np.isfinite(limits_of(past_of(8))).all()


def test_an_origin_with_everything_outside_asks_for_eight_points_more():
    past = past_of(9, 0.1, last=[4.0])
    centre, half = by_hand(np.r_[np.full(8, 0.1), 4.0], asked=0.8 + 0.1 * 0.8)
    assert limits_of(past) == pytest.approx([centre - half, centre, centre + half], rel=1e-6)


def test_a_count_of_nearly_nothing_has_the_noise_of_a_twentieth():
    past = past_of(8).assign(point=1e-4, actual=1e-4)
    low, _, high = limits_of(past) + np.arcsinh(1.0)
    half = student.ppf(0.9, alone_of(8)) * np.sqrt(0.05 / (1 + 0.05**2))
    assert (high - low) / 2 == pytest.approx(half, rel=1e-3)


def alone_of(n):
    age = 0.5 ** (np.arange(n)[::-1] / 13)
    return age.sum() ** 2 / (age**2).sum()


def test_the_chance_is_smoothed_by_silvermans_width():
    errors, bar = pd.Series([1.0, -1.0] * 4), 0.7
    width = 1.06 * 8**-0.2
    by_formula = (ndtr((1 - bar) / width) + ndtr((-1 - bar) / width)) / 2
    assert chances(errors, np.array([bar]))[0] == pytest.approx(by_formula)


def test_the_interval_of_the_coverage_is_a_95_percent_one():
    hit = pd.array([True, False] * 200, dtype="boolean")
    origins = pd.DataFrame({"is_covered": hit, "point": 1.0, "actual": 1.0})
    forecast = SimpleNamespace(origins=origins, periods=[0], step=1, level=0.8)
    held = covered_share(forecast, n_resamples=20_000).iloc[0]
    assert held["low"] == pytest.approx(0.5 - 1.96 * 0.025, abs=0.0013)
    assert held["high"] == pytest.approx(0.5 + 1.96 * 0.025, abs=0.0013)
    assert held["verdict"] == "too narrow"
    wide = SimpleNamespace(origins=origins, periods=[0], step=1, level=0.3)
    assert covered_share(wide)["verdict"].iloc[0] == "too wide"


@pytest.mark.parametrize("n, first", [(28, 9), (29, 15), (48, 15), (49, 24)])
def test_the_first_origin_leaves_a_dozen_or_two_behind_it(n, first):
    months = pd.period_range("2020-01", periods=n, freq="M")
    history = pd.DataFrame({"period_on": months.start_time, "amount": 100.0 + np.arange(n) % 5})
    origins = forecast_series(history, frequency="month", horizon=1).origins
    assert origins["origin_on"].iloc[0] == months[first - 1].start_time


@pytest.mark.parametrize("n, first", [(300, 61), (100, 36)])
def test_days_without_a_year_start_after_eight_weeks_or_a_third_of_them(n, first):
    days = pd.date_range("2024-01-01", periods=n)
    history = pd.DataFrame({"period_on": days, "amount": 100.0 + np.arange(n) % 5})
    origins = forecast_series(history, frequency="day", horizon=1).origins
    assert origins["origin_on"].iloc[0] == days[first - 1]
    assert (origins["origin_on"].diff().dropna() == pd.Timedelta(days=7)).all()


def test_three_observed_periods_are_the_least():
    three = pd.DataFrame({"period_on": pd.date_range("2024-01-01", periods=3), "amount": 1.0})
    assert len(forecast_series(three, frequency="day", horizon=1).periods) == 1


def test_the_season_rests_on_the_last_five():
    older, newer = [80.0, 120.0], [60.0, 140.0]
    amounts = np.array(older * 3 + newer * 5)
    middle = np.r_[np.nan, (amounts[:-2] + 2 * amounts[1:-1] + amounts[2:]) / 4, np.nan]
    use = np.isfinite(middle) & (np.arange(16) >= 6)
    ratio = [
        amounts[use & (np.arange(16) % 2 == k)].sum() / middle[use & (np.arange(16) % 2 == k)].sum()
        for k in (0, 1)
    ]
    assert season.season_index(amounts, 2) == pytest.approx(np.array(ratio) / np.mean(ratio))


def test_an_effect_seen_once_keeps_a_third_of_its_size():
    amounts, promotion = np.full(140, 100.0), np.zeros((140, 1))
    amounts[70], promotion[70] = 160.0, 1.0
    effects = season.clean_series(amounts, promotion, promotion[:1], week=7, year=364).effects
    assert effects[0] == pytest.approx(0.6 / 3, abs=0.008)


@pytest.mark.parametrize("index, counts", [(0.019, False), (0.021, True)])
def test_a_period_under_two_percent_of_the_level_is_closed(index, counts):
    amounts = np.r_[np.full(9, 100.0), 100.0]
    cleaned = season.Cleaned(amounts, np.r_[np.ones(9), index], np.ones(1), np.ones(1), None)
    assert (season.level_path(cleaned, 12)[0] > 101) == counts


def test_growth_and_trend_are_means_of_four_corners():
    year, corners = 8, [(0.25, 0.9), (0.25, 1.0), (0.75, 0.9), (0.75, 1.0)]
    amounts = np.array([10.0, 11, 10, 12, 11, 13, 12, 12, 14, 13, 15, 16, 14, 18, 17, 20])
    age = np.arange(8)[::-1]
    paths, trends = [], []
    whole_age = np.arange(16)[::-1]
    for memory, damping in corners:
        weight = (1 - 2 / (max(memory * year, 1) + 1)) ** age
        ratio = (weight * amounts[8:]).sum() / (weight * amounts[:8]).sum()
        paths.append(amounts[8] * ratio**damping)
        weight = (1 - 2 / (max(memory * year, 2) + 1)) ** whole_age
        slope, level = np.polyfit(-whole_age, amounts, 1, w=np.sqrt(weight))
        trends.append(level + slope * damping ** (1 / year))
    assert season.growth_path(amounts, year, 1)[0] == pytest.approx(np.mean(paths))
    cleaned = season.Cleaned(amounts, np.ones(16), np.ones(1), np.ones(1), None)
    assert season.trend_path(cleaned, year)[0] == pytest.approx(np.mean(trends))
    weight = (1 - 2 / (20 / 4 + 1)) ** whole_age
    assert season.level_path(cleaned, 20)[0] == pytest.approx(np.average(amounts, weights=weight))


def test_a_shop_closed_for_years_keeps_the_level_it_had():
    amounts = np.r_[np.full(20, 100.0), np.zeros(3000)]
    index = np.r_[np.ones(20), np.zeros(3000)]
    cleaned = season.Cleaned(amounts, index, np.ones(2), np.ones(2), None)
    assert season.level_path(cleaned, 12) == pytest.approx([100.0, 100.0])
    assert season.trend_path(cleaned, 12) == pytest.approx([100.0, 100.0])


def test_growth_needs_five_quarters():
    assert season.growth_path(np.arange(1.0, 15.0), 12, 1) is None
    assert season.growth_path(np.arange(1.0, 16.0), 12, 1) is not None


def steady(months, last="2026-10-16"):
    first = pd.Period("2026-10", "M") - months
    days = pd.date_range(first.start_time, last)
    late = np.where((days.day > 20) & (days.month % 2 == 0), 300.0, 100.0)
    return pd.DataFrame({"period_on": days, "amount": late})


@pytest.mark.parametrize("months, is_bounded", [(2, False), (3, True)])
def test_pacing_is_bounded_from_three_whole_months_on(months, is_bounded):
    paced = pacing(steady(months), as_of=pd.Timestamp("2026-10-16"), target=1000.0)
    assert paced["low"].notna().all() == is_bounded


def test_a_month_whose_first_days_never_sell_has_no_pace_on_them_and_warns_nobody():
    days = steady(14).assign(amount=lambda t: t.amount.where(t.period_on.dt.day > 5, 0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paced = pacing(days, as_of=pd.Timestamp("2026-10-16"), target=1000.0)
    assert paced.low[:4].isna().all() and paced.low[10:].notna().all()


def test_pacing_is_bounded_by_nine_in_ten_of_the_last_twelve_months():
    def courses(months):
        daily = steady(months)
        past = daily[daily["period_on"] < "2026-10-01"].set_index("period_on")["amount"]
        week = past.groupby(past.index.day_of_week).mean()
        week = week / week.mean()
        at = np.arange(1, 32) / 31
        rows = []
        for _, part in past.groupby(past.index.to_period("M")):
            flat = week.reindex(part.index.day_of_week).to_numpy().cumsum()
            course = (part.cumsum() / part.sum()).to_numpy() / (flat / flat[-1])
            rows.append(np.interp(at, np.arange(1, len(part) + 1) / len(part), course))
        return np.array(rows)

    drift = courses(12)
    paced = pacing(steady(14), as_of=pd.Timestamp("2026-10-16"), target=1000.0)
    low, high = np.quantile(drift / drift.mean(axis=0), [0.05, 0.95], axis=0)
    assert paced["low"].to_numpy() == pytest.approx(low)
    assert paced["high"].to_numpy() == pytest.approx(high)
