"""What `Recommender.fit` is made of, and what it leaves: one `FitResult`, which gives way to the next in one step."""
import threading

import numpy as np
import pytest
from limits import HANGS
from recommender_contract import answers
from scipy import stats
from threadpoolctl import threadpool_info, threadpool_limits

import sparse_ae
from sparse_ae.recommender import guard
from sparse_ae.recommender.guard import shrunk_weights, standard_score

RATINGS = sparse_ae.made_up_ratings(40, 25, 400, n_factors=2, noise=0.3, step=1, rng=0)[0]


@pytest.mark.parametrize("gains, expected", [
    ([1.0, 3.0], 2 / (1 / np.sqrt(2))), ([-1.0, -3.0], -2 / (1 / np.sqrt(2))), ([2.0, 2.0], np.inf), ([0.0, 0.0], 0.0),
    ([5.0], 0.0)])
def test_standard_errors_by_hand(gains, expected):
    assert standard_score(np.array(gains)) == pytest.approx(expected)


# Weights of models beside the biases: sure and unsure, of noise


def test_the_larger_of_two_errors_counts_by_hand(monkeypatch):
    """The two that err upwards are one user's: their errors don't cancel, and t is 3, with one degree of freedom."""
    monkeypatch.setattr(guard, "_FEWEST", 4)
    outputs, residuals = np.full((4, 1), 1.0), np.array([4.0, 2.0, 4.0, 2.0])
    users, items = np.array([7, 5, 7, 5]), np.arange(4)
    luck = ((1 + 1) ** 2 + (-1 - 1) ** 2) * 2 / 1 / 4
    assert 36 / luck == 9
    z = stats.norm.isf(0.5 - np.arctan(3) / np.pi)  # Cauchy's distribution
    for chosen, most, expected in ((0.2, 1.5, 3 * (1 - 1 / (z - 0.2) ** 2)), (0.2, 0.1, 0.1), (0.3, 1.5, 0)):
        monkeypatch.setattr(guard, "CHOSEN", chosen)
        monkeypatch.setattr(guard, "_MOST_WEIGHT", most)
        for groups in ([users, items], [items, users]):
            assert shrunk_weights(outputs, residuals, groups) == pytest.approx([expected])
    monkeypatch.setattr(guard, "CHOSEN", -9.0)
    assert shrunk_weights(outputs[:3], residuals[:3], [users[:3], items[:3]]).tolist() == [0], "of too few"


def test_two_models_by_loops():
    rng = np.random.RandomState(0)
    users, items = rng.randint(12, size=300), rng.randint(9, size=300)
    outputs = rng.randn(300, 2)
    residuals = outputs.dot([0.7, 0.4]) + 0.5 * rng.randn(300) + 0.2 * rng.randn(12)[users]
    A, z = sum(np.outer(x, x) for x in outputs), np.inf
    w = np.linalg.solve(A, outputs.T.dot(residuals))
    for group in (users, items):
        M = np.zeros((2, 2))
        for g in set(group):
            s = sum((residuals[i] - outputs[i].dot(w)) * outputs[i] for i in range(300) if group[i] == g)
            M += np.outer(s, s)
        luck = np.trace(np.linalg.inv(A).dot(M)) * len(set(group)) / (len(set(group)) - 1)
        t = stats.t(len(set(group)) - 1)
        z = min(z, -stats.norm.ppf(t.cdf(-np.sqrt(sum(x.dot(w) ** 2 for x in outputs) / luck))))
    expected = w * (1 - 1 / (z - 1.5) ** 2)  # where all are taken
    assert (0.2 < expected).all() and (expected < 0.8).all()
    assert shrunk_weights(outputs, residuals, [users, items]) == pytest.approx(expected)
    # In another unit, and with the models the other way round.
    assert shrunk_weights(outputs[:, ::-1], residuals, [users, items]) == pytest.approx(expected[::-1])
    assert shrunk_weights(outputs * 10, residuals * 10, [users, items]) == pytest.approx(expected)


