"""By hand, at the edge: what chapter 01 decides just below, at and above its limits."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from test_market import AS_OF, TASTES, lines, people, prices, shop_of

from playbook.chapters.market_research import (
    decisions,
    market,
    market_size,
    personas,
    published_series,
)
from playbook.errors import PlaybookError
from playbook.methods.latent_class import Classes
from playbook.methods.seasonal_index import seasonal_index


def orders_of(n, day, category="tea", revenue=10.0):
    return [(day, f"{category}{day}{i}", f"{category}{i}", category, 1, revenue) for i in range(n)]


# growth


@pytest.mark.parametrize(
    "n_now, n_past, status", [(29, 40, "few"), (40, 29, "few"), (30, 30, "complete")]
)
def test_growth_rests_on_thirty_orders_on_either_side(n_now, n_past, status):
    sales = lines(
        *orders_of(1, "2024-09-30", revenue=1.0),
        *orders_of(n_past, "2025-10-05"),
        *orders_of(n_now, "2026-10-05"),
    )
    growth = market.growth_by(sales, as_of=AS_OF, by="category", months=1)
    assert growth["status"].tolist() == [status]


def test_growth_compares_twelve_months_with_a_ninety_per_cent_interval_by_hand():
    """Two buyers of 10 in each period: each ratio's variance is 2 * 100 / 20^2 twice."""
    sales = lines(
        ("2023-01-01", "o", "z", "tea", 1, 1.0),
        *orders_of(2, "2024-11-01"),
        *orders_of(2, "2025-11-01"),
    )
    row = market.growth_by(sales, as_of=AS_OF, by="category").iloc[0]
    assert row["n_months"] == 12 and row["revenue"] == 20 and row["revenue_before"] == 20
    assert row["high"] == pytest.approx(np.exp(1.6448536 * np.sqrt(0.5 + 0.5)) - 1)
    assert row["low"] == pytest.approx(np.exp(-1.6448536 * np.sqrt(0.5 + 0.5)) - 1)


@pytest.mark.parametrize(
    "first, n_months, basis",
    [
        ("2025-09-03", 2, "a year before"),
        ("2025-09-04", 1, "a year before"),
        ("2025-10-03", 1, "a year before"),
        ("2025-10-04", 6, "the months before: season not removed"),
    ],
)
def test_a_first_month_is_whole_up_to_its_third_day_and_a_year_needs_thirteen(
    first, n_months, basis
):
    sales = lines((first, "a", "a", "tea", 1, 10), ("2026-10-05", "b", "b", "tea", 1, 10))
    row = market.growth_by(sales, as_of=AS_OF, by="category").iloc[0]
    assert (row["n_months"], row["basis"]) == (n_months, basis)


def test_a_running_month_is_left_out_of_the_comparison():
    sales = lines(
        ("2024-09-01", "o", "z", "tea", 1, 1.0),
        ("2025-09-05", "a", "a", "tea", 1, 10.0),
        ("2026-09-05", "b", "b", "tea", 1, 30.0),
        ("2026-10-02", "c", "c", "tea", 1, 99.0),
    )
    row = market.growth_by(sales, as_of=dt.date(2026, 10, 9), by="category", months=1).iloc[0]
    assert (row["revenue_before"], row["revenue"]) == (10, 30)


def test_bennets_parts_of_a_price_change_by_hand():
    """Tea 3 of 4 units at 10, then 1 of 4 at 8; pots 1 of 4 at 20, then 3 of 4 at 30."""
    sales = lines(
        ("2024-09-01", "o", "z", "tea", 1, 1.0),
        ("2025-10-01", "a", "a", "tea", 3, 30.0),
        ("2025-10-01", "b", "b", "pots", 1, 20.0),
        ("2026-10-01", "c", "c", "tea", 1, 8.0),
        ("2026-10-01", "d", "d", "pots", 3, 90.0),
    )
    row = market.price_mix(sales, as_of=AS_OF, months=1).iloc[0]
    assert (row["before"], row["after"], row["change"]) == (12.5, 24.5, 12.0)
    assert (row["same_mix"], row["mix"]) == (0.5 * -2 + 0.5 * 10, 9 * -0.5 + 25 * 0.5)


