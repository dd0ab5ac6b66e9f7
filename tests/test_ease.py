"""Item-to-item weights in closed form, and what a list of k items was worth."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from playbook.errors import PlaybookError
from playbook.methods.ease import cosine_weights, ease_weights, list_hits, list_quality, top_items


def bought(seed=0, people=200, items=12):
    return csr_matrix((np.random.default_rng(seed).random((people, items)) < 0.2).astype(float))


def test_ease_solves_its_own_problem():
    # Steck (2019), eq. 2-8: no other matrix with a zero diagonal has a smaller penalised squared error.
    x, ridge = bought(), 7.0
    dense, weights = x.toarray(), ease_weights(x, ridge=ridge).astype(float)

    def loss(b):
        return ((dense - dense @ b) ** 2).sum() + ridge * (b**2).sum()

    assert np.diag(weights).tolist() == [0] * 12
    rng = np.random.default_rng(1)
    for _ in range(20):
        step = rng.normal(size=weights.shape) * 0.01
        np.fill_diagonal(step, 0)
        assert loss(weights + step) > loss(weights)


def test_ease_gives_the_closed_form():
    x, ridge = bought(seed=3), 30.0
    p = np.linalg.inv(x.toarray().T @ x.toarray() + ridge * np.eye(12))
    expected = -p / np.diag(p)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(ease_weights(x, ridge=ridge), expected, atol=1e-5)


def test_cosine_of_two_items_by_hand():
    x = csr_matrix(np.array([[1.0, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]]))
    np.testing.assert_allclose(
        cosine_weights(x), [[0, 2 / np.sqrt(8), 0], [2 / np.sqrt(8), 0, 0], [0, 0, 0]], atol=1e-7
    )


def test_too_many_items_for_a_dense_model_are_refused_by_name():
    with pytest.raises(PlaybookError, match="too many for a dense"):
        ease_weights(csr_matrix((3, 100_000)))
    with pytest.raises(PlaybookError, match="ridge above 0"):
        ease_weights(bought(), ridge=0)


def test_ties_go_to_the_first_column_and_blocked_items_are_not_listed():
    scores = np.array([[1.0, 3, 3, 0, 3]])
    assert top_items(scores, 3).tolist() == [[1, 2, 4]]
    blocked = np.array([[False, True, True, True, True]])
    assert top_items(scores, 3, blocked=blocked).tolist() == [[0, -1, -1]]
    assert scores.tolist() == [[1, 3, 3, 0, 3]]


def test_recall_divides_by_what_could_be_reached():
    lists = np.array([[0, 1, 2], [3, 4, 5], [0, 1, -1], [0, 1, 2]])
    wanted = csr_matrix(
        np.array([[1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1], [0] * 6])
    )
    n_wanted = np.array(
        [2, 5, 1, 0]
    )  # the second wanted four items outside the catalogue too, the last one nothing
    found = list_quality(list_hits(lists, wanted), n_wanted, 3)
    np.testing.assert_allclose(found.recall, [1.0, 1 / 3, 0.0, np.nan])
    np.testing.assert_allclose(found.hit, [1, 1, 0, np.nan])
    np.testing.assert_allclose(found.average_precision, [(1 + 2 / 3) / 2, (1 / 2) / 3, 0, np.nan])


def test_shorter_lists_are_the_beginning_of_longer_ones():
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 5, (50, 30)).astype(float)
    assert (top_items(scores, 20)[:, :5] == top_items(scores, 5)).all()
