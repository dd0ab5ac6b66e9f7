"""One plan: what one chapter says another says too. By rule on an outlook made here, and on
the result tables of a month where one is named in PLAYBOOK_MONTH (tests/plan_rules.py).
"""

import datetime as dt
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plan_rules
import pytest
from test_outlook import months

from playbook.chapters.channel_roi import combined
from playbook.chapters.channel_roi.decisions import Findings, _signed
from playbook.chapters.goal_setting import decisions as goal_decisions
from playbook.chapters.goal_setting import goals, plan, sales
from playbook.chapters.inventory_planning.forecast import demand_total
from playbook.measures import acquisition
from playbook.measures.acquisition import caused_shares, cost_of_new, recent_cost
from playbook.outlook.forecast import outlook_of
from playbook.tables import schema

OWN = {"net_revenue": (1.1, 0.9), "orders": (1.3, 0.7), "aov": (0.5, 0.5)}
NAMES = goals.TREES["traffic"]


def shop(seed=1, own_share=1.1, n=36):
    """An outlook, the months behind it, and own targets at a multiple of the forecast."""
    history = months(n, seed)
    ahead = outlook_of(history)
    series = history[history["level"] == "shop"][["metric", "month", "amount"]]
    rows = [
        {"month": month, "metric": metric, "value": own_share * mid}
        for metric in ("net_revenue", "orders", "aov")
        for month, mid in ahead.rows.query(
            "metric == @metric and level == 'shop' and horizon == 'month' and step <= 3"
        )[["month", "mid"]].itertuples(index=False)
    ]
    drivers = series.pivot(index="month", columns="metric", values="amount").reset_index()
    own = SimpleNamespace(outlook=ahead, tree="traffic", drivers=drivers, metrics=series)
    return own, series, pd.DataFrame(rows)


def sheet_of(own, series, targets):
    ready = sales.ready_forecasts(own)
    as_of = pd.Period(series["month"].max(), "M").end_time.date()
    sheet = goals.smart_sheet(series, as_of=as_of, targets=targets, ready=ready)
    verdicts = goals.goal_verdicts(sheet)
    return plan.set_once(verdicts, outlook=own.outlook, ready=ready, names=NAMES)


@pytest.mark.parametrize("own_share", [0.8, 1.02, 2.0])
def test_the_targets_multiply_to_the_revenue_goal_in_every_horizon(own_share):
    own, series, targets = shop(own_share=own_share)
    wide = sheet_of(own, series, targets).pivot(index="horizon", columns="metric", values="target")
    assert (wide["sessions"] * wide["cvr_sessions"]).to_numpy() == pytest.approx(
        wide["orders"].to_numpy(), rel=1e-9
    )
    assert (wide["orders"] * wide["aov"]).to_numpy() == pytest.approx(
        wide["net_revenue"].to_numpy(), rel=1e-9
    )
    people = wide["new_customers"] + wide["returning_customers"]
    assert people.to_numpy() == pytest.approx(wide["buyers"].to_numpy(), rel=1e-9)


def test_a_target_below_the_forecast_is_not_adopted_and_says_what_it_would_give_away():
    own, series, targets = shop(own_share=0.8)
    sheet = sheet_of(own, series, targets).set_index(["metric", "horizon"])
    row = sheet.loc[("net_revenue", "month")]
    assert row["action"] == "raise" and row["target"] >= row["forecast"]
    assert row["own_target"] == pytest.approx(0.8 * row["forecast"])
    assert row["given_away"] == pytest.approx(0.2 * row["forecast"])
    kept = sheet_of(*shop(own_share=1.02)[:2], shop(own_share=1.02)[2])
    kept = kept.set_index(["metric", "horizon"]).loc[("net_revenue", "month")]
    assert kept["action"] == "set" and kept["target"] == kept["own_target"]
    assert kept["given_away"] == 0