def test_a_margin_is_that_of_the_newest_months_and_known_only_where_every_cost_is():
    sales = lines(
        ("2024-09-01", "o", "z", "tea", 1, 1.0),
        ("2026-10-01", "a", "a", "tea", 1, 10.0),
        ("2026-10-01", "b", "b", "pots", 1, 10.0),
        ("2026-10-01", "c", "c", "pots", 1, 10.0),
    ).assign(cost=[99.0, 4.0, 4.0, None])
    margins = market.category_margins(sales, as_of=AS_OF, months=1).set_index("category")
    assert margins.loc["tea"].tolist() == [0.6, 1.0]
    assert np.isnan(margins.loc["pots", "margin_share"])
    assert margins.loc["pots", "cost_coverage"] == 0.5


# competition and prices


def sellers(*rows):
    names = ["month", "category", "seller", "sales_low", "sales_high"]
    return pd.DataFrame(rows, columns=names).assign(price=1.0)


def test_concentration_counts_twelve_months_and_five_sellers():
    rows = [("2026-10", "tea", name, 10.0, 10.0) for name in "abcdef"]
    old, oldest = [(m, "tea", "g", 40.0, 40.0) for m in ("2025-11", "2025-10")]
    row = market.concentration(sellers(*rows, old, oldest)).iloc[0]
    assert row["n_sellers"] == 7 and row["sales_low"] == 100
    assert row["cr5"] == pytest.approx(0.8)
    assert row["from_month"] == "2025-11"


def test_the_range_of_a_concentration_holds_nine_of_ten_of_four_hundred_draws():
    listed = sellers(("2026-10", "tea", "a", 0.0, 1.0), ("2026-10", "tea", "b", 1.0, 1.0))
    row = market.concentration(listed, seed=3).iloc[0]
    drawn = np.random.default_rng(3).uniform([0, 1], [1, 1], (400, 2))
    hhi = np.sort((drawn**2).sum(axis=1) / drawn.sum(axis=1) ** 2)
    assert hhi[19] <= row["hhi_low"] <= hhi[20] and hhi[379] <= row["hhi_high"] <= hhi[380]
    assert row["hhi"] == pytest.approx((1 / 3) ** 2 + (2 / 3) ** 2)


def test_the_headline_is_the_hhi_weighed_by_sales():
    table = pd.DataFrame(
        {
            "hhi": [0.2, 0.5],
            "hhi_low": [0.1, 0.4],
            "hhi_high": [0.3, 0.6],
            "sales_low": [2.0, 1.0],
            "sales_high": [4.0, 1.0],
            "n_sellers": [4, 3],
        }
    )
    row = market.market_headline(table, month="2026-10").iloc[0]
    assert row[["amount", "low", "high"]].tolist() == pytest.approx([0.275, 0.175, 0.375])
    assert (row["metric"], row["n"]) == ("hhi", 7)


def test_a_price_counts_from_its_first_to_its_last_day():
    table = prices(
        ("2026-10-31", "s", "own", 11.0, "EUR"),
        ("2026-11-01", "s", "own", 99.0, "EUR"),
        ("2026-01-01", "s", "b", 10.0, "EUR"),
        ("2026-01-01", "s", "c", 50.0, "EUR"),
    ).assign(until_on=[None, None, dt.date(2026, 10, 31), dt.date(2026, 10, 30)])
    found, _foreign = market.price_position(table, as_of=AS_OF, currency="EUR")
    assert found["gap_share"].tolist() == [pytest.approx(0.1)]
    assert found["n_sellers"].tolist() == [1]


