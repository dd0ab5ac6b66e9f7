"""Were we right: predictions scored once and as first published, decisions answered in
the workbook and followed up.
"""

import shutil

import numpy as np
import pandas as pd
import pytest
from small_month import write_shop
from small_pack import write_month

from playbook.decisions import Decision
from playbook.errors import PlaybookError
from playbook.runs.answers import accepted_targets, answers, followup, read_back, targets_in_force
from playbook.runs.columns import heading
from playbook.runs.folders import read_json, write_json
from playbook.runs.track_record import restated, score_predictions, summed_up, track_record

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


def predicted(month, due, point, low, high, naive=100.0, subject="all", metric="net_revenue"):
    return (metric, subject, due[:7], due, point, low, high, 0.8, naive, "a model")


def predictions(*rows, made_in="2026-01"):
    columns = [
        "metric",
        "subject",
        "horizon",
        "due_on",
        "point",
        "low",
        "high",
        "level",
        "naive",
        "model",
    ]
    return pd.DataFrame(rows, columns=columns).assign(
        notebook="04_cohort_retention", made_in=made_in, is_replay=False
    )


def actual(amount, due, metric="net_revenue", subject="all", status="complete"):
    return {"metric": metric, "subject": subject, "due_on": due, "amount": amount, "status": status}


def test_a_prediction_is_scored_when_it_is_due_and_the_actual_is_complete():
    made = predictions(
        predicted("01", "2026-02-28", 110.0, 90.0, 130.0),
        predicted("01", "2026-03-31", 120, 90, 150),
        predicted("01", "2026-02-28", 5.0, 1.0, 9.0, metric="orders"),
        predicted("01", "2026-02-28", 7.0, 1.0, 9.0, metric="cm"),
        predicted("01", "2026-02-28", 3.0, 1.0, 9.0, subject="search"),
    )
    known = pd.DataFrame(
        [
            actual(125.0, "2026-02-28"),
            actual(12.0, "2026-02-28", "orders"),
            actual(6.0, "2026-02-28", "cm", status="partial"),
            actual(999.0, "2026-03-31"),
        ]
    )
    found = score_predictions(made, known, as_of="2026-02-28").set_index(
        ["metric", "subject", "due_on"]
    )
    one = found.loc[("net_revenue", "all", "2026-02-28")]
    assert (one.status, one.error, one.naive_error, one.is_inside) == ("scored", -15.0, -25.0, True)
    assert not bool(found.loc[("orders", "all", "2026-02-28")].is_inside)
    assert found.loc[("cm", "all", "2026-02-28")].status == "waiting"
    assert found.loc[("net_revenue", "all", "2026-03-31")].status == "waiting"
    assert np.isnan(found.loc[("net_revenue", "all", "2026-03-31")].actual)
    assert found.loc[("net_revenue", "search", "2026-02-28")].status == "no actual"


def test_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(3)
    cells = [(f"2026-{m:02d}-28", s) for m in (2, 3) for s in "abc"]
    made = predictions(*[predicted("01", due, 100, 90, 110, subject=s) for due, s in cells])
    known = pd.DataFrame([actual(float(rng.normal(100, 9)), due, subject=s) for due, s in cells])
    first = score_predictions(made, known, as_of="2026-03-31")
    made, known = made.sample(frac=1, random_state=1), known.sample(frac=1, random_state=2)
    second = score_predictions(made, known, as_of="2026-03-31")
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(summed_up(first), summed_up(second))


def test_coverage_and_skill_are_those_of_the_rows_scored():
    made = pd.concat(
        [
            predictions(
                predicted("x", "2026-02-28", p, p - 10, p + 10, naive=100.0),
                made_in=f"2025-{i:02d}",
            )
            for i, p in enumerate((100.0, 112.0, 95.0, 130.0), start=1)
        ]
    )
    scored = score_predictions(
        made, pd.DataFrame([actual(105.0, "2026-02-28")]), as_of="2026-02-28"
    )
    one = summed_up(scored).iloc[0]
    assert (one.n, one.coverage, one.mean_abs_error, one.naive_abs_error) == (
        4,
        0.75,
        (5 + 7 + 10 + 25) / 4,
        5.0,
    )
    assert not one.is_better_than_naive