@pytest.mark.parametrize("targets, is_kept", [(None, False), (["new_customers"], True)])
def test_what_was_nothing_all_year_is_a_goal_only_where_the_shop_set_one(targets, is_kept):
    own, series, _ = shop()
    gone = (series["metric"] == "new_customers") & (series["month"] > "2025-10")
    series = series.assign(amount=series["amount"].mask(gone, 0.0))
    own.metrics, own.shop = series, SimpleNamespace(as_of=pd.Timestamp("2026-10-31").date())
    own.targets = targets and pd.DataFrame({"metric": targets, "month": "2026-11", "value": 5.0})
    sheet = sales.smart(own, ["new_customers", "orders"], ask=0.4, level=0.8)
    assert ("new_customers" in set(sheet["metric"])) == is_kept
    assert "orders" in set(sheet["metric"])


def test_tree_sheet_key_results_and_rows_for_the_shop_say_one_number():
    own, series, targets = shop(own_share=0.9)
    sheet = sheet_of(own, series, targets)
    found = plan.tree(own, sheet).set_index(["horizon", "driver"])["needed"]
    by = sheet.set_index(["horizon", "metric"])["target"]
    for key, needed in found.items():
        assert needed == pytest.approx(by[key], rel=1e-9)
    rows = goals.target_rows(sheet).set_index("metric")["value"]
    assert rows.to_numpy() == pytest.approx(by["month"].reindex(rows.index).to_numpy())
    assert len(goals.okr(sheet)) == len(sheet[sheet["horizon"] == "quarter"])


def test_effects_of_the_tree_sum_to_goal_less_forecast():
    own, series, targets = shop(own_share=1.02)
    sheet = sheet_of(own, series, targets).set_index(["metric", "horizon"])
    tree = plan.tree(own, sheet.reset_index())
    for horizon, part in tree.groupby("horizon"):
        row = sheet.loc[("net_revenue", horizon)]
        gap = row["target"] - row["forecast"]
        assert part["effect"].sum() == pytest.approx(gap, rel=1e-9, abs=1e-6)
        assert part["forecast"].prod() == pytest.approx(row["forecast"], rel=1e-9)


def test_what_was_foreseen_of_a_month_is_what_an_outlook_without_it_says():
    own, series, _targets = shop()
    last = series["month"].max()
    before = outlook_of(months(36).query("month < @last"))
    said = plan.foreseen(own.outlook, last).set_index("metric")["mid"]
    then = before.shop("month")["mid"]
    assert said.to_numpy() == pytest.approx(then.reindex(said.index).to_numpy(), rel=1e-9)
    # of a running month the outlook of the months before it is the newest
    running = plan.foreseen(before, last).set_index("metric")["mid"]
    assert running.to_dict() == then.to_dict()
    assert plan.foreseen(own.outlook, "2020-01").empty


def test_the_quarter_ahead_is_held_against_the_months_behind_it():
    """Orders of the outlook's quarter over three times the mean month of the last 3, 6 and 12;
    a log of eight months has no mean of twelve.
    """
    own, series, _targets = shop()
    quarter = own.outlook.shop("quarter").loc["orders"]
    known = series[series["metric"] == "orders"].sort_values("month")
    table = plan.volume_ahead(own.outlook, series).set_index("months_behind")
    assert list(table.index) == [3, 6, 12]
    for n, row in table.iterrows():
        behind = known["amount"].tail(n).mean()
        assert row.times == pytest.approx(quarter["mid"] / 3 / behind)
        assert row.times_high == pytest.approx(quarter["high"] / 3 / behind)
    young = plan.volume_ahead(own.outlook, known.tail(8))
    assert young.months_behind.tolist() == [3, 6]


def test_a_month_without_a_target_is_paced_against_what_was_foreseen_of_it():
    days = pd.DataFrame({"period_on": pd.date_range("2026-08-01", "2026-10-31"), "amount": 10.0})
    own = SimpleNamespace(
        daily=days.assign(orders=1),
        targets=None,
        shop=SimpleNamespace(month="2026-10", as_of=pd.Timestamp("2026-10-31").date()),
    )
    said = pd.DataFrame({"metric": ["orders", "net_revenue"], "mid": [5.0, 300.0]})
    last = sales.paced(own, said).query("status == 'complete'").iloc[-1]
    assert (last["actual"], last["expected"]) == pytest.approx((310.0, 300.0))
    assert sales.paced(own) is None and sales.paced(own, said.head(1)) is None


