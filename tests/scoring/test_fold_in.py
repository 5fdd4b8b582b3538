"""People folded in: they get what they love, and a new column is the least of its cost."""
import copy

import numpy as np
import pytest
import scipy.sparse as sp
from made import ITEMS, N_ITEMS, N_USERS, SETTINGS, TRAIN

from sparse_ae.data import Ratings, ratings_from_triples
from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.scoring.fold_in import ColumnSolver
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Observed


@pytest.fixture(scope="module", params=["items", "users"])
def fitted(request):
    return Recommender(rows=request.param, **SETTINGS).fit(TRAIN, validation=None)


def test_a_new_user_gets_what_they_love(fitted):
    before = [p.get_value() for p in fitted.model_.params]
    new = fitted.fold_in({900: 5, 880: 5, 890: 1, 870: 1, 860: 5})
    assert new.items.tolist() == [860, 870, 880, 890, 900] and new.ratings.tolist() == [5, 1, 5, 1, 5]
    assert set(new.recommend(n=4).items) == {840, 820, 800, 780}
    assert new.predict(840) > 4 > 2 > new.predict(850)
    found = new.recommend(n=99)
    assert set(found.items) == set(ITEMS) - set(new.items)
    assert new.predict(found.items).tolist() == found.scores.tolist()
    assert set(new.recommend(n=99, exclude_seen=False).items) == set(ITEMS)
    assert new.recommend(items=[840, 850, 900]).items.tolist() == [840, 850]
    assert isinstance(new.predict(900), float)
    np.testing.assert_equal([p.get_value() for p in fitted.model_.params], before)


@pytest.mark.parametrize("f", [pytest.param("identity", marks=pytest.mark.slow), "sigmoid"])
@pytest.mark.parametrize("given", [dict(rows="items", biases=False), dict(rows="users", biases=False),
                                   dict(rows="both", biases="unguarded"), dict(rows="users", learning_rate=1e-9),
                                   dict(rows="both", biases="unguarded", objective="lists")],
                         ids=["items", "users", "both", "biases", "missing"])
def test_many_people_are_folded_in_as_one_by_one(given, f, monkeypatch):
    """To the last bit, in their order, in parts or at once, before the items' hidden units are kept and after."""
    monkeypatch.setattr("sparse_ae.scoring.fold_in._TOGETHER", 3)
    settings = dict(SETTINGS, network=Shallow(f, weight_scale=0.1), n_epochs=3, formulation="dense", biases=True)
    settings.update(given)
    recommender = Recommender(**settings).fit(TRAIN, validation=0.2)
    rng = np.random.RandomState(0)
    people = [{int(item): float(rng.randint(1, 6)) for item in rng.choice(ITEMS, n, replace=False)}
              for n in (1, 3, 14, 2, 9, 5, 1)]
    people[1][12345], people[6] = 3.0, {900: 5.0}  # unknown; no other's ratings
    others = [copy.deepcopy(recommender) for _ in range(2)]
    many = others[0].fold_in(people)
    assert isinstance(many, list) and recommender.fold_in([]) == [] and len(recommender.fold_in(people[:1])) == 1
    for ratings, one in zip(people, many):
        alone = others[1].fold_in(ratings)
        assert one.items.tolist() == alone.items.tolist() == sorted(set(ratings) - {12345})
        assert one.ratings.tolist() == [ratings[item] for item in one.items]
        assert one.predict(ITEMS).tobytes() == alone.predict(ITEMS).tobytes()
        assert one.predict(int(ITEMS[3])) == alone.predict(ITEMS)[3]
        for left, right in zip(one.recommend(5), alone.recommend(5)):
            assert left.tobytes() == right.tobytes()
    assert len({one.predict(ITEMS).tobytes() for one in many}) == len(people)


def test_a_new_column_is_the_least_of_its_cost():
    """No step away from it costs less; an unbounded output is held against the normal equations elsewhere."""
    known = ratings_from_triples(*TRAIN)  # and a user without a rating, who is no part of the mean
    indptr = np.append(known.matrix.indptr, known.matrix.nnz)
    matrix = sp.csr_matrix((known.matrix.data, known.matrix.indices, indptr), shape=(N_USERS + 1, N_ITEMS))
    ratings = Ratings(matrix, np.append(known.users, "zoe"), known.items)
    settings = dict(SETTINGS, network=Shallow("sigmoid", weight_scale=0.1), l2=0.5, n_epochs=10)
    recommender = Recommender(**settings).fit(ratings, validation=None)
    new = recommender.fold_in({900: 5, 880: 4, 870: 2})
    model = recommender.model_
    W, b = (p.get_value().astype("float64")[:-1] for p in (model.W, model.b))
    mean = np.append(W.mean(axis=0), b.mean())
    rows = np.flatnonzero(np.isin(recommender.items_, [870, 880, 900]))
    scorer, r = recommender.fitted_.scorer, np.array([2.0, 4.0, 5.0])
    X = np.column_stack([Outputs(model).hidden(Batch.of(scorer.ratings[rows])), np.ones(3)])
    p = np.append(*ColumnSolver(scorer, Observed())(rows, r)).astype("float64")
    def output(p):
        return 1 + 4 / (1 + np.exp(-X.dot(p)))

    def cost(p):
        return np.sum((output(p) - r) ** 2) + 0.5 * np.sum((p - mean) ** 2)

    assert new.predict([870, 880, 900]) == pytest.approx(output(p), abs=1e-5)
    assert all(cost(p) < cost(p + 0.01 * step) for step in np.random.RandomState(0).randn(50, 5))