@pytest.mark.parametrize("n_offers, known", [(3, False), (4, True)])
def test_four_bands_need_four_offers(n_offers, known):
    sold = lines(*[("2026-10-01", f"o{i}", "a", "tea", 1, 5.0 + i) for i in range(8)])
    offers = pd.DataFrame({"category": "tea", "price": np.arange(n_offers) + 6.0})
    bands = market.price_bands(sold, offers=offers)
    assert bands["band"].tolist() == [1, 2, 3, 4]
    assert bands["offers_share"].notna().all() == known
    if not known:
        assert bands["high_price"].tolist()[:3] == [6.0, 8.0, 10.0]


@pytest.mark.parametrize(
    "low, hhi, margin, action, reason",
    [
        (
            0.01,
            0.25,
            0.3,
            "widen",
            "skus sold in both years grow beyond doubt, not concentrated, margin above the hurdle",
        ),
        (0.0, 0.25, 0.3, "hold", "growth of skus sold in both years not certain"),
        (0.01, 0.26, 0.3, "hold", "concentrated"),
        (0.01, 0.25, 0.29, "hold", "thin margin"),
        (0.01, 0.26, 0.29, "hold", "concentrated, thin margin"),
        (0.01, np.nan, 0.3, "research", "not known: concentration"),
        (0.01, 0.25, np.nan, "research", "not known: margin"),
    ],
)
def test_the_rule_of_widening_at_its_limits(low, hhi, margin, action, reason):
    growth = {
        "category": ["tea"],
        "growth": [0.1],
        "low": [low],
        "high": [0.2],
        "status": ["complete"],
    }
    found = market.category_verdicts(
        pd.DataFrame(growth),
        concentrated=pd.DataFrame({"category": ["tea"], "hhi": [hhi]}),
        margins=pd.DataFrame({"category": ["tea"], "margin_share": [margin]}),
    ).iloc[0]
    assert (found["action"], found["reason"]) == (action, reason)


@pytest.mark.parametrize(
    "high, margin, action, reason",
    [
        (
            -0.01,
            0.29,
            "exit",
            "skus sold in both years shrink beyond doubt and margin under the hurdle",
        ),
        (0.0, 0.29, "hold", "growth of skus sold in both years not certain, thin margin"),
        (-0.01, 0.3, "hold", "skus sold in both years shrink beyond doubt"),
    ],
)
def test_leaving_needs_certain_shrinking_and_a_margin_under_the_hurdle(
    high, margin, action, reason
):
    growth = {
        "category": ["tea"],
        "growth": [-0.1],
        "low": [-0.2],
        "high": [high],
        "status": ["complete"],
    }
    found = market.category_verdicts(
        pd.DataFrame(growth),
        concentrated=pd.DataFrame({"category": ["tea"], "hhi": [0.1]}),
        margins=pd.DataFrame({"category": ["tea"], "margin_share": [margin]}),
    )
    assert found[["action", "reason"]].values.tolist() == [[action, reason]]


# published series and sizes


@pytest.mark.parametrize(
    "unit, factor",
    [
        ("EUR", 1.0),
        ("EUR thousand", 1e3),
        ("USD million", 1e6),
        ("$M", 1e6),
        ("EUR m", 1e6),
        ("US$m of sales", 1e6),
        ("EUR billion", 1e9),
    ],
)
def test_a_unit_says_what_one_of_it_is_in_money(unit, factor):
    table = pd.DataFrame(
        {
            "period_on": ["2026-01-01"],
            "series": "s",
            "value": 1.0,
            "published_on": None,
            "unit": unit,
        }
    )
    assert published_series.newest_vintage(table)[1] == factor


@pytest.mark.parametrize("unit", ["share", "percent", "%", "Index 2015"])
def test_a_share_or_an_index_is_no_money(unit):
    table = pd.DataFrame(
        {
            "period_on": ["2026-01-01"],
            "series": "s",
            "value": 1.0,
            "published_on": None,
            "unit": unit,
        }
    )
    with pytest.raises(PlaybookError, match="no series"):
        published_series.newest_vintage(table)