def test_low_lies_below_the_forecast_and_high_above_it():
    own, _series, _targets = shop()
    out = plan.scenarios(own, fixed=10.0).set_index("scenario")["revenue"]
    assert out["low"] < own.outlook.mid("net_revenue", "month") < out["high"]
    assert out["middle"] == own.outlook.mid("net_revenue", "month")
    swings = plan.driver_swings(own)
    assert swings["base"].to_numpy() == pytest.approx(out["middle"])


def test_targets_by_category_sum_to_the_goal_and_forecasts_to_the_shops():
    own, series, targets = shop(own_share=0.9)
    sheet = sheet_of(own, series, targets)
    verdicts = pd.DataFrame({"category": ["tea"], "action": ["widen"]})
    out = plan.category_plan(own.outlook, sheet, verdicts=verdicts)
    by = sheet.set_index(["metric", "horizon"]).loc[("net_revenue", "quarter")]
    assert out["target"].sum() == pytest.approx(by["target"], rel=1e-9)
    assert out["forecast"].sum() == pytest.approx(by["forecast"], rel=1e-9)
    assert out["share"].sum() == pytest.approx(1)
    assert out.set_index("category")["action"].to_dict() == {"tea": "widen", "garden": "hold"}


def test_a_shop_of_one_category_has_no_plan_by_category():
    own, series, targets = shop(own_share=0.9)
    rows = own.outlook.rows
    alone = replace(own.outlook, rows=rows[rows["level"] != "category"])
    verdicts = pd.DataFrame({"category": ["tea"], "action": ["widen"]})
    out = plan.category_plan(alone, sheet_of(own, series, targets), verdicts=verdicts)
    assert out.empty and list(out) == schema("goal_setting.product_plan").names


def test_capacity_is_asked_of_the_busiest_month_at_the_goal():
    own, series, targets = shop(own_share=0.9)
    sheet = sheet_of(own, series, targets)
    month, orders = plan.capacity_at_goal(own.outlook, sheet)
    ahead = own.outlook.rows.query("metric == 'orders' and level == 'shop' and horizon == 'month'")
    peak = ahead.loc[ahead["mid"].idxmax()]
    assert month == peak["month"] and orders >= peak["mid"]
    assert orders > ahead["mid"].mean()


@pytest.mark.parametrize(
    "before, n_days, share, is_week",
    [(30, 7, 1.01, True), (29, 7, 1.01, False), (30, 6, 1.01, False), (30, 7, 0.99, False)],
)
def test_capacity_is_asked_of_a_whole_week_that_is_busier_than_every_month_and_can_be_told(
    before, n_days, share, is_week
):
    own, series, targets = shop(own_share=0.9)
    sheet = sheet_of(own, series, targets)
    month, orders = plan.capacity_at_goal(own.outlook, sheet)
    more = plan._more_orders(own.outlook, sheet, "quarter")
    weekly = share * orders / more / (365.25 / 12) * 7
    week = {"week_on": pd.Timestamp("2026-11-23"), "n_days": n_days, "orders": weekly}
    weeks = pd.DataFrame([week | {"orders_before": before}])
    stretch, at_goal = plan.capacity_at_goal(own.outlook, sheet, weeks)
    assert stretch == ("2026-11-23" if is_week else month)
    assert at_goal == pytest.approx(orders * (share if is_week else 1.0))


