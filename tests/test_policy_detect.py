"""By hand, at the edge: where each detector begins to speak. No store is opened: the
sums by day are given.
"""

import inspect
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from playbook.detect import after, incidents, selling, tracking
from playbook.detect.finding import found as found_row
from playbook.detect.finding import ratio_findings
from playbook.detect.panels import Panels

DAYS = pd.date_range("2026-06-01", "2026-10-31")
LATE = pd.Timestamp("2026-10-10")


def shop_with(*names):
    return SimpleNamespace(has=lambda name: name in names)


def panels(**frames):
    """Twenty orders a day worth 5 each; a usual month brings 3,000."""
    orders = pd.DataFrame(
        {"placed": 20.0, "unpaid": 0.0, "orders": 20.0, "revenue": 200.0, "gross": 200.0},
        index=DAYS,
    )
    about = {
        "days": DAYS,
        "first": pd.Timestamp("2026-10-01"),
        "orders": orders,
        "worth": pd.Series(5.0, DAYS),
        "month_money": pd.Series(3000.0, DAYS),
        "visits": None,
        "spend": None,
        "is_margin_known": True,
        "category": pd.Series(dtype=str),
        "shop": shop_with(),
    }
    made = SimpleNamespace(**about | frames)
    made.wide = lambda frame, column, values: Panels.wide(made, frame, column, values)
    made.judged = lambda days: Panels.judged(made, days)
    return made


def visits(sessions_then, channel="direct", days=1):
    frame = pd.DataFrame({channel: 100.0}, index=DAYS)
    frame.loc[LATE : LATE + pd.Timedelta(days=days - 1), channel] = sessions_then
    return frame


@pytest.mark.parametrize(
    ("sessions", "orders", "is_told"),
    [(19.0, 20, True), (20.0, 20, False), (0.0, 10, True), (0.0, 9, False), (np.nan, 20, True)],
)
def test_visits_under_a_fifth_while_half_of_the_orders_go_on_are_an_outage(
    sessions, orders, is_told
):
    made = panels(visits=visits(sessions))
    made.orders.loc[LATE, "orders"] = orders
    found = tracking.days_without_visits(made)
    assert [row["amount"] for row in found] == [200.0] * is_told


def stocked(empty):
    """A sku with 3 of the shop's 100 a day, and the rest; nothing of it on the days `empty`."""
    import ibis

    gone = DAYS.isin(empty)
    sku = pd.DataFrame({"day_on": DAYS, "sku": "x", "units": np.where(gone, 0.0, 3.0)})
    rest = pd.DataFrame({"day_on": DAYS, "sku": "rest", "units": 97.0})
    sales = pd.concat([sku, rest]).assign(revenue=lambda rows: 10 * rows.units, cost=0.0)
    shelf = pd.DataFrame({"day_on": DAYS, "sku": "x", "is_stocked": ~gone, "on_hand": 50.0})
    store = SimpleNamespace(has=shop_with("stock").has, sku_days=ibis.memtable(shelf))
    return panels(shop=store, sales=sales)


@pytest.mark.parametrize("n_before", [0, 24])
def test_a_best_seller_that_was_empty_before_is_one_and_lacks_what_it_sold_when_there(n_before):
    """24 of the 60 days before are empty: 1.8 % of the shop's revenue, 3 % when there."""
    before = pd.date_range("2026-09-01", periods=n_before)
    (row,) = [
        row
        for row in selling.best_seller_empty(stocked([*before, *DAYS[-14:]]))
        if str(row["starts_on"]) > "2026-10"
    ]
    assert (row["n_days"], row["is_over"]) == (14, False)
    assert row["n"] == pytest.approx(14 * 3, rel=0.01)


def test_where_a_delivery_is_nobody_asks_once_it_is_in():
    ended = selling.best_seller_empty(stocked(DAYS[-18:-4]))[0]
    lasts = selling.best_seller_empty(stocked(DAYS[-18:]))[0]
    asked = [incidents.told([row]).check[0] for row in (ended, lasts)]
    assert "in stock again" in asked[0] and "where is its delivery" in asked[1]


