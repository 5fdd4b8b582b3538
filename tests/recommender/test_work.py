"""How much work an autoencoder of lists may be, by counts that are done by hand."""
import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae import Recommender
from sparse_ae.recommender import defaults
from sparse_ae.recommender.defaults import Choice, bounded, multiplications


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
