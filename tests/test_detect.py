"""By hand: a shop that sells the same every day but for nine incidents of its last month,
each of which has to be told with its days and its money, and nothing else.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shops import order, write_shop

from playbook.detect.incidents import (
    DETECTORS,
    KINDS,
    incidents,
    lasting,
    of_month,
    without_incidents,
)
from playbook.detect.months import month_factors, not_whole
from playbook.messages import forms
from playbook.methods.shifts import shifts
from playbook.outlook.history import monthly_history
from playbook.store import open_store

DAYS = pd.date_range("2026-05-01", "2026-10-31")
SKUS = list("abcdef")


def within(day, first, last):
    return pd.Timestamp(f"2026-10-{first}") <= day <= pd.Timestamp(f"2026-10-{last}")


def one_order(name, day, k, **more):
    sku = more.pop("sku", SKUS[k % 6])
    about = {
        "customer": f"c{(k * 7 + day.day_of_year) % 300}",
        "sku": sku,
        "unit_cost": 6.0,
        "region": f"r{k // 6}",
        "paid_at": day + pd.Timedelta(hours=11),
    }
    return order(name, f"{day:%Y-%m-%d}", **{**about, **more})


def orders():
    """24 orders a day, 4 of each sku, 6 from each region, at 10 with a cost of 6."""
    for day in DAYS:
        for k in range(24):
            more = {}
            if SKUS[k % 6] == "a" and within(day, 24, 25):
                more["price"] = 2.0
            if SKUS[k % 6] == "b" and within(day, 14, 18):
                continue
            if k < 12 and within(day, "07", "08"):
                more |= {"paid_at": pd.NaT, "status": "placed"}
            yield one_order(f"{day:%m%d}-{k}", day, k, **more)
        if within(day, 27, 27):
            for k in range(14):
                fresh = {"sku": "f", "region": "r9", "customer": f"new{k}"}
                yield one_order(f"fake-{k}", day, k, **fresh)


def traffic():
    """400 visits a day on two devices; none told on three days; mobile checkouts fail."""
    for day in DAYS:
        if within(day, 10, 12):
            continue
        for device in ("mobile", "desktop"):
            buyers = 3 if device == "mobile" and within(day, 28, 30) else 12
            steps = {"sessions": 200, "product_views": 80, "add_to_carts": 20, "checkouts": 15}
            about = {"day_on": day.date(), "channel": "display", "device": device, "region": "all"}
            yield {**about, **steps, "buyers": buyers}


def spend():
    """Two regions a channel; search told twice, social billed twice, display cut off."""
    for day in DAYS:
        for channel, money in (("search", 50.0), ("social", 25.0), ("display", 10.0)):
            if channel == "display" and within(day, 20, 31):
                continue
            factor = 2.0 if channel == "social" and within(day, 15, 20) else 1.0
            about = {"day_on": day.date(), "channel": channel, "campaign": "one"}
            for region in ("north", "south"):
                yield {**about, "region": region, "spend": money * factor, "clicks": int(money)}
            if channel == "search" and within(day, "03", "05"):
                yield {**about, "region": "all", "spend": 2 * money, "clicks": int(2 * money)}


def stock():
    for day in DAYS:
        for sku in SKUS:
            on_hand = 0 if sku == "b" and within(day, 14, 18) else 50
            about = {"day_on": day.date(), "sku": sku, "location": "main"}
            yield {**about, "on_hand": on_hand, "available": on_hand}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detect") / "shop"
    tables = {"traffic": traffic(), "ad_spend": spend(), "stock": stock()}
    write_shop(folder, list(orders()), **{n: pd.DataFrame(list(r)) for n, r in tables.items()})
    return open_store(folder, until="2026-10")


@pytest.fixture(scope="module")
def found(shop):
    return incidents(shop, months=2)


TOLD = {
    # kind: subject, first and last day of October, money
    "tracking_outage": ("traffic", 10, 12, 3 * 240.0),
    "double_load": ("search", 3, 5, 3 * 100.0),
    "billed_twice": ("social", 15, 20, 6 * 50.0),
    "spend_missing": ("display", 20, 31, 12 * 20.0),
    # 4 a day at 2 instead of 10, the cost being 6
    "price_error": ("a", 24, 25, 2 * 4 * 8.0),
    "best_seller_empty": ("b", 14, 18, 5 * 4 * 4.0),
    # 12 of 24 a day, each worth a margin of 4
    "payment_down": ("orders", 7, 8, 24 * 4.0),
    "step_fails": ("checkouts > buyers, mobile", 28, 30, 27 * 4.0),
    "fake_orders": ("f, r9", 27, 27, 14 * 10.0),
}


@pytest.mark.parametrize("kind", list(TOLD))
def test_an_incident_is_told_with_its_days_and_its_money(found, kind):
    subject, first, last, money = TOLD[kind]
    row = found[found.kind == kind].iloc[0]
    assert row.subject == subject and row.month == "2026-10"
    assert (row.starts_on.day, row.ends_on.day) == (first, last)
    assert row.amount == pytest.approx(money, rel=0.06)


def test_nothing_else_is_told(found):
    assert sorted(found.kind) == sorted(TOLD)


def test_the_dearest_comes_first_and_a_month_holds_what_reached_into_it(found):
    here = of_month(found, "2026-10")
    assert here.kind.iloc[0] == "tracking_outage" and len(here) == len(TOLD)
    assert here.share_of_month.is_monotonic_decreasing
    assert of_month(found, "2026-09").empty


def test_days_of_an_incident_teach_nothing_and_the_month_itself_is_kept(found):
    days = pd.DataFrame({"day_on": DAYS, "sessions": 400.0, "orders": 24.0, "spend social": 50.0})
    later = without_incidents(days, found, before="2026-11").set_index("day_on")
    assert later.sessions.isna().sum() == 3 and later["spend social"].isna().sum() == 6
    assert later.sessions["2026-10-10":"2026-10-12"].isna().all()
    assert later.orders.isna().sum() == 2 + 3 + 1, "payment down, a step that fails, fake orders"
    now = without_incidents(days, found, before="2026-10").set_index("day_on")
    assert now.orders.eq(24).all() and now.sessions.isna().sum() == 3, "only what was miscounted"


def test_figures_that_an_outage_kept_from_being_counted_are_partial(found):
    rows = [(m, f"2026-{k}") for m in ("sessions", "cvr_sessions", "orders") for k in ("09", "10")]
    headline = pd.DataFrame(rows, columns=["metric", "month"]).assign(status="complete")
    assert (
        not_whole(headline, found).status.tolist() == ["complete", "partial"] * 2 + ["complete"] * 2
    )


def test_a_month_teaches_what_its_other_days_brought_by_day_of_the_week():
    """Ten orders on weekdays, two on weekend days; nothing on the three days of a fault,
    a Saturday among them.
    """
    days = pd.DataFrame({"orders": np.where(DAYS.day_of_week < 5, 10.0, 2.0)}, index=DAYS)
    days["revenue"] = 7 * days.orders
    whole = days.orders["2026-10"].sum()
    days.loc["2026-10-01":"2026-10-03", "orders"] = 0.0
    fault = pd.DataFrame(
        {"kind": ["step_fails"], "starts_on": ["2026-10-01"], "ends_on": ["2026-10-03"]}
    )
    factors = month_factors(days, fault)
    assert factors.index.tolist() == ["2026-10"]
    assert factors.orders.iloc[0] == pytest.approx(whole / (whole - 22))
    assert factors.net_revenue.iloc[0] == pytest.approx(1.0)
    assert factors.sessions.iloc[0] == 1.0, "visits are not told"
    long = fault.assign(ends_on="2026-10-20")
    assert np.isnan(month_factors(days, long).orders.iloc[0]), "eleven days say little of twenty"


def test_the_outlook_learns_from_months_without_their_incidents_and_tells_them_as_they_were(shop):
    history = monthly_history(shop).query("level == 'shop'").set_index(["metric", "month"])
    orders, sessions = (history.loc[name] for name in ("orders", "sessions"))
    assert orders.amount["2026-10"] == pytest.approx((25 * 24 - 5 * 4) * 31 / 25, rel=0.002)
    assert orders.was["2026-10"] == 24 * 31 - 24 - 5 * 4 + 14
    assert (orders.amount / orders.was)[:-1].eq(1.0).all()
    assert "2026-10" not in sessions.index, "visits of three days were not told"


@pytest.mark.parametrize(("day", "kinds"), [(28, ["price_error"]), (29, [])])
def test_what_has_been_over_for_more_than_three_days_goes_on_no_more(found, day, kinds):
    """The price was wrong on the 24th and 25th; a month of such days has 365.25 / 12 of them."""
    on = lasting(found, ("price_error", "payment_down"), as_of=dt.date(2026, 10, day))
    assert on.kind.tolist() == kinds
    row = found[found.kind == "price_error"].iloc[0]
    each = [one[0] for one in on.effect]
    assert each == pytest.approx([row.amount / 2 * 365.25 / 12] * len(kinds))


def test_every_kind_says_what_happened_and_what_to_check():
    for kind in KINDS:
        assert {"en", "zh"} <= set(forms(f"detect.what_{kind}"))
        assert {"en", "zh"} <= set(forms(f"detect.check_{kind}"))
    assert len({detector.__name__ for detector in DETECTORS}) == len(DETECTORS)


# ---- the scan


def test_a_ratio_that_falls_by_half_for_three_days_is_found_with_its_excess():
    base = np.full(120, 100.0)
    top = np.full(120, 40.0)
    top[100:103] = 20.0
    row = shifts(top, base, least_z=5.0, side=-1).iloc[0]
    assert (row.start, row.end) == (100, 102)
    assert (row.usual, row.now, row.excess) == pytest.approx((0.4, 0.2, -60.0))
    assert shifts(top, base, least_z=5.0, side=1).empty
    assert shifts(top, base, least_z=5.0, side=-1, least_change=0.6).empty


def test_quiet_days_rarely_look_like_a_stretch():
    rng, n = np.random.default_rng(8), 0
    for _ in range(100):
        base = rng.poisson(100, 400).astype(float)
        n += len(shifts(rng.poisson(0.3 * base).astype(float), base, least_z=5.0))
    assert n <= 2


def test_days_that_lean_on_each_other_are_weaker_evidence():
    """The same fall after weeks that wander by a fifth is told with half the weight."""
    base, calm = np.full(120, 1000.0), np.full(120, 400.0)
    wander = calm * (1 + 0.2 * np.sin(np.arange(120) / 5))
    calm[100:110] = wander[100:110] = 280.0
    z = [shifts(top, base, least_z=0.0, side=-1).z.min() for top in (calm, wander)]
    assert z[0] < 2 * z[1] < 0


def test_a_day_nobody_saw_is_on_neither_side():
    base, top = np.full(120, 100.0), np.full(120, 40.0)
    top[60:70] = np.nan
    assert shifts(top, base, least_z=5.0).empty


def test_what_was_never_seen_is_as_sure_as_two_rates_compared_exactly():
    """8 of 2 x 28 after 0 of 56 x 3: all of 8 fall into the last by (56 / 224) ** 8."""
    base = np.r_[np.full(56, 3.0), np.full(2, 28.0)]
    top = np.r_[np.zeros(56), 4.0, 4.0]
    row = shifts(top, base, least_z=0.0, side=1, noise="part", lengths=(2,)).iloc[0]
    assert row.start == 56 and row.z == pytest.approx(stats.norm.isf(0.25**8))
