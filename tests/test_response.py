"""Spend against sales where the truth is known: shapes by hand, returns by rule, doubts
by name.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import yaml
from known_truth_mmm import draw_world

from playbook.chapters.channel_roi.budget import allocate
from playbook.chapters.channel_roi.media_model import (
    MediaWeeks,
    fit_media,
    held_out_weeks,
    media_weeks,
)
from playbook.chapters.channel_roi.media_plan import CONVERGED, plan_budget, response_table
from playbook.errors import PlaybookError
from playbook.methods.baseline import baseline_design
from playbook.methods.confounding import follows_demand
from playbook.methods.ensemble import nested_rhat
from playbook.methods.response import GeoResult, adstock, fit_response, forecast_weeks, hill
from playbook.sources.media_table import weekly_media

NAMES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def world():
    return draw_world(3)


@pytest.fixture(scope="module")
def fit(world):
    return fit_response(world.y, world.spend, channels=NAMES, design=design(world), steps=400)


def design(world):
    return baseline_design(len(world.y), controls=world.control)


def weeks_of(spend, y):
    days = pd.date_range("2024-01-01", periods=len(y), freq="7D")
    frame = pd.DataFrame({"week_on": days, "response": y, "reason": ""})
    return MediaWeeks(frame, pd.DataFrame(spend, columns=NAMES[: spend.shape[1]]), ())


def test_a_steady_spend_is_its_own_adstock_and_half_saturation_gives_half():
    assert adstock(np.full((80, 1), 70.0), [0.5])[-1, 0] == pytest.approx(70)
    assert adstock(np.array([[10.0], [0], [0]]), [0.5])[:, 0] == pytest.approx(
        [10 * 4 / 7, 10 * 2 / 7, 10 / 7]
    )
    assert hill(np.array([0.0, 50.0]), 50.0, 1.3) == pytest.approx([0, 0.5])


def test_returns_are_found_within_a_tenth_on_average_and_better_than_by_least_squares(world, fit):
    worlds = [draw_world(seed) for seed in range(3)]
    fits = [fit_response(w.y, w.spend, channels=NAMES, design=design(w), steps=250) for w in worlds]
    error, plain, covered = [], [], []
    for w, f in zip([*worlds, world], [*fits, fit], strict=True):
        least = np.linalg.lstsq(np.column_stack([w.spend, design(w)]), w.y, rcond=None)[0][:4]
        low, high = np.quantile(f.roi, [0.05, 0.95], axis=0)
        error.append(np.abs(np.median(f.roi, 0) / w.roi - 1))
        plain.append(np.abs(least / w.roi - 1))
        covered.append((low < w.roi) & (w.roi < high))
    assert np.mean(error) < 0.1
    assert np.mean(error) < np.mean(plain) / 2
    assert np.mean(covered) >= 0.75
    assert fit.mixing.max() < CONVERGED


def test_short_walks_agree_together_and_a_stuck_group_or_a_drift_does_not():
    """Eighty walkers that keep nine tenths of a step's place agree though each alone has seen
    little; with one walker in four three spreads off, or all of them drifting by two, they
    do not.
    """
    rng, steps = np.random.default_rng(5), np.empty((200, 80, 1))
    at = rng.standard_normal((80, 1))
    for step in range(len(steps)):
        at = steps[step] = 0.9 * at + np.sqrt(1 - 0.9**2) * rng.standard_normal((80, 1))
    assert nested_rhat(steps) < CONVERGED
    stuck = steps + 3.0 * (np.arange(80) % 4 == 0)[None, :, None]
    drifting = steps + np.linspace(0, 2, len(steps))[:, None, None]
    assert nested_rhat(stuck) > CONVERGED and nested_rhat(drifting) > CONVERGED


def test_contributions_add_up_to_the_return_times_spend(world, fit):
    made = fit.contributions(50).sum(2)
    kept = fit.roi[np.linspace(0, len(fit.roi) - 1, 50).astype(int)]
    assert made == pytest.approx(kept * world.spend.sum(0), rel=1e-9)


def test_the_marginal_return_is_the_slope_of_the_steady_curve(fit, world):
    now = world.spend.mean(0)
    step = fit.steady(now * 1.0001) - fit.steady(now)
    assert fit.marginal(now) == pytest.approx(step / (now * 0.0001), rel=1e-3)


def test_the_same_seed_draws_the_same_posterior(world):
    told = {"channels": NAMES, "design": design(world), "steps": 30, "seed": 5}
    one, two = (fit_response(world.y, world.spend, **told) for _ in range(2))
    assert np.array_equal(one.roi, two.roi)


def test_missing_weeks_carry_spend_forward_and_can_be_foretold(world):
    y = world.y.copy()
    y[-6:] = np.nan
    fitted = fit_response(y, world.spend, channels=NAMES, design=design(world), steps=300)
    drawn = forecast_weeks(y, fitted, design=design(world))
    low, high = np.quantile(drawn, [0.01, 0.99], axis=0)
    assert ((low < world.y[-6:]) & (world.y[-6:] < high)).sum() >= 5
    assert np.abs(np.median(drawn, 0) / world.y[-6:] - 1).max() < 0.12


def test_budgets_that_chase_demand_are_flagged_and_others_seldom():
    def flags(**kind):
        worlds = [draw_world(seed, **kind) for seed in range(40, 44)]
        fits = [
            fit_response(w.y, w.spend, channels=NAMES, design=design(w), steps=60) for w in worlds
        ]
        return [
            follows_demand(w.y, f, design=design(w)).is_flagged
            for w, f in zip(worlds, fits, strict=True)
        ]

    assert sum(flags(demand=0.08, chase=0.7)) >= 3
    assert sum(flags()) <= 1


def test_a_test_result_moves_the_return_towards_what_was_measured():
    world = draw_world(8, demand=0.08, chase=0.7)
    truth = GeoResult("b", world.roi[1], 0.1 * world.roi[1], 0, 103)
    known = {"channels": NAMES, "design": design(world), "steps": 300}
    plain = fit_response(world.y, world.spend, **known)
    told = fit_response(world.y, world.spend, tests=[truth], chased=NAMES, **known)
    assert np.abs(np.median(told.roi[:, 1]) / world.roi[1] - 1) <= np.abs(
        np.median(plain.roi[:, 1]) / world.roi[1] - 1
    )
    low, high = np.quantile(told.roi[:, 1], [0.05, 0.95])
    assert low < world.roi[1] < high


def test_a_chased_channel_is_known_less_well(world, fit):
    wide = fit_response(
        world.y, world.spend, channels=NAMES, design=design(world), chased=NAMES, steps=300
    )
    assert wide.roi.std(0).mean() > 1.05 * fit.roi.std(0).mean()


def test_what_cannot_be_told_apart_is_named_and_the_rest_still_answered(world):
    spend = world.spend.copy()
    spend[:, 1] = 500.0
    spend[:, 3] = 2 * spend[:, 2]
    model = fit_media(weeks_of(spend, world.y), steps=60)
    verdicts = model.verdicts.set_index("channel")
    assert "constant" in verdicts.note["b"]
    assert "moves together with d" in verdicts.note["c"]
    assert verdicts.verdict.tolist() == [
        "identified",
        "not identifiable",
        "not identifiable",
        "not identifiable",
    ]
    table = response_table(model).set_index("channel")
    assert np.isnan(table.average_return["b"])
    assert table.average_return["c"] == table.average_return["d"] > 0


@pytest.mark.parametrize(
    ("keep", "note"), [(12, "12 weeks can be scored"), (39, "39 weeks can be scored")]
)
def test_too_short_a_history_is_not_identifiable(world, keep, note):
    model = fit_media(weeks_of(world.spend[:keep], world.y[:keep]), steps=60)
    assert model.fit is None
    assert model.verdicts.note.str.contains(note).all()
    assert held_out_weeks(weeks_of(world.spend[:keep], world.y[:keep])).empty
    assert plan_budget(model).verdict == "hold"


def test_spend_without_any_sale_and_spend_in_few_weeks_are_named(world):
    assert (
        fit_media(weeks_of(world.spend, 0 * world.y))
        .verdicts.note.str.contains("nothing was sold")
        .all()
    )
    rare = world.spend.copy()
    rare[:, 0] = 0
    rare[[3, 50], 0] = 900.0
    assert "2 weeks only" in fit_media(weeks_of(rare, world.y), steps=60).verdicts.note[0]


def test_one_channel_alone_is_enough(world):
    model = fit_media(weeks_of(world.spend[:, :1], world.y), steps=60)
    assert model.verdicts.verdict.tolist() == ["identified"]


def test_gaps_and_credits_leave_their_weeks_out():
    days = pd.date_range("2025-01-01", "2025-12-31")
    spend = pd.DataFrame({"day_on": days, "channel": "a", "spend": 10.0, "is_known": True})
    spend.loc[100:104, "spend"] = np.nan
    spend.loc[200, "spend"] = -500.0
    sales = pd.DataFrame({"day_on": days, "response": 7.0})
    weeks = media_weeks(
        sales,
        spend,
        as_of=dt.date(2025, 12, 31),
        channels=["a"],
        controls=pd.DataFrame({"day_on": days}),
    )
    assert sorted(weeks.frame.reason[weeks.frame.reason != ""]) == [
        "negative spend",
        "spend not known",
    ]
    assert weeks.frame.response.isna().sum() == 2
    assert weeks.frame.week_on.iloc[-1] == pd.Timestamp("2025-12-25")
    assert (weeks.spend >= 0).all().all()


def test_allocation_is_exact_where_one_can_check_by_hand():
    def returns(levels):
        return np.column_stack([8 * np.sqrt(levels[:, 0]), 4 * np.sqrt(levels[:, 1])])

    plan = allocate(returns, np.zeros(2), np.full(2, 100.0), 10.0, spend_all=True, steps=1000)
    assert plan == pytest.approx([8, 2], abs=0.02)
    free = allocate(returns, np.zeros(2), np.full(2, 100.0), 100.0, steps=2000)
    assert free == pytest.approx([16, 4], abs=0.1)
    with pytest.raises(ValueError, match="exceed"):
        allocate(returns, np.full(2, 6.0), np.full(2, 9.0), 10.0)


def test_a_plan_keeps_every_bound_and_its_rows_sum_to_the_total(world):
    model = fit_media(weeks_of(world.spend, world.y), steps=200)
    plan = plan_budget(model, largest_step=0.3, floors={"a": 1.0}, caps={"b": 1e9})
    rows = plan.table.set_index("channel")
    assert rows.plan.sum() == pytest.approx(rows.now.sum(), rel=1e-9)
    inside = rows.drop("(not spent)")
    assert ((inside.plan >= inside.floor - 1e-6) & (inside.plan <= inside.cap + 1e-6)).all()
    assert (np.abs(inside.change) <= 0.3 * inside.now + 1e-6).all()
    assert plan.low <= plan.gain <= plan.high
    assert plan.gain == pytest.approx(inside.gain.sum())


MEDIA_TABLES = {
    "robyn": "robyn/dt_simulated_weekly.csv",
    "meridian": "meridian/national_media.csv.gz",
    "pymc-marketing": "pymc-marketing/mmm_example.csv",
}


@pytest.mark.parametrize("name", MEDIA_TABLES)
def test_public_weekly_files_run_through_a_mapping(shared_data, root, name):
    """They hold no truth: what is asked is that every channel gets a return, an
    interval and a verdict.
    """
    mapping = yaml.safe_load(
        (root / "data" / "mappings" / f"{name}.yaml").read_text(encoding="utf-8")
    )
    weeks = weekly_media(pd.read_csv(shared_data / MEDIA_TABLES[name]), mapping)
    assert (weeks.frame.reason == "").all()
    found = response_table(fit_media(weeks, steps=200))
    assert found.channel.tolist() == sorted(mapping["spend"])
    assert (found.verdict == "identified").all()
    ends = found[["average_low", "average_return", "average_high"]].to_numpy()
    assert ends.min() > 0
    assert (np.diff(ends, axis=1) > 0).all()


WEEKLY = pd.DataFrame(
    {
        "monday": ["2026-01-05", "2026-01-12", "2026-01-26", "2026-02-02"],
        "sold": [9, 8, 7, 6.0],
        "tv": [1.0, -2.0, None, 4.0],
    }
)
MAPPED = {"week_on": "monday", "response": "sold", "spend": {"telly": "tv"}}


def test_weeks_that_are_missing_unknown_or_negative_are_not_scored():
    weeks = weekly_media(WEEKLY, MAPPED)
    assert weeks.frame.response.isna().tolist() == [False, True, True, True, False]
    assert weeks.frame.reason.tolist() == [
        "",
        "negative spend",
        "spend not known",
        "spend not known",
        "",
    ]
    assert weeks.spend.telly.min() == 0


def test_a_mapping_that_does_not_fit_its_table_is_refused_by_name():
    with pytest.raises(PlaybookError, match="does not have: radio"):
        weekly_media(WEEKLY, MAPPED | {"spend": {"radio": "radio"}})
    with pytest.raises(PlaybookError, match="not one a week"):
        weekly_media(
            WEEKLY.assign(monday=["2026-01-05", "2026-01-06", "2026-01-19", "2026-01-26"]), MAPPED
        )
