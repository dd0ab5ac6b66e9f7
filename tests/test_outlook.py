"""One forecast: it adds up, multiplies, keeps a record of itself and knows no later month.
By rule on random months, by hand where a figure can be worked out.
"""

import datetime as dt
import warnings
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pytest

from playbook.errors import PlaybookError
from playbook.methods.coherence import Identity, coherent, shrunk_covariance
from playbook.outlook import ahead, paths
from playbook.outlook.forecast import outlook_of
from playbook.outlook.history import KEY, PRODUCTS, RATIOS, _members, _pooled, identities
from playbook.outlook.paths import FLOOR, _alone, _log_errors, first_origin


def months(n=36, seed=1, growth=0.01):
    """A shop with two channels and two categories whose months obey every identity."""
    rng = np.random.default_rng(seed)
    month = pd.period_range(end="2026-10", periods=n, freq="M").astype(str)
    season = 1 + 0.3 * np.cos(2 * np.pi * (np.arange(n) + 1) / 12)

    def flow(level):
        return level * season * np.exp(growth * np.arange(n) + rng.normal(0, 0.05, n))

    new, back = flow(300.0), flow(500.0)
    wide = pd.DataFrame({"new_customers": new, "returning_customers": back, "buyers": new + back})
    wide["orders"] = wide["buyers"] * (1.3 + rng.normal(0, 0.01, n))
    wide["sessions"], wide["net_revenue"] = flow(30_000.0), wide["orders"] * flow(50.0) / season
    for ratio, (top, bottom) in RATIOS.items():
        if top in wide:
            wide[ratio] = wide[top] / wide[bottom]
    share = 0.3 + rng.normal(0, 0.02, n)
    parts = [(name, "shop", "shop", wide[name]) for name in wide]
    parts += [("orders", "channel", "email", share * wide["orders"])]
    parts += [("orders", "channel", "search", (1 - share) * wide["orders"])]
    parts += [("net_revenue", "category", "tea", share * wide["net_revenue"])]
    parts += [("net_revenue", "category", "garden", (1 - share) * wide["net_revenue"])]
    frames = [
        pd.DataFrame(
            {"month": month, "metric": m, "level": level, "member": who, "amount": amounts}
        )
        for m, level, who, amounts in parts
    ]
    return pd.concat(frames, ignore_index=True)


def spans(rows):
    """Each span's figures: (metric, level, member) -> mid."""
    return {span: part.set_index(KEY)["mid"] for span, part in rows.groupby(["horizon", "step"])}


@pytest.mark.parametrize("n, seed", [(36, 1), (25, 2), (14, 3), (4, 4)])
def test_parts_add_up_and_drivers_multiply_in_every_month_ahead(n, seed):
    for (horizon, _step), mid in spans(outlook_of(months(n, seed)).rows).items():
        shop = mid.xs(("shop", "shop"), level=["level", "member"])
        assert shop["new_customers"] + shop["returning_customers"] == pytest.approx(
            shop["buyers"], rel=1e-9
        )
        for metric, level in (("orders", "channel"), ("net_revenue", "category")):
            parts = mid.xs((metric, level), level=["metric", "level"])
            assert parts.sum() == pytest.approx(shop[metric], rel=1e-9), horizon
        for whole, products in PRODUCTS.items():
            for factors in products:
                if whole in shop and set(factors) <= set(shop.index):
                    product = np.prod([shop[name] for name in factors])
                    assert product == pytest.approx(shop[whole], rel=1e-9), (horizon, whole)


def test_months_add_up_to_quarter_and_year():
    found = spans(outlook_of(months()).rows)
    for horizon, n in (("quarter", 3), ("year", 12)):
        sums = sum(found["month", step] for step in range(1, n + 1))
        flows = ~sums.index.get_level_values("metric").isin(list(RATIOS))
        assert found[horizon, 1][flows].to_numpy() == pytest.approx(sums[flows], rel=1e-9)


def test_no_later_month_changes_what_was_forecast_before_it():
    whole = months(36)
    known = whole[whole["month"] <= "2026-06"]
    then = outlook_of(known).rows.set_index(["horizon", "step", *KEY])["mid"]
    past = outlook_of(whole).origins
    past = past[past["known_to"] == "2026-06"].set_index(["horizon", "step", *KEY])["point"]
    assert past.to_numpy() == pytest.approx(then.reindex(past.index).to_numpy(), rel=1e-9)


def test_the_order_of_the_rows_does_not_matter():
    history = months(20)
    mixed = history.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(outlook_of(history).rows, outlook_of(mixed).rows)
    told = outlook_of(history.assign(was=2 * history["amount"])).rows
    as_it_was = told["year_before"] / outlook_of(history).rows["year_before"]
    is_flow = ~told["metric"].isin(list(RATIOS))
    assert np.allclose(as_it_was[is_flow].dropna(), 2.0), "the year before is told as it was"


