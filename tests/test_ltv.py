"""What customers are worth: histories, payback by hand, champions and intervals on real
logs, and every bad input.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.ltv_modelling import ltv_race
from playbook.chapters.ltv_modelling.ltv import (
    caps,
    first_orders,
    holds_its_level,
    ltv_predictions,
    ltv_table,
    model_fits,
    payback,
    tempting_ltv,
    vip,
)
from playbook.chapters.ltv_modelling.ltv_race import (
    backtest_ltv,
    calibration,
    customer_forecast,
    interval_coverage,
    model_table,
    remaining_value,
)
from playbook.errors import PlaybookError
from playbook.measures.customer_windows import history_of, purchase_history, window_losses
from playbook.methods.customer_models import Candidates, poisson_deviance
from playbook.methods.shop_clock import CALENDAR


@pytest.fixture(scope="module")
def cdnow(shared_data):
    frame = pd.read_parquet(shared_data / "cdnow" / "cdnow_master.parquet").rename(
        columns={"date": "day_on", "amount": "revenue"}
    )
    frame = frame.groupby(["customer_id", "day_on"], as_index=False).revenue.sum()
    return frame.assign(orders=1, units=1, margin=np.nan)


@pytest.fixture(scope="module")
def short(cdnow):
    """Four months of a sixth of CDNOW's customers: enough for a race in seconds."""
    kept = cdnow.customer_id.drop_duplicates().iloc[::6]
    return cdnow[cdnow.customer_id.isin(kept) & (cdnow.day_on <= "1997-08-31")]


@pytest.fixture(scope="module")
def race(short):
    return backtest_ltv(short, as_of=dt.date(1997, 8, 31), horizons_days=(28,))


DAYS = pd.DataFrame(
    [
        ("ann", "2026-01-05", 1, 10.0),
        ("ann", "2026-02-20", 1, 10.0),
        ("bob", "2026-01-20", 1, 6.0),
        ("bob", "2026-01-25", 0, -2.0),
        ("cat", "2026-03-02", 1, 30.0),
    ],
    columns=["customer_id", "day_on", "orders", "margin"],
)
DAYS = DAYS.assign(day_on=pd.to_datetime(DAYS.day_on), revenue=2 * DAYS.margin, units=1)
BORN = pd.DataFrame(
    {
        "customer_id": ["ann", "bob", "cat"],
        "acquired_on": pd.to_datetime(["2026-01-05", "2026-01-20", "2026-03-02"]),
        "channel": ["search", "search", "social"],
        "is_left_truncated": False,
    }
)


def spend(*rows):
    frame = pd.DataFrame(rows, columns=["day_on", "channel", "spend"])
    return frame.assign(day_on=pd.to_datetime(frame.day_on))


def test_a_refund_day_is_money_and_never_a_purchase():
    bob = (
        purchase_history(DAYS, as_of="2026-03-31", basis="margin")
        .set_index("customer_id")
        .loc["bob"]
    )
    assert (bob.x, bob.t_x, bob["T"], bob.amount, bob.first_amount) == (0, 0, 70, 4.0, 6.0)


def test_history_as_of_a_day_ignores_everything_after_it():
    early = purchase_history(DAYS, as_of="2026-01-31", basis="margin")
    assert early.customer_id.tolist() == ["ann", "bob"] and early.x.tolist() == [0, 0]


def test_the_fast_history_of_the_backtest_is_the_same_history():
    log = DAYS.assign(
        customer_id=DAYS.customer_id.map({"ann": 0, "bob": 1, "cat": 2}), money=DAYS.margin
    )
    fast, slow = (
        history_of(log, pd.Timestamp("2026-03-31")),
        purchase_history(DAYS, as_of="2026-03-31", basis="margin"),
    )
    for column in ("x", "t_x", "T", "amount", "first_amount", "mean"):
        np.testing.assert_allclose(fast[column].to_numpy(float), slow[column].to_numpy(float))


def test_payback_is_the_first_month_of_age_that_covers_the_cost():
    table = payback(
        DAYS, BORN, spend(("2026-01-03", "search", 12.0)), as_of="2026-06-30"
    ).set_index(["channel", "cohort"])
    jan = table.loc[("search", "2026-01")]
    assert (jan.ncac, jan.payback_months, jan.status) == (
        6.0,
        1.0,
        "paid back",
    )  # 10 + 6 - 2 by the end of month one
    assert jan.margin_per_customer == pytest.approx(12.0)  # and Ann's second order in month two


