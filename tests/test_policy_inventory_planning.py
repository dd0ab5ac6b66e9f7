"""Policy of stock: every threshold, floor and formula at its edge, by hand, through
the functions that a shop's numbers go through.
"""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from playbook.chapters.inventory_planning.decisions import Terms, stock_decisions
from playbook.chapters.inventory_planning.forecast import (
    _with_champion,
    against_naive,
    demand_backtest,
    predictions,
    sku_weeks,
)
from playbook.chapters.inventory_planning.inventory import (
    OrderPolicy,
    came_back,
    classes,
    order_policy,
    overstock,
    projection,
    reorder,
    service_cash,
    what_if_lead,
)
from playbook.chapters.inventory_planning.ordering import plan_orders, spend_budget
from playbook.chapters.inventory_planning.replay import play_policy, policy_replay
from playbook.chapters.inventory_planning.stock_kpis import logistics_cost, stock_kpis
from playbook.chapters.inventory_planning.supply import Supply, days_of_stock, supply, told_days
from playbook.measures.demand_panel import (
    DemandPanel,
    demand_panel,
    hidden_demand,
    money_weight,
    stockouts,
    unit_margin,
)
from playbook.measures.price_moves import promotion_pull
from playbook.methods.demand import DemandLaw, SalesWeeks, fit_demand, tsb_level
from playbook.methods.newsvendor import levels_for_fill, spread_over_lot
from playbook.methods.replenishment import accepted_chance
from playbook.methods.uncensored import (
    launch_curve,
    level_around,
    like_items,
    season_of,
    shop_weeks,
    sold_out_exposure,
)

AS_OF = dt.date(2026, 10, 31)
TODAY = pd.Timestamp(AS_OF)


def ago(days):
    return TODAY - pd.Timedelta(days=days)


def panel_of(units, exposure=None, **fields):
    """A panel from weekly units: one price of 10, half of it margin."""
    units = np.asarray(units, float)
    exposure = np.ones_like(units) if exposure is None else np.asarray(exposure, float)
    n_weeks = units.shape[1]
    starts = pd.date_range(ago(7 * n_weeks - 1), periods=n_weeks, freq="7D")
    made = DemandPanel(
        sku=np.array([f"s{i:02d}" for i in range(len(units))], object),
        category=np.full(len(units), "all", object),
        units=units,
        exposure=exposure,
        promo=np.zeros_like(units),
        revenue=10 * units,
        margin=5 * units,
        on_hand=np.full(units.shape, 20.0),
        week=np.arange(n_weeks) % 52,
        starts=starts,
        is_stock_known=True,
        issues=pd.DataFrame(),
        counts=(units, 7 * exposure, 0 * units, 0 * units, np.full((1, n_weeks), 7.0)),
        price=np.full(units.shape, np.nan),
        pull=np.zeros_like(units),
    )
    return replace(made, **fields)


def law_of(level, dispersion=0.1):
    level = np.asarray(level, float)
    one = np.ones(len(level))
    return DemandLaw(
        level * 50,
        50 * one,
        0.98 * one,
        np.ones((len(level), 52)),
        dispersion * one,
        one,
        one,
        np.ones(26),
        np.full(len(level), 25),
        0,
    )


def stock(*rows):
    return pd.DataFrame(rows, columns=["sku", "day_on", "on_hand"])


def receipts(*rows, supplier="sup"):
    """Order lines: sku, days since ordered, lead time in days (None: not received)."""
    table = pd.DataFrame(
        [
            {
                "po_id": f"p{i}",
                "sku": sku,
                "supplier_id": supplier,
                "ordered_on": ago(age),
                "promised_on": ago(age - 14),
                "received_on": pd.NaT if lead is None else ago(age - lead),
                "n_ordered": 10,
                "n_received": np.nan if lead is None else 10,
                "n_defective": 0,
                "unit_cost": 5.0,
            }
            for i, (sku, age, lead) in enumerate(rows)
        ]
    )
    return table.astype({"promised_on": "datetime64[ns]", "received_on": "datetime64[ns]"})


def goods_of(n=1, **columns):
    """A supply whose goods are all alike but for the columns given."""
    goods = pd.DataFrame(
        {
            "sku": [f"s{i:02d}" for i in range(n)],
            "supplier_id": "sup",
            "unit_cost": 5.0,
            "lead_time_days": 14.0,
            "min_order_units": 0.0,
            "pack_units": 1.0,
            "is_active": True,
            "launched_on": pd.NaT,
            "on_hand": 20.0,
            "available": 20.0,
            "incoming": 0.0,
            "incoming_days": 0.0,
            "lead_days": 14.0,
            "lead_sd": 2.0,
            "yield_share": 1.0,
            "last_received_on": ago(10),
        }
    ).assign(**columns)
    leads = pd.DataFrame({"supplier_id": "sup", "lead_days": [12.0, 14.0, 16.0] * 3})
    suppliers = pd.DataFrame({"lines_per_order": [4.0]})
    return Supply(goods, suppliers, leads, pd.DataFrame())


# the weeks of a sku


@pytest.mark.parametrize("days, weeks", [(100 * 7, 100), (156 * 7, 156), (200 * 7, 156)])
def test_a_panel_holds_three_years(days, weeks):
    found = demand_panel(days_of(days), as_of=AS_OF)
    assert found.units.shape == (1, weeks)


def days_of(n, units=1.0, **columns):
    frame = pd.DataFrame({"sku": "s00", "day_on": pd.date_range(ago(n - 1), TODAY)})
    base = {"units": units, "revenue": 10.0, "margin": 5.0, "is_on_promo": False}
    return frame.assign(**(base | {"on_hand": 5.0, "is_stocked": True} | columns))