@pytest.mark.parametrize("n, status", [(36, "complete"), (5, "not calibrated")])
def test_a_young_shop_has_a_forecast_and_says_that_it_is_not_calibrated(n, status):
    rows = outlook_of(months(n)).rows
    mine = rows[(rows["metric"] == "net_revenue") & (rows["horizon"] == "month")]
    assert mine["mid"].notna().all()
    assert mine.loc[mine["step"] == 1, "status"].eq(status).all()
    assert mine["low"].isna().eq(mine["status"] != "complete").all()


def test_a_member_called_other_stands_with_the_rest_and_parts_stay_the_whole():
    table = pd.DataFrame({"tea": 50.0, "other": 30.0, "rare": 0.01, "cups": 20.0}, index=range(14))
    pooled = _pooled(table)
    assert pooled.iloc[0].to_dict() == pytest.approx({"tea": 50.0, "cups": 20.0, "other": 30.01})
    assert _pooled(table.drop(columns="rare")).equals(table.drop(columns="rare"))


def test_what_was_not_known_for_a_year_has_no_forecast_and_warns_nobody():
    history = months(30)
    is_gone = (history["metric"] == "new_customers") & (history["month"] > "2025-08")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = outlook_of(history[~is_gone])
    told = set(out.shop("month").index)
    assert "new_customers" not in told and "net_revenue" in told


def test_no_forecast_leaves_a_hundredth_to_a_hundred_times_the_usual_month():
    history = np.r_[1e-6 * np.ones(12), 1e9 * np.ones(12)]
    for order in (history, history[::-1].copy()):
        tried, _naive = _alone(order)
        usual = order[-12:].mean()
        assert np.nanmin(tried) >= FLOOR * usual and np.nanmax(tried) <= usual / FLOOR
    errors = _log_errors(np.array([1.0, 1.0, np.inf]), np.array([np.inf, 2.0, 1.0]))
    assert np.isnan(errors).tolist() == [True, False, True]


def test_two_months_are_refused():
    with pytest.raises(PlaybookError, match="2"):
        outlook_of(months(2))


def test_a_member_that_came_later_is_left_out_of_the_months_before_it_came():
    history = months(30)
    is_early = (history["member"] == "email") & (history["month"] < "2025-10")
    rows = outlook_of(history[~is_early]).rows
    mid = spans(rows)["month", 1]
    parts = mid.xs(("orders", "channel"), level=["metric", "level"])
    assert parts.sum() == pytest.approx(mid["orders", "shop", "shop"], rel=1e-9)


def test_a_margin_that_was_negative_is_not_forecast_but_the_rest_is():
    history = months(30)
    cm = history[history["metric"] == "net_revenue"].query("level == 'shop'")
    cm = cm.assign(metric="cm", amount=cm["amount"] * np.where(np.arange(30) == 7, -0.1, 0.3))
    rows = outlook_of(pd.concat([history, cm])).rows
    assert "cm" not in set(rows["metric"]) and "net_revenue" in set(rows["metric"])


def test_coherence_by_hand_moves_each_part_as_far_as_it_has_erred():
    """log 6 = log 2 + log 3 already holds; 8 = 2 x 3 misses by log 4/3, which goes to the
    three series by their variances: 1, 1 and 2 of 4 parts.
    """
    product = [Identity(0, (1, 2), False)]
    held = np.log([6.0, 2.0, 3.0])
    assert coherent(held, np.eye(3), product) == pytest.approx(held)
    moved = coherent(np.log([8.0, 2.0, 3.0]), np.diag([1.0, 1.0, 2.0]), product)
    gap = np.log(8 / 6)
    expected = [np.log(8) - gap / 4, np.log(2) + gap / 4, np.log(3) + gap / 2]
    assert moved == pytest.approx(expected)