def test_not_yet_is_missing_and_not_nought():
    table = payback(
        DAYS, BORN, spend(("2026-01-03", "search", 22.0 * 2)), as_of="2026-06-30"
    ).set_index(["channel", "cohort"])
    assert table.loc[("search", "all"), "status"] == "not yet" and np.isnan(
        table.loc[("search", "all"), "payback_months"]
    )


def test_a_month_not_lived_to_its_end_is_unobserved_and_a_free_channel_has_no_cost():
    table = payback(DAYS, BORN, spend(("2026-03-03", "social", 5.0)), as_of="2026-03-31").set_index(
        ["channel", "cohort"]
    )
    assert table.loc[("social", "2026-03"), "status"] == "unobserved"
    assert table.loc[("search", "2026-01"), "status"] == "spend not covered"


def test_payback_without_any_margin_is_refused_by_column():
    with pytest.raises(PlaybookError, match="needs margins") as problem:
        payback(
            DAYS.assign(margin=np.nan),
            BORN,
            spend(("2026-01-03", "search", 12.0)),
            as_of="2026-06-30",
        )
    assert problem.value.column == "margin"


def test_shuffled_rows_change_no_digit_of_payback():
    paid = spend(("2026-01-03", "search", 12.0), ("2026-01-09", "search", 1.0))
    one, two = (
        payback(t, BORN, paid, as_of="2026-06-30")
        for t in (DAYS, DAYS.sample(frac=1, random_state=2))
    )
    pd.testing.assert_frame_equal(one, two)


def test_a_cap_on_revenue_is_refused():
    with pytest.raises(PlaybookError, match="contribution margin"):
        caps(pd.DataFrame({"basis": ["revenue"]}), pd.DataFrame())


def test_the_first_order_gives_channel_and_the_larger_category():
    orders = pd.DataFrame(
        {
            "order_id": ["1", "2"],
            "customer_id": ["ann", "ann"],
            "ordered_on": pd.to_datetime(["2026-01-01", "2026-02-01"]),
            "channel": ["search", "social"],
            "is_first": [True, False],
            "is_left_truncated": [False, False],
        }
    )
    lines = pd.DataFrame(
        {"order_id": ["1", "1"], "sku": ["a", "b"], "is_product": True, "revenue": [5.0, 9.0]}
    )
    first = first_orders(
        orders,
        sales_lines=lines,
        products=pd.DataFrame({"sku": ["a", "b"], "category": ["tea", "mugs"]}),
    ).to_pandas()
    assert first[["channel", "category"]].values.tolist() == [["search", "mugs"]]


def test_cdnow_39_weeks_ahead_the_features_and_pareto_models_beat_bg_nbd(cdnow):
    log = cdnow.sort_values(["customer_id", "day_on"])
    log = log.assign(
        customer_id=np.unique(log.customer_id, return_inverse=True)[1], money=log.revenue
    )
    cut = pd.Timestamp("1997-09-30")
    table, forecasts, _ = Candidates(
        history_of, models=("bg_nbd", "pareto_nbd", "features")
    ).predict(log[log.day_on <= cut], cut, (273,))
    after = log[log.day_on > cut].customer_id
    actual = np.bincount(after, minlength=len(table))[table.customer_id].astype(float)
    assert actual.sum() == 19_684
    loss = {m: window_losses(actual, forecasts[273][m].to_numpy()) for m in forecasts[273]}
    for model in ("pareto_nbd", "features"):
        assert abs(forecasts[273][model].sum() / actual.sum() - 1) < 0.143
        assert (
            loss[model]["deviance"] <= loss["bg_nbd"]["deviance"]
            and loss[model]["top_share"] >= loss["bg_nbd"]["top_share"]
        )
        assert (forecasts[273][model] > 0).all()


