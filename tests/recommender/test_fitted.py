"""One `Fitted` answers, never changes, and gives way to the next in one step: also while another thread fits."""
import threading

import numpy as np
import pytest
from limits import HANGS

import sparse_ae

RATINGS = sparse_ae.made_up_ratings(40, 25, 400, n_factors=2, noise=0.3, step=1, rng=0)[0]


def made(**settings):
    return sparse_ae.Recommender(**dict(dict(n_hidden=4, n_epochs=2, batch_size=16, rows="items", progress=False),
                                        **settings))


def answers(recommender):
    lists = recommender.recommend(recommender.users_[:5], n=4)
    return (recommender.predict(recommender.users_, recommender.items_[3]).tobytes(), b"".join(lists.scores).hex(),
            recommender.fold_in({3: 4.0, 5: 1.0}).predict(recommender.items_).tobytes())


def test_predicting_while_another_thread_fits():
    recommender = made().fit(RATINGS, validation=None)
    before, others = answers(recommender), RATINGS.matrix[::-1]
    after = answers(made(n_hidden=5).fit(others, validation=None))
    assert before != after
    first, seen, begun, asked = recommender.fitted_, [], threading.Event(), threading.Event()

    def on_epoch(record):  # within the fit: answers come from the thread that asks, before the fit goes on
        begun.set()
        assert asked.wait(HANGS)

    def fit():
        recommender.set_params(n_hidden=5).fit(others, validation=None, on_epoch=on_epoch)

    thread = threading.Thread(target=fit)
    thread.start()
    assert begun.wait(HANGS)
    seen.append(answers(recommender))
    assert recommender.fitted_ is first and recommender.n_hidden_ == 4
    asked.set()
    while thread.is_alive():  # and now without waiting for one another
        seen.append(answers(first_or_next(recommender)))
    thread.join()
    assert recommender.fitted_ is not first and answers(recommender) == after
    assert seen[0] == before and set(seen) <= {before, after}


def first_or_next(recommender):
    """A recommender with what another one has fitted by now: three questions go to the same `Fitted`."""
    one = sparse_ae.Recommender()
    one.fitted_ = recommender.fitted_
    return one


def test_a_fit_that_fails_leaves_all_as_it_was():
    recommender = made().fit(RATINGS, validation=None)
    fitted, before = recommender.fitted_, answers(recommender)

    def fail(record):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        recommender.set_params(n_hidden=5).fit(RATINGS.matrix[::-1], validation=None, on_epoch=fail)
    assert recommender.fitted_ is fitted and answers(recommender) == before


@pytest.mark.parametrize("low, high", [(0.1, 1.0), (0.1, 0.7), (0.3, 9.9)])
def test_ratings_on_a_learned_scale_are_on_it(low, high):
    """The scale is of float32 numbers: 0.1 is 0.10000000149 there, and 0.7 is 0.699999988."""
    steps = np.linspace(low, high, 5)
    users, items = np.nonzero(np.random.RandomState(0).rand(12, 8) < 0.7)
    ratings = users, items, steps[(users * 3 + items) % 5]
    found = sparse_ae.Recommender(n_hidden=2, n_epochs=1, unknown=low, progress=False).fit(ratings, validation=None)
    assert np.isfinite(found.fold_in({0: low, 1: high, 2: steps[3]}).predict([3])).all()
    for off in (low - 1e-3, high + 1e-3):
        with pytest.raises(ValueError, match="expected one within the rating scale"):
            found.fold_in({0: off})
    same = [found.evaluate(form, k=3) for form in (
        ratings, sparse_ae.data.ratings_from_triples(*ratings), (users, items, ratings[2].astype(np.float32)))]
    for each in same[1:]:
        assert each == pytest.approx(same[0], rel=1e-6)


def test_fold_in_takes_a_series_and_words_for_what_is_no_dict():
    pandas = pytest.importorskip("pandas")
    recommender = made().fit(RATINGS, validation=None)
    series = recommender.fold_in(pandas.Series({3: 4.0, 5: 1.0})).predict(recommender.items_)
    assert series.tolist() == recommender.fold_in({3: 4.0, 5: 1.0}).predict(recommender.items_).tolist()
    with pytest.raises(TypeError, match="ratings are ndarray; expected a dict"):
        recommender.fold_in(np.ones(3))


def test_lists_of_users_without_ratings_are_their_own():
    rest = RATINGS.matrix[2:]
    matrix = type(rest)((rest.data, rest.indices, np.append([0, 0], rest.indptr)), RATINGS.matrix.shape)
    ratings = sparse_ae.data.Ratings(matrix, RATINGS.users, RATINGS.items)
    first, second = made().fit(ratings, validation=None).recommend(ratings.users[:2], n=3)
    first.scores[:] = 0
    assert first.items.tolist() == second.items.tolist() and second.scores.all()


def test_ctrl_c_in_a_fit_of_lists_is_ctrl_c_and_leaves_the_last_one(monkeypatch):
    """NumPy's unique(axis=0) makes a TypeError of it: its comparison of rows is interrupted. So there is none."""
    unique, made_lists = np.unique, dict(objective="lists", network="ease", progress=False)
    recommender = sparse_ae.Recommender(**made_lists).fit(RATINGS)
    fitted, calls = recommender.fitted_, []

    def interrupted(values, *args, **more):
        assert more.get("axis") is None
        calls.append(len(values))
        if len(calls) == n_calls:
            raise KeyboardInterrupt
        return unique(values, *args, **more)

    monkeypatch.setattr(np, "unique", interrupted)
    n_calls = None
    recommender.fit(RATINGS).evaluate(RATINGS, k=3)
    assert calls and recommender.fitted_ is not fitted
    fitted, n_calls = recommender.fitted_, len(calls) + 2
    with pytest.raises(KeyboardInterrupt):
        recommender.fit(RATINGS)
    assert recommender.fitted_ is fitted
