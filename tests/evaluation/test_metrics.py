"""Errors, measures of ranking, lists judged by held-out ratings: by hand and by loops."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from numpy.testing import assert_array_equal

import sparse_ae
from sparse_ae.data import Ratings
from sparse_ae.evaluation import rankings as evaluation
from sparse_ae.evaluation.metrics import BY_USER, Metric, mae, mean, of_catalogue, rmse
from sparse_ae.evaluation.rankings import ListValidation, RelevantItems, compare_lists, evaluate_lists, relevant_from
from sparse_ae.scoring.ranking import top_n


@pytest.mark.parametrize("observed, predicted, squares, absolutes", [
    ([4, 1, 3, 5], [3.0, 3.0, 3.0, 2.0], 14 / 4, 6 / 4),  # errors 1, -2, 0, 3
    (np.full(100000, 2, np.float16), np.full(100000, 1.5, np.float16), 0.25, 0.5),  # float64 inside
    (np.array([1], np.uint8), np.array([3], np.uint8), 4, 2)])
def test_by_hand(observed, predicted, squares, absolutes):
    found = rmse(observed, predicted), mae(observed, predicted)
    assert found == pytest.approx((np.sqrt(squares), absolutes), rel=1e-15)
    assert [type(each) for each in found] == [float, float]


@pytest.mark.parametrize("observed, predicted, error, message", [
    ([1, 2, 3], [1, np.nan, np.nan], ValueError, r"2 of 3 predictions are missing or infinite, the first \(nan\) at "
                                                 "position 1; .*fill them in"),
    ([1, 2], np.ma.array([1, 2], mask=[0, 1]), ValueError, "predictions have masked values"),
    ([1, 2], [1], ValueError, r"\(2,\) ratings and \(1,\) predictions; expected arrays of one shape"),
    ([], [], ValueError, "there are no ratings; expected at least one"),
    ([1], [None], TypeError, "predictions are list of dtype object; expected an array of real numbers"),
    (sp.eye(2).tocsr(), [1, 2], TypeError, "ratings are csr_matrix of dtype object; .*its .data"),
])
def test_refused(observed, predicted, error, message):
    with pytest.raises(error, match=message):
        rmse(observed, predicted)


# Ranking

TWO, THREE = 1 + 1 / np.log2(3), 1 + 1 / np.log2(3) + 1 / np.log2(4)  # the best discounted gains of two and three hits


@pytest.mark.parametrize("hits, n_relevant, expected", [
    # Hits at 1 and 3 of 4, none, hits at 1 and 2; average precision over 2, 4, 3 places.
    ([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]], [2, 5, 3],
     [(2 / 4 + 0 + 2 / 4) / 3, (2 / 2 + 0 + 2 / 3) / 3, ((1 + 1 / np.log2(4)) / TWO + 0 + TWO / THREE) / 3, 2 / 3,
      ((1 + 2 / 3) / 2 + 0 + 2 / 3) / 3, (1 + 0 + 1) / 3, (2 / 3 + 0 + 4 / 7) / 3]),
    ([[1, 1], [1, 0]], [7, 1],  # more relevant items than places, and fewer
     [0.75, (2 / 7 + 1) / 2, 1, 1, 1, 1, (4 / 9 + 2 / 3) / 2])])
def test_ranking_by_hand(hits, n_relevant, expected):
    """Misses at the end of all lists may be left out."""
    hits, n_relevant, k = np.array(hits, bool), np.array(n_relevant), len(hits[0])
    for length in {k, np.flatnonzero(hits.any(axis=0)).max(initial=0) + 1}:
        found = [np.mean(measure(hits[:, :length], n_relevant, k)) for measure in BY_USER.values()]
        assert found == pytest.approx(expected, rel=1e-15)


# Lists judged by held-out ratings: against loops, and who and what is left out


CATALOGUE = ["coverage", "popularity", "novelty", "gini", "entropy", "user_coverage"]
COUNTS = ["n_users", "n_users_unknown", "n_users_left_out"]
ALL = list(BY_USER) + CATALOGUE + ["auc"] + COUNTS


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


def lists_by_loops(scores, train, held_out, k, relevant):
    """Scores (n_users, n_items), as dense arrays; 0 is no rating: lists, relevant items, items' popularity, users.
    Users without training ratings have empty lists."""
    rated = train > 0
    candidates = [i for i in range(train.shape[1]) if rated[:, i].any()]
    n_users = sum(1 for u in range(len(train)) if rated[u].any())
    lists, wanted, users = [], [], []
    for u in range(len(train)):
        loved = {i for i in range(train.shape[1]) if held_out[u, i] >= relevant}
        if loved:
            free = [i for i in candidates if rated[u].any() and not rated[u, i] and scores[u, i] > -np.inf]
            lists.append(sorted(free, key=lambda i: (-scores[u, i], -rated[:, i].sum(), i))[:k])
            wanted.append(loved)
            users.append(u)
    return lists, wanted, {i: rated[:, i].sum() / n_users for i in candidates}, users


def by_loops(scores, train, held_out, k, relevant):
    """The metrics of such scores."""
    lists, wanted, popularity, users = lists_by_loops(scores, train, held_out, k, relevant)
    return dict(reference.list_measures(lists, wanted, k, popularity),
                n_users_unknown=sum(1 for u in users if not train[u].any()),
                n_users_left_out=sum(1 for u in range(len(train)) if held_out[u].any() and u not in users))


@pytest.mark.parametrize("k", [1, 5, 24])
@pytest.mark.parametrize("relevant", [None, 2])
def test_by_loops(k, relevant, monkeypatch):
    train, held_out = halves()
    scores = np.random.RandomState(k).randint(0, 9, train.shape).astype(float)  # with ties
    scores[6, 4:] = -np.inf
    expected = by_loops(scores, train.toarray(), held_out.toarray(), k, relevant or 4)
    for block in (2 ** 22, 70, 1):  # of all users, of two, of one
        monkeypatch.setattr(evaluation, "BLOCK", block)
        found = evaluate_lists(lambda users: scores[users], train, held_out, k, relevant)
        assert list(found) == ALL and np.isnan(found.pop("auc")), "user 6 has items without a score"
        for name in found:
            assert found[name] == pytest.approx(expected[name], rel=1e-12), name
    assert 0 < found["n_users"] < train.shape[0] and 0 < found["ndcg"] < 1


@pytest.mark.parametrize("per_user", [False, True])
def test_several_lengths_are_each_alone(per_user):
    train, held_out = halves()
    scores = np.random.RandomState(3).rand(*train.shape)
    found = evaluate_lists(lambda users: scores[users], train, held_out, [5, 1, 40], per_user=per_user)
    alone = [evaluate_lists(lambda users: scores[users], train, held_out, k, per_user=per_user) for k in (5, 1, 40)]
    shared = ["auc"] + (["user"] if per_user else COUNTS)
    for k, each in zip((5, 1, 40), alone):
        for name in shared:
            assert_array_equal(each.pop(name), found[name])
        for name, value in each.items():
            assert_array_equal(found.pop("%s@%d" % (name, k)), value)
    assert set(found) == set(shared)


def test_of_ratings_the_ids_count():
    """Users and items that are in one of the two only: a matrix of all, with empty rows and columns, is the judge."""
    train, held_out = (each.toarray() for each in halves(6))
    scores = np.random.RandomState(1).rand(*train.shape)
    train[[2, 11]], train[:, [4, 20]], held_out[[2, 11]], held_out[5], held_out[:, 8] = 0, 0, 5, 0, 0
    known = [np.setdiff1d(np.arange(size), without) for size, without in zip(train.shape, ([2, 11], [4, 20]))]
    other = [np.setdiff1d(np.arange(size), without) for size, without in zip(train.shape, ([5], [8]))]
    first, second = (Ratings(sp.csr_matrix(matrix[np.ix_(*of)]), *of)
                     for matrix, of in ((train, known), (held_out, other)))
    expected = evaluate_lists(lambda users: scores[users], *map(sp.csr_matrix, (train, held_out)), k=5, per_user=True)
    found = evaluate_lists(lambda rows: scores[np.ix_(known[0][rows], known[1])], first, second, k=5, per_user=True)
    order = np.argsort(found["user"])
    assert {2, 11} <= set(found["user"])
    for name in expected:
        assert_array_equal(found[name][order], expected[name], name)
    with pytest.raises(ValueError, match="none of the held-out items, such as 1000, is one of .*, such as 0; check"):
        evaluate_lists(None, first, second._replace(items=second.items + 1000))
    with pytest.raises(TypeError, match="held-out users are strings such as '0'; expected numbers"):
        evaluate_lists(None, first, second._replace(users=second.users.astype(str)))
    with pytest.raises(ValueError, match="ratings of shape 0 x 0 hold no entries"):
        evaluate_lists(None, first, Ratings(sp.csr_matrix((0, 0), dtype="float32"), *np.zeros((2, 0), int)))


@pytest.mark.parametrize("seed", range(12))
def test_a_recommender_is_judged_as_its_scores_are(seed, capsys):
    """By loops too: with users and items without training ratings, ties, counts, k above the number of items."""
    rng = np.random.RandomState(seed)
    shape, k, is_counts = (rng.randint(3, 40), rng.randint(4, 12)), [1, 5, 30][seed % 3], seed % 2
    draw = rng.rand(*shape)
    values = rng.geometric(0.4, shape) * (1 + 40 * (draw < 0.02)) if is_counts else rng.randint(1, 6, shape)
    train, held_out = values * (draw < 0.4), values * (draw > 0.5 + 0.4 * rng.rand(shape[0], 1))
    train[rng.rand(shape[0]) < 0.4], train[:, rng.rand(shape[1]) < 0.2] = 0, 0
    train[0], held_out[0] = [1] + [values.max()] * is_counts + [1] * (shape[1] - 2) + [5] * (not is_counts), 0
    held_out[1, [0, 1]] = 1, 5
    pairs = [sp.csr_matrix(each.astype(np.float32)) for each in (train, held_out)]
    counts, relevant = np.broadcast_to((train > 0).sum(axis=0), shape), 0.5 if is_counts else 4
    fitted = sparse_ae.Recommender(objective="clicks" if is_counts else "lists", network="popular", progress=False)
    fitted.fit(pairs[0], validation=None)
    for users in "all", "known":
        judged = held_out * ((users == "all") | (train > 0).any(axis=1, keepdims=True))
        if not (judged >= relevant).any():
            continue
        found = evaluate_lists(lambda rows: counts[rows], *pairs, k=k, users=users)
        expected = by_loops(counts, train, judged, k, relevant)
        listed, n = found["n_users"] - found["n_users_unknown"], np.count_nonzero(held_out.any(axis=1))
        expected["n_users_left_out"] = n - found["n_users"]
        said = capsys.readouterr().err
        assert said.startswith("%d of %d users with held-out ratings" % (listed, n)) if 2 * listed < n else not said
        assert fitted.evaluate(pairs[1], k=k, users=users) == dict(
            found, **{name: fitted.evaluate(pairs[1], k=k, users=users)[name]
                      for name in ("n_ratings", "n_unknown", "n_trained")})
        for name in expected:
            assert found[name] == pytest.approx(expected[name], rel=1e-12, nan_ok=True), name


def test_of_users_without_training_ratings_nothing_is_asked(capsys):
    """Two of three; half of the relevant items of one is no candidate."""
    train = sp.csr_matrix(np.array([[5, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [3, 0, 4, 0]], np.float32))
    held_out = sp.csr_matrix(np.array([[0, 0, 5, 0], [5, 0, 0, 0], [0, 5, 0, 5], [0, 2, 0, 0]], np.float32))

    def scores(users):
        assert users.tolist() == [0]
        return np.arange(4)[np.newaxis]

    found = evaluate_lists(scores, train, held_out, k=1, per_user=True)
    assert [found[name].tolist() for name in ("user", "ndcg", "auc")] == [[0, 1, 2], [1, 0, 0], [1, 0.5, 0.25]]
    assert capsys.readouterr().err == (
        "1 of 4 users with held-out ratings have a list that is judged: 1 have no held-out rating of 4.5 or higher, by "
        "which an item is relevant, and are left out; 2 have no training rating, and count as misses; users='known' "
        "leaves them out\n")
    known = evaluate_lists(scores, train, held_out, k=1, users="known")
    assert [known[name] for name in ["ndcg", "auc"] + COUNTS] == [1, 1, 1, 0, 3]
    assert "2 have no training rating, and are left out\n" in capsys.readouterr().err
    with pytest.raises(ValueError, match="none of the 4 held-out ratings of users with training ratings is 4.5 or hig"):
        evaluate_lists(scores, train, held_out[[1, 1, 1, 3]][:, [1, 1, 1, 1]], users="known")


@pytest.mark.parametrize("values, bar", [
    ([1, 1, 2, 1, 30], 0), ([1, 1, 1, 1, 3], 0), ([1, 2, 3, 4, 5], 4), ([1, 1, 2, 1.5, 30], 22.75),
    ([0, 0, 1, 30], 22.5), ([1, 1, 1], 1), ([2, 2, 2, 2, 10], 0), ([1, 1, 1, 5], 4)])
def test_of_counts_every_pair_is_relevant(values, bar):
    """Whole numbers from 1 on, with a mean in the lowest quarter of their range."""
    assert relevant_from(np.array(values, np.float32)) == bar
    assert relevant_from(np.array(values), (0, 40), are_counts=True) == 0


def test_of_sums_every_pair_is_relevant():
    """Of orders of two or four pieces, which by themselves look like ratings."""
    days, lines = np.arange(6), ([0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 2], [2.0, 2, 2, 4, 4, 2])
    train = sparse_ae.data.ratings_from_triples(*map(np.array, lines), timestamps=days, duplicates="sum")
    found = evaluate_lists(lambda users: np.ones((len(users), 3)), train, sp.csr_matrix([[0, 0, 1], [0, 0, 0]]), k=1)
    assert train.events is not None and found["n_users"] == 1
    with pytest.raises(ValueError, match="none of the 1 held-out ratings is 3.5 or higher"):
        evaluate_lists(None, train.matrix, sp.csr_matrix([[0, 0, 1], [0, 0, 0]]))


def test_catalogues_by_hand():
    """One item, and two items alike."""
    one = of_catalogue(np.array([[1]]), np.array([0.5, 1]))
    assert one["gini"] == 1 and [str(one[name]) for name in ("entropy", "novelty")] == ["0.0", "0.0"], "not -0.0"
    equal = of_catalogue(np.array([[1], [0]]), np.array([0.5, 1]))
    assert equal["gini"] == 0 and equal["entropy"] == 1


def best_by(scores, validation, train):
    """The lists of `ListValidation.users`."""
    scores = np.where(train.toarray() > 0, -np.inf, scores)[validation.users][:, validation.candidates]
    return top_n(scores, validation.k)


def test_validation_is_what_evaluation_finds_of_each_user():
    train, held_out = halves(1)
    scores = np.random.RandomState(0).rand(*train.shape)
    validation = ListValidation(train, held_out, Metric("ndcg", 3))
    lists = best_by(scores, validation, train)
    expected = evaluate_lists(lambda users: scores[users], train, held_out, 3, per_user=True)
    assert_array_equal(validation.users, expected["user"])
    for measure in [each for each in BY_USER if each != "ndcg"] + ["ndcg"]:
        validation.metric = Metric(measure, 3)
        assert_array_equal(validation.by_user(lists), expected[measure])
    assert mean(validation.by_user(lists)) == validation.metrics(lists, 3)["ndcg"]


def test_some_users_only():
    train, held_out = halves(2)
    scores = np.random.RandomState(0).rand(*train.shape)
    everybody = ListValidation(train, held_out)
    some = ListValidation(train, held_out, most_users=10)
    assert len(some.users) == 10 and set(some.users) < set(everybody.users)
    assert list(some.users) == sorted(some.users) != list(everybody.users[:10])
    assert_array_equal(some.candidates, everybody.candidates)
    alone = held_out.toarray()
    alone[np.setdiff1d(np.arange(len(alone)), some.users)] = 0
    expected = evaluate_lists(lambda users: scores[users], train, sp.csr_matrix(alone))
    expected.pop("auc")
    assert some.metrics(best_by(scores, some, train), 10) == pytest.approx(expected, rel=1e-12)
    assert len(ListValidation(train, held_out, most_users=1000).users) == len(everybody.users)


def judge_of(users, items, wanted=True):
    """The candidates are 4, which one of two users has had, and 6."""
    return RelevantItems(np.array(users), np.array(items), np.full(len(users), wanted), np.ones(2, bool),
                         np.array([4, 6]), ([1, 2], np.array([0, 0, 0, 0, 1, 0, 2])))


def test_empty_lists():
    found = judge_of([0, 1], [4, 9]).metrics(np.full((2, 3), -1), 3)
    assert np.isnan([found.pop(name) for name in ("popularity", "novelty", "gini", "entropy")]).all()
    assert found.pop("n_users") == 2 and set(found.values()) == {0}
    nothing = judge_of([0, 1], [4, 9], wanted=False).metrics(np.zeros((0, 3), int), 3)
    assert [nothing.pop(name) for name in COUNTS] == [0, 0, 2]
    assert list(nothing) == ALL[:-4] and np.isnan(list(nothing.values())).all()


@pytest.mark.parametrize("listed, recall", [(0, 0), (1, 1 / 3)])
def test_an_item_that_cannot_be_listed_is_relevant_all_the_same(listed, recall):
    # 3 and 9 are no candidates; 6 is held out twice; place -1 of a list must not be taken for the last candidate
    judge = judge_of([0, 0, 0, 0], [6, 3, 9, 6])
    assert judge.metrics(np.array([[listed, -1]]), 2)["recall"] == recall


@pytest.mark.parametrize("change, error, message", [
    (dict(k=0), ValueError, "k is 0; expected a positive integer"),
    (dict(k=[]), ValueError, r"k is \[\]; expected at least one length of lists"),
    (dict(k=[5, 5]), ValueError, r"k is \[5, 5\]; expected .* each once"),
    (dict(k=[5, [1]]), ValueError, r"k is \[1\]; expected a positive integer, or a list of them"),
    (dict(k=[5, 1.0]), ValueError, "k is 1.0; expected a positive integer"),
    (dict(users="some"), ValueError, "users is 'some'; expected 'all' or 'known'"),
    (dict(per_user=1), ValueError, "per_user is 1; expected True or False"),
    (dict(relevant="4"), ValueError, "relevant is '4'; expected the rating from which an item is relevant, such as 4"),
    (dict(relevant=7), ValueError, "none of .* held-out ratings is 7 or higher, .* lower `relevant`"),
    (dict(held_out=sp.eye(3).tocsr()), ValueError, "the training ratings are 40 x 25 and the held-out ratings 3 x 3"),
    (dict(held_out=np.eye(3)), TypeError, "ratings are ndarray, in which"),
    (dict(scores=lambda users: np.zeros((len(users), 3))), ValueError,
     r"scores of \d+ users are an array of float64 of shape \(\d+, 3\); expected numbers, \(\d+, 25\)"),
    (dict(scores=lambda users: np.full((len(users), 25), np.nan)), ValueError, "scores are NaN"),
])
def test_lists_refused(change, error, message):
    train, held_out = halves()
    arguments = dict(dict(scores=lambda users: np.zeros((len(users), 25)), train=train, held_out=held_out), **change)
    with pytest.raises(error, match=message):
        evaluate_lists(**arguments)


# Two rankings compared


def test_a_difference_is_within_its_interval():
    """Against SciPy's formula of the mean's interval, which a bootstrap of many users comes near to."""
    rng = np.random.RandomState(0)
    a = dict(user=np.arange(400), ndcg=rng.rand(400), recall=np.full(400, 0.5))
    b = dict(user=a["user"], ndcg=a["ndcg"] - 0.1 + 0.2 * rng.randn(400), recall=np.full(400, 0.25))
    found, order = compare_lists(a, b), rng.permutation(400)
    differences = a["ndcg"] - b["ndcg"]
    half = 1.96 * differences.std(ddof=1) / np.sqrt(400)
    assert found["ndcg"] == pytest.approx(differences.mean() + half * np.array([0, -1, 1]), abs=0.1 * half)
    assert found["recall"] == (0.25, 0.25, 0.25) and list(found) == ["ndcg", "recall"]
    assert compare_lists(a, a)["ndcg"] == (0, 0, 0), "of pairs"
    moved = {name: values[order] for name, values in b.items()}
    assert compare_lists(a, moved) == found == compare_lists(a, b), "by the users' ids"
    narrow = compare_lists(a, b, confidence=0.5)["ndcg"]
    assert narrow[2] - narrow[1] == pytest.approx(2 * 0.6745 / 1.96 * half, rel=0.1)
    assert found != compare_lists(a, b, rng=1)


@pytest.mark.parametrize("change, message", [
    (dict(user=np.arange(1, 4)), "the users of the first ranking, 3, aren't those of the second, 3"),
    (dict(ndcg=np.ones(4)), "(?s)and b is .*; expected two results with per_user=True and the same k"),
    (dict(user=np.array(3)), "(?s)and b is .*; expected two results with per_user=True"),
    (dict(ndcg=[1, 1, 1]), "(?s)and b is .*; expected two results with per_user=True"),
    (dict(ndcg=np.array(["a"] * 3)), "(?s)and b is .*; expected two results with per_user=True"),
    (dict(recall=np.ones(3)), "expected two results with per_user=True and the same k"),
    (None, "(?s)a is .* and b is {'ndcg': 0.5, .*; expected two results with per_user=True")])
def test_comparisons_refused(change, message):
    a = dict(user=np.arange(3), ndcg=np.ones(3))
    with pytest.raises(ValueError, match=message):
        compare_lists(a, dict(a, **change) if change else {"ndcg": 0.5, "n_users": 3})