def test_the_table_that_decided_names_one_champion_and_shows_the_zero_forecast(race):
    table = model_table(race).set_index("model")
    assert (
        table.is_champion.sum() == 1
        and not table.is_champion["zero"]
        and table.bias_share["zero"] == -1
    )
    assert table.loss[race.model] == table.loss.min() and table.over_naive_share[race.model] <= 0


def test_two_runs_and_shuffled_rows_give_the_same_race(short, race):
    again = backtest_ltv(
        short.sample(frac=1, random_state=9), as_of="1997-08-31", horizons_days=(28,)
    )
    pd.testing.assert_frame_equal(again.windows, race.windows)
    pd.testing.assert_frame_equal(again.verdict, race.verdict)


def test_value_of_today_carries_its_interval_and_the_list_its_holdout(short, race):
    ahead = customer_forecast(short, race, days=28)
    assert (ahead.customers.worth >= 0).all() and len(
        ahead.customers
    ) == short.customer_id.nunique()
    near, far = (customer_forecast(short, race, days=d).customers for d in (31, 60))
    assert (
        near.purchases_high.notna().any() and far.purchases_high.isna().all()
    )  # no horizon of the race near 60 days
    whole = remaining_value(ahead).set_index("channel").loc["all"]
    assert whole.low < whole.remaining < whole.high and whole.n_errors >= 8
    far_off = remaining_value(customer_forecast(short, race, days=365)).set_index("channel")
    whole = far_off.loc["all"]  # errors of 91 days say nothing of a year
    assert whole.status == "not yet calibrated" and np.isnan([whole.low, whole.high]).all()
    assert whole.remaining == whole.model_remaining > 0
    top = vip(ahead, share=0.05)
    assert set(top.arm) == {
        "treat",
        "holdout",
    } and top.worth.min() >= ahead.customers.worth.quantile(0.9)
    assert (ltv_predictions(ahead, interval_coverage(race)).point > 0).all()
    assert 5 <= len(calibration(race)) <= 10 and len(interval_coverage(race)) > 0


@pytest.mark.parametrize(("high", "is_told"), [(0.79, False), (0.81, True), (np.nan, True)])
def test_totals_that_surely_missed_their_level_get_no_limits(high, is_told):
    row = {"kind": "total", "measure": "money", "level": 0.8, "covered_high": high}
    other = row | {"kind": "decile", "covered_high": 0.1}
    assert holds_its_level(pd.DataFrame([row, other]), 0.8) == is_told


def test_a_large_shop_is_judged_on_a_sample_its_channels_on_more_and_all_of_it_is_forecast(
    short, monkeypatch
):
    for name, n in (("JUDGED", 1000), ("CHANNEL", 1800), ("LEARNT", 1000)):
        monkeypatch.setattr(ltv_race, f"{name}_CUSTOMERS", n)
    ids = short.customer_id.drop_duplicates()
    born = pd.DataFrame(
        {
            "customer_id": ids,
            "acquired_on": short.groupby("customer_id").day_on.min().loc[ids].values,
            "channel": np.where(np.arange(len(ids)) < 150, "small", "large"),
            "is_left_truncated": False,
        }
    )
    race = backtest_ltv(short, as_of="1997-08-31", horizons_days=(28,), traits=born)
    most = (
        race.windows[race.windows.measure == "money"].groupby(["kind", "subject"]).n_customers.max()
    )
    assert (
        most["total", "all"] == 1000
        and most["channel", "small"] == 150
        and most["channel", "large"] >= 900
    )
    ahead = customer_forecast(short, race, days=28, traits=born)
    assert list(ahead.customers.customer_id) == sorted(ids) and ahead.customers.worth.notna().all()
    assert (
        ahead.customers.set_index("customer_id").channel == born.set_index("customer_id").channel
    ).all()


def log(*rows):
    frame = pd.DataFrame(rows, columns=["customer_id", "day_on", "orders", "revenue"])
    return frame.assign(day_on=pd.to_datetime(frame.day_on), margin=np.nan, units=1)


ONE = log(("ann", "2026-01-05", 1, 10.0))
ONCE = log(*[(f"c{k}", f"2026-01-{k % 28 + 1:02d}", 1, 10.0) for k in range(60)])
TWO_WEEKS = log(*[(f"c{k % 20}", f"2026-04-{k % 14 + 10:02d}", 1, 10.0) for k in range(40)])
BACK = log(
    *[
        (f"c{k}", f"2026-0{m}-{k % 28 + 1:02d}", o, v)
        for k in range(40)
        for m, o, v in ((1, 1, 10.0), (2, 0, -30.0), (3, 1, 5.0))
    ]
)


