"""Media by region: what regions share falls out, regions pool, and where they teach nothing the
whole shop is asked.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from known_truth_regions import draw_regions

from playbook.chapters.channel_roi.media_model import MediaWeeks, RegionWeeks, fit_media
from playbook.chapters.channel_roi.media_regions import region_weeks
from playbook.methods.baseline import baseline_design
from playbook.methods.regional import RegionFit, can_compare, fit_regions
from playbook.sources.media_table import weekly_media

NAMES = ["a", "b"]


@pytest.fixture(scope="module")
def world():
    return draw_regions(701, n_weeks=80, n_regions=5, n_channels=2)


@pytest.fixture(scope="module")
def fit(world):
    design = baseline_design(len(world.y), controls=world.control)
    return fit_regions(world.y, world.spend, channels=NAMES, design=design, steps=120, seed=1)


def test_regions_add_up_to_the_country_and_returns_to_what_was_caused(world, fit):
    whole, parts = fit.contributions(50), fit.in_regions(50)
    np.testing.assert_allclose(parts.sum(axis=1), whole)
    assert parts.shape == (50, 5, 2, 80)
    roi = fit.contributions(len(fit.roi)).sum(axis=2) / world.spend.sum(axis=(0, 1))
    np.testing.assert_allclose(roi, fit.roi, rtol=1e-9)


def test_a_demand_all_regions_share_changes_no_answer(world, fit):
    """The same weeks with half the country's sales added to every region by its size."""
    heads = world.y.sum(axis=0) / world.y.sum()
    wave = 0.5 * world.y.sum(axis=1).mean() * np.sin(np.arange(80))
    wave -= wave.mean()
    design = baseline_design(len(world.y), controls=world.control)
    again = fit_regions(
        world.y + wave[:, None] * heads,
        world.spend,
        channels=NAMES,
        design=design,
        steps=120,
        seed=1,
    )
    np.testing.assert_allclose(np.median(again.roi, 0), np.median(fit.roi, 0), rtol=1e-3)


def test_the_contribution_of_a_known_country_is_met(world, fit):
    middle = np.median(fit.contributions(200), axis=0).T
    error = np.sqrt(((middle - world.caused) ** 2).mean(axis=0)) / world.caused.mean(axis=0)
    assert error.mean() < 0.16


def test_money_dealt_out_alike_everywhere_teaches_nothing_by_region(world):
    heads = world.y.sum(axis=0) / world.y.sum()
    alike = world.spend.sum(axis=1)[:, None, :] * heads[:, None]
    assert can_compare(world.y, world.spend)
    assert not can_compare(world.y, alike)
    assert not can_compare(world.y[:, :3], world.spend[:, :3])
    one_channel_alike = np.concatenate([world.spend[..., :1], alike[..., 1:]], axis=2)
    assert not can_compare(world.y, one_channel_alike)


def weeks_of(world, spend=None):
    spend = world.spend if spend is None else spend
    starts = pd.date_range("2024-01-01", periods=len(world.y), freq="7D")
    frame = pd.DataFrame({"week_on": starts, "response": world.y.sum(axis=1), "reason": ""})
    money = pd.DataFrame(spend.sum(axis=1), columns=NAMES)
    names = tuple("vwxyz"[: world.y.shape[1]])
    return MediaWeeks(frame, money, (), None, RegionWeeks(names, world.y, spend))


def test_a_shop_falls_back_to_the_whole_where_regions_teach_nothing(world):
    heads = world.y.sum(axis=0) / world.y.sum()
    alike = world.spend.sum(axis=1)[:, None, :] * heads[:, None]
    by_region = fit_media(weeks_of(world), steps=60)
    whole = fit_media(weeks_of(world, alike), steps=60)
    assert isinstance(by_region.fit, RegionFit)
    assert not isinstance(whole.fit, RegionFit)
    assert "5 regions" in by_region.basis_said()
    assert "does not differ" in whole.basis_said()


def orders_of(world, unknown=0.0):
    """One order a week and region with the week's sales, and a row of spend beside it."""
    starts = pd.date_range("2024-01-01", periods=len(world.y), freq="7D")
    orders, spend = [], []
    for t, start in enumerate(starts):
        for r, region in enumerate("vwxyz"):
            orders.append((start, region, world.y[t, r] * (1 - unknown)))
            spend += [(start, c, region, world.spend[t, r, k]) for k, c in enumerate(NAMES)]
        orders.append((start, None, world.y[t].sum() * unknown))
    orders = pd.DataFrame(orders, columns=["ordered_on", "region", "revenue"])
    columns = ["day_on", "channel", "region", "spend"]
    return orders.assign(margin=np.nan), pd.DataFrame(spend, columns=columns)


@pytest.mark.parametrize(("unknown", "is_known"), [(0.0999, True), (0.1001, False)])
def test_nine_tenths_of_sales_must_carry_a_region(world, unknown, is_known):
    orders, spend = orders_of(world, unknown)
    weeks = weeks_of(world)
    as_of = dt.date(2024, 1, 1) + dt.timedelta(days=7 * len(world.y) - 1)
    found = region_weeks(weeks, orders, ad_spend=spend, as_of=as_of)
    assert (found is not None) == is_known
    if is_known:
        # sums stay those of the shop
        assert found.response.sum() == pytest.approx(world.y.sum())
        np.testing.assert_allclose(found.spend.sum(axis=(0, 1)), weeks.spend.sum())
        assert found.names == ("v", "w", "x", "y", "z", "")


def test_a_weekly_table_with_a_region_column_comes_in_by_its_mapping(world):
    starts = pd.date_range("2024-01-01", periods=len(world.y), freq="7D")
    rows = [
        (start, region, world.y[t, r], *world.spend[t, r], world.control[t])
        for t, start in enumerate(starts)
        for r, region in enumerate("vwxyz")
    ]
    table = pd.DataFrame(rows, columns=["week", "place", "sales", "tv", "social", "weather"])
    mapping = {
        "week_on": "week",
        "response": "sales",
        "spend": {"a": "tv", "b": "social"},
        "controls": ["weather"],
        "region": "place",
    }
    weeks = weekly_media(table.sample(frac=1, random_state=1), mapping)
    np.testing.assert_allclose(weeks.regions.response, world.y)
    np.testing.assert_allclose(weeks.regions.spend, world.spend)
    np.testing.assert_allclose(weeks.frame.response, world.y.sum(axis=1))
    np.testing.assert_allclose(weeks.frame.weather, world.control)
    np.testing.assert_allclose(weeks.spend["b"], world.spend[..., 1].sum(axis=1))
