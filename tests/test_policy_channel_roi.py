"""What chapter 03 decides by: every threshold at its edge, every printed formula by hand."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_channels import AS_OF, SHOP, accounts, every_day, orders

from playbook.chapters.channel_roi.channels import (
    budget_channels,
    channel_headline,
    channel_months,
    channel_pnl,
    known_channel_share,
    owned,
)
from playbook.chapters.channel_roi.decisions import Findings, _test_sizes, channel_decisions
from playbook.chapters.channel_roi.geo_tests import geo_plan, geo_readings
from playbook.chapters.channel_roi.media_days import media_frame
from playbook.chapters.channel_roi.media_model import (
    MediaModel,
    MediaWeeks,
    fit_media,
    media_weeks,
)
from playbook.chapters.channel_roi.media_plan import plan_budget, response_table
from playbook.measures.ad_spend import read_extract
from playbook.methods.baseline import baseline_design
from playbook.methods.confounding import DemandChase
from playbook.methods.response import ResponseFit, adstock, fit_response
from playbook.methods.synthetic_control import compare

Z = 1.6448536269514722


# --- the extract ------------------------------------------------------------------------


def without(frame, *days):
    return frame[~frame.day_on.isin(pd.to_datetime(list(days)))]


@pytest.mark.parametrize(("n_days", "findings"), [(2, []), (3, ["gap"])])
def test_a_hole_begins_at_three_days(n_days, findings):
    days = pd.date_range("2026-09-10", periods=n_days)
    log = read_extract(without(every_day("2026-08-01", "2026-10-31"), *days), as_of=AS_OF)
    assert log.findings.finding.tolist() == findings


@pytest.mark.parametrize(("n_pauses", "findings"), [(6, ["gap"]), (7, [])])
def test_a_channel_is_always_on_with_rows_on_nine_days_in_ten(n_pauses, findings):
    """63 days less the three of the hole: 54 of 60 are nine in ten, 53 are not."""
    days = every_day("2026-08-30", "2026-10-31")
    pauses = pd.date_range("2026-09-01", periods=n_pauses, freq="2D")
    log = read_extract(without(days, *pauses, *pd.date_range("2026-10-10", periods=3)), as_of=AS_OF)
    assert log.findings.finding.tolist() == findings


@pytest.mark.parametrize(("n_rows", "findings"), [(27, []), (28, ["gap"])])
def test_under_four_weeks_of_rows_nothing_is_expected(n_rows, findings):
    days = every_day(AS_OF - dt.timedelta(days=n_rows + 2), AS_OF)
    log = read_extract(without(days, *pd.date_range("2026-10-20", periods=3)), as_of=AS_OF)
    assert log.findings.finding.tolist() == findings


# --- the accounts -----------------------------------------------------------------------


@pytest.mark.parametrize(("days", "status"), [(59, "partial"), (60, "complete")])
def test_a_month_is_complete_sixty_days_after_its_end(days, status):
    shop = orders(("1", "2026-07-03", "ann", "search", 100.0, 40.0, True))
    as_of = dt.date(2026, 7, 31) + dt.timedelta(days=days)
    assert channel_months(shop, spend=None, as_of=as_of).status.tolist() == [status]


@pytest.mark.parametrize(("known", "basis"), [(95.0, "margin"), (94.0, "revenue")])
def test_margin_counts_where_costs_of_95_percent_of_sales_are_known(known, basis):
    shop = orders(
        ("1", "2026-07-03", "ann", "search", known, 38.0, True),
        ("2", "2026-07-04", "bob", "search", 100 - known, None, True),
    )
    months = channel_months(shop, spend=None, as_of=AS_OF)
    margin = months.margin.iloc[0]
    assert margin == pytest.approx(40) if basis == "margin" else np.isnan(margin)
    log = read_extract(every_day("2026-07-01", "2026-10-31"), as_of=AS_OF)
    assert media_frame(shop, spend=log, channels=["search"], as_of=AS_OF)[1] == basis


def test_intervals_of_the_accounts_are_of_90_percent():
    """Two orders of 100 and 200 with margins of 40 and 35 after the refund, 310 spent."""
    months, _ = accounts()
    row = channel_pnl(months[months.month == "2026-07"]).set_index("channel").loc["search"]
    sway, swing = Z * np.hypot(100, 200), Z * np.hypot(40, 35)
    costs = 200 - 75 + 310
    assert row.roas_high == pytest.approx((300 + sway) / 310)
    assert row.roas_low == max(0, (300 - sway) / 310)
    assert (row.poas_low, row.poas_high) == pytest.approx(((75 - swing) / 310, (75 + swing) / 310))
    assert (row.low, row.high) == pytest.approx(
        ((75 - swing - 310) / costs, (75 + swing - 310) / costs)
    )
    assert row.roi == pytest.approx((75 - 310) / costs)
    # 90 % of a Poisson count of 2: .3554 to 6.2958 (tables of Garwood 1936)
    assert row.ncac_low == pytest.approx(310 / 6.2958, rel=1e-3)
    assert row.ncac_high == pytest.approx(310 / 0.3554, rel=1e-3)
    months.loc[months.channel == "search", ["new_customers", "orders"]] = 0
    assert np.isnan(channel_pnl(months).set_index("channel").ncac["search"])


def test_the_headline_is_by_hand_and_of_25_months():
    months, _ = accounts()
    rows = channel_headline(months).set_index(["metric", "month"]).amount
    assert rows[("mer", "2026-07")] == pytest.approx(350 / 310)
    assert rows[("roas", "2026-07")] == pytest.approx(300 / 310)
    assert rows[("poas", "2026-07")] == pytest.approx(75 / 310)
    assert rows[("ncac", "2026-07")] == 155
    days = pd.date_range("2024-09-15", "2026-10-15", freq="MS")
    shop = orders(*[(str(i), day, "a", "search", 9.0, 4.0, False) for i, day in enumerate(days)])
    long = channel_months(
        pd.concat([shop, shop.assign(ordered_on=dt.datetime(2024, 8, 1))]), spend=None, as_of=AS_OF
    )
    assert long.month.nunique() == 26
    assert channel_headline(long).month.nunique() == 25


def test_the_known_share_has_wilsons_interval_of_90_percent():
    shop = orders(
        *[
            (str(i), "2026-07-03", "a", "search" if i < 8 else None, 9.0, 4.0, False)
            for i in range(10)
        ]
    )
    row = known_channel_share(shop).iloc[0]
    middle = (0.8 + Z**2 / 20) / (1 + Z**2 / 10)
    reach = Z * np.sqrt(0.8 * 0.2 / 10 + Z**2 / 400) / (1 + Z**2 / 10)
    assert (row.low, row.high) == pytest.approx((middle - reach, middle + reach))


KINDS = {
    "content": (True, True),
    "live": (True, True),
    "social": (True, False),
    "search": (True, False),
    "app_store": (True, False),
    "partner": (False, False),
    "referral": (False, False),
    "email": (False, False),
    "direct": (False, None),
    "display": (True, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_which_kinds_have_a_budget_and_which_are_owned(kind):
    """kind -> has a budget to move; is owned though paid (None: never owned)."""
    has_budget, although_paid = KINDS[kind]
    log = read_extract(every_day("2026-08-01", "2026-10-31"), as_of=AS_OF)
    for is_paid in (True, False):
        kinds = pd.DataFrame(
            {
                "channel": ["search", "direct"],
                "kind": [kind, "live"],
                "is_paid": [is_paid, False],
            }
        )
        assert budget_channels(log, kinds) == ["search"] * has_budget
        is_owned = although_paid if is_paid or although_paid is None else True
        table = owned(SHOP, kinds, months=accounts()[0], as_of=AS_OF)
        assert ("search" in set(table.channel)) == bool(is_owned)


@pytest.mark.parametrize(("day", "n_orders"), [("2025-11-10", 2), ("2025-10-10", 1)])
def test_owned_channels_are_judged_on_twelve_months(day, n_orders):
    """Twelve months with anything in them: every month has one order of another channel."""
    others = pd.date_range("2025-10-02", "2026-10-30", freq="MS")
    rows = [(f"o{i}", d, "x", "direct", 5.0, 2.0, False) for i, d in enumerate(others)]
    rows += [
        ("a", day, "a", "live", 5.0, 2.0, False),
        ("b", "2026-10-10", "b", "live", 5.0, 2.0, False),
    ]
    shop = orders(*rows)
    kinds = pd.DataFrame({"channel": ["live"], "kind": ["live"], "is_paid": [False]})
    months = channel_months(shop, spend=None, as_of=AS_OF)
    assert owned(shop, kinds, months=months, as_of=AS_OF).orders.tolist() == [n_orders]


@pytest.mark.parametrize(
    ("back", "early", "late"), [(30, 1, 1), (31, 0, 1), (90, 0, 1), (91, 0, 0)]
)
def test_second_orders_count_within_30_and_90_days(back, early, late):
    first = dt.datetime(2026, 6, 1)
    shop = orders(
        ("1", first, "ann", "live", 5.0, 2.0, True),
        ("2", first + dt.timedelta(days=back), "ann", "direct", 5.0, 2.0, False),
    )
    kinds = pd.DataFrame({"channel": ["live"], "kind": ["live"], "is_paid": [False]})
    months = channel_months(shop, spend=None, as_of=AS_OF)
    row = owned(shop, kinds, months=months, as_of=AS_OF).iloc[0]
    assert (row.activated_30d_share, row.repeat_90d_share) == (early, late)


# --- weeks and the fit ------------------------------------------------------------------


def weeks_of(spend, y=None):
    n = len(spend)
    days = pd.date_range("2024-01-01", periods=n, freq="7D")
    y = np.random.default_rng(1).normal(1000, 30, n) if y is None else y
    frame = pd.DataFrame({"week_on": days, "response": y, "reason": ""})
    names = list("ab")[: spend.shape[1]]
    return MediaWeeks(frame, pd.DataFrame(spend, columns=names), ())


def verdicts(spend):
    return fit_media(weeks_of(spend), steps=8).verdicts.verdict.tolist()


def swinging(n, spread, mean=100.0):
    return mean * (1 + spread * np.resize([1.0, -1.0], n))[:, None]


@pytest.mark.parametrize(
    ("spend", "is_identified"),
    [
        (swinging(39, 0.5), False),
        (swinging(40, 0.5), True),
        (swinging(60, 0.049), False),
        (swinging(60, 0.051), True),
        (swinging(60, 0.5) * (np.arange(60) < 7)[:, None], False),
        (swinging(60, 0.5) * (np.arange(60) < 8)[:, None], True),
    ],
)
def test_what_can_be_told_apart_at_the_edges(spend, is_identified):
    assert verdicts(spend) == ["identified" if is_identified else "not identifiable"]


@pytest.mark.parametrize(("rho", "is_identified"), [(0.96, True), (0.98, False)])
def test_channels_that_move_together_at_97_percent_are_one(rho, is_identified):
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(np.column_stack([np.ones(60), rng.normal(size=(60, 2))]))[0][:, 1:]
    other = rho * basis[:, 0] + np.sqrt(1 - rho**2) * basis[:, 1]
    spend = 100 + 100 * np.column_stack([basis[:, 0], other])
    assert verdicts(spend) == ["identified" if is_identified else "not identifiable"] * 2


def test_today_is_the_mean_of_the_last_four_weeks():
    weeks = weeks_of(np.array([[900.0], [90.0], [10.0], [20.0], [30.0], [40.0]]))
    assert weeks.today()["a"] == 25
    known = weeks.spend.notna()
    known.loc[5, "a"] = False
    assert replace(weeks, is_known=known).today()["a"] == 20


def test_a_hole_is_filled_with_the_median_of_57_days():
    """Of the 28 days on each side 26 have 10 and 30 have 30; of 24 on each side most
    have 10, and so have those of 31.
    """
    days = pd.date_range("2026-01-01", "2026-06-30")
    hole = 90
    spend = np.full(len(days), 10.0)
    spend[hole - 28 : hole - 24] = 30.0
    spend[hole + 3 : hole + 29] = 30.0
    spend[hole] = np.nan
    frame = pd.DataFrame({"day_on": days, "channel": "a", "spend": spend})
    sales = pd.DataFrame({"day_on": days, "response": 7.0})
    weeks = media_weeks(
        sales,
        frame,
        as_of=days[-1].date(),
        channels=["a"],
        controls=pd.DataFrame({"day_on": days}),
    )
    week = weeks.frame.index[weeks.frame.reason == "spend not known"][0]
    first = (weeks.frame.week_on[week] - days[0]).days
    assert weeks.spend.a[week] == pytest.approx(np.nansum(spend[first : first + 7]) + 30)


def test_a_promotion_of_unknown_depth_counts_a_tenth_a_day():
    shop = orders(
        *[
            (str(i), d, "a", "x", 9.0, 4.0, False)
            for i, d in enumerate(pd.date_range("2026-07-01", AS_OF))
        ]
    )
    log = read_extract(every_day("2026-07-01", "2026-10-31"), as_of=AS_OF)
    promotions = pd.DataFrame(
        {
            "starts_on": pd.to_datetime(["2026-10-25"] * 2),
            "ends_on": pd.to_datetime(["2026-10-31"] * 2),
            "depth_share": [None, 0.2],
            "skus": [None, "k1 k2 k3"],
        }
    )
    weeks, _ = media_frame(shop, spend=log, channels=["search"], promotions=promotions, as_of=AS_OF)
    last = weeks.frame.iloc[-1]
    assert last.promotion == pytest.approx(0.7)
    assert last.promotion_listed == pytest.approx(7 * 0.2 * 3)


def test_refunds_of_orders_sixty_days_old_lower_the_response():
    as_of = dt.date(2026, 8, 30)
    shop = orders(
        ("old", "2026-07-01", "a", "x", 100.0, 40.0, True),
        ("new", "2026-07-02", "b", "x", 100.0, 40.0, True),
        ("last", "2026-08-20", "c", "x", 100.0, 40.0, True),
    )
    log = read_extract(every_day("2026-06-01", "2026-08-30"), as_of=as_of)

    def total(order):
        back = pd.DataFrame({"order_id": [order], "amount": [50.0], "margin": [-20.0]})
        weeks, _ = media_frame(shop, spend=log, channels=["search"], refunds=back, as_of=as_of)
        return weeks.frame.response.sum()

    assert total("old") == pytest.approx(40 * 0.5)
    assert total("new") == pytest.approx(40)


def test_carry_over_is_remembered_for_26_weeks():
    impulse = np.zeros((40, 1))
    impulse[0] = 1.0
    stock = adstock(impulse, [0.9])[:, 0]
    assert (stock > 0).sum() == 26
    assert stock[1] / stock[0] == pytest.approx(0.9)


def test_without_evidence_the_posterior_is_the_stated_prior():
    """Noise of a million and sales of about nothing: returns up to .7 of sales over
    spend are as likely as the half-normal says, shapes are the prior's.
    """
    rng = np.random.default_rng(4)
    spend = rng.uniform(50, 150, (60, 1))
    y = 1e6 * rng.normal(size=60)
    y += 60.0 / 60 - y.mean()
    fit = fit_response(y, spend, channels=["a"], design=np.ones((60, 1)), steps=8000)
    drawn = {
        "carry": np.log(fit.carry / (1 - fit.carry)),
        "half": np.log(fit.half / spend.mean()),
        "slope": np.log(fit.slope),
    }
    stated = {"carry": (-0.4, 1.0), "half": (0.2, 0.7), "slope": (0.1, 0.3)}
    for name, (mean, sd) in stated.items():
        assert drawn[name].mean() == pytest.approx(mean, abs=0.04 * sd), name
        assert drawn[name].std() == pytest.approx(sd, rel=0.04), name
    broad = 0.7 * y.sum() / spend.sum()
    assert fit.roi.mean() == pytest.approx(broad * np.sqrt(2 / np.pi), rel=0.04)


@pytest.mark.parametrize(("n_weeks", "n_columns"), [(51, 2), (52, 6), (87, 6), (88, 8)])
def test_the_season_gets_harmonics_as_the_log_grows(n_weeks, n_columns):
    assert baseline_design(n_weeks).shape[1] == n_columns


@pytest.mark.parametrize(
    ("p", "flags"),
    [
        ((0.044, 0.5), (True, False)),
        ((0.046, 0.5), (False, False)),
        ((0.5, 0.014), (False, True)),
        ((0.5, 0.016), (False, False)),
    ],
)
def test_demand_is_followed_at_its_alarm_levels(p, flags):
    chase = DemandChase(*p)
    assert (chase.is_running_after, chase.is_following_season) == flags
    assert chase.is_flagged == any(flags)


# --- plan and decisions -----------------------------------------------------------------


def model_of(returns, mixing=1.0, roi=None):
    """One channel with a nearly linear curve: `returns` per unit, one of each draw; 100
    a week today, 50 to 200 seen.
    """
    returns = np.asarray(returns, float)[:, None]
    flat = np.ones_like(returns)
    spend = np.resize([50.0, 200.0, 100.0, 100.0, 100.0, 100.0], 60)[:, None]
    fit = ResponseFit(
        ("a",),
        spend,
        returns if roi is None else np.asarray(roi, float)[:, None],
        0 * flat,
        1e9 * flat,
        flat,
        1e9 * returns,
        flat[:, 0],
        np.array([mixing]),
        0.0,
        0.0,
    )
    told = {"channel": ["a"], "fitted_as": ["a"], "verdict": ["identified"], "note": [""]}
    return MediaModel(fit, None, pd.DataFrame(told), weeks_of(spend))


NOW = 100 * 365.25 / 84


@pytest.mark.parametrize(
    ("n_good", "verdict", "action"), [(85, "move", "raise"), (75, "hold and test", "hold and test")]
)
def test_a_step_is_taken_where_four_draws_in_five_gain(n_good, verdict, action):
    plan = plan_budget(model_of([3.0] * n_good + [0.5] * (100 - n_good)), total=2 * NOW)
    assert plan.verdict == verdict
    row = plan.table.iloc[0]
    assert row.action == action
    assert row.now == pytest.approx(NOW)
    assert row.plan == pytest.approx(1.2 * NOW, rel=0.005)
    assert plan.p_gain == n_good / 100
    # 20 % more, each unit gaining 2 or losing a half
    assert plan.gain == pytest.approx(
        row.change * (2 * n_good - 0.5 * (100 - n_good)) / 100, rel=1e-4
    )


@pytest.mark.parametrize(("step", "verdict"), [(0.009, "hold"), (0.0125, "move")])
def test_a_change_of_one_percent_is_a_move(step, verdict):
    assert plan_budget(model_of([3.0] * 10), total=2 * NOW, largest_step=step).verdict == verdict


def test_a_channel_is_never_moved_out_of_the_range_seen():
    plan = plan_budget(model_of([3.0] * 10), total=9 * NOW, largest_step=5.0)
    assert plan.table.cap.iloc[0] == pytest.approx(2 * NOW)
    low = plan_budget(model_of([0.1] * 10), total=9 * NOW, largest_step=1.0)
    assert low.table.plan.iloc[0] == pytest.approx(0.5 * NOW)


@pytest.mark.parametrize(("cut", "share"), [(None, 0.8), (0.3, 0.7), (0.9, 0.5)])
def test_a_channel_falls_by_the_largest_cut_and_never_below_the_range_seen(cut, share):
    plan = plan_budget(model_of([0.1] * 10), total=9 * NOW, largest_step=0.2, largest_cut=cut)
    assert plan.table.plan.iloc[0] == pytest.approx(share * NOW, rel=0.005)
    more = plan_budget(model_of([3.0] * 10), total=9 * NOW, largest_step=0.2, largest_cut=cut)
    assert more.table.plan.iloc[0] == pytest.approx(1.2 * NOW, rel=0.02)


def of_all(middle, half):
    """The one estimate of the channel: its middle, and half of a 90 % interval."""
    ends = {"low": [middle - half], "high": [middle + half]}
    return pd.DataFrame({"channel": ["a"], "combined": [middle], **ends})


def test_a_curve_has_its_height_from_all_methods_together():
    """The response says 2 (1 or 3), all together .6 with a third of its spread: .27 or .93, as
    half of the interval is 1.645 errors. 20 % less of 100 a week saves 20 and costs 12.
    """
    model = model_of([1.0] * 50 + [3.0] * 50)
    assert plan_budget(model, total=2 * NOW).table.action.iloc[0] == "hold and test"
    plan = plan_budget(model, total=2 * NOW, combined=of_all(0.6, 1.645 / 3))
    row = plan.table.iloc[0]
    assert row.action == "lower" and row.plan == pytest.approx(0.8 * NOW, rel=0.005)
    assert row.gain == pytest.approx(-row.change * 0.4, rel=1e-3)
    ends = [-row.change * (1 - 0.6 - side / 3) for side in (1, -1)]
    assert (row.gain_low, row.gain_high) == pytest.approx(tuple(ends), rel=1e-3)


def test_what_no_method_judges_keeps_the_height_of_its_response():
    model, nobody = model_of([3.0] * 10), of_all(np.nan, np.nan)
    alone, both = plan_budget(model), plan_budget(model, combined=nobody)
    pd.testing.assert_frame_equal(alone.table, both.table)
    assert (plan_budget(model, combined=of_all(-1.0, 0.1)).table.gain >= 0).iloc[0]


def test_the_response_has_intervals_of_90_percent():
    row = response_table(model_of(np.ones(101), roi=np.arange(101.0))).iloc[0]
    assert [row.average_low, row.average_return, row.average_high] == pytest.approx([5, 50, 95])


def decided(returns=(3.0,) * 10, mixing=1.0, months=None, payback=1.0, **knobs):
    model = model_of(returns, mixing)
    pnl = pd.DataFrame({"channel": ["a"], "be_roas": [2.5], "payback_months": [payback]})
    empty = pd.DataFrame(columns=["channel", "status", "spend", "margin"])
    plan = plan_budget(model, total=2 * NOW)
    found = Findings(plan, pnl, empty if months is None else months, response_table(model), **knobs)
    return channel_decisions(found, as_of=AS_OF, currency="EUR").iloc[0]


def test_a_raise_says_how_much_for_what_and_when():
    row = decided()
    assert (row.action, row.verb, row.spends, row.is_idle) == ("raise", "raise", True, False)
    assert row["size"] == pytest.approx(0.2 * NOW, rel=0.03)
    assert row.expected_effect == pytest.approx(2 * row["size"], rel=1e-4)
    assert (row.due_on, row.revisit_on) == ("2026-11-07", "2026-12-05")
    assert (row.threshold, row.evidence_value) == pytest.approx((2.5, 7.5), rel=1e-4)
    assert (row.unit, row.effect_unit) == ("EUR/month", "EUR margin net of spend a month")


@pytest.mark.parametrize(("payback", "action"), [(12.0, "raise"), (12.5, "hold")])
def test_a_channel_is_not_raised_that_pays_back_after_twelve_months(payback, action):
    assert decided(payback=payback).action == action


@pytest.mark.parametrize(("mixing", "action"), [(1.049, "raise"), (1.051, "hold")])
def test_draws_that_do_not_agree_move_nothing(mixing, action):
    row = decided(mixing=mixing)
    assert (row.action, row.confidence == "low") == (action, action == "hold")
    assert ("draws" in row.reason) == (action == "hold")


@pytest.mark.parametrize(
    ("returns", "confidence"), [((3.0,) * 10, "high"), ((3.0,) * 90 + (0.9,) * 10, "medium")]
)
def test_an_interval_that_holds_one_is_of_medium_confidence(returns, confidence):
    assert decided(returns).confidence == confidence
    assert decided(returns, is_flagged=True).confidence == "low"


@pytest.mark.parametrize(("n_weak", "action"), [(1, "lower"), (2, "pause")])
def test_two_weak_months_pause_a_channel_the_response_does_not_defend(n_weak, action):
    margins = [50.0] * (3 - n_weak) + [9.0] * n_weak
    months = pd.DataFrame({"channel": "a", "status": "complete", "spend": 10.0, "margin": margins})
    assert decided((0.1,) * 10, months=months).action == action


# --- geo tests --------------------------------------------------------------------------


def regions_of(n_regions, days):
    rng = np.random.default_rng(3)
    margin = 100 + np.repeat(np.sin(np.arange(len(days)) / 5), n_regions)
    margin = margin * 5 + rng.normal(0, 1, len(margin))
    shop = orders(
        *[
            (str(i), days[i // n_regions], None, "search", 500.0, m, False)
            for i, m in enumerate(margin)
        ]
    )
    return shop.assign(region=np.resize([f"r{i}" for i in range(n_regions)], len(shop)))


def read(n_regions=6, history=40, length=14, factor=0.0, holes=0):
    days = pd.date_range(end=AS_OF, periods=history + length)
    shop, names = regions_of(n_regions, days), [f"r{i}" for i in range(n_regions)]
    paid = pd.DataFrame(
        [(d, r, 10.0) for d in days for r in names], columns=["day_on", "region", "spend"]
    )
    paid.loc[(paid.region == "r0") & (paid.day_on >= days[history]), "spend"] *= factor
    paid = paid.iloc[holes:].assign(channel="search")
    test = pd.DataFrame(
        {
            "test_id": "t",
            "region": names,
            "arm": ["treated"] + ["control"] * (n_regions - 1),
            "channel": "search",
            "starts_on": days[history],
            "ends_on": days[-1],
        }
    )
    return geo_readings(shop, geo_tests=test, ad_spend=paid, as_of=AS_OF).iloc[0]


@pytest.mark.parametrize(
    ("knobs", "note"),
    [
        ({"n_regions": 5}, ""),
        ({"n_regions": 4}, "needs treated"),
        ({"history": 28}, ""),
        ({"history": 27}, "needs treated"),
        ({"factor": 0.94}, ""),
        ({"factor": 0.96}, "spend did not differ"),
        ({"holes": 64}, ""),
        ({"holes": 66}, "spend by region is not known"),
    ],
)
def test_when_a_geo_test_can_be_read(knobs, note):
    """54 days of 6 regions are 324: a fifth of them is 64.8."""
    row = read(**knobs)
    assert row.note.startswith(note) and bool(row.note) == bool(note)
    if not note:
        assert row.roi == pytest.approx(row.effect / row.spend_change)
        reach = (row.high - row.low) / 2 / Z
        assert row.roi_se == pytest.approx(reach * 14 / abs(row.spend_change))


@pytest.mark.parametrize(("n_controls", "is_there"), [(7, False), (8, True)])
def test_a_placebo_needs_eight_controls(n_controls, is_there):
    panel = np.random.default_rng(1).normal(100, 5, (60, n_controls + 1))
    result = compare(panel, np.arange(n_controls + 1) == 0, 45)
    assert np.isfinite(result.p_placebo) == is_there


def test_the_interval_ends_where_the_test_refuses_at_ten_percent():
    panel = np.random.default_rng(1).normal(100, 5, (90, 6))
    treated = np.arange(6) == 0
    result = compare(panel, treated, 70)
    for end, outward in ((result.low, -1), (result.high, 1)):
        p = []
        for shift in (-0.1, 0.1):
            moved = panel.copy()
            moved[70:, 0] -= end + outward * shift
            p.append(compare(moved, treated, 70).p_conformal)
        assert p[0] > 0.1 >= p[1]


@pytest.mark.parametrize(("n_regions", "is_planned"), [(4, False), (5, True)])
def test_a_plan_wants_five_regions_and_three_times_its_length(n_regions, is_planned):
    days = pd.date_range(end=AS_OF, periods=42)
    response = pd.DataFrame(
        {"channel": ["a"], "spend_now": [70.0], "average_low": [0.0], "average_high": [9.0]}
    )
    plan = geo_plan(regions_of(n_regions, days), response=response, as_of=AS_OF, days=(14, 15))
    assert len(plan) == 2 * is_planned
    if is_planned:
        assert plan.note.tolist()[0] != "needs 42 days of sales by region, 42 are there"
        assert plan.note.tolist()[1] == "needs 45 days of sales by region, 42 are there"
        assert plan.known_within.tolist() == [4.5, 4.5]


@pytest.mark.parametrize(
    ("is_worthwhile", "size", "read_on"),
    [(True, 321.0, "2026-12-05"), (False, 100 * 0.25 * 56 / (365.25 / 12), "2027-01-02")],
)
def test_every_test_has_a_size_and_a_day_it_is_read(is_worthwhile, size, read_on):
    """As the geo plan says; else half of a month's 100 every other week for eight weeks."""
    tests = pd.DataFrame({"channel": ["a"], "days": [28], "spend_moved": [321.0]})
    tests = tests.assign(is_worthwhile=is_worthwhile)
    found = _test_sizes(tests, "a", 100.0, dt.date(2026, 10, 31))
    assert found == {"size": pytest.approx(size, abs=0.01), "revisit_on": read_on}
    assert _test_sizes(None, "a", float("nan"), dt.date(2026, 10, 31))["size"] is None
