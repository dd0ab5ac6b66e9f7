"""Which forms of an answer are taken, which are refused and which are asked back: a table per
kind, by hand. Numbers are right in the digits asked for; what is counted has to be exact.
"""

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from playbook.training.compare import difference
from playbook.training.exercise import asked, every_exercise
from playbook.training.form import (
    KINDS_OF_ANSWER,
    NUMBERS,
    NotThisKind,
    agrees,
    form_of,
    read,
)
from playbook.training.typed import Unclear

SAME_DAY = dt.date(2026, 10, 3)
PRICES = {"tea": 12.34, "cups": 5.0}
FIVE_TWO_ONE_SEVEN = (
    5217,
    5217.0,
    np.int64(5217),
    np.float32(5217),
    Decimal("5217"),
    Fraction(5217),
    "5217",
    "5,217",
    "5.217",
    "5 217",
    "5'217",
    "5_217".replace("_", "\u00a0"),
    "５２１７",
    "5217 orders",
    "5217笔",
    [5217],
    {5217},
    pd.Series([5217]),
    pd.DataFrame({"n": [5217]}),
    np.array([[5217]]),
    (5, 217),
    "5.217e3",
)

# form, expected value, forms that are right
ACCEPTED = [
    ("count", 5217, FIVE_TWO_ONE_SEVEN),
    (
        "money 2",
        1234.5,
        (1234.5, "1234.50", "1,234.50", "1 234,50", "1.234,5", "€1,234.50", "1234.5 EUR")
        + ("¥ 1234.5", "1234.5元", "１２３４.５", Decimal("1234.504"), "1234,5", 1234.496),
    ),
    ("money", 388659.04, (388659, "388,659", "388659.04", "38.8659万", 388659.4, "388 659")),
    (
        "share 2",
        0.2931,
        (0.29, ".29", "0,29", "29 %", "29%", "29.31 %", "29,3%", "２９％", 0.2931, (0, 29)),
    ),
    ("share 4", 0.03498, (0.035, "3.5 %", "3.50%", "0.0350", "3,50 %", Decimal("0.0350"))),
    ("number 2", -0.2537, (-0.25, "−0.25", "-0,25", "–0.25", "-.25", -0.2537, "-25 %")),
    ("days", 23.374, (23, "23", "23 days", "23天", 23.37, np.float64(23.2))),
    (
        "date",
        SAME_DAY,
        ("2026-10-03", "2026/10/3", "2026.10.03", "20261003", "3 Oct 2026", "October 3, 2026")
        + ("2026年10月3日", "2026-10-03T00:00", SAME_DAY, pd.Timestamp("2026-10-03 15:30"))
        + (np.datetime64("2026-10-03"), dt.datetime(2026, 10, 3, 9), ["2026-10-03"]),
    ),
    (
        "month",
        "2026-10",
        ("2026-10", "2026/10", "10/2026", "202610", "Oct 2026", "October 2026", "2026 Oct")
        + ("2026年10月", "2026 年 10 月", pd.Period("2026-10"), SAME_DAY),
    ),
    (
        "weekday",
        "Saturday",
        ("Saturday", "saturday", "Sat", "sat.", "星期六", "周六", "礼拜六", SAME_DAY),
    ),
    (
        "dates",
        {SAME_DAY, dt.date(2026, 10, 4)},
        (
            {"2026-10-03", "2026-10-04"},
            ["2026-10-04", SAME_DAY],
            "2026-10-03, 2026-10-04",
            pd.to_datetime(["2026-10-03", "2026-10-04"]),
            pd.Series(pd.to_datetime(["2026-10-03", "2026-10-04"])),
            np.array(["2026-10-03", "2026-10-04"], dtype="datetime64[D]"),
            ("2026年10月3日", "4 Oct 2026"),
        ),
    ),
    ("choice", "b", ("b", "B", " b ", "b)", "(b)", "b.", "ｂ", "（b）", ["b"], np.str_("b"))),
    (
        "name",
        "purchase, mobile",
        ("purchase, mobile", "Purchase,  Mobile", '"purchase, mobile"', ["purchase, mobile"])
        + (pd.Series(["purchase, mobile"]),),
    ),
    (
        "set",
        {"Tea", "Cups"},
        (
            {"tea", "cups"},
            ["cups", "TEA"],
            ("tea", "cups", "tea"),
            frozenset({"Tea", "Cups"}),
            pd.Series(["tea", "cups"]),
            pd.Index(["tea", "cups"]),
            np.array(["tea", "cups"]),
            pd.DataFrame({"sku": ["tea", "cups"]}),
            pd.Series([3, 1], index=["tea", "cups"]),
            {"tea": 1, "cups": 2},
            "tea, cups",
            "cups；tea",
            "tea、cups",
        ),
    ),
    (
        "list",
        ["tea", "cups", "pots"],
        (
            ["Tea", "cups", "pots"],
            ("tea", "cups", "pots"),
            pd.Series(["tea", "cups", "pots"]),
            pd.Series([9, 5, 1], index=["tea", "cups", "pots"]),
            np.array(["tea", "cups", "pots"]),
            "tea, cups, pots",
            "tea > cups > pots",
            "tea\ncups\npots",
        ),
    ),
    (
        "table money 2",
        PRICES,
        (
            PRICES,
            {"Cups": "5.00", "TEA": "12,34"},
            pd.Series(PRICES),
            pd.DataFrame({"sku": list(PRICES), "price": list(PRICES.values())}),
            pd.DataFrame({"price": PRICES}),
            pd.DataFrame([PRICES]),
            [("tea", 12.34), ("cups", 5)],
            {"tea": Decimal("12.344"), "cups": np.float32(5)},
        ),
    ),
    (
        "table months",
        {"search": 3, "social": "not yet"},
        (
            {"search": 3, "social": "not yet"},
            {"search": "3", "social": "Not  yet"},
            {"search": 3.0, "social": "尚未"},
            pd.Series({"search": 3, "social": "not yet"}),
        ),
    ),
    ("thought", "because", ("because", " Because ")),
]
# form, expected value, forms that are wrong or of another kind
REFUSED = [
    ("count", 5217, (5200, 5216, 5217.5, "5,218", "52.17", "三", "many", "5217 %", True, None)),
    ("money 2", 1234.5, (1234.49, 1235, "1234.5%", "a lot", 1240.6, [1234.5, 1], {"a": 1})),
    ("money", 388659.04, (388658, 388660, "389,000", "38.9万")),
    ("share 2", 0.2931, (0.3, 29.31, "0.29 %", "2.9%", 0.28, "30 %", 0.2969)),
    ("share 4", 0.03498, (0.03, 3.5, "3 %", 0.0351)),
    ("number 2", -0.2537, (0.25, -0.26, -25, "-0.2", False)),
    ("days", 23.374, (24, 22, "three weeks", dt.timedelta(days=23))),
    ("date", SAME_DAY, ("2026-10-04", "October", "2026-13-03", 20261003, "2026-10", "yesterday")),
    ("month", "2026-10", ("2026-11", "October", 10, "2026", "2026-13")),
    ("weekday", "Saturday", ("Sunday", "S", "周八", 6)),
    ("dates", {SAME_DAY}, (set(), {"2026-10-04"}, {"2026-10-03", "2026-10-04"}, 3, {"soon"})),
    ("choice", "b", ("a", "bb", "", 2, {"a", "b"})),
    ("name", "tea", ("teas", 1, ["tea", "cups"])),
    ("set", {"tea", "cups"}, ({"tea"}, {"tea", "cups", "pots"}, set(), 3, {"tea", 3}, "tea")),
    ("list", ["tea", "cups"], (["cups", "tea"], {"tea", "cups"}, ["tea"], 3)),
    (
        "table money 2",
        PRICES,
        (
            {"tea": 12.34},
            {**PRICES, "pots": 1},
            {"tea": 12.34, "cups": 5.01},
            {"tea": "dear", "cups": 5},
            [12.34, 5],
            12.34,
        ),
    ),
    (
        "table months",
        {"search": 3, "social": "not yet"},
        ({"search": 4, "social": "not yet"}, {"search": 3, "social": 6}, {"search": 3}),
    ),
    ("thought", "because", (3,)),
]
# form, what two readers read as two things: asked back, never guessed
ASKED_BACK = [
    ("money 2", ("1,234", "1.234", (1, 234), "€ 1,234")),
    ("money", ("388.659",)),
    ("number 2", ("1,234", "12.345")),
    ("share 3", ("1,234", "12,345 %")),
    ("share 4", ("3,498 %",)),
    ("days", ("1.234",)),
    ("date", ("03/10/2026", "3.10.2026")),
    ("dates", ({"03/10/2026"},)),
    ("table money 2", ({"tea": "1,234", "cups": 5},)),
]


