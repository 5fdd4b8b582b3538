"""The model: its parameters, the post's graph, its predictions; and the defects of the post's listing, mended."""
import copy
import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from devices import DTYPE, is_item_major
from made import stars

from sparse_ae.model import AutoEncoder
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.training.batch import Batch
from sparse_ae.training.targets import AsRated
import lasagne
import theano
import theano.tensor as T


def ratings(n_rows=5, n_items=8):
    return stars(n_rows, n_items, 0.6)


@pytest.fixture(scope="module")
def model():
    return AutoEncoder(8, 3, rating_scale=(1, 5), mu=lasagne.init.Normal(0.1), b=lasagne.init.Normal(0.5), rng=0,
                       dtype=DTYPE)


def test_shapes_names_and_memory(model):
    assert [p.name for p in model.params] == ["W", "V", "mu", "b"]
    assert [p.get_value().shape for p in model.params] == [(8, 3), (3, 8), (3,), (8,)]
    assert [p.dtype for p in model.params] == [DTYPE] * 4
    assert is_item_major(model.V)


# The listing's defects (docs/tutorial/post.md has them, line by line)


def test_defect_3_a_sigmoid_reaches_the_whole_scale():
    for bias, expected in [(-40, 1), (40, 5), (0, 3)]:
        m = AutoEncoder(8, 2, rating_scale=(1, 5), b=lasagne.init.Constant(bias), W=lasagne.init.Constant(0), rng=0)
        np.testing.assert_allclose(m.predict_pairs(ratings(), [0, 1], [0, 3]), expected, rtol=1e-6)


def test_defect_3_without_a_scale_says_what_to_do():
    with pytest.raises(ValueError, match=r"outside the range of f, 0 to 1; pass rating_scale=\(1, 5\)"):
        AsRated().check(ratings(), AutoEncoder(8, 2))


def test_defect_5_hidden_units_start_unsaturated():
    # A user with 100 ratings, as MovieLens has them.
    rng = np.random.RandomState(0)
    matrix = sp.csr_matrix(rng.randint(1, 6, (20, 1000)) * (rng.rand(20, 1000) < 0.1), dtype="float32")
    ours = AutoEncoder(1000, 50, (1, 5), rng=0)
    listing = AutoEncoder(1000, 50, (1, 5), V=lasagne.init.Uniform((0, 1)), rng=0)
    assert 0 <= listing.V.get_value().min() and 0.99 < listing.V.get_value().max() < 1
    assert (np.abs(Outputs(listing).hidden(Batch.of(matrix))) > 0.999).all()
    assert (np.abs(Outputs(ours).hidden(Batch.of(matrix))) > 0.999).mean() < 0.05


# Elsewhere: defect 1, items size W and b, above; 2, the split, in data/test_ratings.py; 4, stored zeros, and 8, rows in
# use, in test_formulations.py; 7, the training loop, in test_trainer.py; 9, what is trained on, in test_protocol.py. 6
# is of names: test_package.py runs the listing's lines as they stand in the docstring of ae_batch.


# Settings


@dataclasses.dataclass
class Halved:
    """A function without a hash."""

    factor: float = 0.5

    def __call__(self, x):
        return self.factor * x


def test_nonlinearities_by_name_or_function():
    m = AutoEncoder(8, 2, f=Halved(), g=T.sqr, rng=0, mu=lasagne.init.Constant(0.5))
    W, V, mu, b = (p.get_value() for p in m.params)
    matrix = ratings()
    expected = (((matrix.toarray().dot(V.T) + mu) ** 2).dot(W.T) + b) / 2
    np.testing.assert_allclose(m.predict_pairs(matrix, [0, 4], [1, 7]), expected[[0, 4], [1, 7]], rtol=1e-5)


def test_an_object_of_lasagnes_is_written_by_its_name(monkeypatch):
    """As selu of its master is one."""
    monkeypatch.setattr(lasagne.nonlinearities, "halved", Halved(), raising=False)
    model = AutoEncoder(8, 2, g="halved")
    assert model.describe()["g"] == copy.deepcopy(model).describe()["g"] == "halved"
    assert isinstance(AutoEncoder(8, 2, g=Halved(0.1)).describe()["g"], Halved)


@pytest.mark.parametrize("name", ["W", "V", "mu", "b", "U", "f", "g", "dtype"])
def test_what_a_model_is_made_of_is_not_replaced(name):
    model = AutoEncoder(8, 2)
    instead = (r"make another AutoEncoder\(%s=" if name in ("f", "g", "dtype") else
               r"set its numbers, model.%s.set_value\(array\)")
    with pytest.raises(AttributeError, match=r"%s can't be replaced.*: " % name + instead % name):
        setattr(model, name, theano.shared(np.zeros((8, 2), "float32")))


@pytest.mark.parametrize("scale", ["ab", (1,), (1, float("nan")), (5, 1)])
def test_a_rating_scale_that_is_set_later_is_checked(scale):
    model = AutoEncoder(8, 2, rating_scale=(1, 5))
    with pytest.raises(ValueError, match="rating_scale is .*; expected"):
        model.rating_scale = scale
    assert model.rating_scale == (1, 5)
    model.rating_scale = [0, 10]
    assert (model.decoder().low, model.decoder().span) == (0, 10)


