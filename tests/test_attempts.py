"""Attempts to pay: what fails with which message, what is won back, what is lost for good.

Nothing was chosen by looking at results but the size of the planted message, on seeds 101 to
110; seeds 1 to 10 report.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from test_import import SAMPLES, load, rows

from playbook.chapters.customer_journey import attempts as rules
from playbook.chapters.customer_journey.attempts import payment_messages, purchases
from playbook.chapters.customer_journey.decisions import attempt_decisions, service_decisions
from playbook.demo.attempts import (
    METHODS,
    TEXTS,
    WAY_OF,
    attempt_law,
    first_failures,
    lost_purchases,
    shares,
)
from playbook.demo.money import METHOD_SHARES
from playbook.demo.streams import key
from playbook.demo.world import DEVICES
from playbook.tables import empty

AS_OF = dt.date(2026, 10, 31)
MARGIN = 12.0
REPORTED = range(1, 11)
DAYS = {"due_on": "2026-11-14", "revisit_on": "2026-12-15", "currency": "EUR"}
NOTHING = empty("detect.incidents")


def tries(*given, day="2026-10-01"):
    """Rows of payment_attempts: (checkout, way, device, status, message, amount, minute)."""
    names = ["checkout_id", "payment_method", "device", "status", "message", "amount", "minute"]
    frame = pd.DataFrame(list(given), columns=names).astype({"message": "string"})
    at = pd.Timestamp(day) + pd.to_timedelta(600 + frame.pop("minute"), "min")
    frame["attempt_id"] = [f"a{i:05d}" for i in range(len(frame))]
    return frame.assign(attempted_at=at, currency="EUR", amount=frame.amount.astype(float))


def many(n, way, device, message=None, *, is_paid=False, name="k", amount=60.0):
    """So many purchases: paid at once, or failed with a message and paid after it or not."""
    out = []
    for i in range(n):
        checkout = f"{name}-{way}-{device}-{message}-{is_paid}-{i}"
        if message:
            out.append((checkout, way, device, "failed", message, amount, 0))
        if is_paid or not message:
            out.append((checkout, way, device, "paid", None, amount, 5))
    return out


def messages(frame, margin=MARGIN):
    table = payment_messages(frame, as_of=AS_OF, margin_per_order=margin, currency="EUR")
    return table.set_index(["method", "device", "message"])


def test_a_purchase_is_told_by_its_first_attempt_and_won_back_by_any_later_one():
    frame = tries(
        ("1", "card", "mobile", "failed", "refused", 50, 0),
        ("1", "card", "mobile", "failed", "timeout", 50, 1),
        ("1", "wallet", "mobile", "paid", None, 50, 2),
        ("2", "card", "mobile", "failed", "refused", 50, 0),
        ("3", "card", "mobile", "paid", None, 50, 0),
        ("4", "card", "mobile", "failed", None, 50, 0),
    )
    table = purchases(frame, as_of=AS_OF, currency="EUR").to_pandas().set_index("checkout_id")
    assert table.message.to_dict() == {"1": "refused", "2": "refused", "3": "", "4": "unknown"}
    assert table.is_paid.to_dict() == {"1": True, "2": False, "3": True, "4": False}
    assert table.is_other["1"] and table.is_retried["1"] and not table.is_retried["2"]
    row = messages(frame).loc["card", "all", "refused"]
    assert (row.tried, row.n_failed, row.lost_n) == (4, 2, 1)
    assert (row.retried_share, row.won_share, row.other_share) == (0.5, 0.5, 0.5)
    assert np.isnan(row.lost) and np.isnan(row.usual_share)


def test_what_is_open_or_of_the_last_day_is_not_told_yet():
    frame = pd.concat(
        [
            tries(
                ("1", "card", "mobile", "open", None, 50, 0),
                ("2", "card", "mobile", "failed", "refused", 50, 0),
                ("2", "card", "mobile", "open", None, 50, 1),
                ("3", "card", "mobile", "failed", "refused", 50, 0),
                ("3", "card", "mobile", "open", None, 50, 1),
                ("3", "card", "mobile", "paid", None, 50, 2),
            ),
            tries(("9", "card", "mobile", "failed", "refused", 50, 0), day="2026-10-31"),
            tries(("0", "card", "mobile", "failed", "refused", 50, 0), day="2026-04-30"),
        ]
    )
    table = purchases(frame, as_of=AS_OF).to_pandas()
    assert list(table.checkout_id) == ["3"]


def test_the_loss_is_what_lies_beyond_the_other_devices_at_the_margin_of_its_amount():
    """Of 1,000 on mobile 60 are lost at twice the usual amount, of 500 on desktop ten: 40 more
    than 2 %."""
    frame = tries(
        *many(940, "card", "mobile"),
        *many(60, "card", "mobile", "refused", amount=120),
        *many(490, "card", "desktop"),
        *many(10, "card", "desktop", "refused"),
    )
    table = messages(frame)
    row = table.loc["card", "mobile", "refused"]
    assert (row.share, row.usual_share, row.against) == (0.06, 0.02, "other devices")
    assert row.lost_orders == pytest.approx(40)
    assert row.lost == pytest.approx(40 * 2 * MARGIN)
    own, other = 60.5 / 1001, 10.5 / 501
    error = np.sqrt(1000 * own * (1 - own) + 1000**2 * other * (1 - other) / 500)
    assert row.lost_high - row.lost == pytest.approx(1.6449 * error * 2 * MARGIN, rel=1e-3)
    assert row.p_adjusted < 0.05 and table.index[0] == ("card", "mobile", "refused")
    assert np.isnan(messages(frame, np.nan).lost).all()


def test_all_devices_are_held_against_the_months_before():
    before = [
        tries(*many(490, "card", "mobile"), *many(10, "card", "mobile", "refused"), day=day)
        for day in ("2026-06-10",)
    ]
    now = tries(
        *many(470, "card", "mobile", name="n"), *many(30, "card", "mobile", "refused", name="n")
    )
    row = messages(pd.concat([*before, now])).loc["card", "all", "refused"]
    assert row.against == "months before"
    assert row.lost_orders == pytest.approx(30 - 500 * 0.02)


def test_a_single_device_has_no_row_of_its_own_and_few_purchases_are_not_judged():
    frame = tries(*many(150, "card", "mobile"), *many(40, "card", "mobile", "refused"))
    table = messages(frame)
    assert list(table.index) == [("card", "all", "refused")]
    assert table.lost_orders.isna().all() and table.p_adjusted.isna().all()
    assert messages(tries(*many(10, "card", "mobile"))).empty


def test_a_table_without_devices_messages_or_amounts_is_read():
    frame = tries(*many(30, "card", "mobile"), *many(5, "card", "mobile", "refused"))
    bare = frame.drop(columns=["device", "message", "amount", "currency"])
    table = messages(bare)
    assert list(table.index) == [("card", "all", "unknown")]


def test_the_dearest_message_is_mended_once_and_its_way_to_pay_is_left_to_it():
    frame = tries(
        *many(900, "card", "mobile"),
        *many(100, "card", "mobile", "refused"),
        *many(900, "card", "desktop"),
        *many(2, "card", "desktop", "refused"),
    )
    table = messages(frame).reset_index()
    made = attempt_decisions(table, NOTHING, as_of=AS_OF, **DAYS)
    assert list(made.subject) == ["card, mobile: refused"]
    first, row = made.iloc[0], table.iloc[0]
    assert first.expected_effect == pytest.approx(row.lost)
    assert "0% of them paid" in first.reason and "the other devices" in first.reason
    ways = pd.DataFrame({"method": ["card"], "device": ["mobile"], "share": [0.1]})
    ways = ways.assign(others_share=0.01, lost_orders=90.0, lost=900.0, lost_low=800.0)
    ways = ways.assign(lost_high=1000.0)
    assert len(service_decisions(ways, None, **DAYS)) == 1
    assert service_decisions(ways, None, named=["card, mobile"], **DAYS).empty
    assert attempt_decisions(None, NOTHING, as_of=AS_OF, **DAYS).empty
    calm = table.assign(p_adjusted=0.2)
    assert attempt_decisions(calm, NOTHING, as_of=AS_OF, **DAYS).empty


def test_limits_of_attempts_are_what_the_chapter_says():
    assert (rules.LEAST_TRIED, rules.ALPHA) == (200, 0.05)


def test_of_the_demo_shops_purchases_those_paid_lost_and_won_back_are_as_the_law_says():
    """The law of orders that were paid and of purchases lost gives back the law it came from."""
    law, part = attempt_law(3), shares(3)
    failed, won = (law[c].to_numpy().reshape(len(DEVICES), -1) for c in ("failed", "won_back"))
    paid = np.array(METHOD_SHARES[:2]) / sum(METHOD_SHARES[:2])
    kept = (part.failed * paid[:, None]).sum(axis=1)
    assert part.tried[:, WAY_OF] * failed * won == pytest.approx(kept)
    assert part.lost + kept == pytest.approx(part.tried[:, WAY_OF] * failed)
    assert part.tried.sum(axis=1) == pytest.approx(1 + part.lost.sum(axis=1))


# ---- planted message


def planted(seed, n=29_000):
    """Six months of attempts of a shop of the demo's size, found messages beside what each truly
    loses, and the planted one.
    """
    draw, law, truth = np.random.default_rng(seed), shares(seed), attempt_law(seed)
    device = draw.choice(3, n, p=[0.62, 0.33, 0.05])
    way = (draw.random(n) > METHOD_SHARES[0] / sum(METHOD_SHARES[:2])).astype(int)
    k = key(seed, "attempt", np.arange(n))
    message = first_failures(law, k, device, way)
    cells = key(seed, "lost", np.arange(3 * len(WAY_OF)))
    counts = lost_purchases(law, cells, np.bincount(device, minlength=3))
    of = np.repeat(np.arange(len(counts)), counts)
    frames = [
        (np.arange(n), way, device, np.full(n, -1), 5),
        (np.flatnonzero(message >= 0), *(None,) * 3, 0),
        (n + np.arange(len(of)), WAY_OF[of % len(WAY_OF)], of // len(WAY_OF), of % len(WAY_OF), 0),
    ]
    at = message >= 0
    frames[1] = (np.flatnonzero(at), WAY_OF[message[at]], device[at], message[at], 0)
    day = draw.integers(0, 182, n + len(of))
    amount = 70 * np.exp(0.6 * draw.normal(size=n + len(of)) - 0.18)
    parts = [
        pd.DataFrame(
            {
                "checkout_id": who,
                "payment_method": np.array(METHODS)[m],
                "device": np.array(DEVICES)[d],
                "status": np.where(text < 0, "paid", "failed"),
                "message": np.where(text < 0, None, np.array(TEXTS)[text]),
                "amount": amount[who],
                "attempted_at": pd.Timestamp("2026-05-01 10:00")
                + pd.to_timedelta(day[who] * 1440 + minute, "min"),
            }
        )
        for who, m, d, text, minute in frames
    ]
    frame = pd.concat(parts, ignore_index=True).assign(currency="EUR")
    frame = frame.assign(
        attempt_id=np.arange(len(frame)), checkout_id=frame.checkout_id.astype(str)
    )
    found = payment_messages(frame, as_of=AS_OF, margin_per_order=MARGIN, currency="EUR")
    rate = (truth.failed * (1 - truth.won_back)).set_axis(
        pd.MultiIndex.from_frame(truth[["method", "device", "message"]])
    )
    every = found.drop_duplicates(["method", "device"]).set_index(["method", "device"]).tried
    true = []
    for row in found.itertuples():
        others = [d for d in DEVICES if d != row.device]
        n_others = np.array([every.get((row.method, d), 0) for d in others])
        usual = np.average([rate[row.method, d, row.message] for d in others], weights=n_others)
        own = usual if row.device == "all" else rate[row.method, row.device, row.message]
        true.append(row.tried * (own - usual) * MARGIN)
    worst = truth[truth.is_planted].iloc[0]
    return found.assign(true=true), (worst.method, worst.device, worst.message)


@pytest.fixture(scope="module")
def ten_shops():
    return [planted(seed) for seed in REPORTED]


def test_the_planted_message_is_first_and_mended_on_eight_of_ten_seeds(ten_shops):
    hits = 0
    for found, worst in ten_shops:
        made = attempt_decisions(found, NOTHING, as_of=AS_OF, **DAYS)
        first = f"{worst[0]}, {worst[1]}: {worst[2]}"
        hits += len(made) > 0 and made.subject.iloc[0] == first
        hits -= tuple(found.iloc[0][["method", "device", "message"]]) != worst and len(made) > 0
    assert hits >= 8


def test_the_money_of_messages_lies_within_its_interval_at_its_level(ten_shops):
    """Of 90 %; every message judged on ten seeds, and the planted ones apart."""
    judged = [f[f.lost.notna()] for f, _ in ten_shops]
    inside = [(f.lost_low <= f.true) & (f.true <= f.lost_high) for f in judged]
    assert 0.84 <= np.concatenate(inside).mean() <= 0.97
    assert sum(i.iloc[0] for i in inside) >= 7


def test_hardly_any_message_that_loses_no_more_than_usual_is_mended(ten_shops):
    """Of ten seeds, decisions on another message than the planted one."""
    others = 0
    for found, worst in ten_shops:
        made = attempt_decisions(found, NOTHING, as_of=AS_OF, **DAYS)
        others += sum(s != f"{worst[0]}, {worst[1]}: {worst[2]}" for s in made.subject)
    assert others <= 2


def test_a_providers_report_is_read_with_its_answers_and_without_the_card_holder(tmp_path):
    load(SAMPLES / "adyen_payments.csv", into=tmp_path / "s")
    query = (
        "SELECT checkout_id, payment_method, status, message, CAST(attempted_at AS VARCHAR) "
        "FROM '@payment_attempts.parquet' ORDER BY attempt_id"
    )
    assert rows(tmp_path / "s", query) == [
        ("1001", "visa", "failed", "51 : Insufficient funds", "2026-10-02 08:15:00"),
        ("1001", "paypal", "paid", None, "2026-10-02 08:17:30"),
        ("1002", "mc", "paid", None, "2026-10-02 09:00:00"),
        ("1003", "visa", "failed", "Issuer Unavailable", "2026-10-02 10:00:00"),
        ("1004", "ideal", "failed", None, "2026-10-02 10:30:00"),
        ("1005", "ideal", "open", None, "2026-10-02 11:00:00"),
    ]
    text = b"".join(f.read_bytes() for f in (tmp_path / "s").rglob("*") if f.is_file())
    assert b"A Person" not in text and b"person@example" not in text
