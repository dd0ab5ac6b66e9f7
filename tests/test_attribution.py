"""Credit by five rules from one table of transition counts: by hand, by rule, and on
public paths.
"""

import ibis
import numpy as np
import pandas as pd
import pytest

from playbook.methods.attribution import RULES, markov_removal, rule_credits, transition_counts


def touches(*journeys):
    rows = [
        (f"j{i}", k, channel, won and k == len(path) - 1, n)
        for i, (path, won, n) in enumerate(journeys)
        for k, channel in enumerate(path)
    ]
    return pd.DataFrame(
        rows, columns=["journey_id", "touch_no", "channel", "is_conversion", "n_journeys"]
    )


def counted(frame):
    return transition_counts(ibis.memtable(frame)).to_pandas()


BOOK = touches((["a", "b"], True, 1), (["a"], False, 1), (["b"], True, 1))


def test_a_journey_by_hand():
    steps = counted(BOOK)
    rules = rule_credits(steps)
    assert rules.loc["a"].tolist() == [1.0, 0.0, 0.5, 0.5]
    assert rules.loc["b"].tolist() == [1.0, 2.0, 1.5, 1.5]
    # two of three journeys start in a; half of these go on to b; b always converts: without b nothing is left,
    # without a a third of the journeys still converts
    markov = markov_removal(steps)
    assert markov.removal_share.to_dict() == pytest.approx({"a": 0.5, "b": 1.0})
    assert markov.markov.to_dict() == pytest.approx({"a": 2 / 3, "b": 4 / 3})


def test_position_gives_forty_twenty_forty():
    rules = rule_credits(counted(touches((["a", "b", "c", "d"], True, 10))))
    assert rules.position.tolist() == pytest.approx([4, 1, 1, 4])
    assert rule_credits(counted(touches((["a"], True, 3)))).position.tolist() == [3]


def test_aggregated_paths_weigh_as_many_journeys():
    apart = pd.concat([BOOK.assign(journey_id=BOOK.journey_id + f"/{i}") for i in range(5)])
    assert counted(apart).equals(counted(BOOK.assign(n_journeys=5)))


def test_the_order_of_rows_does_not_matter():
    frame = touches(
        *[
            (list(path), i % 3 == 0, 1)
            for i, path in enumerate(["abca", "ba", "cc", "acb", "bcab", "a"])
        ]
    )
    assert counted(frame).equals(counted(frame.sample(frac=1, random_state=4)))


def test_staying_in_a_channel_changes_nothing():
    steps = counted(touches((["a", "b"], True, 3), (["a"], False, 4), (["b"], False, 2)))
    longer = counted(
        touches((["a", "a", "a", "b"], True, 3), (["a"], False, 4), (["b", "b"], False, 2))
    )
    assert markov_removal(steps).markov.to_numpy() == pytest.approx(
        markov_removal(longer).markov.to_numpy()
    )


def test_nothing_converted_credits_nothing_and_says_so():
    markov = markov_removal(counted(touches((["a", "b"], False, 2))))
    assert (markov.markov == 0).all()
    assert markov.removal_share.isna().all()


def test_a_touch_without_channel_is_unknown_and_kept():
    frame = BOOK.assign(channel=BOOK.channel.where(BOOK.channel != "a"))
    assert "unknown" in rule_credits(counted(frame)).index


def independent_removal(steps):
    """The same effect by deleting a channel and solving the chain anew."""
    channels = sorted(set(steps.from_channel))
    wide = steps.pivot_table(
        index="from_channel", columns="to_channel", values="n_steps", aggfunc="sum"
    ).fillna(0.0)
    chain = wide.div(wide.sum(axis=1), axis=0)
    start = steps.groupby("from_channel").entered.sum().reindex(channels)
    start = start / start.sum()

    def converts(kept):
        inner = chain.reindex(index=kept, columns=kept).fillna(0.0).to_numpy()
        won = chain.reindex(index=kept)["(conversion)"].fillna(0.0).to_numpy()
        return start[kept].to_numpy() @ np.linalg.solve(np.eye(len(kept)) - inner, won)

    whole = converts(channels)
    return np.array([1 - converts([c for c in channels if c != gone]) / whole for gone in channels])


def test_the_closed_form_equals_the_chain_solved_without_the_channel():
    rng = np.random.default_rng(2)
    journeys = [
        (list(rng.choice(list("abcdef"), rng.integers(1, 7))), rng.random() < 0.2, 1)
        for _ in range(400)
    ]
    steps = counted(touches(*journeys))
    assert markov_removal(steps).removal_share.to_numpy() == pytest.approx(
        independent_removal(steps), abs=1e-12
    )


def test_public_paths_keep_every_conversion_under_every_rule(shared_data):
    paths = pd.read_csv(shared_data / "paths" / "paths.csv.gz")
    long = paths.assign(path_no=paths.index, channel=paths.path.str.split(" > ")).explode("channel")
    long["touch_no"] = long.groupby("path_no").cumcount()
    both = [
        pd.DataFrame(
            {
                "journey_id": kind + long.path_no.astype(str),
                "touch_no": long.touch_no,
                "is_conversion": won,
                "channel": long.channel,
                "n_journeys": long[column],
            }
        )
        for kind, won, column in (("won", True, "total_conversions"), ("lost", False, "total_null"))
    ]
    steps = counted(pd.concat(both, ignore_index=True))
    table = rule_credits(steps).join(markov_removal(steps, draws=50))
    for rule in RULES:
        assert table[rule].sum() == pytest.approx(19_785, abs=1e-9)
    assert table.removal_share.to_numpy() == pytest.approx(independent_removal(steps), abs=1e-6)
    assert (
        (table.low <= table.markov * 1.001) & (table.markov <= table.high * 1.001 + 1e-9)
    ).mean() > 0.7


def test_many_channels_get_the_same_credit_from_the_sparse_solve(monkeypatch):
    rng = np.random.default_rng(5)
    names = [f"c{k:02d}" for k in range(30)]
    paths = [(list(rng.choice(names, rng.integers(1, 5))), bool(k % 3), 1) for k in range(300)]
    steps = counted(touches(*paths))
    dense = markov_removal(steps, draws=200, seed=1)
    monkeypatch.setattr("playbook.methods.attribution.MANY_CHANNELS", 10)
    sparse = markov_removal(steps, draws=200, seed=1)
    np.testing.assert_allclose(sparse.markov, dense.markov, rtol=1e-9)
    assert ((sparse.low <= sparse.markov) & (sparse.markov <= sparse.high)).mean() > 0.9
    np.testing.assert_allclose(sparse.high, dense.high, rtol=0.5, atol=0.5)
