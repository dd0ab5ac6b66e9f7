"""The way to an order: one denominator, a shop's own usual, faults told from chance,
and bad logs named.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from public_sessions import clickstream, mapping, online_shoppers

from playbook.chapters.customer_journey.aftersales import payments, returns, service
from playbook.chapters.customer_journey.decisions import journey_decisions
from playbook.chapters.customer_journey.journey import funnel, journey_headline, leaks, step_trend
from playbook.chapters.customer_journey.parcels import delivery, late_slope
from playbook.chapters.customer_journey.stages import journey_map
from playbook.chapters.customer_journey.visits import event_steps, traffic_steps
from playbook.errors import PlaybookError
from playbook.methods.funnel import own_baseline, worst_stretch, z_against

on = dt.date.fromisoformat

CHAIN = {"session": 1.0, "view": 0.5, "cart": 0.2, "checkout": 0.5, "purchase": 0.8}


def traffic(months=4, seed=1, sessions=400, broken=None, factor=0.3):
    """A steady shop of two devices and two channels; `broken` = (device, first, last)
    loses purchases.
    """
    rng = np.random.default_rng(seed)
    days = pd.date_range("2026-01-01", periods=months * 30, freq="D")
    rows = []
    for day in days:
        for device, channel in (
            ("mobile", "search"),
            ("mobile", "email"),
            ("desktop", "search"),
            ("desktop", "email"),
        ):
            n, counts = rng.poisson(sessions), []
            for step, chance in list(CHAIN.items())[1:]:
                hit = (
                    broken
                    and step == "purchase"
                    and device == broken[0]
                    and broken[1] <= day.day <= broken[2]
                )
                if hit and day >= days[-1].replace(day=1):
                    chance *= factor
                counts.append(rng.binomial(counts[-1] if counts else n, chance))
            rows.append((day.date(), channel, device, n, *counts))
    columns = [
        "day_on",
        "channel",
        "device",
        "sessions",
        "product_views",
        "add_to_carts",
        "checkouts",
        "buyers",
    ]
    return pd.DataFrame(rows, columns=columns)


def orders_like(table, margin=20.0):
    """One order per buyer, margins that vary around a mean."""
    cells = table.loc[
        table.index.repeat(table["buyers"]), ["day_on", "device", "channel"]
    ].reset_index(drop=True)
    spread = np.resize([-5.0, 5.0], len(cells))
    return cells.rename(columns={"day_on": "ordered_on"}).assign(margin=margin + spread)


def event(visitor, at, name, event_id=None, session=None, **more):
    at = pd.Timestamp(at)
    return {
        "event_id": event_id or f"{visitor}|{at}|{name}",
        "occurred_at": at,
        "visitor_id": visitor,
        "session_id": session,
        "name": name,
        **more,
    }


def events(*rows):
    return pd.DataFrame([event(*row) if isinstance(row, tuple) else row for row in rows]).astype(
        {"session_id": "string"}
    )


# ---- from logs to steps


def test_every_share_has_sessions_as_its_denominator():
    table = traffic()
    found = funnel(
        traffic_steps(table, as_of=on("2026-04-30")).daily, as_of=on("2026-04-30")
    ).set_index(["step", "device", "channel"])
    april = table[pd.to_datetime(table["day_on"]).dt.month == 4]
    whole = found.xs(("all", "all"), level=("device", "channel"))
    assert (whole["n_sessions"] == april["sessions"].sum()).all()
    assert whole.loc["purchase", "share"] == april["buyers"].sum() / april["sessions"].sum()
    assert whole.loc["purchase", "step_share"] == april["buyers"].sum() / april["checkouts"].sum()
    mobile = april[april["device"] == "mobile"]
    assert found.loc[("cart", "mobile", "all"), "reached"] == mobile["add_to_carts"].sum()


def test_shuffled_rows_give_the_same_tables():
    table = traffic()
    one, other = (
        traffic_steps(t, as_of=on("2026-04-30")).daily
        for t in (table, table.sample(frac=1, random_state=5))
    )
    pd.testing.assert_frame_equal(one, other)
    orders = orders_like(table)
    a = leaks(one, as_of=on("2026-04-30"), orders=orders)
    pd.testing.assert_frame_equal(
        a, leaks(other, as_of=on("2026-04-30"), orders=orders.sample(frac=1, random_state=2))
    )


def test_fewer_sessions_than_checkouts_are_named_and_left_out():
    table = traffic()
    table.loc[7, "sessions"] = table.loc[7, "checkouts"] - 1
    found = traffic_steps(table, as_of=on("2026-04-30"))
    assert found.faults["rule"].tolist() == ["checkouts above sessions"]
    assert found.faults["rows"].tolist() == [1]
    assert found.daily["session"].sum() == table["sessions"].drop(7).sum()


def test_traffic_that_is_mostly_impossible_is_refused_by_rule():
    table = traffic().assign(sessions=1)
    with pytest.raises(PlaybookError, match="cannot carry a funnel") as caught:
        traffic_steps(table, as_of=on("2026-04-30"))
    assert "checkouts above sessions" in caught.value.rule


def test_page_views_are_not_taken_for_sessions():
    table = traffic()
    found = traffic_steps(table.assign(product_views=table["sessions"] * 5), as_of=on("2026-04-30"))
    assert "view" not in found.daily
    assert found.faults["effect"].tolist() == ["step left out: it does not count sessions"]
    assert funnel(found.daily, as_of=on("2026-04-30"))["step"].unique().tolist() == [
        "cart",
        "checkout",
        "purchase",
    ]


def test_a_step_nobody_recorded_is_missing_not_zero():
    found = traffic_steps(traffic().drop(columns=["add_to_carts"]), as_of=on("2026-04-30"))
    assert "cart" not in found.daily
    assert found.daily["checkout"].sum() > 0


def test_events_out_of_order_and_twice_change_nothing():
    clean = events(
        ("ann", "2026-01-01 10:00", "view_item"),
        ("ann", "2026-01-01 10:01", "add_to_cart"),
        ("ann", "2026-01-01 10:02", "begin_checkout"),
        ("ann", "2026-01-01 10:03", "purchase"),
        ("bob", "2026-01-01 11:00", "view_item"),
    )
    messy = pd.concat([clean, clean.iloc[[3, 3, 0]]])
    messy.loc[messy["name"] == "add_to_cart", "occurred_at"] += pd.Timedelta(minutes=9)
    steps = ["session", "view", "cart", "checkout", "purchase"]
    one, other = (
        event_steps(clean, as_of=on("2026-01-31")),
        event_steps(messy, as_of=on("2026-01-31")),
    )
    assert one.daily[steps].sum().tolist() == other.daily[steps].sum().tolist() == [2, 2, 1, 1, 1]
    assert dict(zip(other.faults["rule"], other.faults["rows"], strict=True)) == {
        "event id repeated": 3,
        "steps out of order": 1,
    }


def test_a_purchase_without_its_earlier_steps_still_passed_them():
    found = event_steps(
        events(("ann", "2026-01-01 10:00", "purchase")), as_of=on("2026-01-31")
    ).daily
    assert found[["session", "view", "cart", "checkout", "purchase"]].sum().tolist() == [
        1,
        1,
        1,
        1,
        1,
    ]


def test_without_session_ids_a_visit_ends_in_silence():
    log = events(
        ("ann", "2026-01-01 10:00", "view_item"),
        ("ann", "2026-01-01 10:29", "view_item"),
        ("ann", "2026-01-01 11:00", "view_item"),
    )
    assert event_steps(log, as_of=on("2026-01-31")).daily["session"].sum() == 2
    assert event_steps(log, as_of=on("2026-01-31"), gap_minutes=60).daily["session"].sum() == 1


def test_new_and_returning_are_unknown_where_the_log_cannot_tell():
    log = events(
        ("ann", "2026-01-02", "view_item"),
        ("ann", "2026-01-20", "view_item"),
        ("bob", "2026-01-03", "view_item"),
        ("ann", "2026-02-10", "view_item"),
        ("cat", "2026-02-11", "view_item"),
    )
    found = event_steps(log, as_of=on("2026-02-28")).daily
    seen = dict(zip(found["day_on"].dt.strftime("%m-%d"), found["visitor"], strict=True))
    assert seen == {
        "01-02": "unknown",
        "01-03": "unknown",
        "01-20": "unknown",
        "02-10": "returning",
        "02-11": "new",
    }


def test_the_first_days_of_a_log_enter_the_usual_of_no_kind_of_visitor():
    # early on only quick returns could be seen, and those buy less often here than returns after three weeks
    log = events(
        *[(f"q{i}", f"2026-01-{day}", "view_item") for i in range(200) for day in ("02", "03")],
        *[
            (f"s{i}", f"2026-{day}", "purchase")
            for i in range(200)
            for day in ("02-01", "02-20", "03-10", "03-28")
        ],
    )
    found = funnel(
        event_steps(log, as_of=on("2026-03-31")).daily, as_of=on("2026-03-31")
    ).set_index(["step", "visitor"])
    assert found.loc[("purchase", "returning"), "usual_share"] == 1.0


def test_a_log_without_any_step_is_refused():
    with pytest.raises(PlaybookError, match="no event carries a step"):
        event_steps(events(("ann", "2026-01-01", "page_view")), as_of=on("2026-01-31"))


# ---- the usual, and what falls below it


def test_a_broken_week_does_not_become_the_usual():
    n = np.full(90, 200.0)
    x = np.random.default_rng(2).binomial(200, 0.8, 90).astype(float)
    x[30:37] *= 0.2
    usual = own_baseline(x, n)
    assert usual.n_days_out == 7
    assert usual.share == pytest.approx(0.8, abs=0.01)


def test_days_that_scatter_more_than_chance_widen_the_spread():
    rng = np.random.default_rng(4)
    share = rng.beta(80, 20, 90)
    usual = own_baseline(rng.binomial(200, share), np.full(90, 200))
    assert 2 < usual.spread < 5  # beta(80, 20) on 200 trials: 1 + 199 / 101 = 2.97


def test_a_handful_of_trials_says_little():
    usual = own_baseline(np.full(90, 189), np.full(90, 200))
    assert -3.5 < z_against(5, 9, usual) < -2.5  # (x - np) / sd would say -4.6
    assert z_against(180, 200, usual) == pytest.approx(-2.47, abs=0.15)


def test_the_worst_stretch_is_found_to_the_day():
    rng = np.random.default_rng(9)
    usual = own_baseline(rng.binomial(300, 0.7, 90), np.full(90, 300))
    x = rng.binomial(300, 0.7, 30).astype(float)
    x[11:15] = rng.binomial(300, 0.3, 4)
    found = worst_stretch(x, np.full(30, 300), usual)
    assert (found.first, found.last) == (11, 14)
    assert found.lost == pytest.approx(4 * 300 * 0.4, rel=0.1)


def test_the_planted_fault_is_the_top_leak_and_its_margin_is_right():
    table, broken = traffic(broken=("mobile", 11, 14)), {}
    orders = orders_like(table)
    found = leaks(
        traffic_steps(table, as_of=on("2026-04-30")).daily, as_of=on("2026-04-30"), orders=orders
    ).iloc[0]
    assert (found["kind"], found["step"], found["device"], found["channel"]) == (
        "fault",
        "purchase",
        "mobile",
        "all",
    )
    assert (found["first_on"].day, found["last_on"].day) == (11, 14)
    broken = table[
        (table["device"] == "mobile")
        & pd.to_datetime(table["day_on"]).between("2026-04-11", "2026-04-14")
    ]
    truth = 20 * broken["checkouts"].sum() * 0.8 * 0.7
    assert found["lost_margin"] == pytest.approx(truth, rel=0.1)
    assert found["low"] < truth < found["high"]


def test_a_fault_is_told_once_not_again_for_every_channel():
    table = traffic(broken=("mobile", 5, 20))
    found = leaks(traffic_steps(table, as_of=on("2026-04-30")).daily, as_of=on("2026-04-30"))
    assert len(found[(found["kind"] == "fault") & (found["step"] == "purchase")]) == 1


def test_a_steady_shop_has_no_fault():
    alarms = 0
    for seed in range(10):
        daily = traffic_steps(traffic(seed=seed, sessions=150), as_of=on("2026-04-30")).daily
        alarms += (leaks(daily, as_of=on("2026-04-30"))["kind"] == "fault").any()
    assert alarms <= 2  # at 5 % of months: more than 2 of 10 would happen once in 80


def test_without_orders_a_leak_has_no_price():
    found = leaks(
        traffic_steps(traffic(broken=("mobile", 11, 14)), as_of=on("2026-04-30")).daily,
        as_of=on("2026-04-30"),
    )
    assert found["lost_orders"].iloc[0] > 0
    assert found[["margin_per_order", "lost_margin", "low", "high"]].isna().all(axis=None)


def test_a_segment_without_a_past_has_no_usual():
    table = traffic()
    late = table[(table["device"] == "mobile") | (pd.to_datetime(table["day_on"]) >= "2026-04-01")]
    found = funnel(traffic_steps(late, as_of=on("2026-04-30")).daily, as_of=on("2026-04-30"))
    desktop = found[(found["device"] == "desktop")]
    assert desktop[["usual_share", "z", "p"]].isna().all(axis=None)
    assert desktop["share"].notna().all()


def test_a_running_month_is_partial_and_an_empty_one_refused():
    daily = traffic_steps(traffic(), as_of=on("2026-04-15")).daily
    assert set(funnel(daily, as_of=on("2026-04-15"))["status"]) == {"partial"}
    with pytest.raises(PlaybookError, match="no session in the report month"):
        funnel(daily, as_of=on("2027-01-31"))


# ---- public data


def test_the_clickstream_gives_its_published_counts(shared_data):
    log, published = clickstream(shared_data), mapping("clickstream_ecom")["published"]
    assert (
        (len(log), log["visitor_id"].nunique(), (log["name"] == "purchase").sum())
        == (published["events"], published["users"], published["purchases"])
        == (31_106, 600, 470)
    )
    daily = event_steps(log, as_of=on("2024-06-30")).daily
    assert daily[["session", "purchase"]].sum().tolist() == [published["sessions"], 470]
    assert (
        daily[["session", "view", "cart", "checkout", "purchase"]].diff(axis=1).iloc[:, 1:] <= 0
    ).all(axis=None)


def test_the_online_shoppers_give_their_published_counts(shared_data):
    table, published = online_shoppers(shared_data), mapping("online_shoppers")["published"]
    assert (
        table[["sessions", "buyers"]].sum().tolist()
        == [published["sessions"], published["purchases"]]
        == [12_330, 1_908]
    )
    daily = traffic_steps(table, as_of=on("2000-12-31")).daily
    assert daily["session"].sum() == 12_330
    november = (
        funnel(daily, as_of=on("2000-11-30"))
        .set_index(["step", "channel"])
        .loc[("purchase", "all")]
    )
    assert (november["n_sessions"], november["reached"]) == (2_998, 760)


# ---- after the order


def order(
    order_id, promised, delivered=None, customer=None, ordered="2026-01-01", status="done", **more
):
    def stamp(day):
        return pd.NaT if day is None else pd.Timestamp(day)

    return {
        "order_id": order_id,
        "customer_id": customer,
        "ordered_on": dt.date.fromisoformat(ordered),
        "ordered_at": pd.Timestamp(ordered),
        "promised_at": stamp(promised),
        "delivered_at": stamp(delivered),
        "status": status,
        **more,
    }


def test_a_parcel_not_yet_due_is_not_late_and_one_overdue_is():
    table = pd.DataFrame(
        [
            order("1", "2026-01-05", "2026-01-05"),
            order("2", "2026-01-05", "2026-01-09"),
            order("3", "2026-01-10", None, status="shipped"),
            order("4", "2026-03-10", None, status="shipped"),
            order("5", "2026-01-10", None, status="cancelled"),
        ]
    ).astype({"customer_id": "string"})
    found = delivery(table, as_of=on("2026-01-31")).set_index("band")
    assert found["orders"].to_dict() == {
        "on time or early": 1,
        "3-5 days late": 1,
        "overdue, not delivered": 1,
    }
    assert found.loc["overdue, not delivered", "status"] == "partial"


def test_stars_are_those_of_reviewed_orders_only():
    table = pd.DataFrame([order(str(n), "2026-01-05", "2026-01-05") for n in range(4)]).astype(
        {"customer_id": "string"}
    )
    reviews = pd.DataFrame({"review_id": ["a", "b"], "order_id": ["0", "1"], "stars": [5.0, 3.0]})
    found = delivery(table, as_of=on("2026-01-31"), reviews=reviews).iloc[0]
    assert (found["n_reviews"], found["stars"]) == (2, 4.0)


def test_a_customer_served_last_week_has_not_failed_to_return():
    table = pd.DataFrame(
        [
            order("1", "2026-01-05", "2026-01-05", "ann"),
            order("2", "2026-05-25", "2026-05-25", "bob", "2026-05-20"),
            order("3", "2026-02-05", "2026-02-05", "ann", "2026-02-01"),
        ]
    )
    found = delivery(table, as_of=on("2026-05-31")).iloc[0]
    assert (found["orders"], found["n_ripe"], found["next_order_share"]) == (3, 2, 0.5)


def test_no_promise_at_all_is_refused_by_name():
    table = pd.DataFrame([order("1", None, "2026-01-05")]).astype(
        {"promised_at": "datetime64[us]", "customer_id": "string"}
    )
    with pytest.raises(PlaybookError, match="promised"):
        delivery(table, as_of=on("2026-01-31"))


def test_stars_lost_per_late_day_recover_the_planted_slope():
    rng = np.random.default_rng(3)
    late = np.repeat(np.arange(5), 200)
    table = pd.DataFrame(
        [order(str(n), "2026-01-05", f"2026-01-{5 + d:02d}") for n, d in enumerate(late)]
    )
    stars = 4.5 - 0.4 * late + rng.choice([-0.5, 0.5], len(late))
    found = late_slope(
        table, pd.DataFrame({"order_id": table["order_id"], "stars": stars}), as_of=on("2026-02-28")
    ).iloc[0]
    assert found["low"] < -0.4 < found["high"]
    assert found["stars_per_day"] == pytest.approx(-0.4, abs=0.05)


def sales(*rows):
    table = pd.DataFrame(rows, columns=["order_id", "line_no", "ordered_on", "sku", "revenue"])
    return table.assign(ordered_on=pd.to_datetime(table["ordered_on"]).dt.date)


def booked(*rows):
    table = pd.DataFrame(
        rows, columns=["order_id", "line_no", "ordered_on", "sku", "amount", "kind", "reason"]
    )
    return table.assign(ordered_on=pd.to_datetime(table["ordered_on"]).dt.date)


def test_a_young_months_returns_are_partial_and_its_reasons_do_not_count():
    lines = sales(
        ("1", 1, "2026-01-10", "tea", 100.0),
        ("2", 1, "2026-01-11", "cup", 50.0),
        ("3", 1, "2026-03-10", "tea", 80.0),
    )
    back = booked(
        ("1", 1, "2026-01-10", "tea", 100.0, "return", "damaged"),
        ("3", 1, "2026-03-10", "tea", 80.0, "return", "size"),
        ("2", 1, "2026-01-11", "cup", 50.0, "cancellation", "withdrawn"),
    )
    found = returns(lines, back, as_of=on("2026-04-05"))
    month = found[found["view"] == "month"].set_index("key")
    assert month["status"].to_dict() == {"2026-01": "complete", "2026-03": "partial"}
    assert month.loc["2026-01", "share"] == pytest.approx(100 / 150)
    assert found.loc[found["view"] == "reason", "key"].tolist() == ["damaged"]
    assert found.loc[found["view"] == "sku"].set_index("key").loc["cup", "share"] == 0.0


def test_refunds_that_name_no_order_are_not_a_share_of_zero():
    lines = sales(("1", 1, "2026-01-10", "tea", 100.0), ("2", 1, "2026-02-11", "cup", 50.0))
    back = booked((None, None, None, "tea", 20.0, "return", "damaged")).assign(
        refunded_on=dt.date(2026, 2, 20), refund_id="r1"
    )
    types = {"order_id": "string", "line_no": "Int64", "ordered_on": "datetime64[us]"}
    found = returns(lines, back.astype(types), as_of=on("2026-03-31"))
    assert set(found["basis"]) == {"booking"}
    month = found[found["view"] == "month"].set_index("key")
    assert month.loc["2026-02", "share"] == 0.4
    assert journey_headline(back=found).empty
    assert journey_map(back=found)["amount"].isna().all()


def test_a_backlog_cannot_make_the_answer_look_quick():
    opened = pd.Timestamp("2026-03-10 10:00")
    rows = [
        ("t1", opened, opened + pd.Timedelta(hours=1)),
        ("t2", opened, opened + pd.Timedelta(hours=3)),
        ("t3", opened, pd.NaT),
    ]
    table = (
        pd.DataFrame(rows, columns=["ticket_id", "opened_at", "first_reply_at"])
        .assign(closed_at=pd.NaT, topic="parcel", is_reopened=False, csat=4.0)
        .astype({"closed_at": "datetime64[us]"})
    )
    found = service(table, as_of=on("2026-03-31")).set_index("topic").loc["parcel"]
    assert (found["first_reply_hours"], found["n_waiting"]) == (3.0, 1)
    assert np.isnan(found["resolve_hours"])


def test_an_order_of_the_last_day_may_still_be_paid():
    table = pd.DataFrame(
        [
            order(
                "1",
                None,
                ordered="2026-03-10",
                paid_at=pd.Timestamp("2026-03-10"),
                total=10.0,
                device="mobile",
            ),
            order("2", None, ordered="2026-03-11", paid_at=pd.NaT, total=30.0, device="mobile"),
            order("3", None, ordered="2026-03-31", paid_at=pd.NaT, total=50.0, device="mobile"),
        ]
    )
    found = payments(table, as_of=on("2026-03-31")).set_index("device").loc["all"]
    assert (found["orders"], found["unpaid"], found["lost"], found["status"]) == (
        2,
        1,
        30.0,
        "partial",
    )
    with pytest.raises(PlaybookError, match="time it was paid"):
        payments(
            table.assign(paid_at=pd.NaT).astype({"paid_at": "datetime64[us]"}),
            as_of=on("2026-03-31"),
        )


def test_the_map_keeps_what_was_not_measured_and_signs_gaps_for_the_reader():
    late = pd.DataFrame(
        {"month": ["2026-01", "2026-02", "2026-03"], "due": [50, 50, 40], "late": [2, 3, 4]}
    )
    found = journey_map(late=late).set_index("metric")
    assert found.loc["late_share", ["amount", "usual", "n"]].tolist() == [0.1, 0.05, 40]
    assert found.loc["late_share", "gap"] == pytest.approx(-0.05)
    assert found["amount"].isna().sum() == len(found) - 1


def test_the_trend_marks_the_broken_days_and_no_others():
    daily = traffic_steps(traffic(broken=("mobile", 11, 14)), as_of=on("2026-04-30")).daily
    found = step_trend(daily, as_of=on("2026-04-30"), step="purchase", device="mobile")
    below = found[(found["share"] < found["lower"]) & ~found["is_baseline"]]
    assert below["day_on"].dt.day.tolist() == [11, 12, 13, 14]


def test_decisions_name_the_fault_its_price_and_every_verdict():
    table = traffic(broken=("mobile", 11, 14))
    daily = traffic_steps(table, as_of=on("2026-04-30")).daily
    leak = leaks(daily, as_of=on("2026-04-30"), orders=orders_like(table))
    tests = pd.DataFrame(
        [
            {
                "test_id": "pay",
                "arm": "B",
                "verdict": "ship",
                "lift": 0.1,
                "low": 0.05,
                "high": 0.15,
                "n_control": 900,
                "n_arm": 910,
                "n_dealt": 1810,
                "n_dealt_days": 7,
                "control_share": 0.1,
                "is_valid": True,
                "reason": "more visitors buy",
            },
            {
                "test_id": "badge",
                "arm": "B",
                "verdict": "stop",
                "lift": np.nan,
                "low": np.nan,
                "high": np.nan,
                "n_control": 900,
                "n_arm": 10,
                "n_dealt": 910,
                "n_dealt_days": 30,
                "control_share": 0.1,
                "is_valid": False,
                "reason": "sample ratio",
            },
        ]
    )
    found = journey_decisions(leak, tests, margin_per_order=10.0, currency="EUR").set_index(
        "subject"
    )
    assert found.loc["purchase, mobile", "action"] == "mend"
    assert found.loc["purchase, mobile", "expected_effect"] == leak["lost_margin"].iloc[0]
    assert found.loc["pay: B", ["action", "expected_effect", "effect_low"]].tolist() == [
        "ship",
        pytest.approx(181.0),
        pytest.approx(90.5),
    ]
    assert found.loc["badge: B", "action"] == "stop"
    assert pd.isna(found.loc["badge: B", "expected_effect"])
    assert (
        found.loc["pay: B", "stop_rule"] != found.loc["badge: B", "stop_rule"]
    )  # nothing to take back there
    assert journey_decisions(pd.DataFrame(), pd.DataFrame(), margin_per_order=None).empty


def test_a_planned_test_is_revisited_when_it_has_run_and_not_before():
    leak = leaks(
        traffic_steps(traffic(broken=("mobile", 10, 20)), as_of=on("2026-04-30")).daily,
        as_of=on("2026-04-30"),
    )
    plan = pd.DataFrame({"n_total": [900], "n_per_arm": [450], "lift": [0.05], "days": [77.0]})
    about = {"due_on": "2026-05-14", "revisit_on": "2026-06-14"}
    for days, seen in ((77.0, "2026-07-30"), (14.0, "2026-06-14"), (np.nan, "2026-06-14")):
        found = journey_decisions(
            leak, pd.DataFrame(), plan=plan.assign(days=days), **about
        ).set_index("action")
        assert (
            found.loc["plan", "revisit_on"] == seen
            and found.loc["mend", "revisit_on"] == "2026-06-14"
        )
    assert found.loc["plan", "unit"].startswith(
        "sessions"
    )  # the plan is sized in what the funnel counts
