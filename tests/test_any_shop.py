"""What must be true of any shop: closed days, thin sections, many channels, non-products."""

import datetime as dt
import os
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from shops import order, write_shop

from playbook.chapters.assortment_pricing.assortment import delist
from playbook.chapters.customer_journey import aftersales, parcels
from playbook.chapters.inventory_planning.inventory import what_if_lead
from playbook.chapters.market_research.market import price_bands
from playbook.chapters.monthly_review.cautions import caveats
from playbook.chapters.monthly_review.ranking import ranked_decisions
from playbook.chapters.recommendations.pairs import item_pairs, strongest_pairs
from playbook.chapters.start_here import facts
from playbook.detect.incidents import incidents
from playbook.errors import PlaybookError
from playbook.measures.demand_panel import demand_law, demand_panel, stockouts, usual_days
from playbook.measures.metrics import monthly_sales
from playbook.measures.odd_buyers import odd_buyers
from playbook.methods.attribution import markov_removal
from playbook.methods.newsvendor import levels_for_fill
from playbook.outlook.history import monthly_history
from playbook.runs.cells import decision_text
from playbook.runs.results import Results
from playbook.runs.titles import named_titles, told_titles, with_titles
from playbook.shown import frame_html, shown_number
from playbook.store import open_store
from playbook.store.trading import closures, numbered_on
from playbook.tables import schema

AS_OF = dt.date(2026, 6, 28)  # a Sunday


def sku_days(weekdays, *, n_weeks=60, skus=3, units=2, stocked=None):
    """A row per sku and day: `units` sold on the open weekdays, nothing known else."""
    days = pd.date_range(end=AS_OF, periods=7 * n_weeks)
    rows = pd.MultiIndex.from_product([[f"s{i}" for i in range(skus)], days]).to_frame(index=False)
    rows.columns = ["sku", "day_on"]
    is_open = rows.day_on.dt.day_of_week.isin(weekdays)
    amount = np.where(is_open, float(units), np.nan)
    return rows.assign(
        is_trading=is_open,
        units=amount,
        revenue=10 * amount,
        margin=4 * amount,
        on_hand=50.0,
        is_stocked=True if stocked is None else stocked(rows),
        is_on_promo=False,
    )


@pytest.mark.parametrize("weekdays", [range(7), (0, 1, 2, 3, 4, 6), (1, 3, 5), (5,)])
def test_a_closed_weekday_is_no_stock_out_and_lifts_no_demand(weekdays):
    panel = demand_panel(sku_days(weekdays), as_of=AS_OF)
    assert (panel.exposure == 1).all(), "every week could be sold in full"
    assert stockouts(panel).empty
    level = demand_law(panel).level()
    assert level == pytest.approx(2.0 * len(list(weekdays)), rel=0.1), "units a week as sold"


def test_a_closed_month_is_no_stock_out_but_an_empty_shelf_is():
    table = sku_days(range(7))
    is_closed = table.day_on.between("2026-03-02", "2026-03-29")
    table.loc[is_closed, ["units", "revenue", "margin"]] = np.nan
    closed = demand_panel(table.assign(is_trading=~is_closed), as_of=AS_OF)
    assert stockouts(closed).empty
    table = sku_days(range(7))
    is_out = is_closed & (table.sku == "s1")
    table.loc[is_out, ["units", "revenue", "margin"]] = np.nan
    out = demand_panel(table.assign(is_trading=True, is_stocked=~is_out), as_of=AS_OF)
    assert stockouts(out)[["sku", "out_days"]].to_numpy().tolist() == [["s1", 28.0]]


def test_days_a_week_are_the_middle_of_the_weeks_around_that_traded():
    assert usual_days(np.array([6.0, 6, 0, 5, 6])).tolist() == [6.0] * 5
    assert usual_days(np.zeros(3)).tolist() == [7.0] * 3
    ones = np.r_[np.full(40, 3.0), np.full(40, 6.0)]
    assert usual_days(ones)[[0, 79]].tolist() == [3.0, 6.0], "a shop may change its days"


