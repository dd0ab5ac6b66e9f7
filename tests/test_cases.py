"""Every case can be solved from its store alone, and the marks are what the case says:
right, half, wrong.
"""

from pathlib import Path

import pandas as pd
import pytest

from playbook.detect.incidents import KINDS
from playbook.errors import PlaybookError
from playbook.messages import read_yaml, speaking
from playbook.training.cases import CASES, NEAR_DAYS, TOLD, CaseFile, findings, open_case
from playbook.training.learners import records


def best(case):
    """The decision with full marks."""
    return max(case.decisions, key=lambda d: case.decisions[d][0])


def days_of(orders):
    return pd.to_datetime(orders.ordered_on)


def doubled_spend(shop):
    ads = shop.ad_spend.to_pandas()
    doubled = ads[(ads.channel == "search") & (ads.region == "all")]
    return doubled.day_on.min(), doubled.spend.astype(float).sum()


def burst(shop):
    orders = shop.orders.to_pandas()
    month = orders[days_of(orders) >= "2026-04-01"]
    lines = shop.order_lines.to_pandas().merge(
        month[["order_id", "region", "ordered_on"]], on="order_id"
    )
    daily = lines.assign(day=days_of(lines)).groupby(["sku", "region", "day"]).order_id.nunique()
    sku, region, _ = daily.idxmax()
    days = daily[sku][region]
    return days[days >= 3].index.min(), days[days >= 3].sum()


def discounted_margin(shop):
    """The sale's days against as many usual days before it, by what all orders of a day
    brought.
    """
    sale = shop.promotions.to_pandas().sort_values("starts_on").iloc[-1]
    first, last = pd.Timestamp(sale.starts_on), pd.Timestamp(sale.ends_on)
    orders = shop.sales_orders.to_pandas()
    daily = orders.margin.astype(float).groupby(days_of(orders)).sum()
    usual = daily[first - pd.Timedelta(days=28) : first - pd.Timedelta(days=1)]
    return first, (daily[first:last] - usual.mean()).sum()


def late_parcels(shop):
    orders = shop.orders.to_pandas()
    sent = orders[orders.shipped_at >= "2026-06-01"]
    late = sent[(sent.delivered_at.fillna(pd.Timestamp("2026-07-01")) > sent.promised_at)]
    own = late[late.carrier == late.carrier.mode().iloc[0]]
    share = own.shipped_at.dt.floor("D").value_counts().sort_index()
    return share[share >= 3].index[0], len(own)


def below_cost(shop):
    lines = shop.sales_lines.to_pandas()
    lines = lines.assign(
        day=days_of(lines), revenue=lines.revenue.astype(float), cost=lines.cost.astype(float)
    )
    month = lines[lines.day >= "2026-07-01"]
    bad = month[month.revenue < month.cost]
    sku, days = bad.sku.mode().iloc[0], bad.day.unique()
    usual = lines[(lines.sku == sku) & ~lines.day.isin(days) & (lines.day >= "2026-05-01")]
    earned = (usual.revenue - usual.cost).sum() / usual.day.agg(
        lambda d: (d.max() - d.min()).days + 1
    )
    return days.min(), (bad.cost - bad.revenue).sum() + earned * 2


def missing_orders(shop):
    orders = shop.orders.to_pandas()
    orders = orders[(days_of(orders) >= "2026-08-01") & (orders.device == "mobile")]
    daily = (
        days_of(orders)
        .value_counts()
        .reindex(pd.date_range("2026-08-01", "2026-08-31"), fill_value=0)
    )
    four = daily.rolling(4).sum()
    last = four.idxmin()
    window = daily[last - pd.Timedelta(days=3) : last]
    return window.index[0], (daily.drop(window.index).mean() * 4 - window.sum())


ROUTES = {
    1: doubled_spend,
    2: burst,
    3: discounted_margin,
    4: late_parcels,
    5: below_cost,
    6: missing_orders,
}


@pytest.mark.parametrize("number", CASES)
def test_a_case_is_solved_from_its_store_by_plain_tables(number):
    case = open_case(number)
    day, size = ROUTES[number](case.shop)
    grade = case.grade(find=case.case.finding, day=day, size=size, decision=best(case.case))
    assert (grade.finding, grade.decision) == (1.0, 1.0) and grade.sizing >= 0.5, (
        day,
        size,
        case._size,
    )
    assert case.shop.problems.empty and case.shop.month == case.month
    assert not list(case.store.rglob("truth")) and not list(case.store.rglob("size.json"))


def shown(number, language):
    """What a case prints, without its store."""
    with speaking(language):
        return str(CaseFile(CASES[number], Path("nowhere"), 1.0))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_list_of_a_case_gives_its_finding_away(language):
    """Findings, what is sized and what may be decided are the same in every case."""
    lists = {shown(number, language).split("\n\n", 1)[1] for number in CASES}
    assert len(lists) == 1
    (told,) = lists
    assert all(name in told for name in ("double load", "season"))
    for case in CASES.values():
        assert all(choice["choice"][language] in told for choice in case.choices)
        assert "1.0" in {str(mark) for mark, _ in case.decisions.values()}


