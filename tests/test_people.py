"""One list of people: no customer twice, and whom one list holds out no other speaks to."""

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.monthly_review.people import list_counts, one_list
from playbook.methods.hashing import arms
from playbook.runs.plan import _on_other_lists

NOBODY = pd.DataFrame({"customer_id": [], "arm": []})


def audience(**rows):
    """customer -> (segment, action, arm)."""
    columns = ["segment", "action", "arm"]
    return (
        pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        .rename_axis("customer_id")
        .reset_index()
    )


def people(**arm):
    return pd.DataFrame({"customer_id": list(arm), "arm": list(arm.values())})


def test_the_first_list_takes_its_people_and_its_hold_outs_stay_out_of_the_others():
    segments = audience(
        ann=("champions", "reward", "holdout"),
        bob=("champions", "reward", "treat"),
        cat=("new", "second order", "treat"),
        dan=("new", "second order", "holdout"),
        eve=("lost", "leave alone", "holdout"),
    )
    out = one_list(people(ann="treat", bob="holdout"), people(bob="treat", cat="holdout"), segments)
    assert out["customer_id"].is_unique
    found = out.set_index("customer_id")[["programme", "arm", "chapter"]]
    assert found.T.to_dict("list") == {
        "ann": ["vip", "treat", "05"],
        "bob": ["vip", "holdout", "05"],
        "cat": ["reminder", "holdout", "04"],
        "dan": ["campaign", "holdout", "06"],
        "eve": ["none", "holdout", "06"],
    }
    counts = list_counts(out)
    assert counts[["n_treated", "n_held_out"]].sum().tolist() == [1, 4]


def test_lists_that_are_not_there_leave_the_others_as_they_are():
    segments = audience(ann=("champions", "reward", "treat"))
    out = one_list(NOBODY, NOBODY, segments)
    assert out[["customer_id", "programme", "arm"]].to_numpy().tolist() == [
        ["ann", "campaign", "treat"]
    ]
    alone = one_list(people(zoe="treat"), NOBODY, audience())
    assert alone["programme"].tolist() == ["vip"] and alone["segment"].isna().all()
    assert one_list(NOBODY, NOBODY, audience()).empty


@pytest.mark.parametrize("small, large", [(0.1, 0.5), (0.05, 0.1)])
def test_who_is_held_out_at_a_small_share_is_held_out_at_every_larger_one(small, large):
    ids = pd.Series([f"c{i}" for i in range(4000)])
    few, many = arms(ids, small) == "holdout", arms(ids, large) == "holdout"
    assert (few <= many).all()
    assert few.mean() == pytest.approx(small, abs=0.02)
    each = arms(ids, np.where(np.arange(4000) < 2000, small, large)) == "holdout"
    assert (each[:2000] == few[:2000]).all() and (each[2000:] == many[2000:]).all()


def test_a_campaign_leaves_out_who_is_on_another_list(tmp_path):
    tables = tmp_path / "11_monthly_review" / "tables"
    assert _on_other_lists(tmp_path) == set()
    tables.mkdir(parents=True)
    rows = {"customer_id": ["a", "b", "c"], "programme": ["vip", "campaign", "none"]}
    pd.DataFrame(rows).to_parquet(tables / "people.parquet")
    assert _on_other_lists(tmp_path) == {"a"}