@pytest.mark.parametrize(
    "starts, share",
    [
        (["2026-07-01", "2026-08-01", "2026-09-01"], [0.1, 0.2, 0.3]),
        (["2026-01-01", "2026-04-01", "2026-07-01"], [0.6]),
    ],
)
def test_periods_a_month_apart_are_months_and_a_quarter_apart_quarters(starts, share):
    own = pd.DataFrame({"month": ["2026-07", "2026-08", "2026-09"], "amount": [1.0, 2.0, 3.0]})
    series = pd.DataFrame({"period_on": pd.to_datetime(starts), "value": 10.0})
    found = published_series.market_share(own, series.assign(published_on=pd.NaT))
    assert found["share"].tolist() == pytest.approx(share)


def test_sizes_by_hand_with_the_ranges_that_stand_without_any_given():
    """Four sellers of 10 to 70; a quarter of them below 25, three quarters below 55."""
    listed = sellers(
        *[
            ("2026-10", "tea", n, s, s)
            for n, s in zip("abcd", (10.0, 30.0, 50.0, 70.0), strict=True)
        ]
    )
    series = pd.DataFrame(
        {"period_on": pd.date_range("2025-10-01", periods=13, freq="MS"), "value": 2.0}
    )
    steps = market_size.size_steps(series=series, competitors=listed)
    ends = steps.set_index(["approach", "factor"])[["low", "high"]].apply(tuple, axis=1)
    top, up = ends["top-down"], ends["bottom-up"]
    assert top["published series, one year"] == (24, 24)
    assert top["share that is this trade"] == (1, 1)
    assert top["reachable share"] == up["reachable share"] == (0.1, 0.3)
    assert top["winnable share"] == (0.01, 0.05)
    assert up["listed sellers, one year"] == (160 * 12, 160 * 12)
    assert up["1 / share of the trade they cover"] == pytest.approx((1 / 0.7, 1 / 0.3))
    seller = up["a seller's share, middle half, of the covered part"]
    assert seller == pytest.approx((25 / 160 * 0.3, 55 / 160 * 0.7))


def test_ranges_of_a_product_add_in_quadrature_and_name_their_factors():
    steps = [("a", "TAM", "x", 1.0, np.e**2), ("a", "TAM", "y", 1.0, np.e**2)]
    table = pd.DataFrame(steps, columns=["approach", "measure", "factor", "low", "high"])
    row = market_size.market_size(table).iloc[0]
    half = np.sqrt(2)
    assert row[["low", "mid", "high"]].tolist() == pytest.approx(
        list(np.exp([2 - half, 2, 2 + half]))
    )
    assert (row["n_steps"], row["basis"]) == (2, "x × y")


# people


@pytest.mark.parametrize("n, status", [(29, "few"), (30, "complete")])
def test_thirty_answers_are_enough_to_decide_on(n, status):
    survey = pd.DataFrame({"respondent_id": range(n), "taste": "tea", "pain": "late", "score": 10})
    assert set(personas.survey_answers(survey)["status"]) == {status}
    assert set(personas.survey_personas(survey, by="taste", pain="pain")["status"]) == {status}
    assert personas.net_promoter(survey, question="score")["status"].tolist() == [status]


@pytest.mark.parametrize("answer, nps", [(10, 100), (9, 100), (8, 0), (7, 0), (6, -100), (0, -100)])
def test_who_promotes_and_who_detracts(answer, nps):
    survey = pd.DataFrame({"respondent_id": range(40), "score": answer})
    assert personas.net_promoter(survey, question="score")["nps"].tolist() == [nps]


