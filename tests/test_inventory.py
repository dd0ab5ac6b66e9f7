"""Stock planning on small shops: what is planned, what is refused by name, and what the
policy would have cost.
"""

import datetime as dt
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from known_demand import LAST, known_shop

from playbook.chapters.inventory_planning.chasing import _short, chase_list
from playbook.chapters.inventory_planning.decisions import (
    Losses,
    Terms,
    _chased,
    stock_decisions,
)
from playbook.chapters.inventory_planning.forecast import demand_backtest, sku_weeks
from playbook.chapters.inventory_planning.inventory import (
    OrderPolicy,
    classes,
    overstock,
    reorder,
    service_cash,
    what_if_lead,
)
from playbook.chapters.inventory_planning.replay import policy_replay
from playbook.chapters.inventory_planning.stock_kpis import logistics_cost, stock_kpis
from playbook.chapters.inventory_planning.supply import supply
from playbook.errors import PlaybookError
from playbook.measures.demand_panel import demand_law, demand_panel, stockouts
from playbook.measures.price_moves import with_prices

AS_OF = dt.date(2026, 10, 31)


@cache
def sku_days(n_sku=60, n_weeks=110, seed=31):
    """`sku_days` of the shop whose law is known."""
    known = known_shop(seed, n_sku=n_sku, n_weeks=n_weeks)
    days = pd.date_range(LAST - pd.Timedelta(days=7 * n_weeks - 1), LAST)
    sku = np.repeat([f"s{i:03d}" for i in range(n_sku)], len(days))
    sales, closing = known.sales.reshape(n_sku, -1), known.closing.reshape(n_sku, -1)
    live = np.arange(len(days)) >= 7 * known.launch[:, None]
    units = np.where((closing > 0) | (sales > 0), sales, np.nan)
    price = 10.0 + np.arange(n_sku) % 7
    frame = pd.DataFrame(
        {
            "sku": sku,
            "day_on": np.tile(days, n_sku),
            "units": units.ravel(),
            "revenue": (sales * price[:, None]).ravel(),
            "margin": (sales * 0.5 * price[:, None]).ravel(),
            "is_on_promo": np.repeat(known.promo > 0, 7, axis=1).ravel(),
            "on_hand": closing.ravel(),
            "is_stocked": (closing > 0).ravel(),
        }
    )
    return known, frame[live.ravel()].reset_index(drop=True)


def products(n=60, **columns):
    frame = pd.DataFrame(
        {
            "sku": [f"s{i:03d}" for i in range(n)],
            "category": [f"c{i % 4}" for i in range(n)],
            "supplier_id": [f"sup-{i % 3}" for i in range(n)],
            "list_price": 10.0 + np.arange(n) % 7,
            "unit_cost": 5.0 + np.arange(n) % 7 / 2,
            "lead_time_days": 14.0,
            "min_order_units": 1,
            "pack_units": 1,
            "is_active": True,
            "launched_on": pd.Timestamp("2024-01-01"),
        }
    )
    return frame.assign(**columns)


def stock(n=60, **columns):
    return pd.DataFrame(
        {"day_on": LAST, "sku": [f"s{i:03d}" for i in range(n)], "on_hand": 20}
    ).assign(**columns)


