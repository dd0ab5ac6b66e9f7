"""The rules that hold for the decisions of any month, and months that break each of them."""

import pandas as pd
import pytest
from zoo_rules import (
    Month,
    decisions_lie_ahead,
    listed_rows_can_be_signed,
    the_list_says_no_more_than_its_chapter,
)

from playbook.chapters.registry import chapters, room_facts
from playbook.decisions import Decision, is_settled
from playbook.messages import label, read_yaml, speaking
from playbook.runs.results import Results
from playbook.tables import empty, frame_of

SIDES = ("", "under", "over")


def a_month(folder, *decisions, ranked=(), floor=5.0):
    """A month of October with one chapter's decisions and the review's list."""
    month = folder / "2026-10"
    results = Results("02_goal_setting", str(month), month="2026-10", store="corner")
    results.decide(*decisions)
    review = Results("11_monthly_review", str(month), month="2026-10", store="corner")
    won = ["worth", "worth_low", "worth_high"][: len(ranked[0]) - 1 if ranked else 1]
    rows = results.decisions().merge(pd.DataFrame(ranked, columns=["subject", *won]))
    if len(rows):
        review.table("ranked", rows)
        review.table("conflicts", empty("monthly_review.conflicts"))
        review.table("list_floor", frame_of("monthly_review.list_floor", [(floor,)]))
    (month / "run.json").write_text('{"month": "2026-10", "as_of": "2026-10-31"}')
    return Month(month)


def goal(subject, **more):
    about = {"owner_role": "head", "due_on": "2026-11-14", "revisit_on": "2026-12-14", "size": 1.0}
    return Decision("kpi", subject, "plan again", **about | more)


LOWER = {"kind": "channel_roi.budget_lower", "threshold": 2.0}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (goal("pacing 2026-11"), ""),
        (goal("pacing 2026-10"), "that month is over"),
        (goal("pacing 2026-10", is_idle=True), ""),
        (goal("aov next month", due_on="2026-10-31"), "due_on 2026-10-31"),
        (goal("aov next month", revisit_on="2026-10-01"), "revisit_on 2026-10-01"),
        (goal("display", evidence_value=1.0, **LOWER), ""),
        (goal("display", evidence_value=3.0, **LOWER), "over by its stop rule"),
    ],
)
def test_what_is_over_is_no_decision(tmp_path, row, told):
    lines = list(decisions_lie_ahead(a_month(tmp_path, row)))
    assert len(lines) == bool(told) and all(told in line for line in lines)


@pytest.mark.parametrize(
    ("row", "worth", "told"),
    [
        (goal("mug"), 9.0, ""),
        (goal("mug", size=None), 9.0, "has no size"),
        (goal("mug", owner_role=""), 9.0, "has no owner of the team"),
        (goal("mug"), 4.0, "is under the floor"),
        (goal("mug", is_idle=True), 9.0, "changes nothing"),
    ],
)
def test_a_listed_row_has_a_size_an_owner_and_is_worth_the_floor(tmp_path, row, worth, told):
    lines = list(listed_rows_can_be_signed(a_month(tmp_path, row, ranked=[("mug", worth)])))
    assert len(lines) == bool(told) and all(told in line for line in lines)


def test_two_listed_rows_do_not_pull_one_subject_two_ways(tmp_path):
    rows = [Decision("sku", "mug", verb, size=1.0, owner_role="head", verb=verb) for verb in
            ("raise", "lower")]  # fmt: skip
    month = a_month(tmp_path, *rows, ranked=[("mug", 9.0)])
    assert list(listed_rows_can_be_signed(month)) == ["sku mug: raise and lower"]


CUT = {"effect_kind": "margin_net_of_spend", "effect_period": "month", "size": -25.0}
CLAIM = {"expected_effect": 4.0, "effect_low": 2.0, "effect_high": 7.0}


@pytest.mark.parametrize(
    ("more", "worth", "told"),
    [
        ({}, (12.0, -1.0, 21.0), ""),
        ({}, (21.6, 9.9, 21.0), "wins more than is claimed"),
        ({}, (12.0, 6.0, 33.3), "may win more than is claimed"),
        ({"effect_low": -2.0}, (12.0, -6.0, 21.0), ""),
        ({"effect_low": -2.0}, (12.0, 1.0, 21.0), "may lose, which the list forgets"),
        ({"effect_high": 26.0}, (12.0, 1.0, 21.0), "saves more than is cut"),
    ],
)
def test_the_list_says_no_more_of_a_cut_than_its_chapter_does(tmp_path, more, worth, told):
    month = a_month(tmp_path, goal("search", **CUT | CLAIM | more), ranked=[("search", *worth)])
    lines = list(the_list_says_no_more_than_its_chapter(month))
    assert len(lines) == bool(told) and all(told in line for line in lines)


def test_every_kind_that_stops_on_a_side_says_which_and_what_it_is_held_against():
    for facts in chapters().values():
        for name, kind in room_facts(facts.room).get("decisions", {}).items():
            assert kind.get("stops", "") in SIDES, (facts.room, name)
            assert "stop_rule" in kind or not kind.get("stops"), (facts.room, name)


def test_evidence_that_is_missing_or_on_the_line_settles_nothing():
    rows = pd.DataFrame({"kind": ["customer_journey.ship"] * 3, "threshold": 0.0})
    rows["evidence_value"] = [0.0, None, -0.1]
    assert is_settled(rows).tolist() == [False, False, True]


def test_every_action_of_every_kind_of_decision_has_its_word_in_chinese(root):
    actions = {
        kind["action"]
        for path in sorted((root / "playbook" / "chapters").glob("*/chapter.yaml"))
        for kind in (read_yaml(path).get("decisions") or {}).values()
        if kind.get("action")
    }
    with speaking("zh"):
        assert {action for action in actions if label("actions", action) == action} == set()
