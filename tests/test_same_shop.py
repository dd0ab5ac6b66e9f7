"""Two shops are told apart by what they are, not by what they are called."""

import shutil

import pandas as pd
import pytest
from small_month import write_shop
from small_pack import write_month

from playbook.decisions import Decision
from playbook.errors import PlaybookError
from playbook.runs.folders import read_record, write_json
from playbook.runs.results import Results
from playbook.runs.same_shop import require_same_shop
from playbook.store import open_store
from playbook.store.identity import identity_of, is_same_shop


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "runs"


def published(months, shop):
    """A month of a shop as a run leaves it."""
    folder = write_month(months, "2026-01", is_bare=True)
    write_json(folder / "run.json", read_record(folder) | {"shop": identity_of(shop)})
    return folder


def another(folder, **named):
    """The same shop's folder with other columns in its orders."""
    write_shop(folder)
    orders = pd.read_csv(folder / "orders.csv").assign(**named)
    orders.to_csv(folder / "orders.csv", index=False)
    if "order_id" in named:
        lines = pd.read_csv(folder / "order_lines.csv").assign(order_id=named["order_id"])
        lines.to_csv(folder / "order_lines.csv", index=False)
    return open_store(folder)


def test_a_second_shop_of_the_same_name_is_refused_and_told_what_to_do(runs, tmp_path):
    first = open_store(write_shop(tmp_path / "a"))
    published(runs / "corner", first)
    second = another(tmp_path / "b", order_id=[f"w{n}" for n in range(6)])
    assert first.name == second.name == "corner"
    with pytest.raises(PlaybookError) as refusal:
        require_same_shop(runs / "corner", second)
    told = str(refusal.value)
    assert "another `name`" in told and "--runs" in told
    assert f"`id: {identity_of(first)['id']}`" in told and str(runs / "corner") in told


def test_a_moved_folder_a_later_delivery_and_a_window_that_moved_on_are_the_same_shop(
    runs, tmp_path
):
    folder = write_shop(tmp_path / "a")
    published(runs / "corner", open_store(folder))
    moved = open_store(shutil.move(folder, tmp_path / "elsewhere"))
    dearer = open_store(write_shop(tmp_path / "dearer", price=99))
    # the first month has gone but for its last order
    for table in ("orders", "order_lines"):
        path = tmp_path / "window" / f"{table}.csv"
        whole = pd.read_csv(write_shop(tmp_path / "window") / f"{table}.csv")
        kept = whole[2:]
        path.with_suffix(".kept").write_text(kept.to_csv(index=False))
    for path in sorted((tmp_path / "window").glob("*.kept")):
        path.replace(path.with_suffix(".csv"))
    window = open_store(tmp_path / "window")
    ids = {require_same_shop(runs / "corner", shop)["id"] for shop in (moved, dearer, window)}
    # the id the months already have, though the window's own would be another
    assert ids == {identity_of(moved)["id"]} != {identity_of(window)["id"]}


def test_an_id_in_shop_yaml_decides_over_how_the_orders_look(runs, tmp_path):
    first = open_store(write_shop(tmp_path / "a"))
    published(runs / "corner", first)
    made = identity_of(first)["id"]
    write_shop(tmp_path / "b")
    settings = (tmp_path / "b" / "shop.yaml").read_text()
    (tmp_path / "b" / "shop.yaml").write_text(f"{settings}id: '{made}'\n")
    orders = pd.read_csv(tmp_path / "b" / "orders.csv")
    orders.assign(ordered_at="2026-01-03 11:11:11").to_csv(
        tmp_path / "b" / "orders.csv", index=False
    )
    assert require_same_shop(runs / "corner", open_store(tmp_path / "b"))["id"] == made
    one = {"id": "north", "is_stated": True, "origin": {"2026-01": "x"}}
    assert not is_same_shop(one, one | {"id": "south"})
    assert is_same_shop(one, one | {"id": "south", "is_stated": False})


def test_a_month_that_says_nothing_of_its_shop_and_a_shop_without_orders_are_no_clash(
    runs, tmp_path
):
    write_month(runs / "corner", "2026-01", is_bare=True)
    shop = open_store(write_shop(tmp_path / "a"))
    assert require_same_shop(runs / "corner", shop) == identity_of(shop)
    nothing = {"id": "", "is_stated": False, "origin": {}}
    assert is_same_shop(nothing, identity_of(shop)) and is_same_shop(identity_of(shop), nothing)


def test_a_folder_renamed_without_a_name_in_shop_yaml_is_told_where_its_months_are(runs, tmp_path):
    folder = write_shop(tmp_path / "old")
    (folder / "shop.yaml").write_text("currency: EUR\n")
    published(runs / "old", open_store(folder))
    renamed = open_store(shutil.move(folder, tmp_path / "new"))
    with pytest.raises(PlaybookError, match="`name: old`"):
        require_same_shop(runs / "new", renamed)
    (tmp_path / "new" / "shop.yaml").write_text("name: new\ncurrency: EUR\n")
    require_same_shop(runs / "new", open_store(tmp_path / "new"))


def test_a_decision_keeps_its_id_when_the_folder_moves(runs, tmp_path):
    ids = []
    for place in ("here", "far/away"):
        shop = open_store(write_shop(tmp_path / place))
        results = Results("11_monthly_review", "", shop=shop)
        results.decide(
            Decision("kpi", "aov", "raise", 2.0), Decision("data", "Costs", "blocked", reason="x")
        )
        ids.append(list(results.decisions().decision_id))
    assert ids[0] == ids[1]
