"""A month stands alone: what lies broken in earlier ones is named and left out, what lies
in its way is named, and it is made from one state of its store.
"""

import json
import multiprocessing
import os
import shutil
import time

import pandas as pd
import pytest
from small_month import write_shop
from test_month import Kitchen, stocked

from playbook.cli import main
from playbook.errors import PlaybookError
from playbook.runs import month as month_module
from playbook.runs import plan
from playbook.runs.answers import answers, followup
from playbook.runs.results import PREDICTION_COLUMNS, Results
from playbook.runs.track_record import track_record
from playbook.store import open_store
from playbook.store.cache import file_hash
from playbook.store.state import state_of
from playbook.store.write import held, locked, reading


class Cook(Kitchen):
    """A fake executor that leaves predictions too, and may do something to the store."""

    during = None

    def __call__(self, source, target, parameters, **given):
        outcome = super().__call__(source, target, parameters, **given)
        if source.stem == "04_cohorts" and outcome.status == "done":
            about = dict.fromkeys(PREDICTION_COLUMNS, 1.0)
            about |= {"metric": "orders", "subject": "all", "due_on": "2026-02-28", "model": "m"}
            results = Results("04_cohorts", str(target.parents[1]), month=parameters["month"])
            results.predict(pd.DataFrame([about | {"horizon": "1"}]))
            if self.during:
                self.during()
        return outcome


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    cook = stocked(monkeypatch, tmp_path, Cook())
    cook.runs = tmp_path / "runs/corner"
    return cook


def damage(path):
    path.write_bytes(path.read_bytes()[:20] + b"\0" * 8)


def drop_columns(path):
    pd.read_parquet(path).iloc[:, :2].to_parquet(path)


def to_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [damage, drop_columns, to_folder])
@pytest.mark.parametrize(
    "file", ["predictions.parquet", "04_cohorts/decisions.parquet", "../decisions_log.parquet"]
)
def test_what_is_broken_in_an_earlier_month_is_named_and_left_out(kitchen, capsys, file, harm):
    kitchen.run(month="2026-01")
    log = pd.DataFrame({"decision_id": ["x"], "status": "done", "done_on": "", "note": ""})
    log.assign(done_size=1.0).to_parquet(kitchen.runs / "decisions_log.parquet")
    harm((kitchen.runs / "2026-01" / file).resolve())
    assert main(["run", "--store", "shop", "--month", "2026-02", "--notify", "n.txt"]) == 0
    name = os.path.normpath(f"2026-01/{file}")
    assert f"{name} was left out" in capsys.readouterr().out
    record = json.loads((kitchen.runs / "2026-02/run.json").read_text())
    assert [broken["file"] for broken in record["set_aside"]] == [name]
    assert name in (kitchen.runs.parent.parent / "n.txt").read_text()
    track_record(kitchen.runs / "2026-02")
    followup(kitchen.runs / "2026-02")
    answers(kitchen.runs)


@pytest.mark.parametrize("text", ["{", "[]", "", '{"notebooks": 3}', '{"notebooks": {"a": 1}}'])
def test_a_broken_record_of_an_earlier_month_is_named_and_its_predictions_left_out(kitchen, text):
    kitchen.run(month="2026-01")
    assert len(track_record(kitchen.run(month="2026-02").folder).scored) == 1
    (kitchen.runs / "2026-01/run.json").write_text(text)
    shutil.rmtree(kitchen.runs / "2026-02")
    done = kitchen.run(month="2026-02")
    assert done.record["set_aside"][0]["file"] == "2026-01/run.json"
    assert len(track_record(done.folder).scored) == 0


def test_a_sound_past_leaves_no_word_in_the_record(kitchen):
    kitchen.run(month="2026-01")
    assert "set_aside" not in kitchen.run(month="2026-02").record


@pytest.mark.parametrize("name", [".2026-02.partial", "2026-02", ".2026-02.old"])
def test_a_file_in_the_place_of_a_folder_of_ours_is_named(kitchen, name, capsys):
    kitchen.runs.mkdir(parents=True)
    (kitchen.runs / name).write_text("a stray file")
    assert main(["run", "--store", "shop", "--month", "2026-02"]) == 1
    told = capsys.readouterr().err
    assert name in told and "Traceback" not in told
    assert (kitchen.runs / name).read_text() == "a stray file"