def test_a_test_that_won_and_ended_cost_what_its_better_arm_would_bring_the_whole_shop():
    """Half of 20,000 had it until the 14th: 20 % more of 17 days of twenty orders worth 5."""
    import ibis

    dealt = {"assigned_at": pd.date_range("2026-10-01", "2026-10-14", periods=20_000)}
    dealt |= {"test_id": "pay", "arm": ["A", "B"] * 10_000, "is_converted": False}
    frame = pd.DataFrame(dealt)
    frame.loc[0:1999:2, "is_converted"], frame.loc[1:2400:2, "is_converted"] = True, True
    store = SimpleNamespace(
        has=shop_with("experiments").has, experiments=ibis.memtable(frame), local=lambda day: day
    )
    (row,) = selling.tests_ended(panels(shop=store))
    assert (row["usual"], row["now"]) == (0.12, 0.1)
    assert row["amount"] == pytest.approx(0.2 * 17 * 20 * 5)


def spent(channel="ads", *, gone=3, missed=0, region_all=0.0, clicks_then=None):
    """Ten a day in one region; the last `gone` days and `missed` of the 28 before without."""
    day = DAYS[: len(DAYS) - gone] if gone else DAYS
    day = day.drop(day[-28:][3 : 3 + 2 * missed : 2])
    frame = pd.DataFrame({"day_on": day, "channel": channel, "is_all": False, "spend": 10.0})
    frame["clicks"] = 10.0
    if clicks_then is not None:
        frame.loc[frame.day_on >= LATE, "clicks"] = clicks_then
    if region_all:
        twice = frame[frame.day_on == LATE].assign(is_all=True, spend=region_all)
        frame = pd.concat([frame, twice])
    return frame


@pytest.mark.parametrize(
    ("gone", "missed", "kinds"),
    [(2, 0, []), (3, 0, ["spend_missing"]), (3, 2, ["spend_missing"]), (3, 3, [])],
)
def test_three_days_without_spend_of_a_channel_on_nine_days_of_ten(gone, missed, kinds):
    made = panels(spend=spent(gone=gone, missed=missed), visits=visits(100.0, "ads"))
    assert [row["kind"] for row in tracking.spend_ended(made)] == kinds


@pytest.mark.parametrize(
    ("sessions", "kind", "amount"),
    [(100.0, "spend_missing", 30.0), (50.0, "spend_missing", 15.0), (49.0, "campaign_stopped", 30)],
)
def test_visits_tell_a_cut_extract_and_its_cost_from_a_stopped_campaign(sessions, kind, amount):
    """Three days of 10 are missing: with half the visits they cost half."""
    seen = visits(100.0, "ads")
    seen.loc[DAYS[-3:], "ads"] = sessions
    (row,) = tracking.spend_ended(panels(spend=spent(), visits=seen))
    assert row["kind"] == kind and row["amount"] == pytest.approx(amount)


@pytest.mark.parametrize(("told", "n"), [(10.1, 1), (10.11, 0), (9.9, 1), (9.89, 0), (20.0, 0)])
def test_two_ways_to_tell_a_day_within_a_hundredth_are_one_delivery(told, n):
    found = tracking.spend_twice(panels(spend=spent(gone=0, region_all=told)))
    assert [row["amount"] for row in found] == pytest.approx([told] * n)


@pytest.mark.parametrize(("clicks", "n"), [(7.1, 1), (7.2, 0)])
def test_a_click_is_dear_from_fourteen_tenths_of_its_price(clicks, n):
    """10 / 7.1 = 1.408, 10 / 7.2 = 1.389."""
    made = panels(spend=spent(gone=0, clicks_then=clicks))
    assert len(tracking.clicks_dearer(made)) == n


