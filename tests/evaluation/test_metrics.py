"""Errors of predictions and measures of ranking: by hand, in blocks, against scikit-learn and trec_eval."""
import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.evaluation.metrics import (
    ErrorSums,
    coverage,
    hit_rate_at_k,
    mae,
    map_at_k,
    mean_popularity,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    rmse,
)

OF_LISTS = [precision_at_k, recall_at_k, ndcg_at_k, hit_rate_at_k, map_at_k, mrr_at_k]


def test_by_hand():
    # errors 1, -2, 0, 3: squares 1 + 4 + 0 + 9 = 14, absolutes 6
    observed, predicted = [4, 1, 3, 5], [3.0, 3.0, 3.0, 2.0]
    assert rmse(observed, predicted) == pytest.approx(np.sqrt(14 / 4), rel=1e-15)
    assert mae(observed, predicted) == pytest.approx(6 / 4, rel=1e-15)
    assert isinstance(rmse(observed, predicted), float) and isinstance(mae(observed, predicted), float)


def test_blocks_weigh_by_their_size():
    rng = np.random.RandomState(0)
    observed, predicted = rng.rand(100), rng.rand(100)
    sums = ErrorSums()
    for block in (slice(0, 1), slice(1, 1), slice(1, 90), slice(90, 100)):
        assert sums.add(observed[block], predicted[block]) is sums
    assert sums.count == 100
    assert sums.rmse() == pytest.approx(np.sqrt(np.mean((observed - predicted) ** 2)), rel=1e-12)
    assert sums.mae() == pytest.approx(np.mean(np.abs(observed - predicted)), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_float64_inside(dtype):
    observed, predicted = np.full(100000, 2.0, dtype), np.full(100000, 1.5, dtype)
    assert rmse(observed, predicted) == 0.5
    assert mae(observed, predicted) == 0.5


def test_unsigned_ratings_do_not_wrap():
    assert mae(np.array([1], np.uint8), np.array([3], np.uint8)) == 2


@pytest.mark.parametrize("metric", [rmse, mae])
@pytest.mark.parametrize("observed, predicted, error, message", [
    ([1, 2, 3], [1, np.nan, np.nan], ValueError, r"2 of 3 predictions are missing or infinite, the first \(nan\) at "
                                                 "position 1; .*fill them in"),
    ([1, np.inf], [1, 2], ValueError, r"1 of 2 ratings are missing or infinite, the first \(inf\) at position 1"),
    ([1, 2], np.ma.array([1, 2], mask=[0, 1]), ValueError, "predictions hold masked values"),
    ([1, 2], [1], ValueError, r"\(2,\) ratings and \(1,\) predictions; expected arrays of one shape"),
    ([[1], [2]], [1, 2], ValueError, r"\(2, 1\) ratings and \(2,\) predictions"),
    ([1, 2], 1.5, ValueError, r"\(2,\) ratings and \(\) predictions"),
    ([], [], ValueError, "no ratings to compare with"),
    ([1], [None], TypeError, "predictions are list of dtype object; expected an array of real numbers"),
    (sp.eye(2).tocsr(), [1, 2], TypeError, "ratings are csr_matrix of dtype object; .*its .data"),
    ([1], [1j], TypeError, "predictions are list of dtype complex128"),
])
def test_refused(metric, observed, predicted, error, message):
    with pytest.raises(error, match=message):
        metric(observed, predicted)


def test_a_refused_block_leaves_the_sums_as_they_were():
    sums = ErrorSums().add([1.0], [2.0])
    with pytest.raises(ValueError, match="predictions are missing"):
        sums.add([1.0, 1.0], [1.0, np.nan])
    assert (sums.count, sums.squared, sums.absolute) == (1, 1.0, 1.0)


def test_arguments_are_left_alone():
    observed, predicted = np.array([1.0, 2.0]), np.array([2.0, 4.0])
    rmse(observed, predicted)
    mae(observed, predicted)
    assert observed.tolist() == [1, 2] and predicted.tolist() == [2, 4]


# Ranking: user 0 has hits at 1 and 3 of 4, user 1 none, user 2 nothing relevant, user 3 hits at 1 and 2
HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
N_RELEVANT = np.array([2, 5, 0, 3])


def test_ranking_by_hand():
    assert precision_at_k(HITS, N_RELEVANT) == pytest.approx((2 / 4 + 0 + 2 / 4) / 3, rel=1e-15)
    assert recall_at_k(HITS, N_RELEVANT) == pytest.approx((2 / 2 + 0 + 2 / 3) / 3, rel=1e-15)
    two, three = 1 + 1 / np.log2(3), 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert ndcg_at_k(HITS, N_RELEVANT) == pytest.approx(((1 + 1 / np.log2(4)) / two + 0 + two / three) / 3, rel=1e-15)
    assert hit_rate_at_k(HITS, N_RELEVANT) == pytest.approx(2 / 3, rel=1e-15)
    # precisions at hits 1 and 2/3 over 2 places, none, 1 and 1 over 3 places
    assert map_at_k(HITS, N_RELEVANT) == pytest.approx(((1 + 2 / 3) / 2 + 0 + 2 / 3) / 3, rel=1e-15)
    assert mrr_at_k(HITS, N_RELEVANT) == pytest.approx((1 + 0 + 1) / 3, rel=1e-15)
    assert all(isinstance(measure(HITS, N_RELEVANT), float) for measure in OF_LISTS)


def test_where_the_first_hit_is():
    hits = np.array([[0, 0, 1, 1], [0, 1, 0, 0]], bool)
    assert mrr_at_k(hits, np.array([2, 2])) == pytest.approx((1 / 3 + 1 / 2) / 2, rel=1e-15)
    assert map_at_k(hits, np.array([9, 1])) == pytest.approx(((1 / 3 + 2 / 4) / 4 + 1 / 2) / 2, rel=1e-15)


def test_the_best_list_and_the_worst():
    hits, n_relevant = np.array([[True, True], [True, False]]), np.array([7, 1])
    assert ndcg_at_k(hits, n_relevant) == 1  # more relevant items than places, and fewer
    assert precision_at_k(hits, n_relevant) == 0.75
    assert recall_at_k(hits, n_relevant) == pytest.approx((2 / 7 + 1) / 2)
    assert map_at_k(hits, n_relevant) == mrr_at_k(hits, n_relevant) == hit_rate_at_k(hits, n_relevant) == 1
    assert [measure(~np.ones((1, 3), bool), [3]) for measure in OF_LISTS] == [0] * 6


def test_ndcg_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.RandomState(0)
    scores, relevant = rng.rand(20, 30), rng.rand(20, 30) < 0.2
    relevant[:, 0] = True
    best = np.argsort(-scores, axis=1)[:, :7]
    hits = np.take_along_axis(relevant, best, axis=1)
    assert ndcg_at_k(hits, relevant.sum(axis=1)) == pytest.approx(metrics.ndcg_score(relevant, scores, k=7), rel=1e-12)


def test_precision_and_recall_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.RandomState(1)
    recommended, relevant = np.zeros((15, 20), bool), rng.rand(15, 20) < 0.3
    relevant[:, 3] = True
    best = np.array([rng.permutation(20)[:6] for _ in range(15)])
    np.put_along_axis(recommended, best, True, axis=1)
    hits = np.take_along_axis(relevant, best, axis=1)
    for measure, theirs in ((precision_at_k, metrics.precision_score), (recall_at_k, metrics.recall_score)):
        expected = theirs(relevant, recommended, average="samples")
        assert measure(hits, relevant.sum(axis=1)) == pytest.approx(expected, rel=1e-12)


def trec_eval(relevant, best, k):
    """The measures of each row by trec_eval, in the order of `OF_LISTS`."""
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pip install pytrec_eval-terrier, or the extra \"test\"")
    names = ["P.%d" % k, "recall.%d" % k, "ndcg_cut.%d" % k, "success.%d" % k, "map_cut.%d" % k, "recip_rank"]
    judged = {str(user): {str(item): 1 for item in np.flatnonzero(row)} for user, row in enumerate(relevant)}
    lists = {str(user): {str(item): float(k - place) for place, item in enumerate(row)}  # the best has the most
             for user, row in enumerate(best)}
    found = pytrec_eval.RelevanceEvaluator(judged, set(names)).evaluate(lists)
    return np.array([[found[str(user)][name.replace(".", "_")] for name in names] for user in range(len(best))])