@pytest.mark.parametrize("name", [".2026-02.lock", "../../runs"])
def test_a_stray_thing_beside_the_month_is_named(kitchen, name, capsys):
    place = kitchen.runs / name
    if name.endswith("runs"):
        (kitchen.runs.parents[1] / "runs").write_text("no folder")
    else:
        place.mkdir(parents=True)
    assert main(["run", "--store", "shop", "--month", "2026-02"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told and "Refused" in told


def test_a_store_that_changes_during_a_run_publishes_nothing(kitchen, tmp_path):
    kitchen.during = lambda: write_shop(tmp_path / "shop", price=11)
    with pytest.raises(PlaybookError, match="store changed while 2026-02"):
        kitchen.run(month="2026-02")
    assert sorted(p.name for p in kitchen.runs.iterdir()) == [".2026-02.lock"]
    kitchen.during = None
    assert kitchen.run(month="2026-02").status == 0


def test_a_change_that_keeps_size_and_time_is_seen(kitchen, tmp_path):
    orders = tmp_path / "shop/orders.csv"

    def swap():
        before = orders.stat()
        orders.write_text(orders.read_text().replace(",20,", ",30,"))
        os.utime(orders, ns=(before.st_atime_ns, before.st_mtime_ns))

    first = file_hash(orders)
    swap()
    assert file_hash(orders) != first
    write_shop(tmp_path / "shop")
    kitchen.during = swap
    with pytest.raises(PlaybookError, match="store changed"):
        kitchen.run(month="2026-02")


def test_a_chapter_that_read_another_state_is_named(kitchen, tmp_path):
    def pretend():
        place = kitchen.runs / ".2026-02.partial/04_cohorts"
        place.mkdir(exist_ok=True)
        (place / "notes.json").write_text('{"rows": {}, "blocked": [], "content": "another"}')

    kitchen.during = pretend
    with pytest.raises(PlaybookError, match="04_cohorts read another state"):
        kitchen.run(month="2026-02", jobs=1)


def test_the_state_of_a_server_changes_with_its_rows(tmp_path):
    import duckdb

    shop = write_shop(tmp_path / "s")
    with duckdb.connect(tmp_path / "shop.db") as con:
        for name in ("orders", "order_lines"):
            con.execute(f"CREATE TABLE {name} AS FROM read_csv('{shop / name}.csv')")
    before = state_of(open_store(f"duckdb://{tmp_path}/shop.db"))
    assert state_of(open_store(f"duckdb://{tmp_path}/shop.db")) == before
    with duckdb.connect(tmp_path / "shop.db") as con:
        con.execute("UPDATE order_lines SET sku = 'longer' WHERE order_id = 'o1'")
    assert state_of(open_store(f"duckdb://{tmp_path}/shop.db")) != before


def _hold(folder, how, ready, seconds):
    with {"run": reading, "import": locked}[how](folder):
        ready.set()
        time.sleep(seconds)


@pytest.mark.parametrize(
    "first, second, is_free",
    [("run", "run", True), ("run", "import", False), ("import", "run", False), ("import", "import", False)],
)  # fmt: skip
def test_runs_read_beside_each_other_and_imports_stand_alone(tmp_path, first, second, is_free):
    (tmp_path / ".lock").touch()
    ready = multiprocessing.get_context("spawn").Event()
    given = (tmp_path, first, ready, 30)
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=given)
    holder.start()
    try:
        assert ready.wait(20)
        shared = {"is_shared": second == "run", "wait_seconds": 0.2}
        try:
            with held(tmp_path / ".lock", "store.locked", **shared):
                assert is_free
        except PlaybookError as refused:
            assert not is_free and "or a month is being made" in str(refused)
    finally:
        holder.kill()
        holder.join()
    with held(tmp_path / ".lock", "store.locked"):  # the system freed it: no stale lock
        pass


def test_a_second_run_of_the_month_is_refused_by_name(kitchen):
    def again():
        with pytest.raises(PlaybookError, match="Another run of 2026-02"):
            month_module.run_month("shop", month="2026-02", wish=plan.Wish())

    kitchen.during = again
    assert kitchen.run(month="2026-02").status == 0
