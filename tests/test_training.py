"""Training: solutions hold on two shops and two months, each slip has its own advice,
progress adds up.
"""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from shops import order, write_shop

from playbook.chapters.customer_journey.visits import event_steps
from playbook.cli import main
from playbook.demo.make import make_demo
from playbook.errors import PlaybookError
from playbook.messages import speaking
from playbook.store import open_store
from playbook.training import (
    Exercise,
    Lesson,
    NotApplicable,
    Said,
    Slip,
    every_exercise,
    learner_file,
    record,
    records,
)
from playbook.training.checker import start
from playbook.training.course import AFTERWARDS, training_notebooks
from playbook.training.exercise import CHAPTERS, KINDS, LEVELS, chapter_exercises
from playbook.training.exercises import channel_roi
from playbook.training.form import form_of
from playbook.training.glossary import entries, look_up
from playbook.training.progress import (
    competency_matrix,
    exercise_states,
    grades,
    mark,
    progress_page,
    record_page,
    rubric_points,
    status_text,
)

NOTEBOOKS = training_notebooks()
SEGMENTS = (
    "important value",
    "important develop",
    "important keep",
    "important win back",
    "general value",
    "general develop",
    "general keep",
    "general win back",
)
each_exercise = pytest.mark.parametrize("number", list(every_exercise()))


@pytest.fixture(autouse=True)
def learners_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYBOOK_LEARNER_DIR", str(tmp_path / "learners"))
    for name in ("PLAYBOOK_LEARNER", "PLAYBOOK_LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return [
        make_demo(folder / "one", preset="tiny"),
        make_demo(folder / "two", preset="tiny", seed=7, until="2026-08"),
    ]


@pytest.fixture(scope="session")
def shops(stores):
    """Two months of one shop and one of another, opened once."""
    months = [(0, "2026-10"), (0, "2026-07"), (1, "2026-08")]
    return [open_store(str(stores[which]), until=month) for which, month in months]


def lesson(number, shop, **more):
    return Lesson(number.rpartition(".")[0], shop, **more)


def answers(number, shops):
    """(lesson, expected value) of each shop and month that has one."""
    found = []
    for shop in shops:
        try:
            found.append((lesson(number, shop), lesson(number, shop).expected(number)))
        except NotApplicable:
            continue
    return found


# every exercise there is

#: read reports of words that only one of the two shops has
ONE_SHOP = ("03.6",)


@each_exercise
def test_a_solution_is_right_on_two_shops_and_two_months_and_slips_are_told_apart(number, shops):
    exercise = every_exercise()[number]
    if exercise.solve is None:
        assert lesson(number, shops[0]).check(number, "because").status == "noted"
        assert exercise.reveal.en, "a thought question shows what a good answer says"
        return
    known = answers(number, shops)
    shops_asked = {one.shop.name + str(one.shop.observed_to) for one, _ in known}
    assert len(shops_asked) == 1 + (number not in ONE_SHOP), "two shops have an answer"
    assert len(known) >= 2 - (number in ONE_SHOP), "so have at least two of the three months"
    for one, expected in known:
        assert one.check(number, expected).status == "right", (one.shop, expected)
    for slip in exercise.slips:
        told = []
        for one, _ in known:
            try:
                wrong = slip.make(one.shop)
            except (NotApplicable, PlaybookError, LookupError):
                continue
            told.append(one.check(number, wrong))
        assert any(reply.slip == slip.name for reply in told), (
            f"{slip.name} is never recognised: {told}"
        )
        assert all(slip.advice.en in reply.text for reply in told if reply.slip == slip.name)
    advice = [slip.advice.en for slip in exercise.slips]
    assert len(set(advice)) == len(advice), "each slip has its own advice"


def weighted_change(t):
    now, before = t.revenue_now / t.units_now, t.revenue_before / t.units_before
    weight = (t.units_now / t.units_now.sum() + t.units_before / t.units_before.sum()) / 2
    return (weight * (now - before)).sum()


def month_three(t):
    mine = t[t.is_asked]
    third = str(pd.Period(mine.cohort.iloc[0], freq="M") + 3)
    return (mine.month == third).sum() / mine.customer_id.nunique()


def first_month_paid_back(t):
    months = [c for c in t.columns if isinstance(c, (int, np.integer))]
    reached = {r["channel"]: [m for m in months if r[m] >= r["ncac"]] for _, r in t.iterrows()}
    return {channel: min(found) if found else "not yet" for channel, found in reached.items()}


def gaps_and_last_day(t):
    seen = set(t.day_on)
    weekdays = {day.weekday() for day in seen}
    every = pd.date_range(min(seen), max(seen)).date
    return {d for d in every if d not in seen and d.weekday() in weekdays} | {max(seen)}


