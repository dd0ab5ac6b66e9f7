"""Chapter 11's claims: quiet months stay quiet, a shock is found, plans that clash are
named.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.monthly_review.cautions import caveats, risks
from playbook.chapters.monthly_review.decisions import (
    OPPOSED,
    asks,
    conflicts,
    leaving,
    ordered_more,
    review_decisions,
    wanted,
)
from playbook.chapters.monthly_review.ranking import (
    calendar_of_tests,
    in_order,
    left_out,
    left_out_line,
    owned,
    ranked_decisions,
    worths,
)
from playbook.chapters.monthly_review.review import (
    against_targets,
    anomalies,
    day_limits,
    drivers,
    mean_order_change,
    mix_rate,
    scorecard,
    team_score,
)
from playbook.chapters.monthly_review.usual import control_limits
from playbook.measures.metrics import _is_closed, benchmarks, months_back
from playbook.methods.decomposition import product_drivers
from playbook.methods.expectation import expected_months
from playbook.runs.results import DECISION_COLUMNS
from playbook.tables import frame_of

MONTHS = months_back("2026-10", 30)


def headline(metric, amounts, status="complete"):
    return pd.DataFrame(
        {
            "metric": metric,
            "month": MONTHS[-len(amounts) :],
            "amount": amounts,
            "low": np.nan,
            "high": np.nan,
            "n": 100,
            "status": status,
            "notebook": "00_start_here",
        }
    )


def seasonal(rng, noise=0.03, months=30):
    season = 1 + 0.4 * np.sin(np.arange(months) * 2 * np.pi / 12)
    return 1000 * season * np.exp(rng.normal(0, noise, months))


def decision(**given):
    blank = dict.fromkeys(DECISION_COLUMNS, "") | {
        "size": np.nan,
        "expected_effect": np.nan,
        "effect_low": np.nan,
        "effect_high": np.nan,
    }
    return blank | given


def test_quiet_months_raise_hardly_any_flag():
    """One figure alone: nominal 5 %, limits estimated from few months allow five points
    more; with a season, and with one and growth.
    """
    rng, alarms, growth = np.random.default_rng(1), 0, 1.02 ** np.arange(30)
    for k in range(200):
        card = scorecard(
            headline("orders", seasonal(rng) * (growth if k % 2 else 1)), month="2026-10"
        )
        alarms += card.flag.iloc[0] in ("better", "worse")
    assert alarms / 200 <= 0.05 + 0.05


def test_a_month_after_one_that_is_missing_or_too_few_months_set_no_limits():
    whole = headline("orders", seasonal(np.random.default_rng(2)))
    gap = whole[whole.month != "2026-09"]
    assert control_limits(gap, month="2026-10")[["lower", "upper"]].isna().all(axis=None)
    assert scorecard(whole.tail(6), month="2026-10").flag.tolist() == ["no history"]
    long = headline("orders", seasonal(np.random.default_rng(2), months=36)[:30])
    holed = control_limits(long[long.month != "2025-10"], month="2026-10").iloc[0]
    assert holed.lower < holed.centre < holed.upper
    still = control_limits(headline("orders", [40.0] * 30), month="2026-10").iloc[0]
    assert still.lower < 40.0 < still.upper < 40.1


def test_a_season_is_no_signal():
    amounts = seasonal(np.random.default_rng(2), noise=0.01)
    limits = control_limits(headline("orders", amounts), month="2026-10").iloc[0]
    assert limits.basis != "level"
    assert limits.lower < amounts[-1] < limits.upper


def test_a_month_that_loses_a_third_is_flagged_worse_and_a_cost_that_falls_better():
    amounts = seasonal(np.random.default_rng(3), noise=0.02)
    amounts[-1] *= 0.67
    assert scorecard(headline("orders", amounts), month="2026-10").flag.tolist() == ["worse"]
    assert scorecard(headline("refund_share_booked", amounts), month="2026-10").flag.tolist() == [
        "better"
    ]


def test_an_immature_figure_is_not_compared():
    frame = headline("orders", [100.0] * 29 + [10.0])
    frame.loc[frame.index[-1], "status"] = "partial"
    assert scorecard(frame, month="2026-10").flag.tolist() == ["too early"]


def test_the_drivers_of_net_revenue_add_up():
    rng = np.random.default_rng(4)
    frame = pd.concat(
        [
            headline("sessions", rng.uniform(900, 1100, 6)),
            headline("orders", rng.uniform(40, 60, 6)),
            headline("cvr_sessions", rng.uniform(0.04, 0.06, 6)),
            headline("units_per_order", rng.uniform(2, 3, 6)),
            headline("net_revenue", rng.uniform(5000, 9000, 6)),
        ]
    )
    found = drivers(frame, month="2026-10")
    net = frame[frame.metric == "net_revenue"].set_index("month").amount
    assert found.driver.tolist() == [
        "sessions",
        "cvr_sessions",
        "units_per_order",
        "revenue_per_unit",
    ]
    assert abs(found.contribution.sum() - (net["2026-10"] - net["2026-09"])) < 1e-9


def test_a_shock_of_a_tenth_is_the_news_though_the_season_moves_more():
    """Sessions swing by 40 % over the year, everything wanders by 2 %; one driver is
    moved by 10 % in the last month. How often real noise lets it through is measured on
    two hundred demo months, in tests/proof.
    """
    rng, hits = np.random.default_rng(6), 0
    for k in range(40):
        drawn = {
            "sessions": seasonal(rng, 0.02) * 90,
            "cvr_sessions": 0.04 * np.exp(rng.normal(0, 0.02, 30)),
            "units_per_order": 2.5 * np.exp(rng.normal(0, 0.02, 30)),
            "revenue_per_unit": 20 * np.exp(rng.normal(0, 0.02, 30)),
        }
        node = list(drawn)[k % 4]
        drawn[node][-1] *= rng.choice([0.9, 1.1])
        orders = drawn["sessions"] * drawn["cvr_sessions"]
        net = orders * drawn["units_per_order"] * drawn["revenue_per_unit"]
        frame = pd.concat(
            [
                headline("sessions", drawn["sessions"]),
                headline("orders", orders),
                headline("net_revenue", net),
                headline("cvr_sessions", drawn["cvr_sessions"]),
                headline("units_per_order", drawn["units_per_order"]),
            ]
        )
        found = drivers(frame, month="2026-10")
        hits += found.loc[found["rank"].idxmin(), "driver"] == node
    assert hits / 40 >= 0.9


def known_days(rng):
    """Thirty months of days: sessions follow the spend of one channel, which swings
    freely, and the season.
    """
    day = pd.date_range("2024-05-01", "2026-10-31")
    spend = 100 * np.exp(np.repeat(rng.normal(0, 0.5, 200), 7)[: len(day)])
    season = 1 + 0.2 * np.sin(2 * np.pi * day.day_of_year / 365.25)
    sessions = np.round(90 * season * spend**0.6 * np.exp(rng.normal(0, 0.05, len(day))))
    orders = rng.poisson(0.03 * sessions)
    units = orders + rng.poisson(1.2 * orders)
    net = units * 20 * np.exp(rng.normal(0, 0.05, len(day)))
    return pd.DataFrame(
        {
            "day_on": day,
            "sessions": sessions,
            "orders": orders,
            "units": units,
            "net_revenue": net,
            "promotion": 0.0,
            "after_promotion": 0.0,
            "spend search": spend,
        }
    )


def by_month_of(days):
    sums = days.groupby(days.day_on.dt.strftime("%Y-%m"))[
        ["sessions", "orders", "units", "net_revenue"]
    ].sum()
    sums["units_per_order"], sums["cvr_sessions"] = (
        sums.units / sums.orders,
        sums.orders / sums.sessions,
    )
    return pd.concat([headline(m, sums[m].to_numpy(float)) for m in sums.drop(columns="units")])


def test_what_the_month_spent_is_no_news_and_a_shock_of_a_tenth_beside_it_is():
    """Spend alone moves sessions by 30 % a month, so the months by themselves cannot
    see a tenth.
    """
    hits = {"days": 0, "months": 0}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        days = known_days(rng)
        frame = by_month_of(days)
        moved = frame.month.eq("2026-10") & frame.metric.isin(["sessions", "orders", "net_revenue"])
        frame["amount"] = frame.amount * np.where(moved, rng.choice([0.9, 1.1]), 1.0)
        for name, given in (("days", days), ("months", None)):
            found = drivers(frame, month="2026-10", days=given).set_index("driver")
            hits[name] += found["rank"].idxmin() == "sessions" and bool(found.is_news["sessions"])
            money = found.after.prod() - found.expected.prod()
            assert abs(found.unexpected.sum() - money) < 1e-9 * found.after.prod()
    assert hits["days"] >= 7 > hits["months"]


def test_the_card_expects_a_month_from_its_days_and_flags_a_fifth_that_its_months_cannot_see():
    """Spend alone moves sessions by 30 % a month."""
    days = known_days(np.random.default_rng(3))
    frame = by_month_of(days)
    moved = frame.month.eq("2026-10") & frame.metric.isin(["sessions", "orders", "net_revenue"])
    quiet = scorecard(frame, month="2026-10", days=days).set_index("metric")
    frame["amount"] = frame.amount * np.where(moved, 0.8, 1.0)
    card, alone = (
        scorecard(frame, month="2026-10", days=given).set_index("metric") for given in (days, None)
    )
    figures = ["sessions", "orders", "net_revenue"]
    assert card.flag[figures].tolist() == ["worse"] * 3 and set(card.basis[figures]) == {"days"}
    assert set(alone.flag[figures]) == {"usual"}
    assert set(quiet.flag) == {"usual"}
    assert (quiet.usual_low < quiet.expected).all() and (quiet.expected < quiet.usual_high).all()


def test_days_of_an_outage_are_no_reason_to_expect_less():
    """Three weeks of the months before without visits: what is expected hardly moves."""
    days = known_days(np.random.default_rng(3))
    frame = by_month_of(days)
    holed = days.copy()
    holed.loc[holed.day_on.between("2026-08-05", "2026-08-25"), "sessions"] = np.nan
    whole, without = (
        scorecard(frame, month="2026-10", days=given).set_index("metric").expected
        for given in (days, holed)
    )
    assert (without / whole - 1).abs().max() < 0.03


def test_a_day_the_shop_was_closed_brings_nothing_and_teaches_nothing():
    """A week of holidays in August: October is expected as if it had not been, August
    by its open days.
    """
    days = known_days(np.random.default_rng(3))
    shut = days.assign(is_closed=days.day_on.between("2026-08-03", "2026-08-09"))
    shut.loc[shut.is_closed, ["orders", "net_revenue", "units"]] = 0.0
    open_days, closed = expected_months(days, "orders"), expected_months(shut, "orders")
    unsaid = expected_months(shut.drop(columns="is_closed"), "orders")
    sold = shut.orders[shut.day_on.dt.strftime("%Y-%m") == "2026-08"].sum()
    assert closed.expected["2026-08"] == pytest.approx(sold, rel=0.1)
    assert abs(closed.expected["2026-10"] / open_days.expected["2026-10"] - 1) < 0.01
    assert abs(closed.miss["2026-08"]) < 0.1 < abs(unsaid.miss["2026-08"])


def test_the_expectation_of_a_month_knows_nothing_of_later_ones_and_bears_days_nobody_saw():
    days = known_days(np.random.default_rng(1))
    whole, cut = (
        expected_months(days, "cvr_sessions"),
        expected_months(days[days.day_on < "2026-08-01"], "cvr_sessions"),
    )
    pd.testing.assert_frame_equal(whole.loc[cut.index], cut)
    days.loc[days.day_on.between("2026-10-05", "2026-10-09"), "sessions"] = np.nan
    days.loc[days.day_on == "2026-09-09", ["orders", "units", "net_revenue"]] = 0.0
    for driver, about in (("sessions", 0.1), ("cvr_sessions", 0.1), ("units_per_order", 0.1)):
        assert abs(expected_months(days, driver).miss["2026-10"]) < about
    assert expected_months(days.drop(columns="sessions"), "sessions").empty


def test_the_one_driver_that_differs_from_the_same_month_without_the_shock_ranks_first():
    """Against its own twin nothing else moved, so that the decomposition has to name
    it: always, and with all of it.
    """
    rng = np.random.default_rng(7)
    for _ in range(200):
        twin = {
            "sessions": rng.uniform(1e3, 1e5),
            "cvr_sessions": rng.uniform(0.01, 0.05),
            "units_per_order": rng.uniform(1, 4),
            "revenue_per_unit": rng.uniform(5, 90),
        }
        node, by = rng.choice(list(twin)), rng.choice([0.9, 1.1])
        found = (
            product_drivers(twin, twin | {node: twin[node] * by}).set_index("driver").contribution
        )
        assert found.abs().idxmax() == node
        assert found[node] == pytest.approx(np.prod(list(twin.values())) * (by - 1), rel=1e-9)


def test_visits_counted_on_some_days_only_are_no_driver(month="2026-10"):
    frame = by_month_of(known_days(np.random.default_rng(3)))
    for blind in (month, "2026-09"):
        is_blind = frame.month.eq(blind) & frame.metric.isin(["sessions", "cvr_sessions"])
        thin = frame.assign(
            status=frame.status.mask(is_blind, "partial"),
            amount=frame.amount.mask(is_blind, frame.amount / 2),
        )
        assert drivers(thin, month=month).driver.iloc[0] == "orders"
    assert drivers(frame, month=month).driver.iloc[0] == "sessions"


def test_without_traffic_the_tree_starts_at_orders():
    frame = pd.concat(
        [
            headline("orders", [50.0, 60.0]),
            headline("units_per_order", [2.0, 2.0]),
            headline("net_revenue", [1000.0, 1200.0]),
        ]
    )
    assert drivers(frame, month="2026-10").driver.tolist() == [
        "orders",
        "units_per_order",
        "revenue_per_unit",
    ]


def test_the_dimension_row_sums_its_segments():
    table = pd.DataFrame(
        {
            "dimension": "channel",
            "segment": ["a", "b"] * 2,
            "month": ["2026-09"] * 2 + ["2026-10"] * 2,
            "orders": [10, 10, 15, 5],
            "units": 1.0,
            "revenue": [100.0, 200.0, 150.0, 100.0],
            "margin": 0.0,
            "n_customers": 1,
        }
    )
    found = mix_rate(table, month="2026-10").set_index("segment")
    assert found.loc["all", "mix"] == pytest.approx(-2.5)
    assert found.loc[["a", "b"], "contribution"].sum() == pytest.approx(
        found.loc["all", "contribution"]
    )


def test_the_mean_order_before_returns_stands_beside_what_the_card_says_of_it_after_them():
    """Orders brought 20 less, yet fewer came back: the card's mean order rose by 3."""
    segments = frame_of(
        "monthly_review.mix_rate_segments",
        [("channel", "all", -14.0, -6.0, -20.0), ("channel", "all", -1.0, -2.0, -3.0)],
    )
    card = pd.DataFrame({"metric": ["aov"], "actual": [63.0], "last_month": [60.0]})
    told = mean_order_change(segments, card)
    assert len(told) == 1, "a channel called all is none of it"
    row = told.iloc[0]
    assert (row.contribution, row.after_returns) == (-20.0, 3.0)
    assert mean_order_change(segments, card.head(0)).after_returns.isna().all()


