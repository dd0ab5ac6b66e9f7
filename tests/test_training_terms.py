"""One meaning per term: glossary, dictionary, chapters and exercises say the same words for the
same figures, and a figure has one value in one month.
"""

import pandas as pd
import pytest

from playbook.chapters.channel_roi.channels import channel_headline
from playbook.chapters.cohort_retention.cohorts import same_age
from playbook.demo.make import make_demo
from playbook.measures.metrics import METRICS
from playbook.messages import PACKAGE
from playbook.places import shipped
from playbook.store import open_store
from playbook.training import NotApplicable, every_exercise
from playbook.training.exercises.cohort_retention import blend
from playbook.training.form import NUMBERS
from playbook.training.glossary import entries, look_up
from playbook.training.reading import channel_months, sales_months

GLOSSARY = entries()
NAMED = GLOSSARY[GLOSSARY.metric != ""]
#: words that once stood for a metric beside the dictionary's own
RETIRED = ("净收入", "人均消费", "商品交易总额", "广告支出回报率")
#: figures an exercise asks of one channel, sku, category or pair, not of the month
OF_A_PART = {
    "be_roas": "03.2, of the channel with the largest spend",
    "rop": "07.2, of one sku",
    "safety_stock": "07.2, of one sku",
    "hhi": "01.2, of the largest category",
    "seasonality": "01.4, of a published series cut short",
    "pair_lift": "09.2, of one pair",
    "ltv_h": "05.2 and 05.3, of six months alone",
    "elasticity": "10.2, made up",
    "cm": "parts of it: 02.4 an order, 03.2 a channel, 06.1 a segment, 06.3 the best fifth",
    "roi": "03.4, of each channel",
    "roas": "03.4, of each channel",
    "payback_months": "05.4, of one cohort",
    "n_per_arm": "08.3, of a test that is planned",
    "aov": "named beside another figure, 00.3 and 02.3",
    "net_revenue": "00.2 of the whole log, 11.2 of the month",
}


@pytest.mark.parametrize("row", list(NAMED.itertuples()), ids=lambda row: row.english)
def test_the_glossary_says_a_metric_as_the_dictionary_does(row):
    assert row.chinese == METRICS[row.metric].chinese


def test_a_chinese_word_stands_for_one_thing():
    assert not GLOSSARY.chinese.duplicated().any()
    assert not NAMED.metric.duplicated().any()
    words = {metric.chinese: metric.id for metric in METRICS.values()}
    assert len(words) == len(METRICS), "the dictionary calls no two metrics by one name"
    for row in GLOSSARY[GLOSSARY.metric == ""].itertuples():
        assert row.chinese not in words, f"{row.english} is called as {words.get(row.chinese)}"


def test_spend_per_buyer_is_not_the_average_order_value():
    chinese = dict(zip(NAMED.metric, NAMED.chinese, strict=True))
    assert (chinese["spend_per_buyer"], chinese["aov"]) == ("客单价", "笔单价")
    assert "spend per buyer" in look_up("客单价").english.iloc[0]


def test_no_text_uses_a_second_word_for_a_metric():
    texts = [*PACKAGE.rglob("*.yaml"), *shipped("notebooks").rglob("*.yaml")]
    texts += [shipped("data", "glossary.csv"), *shipped("notebooks").rglob("*.ipynb")]
    for path in texts:
        found = [word for word in RETIRED if word in path.read_text(encoding="utf-8")]
        assert not found, f"{path.name} says {found}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = make_demo(tmp_path_factory.mktemp("terms") / "one", preset="tiny")
    return open_store(str(folder), until="2026-10")


def month_of(series, shop):
    mine = series[(series.month == shop.month) & (series.status != "unobserved")]
    return dict(zip(mine.metric, mine.amount, strict=True))


def test_a_figure_has_one_value_in_one_month(shop):
    """Every exercise that shows or asks for a metric has the value the chapters report."""
    reported = month_of(sales_months(shop), shop)
    reported |= month_of(channel_headline(channel_months(shop)), shop)
    values = {metric: {"reported": amount} for metric, amount in reported.items()}
    for number, exercise in every_exercise().items():
        for metric, figure in exercise.figures.items():
            try:
                values.setdefault(metric, {})[number] = float(figure(shop))
            except NotApplicable:
                continue
    told = {metric: found for metric, found in values.items() if set(found) != {"reported"}}
    assert len(told) >= 9 and {"spend_per_buyer", "ncac", "cvr_sessions"} <= set(told)
    for metric, found in told.items():
        assert found == pytest.approx(dict.fromkeys(found, found[min(found)])), metric


def test_an_exercise_asking_for_a_number_names_the_figure_its_terms_are_about():
    for number, exercise in every_exercise().items():
        inside = exercise.form.inner if exercise.form.of else exercise.form
        metrics = NAMED[NAMED.english.isin(exercise.terms)].metric
        if inside.kind in NUMBERS:
            unnamed = set(metrics) - set(exercise.figures) - set(OF_A_PART)
            assert not unnamed, f"{number}: {unnamed}"
        assert set(exercise.figures) <= set(METRICS), number


def test_every_term_of_an_exercise_is_a_word_of_the_glossary():
    for exercise in every_exercise().values():
        assert set(exercise.terms) <= set(GLOSSARY.english), exercise.number


def test_the_two_alarms_of_04_6_are_alarms_by_the_chapters_own_rule(shop):
    """Before and after as two cohorts of one age group: the rule of chapter 04."""
    for name, group in blend(shop).groupby("age_group"):
        cells = pd.DataFrame({"cohort": ["2026-01", "2026-02"], "k": 1})
        cells = cells.assign(
            active=group.returned.to_numpy(),
            n=group.customers.to_numpy(),
            share=group.share.to_numpy(),
            low=0.0,
            high=1.0,
            status="complete",
            is_left_truncated=False,
        )
        verdict = same_age(cells).verdict.iloc[-1]
        assert verdict == ("better" if name == "blend" else "worse"), name
