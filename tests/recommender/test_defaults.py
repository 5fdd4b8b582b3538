"""Settings that fit the data: the table of the module's docstring, what is given, and how much work that is."""
import functools

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae import Recommender
from sparse_ae.recommender import defaults
from sparse_ae.recommender.defaults import Choice, bounded, choose, useful_sides, validation_fraction
from sparse_ae.recommender.model_factory import ModelFactory
from sparse_ae.training.objectives import Missing, Observed
from sparse_ae.training.optimisers import rprop

NAMES = ("n_hidden", "batch_size", "l2", "update", "learning_rate", "n_epochs", "patience")
AUTO = dict.fromkeys(NAMES, "auto")


def matrix(n, n_rows, n_columns, empty=0):
    """A CSR matrix with n entries in its first rows, as even as can be; what is looked at is only where they are."""
    filled = n_rows - empty
    indptr = np.append(np.arange(filled + 1) * n // filled, [n] * empty)
    indices = (np.arange(n) % n_columns).astype(np.int32)
    return sp.csr_matrix((np.ones(n, np.float32), indices, indptr), shape=(n_rows, n_columns))


def chosen(n, n_rows=600, n_columns=400, variance=0.8, validated=True, empty=0, objective=Observed(), **given):
    return choose(dict(AUTO, **given), matrix(n, n_rows, n_columns, empty), variance, validated, objective)


MISSING = Missing(0.2)


@pytest.mark.parametrize("n, n_rows, n_columns, expected", [
    (100, 6000, 4000, 96), (50000, 6000, 4000, 96), (300000, 600, 400, 240),  # 100 sqrt(6) is 245
    (2000000, 6000, 4000, 320),
    (2000000, 300, 4000, 288), (2000000, 6000, 170, 160), (2000000, 50, 4000, 96),  # rows, or columns, with ratings
    (2200000, 6000, 52428, 320), (2000000, 6000, 100000, 160),  # 2^24 numbers in W
    # Beyond 2^23 numbers 8 for each rating of a column, or 32.
    (300000, 6000, 34952, 240), (300000, 6000, 34953, 64), (700000, 6000, 40000, 128), (400000, 6000, 190000, 32)])
def test_hidden_units(n, n_rows, n_columns, expected):
    found = chosen(n, n_rows, n_columns).n_hidden
    assert found == expected and isinstance(found, int)


def test_hidden_units_where_missing_entries_count_are_as_many_as_ever():
    found = [chosen(10 ** 6, 6000, n_columns, objective=MISSING).n_hidden for n_columns in (52428, 10 ** 6)]
    assert found == [320, 96]


def test_a_side_with_crowded_rows_is_left_out():
    jokes = matrix(1500000, 25000, 100)  # users by items: 15,000 ratings for each item
    assert useful_sides(("items", "users"), jokes) == ("users",)
    assert useful_sides(("items", "users"), jokes.T.tocsr()) == ("items",)
    assert useful_sides(("items", "users"), matrix(900000, 6000, 3700)) == ("items", "users")
    assert useful_sides(("items",), jokes) == ("users",)  # without validation there is but one


@pytest.mark.parametrize("n, settings, expected", [
    (7000, dict(n_rows=1), (1, 0.001, 3000, 80)), (7000, dict(n_rows=13), (2, 0.001, 429, 12)),
    (7000, dict(n_rows=700, empty=100), (50, 0.001, 250, 7)),  # rows without ratings don't count
    (900000, {}, (50, 0.001, 250, 7)), (900000, dict(validated=False), (50, 0.001, 36, None)),
    (900000, dict(learning_rate=0.001), (50, 0.001, 250, 17)),  # no second chance at a smaller rate
    (200000, dict(update="adagrad"), (50, 0.03, 250, 7)), (200000, dict(update="sgd"), (50, 0.001, 250, 7)),
    (200000, dict(variance=None), (256, 0.001, 300, 67)),
    (50000, dict(batch_size=600), (600, 0.001, 3000, 80)), (50000, dict(batch_size=1), (1, 0.001, 5, 5)),
    (50000, dict(batch_size=None), (None, 0.001, 3000, 80)),
    (50000, dict(validated=False, patience=3), (50, 0.001, 36, None)),
    (4 * 10 ** 6, dict(n_rows=6000), (250, 0.001, 125, 5)),
    (10 ** 6, dict(n_rows=6000, objective=MISSING), (500, 0.002, 250, 17)),
    (100000, dict(objective=MISSING, validated=False), (50, 0.002, 38, None)),  # 450 updates
    (1000, dict(objective=Observed("ndcg@10")), (50, 0.001, 250, 17))], ids=str)
def test_steps(n, settings, expected):
    """An epoch is 12 mini-batches, more of them beyond a million ratings."""
    choice = chosen(n, **dict(dict(n_columns=80), **settings))
    found = choice.batch_size, choice.learning_rate, choice.n_epochs, choice.patience
    assert found == expected and all(value is None or isinstance(value, (int, float)) for value in found)
    assert (choice.cut is not None) == (expected[3] in (80, 27, 12, 7, 5))


@pytest.mark.parametrize("update", ["rprop", "lbfgs", rprop, functools.partial(rprop, increase=1.1)])
def test_updates_of_all_rows_at_once_have_no_mini_batches(update):
    assert chosen(1000, update=update).batch_size is None
    assert chosen(1000, update=update, batch_size=np.uint8(5)).batch_size == 5


@pytest.mark.parametrize("n, settings, expected", [
    (50000, {}, 40), (400000, {}, 80), (50000, dict(variance=0.2), 10), (50000, dict(variance=0.0), 0),
    (100000, dict(objective=MISSING), 40 * 2 ** (2 / 3)),
    (100000, dict(objective=MISSING, variance=None), 40 * 2 ** (2 / 3))], ids=str)
def test_decay(n, settings, expected):
    found = chosen(n, **settings).l2
    assert found == pytest.approx(expected) and isinstance(found, float)


def test_adagrad_where_columns_have_few_ratings():
    adam, adagrad = chosen(1200, n_columns=400), chosen(1199, n_columns=400)
    assert (adam.update, adam.learning_rate, adam.l2_weighted) == ("adam", 0.001, False)
    assert (adagrad.update, adagrad.learning_rate, adagrad.l2_weighted) == ("adagrad", 0.03, True)
    # The decay of all ratings together is that of the columns: the mean column has as much.
    assert adagrad.l2 * 1199 / 400 == pytest.approx(50 * 0.8 * (1199 / 50000) ** (1 / 3))
    given = chosen(1199, n_columns=400, l2=7.0)
    assert (given.update, given.l2, given.l2_weighted) == ("adagrad", 7.0, False)
    # Who asks for Adagrad gets the one that "auto" takes, wherever columns have more ratings too.
    asked = chosen(1199, n_columns=400, update="adagrad")
    assert asked == adagrad
    many = chosen(50000, update="adagrad")
    assert many.learning_rate == 0.03 and many.l2_weighted and many.l2 == pytest.approx(40 / (50000 / 400))
    assert not chosen(50000, variance=None, update="adagrad").l2_weighted
    assert not chosen(50000, objective=MISSING, update="adagrad").l2_weighted


def test_what_is_given_passes_through():
    def schedule(epoch):
        return 0.1

    given = dict(n_hidden="many", batch_size=0, l2=(1, "x"), update=schedule, learning_rate=schedule, n_epochs=-1,
                 patience=None)
    for variance in (0.8, None):
        choice = chosen(50000, variance=variance, **given)
        assert {name: getattr(choice, name) for name in NAMES} == given and choice.l2_weighted is False
    assert chosen(1000, variance=None) == (500, 256, 50.0, "adam", 0.001, 300, 67, False, None)


def test_validation_fraction():
    fractions = [validation_fraction(n) for n in (10, 20000, 30000, 50000, 2 * 10 ** 6, 10 ** 8)]
    assert fractions == [0.25, 0.25, pytest.approx(1 / 6), 0.1, 0.1, 0.1] and isinstance(fractions[0], float)
    fractions = [validation_fraction(n, for_lists=False) for n in (50000, 800000, 10 ** 6, 4 * 10 ** 6, 10 ** 8)]
    assert fractions == [0.1, 0.1, 0.01, 0.0025, 0.0001]


# How much work an autoencoder of lists may be, by counts that are done by hand


def choice(**changed):
    return Choice(n_hidden=112, batch_size=5, l2=1.0, update="adam", learning_rate=0.002, n_epochs=250, patience=17,
                  l2_weighted=False)._replace(**changed)


def ratings():
    """Of 20 rows the last has no rating: 4 batches of 5 or fewer. 30 columns, 19 ratings."""
    return sp.csr_matrix((np.ones(19, "float32"), (range(19), range(19))), shape=(20, 30))


def limited(**settings):
    return bounded(ModelFactory.of(Recommender(**settings).get_params()), choice(), ratings(), "items")


def work(n_hidden):
    """Multiplications of an epoch: 4 times 30 columns and once 19 rows, thrice k^2 of each; 8 times 19 ratings of k."""
    return 3 * (4 * 30 + 19) * n_hidden ** 2 + 8 * 19 * n_hidden


@pytest.mark.parametrize("n_epochs, k, least, expected", [
    (1000, 112, 64, choice()), (150.5, 112, 64, choice(n_epochs=150)),  # 600 updates are 150 epochs of 4
    (150.5, 96, 64, choice(n_hidden=96, n_epochs=150)), (149.5, 96, 96, None)])
def test_fewer_hidden_units_then_fewer_epochs(n_epochs, k, least, expected, monkeypatch):
    """There are so many epochs with k hidden units."""
    monkeypatch.setattr(defaults, "_MOST_WORK", {"items": n_epochs * work(k)})
    monkeypatch.setattr(defaults, "_LEAST_HIDDEN_OF_LISTS", least)
    assert limited() == expected


def test_what_is_given_stays(monkeypatch):
    monkeypatch.setattr(defaults, "_MOST_WORK", {"items": 1})
    assert limited(n_hidden=112, n_epochs=250) == choice()
    assert limited(n_hidden=112) == choice(n_epochs=1)
    assert limited(network=lambda n: None) == choice()
    assert limited(n_epochs=250) is None