def many_days(rng, days=400):
    index = pd.date_range(end="2026-10-31", periods=days)
    week = np.array([1.0, 0.9, 0.95, 1.0, 1.2, 1.4, 1.3])[index.day_of_week]
    orders = rng.poisson(150 * week * np.exp(rng.normal(0, 0.08, days)))
    return pd.DataFrame(
        {
            "day_on": index,
            "orders": orders.astype(float),
            "revenue": orders * 60.0,
            "sessions": np.nan,
            "is_promotion": False,
        }
    )


def test_the_band_of_the_days_leaves_out_just_the_days_that_are_told_as_anomalies():
    days = many_days(np.random.default_rng(8))
    days.loc[days.day_on == "2026-10-14", "orders"] *= 0.3
    band = day_limits(days, month="2026-10")
    out = band[(band.amount < band.lower) | (band.amount > band.upper)]
    told = anomalies(days, month="2026-10").query("metric == 'orders'")
    assert len(band) == 31 and out.amount.tolist() == told.amount.tolist() and len(out) == 1
    assert (
        day_limits(days.tail(60), month="2026-10").empty
        and anomalies(days.tail(60), month="2026-10").empty
    )


def test_the_limits_of_a_share_end_at_one():
    past = [0.96, 0.99, 0.95, 0.98, 0.97, 0.99, 0.94, 0.98, 0.99, 0.96, 0.98, 0.99, 0.97, 0.98]
    row = control_limits(headline("active_sku_share", past), month="2026-10").iloc[0]
    assert row.upper == 1.0 and 0 < row.lower < row.centre <= 1