def pairs(table):
    """One test per form that people type."""
    for form, *expected, answers in table:
        for answer in answers:
            # a set has another order in each process
            is_set = isinstance(answer, (set, frozenset))
            shown = f"set of {sorted(map(str, answer))}" if is_set else repr(answer)
            told = re.sub(r"\s+", " ", shown)[:40]
            yield pytest.param(form_of(form), *expected, answer, id=f"{form}-{told}")


def outcome(form, expected, answer):
    """right, wrong, another kind or asked back."""
    right = read(form, expected)
    try:
        given = read(form, answer, right if isinstance(right, (set, dict, list)) else ())
    except Unclear:
        return "asked back"
    except NotThisKind:
        return "another kind"
    return "right" if agrees(form, right, given) else "wrong"


@pytest.mark.parametrize(("form", "expected", "answer"), list(pairs(ACCEPTED)))
def test_a_form_people_type_is_taken(form, expected, answer):
    assert outcome(form, expected, answer) == "right"


@pytest.mark.parametrize(("form", "expected", "answer"), list(pairs(REFUSED)))
def test_a_wrong_value_or_another_kind_is_refused(form, expected, answer):
    assert outcome(form, expected, answer) in ("wrong", "another kind")


@pytest.mark.parametrize(("form", "answer"), list(pairs(ASKED_BACK)))
def test_what_has_two_readings_is_asked_back(form, answer):
    with pytest.raises(Unclear) as asked_back:
        read(form, answer)
    assert len(set(asked_back.value.readings)) == 2


