"""Lists judged by held-out ratings: against loops, and who and what is left out."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sparse_ae.evaluation import lists as evaluation
from sparse_ae.evaluation.lists import ListValidation, evaluate_lists, judge_lists, no_measures
from sparse_ae.evaluation.metrics import BY_USER

ALL = list(BY_USER) + ["coverage", "popularity", "n_users"]


def halves(seed=0, shape=(40, 25)):
    """Training and held-out ratings. Nobody has rated items 3 and 9 in training, and 9 only is held out."""
    rng = np.random.RandomState(seed)
    draw = rng.rand(*shape)
    train, held_out = draw < 0.25, (draw > 0.7) & (rng.rand(shape[0], 1) < 0.8)
    train[:, [3, 9]], held_out[:, 3] = False, False
    train[7] = False  # a user without training ratings
    train[0], held_out[0] = np.arange(shape[1]) < shape[1] - 2, np.arange(shape[1]) >= shape[1] - 2
    train[0, [3, 9]] = False
    return [sp.csr_matrix(rng.randint(1, 6, shape) * mask).astype(np.float32) for mask in (train, held_out)]


def by_loops(scores, train, held_out, k, relevant):
    """Scores (n_users, n_items), as dense arrays; 0 is no rating."""
    rated = train > 0
    candidates = [i for i in range(train.shape[1]) if rated[:, i].any()]
    n_users = sum(1 for u in range(len(train)) if rated[u].any())
    lists, wanted = [], []
    for u in range(len(train)):
        loved = {i for i in range(train.shape[1]) if held_out[u, i] >= relevant}
        if loved:
            free = [i for i in candidates if not rated[u, i] and scores[u, i] > -np.inf]
            lists.append(sorted(free, key=lambda i: (-scores[u, i], i))[:k])
            wanted.append(loved)
    return reference.list_measures(lists, wanted, k, {i: rated[:, i].sum() / n_users for i in candidates})


@pytest.mark.parametrize("k", [1, 5, 24])
@pytest.mark.parametrize("relevant", [None, 2])
def test_by_loops(k, relevant, monkeypatch):
    train, held_out = halves()
    scores = np.random.RandomState(k).randint(0, 9, train.shape).astype(float)  # with ties
    scores[5, 4:] = -np.inf
    expected = by_loops(scores, train.toarray(), held_out.toarray(), k, relevant or 4)
    for block in (2 ** 22, 70, 1):  # of all users, of two, of one
        monkeypatch.setattr(evaluation, "_BLOCK", block)
        found = evaluate_lists(lambda users: scores[users], train, held_out, k, relevant)
        assert list(found) == ALL
        for name in ALL:
            assert found[name] == pytest.approx(expected[name], rel=1e-12), name
    assert 0 < found["n_users"] < train.shape[0] and 0 < found["ndcg"] < 1


def test_by_hand():
    # Candidates 0, 1, 2, 4. User 0 may be given 1, 2, 4 and has loved 2, and 3 that can't be; user 1 has loved nothing.
    train = sp.csr_matrix(np.array([[5, 0, 0, 0, 0], [1, 3, 0, 0, 2], [0, 0, 4, 0, 0]]))
    held_out = sp.csr_matrix(np.array([[0, 0, 4, 5, 1], [0, 0, 3, 0, 0], [4, 0, 0, 0, 0]]))
    found = evaluate_lists(lambda users: np.tile([9.0, 2, 1, 8, 0], (len(users), 1)), train, held_out, k=2)
    # Lists [1, 2] and [0, 1]; hits [0, 1] of 2 and [1, 0] of 1.
    first = 1 / np.log2(3) / (1 + 1 / np.log2(3))
    assert found == pytest.approx(dict(
        precision=0.5, recall=(1 / 2 + 1) / 2, ndcg=(first + 1) / 2, hit_rate=1, map=(1 / 2 / 2 + 1) / 2,
        mrr=(1 / 2 + 1) / 2, coverage=3 / 4, popularity=(1 / 3 + 1 / 3 + 2 / 3 + 1 / 3) / 4, n_users=2), rel=1e-12)


def test_what_was_rated_in_training_is_never_listed():
    train, held_out = halves()
    again = (held_out + train).tocsr()  # all that was trained on is held out too, and scored best
    found = evaluate_lists(lambda users: train[users].toarray(), train, again, k=5, relevant=1)
    assert found == pytest.approx(by_loops(train.toarray(), train.toarray(), again.toarray(), 5, 1), rel=1e-12)


def test_validation_is_what_evaluation_finds():
    train, held_out = halves(1)
    scores = np.random.RandomState(0).rand(*train.shape).astype(np.float32)
    validation = ListValidation(train, held_out, k=3)
    expected = evaluate_lists(lambda users: scores[users], train, held_out, k=3)
    assert validation.relevant == 4 and validation.k == 3
    assert_array_equal(validation.users, np.flatnonzero((held_out.toarray() >= 4).any(axis=1)))
    assert_array_equal(validation.candidates, np.flatnonzero((train.toarray() > 0).any(axis=0)))
    lists = list(validation.best_by(lambda users: scores[users]))
    for _ in range(2):  # again and again
        assert {name: validation(iter(lists), name) for name in BY_USER} == {name: expected[name] for name in BY_USER}
        assert validation.measures(iter(lists)) == expected


@pytest.mark.parametrize("measure", BY_USER)
def test_the_measure_of_each_user(measure):
    train, held_out = halves(1)
    scores = np.random.RandomState(0).rand(*train.shape)
    validation = ListValidation(train, held_out, k=3)
    lists = np.concatenate([best for best, _ in validation.best_by(lambda users: scores[users])])
    of_users = validation.by_user([(lists, None)], measure)
    for u, user in enumerate(validation.users):
        only = sp.diags((np.arange(held_out.shape[0]) == user).astype(np.float32)).dot(held_out)
        alone = ListValidation(train, only, k=3, relevant=4)
        assert alone([(lists[u:u + 1], None)], measure) == pytest.approx(of_users[u], rel=1e-12)
    assert len(set(of_users)) > 1 and of_users.mean() == pytest.approx(validation([(lists, None)], measure))


def test_some_users_only():
    train, held_out = halves(2)
    scores = np.random.RandomState(0).rand(*train.shape)
    everybody = ListValidation(train, held_out)
    some = ListValidation(train, held_out, most_users=10, rng=3)
    assert len(some.users) == 10 and set(some.users) < set(everybody.users)
    assert list(some.users) == sorted(some.users) != list(everybody.users[:10])
    assert_array_equal(some.candidates, everybody.candidates)
    alone = held_out.toarray()
    alone[np.setdiff1d(np.arange(len(alone)), some.users)] = 0
    expected = evaluate_lists(lambda users: scores[users], train, sp.csr_matrix(alone))
    assert some.measures(some.best_by(lambda users: scores[users])) == pytest.approx(expected, rel=1e-12)
    assert_array_equal(ListValidation(train, held_out, most_users=10, rng=3).users, some.users)
    assert len(ListValidation(train, held_out, most_users=1000).users) == len(everybody.users)


def test_empty_lists():
    found = judge_lists(np.full((2, 3), -1), np.array([4, 6]), np.array([0, 1]), np.array([4, -1]), np.array([1, 1]),
                        np.array([0.5, 1]))
    assert np.isnan(found.pop("popularity")) and found.pop("n_users") == 2 and set(found.values()) == {0}
    nothing = no_measures()
    assert list(nothing) == ALL and nothing.pop("n_users") == 0 and np.isnan(list(nothing.values())).all()


def test_an_item_that_cannot_be_listed_is_relevant_all_the_same():
    # -1, and 9 which is no candidate; place -1 of a list must not be taken for the last candidate
    found = judge_lists(np.array([[0, -1]]), np.array([2, 5]), np.array([0, 0, 0]), np.array([5, -1, 9]), np.array([3]),
                        np.array([0.5, 1]))
    assert found["recall"] == 0
    found = judge_lists(np.array([[1, -1]]), np.array([2, 5]), np.array([0, 0, 0]), np.array([5, -1, 9]), np.array([3]),
                        np.array([0.5, 1]))
    assert found["recall"] == 1 / 3 and found["precision"] == 1 / 2


@pytest.mark.parametrize("change, error, message", [
    (dict(k=0), ValueError, "k is 0; expected a positive integer"),
    (dict(relevant="4"), ValueError, "relevant is '4'; expected the rating from which an item is relevant, such as 4"),
    (dict(relevant=7), ValueError, "none of .* held-out ratings is 7 or higher; expected one at least: lower"),
    (dict(held_out=sp.eye(3).tocsr()), ValueError, "the training ratings are 40 x 25 and those held out 3 x 3"),
    (dict(train=np.eye(3)), TypeError, "ratings are a dense array"),
    (dict(held_out=np.eye(3)), TypeError, "ratings are a dense array"),
    (dict(scores=lambda users: np.zeros((len(users), 3))), ValueError,
     r"scores of \d+ users are an array of float64 of shape \(\d+, 3\); expected numbers, \(\d+, 25\)"),
    (dict(scores=lambda users: np.full((len(users), 25), "a")), ValueError, "are an array of <U1 of shape"),
    (dict(scores=lambda users: np.full((len(users), 25), np.nan)), ValueError, "scores are NaN"),
])
def test_refused(change, error, message):
    train, held_out = halves()
    arguments = dict(dict(scores=lambda users: np.zeros((len(users), 25)), train=train, held_out=held_out), **change)
    with pytest.raises(error, match=message):
        evaluate_lists(**arguments)


def test_validation_refuses():
    train, held_out = halves()
    for most_users in (0, 2.5, "all"):
        with pytest.raises(ValueError, match="most_users is .*; expected a positive integer, or None for all"):
            ListValidation(train, held_out, most_users=most_users)
    validation = ListValidation(train, held_out, k=2)
    lists = np.zeros((len(validation.users), 2), int)
    with pytest.raises(ValueError, match="measure is 'rmse'; expected 'precision', 'recall', 'ndcg', "):
        validation([(lists, None)], "rmse")
    with pytest.raises(ValueError, match=r"there are \d+ lists; expected one for each of \d+ users"):
        validation([(lists, None), (lists, None)], "ndcg")
    with pytest.raises(ValueError, match=r"a block of lists is of shape \(\d+, 1\); expected \(lists, 2\)"):
        validation([(lists[:, :1], None)], "ndcg")