@pytest.mark.parametrize("k", [1, 7, 20])
def test_all_are_those_of_trec_eval(k):
    rng = np.random.RandomState(k)
    relevant = rng.rand(40, 25) < rng.rand(40, 1)  # fewer than k, and more
    relevant[:, 4], relevant[0], relevant[1, 5:] = True, True, False
    relevant[1, :4] = False
    best = np.array([rng.permutation(25)[:k] for _ in range(40)])
    hits, n_relevant = np.take_along_axis(relevant, best, axis=1), relevant.sum(axis=1)
    expected = trec_eval(relevant, best, k)
    expected[:, 4] *= n_relevant / np.minimum(n_relevant, k)  # its denominator is R_u
    assert n_relevant.min() <= k < n_relevant.max()
    for column, measure in enumerate(OF_LISTS):
        for user in range(40):
            assert measure(hits[[user]], n_relevant[[user]]) == pytest.approx(expected[user, column], rel=1e-9)
        assert measure(hits, n_relevant) == pytest.approx(expected[:, column].mean(), rel=1e-9)


@pytest.mark.parametrize("measure", OF_LISTS)
@pytest.mark.parametrize("hits, n_relevant, message", [
    ([True, False], [1], r"hits are an array of bool of shape \(2,\); expected bool, \(users, k\)"),
    ([[1, 0]], [1], r"hits are an array of int64 of shape \(1, 2\); expected bool"),
    (np.zeros((2, 0), bool), [1, 1], "k at least 1"),
    ([[True]], [1, 2], r"n_relevant is an array of int64 of shape \(2,\); expected a whole number for each of 1 users"),
    ([[True]], [1.0], "n_relevant is an array of float64"),
    ([[False, False], [True, True]], [1, 1], "user 1 has 2 hits among 1 relevant items"),
    ([[False], [False]], [0, 0], "none of 2 users has a relevant item"),
])
def test_ranking_refuses(measure, hits, n_relevant, message):
    with pytest.raises(ValueError, match=message):
        measure(hits, n_relevant)