def test_reorder_points_do_not_fall_with_the_lead_time():
    rng = np.random.default_rng(4)
    table = sku_days(range(7), skus=60, n_weeks=40)
    table["units"] = rng.poisson(np.repeat(rng.gamma(0.5, 0.6, 60), len(table) // 60)).astype(float)
    panel = demand_panel(table, as_of=AS_OF)
    points = what_if_lead(panel, demand_law(panel)).filter(like="rop_").to_numpy(float)
    assert (np.diff(points, axis=1) >= 0).all()


def many_channels(n, n_journeys=4000):
    rng = np.random.default_rng(0)
    start, then = (rng.integers(0, n, n_journeys) for _ in range(2))
    names = np.array([f"c{i:04d}" for i in range(n)])
    last = np.where(rng.random(n_journeys) < 0.1, "(conversion)", "(null)")
    steps = pd.concat(
        [
            pd.DataFrame({"from_channel": names[start], "to_channel": names[then], "entered": 1.0}),
            pd.DataFrame({"from_channel": names[then], "to_channel": last, "entered": 0.0}),
        ]
    ).assign(n_steps=1.0)
    return steps.groupby(["from_channel", "to_channel"], as_index=False).sum()


def test_many_channels_are_credited_in_bounded_memory_and_part_by_part_alike(monkeypatch):
    from playbook.methods import attribution

    small = many_channels(40)
    whole = markov_removal(small, draws=20)
    monkeypatch.setattr(attribution, "MOST_CELLS", 5000)
    assert markov_removal(small, draws=20).equals(whole)
    monkeypatch.undo()
    tracemalloc.start()
    markov_removal(many_channels(400), draws=40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6, "200 MB for the counts alone when all are drawn at once"


def lines_of(**columns):
    n = len(columns["sku"])
    base = {"order_id": [f"o{i}" for i in range(n)], "ordered_on": dt.date(2026, 6, 1)}
    return pd.DataFrame({**base, **columns})


def orders_by_day(counts, *, start="2025-01-01"):
    """Orders of every day of a log."""
    return pd.Series(counts, index=pd.date_range(start, periods=len(counts)))


@pytest.mark.parametrize("rate", [0.2, 1.0, 3.0])
def test_an_empty_day_of_a_quiet_shop_is_no_closed_day(rate):
    rng = np.random.default_rng(11)
    n_runs = [len(closures(orders_by_day(rng.poisson(rate, 420))).runs) for _ in range(40)]
    assert np.count_nonzero(n_runs) <= 3, "one log in a hundred by chance"


def test_a_weekday_is_closed_where_chance_does_not_leave_it_empty():
    rng = np.random.default_rng(12)
    days = pd.date_range("2025-01-01", periods=420)
    is_open = days.day_of_week != 5
    for rate, expected in ((4.0, (5,)), (0.5, (5,)), (0.02, ())):
        found = closures(orders_by_day(rng.poisson(rate, 420) * is_open))
        assert found.weekdays == expected, rate
        assert found.closed(days)[~is_open].all() == bool(expected)


def test_a_closed_month_is_closed_and_so_is_one_empty_day_of_a_busy_shop():
    counts = np.random.default_rng(13).poisson(2.0, 420)
    counts[100:130] = 0
    first, last = closures(orders_by_day(counts)).runs[0]
    assert abs((first - pd.Timestamp("2025-04-11")).days) <= 3
    assert 27 <= (last - first).days <= 35
    busy = np.random.default_rng(14).poisson(80, 420)
    busy[200] = 0
    assert len(closures(orders_by_day(busy)).runs) == 1


def daily_shop(folder, *, settings, without):
    """Five orders a day, half a year, but for some days."""
    rows = [
        order(f"{day:%m%d}-{k}", str(day.date()))
        for day in pd.date_range("2026-01-01", "2026-06-28")
        for k in range(5)
        if str(day.date()) not in without
    ]
    shop = f"name: tiny\ncurrency: EUR\n{settings}"
    return open_store(write_shop(folder, rows, shop=shop), until="2026-06")


HOLE = ("2026-05-04", "2026-05-14")


@pytest.mark.parametrize("settings", ["", "holidays: [2026-05-04]\n"])
def test_a_month_with_a_day_that_should_hold_orders_is_partial_and_the_others_are_not(
    tmp_path, settings
):
    shop = daily_shop(tmp_path / "s", without=HOLE, settings=settings)
    orders = monthly_sales(shop).query("metric == 'orders'").set_index("month")
    assert orders.status.loc["2026-01":"2026-05"].tolist() == ["complete"] * 4 + ["partial"]
    assert orders.amount["2026-05"] == 5 * 29, "nothing is filled up"
    days = facts.daily(shop).set_index("day_on")
    assert np.isnan(days.orders[HOLE[1]]) and days.is_closed[HOLE[0]] == bool(settings)


@pytest.mark.parametrize(
    ("jump", "used", "is_known"), [(0, 20, True), (9, 20, True), (11, 20, False), (0, None, False)]
)
def test_orders_numbered_on_across_empty_days_lack_none_of_them(jump, used, is_known):
    """Ten orders a day take 20 numbers; five days are empty and `jump` numbers are skipped.
    A shop that draws its numbers (None) tells nothing.
    """
    days = pd.date_range("2026-08-01", periods=65).delete(slice(40, 45))
    rng = np.random.default_rng(1)
    first = 20.0 * np.arange(60) if used else rng.permutation(60) * 20.0
    first[40:] += jump
    numbers = pd.DataFrame({"first": first, "last": first + 19.0}, index=days)
    run = (pd.Timestamp("2026-09-10"), pd.Timestamp("2026-09-14"))
    assert len(numbered_on(numbers, (run,))) == 5 * is_known
    at_end = (days[-1] + pd.Timedelta(days=1), days[-1] + pd.Timedelta(days=3))
    assert numbered_on(numbers, (at_end,)) == (), "what comes after is not known"


def test_days_the_shop_says_it_was_closed_on_leave_the_month_whole(tmp_path):
    settings = "holidays: [2026-05-04, 2026-05-14, 2026-05-15]\n"
    shop = daily_shop(tmp_path / "s", without=HOLE, settings=settings)
    orders = monthly_sales(shop).query("metric == 'orders'").set_index("month")
    assert orders.status["2026-05"] == "complete"
    days = facts.daily(shop).set_index("day_on")
    assert days.is_closed.sum() == 2, "a holiday with orders was none"
    assert (days.orders[days.is_closed] == 0).all()
    open_days = shop.sku_days.to_pandas().set_index("day_on").is_trading
    assert not open_days[pd.to_datetime(HOLE)].any()


def test_a_hole_in_the_orders_is_told_with_its_days_and_what_they_usually_bring(tmp_path):
    shop = daily_shop(tmp_path / "s", without=HOLE[:1], settings="")
    told = incidents(shop, months=3)
    assert told.kind.tolist() == ["orders_missing"] and told.amount.tolist() == [5 * 10.0]
    assert str(told.starts_on[0]) == HOLE[0] and told.usual[0] == 5 and "holidays" in told.check[0]
    orders = monthly_history(shop).query("metric == 'orders' and level == 'shop'")
    orders = orders.set_index("month")
    assert orders.amount["2026-05"] == pytest.approx(5 * 31) and orders.was["2026-05"] == 5 * 30
    closed = daily_shop(tmp_path / "c", without=HOLE[:1], settings="holidays: [2026-05-04]\n")
    assert incidents(closed, months=3).empty


def test_a_weekday_shop_yaml_names_is_closed_where_it_holds_no_orders():
    counts = orders_by_day(np.full(60, 9))
    sundays = counts.index[counts.index.day_of_week == 6]
    counts[sundays[2:]] = 0
    found = closures(counts, stated=sundays)
    assert found.weekdays == () and found.runs == () and set(found.stated) == set(sundays[2:])
    assert found.known(counts.index).sum() == len(sundays) - 2


def test_no_result_holds_an_endless_number(tmp_path):
    results = Results("01_market_research", str(tmp_path))
    kept = results.table("shares", pd.DataFrame({"share": [0.5, np.inf, -np.inf], "n": [1, 2, 3]}))
    assert kept.share.tolist()[0] == 0.5 and kept.share.isna().sum() == 2
    path = tmp_path / "01_market_research" / "tables" / "shares.parquet"
    assert pd.read_parquet(path).share.isna().sum() == 2


@pytest.mark.parametrize(
    "number, shown",
    [
        (11_213_456.7, "11,213,457"),
        (583.24, "583.2"),
        (67.123, "67.12"),
        (0.31, "0.310"),
        (0.000123, "0.00012"),
        (-1e-13, "0"),
        (5.0, "5"),
        (np.inf, "–"),
        (-np.inf, "–"),
    ],
)
def test_a_number_is_read_without_an_exponent(number, shown):
    assert shown_number(number) == shown


def test_a_shown_frame_has_shares_as_percents_and_dashes_for_what_is_missing():
    frame = pd.DataFrame({"cm_share": [0.25], "money": [1.461756e6], "why": [None], "year": [2026]})
    cells = re.findall(r"<td>(.*?)</td>", frame_html(frame))
    assert cells == ["25.0%", "1,461,756", "–", "2026"]


def test_what_was_divided_by_nothing_is_a_dash_in_a_table_shown_or_printed():
    frame = pd.DataFrame({"roas": [2.5, np.inf], "cost_share": [0.5, -np.inf]})
    assert re.findall(r"<td>(.*?)</td>", frame_html(frame)) == ["2.50", "50.0%", "–", "–"]
    assert "inf" not in frame.to_string(float_format=shown_number)


@pytest.mark.parametrize("kind", ["Float64", "Int64", "float64", "object", "string"])
def test_what_is_missing_is_a_dash_whatever_its_type(kind):
    cells = re.findall(r"<td>(.*?)</td>", frame_html(pd.DataFrame({"x": [None]}, dtype=kind)))
    assert cells == ["–"]


def test_money_back_on_postage_is_no_return_of_goods():
    day = dt.date(2026, 1, 10)
    lines = pd.DataFrame(
        {
            "order_id": ["1", "1", "2"],
            "line_no": [1, 2, 1],
            "ordered_on": day,
            "sku": ["cup", "POST", "cup"],
            "revenue": [50.0, 5.0, 50.0],
            "is_product": [True, False, True],
        }
    )
    back = pd.DataFrame(
        {
            "order_id": ["1", "1", "2"],
            "line_no": [1, 2, pd.NA],
            "sku": ["cup", "POST", "POST"],
            "ordered_on": day,
            "refunded_on": day,
            "amount": [50.0, 5.0, 9.0],
            "kind": "return",
            "reason": "late",
        }
    ).astype({"line_no": "Int64"})
    found = aftersales.returns(lines, back, as_of=AS_OF)
    assert found[found["view"] == "month"][["sold", "returned"]].values.tolist() == [[100.0, 50.0]]
    assert "POST" not in set(found.key)


def shop_of(folder, people, until="2026-06"):
    """A shop from (customer, day, orders, units an order)."""
    rows = [
        order(f"{who}{day}{n}{m}", f"2026-{day}", who, quantity=units)
        for m, (who, day, n_orders, units) in enumerate(people)
        for n in range(n_orders)
    ]
    return open_store(write_shop(folder, rows), until=until)


def test_software_and_business_buyers_are_told_by_their_orders_and_left_out_of_averages(tmp_path):
    persons = [(f"p{n}", f"05-{n % 28 + 1:02d}", 1, 2) for n in range(30)]
    bursts = [("bot", day, 5, 1) for day in ("06-01", "06-02", "06-03")]
    others = [("twice", "06-01", 5, 1), ("twice", "06-02", 5, 1), ("shop", "06-09", 1, 50)]
    shop = shop_of(tmp_path / "s", [*persons, *bursts, *others, ("near", "06-09", 1, 49)])
    odd = odd_buyers(shop)
    assert dict(zip(odd.customer_id, odd.kind, strict=True)) == {
        "bot": "machine",
        "shop": "business",
    }
    table = facts.odd_buyers_table(shop, odd).set_index("kind")
    assert table.loc["business", ["n_customers", "orders", "revenue"]].tolist() == [1, 1, 500.0]
    money = monthly_sales(shop).query("metric == 'spend_per_buyer' and month == '2026-06'")
    assert money[["amount", "n"]].values.tolist() == [[(100 + 490) / 2, 2.0]]


def test_where_most_buy_much_nobody_is_a_business_buyer(tmp_path):
    shop = shop_of(tmp_path / "s", [(f"p{n}", f"06-{n + 1:02d}", 1, 400) for n in range(9)])
    assert odd_buyers(shop).empty


def test_a_hundred_orders_a_year_are_software_where_others_buy_five(tmp_path):
    days = pd.date_range("2026-01-01", periods=100).strftime("%m-%d")
    usual = [(f"p{n}", f"05-{n + 1:02d}", 5, 1) for n in range(20)]
    bot, fan = ([(who, day, 1, 1) for day in days[k:]] for k, who in enumerate(("bot", "fan")))
    shop = shop_of(tmp_path / "s", [*usual, *bot], until="2026-05")
    assert odd_buyers(shop).customer_id.tolist() == ["bot"]
    assert odd_buyers(shop_of(tmp_path / "t", [*usual, *fan], until="2026-05")).empty


def test_a_decision_tells_the_titles_of_its_skus_and_shares_as_percents(tmp_path):
    goods = pd.DataFrame({"sku": ["mug", "pot"], "title": ["A blue mug ", "pot"]})
    rows = [order("1", "2026-06-30", "ann")]
    shop = open_store(write_shop(tmp_path / "s", rows, products=goods), until="2026-06")
    subjects = pd.Series(["mug + pot", "mug", "supplier 1"])
    chapter = tmp_path / "m" / "07_x"
    chapter.mkdir(parents=True)
    subjects.to_frame("subject").to_parquet(chapter / "decisions.parquet")
    titles = named_titles(shop, tmp_path / "m")
    assert told_titles(subjects, titles).tolist() == ["A blue mug", "A blue mug", ""]
    facts_of = {"action": "order", "subject_type": "sku", "subject": "mug", "titles": "A blue mug"}
    assert decision_text(facts_of)["what"].endswith("mug · A blue mug")
    goal = {"action": "set target", "subject_type": "kpi", "subject": "x", "size": 0.604}
    goal |= {"unit": "returning_buyer_share", "effect_kind": "forecast", "expected_effect": 0.6}
    told = decision_text(goal)
    assert told["how much"].startswith("60.4 %") and told["expected"].startswith("60.0 %")


@pytest.mark.parametrize(
    "far, n_far, is_log",
    [("2099-01-05", 1, False), ("1970-01-05", 1, False), ("2024-06-05", 1, True)]
    + [("1990-06-05", 2, True)],
)
def test_a_few_orders_years_away_from_all_others_are_no_log(tmp_path, far, n_far, is_log):
    days = pd.date_range("2026-04-01", "2026-06-30").strftime("%Y-%m-%d")
    rows = [order(f"o{n}", day) for n, day in enumerate(days)]
    rows += [order(f"far{n}", far) for n in range(n_far)]
    shop = open_store(write_shop(tmp_path / "s", rows))
    span = (dt.date(2026, 4, 1), dt.date(2026, 6, 30))
    assert ((shop.observed_from, shop.observed_to) == span) != is_log
    assert ("ordered_on" in set(shop.problems.column)) != is_log
    assert shop.month == "2026-06"


def test_a_channel_called_all_is_no_total_and_one_without_a_letter_is_none(tmp_path):
    names = ["all", "", "search"]
    rows = [order(f"o{n}", "2026-06-30", channel=name) for n, name in enumerate(names)]
    shop = open_store(write_shop(tmp_path / "s", rows), until="2026-06")
    found = shop.orders.to_pandas().set_index("order_id").channel
    assert found.fillna("none").to_dict() == {"o0": "“all”", "o1": "none", "o2": "search"}


def test_dropping_what_loses_money_has_its_interval_in_order():
    year = pd.DataFrame({"sku": ["a", "b", "c"], "margin": [-50.0, -5.0, 900.0]})
    year = year.reindex(columns=[*schema("assortment_pricing.roles").names, "title"]).assign(
        sku=year.sku, margin=year.margin
    )
    stages = pd.DataFrame({"sku": ["a", "b", "c"], "stage": "mature"})
    found = delist(year, lifecycle=stages, transfer={"share": 0.5, "low": 0.2, "high": 0.8})
    assert found.sku.tolist() == ["a", "b"]
    assert found[["effect_low", "effect", "effect_high"]].iloc[0].tolist() == pytest.approx(
        [10.0, 25.0, 40.0]
    )


def test_where_everything_was_free_price_bands_refuse_by_name():
    lines = lines_of(sku=["a"], category="x", quantity=1, revenue=0.0)
    with pytest.raises(PlaybookError, match="No line was sold at a price"):
        price_bands(lines)


def test_a_refused_section_is_blocked_and_the_chapter_goes_on():
    results = Results("01_market_research")

    def refuse():
        raise PlaybookError("market_research.few_customers", rows=3, least=200, table="orders")

    assert results.attempt("personas", refuse, owner_role="category head") is None
    row = results.decisions().iloc[0]
    assert (row.action, row.owner_role) == ("blocked", "category head")
    assert "3 known customers" in row.reason
    assert results.attempt("personas", lambda: 5) == 5


def test_the_table_of_pairs_holds_the_strongest_only():
    lift = [1.0, 5.0, 3.0, 4.0]
    pairs = pd.DataFrame({"a": list("abcd"), "b": list("wxyz"), "lift_low": lift})
    assert strongest_pairs(pairs, 2).a.tolist() == ["b", "d"], "in the order they came"
    assert strongest_pairs(pairs, 4) is pairs


def test_margins_of_pairs_add_up_exactly():
    cost = [0.1, 0.2, 0.3] * 20
    lines = pd.DataFrame(
        {
            "order_id": np.repeat([f"o{i}" for i in range(30)], 2),
            "sku": ["a", "b"] * 30,
            "ordered_on": dt.date(2026, 6, 1),
            "revenue": 0.7,
            "cost": cost,
        }
    )
    found = item_pairs(lines, as_of=AS_OF, min_n=1).set_index("a").margin
    assert found.to_dict() == {"a": 0.5, "b": 0.5}


def test_without_costs_revenue_ranks_and_the_page_says_so():
    facts_of = {
        "decision_id": ["r", "s"],
        "effect_kind": ["revenue", "revenue_at_stake"],
        "effect_period": "month",
        "confidence": "high",
        "expected_effect": [5.0, 50.0],
        "due_on": "2026-07-01",
        "status": "proposed",
        "is_idle": False,
        "size": 1.0,
        "owner_role": "head",
    }
    from playbook.tables import schema

    table = pd.DataFrame(facts_of).reindex(columns=[*schema("monthly_review.decisions").names])
    assert ranked_decisions(table).worth.isna().all()
    assert ranked_decisions(table, has_costs=False).worth.tolist() == [15.0]
    notes = pd.DataFrame(columns=["notebook", "section", "needs"])
    card = pd.DataFrame({"metric": [], "status": []})
    said = caveats(notes, card, expected=[], has_costs=False)
    assert said.iloc[0].tolist()[0] == "basis"
    assert caveats(notes, card, expected=[]).empty


@pytest.fixture
def new_york(tmp_path):
    """One parcel promised for the evening of 4 January in New York, there next morning."""
    orders = pd.DataFrame(
        {
            "order_id": ["o0", "o1"],
            "ordered_at": pd.to_datetime(["2026-01-01 15:00", "2026-01-30 15:00"]),
            "ordered_on": [dt.date(2026, 1, 1), dt.date(2026, 1, 30)],
            "status": "done",
            "gross": 10.0,
            "discount": 0.0,
            "shipping": 0.0,
            "tax": 0.0,
            "total": 10.0,
            "promised_at": pd.to_datetime(["2026-01-05 04:59", "2026-01-31 04:59"]),
            "delivered_at": pd.to_datetime(["2026-01-05 15:00", "2026-01-31 01:00"]),
        }
    )
    lines = pd.DataFrame({"order_id": ["o0", "o1"], "line_no": 1, "quantity": 1, "price": 10.0})
    lines = lines.assign(sku=["mug", "POST"], title=["A mug", "Postage"])
    orders.to_parquet(tmp_path / "orders.parquet")
    lines.to_parquet(tmp_path / "order_lines.parquet")
    settings = "name: t\ncurrency: USD\ntimezone: America/New_York\n"
    (tmp_path / "shop.yaml").write_text(settings)
    return tmp_path


def test_a_late_parcel_is_late_by_the_shops_own_days_in_every_chapter(new_york):
    shop = open_store(new_york, until="2026-01")
    sent = parcels.on_shop_days(shop)
    assert parcels.late_months(sent, as_of=shop.as_of)[["due", "late"]].values.tolist() == [[2, 1]]
    assert facts._late_share(shop, ["2026-01"]).amount.tolist() == [0.5]


def test_postage_is_no_product_and_the_person_has_the_last_word(new_york):
    lines = open_store(new_york, until="2026-01").sales_lines.to_pandas()
    assert lines.set_index("sku").is_product.to_dict() == {"mug": True, "POST": False}
    with (new_york / "shop.yaml").open("a") as file:
        file.write("products: [POST]\nnon_products: [mug]\n")
    lines = open_store(new_york, until="2026-01").sales_lines.to_pandas()
    assert lines.set_index("sku").is_product.to_dict() == {"mug": False, "POST": True}


def test_reorder_points_do_not_fall_with_the_aim():
    rng = np.random.default_rng(5)
    before, window = (rng.poisson(rng.gamma(0.7, 4, (80, 1)), (80, 200)) for _ in range(2))
    futures = before.astype(float), window.astype(float)
    known = {"cost": rng.uniform(0.5, 5, 80), "group": np.zeros(80)}
    levels = [levels_for_fill(*futures, aim, **known)[0] for aim in (0.8, 0.9, 0.95, 0.99)]
    assert (np.diff(levels, axis=0) >= 0).all()


@pytest.mark.parametrize("lead_weeks", [1, 4, 8, 17])
def test_a_long_wait_is_covered_and_its_level_is_no_lower(lead_weeks):
    """A base-stock system with lost sales, played: the level reaches its fill."""
    rng = np.random.default_rng(1)
    mean = rng.gamma(0.8, 4, 40) + 0.2
    before, window = (rng.poisson(mean[:, None] * n, (40, 400)) for n in (lead_weeks, 1))
    known = {"cost": np.ones(40), "group": np.zeros(40)}
    level, _ = levels_for_fill(before.astype(float), window.astype(float), 0.9, **known)
    on_hand, coming = level.copy(), np.zeros((lead_weeks, 40))
    served = demanded = 0.0
    for week in range(1500):
        order = np.maximum(level - on_hand - coming.sum(axis=0), 0)
        on_hand += coming[week % lead_weeks]
        coming[week % lead_weeks] = order
        wanted = rng.poisson(mean)
        sold = np.minimum(on_hand, wanted)
        on_hand -= sold
        served, demanded = served + sold.sum(), demanded + wanted.sum()
    assert 0.9 < served / demanded < 0.975


def test_linear_algebra_runs_in_one_thread_whoever_starts_the_notebook():
    asked = (
        "import os, numpy, threadpoolctl; from playbook.threads import one_thread; one_thread();"
        "import scipy.linalg, sklearn.linear_model;"
        "print({part['num_threads'] for part in threadpoolctl.threadpool_info()})"
    )
    plain = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    for given, expected in (({}, "{1}"), ({"OMP_NUM_THREADS": "2"}, "{")):
        done = subprocess.run(
            [sys.executable, "-c", asked], env=plain | given, capture_output=True, text=True
        )
        assert done.stdout.startswith(expected), done.stderr


def test_tables_of_skus_tell_their_titles_where_there_are_any(tmp_path):
    goods = pd.DataFrame({"sku": ["mug", "pot"], "title": ["A blue mug ", None]})
    sold = [order("1", "2026-06-30", "ann")]
    shop = open_store(write_shop(tmp_path / "s", sold, products=goods), until="2026-06")
    told = with_titles(shop, pd.DataFrame({"n": [1, 2], "sku": ["mug", "pot"]}))
    assert list(told) == ["n", "sku", "title"]
    assert told.title[0] == "A blue mug" and pd.isna(told.title[1])
    pairs = with_titles(shop, pd.DataFrame({"a": ["pot"], "b": ["mug"]}), "a", "b")
    assert list(pairs) == ["a", "a_title", "b", "b_title"] and pairs.b_title[0] == "A blue mug"
    empty = with_titles(shop, pd.DataFrame({"sku": []}))
    assert empty.empty
    bare = open_store(write_shop(tmp_path / "t", sold), until="2026-06")
    frame = pd.DataFrame({"sku": ["mug"]})
    assert with_titles(bare, frame) is frame