@pytest.mark.parametrize(
    "bad",
    [ONE, ONCE, TWO_WEEKS, BACK],
    ids=["one customer", "one-time buyers", "two weeks", "refunds"],
)
def test_hopeless_logs_say_what_cannot_be_known_and_still_deliver_the_rest(bad):
    as_of = "2026-04-30"
    race = backtest_ltv(bad, as_of=as_of)
    born = (
        bad.groupby("customer_id", as_index=False)
        .day_on.min()
        .rename(columns={"day_on": "acquired_on"})
    )
    born = born.assign(channel="search", is_left_truncated=False)
    ahead = customer_forecast(bad, race, traits=born)
    assert race.caveat or ahead.caveat or race.model
    fits = model_fits(purchase_history(bad, as_of=as_of))
    assert not fits.parameters.str.contains("e[+-]", regex=True).any()
    assert (fits.is_identified | (fits.reason != "")).all() and (
        fits.parameters[~fits.is_identified] == ""
    ).all()
    table = ltv_table(bad, born, ahead)
    assert len(table) == 1 and np.isfinite(table.observed).all()
    assert len(remaining_value(ahead)) == 2 and len(vip(ahead)) >= 0
    assert (
        len(model_table(race)) >= 0
        and len(calibration(race)) >= 0
        and interval_coverage(race) is not None
    )


def test_a_season_seen_every_year_is_in_the_forecast_and_not_in_the_first_year_nor_from_a_fit_nobody_believes():
    rng, day = np.random.default_rng(4), np.arange(1001)
    rate = np.where(
        day % 364 // 91 == 3, 4 / 240, 1 / 240
    )  # four times as busy in the last quarter
    won = rng.integers(0, 700, 1500)[:, None]
    who, when = np.nonzero((day == won) | (day > won) & (rng.random((1500, 1001)) < rate))
    past = pd.DataFrame(
        {
            "customer_id": who,
            "day_on": pd.Timestamp("2023-01-01") + pd.to_timedelta(when, "D"),
            "orders": 1,
            "money": 10.0,
        }
    )
    before, quiet, first = (
        pd.Timestamp("2023-01-01") + pd.Timedelta(days=d) for d in (2 * 364 + 273, 2 * 364, 250)
    )
    models = Candidates(history_of, models=("seasonal",))
    busy, calm, none = (
        models.in_shop_time(past[past.day_on <= day], day)[1] for day in (before, quiet, first)
    )
    assert busy.ahead(91) > 1.6 * 91 and calm.ahead(91) < 0.8 * 91 and none is CALENDAR
    assert busy.ahead(364) == pytest.approx(364, rel=0.1)  # a whole year is a year
    one = past[past.customer_id == past.customer_id.iloc[-1]].assign(customer_id=0)
    assert (
        Candidates(history_of, models=("seasonal",))
        .predict(one, before, (91,))[1][91]
        .isna()
        .all()
        .all()
    )


def test_nobody_who_will_cost_money_is_on_the_list_of_the_best():
    lost = BACK.assign(revenue=-5.0)
    ahead = customer_forecast(lost, backtest_ltv(lost, as_of="2026-04-30"))
    assert len(vip(ahead)) == 0


def test_nobody_at_all_is_refused_by_name():
    with pytest.raises(PlaybookError, match="no known customer"):
        backtest_ltv(ONE[:0], as_of="2026-04-30")


def test_the_tempting_sum_is_revenue_times_a_guess():
    assert (
        tempting_ltv(purchase_history(DAYS, as_of="2026-03-31"), life_years=2.0).life_years.iloc[0]
        == 2.0
    )


def test_deviance_of_a_perfect_forecast_is_nought_and_of_an_outright_zero_is_finite():
    assert poisson_deviance(np.array([2.0, 1.0]), np.array([2.0, 1.0])) == pytest.approx(0)
    assert np.isfinite(poisson_deviance(np.array([2.0]), np.array([0.0])))