@pytest.mark.parametrize(
    "usual, peak, is_bulk",
    [(10, 80, False), (10, 81, True), (2, 50, False), (2, 51, True)],
)
def test_a_bulk_order_is_above_eight_times_the_next_week_and_fifty_units(usual, peak, is_bulk):
    frame = days_of(70, units=0.0)
    frame.loc[np.arange(0, 70, 7), "units"] = float(usual)
    frame.loc[35, "units"] = float(peak)
    found = demand_panel(frame, as_of=AS_OF)
    assert ("one week far above every other" in set(found.issues.problem)) == is_bulk
    assert found.units.max() == (usual if is_bulk else peak)


def test_a_gap_counts_for_eight_weeks_and_a_quarter_of_a_day_is_no_row():
    units, exposure = np.full((3, 60), 10.0), np.ones((3, 60))
    units[0, 40:52], exposure[0, 40:52] = 0.0, 0.0
    exposure[1, 55] = 1 - 0.25 / 7
    exposure[2, 55] = 1 - 0.26 / 7
    found = stockouts(panel_of(units, exposure)).set_index("sku")
    assert found.out_days["s00"] == pytest.approx(56)
    assert set(found.index) == {"s00", "s02"}


def test_lost_units_and_their_interval_are_the_formula_printed():
    units, exposure = np.full((1, 60), 10.0), np.ones((1, 60))
    units[0, 50], exposure[0, 50] = 0.0, 0.0
    row = stockouts(panel_of(units, exposure)).iloc[0]
    lost = (16 * 10 + units.sum() / exposure.sum()) / (16 + 1)
    wide = norm.ppf(0.9) * np.sqrt(lost + lost / 18 + (0.3 * lost) ** 2 / 18)
    assert row.lost_units == pytest.approx(lost)
    assert (row.low, row.high) == pytest.approx((lost - wide, lost + wide))
    assert row.lost_margin == pytest.approx(5 * lost)


def test_hidden_demand_is_the_level_of_eight_weeks_to_either_side():
    units, exposure = np.zeros((1, 60)), np.ones((1, 60))
    units[0, 22], units[0, 21], exposure[0, 30] = 9.0, 100.0, 0.0
    expected = (9 + units.sum() / 59) / (16 + 1)
    assert hidden_demand(panel_of(units, exposure))[0, 30] == pytest.approx(expected)


def test_margin_per_unit_is_that_of_the_last_year():
    panel = panel_of(np.ones((1, 60)))
    panel.margin[0, :8] = 900.0
    assert unit_margin(panel)[0] == 5.0
    panel.margin[0, 8] = 57.0
    assert unit_margin(panel)[0] == pytest.approx((51 * 5 + 57) / 52)


@pytest.mark.parametrize(
    "cost, margin, weight",
    [(10, 2, 5.0), (1, 100, 0.05), (4, 100, 0.05), (6, 100, 0.06), (100, 4, 20.0), (190, 10, 19.0)]
    + [(np.nan, 3, 1.0), (5, -1, 1.0)],
)
def test_money_in_stock_per_money_earned_stays_between_a_twentieth_and_twenty(cost, margin, weight):
    assert money_weight(np.array([cost], float), np.array([margin], float))[0] == weight


@pytest.mark.parametrize("depth, counted", [(0.3, 0.3), (0.6, 0.6), (0.7, 0.6)])
def test_a_deeper_cut_pulls_by_its_depth_up_to_sixty_percent(depth, counted):
    panel = panel_of(np.ones((1, 20)))
    cuts = pd.DataFrame(
        {
            "starts_on": [panel.starts[2], panel.starts[-1] + pd.Timedelta(days=7)],
            "ends_on": [
                panel.starts[2] + pd.Timedelta(days=6),
                panel.starts[-1] + pd.Timedelta(days=13),
            ],
            "depth_share": [0.2, depth],
            "skus": ["s00", "s00"],
        }
    )
    pull = promotion_pull(panel, cuts)
    assert pull.shape == (1, 20 + 26)
    assert pull[0, 2] == pytest.approx(1.0)
    usual = 0.8**-2.62 - 1
    assert pull[0, 20] == pytest.approx(((1 - counted) ** -2.62 - 1) / usual)


# stock and suppliers


@pytest.mark.parametrize("age, is_planned", [(35, True), (36, False)])
def test_stock_counted_more_than_five_weeks_ago_is_not_the_stock_of_today(age, is_planned):
    found = supply(stock(("s00", ago(age), 5), ("s01", ago(0), 5)), as_of=AS_OF)
    row = found.goods.set_index("sku").loc["s00"]
    assert (row.on_hand == 5) == is_planned
    assert ("stock not counted for weeks" in set(found.issues.problem)) != is_planned


@pytest.mark.parametrize("months, n_lines", [(23, 1), (25, 0)])
def test_receipts_older_than_two_years_say_nothing(months, n_lines):
    age = (TODAY - (TODAY - pd.DateOffset(months=months))).days + 3
    found = supply(None, as_of=AS_OF, purchase_orders=receipts(("s00", age, 3)))
    assert found.suppliers.n_lines.sum() == len(found.leads) == n_lines


@pytest.mark.parametrize(
    "lead, age, incoming",
    [(20, 40, 10), (20, 41, 0), (10, 30, 10), (10, 31, 0), (None, 365, 10), (None, 366, 0)],
)
def test_an_order_is_believed_for_twice_the_usual_time_a_month_or_a_year(lead, age, incoming):
    done = [] if lead is None else [("s01", 100, lead)] * 3
    found = supply(None, as_of=AS_OF, purchase_orders=receipts(*done, ("s00", age, None)))
    assert found.goods.set_index("sku").incoming["s00"] == incoming


def test_what_is_late_is_taken_to_come_in_two_days():
    orders = receipts(*[("s01", 100, 30)] * 3, ("s00", 29, None), ("s01", 10, None))
    days = supply(None, as_of=AS_OF, purchase_orders=orders).goods.set_index("sku").incoming_days
    assert days["s00"] == 2.0
    assert days["s01"] == 20.0