@pytest.mark.parametrize(("buyers", "n"), [(703.0, 1), (705.0, 0)])
def test_a_step_fails_from_an_eighth_of_its_rate(buyers, n):
    """Of 1,000 that check out 800 buy; 703 are 12.1 % fewer."""
    steps = pd.DataFrame({"day_on": DAYS, "device": "mobile", "channel": "all"})
    steps["checkouts"] = 1000.0
    steps["buyers"] = np.where(DAYS >= LATE, buyers, 800.0)
    assert len(selling.steps_fail(panels(steps=steps))) == n


@pytest.mark.parametrize(("least", "n"), [(0.9, 1), (1.1, 0)])
def test_a_finding_moves_at_least_a_hundredth_of_a_months_money(least, n):
    """Thirty units above usual: worth 1 each they are a hundredth of 3,000."""
    top, base = np.full(len(DAYS), 10.0), np.full(len(DAYS), 100.0)
    place = DAYS.get_loc(LATE)
    top[place : place + 3] = 20.0
    made = panels()
    found = ratio_findings(made, "x", "y", top, base, side=1, worth=1.0 / least, least_z=4.0)
    assert len(found) == n


def test_five_standard_errors_of_counts_are_asked_for():
    """Usual 10 a day: given 560 on 56 days and 30 (31) more, one day of 57 holds as many or
    more with a chance of 3.6e-7 (1.2e-7); five standard errors are 2.9e-7.
    """
    place = DAYS.get_loc(LATE)
    for now, n in ((30.0, 0), (31.0, 1)):
        top, base = np.full(len(DAYS), 10.0), np.ones(len(DAYS))
        top[place] = now
        found = ratio_findings(panels(), "x", "y", top, base, side=1, worth=100.0)
        assert len([row for row in found if row["n_days"] == 1]) == n


@pytest.mark.parametrize(("n", "told"), [(16, 1), (15, 0)])
def test_questions_have_to_be_fifteen_more(n, told):
    """One in five days is usual; five days bring so many instead of one."""
    rows = [(day, "parcel", 0.2) for day in DAYS] + [(day, "other", 1.0) for day in DAYS]
    frame = pd.DataFrame(rows, columns=["day_on", "topic", "n"])
    struck = (frame.topic == "parcel") & frame.day_on.between(LATE, LATE + pd.Timedelta(days=4))
    frame.loc[struck, "n"] = n / 5
    assert len(after.questions_rise(panels(tickets=frame))) == told


def test_an_echo_begins_within_seventy_five_days_of_its_cause():
    table = pd.DataFrame(
        [("fake_orders", "2026-03-01"), ("reason_rises", "2026-05-15")]
        + [("sku_comes_back", "2026-05-16"), ("questions_rise", "2026-05-10")],
        columns=["kind", "starts_on"],
    )
    follows = incidents._echoes(table)
    assert follows == ["", "fake_orders", "", ""]


@pytest.mark.parametrize(
    ("priced", "day", "follows"),
    [
        ("cup", "2026-03-22", "price_error"),  # its own price, 21 days before
        ("cup", "2026-03-23", ""),
        ("ware", "2026-03-22", "price_error"),  # that of its category
        ("pot", "2026-03-22", ""),  # another sku's
    ],
)
def test_a_shelf_that_empties_echoes_a_wrong_price_of_its_own_within_three_weeks(
    priced, day, follows
):
    columns = ["kind", "starts_on", "subject", "category"]
    rows = [("price_error", "2026-03-01", priced, ""), ("best_seller_empty", day, "cup", "ware")]
    assert incidents._echoes(pd.DataFrame(rows, columns=columns)) == ["", follows]