def test_a_sum_holds_and_the_surest_series_moves_least():
    total = [Identity(0, (1, 2), True)]
    out = np.exp(coherent(np.log([100.0, 30.0, 50.0]), np.diag([1e-6, 0.1, 0.1]), total))
    assert out[0] == pytest.approx(out[1] + out[2], rel=1e-12)
    assert out[0] == pytest.approx(100.0, rel=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_a_sum_holds_to_the_last_digit_where_its_parts_err_by_very_unlike_amounts(seed):
    """Small parts that have erred by far bend the sum: the nearest forecasts that obey it
    are approached slowly or not at all, yet what is given out obeys it.
    """
    rng = np.random.default_rng(seed)
    n = 7
    base = np.r_[0.0, rng.normal(-np.log(n), 2.0, n)]
    spread = np.diag(np.exp(rng.normal(-4.0, 2.0, n + 1)))
    out = np.exp(coherent(base, spread, [Identity(0, tuple(range(1, n + 1)), True)]))
    assert out[1:].sum() == pytest.approx(out[0], rel=1e-12)


def test_a_month_without_any_of_a_member_leaves_the_parts_the_whole():
    months_ = [f"2025-{m:02d}" for m in range(1, 13)]
    tea = pd.Series([50.0] * 6 + [0.0] + [50.0] * 5, index=months_)
    table = pd.DataFrame({"tea": tea, "cups": 50.0, "pots": 40.0})
    wide = pd.DataFrame({"net_revenue": 120.0}, index=months_)
    rows = _members({"net_revenue": table}, wide, "category")[0]
    assert rows.groupby("month")["amount"].sum().to_numpy() == pytest.approx(120.0, rel=1e-12)
    assert (rows["amount"] > 0).all()


def test_covariance_is_shrunk_to_variances_where_rows_are_few_and_kept_where_they_agree():
    rng = np.random.default_rng(5)
    both = rng.normal(0, 0.1, (200, 1))
    errors = both + rng.normal(0, 0.01, (200, 2))
    spread = shrunk_covariance(errors)
    assert spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1]) > 0.9
    few = shrunk_covariance(errors[:5])
    assert few[0, 1] == 0 and few[0, 0] == pytest.approx((errors[:5, 0] ** 2).mean())
    nothing = shrunk_covariance(np.full((9, 1), np.nan))
    assert nothing[0, 0] == 0.25


@pytest.mark.parametrize(
    "n_months, n_ahead, first",
    [(24, 1, 15), (23, 1, 7), (26, 3, 15), (25, 3, 8), (9, 1, 3), (15, 1, 5), (24, 12, 8)],
)
def test_origins_begin_after_five_quarters_where_eight_errors_are_left(n_months, n_ahead, first):
    assert first_origin(n_months, n_ahead) == first


def test_an_identity_needs_all_of_its_series():
    shop = [("orders", "shop", "shop"), ("sessions", "shop", "shop")]
    keys = pd.MultiIndex.from_tuples(shop, names=KEY)
    assert identities(keys) == []


def test_a_month_without_sales_is_a_hole_and_not_the_end_of_the_series():
    history = months(30)
    is_closed = history["month"].eq("2026-02") & history["metric"].isin(["orders", "net_revenue"])
    history["amount"] = history["amount"].mask(is_closed, 0.0)
    rows = outlook_of(history).rows
    shop = rows[(rows["level"] == "shop") & (rows["horizon"] == "year")].set_index("metric")["mid"]
    assert {"orders", "net_revenue"} <= set(shop.index) and np.isfinite(shop).all()


def test_a_ratio_is_the_mean_of_its_candidates_by_the_inverse_of_their_squared_errors():
    """By hand: fifteen errors of .1, .1, .2 and .4 so far, ten of the size of the median (the
    mean of a year: four times its square) before them.
    """
    ends = np.arange(12, 40)
    actual = np.ones((len(ends), 12))
    tried = np.exp(-np.array([0.1, 0.1, 0.2, 0.4]))[None, :, None] * np.ones((len(ends), 1, 12))
    now = int(np.flatnonzero(ends == 18)[0])
    known = sum((ends[now] - 6 - step) for step in range(3)) - 3 * (12 - 6)
    squares = np.array([0.01, 0.01, 0.04, 0.16])
    before = np.array([1, 1, 1, 4.0]) * 0.025
    trust = (known + 10) / (known * squares + 10 * before)
    expected = trust @ np.exp(-np.array([0.1, 0.1, 0.2, 0.4])) / trust.sum()
    found = paths._weighed(tried, actual, ends, now)
    assert found == pytest.approx(np.full(12, expected), rel=1e-6)


def test_a_ratio_without_season_is_forecast_by_its_mean_and_one_with_a_season_is_not():
    rng = np.random.default_rng(4)
    flat = 60 * np.exp(rng.normal(0, 0.08, 36))
    season = 1 + 0.4 * np.cos(2 * np.pi * np.arange(36) / 12)
    wave = 60 * season * np.exp(rng.normal(0, 0.01, 36))
    made = paths.paths_of(np.column_stack([flat, wave]), [], ratios=(0, 1))
    plain = paths.paths_of(np.column_stack([flat, wave]), [])
    usual = flat[-12:].mean()
    off, off_plain = (np.abs(one.base[-1, 0] - usual).mean() for one in (made, plain))
    assert off < 0.8 * off_plain
    moved = np.abs(np.log(made.base[-1, 1] / plain.base[-1, 1]))
    assert moved.max() < 0.05