def test_the_interval_of_a_net_promoter_score_by_hand():
    """Half promoters, half neither: variance .5 - .25, over 40 answers, times 1.96."""
    survey = pd.DataFrame({"respondent_id": range(40), "score": [10] * 20 + [8] * 20})
    row = personas.net_promoter(survey, question="score").iloc[0]
    assert row["high"] - row["nps"] == pytest.approx(100 * 1.959964 * np.sqrt(0.25 / 40))


def pain_tables(n_lines, day="2026-10-05"):
    sold = lines(*[("2026-10-05", f"o{i}", "a", "tea", 1, 5.0) for i in range(n_lines)])
    refund = {"refund_id": "r", "order_id": "o0", "line_no": 1, "sku": "t", "reason": None}
    refunds = pd.DataFrame([refund]).assign(refunded_on=dt.date.fromisoformat(day))
    return sold.assign(line_no=1, sku="t"), refunds


@pytest.mark.parametrize("n_lines, status", [(29, "few"), (30, "complete")])
def test_a_pain_over_thirty_lines_is_decided_on(n_lines, status):
    sold, refunds = pain_tables(n_lines)
    row = personas.pains(sold, as_of=AS_OF, refunds=refunds).iloc[0]
    assert (row["pain"], row["n_base"], row["status"]) == ("(no reason)", n_lines, status)


@pytest.mark.parametrize("day, n", [("2025-10-31", 0), ("2025-11-01", 1), ("2026-10-31", 1)])
def test_pains_are_those_of_twelve_months(day, n):
    sold, refunds = pain_tables(30, day)
    assert len(personas.pains(sold, as_of=AS_OF, refunds=refunds)) == n


def test_one_and_two_stars_are_low():
    sold, _ = pain_tables(30)
    reviews = pd.DataFrame(
        {"sku": "t", "created_at": pd.Timestamp("2026-10-05"), "stars": [1, 2, 3, 5]}
    )
    row = personas.pains(sold, as_of=AS_OF, reviews=reviews).iloc[0]
    assert (row["n"], row["n_base"]) == (2, 4)


def test_parts_of_the_day_and_baskets_at_their_edges():
    at = ["00:00", "05:59", "06:00", "11:59", "12:00", "17:59", "18:00", "23:59"]
    orders = pd.DataFrame({"ordered_at": pd.to_datetime([f"2026-10-05 {t}" for t in at])})
    orders = orders.assign(ordered_on=dt.date(2026, 10, 5), n_lines=[1, 2, 3, 4, 1, 1, 1, 1])
    n = personas.habits(orders).set_index(["dimension", "level"])["n"]
    assert n["part of the day"].to_dict() == {"00-06": 2, "06-12": 2, "12-18": 2, "18-24": 2}
    assert n["basket"].to_dict() == {"2-3 lines": 2, "4 or more": 1, "one line": 5}


@pytest.mark.parametrize("n_both, n_pairs", [(19, 0), (20, 2)])
def test_a_pair_stands_on_twenty_orders(n_both, n_pairs):
    rows = [(f"o{i}", category) for i in range(n_both) for category in ("tea", "pots")]
    table = pd.DataFrame(rows, columns=["order_id", "category"])
    assert len(personas.bought_together(table)) == n_pairs


@pytest.mark.parametrize("n, is_told", [(199, False), (200, True)])
def test_two_hundred_customers_are_enough_for_personas(n, is_told):
    table, orders = shop_of(people(n, [1.0], TASTES[:1], 5)[0])
    if is_told:
        assert len(personas.personas(table, orders, n_resamples=0).described)
    else:
        with pytest.raises(PlaybookError, match="199 known customers"):
            personas.personas(table, orders, n_resamples=0)


def fits_of(*bics):
    share = [np.full(k, 1 / k) for k in range(1, len(bics) + 1)]
    return [
        Classes(s, np.full((len(s), 4), 0.25), 0.0, bic) for s, bic in zip(share, bics, strict=True)
    ]