def test_the_peak_asks_for_every_promotion_day_of_the_weeks_ahead_that_is_missing():
    days = {"before": [7, 2, 0], "planned": [0, 2, 3], "missing": [7, 0, 0]}
    weeks = pd.DataFrame({f"promotion_days_{name}": column for name, column in days.items()})
    weeks["week_on"] = pd.to_datetime(["2026-11-16", "2026-11-23", "2026-11-30"])
    peak = pd.DataFrame({"month": ["2026-12"], "promotion_days_missing": 5.0, "order_by": [pd.NaT]})
    known = {"as_of": "2026-10-31", "due_on": "2026-11-14"}
    row = goal_decisions.peak_decisions(peak, weeks, **known).iloc[0]
    assert (row["subject"], row["size"]) == ("peak 2026-12", 7)
    none = weeks.assign(promotion_days_missing=0)
    assert goal_decisions.peak_decisions(peak, none, **known).empty


@pytest.mark.parametrize(
    ("week", "due"),
    [("2026-11-23", "2026-11-14"), ("2026-11-16", "2026-11-09"), ("2026-11-02", "2026-11-01")],
)
def test_a_peak_is_due_before_its_first_promotion_day_and_never_in_the_past(week, due):
    days = {f"promotion_days_{name}": [3] for name in ("before", "planned", "missing")}
    weeks = pd.DataFrame({"week_on": [pd.Timestamp(week)], **days})
    peak = {"month": "2026-11", "promotion_days_missing": 3.0, "order_by": dt.date(2026, 10, 1)}
    known = {"as_of": "2026-10-31", "due_on": "2026-11-14"}
    row = goal_decisions.peak_decisions(pd.DataFrame([peak]), weeks, **known).iloc[0]
    assert row["due_on"] == due
    assert "too late" in row["reason"], "goods could have been ordered a month ago"


def test_a_young_shop_keeps_its_own_target_and_gets_no_scenarios():
    own, series, targets = shop(n=5)
    sheet = sheet_of(own, series, targets).set_index(["metric", "horizon"])
    row = sheet.loc[("net_revenue", "month")]
    assert row["action"] == "research" and row["target"] == row["own_target"]
    assert plan.scenarios(own, fixed=np.nan) is None and plan.driver_swings(own) is None


@pytest.mark.skipif(not os.environ.get("PLAYBOOK_MONTH"), reason="PLAYBOOK_MONTH names no month")
def test_the_chapters_of_a_month_agree():
    found = plan_rules.broken(Path(os.environ["PLAYBOOK_MONTH"]))
    assert found[found["is_broken"]].to_dict("records") == []


def readings(**changed):
    pnl = {"channel": "search", "new_customers": 100, "poas": 2.0, "poas_low": 1.9}
    pnl |= {"poas_high": 2.1}
    answer = {"channel": "search", "verdict": "identified", "average_return": 1.0}
    answer |= {"average_low": 0.5, "average_high": 1.5, "marginal_return": np.nan}
    test = {"channel": "search", "roi": 4.0, "roi_se": 0.5}
    for row in (pnl, answer, test):
        row |= {name: value for name, value in changed.items() if name in row}
    return (pd.DataFrame([row]) for row in (pnl, answer, test))


def test_a_channels_estimate_is_the_inverse_variance_mean_with_a_floor_per_method():
    row = combined.combined(*readings()).iloc[0]
    se = {"account": 0.1 / combined.Z90, "response": 0.5 / combined.Z90}
    trust = {
        "account": 1 / (se["account"] ** 2 + (0.5 * 1.5) ** 2),
        "response": 1 / (se["response"] ** 2 + (0.2 * 1.5) ** 2),
    }
    expected = (2.0 * trust["account"] + trust["response"]) / sum(trust.values())
    assert row["combined"] == pytest.approx(expected)
    assert row["account_weight"] + row["response_weight"] == pytest.approx(1)
    # a test that entered the response is not counted again
    assert row["geo_weight"] == 0 and np.isnan(row["geo"])