def six_months(months, *, is_replay=False, is_shown=False):
    rng = np.random.default_rng(11)
    names = [f"2026-{m:02d}" for m in range(1, 7)]
    truth = {m: float(v) for m, v in zip(names, rng.normal(1000, 50, 6), strict=True)}
    for place, month in enumerate(names):
        following = pd.Period(month) + 1
        due = f"{following.end_time:%Y-%m-%d}"
        seen = {m: truth[m] for m in names[: place + 1]}
        write_month(
            months,
            month,
            revenue=seen,
            is_replay=is_replay and place < 5,
            is_bare=place < 5 or not is_shown,
            predictions=[predicted(month, due, 1000.0, 900.0, 1100.0, naive=truth[month])],
        )
    return names


def test_six_months_in_order_score_five_and_a_replay_gives_the_same_record_marked(tmp_path):
    names = six_months(tmp_path / "live", is_shown=True)
    live = track_record(tmp_path / "live" / names[-1])
    assert (live.scored["status"] == "scored").sum() == 5 and live.summary.coverage.between(
        0, 1
    ).all()
    six_months(tmp_path / "again", is_replay=True)
    again = track_record(tmp_path / "again" / names[-1])
    assert again.scored["is_replay"].all() and not live.scored["is_replay"].any()
    pd.testing.assert_frame_equal(
        live.scored.drop(columns="is_replay"), again.scored.drop(columns="is_replay")
    )
    page = (tmp_path / "live" / names[-1] / "index.html").read_text()
    assert 'id="track-record"' in page and "coverage" in page


def test_live_and_replayed_predictions_are_never_summed_together(tmp_path):
    six_months(tmp_path / "shop", is_replay=True)
    folder = tmp_path / "shop" / "2026-05"
    record = read_json(folder / "run.json") | {"is_replay": False}
    write_json(folder / "run.json", record)
    made = pd.read_parquet(folder / "predictions.parquet").assign(is_replay=False)
    made.to_parquet(folder / "predictions.parquet")
    summary = track_record(tmp_path / "shop" / "2026-06").summary.set_index("is_replay")
    assert (summary.loc[True, "n"], summary.loc[False, "n"]) == (4, 1)


def test_a_rerun_of_a_month_does_not_get_to_forecast_again(tmp_path):
    six_months(tmp_path / "shop")
    folder = tmp_path / "shop" / "2026-05"
    before = track_record(tmp_path / "shop" / "2026-06").scored
    shutil.copytree(folder, folder.with_name("2026-05.r1"))
    better = pd.read_parquet(folder / "predictions.parquet").assign(point=1.0)
    better.to_parquet(folder / "predictions.parquet")
    pd.testing.assert_frame_equal(before, track_record(tmp_path / "shop" / "2026-06").scored)


def test_a_month_reads_only_what_lies_before_it(tmp_path):
    six_months(tmp_path / "shop")
    assert set(track_record(tmp_path / "shop" / "2026-03").scored["made_in"]) == {
        "2026-01",
        "2026-02",
    }
    assert track_record(tmp_path / "shop" / "2026-01").scored.empty


def test_a_month_looked_at_before_its_end_predicts_nothing(tmp_path):
    six_months(tmp_path / "shop")
    path = tmp_path / "shop" / "2026-05" / "run.json"
    write_json(path, read_json(path) | {"is_partial": True})
    assert "2026-05" not in set(track_record(tmp_path / "shop" / "2026-06").scored["made_in"])


