"""The truth is honest: what it states is what re-simulation finds, within the error of
the simulation itself.
"""

import numpy as np
import pandas as pd
import pytest

from playbook.demo.money import order_margin, refund_margin
from playbook.demo.shop import Shop
from playbook.demo.truth import replay
from playbook.demo.writing import ids


def counted(months):
    return sum(int(np.isin(c["o_fate"], (0, 3)).sum()) for c in months)


@pytest.fixture(scope="module")
def shop():
    return Shop(preset="tiny", customers=2_000, months=12)


def test_orders_a_channel_caused_are_the_orders_that_vanish_without_its_spend():
    # with an endless shelf nothing couples one buyer to another: the statement is exact, to the order
    easy = Shop(preset="tiny", customers=700, months=8, switches={"stockouts": False})
    stated = easy.truth["channels"].groupby("channel").incremental_orders.sum()
    every = counted(easy._chunks)
    for channel in ("search", "social", "content"):
        months = list(replay(easy._sim.world, easy._chunks, without=channel))
        assert every - counted(months) == stated[channel] > 0, channel


def test_on_a_shelf_that_empties_the_statement_holds_within_the_noise_of_the_shelf(shop):
    # the buyers a channel brings empty shelves others would have bought from, and change what is ordered again
    stated = shop.truth["channels"].groupby("channel").incremental_orders.sum()
    lost = counted(shop._chunks) - counted(replay(shop._sim.world, shop._chunks, without="search"))
    assert abs(lost - stated["search"]) < 4 * np.sqrt(stated["search"]) + 0.03 * stated["search"]


def test_a_replay_of_what_was_is_what_was(shop):
    again = list(replay(shop._sim.world, shop._chunks))
    assert all(
        np.array_equal(a["o_key"], b["o_key"]) for a, b in zip(again, shop._chunks, strict=True)
    )


def test_fresh_futures_give_the_stated_remaining_values(shop):
    truth = shop.truth["customers"]
    n, sim = shop._sim.n, shop._sim
    stated = truth.set_index("customer_id").loc[ids(sim.people["key"][:n], 12, "C").to_pylist()]
    rank = stated.margin_12m.rank(method="first").to_numpy()
    group = np.digitize(rank, np.quantile(rank, [0.7, 0.9]))
    found = []
    for future in range(4):
        twin, value = sim.copy(), np.zeros(n)
        twin.reseed(future)
        for _ in range(12):
            c = twin.month()
            of = np.repeat(np.arange(len(c["o_who"])), c["o_lines"])
            margin = (order_margin(c) + np.bincount(of, refund_margin(c), len(c["o_who"]))) / 100
            old = c["o_who"] < n
            value += np.bincount(c["o_who"][old], margin[old], n)
        found.append([value.sum(), *np.bincount(group, value, 3)])
    found = np.array(found)
    says = np.array([stated.margin_12m.sum(), *np.bincount(group, stated.margin_12m, 3)])
    error = np.sqrt(
        found.var(axis=0, ddof=1) / len(found)
        + (says * stated["shared_se_share_12m"].iloc[0]) ** 2
        + (stated["margin_12m_se"] ** 2).sum() * (says / says[0])
    )
    z = (found.mean(axis=0) - says) / np.maximum(error, 1e-9)
    assert np.abs(z[[0, 2, 3]]).max() < 3.5, (says, found.mean(axis=0), error)
    assert says[1] < 0.1 * says[0]


def test_people_who_dropped_out_are_worth_nothing_and_the_rest_something(shop):
    truth = shop.truth["customers"]
    assert (truth[~truth.is_alive].margin_24m == 0).all()
    alive = truth[truth.is_alive]
    assert (alive.margin_24m > alive.margin_12m - 1e-9).mean() > 0.99 and (
        alive.n_futures >= 200
    ).all()
    assert (alive.margin_12m_se > 0).mean() > 0.9
    assert np.corrcoef(alive.rate_per_day * alive.basket_lines, alive.margin_12m)[0, 1] > 0.6