@pytest.mark.parametrize("n, is_drawn", [(7, False), (8, True)])
def test_a_suppliers_own_receipts_are_drawn_from_eight_on(n, is_drawn):
    held = goods_of(lead_days=14.0, lead_sd=3.0)
    own = replace(held, leads=held.leads.iloc[:1].loc[[0] * n])
    draws = own.lead_draws(own.goods, 500, 7)
    assert (draws == 12.0).all() == is_drawn
    if not is_drawn:
        assert draws.mean() == pytest.approx(14.0, rel=0.03)
        assert draws.std() == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("bad, share", [(4, 0.6), (7, 0.3), (8, 0.3)])
def test_a_supplier_yields_a_third_at_the_least(bad, share):
    orders = receipts(("s00", 100, 10)).assign(n_defective=bad)
    found = supply(None, as_of=AS_OF, purchase_orders=orders)
    assert found.suppliers.yield_share[0] == pytest.approx(share)
    assert found.goods.yield_share[0] == pytest.approx(share)


def test_the_scorecard_is_the_sums_it_names():
    orders = receipts(("s00", 100, 10), ("s00", 90, 14), ("s01", 80, 18), ("s01", 9, None))
    orders.loc[0, "n_received"], orders.loc[1, "n_defective"] = 8, 1
    row = supply(None, as_of=AS_OF, purchase_orders=orders).suppliers.iloc[0]
    assert row.otif_share == pytest.approx(1 / 3)
    assert row.short_share == pytest.approx(1 - 28 / 30)
    assert row.defect_share == pytest.approx(1 / 28)
    assert row.yield_share == pytest.approx(27 / 30)
    assert row.late_days == pytest.approx(4 / 3)
    assert row.lead_p90 == pytest.approx(17.2)
    assert row.lead_cv == pytest.approx(4 / 14)
    assert (row.n_open, row.n_overdue, row.n_judged) == (1, 0, 3)


# classes and orders


@pytest.mark.parametrize(
    "amounts, expected",
    [([80, 15, 5], "ABC"), ([79, 2, 14, 5], "AABC"), ([81, 15, 4], "ABC"), ([50, 50, 0], "AAC")],
)
def test_classes_are_cut_at_eighty_and_ninety_five_percent_of_the_margin(amounts, expected):
    panel = panel_of(np.array(amounts, float)[:, None] * np.ones((1, 52)))
    found = classes(panel, law_of(np.full(len(amounts), 5.0)))
    assert "".join(found.abc) == expected
    assert found.aim_share.tolist() == [{"A": 0.97, "B": 0.95, "C": 0.9}[k] for k in expected]


@pytest.mark.parametrize("cv, kind", [(0.49, "X"), (0.51, "Y"), (0.99, "Y"), (1.01, "Z")])
def test_a_sku_is_steady_under_a_half_and_erratic_from_one(cv, kind):
    panel = panel_of(np.full((1, 52), 1e6))
    found = classes(panel, law_of([1e6], dispersion=cv**2 - 1e-6))
    assert found.xyz[0] == kind
    assert found.cv[0] == pytest.approx(cv)


def test_what_came_back_makes_no_class():
    """Half of the revenue is one order that came back whole, and 20 of a margin of 100."""
    panel = panel_of(np.ones((2, 52)))
    refunds = {"sku": ["a", "a", None, "a"], "amount": [300.0, 40.0, 9.0, 70.0]}
    refunds |= {"margin": [-15.0, -5.0, -9.0, -70.0]}
    days = ["2026-10-01", "2025-11-02", "2026-10-01", "2025-11-01"]
    table = pd.DataFrame(refunds).assign(refunded_on=pd.to_datetime(days))
    back = came_back(table, as_of="2026-10-31")
    assert back.loc["a"].tolist() == [-340.0, -20.0], "a refund of 52 weeks ago is over"
    plain = classes(panel, law_of([1.0, 1.0])).set_index("sku").amount
    found = classes(panel, law_of([1.0, 1.0]), back=back.set_axis(panel.sku[:1]))
    found = found.set_index("sku").amount
    assert (plain - found)[panel.sku].tolist() == [20.0, 0.0]


def test_the_amount_is_margin_of_a_year_and_revenue_from_half_the_costs_missing():
    panel = panel_of(np.ones((2, 60)))
    panel.margin[:, :7] = 1e6
    assert classes(panel, law_of([1.0, 1.0])).amount.tolist() == [260.0, 260.0]
    panel.margin[0, 8:] = np.nan
    assert classes(panel, law_of([1.0, 1.0])).basis.eq("revenue").all()
    panel.margin[0, 8] = 5.0
    assert classes(panel, law_of([1.0, 1.0])).basis.eq("margin").all()


def ordered(held, level=10.0, panel=None, **policy):
    panel = panel_of(np.full((len(held.goods), 60), level)) if panel is None else panel
    law = law_of(np.full(len(panel.sku), level))
    return reorder(
        panel,
        law,
        held,
        as_of=AS_OF,
        classes=classes(panel, law),
        policy=OrderPolicy(**policy),
    )


@pytest.mark.parametrize("least, is_planned", [(520, True), (521, False)])
def test_a_minimum_above_a_years_demand_is_decided_by_hand(least, is_planned):
    found = ordered(goods_of(2, min_order_units=[0.0, float(least)]))
    assert len(found.orders) == 1 + is_planned
    assert len(found.issues) == (not is_planned)


def test_the_textbook_point_is_the_formula_printed_beside_it():
    row = ordered(goods_of(), review_days=7).orders.iloc[0]
    mean, covered = 10 / 7, 14 + 7
    sd = np.sqrt(10 + 0.1 * 10**2) / np.sqrt(7)
    z = norm.ppf(0.97)
    expected = mean * covered + z * np.sqrt(covered * sd**2 + mean**2 * 2.0**2)
    assert row.textbook_rop == pytest.approx(expected)


def test_an_economic_lot_is_a_quarter_of_a_year_at_most():
    small = ordered(goods_of(on_hand=0.0, available=0.0), holding_share=0.2, ordering_cost=1.0)
    assert small.orders.order_units[0] >= np.sqrt(2 * 1.0 * 520 / (5 * 0.2)) - 1e-9
    large = ordered(goods_of(on_hand=0.0, available=0.0), holding_share=0.2, ordering_cost=1e4)
    assert large.orders.order_units[0] == 130.0