def test_a_test_speaks_where_the_response_cannot_and_few_new_customers_are_not_judged():
    row = combined.combined(*readings(verdict="not identifiable", new_customers=29)).iloc[0]
    assert (row["combined"], row["geo_weight"], row["verdict"]) == (4.0, 1.0, "earns")
    half = combined.Z90 * np.hypot(0.5, 0.4)
    assert row["low"] == pytest.approx(4 - half)
    judged = combined.combined(*readings(verdict="not identifiable", new_customers=30)).iloc[0]
    assert judged["account_weight"] > 0
    pnl, answer, _test = readings(verdict="not identifiable", new_customers=29)
    assert combined.combined(pnl, answer).iloc[0]["verdict"] == "not judged"


def test_the_account_of_a_channel_counts_for_the_share_it_caused():
    pnl, answer, _test = readings(verdict="not identifiable")
    row = combined.combined(pnl.assign(caused_over_recorded=0.25), answer).iloc[0]
    assert row["account"] == pytest.approx(0.5) and row["account_se"] == pytest.approx(
        0.25 * 0.1 / combined.Z90
    )


@pytest.mark.parametrize("n_new, is_judged", [(29, False), (30, True)])
def test_the_next_customer_costs_more_where_the_curve_bends_and_few_are_not_judged(
    n_new, is_judged
):
    pnl, answer, _test = readings(new_customers=n_new)
    pnl = pnl.assign(ncac=40.0, payback_months=3.0)
    row = combined.combined(pnl, answer.assign(marginal_return=0.5)).iloc[0]
    expected = (40.0, 80.0, 3.0) if is_judged else (np.nan,) * 3
    found = row[["ncac", "next_ncac", "payback_months"]].astype(float)
    np.testing.assert_allclose(found, expected)


def test_new_customers_count_for_the_share_caused_and_the_doubt_in_it_widens_the_interval():
    """By hand: 1,000 spent, 50 recorded, half of them caused: 40 each."""
    spend, new = pd.Series([1000.0, 1000.0]), pd.Series([50.0, 0.0])
    row = cost_of_new(spend, new, 0.5, 0.35).iloc[0]
    assert row["ncac"] == 40.0
    plain = cost_of_new(spend, new).iloc[0]
    assert plain["ncac"] == 20.0
    half = np.hypot(np.log(plain["ncac_high"] / 20), acquisition.Z90 * 0.35)
    assert row["ncac_high"] == pytest.approx(40 * np.exp(half))
    assert row["ncac_low"] < 2 * plain["ncac_low"] and row["ncac_high"] > 2 * plain["ncac_high"]
    assert cost_of_new(spend, new, 0.5, 0.35)["ncac"].isna().tolist() == [False, True]


def seen(kinds, **own):
    """A store of channels by kind and of the shop's own shares."""
    table = SimpleNamespace(
        select=lambda *_names: SimpleNamespace(
            to_pandas=lambda: pd.DataFrame(kinds, columns=["channel", "kind"])
        )
    )
    return SimpleNamespace(
        has=lambda _name: True, channels=table, settings={"caused_shares": own or None}
    )


def test_a_share_of_the_shops_own_goes_before_the_one_of_its_kind():
    kinds = [("google", "search"), ("banner", "paid"), ("mail", "email")]
    shares = caused_shares(seen(kinds, banner=0.6)).set_index("channel")
    assert shares["caused_over_recorded"].to_dict() == {"google": 0.58, "banner": 0.6}
    assert shares["share_spread"].to_dict() == {"google": 0.35, "banner": 0.1}
    assert shares["is_own"].to_dict() == {"google": False, "banner": True}
    months = pd.DataFrame(
        {
            "channel": ["banner", "mail"],
            "month": "2026-08",
            "spend": 90.0,
            "new_customers": 30,
            "is_spend_known": True,
            "status": "complete",
        }
    )
    cost = recent_cost(months, shares=shares.reset_index()).set_index("channel")["ncac"]
    assert cost["banner"] == pytest.approx(3 / 0.6) and cost["mail"] == 3.0


