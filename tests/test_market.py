"""Market and people: by hand on small tables, by rule on random ones, by the book on
the US Census files.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.market_research.decisions import (
    _claims,
    market_decisions,
    size_decisions,
)
from playbook.chapters.market_research.market import (
    NO_CATEGORY,
    category_verdicts,
    concentration,
    growth_by,
    like_for_like,
    price_bands,
    price_mix,
    price_position,
    with_category,
)
from playbook.chapters.market_research.market_size import market_size, size_gap, size_steps
from playbook.chapters.market_research.personas import (
    bought_together,
    habits,
    net_promoter,
    pains,
    persona_pains,
    personas,
    survey_answers,
    survey_personas,
)
from playbook.chapters.market_research.published_series import (
    market_share,
    newest_vintage,
    series_revisions,
)
from playbook.errors import PlaybookError
from playbook.methods.latent_class import class_stability, number_of_classes
from playbook.methods.seasonal_index import seasonal_index
from playbook.sources.importing import import_files

AS_OF = dt.date(2026, 10, 31)


def lines(*rows):
    names = ["ordered_on", "order_id", "customer_id", "category", "quantity", "revenue"]
    t = pd.DataFrame(rows, columns=names)
    t["ordered_on"] = pd.to_datetime(t["ordered_on"]).dt.date
    return t.astype({"quantity": "int64", "revenue": float})


def random_lines(n=3000, seed=1, categories=("tea", "pots")):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "ordered_on": [
                dt.date(2024, 9, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 790, n)
            ],
            "order_id": [f"o{i // 2}" for i in range(n)],
            "customer_id": [f"c{i}" for i in rng.integers(0, 400, n)],
            "category": rng.choice(categories, n),
            "quantity": rng.integers(1, 4, n),
            "revenue": rng.gamma(2, 20, n).round(2),
        }
    )


def test_like_for_like_leaves_launches_out_and_keeps_lines_of_no_sku():
    days = ["2024-09-02", "2025-10-02", "2026-10-05", "2026-10-06", "2026-10-07"]
    t = lines(*[(day, f"o{n}", "a", "tea", 1, 10) for n, day in enumerate(days)])
    kept = like_for_like(t.assign(sku=["old", "old", "old", "new", None]), as_of=AS_OF)
    assert sorted(kept.to_pandas().order_id) == ["o0", "o1", "o2", "o4"]
    assert (
        len(
            like_for_like(
                t.assign(sku=pd.Series([None] * 5, dtype="string")), as_of=AS_OF
            ).to_pandas()
        )
        == 5
    )


def test_growth_compares_the_same_months_and_marks_new_and_thin_categories():
    t = lines(
        ("2024-10-02", "o0", "a", "tea", 1, 5),
        ("2025-10-02", "o1", "a", "tea", 1, 100),
        ("2026-10-05", "o2", "a", "tea", 1, 150),
        ("2026-10-06", "o3", None, "pots", 1, 50),
    )
    out = growth_by(t, as_of=AS_OF, by="category", months=1).set_index("category")
    assert out.loc["tea", "growth"] == pytest.approx(0.5)
    assert (out.loc["tea", "status"], out.loc["pots", "status"]) == ("few", "new")
    assert np.isnan(out.loc["pots", "growth"])
    assert out.loc["tea", "share"] == pytest.approx(0.75)
    assert set(out["basis"]) == {"a year before"}


def test_growth_without_a_year_of_history_says_that_the_season_is_in_it():
    t = lines(("2026-05-01", "o1", "a", "tea", 1, 100), ("2026-10-05", "o2", "a", "tea", 1, 150))
    assert growth_by(t, as_of=AS_OF, by="category")["basis"].iloc[0].endswith("season not removed")


def test_growth_interval_covers_at_its_level_when_nothing_grows():
    covered = []
    for seed in range(25):
        out = growth_by(random_lines(seed=seed), as_of=AS_OF, by="category", months=6, level=0.9)
        covered += list((out["low"] <= 0) & (out["high"] >= 0))
    assert 0.78 <= np.mean(covered) <= 0.98


def test_shares_sum_to_one_and_row_order_does_not_matter():
    t = random_lines()
    a, b = (growth_by(x, as_of=AS_OF, by="category") for x in (t, t.sample(frac=1, random_state=3)))
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert a["share"].sum() == pytest.approx(1) and a["share_difference"].sum() == pytest.approx(0)


def test_a_rising_mean_price_may_be_nothing_but_mix():
    t = lines(
        ("2024-10-01", "o0", "a", "tea", 1, 10),
        ("2025-10-02", "o1", "a", "tea", 9, 90),
        ("2025-10-02", "o2", "a", "pots", 1, 50),
        ("2026-10-05", "o3", "a", "tea", 5, 45),
        ("2026-10-05", "o4", "a", "pots", 5, 245),
    )
    row = price_mix(t, as_of=AS_OF, months=1).iloc[0]
    assert row["change"] > 0 > row["same_mix"]
    assert row["same_mix"] + row["mix"] == pytest.approx(row["change"])


def test_season_is_found_and_needs_more_than_a_year():
    months = pd.period_range("2022-01", periods=48, freq="M")
    season = np.array([8, 8, 9, 9, 10, 10, 9, 9, 10, 11, 14, 13]) / 10
    t = pd.DataFrame(
        {
            "month": months.astype(str),
            "amount": 100 * 1.01 ** np.arange(48) * season[np.arange(48) % 12],
        }
    )
    out = seasonal_index(t)
    assert out["index"].to_numpy() == pytest.approx(season / season.mean(), abs=0.02)
    assert (out["n_years"] == 3).all() and (out["low"] <= out["high"]).all()
    short = seasonal_index(t.head(14))
    assert set(short["status"]) == {"not identifiable"} and short["index"].isna().all()


def test_market_size_multiplies_and_adds_ranges_in_quadrature():
    steps = pd.DataFrame(
        {
            "approach": "top-down",
            "measure": ["TAM", "SAM"],
            "factor": ["series", "category"],
            "low": [100, 0.1],
            "high": [100, 0.4],
        }
    )
    out = market_size(steps).set_index("measure")
    assert out.loc["TAM", ["low", "mid", "high"]].tolist() == pytest.approx([100, 100, 100])
    assert out.loc["SAM", ["low", "mid", "high"]].tolist() == pytest.approx([10, 20, 40])
    with pytest.raises(PlaybookError, match="positive"):
        market_size(steps.assign(low=[100, 0]))


def test_the_revised_quarter_between_two_imported_vintages_is_reported(shared_data, tmp_path):
    for quarter, day in (("Q3", "2024-11-19"), ("Q4", "2025-02-19")):
        file = shared_data / "market-series" / f"ECOMSA_vintage_2024{quarter}.csv"
        import_files("series", [file], tmp_path / "store", observed_on=day)
    revised = series_revisions(pd.read_parquet(tmp_path / "store/market_series.parquet"))
    row = revised[pd.to_datetime(revised["period_on"]) == "2024-07-01"].iloc[0]
    assert (row["first_value"], row["value"]) == (300_053, 300_873)
    assert row["change_share"] == pytest.approx(300_873 / 300_053 - 1)


def test_market_share_uses_the_newest_vintage_and_whole_periods_only():
    series = pd.DataFrame(
        {
            "period_on": pd.to_datetime(["2025-07-01", "2026-07-01", "2026-07-01", "2026-10-01"]),
            "series": "retail",
            "value": [100.0, 110.0, 120.0, 130.0],
            "published_on": pd.to_datetime(
                ["2025-11-01", "2026-10-01", "2026-10-20", "2026-11-01"]
            ),
        }
    )
    own = pd.DataFrame(
        {
            "month": ["2025-07", "2025-08", "2025-09", "2026-07", "2026-08", "2026-09", "2026-10"],
            "amount": [1.0, 1, 1, 2, 2, 2, 9],
        }
    )
    published, factor = newest_vintage(series, "retail")
    assert factor == 1.0
    out = market_share(own, published).set_index("period_on")
    assert list(out.index.strftime("%Y-%m")) == ["2025-07", "2026-07"]
    row = out.loc["2026-07-01"]
    assert row["share"] == pytest.approx(6 / 120) and row["own_growth"] == pytest.approx(1.0)
    assert row["market_growth"] == pytest.approx(0.2) and str(row["vintage"].date()) == "2026-10-20"
    with pytest.raises(PlaybookError, match="no series 'x'"):
        newest_vintage(series, "x")


def test_hhi_is_the_sum_of_squared_shares():
    t = pd.DataFrame(
        {
            "month": "2026-10",
            "category": "tea",
            "seller": list("abcd"),
            "sales_low": [40.0, 30, 20, 10],
            "sales_high": [40.0, 30, 20, 10],
            "price": 1.0,
        }
    )
    row = concentration(t).iloc[0]
    assert row["hhi"] == pytest.approx(0.3) and row["cr5"] == pytest.approx(1)
    assert row["hhi_low"] == pytest.approx(0.3) and np.isnan(row["own_share"])
    mine = concentration(t, own=pd.DataFrame({"category": ["tea"], "amount": [100.0]})).iloc[0]
    assert mine["own_share"] == pytest.approx(0.5)


def prices(*rows):
    t = pd.DataFrame(rows, columns=["from_on", "sku", "seller", "price", "currency"])
    return t.assign(from_on=pd.to_datetime(t["from_on"]).dt.date)


def test_price_gap_is_against_the_valid_median_and_foreign_prices_are_named():
    t = prices(
        ("2026-01-01", "s", "own", 10.0, "EUR"),
        ("2026-06-01", "s", "own", 12.0, "EUR"),
        ("2026-01-01", "s", "b", 10.0, "EUR"),
        ("2026-01-01", "s", "c", 14.0, "EUR"),
        ("2026-12-01", "s", "d", 1.0, "EUR"),
        ("2026-01-01", "s", "e", 900.0, "JPY"),
    )
    found, left_out = price_position(t, as_of=AS_OF, currency="EUR")
    assert found["gap_share"].iloc[0] == pytest.approx(0.0) and found["n_sellers"].iloc[0] == 2
    assert left_out.to_dict("records") == [{"currency": "JPY", "n_rows": 1}]
    with pytest.raises(PlaybookError, match="EUR, JPY"):
        price_position(t, as_of=AS_OF, currency="USD")


def test_price_bands_hold_equal_offers_and_show_the_band_left_to_others():
    offers = pd.DataFrame({"category": "tea", "price": [5.0, 6, 15, 16, 25, 26, 35, 36]})
    t = lines(
        *[("2026-10-01", f"o{i}", "a", "tea", 1, 6.0) for i in range(9)],
        ("2026-10-01", "o9", "a", "tea", 1, 36.0),
    )
    out = price_bands(t, offers=offers)
    assert out["offers_share"].tolist() == [0.25] * 4
    assert out["units_share"].tolist() == pytest.approx([0.9, 0, 0, 0.1])
    assert out["gap_share"].tolist() == pytest.approx([0.65, -0.25, -0.25, -0.15])
    assert out["margin_share"].isna().all()


def test_to_widen_needs_growth_an_open_market_and_margin_and_exit_needs_certainty():
    growth = pd.DataFrame(
        {
            "category": list("abcde"),
            "growth": [0.3, 0.3, -0.3, 0.05, np.nan],
            "low": [0.1, 0.1, -0.4, -0.1, np.nan],
            "high": [0.5, 0.5, -0.2, 0.2, np.nan],
            "status": ["complete"] * 4 + ["few"],
        }
    )
    hhi = pd.DataFrame({"category": list("abcdef"), "hhi": [0.1, 0.6, 0.1, 0.1, 0.1, 0.1]})
    margins = pd.DataFrame({"category": list("abcde"), "margin_share": [0.5, 0.5, 0.1, 0.5, 0.5]})
    out = category_verdicts(growth, concentrated=hhi, margins=margins).set_index("category")[
        "action"
    ]
    assert out.to_dict() == {
        "a": "widen",
        "b": "hold",
        "c": "exit",
        "d": "hold",
        "e": "research",
        "f": "research",
    }


def test_pains_are_counted_over_what_they_could_have_been_said_about():
    sold = lines(*[("2026-10-01", f"o{i}", "a", "tea", 1, 5.0) for i in range(40)]).assign(
        line_no=1, sku="t1"
    )
    refunds = pd.DataFrame(
        {
            "refund_id": ["r1", "r2"],
            "order_id": ["o1", None],
            "line_no": pd.array([1, None], "Int64"),
            "sku": ["t1", "t1"],
            "reason": ["broken", "broken"],
            "refunded_on": [dt.date(2026, 10, 9)] * 2,
        }
    )
    tickets = pd.DataFrame(
        {"ticket_id": ["k"], "opened_at": pd.to_datetime(["2026-10-02"]), "topic": ["late"]}
    )
    reviews = pd.DataFrame(
        {
            "review_id": ["v", "w"],
            "created_at": pd.to_datetime(["2026-10-02"] * 2),
            "stars": [1.0, 5.0],
            "sku": ["t1", "t1"],
        }
    )
    out = pains(sold, as_of=AS_OF, refunds=refunds, tickets=tickets, reviews=reviews).set_index(
        "source"
    )
    assert out.loc["return reason", ["n", "n_base"]].tolist() == [2, 40]
    assert out.loc["ticket topic", ["n", "n_base"]].tolist() == [1, 40]
    assert out.loc["review", "share"] == 0.5 and out.loc["review", "status"] == "few"
    profile = pd.DataFrame({"persona": ["P1"], "level": ["tea"], "share": [1.0], "lift": [1.0]})
    assert persona_pains(profile, out.reset_index())["pain"].tolist() == ["broken"]


def test_a_survey_of_twelve_is_shown_and_marked_and_weights_lower_what_it_is_worth():
    t = pd.DataFrame(
        {
            "respondent_id": range(12),
            "answered_on": dt.date(2026, 10, 1),
            "weight": [1.0] * 11 + [11.0],
            "pain": ["price"] * 11 + ["late"],
        }
    )
    out = survey_answers(t).set_index("answer")
    assert set(out["status"]) == {"few"} and (out["n"] == 12).all()
    assert out.loc["late", "share"] == pytest.approx(0.5)
    assert out["n_effective"].iloc[0] == pytest.approx(22**2 / (11 + 121))
    with pytest.raises(PlaybookError, match="no question taste"):
        survey_answers(t, questions=("taste",))
    with pytest.raises(PlaybookError, match="below zero"):
        survey_answers(t.assign(weight=-1.0))


def test_habits_count_each_fact_over_the_orders_that_have_it():
    t = pd.DataFrame(
        {
            "ordered_at": pd.to_datetime(
                ["2026-10-05 08:00", "2026-10-06 20:00", "2026-10-12 09:00"]
            ),
            "device": ["mobile", None, "desktop"],
            "channel": ["email"] * 3,
            "n_lines": [1, 2, 5],
        }
    )
    t["ordered_on"] = t["ordered_at"].dt.date
    out = habits(t).set_index(["dimension", "level"])
    assert out.loc[("weekday", "1 Mon"), "n"] == 2
    assert out.loc[("device", "mobile"), ["n", "n_base"]].tolist() == [1, 2]
    assert out.loc[("part of the day", "06-12"), "share"] == pytest.approx(2 / 3)


def test_lift_is_one_for_independent_categories_by_hand():
    t = pd.DataFrame({"order_id": ["a", "a", "b", "c", "d"], "category": ["x", "y", "x", "y", "z"]})
    out = bought_together(t, min_orders=1).set_index(["category", "with_category"])
    assert out.loc[("x", "y"), "lift"] == pytest.approx((1 / 2) / (2 / 4))


def people(n, shares, tastes, seed):
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(shares), n, p=shares)
    counts = np.array(
        [rng.multinomial(1 + rng.poisson(rng.gamma(0.5, 9)), tastes[k]) for k in kind]
    )
    return counts, kind


TASTES = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1], [0.1, 0.1, 0.2, 0.6]])


def test_classes_recover_their_number_and_sizes_within_a_fifth():
    for seed in (1, 2, 3):
        counts, _ = people(4000, [0.5, 0.3, 0.2], TASTES, seed)
        distinct, n = np.unique(counts, axis=0, return_counts=True)
        fits = number_of_classes(distinct.astype(float), n.astype(float), most=6, seed=0)
        best = min(fits, key=lambda f: f.bic)
        assert best.shares == pytest.approx([0.5, 0.3, 0.2], rel=0.2)
        stable, drawn = class_stability(
            distinct.astype(float), n.astype(float), best, seed=0, n_resamples=4
        )
        assert (stable > 0.9).all() and drawn.shape == (4, 3)


def shop_of(counts):
    row = [
        (f"c{i:04d}", "abcd"[j]) for i, c in enumerate(counts) for j in np.repeat(np.arange(4), c)
    ]
    t = pd.DataFrame(row, columns=["customer_id", "category"])
    t["order_id"], t["ordered_on"], t["revenue"], t["margin"] = (
        t["customer_id"] + "o",
        dt.date(2026, 10, 1),
        10.0,
        4.0,
    )
    orders = t.groupby(["customer_id", "order_id"], as_index=False).agg(
        revenue=("revenue", "sum"), margin=("margin", "sum")
    )
    return t, orders.assign(ordered_on=dt.date(2026, 10, 1), channel="email", region="north")


def test_personas_are_described_sized_and_the_same_in_any_row_order():
    t, orders = shop_of(people(1500, [0.5, 0.3, 0.2], TASTES, 5)[0])
    found = personas(t, orders, n_resamples=3)
    assert found.described["customers_share"].tolist() == pytest.approx([0.5, 0.3, 0.2], rel=0.2)
    assert found.described["label"].tolist()[0].startswith("a")
    ends = found.described[["low", "high"]].to_numpy()
    size = found.described["customers_share"].to_numpy()
    assert (ends[:, 0] <= size).all() and (size <= ends[:, 1]).all()
    assert (
        found.described["cm_share"].sum() == pytest.approx(1)
        and (found.described["frequency"].round(9) == 1).all()
    )
    assert found.members.sum(axis=1).to_numpy() == pytest.approx(1)
    again = personas(
        t.sample(frac=1, random_state=1), orders.sample(frac=1, random_state=2), n_resamples=3
    )
    pd.testing.assert_frame_equal(found.described, again.described, check_exact=True)


def test_buyers_all_alike_are_one_persona_and_few_buyers_are_refused():
    t, orders = shop_of(people(1500, [1.0], TASTES[:1], 5)[0])
    assert len(personas(t, orders, n_resamples=2).described) == 1
    with pytest.raises(PlaybookError, match="50 known customers are too few"):
        personas(*shop_of(people(50, [1.0], TASTES[:1], 5)[0]))


def test_lines_without_a_known_category_are_kept_and_named():
    t = pd.DataFrame({"order_id": ["a", "b"], "sku": ["x", "y"], "is_product": [True, False]})
    out = with_category(t, pd.DataFrame({"sku": ["z"], "category": ["tea"]})).to_pandas()
    assert out["category"].tolist() == ["(no category)"]


def test_personas_of_the_demo_shop_have_their_true_sizes_within_a_fifth():
    from playbook.demo.presets import SEED, plan
    from playbook.demo.world import World
    from playbook.store import open_store

    preset, last, switches = plan(
        "demo", customers=None, months=None, until="2026-10", seed=SEED, switches=None
    )
    true = np.sort(World(preset, last, SEED, switches).persona_share)[::-1]
    shop = open_store("demo")
    found = personas(
        with_category(shop.sales_lines, shop.products), shop.sales_orders, n_resamples=3
    ).described
    assert found["customers_share"].to_numpy() == pytest.approx(true, rel=0.2)
    assert (found["stability"] > 0.75).all()


def test_the_newest_vintage_of_a_series_in_money_is_chosen_and_its_unit_read():
    t = pd.DataFrame(
        {
            "period_on": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-01"]),
            "series": ["share of retail", "sales", "sales"],
            "value": [0.2, 10.0, 11.0],
            "published_on": pd.to_datetime(["2026-03-01", "2026-03-01", "2026-06-01"]),
            "unit": ["share", "EUR million", "EUR million"],
        }
    )
    found, factor = newest_vintage(t)
    assert (found["value"].tolist(), factor) == ([11.0], 1e6)
    with pytest.raises(PlaybookError, match="no series 'x'"):
        newest_vintage(t, "x")


def test_sizes_come_from_the_series_downwards_and_from_the_sellers_upwards():
    series = pd.DataFrame(
        {"period_on": pd.date_range("2025-01-01", periods=24, freq="MS"), "value": 1.0}
    )
    sellers = pd.DataFrame(
        {
            "month": "2026-10",
            "seller": ["a", "b"],
            "sales_low": [1.0, 1.0],
            "sales_high": [1.0, 1.0],
        }
    )
    steps = size_steps(
        series=series, competitors=sellers, factor=10.0, reachable=(0.5, 0.5), covered=(0.5, 0.5)
    )
    size = market_size(steps).set_index(["approach", "measure"])["mid"]
    assert size["top-down", "TAM"] == pytest.approx(120) and size[
        "top-down", "SAM"
    ] == pytest.approx(60)
    assert size["bottom-up", "TAM"] == pytest.approx(2 * 12 / 0.5)
    assert size_steps().empty


def test_before_launch_people_are_told_apart_by_what_they_answered():
    t = pd.DataFrame(
        {
            "respondent_id": range(60),
            "answered_on": dt.date(2026, 10, 1),
            "likes": ["tea"] * 40 + ["pots"] * 20,
            "pain": ["late"] * 25 + ["none"] * 35,
        }
    )
    out = survey_personas(t, by="likes", pain="pain").set_index("label")
    assert (
        out.loc["tea", "customers_share"] == pytest.approx(2 / 3)
        and out.loc["tea", "pain"] == "late"
    )
    assert out.loc["pots", ["pain", "status"]].tolist() == ["", "few"]


def test_nps_is_promoters_less_detractors_with_an_interval():
    t = pd.DataFrame(
        {
            "respondent_id": range(40),
            "answered_on": dt.date(2026, 10, 1),
            "ask": [10] * 20 + [8] * 10 + [3] * 10,
        }
    )
    row = net_promoter(t, question="ask").iloc[0]
    assert row["nps"] == pytest.approx(25) and row["low"] < 25 < row["high"] and row["n"] == 40


def test_a_category_nobody_can_judge_yet_is_research_and_the_others_carry_a_range():
    verdicts = pd.DataFrame(
        {
            "category": ["a", "b"],
            "action": ["widen", "research"],
            "reason": ["grows", "not known: margin"],
            "same_skus_growth": [0.2, np.nan],
            "low": [0.1, np.nan],
            "high": [0.3, np.nan],
            "hhi": [0.1, 0.1],
            "margin_share": [0.5, np.nan],
        }
    )
    growth = pd.DataFrame({"category": ["a"], "revenue": [1000.0]})
    ahead = pd.DataFrame({"low": [1100.0, 90], "mid": [1200.0, 100], "high": [1300.0, 110]})
    ahead = ahead.assign(year_before=[1000.0, 100.0]).set_index(pd.Index(["a", "b"]))
    due = {"due_on": "2026-11-30", "revisit_on": "2027-01-31"}
    rows = market_decisions(verdicts, growth=growth, ahead=ahead, **due).set_index("subject")
    assert rows.loc["a", ["action", "effect_low", "expected_effect", "effect_high"]].tolist() == [
        "widen",
        100,
        200,
        300,
    ]
    assert rows.loc["b", "action"] == "research"
    nowhere = verdicts.assign(category=[NO_CATEGORY, NO_CATEGORY])
    assert market_decisions(nowhere, growth=growth, ahead=ahead, **due).empty
    # the other category loses 50: the one decided on may not claim 200 of the 150 in all
    ahead.loc["b", "mid"] = 50.0
    rows = market_decisions(verdicts, growth=growth, ahead=ahead, **due).set_index("subject")
    assert rows.loc["a", "expected_effect"] == pytest.approx(150)
    rows = market_decisions(verdicts, growth=growth, **due).set_index("subject")
    assert pd.isna(rows.loc["a", "expected_effect"])


@pytest.mark.parametrize(
    "mids, told", [([160.0, 90, 70], [30, -10, -30]), ([160.0, 90, 400], [60, -10, 300])]
)
def test_gains_of_categories_are_told_no_larger_than_the_shop_grows_and_losses_whole(mids, told):
    """By hand: 60 won, 10 and 30 lost make 20 in all; without the third, which is not decided
    on, the two may claim 20, so the gain counts as 30 beside the loss of 10.
    """
    ahead = pd.DataFrame({"mid": mids, "low": mids, "high": mids}, index=["a", "b", "c"])
    ahead["year_before"] = 100.0
    verdicts = pd.DataFrame({"category": ["a", "b"], "action": ["widen", "hold"]})
    claims = _claims(verdicts, ahead)["mid"]
    assert claims.to_numpy() == pytest.approx(told)


def sizes(**ranges):
    """measure and way -> (low, mid, high)."""
    rows = [(name.split("_")[0], name.split("_")[1], *ends) for name, ends in ranges.items()]
    columns = ["measure", "approach", "low", "mid", "high"]
    way = {"top": "top-down", "bottom": "bottom-up"}
    return pd.DataFrame(rows, columns=columns).replace({"approach": way})


def test_two_ways_that_do_not_overlap_are_apart_and_own_sales_have_their_place():
    size = sizes(
        TAM_bottom=(50, 90, 140),
        TAM_top=(600, 900, 1200),
        SOM_bottom=(1, 2, 5),
        SOM_top=(5, 20, 60),
        SAM_top=(7, 8, 9),
    )
    out = size_gap(size, 6.0).set_index("measure")
    assert out["verdict"].to_dict() == {"TAM": "apart", "SOM": "meet", "SAM": "one way only"}
    assert out["own_is"].to_dict() == {"TAM": "below", "SOM": "within", "SAM": "below"}
    assert out.loc["TAM", "top_over_bottom"] == 10
    assert size_gap(size, 300.0).set_index("measure").loc["TAM", "own_is"] == "between"
    assert size_gap(size, 61.0).set_index("measure").loc["SOM", "own_is"] == "above"
    assert size_gap(size)["own_is"].isna().all()


def test_what_is_sold_already_can_be_won_so_a_way_whose_middle_lies_below_is_the_finding():
    """By hand: from the bottom 2 can be won, from the top 20; at 1 and 2 sold nothing is
    wrong, above 2 the way from the bottom is too small, above 20 both are.
    """
    size = sizes(SOM_bottom=(1, 2, 5), SOM_top=(4, 20, 60))

    def found(own):
        return size_gap(size, own).iloc[0]

    assert [found(own)["finding"] for own in (np.nan, 2.0, 2.1)] == ["agree"] * 2 + ["sold already"]
    assert found(4.0)["own_over_bottom"] == 2 and found(4.0)["own_over_top"] == 0.2
    about = {"currency": "EUR", "due_on": "2026-11-30", "revisit_on": "2027-01-31"}
    assert size_decisions(size_gap(size, 2.0), **about).empty
    row = size_decisions(size_gap(size, 4.0), **about).iloc[0]
    assert (row["action"], row["size"], row["evidence_value"]) == ("research", 4.0, 2.0)
    assert row["reason"].count("times the middle") == 1
    both = size_decisions(size_gap(size, 40.0), **about).iloc[0]
    assert both["evidence_value"] == 20 and both["reason"].count("times the middle") == 2


def test_two_ways_apart_say_at_which_share_of_the_trade_they_would_meet():
    size = sizes(TAM_bottom=(50, 90, 140), TAM_top=(600, 900, 1200))
    about = {"currency": "EUR", "due_on": "2026-11-30", "revisit_on": "2027-01-31"}
    gap = size_gap(size, 10.0)
    assert gap["finding"].tolist() == ["ways apart"] and gap["to_meet"].tolist() == [0.1]
    row = size_decisions(gap, **about).iloc[0]
    assert row["size"] == 10 and "10.00%" in row["reason"]
    assert size_gap(size[size["approach"] == "top-down"])["finding"].tolist() == ["one way only"]
    assert size_decisions(None, **about).empty