def purchases(n=60, orders=12, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        for k in range(orders):
            ordered = LAST - pd.Timedelta(days=30 * (k + 1))
            lead = int(rng.integers(10, 19))
            rows.append(
                (
                    f"p{k}-{i % 3}",
                    f"s{i:03d}",
                    f"sup-{i % 3}",
                    ordered,
                    ordered + pd.Timedelta(days=14),
                    ordered + pd.Timedelta(days=lead),
                    10,
                    10,
                    0,
                    5.0,
                )
            )
    return pd.DataFrame(
        rows,
        columns=[
            "po_id",
            "sku",
            "supplier_id",
            "ordered_on",
            "promised_on",
            "received_on",
            "n_ordered",
            "n_received",
            "n_defective",
            "unit_cost",
        ],
    )


def planned(days=None, stock_rows=None, goods=None, orders=None, **how):
    goods = products() if goods is None else goods
    panel = demand_panel(sku_days()[1] if days is None else days, as_of=AS_OF, products=goods)
    law = demand_law(panel)
    held = supply(
        stock() if stock_rows is None else stock_rows,
        as_of=AS_OF,
        products=goods,
        purchase_orders=purchases() if orders is None else orders,
    )
    return (
        panel,
        law,
        held,
        reorder(
            panel,
            law,
            held,
            as_of=AS_OF,
            classes=classes(panel, law),
            policy=OrderPolicy(**how),
        ),
    )


def test_panel_weeks_end_at_as_of_and_stock_outs_lower_exposure_not_demand():
    known, frame = sku_days()
    panel = demand_panel(frame, as_of=AS_OF, products=products())
    assert panel.starts[-1] + pd.Timedelta(days=6) == pd.Timestamp(AS_OF)
    assert panel.units.sum() == known.sales.sum()
    assert panel.exposure.max() <= 1
    assert panel.is_stock_known
    hurt = panel.exposure[:, -52:].mean(axis=1) < 0.95
    assert (panel.units.sum(axis=1) / panel.exposure.sum(axis=1))[hurt].sum() > panel.units[
        hurt
    ].mean(axis=1).sum()


def test_rows_in_another_order_give_the_same_list():
    _, frame = sku_days()
    one = planned()[3].orders
    two = planned(
        frame.sample(frac=1, random_state=3),
        stock().sample(frac=1, random_state=4),
        products().sample(frac=1, random_state=5),
        purchases().sample(frac=1, random_state=6),
    )[3].orders
    pd.testing.assert_frame_equal(one, two)


def test_classes_cut_by_margin_with_ties_by_name_and_a_revenue_basis_where_no_cost_is_known():
    panel = demand_panel(sku_days()[1], as_of=AS_OF)
    law = demand_law(panel)
    found = classes(panel, law)
    assert found.basis.eq("margin").all()
    assert found.loc[found.abc == "A", "amount"].sum() / found.amount.sum() == pytest.approx(
        0.8, abs=0.06
    )
    blind = demand_panel(sku_days()[1].assign(margin=np.nan), as_of=AS_OF)
    assert classes(blind, law).basis.eq("revenue").all()


def test_backtest_sees_the_past_only_and_stands_beside_naive():
    panel = demand_panel(sku_days()[1], as_of=AS_OF, products=products())
    found = demand_backtest(panel, classes=classes(panel, demand_law(panel)), n_origins=4)
    whole = found[found["class"] == "all"].set_index("model")
    assert whole.wape["champion"] <= whole.wape["naive"]
    assert whole.nominal["playbook"] >= 0.8
    whole = found[found["class"] == "all"].set_index("model")
    assert whole.loc["playbook", "wape"] < whole.loc["naive", "wape"]
    assert 0.7 < whole.loc["playbook", "coverage"] < 0.97
    assert whole["coverage"].drop("playbook").isna().all()
    changed = sku_days()[1].copy()
    late = changed.day_on > LAST - pd.Timedelta(days=7)
    changed.loc[late, "units"] = changed.loc[late, "units"] * 0
    again = demand_panel(changed, as_of=AS_OF, products=products())
    past = demand_law(panel.until(100)).level()
    np.testing.assert_allclose(demand_law(again.until(100)).level(), past)


def test_prices_and_promotions_come_by_week_and_by_depth():
    frame = sku_days()[1]
    monday = LAST - pd.Timedelta(days=6)
    cuts = pd.DataFrame(
        {
            "starts_on": [monday, monday + pd.Timedelta(days=7)],
            "ends_on": [monday + pd.Timedelta(days=1), monday + pd.Timedelta(days=13)],
            "depth_share": [0.1, 0.3],
            "skus": ["s000 s001 nobody", None],
        }
    )
    asked = pd.DataFrame(
        {
            "sku": "s000",
            "seller": ["own", "own", "rival"],
            "price": [10.0, 8.0, 5.0],
            "from_on": [LAST - pd.Timedelta(days=400), monday, monday],
        }
    )
    panel = with_prices(demand_panel(frame, as_of=AS_OF), prices=asked, promotions=cuts)
    first, second = panel.sku == "s000", panel.sku == "s002"
    assert panel.price[first, -2:].tolist() == [[10.0, 8.0]]
    assert np.isnan(panel.price[second]).all()
    weeks = panel.units.shape[1]
    assert panel.pull[first, weeks - 1] == pytest.approx(
        2 / 7
    )  # the usual depth, as no other was seen before
    assert panel.pull[second, weeks] == pytest.approx((0.7**-2.62 - 1) / (0.9**-2.62 - 1))
    assert panel.until(50).pull.shape[1] == 50 + 26


def test_stockouts_estimate_what_was_lost_within_a_tenth_and_say_nothing_without_stock():
    known, frame = sku_days()
    panel = demand_panel(frame, as_of=AS_OF, products=products())
    found = stockouts(panel, n_weeks=52)
    lost = (known.demand - known.sales)[:, -52:].sum(axis=(1, 2))
    assert found.lost_units.sum() == pytest.approx(lost.sum(), rel=0.25)
    sold = known.sales[:, -52:].sum()
    assert sold + found.lost_units.sum() == pytest.approx(sold + lost.sum(), rel=0.1)
    assert ((found.low <= found.lost_units) & (found.lost_units <= found.high)).all()
    blind = demand_panel(
        frame.assign(
            is_stocked=pd.Series(pd.NA, index=frame.index, dtype="boolean"),
            on_hand=np.nan,
            units=frame.units.fillna(0),
        ),
        as_of=AS_OF,
    )
    assert not blind.is_stock_known
    assert stockouts(blind).empty


def test_the_list_orders_what_is_short_in_packs_and_nothing_of_what_is_plenty():
    rows = stock()
    rows.loc[rows.index < 5, "on_hand"] = 5000
    _, _, _, found = planned(stock_rows=rows, goods=products(pack_units=6, min_order_units=12))
    orders = found.orders.set_index("sku")
    assert (orders.loc[[f"s{i:03d}" for i in range(5)], "order_units"] == 0).all()
    bought = orders[orders.order_units > 0]
    assert len(bought) > 5
    assert (bought.order_units % 6 == 0).all()
    assert (bought.order_units >= 12).all()
    assert (bought.fill_with >= bought.fill_without).all()
    assert found.purchase_list.cash.sum() == pytest.approx(found.by_supplier.cash.sum())
    assert (found.purchase_list.due_on > found.purchase_list.order_on).all()


def test_a_budget_is_kept_and_says_what_it_left_out():
    full = planned()[3].orders
    cut = planned(budget=0.3 * full.cash.sum())[3].orders
    assert cut.cash.sum() <= 0.3 * full.cash.sum()
    assert cut.reason.str.contains("budget").any()
    assert cut.expected_margin.sum() > 0.3 * full.expected_margin.sum()


def test_what_is_on_order_is_not_ordered_again_unless_it_is_overdue_beyond_belief():
    plain = planned()[3].orders.set_index("sku").order_units
    extra = pd.DataFrame(
        {
            "po_id": "open",
            "sku": ["s000", "s001"],
            "supplier_id": ["sup-0", "sup-1"],
            "ordered_on": [LAST - pd.Timedelta(days=5), LAST - pd.Timedelta(days=200)],
            "n_ordered": 500,
        }
    )
    _, _, held, found = planned(orders=pd.concat([purchases(), extra]))
    orders = found.orders.set_index("sku")
    assert orders.loc["s000", "incoming"] == 500
    assert orders.loc["s000", "order_units"] == 0
    assert orders.loc["s001", "order_units"] == pytest.approx(plain["s001"], abs=2)
    assert "order overdue beyond belief" in set(held.issues.problem)


def test_costs_weighed_against_lost_margin_hold_more_of_what_earns_more():
    low = planned(aim_by="cost", holding_share=5.0)[3].orders.rop.sum()
    high = planned(aim_by="cost", holding_share=0.2)[3].orders.rop.sum()
    assert high > low
    with pytest.raises(PlaybookError, match="holding cost"):
        planned(aim_by="cost")
    days = sku_days()[1].copy()
    days.loc[days.sku == "s000", "margin"] = np.nan
    days.loc[days.sku == "s001", "margin"] *= -1
    some = planned(days, aim_by="cost", holding_share=0.2)[3].orders.set_index("sku")
    assert some.loc["s000", "rop"] > 0  # a margin not known is not 0
    assert some.loc["s001", "reason"] == "sells at a loss"
    assert (
        planned(days)[3].orders.set_index("sku").loc["s001", "order_units"] == 0
    )  # nor by an aim of service
    with pytest.raises(PlaybookError, match="no aim"):
        planned(aim_by="guess")


def test_what_never_sold_is_no_line_of_the_list_and_says_so():
    days = sku_days()[1].copy()
    days.loc[days.sku == "s002", ["units", "revenue", "margin", "on_hand"]] = 0.0
    days.loc[days.sku == "s002", "is_stocked"] = False
    found = planned(days, aim_by="cost", holding_share=0.2)[3]
    assert "s002" not in set(found.orders.sku)
    assert found.issues.set_index("sku").loc["s002", "problem"] == "never sold"
    panel, law, held, _ = planned(days)
    goods = held.goods.assign(unit_cost=held.goods.unit_cost.where(held.goods.sku != "s002"))
    without = service_cash(panel, law, replace(held, goods=goods), aims=(0.95,))
    pd.testing.assert_frame_equal(service_cash(panel, law, held, aims=(0.95,)), without)


def test_every_bad_row_is_named_and_the_list_comes_out_for_the_rest():
    rows = stock()
    rows.loc[rows.sku == "s003", "on_hand"] = -4
    rows.loc[rows.sku == "s004", "day_on"] = LAST - pd.Timedelta(days=90)
    orders = purchases()
    bad = orders.index[orders.sku == "s005"][:2]
    orders.loc[bad, "received_on"] = orders.loc[bad, "ordered_on"] - pd.Timedelta(days=3)
    goods = products()
    goods.loc[goods.sku == "s006", "min_order_units"] = 100_000
    goods.loc[goods.sku == "s007", ["lead_time_days", "supplier_id"]] = [0.0, "new"]
    frame = sku_days()[1]
    once = frame.sku == "s008"
    frame = frame.assign(units=frame.units.where(~once, frame.units * 0))
    frame.loc[frame.index[once][10], "units"] = 1
    no_sup = orders[~orders.sku.eq("s007")]
    panel, _, held, found = planned(frame, rows, goods, no_sup)
    told = pd.concat([panel.issues, held.issues, found.issues]).set_index("sku").problem
    assert told["s003"] == "negative stock"
    assert told["s004"] == "stock not counted for weeks"
    assert told["s005"] == "received before it was ordered"
    assert told["s006"] == "minimum order above a year's demand"
    assert told["s007"] == "lead time of 0 days"
    assert told["s008"] == "sold in one week only"
    left = set(found.orders.sku)
    assert not left & {"s003", "s004", "s006", "s007"}
    assert {"s005", "s008"} <= left
    assert len(left) == 56


def test_one_bulk_order_does_not_become_demand():
    frame = sku_days()[1].copy()
    at = frame.index[(frame.sku == "s010") & (frame.day_on == LAST - pd.Timedelta(days=40))]
    frame.loc[at, "units"] = 70_000.0
    panel = demand_panel(frame, as_of=AS_OF)
    assert "one week far above every other" in set(panel.issues.problem)
    assert panel.units[10].max() < 1000


def test_suppliers_are_judged_by_their_receipts():
    orders = purchases()
    orders.loc[orders.supplier_id == "sup-2", "n_defective"] = 1
    found = supply(
        stock(), as_of=AS_OF, products=products(), purchase_orders=orders
    ).suppliers.set_index("supplier_id")
    assert found.loc["sup-0", "lead_mean"] == pytest.approx(14, abs=0.6)
    assert found.loc["sup-0", "otif_share"] == pytest.approx(5 / 9, abs=0.12)
    orders.loc[orders.supplier_id == "sup-1", "n_received"] = 9
    short = supply(
        stock(), as_of=AS_OF, products=products(), purchase_orders=orders
    ).suppliers.set_index("supplier_id")
    assert short.loc["sup-1", "otif_share"] == 0
    assert short.loc["sup-1", "short_share"] == pytest.approx(0.1)
    assert found.loc["sup-2", "defect_share"] == pytest.approx(0.1)
    assert (found.low < found.otif_share).all()
    later = supply(
        stock(), as_of=dt.date(2026, 3, 1), products=products(), purchase_orders=orders
    ).suppliers
    assert later.n_lines.sum() < found.n_lines.sum()


def test_an_open_line_is_overdue_from_the_day_after_its_promise():
    days = [LAST - pd.Timedelta(days=20)] * 3
    extra = pd.DataFrame(
        {
            "po_id": "open",
            "sku": ["s000", "s003", "s006"],
            "supplier_id": "sup-0",
            "ordered_on": days,
            "promised_on": [LAST - pd.Timedelta(days=1), LAST, pd.NaT],
            "n_ordered": 5,
        }
    )
    orders = pd.concat([purchases(), extra])
    found = supply(stock(), as_of=AS_OF, products=products(), purchase_orders=orders)
    row = found.suppliers.set_index("supplier_id").loc["sup-0"]
    assert (row["n_open"], row["n_overdue"]) == (3, 2)  # no promise: the stated fortnight
    assert found.goods.set_index("sku").incoming[["s000", "s003", "s006"]].tolist() == [
        5,
        5,
        5,
    ]  # late is not lost


def test_a_sku_has_no_week_before_its_launch():
    first = LAST - pd.Timedelta(days=7 * 10 - 1)
    days = sku_days()[1]
    panel = demand_panel(
        days[(days.sku != "s000") | (days.day_on >= first)], as_of=AS_OF, products=products()
    )
    weeks = sku_weeks(panel, demand_law(panel), "s000")
    assert weeks.starts_on.min() == first
    assert weeks.units.notna().sum() == 10


def test_decisions_on_stock_give_the_value_of_the_metric_they_name():
    rows = stock()
    rows.loc[rows.sku == "s009", "on_hand"] = 10_000
    panel, law, held, found = planned(stock_rows=rows)
    terms = Terms(AS_OF, "EUR")
    too_much = overstock(panel, law, held, as_of=AS_OF)
    made = stock_decisions(found, too_much, held.suppliers, terms=terms)
    made = made.set_index("action")
    assert made.loc[["order"], "evidence_metric"].eq("fill_rate").all()
    assert made.loc[["order"], "evidence_value"].between(0, 1).all()
    assert made.loc["clear", "subject"] == "s009"
    assert made.loc["clear", "size"] % 1 == 0
    steady = made.loc[["plan with its own days"], "reason"]
    assert steady.str.fullmatch(r"steady, but later: .* on time in full \d+% of 240 lines").all()


def test_an_orders_effect_is_the_mean_of_what_the_list_saved_and_what_the_order_protects():
    _panel, _law, held, found = planned()
    skus = found.orders.set_index("sku").supplier_id
    lost = pd.DataFrame({"sku": skus.index, "lost_margin": np.where(skus == "sup-0", 3.0, 1.0)})
    cost = pd.DataFrame(
        {"policy": ["playbook, by cost", "as before"], "total_cost": [100.0, 500.0]}
    )
    losses = Losses(cost, 26, lost, pd.DataFrame(columns=["at_stake", "supplier_id", "sku"]))
    saved = losses.of_quarter(skus.astype(str))
    assert saved.sum() == pytest.approx(400 * 13 / 26)
    share = 3 * (skus == "sup-0").sum() / lost.lost_margin.sum()
    assert saved["sup-0"] == pytest.approx(200 * share)
    made = stock_decisions(found, None, held.suppliers, terms=Terms(AS_OF, "EUR"), losses=losses)
    rows = made[made.kind == "inventory_planning.order"].set_index("subject")
    assert rows.effect_period.eq("quarter").all()
    for supplier, row in rows.iterrows():
        protects = found.by_supplier.set_index("supplier_id").expected_margin[supplier]
        assert row.expected_effect == pytest.approx((saved[supplier] + protects) / 2)
        assert row.effect_low <= row.expected_effect <= row.effect_high
        assert f"({protects:,.0f} EUR)" in row.reason and f"{saved[supplier]:,.0f}" in row.reason


def test_an_overdue_line_costs_what_the_shelf_lacks_until_it_comes():
    panel, law, held, _ = planned()
    sku = panel.sku[0]
    supplier = held.goods.set_index("sku").supplier_id[sku]
    day = pd.Timestamp(AS_OF)
    line = {"po_id": "p1", "sku": sku, "supplier_id": supplier, "n_ordered": 9.0}
    line |= {"ordered_on": day - pd.Timedelta(days=400), "received_on": pd.NaT}
    lines = pd.DataFrame(
        [
            line | {"promised_on": day - pd.Timedelta(days=5)},
            line | {"po_id": "p2", "promised_on": day + pd.Timedelta(days=5)},
        ]
    )
    found = chase_list(lines, panel, law, held, as_of=AS_OF)
    assert found.po_id.tolist() == ["p1"], "what is not due yet is not overdue"
    row = found.iloc[0]
    assert (row.days_late, row.days_left) == (5.0, 2.0), "later than every receipt: within days"
    own = held.of(panel).loc[sku]
    lacking = max(row.mean_day * 2 - row.available, 0)
    assert row.at_stake == pytest.approx(lacking * own.margin)
    assert chase_list(None, panel, law, held, as_of=AS_OF).empty


def test_two_overdue_lines_of_a_sku_lack_together_what_the_shelf_lacks():
    """Four a day, 8 on the shelf: 32 short until the first comes in 10 days with 20, which
    are sold in 5 days more; the second, 5 days later still, is missed for 20.
    """
    line = {"sku": "s", "mean_day": 4.0, "available": 8.0, "units": 20.0}
    lines = [line | {"po_id": "b", "days_left": 20.0}, line | {"po_id": "a", "days_left": 10.0}]
    assert _short(pd.DataFrame(lines)).tolist() == [20.0, 32.0]


def test_a_call_claims_half_of_what_is_at_stake_and_is_not_sure():
    lines = {"supplier_id": "a", "sku": ["s1", "s2"], "at_stake": [9.0, 5.0]}
    row = _chased(pd.DataFrame(lines).assign(days_late=3.0), AS_OF, "EUR")[0]
    assert [row[name] for name in ("expected_effect", "effect_low", "effect_high")] == [7, 0, 14]
    assert (row["effect_kind"], row["confidence"]) == ("margin_not_lost", "low")


def test_without_costs_or_purchase_orders_units_are_planned_and_money_is_missing():
    goods = products(unit_cost=np.nan, supplier_id=None)
    panel = demand_panel(sku_days()[1].assign(margin=np.nan), as_of=AS_OF, products=goods)
    law = demand_law(panel)
    held = supply(stock(), as_of=AS_OF, products=goods)
    found = reorder(panel, law, held, as_of=AS_OF, classes=classes(panel, law))
    assert found.orders.order_units.sum() > 0
    assert found.orders.cash.isna().all()
    assert held.suppliers.empty
    what = what_if_lead(panel, law)
    assert (what.rop_60_days >= what.rop_7_days).all()


def test_the_next_point_of_service_costs_more_than_the_last():
    panel, law, held, _ = planned()
    found = service_cash(panel, law, held, aims=(0.85, 0.95, 0.98))
    assert found.stock_value.is_monotonic_increasing
    assert found.fill_share.is_monotonic_increasing
    assert found.step_cost.iloc[2] > found.step_cost.iloc[1]
    np.testing.assert_allclose(found.fill_share, found.aim_share, atol=0.015)


def test_a_sku_with_two_overdue_lines_is_named_once():
    lines = {"supplier_id": "a", "sku": ["s1", "s1", "s2", "s3"], "at_stake": [9.0, 8.0, 7.0, 6.0]}
    chase = pd.DataFrame(lines).assign(days_late=3.0)
    assert "first s1, s2, s3;" in _chased(chase, AS_OF, "EUR")[0]["reason"]


def test_where_no_future_sells_service_has_no_price():
    panel, law, held, _ = planned()
    nothing = replace(law, shape=1e-9 * law.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert service_cash(panel, nothing, held).empty


def test_the_replay_reaches_its_aim_and_names_what_each_policy_held_and_lost():
    panel, law, held, _ = planned()
    found = policy_replay(
        panel, held, classes=classes(panel, law), n_weeks=20, warm_up=8, holding_share=0.2
    )
    by = found.set_index("policy")
    assert set(by.index) == {"playbook, by cost", "playbook, by fill", "textbook", "as before"}
    fill = by.loc["playbook, by fill"]
    assert fill.fill_share == pytest.approx(fill.aim_share, abs=0.03)
    assert by.loc["playbook, by cost", "total_cost"] < by.loc["as before", "total_cost"]
    assert (found.total_cost == found.holding_cost + found.lost_margin).all()
    goods = held.goods.assign(
        min_order_units=held.goods.min_order_units.where(held.goods.sku != "s000", 10**6)
    )
    rest = policy_replay(
        panel, replace(held, goods=goods), classes=classes(panel, law), n_weeks=20, warm_up=8
    )
    assert (
        rest.stock_value.max() < 2 * found.stock_value.max()
    )  # what is decided by hand is no policy's fault


def test_overstock_names_what_nine_futures_in_ten_leave_on_the_shelf():
    rows = stock()
    rows.loc[rows.sku == "s009", "on_hand"] = 100_000
    panel, law, held, _ = planned(stock_rows=rows)
    found = overstock(panel, law, held, as_of=AS_OF)
    assert found.loc[0, "sku"] == "s009"
    assert found.loc[0, "action"] == "clear"
    assert (found.excess_units > 0).all()


def test_kpis_come_by_month_with_the_running_one_marked():
    panel, _, held, _ = planned()
    found = stock_kpis(panel, held, as_of=AS_OF)
    last = found[found.month == "2026-10"].set_index("metric")
    assert last.loc["doi_days", "amount"] == pytest.approx(365 / last.loc["turn", "amount"])
    assert 0.8 < last.loc["fill_rate", "amount"] <= 1
    early = stock_kpis(panel, held, as_of=dt.date(2026, 10, 20))
    assert early[early.month == "2026-10"].status.eq("partial").all()


def test_logistics_cost_counts_recorded_orders_only():
    day = pd.Timestamp("2026-10-10")
    orders = pd.DataFrame(
        {
            "ordered_on": day,
            "carrier": ["a", "a", None, "a"],
            "shipping_cost": [4.0, 6.0, 5.0, np.nan],
            "shipping": 3.0,
            "delivered_at": [day, day + pd.Timedelta(days=9), None, None],
            "promised_at": day + pd.Timedelta(days=5),
            "cancelled_at": pd.Series([None] * 4, dtype="datetime64[us]"),
        }
    )
    found = logistics_cost(orders, as_of=AS_OF).set_index("carrier")
    assert found.loc["a", "n_orders"] == 2
    assert found.loc["a", "cost_per_order"] == 5.0
    assert found.loc["a", "late_share"] == 0.5
    assert found.loc["not recorded", "n_orders"] == 1


def test_a_store_without_a_sku_is_refused():
    with pytest.raises(PlaybookError, match="no sku"):
        demand_panel(sku_days()[1].iloc[:0], as_of=AS_OF)