def test_an_order_waits_until_the_position_falls_to_its_point_and_a_year_at_most():
    row = ordered(goods_of(available=100.0, on_hand=100.0)).orders.iloc[0]
    wait = int((100 - row.rop) / (10 / 7))
    assert row.order_on == TODAY + pd.Timedelta(days=1 + wait)
    assert row.due_on == row.order_on + pd.Timedelta(days=14)
    far = ordered(goods_of(available=1e6, on_hand=1e6)).orders.iloc[0]
    assert far.order_on == TODAY + pd.Timedelta(days=366)


def test_reasons_name_what_kept_an_order_from_its_need():
    held = goods_of(3, on_hand=0.0, available=0.0, unit_cost=[5.0, 5.0, 50.0])
    panel = panel_of(np.full((3, 60), 10.0))
    panel.margin[1] = -1.0
    free = ordered(held, panel=panel).orders.set_index("sku")
    assert free.reason["s00"] == "position below reorder point"
    assert free.reason["s01"] == "sells at a loss"
    assert free.order_units["s01"] == 0 < free.needed_units["s01"]
    cash = free.cash["s00"]
    tight = ordered(held, panel=panel, budget=30.0).orders.set_index("sku")
    assert tight.reason["s02"] == "budget spent on better lines"
    half = ordered(held, panel=panel, budget=cash / 2).orders.set_index("sku")
    assert half.reason["s00"] == "cut to the budget"
    plenty = ordered(goods_of(available=500.0, on_hand=500.0))
    assert plenty.orders.reason[0] == "enough for now"
    assert plenty.purchase_list.empty and plenty.by_supplier.empty


def test_by_cost_the_chance_of_running_short_is_holding_over_holding_and_margin():
    """hT / (hT + m): with m = hT every second future may run short."""
    held = goods_of(on_hand=0.0, available=0.0)
    days = 7.0
    share = 5.0 / (5.0 * days / 365)
    middle = ordered(held, aim_by="cost", holding_share=share).orders.iloc[0]
    assert middle.cycle_service == pytest.approx(0.5, abs=0.06)
    safe = ordered(held, aim_by="cost", holding_share=share / 19).orders.iloc[0]
    assert safe.cycle_service == pytest.approx(0.95, abs=0.03)


def test_costs_of_an_order_are_shared_by_its_usual_lines_at_the_latest_rate():
    import ibis

    rates = pd.DataFrame(
        {
            "kind": ["ordering_cost_per_po", "ordering_cost_per_po", "capital_share_per_year"],
            "value": [10.0, 20.0, 0.1],
            "from_on": [ago(500), ago(10), ago(10)],
        }
    )
    policy = order_policy(ibis.memtable(rates), goods_of(), aim_by="cost")
    assert (policy.ordering_cost, policy.holding_share) == (5.0, 0.1)
    assert order_policy(None, goods_of()).holding_share is None
    usual = OrderPolicy()
    assert (usual.review_days, usual.aim_by, usual.budget) == (7, "fill", None)


def test_where_no_lead_time_is_known_four_are_asked_about_at_ninety_five_percent():
    found = what_if_lead(panel_of(np.full((40, 60), 20.0)), law_of(np.full(40, 20.0)))
    columns = [f"rop_{days}_days" for days in (7, 14, 30, 60)]
    assert list(found)[2:] == columns
    assert found.mean_week.tolist() == [20.0] * 40
    law, none = law_of(np.full(40, 20.0)), np.zeros(40)
    least = none
    for days in (7, 14, 30, 60):
        futures = law.windows(none + days, 7, n_draws=1000, seed=7)
        level, _ = levels_for_fill(*futures, 0.95, cost=none + 1, group=none)
        least = level = np.maximum(level, least)
        assert found[f"rop_{days}_days"].tolist() == level.tolist()


def test_the_price_of_service_is_asked_at_seven_aims():
    panel, law = panel_of(np.full((30, 60), 10.0)), law_of(np.full(30, 10.0))
    found = service_cash(panel, law, goods_of(30))
    assert found.aim_share.tolist() == [0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99]
    step = (found.stock_value[1] - found.stock_value[0]) / (
        100 * (found.fill_share[1] - found.fill_share[0])
    )
    assert found.step_cost[1] == pytest.approx(step)


@pytest.mark.parametrize("on_hand, action", [(2000.0, "stop buying"), (5000.0, "clear")])
def test_stock_is_cleared_from_twice_the_cover(on_hand, action):
    panel, law = panel_of(np.full((1, 60), 100.0)), law_of([100.0], dispersion=0.01)
    found = overstock(panel, law, goods_of(on_hand=on_hand), as_of=AS_OF, cover_days=120)
    assert found.empty or found.action[0] == action
    assert (found.days[0] > 240) == (action == "clear") if len(found) else on_hand == 2000.0


def test_too_much_is_what_nine_futures_in_ten_would_leave():
    panel, law = panel_of(np.full((1, 60), 10.0)), law_of([10.0])
    _, demand = law.windows(np.zeros(1), 120, n_draws=200, seed=7)
    row = overstock(panel, law, goods_of(on_hand=900.0, incoming=50.0), as_of=AS_OF).iloc[0]
    assert row.excess_units == np.floor(950 - np.quantile(demand[0], 0.9))
    assert row.excess_value == 5 * row.excess_units


def test_the_edge_of_clearing_is_at_twice_the_cover():
    panel, law = panel_of(np.full((1, 60), 100.0)), law_of([100.0], dispersion=0.01)
    mean_day = 5000.0 / overstock(panel, law, goods_of(on_hand=5000.0), as_of=AS_OF).days[0]
    for days, action in ((235, "stop buying"), (245, "clear")):
        held = goods_of(on_hand=float(np.floor(days * mean_day)))
        assert overstock(panel, law, held, as_of=AS_OF).action[0] == action