@pytest.mark.parametrize(
    ("ratios", "orders", "is_one"),
    [
        ([0.5, 0.5], 3, True),
        ([0.5, 0.51], 3, True),
        ([0.5, 0.52], 3, False),  # fell apart
        ([0.5], 3, False),  # one sku by itself
        ([0.5, 0.5], 2, False),  # none of them wrong by itself
        ([0.5, 0.7, 0.6, 0.4], 2, True),  # many on one day
    ],
)
def test_few_skus_that_fell_by_one_share_are_a_category_priced_wrong(ratios, orders, is_one):
    low = pd.DataFrame({"ratio": ratios}).assign(day_on=LATE)
    low["sku"] = [f"s{i}" for i in low.index]
    low["is_wrong"] = orders >= selling.LEAST_ORDERS
    assert selling._is_of_many(low) == is_one


CUT = [("mobile", "search"), ("mobile", "email"), ("desktop", "search"), ("desktop", "email")]
CELLS = {
    (): CUT,
    ("mobile",): CUT[:2],
    ("email",): [CUT[1], CUT[3]],
    ("desktop", "search"): [CUT[2]],
}


@pytest.mark.parametrize("names", list(CELLS))
def test_a_step_that_fails_is_told_by_the_cut_that_holds_most_of_it(names):
    """Four cells of 40 that check out, 32 of whom buy; in some of them only 15 do."""
    struck = CELLS[names]
    frames = []
    for device, channel in CUT:
        buyers = np.where((DAYS >= LATE) & ((device, channel) in struck), 15.0, 32.0)
        about = {"day_on": DAYS, "device": device, "channel": channel, "checkouts": 40.0}
        frames.append(pd.DataFrame(about | {"buyers": buyers}))
    found = selling.steps_fail(panels(steps=pd.concat(frames)))
    assert [row["subject"] for row in found] == [", ".join(["checkouts > buyers", *names])]


@pytest.mark.parametrize(
    ("struck", "subject"), [(["card"], "card"), (["card", "wallet"], "orders")]
)
def test_a_way_to_pay_that_is_down_is_named_and_all_of_them_together_are_the_orders(
    struck, subject
):
    """Ten orders a day by each of two ways; one in ten stays unpaid, then all but one."""
    frames = []
    for cell in ("card", "wallet"):
        now = (DAYS >= LATE) & (LATE + pd.Timedelta(days=5) > DAYS) & (cell in struck)
        about = {"day_on": DAYS, "dimension": "payment_method", "cell": cell, "placed": 10.0}
        frames.append(pd.DataFrame(about | {"unpaid": np.where(now, 9.0, 1.0)}))
    paying = pd.concat(frames)
    made = panels(paying=paying)
    made.orders = made.orders.assign(unpaid=paying.groupby("day_on").unpaid.sum())
    found = selling.payments_open(made)
    assert [(row["subject"], row["n_days"]) for row in found] == [(subject, 5)]
    # eight more a day than usual by each way, worth five each
    assert found[0]["amount"] == pytest.approx(5 * 5 * 8 * len(struck))


@pytest.mark.parametrize("kind", list(incidents.KINDS))
def test_whatever_was_found_is_told_with_days_money_cause_and_check(kind):
    days = LATE, LATE + pd.Timedelta(days=2)
    amount = np.nan if incidents.KINDS[kind]["money_is"] == "not known" else 60.0
    facts = {"amount": amount, "n": 12, "usual": 0.1, "now": 0.4, "z": 6.0}
    row = incidents.told([found_row(panels(), kind, "card", days, **facts)]).iloc[0]
    assert (row.starts_on, row.ends_on, row.n_days) == (days[0].date(), days[1].date(), 3)
    assert row.subject == "card" and row.month == "2026-10" and row.follows == ""
    assert row.share_of_month == pytest.approx(0.02) or np.isnan(amount)
    assert row.what and row.check and row.money_is


def test_every_detector_tells_kinds_that_are_described_and_every_kind_has_a_detector():
    sources = "".join(inspect.getsource(detector) for detector in incidents.DETECTORS)
    sources += "".join(inspect.getsource(module) for module in (after, selling, tracking))
    assert len(incidents.DETECTORS) == 17
    assert [kind for kind in incidents.KINDS if f'"{kind}"' not in sources] == []