def test_quiet_days_raise_an_alarm_in_few_months_and_a_lost_day_always():
    rng, false, found = np.random.default_rng(8), 0, 0
    for _ in range(120):
        days = many_days(rng)
        false += len(anomalies(days, month="2026-10").query("metric == 'orders'")) > 0
        days.loc[days.day_on == "2026-10-14", "orders"] *= 0.3
        marked = (
            anomalies(days, month="2026-10").query("metric == 'orders'").day_on.astype(str).tolist()
        )
        found += "2026-10-14" in marked
    assert false / 120 <= 0.07
    assert found / 120 >= 0.97


def test_a_share_over_its_limit_is_a_risk_and_compliance_always_has_an_owner():
    indicators = pd.DataFrame(
        {"indicator": "late share", "month": MONTHS[-8:], "amount": [0.02] * 7 + [0.2], "n": 100}
    )
    gates = pd.DataFrame(
        {
            "gate": ["days of history"],
            "amount": ["30"],
            "threshold": ["≥ 90"],
            "verdict": ["exclude"],
        }
    )
    register = risks(indicators, gates, month="2026-10").set_index("risk")
    assert register.loc["late share", "is_over"]
    assert register.loc["late share", "trend"] == "rising"
    assert register.loc["data: days of history", "owner_role"] == "data owner"
    assert (register.owner_role != "").all()