@pytest.mark.parametrize("share, action", [(0.0009, "stop buying"), (0.0011, "clear")])
def test_what_frees_less_than_a_thousandth_is_not_worth_clearing(share, action):
    panel, law = panel_of(np.full((2, 60), 1.0)), law_of([1.0, 1.0])
    held = goods_of(2, on_hand=[1000.0, 10_000.0], unit_cost=[1.0, 1.0])
    plain = overstock(panel, law, held, as_of=AS_OF).set_index("sku")
    excess, rest = plain.excess_units["s00"], 10_000.0
    cost = share * rest / (excess - share * 1000.0)
    held = goods_of(2, on_hand=[1000.0, 10_000.0], unit_cost=[cost, 1.0])
    found = overstock(panel, law, held, as_of=AS_OF).set_index("sku")
    assert found.action["s00"] == action
    assert found.age_days["s00"] == 10.0
    assert found.days.isna().any(), "what never sells has no number of days"


def test_a_shelf_is_shown_until_a_fortnight_after_its_order():
    plan = ordered(goods_of(incoming=7.0, available=50.0, on_hand=50.0))
    shelf = projection(plan, "s00", as_of=AS_OF)
    assert len(shelf) == 14 + 15
    assert shelf.without[7] == pytest.approx(50 - 7 * 10 / 7 + 7)
    wide = 1 + np.sqrt(0.3**2 + 1 / (10 / 7 * 29))
    assert shelf.low[1] == pytest.approx(50 - 10 / 7 * wide)


# forecasts


def test_forecasts_are_of_four_weeks_at_eighty_percent_for_twenty_skus_of_class_a():
    rng = np.random.default_rng(3)
    panel = panel_of(rng.poisson(9.0, (30, 60)))
    law = law_of(np.full(30, 9.0))
    abc = pd.DataFrame({"sku": panel.sku, "abc": ["A"] * 25 + ["C"] * 5, "xyz": "X"})
    found = predictions(panel, law, abc, as_of=AS_OF)
    assert len(found) == 20
    assert found.due_on.eq(TODAY + pd.Timedelta(days=28)).all()
    assert found.horizon.eq("28 days").all() and found.level.eq(0.8).all()
    np.testing.assert_allclose(found.point, 36.0)
    np.testing.assert_allclose(found.naive, panel.units[:20, -4:].sum(axis=1))
    draws = law.of(np.arange(20)).draw(4, n_draws=500, seed=7).sum(axis=2)
    # whole units, by the rule whose coverage the backtest prints
    np.testing.assert_allclose(found.low, np.floor(np.quantile(draws, 0.1, axis=1)))
    np.testing.assert_allclose(found.high, np.ceil(np.quantile(draws, 0.9, axis=1)))


def test_a_sku_is_shown_for_a_year_behind_and_eight_weeks_ahead():
    found = sku_weeks(panel_of(np.full((1, 60), 4.0)), law_of([4.0]), "s00")
    assert (found.units.notna().sum(), found.mid.notna().sum()) == (52, 8)


def backtest(units, n_origins=2):
    panel = panel_of(units)
    abc = pd.DataFrame({"sku": panel.sku, "abc": "A", "xyz": "X"})
    found = demand_backtest(panel, classes=abc, n_origins=n_origins)
    return found[found["class"] == "all"].set_index("model")


def test_the_comparisons_are_the_averages_they_name():
    units = np.random.default_rng(4).poisson(20.0, (4, 70)).astype(float)
    found = backtest(units, n_origins=1)
    actual = units[:, 66:].sum(axis=1)
    for model, point in {
        "naive": units[:, 62:66].sum(axis=1),
        "moving average": 4 * units[:, 53:66].mean(axis=1),
        "seasonal naive": units[:, 14:18].sum(axis=1),
    }.items():
        error = np.abs(point - actual).sum() / actual.sum()
        assert found.wape[model] == pytest.approx(error)
        assert found.bias[model] == pytest.approx((point - actual).sum() / actual.sum())


@pytest.mark.parametrize("error, champion", [(8.9, "other"), (9.1, "naive")])
def test_a_model_is_champion_only_when_it_erred_a_tenth_less_than_naive(error, champion):
    log = pd.DataFrame(
        {
            "class": "AX",
            "origin": [1, 1, 2, 2],
            "model": ["naive", "other"] * 2,
            "point": [110.0, 100.0 + error, 1.0, 2.0],
            "actual": 100.0,
            "inside": np.nan,
            "nominal": np.nan,
        }
    )
    found = _with_champion(log)
    points = found[found.model == "champion"].set_index("origin").point
    assert points.tolist() == [110.0, {"naive": 1.0, "other": 2.0}[champion]]


# the month's figures and its decisions


def test_turn_days_and_gmroi_use_cost_on_both_sides_over_the_weeks_that_end_in_the_month():
    panel = panel_of(np.full((5, 60), 7.0))
    found = stock_kpis(panel, goods_of(5), as_of=AS_OF)
    last = found[found.month == "2026-10"].set_index("metric")
    assert last.n.drop("stockout_share").eq(5).all(), "skus, of which the best fifth is one"
    assert last.n["stockout_share"] == 1
    turn = 7 * 5.0 * 5 * 365 / 7 / (20 * 5.0 * 5)
    assert last.amount["turn"] == pytest.approx(turn)
    assert last.amount["doi_days"] == pytest.approx(365 / turn)
    assert last.amount["gmroi"] == pytest.approx(7 * 5.0 * 5 * 365 / 7 / (20 * 5.0 * 5))
    assert last.amount["fill_rate"] == 1.0


def test_stock_outs_are_judged_on_the_fifth_that_sells_best_over_twenty_five_months():
    units, exposure = np.full((20, 156), 1.0), np.ones((20, 156))
    units[:5] = [[9.0], [8.0], [7.0], [6.0], [5.0]]
    exposure[3, -1], exposure[4, -1] = 0.5, 0.0
    found = stock_kpis(panel_of(units, exposure), goods_of(20), as_of=AS_OF)
    last = found[found.month == "2026-10"].set_index("metric")
    assert last.amount["stockout_share"] == pytest.approx(0.5 / 20)
    assert found.month.nunique() == 25


