"""A recommender whose missing entries count: scores, lists chosen by what is held out, clicks."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from made import liked, likings, with_ids
from recommender_contract import RecommenderContract

from sparse_ae import Recommender, Shallow
from sparse_ae.data.stores import open_ratings, store_ratings
from sparse_ae.evaluation.rankings import evaluate_lists
from sparse_ae.model import AutoEncoder
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.trainer import Trainer
from sparse_ae.training.objectives import Missing, Observed
from sparse_ae.training.targets import unit_of_scores

W = 0.2
SETTINGS = dict(n_hidden=4, objective="lists", rows="users", batch_size=20, l2=0.02, update="adam",
                learning_rate=0.05, n_epochs=16, patience=3, network=Shallow(weight_scale=0.3), formulation="sparse",
                progress=False)


@pytest.fixture(scope="module")
def split():
    return liked()


@pytest.fixture(scope="module")
def fitted(split):
    return Recommender(**SETTINGS).fit(split[0], validation=split[1])


class TestMissingEntries(RecommenderContract):
    kills = [("users", False, 3)]

    @pytest.fixture(autouse=True)
    def data(self, split):
        train, coo = split[0], split[0].matrix.tocoo()
        self.ratings, self.fit = train, dict(validation=split[1])
        self.stored = train.users[coo.row], train.items[coo.col], coo.data


def test_the_unit():
    # m = 1 - 4 / 4; sqrt((16 + 25 + 1 + 4) / 4) / 3.75
    ratings = sp.csr_matrix(np.array([[4, 5, 0], [1, 0, 2]], np.float32))
    assert Missing().missing_rating((1, 5)) == 0.0 and Missing().missing_rating((-10, 10)) == -15.0
    assert unit_of_scores(ratings, 0.0) == pytest.approx(np.sqrt(46 / 4) / 3.75, rel=1e-15)
    with pytest.raises(ValueError, match="all ratings are missing_rating=3; expected another one"):
        unit_of_scores(sp.csr_matrix(np.full((2, 2), 3.0)), 3.0)


def test_outputs_are_scores_around_the_missing_rating(fitted, split):
    """From the parameters: the hidden units, and m + unit (W h + b), which nothing clips."""
    ratings, model = split[0].matrix, fitted.model_
    unit = unit_of_scores(ratings, 0.0)
    W_, V, mu, b, U = (p.get_value().astype("float64") for p in model.params)
    values, there = reference.residual_inputs(ratings.toarray(), 0.0, unit)
    expected = unit * (b + (1 / (1 + np.exp(-(mu + values @ V.T + there @ U.T)))) @ W_.T)
    users, items = (ids.ravel() for ids in np.meshgrid(split[0].users, split[0].items, indexing="ij"))
    np.testing.assert_allclose(fitted.predict(users, items), expected.ravel(), rtol=1e-4, atol=1e-4)
    assert expected.min() < 1 and fitted.missing_rating_ == 0.0 and fitted.rating_scale_ == (1.0, 5.0)
    assert fitted.mean_ == pytest.approx(ratings.data.mean())
    assert fitted.predict(-1, "nothing") == fitted.predict(-1, "i01") == 0.0


def test_early_stopping_goes_by_lists(fitted, split):
    values = [record["validation_ndcg@10"] for record in fitted.history_]
    assert fitted.best_epoch_ == np.argmax(values) + 1 and all(r["validation_rmse"] is None for r in fitted.history_)
    assert fitted.validation_rmse_ is None and set(fitted.validation_lists_) == {"popular", "users"}
    # The same by everything that gives lists.
    assert fitted.evaluate(split[1])["ndcg"] == pytest.approx(fitted.validation_lists_["users"], rel=1e-12)
    assert max(values) == pytest.approx(fitted.validation_lists_["users"], rel=1e-12)
    counts = np.diff(split[0].matrix.tocsc().indptr)  # how many have rated each
    popular = evaluate_lists(lambda users: np.tile(counts, (len(users), 1)), split[0].matrix, split[1].matrix)
    assert popular["ndcg"] == pytest.approx(fitted.validation_lists_["popular"], rel=1e-12)
    assert fitted.validation_lists_["users"] > 1.2 * popular["ndcg"] and fitted.weights_ == {"users": 1.0}


@pytest.mark.parametrize("objective, relevant", [("lists", 4), (Missing(measure="recall@3", counts=True), 1)])
def test_a_trainer_stops_by_the_measure_of_its_objective(objective, relevant, split):
    train, held_out = (each.matrix for each in split)
    model = AutoEncoder(train.shape[1], 4, (1, 5), f="linear", rng=0)
    trainer = Trainer(model, "adam", 0.05, 20, objective=objective, formulation="sparse", progress=False)
    history, name = trainer.fit(train, 12, validation=held_out, patience=2), trainer.objective.measure
    values = [record["validation_" + name] for record in history]
    best = int(np.argmax(values))
    assert history[-1]["restored"] == best + 1 == len(values) - 2 and all(r["validation_rmse"] is None for r in history)
    scorer, (metric, _, k) = Scorer(model, train), name.partition("@")
    found = evaluate_lists(lambda users: scorer.grids(np.arange(train.shape[1]))(users), train, held_out, int(k),
                           relevant)
    assert found[metric] == pytest.approx(values[best], rel=1e-12)


def test_a_trainer_of_lists_needs_something_relevant(split):
    train, held_out = (each.matrix for each in split)
    low = sp.csr_matrix((np.full(held_out.nnz, 2.0), held_out.indices, held_out.indptr), held_out.shape)
    model = AutoEncoder(train.shape[1], 4, (1, 5), f="linear", rng=0)
    with pytest.raises(ValueError, match="none of the %d held-out ratings is 4 or higher, which m" % low.nnz):
        Trainer(model, objective="lists", progress=False).fit(train, 1, validation=low)


def test_items_as_rows_and_strangers(split):
    """A new person's column is least of the cost over all items, by its normal equations."""
    recommender = Recommender(**dict(SETTINGS, rows="items", batch_size=8)).fit(split[0], validation=split[1])
    told = {"i01": 5, "i03": 4, "i02": 1}
    more = dict(told, i05=4, i06=1, i07=5, i08=2)  # and more ratings than there are equations
    model, unit = recommender.model_, unit_of_scores(split[0].matrix, 0.0)
    h = recommender.fitted_.scorer.hidden(np.arange(24)).astype("float64")
    h = np.hstack([h, np.ones((24, 1))])
    mean = np.append(model.W.get_value().mean(axis=0), model.b.get_value().mean())
    for ratings, new in zip((told, more), recommender.fold_in([told, more])):
        weights, target = np.full(24, W), np.zeros(24)
        for item, rating in ratings.items():
            weights[int(item[1:])], target[int(item[1:])] = 1.0, rating / unit
        p = np.linalg.solve(h.T.dot(weights[:, np.newaxis] * h) + 0.02 * np.eye(5),
                            h.T.dot(weights * target) + 0.02 * mean)
        np.testing.assert_allclose(new.predict(split[0].items), unit * h.dot(p), rtol=1e-4, atol=1e-4)
    # Of who likes odd items the odd ones come first.
    assert all(int(item[1:]) % 2 for item in recommender.fold_in(told).recommend(8).items)