def test_attainment_is_weighted_and_turned_round_for_what_should_be_low():
    card = pd.DataFrame(
        {
            "metric": ["orders", "return_share"],
            "actual": [90.0, 0.10],
            "target": [100.0, 0.05],
            "status": "complete",
        }
    )
    team = pd.DataFrame(
        {
            "role": "head",
            "kpi": ["orders", "return_share"],
            "weight_share": [0.75, 0.25],
            "raci": "A",
            "n_people": 2.0,
        }
    )
    row = team_score(card, team).iloc[0]
    assert row.attainment == pytest.approx(0.75 * 0.9 + 0.25 * 0.5)
    assert row.orders_per_person == 45.0


def test_decisions_are_ranked_by_what_they_win_in_a_quarter_and_unlike_effects_are_no_rank():
    month = {"effect_kind": "margin", "effect_period": "month"}
    year = {"effect_kind": "margin", "effect_period": "year"}
    once = {"effect_kind": "margin", "effect_period": "once"}
    growth = {"effect_kind": "revenue_if_growth_repeats", "effect_period": "year"}
    high, low = {"confidence": "high"}, {"confidence": "low"}
    table = pd.DataFrame(
        [
            decision(decision_id="a", action="test", **high),
            decision(decision_id="b", action="raise", expected_effect=100.0, **low, **month),
            decision(decision_id="c", action="raise", expected_effect=60.0, **high, **month),
            decision(decision_id="d", action="blocked", status="blocked"),
            decision(decision_id="e", action="widen", expected_effect=9e6, **growth),
            decision(decision_id="f", action="raise price", expected_effect=480.0, **high, **year),
            decision(decision_id="g", action="set", expected_effect=-900.0, **high, **month),
            decision(decision_id="h", action="order", expected_effect=50.0, **high, **once),
        ]
    ).assign(size=1.0, owner_role="head")
    found = ranked_decisions(table)
    assert found.decision_id.tolist() == ["c", "f", "b", "h"]
    assert found.worth.tolist() == pytest.approx([180.0, 120.0, 90.0, 50.0])
    unknown = table[table.decision_id.isin(["a", "e"])]
    assert ranked_decisions(unknown).decision_id.tolist() == ["e", "a"], "where nothing is known"
    idle = table.assign(is_idle=True)
    assert ranked_decisions(idle).empty, "a month in which every chapter changes nothing"