def test_other_subjects_are_scored_through_a_chapters_table_of_actuals(tmp_path):
    made = [predicted("01", "2026-02-28", 4.0, 1.0, 9.0, subject="search", metric="ltv_h")]
    write_month(tmp_path / "shop", "2026-01", predictions=made, is_bare=True)
    folder = write_month(tmp_path / "shop", "2026-02", is_bare=True)
    table = pd.DataFrame(
        [{"metric": "ltv_h", "subject": "search", "due_on": "2026-02-28", "amount": 5.0}]
    )
    table.to_parquet(folder / "04_cohort_retention" / "tables" / "actuals.parquet")
    assert track_record(folder).scored.error.tolist() == [-1.0]


def test_a_republished_month_shows_what_was_restated_and_why(tmp_path):
    months = tmp_path / "shop"
    seen = {"2026-01": 800.0, "2026-02": 1000.0}
    write_month(months, "2026-02", name="2026-02.r1", revenue=seen, is_bare=True)
    folder = write_month(months, "2026-02", revenue=seen | {"2026-02": 990.0}, is_bare=True)
    assert restated(folder).empty
    now = read_json(folder / "run.json") | {"earlier_packs": ["2026-02.r1"], "fingerprint": "g"}
    write_json(folder / "run.json", now)
    assert restated(folder).to_dict("records") == [
        {
            "metric": "net_revenue",
            "month": "2026-02",
            "first_reported": 1000.0,
            "now": 990.0,
            "change": -10.0,
            "cause": "inputs",
        }
    ]


# decisions filled in and read back


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_shop(folder / "store")
    months = folder / "runs" / "corner"
    write_month(
        months,
        "2026-01",
        revenue={"2026-01": 800.0},
        decisions=[
            Decision(
                "kpi",
                "net_revenue",
                "set",
                900.0,
                "EUR",
                owner_role="general manager",
                due_on="2026-02-28",
                evidence_metric="net_revenue",
            )
        ],
    )
    return folder


@pytest.fixture
def shop(published, tmp_path):
    return shutil.copytree(published, tmp_path / "copy")


def filled_in(shop, **answers_by_action):
    """The pack's workbook as a person leaves it: status, done_on, done_size, note by
    the decision's action.
    """
    path = shop / "runs/corner/2026-01/playbook.xlsx"
    sheets = pd.read_excel(path, sheet_name=None, engine="calamine", dtype=object)
    sheet = sheets["Decisions"].astype(object)
    for action, given in answers_by_action.items():
        for column, value in given.items():
            head = heading(column)
            sheet.loc[sheet["Action"] == action, head[:1].upper() + head[1:]] = value
    with pd.ExcelWriter(shop / "filled.xlsx", engine="xlsxwriter") as book:
        sheets["Summary"].to_excel(book, sheet_name="Summary", index=False)
        sheet.to_excel(book, sheet_name="Decisions", index=False)
    return shop / "filled.xlsx"


def test_a_filled_in_workbook_comes_back_and_counts_the_unanswered_apart(shop):
    path = filled_in(
        shop,
        **{
            "raise": {
                "status": "Done",
                "done_on": pd.Timestamp("2026-02-03"),
                "done_size": 800,
                "note": "in two steps",
            },
            "wake": {"status": "declined"},
        },
    )
    told = read_back(path, str(shop / "store"), shop / "runs")
    assert (told["read"], told["unanswered"], told["statuses"]) == (
        2,
        1,
        {"declined": 1, "done": 1},
    )
    log = answers(shop / "runs/corner").set_index("status")
    assert log.loc["done", ["done_on", "done_size", "note"]].tolist() == [
        "2026-02-03",
        800.0,
        "in two steps",
    ]
    again = filled_in(shop, wake={"status": "accepted"})
    read_back(again, str(shop / "store"), shop / "runs")
    assert sorted(answers(shop / "runs/corner")["status"]) == ["accepted", "done"]


