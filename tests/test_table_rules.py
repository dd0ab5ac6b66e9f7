"""Months whose tables contradict themselves or each other, and the rules that tell them."""

from pathlib import Path

import pandas as pd
from zoo_rules import (
    NOTHING,
    Month,
    a_fix_brings_no_more_than_the_fault_costs,
    a_holiday_is_no_hole,
    at_stake_is_not_less_than_nothing,
    campaigns_can_succeed,
    effects_lie_within_their_ends,
    figures_have_names,
    growth_is_of_one_thing,
    late_goods_are_chased,
    no_days_without_end,
    no_page_knows_more_than_its_sheet,
    only_what_is_planned_is_stopped,
    parts_are_within_the_whole,
    reasons_name_what_is_known,
    returns_are_seen_alike,
    suppliers_are_told_apart,
    the_mean_order_changed_once,
    tiers_are_a_scheme,
    what_is_gone_is_not_forecast,
    what_moves_is_known,
    zero_is_observed,
)


def month_of(decisions=NOTHING, **tables):
    """A month of these tables alone, named `c08_returns` for 08/returns."""
    month = object.__new__(Month)
    month.tables = {f"{name[1:3]}/{name[4:]}": table for name, table in tables.items()}
    month.decisions, month.store, month.month = decisions, None, "2026-10"
    return month


def test_returns_booked_by_sku_are_not_nil_of_every_sku():
    booked = pd.DataFrame({"view": ["sku"], "key": ["cup"], "n_returned": [40]})
    nil = pd.DataFrame({"sku": ["cup"], "n_returned": [0.0]})
    assert list(returns_are_seen_alike(month_of(c08_returns=booked, c10_quality=nil)))
    seen = month_of(c08_returns=booked, c10_quality=nil.assign(n_returned=3.0))
    assert not list(returns_are_seen_alike(seen))


def test_no_interval_of_a_share_ends_above_the_whole():
    back = pd.DataFrame({"share": [0.95], "low": [0.5], "high": [1.7]})
    assert list(parts_are_within_the_whole(month_of(c08_returns=back)))
    assert not list(parts_are_within_the_whole(month_of(c08_returns=back.assign(high=1.0))))


def test_a_share_that_is_nil_in_every_month_breaks_a_rule_unless_the_log_has_seen_it(tmp_path):
    nil = pd.DataFrame({"indicator": ["cancelled share"], "month": ["2026-10"], "amount": [0.0]})
    month = month_of(c00_indicators=nil)
    month.headline = NOTHING
    month.store = tmp_path
    pd.DataFrame({"status": ["paid"]}).to_csv(tmp_path / "orders.csv")
    assert list(zero_is_observed(month)) == ["cancelled share is 0 in every month"]
    pd.DataFrame({"status": ["paid", "cancelled"]}).to_csv(tmp_path / "orders.csv")
    assert not list(zero_is_observed(month))


def test_a_test_does_not_wait_for_more_buyers_than_customers():
    asked = pd.DataFrame({"segment": ["rich"], "buyer_share": [0.91], "holdout_share": [0.0]})
    asked = asked.assign(detectable_lift=float("nan"), measure="buyers")
    assert list(campaigns_can_succeed(month_of(c06_actions=asked)))
    by_spend = asked.assign(measure="spend", detectable_lift=0.6)
    assert not list(campaigns_can_succeed(month_of(c06_actions=by_spend)))


def test_no_range_at_stake_begins_below_nothing():
    row = {"notebook": "06", "action": "wake", "subject": "all", "effect_kind": "margin_at_stake"}
    rows = pd.DataFrame([row | {"expected_effect": 5.0, "effect_low": -1.0}])
    assert list(at_stake_is_not_less_than_nothing(month_of(rows)))
    assert not list(at_stake_is_not_less_than_nothing(month_of(rows.assign(effect_low=0.0))))


def test_an_effect_above_its_own_upper_end_breaks_a_rule():
    rows = pd.DataFrame({"action": ["order"], "subject": ["a"], "notebook": ["07"]})
    rows = rows.assign(expected_effect=18.7, effect_low=0.0, effect_high=0.0)
    assert list(effects_lie_within_their_ends(month_of(rows)))
    assert not list(effects_lie_within_their_ends(month_of(rows.assign(effect_high=18.7))))


def test_tiers_are_no_scheme_with_more_gold_than_silver_or_members_of_no_tier():
    tiers = pd.DataFrame({"scheme": "searched", "threshold": [1.0, 2.0], "n_judged": [60, 50]})
    assert not list(tiers_are_a_scheme(month_of(c06_tiers=tiers)))
    assert list(tiers_are_a_scheme(month_of(c06_tiers=tiers.assign(n_judged=[50, 60]))))
    down = pd.DataFrame({"n_down": [9]})
    assert list(tiers_are_a_scheme(month_of(c06_tiers=tiers, c06_downgrades=down)))
    rows = pd.DataFrame({"action": ["set threshold"], "effect_kind": ["revenue_at_stake"]})
    assert list(tiers_are_a_scheme(month_of(rows, c06_tiers=tiers)))