def test_units_wanted_are_never_fewer_than_units_sold_and_equal_on_an_endless_shelf(shop):
    wanted = shop.truth["sku_demand"].groupby("sku").units_wanted.sum()
    lines = shop.tables["order_lines"].to_pandas().groupby("sku").quantity.sum()
    assert wanted.sum() > lines.sum()
    easy = Shop(preset="tiny", customers=200, months=3, switches={"all": False})
    both = easy.truth["sku_demand"].groupby("sku").units_wanted.sum()
    sold = easy.tables["order_lines"].to_pandas().groupby("sku").quantity.sum()
    assert (both[sold.index] == sold).all() and both.sum() == sold.sum()


def test_demand_answers_to_a_price_with_the_stated_elasticity():
    easy = Shop(
        preset="tiny", customers=2_500, months=4, switches={"all": False, "elasticity": True}
    )
    skus = easy.truth["skus"].set_index("sku").elasticity
    picked = list(
        easy._sim.world.sku_ids[np.argsort(-easy._sim.world.appeal, kind="stable")[2:14:3]]
    )
    price = easy.tables["products"].to_pandas().set_index("sku").list_price.astype(float)[picked]
    wanted = []
    for share in (1.0, 0.85):
        twin = easy.copy()
        for _ in range(4):
            twin.advance({"prices": (price * share).to_dict()})
        demand = twin.truth["sku_demand"]
        wanted.append(
            demand[pd.to_datetime(demand.day_on) >= "2026-11-01"]
            .groupby("sku")
            .units_wanted.sum()[picked]
        )
    expected = (wanted[0] * 0.85 ** skus[picked]).sum()
    error = np.sqrt(
        expected - wanted[0].sum()
    )  # common chance: only the added demand is drawn anew
    assert (
        abs(wanted[1].sum() - expected) < 3.5 * error + 0.04 * expected
    )  # 4 %: a cheaper sku also crowds others out


def test_the_test_that_works_works_by_the_stated_lift_and_the_other_does_not():
    big = Shop(preset="tiny", customers=6_000, months=6)
    rows, truth = (
        big.tables["experiments"].to_pandas(),
        big.truth["effects"].set_index("test").effect,
    )
    for test, part in rows.groupby("test_id"):
        arms = part.groupby("arm").is_converted.agg(["mean", "sum"])
        lift = arms["mean"]["B"] / arms["mean"]["A"] - 1
        error = np.sqrt((1 / arms["sum"]).sum()) * (1 + truth[test])
        assert abs(lift - truth[test]) < 3.5 * error, (test, lift, error)


def test_the_best_price_is_the_best_price_of_the_law(shop):
    skus, world = shop.truth["skus"].set_index("sku"), shop._sim.world
    sku = skus[(skus.elasticity < -1.8) & (skus.elasticity > -3)].index[0]
    i = int(np.flatnonzero(world.sku_ids == sku)[0])
    p = np.linspace(0.4, 2.9, 2001) * world.list_price[i]
    cost = world.unit_cost(shop._sim.day - 1)[i] + 45 * world.weight[i]
    share = 1 - 0.02 - 0.014 * (1 + 0.2 * 0.87) - world.return_share[i] * 1.1
    gain = (p * share - cost) * (p / world.list_price[i]) ** skus.elasticity[sku]
    assert abs(p[gain.argmax()] / 100 - skus.best_price[sku]) < 0.02 * skus.best_price[sku]


def test_truth_lies_in_files_and_says_what_it_is(shop, tmp_path):
    folder = shop.store(tmp_path / "s", with_truth=True)
    assert {p.stem for p in (folder / "truth").glob("*.parquet")} == {
        "customers",
        "channels",
        "response",
        "skus",
        "sku_demand",
        "category_season",
        "orders",
        "season",
        "suppliers",
        "effects",
        "benefits",
        "incidents",
        "invitations",
        "partners",
        "search_results",
        "search_words",
        "stated",
        "offers",
        "carriers",
        "attempts",
        "page_loads",
        "rivals",
        "content",
        "ideas",
    }
    channels = pd.read_parquet(folder / "truth/channels.parquet")
    assert np.allclose(
        channels.roi * channels.spend, channels.incremental_margin - channels.spend, equal_nan=True
    )
    assert (
        channels.incremental_orders
        == channels.first_orders + channels.nudged_orders + channels.later_orders
    ).all()
