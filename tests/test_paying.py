"""Ways to pay and policies on returns: by hand, and on shops in which one way to pay is known
to fail (report seeds 0 to 9).
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.customer_journey.decisions import service_decisions
from playbook.chapters.customer_journey.paying import (
    payment_methods,
    return_policy,
    return_unit_cost,
)

AS_OF = dt.date(2026, 10, 31)
MARGIN = 12.0
FAILS, USUAL = ("wallet", "mobile"), 0.03


def orders(seed, *, n=6000, fails=0.09):
    """Six months of orders of which three in a hundred stay unpaid, but for one way to pay on
    one device; and what that one truly loses in the last three months.
    """
    rng = np.random.default_rng(seed)
    method = rng.choice(["card", "wallet", "bank"], n, p=[0.6, 0.25, 0.15])
    device = rng.choice(["mobile", "desktop"], n, p=[0.6, 0.4])
    day = pd.Timestamp("2026-05-05") + pd.to_timedelta(rng.integers(0, 179, n), "D")
    is_bad = (method == FAILS[0]) & (device == FAILS[1])
    is_unpaid = rng.random(n) < np.where(is_bad, fails, USUAL)
    at = pd.Series(day + pd.Timedelta(hours=10))
    frame = pd.DataFrame({"order_id": [f"o{k}" for k in range(n)], "ordered_on": day.date})
    frame = frame.assign(ordered_at=at, payment_method=method, device=device, n_payments=1)
    frame["paid_at"] = (at + pd.Timedelta(minutes=5)).where(~is_unpaid)
    is_now = day >= pd.Timestamp("2026-08-01")
    return frame, float((is_bad & is_now).sum() * (fails - USUAL) * MARGIN)


def ways(frame):
    return payment_methods(frame, as_of=AS_OF, margin_per_order=MARGIN)


def test_the_failing_way_to_pay_comes_first_on_eight_shops_of_ten():
    first, inside = [], []
    for seed in range(10):
        frame, lost = orders(seed)
        row = ways(frame).iloc[0]
        first.append((row.method, row.device) == FAILS)
        inside.append(row.lost_low <= lost <= row.lost_high)
    assert sum(first) >= 8 and sum(inside) >= 6


def test_a_way_that_is_paid_later_by_its_nature_is_not_judged_and_hides_no_other():
    frame, _lost = orders(3)
    is_bank = frame.payment_method == "bank"
    frame["paid_at"] = frame.paid_at.where(~is_bank, frame.ordered_at + pd.Timedelta(days=14))
    frame.loc[is_bank & (frame.index % 3 == 0), "paid_at"] = pd.NaT
    table = ways(frame).set_index(["method", "device"])
    assert table.lost.loc["bank"].isna().all()
    assert table.lost.idxmax() == FAILS


def test_every_order_of_the_quarter_stands_in_one_cell():
    frame, _lost = orders(1)
    table = ways(frame)
    day = pd.to_datetime(frame.ordered_on)
    assert table.orders.sum() == ((day >= "2026-08-01") & (day < "2026-10-31")).sum()
    assert table.mix_share.sum() == pytest.approx(1) == table.mix_before.sum()
    assert (table.again_share == 0).all()


def test_what_a_policy_could_be_worth_is_bounded_by_the_returns_it_touches():
    day = [dt.date(2026, 9, 1) + dt.timedelta(days=k) for k in (10, 20, 40)]
    back = pd.DataFrame({"refund_id": list("abc"), "order_id": list("xyz"), "kind": "return"})
    back = back.assign(is_date_known=True, refunded_on=day, ordered_on=dt.date(2026, 8, 25))
    back = back.assign(quantity=[1, 2, 1], amount=[30.0, 60.0, 30.0], margin=[-14.0, -28.0, -14.0])
    orders = pd.DataFrame(
        {"order_id": list("xyz"), "delivered_at": pd.Timestamp("2026-09-01 12:00")}
    )
    table = return_policy(back, orders, as_of=AS_OF, per_unit=4.0).set_index("policy")
    assert list(table.n_returns) == [2, 1, 0, 3, 3]
    assert list(table.most) == [42.0, 14.0, 0.0, 16.0, 40.0] and (table.least == 0).all()


def test_the_newest_cost_of_a_unit_sent_back_counts():
    rates = pd.DataFrame(
        {
            "kind": ["return_per_unit", "return_per_unit", "payment_share"],
            "scope": "all",
            "from_on": [dt.date(2026, 1, 1), dt.date(2025, 1, 1), dt.date(2026, 2, 1)],
            "value": [5.0, 3.0, 0.01],
        }
    )
    assert return_unit_cost(rates) == 5.0 and np.isnan(return_unit_cost(None))


def test_only_a_way_that_surely_loses_is_mended_and_only_the_best_policy_is_tested():
    columns = ["method", "device", "share", "others_share", "lost_orders"]
    rows = [("wallet", "mobile", 0.09, 0.03, 60.0), ("bank", "desktop", 0.04, 0.03, 5.0)]
    table = pd.DataFrame(rows, columns=columns).assign(
        lost=[720.0, 60.0], lost_low=[400.0, -10.0], lost_high=[1000.0, 130.0]
    )
    policy = pd.DataFrame({"policy": ["window_30", "buyer_pays"], "n_returns": [5, 9]})
    policy = policy.assign(most=[100.0, 300.0])
    days = {"due_on": "2026-11-14", "revisit_on": "2026-12-15", "currency": "EUR"}
    made = service_decisions(table, policy, **days)
    assert list(made.subject) == ["wallet, mobile", "the buyer pays the way back"]
    first = made.iloc[0]
    assert (first.expected_effect, first.effect_low, first.effect_high) == (720.0, 400.0, 1000.0)
    assert service_decisions(None, policy.assign(most=0.0), **days).empty