def test_no_reason_is_of_a_table_the_shop_does_not_have(tmp_path):
    told = pd.DataFrame({"reason": ["prices moved only with stock-outs"]})
    month = month_of(c10_elasticity=told)
    month.store = tmp_path
    assert list(reasons_name_what_is_known(month))
    pd.DataFrame({"sku": ["cup"]}).to_csv(tmp_path / "stock.csv")
    assert not list(reasons_name_what_is_known(month))


def test_growth_of_a_category_is_one_figure_and_what_is_sold_is_not_entered():
    all_skus = pd.DataFrame({"category": ["tea", "pots"], "growth": [0.16, 0.02]})
    same_skus = all_skus.assign(growth=[-0.07, 0.02])
    tables = {"c01_category_growth": all_skus, "c01_verdicts": same_skus}
    assert list(growth_is_of_one_thing(month_of(**tables)))
    named = same_skus.rename(columns={"growth": "same_skus_growth"})
    assert not list(growth_is_of_one_thing(month_of(**tables | {"c01_verdicts": named})))
    rows = pd.DataFrame({"notebook": "01", "action": ["enter"], "subject": "tea", "size": [9.0]})
    assert list(growth_is_of_one_thing(month_of(rows)))
    assert not list(growth_is_of_one_thing(month_of(rows.assign(action="widen"))))


def test_no_budget_moves_on_draws_that_do_not_agree():
    plan = pd.DataFrame({"channel": ["search", "live"], "action": ["lower", "hold and test"]})
    response = plan.assign(verdict="identified", r_hat=[1.01, 1.4])
    assert not list(what_moves_is_known(month_of(c03_budget=plan, c03_response=response)))
    rough = response.assign(r_hat=1.06)
    assert list(what_moves_is_known(month_of(c03_budget=plan, c03_response=rough)))


def test_the_mean_order_changes_by_one_amount_with_the_card_beside_it():
    told = pd.DataFrame({"dimension": ["category", "channel", "region"]})
    told = told.assign(contribution=[-0.6, -2.7, -2.7], after_returns=-3.1)
    assert not list(the_mean_order_changed_once(month_of(c11_mix_rate=told)))
    assert list(
        the_mean_order_changed_once(month_of(c11_mix_rate=told.drop(columns="after_returns")))
    )
    apart = told.assign(contribution=[-0.6, -2.7, 3.0])
    assert list(the_mean_order_changed_once(month_of(c11_mix_rate=apart)))


def test_a_decision_calls_a_figure_by_its_name():
    rows = pd.DataFrame({"subject": ["driver cvr_sessions"], "reason": ["within the past"]})
    assert list(figures_have_names(month_of(rows)))
    assert not list(figures_have_names(month_of(rows.assign(subject="Session conversion"))))
    assert not list(figures_have_names(month_of()))


def test_no_number_of_days_stands_for_never():
    held = pd.DataFrame({"sku": ["cup"], "days": [9999.0]})
    assert list(no_days_without_end(month_of(c07_overstock=held)))
    assert not list(no_days_without_end(month_of(c07_overstock=held.assign(days=float("nan")))))


def test_a_second_source_names_the_scatter_and_an_order_its_two_readings():
    known = pd.DataFrame({"supplier_id": ["a", "b"], "lead_cv": [0.61, 0.2]})
    row = {"subject": "a", "action": "second source", "kind": "inventory_planning.second_source"}
    vague = pd.DataFrame([row | {"reason": "on time in full: 41%"}])
    assert list(suppliers_are_told_apart(month_of(vague, c07_suppliers=known)))
    plain = vague.assign(reason="scatter by 61%")
    assert not list(suppliers_are_told_apart(month_of(plain, c07_suppliers=known)))
    bought = pd.DataFrame({"supplier_id": ["a"], "expected_margin": [13474.4]})
    order = {"subject": "a", "action": "order", "kind": "inventory_planning.order"}
    silent = pd.DataFrame([order | {"expected_effect": 9156.0, "reason": "66 lines"}])
    assert list(suppliers_are_told_apart(month_of(silent, c07_purchase_by_supplier=bought)))
    told = silent.assign(reason="of 13,474 EUR and 4,838 EUR the mean")
    assert not list(suppliers_are_told_apart(month_of(told, c07_purchase_by_supplier=bought)))


def proposed(**row):
    """One open proposal, and what a month of it is recorded as."""
    stated = {"notebook": "10", "status": "proposed", "is_idle": False, "due_on": "2026-11-09"}
    return pd.DataFrame([stated | row])


def dated_month(decisions=NOTHING, **tables):
    month = month_of(decisions, **tables)
    month.record, month.folder = {"as_of": "2026-10-31"}, Path("nowhere")
    return month