def test_every_kind_of_answer_stands_in_the_table_of_forms():
    for table in (ACCEPTED, REFUSED):
        assert {form_of(form).kind for form, *_ in table} == set(KINDS_OF_ANSWER)


@pytest.mark.parametrize("digits", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", [kind for kind in NUMBERS if kind != "count"])
def test_a_value_rounded_to_the_digits_asked_for_is_right_and_one_further_is_not(kind, digits):
    form = form_of(f"{kind} {digits}")
    for value in np.random.default_rng(digits).normal(scale=3, size=200):
        typed = round(value, digits)
        assert agrees(form, value, typed), (value, typed)
        assert not agrees(form, value, typed + 1.01 * form.unit), (value, typed)
        assert agrees(form, value, value)


def test_a_longer_answer_has_to_round_to_the_same_digits():
    form = form_of("share 2")
    assert agrees(form, 0.2931, 0.2949) and not agrees(form, 0.2931, 0.2969)
    # a twentieth of the last digit is next to nothing, on either side of the edge; more is not
    assert agrees(form, 0.2949, 0.2954) and not agrees(form, 0.2949, 0.29546)
    assert agrees(form, 0.295, 0.29) and agrees(form, 0.295, 0.3)


@pytest.mark.parametrize(
    ("form", "expected", "answer", "kind"),
    [
        ("share 2", 0.2931, 29.31, "percent"),
        ("share 4", 0.03498, 0.03, "digits"),
        ("number 2", 2.907, 3.0, "digits"),
        ("number 2", 2.907, -2.9, "sign"),
        ("number 2", 2.907, 29.07, "magnitude"),
        ("number 2", 2.907, 2.7, "size"),
        # ten to the power of 0.75 is 5.62
        ("number 2", 2.0, 11.2, "size"),
        ("number 2", 2.0, 11.3, "magnitude"),
        ("count", 5217, 5216.5, "whole"),
        ("count", 5217, 5200, "size"),
        ("count", 5217, None, "missing"),
        ("set", {"a", "b"}, {"a"}, "too few"),
        ("set", {"a"}, {"a", "b"}, "too many"),
        ("set", {"a"}, {"b"}, "other items"),
        ("list", ["a", "b"], ["b", "a"], "order"),
        ("list", ["a", "b"], ["b", "c"], "other items"),
        ("table money", {"a": 1.0}, {"b": 1.0}, "keys"),
        ("table money", {"a": 1.0, "b": 5.0}, {"a": 1.0, "b": 7.0}, "parts"),
        ("choice", "a", "b", "text"),
    ],
)
def test_the_kind_of_a_difference(form, expected, answer, kind):
    found = difference(form_of(form), expected, answer)
    assert found.kind == kind and (kind != "parts" or found.names == ("b",))


@pytest.mark.parametrize("number", list(every_exercise()))
def test_the_question_says_in_which_form_it_is_answered(number):
    exercise = every_exercise()[number]
    for language, told in zip(("en", "zh"), asked(exercise.form), strict=True):
        assert told in exercise.cell(language) and told in exercise.question(language)
    inside = exercise.form.inner if exercise.form.of else exercise.form
    if inside.kind in ("money", "number", "share"):
        says = f"{12.3456:.{inside.digits}f}", f"{0.29314:.{inside.digits}f}", "without decimals"
        assert any(one in exercise.cell("en") for one in says)


@pytest.mark.parametrize("text", ["money two", "sum 2", "table names", "money 2 2", "table"])
def test_a_form_there_is_not_is_refused(text):
    with pytest.raises(ValueError):
        form_of(text)