def test_where_no_model_helps_the_most_popular_items_are_recommended():
    """Everybody picks at random, some items more often: there is nothing to learn but that."""
    rng = np.random.RandomState(0)
    matrix = sp.csr_matrix((rng.rand(60, 20) < np.linspace(0.1, 0.6, 20)).astype(np.float32))
    settings = dict(SETTINGS, n_epochs=1, learning_rate=1e-6, objective="clicks")
    recommender = Recommender(**settings).fit(with_ids(matrix), validation=0.25)
    assert recommender.weights_ == {"users": 0.0}
    order = np.argsort(-np.asarray(matrix.sum(axis=0)).ravel(), kind="stable")
    first = recommender.recommend(100, n=20, exclude_seen=False)
    assert first.items.tolist() == ["i%02d" % j for j in order]
    assert first.scores == pytest.approx(np.asarray(matrix.mean(axis=0)).ravel()[order], rel=1e-6)
    unguarded = Recommender(**dict(settings, biases="unguarded")).fit(with_ids(matrix), validation=0.25)
    assert unguarded.weights_ == {"users": 1.0}


def test_pairs_alone_and_counts():
    matrix = likings()
    coo, rng = matrix.tocoo(), np.random.RandomState(0)
    counts = rng.randint(1, 4, coo.nnz)
    settings = dict(SETTINGS, objective="clicks", n_epochs=2)
    clicks = np.repeat(np.stack([coo.row, coo.col], axis=1), counts, axis=0)
    rng.shuffle(clicks)
    by_pairs = Recommender(**settings).fit(clicks, validation=None)
    by_counts = Recommender(**settings).fit((coo.row, coo.col, counts), validation=None)
    table = {"user": coo.row, "item": coo.col, "rating": counts, "timestamp": counts}
    by_table = Recommender(**settings).fit(table, validation=None)
    by_logarithms = Recommender(**dict(settings, objective=Missing(rating=0), rating_scale=(0, 2))).fit(
        (coo.row, coo.col, np.log2(1 + counts)), validation=None)
    lists = [each.recommend(3).items.tolist() for each in (by_pairs, by_counts, by_table, by_logarithms)]
    assert all(each == lists[0] for each in lists)
    assert by_pairs.missing_rating_ == 0.0 and by_pairs.rating_scale_ == (0.0, 2.0)
    assert by_counts.fold_in({1: 3, 3: 1}).ratings.tolist() == [2.0, 1.0]  # log2(1 + 3), log2(1 + 1)
    # All held-out pairs are relevant, and two clicks are one pair.
    found = by_counts.evaluate(np.array([[0, 1], [0, 1], [1, 2]]))
    assert found["n_users"] == 2 and by_counts.evaluate(np.array([[0, 1], [1, 2]]))["recall"] == found["recall"]


