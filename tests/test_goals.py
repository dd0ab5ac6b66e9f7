"""Goals and the business behind them: by hand, and by rule on random drivers."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.goal_setting.business import (
    business_models,
    launch_plan,
    model_break_even,
    monthly_fixed_cost,
    order_rates,
    service_plan,
    value_proposition,
)
from playbook.chapters.goal_setting.decisions import goal_decisions
from playbook.chapters.goal_setting.goals import (
    break_even,
    driver_history,
    goal_verdicts,
    okr,
    people_series,
    smart_sheet,
    target_rows,
)
from playbook.chapters.goal_setting.team import capacity, raci_verdicts, role_scorecards
from playbook.errors import PlaybookError
from playbook.measures.revenue_days import by_month, daily_revenue, promotion_calendar
from playbook.methods.driver_tree import driver_tree, scenarios, tornado
from playbook.methods.pacing import pacing

OCTOBER = dt.date(2026, 10, 31)


def orders(*rows):
    t = pd.DataFrame(rows, columns=["ordered_on", "revenue", "margin"])
    return t.assign(ordered_on=pd.to_datetime(t["ordered_on"]).dt.date)


def shop_days(first="2023-11-01", last="2026-10-31", seed=1, growth=0.0006):
    days = pd.date_range(first, last)
    week = np.array([1.1, 1.0, 1.0, 1.0, 0.9, 0.8, 1.2])[days.day_of_week]
    year = 1 + 0.3 * np.cos(2 * np.pi * (days.day_of_year - 340) / 365.25)
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.1, len(days)))
    amount = 1000 * week * year * np.exp(growth * np.arange(len(days))) * noise
    return pd.DataFrame({"period_on": days, "amount": amount, "orders": 20})


def monthly(metric, n=36, growth=0.01, seed=2, level=100.0):
    months = pd.period_range(end="2026-10", periods=n, freq="M").astype(str)
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.05, n))
    return pd.DataFrame(
        {"metric": metric, "month": months, "amount": level * np.exp(growth * np.arange(n)) * noise}
    )


def test_a_day_without_an_order_is_a_zero_and_refunds_lower_the_day_they_are_booked():
    t = orders(("2026-10-01", 100.0, 40.0), ("2026-10-03", 50.0, 20.0))
    refunds = pd.DataFrame({"refunded_on": [dt.date(2026, 10, 2)], "amount": [30.0]})
    out = daily_revenue(t, as_of="2026-10-04", observed_from="2026-10-01", refunds=refunds)
    assert out["amount"].tolist() == [100, -30, 50, 0]
    assert out["orders"].tolist() == [1, 0, 1, 0]


def test_only_whole_months_are_months():
    out = by_month(shop_days("2026-08-10", "2026-10-30"))
    assert out["month"].tolist() == ["2026-09"]
    assert by_month(shop_days("2026-09-02", "2026-10-31"))["month"].tolist() == [
        "2026-09",
        "2026-10",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_driver_goals_multiply_back_to_the_goal_exactly_and_effects_sum_to_the_gap(seed):
    rng = np.random.default_rng(seed)
    base = {
        "sessions": rng.uniform(1e3, 1e6),
        "cvr_sessions": rng.uniform(0.005, 0.05),
        "aov": rng.uniform(10, 200),
    }
    revenue = np.prod(list(base.values()))
    goal = revenue * rng.uniform(0.5, 2.0)
    out = driver_tree(base, goal, weights={"sessions": 2, "aov": 1})
    needed = out["needed"].to_numpy()
    assert needed[0] * needed[1] * needed[2] == pytest.approx(goal, rel=1e-15)
    assert out["effect"].sum() == pytest.approx(goal - revenue, rel=1e-12)
    assert out.set_index("driver").loc["cvr_sessions", "change"] == pytest.approx(0, abs=1e-12)
    alone = out.set_index("driver")["needed_alone"]
    assert alone["aov"] * base["sessions"] * base["cvr_sessions"] == pytest.approx(goal)


def test_a_driver_beyond_any_past_month_is_marked_and_impossible_trees_are_refused():
    history = pd.DataFrame({"orders": [100.0, 110], "aov": [50.0, 60]})
    out = driver_tree({"orders": 100.0, "aov": 50.0}, 6000.0, history=history).set_index("driver")
    assert out["is_beyond_past"].tolist() == [False, False]
    far = driver_tree({"orders": 100.0, "aov": 50.0}, 20000.0, history=history)
    assert far["is_beyond_past"].all()
    with pytest.raises(PlaybookError, match="above zero"):
        driver_tree({"orders": 0.0, "aov": 50.0}, 100.0)
    with pytest.raises(PlaybookError, match="clicks"):
        driver_tree({"orders": 1.0, "aov": 50.0}, 100.0, weights={"clicks": 1})


def test_drivers_of_a_month_multiply_to_its_revenue_with_traffic_with_buyers_and_without():
    t = pd.DataFrame(
        {"month": ["2026-09", "2026-10"], "revenue": [1000.0, 1200], "orders": [20, 24]}
    )
    for more, tree in (
        ({}, "orders"),
        ({"buyers": [10, 12]}, "buyers"),
        ({"sessions": [500, 480]}, "traffic"),
    ):
        name, out = driver_history(t.assign(**more))
        assert name == tree
        drivers = out.drop(columns=["month", "revenue"])
        assert drivers.prod(axis=1).to_numpy() == pytest.approx(out["revenue"].to_numpy())


def test_a_promotion_calendar_marks_its_days_and_the_fortnight_after():
    t = pd.DataFrame(
        {
            "promo_id": ["a"],
            "starts_on": [dt.date(2026, 10, 3)],
            "ends_on": [dt.date(2026, 10, 4)],
            "depth_share": [0.2],
        }
    )
    out = promotion_calendar(t, first="2026-10-01", last="2026-10-31").set_index("period_on")
    assert out["promotion"].sum() == 2 and out["after_promotion"].sum() == 14
    assert out.loc["2026-10-05", "after_promotion"] == 1


def test_smart_goals_have_a_base_a_chance_an_owner_and_a_day():
    targets = pd.DataFrame(
        {
            "month": ["2026-11"],
            "metric": ["net_revenue"],
            "value": [1.0],
            "owner_role": ["general manager"],
        }
    )
    sheet = smart_sheet(monthly("net_revenue"), as_of=OCTOBER, targets=targets)
    row = sheet.set_index("horizon").loc["month"]
    assert (
        row["source"] == "targets"
        and row["p_reach"] > 0.99
        and row["owner_role"] == "general manager"
    )
    assert str(row["due_on"].date()) == "2026-11-30"
    proposed = sheet.set_index("horizon").loc["quarter"]
    assert proposed["source"] == "proposed" and proposed["p_reach"] == pytest.approx(0.4, abs=0.01)
    assert goal_verdicts(sheet).set_index("horizon")["action"].to_dict()["month"] == "raise"


def test_a_goal_beyond_any_past_growth_an_unknown_metric_and_a_short_history_are_named():
    series = pd.concat([monthly("net_revenue"), monthly("orders", n=2)])
    targets = pd.DataFrame(
        {
            "month": ["2026-11", "2026-11"],
            "metric": ["net_revenue", "happiness"],
            "value": [5000.0, 1.0],
        }
    )
    sheet = goal_verdicts(
        smart_sheet(series, as_of=OCTOBER, targets=targets, horizons={"month": 1})
    )
    by = sheet.set_index("metric")
    assert by.loc["net_revenue", "is_beyond_past"] and by.loc["net_revenue", "action"] == "lower"
    assert (
        by.loc["happiness", "status"] == "unknown metric"
        and by.loc["happiness", "action"] == "research"
    )
    assert by.loc["orders", "status"] == "short history"


def test_for_a_share_that_should_fall_the_chance_is_that_of_staying_below():
    t = monthly("return_share", growth=0.0, level=0.06)
    for value, chance in ((0.12, 1), (0.01, 0)):
        targets = pd.DataFrame({"month": ["2026-11"], "metric": ["return_share"], "value": [value]})
        sheet = smart_sheet(t, as_of=OCTOBER, targets=targets, horizons={"month": 1})
        assert sheet["p_reach"].iloc[0] == pytest.approx(chance, abs=0.02)


def test_okr_and_target_rows_carry_what_was_accepted():
    sheet = smart_sheet(
        pd.concat([monthly("net_revenue"), monthly("repeat_share", level=0.2, growth=0.0)]),
        as_of=OCTOBER,
    )
    assert set(okr(sheet)["objective"]) == {"Sales that pay", "People come back by themselves"}
    rows = target_rows(sheet)
    assert rows["month"].unique().tolist() == ["2026-11"] and set(rows["metric"]) == {
        "net_revenue",
        "repeat_share",
    }


def test_pacing_follows_the_shops_own_days_and_is_missing_for_days_to_come():
    days = pd.date_range("2026-01-01", "2026-10-16")
    amount = np.where(
        days.day > 20, 200.0, 100.0
    )  # a shop that sells twice as much at the end of the month
    out = pacing(
        pd.DataFrame({"period_on": days, "amount": amount}), as_of="2026-10-16", target=4200.0
    )
    at = out.set_index("day_on").loc["2026-10-16"]
    assert at["actual"] == pytest.approx(1600)
    assert at["pacing"] == pytest.approx(1.0, abs=0.03) and at["actual"] / at["linear"] < 0.8
    assert out["actual"].isna().sum() == 15 and out["expected"].iloc[-1] == pytest.approx(4200)
    assert (out["status"] == "unobserved").sum() == 15


def test_scenarios_multiply_their_drivers_and_the_tornado_is_widest_first():
    base = {"orders": 100.0, "aov": 50.0}
    weights = {"orders": 3.0, "aov": 1.0}
    knobs = {"weights": weights, "cm_share": 0.4, "fixed": 1000.0}
    out = scenarios(base, (4000.0, 5000.0, 6250.0), **knobs).set_index("scenario")
    assert out["revenue"].tolist() == [4000, 5000, 6250]
    assert (out["orders"] * out["aov"]).tolist() == pytest.approx([4000, 5000, 6250])
    # three quarters of the log change fall to the driver three times as variable
    assert out.loc["high", "orders"] == pytest.approx(100 * 1.25**0.75)
    assert out.loc["middle", "profit"] == pytest.approx(5000 * 0.4 - 1000)
    swings = tornado(base, {"aov": (45.0, 55.0), "orders": (80.0, 130.0)}).set_index("driver")
    assert swings.index.tolist() == ["orders", "aov"]
    assert swings.loc["orders", ["low", "base", "high"]].tolist() == [4000, 5000, 6500]


def test_break_even_is_fixed_cost_over_margin_per_order_and_a_losing_order_never_breaks_even():
    t = orders(("2026-10-01", 50.0, 18.0), ("2026-10-02", 60.0, 22.0))
    row = break_even(t, fixed=1000.0, as_of=OCTOBER, months=1).iloc[0]
    assert row["cm_per_order"] == 20 and row["orders_needed"] == pytest.approx(50)
    assert row["safety_share"] == pytest.approx((2 - 50) / 2)
    assert (
        break_even(t.assign(margin=[-1.0, -2]), fixed=1.0, as_of=OCTOBER)["status"].iloc[0]
        == "never"
    )
    assert (
        break_even(t.assign(margin=[None, None]), fixed=1.0, as_of=OCTOBER)["status"].iloc[0]
        == "blocked"
    )


def models(**changes):
    base = {
        "take_share": 0.1,
        "stock_held": 1.0,
        "cac": 10.0,
        "cash_days": 30.0,
        "gross_margin_share": 0.5,
    } | changes
    return pd.DataFrame(
        [("own_stock", k, v) for k, v in base.items() if v is not None],
        columns=["model", "kind", "value"],
    )


def test_the_same_basket_through_a_model_by_hand():
    row = business_models(
        models(),
        basket=100.0,
        payment_share=0.02,
        fulfilment=5.0,
        orders_per_customer=2.0,
        fixed=280.0,
    ).iloc[0]
    assert row["cm_before_cac"] == pytest.approx(50 - 10 - 2 - 5)
    assert row["cm_per_order"] == pytest.approx(28) and row["cm_first_order"] == pytest.approx(23)
    assert row["orders_needed"] == pytest.approx(10)


def test_a_missing_assumption_is_named_and_a_doubled_one_refused():
    row = business_models(models(cac=None), basket=100.0).iloc[0]
    assert row["status"] == "needs cac" and np.isnan(row["cm_per_order"])
    with pytest.raises(PlaybookError, match="own_stock states cac twice"):
        business_models(pd.concat([models(), models().query("kind == 'cac'")]), basket=100.0)


def test_every_persona_gets_an_answer_its_proof_and_what_competitors_offer():
    t = pd.DataFrame(
        {
            "persona": ["P1", "P2"],
            "label": ["tea + pots", "pots"],
            "customers_share": [0.6, 0.4],
            "pain": ["parcel came late", "the moon"],
        }
    )
    gaps = pd.DataFrame({"category": ["tea"], "gap_share": [0.05]})
    out = value_proposition(t, gaps=gaps).set_index("persona")
    assert (
        out.loc["P1", "evidence_metric"] == "late_share"
        and "5% above" in out.loc["P1", "competitor_answer"]
    )
    assert (
        out.loc["P2", "answer"] == "not answered yet"
        and out.loc["P2", "competitor_answer"] == "not known"
    )


def test_the_service_promise_is_what_nine_in_ten_got_and_overdue_parcels_count_as_late():
    at = pd.to_datetime("2026-10-01")
    t = pd.DataFrame(
        {
            "ordered_on": [at.date()] * 3,
            "status": "done",
            "ordered_at": [at] * 3,
            "delivered_at": [at + pd.Timedelta(days=2), at + pd.Timedelta(days=4), pd.NaT],
            "promised_at": [at + pd.Timedelta(days=3)] * 3,
        }
    )
    out = service_plan(t, as_of=OCTOBER).set_index("promise")
    assert out.loc["late or overdue (share)", "now"] == pytest.approx(2 / 3)
    assert out.loc["delivered within, nine in ten (days)", "n"] == 2


def team(*rows):
    return pd.DataFrame(rows, columns=["role", "kpi", "weight_share", "raci", "n_people"])


def test_two_accountable_roles_are_refused_by_name_and_two_responsible_are_not():
    t = team(
        ("ann's role", "cm", 1.0, "A", 1),
        ("bob's role", "cm", 1.0, "A", 1),
        ("ann's role", "aov", 0.0, "A", 1),
        ("bob's role", "aov", 0.0, "R", 1),
        ("cat's role", "aov", 0.0, "R", 1),
        ("cat's role", "nps", 1.0, "R", 1),
    )
    verdicts = raci_verdicts(t).set_index("kpi")["verdict"]
    assert verdicts["aov"] == "ok" and verdicts["nps"] == "nobody is accountable"
    assert verdicts["cm"] == "2 accountable: ann's role, bob's role"


def test_weights_that_do_not_sum_to_one_and_answers_without_target_are_named():
    t = team(
        ("buyer", "aov", 0.5, "A", 1), ("buyer", "cm", 0.4, "R", 1), ("boss", "cm", 1.0, "A", 1)
    )
    out = role_scorecards(t).set_index(["role", "kpi"])["verdict"]
    assert out[("buyer", "aov")] == "weights sum to 0.9" and out[("boss", "cm")] == "no target"


def test_people_needed_keep_todays_output_per_person_and_unknown_staff_are_missing():
    t = team(("service", "csat", 1.0, "A", 2), ("logistics", "fill_rate", 1.0, "A", None))
    out = capacity(
        t, workload={"service": ("tickets", 100.0, 150.0), "logistics": ("orders", 10.0, 20.0)}
    ).set_index("role")
    assert out.loc["service", "people_needed"] == pytest.approx(3) and out.loc[
        "service", "gap_people"
    ] == pytest.approx(1)
    assert np.isnan(out.loc["logistics", "people_needed"])


def test_returning_buyers_bought_in_the_year_before_the_month_and_the_first_year_says_nothing():
    days = pd.DataFrame(
        [
            ("a", "2024-10-05"),
            ("a", "2025-11-02"),
            ("b", "2025-11-03"),
            ("b", "2026-10-02"),
            ("c", "2026-10-09"),
            ("c", "2026-10-20"),
        ],
        columns=["customer_id", "day_on"],
    ).assign(orders=1)
    days["day_on"] = pd.to_datetime(days["day_on"]).dt.date
    out = people_series(as_of=OCTOBER, customer_days=days).set_index(["metric", "month"])["amount"]
    assert out[("buyers", "2026-10")] == 2
    assert out[("returning_buyer_share", "2025-11")] == 0  # a was last seen more than a year before
    assert out[("returning_buyer_share", "2026-10")] == 0.5
    assert ("returning_buyer_share", "2024-10") not in out.index


def test_brand_share_is_direct_sessions_over_all():
    at = pd.date_range("2026-09-01", "2026-10-31").date
    traffic = pd.concat(
        [
            pd.DataFrame({"day_on": at, "channel": c, "sessions": n})
            for c, n in (("direct", 30), ("search", 70))
        ]
    )
    out = people_series(as_of=OCTOBER, traffic=traffic).set_index(["metric", "month"])["amount"]
    assert (
        out[("brand_share", "2026-10")] == pytest.approx(0.3)
        and out[("sessions", "2026-09")] == 3000
    )


def test_fixed_cost_is_the_newest_overhead_in_force_and_the_mean_month_of_advertising():
    rates = pd.DataFrame(
        {
            "from_on": [dt.date(2025, 1, 1), dt.date(2026, 6, 1), dt.date(2027, 1, 1)],
            "kind": "overhead_per_month",
            "value": [100.0, 120.0, 500.0],
            "scope": "all",
        }
    )
    spend = pd.DataFrame(
        {
            "day_on": [dt.date(2026, 7, 31), dt.date(2026, 9, 1), dt.date(2026, 10, 1)],
            "spend": [99.0, 30.0, 60.0],
        }
    )
    assert monthly_fixed_cost(rates, as_of=OCTOBER, spend=spend) == {
        "overhead": 120.0,
        "marketing": 30.0,
    }
    assert np.isnan(monthly_fixed_cost(rates.head(0), as_of=OCTOBER)["overhead"])


def test_overhead_is_one_figure_wherever_it_is_read_all_scopes_together():
    rates = pd.DataFrame(
        {
            "from_on": [dt.date(2026, 1, 1)] * 2,
            "kind": "overhead_per_month",
            "value": [100.0, 30.0],
            "scope": ["all", "warehouse"],
        }
    )
    assert monthly_fixed_cost(rates, as_of=OCTOBER)["overhead"] == 130.0
    assert order_rates(rates, as_of=OCTOBER)["fixed"] == 130.0
    assert np.isnan(order_rates(rates.head(0), as_of=OCTOBER)["fixed"])


def test_before_launch_break_even_and_range_come_from_assumptions_and_answers():
    found = business_models(models(), basket=100.0, fixed=370.0)
    row = model_break_even(found, fixed=370.0).iloc[0]
    assert row["status"] == "assumed" and row["orders_needed"] == pytest.approx(370 / 30)
    assert found["basket_needed"].iloc[0] == pytest.approx(10 / 0.4)
    poor = model_break_even(business_models(models(), basket=10.0), fixed=370.0).iloc[0]
    assert poor["status"] == "never"
    closed = pd.DataFrame(
        {
            "category": ["tea", "pots"],
            "hhi": [0.5, 0.0],
            "median_price": 1.0,
            "sales_low": 1.0,
            "sales_high": 1.0,
        }
    )
    people = pd.DataFrame({"label": ["tea", "pots"], "customers_share": [0.5, 0.5]})
    plan = launch_plan(closed, people).set_index("category")["range_share"]
    assert plan["pots"] == pytest.approx(2 / 3) and plan.sum() == pytest.approx(1)


def test_decisions_name_goal_driver_model_pacing_and_duty_with_owner_and_day():
    sheet = goal_verdicts(smart_sheet(monthly("net_revenue"), as_of=OCTOBER, horizons={"month": 1}))
    tree = driver_tree({"orders": 100.0, "aov": 50.0}, 6000.0)
    tree = tree.rename(columns={"base": "forecast"}).assign(horizon="quarter")
    paced = pd.DataFrame(
        {
            "day_on": [pd.Timestamp("2026-10-31")],
            "actual": [50.0],
            "expected": [100.0],
            "pacing": [0.5],
        }
    )
    duties = pd.DataFrame(
        {
            "kpi": ["cm", "aov"],
            "accountable": ["a, b", "category head"],
            "verdict": ["2 accountable: a, b", "ok"],
        }
    )
    rows = goal_decisions(
        sheet,
        tree=tree,
        models=business_models(models(), basket=10.0),
        paced=paced,
        raci=duties,
        currency="EUR",
        due_on=dt.date(2026, 11, 14),
    ).set_index("subject")
    assert rows.loc["Net revenue, next month", "action"] == "set target"
    assert rows.loc["Average order value", "owner_role"] == "category head"
    assert (
        rows.loc["model own_stock", "action"] == "no-go"
        and "basket of 25.00" in rows.loc["model own_stock", "reason"]
    )
    assert "plan again" not in set(rows["action"]), "the month is over"
    assert (
        rows.loc["Contribution margin", "reason"] == "2 accountable: a, b"
        and rows["due_on"].notna().all()
    )


def test_only_a_month_with_days_to_come_is_planned_again():
    days = pd.to_datetime(["2026-10-30", "2026-10-31"])
    paced = pd.DataFrame({"day_on": days, "actual": [50.0, 99.0], "expected": 100.0})
    paced["pacing"] = [0.5, 0.5]
    day = dt.date(2026, 11, 14)
    assert goal_decisions(None, paced=paced, currency="EUR", due_on=day).empty
    inside = paced.assign(actual=[50.0, np.nan], pacing=[0.5, np.nan])
    rows = goal_decisions(None, paced=inside, currency="EUR", due_on=day)
    assert rows["subject"].tolist() == ["pacing 2026-10"]