def test_parcels_are_counted_over_twelve_months():
    day = pd.to_datetime(["2025-10-31", "2025-11-01", "2026-10-31"])
    orders = pd.DataFrame(
        {
            "ordered_on": day,
            "carrier": "a",
            "shipping_cost": [1.0, 2.0, 3.0],
            "shipping": 1.0,
            "delivered_at": day,
            "promised_at": day,
            "cancelled_at": pd.Series([None] * 3, dtype="datetime64[us]"),
        }
    )
    assert logistics_cost(orders, as_of=AS_OF).month.tolist() == ["2025-11", "2026-10"]


def decided(excess=None, suppliers=None, **how):
    none = pd.DataFrame(columns=["high", "n_judged"])
    known = none if suppliers is None else suppliers
    return stock_decisions(None, excess, known, terms=Terms(AS_OF, "EUR", **how))


@pytest.mark.parametrize(
    "high, n_judged, is_proposed",
    [(0.949, 10, True), (0.95, 10, False), (0.949, 9, False)],
)
def test_a_second_source_is_for_who_is_surely_under_the_floor_on_ten_lines(
    high, n_judged, is_proposed
):
    row = pd.DataFrame(
        {"supplier_id": ["a"], "otif_share": 0.8, "high": high, "n_judged": n_judged}
    ).assign(lead_cv=0.31, late_days=4.0, lead_mean=20.0, n_open=3)
    found = decided(suppliers=row)
    assert len(found) == is_proposed
    steady = decided(suppliers=row.assign(lead_cv=0.3))
    assert steady.action.tolist() == ["plan with its own days"] * is_proposed
    if is_proposed:
        assert "20 days on average, which scatter by 31% (steady up to 30%)" in found.reason[0]
        assert "scatter" not in decided(suppliers=row.assign(lead_cv=np.nan)).reason[0]
        assert found.due_on[0] == AS_OF + dt.timedelta(days=30)
        assert found.revisit_on[0] == AS_OF + dt.timedelta(days=90)
        assert found.threshold[0] == 0.95


def test_ten_clearances_a_month_at_a_years_holding_cost():
    excess = pd.DataFrame(
        {
            "sku": [f"s{i:02d}" for i in range(12)],
            "days": 500.0,
            "excess_units": 8.0,
            "excess_value": 40.0,
            "action": "clear",
        }
    )
    found = decided(excess, holding_share=0.25, review_days=5)
    assert len(found) == 10
    assert found.expected_effect.eq(10.0).all()
    assert found.effect_unit.eq("EUR holding cost a year").all()
    assert found.due_on[0] == AS_OF + dt.timedelta(days=5)
    assert found.revisit_on[0] == AS_OF + dt.timedelta(days=60)
    assert decided(excess).expected_effect.isna().all()


# policies played again


def test_what_arrives_is_received_before_the_weeks_sales_and_sales_without_stock_are_lost():
    demand = np.array([[5.0, 5.0, 5.0]])
    lead = np.array([[1, 1, 1]])
    served, held = play_policy(
        demand, np.array([6.0]), lead, lambda week, stock, incoming: np.array([4.0])
    )
    assert served.tolist() == [[5.0, 5.0, 4.0]]
    assert held.tolist() == [[1.0, 0.0, 0.0]]


def test_the_replay_counts_the_weeks_after_its_warm_up():
    units = np.full((3, 70), 4.0)
    panel = panel_of(units, on_hand=np.full(units.shape, 10.0))
    abc = pd.DataFrame({"sku": panel.sku, "aim_share": 0.9, "mean_week": 4.0})
    found = policy_replay(panel, goods_of(3), classes=abc, holding_share=0.5).set_index("policy")
    before = found.loc["as before"]
    assert before.aim_share == pytest.approx(0.9)
    assert (before.fill_share, before.cycle_share, before.lost_margin) == (1.0, 1.0, 0.0)
    assert before.stock_value == pytest.approx(10 * 5.0 * 3)
    assert before.holding_cost == pytest.approx(150 * 0.5 * 26 / 52)
    assert before.total_cost == before.holding_cost
    rest = policy_replay(panel, goods_of(3), classes=abc)
    assert rest.holding_cost.isna().all()
    assert "playbook, by cost" not in set(rest.policy)


def test_the_replay_of_a_recorded_shop():
    """By the record: weeks between two fits, weeks of the textbook's mean and the limits
    of the chance accepted move these.
    """
    rng = np.random.default_rng(5)
    units = rng.poisson([[3.0], [12.0], [12.0], [12.0]], (4, 90)).astype(float)
    panel = panel_of(units, on_hand=np.full(units.shape, 10.0))
    abc = pd.DataFrame({"sku": panel.sku, "aim_share": 0.9, "mean_week": 9.0})
    held = goods_of(4, unit_cost=[5.0, 5.0, 3000.0, 0.01], min_order_units=[0, 0, 0, 20])
    found = policy_replay(panel, held, classes=abc, holding_share=0.3).set_index("policy")
    for name, values in REPLAYED.items():
        np.testing.assert_allclose(found.loc[name, SHARES], values, rtol=1e-6, err_msg=name)


SHARES = ["fill_share", "cycle_share", "stock_value"]
REPLAYED = {
    "playbook, by cost": [0.8822314, 0.80769231, 681.87462],
    "playbook, by fill": [0.8553719, 0.73076923, 860.65],
    "textbook": [0.98450413, 0.93269231, 22095.968],
    "as before": [1.0, 1.0, 30100.1],
}


def test_a_policy_needs_half_a_year_before_it():
    abc = pd.DataFrame({"sku": ["s00"], "aim_share": 0.9, "mean_week": 4.0})
    for n_weeks, is_played in ((36, False), (37, True)):
        panel = panel_of(np.full((1, n_weeks), 4.0))
        assert len(policy_replay(panel, goods_of(), classes=abc)) == (3 if is_played else 0)