def shop_ahead(n_days=400):
    """A store with one order a weekday and three a Sunday, a promotion last November, one
    ticket for every second order, goods that take 10 or 20 days.
    """
    days = pd.date_range(end="2026-10-31", periods=n_days)
    each = np.where(days.day_of_week == 6, 3, 1)
    sold = pd.DataFrame({"ordered_on": np.repeat(days, each)})
    tables = {
        "sales_orders": sold,
        "tickets": pd.DataFrame({"opened_at": sold["ordered_on"][::2]}),
        "promotions": pd.DataFrame(
            {
                "promo_id": ["p1", "p2"],
                "starts_on": pd.to_datetime(["2025-11-24", "2026-11-30"]),
                "ends_on": pd.to_datetime(["2025-11-30", "2026-12-01"]),
            }
        ),
        "products": pd.DataFrame({"lead_time_days": [10.0] * 5 + [20.0] * 5}),
    }
    return SimpleNamespace(
        has=lambda name: name.partition(".")[0] in tables,
        as_of=dt.date(2026, 10, 31),
        observed_from=days[0].date(),
        **{name: ibis.memtable(frame) for name, frame in tables.items()},
    )


def test_the_weeks_ahead_add_up_to_the_quarter_and_name_the_promotion_days_that_are_missing():
    one = outlook_of(months())
    weeks = ahead.with_people(ahead.calendar_ahead(shop_ahead(), one), 20.0)
    quarter = one.mid("orders", "quarter")
    assert weeks["orders"].sum() == pytest.approx(quarter, rel=1e-9)
    assert weeks["n_days"].sum() == 92
    peak = weeks.set_index("week_on").loc["2026-11-23"]
    # the same weekdays a year before: 24 to 30 November 2025, all under a promotion
    assert (peak["orders_before"], peak["promotion_days_before"]) == (9, 7)
    assert (peak["promotion_days_planned"], peak["promotion_days_missing"]) == (0, 7)
    assert peak["order_by"] == dt.date(2026, 11, 3) and not peak["is_late"]
    # goods take 20 days: too late for the days before 20 November, four weeks
    assert weeks["is_late"].sum() == 4
    after = weeks.set_index("week_on").loc["2026-11-30"]
    assert (after["promotion_days_planned"], after["promotion_days_missing"]) == (2, 0)
    # a Sunday carries three of a week's nine orders
    assert peak["tickets"] == pytest.approx(peak["orders"] / 2, rel=0.02)
    assert peak["people"] == pytest.approx(peak["tickets"] * 365.25 / 12 / 7 / 20)


def test_without_a_year_before_the_weeks_are_even_and_nothing_is_called_missing():
    weeks = ahead.with_people(ahead.calendar_ahead(shop_ahead(90), outlook_of(months())), None)
    assert weeks["orders_before"].isna().all() and weeks["promotion_days_missing"].isna().all()
    november = weeks[weeks["week_on"].between("2026-11-02", "2026-11-23")]
    assert november["orders"].nunique() == 1 or np.ptp(november["orders"]) < 1e-9
    assert weeks["people"].isna().all()


def test_the_peak_counts_the_promotion_days_of_the_same_weeks_as_the_calendar():
    one = outlook_of(months())
    shop = shop_ahead()
    peak, weeks = ahead.coming_peak(shop, one).iloc[0], ahead.calendar_ahead(shop, one)
    assert peak["month"] == "2026-11"
    # 24 to 30 November 2025 come round on 23 to 29; 30 November is planned
    told = peak[[f"promotion_days_{part}" for part in ("before", "planned", "missing")]]
    assert told.tolist() == [7, 1, 7]
    assert weeks["promotion_days_missing"].sum() == 7 and weeks["promotion_days_planned"].sum() == 2


def test_a_promotion_comes_round_in_the_same_weeks_and_only_within_the_next_three_months():
    shop = shop_ahead()
    coming = ahead.promotions_ahead(shop)
    assert coming["promo_id"].tolist() == ["p1"]
    row = coming.iloc[0]
    assert row["comes_on"] == pd.Timestamp("2026-11-23") and row["n_days"] == 7
    assert row["n_planned"] == 0
    shop.promotions = ibis.memtable(
        pd.DataFrame(
            {
                "promo_id": ["edge", "old", "now"],
                "starts_on": pd.to_datetime(["2025-10-30", "2025-03-01", "2026-11-02"]),
                "ends_on": pd.to_datetime(["2025-11-05", "2025-03-05", "2026-11-03"]),
            }
        )
    )
    row = ahead.promotions_ahead(shop).iloc[0]
    # 29 October to 4 November: four days of it lie ahead, two of them are planned
    assert (row["promo_id"], row["n_days"], row["n_planned"]) == ("edge", 4, 2)