def test_follow_up_scores_only_what_was_done_and_calls_it_before_and_after(shop):
    path = filled_in(
        shop,
        **{"raise": {"status": "done", "done_on": "2026-02-03"}, "wake": {"status": "declined"}},
    )
    read_back(path, str(shop / "store"), shop / "runs")
    seen = {"2026-01": 800.0, "2026-02": 1000.0}
    folder = write_month(shop / "runs/corner", "2026-02", revenue=seen, is_bare=True)
    found = followup(folder).set_index("action")
    assert found.loc["raise", ["before", "after", "change"]].tolist() == [800.0, 1000.0, 200.0]
    assert found.loc["raise", "verdict"] == "before/after, not causal"
    assert found.loc["wake", "verdict"] == "declined" and np.isnan(found.loc["wake", "after"])
    assert found.loc["set", "verdict"] == "unanswered" and "blocked" not in found.index


def test_accepted_targets_become_rows_of_targets(shop):
    months = shop / "runs/corner"
    (months / "2026-01/02_goal_setting").mkdir()
    decided = pd.read_parquet(months / "2026-01/04_cohort_retention/decisions.parquet")
    decided[decided["action"] == "set"].to_parquet(
        months / "2026-01/02_goal_setting/decisions.parquet"
    )
    path = filled_in(shop, set={"status": "changed", "done_size": 950})
    read_back(path, str(shop / "store"), shop / "runs")
    assert accepted_targets(months).to_dict("records") == [
        {
            "month": "2026-02",
            "metric": "net_revenue",
            "value": 950.0,
            "owner_role": "general manager",
        }
    ]
    stated = pd.DataFrame(
        {"month": "2026-02", "metric": ["net_revenue", "orders"], "value": [900.0, 40.0]}
    )
    held = targets_in_force(stated, months / "2026-02").set_index("metric").value
    assert held.to_dict() == {"orders": 40.0, "net_revenue": 950.0}
    assert targets_in_force(None, "") is None and targets_in_force(stated, "") is stated


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"status": "maybe"}, "status is none of the five in row 2"),
        ({"status": "done"}, "done decision has no day in row 2"),
        ({"status": "done", "done_on": "soon"}, "no day in row 2"),
        ({"status": "accepted", "done_size": "a lot"}, "no number in row 2"),
        (
            {"decision_id": "2026-01-04-ffffff", "status": "done", "done_on": "2026-02-01"},
            "never published the decision",
        ),
    ],
)
def test_a_wrong_answer_refuses_the_file_and_leaves_the_log_alone(shop, given, told):
    path = filled_in(shop, **{"raise": given})
    with pytest.raises(PlaybookError, match=told):
        read_back(path, str(shop / "store"), shop / "runs")
    assert answers(shop / "runs/corner").empty


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone.xlsx", None, "no such file"),
        ("bad.xlsx", b"PK not a workbook", "cannot be read|no workbook"),
        ("other.csv", b"a,b\n1,2\n", "no columns decision_id"),
        ("empty.csv", b"", "no columns decision_id"),
    ],
)
def test_a_file_that_is_no_filled_in_pack_is_refused_by_name(shop, name, content, told):
    if content is not None:
        (shop / name).write_bytes(content)
    with pytest.raises(PlaybookError, match=f"(?i){told}"):
        read_back(shop / name, str(shop / "store"), shop / "runs")


def test_the_csv_comes_back_too_in_the_encoding_of_chinese_excel(shop):
    frame = pd.read_csv(
        shop / "runs/corner/2026-01/decisions.csv", dtype=str, keep_default_na=False
    )
    frame.loc[frame["action"] == "wake", ["status", "note"]] = ["已接受", "从下周开始"]
    frame.to_csv(shop / "answers.csv", index=False, encoding="gb18030")
    assert read_back(shop / "answers.csv", str(shop / "store"), shop / "runs")["statuses"] == {
        "accepted": 1
    }
    assert answers(shop / "runs/corner")["note"].tolist() == ["从下周开始"]


def test_without_a_published_month_there_is_nothing_to_answer(tmp_path):
    write_shop(tmp_path / "store")
    (tmp_path / "x.csv").write_text("decision_id,status\na,done\n")
    with pytest.raises(PlaybookError, match="No published month"):
        read_back(tmp_path / "x.csv", str(tmp_path / "store"), tmp_path / "runs")