def test_level_around_is_the_average_with_one_week_of_the_whole():
    units = np.array([[2.0, 4.0, 6.0, 8.0]])
    found = level_around(units, np.ones((1, 4)), half_width=1)
    assert found[0].tolist() == [(6 + 5) / 3, (12 + 5) / 4, (18 + 5) / 4, (14 + 5) / 3]


# the mathematics: printed formulas and the weights of what is borrowed


def test_a_shops_week_is_that_of_all_others_with_two_hundred_units_as_expected():
    units, expected = np.array([[10.0], [40.0]]), np.array([[20.0], [20.0]])
    assert shop_weeks(units, expected).tolist() == [[240 / 220], [210 / 220]]


def test_a_day_sold_out_counts_by_the_formula_printed_three_times():
    from scipy.stats import poisson

    units, whole, out = np.array([[7.0] * 20]), np.full((1, 20), 7.0), np.zeros((1, 20))
    whole[0, 10], out[0, 10], units[0, 10] = 6.0, 1.0, 8.0
    found = sold_out_exposure(units, whole, out, 2 * out)[0, 10]
    exposure = 6.5 / 7
    for _ in range(3):
        around = 7.0 * 16 + 8.0 + units.sum() / (19 + exposure)
        rate = around / (16 + exposure + 1) / 7
        share = 2 / rate * poisson.sf(2, rate) / poisson.sf(1, rate)
        exposure = (6 + share) / 7
    assert found == pytest.approx(exposure)


def test_the_comparison_smooths_the_chance_by_a_tenth_and_the_size_by_fifteen_percent():
    units, exposure = np.array([[0.0, 4.0]]), np.ones((1, 2))
    chance, size = 0.5, 4.0
    chance = chance + 0.1 * (0 - chance)
    chance, size = chance + 0.1 * (1 - chance), size + 0.15 * (4.0 - size)
    assert tsb_level(units, exposure)[0] == pytest.approx(chance * size)
    units = np.array([[2.0, 4.0]])
    assert tsb_level(units, exposure)[0] == pytest.approx(2.85 + 0.15 * (4 - 2.85))


def test_the_chance_accepted_is_holding_over_holding_and_margin():
    assert accepted_chance(np.array([0.1]), np.array([6.0]), np.array([20.0]))[0] == 0.25


def test_orders_in_lots_leave_the_position_anywhere_up_to_a_lot_above_its_level():
    spread = spread_over_lot(np.array([1.0, 10.0]), 1000)
    assert (spread[0] == 0).all()
    assert np.bincount(spread[1].astype(int)).tolist() == pytest.approx([100] * 10, abs=2)


@pytest.mark.parametrize("n_weeks, has_season", [(91, False), (92, True)])
def test_season_needs_ninety_two_weeks(n_weeks, has_season):
    week = np.arange(n_weeks) % 52
    units = 100 * (1 + 0.5 * np.sin(2 * np.pi * week / 52)) * np.ones((5, 1))
    none = np.zeros_like(units)
    season, _ = season_of(units, none + 1, week, group=np.zeros(5, int), promo=none)
    assert (season != 1).any() == has_season


@pytest.mark.parametrize("n, is_learnt", [(4, False), (5, True)])
def test_a_launch_curve_takes_five_launches_and_half_a_year(n, is_learnt):
    first = np.full(n, 6)
    age = np.arange(60) - first[:, None]
    units = np.where(age < 0, 0, np.where(age < 6, 5.0, 20.0))
    curve = launch_curve(units, (age >= 0).astype(float), first)
    assert len(curve) == 26
    assert (curve[0] < 1) == is_learnt
    if is_learnt:
        assert curve[0] == pytest.approx((5 * 5 + 60) / (5 * 20 + 60))
        assert (curve[13:] == 1).all()


def test_like_items_give_a_prior_shrunk_by_two_items_of_the_shop():
    units, scale = np.ones((3, 30)), np.ones((3, 30))
    units[2] = 4.0
    shape, pace = like_items(units, scale, np.array([0, 0, 1]))
    overall = (1 + 1 + 4) / 3
    mean = [(2 + 2 * overall) / 4] * 2 + [(4 + 2 * overall) / 3]
    np.testing.assert_allclose(shape / pace, mean)
    gap = [(1 - mean[0]) ** 2 - 1 / 26] * 2
    variance = (sum(gap) + 2 * overall**2) / 4
    assert shape[0] == pytest.approx(np.clip(mean[0] ** 2 / variance, 0.2, 5.0))


def test_the_demand_law_of_a_recorded_shop():
    """By the record: memories, drifts, floors and weights of the law move these."""
    rng = np.random.default_rng(11)
    level = np.array([[0.3], [2.0], [9.0], [40.0]])
    week, promo = np.arange(130) % 52, np.zeros((4, 130))
    promo[:, 9::10], promo[:, 8::10] = 1.0, 0.04
    swing = 1 + 0.3 * np.sin(2 * np.pi * week / 52)
    trend = np.exp(np.cumsum(rng.normal(0, 0.05, (4, 130)), axis=1))
    price = np.exp(np.repeat(rng.normal(0, 0.1, (4, 13)), 10, axis=1))
    mean = level * swing * trend * (1 + promo) * price**-2.0
    units = rng.poisson(mean * rng.gamma(5, 0.2, mean.shape)).astype(float)
    exposure = np.where(rng.random(units.shape) < 0.1, 0.5, 1.0)
    exposure[1, :20], units[1, :20] = 0.0, 0.0
    weeks = SalesWeeks(units, exposure, week, np.array([0, 0, 1, 1]), promo=promo, price=price)
    law = fit_demand(weeks)
    found = {
        "level": law.level(),
        "shape": law.shape,
        "memory": law.memory,
        "drift": law.drift,
        "dispersion": law.dispersion,
        "uplift": law.uplift,
        "season": law.season[:, 13],
    }
    for name, values in RECORDED.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)


