"""By hand and by rule: a headline figure by any two dimensions adds up, whatever the cut."""

import datetime as dt
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from shops import order, write_shop

from playbook.errors import PlaybookError
from playbook.measures.drill import FIGURES, drill_cells, drill_down, drill_pairs, week_before
from playbook.methods.decomposition import mix_and_rate
from playbook.store import open_store

ON = dt.date(2026, 10, 14)


def one(name, day, channel, device, **more):
    about = {"customer": name[:3], "unit_cost": 4.0, "paid_at": pd.Timestamp(day)}
    return order(name, day, channel=channel, device=device, **{**about, **more})


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Search on a telephone falls from 4 orders to 2, all others stay; a mug comes back."""
    folder = tmp_path_factory.mktemp("drill") / "shop"
    rows = []
    for day, n in (("2026-10-05", 4), ("2026-10-12", 2)):
        rows += [one(f"s{k}{day}", day, "search", "mobile") for k in range(n)]
        rows += [one(f"d{k}{day}", day, "search", "desktop", quantity=2) for k in range(2)]
        rows += [one(f"m{day}", day, "mail", "mobile", sku="hat", price=30.0)]
    visits = [
        {"day_on": f"2026-10-{day}", "channel": c, "device": d, "sessions": n}
        for day in ("05", "12")
        for c, d, n in (("search", "mobile", 100), ("search", "desktop", 50), ("mail", "mobile", 9))
    ]
    products = [{"sku": "mug", "category": "home"}, {"sku": "hat", "category": "wear"}]
    back = {"refund_id": "r1", "order_id": "s02026-10-05", "amount": 10.0, "kind": "refund"}
    tables = {"traffic": visits, "products": products}
    tables["refunds"] = [back | {"refunded_on": "2026-10-13", "sku": "mug"}]
    frames = {name: pd.DataFrame(part) for name, part in tables.items()}
    for name, day in (("traffic", "day_on"), ("refunds", "refunded_on")):
        frames[name][day] = pd.to_datetime(frames[name][day]).dt.date
    write_shop(folder, rows, observed_to="2026-10-14", **frames)
    return drill_cells(open_store(folder, until=str(ON)), **week_before(ON))


def test_the_part_that_moved_comes_first_with_its_own_change(cells):
    table = drill_down(cells, "net_revenue", by=("channel", "device")).set_index("part")
    assert list(table.index[:2]) == ["all", "search · mobile"]
    # 40 + 40 + 30 before; 20 + 40 + 30 and a refund of 10 now
    assert (table.before["all"], table.after["all"]) == (110.0, 80.0)
    assert table.contribution["search · mobile"] == pytest.approx(-30.0)
    assert table.contribution["mail · mobile"] == table.contribution["search · desktop"] == 0.0


def test_conversion_by_visits_is_the_part_s_orders_over_its_sessions(cells):
    table = drill_down(cells, "cvr_sessions", by=("channel", "device")).set_index("part")
    assert table.before["search · mobile"] == pytest.approx(0.04)
    assert table.after["search · mobile"] == pytest.approx(0.02)
    assert table.rate["search · mobile"] == pytest.approx(-0.02 * 100 / 159)
    assert table.mix.abs().max() < 1e-12


@pytest.mark.parametrize("metric", list(FIGURES))
def test_parts_add_up_to_the_change_of_the_whole_by_every_two_dimensions(cells, metric):
    pairs = list(combinations(cells.dimensions(metric), 2))
    assert pairs
    for pair in pairs:
        table = drill_down(cells, metric, by=pair)
        every, parts = table.iloc[0], table.iloc[1:]
        assert parts.contribution.sum() == pytest.approx(every.after - every.before, abs=1e-12)
        told = parts[["volume", "mix", "rate"]].sum(axis=1)
        assert np.allclose(told, parts.contribution)


def test_a_ratio_s_mix_and_rate_are_those_of_the_review(cells):
    table = drill_down(cells, "aov", by=("channel", "device")).set_index("part")
    sums = cells.orders.assign(part=cells.orders.channel + " · " + cells.orders.device)
    ends = [
        sums[sums.period == p].groupby("part")[["orders", "net_revenue"]].sum().astype(float)
        for p in ("before", "now")
    ]
    split = mix_and_rate(*ends, weight="orders", amount="net_revenue").set_index("segment")
    for column in ("mix", "rate"):
        assert np.allclose(table[column].reindex(split.index), split[column])


def test_cut_short_a_drill_down_still_adds_up(cells):
    table = drill_pairs(cells, ["net_revenue"], parts=1)
    for _pair, part in table.groupby("by"):
        parts = part.iloc[1:]
        assert len(parts) <= 2
        assert parts.contribution.sum() == pytest.approx(part.contribution.iloc[0])


@pytest.mark.parametrize(
    "metric, by",
    [
        ("gmv", ("channel", "device")),
        ("aov", ("channel", "category")),
        ("net_revenue", ("channel", "channel")),
        ("sessions", ("channel", "customer_type")),
    ],
)
def test_what_cannot_be_cut_is_refused_with_what_can(cells, metric, by):
    with pytest.raises(PlaybookError) as refused:
        drill_down(cells, metric, by=by)
    assert refused.value.do