# What the lists are like: four candidates, of which 3 is on no list, and one list is empty
LISTS = np.array([[0, 2], [1, -1], [-1, -1], [0, 1]])


def test_coverage_and_popularity_by_hand():
    assert coverage(LISTS, 4) == 3 / 4 and coverage(LISTS, 30) == 3 / 30
    assert mean_popularity(LISTS, [7, 2, 6, 100]) == (7 + 6 + 2 + 7 + 2) / 5
    assert isinstance(coverage(LISTS, 4), float) and isinstance(mean_popularity(LISTS, [1, 2, 3, 4]), float)
    assert coverage(np.full((3, 2), -1), 4) == coverage(np.zeros((0, 2), int), 4) == 0
    assert coverage([[3, 1], [0, 2]], 4) == 1


@pytest.mark.parametrize("function, error, message", [
    (lambda: coverage([0, 1], 2), ValueError, r"lists are an array of int64 of shape \(2,\); expected integers"),
    (lambda: coverage([[0.0]], 2), ValueError, "lists are an array of float64"),
    (lambda: coverage([[0, 2]], 2), ValueError, "lists hold 2; expected positions 0 .. 1, or -1"),
    (lambda: coverage([[0, -2]], 2), ValueError, "lists hold -2"),
    (lambda: coverage(np.zeros((2, 3), int) - 1, 0), ValueError, "n_candidates is 0; expected a positive integer"),
    (lambda: mean_popularity([[0, 2]], [1, 2]), ValueError, "lists hold 2; expected positions 0 .. 1"),
    (lambda: mean_popularity([[-1], [-1]], [1, 2]), ValueError, "none of 2 lists has an item"),
    (lambda: mean_popularity([[0]], [[1, 2]]), ValueError, r"popularity is of shape \(1, 2\); expected one dimension"),
    (lambda: mean_popularity([[0]], [np.nan]), ValueError, "1 of 1 popularity are missing or infinite"),
    (lambda: mean_popularity([[0]], ["a"]), TypeError, "popularity are list of dtype"),
])
def test_measures_of_lists_refuse(function, error, message):
    with pytest.raises(error, match=message):
        function()