def test_unlike_effects_are_not_compared_and_what_has_no_effect_comes_after_what_has():
    stake = {"effect_kind": "revenue_at_stake", "confidence": "medium"}
    target = {"effect_kind": "forecast", "confidence": "high", "expected_effect": 622_170.0}
    liability = {"effect_kind": "liability", "expected_effect": 9e9, "confidence": "high"}
    won = {"effect_kind": "margin", "effect_period": "month", "confidence": "high"}
    table = pd.DataFrame(
        [
            decision(decision_id="bare", action="serve first", confidence="high"),
            decision(decision_id="target", action="set target", **target),
            decision(decision_id="points", action="set aside", **liability),
            decision(decision_id="year", expected_effect=300.0, effect_period="year", **stake),
            decision(decision_id="month", expected_effect=90.0, effect_period="month", **stake),
            decision(decision_id="idle", expected_effect=1e6, is_idle=True, **stake),
            decision(decision_id="wins", expected_effect=1.0, **won),
            decision(decision_id="loses", expected_effect=-1.0, **won),
            decision(decision_id="blocked", action="blocked"),
        ]
    ).assign(size=1.0, owner_role="head")
    order = in_order(worths(table)).decision_id.tolist()
    by_effect = ["wins", "month", "year", "points"]
    assert order == [*by_effect, "bare", "target", "loses", "idle", "blocked"]
    assert in_order(worths(table[::-1])).decision_id.tolist() == order, "in any order of rows"


def test_no_label_is_read_to_rank_to_ask_or_to_find_a_conflict():
    """Labels that say the contrary of the fields change nothing."""
    about = {"subject_type": "sku", "subject": "mug", "notebook": "07", "size": 90.0}
    table = pd.DataFrame(
        [
            decision(
                decision_id="a",
                action="blocked",
                effect_unit="EUR cost at stake a year",
                effect_kind="margin",
                effect_period="month",
                confidence="high",
                expected_effect=7.0,
                verb="order",
                spends=True,
                unit="orders",
                owner_role="supply",
                **about,
            ),
            decision(
                decision_id="b", action="hold", unit="EUR", effect_unit="EUR margin", verb="delist",
                **about,
            ),
        ]
    )  # fmt: skip
    assert ranked_decisions(table).worth.tolist()[0] == 21.0
    assert asks(table).money.tolist() == [90.0]
    assert conflicts(table)[["first", "second"]].to_numpy().tolist() == [["blocked", "hold"]]


def test_asks_add_up_to_the_money_asked_for_and_a_price_is_no_ask():
    supply = {"owner_role": "supply", "spends": True}
    table = pd.DataFrame(
        [
            decision(action="order", size=100.0, due_on="2026-11-20", **supply),
            decision(action="order", size=50.0, due_on="2026-11-10", **supply),
            decision(action="raise", size=30.0, spends=True, owner_role="marketing"),
            decision(action="raise price", size=19.9, unit="EUR", owner_role="pricing"),
            decision(action="hold", size=70.0, unit="EUR/month", owner_role="marketing"),
            decision(action="test", size=500.0, unit="customers", owner_role="crm"),
        ]
    )
    found = asks(table).set_index("owner_role")
    assert found.money.to_dict() == {"supply": 150.0, "marketing": 30.0}
    assert found.due_on["supply"] == "2026-11-10"


def test_an_ask_states_an_effect_only_where_all_of_its_rows_know_it():
    known = {"spends": True, "size": 1.0, "effect_low": 1.0, "effect_high": 3.0}
    table = pd.DataFrame(
        [
            decision(owner_role="a", **known),
            decision(owner_role="a", **known),
            decision(owner_role="b", **known),
            decision(owner_role="b", spends=True, size=1.0, effect_high=5.0),
        ]
    )
    found = asks(table).set_index("owner_role")
    assert found.loc["a", ["effect_low", "effect_high", "n_decisions"]].tolist() == [2, 6, 2]
    assert np.isnan(found.loc["b", "effect_low"]) and found.loc["b", "effect_high"] == 8.0