RECORDED = {
    "level": [0.2917335, 1.90038, 11.71594, 27.79258],
    "shape": [3.699596, 9.334374, 12.68708, 19.68734],
    "memory": [0.9393606, 0.9329976, 0.9316998, 0.9398351],
    "drift": [1.001761, 1.002119, 1.002332, 1.001313],
    "dispersion": [0.6458624, 0.7649392, 0.222742, 0.1424764],
    "uplift": [1.586077, 1.586077, 1.345478, 1.345478],
    "season": [1.333989, 1.301083, 1.318714, 1.461124],
}


# orders


def plan_of(level, **columns):
    held = goods_of(len(level), available=0.0, margin=1.0, aim_share=0.95, **columns).goods
    return plan_orders(law_of(level), held, np.full(len(held), 14.0))


def test_what_arrives_unusable_is_ordered_on_top_and_two_hundred_futures_are_drawn():
    whole, half = plan_of([10.0]), plan_of([10.0], yield_share=0.5)
    assert half.units[0] == 2 * whole.units[0] > 0
    assert whole.need.shape == (1, 200)


@pytest.mark.parametrize("budget, units", [(4.0, 1.0), (5.0, 5.0)])
def test_a_budget_is_spent_in_thirty_steps_at_most(budget, units):
    found = replace(plan_of([60.0]), units=np.array([100.0]))
    bought, _ = spend_budget(found, np.ones(1), np.ones(1), budget)
    assert bought[0] == units


def test_small_change_goes_to_what_still_fits():
    found = plan_of([10.0, 10.0])
    bought, _ = spend_budget(found, np.array([10.0, 1.0]), np.array([90.0, 1.0]), 9.0)
    assert bought[0] == 0 < bought[1] <= 9


def test_growth_goes_on_for_thirteen_weeks():
    law = replace(law_of([10.0]), drift=np.array([1.01]))
    found = law.factors(20)[0]
    assert found[0] == pytest.approx(1.01)
    assert found[12] == found[-1] == pytest.approx(1.01**13)


def test_a_level_is_never_less_sure_than_a_gamma_of_a_twentieth():
    law = replace(law_of([1.0], dispersion=0.01), shape=np.full(1, 1e-3), pace=np.full(1, 1e-3))
    draws = law.draw(1, n_draws=20_000, seed=1)
    assert (draws == 0).mean() == pytest.approx(21**-0.05, abs=0.02)


def test_orders_that_overtake_each_other_leave_the_spread_printed():
    law = replace(law_of([1.0], dispersion=1e-4), shape=np.full(1, 1e9), pace=np.full(1, 1e4))
    lead = np.random.default_rng(2).gamma(4, 7.0, (1, 4000))
    before, _ = law.windows(lead, 7.0, n_draws=4000, seed=3)
    weeks = lead / 7
    gap = np.abs(np.roll(weeks, 1) - weeks).mean()
    calm = np.sqrt(min(1.0 * gap / 2 / weeks.var(), 1.0))
    assert calm < 1
    assert (before / 1e5).std() == pytest.approx(weeks.std() * calm, rel=0.01)


def test_days_sold_out_start_as_half_days_and_count_for_a_fiftieth_at_the_least():
    ones = np.ones((1, 20))
    found = sold_out_exposure(14 * ones, 0 * ones, 7 * ones, 14 * ones)[0, 10]
    assert found == pytest.approx(all_sold_out(2.0, 14.0))
    whole, out = np.full((1, 20), 7.0), np.zeros((1, 20))
    whole[0, 10], out[0, 10] = 6.0, 1.0
    assert sold_out_exposure(700 * ones, whole, out, out)[0, 10] == pytest.approx(6.02 / 7)


def all_sold_out(sold, units):
    from scipy.stats import poisson

    exposure = 0.5
    for _ in range(3):
        rate = (17 * units + units / exposure) / (17 * exposure + 1) / 7
        exposure = sold / rate * poisson.sf(sold, rate) / poisson.sf(sold - 1, rate)
        exposure = float(np.clip(exposure, 0.02, 1))
    return exposure


def test_a_chance_of_running_short_is_half_of_the_chance_of_a_sale_at_most():
    rng = np.random.default_rng(1)
    before, window = rng.poisson(5.0, (20, 400)), rng.poisson(1.0, (20, 400))
    low, chance = levels_for_fill(before, window, 0.02, cost=np.ones(20), group=np.zeros(20))
    np.testing.assert_allclose(chance, 0.5 * (window > 0).mean(axis=1))
    high, chance = levels_for_fill(before, window, 0.9999, cost=np.ones(20), group=np.zeros(20))
    assert chance.max() < 0.01
    assert (high > low).all()


def test_days_of_stock_are_what_is_held_and_on_order_at_the_next_120_days_demand():
    panel, law = panel_of(np.full((2, 60), 14.0)), law_of([14.0, 14.0])
    goods = goods_of(2, on_hand=100.0, incoming=20.0).of(panel)
    assert days_of_stock(goods, law) == pytest.approx([60.0, 60.0])
    assert days_of_stock(goods.assign(on_hand=[np.nan, 1e9]), law)[1] == 9999.0
    assert np.isnan(days_of_stock(goods.assign(on_hand=np.nan), law)).all()
    assert told_days(np.array([60.0, 9998.0, 9999.0])) == pytest.approx(
        [60, 9998, np.nan], nan_ok=True
    )
    weeks = np.ones((2, 52))
    weeks[:, 20:] = 0
    late = replace(law, season=weeks, next_week=0)
    assert days_of_stock(goods, late) == pytest.approx([60.0, 60.0]), "eighteen weeks are read"


@pytest.mark.parametrize(("naive", "is_told"), [(0.54, True), (0.57, False)])
def test_a_forecast_that_naive_beats_says_so(naive, is_told):
    scores = pd.DataFrame({"class": "all", "model": ["naive", "playbook"], "wape": [naive, 0.57]})
    assert ("naive erred less" in against_naive(scores)) == is_told
