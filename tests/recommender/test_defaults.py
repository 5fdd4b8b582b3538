"""Settings that fit the data: the table of the module's docstring, what is given, and how much work that is."""
import functools

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae import Recommender
from sparse_ae.recommender import defaults
from sparse_ae.recommender.defaults import (
    Choice,
    bounded,
    choose,
    falls,
    is_auto,
    is_worth_a_refit,
    multiplications,
    useful_sides,
    validation_fraction,
)
from sparse_ae.training.objectives import Missing, Observed, Ordinal
from sparse_ae.training.optimisers import rprop

NAMES = ("n_hidden", "batch_size", "l2", "update", "learning_rate", "n_epochs", "patience")
AUTO = dict.fromkeys(NAMES, "auto")


def matrix(n, n_rows, n_columns, empty=0):
    """A CSR matrix with n entries in its first rows, as even as can be; what is looked at is only where they are."""
    filled = n_rows - empty
    indptr = np.append(np.arange(filled + 1) * n // filled, [n] * empty)
    indices = (np.arange(n) % n_columns).astype(np.int32)
    return sp.csr_matrix((np.ones(n, np.float32), indices, indptr), shape=(n_rows, n_columns))


def chosen(n, n_rows=600, n_columns=400, variance=0.8, validated=True, empty=0, **given):
    weight = given.pop("missing_weight", 0.0)
    return choose(dict(AUTO, **given), matrix(n, n_rows, n_columns, empty), variance, validated,
                  Missing(weight) if weight else Observed())


def test_hidden_units():
    found = [chosen(n, 6000, 4000).n_hidden for n in (100, 10000, 50000, 100000, 300000, 2000000)]
    assert found == sorted(found) and found[0] == 96 and found[2] == 96 and found[-1] == 512
    assert all(k % 16 == 0 and isinstance(k, int) for k in found)
    assert chosen(300000).n_hidden == 240  # 100 sqrt(6) is 245
    # No more than rows, or columns, have ratings; but 96.
    assert chosen(2000000, 300, 4000).n_hidden == 288 and chosen(2000000, 6000, 170).n_hidden == 160
    assert chosen(2000000, 50, 4000).n_hidden == 96


def test_hidden_units_of_many_columns():
    # W has 2^25 numbers at most: 33.5 million.
    assert chosen(2000000, 6000, 100000).n_hidden == 320 and chosen(2000000, 6000, 65536).n_hidden == 512
    assert chosen(2000000, 6000, 10 ** 6).n_hidden == 96


def test_a_side_with_crowded_rows_is_left_out():
    jokes = matrix(1500000, 25000, 100)  # users by items: 15,000 ratings for each item
    assert useful_sides(("items", "users"), jokes) == ("users",)
    assert useful_sides(("items", "users"), jokes.T.tocsr()) == ("items",)
    assert useful_sides(("items", "users"), matrix(900000, 6000, 3700)) == ("items", "users")
    assert useful_sides(("items",), jokes) == ("users",)  # without validation there is but one


def test_mini_batches():
    for n_rows in (1, 11, 12, 13, 600, 6001):
        choice = chosen(7000, n_rows)
        assert isinstance(choice.batch_size, int) and -(-n_rows // choice.batch_size) <= 12
        assert choice.batch_size == -(-n_rows // 12)
    assert chosen(7000, 700, empty=100).batch_size == 50  # rows without ratings don't count
    assert chosen(10 ** 6, 6000, missing_weight=0.2).batch_size == 500
    assert chosen(4 * 10 ** 6, 6000, missing_weight=0.2).batch_size == 250


def test_steps():
    """Each mini-batch is the 12th part of 600 rows; more of them beyond a million ratings."""
    def steps(n, **settings):
        choice = chosen(n, **settings)
        return choice.batch_size, choice.learning_rate, choice.n_epochs, choice.patience

    assert steps(900000) == (50, 0.001, 250, 7) and steps(900000, validated=False) == (50, 0.001, 36, None)
    assert steps(900000, learning_rate=0.001) == (50, 0.001, 250, 17)
    assert steps(200000, update="adagrad") == (50, 0.03, 250, 7) and steps(200000, update="sgd")[:2] == (50, 0.001)
    assert steps(200000, missing_weight=0.2)[:2] == (50, 0.002) and steps(200000, variance=None)[1] == 0.001
    assert chosen(4 * 10 ** 6, 6000).batch_size == 250


@pytest.mark.parametrize("update", ["rprop", "lbfgs", rprop, functools.partial(rprop, increase=1.1)])
def test_updates_of_all_rows_at_once_have_no_mini_batches(update):
    assert chosen(1000, update=update).batch_size is None and chosen(1000, update=update, batch_size=5).batch_size == 5


def test_decay():
    assert chosen(50000, variance=0.8).l2 == pytest.approx(40)
    assert chosen(400000, variance=0.8).l2 == pytest.approx(80)
    assert chosen(50000, variance=0.2).l2 == pytest.approx(10)
    assert chosen(50000, variance=0.0).l2 == 0
    assert isinstance(chosen(50000).l2, float)


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
    assert not chosen(50000, missing_weight=0.2, update="adagrad").l2_weighted


def test_epochs_and_patience():
    choice = chosen(50000)  # 12 updates an epoch
    assert (choice.n_epochs, choice.patience) == (250, 7)
    assert chosen(50000, learning_rate=0.001).patience == 17, "there is no second chance at a smaller rate"
    assert chosen(50000, batch_size=600).patience == 80 and chosen(50000, batch_size=1).patience == 5
    assert chosen(50000, batch_size=None).n_epochs == 3000 and chosen(50000, batch_size=1).n_epochs == 5
    alone = chosen(50000, validated=False)
    assert (alone.n_epochs, alone.patience) == (36, None)
    assert chosen(50000, validated=False, patience=3).patience is None
    assert all(isinstance(x, int) for x in (choice.n_epochs, choice.patience, alone.n_epochs))


def test_what_is_given_passes_through():
    def schedule(epoch):
        return 0.1

    given = dict(n_hidden="many", batch_size=0, l2=(1, "x"), update=schedule, learning_rate=schedule, n_epochs=-1,
                 patience=None)
    for variance in (0.8, None):
        choice = chosen(50000, variance=variance, **given)
        assert {name: getattr(choice, name) for name in NAMES} == given and choice.l2_weighted is False


def test_without_biases_they_are_movielens():
    for n in (1000, 50000):
        choice = chosen(n, variance=None)
        assert choice == (500, 256, 50.0, "adam", 0.001, 300, 67, False, None)
    assert chosen(500, variance=None, batch_size=10).patience == 10
    assert chosen(500, variance=None, validated=False).patience is None


def test_validation_fraction():
    fractions = [validation_fraction(n) for n in (10, 20000, 30000, 50000, 2 * 10 ** 6, 10 ** 8)]
    assert fractions == [0.25, 0.25, pytest.approx(1 / 6), 0.1, 0.1, 0.002] and isinstance(fractions[0], float)
    assert validation_fraction(None) == 0.1
    assert is_worth_a_refit(0.02) and not is_worth_a_refit(0.0199)


def test_whose_rate_falls():
    assert falls("auto", Observed()) and falls("auto", Ordinal())
    assert not falls(0.001, Observed()) and not falls(lambda epoch: 0.001, Observed())
    assert not falls("auto", Observed("ndcg@10")) and not falls("auto", Missing(0.2))


def test_auto():
    assert is_auto("auto") and not any(map(is_auto, ("adam", None, 0, np.array(["auto", "auto"]), (1, 2))))


def test_where_missing_entries_count():
    found, rated = chosen(100000, missing_weight=0.2), chosen(100000)
    assert found.l2 == pytest.approx(40 * 2 ** (2 / 3)) == chosen(100000, variance=14.0, missing_weight=0.2).l2
    assert (found.n_hidden, found.batch_size, found.patience) == (rated.n_hidden, rated.batch_size, 17)
    # Columns with few ratings each have a gradient from every row all the same.
    sparse = chosen(500, n_columns=400, missing_weight=0.2)
    assert (sparse.update, sparse.learning_rate, sparse.l2_weighted) == ("adam", 0.002, False)
    assert chosen(500, n_columns=400).update == "adagrad"
    # 12 mini-batches an epoch: 450 updates.
    assert chosen(100000, validated=False, missing_weight=0.2).n_epochs == 38
    # Without biases too the table is the one of missing entries.
    assert chosen(100000, variance=None, missing_weight=0.2)[:4] == found[:4]


# How much work an autoencoder of lists may be, by counts that are done by hand


def choice(**changed):
    return Choice(n_hidden=112, batch_size=5, l2=1.0, update="adam", learning_rate=0.002, n_epochs=250, patience=17,
                  l2_weighted=False)._replace(**changed)


def ratings():
    """Of 20 rows the last has no rating: 4 batches of 5 or fewer. 30 columns, 19 ratings."""
    return sp.csr_matrix((np.ones(19, "float32"), (range(19), range(19))), shape=(20, 30))


def test_multiplications_by_hand():
    # Four times 30 columns and once 19 rows, with 112^2 of each, thrice; and 8 times 19 ratings of 112.
    assert multiplications(choice(), 19, 30, 19) == 3 * (4 * 30 + 19) * 112 ** 2 + 8 * 19 * 112
    assert multiplications(choice(batch_size=None), 19, 30, 19) == 3 * (30 + 19) * 112 ** 2 + 8 * 19 * 112


def test_what_is_little_work_stays_as_it_is():
    assert bounded(Recommender(), choice(), ratings()) == choice()


@pytest.mark.parametrize("n_epochs_there, expected", [
    (150.5, choice(n_epochs=150)),  # 600 updates are 150 epochs of 4
    (149.5, None), (1000, choice()),
])
def test_hidden_units_first_then_epochs(n_epochs_there, expected, monkeypatch):
    """With 96 hidden units so many epochs are there: fewer than 150 are too few for 112, and for 96."""
    train = ratings()
    of_96 = multiplications(choice(n_hidden=96), 19, 30, train.nnz)
    of_112 = multiplications(choice(), 19, 30, train.nnz)
    monkeypatch.setattr(defaults, "_MOST_WORK", n_epochs_there * of_112)
    if expected is not None:
        assert bounded(Recommender(), choice(), train) == expected
        return
    assert bounded(Recommender(), choice(), train).n_hidden == 96
    monkeypatch.setattr(defaults, "_MOST_WORK", 150.5 * of_96)
    assert bounded(Recommender(), choice(), train) == choice(n_hidden=96, n_epochs=150)
    monkeypatch.setattr(defaults, "_LEAST_HIDDEN_OF_LISTS", 96)
    monkeypatch.setattr(defaults, "_MOST_WORK", 149.5 * of_96)
    assert bounded(Recommender(), choice(), train) is None


def test_what_is_given_stays(monkeypatch):
    monkeypatch.setattr(defaults, "_MOST_WORK", 1)
    assert bounded(Recommender(n_hidden=112, n_epochs=250), choice(), ratings()) == choice()
    assert bounded(Recommender(n_hidden=112), choice(), ratings()) == choice(n_epochs=1)
    assert bounded(Recommender(network=lambda n: None), choice(), ratings()) == choice()
    assert bounded(Recommender(n_epochs=250), choice(), ratings()) is None