def test_a_decision_of_another_case_is_taken_and_has_no_mark():
    case = CaseFile(CASES[6], Path("nowhere"), 60.0)
    grade = case.grade(
        find="checkout fault", day="11 Aug 2026", size="62", decision="Cut the search budget"
    )
    assert (grade.finding, grade.sizing, grade.decision) == (1.0, 1.0, 0.0)
    assert "something else" in grade.advice[-1]


def test_a_day_or_a_size_with_two_readings_is_asked_back(capsys):
    case = CaseFile(CASES[6], Path("nowhere"), 60.0)
    assert case.file("checkout fault", "08/11/2026", 60, best(case.case)) is None
    assert case.file("checkout fault", "2026-08-11", "1.234", best(case.case)) is None
    assert capsys.readouterr().out.count("Not graded") == 2


def test_a_perfect_hand_in_has_full_marks_and_no_word_of_blame():
    case = open_case(1)
    grade = case.grade(
        find="Double  Load", day="2026-03-07", size=case._size * 1.04, decision=best(case.case)
    )
    assert grade.score == 1.0
    assert grade.advice == (f"Decision: {case.case.decisions[best(case.case)][1]}",)


def test_half_marks_for_a_wrong_day_a_near_size_and_a_safe_decision():
    case = open_case(1)
    safe = next(d for d, (mark, _) in case.case.decisions.items() if mark == 0.5)
    grade = case.grade(find="double load", day="2026-03-20", size=case._size * 1.2, decision=safe)
    assert (grade.finding, grade.sizing, grade.decision) == (0.5, 0.5, 0.5)
    assert len(grade.advice) == 3 and "Full marks from" in grade.advice[1]


def test_a_wrong_find_is_told_what_it_would_have_looked_like_and_its_decision_counts_nothing():
    case = open_case(6)
    grade = case.grade(find="season", day="2026-08-11", size=0, decision=best(case.case))
    assert grade.score == 0.0
    assert findings()["season"] in grade.advice[0] and str(round(case._size)) not in " ".join(
        grade.advice
    )


def test_a_loss_handed_in_as_a_gain_is_a_wrong_sign():
    case = open_case(3)
    grade = case.grade(
        find=case.case.finding, day=case.case.day, size=-case._size, decision=best(case.case)
    )
    assert grade.sizing == 0.0 and "sign" in grade.advice[0]


def test_dots_are_not_attempted_and_a_slip_of_the_pen_is_said_in_one_line(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("PLAYBOOK_LEARNER_DIR", str(tmp_path))
    case = open_case(2)
    assert case.file() is None and "not attempted" in capsys.readouterr().out
    assert case.file("fake order", "2026-04-20", 1, best(case.case), learner="ann") is None
    assert case.file("fake orders", "soon", 1, best(case.case), learner="ann") is None
    assert capsys.readouterr().out.count("Not graded") == 2 and records("ann") == []
    case.file("fake orders", "2026-04-20", case._size, best(case.case), learner="ann")
    kept = records("ann")[-1]
    assert (kept["item"], kept["score"], kept["parts"]["sizing"]) == ("case.2", 1.0, 1.0)
    with pytest.raises(PlaybookError, match="no case 9"):
        open_case(9)


def test_a_case_built_twice_has_the_same_bytes(tmp_path, monkeypatch):
    found = []
    for place in ("a", "b"):
        monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / place))
        store = open_case(4).store
        found.append(
            {p.name: p.read_bytes() for p in sorted(store.parent.rglob("*")) if p.is_file()}
        )
    assert found[0] == found[1] and len(found[0]) > 20


def test_every_finding_that_is_an_incident_is_a_kind_of_the_detectors():
    """A promotion that somebody meant and a season are none."""
    told = {name: f.get("told_as") for name, f in read_yaml(TOLD)["findings"].items()}
    assert [name for name, kind in told.items() if kind not in KINDS] == [
        "promotion lost money",
        "season",
    ]


@pytest.mark.parametrize("number", [n for n in CASES if n != 3])
def test_the_table_of_incidents_tells_the_case_as_the_marks_do(number):
    """One truth: kind and first day of the detectors are those that are graded."""
    case = open_case(number)
    kind = read_yaml(TOLD)["findings"][case.case.finding]["told_as"]
    told = case.incidents[case.incidents.kind == kind]
    assert len(told), case.incidents[["kind", "subject", "starts_on"]]
    gap = pd.Timestamp(told.iloc[0].starts_on) - pd.Timestamp(case.case.day)
    assert abs(gap.days) <= NEAR_DAYS