@pytest.mark.parametrize(
    "kind, verdict, is_identified, signed",
    [
        ("pause_unidentified", "loses", False, "pause_unidentified"),
        ("pause_unidentified", "undecided", False, "test_unidentified"),
        ("pause_unidentified", "not judged", False, "hold_unidentified"),
        ("pause_weak", "undecided", True, "test_weak"),
        ("pause_weak", "", True, "pause_weak"),
        ("raise", "loses", True, "hold_unsure"),
        ("raise", "earns", True, "raise"),
        ("lower", "earns", True, "lower"),
    ],
)
def test_the_combined_verdict_stands_above_the_accounts(kind, verdict, is_identified, signed):
    assert _signed(kind, verdict, is_identified) == signed
    table = pd.DataFrame({"channel": ["search"], "verdict": [verdict]})
    found = Findings(None, None, None, None, combined=table)
    assert (found.verdict("search"), found.verdict("radio")) == (verdict, "")


def test_a_budgets_row_says_what_all_methods_say_and_what_the_next_customer_costs():
    ends = {"combined": 0.552, "low": 0.068, "high": 1.035}
    table = pd.DataFrame([{"channel": "display", "next_ncac": 388.51, **ends}])
    table = pd.concat([table, pd.DataFrame({"channel": ["radio"]})], ignore_index=True)
    found = Findings(None, None, None, None, combined=table)
    told = found.together("display")
    assert "0.55 (0.07 to 1.03" in told and "costs 388.51" in told and "cap of chapter 05" in told
    assert (found.together("radio"), found.together("email")) == ("", "")


def test_a_cost_over_its_cap_that_its_budgets_row_forgets_is_told(monkeypatch):
    both = pd.DataFrame({"channel": ["display"], "next_ncac": [388.51]})
    rows = pd.DataFrame({"subject_type": "channel", "subject": ["display"], "reason": ["hold"]})
    caps = both.assign(cap=17.81).set_index("channel")
    monkeypatch.setattr(plan_rules, "table", lambda *_about: both)
    for reason, is_broken in (("hold", True), ("hold; the next costs 388.51", False)):
        told = rows.assign(reason=reason)
        monkeypatch.setattr(plan_rules, "decisions", lambda *_about, told=told: told)
        assert plan_rules._told_costs(Path(), caps)[0][-1] == is_broken


@pytest.mark.parametrize(
    "factor, verdict",
    [(0.79, "goods below"), (0.81, "agree"), (1.19, "agree"), (1.21, "goods above")],
)
def test_goods_and_shop_agree_within_a_fifth(factor, verdict):
    """Two units an order of the last three months; the shop's orders of 28 days of November
    (30 days) take twice as many units.
    """
    history = months(36)
    ahead = outlook_of(history)
    orders = history.query("metric == 'orders' and level == 'shop'")["amount"]
    weekly = 2 * orders.tail(3).mean() / (365.25 / 12) * 7
    panel = SimpleNamespace(units=np.full((1, 20), weekly))
    wanted = 2 * ahead.mid("orders", "month") / 30 * 28
    law = SimpleNamespace(mean=lambda weeks: np.full((2, weeks), factor * wanted / 2 / weeks))
    row = demand_total(panel, law, ahead).iloc[0]
    assert row["units_per_order"] == pytest.approx(2.0)
    assert row["ratio"] == pytest.approx(factor) and row["verdict"] == verdict
    panel.units[:] = 0.0
    row = demand_total(panel, law, ahead).iloc[0]
    assert np.isnan(row["ratio"]) and row["verdict"] == "", "closed for a quarter: no ratio"


def test_a_goal_below_the_forecast_sets_no_driver_below_it_without_saying_so():
    row = {"metric": "sessions", "forecast": 1_000.0, "base": 900.0, "own_target": np.nan}
    row |= {"status": "complete", "given_away": np.nan, "action": "set"}
    under = plan._as_needed(row, {"sessions": 970.0})
    assert under["action"] == "research" and "itself lies below" in under["reason"]
    over = plan._as_needed(row, {"sessions": 1_030.0})
    assert over["action"] == "set" and over["reason"] == "what the revenue goal needs"
