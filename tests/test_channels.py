"""Channel accounts checked by hand, extracts with everything wrong with them, and a
plan that says when to wait.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.channel_roi.channels import (
    budget_channels,
    channel_headline,
    channel_months,
    channel_pnl,
    claims,
    credit_models,
    known_channel_share,
    margin_steps,
    owned,
    tempting_roas,
)
from playbook.chapters.channel_roi.decisions import Findings, channel_decisions
from playbook.chapters.channel_roi.geo_tests import geo_plan, geo_readings
from playbook.chapters.channel_roi.media_days import media_frame
from playbook.chapters.channel_roi.media_model import demand_chase, fit_media, held_out_weeks
from playbook.chapters.channel_roi.media_plan import (
    budget_bounds,
    plan_budget,
    response_curves,
    response_table,
)
from playbook.errors import PlaybookError
from playbook.measures.ad_spend import read_extract
from playbook.runs.results import Results

AS_OF = dt.date(2026, 10, 31)


def orders(*rows):
    """(order_id, day, customer, channel, revenue, margin, is_first) each."""
    columns = ["order_id", "ordered_on", "customer_id", "channel", "revenue", "margin", "is_first"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["ordered_on"] = pd.to_datetime(frame.ordered_on)
    return frame.assign(ordered_at=frame.ordered_on, is_left_truncated=False, region="north")


def ads(*rows, **columns):
    frame = pd.DataFrame(rows, columns=["day_on", "channel", "spend"])
    frame["day_on"] = pd.to_datetime(frame.day_on)
    return frame.assign(
        **(
            {"region": "all", "clicks": 10, "platform_orders": 2.0, "platform_value": 200.0}
            | columns
        )
    )


def every_day(first, last, channel="search", spend=10.0, **columns):
    return ads(*[(day, channel, spend) for day in pd.date_range(first, last)], **columns)


SHOP = orders(
    ("1", "2026-07-03", "ann", "search", 100.0, 40.0, True),
    ("2", "2026-07-09", "bob", "search", 200.0, 90.0, True),
    ("3", "2026-07-20", "ann", "direct", 50.0, 20.0, False),
    ("4", "2026-10-20", "cat", "search", 80.0, 30.0, True),
    ("5", "2026-10-21", None, None, 60.0, 25.0, False),
)
BACK = pd.DataFrame({"refund_id": ["r"], "order_id": ["2"], "amount": [100.0], "margin": [-55.0]})


def accounts(spend=None):
    log = read_extract(
        every_day("2026-07-01", "2026-10-31") if spend is None else spend, as_of=AS_OF
    )
    return channel_months(SHOP, spend=log, refunds=BACK, as_of=AS_OF), log


def test_the_accounts_of_a_month_by_hand():
    months, _ = accounts()
    july = months.set_index(["channel", "month"]).loc[("search", "2026-07")]
    assert july[
        ["orders", "new_customers", "sales", "refunds", "revenue", "margin", "spend", "clicks"]
    ].tolist() == [2, 2, 300, 100, 200, 75, 310, 310]
    assert july.status == "complete"
    assert months.set_index(["channel", "month"]).status[("search", "2026-10")] == "partial"
    assert months.sales.sum() == SHOP.revenue.sum()
    assert np.isnan(months.set_index(["channel", "month"]).spend[("direct", "2026-07")])


def test_break_even_is_where_poas_passes_one():
    months, _ = accounts()
    row = channel_pnl(months, n_months=1).set_index("channel").loc["search"]
    assert (
        row.first_month == "2026-08"
    )  # the last month whose refunds are in; nothing was sold in it
    assert np.isnan(row.be_roas)
    row = (
        channel_pnl(months[months.month == "2026-07"], n_months=1)
        .set_index("channel")
        .loc["search"]
    )
    assert row.roas == pytest.approx(300 / 310)
    assert row.be_roas == pytest.approx(300 / 75)
    assert row.poas == pytest.approx(row.roas / row.be_roas)
    assert row.roi == pytest.approx((200 - (200 - 75 + 310)) / (200 - 75 + 310))
    assert row.low < row.roi < row.high
    assert row.ncac == 155


def test_break_even_follows_the_dictionary():
    """55 % gross margin, 3.5 % fee, 2 % other, 6 % refunds whose goods come back: 2.15."""
    one = orders(("1", "2026-07-03", "ann", "search", 1000.0, 495.0, True))
    back = pd.DataFrame(
        {"refund_id": ["r"], "order_id": ["1"], "amount": [60.0], "margin": [-0.495 * 60]}
    )
    log = read_extract(every_day("2026-07-01", "2026-07-31"), as_of=AS_OF)
    pnl = channel_pnl(channel_months(one, spend=log, refunds=back, as_of=AS_OF))
    assert pnl.be_roas[0] == pytest.approx(2.15, abs=0.005)


def test_shuffled_rows_give_the_same_accounts():
    months, log = accounts()
    again = channel_months(
        SHOP.sample(frac=1, random_state=3), spend=log, refunds=BACK, as_of=AS_OF
    )
    pd.testing.assert_frame_equal(months, again)


def test_unknown_channels_are_kept_and_their_share_is_the_gate():
    months, _ = accounts()
    assert "unknown" in set(months.channel)
    known = known_channel_share(SHOP).iloc[0]
    assert known.known_share == 0.8
    assert known.low < 0.8 < known.high


def test_margin_is_missing_where_costs_are_not_known():
    months = channel_months(
        SHOP.assign(margin=[40.0, None, 20.0, None, None]), spend=None, as_of=AS_OF
    )
    search = months[(months.channel == "search") & (months.month == "2026-07")].iloc[0]
    assert np.isnan(search.margin)
    assert search.sales == 300
    assert channel_pnl(months).poas.isna().all()


def test_spend_without_orders_has_costs_but_no_ratio_made_up():
    months, _ = accounts(every_day("2026-07-01", "2026-10-31", channel="radio"))
    radio = channel_pnl(months).set_index("channel").loc["radio"]
    assert radio.spend == 620  # July and August: later months are not ripe
    assert (radio.orders, radio.roas, radio.poas) == (0, 0, 0)
    assert np.isnan(radio.be_roas)
    assert np.isnan(radio.ncac)


def test_an_extract_loaded_twice_is_counted_once_and_named():
    regions = pd.concat(
        [every_day("2026-10-01", "2026-10-31", region=r, spend=5.0) for r in ("north", "south")]
    )
    twice = pd.concat([regions, every_day("2026-10-06", "2026-10-08", spend=10.0)])
    log = read_extract(twice, as_of=AS_OF)
    assert log.daily.spend.sum() == 310
    found = log.findings.iloc[0]
    assert (found.finding, found.n_days, found.amount) == ("loaded twice", 3, 30.0)


def test_an_extract_that_ends_mid_month_leaves_the_month_unknown():
    both = pd.concat(
        [
            every_day("2026-08-01", "2026-10-31"),
            every_day("2026-08-01", "2026-10-14", channel="display"),
        ]
    )
    months, log = accounts(both)
    assert log.findings[["channel", "finding", "n_days"]].to_numpy().tolist() == [
        ["display", "extract ends early", 17]
    ]
    spend = months.set_index(["channel", "month"]).spend
    assert np.isnan(spend[("display", "2026-10")])
    assert spend[("display", "2026-09")] == 300
    assert (
        channel_headline(months).set_index(["metric", "month"]).status[("roas", "2026-10")]
        == "unobserved"
    )


def test_an_extract_that_ends_everywhere_is_named_too():
    log = read_extract(every_day("2026-08-01", "2026-10-14"), as_of=AS_OF)
    assert log.findings.finding.tolist() == ["extract ends early"]
    assert log.findings.first_on.iloc[0] == pd.Timestamp("2026-10-15")


def test_gaps_credits_and_missing_amounts_are_named_and_a_pause_is_no_gap():
    frame = every_day("2026-08-01", "2026-10-31")
    frame = frame[~frame.day_on.between("2026-09-04", "2026-09-08")].copy()
    frame.loc[frame.day_on == "2026-08-10", "spend"] = -40.0
    frame.loc[frame.day_on == "2026-08-20", "spend"] = np.nan
    log = read_extract(frame, as_of=AS_OF)
    assert sorted(log.findings.finding) == ["gap", "negative spend", "spend missing"]
    assert (~log.daily.is_known).sum() == 6
    flights = pd.concat(
        [every_day("2026-08-01", "2026-08-14"), every_day("2026-10-20", "2026-10-31")]
    )
    paused = read_extract(flights, as_of=AS_OF)
    assert paused.findings.empty
    assert paused.daily.spend.sum() == 260


def test_no_spend_at_all_is_refused_by_name():
    with pytest.raises(PlaybookError, match="No advertising spend is known"):
        read_extract(ads(("2026-12-01", "search", 5.0)), as_of=AS_OF)


def test_platforms_together_claim_more_than_the_shop_sold():
    months, log = accounts()
    table = claims(months, spend=log, n_months=1).set_index("channel")
    assert table.claim_ratio["search"] == 62 / 1
    assert table.claim_ratio["all"] == 62 / 2
    assert tempting_roas(log.daily).platform_roas.tolist() == [20.0]


def test_cost_that_follows_orders_is_no_budget():
    both = [every_day("2026-08-01", "2026-10-31", channel=c) for c in ("search", "referral")]
    log = read_extract(pd.concat(both), as_of=AS_OF)
    kinds = pd.DataFrame(
        {
            "rule_no": [1, 2],
            "channel": ["search", "referral"],
            "kind": ["search", "referral"],
            "is_paid": [True, False],
        }
    )
    assert budget_channels(log) == ["referral", "search"]
    assert budget_channels(log, kinds) == ["search"]
    months = accounts()[0]
    assert owned(SHOP, kinds, months=months, as_of=AS_OF).empty, "nobody came by it"
    both = pd.concat([months, months.assign(channel="referral")])
    assert owned(SHOP, kinds, months=both, as_of=AS_OF).channel.tolist() == ["referral"]


def test_repeat_shares_count_only_customers_old_enough():
    shop = orders(
        ("1", "2026-07-03", "ann", "live", 10.0, 4.0, True),
        ("3", "2026-07-05", "bob", "live", 10.0, 4.0, True),
        ("2", "2026-07-13", "ann", "direct", 10.0, 4.0, False),
        ("4", "2026-10-25", "eve", "live", 9.0, 4.0, True),
    )
    kinds = pd.DataFrame({"channel": ["live"], "kind": ["live"], "is_paid": [True]})
    row = owned(
        shop, kinds, months=channel_months(shop, spend=None, as_of=AS_OF), as_of=AS_OF
    ).iloc[0]
    assert (row.activated_30d_share, row.repeat_90d_share, row.n_repeat_base) == (0.5, 0.5, 2)
    assert np.isnan(row.cost)


def test_credit_needs_touches():
    empty = pd.DataFrame(
        {
            "journey_id": pd.Series(dtype=str),
            "touch_no": pd.Series(dtype=int),
            "channel": pd.Series(dtype=str),
            "is_conversion": pd.Series(dtype=bool),
        }
    )
    with pytest.raises(PlaybookError, match="no touch to credit"):
        credit_models(empty)


# --- response and plan on a shop whose weeks are made here ------------------------------------------------------------

DAYS = pd.date_range("2025-01-01", "2026-10-31")


def caused(spend, height):
    """Half saturated at a spend of 100 a day; `height` is what the first unit returns."""
    return height * 100 * spend / (spend + 100)


def made_shop(seed=1, strong=4.0, weak=0.3):
    """Daily orders whose margin follows two channels, spent in weekly flights with dark
    weeks.
    """
    rng = np.random.default_rng(seed)
    week = np.arange(len(DAYS)) // 7
    flights = {
        c: 50
        * np.exp(0.6 * rng.standard_normal(week.max() + 1))
        * (rng.random(week.max() + 1) > 0.2)
        for c in ("strong", "weak")
    }
    spend = {c: flight[week] for c, flight in flights.items()}
    margin = (
        400
        + caused(spend["strong"], strong)
        + caused(spend["weak"], weak)
        + 25 * rng.standard_normal(len(DAYS))
    )
    shop = orders(
        *[
            (f"o{i}", day, f"c{i}", "strong", 2 * m, m, True)
            for i, (day, m) in enumerate(zip(DAYS, margin, strict=True))
        ]
    )
    paid = pd.concat([ads(*zip(DAYS, [c] * len(DAYS), s, strict=True)) for c, s in spend.items()])
    return shop, read_extract(paid, as_of=AS_OF)


def responding(shop, log, channels=None, **knobs):
    """The fitted response of a shop, and its basis."""
    channels = channels or budget_channels(log)
    weeks, basis = media_frame(shop, spend=log, channels=channels, as_of=AS_OF)
    return fit_media(weeks, **knobs), basis


def decide(plan, months, model, tests=None, strategic=()):
    found = Findings(plan, channel_pnl(months), months, response_table(model), tests)
    return channel_decisions(found, as_of=AS_OF, currency="EUR", strategic=strategic)


@pytest.fixture(scope="module")
def fitted():
    shop, log = made_shop()
    model, basis = responding(shop, log)
    assert basis == "margin"
    return shop, log, model


def test_the_strong_channel_is_raised_and_the_weak_one_lowered(fitted):
    shop, log, model = fitted
    table = response_table(model).set_index("channel")
    spent = log.daily[log.daily.channel == "strong"].spend
    truth = caused(spent, 4.0).sum() / spent.sum()
    assert table.average_return["strong"] == pytest.approx(truth, rel=0.15)
    assert table.average_low["strong"] * 0.95 < truth < table.average_high["strong"] * 1.05
    assert table.average_return["strong"] > 1 > table.average_return["weak"]
    plan = plan_budget(model, largest_step=0.2)
    moves = plan.table.set_index("channel")
    assert (moves.action["strong"], moves.action["weak"]) == ("raise", "lower")
    assert plan.verdict == "move"
    assert plan.low > 0
    months = channel_months(shop, spend=log, as_of=AS_OF)
    decided = decide(plan, months, model)
    assert decided.set_index("subject").action["strong"] == "raise"
    kept = Results("03_channel_roi", "")
    kept.decide(decided)
    assert len(kept.decisions()) == 2
    steps = margin_steps(channel_pnl(months)).set_index("step").amount
    assert steps["left after ads"] == pytest.approx(steps["margin before ads"] + steps["ad spend"])
    assert response_curves(model).groupby("channel").size().tolist() == [40, 40]
    assert demand_chase(model).is_flagged.dtype == bool


def test_floors_caps_and_impossible_totals(fitted):
    model = fitted[2]
    now = response_table(model).set_index("channel").spend_now.sum() * 365.25 / 84
    bounded = plan_budget(model, caps={"strong": 1.0 * now}, floors={"weak": 0.0})
    assert bounded.table.plan.sum() == pytest.approx(now)
    with pytest.raises(PlaybookError, match="No split meets the bounds"):
        plan_budget(model, total=0.1 * now)
    with pytest.raises(PlaybookError, match="No spend is known for radio"):
        plan_budget(model, floors={"radio": 5.0})
    forced = plan_budget(model, spend_all=True).table.set_index("channel")
    assert forced.plan["(not spent)"] == pytest.approx(0, abs=1e-6 * now)


def test_where_the_gain_is_unsure_the_advice_is_to_hold_and_test():
    shop, log = made_shop(seed=2, strong=1.0, weak=1.0)
    noisy = shop.assign(
        margin=shop.margin + 400 * np.random.default_rng(3).standard_normal(len(shop))
    )
    model, _ = responding(noisy, log)
    plan = plan_budget(model)
    assert plan.low < 0 < plan.high
    assert plan.verdict == "hold and test"
    assert set(plan.table.action) <= {"hold", "hold and test", ""}
    now = plan.table.now.sum()
    assert (
        plan_budget(model, total=0.9 * now).verdict == "must move"
    )  # today's split is over the ceiling
    months = channel_months(noisy, spend=log, as_of=AS_OF)
    decided = decide(plan, months, model)
    assert "test" in set(decided.action)
    assert set(decided.action) <= {"hold", "test", "pause"}
    tested = decided.subject[decided.action == "test"].iloc[0]
    for worth, said in (
        (True, "28 days without it in r1 would show a return from 1.2 on"),
        (False, "every other week"),
    ):
        tests = pd.DataFrame(
            {
                "channel": [tested],
                "days": [28],
                "regions": ["r1"],
                "smallest_return": [1.2],
                "spend_moved": [500.0],
                "is_worthwhile": [worth],
            }
        )
        again = decide(plan, months, model, tests)
        assert said in again.set_index("subject").reason[tested]


def test_a_channel_with_a_floor_is_strategic_and_never_paused(fitted):
    shop, log, model = fitted
    lost = shop.assign(margin=0.0, channel="weak")
    months = channel_months(lost, spend=log, as_of=AS_OF)
    plan = plan_budget(model)
    assert decide(plan, months, model).set_index("subject").action["weak"] == "pause"
    kept = decide(plan, months, model, strategic={"weak"}).set_index("subject")
    assert kept.action["weak"] == "hold"
    assert kept.reason["weak"].startswith("strategic")


def test_bounds_are_read_from_one_line_or_refused():
    assert budget_bounds("search: 500, paid: social: 12.5") == {
        "search": 500.0,
        "paid: social": 12.5,
    }
    assert budget_bounds("") == {}
    for text in ("search 500", "search: many", "search: -1", "search: nan"):
        with pytest.raises(PlaybookError, match="which channel may spend how much"):
            budget_bounds(text)


def test_a_planned_test_would_find_what_it_says_and_wants_regions():
    rng = np.random.default_rng(8)
    days = pd.date_range("2025-11-02", AS_OF)
    common = 100 + 10 * np.sin(np.arange(len(days)) / 9) + rng.normal(0, 2, len(days))
    rows = [
        (f"{region}/{i}", day, None, "search", 100.0, common[i] + rng.normal(0, 2), False)
        for region in range(9)
        for i, day in enumerate(days)
    ]
    shop = orders(*rows).assign(region=np.repeat([f"r{i}" for i in range(9)], len(days)))
    response = pd.DataFrame(
        {"channel": ["search"], "spend_now": [630.0], "average_low": [0.2], "average_high": [3.0]}
    )
    plan = geo_plan(shop, response=response, as_of=AS_OF, days=(14, 28)).set_index("days")
    assert plan.n_control.tolist() == [6, 6]
    assert (plan.smallest_lift <= 0.045).all()
    # 900 of margin a day and 90 of spend: a lift of one per cent of margin is a return of a tenth
    assert plan.smallest_return.to_numpy() == pytest.approx(
        10 * plan.smallest_lift.to_numpy(), rel=0.02
    )
    assert plan.spend_moved[28] == pytest.approx(28 * 30, rel=0.02)
    assert plan.is_worthwhile.all()
    short = geo_plan(
        shop[shop.ordered_on >= "2026-09-21"], response=response, as_of=AS_OF, days=(14,)
    ).iloc[0]
    assert short.note == "needs 42 days of sales by region, 41 are there"
    assert geo_plan(shop.assign(region=None), response=response, as_of=AS_OF).empty


def test_where_spend_of_the_last_weeks_is_not_known_nothing_is_advised(fitted):
    shop, log, _ = fitted
    early = log.daily[(log.daily.channel == "strong") | (log.daily.day_on <= "2026-08-31")]
    cut = read_extract(early.drop(columns="is_known").assign(region="all"), as_of=AS_OF)
    assert cut.findings.finding.tolist() == ["extract ends early"]
    model, _basis = responding(shop, cut, ["strong", "weak"], steps=60)
    table = response_table(model).set_index("channel")
    assert table.note["weak"] == "spend of the last four weeks is not known: no advice"
    assert np.isnan(table.spend_now["weak"])
    assert table.spend_now["strong"] > 0
    assert table.average_return["weak"] > 0  # what it returned before can still be said
    plan = plan_budget(model).table.set_index("channel")
    assert np.isnan(plan.plan["weak"])
    assert plan.drop("weak").plan.sum() == pytest.approx(plan.drop("weak").now.sum())
    months = channel_months(shop, spend=cut, as_of=AS_OF)
    decided = decide(plan_budget(model), months, model).set_index("subject")
    assert decided.action["weak"] not in ("raise", "lower")
    held = held_out_weeks(model.weeks)
    assert len(held) == 8
    assert held.week_on.max() < pd.Timestamp("2026-09-01")  # the last weeks that can be scored


def test_a_test_in_a_shop_without_regions_is_named_and_not_read():
    test = pd.DataFrame(
        {
            "test_id": "t",
            "region": ["north", "south"],
            "arm": ["treated", "control"],
            "channel": "search",
            "starts_on": pd.Timestamp("2026-10-01"),
            "ends_on": pd.Timestamp("2026-10-31"),
        }
    )
    spend = every_day("2026-07-01", "2026-10-31")
    read = geo_readings(SHOP.assign(region=None), geo_tests=test, ad_spend=spend, as_of=AS_OF).iloc[
        0
    ]
    assert read.note.startswith("needs treated regions")


def test_without_costs_the_response_is_revenue_and_says_so(fitted):
    shop, log, _ = fitted
    bare = shop.assign(margin=None).astype({"margin": float})
    _weeks, basis = media_frame(bare, spend=log, channels=["strong"], as_of=AS_OF)
    assert basis == "revenue"


def test_a_geo_test_is_read_in_margin_and_in_spend():
    rng = np.random.default_rng(6)
    regions = [f"r{i}" for i in range(8)]
    days = pd.date_range("2026-05-01", "2026-10-31")
    common = 100 + 10 * np.sin(np.arange(len(days)) / 9) + rng.normal(0, 2, len(days))
    rows, paid = [], []
    for region in regions:
        for i, day in enumerate(days):
            on = region == "r0" and day >= pd.Timestamp("2026-10-01")
            margin = common[i] + rng.normal(0, 1) + (30 if on else 0)
            rows.append((f"{region}/{i}", day, None, "search", 0.0, margin, False))
            paid.append((day, "search", 20.0 if on else 10.0))
    shop = orders(*rows).assign(region=np.repeat(regions, len(days)), revenue=100.0)
    spend = ads(*paid).assign(region=np.repeat(regions, len(days)))
    test = pd.DataFrame(
        {
            "test_id": "t",
            "region": regions,
            "arm": ["treated"] + ["control"] * 7,
            "channel": "search",
            "starts_on": pd.Timestamp("2026-10-01"),
            "ends_on": pd.Timestamp("2026-10-31"),
        }
    )
    read = geo_readings(shop, geo_tests=test, ad_spend=spend, as_of=AS_OF).iloc[0]
    assert read.att == pytest.approx(30, abs=2)
    assert read.factor == pytest.approx(2)
    assert read.roi == pytest.approx(3, abs=0.2)
    assert read.low < 30 < read.high
    blind = geo_readings(
        shop, geo_tests=test, ad_spend=spend.assign(region="all"), as_of=AS_OF
    ).iloc[0]
    assert "spend by region is not known" in blind.note
    assert np.isnan(blind.roi)