def test_a_sku_ordered_and_delisted_is_a_conflict_and_so_is_too_little_cash():
    mug = {"subject_type": "sku", "subject": "mug"}
    cup = {"subject_type": "sku", "subject": "cup"}
    order = {"action": "order", "verb": "order", "notebook": "07", "spends": True}
    table = pd.DataFrame(
        [
            decision(size=90.0, **mug, **order),
            decision(action="delist", verb="delist", notebook="10", **mug),
            decision(size=20.0, **cup, **order),
        ]
    )
    pot = pd.DataFrame({"sku": ["pot"]})
    found = conflicts(
        table,
        cash_limit=100.0,
        currency="EUR",
        wanted=pot.assign(action="order", notebook="07"),
        leaving=pot.assign(action="delist", notebook="10"),
    )
    assert found.subject.tolist() == ["mug", "pot", "110 EUR asked"]
    assert found.notebooks.tolist() == ["07, 10", "07, 10", "all"]
    assert conflicts(table, cash_limit=110.0, currency="EUR").subject.tolist() == ["mug"]


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("order", "delist", True),
        ("order", "clear", True),
        ("raise", "lower", True),
        ("raise", "pause", True),
        ("raise", "clear", True),
        ("launch", "delist", True),
        ("repeat", "stop", True),
        ("lower", "clear", False),
        ("hold", "raise", False),
        ("order", "raise", False),
    ],
)
def test_verbs_that_cannot_both_be_carried_out(one, other, clash):
    about = {"subject_type": "sku", "subject": "mug", "notebook": "x"}
    rows = [decision(verb=verb, action=verb, **about) for verb in (other, one)]
    assert len(conflicts(pd.DataFrame(rows))) == clash
    rows[0]["subject"] = "cup"
    assert conflicts(pd.DataFrame(rows)).empty


def test_skus_ordered_or_bundled_that_another_chapter_holds_are_one_conflict_a_pair_of_actions():
    bundle = {"subject": "cup + pot", "action": "test bundle", "verb": "bundle"}
    table = pd.DataFrame([decision(subject_type="sku", notebook="09", **bundle)])
    found = conflicts(
        table,
        wanted=wanted(
            pd.DataFrame({"sku": ["pot", "jug", "cup", "tin"], "order_units": [5, 5, 5, 0]}),
            pd.DataFrame({"a": ["cup", "tin"], "b": ["pot", "jug"]}),
            table,
        ),
        leaving=leaving(
            pd.DataFrame({"sku": ["jug"], "effect": [-1.0]}),
            pd.DataFrame({"sku": ["pot", "jug", "tin"], "is_hold": True}),
            pd.DataFrame({"sku": ["cup", "pot"], "action": ["leave", "scale"]}),
        ),
    )
    assert set(zip(found["first"], found["second"], found.subject, strict=True)) == {
        ("order", "leave", "cup"),
        ("order", "quality hold", "jug, pot"),
        ("test bundle", "leave", "cup"),
        ("test bundle", "quality hold", "pot"),
    }
    assert set(found.notebooks) == {
        "07_inventory_planning, 10_assortment_pricing",
        "09, 10_assortment_pricing",
    }


def test_what_is_not_worth_an_hour_has_no_owner_or_wins_nothing_is_counted_not_listed():
    won = {"effect_kind": "margin", "effect_period": "quarter", "confidence": "high"}
    rows = [
        decision(decision_id="large", size=1.0, expected_effect=50.0, owner_role="pricing", **won),
        decision(decision_id="small", size=1.0, expected_effect=9.0, owner_role="pricing", **won),
        decision(decision_id="costs", size=1.0, expected_effect=-9.0, owner_role="pricing", **won),
        decision(decision_id="bare", expected_effect=99.0, owner_role="pricing", **won),
        decision(decision_id="idle", size=1.0, owner_role="pricing", is_idle=True),
        decision(decision_id="aside", size=1.0, owner_role="pricing", expected_effect=40.0, **won),
    ]
    team = pd.DataFrame({"role": ["category head"]})
    table = owned(pd.DataFrame(rows), team)
    assert set(table.owner_role) == {"category head"}, "it stands in for pricing"
    clashes = pd.DataFrame({"set_aside": ["aside"]})
    left = left_out(table, floor=10.0, clashes=clashes)
    assert dict(zip(left.decision_id, left.reason, strict=True)) == {
        "small": "too small",
        "costs": "wins nothing",
        "bare": "no size",
        "idle": "changes nothing",
        "aside": "set aside",
    }
    assert ranked_decisions(table, without=left).decision_id.tolist() == ["large"]
    assert "5 proposals" in left_out_line(left, floor=10.0, currency="EUR")
    nobody = owned(pd.DataFrame(rows), pd.DataFrame({"role": ["driver"]}))
    assert set(left_out(nobody).reason) >= {"no owner"}