def test_equal_ratings_are_no_error(split):
    likes = with_ids((split[0].matrix > 3).astype(np.float32))
    likes.matrix.eliminate_zeros()
    recommender = Recommender(**dict(SETTINGS, n_epochs=2)).fit(likes, validation=0.2)
    assert recommender.missing_rating_ == 0.0 and recommender.rating_scale_ == (0.0, 1.0)
    with pytest.raises(ValueError, match="all ratings are 1, so there is no scale; .* objective='lists' to rank"):
        Recommender(**dict(SETTINGS, objective="ratings")).fit(likes)
    with pytest.raises(ValueError, match="all ratings are 0, so there is no scale; .* or a rating above 0, such as 1,"):
        Recommender(**SETTINGS).fit(([1, 2], [1, 2], [0.0, 0.0]))


def test_counts_on_disk_are_refused(split, tmp_path):
    coo = split[0].matrix.tocoo()
    path = tmp_path / "store"
    store_ratings([(split[0].users[coo.row], split[0].items[coo.col], coo.data)], path, rows="users")
    with pytest.raises(ValueError, match="the objective is for counts, and ratings on disk"):
        Recommender(**dict(SETTINGS, objective="clicks")).fit(open_ratings(path))


def test_ratings_stop_early_by_lists_too(split):
    """Weights go by lists then, and the biases' lists are what has to be beaten."""
    settings = dict(SETTINGS, objective=Observed("recall@5"), n_epochs=2)
    recommender = Recommender(**settings).fit(split[0], validation=split[1])
    assert set(recommender.validation_lists_) == {"biases", "users"} and recommender.validation_rmse_ is None
    assert [record["train_rmse"] > 0 for record in recommender.history_] == [True, True]
    values = [record["validation_recall@5"] for record in recommender.history_]
    assert max(values) == pytest.approx(recommender.validation_lists_["users"], rel=1e-12)


@pytest.mark.parametrize("made, message", [
    (lambda: Missing(1.5), "weight is 1.5; expected a number from 0 to 1; 0 leaves missing entries out"),
    (lambda: Missing(0.1, float("nan")), "rating is nan; expected a number"),
    (lambda: Missing(rating="low"), "rating is 'low'; expected a number, .* or 'auto'"),
    (lambda: Missing(counts=1), "counts is 1; expected True or False"),
])
def test_objectives_that_cannot_be(made, message):
    with pytest.raises((TypeError, ValueError), match=message):
        made()