@pytest.mark.parametrize("bic_of_one, k", [(109.9, 1), (110.0, 2), (110.1, 2)])
def test_a_further_persona_must_lower_bic_by_ten(monkeypatch, bic_of_one, k):
    asked = {}

    def found(*_args, most, seed):
        asked["most"] = most
        return fits_of(bic_of_one, 100.0, 105.0)

    monkeypatch.setattr(personas, "number_of_classes", found)
    wide = np.tile(np.arange(1, 13), (200, 1))
    row = [(f"c{i}", f"k{j:02}") for i in range(200) for j in range(wide.shape[1])]
    table = pd.DataFrame(row, columns=["customer_id", "category"])
    table = table[table["category"] < "k04"]
    table = table.assign(order_id=table["customer_id"])
    orders = pd.DataFrame({"customer_id": table["customer_id"].unique(), "revenue": 1.0})
    orders = orders.assign(order_id=orders["customer_id"], ordered_on=dt.date(2026, 10, 1))
    kinds = personas.personas(table, orders, n_resamples=0)
    assert len(kinds.described) == k and asked["most"] == 4


def test_at_most_eight_personas_are_tried(monkeypatch):
    asked = {}

    def found(*_args, most, seed):
        asked["most"] = most
        raise RuntimeError

    monkeypatch.setattr(personas, "number_of_classes", found)
    row = [(f"c{i}", f"k{j:02}") for i in range(200) for j in range(12)]
    table = pd.DataFrame(row, columns=["customer_id", "category"])
    with pytest.raises(RuntimeError):
        personas.personas(table, table, n_resamples=0)
    assert asked["most"] == 8


def test_the_range_of_a_persona_holds_nine_resamples_in_ten(monkeypatch):
    drawn = np.linspace(0.5, 1.5, 101)[:, None]
    monkeypatch.setattr(personas, "number_of_classes", lambda *_a, **_k: fits_of(1.0))
    monkeypatch.setattr(personas, "class_stability", lambda *_a, **_k: (np.ones(1), drawn))
    row = personas.personas(*shop_of(people(200, [1.0], TASTES[:1], 5)[0])).described.iloc[0]
    assert (row["low"], row["high"]) == (pytest.approx(0.55), pytest.approx(1.45))


@pytest.mark.parametrize(
    "lifts, shares, label",
    [
        ((1.15, 0.5), (0.5, 0.5), "everything"),
        ((1.16, 0.5), (0.5, 0.5), "a"),
        ((9.0, 1.2), (0.02, 0.98), "b"),
        ((9.0, 1.2), (0.021, 0.979), "a + b"),
        ((3.0, 5.0, 4.0), (0.3, 0.3, 0.3), "b + c"),
    ],
)
def test_what_names_a_persona(lifts, shares, label):
    profile = pd.DataFrame(
        {"persona": "P1", "level": list("abc")[: len(lifts)], "share": shares, "lift": lifts}
    )
    assert personas._favourites(profile).loc["P1", "label"] == label


def test_price_bands_of_personas_are_fifths():
    bought = pd.DataFrame({"price": np.arange(1.0, 102.0)})
    bands = personas.with_price_band(bought).to_pandas()["price_band"]
    assert sorted(set(bands)) == [
        "price band 1, up to 21.00",
        "price band 2, up to 41.00",
        "price band 3, up to 61.00",
        "price band 4, up to 81.00",
        "price band 5, above 81.00",
    ]


# the season


@pytest.mark.parametrize(
    "n_months, statuses", [(23, {"not identifiable"}), (24, {"partial"}), (36, {"complete"})]
)
def test_a_season_needs_two_years_and_is_complete_with_three(n_months, statuses):
    months = pd.period_range("2022-01", periods=n_months, freq="M").astype(str)
    found = seasonal_index(pd.DataFrame({"month": months, "amount": 10.0}))
    assert set(found["status"]) == statuses