def test_no_two_tests_are_dealt_from_the_same_sessions_at_a_time():
    days = {"due_on": "2026-11-14", "revisit_on": "2026-12-12", "size": 9.0, "owner_role": "head"}
    kinds = ["customer_journey.next_test", "recommendations.list_test", "cohort_retention.nudge"]
    rows = [decision(decision_id=kind[:4], kind=kind, **days) for kind in kinds]
    table = pd.DataFrame(rows)
    found = calendar_of_tests(table, without=left_out(table)).set_index("decision_id")
    assert found.loc["cust", "ends_on"] < found.loc["reco", "starts_on"]
    assert str(found.loc["reco", "starts_on"].date()) == "2026-12-13"
    assert str(found.loc["coho", "starts_on"].date()) == "2026-11-14"
    assert found.weeks.tolist() == [4.0, 4.0, 4.0]


def test_the_better_of_two_stays_and_nothing_is_pushed_that_runs_out():
    mug = {"subject_type": "sku", "subject": "mug", "notebook": "10", "size": 1.0}
    rows = [
        decision(decision_id="up", verb="raise", action="raise price", **mug),
        decision(decision_id="down", verb="lower", action="lower price", **mug),
    ]
    table = pd.DataFrame(rows).assign(worth=[5.0, 9.0])
    first = conflicts(table).iloc[0]
    assert first.set_aside == "up" and "lower price wins more" in first.proposal
    short = pd.DataFrame({"sku": ["mug"], "due_on": pd.to_datetime(["2026-11-20"])})
    pushed = conflicts(table[table.decision_id == "down"], short=short).iloc[0]
    assert pushed.set_aside == "down" and "2026-11-20" in pushed.proposal


@pytest.mark.parametrize(
    ("missing", "aside", "told"), [(8.0, "", "plan 5 days; leave out the 3 of s"), (3.0, "p", "no")]
)
def test_a_peak_is_planned_without_the_promotions_that_are_to_stop(missing, aside, told):
    peak = {"subject_type": "risk", "subject": "peak 2026-11", "kind": "goal_setting.plan_peak"}
    stop = {"subject_type": "category", "subject": "s"}
    stop["kind"] = "assortment_pricing.promotion_stop"
    rows = [
        decision(decision_id="p", action="plan the peak", notebook="02", size=missing, **peak),
        decision(decision_id="q", action="stop promotion", notebook="10", verb="stop", **stop),
    ]
    coming = pd.DataFrame({"promo_id": ["s", "r"], "n_days": [3, 5], "n_planned": 0.0})
    coming["comes_on"] = pd.to_datetime(["2026-11-08", "2026-12-10"])
    found = conflicts(pd.DataFrame(rows), coming=coming).iloc[0]
    assert (found.set_aside, found.notebooks) == (aside, "02, 10") and told in found.proposal
    assert conflicts(pd.DataFrame(rows), coming=coming.assign(n_planned=1.0)).empty


def test_a_price_cut_raises_the_order_made_for_the_old_price():
    """10 % less at an elasticity of -2: 1 / .81 of the demand, so 23.5 % more of 100."""
    moves = pd.DataFrame({"sku": ["mug", "cup"], "move_share": -0.1, "elasticity": [-2.0, np.nan]})
    stock = pd.DataFrame({"sku": ["mug", "cup"], "order_units": [100, 100]})
    more = ordered_more(stock, moves.assign(action="lower"))
    assert more.to_dict("records") == [{"sku": "mug", "units": 24.0}]
    cut = {"subject_type": "sku", "subject": "mug", "notebook": "10", "action": "lower price"}
    found = conflicts(pd.DataFrame([decision(verb="lower", **cut)]), more=more).iloc[0]
    assert found.set_aside == "" and "mug +24" in found.proposal


def test_all_orders_that_price_cuts_raise_are_one_row_to_settle():
    cuts = [
        decision(verb="lower", subject_type="sku", subject=sku, notebook="10", action="lower price")
        for sku in ("tin", "mug", "jug")
    ]
    more = pd.DataFrame({"sku": ["mug", "tin"], "units": [24.0, 3.0]})
    found = conflicts(pd.DataFrame(cuts), more=more)
    assert found.subject.tolist() == ["mug, tin"]
    register = pd.DataFrame(columns=["is_over", "amount"]).astype({"is_over": bool})
    rows = review_decisions(found, register, settle_on="2026-11-05", act_on="2026-11-20")
    assert rows["size"].tolist() == [2.0] and "mug +24, tin +3" in rows.reason[0]


def test_a_row_whose_stop_rule_holds_already_or_that_is_about_too_little_is_left_out():
    """A channel lowered although its marginal return is above one; a hold of 3 EUR."""
    about = {"size": 1.0, "owner_role": "head", "confidence": "high", "effect_period": "quarter"}
    lower = {"kind": "channel_roi.budget_lower", "effect_kind": "margin", "expected_effect": 90.0}
    rows = [
        decision(decision_id="pays", evidence_value=3.0, threshold=2.0, **lower, **about),
        decision(decision_id="loses", evidence_value=1.0, threshold=2.0, **lower, **about),
        decision(decision_id="3", effect_kind="margin_at_stake", expected_effect=3.0, **about),
        decision(decision_id="30", effect_kind="margin_at_stake", effect_high=30.0, **about),
    ]
    left = left_out(pd.DataFrame(rows), floor=10.0)
    assert dict(zip(left.decision_id, left.reason, strict=True)) == {
        "pays": "already true",
        "3": "too small",
    }