@pytest.mark.parametrize("arguments, error, message", [
    (dict(n_items=0), ValueError, "n_items is 0; expected a positive integer"),
    (dict(n_items=2 ** 31), ValueError, "n_items is 2147483648; expected at most 2147483647"),
    (dict(rating_scale=(5, 1)), ValueError, r"rating_scale is \(5, 1\); expected two finite numbers, the lower first"),
    (dict(f="sigmoyd"), ValueError, "f is 'sigmoyd'; expected a name from .*did you mean sigmoid"),
    (dict(f="theano"), ValueError, "f is 'theano'; expected a name"),  # a module in lasagne.nonlinearities
    (dict(g=3), ValueError, "g is 3; expected a name"),
    (dict(f=lambda x: x.sum()), ValueError, r"f is <function .*one of its shape \(ValueError: it makes Sum"),
    (dict(f="softmax"), ValueError, "f is softmax, which mixes the items of a row"),
    (dict(l2=-1), ValueError, "l2 is -1; expected a number that is not negative"),
    (dict(l2=(1, 2, 3)), ValueError, r"l2 is \(1, 2, 3\)"),
    (dict(V=np.ones((8, 2))), ValueError, r"V has shape \(8, 2\); expected \(2, 8\)"),
    (dict(b="zeros"), TypeError, "b is 'zeros'; expected an initialiser from lasagne.init"),
    (dict(W=theano.shared(np.ones((8, 2))), dtype="float32"), TypeError,
     "W is a shared variable of dtype float64, and the model's is float32; pass dtype='float64'"),
])
def test_bad_settings(arguments, error, message):
    with pytest.raises(error, match=message):
        AutoEncoder(**dict(dict(n_items=8, n_hidden=2), **arguments))


# Predictions


def test_predictions_are_clipped():
    m = AutoEncoder(8, 2, rating_scale=(1, 5), f="linear", W=lasagne.init.Constant(0), rng=0,
                    b=np.array([-9.0, 9, 2, 2, 2, 2, 2, 2]))
    matrix = sp.csr_matrix(np.full((1, 8), 2.0), dtype="float32")
    np.testing.assert_array_equal(m.predict_pairs(matrix, [0, 0, 0], [0, 1, 2]), [1, 5, 2])
    np.testing.assert_array_equal(next(m.predict_blocks(matrix))[1][0, :3], [1, 5, 2])


def with_two_encoders():
    return AutoEncoder(8, 3, U=lasagne.init.Normal())


@pytest.mark.parametrize("call, error, message", [
    (lambda m: m.predict_pairs(ratings(n_items=7), [0], [0]), ValueError,
     "ratings have 7 columns; the model has n_items=8.*transpose"),
    (lambda m: m.predict_pairs(ratings() * 2, [0], [0]), ValueError,
     r"is outside rating_scale=\(1, 5\); pass rating_scale=\(2, 10\)"),
    (lambda m: m.predict_pairs(ratings(), [5], [0]), IndexError,
     r"rows holds 5; the ratings have positions 0 \.\.\. 4"),
    (lambda m: m.predict_pairs(ratings(), [0], [-1]), IndexError, "cols holds -1"),
    (lambda m: m.predict_pairs(ratings(), [0, 1], [0]), ValueError, "rows has 2 entries, cols 1; expected as many"),
    (lambda m: m.predict_pairs(ratings(), [0.5], [0]), ValueError,
     "rows is a 1-d array of float64; expected a vector of integers"),
    (lambda m: m.predict_pairs(ratings().toarray(), [0], [0]), TypeError, "ratings are ndarray, in which"),
    (lambda m: next(m.predict_blocks(ratings(n_items=9))), ValueError, "ratings have 9 columns"),
    (lambda m: m.predict_pairs(ratings(), [0], [0], block_size=-1), ValueError, "block_size is -1; expected a pos"),
    (lambda m: next(m.predict_blocks(ratings(), block_size=0)), ValueError, "block_size is 0; expected a pos"),
    (lambda m: m.predict_pairs(ratings(), [0], [0], unknown=99), ValueError, "unknown is 99, outside the rating scale"),
    (lambda m: m.predict_pairs(ratings(), [0], [0], unknown="3"), ValueError, "unknown is '3'; expected a number, or"),
    (lambda m: AutoEncoder(8, 3, l2_weighted="no"), ValueError, "l2_weighted is 'no'; expected True or False"),
    (lambda m: AutoEncoder.from_description(dict(m.describe(), encoders=3), {}), ValueError, "encoders is 3; exp"),
    (lambda m: with_two_encoders().predict_pairs(ratings(), [0], [0]), ValueError, "the model reads indicator"),
    (lambda m: next(with_two_encoders().predict_blocks(ratings())), ValueError, "the model reads indicator"),
])
def test_bad_input(model, call, error, message):
    with pytest.raises(error, match=message):
        call(model)
