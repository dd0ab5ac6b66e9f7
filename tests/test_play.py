"""The shop game: what is refused is not played, what is taken up later is the same
game, players are told apart.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.segmentation.campaigns import campaign_returns
from playbook.demo.oracle import oracle
from playbook.demo.shop import Shop
from playbook.errors import PlaybookError
from playbook.runs.tidy import tidied
from playbook.training import decisions as chapters
from playbook.training.learners import records
from playbook.training.play import AS_BEFORE, Game, main, play_on, start_game

SMALL = {"seed": 101, "preset": "tiny"}
LIVELY = {"budgets": {"search": 640.0, "display": 0}, "order_levels": {}, "treatments": []}


@pytest.fixture(scope="module")
def start():
    return Shop(**SMALL)


@pytest.fixture(scope="module")
def skus(start):
    return start.tables["products"].to_pandas().sku.tolist()


def bytes_of(shop, folder):
    return {p.name: p.read_bytes() for p in sorted(shop.store(folder).glob("*")) if p.is_file()}


def test_as_before_is_nothing_decided(start):
    twin = start.copy()
    twin.advance(None)
    twin.advance(None)
    pd.testing.assert_frame_equal(play_on(start, "as-before", 2).profit(), twin.profit())
    with pytest.raises(PlaybookError, match="no player 'you'"):
        play_on(start, "you", 1)


def test_a_game_taken_up_again_is_the_game_in_one_go_byte_for_byte(tmp_path, skus):
    months = [
        LIVELY | {"prices": {skus[0]: 19.9}, "order_levels": {skus[1]: (np.int64(9), 30)}},
        None,
        {"supplier_orders": pd.DataFrame({"sku": [skus[2]], "units": [12]})},
    ]
    whole = start_game(tmp_path / "whole", months=3, **SMALL)
    for decisions in months:
        whole.play(decisions)
    for decisions in months:
        start_game(tmp_path / "parts", months=3, **SMALL).play(decisions)
    again = start_game(tmp_path / "parts", months=3, **SMALL)
    assert again.n_played == 3 and again.shop.month == whole.shop.month
    assert bytes_of(again.shop, tmp_path / "a") == bytes_of(whole.shop, tmp_path / "b")
    assert (tmp_path / "parts" / "game.json").read_bytes() == (
        tmp_path / "whole" / "game.json"
    ).read_bytes()
    with pytest.raises(PlaybookError, match="All 3 months are played"):
        again.play(None)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"prices": {"no-such-sku": 5}}, "no sku 'no-such-sku'"),
        ({"budgets": {"search": -1}}, "budget of search"),
        ({"budgets": {"radio": 5}}, "'radio'"),
        ({"rebates": {}}, "no decision 'rebates'"),
        ({"treatments": [3]}, "treatments are"),
        ({"prices": {"x": object()}}, "object is no decision"),
        (7, "dictionary"),
        ({"budgets": [1, 2]}, "budgets are"),
        ({"treatments": [{"customers": ["nobody"]}]}, "no customer 'nobody'"),
    ],
)
def test_a_refused_decision_leaves_game_and_file_as_they_were(tmp_path, wrong, word):
    game = start_game(tmp_path, **SMALL)
    game.play(LIVELY)
    before, shop = (tmp_path / "game.json").read_bytes(), game.shop.profit()
    with pytest.raises(PlaybookError, match=word):
        game.play(wrong)
    assert (tmp_path / "game.json").read_bytes() == before and game.n_played == 1
    pd.testing.assert_frame_equal(game.shop.profit(), shop)
    assert not [p for p in tmp_path.iterdir() if p.name != "game.json"]


def test_a_cell_run_twice_plays_once_and_a_month_cannot_be_taken_back_or_skipped(tmp_path, capsys):
    game = start_game(tmp_path, **SMALL)
    assert game.month(1) is None and "not attempted" in capsys.readouterr().out
    assert game.month(2, AS_BEFORE) is None and "play month 1 first" in capsys.readouterr().out
    first = game.month(1, LIVELY)
    assert list(first.month)[-1] == "2026-11"
    assert first.spend.iloc[-1] < first.spend.iloc[-2]
    assert game.n_played == 1
    pd.testing.assert_frame_equal(game.month(1, LIVELY), first)
    game.month(1, AS_BEFORE)
    assert "cannot be taken back" in capsys.readouterr().out and game.n_played == 1
    assert game.month(2, {"prices": {"x": 1}}) is None
    assert capsys.readouterr().out.startswith(
        "Refused, and nothing was played: There is no sku 'x'"
    )


def test_a_folder_of_another_game_is_refused(tmp_path):
    start_game(tmp_path, **SMALL)
    with pytest.raises(PlaybookError, match="one of seed 101"):
        start_game(tmp_path, seed=102)
    (tmp_path / "game.json").write_text("{")
    with pytest.raises(PlaybookError, match="cannot be read"):
        start_game(tmp_path, **SMALL)
    with pytest.raises(PlaybookError, match="0 months"):
        start_game(tmp_path / "new", months=0, **SMALL)


def test_an_oracles_play_has_the_full_grade_and_as_before_none(tmp_path, monkeypatch, start):
    monkeypatch.setenv("PLAYBOOK_LEARNER_DIR", str(tmp_path))
    monkeypatch.setattr(
        "playbook.training.play.search", lambda shop, horizon: {}
    )  # its first guess will do
    ends = {
        player: play_on(start, player, 2).profit().tail(2).profit.sum()
        for player in ("as-before", "oracle")
    }
    monkeypatch.setattr(Game, "_others", lambda self, tell: {**ends, "playbook": 0.0})
    best, idle = (start_game(tmp_path / name, months=2, **SMALL) for name in ("best", "idle"))
    with pytest.raises(PlaybookError, match="0 of 2 months"):
        best.result()
    for ahead in range(2):
        best.play(oracle(best.shop, horizon=2 - ahead))
        idle.play(None)
    assert ends["oracle"] > ends["as-before"]
    assert best.result(learner="ann").share.iloc[0] == pytest.approx(1)
    assert idle.result(learner="bo").gain.iloc[0] == pytest.approx(0)
    assert [records(name)[-1]["score"] for name in ("ann", "bo")] == [1.0, 0.0]


def test_the_playbook_decides_from_what_the_shop_sees_and_only_what_it_may(start, monkeypatch):
    monkeypatch.setattr(Shop, "truth", property(lambda self: pytest.fail("looked at the truth")))
    found = chapters.playbook_decisions(start)
    assert set(found) <= set(chapters.AREAS)
    assert set(found["budgets"]) == {"content", "display", "live", "search", "social"}
    assert (
        all(0 <= a < b for a, b in found["order_levels"].values())
        and len(found["order_levels"]) > 40
    )
    twin = start.copy()
    twin.advance(found)
    assert twin.month == "2026-11"
    assert chapters.playbook_decisions(start, areas=["order_levels"]) == {
        "order_levels": found["order_levels"]
    }
    with pytest.raises(PlaybookError, match="nothing about 'weather'"):
        chapters.playbook_decisions(start, areas=["weather"])


def test_figures_are_the_months_accounts_and_lists_a_decision_can_name(tmp_path):
    game = start_game(tmp_path, **SMALL)
    found = game.figures()
    assert {"months", "channels", "stock", "segments", "campaigns", "prices"} <= set(found)
    who = game.customers("important value")
    assert 0 < len(who) <= found["segments"].set_index("segment").n_customers["important value"]
    sku = found["stock"].sku.iloc[0]
    seen = game.month(
        1, {"treatments": [{"customers": who, "depth_share": 0.1}], "order_levels": {sku: (20, 60)}}
    )
    assert seen.orders.iloc[-1] > 0
    with pytest.raises(PlaybookError, match="Nobody is in segment 'kings'"):
        game.customers("kings")


def test_headless_play_prints_every_month_and_refuses_in_one_line(tmp_path, capsys, start):
    assert main(["--seed", "101", "--months", "2"]) == 0
    out = capsys.readouterr().out
    profit = play_on(start, "as-before", 2).profit().tail(2).profit.sum()
    assert "2026-11" in out and f"{profit:,.2f} EUR" in out
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"budgets": {"search": 300}}, None]))
    assert main(["--seed", "101", "--months", "2", "--decisions", str(plan)]) == 0
    assert f"{profit:,.2f}" not in capsys.readouterr().out
    plan.write_text(json.dumps({"budgets": {"search": -3}}))
    for words in (
        ["--decisions", str(plan)],
        ["--decisions", str(tmp_path / "none.json")],
        ["--preset", "huge"],
    ):
        assert main(["--months", "1", "--seed", "101", *words]) == 1
        told = capsys.readouterr()
        assert len(told.err.strip().splitlines()) == 1 and "Traceback" not in told.err


def test_a_campaign_is_read_against_its_own_hold_out():
    asked = pd.DataFrame(
        {
            "treatment_id": "t",
            "customer_id": [f"c{i}" for i in range(400)],
            "arm": np.where(np.arange(400) % 4 == 0, "holdout", "treated"),
            "assigned_at": pd.Timestamp("2026-03-01 08:00"),
            "cost": 0.5,
        }
    )
    asked.loc[asked.arm == "holdout", "cost"] = 0.0
    rng = np.random.default_rng(3)
    bought = pd.DataFrame(
        {
            "customer_id": asked.customer_id,
            "day_on": pd.Timestamp("2026-03-10"),
            "margin": (10 + 4 * (asked.arm == "treated") + rng.normal(0, 1, 400)).round(2),
        }
    )
    late = bought.assign(day_on=pd.Timestamp("2026-03-31"), margin=1000.0)
    early = bought.assign(day_on=pd.Timestamp("2026-02-28"), margin=1000.0)
    row = campaign_returns(asked, pd.concat([bought, late, early]), as_of="2026-04-30").iloc[0]
    assert row.net == pytest.approx(3.5, abs=0.4) and row.low < 3.5 < row.high and row.p_gain > 0.99
    assert (row.status, row.n_treated, row.n_holdout) == ("complete", 300, 100)
    assert campaign_returns(asked, bought, as_of="2026-03-15").status.iloc[0] == "partial"
    alone = campaign_returns(asked[asked.arm == "treated"], bought, as_of="2026-04-30").iloc[0]
    assert alone.status == "no hold-out" and np.isnan(alone.net)


@pytest.mark.parametrize("name", ["shop_game", "case_files"])
def test_an_untouched_notebook_runs_and_says_that_nothing_was_attempted(
    root, name, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PLAYBOOK_LEARNER_DIR", str(tmp_path))
    text = Path(root / "notebooks" / "training" / f"{name}.ipynb").read_text(encoding="utf-8")
    book = json.loads(text)
    assert tidied(book) == text, "committed tidy"
    space = {"display": print}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec(
                "".join(cell["source"]), space
            )  # the notebook's own code, in the order of its cells
    assert capsys.readouterr().out.count("not attempted") >= 6
    assert not list(tmp_path.glob("*.jsonl"))