def test_a_purse_too_small_pays_first_for_what_wins_most_for_its_money():
    pay = {"spends": True, "owner_role": "supply", "verb": "order", "action": "order"}
    rows = [
        decision(decision_id=name, subject=name, size=size, **pay)
        for name, size in [("dear", 90.0), ("good", 50.0)]
    ]
    table = pd.DataFrame(rows).assign(worth=[9.0, 10.0])
    found = conflicts(table, cash_limit=100.0, currency="EUR").iloc[0]
    assert found.set_aside == "dear"


def test_a_chapter_without_results_is_listed():
    notes = pd.DataFrame(
        {
            "notebook": ["00_start_here", "03_channel_roi"],
            "section": [None, "Payback"],
            "needs": [None, "ad_spend"],
        }
    )
    found = caveats(
        notes,
        pd.DataFrame(columns=["metric", "status"]),
        expected=["00_start_here", "05_ltv_modelling"],
    )
    assert found.kind.tolist() == ["missing chapter", "blocked"]


def test_a_band_is_quoted_only_where_its_denominator_is_known():
    card = scorecard(
        headline("cvr_sessions", [0.02] * 12), month="2026-10", benchmarks=benchmarks()
    )
    assert "not stated" not in card.band.iloc[0]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_chapters_propose_the_list_is_sized_owned_worth_it_and_clashes_with_nothing(
    seed,
):
    rng = np.random.default_rng(seed)
    verbs = ["raise", "lower", "pause", "order", "clear", "delist", "repeat", "stop", ""]
    rows = [
        decision(
            decision_id=str(k),
            subject_type="sku",
            subject=f"s{rng.integers(6)}",
            verb=(verb := str(rng.choice(verbs))),
            action=verb or "hold",
            size=float(rng.choice([np.nan, 5.0])),
            owner_role=str(rng.choice(["pricing", "finance", ""])),
            expected_effect=float(rng.choice([np.nan, -50.0, 5.0, 90.0])),
            effect_kind="margin",
            effect_period="quarter",
            confidence="high",
            is_idle=bool(rng.random() < 0.2),
        )
        for k in range(200)
    ]
    table = owned(pd.DataFrame(rows), pd.DataFrame({"role": ["category head", "finance"]}))
    clashes = conflicts(worths(table))
    left = left_out(table, floor=10.0, clashes=clashes)
    best = ranked_decisions(table, most=200, without=left)
    assert len(best) and best["size"].notna().all()
    assert best.owner_role.isin(["category head", "finance"]).all()
    assert best.worth.ge(10.0).all() and not best.is_idle.any()
    assert best.worth.is_monotonic_decreasing
    for _subject, group in best.groupby("subject"):
        pairs = {frozenset(pair) for pair in OPPOSED}
        named = {frozenset((a, b)) for a in group.verb for b in group.verb if a != b}
        assert not named & pairs


def test_the_card_holds_what_was_foreseen_beside_what_was_expected():
    said = pd.DataFrame({"metric": ["orders"], "month": "2026-10", "mid": [40.0]})
    frame = headline("orders", [float(k) for k in range(30)])
    card = scorecard(frame, month="2026-10", foreseen=said)
    assert card["foreseen"].tolist() == [40.0]
    assert scorecard(frame, month="2026-10")["foreseen"].isna().all()


def test_a_log_whose_customers_all_began_before_has_no_new_ones_to_count():
    """A closed cohort was told of `New customers 0, in its usual range`."""
    closed = {"new_customers": [900.0, 800, 700, 0, 0, 0], "buyers": [1000.0, 900, 800, 9, 9, 9]}
    assert _is_closed(pd.DataFrame(closed)).tolist() == [False] * 3 + [True] * 3
    small = {"new_customers": [1.0, 0, 1, 0, 0, 0], "buyers": [10.0, 9, 8, 3, 3, 3]}
    assert not _is_closed(pd.DataFrame(small)).any(), "chance leaves a small shop without one"
    two = {name: values[:-1] for name, values in closed.items()}
    assert not _is_closed(pd.DataFrame(two)).any(), "two months may be an outage"


def test_what_is_not_complete_is_held_against_no_target():
    card = pd.DataFrame(
        {
            "metric": ["orders", "net_revenue", "return_share", "late_share"],
            "actual": [9.0, 1000.0, 0.02, 0.05],
            "target": [10.0, 900.0, 0.06, 0.04],
            "status": ["complete", "complete", "partial", "complete"],
        }
    )
    missed, beaten = against_targets(card)
    assert missed.metric.tolist() == ["orders", "late_share"]
    assert beaten.metric.tolist() == ["net_revenue"]
