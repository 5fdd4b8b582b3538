"""A recommender of masked ratings: they are as if they had not come, and nobody is asked for by a masked id."""
import numpy as np
import pytest
from made import SETTINGS, TEST, TRAIN

from sparse_ae.recommender.recommender import Recommender

TRAIN_MASK = np.arange(len(TRAIN[0])) % 7 == 3


def as_columns(ratings, mask):
    users, items, values = map(np.array, ratings)
    return users, items, np.ma.array(np.where(mask, 99.0, values), mask=mask)


def without(ratings, mask):
    return tuple(np.array(column)[~mask] for column in ratings)


@pytest.fixture(scope="module")
def recommender():
    settings = dict(SETTINGS, n_epochs=2, rows="users")
    return Recommender(**settings).fit(without(TRAIN, TRAIN_MASK), validation=None)


def same(one, other):
    return [p.get_value().tolist() for p in one.model_.params] == [p.get_value().tolist() for p in other.model_.params]


def test_fit_takes_what_is_not_masked(recommender):
    settings = recommender.get_params()
    users, items, values = as_columns(TRAIN, TRAIN_MASK)
    again = Recommender(**settings).fit((users, items, values), validation=None)
    assert again.rating_scale_ == recommender.rating_scale_ == (1, 5) and same(again, recommender)
    X = np.array(list(zip(users.tolist(), items.tolist())), dtype=object)
    assert same(Recommender(**settings).fit(X, values, validation=None), recommender)


def test_held_out_ratings_too(recommender):
    mask = np.arange(len(TEST[0])) % 3 == 0
    masked, left = as_columns(TEST, mask), without(TEST, mask)
    assert recommender.evaluate(masked) == recommender.evaluate(left)
    assert recommender.score(masked) == recommender.score(left)
    pairs = np.array(list(zip(*map(np.ndarray.tolist, masked[:2]))), dtype=object)
    assert recommender.score(pairs, masked[2]) == recommender.score(left)
    settings = recommender.get_params()
    one, other = (Recommender(**settings).fit(without(TRAIN, TRAIN_MASK), validation=each) for each in (masked, left))
    assert [record["validation_rmse"] for record in one.history_] == [
        record["validation_rmse"] for record in other.history_]


def test_masked_ids_are_refused(recommender):
    users, items = (recommender.users_[:2], recommender.items_[:2])
    mask = [False, True]
    said = "entry 1: the id in (users|items) is masked, which means missing; expected an id"
    for ask in (lambda: recommender.predict(np.ma.array(users, mask=mask), items),
                lambda: recommender.predict(users, np.ma.array(items, mask=mask)),
                lambda: recommender.predict([users.tolist()[0], np.ma.masked], items),
                lambda: recommender.recommend(np.ma.array(users, mask=mask)),
                lambda: recommender.recommend(users, items=np.ma.array(items, mask=mask)),
                lambda: recommender.fold_in({items.tolist()[0]: 3}).predict(np.ma.array(items, mask=mask))):
        with pytest.raises(ValueError, match=said):
            ask()
    for ask in (lambda: recommender.recommend(np.ma.masked), lambda: recommender.similar_items(np.ma.masked)):
        with pytest.raises(ValueError, match="the id in (users|item) is masked"):
            ask()
    pairs = np.ma.array([[1, 2], [3, 4]], mask=[[0, 0], [0, 1]])
    with pytest.raises(ValueError, match=said):
        recommender.predict(pairs.astype(str) if recommender.users_.dtype.kind == "U" else pairs)


def test_people_who_are_folded_in(recommender):
    first, second = recommender.items_.tolist()[:2]
    told = recommender.fold_in({first: 5, second: np.ma.masked}).predict(recommender.items_)
    assert told.tolist() == recommender.fold_in({first: 5}).predict(recommender.items_).tolist()