def test_the_interval_of_a_season_is_students_at_ninety_per_cent():
    """Two years of ratios .9 and 1.1 in January, 1 elsewhere: pooled spread by hand."""
    months = pd.period_range("2022-07", periods=36, freq="M").astype(str)
    amount = np.full(36, 100.0)
    amount[6], amount[18] = 90.0, 110.0
    found = seasonal_index(pd.DataFrame({"month": months, "amount": amount}))
    table = pd.DataFrame({"amount": amount}, index=pd.PeriodIndex(months, freq="M"))
    mean = table["amount"].rolling(12).mean()
    base = ((mean + mean.shift(-1)).shift(-5) / 2).dropna()
    ratio = (table["amount"] / base).dropna()
    by_month = ratio.groupby(ratio.index.month)
    spread = np.sqrt(((ratio - by_month.transform("mean")) ** 2).sum() / 12)
    sums = (
        table["amount"][base.index].groupby(base.index.month).sum()
        / base.groupby(base.index.month).sum()
    )
    half = 1.7822876 * spread / np.sqrt(2) / sums.mean()
    assert (found["high"] - found["index"]).to_numpy() == pytest.approx(np.full(12, half))


# decisions


def decided(**tables):
    verdicts = pd.DataFrame(
        columns=["category", "action", "reason", "same_skus_growth", "low", "high", "hhi"]
    )
    return decisions.market_decisions(
        verdicts, due_on="2026-11-30", revisit_on="2027-01-31", **tables
    )


@pytest.mark.parametrize("gap, n", [(-0.09, 0), (-0.1, 0), (-0.11, 1)])
def test_a_band_is_filled_from_a_gap_of_a_tenth_on(gap, n):
    bands = pd.DataFrame(
        {
            "category": ["tea"],
            "low_price": 1.0,
            "high_price": 2.0,
            "units_share": 0.1,
            "offers_share": 0.2,
        }
    )
    rows = decided(bands=bands.assign(gap_share=gap))
    assert len(rows) == n
    if n:
        assert rows.iloc[0][["subject", "action", "size"]].tolist() == [
            "tea, 1.00 to 2.00",
            "fill band",
            0.11,
        ]


@pytest.mark.parametrize("stability, confidence", [(0.74, "low"), (0.75, "low"), (0.76, "high")])
def test_a_persona_is_served_first_with_confidence_above_three_quarters(stability, confidence):
    table = pd.DataFrame(
        {
            "persona": ["P1", "P2"],
            "label": ["tea", "pots"],
            "customers": [60.0, 40.0],
            "customers_share": [0.6, 0.4],
            "cm_share": [0.5, 0.5],
            "revenue_share": [0.9, 0.1],
            "stability": [0.1, stability],
        }
    )
    row = decided(people=table).iloc[0]
    assert (row["subject"], row["size"], row["confidence"]) == ("P2 pots", 40.0, confidence)
    assert (row["evidence_metric"], row["evidence_value"], row["threshold"]) == (
        "cm_share",
        0.5,
        0.4,
    )


@pytest.mark.parametrize(
    "action, confidence, is_idle",
    [("widen", "high", False), ("exit", "high", False), ("hold", "medium", True)],
)
def test_what_a_category_decision_says(action, confidence, is_idle):
    verdict = {
        "category": "tea",
        "action": action,
        "reason": "why",
        "same_skus_growth": 0.2,
        "low": 0.1,
        "high": 0.3,
        "hhi": 0.1,
    }
    row = decisions.market_decisions(
        pd.DataFrame([verdict]),
        growth=pd.DataFrame({"category": ["tea"], "revenue": [1000.0]}),
        currency="EUR",
        due_on="2026-11-30",
        revisit_on="2027-01-31",
    ).iloc[0]
    assert (row["confidence"], bool(row.fillna(False)["is_idle"])) == (confidence, is_idle)
    assert row["effect_unit"] == "EUR revenue gained, as forecast, a year"