def test_nothing_unplanned_is_stopped_and_a_peak_is_due_before_it():
    coming = pd.DataFrame({"promo_id": ["s"], "n_planned": [0.0]})
    stop = proposed(action="stop promotion", subject="s")
    assert list(only_what_is_planned_is_stopped(dated_month(stop, c10_promotions_ahead=coming)))
    held = coming.assign(n_planned=3.0)
    assert not list(only_what_is_planned_is_stopped(dated_month(stop, c10_promotions_ahead=held)))
    week = pd.Timestamp("2026-11-09")
    weeks = pd.DataFrame({"week_on": [week], "promotion_days_missing": [3.0]})
    peak = proposed(action="plan the peak", subject="peak 2026-11")
    assert not list(only_what_is_planned_is_stopped(dated_month(peak, c02_calendar_ahead=weeks)))
    late = peak.assign(due_on="2026-11-14")
    assert list(only_what_is_planned_is_stopped(dated_month(late, c02_calendar_ahead=weeks)))


def test_a_fix_claims_no_more_a_month_than_the_fault_and_is_sure_of_enough():
    fault = {"month": "2026-10", "subject": "pay", "amount": 310.0, "n_days": 31}
    ship = {"action": "ship", "subject": "pay: B", "effect_kind": "margin", "confidence": "high"}
    rows = proposed(expected_effect=300.0, effect_period="month", **ship)
    read = {"test_id": "pay", "arm": "B", "n_control": 9, "n_arm": 9, "n_needed": 9.0}
    tables = {"c00_incidents": pd.DataFrame([fault]), "c08_tests": pd.DataFrame([read])}
    assert not list(a_fix_brings_no_more_than_the_fault_costs(dated_month(rows, **tables)))
    more = rows.assign(expected_effect=310.0)
    assert list(a_fix_brings_no_more_than_the_fault_costs(dated_month(more, **tables)))
    tables["c08_tests"]["n_needed"] = 10.0
    assert list(a_fix_brings_no_more_than_the_fault_costs(dated_month(rows, **tables)))


def test_late_goods_have_an_effect_and_what_is_in_is_not_asked_for():
    chase = proposed(action="chase overdue lines", subject="a", expected_effect=float("nan"))
    assert list(late_goods_are_chased(dated_month(chase)))
    assert not list(late_goods_are_chased(dated_month(chase.assign(expected_effect=5.0))))
    empty = {"kind": "best_seller_empty", "subject": "cup", "check": "where is its delivery"}
    happened = pd.DataFrame([empty | {"ends_on": "2026-10-13"}])
    assert list(late_goods_are_chased(dated_month(c00_incidents=happened)))
    lasts = happened.assign(ends_on="2026-10-31")
    assert not list(late_goods_are_chased(dated_month(c00_incidents=lasts)))


def test_what_is_gone_is_not_forecast_by_one_order():
    gone = pd.DataFrame({"sku": ["cup"], "reason": ["gone quiet"]})
    tables = {"c09_filtered": gone, "c10_roles": pd.DataFrame({"sku": ["cup"], "units": [104]})}
    ahead = pd.DataFrame({"sku": ["cup"], "mean_week": [148.0]})
    assert list(what_is_gone_is_not_forecast(month_of(c07_classes=ahead, **tables)))
    ahead["mean_week"] = 2.0
    assert not list(what_is_gone_is_not_forecast(month_of(c07_classes=ahead, **tables)))


def test_empty_days_between_orders_numbered_on_are_no_hole(tmp_path):
    hole = {"kind": "orders_missing", "starts_on": "2026-10-03", "ends_on": "2026-10-05"}
    month = month_of(c00_incidents=pd.DataFrame([hole]))
    month.store = tmp_path
    days = ["2026-10-01", "2026-10-02", "2026-10-06"]
    for last, is_broken in ((12, True), (40, False)):
        orders = pd.DataFrame({"order_id": [10, 11, last], "ordered_at": days})
        orders.to_csv(tmp_path / "orders.csv", index=False)
        assert bool(list(a_holiday_is_no_hole(month))) == is_broken


def test_what_the_sheet_does_not_know_the_record_and_the_fan_do_not():
    goal = {"horizon": "quarter", "metric": "net_revenue"}
    sheet = pd.DataFrame([goal | {"forecast": float("nan")}])
    fan = pd.DataFrame({"mid": [5.0, 9.0], "status": ["complete", "not calibrated"]})
    told = {"c02_smart": sheet, "c02_backtest": pd.DataFrame([goal | {"mid": 9.0}])}
    assert len(list(no_page_knows_more_than_its_sheet(month_of(**told, c02_forecast=fan)))) == 2
    told["c02_backtest"] = told["c02_backtest"].assign(mid=float("nan"))
    assert not list(no_page_knows_more_than_its_sheet(month_of(**told, c02_forecast=fan.head(1))))