def best_fifth(t):
    held = (
        t.dropna(subset="customer_id")
        .groupby("customer_id")
        .amount.sum()
        .sort_values(ascending=False)
    )
    return np.interp(0.2 * len(held), range(len(held) + 1), [0, *held.cumsum()]) / held.sum()


def classes_left(t):
    left = t[t.class_week != t.class_month].class_week.value_counts()
    return {"X": "a", "Y": "b", "Z": "c"}[left.index[0]]


def reorder_point(s):
    spread = (s.lead_days * s.sd_day**2 + s.mean_day**2 * s.lead_sd**2) ** 0.5
    return {
        "reorder_point": s.mean_day * s.lead_days + 1.6449 * spread,
        "position": s.available + s.incoming,
    }


def packs_for_the_money(t):
    left, bought = t.budget.iloc[0], {}
    for row in t.itertuples():
        packs = -(-max(row.level - row.available - row.incoming, 0) // row.pack_units)
        units = packs * row.pack_units if packs * row.pack_units * row.unit_cost <= left else 0
        left, bought[row.sku] = left - units * row.unit_cost, units
    return bought


def two_arms(t):
    p, q = t.buyer_share.iloc[0], 1.1 * t.buyer_share.iloc[0]
    return 2 * math.ceil((1.959964 + 0.841621) ** 2 * (p * (1 - p) + q * (1 - q)) / (q - p) ** 2)


def one_arm(t):
    p, q = (
        t.reached.iloc[-1] / t.n_sessions.iloc[-1],
        1.1 * t.reached.iloc[-1] / t.n_sessions.iloc[-1],
    )
    return math.ceil((1.959964 + 0.841621) ** 2 * (p * (1 - p) + q * (1 - q)) / (q - p) ** 2)


def better_list(t):
    rival = t.iloc[1]
    return "d" if rival.gain <= 0 else "b" if rival.gain_low > 0 else "c"


def first_role_met(t):
    sides = {
        "at least": lambda a, b: a >= b,
        "above": lambda a, b: a > b,
        "below": lambda a, b: a < b,
    }
    is_met = {
        role: all(sides[r.condition](r.of_this_sku, r.threshold) for r in rows.itertuples())
        for role, rows in t.groupby("role", sort=False)
    }
    letters = {"image": "a", "campaign": "b", "traffic": "c", "profit": "d"}
    return next((letters[role] for role, yes in is_met.items() if yes), "e")


def prices_tried_one_by_one(t):
    found = {}
    for r in t.itertuples():
        prices = np.linspace(r.lowest, r.highest, 200_001)
        found[r.sku] = prices[
            ((prices / r.price) ** r.elasticity * (prices - r.unit_cost)).argmax()
        ]
    return found


def tail_of_old_ones(t):
    old = t[t.stage != "new"].sort_values("margin")
    gains = old.margin.clip(lower=0)
    return set(old.sku[gains.cumsum() <= 0.01 * gains.sum()])


def worth_most_first(t):
    a_month = t.effect / t.unit.str.endswith("year").map({True: 12, False: 1})
    worth = (a_month - t.cost) * t.confidence.map({"high": 1, "medium": 0.6, "low": 0.3})
    return list(t.decision[worth.sort_values(ascending=False).index])


# what a learner would work out from the table handed out, without the playbook's functions
BY_HAND = {
    "welcome.1": len,
    "welcome.7": lambda t: t.month[(t.revenue / t.orders).idxmax()],
    "00.2": lambda t: t.amount.iloc[0] - t.amount.iloc[1:].sum(),
    "00.3": lambda t: t.dropna(subset="customer_id").groupby("customer_id").paid.sum().mean(),
    "00.5": gaps_and_last_day,
    "01.2": lambda t: ((t.sales / t.sales.sum()) ** 2).sum(),
    "01.3": lambda t: t.revenue.iloc[0] / t.revenue.iloc[:-1].sum(),
    "01.5": weighted_change,
    "01.6": lambda t: (
        t[(t.orders >= 10) & (t.orders_before >= 10)]
        .assign(g=lambda f: f.revenue / f.revenue_before)
        .sort_values("g")
        .category.iloc[-1]
    ),
    "01.7": lambda t: set(t.level[t.money_low > 5]),
    "02.2": lambda t: (t.actual / t.forecast >= 1.1).mean(),
    "02.3": lambda s: 1.15 * s["orders"] / s["sessions"],
    "02.4": lambda s: math.ceil(
        1.2
        * s["overhead"]
        * s["orders"]
        / (s["revenue"] - s["goods"] - s["fees"] - s["fulfilment"])
    ),
    "02.5": lambda t: {kpi for kpi, part in t.groupby("kpi") if (part.raci == "A").sum() != 1},
    "02.6": lambda t: list(
        t.assign(left=t.gross_margin - t.platform_take - t.payment_and_fulfilment - t.acquisition)
        .sort_values("left", ascending=False)
        .model
    ),
    "03.2": lambda t: (lambda a: a.iloc[1] / (a.iloc[1] - a.iloc[2:].sum()))(t.amount),
    "03.3": lambda t: {
        "ncac": t.spend.sum() / t.new_customers[t.spend > 0].sum(),
        "cac_blended": t.spend.sum() / t.buyers.sum(),
    },
    "03.4": lambda t: set(t.channel[(t.sales > t.spend) & (t.margin < t.spend)]),
    "03.6": lambda t: set(t.term[t.p_loses >= 0.95]),
    "03.7": lambda t: set(
        t.assign(more=t.clicks * (((t.place - 1) / t.place) ** t.power - 1))
        .sort_values("more")
        .term.tail(3)
    ),
    "03.8": lambda t: np.average(t.invited_margin - t.others_margin, weights=t.invited),
    "03.9": lambda t: t.margin[t.is_new & ~t.is_paid].sum() - t.commission.sum(),
    "03.10": lambda t: (t.new_margin - t.cost).mean(),
    "04.2": month_three,
    "05.2": lambda t: t.revenue_per_customer.sum() / t.margin_per_customer.sum(),
    "05.4": first_month_paid_back,
    "06.1": lambda t: "abcdefgh"[
        list(SEGMENTS).index(t.segment[(t.revenue * (1 - t.cost_share)).idxmax()])
    ],
    "06.2": lambda t: (lambda a: (a[0] - a[1] - a[2] + a[3]) * a[4] * (1 - a[5]))(t.amount),
    "06.3": best_fifth,
    "06.4": lambda t: (
        (t.segment_then == "important value") & t.segment_now.isin(SEGMENTS[2:4])
    ).sum(),
    "06.5": two_arms,
    "10.7": lambda t: t.price_high[(t.price_low.shift(-1) / t.price_high).idxmax()],
    "06.8": lambda t: 1 - t[t.open == 0].used.sum() / t[t.open == 0].earned.sum(),
    "06.7": lambda t: t.eval("(margin - cost) / member_years").diff().iloc[1],
    "07.1": classes_left,
    "07.2": reorder_point,
    "07.4": lambda t: t.stock_at_cost.mean() / (t.cost_of_goods.sum() / (7 * len(t))),
    "07.5": packs_for_the_money,
    "08.1": lambda t: "abc"[
        (t.n_treated / (t.n_control + t.n_treated) - t.planned_treated).abs().argmin()
    ],
    "08.2": lambda t: {
        "session": t.bought.sum() / len(t),
        "user": t[t.bought].visitor_id.nunique() / t.visitor_id.nunique(),
    },
    "08.3": one_arm,
    "08.4": lambda t: (lambda r: np.cov(r.late_days, r.stars)[0, 1] / r.late_days.var())(
        t.dropna()
    ),
    "08.5": lambda t: t["where"][
        (t.n_previous * (t.usual_share - t.step_share) * t.onward_share).idxmax()
    ],
    "08.7": lambda t: (lambda lost, n: lost[0] - n[0] * lost[1:].sum() / n[1:].sum())(
        (t.failed - t.won_back).to_numpy(), t.tried.to_numpy()
    ),
    "08.8": lambda t: t.n_with @ (t.without_share - t.with_share),
    "10.8": lambda t: np.prod(1 - t.n_dropped / (t.n_dropped + t.n_went_on)),
    "07.7": lambda t: set(
        t.sku[
            t.year_units * (t.price_now - t.unit_price)
            > t.holding_share * (t.order_units * t.unit_price - t.order_now * t.price_now) / 2
        ]
    ),
    "09.1": better_list,
    "09.2": lambda t: t.orders[2] * t.orders[3] / (t.orders[0] * t.orders[1]),
    "09.3": lambda t: t.orders[2] / (t.orders[0] + t.orders[1] - t.orders[2]),
    "09.5": lambda t: {sku for sku, n in zip(t.sku, t.on_hand, strict=True) if n == 0},
    "09.6": lambda t: set(
        t.sku[
            ~t.is_unsafe
            & (t.on_hand > 0)
            & (t.on_hand >= t.sold_in_14_days)
            & ~(t.bought_days_ago < t.wait_days)
        ]
    ),
    "10.1": first_role_met,
    "10.2": prices_tried_one_by_one,
    "10.3": lambda t: ((t.units > 0) & (t.days_on_sale > 0)).sum() / (t.days_on_sale > 0).sum(),
    "10.4": lambda t: t.amount.iloc[:4].sum() / t.amount.iloc[4] - 1,
    "10.5": tail_of_old_ones,
    "11.1": lambda t: "b" if t.lower.iloc[0] <= t.actual.iloc[0] <= t.upper.iloc[0] else "c",
    "11.2": lambda t: (
        lambda rise: dict(
            zip(t.driver, (t.after.prod() - t.before.prod()) * rise / rise.sum(), strict=True)
        )
    )(np.log(t.after / t.before)),
    "11.7": lambda t: set(t.role[(t.actual < t.usual_low) | (t.actual > t.usual_high)]),
    "11.3": lambda t: t.segment[(t.after - t.before).abs().idxmax()],
    "11.4": lambda t: set(t.metric[t.settles != "0"]),
    "11.5": worth_most_first,
}


@pytest.mark.parametrize("number", list(BY_HAND))
def test_a_learner_who_computes_by_hand_from_the_table_handed_out_is_right(number, shops):
    replies = []
    for shop in shops:
        try:
            table = lesson(number, shop).given(number)
        except PlaybookError:
            continue
        replies.append(lesson(number, shop).check(number, BY_HAND[number](table)))
    assert len(replies) >= 2 - (number in ONE_SHOP) and {reply.status for reply in replies} == {
        "right"
    }, replies


def test_sessions_and_purchases_of_the_visits_handed_out_are_those_of_the_chapters_funnel(shops):
    shop = shops[2]
    daily = event_steps(shop.events, as_of=shop.as_of).daily
    month = daily[daily.day_on.dt.strftime("%Y-%m") == shop.month]
    visits = lesson("08.2", shop).given("08.2")
    assert (len(visits), visits.bought.sum()) == (month.session.sum(), month.purchase.sum())


def test_a_page_asks_what_applies_here_and_is_told_why_not(shops, tmp_path, capsys):
    assert lesson("08.2", shops[0]).applies("08.2") and capsys.readouterr().out == ""
    bare = open_store(
        str(write_shop(tmp_path, [order("one", "2026-01-05"), order("two", "2026-01-06", "bob")]))
    )
    for number in ("06.2", "07.2", "07.3", "08.3", "08.4"):
        assert not lesson(number, bare).applies(number)
        assert f"{number}: not applicable this month" in capsys.readouterr().out
        assert lesson(number, bare).check(number, 1).status == "not applicable"


@each_exercise
def test_a_learner_who_changes_the_table_handed_out_does_not_change_what_is_right(number, shops):
    if every_exercise()[number].given is None:
        return
    (one, expected), *_ = answers(number, shops[:1]) or answers(number, shops)
    table = one.given(number)
    for name in list(getattr(table, "columns", [])):
        table[name] = 0
    assert one.check(number, expected).status in ("right", "noted")
    assert lesson(number, one.shop).check(number, expected).status in ("right", "noted")


@each_exercise
def test_an_exercise_is_told_whole(number):
    exercise = every_exercise()[number]
    assert exercise.hints and exercise.prompt.en and exercise.title.en
    assert exercise.solve is None or exercise.slips, "an exercise knows how people go wrong"
    assert all(len(look_up(word)) for word in exercise.terms), exercise.terms
    if exercise.choices:
        assert len(exercise.choices) >= 2


@each_exercise
def test_odd_answers_get_a_reply_and_never_an_error(number, shops):
    one = lesson(number, shops[0])
    odd = [
        None,
        "",
        "nonsense",
        -1e30,
        float("nan"),
        float("inf"),
        set(),
        [],
        {},
        {"a": {1}},
        np.arange(3),
        pd.DataFrame({"a": [1, 2]}),
        object(),
        print,
        [[1], {2: 3}],
        pd.Series(["x"]),
        b"bytes",
        1j,
    ]
    for answer in odd:
        assert one.check(number, answer).status in (
            "wrong",
            "slip",
            "noted",
            "not attempted",
            "not applicable",
        ), answer
    assert one.check(number, ...).status == "not attempted" == one.check(number).status


def test_exercises_are_numbered_in_the_order_of_their_kinds():
    for chapter in CHAPTERS:
        found = list(chapter_exercises(chapter).values())
        assert [e.number for e in found] == [f"{chapter}.{n + 1}" for n in range(len(found))]
        if found and chapter != "welcome":
            # those after the sixth belong to sections on tables a shop may lack, in their order
            places = [KINDS.index(e.kind) for e in found[:6] if e.kind != "thought"]
            assert places == sorted(places), f"{chapter}: predict, fill, tweak, hunt, decide"
            assert 4 <= len(found) <= 10


# the checker


def shelf(solve, *slips, **more):
    """A lesson with one exercise that needs no shop."""
    exercise = Exercise(
        "03.1",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("t"),
        prompt=Said("p"),
        solve=solve,
        form=more.pop("form", form_of("number")),
        slips=slips,
        hints=(Said("one", "一"), Said("two")),
        **more,
    )

    class Shop:
        name, month, currency = "shelf", "2026-01", "EUR"

    return exercise, Lesson("03", Shop())


@pytest.fixture
def exam(monkeypatch):
    """check(answer) of an exercise made on the spot."""

    def make(solve, *slips, **more):
        exercise, one = shelf(solve, *slips, **more)
        monkeypatch.setattr("playbook.training.checker.find_exercise", lambda number: exercise)
        return lambda answer: one.check("03.1", answer)

    return make


def test_a_number_is_right_in_the_digits_asked_for_and_otherwise_only_its_kind_is_told(exam):
    check = exam(lambda shop: 0.2931, form=form_of("share 2"))
    assert check(0.29).status == check("29 %").status == check(0.2931).status == "right"
    for answer, word in (
        (-0.29, "sign"),
        (0.003, "magnitude"),
        (0.26, "value is not"),
        (29.31, "percentage needs its sign"),
        ("a lot", "0.29 or 29 %"),
        (None, "missing"),
        ({0.29: 1}, "another kind"),
    ):
        assert word in check(answer).text and "0.2931" not in check(answer).text, answer
    days = exam(lambda shop: 23.374, form=form_of("days"))
    assert days(23).status == "right" and days(24).status == "wrong"


def test_what_is_counted_has_to_be_exact(exam):
    check = exam(lambda shop: 5217, form=form_of("count"))
    assert check(5217).status == check("5,217").status == "right"
    assert check(5200).status == check(5216).status == "wrong"


def test_an_answer_with_two_readings_is_asked_back_and_costs_no_try(exam):
    check = exam(lambda shop: 1.234, form=form_of("number 2"))
    reply = check("1,234")
    assert reply.status == "unclear" and "1234" in reply.text and "1.234" in reply.text
    assert "try 1" in check(5.0).text


def test_tries_are_counted_and_from_the_second_on_the_hints_are_named(exam):
    check = exam(lambda shop: 10, form=form_of("count"))
    first, second, third = (check(answer).text for answer in (9, "many", 8))
    assert "try 1" in first and "hint(" not in first
    assert "try 2" in second and "try 3" in third
    assert 'hint("03.1")' in second and 'hint("03.1")' in third
    assert "try" not in check(10).text


def test_sets_are_compared_as_sets_and_text_without_case(exam):
    check = exam(lambda shop: {"Tea", "Cups"}, form=form_of("set"))
    assert check(["cups", "TEA"]).status == check(pd.Series(["tea", "cups"])).status == "right"
    assert "missing" in check({"tea"}).text and "too many" in check({"tea", "cups", "pots"}).text
    assert exam(lambda shop: "Search", form=form_of("name"))(" search ").status == "right"
    days = exam(lambda shop: {pd.Timestamp("2026-10-03").date()}, form=form_of("dates"))
    assert days({"2026-10-03"}).status == days([pd.Timestamp("2026-10-03")]).status == "right"


def test_a_choice_is_answered_with_its_letter_or_its_words(exam):
    words = {"a": Said("one order", "一笔订单"), "b": Said("one sku", "一个 SKU")}
    check = exam(lambda shop: "b", choices=words, form=form_of("choice"))
    for answer in ("b", "B)", "one sku", "一个 SKU", "一个　SKU"):
        assert check(answer).status == "right", answer
    assert check("a").status == "wrong" and "letter" in check("c").text


def test_a_slip_that_equals_the_solution_on_this_month_is_not_held_against_anybody(exam):
    check = exam(lambda shop: 10, Slip("same here", lambda shop: 10.0, Said("never said")))
    assert check(10).status == "right"
    near = Slip("same here", lambda shop: 10.04, Said("never said"))
    check = exam(lambda shop: 10, near, form=form_of("number 1"))
    assert check(10.06).status == "wrong", "a slip that rounds to the solution is no slip"


def test_a_month_without_an_answer_says_so_and_says_why(exam):
    def none(shop):
        raise NotApplicable("training.few_orders")

    def lacking(shop):
        raise PlaybookError("store.table_not_here", shop="corner", name="stock", table="stock")

    why = NotApplicable("training.few_orders").why.en
    assert f"not applicable this month. {why}" in exam(none)(3).text
    assert (
        "no stock" in exam(lacking)(3).text
        and exam(lambda shop: float("nan"))(3).status == "not applicable"
    )


def test_hints_come_one_by_one_and_the_solution_only_when_asked_for(monkeypatch):
    exercise, one = shelf(lambda shop: 42.5, form=form_of("number 1"))
    monkeypatch.setattr("playbook.training.checker.find_exercise", lambda number: exercise)
    told = [repr(one.hint("03.1")) for _ in range(3)]
    assert "1/2: one" in told[0] and "2/2: two" in told[1] and "no more hints" in told[2]
    assert not any("42.5" in text for text in [*told, repr(one.check("03.1", 1))])
    assert "42.5" in repr(one.solution("03.1"))


def test_the_language_is_chosen_by_parameter_or_by_environment(stores, monkeypatch):
    assert "提示" in repr(start("00", store=str(stores[0]), language="zh").hint("00.2"))
    monkeypatch.setenv("PLAYBOOK_LANG", "both")
    told = repr(start("00", store=str(stores[0])).check("00.2"))
    assert "not attempted" in told and "尚未作答" in told
    with pytest.raises(PlaybookError, match="language"):
        start("00", store=str(stores[0]), language="fr")


def test_an_unknown_exercise_is_refused_with_the_known_ones(shops):
    for number in ("00.99", "99.1", "x", ""):
        with pytest.raises(PlaybookError, match=r"00\.1"):
            Lesson("00", shops[0]).check(number, 1)


def test_checking_leaves_the_notebook_alone(shops):
    space = {"one": Lesson("00", shops[0])}
    before = set(space) | {"__builtins__", "reply"}
    exec("reply = one.check('00.2', 5)", space)
    assert set(space) == before


def test_the_glossary_answers_in_both_languages(shops):
    one = Lesson("00", shops[0])
    assert "同期群" in repr(one.glossary("cohort")) and "cohort" in repr(one.glossary("同期群"))
    assert "no such word" in repr(one.glossary("xyzzy")) and repr(one.glossary())
    assert (
        list(entries().columns[:2]) == ["english", "chinese"]
        and not entries().english.duplicated().any()
    )
    assert (entries()[["english", "chinese"]].map(str.strip) != "").all().all()


# learners


def test_a_name_never_leaves_the_folder_and_two_names_never_share_a_file():
    names = [
        "ann",
        "../../etc/passwd",
        "a/b",
        "a-b",
        "a b",
        "李雷",
        "con",
        "x" * 300,
        "..ann",
        "ann\n",
    ]
    files = [learner_file(name) for name in names]
    assert all(
        f.parent == learner_file("ann").parent and re.fullmatch(r"[\w-]+\.jsonl", f.name)
        for f in files
    )
    assert len(set(files)) == len(names) - 1 and files[0] == files[-1], (
        "a line break at the end makes no other name"
    )
    assert all(len(f.name) < 100 and f.stem != "con" for f in files)
    for name in ("", "..", "//", " "):
        with pytest.raises(PlaybookError, match="no name"):
            learner_file(name)


def test_a_budget_in_whole_money_may_break_a_cap_by_its_rounding_and_no_more(shops):
    shop = shops[0]
    table = channel_roi.budget_table(shop)
    plan = {channel.casefold(): amount for channel, amount in channel_roi.best_plan(shop).items()}
    whole = {channel: float(round(amount)) for channel, amount in plan.items()}
    assert lesson("03.5", shop).check("03.5", whole).status == "right"
    first, *_, last = table.channel.str.casefold()
    cap = 1.2 * table.now.iloc[0]
    over = {**plan, first: cap + 0.6, last: plan[last] + plan[first] - cap - 0.6}
    assert lesson("03.5", shop).check("03.5", over).slip == "cap broken"


def test_nothing_is_kept_of_somebody_without_a_name_and_no_answer_of_anybody(shops):
    Lesson("00", shops[0]).check("00.2", 123456.75)
    assert not learner_file("ann").parent.exists()
    Lesson("00", shops[0], learner="ann").check("00.2", 123456.75)
    text = learner_file("ann").read_text(encoding="utf-8")
    assert "123456" not in text and json.loads(text)["status"] == "wrong"
    Lesson("06", shops[0], learner="ann").check("06.6", "a thought is for the mentor")
    assert "a thought is for the mentor" in learner_file("ann").read_text(encoding="utf-8")


def test_a_grade_is_stored_and_listed_and_a_score_outside_its_range_refused():
    record(
        "ann",
        "case.one",
        title="One",
        score=0.5,
        parts={"finding": 1, "sizing": 0.0},
        store="s",
        month="2026-08",
    )
    record(
        "ann",
        "case.one",
        title="One",
        score=0.25,
        parts={"finding": 0.5, "sizing": 0.0},
        profit=np.float64(3),
    )
    (row,) = grades(records("ann")).itertuples()
    assert (row.tries, row.best, row.last, row.parts) == (2, 0.5, 0.25, "finding 50%, sizing 0%")
    with pytest.raises(PlaybookError, match="between 0 and 1"):
        record("ann", "case.one", score=50)


def test_a_line_cut_short_by_a_crash_costs_that_line_only():
    path = record("ann", "a", score=1)
    path.write_text(path.read_text() + '{"event": "check", "it', encoding="utf-8")
    record("ann", "b", score=1)
    assert [one["item"] for one in records("ann")] == ["a"] or [
        one["item"] for one in records("ann")
    ] == ["a", "b"]


def trainee(name, shop, does):
    """A scripted trainee: `does(place, number)` says right or wrong for each exercise."""
    for place, (number, exercise) in enumerate(every_exercise().items()):
        one = lesson(number, shop, learner=name)
        try:
            right = "a thought" if exercise.solve is None else one.expected(number)
        except NotApplicable:
            right = 0
        one.check(number, right if does(place, number) else "-")


def test_all_right_all_wrong_and_half_way_give_the_right_matrix_and_points(shops):
    exercises = every_exercise()
    shop = shops[0]
    trainee("all", shop, lambda place, number: True)
    trainee("none", shop, lambda place, number: exercises[number].solve is None)
    trainee("half", shop, lambda place, number: place % 2 == 0 or exercises[number].solve is None)
    states = {name: exercise_states(records(name)) for name in ("all", "none", "half", "nobody")}
    applies = (states["all"].state != "not applicable").to_numpy()
    assert set(states["all"].state[applies]) <= {"passed", "noted"} and set(
        states["nobody"].state
    ) == {"open"}
    assert set(states["none"].state[applies]) <= {"wrong", "noted"}
    for name, does in (
        ("all", lambda i: True),
        ("half", lambda i: i % 2 == 0),
        ("none", lambda i: False),
    ):
        matrix = competency_matrix(states[name])
        for chapter in matrix.index:
            for level in LEVELS:
                mine = [
                    (i, e)
                    for i, e in enumerate(exercises.values())
                    if (e.chapter, e.level) == (chapter, level)
                ]
                ok = sum(e.solve is not None and does(i) and bool(applies[i]) for i, e in mine)
                assert matrix.loc[chapter, level] == (f"{ok}/{len(mine)}" if mine else "")
        points = rubric_points(states[name]).set_index("part")
        for part in ("definitions", "computation"):
            mine = [i for i, e in enumerate(exercises.values()) if e.part == part]
            passed = sum(does(i) and bool(applies[i]) for i in mine)
            assert points.points[part] == pytest.approx(25 * passed / len(mine))
        assert points.points[["interpretation", "decision", "communication"]].isna().all()


def test_a_thought_waits_for_the_mentor_who_passes_it_or_asks_again_with_words(shops):
    one = Lesson("06", shops[0], learner="ann")
    state = lambda: exercise_states(records("ann")).set_index("number").loc["06.6"]
    assert state().state == "open"
    with pytest.raises(PlaybookError, match="not answered"):
        mark("ann", "06.6", "passed")
    assert one.check("06.6", "We write to <b>all</b> of them.").status == "noted"
    assert state().state == "noted" and "06.6" in status_text("ann")
    assert every_exercise()["06.6"].reveal.en[:40] in record_page("ann")
    assert "&lt;b&gt;all&lt;/b&gt;" in record_page("ann"), "the mentor reads what was written"
    for given, words, told in (("again", " ", "says why"), ("good", "", "no mark")):
        with pytest.raises(PlaybookError, match=told):
            mark("ann", "06.6", given, words=words)
    mark("ann", "06.6", "again", words="no stop rule", mentor="Bo")
    assert state().state == "again" and "no stop rule" in status_text("ann")
    assert "no stop rule" in progress_page("ann") and "Bo" in progress_page("ann")
    one.check("06.6", "We stop when the two do not differ.")
    assert state().state == "noted"
    mark("ann", "06.6", "passed")
    one.check("06.6", "A later answer.")
    assert state().state == "passed" and state().attempts == 3
    with pytest.raises(PlaybookError, match="checker"):
        mark("ann", "00.2", "passed")


def test_tries_are_counted_until_the_first_right_answer_across_lessons(shops):
    one = Lesson("00", shops[0], learner="ann")
    one.check("00.2", 1)
    one.check("00.2", "1.234")
    one.check("00.2", 2)
    assert "try 3" in Lesson("00", shops[0], learner="ann").check("00.2", 3).text
    for _ in range(2):
        one.check("00.2", one.expected("00.2"))
    assert exercise_states(records("ann")).set_index("number").attempts["00.2"] == 4


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_progress_page_stands_alone_in_both_languages(shops, language):
    name = "<script>ann</script>"
    one = Lesson("00", shops[0], learner=name)
    one.check("00.2", one.expected("00.2"))
    record(name, "case.x", title="<b>bold</b>", score=0.5, parts={"finding": 0.5})
    with speaking(language):
        page = progress_page(name)
    assert "<script" not in page and "<b>bold" not in page and not re.search(r"(?:src|href)=", page)
    assert every_exercise()["00.2"].title.tell(language) in page
    prose = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert language == "en" or not re.search(r"[a-z]{4,} [a-z]{4,} [a-z]{4,}", prose)


def test_an_answer_copied_from_the_solution_counts_only_on_another_month(shops):
    one = Lesson("00", shops[0], learner="ann")
    one.solution("00.2")
    one.check("00.2", one.expected("00.2"))
    state = lambda: exercise_states(records("ann")).set_index("number").state["00.2"]
    assert state() == "shown"
    other = Lesson("00", shops[1], learner="ann")
    other.check("00.2", other.expected("00.2"))
    assert state() == "passed"
    one.check("00.2", -1)
    assert state() == "passed", "what was once passed stays passed"


def test_the_record_is_one_page_that_loads_nothing_and_escapes_what_people_write(shops):
    name = "<script>ann</script>"
    Lesson("00", shops[0], learner=name).check("00.2", 1)
    record(name, "case.x", title="<b>bold</b>", score=0.5, parts={"finding": 0.5}, note="a & b")
    page = record_page(name)
    assert "<script" not in page and "<b>" not in page and "a &amp; b" in page
    assert not re.search(r"(?:src|href)=", page) and "Mentor" in page
    assert all(
        word in page
        for word in ("Rubric", "stop rule", "Capstone", "week 4", "11 the monthly review")
    )


# the commands


def test_learn_copies_the_notebooks_fills_them_in_and_reports(
    stores, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            [
                "learn",
                "start",
                "ann",
                "--store",
                str(stores[0]),
                "--month",
                "2026-09",
                "--lang",
                "zh",
            ]
        )
        == 0
    )
    folder = tmp_path / "work" / "training-ann"
    assert sorted(p.name for p in folder.glob("*.ipynb")) == sorted(
        [*(p.name for p in NOTEBOOKS), *AFTERWARDS]
    )
    for path in folder.glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert 'learner: str = \\"ann\\"' in text, path.name
        assert 'month: str = \\"2026-09\\"' in text or path.name in AFTERWARDS, path.name
    edited = folder / NOTEBOOKS[0].name
    edited.write_text("mine", encoding="utf-8")
    assert (
        main(["learn", "start", "ann", "--store", str(stores[0])]) == 0
        and edited.read_text() == "mine"
    )
    capsys.readouterr()
    assert main(["learn", "status", "ann"]) == 0 and "0 of" in capsys.readouterr().out
    assert main(["learn", "status", "ann", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matrix"]
    assert (
        main(["learn", "report", "ann", "--to", "r.html"]) == 0
        and (tmp_path / "r.html").stat().st_size > 1000
    )
    for language, word in (("en", "What comes next"), ("zh", "接下来")):
        assert main(["learn", "progress", "ann", "--to", "p.html", "--lang", language]) == 0
        assert word in (tmp_path / "p.html").read_text(encoding="utf-8")
    assert main(["learn", "mark", "ann", "06.6", "passed"]) == 1, "nothing is answered yet"
    record("ann", "06.6", event="check", status="noted", text="because")
    assert main(["learn", "mark", "ann", "06.6", "passed", "--lang", "zh"]) == 0
    assert "通过" in capsys.readouterr().out
    assert main(["learn", "start", "..", "--store", str(stores[0])]) == 1
    assert main(["learn", "start", "ann", "--store", str(stores[0]), "--lang", "fr"]) == 1
    assert main(["learn"]) == 2


@pytest.mark.parametrize("command", ["start", "status", "report", "progress", "mark"])
def test_each_learn_command_has_an_example(command, capsys):
    assert main(["learn", command, "--help"]) == 0
    assert f"Example: playbook learn {command}" in " ".join(capsys.readouterr().out.split())


# the two readmes


def test_the_chinese_readme_links_back_and_its_links_and_commands_exist(root, capsys):
    english, chinese = (
        (root / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")
    )
    assert "](README.zh.md)" in english and "](README.md)" in chinese
    links = re.findall(r"\]\(([^)#]+)\)", chinese)
    assert links and [link for link in links if not (root / link).exists()] == []
    chapters = [set(re.findall(r"notebooks/\d\d_\w+\.ipynb", text)) for text in (english, chinese)]
    assert chapters[0] == chapters[1] and len(chapters[0]) == 12
    for command in set(re.findall(r"playbook ((?:learn )?[a-z]+) ", chinese)) - {"learn"}:
        assert main([*command.split(), "--help"]) == 0, command
    capsys.readouterr()
