"""Rolling origins that cannot leak, champions that are chosen fairly, intervals
calibrated on realised errors only.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.forecasting import intervals as evidence
from playbook.measures import customer_windows
from playbook.methods import backtest as rolling
from playbook.methods.proportions import wilson


def log_of(n=120, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "day_on": pd.date_range("2026-01-01", periods=n),
            "amount": rng.poisson(20, n).astype(float),
        }
    )


def compare(forecast, future, horizon):
    return pd.DataFrame(
        {
            "model": ["mean"],
            "measure": "purchases",
            "kind": "total",
            "subject": "all",
            "point": forecast * horizon,
            "actual": future.amount.sum(),
            "unit": 1.0,
        }
    )


def backtest(log, every=7, horizons=(14,)):
    origins = rolling.origin_days("2026-01-15", log.day_on.max(), every_days=every)
    return rolling.rolling_origin(
        log,
        lambda past, _: past.amount.mean(),
        compare,
        origins=origins,
        horizons_days=horizons,
        as_of=log.day_on.max(),
    )


def test_a_model_never_sees_a_row_after_its_origin():
    seen = []

    def spy(past, origin):
        seen.append((past.day_on.max(), origin))
        return past.amount.mean()

    log = log_of()
    rolling.rolling_origin(
        log,
        spy,
        compare,
        origins=["2026-02-01", "2026-03-01"],
        horizons_days=[14],
        as_of=log.day_on.max(),
    )
    assert seen and all(last <= origin for last, origin in seen)


def test_a_window_that_has_not_ended_is_left_out_not_zero():
    table = backtest(log_of())
    assert (table.due_on <= pd.Timestamp("2026-04-30")).all() and (table.actual > 0).all()


def test_changing_the_future_changes_no_interval_made_before_it():
    log = log_of()
    later = log.assign(amount=np.where(log.day_on > "2026-04-01", 900.0, log.amount))
    one, two = (evidence.score_intervals(backtest(t)) for t in (log, later))
    early = one.origin_on <= pd.Timestamp("2026-04-01")
    pd.testing.assert_frame_equal(one.loc[early, ["low", "high"]], two.loc[early, ["low", "high"]])


def test_fewer_than_eight_realised_errors_is_not_yet_calibrated_and_not_scored():
    scored = evidence.score_intervals(backtest(log_of()))
    few = scored.n_errors < 8
    assert (scored.loc[few, "status"] == evidence.NOT_YET).all() and scored.loc[
        few, "low"
    ].isna().all()
    assert (
        scored.loc[few, "is_covered"].isna().all() and scored.loc[~few, "is_covered"].notna().all()
    )


def test_intervals_of_an_honest_forecast_cover_about_their_level():
    tables = [evidence.score_intervals(backtest(log_of(500, seed), every=14)) for seed in range(12)]
    share = evidence.coverage(pd.concat(tables)).set_index("level").covered_share
    assert 0.72 <= share[0.8] <= 0.92 and 0.9 <= share[0.95] <= 1.0


def test_how_often_intervals_held_is_as_sure_as_windows_lie_side_by_side():
    """Eleven origins a fortnight apart of 28 days are worth 1 + 10 / 2 = 6 windows, of 56
    days 3.5: half of 22 inside is 3 of 6, and .80 is within what that tells.
    """
    origin = pd.date_range("2026-01-01", periods=11, freq="14D")
    parts = [
        pd.DataFrame({"origin_on": origin, "horizon_days": days, "is_covered": inside})
        for days, inside in ((28, [True, False] * 5 + [True]), (56, [False, True] * 5 + [False]))
    ]
    scored = pd.concat(parts).assign(level=0.8, low=0.0, high=1.0, point=1.0, status="complete")
    row = evidence.coverage(scored.astype({"is_covered": "boolean"})).iloc[0]
    assert row.covered_share == 0.5
    low, high = wilson(3.0, 6.0)
    assert (row.covered_low, row.covered_high) == pytest.approx((float(low), float(high)))
    nobody = evidence.coverage(scored.assign(is_covered=pd.NA, status=evidence.NOT_YET)).iloc[0]
    assert np.isnan([nobody.covered_share, nobody.covered_low, nobody.covered_high]).all()


def test_shuffled_rows_change_nothing():
    log = log_of()
    one, two = (
        evidence.score_intervals(backtest(t)) for t in (log, log.sample(frac=1, random_state=3))
    )
    pd.testing.assert_frame_equal(one, two)


def losses(**models):
    rows = [
        {
            "model": m,
            "origin_on": pd.Timestamp("2026-01-01") + pd.Timedelta(days=14 * k),
            "horizon_days": 28,
            "loss": v,
        }
        for m, values in models.items()
        for k, v in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_the_model_with_the_smallest_loss_wins_and_ties_go_by_name():
    table = rolling.champion_table(
        losses(naive=[2.0, 2.0], b=[1.0, 1.0], a=[1.0, 1.0]), naive=["naive"]
    )
    assert table.model.iloc[0] == "a" and table.over_naive_share.iloc[0] == pytest.approx(-0.5)


def test_a_model_that_cannot_forecast_today_is_not_champion():
    table = rolling.champion_table(
        losses(naive=[2.0, 2.0, 2.0], clever=[0.1, 0.1, np.nan]), naive=["naive"]
    )
    assert table.model.iloc[0] == "naive"
    assert table.set_index("model").status["clever"] == "could not forecast at every origin"


def test_no_window_yet_means_no_champion():
    assert len(rolling.champion_table(losses(a=[np.nan]), naive=["a"])) == 0


def test_refunds_larger_than_purchases_do_not_break_an_interval():
    rows = backtest(log_of()).assign(measure="money", actual=lambda t: -t.actual / 50)
    scored = evidence.score_intervals(rows)
    assert np.isfinite(scored.loc[scored.status == "complete", ["low", "high"]].to_numpy()).all()


def test_one_subjects_limits_are_what_its_like_did_before():
    bands = pd.DataFrame(
        [
            {
                "origin_on": pd.Timestamp("2026-01-01") + pd.Timedelta(days=14 * k),
                "horizon_days": 14,
                "band": 3,
                "bought": b,
                "n": n,
            }
            for k in range(8)
            for b, n in ((0, 85), (1, 10), (2, 5))
        ]
    )
    low, high = customer_windows.count_bands(bands, np.array([3, 4]), as_of="2026-05-01", level=0.8)
    assert (low[0], high[0]) == (0, 1) and np.isnan(low[1])
    early, _ = customer_windows.count_bands(bands, np.array([3]), as_of="2026-03-01", level=0.8)
    assert np.isnan(early[0])


def two_channels(gap, n=40, seed=0):
    """Errors of two equal channels, one always `gap` above its forecast, at four weeks
    and at a year; fortnightly.
    """
    rng, rows = np.random.default_rng(seed), []
    for horizon, last in ((28, n), (364, n - 26)):
        for k in range(last):
            origin = pd.Timestamp("2024-01-01") + pd.Timedelta(days=14 * k)
            for subject, by in (("a", gap), ("b", 0.0)):
                rows.append(
                    {
                        "origin_on": origin,
                        "due_on": origin + pd.Timedelta(days=horizon),
                        "model": "m",
                        "measure": "money",
                        "horizon_days": horizon,
                        "kind": "channel",
                        "subject": subject,
                        "point": 1000.0,
                        "actual": rng.poisson(1000 * np.exp(by)),
                        "unit": 1.0,
                    }
                )
    return pd.DataFrame(rows)


def test_a_channels_lasting_difference_is_told_from_all_horizons_and_a_shared_error_only_from_many_windows():
    seen = two_channels(0.2)
    asked = seen[(seen.horizon_days == 364)].groupby("subject", as_index=False).first()
    asked = asked.drop(columns=["origin_on", "due_on", "actual"])
    out = evidence.predictive_intervals(
        asked, seen, as_of=seen.due_on.max(), levels=(0.8,)
    ).set_index("subject")
    apart = np.log(out.mid["a"] / out.mid["b"])
    assert apart == pytest.approx(0.2, abs=0.03)  # a year alone has the worth of one or two windows
    both = seen.assign(actual=seen.actual.where(seen.subject == "a", seen.actual * np.exp(0.2)))
    for horizon, least, most in ((364, 0.02, 0.08), (28, 0.14, 0.2)):
        mid = evidence.predictive_intervals(
            asked.assign(horizon_days=horizon), both, as_of=both.due_on.max(), levels=(0.8,)
        ).mid
        assert least < np.log(mid / 1000).mean() < most


def test_the_limits_of_a_count_are_the_nearest_whole_numbers():
    scored = evidence.score_intervals(backtest(log_of(300), every=14))
    scored = scored[scored.status == "complete"]
    assert (scored[["low", "high"]] % 1 == 0).all(axis=None) and (scored.low >= 0).all()