def test_a_model_that_adds_nothing_is_left_out():
    rng = np.random.RandomState(1)
    good, n = rng.randn(2000), 2000
    residuals = good + rng.randn(n)
    groups = np.arange(n) % 100, np.arange(n) // 20
    for other in (-good + 0.1 * rng.randn(n), np.zeros(n), 1e-12 * rng.randn(n)):
        found = shrunk_weights(np.stack([good, other], axis=1), residuals, groups)
        assert 0.95 < found[0] < 1.05 and found[1] == 0


@pytest.mark.parametrize("outputs, residuals, groups", [
    # Ratings that may all have erred together, none at all, and outputs of nothing.
    (np.ones((3, 1)), [1, 1.1, 0.9], ([0, 0, 0], [0, 1, 2])), (np.ones((3, 1)), [1, 1.1, 0.9], ([0, 1, 2], [5] * 3)),
    (np.zeros((0, 2)), [], ([], [])), (np.zeros((3, 2)), [1.0] * 3, ([0, 1, 2],) * 2)])
def test_what_is_no_evidence(outputs, residuals, groups, monkeypatch):
    monkeypatch.setattr(guard, "_FEWEST", 0)
    found = shrunk_weights(outputs, np.array(residuals), [np.array(each, int) for each in groups])
    assert found.tolist() == [0] * outputs.shape[1]


# One FitResult answers, never changes, and gives way to the next in one step


def made(**settings):
    return sparse_ae.Recommender(**dict(dict(n_hidden=4, n_epochs=2, batch_size=16, rows="items", progress=False),
                                        **settings))


def test_predicting_while_another_thread_fits():
    recommender, others = made().fit(RATINGS, validation=None), RATINGS.matrix[::-1]
    before, first, begun, asked = answers(recommender), recommender.fitted_, threading.Event(), threading.Event()

    def on_epoch(record):  # within the fit: answers come from the thread that asks, before the fit goes on
        begun.set()
        assert asked.wait(HANGS)

    thread = threading.Thread(target=lambda: recommender.set_params(n_hidden=5).fit(others, validation=None,
                                                                                    on_epoch=on_epoch))
    thread.start()
    assert begun.wait(HANGS)
    assert answers(recommender) == before and recommender.fitted_ is first
    asked.set()
    thread.join()
    assert recommender.fitted_ is not first
    assert answers(recommender) == answers(made(n_hidden=5).fit(others, validation=None)) != before


def test_products_of_a_fit_are_the_same_beside_other_threads():
    """Another fit, or lists, would change the number of BLAS's threads at any time, and with it the last bits."""
    def of_blas():
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    seen = []
    with threadpool_limits(2, "blas"):
        recommender = made().fit(RATINGS, validation=None, on_epoch=lambda record: seen.append(of_blas()))
        recommender.partial_fit(RATINGS, n_epochs=1)
        with pytest.raises(ZeroDivisionError):
            recommender.fit(RATINGS, validation=None, on_epoch=lambda record: seen.append(of_blas()) or 1 // 0)
        assert of_blas() == {2}
    assert seen == [{1}] * 3


def test_ratings_on_a_learned_scale_are_on_it():
    """The scale is of float32 numbers: 0.1 is 0.10000000149 there, and 0.7 is 0.699999988."""
    low, high = 0.1, 0.7
    steps = np.linspace(low, high, 5)
    users, items = np.nonzero(np.random.RandomState(0).rand(12, 8) < 0.7)
    ratings = users, items, steps[(users * 3 + items) % 5]
    found = sparse_ae.Recommender(n_hidden=2, n_epochs=1, unknown=low, progress=False).fit(ratings, validation=None)
    assert np.isfinite(found.fold_in({0: low, 1: high, 2: steps[3]}).predict([3])).all()
    for off in (low - 1e-3, high + 1e-3):
        with pytest.raises(ValueError, match="expected one within the rating scale"):
            found.fold_in({0: off})


def test_fold_in_takes_a_series():
    pandas = pytest.importorskip("pandas")
    recommender = made().fit(RATINGS, validation=None)
    series = recommender.fold_in(pandas.Series({3: 4.0, 5: 1.0})).predict(recommender.items_)
    assert series.tolist() == recommender.fold_in({3: 4.0, 5: 1.0}).predict(recommender.items_).tolist()
